"""Checked values of parsed files: each raises an `InputError` that says what was expected and what was found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError

Array = npt.NDArray[Any]

#: No message quotes more of a file's content than this in one piece.
LONGEST_QUOTE = 200


def cut(text: str, most: int = LONGEST_QUOTE) -> str:
    """The beginning of a text, with an ellipsis where more follows."""
    return text if len(text) <= most else text[: most - 1] + "…"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number of things in words.

    >>> counted(1, "pose"), counted(33, "pose"), counted(2, "person", "people")
    ('1 pose', '33 poses', '2 people')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def quote(value: Any) -> str:
    """``repr`` of a value that comes from a file, cut at 200 characters."""
    try:
        return cut(repr(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits; lists in lists in lists
        return f"a huge {type(value).__name__}"


def of_file(file: str) -> str:
    """A file's name as it stands in front of a message; nothing for poses that come from no file.

    >>> of_file("walk.json"), of_file("")
    ('walk.json: ', '')
    """
    return f"{file}: " if file else ""


def absent(path: str | os.PathLike[str]) -> str:
    """What is said of a file that is not there: links say where they lead, and a folder is no file."""
    if os.path.isdir(path):
        return "is a folder; expected a file"
    if os.path.islink(path):
        return f"is a link to {os.readlink(path)}, which is not there; mend or remove it"
    return "no such file"


def reason(error: BaseException) -> str:
    """What an error of a library says, in one line of at most 200 characters."""
    lines = str(error).strip().splitlines()
    said = lines[0].strip() if lines else ""
    kinds = (KeyError, IndexError, AttributeError, TypeError, AssertionError)
    return cut(f"{type(error).__name__}: {said}" if isinstance(error, kinds) else said or type(error).__name__)


@contextmanager
def naming(file: str) -> Iterator[None]:
    """Put the file's name in front of the `InputError` of a reader."""
    try:
        yield
    except InputError as error:
        message = str(error)
        raise type(error)(message if message.startswith(f"{file}: ") else f"{file}: {message}") from None
    except RecursionError:
        raise InputError(f"{file}: nested too deeply to be a keypoint file") from None


# -- checked values ------------------------------------------------------------------------------------


def describe(value: Any) -> str:
    """A short, safe rendering of a wrong value for an error message."""
    if isinstance(value, dict):
        keys = ", ".join(quote(k)[:24] for k in list(value)[:6])
        return f"an object with the fields {keys}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a huge integer"
    if value is None:
        return "null"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def as_list(value: Any, what: str) -> list[Any]:
    """``value`` if it is a list, else an `InputError`."""
    if not isinstance(value, list):
        raise InputError(f"{what}: expected a list, found {describe(value)}")
    return value


def as_object(value: Any, what: str, *fields: str) -> dict[str, Any]:
    """``value`` if it is an object with these fields, else an `InputError`."""
    if not isinstance(value, dict):
        raise InputError(f"{what}: expected an object, found {describe(value)}")
    for field in fields:
        if field not in value:
            raise InputError(f"{what}: field {field!r} is missing; found {describe(value)}")
    return value


def as_name(value: Any, what: str) -> str:
    """``value`` if it is a string, else an `InputError`."""
    if not isinstance(value, str):
        raise InputError(f"{what}: expected a name, found {describe(value)}")
    return value


def as_index(value: Any, default: int) -> int:
    """A frame number or track id; ``default`` where the file has none that fits an int64 column."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and abs(value) < 2**53 and value.is_integer():
        value = int(value)
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if usable else default


def numbers(value: Any, what: str) -> Array:
    """A flat JSON list of numbers as float64; null becomes NaN.

    Raises:
        InputError: not a list, or an entry that is neither a number nor null (a string, say).
    """
    values = as_list(value, what)
    if not set(map(type, values)) <= {int, float, type(None)}:
        place, stranger = next((i, v) for i, v in enumerate(values) if type(v) not in (int, float, type(None)))
        raise InputError(f"{what}[{place}]: expected a number or null, found {describe(stranger)}")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise InputError(f"{what}: a number is too large for a float") from None


def number(value: Any, what: str) -> float:
    """One JSON number."""
    return float(numbers([value], what)[0])
