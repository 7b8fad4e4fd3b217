"""`poseterior lift` of photographs, films, folders of them, and mixtures with keypoint files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blobs import STANDING, BlobDetector, film, install, picture, walk
from poseterior.cli import main
from poseterior.detect.detectors import detector_modules
from poseterior.files.films import frames_of_film, read_film
from poseterior.results.poses import load_result

PAIR = [0.8 * STANDING + np.array([100, 220]), STANDING + np.array([330, 220])]


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BlobDetector:
    monkeypatch.setenv("POSETERIOR_CACHE", str(tmp_path / "no models here"))
    return install(monkeypatch)


def photo(path: Path, people: list[np.ndarray] = PAIR) -> Path:
    Image.fromarray(picture(people)).save(path)
    return path


def lift(capsys, *arguments: object) -> str:
    code = main(["lift", *map(str, arguments), "--samples", "6", "--detector", "blobs"])
    out = capsys.readouterr()
    assert code == 0, out.err
    return out.out


def refused(capsys, *arguments: object) -> str:
    assert main(["lift", *map(str, arguments), "--samples", "6"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.removeprefix("poseterior: error: ").strip()


def test_without_a_model_the_line_to_type_is_said(capsys, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    assert "poseterior detectors fetch blazepose" in refused(capsys, path)


def test_a_photograph(capsys, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    said = lift(
        capsys, path, "--out", tmp_path / "a.npz", "--picture", tmp_path / "seen.png", "--view", tmp_path / "a.html"
    )
    assert "2 poses" in said
    result = load_result(tmp_path / "a.npz")
    assert result.file.tolist() == [str(path)] * 2
    assert result.person.tolist() == [0, 1]
    assert result.image_size.tolist() == [[480, 400]] * 2
    left_wrist = list(result.joint_names).index("left_wrist")
    assert np.abs(result.keypoints[0, left_wrist] - PAIR[1][9]).max() < 1
    assert np.allclose(result.keypoint_covariance[0, left_wrist], 4 * np.eye(2), rtol=0.01)
    assert Image.open(tmp_path / "seen.png").size[0] > 1000


def test_one_of_the_people(capsys, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    lift(capsys, path, "--out", tmp_path / "a.npz", "--person", "1")
    assert load_result(tmp_path / "a.npz").person.tolist() == [1]
    said = refused(capsys, path, "--detector", "blobs", "--person", "7")
    assert said == "--person 7: no such person; there are: 0 (1 frame), 1 (1 frame)"


def test_numbered_photographs_are_lifted_one_by_one(capsys, tmp_path: Path) -> None:
    for number, place in enumerate(walk(6)):
        photo(tmp_path / f"IMG_{number:04}.png", [place])
    said = lift(capsys, tmp_path, "--out", tmp_path / "all.npz", "--clip", "on")
    assert "clip" not in said
    result = load_result(tmp_path / "all.npz")
    assert [Path(name).name for name in result.file] == [f"IMG_{number:04}.png" for number in range(6)]
    assert result.frame.tolist() == [0] * 6


def test_a_film_and_its_keypoints_give_the_same_answer(capsys, tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mkv", [picture([place]) for place in walk(12)], "24")
    said = lift(capsys, path, "--out", tmp_path / "a.npz", "--keypoints", tmp_path / "kp.json")
    assert f"{path}: 12 frames (0 to 11), 1 person" in said
    lift(capsys, tmp_path / "kp.json", "--out", tmp_path / "b.npz")
    a, b = load_result(tmp_path / "a.npz"), load_result(tmp_path / "b.npz")
    assert a.fps == b.fps == 24
    for field in ("samples", "mean", "region_radius", "keypoints", "keypoint_covariance", "file", "frame"):
        equal_nan = field not in ("file",)
        assert np.array_equal(getattr(a, field), getattr(b, field), equal_nan=equal_nan), field


def test_a_film_feeds_the_posterior_of_clips(capsys, tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mkv", [picture([place]) for place in walk(24)], "24")
    said = lift(capsys, path, "--out", tmp_path / "a.npz", "--clip", "on", "--every", "2", "--start", "0.25")
    assert "9 frames at 12 a second (every 2nd)" in said
    assert load_result(tmp_path / "a.npz").frame.tolist() == list(range(6, 24, 2))


def test_a_mixture(capsys, tmp_path: Path) -> None:
    clip = film(tmp_path / "walk.mkv", [picture([place]) for place in walk(6)])
    shot = photo(tmp_path / "a.png")
    entry = {"skeleton": "h36m17", "keypoints": np.random.default_rng(0).uniform(50, 400, (17, 2)).tolist()}
    (tmp_path / "kp.json").write_text(json.dumps(entry | {"image_size": [640, 480]}))
    lift(capsys, tmp_path / "kp.json", clip, shot, "--out", tmp_path / "all.npz")
    result = load_result(tmp_path / "all.npz")
    assert result.file.tolist() == [str(shot)] * 2 + [str(clip)] * 6 + [str(tmp_path / "kp.json")]
    assert result.skeleton == "h36m17"


@pytest.mark.parametrize("behind", ["found", "given"])
def test_the_film_is_behind_the_keypoints_in_the_film_that_is_written(behind: str, capsys, tmp_path: Path) -> None:
    """The wall of the film changes its colour: the film that is written shows it, frame by frame."""
    pictures = [picture([place]) for place in walk(8)]
    for number, shown in enumerate(pictures):
        shown[shown == 200] = 120 + 15 * number
    source = film(tmp_path / "walk.mkv", pictures, "10")

    class Keen(BlobDetector):
        def detect(self, image):
            return super().detect(np.where((image == image[:1, :1]).all(-1, keepdims=True), 200, image))

    keen = Keen()
    detector_modules()["blobs"].load = lambda argument, models: keen
    target = tmp_path / "out.mp4"
    if behind == "found":
        lift(capsys, source, "--video", target)
    else:
        lift(capsys, source, "--keypoints", tmp_path / "kp.json")
        lift(capsys, tmp_path / "kp.json", "--photo", source, "--video", target)
    frames = [frame for _, frame in frames_of_film(read_film(target))]
    assert len(frames) == 8
    walls = [(np.abs(frame.astype(int) - (120 + 15 * number)).max(-1) <= 4) for number, frame in enumerate(frames)]
    assert all(wall[:, :640].sum() > 5000 for wall in walls)


def test_the_sheet_is_of_the_lifted_poses_whatever_else_is_written(capsys, tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mkv", [picture([place]) for place in walk(8)], "24")
    lift(capsys, path, "--picture", tmp_path / "alone.png")
    lift(capsys, path, "--picture", tmp_path / "beside.png", "--motion", tmp_path / "a.bvh")
    lift(capsys, path, "--picture", tmp_path / "out.png", "--out", tmp_path / "b.bvh")
    alone = (tmp_path / "alone.png").read_bytes()
    assert (tmp_path / "beside.png").read_bytes() == (tmp_path / "out.png").read_bytes() == alone


def test_frames_that_were_not_asked_for_are_not_in_the_film(capsys, tmp_path: Path) -> None:
    path = film(tmp_path / "walk.mkv", [picture([place]) for place in walk(18)], "24")
    lift(capsys, path, "--every", "3", "--video", tmp_path / "out.mp4")
    written = read_film(tmp_path / "out.mp4")
    assert written.fps == pytest.approx(8)
    assert len(list(frames_of_film(written))) == 6


def test_people_of_kept_keypoints_are_drawn_as_those_of_the_photograph(capsys, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    lift(capsys, path, "--keypoints", tmp_path / "kp.json", "--picture", tmp_path / "first.png")
    lift(capsys, tmp_path / "kp.json", "--photo", path, "--picture", tmp_path / "again.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "again.png").read_bytes()


# -- nobody, and what cannot be read -------------------------------------------------------------------------


def test_nobody(capsys, tmp_path: Path) -> None:
    empty = photo(tmp_path / "wall.png", [])
    said = refused(
        capsys, empty, "--detector", "blobs", "--out", tmp_path / "a.npz", "--keypoints", tmp_path / "kp.json"
    )
    assert said == f"nobody was found in {empty}: there is nothing to lift"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wall.png"]
    lifted = lift(capsys, empty, photo(tmp_path / "a.png"), "--out", tmp_path / "a.npz")
    assert f"{empty}: nobody found by blobs" in lifted
    assert len(load_result(tmp_path / "a.npz")) == 2


def broken(folder: Path, kind: str) -> tuple[Path, str]:
    """A file that cannot be used, and what is said of it."""
    path = folder / f"{kind}.jpg"
    if kind == "empty":
        path.touch()
        return path, "is empty; copy or take it anew"
    if kind == "text":
        path.write_text("hello")
        return path, "cannot be read as an image"
    if kind == "truncated":
        Image.fromarray(picture(PAIR)).save(path)
        path.write_bytes(path.read_bytes()[:-3000])
        return path, "cannot be read as an image"
    if kind == "pixel":
        Image.new("RGB", (1, 1)).save(path)
        return path, "1 x 1 px are too few to find anybody"
    if kind == "huge":
        path = path.with_suffix(".png")
        Image.new("1", (15000, 15000)).save(path)
        return path, "has more than 178 million px; make it smaller"
    path = folder / "cut.mp4"
    film(path, [picture([place]) for place in walk(20)])
    path.write_bytes(path.read_bytes()[:-1500])
    return path, "is truncated, or no film"


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "pixel", "huge", "film"])
def test_what_cannot_be_read_is_named_and_nothing_is_written(kind: str, capsys, tmp_path: Path) -> None:
    path, reason = broken(tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    said = refused(capsys, path, "--detector", "blobs", "--out", tmp_path / "o.npz", "--keypoints", tmp_path / "k.json")
    assert said.startswith(f"{path}: ")
    assert reason in said
    assert sorted(tmp_path.iterdir()) == before


def test_a_film_cut_short_is_lifted_as_far_as_it_goes(capsys, tmp_path: Path, caplog) -> None:
    path = film(tmp_path / "a.mp4", [picture([place]) for place in walk(40)], "25", "-movflags", "+faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    lift(capsys, path, "--out", tmp_path / "a.npz")
    frames = load_result(tmp_path / "a.npz").frame.tolist()
    assert frames == list(range(len(frames)))
    assert 5 < len(frames) < 36
    assert caplog.messages == [f"{path}: is truncated or damaged: {len(frames)} of 40 frames could be read"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--every", "0"], "--every: expected a whole number from 1, got 0"),
        (["--start", "-1"], "--start: expected seconds from 0, got -1"),
        (["--start", "2", "--end", "1"], "--end: expected seconds after --start (2), got 1"),
        (["--keypoints", "kp.npz"], "--keypoints kp.npz: unknown extension '.npz'; use one of: .json, .jsonl"),
        (["--detector", "eyes"], "unknown detector 'eyes'; known: "),
    ],
)
def test_options_that_make_no_sense(arguments: list[str], message: str, capsys, tmp_path: Path) -> None:
    assert refused(capsys, photo(tmp_path / "a.png"), *arguments).startswith(message)


def test_a_picture_is_not_overwritten(capsys, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png")
    before = path.read_bytes()
    assert str(path) in refused(capsys, path, "--picture", path, "--detector", "blobs")
    assert path.read_bytes() == before


# -- a folder as --out ---------------------------------------------------------------------------------------


def test_a_folder(capsys, tmp_path: Path) -> None:
    folder, out = tmp_path / "day", tmp_path / "lifted"
    folder.mkdir()
    photo(folder / "pair.png")
    photo(folder / "wall.jpg", [])
    (folder / "broken.jpg").write_text("no picture")
    photo(folder / "clicked.png")
    entry = {"skeleton": "coco17", "keypoints": PAIR[0].tolist(), "image_size": [480, 400]}
    (folder / "clicked.json").write_text(json.dumps(entry))
    film(folder / "walk.mkv", [picture([place]) for place in walk(6)], "12")
    said = lift(capsys, folder, "--out", out, "--video", "gif")
    assert "lifted 3 of 5" in said
    lacking = "and it has no keypoints: expected wall.json, .npy or .npz beside it, or a file that names it"
    assert f"wall.jpg: nobody found by blobs; {lacking}" in said
    assert "broken.jpg: " in said
    assert "cannot be read as an image" in said
    assert sorted(path.name for path in out.iterdir()) == [
        "clicked.parquet", "clicked.png", "pair.parquet", "pair.png", "walk.gif", "walk.parquet", "walk.png",
    ]  # fmt: skip
    assert len(load_result(out / "pair.parquet")) == 2
    assert len(load_result(out / "clicked.parquet")) == 1  # clicked: not looked at
    assert load_result(out / "walk.parquet").fps == 12


def test_a_folder_without_a_model_says_how_to_get_it(capsys, tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    photo(tmp_path / "day" / "a.png")
    said = refused(capsys, tmp_path / "day", "--out", tmp_path / "lifted")
    assert "and it has no keypoints: expected a.json" in said
    assert "poseterior detectors fetch blazepose" in said
    assert not (tmp_path / "lifted").exists()


def test_no_file_at_all(capsys) -> None:
    assert refused(capsys) == "no keypoint file is given"
