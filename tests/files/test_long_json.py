"""JSON read piece by piece says what `json.loads` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poseterior.files import long_json
from poseterior.files.errors import InputError
from poseterior.files.long_json import LongList, load_json, open_long_json

TEXTS = st.text('ab,[]{}"\\ \u00e9:', max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXTS, inner, max_size=5), max_leaves=40
)
DOCUMENTS = st.lists(ANYTHING, max_size=12) | st.dictionaries(TEXTS, ANYTHING, max_size=6)


def plain(value: Any) -> Any:
    """The same without lists of ours."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_json, "LONG", 0)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS, st.sampled_from([4, 16, 64, 1024]), st.booleans(), st.sampled_from([None, "\t"]), st.data())
def test_pieces_are_the_whole(
    short: None, tmp_path: Path, document: Any, piece: int, escaped: bool, indent: str | None, data: st.DataObject
) -> None:
    path, text = tmp_path / "a.json", json.dumps(document, ensure_ascii=escaped, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_json, "PIECE", piece)
        path.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"])) + text.encode() + b"\n")
        found = open_long_json(path)
        assert plain(found) == document
        if isinstance(found, LongList):
            assert len(found) == len(document)
            assert bool(found) == bool(document)
            assert found == document
            assert [*found] == document == found[:]
            if document:
                assert (found[0], found[-1]) == (document[0], document[-1])
        path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])  # truncated
        assert open_long_json(path) is None


def test_long_lists_stay_in_the_file(short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_json, "PIECE", 100)
    path = tmp_path / "a.json"
    document = {"a": {"b": 1}, "frames": [{"i": i, "x": [i] * 5} for i in range(100)], "end": [1], "last": "]"}
    path.write_text(json.dumps(document))
    found = open_long_json(path)
    assert isinstance(found["frames"], LongList)
    assert list(found) == list(document)
    assert found == document
    assert isinstance(found["end"], list)
    path.write_text(path.read_text().replace('"i": 57', '"i" 57 '))
    with pytest.raises(InputError, match=r"not valid JSON \(entries between byte [\d,]+ and byte [\d,]+\)"):
        list(found["frames"])


def test_what_is_no_long_json_is_left_to_others(short: None, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("", "  ", "3", "hello", "[1", "[1]]", '{"a": [1}', '{"a": 1', "[1] 2", '"a"', '{"a": [1]] }'):
        path.write_text(text)
        assert open_long_json(path) is None, text


def test_short_files_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1]")
    assert open_long_json(path) is None


@pytest.mark.parametrize(
    "text", ["[NaN, -Infinity, 1e999]", f"[{'9' * 40}, -0.0, 1E2]", '["\\u00e9", "\u2028"]', "[1, 1.0]"]
)
def test_fast_and_slow_reading_agree(text: str) -> None:
    assert repr(load_json(text.encode())) == repr(json.loads(text))


def test_half_characters_are_refused() -> None:
    with pytest.raises(InputError, match="half a character"):
        load_json(b'["\\ud800"]')
