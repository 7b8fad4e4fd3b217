"""Motion files that hold joint rotations, read back: ours (`.npz`, with means and samples), and AMASS'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.mocap.amass import REST_OFFSETS, read_amass
from ..data.mocap.joint_tables import TABLES, to_body
from ..data.mocap.smplx import our_offsets
from ..files.errors import InputError
from ..files.npz import read_arrays
from ..files.reading import reader
from ..geometry.skeletons import SKELETONS
from .rotations import RotationResult

__all__ = ["BETAS", "is_motion", "read_motion"]

#: In the settings of a motion: the shape coefficients that its file tells, a JSON list.
BETAS = "betas"
_SMPL = SKELETONS["smpl22"]
#: Arrays that our files have besides, and their axes after the frames; of frames, samples and joints.
_OURS = {
    "mean_quaternions": ("f", 22, 4), "sample_quaternions": ("f", "s", 22, 4), "log_prob": ("f", "s"),
    "spread_radians": ("f", 22), "frame": ("f",),
}  # fmt: skip
_LARGEST_SHAPE, _UNIT = 20.0, 1e-2


def is_motion(path: str | Path) -> bool:
    """Whether an npz holds rotations of SMPL's joints, as AMASS' files and ours do."""
    path = Path(path)
    if path.suffix.lower() != ".npz" or not path.is_file():
        return False
    try:
        names = np.load(path, allow_pickle=False).files
    except (OSError, ValueError):
        return False
    return "schema" not in names and "trans" in names and bool({"poses", "pose_body"} & set(names))


@reader()
def read_motion(path: str | Path) -> RotationResult:
    """The rotations in a motion file, y up.

    Args:
        path: ``.npz`` that `RotationResult.save` wrote, with its samples; or one of AMASS, whose motion is then the one
            sample, without density.

    Returns:
        Rotations of one clip, with the rest body of the file, or of `poseterior.data.mocap.amass`; in
        ``settings["betas"]`` the shape that the file tells, unless it is zero.

    Raises:
        InputError: as `poseterior.data.mocap.amass.read_amass`; arrays of samples that do not fit the motion or are no
            rotations.
    """
    path = Path(path)
    motion = read_amass(path)
    positions, turns, _ = to_body(motion, TABLES["amass"], file=path)
    kinds = dict.fromkeys(_OURS, "fiu") | {BETAS: "fiu", "offsets": "fiu"}
    found = read_arrays(path, kinds)
    frames = len(turns)
    held = _ours(path, found, frames)
    mean = held.get("mean_quaternions", turns)
    samples = held.get("sample_quaternions", turns[:, None])
    settings = {"fps": json.dumps(motion.fps)}
    if (betas := _betas(path, found.get(BETAS))) is not None:
        settings[BETAS] = json.dumps(betas)
    return RotationResult(
        rotations=samples.astype(np.float32),
        log_prob=held.get("log_prob", np.full(samples.shape[:2], np.nan)).astype(np.float32),
        mean=mean.astype(np.float32),
        spread=held.get("spread_radians", np.zeros((frames, 22))).astype(np.float32),
        offsets=np.repeat(_offsets(found.get("offsets"))[None], frames, 0),
        root=positions[:, 0].astype(np.float32),
        axes="y up",
        modelled=_SMPL.joints,
        file=np.full(frames, path.name),
        frame=held.get("frame", np.arange(frames)).astype(np.int64),
        person=np.zeros(frames, np.int64),
        settings=settings,
    )


def _ours(path: Path, found: dict[str, NDArray[np.generic]], frames: int) -> dict[str, NDArray[np.generic]]:
    """What our files have besides, checked."""
    samples = found["sample_quaternions"].shape[1] if found.get("sample_quaternions", np.zeros(0)).ndim == 4 else 0
    sizes = {"f": frames, "s": samples}
    held = {name: found[name] for name in _OURS if name in found}
    for name, array in held.items():
        expected = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in _OURS[name])
        if array.shape != expected or 0 in expected:
            raise InputError(f"{path}: {name!r} has shape {array.shape}; expected {expected} for {frames} frames")
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32)
        wrong = np.isinf(numbers) if name == "log_prob" else ~np.isfinite(numbers)  # NaN: no density
        if wrong.any():
            raise InputError(
                f"{path}: {name!r} of frame {np.argwhere(wrong)[0][0]} is not finite; write the motion again"
            )
        if name.endswith("quaternions"):
            length = np.linalg.norm(array.astype(np.float64), axis=-1)
            bad = ~(np.abs(length - 1) <= _UNIT)
            if bad.any():
                place = np.argwhere(bad)[0]
                raise InputError(
                    f"{path}: {name!r} of frame {place[0]}, joint {_SMPL.joints[place[-1]]!r} is no unit quaternion "
                    "(xyzw); write the motion again"
                )
    return held


def _betas(path: Path, betas: NDArray[np.generic] | None) -> list[float] | None:
    if betas is None or betas.ndim != 1 or not betas.any():
        return None
    given = betas.astype(np.float64)
    if not (np.abs(given) <= _LARGEST_SHAPE).all():
        raise InputError(f"{path}: 'betas' holds numbers beyond {_LARGEST_SHAPE:g}; no body has such a shape")
    return [float(value) for value in given]


def _offsets(told: NDArray[np.generic] | None) -> NDArray[np.float32]:
    """The 25 points of the rest body that moves: AMASS' as we read it, or the one that the file names."""
    joints = torch.zeros(len(_SMPL), 3, dtype=torch.float64)
    for joint in _SMPL.topological_order:
        parent = _SMPL.parents[joint]
        joints[joint] = torch.from_numpy(REST_OFFSETS[joint]) + (0.0 if parent < 0 else joints[parent])
    offsets = our_offsets(joints)
    if told is None:
        return offsets.float().numpy()
    own = torch.from_numpy(told.astype(np.float64))
    head, root, hips = (_SMPL.index(name) for name in ("head", "pelvis", "left_hip"))
    extra = offsets[len(_SMPL) :] * own[head].norm() / offsets[head].norm()
    extra[0] = (own[hips] + own[_SMPL.index("right_hip")]) / 2  # hip_centre
    own[root] = 0.0
    return torch.cat([own, extra]).float().numpy()
