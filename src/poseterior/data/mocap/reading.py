"""Any motion file, or a pose store, as one `Mocap` in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ...files.errors import InputError
from ..store import Mocap, PoseStore
from .importing import FBX_REMEDY, import_mocap

__all__ = ["read_motion"]

#: Format of mocap files by their suffix.
_FORMATS = {".bvh": "bvh", ".amc": "asfamc", ".npz": "amass", ".glb": "gltf", ".gltf": "gltf"}


def read_motion(path: Path, fps: float | None = None, units: str | None = None) -> Mocap:
    """Rotations from a motion file, or from a pose store.

    Args:
        path: ``.bvh``, ``.amc`` (its ``.asf`` beside it), an AMASS ``.npz``, ``.glb`` or ``.gltf``, or the folder of
            a pose store.
        fps: thin the motion to at most so many frames per second.
        units: length unit of the file: m, cm, mm, in or ft; by default what the source is known to use.

    Raises:
        InputError: no such file, an unknown suffix, units of a pose store, or as the importers and `PoseStore` say.
    """
    if path.is_dir():
        if units is not None:
            raise InputError(f"{path}: is a pose store, whose lengths are metres; leave the units out")
        return PoseStore(path).load(fps)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    format = _FORMATS.get(path.suffix.lower())
    if format is None:
        if path.suffix.lower() == ".fbx":
            raise InputError(f"{path}: an FBX file, which is not read; {FBX_REMEDY}")
        raise InputError(
            f"{path}: unknown extension {path.suffix!r}; use {', '.join(_FORMATS)}, or the folder of a pose store"
        )
    with tempfile.TemporaryDirectory() as folder:
        import_mocap([path], Path(folder) / "store", format, units=units)
        return PoseStore(Path(folder) / "store").load(fps)
