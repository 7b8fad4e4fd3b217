"""Photographs and films that are broken, alone and among others: named, left out, and nothing is half written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from rich.console import Console

from blobs import STANDING, install, picture
from poseterior.cli import main
from poseterior.cli._seeing import SeeingOptions
from poseterior.detect.blaze import without_notices
from poseterior.files.errors import InputError
from poseterior.files.images import read_image
from poseterior.results.poses import load_result

SOMEBODY = picture([STANDING + np.array([240, 220])])


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


def lift(*arguments: object) -> int:
    return main(["lift", *map(str, arguments), "--samples", "6", "--detector", "blobs"])


def good(path: Path) -> Path:
    Image.fromarray(SOMEBODY).save(path)
    return path


def text(path: Path) -> Path:
    path.write_text("no picture")
    return path


def test_a_broken_picture_among_others_is_left_out_and_named(tmp_path: Path, capsys) -> None:
    film = text(tmp_path / "film.mp4")
    broken, empty = text(tmp_path / "b.jpg"), tmp_path / "c.jpg"
    empty.touch()
    files = [good(tmp_path / "a.png"), broken, good(tmp_path / "d.png"), empty, film]
    assert lift(*files, "--out", tmp_path / "o.npz") == 0
    said = capsys.readouterr().out
    assert "left out:\n" in said
    assert f"  {broken}: cannot be read as an image (it is of no kind that is known); use a JPEG or PNG\n" in said
    assert f"  {empty}: is empty; copy or take it anew\n" in said
    assert f"  {film}: is truncated, or no film" in said
    assert load_result(tmp_path / "o.npz").file.tolist() == [str(files[0]), str(files[2])]


def test_where_all_are_broken_nothing_is_written(tmp_path: Path, capsys) -> None:
    files = [text(tmp_path / "b.jpg"), text(tmp_path / "c.jpg")]
    assert lift(*files, "--out", tmp_path / "o.npz", "--keypoints", tmp_path / "k.json") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"poseterior: error: none of 2 photographs and films can be read; {files[0]}: cannot be")
    assert sorted(tmp_path.iterdir()) == files


def test_where_every_one_is_needed_a_broken_one_ends_it(tmp_path: Path) -> None:
    files = [good(tmp_path / "a.png"), text(tmp_path / "b.png")]
    with pytest.raises(InputError, match=r"^.*b\.png: cannot be read as an image"):
        SeeingOptions(detector="blobs").look(files, Console(), every_one=True)


@pytest.mark.parametrize("place", range(1, 9))
def test_all_turns_that_cameras_tell(place: int, tmp_path: Path) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = Image.fromarray(SOMEBODY)
    stored = stored.transpose(turns[place]) if place in turns else stored
    exif = Image.Exif()
    exif[0x0112] = place
    stored.save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == SOMEBODY).all()


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "L"), ("a.png", "P"), ("a.png", "RGBA"), ("a.png", "LA"), ("a.tif", "CMYK"), ("a.png", "I;16"),
        ("a.gif", "P"), ("a.webp", "RGB"), ("a.bmp", "RGB"), ("a.ppm", "RGB"), ("a.jpg", "CMYK"),
    ],
)  # fmt: skip
def test_pictures_of_every_depth_show_what_they_show(name: str, mode: str, tmp_path: Path) -> None:
    colour = Image.fromarray(SOMEBODY)
    grey = np.asarray(colour.convert("L"))
    if mode == "I;16":
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / name)
    else:
        (colour.quantize(256) if mode == "P" else colour.convert(mode)).save(tmp_path / name)
    wanted = np.repeat(grey[..., None], 3, -1) if mode in ("L", "LA", "I;16") else SOMEBODY
    apart = np.abs(read_image(tmp_path / name).astype(int) - wanted)
    assert np.median(apart) <= 2
    assert np.mean(apart > 60) < 0.05


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_lifted_and_that_is_said(name: str, tmp_path: Path, caplog) -> None:
    frames = [Image.fromarray(SOMEBODY), ImageOps.mirror(Image.fromarray(SOMEBODY))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    assert lift(tmp_path / name, "--out", tmp_path / "o.npz") == 0
    assert f"{tmp_path / name}: has 2 frames; the first is taken" in caplog.messages
    assert len(load_result(tmp_path / "o.npz")) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg: is no file \(a pipe, or a device\); give a photograph's file"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (b"ftypheic", "is a HEIC picture, which is not read; save it as JPEG or PNG"),
        (b"ftypavif", "is an AVIF picture, which is not read; save it as JPEG or PNG"),
    ],
)
def test_pictures_of_phones_that_are_not_read_say_what_they_are(kind: bytes, said: str, tmp_path: Path, capsys) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\0\0\0\x18" + kind + bytes(100))
    assert lift(path) == 2
    assert capsys.readouterr().err == f"poseterior: error: {path}: {said}\n"


def test_folders_that_are_called_like_pictures(tmp_path: Path, capsys) -> None:
    (tmp_path / "a.jpg").mkdir()
    assert lift(tmp_path / "a.jpg") == 2
    assert f"{tmp_path / 'a.jpg'}: is a folder, not a photograph" in capsys.readouterr().err
    good(tmp_path / "a.jpg" / "b.png")
    assert lift(tmp_path / "a.jpg", "--out", tmp_path / "o.npz") == 0


def test_notices_of_libraries_are_kept_back_and_errors_are_not(capfd) -> None:
    with without_notices():
        os.write(2, b"INFO: Created a delegate\nERROR: that failed\n")
    os.write(2, b"INFO: of somebody else\n")
    assert capfd.readouterr().err == "ERROR: that failed\nINFO: of somebody else\n"
