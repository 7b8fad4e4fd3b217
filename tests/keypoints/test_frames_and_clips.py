"""What a clip is, and the frames of it: files of a frame each, image names and ids, people who are absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints.folders import find_tasks
from poseterior.keypoints.reading import read_keypoints

BODY = np.random.default_rng(0).uniform([200, 100], [400, 500], (17, 2))
JOINTS = list(get_skeleton("coco17").joints)


def triples(shift: float = 0.0, joints: int = 17) -> list[float]:
    points = np.add(np.resize(BODY, (joints, 2)), [shift, 0])
    return np.concatenate([points, np.full((joints, 1), 0.9)], 1).reshape(-1).tolist()


def openpose(*shifts: float) -> dict:
    return {"people": [{"pose_keypoints_2d": triples(shift, 18)} for shift in shifts]}


def mmpose(*shifts: float) -> list:
    return [{"keypoints": np.add(BODY, [s, 0]).tolist(), "keypoint_scores": [0.9] * 17} for s in shifts]


def plain(shift: float = 0.0, **more: object) -> dict:
    return {"joints": JOINTS, "keypoints": np.add(BODY, [shift, 0]).tolist(), **more}


def coco(image: object, shift: float = 0.0, **more: object) -> dict:
    return {"image_id": image, "category_id": 1, "keypoints": triples(shift), "score": 1.0, **more}


def save(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def ids_of(paths, **options) -> list[tuple[str, int, int]]:
    return [tuple(identity) for identity in read_keypoints(paths, **options).ids]


# -- frames of a file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "frames"),
    [
        (["0.jpg", "1.jpg", "2.jpg", "5.jpg", "9.jpg"], [0, 1, 2, 5, 9]),
        (["0.jpg", "1.jpg", "10.jpg", "2.jpg"], [0, 1, 2, 10]),  # in order of text
        (["frame_000007.png", "frame_000009.png"], [7, 9]),
        ([12, 7, 9], [7, 9, 12]),
        (["b.jpg", "a.jpg"], [0, 1]),  # unrelated: order of appearance
        ([7], [0]),
    ],
)
def test_images_are_frames(tmp_path, images, frames):
    path = save(tmp_path / "r.json", [coco(image, i) for i, image in enumerate(images)])
    assert [frame for _, frame, _ in ids_of(path)] == frames


def test_annotations_are_in_order_of_their_frames(tmp_path):
    """As Datumaro writes them: backwards, with ids of their own."""
    images = [{"id": 9 - i, "file_name": f"frame_{i:06d}.png", "width": 640, "height": 480} for i in (3, 2, 1, 0)]
    notes = [{"id": i, "image_id": 9 - i, "category_id": 1, "keypoints": _labels(i)} for i in (3, 2, 1, 0)]
    categories = [{"id": 1, "name": "person", "keypoints": JOINTS}]
    path = save(tmp_path / "c.json", {"images": images, "annotations": notes, "categories": categories})
    found = read_keypoints(path)
    assert [tuple(i) for i in found.ids] == [(f"frame_{i:06d}.png", i, 0) for i in range(4)]
    assert found.xy[:, 0, 0].diff().tolist() == pytest.approx([1, 1, 1], abs=1e-3)


def _labels(shift: float) -> list[float]:
    return np.concatenate([np.add(BODY, [shift, 0]), np.full((17, 1), 2)], 1).reshape(-1).tolist()


def test_tracks_of_annotations(tmp_path):
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(3)]
    notes = [
        {"image_id": i, "category_id": 1, "keypoints": _labels(i), "attributes": {"track_id": 5}} for i in range(3)
    ]
    path = save(tmp_path / "c.json", {"images": images, "annotations": notes, "categories": []})
    assert {person for _, _, person in ids_of(path)} == {5}


# -- a file per frame ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [openpose, mmpose, plain, lambda s: [coco(3, s)]])
@pytest.mark.parametrize(
    "name", ["{}.json", "{:03d}.json", "cam_{:06d}.json", "IMG_{:04d}.json", "video1_{:012d}_keypoints.json"]
)
def test_a_file_per_frame_is_one_clip(tmp_path, name, content):
    if name.endswith("_keypoints.json") and content is not openpose:
        name = name.replace("_keypoints", "_pose")
    for frame in (0, 1, 2, 10):
        save(tmp_path / name.format(frame), content(float(frame)))
    assert ids_of(tmp_path) == [(str(tmp_path), frame, 0) for frame in (0, 1, 2, 10)]
    files = sorted(tmp_path.iterdir())
    assert ids_of(files) == ids_of(tmp_path)  # as a shell lists them: clip/*.json


def test_arrays_of_a_frame_each_are_one_clip(tmp_path):
    for frame in range(4):
        np.save(tmp_path / f"f{frame:03d}.npy", np.add(BODY, [frame, 0]))
    assert ids_of(tmp_path, skeleton="coco17") == [(str(tmp_path), frame, 0) for frame in range(4)]


@pytest.mark.parametrize("name", ["cam{c}_{f:06d}.json", "{f:03d}-cam{c}.json", "cam{c}_{f:012d}_keypoints.json"])
def test_two_cameras_are_two_clips(tmp_path, name):
    for camera in (1, 2):
        for frame in range(10):
            save(tmp_path / name.format(c=camera, f=frame), openpose(300.0 * camera + frame))
    found = ids_of(tmp_path)
    assert {file for file, _, _ in found} == {str(tmp_path / "cam1"), str(tmp_path / "cam2")}
    for camera in ("cam1", "cam2"):
        own = [(frame, person) for file, frame, person in found if file == str(tmp_path / camera)]
        assert own == [(frame, 0) for frame in range(10)]
    tasks, left = find_tasks(tmp_path)
    assert [(task.name, task.clip, len(task.keypoints)) for task in tasks] == [("cam1", True, 10), ("cam2", True, 10)]
    assert left == []


def test_frames_that_the_files_tell_go_before_names(tmp_path):
    for i, frame in enumerate((100, 104, 108)):
        save(tmp_path / f"{i:03d}.json", plain(i, frame=frame))
    assert ids_of(tmp_path) == [(str(tmp_path), frame, 0) for frame in (100, 104, 108)]


def test_people_of_file_clips_are_linked(tmp_path):
    for frame in range(6):
        pair = (frame, 500 + frame)
        save(tmp_path / f"{frame}.json", mmpose(*(pair if frame % 2 else pair[::-1])))
    found = read_keypoints(tmp_path)
    for person in (0, 1):
        x = found.xy[[identity.person == person for identity in found.ids], 0, 0]
        assert float(x.diff().abs().max()) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    "names",
    [
        ["anna.json", "bob.json", "carl.json"],
        ["IMG_1204.json", "IMG_1207.json", "IMG_3121.json"],
        ["000000000139.json", "000000000285.json", "000000000632.json"],
        ["b9.json", "b10.json"],
    ],
)
def test_other_names_are_files_of_their_own(tmp_path, names):
    for i, name in enumerate(names):
        save(tmp_path / name, plain(i))
    assert {file for file, _, _ in ids_of(tmp_path)} == {str(tmp_path / name) for name in names}


def test_strangers_with_numbers_are_no_clip(tmp_path):
    """``person1`` to ``person4`` count people, if what they hold does not go on from one to the next."""
    for i in range(1, 5):
        save(tmp_path / f"person{i}.json", plain(700.0 * i))
    assert len({file for file, _, _ in ids_of(tmp_path)}) == 4
    for i in range(1, 5):
        save(tmp_path / f"person{i}.json", plain(2.0 * i))
    assert len({file for file, _, _ in ids_of(tmp_path)}) == 1


def test_files_of_several_frames_are_no_frames(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i:03d}.json", plain(keypoints=[BODY.tolist()] * 2))
    assert ids_of(tmp_path) == [(str(tmp_path / f"{i:03d}.json"), frame, 0) for i in range(3) for frame in (0, 1)]


def test_photographs_keep_their_keypoints(tmp_path):
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (640, 480)).save(tmp_path / f"IMG_{i:04d}.jpg")
        save(tmp_path / f"IMG_{i:04d}.json", plain(i))
    assert [Path(file).name for file, _, _ in ids_of(tmp_path)] == [f"IMG_{i:04d}.json" for i in range(3)]
    tasks, left = find_tasks(tmp_path)
    assert [(task.name, task.photo.name) for task in tasks] == [(f"IMG_{i:04d}", f"IMG_{i:04d}.jpg") for i in range(3)]
    assert left == []


def test_a_broken_frame_is_named(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i:03d}.json", openpose(i))
    (tmp_path / "001.json").write_text('{"people": [')
    with pytest.raises(InputError, match=r"001\.json: the JSON ends early"):
        read_keypoints(tmp_path)


# -- nobody ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "frames"),
    [
        ({"people": [{}, *openpose(0)["people"]]}, [0]),
        ([openpose(0), {}, openpose(2)], [0, 2]),
        ([coco(0), {}, coco(2, 2)], [0, 2]),
        ([mmpose(0), {}, mmpose(2), [{}]], [0, 2]),
        ({"instance_info": [{"frame_id": 1, "instances": [{}]}, {"frame_id": 2, "instances": mmpose(0)}]}, [2]),
        ([plain(0), {}, plain(2)], [0, 2]),
        ([None, plain(0)], [1]),
    ],
)  # fmt: skip
def test_an_empty_object_is_nobody(tmp_path, document, frames):
    assert [frame for _, frame, _ in ids_of(save(tmp_path / "a.json", document))] == frames


@pytest.mark.parametrize("name", ["{:03d}.json", "v_{:012d}_keypoints.json"])
@pytest.mark.parametrize("nobody", [{}, [], {"people": []}])
def test_a_file_of_nobody_is_a_frame_without_people(tmp_path, name, nobody):
    for frame in range(5):
        save(tmp_path / name.format(frame), nobody if frame in (0, 3) else openpose(frame))
    assert ids_of(tmp_path) == [(str(tmp_path), frame, 0) for frame in (1, 2, 4)]


# -- rates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "rate"),
    [
        (plain(fps=25), 25.0),
        ([plain(0, fps=50.0), plain(1)], 50.0),
        (
            {"meta_info": {"fps": "30000/1001"}, "instance_info": [{"frame_id": 0, "instances": mmpose(0)}]},
            30000 / 1001,
        ),
        (plain(fps=None), None),
        (plain(), None),
    ],
)
def test_rates_of_files(tmp_path, document, rate):
    path = save(tmp_path / "a.json", document)
    found = read_keypoints(path)
    assert found.rates == ({} if rate is None else {str(path): rate})
    assert found.as_skeleton("h36m17")[:1].rates == found.rates


@pytest.mark.parametrize(("rate", "got"), [("fast", "'fast'"), (-1, "-1"), (True, "True"), (0, "0"), ("1/0", "'1/0'")])
def test_rates_that_are_none_are_refused(tmp_path, rate, got):
    path = save(tmp_path / "a.json", [plain(0), plain(1, fps=rate)])
    with pytest.raises(InputError, match=f"entry 1.fps: expected frames a second, .*, got {got}; mend it, or leave"):
        read_keypoints(path)


def test_rates_of_arrays_and_of_several_files(tmp_path):
    np.savez(tmp_path / "a.npz", BODY[None], fps=120)
    np.savez(tmp_path / "b.npz", keypoints=BODY[None], fps=60.0)
    np.savez(tmp_path / "c.npz", keypoints=BODY[None])
    found = read_keypoints([tmp_path / f"{name}.npz" for name in "abc"], skeleton="coco17")
    assert found.rates == {str(tmp_path / "a.npz"): 120.0, str(tmp_path / "b.npz"): 60.0}
