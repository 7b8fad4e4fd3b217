"""Columns of Parquet files as arrays and back, without pandas, which pyarrow imports for both where it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import poseterior as pp
from poseterior.files.parquet import array_of, column_of, text_column

RANDOM = np.random.default_rng(0)
ARRAYS = [
    RANDOM.normal(size=11), RANDOM.normal(size=11).astype(np.float32), RANDOM.normal(size=11).astype(np.float16),
    RANDOM.integers(-9, 9, 11), RANDOM.integers(0, 9, 11).astype(np.uint8), RANDOM.random(11) < 0.5,
    np.array([np.nan, np.inf, -0.0], np.float32), np.empty(0, np.float32), np.empty(0, bool),
    RANDOM.normal(size=(6, 2))[:, 0],
]  # fmt: skip


@pytest.mark.parametrize("values", ARRAYS, ids=lambda v: f"{v.dtype}-{len(v)}")
def test_columns_are_those_of_pyarrow(values: np.ndarray) -> None:
    column = column_of(values)
    column.validate(full=True)
    assert column.type == pa.array(values).type
    assert column.null_count == 0
    np.testing.assert_array_equal(column.to_numpy(zero_copy_only=False), values)
    for part in (column, column[3:], column[2:5], pa.concat_arrays([column, column])[1:]):
        found = array_of(part)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, part.to_numpy(zero_copy_only=False))


def test_empty_cells_are_nan() -> None:
    for kind in (pa.float32(), pa.float64(), pa.int32(), pa.uint8()):
        column = pa.array([1, None, 3, None, None, 6], kind)
        for part in (column, column[1:], column[2:3], column[3:5]):
            expected = part.to_numpy(zero_copy_only=False)
            np.testing.assert_array_equal(array_of(part), expected)
            assert array_of(part).dtype == expected.dtype
    np.testing.assert_array_equal(array_of(pa.nulls(3).cast(pa.float64())), np.full(3, np.nan))


def test_texts() -> None:
    texts = ["a", "", "größe", "x" * 300, "日本"]
    for some in (texts, [], [""]):
        column = text_column(some)
        column.validate(full=True)
        assert column.to_pylist() == some
        assert column.type == pa.string()


def test_lifting_to_and_from_parquet_imports_no_pandas(tmp_path: Path) -> None:
    keypoints = tmp_path / "keypoints.parquet"
    names = pp.load("supervised").skeleton.joints
    xy = RANDOM.normal(300, 50, (6, len(names), 2))
    columns = {f"{name}_{axis}": xy[:, j, a] for j, name in enumerate(names) for a, axis in enumerate("xy")}
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns | {"frame": np.arange(6)}), keypoints)
    done = "; ".join(
        f"assert main(['lift', {str(keypoints)!r}, '--image-size', '640', '480', '--lifter', 'supervised', "
        f"'--samples', '5', '--out', {str(tmp_path / name)!r}, *{more!r}]) == 0"
        for name, more in (("a.parquet", ()), ("b.parquet", ("--clip", "off")))
    )
    code = f"import sys; from poseterior.cli import main; {done}; assert 'pandas' not in sys.modules"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    one, other = (pp.load_result(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert len(one.mean) == len(other.mean) == 6
