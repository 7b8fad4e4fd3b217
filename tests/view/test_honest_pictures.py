"""What pictures say of axes, of frames that were not looked at, of who is who, in any script."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.text import Text
from test_view import standing_result

from poseterior.files.errors import InputError
from poseterior.results.lifted import AXES, WORLD_AXES
from poseterior.results.poses import LiftResult, load_result, save_result
from poseterior.results.times import pace_words
from poseterior.view.axes import keypoints_of, views_of, world_axes
from poseterior.view.body import Body
from poseterior.view.comparison import comparison_figure
from poseterior.view.drawing import circles, new_figure, pose_labels, pose_signs, title_of
from poseterior.view.fonts import BOX, legible, with_boxes
from poseterior.view.photograph import photo_figure
from poseterior.view.plots import hypotheses_figure, summary_figure
from poseterior.view.projecting import camera_of_pose, in_picture
from poseterior.view.scene import SceneOptions
from poseterior.view.scene.data import describe
from poseterior.view.tracks import clip_rate

WORLD = {
    "world": "the calibration's world: right is its x, down its -z, forward its y",
    "keypoints": "those of cam01; of joints that only other cameras show, where it would see them",
}


def fused(poses: int = 1) -> LiftResult:
    """A standing person of several views, whose left wrist no camera shows."""
    return replace(standing_result(poses, hide=("left_wrist",)), axes=WORLD_AXES, settings=WORLD)


def words_of(figure: object) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]  # type: ignore[attr-defined]


# -- poses in a world --------------------------------------------------------------------------------------


def test_no_camera_in_pictures_of_poses_in_a_world() -> None:
    for figure in (summary_figure(fused()), hypotheses_figure(fused()), photo_figure(fused())):
        said = words_of(figure)
        assert not [text for text in said if "the camera" in text or text == "camera"]
        assert any("keypoints of cam01" in text for text in said)
        assert "not seen" in said
    titles = [axes.get_title(loc="left") for axes in summary_figure(fused()).axes[1:4]]
    assert titles == ["along the world's y", "along the world's x", "from above"]


def test_nothing_is_projected_through_a_world() -> None:
    wrist = fused().joint_names.index("left_wrist")
    points, covariance = in_picture(fused(), np.arange(1))
    assert np.isnan(points[0, wrist]).all()
    assert np.isnan(covariance[0, wrist]).all()
    assert np.isfinite(in_picture(standing_result(1, hide=("left_wrist",)), np.arange(1))[0]).all()
    camera, told = camera_of_pose(fused(), 0)
    assert np.isnan(camera).all()
    assert not told
    with pytest.raises(InputError, match=r"^intrinsics: the poses are in the axes of a world, not in a camera's"):
        hypotheses_figure(fused(), intrinsics=(500.0, 500.0, 320.0, 320.0))


def test_the_page_of_poses_in_a_world_names_its_axes() -> None:
    scene = describe(fused(2), SceneOptions())
    assert (scene["world"], scene["keypointsOf"]) == (("x", "-z", "y"), "cam01")
    assert ["axes", WORLD_AXES] in scene["facts"]
    assert describe(standing_result(2), SceneOptions())["world"] is None


def test_axes_of_a_world_are_kept_and_older_files_are_put_right(tmp_path: Path) -> None:
    save_result(fused(), tmp_path / "a.npz")
    assert load_result(tmp_path / "a.npz").axes == WORLD_AXES
    older = replace(standing_result(1), settings=WORLD, axes=AXES)
    assert older.in_world
    assert not standing_result(1).in_world
    with pytest.raises(InputError, match=r"^axes: expected 'x right, y down, z forward \(camera\)' or "):
        replace(standing_result(1), axes="z up")


def test_worlds_without_words_are_still_no_cameras() -> None:
    bare = replace(standing_result(1), axes=WORLD_AXES, settings={})
    assert world_axes(bare) == ("right", "down", "forward")
    assert keypoints_of(bare) is None
    assert all("camera" not in word for view in views_of(bare) for word in (view[0], *view[2:]))


# -- time --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([0, 1, 2], "60 a second"),
        ([0, 2, 4], "30 a second (every 2nd)"),
        ([0, 3, 6, 12], "20 a second (every 3rd)"),
        ([0, 11, 22], "5.455 a second (every 11th)"),
        ([0, 21, 42], "2.857 a second (every 21st)"),
    ],
)
def test_the_pace_is_that_of_the_frames_that_were_looked_at(frames: list[int], said: str) -> None:
    assert pace_words(frames, 60.0) == said


def test_a_photograph_beside_a_film_does_not_take_its_rate() -> None:
    film = replace(standing_result(4), settings={"fps": '{"clips/standing.json": 24.0}'})
    mixed = replace(film, file=["clips/standing.json"] * 3 + ["photo.jpg"], frame=[0, 1, 2, 0])
    assert mixed.fps is None
    assert clip_rate(mixed) == 24
    scene = describe(mixed, SceneOptions())
    assert (scene["rate"], scene["rateKnown"], scene["pace"]) == (24, True, "24 a second")


# -- who is who --------------------------------------------------------------------------------------------


def test_labels_of_a_sheet() -> None:
    clip = replace(standing_result(3), settings={"fps": "10"})
    assert pose_labels(clip) == ["frame 0 · 0.00 s", "frame 1 · 0.10 s", "frame 2 · 0.20 s"]
    people = standing_result(2, people=True)
    assert pose_labels(people) == ["person 0", "person 1"]
    photos = replace(people, file=["a/x.jpg", "b/y.jpg"], person=[0, 0])
    assert pose_labels(photos) == ["x.jpg", "y.jpg"]
    assert pose_labels(replace(people, file=["x.jpg", "x.jpg"]))[1] == "person 1"


def test_rows_of_a_comparison_name_the_person() -> None:
    figure = comparison_figure({"one": standing_result(2, people=True)})
    assert [axes.get_xlabel() for axes in figure.axes[::2]] == ["standing.json, person 0", "standing.json, person 1"]


def test_a_summary_says_of_how_many_poses_it_shows_some() -> None:
    assert "5 of 12 poses" in title_of(standing_result(5), 12)[1]
    assert any("5 of 12 poses" in text for text in words_of(summary_figure(standing_result(12))))
    assert "; " in title_of(standing_result(1))[1]
    assert "1 pose;" in title_of(standing_result(1))[1]


# -- letters -----------------------------------------------------------------------------------------------


def test_letters_that_no_font_has_are_boxes_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from poseterior.view import fonts

    fonts._font_of.cache_clear()
    monkeypatch.setattr(fonts, "_others", lambda: ())
    assert with_boxes("写真é.jpg") == f"{BOX}{BOX}é.jpg"
    result = replace(standing_result(1), file=["写真.jpg"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (photo_figure(result), summary_figure(result), comparison_figure({"one": result})):
            figure.canvas.draw()
            assert any(f"{BOX}{BOX}.jpg" in text for text in words_of(figure))
    fonts._font_of.cache_clear()


def test_another_font_lends_the_letters_that_the_usual_one_lacks() -> None:
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    from poseterior.view.fonts import _letters, families

    usual = _letters(findfont(FontProperties()))
    lent = {
        chr(code)
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith("Last Resort")
        for code in _letters(font.fname) - usual
    }
    letter = next(letter for letter in sorted(lent) if letter.isprintable())
    assert with_boxes(letter) == letter
    assert len(families(letter)) > len(families("a"))
    figure, axes = new_figure((2, 2))
    axes.set_title(letter)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        legible(figure).canvas.draw()


# -- regions -----------------------------------------------------------------------------------------------


def test_large_regions_are_outlines_and_the_legend_says_so() -> None:
    result = standing_result(1)
    radius = np.full(17, 0.1)
    radius[[3, 6]] = 0.5
    _, axes = new_figure((3, 3))
    body = Body(axes, result.tree)
    body.show(result.mean[0, :, :2], circles(result.mean[0, :, :2], radius), result.visible[0])
    filled = sum(len(shade.get_path().vertices) // 49 for shade in body.shades.values() if shade.get_visible())
    assert filled == 15
    assert len(body.outlines.get_paths()) == 17
    edges = body.outlines.get_edgecolor()
    assert edges[3, 3] > edges[1, 3]
    kinds = [sign.kind for sign in pose_signs(replace(result, region_radius=np.tile(radius, (1, 1))), 5)]
    assert "ring" in kinds
    assert "ring" not in [sign.kind for sign in pose_signs(replace(result, region_radius=np.full((1, 17), 0.1)), 5)]


def test_ellipses_in_a_picture_have_a_light_line_around_them() -> None:
    flat = photo_figure(standing_result(1)).axes[0]
    light = [c for c in flat.collections if isinstance(c, PolyCollection) and (c.get_edgecolor()[:, :3] == 1).all()]
    assert len(light) == 1
    assert len(light[0].get_paths()) == 17
