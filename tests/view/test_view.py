"""Figures and the live server, looked at through a real browser."""

from __future__ import annotations

import contextlib
import io
import itertools
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.results.poses import LiftResult
from poseterior.view import save_summary, serve, summary_figure, write_html
from poseterior.view.live_scene import (
    PoseScene,
    ball_transforms,
    dashes_of,
    ellipsoid_transforms,
    linear_rgb,
    rows_of,
    segment_transforms,
)
from poseterior.view.photos import keypoint_box, read_photo
from poseterior.view.serving import start_server, stop_server
from poseterior.view.tracks import SceneOptions, steps_of, tracks_of

#: A person who stands facing the camera, arms a little away from the body: own left is at +x. Metres.
STANDING = np.asarray(
    [
        (0.00, 0.00, 0.00), (-0.13, 0.01, 0.00), (-0.16, 0.45, -0.03), (-0.18, 0.87, 0.04),
        (0.13, 0.01, 0.00), (0.17, 0.45, -0.05), (0.22, 0.86, 0.02), (0.00, -0.24, 0.02),
        (0.01, -0.49, 0.03), (0.01, -0.60, -0.03), (0.02, -0.71, 0.01), (0.16, -0.45, 0.03),
        (0.34, -0.24, 0.06), (0.46, -0.05, -0.08), (-0.14, -0.45, 0.03), (-0.36, -0.56, -0.02),
        (-0.42, -0.80, -0.12),
    ]
)  # fmt: skip


def standing_result(
    poses: int = 1, samples: int = 60, *, hide: tuple[str, ...] = (), walk: bool = False, people: bool = False
) -> LiftResult:
    """Gaussian hypotheses around a standing person, three times as wide in depth, wider at the limbs."""
    rng = np.random.default_rng(1)
    skeleton = get_skeleton("h36m17")
    spread = np.linalg.norm(STANDING, axis=-1)[:, None] * 0.045 * np.asarray([1.0, 1.0, 3.0])
    joints_hidden = [skeleton.index(name) for name in hide]
    spread[joints_hidden] *= 2.5
    mean = np.tile(STANDING, (poses, 1, 1))
    for i in range(poses):
        turn = 0.0 if i == 0 else 0.25 * i
        turned = np.asarray([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        mean[i] = mean[i] @ turned.T
    drawn = mean[:, None] + spread * rng.standard_normal((poses, samples, 17, 3))
    drawn[..., skeleton.root, :] = 0.0
    keypoints = 320 + 250 * mean[..., :2]
    if walk:
        keypoints[..., 0] += 6 * np.arange(poses)[:, None]
    visible = np.ones((poses, 17), bool)
    visible[:, joints_hidden] = False
    keypoints[~visible] = np.nan
    ids = np.arange(poses)
    return LiftResult(
        samples=drawn,
        mean=mean,
        covariance=np.tile(np.stack([np.diag(s**2) for s in spread]), (poses, 1, 1, 1)),
        log_prob=np.full((poses, samples), np.nan),
        keypoints=keypoints,
        keypoint_covariance=np.where(visible[..., None, None], np.eye(2) * 25.0, np.nan),
        visible=visible,
        image_size=np.full((poses, 2), 640.0),
        file=["clips/standing.json"] * poses,
        frame=np.zeros(poses).astype(int) if people else ids,
        person=ids if people else np.zeros(poses, int),
        joint_names=skeleton.joints,
        lifter="test",
        seed=0,
        settings={"camera": "none <b>known</b>"},
    )


def meadow(width: int = 640, height: int = 640) -> np.ndarray:
    """A picture to lie under the keypoints: sky and grass."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: 2 * height // 3] = (190, 215, 235)
    image[2 * height // 3 :] = (140, 180, 120)
    return image


# -- figure --------------------------------------------------------------------------------------------


def test_summary_shows_evidence_hypotheses_and_radii(tmp_path: Path) -> None:
    result = standing_result(7, hide=("left_wrist",))
    figure = summary_figure(result, max_poses=3, photos=meadow())
    assert len(figure.axes) == 15
    first = figure.axes[:5]
    assert [axes.get_xlabel().split("\n")[0] for axes in first] == [
        "x, right (px)", "x, right (m)", "z, away from the camera (m)", "x, right (m)",
        "90 % radius, mm (uncalibrated)",
    ]  # fmt: skip
    assert first[0].get_xlabel() == "x, right (px)\nnot seen: left wrist"
    # y points down in the camera's view, z points up from above
    assert first[1].get_ylim()[0] > first[1].get_ylim()[1]
    assert first[3].get_ylim()[0] < first[3].get_ylim()[1]
    radii = [bar.get_width() for bar in first[4].patches]
    np.testing.assert_allclose(radii, 1000 * result.region_radius[0, 1:], rtol=1e-5)
    names = [label.get_text() for label in first[4].get_yticklabels()]
    assert names == [name.replace("_", " ") for name in result.joint_names if name != "pelvis"]
    # evenly spaced poses: the first, the middle and the last
    titles = [axes.get_title(loc="left") for axes in figure.axes[::5]]
    assert [title.split("\n")[1].split(",")[0] for title in titles] == ["frame 0", "frame 3", "frame 6"]


def test_summary_file_is_a_picture_of_many_colours(tmp_path: Path) -> None:
    save_summary(standing_result(2), tmp_path / "summary.png", dpi=50)
    pixels = read_photo(tmp_path / "summary.png")
    assert pixels is not None
    assert pixels.shape[1] == 850
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 500
    with pytest.raises(InputError, match=r"unknown extension '.gif'; use one of: .png"):
        save_summary(standing_result(), tmp_path / "summary.gif")


@pytest.mark.parametrize("samples", [0, 1])
def test_few_samples_and_nothing_visible_still_make_pictures(tmp_path: Path, samples: int) -> None:
    result = standing_result(1, samples, hide=get_skeleton("h36m17").joints)
    summary_figure(result).savefig(io.BytesIO(), dpi=20)
    write_html(result, tmp_path / "scene.html")
    assert "</html>" in (tmp_path / "scene.html").read_text()


def test_import_is_light() -> None:
    heavy = ("viser", "matplotlib", "trimesh", "scipy", "lightning")
    code = f"import poseterior.view, sys; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


# -- geometry ------------------------------------------------------------------------------------------


def test_tubes_lie_on_their_segments() -> None:
    from viser import transforms

    rng = np.random.default_rng(0)
    start, end = rng.normal(size=(2, 50, 3))
    end[0] = start[0] - (0, 0, 1)  # against z, where the quaternion needs care
    end[1] = start[1] + (0, 0, 1)
    position, quaternion, scale = segment_transforms(start, end, 0.1)
    tip = position + transforms.SO3(quaternion).apply(np.asarray([0.0, 0.0, 1.0]) * scale)
    np.testing.assert_allclose(tip, end, atol=1e-6)
    np.testing.assert_allclose(scale[:, :2], 0.1)
    end[2] = np.nan
    assert segment_transforms(start, end, 0.1)[2][2].max() < 1e-5


def test_ellipsoids_are_of_one_standard_deviation() -> None:
    """Chi-square with 3 degrees of freedom: 19.9 % within 1, 90 % within 6.251."""
    from viser import transforms

    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 3, 3)) * 0.1
    covariance = factor @ factor.transpose(0, 2, 1)
    position, quaternion, scale = ellipsoid_transforms(np.zeros((4, 3)), covariance)
    for joint in range(4):
        draws = rng.standard_normal((20000, 3)) @ factor[joint].T - position[joint]
        local = transforms.SO3(quaternion[joint]).inverse().apply(draws)
        square = np.square(local / scale[joint]).sum(-1)
        assert (square <= 1).mean() == pytest.approx(0.1987, abs=0.012)  # 4 standard errors of 20,000 draws
        assert (square <= 6.251).mean() == pytest.approx(0.9, abs=0.009)


def test_balls_have_the_regions_centres_and_radii() -> None:
    centre = np.arange(9.0).reshape(3, 3)
    centre[2] = np.nan
    position, quaternion, scale = ball_transforms(centre, np.asarray([0.2, 0.0, 0.3]))
    np.testing.assert_array_equal(position[0], centre[0])
    np.testing.assert_array_equal(scale[0], [0.2, 0.2, 0.2])
    assert scale[1:].max() < 1e-5, "a joint without a place, or known exactly, has no ball"
    np.testing.assert_array_equal(quaternion, [[1, 0, 0, 0]] * 3)


def test_captions_say_whether_the_balls_are_calibrated() -> None:
    server = start_server("127.0.0.1", 0, "test")
    try:
        for result, expected in (
            (standing_result(1), "standing.json\n90 % balls (uncalibrated)"),
            (replace(standing_result(1), calibrated=True, level=0.5), "standing.json\n50 % balls (calibrated)"),
        ):
            scene = PoseScene(server, result)
            assert scene.views[0].caption.text == expected
        scene.show(0, SceneOptions(regions=False))
        assert scene.views[0].caption.text == "standing.json"
    finally:
        stop_server(server)


def test_tracks_and_steps() -> None:
    walk = tracks_of(standing_result(5))
    assert [t.label for t in walk] == ["standing.json"]
    assert walk[0].poses == {i: i for i in range(5)}
    assert steps_of(walk, 3) == [0, 2, 4]
    crowd = tracks_of(standing_result(3, people=True))
    assert [t.label for t in crowd] == [f"standing.json · person {i}" for i in range(3)]
    assert steps_of(crowd, 300) == [0]


def test_photos_with_different_frame_numbers_are_shown_together() -> None:
    photos = tracks_of(replace(standing_result(3), file=["a.jpg", "b.jpg", "c.jpg"]))
    assert steps_of(photos, 300) == [0]
    assert [track.at(0) for track in photos] == [0, 1, 2]
    # beside a clip they stay while it plays; people of the clip come and go
    mixed = tracks_of(replace(standing_result(4), file=["a.jpg", "b", "b", "b"], person=[0, 0, 1, 0]))
    assert steps_of(mixed, 300) == [1, 2, 3]
    assert [[track.at(frame) for track in mixed] for frame in (1, 2, 3)] == [
        [0, 1, None], [0, None, 2], [0, 3, None],
    ]  # fmt: skip


def test_keypoint_box_stays_in_the_photo_and_survives_nothing() -> None:
    points = np.asarray([[10.0, 10.0], [90.0, 190.0], [np.nan, 5.0]])
    low, high = keypoint_box(points, (200, 100))
    assert (low >= 0).all()
    assert high.tolist() == [100, 200]
    low, high = keypoint_box(np.full((17, 2), np.nan))
    assert (high > low).all()


def test_bad_photos_and_paths_are_named(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"photo\.jpg: cannot be read as an image.*use a JPEG or PNG"):
        write_html(standing_result(), tmp_path / "scene.html", photos=tmp_path / "photo.jpg")
    assert not (tmp_path / "scene.html").exists()
    with pytest.raises(InputError, match=r"photo: expected a \(height, width, 3\) uint8 array"):
        summary_figure(standing_result(), photos=np.zeros((5, 5)))
    for photos in ("nope.jpg", {"clips/standing.json": "nope.jpg"}):
        with pytest.raises(InputError) as caught:
            summary_figure(standing_result(), photos=photos)
        assert str(caught.value) == "nope.jpg: no such file"
    with pytest.raises(InputError, match="does not exist; make it first"):
        write_html(standing_result(), tmp_path / "no" / "scene.html")
    with pytest.raises(InputError, match="no poses; nothing to show"):
        write_html(standing_result()[:0], tmp_path / "scene.html")
    with pytest.raises(InputError, match="hypotheses: expected a whole number from 0, got -1"):
        SceneOptions(hypotheses=-1)


def test_photo_is_found_in_a_folder_by_the_name_of_the_file(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(meadow(20, 10)).save(tmp_path / "Standing.PNG")
    (tmp_path / "standing.json").write_text("{}")
    found = read_photo(tmp_path, "clips/standing.json")
    assert found is not None
    assert found.shape == (10, 20, 3)
    assert read_photo(tmp_path, "clips/standing_keypoints.json") is not None
    assert read_photo(tmp_path, "/etc/passwd") is None
    summary_figure(standing_result(), photos=tmp_path)
    (tmp_path / "Standing.PNG").unlink()
    with pytest.raises(InputError, match=r"no photo belongs to any pose.*would be called standing\.jpg"):
        summary_figure(standing_result(), photos=tmp_path)


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".jfif", ".gif", ".ppm"])
def test_photo_of_a_folder_is_of_any_kind_that_is_read(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    Image.fromarray(meadow(20, 10)).save(tmp_path / f"standing{suffix}", format=None if suffix != ".jfif" else "JPEG")
    found = read_photo(tmp_path, "clips/standing.json")
    assert found is not None
    assert found.shape == (10, 20, 3)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_html(standing_result(3), tmp_path / "scene.html")
    assert capfd.readouterr().out == ""


# -- browser -------------------------------------------------------------------------------------------

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]  # fmt: skip


@pytest.fixture
def page() -> Iterator[tuple[Any, list[str]]]:
    """A page in headless Chromium and the list of addresses that it asks for."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, headless=True)
        page = browser.new_page(viewport={"width": 800, "height": 600})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        yield page, asked
        browser.close()


def coloured(page: Any, seconds: float = 90.0) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the scene's pixels in the left's blue and in the right's vermillion, once there are both."""
    from PIL import Image

    end = time.monotonic() + seconds
    while True:
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot(timeout=60_000))).convert("RGB")).astype(int)
        # the controls have a blue of their own; viser warns of software rendering in the upper left, in orange
        pixels = pixels[:, :460]
        red, green, blue = np.moveaxis(pixels, -1, 0)
        places = (
            np.argwhere((blue > 140) & (blue - red > 100) & (blue - green > 30)),
            np.argwhere((red > 140) & (red - blue > 100) & (red - green > 70)),
        )
        places = tuple(p[(p[:, 0] > 190) | (p[:, 1] > 320)] for p in places)  # type: ignore[assignment]
        if min(len(p) for p in places) > 300:
            return places
        assert time.monotonic() < end, f"blue, vermillion pixels: {[len(p) for p in places]}"
        page.wait_for_timeout(2000)


def test_live_server_shows_the_scene_on_this_machine_only(page: tuple[Any, list[str]]) -> None:
    browser_page, asked = page
    with serve(standing_result(3, hide=("right_knee",)), port=0) as viewer:
        browser_page.goto(viewer.url)
        left, right = coloured(browser_page)
        # the person faces the camera: the right side is on the left of the picture
        assert right[right[:, 1] > 320, 1].mean() < left[left[:, 1] > 320, 1].mean()
        assert "right knee" in browser_page.inner_text("body")
        ours = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
        assert [url for url in asked if not url.startswith(ours)] == []


def test_dashes_reach_the_ends_and_leave_gaps() -> None:
    start, end = dashes_of(np.zeros((1, 3)), np.array([[0.0, 0.0, 5.0]]), 3)
    np.testing.assert_allclose(start[:, 2], [0.0, 2.0, 4.0])
    np.testing.assert_allclose(end[:, 2], [1.0, 3.0, 5.0])
    assert np.isnan(dashes_of(np.full((1, 3), np.nan), np.zeros((1, 3)), 2)[0]).all()


def test_joints_that_are_not_seen_are_pale_and_their_bones_dashed() -> None:
    hidden = get_skeleton("h36m17").index("right_knee")
    with serve(standing_result(1, hide=("right_knee",)), port=0) as viewer:
        view = viewer.scene.views[0]
        shown = [batch.handle.batched_scales[:, 0] > 1e-3 for batch in (view.mean_joints, view.unseen_joints)]
        assert np.flatnonzero(~shown[0]).tolist() == np.flatnonzero(shown[1]).tolist() == [hidden]
        assert (view.unseen_bones.handle.batched_scales[:, 2] > 1e-3).sum() == 5
        assert (view.mean_bones.handle.batched_scales[:, 2] > 1e-3).sum() == 15


def test_batches_are_coloured_by_light_and_not_by_the_web() -> None:
    # sRGB's own table: 0 and 255 stay, the middle of the web is a fifth of the light
    np.testing.assert_array_equal(linear_rgb(np.array([0, 10, 128, 188, 255])), [0, 1, 55, 128, 255])


def test_live_server_answers_and_listens_on_127_0_0_1_only() -> None:
    with serve(standing_result(4), port=0) as viewer:
        assert viewer.url.startswith("http://127.0.0.1:")
        assert b"<html" in urllib.request.urlopen(viewer.url, timeout=10).read()
        port = viewer.server.get_port()
        # a server on all addresses would also answer on another one of the loopback network
        with pytest.raises(OSError, match=r"refused|timed out|assign"):
            socket.create_connection(("127.0.0.2", port), timeout=2).close()
    with pytest.raises(OSError, match="refused"), contextlib.closing(socket.socket()) as closed:
        closed.connect(("127.0.0.1", port))


@pytest.mark.parametrize("fps", [0, -30, float("nan"), float("inf")])
def test_nothing_plays_at_no_rate(fps: float, tmp_path: Path) -> None:
    message = rf"^fps: expected a positive number, got {fps!r}$"
    with pytest.raises(InputError, match=message):
        serve(standing_result(4), port=0, fps=fps)
    with pytest.raises(InputError, match=message):
        write_html(standing_result(4), tmp_path / "scene.html", fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_live_controls_change_the_scene() -> None:
    result = standing_result(4, hide=("right_knee",))
    with serve(result, port=0, options=SceneOptions(hypotheses=10)) as viewer:
        view = viewer.scene.views[0]

        def shown() -> int:
            return int((view.hypotheses.handle.batched_scales[:, 2] > 1e-3).sum())

        assert shown() == 10 * 16
        viewer.hypotheses.value = 3
        viewer.step.value = 2
        viewer.regions.value = False
        viewer.ellipsoids.value = True
        viewer.refresh()
        assert shown() == 3 * 16
        assert not view.regions.handle.visible
        assert view.ellipsoids.handle.visible
        for batch, these in ((view.mean_joints, result.visible[2]), (view.unseen_joints, ~result.visible[2])):
            places = batch.handle.batched_positions[these] - [view.x, 0, 0]
            np.testing.assert_allclose(places, result.mean[2, these], atol=1e-5)
        assert "frame 2" in viewer.text.content
        radius = 1000 * result.region_radius[2, 2]
        assert f"| right knee | {radius:.0f} | hidden |" in viewer.text.content
        assert "| joint | 90 % radius, mm (uncalibrated) |" in viewer.text.content
        assert viewer.regions.label == "90 % balls (uncalibrated)"
        np.testing.assert_allclose(view.regions.handle.batched_scales[1:, 0], result.region_radius[2, 1:], rtol=1e-6)
        np.testing.assert_allclose(
            view.regions.handle.batched_positions[1:] - [view.x, 0, 0], result.region_center[2, 1:], atol=1e-5
        )
        assert "| pelvis |" not in viewer.text.content


@pytest.mark.parametrize("people", [1, 3, 4, 5, 8])
def test_everybody_is_in_the_first_view_and_fills_it(people: int) -> None:
    """Joints and panels projected by the initial camera into a window of 16:10."""
    from viser import transforms

    with contextlib.ExitStack() as stack:
        server = start_server("127.0.0.1", 0, "test")
        stack.callback(stop_server, server)
        scene = PoseScene(server, standing_result(people, people=True))
        camera = server.initial_camera
        back = np.subtract(camera.position, camera.look_at)
        assert back[2] < 0, "in front of people who face the camera"
        forward = -back / np.linalg.norm(back)
        right = np.cross(forward, camera.up)
        right /= np.linalg.norm(right)
        corners = []
        for view in scene.views:
            corners.append(view.mean_joints.handle.batched_positions)
            sheet = view.panel.sheet
            for x, y in itertools.product((-0.5, 0.5), repeat=2):
                offset = transforms.SO3(sheet.wxyz).apply(
                    np.asarray([x * sheet.render_width, y * sheet.render_height, 0.0])
                )
                corners.append((np.asarray(sheet.position) + offset)[None])
        rays = np.concatenate(corners) - camera.position
        depth = rays @ forward
        across = rays @ right / depth / np.tan(camera.fov / 2) / 1.6
        upward = rays @ np.cross(right, forward) / depth / np.tan(camera.fov / 2)
        assert depth.min() > 0
        assert np.abs(across).max() < 1
        assert np.abs(upward).max() < 1
        # the larger of the two decides; a strip of five people filled a fifth of the height
        assert max(np.ptp(across), np.ptp(upward)) > 1.4
        if people != 3:
            assert np.ptp(upward) > 1.0


def test_more_than_three_people_stand_in_two_rows() -> None:
    assert [[len(row) for row in rows_of(n)] for n in (1, 3, 4, 5, 8)] == [[1], [3], [2, 2], [3, 2], [4, 4]]
    server = start_server("127.0.0.1", 0, "test")
    try:
        views = PoseScene(server, standing_result(5, people=True)).views
        assert [view.y > 1.9 for view in views] == [False, False, False, True, True]
        for row in (views[:3], views[3:]):
            gaps = np.diff([view.x for view in row])
            assert (gaps > 1.5).all(), "nobody stands in the neighbour's panel"
    finally:
        stop_server(server)


def test_wrong_addresses_are_refused() -> None:
    with pytest.raises(InputError, match=r"cannot listen on '203\.0\.113\.7'.*use 127\.0\.0\.1"):
        serve(standing_result(), host="203.0.113.7", token="a secret of some length")
    with pytest.raises(InputError, match="port: expected 0 to 65535, got 70000"):
        serve(standing_result(), port=70000)
