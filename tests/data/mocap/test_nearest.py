"""Motions that two stores share are found however they are disguised; poses are as far apart as they are."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from poseterior.cli import main
from poseterior.data.mocap.importing import import_mocap
from poseterior.data.mocap.nearest import (
    SAME_MOTION,
    nearest_motions,
    nearest_poses,
    same_body,
    same_people,
)
from poseterior.data.store import Mocap, PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, body_points, group_factors, rest_offsets
from poseterior.geometry.kinematics import bone_lengths
from poseterior.geometry.skeletons import SKELETONS

BODY = SKELETONS["h36m17"]
SHARED = Path(os.environ.get("POSETERIOR_SHARED", "/work/shared"))


def moving(
    seeds: list[int],
    *,
    fps: float = 60.0,
    seconds: float = 4.0,
    start: float = 0.0,
    log_lengths: torch.Tensor | None = None,
    heading: float = 0.0,
    name: str = "clip",
    size: float = 0.5,
) -> Mocap:
    """People whose joints swing at random, smooth, each seed its own motion, on any body, at any rate."""  # fmt: skip
    positions, counts = [], []
    factors = 1.0 if log_lengths is None else group_factors(log_lengths)
    for seed in seeds:
        random = np.random.default_rng(seed)
        times = start + np.arange(round(seconds * fps) + 1) / fps
        rates, phases = random.uniform(2.0, 7.0, (22, 3)), random.uniform(0, 6.28, (22, 3))
        angles = size * random.uniform(0.2, 1.0, (22, 3)) * np.sin(times[:, None, None] * rates + phases)
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(angles).float())
        rotations[:, 0] = roma.rotvec_to_rotmat(torch.tensor([0.0, heading, 0.0])) @ rotations[:, 0]
        points, _ = body_points(rotations, (rest_offsets() * factors).expand(len(times), -1, -1))
        positions.append(points[:, H36M_POINTS].numpy() + np.array([seed, 0.9, 0.0], np.float32))
        counts.append(len(times))
    frames = sum(counts)
    clips = tuple(f"{name}{seed}" for seed in seeds)
    return Mocap(
        np.zeros((frames, 22, 3), np.float32), np.zeros((frames, 22, 4), np.float32),
        np.concatenate(positions).astype(np.float32), np.repeat(np.arange(len(seeds)), counts),
        np.concatenate([np.arange(n) for n in counts]).astype(np.int32), clips, (name,) * len(seeds),
        ("",) * len(seeds), ("",) * len(seeds), np.full(len(seeds), fps, np.float32),
    )  # fmt: skip


def store(folder: Path, mocap: Mocap, subject: str = "") -> Path:
    with PoseStore.create(folder) as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            still = np.tile(np.array([0, 0, 0, 1], np.float32), (int(rows.sum()), 22, 1))
            writer.add(
                name, mocap.positions[rows], still, mocap.h36m17[rows], fps=float(mocap.fps[c]),
                subject=subject or mocap.subject[c], source="made-up", licence="",
            )  # fmt: skip
    return folder


LONG_LEGS = torch.tensor([0.1, 0.15, 0.12, 0.0, -0.1, 0.0, -0.1, 0.1, 0.05, 0.1])


@pytest.mark.parametrize(
    "disguise",
    [
        {},
        {"log_lengths": LONG_LEGS},
        {"fps": 24.0},
        {"fps": 120.0, "start": 0.337, "seconds": 2.0},
        {"heading": 2.1, "log_lengths": -LONG_LEGS},
    ],
    ids=["copy", "other body", "24 Hz", "cut out", "turned"],
)
def test_a_shared_motion_is_found(disguise: dict) -> None:
    train = moving([1, 2, 3, 4])
    test = Mocap.cat([moving([7, 8], name="new"), moving([3], name="old", **disguise)])
    first, *others = nearest_motions(train, test)
    assert (first.clip, first.other) == ("old3", "clip3")
    assert first.ratio < SAME_MOTION
    assert first.start + disguise.get("start", 0.0) == pytest.approx(first.other_start, abs=0.02)
    assert not first.mirrored
    assert [other.clip for other in others] == sorted((o.clip for o in others), key=lambda n: n != others[0].clip)
    assert all(other.ratio > 3 * SAME_MOTION for other in others)


def test_a_mirrored_motion_is_found() -> None:
    train, test = moving([1, 2, 3]), moving([2], name="mirrored")
    swapped = test.h36m17[:, list(BODY.mirror)] * np.array([-1, 1, 1], np.float32)
    first = nearest_motions(train, dataclasses.replace(test, h36m17=swapped))[0]
    assert first.mirrored
    assert first.ratio < SAME_MOTION


def test_absent_joints_are_left_out_of_the_comparison() -> None:
    train, test = moving([1, 2]), moving([2], name="old")
    test.h36m17[:, BODY.index("head_top")] = np.nan
    assert nearest_motions(train, test)[0].ratio < SAME_MOTION
    test.h36m17[:, [BODY.index(f"{s}_{j}") for s in ("left", "right") for j in ("knee", "ankle", "elbow", "wrist")]] = (
        np.nan
    )
    with pytest.raises(InputError, match="the stores have 7 h36m17 joints in common; expected at least 10"):
        nearest_motions(train, test)


def test_short_and_still_clips_say_nothing() -> None:
    test = Mocap.cat([moving([2], seconds=0.7), moving([2], size=0.02, name="still"), moving([5], name="new")])
    assert [match.clip for match in nearest_motions(moving([1, 2]), test)] == ["new5"]
    with pytest.raises(InputError, match="no clip of the test store is as long as a second"):
        nearest_motions(moving([1]), moving([2], seconds=0.5))
    assert nearest_motions(moving([1]), moving([2], size=0.02)) == []


def test_the_first_frame_of_a_clip_does_not_count() -> None:
    train, test = moving([1]), moving([2], name="new")
    usual = nearest_motions(train, test)[0]
    for mocap in (train, test):
        mocap.h36m17[0] = mocap.h36m17[0, :1]
    assert nearest_motions(train, test)[0].ratio == pytest.approx(usual.ratio, rel=1e-4)


def test_one_body_for_all() -> None:
    pose = torch.from_numpy(moving([1], log_lengths=LONG_LEGS).h36m17)
    new = same_body(pose)
    rest, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    usual = bone_lengths(rest[list(H36M_POINTS)], BODY)
    torch.testing.assert_close(bone_lengths(new, BODY), usual.expand(len(new), -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(same_body(3 * new + 1), new, atol=1e-5, rtol=0)
    pose[:, BODY.index("left_elbow")] = torch.nan
    found = same_body(pose).isnan().any(-1)
    assert found[:, [BODY.index("left_elbow"), BODY.index("left_wrist")]].all()
    assert not found[:, BODY.index("right_wrist")].any()


def test_people_of_both_stores() -> None:
    first, second = moving([1], name="a"), moving([2], name="b")
    assert same_people(first, second) == [("a", "b")]  # one skeleton
    other = moving([2], name="b", log_lengths=LONG_LEGS)
    assert same_people(first, other) == []
    assert same_people(first, moving([2], name="a", log_lengths=LONG_LEGS)) == [("a", "a")]


def test_the_nearest_pose_does_not_mind_size_place_or_direction() -> None:
    reference = torch.from_numpy(moving([1, 2]).h36m17)[::7]
    torch.manual_seed(0)
    turn = roma.random_rotmat(1)
    moved = 1.3 * (reference[[3, 20]] @ turn[0].T) + 5
    distance, row = nearest_poses(moved, reference)
    assert float(distance.max()) < 0.1
    assert row.tolist() == [3, 20]
    mirrored = reference[[3]][:, list(BODY.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    distance, row = nearest_poses(mirrored, reference)
    assert float(distance) < 0.1
    assert row.tolist() == [3]


def test_distances_are_means_over_joints_in_millimetres() -> None:
    rest, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    pose = rest[list(H36M_POINTS)].unsqueeze(0)
    bent = pose.clone()
    wrist, elbow = BODY.index("left_wrist"), BODY.index("left_elbow")
    length = float((pose[0, wrist] - pose[0, elbow]).norm())
    bent[0, wrist] = pose[0, elbow] + torch.tensor([0.0, 0.0, length])
    expected = 1000 * float((bent - pose)[0, wrist].norm()) / 16
    distance, _ = nearest_poses(bent, pose)
    assert float(distance) == pytest.approx(expected, rel=1e-4)
    bent[0, BODY.index("head_top")] = torch.nan
    assert float(nearest_poses(bent, pose)[0]) == pytest.approx(expected * 16 / 15, rel=1e-4)
    bent[0, BODY.index("left_hip")] = torch.nan
    assert nearest_poses(bent, pose)[0].isnan().all()
    assert nearest_poses(pose, pose[:0])[0].isnan().all()


# -- the command -----------------------------------------------------------------------------------------------


def test_the_command_refuses_a_split_that_shares_a_motion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = store(tmp_path / "train", moving([1, 2, 3]))
    leaky = store(tmp_path / "leaky", moving([5, 2], name="b", log_lengths=LONG_LEGS))
    clean = store(tmp_path / "clean", moving([5, 6], name="b", log_lengths=LONG_LEGS))
    assert main(["data", "leaks", str(train), str(leaky)]) == 2
    printed = capsys.readouterr()
    assert "1 of its clips are also in" in printed.err
    assert "b2 (clip2); leave them out of one of the stores" in printed.err
    assert "b2 at" in printed.out
    assert main(["data", "leaks", str(train), str(clean)]) == 0
    assert "no motion of both: the smallest difference is 0." in capsys.readouterr().out
    assert main(["data", "leaks", str(train), str(train)]) == 2


def test_the_command_knows_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = store(tmp_path / "train", moving([1, 2]), subject="anna")
    test = store(tmp_path / "test", moving([5, 6], seconds=3, log_lengths=LONG_LEGS), subject="anna")
    assert main(["data", "leaks", str(train), str(test)]) == 0
    assert "one person: anna of" in capsys.readouterr().out
    assert main(["data", "leaks", str(train), str(test), "--people"]) == 2
    assert "1 of its people are also in" in capsys.readouterr().err
    assert main(["data", "leaks", str(train), str(tmp_path / "none")]) == 2
    assert main(["data", "leaks", str(train), str(test), "--show", "-1"]) == 2


def test_what_cmu_shares(tmp_path: Path) -> None:
    """walking_4 and walking_5 are subject 07's first two clips; nothing else of 07 is in the training clips."""
    cmu = SHARED / "data" / "mocap" / "cmu"
    if not cmu.is_dir():
        pytest.skip("no motion capture here")
    names = [cmu / "bvh" / "train" / f"walking_{n}.bvh" for n in (4, 5, 27, 51)]
    people = [cmu / "people" / "07" / f"07_{n:02d}.bvh" for n in (1, 2, 6, 9)]
    for folder, files in (("train", names), ("test", people)):
        import_mocap(files, tmp_path / folder, "bvh")
    train, test = (PoseStore(tmp_path / folder).load(fps=60) for folder in ("train", "test"))
    matches = nearest_motions(train, test)
    shared = {(m.clip, m.other) for m in matches if m.ratio < SAME_MOTION}
    assert shared == {("07_01", "walking_4"), ("07_02", "walking_5")}
    assert min(m.ratio for m in matches if m.ratio >= SAME_MOTION) > 0.1
