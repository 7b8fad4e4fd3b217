"""Keypoints that are written are read back as they were, and lifted to the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.keypoints.reading import read_keypoints
from poseterior.keypoints.writing import write_keypoints


def some(skeleton: str, joints: int, ids: list[PoseId], **more: object) -> Keypoints2D:
    generator = np.random.default_rng(len(ids))
    count = len(ids)
    factor = generator.normal(0, 3, (count, joints, 2, 2))
    return Keypoints2D(
        generator.uniform(20, 600, (count, joints, 2)),
        factor @ np.swapaxes(factor, -1, -2) + np.eye(2),
        generator.random((count, joints)) > 0.2,
        (640, 480),
        skeleton,
        ids=ids,
        **more,
    )


FIELDS = ("xy", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude", "keys")


@pytest.mark.parametrize(("skeleton", "joints"), [("coco17", 17), ("mediapipe33", 33), ("h36m17", 17)])
def test_a_clip_bit_for_bit(skeleton: str, joints: int, tmp_path: Path) -> None:
    ids = [PoseId("walk.mp4", frame, person) for frame in (3, 5, 7) for person in (0, 4)]
    kept = some(skeleton, joints, ids, intrinsics=(700.5, 701.25, 320, 240), height=1.8)
    kept.rates = {"walk.mp4": 30000 / 1001}
    write_keypoints(kept, tmp_path / "kp.json")
    found = read_keypoints(tmp_path / "kp.json")
    assert found.skeleton == kept.skeleton
    assert found.ids == kept.ids
    assert found.rates == kept.rates
    for field in FIELDS:
        assert torch.equal(getattr(found, field).nan_to_num(-1), getattr(kept, field).nan_to_num(-1)), field


def test_films_and_photographs_in_one_file_keep_their_rates(tmp_path: Path) -> None:
    ids = [PoseId("a.jpg", 0, 0), PoseId("a.jpg", 0, 1)]
    ids += [PoseId(file, frame, 0) for file in ("a.mp4", "b.mp4") for frame in range(3)]
    kept = some("coco17", 17, ids)
    kept.rates = {"a.mp4": 25.0, "b.mp4": 50.0}
    write_keypoints(kept, tmp_path / "kp.json")
    found = read_keypoints(tmp_path / "kp.json")
    assert dict(found.rates) == kept.rates
    rows = [found.ids.index(one) for one in kept.ids]
    assert torch.equal(found.covariance[rows], kept.covariance)


def test_another_extension(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"kp\.npz: keypoints are written as \.json"):
        write_keypoints(some("coco17", 17, [PoseId("a", 0, 0)]), tmp_path / "kp.npz")
    assert list(tmp_path.iterdir()) == []


def test_how_often_keypoints_are_wrong_is_kept(tmp_path: Path) -> None:
    kept = some("coco17", 17, [PoseId("walk.mp4", frame, 0) for frame in range(3)], outliers=np.linspace(0, 0.5, 17))
    write_keypoints(kept, tmp_path / "kp.json")
    found = read_keypoints(tmp_path / "kp.json")
    assert found.outliers is not None
    assert kept.outliers is not None
    assert torch.equal(found.outliers, kept.outliers)
