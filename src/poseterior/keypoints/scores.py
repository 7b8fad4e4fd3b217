"""What detectors' scores mean: probabilities, the peaks of heat maps, percentages, logits, or sums.

Confidence (see `poseterior.keypoints.keypoints.confidence_to_spread`) is a probability-like number from 0 to 1. Every
scale is brought to it by one increasing rule, so that no two joints change places:

* ``probability``: as it is (what is above 1 counts as 1);
* ``peak``: the highest value *m* of a heat map that a softmax made sum to 1. A Gaussian of spread s cells has the peak
  1 / (2 pi s^2), and the spread of a keypoint is inversely proportional to its confidence: confidence is
  sqrt(m / 0.3), at most 1, where 0.3 is the peak of a map that is as sharp as its cells let it be;
* ``percent``: a hundredth;
* ``logit``: the logistic function of it;
* ``sum``: of the scores of several detections of the same joint (AlphaPose's, up to 6): 1 - exp(-s), the probability
  that not all of them are wrong;
* ``label``: COCO's marks: 2 (seen) is 1, 1 (labelled but hidden from view) is 0.5.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..files.checks import Array

__all__ = ["JUDGED", "SCALES", "SCALE_RULES", "confidence_of", "judge_scale"]

#: A joint as sharp as a heat map's cells let it be has this peak after a softmax.
SHARPEST_PEAK = 0.3

#: The scales that a user may tell.
SCALES = ("probability", "peak", "percent", "logit", "sum")
#: What a format says whose scores are on no fixed scale.
JUDGED = "unknown"

#: Fewer scores than this tell nothing of their scale.
_FEWEST = 10

#: What a message calls each scale that is not a probability, and the rule.
SCALE_RULES = {
    "peak": ("peaks of heat maps", f"confidence = sqrt(score / {SHARPEST_PEAK})"),
    "percent": ("percentages", "confidence = score / 100"),
    "logit": ("logits", "confidence = 1 / (1 + exp(-score))"),
    "sum": ("sums of scores", "confidence = 1 - exp(-score)"),
    "label": ("COCO's labels 1 (hidden from view) and 2 (seen)", "confidence = label / 2"),
    JUDGED: ("of no scale that we know", "those above 1 count as 1"),
}


def _logistic(scores: Array) -> Array:
    decay = np.exp(-np.abs(scores))
    return np.where(scores >= 0, 1 / (1 + decay), decay / (1 + decay))


_TO_CONFIDENCE: dict[str, Callable[[Array], Array]] = {
    "peak": lambda scores: np.minimum(np.sqrt(np.maximum(scores, 0) / SHARPEST_PEAK), 1),
    "percent": lambda scores: scores / 100,
    "logit": _logistic,
    "sum": lambda scores: -np.expm1(-scores),
    "label": lambda scores: scores / 2,
}


def confidence_of(scores: Array, scale: str) -> Array:
    """Confidences of scores of that scale (see the module), of the same shape; NaN stays.

    A probability comes back as it is, not even copied.
    """
    return _TO_CONFIDENCE[scale](scores) if scale in _TO_CONFIDENCE else scores


def judge_scale(scores: Array) -> str:
    """The scale of scores, by how they are distributed over a whole file.

    Probabilities of people who were found reach beyond 0.4; peaks of heat maps do not, and most of them are far below.
    Percentages reach beyond 30, logits beyond 6 or below 0, sums of probabilities beyond 1. Where nothing speaks
    against probabilities, probabilities they are.

    Args:
        scores: of the joints that have coordinates, any shape; zeros and NaN are not looked at.

    Returns:
        a name of `SCALES`, "label", or `JUDGED` for what is on none of them.
    """
    scores = np.asarray(scores, np.float64)
    scores = scores[np.isfinite(scores) & (scores != 0)]
    if len(scores) < _FEWEST or scores.min() == scores.max():
        return "label" if len(scores) >= _FEWEST and scores.max() == 2 else "probability"
    top = float(np.quantile(scores, 0.95))
    below = scores[scores < 0]
    if len(below):
        several = below.min() != below.max()  # one number again and again is a mark of what is missing
        return "logit" if top > 1.2 or (several and len(below) >= 0.2 * len(scores)) else "probability"
    if np.isin(scores, (1.0, 2.0)).all():
        return "label"
    if top <= 1.2:
        faint = 0.05 <= top <= 0.36 and np.median(scores) <= 0.2 and scores.max() <= 0.6
        return "peak" if faint else "probability"
    limits = (("sum", 6.5), ("logit", 30.0), ("percent", 101.0))
    return next((scale for scale, most in limits if top <= most), JUDGED)
