"""AlphaPose's results: COCO's with more joints, image names and tracks."""

from __future__ import annotations

from typing import Any

from ..detections import Detections, Options
from ..documents import first_entry
from . import coco_results

NAME = "alphapose"
ABOUT = "AlphaPose results: Halpe-26 (or 17, or 136) joints, image_id a file name, idx the track"
EXAMPLE = (
    '[{"image_id": "0.jpg", "category_id": 1, "keypoints": ['
    + ", ".join(f"{320 + i}.5, {90 + 10 * i}.0, 0.9" for i in range(26))
    + '], "score": 2.9, "box": [240.0, 70.0, 160.0, 360.0], "idx": [0.0]}]'
)

#: Halpe's body, and its full body.
_JOINTS = (26, 136)


def recognises(data: Any) -> int:
    """COCO's results with a mark of AlphaPose's: the name of an image, a track, or Halpe's number of joints."""
    usual = coco_results.recognises(data)
    if not usual:
        return 0
    entry = first_entry(data)
    keypoints = entry["keypoints"]
    halpe = isinstance(keypoints, list) and len(keypoints) in [3 * joints for joints in _JOINTS]
    return usual + 1 if halpe or isinstance(entry["image_id"], str) or "idx" in entry else 0


def read(data: Any, options: Options) -> list[Detections]:
    """As COCO's results, ``image_id`` an image name, 26 (Halpe), 17 (COCO) or 136 joints.

    ``idx`` is the track id where the tracker ran.
    """
    return coco_results.read(data, options)
