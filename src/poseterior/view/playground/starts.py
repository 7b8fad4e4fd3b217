"""The poses that a playground begins with: two that our rest body takes, and people in photographs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import torch
from jaxtyping import Float
from torch import Tensor

from ...geometry.body import H36M_POINTS, body_points, rest_offsets
from ...geometry.skeletons import SKELETONS, Skeleton
from ...keypoints import Keypoints2D
from ...keypoints.reading import example_keypoints

__all__ = ["Start", "start_poses"]

#: Turns of joints, degrees about x (forward), y (up) and z of the rest body, which stands in a T facing +z.
_STANDING = {
    "left_shoulder": (0, 0, -70),
    "right_shoulder": (0, 0, 70),
    "left_elbow": (0, -15, -5),
    "right_elbow": (0, 15, 5),
}
_STRIDING = {
    "pelvis": (0, 40, 0), "left_hip": (-32, 0, 0), "left_knee": (18, 0, 0), "right_hip": (20, 0, 0),
    "right_knee": (38, 0, 0), "left_shoulder": (24, 0, -72), "right_shoulder": (-28, 0, 72),
    "left_elbow": (0, -35, -10), "right_elbow": (0, 45, 10),
}  # fmt: skip
#: px; focal length in px; metres to the person: a telephone held upright. And px by which a good detector is wrong.
_PICTURE, _FOCAL, _AWAY, _SIGMA = (480, 640), 800.0, 2.9, 4.0
#: Of the shipped example, by the name of the photograph.
_PEOPLE = {
    "batter.jpg": ("Batter", "after the swing, seen from his right and behind"),
    "badminton.jpg": ("Badminton", "serving, seen from the front and the left"),
    "footballer.jpg": ("Footballer", "running, seen from behind"),
    "cameraman.jpg": ("Cameraman", "seen from the side; the legs are hardly in the picture"),
    "astronaut.jpg": ("Astronaut", "seated; the legs are outside the picture"),
}


@dataclass(frozen=True)
class Start:
    """One person to begin with.

    Attributes:
        name, note: for people.
        keypoints: one pose, in the lifter's skeleton.
        photo: the file of the photograph, where it is shipped.
    """

    name: str
    note: str
    keypoints: Keypoints2D
    photo: str | None = None


def start_poses(skeleton: Skeleton) -> list[Start]:
    """Everybody that a playground of this skeleton offers, the easiest first."""
    found = [
        Start("Standing", "facing the camera", _drawn(_STANDING, skeleton)),
        Start("Striding", "walking, half turned to the camera", _drawn(_STRIDING, skeleton)),
    ]
    people = example_keypoints()
    places = {identity.file: i for i, identity in enumerate(people.ids or ())}
    for file, (name, note) in _PEOPLE.items():
        one = people[places[file] : places[file] + 1].as_skeleton(skeleton)
        shipped = resources.files("poseterior").joinpath("examples").joinpath(file).is_file()
        found.append(Start(name, note, one, file if shipped else None))
    return found


def _turn(degrees: tuple[float, float, float]) -> Float[Tensor, "3 3"]:
    """About x, then y, then z."""
    turns = []
    for axis, angle in enumerate(math.radians(value) for value in degrees):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        turns.append(turn)
    return turns[2] @ turns[1] @ turns[0]


def _drawn(turns: Mapping[str, tuple[float, float, float]], skeleton: Skeleton) -> Keypoints2D:
    """The rest body in a pose, as a camera at the height of its middle sees it."""
    smpl = SKELETONS["smpl22"]
    rotations = torch.eye(3).repeat(len(smpl), 1, 1)
    for joint, degrees in turns.items():
        rotations[smpl.index(joint)] = _turn(degrees)
    points = body_points(rotations, rest_offsets())[0][list(H36M_POINTS)]
    middle = (points.amin(0) + points.amax(0)) / 2
    x, y, z = (points - middle).unbind(-1)  # y up, towards the camera
    xy = _FOCAL * torch.stack([x, -y], -1) / (_AWAY - z).unsqueeze(-1) + torch.tensor(_PICTURE) / 2
    return Keypoints2D(xy[None], _SIGMA, image_size=_PICTURE, skeleton=SKELETONS["h36m17"]).as_skeleton(skeleton)
