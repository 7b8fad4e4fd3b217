"""What is mistyped on the command line is told at once, by the name of the option or file, with the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blobs import STANDING, BlobDetector, film, install, picture, walk
from poseterior.cli import main
from poseterior.keypoints.folders import find_tasks
from poseterior.results.poses import load_result

PLACE = STANDING + np.array([200, 220])


class Watched(BlobDetector):
    """Counts the pictures that it looks at."""

    looks = 0

    def detect(self, image):
        type(self).looks += 1
        return super().detect(image)


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Watched]:
    from poseterior.detect.detectors import detector_modules

    monkeypatch.setenv("POSETERIOR_CACHE", str(tmp_path / "no models here"))
    install(monkeypatch)
    watched = Watched()
    Watched.looks = 0
    detector_modules()["blobs"].load = lambda argument, models: watched
    return Watched


def photo(path: Path) -> Path:
    Image.fromarray(picture([PLACE])).save(path)
    return path


def clip(path: Path, frames: int = 12) -> Path:
    return film(path, [picture([place]) for place in walk(frames)], "24")


def keypoints(path: Path, frames: int = 1) -> Path:
    places = [(PLACE + 2 * frame).tolist() for frame in range(frames)]
    entry = {"skeleton": "coco17", "keypoints": places, "image_size": [480, 400]}
    path.write_text(json.dumps(entry))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = main([*map(str, arguments)])
    out = capsys.readouterr()
    assert code == 0, out.err
    return out.out


def lift(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    return run(capsys, "lift", *arguments, "--detector", "blobs")


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([*map(str, arguments)]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.removeprefix("poseterior: error: ").strip()


# -- every file of a folder ----------------------------------------------------------------------------------


def test_a_folder_is_looked_at_whole_with_a_folder_as_out(capsys, tmp_path: Path) -> None:
    folder, out = tmp_path / "day", tmp_path / "lifted"
    folder.mkdir()
    for name in ("a.tif", "b.gif", "c.ppm", "d.jpg"):
        photo(folder / name)
    (folder / "e.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "f.avif").write_bytes(b"\0\0\0\x18ftypavif" + bytes(40))
    Image.fromarray(picture([PLACE])).save(folder / "g.tif")
    (folder / "g.tif").rename(folder / "g.NEF")
    (folder / "dangling.jpg").symlink_to(tmp_path / "gone.jpg")
    (folder / "dangling.mp4").symlink_to(tmp_path / "gone.mp4")
    said = lift(capsys, folder, "--out", out, "--samples", 6)
    assert sorted(path.stem for path in out.glob("*.parquet")) == ["a", "b", "c", "d"]
    assert "lifted 4 of 9" in said
    assert "  e.heic: is a HEIC picture, which is not read; save it as JPEG or PNG; and it has no keypoints" in said
    assert "  f.avif: is an AVIF picture, which is not read; save it as JPEG or PNG; and it has no keypoints" in said
    assert "  g.NEF: is a raw picture, which is not read; save it as JPEG or PNG; and it has no keypoints" in said
    assert f"  dangling.jpg: is a link to {tmp_path / 'gone.jpg'}, which is not there; mend or remove it" in said
    assert f"  dangling.mp4: is a link to {tmp_path / 'gone.mp4'}, which is not there; mend or remove it" in said
    alone = lift(capsys, folder, "--out", tmp_path / "all.npz", "--samples", 6)
    assert [Path(name).stem for name in load_result(tmp_path / "all.npz").file] == ["a", "b", "c", "d"]
    for name in ("e.heic", "f.avif", "g.NEF", "dangling.jpg", "dangling.mp4"):
        assert f"  {folder / name}: " in alone


def test_keypoints_of_a_picture_that_is_not_read_are_lifted(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    keypoints(tmp_path / "a.json")
    tasks, left = find_tasks(tmp_path)
    assert [(task.name, task.photo) for task in tasks] == [("a", None)]
    assert [(one.file, one.reason) for one in left] == [
        ("a.heic", "is of a kind that is not read; a.json beside it stands alone")
    ]


def test_what_is_beside_a_picture_and_ambiguous_may_be_moved_away(capsys, tmp_path: Path) -> None:
    folder = tmp_path / "day"
    folder.mkdir()
    photo(folder / "a.png")
    photo(folder / "b.png")
    np.save(folder / "a.npy", PLACE[None])
    said = lift(capsys, folder, "--out", tmp_path / "lifted", "--samples", 6)
    line = next(line for line in said.splitlines() if line.startswith("  a.png: a.npy: "))
    assert "skeleton" in line
    assert line.endswith("; or move a.npy elsewhere, and the detector looks at the picture")


def test_the_number_of_photographs_is_told_before_the_first(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "walk.mp4"):
        (tmp_path / name).touch()
    asked: list[str] = []

    def find(path: Path):
        from poseterior.files.errors import InputError

        asked.append(path.name)
        raise InputError(f"{path}: nobody")

    def expect(paths: list[Path]) -> None:
        assert not asked
        asked.append(f"{len(paths)}")

    with pytest.raises(ValueError, match=r"nothing to lift; a\.png: nobody; and it has no keypoints"):
        find_tasks(tmp_path, find=find, expect=expect)
    assert asked == ["3", "a.png", "b.png", "walk.mp4"]


# -- samples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["film", "keypoints"])
def test_a_clip_without_samples_keeps_its_summary(kind: str, capsys, tmp_path: Path) -> None:
    source = clip(tmp_path / "walk.mkv") if kind == "film" else keypoints(tmp_path / "walk.json", 8)
    for samples in (0, 7):
        lift(capsys, source, "--clip", "on", "--samples", samples, "--focal", 600, "--out", tmp_path / f"{samples}.npz")
    none, some = load_result(tmp_path / "0.npz"), load_result(tmp_path / "7.npz")
    assert none.samples.shape[1] == 0
    for field in ("mean", "covariance", "region_radius", "region_center", "root", "root_covariance"):
        np.testing.assert_allclose(getattr(none, field), getattr(some, field), atol=1e-6, err_msg=field)
    lift(capsys, source, "--clip", "on", "--samples", 0, "--out", tmp_path / "without a camera.npz")
    assert load_result(tmp_path / "without a camera.npz").samples.shape[1] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "-3"], "--samples: expected at least 0, got -3"),
        (["--seed", "-1"], "--seed: expected 0 to below 2^62, got -1"),
        (
            ["--samples", "0", "--out", "a.bvh"],
            "--samples: expected at least 1, got 0; motion files are made of samples",
        ),
        (
            ["--samples", "0", "--lifter", "rotations"],
            "--samples: expected at least 1, got 0; rotations are told by their samples alone",
        ),
        (["--height", "180"], "--height: expected 0.3 to 3 metres, got 180"),
        (["--height", "0.1"], "--height: expected 0.3 to 3 metres, got 0.1"),
    ],
)
def test_bad_values_are_refused_before_a_film_is_looked_at(
    arguments: list[str], message: str, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, "lift", clip(tmp_path / "walk.mkv"), "--detector", "blobs", *arguments) == message
    one = keypoints(tmp_path / "other.json")
    said = refused(capsys, "lift", photo(tmp_path / "b.png"), one, "--detector", "blobs", "--video", tmp_path / "a.gif")
    assert said == f"{tmp_path / 'a.gif'}: a film needs a clip, but every file has one frame; write a picture instead"
    assert detector.looks == 0


def test_heights_have_no_interval_of_few_samples(capsys, tmp_path: Path) -> None:
    source = keypoints(tmp_path / "a.json")
    few, many = (lift(capsys, source, "--samples", number) for number in (5, 200))
    assert " m (its 90 % interval takes 100 samples or more)" in " ".join(few.split())
    assert " m (90 %: " in many


# -- keypoints that grow -------------------------------------------------------------------------------------


def test_a_film_is_resumed_by_its_keypoints(capsys, tmp_path: Path) -> None:
    source = clip(tmp_path / "walk.mkv")
    said = refused(capsys, "lift", source, "--detector", "blobs", "--resume", "--out", tmp_path / "a.parquet")
    advice = "write them with --keypoints people.jsonl, and lift that file, with --clip off"
    assert said == f"--resume: people in photographs and films are found first: {advice}"
    people = tmp_path / "people.jsonl"
    lift(capsys, source, "--keypoints", people, "--clip", "off", "--samples", 5, "--out", tmp_path / "a.npz")
    assert len([json.loads(line) for line in people.read_text().splitlines()]) == 12
    run(capsys, "lift", people, "--clip", "off", "--resume", "--samples", 5, "--out", tmp_path / "b.parquet")
    a, b = load_result(tmp_path / "a.npz"), load_result(tmp_path / "b.parquet")
    for field in ("keypoints", "keypoint_covariance", "frame", "file", "samples"):
        numbers = field != "file"
        assert np.array_equal(getattr(a, field), getattr(b, field), equal_nan=numbers), field
    assert a.fps == b.fps == 24


@pytest.mark.parametrize("option", [["--resume"], ["--shard", "1/2"], ["--workers", "2"], ["--precision", "half"]])
def test_a_folder_as_out_does_not_grow(option: list[str], capsys, tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    photo(tmp_path / "day" / "a.png")
    said = refused(capsys, "lift", tmp_path / "day", "--out", tmp_path / "lifted", *option)
    name = " ".join(option) if option[0] == "--precision" else option[0]
    assert said == f"{name}: does not go with a folder as --out; lift one file to --out poses.parquet"


# -- files that are not there, or something else -------------------------------------------------------------


def test_a_folder_as_out_needs_one_folder(capsys, tmp_path: Path) -> None:
    day, out, shot = tmp_path / "day", tmp_path / "lifted", photo(tmp_path / "a.png")
    assert refused(capsys, "lift", day, "--out", out) == f"{day}: no such file"
    day.mkdir()
    photo(day / "b.png")
    needs = f"--out {out}: a folder as --out needs exactly one folder of photographs and clips, not "
    instead = "; give that, or name a file: --out poses.parquet"
    assert refused(capsys, "lift", day, shot, "--out", out) == needs + "2 files and folders" + instead
    assert refused(capsys, "lift", shot, "--out", out) == needs + "a file" + instead


def test_addresses_are_of_a_cluster(capsys, tmp_path: Path) -> None:
    read = "addresses are read with --engine ray; add it, or copy the file here first"
    for address in ("s3://bucket/a.jsonl", "s3://bucket/*.jsonl"):
        assert refused(capsys, "lift", address, "--out", tmp_path / "a.parquet") == f"{address}: {read}"
    written = "addresses are written with --engine ray; add it, or give a path of this machine"
    out = "s3://bucket/a.parquet"
    assert refused(capsys, "lift", keypoints(tmp_path / "a.json"), "--out", out) == f"--out {out}: {written}"


@pytest.mark.parametrize("option", [["--every", "2"], ["--start", "1"], ["--end", "2"]])
def test_options_of_films_without_one(option: list[str], capsys, tmp_path: Path) -> None:
    message = f"{option[0]}: is of films, and there is none here; leave it out"
    folder = tmp_path / "day"
    folder.mkdir()
    photo(folder / "a.png")
    assert refused(capsys, "lift", photo(tmp_path / "a.png"), *option) == message
    assert refused(capsys, "lift", keypoints(tmp_path / "a.json"), *option) == message
    assert refused(capsys, "lift", folder, "--out", tmp_path / "lifted", *option) == message


def test_a_detector_without_a_picture_is_said(capsys, tmp_path: Path) -> None:
    said = lift(capsys, keypoints(tmp_path / "a.json"), "--samples", 5)
    assert said.startswith("--detector: not used: there is no photograph or film here\n")


def test_no_film_of_a_photograph(capsys, tmp_path: Path, detector) -> None:
    said = refused(capsys, "lift", photo(tmp_path / "a.png"), "--detector", "blobs", "--video", tmp_path / "a.gif")
    assert said == "--video: a film needs a clip, and photographs are none; use --picture"
    assert detector.looks == 0


def test_a_warning_is_printed_once(capfd, tmp_path: Path, caplog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of tests, where nobody has set up logging."""
    import logging

    first = Image.fromarray(picture([PLACE]))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[Image.fromarray(picture([PLACE + 9]))])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert main(
        ["lift", str(tmp_path / "a.gif"), "--detector", "blobs", "--samples", "5", "--picture", str(tmp_path / "b.png")]
    ) == 0  # fmt: skip
    assert capfd.readouterr().err.count("has 2 frames; the first is taken") == 1


def test_what_view_is_given_instead_of_a_result(capsys, tmp_path: Path) -> None:
    source, out = keypoints(tmp_path / "k.json"), tmp_path / "lifted"
    lifting = "lift it first: poseterior lift {} --view scene.html"
    assert refused(capsys, "view", source) == f"{source}: holds keypoints, not a result; {lifting.format(source)}"
    shot = photo(tmp_path / "a.png")
    assert refused(capsys, "view", shot) == f"{shot}: is a photograph or film, not a result; {lifting.format(shot)}"
    out.mkdir()
    assert refused(capsys, "view", out) == f"{out}: is a folder; there is no result in it"
    (out / "a.parquet").touch()
    assert refused(capsys, "view", out) == f"{out}: is a folder; name one of the results in it: a.parquet"


# -- compare -------------------------------------------------------------------------------------------------


def test_lifters_are_compared_on_a_photograph_and_a_film(capsys, tmp_path: Path) -> None:
    for source in (photo(tmp_path / "a.png"), clip(tmp_path / "walk.mkv", 4)):
        out = tmp_path / f"{source.stem}-compared.png"
        said = run(
            capsys, "compare", source, "mdn", "flow", "--out", out, "--detector", "blobs", "--samples", 2, "--poses", 2
        )
        assert "mdn, flow" in said
        assert Image.open(out).size[0] > 500
    said = refused(capsys, "compare", keypoints(tmp_path / "k.json"), "mdn", "--out", out, "--photo", source)
    assert said == f"--photo {source}: is a film, and a comparison shows photographs: give one, or their folder"
