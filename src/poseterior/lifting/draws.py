"""A lifter's draws on many poses, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..lifters import Lifter

__all__ = [
    "Draws",
    "draw",
]

#: Bytes of samples that one result may hold.
_MEMORY = 16e9


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
