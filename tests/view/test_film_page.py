"""The page of a film: everything fits at any shape, gaps are marked, memory does not grow."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_film import clip, frames_of
from test_photograph import check_nothing_is_cut, hidden

from poseterior.results.bridging import bridged
from poseterior.results.poses import LiftResult
from poseterior.view.film import save_film
from poseterior.view.film_page import FilmPage, grid_of, panels_of
from poseterior.view.timelines import course
from poseterior.view.tracks import tracks_of
from poseterior.view.words import put_words


def page_of(result: LiftResult, size: tuple[float, float] = (12.8, 7.2), dpi: int = 50, **options: Any) -> FilmPage:
    frames = sorted({int(frame) for frame in result.frame})
    frames = list(range(frames[0], frames[-1] + 1))
    return FilmPage(result, tracks_of(result), size, dpi, options.get("photos"), 5, frames, 10.0)


# -- layout ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [[0.4], [0.56], [1.0], [1.78], [5.0], [0.5, 1.8], [0.3, 1, 1, 4]])
@pytest.mark.parametrize("people", [1, 2, 3, 4])
@pytest.mark.parametrize("room", [(12.4, 4.9), (9.2, 3.2), (5.0, 8.0)])
def test_panels_fit_and_do_not_overlap(shapes: list[float], people: int, room: tuple[float, float]) -> None:
    pictures, stages = panels_of(*room, shapes, people)
    assert (len(pictures), len(stages)) == (len(shapes), people)
    for (_, _, wide, high), shape in zip(pictures, shapes, strict=True):
        assert wide / high == pytest.approx(shape)
    rectangles = [*pictures, *stages]
    for left, top, wide, high in rectangles:
        assert min(wide, high) > 0
        assert left >= -1e-9
        assert top >= 0.27  # a title is above
        assert left + wide <= room[0] + 1e-9
        assert top + high <= room[1] + 1e-9
    for i, (left, top, wide, high) in enumerate(rectangles):
        for x, y, w, h in rectangles[i + 1 :]:
            assert left + wide <= x + 1e-9 or x + w <= left + 1e-9 or top + high <= y + 1e-9 or y + h <= top + 1e-9


def test_a_grid_fills_its_room() -> None:
    cells = grid_of(4, (1.0, 2.0, 8.0, 4.0), 1.0)
    assert cells[0] == (1.0, 2.0, 2.0, 4.0) or cells[0] == (1.0, 2.0, 4.0, 2.0)
    assert sum(w * h for *_, w, h in cells) == pytest.approx(32.0)


@pytest.mark.parametrize(("size", "dpi"), [((12.8, 7.2), 100), ((9.6, 5.4), 80)])
@pytest.mark.parametrize("people", [1, 2, 4, 6])
@pytest.mark.parametrize("shape", [(480, 640), (1920, 400), (300, 2000)])
def test_nothing_is_cut(size: tuple[float, float], dpi: int, people: int, shape: tuple[int, int]) -> None:
    result = hidden(clip(3, people=people), [3])
    page = page_of(result, size, dpi, photos=np.full((*shape, 3), 120, np.uint8))
    check_nothing_is_cut(page.figure)
    picture = page.picture(1, 0.1, 30.0)
    assert picture.shape == (round(size[1] * dpi), round(size[0] * dpi), 4)
    texts = [text.get_text() for text in page.figure.texts]
    assert any("4 of 6 people" in text for text in texts) == (people == 6)


def test_a_long_name_is_wrapped_beside_the_time() -> None:
    name = "folder/" + 10 * "a-very-long-name-" + ".mp4.json"
    page = page_of(replace(clip(3), file=np.array([name] * 3)), dpi=100)
    check_nothing_is_cut(page.figure)
    shown = "".join(text.get_text() for text in page.figure.texts)
    assert name.split("/")[1] in shown
    before = page.picture(0, 0.0, 0.0)
    title = before[:60, : round(0.7 * before.shape[1])]
    assert (title[..., :3].min(-1) < 100).sum() > 200


# -- what is drawn -----------------------------------------------------------------------------------------


def test_the_film_is_behind_the_keypoints_and_the_mean_on_top() -> None:
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[..., 1] = 200
    page = page_of(hidden(clip(3), [3]), dpi=100, photos=photo)
    picture = page.picture(1, 0.1, 30.0)[..., :3].astype(int)
    green = (picture[..., 1] > 150) & (picture[..., 0] < 60) & (picture[..., 2] < 60)
    assert green.mean() > 0.03
    body = page.pictures[0].bodies[0]
    orders = [artist.get_zorder() for artist in (body.outlines, body.hypotheses, body.limbs, body.joints)]
    assert orders == sorted(orders)
    assert max(image.get_zorder() for image in page.pictures[0].axes.images) < orders[0]
    # the unseen joint has a place, and is hollow
    assert np.isfinite(body.joints.get_offsets().data).all()
    np.testing.assert_allclose(body.joints.get_facecolor()[3], 1.0)


def test_gaps_and_unseen_joints_are_marked() -> None:
    result = hidden(clip(12), [3])
    result = result[~np.isin(result.frame, [4, 5])]
    full = bridged(result, 10.0)
    (track,) = tracks_of(full)
    values, gone, unseen = course(full, track, list(range(14)))
    assert np.flatnonzero(gone).tolist() == [4, 5]
    assert np.isnan(values[12:]).all()
    np.testing.assert_allclose(values[0, 0], 1000 * full.region_radius[track.poses[0], 1:].mean(), rtol=1e-6)
    assert (values[:12, 1] <= values[:12, 0]).all()
    assert (values[:12, 0] <= values[:12, 2]).all()
    np.testing.assert_allclose(unseen[0], 1 / 17)
    page = page_of(full)
    texts = [text.get_text() for text in page.figure.texts]
    assert "not seen: bridged" in texts
    assert "share of joints not seen" in texts
    assert page.timeline.axes.get_ylabel() == "radius (mm)"
    spans = [patch for patch in page.timeline.axes.patches if patch.get_hatch()]
    assert len(spans) == 1
    np.testing.assert_allclose(spans[0].get_extents().transformed(page.timeline.axes.transData.inverted()).x0, 0.35)


def test_the_cursor_moves_with_time_and_the_words_say_when() -> None:
    page = page_of(clip(8), dpi=100)
    places = []
    for frame in (1, 6):
        page.picture(frame, frame / 10, 0.0)
        places.append(page.timeline.cursor.get_xdata()[0])
    assert places == [0.1, 0.6]
    assert page.words(6, 0.6, 6) == ["0:00.6   frame 6", f"mean radius {page.timeline.means[0, 6]:.0f} mm"]


def test_words_stay_on_the_canvas() -> None:
    canvas = np.full((40, 60, 4), 255, np.uint8)
    left, top, right, bottom = put_words(
        canvas, "far too long for so small a canvas", 500, 39, 12, "#18202B", align=1.0
    )
    assert left >= 0
    assert top >= 0
    assert right <= 60
    assert bottom <= 40
    assert canvas[..., :3].min() < 100
    assert canvas[..., 3].min() == 255


# -- films -------------------------------------------------------------------------------------------------


def film_file(path: Path, size: str, seconds: float = 1.0) -> Path:
    """A film of a colour that changes, by the ffmpeg that reads films."""
    reader = pytest.importorskip("imageio_ffmpeg")
    source = f"color=c=0x20A040:size={size}:rate=10:duration={seconds}"
    command = [reader.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p"]
    subprocess.run([*command, str(path)], check=True)
    return path


@pytest.mark.parametrize("size", ["640x480", "480x640", "320x1200"])
def test_a_film_over_its_own_frames(tmp_path: Path, size: str) -> None:
    film = film_file(tmp_path / "in.mp4", size)
    result = clip(8)
    assert save_film(result, tmp_path / "out.gif", photos=film, fps=10, turn=0.0) == 8
    frames = frames_of(tmp_path / "out.gif")
    assert [frame.shape for frame in frames] == [(432, 768, 3)] * 8
    for frame in frames:
        green = (abs(frame - [0x20, 0xA0, 0x40]) < 40).all(-1)
        assert green.mean() > 0.02


def test_mp4_has_the_frames_the_size_and_the_rate(tmp_path: Path) -> None:
    reader = pytest.importorskip("imageio_ffmpeg")
    film = film_file(tmp_path / "in.mp4", "480x640")
    assert save_film(clip(9), tmp_path / "out.mp4", photos=film, fps=12) == 9
    stream = reader.read_frames(str(tmp_path / "out.mp4"))
    about = next(stream)
    assert (about["size"], about["fps"]) == ((1280, 720), 12)
    assert len(list(stream)) == 9


def test_memory_does_not_grow_with_the_frames() -> None:
    peaks = []
    for frames in (40, 320):
        result = hidden(clip(1), [3])[np.zeros(frames, int)]
        result = replace(result, frame=np.arange(frames))
        page = page_of(result)
        page.picture(0, 0.0, 0.0)
        tracemalloc.start()
        for frame in range(frames):
            page.picture(frame, frame / 10, float(frame))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    picture = 4 * 640 * 360
    assert peaks[1] < peaks[0] + picture  # not as much as one frame more, of 280 more frames
    assert sys.getsizeof(page.pictures[0]._known) < 100_000
