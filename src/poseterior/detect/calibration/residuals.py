"""Keypoints against where they should be, with what is needed to say how far they may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..base import Array
from ..covariance import Evidence
from .said import everything, taken

__all__ = ["Residuals", "joined"]


@dataclass(frozen=True)
class Residuals:
    """One row each; ``m`` other cameras, 0 where the right place is known without any.

    Attributes:
        gap: ``(n, 2)`` px.
        size: ``(n,)`` of the person, px.
        evidence: of the keypoint, ``(n,)``.
        other_evidence: ``(n, m)`` of the other cameras' keypoints.
        gain: ``(n, m, 2, 2)`` px of the gap for each px that another camera's keypoint is off.
        known: ``(n, 2, 2)`` px² that the right place is uncertain by besides.
        joint, camera, frame: ``(n,)`` numbers.
        cut: ``(n,)`` whether of a picture that was cut.
    """

    gap: Array
    size: Array
    evidence: Evidence
    other_evidence: Evidence
    gain: Array
    known: Array
    joint: Array
    camera: Array
    frame: Array
    cut: Array

    def __len__(self) -> int:
        return len(self.gap)

    def take(self, rows: Array) -> Residuals:
        """Some of them: a mask, or their numbers."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        parts: dict[str, Any] = {n: taken(v, rows) if isinstance(v, Evidence) else v[rows] for n, v in values.items()}
        return Residuals(**parts)


def joined(parts: Sequence[Residuals]) -> Residuals:
    """All of them; of as many other cameras."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Residuals)}
    whole: dict[str, Any] = {
        name: everything(column) if isinstance(column[0], Evidence) else np.concatenate(column)
        for name, column in columns.items()
    }
    return Residuals(**whole)
