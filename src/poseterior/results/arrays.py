"""The arrays of a result: their shapes, and what their values have to be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..files.checks import quote, reason
from ..files.errors import InputError
from ..files.mapped import let_go

__all__ = ["ARRAYS", "CHECKED", "array", "check_calibration", "check_level", "check_numbers", "check_shapes", "strings"]

#: Row shape of each array in terms of p(oses), s(amples), j(oints); and its dtype.
ARRAYS: dict[str, tuple[tuple[str | int, ...], type]] = {
    "samples": (("p", "s", "j", 3), np.float32),
    "mean": (("p", "j", 3), np.float32),
    "covariance": (("p", "j", 3, 3), np.float32),
    "log_prob": (("p", "s"), np.float32),
    "region_center": (("p", "j", 3), np.float32),
    "region_radius": (("p", "j"), np.float32),
    "pose_radius": (("p", "j"), np.float32),
    "keypoints": (("p", "j", 2), np.float32),
    "keypoint_covariance": (("p", "j", 2, 2), np.float32),
    "visible": (("p", "j"), np.bool_),
    "image_size": (("p", 2), np.float32),
    "intrinsics": (("p", 4), np.float32),
    "root": (("p", 3), np.float32),
    "root_covariance": (("p", 3, 3), np.float32),
    "root_samples": (("p", "s", 3), np.float32),
    "ground": (("p", 4), np.float32),
    "frame": (("p",), np.int64),
    "person": (("p",), np.int64),
}
_MAY_BE_MISSING = (
    "log_prob", "keypoints", "keypoint_covariance", "image_size", "intrinsics", "root", "root_covariance",
    "root_samples", "ground",
)  # fmt: skip
#: Poses at a time that are checked, or measured.
CHECKED = 1024


def check_shapes(arrays: Mapping[str, np.ndarray], poses: int, joints: int) -> None:
    """Make sure that the arrays belong to so many poses, and to as many samples as there are.

    Args:
        arrays: by name, ``samples`` among them.

    Raises:
        InputError: names the array, its shape, and the one that is expected.
    """
    if arrays["samples"].ndim != 4:
        raise InputError(f"samples has shape {arrays['samples'].shape}; expected (poses, samples, joints, 3)")
    sizes = {"p": poses, "s": arrays["samples"].shape[1], "j": joints}
    for name, values in arrays.items():
        expected = tuple(sizes[part] if isinstance(part, str) else part for part in ARRAYS[name][0])
        if values.shape != expected:
            raise InputError(
                f"{name} has shape {values.shape}; expected {expected} for {sizes['p']} poses (entries of"
                f" 'file'), {sizes['s']} samples and {sizes['j']} joints (entries of 'joint_names')"
            )


def check_numbers(arrays: Mapping[str, np.ndarray], joint_names: Sequence[str]) -> None:
    """Make sure that numbers are finite where they have to be, and keypoints of visible joints known.

    Args:
        arrays: all of a result's, by name; mapped ones are let go as they were read.

    Raises:
        InputError: names the array, the pose, the sample and the joint.
    """
    for name, values in arrays.items():
        if ARRAYS[name][1] is not np.float32:
            continue
        for start in range(0, len(values), CHECKED):
            some = values[start : start + CHECKED]
            # one pass over the (large) samples; the exact place is looked up only if something is wrong
            with np.errstate(invalid="ignore", over="ignore"):
                total = float(np.abs(some).max(initial=0.0))
            if np.isfinite(total):
                continue
            bad = np.isinf(some) if name in _MAY_BE_MISSING else ~np.isfinite(some)
            if bad.any():
                _refuse(name, some, bad, "a finite number", start, joint_names)
        let_go(values)
    for start in range(0, len(arrays["visible"]), CHECKED):
        _check_seen(arrays, slice(start, start + CHECKED), joint_names)


def _check_seen(arrays: Mapping[str, np.ndarray], rows: slice, joint_names: Sequence[str]) -> None:
    """Keypoints of visible joints are numbers, and as uncertain as can be."""
    visible, keypoints, told = (arrays[name][rows] for name in ("visible", "keypoints", "keypoint_covariance"))
    hidden = np.isnan(keypoints).any(-1) & visible
    if hidden.any():
        _refuse("keypoints", keypoints, hidden[..., None], "numbers, or visible=False", rows.start, joint_names)
    spread = told.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        area = spread[..., 0, 0] * spread[..., 1, 1] - spread[..., 0, 1] * spread[..., 1, 0]
        flat = visible & ~((area > 0) & (spread[..., 0, 0] > 0))
    if flat.any():
        expected = "a positive definite matrix, or visible=False"
        _refuse("keypoint_covariance", told, flat[..., None, None], expected, rows.start, joint_names)


def _refuse(
    name: str, values: np.ndarray, bad: np.ndarray, expected: str, before: int, joint_names: Sequence[str]
) -> None:
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"pose {before + place[0]}"
    pattern = ARRAYS[name][0]
    if "s" in pattern:
        where += f", sample {place[pattern.index('s')]}"
    if "j" in pattern:
        where += f", joint {joint_names[place[pattern.index('j')]]!r}"
    raise InputError(f"{name}: {where} has {values[place]}; expected {expected}")


def check_calibration(text: Any) -> None:
    """Make sure that what calibrates angles is the text of a JSON object, or empty."""
    # What is in it is checked where it is used, which takes torch.
    try:
        good = isinstance(text, str) and (not text or isinstance(json.loads(text), dict))
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise InputError(f"angle_calibration: expected the text of a JSON object, or none; got {quote(text)}")


def check_level(level: Any) -> None:
    """As `poseterior.distributions.balls.check_level`, without importing torch: results are read without it."""
    if isinstance(level, (bool, np.bool_)) or not isinstance(level, (int, float, np.number)) or not 0 < level < 1:
        raise InputError(f"level: expected a probability above 0 and below 1, e.g. 0.9, got {quote(level)}")


def array(value: Any, name: str) -> np.ndarray:
    """A result's array of this name, contiguous and of its type."""
    dtype = ARRAYS[name][1]
    try:
        found = np.asarray(value)
        if dtype is not np.float32 and found.size and found.dtype.kind not in "biu":
            raise ValueError(f"found {found.dtype}")
        return np.ascontiguousarray(found, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: expected an array of {np.dtype(dtype).name} ({reason(error)})") from None


def strings(value: Any) -> np.ndarray:
    """Names of files, one per pose."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.ndim == 1:
        return value
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise InputError("file: expected a list of strings, one per pose")
    return np.asarray(names, dtype=np.str_)
