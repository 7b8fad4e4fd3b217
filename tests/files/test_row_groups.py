"""Parquet files that grow: what they hold, and what a kill at any byte leaves of them."""

from __future__ import annotations

import numpy as np
import pytest

from poseterior.files.errors import InputError
from poseterior.files.row_groups import GrowingParquet, group_of, part_paths
from poseterior.files.thrift import read_struct, write_struct

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

OPTIONS = {"compression": "zstd", "use_dictionary": ["file"], "use_byte_stream_split": ["x.list.element"]}
RUN = {"lifter": "mdn", "seed": 0}


def table_of(rows: int):
    rng = np.random.default_rng(0)
    numbers = pa.array(rng.normal(size=rows * 6).astype(np.float32))
    columns = {
        "file": pa.array(["a" if i < rows // 2 else "bé" for i in range(rows)]),
        "frame": pa.array(np.arange(rows)),
        "seen": pa.array(rng.uniform(size=rows) > 0.5),
        "x": pa.FixedSizeListArray.from_arrays(numbers, 6),
    }
    return pa.table(columns).replace_schema_metadata({"poseterior": '{"é": 1}'})


def grow(path, table, size: int, *, resume: bool = False, stop: int | None = None, run=RUN) -> int:
    """Write what is not there yet; how many groups that were. ``stop``: leave it after so many."""
    added = 0
    with GrowingParquet(path, run, resume) as file:
        for start in range(file.rows, len(table), size):
            if added == stop:
                return added
            file.add(group_of(table.slice(start, size), **OPTIONS))
            added += 1
        file.finish(table.slice(0, 0), **OPTIONS)
    return added


@pytest.mark.parametrize("rows", [1, 16, 17, 600])
def test_grows_to_the_bytes_that_pyarrow_writes_at_once(tmp_path, rows):
    table = table_of(rows)
    pq.write_table(table, tmp_path / "whole.parquet", row_group_size=16, **OPTIONS)
    grow(tmp_path / "grown.parquet", table, 16)
    assert (tmp_path / "grown.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grown.parquet", "whole.parquet"]


def test_goes_on_where_it_was_left(tmp_path):
    table, path = table_of(100), tmp_path / "x.parquet"
    grow(tmp_path / "whole.parquet", table, 16)
    assert grow(path, table, 16, stop=3) == 3
    assert not path.exists()
    assert grow(path, table, 16, resume=True) == 4
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_kill_at_any_byte_loses_no_whole_group_and_doubles_none(tmp_path):
    table, path = table_of(64), tmp_path / "x.parquet"
    grow(tmp_path / "whole.parquet", table, 16)
    grow(path, table, 16, stop=3)
    part, log = part_paths(path)
    pages, lines = part.read_bytes(), log.read_bytes()
    second = lines.index(b"\n", lines.index(b"\n") + 1) + 1
    cuts = [(len(pages), len(lines) - 5, 2), (len(pages) - 10, len(lines), 2), (len(pages), second, 1), (3, 20, 0)]
    for pages_left, log_left, kept in cuts:
        part.write_bytes(pages[:pages_left])
        log.write_bytes(lines[:log_left])
        assert grow(path, table, 16, resume=True) == 4 - kept
        assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
        path.unlink()


def test_pages_that_were_changed_are_made_anew(tmp_path):
    table, path = table_of(64), tmp_path / "x.parquet"
    grow(tmp_path / "whole.parquet", table, 16)
    grow(path, table, 16, stop=3)
    part, _ = part_paths(path)
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(bytes(content))
    assert grow(path, table, 16, resume=True) > 1
    assert path.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_without_resume_begins_anew(tmp_path):
    table, path = table_of(64), tmp_path / "x.parquet"
    grow(path, table, 16, stop=2)
    assert grow(path, table, 16) == 4


def test_refuses_to_go_on_with_another_run(tmp_path):
    table, path = table_of(64), tmp_path / "x.parquet"
    grow(path, table, 16, stop=2)
    with pytest.raises(InputError, match=r"x\.parquet\.part: was begun by another run \(seed 0, not 1\); go on with"):
        grow(path, table, 16, resume=True, run=RUN | {"seed": 1})


def test_refuses_a_second_writer(tmp_path):
    path = tmp_path / "x.parquet"
    with (
        GrowingParquet(path, RUN),
        pytest.raises(InputError, match=r"x\.parquet: another process is writing it; wait for it"),
    ):
        GrowingParquet(path, RUN)


def test_thrift_of_a_footer_comes_back_to_the_byte(tmp_path):
    pq.write_table(table_of(50), tmp_path / "x.parquet", row_group_size=3)
    content = (tmp_path / "x.parquet").read_bytes()
    size = int.from_bytes(content[-8:-4], "little")
    fields, end = read_struct(content, len(content) - 8 - size)
    assert end == len(content) - 8
    assert write_struct(fields) == content[-8 - size : -8]


@pytest.mark.parametrize("content", [b"", b"\x15", b"\x18\x7f\x00", b"\x1c" * 40, b"\x1b\x00", b"\x19\xff\xff"])
def test_thrift_refuses_what_is_none(content):
    with pytest.raises(ValueError, match=r"truncated|without end|kind"):
        read_struct(content)
