"""From keypoints and a lifter to a `LiftResult`: what the command line does, for use in Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .cameras import ASSUMED_FIELD_OF_VIEW
from .errors import InputError
from .export import LiftResult
from .keypoints import Keypoints2D
from .lifters import Lifter

__all__ = ["Draws", "draw", "lift", "result_of"]

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


@dataclass(frozen=True)
class Draws:
    """What a lifter says of a few poses, on the processor.

    Attributes:
        posterior: the distribution itself.
        samples: ``(samples, poses, joints, 3)`` metres.
        mean, covariance: ``(poses, joints, 3)``, ``(poses, joints, 3, 3)``.
        log_prob: ``(samples, poses)`` of the samples; NaN where there is no density.
        rotations, offsets: ``(samples, poses, 22, 3, 3)`` and ``(samples, poses, 25, 3)`` that give the samples;
            None for a lifter without rotations.
        rotation_log_prob: ``(samples, poses)`` of the rotations.
    """

    posterior: Any
    samples: Tensor
    mean: Tensor
    covariance: Tensor
    log_prob: Tensor
    rotations: Tensor | None = None
    offsets: Tensor | None = None
    rotation_log_prob: Tensor | None = None


def _draw(posterior: Any, samples: int, generator: torch.Generator) -> Draws:
    if not hasattr(posterior, "sample_with_rotations"):
        poses = posterior.sample((samples,), generator=generator)
        density = posterior.log_prob(poses) if posterior.has_density else poses.new_full(poses.shape[:-2], torch.nan)
        parts = (poses, posterior.mean, posterior.covariance, density)
        return Draws(posterior, *(part.cpu() for part in parts))
    rotations, density = posterior.rotations.sample_and_log_prob((samples,), generator=generator)
    offsets = posterior.rotations.offsets(rotations, generator)
    poses = posterior.of_rotations(rotations, offsets)
    if samples < posterior.summary_draws:
        mean, covariance = posterior.mean, posterior.covariance
    else:  # the lifter would draw as many again for its own mean
        mean = poses.mean(0)
        covariance = torch.einsum("s...i,s...j->...ij", poses - mean, poses - mean) / (samples - 1)
    none = torch.full_like(density, torch.nan)
    return Draws(posterior, *(t.cpu() for t in (poses, mean, covariance, none, rotations, offsets, density)))


@torch.no_grad()
def draw(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
) -> Iterator[Draws]:
    """The draws of `lift`, ``chunk`` poses at a time; keypoints in the lifter's skeleton, one batch dimension.

    Raises:
        InputError: as `lift`.
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
    lifter = lifter.to(device).eval()
    for number, start in enumerate(range(0, len(keypoints), chunk)):
        posterior = lifter(keypoints[start : start + chunk].to(device))
        generator = torch.Generator(device=device).manual_seed(seed + 1_000_003 * number)
        yield _draw(posterior, samples, generator)


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
        poses; `poseterior.motions.lift_rotations` returns the rotations too.

    Raises:
        InputError: no poses, fewer than one sample, more samples than fit in memory, or a seed out of range.
    """
    used = keypoints.as_skeleton(lifter.skeleton).flatten()
    draws = draw(lifter, used, samples, seed, chunk, device)
    return result_of(lifter, used, [replace(part, rotations=None, offsets=None) for part in draws], seed)
