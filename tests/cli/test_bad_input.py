"""Bad and odd input through the command line: a right answer, or one clear line and exit code 2."""

import itertools
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.geometry.skeletons import SKELETONS
from poseterior.results.poses import LiftResult, load_result

JOINTS = SKELETONS["h36m17"].joints
# A person of about 300 px, seen from the front, in an image of 640 x 480.
PERSON = np.array(
    [[320, 240], [300, 240], [298, 310], [296, 380], [340, 240], [342, 310], [344, 380], [320, 200], [320, 160],
     [320, 135], [320, 112], [352, 165], [366, 210], [370, 250], [288, 165], [274, 210], [270, 250]],
    dtype=float,
)  # fmt: skip


def document(keypoints: Any, **fields: Any) -> dict[str, Any]:
    return {"joints": list(JOINTS), "keypoints": keypoints, "image_size": [640, 480], **fields}


@pytest.fixture
def lift(capsys, tmp_path) -> Callable[..., LiftResult]:
    """Lift a file (or what becomes plain JSON), which must succeed with finite poses and say nothing on stderr."""
    numbers = itertools.count()

    def run(source: Any, *options: object, samples: int = 8) -> LiftResult:
        if not isinstance(source, Path):
            path = tmp_path / "person.json"
            path.write_text(json.dumps(source))
            source = path
        out = tmp_path / f"result_{next(numbers)}.npz"
        code = main([str(a) for a in ("lift", source, "--samples", samples, "--out", out, *options)])
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        assert not re.search(r"\bnan\b", said.out)
        result = load_result(out)
        for name in ("samples", "mean", "covariance", "log_prob"):
            assert np.isfinite(getattr(result, name)).all(), name
        assert np.abs(result.samples).max() < 10  # metres from the pelvis
        return result

    return run


@pytest.fixture
def refused(capsys, tmp_path) -> Callable[..., str]:
    """Lift a file, which must fail with code 2, one line on stderr and no result; the line behind the file's name."""

    def run(source: Path, *options: object) -> str:
        out = tmp_path / "result.npz"
        code = main([str(a) for a in ("lift", source, "--samples", 8, "--out", out, *options)])
        said = capsys.readouterr()
        assert code == 2
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert said.err.startswith(f"poseterior: error: {source}: ")
        assert not list(tmp_path.glob("*result.npz*"))
        return said.err.removeprefix(f"poseterior: error: {source}: ").rstrip("\n")

    return run


@pytest.fixture
def plain(tmp_path) -> Callable[..., Path]:
    """Write plain JSON."""

    def write(keypoints: Any, **fields: Any) -> Path:
        path = tmp_path / "person.json"
        path.write_text(json.dumps(document(keypoints, **fields)))
        return path

    return write


@pytest.fixture
def npy(tmp_path) -> Callable[[Any], Path]:
    def write(array: Any) -> Path:
        np.save(tmp_path / "poses.npy", array)
        return tmp_path / "poses.npy"

    return write


# -- missing joints ----------------------------------------------------------------------------------------


def test_every_joint_in_turn_missing(lift):
    frames = [[None if j == hidden else p for j, p in enumerate(PERSON.tolist())] for hidden in range(17)]
    result = lift(document([*frames, PERSON.tolist()]), "--clip", "off", samples=200)
    assert np.array_equal(result.visible, ~np.eye(18, 17, dtype=bool))
    assert np.isnan(result.keypoints[np.arange(17), np.arange(17)]).all()
    # A joint that nobody saw is known less well than the same joint seen (the pelvis is the origin).
    spread = np.sqrt(np.trace(result.covariance, axis1=-2, axis2=-1))
    for joint in range(1, 17):
        assert spread[joint, joint] > spread[17, joint], JOINTS[joint]


@pytest.mark.parametrize("hidden", [0, 3, 10, 16])
def test_the_missing_joint_is_named(capsys, plain, hidden):
    path = plain([None if j == hidden else p for j, p in enumerate(PERSON.tolist())])
    assert main(["lift", str(path), "--samples", "2"]) == 0
    assert re.search(rf"not seen: {JOINTS[hidden]} *\n", capsys.readouterr().out)


def test_all_but_three_missing(lift):
    trios = [*itertools.combinations(range(17), 3)][::23]
    frames = [[p if j in trio else None for j, p in enumerate(PERSON.tolist())] for trio in trios]
    result = lift(document(frames), "--clip", "off")
    assert (result.visible.sum(-1) == 3).all()
    assert result.samples.std(1)[:, 1:].min() > 0


def test_nobody_seen_is_still_a_pose(lift):
    """No joint at all leaves what is known of people in general: wide, but finite, for who asks for it."""
    result = lift(document([[*PERSON.tolist()], [None] * 17]), "--keep-unseen", samples=200)
    assert not result.visible[1].any()
    spread = result.samples.std(1).mean((-2, -1))
    assert spread[1] > 2 * spread[0]


@pytest.mark.parametrize("hidden", [[float("nan"), float("nan")], [float("nan"), 200.0], [None, 200.0], None])
def test_nan_is_a_missing_joint(lift, hidden):
    points = PERSON.tolist()
    points[13] = None
    expected = lift(document(points))
    points[13] = hidden
    result = lift(document(points))
    assert not result.visible[0, 13]
    assert np.array_equal(result.samples, expected.samples)


@pytest.mark.parametrize("extension", ["npz", "parquet", "json"])
def test_stored_value_of_a_hidden_joint_changes_nothing(capsys, plain, tmp_path, extension):
    """Bit for bit in the result file, whatever a detector leaves under a confidence below 0.1."""
    out = tmp_path / f"result.{extension}"
    contents = set()
    for stored in ([0, 0, 0], [370, 250, 0.05], [-1e6, 1e6, 0], [1e30, 0, 0], [float("nan"), 3, 0.99], None):
        points: list[Any] = [[x, y, 1.0] for x, y in PERSON.tolist()]
        points[13] = stored
        more = ["--json-samples"] if extension == "json" else []
        assert main(["lift", str(plain(points)), "--samples", "4", "--out", str(out), *more]) == 0
        assert capsys.readouterr().err == ""
        contents.add(_content(out))
    assert len(contents) == 1


def _content(path: Path) -> bytes:
    """The bytes of a result; of an npz those of its members, for a zip entry carries the time of day."""
    if path.suffix != ".npz":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return b"".join(name.encode() + archive.read(name) for name in archive.namelist())


def test_infinity_in_a_hidden_joint_changes_nothing(lift):
    points = [[x, y, 1.0] for x, y in PERSON.tolist()]
    points[13] = [0, 0, 0]
    expected = lift(document(points))
    points[13] = [float("inf"), float("-inf"), 0.0]
    assert np.array_equal(lift(document(points)).samples, expected.samples)


# -- odd people --------------------------------------------------------------------------------------------


def test_one_pixel_high_person(lift):
    tiny = (PERSON - PERSON.mean(0)) / np.ptp(PERSON[:, 1]) + 240
    assert np.ptp(tiny[:, 1]) == pytest.approx(1)
    result = lift(document([tiny.tolist(), PERSON.tolist()]), samples=200)
    spread = result.samples.std(1).mean((-2, -1))
    assert spread[0] > spread[1]  # half a pixel of noise is now half the person


def test_all_joints_on_one_spot(lift):
    """The place of no joint tells anything: the pose is less certain than that of a person whom one can see."""
    result = lift(document([[[240.0, 240.0]] * 17, PERSON.tolist()]), samples=200)
    assert result.visible.all()
    spot, person = result.samples.std(1).mean((-2, -1))
    assert spot > 1.5 * person


@pytest.mark.parametrize("shift", [(-320, 0), (320, 0), (0, 240), (0, -240)])
def test_person_half_outside_the_image(lift, shift):
    """Joints outside the image are coordinates as any others: the pose is that of the person, not NaN."""
    result = lift(document((PERSON + shift).tolist()))
    assert result.visible.all()
    inside = lift(document(PERSON.tolist()))
    assert np.linalg.norm(result.mean - inside.mean, axis=-1).mean() < 0.4


# -- broken files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["person.json", "poses.npy", "poses.npz"])
def test_empty_file(refused, tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert refused(tmp_path / name) == "the file is empty"


def test_blank_and_hollow_json(refused, tmp_path):
    path = tmp_path / "person.json"
    path.write_text(" \n")
    assert refused(path) == "the file is empty"
    path.write_text("{}")
    assert refused(path).startswith("of no keypoint format that we know (found an empty object); known: auto, ")
    path.write_text("[]")
    assert refused(path) == "no person in any frame, so there is nothing to lift"
    path.write_text('{"people": []}')
    assert refused(path) == "no person in any frame, so there is nothing to lift"


def test_missing_file_and_empty_folder(refused, tmp_path):
    assert refused(tmp_path / "none.json") == "no such file"
    (tmp_path / "folder").mkdir()
    expected = ".json, .jsonl, .ndjson, .npy, .npz, .txt, .xml, .csv, .tsv, .parquet, .h5, .hdf5, .trc"
    assert refused(tmp_path / "folder") == (
        f"no keypoint file in this folder; expected {expected}, or for `poseterior lift` photographs or films"
    )


def test_truncated_json(refused, tmp_path):
    text = json.dumps(document(PERSON.tolist()), indent=1)
    path = tmp_path / "person.json"
    for length in range(1, len(text) - 1, 97):
        path.write_text(text[:length])
        assert "is the file truncated?" in refused(path), text[:length][-20:]
    path.write_text('{"joints": ["RAnkle", "RKn')
    assert refused(path) == "the JSON ends early (line 1, column 23): is the file truncated?"


def test_garbled_json(refused, tmp_path):
    path = tmp_path / "person.json"
    path.write_text('{"joints": nonsense}')
    assert refused(path) == "not valid JSON (line 1, column 12: Expecting value)"
    path.write_bytes(b'{"joints": ["\xff"]}')
    assert refused(path) == "not UTF-8 text (byte 13), so not JSON; nor is it npy, npz or Parquet"
    path.write_text("[" * 100_000)
    assert refused(path) == "nested too deeply to be a keypoint file"


def test_truncated_arrays(refused, tmp_path, npy):
    path = npy(PERSON[None])
    path.write_bytes(path.read_bytes()[:-8])
    assert (
        refused(path, "--skeleton", "h36m17")
        == "array: the header claims 272 bytes (shape (1, 17, 2)), the file holds 264; is it truncated?"
    )
    path.write_bytes(path.read_bytes()[:20])
    assert refused(path).startswith("array: not a readable npy header (")
    packed = tmp_path / "poses.npz"
    np.savez(packed, PERSON[None])
    packed.write_bytes(packed.read_bytes()[:-30])
    assert refused(packed) == "npz: not a readable archive (File is not a zip file); is it truncated?"


# -- wrong numbers -----------------------------------------------------------------------------------------


def test_wrong_joint_count(refused, plain, npy, tmp_path):
    assert refused(plain(PERSON[:16].tolist())) == "file.keypoints: 16 joints; 'joints' names 17"
    assert (
        refused(npy(np.zeros((2, 13, 2)))).split(": ")[0]
        == "array of shape (2, 13, 2) has 13 joints; no skeleton has as many"
    )
    assert (
        refused(npy(np.zeros((2, 13, 2))), "--skeleton", "coco17")
        == "array of shape (2, 13, 2) has 13 joints; skeleton 'coco17' has 17; "
        "skeleton 'coco17' does not fit this file: drop --skeleton, or lift this file apart"
    )
    assert (
        refused(npy(PERSON[None]))
        == "17 joints may be h36m17 or coco17 or mpi17: pass --skeleton (skeleton=... in Python)"
    )
    assert (
        refused(npy(np.zeros((2, 17, 4))))
        == "array of shape (2, 17, 4); expected (frames, joints*2), (frames, joints, 2 or 3) or (joints, 2 or 3)"
    )
    results = tmp_path / "coco.json"
    results.write_text(json.dumps([{"image_id": 1, "keypoints": [1.0] * 48}]))
    assert refused(results).startswith("result 0.keypoints: 48 numbers; expected 51 (17 joints x 3) or ")


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinite_coordinates(refused, plain, npy, value):
    points = PERSON.copy()
    points[13, 1] = value
    message = (
        f"xy: frame 0, person 0, joint 'left_wrist' has [370.0, {value}]; "
        "expected finite pixel coordinates, or visible=False"
    )
    assert refused(plain(points.tolist())) == message
    assert refused(npy(points[None]), "--skeleton", "h36m17") == message


def test_huge_coordinates(refused, plain):
    points = PERSON.tolist()
    points[13] = [1e30, 0.0]
    assert refused(plain(points)).startswith("xy: frame 0, person 0, joint 'left_wrist' has [")
    assert refused(plain(points)).endswith("; expected pixel coordinates within ±1e+07")
    points[13] = [10**400, 0]
    assert refused(plain(points)) == "file.keypoints: a number is too large for a float"


def test_negative_confidence(refused, plain, npy):
    points = np.concatenate([PERSON, np.ones((17, 1))], -1)
    points[13, 2] = -0.25
    message = "confidence: frame 0, person 0, joint 'left_wrist' has -0.25; expected a finite number, not negative"
    assert refused(plain(points.tolist())) == message
    assert refused(npy(points[None]), "--skeleton", "h36m17") == message


def test_numbers_that_are_words(refused, plain):
    points = PERSON.tolist()
    points[13] = ["370", "250"]
    assert refused(plain(points)) == "file.keypoints[26]: expected a number or null, found '370'"


# -- hostile files -----------------------------------------------------------------------------------------


def header(shape: tuple[int, ...]) -> bytes:
    """The first bytes of an npy file that claims this shape."""
    text = repr({"descr": "<f8", "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


CLAIM = (8_000_000, 17, 2)  # 2.2 GB


def test_two_gigabytes_claimed_by_an_npz_header(refused, tmp_path):
    path = tmp_path / "poses.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("keypoints.npy", header(CLAIM) + bytes(272))
    assert path.stat().st_size < 1000
    assert (
        refused(path, "--skeleton", "h36m17") == "npz entry 'keypoints.npy': the header claims 2176000000 bytes "
        "(shape (8000000, 17, 2)), the file holds 272; is it truncated?"
    )


def test_two_gigabytes_claimed_by_an_npy_header(refused, tmp_path):
    path = tmp_path / "poses.npy"
    path.write_bytes(header(CLAIM))
    assert (
        refused(path, "--skeleton", "h36m17")
        == "array: the header claims 2176000000 bytes (shape (8000000, 17, 2)), the file holds 0; is it truncated?"
    )


def test_a_zip_bomb_is_not_unpacked(refused, tmp_path):
    path = tmp_path / "poses.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("keypoints.npy", "w") as member:
        member.write(header((250_000, 17, 2)))
        for _ in range(68):
            member.write(bytes(1_000_000))
    assert refused(path, "--skeleton", "h36m17").endswith("refused as a decompression bomb")


class _Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_inside_an_npy_is_never_loaded(refused, tmp_path):
    trap = np.array([_Trap(tmp_path / "sprung")], dtype=object)
    message = "holds Python objects (a pickle), which are never loaded; save numbers instead"
    np.save(tmp_path / "poses.npy", trap, allow_pickle=True)
    assert refused(tmp_path / "poses.npy") == f"array: {message}"
    np.savez(tmp_path / "poses.npz", keypoints=trap)
    assert refused(tmp_path / "poses.npz") == f"npz entry 'keypoints.npy': {message}"
    (tmp_path / "poses.pkl").write_bytes(trap.dumps())
    assert (
        refused(tmp_path / "poses.pkl")
        == "is a Python pickle, which is never loaded; save the keypoints as .npy, .npz or JSON"
    )
    assert not (tmp_path / "sprung").exists()


# -- wrong options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--samples", "-3"], "--samples: expected at least 0, got -3"),
        (["--seed", "-1"], "--seed: expected 0 to below 2^62, got -1"),
        (["--image-size", "0", "0"], "--image-size: expected [width, height] in pixels, above 0, found [0.0, 0.0]"),
        (["--min-confidence", "7"], "--min-confidence: expected a number from 0 to 1, got 7.0"),
        (["--focal", "0"], "--focal: expected 1 to 1e7 pixels, got 0"),
    ],
)
def test_wrong_options(capsys, plain, tmp_path, arguments, message):
    assert main(["lift", str(plain(PERSON.tolist())), "--out", str(tmp_path / "a.npz"), *arguments]) == 2
    said = capsys.readouterr()
    assert said.err == f"poseterior: error: {message}\n"
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seed", "99999999999999999999"],
        ["--samples", "1000000000000"],
        ["--focal", "nan"],
        ["--focal", "inf"],
        ["--height", "nan"],
    ],
)
def test_absurd_options(capsys, plain, arguments):
    """The message names the option; nothing runs, and nothing is silently taken as not given."""
    assert main(["lift", str(plain(PERSON.tolist())), *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("poseterior: error: ")
    assert said.err.count("\n") == 1
    assert arguments[0].strip("-") in said.err or "intrinsics" in said.err


def test_unicode_file_names(lift, tmp_path):
    path = tmp_path / "ünï cödé 人.json"
    path.write_text(json.dumps(document(PERSON.tolist())))
    assert lift(path).file.tolist() == [str(path)]
