"""Human3.6M as the npz files of VideoPose3D (Pavllo et al., CVPR 2019).

``data_3d_h36m.npz`` has ``positions_3d``: subject -> action -> ``(frames, 32, 3)``, metres, world axes, 50 Hz.
``data_2d_h36m_gt.npz`` and its siblings (``cpn_ft_h36m_dbb``, ``sh_ft_h36m``, ``detectron_pt_coco`` ...) have
``positions_2d``: subject -> action -> four arrays ``(frames, joints, 2)``, px, one per camera, and ``metadata``. All
are pickled dictionaries, of which nothing is executed here. Human3.6M's licence lets nobody pass its files on.

The files say nothing of the cameras. These are solved from ``data_2d_h36m_gt.npz``, which the script that writes the
3D file always writes too: its 2D joints are exact projections of the 3D ones, so that thousands of pairs determine
the nine numbers of a lens and the six of its place (and every further frame proves them, where a table of numbers
would have to be believed).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ...files.checks import naming
from ...files.errors import InputError
from ...files.extras import need
from ...files.pickles import read_npz_dictionary
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from ...keypoints import MINIMUM_SPREAD_PX, Keypoints2D, PoseId
from ..observations import Observations, ObservationSet
from .h36m_layout import (
    CAMERAS,
    DETECTED_JOINTS,
    IMAGE_SIZES,
    JOINTS_OF_32,
    SPLITS,
    DistortedCamera,
    action_name,
    project_distorted,
)

__all__ = [
    "read_h36m_npz",
    "solve_camera",
]

_BODY = SKELETONS["h36m17"]

_GROUND_TRUTH = "gt"
#: What to do where a file of the two that belong together is missing or does not fit.
_PREPARE = "VideoPose3D's data/prepare_data_h36m.py writes data_3d_h36m.npz and data_2d_h36m_gt.npz together"
#: Pairs that a camera is solved from; and how far every projection may then be off: the files have single precision.
_PAIRS = 3000
_TOLERANCE_PX = 0.1
#: A search that takes more steps than this finds no camera; with pairs that belong together it takes five.
_STEPS = 30
#: No coordinate is beyond this, m: others are millimetres.
_LARGEST_ROOM_M = 100.0
#: The largest 2D coordinate is between these: normalised ones are below 2.
_PIXELS = (10.0, 10_000.0)
#: Where the search for a lens begins, px. Human3.6M's are within some percent of it.
_FIRST_FOCAL, _FIRST_CENTRE = 1150.0, 510.0

Recording = tuple[str, str]


class _View(NamedTuple):
    """One camera's view of some frames of a recording."""

    id: tuple[str, str, str]
    frames: NDArray[np.int64]
    absolute: NDArray[np.float32]
    keypoints: Keypoints2D


@reader()
def read_h36m_npz(
    folder: str | Path, split: str = "train", detections: str = _GROUND_TRUTH, every: int = 1
) -> ObservationSet:
    """Human3.6M as observations: every recording of the split's subjects, seen by the four cameras.

    Args:
        folder: holds ``data_3d_h36m.npz``, ``data_2d_h36m_gt.npz`` and, for other detections,
            ``data_2d_h36m_DETECTIONS.npz``.
        split: "train" (S1, S5 to S8) or "test" (S9, S11).
        detections: "gt" takes the exact projections, and reports half a pixel of uncertainty; any other file's are
            a detector's, of which nothing is known but the place: 17 joints of Human3.6M or of COCO (told apart by
            ``metadata``), or 16 of the stacked hourglass (MPII's where the name says so, else Human3.6M's).
        every: take every n-th frame, from the first.

    Returns:
        Keypoints with intrinsics, which do not know of the distortion; poses in metres relative to the pelvis,
        camera axes (x right, y down, z forward); ids ``S9/Directions 1/54138969`` with the frame number from 1.

    Raises:
        InputError: scipy is not installed, a file that is not there or broken, anything but plain data in it,
            something missing or of the wrong shape, 2D joints that are not the projections of the 3D ones.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    if every < 1:
        raise InputError(f"every: expected at least 1, got {every}")
    folder = Path(folder)
    world = _read_positions(folder / "data_3d_h36m.npz", SPLITS[split])
    truth = _read_keypoints(folder, _GROUND_TRUTH, world)
    cameras = {subject: _solve_cameras(subject, world, truth, folder) for subject in SPLITS[split]}
    file, layout, seen = _file_2d(folder, detections), "h36m17", truth
    if detections != _GROUND_TRUTH:
        seen = _read_keypoints(folder, detections, world)
        layout = _layout_of(file, seen)

    views: list[_View] = []
    for (subject, action), positions in world.items():
        frames = np.arange(0, len(positions), every)
        for camera, found in zip(cameras[subject], seen[subject, action], strict=True):
            name = (subject, action, camera.name)
            ids = [PoseId("/".join(name), int(frame) + 1, 0) for frame in frames]
            with naming(f"{file}: {'/'.join(name)}"):
                keypoints = _keypoints(found[frames], layout, camera, ids, detections)
            views.append(_View(name, frames, camera.view(positions[frames]).astype(np.float32), keypoints))

    place = torch.from_numpy(np.concatenate([view.absolute for view in views]))
    root = place[:, _BODY.root].clone()
    pose = place - root[:, None]
    observations = Observations(
        Keypoints2D.cat([view.keypoints for view in views]), pose, torch.ones(pose.shape[:2], dtype=torch.bool), root,
        torch.arange(len(pose)),
    )  # fmt: skip
    actions = tuple(action_name(view.id[1]) for view in views for _ in view.frames)
    subjects = tuple(view.id[0] for view in views for _ in view.frames)
    protocol = f"h36m-npz-{split}" + ("" if detections == _GROUND_TRUTH else f"-{detections}")
    return ObservationSet(
        observations, actions, subjects, protocol + (f"-every{every}" if every > 1 else "") + " v1", seed=0
    )


def _keypoints(
    xy: NDArray[np.floating], layout: str, camera: DistortedCamera, ids: list[PoseId], detections: str
) -> Keypoints2D:
    """``(frames, joints, 2)`` px in the layout's joints as h36m17."""
    about: dict[str, Any] = {"image_size": IMAGE_SIZES[camera.name], "intrinsics": camera.intrinsics, "ids": ids}
    if layout == "detected":
        placed = np.full((len(xy), 17, 2), np.nan)
        placed[:, [_BODY.index(joint) for joint in DETECTED_JOINTS]] = xy
        return Keypoints2D(placed, **about)
    spread = np.full(xy.shape[:2], MINIMUM_SPREAD_PX) if detections == _GROUND_TRUTH else None
    return Keypoints2D(xy, spread, skeleton=layout, **about).as_skeleton("h36m17")


# -- the files ---------------------------------------------------------------------------------------------


def _file_2d(folder: Path, detections: str) -> Path:
    """The file of some detections.

    Raises:
        InputError: it is not there; names those that are.
    """
    path = folder / f"data_2d_h36m_{detections}.npz"
    if path.is_file():
        return path
    if detections == _GROUND_TRUTH:
        raise InputError(f"{path}: no such file; it is needed to find the cameras: {_PREPARE}")
    known = sorted(p.stem.removeprefix("data_2d_h36m_") for p in folder.glob("data_2d_h36m_*.npz"))
    raise InputError(f"{path}: no such file; --detections may be: {', '.join(known) or 'none, the folder has no file'}")


def _of_subject(content: dict[Any, Any], subject: str, where: str) -> dict[str, Any]:
    actions = content.get(subject)
    if not isinstance(actions, dict) or not actions or not all(isinstance(action, str) for action in actions):
        held = ", ".join(str(key)[:20] for key in list(content)[:20]) or "nothing"
        raise InputError(f"{where}: the subject {subject!r} is missing or has no actions; it holds: {held}")
    return actions


def _read_positions(path: Path, subjects: tuple[str, ...]) -> dict[Recording, NDArray[np.float64]]:
    """``(frames, 17, 3)`` metres, world axes, of each recording."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder that holds it: {_PREPARE}")
    content = read_npz_dictionary(path, "positions_3d")
    found: dict[Recording, NDArray[np.float64]] = {}
    for subject in subjects:
        for action, values in _of_subject(content, subject, f"{path}: 'positions_3d'").items():
            where = f"{path}: {subject}/{action}"
            if not _is_numbers(values) or values.ndim != 3 or values.shape[1:] != (32, 3) or not len(values):
                raise InputError(f"{where}: is {_describe(values)}; expected numbers (frames, 32, 3)")
            joints = values[:, JOINTS_OF_32].astype(np.float64)
            if not np.isfinite(joints).all():
                frame, joint, _ = np.argwhere(~np.isfinite(joints))[0]
                raise InputError(f"{where}: frame {frame}, joint {_BODY.joints[joint]!r} is not finite")
            if (largest := float(np.abs(joints).max())) > _LARGEST_ROOM_M:
                raise InputError(f"{where}: has a coordinate of {largest:.3g}; expected metres")
            found[subject, action] = joints
    return found


def _read_keypoints(
    folder: Path, detections: str, world: dict[Recording, NDArray[np.float64]]
) -> dict[Recording, list[NDArray[np.floating]]]:
    """``(frames, joints, 2)`` px of each recording's four cameras, as many frames as there are 3D poses."""
    path = _file_2d(folder, detections)
    content = read_npz_dictionary(path, "positions_2d")
    found: dict[Recording, list[NDArray[np.floating]]] = {}
    shape: tuple[int, ...] | None = (17, 2) if detections == _GROUND_TRUTH else None
    for (subject, action), positions in world.items():
        where = f"{path}: {subject}/{action}"
        cameras = _of_subject(content, subject, f"{path}: 'positions_2d'").get(action)
        if not isinstance(cameras, list | tuple) or len(cameras) != len(CAMERAS):
            raise InputError(f"{where}: is missing or no list of {len(CAMERAS)} arrays, one per camera")
        for number, values in enumerate(cameras):
            if _is_numbers(values) and values.ndim == 3:
                shape = shape or values.shape[1:]
            if shape not in ((17, 2), (16, 2)) or not _is_numbers(values) or values.shape[1:] != shape:
                expected = f"(frames, {shape[0]}, 2)" if shape in ((17, 2), (16, 2)) else "(frames, 17 or 16, 2)"
                raise InputError(f"{where}: camera {number} is {_describe(values)}; expected numbers {expected}")
            # Detectors saw the film, which runs a little longer than the motion capture.
            if len(values) < len(positions):
                raise InputError(
                    f"{where}: camera {number} has {len(values)} frames, but there are {len(positions)} 3D poses; "
                    f"take both files from one source: {_PREPARE}"
                )
        found[subject, action] = [np.asarray(values[: len(positions)]) for values in cameras]
    return found


def _layout_of(path: Path, seen: dict[Recording, list[NDArray[np.floating]]]) -> str:
    """The skeleton of a detector's joints; "detected" for the 16 of `DETECTED_JOINTS`."""
    joints = next(iter(seen.values()))[0].shape[1]
    if joints == len(DETECTED_JOINTS):
        return "mpii16" if "mpii" in path.stem else "detected"
    symmetry = read_npz_dictionary(path, "metadata").get("keypoints_symmetry", [])
    for name in ("h36m17", "coco17"):
        sides = SKELETONS[name].sides
        pair = [[place for place, side in enumerate(sides) if side == wanted] for wanted in ("left", "right")]
        if np.array_equal(symmetry, pair):
            return name
    raise InputError(
        f"{path}: 'metadata': 'keypoints_symmetry' is that of neither Human3.6M's nor COCO's 17 joints; use a file "
        "of VideoPose3D, or give its metadata to this one"
    )


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "fiu"


def _describe(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


# -- the cameras -------------------------------------------------------------------------------------------


def _solve_cameras(
    subject: str,
    world: dict[Recording, NDArray[np.float64]],
    truth: dict[Recording, list[NDArray[np.floating]]],
    folder: Path,
) -> list[DistortedCamera]:
    """The four cameras, which stood still while one subject was recorded."""
    mine = [recording for recording in world if recording[0] == subject]
    points = np.concatenate([world[recording].reshape(-1, 3) for recording in mine])
    some = np.unique(np.linspace(0, len(points) - 1, _PAIRS).round().astype(int))
    path = _file_2d(folder, _GROUND_TRUTH)
    cameras = []
    for number, name in enumerate(CAMERAS):
        pixels = np.concatenate([truth[recording][number].reshape(-1, 2) for recording in mine]).astype(np.float64)
        with naming(f"{path}: {subject}, camera {number}"):
            if not _PIXELS[0] < (largest := float(np.abs(pixels).max())) < _PIXELS[1]:  # NaN too
                raise InputError(f"the largest coordinate is {largest:.3g}; expected pixels, and none missing")
            camera = solve_camera(points[some], pixels[some], name)
        for recording in mine:
            off = project_distorted(camera.view(world[recording]), camera) - truth[recording][number]
            worst = float(np.abs(off).max())
            if not worst < _TOLERANCE_PX:  # NaN too
                raise InputError(
                    f"{path}: {subject}/{recording[1]}: camera {number}: is up to {worst:.1f} px from the projections "
                    f"of the 3D poses; take both files from one run: {_PREPARE}"
                )
        cameras.append(camera)
    return cameras


def solve_camera(
    points: Float[NDArray[np.float64], "pairs 3"], pixels: Float[NDArray[np.float64], "pairs 2"], name: str = ""
) -> DistortedCamera:
    """The camera that projects ``points`` to ``pixels``, distortion of its lens included.

    The direct linear transform gives a place for a lens of 1150 px, and least squares of the projection error
    (`project_distorted`) all 15 numbers. That needs exact pairs from all over the picture, and some depth: with
    Human3.6M's, the result is exact to single precision.

    Args:
        points: metres, world axes.
        pixels: x right, y down, and none missing.
        name: serial number.

    Returns:
        The camera, its centre in metres.

    Raises:
        InputError: scipy is not installed.
    """
    need("h36m", "scipy.optimize", "finding the cameras")
    from scipy.optimize import least_squares

    rotation, centre = _linear_place(points, (pixels - _FIRST_CENTRE) / _FIRST_FOCAL)
    vector = roma.rotmat_to_rotvec(torch.from_numpy(rotation)).numpy()
    lens = [_FIRST_FOCAL, _FIRST_FOCAL, _FIRST_CENTRE, _FIRST_CENTRE, *[0.0] * 5]

    def camera(values: NDArray[np.float64]) -> DistortedCamera:
        turn = roma.rotvec_to_rotmat(torch.from_numpy(values[9:12])).numpy()
        return DistortedCamera(name, turn, values[12:], values[:4], values[4:7], values[7:9])

    def error(values: NDArray[np.float64]) -> NDArray[np.float64]:
        tried = camera(values)
        return (project_distorted(tried.view(points), tried) - pixels).reshape(-1)

    start = np.concatenate([lens, vector, centre])
    return camera(least_squares(error, start, method="lm", jac="3-point", x_scale="jac", max_nfev=_STEPS).x)


def _linear_place(
    points: Float[NDArray[np.float64], "pairs 3"], plane: Float[NDArray[np.float64], "pairs 2"]
) -> tuple[Float[NDArray[np.float64], "3 3"], Float[NDArray[np.float64], "3"]]:
    """Rotation from world to camera, and centre, of a camera that sees ``points`` at ``plane`` (at unit distance)."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    zero = np.zeros_like(homogeneous)
    equations = np.concatenate(
        [
            np.concatenate([homogeneous, zero, -plane[:, :1] * homogeneous], axis=1),
            np.concatenate([zero, homogeneous, -plane[:, 1:] * homogeneous], axis=1),
        ]
    )
    matrix = np.linalg.svd(equations, full_matrices=False)[2][-1].reshape(3, 4)
    matrix *= np.sign((homogeneous @ matrix[2]).mean())  # the points are in front of the camera
    left, scale, right = np.linalg.svd(matrix[:, :3])
    rotation = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return rotation, -rotation.T @ matrix[:, 3] / scale.mean()
