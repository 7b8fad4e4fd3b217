"""Dense layers without gradients, as fast as the processor multiplies matrices.

``torch.nn.functional.linear`` gives products of float32 matrices to MKL, which uses half the width of the vector
units of processors that are not Intel's. The operator that torch's own compiler emits for the same layer goes to
oneDNN, which uses all of it: on an AMD EPYC of the fifth generation 250 in place of 110 thousand million operations a
second on one core. Where the operator is not there, or does not take what it is given, the plain one does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "Product",
    "alone_or_not",
    "dense",
    "full_width",
    "plainly",
    "product_for",
    "times",
    "times_columns",
]

#: ``rows @ weight.T + bias`` of ``(rows, inputs)``, ``(outputs, inputs)`` and ``(outputs)`` or None.
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


#: Rows from which on oneDNN is faster.
_FEWEST = 48
#: Multiplications from which on oneDNN is faster where what is short is the matrix.
_FEWEST_PRODUCTS = 1_000_000


def plainly() -> bool:
    """Whether every step has to be a plain operation of its own: for gradients, or for who writes the steps down."""
    return torch.is_grad_enabled() or torch.compiler.is_compiling() or torch.jit.is_tracing()


@lru_cache
def _one_dnn() -> Product | None:
    """oneDNN's dense layer of float32 matrices; None where torch was built without it, or it does something else."""
    try:
        operator = torch.ops.mkldnn._linear_pointwise.default

        def product(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            found: Tensor = operator(rows, weight, bias, "none", [], "")
            return found

        with torch.inference_mode(False), torch.no_grad():
            rows, weight, bias = torch.eye(3, 2), torch.arange(8.0).reshape(4, 2), torch.ones(4)
            right = torch.equal(product(rows, weight, bias), functional.linear(rows, weight, bias))
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return None
    return product if right else None


def product_for(rows: Tensor, weight: Tensor) -> Product:
    """The fastest way to multiply such rows by such weights; it has no gradients.

    Args:
        rows: ``(*any, inputs)`` whose number, precision and device count.
        weight: likewise.
    """
    many = rows.numel() >= _FEWEST * rows.shape[-1]
    product = _one_dnn() if many and _float32(rows, weight) else None
    return functional.linear if product is None else product


def alone_or_not(rows: Float[Tensor, "rows inputs"]) -> bool:
    """Whether each of these rows gives the same bits through a dense layer when more rows come along.

    oneDNN's products do, which sum in one order for two rows and more; MKL's choose another way for other numbers.
    """
    return product_for(rows, rows) is not functional.linear


def _float32(one: Tensor, other: Tensor) -> bool:
    """Whether both are plain matrices of float32 on the processor."""
    plain = one.dtype is torch.float32 is other.dtype and one.device.type == "cpu" == other.device.type
    return plain and not torch.is_autocast_enabled("cpu")


def dense(layer: nn.Linear, rows: Float[Tensor, "*any inputs"]) -> Float[Tensor, "*any outputs"]:
    """``layer(rows)``, the fastest way while no gradients are tracked."""
    if plainly():
        found: Tensor = layer(rows)
        return found
    product = product_for(rows, layer.weight)
    flat = product(rows.reshape(-1, rows.shape[-1]), layer.weight, layer.bias)
    return flat.view(*rows.shape[:-1], flat.shape[-1])


def times(
    rows: Float[Tensor, "*any inputs"], matrix: Float[Tensor, "inputs outputs"], bias: Tensor | None = None
) -> Float[Tensor, "*any outputs"]:
    """``rows @ matrix + bias``; the fastest way while no gradients are tracked."""
    if plainly():
        return rows @ matrix if bias is None else rows @ matrix + bias
    # A view of a part of a larger tensor would take oneDNN a thousand times as long.
    weight = matrix.T if matrix.is_contiguous() else matrix.T.contiguous()
    found = product_for(rows, matrix)(rows.reshape(-1, rows.shape[-1]), weight, bias)
    return found.view(*rows.shape[:-1], matrix.shape[-1])


def times_columns(
    matrix: Float[Tensor, "outputs inputs"], columns: Float[Tensor, "inputs n"]
) -> Float[Tensor, "outputs n"]:
    """``matrix @ columns``, the fastest way while no gradients are tracked: of ever so many columns.

    Args:
        matrix: contiguous.
        columns: contiguous.
    """
    many = matrix.numel() * columns.shape[1] >= _FEWEST_PRODUCTS
    product = _one_dnn() if many and not plainly() and _float32(matrix, columns) else None
    # To oneDNN the columns are the layer's weight, and the matrix what it is given.
    return matrix @ columns if product is None else product(matrix, columns.T, None)


def _keeps_float32() -> bool:
    """Whether products of float32 matrices keep their precision where oneDNN may choose how to make them."""
    generator = torch.Generator().manual_seed(0)
    for rows, inner, columns in ((64, 512, 64), (512, 64, 512), (48, 48, 48)):
        a, b = torch.randn(rows, inner, generator=generator), torch.randn(inner, columns, generator=generator)
        wrong = ((a @ b).double() - a.double() @ b.double()).abs().max()
        # bfloat16 keeps 8 bits of 24: its error is about ten thousand times as large.
        if wrong > 1e-5 * inner:
            return False
    return True


@contextmanager
def full_width() -> Iterator[bool]:
    """All products of float32 matrices by oneDNN, with gradients too, where that keeps float32's precision.

    What sends them there is torch's leave to round to bfloat16 (``set_float32_matmul_precision("medium")``), of which
    processors without matrix units for bfloat16 make no use. One that does is found out by a few products, and keeps
    torch's own way. For as long as it lasts the setting is the process's.

    Yields:
        whether products are made so.
    """
    try:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
    except RuntimeError:  # somebody uses torch's newer settings, which do not mix with this one
        yield False
        return
    try:
        kept = _keeps_float32()
        if not kept:
            torch.set_float32_matmul_precision(before)
        yield kept
    finally:
        torch.set_float32_matmul_precision(before)
