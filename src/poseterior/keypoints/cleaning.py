"""From the numbers of a file to measurements: what is a place, in which unit, how sure, and who is nobody.

What format modules read (`Detections`) is raw. Here, over all people and frames of a file,

* placeholders become missing joints (`poseterior.keypoints.placeholders`);
* normalised coordinates become pixels;
* scores become confidences (`poseterior.keypoints.scores`);
* people without a visible joint are left out.

Everything that was judged is said, in one line per kind and file.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..files.checks import Array
from ..files.errors import InputError
from ..files.reading import reading
from .depths import IK
from .detections import Detections, Options
from .keypoints import MINIMUM_CONFIDENCE, PoseId
from .placeholders import KINDS, find_halfway, find_marks, find_outside, find_repeated
from .scores import JUDGED, SCALE_RULES, confidence_of, judge_scale

__all__ = ["NORMALISED", "SMALLEST_PERSON", "Group", "clean", "measured_places", "normalisation_of"]

_LOG = logging.getLogger(__name__)

#: People who are smaller than this (px) are questioned.
SMALLEST_PERSON = 8.0

#: Coordinates are normalised if half of the joints are within this of 0, and nine tenths within twice this: 1 is the
#: edge of the picture, people who are partly outside reach farther.
NORMALISED = 2.0
#: Of a picture normalised to -1 to 1 the middle is 0: this part of the coordinates is below 0 along one axis, or that
#: along both, or some far below. Of one normalised to 0 to 1 little is, of people who are partly outside.
_BELOW_ONE, _BELOW_BOTH, _FAR_BELOW = 0.4, 0.2, -0.35
#: Formats that may hold 3D points in metres as well.
_NAMELESS = ("numpy", "plain")
#: Two computed coordinates are one within this (px).
_ROUNDING = 1e-3


def clean(found: Iterable[tuple[str, Detections]], options: Options) -> list[tuple[str, Detections]]:
    """Measurements of what was read, with the paths that were asked for.

    Args:
        found: ``(path, detections)``: a path is a file or folder as the caller named it. Files of one frame in one
            folder are judged together.
        options: what the caller said.

    Returns:
        the same in the same order; people without a visible joint are left out unless ``options.keep_unseen``.

    Raises:
        InputError: normalised coordinates of pictures of unknown size, a score that is negative where it may not be.
    """
    listed = list(found)
    groups: dict[tuple[str, str], list[int]] = {}
    frames: dict[str, set[tuple[str, int]]] = {}
    for path, detections in listed:
        frames.setdefault(path, set()).update((identity.file, identity.frame) for identity in detections.ids)
    for number, (path, detections) in enumerate(listed):
        if len(detections.ids):
            together = path if len(frames[path]) > 1 else f"pictures in {Path(path).parent}"
            groups.setdefault((detections.format, together), []).append(number)
    cleaned: dict[int, Detections] = {}
    for numbers in groups.values():
        paths = list(dict.fromkeys(listed[number][0] for number in numbers))
        name = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
        with reading(paths[0][:200]):
            parts = Group(name, [listed[number][1] for number in numbers], options).cleaned()
        cleaned.update(zip(numbers, parts, strict=True))
    return [(path, cleaned.get(number, detections)) for number, (path, detections) in enumerate(listed)]


@dataclass
class Group:
    """Detections that are judged together: those of one file, clip, or folder of pictures."""

    name: str
    parts: list[Detections]
    options: Options

    def cleaned(self) -> list[Detections]:
        parts = [self._sized(part.body()) for part in self.parts]
        kinds = [_merge(find_marks(part.xy), find_repeated(part.xy, part.skeleton.joints)) for part in parts]
        normalised = self.normalisation(parts, kinds)
        if normalised is not None:
            parts = [self._in_pixels(part, normalised) for part in parts]
            self._say_normalised(parts, normalised)
        slack = 0.0 if normalised is None else _ROUNDING
        kinds = [
            _merge(found, find_outside(part.xy, _sizes(part), slack)) for found, part in zip(kinds, parts, strict=True)
        ]
        kinds = [
            _merge(found, find_halfway(part.xy, found, part.skeleton.joints))
            for found, part in zip(kinds, parts, strict=True)
        ]
        parts = self._without_placeholders(parts, kinds)
        parts = self._with_confidence(parts)
        self._question_small(parts)
        return parts if self.options.keep_unseen else self._without_nobody(parts)

    def warn(self, message: str, *arguments: object) -> None:
        _LOG.warning("%s: " + message, self.name, *arguments)

    # -- what is judged of all of them, and may be judged elsewhere -----------------------------------------

    def normalisation(self, parts: Sequence[Detections], kinds: Sequence[Array]) -> str | None:
        """How the coordinates are normalised, see `normalisation_of`."""
        return normalisation_of(parts, kinds)

    def scale(self, scores: Sequence[Array]) -> str:
        """The scale of the scores, see `judge_scale`."""
        return judge_scale(np.concatenate(scores))

    def _sized(self, part: Detections) -> Detections:
        """With the caller's picture size where the file has none."""
        if self.options.image_size is None:
            return part
        sizes = _sizes(part)
        known = np.isfinite(sizes).all(-1, keepdims=True)
        return replace(part, image_size=np.where(known, sizes, self.options.image_size))

    # -- places ------------------------------------------------------------------------------------------

    def _in_pixels(self, part: Detections, normalised: str) -> Detections:
        sizes = _sizes(part)
        unknown = ~np.isfinite(sizes).all(-1)
        if unknown.any():
            where = part.ids[int(unknown.argmax())]
            span = "0 to 1" if normalised == "unit" else "-1 to 1"
            source = "" if part.sources is None else f"{part.sources[int(unknown.argmax())]}: "
            raise InputError(
                f"{source}frame {where.frame}, person {where.person}: normalised coordinates ({span}) need the size of "
                "the image: pass --image-size WIDTH HEIGHT (image_size=(width, height) in Python)"
                + (f"; {IK}" if part.format in _NAMELESS else "")
            )
        if part.covariance is not None:
            raise InputError(
                "covariance: the coordinates are normalised, so that it is not known to be in pixels; write both in "
                "pixels"
            )
        size = sizes[:, None]
        if normalised == "unit":
            return replace(part, xy=part.xy * size)
        if normalised == "signed by axes":
            return replace(part, xy=(part.xy + 1) * size / 2)
        scale = size[..., :1] / 2
        return replace(
            part, xy=(part.xy + np.concatenate([np.ones_like(scale), size[..., 1:] / size[..., :1]], -1)) * scale
        )

    def _say_normalised(self, parts: Sequence[Detections], normalised: str) -> None:
        if all(part.normalised is not None for part in parts):
            return  # the format is known for it
        sizes = np.unique(np.concatenate([_sizes(part) for part in parts]), axis=0)
        size = f"{sizes[0, 0]:g} x {sizes[0, 1]:g} px" if len(sizes) == 1 else f"{len(sizes)} sizes"
        rule = {
            "unit": "0 to 1: x / width, y / height",
            "signed": "-1 to 1: 2 x / width - 1, 2 y / width - height / width, as VideoPose3D's",
            "signed by axes": "-1 to 1: 2 x / width - 1, 2 y / height - 1",
        }[normalised]
        self.warn("coordinates are normalised (%s); scaled with the size of the picture, %s", rule, size)

    def _without_placeholders(self, parts: list[Detections], kinds: list[Array]) -> list[Detections]:
        counts: Counter[str] = Counter()
        people = 0
        result = []
        for part, kind in zip(parts, kinds, strict=True):
            if not kind.any():
                result.append(part)
                continue
            taken = (kind > 0) & _may_be_seen(part)
            people += int(taken.any(-1).sum())
            for number, count in zip(*np.unique(kind[taken], return_counts=True), strict=True):
                counts[KINDS[int(number)]] += int(count)
            gone = kind > 0
            result.append(
                replace(
                    part,
                    xy=np.where(gone[..., None], np.nan, part.xy),
                    confidence=None if part.confidence is None else np.where(gone, 0.0, part.confidence),
                    visible=None if part.visible is None else part.visible & ~gone,
                )
            )
        self.say_placeholders(counts, people)
        return result

    def say_placeholders(self, counts: Counter[str], people: int) -> None:
        """Say how many joints of how many people are no measurements, by what they are."""
        if counts:
            total = counts.total()
            each = ", ".join(f"{count} {where}" for where, count in counts.most_common())
            what = "joint is no measurement" if total == 1 else "joints are no measurements"
            whose = "1 person" if people == 1 else f"{people} people"
            self.warn("%d %s (%s), of %s: taken as missing", total, what, each, whose)

    # -- scores ------------------------------------------------------------------------------------------

    def _with_confidence(self, parts: list[Detections]) -> list[Detections]:
        told = self.options.confidence_scale
        scale = told or next((part.scores for part in parts if part.scores != JUDGED), None)
        if scale is None:
            known = [part.confidence[np.isfinite(part.xy).all(-1)] for part in parts if part.confidence is not None]
            scale = self.scale(known) if known else "probability"
            if scale in SCALE_RULES:
                self._say_scale(scale, np.concatenate(known))
        return [self._scaled(part, scale) for part in parts]

    def _say_scale(self, scale: str, scores: Array) -> None:
        scores = scores[np.isfinite(scores) & (scores != 0)]
        looks, rule = SCALE_RULES[scale]
        self.warn(
            "scores of %.3g to %.3g look like %s, not like probabilities: %s; overrule with --confidence-scale, or set "
            "--min-confidence (confidence_scale, min_confidence in Python)",
            scores.min(), scores.max(), looks, rule,
        )  # fmt: skip

    def _scaled(self, part: Detections, scale: str) -> Detections:
        scores = part.confidence
        if scores is None:
            return part
        if scale != "logit":
            if self.options.confidence_scale is None and (scores < 0).any():
                self.warn(
                    "negative scores; if they are logits, pass --confidence-scale logit (confidence_scale in Python)"
                )
            _refuse_negative(part, scores)
        elif np.isinf(scores).any():
            scores = np.where(np.isinf(scores), np.nan, scores)
        confidence = confidence_of(scores, scale)
        least = self.options.min_confidence
        if least is None:
            return part if confidence is part.confidence else replace(part, confidence=confidence)
        there = ~np.isnan(part.xy).any(-1) if part.visible is None else part.visible
        seen = there & (confidence >= least)
        return replace(part, confidence=np.where(there & ~seen, 0.0, np.nan_to_num(confidence)), visible=seen)

    # -- people ------------------------------------------------------------------------------------------

    def _question_small(self, parts: Sequence[Detections]) -> None:
        """Say who is too small to be in pixels."""
        small: list[tuple[float, Detections, int]] = []
        for part in parts:
            seen = _is_seen(part) & np.isfinite(part.xy).all(-1)
            there = np.where(seen[..., None], part.xy, np.nan)
            rows = np.flatnonzero(seen.sum(-1) >= 3)
            if len(rows):
                size = (np.nanmax(there[rows], 1) - np.nanmin(there[rows], 1)).max(-1)
                small += [(float(s), part, int(r)) for s, r in zip(size, rows, strict=True) if s < SMALLEST_PERSON]
        if small:
            size, part, row = min(small, key=lambda item: item[0])
            self.say_small(len(small), size, part.ids[row])

    def say_small(self, people: int, size: float, where: PoseId) -> None:
        """Say that people are small, the smallest of this size (px) and place."""
        self.warn(
            "%s smaller than %g px (frame %d, person %d: %.2g px): are the coordinates in pixels of the picture?",
            "1 person is" if people == 1 else f"{people} people are",
            SMALLEST_PERSON, where.frame, where.person, size,
        )  # fmt: skip

    def _without_nobody(self, parts: list[Detections]) -> list[Detections]:
        kept: list[Array] = [np.asarray(_is_seen(part).any(-1)) for part in parts]
        total = sum(map(len, kept))
        nobody = [part.ids[row].frame for part, rows in zip(parts, kept, strict=True) for row in np.flatnonzero(~rows)]
        if not nobody:
            self.say_nobody([], 0, total)
            return parts
        self.say_nobody(sorted(set(nobody)), len(nobody), total)
        return [part if rows.all() else part.take(rows) for part, rows in zip(parts, kept, strict=True)]

    def say_nobody(self, frames: Sequence[int], people: int, total: int) -> None:
        """Say that some of all people are left out, in these frames."""
        if not people:
            return
        listed = ", ".join(map(str, frames[:5])) + (", ..." if len(frames) > 5 else "")
        self.warn(
            "%d of %d people have no visible joint and are left out (%s %s); --keep-unseen keeps them "
            "(keep_unseen=True in Python)",
            people, total, "frame" if len(frames) == 1 else "frames", listed,
        )  # fmt: skip


# -- arrays ----------------------------------------------------------------------------------------------


def _merge(first: Array, second: Array) -> Array:
    return np.where(first > 0, first, second)


def _sizes(part: Detections) -> Array:
    """``(poses, 2)`` picture sizes, NaN where unknown."""
    if part.image_size is None:
        return np.full((len(part.ids), 2), np.nan)
    return np.asarray(part.image_size, np.float64)


def _may_be_seen(part: Detections) -> Array:
    """``(poses, joints)``: joints that would be taken as measured, whatever the scale of their scores."""
    there = np.asarray(np.isfinite(part.xy).all(-1))
    if part.visible is not None:
        return there & part.visible
    return there if part.confidence is None else there & (np.nan_to_num(part.confidence) != 0)


def _is_seen(part: Detections) -> Array:
    """``(poses, joints)``: joints that are visible to `Keypoints2D`; what it will refuse counts as visible."""
    if part.visible is not None:
        return part.visible
    there = np.asarray(~np.isnan(part.xy).any(-1))
    if part.confidence is None:
        return there
    # as `Keypoints2D` compares them
    return there & ~np.isnan(part.confidence) & ~(part.confidence.astype(np.float32) < np.float32(MINIMUM_CONFIDENCE))


def _refuse_negative(part: Detections, scores: Array) -> None:
    bad = (scores < 0) & (~np.isnan(part.xy).any(-1) if part.visible is None else part.visible)
    if bad.any():
        pose, joint = np.argwhere(bad)[0]
        message = (
            f"confidence: pose {pose}, joint {part.skeleton.joints[joint]!r} has {scores[pose, joint]}; expected a "
            "finite number, not negative"
        )
        raise InputError(part.located(message))


def measured_places(parts: Sequence[Detections], kinds: Sequence[Array]) -> Array:
    """``(joints, 2)`` places of the joints that are no placeholders, of all people."""
    return np.concatenate(
        [part.xy[np.isfinite(part.xy).all(-1) & (kind == 0)] for part, kind in zip(parts, kinds, strict=True)]
    )


def normalisation_of(parts: Sequence[Detections], kinds: Sequence[Array]) -> str | None:
    """How the coordinates are normalised: None (they are pixels), "unit", "signed" or "signed by axes"."""
    known = [np.isfinite(part.xy).all(-1) & (kind == 0) for part, kind in zip(parts, kinds, strict=True)]
    places = measured_places(parts, kinds)
    if not len(places) or not np.ptp(places, 0).any():  # one point has no range
        return None
    half, most = np.quantile(np.abs(places).max(-1), [0.5, 0.9])
    if half > NORMALISED or most > 2 * NORMALISED:
        return None
    told = next((part.normalised for part in parts if part.normalised is not None), None)
    if told is not None:
        return told
    below = (places < 0).mean(0)
    far = (np.quantile(places, 0.05, axis=0) < _FAR_BELOW).any()
    if not (far or below.max() >= _BELOW_ONE or below.min() >= _BELOW_BOTH):
        return "unit"
    # 2 y / width - height / width reaches height / width: beyond it y was divided by the height
    shape = np.concatenate(
        [np.repeat(_sizes(part), len(part.skeleton), 0)[rows.ravel()] for part, rows in zip(parts, known, strict=True)]
    )
    with np.errstate(invalid="ignore"):
        beyond = np.abs(places[:, 1]) > shape[:, 1] / shape[:, 0] + 0.02
    return "signed by axes" if beyond.mean() > 0.02 else "signed"
