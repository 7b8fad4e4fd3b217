"""Several cameras at once, as arrays: places of joints by robust triangulation, and who is who in the views."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera
from ..base import Array

__all__ = ["Geometry", "matched", "undistorted"]

#: px: a miss that counts half in triangulation, up to which a person of several views is one, and of a missing view.
_LOSS, _SAME, _MISSING = 5.0, 40.0, 15.0
#: Views that have to see a person.
_VIEWS = 3


@dataclass(frozen=True)
class Geometry:
    """Cameras as arrays, one row each."""

    rotation: Array
    translation: Array
    focal: Array
    middle: Array

    @classmethod
    def of(cls, cameras: Mapping[str, Camera]) -> Geometry:
        values = list(cameras.values())
        lens = np.array([camera.intrinsics for camera in values])
        places = np.array([c.rotation for c in values]), np.array([c.translation for c in values])
        return cls(*places, lens[:, :2], lens[:, 2:])

    def project(self, points: Array) -> tuple[Array, Array]:
        """``(V, n, 2)`` px and their derivatives ``(V, n, 2, 3)`` by the points ``(n, 3)``."""
        local = np.einsum("vij,nj->vni", self.rotation, points) + self.translation[:, None]
        depth = local[..., 2:]
        plane = local[..., :2] / depth
        pixels = plane * self.focal[:, None] + self.middle[:, None]
        rows = (self.rotation[:, None, :2] - plane[..., None] * self.rotation[:, None, 2:]) / depth[..., None]
        return pixels, rows * self.focal[:, None, :, None]

    def triangulate(self, xy: Array, use: Array, rounds: int = 15) -> tuple[Array, Array]:
        """Points ``(n, 3)`` of pixels ``(V, n, 2)``, rays weighted anew by how far they miss (Cauchy's weights).

        Returns:
            The points, and the weights ``(V, n)`` of the views, 0 where not used.
        """
        plane = (xy - self.middle[:, None]) / self.focal[:, None]
        matrix = plane[..., None] * self.rotation[:, None, 2:] - self.rotation[:, None, :2]
        right = self.translation[:, None, :2] - plane * self.translation[:, None, 2:]
        weight = use.astype(float)
        for _ in range(rounds):
            normal = np.einsum("vn,vnki,vnkj->nij", weight, matrix, matrix) + 1e-12 * np.eye(3)
            points = np.linalg.solve(normal, np.einsum("vn,vnki,vnk->ni", weight, matrix, right)[..., None])[..., 0]
            gap = np.linalg.norm(xy - self.project(points)[0], axis=-1)
            depth = np.einsum("vj,nj->vn", self.rotation[:, 2], points) + self.translation[:, 2:]
            weight = use / (1 + (gap / _LOSS) ** 2) / np.maximum(depth, 0.5) ** 2
        return points, use / (1 + (gap / _LOSS) ** 2)


def undistorted(camera: Camera, xy: Array, skeleton: Skeleton) -> Array:
    """``(n, joints, 2)`` px as without the lens's distortion; NaN where there is no such place."""
    seen = Keypoints2D(torch.from_numpy(xy).float(), torch.ones(xy.shape[:-1]), None, None, skeleton)
    straight = camera.undistorted(seen)
    return torch.where(straight.visible[..., None], straight.xy.double(), torch.nan).numpy()


def matched(views: Sequence[Array], geometry: Geometry) -> list[list[int | None]]:
    """For each person that three views see, the number of the person in each view; greedily, the best fit first.

    Args:
        views: for each camera ``(people, joints, 2)`` straight px, NaN where not visible.
    """
    choices = [[*range(len(people)), None] for people in views]
    sets = [c for c in itertools.product(*choices) if sum(number is not None for number in c) >= _VIEWS]
    if not sets:
        return []
    joints = views[0].shape[1]
    xy = np.full((len(views), len(sets), joints, 2), np.nan)
    for row, chosen in enumerate(sets):
        for view, number in enumerate(chosen):
            if number is not None:
                xy[view, row] = views[view][number]
    flat = xy.reshape(len(views), -1, 2)
    use = np.isfinite(flat).all(-1)
    flat = np.nan_to_num(flat)
    several = use.sum(0) >= _VIEWS
    gap = np.full(use.shape, np.nan)
    points, _ = geometry.triangulate(flat[:, several], use[:, several], rounds=2)
    miss = np.linalg.norm(flat[:, several] - geometry.project(points)[0], axis=-1)
    gap[:, several] = np.where(use[:, several], miss, np.nan)
    each = gap.reshape(len(views), len(sets), joints).transpose(1, 0, 2).reshape(len(sets), -1)
    told = np.isfinite(each).any(-1)
    cost = np.full(len(sets), np.inf)
    cost[told] = np.nanmedian(each[told], 1)
    cost = cost + _MISSING * np.array([sum(number is None for number in chosen) for chosen in sets])
    found: list[list[int | None]] = []
    for row in np.argsort(cost):
        best: list[int | None] = list(sets[row])
        taken = any(n is not None and n == other[view] for other in found for view, n in enumerate(best))
        if cost[row] < _SAME and not taken:
            found.append(best)
    return found
