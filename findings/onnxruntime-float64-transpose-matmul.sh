#!/usr/bin/env bash
# One would guess: a valid ONNX model that runs without graph optimisation runs with it (the default), in float64 as in
# float32: optimisation changes speed alone.
# What happens: up to ONNX Runtime 1.25.1 a Transpose before a MatMul of float64 is fused into FusedMatMul, for which
# the CPU has a kernel of float32 only: the session is refused ("Failed to find kernel for com.microsoft.FusedMatMul").
# With ORT_ENABLE_BASIC, or as float32, the same graph runs; 1.26.0 runs it at every level.
# Version: onnxruntime 1.24.1 and 1.26.0, onnx 1.17.0, numpy 2.2.6. Source: the runtime's own message and
# https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 -m venv "$folder/venv"
cd "$folder"
cat > run.py <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

def model(kind):
    nodes = [helper.make_node("Transpose", ["a"], ["t"], perm=[0, 2, 1]), helper.make_node("MatMul", ["t", "b"], ["y"])]
    shapes = {"a": [2, 3, 4], "b": [2, 3, 5], "y": [2, 4, 5]}
    a, b, y = (helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items())
    made = helper.make_model(
        helper.make_graph(nodes, "product", [a, b], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()

levels = ort.GraphOptimizationLevel
for kind, dtype in ((TensorProto.FLOAT, np.float32), (TensorProto.DOUBLE, np.float64)):
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_BASIC, levels.ORT_ENABLE_EXTENDED, levels.ORT_ENABLE_ALL):
        options = ort.SessionOptions()
        options.graph_optimization_level, options.log_severity_level = level, 4
        try:
            session = ort.InferenceSession(model(kind), options, providers=["CPUExecutionProvider"])
            session.run(None, {"a": np.ones((2, 3, 4), dtype), "b": np.ones((2, 3, 5), dtype)})
            found = "runs"
        except Exception as error:
            assert "FusedMatMul" in str(error), error
            found = "refused"
        print(ort.__version__, np.dtype(dtype).name, level.name, found)
        fused = dtype is np.float64 and level in (levels.ORT_ENABLE_EXTENDED, levels.ORT_ENABLE_ALL)
        assert found == ("refused" if fused and sys.argv[1] == "refuses" else "runs")
PY
venv/bin/pip install -q --disable-pip-version-check onnxruntime==1.24.1 onnx==1.17.0 numpy==2.2.6
venv/bin/python run.py refuses
venv/bin/pip install -q --disable-pip-version-check onnxruntime==1.26.0
venv/bin/python run.py runs
