"""Networks of Dünkel et al. 2024 as their PyTorch code names them.

Theirs are one small network per joint and layer, some 4,000 tensors; ours packs those of a layer into few large ones
(`poseterior.published.duenkel_2024.network`), so that the table has an entry for each part of a packed tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from .tensors import Pair, linear, to_ours, to_theirs

__all__ = ["LAYERS", "extractor", "flow_to_ours", "flow_to_theirs"]

#: Möbius couplings, and the affine maps between them.
LAYERS = 23


@dataclass(frozen=True)
class _Sizes:
    """What the packed tensors say of themselves."""

    joints: int
    condition: int
    depth: dict[str, int]

    @classmethod
    def of(cls, ours: Mapping[str, Tensor], prefix: str) -> _Sizes:
        joints, _, _ = ours[f"{prefix}mobius.0.own"].shape
        condition = ours[f"{prefix}mobius.0.condition"].shape[1]
        depth = {kind: len(ours[f"{prefix}{kind}.0.middle"]) for kind in ("mobius", "affine")}
        return cls(joints, condition, depth)


def _networks(sizes: _Sizes) -> Iterator[tuple[str, str, int, int]]:
    """Names of each network, theirs and ours, its position among the joints and that among those packed."""
    free = 0 if sizes.condition else 1
    for position in range(sizes.joints):
        for layer in range(LAYERS):
            number, odd = divmod(layer, 2)
            theirs = f"layers.{position * LAYERS + layer}"
            if not odd:
                yield f"{theirs}.conditioner", f"mobius.{number}", position, position
            elif position >= free:
                yield f"{theirs}.net", f"affine.{number}", position, position - free


def _names(sizes: _Sizes, prefix: str) -> list[Pair]:
    """Every tensor of theirs beside a name for the part of ours: what `_unpacked` calls it."""
    table = []
    for theirs, ours, position, _ in _networks(sizes):
        part = f"{prefix}{ours}@{position}"
        kind = ours.partition(".")[0]
        table += linear(f"{theirs}.fc_first", f"{part}.enter") + linear(f"{theirs}.fc_last", f"{part}.leave")
        for i in range(sizes.depth[kind]):
            table += linear(f"{theirs}.layers.{2 * i + 1}", f"{part}.middle.{i}")
    if not sizes.condition:
        table += [Pair(f"layers.{layer}.mat", f"{prefix}free@{layer}") for layer in range(1, LAYERS, 2)]
    return table


def _unpacked(ours: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The packed tensors as one per network: views into ours, so that writing to them writes to ours."""
    sizes, found = _Sizes.of(ours, prefix), {}
    for _, packed, position, index in _networks(sizes):
        name, part = f"{prefix}{packed}", f"{prefix}{packed}@{position}"
        for i, (weight, bias) in enumerate(zip(ours[f"{name}.middle"], ours[f"{name}.middle_bias"], strict=True)):
            found[f"{part}.middle.{i}.weight"], found[f"{part}.middle.{i}.bias"] = weight[index].T, bias[index]
        found[f"{part}.leave.weight"] = ours[f"{name}.leave"][index].T
        found[f"{part}.leave.bias"] = ours[f"{name}.leave_bias"][index]
        found[f"{part}.enter.bias"] = ours[f"{name}.enter_bias"][index]
        start = 6 * position * (position - 1) // 2
        rows = [
            ours[f"{name}.own"][index],
            ours[f"{name}.before"][start : start + 6 * position],
            ours[f"{name}.condition"][index],
        ]
        found[f"{part}.enter.weight"] = torch.cat(rows).T
    if not sizes.condition:
        for layer in range(1, LAYERS, 2):
            found[f"{prefix}free@{layer}"] = ours[f"{prefix}free"][layer // 2]
    return found


def _packed(parts: Mapping[str, Tensor], ours: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """`_unpacked` undone."""
    sizes = _Sizes.of(ours, prefix)
    state = {name: value.clone() for name, value in ours.items()}
    for _, packed, position, index in _networks(sizes):
        name, part = f"{prefix}{packed}", f"{prefix}{packed}@{position}"
        for i in range(len(state[f"{name}.middle"])):
            state[f"{name}.middle"][i, index] = parts[f"{part}.middle.{i}.weight"].T
            state[f"{name}.middle_bias"][i, index] = parts[f"{part}.middle.{i}.bias"]
        state[f"{name}.leave"][index] = parts[f"{part}.leave.weight"].T
        state[f"{name}.leave_bias"][index] = parts[f"{part}.leave.bias"]
        state[f"{name}.enter_bias"][index] = parts[f"{part}.enter.bias"]
        start = 6 * position * (position - 1) // 2
        own = state[f"{name}.own"].shape[1]
        split = (own, 6 * position, sizes.condition)
        own_rows, before, condition = parts[f"{part}.enter.weight"].T.split(split)
        state[f"{name}.own"][index] = own_rows
        state[f"{name}.before"][start : start + 6 * position] = before
        state[f"{name}.condition"][index] = condition
    if not sizes.condition:
        for layer in range(1, LAYERS, 2):
            state[f"{prefix}free"][layer // 2] = parts[f"{prefix}free@{layer}"]
    return state


def flow_to_ours(
    theirs: Mapping[str, NDArray[Any]], ours: Mapping[str, Tensor], where: str, prefix: str = ""
) -> dict[str, Tensor]:
    """Our state of a flow, its tensors those of theirs.

    Args:
        theirs: what ``model_ckpt_pdf_estimator.pt`` holds.
        ours: state of a flow of the right size; names begin with ``prefix``. Its orders of joints stay.
        where: the file, for messages.
        prefix: of our names.

    Raises:
        InputError: as `to_ours`.
    """
    parts = to_ours(_names(_Sizes.of(ours, prefix), prefix), theirs, _unpacked(ours, prefix), where)
    return _packed(parts, ours, prefix)


def flow_to_theirs(ours: Mapping[str, Tensor], prefix: str = "") -> dict[str, NDArray[Any]]:
    """The tensors of ``model_ckpt_pdf_estimator.pt``, in the original's order of joints and layers."""
    written = to_theirs(_names(_Sizes.of(ours, prefix), prefix), _unpacked(ours, prefix))
    return dict(sorted(written.items(), key=lambda item: _order(item[0])))


def _order(name: str) -> tuple[int, int, int, bool]:
    """Layer, then the first linear layer, the last, those between; weights before biases: as theirs are stored."""
    _, layer, *rest = name.split(".")
    kind = rest[1] if len(rest) > 1 else ""
    place = {"": 0, "fc_first": 1, "fc_last": 2}.get(kind, 3)
    return int(layer), place, int(rest[2]) if place == 3 else 0, name.endswith(".bias")


def extractor(prefix: str = "keypoints.") -> list[Pair]:
    """The table of the network that makes features of keypoints (``model_ckpt_feature_extractor.pt``)."""
    names = (("fc_first", "enter"), ("layers.1", "middle"), ("fc_last", "leave"))
    return [pair for theirs, ours in names for pair in linear(theirs, prefix + ours)]
