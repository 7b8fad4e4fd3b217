"""3D keypoints of files as inverse kinematics takes them: in metres, y up or camera axes, right-handed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.checks import cut, quote
from ..files.errors import InputError
from ..files.reading import reader
from ..geometry.body import SMPL25
from ..geometry.skeletons import SKELETONS, Skeleton, get_skeleton, skeleton_names
from .joint_names import meant_joints, resolve_names, say_names
from .points import PointFile, read_point_file

__all__ = ["AXES", "Points3D", "read_points", "turned", "visible_joints"]

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: A person with arms and legs stretched fits into a box of this diagonal (metres); and into none of that.
_LARGEST, _SMALLEST = 4.5, 0.15
#: So many joints tell how large a person is.
_ENOUGH = 8
#: No coordinate is beyond this, in whatever unit.
_FARTHEST = 1e9

#: Axes that points may be in -> the rows (x, y, z) of the turn that makes y up of them. Camera axes stay as they are.
AXES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "y-up": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "z-up": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "x-up": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "camera": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


# -- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Points3D:
    """3D keypoints of a file.

    Attributes:
        points: (frames, joints, 3) in metres, with y up, or in camera axes (y down).
        skeleton: of the joints.
        sigma: standard deviations in metres, of any shape that fits.
        axes: that the file's own points are in, told or taken.
        fps: frames per second; None where the file does not say.
    """

    points: Any
    skeleton: Skeleton
    sigma: Any
    axes: str = "y-up"
    fps: float | None = None


@reader()
def read_points(
    path: Path, skeleton: str | None, axes: str | None = None, unit: str | None = None, left_handed: bool = False
) -> Points3D | None:
    """3D keypoints from a file, with y up unless they are in camera axes; None where it holds a result of ours.

    Args:
        path: of any of the formats in `poseterior.keypoints.points`.
        skeleton: joint order of files that do not name their joints.
        axes: one of `AXES`; by default what the file says, else y up.
        unit: m, cm or mm; by default what the file says, else m.
        left_handed: mirror the points.

    Raises:
        InputError: no such file, none of these formats, another shape, joints that are not known, lengths that no
            person has; names the file, the field and the remedy.
    """
    found = read_point_file(path)
    if found is None:
        if skeleton is not None or axes not in (None, "y-up") or unit not in (None, "m") or left_handed:
            raise InputError(
                f"{path}: is a result; leave out --skeleton, --axes and --unit, which it knows"
                + (", and --handedness" if left_handed else "")
            )
        return None
    points = np.asarray(found.points)
    points = points[None] if points.ndim == 2 else points
    if points.ndim != 3 or points.shape[2] != 3 or not points.size:
        raise InputError(f"{path}: points have shape {points.shape}; expected (frames, joints, 3)")
    if found.joint_names is not None and "hip_centre" not in found.joint_names:
        say_names(str(path), [found.joint_names])
    order, points, sigma = _order(points, found, skeleton if skeleton is not None else found.skeleton)
    _refuse_no_numbers(points, sigma, order)
    unit, axes = unit or found.unit or "m", axes or found.axes or "y-up"
    points = turned(points * _METRES[unit], axes, left_handed)
    _refuse_no_body(points, unit, path)
    return Points3D(points, order, sigma * _METRES[unit], axes, found.fps)


def turned(points: Any, axes: str, left_handed: bool = False) -> Any:
    """Points ``(..., 3)`` of these axes with y up (camera axes as they are); left-handed ones mirrored (their x)."""
    mirrored = points * [-1.0, 1.0, 1.0] if left_handed else points
    if axes in ("y-up", "camera"):
        return mirrored
    turn = np.array(AXES[axes])
    return np.where(np.isfinite(mirrored).all(-1, keepdims=True), mirrored, np.nan) @ turn.T


def _refuse_no_body(points: Any, unit: str, path: Path) -> None:
    """Lengths that no person has; names the unit that would fit."""
    with np.errstate(invalid="ignore", over="ignore"):
        box = np.nanmax(points, 1, initial=-np.inf) - np.nanmin(points, 1, initial=np.inf)
    many = np.isfinite(points).all(-1).sum(1) >= _ENOUGH
    size = np.linalg.norm(box[np.isfinite(box).all(-1)], axis=-1)
    whole = np.linalg.norm(box[np.isfinite(box).all(-1) & many], axis=-1)
    if len(size) and np.median(size) > _LARGEST:
        wrong = float(np.median(size))
    elif len(whole) and np.median(whole) < _SMALLEST:
        wrong = float(np.median(whole))
    else:
        return
    fitting = [u for u, metres in _METRES.items() if 1.0 <= wrong / _METRES[unit] * metres <= 3.0]
    remedy = f"pass --unit {fitting[0]}" if fitting else "pass --unit, one of m, cm, mm"
    raise InputError(f"{path}: the person takes {wrong:.4g} m; the length unit is wrong: {remedy}")


def _refuse_no_numbers(points: Any, sigma: Any, skeleton: Skeleton) -> None:
    """NaN is a joint that is missing; infinity is nowhere, and no standard deviation is unknown or below 0."""
    beyond = np.abs(points) > _FARTHEST
    if beyond.any():
        frame, joint, _ = np.argwhere(beyond)[0]
        found = points[frame, joint].tolist()
        raise InputError(
            f"points: frame {frame}, joint {skeleton.joints[joint]!r} is {found}; expected numbers within "
            f"±{_FARTHEST:.0e}, or NaN (null in JSON) where it is missing"
        )
    if not ((sigma >= 0) & (sigma < _FARTHEST)).all():
        place = np.argwhere(~((sigma >= 0) & (sigma < _FARTHEST)))[0]
        joint = f", joint {skeleton.joints[place[-1]]!r}" if len(place) else ""
        raise InputError(f"sigma{joint}: is {sigma[tuple(place)]}; expected the standard deviation, a number from 0")


def _order(points: Any, file: PointFile, skeleton: str | None) -> tuple[Skeleton, Any, Any]:
    """The skeleton of an array, and the array in its order; joints that the file does not have are NaN."""

    names = file.joint_names
    joints = points.shape[1]
    sigma = np.asarray(file.sigma, np.float64)
    if sigma.ndim and sigma.shape not in ((joints,), points.shape[:2]):
        raise InputError(f"sigma has shape {sigma.shape}; expected one number, ({joints},) or {points.shape[:2]}")
    known = (*(s for s in SKELETONS.values()), SMPL25)
    if names is None:
        asked = [SMPL25 if skeleton == SMPL25.name else get_skeleton(skeleton)] if skeleton is not None else known
        fitting = [s for s in asked if len(s) == joints]
        if len(fitting) == 1:
            return fitting[0], points, sigma
        if fitting:
            raise InputError(f"{joints} joints may be {' or '.join(s.name for s in fitting)}: pass --skeleton")
        sizes = ", ".join(f"{s.name} ({len(s)})" for s in asked)
        raise InputError(f"{joints} joints; expected as many as a skeleton has: {sizes}, or a file that names them")
    if skeleton is not None:
        raise InputError("the file names its joints; leave out --skeleton")
    if len(names) != joints:
        raise InputError(f"joints: {len(names)} names for {joints} joints")
    if file.loose:
        return _loose(points, names, sigma)
    exact = "hip_centre" in names and set(names) <= set(SMPL25.joints)
    resolved = names if exact else meant_joints(names)
    ours = [raw if joint is None else joint for raw, joint in zip(names, resolved, strict=True)]
    if len(set(ours)) < len(ours):
        raise InputError(f"joints: {quote(next(n for n in ours if ours.count(n) > 1))} is there twice")
    further = map(get_skeleton, skeleton_names())
    target = next((s for s in (*known, *further) if set(ours) <= set(s.joints)), None)
    if target is None:
        usual = (known[0], SKELETONS["smpl22"])
        unknown = next((n for n in ours if all(n not in s.joints for s in usual)), ours[0])
        listed = "; ".join(f"{s.name}: {', '.join(s.joints)}" for s in usual)
        raise InputError(f"joints: no skeleton has all of them, {quote(unknown)} for example; known: {listed}")
    where = [target.index(name) for name in ours]
    placed = np.full((len(points), len(target), 3), np.nan)
    placed[:, where] = points
    if not sigma.ndim:
        return target, placed, sigma
    spread = np.zeros((*sigma.shape[:-1], len(target)))
    spread[..., where] = sigma
    return target, placed, spread


def _loose(points: Any, names: Sequence[str], sigma: Any) -> tuple[Skeleton, Any, Any]:
    """The joints among names of any kind."""
    known = resolve_names(list(names), "joints")
    used = [i for i, joint in enumerate(known) if joint is not None]
    order = Skeleton("file", tuple(joint for joint in known if joint is not None), (-1,) * len(used))
    if not set(order.joints) & set(SMPL25.joints):
        raise InputError(f"joints: none of {cut(', '.join(map(quote, names)))} is one of: {', '.join(SMPL25.joints)}")
    return order, points[:, used], sigma[..., used] if sigma.ndim else sigma


def visible_joints(points: Any, skeleton: Skeleton, hidden: Sequence[str]) -> Any:
    """``(frames, joints)`` bool of ``points`` ``(frames, joints, 3)``: finite, and not hidden on demand.

    Raises:
        InputError: a hidden joint that is none of the skeleton's.
    """
    seen = np.isfinite(points).all(-1)
    for joint in hidden:
        if joint not in skeleton.joints:
            raise InputError(f"--hide: no joint {joint!r}; {skeleton.name} has: {', '.join(skeleton.joints)}")
        seen[:, skeleton.index(joint)] = False
    return seen
