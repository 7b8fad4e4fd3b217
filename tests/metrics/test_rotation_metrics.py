import itertools
import math
import sys

import pytest
import roma
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.body import SMPL25, body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS
from poseterior.metrics import rotations as metrics
from poseterior.metrics.accuracy import expected_best_of
from poseterior.metrics.rotations import (
    OCCLUSIONS,
    chordal_mean,
    constant_points,
    geodesic_angle,
    mean_nearest_distance,
    mgeo,
    mgeo_by_observability,
    moving_mpjpe,
    nearest_distance,
    observability,
    pose_distances,
    precision_recall_density_coverage,
    random_visibility,
    rotation_ranks,
    swing_twist,
    uniformity_p_value,
    wasserstein,
)

SMPL = SKELETONS["smpl22"]
#: Angles that include the singular ones, radians.
ANGLES = (0.0, 1e-12, 1e-7, 1e-4, 0.3, 2.0, math.pi - 1e-4, math.pi - 1e-7, math.pi)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator(seed), dtype=torch.float64), dim=-1)


def haar(*shape: int, seed: int = 0) -> torch.Tensor:
    """Uniform rotations (*shape, 3, 3), float64."""
    return roma.unitquat_to_rotmat(unit(*shape, 4, seed=seed))


def near_identity(*shape: int, spread: float, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(*shape, 3, generator=generator(seed), dtype=torch.float64)
    return roma.rotvec_to_rotmat(spread * vectors)


def about_z(*angles: float) -> torch.Tensor:
    """Poses of one joint (poses, 1, 3, 3)."""
    vectors = torch.zeros(len(angles), 1, 3, dtype=torch.float64)
    vectors[:, 0, 2] = torch.tensor(angles, dtype=torch.float64)
    return roma.rotvec_to_rotmat(vectors)


# ---------------------------------------------------------------------------------------------------- angles


@pytest.mark.parametrize("angle", ANGLES)
def test_geodesic_angle_is_exact_at_the_singularities(angle: float):
    a = haar(500)
    b = a @ roma.rotvec_to_rotmat(angle * unit(500, 3, seed=1))
    assert float((geodesic_angle(a, b) - angle).abs().max()) < 4e-15
    assert float((geodesic_angle(a.float(), b.float()) - angle).abs().max()) < 5e-7
    torch.testing.assert_close(geodesic_angle(a, b), geodesic_angle(b, a), atol=4e-15, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_geodesic_angle_to_itself_is_zero_with_zero_gradient(dtype: torch.dtype):
    a = haar(1000).to(dtype).requires_grad_()
    angle = geodesic_angle(a, a.detach())
    assert float(angle.abs().max()) == 0.0
    angle.sum().backward()
    assert float(a.grad.abs().max()) == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", ANGLES)
def test_geodesic_angle_has_finite_gradients(angle: float, dtype: torch.dtype):
    a = haar(200)
    b = (a @ roma.rotvec_to_rotmat(angle * unit(200, 3, seed=1))).to(dtype).requires_grad_()
    geodesic_angle(a.to(dtype), b).sum().backward()
    assert bool(b.grad.isfinite().all())
    assert float(b.grad.abs().max()) < 2.0


def test_geodesic_angle_grows_by_one_radian_a_radian():
    axis = unit(50, 3)
    for start in (1e-6, 0.5, 3.1):
        angle = torch.full((50, 1), start, dtype=torch.float64, requires_grad=True)
        geodesic_angle(haar(50), haar(50) @ roma.rotvec_to_rotmat(angle * axis)).sum().backward()
        torch.testing.assert_close(angle.grad, torch.ones_like(angle), atol=1e-8, rtol=0)


def test_geodesic_angle_is_bi_invariant_and_broadcasts():
    a, b, left, right = haar(4, 1, seed=1), haar(1, 7, seed=2), haar(1, seed=3), haar(1, seed=4)
    expected = geodesic_angle(a, b)
    assert expected.shape == (4, 7)
    torch.testing.assert_close(geodesic_angle(left @ a @ right, left @ b @ right), expected, atol=1e-14, rtol=0)


def test_mgeo_over_chosen_joints():
    truth = haar(5, 3)
    turned = truth @ about_z(0.1, 0.2, 0.6).squeeze(1)
    torch.testing.assert_close(mgeo(turned, truth), torch.full((5,), 0.3, dtype=torch.float64))
    torch.testing.assert_close(mgeo(turned, truth, [0, 2]), torch.full((5,), 0.35, dtype=torch.float64))


def test_mgeo_by_observability():
    truth = haar(5, 3)
    turned = truth @ about_z(0.1, 0.2, 0.6).squeeze(1)
    result = mgeo_by_observability(turned, truth, ("full", "full", "swing"))
    means = {name: float(value.mean()) for name, value in result.items()}
    assert math.isnan(means.pop("none"))
    assert means == pytest.approx({"full": 0.15, "swing": 0.6, "observable": 0.3})
    with pytest.raises(InputError, match=r"^levels: expected one per joint \(3\), got 1$"):
        mgeo_by_observability(turned, truth, ("full",))


# ------------------------------------------------------------------------------------------- mean, swing, twist


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_chordal_mean_of_equal_rotations(dtype: torch.dtype, tolerance: float):
    rotation = haar(6, 2).to(dtype)
    mean = chordal_mean(rotation.expand(10, 6, 2, 3, 3))
    assert mean.dtype == dtype
    torch.testing.assert_close(mean, rotation, atol=tolerance, rtol=0)


def test_chordal_mean_of_a_symmetric_pair_is_the_middle():
    middle, step = haar(8), near_identity(8, spread=0.5, seed=1)
    pair = torch.stack([middle @ step, middle @ step.transpose(-1, -2)])
    torch.testing.assert_close(chordal_mean(pair), middle, atol=1e-12, rtol=0)


def test_chordal_mean_with_weights_about_one_axis():
    """Of angles 0 and t with weights 3 and 1 the mean is at the angle of 3 + e^(it)."""
    mean = chordal_mean(about_z(0.0, 1.0).squeeze(1), weights=torch.tensor([3.0, 1.0], dtype=torch.float64))
    expected = about_z(math.atan2(math.sin(1.0), 3 + math.cos(1.0)))[0, 0]
    torch.testing.assert_close(mean, expected, atol=1e-14, rtol=0)


def test_chordal_mean_minimises_the_chords_and_moves_along():
    samples = haar(3, seed=1) @ near_identity(40, 3, spread=0.7)
    mean = chordal_mean(samples)
    cost = (samples - mean).square().sum((0, -2, -1))
    for seed in range(5):
        other = mean @ near_identity(3, spread=0.05, seed=seed)
        assert bool(((samples - other).square().sum((0, -2, -1)) > cost).all())
    left, right = haar(1, seed=2), haar(1, seed=3)
    torch.testing.assert_close(chordal_mean(left @ samples @ right), left @ mean @ right, atol=1e-13, rtol=0)


def test_chordal_mean_over_any_dimension():
    samples = near_identity(4, 5, 6, spread=0.4)
    torch.testing.assert_close(chordal_mean(samples, dim=1), chordal_mean(samples.transpose(0, 1)))
    torch.testing.assert_close(chordal_mean(samples, dim=-1), chordal_mean(samples, dim=2))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_swing_twist_round_trip(dtype: torch.dtype, tolerance: float):
    rotation, axis = haar(500).to(dtype), 3.0 * unit(500, 3, seed=1).to(dtype)
    swing, twist = swing_twist(rotation, axis)
    turn = roma.rotvec_to_rotmat(twist[:, None] * axis / axis.norm(dim=-1, keepdim=True))
    torch.testing.assert_close(swing @ turn, rotation, atol=tolerance, rtol=0)
    # the swing alone moves the bone, about an axis orthogonal to it
    moved = (rotation @ axis[..., None]).squeeze(-1)
    torch.testing.assert_close((swing @ axis[..., None]).squeeze(-1), moved, atol=4 * tolerance, rtol=0)
    vector = swing - swing.transpose(-1, -2)
    turn_axis = torch.stack([vector[:, 2, 1], vector[:, 0, 2], vector[:, 1, 0]], -1)
    assert float((turn_axis * axis).sum(-1).abs().max()) < 10 * tolerance
    assert float(twist.abs().max()) <= math.pi + 1e-6


@pytest.mark.parametrize("angle", [-math.pi + 1e-6, -2.0, -1e-8, 0.0, 1e-8, 1.0, math.pi - 1e-6])
def test_pure_twist_and_pure_swing(angle: float):
    axis, turn = unit(50, 3), unit(50, 3, seed=1)
    swing, twist = swing_twist(roma.rotvec_to_rotmat(angle * axis), axis)
    torch.testing.assert_close(twist, torch.full((50,), angle, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(swing, torch.eye(3, dtype=torch.float64).expand(50, 3, 3), atol=1e-14, rtol=0)
    across = torch.nn.functional.normalize(torch.linalg.cross(axis, turn), dim=-1)
    rotation = roma.rotvec_to_rotmat(angle * across)
    swing, twist = swing_twist(rotation, axis)
    # near a swing of pi the twist is ill-defined: rounding grows by 1 / (pi - angle)
    torch.testing.assert_close(twist, torch.zeros_like(twist), atol=1e-8, rtol=0)
    torch.testing.assert_close(swing, rotation, atol=1e-8, rtol=0)


def test_twist_of_half_a_turn():
    swing, twist = swing_twist(about_z(math.pi)[0, 0], torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64))
    assert abs(float(twist)) == pytest.approx(math.pi, abs=1e-14)
    torch.testing.assert_close(swing, torch.eye(3, dtype=torch.float64), atol=1e-14, rtol=0)


def test_swing_twist_refuses_a_bone_without_length():
    with pytest.raises(InputError, match="a bone of length 0 has no direction; leave its joint out"):
        swing_twist(haar(2), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64))


# ---------------------------------------------------------------------------------------------- observability


def levels_of(*visible: str, offsets: torch.Tensor | None = None) -> dict[str, str]:
    return dict(zip(SMPL.joints, observability(visible, offsets), strict=True))


def test_published_observability_of_all_22_keypoints():
    """Head, wrists and toes move no keypoint; ankles, neck and elbows one each; the rest more than one."""
    levels = levels_of(*SMPL.joints)
    none = {"head", "left_wrist", "right_wrist", "left_foot", "right_foot"}
    swing = {"left_ankle", "right_ankle", "neck", "left_elbow", "right_elbow"}
    assert {joint for joint, level in levels.items() if level == "none"} == none
    assert {joint for joint, level in levels.items() if level == "swing"} == swing


@pytest.mark.parametrize(
    "visible",
    [
        SMPL.joints,
        SMPL25.joints,
        SKELETONS["coco17"].joints[5:],
        ("left_wrist",),
        ("spine1", "hip_centre"),
        *(tuple(j for j in SMPL.joints if j not in hidden) for hidden in OCCLUSIONS.values()),
    ],
)
def test_observability_is_the_rank_of_the_jacobian(visible: tuple[str, ...]):
    offsets = rest_offsets(torch.float64)
    pose = haar(22, seed=5)
    picked = [SMPL25.index(name) for name in visible]

    def points(vectors: torch.Tensor) -> torch.Tensor:
        return body_points(pose @ roma.rotvec_to_rotmat(vectors), offsets)[0][picked]

    jacobian = torch.autograd.functional.jacobian(points, torch.full((22, 3), 1e-7, dtype=torch.float64))
    expected = {0: "none", 2: "swing", 3: "full"}
    for joint, level in enumerate(observability(visible)):
        by_joint = jacobian[:, :, joint].reshape(-1, 3)
        assert expected[int(torch.linalg.matrix_rank(by_joint, atol=1e-5))] == level, SMPL.joints[joint]


def test_observability_of_few_points():
    assert set(levels_of().values()) == {"none"}
    levels = levels_of("left_elbow")
    assert {j for j, level in levels.items() if level == "swing"} == {
        "pelvis", "spine1", "spine2", "spine3", "left_collar", "left_shoulder",
    }  # fmt: skip
    assert "full" not in levels.values()
    # a face point and the top of the head are not on one line with the head joint
    assert levels_of("neck_nose", "head_top")["head"] == "full"


def test_observability_with_bones_of_length_zero():
    offsets = rest_offsets()
    offsets[SMPL25.index("left_wrist")] = 0.0
    levels = levels_of(*SMPL.joints, offsets=offsets)
    assert levels["left_elbow"] == "none"
    assert levels["left_shoulder"] == "swing"
    # the shipped spine1 lies on the pelvis, so it shows nothing of the pelvis' rotation
    assert levels_of("spine1")["pelvis"] == "none"


def test_observability_names_the_unknown_point():
    with pytest.raises(InputError, match=r"^visible: unknown point 'nose'; known: pelvis, left_hip, .*, head_top$"):
        observability(("pelvis", "nose"))


def test_constant_points():
    fixed, free = ({SMPL25.joints[p] for p in constant_points(modelled)} for modelled in (False, True))
    assert fixed == {"pelvis", "left_hip", "right_hip", "spine1", "hip_centre"}
    assert free == {"pelvis", "spine1"}


@pytest.mark.parametrize("root_modelled", [False, True])
def test_constant_points_are_those_that_do_not_move(root_modelled: bool):
    pose = haar(50, 22)
    if not root_modelled:
        pose[:, 0] = torch.eye(3, dtype=torch.float64)
    points, _ = body_points(pose, rest_offsets(torch.float64))
    still = (points - points[0]).norm(dim=-1).amax(0) < 1e-9
    assert constant_points(root_modelled) == tuple(still.nonzero().flatten().tolist())


def test_moving_mpjpe_leaves_out_the_constant_points():
    truth = torch.zeros(2, 22, 3)
    predicted = truth.clone()
    predicted[:, 4:, 0] = 0.010  # the published recomputation: 8.16 mm over 22 points are 9.97 mm over 18
    constant = constant_points(root_modelled=False)
    torch.testing.assert_close(moving_mpjpe(predicted, truth, constant), torch.full((2,), 0.010))
    predicted[:, 0] = float("nan")
    assert bool(moving_mpjpe(predicted, truth, constant).isfinite().all())


# ---------------------------------------------------------------------------------------------------- samples


def test_the_best_of_some_samples_is_a_whole_pose():
    """Not the mean of each joint's own best: two samples, each wrong at another joint, are both half wrong."""
    truth = haar(1, 2)
    samples = torch.stack([truth @ about_z(0.0, 1.0).squeeze(1), truth @ about_z(1.0, 0.0).squeeze(1)])
    assert float(expected_best_of(mgeo(samples, truth), [2])) == pytest.approx(0.5)


def posterior_ranks(width: float, poses: int = 2000, samples: int = 21) -> torch.Tensor:
    """Truth with spread 0.4 about an unknown centre; samples about the same centre with ``width`` times that."""
    centre = haar(poses, 2, seed=1)
    truth = centre @ near_identity(poses, 2, spread=0.4, seed=2)
    drawn = centre @ near_identity(samples, poses, 2, spread=0.4 * width, seed=3)
    return rotation_ranks(drawn, truth, generator(4))


@pytest.mark.parametrize("samples", [2, 3, 21])
def test_ranks_are_uniform_for_exchangeable_samples(samples: int):
    ranks = posterior_ranks(1.0, samples=samples)
    assert ranks.shape == (2000, 2)
    assert bool((uniformity_p_value(ranks) > 0.01).all())


def test_ranks_tell_over_and_under_confidence():
    narrow, wide = posterior_ranks(0.7), posterior_ranks(1.4)
    assert float(uniformity_p_value(narrow).max()) < 1e-6
    assert float(uniformity_p_value(wide).max()) < 1e-6
    assert float(narrow.mean()) > 0.6
    assert float(wide.mean()) < 0.4


def test_ranks_of_ties_are_random_and_repeat_with_the_seed():
    same = torch.eye(3).expand(10, 500, 1, 3, 3)
    ranks = rotation_ranks(same, same[0], generator(0))
    assert float(uniformity_p_value(ranks)) > 0.01
    assert torch.equal(ranks, rotation_ranks(same, same[0], generator(0)))


def test_ranks_need_two_samples():
    with pytest.raises(InputError, match=r"^samples: ranks need at least 2, got 1$"):
        rotation_ranks(haar(1, 4, 2), haar(4, 2))


@pytest.mark.parametrize(("n", "tolerance"), [(5, 0.03), (200, 0.01), (5000, 0.003)])
def test_uniformity_p_value_agrees_with_scipy(n: int, tolerance: float):
    stats = pytest.importorskip("scipy.stats")
    for seed, power in itertools.product(range(10), (1.0, 1.05, 1.5)):
        values = torch.rand(n, generator=generator(seed), dtype=torch.float64) ** power
        exact = stats.kstest(values.numpy(), "uniform", method="exact").pvalue
        assert float(uniformity_p_value(values)) == pytest.approx(exact, abs=tolerance)


def test_uniformity_p_value_extremes():
    even = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    assert float(uniformity_p_value(even)) == pytest.approx(1.0)
    assert float(uniformity_p_value(0.5 * even)) < 1e-100


# ------------------------------------------------------------------------------------------------ sets of poses


@pytest.mark.parametrize("angle", ANGLES)
def test_pose_distances_accuracy(angle: float):
    a = haar(300, 1)
    b = a @ roma.rotvec_to_rotmat(angle * unit(300, 1, 3, seed=1))
    distance = pose_distances(a, b).diagonal().double()
    assert float((distance - angle).abs().max()) < (2e-7 if angle < 0.01 else 6e-7)


def test_pose_distances_are_sums_of_geodesic_angles(monkeypatch):
    a, b = haar(40, 5, seed=1), haar(30, 5, seed=2)
    expected = geodesic_angle(a[:, None], b).sum(-1)
    torch.testing.assert_close(pose_distances(a, b).double(), expected, atol=0, rtol=1e-6)
    monkeypatch.setattr(metrics, "_CHUNK", 70)
    torch.testing.assert_close(pose_distances(a, b).double(), expected, atol=0, rtol=1e-6)
    torch.testing.assert_close(nearest_distance(a, b).double(), expected.amin(1), atol=0, rtol=1e-6)
    # single precision in: no more is lost than the matrices' own rounding
    torch.testing.assert_close(pose_distances(a.float(), b.float()).double(), expected, atol=6e-6, rtol=0)


def test_sets_must_fit_together():
    with pytest.raises(InputError, match=r"^a, b: 5 and 4 joints; expected the same joints$"):
        pose_distances(haar(2, 5), haar(2, 4))
    with pytest.raises(InputError, match=r"^b: expected rotations \(poses, joints, 3, 3\), got shape \(0, 5, 3, 3\)$"):
        pose_distances(haar(2, 5), haar(0, 5))
    with pytest.raises(InputError, match=r"^k: expected 1 to 3 \(poses in data less one\), got 5$"):
        precision_recall_density_coverage(haar(4, 2), haar(10, 2))


def test_identical_sets_cover_each_other():
    poses = near_identity(200, 19, spread=0.5)
    result = precision_recall_density_coverage(poses, poses)
    assert result == pytest.approx({"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}, abs=0.01)


def test_disjoint_sets_do_not_cover_each_other():
    poses = near_identity(50, 19, spread=0.05)
    result = precision_recall_density_coverage(poses, poses @ about_z(2.0)[0, 0])
    assert result == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_equal_distributions_have_density_about_one():
    result = precision_recall_density_coverage(
        near_identity(1000, 3, spread=0.5, seed=1), near_identity(1000, 3, spread=0.5, seed=2)
    )
    assert result["density"] == pytest.approx(1.0, abs=0.1)
    # a ball holds no sample if the 5 nearest of 999 other data and 1000 samples are all data (Naeem et al. 2020)
    expected = 1 - math.prod((999 - i) / (1999 - i) for i in range(5))
    assert result["coverage"] == pytest.approx(expected, abs=0.03)


def test_a_lost_mode_costs_recall_and_coverage_but_not_precision():
    mode = near_identity(400, 3, spread=0.2, seed=1)
    data = torch.cat([mode[:200], mode[200:] @ about_z(2.0)[0, 0]])
    result = precision_recall_density_coverage(data, near_identity(400, 3, spread=0.2, seed=2))
    assert result["precision"] > 0.8
    assert result["recall"] < 0.55
    assert result["coverage"] < 0.55


def test_precision_recall_density_coverage_by_hand():
    """One joint about z, k = 1. Data 0, 0.1, 0.3 have radii 0.1, 0.1, 0.2; samples 0.15, 1, 1.2: 0.85, 0.2, 0.2."""
    result = precision_recall_density_coverage(about_z(0.0, 0.1, 0.3), about_z(0.15, 1.0, 1.2), k=1)
    # 0.15 is in the balls of 0.1 and 0.3; all data are in the ball of 0.15
    assert result == pytest.approx({"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3})


def test_precision_recall_density_coverage_equals_the_definition(monkeypatch):
    data, samples = near_identity(60, 4, spread=0.6, seed=1), near_identity(50, 4, spread=0.4, seed=2)
    k = 3

    def radius(poses: torch.Tensor) -> torch.Tensor:
        return geodesic_angle(poses[:, None], poses).sum(-1).sort(1).values[:, k]

    distance = geodesic_angle(data[:, None], samples).sum(-1)
    in_data, in_samples = distance < radius(data)[:, None], distance < radius(samples)
    expected = {
        "precision": in_data.any(0).double().mean(),
        "recall": in_samples.any(1).double().mean(),
        "density": in_data.double().sum(0).mean() / k,
        "coverage": in_data.any(1).double().mean(),
    }
    monkeypatch.setattr(metrics, "_CHUNK", 170)
    result = precision_recall_density_coverage(data, samples, k)
    assert result == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-6)


def test_mean_nearest_distance_has_a_direction():
    data, samples = about_z(0.0, 1.0), about_z(0.1)
    assert mean_nearest_distance(data, samples) == pytest.approx({"precision": 0.1, "recall": 0.5}, abs=1e-6)


def test_wasserstein_of_a_permuted_set_is_zero():
    pytest.importorskip("ot")
    poses = near_identity(100, 19, spread=0.5)
    assert wasserstein(poses, poses[torch.randperm(100, generator=generator())]) == pytest.approx(0.0, abs=3e-6)


def test_wasserstein_by_hand():
    pytest.importorskip("ot")
    # 0 -> 0.2 and 1 -> 1.4; the other pairing costs more
    assert wasserstein(about_z(0.0, 1.0), about_z(1.4, 0.2)) == pytest.approx(0.3, abs=1e-6)
    # unequal sizes: half of the single pose's weight goes to each
    assert wasserstein(about_z(0.0), about_z(0.2, 1.0)) == pytest.approx(0.6, abs=1e-6)


def test_wasserstein_is_the_best_assignment_and_invariant():
    pytest.importorskip("ot")
    a, b, left = haar(6, 3, seed=1), haar(6, 3, seed=2), haar(1, 3, seed=3)
    cost = geodesic_angle(a[:, None], b).sum(-1)
    best = min(float(cost[range(6), order].mean()) for order in map(list, itertools.permutations(range(6))))
    assert wasserstein(a, b) == pytest.approx(best, abs=1e-5)
    assert wasserstein(b, a) == pytest.approx(best, abs=1e-5)
    assert wasserstein(left @ a, left @ b) == pytest.approx(best, abs=1e-5)


def test_wasserstein_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(InputError) as error:
        wasserstein(haar(2, 2), haar(2, 2))
    assert str(error.value) == "the Wasserstein distance needs POT: pip install 'poseterior[emd]'"


# ------------------------------------------------------------------------------------------------------- masks


def test_published_occlusion_sets():
    indices = [sorted(map(SMPL.index, joints)) for joints in list(OCCLUSIONS.values())[:4]]
    assert indices == [[1, 4, 7], [16, 18, 20], [14, 17], [7, 8, 15, 20, 21]]


def test_whole_chains_hide_everything_below():
    """Nothing of a hidden chain's rotations is seen, whereas the published leg set leaves the toe in sight."""
    for name, joints in OCCLUSIONS.items():
        assert len(set(joints)) == len(joints), name
        levels = levels_of(*(j for j in SMPL.joints if j not in joints))
        if "chain" in name or "both" in name:
            assert {levels[j] for j in joints} == {"none"}, name
    assert levels_of(*(j for j in SMPL.joints if j not in OCCLUSIONS["legs (L)"]))["left_knee"] == "swing"


def test_random_visibility_hides_each_pose_at_its_own_rate():
    visible = random_visibility(20_000, 22, generator())
    share = visible.double().mean(1)
    assert float(share.mean()) == pytest.approx(0.5, abs=0.01)
    # variance of a uniform rate, and of 22 draws at that rate
    assert float(share.var()) == pytest.approx(1 / 12 + 1 / (6 * 22), abs=0.003)
    assert torch.equal(visible, random_visibility(20_000, 22, generator()))
