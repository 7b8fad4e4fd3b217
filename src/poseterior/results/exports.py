"""Poses as the next program wants them: tables, markers, OpenSim's coordinates, COCO-style JSON.

=============  =======================================================================================================
extension      what is written
=============  =======================================================================================================
``.csv``       a row per pose and joint (`poseterior.results.tables.columns_of`), metres, the result's axes
``.coco.json`` 2D and 3D joints in the manner of COCO's annotations (`poseterior.results.coco3d.coco_document`)
``.trc``       markers, a file a clip: metres, ground axes
``.c3d``       points, a file a clip: mm, ground axes; the residual is the radius. Needs the extra ``c3d``
``.mot``       OpenSim's coordinates, a file a clip: degrees, metres (`poseterior.results.mot`)
=============  =======================================================================================================

Ground axes are X away from the camera, Y up (the camera's own: a camera that looks down tilts the ground; where the
floor was asked for, up from the floor, on which Y is 0), Z to the camera's right. In ``.trc``, ``.c3d`` and ``.mot``
the pelvis stands where the mean pose explains the keypoints, its depth steadied over a clip
(`poseterior.results.roots.camera_root`), or on the path of a clip that was lifted as a whole: by the camera where it is
known, else by one of the assumed field of view; where not even the image size is known, it stays at the origin.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.writing import check_writable
from .angles import angles_of_poses
from .animation import numbered_paths
from .bridging import bridges
from .coco3d import write_coco3d
from .ground import upright_axes
from .lifted import WORLD_AXES, Lifted
from .provenance import Array, Provenance
from .roots import camera_root
from .tables import write_csv
from .timeline import MAX_GAP
from .times import ASSUMED_FPS, Timing, check_fps, timing

__all__ = ["EXPORT_SUFFIXES", "export_kind", "ground_positions", "save_export"]


#: Camera axes to those of the ground, as `poseterior.geometry.angles.CAMERA_TO_GROUND`, without importing torch.
_GROUND = np.array([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]])


def export_kind(path: str | os.PathLike[str]) -> str | None:
    """Which file of another program a name asks for: one of `EXPORT_SUFFIXES`, else None."""
    name = Path(path).name.lower()
    return next((suffix for suffix in EXPORT_SUFFIXES if name.endswith(suffix)), None)


def save_export(
    result: Lifted, about: Provenance, kind: str, path: Path, fps: float | None = None, max_gap: float = MAX_GAP
) -> list[Path]:
    """Write a result for another program.

    Args:
        result: what to write.
        about: the same result: where its poses come from.
        kind: of `export_kind`.
        path: the file.
        fps: frames per second; by default 30.
        max_gap: seconds without the person that markers and coordinates bridge on a straight line; rows of longer
            gaps are empty (``.trc``, ``.c3d``) or absent (``.mot``).

    Returns:
        The files written, one a clip where the format holds one.

    Raises:
        InputError: no poses, a path that cannot be written to, a rate that is not positive, a library that is missing.
    """
    rate = check_fps(ASSUMED_FPS if fps is None else fps)
    if not len(result):
        raise InputError(f"{path}: the result has no poses; nothing to write")
    if kind in (".csv", ".coco.json"):
        check_writable(path)
        if kind == ".csv":
            write_csv(result, about, path, rate)
        else:
            write_coco3d(result, path)
        return [path]
    clips = [rows[np.argsort(result.frame[rows], kind="stable")] for rows in result.clips()]
    paths = numbered_paths(path, len(clips))
    for target in paths:
        check_writable(target)
    timings = [timing(result.frame[rows], rate) for rows in clips]
    positions, note = ground_positions(result)
    degrees, names = _angles(result, about) if kind == ".mot" else (np.empty((len(result), 0)), ())
    for target, rows, when in zip(paths, clips, timings, strict=True):
        gaps = bridges(result.frame[rows], when, rate, max_gap)
        if kind == ".mot":
            from .mot import coordinates, write_mot

            pelvis = positions[rows][:, result.joint_names.index("pelvis")]
            places, angles = (gaps.filled(values) for values in (pelvis, degrees[rows]))
            there = np.isfinite(places).all(-1)
            write_mot(target, coordinates(names, angles[there], places[there]), when.times[there], note)
        else:
            radius = gaps.filled(result.region_radius[rows], widened=True)
            _MARKERS[kind](target, result, when, gaps.filled(positions[rows]), radius)
    return paths


def ground_positions(result: Lifted) -> tuple[Float[NDArray[np.float64], "poses joints 3"], str]:
    """The mean poses in the ground's axes, metres, at their place; and what that rests on, in words."""
    root = camera_root(result.mean, result)
    known = np.isfinite(result.intrinsics).all(-1)
    sized = np.isfinite(result.image_size).all(-1)
    if result.axes == WORLD_AXES:
        note = "The pelvis is where the cameras of a calibration see it, in their world."
    elif known.all():
        note = "The pelvis is where the known camera sees it."
    elif (known | sized).all():
        note = "The pelvis is where a camera of an assumed field of view would see it: distances are a guess."
    else:
        note = "The camera is not known: the pelvis stays at the origin where its image size is not known either."
    places = (result.mean + root[:, None]).astype(np.float64)
    if result.ground is None:
        return places @ _GROUND.T, note
    turn, raised = upright_axes(result.ground)
    # Right, up and back become away, up and right.
    places = places @ turn.swapaxes(-1, -2) + raised[:, None]
    return np.stack([-places[..., 2], places[..., 1], places[..., 0]], -1), f"{note} Y is 0 on the floor."


def _angles(result: Lifted, about: Provenance) -> tuple[Array, tuple[str, ...]]:
    found = angles_of_poses(result, about, 0.9)
    return found.degrees, found.names


def _trc(path: Path, result: Lifted, when: Timing, positions: Array, radius: Array) -> None:
    from .trc import write_trc

    write_trc(path, result.joint_names, positions, when.frames, when.times, when.rate)


def _c3d(path: Path, result: Lifted, when: Timing, positions: Array, radius: Array) -> None:
    from .c3d import write_c3d

    notes = [f"residual: {result.region_label('radius, mm')}"] * len(result.joint_names)
    write_c3d(path, result.joint_names, positions, np.nan_to_num(radius), when.rate, int(when.frames[0]), notes)


_MARKERS: dict[str, Callable[[Path, Lifted, Timing, Array, Array], None]] = {".trc": _trc, ".c3d": _c3d}
#: Endings of the files that `save_export` writes.
EXPORT_SUFFIXES = (".csv", ".coco.json", ".mot", *_MARKERS)
