"""The frames of several cameras, side by side: one row per moment, whatever each camera has of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch

from ...files.checks import counted
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D, PoseId
from ...keypoints.calibration import Camera

__all__ = ["aligned", "matched_cameras"]


def matched_cameras(keypoints: Mapping[str, Keypoints2D], cameras: Mapping[str, Camera]) -> list[Camera]:
    """The camera of each set of keypoints.

    Raises:
        InputError: no keypoints, or keypoints of a camera that is not calibrated.
    """
    if not keypoints:
        raise InputError("fuse: no camera's keypoints are given")
    if not cameras:
        raise InputError("fuse: no camera is calibrated; give the calibration's file, or a Camera for each name")
    for name in keypoints:
        if name not in cameras:
            raise InputError(
                f"fuse: camera {name!r}: is not in the calibration, which has {', '.join(map(repr, cameras))}; name "
                "the keypoints as the calibration names the cameras"
            )
    return [cameras[name] for name in keypoints]


def aligned(
    keypoints: Mapping[str, Keypoints2D], cameras: list[Camera], skeleton: Skeleton, fps: float, max_gap: float
) -> list[Keypoints2D]:
    """Keypoints of each camera as it would see them without distortion, a row for every moment that any of them shows.

    A moment is a frame's number, which is the same in all cameras. Moments that no camera has are filled in gaps of at
    most ``max_gap`` seconds. Cameras without a moment show no joint there.

    Raises:
        InputError: several people, or a frame that is there twice; names the camera.
    """
    rows: list[dict[int, int]] = []
    straight: list[Keypoints2D] = []
    for (name, given), camera in zip(keypoints.items(), cameras, strict=True):
        if not isinstance(given, Keypoints2D):
            raise InputError(f"fuse: camera {name!r}: expected Keypoints2D, got {type(given).__name__}")
        flat = given.flatten()
        _check_person(name, flat)
        numbers: dict[int, int] = {}
        for row, identity in enumerate(flat.ids):
            if numbers.setdefault(identity.frame, row) != row:
                raise InputError(f"fuse: camera {name!r}: frame {identity.frame} is there twice; give each frame once")
        rows.append(numbers)
        straight.append(camera.undistorted(flat).as_skeleton(skeleton))
    moments = _moments(sorted({number for own in rows for number in own}), fps, max_gap)
    if not moments:
        raise InputError("fuse: no camera shows anybody")
    return [_rows_of(own, numbers, moments, name) for own, numbers, name in zip(straight, rows, keypoints, strict=True)]


def _check_person(name: str, keypoints: Keypoints2D) -> None:
    people = {identity.person for identity in keypoints.ids}
    if len(people) > 1:
        raise InputError(
            f"fuse: camera {name!r}: shows {counted(len(people), 'person', 'people')}; give the keypoints of one, the "
            "same in every camera: --person NUMBER; in Python read_keypoints(..., person=NUMBER)"
        )


def _moments(numbers: list[int], fps: float, max_gap: float) -> list[int]:
    """The numbers, and those missing between them where the gap is short; as sparse as most of them are."""
    steps = [b - a for a, b in pairwise(numbers)]
    usual = max(set(steps), key=steps.count) if steps else 1
    filled: list[int] = []
    for number in numbers:
        gap = range(filled[-1] + usual, number, usual) if filled else range(0)
        if 0 < len(gap) * usual <= max_gap * fps:
            filled += gap
        filled.append(number)
    return filled


def _rows_of(keypoints: Keypoints2D, rows: dict[int, int], moments: list[int], name: str) -> Keypoints2D:
    there = torch.tensor([moment in rows for moment in moments])
    if not len(keypoints):
        joints = len(keypoints.skeleton)
        empty = Keypoints2D(
            torch.zeros(len(moments), joints, 2), visible=torch.zeros(len(moments), joints), skeleton=keypoints.skeleton
        )
        return empty._replace(ids=[PoseId(name, moment, 0) for moment in moments])
    index = torch.tensor([rows.get(moment, 0) for moment in moments])
    picked = keypoints[index]
    person = keypoints.ids[0].person
    visible = picked.visible & there.to(picked.device).unsqueeze(-1)
    return picked._replace(visible=visible, ids=[PoseId(name, moment, person) for moment in moments])
