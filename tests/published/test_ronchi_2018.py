"""The published regression and its supervised twin: sizes, constants, scale head (Ronchi et al. 2018)."""

import dataclasses

import pytest
import torch

from conftest import made_up_mocap
from poseterior.data.simulation.simulator import Simulator
from poseterior.files.errors import InputError
from poseterior.objectives.regression import Regression
from poseterior.published.ronchi_2018 import (
    PublishedRegressionConfig,
    PublishedRegressionLifter,
    PublishedRegressionNetwork,
)

TWIN = dataclasses.replace(PublishedRegressionConfig.supervised(), width=32)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def observations():
    return Simulator(made_up_mocap(100, 2))(400, torch.Generator().manual_seed(0))


def test_published_parameter_counts():
    assert count(PublishedRegressionLifter()) == 2_194_535
    assert count(PublishedRegressionLifter(PublishedRegressionConfig.supervised())) == 2_194_535 - 51 - 1025
    parent = PublishedRegressionNetwork(32, 48, 1024, blocks=2)
    assert count(parent) == 4_291_632


def test_published_input_is_standardised(observations):
    lifter = PublishedRegressionLifter(TWIN)
    lifter.fit_constants(observations)
    assert (lifter.input_std[:2] == 1).all()  # the root is always at 0
    torch.testing.assert_close(lifter.output_mean, observations.pose.flatten(1).mean(0))
    free = PublishedRegressionLifter(PublishedRegressionConfig(width=32))
    free.fit_constants(observations)
    assert (free.output_mean == 0).all()  # no 3D constant in the weakly supervised one


def test_scale_head_stays_in_its_range(observations):
    torch.manual_seed(0)
    lifter = PublishedRegressionLifter(PublishedRegressionConfig(width=32)).eval()
    lifter.fit_constants(observations)
    scale = lifter(observations.keypoints).image_scale
    assert scale.shape == (400,)
    assert ((scale > 0) & (scale < 1000)).all()


def test_published_loss_is_the_squared_error_of_standardised_poses(observations):
    torch.manual_seed(0)
    lifter = PublishedRegressionLifter(TWIN).eval()
    lifter.fit_constants(observations)
    lifter.output_std[3:] = torch.linspace(0.1, 0.5, 48)
    loss = Regression()(lifter, observations)["mse"]
    error = (lifter(observations.keypoints).mean - observations.pose).flatten(1) / lifter.output_std
    torch.testing.assert_close(loss, error[:, 3:].square().mean())
    with pytest.raises(InputError, match="loss: expected 'mse' or 'mpjpe', got 'l3'"):
        Regression("l3")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": "weak"}, "lifter.scale: expected one of 'none', 'orthographic', 'perspective', got 'weak'"),
        ({"output": "huge"}, "lifter.output: expected 'free' or 'standardised', got 'huge'"),
        ({"dropout": 2}, "lifter.dropout: expected a number from 0 to 0.99, got 2"),
    ],
)
def test_wrong_configurations(values, message):
    with pytest.raises(InputError) as error:
        PublishedRegressionConfig.from_dict(values)
    assert str(error.value) == message
