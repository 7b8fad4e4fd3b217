"""The annotation app as a page sees it: coding, undo, repeated requests, limits, guards."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'annotate' is not installed")
pytest.importorskip("sqlalchemy", reason="the extra 'annotate' is not installed")

from fastapi.testclient import TestClient
from small_study import JOINTS, SIZE, Client, make_photos, server, small_study
from sqlalchemy import func, select

from poseterior.annotate.clicks import ClickTarget
from poseterior.annotate.database import Annotator, Answer, Database, Task
from poseterior.annotate.figures import SCENES, TUTORIAL, reference_figure
from poseterior.annotate.photos import find_keypoints, find_photos, match_people
from poseterior.annotate.results import agreement, summarise
from poseterior.annotate.server import create_app, create_click_app, serve
from poseterior.annotate.study import Study, open_study
from poseterior.annotate.tasks import choose_pairs, gold_answers, joint_title, order_tasks, show_second_first
from poseterior.cli.annotate import Annotate
from poseterior.data.labels.labels import DepthLabels, image_id, load_labels
from poseterior.files.errors import InputError
from poseterior.files.images import image_size
from poseterior.geometry.skeletons import SKELETONS, get_skeleton
from poseterior.keypoints import PoseId
from poseterior.keypoints.reading import read_keypoints

OWNER = "the owner's own secret"


def browser(study: Study, token: str | None = None) -> TestClient:
    return TestClient(create_app(study, token, OWNER), base_url="http://127.0.0.1")


def results(study: Study) -> dict[str, Any]:
    """What the owner sees."""
    client = browser(study)
    assert client.get("/results", params={"token": OWNER}).status_code == 200
    return client.get("/api/results").json()


def begin(client: TestClient, name: str = "") -> dict[str, Any]:
    """Log in and pass the tutorial; the state after it."""
    state = client.post("/api/session", json={"name": name}).json()
    for number, question in enumerate(TUTORIAL):
        state = client.post("/api/tutorial", json={"question": number, "nearer": question.nearer}).json()["state"]
    return state


def answer(client: TestClient, state: dict[str, Any], choice: int | None, identity: str) -> dict[str, Any]:
    """Answer with the joint shown first (0), second (1), or not at all; the next state."""
    question = state["question"]
    names = [joint["name"] for joint in question["joints"]]
    body = {"id": identity, "task": question["task"], "first": names[0], "nearer": None, "seconds": 2.5}
    body["nearer"] = None if choice is None else names[choice]
    response = client.post("/api/answer", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def stored(study: Study) -> list[tuple[Answer, Task]]:
    with study.database.session() as session:
        rows = session.execute(select(Answer, Task).join(Task, Answer.task_id == Task.id).order_by(Answer.id))
        return [(answer, task) for answer, task in rows]


def gold_labels(image: str, *rows: tuple[str, str, int]) -> DepthLabels:
    a, b, label = zip(*rows, strict=True)
    count = len(rows)
    return DepthLabels(
        np.array([image] * count), np.array(a), np.array(b), np.array(label), np.ones(count),
        np.array([""] * count), np.full(count, np.nan), "lsp14",
    )  # fmt: skip


# -- coding ----------------------------------------------------------------------------------------------------


def test_stored_coding_is_of_joints_not_of_places(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    state = begin(client, "Ada")
    shown = []
    for i, choice in enumerate([0, 1, None] * 4):
        shown.append((state["question"], choice))
        state = answer(client, state, choice, f"answer-{i:03d}")
    orders = Counter()
    for (question, choice), (row, task) in zip(shown, stored(study), strict=True):
        names = [joint["name"] for joint in question["joints"]]
        assert set(names) == {task.joint_a, task.joint_b}
        assert JOINTS.index(task.joint_a) < JOINTS.index(task.joint_b)
        assert row.first == names[0]
        assert row.seconds == 2.5
        nearer = None if choice is None else names[choice]
        assert (row.label, row.confidence) == {task.joint_a: (-1, 1.0), task.joint_b: (1, 1.0), None: (0, 0.0)}[nearer]
        orders[names[0] == task.joint_a] += 1
    assert min(orders.values()) >= 2, "the order of the two joints varies"
    labels = study.labels()
    assert labels.annotator.tolist() == ["Ada"] * 12
    assert labels.label.tolist() == [row.label for row, _ in stored(study)]
    assert labels.confidence.tolist() == [1, 1, 0] * 4
    assert set(labels.image.tolist()) <= {f"im{i:04d}.png" for i in range(4)}
    assert labels.skeleton == "lsp14"


def test_photo_and_points_belong_to_the_person(tmp_path: Path) -> None:
    study = small_study(tmp_path, count=2, people=2)
    client = browser(study)
    keypoints = read_keypoints(tmp_path / "keypoints.json")
    state = begin(client)
    seen = set()
    for i in range(state["left"]):
        question = state["question"]
        with study.database.session() as session:
            image = session.get_one(Task, question["task"]).image
        seen.add(image)
        file = image.split("#")[0]
        row = next(i for i, pose in enumerate(keypoints.ids) if image_id(pose) == image)
        assert question["photo"] == f"photo/{file}"
        assert tuple(question["size"]) == SIZE
        for joint in question["joints"]:
            expected = keypoints.xy[row, JOINTS.index(joint["name"])].tolist()
            assert [joint["x"], joint["y"]] == pytest.approx(expected)
            left, top, width, height = question["box"]
            assert left <= joint["x"] <= left + width
            assert top <= joint["y"] <= top + height
        assert client.get("/" + question["photo"]).headers["content-type"] == "image/png"
        state = answer(client, state, 0, f"answer-{i:03d}")
    assert seen == {"im0000.png", "im0000.png#0#1", "im0001.png", "im0001.png#0#1"}
    assert state["question"] is None
    assert (state["answered"], state["left"]) == (20, 0)


# -- undo, repetition ------------------------------------------------------------------------------------------


def test_undo_takes_back_the_own_last_answer_only(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    ada, bob = browser(study), browser(study)
    state, other = begin(ada, "Ada"), begin(bob, "Bob")
    first = state["question"]
    state = answer(ada, state, 0, "ada-00001")
    second = state["question"]
    state = answer(ada, state, 1, "ada-00002")
    other = answer(bob, other, 0, "bob-00001")
    assert state["last"] == "ada-00002"
    refused = bob.post("/api/undo", json={"answer": "ada-00002"})
    assert (refused.status_code, refused.json()) == (409, {"error": "Only your own last answer can be undone."})
    assert ada.post("/api/undo", json={"answer": "ada-00001"}).status_code == 409

    state = ada.post("/api/undo", json={"answer": "ada-00002"}).json()
    assert state["question"] == second
    assert state["last"] == "ada-00001"
    again = ada.post("/api/undo", json={"answer": "ada-00002"}).json()
    assert again == state, "the same request twice undoes one answer"
    state = ada.post("/api/undo", json={"answer": "ada-00001"}).json()
    assert state["question"] == first
    assert state["last"] is None
    assert study.labels().annotator.tolist() == ["Bob"]
    with study.database.session() as session:
        assert session.scalar(select(func.sum(Task.answers))) == 1

    # a late repetition of the undone request brings nothing back; answered anew, it counts once
    names = [joint["name"] for joint in second["joints"]]
    late = {"id": "ada-00002", "task": second["task"], "first": names[0], "nearer": names[1]}
    assert ada.post("/api/answer", json=late).status_code == 200
    assert len(study.labels()) == 1
    state = answer(ada, state, 0, "ada-00003")
    assert len(study.labels()) == 2


def test_a_repeated_answer_is_stored_once(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    state = begin(client)
    after = answer(client, state, 0, "the-same-id")
    for _ in range(3):
        assert answer(client, state, 0, "the-same-id") == after
    names = [joint["name"] for joint in state["question"]["joints"]]
    body = {"id": "another-id", "task": state["question"]["task"], "first": names[0], "nearer": names[0]}
    twice = client.post("/api/answer", json=body)
    assert twice.status_code == 409
    assert twice.json()["error"] == "You have answered this pair already; here is another one."
    assert len(stored(study)) == 1


# -- who is asked what -----------------------------------------------------------------------------------------


def test_no_pair_gets_more_answers_than_wanted(tmp_path: Path) -> None:
    study = small_study(tmp_path, count=2, pairs=3, answers=2)
    clients = [browser(study) for _ in range(5)]
    states = [begin(client, f"person {i}") for i, client in enumerate(clients)]
    running = True
    count = 0
    while running:
        running = False
        for i, client in enumerate(clients):
            if states[i]["question"] is not None:
                states[i] = answer(client, states[i], 0, f"answer-{(count := count + 1):04d}")
                running = True
            else:
                states[i] = client.get("/api/state").json()
    labels = study.labels()
    keys = list(zip(labels.image.tolist(), labels.joint_a.tolist(), labels.joint_b.tolist(), strict=True))
    assert set(Counter(keys).values()) == {2}
    assert len(set(keys)) == 6
    assert max(Counter(zip(keys, labels.annotator.tolist(), strict=True)).values()) == 1
    # one who comes too late with a question is told so
    with study.database.session() as session:
        task = session.scalar(select(Task).limit(1))
    assert task is not None
    late = browser(study)
    begin(late, "late")
    body = {"id": "late-0001", "task": task.id, "first": task.joint_a, "nearer": task.joint_b}
    response = late.post("/api/answer", json=body)
    assert response.status_code == 409
    assert "Others have answered this pair meanwhile" in response.json()["error"]
    assert len(study.labels()) == 12


def test_a_pair_at_hand_is_kept_for_who_looks_at_it(tmp_path: Path) -> None:
    study = small_study(tmp_path, count=1, pairs=2, answers=1)
    one, two, three = (browser(study) for _ in range(3))
    questions = [begin(client)["question"] for client in (one, two, three)]
    assert questions[0]["task"] != questions[1]["task"]
    assert questions[2] is None


def test_orders_differ_and_are_the_same_after_a_restart(tmp_path: Path) -> None:
    study = small_study(tmp_path, count=6)
    clients = [browser(study), browser(study)]
    states = [begin(client, name) for client, name in zip(clients, ("Ada", "Bob"), strict=True)]
    assert states[0]["question"] != states[1]["question"]
    for i in range(7):
        states[0] = answer(clients[0], states[0], 0, f"answer-{i:03d}")
    assert clients[0].get("/api/state").json() == states[0], "a reload shows the same question"
    study.database.close()
    again = browser(small_study(tmp_path, count=6))
    again.cookies = clients[0].cookies
    assert again.get("/api/state").json() == states[0]
    elsewhere = browser(small_study(tmp_path, count=6))
    refused = elsewhere.post("/api/session", json={"name": "Ada"})
    assert (refused.status_code, refused.json()["error"]) == (409, "Somebody called Ada has already begun here.")
    wrong = elsewhere.post("/api/session", json={"name": "Ada", "code": "not hers at all"})
    assert (wrong.status_code, wrong.json()["error"]) == (409, "This is not the code of that name.")
    assert elsewhere.get("/api/state").status_code == 401
    code = clients[0].get("/api/code").json()
    assert code == {"name": "Ada", "code": next(iter(clients[0].cookies.values()))}
    assert elsewhere.post("/api/session", json={"name": " Ada ", "code": code["code"]}).json() == states[0]
    assert elsewhere.get("/api/state").json() == states[0]
    assert clients[0].post("/api/session", json={"name": "Ada"}).json() == states[0], "her own browser needs no code"


def test_tutorial_must_be_passed(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    assert client.get("/api/state").status_code == 401
    state = client.post("/api/session", json={"name": ""}).json()
    assert state["annotator"].startswith("guest-")
    assert state["question"]["tutorial"] == 0
    assert client.get("/" + state["question"]["photo"]).text.startswith("<svg")
    early = {"id": "too-early", "task": 1, "first": "neck", "nearer": "neck"}
    assert client.post("/api/answer", json=early).status_code == 403
    wrong = next(joint["name"] for joint in state["question"]["joints"] if joint["name"] != TUTORIAL[0].nearer)
    reply = client.post("/api/tutorial", json={"question": 0, "nearer": wrong}).json()
    assert (reply["right"], reply["why"]) == (False, TUTORIAL[0].why)
    assert reply["state"]["question"]["tutorial"] == 0
    assert client.post("/api/tutorial", json={"question": 3, "nearer": TUTORIAL[3].nearer}).status_code == 409
    reply = client.post("/api/tutorial", json={"question": 0, "nearer": TUTORIAL[0].nearer}).json()
    assert reply["right"]
    assert reply["state"]["question"]["tutorial"] == 1
    assert summarise(study)["annotators"][0]["tutorial_errors"] == 1


def test_tutorial_answers_are_what_the_pictures_show() -> None:
    for question in TUTORIAL:
        scene = SCENES[question.scene]
        depth = {joint: scene.pose[joint][2] for joint in (question.first, question.second)}
        assert min(depth, key=depth.__getitem__) == question.nearer
        assert abs(depth[question.first] - depth[question.second]) > 0.1
        assert all(0 < x < 480 and 0 < y < 560 for x, y in scene.points.values())


def test_gold_questions_come_every_tenth_time_and_judge(tmp_path: Path) -> None:
    pairs = [(JOINTS[i], JOINTS[i + 1], (-1) ** i) for i in range(0, 8, 2)]
    gold = gold_labels("im0001.png", *pairs, ("neck", "left_wrist", 0))
    study = small_study(tmp_path, count=12, gold=gold, answers=1)
    known = gold_answers(gold)
    assert len(known) == 4
    client = browser(study)
    state = begin(client, "Ada")
    places = []
    for i in range(30):
        task = state["question"]["task"]
        with study.database.session() as session:
            row = session.get_one(Task, task)
        if row.gold is not None:
            places.append(i)
            names = [joint["name"] for joint in state["question"]["joints"]]
            nearer = row.joint_a if row.gold == -1 else row.joint_b
            wrong = i > 20
            state = answer(client, state, names.index(nearer) ^ wrong, f"answer-{i:03d}")
        else:
            state = answer(client, state, 0, f"answer-{i:03d}")
    assert places == [5, 15, 25]
    found = summarise(study)
    assert found["gold"] == pytest.approx(2 / 3)
    assert (found["annotators"][0]["gold_right"], found["annotators"][0]["gold"]) == (2, 3)
    # gold questions are for everybody, whatever the limit
    bob = browser(study)
    other = begin(bob, "Bob")
    for i in range(6):
        other = answer(bob, other, 0, f"bob-{i:05d}")
    assert summarise(study)["gold_answers"] == 4
    with pytest.raises(InputError, match=r"im0001\.png: right_ankle and right_knee have two answers that contradict"):
        gold_answers(gold_labels("im0001.png", ("right_ankle", "right_knee", 1), ("right_knee", "right_ankle", 1)))


# -- refused ---------------------------------------------------------------------------------------------------


def test_wrong_payloads_are_named(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    question = begin(client)["question"]
    a, b = (joint["name"] for joint in question["joints"])
    good = {"id": "answer-01", "task": question["task"], "first": a, "nearer": b}
    for change, message in (
        ({"id": "x"}, "id: String should have at least 8 characters"),
        ({"task": "many"}, "task: Input should be a valid integer, unable to parse string as an integer"),
        ({"task": 10**6}, "task: there is no question 1000000"),
        ({"seconds": -1}, "seconds: Input should be greater than or equal to 0"),
        ({"label": 1}, "label: Extra inputs are not permitted"),
    ):
        response = client.post("/api/answer", json=good | change)
        assert 400 <= response.status_code < 500
        assert response.json() == {"error": message}
    for field in ("first", "nearer"):
        error = client.post("/api/answer", json=good | {field: "tail"}).json()["error"]
        assert error.startswith(f"{field}: expected ")
        assert error.endswith("got tail")
    assert "first: Field required" in client.post("/api/answer", json={"id": "answer-01", "task": 1, "nearer": a}).text
    assert client.post("/api/answer", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
    assert client.post("/api/session", json={"name": "x" * 61}).json() == {
        "error": "name: expected at most 60 characters"
    }
    assert stored(study) == []


@pytest.mark.parametrize(
    "path",
    [
        "/photo/../keypoints.json", "/photo/..%2fkeypoints.json", "/photo/%2e%2e/labels.sqlite", "/photo/secret.txt",
        "/photo//etc/passwd", "/photo/%2fetc%2fpasswd", "/static/../study.py", "/static/..%2fstudy.py",
        "/tutorial/9.svg", "/docs", "/openapi.json",
    ],
)  # fmt: skip
def test_no_other_file_is_served(tmp_path: Path, path: str) -> None:
    study = small_study(tmp_path)
    (tmp_path / "photos" / "secret.txt").write_text("secret")
    assert browser(study).get(path).status_code == 404


def test_token_guards_every_route(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    app = create_app(study, "open sesame & more", OWNER)
    client = TestClient(app, base_url="http://192.0.2.7:8321", follow_redirects=False)
    paths = ["/", "/results", "/static/style.css", "/photo/im0000.png", "/tutorial/0.svg", "/api/state", "/nowhere"]
    for path in (*paths, "/?token=wrong", "/?token="):
        assert client.get(path).status_code == 401, path
    assert client.post("/api/session", json={}).status_code == 401
    response = client.get("/results", params={"token": "open sesame & more", "a": "1"})
    assert (response.status_code, response.headers["location"]) == (303, "/results?a=1")
    assert "httponly" in response.headers["set-cookie"].lower()
    assert [client.get(path).status_code for path in paths] == [200, 200, 200, 200, 200, 401, 404]
    assert client.get("/api/state").json()["error"] == "Please say who you are first."
    fresh = TestClient(app, base_url="http://192.0.2.7:8321")
    assert fresh.post("/api/session?token=open+sesame+%26+more", json={}).status_code == 200


def test_other_web_pages_and_names_are_refused(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    assert client.post("/api/session", json={}, headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post("/api/session", json={}, headers={"Origin": "http://127.0.0.1"}).status_code == 200
    assert client.get("/", headers={"Host": "rebound.example:8321"}).status_code == 403
    assert client.get("/", headers={"Host": "localhost:8321"}).status_code == 200
    headers = client.get("/").headers
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert headers["x-content-type-options"] == "nosniff"


def test_addresses_that_others_reach_need_a_token(tmp_path: Path) -> None:
    def never() -> Any:
        raise AssertionError

    for host in ("0.0.0.0", "192.0.2.7", "example.org", "::"):
        with pytest.raises(InputError, match="other machines can reach this address; add --token"):
            serve(never, host, 0, None, print)
    for token in (" ", "0123456789abcde"):
        with pytest.raises(InputError, match="a token needs at least 16 characters"):
            serve(never, "127.0.0.1", 0, token, print)
    with pytest.raises(InputError, match=r"cannot listen on 192\.0\.2\.7 port 0"):
        serve(never, "192.0.2.7", 0, "a secret of some length", print)
    with pytest.raises(InputError, match="--port: expected 0 to 65535, got 70000"):
        serve(never, "127.0.0.1", 70000, None, print)


def test_what_cannot_be_read_is_a_bad_request(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    begin(client, "Ada")
    for headers in (
        {"Host": "[::1"}, {"Host": "a b"}, {"Host": ""}, {"Host": "127.0.0.1:port"}, {"Origin": "http://["},
        {"Origin": "http://[::1"}, {"Origin": "no origin"}, {"Origin": "http://127.0.0.1/path"},
    ):  # fmt: skip
        assert client.get("/", headers=headers).status_code == 400, headers
        assert client.post("/api/session", json={}, headers=headers).status_code == 400, headers
    json_type = {"Content-Type": "application/json"}
    half = "\\ud800"
    for path, body in (
        ("/api/session", f'{{"name": "{half}"}}'),
        ("/api/session", f'{{"name": "x", "{half}": 1}}'),
        ("/api/answer", f'{{"id": "answer-{half}", "task": 1, "first": "neck", "nearer": null}}'),
        ("/api/tutorial", f'{{"question": 0, "nearer": "{half.upper().replace("U", "u")}"}}'),
        ("/api/undo", f'{{"answer": "{half}"}}'),
    ):
        found = client.post(path, content=body, headers=json_type)
        assert (found.status_code, found.json()["error"]) == (
            400,
            "The request holds half a character (a lone surrogate).",
        )
    assert client.post("/api/session", content=b'{"name": "\xff"}', headers=json_type).status_code == 400
    assert client.post("/api/session", content=b"[" * 60_000, headers=json_type).status_code in (400, 422)
    whole = client.post("/api/session", content='{"name": "\\ud83d\\udc19"}', headers=json_type)
    assert whole.json()["annotator"] == "\N{OCTOPUS}"


def test_large_bodies_are_refused_unread(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    begin(client, "Ada")
    body = {"id": "x" * 66_000, "task": 1, "first": "neck", "nearer": None}
    refused = client.post("/api/answer", json=body)
    assert (refused.status_code, refused.json()["error"]) == (413, "The request is too large: at most 64 kB are taken.")
    pieces = client.post("/api/answer", content=(b"x" * 10_000 for _ in range(10)))
    assert pieces.status_code == 413, "also where its size is not told before"
    assert client.request("GET", "/api/state", content=b"x" * 66_000).status_code == 413


def test_ten_megabytes_are_answered_within_little_memory(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    with server(tmp_path) as (process, port):

        def peak() -> int:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

        def send(_: int) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/api/session", b"[" * 10_000_000, {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.read()
            connection.close()
            return response.status

        if not Path("/proc/self/status").exists():
            pytest.skip("no /proc")
        assert Client(port, "Ada").state["question"]
        before = peak()
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(send, range(20))) == {413}
        assert peak() - before < 50_000, "kB; twenty bodies are 200 MB"
        assert Client(port, "Bob").state["question"], "others are served"


def test_names_are_composed_trimmed_and_to_be_seen(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    assert browser(study).post("/api/session", json={"name": "  Zoe\u0308   B. "}).json()["annotator"] == "Zo\u00eb B."
    same = browser(study).post("/api/session", json={"name": "Zo\u00eb B."})
    assert same.status_code == 409, "composed and decomposed are one name"
    for name in ("\u200b", "\u200d", "a\u0000b", "a\u202eb", "\u0301", "\ue000"):
        refused = browser(study).post("/api/session", json={"name": name})
        assert refused.status_code == 400, ascii(name)
        assert refused.json()["error"].startswith("name: ")
    for blank in ("", "   ", "\n\t"):
        assert browser(study).post("/api/session", json={"name": blank}).json()["annotator"].startswith("guest-")
    with study.database.session() as session:
        assert all(name.strip() for name in session.scalars(select(Annotator.name)))


def test_nobody_answers_for_somebody_else(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    ada = browser(study)
    begin(ada, "Ada")
    thief = browser(study)
    statuses = [thief.post("/api/session", json={"name": "Ada", "code": f"guess {i}"}).status_code for i in range(12)]
    assert statuses == [409] * 10 + [429] * 2
    code = ada.get("/api/code").json()["code"]
    assert thief.post("/api/session", json={"name": "Ada", "code": code}).status_code == 429, "too late to guess"
    assert thief.get("/api/code").status_code == 401
    with study.database.session() as session:
        kept = list(session.scalars(select(Annotator.key)))
    assert code not in kept, "the database does not tell the secrets"


def test_redirects_stay_on_the_host(tmp_path: Path) -> None:
    app = create_app(small_study(tmp_path), "open sesame & more")
    client = TestClient(app, base_url="http://192.0.2.7:8321", follow_redirects=False)
    secret = "?token=open+sesame+%26+more"
    for path in ("//evil.example/", "///evil.example", "/\\evil.example"):
        response = client.get(f"http://192.0.2.7:8321{path}{secret}")
        assert response.status_code == 303
        assert response.headers["location"].startswith("/evil.example")
    client.get(f"/{secret}")
    for path in ("/results/", "/api/state/", "//evil.example/"):
        assert "location" not in client.get(f"http://192.0.2.7:8321{path}").headers


def test_names_and_qualities_are_for_the_owner(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    state = begin(client, "Ada")
    answer(client, state, 0, "answer-01")
    guest = client.get("/api/results").json()
    assert (guest["answers"], guest["people"]) == (1, 1)
    assert "annotators" not in guest
    assert "Ada" not in json.dumps(guest)
    assert "sqlite" not in json.dumps(guest)
    assert client.get("/results", params={"token": "not the owner's secret"}).status_code == 401
    assert results(study)["annotators"][0]["name"] == "Ada"


def test_a_photograph_that_is_gone_is_said(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    (tmp_path / "photos" / "im0000.png").unlink()
    found = browser(study).get("/photo/im0000.png")
    assert (found.status_code, found.json()["error"]) == (404, "im0000.png: the photograph is no longer there.")


# -- command ---------------------------------------------------------------------------------------------------


def test_export_is_a_label_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = small_study(tmp_path)
    client = browser(study)
    state = begin(client, "Ada")
    for i in range(5):
        state = answer(client, state, i % 2, f"answer-{i:03d}")
    client.post("/api/undo", json={"answer": "answer-004"})
    out = tmp_path / "labels.parquet"
    Annotate(db=str(tmp_path / "labels.sqlite"), export=out).run()
    assert f"wrote {out}: 4 answers of 1 annotator" in capsys.readouterr().out
    labels = load_labels(out)
    assert labels.label.tolist() == [row.label for row, _ in stored(study) if row.stands]
    assert (labels.time > 1.7e9).all()


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos")
    photos, keypoints = (tmp_path / "photos",), (tmp_path / "keypoints.json",)
    db = str(tmp_path / "labels.sqlite")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.sqlite").write_text("not a database at all, but long enough to be looked at" * 4)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "no photographs are given: poseterior annotate IMAGES --keypoints FILE"),
        ({"images": photos}, "no keypoints beside the photographs"),
        ({"images": (tmp_path / "no",), "keypoints": keypoints}, "no: no such file or folder"),
        ({"images": (tmp_path / "keypoints.json",), "keypoints": keypoints}, "keypoints.json: no photograph; expected"),
        ({"images": photos, "keypoints": keypoints, "pairs": 0}, "--pairs: expected at least 1, got 0"),
        ({"images": photos, "keypoints": keypoints, "answers": 0}, "--answers: expected at least 1, got 0"),
        (
            {"images": photos, "keypoints": keypoints, "db": str(tmp_path / "empty")},
            "is a folder; give the name of a file",
        ),
        ({"images": photos, "keypoints": keypoints, "db": str(tmp_path)}, "holds the input"),
        (
            {"images": photos, "keypoints": keypoints, "db": str(tmp_path / "no" / "x.sqlite")},
            "does not exist; make it",
        ),
        ({"images": photos, "keypoints": keypoints, "db": str(tmp_path / "text.sqlite")}, "not usable as the database"),
        ({"images": photos, "keypoints": keypoints, "db": "://"}, "neither a path nor an SQLAlchemy URL"),
        ({"images": photos, "keypoints": keypoints, "db": "nosuch://x"}, "does not know this kind of database"),
        ({"export": tmp_path / "a.parquet", "db": str(tmp_path / "none.sqlite")}, "none.sqlite: no such file"),
        ({"export": tmp_path / "a.csv"}, "unknown extension '.csv'; use one of: .parquet"),
    ]
    for options, message in cases:
        with pytest.raises(InputError) as caught:
            Annotate(**({"db": db, "port": 0} | options)).run()
        assert message in str(caught.value)


def test_a_study_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    small_study(tmp_path, pairs=3).database.close()
    with pytest.raises(InputError, match=r"begun with pairs 3, not 5; pass --pairs 3, or begin a new one in another"):
        small_study(tmp_path)
    with pytest.raises(InputError, match="begun with seed 0, not 1"):
        small_study(tmp_path, pairs=3, seed=1)
    before = {(t.image, t.joint_a, t.joint_b) for t in small_study(tmp_path, pairs=3)._tasks.values()}
    after = {(t.image, t.joint_a, t.joint_b) for t in small_study(tmp_path, count=6, pairs=3)._tasks.values()}
    assert before < after
    assert len(after) == 18


def test_photographs_and_keypoints_are_matched_by_name(tmp_path: Path) -> None:
    path = make_photos(tmp_path / "photos", 3)
    photos = find_photos([tmp_path / "photos"])
    keypoints = read_keypoints(path)
    renamed = keypoints._replace(ids=[PoseId(f"elsewhere/im{i:04d}.json", 0, 0) for i in range(3)])
    assert [person.photo for person in match_people(photos, renamed)] == ["im0000.png", "im0001.png", "im0002.png"]
    assert match_people(photos, renamed)[0].image == "im0000.png", "labels name the photograph"
    two = keypoints._replace(ids=[PoseId("im0000_keypoints.json", 0, i) for i in range(3)])
    assert [person.image for person in match_people(photos, two)] == ["im0000.png", "im0000.png#0#1", "im0000.png#0#2"]
    strangers = keypoints._replace(ids=[PoseId(f"x{i}.jpg", 0, 0) for i in range(3)])
    with pytest.raises(InputError, match=r"no keypoints belong to any photograph: the keypoints are of x0\.jpg, x1"):
        match_people(photos, strangers)
    with pytest.raises(InputError, match=r"is 90 x 120 px, but its keypoints are of an image of 640 x 480 px"):
        match_people(photos, keypoints.with_camera(image_size=(640, 480)))
    same = keypoints._replace(ids=[PoseId("im0000.png", 0, 0)] * 3)
    with pytest.raises(InputError, match=r"hold 'im0000\.png' twice; number the people"):
        match_people(photos, same)
    outside = keypoints.xy.clone()
    outside[0, 3] = -5
    assert JOINTS[3] not in match_people(photos, keypoints._replace(xy=outside))[0].points


def test_keypoints_are_found_beside_the_photographs(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    entries = json.loads(make_photos(folder, 4).read_text())
    for name, entry in zip(("im0000.json", "im0001_keypoints.json"), entries, strict=False):
        del entry["image"]
        (folder / name).write_text(json.dumps(entry))
    (folder / "rest.json").write_text(json.dumps([entries[2], entries[3] | {"image": "elsewhere/im0003.png"}]))
    photos = find_photos([folder])
    people = match_people(photos, find_keypoints([folder]))
    assert sorted(person.image for person in people) == ["im0000.png", "im0001.png", "im0002.png", "im0003.png"]
    alone = find_keypoints([folder / "im0001.png"])
    assert [pose.file for pose in alone.ids] == ["im0001.png"], "of one photograph those of that one"
    assert alone.xy[0].tolist() == pytest.approx(np.array(entries[1]["keypoints"]))
    (folder / "im0000.json").write_text(json.dumps(entries[0] | {"joints": ["x", *JOINTS[1:]]}))
    assert len(find_keypoints([folder]).ids) == 3, "what cannot be read is left out, as lift does"
    for file in folder.glob("*.json"):
        file.unlink()
    with pytest.raises(InputError, match=r"no keypoints beside the photographs; give their file as --keypoints"):
        find_keypoints([folder])


def test_questions_named_by_the_keypoint_file_go_on_under_the_photograph(tmp_path: Path) -> None:
    """Studies of before: the answers stay with their questions."""
    study = small_study(tmp_path, count=2)
    client = browser(study)
    state = begin(client, "Ada")
    for i in range(3):
        state = answer(client, state, 0, f"answer-{i:03d}")
    with study.database.session.begin() as session:
        for task in session.scalars(select(Task)):
            task.image = task.image.replace(".png", "_keypoints.json")
    before = [(row.client_id, task.id) for row, task in stored(study)]
    study.database.close()
    keypoints = read_keypoints(tmp_path / "keypoints.json")
    keypoints = keypoints._replace(ids=[PoseId(f"im{i:04d}_keypoints.json", 0, 0) for i in range(2)])
    photos = find_photos([tmp_path / "photos"])
    gold = gold_labels("im0000_keypoints.json", (JOINTS[0], JOINTS[1], -1))
    again = open_study(
        Database(tmp_path / "labels.sqlite"), match_people(photos, keypoints), photos, "lsp14", gold=gold
    )
    assert [(row.client_id, task.id) for row, task in stored(again)] == before
    assert set(again.labels().image.tolist()) <= {"im0000.png", "im0001.png"}
    with again.database.session() as session:
        assert session.scalar(select(func.count()).select_from(Task).where(Task.gold.is_(None))) in (9, 10)
        assert set(session.scalars(select(Task.image))) == {"im0000.png", "im0001.png"}


def test_unfinished_databases_are_refused(tmp_path: Path) -> None:
    Database(tmp_path / "empty.sqlite").close()
    with pytest.raises(InputError, match="holds no study; begin one"):
        Annotate(db=str(tmp_path / "empty.sqlite"), export=tmp_path / "a.parquet").run()


# -- pure functions --------------------------------------------------------------------------------------------


def test_pairs_are_distinct_seeded_and_independent_of_other_images() -> None:
    pairs = choose_pairs(JOINTS, 5, 0, "a.jpg")
    assert len({frozenset(pair) for pair in pairs}) == 5
    assert all(JOINTS.index(a) < JOINTS.index(b) for a, b in pairs)
    assert pairs == choose_pairs(JOINTS, 5, 0, "a.jpg")
    assert pairs != choose_pairs(JOINTS, 5, 1, "a.jpg")
    assert pairs != choose_pairs(JOINTS, 5, 0, "b.jpg")
    assert len(choose_pairs(JOINTS, 999, 0, "a.jpg")) == 14 * 13 // 2
    assert choose_pairs(("neck",), 5, 0, "a.jpg") == []
    assert pairs[0] not in choose_pairs(JOINTS, 999, 0, "a.jpg", pairs[:1])
    # all pairs are as likely
    counts = Counter(pair for i in range(2000) for pair in choose_pairs(JOINTS[:4], 2, 0, f"{i}.jpg"))
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) < 150


def test_questions_about_one_image_follow_each_other() -> None:
    tasks = [(i, f"im{i % 10}") for i in range(50)]
    order = order_tasks(tasks, 0, "1")
    assert sorted(order) == list(range(50))
    images = [task % 10 for task in order]
    assert [images[i : i + 5] for i in range(0, 50, 5)] == [[images[i]] * 5 for i in range(0, 50, 5)]
    assert order == order_tasks(tasks, 0, "1") != order_tasks(tasks, 0, "2")
    share = np.mean([show_second_first(i, 0, "1") for i in range(4000)])
    assert share == pytest.approx(0.5, abs=0.03)


def test_agreement_counts_twos() -> None:
    given = [("a", 1, -1), ("b", 1, -1), ("c", 1, 1), ("a", 2, 1)]
    assert agreement(given) == (1, 3, {"a": (1, 2), "b": (1, 2), "c": (0, 2)})


def test_reference_figure_has_every_keypoint_joint() -> None:
    for skeleton in SKELETONS.values():
        if skeleton.name == "cmu31":
            with pytest.raises(InputError, match="the reference picture has no 'root'; use another one"):
                reference_figure(skeleton)
            continue
        places = reference_figure(skeleton)
        assert set(places) == set(skeleton.joints)
        assert len(set(places.values())) == len(places)
        for joint, (x, _) in places.items():
            assert {"left": x > 100, "right": x < 100}.get(joint.split("_")[0], x == 100)
    assert joint_title("neck_nose") == "chin"


def test_a_click_at_random_is_not_a_quality(tmp_path: Path) -> None:
    """One annotator who clicks without looking: nothing is known of the quality, and the haste is seen."""
    study = small_study(tmp_path, count=6)
    client = browser(study)
    state = begin(client, "Ada")
    for i in range(30):
        names = [joint["name"] for joint in state["question"]["joints"]]
        body = {"id": f"answer-{i:03d}", "task": state["question"]["task"], "first": names[0], "nearer": names[0]}
        state = client.post("/api/answer", json=body | {"seconds": 0.3}).json()
    found = results(study)
    assert found["annotators"][0]["quality"] is None
    assert found["merged"]["confidence"] is None
    assert found["annotators"][0]["flags"] == [
        "30 answers faster than a person can look (0.7 s)", "chose the first joint 30 of 30 times",
    ]  # fmt: skip


def test_gold_questions_tell_the_quality_of_one_alone(tmp_path: Path) -> None:
    rows = [(JOINTS[a], JOINTS[b], -1) for a in range(5) for b in range(5, 9)]
    study = small_study(tmp_path, count=1, pairs=1, gold=gold_labels("im0000.png", *rows))
    client = browser(study)
    state = begin(client, "Ada")
    for i in range(15):
        with study.database.session() as session:
            task = session.get_one(Task, state["question"]["task"])
        names = [joint["name"] for joint in state["question"]["joints"]]
        state = answer(client, state, names.index(task.joint_a), f"answer-{i:03d}")
    assert results(study)["annotators"][0]["quality"] > 0.75


def test_results_of_a_small_crowd(tmp_path: Path) -> None:
    study = small_study(tmp_path, count=3, answers=3)
    truth = np.random.default_rng(0)
    nearer: dict[int, str] = {}
    for who in range(3):
        client = browser(study)
        state = begin(client, f"person {who}")
        i = 0
        while state["question"] is not None:
            names = [joint["name"] for joint in state["question"]["joints"]]
            right = nearer.setdefault(state["question"]["task"], sorted(names)[truth.integers(2)])
            # the third one always errs, and cannot tell once
            choice = None if who == 2 and i == 0 else names.index(right) ^ (who == 2)
            state = answer(client, state, choice, f"answer-{who}-{i:03d}")
            i += 1
    found = results(study)
    assert (found["answers"], found["wanted"], found["images"]) == (45, 45, 3)
    assert found["cannot_tell"] == pytest.approx(1 / 45)
    rows = {row["name"]: row for row in found["annotators"]}
    assert found["twos"] == 15 + 2 * 14
    assert found["agreement"] == pytest.approx(15 / 43)
    assert rows["person 0"]["agreement"] == pytest.approx(15 / 29)
    assert rows["person 2"]["agreement"] == 0
    assert rows["person 2"]["cannot_tell"] == 1
    assert rows["person 0"]["quality"] > rows["person 2"]["quality"]
    assert rows["person 0"]["seconds"] == 2.5
    assert found["merged"]["pairs"] == 15
    assert sum(count for *_, count in found["merged"]["bars"]) == 15
    assert found["gold"] is None


# -- clicking --------------------------------------------------------------------------------------------------


def test_clicks_become_a_keypoint_file(tmp_path: Path) -> None:
    make_photos(tmp_path / "photos", 1)
    photo, out = tmp_path / "photos" / "im0000.png", tmp_path / "clicked.json"
    target = ClickTarget(photo, image_size(photo), get_skeleton("lsp14"), out)
    client = TestClient(create_click_app(target), base_url="http://127.0.0.1")
    start = client.get("/api/click").json()
    assert (start["photo"], start["size"], start["points"]) == ("im0000.png", list(SIZE), {})
    assert [joint["name"] for joint in start["joints"]] == list(JOINTS)
    points: dict[str, Any] = {joint: [3.0 * i, 100.26 - i] for i, joint in enumerate(JOINTS)}
    points["left_wrist"] = None
    reply = client.post("/api/click", json={"points": points})
    assert reply.json()["command"] == f"poseterior lift {out}"
    assert reply.json()["points"] == client.get("/api/click").json()["points"]
    keypoints = read_keypoints(out)
    assert keypoints.skeleton.name == "lsp14"
    assert keypoints.ids == (PoseId("im0000.png", 0, 0),)
    assert keypoints.image_size.tolist() == [list(SIZE)]
    assert [j for j, seen in zip(JOINTS, keypoints.visible[0].tolist(), strict=True) if not seen] == ["left_wrist"]
    assert keypoints.xy[0, 2].tolist() == pytest.approx([6.0, 98.26])
    again = client.get("/api/click").json()["points"]
    assert again["left_wrist"] is None
    assert again["right_hip"] == pytest.approx([6.0, 98.26])
    for change, message in (
        ({"tail": [1, 2]}, "points: lsp14 has no joint 'tail'"),
        ({"neck": [91, 2]}, "points: neck at [91.0, 2.0] is outside the photograph of 90 x 120 px"),
        (dict.fromkeys(JOINTS), "points: no joint was clicked, so there is nothing to save"),
    ):
        response = client.post("/api/click", json={"points": points | change})
        assert (response.status_code, response.json()["error"]) == (400, message)
    del points["neck"]
    error = client.post("/api/click", json={"points": points}).json()["error"]
    assert error == "points: neck is missing; give [x, y], or null where it cannot be seen"
    assert json.loads(out.read_text())["keypoints"][2] == [6.0, 98.26], "what is refused changes nothing"
    out.write_text(json.dumps([json.loads(out.read_text())] * 2))
    assert client.get("/api/click").json()["error"] == f"{out}: holds 2 people; give another file as --out"
