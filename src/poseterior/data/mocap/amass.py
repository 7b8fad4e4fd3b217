"""AMASS motions: npz files in the SMPL-H (52 joints) or SMPL-X (55 joints) layout.

No body model is used, because none may be shipped: the 22 body joints come from forward kinematics on a rest
skeleton of our own making, an adult of about 1.70 m. Body shape (``betas``) is therefore ignored, and positions
differ from the subject's true ones by the difference in proportions; rotations are the file's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import roma
import torch
from numpy.typing import NDArray

from ...files.checks import absent, reason
from ...files.errors import InputError
from ...files.npz import read_arrays
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from .joint_tables import AMASS_SHANK, AMASS_THIGH, TABLES
from .motion import Motion, checked, forward_kinematics_quaternion, snap_rate

__all__ = [
    "REST_OFFSETS",
    "read_amass",
    "read_rest_skeleton",
]

#: Columns of ``poses`` and the model they belong to; both begin with the 22 body joints.
LAYOUTS = {156: "SMPL-H", 165: "SMPL-X"}

_THIGH, _SHANK = np.deg2rad(AMASS_THIGH), np.deg2rad(AMASS_SHANK)

#: Rest position of each joint relative to its parent, metres, for the left side and the middle; the right side
#: is mirrored. Our own round numbers for an adult of 1.70 m, in SMPL's rest pose. The pelvis entry is where
#: SMPL's template holds its pelvis, to which ``trans`` is added.
_OFFSETS = {
    "pelvis": (0.0, -0.23, 0.03), "spine1": (0.0, 0.115, -0.02), "spine2": (0.0, 0.135, 0.005),
    "spine3": (0.0, 0.055, 0.02), "neck": (0.0, 0.21, -0.04), "head": (0.0, 0.085, 0.05),
    "left_hip": (0.065, -0.085, -0.01),
    "left_knee": (0.38 * np.sin(_THIGH), -0.38 * np.cos(_THIGH), 0.0),
    "left_ankle": (0.40 * np.sin(_SHANK), -0.40 * np.cos(_SHANK), -0.03),
    "left_foot": (0.03, -0.055, 0.12), "left_collar": (0.075, 0.115, -0.025),
    "left_shoulder": (0.115, 0.045, -0.01), "left_elbow": (0.255, -0.01, -0.02), "left_wrist": (0.25, 0.0, 0.0),
}  # fmt: skip


def _rest_offsets() -> NDArray[np.float64]:
    rows = []
    for joint in SKELETONS["smpl22"].joints:
        x, y, z = _OFFSETS[joint.replace("right_", "left_")]
        rows.append((-x if joint.startswith("right_") else x, y, z))
    return np.array(rows)


#: ``(22, 3)`` metres: our rest skeleton, y up, facing +z.
REST_OFFSETS: NDArray[np.float64] = _rest_offsets()


#: Arrays that are read, and the kinds of number (NumPy's dtype.kind) that they may hold.
_NUMBERS = dict.fromkeys(
    ("offsets", "poses", "root_orient", "pose_body", "trans", "mocap_framerate", "mocap_frame_rate"), "fiubcU"
)
#: Beyond this no axis-angle vector (radians) and no place (metres) is meant.
_LARGEST_TURN, _LARGEST_PLACE, _LONGEST_BONE = 1e4, 1e6, 5.0


@reader()
def read_rest_skeleton(path: str | Path) -> NDArray[np.float64]:
    """Rest offsets ``(22, 3)`` of another body, metres, SMPL's rest pose: each joint from its parent, the pelvis as is.

    Args:
        path: npz with ``p3d0``: places of SMPL-H's joints at rest, of which the first 22 are read
            (``smpl_skeleton.npz``, from which Dünkel et al. 2024 make their keypoints).

    Raises:
        InputError: no npz, no ``p3d0``, or one that holds no 22 places in metres.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {absent(path)}")
    places = read_arrays(path, {"p3d0": "fiu"}).get("p3d0")
    if places is None:
        raise InputError(f"{path}: no array 'p3d0'; expected the rest skeleton that HisRepItself and HuProSO3 share")
    if places.ndim == 3 and len(places) == 1:  # a batch of one, as it is published
        places = places[0]
    if places.ndim != 2 or places.shape[0] < 22 or places.shape[1] != 3:
        raise InputError(f"{path}: 'p3d0' has shape {places.shape}; expected (joints, 3) with SMPL's 22 joints first")
    places = places[:22].astype(np.float64)
    parents = np.array(SKELETONS["smpl22"].parents)
    offsets = np.where((parents >= 0)[:, None], places - places[parents], places)
    if not (np.abs(offsets) <= _LONGEST_BONE).all() or not (np.linalg.norm(offsets[1:], axis=-1) > 0).all():
        raise InputError(f"{path}: 'p3d0' holds bones that no body has; expected metres")
    return offsets


@reader()
def read_amass(path: str | Path, rest: NDArray[np.float64] | None = None) -> Motion:
    """Read an AMASS npz file.

    The world is turned from AMASS' z up to y up. ``poses`` (or ``root_orient`` and ``pose_body``) hold axis-angle
    vectors in radians, ``trans`` metres.

    Args:
        path: the file.
        rest: rest offsets ``(22, 3)`` of the body that moves, see `read_rest_skeleton`; None: `REST_OFFSETS`.

    Returns:
        The motion of the 22 body joints, metres, with SMPL's rest pose at zero rotation.

    Raises:
        InputError: no npz, a missing or wrongly shaped array, an unknown layout, a value that is not finite, or
            pickled objects, which are never read.
    """
    path = Path(path)
    try:
        arrays = read_arrays(path, _NUMBERS)
    except (InputError, FileNotFoundError) as error:
        if "Python objects" in str(error):
            raise InputError(
                f"{path}: an array holds pickled objects, which are never read; save it as plain numbers"
            ) from None
        raise InputError(f"{path}: not a readable npz file ({reason(error)})") from None

    if "poses" not in arrays and {"root_orient", "pose_body"} <= set(arrays):
        poses = np.concatenate([np.atleast_2d(arrays["root_orient"]), np.atleast_2d(arrays["pose_body"])], axis=-1)
        layouts = {66: "SMPL body"}
    else:
        poses, layouts = arrays.get("poses", np.zeros(0)), LAYOUTS
    for name in ("poses", "trans"):
        if name not in arrays and (name == "trans" or poses.size == 0):
            raise InputError(f"{path}: no array {name!r}; not an AMASS motion (shape and neutral files hold none)")
    if poses.dtype.kind not in "fiu" or arrays["trans"].dtype.kind not in "fiu":
        raise InputError(f"{path}: 'poses' and 'trans' must be numbers, found {poses.dtype}, {arrays['trans'].dtype}")
    if poses.ndim != 2 or poses.shape[1] not in layouts or not len(poses):
        known = ", ".join(f"{columns} ({name})" for columns, name in layouts.items())
        raise InputError(f"{path}: 'poses' has shape {poses.shape}; expected (frames, columns) with columns {known}")
    trans = arrays["trans"].astype(np.float64)
    if trans.shape != (len(poses), 3):
        raise InputError(f"{path}: 'trans' has shape {trans.shape}; expected ({len(poses)}, 3)")
    body = poses[:, :66].astype(np.float64).reshape(len(poses), 22, 3)
    _refuse_no_places(path, body, trans)
    rate = arrays.get("mocap_frame_rate", arrays.get("mocap_framerate"))
    if rate is None:
        raise InputError(f"{path}: no 'mocap_framerate' (or 'mocap_frame_rate'); the frame rate is unknown")
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not (np.isfinite(rate).all() and float(rate.item()) > 0):
        raise InputError(f"{path}: mocap_framerate is {rate!r}; expected one positive number")

    rotations = roma.rotvec_to_unitquat(torch.from_numpy(body))
    upright = roma.rotvec_to_unitquat(torch.tensor([-np.pi / 2, 0.0, 0.0], dtype=torch.float64))
    upright = upright.expand(len(body), 4)
    root = SKELETONS["smpl22"].root
    own = _own_offsets(path, arrays.get("offsets")) if rest is None else rest
    translations = [torch.from_numpy(offset) for offset in own]
    translations[root] = roma.quat_action(upright, torch.from_numpy(trans + own[root]))
    turns = [rotations[:, joint] for joint in range(22)]
    turns[root] = roma.quat_product(upright, turns[root])
    skeleton = SKELETONS["smpl22"]
    positions, orientations = forward_kinematics_quaternion(skeleton.parents, translations, turns)
    motion = Motion(skeleton.joints, skeleton.parents, positions, orientations, snap_rate(1.0 / float(rate.item())))
    return checked(motion, path)


def _own_offsets(path: Path, offsets: NDArray[np.generic] | None) -> NDArray[np.float64]:
    """The rest skeleton ``(22, 3)``: our own files of motions name theirs in the T-pose; AMASS' name none."""
    if offsets is None:
        return REST_OFFSETS
    skeleton = SKELETONS["smpl22"]
    if offsets.shape != (22, 3) or offsets.dtype.kind not in "fiu" or not (np.abs(offsets) <= _LONGEST_BONE).all():
        raise InputError(
            f"{path}: 'offsets' is {offsets.dtype} of shape {offsets.shape}; expected (22, 3) numbers in metres, the "
            "body at rest"
        )
    frames = [TABLES["amass"].frames[joint][1].matrix() for joint in skeleton.joints]
    own = REST_OFFSETS.copy()
    for joint, parent in enumerate(skeleton.parents):
        if parent >= 0:  # from the T-pose to SMPL's rest pose, in which the legs are spread
            own[joint] = frames[parent].T @ offsets[joint].astype(np.float64)
    return own


def _refuse_no_places(path: Path, body: NDArray[np.float64], trans: NDArray[np.float64]) -> None:
    bad = ~(np.abs(body) <= _LARGEST_TURN).all(-1)
    if bad.any():
        frame, joint = np.argwhere(bad)[0]
        raise InputError(
            f"{path}: 'poses' of frame {frame}, joint {SKELETONS['smpl22'].joints[joint]!r} is not finite, or "
            f"beyond {_LARGEST_TURN:g} radians; drop those frames first"
        )
    bad = ~(np.abs(trans) <= _LARGEST_PLACE).all(-1)
    if bad.any():
        raise InputError(
            f"{path}: 'trans' of frame {int(bad.argmax())} is not finite, or beyond {_LARGEST_PLACE:g} m; "
            "drop those frames first"
        )
