"""Figures laid out by hand, in inches: a title that wraps, a body, a legend that flows. Nothing is cut at any size.

matplotlib is imported when something is measured or drawn, not with this module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from .fonts import families, with_boxes
from .palette import LIGHT, REGION_FACE, mixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MARGIN", "Page", "Sign", "literal_text", "shortened", "side_signs", "text_width", "wrapped"]

#: Inches around everything, and between the parts of a page.
MARGIN, _GAP = 0.22, 0.14
_TITLE, _NOTE, _LEGEND = 13.0, 10.0, 9.5
#: A line of text is so much higher than its size.
_LEADING = 1.32
#: Inches of a sign, from it to its words, and from its words to the next sign.
_SIGN, _SIGN_GAP, _NEXT = 0.30, 0.08, 0.26


def literal_text(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")


# -- words -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _ruler() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(8, 8, 720)  # ten dots a point: widths that no rounding to pixels spoils


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of one line of text.

    Args:
        text: as it is read, without mathematics.
        size: of the letters, points.
        weight: "normal" or "bold".
    """
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=families(text), size=size, weight=weight)
    width, _, _ = _ruler().get_text_width_height_descent(with_boxes(text), font, False)
    return float(width) / 720


def wrapped(text: str, width: float, size: float, weight: str = "normal") -> str:
    """The text in lines no wider than ``width`` inches: between words, and within words that are too long alone.

    Lines that the text has are kept. A letter that is wider than ``width`` has a line of its own.
    """
    # letters are placed on whole pixels: at a hundred dots an inch some lines are a little wider than at 720
    room = 0.97 * width
    return "\n".join(line for part in text.split("\n") for line in _lines(part, room, size, weight))


def _lines(text: str, width: float, size: float, weight: str) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if text_width(longer, size, weight) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while text_width(word, size, weight) > width and len(word) > 1:
            end = _break(word, width, size, weight)
            lines.append(word[:end])
            word = word[end:]
        line = word
    return [*lines, line]


def _break(word: str, width: float, size: float, weight: str) -> int:
    """Where a long word ends its line: after the last punctuation that fits, if that is not too near its start."""
    fits = next((end for end in range(len(word), 1, -1) if text_width(word[:end], size, weight) <= width), 1)
    mark = max(word.rfind(sign, 0, fits) for sign in "/_-.:·") + 1
    return mark if mark > fits / 2 else fits


def shortened(text: str, width: float, size: float, weight: str = "normal") -> str:
    """The text in one line no wider than ``width`` inches, with dots for what has no room in its middle.

    >>> shortened("person 1", 2.0, 10)
    'person 1'
    """
    room = 0.97 * width
    if text_width(text, size, weight) <= room:
        return text
    fits = next(
        (n for n in range(len(text) - 1, 0, -1) if text_width(_without_middle(text, n), size, weight) <= room), 1
    )
    return _without_middle(text, fits)


def _without_middle(text: str, letters: int) -> str:
    return text[: letters // 2] + "…" + text[len(text) - (letters - letters // 2) :]


# -- a legend ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sign:
    """An entry of a legend.

    Attributes:
        text: what it means.
        kind: how it is drawn: a bone of the mean, the mean with its joints, a thin hypothesis, a shaded region, an
            outline of one, a joint that is seen, one that is not, a plain line, a hatched span of time, a strip
            along it.
        colour: ``#RRGGBB``.
        dash: of a line.
    """

    text: str
    kind: Literal["bone", "mean", "thin", "region", "ring", "seen", "unseen", "line", "span", "strip"]
    colour: str = LIGHT.soft
    dash: Any = "solid"


def side_signs(*sides: str) -> list[Sign]:
    """Entries for the colours of the body's sides."""
    labels = {"left": "person's left", "right": "person's right", "middle": "middle"}
    return [Sign(labels[side], "bone", LIGHT.side(side)) for side in sides]


def _rows(signs: Sequence[Sign], width: float) -> list[list[tuple[float, str, Sign]]]:
    """Signs in rows no wider than ``width``: left end in inches, wrapped words."""
    rows: list[list[tuple[float, str, Sign]]] = []
    x = 0.0
    for sign in signs:
        words = wrapped(sign.text, width - _SIGN - _SIGN_GAP, _LEGEND)
        own = _SIGN + _SIGN_GAP + 1.03 * max(text_width(line, _LEGEND) for line in words.split("\n"))
        if not rows or x + own > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, words, sign))
        x += own + _NEXT
    return rows


def _height(text: str, size: float) -> float:
    return (text.count("\n") + 1) * size * _LEADING / 72 if text else 0.0


# -- a page ------------------------------------------------------------------------------------------------


class Page:
    """A figure with a title and a note above and a legend below; the body between is to be filled.

    Args:
        width: inches.
        title, note: wrapped, as read (no mathematics).
        signs: of the legend, in rows that are filled one after another.
        aside: inches at the right of the title that are left free.
    """

    def __init__(
        self, width: float, title: str, note: str = "", signs: Sequence[Sign] = (), *, aside: float = 0.0
    ) -> None:
        self.width = width
        inner = width - 2 * MARGIN
        self.title = wrapped(title, inner - aside, _TITLE, "bold") if title else ""
        self.note = wrapped(note, inner - aside, _NOTE) if note else ""
        self.rows = _rows(signs, inner) if signs else []
        self._row_heights = [max(_height(words, _LEGEND) for _, words, _ in row) + 0.03 for row in self.rows]
        self.header = MARGIN + _height(self.title, _TITLE) + _height(self.note, _NOTE) + (_GAP if title or note else 0)
        self.footer = MARGIN + sum(self._row_heights) + (_GAP if self.rows else 0)

    def figure(self, body: float, dpi: float = 100) -> Figure:
        """The figure, of which the body is ``body`` inches high; words and signs are drawn."""
        from matplotlib.figure import Figure

        self.height = self.header + body + self.footer
        self._figure = Figure(figsize=(self.width, self.height), dpi=dpi, facecolor=LIGHT.paper)
        top = MARGIN
        self._write(self.title, MARGIN, top, _TITLE, LIGHT.ink, fontweight="bold")
        self._write(self.note, MARGIN, top + _height(self.title, _TITLE), _NOTE, LIGHT.soft)
        top = self.height - self.footer + _GAP
        for row, high in zip(self.rows, self._row_heights, strict=True):
            for x, words, sign in row:
                self._sign(sign, MARGIN + x, top + _LEGEND * _LEADING / 144)
                self._write(words, MARGIN + x + _SIGN + _SIGN_GAP, top, _LEGEND, LIGHT.ink)
            top += high
        return self._figure

    def axes(self, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
        """Axes in the body: inches from its upper left corner."""
        bottom = self.height - self.header - top - height
        place = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        return self._figure.add_axes(place, **options)

    @property
    def rectangle(self) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of the body inside its margins, as shares of the figure."""
        low, side = self.footer / self.height, MARGIN / self.width
        return side, low, 1 - 2 * side, 1 - low - self.header / self.height

    def write(self, text: str, top: float, size: float, colour: str = LIGHT.ink, **options: Any) -> None:
        """Text in the body, at its left margin, ``top`` inches below its upper edge; it is not wrapped."""
        self._write(text, MARGIN, self.header + top, size, colour, **options)

    def _write(self, text: str, left: float, top: float, size: float, colour: str, **options: Any) -> None:
        # line by line: matplotlib puts the last line of several on the baseline
        for number, line in enumerate(text.split("\n") if text else ()):
            baseline = top + (0.95 + _LEADING * number) * size / 72
            self._figure.text(
                left / self.width, 1 - baseline / self.height, literal_text(line), fontsize=size, color=colour,
                va="baseline", **options,
            )  # fmt: skip

    def _sign(self, sign: Sign, left: float, middle: float) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Rectangle

        figure, y = self._figure, 1 - middle / self.height
        ends = [left / self.width, (left + _SIGN) / self.width]
        centre = [(left + _SIGN / 2) / self.width]
        at: dict[str, Any] = {"transform": figure.transFigure}
        pale = mixed(sign.colour, LIGHT.paper, 1.7 * REGION_FACE)
        if sign.kind in ("bone", "thin", "line"):
            width = {"bone": 3.2, "thin": 0.9, "line": 1.6}[sign.kind]
            figure.add_artist(Line2D(ends, [y, y], color=sign.colour, linewidth=width, linestyle=sign.dash, **at))
        elif sign.kind == "mean":
            figure.add_artist(
                Line2D(ends, [y, y], color=sign.colour, linewidth=3.2, marker="o", markersize=6.5,
                       markeredgecolor=LIGHT.paper, markeredgewidth=1.1, **at)
            )  # fmt: skip
        elif sign.kind == "ring":
            figure.add_artist(
                Line2D(centre, [y], marker="o", markersize=11, markerfacecolor="none", linestyle="",
                       markeredgecolor=sign.colour, **at)
            )  # fmt: skip
        elif sign.kind == "region":
            figure.add_artist(
                Line2D(centre, [y], marker="o", markersize=11, markerfacecolor=pale, linestyle="",
                       markeredgecolor=mixed(sign.colour, LIGHT.paper, 0.5), **at)
            )  # fmt: skip
        elif sign.kind in ("span", "strip"):
            high = 0.05 if sign.kind == "strip" else 0.12
            looks: dict[str, Any] = {"facecolor": LIGHT.grid, "hatch": "/////"}
            if sign.kind == "strip":
                looks = {"facecolor": mixed(sign.colour, LIGHT.paper, 0.4)}
            corner, wide = (ends[0], y - high / 2 / self.height), ends[1] - ends[0]
            figure.add_artist(
                Rectangle(corner, wide, high / self.height, edgecolor=LIGHT.line, linewidth=0, **looks, **at)
            )
        else:
            hollow = sign.kind == "unseen"
            dash: Any = (0, (2.2, 1.4)) if hollow else "solid"
            figure.add_artist(Line2D(ends, [y, y], color=sign.colour, linewidth=2.0, linestyle=dash, **at))
            figure.add_artist(
                Line2D(centre, [y], marker="o", markersize=6, linestyle="", markeredgecolor=sign.colour,
                       markerfacecolor=LIGHT.paper if hollow else sign.colour, **at)
            )  # fmt: skip
