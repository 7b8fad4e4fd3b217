"""Markers as joints: marker sets name joint centres, or points on the skin from which these are estimated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.checks import Array, cut, quote
from ..files.errors import InputError
from .joint_names import resolve_names

__all__ = ["MarkerJoints", "joints_of_markers"]

_LOG = logging.getLogger(__name__)
_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}

#: Names of joint centres; {s} is L or R.
_CENTRES = {
    "hip": "{s}HJC",
    "knee": "{s}KJC",
    "ankle": "{s}AJC",
    "shoulder": "{s}SJC",
    "elbow": "{s}EJC",
    "wrist": "{s}WJC",
}
#: Joint -> choices of skin markers whose mean stands for it, with its standard deviation in metres: judgement, rounded
#: up. One marker beside a joint is half its width away. Of Plug-in Gait, Helen Hayes, CMU's and IOR's sets.
_SKIN: dict[str, tuple[tuple[tuple[str, ...], float], ...]] = {
    "knee": (
        (("{s}KNE", "{s}KNEM"), 0.015), (("{s}KNE", "{s}MKNE"), 0.015), (("{s}KNE", "{s}KNM"), 0.015),
        (("{s}LFC", "{s}MFC"), 0.015), (("{s}LE", "{s}ME"), 0.015), (("{s}KNE",), 0.05),
    ),
    "ankle": (
        (("{s}ANK", "{s}MED"), 0.015), (("{s}ANK", "{s}MANK"), 0.015), (("{s}ANK", "{s}ANKM"), 0.015),
        (("{s}LM", "{s}MM"), 0.015), (("{s}ANK",), 0.04),
    ),
    "elbow": (
        (("{s}ELB", "{s}ELBM"), 0.015), (("{s}ELB", "{s}MELB"), 0.015), (("{s}ELB",), 0.04),
    ),
    "wrist": (
        (("{s}WRA", "{s}WRB"), 0.015), (("{s}WRI",), 0.03),
    ),
    "shoulder": ((("{s}SHO",), 0.05),),
    "foot": ((("{s}TOE",), 0.03), (("{s}MT2",), 0.03)),
}  # fmt: skip
_MIDDLE: dict[str, tuple[tuple[tuple[str, ...], float], ...]] = {
    "neck": ((("C7", "CLAV"), 0.04),),
}
#: Markers over the front and back spines of the pelvis: of Plug-in Gait, and of CMU's set.
_PELVIS = (("LASI", "RASI", ("LPSI", "RPSI")), ("LASI", "RASI", ("SACR",)), ("LFWT", "RFWT", ("LBWT", "RBWT")))
#: The hips in terms of the distance between the front spines, from their middle: back, aside, down (Bell, Pedersen and
#: Brand 1990); and their standard deviation in metres.
_BELL = (0.19, 0.36, 0.30)
_BELL_SIGMA = 0.025
#: Fewer joints tell nothing of a pose.
_FEWEST = 4


@dataclass(frozen=True)
class MarkerJoints:
    """Joints of markers: ``names``, ``points`` (frames, joints, 3) and ``sigma`` (joints,), in the markers' unit."""

    names: list[str]
    points: Array
    sigma: Array


def joints_of_markers(names: Sequence[str], points: Array, unit: str, path: Path) -> MarkerJoints:
    """Joints that the markers are or tell of; one line says what is estimated, one what is not used.

    Args:
        names: of the markers; what stands before a colon is the subject.
        points: (frames, markers, 3), NaN where missing.
        unit: of the points: m, cm or mm.
        path: of the file, for what is said.

    Raises:
        InputError: fewer than four joints.
    """
    plain = [name.rsplit(":", 1)[-1].strip() for name in names]
    skin = {
        marker.format(s=letter) for part in (*_SKIN.values(), *_MIDDLE.values()) for markers, _ in part
        for marker in markers for letter in "LR"
    }  # fmt: skip
    named = [i for i, name in enumerate(plain) if name.upper() not in skin or name != name.upper()]
    known: list[str | None] = [None] * len(plain)
    for i, joint in zip(named, resolve_names([_centre(plain[i]) for i in named], "markers"), strict=True):
        known[i] = joint
    found: dict[str, tuple[Array, float]] = {}
    used: set[str] = set()
    for i, joint in enumerate(known):
        if joint is not None:
            found[joint] = (points[:, i], 0.0)
            used.add(plain[i])
    upper = {name.upper(): i for i, name in reversed(list(enumerate(plain)))}
    estimated: list[str] = []
    for joint, (markers, spread) in _skin_joints(upper).items():
        if joint not in found:
            found[joint] = (points[:, [upper[name] for name in markers]].mean(1), spread)
            estimated.append(joint)
            used |= {plain[upper[name]] for name in markers}
    hips = next((p for p in _PELVIS if {p[0], p[1], *p[2]} <= set(upper)), None)
    if hips is not None and "left_hip" not in found:
        front = [points[:, upper[name]] for name in hips[:2]]
        back = points[:, [upper[name] for name in hips[2]]].mean(1)
        for joint, place in zip(("left_hip", "right_hip"), _bell(front[0], front[1], back), strict=True):
            found[joint] = (place, _BELL_SIGMA)
            estimated.append(joint)
        used |= {plain[upper[name]] for name in (*hips[:2], *hips[2])}
    if len(found) < _FEWEST:
        raise InputError(
            f"of {len(names)} markers only {len(found)} tell of a joint ({cut(', '.join(map(quote, plain)))}); rename "
            "markers of joints to left_hip, left_knee ..., or pass joint centres"
        )
    unused = [name for name in plain if name not in used]
    if estimated:
        _LOG.warning("%s: estimated from markers on the skin, to some cm: %s", path, ", ".join(estimated))
    if unused:
        _LOG.warning("%s: not used: %s", path, cut(", ".join(unused)))
    sigma = np.array([spread * _METRE[unit] for _, spread in found.values()])
    return MarkerJoints(list(found), np.stack([place for place, _ in found.values()], 1), sigma)


def _centre(name: str) -> str:
    for joint, pattern in _CENTRES.items():
        for letter, side in (("L", "left"), ("R", "right")):
            if name.upper().removesuffix("_STUDY") == pattern.format(s=letter):
                return f"{side}_{joint}"
    return name


def _skin_joints(there: dict[str, int]) -> dict[str, tuple[tuple[str, ...], float]]:
    """Joint -> the first choice of markers that are all there, and its spread."""
    found: dict[str, tuple[tuple[str, ...], float]] = {}
    for letter, side in (("L", "left"), ("R", "right")):
        for part, choices in _SKIN.items():
            for markers, spread in choices:
                own = tuple(marker.format(s=letter) for marker in markers)
                if all(marker in there for marker in own):
                    found.setdefault(f"{side}_{part}", (own, spread))
    for joint, choices in _MIDDLE.items():
        for markers, spread in choices:
            if all(marker in there for marker in markers):
                found.setdefault(joint, (markers, spread))
    return found


def _bell(left: Array, right: Array, back: Array) -> tuple[Array, Array]:
    """The hips of the pelvis' front spines and the middle of its back."""
    middle = (left + right) / 2
    aside = left - right
    width = np.linalg.norm(aside, axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        aside = aside / width
        forward = middle - back
        forward = forward - (forward * aside).sum(-1, keepdims=True) * aside
        forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    down = np.cross(aside, forward)  # left x forward = down, right-handed, whatever axis is up
    behind, out, below = (share * width for share in _BELL)
    centre = middle - behind * forward + below * down
    return centre + out * aside, centre - out * aside
