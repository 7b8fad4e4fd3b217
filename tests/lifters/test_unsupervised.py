import math

import pytest
import torch

from conftest import made_up_mocap
from poseterior.data.simulation.clips import ClipSimulator
from poseterior.data.simulation.simulator import SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.geometry.kinematics import body_height
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.rays import NOMINAL_SPREAD, apparent_size, root_relative_image
from poseterior.lifters import load
from poseterior.lifters.rays import RayLifter
from poseterior.lifters.unsupervised import UnsupervisedConfig, UnsupervisedLifter
from poseterior.published.yu_2021 import (
    PublishedDepthNetwork,
    PublishedScaleNetwork,
    PublishedUnsupervisedConfig,
    PublishedUnsupervisedLifter,
)

INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])
ROOT = torch.tensor([0.3, -0.1, 5.0])


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def exact(xy: torch.Tensor, spread: float = 1e-3, **kwargs) -> Keypoints2D:
    """Keypoints that are known to a thousandth of a pixel."""
    kwargs = {"intrinsics": INTRINSICS} | kwargs
    return Keypoints2D(xy, torch.full(xy.shape[:-1], spread), **kwargs)


def seen(poses: torch.Tensor, **kwargs) -> Keypoints2D:
    return exact(project(poses + ROOT, INTRINSICS), **kwargs)


def lifter(published: bool = False, **kwargs) -> RayLifter:
    torch.manual_seed(0)
    if published:
        return PublishedUnsupervisedLifter(PublishedUnsupervisedConfig(width=32, blocks=1, scale="published")).eval()
    return UnsupervisedLifter(UnsupervisedConfig(**{"width": 32, "blocks": 1} | kwargs)).eval()


PUBLISHED = {"published": True}


def test_published_parameter_counts():
    assert count(PublishedDepthNetwork(17)) == 15_993_873
    assert count(PublishedScaleNetwork(17)) == 3_224_577
    assert count(PublishedUnsupervisedLifter()) == 15_993_873
    with_head = PublishedUnsupervisedLifter(PublishedUnsupervisedConfig(scale="published"))
    assert count(with_head) == 15_993_873 + 3_224_577
    assert count(UnsupervisedLifter()) < 3_000_000


@pytest.mark.parametrize("kwargs", [{}, {"scale": "bounded", "normalise": "split", "size": "free"}, PUBLISHED])
def test_lifts_any_batch_shape_and_saves(people, tmp_path, kwargs):
    lift = lifter(**kwargs)
    keypoints = seen(people)
    pose = lift(keypoints).mean
    assert pose.shape == (32, 17, 3)
    assert (pose[:, 0] == 0).all()
    square = exact(keypoints.xy.reshape(4, 8, 17, 2))
    torch.testing.assert_close(lift(square).mean.reshape(32, 17, 3), pose, atol=1e-5, rtol=1e-4)
    lift.save_pretrained(tmp_path / "saved")
    torch.testing.assert_close(load(tmp_path / "saved")(keypoints).mean, pose)


@pytest.mark.parametrize("kwargs", [{}, PUBLISHED])
def test_hidden_joints_change_nothing(people, kwargs):
    lift = lifter(**kwargs)
    visible = torch.rand(32, 17, generator=torch.Generator().manual_seed(0)) < 0.7
    xy = seen(people).xy
    first, second = (
        exact(torch.where(visible.unsqueeze(-1), xy, torch.tensor(value)), visible=visible) for value in (0.0, math.nan)
    )
    assert torch.equal(lift(first).mean, lift(second).mean)


def test_bodies_are_as_tall_as_told(people):
    lift = lifter()
    torch.testing.assert_close(body_height(lift(seen(people, height=1.9)).mean), torch.full((32,), 1.9))
    torch.testing.assert_close(body_height(lift(seen(people)).mean), torch.full((32,), 1.7))


def test_lifted_poses_lie_on_the_rays(people):
    lift = lifter()
    image = 0.05 * people[..., :2]
    lifted = lift.lift_image(image, torch.ones(32, 17, dtype=torch.bool))
    absolute = lifted.pose + torch.tensor([0.0, 0.0, 10.0])
    torch.testing.assert_close(absolute[..., :2] / absolute[..., 2:], image, atol=1e-6, rtol=1e-5)


def test_nobody_is_behind_the_camera(people):
    lift = lifter()
    lift.head.bias.data[:17] = torch.linspace(-100, 100, 17)
    lifted = lift.lift_image(0.05 * people[..., :2], torch.ones(32, 17, dtype=torch.bool))
    assert float(lifted.pose[..., 2].min()) + 10.0 >= 1.0 - 1e-5


def test_normalisation_keeps_the_shape_whatever_the_picture(people):
    keypoints = seen(people)
    image, visible = root_relative_image(keypoints)
    assert visible.all()
    assert (image[:, 0] == 0).all()
    spread = (image - image.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(spread, torch.full((32,), NOMINAL_SPREAD), rtol=1e-3, atol=0)
    # The same picture at three times the resolution and moved principal point.
    camera = torch.tensor([3000.0, 3000.0, 1507.0, 1507.0])
    scaled = exact(3 * keypoints.xy + 7, 3e-3, intrinsics=camera)
    torch.testing.assert_close(root_relative_image(scaled)[0], image, atol=1e-5, rtol=1e-3)
    # x and y have one factor: the shape is that of the rays around the person.
    flat = people[:1] * torch.tensor([1.0, 1.0, 0.0])
    shape = root_relative_image(exact(project(flat + torch.tensor([0.0, 0.0, 50.0]), INTRINSICS)))[0]
    ratio = shape[0, 1:] / flat[0, 1:, :2]
    torch.testing.assert_close(ratio, ratio.mean().expand(16, 2), rtol=5e-3, atol=0)


def test_split_normalisation_comes_from_the_training_keypoints():
    config = SimulatorConfig(
        recombine=0.0, limb_jitter=0.0, own_body=1.0, noise_added=False, missing={"none": 1.0}, truncate=0
    )
    pairs = ClipSimulator(made_up_mocap(100, 2), config)(400, torch.Generator().manual_seed(0))
    lift = lifter(normalise="split")
    lift.fit_constants(pairs)
    image, _ = lift.image_of(pairs.keypoints)
    head = lift.skeleton.index("head_top")
    assert float(image[:, head].norm(dim=-1).mean()) == pytest.approx(0.1, abs=1e-5)
    assert image[:, head].norm(dim=-1).std() > 0.01  # people who are far away stay small


def test_bounded_scale_stays_in_its_bounds(people):
    lift = lifter(scale="bounded", scale_range=2.0, normalise="split", size="free")
    visible = torch.ones(32, 17, dtype=torch.bool)
    for size in (1e-3, 1.0, 1e3):
        log_scale = lift.log_scale(size * people[..., :2], visible)
        assert float(log_scale.abs().max()) <= math.log(2.0)
    assert (lifter().log_scale(people[..., :2], visible) == 0).all()


def test_apparent_size():
    image = torch.tensor([[[0.0, 0.0], [0.3, 0.1], [-0.1, 0.5]]])
    assert float(apparent_size(image)) == pytest.approx(0.45)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": "huge"}, "lifter.scale: expected 'none' or 'bounded', got 'huge'"),
        ({"distance": 1}, "lifter.distance: expected a number from 2.0 to 1000.0, got 1"),
        ({"elevation": 3}, "lifter.elevation: expected true or false, got 3"),
        ({"scale_range": 0.5}, "lifter.scale_range: expected a number from 1.0 to 100.0, got 0.5"),
    ],
)
def test_wrong_configurations(values, message):
    with pytest.raises(InputError) as error:
        UnsupervisedConfig.from_dict(values)
    assert str(error.value) == message


def test_error_bars_come_from_2d_alone(tmp_path):
    """From keypoints without any 3D; hidden joints' bars are longer, depth's longer than the picture plane's."""
    config = SimulatorConfig(
        recombine=0.0, limb_jitter=0.0, own_body=1.0, noise_added=False, missing={"none": 1.0}, truncate=0
    )
    pairs = ClipSimulator(made_up_mocap(100, 2), config)(600, torch.Generator().manual_seed(0))
    lift = lifter()
    point = lift(pairs.keypoints)
    with pytest.raises(NotImplementedError, match="has no density"):
        point.log_prob(point.mean)
    lift.calibrate(pairs)
    assert lift.config.spread == "laplace"
    bars = lift(pairs.keypoints)
    torch.testing.assert_close(bars.mean, point.mean)
    assert bars.log_prob(bars.mean).isfinite().all()
    assert float(lift.residual[0].mean()) > float(lift.residual[1].mean())
    first = lift.residual.clone()
    lift.calibrate(pairs)
    assert torch.equal(first, lift.residual)
    lift.save_pretrained(tmp_path / "saved")
    assert torch.equal(load(tmp_path / "saved").residual, first)
