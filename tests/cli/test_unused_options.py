"""Options that nothing of what is written would show are refused, not passed over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseterior.cli import main

BODY = [[320, 90], [327, 83], [313, 83], [336, 88], [304, 88], [362, 140], [278, 141], [380, 200], [262, 200],
        [386, 255], [256, 252], [345, 255], [297, 256], [350, 335], [292, 336], [352, 415], [288, 416]]  # fmt: skip


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("a.json").write_text(json.dumps({"skeleton": "coco17", "keypoints": [BODY], "image_size": [640, 480]}))
    return Path("a.json")


JSON = "--json-samples: is for a .json result; add --out poses.json, not "
SHOWN = " is for motion files; add --out clip.bvh"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--json-samples", JSON + "nothing"),
        ("--json-samples --out a.parquet", JSON + "a.parquet, whose samples are always in it"),
        ("--json-samples --out a.npz", JSON + "a.npz, whose samples are always in it"),
        ("--json-samples --out a.csv", JSON + "a.csv"),
        ("--json-samples --out a.bvh", JSON + "a.bvh"),
        ("--json-samples --out a.coco.json", JSON + "a.coco.json"),
        (
            "--json-samples --samples 0 --out b.json",
            "--json-samples: there are none with --samples 0; leave one of the two out",
        ),
        ("--how mean", "--how mean:" + SHOWN),
        ("--how mean --out a.parquet", "--how mean:" + SHOWN),
        ("--how mean --picture a.png --view a.html", "--how mean:" + SHOWN),
        ("--count 3 --out a.npz", "--count 3:" + SHOWN),
        ("--count 3 --lifter rotations --picture a.png", "--count 3:" + SHOWN),
    ],
)
def test_lift(words: str, message: str, capsys: pytest.CaptureFixture[str], person: Path) -> None:
    assert main(["lift", str(person), *words.split()]) == 2
    assert capsys.readouterr().err == f"poseterior: error: {message}\n"
    assert list(Path().iterdir()) == [person]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--json-samples", JSON + "lifted"),
        ("--how mode", "--how mode:" + SHOWN),
        ("--count 2", "--count 2:" + SHOWN),
        ("--rig mixamo", "--rig mixamo: is for .bvh files;" + SHOWN.split(";")[1]),
    ],
)
def test_a_folder_as_out(words: str, message: str, capsys: pytest.CaptureFixture[str], person: Path) -> None:
    Path("day").mkdir()
    person.rename(Path("day") / person)
    assert main(["lift", "day", "--out", "lifted", *words.split()]) == 2
    assert capsys.readouterr().err == f"poseterior: error: {message}\n"
    assert not Path("lifted").exists()


def test_inverse_kinematics(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((1, 22, 3)))
    assert main(["ik", str(path), "--how", "samples", "--view", str(tmp_path / "a.html")]) == 2
    assert capsys.readouterr().err == f"poseterior: error: --how samples:{SHOWN}\n"


def test_the_sheet_of_a_lifter_with_rotations_shows_how(person: Path) -> None:
    words = ["--lifter", "rotations", "--samples", "4", "--how", "samples", "--picture", "a.png"]
    assert main(["lift", str(person), *words]) == 0
    assert Path("a.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--png a.png --fps 30", "--fps 30: is for the page and the viewer; add --html scene.html"),
        ("--png a.png --no-regions", "--no-regions: is for the page and the viewer; add --html scene.html"),
        ("--picture a.png --ellipsoids", "--ellipsoids: is for the page and the viewer; add --html scene.html"),
        (
            "--png a.png --hypotheses 5",
            "--hypotheses 5: is for the page, the overlay and the viewer; add --html scene.html",
        ),
        (
            "--picture a.png --photo b.jpg",
            "--photo b.jpg: is for the page, the summary and the overlay; add --html scene.html",
        ),
        ("--html a.html --pose 3", "--pose 3: is for the overlay; add --overlay overlay.png"),
        ("--pose 3", "--pose 3: is for the overlay; add --overlay overlay.png"),
        ("--png a.png --camera c.json", "--camera c.json: is for the overlay; add --overlay overlay.png"),
        (
            "--html a.html --port 9000",
            "--port 9000: is for the viewer, which does not start where files are written; leave it out",
        ),
        (
            "--html a.html --host 0.0.0.0",
            "--host 0.0.0.0: is for the viewer, which does not start where files are written; leave it out",
        ),
        (
            "--html a.html --token",
            "--token: is for the viewer, which does not start where files are written; leave it out",
        ),
    ],
)
def test_view(words: str, message: str, capsys: pytest.CaptureFixture[str], person: Path) -> None:
    assert main(["view", "poses.npz", *words.split()]) == 2
    assert capsys.readouterr().err == f"poseterior: error: {message}\n"
    assert list(Path().iterdir()) == [person]
