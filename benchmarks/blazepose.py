"""BlazePose in numpy: a film or pictures in, 33 landmarks, their heat maps and visibilities out.

The two networks are those that MediaPipe ships (Bazarevsky et al. 2020, BlazePose; Apache-2.0), run by LiteRT: a
detector that finds a person's hips and the circle around them, and a landmark network that looks at that square,
turned upright. Everything around the networks stands here. Frame by frame the square comes of the landmarks of the
frame before; where the person is lost, of the detector.

    pip install ai-edge-litert numpy imageio-ffmpeg
    pip download --no-deps mediapipe==0.10.21
    python benchmarks/blazepose.py film.mp4 --models mediapipe-0.10.21-....whl --out film.npz
"""

from __future__ import annotations

import argparse
import math
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LANDMARKS", "BlazePose", "Seen", "Square", "crop", "frames_of_film", "model_files"]

Array = NDArray[Any]

#: Landmarks that are joints; six more say where the next square is.
LANDMARKS = 33
#: Places of the two networks in MediaPipe's wheel.
DETECTOR = "mediapipe/modules/pose_detection/pose_detection.tflite"
LANDMARKER = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"
#: Side of the pictures that the networks take, px, and of the heat maps.
DETECTOR_SIDE, LANDMARK_SIDE, HEAT_SIDE = 224, 256, 64
#: Cells between anchors of the detector's layers, and anchors at each place of them.
_STRIDES, _ANCHORS = (8, 16, 32), (2, 2, 6)
#: Landmarks of the hips' middle and of a point on the circle around the body.
_MIDDLE, _CIRCLE = 33, 34
#: The square is larger than the circle by this, and nobody is where scores are lower.
_LARGER, _LEAST = 1.25, 0.5
#: Cells around a landmark whose heat refines it.
_NEAR = 3


class Square(NamedTuple):
    """A turned square of a picture.

    Attributes:
        centre: ``(2,)`` px.
        side: px.
        angle: radians, clockwise in the picture; 0 is upright.
    """

    centre: Array
    side: float
    angle: float

    @property
    def axes(self) -> Array:
        """``(2, 2)``: columns are the square's x and y in the picture."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return np.array([[c, -s], [s, c]])

    def to_picture(self, places: Array) -> Array:
        """Pixels of the picture, of places ``(..., 2)`` in the square from 0 to 1."""
        return self.centre + (places - 0.5) * self.side @ self.axes.T


class Seen(NamedTuple):
    """What is seen of a person in a picture.

    Attributes:
        xy: ``(33, 2)`` px of the picture; NaN where nobody is.
        visibility: ``(33,)`` that each is seen, 0 to 1.
        heat: ``(33, 64, 64)`` 0 to 1, in the square.
        square: that the landmark network looked at.
        presence: that a person is there, 0 to 1.
    """

    xy: Array
    visibility: Array
    heat: Array
    square: Square
    presence: float


def crop(picture: Array, square: Square, side: int) -> Array:
    """``(side, side, 3)`` of a turned square, bilinear; black outside of the picture."""
    at = (np.arange(side) + 0.5) / side
    places = square.to_picture(np.stack(np.meshgrid(at, at), -1)) - 0.5
    low = np.floor(places).astype(int)
    share = (places - low)[..., None]
    padded = np.pad(picture.astype(np.float32), ((1, 1), (1, 1), (0, 0)))
    height, width = picture.shape[:2]

    def pixel(dx: int, dy: int) -> Array:
        x, y = low[..., 0] + dx + 1, low[..., 1] + dy + 1
        inside = (x >= 0) & (x < width + 2) & (y >= 0) & (y < height + 2)
        return np.where(inside[..., None], padded[y.clip(0, height + 1), x.clip(0, width + 1)], 0.0)

    x, y = share[..., 0, :], share[..., 1, :]
    return (1 - y) * ((1 - x) * pixel(0, 0) + x * pixel(1, 0)) + y * ((1 - x) * pixel(0, 1) + x * pixel(1, 1))


def _sigmoid(values: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -50.0, 50.0)))


def _anchors() -> Array:
    """``(2254, 2)`` centres of the detector's anchors, 0 to 1."""
    layers = []
    for stride, count in zip(_STRIDES, _ANCHORS, strict=True):
        at = (np.arange(DETECTOR_SIDE // stride) + 0.5) * stride / DETECTOR_SIDE
        layers.append(np.repeat(np.stack(np.meshgrid(at, at), -1).reshape(-1, 2), count, 0))
    return np.concatenate(layers)


def _upright(middle: Array, circle: Array) -> Square:
    """The square around a circle, turned so that its point is above the middle."""
    x, y = circle - middle
    return Square(middle, 2.0 * _LARGER * math.hypot(x, y), math.pi / 2 - math.atan2(-y, x))


class BlazePose:
    """The two networks, one thread.

    Args:
        detector, landmarker: contents of the .tflite files.
    """

    def __init__(self, detector: bytes, landmarker: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

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

    def detect(self, picture: Array) -> Square | None:
        """Where the surest person is; None for nobody."""
        height, width = picture.shape[:2]
        whole = Square(np.array([width / 2, height / 2]), float(max(height, width)), 0.0)
        boxes, scores = self._run(self._detector, crop(picture, whole, DETECTOR_SIDE) / 127.5 - 1.0)
        best = int(scores[:, 0].argmax())
        if _sigmoid(scores[best, 0]) < _LEAST:
            return None
        points = boxes[best, 4:].reshape(4, 2) / DETECTOR_SIDE + self._centres[best]
        middle, circle = whole.to_picture(points[:2])
        return _upright(middle, circle)

    def landmarks(self, picture: Array, square: Square) -> tuple[Seen, Square]:
        """What is seen in a square, and the square of the frame after."""
        outputs = {o.shape: o for o in self._run(self._landmarker, crop(picture, square, LANDMARK_SIDE) / 255.0)}
        numbers = outputs[(195,)].reshape(39, 5)
        heat = _sigmoid(outputs[(HEAT_SIDE, HEAT_SIDE, 39)]).transpose(2, 0, 1)
        places = np.stack([_refined(place, own) for place, own in zip(numbers[:, :2], heat, strict=True)])
        xy = square.to_picture(places / LANDMARK_SIDE)
        seen = Seen(xy[:LANDMARKS], _sigmoid(numbers[:LANDMARKS, 3]), heat[:LANDMARKS], square, float(outputs[(1,)][0]))
        return seen, _upright(xy[_MIDDLE], xy[_CIRCLE])

    def film(self, pictures: Iterable[Array]) -> Iterator[Seen]:
        """What is seen in each frame, ``(height, width, 3)`` RGB of 0 to 255."""
        square: Square | None = None
        for picture in pictures:
            known, square = square is not None, square or self.detect(picture)
            seen = None
            if square is not None:
                seen, following = self.landmarks(picture, square)
                if seen.presence < _LEAST and known and (square := self.detect(picture)) is not None:
                    seen, following = self.landmarks(picture, square)
                square = following if seen.presence >= _LEAST else None
            if seen is None or square is None:
                nobody = np.full((LANDMARKS, 2), np.nan)
                nothing = np.zeros((LANDMARKS, HEAT_SIDE, HEAT_SIDE))
                seen = Seen(nobody, np.zeros(LANDMARKS), nothing, Square(np.zeros(2), 1.0, 0.0), 0.0)
            yield seen


def _refined(place: Array, heat: Array) -> Array:
    """A landmark moved to the middle of the heat around it, where there is much (all in px of the square's picture)."""
    cell = LANDMARK_SIDE / HEAT_SIDE
    column, row = (place / cell).astype(int)
    if not (0 <= column < HEAT_SIDE and 0 <= row < HEAT_SIDE):
        return place
    rows = slice(max(0, row - _NEAR), row + _NEAR + 1)
    columns = slice(max(0, column - _NEAR), column + _NEAR + 1)
    near = heat[rows, columns]
    if near.max() < _LEAST:
        return place
    y, x = np.mgrid[: near.shape[0], : near.shape[1]]
    return cell * np.array([(near * (x + columns.start)).sum(), (near * (y + rows.start)).sum()]) / near.sum()


def frames_of_film(path: Path) -> Iterator[Array]:
    """Frames ``(height, width, 3)`` RGB of a film, one after the other, as large as it says."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    width, height = next(reader)["size"]
    for frame in reader:
        yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)


def model_files(wheel: Path) -> tuple[bytes, bytes]:
    """The detector and the landmark network, from MediaPipe's wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(DETECTOR), archive.read(LANDMARKER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--models", type=Path, required=True, help="MediaPipe's wheel")
    parser.add_argument("--out", type=Path, required=True, help=".npz")
    options = parser.parse_args()
    found = list(BlazePose(*model_files(options.models)).film(frames_of_film(options.film)))
    size = next(frames_of_film(options.film)).shape[1::-1]
    np.savez_compressed(
        options.out,
        xy=np.stack([seen.xy for seen in found]),
        visibility=np.stack([seen.visibility for seen in found]),
        heat=np.stack([seen.heat for seen in found]).astype(np.float16),
        centre=np.stack([seen.square.centre for seen in found]),
        side=np.array([seen.square.side for seen in found]),
        angle=np.array([seen.square.angle for seen in found]),
        presence=np.array([seen.presence for seen in found]),
        size=np.array(size),
    )
    print(f"{options.film}: {len(found)} frames, {sum(seen.presence >= _LEAST for seen in found)} with a person")


if __name__ == "__main__":
    main()
