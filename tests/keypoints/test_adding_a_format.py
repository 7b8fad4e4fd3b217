"""A keypoint format is one file: the one that CONTRIBUTING shows, in a copy of the package."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from added_files import Copy

FILE = "src/poseterior/keypoints/formats/studio.py"


def person(offset: float = 0.0) -> dict:
    across, down = [100.0 + 4 * i + offset for i in range(17)], [50.0 + 8 * i for i in range(17)]
    return {"horizontal": across, "vertical": down, "sure": [0.9] * 17}


def people(*entries: dict) -> str:
    return json.dumps({"actors": entries})


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy(tmp_path_factory.mktemp("copy"), FILE)
    (copy.folder / "people.json").write_text(people(person(), person(7)))
    return copy


def test_the_added_file_is_as_tidy_as_ours(copy: Copy) -> None:
    copy.lint(FILE)


def test_the_format_is_told_from_the_content_and_by_its_name(copy: Copy) -> None:
    script = """
import poseterior as pp
for format in ("auto", "studio"):
    found = pp.read_keypoints("people.json", format=format)
    print(len(found), found.skeleton.name, bool(found.visible.all()), found.xy[1, 2].tolist(), *found.ids[1])
"""
    done = copy.python("-c", script)
    assert done.stdout.splitlines() == ["2 coco17 True [115.0, 66.0] people.json 0 1"] * 2, done.stderr


def test_the_command_line_lifts_it(copy: Copy) -> None:
    for options in ([], ["--format", "studio"]):
        said = copy.run("lift", "people.json", "--samples", "3", "--out", "poses.npz", *options)
        assert "2 poses x 3 samples" in said
    done = copy.python("-m", "poseterior", "lift", "people.json", "--format", "xml")
    assert done.returncode == 2
    assert "known: auto, alphapose" in done.stderr
    assert "studio" in done.stderr


def test_messages_name_frame_person_and_joint(copy: Copy) -> None:
    wrong = person()
    wrong["horizontal"][1] = 1e30
    (copy.folder / "wrong.json").write_text(people(person(), wrong))
    short = person()
    del short["vertical"][3:]
    (copy.folder / "short.json").write_text(people(short))
    for name, message in (
        ("wrong", "xy: frame 0, person 1, joint 'left_eye' has"),
        ("short", "person 0: 17 horizontal, 3 vertical, 17 sure; expected 17 of each"),
    ):
        done = copy.python("-m", "poseterior", "lift", f"{name}.json", "--out", "a.npz")
        assert done.returncode == 2
        assert f"error: {name}.json: {message}" in done.stderr


def test_other_formats_are_read_as_before(copy: Copy) -> None:
    """The new format recognises none of the files of the others."""
    script = """
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/keypoints"]
from test_formats import DOCUMENTS
from poseterior.keypoints.formats import detect_format, formats
assert "studio" in formats()
for form, document, _ in DOCUMENTS.values():
    assert detect_format(document) == form, form
print("as before")
"""
    done = copy.python("-c", script, str(Path(__file__).resolve().parents[1]))
    assert done.stdout == "as before\n", done.stderr
