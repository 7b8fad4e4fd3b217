"""Pictures of an evaluation, and overlays of hypotheses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex

from poseterior.files.errors import InputError
from poseterior.geometry.cameras import fit_root
from poseterior.geometry.skeletons import get_skeleton
from poseterior.results.poses import LiftResult
from poseterior.view.evaluation import best_of_figure, save_evaluation_figures, spread_figure
from poseterior.view.palette import LIGHT
from poseterior.view.photos import read_photo
from poseterior.view.plots import hypotheses_figure, save_hypotheses

SKELETON = get_skeleton("h36m17")
CAMERA = (900.0, 950.0, 320.0, 240.0)
ROOT = np.asarray([0.3, -0.2, 4.0])


def lifted(samples: int = 6, poses: int = 2) -> LiftResult:
    """Hypotheses of which the first is the pose that the keypoints show, exactly."""
    rng = np.random.default_rng(0)
    pose = 0.4 * rng.standard_normal((poses, 17, 3))
    pose[:, 0] = 0.0
    drawn = pose[:, None] + 0.05 * rng.standard_normal((poses, samples, 17, 3))
    drawn[:, :1] = pose[:, None]
    drawn[:, :, 0] = 0.0
    placed = pose + ROOT
    keypoints = placed[..., :2] / placed[..., 2:] * CAMERA[:2] + CAMERA[2:]
    return LiftResult(
        samples=drawn,
        mean=pose,
        covariance=np.tile(0.0025 * np.eye(3), (poses, 17, 1, 1)),
        log_prob=np.full((poses, samples), np.nan),
        keypoints=keypoints,
        keypoint_covariance=np.tile(4.0 * np.eye(2), (poses, 17, 1, 1)),
        visible=np.ones((poses, 17), bool),
        image_size=np.full((poses, 2), (640.0, 480.0)),
        file=["walk.json"] * poses,
        frame=np.arange(poses),
        person=np.zeros(poses, int),
        joint_names=SKELETON.joints,
        lifter="test",
    )


def evaluation() -> dict[str, Any]:
    rows = {name: {"x": 20.0 + i, "y": 21.0 + i, "z": 60.0 + i} for i, name in enumerate(SKELETON.joints)}
    rows["pelvis"] = {"x": 0.0, "y": 0.0, "z": 0.0}
    return {
        "protocol": "made-up $v1$",
        "poses": 40,
        "samples": 200,
        "subset": {"poses": 40, "of": 90},
        "published": {
            "spread": {"per joint": rows, "mean": {"x": 1.0, "y": 1.0, "z": 1.0}},
            "best of N": {"N": [1, 2, 5, 180, 200], "P1": [60.0, 50.0, 40.0, 31.0, 30.0], "P2": [40, 35, 30, 22, 20.0]},
        },
    }


# -- where a hypothesis stands -----------------------------------------------------------------------------


def test_root_is_found_exactly_where_the_pose_fits() -> None:
    result = lifted()
    covariance = np.asarray(result.keypoint_covariance[0]).copy()
    covariance[3] = [[9.0, 5.0], [5.0, 4.0]]
    root = fit_root(result.mean.astype(float)[:1], result.keypoints[0], covariance, result.visible[0], CAMERA)
    np.testing.assert_allclose(root, [ROOT], atol=1e-4)


def test_root_does_not_depend_on_hidden_keypoints_and_trusts_sure_ones() -> None:
    result = lifted()
    pose, visible = result.mean.astype(float)[:1], result.visible[0].copy()
    points, covariance = result.keypoints[0].copy(), result.keypoint_covariance[0].copy()
    visible[5] = False
    for junk in (1e6, np.nan):
        points[5] = junk
        covariance[5] = junk
        np.testing.assert_allclose(fit_root(pose, points, covariance, visible, CAMERA), [ROOT], atol=1e-4)
    points[7] += 40.0
    gaps = []
    for variance in (1.0, 100.0, 1e6):
        covariance[7] = variance * np.eye(2)
        gaps.append(float(np.linalg.norm(fit_root(pose, points, covariance, visible, CAMERA) - ROOT)))
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]
    assert gaps[2] < 1e-3


def test_root_needs_two_keypoints() -> None:
    result = lifted()
    visible = np.zeros(17, bool)
    visible[4] = True
    root = fit_root(result.samples[0], result.keypoints[0], result.keypoint_covariance[0], visible, CAMERA)
    assert root.shape == (6, 3)
    assert np.isnan(root).all()


# -- overlay -----------------------------------------------------------------------------------------------


def body_of(axes: Any) -> tuple[Any, Any, Any]:
    """Hypotheses, bones of the mean, joints: the last artists of a panel."""
    lines = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    return lines[-2], lines[-1], next(a for a in axes.collections if isinstance(a, PathCollection))


def test_overlay_shows_the_mean_first() -> None:
    result = lifted()
    flat, solid = hypotheses_figure(result, 1, 5, intrinsics=CAMERA).axes
    for axes in (flat, solid):
        thin, mean, joints = body_of(axes)
        # 17 joints have 16 bones; each of the mean's has a rim below
        assert (len(thin.get_segments()), len(mean.get_segments())) == (5 * 16, 2 * 16)
        assert thin.get_zorder() < mean.get_zorder() < joints.get_zorder()
        assert thin.get_alpha() < 0.5
        assert max(thin.get_linewidth()) < min(mean.get_linewidth())
        sides = {to_hex(colour) for colour in thin.get_edgecolor()}
        assert sides == {LIGHT.side(side).lower() for side in ("left", "right", "middle")}
    # the mean's joints are the keypoints
    np.testing.assert_allclose(body_of(flat)[2].get_offsets(), result.keypoints[1], atol=1e-3)
    # the first hypothesis is the true pose: it lies on them
    ends = np.concatenate(body_of(flat)[0].get_segments()[:16])
    assert np.linalg.norm(ends[:, None] - result.keypoints[1], axis=-1).min(1).max() < 0.05
    assert flat.get_title(loc="left") == "seen by the camera"
    assert flat.get_ylim()[0] > flat.get_ylim()[1]
    # as large as the picture
    assert solid.bbox.height >= 0.99 * flat.bbox.height
    assert solid.bbox.width >= 0.8 * flat.bbox.width


def test_unseen_joints_of_an_overlay_are_hollow_where_the_camera_sees_the_mean() -> None:
    result = lifted()
    visible = result.visible.copy()
    visible[1, 16] = False
    points = np.where(visible[..., None], result.keypoints, np.nan)
    flat, _ = hypotheses_figure(replace(result, visible=visible, keypoints=points), 1, 5, intrinsics=CAMERA).axes
    _, bones, joints = body_of(flat)
    np.testing.assert_allclose(joints.get_offsets()[16], result.keypoints[1, 16], atol=0.05)
    np.testing.assert_allclose(joints.get_facecolor()[16], 1.0)
    assert joints.get_facecolor()[15][:3].min() < 0.9
    dashed = [pattern is not None for _, pattern in bones.get_linestyle()]
    assert sum(dashed) == 1


def test_camera_is_assumed_from_the_image_size_and_otherwise_not_used() -> None:
    result = lifted()
    flat = hypotheses_figure(result).axes[0]
    assert flat.get_title(loc="left").replace("\n", " ") == "seen by a camera of 55 degrees (assumed)"
    assert len(body_of(flat)[0].get_segments()) == 16 * 6
    unknown = replace(result, image_size=np.full((2, 2), np.nan))
    flat, solid = hypotheses_figure(unknown).axes
    assert flat.get_title(loc="left").replace("\n", " ") == "keypoints (camera not known: no hypotheses here)"
    assert len(body_of(flat)[0].get_segments()) == 0
    assert len(body_of(solid)[0].get_segments()) == 16 * 6
    blind = replace(result, visible=np.zeros((2, 17), bool), keypoints=np.full((2, 17, 2), np.nan))
    assert len(hypotheses_figure(blind).axes) == 2


def test_overlay_over_a_photo_is_a_picture(tmp_path: Path) -> None:
    photo = np.full((480, 640, 3), 200, np.uint8)
    save_hypotheses(lifted(), tmp_path / "overlay.png", photos=photo, intrinsics=CAMERA, dpi=40)
    pixels = read_photo(tmp_path / "overlay.png")
    assert pixels is not None
    assert pixels.shape[1] >= 360
    red, green, blue = np.moveaxis(pixels[:, : pixels.shape[1] // 2].astype(int), -1, 0)
    assert ((blue - red > 60) & (blue - green > 20)).sum() > 30
    assert ((red - blue > 60) & (red - green > 20)).sum() > 30


def test_overlay_refuses_what_it_cannot_draw(tmp_path: Path) -> None:
    result = lifted()
    with pytest.raises(InputError, match=r"pose: expected 0 to below 2 \(the number of poses\), got 2"):
        hypotheses_figure(result, 2)
    with pytest.raises(InputError, match="count: expected a whole number from 1, got 0"):
        hypotheses_figure(result, count=0)
    bare = replace(result, samples=np.zeros((2, 0, 17, 3)), log_prob=np.zeros((2, 0)))
    with pytest.raises(InputError, match=r"the result has no samples; keep them when lifting \(.npz or .parquet\)"):
        hypotheses_figure(bare)
    for camera in ((900.0, 900.0), (0.0, 900.0, 1.0, 1.0), (np.nan, 900.0, 1.0, 1.0)):
        with pytest.raises(InputError, match=r"intrinsics: expected \(fx, fy, cx, cy\) in px with fx, fy above 0"):
            hypotheses_figure(result, intrinsics=camera)
    with pytest.raises(InputError, match=r"unknown extension '.gif'; use one of: .png, .pdf, .svg"):
        save_hypotheses(result, tmp_path / "overlay.gif")


# -- evaluation --------------------------------------------------------------------------------------------


def test_best_of_n_is_drawn_on_a_log_axis_with_readable_ticks() -> None:
    (axes,) = best_of_figure(evaluation()).axes
    assert axes.get_xscale() == "log"
    assert [line.get_label() for line in axes.lines] == ["MPJPE", "P-MPJPE"]
    assert axes.lines[0].get_xydata().tolist() == [[1, 60], [2, 50], [5, 40], [180, 31], [200, 30]]
    # 180 would print over 200
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "5", "200"]
    assert axes.get_ylim()[0] == 0
    assert "40 of 90 poses, 200 hypotheses" in axes.get_title(loc="left")


def test_spread_has_a_bar_for_each_joint_and_axis() -> None:
    (axes,) = spread_figure(evaluation()).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [name.replace("_", " ") for name in SKELETON.joints if name != "pelvis"]
    widths = np.asarray([[bar.get_width() for bar in bars] for bars in axes.containers])
    np.testing.assert_allclose(widths, np.arange(1, 17) + np.asarray([[20.0], [21.0], [60.0]]))


def test_figures_are_written_and_old_results_refused(tmp_path: Path) -> None:
    paths = save_evaluation_figures(evaluation(), tmp_path / "a" / "b")
    assert [path.name for path in paths] == ["best-of-n.png", "spread.png"]
    for path in paths:
        pixels = read_photo(path)
        assert pixels is not None
        assert min(pixels.shape[:2]) > 500
    for missing in ("best of N", "spread", "published"):
        old = evaluation()
        del (old if missing == "published" else old["published"])[missing]
        with pytest.raises(InputError) as caught:
            save_evaluation_figures(old, tmp_path)
        assert str(caught.value) == f"the evaluation has no {missing!r}; make it anew with `poseterior evaluate`"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file: cannot be used as a folder \(File exists\)"):
        save_evaluation_figures(evaluation(), tmp_path / "file")
