"""Depth-order labels as the published JSON and as CSV."""

import json

import numpy as np
import pytest

from poseterior.cli.labels import Export, Import, Inspect
from poseterior.data.labels.files import read_csv, read_published, read_published_keypoints, write_csv, write_published
from poseterior.data.labels.labels import DepthLabels, load_labels
from poseterior.data.observations import load_observations
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

LSP = SKELETONS["lsp14"].joints
H36M = SKELETONS["h36m17"]
#: The file's own order, and its own names: neither is ours.
THEIRS = ["head", "neck", *(f"{side}_{part}" for part in ("wrist", "ankle", "hip", "knee", "elbow", "shoulder")
                            for side in ("left", "right"))]  # fmt: skip


def place(image: int, joint: str) -> list[float]:
    """Where a joint of ours is in a made-up image."""
    return [10.0 * LSP.index(joint) + image, 200.0 - 3 * LSP.index(joint) ** 1.5 + image]


def published() -> dict:
    """Three images; kp0 and kp1 are names, or places in joint_names."""
    answers = [
        [{"kp0": "left_wrist", "kp1": "head", "label": 0, "prob": 0.1, "risk": 0.08, "original_id": 5}],
        [
            {"kp0": 3, "kp1": 4, "label": 1, "prob": 0.98, "risk": 0.02},
            {"kp0": "neck", "kp1": "right_knee", "label": 0, "prob": 0.3, "risk": 0.3},
        ],
        [],
    ]
    return {
        "joint_names": THEIRS,
        "images": [
            {
                "im_file": f"images/im{i + 1:04d}.jpg",
                "is_train": i != 2,
                "keypoints": [v for name in THEIRS for v in place(i, "head_top" if name == "head" else name)],
                "occluded": [int(name == "left_knee" and i == 1) for name in THEIRS],
                "anns": anns,
            }
            for i, anns in enumerate(answers)
        ],
    }


@pytest.fixture
def lsp_json(tmp_path):
    path = tmp_path / "relative_depth_lsp_v1.json"
    path.write_text(json.dumps(published()))
    return path


def test_published_labels_mean_what_ours_mean(lsp_json):
    labels = read_published(lsp_json)
    assert labels.skeleton == "lsp14"
    assert labels.image.tolist() == ["images/im0001.jpg", "images/im0002.jpg", "images/im0002.jpg"]
    # places 3 and 4 of the file's own names are the right wrist and the left ankle
    assert labels.joint_a.tolist() == ["left_wrist", "right_wrist", "neck"]
    assert labels.joint_b.tolist() == ["head_top", "left_ankle", "right_knee"]
    # 0: kp0 is nearer, ours -1; 1: kp1 is nearer, ours +1
    assert labels.label.tolist() == [-1, 1, -1]
    # 1 - risk where the label is 0, prob where it is 1
    np.testing.assert_allclose(labels.confidence, [0.92, 0.98, 0.7], rtol=1e-6)
    assert set(labels.annotator.tolist()) == {""}
    assert np.isnan(labels.time).all()


def test_published_split(lsp_json):
    assert len(read_published(lsp_json, "train")) == 3
    assert len(read_published(lsp_json, "test")) == 0
    with pytest.raises(InputError, match="unknown split 'val'; known: train, test"):
        read_published(lsp_json, "val")


def test_published_keypoints_are_put_in_our_order(lsp_json):
    found = read_published_keypoints(lsp_json, "train")
    keypoints = found.observations.keypoints
    assert [i.file for i in keypoints.ids] == ["images/im0001.jpg", "images/im0002.jpg"]
    assert keypoints.skeleton == H36M
    for i in range(2):
        for joint in ("left_wrist", "right_ankle", "head_top", "left_hip"):
            np.testing.assert_allclose(keypoints.xy[i, H36M.index(joint)], place(i, joint), rtol=1e-6)
        np.testing.assert_allclose(keypoints.xy[i, H36M.index("thorax")], place(i, "neck"), rtol=1e-6)
    assert keypoints.visible.all()
    spread = keypoints.covariance[..., 0, 0].sqrt()
    knee = H36M.index("left_knee")
    assert spread[1, knee] == pytest.approx(2 * spread[1, H36M.index("right_knee")].item())
    assert spread[0, knee] == pytest.approx(spread[0, H36M.index("right_knee")].item())
    assert not found.observations.observed.any()
    assert found.protocol == "relative-depth-lsp-train v1"
    only_test = lsp_json.with_name("test.json")
    only_test.write_text(json.dumps(published() | {"images": published()["images"][2:]}))
    with pytest.raises(InputError, match="no image in the split 'train'"):
        read_published_keypoints(only_test, "train")


def test_published_round_trip(lsp_json, tmp_path):
    labels = read_published(lsp_json)
    write_published(labels, tmp_path / "again.json")
    again = read_published(tmp_path / "again.json")
    for name in ("image", "joint_a", "joint_b", "label", "confidence"):
        np.testing.assert_array_equal(getattr(again, name), getattr(labels, name))
    first = json.loads((tmp_path / "again.json").read_text())["images"][1]["anns"][0]
    assert first == {"kp0": "right_wrist", "kp1": "left_ankle", "label": 1, "prob": 0.98, "risk": 0.02}


def change(field, value):
    def apply(data):
        data["images"][1]["anns"][0][field] = value

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("kp1", 14), "images[1].anns[0].kp1: expected one of joint_names, or its place from 0 to 13, found 14"),
        (change("kp1", "tail"), "images[1].anns[0].kp1: expected one of joint_names"),
        (change("kp1", 3), "images[1].anns[0]: kp0 and kp1 are both 'right_wrist'; expected two different joints"),
        (change("label", -1), "images[1].anns[0].label: expected 0 (kp0 nearer) or 1 (kp1 nearer), found -1"),
        (change("prob", 98), "images[1].anns[0].prob: expected a number from 0 to 1, found 98.0"),
        (change("risk", None), "images[1].anns[0].risk: expected a number from 0 to 1, found nan"),
        (lambda d: d["images"][1]["anns"][0].pop("risk"), "images[1].anns[0]: field 'risk' is missing"),
        (lambda d: d["images"][0].pop("anns"), "images[0]: field 'anns' is missing"),
        (lambda d: d["images"][0].update(im_file=3), "images[0].im_file: expected text, found 3"),
        (lambda d: d.pop("joint_names"), "file: field 'joint_names' is missing"),
        (
            lambda d: d["joint_names"].__setitem__(0, "tail"),
            "joint_names: expected the 14 joints of Leeds Sports Pose; missing: head_top; not known: tail",
        ),
    ],
)
def test_bad_published_files_are_named(tmp_path, spoil, message):
    data = json.loads(json.dumps(published()))
    spoil(data)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as error:
        read_published(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_published_keypoints_of_another_length_are_refused(tmp_path):
    data = published()
    data["images"][2]["keypoints"].pop()
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data))
    message = r"images\[2\]: 27 numbers in 'keypoints' and 14 in 'occluded'; expected 28 \(x, y of 14 joints\) and 14"
    with pytest.raises(InputError, match=message):
        read_published_keypoints(path)


def test_what_the_published_layout_cannot_hold_is_refused(lsp_json, tmp_path):
    labels = read_published(lsp_json)
    out = tmp_path / "out.json"

    def changed(**columns):
        names = ("image", "joint_a", "joint_b", "label", "confidence", "annotator", "time")
        return DepthLabels(**({name: getattr(labels, name) for name in names} | columns), skeleton="lsp14")

    with pytest.raises(InputError, match=r"row 1 has label 0 .* use .csv"):
        write_published(changed(label=[1, 0, 1]), out)
    with pytest.raises(InputError, match=r"run `poseterior labels merge` first, or use \.csv"):
        write_published(changed(annotator=["", "ann", ""]), out)
    body = DepthLabels(["a"], ["pelvis"], ["spine"], [1], [1], [""], [0], "h36m17")
    with pytest.raises(InputError, match=r"has the joints of lsp14, not h36m17: use \.csv"):
        write_published(body, out)
    assert not out.exists()


CSV = """# skeleton: h36m17
image,joint_a,joint_b,label,confidence,annotator,time
"a, b.jpg",pelvis,left_wrist,-1,0.9,ann,1700000000.25
x.mp4#3,LKnee,right knee,+1,,,
x.mp4#3,spine,thorax,0,0,bob,
"""


def test_csv(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(CSV)
    labels = read_csv(path)
    assert labels.image.tolist() == ["a, b.jpg", "x.mp4#3", "x.mp4#3"]
    assert labels.joint_a.tolist() == ["pelvis", "left_knee", "spine"]
    assert labels.label.tolist() == [-1, 1, 0]
    np.testing.assert_array_equal(labels.confidence, np.array([0.9, 1, 0], np.float32))
    assert labels.annotator.tolist() == ["ann", "", "bob"]
    np.testing.assert_array_equal(labels.time, [1700000000.25, np.nan, np.nan])


def test_csv_round_trip_is_exact(tmp_path):
    labels = DepthLabels(
        ['quo"te, comma.jpg', "line\nbreak", "ü.jpg"], ["neck"] * 3, ["head_top"] * 3, [-1, 0, 1],
        np.float32([0.1, 0.0, 1 / 3]), ["a,b", "", "ann"], [1700000000.123456, np.nan, 0.0], "lsp14",
    )  # fmt: skip
    write_csv(labels, tmp_path / "x.csv")
    again = read_csv(tmp_path / "x.csv")
    assert again.skeleton == "lsp14"
    for name in ("image", "joint_a", "joint_b", "label", "confidence", "annotator", "time"):
        np.testing.assert_array_equal(getattr(again, name), getattr(labels, name))
    assert ",0.1," in (tmp_path / "x.csv").read_text()


def test_csv_skeleton_by_argument(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,joint_a,joint_b,label\r\na.jpg,nose,left_knee,1\r\n", encoding="utf-8-sig")
    labels = read_csv(path, "coco17")
    assert (labels.skeleton, labels.confidence.tolist()) == ("coco17", [1.0])
    with pytest.raises(InputError, match="make the first line '# skeleton: NAME', or pass --skeleton NAME"):
        read_csv(path)
    path.write_text(CSV)
    with pytest.raises(InputError, match="the first line says skeleton h36m17, but coco17 was given; drop one"):
        read_csv(path, "coco17")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-1,0.9", "near,0.9", "line 3: label: expected a number, found 'near'"),
        (
            "1700000000.25",
            "2023-11-14T22:13:20Z",
            "line 3: time: expected seconds since 1970-01-01 UTC, for example 1700000000, or nothing where unknown, "
            "found '2023-11-14T22:13:20Z'",
        ),
        ("+1,,,", "3,,,", "depth labels: line 4: label is 3.0; expected -1"),
        ("spine,thorax", "spine,tail", "depth labels: line 5: joint_b is 'tail'; expected a joint of h36m17"),
        ("spine,thorax", "spine,spine", "depth labels: line 5: joint_b is 'spine'; expected another joint"),
        ("0,0,bob", "0,7,bob", "depth labels: line 5: confidence is 7.0; expected a number from 0 to 1"),
        ("+1,,,", "+1", "line 4: expected 7 entries, as in the header"),
        ("+1,,,", "+1,,,,,", "line 4: expected 7 entries, as in the header"),
        (",label,", ",order,", "the column 'label' is missing; expected image, joint_a"),
        ("h36m17", "stick", "unknown skeleton 'stick'"),
    ],
)
def test_bad_csv_is_named(tmp_path, old, new, message):
    path = tmp_path / "bad.csv"
    path.write_text(CSV.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_csv(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_files_that_are_not_there_or_not_text(tmp_path):
    for read in (read_csv, read_published, read_published_keypoints):
        with pytest.raises(InputError, match="nothing: no such file"):
            read(tmp_path / "nothing")
        (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(InputError, match=r"bytes: not .*text"):
            read(tmp_path / "bytes")
    (tmp_path / "x.json").write_text("[")
    with pytest.raises(InputError, match=r"x\.json: not readable as JSON"):
        read_published(tmp_path / "x.json")


def test_command_line_import_and_export(lsp_json, tmp_path, capsys):
    store, observed = tmp_path / "labels.parquet", tmp_path / "keypoints.parquet"
    Import(lsp_json, store, keypoints=observed, split="train").run()
    output = capsys.readouterr().out
    assert "3 labels of 2 images, joints of lsp14" in output
    assert "keypoints of 2 images" in output
    loaded = load_observations(observed)
    assert [i.file for i in loaded.observations.keypoints.ids] == ["images/im0001.jpg", "images/im0002.jpg"]
    Export(store, tmp_path / "labels.csv").run()
    assert (tmp_path / "labels.csv").read_text().startswith("image,joint_a,")
    Import(tmp_path / "labels.csv", tmp_path / "again.parquet").run()
    np.testing.assert_array_equal(load_labels(tmp_path / "again.parquet").confidence, load_labels(store).confidence)
    Export(store, tmp_path / "labels.json").run()
    assert len(read_published(tmp_path / "labels.json")) == 3
    capsys.readouterr()
    Inspect(store).run()
    assert "joint_a nearer (-1)" in capsys.readouterr().out


def test_command_line_refuses_what_does_not_fit(lsp_json, tmp_path):
    out = tmp_path / "labels.parquet"
    (tmp_path / "x.csv").write_text(CSV)
    with pytest.raises(InputError, match=r"--skeleton: is for .csv; the published JSON has the joints of lsp14"):
        Import(lsp_json, out, skeleton="lsp14").run()
    with pytest.raises(InputError, match=r"--split: is for .json; a .csv has none"):
        Import(tmp_path / "x.csv", out, split="train").run()
    with pytest.raises(InputError, match=r"unknown extension '.txt'; use one of: .csv, .json"):
        Import(tmp_path / "x.txt", out).run()
    with pytest.raises(InputError, match=r"--out .*unknown extension '.csv'; use one of: .parquet"):
        Import(lsp_json, tmp_path / "y.csv").run()
    assert not out.exists()


def test_labels_survive_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    images = ["007", "a#1.jpg", "NA", "1e5", "'quoted", "true", "12", "im 3, b.jpg", "''007"]
    rows = len(images)
    labels = DepthLabels(
        np.array(images), np.full(rows, "left_wrist"), np.full(rows, "head_top"), np.full(rows, -1), np.full(rows, 0.9),
        np.array(["01", "", "ann", "", "None", "", "", "", ""]), np.full(rows, np.nan), "lsp14",
    )  # fmt: skip
    write_csv(labels, tmp_path / "a.csv")
    pandas.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv", index=False)
    for name in "ab":
        found = read_csv(tmp_path / f"{name}.csv")
        assert found.skeleton == "lsp14"
        for field in ("image", "annotator", "joint_a", "label"):
            assert getattr(found, field).tolist() == getattr(labels, field).tolist(), field
    # numbers alone are what pandas takes for numbers as a whole
    numbers = DepthLabels(*(getattr(labels, f)[[0, 6]] for f in labels_fields), "lsp14")
    write_csv(numbers, tmp_path / "a.csv")
    pandas.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv", index=False)
    assert read_csv(tmp_path / "b.csv").image.tolist() == ["007", "12"]


labels_fields = ("image", "joint_a", "joint_b", "label", "confidence", "annotator", "time")


def test_two_skeletons_in_a_csv(tmp_path):
    lines = ["image,joint_a,joint_b,label,skeleton", "a,left_wrist,head_top,1,lsp14", "b,left_wrist,head_top,1,h36m17"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"a\.csv: line 3: the skeleton is h36m17, but lsp14 was given"):
        read_csv(tmp_path / "a.csv")
