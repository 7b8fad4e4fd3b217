"""Every colour of pictures, films and pages.

The sides of a body are blue and vermillion of Okabe and Ito (2008), "Color Universal Design", which people with any of
the usual kinds of colour blindness tell apart; darker paper takes lighter ones of the same hue. Nothing is told by red
against green. Uncertainty has the hue of what it belongs to, nearly transparent.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DARK",
    "FILLED",
    "HYPOTHESIS",
    "LIGHT",
    "PEOPLE",
    "RAMP",
    "REGION_EDGE",
    "REGION_FACE",
    "SERIES",
    "Theme",
    "mixed",
    "rgb",
]


@dataclass(frozen=True)
class Theme:
    """Colours for one kind of paper, as ``#RRGGBB``.

    Attributes:
        left, right, middle: the person's own sides, and the trunk.
        paper, panel: what is drawn on, and a slightly different ground on it (the floor below a person).
        ink, soft: words, and words that matter less.
        line, grid: axes and frames; rulings behind what is drawn.
        accent: what can be pressed, the present moment; no side's colour.
    """

    left: str
    right: str
    middle: str
    paper: str
    panel: str
    ink: str
    soft: str
    line: str
    grid: str
    accent: str

    def side(self, name: str) -> str:
        """Colour of "left", "right" or "middle"."""
        return {"left": self.left, "right": self.right, "middle": self.middle}[name]


LIGHT = Theme(
    left="#0072B2", right="#D55E00", middle="#4A5568", paper="#FFFFFF", panel="#F4F6F9", ink="#18202B", soft="#5C6877",
    line="#B8C1CC", grid="#E8ECF1", accent="#7A4B94",
)  # fmt: skip
DARK = Theme(
    left="#56B4E9", right="#F0803C", middle="#CBD5E0", paper="#12161C", panel="#1B212A", ink="#E9EDF2", soft="#9AA6B5",
    line="#4A5665", grid="#29313C", accent="#C9A4DD",
)  # fmt: skip

#: Opacity of a region's face and edge, and of the fewest and the most hypotheses.
REGION_FACE, REGION_EDGE, HYPOTHESIS = 0.13, 0.30, (0.12, 0.45)

#: Metres: the largest ball that is filled. A dozen that lie on each other, as of what is hardly known, hide the person:
#: larger ones are outlines.
FILLED = 0.35

#: Curves of several people, who are also told apart by their dashes; none is a side's colour.
PEOPLE = (("#00755C", "solid"), ("#7A4B94", "dashed"), ("#8A6100", "dashdot"), ("#4A5568", "dotted"))

#: Curves of several lifters or protocols (Okabe and Ito), which are also told apart by markers or dashes.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

#: From little to much uncertainty: cividis (Nuñez, Anderton and Renslow 2018), the same to all eyes and in grey.
RAMP = ("#00224E", "#35456C", "#666970", "#948E77", "#C8B866", "#FEE838")


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1 of ``#RRGGBB``.

    >>> rgb("#FF0080")
    (1.0, 0.0, 0.5019607843137255)
    """
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def mixed(colour: str, paper: str, share: float) -> str:
    """What a colour of this opacity looks like on that paper.

    >>> mixed("#000000", "#FFFFFF", 0.2)
    '#CCCCCC'
    """
    parts = [round(255 * (share * a + (1 - share) * b)) for a, b in zip(rgb(colour), rgb(paper), strict=True)]
    return "#" + "".join(f"{part:02X}" for part in parts)
