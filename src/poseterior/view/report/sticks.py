"""Stick figures, rank plots and swatches of a benchmark's report, as plain SVG in the colours of the page.

A colour is a lifter and nothing else. Which side a joint is on, and whether its error bars are too short or too long,
is told by ink alone: solid and dotted lines; black, grey and hollow discs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...geometry.skeletons import SKELETONS
from ...metrics.calibration import LEVELS
from ...metrics.resampling import uniform_band
from .figures import OFF, Style, Unit, number

__all__ = ["ranks_svg", "skeleton_svg", "swatch_svg", "worst_pose_svg"]

# -- stick figures -----------------------------------------------------------------------------------------

#: A person who faces the reader, arms and legs a little apart so that circles have room: x to the reader's right,
#: y down, mm. The person's left is at the reader's right.
_FRONT = {
    "pelvis": (0, 0), "spine": (0, -240), "thorax": (0, -480), "neck_nose": (0, -600), "head_top": (0, -730),
    "left_hip": (125, 10), "left_knee": (205, 440), "left_ankle": (250, 870),
    "left_shoulder": (175, -450), "left_elbow": (440, -330), "left_wrist": (670, -215),
}  # fmt: skip
_FRONT |= {name.replace("left_", "right_"): (-x, y) for name, (x, y) in _FRONT.items() if name.startswith("left_")}
#: Circles above this (mm) are cut: they say no more than "anywhere".
_LARGEST = 450.0


def skeleton_svg(unit: Unit, skeleton: Mapping[str, Any], lifter: str) -> str | None:
    """Errors and radii of each joint on a stick figure, as an ``<svg>`` element.

    The disc has the joint's mean error as its radius, the ring the median 90 % radius, both to the scale of the body.
    The disc's colour is the sign of the joint's calibration. Joints that the drawing does not know are left out.

    Args:
        unit: with ``per joint``; None is returned without.
        skeleton: ``joints`` and ``bones`` (child, parent).
        lifter: for screen readers.
    """
    table = unit.get("per joint", {})
    if not table:
        return None
    label = f"{lifter}: mean error and 90 % radius of each joint drawn on a stick figure; the numbers are in the table"
    svg = _svg("-920 -920 1840 2040", label)
    joints = skeleton["joints"]
    for child, parent in skeleton["bones"]:
        if joints[child] in _FRONT and joints[parent] in _FRONT:
            (x1, y1), (x2, y2) = _FRONT[joints[child]], _FRONT[joints[parent]]
            _add(svg, "line", x1=x1, y1=y1, x2=x2, y2=y2, class_="bone")
    drawn = [(name, row) for name, row in table.items() if name in _FRONT]
    for layer, name_of_size in (("ring", "radius"), ("disc", "error")):
        for name, row in drawn:
            size = number(row, name_of_size)
            if size is not None:
                x, y = _FRONT[name]
                circle = _add(
                    svg, "circle", cx=x, cy=y, r=round(min(size, _LARGEST), 1), class_=_circle_class(layer, row)
                )
                _add(circle, "title").text = _joint_text(name, row)
    for name, row in drawn:
        error = number(row, "error")
        if error is not None:
            x, y, anchor = _label_place(name)
            text = _add(svg, "text", x=x, y=y, class_=f"size {anchor}")
            text.text = f"{error:.0f}" if error < 1000 else ">999"
    return ElementTree.tostring(svg, encoding="unicode")


def _label_place(name: str) -> tuple[int, int, str]:
    """Where the number of a joint hides neither its disc nor another: above arms, outside of legs, beside the trunk."""
    x, y = _FRONT[name]
    if name.endswith(("elbow", "wrist")):
        return x, y - 85, "middle"
    if name.endswith("shoulder"):
        return x + (50 if x > 0 else -50), y + 130, "middle"
    if name == "thorax":
        return x + 65, y + 95, "start"
    side = -1 if name.startswith("right_") else 1
    return x + side * 85, y + 23, "end" if side < 0 else "start"


def _circle_class(layer: str, row: Mapping[str, Any]) -> str:
    signed = number(row, "signed")
    if layer == "ring" or signed is None:
        return layer
    return f"{layer} over" if signed > OFF else f"{layer} under" if signed < -OFF else f"{layer} right"


def _joint_text(name: str, row: Mapping[str, Any]) -> str:
    parts = [f"{label} {value:.0f} mm" for label, key in (("error", "error"), ("90 % radius", "radius"))
             if (value := number(row, key)) is not None]  # fmt: skip
    signed = number(row, "signed")
    if signed is not None:
        parts.append(f"signed calibration {signed:+.2f}")
    return f"{name.replace('_', ' ')}: {', '.join(parts)}"


def worst_pose_svg(pose: Mapping[str, Any], skeleton: Mapping[str, Any], colour: int, label: str) -> str:
    """One pose in three panels: its keypoints, then truth, mean and hypotheses from the camera and from the side.

    Args:
        pose: ``keypoints``, ``visible``, ``truth``, ``mean``, ``samples`` as a benchmark's ``worst`` has them.
        skeleton: ``joints`` and ``bones`` (child, parent).
        colour: of the lifter, number in `poseterior.view.report.figures.PALETTE`.
        label: what screen readers say.
    """
    svg = _svg("0 0 330 118", label)
    bones = [(child, parent) for child, parent in skeleton["bones"]]
    visible = np.asarray(pose["visible"], bool)
    for column, title in enumerate(("keypoints", "from the camera", "from the side")):
        _add(svg, "text", x=110 * column + 55, y=9, class_="panel").text = title
    _draw_keypoints(svg, _points(pose["keypoints"], 2), visible, bones, skeleton)
    truth, mean = _points(pose["truth"], 3), _points(pose["mean"], 3)
    samples = [_points(sample, 3) for sample in pose.get("samples", ())]
    low, high = np.nanmin(truth, axis=0), np.nanmax(truth, axis=0)
    # what a lifter puts far outside of the truth is cut, or the truth would be a dot
    half = 0.5 * float((high - low).max()) * 1.35
    for column, axes in ((1, (0, 1)), (2, (2, 1))):
        panel = _add(svg, "svg", x=110 * column + 2, y=12, width=106, height=104, viewBox="-53 -52 106 104")
        picked = list(axes)
        centre = (low + high)[picked] / 2

        def place(points: np.ndarray, picked: list[int] = picked, centre: np.ndarray = centre) -> np.ndarray:
            return (points[:, picked] - centre) * 50 / half

        for sample in samples:
            _add(panel, "path", d=_sticks(place(sample), bones), class_="hypothesis", style=f"stroke:var(--c{colour})")
        _add(panel, "path", d=_sticks(place(mean), bones), class_="mean", style=f"stroke:var(--c{colour})")
        seen = place(truth)
        _add(panel, "path", d=_sticks(seen, bones), class_="truth")
        for x, y in seen[~visible & np.isfinite(seen).all(-1)]:
            _add(panel, "circle", cx=round(x, 1), cy=round(y, 1), r=2, class_="hidden")
    length = 0.5 * 50 / half
    _add(svg, "path", d=f"M{326 - length:.1f} 113H326", class_="ruler")
    _add(svg, "text", x=326, y=109, class_="ruler-text").text = "0.5 m"
    return ElementTree.tostring(svg, encoding="unicode")


def _draw_keypoints(
    svg: ElementTree.Element, points: np.ndarray, visible: np.ndarray, bones: list[tuple[int, int]],
    skeleton: Mapping[str, Any],
) -> None:  # fmt: skip
    seen = visible & np.isfinite(points).all(-1)
    if not seen.any():
        return
    low, high = points[seen].min(0), points[seen].max(0)
    scale = 92 / max(float((high - low).max()), 1.0)
    placed = (points - (low + high) / 2) * scale + (55, 64)
    sides = _sides(skeleton)
    for side in ("middle", "right", "left"):
        some = [(child, parent) for child, parent in bones if seen[child] and seen[parent] and sides[child] == side]
        if some:
            _add(svg, "path", d=_sticks(placed, some), class_=f"keypoints {side}")
    for joint in np.flatnonzero(seen):
        x, y = placed[joint]
        _add(svg, "circle", cx=round(x, 1), cy=round(y, 1), r=1.3, class_=f"keypoint {sides[joint]}")
    for joint in np.flatnonzero(~visible & np.isfinite(placed).all(-1)):
        x, y = placed[joint]
        _add(svg, "circle", cx=round(x, 1), cy=round(y, 1), r=2, class_="hidden")


def _sides(skeleton: Mapping[str, Any]) -> tuple[str, ...]:
    known = SKELETONS.get(skeleton.get("name", ""))
    return (
        known.sides
        if known and list(known.joints) == list(skeleton["joints"])
        else ("middle",) * len(skeleton["joints"])
    )


def _points(rows: Sequence[Any], size: int) -> np.ndarray:
    """``(joints, size)``; NaN where a row or a coordinate is null."""
    nothing = [None] * size
    return np.asarray([[np.nan if value is None else value for value in row or nothing] for row in rows], float)


def _sticks(points: np.ndarray, bones: Sequence[tuple[int, int]]) -> str:
    """Path of the bones whose two ends exist."""
    parts = []
    for child, parent in bones:
        (x1, y1), (x2, y2) = points[parent], points[child]
        if math.isfinite(x1 + y1 + x2 + y2):
            parts.append(f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}")
    return "".join(parts)


# -- ranks -------------------------------------------------------------------------------------------------

#: Gaps between a share and its level beyond this are cut.
_LARGEST_GAP = 0.3


def ranks_svg(units: Mapping[str, Unit], styles: Mapping[str, Style], quantity: str, label: str) -> str | None:
    """How far the ranks of a quantity are from uniform, for every lifter, as an ``<svg>`` element.

    Across: the level, 0 to 1. Up: the share of ranks below it less the level, cut at 0.3: all lines are flat if the
    distribution is right. A hill says that the truth is smaller than the hypotheses, a valley larger, first up and then
    down too sure, first down and then up too unsure. The band holds the whole line of a right distribution 95 % of the
    time, at the smallest number of independent poses among the lifters.

    Args:
        units: of one protocol, by lifter, with ``SBC``.
        styles: of the lifters.
        quantity: name.
        label: what screen readers say.
    """
    found = {}
    for lifter, unit in units.items():
        counts = unit.get("SBC", {}).get("histograms", {}).get(quantity)
        if counts and sum(counts):
            found[lifter] = np.concatenate([[0.0], np.cumsum(counts) / sum(counts)])
    if not found:
        return None
    known = [number(units[lifter], "SBC", "independent", quantity) for lifter in found]
    fewest = min((count for count in known if count), default=None)
    svg = _svg("-20 -36 122 72", label)
    levels = np.asarray(LEVELS)
    if fewest:
        low, high = (np.asarray(end) - levels for end in uniform_band(max(1, round(fewest))))
        outline = [*zip(levels, high, strict=True), *zip(levels[::-1], low[::-1], strict=True)]
        _add(svg, "path", d=_gap_path(outline) + "Z", class_="band")
    _add(svg, "path", d="M0 0H100", class_="zero")
    for y, text in ((-30, f"+{_LARGEST_GAP:g}"), (30, f"−{_LARGEST_GAP:g}")):
        _add(svg, "path", d=f"M0 {y}H100", class_="frame")
        _add(svg, "text", x=-2, y=y + (6 if y < 0 else -1), class_="tick end").text = text
    for lifter, share in found.items():
        steps = np.linspace(0, 1, len(share))
        path = _gap_path(zip(steps, share - steps, strict=True))
        line = _add(svg, "path", d=path, class_="ranks", style=f"stroke:var(--c{styles[lifter].colour})")
        line.set("stroke-dasharray", _SWATCH_DASHES[styles[lifter].dash])
        _add(line, "title").text = lifter
    return ElementTree.tostring(svg, encoding="unicode")


def _gap_path(points: Any) -> str:
    """A line through ``(level, gap)``, gaps up."""
    cut = [(x, max(-_LARGEST_GAP, min(_LARGEST_GAP, y))) for x, y in points]
    return "M" + "L".join(f"{100 * x:.1f} {-100 * y:.1f}" for x, y in cut)


# -- legends -----------------------------------------------------------------------------------------------

_SWATCHES = {
    "o": "M9 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "s": "M9.5 2.5h7v7h-7z",
    "D": "M13 1.2L17.8 6L13 10.8L8.2 6z",
    "^": "M13 1.5L17.5 10H8.5z",
    "v": "M13 10.5L8.5 2H17.5z",
    "P": "M11.4 1.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2v-2.9H8.5V4.4h2.9z",
}
_SWATCH_DASHES = {"solid": "none", "dashed": "5 3", "dotted": "1.5 2.5"}


def swatch_svg(style: Style) -> str:
    """Line and marker of a lifter, for legends; says nothing to screen readers."""
    svg = ElementTree.Element(
        "svg",
        {"class": "swatch", "viewBox": "0 0 26 12", "aria-hidden": "true", "style": f"color:var(--c{style.colour})"},
    )
    dash = {"stroke-dasharray": _SWATCH_DASHES[style.dash]}
    ElementTree.SubElement(svg, "path", {"d": "M0 6H26", "stroke": "currentColor", "stroke-width": "2", **dash})
    ElementTree.SubElement(svg, "path", {"d": _SWATCHES[style.marker], "fill": "currentColor"})
    return ElementTree.tostring(svg, encoding="unicode")


# -- elements ----------------------------------------------------------------------------------------------


def _svg(view_box: str, label: str) -> ElementTree.Element:
    attributes = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": view_box, "role": "img", "aria-label": label}
    return ElementTree.Element("svg", attributes)


def _add(parent: ElementTree.Element, tag: str, *, class_: str | None = None, **attributes: Any) -> ElementTree.Element:
    if class_ is not None:
        attributes["class"] = class_
    return ElementTree.SubElement(parent, tag, {key: str(value) for key, value in attributes.items()})
