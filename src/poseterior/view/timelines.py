"""How sure a lifted film is from moment to moment: a line of time with a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..results.poses import LiftResult
from .drawing import Array, tidy_axes
from .page import Sign
from .palette import LIGHT, PEOPLE, rgb
from .tracks import Track

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Timeline", "course"]


def course(
    result: LiftResult, track: Track, frames: Sequence[int]
) -> tuple[Float[NDArray[np.float64], "frames 3"], Bool[NDArray[np.bool_], "frames"], Float[Array, "frames"]]:
    """A person's uncertainty over the frames of a film.

    Returns:
        Mean, smallest and largest radius of the joints' regions, mm, without the origin's; NaN where the person is not
        there. Whether the person is there though nothing of them was seen (a gap that is bridged). The share of joints
        that are not seen; NaN where the person is not there.
    """
    joints = [j for j, name in enumerate(result.joint_names) if name != result.origin]
    rows = np.asarray([-1 if (row := track.at(frame)) is None else row for frame in frames], int)
    there = rows >= 0
    radii = 1000 * result.region_radius[rows][:, joints].astype(np.float64)
    values = np.where(there[:, None], np.stack([radii.mean(1), radii.min(1), radii.max(1)], 1), np.nan)
    unseen = np.where(there, 1.0 - result.visible[rows].mean(1), np.nan)
    return values, there & (unseen == 1.0), unseen


class Timeline:
    """Mean radius over time, of one person with the range over the joints, of several a line each; and a cursor.

    Spans in which a person is not seen, and the pose is bridged, are hatched; where nobody is, there is no line. A
    strip below says how many of the joints are not seen.

    Args:
        axes: to draw on.
        result: whose regions they are.
        tracks: the people, as many as there are `PEOPLE` at most.
        frames: of the film, by number.
        fps: of the film.
    """

    def __init__(
        self, axes: Axes, result: LiftResult, tracks: Sequence[Track], frames: Sequence[int], fps: float
    ) -> None:
        self.axes = axes
        times = np.arange(len(frames)) / fps
        found = [course(result, track, frames) for track in tracks]
        self.means = np.stack([values[:, 0] for values, _, _ in found])
        self.unseen = any(bool(np.nanmax(share, initial=0.0) > 0) for _, _, share in found)
        self.bridged = any(bool(gone.any()) for _, gone, _ in found)
        alone = len(tracks) == 1
        top = 0.0
        for (values, gone, _), (colour, dash) in zip(found, PEOPLE, strict=False):
            line = LIGHT.ink if alone else colour
            if alone:
                axes.fill_between(times, values[:, 1], values[:, 2], color=LIGHT.ink, alpha=0.13, linewidth=0)
            axes.plot(times, values[:, 0], color=line, linewidth=1.6, linestyle="solid" if alone else dash, marker="",
                      solid_capstyle="round")  # fmt: skip
            top = max(top, float(np.nanquantile(values[:, 2 if alone else 0], 0.995)))
            for start, end in _spans(gone):
                axes.axvspan(
                    (start - 0.5) / fps, (end - 0.5) / fps, facecolor=LIGHT.grid, edgecolor=LIGHT.line, hatch="/////",
                    linewidth=0, zorder=0,
                )  # fmt: skip
        last, high = max(float(times[-1]), 1 / fps), 1.12 * top or 1.0
        edges = (-0.5 / fps, last + 0.5 / fps)
        shares = np.stack([share for *_, share in found])
        there = np.isfinite(shares)
        share = np.where(there, shares, 0.0).sum(0) / np.maximum(there.sum(0), 1)
        strip = np.tile(np.asarray([*rgb(LIGHT.ink), 0.0]), (1, len(frames), 1))
        strip[0, :, 3] = np.where(share > 0, np.clip(share, 0.15, 1.0), 0.0)
        axes.imshow(strip, extent=(*edges, 0, 0.07 * high), aspect="auto", interpolation="nearest", zorder=3)
        axes.set(xlim=edges, ylim=(0, high))
        axes.set_ylabel("radius (mm)")
        tidy_axes(axes)
        axes.locator_params(axis="y", nbins=3)
        axes.xaxis.set_major_formatter("{x:g} s")
        axes.grid(True, axis="y", color=LIGHT.grid, linewidth=0.7)
        (self.cursor,) = axes.plot([0, 0], [0, 1], color=LIGHT.accent, linewidth=1.6, animated=True,
                                   transform=axes.get_xaxis_transform())  # fmt: skip
        colours = [LIGHT.ink] if alone else [colour for colour, _ in PEOPLE[: len(tracks)]]
        self.dots = axes.scatter(np.zeros(len(tracks)), np.zeros(len(tracks)), s=34, c=colours, zorder=6,
                                 edgecolors=LIGHT.paper, linewidths=1.2, animated=True)  # fmt: skip
        self.dots.set_clip_on(False)
        self.times = times

    def signs(self) -> list[Sign]:
        """What the legend says of it."""
        said = [Sign("radius: mean and range over the joints", "line", LIGHT.ink)] if len(self.means) == 1 else []
        if self.unseen:
            said.append(Sign("share of joints not seen", "strip", LIGHT.ink))
        if self.bridged:
            said.append(Sign("not seen: bridged" if len(self.means) == 1 else "somebody not seen: bridged", "span"))
        return said

    def draw(self, place: int) -> None:
        """Draw the cursor at a frame of the film."""
        time = self.times[place]
        self.cursor.set_xdata([time, time])
        self.dots.set_offsets(np.stack([np.full(len(self.means), time), self.means[:, place]], 1))
        self.axes.draw_artist(self.cursor)
        self.axes.draw_artist(self.dots)


def _spans(there: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and one past the last place of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
