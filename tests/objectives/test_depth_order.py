import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import made_up_mocap
from poseterior.data.labels.simulated import LabelConfig, LabelledSimulator
from poseterior.data.simulation.simulator import SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.geometry.kinematics import bone_lengths, bones_to_pose
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters.flow import FlowConfig, FlowLifter
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.lifters.regression import RegressionConfig, RegressionLifter
from poseterior.objectives import make_objective
from poseterior.objectives.depth_order import (
    DepthOrder,
    orthographic_residual,
    perspective_residual,
    ranking_loss,
    root_loss,
    solved_scale,
)
from poseterior.objectives.limbs import TEMPLATES, limb_loss, template_lengths
from poseterior.published.ronchi_2018 import PublishedRegressionConfig, PublishedRegressionLifter

BODY = SKELETONS["h36m17"]


def numbers(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signs(seed: int, n: int) -> torch.Tensor:
    return torch.randint(-1, 2, (n,), generator=torch.Generator().manual_seed(seed)).double()


# -- ranking ---------------------------------------------------------------------------------------------------


def test_ranking_loss_of_right_and_equal_gaps_is_the_published_floor():
    gap = 0.2 * torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert float(ranking_loss(gap, gap.sign())) == pytest.approx(0.0789, abs=5e-5)
    assert float(ranking_loss(gap, gap.sign())) == pytest.approx(math.log1p(math.exp(-2.5)), abs=1e-6)


def test_ranking_loss_by_the_published_formula():
    gap, order = numbers(0, 50), signs(1, 50)
    d = gap / gap.abs().mean()
    expected = (order.abs() * (1 + (-2.5 * order * d).exp()).log() + (1 - order.abs()) * d**2).mean()
    assert float(ranking_loss(gap, order)) == pytest.approx(float(expected), abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_ranking_loss_is_free_of_scale_and_antisymmetric(scale, seed):
    gap, order = numbers(seed, 20), signs(seed, 20)
    loss = ranking_loss(gap, order)
    torch.testing.assert_close(ranking_loss(scale * gap, order), loss)
    torch.testing.assert_close(ranking_loss(-gap, -order), loss)


def test_ranking_gradient_does_not_change_the_overall_depth():
    gap = numbers(2, 30).requires_grad_()
    (gradient,) = torch.autograd.grad(ranking_loss(gap, signs(3, 30)), gap)
    assert float((gradient * gap).sum()) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e6, 1e20])
def test_ranking_loss_is_finite(size):
    for order in (torch.tensor([1.0, -1.0, 0.0]), torch.zeros(3)):
        for normaliser in (None, 0.25):
            gap = (size * torch.tensor([1.0, 1.0, -1.0])).requires_grad_()
            loss = ranking_loss(gap, order, normaliser=normaliser)
            (gradient,) = torch.autograd.grad(loss, gap)
            assert loss.isfinite()
            assert gradient.isfinite().all()


def test_labels_without_confidence_do_not_count():
    gap, order = numbers(4, 10), signs(5, 10)
    confidence = (torch.arange(10) < 6).double()
    torch.testing.assert_close(ranking_loss(gap, order, confidence), ranking_loss(gap[:6], order[:6]))
    twice = torch.cat([gap, gap[:1]]), torch.cat([order, order[:1]])
    weight = torch.ones(10, dtype=torch.float64)
    weight[0] = 2.0
    torch.testing.assert_close(ranking_loss(gap, order, weight), ranking_loss(*twice))


def test_fixed_normaliser_leaves_samples_apart():
    gap, order = numbers(6, 8), signs(7, 8)
    alone = torch.stack([ranking_loss(gap[i : i + 1], order[i : i + 1], normaliser=0.3) for i in range(8)])
    torch.testing.assert_close(ranking_loss(gap, order, normaliser=0.3), alone.mean())


def test_level_joints_are_drawn_together():
    gap = torch.tensor([0.5, -0.2], requires_grad=True)
    (gradient,) = torch.autograd.grad(ranking_loss(gap, torch.zeros(2), normaliser=1.0), gap)
    assert gradient[0] > 0
    assert gradient[1] < 0


# -- reprojection ----------------------------------------------------------------------------------------------


def test_orthographic_residual_is_zero_for_a_projected_pose_and_blind_to_depth(people):
    visible = torch.ones(32, 17, dtype=torch.bool)
    scale = torch.linspace(50, 200, 32)
    image = scale[:, None, None] * people[..., :2]
    assert float(orthographic_residual(people, image, visible, scale).max()) < 1e-3
    torch.testing.assert_close(solved_scale(people[..., :2], image, visible), scale)
    doubled = orthographic_residual(2 * people, image + 3, visible, scale / 2)
    torch.testing.assert_close(doubled, orthographic_residual(people, image + 3, visible, scale))
    pose = people.clone().requires_grad_()
    for given_scale in (scale, None):
        loss = orthographic_residual(pose, image + torch.randn_like(image), visible, given_scale).sum()
        (gradient,) = torch.autograd.grad(loss, pose)
        assert (gradient[..., 2] == 0).all()
        assert gradient[..., :2].abs().sum() > 0


def test_perspective_residual_knows_depth_and_solves_the_root(people):
    root = torch.tensor([0.3, -0.2, 4.0])
    absolute = people + root
    rays = absolute[..., :2] / absolute[..., 2:]
    visible = torch.ones(32, 17, dtype=torch.bool)
    visible[:, 3] = False
    rays[:, 3] = 99.0  # a hidden joint's value does not matter
    assert float(perspective_residual(people, rays, visible, root.expand(32, 3)).max()) < 1.1e-4
    assert float(perspective_residual(people, rays, visible).max()) < 3e-4
    pose = (people + 0.05 * torch.randn(people.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    (gradient,) = torch.autograd.grad(perspective_residual(pose, rays, visible).sum(), pose)
    assert gradient[..., 2].abs().sum() > 0


def test_perspective_tends_to_orthographic_far_away(people):
    visible = torch.ones(32, 17, dtype=torch.bool)
    image = people[..., :2] + 0.1 * torch.randn(32, 17, 2, generator=torch.Generator().manual_seed(0))
    root = torch.tensor([0.0, 0.0, 1.0]).expand(32, 3)
    near, far = (z * perspective_residual(people, image / z, visible, z * root) for z in (3.0, 100.0))
    flat = orthographic_residual(people, image, visible, torch.ones(32))
    assert float((near - flat).abs().max()) > 0.01
    assert float((far - flat).abs().max()) < 0.002


# -- limbs and root --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(TEMPLATES))
def test_limb_loss_is_zero_for_any_pose_of_a_proportioned_skeleton(name):
    template = template_lengths(name)
    assert float(template[BODY.bones.index((3, 2))]) == pytest.approx(TEMPLATES[name]["right_ankle"])
    direction = numbers(8, 40, 17, 3).float()
    direction = direction / direction.norm(dim=-1, keepdim=True)
    lengths = template.nan_to_num(5.0)
    children = [child for child, _ in BODY.bones]
    bones = torch.zeros(40, 17, 3)
    bones[:, children] = direction[:, children] * lengths[:, None]
    size = torch.linspace(0.001, 3.0, 40)[:, None, None]
    poses = size * bones_to_pose(bones, BODY)
    assert float(limb_loss(bone_lengths(poses, BODY), template).max()) < 1e-4
    longer = bone_lengths(poses, BODY)
    longer[:, 4] *= 1.5
    assert float(limb_loss(longer, template).min()) > 0.01


def test_limbs_that_a_template_lacks_have_no_gradient(people):
    lengths = bone_lengths(people, BODY).requires_grad_()
    template = template_lengths("human36m")
    (gradient,) = torch.autograd.grad(limb_loss(lengths, template).sum(), lengths)
    assert (gradient[:, template.isnan()] == 0).all()
    assert gradient.isfinite().all()
    assert template.isnan().sum() == 4


def test_template_by_height():
    lengths = template_lengths("person", torch.tensor([1.5, 1.9]))
    by_name = {BODY.joints[child]: lengths[:, i] for i, (child, _) in enumerate(BODY.bones)}
    tall = sum(by_name[j] for j in ("spine", "thorax", "neck_nose", "head_top", "right_knee", "right_ankle")) + 0.09
    torch.testing.assert_close(tall, torch.tensor([1.5, 1.9]))
    assert float(limb_loss(lengths, lengths, ratio=False).max()) == 0.0
    with pytest.raises(InputError, match="template 'human36m' lacks trunk bones: use limbs: ratio"):
        template_lengths("human36m", torch.ones(()))


def test_root_loss_is_smooth_at_zero():
    root = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(root_loss(root).sum(), root)
    assert (gradient == 0).all()
    assert float(root_loss(torch.tensor([3.0, 4.0, 0.0]))) == pytest.approx(5.0)


# -- the objective ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def observations():
    config = SimulatorConfig(own_body=1.0, recombine=0.0, limb_jitter=0.0)
    simulator = LabelledSimulator(made_up_mocap(100, 2), config, LabelConfig(pairs=3))
    return simulator(64, torch.Generator().manual_seed(0))


LIFTERS = {
    "published": lambda: PublishedRegressionLifter(PublishedRegressionConfig(width=32)),
    "regression": lambda: RegressionLifter(RegressionConfig(width=32, blocks=1)),
    "laplace": lambda: RegressionLifter(RegressionConfig(width=32, blocks=1, spread="laplace")),
    "mixture": lambda: MixtureDensityLifter(MixtureConfig(width=32, blocks=1, kernels=3, rank=2)),
    "flow": lambda: FlowLifter(FlowConfig(width=32, blocks=1, layers=2, hidden=16, context=16)),
}


@pytest.mark.parametrize("name", LIFTERS)
@pytest.mark.parametrize("order", ["ranking", "likelihood"])
def test_trains_every_lifter(observations, name, order):
    torch.manual_seed(0)
    lifter = LIFTERS[name]()
    objective = DepthOrder(order=order, plane="view", camera="perspective", size="height", samples=2)
    optimiser = torch.optim.Adam(lifter.parameters(), 3e-3)
    totals = []
    for _ in range(40):
        terms = objective(lifter, observations)
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
        optimiser.step()
        totals.append(float(loss))
    assert set(terms) == {"rank", "reprojection", "limbs"} | (
        {"root"} if name in ("published", "regression") else set()
    )
    assert all(math.isfinite(total) for total in totals)
    assert sum(totals[-5:]) < sum(totals[:5])


@pytest.mark.parametrize("camera", ["orthographic", "perspective", "none"])
@pytest.mark.parametrize("plane", ["image", "view"])
def test_true_poses_have_no_loss(observations, camera, plane):
    """A lifter that answers the truth pays nothing but the ranking's floor, and the orthographic approximation."""
    exact = SimulatorConfig(noise_added=False, missing={"none": 1.0}, camera_knowledge=(0, 0, 1), truncate=0.0)
    simulator = LabelledSimulator(made_up_mocap(100, 2), exact, LabelConfig(pairs=3))
    seen = simulator(64, torch.Generator().manual_seed(1))
    from poseterior.distributions.delta import DeltaPoseDistribution

    class Oracle(RegressionLifter):
        def distribution(self, keypoints):
            return DeltaPoseDistribution(seen.pose)

    objective = DepthOrder(camera=camera, plane=plane, template="per_sample", reprojection=1.0)
    terms = objective(Oracle(), seen)
    assert float(terms["limbs"]) < 1e-5
    assert float(terms["root"]) < 0.2
    if camera == "perspective":
        # Percents of the size, or pixels; the view is centred on the keypoints, which shifts its rays a little.
        assert float(terms["reprojection"]) < 0.3
    assert float(terms["rank"]) < 0.5


def test_hidden_joints_change_nothing(observations):
    torch.manual_seed(0)
    lifter = LIFTERS["regression"]()
    keypoints = observations.keypoints
    moved = torch.where(keypoints.visible.unsqueeze(-1), keypoints.xy, torch.full_like(keypoints.xy, 1e4))
    changed = dataclasses.replace(observations, keypoints=keypoints._replace(xy=moved))
    for settings_ in ({"plane": "view"}, {"plane": "image"}):
        objective = DepthOrder(**settings_)
        first, second = objective(lifter, observations), objective(lifter, changed)
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": "vote"}, "order: expected one of ranking, likelihood, got 'vote'"),
        ({"camera": "fisheye"}, "camera: expected one of orthographic, perspective, none, got 'fisheye'"),
        ({"template": "giant"}, "template: expected one of person, cmu, human36m, per_sample, got 'giant'"),
        ({"normaliser": 0}, "normaliser: expected 'batch' or metres above 0, got 0"),
        ({"rank": -1}, "rank: expected a finite number from 0, got -1"),
        ({"samples": 0}, "samples: expected a whole number, at least 1, got 0"),
        ({"size": "height", "template": "human36m"}, "lacks trunk bones"),
    ],
)
def test_wrong_settings(values, message):
    with pytest.raises(InputError, match="objective 'depth_order'") as error:
        make_objective("depth_order", values)
    assert message in str(error.value)


def test_needs_labels(observations):
    from poseterior.data.observations import Observations

    plain = Observations(**{f.name: getattr(observations, f.name) for f in dataclasses.fields(Observations)})
    with pytest.raises(InputError, match="needs labels: add a section 'labels' to the recipe"):
        DepthOrder()(LIFTERS["regression"](), plain)


def test_perspective_in_the_image_needs_intrinsics(observations):
    assert observations.keypoints.intrinsics.isnan().any()
    with pytest.raises(InputError, match="needs intrinsics of every picture"):
        DepthOrder(camera="perspective")(LIFTERS["regression"](), observations)


# -- fitting the posterior -------------------------------------------------------------------------------------


def test_energies_by_hand():
    from poseterior.objectives.depth_order import image_energy
    from poseterior.objectives.limbs import limb_energy

    residual = torch.tensor([[[0.03, 0.0], [0.0, 0.08], [9.0, 9.0]]])
    covariance = torch.diag(torch.tensor([0.01**2, 0.04**2])).expand(1, 3, 2, 2)
    visible = torch.tensor([[True, True, False]])
    # 3 and 2 standard deviations; the square gives way to a line far out.
    assert float(image_energy(residual, covariance, visible)) == pytest.approx(0.5 * (9 + 4), rel=0.03)
    far = image_energy(torch.tensor([[[10.0, 0.0]]]), covariance[:, :1], visible[:, :1])
    assert float(far) == pytest.approx(10.0 * 1000.0 - 100.0, rel=0.01)
    template = torch.tensor([0.4, math.nan])
    lengths = torch.tensor([0.4 * math.exp(0.3), 7.0])
    assert float(limb_energy(lengths, template, 0.15)) == pytest.approx(2.0, abs=1e-4)


def test_fitting_the_posterior_finds_a_known_one():
    """Each kernel of a mixture fitted to keypoints and lengths becomes as wide as the keypoints are uncertain."""
    torch.manual_seed(0)
    config = SimulatorConfig(
        own_body=1.0, recombine=0.0, limb_jitter=0.0, noise=(15.0, 15.0), noise_joint=(1.0, 1.0),
        noise_ratio=(1.0, 1.0),
        missing={"none": 1.0}, truncate=0.0, camera_knowledge=(0, 0, 1), height_known=1.0,
    )  # fmt: skip
    simulator = LabelledSimulator(made_up_mocap(100, 2), config, LabelConfig())
    lifter = MixtureDensityLifter(MixtureConfig(width=64, blocks=1, kernels=2, rank=2))
    objective = DepthOrder(
        order="likelihood", plane="view", camera="perspective", size="height", posterior=True, reprojection=1.0
    )
    optimiser = torch.optim.Adam(lifter.parameters(), 2e-3)
    for step in range(300):
        terms = objective(lifter, simulator(64, torch.Generator().manual_seed(step)))
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
        optimiser.step()
    assert set(terms) == {"rank", "reprojection", "limbs", "negentropy"}
    with torch.no_grad():
        mixture = lifter(simulator(64, torch.Generator().manual_seed(1)).keypoints)
        # Each kernel alone, in the axes of the view: what the kernels lie apart by is not the keypoints' doing.
        kernels = type(mixture)(
            torch.zeros(64, 2, 1), mixture.loc[:, :, None], mixture.scale_tril[:, :, None], mixture.factor[:, :, None]
        )
        spread = kernels.stddev[..., 1:, :].mean((0, 1, 2))
    # 15 mm across the line of sight, if proportions said nothing: 0.0165 ± 0.0011 over 15 runs; 0.003 without the
    # entropy, 0.030 if it counts twice, 0.026 with half as sure proportions, 0.12 without keypoints.
    assert 0.011 < float(spread[:2].mean()) < 0.022
    # Several times that along it: 5.3 ± 0.6 times; 0.9 times without keypoints.
    assert float(spread[2]) > 2 * float(spread[:2].mean())


def test_fitting_needs_a_density_and_a_camera(observations):
    with pytest.raises(InputError, match="posterior: needs plane: view, camera: perspective and size: height"):
        DepthOrder(posterior=True)
    objective = DepthOrder(plane="view", camera="perspective", size="height", posterior=True)
    with pytest.raises(InputError, match="posterior: lifter 'regression' has no density"):
        objective(LIFTERS["regression"](), observations)
