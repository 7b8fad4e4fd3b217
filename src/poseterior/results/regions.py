"""Regions of what a result holds by itself: of its samples, or of its covariances. No recalibration made them right."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .lifted import Lifted
from .provenance import Array

__all__ = ["regions_of"]

#: Poses at a time, and pairs of draws.
_CHUNK, _PAIRS = 16, 4096


def regions_of(lifted: Lifted) -> tuple[Array, Array, Array]:
    """Centres, and radii of each joint and of the whole pose, at the result's level (see `LiftResult`); metres.

    Of the samples, or of normal distributions with the stored covariances where there are none.
    """
    import torch

    from ..distributions.regions import region_of

    parts: list[tuple[Array, ...]] = []
    for start in range(0, len(lifted), _CHUNK):
        rows = slice(start, start + _CHUNK)
        drawn = lifted.samples[rows].swapaxes(0, 1) if lifted.samples.shape[1] else _normal_draws(lifted, rows)
        region = region_of(torch.from_numpy(np.array(drawn)), lifted.tree, lifted.level)
        parts.append(tuple(t.numpy() for t in (region.centre, region.radius, region.pose_radius)))
    if not parts:
        joints = len(lifted.joint_names)
        return np.zeros([0, joints, 3]), np.zeros([0, joints]), np.zeros([0, joints])
    centre, radius, pose_radius = (np.concatenate(part) for part in zip(*parts, strict=True))
    return centre, radius, pose_radius


def _normal_draws(lifted: Lifted, rows: slice) -> Float[NDArray[np.float32], "draws rows joints 3"]:
    """Draws of each joint by itself, in pairs of opposite ones so that their median is the mean."""
    variances, axes = np.linalg.eigh(lifted.covariance[rows].astype(np.float64))
    spread = axes * np.sqrt(np.clip(variances, 0.0, None))[..., None, :]
    shape = (_PAIRS, *spread.shape[:2], 3)
    offset = np.einsum("pjkl,spjl->spjk", spread, np.random.default_rng(0).standard_normal(shape))
    return (lifted.mean[rows] + np.concatenate([offset, -offset])).astype(np.float32)
