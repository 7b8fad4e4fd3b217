"""Which files an import reads: those of a format below some paths, by the names of their clips."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...files.errors import InputError
from .archives import is_archive

__all__ = ["FBX_REMEDY", "FORMATS", "NOT_MOTIONS", "MotionFile", "find_files"]

#: Format -> file suffixes, joint tables tried in order.
FORMATS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bvh": ((".bvh",), ("cmu-bvh", "bandai-namco", "smpl22-bvh")),
    "asfamc": ((".amc",), ("cmu-asfamc",)),
    "amass": ((".npz",), ("amass",)),
    "gltf": ((".glb", ".gltf"), ("smpl22-bvh",)),
}

#: What to do with a file that only Autodesk's own library reads.
FBX_REMEDY = (
    'turn it into glTF with Blender: blender -b --python-expr "import bpy; '
    "bpy.ops.wm.read_factory_settings(use_empty=True); bpy.ops.import_scene.fbx(filepath='IN.fbx'); "
    "bpy.ops.export_scene.gltf(filepath='OUT.glb')\"; then poseterior data import gltf OUT.glb"
)

#: AMASS folders hold npz files without a motion.
NOT_MOTIONS = re.compile(r"^(shape|neutral_stagei|male_stagei|female_stagei|.*_stagei)$")


class MotionFile(NamedTuple):
    """A file to import.

    Attributes:
        path: with symbolic links followed.
        clip: name of its clip.
        given: its path as it was asked for, which messages say.
    """

    path: Path
    clip: str
    given: Path


def find_files(paths: Sequence[str | Path], format: str) -> list[MotionFile]:
    """The motion files below some paths with a clip name each, sorted; symbolic links are followed.

    AMASS' archives (``CMU.tar.bz2``) stand for the files in them.

    A clip's name is its path without suffix, relative to the folder given (or to what several given paths have
    in common).

    Raises:
        InputError: unknown format, a path that does not exist, no file found.
    """
    if format not in FORMATS:
        raise InputError(f"unknown mocap format {format!r}; known: {', '.join(FORMATS)}{_told_of_fbx(format)}")
    suffixes = FORMATS[format][0]
    roots = [Path(path) for path in paths]
    if not roots:
        raise InputError("no path given; name mocap files or folders")
    for root in roots:
        if not root.exists():
            raise InputError(f"{root}: does not exist")
        if root.suffix.lower() == ".fbx" and root.is_file():
            raise InputError(f"{root}: an FBX file, which is not read; {FBX_REMEDY}")
    folders = [root if root.is_dir() else root.parent for root in roots]
    base = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    files: dict[Path, MotionFile] = {}
    others: list[Path] = []
    for root in roots:
        for file in [root] if root.is_file() else _walk(root):
            archive = format == "amass" and is_archive(file)
            if root.is_dir() and file.suffix.lower() not in suffixes and not archive:
                others.append(file)
                continue
            if format == "amass" and NOT_MOTIONS.match(file.stem):
                continue
            path = Path(os.path.abspath(file))
            real, clip = path.resolve(), path.relative_to(base).with_suffix("").as_posix()
            files.setdefault(real, MotionFile(real, clip, file))
    if not files:
        fbx = sum(file.suffix.lower() == ".fbx" for file in others)
        told = f", but {fbx} FBX file(s), which are not read; {FBX_REMEDY}" if fbx else ""
        wanted = ", ".join(f"*{suffix}" for suffix in suffixes)
        raise InputError(f"{', '.join(map(str, roots))}: no {wanted} file found{told}")
    return sorted(files.values(), key=lambda file: _natural(file.clip))


def _told_of_fbx(format: str) -> str:
    return f"; {FBX_REMEDY}" if format.lower() == "fbx" else ""


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder, through links to folders too, each folder once."""
    seen: set[Path] = set()
    for where, folders, names in os.walk(folder, followlinks=True):
        real = Path(where).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(where) / name for name in sorted(names) if (Path(where) / name).is_file())


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts walking_2 before walking_10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
