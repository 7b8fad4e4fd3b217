"""What a detector says of people, as arrays that are kept in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ...files.writing import atomic_write
from ...geometry.skeletons import Skeleton
from ..base import Array, Person
from ..covariance import Evidence
from ..noise import evidence_of

__all__ = ["Said", "everything", "taken"]

_EVIDENCE = tuple(field.name for field in fields(Evidence))


@dataclass(frozen=True)
class Said:
    """What is said of people in the pictures of one camera; a row for each.

    Attributes:
        frame: ``(n,)`` number of the picture; in order.
        xy: ``(n, joints, 2)`` px of the whole picture, NaN where not visible.
        size: ``(n,)`` of the person, px (`poseterior.keypoints.person_size`).
        evidence: ``(n, joints)`` rows; of the picture that the detector saw.
    """

    frame: Array
    xy: Array
    size: Array
    evidence: Evidence

    @classmethod
    def of(cls, people: Sequence[tuple[int, Person]], skeleton: Skeleton) -> Said:
        """Of numbered people."""
        shown = [person.keypoints for _, person in people]
        xy = [np.where(k.visible.numpy()[:, None], k.xy.numpy().astype(float), np.nan) for k in shown]
        said = [evidence_of(person) for _, person in people]
        rows = [[np.broadcast_to(v, (len(skeleton),)) if n == "side" else v for n, v in _parts(e)] for e in said]
        blank = Evidence(*(np.zeros((0, len(skeleton), *((2, 2) if n == "covariance" else ()))) for n in _EVIDENCE))
        return cls(
            np.array([frame for frame, _ in people], dtype=int),
            np.array(xy).reshape(len(people), len(skeleton), 2),
            np.array([float(k.size) for k in shown]),
            Evidence(*(np.array(column) for column in zip(*rows, strict=True))) if people else blank,
        )

    def take(self, rows: Array | slice) -> Said:
        """Some of them."""
        return Said(self.frame[rows], self.xy[rows], self.size[rows], taken(self.evidence, rows))

    def __len__(self) -> int:
        return len(self.frame)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as npz."""
        with atomic_write(path) as file:
            arrays: dict[str, Any] = {
                "frame": self.frame,
                "xy": self.xy,
                "size": self.size,
                **dict(_parts(self.evidence)),
            }
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Said:
        """Read what `save` wrote; nothing of it is unpickled."""
        with np.load(path, allow_pickle=False) as arrays:
            evidence = Evidence(*(arrays[name] for name in _EVIDENCE))
            return cls(arrays["frame"], arrays["xy"], arrays["size"], evidence)


def _parts(evidence: Evidence) -> list[tuple[str, Array]]:
    return [(name, getattr(evidence, name)) for name in _EVIDENCE]


def taken(evidence: Evidence, rows: Array | slice | tuple[Array | int, ...]) -> Evidence:
    """Some rows of evidence."""
    return Evidence(*(value[rows] for _, value in _parts(evidence)))


def everything(parts: Iterable[Evidence]) -> Evidence:
    """Evidence one after another."""
    columns = zip(*([value for _, value in _parts(part)] for part in parts), strict=True)
    return Evidence(*(np.concatenate(column) for column in columns))
