"""What the tests of detectors share: whether BlazePose's model is there, photographs, and networks made of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from poseterior.detect.base import Array
from poseterior.detect.detectors import blazepose
from poseterior.files.extras import installed
from poseterior.files.fetched import fetched

#: For tests that look with BlazePose; `.ci/run` fetches its model.
needs_blazepose = pytest.mark.skipif(
    not (installed("ai_edge_litert") and installed("platformdirs") and fetched(blazepose.SOURCE)),
    reason="BlazePose's model is not on this machine: poseterior detectors fetch blazepose",
)


def save_network(
    path: Path, size: tuple[int, int], outputs: dict[str, Array], metadata: dict[str, str] | None = None
) -> None:
    """An ONNX network that takes a picture of this width and height and answers always the same."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, size[1], size[0]])
    nodes, infos = [], []
    for name, value in outputs.items():
        constant = numpy_helper.from_array(np.asarray(value), f"{name}_value")
        nodes.append(helper.make_node("Constant", [], [name], value=constant))
        infos.append(helper.make_tensor_value_info(name, constant.data_type, list(np.shape(value))))
    graph = helper.make_graph(nodes, "network", [picture], infos)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def simcc(places: Sequence[float], bins: int, spread: float) -> Array:
    """``(1, joints, bins)`` logits whose softmax, made ten times sharper, is a Gaussian around each place (bins)."""
    at = np.arange(bins)
    logits = 1.0 - (at - np.array(places)[:, None]) ** 2 / (2 * 10 * spread**2)
    return logits[None].astype(np.float32)
