"""What is lifted by what: arguments of another kind are refused in words."""

from __future__ import annotations

from typing import Any

from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..lifters import Lifter

__all__ = ["check_keypoints", "check_lifter"]


def check_lifter(lifter: Any) -> Lifter:
    """The lifter; raises `InputError` for anything else, as for a lifter's name."""
    if isinstance(lifter, Lifter):
        return lifter
    named = f"pp.load({lifter!r})" if isinstance(lifter, str) and len(lifter) <= 40 else "pp.load('mdn')"
    raise InputError(f"lifter: expected a lifter, got {type(lifter).__name__}; load one: {named}")


def check_keypoints(keypoints: Any) -> Keypoints2D:
    """The keypoints; raises `InputError` for anything else, as for a file's name or a bare tensor."""
    if isinstance(keypoints, Keypoints2D):
        return keypoints
    raise InputError(
        f"keypoints: expected Keypoints2D, got {type(keypoints).__name__}; read a file with pp.read_keypoints(path), "
        "or wrap a tensor as pp.Keypoints2D(xy)"
    )
