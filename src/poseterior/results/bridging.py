"""Lifted clips with poses for the frames that are missing: whole results, and values in the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from .provenance import Array
from .timeline import MAX_GAP, Segment, blend, blend_samples, timeline, widening
from .times import Timing

__all__ = ["Bridges", "bridged", "bridges"]

#: A `poseterior.results.poses.LiftResult`, which stands on this module.
_Result = TypeVar("_Result", bound=Any)

#: Fields that say what a picture showed: nothing, between two frames.
_SEEN = ("keypoints", "keypoint_covariance")
_OF_CLIPS = ("root_samples", "ground")
_BLENDED = ("region_center", "image_size", "intrinsics", "root", "root_covariance")


def bridged(result: _Result, fps: float, max_gap: float = MAX_GAP) -> _Result:
    """A result with poses in the gaps of its clips that are at most ``max_gap`` seconds long.

    They follow those of the result. The mean and the centres of the regions go straight from one frame to the next,
    samples as `poseterior.results.timeline.blend_samples`; covariances and radii are those in between, widened by what
    a straight line misses. No joint is visible in them, and their ``log_prob`` is NaN.

    Args:
        result: any; its rotations are left out.
        fps: frames per second.
        max_gap: seconds.
    """
    parts = []
    for rows in result.clips():
        if len(np.unique(result.frame[rows])) < len(rows):
            continue
        for segment in timeline(result.frame[rows], fps, max_gap):
            if segment.bridged.any():
                parts.append(_between(result[rows], segment))
    if not parts:
        return result
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in (result, *parts)])
        for name in result.PER_POSE
        if name != "rotations" and getattr(result, name) is not None
    }
    return replace(result, rotations=None, **arrays)


def _between(clip: Any, segment: Segment) -> Any:
    """The moments of a segment that no frame shows."""
    wide = widening(segment)[:, None]
    values: dict[str, Any] = {name: blend(getattr(clip, name), segment) for name in _BLENDED}
    values |= {name: blend(way, segment) for name in _OF_CLIPS if (way := getattr(clip, name)) is not None}
    values["mean"] = blend(clip.mean, segment)
    shift = np.random.default_rng(0).standard_normal((clip.samples.shape[1], *clip.mean.shape[1:]))
    shift[:, clip.joint_names.index("pelvis") if "pelvis" in clip.joint_names else 0] = 0
    if clip.samples.shape[1]:
        # Of a clip that was lifted as a whole, hypothesis k is one motion: it goes on, and is not stretched.
        one_motion = clip.whole(np.arange(len(clip)))
        between = blend(clip.samples, segment) if one_motion else blend_samples(clip.samples, segment)
        values["samples"] = between + wide[:, None, :, None] * shift
    else:
        values["samples"] = clip.samples[segment.before]
    values["covariance"] = blend(clip.covariance, segment) + (wide**2)[..., None, None] * np.eye(3)
    for name in ("region_radius", "pose_radius"):
        values[name] = np.sqrt(blend(getattr(clip, name), segment) ** 2 + (_sigmas(clip.level) * wide) ** 2)
    at = segment.before
    values |= {name: np.full_like(getattr(clip, name)[at], np.nan) for name in _SEEN}
    values |= {"visible": np.zeros_like(clip.visible[at]), "log_prob": np.full_like(clip.log_prob[at], np.nan)}
    values |= {"frame": segment.frames, "file": clip.file[at], "person": clip.person[at], "rotations": None}
    return replace(clip, **values)[segment.bridged]


def _sigmas(level: float) -> float:
    """Radius of the ball that holds a standard normal vector in three dimensions with this probability."""
    import torch

    half = torch.tensor(1.5, dtype=torch.float64)
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = float(torch.special.gammainc(half, torch.tensor(middle**2 / 2, dtype=torch.float64)))
        low, high = (middle, high) if inside < level else (low, middle)
    return high


@dataclass(frozen=True, eq=False)
class Bridges:
    """The gaps of a clip in a file that has a row for every frame.

    Attributes:
        when: the rows.
        segments: parts of the clip without a gap that is too long.
    """

    when: Timing
    segments: Sequence[Segment]

    def filled(self, values: Array, widened: bool = False) -> Array:
        """Values of the clip's frames in their rows, straight lines over short gaps, NaN in the rows of longer ones.

        Args:
            values: ``(frames, ...)`` in order of the frames.
            widened: they are radii, to which comes what a straight line misses (`widening`), metres.
        """
        rows = self.when.spread(values)
        frames = self.when.frames
        for segment in self.segments:
            place = np.searchsorted(frames, segment.frames)
            wanted = segment.bridged & (frames[place] == segment.frames)
            between = blend(values, segment)
            if widened:
                between = np.hypot(between, widening(segment).reshape(-1, *[1] * (values.ndim - 1)))
            rows[place[wanted]] = between[wanted]
        return rows


def bridges(frames: Array, when: Timing, fps: float, max_gap: float = MAX_GAP) -> Bridges:
    """How the gaps between these frames of one person are filled; a file of frames that are there twice has none."""
    rising = bool((np.diff(frames) > 0).all())
    return Bridges(when, timeline(frames, fps, max_gap) if rising else ())
