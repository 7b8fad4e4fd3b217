from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from poseterior.data.mocap.amass import read_amass
from poseterior.data.mocap.bvh import read_bvh
from poseterior.distributions.rotations import RotationDistribution
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, SMPL25, body_points, group_factors, rest_offsets
from poseterior.geometry.cameras import project
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifters import load
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.lifting import poses as pipeline
from poseterior.lifting.draws import draw
from poseterior.lifting.ik import fitted_error, solve_ik, solve_ik_of_result
from poseterior.lifting.prior import sample_prior, score_poses
from poseterior.lifting.rotations import lift_rotations
from poseterior.metrics.rotations import geodesic_angle
from poseterior.results.hypotheses import looked_at, smoothest
from poseterior.results.motion import as_lift_result, save_motion
from poseterior.results.poses import load_result, save_result
from poseterior.results.provenance import clips_of
from poseterior.results.roots import _steadied
from poseterior.results.rotations import RotationResult

TINY = RotationConfig(width=16, blocks=1, context=8, trunk=8, layers=1, segments=2, hidden=4)
CAMERA = torch.tensor([500.0, 500.0, 320.0, 240.0])


@pytest.fixture(scope="module")
def lifter() -> RotationLifter:
    """A tiny lifter that has learned nothing, and is far from uniform."""
    torch.manual_seed(0)
    made = RotationLifter(TINY)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return made.eval().requires_grad_(False)


def turns(frames: int, seed: int = 0, size: float = 0.3) -> torch.Tensor:
    """Rotations ``(frames, 22, 3, 3)`` that change smoothly; toes at the identity."""
    generator = torch.Generator().manual_seed(seed)
    start, speed = (size * torch.randn(22, 3, generator=generator) for _ in range(2))
    vectors = start + torch.linspace(0, 1, frames)[:, None, None] * speed
    vectors[:, [10, 11]] = 0.0
    return roma.rotvec_to_rotmat(vectors)


class Known(RotationLifter):
    """A lifter that knows the rotations and the body, up to ``noise`` radians."""

    truth: torch.Tensor
    own_body: torch.Tensor
    noise = 1e-3

    def _posterior(self, evidence_of: RotationDistribution) -> RotationDistribution:
        known = self

        class Posterior(RotationDistribution):
            def _draw_and_log_prob(self, shape, noise):
                errors = self._normal(noise, *shape, *self.batch_shape, 22, 3, event=2)
                turned = roma.rotvec_to_rotmat(known.noise * errors)
                rows = known.truth[known.at : known.at + self.batch_shape[0]]
                return rows @ turned, -turned.flatten(-3).square().sum(-1)

            def offsets(self, rotations, noise=None):
                return known.own_body.expand(*rotations.shape[:-3], 25, 3)

        return Posterior(self.network, evidence_of.evidence)

    def rotations(self, keypoints):
        return self._posterior(super().rotations(keypoints))

    def ik(self, *arguments, **named):
        self.given_offsets = arguments[3]
        return self._posterior(super().ik(*arguments, **named))


@pytest.fixture
def known() -> Known:
    made = Known(TINY).eval().requires_grad_(False)
    made.truth, made.at = turns(40), 0
    made.own_body = rest_offsets() * group_factors(torch.linspace(-0.1, 0.15, 10))
    return made


def made_up(frames: int = 6, samples: int = 8, seed: int = 0, **changes) -> RotationResult:
    """Random samples, a clip of one person."""
    generator = np.random.default_rng(seed)
    quaternions = generator.normal(size=(frames, samples, 22, 4)).astype(np.float32)
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    parts = {
        "rotations": quaternions, "log_prob": generator.normal(size=(frames, samples)).astype(np.float32),
        "mean": quaternions[:, 0], "spread": np.ones((frames, 22), np.float32),
        "offsets": np.tile(rest_offsets().numpy(), (frames, 1, 1)),
        "root": generator.normal(size=(frames, 3)).astype(np.float32), "file": np.full(frames, "clip"),
        "frame": np.arange(frames), "person": np.zeros(frames, int), "axes": "y up", "modelled": ("pelvis",),
    }  # fmt: skip
    return RotationResult(**(parts | changes))


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """Largest angle between rotations given as quaternions, radians."""
    first, second = (roma.unitquat_to_rotmat(torch.tensor(q, dtype=torch.float64)) for q in (a, b))
    return float(geodesic_angle(first, second).max())


# -- clips -----------------------------------------------------------------------------------------------


def rows_of(*ids: tuple[str, int, int]) -> list[list[int]]:
    file, frame, person = zip(*ids, strict=True)
    return [rows.tolist() for rows in clips_of(np.array(file), np.array(frame), np.array(person))]


def test_a_clip_is_one_person_of_one_file_in_order_of_frames():
    ids = [("a", 2, 0), ("a", 1, 0), ("a", 1, 1), ("b", 0, 0), ("a", 2, 1)]
    assert rows_of(*ids) == [[1, 0], [2, 4], [3]]


def test_a_repeated_frame_begins_another_clip():
    assert rows_of(("a", 0, 0), ("a", 0, 0), ("a", 1, 0)) == [[0, 2], [1]]


def test_numbered_images_are_frames_of_one_clip():
    assert rows_of(*((f"walk/img_{7 + 2 * i:04d}.jpg", i, 0) for i in (0, 1, 2, 4))) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    "names",
    [
        ["astronaut.jpg", "batter.jpg", "badminton.jpg"],
        ["000000397133.jpg", "000000037777.jpg", "000000252219.jpg"],
        ["img_1.jpg", "img_5.jpg", "img_90.jpg"],
        ["img_1.jpg", "img_2.jpg"],
        ["day1_1.jpg", "day2_2.jpg", "day3_3.jpg"],
    ],
)
def test_photographs_are_of_strangers(names):
    assert len(rows_of(*((name, i, 0) for i, name in enumerate(names)))) == len(names)


# -- lifting ---------------------------------------------------------------------------------------------


def seen_by_camera(known: Known, frames: int, **ids) -> tuple[Keypoints2D, torch.Tensor]:
    """What `CAMERA` sees of the known motion, and where the pelvis is."""
    place = torch.stack([torch.linspace(-0.5, 0.5, frames), torch.full((frames,), 0.2), torch.full((frames,), 4.0)], -1)
    points, _ = body_points(known.truth[:frames], known.own_body.expand(frames, 25, 3))
    shown = points[:, list(H36M_POINTS)] + place[:, None]
    return Keypoints2D(project(shown, CAMERA), intrinsics=CAMERA, image_size=(640, 480), **ids), place


def test_lifting_finds_rotations_body_and_place(known):
    keypoints, place = seen_by_camera(known, 30, ids=[PoseId("film.json", i, 0) for i in range(30)])
    poses = pipeline.lift(known, keypoints, samples=20)
    result = poses.motion()
    assert result.axes == "camera"
    assert angle(result.mean, roma.rotmat_to_unitquat(known.truth[:30]).numpy()) < 2e-3
    np.testing.assert_allclose(result.spread[:, :10], 1e-3 * np.sqrt(3), rtol=0.6)
    np.testing.assert_allclose(result.offsets, known.own_body.expand(30, 25, 3), atol=1e-5)
    np.testing.assert_allclose(result.root, place, atol=0.02)
    points = result.points(result.mean[:, None])[:, 0, list(H36M_POINTS)]
    assert (project(points, CAMERA) - keypoints.xy).abs().max() < 1.0  # px
    relative = points - points[:, :1]
    np.testing.assert_allclose(poses.mean, relative, atol=0.01)


def test_lifting_once_gives_the_poses_of_lift(lifter):
    import poseterior as pp

    keypoints = pp.example_keypoints()
    poses = pp.lift(lifter, keypoints, 7, seed=3)
    result = poses.motion()
    # the samples are the poses of the rotations: limbs point the same way, whatever their lengths
    points = result.points(result.rotations)[:, :, list(H36M_POINTS)].numpy()
    limbs = [(c, p) for c, p in SKELETONS["h36m17"].bones if SKELETONS["h36m17"].joints[c].endswith(("ankle", "wrist"))]
    child, parent = np.array(limbs).T
    ours, theirs = (each[:, :, child] - each[:, :, parent] for each in (points, poses.samples))
    along = (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)
    assert along.min() > 0.9999
    assert result.rotations.shape == (5, 7, 22, 4)
    assert np.isnan(poses.log_prob).all()
    assert np.isfinite(result.log_prob).all()
    assert np.array_equal(result.rotations, lift_rotations(lifter, keypoints, 7, seed=3).rotations)
    again = lift_rotations(lifter, keypoints, 7, seed=4)
    assert not np.array_equal(result.rotations, again.rotations)
    assert result.modelled == tuple(j for j in SKELETONS["smpl22"].joints if j not in ("left_foot", "right_foot"))
    assert result.settings["body"] == "one for each of 5 clips: the median over its frames"


def test_log_prob_is_the_densitys(lifter):
    import poseterior as pp

    keypoints = pp.example_keypoints().as_skeleton("h36m17")
    result = lift_rotations(lifter, keypoints, 4)
    value = roma.unitquat_to_rotmat(torch.from_numpy(result.rotations)).transpose(0, 1)
    expected = lifter.rotations(keypoints).log_prob(value)
    np.testing.assert_allclose(result.log_prob, expected.T, atol=2e-3)


def test_one_body_for_the_frames_of_one_person(lifter):
    xy = 300 + 50 * np.random.default_rng(0).random((6, 17, 2))
    ids = [PoseId("film", i // 2, i % 2) for i in range(6)]
    result = lift_rotations(lifter, Keypoints2D(xy, image_size=(640, 480), ids=ids), 5)
    assert [rows.tolist() for rows in result.clips()] == [[0, 2, 4], [1, 3, 5]]
    for rows in result.clips():
        assert (result.offsets[rows] == result.offsets[rows[0]]).all()
    assert not np.allclose(result.offsets[0], result.offsets[1], atol=1e-6)


def test_root_is_zero_where_nothing_is_known_of_the_camera(lifter):
    xy = 300 + 50 * np.random.default_rng(0).random((2, 17, 2))
    assert not lift_rotations(lifter, Keypoints2D(xy), 3).root.any()


def test_a_frame_without_people_gets_a_root_between_its_neighbours(known):
    keypoints, place = seen_by_camera(known, 5, ids=[PoseId("film", i, 0) for i in range(5)])
    visible = torch.ones(5, 17, dtype=torch.bool)
    visible[2] = False
    hidden = Keypoints2D(
        keypoints.xy, visible=visible, intrinsics=CAMERA, image_size=(640, 480), ids=keypoints.ids
    )  # fmt: skip
    root = lift_rotations(known, hidden, 5).root
    np.testing.assert_allclose(root[2], (root[1] + root[3]) / 2, atol=1e-3)
    np.testing.assert_allclose(root, place, atol=0.02)


def test_a_lifter_with_rotations_is_sampled_once(lifter, monkeypatch):
    import poseterior as pp

    drawn = []
    network = type(lifter.network)
    original = network.draw
    monkeypatch.setattr(
        network, "draw", lambda self, shape, *rest: drawn.append(shape[0]) or original(self, shape, *rest)
    )
    result = pp.lift(lifter, pp.example_keypoints(), 128)
    # once for the samples, once for the region, whose draws do not depend on the seed
    assert drawn == [128, 200]
    np.testing.assert_allclose(result.mean, result.samples.mean(1), atol=1e-5)
    offset = result.samples - result.samples.mean(1, keepdims=True)
    expected = np.einsum("psji,psjk->pjik", offset, offset) / 127
    np.testing.assert_allclose(result.covariance, expected, atol=1e-4)
    # few samples make no mean: then it is that of the lifter's own fixed draws
    drawn.clear()
    pp.lift(lifter, pp.example_keypoints(), 5)
    assert sorted(drawn) == [5, 128, 200]


def test_other_lifters_lift_as_before():
    import poseterior as pp

    mdn, keypoints = load("mdn"), pp.example_keypoints()
    result = pp.lift(mdn, keypoints, 6, seed=2)
    posterior = mdn(keypoints)
    poses = posterior.sample((6,), seed=2)
    assert np.array_equal(result.samples, poses.transpose(0, 1).numpy())
    assert np.array_equal(result.mean, posterior.mean.numpy())
    # From the pass that drew them: rounding alone is between the two.
    np.testing.assert_allclose(result.log_prob, posterior.log_prob(poses).T.numpy(), rtol=1e-5, atol=1e-4)
    parts = list(draw(mdn, keypoints.as_skeleton("h36m17"), 2))
    assert parts[0].rotations is None
    with pytest.raises(InputError, match="lifter 'mdn' has no rotations; use the lifter 'rotations'"):
        lift_rotations(mdn, keypoints)


# -- inverse kinematics ----------------------------------------------------------------------------------


def moved(known: Known, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The 25 points of the known motion, and where the pelvis is."""
    place = torch.stack([torch.linspace(-2, 1, frames), torch.full((frames,), 0.9), torch.zeros(frames)], -1)
    points, _ = body_points(known.truth[:frames], known.own_body.expand(frames, 25, 3))
    return points + place[:, None], place


@pytest.mark.parametrize("skeleton", ["smpl22", "h36m17"])
def test_ik_finds_body_and_place(known, skeleton):
    points, place = moved(known, 12)
    index = list(range(22)) if skeleton == "smpl22" else list(H36M_POINTS)
    result = solve_ik(known, points[:, index].numpy(), skeleton=skeleton, samples=10, file="walk")
    assert result.axes == "y up"
    assert result.file.tolist() == ["walk"] * 12
    assert angle(result.mean, roma.rotmat_to_unitquat(known.truth[:12]).numpy()) < 3e-3
    np.testing.assert_allclose(result.root, place, atol=0.01)
    if skeleton == "smpl22":
        shown = [SMPL25.index(j) for j in ("left_knee", "right_ankle", "left_elbow", "left_wrist", "neck")]
        np.testing.assert_allclose(result.offsets[0, shown], known.own_body[shown], atol=1e-4)
        assert (result.offsets == result.offsets[:1]).all()
        errors = fitted_error(result, points[:, index])
        assert list(errors) == list(SKELETONS["smpl22"].joints)
        assert max(errors.values()) < 0.01


def test_what_is_hidden_does_not_matter(lifter, known):
    points, _ = moved(known, 3)
    points = points[:, :22].numpy()
    seen = np.ones(22, bool)
    seen[[18, 20]] = False
    results = []
    for value in (np.nan, 0.0, 1e6):
        changed = points.copy()
        changed[:, [18, 20]] = value
        results.append(solve_ik(lifter, changed, None if np.isnan(value) else seen, samples=3, seed=5))
    for other in results[1:]:
        for name in ("rotations", "log_prob", "offsets", "root"):
            assert np.array_equal(getattr(results[0], name), getattr(other, name)), name
    assert "left_elbow" not in fitted_error(results[0], points, seen)


def test_ik_of_one_frame_and_of_nothing(lifter, known):
    points, _ = moved(known, 1)
    assert len(solve_ik(lifter, points[0, :22], samples=2)) == 1
    blind = solve_ik(lifter, np.full((2, 22, 3), np.nan), samples=2)
    assert blind.settings == {"body": "the rest body: no bone is visible"}
    assert np.array_equal(blind.offsets[0], rest_offsets().numpy())
    assert not blind.root.any()


def test_sigma_belongs_to_its_joint(known):
    """A knee that is known badly does not draw the body towards it."""
    points, place = moved(known, 4)
    points = points[:, list(H36M_POINTS)].clone()
    knee = SKELETONS["h36m17"].index("left_knee")
    points[:, knee] += 0.3
    sigma = np.full((4, 17), 1e-3)
    sigma[:, knee] = 0.5
    near = solve_ik(known, points, None, sigma, "h36m17", known.own_body, samples=5)
    far = solve_ik(known, points, None, 1e-3, "h36m17", known.own_body, samples=5)
    assert np.abs(near.root - place.numpy()).max() < 0.01
    assert np.abs(far.root - place.numpy()).max() > 0.015
    assert near.settings == {"body": "given"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"points": np.zeros((2, 21, 3))},
            r"points have shape \(2, 21, 3\); skeleton 'smpl22' needs \(frames, 22, 3\)",
        ),
        ({"points": "walk"}, "points: expected an array of numbers, got <U4"),
        ({"seen": "all"}, "seen: expected an array of numbers, got <U3"),
        ({"samples": 5.5}, "samples: expected a whole number, got 5.5"),
        ({"points": np.zeros((0, 22, 3))}, "points: no frames"),
        ({"skeleton": "cat"}, "unknown skeleton 'cat'"),
        ({"sigma": np.zeros(21)}, r"seen, sigma: expected one per joint or \(frames, joints\) = \(2, 22\)"),
        ({"sigma": -1.0}, "points: frame 0, joint 'pelvis': its sigma must be finite and at least 0 metres"),
        ({"samples": 0}, "samples: expected at least 1, got 0"),
        ({"seed": -1}, r"seed: expected 0 to below 2\^62, got -1"),
    ],
)
def test_bad_ik(lifter, change, message):
    arguments = {"points": np.random.default_rng(0).random((2, 22, 3))} | change
    with pytest.raises(InputError, match=message):
        solve_ik(lifter, **arguments)


def test_a_visible_point_that_is_not_finite_is_named(lifter):
    points = np.zeros((3, 22, 3))
    points[1, 4] = np.inf
    with pytest.raises(InputError, match="points: frame 1, joint 'left_knee': is visible but not finite; hide it"):
        solve_ik(lifter, points, np.ones(22, bool))


def test_ik_of_a_result_has_the_samples_body_and_the_cameras_place(known):
    keypoints, place = seen_by_camera(known, 6, ids=[PoseId("film", 5 - i, 0) for i in range(6)])
    poses = pipeline.lift(known, keypoints, 10)
    # the rows of a result need not be in order: the stub answers in the order of frames
    known.truth = known.truth[:6].flip(0)
    result = solve_ik_of_result(known, poses, keypoints.intrinsics, samples=10)
    known.truth = known.truth.flip(0)
    assert angle(result.mean, roma.rotmat_to_unitquat(known.truth).numpy()) < 5e-3
    assert result.frame.tolist() == [5, 4, 3, 2, 1, 0]
    assert result.settings["rotations"] == "inverse kinematics of the mean poses of rotations by rotations"
    np.testing.assert_allclose(result.root, place, atol=0.03)
    # of the true bones, not of the shorter ones of the mean
    known.noise = 0.3
    poses = pipeline.lift(known, keypoints, 40)
    solve_ik_of_result(known, poses, samples=2)
    shin = SMPL25.index("left_ankle")
    assert float(known.given_offsets[shin].norm() / known.own_body[shin].norm()) == pytest.approx(1.0, abs=0.005)
    with pytest.raises(InputError, match="hide: no joint 'tail'; h36m17 has: pelvis"):
        solve_ik_of_result(known, poses, hide=["tail"])


def test_ik_takes_results_without_samples(lifter, known, tmp_path):
    keypoints, _ = seen_by_camera(known, 3)
    save_result(pipeline.lift(known, keypoints, 4), tmp_path / "a.json")
    result = solve_ik_of_result(lifter, load_result(tmp_path / "a.json"), samples=2, sigma=0.01)
    assert result.rotations.shape == (3, 2, 22, 4)


# -- choices ---------------------------------------------------------------------------------------------


def test_simple_choices():
    result = made_up()
    assert np.array_equal(result.choose("mean"), result.mean[:, None])
    assert np.array_equal(result.choose("samples", 3), result.rotations[:, :3])
    best = result.choose("best")[:, 0]
    for row in range(len(result)):
        assert np.array_equal(best[row], result.rotations[row, result.log_prob[row].argmax()])
    assert np.array_equal(replace(result, mode=result.mean).choose("mode"), result.mean[:, None])


@pytest.mark.parametrize(
    ("how", "count", "message"),
    [
        ("median", 1, "how: expected one of mean, best, mode, path, samples, clusters, got 'median'"),
        ("mean", 2, "count: there is one mean, not 2; use samples, clusters or path"),
        ("samples", 9, r"count: expected 1 to 8 \(the number of samples\), got 9"),
        ("mode", 1, "how: the mode was not computed; ask for it"),
    ],
)
def test_bad_choices(how, count, message):
    with pytest.raises(InputError, match=message):
        made_up().choose(how, count)


def test_the_mode_comes_on_demand_and_is_likelier_than_most_samples(lifter):
    points, _ = body_points(turns(1), rest_offsets().expand(1, 25, 3))
    result = solve_ik(lifter, points[:, :22], samples=20, mode=True)
    given = torch.cat([points[:, :22], torch.full((1, 3, 3), torch.nan)], 1)
    posterior = lifter.ik(given, offsets=torch.from_numpy(result.offsets))
    mode = result.choose("mode")[:, 0]
    assert float(posterior.log_prob(roma.unitquat_to_rotmat(torch.from_numpy(mode)))) > np.quantile(
        result.log_prob, 0.9
    )


def path_cost(result: RotationResult, way: tuple[int, ...]) -> float:
    """The documented cost, joint by joint."""
    total = -sum(float(result.log_prob[t, s]) for t, s in enumerate(way))
    matrices = roma.unitquat_to_rotmat(torch.from_numpy(result.rotations).double())
    for t in range(1, len(way)):
        turn = geodesic_angle(matrices[t - 1, way[t - 1]], matrices[t, way[t]])
        total += float((turn / 0.1).square().sum() / 2) / int(result.frame[t] - result.frame[t - 1])
    return total


def test_the_path_is_the_cheapest_of_all():
    result = made_up(4, 4, seed=1, frame=np.array([0, 1, 5, 6]))
    quaternions = result.rotations.copy()
    # small turns, or the steps' cost would drown the densities'; and q for -q is the same rotation
    quaternions[..., :3] *= 0.02
    quaternions /= np.linalg.norm(quaternions, axis=-1, keepdims=True)
    quaternions[:, ::2] *= -1
    result = replace(result, rotations=quaternions, log_prob=10 * result.log_prob)
    ways = list(itertools.product(range(4), repeat=4))
    best = ways[int(np.argmin([path_cost(result, way) for way in ways]))]
    assert tuple(smoothest(result.rotations, result.log_prob, result.frame)) == best


def test_the_path_finds_a_smooth_motion_among_noise():
    frames = 25
    motion = roma.rotmat_to_unitquat(turns(frames)).numpy()
    result = made_up(frames, 30, log_prob=np.zeros((frames, 30), np.float32))
    place = np.random.default_rng(0).integers(0, 30, frames)
    quaternions = result.rotations.copy()
    quaternions[np.arange(frames), place] = motion
    assert np.array_equal(smoothest(quaternions, result.log_prob, result.frame), place)


def test_a_path_stays_with_one_explanation_and_averages_its_noise():
    """Two mirrored explanations a frame, each blurred: the path keeps to one of them and is smoother than samples."""
    frames, samples = 20, 60
    truth = turns(frames)
    noise = roma.rotvec_to_rotmat(0.1 * torch.randn(frames, samples, 22, 3, generator=torch.Generator().manual_seed(1)))
    matrices = truth.unsqueeze(1) @ noise
    matrices[:, ::2, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, 3.0, 0.0])) @ matrices[:, ::2, 0]
    result = replace(
        made_up(frames, samples, log_prob=np.zeros((frames, samples), np.float32)),
        rotations=roma.rotmat_to_unitquat(matrices).numpy(),
    )
    chosen = roma.unitquat_to_rotmat(torch.from_numpy(result.choose("path")[:, 0]))
    to_truth = geodesic_angle(chosen[:, 0], truth[:, 0])
    assert bool((to_truth < 0.5).all() or (to_truth > 2.5).all())
    error = geodesic_angle(chosen[:, 1:], truth[:, 1:]).mean()
    assert float(error) < 0.5 * float(geodesic_angle(matrices[:, 0, 1:], truth[:, 1:]).mean())


@pytest.mark.parametrize(("how", "count"), [("path", 1), ("path", 2), ("path", 3), ("path", 4), ("samples", 5)])
def test_hypotheses_are_chosen_by_the_samples_that_are_looked_at_alone(how, count):
    result = made_up(frames=4, samples=200)
    few = looked_at(how, count, 200)
    assert few < 200 or count > 3
    first = replace(result, rotations=result.rotations[:, :few], log_prob=result.log_prob[:, :few])
    assert np.array_equal(first.choose(how, count), result.choose(how, count))
    assert looked_at(how, count, 3) == 3
    assert looked_at("mean", 1, 200) == looked_at("clusters", 2, 200) == 200


def test_several_paths_share_no_sample():
    result = made_up(5, 9)
    chosen = result.choose("path", 3)
    assert chosen.shape == (5, 3, 22, 4)
    for t in range(5):
        assert len({quaternion.tobytes() for quaternion in chosen[t]}) == 3


def test_representatives_are_samples_with_their_shares():
    still, other = made_up(2, 1, seed=1).rotations, made_up(2, 1, seed=2).rotations
    mixed = np.concatenate([still.repeat(6, 1), other.repeat(2, 1)], 1)
    result = replace(made_up(2, 8), rotations=mixed)
    chosen, weights = result.representatives(2)
    np.testing.assert_allclose(weights, [[0.75, 0.25]] * 2)
    assert np.array_equal(chosen, np.concatenate([still, other], 1))
    assert np.array_equal(result.choose("clusters", 2), chosen)


# -- files -----------------------------------------------------------------------------------------------


def test_axes_turn_there_and_back():
    result = made_up()
    camera = result.in_axes("camera")
    assert angle(camera.in_axes("y up").rotations, result.rotations) < 1e-6
    flip = np.array([1, -1, -1], np.float32)
    np.testing.assert_allclose(camera.points(camera.rotations), result.points(result.rotations) * flip, atol=1e-5)


@pytest.mark.parametrize("axes", ["y up", "camera"])
def test_bvh_holds_the_motion(tmp_path, axes):
    frames = 20
    quaternions = roma.rotmat_to_unitquat(turns(frames)).numpy()
    result = made_up(frames, 3, mean=quaternions).in_axes(axes)
    written = save_motion(result, tmp_path / "a.bvh", "mean", fps=25)
    assert written == [tmp_path / "a.bvh"]
    motion = read_bvh(written[0])
    assert motion.fps == 25
    expected = result.in_axes("y up").points(result.in_axes("y up").mean[:, None])[:, 0, :22]
    index = [motion.joints.index(joint) for joint in SKELETONS["smpl22"].joints]
    read = motion.positions[:, index] / 100
    np.testing.assert_allclose(read, expected, atol=1e-4)
    lengths = np.linalg.norm(read[:, 1:] - read[:, list(SKELETONS["smpl22"].parents[1:])], axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1e-5


def test_npz_is_amass_with_all_samples(tmp_path):
    result = made_up(4, 3)
    save_motion(result, tmp_path / "a.npz", "best")
    motion = read_amass(tmp_path / "a.npz")
    assert len(motion) == 4
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert np.array_equal(archive["mean_quaternions"], result.mean)
        assert np.array_equal(archive["sample_quaternions"], result.rotations)
        assert np.array_equal(archive["log_prob"], result.log_prob)
        assert np.array_equal(archive["spread_radians"], result.spread)
        assert archive["poses"].shape == (4, 156)


def test_one_file_a_clip_and_hypothesis(tmp_path):
    people = made_up(6, 4, person=np.array([0, 1] * 3), frame=np.repeat(np.arange(3), 2))
    names = [path.name for path in save_motion(people, tmp_path / "x.bvh", count=2)]
    assert names == ["x-1-1.bvh", "x-1-2.bvh", "x-2-1.bvh", "x-2-2.bvh"]
    assert all(len(read_bvh(tmp_path / name)) == 3 for name in names)
    assert [p.name for p in save_motion(people[[0, 2, 4]], tmp_path / "y.glb", count=2)] == ["y-1.glb", "y-2.glb"]


def test_defaults_are_path_for_clips_and_mean_for_poses(tmp_path):
    result = made_up(5, 6)
    save_motion(result, tmp_path / "a.bvh")
    save_motion(result, tmp_path / "b.bvh", "path")
    assert (tmp_path / "a.bvh").read_bytes() == (tmp_path / "b.bvh").read_bytes()
    save_motion(result[[2]], tmp_path / "c.bvh")
    save_motion(result[[2]], tmp_path / "d.bvh", "mean")
    assert (tmp_path / "c.bvh").read_bytes() == (tmp_path / "d.bvh").read_bytes()
    save_motion(result[[2]], tmp_path / "e.bvh", count=2)
    save_motion(result[[2]], tmp_path / "f.bvh", "clusters", 2)
    assert (tmp_path / "e-2.bvh").read_bytes() == (tmp_path / "f-2.bvh").read_bytes()


def test_nothing_is_written_on_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"a\.fbx: unknown extension '\.fbx'; use one of: \.bvh, \.glb, \.npz"):
        save_motion(made_up(), tmp_path / "a.fbx")
    (tmp_path / "b-2.bvh").mkdir()
    with pytest.raises(InputError, match=r"b-2\.bvh: is a folder; give the name of a file"):
        save_motion(made_up(), tmp_path / "b.bvh", "samples", 2)
    assert [p.name for p in tmp_path.iterdir()] == ["b-2.bvh"]


def test_an_animation_has_one_body():
    result = made_up(2)
    result.offsets[1] *= 1.1
    with pytest.raises(InputError, match="the poses have different bodies; animate each clip: result\\[rows\\]"):
        result.animation(result.mean)


def test_a_result_checks_its_shapes():
    with pytest.raises(InputError, match=r"root has shape \(6, 2\); expected \(6, 3\)"):
        made_up(root=np.zeros((6, 2)))
    with pytest.raises(InputError, match="axes is 'z up'; expected 'y up' or 'camera'"):
        made_up(axes="z up")


def test_pages_show_the_poses():
    result = made_up(3, 4)
    points = torch.full((3, 25, 3), torch.nan)
    points[:, :5] = result.points(result.mean[:, None])[:, 0, :5]
    shown = as_lift_result(result, points)
    assert shown.samples.shape == (3, 4, 17, 3)
    expected = (result.points(result.rotations)[:, :, list(H36M_POINTS)]) * torch.tensor([1.0, -1.0, -1.0])
    np.testing.assert_allclose(shown.samples, expected - expected[:, :, :1], atol=1e-5)
    assert shown.visible.sum(1).tolist() == [3, 3, 3]  # smpl22's pelvis and spine1 are no joints of h36m17
    knee = SKELETONS["h36m17"].index("left_knee")
    assert shown.keypoints[0, knee, 1] == pytest.approx(-250 * float(points[0, 4, 1] + expected[0, :, 0, 1].mean()))


# -- the prior -------------------------------------------------------------------------------------------


def test_scores_are_the_priors_density_by_joint(lifter):
    poses = sample_prior(lifter, 50, seed=1)
    assert poses.rotations.shape == (50, 1, 22, 4)
    scores = score_poses(lifter, poses.rotations[:, 0], samples=400, chunk=16)
    value = roma.unitquat_to_rotmat(torch.from_numpy(poses.rotations[:, 0]))
    np.testing.assert_allclose(scores.log_density, lifter.prior().log_prob(value, root=False), atol=1e-3)
    assert scores.contributions.shape == (50, len(scores.joints))
    assert "pelvis" not in scores.joints
    # the prior's own samples are as typical as its other ones
    assert abs(scores.typicality.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 50)
    turned = poses.rotations[:, 0].copy()
    turned[:, 0] = [0.0, 1.0, 0.0, 0.0]
    np.testing.assert_allclose(score_poses(lifter, turned, 10).contributions, scores.contributions, atol=1e-3)


def test_reasons_name_the_joint_that_is_unlikely(lifter):
    poses = sample_prior(lifter, 1).rotations[:, 0]
    scores = score_poses(lifter, poses, samples=100)
    joint, loss = scores.reasons(0, 1)[0]
    gaps = scores.contributions[0] - scores.usual
    assert (joint, loss) == (scores.joints[gaps.argmin()], pytest.approx(gaps.min()))


def test_bad_poses_are_named(lifter):
    with pytest.raises(InputError, match=r"rotations have shape \(2, 21, 4\); expected \(poses, 22, 4\)"):
        score_poses(lifter, np.zeros((2, 21, 4)))
    poses = np.tile(np.float32([0, 0, 0, 1]), (2, 22, 1))
    poses[1, 5] = np.nan
    with pytest.raises(InputError, match="joint 'right_knee'"):
        score_poses(lifter, poses)


def test_the_prior_as_a_fitting_term(lifter):
    """The README's worked example: maximum a posteriori rotations of a body of which some points are seen."""
    truth, _ = body_points(turns(1)[0], rest_offsets())
    seen, sigma = [SMPL25.index(j) for j in ("pelvis", "head", "left_wrist", "right_wrist", "left_ankle")], 0.05

    def fit(weight: float) -> tuple[float, float]:
        prior = lifter.prior()
        vectors = torch.zeros(22, 3, requires_grad=True)
        optimiser = torch.optim.Adam([vectors], lr=0.1)
        for _ in range(30):
            rotations = roma.rotvec_to_rotmat(vectors)
            points, _ = body_points(rotations, rest_offsets())
            misfit = ((points[seen] - truth[seen]) / sigma).square().sum() / 2
            loss = misfit - weight * prior.log_prob(rotations, root=False)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        distance = (points[seen] - truth[seen]).norm(dim=-1).mean()
        return float(distance), float(prior.log_prob(rotations, root=False))

    (near, likely), (alone, unlikely) = fit(1.0), fit(0.0)
    assert near < 0.08  # metres
    assert alone < 0.08
    assert likely > unlikely + 5


def test_depth_is_steadied_along_the_ray():
    generator = np.random.default_rng(0)
    walk = np.stack([np.linspace(-1, 1, 200), np.full(200, 0.1), np.linspace(4, 5, 200)], -1)
    noisy = walk * (1 + 0.05 * generator.standard_normal((200, 1)))
    steady = _steadied(noisy)
    assert np.abs(steady - walk)[15:-15].mean() < 0.4 * np.abs(noisy - walk)[15:-15].mean()
    np.testing.assert_allclose(steady[:, :2] / steady[:, 2:], noisy[:, :2] / noisy[:, 2:])
    np.testing.assert_allclose(_steadied(walk), walk)
    np.testing.assert_allclose(_steadied(walk[:1]), walk[:1])


# -- what users call ---------------------------------------------------------------------------------------


def test_results_of_lifters_with_rotations_save_their_motion(lifter, tmp_path):
    import poseterior as pp

    keypoints = pp.example_keypoints()
    result = pp.lift(lifter, keypoints, 4)
    names = [path.name for path in result.motion().save(tmp_path / "clip.bvh")]
    assert names == [f"clip-{number}.bvh" for number in range(1, 6)]
    assert np.array_equal(result[[3, 1]].motion().rotations, result.motion().rotations[[3, 1]])
    assert len(read_bvh(result[[2]].motion().save(tmp_path / "one.bvh")[0])) == 1
    assert result.motion().mode is None
    assert pp.lift(lifter, keypoints[:1], 4, mode=True).motion().mode.shape == (1, 22, 4)


def test_results_of_other_lifters_solve_for_their_motion(lifter, tmp_path):
    import poseterior as pp

    result = pp.lift(load("mdn"), pp.example_keypoints(), 4, seed=3)
    solved = result.motion()
    same = solve_ik_of_result(load("rotations"), result, seed=3)
    assert np.array_equal(solved.rotations, same.rotations)
    assert len(solved.save(tmp_path / "clip.glb")) == 5
    assert len(result[[1]].motion().save(tmp_path / "one.bvh")) == 1
    # so do results of files, which keep poses, not rotations
    result.save(tmp_path / "poses.npz")
    again = pp.load_result(tmp_path / "poses.npz").motion()
    np.testing.assert_allclose(again.rotations, solved.rotations, atol=1e-5)
    with pytest.raises(InputError, match="seen, offsets, covariance: do not go with a result"):
        pp.solve_ik(lifter, result, seen=np.ones(17, bool))


def test_results_of_nobody_say_how_to_get_a_motion():
    import dataclasses

    import poseterior as pp

    result = dataclasses.replace(pp.lift(load("mdn"), pp.example_keypoints(), 4), solver=None)
    message = (
        "this result of lifter 'mdn' holds no rotations; solve for them by inverse kinematics: "
        "poseterior.solve_ik(poseterior.load('rotations'), result).save('clip.bvh')"
    )
    with pytest.raises(InputError) as caught:
        result.motion()
    assert str(caught.value) == message


def test_a_known_camera_stays_known_in_files(known, tmp_path):
    """Inverse kinematics of a file put people elsewhere: the camera that they were lifted with was not kept."""
    keypoints, place = seen_by_camera(known, 6, ids=[PoseId("film", i, 0) for i in range(6)])
    pipeline.lift(known, keypoints, 10).save(tmp_path / "a.parquet")
    loaded = load_result(tmp_path / "a.parquet")
    np.testing.assert_array_equal(loaded.intrinsics, keypoints.intrinsics)
    np.testing.assert_allclose(solve_ik_of_result(known, loaded, samples=4).root, place, atol=0.03)


def test_chunks_change_no_answer(lifter):
    """Each pose has random numbers of its own, so a pose that comes twice is answered twice alike."""
    import poseterior as pp

    keypoints = pp.example_keypoints()
    twice = Keypoints2D(keypoints.xy.repeat(2, 1, 1), skeleton=keypoints.skeleton, image_size=(640, 480))
    both = pp.lift(load("mdn"), twice, 3, seed=1, chunk=4)
    alone = pp.lift(load("mdn"), twice[:5], 3, seed=1)
    np.testing.assert_allclose(both.samples[:5], alone.samples, rtol=0, atol=1e-5)
    np.testing.assert_allclose(both.samples[5:], alone.samples, rtol=0, atol=1e-5)
    assert not np.allclose(both.samples, pp.lift(load("mdn"), twice, 3, seed=2).samples, atol=1e-3)
    with pytest.raises(InputError, match="chunk: expected at least 1, got 0"):
        pp.lift(lifter, keypoints, chunk=0)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5, "high", True])
def test_bad_levels_are_refused(lifter, level):
    import poseterior as pp

    with pytest.raises(InputError, match=r"level: expected a probability above 0 and below 1, e\.g\. 0\.9, got"):
        pp.lift(lifter, pp.example_keypoints(), 2, level=level)


def test_pages_say_that_their_keypoints_are_drawn(lifter):
    result = made_up(3, 4)
    assert as_lift_result(result).settings["keypoints"] == "drawn, not seen: a frontal view of the mean 3D points"
    assert not as_lift_result(result).calibrated
    assert as_lift_result(result, level=0.5).region_label() == "50 % radius (uncalibrated)"


# -- real time -----------------------------------------------------------------------------------------------


def smooth(frames: list[int], **changes) -> RotationResult:
    """Every sample of a frame is the motion itself."""
    quaternions = roma.rotmat_to_unitquat(turns(max(frames) + 1)[frames]).numpy()
    root = np.stack([np.array(frames, np.float32) / 10] * 3, -1)
    return made_up(
        len(frames), 3, rotations=np.repeat(quaternions[:, None], 3, 1), mean=quaternions, frame=np.array(frames),
        root=root, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("suffix", [".bvh", ".npz"])
def test_missing_frames_are_bridged(tmp_path, caplog, suffix):
    result = smooth([0, 1, 2, 5, 6, 9])
    path = tmp_path / f"a{suffix}"
    assert result.save(path, "mean", fps=30.0) == [path]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 gaps in time: 2 bridged (frames 3 to 4, 7 to 8)"
    ]
    motion = (read_bvh if suffix == ".bvh" else read_amass)(path)
    assert (len(motion), round(motion.fps, 4)) == (10, 30)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            assert archive["frame"].tolist() == list(range(10))
            assert archive["sample_quaternions"].shape == (10, 3, 22, 4)
            assert np.isnan(archive["log_prob"]).all(1).tolist() == [frame in (3, 4, 7, 8) for frame in range(10)]
            assert (archive["spread_radians"][3] > 1).all()
        return
    # turns at a steady speed: what lies between two frames is where the motion was
    whole = smooth(list(range(10)))
    expected = whole.points(whole.mean[:, None])[:, 0, :22]
    index = [motion.joints.index(joint) for joint in SKELETONS["smpl22"].joints]
    np.testing.assert_allclose(motion.positions[:, index] / 100, expected, atol=0.02)


def test_long_gaps_split_a_motion(tmp_path, caplog):
    result = smooth([0, 1, 2, 40, 41, 43])
    written = result.save(tmp_path / "a.bvh", "mean", fps=30.0)
    assert [path.name for path in written] == ["a-1.bvh", "a-2.bvh"]
    assert [len(read_bvh(path)) for path in written] == [3, 4]
    assert result.files(tmp_path / "a.bvh", fps=30.0) == written
    assert caplog.records[0].getMessage() == (
        f"{tmp_path / 'a.bvh'}: 2 gaps in time: 1 bridged (frame 42), "
        "1 longer than 0.5 s splits the clip (frames 3 to 39)"
    )
    assert [path.name for path in result.save(tmp_path / "b.bvh", "mean", fps=30.0, max_gap=2.0)] == ["b.bvh"]
    assert len(read_bvh(tmp_path / "b.bvh")) == 44


def test_the_rate_comes_from_the_input_or_is_assumed_aloud(tmp_path, caplog):
    result = smooth([0, 1, 2])
    result.save(tmp_path / "a.bvh", "mean")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.bvh'}: 30 frames a second is assumed: pass --fps (fps=... in Python)"
    ]
    caplog.clear()
    told = replace(result, settings={"fps": "59.94"})
    told.save(tmp_path / "b.bvh", "mean")
    told.save(tmp_path / "c.bvh", "mean", fps=25)
    assert caplog.records == []
    assert [round(read_bvh(tmp_path / f"{name}.bvh").fps, 3) for name in "abc"] == [30, 59.94, 25]


def test_a_thinned_clip_lasts_as_long(tmp_path):
    smooth([0, 60, 120]).save(tmp_path / "a.bvh", "mean", fps=30.0)
    motion = read_bvh(tmp_path / "a.bvh")
    assert (len(motion), motion.fps) == (3, 0.5)
