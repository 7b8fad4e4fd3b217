"""Text files and JSON, with the limits that a file of either keeps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from .checks import reason
from .errors import InputError

__all__ = ["parse_json", "read_json", "read_text", "refuse_half_characters"]

#: Half of a pair of UTF-16 code units, written as an escape.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: Path, most: int | None = None) -> str:
    """The text of a file in UTF-8; a byte order mark is dropped.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        InputError: no such file, more bytes, or other bytes than UTF-8's. The message does not name the file.
    """
    if most is not None and path.is_file() and path.stat().st_size > most:
        raise InputError(f"has {path.stat().st_size:,} bytes; expected at most {most:,}")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file") from None
    except IsADirectoryError:
        raise InputError("is a folder; expected a file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})") from None


def parse_json(text: str) -> Any:
    """What JSON says; NaN and Infinity are let through, to be refused by name where they are not numbers.

    Raises:
        InputError: not JSON, truncated, nested too deeply, a number of thousands of digits, or half a character. The
            message does not name the file.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not readable as JSON ({reason(error)}); is it truncated?") from None
    except RecursionError:
        raise InputError("not readable as JSON (nested too deeply)") from None
    except ValueError:
        raise InputError("not readable as JSON (a number has thousands of digits)") from None
    refuse_half_characters(text, found)
    return found


def refuse_half_characters(text: str, value: Any) -> None:
    """Refuse names and texts that no encoding can write, and no terminal can print.

    Args:
        text: the JSON.
        value: what it says.

    Raises:
        InputError: a lone surrogate.
    """
    queue = [value] if _HALF.search(text) else []
    while queue:
        value = queue.pop()
        if isinstance(value, dict):
            queue += [*value, *value.values()]
        elif isinstance(value, list):
            queue += value
        elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InputError(f"not readable as JSON (the text {ascii(value)[:80]} holds half a character)")


def read_json(path: Path, most: int | None = None) -> Any:
    """`parse_json` of `read_text`."""
    return parse_json(read_text(path, most))
