"""Files that other programs read: results as npz, Parquet or JSON; motions as BVH, glTF or npz."""

from __future__ import annotations

from .animation import Animation, numbered_paths, save_animation
from .results import LiftResult, check_writable, load_result, save_result

__all__ = [
    "Animation",
    "LiftResult",
    "check_writable",
    "load_result",
    "numbered_paths",
    "save_animation",
    "save_result",
]
