"""Cameras turned a little, so that limbs as a detector sees them are nearest to the other views' epipolar lines."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping

import numpy as np

from ...geometry.skeletons import SKELETONS
from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera
from ...keypoints.calibration.camera import rotation_of_vector
from ...lifting.views.sides import exchanged_sides, with_sides
from ..base import Array

__all__ = ["Turned", "put_right", "turned"]

#: Limbs, by which cameras are turned; degrees by which cameras may have turned; px from which on a miss counts less.
_LIMBS = [
    SKELETONS["h36m17"].index(f"{side}_{joint}")
    for side in ("left", "right")
    for joint in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
]
_TURN, _LOSS = 1.0, 5.0


@dataclasses.dataclass(frozen=True)
class Turned:
    """Cameras, and what was done to them.

    Attributes:
        cameras: turned.
        degrees: by how much each is.
        before, after: median distances from epipolar lines, px.
    """

    cameras: dict[str, Camera]
    degrees: dict[str, float]
    before: float
    after: float

    def __str__(self) -> str:
        said = ", ".join(f"{name} {angle:.2f}" for name, angle in self.degrees.items())
        far = f"median distance from epipolar lines {self.before:.1f} -> {self.after:.1f} px"
        return f"cameras turned by (degrees): {said}; {far}"


def put_right(keypoints: Mapping[str, Keypoints2D], cameras: Mapping[str, Camera]) -> dict[str, Keypoints2D]:
    """Undistorted keypoints in h36m17, in which left and right are those that the other views see."""
    views = [cameras[name].undistorted(seen).as_skeleton("h36m17") for name, seen in keypoints.items()]
    groups, wrong = exchanged_sides(views, [cameras[name] for name in keypoints])
    for group, own in zip(groups, wrong, strict=True):
        views = [with_sides(view, group, bad) for view, bad in zip(views, own, strict=True)]
    return dict(zip(keypoints, views, strict=True))


def turned(cameras: Mapping[str, Camera], keypoints: Mapping[str, Keypoints2D], rows: slice = slice(None)) -> Turned:
    """Turn cameras to what keypoints agree on; places and lenses stay.

    Least squares of the distances in pixels with Cauchy's loss; a turn costs as much as in a normal prior of
    `_TURN` degrees, which also says that the cameras together do not turn.

    Args:
        cameras: as they were calibrated.
        keypoints: by camera, of the same moments.
        rows: moments that count.
    """
    from scipy.optimize import least_squares

    rays, seen_by = {}, {}
    for name, straight in put_right(keypoints, cameras).items():
        camera = cameras[name]
        lens = np.array(camera.intrinsics)
        plane = (straight.xy.double().numpy() - lens[2:]) / lens[:2]
        rays[name] = np.concatenate([plane, np.ones_like(plane[..., :1])], -1)[rows][:, _LIMBS]
        seen_by[name] = (straight.visible & ~straight.synthesised).numpy()[rows][:, _LIMBS]

    def now(turns: Array) -> dict[str, Camera]:
        by = (rotation_of_vector(turn) for turn in turns.reshape(-1, 3))
        return {
            name: dataclasses.replace(c, rotation=turn @ c.rotation, translation=turn @ c.translation)
            for (name, c), turn in zip(cameras.items(), by, strict=True)
        }

    def misses(turns: Array) -> Array:
        found = [np.degrees(turns) / _TURN * _LOSS]
        for (a, one), (b, other) in itertools.combinations(now(turns).items(), 2):
            turn = other.rotation @ one.rotation.T
            x, y, z = other.translation - turn @ one.translation
            essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
            line, back = rays[a] @ essential.T, rays[b] @ essential
            slope = np.sqrt((line[..., :2] ** 2).sum(-1) + (back[..., :2] ** 2).sum(-1))
            gap = (line * rays[b]).sum(-1) / slope * one.intrinsics[0]
            found.append(gap[seen_by[a] & seen_by[b]])
        return np.concatenate(found)

    best = least_squares(misses, np.zeros(3 * len(cameras)), loss="cauchy", f_scale=_LOSS)
    before, after = (float(np.median(np.abs(misses(turns)[3 * len(cameras) :]))) for turns in (0.0 * best.x, best.x))
    angles = np.degrees(np.linalg.norm(best.x.reshape(-1, 3), axis=-1))
    return Turned(now(best.x), dict(zip(cameras, map(float, angles), strict=True)), before, after)
