import math

import pytest
import roma
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.metrics.plausibility import LIMITS, bone_spread, limit_angles, limits_violated, mpsce, mpsse

H36M = SKELETONS["h36m17"]
NAMES = [limit.name for limit in LIMITS]


def move(pose: torch.Tensor, joint: str, place: tuple[float, float, float]) -> torch.Tensor:
    """The pose with one joint at ``place``, relative to the joint's parent."""
    moved = pose.clone()
    index = H36M.index(joint)
    moved[index] = moved[H36M.parents[index]] + torch.tensor(place)
    return moved


def angle_of(pose: torch.Tensor, name: str) -> float:
    return float(limit_angles(pose)[NAMES.index(name)])


def violated(pose: torch.Tensor) -> set[str]:
    return {name for name, over in zip(NAMES, limits_violated(pose).tolist(), strict=True) if over}


def random_turns(count: int) -> torch.Tensor:
    """Rotation matrices (count, 3, 3)."""
    return roma.unitquat_to_rotmat(
        torch.nn.functional.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    )


def mirrored(pose: torch.Tensor) -> torch.Tensor:
    """Left becomes right: a body as good as the one before."""
    return pose[..., list(H36M.mirror), :] * torch.tensor([-1.0, 1.0, 1.0])


# -- bones -------------------------------------------------------------------------------------------------


def test_golden_bone_spread(standing):
    """Three hypotheses of a left forearm, 20, 26 and 32 cm long, the rest alike: 6 cm for that bone, else nothing."""
    samples = torch.stack([move(standing, "left_wrist", (0.0, length, 0.0)) for length in (0.20, 0.26, 0.32)])
    spread = bone_spread(samples, "h36m17")
    expected = torch.zeros(16)
    expected[[child for child, _ in H36M.bones].index(H36M.index("left_wrist"))] = 0.06
    torch.testing.assert_close(spread, expected)
    torch.testing.assert_close(bone_spread(samples.unsqueeze(1).expand(3, 5, 17, 3)), expected.expand(5, 16))


def test_bone_spread_does_not_see_the_pose(people):
    samples = people[0] @ random_turns(9).mT
    torch.testing.assert_close(bone_spread(samples), torch.zeros(16), atol=1e-6, rtol=0)


def test_one_hypothesis_has_no_spread(standing):
    assert bone_spread(standing.unsqueeze(0)).isnan().all()


def test_golden_symmetry(standing):
    """A left thigh 3 cm longer and a right forearm 6 cm longer than their twins: 9 cm over six pairs."""
    down = {"left_knee": 0.46, "right_knee": 0.43, "left_ankle": 0.4, "right_ankle": 0.4}
    down |= {"left_elbow": 0.3, "right_elbow": 0.3, "left_wrist": 0.2, "right_wrist": 0.26}
    pose = standing
    for joint, length in down.items():
        pose = move(pose, joint, (0.0, length, 0.0))
    assert float(mpsse(pose, "h36m17")) == pytest.approx(0.015, abs=1e-6)
    torch.testing.assert_close(mpsse(pose.expand(2, 3, 17, 3)), torch.full((2, 3), 0.015))
    assert float(mpsse(mirrored(pose))) == pytest.approx(0.015, abs=1e-6)


def test_symmetry_counts_pairs_that_are_there(standing):
    pose = move(standing, "left_wrist", (0.0, 0.5, 0.0))
    whole = float(mpsse(pose))
    valid = torch.ones(17, dtype=torch.bool)
    valid[H36M.index("left_wrist")] = False
    assert float(mpsse(pose, valid=valid)) == pytest.approx(0.0, abs=1e-6)
    valid[H36M.index("left_wrist")], valid[H36M.index("right_knee")] = True, False  # thigh and shank are gone
    assert float(mpsse(pose, valid=valid)) == pytest.approx(whole * 6 / 4, rel=1e-4)
    assert mpsse(pose, valid=torch.zeros(17, dtype=torch.bool)).isnan()


def test_symmetry_needs_names_of_sides():
    with pytest.raises(InputError) as caught:
        mpsse(torch.zeros(31, 3), "cmu31")
    message = "skeleton 'cmu31': no joint is named left_...; symmetry needs left and right bones"
    assert str(caught.value) == message


def test_golden_consistency(standing):
    """One shank of 40, 42 and 44 cm over three frames: 2 cm over sixteen bones."""
    motion = torch.stack([move(standing, "right_ankle", (0.0, length, 0.0)) for length in (0.40, 0.42, 0.44)])
    assert float(mpsce(motion, "h36m17")) == pytest.approx(0.02 / 16, abs=1e-6)
    torch.testing.assert_close(mpsce(torch.stack([motion, motion[[1, 1, 1]]])), torch.tensor([0.02 / 16, 0.0]))


def test_consistency_counts_frames_that_are_there(standing):
    motion = torch.stack([move(standing, "right_ankle", (0.0, length, 0.0)) for length in (0.40, 0.44, 9.0)])
    valid = torch.ones(3, 17, dtype=torch.bool)
    valid[2, H36M.index("right_ankle")] = False
    assert float(mpsce(motion, valid=valid)) == pytest.approx(math.sqrt(2) * 0.02 / 16, abs=1e-6)
    valid[1, H36M.index("right_ankle")] = False  # in one frame only: fifteen bones are left
    assert float(mpsce(motion, valid=valid)) == pytest.approx(0.0, abs=1e-6)
    assert mpsce(motion[:1]).isnan()


# -- joint limits ------------------------------------------------------------------------------------------


def test_limits_are_named_once_and_say_why():
    assert len(set(NAMES)) == len(LIMITS) == 20
    for limit in LIMITS:
        assert limit.joint in H36M.joints
        assert 0 < limit.degrees < 180
        assert limit.reason


def test_standing_is_possible(standing):
    assert violated(standing) == set()


def bent(degrees: float, length: float = 0.4) -> tuple[float, float, float]:
    """Offset of a bone that hangs down, swung to the back: `standing` faces the camera, -z."""
    angle = math.radians(degrees)
    return (0.0, length * math.cos(angle), length * math.sin(angle))


def straight_legs(pose: torch.Tensor) -> torch.Tensor:
    for joint in ("left_knee", "right_knee", "left_ankle", "right_ankle"):
        pose = move(pose, joint, bent(0.0))
    return pose


@pytest.mark.parametrize("side", ["left", "right"])
def test_golden_knees(standing, side):
    pose = straight_legs(standing)
    for degrees in (0.0, 30.0, 100.0, 150.0):
        flexed = move(pose, f"{side}_ankle", bent(degrees))
        assert angle_of(flexed, f"{side} knee bends") == pytest.approx(degrees, abs=0.01)
        assert violated(flexed) == set()
    assert violated(move(pose, f"{side}_ankle", bent(165.0))) == {f"{side} knee bends"}
    assert violated(move(pose, f"{side}_ankle", bent(-10.0))) == set()
    wrong = move(pose, f"{side}_ankle", bent(-20.0))
    assert angle_of(wrong, f"{side} knee bends forwards") == pytest.approx(20.0, abs=0.01)
    assert violated(wrong) == {f"{side} knee bends forwards"}


def test_sitting_is_possible_and_the_other_way_round_is_not(standing):
    pose = straight_legs(standing)
    for side in ("left", "right"):
        pose = move(move(pose, f"{side}_knee", (0.0, 0.0, -0.4)), f"{side}_ankle", (0.0, 0.4, 0.0))
    assert violated(pose) == set()
    flipped = violated(pose * torch.tensor([1.0, 1.0, -1.0]))
    assert {f"{side} {name}" for side in ("left", "right") for name in ("knee bends forwards", "thigh backwards")} <= (
        flipped
    )


def test_sitting_cross_legged_is_possible(standing):
    """Thighs forwards and outwards, shanks crossing in front."""
    pose = standing
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pose = move(move(pose, f"{side}_knee", (sign * 0.28, 0.0, -0.28)), f"{side}_ankle", (sign * -0.38, 0.05, 0.05))
    assert violated(pose) == set()


@pytest.mark.parametrize(
    ("joint", "place", "name", "degrees"),
    [  # None: some angle beyond the limit
        ("left_knee", (0.0, 0.2, 0.3464), "left thigh backwards", 60.0),
        ("right_knee", (-0.38, 0.1368, 0.0), "right thigh outwards", 70.2),
        ("left_knee", (-0.3, 0.2, 0.0), "left thigh inwards", 56.3),
        ("right_elbow", (0.0, 0.05, 0.28), "right upper arm backwards", 79.9),
        ("left_elbow", (-0.28, 0.1, 0.0), "left upper arm inwards", 70.3),
        ("head_top", (0.0, 0.3, -0.3), "neck bends", None),
        ("thorax", (0.0, 0.1, -0.2), "trunk bends", None),
        ("thorax", (0.3, 0.1, 0.0), "trunk leans sideways", None),
    ],
)  # fmt: skip
def test_golden_angles(standing, joint, place, name, degrees):
    pose = move(standing, joint, place)
    if degrees is not None:
        assert angle_of(pose, name) == pytest.approx(degrees, abs=0.1)
    assert name in violated(pose)


def test_golden_twist(standing):
    for degrees, too_far in ((60.0, False), (90.0, True)):
        turn = roma.rotvec_to_rotmat(torch.tensor([0.0, math.radians(degrees), 0.0]))
        pose = standing.clone()
        pose[9:] = (pose[9:] - pose[8]) @ turn.mT + pose[8]
        assert angle_of(pose, "trunk twists") == pytest.approx(degrees, abs=0.01)
        assert ("trunk twists" in violated(pose)) == too_far


def test_angles_do_not_depend_on_view_size_or_side(people):
    angles = limit_angles(people)
    torch.testing.assert_close(limit_angles(people @ random_turns(32).mT), angles, atol=0.05, rtol=0)
    torch.testing.assert_close(limit_angles(2.5 * people + 0.7), angles, atol=0.05, rtol=0)
    other = [NAMES.index(n.replace("left", "L").replace("right", "left").replace("L", "right")) for n in NAMES]
    torch.testing.assert_close(limit_angles(mirrored(people)), angles[:, other], atol=0.05, rtol=0)


def test_bodies_without_sense_exceed_the_limits(standing):
    """Random joints exceed a quarter of the limits, a body with 5 mm of noise hardly any."""
    generator = torch.Generator().manual_seed(0)
    noise = 0.3 * torch.randn(500, 17, 3, generator=generator)
    assert float(limits_violated(noise).float().mean()) > 0.2
    assert limits_violated(noise).any(-1).all()
    small = standing + 0.005 * torch.randn(500, 17, 3, generator=generator)
    assert float(limits_violated(small).float().mean()) < 0.001


def test_missing_joints_are_not_measured(standing):
    valid = torch.ones(17, dtype=torch.bool)
    valid[H36M.index("left_ankle")] = False
    wrong = move(straight_legs(standing), "left_ankle", bent(-60.0))
    assert violated(wrong) == {"left knee bends forwards"}
    angles = limit_angles(wrong, valid=valid)
    assert {name for name, angle in zip(NAMES, angles.tolist(), strict=True) if math.isnan(angle)} == {
        "left knee bends",
        "left knee bends forwards",
    }
    assert not limits_violated(wrong, valid=valid).any()
    holes = torch.where(valid.unsqueeze(-1), wrong, float("nan"))
    torch.testing.assert_close(limit_angles(holes), angles, equal_nan=True)


def test_limits_need_the_joints_of_h36m17():
    with pytest.raises(InputError) as caught:
        limits_violated(torch.zeros(14, 3), "lsp14")
    message = "joint limits: skeleton 'lsp14' has no joint 'pelvis'; map the poses to 'h36m17' first"
    assert str(caught.value) == message


def test_no_length_is_no_angle():
    assert (limit_angles(torch.zeros(17, 3)) == 0).all()
