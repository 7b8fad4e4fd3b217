"""Exports of annotation tools: Label Studio, CVAT (XML and COCO), COCO that passed through others."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.keypoints.reading import read_keypoints

JOINTS = ("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_knee", "right_knee")
PLACE = {joint: (100.0 + 12 * i, 50.0 + 24 * i) for i, joint in enumerate(JOINTS)}


def read(content: Any, folder: Path, name: str = "a.json", **options: Any) -> Any:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_keypoints(path, **options)


def expect(found: Any, row: int = 0, dx: float = 0.0, without: tuple[str, ...] = ()) -> None:
    for joint, (x, y) in PLACE.items():
        place = found.skeleton.index(joint)
        assert bool(found.visible[row, place]) == (joint not in without), joint
        if joint not in without:
            assert found.xy[row, place].tolist() == pytest.approx([x + dx, y], abs=1e-3)


# -- Label Studio ------------------------------------------------------------------------------------------


def regions(dx: float = 0.0, person: str = "", relation: bool = False) -> list[dict[str, Any]]:
    size = {"original_width": 800, "original_height": 600, "image_rotation": 0}
    found: list[dict[str, Any]] = []
    for joint, (x, y) in PLACE.items():
        value = {"x": (x + dx) / 8, "y": y / 6, "width": 0.4, "keypointlabels": [joint]}
        entry = {**size, "value": value, "id": person + joint, "type": "keypointlabels", "from_name": "kp"}
        found.append({**entry, "parentID": person} if person and not relation else entry)
        if relation:
            found.append({"from_id": person + joint, "to_id": person, "type": "relation", "direction": "right"})
    if person:
        box = {"x": 1.0, "y": 1.0, "width": 9.0, "height": 9.0, "rectanglelabels": ["person"]}
        found.insert(0, {**size, "value": box, "id": person, "type": "rectanglelabels"})
    return found


def task(number: int, result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    annotations = [{"id": 5, "was_cancelled": False, "result": result}]
    data = {"image": f"/data/upload/1/0a1b2c3{number}-frame_{number}.jpg"}
    return {"id": 40 + number, "annotations": annotations, "data": data, "predictions": [], **more}


@pytest.mark.parametrize("relation", [False, True])
def test_label_studio_people(relation: bool, tmp_path: Path) -> None:
    found = read([task(0, regions()), task(1, regions(0, "p", relation) + regions(90, "q", relation))], tmp_path)
    assert len(found) == 3
    assert {i.file for i in found.ids} == {"frame_0.jpg", "frame_1.jpg"}
    assert found.image_size.tolist() == [[800, 600]] * 3
    for row, dx in enumerate((0, 0, 90)):
        expect(found, row, dx)


def test_label_studio_min(tmp_path: Path) -> None:
    flat = [{**region["value"], "original_width": 800, "original_height": 600} for region in regions()]
    found = read([{"img": "/data/upload/1/a.jpg", "id": 1, "kp": flat, "annotator": 1}], tmp_path)
    assert [i.file for i in found.ids] == ["a.jpg"]
    expect(found)


def test_label_studio_annotations_that_do_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    two = task(0, regions())
    two["annotations"].insert(0, {"id": 1, "was_cancelled": True, "result": regions(50)})
    two["annotations"].append({"id": 9, "result": regions(70)})
    with caplog.at_level(logging.WARNING):
        found = read([two, task(1, [])], tmp_path)
    assert len(found) == 1
    expect(found)
    assert "1 pictures are annotated more than once; the first annotation is read" in caplog.text


def test_wrong_label_studio_is_named(tmp_path: Path) -> None:
    sizeless = regions()
    del sizeless[0]["original_width"]
    for content, message in (
        ([task(0, regions() + regions(40))], "task 0: 'nose' is there twice; tie each person's joints to a box"),
        ([task(0, sizeless)], "task 0: field 'original_width' is missing"),
        ([task(0, regions()), task(1, [3])], "task 1.result[0]: expected an object, found 3"),  # type: ignore[list-item]
    ):
        with pytest.raises(InputError) as caught:
            read(content, tmp_path)
        assert message in str(caught.value)


# -- CVAT --------------------------------------------------------------------------------------------------


def points(dx: float = 0.0, outside: tuple[str, ...] = (), occluded: tuple[str, ...] = ()) -> str:
    return "".join(
        f'<points label="{joint}" source="manual" outside="{int(joint in outside)}" '
        f'occluded="{int(joint in occluded)}" points="{x + dx:.2f},{y:.2f}"></points>'
        for joint, (x, y) in PLACE.items()
    )


def skeleton(dx: float = 0.0, attributes: str = 'label="person" z_order="0"', **more: Any) -> str:
    return f"<skeleton {attributes}>{points(dx, **more)}</skeleton>"


def cvat(*content: str, meta: str = "") -> str:
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>'
    return f"{head}<meta>{meta}</meta>{''.join(content)}</annotations>"


def image(number: int, *shapes: str) -> str:
    name = f'id="{number}" name="frame_{number:06d}.png" width="800" height="600"'
    return f"<image {name}>{''.join(shapes)}</image>"


def test_cvat_for_images(tmp_path: Path) -> None:
    text = cvat(image(0, skeleton(), skeleton(90)), image(1), image(2, skeleton(7, outside=("nose",))))
    found = read(text, tmp_path, "a.xml")
    assert [(i.file, i.person) for i in found.ids] == [
        ("frame_000000.png", 0), ("frame_000000.png", 1), ("frame_000002.png", 0),
    ]  # fmt: skip
    assert found.image_size.tolist() == [[800, 600]] * 3
    expect(found, 0)
    expect(found, 1, 90)
    expect(found, 2, 7, ("nose",))


def test_cvat_hidden_joints_are_less_sure(tmp_path: Path) -> None:
    found = read(cvat(image(0, skeleton(occluded=("nose",)))), tmp_path, "a.xml")
    hip = found.skeleton.index("left_hip")
    expect(found)
    assert found.covariance[0, 0, 0, 0] == pytest.approx(4 * float(found.covariance[0, hip, 0, 0]))


def test_cvat_for_video(tmp_path: Path) -> None:
    def track(number: int, *frames: int, outside: str = "0") -> str:
        shapes = (skeleton(10.0 * f, f'frame="{f}" keyframe="1" outside="{outside}"') for f in frames)
        return f'<track id="{number}" label="person" source="manual">{"".join(shapes)}</track>'

    size = "<task><size>9</size></task><original_size><width>800</width><height>600</height></original_size>"
    text = cvat(track(0, 3, 4), track(5, 4, 8), track(6, 9, outside="1"), meta=size)
    found = read(text, tmp_path, "a.xml")
    assert sorted((i.frame, i.person) for i in found.ids) == [(3, 0), (4, 0), (4, 5), (8, 5)]
    assert found.image_size[0].tolist() == [800, 600]
    expect(found, [i.frame for i in found.ids].index(8), 80)


def test_cvat_points_of_a_whole_body_and_alone(tmp_path: Path) -> None:
    body = ";".join(f"{100 + i}.00,{50 + 9 * i}.00" for i in range(17))
    found = read(cvat(image(0, f'<points label="person" occluded="0" points="{body}"/>')), tmp_path, "a.xml")
    assert found.skeleton.name == "coco17"
    assert found.xy[0, 16].tolist() == [116, 194]
    expect(read(cvat(image(0, points())), tmp_path, "a.xml"))
    groups = points().replace("<points", '<points group_id="1"') + points(60).replace("<points", '<points group_id="2"')
    expect(read(cvat(image(0, groups)), tmp_path, "a.xml"), 1, 60)


def test_wrong_cvat_is_named(tmp_path: Path) -> None:
    for shapes, message in (
        (points() + points(), "image 'frame_000000.png', 'nose' is there twice; make a skeleton of each person"),
        (skeleton().replace("100.00,50.00", "100.00"), "'nose': expected points as x,y;x,y, found '100.00'"),
        ('<points label="person" points="1,2;3,4"/>', "2 points; expected 17 or 26 or 133 or 136"),
        (
            '<skeleton label="dog"><points label="tail" points="1,2"/></skeleton>',
            "points: no joint that we know among 'tail'",
        ),
    ):
        with pytest.raises(InputError) as caught:
            read(cvat(image(0, shapes)), tmp_path, "a.xml")
        assert message in str(caught.value)
    with pytest.raises(InputError, match="has a document type"):
        read("<!DOCTYPE annotations [<!ENTITY a 'b'>]>" + cvat(image(0)), tmp_path, "b.xml")


# -- COCO --------------------------------------------------------------------------------------------------


def coco(order: list[int]) -> dict[str, Any]:
    """Keypoints as CVAT exports them: joints named, hidden ones v = 1, the track among the attributes."""

    def note(i: int) -> dict[str, Any]:
        values = [float(v) for x, y in PLACE.values() for v in (x + i, y, 2)]
        attributes = {"occluded": False, "track_id": 3, "keyframe": True}
        counts = {"num_keypoints": len(PLACE), "iscrowd": 0, "area": 1.0, "bbox": [0, 0, 1, 1]}
        return {
            "id": i + 1,
            "image_id": i + 1,
            "category_id": 1,
            "keypoints": values,
            "attributes": attributes,
            **counts,
        }

    names = {"id": 1, "name": "person", "supercategory": "", "keypoints": list(JOINTS), "skeleton": [[1, 2]]}
    images = [{"id": i + 1, "file_name": f"frame_{i:06d}.png", "width": 800, "height": 600} for i in order]
    return {"images": images, "annotations": [note(i) for i in order], "categories": [names]}


def test_cvat_coco_keypoints(tmp_path: Path) -> None:
    found = read(coco([0, 1, 2]), tmp_path)
    assert found.image_size.tolist() == [[800, 600]] * 3
    expect(found, 2, 2)


def test_long_coco_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from poseterior.files import long_json

    whole = read(coco(list(range(30))), tmp_path)
    monkeypatch.setattr(long_json, "LONG", 0)
    monkeypatch.setattr(long_json, "PIECE", 500)
    pieces = read(coco(list(range(30))), tmp_path)
    assert pieces.ids == whole.ids
    assert torch.equal(pieces.xy, whole.xy)
