"""A study in progress: who is asked what, and taking the answers."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ..data.labels.labels import DepthLabels
from ..files.errors import InputError
from ..geometry.skeletons import get_skeleton
from .database import Annotator, Answer, Database, Settings, Task, labels_of, secret_hash
from .figures import HEIGHT, SCENES, TUTORIAL, WIDTH, reference_figure
from .photos import Person
from .tasks import GOLD_EVERY, choose_pairs, gold_answers, joint_title, order_tasks, show_second_first

__all__ = ["Refused", "Study", "annotator_name", "open_study"]

_LOG = logging.getLogger(__name__)

#: How long a pair is kept for the annotator who looks at it, seconds.
_LEASE = 300.0
_NAME_LENGTH = 60


class Refused(Exception):
    """A request that cannot be granted: an HTTP status, and what to tell the annotator."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class _Lease:
    task: int
    until: float


def open_study(
    database: Database,
    people: Sequence[Person],
    photos: dict[str, Path],
    skeleton: str,
    *,
    pairs: int = 5,
    answers: int = 5,
    seed: int = 0,
    gold: DepthLabels | None = None,
) -> Study:
    """Begin a study, or go on with the one in the database; people who are new get their pairs.

    Args:
        database: where it is kept.
        people: who is shown, see `poseterior.annotate.photos.match_people`.
        photos: file name -> path.
        skeleton: name of the skeleton of their joints.
        pairs: random pairs per person.
        answers: answers per pair, each from another annotator.
        seed: of the pairs and of all orders.
        gold: labels with known answers; about one question in ten is one of these.

    Raises:
        InputError: a number below 1, another skeleton, number of pairs or seed than the study was begun with, no
            pair to ask, or gold labels of which none is of these people.
    """
    for option, value in (("--pairs", pairs), ("--answers", answers)):
        if value < 1:
            raise InputError(f"{option}: expected at least 1, got {value}")
    reference_figure(get_skeleton(skeleton))
    with database.reading(), database.session.begin() as session:
        settings = session.scalar(select(Settings))
        if settings is None:
            settings = Settings(key=secrets.token_hex(4), skeleton=skeleton, pairs=pairs, seed=seed)
            session.add(settings)
        for name, now in (("skeleton", skeleton), ("pairs", pairs), ("seed", seed)):
            begun = getattr(settings, name)
            if begun != now:
                raise InputError(
                    f"--db {database.name}: this study was begun with {name} {begun}, not {now}; "
                    f"pass --{name} {begun}, or begin a new one in another file"
                )
        _name_photographs(session, people)
        known = {} if gold is None else _gold_of(gold, people, skeleton)
        _add_tasks(session, people, get_skeleton(skeleton).joints, settings, known)
    return Study(database, people, photos, answers)


def _name_photographs(session: Session, people: Sequence[Person]) -> None:
    """Questions that an earlier version named by the keypoint file are named by the photograph."""
    there = set(session.scalars(select(Task.image)))
    for person in people:
        if person.pose != person.image and person.pose in there and person.image not in there:
            session.execute(update(Task).where(Task.image == person.pose).values(image=person.image))


def _gold_of(gold: DepthLabels, people: Sequence[Person], skeleton: str) -> dict[tuple[str, str, str], int]:
    """The gold answers that can be asked: both joints are visible in a photograph that is there."""
    if gold.skeleton != skeleton:
        raise InputError(f"--gold: labels of joints of {gold.skeleton}, but the keypoints are {skeleton}")
    points = {person.image: person.points for person in people}
    photograph = {person.pose: person.image for person in people} | {image: image for image in points}
    answers = {(photograph.get(image, image), a, b): label for (image, a, b), label in gold_answers(gold).items()}
    usable = {key: label for key, label in answers.items() if {key[1], key[2]} <= points.get(key[0], {}).keys()}
    if not usable:
        images = ", ".join(dict.fromkeys(image for image, _, _ in answers)) or "none"
        raise InputError(
            f"--gold: no label is of these images; its images: {images[:120]}; ours: {people[0].image}, ..."
        )
    if len(usable) < len(answers):
        _LOG.warning("%d of %d gold labels are of no person here: left out", len(answers) - len(usable), len(answers))
    return usable


def _add_tasks(
    session: Session,
    people: Sequence[Person],
    joints: Sequence[str],
    settings: Settings,
    gold: dict[tuple[str, str, str], int],
) -> None:
    """Store the questions that the database has not: gold ones, and the pairs of people who have none."""
    stored = {(task.image, task.joint_a, task.joint_b): task for task in session.scalars(select(Task))}
    for key, label in gold.items():
        if key in stored:
            stored[key].gold = label
        else:
            session.add(Task(image=key[0], joint_a=key[1], joint_b=key[2], gold=label))
    begun = {image for image, _, _ in stored}
    for person in people:
        if person.image in begun:
            continue
        known = {(a, b) for image, a, b in gold if image == person.image}
        seen = [joint for joint in joints if joint in person.points]
        pairs = choose_pairs(seen, settings.pairs, settings.seed, person.image, known)
        if not pairs and not known:
            _LOG.warning("%s: fewer than two joints are visible: nothing to ask", person.image)
        session.add_all(Task(image=person.image, joint_a=a, joint_b=b) for a, b in pairs)


class Study:
    """Hands out questions and takes answers; safe to call from several threads. Made by `open_study`.

    Attributes:
        database: where everything is kept.
        photos: file name -> path of the photographs that may be shown.
        answers: answers per pair.
        skeleton: of the joints.
        key: names the study's cookie.
    """

    def __init__(self, database: Database, people: Sequence[Person], photos: dict[str, Path], answers: int) -> None:
        settings = database.settings()
        assert settings is not None
        self.database, self.answers = database, answers
        self.skeleton, self.key, self._seed = get_skeleton(settings.skeleton), settings.key, settings.seed
        self._people = {person.image: person for person in people}
        self.photos = {person.photo: photos[person.photo] for person in people}
        with database.session() as session:
            tasks = list(session.scalars(select(Task).order_by(Task.id)))
        self._tasks = {task.id: task for task in tasks if self._can_show(task)}
        if not self._tasks:
            raise InputError("no pair to ask: nobody here has two visible joints")
        if len(self._tasks) < len(tasks):
            _LOG.warning(
                "%d pairs of the database have no photograph or keypoints here: not asked",
                len(tasks) - len(self._tasks),
            )
        self._lock = threading.Lock()
        self._leases: dict[int, _Lease] = {}
        self._orders: dict[int, list[int]] = {}

    def _can_show(self, task: Task) -> bool:
        person = self._people.get(task.image)
        return person is not None and {task.joint_a, task.joint_b} <= person.points.keys()

    # -- annotators ----------------------------------------------------------------------------------------

    def begin(self, name: str = "", code: str | None = None) -> tuple[Annotator, str]:
        """A new annotator and the secret by which to go on later; or the one of that name, whose secret is known.

        Args:
            name: see `annotator_name`; without one, a made-up one.
            code: secret of the annotator who comes back.

        Raises:
            Refused: (409) somebody has that name and another secret; (400) it cannot be a name.
        """
        name = annotator_name(name)
        with self._lock, self.database.session.begin() as session:
            found = session.scalar(select(Annotator).where(Annotator.name == name)) if name else None
            if found is not None:
                if code is not None and secrets.compare_digest(found.key, secret_hash(code)):
                    return found, code
                raise Refused(409, f"Somebody called {name} has already begun here.")
            code = secrets.token_urlsafe(12)
            annotator = Annotator(key=secret_hash(code), name=name or f"guest-{secrets.token_hex(3)}")
            session.add(annotator)
            session.flush()
            return annotator, code

    def annotator(self, code: str | None) -> Annotator | None:
        """Whose secret this is."""
        if not code:
            return None
        with self.database.session() as session:
            return session.scalar(select(Annotator).where(Annotator.key == secret_hash(code)))

    # -- questions -----------------------------------------------------------------------------------------

    def state(self, annotator: Annotator) -> dict[str, Any]:
        """What an annotator's page shows: the next question, the progress, the last answer."""
        with self._lock, self.database.session() as session:
            return self._state(session, annotator.id)

    def _state(self, session: Session, annotator_id: int) -> dict[str, Any]:
        annotator = session.get_one(Annotator, annotator_id)
        if annotator.tutorial < len(TUTORIAL):
            return {"annotator": annotator.name, "question": _tutorial_question(annotator.tutorial)}
        mine = self._answered(session, annotator_id)
        left = self._left(session, annotator_id, set(mine.values()))
        task = self._choose(annotator_id, left, len(mine))
        return {
            "annotator": annotator.name,
            "question": None if task is None else self._question(task, annotator),
            "answered": len(mine),
            "left": len(left),
            "last": next(reversed(mine), None),
        }

    def _answered(self, session: Session, annotator_id: int) -> dict[str, int]:
        """An annotator's standing answers in the order given: client id -> task."""
        asked = select(Answer.client_id, Answer.task_id).where(
            Answer.annotator_id == annotator_id, Answer.stands.is_(True)
        )
        return {client: task for client, task in session.execute(asked.order_by(Answer.id)) if task in self._tasks}

    def _left(self, session: Session, annotator_id: int, mine: set[int]) -> set[int]:
        """What this annotator can still be asked: not answered, and not kept for others up to the limit."""
        now = time.monotonic()
        self._leases = {who: lease for who, lease in self._leases.items() if lease.until > now}
        kept = Counter(lease.task for who, lease in self._leases.items() if who != annotator_id)
        counts = session.execute(select(Task.id, Task.answers).where(Task.gold.is_(None), Task.answers < self.answers))
        free = {task for task, count in counts if count + kept[task] < self.answers}
        gold = {task.id for task in self._tasks.values() if task.gold is not None}
        return ((free & self._tasks.keys()) | gold) - mine

    def _choose(self, annotator_id: int, left: set[int], answered: int) -> Task | None:
        """The next question, and a lease on it: the one looked at, a gold one when it is due, the next in order."""
        lease = self._leases.get(annotator_id)
        if lease is not None and lease.task in left:
            chosen = lease.task
        elif not left:
            self._leases.pop(annotator_id, None)
            return None
        else:
            due = answered % GOLD_EVERY == GOLD_EVERY // 2
            gold = {task for task in left if self._tasks[task].gold is not None}
            wanted = gold if due and gold else left - gold or gold
            chosen = next(task for task in self._order(annotator_id) if task in wanted)
        self._leases[annotator_id] = _Lease(chosen, time.monotonic() + _LEASE)
        return self._tasks[chosen]

    def _order(self, annotator_id: int) -> list[int]:
        if annotator_id not in self._orders:
            listed = [(task.id, task.image) for task in self._tasks.values()]
            self._orders[annotator_id] = order_tasks(listed, self._seed, str(annotator_id))
        return self._orders[annotator_id]

    def _question(self, task: Task, annotator: Annotator) -> dict[str, Any]:
        person = self._people[task.image]
        joints = [task.joint_a, task.joint_b]
        if show_second_first(task.id, self._seed, str(annotator.id)):
            joints.reverse()
        return {
            "task": task.id,
            "photo": f"photo/{person.photo}",
            "size": person.size,
            "box": _box(person),
            "joints": [_joint(joint, person.points[joint]) for joint in joints],
        }

    # -- answers -------------------------------------------------------------------------------------------

    def answer_tutorial(self, annotator: Annotator, number: int, nearer: str | None) -> dict[str, Any]:
        """Judge an answer of the tutorial; the next question comes after a right one.

        Raises:
            Refused: (409) it is not at that question; (400) not one of its joints.
        """
        with self._lock, self.database.session.begin() as session:
            annotator = session.get_one(Annotator, annotator.id)
            if number != annotator.tutorial or number >= len(TUTORIAL):
                raise Refused(409, "This practice question has been answered already.")
            question = TUTORIAL[number]
            _check_joint("nearer", nearer, (question.first, question.second, None))
            right = nearer == question.nearer
            if right:
                annotator.tutorial += 1
            else:
                annotator.tutorial_errors += 1
            session.flush()
            return {"right": right, "why": question.why, "state": self._state(session, annotator.id)}

    def answer(
        self, annotator: Annotator, client_id: str, task_id: int, first: str, nearer: str | None, seconds: float | None
    ) -> dict[str, Any]:
        """Store an answer; when this returns it is on the disk. The same ``client_id`` again changes nothing.

        Args:
            annotator: who answers.
            client_id: made by the page, one per answer.
            task_id: the question.
            first: the joint that was shown first, in green.
            nearer: the joint said to be nearer the camera; None for "cannot tell".
            seconds: how long the question was looked at.

        Returns:
            The annotator's next `state`.

        Raises:
            Refused: (400) no such question or joint; (403) the tutorial is not done; (409) the annotator has answered
                the pair, or it has all its answers.
        """
        with self._lock:
            try:
                with self.database.session.begin() as session:
                    self._store(session, annotator.id, client_id, task_id, first, nearer, seconds)
            except IntegrityError:  # another server on the same database was faster
                raise Refused(409, "This pair has just been answered; here is another one.") from None
            with self.database.session() as session:
                return self._state(session, annotator.id)

    def _store(
        self,
        session: Session,
        annotator_id: int,
        client_id: str,
        task_id: int,
        first: str,
        nearer: str | None,
        seconds: float | None,
    ) -> None:
        if session.get_one(Annotator, annotator_id).tutorial < len(TUTORIAL):
            raise Refused(403, "Please finish the practice questions first.")
        own = select(Answer.id).where(Answer.annotator_id == annotator_id)
        if session.scalar(own.where(Answer.client_id == client_id)) is not None:
            return
        task = self._tasks.get(task_id)
        if task is None:
            raise Refused(400, f"task: there is no question {task_id}")
        joints = (task.joint_a, task.joint_b)
        _check_joint("first", first, joints)
        _check_joint("nearer", nearer, (*joints, None))
        if session.scalar(own.where(Answer.task_id == task_id, Answer.stands.is_(True))) is not None:
            raise Refused(409, "You have answered this pair already; here is another one.")
        room = update(Task).where(Task.id == task_id)
        if task.gold is None:
            room = room.where(Task.answers < self.answers)
        if session.connection().execute(room.values(answers=Task.answers + 1)).rowcount == 0:
            raise Refused(409, "Others have answered this pair meanwhile, it needs no more; here is another one.")
        session.add(
            Answer(
                annotator_id=annotator_id,
                task_id=task_id,
                client_id=client_id,
                label=0 if nearer is None else -1 if nearer == task.joint_a else 1,
                confidence=0.0 if nearer is None else 1.0,
                first=first,
                seconds=seconds,
            )
        )

    def undo(self, annotator: Annotator, client_id: str) -> dict[str, Any]:
        """Take back the annotator's last answer, which is named so that the same request twice undoes one only.

        Returns:
            The annotator's `state`, with the question of that answer.

        Raises:
            Refused: (409) it is not the annotator's last answer.
        """
        with self._lock:
            with self.database.session.begin() as session:
                own = select(Answer).where(Answer.annotator_id == annotator.id)
                answer = session.scalar(own.where(Answer.client_id == client_id))
                last = session.scalar(own.where(Answer.stands.is_(True)).order_by(Answer.id.desc()).limit(1))
                if answer is None or (answer.stands and answer is not last):
                    raise Refused(409, "Only your own last answer can be undone.")
                if answer.stands:
                    answer.stands = None
                    session.execute(update(Task).where(Task.id == answer.task_id).values(answers=Task.answers - 1))
                    self._leases[annotator.id] = _Lease(answer.task_id, time.monotonic() + _LEASE)
            with self.database.session() as session:
                return self._state(session, annotator.id)

    # -- results -------------------------------------------------------------------------------------------

    def labels(self) -> DepthLabels:
        """All answers as a label store."""
        with self.database.session() as session:
            return labels_of(session, self.skeleton.name)

    def progress(self) -> tuple[int, int]:
        """Answers to ordinary pairs that stand, and that are wanted."""
        with self.database.session() as session:
            ordinary = select(func.sum(Task.answers), func.count()).where(Task.gold.is_(None))
            given, tasks = session.execute(ordinary).one()
        return int(given or 0), tasks * self.answers


def annotator_name(text: str) -> str:
    """A name as it is kept: composed characters (NFC), single spaces; "" where none is given.

    >>> annotator_name("  Ada   Lovelace ")
    'Ada Lovelace'

    Raises:
        Refused: (400) it is too long, holds control characters, or nothing in it can be seen.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if len(name) > _NAME_LENGTH:
        raise Refused(400, f"name: expected at most {_NAME_LENGTH} characters")
    kinds = [unicodedata.category(character) for character in name]
    # scripts are joined by zero-width joiners; other marks without a shape could make two names look the same
    if any(kind[0] == "C" and character not in "\u200c\u200d" for character, kind in zip(name, kinds, strict=True)):
        raise Refused(400, "name: holds characters that cannot be seen")
    if name and not any(kind[0] in "LNPS" for kind in kinds):
        raise Refused(400, "name: is empty")
    return name


def _joint(name: str, point: tuple[float, float]) -> dict[str, Any]:
    return {"name": name, "title": joint_title(name), "x": point[0], "y": point[1]}


def _tutorial_question(number: int) -> dict[str, Any]:
    question = TUTORIAL[number]
    points = SCENES[question.scene].points
    return {
        "tutorial": number,
        "of": len(TUTORIAL),
        "photo": f"tutorial/{question.scene}.svg",
        "size": (WIDTH, HEIGHT),
        "box": (0, 0, WIDTH, HEIGHT),
        "joints": [_joint(joint, points[joint]) for joint in (question.first, question.second)],
    }


def _box(person: Person) -> tuple[float, float, float, float]:
    """Left, top, width and height of the part of the photograph around the person."""
    xs, ys = zip(*person.points.values(), strict=True)
    margin = max(0.4 * max(max(xs) - min(xs), max(ys) - min(ys)), 20.0)
    left, top = max(min(xs) - margin, 0.0), max(min(ys) - margin, 0.0)
    right, bottom = min(max(xs) + margin, person.size[0]), min(max(ys) + margin, person.size[1])
    return left, top, right - left, bottom - top


def _check_joint(field: str, joint: str | None, allowed: Sequence[str | None]) -> None:
    if joint not in allowed:
        names = " or ".join("null" if name is None else name for name in allowed)
        raise Refused(400, f"{field}: expected {names}, got {joint}")
