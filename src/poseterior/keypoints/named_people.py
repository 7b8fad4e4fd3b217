"""People whose joints a file names one by one, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..files.errors import InputError
from .detections import Detections, Options, Person
from .joint_names import covering_skeleton, resolve_names, say_names, temporary_skeleton

__all__ = ["NamedPerson", "stack_named"]


@dataclass
class NamedPerson:
    """One person in one frame: ``joints`` maps the file's own names to (x px, y px, confidence)."""

    frame: int
    person: int
    joints: dict[str, tuple[float, float, float]]
    file: str | None = None
    image_size: tuple[float, float] | None = None


def stack_named(people: Sequence[NamedPerson], what: str, options: Options) -> list[Detections]:
    """People as arrays of all joints that any of them has; a joint that somebody lacks is missing.

    Args:
        people: in the order wanted; none gives no detections.
        what: where the names stand in the file, for messages.
        options: what the caller said.

    Raises:
        InputError: two names mean the same joint, or none means any.
    """
    if not people:
        return []
    names = list(dict.fromkeys(name for person in people for name in person.joints))
    known = resolve_names(names, what, options.skeleton)
    kept = [i for i, joint in enumerate(known) if joint is not None]
    if not kept:
        raise InputError(f"{what}: no joint that we know among {', '.join(map(repr, names[:6]))}")
    say_names(options.file, [names], options.skeleton)
    joints = tuple(joint for joint in known if joint is not None)
    target = covering_skeleton(joints, options.skeleton)
    skeleton = target if joints == target.joints else temporary_skeleton(joints)
    absent = (np.nan, np.nan, 0.0)
    found: list[Person] = []
    for person in people:
        table = np.array([person.joints.get(names[i], absent) for i in kept], dtype=np.float64)
        size = person.image_size
        found.append(
            Person(person.frame, person.person, table[:, :2], table[:, 2], person.file, options.file, image_size=size)
        )
    detections = Detections.from_people(found, skeleton, options)
    detections.target = target
    return [detections]
