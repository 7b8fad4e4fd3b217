"""XML files: without document types, and so without entities that expand or point elsewhere."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from .errors import InputError

__all__ = ["read_xml"]


def read_xml(path: Path, most: int) -> Element:
    """The outermost element of an XML file.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        InputError: more bytes, not XML, nested too deeply, or a document type. The message does not name the file.
    """
    if path.stat().st_size > most:
        raise InputError(f"has {path.stat().st_size:,} bytes; expected at most {most:,}")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > 100:
            raise InputError("not readable as XML (nested too deeply)")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise InputError("has a document type (<!DOCTYPE ...>), which keypoints do not need; remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as stream:
            parser.ParseFile(stream)
        root = builder.close()
    except expat.ExpatError as error:
        where = f"line {error.lineno}, column {error.offset + 1}: {expat.errors.messages[error.code]}"
        raise InputError(f"not readable as XML ({where}); is it truncated?") from None
    except (AssertionError, LookupError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("not readable as XML; is it truncated?") from None
    return root
