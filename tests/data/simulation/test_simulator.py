import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from conftest import made_up_mocap
from poseterior.data.observations import load_observations, save_observations
from poseterior.data.simulation.protocols import PROTOCOLS, simulate
from poseterior.data.simulation.simulator import MISSING_PATTERNS, Simulator, SimulatorConfig
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.kinematics import body_height, bone_lengths
from poseterior.geometry.skeletons import SKELETONS

PLAIN = PROTOCOLS["cmu-test"].simulator
BODY = SKELETONS["h36m17"]


def run(config: SimulatorConfig, n: int = 500, seed: int = 0, mocap=None, index=None):
    simulator = Simulator(mocap or made_up_mocap(), config)
    return simulator(n, torch.Generator().manual_seed(seed), index)


def test_same_seed_same_observations():
    a, b, c = (run(SimulatorConfig(), seed=s) for s in (1, 1, 2))
    assert torch.equal(a.keypoints.xy, b.keypoints.xy)
    assert torch.equal(a.pose, b.pose)
    assert not torch.equal(a.pose, c.pose)


def test_plain_bodies_are_the_recorded_ones():
    mocap = made_up_mocap()
    o = run(PLAIN, mocap=mocap)
    recorded = torch.from_numpy(mocap.h36m17)[o.index]
    torch.testing.assert_close(bone_lengths(o.pose, BODY), bone_lengths(recorded, BODY), atol=1e-5, rtol=1e-4)
    assert (o.pose[:, 0].abs() < 1e-6).all()


def test_projection_of_the_truth_is_the_exact_keypoint():
    o = run(dataclasses.replace(PLAIN, noise_added=False, missing={"none": 1.0}))
    absolute = o.pose + o.root.unsqueeze(1)
    expected = absolute[..., :2] / absolute[..., 2:] * o.keypoints.intrinsics[:, None, :2]
    torch.testing.assert_close(o.keypoints.xy, expected + o.keypoints.intrinsics[:, None, 2:], rtol=1e-4, atol=1e-2)


def test_reported_uncertainty_is_the_true_one():
    """Mahalanobis distances of the noise are chi-square with 2 degrees: mean 2, 90 % below 4.605 (2 %)."""
    o = run(dataclasses.replace(PLAIN, missing={"none": 1.0}), n=4000)
    absolute = o.pose + o.root.unsqueeze(1)
    exact = absolute[..., :2] / absolute[..., 2:] * o.keypoints.intrinsics[:, None, :2]
    error = (o.keypoints.xy - exact - o.keypoints.intrinsics[:, None, 2:]).unsqueeze(-1)
    distance = (error.transpose(-1, -2) @ torch.linalg.solve(o.keypoints.covariance, error)).flatten()
    assert float(distance.mean()) == pytest.approx(2.0, rel=0.02)
    assert float((distance < 4.605).float().mean()) == pytest.approx(0.9, abs=0.01)


def test_noise_is_in_the_stated_range_at_the_person():
    o = run(dataclasses.replace(PLAIN, noise_ratio=(1.0, 1.0), missing={"none": 1.0}))
    sigma = o.keypoints.covariance[..., 0, 0].sqrt() * o.root[:, 2:] / o.keypoints.intrinsics[:, :1]
    assert float(sigma.min()) >= 0.002 - 1e-6
    assert float(sigma.max()) <= 0.025 + 1e-6


def test_people_stand_upright_and_left_is_left():
    """At yaw 0 a person who faces +z looks into the camera: the own left is on the right of the picture."""
    straight = dataclasses.replace(
        PLAIN, yaw=(0.0, 0.0), pitch=(0.0, 0.0), roll=(0.0, 0.0), missing={"none": 1.0}, noise_added=False
    )
    mocap = made_up_mocap()
    mocap.h36m17[:] = mocap.h36m17[0]
    mocap.rotations[:] = mocap.rotations[0]
    import roma

    facing = roma.unitquat_to_rotmat(torch.from_numpy(mocap.rotations[0, 0])).T.numpy()
    mocap.h36m17[:] = mocap.h36m17 @ facing.T
    mocap.rotations[:, 0] = [0, 0, 0, 1]
    o = run(straight, mocap=mocap, n=50)
    xy = o.keypoints.xy
    assert (xy[:, BODY.index("head_top"), 1] < xy[:, BODY.index("left_ankle"), 1]).all()
    assert (xy[:, BODY.index("left_shoulder"), 0] > xy[:, BODY.index("right_shoulder"), 0]).all()


def test_pitch_looks_down_for_positive_angles():
    down = dataclasses.replace(PLAIN, pitch=(30.0, 30.0), roll=(0.0, 0.0))
    o = run(down)
    head, ankles = o.pose[:, BODY.index("head_top")], o.pose[:, [3, 6]].mean(1)
    # Seen from above the head is nearer to the camera than the feet.
    assert float((ankles - head)[:, 2].mean()) > 0.3


def test_mirroring_mirrors():
    always = dataclasses.replace(PLAIN, mirror=1.0, yaw=(0.0, 0.0), pitch=(0.0, 0.0), roll=(0.0, 0.0))
    index = torch.arange(100)
    plain = run(dataclasses.replace(always, mirror=0.0), n=100, index=index)
    mirrored = run(always, n=100, index=index)
    expected = plain.pose[:, list(BODY.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored.pose, expected, atol=1e-5, rtol=1e-4)


def test_recombination_takes_limbs_through_rotations():
    """The body stays the recorded one; the angle of an arm to the trunk is that of some (often another) frame."""
    mocap = made_up_mocap()
    o = run(dataclasses.replace(PLAIN, recombine=1.0), n=400, mocap=mocap)
    recorded = torch.from_numpy(mocap.h36m17)
    torch.testing.assert_close(bone_lengths(o.pose, BODY), bone_lengths(recorded, BODY)[o.index], atol=1e-5, rtol=1e-4)

    def elbow_angle(pose: torch.Tensor) -> torch.Tensor:
        shoulder, elbow, wrist = (pose[:, BODY.index(f"left_{j}")] for j in ("shoulder", "elbow", "wrist"))
        return torch.nn.functional.cosine_similarity(shoulder - elbow, wrist - elbow, dim=-1)

    moved = (elbow_angle(o.pose) - elbow_angle(recorded)[o.index]).abs() > 1e-3
    assert 0.3 < float(moved.float().mean()) < 0.7
    nearest = (elbow_angle(o.pose)[:, None] - elbow_angle(recorded)).abs().amin(1)
    assert float(nearest.max()) < 1e-3


def test_absent_joints_follow_the_limbs_that_are_taken():
    """Half the frames have no left wrist: it is observed only where both the taken arm and the body have one."""
    mocap = made_up_mocap()
    mocap.h36m17[::2, BODY.index("left_wrist")] = math.nan
    o = run(dataclasses.replace(PLAIN, recombine=1.0, mirror=0.0), n=1000, mocap=mocap)
    wrist = BODY.index("left_wrist")
    length = bone_lengths(o.pose, BODY)[:, [child for child, _ in BODY.bones].index(wrist)]
    assert (length[o.observed[:, wrist]] > 0.01).all()
    mirrored = run(dataclasses.replace(PLAIN, mirror=1.0), n=1000, mocap=mocap)
    assert mirrored.observed[:, wrist].all()
    assert not mirrored.observed[:, BODY.index("right_wrist")].all()


def test_reported_uncertainty_does_not_give_the_depth_away():
    clean = PROTOCOLS["cmu-clean"].simulator
    o = run(dataclasses.replace(clean, noise_ratio=(1.0, 1.0)))
    sigma = o.keypoints.covariance[..., 0, 0].sqrt()
    torch.testing.assert_close(sigma, sigma[:, :1].expand_as(sigma))


def test_bodies_have_the_stated_heights():
    config = dataclasses.replace(SimulatorConfig(), own_body=0.0, body_height=(1.5, 1.6))
    heights = body_height(run(config).pose)
    assert float(heights.min()) >= 1.5 - 1e-3
    assert float(heights.max()) <= 1.6 + 1e-3


def test_height_and_camera_are_told_as_often_as_stated():
    o = run(dataclasses.replace(SimulatorConfig(), height_known=0.3, camera_knowledge=(0.2, 0.3, 0.5)), n=4000)
    told = o.keypoints.height.isfinite()
    assert float(told.float().mean()) == pytest.approx(0.3, abs=0.03)
    torch.testing.assert_close(o.keypoints.height[told], body_height(o.pose)[told], rtol=0.05, atol=0)
    intrinsics = o.keypoints.intrinsics.isfinite().all(-1).float().mean()
    size = o.keypoints.image_size.isfinite().all(-1).float().mean()
    assert float(intrinsics) == pytest.approx(0.5, abs=0.03)
    assert float(size) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("pattern", MISSING_PATTERNS)
def test_missing_patterns(pattern):
    config = dataclasses.replace(PLAIN, missing={pattern: 1.0}, scattered=(0.2, 0.2))
    hidden = ~run(config, n=1000).keypoints.visible
    count = hidden.sum(-1)
    limbs = {frozenset(limb) for limb in BODY.limbs.values()}
    if pattern == "none":
        assert (count == 0).all()
    elif pattern == "all":
        assert (count == 17).all()
    elif pattern == "few":
        assert (count == 14).all()
    elif pattern == "scattered":
        assert float(count.float().mean()) == pytest.approx(0.2 * 17, rel=0.05)
    elif pattern == "limb":
        assert {frozenset(row.nonzero().flatten().tolist()) for row in hidden} == limbs
    elif pattern == "side":
        sides = {frozenset(j for j, s in enumerate(BODY.sides) if s == side) for side in ("left", "right")}
        assert {frozenset(row.nonzero().flatten().tolist()) for row in hidden} == sides
    elif pattern == "lower":
        assert hidden[:, [2, 3, 5, 6]].all()
        assert not hidden[:, [8, 9, 10, 12, 13]].any()
    elif pattern == "upper":
        assert hidden[:, [8, 9, 10, 12, 13]].all()
        assert not hidden[:, [2, 3, 5, 6]].any()


def test_people_outside_the_image_are_cut():
    o = run(dataclasses.replace(PLAIN, placement=1.5, truncate=1.0, missing={"none": 1.0}))
    inside = ((o.keypoints.xy >= 0) & (o.keypoints.xy <= o.keypoints.image_size.unsqueeze(1))).all(-1)
    assert (inside | ~o.keypoints.visible).all()
    assert (~o.keypoints.visible).any()


def test_joints_that_the_source_lacks_are_neither_seen_nor_true():
    mocap = made_up_mocap()
    mocap.h36m17[:, 10] = math.nan
    o = run(SimulatorConfig(), mocap=mocap)
    assert not o.observed[:, 10].any()
    assert not o.keypoints.visible[:, 10].any()
    assert o.observed[:, :10].all()
    assert o.pose.isfinite().all()


def test_nobody_stands_in_the_camera():
    o = run(dataclasses.replace(SimulatorConfig(), distance=(0.2, 0.5)))
    assert float((o.pose + o.root.unsqueeze(1))[..., 2].min()) >= 0.3 - 1e-4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": 1}, "simulator: unknown setting 'colour'; known: mirror"),
        ({"noise": [5, 2]}, r"simulator.noise: expected \(low, high\) with low <= high, got \(5.0, 2.0\)"),
        ({"noise": 5}, "simulator.noise: expected 2 finite numbers, got 5"),
        ({"noise": [0, 10]}, r"simulator.noise: expected values above 0, got \(0.0, 10.0\)"),
        ({"noise": ["a", "b"]}, "simulator.noise: expected 2 finite numbers, got"),
        ({"mirror": "abc"}, "simulator.mirror: expected a finite number, got 'abc'"),
        ({"mirror": 2}, "simulator.mirror: expected 0 to 1, got 2.0"),
        ({"field_of_view": [30, 180]}, "simulator.field_of_view: expected less than 180 degrees"),
        ({"missing": {}}, "simulator.missing: expected weights from 0 with a sum above 0"),
        ({"missing": {"none": -1}}, "simulator.missing: expected weights from 0 with a sum above 0"),
        ({"missing": 5}, "simulator.missing: expected pattern: weight pairs, got 5"),
        ({"camera_knowledge": [0, 0, 0]}, "simulator.camera_knowledge: expected weights from 0 with a sum above 0"),
        ({"camera_knowledge": [1, 1]}, "simulator.camera_knowledge: expected 3 finite numbers"),
        ({"missing": {"hair": 1.0}}, r"simulator.missing: unknown pattern \['hair'\]"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        SimulatorConfig.from_dict(values)


# -- protocols ---------------------------------------------------------------------------------------------


def made_up_store(folder):
    mocap = made_up_mocap()
    with PoseStore.create(folder) as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            writer.add(
                name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows],
                fps=30.0, subject="somebody", action=mocap.action[c], source="made-up", licence="",
            )  # fmt: skip
    return folder


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_protocols_round_trip(name, tmp_path):
    data = simulate(made_up_store(tmp_path / "store"), name)
    assert data.protocol == f"{name} v1"
    # 50 frames a clip at 30 Hz; at 10 Hz every third.
    assert len(data) == (8 * 50 if PROTOCOLS[name].fps == 30 else 8 * 17)
    save_observations(data, tmp_path / "o.parquet")
    back = load_observations(tmp_path / "o.parquet")
    for field in ("xy", "covariance", "visible", "image_size", "intrinsics", "height"):
        torch.testing.assert_close(
            getattr(back.observations.keypoints, field), getattr(data.observations.keypoints, field),
            rtol=0, atol=0, equal_nan=True,
        )  # fmt: skip
    assert torch.equal(back.observations.pose, data.observations.pose)
    assert (back.action, back.protocol, back.seed) == (data.action, data.protocol, data.seed)
    assert back.observations.keypoints.ids == data.observations.keypoints.ids
    assert sorted(p.name for p in tmp_path.iterdir()) == ["o.parquet", "store"]


def test_protocols_are_fixed(tmp_path):
    store = made_up_store(tmp_path / "store")
    a, b = (simulate(store, "cmu-test").observations.keypoints.xy for _ in range(2))
    assert torch.equal(a, b)


def test_protocol_contents(tmp_path):
    store = made_up_store(tmp_path / "store")
    clean = simulate(store, "cmu-clean").observations
    assert clean.keypoints.visible.all()
    occluded = simulate(store, "cmu-occluded").observations
    assert ((~occluded.keypoints.visible).sum(-1) >= 2).all()
    test = simulate(store, "cmu-test").observations
    assert float((~test.keypoints.visible).float().mean()) == pytest.approx(0.05, abs=0.02)
    assert len(simulate(store, "cmu-test", limit=10)) == 10


GOLDEN = json.loads((Path(__file__).resolve().parents[2] / "golden" / "observations_0.2.json").read_text())


@pytest.mark.parametrize("name", list(GOLDEN))
def test_old_protocols_give_the_numbers_that_they_gave(name, tmp_path):
    """Same draws in the same order; the tolerance is for other processors' sums only."""
    seen, before = simulate(made_up_store(tmp_path / "store"), name).observations, GOLDEN[name]
    rows = [0, 17, 90]
    assert seen.keypoints.visible[rows].int().tolist() == before["visible"]
    torch.testing.assert_close(seen.keypoints.xy[rows].flatten(1), torch.tensor(before["xy"]), atol=0.01, rtol=1e-5)
    torch.testing.assert_close(seen.pose[rows].flatten(1), torch.tensor(before["pose"]), atol=2e-4, rtol=0)
    variance = seen.keypoints.covariance[rows][..., 0, 0]
    torch.testing.assert_close(variance, torch.tensor(before["variance"]), atol=0.01, rtol=1e-4)


def test_other_people_come_first_and_home_last():
    main = [name for name, protocol in PROTOCOLS.items() if protocol.group == "main"]
    assert main[:2] == ["people", "strangers"]
    assert main[-5:] == ["cmu-test", "cmu-clean", "cmu-occluded", "cmu-motion", "cmu-bodies"]


def test_people_move_as_recorded_on_bodies_of_their_own(tmp_path):
    store = made_up_store(tmp_path / "store")
    home, away, exact = (simulate(store, name).observations for name in ("cmu-test", "people", "people-exact"))
    assert float((body_height(home.pose) - body_height(away.pose)).abs().mean()) > 0.03
    torch.testing.assert_close(body_height(away.pose), body_height(exact.pose), rtol=0, atol=1e-4)
    assert exact.keypoints.visible.all()
    absolute = exact.pose + exact.root.unsqueeze(1)
    pixels = absolute[..., :2] / absolute[..., 2:] * exact.keypoints.intrinsics[:, None, :2]
    torch.testing.assert_close(
        exact.keypoints.xy, pixels + exact.keypoints.intrinsics[:, None, 2:], rtol=1e-4, atol=1e-2
    )


def test_only_the_reported_covariance_is_wrong(tmp_path):
    store = made_up_store(tmp_path / "store")
    right, wrong = (simulate(store, name).observations for name in ("cmu-test", "noisy-sigma"))
    assert torch.equal(right.keypoints.xy, wrong.keypoints.xy)
    assert torch.equal(right.keypoints.visible, wrong.keypoints.visible)
    seen, clips = right.keypoints.visible, [one.file for one in wrong.keypoints.ids]
    factor = (wrong.keypoints.covariance / right.keypoints.covariance)[..., 0, 0]
    each = {}
    for clip in sorted(set(clips)):
        own = torch.tensor([one == clip for one in clips])
        each[clip] = float(factor[own][seen[own]].mean())
        expected = each[clip] * right.keypoints.covariance[own][seen[own]]
        torch.testing.assert_close(wrong.keypoints.covariance[own][seen[own]], expected, rtol=1e-4, atol=1e-5)
    assert all(0.25 <= value <= 4.0 for value in each.values())
    assert len({round(value, 3) for value in each.values()}) == 8


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0, 4.0])
def test_a_sweep_of_wrong_covariances(factor, tmp_path):
    store = made_up_store(tmp_path / "store")
    right, wrong = (simulate(store, name).observations for name in ("cmu-test", f"sigma-{factor:g}"))
    seen = right.keypoints.visible
    torch.testing.assert_close(wrong.keypoints.covariance[seen], factor * right.keypoints.covariance[seen])
    assert torch.equal(right.keypoints.xy, wrong.keypoints.xy)
    protocol = PROTOCOLS[f"sigma-{factor:g}"]
    assert (protocol.group, protocol.value) == ("sigma", factor)


def test_factors_are_log_uniform():
    from poseterior.data.simulation.protocols import _misreported

    mocap = made_up_mocap(frames=4000, clips=2000)
    plain = Simulator(mocap, PLAIN)(4000, torch.Generator().manual_seed(0), torch.arange(4000))
    seen = _misreported(plain, torch.from_numpy(mocap.clip), (0.25, 4.0), torch.Generator().manual_seed(1))
    logs = (seen.keypoints.covariance / plain.keypoints.covariance)[::2, 0, 0, 0].log2()
    shares = torch.histc(logs, 4, -2.0, 2.0) / len(logs)
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.05, rtol=0)


def whitened(seen):
    absolute = seen.pose + seen.root.unsqueeze(1)
    exact = absolute[..., :2] / absolute[..., 2:] * seen.keypoints.intrinsics[:, None, :2]
    error = (seen.keypoints.xy - exact - seen.keypoints.intrinsics[:, None, 2:]).unsqueeze(-1)
    return torch.linalg.solve_triangular(torch.linalg.cholesky(seen.keypoints.covariance), error, upper=False)


def test_errors_of_the_detector_are_correlated_in_time_only_under_ar1(tmp_path):
    """By .8 from frame to frame and .64 over two, not over the border of a clip; their size is as reported."""
    store = made_up_store(tmp_path / "store")
    for name, expected in (("ar1", 0.8), ("cmu-motion", 0.0)):
        data = simulate(store, name)
        # Hidden joints hold no numbers.
        hidden = ~data.observations.keypoints.visible[..., None, None]
        noise = whitened(data.observations).masked_fill(hidden, math.nan).flatten(1)
        clips = [one.file for one in data.observations.keypoints.ids]
        steps = {k: torch.tensor([i for i in range(len(clips) - k) if clips[i] == clips[i + k]]) for k in (1, 2)}
        for k, rows in steps.items():
            assert float((noise[rows] * noise[rows + k]).nanmean()) == pytest.approx(expected**k, abs=0.08)
        border = torch.tensor([i for i in range(len(clips) - 1) if clips[i] != clips[i + 1]])
        assert float((noise[border] * noise[border + 1]).nanmean()) == pytest.approx(0.0, abs=0.25)
        assert float(noise.square().nanmean()) == pytest.approx(1.0, abs=0.1)
    steady = simulate(store, "cmu-motion").observations
    assert torch.equal(steady.root, simulate(store, "ar1").observations.root)


def test_strangers_are_measured_person_by_person(tmp_path):
    """Somebody of whom there is little is not drowned by somebody of whom there is much."""
    mocap = made_up_mocap()
    with PoseStore.create(tmp_path / "store") as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            rows &= mocap.frame % 50 < (50 if c else 12)
            writer.add(
                name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows],
                fps=10.0, subject="few" if c == 0 else "many" if c > 1 else "some", source="made-up", licence="",
            )  # fmt: skip
    data = simulate(tmp_path / "store", "strangers", 90)
    counts = {name: data.subject.count(name) for name in ("few", "some", "many")}
    assert counts == {"few": 12, "some": 39, "many": 39}
    assert len(simulate(tmp_path / "store", "strangers")) == 12 + 7 * 50
    assert simulate(tmp_path / "store", "strangers", 90).observations.keypoints.ids == data.observations.keypoints.ids
    assert len(simulate(tmp_path / "store", "strangers", 2)) == 2


def test_foreign_files_are_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(InputError, match=r"unknown protocol 'x'; known: people, strangers, .*, cmu-test"):
        simulate(tmp_path, "x")
    with pytest.raises(InputError, match="no such file"):
        load_observations(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        load_observations(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="make one with `poseterior data simulate`"):
        load_observations(tmp_path / "other.parquet")
