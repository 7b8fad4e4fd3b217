"""The Gaussian over motions against itself written out in full."""

import math

import numpy as np
import pytest
import torch

from poseterior.distributions.clip_errors import ClipErrors, Parts
from poseterior.evaluation.clip_errors import motion_covariance
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.lifting.clips.filtering import PLACE, RETURN, SPEED
from poseterior.lifting.clips.frames import Frames, averaged
from poseterior.lifting.clips.gaussian import motion_gaussian, setting_of
from poseterior.lifting.clips.sizes import POINTS, Sizes, normal_shape
from poseterior.noise import PoseNoise

COUNT, SIZE = 5, 48
ERRORS = ClipErrors(Parts(1.0, 0.3, 0.3, 0.1), Parts(1.2, 0.4, 0.2, 0.2))


@pytest.fixture
def frames(standing) -> Frames:
    """Five frames of a person whose coordinates hang together; the fourth one shows nobody, a knee is hidden in two."""
    generator = torch.Generator().manual_seed(0)
    visible = torch.ones(COUNT, 17, dtype=torch.bool)
    visible[3] = False
    visible[1:3, SKELETONS["h36m17"].index("left_knee")] = False
    keypoints = Keypoints2D(torch.rand(COUNT, 17, 2, generator=generator) * 100, visible=visible)
    root = 0.02 * torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64)
    covariance = (root @ root.T + 1e-4 * torch.eye(SIZE)).expand(COUNT, SIZE, SIZE)
    covariance = covariance * (1.0 + torch.rand(COUNT, 1, 1, generator=generator))
    mean = standing[1:].flatten().double() + 0.02 * torch.randn(COUNT, SIZE, generator=generator)
    present = visible.any(-1)
    axes = torch.eye(3, dtype=torch.float64).expand(COUNT, 3, 3)
    times = np.arange(COUNT) / 30
    level = math.log(1.7) + 0.02 * torch.randn(COUNT, generator=generator, dtype=torch.float64)
    variance = 0.05**2 * (1.0 + torch.rand(COUNT, generator=generator, dtype=torch.float64))
    sizes = Sizes(level, mean, variance, normal_shape())
    return Frames(
        keypoints, 30.0, times, present, axes, torch.where(present[:, None], mean, 0.0), covariance, sizes, None, {}
    )


class Basis:
    """Normal numbers that are the unit vectors, in place of drawn ones: draws are the columns of a square root."""

    def normal(self, size, event, like):
        return torch.eye(size[1])[:, : size[1]]


def in_full(frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (T d), and covariance (T d, T d) on a body of known size, of what is drawn."""
    gaussian, _ = motion_gaussian(frames, setting_of(frames, ERRORS))
    columns = gaussian.draw(1 + SIZE + COUNT * SIZE * 3, Basis())[0] - gaussian.mean
    half = columns[1:].flatten(1)  # the first one is the size's
    return gaussian.mean.flatten(), half.mT @ half


def coordinates_alone(frames: Frames) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (T d) and covariance (d, T, T) of each coordinate's path by dense algebra."""
    gaussian, _ = motion_gaussian(frames, setting_of(frames, ERRORS))
    seen = gaussian.setting.seen
    times = torch.from_numpy(frames.times)
    motion = motion_covariance(times, torch.from_numpy(gaussian.density), PLACE, SPEED, RETURN)
    rows = frames.present
    alone = torch.zeros(SIZE, COUNT, COUNT, dtype=torch.float64)
    mean = torch.zeros(COUNT, SIZE, dtype=torch.float64)
    for i in range(SIZE):
        slow = torch.from_numpy(seen.slow[:, i])
        error = slow[:, None] * slow * torch.exp(-(times[:, None] - times).abs() / seen.seconds[i])
        error = error + torch.diag(torch.from_numpy(seen.white[:, i]))
        whole = (motion[i] + error)[rows][:, rows]
        gain = torch.linalg.solve(whole, motion[i][rows]).T
        mean[:, i] = gain @ torch.from_numpy(seen.value[:, i])[rows] + gaussian.setting.middle[i]
        alone[i] = motion[i] - gain @ motion[i][rows] + gaussian.setting.constant[i] ** 2
    return mean.flatten(), alone


def of_sizes(gaussian, mean: torch.Tensor) -> torch.Tensor:
    """Means for each of the clip's sizes (points, T d)."""
    slope = gaussian.setting.slope.flatten()
    return mean + gaussian.setting.size.points.unsqueeze(-1) * slope


def test_density_is_that_of_the_gaussian_in_full(frames):
    gaussian, _ = motion_gaussian(frames, setting_of(frames, ERRORS))
    mean, covariance = in_full(frames)
    normal = torch.distributions.MultivariateNormal(
        of_sizes(gaussian, mean).unsqueeze(1), covariance + 1e-15 * torch.eye(len(mean))
    )
    motions, _ = gaussian.draw(4, PoseNoise(0, torch.zeros((), dtype=torch.int64)))
    density = normal.log_prob(motions.flatten(1)).logsumexp(0) - math.log(POINTS)
    torch.testing.assert_close(gaussian.log_prob(motions), density, atol=0.01, rtol=1e-5)


def test_each_coordinate_has_the_paths_that_it_has_alone(frames):
    """Whatever the correlations: mean and covariance over time are those of dense algebra."""
    mean, covariance = in_full(frames)
    expected, alone = coordinates_alone(frames)
    torch.testing.assert_close(mean, expected, atol=1e-9, rtol=0)
    own = covariance.reshape(COUNT, SIZE, COUNT, SIZE).diagonal(dim1=1, dim2=3).movedim(-1, 0)
    torch.testing.assert_close(own, alone, atol=1e-10, rtol=1e-4)


def test_spread_within_frames(frames):
    """Coordinates' spreads are untouched by the others, and go together where those of the frames do."""
    gaussian, _ = motion_gaussian(frames, setting_of(frames, ERRORS))
    _, covariance = in_full(frames)
    within = covariance.reshape(COUNT, SIZE, COUNT, SIZE).diagonal(dim1=0, dim2=2).movedim(-1, 0)
    torch.testing.assert_close(gaussian.alone.square(), within.diagonal(dim1=-2, dim2=-1), rtol=1e-6, atol=0)
    size = gaussian.setting.size.points.square().mean() * gaussian.setting.slope.square()
    torch.testing.assert_close(gaussian.stddev.square(), gaussian.alone.square() + size, rtol=1e-6, atol=0)
    correlation = within / (gaussian.alone.unsqueeze(-1) * gaussian.alone.unsqueeze(-2))
    wanted = gaussian.roots[:] @ gaussian.roots[:].mT
    both = torch.stack([correlation.flatten(), wanted.flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.95
    motions, _ = gaussian.draw(4000, PoseNoise(1, torch.zeros((), dtype=torch.int64)))
    torch.testing.assert_close(motions.std(0), gaussian.stddev, rtol=0.06, atol=0)
    assert bool(((motions.mean(0) - gaussian.mean).abs() < 5 * gaussian.stddev / 4000**0.5).all())


def test_pairs_mirror_each_other(frames):
    gaussian, _ = motion_gaussian(frames, setting_of(frames, ERRORS))
    motions, _ = gaussian.draw(10, PoseNoise(0, torch.zeros((), dtype=torch.int64)), paired=True)
    torch.testing.assert_close(motions.mean(0), gaussian.mean, atol=1e-12, rtol=0)


def test_what_all_frames_share_is_not_averaged_away(frames):
    """With any number of frames the constant part of the error stays whole."""
    setting = setting_of(frames, ERRORS)
    gaussian, _ = motion_gaussian(frames, setting)
    assert bool((gaussian.alone >= torch.from_numpy(setting.constant)).all())
    told = frames.seen.repeat_interleave(3, -1) & frames.present[:, None]
    variance = frames.covariance.diagonal(dim1=-2, dim2=-1)
    typical = (variance * told).sum(0) / told.sum(0)
    share = torch.tensor([0.3, 0.3, 0.4 * 1.2**2], dtype=torch.float64).repeat(SIZE // 3)
    torch.testing.assert_close(torch.from_numpy(setting.constant).square(), share * typical, rtol=1e-6, atol=0)


def test_missing_frames_are_wide(frames):
    gaussian, _ = motion_gaussian(frames, setting_of(frames, ERRORS))
    assert bool((gaussian.alone[3] > gaussian.alone[2]).all())


def test_averages_over_frames_keep_what_is_constant():
    values = torch.full((7, 2, 2), 3.0, dtype=torch.float64)
    torch.testing.assert_close(averaged(values, 3), values)
    assert averaged(values[:1], 5).shape == (1, 2, 2)
