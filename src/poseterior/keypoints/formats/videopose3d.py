"""VideoPose3D's data_2d_*.npz: dictionaries in object arrays, read without running anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import Array, describe, quote
from ...files.errors import InputError
from ...files.pickles import read_npz_dictionary
from ...geometry.skeletons import Skeleton, get_skeleton
from ..detections import Detections, Options, size_pair
from ..documents import ArrayFile
from ..joint_names import skeleton_of
from ..keypoints import PoseId

NAME = "videopose3d"
ABOUT = "VideoPose3D's data_2d_custom_*.npz and data_2d_h36m_*.npz: positions_2d and metadata"
EXAMPLE = """data_2d_custom_myvideos.npz:
positions_2d = {video: {'custom': [(frames, 17, 2)]}}, metadata = {'layout_name': 'coco', ...}"""
#: Made of an `ArrayFile`, not of JSON.
KIND = "arrays"

_LAYOUTS = {"coco": "coco17", "h36m": "h36m17", "mpii": "mpii16"}


def recognises(data: Any) -> int:
    """An npz with positions_2d."""
    return 3 * (isinstance(data, ArrayFile) and "positions_2d" in data.names)


def read(data: ArrayFile, options: Options) -> list[Detections]:
    """Keypoints of every subject, action and camera, each a clip of its own; joints without a score are sure.

    A third number per joint, where it is there, is the confidence. The size of the picture is that of the metadata's
    ``video_metadata``, else the caller's.

    Raises:
        InputError: anything but dictionaries of arrays of numbers (nothing in the file is executed), other shapes, a
            layout that no skeleton has.
    """
    positions = read_npz_dictionary(data.path, "positions_2d")
    metadata = read_npz_dictionary(data.path, "metadata") if "metadata" in data.names else {}
    found: list[tuple[str, Any, Array, Any]] = []
    for subject, actions in positions.items():
        if not isinstance(actions, dict):
            raise InputError(
                f"positions_2d[{quote(subject)}]: expected a dictionary of actions, found {describe(actions)}"
            )
        for action, cameras in actions.items():
            listed = cameras if isinstance(cameras, list | tuple) else [cameras]
            for camera, array in enumerate(listed):
                what = f"positions_2d[{quote(subject)}][{quote(action)}][{camera}]"
                found.append((f"{subject}/{action}/{camera}", subject, _checked(array, what), what))
    sizes = metadata.get("video_metadata") if isinstance(metadata, dict) else None
    parts = []
    for clip, subject, array, what in found:
        skeleton = _skeleton(metadata, array, what, options)
        file = options.file if len(found) == 1 else f"{options.file}/{clip}"
        size = _size(sizes, subject) or options.image_size or (np.nan, np.nan)
        parts.append(
            Detections(
                skeleton,
                [PoseId(file, frame, 0) for frame in range(len(array))],
                array[..., :2],
                array[..., 2] if array.shape[2] == 3 else np.ones(array.shape[:2]),
                image_size=np.tile(size, (len(array), 1)),
                sources=[f"{options.file}: {what}"] * len(array),
                tracked=[True] * len(array),
            )
        )
    return parts


def _checked(array: Any, what: str) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{what}: expected an array of numbers, found {describe(array)}")
    if array.ndim != 3 or array.shape[2] not in (2, 3):
        raise InputError(f"{what}: array of shape {array.shape}; expected (frames, joints, 2)")
    return np.asarray(array, np.float64)


def _skeleton(metadata: Any, array: Array, what: str, options: Options) -> Skeleton:
    if options.skeleton is None and isinstance(metadata, dict):
        name = _LAYOUTS.get(str(metadata.get("layout_name")).lower())
        if name is not None and len(get_skeleton(name)) == array.shape[1]:
            return get_skeleton(name)
    try:
        return skeleton_of(array.shape[1], array.shape, options.skeleton)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None


def _size(sizes: Any, subject: Any) -> tuple[float, float] | None:
    about = sizes.get(subject) if isinstance(sizes, dict) else None
    if not isinstance(about, dict) or about.get("w") is None or about.get("h") is None:
        return None
    return size_pair([about["w"], about["h"]], f"metadata.video_metadata[{quote(subject)}]")
