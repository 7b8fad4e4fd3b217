"""How far joints can bend, as far as their positions tell.

Poses ``(*batch, joints, 3)`` in any units, results in degrees. Nothing depends on where a pose stands or which way it
faces. ``valid (*batch, joints)`` marks joints that exist; what would take one that does not, or is NaN, is NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from .skeletons import Skeleton, get_skeleton

__all__ = [
    "LIMITS",
    "Limit",
    "limit_angles",
    "limits_violated",
]


class Limit(NamedTuple):
    """How far a joint can go, as far as positions alone can tell.

    Attributes:
        name: what the person would be doing.
        joint: the joint that is asked too much.
        degrees: the largest possible angle.
        reason: what the angle is, and the range of motion that the limit allows for.
    """

    name: str
    joint: str
    degrees: float
    reason: str


_AAOS = "AAOS 1965"
#: Of each side. Ranges of motion: American Academy of Orthopaedic Surgeons, Joint Motion (1965); Soucie et al. 2011.
_SIDED = (
    ("knee bends", "knee", 160.0, f"between thigh and shank; {_AAOS}: 135, children 153 (Soucie et al.)"),
    ("knee bends forwards", "knee", 15.0, "shank in front of the plane of thigh and hips; Soucie et al.: up to 5"),
    ("thigh backwards", "hip", 55.0, f"behind the plane of hips and trunk; {_AAOS}: hip 30, back 25"),
    ("thigh outwards", "hip", 65.0, f"away from the other hip; {_AAOS}: 45, more when sitting"),
    ("thigh inwards", "hip", 45.0, f"towards the other hip; {_AAOS}: 30"),
    ("elbow bends", "elbow", 160.0, f"between upper arm and forearm; {_AAOS}: 150"),
    ("upper arm backwards", "shoulder", 70.0, f"behind the plane of shoulders and trunk; {_AAOS}: 60"),
    ("upper arm inwards", "shoulder", 60.0, f"towards the other shoulder; {_AAOS}: 45"),
)
#: Every limit, generous: beyond the range of motion by what joint centres and goniometers may differ. Of ten thousand
#: frames of people walking, running, playing and dancing, fewer than ten exceed any of them.
LIMITS: tuple[Limit, ...] = (
    *(
        Limit(f"{side} {name}", f"{side}_{joint}", degrees, reason)
        for name, joint, degrees, reason in _SIDED
        for side in ("left", "right")
    ),
    Limit("trunk bends", "spine", 80.0, f"between the halves of the trunk; {_AAOS}: 80 forwards, 25 backwards"),
    Limit("trunk leans sideways", "spine", 45.0, f"from upright on the hips; {_AAOS}: 35"),
    Limit("trunk twists", "spine", 80.0, f"from hips to shoulders about the trunk; {_AAOS}: 45, shoulders add to it"),
    Limit("neck bends", "thorax", 80.0, f"between the upper trunk and the head's top; {_AAOS}: 45, the head nods too"),
)  # fmt: skip
_NEEDED_JOINTS = (
    "pelvis", "spine", "thorax", "head_top", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip


def _unit(vector: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vector, dim=-1)


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Angle between vectors, degrees; accurate near 0 and 180, 0 for a vector without length."""
    return torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)).rad2deg()


def _towards(a: Tensor, axis: Tensor) -> Tensor:
    """How far ``a`` rises out of the plane across ``axis``, degrees; both of unit length, the axis at most."""
    return torch.asin((a * axis).sum(-1).clamp(-1.0, 1.0)).rad2deg()


def limit_angles(
    pose: Float[Tensor, "*batch joints 3"],
    skeleton: str | Skeleton = "h36m17",
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch limits"]:
    """The angle of each of `LIMITS`, degrees; NaN where a joint that it needs is missing.

    Moving, turning or scaling the pose changes nothing, nor does mirroring it with left and right exchanged.
    Mirroring it *without* exchanging them does, as when depths are flipped: knees bend the wrong way.

    Raises:
        InputError: a skeleton without the joints that h36m17 has.
    """
    skeleton = get_skeleton(skeleton)
    missing = [joint for joint in _NEEDED_JOINTS if joint not in skeleton.joints]
    if missing:
        raise InputError(
            f"joint limits: skeleton {skeleton.name!r} has no joint {missing[0]!r}; map the poses to 'h36m17' first"
        )
    known = pose if valid is None else torch.where(valid.unsqueeze(-1), pose, float("nan"))
    joint = dict(zip(skeleton.joints, known.unbind(-2), strict=True))
    hips = _unit(joint["left_hip"] - joint["right_hip"])
    shoulders = _unit(joint["left_shoulder"] - joint["right_shoulder"])
    trunk = _unit(joint["thorax"] - joint["pelvis"])
    upper_trunk = joint["thorax"] - joint["spine"]
    hips_front = _unit(torch.linalg.cross(hips, trunk))
    shoulders_front = _unit(torch.linalg.cross(shoulders, trunk))

    angles = {
        "trunk bends": _between(joint["spine"] - joint["pelvis"], upper_trunk),
        "trunk leans sideways": _towards(trunk, hips).abs(),
        # The fronts are the two lines turned by a right angle about the trunk.
        "trunk twists": _between(hips_front, shoulders_front),
        "neck bends": _between(upper_trunk, joint["head_top"] - joint["thorax"]),
    }
    for side, sign in (("left", 1.0), ("right", -1.0)):
        thigh = _unit(joint[f"{side}_knee"] - joint[f"{side}_hip"])
        shank = _unit(joint[f"{side}_ankle"] - joint[f"{side}_knee"])
        upper_arm = _unit(joint[f"{side}_elbow"] - joint[f"{side}_shoulder"])
        forearm = _unit(joint[f"{side}_wrist"] - joint[f"{side}_elbow"])
        outwards, arm_outwards = _towards(thigh, sign * hips), _towards(upper_arm, sign * shoulders)
        angles |= {
            f"{side} knee bends": _between(thigh, shank),
            # Not of unit length: the more a thigh points sideways, the less the hips say where its knee faces.
            f"{side} knee bends forwards": _towards(shank, torch.linalg.cross(thigh, hips)),
            f"{side} thigh backwards": _towards(thigh, -hips_front),
            f"{side} thigh outwards": outwards,
            f"{side} thigh inwards": -outwards,
            f"{side} elbow bends": _between(upper_arm, forearm),
            f"{side} upper arm backwards": _towards(upper_arm, -shoulders_front),
            f"{side} upper arm inwards": -arm_outwards,
        }
    return torch.stack([angles[limit.name] for limit in LIMITS], -1)


def limits_violated(
    pose: Float[Tensor, "*batch joints 3"],
    skeleton: str | Skeleton = "h36m17",
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Bool[Tensor, "*batch limits"]:
    """Which of `LIMITS` each pose exceeds; False where it cannot be measured. See `limit_angles`.

    What positions cannot tell is not looked at: turns about a bone's own axis, and which way an elbow bends.
    """
    angles = limit_angles(pose, skeleton, valid)
    return angles > angles.new_tensor([limit.degrees for limit in LIMITS])
