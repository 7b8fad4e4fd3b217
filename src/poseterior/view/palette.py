"""Every colour of pictures, films and pages: Okabe and Ito's, which the colour-blind can tell apart."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "Theme"]


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb: the person's sides, and what is around them."""

    left: str
    right: str
    middle: str
    accent: str
    ink: str
    soft: str
    line: str
    paper: str
    panel: str


LIGHT = Theme(
    left="#0072b2", right="#d55e00", middle="#4a5568", accent="#6b4fbb", ink="#18202b", soft="#5c6877", line="#dbe1e8",
    paper="#f3f5f8", panel="#ffffff",
)  # fmt: skip
DARK = Theme(
    left="#56b4e9", right="#f0803c", middle="#cbd5e0", accent="#b9a5ff", ink="#e9edf2", soft="#9aa6b5", line="#2d3642",
    paper="#12161c", panel="#1b212a",
)  # fmt: skip
