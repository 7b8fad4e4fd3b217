"""Drawn rotations as a result: one body for the frames of a clip, and its place before the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..geometry.body import H36M_POINTS, group_factors, rest_offsets
from ..results.poses import LiftResult
from ..results.roots import camera_root
from ..results.rotations import RotationResult
from .draws import RotationDraws

__all__ = ["camera_root", "joined", "rotations_of"]


def joined(draws: Sequence[RotationDraws]) -> dict[str, Any]:
    """The fields of a `RotationResult` that draws give."""
    names = ("rotations", "log_prob", "mean", "spread")
    fields: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in draws]) for name in names}
    modes = [part.mode for part in draws if part.mode is not None]
    return fields | {"modelled": draws[0].modelled, "mode": np.concatenate(modes) if modes else None}


def rotations_of(poses: LiftResult, draws: Sequence[RotationDraws]) -> RotationResult:
    """The rotations of lifted poses, camera axes.

    Args:
        poses: what was lifted.
        draws: in the order of the poses.

    Returns:
        Rotations with one body per clip: the median over its frames of the mean log-lengths. The root is where the
        mean pose reprojects best through the camera, given or assumed; see `camera_root`.
    """
    clips = poses.clips()
    usual = torch.cat([part.log_lengths for part in draws if part.log_lengths is not None])
    offsets = rest_offsets().repeat(len(poses), 1, 1)
    for rows in clips:
        offsets[rows] = rest_offsets() * group_factors(usual[rows].median(0).values.float())
    result = RotationResult(
        **joined(draws),
        offsets=offsets.numpy(),
        root=np.zeros((len(poses), 3), np.float32),
        file=poses.file,
        frame=poses.frame,
        person=poses.person,
        axes="camera",
        lifter=poses.lifter,
        seed=poses.seed,
        settings=poses.settings | {"body": f"one for each of {len(clips)} clips: the median over its frames"},
    )
    shown = result.points(result.mean[:, None])[:, 0, list(H36M_POINTS)].numpy()
    return replace(result, root=camera_root(shown, poses))
