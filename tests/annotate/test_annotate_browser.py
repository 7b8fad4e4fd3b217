"""The pages in a real browser: answers by key and button, undo, a reload, two annotators at once, clicked joints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'annotate' is not installed")
pytest.importorskip("sqlalchemy", reason="the extra 'annotate' is not installed")

from small_study import JOINTS, make_photos, server
from sqlalchemy import select

from poseterior.annotate.database import Annotator, Answer, Database, Task
from poseterior.annotate.figures import TUTORIAL
from poseterior.annotate.tasks import joint_title
from poseterior.keypoints.reading import read_keypoints


def open_page(browser: Any, address: str, asked: list[str], **options: Any) -> Any:
    """A page of somebody who has not been here."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(60_000)
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: asked.append(f"error: {error}"))
    page.goto(address)
    return page


def settled(page: Any, count: str) -> None:
    """Wait until the progress says so, and until the question takes answers."""
    page.wait_for_selector(f"#count:text-is('{count}')")
    page.wait_for_selector(".answers[aria-busy=false]")


def pass_tutorial(page: Any, name: str) -> None:
    page.fill("#name", name)
    page.click("#start")
    for number, question in enumerate(TUTORIAL):
        settled(page, f"practice {number + 1} of {len(TUTORIAL)}")
        page.keyboard.press("1" if question.nearer == question.first else "2")
        page.wait_for_selector("#feedback.good")
        assert page.inner_text("#why") == question.why
        page.click("#continue")


def shown(page: Any) -> tuple[str, str]:
    return page.inner_text("#first b").lower(), page.inner_text("#second b").lower()


def test_two_annotators_answer_undo_and_reload(tmp_path: Path, browser: Any) -> None:
    make_photos(tmp_path / "photos", 2)
    asked: list[str] = []
    with server(tmp_path) as (process, port):
        address = f"http://127.0.0.1:{port}/"
        ada = open_page(browser, address, asked)
        bob = open_page(browser, address, asked, viewport={"width": 390, "height": 780})
        pass_tutorial(ada, "Ada")
        pass_tutorial(bob, "Bob")
        said: list[tuple[str, str | None]] = []  # of Ada: first shown, said to be nearer

        def say(count: int, key: str) -> None:
            settled(ada, f"{count} of 10")
            first, second = shown(ada)
            said.append((first, {"1": first, "ArrowRight": second, "c": None, "2": second, "#first": first}[key]))
            if key.startswith("#"):
                ada.click(key)
            else:
                ada.keyboard.press(key)

        say(0, "1")
        say(1, "ArrowRight")
        settled(bob, "0 of 10")
        bob_first, _ = shown(bob)
        bob.click("#first")
        say(2, "c")
        settled(ada, "3 of 10")
        question = shown(ada)
        ada.reload()
        settled(ada, "3 of 10")
        assert shown(ada) == question, "a reload shows the same question"
        say(3, "2")
        settled(ada, "4 of 10")
        ada.keyboard.press("u")
        settled(ada, "3 of 10")
        assert shown(ada) == question
        assert ada.inner_text("#message") == "Undone: answer this one again."
        said.pop()
        say(3, "#first")
        say(4, "2")
        settled(ada, "5 of 10")
        settled(bob, "1 of 10")

        # circles: toggled, and of one size on the screen
        assert ada.locator("#circles .ring").count() == 2
        box = ada.locator("#circles .ring").first.bounding_box()
        assert box["width"] == pytest.approx(26, abs=5)
        ada.keyboard.press("t")
        assert not ada.locator("#circles").is_visible()
        lit = ada.locator("#figure .joint.first, #figure .joint.second").count()
        assert lit == 2

        bob.goto(address + "results")
        bob.wait_for_selector("#guests:not([hidden])")
        assert not bob.locator("#people").is_visible()
        assert "Ada" not in bob.inner_text("main")

        ada.goto(process.lines[1].split()[-1])
        ada.wait_for_selector("#annotators tbody tr")
        assert ada.url == address + "results", "the secret is not left in the address"
        row = ada.inner_text("#annotators tbody tr:first-child")
        assert "not known yet" in row
        assert not ada.locator("#flags").is_visible()
        cells = ada.locator("#annotators tbody tr").first.locator("td")
        assert cells.nth(0).inner_text() == "Ada"
        assert cells.nth(1).inner_text() == "5"
        assert cells.nth(2).inner_text() == "1"
    assert [url for url in asked if not url.startswith((address, "data:"))] == []

    names = {joint_title(joint): joint for joint in JOINTS}
    with Database(tmp_path / "labels.sqlite").session() as session:
        rows = list(session.execute(select(Answer, Task, Annotator).join(Task).join(Annotator).order_by(Answer.id)))
    standing = [(answer, task) for answer, task, who in rows if answer.stands and who.name == "Ada"]
    assert [row.name for *_, row in rows].count("Bob") == 1
    assert [answer.first for answer, _, who in rows if who.name == "Bob"] == [names[bob_first]]
    assert len(rows) == 7, "five and an undone one of Ada, one of Bob"
    for (first, nearer), (answer, task) in zip(said, standing, strict=True):
        assert answer.first == names[first]
        label = 0 if nearer is None else {task.joint_a: -1, task.joint_b: 1}[names[nearer]]
        assert (answer.label, answer.confidence) == (label, float(nearer is not None))


def test_wrong_practice_answers_are_explained_and_names_go_on(tmp_path: Path, browser: Any) -> None:
    make_photos(tmp_path / "photos", 1)
    asked: list[str] = []
    with server(tmp_path) as (_, port):
        page = open_page(browser, f"http://127.0.0.1:{port}/", asked)
        page.fill("#name", "Ada")
        page.click("#start")
        settled(page, "practice 1 of 5")
        page.keyboard.press("2" if TUTORIAL[0].nearer == TUTORIAL[0].first else "1")
        page.wait_for_selector("#feedback.bad")
        assert page.inner_text("#verdict") == "Not quite"
        page.click("#continue")
        settled(page, "practice 1 of 5")
        page.click("#help")
        assert "Imagine that you hold the camera" in page.inner_text("#dialog")
        page.wait_for_selector("#own-code:not([hidden])")
        code = page.inner_text("#own-code code")
        page.keyboard.press("Escape")
        page.click("#leave")
        page.wait_for_selector("#begin-message:not(:empty)")
        assert page.inner_text("#begin-message") == f"To go on as Ada later you need this code: {code}"
        other = open_page(browser, f"http://127.0.0.1:{port}/", asked)
        other.fill("#name", "Ada")
        other.click("#start")
        other.wait_for_selector("#come-back:not([hidden])")
        assert other.inner_text("#begin-message") == "Somebody called Ada has already begun here."
        other.fill("#code", "a guess")
        other.click("#go-on")
        other.wait_for_selector("#begin-message:text-is('This is not the code of that name.')")
        other.fill("#code", code)
        other.click("#go-on")
        settled(other, "practice 1 of 5")
    assert not [url for url in asked if url.startswith("error")]


def test_joints_are_clicked_dragged_skipped_and_saved(tmp_path: Path, browser: Any) -> None:
    make_photos(tmp_path / "photos", 1)
    out = tmp_path / "clicked.json"
    asked: list[str] = []
    given = {"action": "click", "image": tmp_path / "photos" / "im0000.png", "skeleton": "lsp14", "out": out}
    with server(tmp_path, "keypoints", **given) as (_, port):
        address = f"http://127.0.0.1:{port}/"
        page = open_page(browser, address, asked)
        page.wait_for_selector("#list li")

        def at(x: float, y: float) -> list[float]:
            """A place on the screen for one in the photograph."""
            return page.evaluate(
                "([x, y]) => { const at = new DOMPoint(x, y).matrixTransform("
                "document.querySelector('#picture').getScreenCTM()); return [at.x, at.y]; }",
                [x, y],
            )

        points = {joint: (10.0 + 5 * i, 15.0 + 7 * i) for i, joint in enumerate(JOINTS)}
        for joint, point in points.items():
            assert page.inner_text("#joint").lower().replace(" ", "_") in (joint, "top_of_the_head")
            if joint == "left_knee":
                page.mouse.click(*at(80, 5))  # a slip
                page.keyboard.press("u")
                page.keyboard.press("s")
            else:
                page.mouse.click(*at(*point))
        assert page.inner_text("#joint") == "Check, then save"
        page.mouse.move(*at(*points["head_top"]))
        page.mouse.down()
        page.mouse.move(*at(40, 100), steps=3)
        page.mouse.up()
        # zoomed in, a click is as exact as the screen
        page.click("#in")
        page.click("#in")
        page.click("#list li:nth-child(4)")
        page.mouse.click(*at(45.25, 60.5))
        page.click("#save")
        page.wait_for_selector("#message.good")
        assert page.inner_text("#message") == f"Saved {out}. Next: poseterior lift {out}"
        page.reload()
        page.wait_for_selector("#joint:text-is('Check, then save')")
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    points |= {"head_top": (40.0, 100.0), "left_hip": (45.25, 60.5)}
    saved = json.loads(out.read_text())
    assert (saved["image"], saved["image_size"]) == ("im0000.png", [90, 120])
    keypoints = read_keypoints(out)
    for i, joint in enumerate(JOINTS):
        assert bool(keypoints.visible[0, i]) == (joint != "left_knee")
        if joint != "left_knee":
            assert keypoints.xy[0, i].tolist() == pytest.approx(points[joint], abs=0.3)


def test_unsaved_clicks_are_kept_over_a_reload(tmp_path: Path, browser: Any) -> None:
    make_photos(tmp_path / "photos", 1)
    out = tmp_path / "clicked.json"
    asked: list[str] = []
    given = {"action": "click", "image": tmp_path / "photos" / "im0000.png", "skeleton": "lsp14", "out": out}
    with server(tmp_path, "keypoints", **given) as (_, port):
        page = open_page(browser, f"http://127.0.0.1:{port}/", asked)
        page.on("dialog", lambda dialog: asked.append(f"error: {dialog.type}"))
        page.wait_for_selector("#list li")

        def click(x: int, y: int) -> None:
            box = page.locator("#picture image").bounding_box()
            page.mouse.click(box["x"] + x * box["width"] / 90, box["y"] + y * box["height"] / 120)

        def listed() -> list[str]:
            return [text.split("\n")[-1] for text in page.locator("#list li").all_inner_texts()]

        click(20, 30)
        click(40, 60)
        page.keyboard.press("s")
        before = listed()
        assert sum("," in text for text in before) == 2
        page.reload()
        page.wait_for_selector("#message:text-is('Your unsaved clicks are back.')")
        assert listed() == before
        page.keyboard.press("u")
        page.keyboard.press("u")
        assert sum("," in text for text in listed()) == 1, "they can be undone too"
        for i in range(14):
            click(5 + 6 * i, 10 + 8 * i)
        page.click("#save")
        page.wait_for_selector("#message.good")
        saved = listed()
        page.reload()
        page.wait_for_selector("#joint:text-is('Check, then save')")
        assert page.inner_text("#message") == ""
        assert listed() == saved
        # clicks on top of what is saved are kept too; on top of a file that somebody else has changed they are not
        page.click("#list li:nth-child(1)")
        page.keyboard.press("s")
        page.reload()
        page.wait_for_selector("#message:text-is('Your unsaved clicks are back.')")
        assert "not visible" in listed()[0]
        content = json.loads(out.read_text())
        content["keypoints"][0] = [1.0, 2.0]
        out.write_text(json.dumps(content))
        page.reload()
        page.wait_for_selector("#joint:text-is('Check, then save')")
        assert listed()[0] == "1, 2"
    assert not [url for url in asked if url.startswith("error")]
