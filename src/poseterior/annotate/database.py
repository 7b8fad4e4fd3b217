"""The tables of a study, in SQLite or any other database that SQLAlchemy knows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import URL, Double, Engine, ForeignKey, UniqueConstraint, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from ..data.labels.labels import DepthLabels
from ..files.errors import InputError

__all__ = ["Annotator", "Answer", "Base", "Database", "Settings", "Task", "labels_of", "standing_answers"]


class Base(DeclarativeBase):
    """Parent of the tables."""

    type_annotation_map = {float: Double}  # noqa: RUF012 - as SQLAlchemy wants it


class Settings(Base):
    """What the study was begun with: one row."""

    __tablename__ = "settings"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Names the cookie, so that two studies on one machine do not log each other's annotators out.
    key: Mapped[str]
    skeleton: Mapped[str]
    pairs: Mapped[int]
    seed: Mapped[int]


class Task(Base):
    """Two joints of one person: the question which is nearer the camera."""

    __tablename__ = "task"
    __table_args__ = (UniqueConstraint("image", "joint_a", "joint_b"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    #: Image id, see `poseterior.data.labels.labels.image_id`.
    image: Mapped[str] = mapped_column(index=True)
    joint_a: Mapped[str]
    joint_b: Mapped[str]
    #: The known answer, -1 or +1, of a gold question.
    gold: Mapped[int | None]
    #: How many answers stand. It is raised in the transaction that stores an answer, if it is still below the
    #: limit: so no pair gets more answers than wanted, however many servers share the database.
    answers: Mapped[int] = mapped_column(default=0)


class Annotator(Base):
    """Somebody who answers."""

    __tablename__ = "annotator"

    id: Mapped[int] = mapped_column(primary_key=True)
    #: The secret in the cookie.
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str] = mapped_column(unique=True)
    #: Questions of the tutorial that were answered rightly, and wrong answers on the way.
    tutorial: Mapped[int] = mapped_column(default=0)
    tutorial_errors: Mapped[int] = mapped_column(default=0)
    time: Mapped[float] = mapped_column(default=time.time)


class Answer(Base):
    """One answer. An undone one stays, so that a late repetition of its request is not taken for a new answer."""

    __tablename__ = "answer"
    __table_args__ = (
        UniqueConstraint("annotator_id", "client_id"),
        UniqueConstraint("annotator_id", "task_id", "stands"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    task_id: Mapped[int] = mapped_column(ForeignKey("task.id"), index=True)
    #: Made by the page, one per answer: the same request sent twice is stored once.
    client_id: Mapped[str]
    #: -1 joint a nearer, +1 joint b nearer, 0 with confidence 0 cannot tell.
    label: Mapped[int]
    confidence: Mapped[float]
    #: The joint that was shown first, in green.
    first: Mapped[str]
    #: How long the question was looked at.
    seconds: Mapped[float | None]
    time: Mapped[float] = mapped_column(default=time.time)
    #: True, or NULL once undone: NULLs do not count in the unique constraint.
    stands: Mapped[bool | None] = mapped_column(default=True)


class Database:
    """Connections to one database; tables are made where they do not exist.

    Args:
        location: path of an SQLite file, or an SQLAlchemy URL such as ``postgresql+psycopg://user@host/labels``.
        create: make an SQLite file that does not exist.

    Raises:
        InputError: no such file (without ``create``), not a database, or one that cannot be reached.
    """

    def __init__(self, location: str | Path, *, create: bool = True) -> None:
        url = _url(str(location))
        #: For messages: without a password.
        self.name = url.database if url.drivername == "sqlite" else url.render_as_string(hide_password=True)
        if url.drivername == "sqlite":
            _check_file(Path(url.database or ""), create)
        try:
            self.engine = create_engine(url)
        except NoSuchModuleError as error:
            raise InputError(f"--db {self.name}: SQLAlchemy does not know this kind of database ({error})") from None
        except ModuleNotFoundError as error:
            raise InputError(f"--db {self.name}: needs the package {error.name}: pip install {error.name}") from None
        if url.drivername == "sqlite":
            _make_durable(self.engine)
        try:
            Base.metadata.create_all(self.engine)
        except DBAPIError as error:
            reason = str(error.orig).splitlines()[0]
            raise InputError(f"--db {self.name}: not usable as the database of labels ({reason})") from None
        self.session = sessionmaker(self.engine, expire_on_commit=False)

    def settings(self) -> Settings | None:
        """What the study was begun with; None for a new database."""
        with self.session() as session:
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


def _make_durable(engine: Engine) -> None:
    """An answer that was acknowledged is on the disk: it survives a killed server and a power cut."""

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()


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
