"""JSON of 3D keypoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...files.checks import reason
from ...files.errors import InputError
from ...files.texts import read_json
from . import PointFile

NAME = "plain 3D"
ABOUT = 'JSON: lists (frames, joints, 3), or {"joints": [names], "points": [frames], "sigma": ...}'
EXAMPLE = '{"joints": ["left_hip", "left_knee"], "points": [[[0.1, 0.9, 0.0], [0.12, 0.5, 0.02]]]}'
SUFFIXES = (".json",)


def read(path: Path) -> PointFile | None:
    """Nested lists, or an object that names the joints; null is a missing joint.

    Raises:
        InputError: not JSON, no points, or lists of unequal length.
    """
    content = read_json(path)
    if isinstance(content, dict) and "schema" in content:
        return None
    found = content if isinstance(content, dict) else {"points": content}
    if _has_keypoints(content):
        raise InputError(
            "holds 2D keypoints, and inverse kinematics takes 3D points; "
            "lift it first (`poseterior lift FILE --out poses.npz`) and pass the result"
        )
    if "points" not in found:
        raise InputError('expected nested lists (frames, joints, 3), or {"joints": [names], "points": [frames]}')
    arrays: dict[str, Any] = {}
    for name in ("points", "sigma"):
        if name in found:
            try:
                arrays[name] = np.array(_filled(found[name]), dtype=np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                raise InputError(f"{name}: expected numbers in lists of equal length ({reason(error)})") from None
    names = found.get("joints")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError("joints: expected a list of names")
    return PointFile(joint_names=names, **arrays)


def _has_keypoints(content: Any) -> bool:
    """Whether this is a plain file of keypoints, of one person or a list of people."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and "keypoints" in first and "points" not in first


def _filled(value: Any) -> Any:
    """A joint that is null as a whole becomes three missing numbers."""
    if isinstance(value, list) and any(isinstance(part, list) for part in value):
        return [[None] * 3 if part is None else _filled(part) for part in value]
    return value
