"""Residuals of films of several calibrated cameras: each keypoint against the place that the other cameras give it.

A place is that of robust triangulation of the *other* cameras' keypoints, and counts where these agree. It is as
uncertain as these are, by the same law. What a detector gets wrong alike in all views (where a hip is) shows nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ...files.films import frames_of_film, read_film
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D, PoseId
from ...keypoints.calibration import Camera
from ..base import Array, Detector, Person
from ..covariance import Evidence
from ..noise import evidence_of
from .cameras import Turned, turned
from .geometry import Geometry, matched, undistorted
from .residuals import Residuals, joined
from .said import Said, taken

__all__ = ["Group", "groups_of", "residuals_of", "turned_to", "watch", "watch_cut"]

#: Frames after which everybody is looked for anew, and of which one is cut.
_ANEW, _EVERY = 25, 10
#: px to which the other cameras have to agree; cameras that have to see a joint.
_AGREE, _FEWEST = 20.0, 2
#: Share of the square's side to which what is said of a cut picture is of the same person; joints that it has to hold.
_SAME, _JOINTS = 0.1, 5
#: Pictures of fewer px show nobody.
_SMALLEST = 50

#: Frame, and the row of one person in each camera (None: not seen).
Group = tuple[int, tuple[int | None, ...]]


def watch(detector: Detector, film: Path, advance: Callable[[], object] = lambda: None) -> Said:
    """Everybody in every frame of a film."""
    people: list[Person] = []
    found: list[tuple[int, Person]] = []
    with closing(frames_of_film(read_film(film))) as pictures:
        for number, picture in pictures:
            people = detector.detect(picture) if number % _ANEW == 0 else detector.follow(picture, people)
            found += [(number, person) for person in people]
            advance()
    return Said.of(found, detector.skeleton)


def watch_cut(detector: Detector, film: Path, people: Said) -> Said:
    """What the detector says of people in cut pictures: at the hips, the knees, the chest, and through the body.

    Args:
        detector: finds people.
        film: as it was filmed.
        people: of whole pictures, at most one in each; others are not cut.
    """
    found: list[tuple[int, Person]] = []
    at = {int(frame): row for row, frame in enumerate(people.frame)}
    with closing(frames_of_film(read_film(film))) as pictures:
        for number, picture in pictures:
            if number % _EVERY or number not in at:
                continue
            xy, side = people.xy[at[number]], float(people.evidence.side[at[number], 0])
            for left, top, right, bottom in _cuts(xy, detector.skeleton, (picture.shape[1], picture.shape[0])):
                part = np.ascontiguousarray(picture[top:bottom, left:right])
                if min(part.shape[:2]) < _SMALLEST:
                    continue
                inside = np.isfinite(xy).all(-1) & (xy >= [left, top]).all(-1) & (xy < [right, bottom]).all(-1)
                moved = [_moved(person, left, top) for person in detector.detect(part)]
                gaps = [_apart(person, xy, inside) for person in moved]
                if gaps and inside.sum() >= _JOINTS and min(gaps) < _SAME * side:
                    found.append((number, moved[int(np.argmin(gaps))]))
    return Said.of(found, detector.skeleton)


def _apart(person: Person, xy: Array, inside: Array) -> float:
    both = inside & person.keypoints.visible.numpy()
    return (
        float(np.median(np.linalg.norm(person.keypoints.xy.numpy()[both] - xy[both], axis=-1))) if both.any() else 1e9
    )


def _moved(person: Person, left: int, top: int) -> Person:
    """Somebody of a part of a picture, with the whole picture's pixels."""
    keypoints = person.keypoints
    shift = torch.tensor([float(left), float(top)])
    return replace(person, keypoints=keypoints._replace(xy=keypoints.xy + shift), evidence=evidence_of(person))


def _cuts(xy: Array, skeleton: Skeleton, size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Parts of a picture (left, top, right, bottom) that leave some of a person out."""
    width, height = size
    names = [f"{side}_{joint}" for joint in ("shoulder", "hip", "knee") for side in ("left", "right")]
    if not set(names) <= set(skeleton.joints):
        return
    pairs = xy[[skeleton.index(name) for name in names]].reshape(3, 2, 2).mean(1)
    if not np.isfinite(pairs).all():
        return
    shoulder, hip, knee = pairs
    chest = (shoulder + hip) / 2
    for line in (1.02 * hip[1] - 0.02 * shoulder[1], (hip[1] + knee[1]) / 2, knee[1], chest[1]):
        yield 0, 0, width, int(np.clip(line, 0, height))
    middle = int(np.clip(chest[0], 0, width))
    yield 0, 0, middle, height
    yield middle, 0, width, height


def groups_of(said: Mapping[str, Said], cameras: Mapping[str, Camera], skeleton: Skeleton) -> list[Group]:
    """One person's rows in each camera, for everybody that three cameras see."""
    geometry, found = Geometry.of(cameras), []
    straight = {name: undistorted(cameras[name], said[name].xy, skeleton) for name in cameras}
    frames = sorted(set().union(*(said[name].frame.tolist() for name in cameras)))
    for frame in frames:
        rows = [np.flatnonzero(said[name].frame == frame) for name in cameras]
        for chosen in matched([straight[name][own] for name, own in zip(cameras, rows, strict=True)], geometry):
            picked = (None if n is None else int(own[n]) for n, own in zip(chosen, rows, strict=True))
            found.append((int(frame), tuple(picked)))
    return found


def turned_to(
    said: Mapping[str, Said], groups: Sequence[Group], cameras: Mapping[str, Camera], skeleton: Skeleton, half: int
) -> Turned:
    """The cameras, turned to what is said before frame ``half``."""
    firsts = {frame: rows for frame, rows in reversed(groups) if frame < half and None not in rows}
    views = {}
    for number, name in enumerate(cameras):
        own = np.array([rows[number] for rows in firsts.values()], dtype=int)
        xy = torch.from_numpy(said[name].xy[own]).float()
        sure = torch.from_numpy(said[name].evidence.visibility[own] >= 0.5)
        ids = [PoseId(name, frame, 0) for frame in range(len(own))]
        shown = sure & xy.isfinite().all(-1)
        views[name] = Keypoints2D(xy, torch.ones(xy.shape[:-1]), shown, None, skeleton, ids=ids)
    return turned(cameras, views)


def residuals_of(
    said: Mapping[str, Said],
    groups: Sequence[Group],
    cameras: Mapping[str, Camera],
    skeleton: Skeleton,
    instead: Mapping[str, Said] | None = None,
) -> Residuals | None:
    """Residuals of people, for each camera and joint; None where there are none.

    Args:
        said: in each camera.
        groups: who is who.
        cameras: calibrated.
        skeleton: of what is said.
        instead: what is said of cut pictures, in place of what is held against the others.
    """
    geometry, names = Geometry.of(cameras), list(cameras)
    parts: list[Residuals] = []
    straight = {name: undistorted(cameras[name], said[name].xy, skeleton) for name in names}
    cut = {} if instead is None else {n: undistorted(cameras[n], instead[n].xy, skeleton) for n in names}
    for frame, rows in groups:
        xy = np.full((len(names), len(skeleton), 2), np.nan)
        for view, (name, row) in enumerate(zip(names, rows, strict=True)):
            if row is not None:
                xy[view] = straight[name][row]
        for view, (name, row) in enumerate(zip(names, rows, strict=True)):
            others = [other for other in range(len(names)) if other != view and rows[other] is not None]
            if len(others) < len(names) - 1 or row is None:
                continue
            place = _Place.of(geometry, xy, view, others)
            rest = [taken(said[names[other]].evidence, (int(rows[other] or 0),)) for other in others]
            if instead is None:
                own = [(xy[view], said[name], row)]
            else:
                own = [(cut[name][r], instead[name], int(r)) for r in np.flatnonzero(instead[name].frame == frame)]
            for at, source, number in own:
                found = _of_one(place, at, source, number, rest, view, frame, instead is not None)
                parts += [found] if found is not None else []
    if not parts:
        return None
    return joined(parts)


class _Place:
    """Where the other cameras see joints: px, whether they agree, and how a pixel of theirs moves it."""

    def __init__(self, pixels: Array, agree: Array, gain: Array) -> None:
        self.pixels, self.agree, self.gain = pixels, agree, gain

    @classmethod
    def of(cls, geometry: Geometry, xy: Array, view: int, others: list[int]) -> _Place:
        use = np.zeros(xy.shape[:2], bool)
        use[others] = np.isfinite(xy[others]).all(-1)
        enough = use.sum(0) >= max(_FEWEST, len(others))
        use &= enough
        points, weights = geometry.triangulate(np.nan_to_num(xy), use)
        pixels, slopes = geometry.project(points)
        off = np.where(use, np.linalg.norm(np.nan_to_num(xy) - pixels, axis=-1), 0.0)
        agree = enough & (off < _AGREE).all(0) & np.isfinite(points).all(-1)
        weight = weights[others].T[..., None, None]  # (joints, m, 1, 1)
        rest = slopes[others].swapaxes(0, 1)  # (joints, m, 2, 3)
        normal = (weight * rest.swapaxes(-1, -2) @ rest).sum(1)
        normal = np.where(agree[:, None, None], normal, np.eye(3))
        gain = slopes[view][:, None] @ np.linalg.solve(normal[:, None], weight * rest.swapaxes(-1, -2))
        return cls(pixels[view], agree, gain)


def _of_one(
    place: _Place, at: Array, said: Said, row: int, rest: Sequence[Evidence], view: int, frame: int, cut: bool
) -> Residuals | None:
    """Residuals of one person's joints in one camera."""
    joints = np.flatnonzero(place.agree & np.isfinite(at).all(-1))
    if not len(joints):
        return None
    columns = zip(*(vars(one).values() for one in rest), strict=True)
    other = Evidence(*(np.stack(column, 1) for column in columns))
    count = len(joints)
    return Residuals(
        gap=(at - place.pixels)[joints],
        size=np.full(count, said.size[row]),
        evidence=taken(taken(said.evidence, (row,)), (joints,)),
        other_evidence=taken(other, (joints,)),
        gain=place.gain[joints],
        known=np.zeros((count, 2, 2)),
        joint=joints,
        camera=np.full(count, view),
        frame=np.full(count, frame),
        cut=np.full(count, cut),
    )
