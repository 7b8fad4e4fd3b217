"""The tables of a study, in SQLite or any other database that SQLAlchemy knows.

A database says of which version its tables are, see `poseterior.annotate.schema`; older ones are changed when opened.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import URL, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ..data.labels.labels import DepthLabels
from ..files.checks import naming
from ..files.errors import InputError
from .schema import prepare
from .tables import Annotator, Answer, Base, Settings, Task, secret_hash

__all__ = [
    "Annotator",
    "Answer",
    "Base",
    "Database",
    "Settings",
    "Task",
    "database_trouble",
    "labels_of",
    "secret_hash",
    "standing_answers",
]

#: Seconds that are waited for another process to let go of an SQLite file.
LOCK_SECONDS = 30.0
#: With these an SQLite file begins.
_SQLITE_MAGIC = b"SQLite format 3\0"


class Database:
    """Connections to one database; tables are made where they do not exist.

    Args:
        location: path of an SQLite file, or an SQLAlchemy URL such as ``postgresql+psycopg://user@host/labels``.
        create: make an SQLite file that does not exist.

    Raises:
        InputError: no such file (without ``create``); not a database, a damaged one, or one of something else; one of
            a later poseterior; or one that cannot be reached or is kept locked by another process.
    """

    def __init__(self, location: str | Path, *, create: bool = True) -> None:
        url = _url(str(location))
        #: For messages: without a password.
        self.name = url.database if url.drivername.startswith("sqlite") else url.render_as_string(hide_password=True)
        if url.drivername.startswith("sqlite"):
            _check_file(Path(url.database or ""), create)
        try:
            self.engine = create_engine(url)
        except NoSuchModuleError as error:
            raise InputError(f"--db {self.name}: SQLAlchemy does not know this kind of database ({error})") from None
        except ModuleNotFoundError as error:
            raise InputError(f"--db {self.name}: needs the package {error.name}: pip install {error.name}") from None
        if url.drivername.startswith("sqlite"):
            _make_durable(self.engine)
        try:
            with self.reading():
                prepare(self.engine, f"--db {self.name}")
        except InputError:
            self.engine.dispose()
            raise
        if url.drivername.startswith("sqlite"):
            # kept in the file; where it cannot be set now, answers are as safe, only slower to store
            with contextlib.suppress(DBAPIError), self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        self.session = sessionmaker(self.engine, expire_on_commit=False)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Whatever goes wrong with the database in here becomes an `InputError` that names it."""
        with naming(f"--db {self.name}"):
            try:
                yield
            except (SQLAlchemyError, sqlite3.Error, UnicodeError, ValueError, TypeError, OverflowError) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError(database_trouble(error)) from None

    def settings(self) -> Settings | None:
        """What the study was begun with; None for a new database.

        Raises:
            InputError: the database cannot be read.
        """
        with self.reading(), self.session() as session:
            return session.scalar(select(Settings))

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _url(location: str) -> URL:
    if "://" not in location:
        return URL.create("sqlite", database=location)
    try:
        return make_url(location)
    except ArgumentError as error:
        raise InputError(f"--db {location}: neither a path nor an SQLAlchemy URL ({error})") from None


def _check_file(path: Path, create: bool) -> None:
    if path.is_dir():
        raise InputError(f"--db {path}: is a folder; give the name of a file, e.g. {path / 'labels.sqlite'}")
    if not path.exists() and not create:
        raise InputError(f"--db {path}: no such file")
    if not path.parent.is_dir():
        raise InputError(f"--db {path}: the folder {path.parent} does not exist; make it first")
    if path.exists():
        try:
            with open(path, "rb") as file:
                start = file.read(len(_SQLITE_MAGIC))
        except OSError as error:
            raise InputError(f"--db {path}: cannot be read ({error.strerror or error})") from None
        if start and start != _SQLITE_MAGIC:
            raise InputError(
                f"--db {path}: not usable as the database of labels (not an SQLite file); give another name"
            )


def _make_durable(engine: Engine) -> None:
    """An answer that was acknowledged is on the disk: it survives a killed server and a power cut."""

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        waiting = f"busy_timeout={round(1000 * LOCK_SECONDS)}"
        for pragma in (waiting, "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


def database_trouble(error: Exception) -> str:
    """What went wrong in a database, and what to do, in one line."""
    reason = (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0][:200]
    low = reason.lower()
    if not isinstance(error, DBAPIError | sqlite3.Error):  # a text or number that is none
        return f"not usable as the database of labels: it is damaged ({reason}); go on with a copy of it"
    if "locked" in low:
        return f"locked by another process ({reason}); end that process, or try again when it is done"
    if "malformed" in low or "not a database" in low or "corrupt" in low or "disk i/o" in low:
        return f"not usable as the database of labels: it is damaged ({reason}); go on with a copy of it"
    if "full" in low:
        return f"no room to write ({reason}); make room, then go on"
    if "readonly" in low or "read-only" in low:
        return f"cannot be written to ({reason}); copy it to where it can"
    return f"not usable as the database of labels ({reason})"


def standing_answers(session: Session) -> list[tuple[Answer, Task, str]]:
    """All answers that were not undone, with their question and the annotator's name, in the order given."""
    joined = select(Answer, Task, Annotator.name).join(Task, Answer.task_id == Task.id)
    joined = joined.join(Annotator, Answer.annotator_id == Annotator.id)
    return [row._tuple() for row in session.execute(joined.where(Answer.stands.is_(True)).order_by(Answer.id))]


def labels_of(session: Session, skeleton: str) -> DepthLabels:
    """The answers that stand as a label store: one row per answer, gold questions among them."""
    rows = [(task, answer, name) for answer, task, name in standing_answers(session)]
    return DepthLabels(
        image=np.asarray([task.image for task, _, _ in rows], np.str_),
        joint_a=np.asarray([task.joint_a for task, _, _ in rows], np.str_),
        joint_b=np.asarray([task.joint_b for task, _, _ in rows], np.str_),
        label=np.asarray([answer.label for _, answer, _ in rows], np.int8),
        confidence=np.asarray([answer.confidence for _, answer, _ in rows], np.float32),
        annotator=np.asarray([name for _, _, name in rows], np.str_),
        time=np.asarray([answer.time for _, answer, _ in rows], np.float64),
        skeleton=skeleton,
    )
