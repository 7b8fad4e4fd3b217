"""Drawn people: the reference figure's joints, and the persons of the tutorial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from ..files.errors import InputError
from ..geometry.cameras import project
from ..geometry.skeletons import Skeleton

__all__ = ["HEIGHT", "SCENES", "TUTORIAL", "WIDTH", "Question", "Scene", "reference_figure"]

Point = tuple[float, float]

# -- reference ------------------------------------------------------------------------------------------

#: Somebody who faces us, in a box of 200 x 400: how far each joint lies from the middle (the person's left is at
#: our right), and how far down. Paired joints stand without their side.
_MIDDLE = {
    "head_top": 22, "head": 46, "nose": 54, "neck_nose": 68, "neck": 82, "thorax": 90, "spine3": 112, "spine2": 134,
    "spine": 140, "spine1": 160, "pelvis": 188,
}  # fmt: skip
_PAIRED: dict[str, Point] = {
    "eye_inner": (4, 46), "eye": (7, 46), "eye_outer": (11, 46), "ear": (17, 50), "mouth": (5, 62),
    "collar": (15, 94), "shoulder": (36, 98), "elbow": (54, 152), "wrist": (66, 202), "thumb": (61, 218),
    "index": (67, 228), "pinky": (75, 222), "hip": (18, 194), "knee": (23, 280), "ankle": (26, 358),
    "heel": (24, 372), "foot": (31, 376), "big_toe": (28, 382), "small_toe": (40, 379), "foot_index": (32, 382),
}  # fmt: skip


def reference_figure(skeleton: Skeleton) -> dict[str, Point]:
    """Joint name -> place in the reference picture, 200 wide and 400 high.

    Raises:
        InputError: a skeleton with joints that the picture has not.
    """
    return {joint: _place(joint, skeleton) for joint in skeleton.joints}


def _place(joint: str, skeleton: Skeleton) -> Point:
    side, _, part = joint.partition("_")
    if joint in _MIDDLE:
        return 100.0, float(_MIDDLE[joint])
    if side in ("left", "right") and part in _PAIRED:
        across, down = _PAIRED[part]
        return 100.0 + (across if side == "left" else -across), down
    raise InputError(
        f"skeleton {skeleton.name!r}: the reference picture has no {joint!r}; use another one, e.g. --skeleton h36m17"
    )


# -- tutorial -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """A drawn person.

    Attributes:
        pose: joints in camera axes, metres from the pelvis.
        facing: where the face looks, a unit vector in camera axes.
    """

    pose: Mapping[str, tuple[float, float, float]]
    facing: tuple[float, float, float]

    @property
    def points(self) -> dict[str, Point]:
        """Joint name -> pixel in the picture of `svg`."""
        return {name: _pixel(point)[:2] for name, point in self.pose.items()}

    @property
    def svg(self) -> str:
        """The picture, `WIDTH` x `HEIGHT` px."""
        return _draw(self)


@dataclass(frozen=True)
class Question:
    """A question of the tutorial.

    Attributes:
        scene: index into ``SCENES``.
        first, second: the joints, in the order in which they are shown.
        nearer: the right answer.
        why: what to say about it.
    """

    scene: int
    first: str
    second: str
    nearer: str
    why: str


WIDTH, HEIGHT = 480, 560

_TRUNK = {
    "pelvis": (0.0, 0.0, 0.0), "right_hip": (-0.1, 0.0, 0.0), "left_hip": (0.1, 0.0, 0.0), "thorax": (0.0, -0.5, 0.0),
    "right_shoulder": (-0.18, -0.45, 0.0), "left_shoulder": (0.18, -0.45, 0.0), "neck_nose": (0.0, -0.58, -0.04),
    "head_top": (0.0, -0.8, 0.0),
}  # fmt: skip

SCENES = (
    # Faces us: the right hand reaches towards us, the left foot steps towards us.
    Scene(
        {
            **_TRUNK,
            "right_elbow": (-0.3, -0.38, -0.24), "right_wrist": (-0.34, -0.42, -0.5),
            "left_elbow": (0.33, -0.24, 0.12), "left_wrist": (0.42, -0.03, 0.24),
            "left_knee": (0.14, 0.38, -0.2), "left_ankle": (0.17, 0.8, -0.22),
            "right_knee": (-0.12, 0.42, 0.1), "right_ankle": (-0.14, 0.78, 0.34),
        },
        (0.0, 0.0, -1.0),
    ),
    # Runs to our right, so the own right side is the near one; the left knee and the right arm are in front.
    Scene(
        {
            "pelvis": (0.0, 0.0, 0.0), "right_hip": (0.0, 0.0, -0.1), "left_hip": (0.0, 0.0, 0.1),
            "thorax": (0.1, -0.49, 0.0), "right_shoulder": (0.08, -0.45, -0.19), "left_shoulder": (0.1, -0.45, 0.19),
            "neck_nose": (0.17, -0.57, 0.0), "head_top": (0.2, -0.8, 0.0),
            "right_elbow": (0.24, -0.24, -0.25), "right_wrist": (0.46, -0.36, -0.24),
            "left_elbow": (-0.16, -0.33, 0.25), "left_wrist": (-0.12, -0.08, 0.22),
            "left_knee": (0.36, 0.22, 0.11), "left_ankle": (0.26, 0.62, 0.11),
            "right_knee": (0.0, 0.44, -0.1), "right_ankle": (-0.4, 0.6, -0.1),
        },
        (1.0, 0.0, 0.0),
    ),
    # Turns the back on us, left at our left; the left hand is hidden in front of the belly.
    Scene(
        {
            **{name: (-x, y, -z) for name, (x, y, z) in _TRUNK.items()},
            "left_elbow": (-0.3, -0.22, 0.06), "left_wrist": (-0.06, -0.14, 0.24),
            "right_elbow": (0.38, -0.3, -0.1), "right_wrist": (0.5, -0.1, -0.3),
            "left_knee": (-0.13, 0.43, -0.02), "left_ankle": (-0.16, 0.85, 0.02),
            "right_knee": (0.13, 0.42, 0.04), "right_ankle": (0.17, 0.84, 0.06),
        },
        (0.0, 0.0, 1.0),
    ),
)  # fmt: skip

TUTORIAL = (
    Question(
        0, "left_wrist", "right_wrist", "right_wrist",
        "The right hand reaches towards you and looks larger. Left and right are the person's own.",
    ),
    Question(
        0, "left_ankle", "right_ankle", "left_ankle",
        "The left foot steps towards you; the right one is behind.",
    ),
    Question(
        1, "left_knee", "right_knee", "right_knee",
        "The person runs past you with the right side towards you. The left knee is ahead in the run, but not nearer "
        "to you: what counts is the distance from the camera.",
    ),
    Question(
        1, "right_shoulder", "left_wrist", "right_shoulder",
        "The whole right side is turned to you; the left arm is on the far side.",
    ),
    Question(
        2, "left_wrist", "pelvis", "pelvis",
        "We see the person from behind, and the left hand is hidden in front of the belly. Go by the joint's name, "
        "not by what covers it: the hips are nearer to you than the hidden hand.",
    ),
)  # fmt: skip

#: The camera: how far away, metres, and how much it looks down, radians.
_DISTANCE, _PITCH = 2.1, 0.2
_FOCAL = 560.0

_SKIN, _SHIRT, _TROUSERS, _SHOES, _HAIR = "#e9b28f", "#4f7cac", "#3d4a5c", "#23272e", "#5b4030"
#: What is drawn: from joint to joint, radius at each in metres, colour. The part that is farther is drawn first.
_LIMBS = tuple(
    (f"{side}_{a}", f"{side}_{b}", start, end, colour)
    for side in ("left", "right")
    for a, b, start, end, colour in (
        ("shoulder", "elbow", 0.065, 0.052, _SHIRT),
        ("elbow", "wrist", 0.047, 0.035, _SKIN),
        ("wrist", "wrist", 0.052, 0.052, _SKIN),
        ("hip", "knee", 0.095, 0.07, _TROUSERS),
        ("knee", "ankle", 0.066, 0.047, _TROUSERS),
        ("ankle", "toe", 0.055, 0.045, _SHOES),
    )
)


def _turned(point: Sequence[float]) -> tuple[float, float, float]:
    """Metres in the axes of a camera that stands in front and looks down a little."""
    x, y, z = point
    cos, sin = math.cos(_PITCH), math.sin(_PITCH)
    return x, cos * y - sin * z - 0.02, sin * y + cos * z + _DISTANCE


def _pixel(point: Sequence[float]) -> tuple[float, float, float]:
    """Pixel of a point, and how many pixels a metre has there."""
    turned = _turned(point)
    camera = torch.tensor([_FOCAL, _FOCAL, WIDTH / 2, HEIGHT / 2])
    x, y = project(torch.tensor([turned]), camera)[0].tolist()
    return x, y, _FOCAL / turned[2]


def _with_toes(scene: Scene) -> dict[str, tuple[float, float, float]]:
    """The pose with the tips of the feet, which point where the face looks."""
    pose = dict(scene.pose)
    for side in ("left", "right"):
        x, y, z = pose[f"{side}_ankle"]
        pose[f"{side}_toe"] = (x + 0.15 * scene.facing[0], y + 0.05, z + 0.15 * scene.facing[2])
    return pose


def _hull(points: Sequence[Point]) -> list[Point]:
    """Convex hull (Andrew's monotone chain)."""

    def half(ordered: Sequence[Point]) -> list[Point]:
        chain: list[Point] = []
        for x, y in ordered:
            while len(chain) > 1 and (
                (chain[-1][0] - chain[-2][0]) * (y - chain[-2][1]) <= (chain[-1][1] - chain[-2][1]) * (x - chain[-2][0])
            ):
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    ordered = sorted(set(points))
    return half(ordered) + half(ordered[::-1])


def _blob(discs: Sequence[tuple[float, float, float]], colour: str) -> str:
    """The hull of discs ``(x, y, radius)``, px."""
    turns = [i * math.tau / 72 for i in range(72)]
    rim = [(round(x + r * math.cos(a), 1), round(y + r * math.sin(a), 1)) for x, y, r in discs for a in turns]
    path = " ".join(f"{x},{y}" for x, y in _hull(rim))
    return f'<polygon points="{path}" fill="{colour}" stroke="#fff" stroke-width="2.5" stroke-linejoin="round"/>'


def _head(scene: Scene) -> str:
    chin, top = scene.pose["neck_nose"], scene.pose["head_top"]
    centre = tuple(0.5 * (a + b) for a, b in zip(chin, top, strict=True))
    x, y, scale = _pixel(centre)
    radius = 0.125 * scale
    hair = _blob([(x, y - 0.012 * scale, radius)], _HAIR)
    fx, _, fz = scene.facing
    if fz > 0.5:
        return hair
    # The face is a disc shifted to where it looks; across it, both eyes.
    face = [(x + (0.035 * fx) * scale, y + 0.035 * scale, 0.098 * scale)]
    eyes = ""
    for side in (-0.04, 0.04):
        eye = [c + 0.12 * f for c, f in zip(centre, scene.facing, strict=True)]
        eye[0] -= side * fz
        eye[2] += side * fx
        if fx * side <= 0:  # seen from the side, only the near eye
            ex, ey, s = _pixel(eye)
            ex, ey = ex - 0.045 * fx * s, ey + 0.02 * s
            eyes += f'<circle cx="{ex:.1f}" cy="{ey:.1f}" r="{0.012 * s:.1f}" fill="#2b2b2b"/>'
    return hair + _blob(face, _SKIN) + eyes


def _trunk(scene: Scene) -> str:
    seen = {name: _pixel(point) for name, point in scene.pose.items()}
    chest = [(*seen[f"{side}_shoulder"][:2], 0.075 * seen[f"{side}_shoulder"][2]) for side in ("left", "right")]
    hips = [(*seen[f"{side}_hip"][:2], 0.1 * seen[f"{side}_hip"][2]) for side in ("left", "right")]
    return _blob(hips, _TROUSERS) + _blob([*chest, *((x, y - 0.75 * r, 0.95 * r) for x, y, r in hips)], _SHIRT)


@lru_cache(maxsize=len(SCENES))
def _drawn(index: int) -> str:
    scene = SCENES[index]
    pose = _with_toes(scene)
    seen = {name: _pixel(point) for name, point in pose.items()}
    parts: list[tuple[float, str]] = []
    for a, b, start, end, colour in _LIMBS:
        depth = 0.5 * (_turned(pose[a])[2] + _turned(pose[b])[2])
        discs = [(*seen[j][:2], r * seen[j][2]) for j, r in ((a, start), (b, end))]
        parts.append((depth, _blob(discs, colour)))
    middle = 0.5 * (_turned(scene.pose["thorax"])[2] + _turned(scene.pose["pelvis"])[2])
    neck = [(*seen[joint][:2], 0.05 * seen[joint][2]) for joint in ("thorax", "neck_nose")]
    parts += [(middle, _trunk(scene)), (middle - 0.01, _blob(neck, _SKIN)), (middle - 0.02, _head(scene))]
    floor = 0.9
    shadows = ""
    for side in ("left", "right"):
        x, _, z = scene.pose[f"{side}_ankle"]
        cx, cy, scale = _pixel((x, floor, z))
        shadows += (
            f'<ellipse cx="{cx:.1f}" cy="{cy:.1f}" rx="{0.16 * scale:.1f}" ry="{0.045 * scale:.1f}" '
            'fill="#8f98a3" opacity="0.35"/>'
        )
    horizon = 0.6 * HEIGHT
    body = "".join(drawing for _, drawing in sorted(parts, key=lambda part: -part[0]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#eef2f6"/>'
        f'<rect y="{horizon}" width="{WIDTH}" height="{HEIGHT - horizon}" fill="#dde3ea"/>{shadows}{body}</svg>'
    )


def _draw(scene: Scene) -> str:
    return _drawn(SCENES.index(scene))
