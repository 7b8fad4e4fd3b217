"""Evaluation on observations whose posterior is known."""

import dataclasses

import pytest
import torch

from poseterior.benchmark import evaluate
from poseterior.data.protocols import ObservationSet
from poseterior.data.simulator import Observations
from poseterior.distributions import MixturePoseDistribution
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import Lifter, LifterConfig

N, J = 600, 16


class Known(Lifter):
    """Returns a fixed Gaussian around 0.01 times the keypoints' pixels, whatever the joint."""

    def __init__(self, sigma: float) -> None:
        super().__init__(LifterConfig())
        self.sigma = sigma

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        loc = torch.zeros(*keypoints.batch_shape, 1, J, 3)
        loc[..., :2] = 0.01 * keypoints.xy[..., None, 1:, :]
        scale = self.sigma * torch.eye(3).expand(*keypoints.batch_shape, 1, J, 3, 3)
        return MixturePoseDistribution(torch.zeros(*keypoints.batch_shape, 1), loc, scale)


@pytest.fixture(scope="module")
def data() -> ObservationSet:
    generator = torch.Generator().manual_seed(0)
    xy = 100 * torch.rand(N, 17, 2, generator=generator)
    visible = torch.rand(N, 17, generator=generator) < 0.8
    keypoints = Keypoints2D(xy, visible=visible, image_size=(100, 100))
    pose = Known(0.1)(keypoints).sample(seed=1)
    ones = torch.ones(N, 17, dtype=torch.bool)
    observations = Observations(keypoints, pose, ones, torch.zeros(N, 3), torch.arange(N))
    return ObservationSet(observations, ("walk",) * 300 + ("jump",) * 300, ("x",) * N, "made-up v1", 0)


def test_the_right_posterior_is_calibrated(data):
    result = evaluate(Known(0.1), data, samples=100)
    for split in ("all", "visible", "missing"):
        assert result["calibration"][split]["mean"] < 0.04
        assert abs(result["calibration"][split]["signed"]) < 0.02
    # Entropy a dimension of a Gaussian with sigma 0.1, and its 90 % radius (chi with 3 degrees: 2.500 sigma).
    assert result["metrics"]["NLL"] == pytest.approx(0.5 * 2.8378770664 - 2.302585093, abs=0.02)
    assert result["error bar"]["visible"] == pytest.approx(250.0, rel=0.03)
    assert set(result["per action"]) == {"walk", "jump"}


@pytest.mark.parametrize(("sigma", "sign"), [(0.03, 1), (0.3, -1)])
def test_wrong_posteriors_are_found_out(data, sigma, sign):
    result = evaluate(Known(sigma), data, samples=100)
    assert sign * result["calibration"]["all"]["signed"] > 0.2
    right = evaluate(Known(0.1), data, samples=100)["metrics"]
    for score in ("CRPS", "energy score", "NLL"):
        assert result["metrics"][score] > right[score]


def test_same_seed_same_result(data):
    assert evaluate(Known(0.1), data, samples=20) == evaluate(Known(0.1), data, samples=20)


def test_joints_that_the_source_lacks_do_not_count(data):
    observed = torch.ones(N, 17, dtype=torch.bool)
    observed[:, 10] = False
    results = []
    for junk in (0.0, float("nan")):
        pose = data.observations.pose.clone()
        pose[:, 10] = junk
        changed = dataclasses.replace(data.observations, pose=pose, observed=observed)
        results.append(evaluate(Known(0.1), dataclasses.replace(data, observations=changed), samples=20))
    assert results[0] == results[1]
    assert "head_top" not in results[0]["per joint"]
