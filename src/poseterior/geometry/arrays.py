"""Numbers from outside, whatever holds them, as a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..files.errors import InputError

__all__ = ["tensor_of"]

#: NumPy's kinds of numbers: truth values, whole ones with and without a sign, floats.
_NUMBERS = "biuf"


def tensor_of(value: Any, name: str, device: torch.device | str | None = None, *, double: bool = False) -> Tensor:
    """An array of numbers as a tensor of floats.

    Tensors keep their gradients. Of everything else (NumPy's arrays, however they lie in memory, lists, tables) the
    numbers are copied; what a masked array masks is NaN, and so is a None in a list.

    Args:
        value: what was given.
        name: of the argument.
        device: where to; by default where the value is.
        double: keep float64 where the numbers are float64; everything else becomes float32.

    Raises:
        InputError: these are no numbers.
    """
    if isinstance(value, Tensor):
        if value.is_complex():
            raise _other(name, str(value.dtype).removeprefix("torch."))
        return value.to(device, torch.float64 if double and value.dtype == torch.float64 else torch.float32)
    try:
        array = value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        if array.dtype.kind == "O" and array.ndim:
            array = array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        ragged = "inhomogeneous" in str(error)
        why = "rows of different lengths" if ragged else str(error)
        raise InputError(f"{name}: expected an array of numbers ({why})") from None
    if array.dtype.kind not in _NUMBERS:
        raise _other(name, type(value).__name__ if array.dtype.kind == "O" else str(array.dtype))
    width = np.float64 if double and array.dtype == np.float64 else np.float32
    with np.errstate(over="ignore"):  # what float32 does not hold is infinite, which whoever checks the numbers says
        if isinstance(array, np.ma.MaskedArray):
            array = np.ma.filled(array.astype(width), np.nan)
        return torch.from_numpy(np.array(array, width, order="C")).to(device)


def _other(name: str, held: str) -> InputError:
    return InputError(f"{name}: expected an array of numbers, got {held}")
