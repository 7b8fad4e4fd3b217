"""The tables of a study. What changes one raises the version in `poseterior.annotate.schema`."""

from __future__ import annotations

import hashlib
import time

from sqlalchemy import Double, ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Annotator", "Answer", "Base", "Settings", "Task", "secret_hash"]


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
    #: `secret_hash` of the secret in the cookie: who reads the database cannot answer for somebody else.
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


def secret_hash(secret: str) -> str:
    """What is kept of an annotator's secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
