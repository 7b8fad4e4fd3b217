"""glTF 2.0 skeletons (``.glb``, ``.gltf``): the joints of a skin and their animation, as a motion.

What is read is JSON and plain numbers: node transforms, one skin, one animation (all its channels of translation and
rotation, linear, step or cubic; quaternions along the great circle), after the specification of Khronos
(glTF 2.0, sections 3.6 and 3.11). Meshes, cameras and extensions are left alone. glTF's lengths are metres and its y
is up; armatures that are scaled (Mixamo's by 0.01) are read as they stand in the world. The bind pose comes from the
inverse bind matrices, or from the nodes where there are none.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import roma
import torch

from ...files.checks import absent, quote
from ...files.errors import InputError
from ...files.reading import reader
from .motion import Array, Motion, checked

__all__ = [
    "read_gltf",
]

_log = logging.getLogger(__name__)

_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
#: More than any file of a person has.
_MOST_NODES, _MOST_FRAMES, _LARGEST = 20_000, 2_000_000, 2_000_000_000


class _Document:
    """A glTF file: its JSON and its buffers, checked where they are used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.stat().st_size > _LARGEST:
            raise self.fail(f"is larger than {_LARGEST} bytes")
        data = path.read_bytes()
        self.binary = b""
        text = data
        if data[:4] == b"glTF":
            text = self._chunks(data)
        try:
            self.json: Any = json.loads(text.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            raise self.fail("not a glTF file (no JSON)") from None
        version = self.json.get("asset", {}).get("version") if isinstance(self.json, dict) else None
        if not isinstance(version, str) or not version.startswith("2."):
            raise self.fail(f"asset.version is {quote(version)}; expected glTF 2.0")
        self.buffers: dict[int, bytes] = {}

    def fail(self, message: str) -> InputError:
        return InputError(f"{self.path}: {message}")

    def _chunks(self, data: bytes) -> bytes:
        text, at = b"", 12
        while at + 8 <= len(data):
            length, kind = struct.unpack_from("<II", data, at)
            chunk = data[at + 8 : at + 8 + length]
            if len(chunk) != length:
                raise self.fail("ends early; the file is truncated")
            if kind == _JSON and not text:
                text = chunk
            elif kind == _BIN and not self.binary:
                self.binary = chunk
            at += 8 + length
        return text

    def items(self, name: str) -> list[dict[str, Any]]:
        """A list of objects at the top, empty where there is none."""
        found = self.json.get(name, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.fail(f"{name}: expected a list of objects")
        return found

    def item(self, name: str, index: Any) -> dict[str, Any]:
        found = self.items(name)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(found):
            raise self.fail(f"{name}: no entry {quote(index)}; there are {len(found)}")
        return found[index]

    def integer(self, item: dict[str, Any], key: str, default: int | None = None) -> int:
        value = item.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fail(f"{key} is {quote(value)}; expected a whole number of at least 0")
        return value

    def buffer(self, index: int) -> bytes:
        if index not in self.buffers:
            uri = self.item("buffers", index).get("uri")
            if uri is None:
                self.buffers[index] = self.binary
            elif isinstance(uri, str) and uri.startswith("data:"):
                try:
                    self.buffers[index] = base64.b64decode(uri.partition(",")[2], validate=True)
                except (binascii.Error, ValueError):
                    raise self.fail(f"buffers {index}: its data URI is not base64") from None
            else:
                self.buffers[index] = self._beside(uri)
        return self.buffers[index]

    def _beside(self, uri: Any) -> bytes:
        name = unquote(uri) if isinstance(uri, str) else ""
        file = (self.path.parent / name).resolve() if name and "\0" not in name else self.path.parent
        if not name or "://" in name or not file.is_relative_to(self.path.parent.resolve()) or not file.is_file():
            raise self.fail(f"buffers: {quote(uri)} is no file in its folder; keep the .bin beside it, or save as .glb")
        if file.stat().st_size > _LARGEST:
            raise self.fail(f"buffers: {quote(uri)} is larger than {_LARGEST} bytes")
        return file.read_bytes()

    def numbers(self, index: Any, kind: str) -> Array:
        """``(count, columns)`` of an accessor, whole numbers scaled where they are normalised."""
        accessor = self.item("accessors", index)
        columns, component = _SIZES[kind], _TYPES.get(accessor.get("componentType", 0))
        if accessor.get("type") != kind or component is None or "sparse" in accessor:
            raise self.fail(f"accessors {index}: expected plain {kind}, found {quote(accessor.get('type'))}")
        count = self.integer(accessor, "count")
        view = self.item("bufferViews", accessor.get("bufferView"))
        data = self.buffer(self.integer(view, "buffer"))
        width = np.dtype(component).itemsize * columns
        stride = self.integer(view, "byteStride", width) or width
        start = self.integer(view, "byteOffset", 0) + self.integer(accessor, "byteOffset", 0)
        if count == 0 or stride < width or start + stride * (count - 1) + width > len(data):
            raise self.fail(f"accessors {index}: {count} entries do not fit its buffer; the file may be truncated")
        rows = np.ndarray((count, columns), component, data, start, (stride, np.dtype(component).itemsize))
        values = rows.astype(np.float64)
        if component != "<f4" and accessor.get("normalized"):
            values = np.maximum(values / np.iinfo(np.dtype(component)).max, -1.0)
        if not np.isfinite(values).all():
            raise self.fail(f"accessors {index}: holds values that are not finite")
        return values


def _vector(document: _Document, node: dict[str, Any], key: str, default: tuple[float, ...]) -> Array:
    value = node.get(key, list(default))
    numbers = isinstance(value, list) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    if not numbers or len(value) != len(default) or not np.isfinite(np.array(value, dtype=np.float64)).all():
        raise document.fail(f"node {quote(node.get('name'))}: {key}: expected {len(default)} finite numbers")
    return np.array(value, dtype=np.float64)


def _transform(document: _Document, node: dict[str, Any]) -> tuple[Array, Array, Array]:
    """Translation, rotation xyzw and scale of a node."""
    if "matrix" in node:
        matrix = _vector(document, node, "matrix", tuple(np.eye(4).ravel())).reshape(4, 4).T
        scale = np.linalg.norm(matrix[:3, :3], axis=0)
        if not (scale > 1e-12).all():
            raise document.fail(f"node {quote(node.get('name'))}: its matrix has no size")
        return matrix[:3, 3], _quaternion(matrix[:3, :3] / scale), scale
    return (
        _vector(document, node, "translation", (0.0, 0.0, 0.0)),
        _vector(document, node, "rotation", (0.0, 0.0, 0.0, 1.0)),
        _vector(document, node, "scale", (1.0, 1.0, 1.0)),
    )


def _quaternion(matrix: Array) -> Array:
    near = roma.special_procrustes(torch.from_numpy(np.ascontiguousarray(matrix)))
    return roma.rotmat_to_unitquat(near).numpy()


def _parents(document: _Document, nodes: list[dict[str, Any]]) -> list[int]:
    parents = [-1] * len(nodes)
    for index, node in enumerate(nodes):
        children = node.get("children", [])
        if not isinstance(children, list):
            raise document.fail("nodes: children: expected a list of nodes")
        for child in children:
            document.item("nodes", child)
            if parents[child] >= 0 or child == index:
                raise document.fail(f"nodes: {child} hangs on two others")
            parents[child] = index
    for index in range(len(nodes)):
        seen, at = set(), index
        while at >= 0:
            if at in seen:
                raise document.fail("nodes hang on each other in a circle")
            seen.add(at)
            at = parents[at]
    return parents


def _joints(document: _Document, nodes: list[dict[str, Any]], parents: list[int]) -> tuple[list[int], dict[int, Array]]:
    """The nodes of the skeleton, parents first, and the bind matrices of those that have one."""
    skins = document.items("skins")
    bind: dict[int, Array] = {}
    chosen: set[int] = set()
    if skins:
        skin = max(skins, key=lambda item: len(item.get("joints", [])) if isinstance(item.get("joints"), list) else 0)
        joints = skin.get("joints", [])
        if not isinstance(joints, list):
            raise document.fail("skins: joints: expected a list of nodes")
        for joint in joints:
            document.item("nodes", joint)
            chosen.add(joint)
        if "inverseBindMatrices" in skin:
            inverse = document.numbers(skin["inverseBindMatrices"], "MAT4").reshape(-1, 4, 4).transpose(0, 2, 1)
            if len(inverse) >= len(joints) and (np.abs(np.linalg.det(inverse[:, :3, :3])) > 1e-12).all():
                bind = {joint: np.linalg.inv(matrix) for joint, matrix in zip(joints, inverse, strict=False)}
    else:
        meshes = {index for index, node in enumerate(nodes) if "mesh" in node or "camera" in node}
        chosen = {index for index in range(len(nodes)) if index not in meshes}
    # ancestors between joints belong to the tree; a leaf of a skin may be left out of it, and is taken with it
    whole = set(chosen)
    for joint in chosen:
        way, at = [], parents[joint]
        while at >= 0 and at not in chosen:
            way.append(at)
            at = parents[at]
        if at >= 0:
            whole.update(way)
    if skins:
        for index, parent in enumerate(parents):
            if parent in chosen and "mesh" not in nodes[index] and not nodes[index].get("children"):
                whole.add(index)
    depth = {}
    for joint in whole:
        at, steps = joint, 0
        while parents[at] >= 0:
            at, steps = parents[at], steps + 1
        depth[joint] = steps
    return sorted(whole, key=lambda joint: (depth[joint], joint)), bind


def _sampled(
    document: _Document, channel: dict[str, Any], animation: dict[str, Any], times: Array, path: str
) -> Array | None:
    samplers = animation.get("samplers", [])
    index = channel.get("sampler")
    if not isinstance(samplers, list) or not isinstance(index, int) or not 0 <= index < len(samplers):
        raise document.fail("animations: a channel without its sampler")
    sampler = samplers[index]
    keys = document.numbers(sampler.get("input"), "SCALAR")[:, 0]
    values = document.numbers(sampler.get("output"), "VEC4" if path == "rotation" else "VEC3")
    way = sampler.get("interpolation", "LINEAR")
    if (np.diff(keys) <= 0).any() or len(values) != len(keys) * (3 if way == "CUBICSPLINE" else 1):
        raise document.fail(f"animations: {len(keys)} times and {len(values)} values of {path} do not fit")
    upper = np.clip(np.searchsorted(keys, times, side="right"), 1, max(len(keys) - 1, 1))
    lower = np.minimum(upper - 1, len(keys) - 1)
    upper = np.minimum(upper, len(keys) - 1)
    span = keys[upper] - keys[lower]
    part = np.clip(np.where(span > 0, (times - keys[lower]) / np.where(span > 0, span, 1.0), 0.0), 0.0, 1.0)[:, None]
    if way == "CUBICSPLINE":
        incoming, points, outgoing = values[0::3], values[1::3], values[2::3]
        t2, t3, width = part**2, part**3, span[:, None]
        result = (
            (2 * t3 - 3 * t2 + 1) * points[lower] + (t3 - 2 * t2 + part) * width * outgoing[lower]
            + (3 * t2 - 2 * t3) * points[upper] + (t3 - t2) * width * incoming[upper]
        )  # fmt: skip
    elif way == "STEP":
        # times are single precision in the file: what is at a key to a hundredth of a millisecond is at it
        result = values[np.clip(np.searchsorted(keys, times + 1e-5, side="right") - 1, 0, len(keys) - 1)]
    elif path == "rotation":
        first, last = (torch.from_numpy(_normal(values[index])) for index in (lower, upper))
        way_there = roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(first), last))
        result = roma.quat_product(first, roma.rotvec_to_unitquat(torch.from_numpy(part) * way_there)).numpy()
    else:
        result = (1 - part) * values[lower] + part * values[upper]
    return _normal(result) if path == "rotation" else result


def _normal(quaternions: Array) -> Array:
    return quaternions / np.maximum(np.linalg.norm(quaternions, axis=-1, keepdims=True), 1e-12)


def _times(document: _Document, animation: dict[str, Any], channels: list[dict[str, Any]], fps: float | None) -> Array:
    """The times to sample at: the file's own keys' step, or the rate that was asked for."""
    samplers = animation.get("samplers", [])
    keys = []
    for channel in channels:
        index = channel.get("sampler")
        if isinstance(samplers, list) and isinstance(index, int) and 0 <= index < len(samplers):
            keys.append(document.numbers(samplers[index].get("input"), "SCALAR")[:, 0])
    every = np.unique(np.concatenate(keys)) if keys else np.zeros(1)
    steps = np.diff(max(keys, key=len)) if keys else np.zeros(0)
    step = float(np.median(steps)) if len(steps) else 1 / 30
    rate = fps if fps is not None else 1.0 / step if step > 0 else 30.0
    whole = round(rate)
    rate = float(whole) if whole and abs(rate - whole) < 0.02 else rate
    count = int(np.floor((every[-1] - every[0]) * rate + 1e-3)) + 1
    if not 1 <= count <= _MOST_FRAMES:
        raise document.fail(f"animations: {count} frames at {rate:g} a second; expected at most {_MOST_FRAMES}")
    return every[0] + np.arange(count) / rate


@reader()
def read_gltf(path: str | Path, fps: float | None = None) -> Motion:
    """Read the skeleton and the first animation of a glTF 2.0 file.

    Args:
        path: ``.glb``, or ``.gltf`` with its buffers inside or beside it.
        fps: frames per second to sample at; by default those of the animation's own keys.

    Returns:
        The motion of the skin's joints in metres, y up, with the bind pose as its rest. A file without an animation
        gives one frame.

    Raises:
        InputError: not glTF 2.0, an entry that does not fit, numbers that are not finite, no skeleton.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: {absent(path)}")
    document = _Document(path)
    nodes = document.items("nodes")
    if not 1 <= len(nodes) <= _MOST_NODES:
        raise document.fail(f"{len(nodes)} nodes; expected 1 to {_MOST_NODES}")
    parents = _parents(document, nodes)
    joints, bind = _joints(document, nodes, parents)
    if len(joints) < 2:
        raise document.fail("no skeleton: no skin with joints, and no nodes that could be joints")
    animations = document.items("animations")
    animation = animations[0] if animations else {}
    if len(animations) > 1:
        names = ", ".join(str(item.get("name", number)) for number, item in enumerate(animations))
        _log.warning("%s: %d animations (%s); the first is read", path.name, len(animations), names[:200])
    channels = animation.get("channels", [])
    if not isinstance(channels, list) or not all(isinstance(channel, dict) for channel in channels):
        raise document.fail("animations: channels: expected a list of objects")
    times = _times(document, animation, channels, fps)

    translation, rotation, scale = (list(part) for part in zip(*(_transform(document, n) for n in nodes), strict=True))
    rest = [translation.copy(), rotation.copy()]
    for channel in channels:
        target = channel.get("target", {})
        node, what = (target.get("node"), target.get("path")) if isinstance(target, dict) else (None, None)
        if node is None or what not in ("translation", "rotation"):
            continue
        document.item("nodes", node)
        (translation if what == "translation" else rotation)[node] = _sampled(document, channel, animation, times, what)

    places, turned, _ = _world(parents, translation, rotation, scale, len(times))
    _, calm, _ = _world(parents, rest[0], rest[1], scale, 1)
    order = {joint: number for number, joint in enumerate(joints)}
    own_parents = []
    for joint in joints:
        at = parents[joint]
        while at >= 0 and at not in order:
            at = parents[at]
        own_parents.append(order.get(at, -1))
    at_rest = np.stack([calm[joint][0] for joint in joints])
    if bind and all(joint in bind for joint in joints):
        at_rest = np.stack([_quaternion(_unscaled(bind[joint])) for joint in joints])
    rate = 1.0 / (times[1] - times[0]) if len(times) > 1 else (fps or 30.0)
    motion = Motion(
        _names(nodes, joints), tuple(own_parents), np.stack([places[joint] for joint in joints], 1),
        np.stack([turned[joint] for joint in joints], 1), float(round(rate, 6)), at_rest,
    )  # fmt: skip
    return checked(motion, path)


def _unscaled(matrix: Array) -> Array:
    return matrix[:3, :3] / np.maximum(np.linalg.norm(matrix[:3, :3], axis=0), 1e-12)


def _names(nodes: list[dict[str, Any]], joints: list[int]) -> tuple[str, ...]:
    names: list[str] = []
    for joint in joints:
        name = str(nodes[joint].get("name", f"node{joint}"))
        names.append(name if name not in names else f"{name}#{joint}")
    return tuple(names)


def _world(
    parents: list[int], translation: list[Array], rotation: list[Array], scale: list[Array], frames: int
) -> tuple[dict[int, Array], dict[int, Array], dict[int, Array]]:
    """Global places ``(frames, 3)``, turns ``(frames, 4)`` and sizes ``(3,)`` of all nodes."""
    places: dict[int, Array] = {}
    turned: dict[int, Array] = {}
    sizes: dict[int, Array] = {}

    def visit(node: int) -> None:
        step = np.broadcast_to(translation[node], (frames, 3)).copy()
        turn = np.broadcast_to(_normal(np.asarray(rotation[node])), (frames, 4)).copy()
        parent = parents[node]
        if parent < 0:
            places[node], turned[node], sizes[node] = step, turn, scale[node]
            return
        above = torch.from_numpy(turned[parent])
        places[node] = places[parent] + roma.quat_action(above, torch.from_numpy(step * sizes[parent])).numpy()
        turned[node] = roma.quat_product(above, torch.from_numpy(turn)).numpy()
        sizes[node] = sizes[parent] * scale[node]

    waiting = [node for node, parent in enumerate(parents) if parent < 0]
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(parents):
        children.setdefault(parent, []).append(node)
    while waiting:
        node = waiting.pop()
        visit(node)
        waiting.extend(children.get(node, []))
    return places, turned, sizes
