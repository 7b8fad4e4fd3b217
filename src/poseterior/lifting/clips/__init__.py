"""The posterior of a motion: one person, one body, every frame of a clip at once."""

from .lift import lift_clip
from .many import NOT_WHOLE, clip_lines, lift_clips, lift_parts, parts_of, suits_clips
from .method import SMOOTHING
from .posterior import ClipPosterior

__all__ = [
    "NOT_WHOLE",
    "SMOOTHING",
    "ClipPosterior",
    "clip_lines",
    "lift_clip",
    "lift_clips",
    "lift_parts",
    "parts_of",
    "suits_clips",
]
