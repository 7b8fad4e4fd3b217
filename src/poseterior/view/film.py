"""Films of lifted clips, and the picture of a lifted photograph, which is drawn on the same stage.

A stage is a parallel projection onto flat axes, as contact sheets are, not matplotlib's 3D axes: the photograph behind
a person is then an image under an affine map, sharp at any size, and the few artists of a body are moved from frame to
frame instead of being drawn anew.

matplotlib is imported when a figure is made, not with this module.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..files.errors import InputError
from ..files.films import FilmFrames
from ..files.numbered import usual_step
from ..files.writing import atomic_write, check_writable
from ..geometry.skeletons import Skeleton
from ..results.bridging import bridged
from ..results.poses import LiftResult
from ..results.timeline import MAX_GAP, gap_line
from ..results.times import ASSUMED_FPS
from .backdrop import Backdrop
from .drawing import COLOURS, Array, circles, ellipses, explain, literal_text, side_handles, tidy_axes
from .ffmpeg import check_ffmpeg, encode
from .photos import Photos, check_photos, film_of, keypoint_box, read_photo
from .plots import VIEWS, draw_keypoints, draw_radii, draw_view
from .scene import Track, tracks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.progress import Progress

__all__ = ["VIDEO_SUFFIXES", "check_video", "photo_figure", "save_film", "save_photo_figure"]

VIDEO_SUFFIXES = (".mp4", ".gif")

#: The published picture's eye (Yu et al. 2021): degrees above and to the side, here on the camera's side of the person.
_ELEVATION, _AZIMUTH = 10.0, 45.0
#: Metres between a person and the photograph behind, and the height of a photograph whose scale cannot be told.
_BEHIND, _PLAIN_HEIGHT = 0.5, 1.9

#: Size of a film in inches and its dots an inch; a GIF is smaller. Multiples of 16 px, which codecs want.
_FILM_SIZE = (12.8, 7.2)
_DPI = {".mp4": 100, ".gif": 60}
#: The turning eye: degrees to the side at the start, and above.
_FILM_START, _FILM_ELEVATION = 25.0, 12.0
_MOST_PEOPLE = 4
#: A GIF keeps its frames in memory until it is written, and few programs show more than 15 a second.
_GIF_FPS, _GIF_FRAMES = 15.0, 1000
#: Metres from the middle: rings on the floor, the mark that shows in which direction the camera is.
_RINGS, _CAMERA_MARK = (0.25, 0.5), 0.6
_PAPER = "0.965"
#: Seconds for which a film may be empty; longer ones are cut to one second.
_LONGEST_AWAY = 10.0
_LOG = logging.getLogger(__name__)


# -- drawing a body ----------------------------------------------------------------------------------------


def eye(azimuth: float, elevation: float) -> Float[NDArray[np.float64], "3 3"]:
    """Rotation from camera axes (x right, y down, z forward) to right, up and towards the eye.

    Args:
        azimuth: degrees around the vertical; 0 looks as the camera does, 90 from its right-hand side.
        elevation: degrees above the horizontal.
    """
    turn, tilt = np.radians([azimuth, elevation])
    right = np.asarray([np.cos(turn), 0.0, np.sin(turn)])
    near, up = np.asarray([np.sin(turn), 0.0, -np.cos(turn)]), np.asarray([0.0, -1.0, 0.0])
    return np.stack([right, up * np.cos(tilt) - near * np.sin(tilt), up * np.sin(tilt) + near * np.cos(tilt)])


class _Body:
    """A body on flat axes: outlines of uncertainty, hypotheses, bones and joints; `show` moves it to another pose."""

    def __init__(self, axes: Axes, tree: Skeleton, width: float = 3.0) -> None:
        from matplotlib.collections import LineCollection, PolyCollection

        self.bones = np.asarray([(parent, child) for child, parent in tree.bones], int).reshape(-1, 2)
        self.colours = np.asarray([COLOURS[side] for side in tree.sides])
        self.width = width
        transparent = np.concatenate([np.tile(self.colours, (2, 1)), np.repeat([0.07, 0.4], len(tree))[:, None]], 1)
        self.outlines = PolyCollection(
            [], facecolors=transparent[: len(tree)], edgecolors=transparent[len(tree) :], linewidths=0.7, zorder=2
        )
        self.hypotheses = LineCollection([], linewidths=0.8, zorder=3)
        self.limbs = LineCollection([], capstyle="round", zorder=4)
        self.joints = axes.scatter([], [], s=(3.2 * width) ** 2 / 4, linewidths=0.8, zorder=5)
        axes.add_collection(self.outlines, autolim=False)
        axes.add_collection(self.hypotheses, autolim=False)
        axes.add_collection(self.limbs, autolim=False)
        self.artists = [self.outlines, self.hypotheses, self.limbs, self.joints]

    def show(
        self,
        points: Float[Array, "joints 2"],
        outlines: Float[Array, "joints corners 2"],
        visible: Bool[NDArray[np.bool_], "joints"],
        hypotheses: Float[Array, "n joints 2"] | None = None,
        depth: Float[Array, "joints"] | None = None,
    ) -> None:
        """Draw a pose; NaN hides a joint.

        Args:
            points: in the axes' units.
            outlines: of each joint's uncertainty, from `circles` or `ellipses`.
            visible: joints seen in the image are filled, others hollow.
            hypotheses: thin bodies behind.
            depth: towards the eye; the nearest bone is drawn last, and far ones are paler.
        """
        self.outlines.set_verts(list(outlines))
        bone_colours = self.colours[self.bones[:, 1]]
        thin = np.empty((0, 2, 2)) if hypotheses is None else hypotheses[:, self.bones].reshape(-1, 2, 2)
        self.hypotheses.set_segments(list(thin))
        if len(thin):
            copies = len(thin) // len(self.bones)
            self.hypotheses.set_color(np.tile(bone_colours, (copies, 1)).tolist())
            self.hypotheses.set_alpha(float(np.clip(8.0 / copies, 0.15, 0.5)))
        order, paleness = np.arange(len(self.bones)), np.zeros(len(self.bones))
        if depth is not None and np.isfinite(depth).all():
            middle = depth[self.bones].mean(1)
            order = np.argsort(middle)
            paleness = np.interp(middle, [middle.min() - 1e-6, middle.max()], [0.4, 0.0])
        pale = (bone_colours + (1.0 - bone_colours) * paleness[:, None])[order]
        # a white rim below each bone tells which of two crossing limbs is in front
        rims: Any = np.stack([np.ones_like(pale), pale], 1).reshape(-1, 3)
        self.limbs.set_segments(list(points[self.bones[order]].repeat(2, 0)))
        self.limbs.set_edgecolor(rims)
        self.limbs.set_linewidth([self.width + 1.8, self.width] * len(order))
        self.joints.set_offsets(points)
        self.joints.set_facecolor(np.where(visible[:, None], self.colours, 1.0).tolist())
        self.joints.set_edgecolor(np.where(visible[:, None], 1.0, self.colours).tolist())


def _show_3d(body: _Body, result: LiftResult, index: int, view: Array, hypotheses: int, shift: Array) -> None:
    """Draw a pose of the result, moved by ``shift``, as the eye ``view`` sees it."""
    mean = (result.mean[index] + shift) @ view.T
    samples = (result.samples[index, :hypotheses] + shift) @ view.T
    centre = (result.region_center[index] + shift) @ view.T
    balls = circles(centre[:, :2], result.region_radius[index])
    body.show(mean[:, :2], balls, result.visible[index], samples[..., :2], mean[:, 2])


# -- a photograph ------------------------------------------------------------------------------------------


def photo_figure(result: LiftResult, max_poses: int = 4, *, photos: Photos = None, hypotheses: int = 40) -> Figure:
    """Picture of a lifted photograph, one row a person.

    Columns: the photograph with the 2D keypoints as used and their 1-sigma ellipses (px); the photograph as a plane
    behind the lifted person, seen from 45 degrees to the right of the camera and 10 above it; the person from the side
    (m); the radius of each joint's region (mm). In 3D the mean is thick, hypotheses are thin, circles are the balls of
    these radii; the labels say which level they have, and whether they are calibrated. The person's left is blue, right
    is red; a joint that the image does not show is hollow.

    Args:
        result: what to draw.
        max_poses: rows at most; of more poses, evenly spaced ones are drawn.
        photos: the picture(s) that the keypoints come from, see `poseterior.view.photos.read_photo`.
        hypotheses: samples drawn per pose.

    Returns:
        a matplotlib ``Figure`` of its own (no pyplot state).

    Raises:
        InputError: no poses, or a photo that cannot be read.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not len(result):
        raise InputError("the result has no poses; nothing to draw")
    if max_poses < 1:
        raise InputError(f"max_poses: expected a whole number from 1, got {max_poses}")
    check_photos(photos, result.file.tolist())
    chosen = np.unique(np.linspace(0, len(result) - 1, min(max_poses, len(result))).round().astype(int)).tolist()
    radii = 1000 * result.region_radius[chosen]
    limit = 1.12 * float(radii.max(initial=1.0))
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(16.0, 4.4 * len(chosen) + 0.9), layout=layout)
    axes = figure.subplots(len(chosen), 4, squeeze=False, gridspec_kw={"width_ratios": [0.85, 1.25, 0.95, 1.0]})
    for row, index in enumerate(chosen):
        photo = read_photo(photos, str(result.file[index]))
        draw_keypoints(axes[row, 0], result, index, photo)
        _draw_before_photo(axes[row, 1], result, index, photo, hypotheses)
        draw_view(axes[row, 2], result, index, VIEWS[1], hypotheses)
        axes[row, 2].set_ylabel("y, down (m)")
        draw_radii(axes[row, 3], result, index, radii[row], limit)
    explain(figure, result, min(hypotheses, result.samples.shape[1]))
    return figure


def save_photo_figure(
    result: LiftResult,
    path: str | os.PathLike[str],
    max_poses: int = 4,
    *,
    photos: Photos = None,
    hypotheses: int = 40,
    dpi: int = 110,
) -> None:
    """Write `photo_figure` as a ``.png`` that appears only when it is complete.

    Raises:
        InputError: as `photo_figure`; another extension; a path that cannot be written to.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{os.fspath(path)}: unknown extension; the picture of a photograph is a .png")
    figure = photo_figure(result, max_poses, photos=photos, hypotheses=hypotheses)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=dpi, facecolor="white")


def _metres_a_pixel(points: Array, mean: Array) -> tuple[float, Array]:
    """Scale and the pixel of the pelvis by which 2D keypoints lie best over the mean pose seen from the front.

    Args:
        points: (visible joints, 2) px.
        mean: (visible joints, 2) metres.
    """
    spread = points - points.mean(0)
    square = float((spread * spread).sum())
    scale = float((spread * (mean - mean.mean(0))).sum()) / square if square > 0 else 0.0
    if scale <= 0:  # fewer than two joints seen, or a pose that has nothing of the keypoints
        low, high = keypoint_box(points)
        scale = _PLAIN_HEIGHT / float((high - low)[1])
    return scale, points.mean(0) - mean.mean(0) / scale


def _draw_before_photo(axes: Axes, result: LiftResult, index: int, photo: NDArray[np.uint8] | None, count: int) -> None:
    from matplotlib.patches import Polygon
    from matplotlib.transforms import Affine2D

    axes.set_title("in front of the photograph" if photo is not None else "in front of the keypoints", fontsize=10)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    visible = result.visible[index]
    mean, samples = result.mean[index], result.samples[index, :count]
    keypoints = result.keypoints[index].astype(np.float64)
    view = eye(_AZIMUTH, _ELEVATION)
    cloud = np.concatenate([mean, samples.reshape(-1, 3)])
    balls = circles((result.region_center[index] @ view.T)[:, :2], result.region_radius[index]).reshape(-1, 2)
    if visible.any():
        scale, pelvis = _metres_a_pixel(keypoints[visible], mean[visible, :2].astype(np.float64))
        back = float(cloud[:, 2].max()) + _BEHIND

        def on_plane(pixels: Array) -> Array:
            metres = (pixels - pelvis) * scale
            return (np.concatenate([metres, np.full((*metres.shape[:-1], 1), back)], -1) @ view.T)[..., :2]

        low, high = keypoint_box(keypoints[visible], None if photo is None else photo.shape[:2], margin=0.18)
        corners = on_plane(np.asarray([low, [high[0], low[1]], high, [low[0], high[1]]]))
        axes.add_patch(Polygon(corners, facecolor=_PAPER, edgecolor="0.7", linewidth=0.8, zorder=0))
        if photo is not None:
            left, top = np.maximum(np.floor(low), 0).astype(int)
            right, bottom = np.ceil(high).astype(int)
            part = photo[top:bottom, left:right]
            if part.size:
                origin, along, down = on_plane(np.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
                matrix = np.eye(3)
                matrix[:2] = np.stack([along - origin, down - origin, origin], 1)
                extent = (left, left + part.shape[1], top + part.shape[0], top)
                image = axes.imshow(
                    part, extent=extent, interpolation="bilinear", alpha=0.85, zorder=1, aspect="equal",
                    transform=Affine2D(matrix) + axes.transData,
                )  # fmt: skip
                image.set_clip_path(Polygon(corners, transform=axes.transData))
        flat = on_plane(np.where(visible[:, None], keypoints, np.nan))
        drawn = _Body(axes, result.tree, width=1.6)
        drawn.show(flat, np.empty((0, 0, 2)), visible)
        cloud = np.concatenate([cloud @ view.T[:, :2], balls, corners])
    else:
        cloud = np.concatenate([cloud @ view.T[:, :2], balls])
    body = _Body(axes, result.tree)
    for artist in body.artists:
        artist.set_zorder(artist.get_zorder() + 10)
    _show_3d(body, result, index, view, count, np.zeros(3))
    low, high = cloud.min(0), cloud.max(0)
    margin = 0.03 * (high - low).max()
    axes.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin))


# -- a film ------------------------------------------------------------------------------------------------


def check_video(path: str | os.PathLike[str], fps: float) -> None:
    """Make sure that a film can be written, before any work is done for it.

    Raises:
        InputError: another extension than .mp4 or .gif, a rate that films do not have, a path that cannot be written
            to, or a package that is not installed.
    """
    name, suffix = os.fspath(path), Path(path).suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise InputError(f"{name}: unknown extension {suffix!r}; use one of: {', '.join(VIDEO_SUFFIXES)}")
    if not 1 <= fps <= 240:
        raise InputError(f"{name}: fps: a film needs 1 to 240 frames per second, got {fps:g}")
    check_writable(path)
    if suffix == ".mp4":
        check_ffmpeg(name)


def save_film(
    result: LiftResult,
    path: str | os.PathLike[str],
    *,
    fps: float | None = None,
    turn: float = 20.0,
    photos: Photos = None,
    hypotheses: int = 20,
    max_gap: float = MAX_GAP,
    progress: Progress | None = None,
) -> int:
    """Write a film of a lifted clip: the 2D keypoints, and the person in 3D, slowly turning.

    In 3D the mean is thick, hypotheses are thin, circles are the balls of each joint's region, of which the caption
    says whether they are calibrated; the lowest joint stands on the floor, whose rings are half a metre and a metre
    wide and turn with the direction to the camera. Up to four people stand side by side, further ones are left out, and
    the film says so. A person who is not there is not drawn, but for gaps of at most ``max_gap``, in which the pose is
    what `poseterior.results.bridging.bridged` gives. The film keeps real time: it stands empty while nobody is there.

    Args:
        result: at least one person in at least two frames; single pictures are left out.
        path: ``.mp4`` (1280x720, H.264; by the ffmpeg on the path, or the one of the extra ``video``) or ``.gif``
            (768x432, of at most 15 frames per second: every second frame of a clip of 30). The file appears only when
            it is complete.
        fps: frames per second, 1 to 240; every frame number from the first of the result to the last is a frame of the
            film, but that it is empty for a second only where nobody is there for more than ten. By default what the
            input told, else 30 is assumed and logged.
        turn: degrees per second by which the eye goes around the person; 0 keeps it still.
        photos: picture(s) behind the keypoints, see `poseterior.view.photos.read_photo`; of a film (see
            `poseterior.view.photos.film_of`) the frames, by the numbers of the result's.
        hypotheses: samples drawn per pose.
        max_gap: seconds without a person that are bridged.
        progress: a rich progress display that counts the frames.

    Returns:
        Number of frames drawn.

    Raises:
        InputError: as `check_video`; no clip in the result; a GIF of more than 1,000 frames; a photo that cannot be
            read; writing fails.
    """
    if fps is None:
        fps = result.fps
        if fps is None:
            fps = ASSUMED_FPS
            _LOG.warning("%s: %g frames a second is assumed: pass --fps (fps=... in Python)", os.fspath(path), fps)
    check_video(path, fps)
    if not np.isfinite(turn):
        raise InputError(f"turn: expected degrees per second, got {turn}")
    suffix = Path(path).suffix.lower()
    tracks = [track for track in tracks_of(result) if not track.still]
    if not tracks:
        raise InputError(
            f"{os.fspath(path)}: a film needs a clip, but every file has one frame; write a picture instead"
        )
    said = gap_line([sorted(track.poses) for track in tracks], fps, max_gap)
    if said:
        _LOG.warning("%s: %s", os.fspath(path), said)
    result = bridged(result, fps, max_gap)
    tracks = [track for track in tracks_of(result) if not track.still]
    frames, fps = _in_real_time({frame for track in tracks for frame in track.poses}, fps, max_gap)
    step = max(int(np.ceil(fps / _GIF_FPS)), 1) if suffix == ".gif" else 1
    shown = frames[::step]
    if suffix == ".gif" and len(shown) > _GIF_FRAMES:
        raise InputError(
            f"{os.fspath(path)}: a GIF of {len(shown):,} frames is too large (at most {_GIF_FRAMES:,}); write .mp4"
        )
    check_photos(photos, result.file.tolist())
    film = _Film(result, tracks, _DPI[suffix], photos, hypotheses, frames, fps)
    times = np.arange(0, len(frames), step) / fps
    pictures: Iterable[NDArray[np.uint8]]
    pictures = (film.picture(f, t, _FILM_START + turn * t) for f, t in zip(shown, times.tolist(), strict=True))
    if progress is not None:
        pictures = progress.track(pictures, total=len(shown), description=Path(path).name)
    with film, atomic_write(path) as file:
        if suffix == ".gif":
            _write_gif(file, pictures, times, step / fps)
        else:
            _write_mp4(file, pictures, fps, os.fspath(path))
    return len(shown)


def _in_real_time(known: set[int], fps: float, max_gap: float) -> tuple[list[int], float]:
    """The frame numbers of a film, and its frames per second: fewer for a clip that is thinned, but one at least."""
    numbers = np.asarray(sorted(known), np.int64)
    usual = usual_step(numbers.tolist())
    unit = usual if usual > max(max_gap * fps, 1.0) else 1
    rate = float(np.clip(fps / unit, 1.0, 240.0))
    frames: list[int] = []
    for start, end in zip(numbers.tolist(), [*numbers[1:].tolist(), int(numbers[-1]) + unit], strict=True):
        away = (end - start) // unit
        frames += range(start, start + unit * (away if away <= _LONGEST_AWAY * rate else round(rate)), unit)
    return frames, rate


def _write_mp4(file: IO[bytes], pictures: Iterable[NDArray[np.uint8]], fps: float, name: str) -> None:
    # The encoder writes under the temporary name itself: an MP4 is completed by going back to its start.
    width, height = (round(side * _DPI[".mp4"]) for side in _FILM_SIZE)
    encode(file.name, pictures, (width, height), fps, name)


def _write_gif(file: IO[bytes], pictures: Iterable[NDArray[np.uint8]], times: Array, last: float) -> None:
    from PIL import Image

    # A GIF counts hundredths of a second: rounding the times, not the durations, keeps the length of the whole.
    marks = np.round(100 * np.append(times, times[-1] + last)).astype(int)
    durations = (10 * np.maximum(np.diff(marks), 2)).tolist()
    images: Iterator[Image.Image] = (
        Image.fromarray(p).convert("RGB").quantize(128, dither=Image.Dither.NONE) for p in pictures
    )
    first = next(images)
    first.save(file, format="GIF", save_all=True, append_images=images, duration=durations, loop=0)


class _Film:
    """One figure for all frames: what never changes is drawn once, the rest is drawn over a copy of it."""

    def __init__(
        self, result: LiftResult, tracks: list[Track], dpi: int, photos: Photos, hypotheses: int, frames: list[int],
        fps: float,
    ) -> None:  # fmt: skip
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=_FILM_SIZE, dpi=dpi, facecolor="white")
        self.canvas = FigureCanvasAgg(self.figure)
        self.frames = frames
        shown = tracks[:_MOST_PEOPLE]
        # up to two people have keypoints and body side by side, more have them one above the other
        wide = len(shown) <= 2
        rows, columns = (1, 2 * len(shown)) if wide else (2, len(shown))
        grid = self.figure.add_gridspec(
            rows, columns, left=0.06, right=0.97, top=0.88, bottom=0.13, wspace=0.12, hspace=0.2,
            width_ratios=[0.8, 1.2] * len(shown) if wide else None, height_ratios=None if wide else [0.7, 1.3],
        )  # fmt: skip
        self.people = []
        self.behind: dict[Path, FilmFrames] = {}
        for number, track in enumerate(shown):
            places = (grid[0, 2 * number], grid[0, 2 * number + 1]) if wide else (grid[0, number], grid[1, number])
            flat, solid = (self.figure.add_subplot(place) for place in places)
            flat.set_title(literal_text(track.label), fontsize=10, fontweight="bold")
            if len(shown) == 1:
                flat.set(xlabel="x, right (px)", ylabel="y, down (px)")
            source = film_of(photos, track.file)
            if source is not None and source not in self.behind:
                self.behind[source] = FilmFrames(source)
            photo = read_photo(photos, track.file) if source is None else self.behind[source]
            self.people.append(_FilmedPerson(result, track, flat, solid, photo, hypotheses))
        self._caption(result, len(tracks))
        line = self.figure.add_axes((0.03, 0.045, 0.94, 0.012))
        line.set(xlim=(0, max(len(frames) - 1, 1)), ylim=(0, 1), xticks=[], yticks=[], facecolor="0.92")
        line.spines[:].set_visible(False)
        self.line = line
        self.done = line.axvspan(0, 0, color="0.45", animated=True)
        self.text = self.figure.text(0.97, 0.075, "", ha="right", va="center", fontsize=10, animated=True)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.figure.bbox)

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, *_: object) -> None:
        for frames in self.behind.values():
            frames.close()

    def _caption(self, result: LiftResult, people: int) -> None:
        lifter = f"lifter {result.lifter}: " if result.lifter else ""
        thin = "mean (thick), hypotheses (thin)" if result.samples.shape[1] else "mean"
        title = f"{lifter}{thin}; {result.region_label('balls')}"
        if people > _MOST_PEOPLE:
            title += f"; {_MOST_PEOPLE} of {people} people"
        self.figure.text(0.03, 0.955, literal_text(title), fontsize=12, va="center")
        self.figure.legend(
            handles=side_handles("left", "right"), loc="center right", bbox_to_anchor=(0.98, 0.955), ncols=2,
            frameon=False, fontsize=10,
        )  # fmt: skip

    def picture(self, frame: int, time: float, azimuth: float) -> NDArray[np.uint8]:
        """The film's frame ``(height, width, 4)``, red, green, blue and 255, at a frame number of the result."""
        self.canvas.restore_region(self.background)
        for person in self.people:
            person.show(frame, azimuth)
        self.done.set_width(self.frames.index(frame))
        self.line.draw_artist(self.done)
        self.text.set_text(f"frame {frame}    {int(time // 60)}:{time % 60:04.1f}")
        self.figure.draw_artist(self.text)
        return np.array(self.canvas.buffer_rgba())


class _FilmedPerson:
    """One track in a film: its keypoints on one pair of axes, the body on its turning stage on another."""

    def __init__(
        self, result: LiftResult, track: Track, flat: Axes, solid: Axes, photo: NDArray[np.uint8] | FilmFrames | None,
        hypotheses: int,
    ) -> None:  # fmt: skip
        from matplotlib.collections import LineCollection

        moving = photo if isinstance(photo, FilmFrames) else None
        photo = None if isinstance(photo, FilmFrames) else photo
        size = moving.film.shown[::-1] if moving is not None else None if photo is None else photo.shape[:2]
        self.result, self.track, self.hypotheses = result, track, hypotheses
        self.flat, self.solid = flat, solid
        rows = np.asarray(list(track.poses.values()))
        low, high = keypoint_box(np.where(result.visible[rows][..., None], result.keypoints[rows], np.nan), size)
        self.backdrop = None if moving is None else Backdrop(moving, flat, low, high)
        if photo is not None:
            flat.imshow(photo, extent=(0, photo.shape[1], photo.shape[0], 0), interpolation="bilinear")
        flat.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
        flat.set_aspect("equal", adjustable="box")
        tidy_axes(flat)
        self.picture = _Body(flat, result.tree, width=2.2)

        # room for the body, its balls and nearly all of its hypotheses, from wherever the eye looks
        floor = _lowest(result.mean[rows])
        cloud = np.concatenate([result.mean[rows, None], result.samples[rows, :hypotheses]], 1) - floor[:, None]
        centre, radius = result.region_center[rows] - floor, result.region_radius[rows]
        around = np.linalg.norm(centre[..., [0, 2]], axis=-1) + radius
        reach = max(float(np.quantile(np.linalg.norm(cloud[..., [0, 2]], axis=-1), 0.995)), _CAMERA_MARK)
        reach = max(reach, float(np.quantile(around, 0.995)))
        bottom, top = np.quantile(-cloud[..., 1], [0.005, 0.995]).tolist()
        bottom = min(bottom, float(np.quantile(-centre[..., 1] - radius, 0.005)))
        top = max(top, float(np.quantile(-centre[..., 1] + radius, 0.995)))
        tilt = np.radians(_FILM_ELEVATION)
        down, up = (
            min(bottom - 0.2 * reach * np.sin(tilt), -_CAMERA_MARK * np.sin(tilt)),
            top + 0.5 * reach * np.sin(tilt),
        )
        solid.set(xlim=(-1.05 * reach, 1.05 * reach), ylim=(down - 0.08, up + 0.08), xticks=[], yticks=[])
        solid.set_aspect("equal", adjustable="box")
        solid.spines[:].set_visible(False)
        angles = np.linspace(0, 2 * np.pi, 73)
        ring = np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], -1)
        # rings look the same from everywhere: drawn once
        flat_ring = (ring @ eye(0.0, _FILM_ELEVATION).T)[:, :2]
        solid.fill(*(_RINGS[-1] * flat_ring.T), facecolor=_PAPER, zorder=0)
        solid.add_collection(LineCollection([r * flat_ring for r in _RINGS], colors="0.85", linewidths=0.9, zorder=1))
        label = (0, _RINGS[-1] * flat_ring[:, 1].min() - 0.02)
        solid.text(*label, "1 m wide", ha="center", va="top", fontsize=8, color="0.55")
        self.spokes = LineCollection([], colors="0.85", linewidths=0.9)
        self.shadow = LineCollection([], colors="0.8", linewidths=4.0, capstyle="round")
        solid.add_collection(self.spokes, autolim=False)
        solid.add_collection(self.shadow, autolim=False)
        self.camera = solid.text(0, 0, "camera", ha="center", va="center", fontsize=8, color="0.45")
        self.body = _Body(solid, result.tree)
        for artist in (*self.picture.artists, self.spokes, self.shadow, self.camera, *self.body.artists):
            artist.set_animated(True)
        for artist in self.body.artists:
            artist.set_clip_on(False)

    def show(self, frame: int, azimuth: float) -> None:
        """Draw the person at a frame number over the restored background."""
        if self.backdrop is not None:
            self.backdrop.show(frame)
        view = eye(azimuth, _FILM_ELEVATION)
        around = np.asarray([[np.sin(a), 0.0, np.cos(a)] for a in np.pi * np.arange(4) / 4]) * _RINGS[-1]
        self.spokes.set_segments(list((np.stack([around, -around], 1) @ view.T)[..., :2]))
        self.camera.set_position(tuple((view @ [0.0, 0.0, -_CAMERA_MARK])[:2]))
        self.solid.draw_artist(self.spokes)
        self.solid.draw_artist(self.camera)
        index = self.track.at(frame)
        if index is None:
            return
        result = self.result
        seen = result.visible[index]
        points = np.where(seen[:, None], result.keypoints[index], np.nan)
        self.picture.show(points, ellipses(points, result.keypoint_covariance[index]), seen)
        shift = -_lowest(result.mean[index])
        mean = result.mean[index] + shift
        ground = (mean * [1.0, 0.0, 1.0]) @ view.T
        self.shadow.set_segments(list(ground[self.body.bones, :2]))
        self.solid.draw_artist(self.shadow)
        _show_3d(self.body, result, index, view, self.hypotheses, shift)
        for axes, body in ((self.flat, self.picture), (self.solid, self.body)):
            for artist in body.artists:
                axes.draw_artist(artist)


def _lowest(poses: Float[Array, "*batch joints 3"]) -> Float[Array, "*batch 1 3"]:
    """The height of the lowest joint, as a vector to subtract."""
    return np.asarray([0.0, 1.0, 0.0]) * poses[..., 1].max(-1)[..., None, None]
