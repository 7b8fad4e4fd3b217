"""The rest body: tree, forward kinematics, proportions, 3D keypoints of other skeletons."""

from __future__ import annotations

import pytest
import roma
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.body import (
    GROUPS,
    H36M_POINTS,
    SMPL25,
    body_points,
    check_points,
    estimate_offsets,
    group_factors,
    log_group_ratios,
    median_offsets,
    points_from,
    rest_offsets,
)
from poseterior.geometry.skeletons import SKELETONS

_EYE = torch.eye(3, dtype=torch.float64).expand(22, 3, 3)


def _random_rotations(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return roma.rotvec_to_rotmat(0.7 * torch.randn(n, 22, 3, dtype=torch.float64, generator=generator))


def test_t_pose_faces_z_with_the_left_at_x_and_is_symmetric():
    points, _ = body_points(_EYE, rest_offsets(torch.float64))
    at = {joint: points[SMPL25.index(joint)] for joint in SMPL25.joints}
    assert at["left_wrist"][0] > 0.5 > -0.5 > at["right_wrist"][0]
    assert at["head_top"][1] > 0.4 > -0.8 > at["left_ankle"][1]
    assert at["left_foot"][2] > at["left_ankle"][2]
    mirrored = points[list(SMPL25.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(points, mirrored)
    # A grown-up: 1.4 m from ankle to the top of the head, as CMU's subjects.
    assert 1.3 < float(at["head_top"][1] - at["left_ankle"][1]) < 1.7


def test_forward_kinematics_against_a_loop():
    rotations, offsets = _random_rotations(3), rest_offsets(torch.float64)
    points, turned = body_points(rotations, offsets.expand(3, 25, 3))
    for n in range(3):
        for joint in range(25):
            chain, j = [], joint
            while j >= 0:
                chain.append(j)
                j = SMPL25.parents[j]
            place, frame = torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
            for j in reversed(chain):
                place = place + frame @ offsets[j]
                frame = frame @ rotations[n, j] if j < 22 else frame
            torch.testing.assert_close(points[n, joint], place, atol=1e-12, rtol=0)
            if joint < 22:
                torch.testing.assert_close(turned[n, joint], frame, atol=1e-12, rtol=0)


def test_every_group_stretches_its_bones_only():
    for row, (name, members) in enumerate(GROUPS.items()):
        ratios = torch.zeros(len(GROUPS), dtype=torch.float64)
        ratios[row] = 0.3
        offsets = rest_offsets(torch.float64) * group_factors(ratios)
        torch.testing.assert_close(log_group_ratios(offsets), ratios, msg=name)
        changed = (offsets - rest_offsets(torch.float64)).abs().amax(-1) > 1e-9
        assert {SMPL25.joints[j] for j in changed.nonzero().flatten().tolist()} <= set(members)


def test_lengths_are_estimated_from_visible_bones_whatever_the_pose():
    generator = torch.Generator().manual_seed(1)
    ratios = 0.2 * torch.randn(16, len(GROUPS), dtype=torch.float64, generator=generator)
    offsets = rest_offsets(torch.float64) * group_factors(ratios)
    points, _ = body_points(_random_rotations(16), offsets)
    found, known = estimate_offsets(points, torch.ones(16, 25, dtype=torch.bool))
    assert bool(known.all())
    torch.testing.assert_close(log_group_ratios(found), ratios, atol=1e-9, rtol=0)


def test_hidden_lengths_take_the_mean_of_the_others():
    offsets = 1.2 * rest_offsets(torch.float64)
    points, _ = body_points(_random_rotations(4), offsets.expand(4, 25, 3))
    seen = torch.zeros(4, 25, dtype=torch.bool)
    seen[:, [SMPL25.index("left_hip"), SMPL25.index("left_knee")]] = True
    points[~seen] = float("nan")
    found, known = estimate_offsets(points, seen)
    assert bool(known.all())
    torch.testing.assert_close(found, offsets.expand(4, 25, 3))
    nothing, known = estimate_offsets(points, torch.zeros_like(seen))
    assert not bool(known.any())
    torch.testing.assert_close(nothing, rest_offsets(torch.float64).expand(4, 25, 3))


def test_one_body_for_a_clip_ignores_a_bad_frame():
    offsets = rest_offsets().expand(5, 25, 3).clone()
    offsets[2] *= 2.0
    torch.testing.assert_close(median_offsets(offsets), rest_offsets())


def test_h36m17_joints_are_points_of_the_body():
    pose = torch.randn(6, 17, 3)
    points, seen = points_from(pose, "h36m17")
    assert seen.sum() == 17
    torch.testing.assert_close(points[:, H36M_POINTS], pose)
    assert bool(points[:, ~seen].isnan().all())


def test_a_pelvis_is_the_centre_of_the_hips_but_for_smpl22():
    _, seen = points_from(torch.zeros(22, 3), "smpl22")
    assert bool(seen[:22].all())
    assert not bool(seen[22:].any())
    coco, seen = points_from(torch.zeros(17, 3), "coco17")
    assert {SMPL25.joints[j] for j in seen.nonzero().flatten().tolist()} == {
        f"{side}_{part}"
        for side in ("left", "right")
        for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    }
    assert coco.shape == (25, 3)


def test_bad_points_are_named():
    points = torch.zeros(2, 25, 3)
    with pytest.raises(InputError, match=r"points: expected \(\.\.\., 25, 3\) of smpl25, got \(2, 17, 3\)"):
        check_points(points[:, :17], None, 0.0)
    points[1, SMPL25.index("left_knee"), 0] = float("nan")
    shown = torch.ones(2, 25, dtype=torch.bool)
    with pytest.raises(InputError, match=r"points\[1\]: joint 'left_knee': is visible but not finite; hide it"):
        check_points(points, shown, 0.0)
    with pytest.raises(InputError, match=r"joint 'pelvis': sigma must be finite and at least 0 metres"):
        check_points(torch.zeros(25, 3), None, -1.0)
    filled, seen, _ = check_points(points, None, 0.01)
    assert not bool(seen[1, SMPL25.index("left_knee")])
    assert bool(filled.isfinite().all())


def test_tree_extends_smpl22():
    assert SMPL25.joints[:22] == SKELETONS["smpl22"].joints
    assert len(H36M_POINTS) == len(set(H36M_POINTS)) == 17


def test_lengths_of_a_body_that_shows_h36m17_only():
    """Trunk, neck, head and shoulders too, from distances that hardly change with the pose (at rest: not at all)."""
    logs = torch.tensor([0.1, -0.05, 0.08, 0.0, 0.12, 0.12, -0.2, 0.15, -0.1, 0.05])
    offsets = rest_offsets() * group_factors(logs)
    seen = torch.zeros(25, dtype=torch.bool)
    seen[list(H36M_POINTS)] = True
    standing, _ = body_points(torch.eye(3).expand(22, 3, 3), offsets)
    found, known = estimate_offsets(torch.where(seen.unsqueeze(-1), standing, 0.0), seen)
    assert bool(known)
    ratios = dict(zip(GROUPS, log_group_ratios(found).tolist(), strict=True))
    for group, expected in zip(GROUPS, logs.tolist(), strict=True):
        if group == "feet":  # no bone of theirs is seen: as the others on average
            continue
        loose = group in ("trunk", "neck")  # seen together with hips, and with one another
        assert ratios[group] == pytest.approx(expected, abs=0.03 if loose else 1e-4), group
