"""MoveNet: its graph as TensorFlow.js computes it, people in its maps, and people in photographs."""

from __future__ import annotations

import base64
import json
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from poseterior.detect.centers import Maps, people_in_maps
from poseterior.detect.detectors import load_detector, movenet
from poseterior.detect.graphs import PictureNetwork
from poseterior.detect.squares import Square, border_distances, crop, looks, upright_crop, whole
from poseterior.files.errors import InputError
from poseterior.files.fetched import fetched

needs_movenet = pytest.mark.skipif(
    not fetched(movenet.SOURCE), reason="MoveNet's model is not on this machine: poseterior detectors fetch movenet"
)

# -- graphs ----------------------------------------------------------------------------------------------------


def node(name: str, op: str, inputs: list[str], **attributes: object) -> dict[str, object]:
    return {"name": name, "op": op, "input": inputs, "attr": attributes}


def texts(*values: str) -> dict[str, object]:
    return {"list": {"s": [base64.b64encode(value.encode()).decode() for value in values]}}


def convolution(name: str, op: str, inputs: list[str], stride: int, *fused: str) -> dict[str, object]:
    strides = {"list": {"i": [str(number) for number in (1, stride, stride, 1)]}}
    padding = {"s": base64.b64encode(b"SAME").decode()}
    return node(name, op, inputs, strides=strides, padding=padding, fused_ops=texts(*fused))


def written(nodes: list[dict[str, object]], weights: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """A graph and its weights, stored as float16."""
    entries = [
        {"name": name, "shape": list(value.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
        for name, value in weights.items()
    ]
    nodes = [*({"name": name, "op": "Const"} for name in weights), *nodes]
    graph = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["w.bin"], "weights": entries}]}
    return json.dumps(graph).encode(), b"".join(value.astype("<f2").tobytes() for value in weights.values())


def same_convolution(picture: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's convolution with padding "same", from its definition; channels last."""
    size = kernel.shape[0]
    out = [-(-n // stride) for n in picture.shape[:2]]
    missing = [max((o - 1) * stride + size - n, 0) for o, n in zip(out, picture.shape[:2], strict=True)]
    padded = np.pad(picture, [*((m // 2, m - m // 2) for m in missing), (0, 0)])
    result = np.zeros((*out, kernel.shape[3]))
    for y in range(out[0]):
        for x in range(out[1]):
            window = padded[y * stride : y * stride + size, x * stride : x * stride + size]
            result[y, x] = np.einsum("yxc,yxcd->d", window, kernel)
    return result


@pytest.mark.parametrize("shape", [(8, 10), (7, 9), (8, 5)])
def test_a_graph_is_computed_as_it_is_defined(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 3, 3, 4)).astype("f2"), rng.normal(size=4).astype("f2")
    each, scale = rng.normal(size=(3, 3, 4, 1)).astype("f2"), np.float16([[[[0.5, 1, 2]]]])
    nodes = [
        node("picture", "Placeholder", []),
        node("scaled", "Mul", ["picture", "scale"]),
        convolution("first", "_FusedConv2D", ["scaled", "kernel", "bias"], 2, "BiasAdd", "Relu6"),
        convolution("each", "DepthwiseConv2dNative", ["first", "kernels"], 1),
        node("sum", "AddV2", ["first", "each"]),
        node("size", "Shape", ["sum"]),
        node("a/large", "ResizeBilinear", ["sum", "size"], half_pixel_centers={"b": True}),
        node("unknown but not needed", "NonMaxSuppression", ["sum"]),
    ]
    graph = written(nodes, {"kernel": kernel, "bias": bias, "kernels": each, "scale": scale})
    picture = rng.integers(0, 5, (*shape, 3)).astype(float)
    made = PictureNetwork(*graph, ["/large", "sum"])(picture)

    first = np.clip(same_convolution(picture * [0.5, 1, 2], kernel.astype(float), 2) + bias, 0, 6)
    alone = [same_convolution(first[..., c : c + 1], each[:, :, c : c + 1].astype(float), 1) for c in range(4)]
    total = first + np.concatenate(alone, -1)
    assert made["sum"] == pytest.approx(total.transpose(2, 0, 1), rel=1e-5, abs=1e-5)
    large = made["/large"]
    assert large.shape == (4, 2 * total.shape[0], 2 * total.shape[1])
    assert large[:, 0, 0] == pytest.approx(total[0, 0], rel=1e-5)
    quarter = 0.75 * total[0, 0] + 0.25 * total[0, 1]
    assert large[:, 0, 1] == pytest.approx(quarter, rel=1e-5)


def test_graphs_that_are_none_or_unknown_are_refused() -> None:
    kernel = np.zeros((3, 3, 3, 2))
    start = node("picture", "Placeholder", [])
    plain = convolution("out", "_FusedConv2D", ["picture", "kernel"], 1)
    graph, weights = written([start, plain], {"kernel": kernel})
    assert PictureNetwork(graph, weights, ["out"])(np.zeros((4, 4, 3)))["out"].shape == (2, 4, 4)
    with pytest.raises(InputError, match="weights: the file ends in kernel"):
        PictureNetwork(graph, weights[:-2], ["out"])
    with pytest.raises(InputError, match="weights: 4 bytes more than the graph has"):
        PictureNetwork(graph, weights + bytes(4), ["out"])
    with pytest.raises(InputError, match="the graph has 0 nodes that end in heat; expected one"):
        PictureNetwork(graph, weights, ["heat"])
    for broken in (b"no json", b"[]", b"{}"):
        with pytest.raises(InputError, match=r"is no graph of TensorFlow\.js"):
            PictureNetwork(broken, weights, ["out"])
    for other, message in (
        (node("out", "MatMul", ["picture", "kernel"]), r"an operation that is not known: MatMul \(out\)"),
        (node("out", "Sub", ["kernel", "picture"]), "takes something from a constant"),
        (node("out", "ResizeBilinear", ["picture", "kernel"]), "resizes pictures by their corners"),
        (convolution("out", "_FusedConv2D", ["picture", "kernel"], 1, "Elu"), "an activation that is not known: Elu"),
        (node("out", "AddV2", ["out", "picture"]), "the graph goes in a circle at out"),
    ):
        with pytest.raises(InputError, match=message):
            PictureNetwork(*written([start, other], {"kernel": kernel}), ["out"])


# -- people in maps --------------------------------------------------------------------------------------------


def test_people_are_read_from_maps() -> None:
    rows, columns, joints = 16, 20, 3
    maps = Maps(
        np.zeros((1, rows, columns)), np.zeros((2, rows, columns)), np.zeros((2, rows, columns)),
        np.zeros((6, rows, columns)), np.zeros((joints, rows, columns)), np.zeros((6, rows, columns)),
    )  # fmt: skip
    places = {(8, 5): [(4, 5), (9, 4), (12, 7)], (7, 14): [(3, 14), (8, 15), (11, 13)]}  # rows and columns
    for surer, ((y, x), at) in enumerate(places.items()):
        maps.center[0, y, x] = 0.6 + 0.2 * surer
        maps.center[0, y, x + 1] = 0.5  # nearer than two people can be
        maps.scale[:, y, x] = 14, 8
        for joint, (row, column) in enumerate(at):
            maps.regress[2 * joint : 2 * joint + 2, y, x] = row - y + 1, column - x - 1  # about there
            maps.heat[joint, row, column] = 0.9
            maps.shift[2 * joint : 2 * joint + 2, row, column] = 0.25, 0.5
    found = people_in_maps(maps, most=3)
    for n, at in enumerate([list(places.values())[1], next(iter(places.values()))]):
        assert found.place[n].tolist() == [[column, row] for row, column in at]
        assert found.xy[n] == pytest.approx(np.array([[column + 0.5, row + 0.25] for row, column in at]))
        weight = np.exp(-2 / (0.3 * 16))
        assert found.score[n] == pytest.approx(0.9 * weight)
        assert found.sure[n] == pytest.approx((0.8, 0.6)[n] * 0.9 * weight)
    assert found.box[0] == pytest.approx([10, 0, 18, 14])
    assert found.sure[2] == 0


# -- squares ---------------------------------------------------------------------------------------------------


def test_an_upright_crop_is_the_picture_where_it_is_and_black_elsewhere() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    same = upright_crop(picture, Square(15.0, 10.0, 30.0, 0.0), 30, 20)
    assert (same == picture).all()
    beyond = upright_crop(picture, Square(5.0, 5.0, 20.0, 0.0), 20, 20)
    assert (beyond[5:, 5:] == picture[:15, :15]).all()
    assert not beyond[:5].any()
    assert not beyond[:, :5].any()
    assert not upright_crop(picture, Square(-50.0, 5.0, 20.0, 0.0), 32, 32).any()
    half = upright_crop(np.full((40, 60, 3), 77, np.uint8), Square(30.0, 20.0, 60.0, 0.0), 30, 20)
    assert np.abs(half - 77).max() <= 1
    large = upright_crop(picture, Square(15.0, 10.0, 10.0, 0.0), 40, 40)
    smooth = crop(picture, Square(14.625, 9.625, 10.0, 0.0), 40)  # whose first pixel's middle is its corner
    assert np.abs(large[8:-8, 8:-8] - smooth[8:-8, 8:-8]).max() < 40


def test_borders_count_where_they_cut_the_square() -> None:
    xy = np.array([[10.0, 50.0], [-5.0, 50.0], [99.0, 50.0]])
    assert np.isinf(border_distances(xy, Square(50.0, 50.0, 40.0, 0.0), (100, 100))).all()
    cut = border_distances(xy, Square(10.0, 50.0, 40.0, 0.0), (100, 100))
    assert cut == pytest.approx([10 / 40, -5 / 40, 0.0])


def test_parts_overlap_and_fill_the_picture() -> None:
    picture = np.zeros((600, 1000, 3), np.uint8)
    first, *parts = looks(picture, (0.6, 0.1), 224)
    assert first == whole(picture)
    assert {part.side for part in parts} == {600.0}
    assert {(part.x, part.y) for part in parts} == {(300.0, 300.0), (500.0, 300.0), (700.0, 300.0)}


# -- photographs -----------------------------------------------------------------------------------------------


def astronaut() -> np.ndarray:
    with files("poseterior").joinpath("examples/astronaut.jpg").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"))


@needs_movenet
def test_the_maps_are_those_of_tensorflow_js() -> None:
    """Nose to right hip (y, x, score), box and score, of what `@tensorflow/tfjs` 4.22 answers on its CPU backend."""
    golden = [
        0.2392, 0.4366, 0.6635, 0.202, 0.4831, 0.5459, 0.1945, 0.3999, 0.8308, 0.2298, 0.535, 0.6676, 0.2137, 0.3475,
        0.6976, 0.5039, 0.593, 0.6045, 0.4649, 0.2204, 0.5719, 0.7583, 0.6497, 0.3023, 0.7432, 0.1649, 0.1674,
    ]  # fmt: skip
    detector = load_detector("movenet")
    shown = np.ascontiguousarray(astronaut()[::2, ::2])
    assert shown.shape == (256, 256, 3)
    seen = detector.look(shown, whole(shown))[0]
    answer = np.column_stack([seen.xy[:9, ::-1] / 256, seen.score[:9]])
    assert answer == pytest.approx(np.array(golden).reshape(9, 3), abs=3e-3)
    assert seen.sure == pytest.approx(0.4503, abs=3e-3)


@needs_movenet
def test_a_portrait_and_its_mirror_image() -> None:
    detector = load_detector("movenet")
    picture = astronaut()
    (person,) = detector.detect(picture)
    at = person.keypoints.xy[detector.skeleton.index("nose")].numpy()
    assert np.linalg.norm(at - [222, 114]) < 20  # between the eyes and the mouth
    assert person.keypoints.skeleton.name == "coco17"
    assert not person.keypoints.visible[[detector.skeleton.index(f"{s}_ankle") for s in ("left", "right")]].any()
    assert (np.linalg.eigvalsh(person.keypoints.covariance.numpy()) > 0).all()
    (mirrored,) = detector.detect(np.ascontiguousarray(picture[:, ::-1]))
    turned = mirrored.keypoints.xy.numpy()[list(detector.skeleton.mirror)] * [-1, 1] + [picture.shape[1], 0]
    face = [detector.skeleton.index(name) for name in ("nose", "left_eye", "right_eye")]
    assert np.linalg.norm(turned[face] - person.keypoints.xy.numpy()[face], axis=-1).max() < 15


@needs_movenet
def test_somebody_is_followed_and_walls_are_nobody() -> None:
    detector = load_detector("movenet")
    picture = astronaut()
    before = detector.detect(picture)
    moved = np.roll(picture, 8, axis=1)
    (after,) = detector.follow(moved, before)
    shift = (after.keypoints.xy - before[0].keypoints.xy)[:5].mean(0).numpy()
    assert shift == pytest.approx([8, 0], abs=4)
    assert detector.follow(np.full_like(picture, 120), before) == []
    for size in ((16, 16), (17, 900), (900, 17)):
        assert detector.detect(np.full((*size, 3), 120, np.uint8)) == []


@needs_movenet
def test_what_is_no_picture_is_refused() -> None:
    detector = load_detector("movenet")
    with pytest.raises(InputError, match=r"picture: expected \(height, width, 3\) uint8 RGB"):
        detector.detect(np.zeros((4, 4)))
