"""Checks of settings: what each refuses, and the exact words."""

import dataclasses
import math
from typing import ClassVar

import pytest

from poseterior.files.errors import InputError
from poseterior.files.settings import ABOVE_ZERO, Settings, check_settings, choice, flag, is_number, number, whole


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(InputError) as error:
        call(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("value", [True, False, None, "2", math.nan, math.inf, -math.inf, [1.0], 1j])
def test_what_is_no_number(value):
    assert not is_number(value)
    assert refused(number, value, "a.b") == f"a.b: expected a number, got {value!r}"
    assert refused(number, value, "a.b", 0) == f"a.b: expected a finite number from 0, got {value!r}"
    assert refused(number, value, "a.b", 0.5, 2) == f"a.b: expected a number from 0.5 to 2, got {value!r}"
    assert refused(whole, value, "a.b") == f"a.b: expected a whole number, got {value!r}"


def test_bounds_may_be_met():
    assert number(0, "a", 0, 1) == 0
    assert number(1, "a", 0, 1) == 1
    assert number(-3.5, "a") == -3.5
    assert number(-3.5, "a", None, 0) == -3.5
    assert refused(number, 0.5, "a", None, 0) == "a: expected a number up to 0, got 0.5"
    assert refused(number, 1.1, "a", 0, 1, expected="a share") == "a: expected a share, got 1.1"
    assert refused(number, 0, "a", ABOVE_ZERO, expected="above 0") == "a: expected above 0, got 0"
    assert number(5e-324, "a", ABOVE_ZERO) > 0


def test_whole_numbers():
    assert whole(3, "a", 3) == 3
    assert whole(-3, "a") == -3
    for value in (2, 3.0, True, "3"):
        assert refused(whole, value, "a", 3) == f"a: expected a whole number, at least 3, got {value!r}"
    assert refused(whole, 0, "a", 1, expected="many") == "a: expected many, got 0"


def test_choices_and_flags():
    assert choice("x", "a", ("x", "y")) == "x"
    assert refused(choice, "z", "a", ("x", "y")) == "a: expected 'x' or 'y', got 'z'"
    assert refused(choice, "z", "a", ("w", "x", "y")) == "a: expected one of 'w', 'x', 'y', got 'z'"
    assert refused(choice, ["x"], "a", ("x", "y"), quoted=False) == "a: expected one of x, y, got ['x']"
    assert flag(True, "a") is True
    for value in (1, "yes", None):
        assert refused(flag, value, "a") == f"a: expected true or false, got {value!r}"


def test_unknown_settings():
    check_settings("data", ["fps"], ["fps", "views"])
    message = "data: unknown setting 'hats' for X; known: fps, views"
    assert refused(check_settings, "data", ["fps", "hats"], ["fps", "views"], " for X") == message


@dataclasses.dataclass(frozen=True)
class Example(Settings):
    section: ClassVar[str] = "dance"
    between: ClassVar[str] = ": "

    steps: int = 3
    tempo: float = 1.0
    style: str = "waltz"
    fast: bool = False

    def __post_init__(self) -> None:
        self._check_whole(steps=1)
        self._check_number(tempo=(0.5, 2.0))
        self._check_choice(style=("waltz", "polka"))
        self._check_flag("fast")


def test_a_dataclass_checks_itself():
    assert Example.from_dict({"steps": 4, "style": "polka"}) == Example(4, style="polka")
    for values, message in (
        ({"steps": 0}, "dance: steps: expected a whole number, at least 1, got 0"),
        ({"tempo": 3}, "dance: tempo: expected a number from 0.5 to 2.0, got 3"),
        ({"style": "tango"}, "dance: style: expected 'waltz' or 'polka', got 'tango'"),
        ({"fast": 1}, "dance: fast: expected true or false, got 1"),
        ({"hats": 1}, "dance: unknown setting 'hats'; known: steps, tempo, style, fast"),
    ):
        assert refused(Example.from_dict, values) == message
