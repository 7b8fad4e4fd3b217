"""Whether a detector's own idea of its noise is right, told from the residuals of a clip."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..distributions.evidence import noise_evidence
from ..keypoints import Keypoints2D
from .base import Lifter

__all__ = ["FEWEST", "factors_of", "noise_factors", "noise_logs", "noise_words", "tells_noise"]

#: Frames of one person below which nothing is said.
FEWEST = 8
#: Logarithm of a factor that is not distinguished from 1: what the network's own errors may do to it.
_NEAR = 0.4
_CHUNK = 256


def noise_factors(lifter: Lifter, keypoints: Keypoints2D) -> Tensor:
    """By what the reported standard deviations of each pose's keypoints should be multiplied, one number per clip.

    The median over the frames of a person in a file of `poseterior.distributions.evidence.noise_evidence`.

    Args:
        lifter: with `Evidence`, its own or that of the lifter whose poses it goes through; its numbers are measured on
            keypoints of right covariances.
        keypoints: one batch dimension, in the lifter's skeleton.

    Returns:
        ``(poses,)``: exactly 1 for clips of fewer than `FEWEST` frames, where the factor is near 1, of lifters
        without evidence, and of those whose residuals do not tell (`Evidence.tells_noise`).
    """
    if not tells_noise(lifter) or len(keypoints) < FEWEST:
        lifter.reader.to(keypoints.device)
        return torch.ones(len(keypoints))
    rows: dict[tuple[str, int], list[int]] = {}
    for row, identity in enumerate(keypoints.ids):
        rows.setdefault((identity.file, identity.person), []).append(row)
    return factors_of(noise_logs(lifter, keypoints), rows.values())


def tells_noise(lifter: Lifter) -> bool:
    """Whether the residuals of this lifter tell how wrong standard deviations are."""
    evidence = lifter.reader.evidence
    return evidence is not None and evidence.tells_noise


@torch.no_grad()
def noise_logs(lifter: Lifter, keypoints: Keypoints2D) -> Tensor:
    """What each pose says of it, ``(poses,)``: the logarithm of a factor, NaN where it says nothing."""
    lifter = lifter.reader.to(keypoints.device)
    evidence = lifter.evidence
    assert evidence is not None
    parts = (keypoints[slice(start, start + _CHUNK)] for start in range(0, len(keypoints), _CHUNK))
    return torch.cat([noise_evidence(lifter.distribution(part).rough_mean, part, evidence).cpu() for part in parts])


def factors_of(logs: Tensor, clips: Iterable[Sequence[int]]) -> Tensor:
    """The factor of each pose, of what all poses of its clip say; ``clips`` are rows of one person in one file."""
    factor = torch.ones(len(logs))
    for clip in clips:
        known = logs[clip][logs[clip].isfinite()]
        if len(known) >= FEWEST and abs(middle := float(known.median())) > _NEAR:
            factor[clip] = math.exp(middle)
    return factor


def noise_words(factor: Tensor) -> str:
    """What is wrong with a detector's standard deviations, in words; empty where nothing is."""
    wrong = factor[factor != 1]
    if not len(wrong):
        return ""
    middle = float(wrong.median())
    size = f"{middle:.1f} times too small" if middle > 1 else f"{1 / middle:.1f} times too large"
    return f"your detector's sigma is about {size} in {len(wrong)} of {len(factor)} poses: it was put right"
