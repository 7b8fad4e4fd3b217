"""People made of coloured discs, one colour a joint, on a grey wall; and a detector that finds them again, exactly."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from scipy import ndimage

from poseterior.detect import Person
from poseterior.detect.detectors import detector_modules
from poseterior.files.ffmpeg import reading_program
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D

COCO = SKELETONS["coco17"]
WALL = 200
#: Colours that are far from each other, from the wall and from a person's clothes.
COLOURS = [c for c in product((0, 128, 255), repeat=3) if len(set(c)) > 1][:17]
#: A standing person, px from the middle between the hips.
STANDING = np.array(
    [[0, -130], [6, -136], [-6, -136], [13, -132], [-13, -132], [32, -98], [-32, -98], [46, -48], [-46, -48],
     [50, -2], [-50, -2], [20, 0], [-20, 0], [22, 70], [-22, 70], [24, 138], [-24, 138]],
    dtype=np.float64,
)  # fmt: skip


def picture(people: Iterable[np.ndarray], size: tuple[int, int] = (480, 400)) -> np.ndarray:
    """A picture (height, width, 3) of people, each (17, 2) px, that stand apart."""
    width, height = size
    image = np.full((height, width, 3), WALL, np.uint8)
    y, x = np.mgrid[:height, :width]
    for joints in people:
        low, high = joints.min(0) - 12, joints.max(0) + 12
        image[(x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])] = 64  # clothes
        for place, colour in zip(joints, COLOURS, strict=True):
            image[(x - place[0]) ** 2 + (y - place[1]) ** 2 <= 3.2**2] = colour
    return image


class BlobDetector:
    """Finds the people of `picture`; knows each joint to 2 px."""

    name = "blobs"
    skeleton = COCO

    def __init__(self) -> None:
        self.followed = 0

    def detect(self, image: np.ndarray) -> list[Person]:
        there = (np.abs(image.astype(int) - WALL) > 40).any(-1)
        labels, count = ndimage.label(there)
        found = [self._person(image, labels == label) for label in range(1, count + 1)]
        return [person for person in found if person is not None]

    def follow(self, image: np.ndarray, before: Sequence[Person]) -> list[Person]:
        self.followed += len(before)
        return self.detect(image)[::-1]  # in no particular order

    def _person(self, image: np.ndarray, own: np.ndarray) -> Person | None:
        xy = np.full((17, 2), np.nan)
        for joint, colour in enumerate(COLOURS):
            near = own & (np.abs(image.astype(int) - colour) < 50).all(-1)
            if near.sum() >= 4:
                xy[joint] = np.argwhere(near).mean(0)[::-1]
        if np.isfinite(xy).all(-1).sum() < 5:
            return None
        height, width = image.shape[:2]
        seen = Keypoints2D(xy, np.full(17, 2.0), image_size=(width, height), skeleton=COCO)
        box = tuple(np.r_[np.nanmin(xy, 0), np.nanmax(xy, 0)].tolist())
        return Person(seen, box, 1.0)


def install(monkeypatch) -> BlobDetector:
    """Make ``--detector blobs`` known for a test."""
    detector = BlobDetector()
    module = SimpleNamespace(
        NAME="blobs", ABOUT="coloured discs", LICENCE="none", load=lambda argument, models: detector
    )
    monkeypatch.setitem(detector_modules(), "blobs", module)
    return detector


def film(path: Path, pictures: Sequence[np.ndarray], fps: str = "25", *options: str) -> Path:
    """Write a film; by default one that loses nothing."""
    height, width = pictures[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", fps, "-i", "-"]
    how = options or ("-c:v", "ffv1", "-pix_fmt", "bgr0") if path.suffix in (".mkv", ".avi") else options
    command = [reading_program("test"), "-v", "error", "-y", *source, *(how or ("-crf", "4")), str(path)]
    subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), check=True)
    return path


def walk(frames: int = 12, start: float = 90.0, step: float = 4.0, seed: int = 0) -> list[np.ndarray]:
    """A person who goes to the right, swinging a little."""
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * np.pi * torch.rand(17, 2, generator=generator, dtype=torch.float64).numpy()
    swing = np.stack([np.sin(0.5 * k + phase) for k in range(frames)]) * [2.0, 1.0]
    way = np.array([[start + step * k, 220.0] for k in range(frames)])
    return list(np.round(STANDING + swing + way[:, None]))
