"""People in the maps of a network of the CenterNet kind (Zhou et al. 2019), as MoveNet MultiPose draws them.

For each place of the picture the network says whether the middle of a person is there (``center``), how large that
person is (``scale``, ``offset``) and about where the joints are from there (``regress``); and, for nobody in
particular, how likely each joint is there (``heat``), and how far from the place's corner exactly (``shift``). A joint
of a person is where its heat is highest inside of the person's box, weighted by a Gaussian around where it is about.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .base import Array

__all__ = ["Found", "Maps", "people_in_maps"]

#: Cells to a side within which one middle is the only one.
_ALONE = 5
#: Variance of the Gaussian around where a joint is about, cells of the map's shorter side, of that side; halved.
_WEIGHT = 0.3
#: Scores of joints below which they do not count for the person's.
_COUNTS = 0.127


class Maps(NamedTuple):
    """What the network draws; each ``(channels, rows, columns)``.

    Attributes:
        center: ``(1, ...)`` 0 to 1.
        scale, offset: ``(2, ...)`` height and width of the box, and of its middle from the place's corner; cells.
        regress: ``(2 joints, ...)`` y and x of each joint from the place, cells.
        heat: ``(joints, ...)`` 0 to 1.
        shift: ``(2 joints, ...)`` y and x of each joint from its place's corner, cells.
    """

    center: Array
    scale: Array
    offset: Array
    regress: Array
    heat: Array
    shift: Array


class Found(NamedTuple):
    """People, the surest middle first.

    Attributes:
        xy: ``(n, joints, 2)`` cells.
        score: ``(n, joints)`` heat, less further from where the joint is about, 0 to 1.
        place: ``(n, joints, 2)`` columns and rows of the heat.
        box: ``(n, 4)`` left, top, right, bottom, cells.
        sure: ``(n,)`` 0 to 1: of the middle, and of the joints.
    """

    xy: Array
    score: Array
    place: Array
    box: Array
    sure: Array


def people_in_maps(maps: Maps, most: int = 6) -> Found:
    """The surest people, ``most`` of them; who is hardly sure is among them.

    Args:
        maps: of one picture.
        most: people.
    """
    _, rows, columns = maps.heat.shape
    y, x = _middles(maps.center[0], most)
    high, wide = np.maximum(maps.scale[:, y, x], 0.0)
    down, across = y + maps.offset[0, y, x], x + maps.offset[1, y, x]
    box = np.stack([across - wide / 2, down - high / 2, across + wide / 2, down + high / 2], -1)
    box = box.clip(0.0, [columns, rows, columns, rows])
    about = maps.regress[:, y, x].T.reshape(len(y), -1, 2)[..., ::-1] + np.stack([x, y], -1)[:, None]
    weighted = _weighted(maps.heat, about, box)
    best = weighted.reshape(*weighted.shape[:2], -1).argmax(-1)
    row, column = best // columns, best % columns
    joints = np.arange(maps.heat.shape[0])
    score = weighted.max(0)[joints, row, column]  # a place that is more somebody else's has their score
    shift = maps.shift.reshape(-1, 2, rows, columns)[joints, :, row, column]
    xy = np.stack([column + shift[..., 1], row + shift[..., 0]], -1)
    counts = score > _COUNTS
    sure = maps.center[0, y, x] * np.where(counts, score, 0.0).sum(-1) / np.maximum(counts.sum(-1), 1)
    return Found(xy, score, np.stack([column, row], -1), box, sure)


def _middles(center: Array, most: int) -> tuple[Array, Array]:
    """Rows and columns of the highest places, none near a higher one."""
    reach = _ALONE // 2
    padded = np.pad(center, reach, constant_values=-1.0)
    around = np.lib.stride_tricks.sliding_window_view(padded, (_ALONE, _ALONE)).max((-2, -1))
    alone = np.where(center >= around, center, 0.0).reshape(-1)
    order = np.argsort(-alone, kind="stable")[:most]
    return order // center.shape[1], order % center.shape[1]


def _weighted(heat: Array, about: Array, box: Array) -> Array:
    """``(n, joints, rows, columns)`` the heat of each person's joints.

    Args:
        heat: ``(joints, rows, columns)``.
        about: ``(n, joints, 2)`` x and y, cells.
        box: ``(n, 4)`` outside of which there is none.
    """
    _, rows, columns = heat.shape
    across, down = np.arange(columns), np.arange(rows)
    width = _WEIGHT * min(rows, columns)
    # the Gaussian is a product of one along x and one along y
    gaussian_x = np.exp(-((across - about[..., :1]) ** 2) / width) * _between(across, box[:, 0], box[:, 2])[:, None]
    gaussian_y = np.exp(-((down - about[..., 1:]) ** 2) / width) * _between(down, box[:, 1], box[:, 3])[:, None]
    return heat * gaussian_y[..., :, None] * gaussian_x[..., None, :]


def _between(places: Array, low: Array, high: Array) -> Array:
    return (places >= low[:, None]) & (places < high[:, None])
