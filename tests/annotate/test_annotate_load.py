"""Many annotators at once, and a server that is killed: no answer that was acknowledged is lost."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra 'annotate' is not installed")
pytest.importorskip("sqlalchemy", reason="the extra 'annotate' is not installed")

from small_study import Client, make_photos, server
from sqlalchemy import func, select

from poseterior.annotate.database import Answer, Database, Task


def answer_all(
    port: int, clients: int, acknowledged: list[str], cookies: dict[str, str] | None = None, most: int | None = None
) -> None:
    """Let ``clients`` annotators answer at the same time until nothing is left, the server is gone, or each gave
    ``most``; ids of acknowledged answers are appended."""
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            client = Client(port, f"annotator {number}", cookies)
            given = 0
            while client.state["question"] is not None and given != most:
                acknowledged.append(client.answer())
                given += 1
        except (http.client.HTTPException, OSError):
            pass  # the server was killed
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def check_stored(tmp_path: Path, acknowledged: list[str], answers: int) -> int:
    """Every acknowledged answer stands once, no pair has more than it should; how many are stored."""
    with Database(tmp_path / "labels.sqlite", create=False).session() as session:
        rows = list(session.execute(select(Answer.client_id, Answer.task_id, Answer.annotator_id, Answer.stands)))
        counts = {task.id: task.answers for task in session.scalars(select(Task))}
        assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    ids = [row.client_id for row in rows]
    assert set(acknowledged) <= set(ids)
    assert len(set(ids)) == len(ids)
    assert all(row.stands for row in rows)
    by_task = Counter(row.task_id for row in rows)
    assert max(by_task.values()) <= answers
    assert {task: count for task, count in counts.items() if count} == dict(by_task)
    assert max(Counter((row.task_id, row.annotator_id) for row in rows).values()) == 1
    return len(rows)


@pytest.mark.parametrize(
    ("clients", "photos", "pairs", "answers"),
    [(12, 20, 5, 5), pytest.param(50, 200, 10, 5, marks=pytest.mark.slow)],
    ids=["12 clients, 500 answers", "50 clients, 10000 answers"],
)
def test_many_clients_lose_nothing(tmp_path: Path, clients: int, photos: int, pairs: int, answers: int) -> None:
    make_photos(tmp_path / "photos", photos)
    acknowledged: list[str] = []
    with server(tmp_path, pairs=pairs, answers=answers) as (_, port):
        answer_all(port, clients, acknowledged)
    wanted = photos * pairs * answers
    # the last pairs may be kept for somebody while the others find nothing left and go
    assert wanted - clients <= len(acknowledged) <= wanted
    assert check_stored(tmp_path, acknowledged, answers) == len(acknowledged)


@pytest.mark.parametrize("after", [40, pytest.param(1500, marks=pytest.mark.slow)])
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, after: int) -> None:
    make_photos(tmp_path / "photos", 30 if after < 100 else 400)
    acknowledged: list[str] = []
    cookies: dict[str, str] = {}
    with server(tmp_path) as (process, port):
        watching = threading.Event()

        def kill() -> None:
            while len(acknowledged) < after and not watching.wait(0.001):
                pass
            process.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        answer_all(port, 8 if after < 100 else 50, acknowledged, cookies)
        watching.set()
        killer.join()
    assert len(acknowledged) >= after
    stored = check_stored(tmp_path, acknowledged, 5)
    assert stored >= len(acknowledged)
    with server(tmp_path) as (_, port):  # and the study goes on
        answer_all(port, 4, acknowledged, cookies, most=5)
    assert check_stored(tmp_path, acknowledged, 5) == stored + 20
    with Database(tmp_path / "labels.sqlite").session() as session:
        assert session.scalar(select(func.count()).select_from(Answer)) == stored + 20
