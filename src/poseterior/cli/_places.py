"""Inputs that are not there, and places that are of a cluster alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["check_addresses", "check_single"]


def check_single(files: Sequence[Path]) -> None:
    """Refuse a single input that is not there by its own name, before others are asked what they are for."""
    from ..files.checks import absent
    from ..files.errors import InputError

    if len(files) == 1 and not files[0].exists() and not str(files[0]).startswith("webcam"):
        raise InputError(f"{files[0]}: {absent(files[0])}")


def check_addresses(files: Sequence[Path], out: Path | None) -> None:
    """Refuse addresses of other storage, which `pathlib` takes for folders of this machine."""
    from ..files.errors import InputError
    from ..files.places import is_address, place_of

    for path in files:
        if is_address(path) and not path.exists():
            raise InputError(
                f"{place_of(path).address}: addresses are read with --engine ray; add it, or copy the file here first"
            )
    if out is not None and is_address(out) and not out.parent.exists():
        raise InputError(
            f"--out {place_of(out).address}: addresses are written with --engine ray; add it, or give a path of this "
            "machine"
        )
