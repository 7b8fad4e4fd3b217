"""What a detector says in calibrated films, and how far that is from the places that the other cameras give.

Used by `detector_noise`, which says what the films are and what is measured.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import poseterior as pp
from poseterior.detect.base import Person
from poseterior.detect.covariance import Evidence
from poseterior.detect.detectors import blazepose
from poseterior.detect.models import model_bytes
from poseterior.keypoints.calibration import Camera
from real_film import frames_of

Array = NDArray[Any]
#: Every so many frames are cut.
_EVERY = 10
_SKELETON = pp.SKELETONS["mediapipe33"]
_LIMBS = [
    _SKELETON.index(f"{s}_{j}")
    for s in ("left", "right")
    for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
#: px: loss of the triangulation, agreement of the other cameras, of people in several views, and a missing view.
_LOSS, _AGREE, _SAME, _MISSING = 5.0, 20.0, 40.0, 15.0

# -- what the detector says --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saying:
    """What the detector says of one person in one picture.

    Attributes:
        xy: ``(33, 2)`` px of the whole picture.
        evidence: of the picture that it saw.
    """

    xy: Array
    evidence: Evidence


class Recorder(blazepose.BlazePose):
    """The detector, which keeps the evidence."""

    def __init__(self) -> None:
        networks = blazepose.BlazeNetworks(*model_bytes(blazepose.SOURCE, blazepose.NAME))
        super().__init__(networks, blazepose.noise_model())
        self.said: dict[Any, Saying] = {}

    def _person(self, seen: Any, picture: Array) -> Person:
        person = super()._person(seen, picture)
        size = (picture.shape[1], picture.shape[0])
        self.said[person.place] = Saying(seen.xy, blazepose.evidence_of(seen, size))
        return person

    def sayings(self, people: Iterable[Person]) -> list[Saying]:
        return [self.said[person.place] for person in people]


def watch(detector: Recorder, path: Path) -> list[list[Saying]]:
    """Everybody in every frame of a film."""
    people: list[Person] = []
    found = []
    for number, picture in enumerate(frames_of(path)):
        people = detector.detect(picture) if number % 25 == 0 else detector.follow(picture, people)
        found.append(detector.sayings(people))
    return found


def cuts(xy: Array, size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Parts of a picture (left, top, right, bottom) that leave some of a person out."""
    width, height = size
    at = {
        name: xy[[_SKELETON.index(f"{s}_{name}") for s in ("left", "right")]].mean(0)
        for name in ("hip", "knee", "shoulder")
    }
    chest = (at["shoulder"] + at["hip"]) / 2
    for line in (
        1.02 * at["hip"][1] - 0.02 * at["shoulder"][1],
        (at["hip"][1] + at["knee"][1]) / 2,
        at["knee"][1],
        chest[1],
    ):
        yield 0, 0, width, int(line)
    yield 0, 0, int(chest[0]), height
    yield int(chest[0]), 0, width, height


def watch_cut(detector: Recorder, path: Path, people: Mapping[int, Saying]) -> list[tuple[int, Saying]]:
    """Frame, and what the detector says of a person in cut pictures; nobody is left out of them who is not seen."""
    found = []
    for number, picture in enumerate(frames_of(path)):
        if number % _EVERY or number not in people:
            continue
        xy = people[number].xy
        for left, top, right, bottom in cuts(xy, (picture.shape[1], picture.shape[0])):
            part = np.ascontiguousarray(picture[top:bottom, left:right])
            if min(part.shape[:2]) < 50:
                continue
            said = [
                dataclasses.replace(one, xy=one.xy + np.array([left, top]))
                for one in detector.sayings(detector.detect(part))
            ]
            inside = (xy >= [left, top]).all(-1) & (xy < [right, bottom]).all(-1)
            if not said or inside.sum() < 5:
                continue
            gaps = [float(np.median(np.linalg.norm(one.xy - xy, axis=-1)[inside])) for one in said]
            best = int(np.argmin(gaps))
            if gaps[best] < 0.1 * people[number].evidence.side:
                found.append((number, said[best]))
    return found


# -- cameras -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Geometry:
    """Cameras as arrays, one row each."""

    names: list[str]
    rotation: Array
    translation: Array
    focal: Array
    middle: Array

    @classmethod
    def of(cls, cameras: Mapping[str, Camera]) -> Geometry:
        values = list(cameras.values())
        lens = np.array([c.intrinsics for c in values])
        places = np.array([c.rotation for c in values]), np.array([c.translation for c in values])
        return cls(list(cameras), *places, lens[:, :2], lens[:, 2:])

    def project(self, points: Array) -> tuple[Array, Array]:
        """``(V, n, 2)`` px and their derivatives ``(V, n, 2, 3)`` by the points ``(n, 3)``."""
        local = np.einsum("vij,nj->vni", self.rotation, points) + self.translation[:, None]
        depth = local[..., 2:]
        plane = local[..., :2] / depth
        pixels = plane * self.focal[:, None] + self.middle[:, None]
        rows = (self.rotation[:, None, :2] - plane[..., None] * self.rotation[:, None, 2:]) / depth[..., None]
        return pixels, rows * self.focal[:, None, :, None]

    def triangulate(self, xy: Array, use: Array, rounds: int = 15) -> tuple[Array, Array]:
        """Points ``(n, 3)`` of pixels ``(V, n, 2)``, and the weights ``(V, n)`` of the views, 0 where not used."""
        plane = (xy - self.middle[:, None]) / self.focal[:, None]
        matrix = plane[..., None] * self.rotation[:, None, 2:] - self.rotation[:, None, :2]
        right = self.translation[:, None, :2] - plane * self.translation[:, None, 2:]
        weight = use.astype(float)
        for _ in range(rounds):
            normal = np.einsum("vn,vnki,vnkj->nij", weight, matrix, matrix) + 1e-12 * np.eye(3)
            points = np.linalg.solve(normal, np.einsum("vn,vnki,vnk->ni", weight, matrix, right)[..., None])[..., 0]
            gap = np.linalg.norm(xy - self.project(points)[0], axis=-1)
            depth = np.einsum("vj,nj->vn", self.rotation[:, 2], points) + self.translation[:, 2:]
            weight = use / (1 + (gap / _LOSS) ** 2) / np.maximum(depth, 0.5) ** 2
        return points, use / (1 + (gap / _LOSS) ** 2)


def undistorted(camera: Camera, xy: Array) -> Array:
    """``(n, 2)`` px as without the lens's distortion; NaN where there is no such place."""
    points = torch.from_numpy(xy).float()[None]
    spread = torch.ones(points.shape[:-1])
    seen = pp.Keypoints2D(points, spread, None, None, _SKELETON)
    straight = camera.undistorted(seen)
    return torch.where(straight.visible[0, :, None], straight.xy[0].double(), float("nan")).numpy()


# -- who is who --------------------------------------------------------------------------------------------------------


def matched(views: Sequence[Sequence[Array]], geometry: Geometry) -> list[list[int | None]]:
    """For each person that several views see, the number of the person in each view; greedily, the best fit first.

    Args:
        views: for each camera the ``(33, 2)`` straight px of everybody.
    """
    choices = [[*range(len(people)), None] for people in views]
    sets = [c for c in itertools.product(*choices) if sum(number is not None for number in c) >= 3]
    if not sets:
        return []
    limbs = len(_LIMBS)
    xy = np.zeros((len(views), len(sets), limbs, 2))
    use = np.zeros((len(views), len(sets)), bool)
    for row, chosen in enumerate(sets):
        for view, number in enumerate(chosen):
            if number is not None:
                xy[view, row], use[view, row] = views[view][number][_LIMBS], True
    flat, each = xy.reshape(len(views), -1, 2), np.repeat(use, limbs, 1)
    points, _ = geometry.triangulate(flat, each, rounds=2)
    gap = np.linalg.norm(flat - geometry.project(points)[0], axis=-1).reshape(xy.shape[:-1])
    cost = np.nanmedian(np.where(use[..., None], gap, np.nan).transpose(1, 0, 2).reshape(len(sets), -1), 1)
    cost = cost + _MISSING * (~use).sum(0)
    found: list[list[int | None]] = []
    for row in np.argsort(cost):
        chosen = sets[row]
        taken = any(
            number is not None and number == other[view] for other in found for view, number in enumerate(chosen)
        )
        if cost[row] < _SAME and not taken:
            found.append(list(chosen))
    return found


# -- residuals ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Residuals:
    """Keypoints against the places that the other cameras give them; one row each.

    Attributes:
        gap: ``(n, 2)`` px.
        slope: ``(n, 2, 3)`` of the pixel by the place.
        other_slopes: ``(n, 3, 2, 3)`` of the other cameras; other_weights: ``(n, 3)`` what they counted.
        evidence: of the keypoint, ``(n,)``; other_evidence: ``(n, 3)`` of the other cameras'.
        joint, camera, frame: ``(n,)``.
        cut: ``(n,)`` of a picture that was cut.
    """

    gap: Array
    slope: Array
    other_slopes: Array
    other_weights: Array
    evidence: Evidence
    other_evidence: Evidence
    joint: Array
    camera: Array
    frame: Array
    cut: Array

    def take(self, rows: Array) -> Residuals:
        def part(value: Any) -> Any:
            if isinstance(value, Evidence):
                return Evidence(*(getattr(value, field.name)[rows] for field in dataclasses.fields(Evidence)))
            return value[rows]

        return Residuals(*(part(getattr(self, field.name)) for field in dataclasses.fields(self)))


def _stacked(parts: Sequence[Evidence]) -> Evidence:
    values = ([getattr(part, field.name) for part in parts] for field in dataclasses.fields(Evidence))
    return Evidence(*(np.stack(value) for value in values))


def _joint_rows(evidence: Evidence) -> Evidence:
    """One person's evidence with the side told for each joint."""
    return dataclasses.replace(evidence, side=np.full(evidence.peak.shape, evidence.side))


def residuals_of(
    person: Sequence[Saying | None],
    geometry: Geometry,
    cameras: Mapping[str, Camera],
    frame: int,
    instead: tuple[int, Saying] | None = None,
) -> list[dict[str, Any]]:
    """Residuals of one person in one frame, for each camera and joint.

    Args:
        person: what is said in each camera.
        instead: a camera's number and what is said of a cut picture of it; then of this alone.
    """
    values = list(cameras.values())
    shown = np.array([said is not None for said in person])
    straight = np.stack(
        [np.zeros((33, 2)) if said is None else undistorted(values[v], said.xy) for v, said in enumerate(person)]
    )
    rows = []
    for view in [instead[0]] if instead else np.flatnonzero(shown):
        others = [v for v in range(len(person)) if v != view]
        if shown[others].sum() < len(others) or not shown[view]:
            continue
        use = np.zeros((len(person), 33), bool)
        use[others] = np.isfinite(straight[others]).all(-1)
        points, weights = geometry.triangulate(np.nan_to_num(straight), use)
        pixels, slopes = geometry.project(points)
        agree = (np.linalg.norm(straight - pixels, axis=-1)[others] < _AGREE).all(0)
        said = instead[1] if instead else person[view]
        at = undistorted(values[view], said.xy)
        agree &= np.isfinite(at).all(-1)
        own, rest = _joint_rows(said.evidence), [_joint_rows(person[v].evidence) for v in others]
        for joint in np.flatnonzero(agree):
            rows.append(
                {
                    "gap": at[joint] - pixels[view, joint], "slope": slopes[view, joint],
                    "other_slopes": slopes[others, joint], "other_weights": weights[others, joint],
                    "evidence": _at(own, joint), "other_evidence": _stacked([_at(one, joint) for one in rest]),
                    "joint": joint, "camera": view, "frame": frame, "cut": instead is not None,
                }
            )  # fmt: skip
    return rows


def _at(evidence: Evidence, joint: int) -> Evidence:
    return Evidence(*(getattr(evidence, field.name)[joint] for field in dataclasses.fields(Evidence)))


def gathered(rows: Sequence[dict[str, Any]]) -> Residuals:
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    return Residuals(
        **{name: _stacked(v) if isinstance(v[0], Evidence) else np.array(v) for name, v in columns.items()}
    )
