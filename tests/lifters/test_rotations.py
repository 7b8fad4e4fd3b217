"""Rotation lifter: exact densities, masks, prior, inverse kinematics, lifting."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import roma
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, SMPL25, body_points, group_factors, rest_offsets
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import load
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.nn.body_evidence import evidence_from_keypoints, evidence_from_points, no_evidence
from poseterior.nn.rotation_networks import STRUCTURES, modelled_joints
from poseterior.nn.so3 import haar_quaternions
from poseterior.objectives.rotations import RotationLikelihood, hide_points

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from test_bodies import turned_mocap

from poseterior.data.simulation.bodies import BodySimulator

_TINY = {"width": 16, "blocks": 1, "context": 8, "trunk": 8, "layers": 2, "segments": 3, "hidden": 4, "turns": 3}
_SMPL = SKELETONS["smpl22"]


def rough(structure: str = "autoregressive", scale: float = 0.1, seed: int = 0, **changes: object) -> RotationLifter:
    """A small lifter in float64 whose weights are all random, so that nothing is the identity by chance."""
    torch.manual_seed(seed)
    lifter = RotationLifter(RotationConfig(structure=structure, **{**_TINY, **changes})).double().eval()  # type: ignore[arg-type]
    for parameter in lifter.parameters():
        parameter.data += scale * torch.randn_like(parameter)
    usual = roma.rotvec_to_rotmat(0.3 * torch.randn(len(lifter.network.joints), 3, dtype=torch.float64))
    lifter.network.usual.copy_(usual)
    return lifter.requires_grad_(False)


def some_rotations(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return roma.unitquat_to_rotmat(haar_quaternions((*shape, 22), generator, torch.zeros((), dtype=torch.float64)))


def some_points(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of random bodies in random poses, and their rotations (float64)."""
    generator = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.5 * torch.randn(n, 22, 3, dtype=torch.float64, generator=generator))
    rotations[:, 0] = some_rotations(n, seed=seed)[:, 0]
    points, _ = body_points(rotations, rest_offsets(torch.float64).expand(n, 25, 3))
    return points, rotations


def keypoints_of(n: int, seed: int = 0) -> Keypoints2D:
    return BodySimulator(turned_mocap())(n, torch.Generator().manual_seed(seed)).keypoints


# -- density ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["autoregressive", "coupling"])
@pytest.mark.parametrize("kind", ["prior", "ik", "lift"])
def test_samples_say_their_own_density(structure, kind):
    lifter = rough(structure)
    points, _ = some_points(3)
    posterior = {
        "prior": lambda: lifter.prior((3,)),
        "ik": lambda: lifter.ik(points.float(), sigma=0.01),
        "lift": lambda: lifter.rotations(keypoints_of(3)),
    }[kind]()
    drawn, density = posterior.sample_and_log_prob((5,), seed=1)
    assert drawn.shape == (5, 3, 22, 3, 3)
    torch.testing.assert_close(posterior.log_prob(drawn), density, atol=1e-6, rtol=1e-6)
    eye = torch.eye(3, dtype=torch.float64)
    assert float((drawn.transpose(-1, -2) @ drawn - eye).abs().max()) < 1e-6
    assert bool((torch.linalg.det(drawn) > 0).all())
    assert torch.equal(posterior.sample((5,), seed=1), drawn)


@pytest.mark.parametrize("structure", ["acg", "independent"])
def test_baselines_sample_what_they_score(structure):
    posterior = rough(structure).prior((2,))
    drawn, density = posterior.sample_and_log_prob((4,), seed=1)
    torch.testing.assert_close(posterior.log_prob(drawn), density, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_each_joints_density_integrates_to_one_given_those_before(structure):
    """Haar Monte Carlo of one joint's factor while the others stay (of all for coupling: one turn's group)."""
    lifter = rough(structure, scale=0.05)
    posterior = lifter.prior()
    n = 4_000
    rotations = some_rotations(1, seed=2).expand(n, 22, 3, 3).clone()
    if structure == "coupling":
        # A joint's parts are no conditional densities there: integrate over two joints with the others' marginal.
        value = roma.unitquat_to_rotmat(
            haar_quaternions((n, 22), torch.Generator().manual_seed(3), torch.zeros((), dtype=torch.float64))
        )
        density = rough(structure, scale=0.01).prior().log_prob(value).exp()
    else:
        joint = lifter.network.joints[7]
        rotations[:, joint] = some_rotations(n, seed=3)[:, joint]
        density = posterior.joint_log_prob(rotations)[:, 7].exp()
    error = float(density.std()) / math.sqrt(n)
    assert abs(float(density.mean()) - 1.0) < 4 * error
    assert error < 0.2


def test_autoregressive_factors_do_not_see_later_joints():
    lifter = rough()
    points, rotations = some_points(1)
    posterior = lifter.ik(points.float())
    before = posterior.joint_log_prob(rotations)
    for row, joint in enumerate(lifter.network.joints):
        changed = rotations.clone()
        changed[:, joint] = some_rotations(1, seed=9)[:, joint]
        after = posterior.joint_log_prob(changed)
        assert torch.equal(after[:, :row], before[:, :row])
        assert float((after[:, row] - before[:, row]).abs().max()) > 1e-6


def test_independent_joints_are():
    lifter = rough("independent")
    rotations = some_rotations(1)
    before = lifter.prior((1,)).joint_log_prob(rotations)
    rotations[:, lifter.network.joints[4]] = some_rotations(1, seed=5)[:, 4]
    changed = (lifter.prior((1,)).joint_log_prob(rotations) - before).abs() > 1e-12
    assert changed.nonzero()[:, 1].tolist() == [4]


@pytest.mark.parametrize("structure", ["autoregressive", "coupling", "independent"])
def test_a_fresh_flow_is_next_to_uniform(structure):
    torch.manual_seed(0)
    lifter = RotationLifter(RotationConfig(structure=structure, **_TINY)).double()
    density = lifter.prior((4,)).log_prob(some_rotations(4))
    assert float(density.abs().max()) < 0.05


def test_gradient_by_rotation_is_that_of_finite_differences():
    lifter = rough()
    points, rotations = some_points(1)
    posterior = lifter.ik(points.float(), sigma=0.02)

    def density(turn: torch.Tensor) -> torch.Tensor:
        return posterior.log_prob(rotations @ roma.rotvec_to_rotmat(turn)).sum()

    turn = torch.zeros(1, 22, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(density(turn), turn)
    for joint, axis in ((0, 1), (1, 0), (4, 2), (9, 1), (16, 0)):
        step = torch.zeros_like(turn)
        step[0, joint, axis] = 1e-5
        with torch.no_grad():
            numeric = (density(turn + step) - density(turn - step)) / 2e-5
        assert float(gradient[0, joint, axis]) == pytest.approx(float(numeric), rel=1e-3, abs=1e-3)


def test_log_prob_has_gradients_to_the_weights():
    lifter = rough().requires_grad_(True)
    lifter.prior((2,)).log_prob(some_rotations(2)).sum().backward()
    assert float(lifter.network.nothing.grad.abs().max()) > 0


def test_unmodelled_joints_stay_at_rest_and_do_not_count():
    lifter = rough()
    posterior = lifter.prior((2,))
    toes = [_SMPL.index("left_foot"), _SMPL.index("right_foot")]
    assert torch.equal(posterior.sample(seed=0)[:, toes], torch.eye(3, dtype=torch.float64).expand(2, 2, 3, 3))
    rotations = some_rotations(2)
    changed = rotations.clone()
    changed[:, toes] = some_rotations(2, seed=4)[:, toes]
    torch.testing.assert_close(posterior.log_prob(changed), posterior.log_prob(rotations))
    assert len(posterior.modelled) == 20
    assert len(modelled_joints(toes=True)) == 22
    assert rough(toes=True).prior().joint_log_prob(rotations[0]).shape == (22,)


# -- evidence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_nothing_seen_is_the_prior_whatever_the_task(structure):
    lifter = rough(structure)
    rotations = some_rotations(1)
    prior = lifter.prior((1,)).log_prob(rotations)
    hidden = torch.zeros(1, 25, dtype=torch.bool)
    blind_ik = lifter.ik(torch.randn(1, 25, 3), hidden, offsets=1.3 * rest_offsets().unsqueeze(0))
    keypoints = Keypoints2D(torch.randn(1, 17, 2), visible=torch.zeros(1, 17, dtype=torch.bool))
    torch.testing.assert_close(blind_ik.log_prob(rotations), prior, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(lifter.rotations(keypoints).log_prob(rotations), prior, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("structure", ["autoregressive", "coupling"])
def test_the_prior_of_the_body_does_not_depend_on_the_pelvis(structure):
    lifter = rough(structure)
    rotations = some_rotations(3)
    turned = rotations.clone()
    turned[:, 0] = some_rotations(3, seed=8)[:, 0]
    prior = lifter.prior((3,))
    torch.testing.assert_close(prior.log_prob(turned, root=False), prior.log_prob(rotations, root=False))
    assert float((prior.log_prob(turned) - prior.log_prob(rotations)).abs().max()) > 1e-3


def test_hidden_points_change_nothing():
    lifter = rough()
    points, rotations = some_points(4)
    seen = hide_points(4, torch.Generator().manual_seed(2))
    first = lifter.ik(torch.where(seen.unsqueeze(-1), points, 1e3).float(), seen)
    stored = torch.where(seen.unsqueeze(-1), points, float("nan")).float()
    second = lifter.ik(stored, seen)
    kept = stored.clone()
    assert torch.equal(first.log_prob(rotations), second.log_prob(rotations))
    assert torch.equal(first.sample((2,), seed=0), second.sample((2,), seed=0))
    assert torch.equal(stored.nan_to_num(7.0), kept.nan_to_num(7.0))  # the caller's tensor is as it was


def test_hidden_keypoints_change_nothing():
    lifter = rough()
    keypoints = keypoints_of(6)
    xy = torch.where(keypoints.visible.unsqueeze(-1), keypoints.xy, float("nan"))
    other = Keypoints2D(
        xy, covariance=keypoints.covariance, visible=keypoints.visible, image_size=keypoints.image_size,
        intrinsics=keypoints.intrinsics, height=keypoints.height,
    )  # fmt: skip
    rotations = some_rotations(6)
    assert torch.equal(lifter.rotations(other).log_prob(rotations), lifter.rotations(keypoints).log_prob(rotations))


def test_moving_and_turning_the_points_turns_the_pelvis_only():
    """Equivariance: the frame comes from the trunk, so that axes and place of 3D keypoints do not matter."""
    lifter = rough()
    points, rotations = some_points(3)
    turn = some_rotations(3, seed=11)[:, 0]
    moved = points @ turn.transpose(-1, -2) + torch.tensor([1.0, -2.0, 5.0], dtype=torch.float64)
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    offsets = rest_offsets(torch.float64).expand(3, 25, 3)

    def given(p: torch.Tensor):
        seen = torch.ones(3, 25, dtype=torch.bool)
        return lifter.given(evidence_from_points(p, seen, torch.zeros(3, 25, dtype=torch.float64), offsets))

    # Not exactly: where the trunk would not fix the frame, a weight of 1e-4 m² on the caller's axes does.
    # The worst of three is 0.0075 ± 0.0091 nats off over 12 runs; 1.8 to 17 if the pelvis is turned back or not at all.
    torch.testing.assert_close(given(moved).log_prob(turned), given(points).log_prob(rotations), atol=0.05, rtol=0)


def test_the_guess_is_the_rotation_where_the_points_fix_it():
    """With exact points an untouched flow draws around rotations that put every bone on its keypoint."""
    torch.manual_seed(0)
    lifter = RotationLifter(RotationConfig(**_TINY)).double().eval()
    points, rotations = some_points(8)
    evidence = evidence_from_points(
        points, torch.ones(8, 25, dtype=torch.bool), torch.zeros(8, 25, dtype=torch.float64),
        rest_offsets(torch.float64).expand(8, 25, 3),
    )  # fmt: skip
    from poseterior.nn.body_state import BodyState

    network_axes = rotations.clone()
    network_axes[:, 0] = evidence.frame @ rotations[:, 0]
    state = BodyState(evidence)
    for row, joint in enumerate(lifter.network.joints):
        look, guess = lifter.network._look(row, state)
        assert bool(look.isfinite().all())
        child = next((c for c, p in enumerate(SMPL25.parents) if p == joint and SMPL25.joints[c] != "spine1"), None)
        if _SMPL.joints[joint] in ("left_knee", "right_elbow", "left_hip", "left_shoulder", "neck"):
            direction = rest_offsets(torch.float64)[child]
            seen, truth = guess @ direction, network_axes[:, joint] @ direction
            angle = torch.atan2(torch.linalg.cross(seen, truth).norm(dim=-1), (seen * truth).sum(-1))
            assert float(angle.max()) < 0.02, _SMPL.joints[joint]
        state.advance(joint, network_axes[:, joint])


def test_bone_lengths_are_exact_in_every_hypothesis():
    lifter = rough()
    factors = group_factors(0.1 * torch.randn(10, dtype=torch.float64))
    offsets = (rest_offsets(torch.float64) * factors).expand(2, 25, 3)
    poses = lifter.rotations(keypoints_of(2)).positions(offsets, skeleton="smpl22").sample((16,), seed=0)
    for child, parent in _SMPL.bones:
        length = (poses[..., child, :] - poses[..., parent, :]).norm(dim=-1)
        torch.testing.assert_close(length, offsets[0, child].norm().expand_as(length), atol=1e-9, rtol=0)
    # Lifted without given lengths, each hypothesis has a body of its own.
    drawn = lifter(keypoints_of(2)).sample((16,), seed=0)
    thigh = (drawn[..., 2, :] - drawn[..., 1, :]).norm(dim=-1)
    assert float(thigh.std(0).min()) > 1e-3


def test_lifter_returns_poses_like_any_other():
    lifter = rough()
    posterior = lifter(keypoints_of(3))
    assert posterior.skeleton.name == "h36m17"
    assert posterior.mean.shape == (3, 17, 3)
    assert posterior.covariance.shape == (3, 17, 3, 3)
    assert not posterior.has_density
    with pytest.raises(NotImplementedError, match="no density"):
        posterior.log_prob(posterior.mean)
    poses, rotations, offsets, _ = posterior.sample_with_rotations((4,), seed=0)
    points, _ = body_points(rotations, offsets)
    again = points[..., H36M_POINTS, :] - points[..., H36M_POINTS[0], :].unsqueeze(-2)
    torch.testing.assert_close(poses, again)
    assert torch.equal(poses, posterior.sample((4,), seed=0))
    with pytest.raises(InputError, match="skeleton: expected one of h36m17, smpl22, got 'coco17'"):
        lifter.prior().positions(skeleton="coco17")


def test_turned_camera_turns_the_pelvis():
    """The pelvis' rotation is in the caller's camera axes, whatever view the network sees."""
    keypoints = keypoints_of(4)
    evidence = evidence_from_keypoints(keypoints)
    lifter = rough()
    drawn, _ = lifter.network.draw(torch.Size((2,)), lifter._cast(evidence), torch.Generator().manual_seed(0))
    posterior = lifter.rotations(keypoints)
    sample = posterior.sample((2,), generator=torch.Generator().manual_seed(0))
    frame = lifter._cast(evidence).frame
    torch.testing.assert_close(sample[..., 0, :, :], frame.transpose(-1, -2) @ drawn[..., 0, :, :])


@pytest.mark.parametrize("batch", [(), (0,), (1,), (2, 3)])
def test_any_batch_shape(batch):
    lifter = rough()
    posterior = lifter.prior(batch)
    drawn, density = posterior.sample_and_log_prob((3,), seed=0)
    assert drawn.shape == (3, *batch, 22, 3, 3)
    assert density.shape == (3, *batch)
    assert posterior.log_prob(drawn).shape == (3, *batch)
    assert posterior.mean.shape == (*batch, 22, 3, 3)
    assert posterior.stddev.shape == (*batch, 22)


def test_mode_is_above_the_draws_it_starts_from():
    posterior = rough().prior((2,))
    mode = posterior.mode
    _, density = posterior.sample_and_log_prob((64,), seed=0)
    assert bool((posterior.log_prob(mode) >= density.amax(0) - 1e-9).all())
    torch.testing.assert_close(mode.transpose(-1, -2) @ mode, torch.eye(3, dtype=torch.float64).expand(2, 22, 3, 3))


def test_refusals():
    lifter = rough()
    with pytest.raises(InputError, match=r"rotations: expected \(\.\.\., 22, 3, 3\) matrices of smpl22, got \(22, 4\)"):
        lifter.prior().log_prob(torch.zeros(22, 4))
    broken = torch.eye(3, dtype=torch.float64).repeat(2, 22, 1, 1)
    broken[1, 4] *= 2
    with pytest.raises(InputError, match=r"joint 'left_knee' of \(1,\) is no rotation matrix; convert axis-angle"):
        lifter.prior((2,)).log_prob(broken)
    mirror = torch.eye(3, dtype=torch.float64).repeat(22, 1, 1)
    mirror[3, 0, 0] = -1
    with pytest.raises(InputError, match="joint 'spine1' is no rotation matrix"):
        lifter.prior().log_prob(mirror)
    for changes, message in (
        ({"structure": "tree"}, "lifter.structure: expected one of autoregressive, coupling, acg, independent"),
        ({"layers": 0}, "lifter.layers: expected a whole number, at least 1, got 0"),
        ({"toes": "yes"}, "lifter.toes: expected true or false, got 'yes'"),
    ):
        with pytest.raises(InputError, match=message):
            RotationConfig(**changes)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_saved_and_loaded_lifter_is_the_same(tmp_path, structure):
    lifter = rough(structure).float()
    lifter.save_pretrained(tmp_path / "weights")
    again = load(tmp_path / "weights")
    rotations = some_rotations(2).float()
    assert torch.equal(again.prior((2,)).log_prob(rotations), lifter.prior((2,)).log_prob(rotations))
    assert again.config == lifter.config


def test_no_evidence_is_all_zero():
    evidence = no_evidence((2,))
    assert not bool(evidence.seen.any() | evidence.some.any() | evidence.flat.any() | evidence.tokens.any())


# -- learning ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", STRUCTURES)
def test_it_learns_and_evidence_helps(structure):
    torch.manual_seed(0)
    simulator = BodySimulator(turned_mocap())
    generator = torch.Generator().manual_seed(0)
    lifter = RotationLifter(RotationConfig(structure=structure, **{**_TINY, "width": 32, "trunk": 16}))
    lifter.fit_constants(simulator(500, generator))
    objective = RotationLikelihood({"prior": 0.3, "ik": 0.7})
    optimiser = torch.optim.Adam(lifter.parameters(), 1e-2)
    for _ in range(40):
        loss = sum(objective(lifter, simulator(64, generator)).values())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 5.0)
        optimiser.step()
    assert objective.seen["prior"] < -10.0
    if structure != "independent":
        assert objective.seen["ik"] < objective.seen["prior"] - (5.0 if structure != "coupling" else -10.0)


def test_objective_refuses_what_it_cannot_train():
    from poseterior.lifters import method

    seen = BodySimulator(turned_mocap())(4, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="objective 'rotations' trains method 'rotations', not 'mdn'"):
        RotationLikelihood()(method("mdn")(), seen)
    for settings, message in (
        ({"tasks": {"dance": 1.0}}, "tasks: expected numbers from 0 for prior, ik, lift, got {'dance': 1.0}"),
        ({"weights": {"ik": -1.0}}, "weights: expected numbers from 0 for prior, ik, lift, got {'ik': -1.0}"),
        ({"tasks": {"ik": 0.0}}, "tasks: expected a sum above 0"),
        ({"noise": (0.0, 1.0)}, r"noise: expected \(low, high\) metres above 0"),
        ({"exact": 2.0}, "exact: expected 0 to 1, got 2.0"),
    ):
        with pytest.raises(InputError, match=message):
            RotationLikelihood(**settings)


@pytest.mark.parametrize("task", ["prior", "ik", "lift"])
def test_one_task_alone_is_learnt(task):
    """A batch may hold no row of the other tasks."""
    batch = BodySimulator(turned_mocap())(4, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    lifter = RotationLifter(RotationConfig(**_TINY))
    terms = RotationLikelihood({task: 1.0})(lifter, batch)
    assert set(terms) == ({"nll", "lengths"} if task == "lift" else {"nll"})
    assert all(value.isfinite() for value in terms.values())


def test_masks_hide_what_they_say():
    assert hide_points(0).shape == (0, len(SMPL25))
    seen = hide_points(4000, torch.Generator().manual_seed(0))
    share = seen.float().mean(0)
    assert float(share.min()) > 0.2
    assert bool((~seen[:, : len(_SMPL)]).all(-1).any())  # some see next to nothing
    legs = [SMPL25.index(f"left_{j}") for j in ("hip", "knee", "ankle")]
    arms = [SMPL25.index(f"left_{j}") for j in ("shoulder", "elbow", "wrist")]
    chain = ~seen[:, legs].any(-1) & seen[:, arms].all(-1)
    assert float(chain.float().mean()) > 0.02
