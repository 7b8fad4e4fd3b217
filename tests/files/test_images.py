"""Photographs: the size and the pixels that a browser shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from poseterior.files.errors import InputError
from poseterior.files.images import focal_length, image_size, read_image


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
    with pytest.raises(InputError, match=r": is a folder, not a photograph"):
        read(tmp_path)


def test_a_truncated_photo_has_a_size_but_no_pixels(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", 1)
    path.write_bytes(path.read_bytes()[:-400])
    assert image_size(path) == (40, 30)
    with pytest.raises(InputError, match="cannot be read as an image"):
        read_image(path)


def test_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    deep = np.arange(0, 65536, 65536 // 12, dtype=np.uint16)[:12].reshape(3, 4)
    for name in ("a.png", "a.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        shown = read_image(tmp_path / name)
        assert np.abs(shown[..., 0] - deep / 257.0).max() <= 0.5
        assert (shown == shown[..., :1]).all()


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, :, 3] = 255
    pixels[0, :, 0] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = read_image(tmp_path / "a.png")
    assert (shown[0] == [200, 0, 0]).all()
    assert (shown[1] == 255).all()


def test_cmyk(tmp_path: Path) -> None:
    red = Image.new("RGB", (32, 32), (220, 30, 40))
    red.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - [220, 30, 40]).max() < 8


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame_is_taken_and_that_is_said(suffix: str, tmp_path: Path, caplog) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (np.abs(read_image(path).astype(int) - [250, 0, 0]) < 12).all()
    assert caplog.messages == [f"{path}: has 3 frames; the first is taken"]


def test_kinds_that_are_not_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "IMG_1.jpg"
    path.write_bytes(b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(InputError) as error:
        read_image(path)
    assert str(error.value) == f"{path}: is a HEIC picture, which is not read; save it as JPEG or PNG"


# -- the lens ------------------------------------------------------------------------------------------------


def shot(
    path: Path, size: tuple[int, int], on_film: object, told: tuple[int, int] | None = None, turn: int = 1
) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turn
    settings = exif.get_ifd(0x8769)
    settings[0xA405] = on_film
    if told is not None:
        settings[0xA002], settings[0xA003] = told
    Image.new("RGB", size).save(path, exif=exif)
    return path


@pytest.mark.parametrize("turn", [1, 6])
def test_focal_length_of_35_mm_film(turn: int, tmp_path: Path) -> None:
    # a full-frame picture: 36 mm are 3600 px, so that a lens of 50 mm is 5000 px long
    path = shot(tmp_path / "a.jpg", (3600, 2400), 50, (3600, 2400), turn)
    assert focal_length(path) == pytest.approx(5000, rel=1e-9)
    # made smaller, the same view
    assert focal_length(shot(tmp_path / "b.jpg", (360, 240), 50, (3600, 2400))) == pytest.approx(500, rel=1e-9)


def test_a_lens_that_cannot_be_known(tmp_path: Path) -> None:
    for on_film in (0, 65535):
        assert focal_length(shot(tmp_path / "a.jpg", (300, 200), on_film)) is None
    assert focal_length(shot(tmp_path / "cut.jpg", (300, 300), 28, (3600, 2400))) is None
    Image.new("RGB", (30, 20)).save(tmp_path / "none.png")
    assert focal_length(tmp_path / "none.png") is None
