"""Networks in ONNX files: each kind of answer becomes people in the picture's pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from detect.detector_models import save_network, simcc
from poseterior.detect import load_detector
from poseterior.detect.network_outputs import kind_of
from poseterior.files.errors import InputError

PICTURE = np.zeros((400, 300, 3), np.uint8)
#: A box of a person in a picture of 640 x 640 to which PICTURE is fitted: px of the picture times 1.6.
BOX = np.array([[[160.0, 160.0, 320.0, 480.0, 0.9], [0.0, 0.0, 10.0, 10.0, 0.1]]], np.float32)
IN_PICTURE = BOX[0, 0, :4] / 1.6


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.onnx"
    save_network(path, (640, 640), {"dets": BOX, "labels": np.zeros((1, 2), np.int64)})
    return path


def corner_and_scale() -> tuple[np.ndarray, float]:
    """Where the upper left pixel of a network's picture of 192 x 256 is, and its pixels, of the box above."""
    width, height = 1.25 * (IN_PICTURE[2:] - IN_PICTURE[:2])
    side = max(width, height * 192 / 256)
    scale = side / 192
    return (IN_PICTURE[:2] + IN_PICTURE[2:]) / 2 - scale * np.array([96, 128]), scale


def test_simcc_is_read_with_its_spread(tmp_path: Path, boxes: Path) -> None:
    x, y = np.linspace(60, 320, 17), np.linspace(100, 400, 17)
    path = tmp_path / "pose.onnx"
    save_network(path, (192, 256), {"simcc_x": simcc(x.round(), 384, 6.0), "simcc_y": simcc(y.round(), 512, 4.0)})
    detector = load_detector(f"onnx:{path}", [boxes])
    assert detector.skeleton.name == "coco17"
    (person,) = detector.detect(PICTURE)
    corner, scale = corner_and_scale()
    expected = corner + scale * np.stack([x.round(), y.round()], -1) / 2
    seen = person.keypoints.visible.numpy()
    inside = (expected >= 0).all(-1) & (expected <= [299, 399]).all(-1)
    np.testing.assert_array_equal(seen, inside)
    np.testing.assert_allclose(person.keypoints.xy.numpy()[seen], expected[seen], atol=1e-3)
    sigma = np.sqrt(person.keypoints.covariance.numpy()[seen][:, [0, 1], [0, 1]])
    # what is below a fiftieth of the peak does not count: a little less than the Gaussian's own
    np.testing.assert_allclose(sigma, np.broadcast_to(scale * np.array([3.0, 2.0]), sigma.shape), rtol=0.1)
    assert person.keypoints.image_size.tolist() == [300, 400]
    assert detector.follow(PICTURE, [person])[0].box == person.box


def test_heat_maps_are_fitted(tmp_path: Path, boxes: Path) -> None:
    at = np.stack([np.linspace(10, 38, 26), np.linspace(12, 50, 26)], -1)
    rows, columns = np.mgrid[:64, :48]
    heat = np.exp(-(((columns - at[:, :1, None]) / 2) ** 2 + ((rows - at[:, 1:, None]) / 1.5) ** 2) / 2)
    heat[3] = 0.0
    path = tmp_path / "heat.onnx"
    save_network(path, (192, 256), {"heatmaps": heat[None].astype(np.float32)})
    detector = load_detector(f"onnx:{path}", [boxes])
    assert detector.skeleton.name == "halpe26"
    (person,) = detector.detect(PICTURE)
    corner, scale = corner_and_scale()
    expected = corner + scale * (4 * (at + 0.5) - 0.5)
    assert not person.keypoints.visible[3]
    seen = person.keypoints.visible.numpy()
    np.testing.assert_allclose(person.keypoints.xy.numpy()[seen], expected[seen], atol=0.05)
    sigma = np.sqrt(person.keypoints.covariance.numpy()[seen][:, [0, 1], [0, 1]])
    np.testing.assert_allclose(sigma, np.broadcast_to(scale * np.array([8.0, 6.0]), sigma.shape), rtol=0.02)


def test_people_at_once(tmp_path: Path) -> None:
    joints = np.zeros((1, 2, 17, 3), np.float32)
    joints[0, 0, :, 0], joints[0, 0, :, 1] = np.linspace(170, 310, 17), np.linspace(170, 470, 17)
    joints[..., 2] = 0.8
    joints[0, 0, 5, 2] = 0.01
    path = tmp_path / "rtmo.onnx"
    save_network(path, (640, 640), {"dets": BOX, "keypoints": joints})
    (person,) = load_detector(f"onnx:{path}").detect(PICTURE)
    assert person.score == pytest.approx(0.9)
    assert not person.keypoints.visible[5]
    np.testing.assert_allclose(person.keypoints.xy.numpy()[6], joints[0, 0, 6, :2] / 1.6, rtol=1e-5)
    from poseterior.keypoints import Keypoints2D

    rule = Keypoints2D(joints[0, 0, :, :2] / 1.6, None, None, (300, 400), "coco17", confidence=joints[0, 0, :, 2])
    np.testing.assert_allclose(person.keypoints.covariance.numpy(), rule.covariance.numpy(), rtol=1e-5)


def test_metadata_say_the_skeleton(tmp_path: Path, boxes: Path) -> None:
    heat = np.zeros((1, 17, 64, 48), np.float32)
    save_network(tmp_path / "a.onnx", (192, 256), {"heatmaps": heat}, {"skeleton": "h36m17"})
    detector = load_detector(f"onnx:{tmp_path / 'a.onnx'}", [boxes])
    assert detector.skeleton.name == "h36m17"
    assert detector.detect(PICTURE) == []


def test_what_is_wrong_is_said(tmp_path: Path, boxes: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.onnx: no such file; expected an ONNX network"):
        load_detector(f"onnx:{tmp_path / 'missing.onnx'}", [boxes])
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"bad\.onnx: cannot be read as an ONNX network"):
        load_detector(f"onnx:{tmp_path / 'bad.onnx'}", [boxes])
    save_network(tmp_path / "class.onnx", (64, 64), {"scores": np.zeros((1, 1000), np.float32)})
    with pytest.raises(InputError, match=r"class\.onnx: the network's outputs have shapes \(1, 1000\); expected SimCC"):
        load_detector(f"onnx:{tmp_path / 'class.onnx'}", [boxes])
    save_network(tmp_path / "odd.onnx", (192, 256), {"heatmaps": np.zeros((1, 5, 64, 48), np.float32)})
    with pytest.raises(InputError, match=r"odd\.onnx: finds 5 joints of no skeleton that we know by their number"):
        load_detector(f"onnx:{tmp_path / 'odd.onnx'}", [boxes])
    with pytest.raises(InputError, match=r"answers with boxes alone; give it as --model"):
        load_detector(f"onnx:{boxes}", [boxes])
    with pytest.raises(InputError, match=r"detector 'onnx': expected onnx:FILE\.onnx"):
        load_detector("onnx")


def test_outputs_of_no_kind() -> None:
    with pytest.raises(InputError, match="outputs have shapes"):
        kind_of([np.zeros((1, 3))])
