"""Rotations of joints, as a distribution, from 2D keypoints."""

from __future__ import annotations

import torch

from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..results.rotations import RotationResult
from .draws import rotation_lifter
from .poses import lift

__all__ = ["lift_rotations"]


def lift_rotations(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> RotationResult:
    """The rotations of `poseterior.lift`: ``lift(lifter, keypoints).motion()``.

    Args:
        lifter: one with rotations.
        keypoints: any skeleton, any batch shape (flattened to poses); see `poseterior.results.provenance.clips_of` for
            what is one clip.
        samples, seed, chunk, device, mode: as for `poseterior.lift`.

    Returns:
        Rotations in camera axes, one body per clip: the median over its frames of the mean log-lengths. The root is
        where the mean pose reprojects best through the camera, given or assumed; zeros where neither it nor the image
        size is known. Frames that show less than two joints get a root between their neighbours'.

    Raises:
        InputError: a lifter without rotations; or as `poseterior.lift`.
    """
    return lift(rotation_lifter(lifter), keypoints, samples, seed, chunk, device, mode=mode).motion()
