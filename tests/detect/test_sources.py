"""What the files of a command are."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseterior.detect.sources import Sources, sorted_out
from poseterior.files.errors import InputError


def test_by_their_names() -> None:
    paths = [Path(p) for p in ("a.JPG", "walk.mp4", "b.json", "c.npy", "d.HEIC", "e.MOV", "unknown", "a.JPG")]
    found = sorted_out(paths)
    assert found.pictures == (Path("a.JPG"), Path("d.HEIC"))
    assert found.films == (Path("walk.mp4"), Path("e.MOV"))
    assert found.keypoints == (Path("b.json"), Path("c.npy"), Path("unknown"))
    assert found.camera is None


def test_folders(tmp_path: Path) -> None:
    for name in ("p10.jpg", "p2.jpg", "b.mp4", "notes.md", ".hidden.jpg"):
        (tmp_path / name).touch()
    assert sorted_out([tmp_path]) == Sources((tmp_path / "p2.jpg", tmp_path / "p10.jpg"), (tmp_path / "b.mp4",))
    (tmp_path / "p2.json").touch()  # keypoints: read as before
    assert sorted_out([tmp_path]) == Sources(keypoints=(tmp_path,))


def test_cameras() -> None:
    assert sorted_out([Path("webcam:2")]).camera == 2
    assert sorted_out([Path("webcam")]).camera == 0
    assert sorted_out([Path("webcam.jpg")]).camera is None
    with pytest.raises(InputError, match="webcam: is lifted alone, frame by frame; lift files in another command"):
        sorted_out([Path("webcam:0"), Path("a.jpg")])
