"""JSON in the manner of COCO's keypoint annotations, with 3D joints beside the 2D ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..files.writing import atomic_write
from .lifted import Lifted
from .provenance import Array

__all__ = ["coco_document", "write_coco3d"]


def coco_document(result: Lifted) -> dict[str, Any]:
    """The object that is written.

    Returns:
        ``info``, ``images`` (one a file and frame), ``categories`` (one, ``person``, with the joints' names and bones,
        counted from 1) and ``annotations``: as COCO has them ``keypoints`` (x, y in px and 2, or 0, 0, 0 where hidden),
        ``num_keypoints``, ``bbox``, ``area``; besides ``track_id`` (the person), ``keypoints_3d`` (joints of x, y, z in
        metres from the pelvis, in the axes that ``info`` names as ``axes_3d``), ``keypoints_3d_radius``,
        ``keypoints_3d_covariance`` and, where the camera is known, ``root_3d`` and ``root_3d_covariance``: the pelvis
        before the camera, of fused views in the world.
    """
    images: dict[tuple[str, int], dict[str, Any]] = {}
    annotations = []
    for row in range(len(result)):
        name, frame = str(result.file[row]), int(result.frame[row])
        image: dict[str, Any] = {"id": len(images) + 1, "file_name": name, "frame_id": frame}
        if np.isfinite(result.image_size[row]).all():
            image |= {"width": int(result.image_size[row, 0]), "height": int(result.image_size[row, 1])}
        if np.isfinite(result.intrinsics[row]).all():
            image["intrinsics"] = dict(zip(("fx", "fy", "cx", "cy"), result.intrinsics[row].tolist(), strict=True))
        image = images.setdefault((name, frame), image)
        annotations.append({"id": row + 1, "image_id": image["id"]} | _annotation(result, row))
    tree = result.tree
    bones = [[parent + 1, joint + 1] for joint, parent in enumerate(tree.parents) if parent >= 0]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(tree.joints), "skeleton": bones}
    info = {
        "description": "3D poses lifted by poseterior", "version": __version__, "lifter": result.lifter,
        "units_3d": "metres", "axes_3d": result.axes, "origin_3d": "pelvis", "radius_level": result.level,
        "radius_calibrated": result.calibrated, "settings": dict(result.settings),
    }  # fmt: skip
    return {"info": info, "images": list(images.values()), "categories": [category], "annotations": annotations}


def _annotation(result: Lifted, row: int) -> dict[str, Any]:
    seen = result.visible[row]
    flags = np.where(seen, 2.0, 0.0)[:, None]
    keypoints = np.concatenate([np.where(seen[:, None], result.keypoints[row], 0.0), flags], -1)
    found: dict[str, Any] = {
        "category_id": 1,
        "track_id": int(result.person[row]),
        "iscrowd": 0,
        "keypoints": _rounded(keypoints.ravel(), 3),
        "num_keypoints": int(seen.sum()),
        "keypoints_3d": _rounded(result.mean[row], 5),
        "keypoints_3d_radius": _rounded(result.region_radius[row], 5),
        "keypoints_3d_covariance": _rounded(result.covariance[row], 8),
    }
    shown = result.keypoints[row][seen]
    if len(shown):
        low, high = shown.min(0), shown.max(0)
        found |= {"bbox": _rounded(np.concatenate([low, high - low]), 3), "area": float(np.prod(high - low))}
    if np.isfinite(result.root[row]).all():
        found["root_3d"] = _rounded(result.root[row], 5)
        if np.isfinite(result.root_covariance[row]).all():
            found["root_3d_covariance"] = _rounded(result.root_covariance[row], 8)
    return found


def _rounded(values: Array, digits: int) -> Any:
    return np.round(values.astype(np.float64), digits).tolist()


def write_coco3d(result: Lifted, path: Path) -> None:
    """Write `coco_document`."""
    text = json.dumps(coco_document(result), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    with atomic_write(path) as file:
        file.write(text.encode())
