"""Joints that a skeleton lacks, made of others: weighted sums, their covariances propagated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..geometry.skeletons import SkeletonMap

__all__ = ["combined", "fill"]


def combined(source: dict[str, Tensor], plan: SkeletonMap, rows: Any) -> dict[str, Tensor]:
    """Some joints of a map; those with a part that is missing, or was made of others before, are missing.

    Args:
        source: per-joint values of some poses by name, and their ``size``.
    """
    xy = source["xy"]
    weights = torch.as_tensor(plan.weights[rows], dtype=xy.dtype, device=xy.device)
    needed = (weights != 0).to(xy.dtype)
    copied = torch.as_tensor(plan.copied[rows], device=xy.device)

    def any_part(of: Tensor) -> Tensor:
        return torch.einsum("ts,...s->...t", needed, of.to(xy.dtype)) > 0

    visible = torch.as_tensor(plan.available[rows], device=xy.device) & ~any_part(~source["visible"])
    indirect = any_part(source["synthesised"])
    visible = visible & (copied | ~indirect)
    covariance = torch.einsum("ts,...scd->...tcd", weights.square(), source["covariance"])
    spread = torch.as_tensor(plan.spread[rows], dtype=xy.dtype, device=xy.device) * source["size"].unsqueeze(-1)
    amplitude = torch.einsum("ts,...s->...t", weights, source["amplitude"].nan_to_num(0.0))
    made = {
        "xy": torch.einsum("ts,...sc->...tc", weights, xy),
        "covariance": covariance + spread.square()[..., None, None] * torch.eye(2, device=xy.device),
        "visible": visible,
        "amplitude": torch.where(any_part(source["amplitude"].isnan()), float("nan"), amplitude),
        "synthesised": visible & (~copied | indirect),
    }
    if "outliers" in source:  # wrong where one of its parts is
        made["outliers"] = 1.0 - torch.einsum("ts,...s->...t", needed, torch.log1p(-source["outliers"])).exp()
    return made


def fill(made: dict[str, Tensor], source: dict[str, Tensor], plan: SkeletonMap) -> None:
    """Put in place, of ``(poses, joints, …)``, what is missing and the map makes of what is visible in the source."""
    rows = torch.as_tensor(plan.available, device=made["visible"].device).nonzero().squeeze(-1)
    wanted = ~made["visible"][:, rows]
    poses = wanted.any(-1).nonzero().squeeze(-1)
    if not len(poses):
        return
    found = combined({name: values[poses] for name, values in source.items()}, plan, rows.cpu().numpy())
    pose, row = (wanted[poses] & found["visible"]).nonzero(as_tuple=True)
    for name, values in made.items():
        values[poses[pose], rows[row]] = found[name][pose, row]
