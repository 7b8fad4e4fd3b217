"""Pictures of photographs: the mean on top, regions of the right size, unseen joints hollow, nothing cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image
from test_film import clip

from poseterior.files.errors import InputError
from poseterior.results.poses import LiftResult
from poseterior.view import save_hypotheses, summary_figure
from poseterior.view.body import eye
from poseterior.view.drawing import reach_of
from poseterior.view.photograph import photo_figure, save_photo_figure
from poseterior.view.plots import hypotheses_figure
from poseterior.view.projecting import in_picture

LONG = "a-very-long-name_of a photograph that nobody renamed/" + "IMG_" + 12 * "0123456789" + " (copy).jpeg"


def texts_of(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = [*figure.texts]
    for axes in figure.axes:
        found += [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]  # type: ignore[attr-defined]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            found += [t.label1 for t in axis.get_major_ticks() if low <= t.get_loc() <= high and t.label1.get_visible()]
    renderer = canvas.get_renderer()
    return [(t.get_text(), t.get_window_extent(renderer)) for t in found if t.get_visible() and t.get_text().strip()]


def check_nothing_is_cut(figure: Figure) -> None:
    """All texts are inside the canvas; titles and the legend lie on no panel, and on no other title."""
    boxes = texts_of(figure)
    width, height = figure.bbox.size
    for text, box in boxes:
        assert box.x0 >= -0.5, text
        assert box.y0 >= -0.5, text
        assert box.x1 <= width + 0.5, text
        assert box.y1 <= height + 0.5, text
    own = {id(text) for text in figure.texts}
    assert own
    words = {text.get_text() for text in figure.texts}
    free = [(text, box) for text, box in boxes if text in words]
    panels = [axes.get_window_extent() for axes in figure.axes]
    titles = [(axes.get_title(loc="left"), axes._left_title.get_window_extent()) for axes in figure.axes]  # type: ignore[attr-defined]
    for text, box in free:
        assert not any(overlap(box, panel) for panel in panels), text
        assert not any(overlap(box, other) for name, other in titles if name), text
    for number, (text, box) in enumerate(free):
        assert not any(overlap(box, other) for _, other in free[number + 1 :]), text


def overlap(a: Bbox, b: Bbox, slack: float = 1.0) -> bool:
    return a.x0 + slack < b.x1 and b.x0 + slack < a.x1 and a.y0 + slack < b.y1 and b.y0 + slack < a.y1


def hidden(result: LiftResult, joints: list[int]) -> LiftResult:
    visible = result.visible.copy()
    visible[:, joints] = False
    return replace(result, visible=visible, keypoints=np.where(visible[..., None], result.keypoints, np.nan))


def artists(axes: Any) -> tuple[Any, Any, Any, Any]:
    """Outlines, hypotheses, bones and joints of the body of a panel."""
    lines = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    outlines = next(artist for artist in axes.collections if isinstance(artist, PolyCollection))
    return outlines, lines[-2], lines[-1], next(a for a in axes.collections if isinstance(a, PathCollection))


# -- the eye -----------------------------------------------------------------------------------------------


def test_the_eye_looks_as_the_camera_does_at_zero() -> None:
    assert np.allclose(eye(0, 0), np.diag([1.0, -1.0, -1.0]))


@pytest.mark.parametrize(("azimuth", "elevation"), [(45, 10), (90, 0), (200, -30)])
def test_the_eye_is_a_rotation(azimuth: float, elevation: float) -> None:
    view = eye(azimuth, elevation)
    assert np.allclose(view @ view.T, np.eye(3))
    assert np.isclose(np.linalg.det(view), 1.0)


def test_from_the_right_depth_runs_to_the_right() -> None:
    right, up, near = eye(90, 0) @ [0.0, 0.0, 1.0]
    assert np.allclose([right, up, near], [1, 0, 0])
    assert np.allclose(eye(90, 0) @ [1.0, 0.0, 0.0], [0, 0, 1])
    assert (eye(30, 20) @ [0.0, -1.0, 0.0])[1] > 0  # the head stays up


# -- nothing is cut ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [6.0, 8.0, 12.0, 17.0, 24.0])
@pytest.mark.parametrize("shape", [(480, 640), (2000, 300), (200, 2000)])
def test_nothing_is_cut_at_any_width(width: float, shape: tuple[int, int]) -> None:
    result = replace(hidden(clip(1), [3, 6]), file=np.array([LONG]))
    figure = photo_figure(result, photos=np.full((*shape, 3), 120, np.uint8), width=width)
    check_nothing_is_cut(figure)
    flat, solid = figure.axes[:2]
    assert solid.bbox.height >= 0.99 * flat.bbox.height
    assert solid.bbox.width >= 0.99 * min(flat.bbox.width, 0.55 * figure.bbox.width)


@pytest.mark.parametrize("people", [2, 3, 4, 12])
@pytest.mark.parametrize("width", [6.0, 17.0])
def test_nothing_is_cut_with_many_people(people: int, width: float) -> None:
    result = clip(1, people=people)
    keypoints = result.keypoints + 300.0 * np.arange(people)[:, None, None] * [1, 0]
    photo = np.full((480, 640 + 300 * people, 3), 90, np.uint8)
    figure = photo_figure(replace(result, keypoints=keypoints), people, photos=photo, width=width)
    check_nothing_is_cut(figure)
    words = " ".join(text for text, _ in texts_of(figure))
    assert all(f"person {person}" in words for person in range(people))


def test_nothing_is_cut_in_overlays_and_summaries() -> None:
    result = replace(hidden(clip(2), [3, 6, 9, 10, 11]), file=np.array([LONG] * 2))
    check_nothing_is_cut(hypotheses_figure(result))
    check_nothing_is_cut(summary_figure(result))


def test_a_long_name_is_whole() -> None:
    result = replace(clip(1), file=np.array([LONG]))
    words = [text.get_text() for text in photo_figure(result, width=6).texts]
    name = LONG.split("/")[-1]
    assert name.replace(" ", "") in "".join(words).replace(" ", "")


# -- what is drawn -----------------------------------------------------------------------------------------


def test_the_mean_is_on_top_and_hypotheses_are_faint() -> None:
    for axes in photo_figure(clip(1, samples=30)).axes[1:3]:
        outlines, thin, mean, joints = artists(axes)
        assert outlines.get_zorder() < thin.get_zorder() < mean.get_zorder() < joints.get_zorder()
        assert thin.get_alpha() <= 0.45
        assert max(thin.get_linewidth()) < min(mean.get_linewidth())
        assert len(thin.get_segments()) == 30 * 16


def test_regions_have_the_right_radii_and_ellipses_the_right_share() -> None:
    result = clip(1)
    figure = photo_figure(result)
    flat, solid, side = figure.axes[:3]
    for axes in (solid, side):
        balls = np.stack([path.vertices for path in artists(axes)[0].get_paths()])
        np.testing.assert_allclose(
            np.ptp(balls, axis=1) / 2, np.repeat(result.region_radius[0][:, None], 2, 1), rtol=0.01
        )
    around = np.stack([path.vertices for path in artists(flat)[0].get_paths()])
    # 2 px of standard deviation, and 90 % of a normal distribution in the plane
    np.testing.assert_allclose(np.ptp(around, axis=1) / 2, 2 * reach_of(0.9), rtol=0.01)
    draws = np.random.default_rng(0).standard_normal((200_000, 2))
    assert (np.linalg.norm(draws, axis=-1) < reach_of(0.9)).mean() == pytest.approx(0.9, abs=0.003)


def test_unseen_joints_are_hollow_and_their_bones_dashed_in_every_panel() -> None:
    result = hidden(clip(1), [3])
    for axes in photo_figure(result).axes[:3]:
        _, _, bones, joints = artists(axes)
        assert np.isfinite(joints.get_offsets().data).all()
        hollow = np.isclose(joints.get_facecolor()[:, :3], 1.0).all(-1)
        assert np.flatnonzero(hollow).tolist() == [3]
        assert sum(pattern is not None for _, pattern in bones.get_linestyle()) == 1


def test_unseen_joints_are_where_the_camera_sees_the_hypotheses() -> None:
    rng = np.random.default_rng(1)
    result = clip(1, samples=0)
    mean = result.mean.astype(float)
    camera, root = np.asarray([800.0, 800.0, 320.0, 240.0]), np.asarray([0.1, 0.0, 4.0])
    samples = np.repeat(mean[:, None], 2000, 1)
    samples[..., 3, :] += rng.standard_normal((2000, 3)) * [0.02, 0.05, 0.01]
    placed = mean + root
    keypoints = placed[..., :2] / placed[..., 2:] * camera[:2] + camera[2:]
    result = replace(
        result, samples=samples, log_prob=np.full((1, 2000), np.nan), keypoints=keypoints,
        intrinsics=camera[None],
    )  # fmt: skip
    points, covariance = in_picture(hidden(result, [3]), np.asarray([0]))
    np.testing.assert_allclose(points[0], keypoints[0], atol=0.05)
    scale = 800 / placed[0, 3, 2]
    # of 40 hypotheses: within what so few of them tell
    np.testing.assert_allclose(np.sqrt(np.diag(covariance[0, 3])) / scale, [0.02, 0.05], rtol=0.35)
    np.testing.assert_allclose(covariance[0, 4], 4 * np.eye(2), atol=1e-5)


def test_one_joint_and_none_are_drawn() -> None:
    for joints in (list(range(1, 17)), list(range(17))):
        result = hidden(clip(1), joints)
        figure = photo_figure(result, photos=np.full((480, 640, 3), 99, np.uint8))
        check_nothing_is_cut(figure)
        assert "where they are in the picture cannot be told" in " ".join(t.get_text() for t in figure.texts)


def test_a_row_a_person_and_no_more_than_asked() -> None:
    assert len(photo_figure(clip(1, people=3)).axes) == 3 * 4
    assert len(photo_figure(clip(1, people=9)).axes) == 1 + 4  # all in one picture, and a card each
    assert len(photo_figure(clip(9)).axes) == 4 * 4


def test_the_photograph_is_drawn(tmp_path: Any) -> None:
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[..., 1] = 200
    save_photo_figure(clip(1), tmp_path / "a.png", photos=photo)
    save_photo_figure(clip(1), tmp_path / "b.png")
    green = []
    for name in ("a.png", "b.png"):
        with Image.open(tmp_path / name) as image:
            red, middle, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(int), -1, 0)
            green.append(((middle > 150) & (red < 60) & (blue < 60)).mean())
    assert green[0] > 0.03
    assert green[1] == 0


def test_nobody_seen_and_no_samples_are_drawn(tmp_path: Any) -> None:
    blind = clip(1, samples=0)
    blind = replace(blind, visible=np.zeros((1, 17), bool), keypoints=np.full((1, 17, 2), np.nan))
    save_photo_figure(blind, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_keypoints_outside_the_photograph_are_drawn(tmp_path: Any) -> None:
    result = clip(1)
    result = replace(result, keypoints=result.keypoints - 2000)
    save_photo_figure(result, tmp_path / "a.png", photos=np.zeros((48, 64, 3), np.uint8))
    save_hypotheses(result, tmp_path / "b.png", photos=np.zeros((48, 64, 3), np.uint8))


def test_refused_pictures(tmp_path: Any) -> None:
    with pytest.raises(InputError, match=r"the result has no poses; nothing to draw"):
        photo_figure(clip(1)[[]])
    with pytest.raises(InputError, match=r"max_poses: expected a whole number from 1, got 0"):
        photo_figure(clip(1), 0)
    with pytest.raises(InputError, match=r"width: expected 5 to 100 inches, got 2"):
        photo_figure(clip(1), width=2)
    with pytest.raises(InputError, match=r"a\.jpg: unknown extension; the picture of a photograph is a \.png"):
        save_photo_figure(clip(1), tmp_path / "a.jpg")
