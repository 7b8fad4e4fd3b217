"""The boundary around readers: what is raised inside, and what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from poseterior.files.checks import cut, quote, reason
from poseterior.files.errors import InputError
from poseterior.files.reading import reader, reading
from poseterior.files.texts import parse_json, read_json, read_text


class _OwnError(InputError):
    pass


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (
            KeyError("x"),
            r"^a\.bin: cannot be read \(KeyError: 'x'\); is it damaged, truncated or of another kind\? Get",
        ),
        (ValueError("odd\nlines"), r"^a\.bin: cannot be read \(odd\); "),
        (ZeroDivisionError(), r"^a\.bin: cannot be read \(ZeroDivisionError\); "),
        (RecursionError(), r"^a\.bin: nested too deeply to be read; "),
        (MemoryError(), r"^a\.bin: needs more memory than there is; "),
        (FileNotFoundError(2, "No such"), r"^a\.bin: no such file$"),
        (InputError("field: wrong"), r"^a\.bin: field: wrong$"),
        (InputError("a.bin: field: wrong"), r"^a\.bin: field: wrong$"),
        (InputError("folder/b.bin: field: wrong"), r"^folder/b\.bin: field: wrong$"),
    ],
)
def test_whatever_is_raised_names_the_file(raised: Exception, message: str) -> None:
    with pytest.raises(InputError, match=message), reading("a.bin"):
        raise raised


def test_the_error_of_the_library_stays_the_cause() -> None:
    cause = TypeError("inside")
    with pytest.raises(InputError) as caught, reading(Path("a.bin"), "make it anew"):
        raise cause
    assert caught.value.__cause__ is cause
    assert str(caught.value) == "a.bin: cannot be read (TypeError: inside); make it anew"


def test_kinds_of_input_error_stay_what_they_are() -> None:
    with pytest.raises(_OwnError, match=r"^a\.bin: x$"), reading("a.bin"):
        raise _OwnError("x")


@pytest.mark.parametrize("passes", [ImportError("h5py"), KeyboardInterrupt()])
def test_what_is_no_fault_of_the_file_passes(passes: BaseException) -> None:
    with pytest.raises(type(passes)), reading("a.bin"):
        raise passes


def test_a_decorated_reader_knows_its_path_by_place_and_by_name() -> None:
    @reader("make it anew")
    def read(path: Path, other: int = 0) -> int:
        return 1 // other

    assert read(Path("a"), 1) == read(path=Path("a"), other=1) == 1
    for arguments in ({"path": Path("b.x")}, {"other": 0, "path": Path("b.x")}):
        with pytest.raises(InputError, match=r"^b\.x: cannot be read \(integer .*\); make it anew"):
            read(**arguments)  # type: ignore[arg-type]


def test_no_message_quotes_a_file_at_length() -> None:
    assert len(quote("y" * 10_000)) == len(cut("y" * 10_000)) == len(reason(ValueError("y" * 10_000))) == 200
    assert quote(10**5000) == "a huge int"
    assert quote([1]) == "[1]"
    with pytest.raises(InputError) as caught, reading("a.bin"):
        raise InputError("z" * 10_000)
    assert len(str(caught.value)) < 1100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, ", "not readable as JSON"),
        ("[" * 50_000, r"not readable as JSON \(nested too deeply\)"),
        ("[" + "9" * 5000 + "]", r"not readable as JSON \(a number has thousands of digits\)"),
        ('{"a": ["\\ud800"]}', r"not readable as JSON \(the text '\\ud800' holds half a character\)"),
        ('{"\\udfff": 1}', "holds half a character"),
    ],
)
def test_json_that_is_none(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_json(text)


def test_json_of_whole_characters_is_read(tmp_path: Path) -> None:
    assert parse_json('["\\ud83d\\ude00"]') == ["\U0001f600"]
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}


def test_texts_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a\xff")
    with pytest.raises(InputError, match=r"not a text file in UTF-8 \(invalid start byte at byte 1\)"):
        read_text(tmp_path / "a")
    with pytest.raises(InputError, match="has 2 bytes; expected at most 1"):
        read_text(tmp_path / "a", 1)
    with pytest.raises(InputError, match="no such file"):
        read_text(tmp_path / "b")
    with pytest.raises(InputError, match=r"^is a folder; expected a file$"):
        read_text(tmp_path)


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("d", "is a folder; expected a Parquet file", "d: is a folder; expected a Parquet file"),
        ("data", "holds no data at all", "data: holds no data at all"),
        ("d", "the column 'd' is missing", "d: the column 'd' is missing"),
        ("x.json", "box.json holds nothing", "x.json: box.json holds nothing"),
        ("x.json", "the field of x.json is missing", "the field of x.json is missing"),
        ("./d", "./d: is a folder", "./d: is a folder"),
        ("a/d", "a/d-2 is a folder", "a/d: a/d-2 is a folder"),
    ],
)
def test_a_name_that_is_part_of_the_message_by_chance_does_not_count(name: str, said: str, message: str) -> None:
    with pytest.raises(InputError) as caught, reading(name):
        raise InputError(said)
    assert str(caught.value) == message


@pytest.mark.parametrize("kind", ["observations", "labels", "scores", "json"])
def test_a_folder_of_a_short_name_is_named(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from poseterior.data.labels.labels import load_labels
    from poseterior.data.observations import load_observations
    from poseterior.evaluation.pose_scores import load_pose_scores
    from poseterior.files.lifter_folders import read_json as read_object

    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path)
    read, expected = {
        "observations": (load_observations, "a Parquet file"),
        "labels": (load_labels, "a Parquet file of depth labels"),
        "scores": (load_pose_scores, "a Parquet file"),
        "json": (read_object, "a file"),
    }[kind]
    with pytest.raises(InputError) as caught:
        read(Path("d"))
    assert str(caught.value) == f"d: is a folder; expected {expected}"


def _hdf5(path: Path) -> None:
    from poseterior.files.hdf5 import open_h5

    with open_h5(path):
        pass


@pytest.mark.parametrize("kind", ["hdf5", "gltf", "amass", "heatmaps", "points", "result", "protocol", "tensors"])
def test_a_folder_is_not_called_absent(kind: str, tmp_path: Path) -> None:
    from poseterior.data.mocap.amass import read_rest_skeleton
    from poseterior.data.mocap.gltf import read_gltf
    from poseterior.evaluation.plan import tasks
    from poseterior.keypoints.heatmap_files import read_heatmaps
    from poseterior.keypoints.points3d import read_points
    from poseterior.lifters.saved import size_of_tensors
    from poseterior.results.poses import load_result

    read, suffix = {
        "hdf5": (_hdf5, ".h5"),
        "gltf": (read_gltf, ".gltf"),
        "amass": (read_rest_skeleton, ".npz"),
        "heatmaps": (read_heatmaps, ".npz"),
        "points": (lambda path: read_points(path, None), ".trc"),
        "result": (load_result, ".npz"),
        "protocol": (lambda path: tasks(observations=[path]), ".parquet"),
        "tensors": (size_of_tensors, ".safetensors"),
    }[kind]
    folder = tmp_path / f"d{suffix}"
    folder.mkdir()
    with pytest.raises(InputError, match=rf"{folder}: is a folder"):
        read(folder)
