"""`poseterior lift webcam:0`, with films in place of cameras."""

from __future__ import annotations

import csv
import itertools
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import poseterior as pp
from blobs import BlobDetector, film, install, picture, walk
from poseterior.cli import main
from poseterior.cli._live import lift_live
from poseterior.files import films
from poseterior.files.errors import InputError
from poseterior.files.ffmpeg import reading_program


class Camera:
    """Gives pictures no faster than they are taken, so that none is left out."""

    def __init__(self, pictures: list[np.ndarray], stop: type[BaseException] | None = None) -> None:
        self.pictures, self.stop, self.seen = pictures, stop, threading.Semaphore(1)

    def __iter__(self):
        for shown in self.pictures:
            self.seen.acquire()
            yield shown
        self.seen.acquire()
        if self.stop is not None:
            raise self.stop

    def detector(self) -> BlobDetector:
        camera = self

        class Watching(BlobDetector):
            def detect(self, image):
                camera.seen.release()
                return super().detect(image)

        return Watching()


@pytest.fixture(scope="module")
def lifter() -> pp.Lifter:
    return pp.load("mdn")


def test_a_line_for_each_person_in_each_picture(lifter, tmp_path: Path) -> None:
    people = zip(walk(5, start=90), walk(5, start=350, seed=1), strict=True)
    camera = Camera([picture(pair) for pair in people])
    said: list[str] = []
    out = tmp_path / "a.jsonl"
    assert lift_live(camera.detector(), lifter, iter(camera), out, say=said.append) == 5
    head, *rows = map(json.loads, out.read_text().splitlines())
    assert head["joints"] == list(lifter.skeleton.joints)
    assert head["level"] == 0.9
    assert [(row["frame"], row["person"]) for row in rows] == [(k, who) for k in range(5) for who in (0, 1)]
    assert np.array(rows[-1]["mean"]).shape == (17, 3)
    assert min(rows[-1]["radius"][1:]) > 0.005
    times = [row["time"] for row in rows[::2]]
    assert times[0] == 0
    assert all(a < b for a, b in itertools.pairwise(times))
    assert said == ["5 pictures lifted, 0 left out because newer ones were there"]


def test_a_table(lifter, tmp_path: Path) -> None:
    camera = Camera([picture([place]) for place in walk(3)])
    lift_live(camera.detector(), lifter, iter(camera), tmp_path / "a.csv", say=lambda text: None)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert len(rows) == 3 * 17
    assert rows[0] == {
        "time": "0.0000", "frame": "0", "person": "0", "present": "1", "joint": "pelvis", "x": "0.0000", "y": "0.0000",
        "z": "0.0000", "radius": rows[0]["radius"],
    }  # fmt: skip


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_stopping_keeps_what_there_is_and_failing_leaves_nothing(error, lifter, tmp_path: Path) -> None:
    camera = Camera([picture([place]) for place in walk(3)], error)
    out = tmp_path / "a.jsonl"
    if error is KeyboardInterrupt:
        assert lift_live(camera.detector(), lifter, iter(camera), out, say=lambda text: None) == 3
        assert len(out.read_text().splitlines()) == 4
    else:
        with pytest.raises(RuntimeError):
            lift_live(camera.detector(), lifter, iter(camera), out, say=lambda text: None)
        assert list(tmp_path.iterdir()) == []


def test_pictures_that_come_too_fast_are_left_out(lifter) -> None:
    shown = [picture([place]) for place in walk(40, step=2)]

    class Slow(BlobDetector):
        def detect(self, image):
            time.sleep(0.1)
            return super().detect(image)

    def fast():
        for one in shown:
            time.sleep(0.01)
            yield one

    said: list[str] = []
    count = lift_live(Slow(), lifter, fast(), say=said.append)
    assert 0 < count < 20
    assert said[-1] == f"{count} pictures lifted, {40 - count} left out because newer ones were there"


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    """A film that ffmpeg plays at its own speed stands for the camera."""
    install(monkeypatch)
    path = film(tmp_path / "a.mkv", [picture([place]) for place in walk(20)], "20")
    source = ["-re", "-i", str(path)]
    monkeypatch.setattr("poseterior.files.films._camera_source", lambda program, number: source)
    assert main(["lift", "webcam:0", "--detector", "blobs", "--end", "0.6"]) == 0
    told = capsys.readouterr()
    _, *rows = map(json.loads, told.out.splitlines())
    assert 1 <= len(rows) <= 14
    assert rows[-1]["time"] <= 0.6
    assert "lifted" in told.err


def test_no_camera(capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["lift", "webcam:87", "--detector", "blobs", "--out", str(tmp_path / "a.jsonl")]) == 2
    assert "webcam:87: there is no /dev/video87; cameras here: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    for arguments, message in (
        (["--out", "a.npz"], "--out a.npz: of a camera, poses are written as .jsonl or .csv, a line each"),
        (["--video", "a.mp4"], "--video: does not go with a camera; use --out poses.jsonl or .csv"),
    ):
        assert main(["lift", "webcam:0", "--detector", "blobs", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_a_camera_that_gives_nothing() -> None:
    with pytest.raises(InputError, match="webcam:0: gives no picture"):
        next(films._from_camera(reading_program("test"), ["-f", "lavfi", "-i", "nonsense"], "webcam:0"))
