"""Joint angles: right on bodies of known angles, the same from points and rotations, wherever they are seen from."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.angles import (
    OPENSIM,
    POINT_ANGLES,
    RANGES,
    ROTATION_ANGLES,
    angles_of_points,
    angles_of_rotations,
    joints_of,
    told_by,
)
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS

SMPL, H36M = SKELETONS["smpl22"], SKELETONS["h36m17"]
HALF_TURN = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


def turned(**turns: tuple[str, float]) -> torch.Tensor:
    """A body with some joints turned about an axis of the T-pose (x left, y up, z forward), degrees."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(22, 1, 1)
    for joint, (axis, degrees) in turns.items():
        vector = torch.zeros(3, dtype=torch.float64)
        vector["xyz".index(axis)] = math.radians(degrees)
        rotations[SMPL.index(joint)] = roma.rotvec_to_rotmat(vector)
    return rotations


def both(rotations: torch.Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Angles of the body's points, and of its rotations, in camera axes."""
    points = body_points(rotations, rest_offsets(torch.float64))[0][list(H36M_POINTS)] @ HALF_TURN
    seen = rotations.clone()
    seen[0] = HALF_TURN @ rotations[0]
    of_points = dict(zip(POINT_ANGLES, angles_of_points(points).tolist(), strict=True))
    return of_points, dict(zip(ROTATION_ANGLES, angles_of_rotations(seen).tolist(), strict=True))


@pytest.mark.parametrize("degrees", [5.0, 30.0, 60.0, 90.0, 140.0])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_bent_knee_has_its_angle(side: str, degrees: float) -> None:
    for found in both(turned(**{f"{side}_knee": ("x", degrees)})):
        other = "right" if side == "left" else "left"
        assert found[f"{side}_knee_flexion"] == pytest.approx(degrees, abs=1e-6)
        assert found[f"{other}_knee_flexion"] == pytest.approx(0.0, abs=1e-4)


#: Turns of a joint, and what angle they are: of points where these tell it, and of rotations. The knees and elbows are
#: bent so that points tell how thighs and upper arms turn about themselves.
TURNS = [
    ({"right_hip": ("z", -20), "right_knee": ("x", 60)}, "right_hip_adduction", -20),
    ({"left_hip": ("z", 20), "left_knee": ("x", 60)}, "left_hip_adduction", -20),
    ({"right_hip": ("y", 20), "right_knee": ("x", 60)}, "right_hip_rotation", 20),
    ({"left_hip": ("y", -20), "left_knee": ("x", 60)}, "left_hip_rotation", 20),
    ({"left_shoulder": ("z", -90), "left_elbow": ("y", -50)}, "left_elbow_flexion", 50),
    ({"right_shoulder": ("z", 90), "right_elbow": ("y", 50)}, "right_elbow_flexion", 50),
    ({"right_elbow": ("y", 70)}, "right_shoulder_elevation", 90),
    ({"left_elbow": ("y", -70)}, "left_shoulder_plane", 0),
    ({"spine3": ("x", 20)}, "trunk_flexion", 20),
    ({"spine1": ("z", 15)}, "trunk_bending", 15),
    ({"spine1": ("y", 15)}, "trunk_rotation", 15),
    ({"right_ankle": ("x", -15)}, "right_ankle_flexion", 15),
    ({"left_ankle": ("x", -15)}, "left_ankle_flexion", 15),
    ({"right_ankle": ("z", -10)}, "right_ankle_inversion", -10),
    ({"left_ankle": ("z", 10)}, "left_ankle_inversion", -10),
]


@pytest.mark.parametrize(("turns", "angle", "degrees"), TURNS)
def test_signs_and_sides(turns: dict, angle: str, degrees: float) -> None:
    of_points, of_rotations = both(turned(**turns))
    assert of_rotations[angle] == pytest.approx(degrees, abs=1e-6)
    if angle in of_points and not angle.startswith("trunk"):
        assert of_points[angle] == pytest.approx(degrees, abs=0.1)  # the rest body's arms are not quite straight


def test_hip_flexion_of_points_is_that_of_rotations_but_for_how_the_pelvis_stands() -> None:
    rest = both(turned())[0]["left_hip_flexion"]
    for degrees in (-20.0, 30.0, 80.0):
        of_points, of_rotations = both(turned(left_hip=("x", -degrees), left_knee=("x", 40)))
        assert of_rotations["left_hip_flexion"] == pytest.approx(degrees, abs=1e-6)
        assert of_points["left_hip_flexion"] - rest == pytest.approx(degrees, abs=1e-4)
        assert of_points["left_hip_adduction"] == pytest.approx(0.0, abs=1e-4)


def test_the_pelvis_turns_on_the_ground() -> None:
    facing_away = both(turned(pelvis=("y", 180)))[1]
    assert facing_away["pelvis_rotation"] == pytest.approx(0.0, abs=1e-6)
    assert both(turned(pelvis=("y", 210)))[1]["pelvis_rotation"] == pytest.approx(30.0, abs=1e-6)
    leaning = both(turned(pelvis=("y", 180), spine1=("x", 0)))[1]
    assert leaning["pelvis_tilt"] == pytest.approx(0.0, abs=1e-6)


def test_all_but_the_pelvis_are_the_same_from_anywhere(people: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(1)
    turn = roma.special_procrustes(torch.randn(32, 3, 3, generator=generator)).double()
    moved = 1.7 * people.double() @ turn.mT + torch.randn(32, 1, 3, generator=generator)
    torch.testing.assert_close(angles_of_points(moved)[:, 3:], angles_of_points(people)[:, 3:], rtol=0, atol=1e-3)


def test_a_mirrored_body_has_its_sides_exchanged(people: torch.Tensor) -> None:
    mirrored = people[:, list(H36M.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    one, two = (dict(zip(POINT_ANGLES, angles_of_points(p).T, strict=True)) for p in (people, mirrored))
    for name, values in one.items():
        side, _, what = name.partition("_")
        twin = {"left": f"right_{what}", "right": f"left_{what}"}.get(side, name)
        sign = -1.0 if name in ("pelvis_list", "pelvis_rotation", "trunk_bending", "trunk_rotation") else 1.0
        apart = (two[twin] - sign * values + 180.0) % 360.0 - 180.0
        assert apart.abs().max() < 1e-3, name


def test_cardan_angles_make_the_rotation_again() -> None:
    rotations = turned().repeat(50, 1, 1, 1)
    torch.manual_seed(2)
    rotations[:, SMPL.index("right_hip")] = roma.random_rotmat(50, dtype=torch.float64)
    found = angles_of_rotations(rotations)
    names = [f"right_hip_{angle}" for angle in ("flexion", "adduction", "rotation")]
    angles = torch.deg2rad(found[:, [ROTATION_ANGLES.index(name) for name in names]])
    again = roma.euler_to_rotmat("ZXY", angles)
    own = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(again, own @ rotations[:, SMPL.index("right_hip")] @ own.T)


def test_what_cannot_be_told() -> None:
    of_points, _ = both(turned())
    assert math.isnan(of_points["right_hip_rotation"])  # the rest body's legs are exactly straight
    assert of_points["right_knee_flexion"] == pytest.approx(0.0, abs=1e-6)
    assert not any("ankle" in name for name in POINT_ANGLES)


def test_ranges_hold(people: torch.Tensor) -> None:
    found = angles_of_points(people)
    for name, (low, high) in RANGES.items():
        column = found[:, POINT_ANGLES.index(name)]
        assert low <= column.min()
        assert column.max() <= high


def test_angles_depend_on_the_joints_that_tell_them_and_on_no_other(people: torch.Tensor) -> None:
    usual = angles_of_points(people)
    for index, name in enumerate(POINT_ANGLES):
        others = [j for j, joint in enumerate(H36M.joints) if joint not in joints_of(name)]
        changed = people.clone()
        changed[:, others] = float("nan")
        torch.testing.assert_close(angles_of_points(changed)[:, index], usual[:, index])


def test_an_angle_is_told_where_its_joints_are() -> None:
    marked = torch.ones(17, dtype=torch.bool)
    marked[H36M.index("left_ankle")] = False
    untold = [name for name, told in zip(POINT_ANGLES, told_by(marked, H36M).tolist(), strict=True) if not told]
    assert untold == ["left_hip_rotation", "left_knee_flexion"]


def test_opensim_names_are_of_our_angles() -> None:
    assert {ours for ours, _ in OPENSIM.values()} <= set(ROTATION_ANGLES)
    assert OPENSIM["lumbar_extension"] == ("trunk_flexion", -1.0)


def test_another_skeleton_is_refused() -> None:
    with pytest.raises(InputError, match="angles: the skeleton 'coco17' lacks the joint 'pelvis'; use h36m17"):
        angles_of_points(torch.zeros(17, 3), "coco17")
