"""BlazePose, as in MediaPipe: 33 landmarks of several people, their covariances from heat maps.

MediaPipe finds one person in a picture; here the finder of people looks several times (at the picture, from further
away, and at parts of it), and what it proposes has to be confirmed by the landmark network. In a film people are looked
for where they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from ...files.packages import ModelFile, Wheel
from ...geometry.skeletons import get_skeleton
from ..base import Array, Person, checked_picture
from ..blaze import HEAT_SIDE, BlazeNetworks, Candidate, Seen
from ..boxes import landmark_overlap
from ..covariance import Evidence, NoiseModel, heat_moments, read_noise
from ..models import model_bytes
from ..noise import person_of
from ..squares import Square, border_distances, looks, whole

__all__ = ["ABOUT", "LICENCE", "NAME", "NEEDS", "SOURCE", "BlazePose", "evidence_of", "load"]

NAME = "blazepose"
ABOUT = "MediaPipe's BlazePose (full): 33 landmarks with covariances from heat maps, several people; CPU, LiteRT"
NEEDS = ("images", ("ai_edge_litert", "platformdirs"))
LICENCE = "Apache-2.0"
SOURCE = Wheel(
    requirement="mediapipe==0.10.21",
    python="3.11",
    platform="manylinux_2_28_x86_64",
    licence="Apache-2.0, Google",
    files=(
        ModelFile(
            "pose_detection.tflite",
            "mediapipe/modules/pose_detection/pose_detection.tflite",
            "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        ),
        ModelFile(
            "pose_landmark_full.tflite",
            "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        ),
    ),
)

#: The landmark network has to be so sure that a person is there, and its heat maps as high on average.
_PRESENT, _WARM = 0.5, 0.45
#: Whom MediaPipe's own look at the picture finds counts as so much warmer.
_FIRST = 0.1
#: Landmarks that overlap by more with those of others are theirs (mean of Gaussians as wide as this part of the
#: person's size); between the two numbers a second look has to find them where they were.
_SAME, _OTHER, _SAME_SPREAD = 0.3, 0.15, 0.25
#: So much of a second look is where the first was.
_STAYS = 0.5
#: Squares whose middles are nearer than this, of their side, and sides no further apart than this factor, are one.
_NEAR, _FACTOR = 0.12, 1.25
#: How the picture is looked at: from further away, and in parts, of its longer side; parts of fewer px tell nothing.
_FURTHER, _PARTS, _FEWEST = 1.5, (0.6, 0.4), 224
#: Candidates in one picture beyond which nothing is confirmed.
_MOST = 30


def load(argument: str, models: Sequence[Path]) -> BlazePose:
    """The detector, its model from the cache or from the user's copies; see `poseterior.detect.models`."""
    return BlazePose(BlazeNetworks(*model_bytes(SOURCE, NAME, models)), noise_model())


@cache
def noise_model() -> NoiseModel:
    """How wrong its landmarks are."""
    return read_noise(Path(__file__).with_suffix(".json"))


class BlazePose:
    """The detector.

    Args:
        networks: finder of people, and landmarks.
        noise: how wrong its landmarks are.
    """

    name = NAME

    def __init__(self, networks: BlazeNetworks, noise: NoiseModel) -> None:
        self.skeleton = get_skeleton("mediapipe33")
        self.networks, self.noise = networks, noise

    def detect(self, image: Array) -> list[Person]:
        """The people in a picture ``(height, width, 3)``, uint8 RGB, the surest first; empty for nobody.

        Raises:
            InputError: not such a picture.
        """
        picture = checked_picture(image)
        places = list(_looks(picture))
        # MediaPipe's own look comes first, so that whom it finds is found as it does
        candidates = [self.networks.candidates(picture, place) for place in places]
        found = [*candidates[0], *sorted((c for some in candidates[1:] for c in some), key=lambda c: -c.score)]
        squares = _apart(found)[:_MOST]
        seen = [self.networks.landmarks(picture, square) for square in squares]
        first = {candidate.square for candidate in candidates[0]}
        return self._people(picture, sorted(seen, key=lambda one: -_warmth(one) - _FIRST * (one.square in first)))

    def follow(self, image: Array, before: Sequence[Person]) -> list[Person]:
        """The people in a film's next frame: where they were, and whom one look at the picture finds besides.

        Raises:
            InputError: as `detect`.
        """
        picture = checked_picture(image)
        known = [person.place for person in before if isinstance(person.place, Square)]
        seen = [self.networks.landmarks(picture, square) for square in known]
        kept = self._different(picture, seen)
        others = [c.square for c in self.networks.candidates(picture, whole(picture))]
        new = [self.networks.landmarks(picture, square) for square in others if not _is_near(square, kept)]
        return self._people(picture, [*kept, *new])

    def _people(self, picture: Array, seen: Sequence[Seen]) -> list[Person]:
        """Who is seen; of those that are one person, the first."""
        people = [self._person(one, picture) for one in self._different(picture, seen)]
        return sorted(people, key=lambda person: -person.score)

    def _different(self, picture: Array, seen: Sequence[Seen]) -> list[Seen]:
        """Those of different people: of one person's, the first; nobody is put together of parts of others.

        Who seems to be is looked at again, where the landmarks say: what is made of two people goes over to one.
        """
        kept: list[Seen] = []
        for one in filter(_is_someone, seen):
            shared = _overlap(one, kept)
            if shared > _SAME:
                continue
            if shared > _OTHER:
                again = self.networks.landmarks(picture, one.following)
                if not (_is_someone(again) and _overlap(again, [one]) > _STAYS and _overlap(again, kept) <= _SAME):
                    continue
            kept.append(one)
        return kept

    def _person(self, seen: Seen, picture: Array) -> Person:
        height, width = picture.shape[:2]
        evidence = evidence_of(seen, (width, height))
        return person_of(seen.xy, evidence, self.noise, self.skeleton, picture, seen.score, seen.following)


def evidence_of(seen: Seen, size: tuple[int, int]) -> Evidence:
    """What the networks tell of each landmark.

    Args:
        seen: the landmarks.
        size: width and height of the picture, px.
    """
    square = seen.square
    cells = ((seen.xy - [square.x, square.y]) @ square.axes / square.side + 0.5) * HEAT_SIDE
    heat, peak = heat_moments(seen.heat, cells)
    turned = square.axes @ heat @ square.axes.T
    return Evidence(turned, peak, seen.visibility, border_distances(seen.xy, square, size), np.array(square.side))


def _looks(picture: Array) -> Iterator[Square]:
    """Squares of a picture in which people are looked for: the whole, from further away, and parts."""
    all_of_it, *parts = looks(picture, _PARTS, _FEWEST)
    yield all_of_it
    yield all_of_it._replace(side=_FURTHER * all_of_it.side)
    yield from parts


def _apart(candidates: Sequence[Candidate]) -> list[Square]:
    """Their squares without those that are nearly one before."""
    kept: list[Square] = []
    for candidate in candidates:
        if not any(_alike(candidate.square, other) for other in kept):
            kept.append(candidate.square)
    return kept


def _alike(one: Square, other: Square) -> bool:
    side = max(one.side, other.side)
    apart = float(np.hypot(one.x - other.x, one.y - other.y))
    return apart < _NEAR * side and side < _FACTOR * min(one.side, other.side)


def _is_someone(seen: Seen) -> bool:
    return bool(seen.score >= _PRESENT and _warmth(seen) >= _WARM and np.isfinite(seen.xy).all())


def _warmth(seen: Seen) -> float:
    """How high the heat maps are on average."""
    return float(seen.heat.max((1, 2)).mean())


def _is_near(square: Square, people: Sequence[Seen]) -> bool:
    """Whether the middle of a square is that of somebody."""
    return any(np.hypot(square.x - p.following.x, square.y - p.following.y) < 0.25 * p.following.side for p in people)


def _overlap(seen: Seen, others: Sequence[Seen]) -> float:
    """How much of somebody's landmarks are others', 0 to 1."""
    size = float(np.sqrt(((seen.xy - seen.xy.mean(0)) ** 2).sum(-1).mean()))
    places = np.array([other.xy for other in others]).reshape(-1, *seen.xy.shape)
    return landmark_overlap(seen.xy, places, _SAME_SPREAD * size)
