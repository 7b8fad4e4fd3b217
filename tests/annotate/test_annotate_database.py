"""Databases of studies: their version, those of before, foreign, damaged and locked ones."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'annotate' is not installed")
pytest.importorskip("sqlalchemy", reason="the extra 'annotate' is not installed")

from fastapi.testclient import TestClient
from small_study import small_study
from sqlalchemy import create_engine, func, inspect, select

from poseterior.annotate import database as database_module
from poseterior.annotate.database import Annotator, Answer, Database, Task, secret_hash
from poseterior.annotate.schema import VERSION, _set_version, _version, prepare
from poseterior.annotate.server import create_app
from poseterior.cli.annotate import Annotate
from poseterior.data.labels.labels import load_labels
from poseterior.files.errors import InputError

#: A database as version 0.1 wrote it, without a mark.
VERSION_0 = """
CREATE TABLE annotator (
    id INTEGER NOT NULL, "key" VARCHAR NOT NULL, name VARCHAR NOT NULL, tutorial INTEGER NOT NULL,
    tutorial_errors INTEGER NOT NULL, time DOUBLE NOT NULL, PRIMARY KEY (id), UNIQUE ("key"), UNIQUE (name)
);
CREATE TABLE settings (
    id INTEGER NOT NULL, "key" VARCHAR NOT NULL, skeleton VARCHAR NOT NULL, pairs INTEGER NOT NULL,
    seed INTEGER NOT NULL, PRIMARY KEY (id)
);
CREATE TABLE task (
    id INTEGER NOT NULL, image VARCHAR NOT NULL, joint_a VARCHAR NOT NULL, joint_b VARCHAR NOT NULL, gold INTEGER,
    answers INTEGER NOT NULL, PRIMARY KEY (id), UNIQUE (image, joint_a, joint_b)
);
CREATE INDEX ix_task_image ON task (image);
CREATE TABLE answer (
    id INTEGER NOT NULL, annotator_id INTEGER NOT NULL, task_id INTEGER NOT NULL, client_id VARCHAR NOT NULL,
    label INTEGER NOT NULL, confidence DOUBLE NOT NULL, first VARCHAR NOT NULL, seconds DOUBLE, time DOUBLE NOT NULL,
    stands BOOLEAN, PRIMARY KEY (id), UNIQUE (annotator_id, client_id), UNIQUE (annotator_id, task_id, stands),
    FOREIGN KEY(annotator_id) REFERENCES annotator (id), FOREIGN KEY(task_id) REFERENCES task (id)
);
CREATE INDEX ix_answer_task_id ON answer (task_id);
INSERT INTO settings VALUES (1, '01234567', 'lsp14', 5, 0);
INSERT INTO annotator VALUES (1, 'the cookie of Ada, as it was', 'Ada', 5, 0, 1.7e9);
INSERT INTO annotator VALUES (2, 'the cookie of Bob', 'Bob', 2, 1, 1.7e9);
INSERT INTO task VALUES (1, 'im0000.png', 'right_ankle', 'right_knee', NULL, 1);
INSERT INTO task VALUES (2, 'im0000.png', 'neck', 'head_top', NULL, 0);
INSERT INTO answer VALUES (1, 1, 1, 'answer-01', -1, 1.0, 'right_knee', 2.5, 1.7e9, 1);
INSERT INTO answer VALUES (2, 1, 2, 'answer-02', 1, 1.0, 'neck', 2.0, 1.7e9, NULL);
"""


def script(path: Path, text: str, version: int = 0) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(text)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()
    return path


def user_version(path: Path) -> int:
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return int(found)


def test_new_databases_are_marked(tmp_path: Path) -> None:
    Database(tmp_path / "labels.sqlite").close()
    assert user_version(tmp_path / "labels.sqlite") == VERSION == 1
    connection = sqlite3.connect(tmp_path / "labels.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    Database(tmp_path / "labels.sqlite", create=False).close()
    (tmp_path / "empty.sqlite").touch()
    Database(tmp_path / "empty.sqlite").close()
    assert user_version(tmp_path / "empty.sqlite") == 1


def test_a_database_of_version_0_goes_on_with_all_its_answers(tmp_path: Path, caplog: Any) -> None:
    path = script(tmp_path / "labels.sqlite", VERSION_0)
    opened = Database(path)
    assert user_version(path) == VERSION
    assert "brought from version 0 of its tables to version 1" in caplog.text
    with opened.session() as session:
        answers = session.scalars(select(Answer).order_by(Answer.id))
        assert [(row.client_id, row.label, row.stands) for row in answers] == [
            ("answer-01", -1, True), ("answer-02", 1, None),
        ]  # fmt: skip
        assert list(session.scalars(select(Task.answers).order_by(Task.id))) == [1, 0]
        people = list(session.scalars(select(Annotator).order_by(Annotator.id)))
        assert [(one.name, one.tutorial, one.tutorial_errors) for one in people] == [("Ada", 5, 0), ("Bob", 2, 1)]
        assert people[0].key == secret_hash("the cookie of Ada, as it was")
    opened.close()
    caplog.clear()
    Database(path).close()
    assert not caplog.text
    Annotate(db=str(path), export=tmp_path / "labels.parquet").run()
    assert load_labels(tmp_path / "labels.parquet").annotator.tolist() == ["Ada"]


def test_who_began_before_goes_on_with_the_same_cookie(tmp_path: Path) -> None:
    script(tmp_path / "labels.sqlite", VERSION_0)
    study = small_study(tmp_path)
    client = TestClient(create_app(study), base_url="http://127.0.0.1", cookies={
        "poseterior_01234567": "the cookie of Bob",
    })  # fmt: skip
    assert client.get("/api/state").json()["annotator"] == "Bob"


def test_the_tables_of_version_0_are_those_of_now(tmp_path: Path) -> None:
    """A change of a table without a step would make two kinds of databases of one version."""
    Database(script(tmp_path / "old.sqlite", VERSION_0)).close()
    Database(tmp_path / "new.sqlite").close()
    shapes = []
    for name in ("old", "new"):
        engine = create_engine(f"sqlite:///{tmp_path / name}.sqlite")
        found = inspect(engine)
        shapes.append(
            {
                table: (
                    {(column["name"], str(column["type"]), column["nullable"]) for column in found.get_columns(table)},
                    {tuple(one["column_names"]) for one in found.get_unique_constraints(table)},
                    {tuple(one["column_names"]) for one in found.get_indexes(table)},
                    {tuple(one["constrained_columns"]) for one in found.get_foreign_keys(table)},
                )
                for table in found.get_table_names()
            }
        )
        engine.dispose()
    assert shapes[0] == shapes[1]


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path / "labels.sqlite", VERSION_0)
    monkeypatch.setattr(
        "poseterior.annotate.schema._set_version", lambda connection: (_ for _ in ()).throw(InputError("stopped"))
    )
    with pytest.raises(InputError, match="stopped"):
        Database(path)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT key FROM annotator").fetchone() == ("the cookie of Ada, as it was",)
    connection.close()
    assert user_version(path) == 0


def test_two_processes_open_one_database_of_before(tmp_path: Path) -> None:
    path = script(tmp_path / "labels.sqlite", VERSION_0)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            Database(path).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with Database(path).session() as session:
        key = session.scalar(select(Annotator.key).where(Annotator.name == "Ada"))
    assert key == secret_hash("the cookie of Ada, as it was"), "hashed once"


@pytest.mark.parametrize(
    ("text", "version", "message"),
    [
        ("CREATE TABLE moz_places (id INTEGER); INSERT INTO moz_places VALUES (1)", 0,
         "is a database of something else (its tables: moz_places); give another name"),
        ("CREATE TABLE moz_places (id INTEGER)", 1, "is a database of something else (its tables: moz_places)"),
        ("CREATE TABLE moz_places (id INTEGER)", 77, "is a database of something else (its tables: moz_places)"),
        ("CREATE TABLE task (id INTEGER, what TEXT)", 0,
         "is no database of this command, or is damaged: the table settings is missing (its tables: task)"),
        (VERSION_0 + "ALTER TABLE answer DROP COLUMN seconds", 0, "or is damaged: answer.seconds is missing"),
        (VERSION_0 + "DROP TABLE answer", 1, "or is damaged: the table answer is missing"),
        (VERSION_0, 2, "was written by a later poseterior (version 2 of its tables, this one knows 1): update"),
        (VERSION_0, -1, "is a database of something else"),
    ],
)  # fmt: skip
def test_foreign_and_later_databases_are_refused_and_left_as_they_are(
    tmp_path: Path, text: str, version: int, message: str
) -> None:
    path = script(tmp_path / "labels.sqlite", text, version)
    before = path.read_bytes()
    for create in (True, False):
        with pytest.raises(InputError) as caught:
            Database(path, create=create)
        assert str(caught.value).startswith(f"--db {path}: ")
        assert message in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["labels.sqlite"]


def test_files_that_are_no_database_are_refused(tmp_path: Path) -> None:
    for content in (b"text, and more of it" * 50, b"\x00" * 5000, b"SQLite format 2\x00" * 300):
        path = tmp_path / "labels.sqlite"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not usable as the database of labels"):
            Database(path)
        assert path.read_bytes() == content


@pytest.mark.parametrize("seed", range(8))
def test_damaged_databases_are_refused_or_opened_whole(tmp_path: Path, seed: int) -> None:
    """Bytes of a real one overwritten, or cut off: an InputError, or all tables are there; never anything else."""
    import random

    study = small_study(tmp_path, count=40)
    study.database.close()
    path = tmp_path / "labels.sqlite"
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    for _ in range(40):
        broken = bytearray(data)
        kind = rng.randrange(3)
        if kind == 0:
            broken = broken[: rng.randrange(17, len(broken))]
        else:
            start = rng.randrange(0, len(broken) - 600) if kind == 1 else rng.randrange(16, 200)
            for i in range(rng.randrange(1, 500)):
                broken[start + i] = rng.randrange(256)
        for file in tmp_path.glob("broken*"):
            file.unlink()
        (tmp_path / "broken.sqlite").write_bytes(broken)
        messages = []
        try:
            Annotate(db=str(tmp_path / "broken.sqlite"), export=tmp_path / "out.parquet").run()
        except InputError as error:
            messages.append(str(error))
        assert all("broken.sqlite" in message for message in messages)


def holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process that locks the database for some time."""
    code = (
        "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); time.sleep(float(sys.argv[2])); "
        "c.execute('ROLLBACK')"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("version", [0, 1])
def test_locked_databases_are_waited_for_or_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    path = script(tmp_path / "labels.sqlite", VERSION_0)
    if version:
        Database(path).close()
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode=DELETE")  # in this mode a writer locks readers out too
        connection.close()
    monkeypatch.setattr(database_module, "LOCK_SECONDS", 0.2)
    process = holder(path, 60)
    try:
        with pytest.raises(InputError, match=r"labels\.sqlite: locked by another process \(database is locked"):
            Database(path)
    finally:
        process.kill()
        process.wait()
    monkeypatch.setattr(database_module, "LOCK_SECONDS", 30.0)
    process = holder(path, 1.0)
    begun = time.monotonic()
    Database(path).close()
    assert time.monotonic() - begun > 0.3, "it was waited for"
    process.wait()


def test_an_answer_that_cannot_be_stored_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "LOCK_SECONDS", 0.2)
    study = small_study(tmp_path)
    client = TestClient(create_app(study), base_url="http://127.0.0.1")
    process = holder(tmp_path / "labels.sqlite", 60)
    try:
        refused = client.post("/api/session", json={"name": "Ada"})
        assert refused.status_code == 503
        assert "locked by another process" in refused.json()["error"]
    finally:
        process.kill()
        process.wait()
    assert client.post("/api/session", json={"name": "Ada"}).status_code == 200


def test_databases_without_a_mark_of_their_own_keep_it_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.setattr(engine.dialect, "name", "another")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE of_somebody_else (id INTEGER)")
        assert _version(connection, "x") is None, "a server's database may hold other tables"
        connection.commit()
    prepare(engine, "x")
    with engine.connect() as connection:
        assert _version(connection, "x") == VERSION
        _set_version(connection)
        assert connection.exec_driver_sql("SELECT * FROM poseterior_schema").all() == [(VERSION,)]
        connection.exec_driver_sql("UPDATE poseterior_schema SET version = 9")
        with pytest.raises(InputError, match="was written by a later poseterior"):
            _version(connection, "x")
    prepare(engine, "x")
    engine.dispose()


def test_a_copy_of_a_running_study_opens(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    with study.database.session.begin() as session:
        session.add(Annotator(key="x", name="Ada"))
    for name in ("labels.sqlite", "labels.sqlite-wal"):
        shutil.copy(tmp_path / name, tmp_path / f"copy.{name.split('.')[1]}")
    with Database(tmp_path / "copy.sqlite", create=False).session() as session:
        assert session.scalar(select(func.count()).select_from(Annotator)) == 1
