"""Results of libraries as people write them to JSON: Detectron2, ViTPose, MMPose 0.x and 1.x, TensorFlow.js."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints.reading import read_keypoints

NAMES = get_skeleton("coco17").joints


def xy(dx: float = 0.0, joints: int = 17) -> list[list[float]]:
    return [[100.0 + 4 * i + dx, 50.0 + 8 * i] for i in range(joints)]


def xys(dx: float = 0.0, joints: int = 17) -> list[list[float]]:
    return [[*place, 0.75] for place in xy(dx, joints)]


def flat(dx: float = 0.0, joints: int = 17) -> list[float]:
    return [value for row in xys(dx, joints) for value in row]


def read(content: Any, folder: Path, **options: Any) -> Any:
    path = folder / "a.json"
    path.write_text(json.dumps(content))
    return read_keypoints(path, **options)


def places(found: Any) -> list[tuple[int, int, float]]:
    """Frame, person, and x of the nose."""
    return [(i.frame, i.person, float(x) - 100) for i, x in zip(found.ids, found.xy[:, 0, 0], strict=True)]


def refuses(content: Any, message: str, folder: Path, **options: Any) -> None:
    with pytest.raises(InputError) as caught:
        read(content, folder, **options)
    assert message in str(caught.value)


# -- Detectron2 --------------------------------------------------------------------------------------------


def test_detectron2_instances_by_image(tmp_path: Path) -> None:
    def one(dx: float) -> dict[str, Any]:
        return {"image_id": 3, "category_id": 0, "bbox": [1, 2, 3, 4], "score": 0.9, "keypoints": flat(dx)}

    images = [{"image_id": i, "instances": [one(d) for d in dxs]} for i, dxs in enumerate([(0.0, 9.0), (), (1.0,)])]
    assert [x for _, _, x in places(read(images, tmp_path))] == [0, 9, 1]
    assert places(read([one(2.0)], tmp_path)) == [(0, 0, 2)]  # its COCO results
    refuses(
        [{"image_id": 1, "instances": [one(0), {"keypoints": [1.0]}]}],
        "image 0, instance 1.keypoints: 1 numbers; expected 51 (17 joints x 3)",
        tmp_path,
    )


def test_detectron2_fields(tmp_path: Path) -> None:
    fields = {"image_size": [480, 640], "pred_boxes": [[1, 2, 3, 4]] * 2, "pred_keypoints": [xys(), xys(5)]}
    for content in (fields, {"instances": fields}, [{"instances": {"fields": fields}}]):
        found = read(content, tmp_path)
        assert places(found) == [(0, 0, 0), (0, 1, 5)]
    assert read(fields, tmp_path).image_size[0].tolist() == [640, 480]
    refuses({"pred_keypoints": [xys(joints=3)]}, "image 0.pred_keypoints[0]: 3 joints; expected 17 or 26", tmp_path)


# -- ViTPose -----------------------------------------------------------------------------------------------


def vitpose(dx: float = 0.0, without: tuple[int, ...] = ()) -> dict[str, Any]:
    kept = [i for i in range(17) if i not in without]
    return {
        "scores": [0.9 for _ in kept], "keypoints": [xy(dx)[i] for i in kept], "labels": kept,
        "bbox": [1.0, 2.0, 3.0, 4.0],
    }  # fmt: skip


def test_vitpose_leaves_joints_out(tmp_path: Path) -> None:
    found = read([[vitpose(), vitpose(5, (3, 16))], [], [vitpose(7)]], tmp_path)
    assert places(found) == [(0, 0, 0), (0, 1, 5), (2, 1, 7)]  # the nearer of the two went on
    assert found.visible[1].tolist() == [i not in (3, 16) for i in range(17)]
    assert found.xy[1, 15].tolist() == [165, 170]
    assert places(read([vitpose(), vitpose(5)], tmp_path)) == [(0, 0, 0), (0, 1, 5)]
    refuses([[{**vitpose(), "labels": [17] * 17}]], "frame 0, person 0.labels: joint 17.0; expected 0 to 16", tmp_path)
    refuses([[{**vitpose(), "labels": [1]}]], "17 keypoints, 17 scores, 1 labels; expected as many", tmp_path)


# -- MMPose ------------------------------------------------------------------------------------------------


def test_mmpose_0_people_with_boxes(tmp_path: Path) -> None:
    frames = [
        [{"bbox": [1, 2, 3, 4, 0.9], "keypoints": xys(d), "track_id": 4} for d in dxs] for dxs in ([0.0], [], [6.0])
    ]
    assert places(read(frames, tmp_path)) == [(0, 4, 0), (2, 4, 6)]
    assert places(read([{"pose_results": frame} for frame in frames], tmp_path)) == [(0, 4, 0), (2, 4, 6)]


def test_mmpose_0_test_results(tmp_path: Path) -> None:
    def batch(*people: tuple[str, float]) -> dict[str, Any]:
        return {
            "preds": [xys(dx) for _, dx in people], "boxes": [[0.0] * 6 for _ in people],
            "image_paths": [f"data/{name}" for name, _ in people], "bbox_ids": list(range(len(people))),
            "output_heatmap": None,
        }  # fmt: skip

    found = read([batch(("0.jpg", 0), ("0.jpg", 3), ("1.jpg", 4)), batch(("2.jpg", 5))], tmp_path)
    assert places(found) == [(0, 0, 0), (0, 1, 3), (1, 1, 4), (2, 1, 5)]
    refuses(
        [{**batch(("0.jpg", 0), ("1.jpg", 0)), "image_paths": ["a", "b", "c"]}],
        "batch 0.image_paths: 3 paths; preds has 2 people",
        tmp_path,
    )


def test_mmpose_bottom_up_tags_are_not_scores(tmp_path: Path) -> None:
    tagged = [[*row, 0.1] for row in xys(2)]
    assert places(read([{"preds": [tagged], "scores": [0.5], "image_paths": ["0.jpg"]}], tmp_path)) == [(0, 0, 2)]


def test_mmpose_1_results(tmp_path: Path) -> None:
    def person(dx: float) -> dict[str, Any]:
        return {"keypoints": xy(dx), "keypoint_scores": [0.75] * 17, "bbox": [[1, 2, 3, 4]], "bbox_score": 0.9}

    sample = {
        "pred_instances": {"keypoints": [xy(0), xy(4)], "keypoint_scores": [[0.75] * 17] * 2, "bboxes": [[0] * 4] * 2},
        "img_path": "0.jpg",
    }
    assert places(read([sample, {**sample}], tmp_path)) == [(0, 0, 0), (0, 1, 4), (1, 0, 0), (1, 1, 4)]
    assert places(read({"predictions": [[person(0)], [person(3)]]}, tmp_path)) == [(0, 0, 0), (1, 0, 3)]
    frames = [{"visualization": [], "predictions": [[person(d)]]} for d in (0, 3)]
    assert places(read(frames, tmp_path)) == [(0, 0, 0), (1, 0, 3)]
    assert places(read({"instance_info": [person(8), {}]}, tmp_path)) == [(0, 0, 8)]  # one image
    refuses(
        [{"pred_instances": {"keypoints": [xy()], "keypoint_scores": [[0.5] * 17] * 2}}],
        "frame 0.pred_instances.keypoint_scores: 2 people; keypoints has 1",
        tmp_path,
    )


# -- TensorFlow.js -----------------------------------------------------------------------------------------


def pose(dx: float = 0.0, style: str = "movenet") -> dict[str, Any]:
    def joint(name: str, x: float, y: float) -> dict[str, Any]:
        first, *rest = name.split("_")
        part = first + "".join(word.title() for word in rest)
        if style == "posenet":
            return {"score": 0.75, "part": part, "position": {"x": x, "y": y}}
        if style == "ml5":
            return {"name": name, "x": x, "y": y, "confidence": 0.75}
        return {"name": name, "x": x, "y": y, "score": 0.75} if style == "movenet" else {"x": x, "y": y, "score": 0.75}

    return {"score": 0.9, "keypoints": [joint(n, *place) for n, place in zip(NAMES, xy(dx), strict=True)]}


@pytest.mark.parametrize("style", ["movenet", "posenet", "ml5", "nameless"])
def test_poses_of_tensorflow_js(style: str, tmp_path: Path) -> None:
    one, two = pose(0, style), pose(3, style)
    assert places(read(one, tmp_path)) == [(0, 0, 0)]
    assert places(read([one, two], tmp_path)) == [(0, 0, 0), (0, 1, 3)]
    assert places(read([[one], [], [{**two, "id": 5}]], tmp_path)) == [(0, 0, 0), (2, 5, 3)]
    assert places(read([{"pose": one, "skeleton": []}], tmp_path)) == [(0, 0, 0)]
    assert places(read([{"frame": 4, "poses": [one]}, {"frame": 9, "poses": [two]}], tmp_path)) == [
        (4, 0, 0),
        (9, 0, 3),
    ]
    assert read(one, tmp_path).skeleton.name == "coco17"


def test_wrong_poses_are_named(tmp_path: Path) -> None:
    twice, nameless = pose(), pose()
    twice["keypoints"][3]["name"] = "nose"
    del nameless["keypoints"][16], nameless["keypoints"][2]["name"]
    refuses([twice], "frame 0, person 0.keypoints[3]: joint 'nose' is there twice", tmp_path)
    refuses([nameless], "keypoints[2]: expected the joint's name in 'name' or 'part', found null", tmp_path)
    twice["keypoints"][3] = {"name": "left_ear", "x": "a", "y": 1}
    refuses([twice], "keypoints[3].x[0]: expected a number or null, found 'a'", tmp_path)
