"""Files of 3D keypoints, as inverse kinematics takes them: npy, npz, JSON, or a result of `poseterior lift`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.checks import cut, quote, reason
from ..files.errors import InputError
from ..files.npz import load_entry, load_npy, open_npz
from ..files.reading import reader
from ..files.texts import read_json
from ..geometry.body import SMPL25
from ..geometry.skeletons import SKELETONS, Skeleton, get_skeleton, skeleton_names
from .joint_names import meant_joints, say_names

__all__ = ["Points3D", "read_points", "visible_joints"]

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: A person with arms and legs stretched fits into a box of this diagonal (metres).
_LARGEST = 4.5
#: No coordinate is beyond this, in whatever unit.
_FARTHEST = 1e9


# -- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Points3D:
    """3D keypoints of a file: ``points`` (frames, joints, 3) and ``sigma`` (any shape that fits) in metres."""

    points: Any
    skeleton: Skeleton
    sigma: Any


@reader()
def read_points(path: Path, skeleton: str | None, axes: str, unit: str) -> Points3D | None:
    """3D keypoints from an array file, with y up unless they are in camera axes; None where it holds a result of ours.

    Raises:
        InputError: no such file, none of these formats, another shape, joints that are not known, lengths that no
            person has; names the file, the field and the remedy.
    """

    if path.suffix.lower() not in (".npy", ".npz", ".json", ".parquet"):
        raise InputError(f"{path}: unknown extension {path.suffix!r}; use .npy, .npz or .json, or a result file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    fields = _fields(path)
    if fields is None:
        if skeleton is not None or axes != "y-up" or unit != "m":
            raise InputError(f"{path}: is a result; leave out --skeleton, --axes and --unit, which it knows")
        return None
    points = fields["points"]
    points = points[None] if points.ndim == 2 else points
    if points.ndim != 3 or points.shape[2] != 3 or not points.size:
        raise InputError(f"{path}: points have shape {points.shape}; expected (frames, joints, 3)")
    if "joint_names" in fields and "hip_centre" not in fields["joint_names"]:
        say_names(str(path), [fields["joint_names"]])
    order, points, sigma = _order(points, fields.get("joint_names"), fields.get("sigma", 0.0), skeleton)
    _refuse_no_numbers(points, sigma, order)
    points = points * _METRES[unit]
    if axes == "z-up":
        points = points[..., [0, 2, 1]] * [1.0, 1.0, -1.0]
    with np.errstate(invalid="ignore", over="ignore"):
        box = np.nanmax(points, 1, initial=-np.inf) - np.nanmin(points, 1, initial=np.inf)
    size = np.linalg.norm(box[np.isfinite(box).all(-1)], axis=-1)
    if len(size) and np.median(size) > _LARGEST:
        raise InputError(
            f"{path}: the person takes {np.median(size):.4g} m; the length unit is wrong: pass --unit, one of m, cm, mm"
        )
    return Points3D(points, order, sigma * _METRES[unit])


def _fields(path: Path) -> dict[str, Any] | None:
    """``points`` and, where the file has them, ``joint_names`` and ``sigma``; None for a result of ours."""

    read = {".npy": _from_npy, ".npz": _from_npz, ".json": _from_json}.get(path.suffix.lower())
    return None if read is None else read(path)


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


def _from_npy(path: Path) -> dict[str, Any]:
    return {"points": load_npy(path, "fiu").astype(np.float64)}


def _from_npz(path: Path) -> dict[str, Any] | None:

    with open_npz(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "schema" in entries:
            return None
        name = "points" if "points" in entries else next(iter(entries), "") if len(entries) == 1 else None
        if name is None or not entries:
            raise InputError(f"npz: no array named 'points'; it holds {_listed(entries)}")
        fields: dict[str, Any] = {"points": load_entry(archive, entries[name], "fiu").astype("float64")}
        if "sigma" in entries:
            fields["sigma"] = load_entry(archive, entries["sigma"], "fiu").astype("float64")
        if "joint_names" in entries:
            fields["joint_names"] = load_entry(archive, entries["joint_names"], "U").reshape(-1).tolist()
    return fields


def _listed(names: Iterable[str]) -> str:
    return cut(", ".join(map(quote, names))) or "nothing"


def _from_json(path: Path) -> dict[str, Any] | None:
    content = read_json(path)
    if isinstance(content, dict) and "schema" in content:
        return None
    found = content if isinstance(content, dict) else {"points": content}
    if "points" not in found:
        raise InputError('expected nested lists (frames, joints, 3), or {"joints": [names], "points": [frames]}')
    fields: dict[str, Any] = {}
    for name in ("points", "sigma"):
        if name in found:
            try:
                fields[name] = np.array(_filled(found[name]), dtype=np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                raise InputError(f"{name}: expected numbers in lists of equal length ({reason(error)})") from None
    names = found.get("joints")
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError("joints: expected a list of names")
        fields["joint_names"] = names
    return fields


def _filled(value: Any) -> Any:
    """A joint that is null as a whole becomes three missing numbers."""
    if isinstance(value, list) and any(isinstance(part, list) for part in value):
        return [[None] * 3 if part is None else _filled(part) for part in value]
    return value


def _order(points: Any, names: list[str] | None, sigma: Any, skeleton: str | None) -> tuple[Skeleton, Any, Any]:
    """The skeleton of an array, and the array in its order; joints that the file does not have are NaN."""

    joints = points.shape[1]
    sigma = np.asarray(sigma, np.float64)
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
