"""The page in headless Chromium, opened from the disk: what is dragged, hidden or changed, held against Python."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import chromium, outside, watched

import poseterior as pp
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.reading import read_keypoints
from poseterior.view.playground.page import Playground, write_playground
from poseterior.view.playground.runtime import load_runtime

pytest.importorskip("onnx", reason="the extra 'playground' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'playground' is not installed")
pytest.importorskip("onnxruntime", reason="the extra 'playground' is not installed")

WIDTHS = {375: 812, 768: 1024, 1440: 900}
WRIST, ELBOW = 16, 15  # right ones, of h36m17


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def runtime() -> Any:
    try:
        return load_runtime()
    except InputError as missing:
        pytest.skip(f"{missing}")


@pytest.fixture(scope="module")
def played(runtime: Any) -> Playground:
    return Playground.of(pp.load("mdn"))


@pytest.fixture(scope="module")
def address(played: Playground, runtime: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("playground") / "index.html"
    write_playground(played, runtime, path)
    assert path.stat().st_size < 25e6
    return path.as_uri()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    page, asked, wrong = watched(browser)
    page.set_default_timeout(60_000)
    page.goto(address)
    until(page, lambda: state(page) == "ready")
    yield page
    assert outside(asked) == []
    assert wrong == []
    page.close()


def state(page: Any) -> str:
    return page.get_attribute("#main", "data-state") or ""


def until(page: Any, true: Any, patience: float = 120.0) -> None:
    """Wait for something, by asking: the page's policy lets playwright's own waiting evaluate nothing in it."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, page.inner_text("#status")
        page.wait_for_timeout(30)


def settled(page: Any) -> None:
    """Until what was asked for is answered and drawn: the number of answers stands still for a while."""
    before = -1
    while (now := int(page.get_attribute("#main", "data-lifts"))) != before:
        before = now
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 400)))")


def keypoints(page: Any) -> dict[str, Any]:
    """What the page says its keypoints are."""
    if page.get_attribute("#file-panel", "open") is None:
        page.click("#file-panel summary")
        until(page, lambda: page.input_value("#file"))
    return json.loads(page.input_value("#file"))


def shown(page: Any) -> dict[str, np.ndarray]:
    """Numbers of the list, metres: distance from the pelvis, radius."""
    rows = page.locator("#joints li").all()
    texts = [[row.locator(f".{part}").inner_text() for part in ("far", "within")] for row in rows]
    far, within = np.asarray(texts, np.float64).T / 100
    return {"far": far, "radius": within}


def place(page: Any) -> np.ndarray:
    """The chosen joint, metres."""
    return np.asarray([float(n) for n in re.findall(r"-?\d+\.\d+", page.inner_text("#place").replace("−", "-"))])


def python_says(played: Playground, said: dict[str, Any]) -> Any:
    """What the same lifter answers in Python, with the page's noise."""
    seen = [point is not None for point in said["keypoints"]]
    xy = torch.tensor([[point or [0.0, 0.0] for point in said["keypoints"]]])
    people = Keypoints2D(
        xy, torch.tensor([said["covariance"]]), visible=torch.tensor([seen]), image_size=tuple(said["image_size"]),
        skeleton="h36m17", height=said.get("height"),
    )  # fmt: skip
    module = played.lifter.to_module(0.9)
    with torch.no_grad():
        lifted = module(*module.inputs(people), torch.from_numpy(played.noise)[:, None])
    whole = played.lifter(people).mean[0].numpy()
    return lifted.mean[0].numpy(), lifted.radius[0].numpy(), whole


def check(page: Any, played: Playground, joint: int) -> np.ndarray:
    """The page's numbers are Python's to a millimetre; its radii are returned."""
    settled(page)
    mean, radius, whole = python_says(played, keypoints(page))
    told = shown(page)
    np.testing.assert_allclose(told["far"], np.linalg.norm(mean, axis=-1), atol=1e-3)
    np.testing.assert_allclose(told["radius"], radius, atol=1e-3)
    np.testing.assert_allclose(place(page), mean[joint], atol=1e-3)
    np.testing.assert_allclose(place(page), whole[joint], atol=1e-3)
    return radius


def on_board(page: Any, joint: int) -> tuple[float, float]:
    """Where a seen joint is on the screen, of keypoints that all are seen: the picture shows them and some room."""
    page.locator("#joints li").nth(joint).locator(".pick").click()
    points = keypoints(page)["keypoints"]
    low, high = np.min(points, 0), np.max(points, 0)
    page.locator("#board").scroll_into_view_if_needed()
    box = page.locator("#board").bounding_box()
    room = 0.14 * max(*(high - low), 10)
    scale = min(box["width"] / (high[0] - low[0] + 2 * room), box["height"] / (high[1] - low[1] + 2 * room))
    x, y = scale * (points[joint] - (low + high) / 2)
    return box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y


def test_it_is_drawn_before_the_network_runs_and_says_the_same_after(browser: Any, address: str) -> None:
    page, asked, wrong = watched(browser)
    page.goto(address, wait_until="commit")
    until(page, lambda: page.locator("#joints li").count() == 17)
    first = shown(page)
    until(page, lambda: state(page) == "ready")
    settled(page)
    for name, now in shown(page).items():
        np.testing.assert_allclose(now, first[name], atol=1e-3)
    assert outside(asked) == []
    assert wrong == []
    page.close()


def test_a_dragged_joint(page: Any, played: Playground) -> None:
    before = keypoints(page)["keypoints"][WRIST]
    x, y = on_board(page, WRIST)
    answers = int(page.get_attribute("#main", "data-lifts"))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y - 40, steps=8)
    page.mouse.move(x - 45, y - 110, steps=8)
    page.mouse.up()
    after = keypoints(page)["keypoints"][WRIST]
    assert after[0] < before[0] - 10
    assert after[1] < before[1] - 30
    check(page, played, WRIST)
    assert int(page.get_attribute("#main", "data-lifts")) > answers
    page.click("#reset")
    settled(page)
    assert keypoints(page)["keypoints"][WRIST] == before


def test_a_hidden_joint_by_list_key_and_two_taps(page: Any, played: Playground) -> None:
    seen = check(page, played, WRIST)
    page.locator("#joints li").nth(WRIST).locator(".eye").click()
    hidden = check(page, played, WRIST)
    assert keypoints(page)["keypoints"][WRIST] is None
    assert hidden[WRIST] > 1.2 * seen[WRIST]
    assert page.inner_text("#joints-note") == "16 of 17 seen"
    page.click("#hide")  # shown again, where the mean pose has it
    settled(page)
    assert keypoints(page)["keypoints"][WRIST] is not None
    check(page, played, WRIST)

    page.click("#reset")
    page.focus("#board")
    page.keyboard.press("PageUp")  # the elbow
    page.keyboard.press("h")
    settled(page)
    assert keypoints(page)["keypoints"][ELBOW] is None
    check(page, played, ELBOW)

    page.click("#reset")
    settled(page)
    page.mouse.dblclick(*on_board(page, ELBOW))
    settled(page)
    assert keypoints(page)["keypoints"][ELBOW] is None


def test_a_finger_drags_joints_and_scrolls_elsewhere(browser: Any, address: str, played: Playground) -> None:
    context = browser.new_context(viewport={"width": 375, "height": 812}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(address)
    until(page, lambda: state(page) == "ready")
    before = keypoints(page)["keypoints"]
    x, y = on_board(page, WRIST)
    scrolled = page.evaluate("scrollY")
    fingers = context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": a, "y": b} for a, b in places]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x, y))
    for step in range(1, 11):
        touch("touchMove", (x - 2 * step, y - 6 * step))
    touch("touchEnd")
    check(page, played, WRIST)
    assert keypoints(page)["keypoints"][WRIST][1] < before[WRIST][1] - 30
    assert page.evaluate("scrollY") == scrolled

    box = page.locator("#board").bounding_box()
    x, y = box["x"] + 6, box["y"] + box["height"] - 6
    touch("touchStart", (x, y))
    for step in range(1, 11):
        touch("touchMove", (x, y - 12 * step))
    touch("touchEnd")
    until(page, lambda: page.evaluate("scrollY") > scrolled + 30)
    context.close()


def test_keys_sigma_and_height(page: Any, played: Playground) -> None:
    before = keypoints(page)
    page.focus("#board")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("ArrowLeft")
    settled(page)
    now = keypoints(page)["keypoints"][WRIST]
    np.testing.assert_allclose(np.subtract(now, before["keypoints"][WRIST]), [-1, -10], atol=0.011)
    sure = check(page, played, WRIST)

    page.focus("#sigma")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    settled(page)
    assert keypoints(page)["covariance"][WRIST] > 3 * before["covariance"][WRIST]
    unsure = check(page, played, WRIST)
    assert unsure[WRIST] > sure[WRIST] + 0.01
    page.click("#everywhere")
    settled(page)
    assert set(keypoints(page)["covariance"]) == {keypoints(page)["covariance"][WRIST]}

    page.click("#reset")
    page.check("#height-known")
    page.fill("#height", "2.05")
    settled(page)
    assert keypoints(page)["height"] == 2.05
    tall = python_says(played, keypoints(page))[0]
    check(page, played, WRIST)
    page.fill("#height", "1.4")
    settled(page)
    check(page, played, WRIST)
    small = python_says(played, keypoints(page))[0]
    assert np.linalg.norm(tall, axis=-1).sum() > 1.3 * np.linalg.norm(small, axis=-1).sum()


def test_every_start_says_what_python_says(page: Any, played: Playground, tmp_path: Path) -> None:
    for number, start in enumerate(played.starts):
        page.locator("#starts button").nth(number).click()
        check(page, played, WRIST)
        assert page.inner_text("#board-title") == f"{start.name}: keypoints, 2D"
    # the last: what the page calls a file is one
    path = tmp_path / "keypoints.json"
    path.write_text(page.input_value("#file"))
    again = read_keypoints(path)
    assert again.visible.sum() >= start.keypoints.visible.sum()
    known = start.keypoints.visible[0]
    np.testing.assert_allclose(again.as_skeleton("h36m17").xy[0][known], start.keypoints.xy[0][known], atol=0.011)


def test_an_old_browser_is_told(browser: Any, address: str) -> None:
    page, asked, _ = watched(browser)
    page.add_init_script("delete globalThis.DecompressionStream")
    page.goto(address)
    until(page, lambda: state(page) == "failed")
    assert page.inner_text("#status") == (
        "Nothing can be dragged here: this browser cannot run the page's network; it takes Chrome 103, Edge 103, "
        "Firefox 113, Safari 16.4 or later"
    )
    assert shown(page)["radius"][WRIST] > 0  # the first pose is there all the same
    assert outside(asked) == []
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_screen(browser: Any, address: str, width: int, theme: str) -> None:
    page, _, wrong = watched(browser, width, WIDTHS[width], theme)
    page.goto(address, wait_until="commit")
    until(page, lambda: page.locator("#joints li").count() == 17)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    board, stage = (page.locator(f"#{name}-box").bounding_box() for name in ("board", "stage"))
    # what is dragged and what becomes of it are on one screen
    assert max(board["y"] + board["height"], stage["y"] + stage["height"]) <= WIDTHS[width]
    for name in ("board", "stage"):
        drawn = page.evaluate(
            f"(() => {{ const c = document.getElementById('{name}'), d = c.getContext('2d').getImageData(0, 0, c.width,"
            " c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
        )
        assert drawn > 500, name
    assert wrong == []
    page.close()
