"""People of many poses and directions, seen by a camera: what real poses are needed for, without any data."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifters import load

INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])


@lru_cache(maxsize=1)
def crowd(n: int = 200) -> tuple[Keypoints2D, Tensor]:
    """Exact keypoints of ``n`` people and their poses ``(n, 17, 3)``; every tenth joint is missing."""
    rotations = load("rotations").prior((n,)).sample(seed=0)
    points, _ = body_points(rotations, rest_offsets().expand(n, 25, 3))
    poses = points[:, list(H36M_POINTS)]
    poses = poses - poses[:, :1]
    xy = project(poses + torch.tensor([0.1, 0.0, 4.0]), INTRINSICS)
    visible = torch.rand(n, 17, generator=torch.Generator().manual_seed(1)) > 0.1
    ids = [PoseId(f"clip{i % 4}", i // 4, 0) for i in range(n)]
    return Keypoints2D(xy, visible=visible, intrinsics=INTRINSICS, image_size=(1000, 1000), ids=ids), poses
