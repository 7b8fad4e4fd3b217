"""Which of many poses are measured: hard ones, listed ones, evenly spread ones."""

from __future__ import annotations

import dataclasses
import math
from itertools import compress
from pathlib import Path

import torch
from jaxtyping import Bool
from torch import Tensor

from ..data.observations import ObservationSet
from ..files.checks import quote
from ..files.errors import InputError

__all__ = [
    "hard_poses",
    "listed_poses",
    "select_poses",
    "spread_poses",
]

# -- subsets ---------------------------------------------------------------------------------------------------


def hard_poses(data: ObservationSet, sigma: float) -> Bool[Tensor, " poses"]:
    """Poses of which the detector is unsure: the published hard subset on any observations.

    Args:
        data: from `poseterior.data.simulation.protocols`.
        sigma: a pose is hard if the standard deviation that the detector reports for any visible joint, along
            the larger axis of its covariance, is above this many pixels. (Published: 5 px of heatmaps of 64 px.)

    Raises:
        InputError: ``sigma`` is not a number above 0.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise InputError(f"hard sigma: expected a number of pixels above 0, got {sigma}")
    keypoints = data.observations.keypoints
    larger = torch.linalg.eigvalsh(keypoints.covariance)[..., -1].clamp(min=0.0).sqrt()
    return ((larger > sigma) & keypoints.visible).any(-1)


def listed_poses(data: ObservationSet, path: str | Path) -> Bool[Tensor, " poses"]:
    """Poses that a list file names.

    One pose per line: its row in the observation file (from 0), or ``CLIP:FRAME`` as in that file's columns
    ``clip`` and ``frame``, e.g. ``basketball_1:18``. Empty lines and lines that start with # are skipped. A
    frame that the observations do not hold is passed over: a list may be made for all frames of a data set.

    Raises:
        InputError: the file cannot be read, a line is neither of the two, or a row beyond the last; names the
            line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable text file ({error})") from None
    rows: dict[tuple[str, int], list[int]] = {}
    for row, pose in enumerate(data.observations.keypoints.ids):
        rows.setdefault((pose.file, pose.frame), []).append(row)
    keep = torch.zeros(len(data), dtype=torch.bool)
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        clip, colon, frame = line.rpartition(":")
        if not frame.isdecimal() or len(frame) > 18 or bool(clip) != bool(colon):
            raise InputError(f"{path}, line {number}: expected a row number or CLIP:FRAME, got {quote(line)}")
        if clip:
            keep[rows.get((clip, int(frame)), [])] = True
        elif int(frame) < len(data):
            keep[int(frame)] = True
        else:
            raise InputError(f"{path}, line {number}: row {frame} is beyond the last of {len(data)} poses (from 0)")
    return keep


def select_poses(data: ObservationSet, keep: Bool[Tensor, " poses"]) -> ObservationSet:
    """The poses where ``keep``.

    Raises:
        InputError: none is kept.
    """
    if not keep.any():
        raise InputError(f"none of the {len(data)} poses is in the subset; loosen the threshold or check the list")
    return dataclasses.replace(
        data,
        observations=data.observations[keep],
        action=tuple(compress(data.action, keep.tolist())),
        subject=tuple(compress(data.subject, keep.tolist())),
    )


def spread_poses(data: ObservationSet, count: int) -> ObservationSet:
    """At most ``count`` of the poses, evenly spread."""
    keep = torch.zeros(len(data), dtype=torch.bool)
    keep[torch.linspace(0, len(data) - 1, min(count, len(data))).long()] = True
    return select_poses(data, keep)
