"""DeepLabCut's CSV: header rows scorer, individuals (of several animals), bodyparts and coords."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...files.checks import Array, quote
from ...files.errors import InputError
from ..detections import Detections, FrameNumbers, Options
from ..joint_names import covering_skeleton, temporary_skeleton
from ..keypoints import PoseId
from ..tables import Table
from ..tabular import named_joints

NAME = "deeplabcut"
ABOUT = "DeepLabCut's CSV, of one or several people: header rows scorer, individuals, bodyparts, coords"
EXAMPLE = """scorer,DLC_resnet50,DLC_resnet50,DLC_resnet50
bodyparts,left_hip,left_hip,left_hip
coords,x,y,likelihood
0,312.5,240.1,0.93"""
#: Made of a `Table`, not of JSON.
KIND = "table"

_LEVELS = ("scorer", "individuals", "bodyparts", "coords")


def recognises(data: Any) -> int:
    """Rows that begin with scorer, bodyparts and coords."""
    if not isinstance(data, Table):
        return 0
    first = [row[0].strip().lower() if row else "" for row in data.head]
    return 4 * ({"bodyparts", "coords"} <= set(first) and first[0] in _LEVELS)


def read(data: Table, options: Options) -> list[Detections]:
    """Keypoints of a CSV file; NaN and empty cells are missing joints.

    Labelled data (``CollectedData``) have names of pictures instead of frame numbers, and no likelihood.

    Raises:
        InputError: header rows that do not fit, a cell that is no number, no body part that is a person's joint.
    """
    rows = {row[0].strip().lower(): [cell.strip() for cell in row] for row in data.head if row}
    coords, parts = rows["coords"], rows["bodyparts"]
    above = next(i for i, row in enumerate(data.head) if row[0].strip().lower() == "coords")  # rows below the first
    columns = [i for i, axis in enumerate(coords) if axis in ("x", "y", "likelihood")]
    if not columns:
        raise InputError("row coords: expected x, y and likelihood")
    people = rows.get("individuals")
    keys = [((people[i] if people else ""), parts[i], coords[i]) for i in columns]
    values = np.stack([data.numbers(i, above) for i in columns], 1)
    # labelled data split the picture's path into columns
    labels = [
        "/".join(part for part in row if part)
        for row in zip(*(data.texts(i, above) for i in range(columns[0])), strict=True)
    ]
    return detections_of_columns(keys, values, labels, options)


def detections_of_columns(
    keys: Sequence[tuple[str, str, str]], values: Array, frames: Sequence[str | int], options: Options
) -> list[Detections]:
    """Keypoints of columns.

    Args:
        keys: individual, body part and coordinate (x, y, likelihood) of each column.
        values: (frames, columns).
        frames: numbers, or names of pictures.
        options: what the caller said.

    Raises:
        InputError: a body part without x or y, none that is a person's joint, nobody.
    """
    if not len(values):
        raise InputError("no row below the header")
    people = list(dict.fromkeys(person for person, _, _ in keys if person != "single")) or ["single"]
    parts = list(dict.fromkeys(part for person, part, _ in keys if person in people))
    place = {key: i for i, key in enumerate(keys)}
    if len(place) < len(keys):
        raise InputError("two columns are of the same individual, body part and coordinate")
    joints, used = named_joints(parts, "bodyparts", options)
    dense = np.full((len(values), len(people), len(used), 3), np.nan)
    scored = any(axis == "likelihood" for _, _, axis in keys)
    for p, person in enumerate(people):
        for j, part in enumerate(parts[i] for i in used):
            for axis, name in enumerate(("x", "y", "likelihood")):
                column = place.get((person, part, name))
                if column is not None:
                    dense[:, p, j, axis] = values[:, column]
                elif name != "likelihood" and any((person, part, n) in place for n in ("x", "y", "likelihood")):
                    raise InputError(f"body part {quote(part)}: no column {name!r}")
    if not scored:
        dense[..., 2] = 1.0
    there = np.isfinite(dense[..., :2]).all(-1).any(-1)
    numbered = _numbers(frames)
    where = [(f, p) for f in np.argsort(numbered, kind="stable").tolist() for p in range(len(people)) if there[f, p]]
    rows = tuple(np.array(where, np.int64).reshape(-1, 2).T)
    size = options.image_size or (np.nan, np.nan)
    return [
        Detections(
            temporary_skeleton(joints),
            [PoseId(options.file, int(numbered[f]), p) for f, p in where],
            dense[rows][..., :2],
            dense[rows][..., 2],
            image_size=np.tile(size, (len(where), 1)),
            target=covering_skeleton(joints, options.skeleton),
            sources=[options.file] * len(where),
            tracked=[True] * len(where),
        )
    ]


def _numbers(frames: Sequence[str | int]) -> list[int]:
    """Frame numbers as they stand in the file; names of pictures by the rule of all formats."""
    texts = [str(frame).removesuffix(".0") for frame in frames]
    if all(text.isdecimal() and len(text) < 16 for text in texts):
        return [int(text) for text in texts]
    counter = FrameNumbers()
    return [counter.place(text, "the first column")[0] for text in texts]
