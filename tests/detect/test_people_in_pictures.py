"""People of photographs: everybody, the largest first, with the lens that EXIF tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blobs import STANDING, BlobDetector, picture
from poseterior.detect.pictures import people_in_picture
from poseterior.files.errors import InputError

TWO = [0.8 * STANDING + np.array([100, 220]), STANDING + np.array([330, 220])]


def save(path: Path, image: np.ndarray, **options: object) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


def test_everybody_the_largest_first(tmp_path: Path) -> None:
    path = save(tmp_path / "two.png", picture(TWO))
    seen = people_in_picture(path, BlobDetector())
    assert seen.notes == ()
    found = seen.keypoints
    assert [tuple(one) for one in found.ids] == [(str(path), 0, 0), (str(path), 0, 1)]
    assert np.abs(found.xy.numpy() - np.array(TWO[::-1])).max() < 1.0
    assert np.allclose(found.covariance.numpy(), 4 * np.eye(2))
    assert found.image_size.tolist() == [[480, 400]] * 2
    assert found.intrinsics.isnan().all()


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
def test_a_turned_photograph_is_seen_upright_with_its_lens(turn: int, tmp_path: Path) -> None:
    stored = np.rot90(picture(TWO), {1: 0, 3: 2, 6: 1, 8: 3}[turn])
    exif = Image.Exif()
    exif[0x0112] = turn
    exif.get_ifd(0x8769)[0xA405] = 28
    path = save(tmp_path / "a.png", np.ascontiguousarray(stored), exif=exif)
    seen = people_in_picture(path, BlobDetector())
    assert np.abs(seen.keypoints.xy.numpy() - np.array(TWO[::-1])).max() < 1.0
    focal = 28 / np.hypot(36, 24) * np.hypot(480, 400)
    assert np.allclose(seen.keypoints.intrinsics.numpy(), [focal, focal, 240, 200])
    assert seen.notes == (f"{path}: focal length {focal:.0f} px, from its EXIF",)


def test_nobody(tmp_path: Path) -> None:
    path = save(tmp_path / "wall.png", picture([]))
    seen = people_in_picture(path, BlobDetector())
    assert seen.keypoints is None
    assert seen.notes == (f"{path}: nobody found by blobs",)


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (15, 400)])
def test_too_small(size: tuple[int, int], tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", picture([], size))
    with pytest.raises(InputError) as error:
        people_in_picture(path, BlobDetector())
    width, height = size
    wanted = f"{path}: {width} x {height} px are too few to find anybody; give at least 16 to a side"
    assert str(error.value) == wanted


def test_a_detector_that_fails_names_the_picture(tmp_path: Path) -> None:
    class Broken(BlobDetector):
        def detect(self, image):
            raise ZeroDivisionError("no anchors")

    path = save(tmp_path / "a.png", picture(TWO))
    with pytest.raises(InputError, match=r"a\.png: cannot be read \(.*no anchors.*\); try another picture"):
        people_in_picture(path, Broken())
