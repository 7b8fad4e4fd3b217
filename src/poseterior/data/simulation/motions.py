"""What people can do beyond what was recorded: poses within anatomical limits, and whole bodies that lie or stand on
their hands.

Rotations are those of smpl22, relative to the parent, zero in the T-pose that faces +z with the left at +x. Ranges of
motion are about those of the American Academy of Orthopaedic Surgeons (Joint Motion, 1965); whatever is drawn is kept
within `poseterior.geometry.limits.LIMITS`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ...geometry.body import H36M_POINTS, body_points, rest_offsets
from ...geometry.limits import limits_violated
from ...geometry.skeletons import SKELETONS

__all__ = [
    "broad_rotations",
    "tilts",
    "within_limits",
]

_SMPL = SKELETONS["smpl22"]
#: Degrees, (low, high) of angles that are drawn evenly. Flexion is forwards (a knee's backwards), the rest outwards.
_HIP = {"flexion": (-20.0, 120.0), "abduction": (-20.0, 50.0), "rotation": (-35.0, 35.0)}
_KNEE = (0.0, 145.0)
_SHOULDER = {"forwards": (-45.0, 120.0), "elevation": (-88.0, 88.0), "rotation": (-80.0, 80.0)}
_ELBOW = (0.0, 145.0)
_SPINE = {"flexion": (-25.0, 70.0), "sideways": (-30.0, 30.0), "twist": (-40.0, 40.0)}
_NECK = {"flexion": (-40.0, 45.0), "sideways": (-30.0, 30.0), "twist": (-60.0, 60.0)}
#: Degrees, standard deviation at collars, wrists, ankles and feet.
_SMALL = {"collar": 6.0, "wrist": 15.0, "ankle": 10.0, "foot": 5.0}
#: How often both arms, or both legs, do the same, and how nearly (degrees): crouches, jumps, arms thrown up.
_TOGETHER, _NEARLY = 0.4, 8.0
#: How often the whole pose is drawn; else each part is with the second probability, and the rest is as recorded.
_WHOLE, _PART = 0.5, 0.5
_PARTS = (
    ("left_hip", "left_knee", "left_ankle", "left_foot"),
    ("right_hip", "right_knee", "right_ankle", "right_foot"),
    ("left_collar", "left_shoulder", "left_elbow", "left_wrist"),
    ("right_collar", "right_shoulder", "right_elbow", "right_wrist"),
    ("spine1", "spine2", "spine3"),
    ("neck", "head"),
)
#: Draws of a pose before the arms and legs of the rest pose take the place of what is beyond the limits.
_ROUNDS = 6


def _about(axis: int, degrees: Tensor) -> Tensor:
    """Rotation about x, y or z (0, 1, 2): ``(..., 3, 3)``."""
    import roma

    vector = degrees.new_zeros(*degrees.shape, 3)
    vector[..., axis] = torch.deg2rad(degrees)
    return roma.rotvec_to_rotmat(vector)


def _between(bounds: tuple[float, float], unit: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * unit


def _both_sides(ranges: tuple[tuple[float, float], ...], n: int, generator: Generator) -> Tensor:
    """Angles ``(2, n, angles)`` of the left and the right side, often nearly the same."""
    drawn = torch.rand(2, n, len(ranges), generator=generator)
    angles = torch.stack([_between(bounds, drawn[..., i]) for i, bounds in enumerate(ranges)], -1)
    together = torch.rand(n, 1, generator=generator) < _TOGETHER
    near = angles[0] + _NEARLY * torch.randn(n, len(ranges), generator=generator)
    low, high = torch.tensor(ranges).unbind(-1)
    return torch.stack([angles[0], torch.where(together, near.clamp(low, high), angles[1])])


def _drawn(n: int, generator: Generator) -> Float[Tensor, "n 22 3 3"]:
    """Rotations of every joint but the pelvis (zero), each within its own range of motion."""
    import roma

    rotations = torch.eye(3).repeat(n, len(_SMPL), 1, 1)
    leg = _both_sides((*_HIP.values(), _KNEE), n, generator)
    arm = _both_sides((*_SHOULDER.values(), _ELBOW), n, generator)
    small = torch.randn(2, n, len(_SMALL), 3, generator=generator) * torch.tensor(list(_SMALL.values())).unsqueeze(-1)
    little = roma.rotvec_to_rotmat(torch.deg2rad(small))
    # As of the left side; the right one is its mirror image.
    limbs = {
        "hip": _about(0, -leg[..., 0]) @ _about(2, leg[..., 1]) @ _about(1, leg[..., 2]),
        "knee": _about(0, leg[..., 3]),
        "shoulder": _about(1, -arm[..., 0]) @ _about(2, arm[..., 1]) @ _about(0, arm[..., 2]),
        "elbow": _about(1, -arm[..., 3]),
        **{name: little[..., i, :, :] for i, name in enumerate(_SMALL)},
    }
    flip = torch.tensor([-1.0, 1.0, 1.0])
    for name, (left, right) in limbs.items():
        rotations[:, _SMPL.index(f"left_{name}")] = left
        rotations[:, _SMPL.index(f"right_{name}")] = right * flip.unsqueeze(-1) * flip
    for joints, ranges in ((("spine1", "spine2", "spine3"), _SPINE), (("neck", "head"), _NECK)):
        unit = torch.rand(n, 3, generator=generator)
        bend, lean, twist = (_between(r, unit[:, i]) / len(joints) for i, r in enumerate(ranges.values()))
        turn = _about(0, bend) @ _about(2, lean) @ _about(1, twist)
        for name in joints:
            rotations[:, _SMPL.index(name)] = turn
    return rotations


def within_limits(rotations: Float[Tensor, "n 22 3 3"]) -> Tensor:
    """Which poses of the shipped body break none of the anatomical limits ``(n,)``."""
    points, _ = body_points(rotations, rest_offsets().expand(len(rotations), -1, -1))
    return ~limits_violated(points[:, H36M_POINTS]).any(-1)


def broad_rotations(recorded: Float[Tensor, "n 22 3 3"], generator: Generator) -> Float[Tensor, "n 22 3 3"]:
    """Poses within anatomical limits, of which all or some parts were never recorded; the pelvis is kept.

    Arms above the head, high kicks, crouches and deep bends are as frequent as small movements. What breaks a limit is
    drawn anew, a few times; what still does becomes the rest pose, so that every pose is within the limits.
    """
    n = len(recorded)
    whole = torch.rand(n, 1, generator=generator) < _WHOLE
    chosen = whole | (torch.rand(n, len(_PARTS), generator=generator) < _PART)
    taken = torch.zeros(n, len(_SMPL), dtype=torch.bool)
    for column, names in enumerate(_PARTS):
        taken[:, [_SMPL.index(name) for name in names]] = chosen[:, column : column + 1]
    result = torch.eye(3).repeat(n, len(_SMPL), 1, 1)
    result[:, 0] = recorded[:, 0]
    left = torch.arange(n)
    for _ in range(_ROUNDS):
        if not len(left):
            break
        tried = torch.where(taken[left, :, None, None], _drawn(len(left), generator), recorded[left])
        fine = within_limits(tried)
        result[left[fine]] = tried[fine]
        left = left[~fine]
        # A recorded part may be what breaks the limit: from the second time on everything is drawn.
        taken[left, 1:] = True
    return result


def tilts(n: int, degrees: tuple[float, float], generator: Generator) -> Float[Tensor, "n 3 3"]:
    """Rotations of the whole person about some horizontal axis: 90 degrees lie, 180 stand on their head."""
    import roma

    angle = torch.deg2rad(_between(degrees, torch.rand(n, generator=generator)))
    towards = 2 * torch.pi * torch.rand(n, generator=generator)
    axis = torch.stack([towards.cos(), torch.zeros(n), towards.sin()], -1)
    return roma.rotvec_to_rotmat(angle.unsqueeze(-1) * axis)
