"""Lifting a whole folder: photographs and keypoints find each other, what cannot be used is told at the end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.folders import find_tasks
from poseterior.results.poses import load_result

JOINTS = list(SKELETONS["h36m17"].joints)
PERSON = np.array(
    [[320, 240], [300, 240], [298, 310], [296, 380], [340, 240], [342, 310], [344, 380], [320, 200], [320, 160],
     [320, 135], [320, 112], [352, 165], [366, 210], [370, 250], [288, 165], [274, 210], [270, 250]],
    dtype=float,
)  # fmt: skip


def entry(**fields: object) -> dict[str, object]:
    return {"joints": JOINTS, "keypoints": PERSON.tolist(), **fields}


def photo(path: Path, size: tuple[int, int] = (640, 480)) -> Path:
    Image.new("RGB", size, (90, 120, 60)).save(path)
    return path


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def alphapose(*images: str) -> list[dict[str, object]]:
    coco = np.concatenate([PERSON[:17], np.ones((17, 1))], 1).reshape(-1).tolist()
    return [{"image_id": name, "keypoints": coco, "score": 1.0, "idx": 0} for name in images]


def lift(capsys, *arguments: object) -> tuple[str, str]:
    code = main(["lift", *map(str, arguments), "--samples", "6"])
    out = capsys.readouterr()
    assert code == 0, out.err
    assert out.err == ""
    return out.out, out.err


def refused(capsys, *arguments: object) -> str:
    assert main(["lift", *map(str, arguments), "--samples", "6"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.removeprefix("poseterior: error: ").strip()


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine has fetched."""
    monkeypatch.setenv("POSETERIOR_CACHE", str(tmp_path / "no models"))


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    return path


# -- what belongs together ---------------------------------------------------------------------------------


def test_keypoints_of_the_same_name(folder):
    for name in ("a.jpg", "b.PNG", "c.v2.webp", "d.jpeg"):
        photo(folder / name)
    write(folder / "a.json", entry())
    np.save(folder / "b.npy", PERSON[None])
    np.savez(folder / "c.v2.npz", PERSON[None])
    write(folder / "d_keypoints.json", {"people": [{"pose_keypoints_2d": [1.0, 1.0, 1.0] * 25}]})
    tasks, left = find_tasks(folder, skeleton="h36m17")
    assert left == []
    assert [(task.name, task.photo.name, task.clip) for task in tasks] == [
        ("a", "a.jpg", False), ("b", "b.PNG", False), ("c.v2", "c.v2.webp", False), ("d", "d.jpeg", False),
    ]  # fmt: skip
    assert all(task.keypoints.image_size.tolist() == [[640.0, 480.0]] for task in tasks)


def test_one_file_that_names_the_pictures(folder):
    """Its people are shared out; a picture with a file of its own keeps that; sizes come from the pictures."""
    photo(folder / "a.jpg", (640, 480))
    photo(folder / "b.jpg", (800, 600))
    photo(folder / "c.jpg")
    write(folder / "c.json", entry(height=1.8))
    named = [entry(image="a.jpg"), entry(image="shots/b.jpg", person=0), entry(image="b.jpg", person=1)]
    write(folder / "all.json", [*named, entry(image="c.jpg"), entry(image="gone.jpg")])
    tasks, left = find_tasks(folder)
    assert [(task.name, task.photo.name, task.source.name) for task in tasks if task.name != "b"] == [
        ("a", "a.jpg", "all.json"), ("c", "c.jpg", "c.json"),
    ]  # fmt: skip
    assert tasks[1].keypoints.image_size.tolist()[0] == [800.0, 600.0]
    assert not any(task.clip for task in tasks)
    assert [(one.file, one.reason) for one in left] == [
        ("all.json", "names pictures that are not in the folder: gone.jpg")
    ]


def test_people_of_one_picture_stay_together(folder):
    photo(folder / "b.jpg")
    write(folder / "all.json", [entry(image="b.jpg", person=0), entry(image="b.jpg", person=1)])
    (task,), _ = find_tasks(folder)
    assert len(task.keypoints) == 2


def test_coco_annotations(folder):
    photo(folder / "a.jpg")
    names = list(SKELETONS["coco17"].joints)
    points = np.concatenate([PERSON, np.full((17, 1), 2)], 1).reshape(-1).tolist()
    write(
        folder / "people.json",
        {
            "images": [{"id": 7, "file_name": "a.jpg", "width": 640, "height": 480}],
            "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "keypoints": points}],
            "categories": [{"id": 1, "name": "person", "keypoints": names}],
        },
    )
    (task,), left = find_tasks(folder)
    assert (task.name, task.photo, left) == ("a", folder / "a.jpg", [])


def test_alphapose_names_photographs_or_numbers_frames(folder):
    photo(folder / "b.jpg")
    photo(folder / "a.jpg")
    write(folder / "results.json", alphapose("b.jpg", "a.jpg"))
    tasks, left = find_tasks(folder)
    assert [(task.name, task.keypoints.ids[0].frame) for task in tasks] == [("a", 1), ("b", 0)]
    assert left == []
    write(folder / "results.json", alphapose("0.jpg", "1.jpg", "2.jpg"))
    tasks, left = find_tasks(folder)
    assert [(task.name, task.photo, task.clip, len(task.keypoints)) for task in tasks] == [("results", None, True, 3)]
    assert [one.file for one in left] == ["a.jpg", "b.jpg"]


def test_openpose_frames_without_photographs_are_a_clip(folder):
    for frame in range(3):
        write(folder / f"walk_{frame}_keypoints.json", {"people": [{"pose_keypoints_2d": [1.0, 1.0, 1.0] * 25}]})
    (task,), left = find_tasks(folder)
    assert (task.name, task.clip, len(task.keypoints), left) == ("photos", True, 3, [])


def test_what_is_left_out_and_why(folder):
    photo(folder / "good.jpg")
    write(folder / "good.json", entry())
    photo(folder / "alone.jpg")
    photo(folder / "twice.jpg")
    write(folder / "twice.json", entry())
    np.save(folder / "twice.npy", PERSON[None])
    photo(folder / "good.png")
    photo(folder / "GOOD.bmp")
    write(folder / "GOOD.json", entry())
    photo(folder / "same.jpg")
    write(folder / "same.json", [])
    (folder / "damaged.jpg").write_bytes(b"\xff\xd8\xff no")
    write(folder / "damaged.json", entry())
    photo(folder / "odd.jpg")
    (folder / "odd.json").write_text('{"joints": [')
    write(folder / "settings.json", {"a": 1})
    (folder / ".hidden.json").write_text("{")
    tasks, left = find_tasks(folder)
    assert [task.photo.name for task in tasks] == ["GOOD.bmp"]
    reasons = {one.file: one.reason for one in left}
    assert reasons.pop("damaged.jpg").endswith("use a JPEG or PNG")
    assert reasons.pop("settings.json").startswith("of no keypoint format that we know")
    assert reasons == {
        "good.jpg": "has the name of GOOD.bmp, and so would its result; rename one",
        "good.png": "has the name of GOOD.bmp, and so would its result; rename one",
        "alone.jpg": "has no keypoints: expected alone.json, .npy or .npz beside it, or a file that names it",
        "twice.jpg": "has more than one keypoint file, twice.json and twice.npy; keep one",
        "same.jpg": "same.json: no person in any frame, so there is nothing to lift",
        "odd.jpg": "odd.json: the JSON ends early (line 1, column 13): is the file truncated?",
    }


@pytest.mark.parametrize("content", ["none", "photo", "text"])
def test_nothing_to_lift(folder, content):
    expected = (
        "neither photographs (.jpg, .jpeg, .jfif, .png, .webp, .bmp, .gif, .tif, .tiff, .ppm, .pgm), films (.mp4, "
        ".mov, .m4v, .avi, .mkv, .webm, .mpg, .mpeg, .mts, .m2ts, .ts, .wmv, .flv, .3gp, .ogv) nor keypoint files in it"
    )
    if content == "photo":
        photo(folder / "a.jpg")
        expected = (
            "nothing to lift; a.jpg: has no keypoints: expected a.json, .npy or .npz beside it, or a file that names it"
        )
    elif content == "text":
        (folder / "readme.txt").write_text("hello")
    with pytest.raises(InputError) as error:
        find_tasks(folder)
    assert str(error.value) == f"{folder}: {expected}"


def test_not_a_folder(folder):
    with pytest.raises(InputError, match=r"none: no such folder"):
        find_tasks(folder / "none")


# -- the command -------------------------------------------------------------------------------------------


def test_photographs_and_a_clip(capsys, folder, tmp_path):
    photo(folder / "a.jpg")
    write(folder / "a.json", entry())
    photo(folder / "b.jpg")
    write(folder / "walk.json", entry(keypoints=[(PERSON + 2 * i).tolist() for i in range(4)], image_size=[640, 480]))
    out = tmp_path / "new" / "lifted"
    text, _ = lift(capsys, folder, "--out", out, "--video", "gif")
    assert sorted(p.name for p in out.iterdir()) == ["a.parquet", "a.png", "walk.gif", "walk.parquet", "walk.png"]
    assert (out / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "walk.gif").read_bytes().startswith(b"GIF89a")
    assert "lifted 2 of 3: a result (.parquet) and a picture (.png) each, films (.gif) of clips, in " in text
    last = text.rstrip().splitlines()[-2:]
    assert last[0] == "left out:"
    lacking = "has no keypoints: expected b.json, .npy or .npz beside it, or a file that names it"
    assert last[1].startswith("  b.jpg: ")
    assert "poseterior detectors fetch blazepose" in last[1]
    assert last[1].endswith(f"; and it {lacking}")
    result = load_result(out / "a.parquet")
    assert result.samples.shape == (1, 6, 17, 3)
    assert "55 degrees assumed across the longer image side for 1 pose" in result.settings["camera"]
    assert sorted(p.name for p in folder.iterdir()) == ["a.jpg", "a.json", "b.jpg", "walk.json"]


def test_the_result_is_that_of_the_file_alone(capsys, folder, tmp_path):
    photo(folder / "a.jpg")
    write(folder / "a.json", entry())
    photo(folder / "b.jpg")
    write(folder / "b.json", entry(keypoints=(PERSON * 1.1).tolist()))
    lift(capsys, folder, "--out", tmp_path / "out", "--lifter", "flow", "--focal", 700, "--height", 1.7)
    lift(
        capsys, folder / "b.json", "--out", tmp_path / "b.npz", "--lifter", "flow", "--focal", 700, "--height", 1.7,
        "--photo", folder / "b.jpg",
    )  # fmt: skip
    together, alone = load_result(tmp_path / "out" / "b.parquet"), load_result(tmp_path / "b.npz")
    assert np.array_equal(together.samples, alone.samples)
    assert together.settings == alone.settings


def test_a_file_as_out_is_still_one_result(capsys, folder, tmp_path):
    photo(folder / "a.jpg")
    write(folder / "a.json", entry())
    write(folder / "b.json", entry())
    lift(capsys, folder, "--out", tmp_path / "all.npz")
    assert len(load_result(tmp_path / "all.npz")) == 2


def test_one_that_cannot_be_lifted_does_not_stop_the_others(capsys, folder, tmp_path):
    """A focal length needs an image size, which only the photograph tells."""
    photo(folder / "a.jpg")
    write(folder / "a.json", entry())
    write(folder / "b.json", entry())
    text, _ = lift(capsys, folder, "--out", tmp_path / "out", "--focal", 700)
    assert "b.json: --focal: the image size is not known; pass --image-size WIDTH HEIGHT too" in text
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.parquet", "a.png"]


def test_film_of_a_file(capsys, folder, tmp_path):
    clip = write(folder / "walk.json", entry(keypoints=[(PERSON + 2 * i).tolist() for i in range(4)]))
    text, _ = lift(capsys, clip, "--video", tmp_path / "walk.gif", "--fps", 10)
    assert "wrote " in text
    assert "nothing written" not in text
    with Image.open(tmp_path / "walk.gif") as image:
        assert image.n_frames == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--view", "a.html"], "--view: does not go with a folder as --out; leave it out, or name a file as --out"),
        (["--photo", "a.jpg"], "--photo: does not go with a folder as --out; leave it out, or name a file as --out"),
        (["--video", "a.mp4"], "--video a.mp4: with a folder as --out give mp4 or gif; each clip gets a film"),
        (["--lifter", "best"], "best: is neither a folder nor a shipped lifter"),
        (["--focal", "nan"], "--focal: expected a finite number, got nan"),
        (["--fps", "0", "--video", "gif"], "--fps: expected a positive number, got 0"),
    ],
)
def test_options_that_do_not_fit(capsys, folder, tmp_path, options, message):
    photo(folder / "a.jpg")
    write(folder / "a.json", entry())
    assert refused(capsys, folder, "--out", tmp_path / "out", *options).startswith(message)
    assert not (tmp_path / "out").exists()


def test_out_must_be_another_folder(capsys, folder, tmp_path):
    photo(folder / "a.jpg")
    write(folder / "a.json", entry())
    message = "is the folder of the photographs, whose files it would replace; give another"
    assert refused(capsys, folder, "--out", folder) == f"--out {folder}: {message}"
    assert refused(capsys, folder, "--out", f"{folder}/../photos").endswith(message)
    (tmp_path / "file").write_text("")
    expected = f"--out {tmp_path / 'file'}: is a file; give a folder, or a file name with an extension"
    assert refused(capsys, folder, "--out", tmp_path / "file") == expected


def test_an_empty_folder_is_refused(capsys, folder, tmp_path):
    assert "neither photographs" in refused(capsys, folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_film_options_of_a_file(capsys, folder, tmp_path, monkeypatch):
    one = write(folder / "a.json", entry())
    assert "unknown extension '.avi'; use one of: .mp4, .gif" in refused(capsys, one, "--video", "a.avi")
    # Before anything is lifted, or written.
    monkeypatch.setattr("poseterior.cli.lift.Lift._lifted", None)
    message = refused(capsys, one, "--video", tmp_path / "a.gif", "--out", tmp_path / "a.npz")
    assert message.endswith("a.gif: a film needs a clip, but every file has one frame; write a picture instead")
    assert list(tmp_path.glob("a.*")) == []
