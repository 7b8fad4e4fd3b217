"""The two networks of BlazePose (Bazarevsky et al. 2020), as MediaPipe ships and uses them, around LiteRT.

One finds faces and, with each, the middle of the hips and a point of the circle around the whole body; the other looks
at that circle's square, turned upright, and finds 33 landmarks, their heat maps, and where the square of the next frame
is. Sizes, thresholds and the refinement of landmarks by their heat maps are MediaPipe's (0.10.21, Apache-2.0), so that
the landmarks are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..files.extras import need
from .base import Array
from .boxes import weighted_suppression
from .squares import Square, crop, upright

__all__ = ["LANDMARKS", "BlazeNetworks", "Candidate", "Seen", "without_notices"]

#: Landmarks that are joints; six more say where the next square is.
LANDMARKS = 33
#: Side of the pictures that the networks take, px, and of the heat maps.
DETECTOR_SIDE, LANDMARK_SIDE, HEAT_SIDE = 224, 256, 64
#: Cells between anchors of the detector's layers, and anchors at each place of them.
_STRIDES, _ANCHORS = (8, 16, 32), (2, 2, 6)
#: Landmarks of the hips' middle and of a point on the circle around the body.
_MIDDLE, _CIRCLE = 33, 34
#: The square is larger than the circle by this.
_LARGER = 1.25
#: Scores of candidates and heat below this count for nothing; faces that overlap by more are one.
_LEAST, _OVERLAP = 0.5, 0.3
#: Cells around a landmark whose heat refines it.
_NEAR = 3
#: How lines begin in which LiteRT tells what it does.
_NOTICES = (b"INFO:", b"VERBOSE:")


class Candidate(NamedTuple):
    """Where a person may be: a square to look at, and how sure the detector is, 0 to 1."""

    square: Square
    score: float


class Seen(NamedTuple):
    """What is seen of a person in a square.

    Attributes:
        xy: ``(33, 2)`` px of the picture.
        visibility: ``(33,)`` that each is not hidden, 0 to 1.
        presence: ``(33,)`` that each is inside of the square's picture, 0 to 1.
        heat: ``(33, 64, 64)``, 0 to 1, in the square.
        square: that the landmark network looked at.
        following: where it would look in the next frame.
        score: that a person is there, 0 to 1.
    """

    xy: Array
    visibility: Array
    presence: Array
    heat: Array
    square: Square
    following: Square
    score: float


def _sigmoid(values: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -50.0, 50.0)))


@contextmanager
def without_notices() -> Iterator[None]:
    """Keeps LiteRT from telling the terminal what it does; what else is written to standard error is passed on.

    It writes past Python, to the process's own standard error.
    """
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as said:
        try:
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            rest = [line for line in said if not line.startswith(_NOTICES)]
            if rest:
                os.write(2, b"".join(rest))


def _anchors() -> Array:
    """``(2254, 2)`` centres of the detector's anchors, 0 to 1."""
    layers = []
    for stride, count in zip(_STRIDES, _ANCHORS, strict=True):
        at = (np.arange(DETECTOR_SIDE // stride) + 0.5) * stride / DETECTOR_SIDE
        layers.append(np.repeat(np.stack(np.meshgrid(at, at), -1).reshape(-1, 2), count, 0))
    return np.concatenate(layers)


class BlazeNetworks:
    """The two networks, one thread each.

    Args:
        detector, landmarker: contents of the .tflite files.

    Raises:
        InputError: LiteRT is not installed.
    """

    def __init__(self, detector: bytes, landmarker: bytes) -> None:
        need("images", "ai_edge_litert", "detector 'blazepose'")
        from ai_edge_litert.interpreter import Interpreter

        with without_notices():
            self._detector = Interpreter(model_content=detector, num_threads=1)
            self._landmarker = Interpreter(model_content=landmarker, num_threads=1)
            for network in (self._detector, self._landmarker):
                network.allocate_tensors()
        self._centres = _anchors()

    @staticmethod
    def _run(network: Any, picture: Array) -> list[Array]:
        network.set_tensor(network.get_input_details()[0]["index"], picture[None].astype(np.float32))
        network.invoke()
        return [network.get_tensor(output["index"])[0] for output in network.get_output_details()]

    def candidates(self, picture: Array, where: Square) -> list[Candidate]:
        """Where people may be in an upright square of a picture, the surest first."""
        looked_at = crop(picture, where, DETECTOR_SIDE, beyond="black")
        raw, logits = self._run(self._detector, looked_at / 127.5 - 1.0)
        scores = _sigmoid(logits[:, 0])
        sure = np.flatnonzero(scores >= _LEAST)
        numbers, centres = raw[sure] / DETECTOR_SIDE, self._centres[sure]
        middle, half = numbers[:, :2] + centres, numbers[:, 2:4] / 2
        boxes = np.concatenate([middle - half, middle + half], -1)
        points = (numbers[:, 4:].reshape(-1, 4, 2) + centres[:, None]).reshape(-1, 8)
        merged, kept = weighted_suppression(boxes, scores[sure], points, _OVERLAP)
        found = []
        for row, score in zip(merged, kept, strict=True):
            hips, circle = where.to_picture(row.reshape(4, 2)[:2])
            found.append(Candidate(upright(hips, circle, _LARGER), float(score)))
        return found

    def landmarks(self, picture: Array, square: Square) -> Seen:
        """What is seen in a square."""
        looked_at = crop(picture, square, LANDMARK_SIDE)
        outputs = {output.shape: output for output in self._run(self._landmarker, looked_at / 255.0)}
        numbers = outputs[(195,)].reshape(39, 5)
        heat = _sigmoid(outputs[(HEAT_SIDE, HEAT_SIDE, 39)]).transpose(2, 0, 1)
        xy = square.to_picture(_refined(numbers[:, :2], heat) / LANDMARK_SIDE)
        visibility, presence = _sigmoid(numbers[:LANDMARKS, 3:5]).T
        following = upright(xy[_MIDDLE], xy[_CIRCLE], _LARGER)
        score = float(outputs[(1,)][0])
        return Seen(xy[:LANDMARKS], visibility, presence, heat[:LANDMARKS], square, following, score)


def _refined(places: Array, heat: Array) -> Array:
    """Landmarks moved to the middle of the heat around them, where there is much.

    Args:
        places: ``(n, 2)`` px of the square's picture.
        heat: ``(n, 64, 64)``.
    """
    cell = LANDMARK_SIDE / HEAT_SIDE
    columns, rows = np.floor(places / cell).astype(int).T
    inside = (columns >= 0) & (columns < HEAT_SIDE) & (rows >= 0) & (rows < HEAT_SIDE)
    reach = np.arange(-_NEAR, _NEAR + 1)
    padded = np.pad(heat, ((0, 0), (_NEAR, _NEAR), (_NEAR, _NEAR)))
    y, x = (part.clip(0, HEAT_SIDE - 1)[:, None] + reach for part in (rows, columns))
    near = padded[np.arange(len(heat))[:, None, None], y[:, :, None] + _NEAR, x[:, None, :] + _NEAR]
    total = near.sum((1, 2))
    much = inside & (near.max((1, 2)) >= _LEAST)
    total = np.where(much, total, 1.0)
    middle = np.stack([(near.sum(1) * x).sum(1), (near.sum(2) * y).sum(1)], -1) / total[:, None]
    return np.where(much[:, None], cell * middle, places)
