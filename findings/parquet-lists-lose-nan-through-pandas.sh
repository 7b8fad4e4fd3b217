#!/usr/bin/env bash
# One would guess: a Parquet column of lists of numbers, read and written by pandas, holds the same numbers afterwards;
# a missing joint's NaN stays NaN.
# What happens: pandas hands the lists to pyarrow as numpy arrays, and pyarrow's conversion "from pandas" turns every
# NaN inside them into null. Readers that take the lists' values as numbers then find fewer of them, or refuse nulls.
# Version: pandas 2.3.3, pyarrow 21.0.0. Source: https://arrow.apache.org/docs/python/pandas.html
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pandas==2.3.3 pyarrow==21.0.0
cd "$folder"
venv/bin/python - <<'PY'
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

nan = float("nan")
pq.write_table(pa.table({"x": pa.array([[1.0, nan, 3.0]], pa.list_(pa.float32(), 3))}), "before.parquet")
pd.read_parquet("before.parquet").to_parquet("after.parquet")
before, after = (pq.read_table(f"{name}.parquet")["x"].combine_chunks() for name in ("before", "after"))
print("before:", before.type, before.flatten().to_pylist(), "nulls:", before.flatten().null_count)
print("after: ", after.type, after.flatten().to_pylist(), "nulls:", after.flatten().null_count)
assert before.flatten().null_count == 0
assert after.flatten().null_count == 1
PY
