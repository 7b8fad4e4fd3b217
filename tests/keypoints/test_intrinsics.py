"""Cameras of keypoints, however they are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from people import PERSON, SIZE, write

from poseterior.files.errors import InputError
from poseterior.keypoints.intrinsics import read_intrinsics
from poseterior.keypoints.reading import read_keypoints

CAMERA = [1000.0, 990.0, 320.0, 240.0]
MATRIX = [[1000, 0, 320], [0, 990, 240], [0, 0, 1]]


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA, tuple(CAMERA), np.array(CAMERA), dict(zip(("fx", "fy", "cx", "cy"), CAMERA, strict=True)), MATRIX,
        np.array(MATRIX), torch.tensor(MATRIX), {"K": MATRIX, "dist": [0, 0]},
    ],
)  # fmt: skip
def test_cameras(camera: Any, tmp_path: Path) -> None:
    assert read_intrinsics(camera) == CAMERA
    path = write("coco-results", tmp_path, np.stack([PERSON, PERSON + 3]))
    found = read_keypoints(path, camera=camera, height=1.7, image_size=SIZE)
    assert found.intrinsics.tolist() == [CAMERA] * 2
    assert found.height.tolist() == pytest.approx([1.7] * 2)
    assert found.image_size.tolist() == [[640, 480]] * 2


def test_camera_files(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    for content in ({"fx": 1000, "fy": 990, "cx": 320, "cy": 240}, {"K": MATRIX}, MATRIX, CAMERA):
        path.write_text(json.dumps(content))
        assert read_intrinsics(path) == read_intrinsics(str(path)) == CAMERA
    path.write_text("{")
    with pytest.raises(InputError, match=r"^camera .*camera\.json: not readable as JSON"):
        read_intrinsics(path)
    with pytest.raises(InputError, match=r"^camera .*none\.json: no such file"):
        read_intrinsics(tmp_path / "none.json")


@pytest.mark.parametrize(
    "camera",
    [
        [1, 2, 3], {"fx": 1}, {"K": [[1, 2], [3, 4]]}, 7, [1000, 990, 320, float("nan")], [-5, 5, 1, 1], "a", [],
        [[1000, 0, 320], [0, 990, 240], [0, 0, 2]], [["a"] * 3] * 3, {},
    ],
)  # fmt: skip
def test_what_is_no_camera(camera: Any, tmp_path: Path) -> None:
    path = write("coco-results", tmp_path, PERSON)
    with pytest.raises(InputError, match=r"^camera"):
        read_keypoints(path, camera=camera)


def test_a_height_that_nobody_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"height: expected metres between 0\.3 and 3, got 170"):
        read_keypoints(write("coco-results", tmp_path, PERSON), height=170)
