"""The photograph, or the frames of a film, cut out around each person, as JPEG in text."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.films import FilmFrames
from ...results.poses import LiftResult
from ..photos import Photos, film_of, keypoint_box, read_photo
from ..tracks import Track

__all__ = ["body_points", "crop_boxes", "jpeg", "pictures_of"]

#: Around the keypoints, as a share of the person's size.
_MARGIN = 0.16
#: A person who stays within this many times the own size is seen through a window that stands still.
_STILL = 1.4
#: Frames over which a window that follows a person is evened out.
_EVEN = 9
#: Pixels of the longer side, and quality, of a photograph alone, of one of many, of a film's frame.
_ALONE, _MANY, _FRAME = (1000, 84), (640, 80), (400, 64)
_FEW = 3


def body_points(
    keypoints: Float[NDArray[np.floating], "poses joints 2"], mean: Float[NDArray[np.floating], "poses joints 3"]
) -> Float[NDArray[np.float64], "poses joints 2"]:
    """Keypoints (px), and where a joint is not seen, about where the mean pose has it, so that no head is cut off.

    A mean pose lies over its keypoints by a scale and a shift. What is guessed does not leave the seen joints' box by
    more than its own size; where fewer than three joints are seen, or they lie on each other, nothing is guessed.
    """
    points = np.array(keypoints, np.float64)
    for pose, body in zip(points, np.asarray(mean, np.float64)[..., :2], strict=True):
        seen = np.isfinite(pose).all(-1)
        if seen.all() or seen.sum() < 3:
            continue
        flat, target = body[seen] - body[seen].mean(0), pose[seen] - pose[seen].mean(0)
        scale = float((flat * target).sum()) / max(float((flat * flat).sum()), 1e-12)
        if not 0.0 < scale < 1e6:
            continue
        low, high = pose[seen].min(0), pose[seen].max(0)
        size = (high - low).max()
        guessed = (body[~seen] - body[seen].mean(0)) * scale + pose[seen].mean(0)
        pose[~seen] = np.clip(guessed, low - size, high + size)
    return points


def crop_boxes(
    keypoints: Float[NDArray[np.floating], "poses joints 2"], shape: tuple[int, ...] | None = None
) -> Float[NDArray[np.float64], "poses 4"]:
    """Left, top, right and bottom (px) of the part of the picture to show at each pose, all of one size.

    It stands still where the person stays about there, and follows the person otherwise.

    Args:
        keypoints: px; NaN where a joint is not seen.
        shape: (height, width) of the picture, which the boxes do not leave where there is room in it.
    """
    points = np.asarray(keypoints, np.float64)
    low, high = keypoint_box(points, None, _MARGIN)
    seen = np.isfinite(points).all(-1).any(-1)
    own = np.asarray([np.concatenate(keypoint_box(pose, None, _MARGIN)) for pose in points[seen]]).reshape(-1, 4)
    size = (own[:, 2:] - own[:, :2]).max(0) if len(own) else high - low
    if len(own) < 2 or ((high - low) <= _STILL * size.max()).all():
        boxes = np.tile(np.concatenate([low, high]), (len(points), 1))
    else:
        middle = (own[:, :2] + own[:, 2:]) / 2
        # no more than leaves the person in the window
        slack = (size - (own[:, 2:] - own[:, :2])) / 2 + _MARGIN / 4 * size
        middle = np.clip(_evened(middle), middle - slack, middle + slack)
        at = np.arange(len(points))
        middle = np.stack([np.interp(at, at[seen], middle[:, i]) for i in (0, 1)], -1)
        boxes = np.concatenate([middle - size / 2, middle + size / 2], -1)
    return boxes if shape is None else _inside(boxes, shape)


def _evened(path: np.ndarray) -> np.ndarray:
    """A running mean, shorter towards the ends."""
    half = _EVEN // 2
    return np.asarray([path[max(i - half, 0) : i + half + 1].mean(0) for i in range(len(path))])


def _inside(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Boxes moved, and where they are too large cut, to lie in the picture; as they are where nothing would be left."""
    room = np.asarray([shape[1], shape[0]], np.float64)
    low, high = boxes[:, :2], boxes[:, 2:]
    size = np.minimum(high - low, room)
    start = np.clip((low + high - size) / 2, 0.0, room - size)
    moved = np.concatenate([start, start + size], -1)
    apart = ((high <= 0.0) | (low >= room)).any(-1, keepdims=True)
    return np.where(apart, boxes, moved)


def jpeg(picture: NDArray[np.uint8], box: Sequence[float], side: int, quality: int) -> tuple[list[float], bytes] | None:
    """The part of a picture inside a box: its exact corners (px) and the file; None where nothing is inside."""
    from PIL import Image

    left, top = (max(int(np.floor(v)), 0) for v in box[:2])
    right, bottom = (int(np.ceil(v)) for v in box[2:])
    part = picture[top:bottom, left:right]
    if not part.size:
        return None
    image = Image.fromarray(np.ascontiguousarray(part))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return [float(left), float(top), float(left + part.shape[1]), float(top + part.shape[0])], file.getvalue()


def pictures_of(
    result: LiftResult,
    tracks: Sequence[Track],
    frames: Sequence[int],
    photos: Photos,
    budget: int,
) -> list[dict[str, Any]]:
    """What lies under each track's keypoints.

    Args:
        frames: the frame number of each step.
        photos: see `poseterior.view.photos.read_photo` and `film_of`.
        budget: bytes of text for the frames of films; they are thinned evenly to fit.

    Returns:
        For each track ``images``, a list of ``step``, ``box`` (corners in px) and ``src`` (a data URI) in the order of
        the steps, empty where there is no picture; and ``box``, what is shown then, ``boxes`` for each pose of who does
        not stay there.
    """
    found: list[dict[str, Any]] = []
    for track in tracks:
        rows = _rows(track, frames)
        photo = None if film_of(photos, track.file) else read_photo(photos, track.file)
        boxes = crop_boxes(_points(result, list(rows.values())), None if photo is None else photo.shape)
        whole = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        entry: dict[str, Any] = {"box": whole.round(1).tolist(), "images": [], "boxes": None}
        if photo is None and len(boxes) > 1 and np.ptp(boxes, axis=0).max() > 0:
            entry["boxes"] = boxes.round(1).tolist()
        if photo is not None:
            side, quality = _ALONE if len(tracks) <= _FEW else _MANY
            part = jpeg(photo, entry["box"], side, quality)
            entry["images"] = [] if part is None else [_image(0, part)]
        found.append(entry)
    for file in dict.fromkeys(track.file for track in tracks):
        film = film_of(photos, file)
        if film is not None:
            theirs = [i for i, track in enumerate(tracks) if track.file == file]
            _of_film(result, {i: tracks[i] for i in theirs}, frames, film, budget * len(theirs) // len(tracks), found)
    return found


def _points(result: LiftResult, rows: list[int]) -> np.ndarray:
    keypoints = np.where(result.visible[rows][..., None], result.keypoints[rows], np.nan)
    return keypoints if result.in_world else body_points(keypoints, result.mean[rows])


def _rows(track: Track, frames: Sequence[int]) -> dict[int, int]:
    """Step -> pose, of the steps at which the track is there; of a still one its first."""
    rows = {step: row for step, frame in enumerate(frames) if (row := track.at(frame)) is not None}
    return dict(list(rows.items())[:1]) if track.still else rows


def _of_film(
    result: LiftResult, tracks: Mapping[int, Track], frames: Sequence[int], film: Path, budget: int,
    found: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Add a film's frames to what was found, one reading for everybody in it."""
    with closing(FilmFrames(film)) as reader:
        width, height = reader.film.shown
        made = dict(_cut(result, tracks, frames, reader, (height, width)))
    sizes = {step: sum(4 * len(part[1]) // 3 for part in parts.values()) for step, parts in made.items()}
    every = 1
    while every < max(len(made), 1) and sum(list(sizes.values())[::every]) > budget:
        every += 1
    for step in list(made)[::every]:
        for i, part in made[step].items():
            found[i]["images"].append(_image(step, part))


def _cut(
    result: LiftResult, tracks: Mapping[int, Track], frames: Sequence[int], reader: FilmFrames, shape: tuple[int, int]
) -> Iterator[tuple[int, dict[int, tuple[list[float], bytes]]]]:
    """Step by step the parts of the film's frame around each track that is there."""
    rows = {i: _rows(track, frames) for i, track in tracks.items()}
    boxes = {
        i: dict(zip(steps, crop_boxes(_points(result, list(steps.values())), shape).tolist(), strict=True))
        for i, steps in rows.items()
    }
    for step in sorted({step for steps in rows.values() for step in steps}):
        there = [i for i in rows if step in rows[i]]
        picture = reader.at(int(result.frame[rows[there[0]][step]]))
        if picture is None:
            continue
        parts = {i: part for i in there if (part := jpeg(picture, boxes[i][step], *_FRAME)) is not None}
        if parts:
            yield step, parts


def _image(step: int, part: tuple[list[float], bytes]) -> dict[str, Any]:
    return {"step": step, "box": part[0], "src": "data:image/jpeg;base64," + base64.b64encode(part[1]).decode()}
