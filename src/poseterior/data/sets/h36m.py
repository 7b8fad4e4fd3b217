"""Human3.6M with real detections: 3D poses of the data set, 2D detections and Gaussian fits of the published flow.

The 3D poses are the ``D3_Positions_mono`` CDF files of Human3.6M (camera axes, millimetres, 32 joints, 50 Hz); the
detections are the pickles that Wehrbein et al. (ICCV 2021) released: ``{subject: {action: {"0" | "1": {camera:
recording}}}}``, a recording with ``imgpath`` (list, every 4th frame), ``2d_hrnet`` ``(frames, 32)`` and ``gaussfit``
``(frames, 112)``; their merged files add ``3d_gt`` ``(frames, 51)``. Human3.6M's licence lets nobody pass its files on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.cdf import check_cdf
from ...files.checks import naming
from ...files.errors import InputError
from ...files.extras import need
from ...files.pickles import read_pickle
from ...files.reading import reader
from ...geometry.linalg import ellipse_covariance
from ...geometry.skeletons import SKELETONS
from ...keypoints import Keypoints2D, PoseId
from ..observations import Observations, ObservationSet
from . import h36m_layout
from .h36m_layout import CAMERAS, DETECTED_JOINTS, JOINTS_OF_32, OTHER_ACTION_NAMES

__all__ = [
    "ACTIONS",
    "SPLITS",
    "Recording",
    "cdf_file",
    "fitted_covariance",
    "hard_frames",
    "read_h36m",
    "read_positions",
    "recordings",
]

_BODY = SKELETONS["h36m17"]

#: Split -> subjects. "test-hard" keeps the test frames on which the detector was unsure, see `hard_frames`.
SPLITS: dict[str, tuple[str, ...]] = {**h36m_layout.SPLITS, "test-hard": h36m_layout.SPLITS["test"]}
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "WalkTogether", "Walking",
)  # fmt: skip

#: (subject, action) -> what stands behind the action in the names of the CDF files of takes "0" and "1", where that
#: is not the usual nothing and "1". The pickles number the takes so, later takes first included.
_TAKES = {
    ("S1", "Eating"): ("", "2"), ("S1", "Sitting"): ("2", "1"), ("S1", "SittingDown"): ("", "2"),
    ("S5", "Directions"): ("2", "1"), ("S5", "Discussion"): ("3", "2"), ("S5", "Greeting"): ("2", "1"),
    ("S5", "Photo"): ("", "2"), ("S5", "Waiting"): ("2", "1"), ("S6", "Eating"): ("2", "1"),
    ("S6", "Posing"): ("", "2"), ("S6", "Sitting"): ("2", "1"), ("S6", "Waiting"): ("", "3"),
    ("S7", "Phoning"): ("", "2"), ("S7", "Waiting"): ("2", "1"), ("S7", "Walking"): ("2", "1"),
    ("S8", "WalkTogether"): ("2", "1"), ("S9", "Discussion"): ("2", "1"), ("S11", "Discussion"): ("2", "1"),
    ("S11", "Greeting"): ("", "2"), ("S11", "Phoning"): ("3", "2"), ("S11", "Smoking"): ("", "2"),
}  # fmt: skip

#: Bounds of a fitted standard deviation in heatmap pixels: the fits were unbounded. Those of the published condition.
_NARROWEST, _WIDEST = 0.2, 10.0
#: A joint is unsure, and its frame hard, above this (two and a half times what the detector was trained to draw).
_HARD = 5.0
#: Heatmap pixels in one standard deviation of a person's coordinates: 5 mm per pixel, 0.32 m per person.
_HEATMAP_PIXELS = 64.0


class Recording(NamedTuple):
    """One camera's view of one take."""

    subject: str
    action: str
    take: str
    camera: str

    def __str__(self) -> str:
        return "/".join(self)


#: The first is left out as published, the second does not exist.
_LEFT_OUT = {Recording("S5", "Waiting", "1", "55011271"), Recording("S11", "Directions", "0", "54138969")}


def recordings(split: str) -> Iterator[Recording]:
    """All recordings of a split: 15 actions, 2 takes, 4 cameras per subject, two left out.

    Raises:
        InputError: unknown split.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    for subject in SPLITS[split]:
        for action in ACTIONS:
            for take in ("0", "1"):
                for camera in CAMERAS:
                    recording = Recording(subject, action, take, camera)
                    if recording not in _LEFT_OUT:
                        yield recording


# -- the 3D poses --------------------------------------------------------------------------------------------


def cdf_file(folder: str | Path, recording: Recording) -> Path:
    """The CDF file of a recording below ``folder``, by the data set's naming of takes, which differs by subject.

    Raises:
        InputError: it is not there; names the file that was looked for.
    """
    subject, action, take, camera = recording
    number = _TAKES.get((subject, action), ("", "1"))[int(take)]
    place = Path(folder) / subject / "MyPoseFeatures" / "D3_Positions_mono"
    ends = f" {number}.{camera}.cdf" if number else f".{camera}.cdf"
    names = [name + ends for name in (action, OTHER_ACTION_NAMES.get(action)) if name is not None]
    for name in names:
        if (place / name).is_file():
            return place / name
    raise InputError(
        f"{place}: no file {names[0]!r} for {recording}; name the folder that holds S1, S5 ... as unpacked from "
        "Human3.6M's Poses_D3_Positions_mono archives"
    )


@reader()
def read_positions(path: str | Path) -> Float[NDArray[np.float64], "frames 17 3"]:
    """Read a ``D3_Positions_mono`` CDF file: h36m17 joints, metres, camera axes (x right, y down, z forward).

    Raises:
        InputError: cdflib is not installed, no CDF file, no positions of 32 joints in it, or a value that is not
            finite.
    """
    need("h36m", "cdflib", f"{path}: reading CDF files")
    import cdflib

    if Path(path).is_file():
        check_cdf(Path(path))
    try:
        content = cdflib.CDF(Path(path))
        info = content.cdf_info()
        variables = [*info.zVariables, *info.rVariables]
        values: np.ndarray = np.asarray(content.varget(variables[0])) if variables else np.zeros(0)
    except Exception as error:  # cdflib raises many kinds for a broken file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: not a readable CDF file ({reason})") from None
    if values.ndim == 3 and len(values) == 1:  # one record that holds the whole recording
        values = values[0]
    if values.dtype.kind != "f" or values.ndim != 2 or values.shape[1] != 96:
        raise InputError(
            f"{path}: holds {values.dtype} of shape {values.shape}; expected (frames, 96): 32 joints, x, y, z in mm"
        )
    poses = values.reshape(-1, 32, 3)[:, JOINTS_OF_32].astype(np.float64) / 1000.0
    _refuse_not_finite(poses, str(path))
    return poses


def _refuse_not_finite(poses: NDArray[np.float64], where: str) -> None:
    bad = np.asarray(~np.isfinite(poses).all(-1))
    if bad.any():
        frame, joint = np.argwhere(bad)[0]
        raise InputError(f"{where}: joint {_BODY.joints[joint]!r} of pose {frame} is not finite")


# -- the detections ------------------------------------------------------------------------------------------

#: Field -> numbers per frame, and what they are.
_FIELDS = {
    "2d_hrnet": (32, "x of 16 joints, then y"),
    "gaussfit": (112, "amplitude, mean, sigma_x, theta, sigma_y and residual of 16 joints"),
    "3d_gt": (51, "x of 17 joints, then y, then z, in mm"),
}


def _held(found: dict[Any, Any]) -> str:
    """The keys of a dictionary, for a message."""
    return ", ".join(str(key)[:40] for key in islice(found, 20)) or "nothing"


def _find(dataset: Any, recording: Recording, path: str | Path) -> dict[str, Any]:
    """A recording of the nested dictionaries."""
    found = dataset
    for depth, key in enumerate(recording):
        where = "/".join(recording[:depth]) or "the top"
        level = ("subject", "action", "take", "camera")[depth]
        if not isinstance(found, dict):
            raise InputError(f"{path}: {where} is no dictionary by {level} but {type(found).__name__}")
        if key not in found:
            raise InputError(f"{path}: {where}: the {level} {key!r} is missing; it holds: {_held(found)}")
        found = found[key]
    if not isinstance(found, dict):
        raise InputError(f"{path}: {recording} is no dictionary of imgpath, {', '.join(_FIELDS)}")
    return found


def _field(recording: dict[str, Any], name: str, frames: int, where: str) -> NDArray[np.float64]:
    columns, meaning = _FIELDS[name]
    if name not in recording:
        raise InputError(f"{where}: {name!r} is missing; expected ({frames}, {columns}): {meaning}")
    value = recording[name]
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu" or value.shape != (frames, columns):
        found = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise InputError(f"{where}: {name!r} is {found}; expected numbers ({frames}, {columns}): {meaning}")
    return np.asarray(value, dtype=np.float64)


def _frame_numbers(recording: dict[str, Any], where: str) -> NDArray[np.int64]:
    """Numbers, from 1, of the frames that were used: ``/S9/Directions.54138969/4.jpg`` is the fourth."""
    images = recording.get("imgpath")
    if not isinstance(images, list | tuple | np.ndarray) or not all(isinstance(image, str) for image in images):
        raise InputError(f"{where}: 'imgpath' is missing or no list of text; expected one path per frame")
    found = [re.search(r"(\d+)\.\w+$", image) for image in images]
    if None in found:
        raise InputError(f"{where}: 'imgpath' {images[found.index(None)]!r} does not end in a frame number")
    numbers = np.array([int(match.group(1)) for match in found if match], dtype=np.int64)
    if (numbers < 1).any():
        raise InputError(f"{where}: 'imgpath' counts frames from 1, but one is {int(numbers.min())}")
    return numbers


def fitted_covariance(
    fits: Float[NDArray[np.float64], "*batch 7"], scale: Float[NDArray[np.float64], "*batch"]
) -> Float[NDArray[np.float64], "*batch 2 2"]:
    """Covariance in px² (x right, y down) of Gaussians fitted to heatmaps.

    The fitted function turns by ``-theta`` in image axes; a sigma may have come out negative, which means the same
    as positive, and is bounded to 0.2 to 10 heatmap pixels.

    Args:
        fits: amplitude, mean x and y, sigma_x, theta, sigma_y (heatmap px, radians), residual.
        scale: px in one heatmap pixel.
    """
    sigma = np.abs(fits[..., [3, 5]]).clip(_NARROWEST, _WIDEST) * scale[..., None]
    first, angle, second = (torch.as_tensor(part) for part in (sigma[..., 0], -fits[..., 4], sigma[..., 1]))
    return ellipse_covariance(first, angle, second).numpy()


def hard_frames(fits: Float[NDArray[np.float64], "*batch 16 7"]) -> NDArray[np.bool_]:
    """Where the published hard subset has a frame: a fitted sigma of any joint above 5 heatmap pixels.

    As published, a negative sigma does not count.
    """
    return np.asarray((fits[..., [3, 5]] > _HARD).any((-1, -2)))


class _Frames(NamedTuple):
    """What is read of one recording: ``n`` frames."""

    number: NDArray[np.int64]
    xy: NDArray[np.float64]
    fits: NDArray[np.float64]
    absolute: NDArray[np.float64]


def _read_recording(dataset: Any, recording: Recording, path: str | Path, folder: str | Path | None) -> _Frames:
    where = f"{path}: {recording}"
    values = _find(dataset, recording, path)
    number = _frame_numbers(values, where)
    n = len(number)
    if n == 0:  # as published: a recording without frames need not have the other fields
        return _Frames(number, np.zeros((0, 16, 2)), np.zeros((0, 16, 7)), np.zeros((0, 17, 3)))
    xy = _field(values, "2d_hrnet", n, where).reshape(n, 2, 16).swapaxes(1, 2)
    fits = _field(values, "gaussfit", n, where).reshape(n, 16, 7)
    if folder is not None:
        file = cdf_file(folder, recording)
        positions = read_positions(file)
        if number.max() > len(positions):
            raise InputError(
                f"{file}: has {len(positions)} frames, but the detections go up to frame {number.max()} ({where})"
            )
        absolute = positions[number - 1]
    elif "3d_gt" in values:
        absolute = _field(values, "3d_gt", n, where).reshape(n, 3, 17).swapaxes(1, 2) / 1000.0
        _refuse_not_finite(absolute, where)
    else:
        raise InputError(
            f"{where}: '3d_gt' is missing: these detections are without 3D poses; give the folder of Human3.6M's "
            "CDF files, and this file as --detections"
        )
    return _Frames(number, xy, fits, absolute)


def _keypoints(xy: NDArray[np.float64], fits: NDArray[np.float64], ids: list[PoseId]) -> Keypoints2D:
    """Detections and fits ``(n, 16, ...)`` as h36m17 keypoints; the nose, which was not detected, is hidden."""
    seen = np.asarray(np.isfinite(xy).all(-1) & np.isfinite(fits[..., 3:6]).all(-1))
    weight = seen[..., None].astype(np.float64)
    xy, fits = np.where(seen[..., None], xy, 0.0), np.where(seen[..., None], fits, 1.0)
    count = weight.sum(-2, keepdims=True).clip(1.0)
    centred = (xy - (xy * weight).sum(-2, keepdims=True) / count) * weight
    spread = np.sqrt((centred**2).sum((-2, -1)) / (2.0 * count[..., 0, 0]))
    seen &= (spread > 0)[:, None]
    scale = np.where(spread > 0, spread, 1.0) / _HEATMAP_PIXELS
    order = [_BODY.index(joint) for joint in DETECTED_JOINTS]
    all_xy, all_seen = np.zeros((len(xy), 17, 2), np.float32), np.zeros((len(xy), 17), bool)
    covariance = np.tile(np.eye(2, dtype=np.float32), (len(xy), 17, 1, 1))
    all_xy[:, order], all_seen[:, order] = xy, seen
    covariance[:, order] = fitted_covariance(fits, np.broadcast_to(scale[:, None], seen.shape))
    amplitude = np.full((len(xy), 17), np.nan, np.float32)
    amplitude[:, order] = fits[..., 0]
    kept = np.full((len(xy), 17, 6), np.nan, np.float32)
    kept[:, order] = fits[..., :6]
    return Keypoints2D(all_xy, covariance=covariance, visible=all_seen, amplitude=amplitude, fits=kept, ids=ids)


@reader()
def read_h36m(detections: str | Path, folder: str | Path | None = None, split: str = "train") -> ObservationSet:
    """Human3.6M as observations: detected keypoints, what the detector was unsure of, and the true pose.

    The covariance is that of the fitted Gaussians as the published flow reads it: one heatmap pixel is 5 mm at a
    person whose coordinates spread by 0.32 m, i.e. 1/64 of the standard deviation of the pose's coordinates, so that
    the sigma of 2 px that every sure detection was trained to have means 10 mm. (Taken literally, a heatmap pixel is
    some 30 mm.) Whether ``2d_hrnet`` is in pixels of the photograph or of a crop the files do not say: image size
    and intrinsics stay unknown. The fits are kept beside the detection (`Keypoints2D.fits`), for the published flow.

    Args:
        detections: the pickle; with ``3d_gt`` in it, or without and a ``folder``.
        folder: holds ``S1/MyPoseFeatures/D3_Positions_mono/*.cdf`` and so on. Each detection gets the pose of the
            frame that its ``imgpath`` names.
        split: see `SPLITS`.

    Returns:
        Poses in the split's order of subjects, actions, takes, cameras, frames; ids have the clip
        ``subject/action/take/camera`` and the frame number from 1 at 50 Hz.

    Raises:
        InputError: a file that is not there or broken, a pickle with anything but plain data in it, something
            missing or of the wrong shape (names subject, action, take and camera).
    """
    wanted = list(recordings(split))
    dataset = read_pickle(detections)
    if isinstance(dataset, dict) and not set(SPLITS[split]) & set(dataset):
        raise InputError(
            f"{detections}: holds {_held(dataset)}; the split {split!r} needs {', '.join(SPLITS[split])}: "
            "choose another --split"
        )
    parts: list[_Frames] = []
    keypoints: list[Keypoints2D] = []
    names: list[Recording] = []
    for recording in wanted:
        frames = _read_recording(dataset, recording, detections, folder)
        if split == "test-hard":
            keep = hard_frames(frames.fits)
            frames = _Frames(frames.number[keep], frames.xy[keep], frames.fits[keep], frames.absolute[keep])
        parts.append(frames)
        ids = [PoseId(str(recording), int(number), 0) for number in frames.number]
        with naming(f"{detections}: {recording}"):
            keypoints.append(_keypoints(frames.xy, frames.fits, ids))
        names += [recording] * len(frames.number)
    if not names:
        raise InputError(f"{detections}: no frame in the split {split!r}")
    absolute = np.concatenate([part.absolute for part in parts])
    root = torch.from_numpy(absolute[:, _BODY.root]).float()
    pose = torch.from_numpy(absolute - absolute[:, _BODY.root, None]).float()
    observations = Observations(
        Keypoints2D.cat(keypoints), pose, torch.ones(pose.shape[:2], dtype=torch.bool), root, torch.arange(len(pose))
    )
    subjects, actions = tuple(n.subject for n in names), tuple(n.action for n in names)
    return ObservationSet(observations, actions, subjects, f"h36m-{split} v1", seed=0)
