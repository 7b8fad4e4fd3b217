"""The picture of a lifted photograph: every person in it, in 3D, from the side, and how sure each joint is.

matplotlib is imported when a figure is made, not with this module.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..results.poses import LiftResult
from .axes import picture_title, stage_title, views_of
from .body import Body
from .drawing import Array, name_of, pose_signs, text_width, title_of, wrapped
from .fonts import legible
from .page import MARGIN, Page
from .palette import LIGHT
from .panels import Stage, flat_box, flat_panel, panel_title, picture_ground, show_keypoints
from .photos import Photos, check_photos, read_photo
from .plots import draw_radii, draw_view
from .projecting import in_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["AZIMUTH", "photo_figure", "save_photo_figure"]

#: Inches: the height of a row's panels, the widest photograph, the narrowest and the widest stage.
_HIGH, _WIDEST, _STAGE = 4.3, 5.6, (3.7, 5.6)
_SIDE, _BARS, _BETWEEN = 2.9, 2.6, 0.3
#: A narrow page shrinks photograph and stage to this share of their size.
_SMALLEST = 0.6
#: Room for the words of axes, left and below; for the names of joints; for the title of a panel.
_WORDS, _NAMES, _TITLE = 0.62, 1.05, 0.30
#: The eye of the stage: degrees to the right of the camera.
AZIMUTH = 30.0
#: From so many people of one photograph on there is one picture of all, and a card a person.
_CROWD = 4
_CARD, _CARD_TITLE, _OVERVIEW = (2.15, 2.5), 0.48, 7.0


def photo_figure(
    result: LiftResult, max_poses: int = 4, *, photos: Photos = None, hypotheses: int = 40, width: float = 17.0
) -> Figure:
    """Picture of a lifted photograph.

    One row a person: the photograph with the 2D keypoints as used (px), as large as the person in 3D beside it, from
    30 degrees to the right of the camera and 12 above; from the side (m); the radius of each joint's region (mm). From
    four people of one photograph on: the photograph with all of them, and the person in 3D on a card each.

    The mean is on top and thick, hypotheses are faint; regions are shaded: in 3D the balls of these radii, whose level
    and whether it is calibrated the legend tells; in the photograph what holds a normal distribution with the
    keypoint's covariance at the same level. The person's left is blue, right is vermillion. A joint that the image does
    not show is hollow, its bone dashed; in the photograph it is where the hypotheses are seen.

    Args:
        result: what to draw.
        max_poses: people at most; of more poses, evenly spaced ones are drawn.
        photos: the picture(s) that the keypoints come from, see `poseterior.view.photos.read_photo`.
        hypotheses: samples drawn per pose.
        width: inches; panels that have no room side by side go below each other.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state).

    Raises:
        InputError: no poses, a width below 5 inches, or a photo that cannot be read.
    """
    if not len(result):
        raise InputError("the result has no poses; nothing to draw")
    if max_poses < 1:
        raise InputError(f"max_poses: expected a whole number from 1, got {max_poses}")
    if not 5 <= width <= 100:
        raise InputError(f"width: expected 5 to 100 inches, got {width:g}")
    check_photos(photos, result.file.tolist())
    chosen = np.unique(np.linspace(0, len(result) - 1, min(max_poses, len(result))).round().astype(int))
    drawn = result[chosen]
    if len(drawn) >= _CROWD and len({*zip(drawn.file.tolist(), drawn.frame.tolist(), strict=True)}) == 1:
        return _crowd(drawn, read_photo(photos, str(drawn.file[0])), hypotheses, width, len(result))
    return _rows(drawn, photos, hypotheses, width, len(result))


def save_photo_figure(
    result: LiftResult,
    path: str | os.PathLike[str],
    max_poses: int = 4,
    *,
    photos: Photos = None,
    hypotheses: int = 40,
    width: float = 17.0,
    dpi: int = 110,
) -> None:
    """Write `photo_figure` as a ``.png`` that appears only when it is complete.

    Raises:
        InputError: as `photo_figure`; another extension; a path that cannot be written to.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{os.fspath(path)}: unknown extension; the picture of a photograph is a .png")
    figure = photo_figure(result, max_poses, photos=photos, hypotheses=hypotheses, width=width)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=dpi, facecolor="white")


# -- a row a person ----------------------------------------------------------------------------------------


def _rows(result: LiftResult, photos: Photos, hypotheses: int, width: float, total: int) -> Figure:
    title, note = title_of(result, total)
    alone = len(result) == 1
    shots = [read_photo(photos, str(file)) for file in result.file]
    points, covariance = in_picture(result, np.arange(len(result)))
    boxes = [
        flat_box(points[row], result.visible[row], None if shot is None else shot.shape)
        for row, shot in enumerate(shots)
    ]
    sizes, stage, high, (side, bars) = _sizes([(top - low).tolist() for low, top in boxes], width - 2 * MARGIN)
    column = max(size[0] for size in sizes)  # as wide in all rows, so that panels stand below each other
    panels = [_WORDS + column, stage, _WORDS + side, _NAMES + bars]
    lines = _flow(panels, width - 2 * MARGIN)
    inner = max(x + panel for (_, x), panel in zip(lines, panels, strict=True))
    page = Page(inner + 2 * MARGIN, _heading(result, 0) if alone else title, note, pose_signs(result, hypotheses))
    places, top = [], 0.0
    for row in range(len(result)):
        heading = "" if alone else wrapped(_heading(result, row), inner, 11, "bold")
        hidden = wrapped(_hidden(result, row), inner, 9)
        below = top + 0.21 * (heading.count("\n") + 1) * bool(heading)
        start = below + 0.18 * (hidden.count("\n") + 1) * bool(hidden)
        places.append((heading, top, hidden, below, start))
        top = start + (lines[-1][0] + 1) * (_TITLE + high + _WORDS)
    figure = page.figure(top)
    radii = 1000 * result.region_radius
    limit = 1.12 * float(radii.max(initial=1.0))
    for row, (heading, top, hidden, below, start) in enumerate(places):
        page.write(heading, top, 11, fontweight="bold")
        page.write(hidden, below, 9, LIGHT.soft)
        left = [MARGIN + x for _, x in lines]
        tops = [start + line * (_TITLE + high + _WORDS) + _TITLE for line, _ in lines]
        flat_width, flat_height = sizes[row]
        flat = page.axes(left[0] + _WORDS, tops[0] + (high - flat_height) / 2, flat_width, flat_height)
        flat_panel(flat, result, row, points[row], covariance[row], boxes[row], shots[row])
        panel_title(flat, picture_title(result), flat_width)
        solid = page.axes(left[1], tops[1], stage, high)
        Stage(solid, result, np.asarray([row]), hypotheses, high / stage).show(row, AZIMUTH)
        panel_title(solid, stage_title(result, AZIMUTH), stage)
        across = page.axes(left[2] + _WORDS, tops[2], side, high)
        view = views_of(result)[1]
        draw_view(across, result, row, view, hypotheses, fill=high / side)
        panel_title(across, view[0], side)
        lengths = page.axes(left[3] + _NAMES, tops[3], bars, high)
        draw_radii(lengths, result, row, radii[row], limit)
        lengths.set_xlabel(wrapped(lengths.get_xlabel(), bars, 9))
        panel_title(lengths, "radius of each joint's region", bars)
    return legible(figure)


def _sizes(
    shapes: Sequence[Sequence[float]], room: float
) -> tuple[list[tuple[float, float]], float, float, tuple[float, float]]:
    """How large panels are, inches: photographs, the stage's width, the height of all, the widths of the last two.

    Args:
        shapes: width and height of the photographs' boxes, in any unit.
        room: width of the page inside its margins.
    """

    def photographs(wide: float, high: float) -> tuple[list[tuple[float, float]], float]:
        sizes = [_inside(shape, wide, high) for shape in shapes]
        return sizes, min(max(max(size[0] for size in sizes), high / _HIGH * _STAGE[0]), high / _HIGH * _STAGE[1])

    high, last = _HIGH, (_SIDE, _BARS)
    sizes, stage = photographs(_WIDEST, high)
    fixed = 2 * _WORDS + _NAMES + _SIDE + _BARS + 3 * _BETWEEN
    column = max(size[0] for size in sizes)
    if fixed + column + stage > room >= fixed + 2 * _STAGE[0] * 0.9:
        sizes, stage = photographs((room - fixed) / 2, high)  # a little smaller, all are side by side
        return sizes, min(stage, (room - fixed) / 2), high, last
    if fixed + column + stage > room:
        pair = (room - _WORDS - _BETWEEN) / (column + stage)
        if pair < 1:  # a narrow page has smaller panels, so that the person stands beside the photograph
            share = max(pair, _SMALLEST)
            sizes, stage, high = [(share * w, share * h) for w, h in sizes], share * stage, max(share, 0.8) * _HIGH
        share = float(np.clip((room - _WORDS - _NAMES - _WORDS - _BETWEEN) / (_SIDE + _BARS), _SMALLEST, 1.0))
        last = (share * _SIDE, share * _BARS)
    return sizes, stage, high, last


def _heading(result: LiftResult, index: int) -> str:
    """File, and where there are several frames or people in it, which."""
    same = result.file == result.file[index]
    parts = [name_of(result, index)]
    frame = int(result.frame[index])
    parts += [f"frame {frame}"] * (frame > 0 or len(np.unique(result.frame[same])) > 1)
    person = int(result.person[index])
    parts += [f"person {person}"] * (person > 0 or len(np.unique(result.person[same])) > 1)
    return " · ".join(parts)


def _hidden(result: LiftResult, index: int) -> str:
    hidden = [
        name.replace("_", " ") for name, seen in zip(result.joint_names, result.visible[index], strict=True) if not seen
    ]
    if not hidden:
        return ""
    placed = "; where they are in the picture cannot be told" if len(hidden) > len(result.joint_names) - 2 else ""
    listed = f"all {len(hidden)} joints" if len(hidden) == len(result.joint_names) else ", ".join(hidden)
    return f"not seen in the picture: {listed}{placed}"


def _inside(size: Sequence[float], width: float, height: float) -> tuple[float, float]:
    """The largest width and height of this shape inside a box."""
    scale = min(width / size[0], height / size[1])
    return size[0] * scale, size[1] * scale


def _flow(widths: Sequence[float], room: float) -> list[tuple[int, float]]:
    """Line and left end of panels that go side by side while there is room."""
    placed, line, x = [], 0, 0.0
    for width in widths:
        if x and x + width > room + 1e-6:
            line, x = line + 1, 0.0
        placed.append((line, x))
        x += width + _BETWEEN
    return placed


# -- a card a person ---------------------------------------------------------------------------------------


def _crowd(result: LiftResult, photo: NDArray[np.uint8] | None, hypotheses: int, width: float, total: int) -> Figure:
    title, note = title_of(result, total)
    points, covariance = in_picture(result, np.arange(len(result)))
    low, high = flat_box(points, result.visible, None if photo is None else photo.shape)
    wide, tall = (high - low).tolist()
    room = width - 2 * MARGIN
    beside = tall > 0.9 * wide and room > 9
    most = max(int((room / 2 if beside else room) / _CARD[0]), 1)
    columns = -(-len(result) // -(-len(result) // most))
    card = _CARD[0] if most > 2 or beside else room / most
    lines = -(-len(result) // columns)
    cards_high = lines * (_CARD[1] + _CARD_TITLE)
    if beside:
        flat_width, flat_height = _inside((wide, tall), room / 2 - _WORDS - _BETWEEN, max(cards_high - _WORDS, 5.0))
        inner = _WORDS + flat_width + _BETWEEN + columns * card
    else:
        inner = max(columns * card, min(room, _OVERVIEW))
        flat_width, flat_height = _inside((wide, tall), inner - _WORDS, _OVERVIEW)
    page = Page(inner + 2 * MARGIN, title, note, pose_signs(result, hypotheses))
    flat_high = flat_height + _TITLE + _WORDS
    figure = page.figure(max(flat_high, cards_high) if beside else flat_high + cards_high)
    flat = page.axes(MARGIN + _WORDS, _TITLE, flat_width, flat_height)
    picture_ground(flat, (low, high), photo)
    panel_title(flat, picture_title(result), flat_width)
    for row in range(len(result)):
        body = Body(flat, result.tree, 1.8)
        show_keypoints(body, points[row], covariance[row], result.visible[row], result.level)
        _number(flat, str(result.person[row]), points[row], low, high)
    left, top = (MARGIN + _WORDS + flat_width + _BETWEEN, 0.0) if beside else (MARGIN, flat_high)
    for row in range(len(result)):
        x, y = left + card * (row % columns), top + (_CARD[1] + _CARD_TITLE) * (row // columns)
        solid = page.axes(x, y + _CARD_TITLE, card - 0.1, _CARD[1])
        Stage(solid, result, np.asarray([row]), hypotheses, _CARD[1] / (card - 0.1), 2.4, words=False).show(
            row, AZIMUTH
        )
        radius = 1000 * float(_joints_mean(result, row))
        panel_title(solid, f"person {result.person[row]}\nmean radius {radius:.0f} mm", card - 0.1)
    return legible(figure)


def _joints_mean(result: LiftResult, index: int) -> float:
    """Mean radius over the joints but the origin, which is where it is by definition; metres."""
    joints = [j for j, name in enumerate(result.joint_names) if name != result.origin]
    return float(result.region_radius[index, joints].mean())


def _number(axes: Axes, text: str, points: Array, low: Array, high: Array) -> None:
    """A person's number above the highest joint, inside the panel."""
    known = points[np.isfinite(points).all(-1)]
    known = known[((known >= low) & (known <= high)).all(-1)]
    if not len(known):
        return
    x, y = known[known[:, 1].argmin()]
    size = high - low
    reach = 0.02 + 0.5 * text_width(text, 10, "bold") / 5
    x = float(np.clip(x, low[0] + reach * size[0], high[0] - reach * size[0]))
    y = float(max(y - 0.03 * size[1], low[1] + 0.03 * size[1]))
    axes.text(
        x, y, text, ha="center", va="center", fontsize=9, fontweight="bold", color=LIGHT.paper, zorder=30,
        bbox={"boxstyle": "round,pad=0.25", "facecolor": LIGHT.ink, "edgecolor": LIGHT.paper, "linewidth": 0.8},
    )  # fmt: skip
