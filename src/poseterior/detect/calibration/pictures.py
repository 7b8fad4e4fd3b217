"""Residuals of pictures with known keypoints, and where a detector means another place by a joint than these do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...files.images import read_image
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ..base import Array, Detector, Person
from ..covariance import Evidence, body_axes, sideless
from .residuals import Residuals, joined
from .said import Said, taken

__all__ = ["bias_of", "residuals_of_pictures"]

#: Somebody found is somebody known whose joints are this near, in sizes of the person (median).
_SAME = 0.5
#: Residuals of a joint below which nothing is said of its bias, and standard errors from 0 that it has to be.
_FEWEST, _SURE = 20, 3.0


def residuals_of_pictures(
    detector: Detector, known: Sequence[tuple[Path, Keypoints2D]], advance: Callable[[], object] = lambda: None
) -> tuple[Residuals | None, Array]:
    """Residuals of the joints that both have, and their directions on the body.

    Args:
        detector: finds people.
        known: pictures and the people in them (one batch dimension).
        advance: called after each picture.

    Returns:
        The residuals (None where nobody was found again), and ``(n, 2, 2)`` px outwards and down the body, NaN where
        they are not known. Numbers of frames are those of the pictures.
    """
    skeleton = detector.skeleton
    parts: list[tuple[Residuals, Array]] = []
    for number, (path, people) in enumerate(known):
        found = detector.detect(read_image(path))
        names = [joint for joint in people.skeleton.joints if joint in skeleton.joints]
        mine, theirs = ([s.index(name) for name in names] for s in (skeleton, people.skeleton))
        for row in range(len(people)):
            truth, shown = people.xy[row].double().numpy(), people.visible[row].numpy()
            size = float(people.size[row])
            best = min(found, key=lambda one: _far(one, truth, shown, mine, theirs), default=None)
            if best is None or not _far(best, truth, shown, mine, theirs) < _SAME * size:
                continue
            covariance = people.covariance[row].double().numpy()
            parts += _of_one(best, truth, covariance, shown, mine, theirs, number, skeleton)
        advance()
    if not parts:
        return None, np.zeros((0, 2, 2))
    return joined([one for one, _ in parts]), np.concatenate([axes for _, axes in parts])


def _far(person: Person, truth: Array, shown: Array, mine: Sequence[int], theirs: Sequence[int]) -> float:
    both = person.keypoints.visible.numpy()[mine] & shown[theirs]
    if both.sum() < 3:
        return np.inf
    gap = person.keypoints.xy.double().numpy()[mine] - truth[theirs]
    return float(np.median(np.linalg.norm(gap[both], axis=-1)))


def _of_one(
    person: Person, truth: Array, covariance: Array, shown: Array, mine: Sequence[int], theirs: Sequence[int],
    number: int, skeleton: Skeleton,
) -> list[tuple[Residuals, Array]]:  # fmt: skip
    keypoints = person.keypoints
    both = np.flatnonzero(keypoints.visible.numpy()[mine] & shown[theirs])
    joints, of_truth = np.array(mine)[both], np.array(theirs)[both]
    xy, count = keypoints.xy.double().numpy(), len(both)
    said = Said.of([(number, person)], skeleton)
    evidence = taken(taken(said.evidence, (0,)), (joints,))
    none = Evidence(*(np.zeros((count, 0, *value.shape[1:])) for value in vars(evidence).values()))
    axes = body_axes(xy, keypoints.visible.numpy(), skeleton)
    found = Residuals(
        gap=xy[joints] - truth[of_truth],
        size=np.full(count, float(keypoints.size)),
        evidence=evidence,
        other_evidence=none,
        gain=np.zeros((count, 0, 2, 2)),
        known=covariance[of_truth],
        joint=joints,
        camera=np.zeros(count, int),
        frame=np.full(count, number),
        cut=np.zeros(count, bool),
    )
    return [(found, np.full((count, 2, 2), np.nan) if axes is None else axes[joints])]


def bias_of(found: Residuals, axes: Array, skeleton: Skeleton) -> dict[str, tuple[float, float]]:
    """Where a joint of the detector is off for certain: outwards and down the body, in sizes of the person.

    The median of what residuals are along each axis, where there are enough of them and it is more than `_SURE` of its
    standard errors from 0.
    """
    scale = (axes**2).sum(-1)
    told = np.isfinite(scale)
    along = np.einsum("nkc,nc->nk", np.nan_to_num(axes), found.gap)
    size = found.size[:, None]
    # an axis that is seen end on tells nothing along it
    told &= scale > (0.3 * size) ** 2
    kinds = np.array([sideless(joint) for joint in skeleton.joints])[found.joint]
    bias: dict[str, tuple[float, float]] = {}
    for kind in dict.fromkeys(kinds.tolist()):
        values = []
        for axis in range(2):
            rows = told[:, axis] & (kinds == kind)
            part = along[rows, axis] / np.maximum(scale[rows, axis], 1e-9)
            values.append(_certain(part))
        if any(values):
            bias[kind] = (values[0], values[1])
    return bias


def _certain(values: Array) -> float:
    """The median, where it is certainly not 0."""
    if len(values) < _FEWEST:
        return 0.0
    middle = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    error = 1.2533 * spread / np.sqrt(len(values))
    return round(middle, 4) if abs(middle) > _SURE * error else 0.0
