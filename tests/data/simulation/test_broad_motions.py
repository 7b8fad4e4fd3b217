"""Poses that were never recorded: within the limits, as wide as they should be, reproducible."""

from __future__ import annotations

import pytest
import roma
import torch
from test_bodies import turned_mocap

from poseterior.data.simulation.bodies import BodySimulator
from poseterior.data.simulation.motions import broad_rotations, tilts, within_limits
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.kinematics import bone_lengths
from poseterior.geometry.skeletons import SKELETONS
from poseterior.metrics.plausibility import limits_violated

BODY, SMPL = SKELETONS["h36m17"], SKELETONS["smpl22"]
STILL = {"mirror": 0.0, "recombine": 0.0, "limb_jitter": 0.0, "own_body": 1.0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def standing(n: int) -> torch.Tensor:
    return torch.eye(3).repeat(n, 22, 1, 1)


def joint(pose: torch.Tensor, name: str) -> torch.Tensor:
    return pose[:, BODY.index(name)]


def broad_poses(n: int = 4000) -> torch.Tensor:
    rotations = broad_rotations(standing(n), seeded())
    return body_points(rotations, rest_offsets().expand(n, -1, -1))[0][:, H36M_POINTS]


def test_no_pose_breaks_a_limit_not_even_over_impossible_recordings() -> None:
    assert not limits_violated(broad_poses()).any()
    impossible = roma.rotvec_to_rotmat(1.5 * torch.randn(500, 22, 3, generator=seeded(1)))
    assert not within_limits(impossible).all()
    assert within_limits(broad_rotations(impossible, seeded())).all()


def test_it_reaches_raised_arms_kicks_crouches_and_bends() -> None:
    pose = broad_poses()
    up = pose[..., 1]
    height = {name: up[:, BODY.index(name)] for name in BODY.joints}
    raised = torch.minimum(height["left_wrist"], height["right_wrist"]) > height["head_top"]
    kick = torch.maximum(height["left_ankle"], height["right_ankle"]) > height["pelvis"]
    hips = (height["left_hip"] + height["right_hip"]) / 2
    crouch = (hips - torch.minimum(height["left_ankle"], height["right_ankle"])) < 0.5
    bent = height["thorax"] - height["pelvis"] < 0.38
    for name, share in (("raised", raised), ("kick", kick), ("crouch", crouch), ("bent", bent)):
        assert float(share.float().mean()) > 0.02, name


def test_bends_go_the_right_way() -> None:
    """Knees bend backwards, elbows and the trunk forwards more than back, thighs lift forwards; left is as right."""
    pose = broad_poses(8000)
    for side in ("left", "right"):
        thigh = joint(pose, f"{side}_knee") - joint(pose, f"{side}_hip")
        assert float(thigh[:, 2].mean()) > 0.05
    rest = body_points(standing(1), rest_offsets().expand(1, -1, -1))[0][:, H36M_POINTS]
    forwards = joint(pose - rest, "thorax")[:, 2] - joint(pose - rest, "pelvis")[:, 2]
    assert float(forwards.mean()) > 0.03
    left, right = (joint(pose, f"{s}_wrist") - joint(pose, f"{s}_shoulder") for s in ("left", "right"))
    torch.testing.assert_close(left.mean(0)[1:], right.mean(0)[1:], atol=0.02, rtol=0)
    assert float(left[:, 0].mean()) == pytest.approx(-float(right[:, 0].mean()), abs=0.02)


def test_some_keep_recorded_parts_and_all_keep_their_pelvis() -> None:
    recorded = roma.rotvec_to_rotmat(0.2 * torch.randn(1000, 22, 3, generator=seeded(2)))
    found = broad_rotations(recorded, seeded())
    assert torch.equal(found[:, 0], recorded[:, 0])
    kept = (found == recorded).flatten(2).all(-1)[:, SMPL.index("left_elbow")]
    assert 0.15 < float(kept.float().mean()) < 0.35


@pytest.mark.parametrize("kind", [Simulator, BodySimulator])
def test_a_share_of_simulated_people_is_broad(kind: type[Simulator]) -> None:
    mocap = turned_mocap(spread=0.05)
    plain = kind(mocap, SimulatorConfig(**STILL))(3000, seeded())
    broad = kind(mocap, SimulatorConfig(**STILL, broad=0.2))(3000, seeded())
    everybody = kind(mocap, SimulatorConfig(**STILL, broad=1.0))(3000, seeded())

    def turned(seen) -> float:  # type: ignore[no-untyped-def]
        knee = [seen.pose[:, BODY.index(f"left_{name}")] for name in ("hip", "knee", "ankle")]
        cosine = torch.nn.functional.cosine_similarity(knee[1] - knee[0], knee[2] - knee[1], dim=-1)
        return float((cosine < 0.8).float().mean())

    assert turned(plain) == 0
    assert turned(broad) == pytest.approx(0.2 * turned(everybody), abs=0.03)
    assert float(limits_violated(everybody.pose).any(-1).float().mean()) < 0.005
    if kind is Simulator:
        recorded = bone_lengths(torch.from_numpy(mocap.h36m17), BODY)[everybody.index]
        torch.testing.assert_close(bone_lengths(everybody.pose, BODY), recorded, atol=1e-5, rtol=1e-4)
    again = kind(mocap, SimulatorConfig(**STILL, broad=0.2))(3000, seeded())
    assert torch.equal(again.pose, broad.pose)


def test_tilted_people_lie_and_stand_on_their_heads() -> None:
    turn = tilts(2000, (90.0, 90.0), seeded())
    torch.testing.assert_close((turn @ torch.tensor([0.0, 1.0, 0.0]))[:, 1], torch.zeros(2000), atol=1e-6, rtol=0)
    mocap = turned_mocap(spread=0.0)
    level = {**STILL, "pitch": (0.0, 0.0), "roll": (0.0, 0.0)}
    for kind in (Simulator, BodySimulator):
        seen = kind(mocap, SimulatorConfig(**level, tilted=0.3, tilt=(90.0, 180.0)))(3000, seeded())
        # Camera axes: y is down.
        upright = joint(seen.pose, "head_top")[:, 1] < -0.3
        assert float((~upright).float().mean()) == pytest.approx(0.3, abs=0.03)
        inverted = joint(seen.pose, "head_top")[:, 1] > 0.3
        assert float(inverted.float().mean()) > 0.1


def test_steep_cameras_look_from_above_and_below() -> None:
    mocap = turned_mocap(spread=0.0)
    config = SimulatorConfig(**STILL, pitch=(0.0, 0.0), roll=(0.0, 0.0), steep=0.4, steep_pitch=(-45.0, 85.0))
    seen = Simulator(mocap, config)(4000, seeded())
    trunk = joint(seen.pose, "head_top") - joint(seen.pose, "pelvis")
    pitch = torch.rad2deg(torch.atan2(-trunk[:, 2], -trunk[:, 1]))
    pitch = pitch - pitch.median()  # the rest body's head is not exactly above its pelvis, seen from the side
    steep = pitch.abs() > 12
    assert float(steep.float().mean()) == pytest.approx(0.4 * (1 - 24 / 130), abs=0.05)
    assert float((pitch > 40).float().mean()) > 0.08
    assert float((pitch < -20).float().mean()) > 0.04


@pytest.mark.parametrize("kind", [Simulator, BodySimulator])
def test_options_that_are_off_do_no_work(kind: type[Simulator], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not asked for is not computed and costs nothing; wall-clock times depend on the machine."""
    from poseterior.data.simulation import bodies, simulator

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("not asked for")

    for name in ("broad_rotations", "tilts", "draw_bodies", "segment_factors"):
        monkeypatch.setattr(simulator, name, refuse)
    for name in ("broad_rotations", "draw_bodies"):
        monkeypatch.setattr(bodies, name, refuse)
    kind(turned_mocap(), SimulatorConfig())(64, seeded())
    for asked in ({"bodies": "population"}, {"broad": 1.0}, {"tilted": 1.0}):
        with pytest.raises(AssertionError, match="not asked for"):
            kind(turned_mocap(), SimulatorConfig(**asked))(64, seeded())
