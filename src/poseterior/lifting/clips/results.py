"""A clip's posterior as a result."""

from __future__ import annotations

from dataclasses import replace

from ...distributions.clip_errors import ClipErrors
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...results.layout import SMOOTH_ROOT
from ...results.poses import LiftResult
from ..draws import Draws
from ..poses import result_of

__all__ = ["clip_result"]


def clip_result(
    lifter: Lifter,
    keypoints: Keypoints2D,
    draws: list[Draws],
    errors: ClipErrors | None,
    settings: dict[str, str],
    seed: int,
) -> LiftResult:
    """A result whose hypotheses are whole motions.

    Args:
        lifter: that lifted the frames.
        keypoints: of each frame.
        draws: of each clip, one after the other as its keypoints.
        errors: of the lifter's frames, whose recalibration is of clips; None where they were not measured.
        settings: what is said besides.
        seed: of the draws.
    """
    regions = None if errors is None else errors.recalibration
    angles = "" if regions is None or regions.angles is None else regions.angles.to_json()
    result = result_of(lifter, keypoints, draws, seed)
    placed = {} if result.root_samples is None else {SMOOTH_ROOT: "a smoothed path before a camera that stands still"}
    return replace(result, settings=result.settings | placed | settings, angle_calibration=angles)
