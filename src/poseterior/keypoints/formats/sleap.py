"""SLEAP's analysis HDF5: tracks, node_names, point_scores and what goes with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import Array
from ...files.errors import InputError
from ...files.hdf5 import read_numbers, read_texts
from ..detections import Detections, Options
from ..hdf5_files import HDF5File
from ..joint_names import covering_skeleton, temporary_skeleton
from ..keypoints import PoseId
from ..tabular import named_joints

NAME = "sleap"
ABOUT = "SLEAP's analysis HDF5: tracks (tracks, 2, nodes, frames), node_names, point_scores"
EXAMPLE = (
    "video.analysis.h5: /tracks (tracks, 2, nodes, frames), /node_names (nodes), /point_scores (tracks, nodes, frames)"
)
#: Made of an `HDF5File`, not of JSON.
KIND = "hdf5"
SCORES = "peak"


def recognises(data: Any) -> int:
    """Datasets tracks and node_names."""
    return 4 * (isinstance(data, HDF5File) and {"tracks", "node_names"} <= set(data.names))


def read(data: HDF5File, options: Options) -> list[Detections]:
    """Keypoints of all tracks, each a person; NaN is a missing joint, a track without joints is nobody.

    Raises:
        InputError: h5py is missing, arrays whose shapes do not fit each other, no node that is a person's joint.
    """
    with data.opened() as file:
        nodes = read_texts(file, "node_names")
        tracks = _ordered(read_numbers(file, "tracks"), len(nodes), file["tracks"].attrs.get("dims"))
        scores = read_numbers(file, "point_scores") if "point_scores" in data.names else None
        if scores is not None:
            scores = _scores(scores, tracks)
    joints, used = named_joints(nodes, "node_names", options)
    xy = tracks[:, :, used]
    confidence = np.ones(xy.shape[:-1]) if scores is None else scores[:, :, used]
    if scores is not None and not (np.isfinite(confidence) & (confidence != 0)).any():
        confidence = np.ones(xy.shape[:-1])  # labelled by hand: there are no scores
    there = np.isfinite(xy).all(-1).any(-1)
    frame, track = np.nonzero(there)
    size = options.image_size or (np.nan, np.nan)
    return [
        Detections(
            temporary_skeleton(joints),
            [PoseId(options.file, f, t) for f, t in zip(frame.tolist(), track.tolist(), strict=True)],
            xy[frame, track],
            confidence[frame, track],
            image_size=np.tile(size, (len(frame), 1)),
            target=covering_skeleton(joints, options.skeleton),
            sources=[options.file] * len(frame),
            tracked=[True] * len(frame),
        )
    ]


def _ordered(tracks: Array, nodes: int, dims: Any) -> Array:
    """(frames, tracks, nodes, 2) of whichever order the file has; SLEAP's own is (tracks, 2, nodes, frames)."""
    if tracks.ndim != 4:
        raise InputError(f"tracks has shape {tracks.shape}; expected (tracks, 2, {nodes} nodes, frames)")
    shape = tracks.shape
    if (named := _named(dims)) is not None:
        order = named
    elif shape[1] == 2 and shape[2] == nodes:
        order = (3, 0, 2, 1)
    elif shape[3] == 2 and shape[2] == nodes:
        order = (0, 1, 2, 3)
    else:
        raise InputError(f"tracks has shape {shape}; expected (tracks, 2, {nodes} nodes, frames)")
    turned = tracks.transpose(order)
    if turned.shape[2:] != (nodes, 2):
        raise InputError(f"tracks has shape {shape}; expected (tracks, 2, {nodes} nodes, frames)")
    return turned


def _named(dims: Any) -> tuple[int, ...] | None:
    """The order to transpose by, where the file names the dimensions (sleap-io)."""
    if not isinstance(dims, str):
        return None
    words = [word.strip(" \"[]'").lower() for word in dims.split(",")]
    names = ("frame", "track", "node", "xy")
    found = [next((i for i, word in enumerate(words) if word.startswith(name)), None) for name in names]
    return None if len(words) != 4 or None in found else tuple(i for i in found if i is not None)


def _scores(scores: Array, tracks: Array) -> Array:
    """(frames, tracks, nodes)."""
    frames, people, nodes, _ = tracks.shape
    if scores.shape == (people, nodes, frames):
        return scores.transpose(2, 0, 1)
    if scores.shape == (frames, people, nodes):
        return scores
    raise InputError(
        f"point_scores has shape {scores.shape}; expected ({people} tracks, {nodes} nodes, {frames} frames)"
    )
