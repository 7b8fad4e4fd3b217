"""npy and npz arrays of 3D keypoints."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...files.checks import cut, quote
from ...files.errors import InputError
from ...files.npz import load_entry, load_npy, open_npz
from . import PointFile

NAME = "numpy 3D"
ABOUT = "npy of shape (frames, joints, 3); npz with points, and where known joint_names and sigma"
EXAMPLE = (
    "numpy.savez('walk.npz', points=xyz, joint_names=['left_hip', 'left_knee'])  # xyz: (frames, joints, 3), metres"
)
SUFFIXES = (".npy", ".npz")


def read(path: Path) -> PointFile | None:
    """The array of an npy file; of an npz file `points`, or the only one.

    Raises:
        InputError: no such array, or one of anything but numbers.
    """
    if path.suffix.lower() == ".npy":
        return PointFile(load_npy(path, "fiu").astype("float64"))
    with open_npz(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "schema" in entries:
            return None
        name = "points" if "points" in entries else next(iter(entries), "") if len(entries) == 1 else None
        if name is None or not entries:
            raise InputError(f"npz: no array named 'points'; it holds {_listed(entries)}")
        found = PointFile(load_entry(archive, entries[name], "fiu").astype("float64"))
        if "sigma" in entries:
            found.sigma = load_entry(archive, entries["sigma"], "fiu").astype("float64")
        if "joint_names" in entries:
            found.joint_names = load_entry(archive, entries["joint_names"], "U").reshape(-1).tolist()
    return found


def _listed(names: Iterable[str]) -> str:
    return cut(", ".join(map(quote, names))) or "nothing"
