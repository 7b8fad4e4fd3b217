"""Formats of keypoint files: one module each, found by its place in this package.

A format is a module that has

* ``NAME``: what ``--format`` calls it;
* ``ABOUT``: one line that says what it looks like;
* ``EXAMPLE``: what such a file holds, in a few lines;
* ``recognises(data) -> int``: how many marks of the format a parsed file bears, 0 where it is of another;
* ``read(data, options) -> list[Detections]``: the people in it, as `poseterior.keypoints.detections.Detections`; wrong
  values raise an `InputError` that names the place.

``data`` is what JSON parses to. Four things a module may have besides:

* ``SCORES``: the scale of its scores where the format has one, see `poseterior.keypoints.scores`; of others the scores'
  distribution over the file tells;
* ``KIND``: the format is not of JSON; of npy and npz files (``"arrays"``, ``data`` is an `ArrayFile` then), of CSV, TSV
  and Parquet (``"table"``, a `Table`), of HDF5 (``"hdf5"``, an `HDF5File`), TRC (``"trc"``, a `TrcFile`), XML
  (``"xml"``, the root element) or of other text (``"text"``, a `TextFile`);
* ``FRAME_SUFFIX`` and ``read_frames(frames, options)``: the files of a folder whose names end so are one clip, and are
  read together, as pairs of path and ``data`` in natural order;
* ``read_parts(data, options, size)``: what ``read`` returns, about so many people at a time, frames uncut, in memory
  that does not grow with the file.

Which format a file is of, its content says: the format that finds the most marks reads it. Nothing depends on an order
of formats; where two find equally many, the user has to choose.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.etree.ElementTree import Element

from ...files.checks import cut, describe, quote
from ...files.errors import InputError
from ..detections import Detections, Options
from ..documents import TextFile, UnknownContent
from ..hdf5_files import HDF5File
from ..scores import JUDGED
from ..tables import Table

__all__ = ["AUTO", "Format", "detect_format", "format_names", "formats"]

#: The name by which a file's format is told from its content.
AUTO = "auto"


@dataclass(frozen=True)
class Format:
    """One format, as its module describes it (see the package)."""

    name: str
    about: str
    recognises: Callable[[Any], int]
    read: Callable[[Any, Options], list[Detections]]
    kind: str = "json"
    example: str = ""
    frame_suffix: str | None = None
    read_frames: Callable[[Iterable[tuple[str, Any]], Options], list[Detections]] | None = None
    read_parts: Callable[[Any, Options, int], Iterator[list[Detections]]] | None = None


@cache
def formats() -> dict[str, Format]:
    """Every format by name: the modules of this package."""
    found = {}
    for place in pkgutil.iter_modules(__path__):
        module: Any = importlib.import_module(f"{__name__}.{place.name}")
        read_frames = getattr(module, "read_frames", None)
        found[module.NAME] = Format(
            module.NAME,
            module.ABOUT,
            module.recognises,
            _labelling(module.read, module),
            getattr(module, "KIND", "json"),
            getattr(module, "EXAMPLE", ""),
            getattr(module, "FRAME_SUFFIX", None),
            None if read_frames is None else _labelling(read_frames, module),
            _labelling_parts(module) if hasattr(module, "read_parts") else None,
        )
    return dict(sorted(found.items()))


def _labelling(read: Callable[[Any, Options], list[Detections]], module: Any) -> Callable[..., list[Detections]]:
    """The reader of a module, whose detections say which format they are of and on what scale its scores are."""

    @functools.wraps(read)
    def labelled(data: Any, options: Options) -> list[Detections]:
        return _labelled(read(data, options), module)

    return labelled


def _labelling_parts(module: Any) -> Callable[[Any, Options, int], Iterator[list[Detections]]]:
    """`_labelling` of what is read in parts."""

    @functools.wraps(module.read_parts)
    def labelled(data: Any, options: Options, size: int) -> Iterator[list[Detections]]:
        return (_labelled(part, module) for part in module.read_parts(data, options, size))

    return labelled


def _labelled(found: list[Detections], module: Any) -> list[Detections]:
    for detections in found:
        detections.format = module.NAME
        if detections.scores == JUDGED:
            detections.scores = getattr(module, "SCORES", JUDGED)
    return found


def format_names() -> tuple[str, ...]:
    """What ``format`` may be: `AUTO`, and the name of every format."""
    return (AUTO, *formats())


def detect_format(data: Any) -> str:
    """Name of the format of a parsed document: of the one that finds most marks of its own in it.

    Raises:
        UnknownContent: (an InputError) none finds any; the message tells what the document looks like.
        InputError: two find equally many.
    """
    marks = {name: int(known.recognises(data)) for name, known in formats().items()}
    most = max(marks.values())
    best = [name for name, count in marks.items() if count == most]
    if most == 0:
        raise UnknownContent(_unknown(data))
    if len(best) > 1:
        raise InputError(f"may be {' or '.join(best)}: pass --format (format=... in Python)")
    return best[0]


def _unknown(data: Any) -> str:
    if isinstance(data, TextFile):
        return "is a text file of no keypoint format that we know; expected YOLO's labels, class cx cy w h x y v ..."
    if isinstance(data, Element):
        return f"is XML <{data.tag[:40]}>, of no keypoint format that we know; expected CVAT's <annotations>"
    if isinstance(data, Table):
        return (
            f"a table of no keypoint format that we know (columns {cut(', '.join(map(quote, data.names)))}); expected "
            "frame, person, joint, x, y, score, or nose_x, nose_y ...; `poseterior formats` shows examples"
        )
    if isinstance(data, HDF5File):
        return (
            f"is {cut(repr(data))}: of no keypoint format that we know; expected DeepLabCut's or SLEAP's analysis file"
        )
    found = describe(data)
    if isinstance(data, list) and data:
        found += f" that starts with {describe(data[0])}"
    return (
        f"of no keypoint format that we know (found {found}); known: {', '.join(format_names())}. Bare numbers need "
        'joint names: {"joints": [names], "keypoints": [[x, y], ...]}, or save them as .npy'
    )
