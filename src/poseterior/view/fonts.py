"""Letters that the usual font lacks, as in Chinese, Japanese or Korean names of files: another font's, or a box."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["families", "legible", "with_boxes"]

#: Stands for a letter that no installed font has.
BOX = "□"
#: In names of fonts that hold many scripts, the better ones first.
_LIKELY = ("cjk", "noto sans", "gothic", "hei", "unicode", "sans")
#: Holds a box for every letter there is.
_LAST_RESORT = "Last Resort"


@lru_cache(maxsize=256)
def _letters(path: str) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


@lru_cache(maxsize=1)
def _others() -> tuple[tuple[str, str], ...]:
    """Name and file of the upright fonts that are installed, likely ones first."""
    from matplotlib.font_manager import fontManager

    def rank(name: str) -> int:
        return next((place for place, part in enumerate(_LIKELY) if part in name.lower()), len(_LIKELY))

    found = {font.name: font.fname for font in fontManager.ttflist if font.style == "normal"}
    names = sorted((name for name in found if not name.startswith(_LAST_RESORT)), key=lambda name: (rank(name), name))
    return tuple((name, found[name]) for name in names)


@lru_cache(maxsize=8192)
def _font_of(letter: str) -> str | None:
    """The font that draws a letter: "" for the usual one, None where none does."""
    from matplotlib.font_manager import FontProperties, findfont

    if letter.isspace() or ord(letter) in _letters(findfont(FontProperties())):
        return ""
    return next((name for name, path in _others() if ord(letter) in _letters(path)), None)


def with_boxes(text: str) -> str:
    """The text, with a box for each letter that no installed font has.

    >>> with_boxes("walk.mp4")
    'walk.mp4'
    """
    return text if text.isascii() else "".join(BOX if _font_of(letter) is None else letter for letter in text)


def families(text: str) -> list[str]:
    """Fonts that together have all letters of a text but those that none has; the usual one first."""
    from matplotlib import rcParams

    others = [] if text.isascii() else [name for letter in text if (name := _font_of(letter))]
    return [*rcParams["font.family"], *dict.fromkeys(others)]


def legible(figure: Figure) -> Figure:
    """The figure, all of whose words can be drawn: matplotlib draws unknown letters as boxes too, with a warning."""
    from matplotlib.text import Text

    for words in figure.findobj(Text):
        text = words.get_text()
        if not text.isascii():
            words.set(text=with_boxes(text), fontfamily=families(text))
    return figure
