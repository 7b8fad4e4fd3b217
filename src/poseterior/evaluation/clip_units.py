"""What a unit of the benchmark says of clips: posteriors of motions beside the same lifter's frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..data.observations import ObservationSet
from ..distributions.intervals import AngleRecalibration, spread_of_angles
from ..geometry.angles import POINT_ANGLES, angles_of_points
from ..keypoints.view import solve_root
from ..lifters import Lifter
from ..metrics.resampling import Ratio, bootstrap_counts, half_width
from .clip_method import ClipMethod
from .clips import Clip, Tally, clips_in, tally_clips

__all__ = ["FEWEST_FRAMES", "clip_unit"]

#: Motions of each clip, and hypotheses of each frame, at most: numbers of paths take long.
_SAMPLES = 100
#: Clips of fewer frames are none.
FEWEST_FRAMES = 5
#: Level of the bands that are drawn.
_LEVEL = 0.9
#: Joints and angles of which a clip's course is kept, and frames of it.
_JOINTS = ("right_wrist", "left_ankle")
_ANGLES = ("left_knee_flexion", "right_knee_flexion")
_FRAMES = 150


@torch.no_grad()
def clip_unit(
    method: ClipMethod, lifter: Lifter, data: ObservationSet, fps: float, samples: int, seed: int, course: bool
) -> dict[str, Any]:
    """Numbers of clips and of their frames, and how sure their differences are.

    Args:
        method: `poseterior.lifting.clips.SMOOTHING`.
        lifter: in evaluation mode, with its `ClipErrors`.
        data: of a protocol whose rows are frames in a row.
        fps: rows per second.
        samples: motions, at most 100.
        seed: of them.
        course: also keep the course of one clip, that of median error.

    Returns:
        ``frames`` and ``clip``: as `measure_clips`; ``difference``: of each number that is a mean, clip less frames
        and half of its 95 % interval, by the paired bootstrap over clips; ``clips``: how many; ``course``: what
        `poseterior.view.report` draws.
    """
    few = min(samples, _SAMPLES)
    found = tally_clips(method, lifter, data, fps, samples=few, seed=seed, raw=False)
    unit: dict[str, Any] = {kind: tally.numbers() for kind, tally in found.items()}
    unit["clips"] = found["clip"].clips
    unit["difference"] = _differences(found["frames"], found["clip"])
    if course:
        sums = found["clip"].sums("MPJPE")
        assert sums is not None
        order = (sums[0] / sums[1].clamp(min=1)).argsort()
        chosen = list(clips_in(data))[int(order[len(order) // 2])]
        unit["course"] = _course(method, lifter, chosen, fps, few, seed)
    return unit


def _differences(frames: Tally, clip: Tally) -> dict[str, list[float]]:
    """Clip less frames, and half of the 95 % interval."""
    if clip.clips < 2:
        return {}
    counts = bootstrap_counts(clip.clips)
    found = {}
    for name in clip.parts:
        pair = [tally.sums(name) for tally in (frames, clip)]
        if pair[0] is None or pair[1] is None or not all(bool(part[1].sum() > 0) for part in pair if part):
            continue
        before, after = (Ratio(above, below, lambda quotient: quotient) for above, below in (p for p in pair if p))
        half = half_width(after.replicates(counts) - before.replicates(counts), clip.clips)
        values = [after.value - before.value, float(half)]
        if np.isfinite(values).all():
            found[name] = [round(value, 4) for value in values]
    return found


def _course(method: ClipMethod, lifter: Lifter, clip: Clip, fps: float, samples: int, seed: int) -> dict[str, Any]:
    """One clip over time: truth, frame by frame, mean and 90 % band of the clip posterior; millimetres, degrees.

    Bands of places hold 90 % of the motions in each frame; those of angles are the calibrated ones where there are.
    """
    keypoints, truth = clip.observations.keypoints[:_FRAMES], clip.observations.pose[:_FRAMES]
    frames = method.frames(lifter, keypoints, fps, float("inf"))
    motions = method.motions(lifter, frames, None)
    drawn, mean, skeleton = motions.sample(samples, seed=seed), motions.mean, lifter.skeleton
    shown = keypoints.visible.sum(-1) >= 2
    alone, alone_drawn = lifter(keypoints).mean, lifter(keypoints).sample((samples,), seed=seed)
    courses = {
        joint: tuple(one[..., skeleton.index(joint), :] for one in (truth, alone, mean, drawn)) for joint in _JOINTS
    }
    if bool(keypoints.intrinsics.isfinite().all()):
        own = solve_root(alone_drawn, keypoints.as_skeleton(skeleton)).mean(0)
        paths = motions.sample_placed(samples, seed=seed)[1]
        courses["pelvis before the camera"] = (clip.observations.root[:_FRAMES], own, motions.root.mean, paths)
    places = {}
    for joint, (actual_place, by_frames, by_clip, hypotheses) in courses.items():
        low, high = _band(hypotheses)
        columns = {"truth": actual_place, "frames": by_frames, "mean": by_clip, "low": low, "high": high}
        places[joint] = {
            axis: {
                name: _whole(1000 * values[:, i], shown if name == "frames" else None, 0)
                for name, values in columns.items()
            }
            for i, axis in enumerate("xyz")
        }
    regions = motions.errors.recalibration
    actual = angles_of_points(truth, skeleton)
    of_clip = _angles(drawn, keypoints.visible, skeleton, None if regions is None else regions.angles)
    ours = lifter.recalibration
    of_frames = _angles(alone_drawn, keypoints.visible, skeleton, None if ours is None else ours.angles)
    angles = {}
    for name in _ANGLES:
        at = POINT_ANGLES.index(name)
        angles[name] = {"truth": _whole(actual[:, at], None, 1)}
        for prefix, values, mask in (("", of_clip, None), ("frames ", of_frames, shown)):
            for part, column in zip(("middle", "low", "high"), values, strict=True):
                angles[name][f"{prefix}{part}"] = _whole(column[:, at], mask, 1)
    return {
        "clip": clip.name,
        "level": _LEVEL,
        "seconds": [round(float(t), 4) for t in frames.times[: len(truth)]],
        "shown": shown.tolist(),
        "places": places,
        "angles": angles,
        "calibrated": regions is not None and regions.angles is not None,
    }


def _band(drawn: Float[Tensor, "samples T 3"]) -> tuple[Tensor, Tensor]:
    ordered = drawn.sort(0).values
    last = len(drawn) - 1
    return ordered[round(0.5 * (1 - _LEVEL) * last)], ordered[round(0.5 * (1 + _LEVEL) * last)]


def _angles(
    drawn: Float[Tensor, "samples T joints 3"], visible: Tensor, skeleton: Any, recalibration: AngleRecalibration | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Middle and ends of the interval of each angle."""
    from ..geometry.angles import told_by

    spread = spread_of_angles(angles_of_points(drawn, skeleton))
    factor: Tensor = torch.ones_like(spread.centre)
    if recalibration is not None:
        factor = recalibration.factors(_LEVEL, told_by(visible, skeleton), POINT_ANGLES)
    return spread.centre, spread.centre - spread.below * factor, spread.centre + spread.above * factor


def _whole(values: Tensor, shown: Tensor | None, digits: int) -> list[float | None]:
    """Rounded numbers; None where there is none, or nobody was shown."""
    array: NDArray[np.float64] = values.double().cpu().numpy()
    known = np.isfinite(array) if shown is None else np.isfinite(array) & shown.cpu().numpy()
    return [round(float(v), digits) if k else None for v, k in zip(array, known, strict=True)]
