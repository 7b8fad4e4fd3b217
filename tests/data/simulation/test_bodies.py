"""The simulator of articulated people: rotations, lengths and keypoints agree."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from poseterior.data.simulation.bodies import BodySimulator, mirrored_rotations
from poseterior.data.simulation.simulator import SimulatorConfig
from poseterior.data.store import Mocap
from poseterior.geometry.body import GROUPS, H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.cameras import project
from poseterior.geometry.kinematics import body_height
from poseterior.geometry.skeletons import SKELETONS


def turned_mocap(frames: int = 300, seed: int = 0, spread: float = 0.3) -> Mocap:
    """Mocap whose joints all turn at random about the rest pose (clips of 50 frames)."""
    generator = torch.Generator().manual_seed(seed)
    vectors = spread * torch.randn(frames, 22, 3, generator=generator)
    rotations = roma.rotvec_to_rotmat(vectors)
    points, _ = body_points(rotations, rest_offsets().expand(frames, 25, 3))
    clips = -(-frames // 50)
    return Mocap(
        positions=points[:, :22].numpy(),
        rotations=roma.rotmat_to_unitquat(rotations).numpy(),
        h36m17=points[:, H36M_POINTS].numpy(),
        clip=np.arange(frames) // 50,
        frame=(np.arange(frames) % 50).astype(np.int32),
        clip_names=tuple(f"clip{c}" for c in range(clips)),
        subject=("s",) * clips,
        action=("a",) * clips,
        source_names=("made up",) * clips,
        fps=np.full(clips, 30.0, np.float32),
    )


@pytest.fixture
def simulator() -> BodySimulator:
    return BodySimulator(turned_mocap())


def test_rotations_and_lengths_give_the_pose(simulator):
    seen = simulator(64, torch.Generator().manual_seed(0))
    points, _ = body_points(seen.rotations, seen.offsets)
    pose = points[:, H36M_POINTS] - points[:, H36M_POINTS[:1]]
    torch.testing.assert_close(pose, seen.pose, atol=1e-5, rtol=0)
    assert seen.log_lengths.shape == (64, len(GROUPS))
    assert bool(seen.observed.all())


def test_keypoints_are_the_projected_pose():
    config = SimulatorConfig(noise_added=False, camera_knowledge=(0.0, 0.0, 1.0), missing={"none": 1.0}, truncate=0.0)
    seen = BodySimulator(turned_mocap(), config)(32, torch.Generator().manual_seed(0))
    exact = project(seen.pose + seen.root.unsqueeze(1), seen.keypoints.intrinsics)
    torch.testing.assert_close(seen.keypoints.xy, exact, atol=1e-2, rtol=1e-5)


def test_same_seed_same_people_and_rows_can_be_taken(simulator):
    first, second = (simulator(16, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.rotations, second.rotations)
    part = first[4:7]
    assert torch.equal(part.log_lengths, first.log_lengths[4:7])
    assert part.to("cpu").rotations.shape == (3, 22, 3, 3)


def test_heights_lie_in_their_range_standing():
    config = SimulatorConfig(body_height=(1.5, 1.9), own_body=0.0)
    seen = BodySimulator(turned_mocap(), config)(200, torch.Generator().manual_seed(0))
    standing, _ = body_points(torch.eye(3).expand(200, 22, 3, 3), seen.offsets)
    height = body_height(standing[:, H36M_POINTS])
    assert float(height.min()) >= 1.5 - 1e-3
    assert float(height.max()) <= 1.9 + 1e-3


def test_without_chance_the_recorded_rotations_come_out():
    mocap = turned_mocap()
    config = SimulatorConfig(mirror=0.0, recombine=0.0, limb_jitter=0.0)
    seen = BodySimulator(mocap, config)(20, torch.Generator().manual_seed(0), index=torch.arange(20))
    recorded = roma.unitquat_to_rotmat(torch.from_numpy(mocap.rotations[:20]))
    torch.testing.assert_close(seen.rotations[:, 1:], recorded[:, 1:], atol=1e-5, rtol=0)


def test_jitter_moves_the_collars_of_recordings_that_never_do():
    mocap = turned_mocap()
    collars = [SKELETONS["smpl22"].index(f"{side}_collar") for side in ("left", "right")]
    mocap.rotations[:, collars] = (0.0, 0.0, 0.0, 1.0)
    config = SimulatorConfig(mirror=0.0, recombine=0.0, limb_jitter=1.0)
    seen = BodySimulator(mocap, config)(400, torch.Generator().manual_seed(0))
    angle = roma.rotmat_to_rotvec(seen.rotations[:, collars])
    assert float(torch.rad2deg(angle.std())) == pytest.approx(5.0, rel=0.1)


def test_mirrored_rotations_give_the_mirrored_pose():
    rotations = roma.rotvec_to_rotmat(0.5 * torch.randn(8, 22, 3, dtype=torch.float64))
    offsets = rest_offsets(torch.float64).expand(8, 25, 3)
    pose, _ = body_points(rotations, offsets)
    mirrored, _ = body_points(mirrored_rotations(rotations), offsets)
    swapped = pose[:, list(SKELETONS["smpl22"].mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(mirrored[:, :22], swapped)
    torch.testing.assert_close(mirrored_rotations(mirrored_rotations(rotations)), rotations)


def test_recombined_limbs_come_whole_from_other_frames():
    config = SimulatorConfig(mirror=0.0, recombine=1.0, limb_jitter=0.0)
    mocap = turned_mocap()
    seen = BodySimulator(mocap, config)(200, torch.Generator().manual_seed(0), index=torch.zeros(200, dtype=torch.long))
    recorded = roma.unitquat_to_rotmat(torch.from_numpy(mocap.rotations))
    arm = [SKELETONS["smpl22"].index(f"left_{j}") for j in ("shoulder", "elbow", "wrist")]
    own = (seen.rotations[:, arm] - recorded[0, arm]).abs().amax((-3, -2, -1)) < 1e-5
    assert 0.3 < float(own.float().mean()) < 0.7
    spine = SKELETONS["smpl22"].index("spine2")
    torch.testing.assert_close(seen.rotations[:, spine], recorded[:1, spine].expand(200, 3, 3), atol=1e-5, rtol=0)
    moved = seen.rotations[:, arm][~own]
    distance = (moved.unsqueeze(1) - recorded[:, arm]).abs().amax((-3, -2, -1))
    assert float(distance.amin(1).max()) < 1e-5


def test_other_marker_sets_put_joints_elsewhere():
    """Of a share of a population; whoever is not of it keeps the body that was drawn."""
    shares = {}
    for share in (0.0, 0.5):
        config = SimulatorConfig(own_body=0.0, bodies="population", marker_sets=share)
        shares[share] = BodySimulator(turned_mocap(), config)(2000, torch.Generator().manual_seed(0)).log_lengths
    spread = {share: logs.std(0) for share, logs in shares.items()}
    for group, wider in (("head", 1.3), ("shoulders", 1.3), ("hips", 1.2), ("neck", 1.3)):
        column = list(GROUPS).index(group)
        assert float(spread[0.5][column] / spread[0.0][column]) > wider, group
    legs = [list(GROUPS).index(name) for name in ("thighs", "shins")]
    proportion = {share: logs[:, legs[0]] - logs[:, legs[1]] for share, logs in shares.items()}
    assert float(proportion[0.5].std() / proportion[0.0].std()) == pytest.approx(1.0, abs=0.1)
