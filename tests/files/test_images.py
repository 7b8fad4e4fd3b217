"""Photographs: the size and the pixels that a browser shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from poseterior.files.errors import InputError
from poseterior.files.images import image_size, read_image


def photo(path: Path, orientation: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(9))
def test_a_photo_is_turned_as_its_exif_says(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = photo(tmp_path / f"photo.{suffix}", orientation)
    with Image.open(path) as image:
        turned = ImageOps.exif_transpose(image)
        assert image_size(path) == turned.size == ((40, 30) if orientation < 5 else (30, 40))
        assert np.array_equal(read_image(str(path)), np.asarray(turned))


def test_gray_and_transparent_pictures_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P", "1"):
        Image.new(mode, (5, 4)).save(tmp_path / "a.png")
        assert read_image(tmp_path / "a.png").shape == (4, 5, 3)


@pytest.mark.parametrize("read", [image_size, read_image])
def test_what_is_no_picture_is_named(read, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        read(tmp_path / "none.png")
    (tmp_path / "a.png").write_text("{}")
    with pytest.raises(InputError, match=r"a\.png: cannot be read as an image \(.*\); use a JPEG or PNG"):
        read(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"cannot be read as an image"):
        read(tmp_path)


def test_a_truncated_photo_has_a_size_but_no_pixels(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", 1)
    path.write_bytes(path.read_bytes()[:-400])
    assert image_size(path) == (40, 30)
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_image(path)
