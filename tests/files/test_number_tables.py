"""Large tables of numbers in text."""

from __future__ import annotations

import numpy as np
import pytest

from poseterior.files import number_tables
from poseterior.files.number_tables import read_number_table

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_tables, "_LARGE", 0)


def text_of(values: np.ndarray, between: str = " ", end: str = "\n") -> str:
    """Decimal numbers of many lengths."""
    forms = ("{:.6f}", "{:.17g}", "{:e}", "{:.3f}", "{:g}")
    lines = [[forms[(i + j) % 5].format(v) for j, v in enumerate(row)] for i, row in enumerate(values.tolist())]
    return "".join(between.join(line) + end for line in lines)


@pytest.mark.parametrize(
    ("between", "end"), [(" ", "\n"), ("\t", "\n"), (" ", " \n"), (" ", "\r\n"), (" ", " \r\n"), (" ", "\n\n")]
)
def test_numbers_are_those_of_numpy_to_the_bit(between, end):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 7)) * 10.0 ** rng.integers(-12, 12, (200, 7))
    text = "\n" + text_of(values, between, end)
    found = read_number_table(text, 7)
    assert found is not None
    assert np.array_equal(found.ravel(), np.fromstring(text, sep=" "))


@pytest.mark.parametrize(
    "text",
    ["1 2 3\n4 5\n", "1 2 3\n4 5 6 7\n", "1 2\n3 4 5 6\n", "1 2 x\n", "1  2 3\n", "1 2 \n", '1 2 "3"\n', "", "\n"],
)
def test_what_is_no_such_table_is_left_to_others(text):
    assert read_number_table(text, 3) is None


def test_short_texts_are_left_to_others(monkeypatch):
    monkeypatch.setattr(number_tables, "_LARGE", 100)
    assert read_number_table("1 2 3\n", 3) is None
