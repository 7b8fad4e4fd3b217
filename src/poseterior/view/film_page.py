"""The frames of a film of lifted clips: the film's own picture with its keypoints, everybody in 3D, a line of time.

One figure for all frames: what never changes is drawn once, the rest is drawn over a copy of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..files.films import FilmFrames
from ..results.poses import LiftResult
from .axes import picture_title
from .backdrop import Backdrop
from .body import Body
from .drawing import pose_signs
from .fonts import legible
from .page import MARGIN, Page, shortened
from .palette import LIGHT, PEOPLE
from .panels import Stage, flat_box, panel_title, picture_ground, show_keypoints
from .photos import Photos, film_of, read_photo
from .projecting import in_picture
from .timelines import Timeline
from .tracks import Track
from .words import put_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_PEOPLE", "FilmPage", "Rectangle", "grid_of", "panels_of"]

MOST_PEOPLE = len(PEOPLE)
#: Inches: the title of a panel, the line of time with its words, what is between panels; the words at the upper right.
_TITLE, _TIME, _BETWEEN, _ASIDE = 0.28, 1.0, 0.25, 2.3
#: Room for the words left of the line of time, and below.
_TIME_WORDS, _TIME_BELOW = 0.62, 0.28
#: Of the width at least this share is for the people in 3D.
_STAGES = 0.44
#: Frames of which the limits of axes are made, at most; poses whose places in the picture are worked out at a time.
_MEASURED, _CHUNK = 240, 64
#: Of a film all is shown only where the people move over this share of it: they are not to be small.
_WHOLE = 0.7

#: Left, top, width and height, inches.
Rectangle = tuple[float, float, float, float]


def grid_of(count: int, room: Rectangle, shape: float) -> list[Rectangle]:
    """Places of ``count`` equal panels in a room, as large as they get.

    Args:
        count: of panels.
        room: in which they are.
        shape: width over height that would be best.

    Returns:
        Rectangles row by row, without gaps in between, which fill the room.
    """
    left, top, width, height = room

    def size(columns: int) -> float:
        return min(width / columns / shape, height / -(-count // columns))

    columns = max(range(1, count + 1), key=size)
    wide, high = width / columns, height / -(-count // columns)
    return [(left + wide * (i % columns), top + high * (i // columns), wide, high) for i in range(count)]


def panels_of(
    width: float, height: float, shapes: Sequence[float], people: int
) -> tuple[list[Rectangle], list[Rectangle]]:
    """Places of the pictures and of the people in 3D beside them, inches from the upper left corner.

    Args:
        width, height: of the room.
        shapes: width over height of each picture.
        people: in 3D.

    Returns:
        Pictures, each of its shape; stages. Above each there is room for a title.
    """
    least = _STAGES * width
    if len(shapes) == 1:
        high = height - _TITLE
        wide = min(high * shapes[0], width - least - _BETWEEN)
        pictures = [(0.0, _TITLE + (high - wide / shapes[0]) / 2 * (wide < high * shapes[0]), wide, wide / shapes[0])]
        used = wide
    else:
        used = width - least - _BETWEEN
        pictures = []
        for (left, top, wide, high), shape in zip(grid_of(len(shapes), (0, 0, used, height), 1.0), shapes, strict=True):
            wide, high = wide - 0.15, high - _TITLE - 0.05
            fitted = min(wide, high * shape)
            pictures.append((left, top + _TITLE, fitted, fitted / shape))
    start = used + _BETWEEN
    stages = [
        (left, top + _TITLE, wide - 0.1, high - _TITLE - 0.05)
        for left, top, wide, high in grid_of(people, (start, 0.0, width - start, height), 0.85)
    ]
    return pictures, stages


class FilmPage:
    """A page on which a lifted clip is played.

    Args:
        result: with poses in its gaps already.
        tracks: the people; those beyond `MOST_PEOPLE` are left out, and the page says so.
        size: width and height, inches.
        dpi: dots an inch.
        photos: see `poseterior.view.film.save_film`.
        hypotheses: samples drawn per pose.
        frames: numbers of the film's frames.
        fps: of the film.
    """

    def __init__(
        self, result: LiftResult, tracks: list[Track], size: tuple[float, float], dpi: float, photos: Photos,
        hypotheses: int, frames: list[int], fps: float,
    ) -> None:  # fmt: skip
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        shown = tracks[:MOST_PEOPLE]
        self.result, self.frames, self.places = result, frames, {number: i for i, number in enumerate(frames)}
        files = list(dict.fromkeys(track.file for track in shown))
        title = ", ".join(Path(file).name or "poses" for file in files)
        note = (
            f"lifter {result.lifter}; " if result.lifter else ""
        ) + f"{result.units}, relative to the {result.origin}; ring on the floor: 1 m"
        if len(tracks) > len(shown):
            note += f"; {len(shown)} of {len(tracks)} people"
        probe = Timeline(Figure().subplots(), result, shown, frames, fps)
        page = Page(size[0], title, note, [*pose_signs(result, hypotheses), *probe.signs()], aside=_ASIDE)
        self.figure = page.figure(size[1] - page.header - page.footer, dpi)
        self.canvas = FigureCanvasAgg(self.figure)
        body = size[1] - page.header - page.footer
        inner = size[0] - 2 * MARGIN

        self.behind: dict[Path, FilmFrames] = {}
        self.pictures = [
            _Picture(result, [track for track in shown if track.file == file], self._photo(photos, file))
            for file in files
        ]
        flats, solids = panels_of(
            inner, body - _TIME - _TIME_BELOW, [picture.shape for picture in self.pictures], len(shown)
        )
        for picture, (left, top, wide, high) in zip(self.pictures, flats, strict=True):
            axes = page.axes(MARGIN + left, top, wide, high)
            title = picture_title(result) if len(files) == 1 else Path(picture.tracks[0].file).name
            panel_title(axes, shortened(title, wide, 10), wide)
            picture.draw_on(axes, round(size[1] * dpi))
        self.stages: list[tuple[Track, Stage]] = []
        for track, (colour, _), (left, top, wide, high) in zip(shown, PEOPLE, solids, strict=False):
            axes = page.axes(MARGIN + left, top, wide, high)
            name = "in 3D" if len(shown) == 1 else track.label if len(files) > 1 else track.label.split(" · ", 1)[-1]
            panel_title(axes, shortened(name, wide, 10, "bold"), wide)
            if len(shown) > 1:
                axes.set_title(axes.get_title(loc="left"), fontsize=10, loc="left", color=colour, fontweight="bold")
            width = float(np.clip(0.95 * min(wide, high), 1.8, 3.4))
            stage = Stage(axes, result, _some(track), hypotheses, high / wide, width, words=False, camera=False)
            for artist in (stage.spokes, stage.shadow, *stage.body.artists):
                artist.set_animated(True)
            for artist in stage.body.artists:
                artist.set_clip_on(False)
            self.stages.append((track, stage))
        line = page.axes(
            MARGIN + _TIME_WORDS, body - _TIME - _TIME_BELOW + 0.18, inner - _TIME_WORDS - 0.1, _TIME - 0.18
        )
        self.timeline = Timeline(line, result, shown, frames, fps)
        self.dpi = dpi
        self.corner = (1 - MARGIN / size[0]) * size[0] * dpi, (MARGIN + 0.02) * dpi
        legible(self.figure)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)

    def _photo(self, photos: Photos, file: str) -> NDArray[np.uint8] | FilmFrames | None:
        source = film_of(photos, file)
        if source is None:
            return read_photo(photos, file)
        if source not in self.behind:
            self.behind[source] = FilmFrames(source)
        return self.behind[source]

    def __enter__(self) -> FilmPage:
        return self

    def __exit__(self, *_: object) -> None:
        for frames in self.behind.values():
            frames.close()

    def picture(self, frame: int, time: float, azimuth: float) -> NDArray[np.uint8]:
        """The film's frame ``(height, width, 4)``, red, green, blue and 255, at a frame number of the result."""
        self.canvas.restore_region(self.background)
        pixels = np.asarray(self.canvas.buffer_rgba())
        for picture in self.pictures:
            picture.show(frame, pixels)
        for track, stage in self.stages:
            index = track.at(frame)
            if index is None:
                stage.turn(azimuth)
            else:
                stage.show(index, azimuth)
            stage.axes.draw_artist(stage.spokes)
            x, y = stage.axes.transData.transform(stage.camera.get_position())
            letters = 8 * self.dpi / 72
            if not self.result.in_world:
                put_words(pixels, "camera", x, pixels.shape[0] - y - letters / 2, letters, LIGHT.soft, align=0.5)
            if index is not None:
                stage.axes.draw_artist(stage.shadow)
                stage.body.draw()
        place = self.places[frame]
        self.timeline.draw(place)
        (x, y), letters = self.corner, 10 * self.dpi / 72
        for number, words in enumerate(self.words(frame, time, place)):
            put_words(pixels, words, x, y + 1.35 * letters * number, letters, LIGHT.ink, align=1.0)
        return pixels.copy()

    def words(self, frame: int, time: float, place: int) -> list[str]:
        """The lines in the upper right corner."""
        lines = [f"{int(time // 60)}:{time % 60:04.1f}   frame {frame}"]
        if len(self.stages) == 1:
            radius = self.timeline.means[0, place]
            lines.append(f"mean radius {radius:.0f} mm" if np.isfinite(radius) else "nobody")
        return lines


def _some(track: Track) -> NDArray[np.int64]:
    """Rows of a track, evenly spread where there are many."""
    rows = np.asarray(list(track.poses.values()), int)
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MEASURED)).round().astype(int))]


class _Picture:
    """The people of one file in its picture."""

    def __init__(self, result: LiftResult, tracks: list[Track], photo: NDArray[np.uint8] | FilmFrames | None) -> None:
        self.result, self.tracks = result, tracks
        self.film = photo if isinstance(photo, FilmFrames) else None
        self.photo = None if isinstance(photo, FilmFrames) else photo
        shape = (
            self.film.film.shown[::-1] if self.film is not None else None if self.photo is None else self.photo.shape
        )
        rows = np.concatenate([_some(track) for track in tracks])
        points, _ = in_picture(result, rows)
        self.box = flat_box(points, result.visible[rows], shape, whole=_WHOLE)
        width, height = (self.box[1] - self.box[0]).tolist()
        self.shape = width / height
        self._known: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def draw_on(self, axes: Axes, height: int) -> None:
        """Take axes of its shape, on a canvas ``height`` px high."""
        picture_ground(axes, self.box, self.photo)
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
        axes.spines[:].set_visible(False)
        self.axes = axes
        self.bodies = [Body(axes, self.result.tree, 2.4) for _ in self.tracks]
        for body in self.bodies:
            for artist in body.artists:
                artist.set_animated(True)
        self.backdrop = None if self.film is None else Backdrop(self.film, axes, height)

    def show(self, frame: int, pixels: NDArray[np.uint8]) -> None:
        """Draw the film's frame and everybody in it."""
        if self.backdrop is not None:
            self.backdrop.show(frame, pixels)
        for track, body in zip(self.tracks, self.bodies, strict=True):
            index = track.at(frame)
            if index is not None:
                points, covariance = self._place(track, index, frame)
                show_keypoints(body, points, covariance, self.result.visible[index], self.result.level)
                body.draw()

    def _place(self, track: Track, index: int, frame: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of a pose in the picture; of the next ones at once, as frames follow each other."""
        if index not in self._known:
            if len(self._known) >= _CHUNK * MOST_PEOPLE:
                self._known.clear()
            rows = [row for number in range(frame, frame + _CHUNK) if (row := track.at(number)) is not None]
            points, covariance = in_picture(self.result, np.asarray(rows, int))
            self._known.update(zip(rows, zip(points, covariance, strict=True), strict=True))
        return self._known[index]
