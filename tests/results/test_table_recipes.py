"""What the documentation does with results in pandas, polars and DuckDB gives the numbers of the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import poseterior as pp
from documents import DOCS, blocks
from poseterior.results.parts import RECORD, InputParts, Record

for module in ("pyarrow", "pandas", "polars", "duckdb"):
    pytest.importorskip(module)


@pytest.mark.parametrize("parts", [1, 2])
def test_the_recipes(parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one file, and of a folder of parts."""
    monkeypatch.chdir(tmp_path)
    whole = pp.lift(pp.load("mdn"), pp.example_keypoints(), 3)
    whole.save("poses.parquet")
    code = [block.code for block in blocks(DOCS / "schema.md") if block.language == "python"]
    assert len(code) == 4
    if parts > 1:
        Path("poses").mkdir()
        whole[:2].save("poses/a-00001-of-00002.parquet")
        whole[2:].save("poses/a-00002-of-00002.parquet")
        names = ("a-00001-of-00002.parquet", "a-00002-of-00002.parquet")
        Path("poses", RECORD).write_text(Record({}, (InputParts("a", 1, "", names),)).text())
        code = [
            block.replace('load_result("poses.parquet")', 'load_result("poses")')
            .replace('pandas.read_parquet("poses.parquet")', 'pandas.read_parquet("poses")')
            .replace('read_schema("poses.parquet")', f'read_schema("poses/{names[0]}")')
            .replace("poses.parquet", "poses/*.parquet")
            for block in code
        ]
    found: dict[str, Any] = {}
    for block in code:
        exec(block, found)
    wrist = whole.joint_names.index("left_wrist")
    assert found["wrist"] == wrist
    np.testing.assert_array_equal(found["result"].samples, whole.samples)
    np.testing.assert_array_equal(found["mean"], whole.mean)
    np.testing.assert_array_equal(found["radius"], whole.region_radius)
    np.testing.assert_array_equal(found["samples"], whole.samples)
    sure = whole.region_radius[:, wrist] < 0.5
    table = found["sure"]
    assert table["frame"].to_list() == whole.frame[sure].tolist()
    np.testing.assert_array_equal(table.select("x", "y", "z").to_numpy(), whole.mean[sure, wrist])
    assert sum(frames for _, _, frames, _ in found["least_sure"]) == len(whole)
    radii = [radius for *_, radius in found["least_sure"]]
    assert radii == sorted(radii, reverse=True)
    import pandas

    kept = pandas.read_parquet("sure.parquet")
    np.testing.assert_array_equal(np.stack(kept["region_radius"]), whole.region_radius[sure])
