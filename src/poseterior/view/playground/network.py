"""A lifter's network as a page runs it: an ONNX file, in which what needs no input is computed already."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ...lifters import Lifter
from ...lifting.onnx_files import export_onnx
from .runtime import need_packages

__all__ = ["network_of"]


def network_of(lifter: Lifter, level: float) -> tuple[bytes, dict[str, str]]:
    """The ONNX file of a lifter, and what it tells of itself.

    Browsers take seconds to simplify a graph: it is done here, with the operators of the standard only, so that any
    version of the runtime can compute it.

    Args:
        lifter: from `poseterior.load`.
        level: probability of the radii.

    Raises:
        InputError: as `poseterior.lifting.onnx_files.export_onnx`; onnxruntime is missing.
    """
    need_packages()
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="poseterior-") as folder:
        traced, simple = Path(folder) / "traced.onnx", Path(folder) / "simple.onnx"
        told = export_onnx(lifter, traced, level)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(simple)
        options.log_severity_level = 3  # not that a file was written
        onnxruntime.InferenceSession(traced, options, providers=["CPUExecutionProvider"])
        return simple.read_bytes(), told
