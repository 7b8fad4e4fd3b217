#!/usr/bin/env bash
# One would guess: key-value metadata in the footer of a Parquet file is what pyarrow.parquet.read_schema(...).metadata
# shows, whoever wrote the file.
# What happens: where the footer also stores an Arrow schema (key ARROW:schema), which polars writes, pyarrow takes the
# metadata from that schema alone; keys that stand in the footer are in ParquetFile(...).metadata.metadata only.
# Version: polars 1.34.0, pyarrow 21.0.0. Source: https://arrow.apache.org/docs/cpp/parquet.html
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check polars==1.34.0 pyarrow==21.0.0
cd "$folder"
venv/bin/python - <<'PY'
import polars as pl
import pyarrow.parquet as pq

pl.DataFrame({"frame": [0, 1]}).write_parquet("a.parquet", metadata={"fps": "60"})
footer = pq.ParquetFile("a.parquet").metadata.metadata
schema = pq.read_schema("a.parquet").metadata
print("footer:", {key: value for key, value in footer.items() if key != b"ARROW:schema"})
print("read_schema(...).metadata:", schema)
assert footer[b"fps"] == b"60"
assert not schema or b"fps" not in schema
PY
