"""The posterior of a motion: one person, one body, every frame of a clip at once."""

from .lift import lift_clip
from .many import lift_clips, suits_clips
from .method import SMOOTHING
from .posterior import ClipPosterior

__all__ = ["SMOOTHING", "ClipPosterior", "lift_clip", "lift_clips", "suits_clips"]
