"""The boundary around every reader of files: whatever goes wrong inside becomes an `InputError` that names the file.

A reader checks what it reads and says which field is wrong. What it did not think of, and what its library raises on a
broken file, stops here: with the file, the reason and a remedy, and never with more of the file's content than a person
reads. The library's error stays the cause (``__cause__``) for those who look for it.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from .checks import LONGEST_QUOTE, cut, reason
from .errors import InputError

__all__ = ["ANEW", "named", "reader", "reading"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: What to do about most broken files.
ANEW = "is it damaged, truncated or of another kind? Get or make it anew"
#: A message that begins with the name of a file.
_PATH_FIRST = re.compile(r"[^'\" ]*[/\\][^'\"]*: ")
#: The longest message without the file's name; longer ones quote a file at length.
_LONGEST = 5 * LONGEST_QUOTE


def named(path: str | os.PathLike[str], message: str) -> str:
    """A message that begins with the file's name, unless it names it or another file, and that is not too long."""
    name = os.fspath(path)
    if name and not _says(message, name) and not _PATH_FIRST.match(message):
        message = f"{name}: {message}"
    return cut(message, _LONGEST + len(name) * message.count(name)) if name else cut(message, _LONGEST)


def _says(message: str, name: str) -> bool:
    """Whether a message names a file.

    Part of a word is no name, and a name that could be a word ("d", "data") is one only where a colon follows it.
    """
    after = r"(?![\w-])" if re.search(r"[./\\]", name) else ":"
    return re.search(rf"(?<![\w./\\'\"-]){re.escape(name)}{after}", message) is not None


@contextmanager
def reading(path: str | os.PathLike[str], remedy: str = ANEW) -> Iterator[None]:
    """Around the code that reads a file (or a folder).

    Args:
        path: of the file, for messages.
        remedy: what to do about a file that cannot be read.

    Raises:
        InputError: whatever was raised inside, but for what is no error of the file (a package that is missing).
    """
    try:
        yield
    except InputError as error:
        message = named(path, str(error))
        if message == str(error):
            raise
        raise type(error)(message) from error.__cause__
    except (ImportError, BrokenPipeError):
        raise
    except RecursionError as error:
        raise InputError(named(path, f"nested too deeply to be read; {remedy}")) from error
    except MemoryError as error:
        raise InputError(named(path, f"needs more memory than there is; {remedy}")) from error
    except FileNotFoundError as error:
        raise InputError(named(path, "no such file")) from error
    except Exception as error:
        raise InputError(named(path, f"cannot be read ({reason(error)}); {remedy}")) from error


def reader(remedy: str = ANEW) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """`reading` around a whole function whose first argument is the path."""

    def decorate(read: Callable[_P, _T]) -> Callable[_P, _T]:
        first = next(iter(inspect.signature(read).parameters))

        @functools.wraps(read)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            path = args[0] if args else kwargs.get(first, "")
            with reading(path if isinstance(path, str | os.PathLike) else str(path), remedy):
                return read(*args, **kwargs)

        return guarded

    return decorate
