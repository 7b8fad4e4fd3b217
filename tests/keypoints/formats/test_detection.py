"""Formats are told apart by what their files hold: the example of each is its own, read whole or piece by piece."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from poseterior.files import long_json
from poseterior.keypoints.documents import read_document
from poseterior.keypoints.formats import detect_format, formats
from poseterior.keypoints.reading import read_keypoints

EXAMPLES = {name: known for name, known in formats().items() if known.example}
SUFFIXES = {"json": ".json", "xml": ".xml", "text": ".txt"}


def written(name: str, folder: Path) -> Path:
    known = EXAMPLES[name]
    if known.kind not in SUFFIXES:
        pytest.skip(f"{known.kind} is told elsewhere")
    path = folder / f"example{SUFFIXES[known.kind]}"
    path.write_text(known.example)
    return path


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_the_example_is_of_its_own_format_alone(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    data = read_document(path)
    assert detect_format(data) == name
    marks = sorted(other.recognises(data) for other in formats().values())
    assert marks[-1] > marks[-2]
    found = read_keypoints(path, image_size=(640, 480))
    assert len(found) == 1
    assert found.visible.sum() >= 6


@pytest.mark.parametrize("name", [name for name, known in EXAMPLES.items() if known.kind == "json"])
def test_long_files_are_read_as_short_ones(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(name, tmp_path)
    document = json.loads(EXAMPLES[name].example)
    if isinstance(document, list):
        path.write_text(json.dumps(document * 5))
    short = read_keypoints(path)
    monkeypatch.setattr(long_json, "LONG", 0)
    monkeypatch.setattr(long_json, "PIECE", 200)
    long = read_keypoints(path)
    assert long.ids == short.ids
    assert torch.equal(long.xy, short.xy)
    assert torch.equal(long.visible, short.visible)
    assert torch.equal(long.covariance, short.covariance)


def test_every_kind_of_file_says_what_else_it_may_be(tmp_path: Path) -> None:
    from poseterior.files.errors import InputError

    for name, text, message in (
        ("a.txt", "remember the milk\n", "is a text file of no keypoint format that we know; expected YOLO's labels"),
        ("a.xml", "<svg/>", "is XML <svg>, of no keypoint format that we know; expected CVAT's <annotations>"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError) as caught:
            read_keypoints(tmp_path / name)
        assert f"{name}: {message}" in str(caught.value)
    (tmp_path / "b.txt").write_text(EXAMPLES["yolo-txt"].example)
    with pytest.raises(InputError, match="not JSON but a text file"):
        read_keypoints(tmp_path / "b.txt", format="openpose")
