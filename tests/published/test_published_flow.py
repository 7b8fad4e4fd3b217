import numpy as np
import pytest
import torch

from poseterior.data.sets.h36m_layout import DETECTED_JOINTS
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.noise import SharedNoise
from poseterior.published.wehrbein_2021.condition import CONDITION_JOINTS
from poseterior.published.wehrbein_2021.network import (
    POSE_JOINTS,
    PublishedFlow,
    PublishedFlowPoses,
    keypoint_condition,
    keypoints_to_vector,
    pose_to_vector,
    soft_clamp,
    vector_to_pose,
)

BODY = SKELETONS["h36m17"]
SIXTEEN = [BODY.index(joint) for joint in DETECTED_JOINTS]
PERMUTATIONS = [
    [29, 4, 26, 30, 32, 37, 34, 40], [33, 23, 38, 36, 2, 3, 31, 26], [23, 12, 42, 16, 35, 43, 46, 13],
    [12, 38, 9, 45, 31, 28, 13, 46], [6, 47, 11, 4, 12, 31, 7, 25], [29, 32, 6, 17, 19, 26, 2, 42],
    [47, 39, 37, 23, 7, 0, 6, 32], [13, 15, 22, 36, 40, 24, 1, 20],
]  # fmt: skip


@pytest.fixture
def flow() -> PublishedFlow:
    torch.manual_seed(0)
    return PublishedFlow()


def seen(people: torch.Tensor, **changes) -> Keypoints2D:
    return Keypoints2D(500 + 200 * people[..., :2], **({"image_size": (1000, 1000)} | changes))


# -- the network ---------------------------------------------------------------------------------------------


def test_golden_numbers_of_parameters(flow):
    assert sum(p.numel() for p in flow.parameters()) == 2_157_176
    assert sum(p.numel() for p in flow.blocks.parameters()) == 2_122_560
    assert sum(p.numel() for p in flow.condition_net.parameters()) == 34_616


def test_golden_permutations_are_in_the_weights(flow):
    state = flow.state_dict()
    for number, start in enumerate(PERMUTATIONS):
        assert state[f"blocks.{number}.permutation"][:8].tolist() == start


def test_initial_weights(flow):
    weights = torch.cat([p.detach().flatten() for p in flow.blocks.parameters()])
    assert float(weights.mean()) == pytest.approx(0.0, abs=2e-4)
    assert float(weights.std()) == pytest.approx(0.05, abs=2e-4)
    assert flow.condition_net[0].weight.abs().max() <= 78**-0.5


def test_soft_clamp():
    s = torch.tensor([-1e9, -2.0, 0.0, 2.0, 1e9], dtype=torch.float64, requires_grad=True)
    clamped = soft_clamp(s)
    limit, middle = 0.636 * np.pi, 0.318 * np.pi
    np.testing.assert_allclose(clamped.detach(), [-limit, -middle, 0.0, middle, limit], atol=1e-8)
    (slope,) = torch.autograd.grad(clamped[2], s)
    assert float(slope[2]) == pytest.approx(0.636)


@pytest.mark.parametrize(("dtype", "there", "back"), [(torch.float64, 1e-12, 1e-12), (torch.float32, 1e-5, 1e-4)])
def test_round_trips(flow, dtype, there, back):
    """Poses of poses' size through the latent; unit normal latents, which blow poses up, through the pose.

    Of the latter the worst rows (coordinates of several hundred metres) reach some 1e-4 in float32, however the
    layers are computed, so that 99 % of the rows are held to the bound there.
    """
    flow = flow.to(dtype)
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=dtype)  # noqa: E731
    x, context = 0.3 * draw(256, 48), 0.5 * draw(256, 56)
    latent, xy, _ = flow.forward_map(x, context)
    assert latent.shape == (256, 16)
    assert xy.shape == (256, 32)
    assert (flow.inverse_map(latent, xy, context) - x).abs().max() < there
    latent, xy = draw(256, 16), draw(256, 32)
    again = flow.forward_map(flow.inverse_map(latent, xy, context), context)
    error = torch.cat([again[0] - latent, again[1] - xy], -1).abs().amax(-1)
    assert error.quantile(1.0 if dtype == torch.float64 else 0.99) < back


def test_log_determinant_is_that_of_the_jacobian(flow):
    flow = flow.double()
    x, context = 0.3 * torch.randn(48, dtype=torch.float64), torch.randn(56, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: torch.cat(flow.forward_map(v, context)[:2]), x)
    assert float(flow.forward_map(x, context)[2]) == pytest.approx(float(torch.linalg.slogdet(jacobian)[1]), abs=1e-8)


def test_one_block_by_its_formula(flow):
    """Written out: both halves change, the context is concatenated, the permutation comes last."""
    block, x, c = flow.blocks[3].double(), torch.randn(5, 48).double(), torch.randn(5, 56).double()

    def subnet(net, half):
        hidden = (torch.cat([half, c], -1) @ net.enter.weight.T + net.enter.bias).relu()
        s, t = (hidden @ net.leave.weight.T + net.leave.bias).split(24, -1)
        return 2 * 0.636 * torch.atan(s / 2), t

    a, b = x.split(24, -1)
    s2, t2 = subnet(block.second, b)
    a = s2.exp() * a + t2
    s1, t1 = subnet(block.first, a)
    b = s1.exp() * b + t1
    y, log_det = block(x, c)
    torch.testing.assert_close(y, torch.cat([a, b], -1)[:, np.random.RandomState(3).permutation(48)])
    torch.testing.assert_close(log_det, (s1 + s2).sum(-1))


def test_samples_of_a_broadcast_context_are_those_of_a_repeated_one(flow):
    flow = flow.double()
    latent, xy, context = (torch.randn(*s, dtype=torch.float64) for s in ((7, 3, 16), (3, 32), (3, 56)))
    repeated = flow.inverse_map(latent, xy.expand(7, 3, 32), context.expand(7, 3, 56))
    # Rounding alone: unit latents blow up to coordinates of hundreds, so it is relative to these.
    atol = 1e-12 * float(repeated.abs().max())
    torch.testing.assert_close(flow.inverse_map(latent, xy, context), repeated, rtol=0, atol=atol)


# -- the network's numbers -----------------------------------------------------------------------------------


def test_joints_of_the_condition():
    matched = [POSE_JOINTS.index(joint) for joint in CONDITION_JOINTS]
    assert matched == [2, 1, 4, 5, 6, 7, 9, 15, 14, 13, 10, 11, 12]
    assert set(DETECTED_JOINTS) == set(BODY.joints) - {"neck_nose"}


def test_golden_3d_norm():
    n = torch.arange(16, dtype=torch.float64)
    joints = torch.stack([100 * n.sin(), 300 * (0.5 * n).cos(), 50 * (2 * n).sin()], -1) / 1000
    vector = pose_to_vector(torch.cat([torch.full((1, 3), 9.9), joints]))
    np.testing.assert_allclose(vector[:3], [-0.012098, 0.072049, 0.078832], atol=1e-6)
    np.testing.assert_allclose(vector[16:19], [-0.252936, -0.216211, -0.115027], atol=1e-6)
    np.testing.assert_allclose(vector[32:35], [-0.000695, -0.046160, 0.037145], atol=1e-6)
    assert float(vector.square().sum()) == pytest.approx(0.812984, abs=1e-6)


def test_poses_come_back_relative_to_the_middle_of_the_hips(people):
    hips = people[:, [BODY.index("right_hip"), BODY.index("left_hip")]].mean(1, keepdim=True)
    again = vector_to_pose(pose_to_vector(people))
    torch.testing.assert_close(again[:, 1:], (people - hips)[:, 1:], rtol=0, atol=1e-6)
    assert (again[:, 0] == 0).all()


def test_golden_2d_norm():
    n = torch.arange(16)
    xy = torch.zeros(17, 2)
    xy[SIXTEEN] = torch.stack([100 + 10 * n.sin(), 120 + 30 * (0.5 * n).cos()], -1)
    vector = keypoints_to_vector(Keypoints2D(xy))
    np.testing.assert_allclose(vector[:3], [-0.076846, 0.457654, 0.500737], atol=1e-5)
    np.testing.assert_allclose(vector[16:19], [-1.606644, -1.373366, -0.730648], atol=1e-5)
    assert float(vector.square().sum()) == pytest.approx(32.0, abs=1e-4)


# -- the condition -------------------------------------------------------------------------------------------


def test_condition_has_the_standardised_keypoints_as_means(people):
    keypoints = seen(people)
    condition = keypoint_condition(keypoints)
    assert condition.shape == (32, 13, 6)
    assert (condition[..., 0] == 1).all()
    vector = keypoints_to_vector(keypoints).unflatten(-1, (2, 16)).transpose(-1, -2)
    conditioned = [DETECTED_JOINTS.index(joint) for joint in CONDITION_JOINTS]
    torch.testing.assert_close(condition[..., 1:3], vector[:, conditioned], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [(0.1, 0.2), (1.5, 1.5), (2.05, 2.05), (2.15, 4.3), (7.0, 14.0), (30.0, 20.0)],
)
def test_deviations_become_heatmap_pixels(people, pixels, expected):
    """Clipped to 0.2 to 10 pixels of 5 mm, doubled above 2.1, in units of 20."""
    xy = 500 + 200 * people[..., :2]
    spread = (xy[:, SIXTEEN] - xy[:, SIXTEEN].mean(1, keepdim=True)).flatten(1).std(-1, unbiased=False)
    condition = keypoint_condition(seen(people, covariance=(pixels / 64 * spread)[:, None].expand(32, 17)))
    torch.testing.assert_close(condition[..., 3], torch.full((32, 13), (expected / 20) ** 2), rtol=1e-4, atol=0)
    torch.testing.assert_close(condition[..., 5], condition[..., 3], rtol=1e-4, atol=0)
    assert condition[..., 4].abs().max() < 1e-6


def test_covariances_are_turned_to_y_up(people):
    spread = keypoint_spread(people)
    image = torch.tensor([[1.6, 0.5], [0.5, 0.9]])
    covariance = image * (spread / 64).square()[:, None, None, None]
    condition = keypoint_condition(seen(people, covariance=covariance.expand(32, 17, 2, 2)))
    expected = torch.tensor([1.6, -0.5, 0.9]) / 400
    torch.testing.assert_close(condition[..., 3:], expected.expand(32, 13, 3), rtol=1e-4, atol=1e-7)


def keypoint_spread(people) -> torch.Tensor:
    xy = 200 * people[:, SIXTEEN, :2]
    return (xy - xy.mean(1, keepdim=True)).flatten(1).std(-1, unbiased=False)


def test_hidden_joints_are_uncertain_and_their_values_do_not_matter(flow, people):
    visible = torch.ones(32, 17, dtype=torch.bool)
    wrist = BODY.index("left_wrist")
    visible[:, [wrist, BODY.index("pelvis")]] = False
    made = []
    for junk in (0.0, float("nan"), 1e6):
        xy = 500 + 200 * people[..., :2]
        xy[~visible] = junk
        keypoints = Keypoints2D(xy, visible=visible)
        condition = keypoint_condition(keypoints)
        made.append((condition, keypoints_to_vector(keypoints), flow.distribution(keypoints).sample((2,), seed=0)))
    for one, two in ((made[0], made[1]), (made[0], made[2])):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    hidden = made[0][0][:, CONDITION_JOINTS.index("left_wrist")]
    torch.testing.assert_close(hidden, torch.tensor([0.0, 0, 0, 1, 0, 1]).expand(32, 6), rtol=0, atol=1e-5)


def test_poses_without_a_shape_are_finite(flow):
    """All joints hidden, one seen, three at one place: no NaN, which the published normalisation makes of them."""
    xy = torch.full((3, 17, 2), 123.4)
    visible = torch.zeros(3, 17, dtype=torch.bool)
    visible[1, 4] = True
    visible[2, 4:7] = True
    keypoints = Keypoints2D(xy, covariance=torch.full((3, 17), 2.0), visible=visible)
    assert (keypoints_to_vector(keypoints) == 0).all()
    assert keypoint_condition(keypoints).isfinite().all()
    assert flow.distribution(keypoints).sample((5,), seed=0).isfinite().all()


# -- the distribution ----------------------------------------------------------------------------------------


def test_samples(flow, people):
    keypoints = seen(people.reshape(4, 8, 17, 3))
    posterior = flow.distribution(keypoints)
    assert isinstance(posterior, PublishedFlowPoses)
    assert posterior.batch_shape == (4, 8)
    drawn = posterior.sample((3, 2), seed=5)
    assert drawn.shape == (3, 2, 4, 8, 17, 3)
    assert not drawn.requires_grad
    streams = [posterior.sample((3, 2), generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*streams)
    assert torch.equal(drawn, posterior.rsample((3, 2), seed=5))
    assert not torch.equal(drawn, posterior.sample((3, 2), seed=6))
    assert (drawn[..., 0, :] == 0).all()
    hips = drawn[..., [BODY.index("right_hip"), BODY.index("left_hip")], :].mean(-2)
    assert hips.abs().max() < 1e-4


@pytest.mark.parametrize("batch", [(), (1,), (2, 1, 3), (0,), (2, 0)])
def test_batches_of_any_shape(flow, people, batch):
    keypoints = seen(people[0].expand(*batch, 17, 3))
    assert keypoint_condition(keypoints).shape == (*batch, 13, 6)
    posterior = flow.distribution(keypoints)
    assert posterior.sample((2, 3), seed=0).shape == (2, 3, *batch, 17, 3)
    assert posterior.z0.shape == posterior.mean.shape == posterior.stddev.shape == (*batch, 17, 3)
    representatives, weights = posterior.hypotheses
    assert (representatives.shape, weights.shape) == ((*batch, 8, 17, 3), (*batch, 8))


def test_samples_are_the_inverse_map_of_normal_latents(flow, people):
    posterior = flow.distribution(seen(people))
    vectors = posterior.rsample_vectors((6,), generator=torch.Generator().manual_seed(1))
    latent, xy, _ = flow.forward_map(vectors, posterior.context)
    expected = torch.randn(6, 32, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(latent, expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(xy, posterior.xy.expand(6, 32, 32), rtol=0, atol=1e-3)
    zero = flow.inverse_map(torch.zeros(32, 16), posterior.xy, posterior.context)
    torch.testing.assert_close(posterior.z0, vector_to_pose(zero))


def test_mean_and_covariance_are_those_of_samples(flow, people):
    posterior = flow.distribution(seen(people))
    # the same 256 latents for every pose
    latent = torch.stack([SharedNoise(0, ()).normal((256, 16), 1, posterior.xy)] * 32, 1)
    drawn = vector_to_pose(flow.inverse_map(latent, posterior.xy, posterior.context))
    torch.testing.assert_close(posterior.mean, drawn.mean(0))
    expected = torch.stack([torch.cov(drawn[:, 3, j].T) for j in range(17)])
    torch.testing.assert_close(posterior.covariance[3], expected, rtol=1e-3, atol=1e-6)
    assert torch.equal(posterior.mean, flow.distribution(seen(people)).mean)
    assert posterior.stddev.shape == (32, 17, 3)


def test_gradients_reach_every_weight(flow, people):
    flow.distribution(seen(people)).rsample((2,), seed=0).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in flow.parameters())


def test_no_density_and_no_mode(flow, people):
    posterior = flow.distribution(seen(people))
    assert not posterior.has_density
    assert posterior.has_rsample
    with pytest.raises(NotImplementedError, match="PublishedFlowPoses has no density: log_prob is not defined"):
        posterior.log_prob(people)
    with pytest.raises(NotImplementedError, match="PublishedFlowPoses has no density, so no mode"):
        _ = posterior.mode


def test_other_skeletons_are_refused(flow):
    with pytest.raises(InputError) as error:
        flow.distribution(Keypoints2D(torch.rand(2, 17, 2) * 100, skeleton="coco17"))
    assert str(error.value) == "lifter.skeleton: the published flow knows h36m17 only, got 'coco17'"
    with pytest.raises(InputError, match="the published flow knows h36m17 only, got 'lsp14'"):
        flow.distribution(Keypoints2D(torch.rand(2, 17, 2) * 100), "lsp14")
