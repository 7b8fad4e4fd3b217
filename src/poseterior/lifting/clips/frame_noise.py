"""Random numbers of a stretch of a clip, a stream for each frame: stretches that overlap have the same ones there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from ...noise import Noise, PoseNoise, mixed

__all__ = ["FrameNoise"]

#: Tells the numbers of the whole clip from those of any frame.
_WHOLE = -1


class FrameNoise(Noise):
    """Standard normal numbers in the order in which motions and paths take them.

    First those of the whole clip, then for each kind of number those of one frame after the other.

    Args:
        seed: any whole number.
        key: what tells the clip, and the motions of it, from others.
        frames: ``(T,)`` numbers of the frames.
        whole: how many are of the whole clip.
        each: of each kind, how many a frame has.
    """

    def __init__(
        self, seed: int, key: Int[Tensor, ""], frames: Int[Tensor, " T"], whole: int, each: Sequence[int]
    ) -> None:
        self._whole, self._each = whole, list(each)
        self._of_clip = PoseNoise(seed, mixed(key, _WHOLE))
        self._of_frames = PoseNoise(seed, mixed(key, frames))
        self._count = len(frames)

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        """Numbers of ``(samples, whole + T * sum(each))``."""
        samples, numbers = size
        if event != 1 or numbers != self._whole + self._count * sum(self._each):
            raise ValueError(f"size {tuple(size)}: {self._count} frames have other numbers")
        first = self._of_clip.normal((samples, self._whole), 1, like)
        rest = self._of_frames.normal((samples, self._count, sum(self._each)), 1, like)
        return torch.cat([first, *(part.flatten(1) for part in rest.split(self._each, -1))], 1)
