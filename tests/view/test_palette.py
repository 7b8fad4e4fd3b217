"""Colours: legible on their paper, and told apart by all kinds of eyes."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import poseterior
from poseterior.data.mocap import inspection, rig_report
from poseterior.view.drawing import COLOURS
from poseterior.view.palette import DARK, LIGHT, PEOPLE, RAMP, Theme, mixed, rgb

SOURCE = Path(poseterior.__file__).parent
#: Machado, Oliveira and Fernandes (2009), severity 1, linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    value = np.asarray(rgb(colour))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    """WCAG 2.1."""
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, matrix: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as an eye with that deficiency sees it."""
    seen = np.clip(np.asarray(matrix) @ linear(colour), 0, 1)
    to_xyz = np.asarray([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ seen / [0.9505, 1.0, 1.089], 1e-6))
    return np.asarray([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_and_words_are_legible_on_their_paper(theme: Theme) -> None:
    for ground in (theme.paper, theme.panel):
        for colour in (theme.left, theme.right, theme.middle, theme.accent):
            assert contrast(colour, ground) >= 3.0, colour
        assert contrast(theme.ink, ground) >= 7.0
        assert contrast(theme.soft, ground) >= 4.5
    if theme is LIGHT:
        assert min(contrast(colour, theme.paper) for colour, _ in PEOPLE) >= 4.5


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_sides_are_told_apart_by_all_eyes(theme: Theme, deficiency: str) -> None:
    matrix = np.asarray(DEFICIENCIES[deficiency])
    left, right, middle = (lab(colour, matrix) for colour in (theme.left, theme.right, theme.middle))
    assert np.linalg.norm(left - right) > 40
    assert min(np.linalg.norm(left - middle), np.linalg.norm(right - middle)) > 15


def test_people_are_told_apart_by_colour_or_dash() -> None:
    assert len({dash for _, dash in PEOPLE}) == len(PEOPLE)
    colours = [lab(colour, np.eye(3)) for colour, _ in PEOPLE]
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(colours, 2)) > 20


def test_the_ramp_rises_in_lightness_for_all_eyes() -> None:
    for matrix in DEFICIENCIES.values():
        lightness = [lab(colour, np.asarray(matrix))[0] for colour in RAMP]
        assert np.diff(lightness).min() > 5


def test_mixed() -> None:
    assert mixed("#FF0000", "#FFFFFF", 0.0) == "#FFFFFF"
    assert mixed("#FF0000", "#FFFFFF", 1.0) == "#FF0000"


def test_one_palette_everywhere() -> None:
    """Sides have these colours also where the palette may not be imported, or is no Python."""
    assert {side: rgb(LIGHT.side(side)) for side in COLOURS} == COLOURS
    for module in (inspection, rig_report):
        assert {side: LIGHT.side(side) for side in COLOURS} == module._COLOURS
    css = (SOURCE / "annotate" / "static" / "style.css").read_text(encoding="utf-8")
    for side in COLOURS:
        assert re.search(rf"\.pin\.{side} \.core {{ fill: {LIGHT.side(side)}; }}", css, re.IGNORECASE)


def test_no_picture_has_colours_of_its_own() -> None:
    """Every colour that a module of pictures names is in the palette, or is a grey."""
    known = {value.lower() for theme in (LIGHT, DARK) for value in vars(theme).values()}
    found = []
    for path in [*sorted((SOURCE / "view").glob("*.py")), SOURCE / "experiments" / "figures.py"]:
        if path.name == "palette.py" or path.name.startswith("scene"):
            continue
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"""["'](tab:\w+|C\d|red|green|blue|orange)["']""", text)
        hexes = [
            c for c in re.findall(r"#[0-9a-fA-F]{6}\b", text) if c.lower() not in known and len({*c[1:].lower()}) > 1
        ]
        found += [(path.name, colour) for colour in (*named, *hexes)]
    assert found == []
