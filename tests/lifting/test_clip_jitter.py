"""What jumps of keypoints say of a detector's noise."""

import math

import pytest
import torch

from poseterior.keypoints import Keypoints2D
from poseterior.lifting.clips.jitter import most_noise


def jumping(times: float, frames: int = 60) -> Keypoints2D:
    """Slow motion, and noise ``times`` as large as the 3 px that are reported."""
    generator = torch.Generator().manual_seed(0)
    path = 300 + 50 * torch.sin(torch.arange(frames) / 20.0)[:, None, None] + torch.rand(17, 2, generator=generator)
    noise = 3.0 * times * torch.randn(frames, 17, 2, generator=generator)
    return Keypoints2D(path + noise, (9.0 * torch.eye(2)).expand(frames, 17, 2, 2))


@pytest.mark.parametrize("times", [0.5, 1.0, 3.0])
def test_white_noise_is_found(times):
    assert most_noise(jumping(times)) == pytest.approx(times, rel=0.1)


def test_too_short_to_tell():
    assert most_noise(jumping(1.0, frames=4)) == math.inf
