"""Convolutional networks in TensorFlow.js's format (a graph in JSON, weights in one binary file), run by torch.

Only what small networks for pictures are made of is known: convolutions with their activations, sums, and pictures
made twice as large. A graph that asks for more is refused. Nothing of such a file is executed as code.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..files.errors import InputError
from .base import Array

__all__ = ["PictureNetwork", "read_weights"]

_TYPES = {"float32": "<f4", "float16": "<f2", "int32": "<i4"}
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Relu6": lambda x: x.clamp(0.0, 6.0),
    "Relu": torch.relu,
}


def read_weights(manifest: Sequence[Mapping[str, Any]], content: bytes) -> dict[str, Array]:
    """Weights by name, from the manifest of the JSON file and the one file that they are in.

    Numbers that are stored as float16 are float32 here, as they are in TensorFlow.js.

    Raises:
        InputError: the file is shorter or longer than the manifest says, or holds numbers of another kind.
    """
    weights, at = {}, 0
    for entry in (one for group in manifest for one in group["weights"]):
        kind = entry.get("quantization", {}).get("dtype", entry["dtype"])
        if kind not in _TYPES:
            raise InputError(f"weights: {entry['name']} is of {kind}; expected {', '.join(_TYPES)}")
        count = math.prod(entry["shape"])
        size = count * np.dtype(_TYPES[kind]).itemsize
        if at + size > len(content):
            raise InputError(f"weights: the file ends in {entry['name']}")
        stored = np.frombuffer(content, _TYPES[kind], count, at).reshape(entry["shape"])
        weights[entry["name"]] = stored.astype(np.int64 if kind == "int32" else np.float32)
        at += size
    if at != len(content):
        raise InputError(f"weights: {len(content) - at} bytes more than the graph has")
    return weights


class PictureNetwork:
    """Maps that a graph computes of a picture.

    Args:
        graph: the JSON file.
        weights: the file of the weights.
        outputs: ends of the names of the nodes that are wanted; what they do not need is left out.

    Raises:
        InputError: no such graph; an operation in it is not known.
    """

    def __init__(self, graph: bytes, weights: bytes, outputs: Sequence[str]) -> None:
        try:
            data = json.loads(graph)
            nodes = {node["name"]: node for node in data["modelTopology"]["node"]}
            manifest = data["weightsManifest"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"is no graph of TensorFlow.js ({error})") from None
        values = read_weights(manifest, weights)
        ends = {end: [name for name in nodes if name.endswith(end)] for end in outputs}
        for end, found in ends.items():
            if len(found) != 1:
                raise InputError(f"the graph has {len(found)} nodes that end in {end}; expected one")
        self._outputs = {end: found[0] for end, found in ends.items()}
        self._inputs: list[str] = []
        self._steps: list[tuple[str, list[str], Callable[..., Tensor]]] = []
        for name in _in_order(nodes, list(self._outputs.values()), set(values)):
            node = nodes[name]
            if node["op"] == "Placeholder":
                self._inputs.append(name)
                continue
            needed = _names(node)
            step = _step(node, [values[i] for i in needed if i in values], needed[0] in values)
            self._steps.append((name, _computed(node, needed, set(values)), step))
        if len(self._inputs) != 1:
            raise InputError(f"the graph takes {len(self._inputs)} inputs; expected one picture")

    @torch.inference_mode()
    def __call__(self, picture: Array) -> dict[str, Array]:
        """The wanted maps ``(channels, height', width')`` by the ends of their names, of ``(height, width, 3)``."""
        given = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
        made = {self._inputs[0]: given.contiguous(memory_format=torch.channels_last)}
        for name, needed, step in self._steps:
            made[name] = step(*(made[i] for i in needed))
        return {end: made[name][0].numpy() for end, name in self._outputs.items()}


def _in_order(nodes: Mapping[str, Any], wanted: Sequence[str], known: set[str]) -> list[str]:
    """The names of the nodes that some need, each after what it needs itself."""
    order: dict[str, None] = {}
    open_ones = list(reversed(wanted))
    while open_ones:
        name = open_ones[-1]
        needed = [] if name in order else _computed(nodes[name], _names(nodes[name]), known)
        missing = [i for i in needed if i not in order]
        if missing and len(open_ones) <= len(nodes):
            open_ones.extend(missing)
            continue
        if missing:
            raise InputError(f"the graph goes in a circle at {name}")
        order[open_ones.pop()] = None
    return list(order)


def _names(node: Mapping[str, Any]) -> list[str]:
    return [i.split(":")[0] for i in node.get("input", []) if not i.startswith("^")]


def _computed(node: Mapping[str, Any], needed: Sequence[str], known: set[str]) -> list[str]:
    """Of what a node needs, what is computed; of a resized picture not its size: that is twice the other."""
    computed = [i for i in needed if i not in known]
    return computed[:1] if node["op"] == "ResizeBilinear" else computed


# -- operations --------------------------------------------------------------------------------------------------------


def _step(node: Mapping[str, Any], constants: Sequence[Array], constant_first: bool) -> Callable[..., Tensor]:
    """What a node does to what is computed before it."""
    kind = node["op"]
    if kind in ("_FusedConv2D", "Conv2D", "FusedDepthwiseConv2dNative", "DepthwiseConv2dNative"):
        return _convolution(node, constants, "Depthwise" in kind)
    if kind == "ResizeBilinear":
        if not _attribute(node, "half_pixel_centers", "b", False):
            raise InputError(f"the graph resizes pictures by their corners ({node['name']}); only by middles is known")
        return lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    if kind in ("Cast", "Identity"):
        return lambda x: x
    if kind in _SUMS and len(constants) < 2:
        apply = _SUMS[kind]
        if not constants:
            return apply
        if constant_first:
            raise InputError(f"the graph takes something from a constant ({node['name']}), which is not known")
        value = torch.from_numpy(_channels_first(constants[0]))
        return lambda x: apply(x, value)
    raise InputError(f"the graph has an operation that is not known: {kind} ({node['name']})")


_SUMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "AddV2": torch.add, "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul,
}  # fmt: skip


def _channels_first(constant: Array) -> Array:
    """A constant that is added to maps ``(1, height, width, channels)`` or multiplied with them."""
    return np.ascontiguousarray(constant.transpose(0, 3, 1, 2) if constant.ndim == 4 else constant, np.float32)


def _convolution(node: Mapping[str, Any], constants: Sequence[Array], each: bool) -> Callable[..., Tensor]:
    """A convolution, of every channel by itself where ``each``, its bias and its activation."""
    name = node["name"]
    kernel = torch.from_numpy(constants[0].transpose(2, 3, 0, 1) if each else constants[0].transpose(3, 2, 0, 1))
    if each and kernel.shape[1] != 1:
        raise InputError(f"the graph has {kernel.shape[1]} kernels to a channel in {name}; only one is known")
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    bias = torch.from_numpy(constants[1].copy()) if len(constants) > 1 else None
    groups = kernel.shape[0] if each else 1
    strides = [int(number) for number in _attribute(node, "strides", "list", {})["i"]]
    stride = strides[1]
    dilations = {int(number) for number in _attribute(node, "dilations", "list", {"i": [1]}).get("i", [1])}
    padding = base64.b64decode(_attribute(node, "padding", "s", "")).decode()
    if strides != [1, stride, stride, 1] or dilations != {1} or padding not in ("SAME", "VALID"):
        raise InputError(f"the graph has a convolution that is not known: {name} ({strides}, {dilations}, {padding})")
    fused = [base64.b64decode(text).decode() for text in _attribute(node, "fused_ops", "list", {}).get("s", [])]
    unknown = [one for one in fused if one not in ("BiasAdd", *_ACTIVATIONS)]
    if unknown:
        raise InputError(f"the graph has an activation that is not known: {', '.join(unknown)} ({name})")
    after = [_ACTIVATIONS[one] for one in fused if one in _ACTIVATIONS]
    size, same = kernel.shape[-1], padding == "SAME"

    def run(x: Tensor) -> Tensor:
        # TensorFlow's "same": where an odd number of pixels is missing, one more behind than before
        rows, columns = (max((-(-n // stride) - 1) * stride + size - n, 0) if same else 0 for n in x.shape[-2:])
        if rows % 2 or columns % 2:
            x = functional.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            x = functional.conv2d(x, kernel, bias, stride, 0, 1, groups)
        else:
            x = functional.conv2d(x, kernel, bias, stride, (rows // 2, columns // 2), 1, groups)
        for activation in after:
            x = activation(x)
        return x

    return run


def _attribute(node: Mapping[str, Any], name: str, kind: str, default: Any) -> Any:
    return node.get("attr", {}).get(name, {}).get(kind, default)
