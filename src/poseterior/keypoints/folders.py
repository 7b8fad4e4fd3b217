"""Folders of photographs and clips with their keypoints: what belongs together, and what has to be left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ..files import images
from ..files.errors import InputError
from ..files.films import FILM_SUFFIXES, is_film
from ..files.images import PICTURE_SUFFIXES, UNREAD_SUFFIXES
from ..files.texts import read_json
from .documents import SUFFIXES, UnknownContent
from .file_clips import file_clips
from .formats.openpose import FRAME_SUFFIX
from .frame_numbers import FrameNumbers
from .keypoints import Keypoints2D
from .reading import read_keypoints
from .tracks import of_person

__all__ = [
    "LeftOut",
    "LiftTask",
    "files_in",
    "find_tasks",
]

#: Results of a folder are Parquet too, and would be taken for its keypoints.
KEYPOINT_SUFFIXES = tuple(suffix for suffix in SUFFIXES if suffix != ".parquet")
#: How photographs are called that are read.
_READ_SUFFIXES = tuple(suffix for suffix in PICTURE_SUFFIXES if suffix not in UNREAD_SUFFIXES)
#: How OpenPose calls the keypoints of photo.jpg.
_OPENPOSE = FRAME_SUFFIX.removesuffix(".json")


@dataclass(frozen=True)
class LiftTask:
    """What becomes one result file.

    Attributes:
        name: of the result, without extension.
        keypoints: the poses, batch shape ``(poses,)``; the image size is that of the photograph where no file tells.
        photo: the photograph; None for keypoints without one.
        source: the file that the keypoints come from.
        clip: the poses are of more than one frame.
    """

    name: str
    keypoints: Keypoints2D
    photo: Path | None
    source: Path
    clip: bool


@dataclass(frozen=True)
class LeftOut:
    """A file that could not be used, and why."""

    file: str
    reason: str


def files_in(folder: Path) -> list[Path]:
    """The files of a folder in order of their names, with links that lead nowhere; hidden ones and folders are none."""
    return sorted(path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith("."))


def find_tasks(
    folder: str | os.PathLike[str],
    format: str = "auto",
    skeleton: str | None = None,
    image_size: Sequence[float] | None = None,
    *,
    tracks: Literal["auto", "off"] = "auto",
    person: int | None = None,
    find: Callable[[Path], Keypoints2D] | None = None,
    expect: Callable[[list[Path]], object] = lambda paths: None,
    **scores: Any,
) -> tuple[list[LiftTask], list[LeftOut]]:
    """Pair the photographs of a folder with keypoints, and find the clips in it.

    The keypoints of ``photo.jpg`` are in ``photo.json``, ``photo.npy``, ``photo.npz`` or ``photo_keypoints.json``; or
    in any file of the folder that names the picture (COCO annotations, AlphaPose results, plain JSON with ``image``).
    What a keypoint file holds of no photograph is a task of its own: a pose, or a clip. Files without photographs that
    hold a frame each, and whose names count the frames (``walk_000_keypoints.json``, ``cam1_000.json``), are a clip
    together; it has the folder's name where it is the only one, else what the names share.

    Args:
        folder: looked into, not its subfolders.
        format, skeleton, image_size, tracks, person, scores: of the keypoint files, see
            `poseterior.keypoints.reading.read_keypoints`.
        find: finds people in a photograph or film of which there are no keypoints, or raises an `InputError` that says
            why not; None: such photographs are left out, and films are not looked at.
        expect: told which ``find`` will be asked about, before the first of them.

    Returns:
        tasks in order of their names, which differ in more than upper and lower case; and what was left out.

    Raises:
        InputError: not a folder, or nothing in it can be lifted; the message says why.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = files_in(folder)
    named_so = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    photos = [path for path in named_so if path.suffix.lower() not in UNREAD_SUFFIXES]
    unread = [path for path in named_so if path not in photos]
    sources = [path for path in files if path.suffix.lower() in KEYPOINT_SUFFIXES]
    more = {"tracks": tracks, "person": person, **scores}
    films = [path for path in files if is_film(path)] if find is not None else []
    found = _Finder(format, skeleton, image_size, more, find is not None)
    own: set[Path] = set()
    for photo in photos:
        beside = [path for path in sources if photo.stem in (path.stem, path.stem.removesuffix(_OPENPOSE))]
        own.update(beside)
        found.add_photo_with_own(photo, beside)
    rest = [path for path in sources if path not in own]
    for source in found.add_clips(rest) if rest else []:
        found.add_shared(source, named_so)
    found.leave_out_unread(unread, sources)
    if find is not None:
        stems = {path.stem for path in sources}
        looked_at = [*found.other(named_so), *(film for film in films if film.stem not in stems)]
        expect(looked_at)
        found.look_at(looked_at, find, person)
    found.leave_out_the_other(named_so)
    if not found.tasks:
        if not found.left_out:
            kinds = f"photographs ({', '.join(_READ_SUFFIXES)}), films ({', '.join(FILM_SUFFIXES)})"
            raise InputError(f"{folder}: neither {kinds} nor keypoint files in it")
        first_out = found.left_out[0]
        raise InputError(f"{folder}: nothing to lift; {first_out.file}: {first_out.reason}")
    return sorted(found.tasks, key=lambda task: task.name), found.left_out


class _Finder:
    """Collects the tasks; every name is given once."""

    def __init__(
        self, format: str, skeleton: str | None, image_size: Sequence[float] | None, more: dict[str, Any], looks: bool
    ) -> None:
        self.format, self.skeleton, self.image_size, self.more = format, skeleton, image_size, more
        self.looks = looks  # a detector looks at what has no keypoints
        self.tasks: list[LiftTask] = []
        self.left_out: list[LeftOut] = []
        self._taken: dict[str, str] = {}

    def _read(self, path: Path | list[Path], image_size: Sequence[float] | None) -> Keypoints2D:
        return read_keypoints(path, self.format, self.skeleton, image_size, **self.more)

    def leave_out(self, path: Path, reason: object) -> None:
        self.left_out.append(LeftOut(path.name, str(reason).removeprefix(f"{path}: ")))

    def add_photo_with_own(self, photo: Path, beside: list[Path]) -> None:
        """A photograph and the keypoint files of its name."""
        if len(beside) > 1:
            names = " and ".join(path.name for path in beside)
            self.leave_out(photo, f"has more than one keypoint file, {names}; keep one")
        if len(beside) != 1:
            return
        try:
            keypoints = self._read(beside[0], images.image_size(photo))
        except InputError as error:
            said = str(error).replace(str(beside[0]), beside[0].name)
            of_keypoints = str(error).startswith(str(beside[0]))
            instead = f"; or move {beside[0].name} elsewhere, and the detector looks at the picture"
            self.leave_out(photo, said + (instead if self.looks and of_keypoints else ""))
            return
        self._add(photo.stem, keypoints, photo, beside[0], _is_clip(keypoints))

    def add_clips(self, files: list[Path]) -> list[Path]:
        """Clips of one file per frame; returns the files that are no frames of one."""
        rest = list(files)
        clips = file_clips(files)
        for clip in clips:
            frames = [files[i] for i in clip.members]
            name = clip.folder.resolve().name if len(clips) == 1 or not clip.name else clip.name
            try:
                keypoints = self._read(frames, self.image_size)
            except InputError as error:
                if clip.format is None:  # each file has its own word
                    continue
                self.leave_out(clip.folder, error)
            else:
                if clip.format is None and any(identity.file in map(str, frames) for identity in keypoints.ids):
                    continue
                self._add(name, keypoints, None, clip.folder, _is_clip(keypoints))
            rest = [path for path in rest if path not in frames]
        return rest

    def add_shared(self, source: Path, photos: list[Path]) -> None:
        """A file that no photograph has the name of: it may name photographs, or be a clip or a pose of its own."""
        try:
            keypoints = self._read(source, self.image_size)
        except InputError as error:
            if not (isinstance(error, UnknownContent) and source.suffix.lower() == ".txt"):  # a note, not keypoints
                self.leave_out(source, error)
            return
        rows: dict[str, list[int]] = {}
        for row, picture in enumerate(_pictures(source, keypoints, photos)):
            rows.setdefault(picture, []).append(row)
        if "" in rows:
            nameless = keypoints[rows.pop("")]
            self._add(source.stem, nameless, None, source, _is_clip(nameless))
        absent = []
        for picture, own in rows.items():
            photo = _photo_called(picture, photos)
            if photo is None:
                absent.append(picture)
            elif self._taken.get(photo.stem.casefold()) != photo.name:  # else it has keypoints of its own
                self._add_named(photo, keypoints[own], source)
        if absent:
            more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
            self.leave_out(source, f"names pictures that are not in the folder: {', '.join(absent[:3])}{more}")

    def leave_out_unread(self, unread: list[Path], sources: list[Path]) -> None:
        """Photographs of kinds that are not read, of which there are keypoints: those are lifted without them."""
        for photo in unread:
            own = [path.name for path in sources if photo.stem in (path.stem, path.stem.removesuffix(_OPENPOSE))]
            if own:
                self.leave_out(photo, f"is of a kind that is not read; {' and '.join(own)} beside it stands alone")

    def other(self, photos: list[Path]) -> list[Path]:
        """The photographs of which nothing has been said yet."""
        known = {task.photo for task in self.tasks}
        named = {left.file for left in self.left_out}
        return [photo for photo in photos if photo not in known and photo.name not in named]

    def look_at(self, paths: list[Path], find: Callable[[Path], Keypoints2D], person: int | None) -> None:
        """Photographs and films whose people are found by a detector."""
        for path in paths:
            try:
                keypoints = find(path)
                keypoints = keypoints if person is None else of_person(keypoints, person)
            except InputError as error:
                said = str(error).removeprefix(f"{path}: ")
                self.leave_out(path, said if is_film(path) else f"{said}; and it {_lacking(path)}")
            else:
                self._add(path.stem, keypoints, None if is_film(path) else path, path, is_film(path))

    def leave_out_the_other(self, photos: list[Path]) -> None:
        """The photographs of which nothing has been said yet."""
        for photo in self.other(photos):
            self.leave_out(photo, _lacking(photo))

    def _add_named(self, photo: Path, keypoints: Keypoints2D, source: Path) -> None:
        try:
            size = torch.tensor(images.image_size(photo), dtype=torch.float32)
        except InputError as error:
            self.leave_out(photo, error)
            return
        known = keypoints.image_size.isfinite()
        sized = keypoints.with_camera(image_size=torch.where(known, keypoints.image_size, size))
        self._add(photo.stem, sized, photo, source, clip=False)

    def _add(self, name: str, keypoints: Keypoints2D, photo: Path | None, source: Path, clip: bool) -> None:
        origin = source if photo is None else photo
        if name.casefold() in self._taken:
            first = self._taken[name.casefold()]
            self.leave_out(origin, f"has the name of {first}, and so would its result; rename one")
            return
        self._taken[name.casefold()] = origin.name
        self.tasks.append(LiftTask(name, keypoints, photo, source, clip))


def _lacking(photo: Path) -> str:
    return f"has no keypoints: expected {photo.stem}.json, .npy or .npz beside it, or a file that names it"


def _pictures(source: Path, keypoints: Keypoints2D, photos: list[Path]) -> list[str]:
    """The picture that each pose names; empty where it names none.

    AlphaPose numbers the frames of a video as it names photographs, so that its names count only where the folder
    has one of these photographs.
    """
    images = _alphapose_images(source)
    if any(_photo_called(image, photos) for image in images.values()):
        return [images[identity.frame] for identity in keypoints.ids]
    own = {str(source)} | {identity.file for identity in keypoints.ids if is_film(identity.file)}  # or of a film
    return [identity.file if identity.file not in own else "" for identity in keypoints.ids]


def _alphapose_images(source: Path) -> dict[int, str]:
    """Names by the frame numbers that `read_keypoints` gives them; none if the file is of another format."""
    if source.suffix.lower() != ".json":
        return {}
    entries = read_json(source)
    if not isinstance(entries, list):
        return {}
    entries = [entry for entry in entries if entry != {}]
    images = [entry.get("image_id") for entry in entries if isinstance(entry, dict)]
    names = [image for image in images if isinstance(image, str)]
    if len(names) < len(entries):
        return {}
    frames = FrameNumbers()
    for name in names:
        frames.place(name, str(source))
    return {number: name for name, number in frames.numbers().items()}


def _photo_called(name: str, photos: list[Path]) -> Path | None:
    """The photograph of that name, or of that name with another image's extension."""
    wanted = Path(name.replace("\\", "/"))
    same = [photo for photo in photos if photo.name == wanted.name]
    stem = wanted.stem if wanted.suffix.lower() in PICTURE_SUFFIXES else wanted.name
    return next(iter([*same, *(photo for photo in photos if photo.stem == stem)]), None)


def _is_clip(keypoints: Keypoints2D) -> bool:
    return len({identity.frame for identity in keypoints.ids}) > 1
