"""Photographs on the disk, and which keypoints belong to which."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.labels.labels import image_id
from ..files.errors import InputError
from ..files.images import image_size
from ..keypoints import Keypoints2D
from ..keypoints.folders import find_tasks

__all__ = ["IMAGE_SUFFIXES", "Person", "find_keypoints", "find_photos", "match_people"]

_LOG = logging.getLogger(__name__)

#: What browsers show.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


@dataclass(frozen=True)
class Person:
    """Somebody in a photograph.

    Attributes:
        image: image id of the photograph, see `poseterior.data.labels.labels.image_id`.
        pose: image id by the name that the keypoint file gives, which may be its own.
        photo: name of the photograph's file, without folder.
        size: its width and height, px.
        points: joint name -> ``(x, y)`` px, of the visible joints that lie inside the photograph.
    """

    image: str
    pose: str
    photo: str
    size: tuple[int, int]
    points: dict[str, tuple[float, float]]


def find_photos(paths: Iterable[Path]) -> dict[str, Path]:
    """File name -> path of the photographs in these files and folders (not below them).

    Raises:
        InputError: no such file, no photograph, or two of one name.
    """
    found: dict[str, Path] = {}
    listed = list(paths)
    for path in listed:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in (f for f in files if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()):
            if file.name in found and found[file.name].resolve() != file.resolve():
                raise InputError(f"{file} and {found[file.name]}: two photographs of one name; rename one")
            found[file.name] = file
    if not found:
        names = ", ".join(map(str, listed)) or "no folder"
        raise InputError(f"{names}: no photograph; expected {', '.join(IMAGE_SUFFIXES)}")
    return found


def find_keypoints(paths: Iterable[Path], skeleton: str | None = None, **reading: Any) -> Keypoints2D:
    """The keypoints beside the photographs, found as `poseterior lift FOLDER` finds them.

    Args:
        paths: photographs, or folders of photographs.
        skeleton, reading: see `poseterior.keypoints.reading.read_keypoints`.

    Returns:
        those of all photographs that have some, each named as its photograph.

    Raises:
        InputError: none has, or they are of different skeletons.
    """
    listed = list(paths)
    wanted = {path.resolve() for path in find_photos(listed).values()}
    found: list[tuple[str, Keypoints2D]] = []
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in listed)
    reasons: list[str] = []
    for folder in folders:
        try:
            tasks, left_out = find_tasks(folder, skeleton=skeleton, **reading)
        except InputError as error:
            reasons.append(str(error))
            continue
        reasons += [f"{one.file}: {one.reason}" for one in left_out]
        for task in tasks:
            if task.photo is not None and task.photo.resolve() in wanted:
                found.append((task.photo.name, task.keypoints))
    if not found:
        raise InputError(
            f"no keypoints beside the photographs; give their file as --keypoints ({(reasons or ['none found'])[0]})"
        )
    if reasons:
        _LOG.warning("%d photographs or files are left out: %s", len(reasons), reasons[0])
    skeletons = sorted({keypoints.skeleton.name for _, keypoints in found})
    if len(skeletons) > 1:
        raise InputError(f"the keypoints beside the photographs are of different skeletons: {', '.join(skeletons)}")
    named = [kp._replace(ids=tuple(pose._replace(file=photo) for pose in kp.ids)) for photo, kp in found]
    return Keypoints2D.cat(named)


def match_people(photos: dict[str, Path], keypoints: Keypoints2D) -> list[Person]:
    """The people whose photograph is there, in the order of the keypoints.

    A pose belongs to the photograph that has the name of its file, or that name with the extension of an image
    (``lsp_0.json`` to ``lsp_0.jpg``). Poses without a photograph are left out, and counted in a warning.

    Raises:
        InputError: nobody's photograph is there, two poses have one image id, or a photograph is not of the size
            that the keypoint file tells.
    """
    by_stem = {Path(name).stem.lower(): name for name in reversed(photos)}
    sizes = {name: image_size(path) for name, path in photos.items()}
    people: list[Person] = []
    for i, pose in enumerate(keypoints.ids):
        file = Path(pose.file).name
        photo = file if file in photos else by_stem.get(Path(file).stem.lower().removesuffix("_keypoints"))
        if photo is None:
            continue
        _check_size(photos[photo], sizes[photo], keypoints.image_size[i].tolist())
        image = image_id(pose._replace(file=photo))
        people.append(Person(image, image_id(pose), photo, sizes[photo], _points(keypoints, i, sizes[photo])))
    if not people:
        wanted = ", ".join(sorted({Path(pose.file).name for pose in keypoints.ids})[:3])
        there = ", ".join(list(photos)[:3])
        raise InputError(
            f"no keypoints belong to any photograph: the keypoints are of {wanted} ..., there is {there} ..."
        )
    if len(people) < len(keypoints.ids):
        _LOG.warning(
            "%d of %d poses have no photograph: left out", len(keypoints.ids) - len(people), len(keypoints.ids)
        )
    _check_unique(people)
    return people


def _points(keypoints: Keypoints2D, index: int, size: tuple[int, int]) -> dict[str, tuple[float, float]]:
    places = zip(
        keypoints.skeleton.joints, keypoints.xy[index].tolist(), keypoints.visible[index].tolist(), strict=True
    )
    return {joint: (x, y) for joint, (x, y), visible in places if visible and 0 <= x <= size[0] and 0 <= y <= size[1]}


def _check_size(path: Path, size: tuple[int, int], told: list[float]) -> None:
    if all(map(math.isfinite, told)) and tuple(round(v) for v in told) != size:
        raise InputError(
            f"{path}: is {size[0]} x {size[1]} px, but its keypoints are of an image of {told[0]:g} x {told[1]:g} px; "
            "use the photograph that the keypoints were found in"
        )


def _check_unique(people: list[Person]) -> None:
    seen: dict[str, Person] = {}
    for person in people:
        if person.image in seen:
            raise InputError(
                f"the keypoints hold {person.image!r} twice; number the people of an image, or keep one of the two"
            )
        seen[person.image] = person
