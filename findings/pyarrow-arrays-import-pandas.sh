#!/usr/bin/env bash
# One would guess: pyarrow imports pandas when somebody converts to or from pandas; a NumPy array that becomes a column,
# or a column that becomes a NumPy array, does not.
# What happens: `pyarrow.array`, `pyarrow.scalar` and `Array.to_numpy` look for pandas at their first call, and import
# all of it wherever it is installed: a quarter of a second of the processor, and its memory, for a program that never
# uses it. With buffers (`Array.from_buffers`, `Array.buffers`) the same columns are made and read without.
# Version: pyarrow 26.0.1, pandas 3.1.1. Source: https://arrow.apache.org/docs/python/numpy.html
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyarrow==26.0.1 pandas==3.1.1
cd "$folder"
cat > said.py <<'PY'
import sys
import time

import numpy as np
import pyarrow as pa

values = np.arange(3, dtype=np.float32)
column = pa.Array.from_buffers(pa.float32(), 3, [None, pa.py_buffer(values)])
start = time.process_time()
found = eval(sys.argv[1])
took = time.process_time() - start
print(f"{sys.argv[1]:58} pandas imported: {'pandas' in sys.modules!s:5} {took:.2f} s")
sys.exit(("pandas" in sys.modules) != (sys.argv[2] == "imports"))
PY
for call in "pa.array(values)" "pa.array(['a', 'b'])" "pa.scalar(1.0)" "column.to_numpy()"; do
  venv/bin/python said.py "$call" imports
done
for call in "pa.py_buffer(values)" "np.frombuffer(column.buffers()[1], np.float32)" "pa.table({'x': column})"; do
  venv/bin/python said.py "$call" not
done
