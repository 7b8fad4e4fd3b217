"""Help that reads well on a terminal of any width."""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

#: A line break inside a paragraph, with the indentation of source code after it.
_FOLD = re.compile(r"(?<=\S)\n[ \t]+(?=\S)")


@contextlib.contextmanager
def readable_help() -> Iterator[None]:
    """Within, the texts of options are whole paragraphs, and prose that is printed is wrapped.

    The parser of docstrings leaves the indentation of source code in the text of an option, which tyro takes for a
    list and breaks the line there; and tyro leaves the description of a command as it is, however long.
    """
    import docstring_parser

    parsed: Any = docstring_parser.parse_from_object

    def unfolded(*args: Any, **options: Any) -> Any:
        found = parsed(*args, **options)
        for option in found.params:
            option.description = option.description and _FOLD.sub(" ", option.description)
        return found

    wrapped: Any = _Wrapped(sys.stdout)
    docstring_parser.parse_from_object = unfolded
    try:
        with contextlib.redirect_stdout(wrapped):
            yield
    finally:
        docstring_parser.parse_from_object = parsed


class _Wrapped:
    """A text stream whose prose is wrapped at words; boxes, which fit already, are left alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._width = shutil.get_terminal_size().columns

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.write("\n".join(map(self._line, text.split("\n"))))
        return len(text)

    def _line(self, line: str) -> str:
        if len(line) <= self._width or line[0] in "╭│╰" or "\x1b" in line:
            return line
        after = "    " if line.startswith("usage:") else ""
        return textwrap.fill(line, self._width, subsequent_indent=after, break_long_words=False, break_on_hyphens=False)
