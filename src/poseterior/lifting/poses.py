"""From keypoints and a lifter to a `LiftResult`: what the command line does, for use in Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..geometry.cameras import ASSUMED_FIELD_OF_VIEW
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..results.poses import LiftResult
from .draws import Draws, draw

__all__ = [
    "lift",
    "result_of",
]


def _settings(keypoints: Keypoints2D) -> dict[str, str]:
    """What was known and what was assumed, in words."""
    count = len(keypoints)
    intrinsics = int(keypoints.intrinsics.isfinite().all(-1).sum())
    sized = int((keypoints.image_size.isfinite().all(-1) & ~keypoints.intrinsics.isfinite().all(-1)).sum())
    tall = int(keypoints.height.isfinite().sum())
    parts = []
    if intrinsics:
        parts.append(f"intrinsics given for {intrinsics} of {count} poses")
    if sized:
        parts.append(
            f"field of view of {ASSUMED_FIELD_OF_VIEW:g} degrees assumed across the longer image side for {sized}"
        )
    if count - intrinsics - sized:
        parts.append(f"neither camera nor image size known for {count - intrinsics - sized}: taken as distant")
    scale = f"height given for {tall} of {count} poses" if tall else "height unknown: part of the uncertainty"
    return {"camera": "; ".join(parts), "scale": scale}


def result_of(lifter: Lifter, keypoints: Keypoints2D, draws: list[Draws], seed: int) -> LiftResult:
    """The result file's content for `draw`'s output on these keypoints."""
    hidden = ~keypoints.visible.cpu().numpy()
    xy, spread = keypoints.xy.cpu().numpy().copy(), keypoints.covariance.cpu().numpy().copy()
    xy[hidden], spread[hidden] = np.nan, np.nan

    return LiftResult(
        samples=np.concatenate([part.samples.transpose(0, 1).numpy() for part in draws]),
        mean=np.concatenate([part.mean.numpy() for part in draws]),
        covariance=np.concatenate([part.covariance.numpy() for part in draws]),
        log_prob=np.concatenate([part.log_prob.transpose(0, 1).numpy() for part in draws]),
        keypoints=xy,
        keypoint_covariance=spread,
        visible=~hidden,
        image_size=keypoints.image_size.cpu().numpy(),
        file=np.array([i.file for i in keypoints.ids]),
        frame=np.array([i.frame for i in keypoints.ids]),
        person=np.array([i.person for i in keypoints.ids]),
        joint_names=lifter.skeleton.joints,
        skeleton=lifter.skeleton.name,
        lifter=str(lifter.card.get("name") or lifter.name),
        seed=seed,
        settings=_settings(keypoints),
    )


def lift(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
) -> LiftResult:
    """Lift keypoints and draw samples.

    Args:
        lifter: from `poseterior.load`; moved to ``device`` and put into evaluation mode.
        keypoints: any skeleton, any batch shape (flattened to poses).
        samples: hypotheses a pose.
        seed: of the samples; the same seed gives the same result on the same machine.
        chunk: poses at a time; each chunk draws from its own seed.
        device: where to run.

    Returns:
        A `LiftResult` (metres, camera axes, relative to the pelvis). Of a lifter with rotations it holds their
        poses; `poseterior.lifting.rotations.lift_rotations` returns the rotations too.

    Raises:
        InputError: no poses, fewer than one sample, more samples than fit in memory, or a seed out of range.
    """
    used = keypoints.as_skeleton(lifter.skeleton).flatten()
    draws = draw(lifter, used, samples, seed, chunk, device)
    return result_of(lifter, used, [replace(part, rotations=None, offsets=None) for part in draws], seed)
