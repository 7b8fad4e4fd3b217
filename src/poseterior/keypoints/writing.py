"""Keypoints as a file that `poseterior.keypoints.read_keypoints` reads back as they are, covariances included."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..geometry.skeletons import SKELETONS
from .keypoints import Keypoints2D

__all__ = ["WRITTEN", "write_keypoints"]

#: Extensions of the files that keypoints are written as.
WRITTEN = (".json", ".jsonl")


def write_keypoints(keypoints: Keypoints2D, path: str | os.PathLike[str]) -> None:
    """Write a ``.json`` or ``.jsonl`` of the plain format: an object for each pose, one a line.

    A ``.json`` is one list; a ``.jsonl`` is nothing but the lines, which can be read and lifted part by part.
    Numbers are written so that the same float32 is read back: a lifter's answer to what is read is the same, bit for
    bit. Joints that are not visible are null. What a fit to a heatmap said (``fits``) is not written.

    Raises:
        InputError: another extension, or the file cannot be written.
    """
    if not str(path).lower().endswith(WRITTEN):
        raise InputError(f"{os.fspath(path)}: keypoints are written as {' or '.join(WRITTEN)}")
    before, between, after = (b"", b"\n", b"\n") if str(path).lower().endswith(".jsonl") else (b"[\n", b",\n", b"\n]\n")
    with atomic_write(path) as file:
        file.write(before)
        for number, entry in enumerate(_entries(keypoints)):
            file.write((between if number else b"") + json.dumps(entry, separators=(",", ":")).encode())
        file.write(after)


def _entries(keypoints: Keypoints2D) -> Iterator[dict[str, Any]]:
    """The object of each pose, one after another: text of long films is never all in memory."""
    flat = keypoints.flatten().to("cpu")
    skeleton = flat.skeleton
    named = SKELETONS.get(skeleton.name) == skeleton
    order = {"skeleton": skeleton.name} if named else {"joints": list(skeleton.joints)}
    for row, identity in enumerate(flat.ids):
        entry: dict[str, Any] = {"image": identity.file} if identity.file else {}
        entry |= {"frame": identity.frame, "person": identity.person}
        if identity.file in flat.rates:
            entry["fps"] = flat.rates[identity.file]
        if flat.image_size[row].isfinite().all():
            entry["image_size"] = _exact(flat.image_size[row])
        if flat.intrinsics[row].isfinite().all():
            entry["intrinsics"] = _exact(flat.intrinsics[row])
        if flat.height[row].isfinite():
            entry["height"] = _exact(flat.height[row])
        seen = flat.visible[row].tolist()
        places = _exact(flat.xy[row])
        entry |= order
        entry["keypoints"] = [place if shown else None for place, shown in zip(places, seen, strict=True)]
        entry["covariance"] = _exact(flat.covariance[row])
        if flat.amplitude[row].isfinite().any():
            entry["amplitude"] = _exact(flat.amplitude[row])
        if flat.outliers is not None:
            entry["outliers"] = _exact(flat.outliers[row])
        yield entry


def _exact(values: Tensor) -> Any:
    """Nested lists of the shortest numbers that become the same float32; None for NaN."""
    if values.ndim:
        return [_exact(part) for part in values]
    value = float(values)
    return None if math.isnan(value) else float(str(np.float32(value)))
