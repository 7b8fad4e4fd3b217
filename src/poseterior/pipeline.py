"""From keypoints and a lifter to a `LiftResult`: what the command line does, for use in Python."""

from __future__ import annotations

import numpy as np
import torch

from .cameras import ASSUMED_FIELD_OF_VIEW
from .errors import InputError
from .export import LiftResult
from .keypoints import Keypoints2D
from .lifters import Lifter

__all__ = ["lift"]

#: Bytes of samples that one result may hold.
_MEMORY = 16e9


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


@torch.no_grad()
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
        A `LiftResult` (metres, camera axes, relative to the pelvis).

    Raises:
        InputError: no poses, fewer than one sample, more samples than fit in memory, or a seed out of range.
    """
    if not 0 <= seed < 2**62:
        raise InputError(f"seed: expected 0 to below 2^62, got {seed}")
    if samples < 1:
        raise InputError(f"samples: expected at least 1, got {samples}")
    if len(keypoints) == 0:
        raise InputError("no poses to lift")
    wanted = 4 * 3 * len(keypoints) * samples * len(lifter.skeleton)
    if wanted > _MEMORY:
        raise InputError(
            f"samples: {samples} samples of {len(keypoints)} poses take {wanted / 1e9:,.0f} GB; "
            "ask for fewer, or lift the files one by one"
        )
    used = keypoints.as_skeleton(lifter.skeleton).flatten()
    lifter = lifter.to(device).eval()
    drawn, means, covariances, densities = [], [], [], []
    for number, start in enumerate(range(0, len(used), chunk)):
        posterior = lifter(used[start : start + chunk].to(device))
        generator = torch.Generator(device=device).manual_seed(seed + 1_000_003 * number)
        poses = posterior.sample((samples,), generator=generator)
        drawn.append(poses.transpose(0, 1).cpu().numpy())
        means.append(posterior.mean.cpu().numpy())
        covariances.append(posterior.covariance.cpu().numpy())
        if posterior.has_density:
            densities.append(posterior.log_prob(poses).transpose(0, 1).cpu().numpy())
        else:
            densities.append(np.full((len(poses[0]), samples), np.nan, np.float32))
    hidden = ~used.visible.cpu().numpy()
    xy, spread = used.xy.cpu().numpy().copy(), used.covariance.cpu().numpy().copy()
    xy[hidden], spread[hidden] = np.nan, np.nan
    return LiftResult(
        samples=np.concatenate(drawn),
        mean=np.concatenate(means),
        covariance=np.concatenate(covariances),
        log_prob=np.concatenate(densities),
        keypoints=xy,
        keypoint_covariance=spread,
        visible=~hidden,
        image_size=used.image_size.cpu().numpy(),
        file=np.array([i.file for i in used.ids]),
        frame=np.array([i.frame for i in used.ids]),
        person=np.array([i.person for i in used.ids]),
        joint_names=lifter.skeleton.joints,
        skeleton=lifter.skeleton.name,
        lifter=str(lifter.card.get("name") or lifter.name),
        seed=seed,
        settings=_settings(used),
    )
