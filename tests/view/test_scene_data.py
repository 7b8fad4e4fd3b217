"""The offline page's data: exact, complete, small, and harmless whatever is in a file's name."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_view import meadow, standing_result

from poseterior.files.errors import InputError
from poseterior.results.poses import LiftResult
from poseterior.view.ffmpeg import encode
from poseterior.view.scene import SceneOptions, scene_html, write_html
from poseterior.view.scene.data import describe, gaps_of, title_of
from poseterior.view.scene.packing import exact, pack, unpack
from poseterior.view.scene.page import PAGE_OPTIONS
from poseterior.view.scene.pictures import body_points, crop_boxes
from poseterior.view.scene.placing import beside, left_to_right, seen_places, upright
from poseterior.view.scene.representatives import representatives
from poseterior.view.tracks import tracks_of

#: Positions are multiples of 0.1 mm: off by half of that, and float32's own error.
_ROUNDING = 0.00005 + 1e-6


def told(page: str) -> dict[str, Any]:
    """The data that a page holds."""
    found = re.search(r'<script type="application/json" id="scene">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


# -- packing -------------------------------------------------------------------------------------------


def test_numbers_come_back_within_half_a_step_and_gaps_stay_gaps() -> None:
    values = np.random.default_rng(0).uniform(-3.2, 3.2, size=(7, 17, 3))
    values[2, 3] = np.nan
    back = unpack(pack(values, 1e-4))
    assert back.shape == values.shape
    np.testing.assert_allclose(back, values, atol=_ROUNDING)
    assert np.isnan(back[2, 3]).all()


def test_a_large_number_widens_the_step_and_the_step_says_so() -> None:
    packed = pack([0.001, -12.0, np.inf], 1e-4)
    assert packed["step"] == pytest.approx(12 / 32767)
    np.testing.assert_allclose(unpack(packed), [0.001, -12.0, np.nan], atol=packed["step"] / 2)
    np.testing.assert_array_equal(unpack(exact([0.1, np.nan])), np.asarray([0.1, np.nan], np.float32))
    assert unpack(pack(np.empty((3, 0, 17, 3)), 1e-4)).shape == (3, 0, 17, 3)


# -- what is told --------------------------------------------------------------------------------------


def test_positions_radii_and_keypoints_are_the_results() -> None:
    result = standing_result(5, hide=("left_wrist",), walk=True)
    track = describe(result, PAGE_OPTIONS, meadow())["tracks"][0]
    np.testing.assert_array_equal(unpack(track["mean"]), result.mean)
    np.testing.assert_allclose(unpack(track["centre"]), result.region_center, atol=_ROUNDING)
    np.testing.assert_array_equal(unpack(track["radius"]), result.region_radius)
    np.testing.assert_allclose(unpack(track["keypoints"]), result.keypoints, atol=0.051)
    np.testing.assert_array_equal(unpack(track["seen"]) > 0, result.visible)
    assert track["rows"] == [0, 1, 2, 3, 4]
    # an evenly spaced choice of the samples, the same at every step
    assert unpack(track["samples"]).shape == (5, 60, 17, 3)
    np.testing.assert_allclose(unpack(track["samples"]), result.samples, atol=_ROUNDING)


def test_ellipses_and_ellipsoids_are_factors_of_the_covariances() -> None:
    result = standing_result(2, hide=("left_wrist",))
    track = describe(result, SceneOptions(ellipsoids=True))["tracks"][0]
    for name, covariance, size in (("spread", result.keypoint_covariance, 2), ("ellipsoids", result.covariance, 3)):
        lower = np.zeros((2, 17, size, size))
        lower[(..., *np.tril_indices(size))] = unpack(track[name])
        known = np.isfinite(covariance).all((-1, -2))
        assert np.isnan(lower[~known]).any((-1, -2)).all()
        back = lower @ lower.swapaxes(-1, -2)
        # a factor is off by half a step, its square by about twice the factor times that
        step = track[name]["step"]
        np.testing.assert_allclose(
            back[known], covariance[known], atol=3 * step * np.sqrt(np.abs(covariance[known]).max())
        )
    assert describe(result, SceneOptions())["tracks"][0]["ellipsoids"] is None


def test_several_people_come_and_go() -> None:
    result = replace(standing_result(5), file=["a"] * 5, frame=[0, 1, 1, 2, 2], person=[0, 0, 1, 1, 2])
    scene = describe(result, PAGE_OPTIONS)
    assert [track["label"] for track in scene["tracks"]] == [f"a · person {i}" for i in range(3)]
    assert [track["rows"] for track in scene["tracks"]] == [[0, 1, -1], [-1, 0, 1], [-1, -1, 0]]
    np.testing.assert_allclose(unpack(scene["tracks"][1]["mean"]), result.mean[[2, 3]], atol=_ROUNDING)
    assert scene["people"] == {"shown": 3, "of": 3}
    fewer = describe(result, SceneOptions(max_tracks=2))
    assert fewer["people"] == {"shown": 2, "of": 3}
    assert ["people", "2 of 3 shown"] in fewer["facts"]


def test_missing_frames_are_gaps() -> None:
    result = replace(standing_result(6), frame=[0, 2, 4, 20, 22, 24])
    scene = describe(result, PAGE_OPTIONS, fps=10.0)
    assert scene["frames"] == [0, 2, 4, 20, 22, 24]
    assert scene["gaps"] == [2]
    np.testing.assert_allclose(scene["pauses"], [0.2, 0.2, 1.0, 0.2, 0.2, 0.2])
    assert describe(standing_result(6), PAGE_OPTIONS)["gaps"] == []
    # thinning makes no gaps, and loses none
    long = tracks_of(replace(standing_result(40), frame=[*range(20), *range(30, 50)]))
    assert gaps_of(long, [0, 7, 14, 19, 33, 40, 49]) == [3]
    assert scene["rateKnown"]
    assert not describe(result, PAGE_OPTIONS)["rateKnown"]


def test_no_samples_no_keypoints_and_one_pose_make_a_page() -> None:
    bare = describe(standing_result(1, 0), PAGE_OPTIONS)
    assert bare["samples"] == {"shown": 0, "of": 0}
    assert bare["tracks"][0]["clusters"] is None
    assert unpack(bare["tracks"][0]["samples"]).shape == (1, 0, 17, 3)
    unseen = standing_result(2, 1, hide=standing_result().joint_names)
    track = told(scene_html(unseen))["tracks"][0]
    assert np.isnan(unpack(track["keypoints"])).all()
    assert not unpack(track["seen"]).any()
    asked = describe(standing_result(1), SceneOptions(hypotheses=0, regions=False))
    assert asked["samples"]["shown"] == 0
    assert not asked["show"]["regions"]


def test_clusters_share_the_samples_and_keep_their_number() -> None:
    rng = np.random.default_rng(0)
    around = np.asarray([-1.0, 0.0, 1.0]).repeat([30, 20, 10])
    drift = 0.02 * np.arange(8)[:, None]
    samples = np.zeros((8, 60, 17, 3), np.float32)
    samples[..., 0] = (around + drift)[..., None]
    samples += 0.01 * rng.standard_normal(samples.shape).astype(np.float32)
    found = representatives(samples, follow=True)
    assert found is not None
    poses, shares = found
    np.testing.assert_allclose(np.sort(shares[0])[::-1], [0.5, 1 / 3, 1 / 6], atol=1e-6)
    assert np.abs(np.diff(poses[..., 0, 0], axis=0) - 0.02).max() < 0.02, "nobody jumps to another's place"
    assert representatives(samples[:, :11], follow=True) is None


def test_long_clips_are_thinned_evenly_and_it_is_told() -> None:
    result = standing_result(40)
    scene = describe(result, SceneOptions(max_steps=10, hypotheses=200))
    assert scene["frames"] == [0, 4, 9, 13, 17, 22, 26, 30, 35, 39]
    assert ["frames", "10 of 40 shown"] in scene["facts"]
    assert ["samples", "60 of 60 shown"] in scene["facts"]


# -- places --------------------------------------------------------------------------------------------


def test_people_of_a_picture_stand_in_the_order_of_the_picture() -> None:
    result = standing_result(3, people=True)
    keypoints = result.keypoints + np.asarray([900.0, -900.0, 0.0])[:, None, None] * [1.0, 0.0]
    result = replace(result, keypoints=keypoints)
    tracks = tracks_of(result)
    assert left_to_right(result, tracks) == [1, 2, 0]
    x = beside(result, tracks, np.eye(3))[:, 0]
    assert x[1] < x[2] < x[0]
    assert np.diff(np.sort(x)).min() > 0.7
    assert seen_places(result, tracks, [[0], [1], [2]], np.eye(3)) is None, "the camera is not known"


def test_a_known_camera_places_people_as_the_result_says() -> None:
    root = np.asarray([[-1.0, 0.1, 4.0], [1.0, 0.0, 6.0]])
    result = replace(standing_result(2, people=True), root=root, root_covariance=np.tile(np.eye(3), (2, 1, 1)))
    scene = describe(result, PAGE_OPTIONS)
    assert scene["place"]["first"] == "seen"
    places = np.concatenate([unpack(at) for at in scene["place"]["seen"]["at"]])
    np.testing.assert_allclose(places[1] - places[0], root[1] - root[0], atol=0.001)
    np.testing.assert_allclose(places.mean(0), 0.0, atol=0.001)
    # of two files there are two cameras
    apart = replace(result, file=["a", "b"])
    assert describe(apart, PAGE_OPTIONS)["place"]["seen"] is None


def test_a_known_floor_is_level() -> None:
    tilt = np.radians(20)
    normal = np.asarray([0.0, -np.cos(tilt), -np.sin(tilt)])
    result = replace(standing_result(2), ground=np.tile([*normal, 1.5], (2, 1)))
    turn = upright(result)
    np.testing.assert_allclose(turn @ normal, [0.0, -1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
    assert (turn @ [0.0, 0.0, 1.0])[2] > 0.9, "z stays away from the camera"
    np.testing.assert_array_equal(upright(standing_result(2)), np.eye(3))


# -- pictures ------------------------------------------------------------------------------------------


def test_the_picture_is_cut_to_the_person() -> None:
    result = standing_result(1)
    picture = describe(result, PAGE_OPTIONS, meadow(2000, 1500))["tracks"][0]["picture"]
    (image,) = picture["images"]
    left, top, right, bottom = image["box"]
    points = result.keypoints[0]
    assert (points.min(0) > [left, top]).all()
    assert (points.max(0) < [right, bottom]).all()
    assert right - left < 1.7 * np.ptp(points[:, 1])
    assert image["src"].startswith("data:image/jpeg;base64,/9j/")


def test_a_head_that_is_not_seen_is_not_cut_off() -> None:
    result = standing_result(1, hide=("head_top", "neck_nose", "thorax"))
    guessed = body_points(result.keypoints, result.mean)
    whole = standing_result(1).keypoints[0]
    np.testing.assert_allclose(guessed[0], whole, atol=1.0)
    # nothing to tell by: nothing is guessed
    bare = standing_result(1, hide=standing_result().joint_names[2:])
    np.testing.assert_array_equal(body_points(bare.keypoints, bare.mean), bare.keypoints.astype(np.float64))


def test_the_window_follows_who_walks_and_stays_in_the_picture() -> None:
    still = standing_result(4).keypoints[[0, 0, 0, 0]]
    assert np.ptp(crop_boxes(still), axis=0).max() == 0
    walks = still + (400.0 * np.arange(4))[:, None, None] * [1.0, 0.0]
    walks[2] = np.nan
    boxes = crop_boxes(walks, (640, 2400))
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= [2400, 640]).all()
    assert boxes[3, 0] > boxes[0, 0] + 800
    for box, points in zip(boxes[[0, 1, 3]], walks[[0, 1, 3]], strict=True):
        assert (points > box[:2]).all()
        assert (points < box[2:]).all()
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] - boxes[:, :2])[:1].repeat(4, 0))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hundred frames of noise, which compresses badly, over a meadow; the frame's number as its grey."""
    from poseterior.files.films import reading_program

    path = tmp_path_factory.mktemp("film") / "noisy.mp4"
    try:
        reading_program("noisy.mp4")
    except InputError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    base = meadow(640, 640).astype(np.int16)

    def frames() -> Any:
        for i in range(300):
            grey = base + rng.integers(-40, 40, (640, 640, 1), np.int16)
            grey[:40, :40] = 255 * (i // 3 % 2)
            opaque = np.full((640, 640, 1), 255, np.int16)
            yield np.concatenate([np.clip(grey, 0, 255), opaque], -1).astype(np.uint8)

    encode(str(path), frames(), (640, 640), 30.0, "noisy.mp4")
    return path


def clip_of(frames: int, samples: int) -> LiftResult:
    one = standing_result(1, samples)
    many = one[np.zeros(frames, int)]
    return replace(many, frame=np.arange(frames), file=["film.mp4"] * frames, settings={"fps": "30"})


def test_ten_seconds_with_pictures_and_200_samples_stay_below_5_mb(film: Path, tmp_path: Path) -> None:
    write_html(clip_of(300, 200), tmp_path / "scene.html", photos=film)
    assert (tmp_path / "scene.html").stat().st_size <= 5_000_000
    scene = told((tmp_path / "scene.html").read_text())
    assert len(scene["frames"]) == 300
    assert scene["samples"]["of"] == 200
    assert 10 <= scene["samples"]["shown"] < 200
    steps = [image["step"] for image in scene["tracks"][0]["picture"]["images"]]
    assert steps[0] == 0
    assert len(set(np.diff(steps))) == 1, "evenly thinned"
    assert len(steps) >= 30
    assert ["frames", f"300 of 300 shown, {len(steps)} with their picture"] in scene["facts"]


def test_the_films_frame_is_that_of_the_step(film: Path) -> None:
    import base64
    import io

    from PIL import Image

    result = replace(clip_of(6, 20), frame=[0, 1, 2, 9, 10, 15])
    # so large that the window is the whole frame
    result = replace(result, keypoints=(result.keypoints - 320) * 2 + 320)
    images = describe(result, PAGE_OPTIONS, film)["tracks"][0]["picture"]["images"]
    assert [image["step"] for image in images] == [0, 1, 2, 3, 4, 5]
    for image, number in zip(images, [0, 1, 2, 9, 10, 15], strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["src"].split(",")[1]))).convert("L"))
        assert image["box"][:2] == [0.0, 0.0]
        assert (pixels[3:15, 3:15].mean() > 128) == (number // 3 % 2 == 1)


# -- a page that is only itself ------------------------------------------------------------------------

HOSTILE = '</script><script>alert(1)</script><img src=x onerror="alert(2)">&{{ 7*7 }}\'"--><!--\u2028.jpg'


def test_names_from_files_are_never_html() -> None:
    result = replace(standing_result(2, people=True), file=[HOSTILE] * 2, lifter=HOSTILE, settings={HOSTILE: HOSTILE})
    page = scene_html(result)
    assert title_of(result) != ""
    assert told(page)["lifter"] == HOSTILE
    assert page.count("<script") == 2, "the data and the program"
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "49" not in page.split("</title>")[0]


def test_nothing_is_asked_for_and_only_the_own_program_may_run() -> None:
    import base64
    import hashlib

    page = scene_html(standing_result(3), photos=meadow())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy[1]
    program = page.split('<script type="application/json"')[1].split("</script>")[1].split("<script>")[1]
    style = page.split("<style>")[1].split("</style>")[0]
    for name, text in (("script-src", program), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{name} 'sha256-{digest}'" in policy[1]
    for outside in ("http://", "https://", "@import", "url(", "import("):
        assert outside not in page.replace("http://www.w3.org/2000/svg", ""), outside
    assert " style=" not in page
    assert " onclick" not in page


def test_the_same_result_makes_the_same_page() -> None:
    assert scene_html(standing_result(3)) == scene_html(standing_result(3))


def test_wrong_rates_are_refused() -> None:
    with pytest.raises(InputError, match=r"fps: expected a positive number, got 0"):
        scene_html(standing_result(2), fps=0)
