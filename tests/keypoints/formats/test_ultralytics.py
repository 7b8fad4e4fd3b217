"""Ultralytics' JSON and text files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poseterior.files.errors import InputError
from poseterior.keypoints.reading import read_keypoints


def detection(dx: float = 0.0, joints: int = 17, **more: Any) -> dict[str, Any]:
    """As ``Results.summary`` makes it."""
    x, y = [100.0 + 4 * i + dx for i in range(joints)], [50.0 + 8 * i for i in range(joints)]
    keypoints = {"x": x, "y": y, "visible": [0.5 + i / 100 for i in range(joints)]}
    box = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    return {"name": "person", "class": 0, "confidence": 0.9, "box": box, "keypoints": keypoints, **more}


def read(content: Any, folder: Path, name: str = "a.json", **options: Any) -> Any:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_keypoints(path, **options)


def test_people_of_a_picture(tmp_path: Path) -> None:
    found = read([detection(), detection(300, track_id=7)], tmp_path)
    assert found.skeleton.name == "coco17"
    assert [(i.frame, i.person) for i in found.ids] == [(0, 0), (0, 7)]
    assert found.xy[1, 3].tolist() == [412, 74]


@pytest.mark.parametrize("texts", [False, True])
def test_frames_may_be_lists_or_their_json(texts: bool, tmp_path: Path) -> None:
    frames = [[], [detection()], [detection(1), detection(300)], [{}], None]
    found = read([json.dumps(frame) if texts else frame for frame in frames], tmp_path)
    assert [(i.frame, i.person) for i in found.ids] == [(1, 0), (2, 0), (2, 1)]


def test_scores_may_be_absent_and_other_orders_named(tmp_path: Path) -> None:
    one = detection()
    del one["keypoints"]["visible"]
    assert read([one], tmp_path).visible.all()
    assert read([detection(joints=26)], tmp_path).skeleton.name == "halpe26"
    assert read([detection(joints=14)], tmp_path, skeleton="lsp14").skeleton.name == "lsp14"
    bare = {key: value for key, value in detection().items() if key != "keypoints"}
    assert len(read([detection(), bare], tmp_path)) == 1  # a box without keypoints


def test_wrong_json_is_named(tmp_path: Path) -> None:
    short = detection()
    del short["keypoints"]["y"][3:]
    for content, message in (
        ([detection(joints=12)], "person 0.keypoints: 12 joints; expected 17 or 26 or 133 or 136"),
        ([detection(), short], "person 1.keypoints: 17 x, 3 y, 17 visible; expected as many of each"),
        ([[detection()], [detection(), 3]], "frame 1, person 1: expected an object, found 3"),
        ([[detection()], "hello"], "frame 1: expected a list, found 'hello'"),
    ):
        with pytest.raises(InputError) as caught:
            read(content, tmp_path)
        assert message in str(caught.value)


# -- text --------------------------------------------------------------------------------------------------

XY = [(0.25 + 0.02 * i, 0.125 + 0.04 * i) for i in range(17)]


def line(scores: list[float] | None, *rest: float) -> str:
    """As ``Results.save_txt`` writes it, with ``%g``."""
    joints = [(*xy, *([] if scores is None else [scores[i]])) for i, xy in enumerate(XY)]
    return " ".join(f"{v:g}" for v in (0, 0.5, 0.5, 0.25, 0.75, *(v for joint in joints for v in joint), *rest)) + "\n"


@pytest.mark.parametrize("rest", [(), (0.875,), (0.875, 4.0), (4.0,)])
@pytest.mark.parametrize("scored", [True, False])
def test_lines_of_save_txt(rest: tuple[float, ...], scored: bool, tmp_path: Path) -> None:
    scores = [0.05, *[0.5 + i / 64 for i in range(16)]] if scored else None
    found = read(line(scores, *rest) * 2, tmp_path, "a.txt", image_size=(640, 480))
    assert found.skeleton.name == "coco17"
    assert found.visible[0].tolist() == [i > 0 or not scored for i in range(17)]
    assert found.xy[0, 16].tolist() == pytest.approx([0.57 * 640, 0.765 * 480], abs=1e-4)
    assert [i.person for i in found.ids] == ([4, 4] if 4.0 in rest else [0, 1])


def test_labels_of_data_sets(tmp_path: Path) -> None:
    """0 missing, 1 hidden from view, 2 seen."""
    found = read(line([0, 1, 2, *[2] * 14]), tmp_path, "a.txt", image_size=(640, 480))
    sure = read(line([0, 0.5, 1, *[1.0] * 14]).replace(" 1 ", " 0.9999 "), tmp_path, "b.txt", image_size=(640, 480))
    assert found.visible[0].tolist() == [False] + [True] * 16
    assert (found.covariance[0, 1:] / sure.covariance[0, 1:]).diagonal(dim1=-2, dim2=-1) == pytest.approx(1, abs=1e-2)


def test_a_picture_of_nobody_is_empty(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("")
    with pytest.raises(InputError, match="no person in any frame"):
        read_keypoints(tmp_path / "0.txt")
    (tmp_path / "1.txt").write_text(line(None))
    assert len(read_keypoints(tmp_path, image_size=(640, 480))) == 1


def test_wrong_lines_are_named(tmp_path: Path) -> None:
    good = line([0.9] * 17)
    for text, message in (
        (good, "coordinates are parts of the picture (0 to 1): pass its size, --image-size WIDTH HEIGHT (image_size="),
        (good + good.replace("0.25", "x", 1), "line 2: expected numbers, found 'x'"),
        (good + "0 1 2\n", "line 2: 3 numbers; expected 56"),
    ):
        with pytest.raises(InputError) as caught:
            read(text, tmp_path, "a.txt")
        assert f"a.txt: {message}" in str(caught.value)
    with pytest.raises(InputError, match=r"line 1: 3 numbers; expected 56 \(17 joints x 3\), or 57 or 58"):
        read("0 1 2\n", tmp_path, "a.txt", format="yolo-txt")
