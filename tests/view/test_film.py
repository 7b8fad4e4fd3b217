"""Films: that they move, that their time is right, and that no half file is left."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.results.poses import LiftResult
from poseterior.view import ffmpeg, film
from poseterior.view.ffmpeg import check_ffmpeg
from poseterior.view.film import check_video, save_film
from poseterior.view.film_page import FilmPage
from poseterior.view.tracks import tracks_of

JOINTS = get_skeleton("h36m17").joints


def clip(frames: int = 6, people: int = 1, samples: int = 5, seed: int = 0) -> LiftResult:
    """Someone about 1.6 m tall who shakes; keypoints at 200 px a metre around (320, 240)."""
    rng = np.random.default_rng(seed)
    body = rng.uniform([-0.4, -0.8, -0.3], [0.4, 0.8, 0.3], (17, 3))
    body[0] = 0
    count = frames * people
    mean = body + 0.05 * rng.standard_normal((count, 17, 3)) * (np.arange(17) > 0)[:, None]
    spread = 0.03 * rng.standard_normal((count, samples, 17, 3))
    return LiftResult(
        samples=mean[:, None] + spread,
        mean=mean,
        covariance=np.tile(np.diag([1e-3, 1e-3, 4e-3]), (count, 17, 1, 1)),
        log_prob=np.full((count, samples), np.nan),
        keypoints=320 + 200 * mean[..., :2],
        keypoint_covariance=np.tile(4 * np.eye(2), (count, 17, 1, 1)),
        visible=np.ones((count, 17), bool),
        image_size=np.tile([640, 480], (count, 1)),
        file=np.array(["clip.json"] * count),
        frame=np.repeat(np.arange(frames), people),
        person=np.tile(np.arange(people), frames),
        joint_names=JOINTS,
        lifter="test",
    )


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append(np.asarray(image.convert("RGB")).astype(int))
    return found


# -- films -------------------------------------------------------------------------------------------------


def test_gif(tmp_path):
    path = tmp_path / "a.gif"
    assert save_film(clip(6), path, fps=10) == 6
    frames = frames_of(path)
    assert [frame.shape for frame in frames] == [(432, 768, 3)] * 6
    assert all(np.abs(a - b).max() > 100 for a, b in zip(frames[1:], frames, strict=False))  # they move
    with Image.open(path) as image:
        assert image.info["loop"] == 0
        assert image.info["duration"] == 100


def test_a_gif_is_thinned_but_lasts_as_long(tmp_path):
    assert save_film(clip(9), tmp_path / "a.gif", fps=30) == 5
    with Image.open(tmp_path / "a.gif") as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    assert sum(durations) == pytest.approx(1000 * 10 / 30, abs=10)


def test_mp4(tmp_path):
    reader = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.mp4"
    assert save_film(clip(7), path, fps=25) == 7
    stream = reader.read_frames(str(path))
    about = next(stream)
    frames = [np.frombuffer(frame, np.uint8).reshape(720, 1280, 3).astype(int) for frame in stream]
    assert about["size"] == (1280, 720)
    assert about["fps"] == 25
    assert len(frames) == 7
    assert all(np.abs(a - b).max() > 100 for a, b in zip(frames[1:], frames, strict=False))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_the_eye_turns_and_can_stand_still(tmp_path):
    result, names = clip(4), ("mean", "samples", "keypoints", "region_center", "region_radius")
    still = replace(result, **{name: np.repeat(getattr(result, name)[:1], 4, 0) for name in names})
    half = np.s_[95:235, 400:]  # the stage, without the line of time
    for turn, moves in ((0.0, False), (60.0, True)):
        save_film(still, tmp_path / "a.gif", fps=10, turn=turn)
        first, *_, last = frames_of(tmp_path / "a.gif")
        assert (np.abs(last[half] - first[half]).max() > 100) == moves


def test_a_person_who_leaves_is_not_drawn(tmp_path):
    result = clip(4, people=2)
    result = result[~((result.person == 1) & (result.frame >= 2))]
    save_film(result, tmp_path / "a.gif", fps=10, turn=0.0)
    frames = frames_of(tmp_path / "a.gif")
    right = np.s_[90:265, 600:]  # the stage of the second person
    # saturated blue or vermillion: the spokes and the camera's mark are grey
    coloured = [(np.ptp(frame[right], axis=-1) > 100).sum() for frame in frames]
    assert min(coloured[:2]) > 200
    assert max(coloured[2:]) == 0


@pytest.mark.parametrize(("calibrated", "word"), [(False, "uncalibrated"), (True, "calibrated")])
def test_the_film_says_what_its_balls_are(calibrated, word):
    result = replace(clip(2), calibrated=calibrated, level=0.8)
    made = FilmPage(result, tracks_of(result), (12.8, 7.2), 50, None, 2, [0, 1], 10.0)
    texts = [text.get_text() for text in made.figure.texts]
    assert f"shaded in 3D: 80 % radius ({word})" in texts
    assert {"mean", "2 hypotheses", "person's left", "person's right"} <= set(texts)
    made.picture(1, 0.1, 30.0)
    balls = np.stack([path.vertices for path in made.stages[0][1].body.outlines.get_paths()])
    width = np.ptp(balls, axis=1) / 2
    np.testing.assert_allclose(width, np.repeat(result.region_radius[1][:, None], 2, 1), rtol=0.01)


def test_five_people_and_a_photograph(tmp_path):
    photo = np.full((480, 640, 3), 90, np.uint8)
    assert save_film(clip(2, people=5), tmp_path / "a.gif", photos=photo, fps=5) == 2


def test_hidden_joints_and_no_samples(tmp_path):
    result = clip(2, samples=0)
    visible = np.ones((2, 17), bool)
    visible[:, 3:9] = False
    keypoints = np.where(visible[..., None], result.keypoints, np.nan)
    assert save_film(replace(result, visible=visible, keypoints=keypoints), tmp_path / "a.gif") == 1


def test_progress_is_counted(tmp_path):
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(quiet=True)) as bar:
        save_film(clip(4), tmp_path / "a.gif", fps=10, progress=bar)
    assert [(task.completed, task.total) for task in bar.tasks] == [(4, 4)]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.avi", {}, r"a\.avi: unknown extension '\.avi'; use one of: \.mp4, \.gif"),
        ("a.gif", {"fps": 0}, r"a\.gif: fps: a film needs 1 to 240 frames per second, got 0"),
        ("a.gif", {"fps": float("nan")}, r"a\.gif: fps: a film needs 1 to 240 frames per second, got nan"),
        ("a.gif", {"turn": float("inf")}, r"turn: expected degrees per second, got inf"),
        ("no/a.gif", {}, r"a\.gif: the folder .*no does not exist; make it first"),
    ],
)
def test_refused_films(tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        save_film(clip(), tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_film_needs_a_clip(tmp_path):
    with pytest.raises(InputError, match=r"a\.gif: a film needs a clip, but every file has one frame"):
        save_film(clip(1, people=3), tmp_path / "a.gif")


def test_a_long_gif_is_refused_at_once(tmp_path):
    long = clip(1)[np.zeros(2100, int)]
    with pytest.raises(InputError, match=r"a GIF of 1,050 frames is too large \(at most 1,000\); write \.mp4"):
        save_film(replace(long, frame=np.arange(2100)), tmp_path / "a.gif", fps=30)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError("stop")])
def test_an_interrupted_film_leaves_nothing(tmp_path, monkeypatch, suffix, error):
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg")
    draw, calls = FilmPage.picture, []

    def stop(self, *arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise error
        return draw(self, *arguments)

    monkeypatch.setattr(FilmPage, "picture", stop)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        save_film(clip(6), tmp_path / f"a{suffix}", fps=10)
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


def test_mp4_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    message = r"a\.mp4: writing MP4 without ffmpeg on the path needs imageio-ffmpeg: pip install 'poseterior\[video\]'"
    with pytest.raises(InputError, match=message + r" \(or write a \.gif\)$"):
        check_video(tmp_path / "a.mp4", 30)
    check_video(tmp_path / "a.gif", 30)


def shell(path, text):
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def test_the_ffmpeg_on_the_path_is_used_and_the_package_is_not_needed(tmp_path, monkeypatch):
    reader = pytest.importorskip("imageio_ffmpeg")
    real = reader.get_ffmpeg_exe()
    (tmp_path / "bin").mkdir()
    shell(tmp_path / "bin" / "ffmpeg", f'echo "$@" >> "{tmp_path}/calls"\nexec "{real}" "$@"\n')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "imageio_ffmpeg", None)
        assert save_film(clip(4), tmp_path / "a.mp4", fps=25) == 4
    assert "-c:v libx264" in (tmp_path / "calls").read_text()
    assert next(reader.read_frames(str(tmp_path / "a.mp4")))["size"] == (1280, 720)


@pytest.mark.parametrize(("has", "used"), [("mpeg4", "mpeg4"), ("libopenh264", "libopenh264"), ("vp9", None)])
def test_a_build_without_x264_writes_what_it_can(tmp_path, monkeypatch, has, used):
    shell(tmp_path / "ffmpeg", f"echo ' V....D {has}   some words'\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    if used is None:
        with pytest.raises(InputError, match=r"a\.mp4: no ffmpeg for this machine that can write MP4; write a \.gif"):
            check_ffmpeg("a.mp4")
    else:
        assert check_ffmpeg("a.mp4") == (str(tmp_path / "ffmpeg"), used)


def test_a_film_in_mpeg4_can_be_read(tmp_path, monkeypatch):
    """What a build without x264 would write."""
    reader = pytest.importorskip("imageio_ffmpeg")
    monkeypatch.delitem(ffmpeg._ENCODERS, "libx264")
    monkeypatch.delitem(ffmpeg._ENCODERS, "libopenh264")
    save_film(clip(3), tmp_path / "a.mp4", fps=25)
    stream = reader.read_frames(str(tmp_path / "a.mp4"))
    assert next(stream)["codec"] == "mpeg4"
    assert len(list(stream)) == 3


def test_what_ffmpeg_says_of_its_failure_is_told(tmp_path, monkeypatch):
    listing = "case $2 in -encoders) echo ' V....D libx264 x'; exit 0;; esac\n"
    shell(tmp_path / "ffmpeg", listing + "echo 'No space left on device' >&2\nexit 1\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises((OSError, InputError), match="No space left on device"):
        save_film(clip(3), tmp_path / "a.mp4", fps=25)
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


# -- real time ---------------------------------------------------------------------------------------------


def test_gaps_of_a_film_are_bridged(tmp_path, caplog):
    result = clip(6)
    result = result[~np.isin(result.frame, [2, 3])]
    assert save_film(result, tmp_path / "a.gif", fps=10, turn=0.0) == 6
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.gif'}: 1 gap in time: 1 bridged (frames 2 to 3)"
    ]
    coloured = [(np.ptp(frame[90:265, 420:], axis=-1) > 100).sum() for frame in frames_of(tmp_path / "a.gif")]
    assert min(coloured) > 200


def test_a_film_is_empty_while_nobody_is_there(tmp_path):
    result = replace(clip(4), frame=np.array([0, 1, 20, 21]))
    assert save_film(result, tmp_path / "a.gif", fps=10, turn=0.0) == 22
    with Image.open(tmp_path / "a.gif") as image:
        durations = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
    assert sum(durations) == pytest.approx(2200, abs=20)


def test_frames_of_a_film_in_real_time():
    known = {0, 1, 4}
    assert film._in_real_time(known, 10.0) == ([0, 1, 2, 3, 4], 10.0)
    frames, _ = film._in_real_time({0, 1, 5000, 5001}, 10.0)  # a second instead of minutes of nothing
    assert frames == [0, *range(1, 11), 5000, 5001]
    assert film._in_real_time({0, 3, 6, 12, 15}, 60.0) == ([0, 3, 6, 9, 12, 15], 20.0)
    assert film._in_real_time({0, 30, 60}, 30.0) == ([0, 30, 60], 1.0)
    assert film._in_real_time({0, 15, 30}, 60.0) == ([0, 15, 30], 4.0)


def test_the_rate_of_a_film(tmp_path, caplog):
    save_film(clip(3), tmp_path / "a.gif")
    assert "30 frames a second is assumed: pass --fps" in caplog.records[0].getMessage()
    caplog.clear()
    save_film(replace(clip(3), settings={"fps": "5"}), tmp_path / "a.gif")
    assert caplog.records == []
    with Image.open(tmp_path / "a.gif") as image:
        assert image.info["duration"] == 200
