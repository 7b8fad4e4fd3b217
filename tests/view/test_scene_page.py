"""The offline 3D page in a real browser: what is read, pressed, pointed at and played."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium, outside, watched
from test_scene_data import HOSTILE
from test_view import meadow, standing_result

from poseterior.results.lifted import WORLD_AXES
from poseterior.results.poses import LiftResult
from poseterior.view.palette import DARK, LIGHT
from poseterior.view.scene import SceneOptions, write_html

WIDTHS = {375: 812, 768: 1024, 1440: 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A photograph, people beside each other, a clip with a gap and unseen joints, and names that are no names."""
    folder = tmp_path_factory.mktemp("scenes")
    clip = clip_with_a_gap()
    hostile = replace(standing_result(2, people=True), file=[HOSTILE] * 2, settings={HOSTILE: HOSTILE})
    for name, result, photos in (
        ("photograph", standing_result(1, hide=("left_wrist",)), meadow()),
        ("people", standing_result(5, people=True), None),
        ("clip", clip, meadow()),
        ("hostile", hostile, None),
    ):
        write_html(result, folder / f"{name}.html", photos=photos, fps=None if name != "clip" else 10.0)
    return {path.stem: path for path in folder.iterdir()}


def clip_with_a_gap() -> LiftResult:
    result = standing_result(12, walk=True)
    visible = result.visible.copy()
    visible[3:6, 13] = False
    hidden = ~visible
    keypoints, spread = result.keypoints.copy(), result.keypoint_covariance.copy()
    keypoints[hidden], spread[hidden] = np.nan, np.nan
    frame = np.arange(12) + 6 * (np.arange(12) >= 8)
    return replace(result, frame=frame, visible=visible, keypoints=keypoints, keypoint_covariance=spread)


def opened(browser: Any, path: Path, width: int = 1440, theme: str = "light") -> Any:
    page, asked, wrong = watched(browser, width, WIDTHS[width], theme)
    page.goto(path.as_uri())
    settle(page)
    page.asked, page.wrong = asked, wrong
    return page


def settle(page: Any) -> None:
    """Until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page: Any, selector: str) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.locator(selector).screenshot())).convert("RGB")).astype(int)


def near(image: np.ndarray, colour: str, tolerance: int = 24) -> np.ndarray:
    """Rows and columns of the pixels of about that colour."""
    wanted = np.asarray([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.argwhere(np.abs(image - wanted).max(-1) <= tolerance)


def joint_row(page: Any, result: LiftResult, name: str) -> Any:
    return page.locator(f"#joints button[data-joint='{result.joint_names.index(name)}']")


def numbers(result: LiftResult, pose: int, name: str) -> list[str]:
    """What the page has to say of a joint, made by Python."""
    joint = result.joint_names.index(name)
    x, y, z = result.mean[pose, joint].tolist()
    at = "  ".join(f"{axis} {value:.3f}" for axis, value in zip("xyz", (x, y, z), strict=True)).replace("-", "−") + " m"
    seen = "seen in the picture" if result.visible[pose, joint] else "not seen in the picture"
    radius = 1000 * float(result.region_radius[pose, joint])
    return [name.replace("_", " "), at, seen, f"90 % within {radius:.0f} mm (uncalibrated)"]


# -- it opens ------------------------------------------------------------------------------------------


def test_the_page_shows_an_upright_person_and_asks_nobody(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["photograph"])
    assert page.title() == "standing.json · 3D pose"
    assert page.inner_text("h1") == "standing.json"
    assert "lifter test · 1 person · 90 % regions, uncalibrated" in page.inner_text("#about")
    page.click("[data-mode=mean]")
    page.click("#regions")
    settle(page)
    image = pixels(page, "#stage")
    left, right = near(image, LIGHT.left), near(image, LIGHT.right)
    assert min(len(left), len(right)) > 300
    # faces us: the own left is to the right of the picture; the right hand is raised above everything left
    assert left[:, 1].mean() > right[:, 1].mean() + 40
    assert right[:, 0].min() < left[:, 0].min()
    assert outside(page.asked) == []
    assert page.wrong == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_at_any_width(browser: Any, pages: dict[str, Path], width: int, theme: str) -> None:
    for name in ("photograph", "people", "clip"):
        page = opened(browser, pages[name], width, theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        cut = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
                .filter((e) => e.offsetParent && e.childElementCount === 0 && e.textContent.trim()
                        && !e.classList.contains("away") && !e.closest("select, .away"))
                .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"
                        || e.getBoundingClientRect().right > innerWidth + 0.5
                        || e.getBoundingClientRect().left < -0.5)
                .map((e) => e.textContent)"""
        )
        assert cut == [], name
        over = page.evaluate(
            """() => { const boxes = [...document.querySelectorAll("main section:not([hidden]), main details")]
                .map((e) => e.getBoundingClientRect());
                return boxes.some((a, i) => boxes.slice(i + 1).some((b) => a.left < b.right - 1 && b.left < a.right - 1
                        && a.top < b.bottom - 1 && b.top < a.bottom - 1)); }"""
        )
        assert not over, f"{name}: panels lie on each other"
        assert page.wrong == []
        page.close()


def test_everybody_is_inside_the_first_view(browser: Any, pages: dict[str, Path]) -> None:
    for width in (768, 1440):
        page = opened(browser, pages["people"], width)
        page.click("[data-mode=mean]")
        settle(page)
        image = pixels(page, "#stage")
        theirs = np.concatenate([near(image, LIGHT.left), near(image, LIGHT.right)])
        assert theirs[:, 1].min() > 4
        assert theirs[:, 1].max() < image.shape[1] - 4
        assert np.ptp(theirs[:, 1]) > 0.6 * image.shape[1], "they fill it"
        page.close()


def test_hostile_names_are_only_text(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["hostile"])
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    name = HOSTILE.split("/")[-1]
    assert name in page.title()
    assert page.text_content("h1") == name
    assert HOSTILE in page.locator("#facts dd").all_text_contents()
    assert HOSTILE in page.locator("#facts dt").all_text_contents()
    assert page.locator("img, iframe, object").count() == 0
    assert outside(page.asked) == []
    assert page.wrong == []
    page.close()


def test_a_foreign_script_cannot_run(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    """Even where one got into the page."""
    text = pages["photograph"].read_text().replace("</body>", "<script>document.title = 'foreign'</script></body>")
    (tmp_path / "changed.html").write_text(text)
    page = opened(browser, tmp_path / "changed.html")
    assert page.title() == "standing.json · 3D pose"
    assert any("Content Security Policy" in line for line in page.wrong)
    page.close()


# -- numbers of a joint --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["right_wrist", "left_wrist", "head_top"])
def test_pointing_at_a_joint_tells_pythons_numbers(browser: Any, pages: dict[str, Path], name: str) -> None:
    result = standing_result(1, hide=("left_wrist",))
    page = opened(browser, pages["photograph"])
    # by the list, which marks where the joint is drawn
    joint_row(page, result, name).hover()
    settle(page)
    expected = numbers(result, 0, name)
    told = [part for part in page.inner_text("#tip").split("\n") if part]
    assert [" ".join(part.split()) for part in told] == [" ".join(part.split()) for part in expected]
    x, y = (float(page.get_attribute("#tip", f"data-{axis}")) for axis in "xy")
    page.mouse.move(5, 5)
    settle(page)
    assert not page.is_visible("#tip")
    # and there, by the mouse
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    settle(page)
    assert [" ".join(p.split()) for p in page.inner_text("#tip").split("\n") if p] == [
        " ".join(part.split()) for part in expected
    ]
    assert page.inner_text("#readout").split("\n")[0] == expected[0]
    # a click keeps it
    page.mouse.down()
    page.mouse.up()
    page.mouse.move(5, 5)
    settle(page)
    assert page.inner_text("#tip").split("\n")[0] == expected[0]
    assert joint_row(page, result, name).get_attribute("aria-pressed") == "true"
    page.close()


def test_joints_are_reached_by_keyboard_and_said(browser: Any, pages: dict[str, Path]) -> None:
    result = standing_result(1, hide=("left_wrist",))
    page = opened(browser, pages["photograph"])
    row = joint_row(page, result, "left_elbow")
    page.keyboard.press("Tab")
    row.focus()
    page.keyboard.press("Tab")
    settle(page)
    expected = numbers(result, 0, "left_wrist")
    assert page.inner_text("#readout").split("\n")[0] == "left wrist"
    said = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert " ".join(said.split()) == " ".join(", ".join([expected[0], expected[2], expected[1], expected[3]]).split())
    page.keyboard.press("Enter")
    settle(page)
    assert joint_row(page, result, "left_wrist").get_attribute("aria-pressed") == "true"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select, canvas')].filter((e) => !e.closest('[hidden]') "
        "&& !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0
    page.close()


def test_a_tap_in_the_picture_chooses_the_joint(browser: Any, pages: dict[str, Path]) -> None:
    result = standing_result(1, hide=("left_wrist",))
    page = opened(browser, pages["photograph"], 375)
    canvas = page.locator("#picture")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    from test_scene_data import told

    left, top, right, _ = told(pages["photograph"].read_text())["tracks"][0]["picture"]["images"][0]["box"]
    scale = box["width"] / (right - left)
    x, y = (result.keypoints[0, result.joint_names.index("right_wrist")] - [left, top]) * scale
    page.mouse.click(box["x"] + x, box["y"] + y)
    settle(page)
    assert page.inner_text("#readout").split("\n")[0] == "right wrist"
    page.close()


# -- what is drawn -------------------------------------------------------------------------------------


def test_the_switches_change_what_is_drawn(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["photograph"])
    pictures = {}
    for mode in ("samples", "clusters", "mean"):
        page.click(f"[data-mode={mode}]")
        settle(page)
        assert page.get_attribute(f"[data-mode={mode}]", "aria-pressed") == "true"
        pictures[mode] = pixels(page, "#stage")
    page.click("#regions")
    page.wait_for_timeout(100)
    settle(page)
    pictures["bare"] = pixels(page, "#stage")
    assert page.get_attribute("#regions", "aria-pressed") == "false"
    assert "shaded" not in page.inner_text("#legend")
    names = list(pictures)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert pictures[one].shape == pictures[other].shape, "the stage keeps its height"
            assert (pictures[one] != pictures[other]).any(-1).sum() > 500, (one, other)
    for view in ("front", "side", "top", "turned"):
        page.click(f"[data-view={view}]")
        page.wait_for_timeout(500)
        settle(page)
        pictures[view] = pixels(page, "#stage")
    assert (pictures["front"] != pictures["side"]).any(-1).sum() > 500
    assert np.abs(pictures["turned"] - pictures["bare"]).mean() < 1.0, "back where it began"
    page.focus("#stage")
    page.keyboard.press("ArrowLeft")
    settle(page)
    assert (pixels(page, "#stage") != pictures["turned"]).any(-1).sum() > 500
    page.close()


def test_the_theme_follows_the_system_and_the_switch(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["clip"], theme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = tuple(int(DARK.paper[i : i + 2], 16) for i in (1, 3, 5))
    assert page.evaluate(ground) == f"rgb{dark}"
    assert len(near(pixels(page, "#stage"), DARK.left)) > 100
    page.click("#theme")
    settle(page)
    light = tuple(int(LIGHT.panel[i : i + 2], 16) for i in (1, 3, 5))
    assert page.evaluate(ground) == f"rgb{light}"
    assert len(near(pixels(page, "#stage"), LIGHT.left)) > 100
    assert len(near(pixels(page, "#stage"), DARK.left, 8)) < 30
    assert page.get_attribute("#theme", "aria-label") == "Dark colours"
    page.close()


def test_one_of_several_people_is_chosen(browser: Any, pages: dict[str, Path]) -> None:
    result = standing_result(5, people=True)
    page = opened(browser, pages["people"])
    page.select_option("#person", "3")
    joint_row(page, result, "right_knee").hover()
    settle(page)
    expected = numbers(result, 3, "right_knee")
    told = page.inner_text("#tip").split("\n")
    assert told[0] == "standing.json · person 3 · right knee"
    assert " ".join(told[1].split()) == " ".join(expected[1].split())
    before = pixels(page, "#stage")
    page.click("#alone")
    page.wait_for_timeout(100)
    settle(page)
    assert page.get_attribute("#alone", "aria-pressed") == "true"
    assert (pixels(page, "#stage") != before).any(-1).sum() > 500
    page.close()


# -- clips ---------------------------------------------------------------------------------------------


def test_a_clip_waits_at_its_first_frame_plays_and_pauses(browser: Any, pages: dict[str, Path]) -> None:
    page = opened(browser, pages["clip"])
    page.wait_for_timeout(400)
    assert page.inner_text("#time") == "0.00 s · frame 0 · step 1 of 12"
    page.click("#play")
    end = time.monotonic() + 30
    while int(page.input_value("#scrub")) < 3:
        assert time.monotonic() < end
        page.wait_for_timeout(50)
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.mouse.click(3, 3)
    page.keyboard.press("Space")
    settle(page)
    assert page.get_attribute("#play", "aria-label") == "Play"
    stopped = page.inner_text("#time")
    page.wait_for_timeout(500)
    assert page.inner_text("#time") == stopped
    page.close()


def test_the_timeline_is_scrubbed_by_mouse_and_keys(browser: Any, pages: dict[str, Path]) -> None:
    result = clip_with_a_gap()
    page = opened(browser, pages["clip"])
    box = page.locator("#timeline").bounding_box()
    page.mouse.click(box["x"] + box["width"] - 14, box["y"] + 30)
    settle(page)
    assert page.inner_text("#time") == "1.70 s · frame 17 · step 12 of 12"
    joint_row(page, result, "left_ankle").click()
    settle(page)
    told = " ".join(page.inner_text("#tip").split())
    assert told == " ".join(" ".join(numbers(result, 11, "left_ankle")).split())
    page.focus("#scrub")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.inner_text("#time") == "0.10 s · frame 1 · step 2 of 12"
    page.mouse.click(3, 3)
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.inner_text("#time") == "0.20 s · frame 2 · step 3 of 12"
    page.focus("#scrub")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert joint_row(page, result, "left_wrist").get_attribute("class").split() == ["left", "unseen"]
    assert "not seen: left wrist" in page.inner_text("#picture-text")
    page.close()


def test_the_timeline_tells_its_radii_gaps_and_unseen_joints(browser: Any, pages: dict[str, Path]) -> None:
    result = clip_with_a_gap()
    page = opened(browser, pages["clip"])
    means = 1000 * result.region_radius[:, 1:].mean(1)
    label = page.get_attribute("#timeline", "aria-label")
    assert label == f"Mean 90 % radius over time, {means.min():.0f} to {means.max():.0f} mm; 1 gap"
    legend = page.inner_text("#timeline-legend")
    assert "no frames" in legend
    assert "joints not seen" in legend
    image = pixels(page, "#timeline")
    # the lane of unseen joints is marked for three of twelve steps, nowhere else
    lane = near(image[image.shape[0] - 32 :], LIGHT.accent, 120)
    assert len(lane) > 20
    photograph = opened(browser, pages["photograph"])
    assert not photograph.is_visible("#player-panel")
    photograph.close()
    page.close()


def test_a_page_without_samples_or_keypoints_has_no_dead_buttons(browser: Any, tmp_path: Path) -> None:
    unseen = standing_result(2, 0, hide=standing_result().joint_names)
    write_html(unseen, tmp_path / "bare.html", options=SceneOptions(hypotheses=0))
    page = opened(browser, tmp_path / "bare.html")
    assert not page.is_visible("[data-mode=samples]")
    assert not page.is_visible("[data-mode=clusters]")
    assert not page.is_visible("#picture-panel")
    assert page.wrong == []
    page.close()


def test_a_draw_of_a_prior_has_no_radii(browser: Any, tmp_path: Path) -> None:
    known = standing_result(2, 1)
    known = replace(known, region_radius=np.full_like(known.region_radius, 0.001))
    write_html(known, tmp_path / "known.html")
    page = opened(browser, tmp_path / "known.html")
    assert not page.is_visible("#regions")
    assert "mm" not in page.inner_text("#joints-panel")
    assert "region" not in page.inner_text("#about")
    assert page.wrong == []
    page.close()


def test_views_of_a_world_have_its_axes_as_names(browser: Any, tmp_path: Path) -> None:
    settings = {"world": "the calibration's world: right is its x, down its -z, forward its y"}
    fused = replace(standing_result(1), axes=WORLD_AXES, settings=settings)
    write_html(fused, tmp_path / "scene.html")
    page = opened(browser, tmp_path / "scene.html")
    names = [button.inner_text() for button in page.locator("#views button").all()]
    assert names == ["Angled", "Along y", "Along x", "Top"]
    visible = page.locator("body").inner_text()
    assert "before the camera" not in visible.lower()
    assert "from the camera" not in visible.lower()
    assert not page.wrong
    page.close()
