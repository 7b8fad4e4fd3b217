"""TRC files of keypoints in a picture: what Sports2D writes as *_px_*.trc."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.errors import InputError
from ..detections import Detections, Options
from ..joint_names import covering_skeleton, temporary_skeleton
from ..keypoints import PoseId
from ..tabular import named_joints
from ..trc import TrcFile

NAME = "trc"
ABOUT = "TRC in pixels, without depth, as Sports2D writes (*_px_person00.trc); 3D markers are for `poseterior ik`"
EXAMPLE = """PathFileType 4 (X/Y/Z) clip_px_person00.trc ... (separated by tabs)
Frame# Time Hip RHip RKnee ...
0 0.0 312.5 240.1 0.0 ..."""
#: Made of a `TrcFile`, not of JSON.
KIND = "trc"


def recognises(data: Any) -> int:
    """Any TRC file."""
    return int(isinstance(data, TrcFile))


def read(data: TrcFile, options: Options) -> list[Detections]:
    """Keypoints of one person; a marker that is missing is a missing joint. There are no scores.

    Raises:
        InputError: 3D markers, coordinates in metres, no marker that is a person's joint.
    """
    if not data.flat:
        raise InputError("holds 3D markers, not 2D keypoints; solve for the rotations instead: poseterior ik FILE")
    if not data.in_pixels:
        raise InputError(
            "holds points without depth in metres; pass the file in pixels that Sports2D writes beside it (*_px_*.trc)"
        )
    joints, used = named_joints(data.joints, "markers", options)
    xy = data.points[:, used, :2]
    size = options.image_size or (np.nan, np.nan)
    return [
        Detections(
            temporary_skeleton(joints),
            [PoseId(options.file, frame, 0) for frame in data.frames],
            xy,
            np.where(np.isfinite(xy).all(-1), 1.0, 0.0),
            image_size=np.tile(size, (len(xy), 1)),
            target=covering_skeleton(joints, options.skeleton),
            sources=[options.file] * len(xy),
            tracked=[True] * len(xy),
            fps=data.fps,
        )
    ]
