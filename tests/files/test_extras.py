"""What misses the package of an extra says the line that installs it; what does not need it does not ask."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from poseterior.files.errors import InputError
from poseterior.files.extras import installed, later, need


def test_what_is_there_passes() -> None:
    need("any", "json", "nobody")
    need("any", "json.decoder", "nobody")
    assert installed("json.decoder")


@pytest.mark.parametrize("module", ["nowhere_to_be_found", "nowhere_to_be_found.inside", "json.nowhere"])
def test_what_is_missing_is_said_in_one_line(module: str) -> None:
    assert not installed(module)
    with pytest.raises(InputError) as error:
        need("view", module, "a.html: the page", " (or write a .png)")
    name = module.split(".")[0]
    assert str(error.value) == f"a.html: the page needs {name}: pip install 'poseterior[view]' (or write a .png)"


def test_the_name_of_the_package_is_said_not_that_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"^films needs imageio-ffmpeg: pip install 'poseterior\[video\]'$"):
        need("video", "imageio_ffmpeg", "films")


def test_a_module_is_imported_when_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lazy_for_a_test.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = later("view", "lazy_for_a_test", "a test")
    assert not hasattr(module, "__wrapped__")  # as doctest asks
    assert "lazy_for_a_test" not in sys.modules
    assert module.answer == 42
    with pytest.raises(AttributeError, match="question"):
        module.question  # noqa: B018


def test_a_missing_module_says_so_when_it_is_used() -> None:
    module = later("parquet", "nowhere_to_be_found", "a file of labels")
    with pytest.raises(
        InputError, match=r"^a file of labels needs nowhere_to_be_found: pip install 'poseterior\[parquet\]'$"
    ):
        module.read_table("x")
