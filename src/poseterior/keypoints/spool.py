"""Keypoints on the disk: what is read in parts and judged as a whole, before any of it is lifted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from ..geometry.skeletons import Skeleton
from .keypoints import Keypoints2D, PoseId

__all__ = ["Spool", "SpoolReader", "spooled_dtype"]

_PER_POSE = (
    ("xy", "f4", ("j", 2)), ("covariance", "f4", ("j", 2, 2)), ("visible", "?", ("j",)), ("image_size", "f4", (2,)),
    ("intrinsics", "f4", (4,)), ("height", "f4", ()), ("amplitude", "f4", ("j",)), ("synthesised", "?", ("j",)),
    ("keys", "i8", ()),
)  # fmt: skip


def spooled_dtype(joints: int) -> np.dtype[Any]:
    """One pose: all that `Keypoints2D` holds of it, and the number of its file, its frame and its person."""
    fields = [(name, kind, tuple(joints if size == "j" else size for size in shape)) for name, kind, shape in _PER_POSE]
    return np.dtype([*fields, ("file", "i4"), ("frame", "i8"), ("person", "i8")])


class SpoolReader:
    """Poses of a file that a `Spool` has written, by their rows: what other processes open.

    Args:
        path: of the file.
        skeleton: of the poses.
        files: names of the files that they come from.
        rates: frames per second of these, where they told.
    """

    def __init__(self, path: Path, skeleton: Skeleton, files: Sequence[str], rates: dict[str, float]) -> None:
        self.path, self.skeleton, self.files, self.rates = path, skeleton, list(files), rates

    def records(self, start: int, stop: int) -> np.ndarray:
        """The rows as they stand in the file. (Read, not mapped: what is mapped counts as this process's memory.)"""
        dtype = spooled_dtype(len(self.skeleton))
        with self.path.open("rb") as file:
            file.seek(start * dtype.itemsize)
            content = file.read((stop - start) * dtype.itemsize)
        return np.frombuffer(content, dtype)

    def read(self, start: int, stop: int) -> Keypoints2D:
        """These rows, the same to the bit as they were written."""
        rows = self.records(start, stop)
        arrays = {name: torch.from_numpy(np.array(rows[name], order="C")) for name, _, _ in _PER_POSE}
        found = Keypoints2D.trusted(
            arrays["xy"], arrays["covariance"], arrays["visible"], arrays["image_size"], self.skeleton,
            intrinsics=arrays["intrinsics"], height=arrays["height"], amplitude=arrays["amplitude"],
        )  # fmt: skip
        numbers = zip(rows["file"].tolist(), rows["frame"].tolist(), rows["person"].tolist(), strict=True)
        ids = [PoseId(self.files[file], frame, person) for file, frame, person in numbers]
        named = found._replace(ids=ids, keys=arrays["keys"], synthesised=arrays["synthesised"])
        named.rates = self.rates
        return named


class Spool(SpoolReader):
    """A file of poses that grows; it is a file of nobody else's, who removes it."""

    def __init__(self, path: Path, skeleton: Skeleton) -> None:
        super().__init__(path, skeleton, [], {})
        self._file: IO[bytes] = path.open("wb")
        self._number: dict[str, int] = {}
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, keypoints: Keypoints2D) -> None:
        """Add poses with one batch dimension."""
        rows = np.zeros(len(keypoints), spooled_dtype(len(self.skeleton)))
        for name, _, _ in _PER_POSE:
            rows[name] = getattr(keypoints, name).cpu().numpy()
        for identity in keypoints.ids:
            if identity.file not in self._number:
                self._number[identity.file] = len(self.files)
                self.files.append(identity.file)
        rows["file"] = [self._number[identity.file] for identity in keypoints.ids]
        rows["frame"] = [identity.frame for identity in keypoints.ids]
        rows["person"] = [identity.person for identity in keypoints.ids]
        self.rates |= keypoints.rates
        rows.tofile(self._file)
        self._rows += len(rows)

    def close(self) -> None:
        """Nothing more comes: now it can be read."""
        self._file.close()
