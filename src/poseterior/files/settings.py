"""Checks of settings: fields of configurations, of recipes and of objectives.

Each returns the value or raises an `InputError` that names the setting, says what was expected and what was found.
``name`` is the setting as the user wrote it: ``lifter.dropout``, ``objective 'samples': best``.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from .checks import quote
from .errors import InputError

__all__ = ["ABOVE_ZERO", "Settings", "check_settings", "choice", "flag", "is_number", "number", "whole"]

_S = TypeVar("_S", bound="Settings")

#: The largest number that a float can be; whole numbers may be larger.
_LARGEST = sys.float_info.max
#: The least bound that 0 itself does not meet.
ABOVE_ZERO = math.nextafter(0.0, 1.0)


def check_settings(section: str, given: Iterable[str], known: Sequence[str], owner: str = "") -> None:
    """Refuse the first name of ``given`` that is not known; the message lists the known ones."""
    for name in given:
        if name not in known:
            raise InputError(f"{section}: unknown setting {quote(name)}{owner}; known: {', '.join(known)}")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST


def number(
    value: Any, name: str, low: float | None = None, high: float | None = None, *, expected: str | None = None
) -> float:
    """A finite number within bounds that it may meet; ``expected`` says it in other words.

    Raises:
        InputError: anything else.
    """
    if is_number(value) and (low is None or low <= value) and (high is None or value <= high):
        return value
    if expected is None:
        if low is None:
            expected = "a number" if high is None else f"a number up to {high}"
        else:
            expected = f"a finite number from {low}" if high is None else f"a number from {low} to {high}"
    raise InputError(f"{name}: expected {expected}, got {quote(value)}")


def whole(value: Any, name: str, least: int | None = None, *, expected: str | None = None) -> int:
    """A whole number, at least ``least``; ``expected`` says it in other words.

    Raises:
        InputError: anything else; true and false are no numbers.
    """
    if isinstance(value, int) and not isinstance(value, bool) and (least is None or value >= least):
        return value
    if expected is None:
        expected = "a whole number" if least is None else f"a whole number, at least {least}"
    raise InputError(f"{name}: expected {expected}, got {quote(value)}")


def choice(value: Any, name: str, known: Sequence[str], *, quoted: bool = True) -> str:
    """One of some words; the message lists them.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, str) and value in known:
        return value
    words = [repr(word) for word in known] if quoted else list(known)
    listed = " or ".join(words) if quoted and len(words) == 2 else f"one of {', '.join(words)}"
    raise InputError(f"{name}: expected {listed}, got {quote(value)}")


def flag(value: Any, name: str) -> bool:
    """True or false.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, bool):
        return value
    raise InputError(f"{name}: expected true or false, got {quote(value)}")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of frozen dataclasses of plain values that check themselves when they are made (in ``__post_init__``).

    Attributes:
        section: where the user writes the settings, for messages.
        between: what stands between the section and a setting's name.
        quoted: whether messages put the words of a choice in quotes.
    """

    section: ClassVar[str] = "settings"
    between: ClassVar[str] = "."
    quoted: ClassVar[bool] = True

    @classmethod
    def from_dict(cls: type[_S], values: Mapping[str, Any]) -> _S:
        """Raises `InputError` for a name that is no field; the message lists those that are."""
        check_settings(cls.section, values, [f.name for f in dataclasses.fields(cls)], cls._owner())
        return cls(**values)

    @classmethod
    def _owner(cls) -> str:
        """Said in the message of `from_dict` after the unknown name."""
        return ""

    def _named(self, name: str) -> tuple[Any, str]:
        """A field's value and its name as the user wrote it."""
        return getattr(self, name), f"{self.section}{self.between}{name}"

    def _check_whole(self, **least: int) -> None:
        """Refuse a named field that is no whole number, or below the one given here."""
        for name, lowest in least.items():
            whole(*self._named(name), lowest)

    def _check_number(self, **bounds: tuple[float | None, float | None]) -> None:
        """Refuse a named field that is no number from the first to the second of these (None: no bound)."""
        for name, (low, high) in bounds.items():
            number(*self._named(name), low, high)

    def _check_choice(self, **known: Sequence[str]) -> None:
        """Refuse a named field that is none of these words."""
        for name, words in known.items():
            choice(*self._named(name), words, quoted=self.quoted)

    def _check_flag(self, *names: str) -> None:
        """Refuse a named field that is neither true nor false."""
        for name in names:
            flag(*self._named(name))
