"""The state of a study: progress, agreement, gold questions, and what merging makes of the answers."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.labels.merging import merge_labels
from .database import Annotator, standing_answers

if TYPE_CHECKING:
    from ..data.labels.labels import DepthLabels
    from .study import Study

__all__ = ["agreement", "summarise"]

#: Between these lie the bars of the merged labels' confidence.
_CONFIDENCE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class _Given:
    """A standing answer."""

    annotator: str
    pair: tuple[str, str, str]
    label: int
    told: bool
    chose_first: bool
    gold: int | None
    seconds: float | None


def agreement(answers: Iterable[tuple[str, Hashable, int]]) -> tuple[int, int, dict[str, tuple[int, int]]]:
    """How often two annotators say the same of one pair.

    Args:
        answers: ``(annotator, pair, label)``, "cannot tell" left out.

    Returns:
        Agreeing twos of answers, all twos, and the same of the twos that each annotator is part of.
    """
    by_pair: dict[Hashable, list[tuple[str, int]]] = defaultdict(list)
    for annotator, pair, label in answers:
        by_pair[pair].append((annotator, label))
    same, all_, own = 0, 0, defaultdict[str, list[int]](lambda: [0, 0])
    for given in by_pair.values():
        for (one, label), (other, label_of_other) in itertools.combinations(given, 2):
            agree = int(label == label_of_other)
            same, all_ = same + agree, all_ + 1
            for annotator in (one, other):
                own[annotator][0] += agree
                own[annotator][1] += 1
    return same, all_, {name: (counts[0], counts[1]) for name, counts in own.items()}


def summarise(study: Study) -> dict[str, Any]:
    """What the page of results shows, ready for JSON; shares are None where there is nothing to count."""
    with study.database.session() as session:
        rows = [
            _Given(
                name, (task.image, task.joint_a, task.joint_b), answer.label, answer.confidence > 0,
                answer.label == (-1 if answer.first == task.joint_a else 1), task.gold, answer.seconds,
            )
            for answer, task, name in standing_answers(session)
        ]  # fmt: skip
        annotators = list(session.query(Annotator).order_by(Annotator.id))
    told = [row for row in rows if row.told]
    same, twos, own = agreement((row.annotator, row.pair, row.label) for row in told)
    merged = _merge(study.labels(), {row.pair: row.gold for row in rows if row.gold is not None})
    by_name: dict[str, list[_Given]] = defaultdict(list)
    for row in rows:
        by_name[row.annotator].append(row)
    table = []
    for annotator in annotators:
        given = by_name[annotator.name]
        table.append(
            _row(given)
            | {
                "name": annotator.name,
                "tutorial_errors": annotator.tutorial_errors,
                "agreement": _share(*own.get(annotator.name, (0, 0))),
                "quality": merged.get("quality", {}).get(annotator.name),
            }
        )
    given_count, wanted = study.progress()
    gold = [row for row in told if row.gold is not None]
    return {
        "images": len(study.photos),
        "answers": given_count,
        "wanted": wanted,
        "gold_answers": sum(row.gold is not None for row in rows),
        "agreement": _share(same, twos),
        "twos": twos,
        "gold": _share(sum(row.label == row.gold for row in gold), len(gold)),
        "cannot_tell": _share(len(rows) - len(told), len(rows)),
        "annotators": sorted(table, key=lambda row: -row["answers"]),
        "merged": {name: value for name, value in merged.items() if name != "quality"},
        "export": f"poseterior annotate --db {study.database.name} --export labels.parquet",
    }


def _row(given: Sequence[_Given]) -> dict[str, Any]:
    """One annotator's counts."""
    told = [row for row in given if row.told]
    gold = [row for row in told if row.gold is not None]
    seconds = [row.seconds for row in given if row.seconds is not None]
    return {
        "answers": len(given),
        "cannot_tell": len(given) - len(told),
        "gold_right": sum(row.label == row.gold for row in gold),
        "gold": len(gold),
        "first": _share(sum(row.chose_first for row in told), len(told)),
        "seconds": statistics.median(seconds) if seconds else None,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _merge(labels: DepthLabels, gold: dict[tuple[str, str, str], int]) -> dict[str, Any]:
    """What merging makes of the answers; empty without crowd-kit, or where there is nothing to merge."""
    if find_spec("crowdkit") is None or not (labels.confidence > 0).any():
        return {}
    merged = merge_labels(labels)
    found = merged.labels
    keys = zip(found.image.tolist(), found.joint_a.tolist(), found.joint_b.tolist(), strict=True)
    known = [gold.get(key) for key in keys]
    right = [label == answer for label, answer in zip(found.label.tolist(), known, strict=True) if answer is not None]
    counts = np.histogram(found.confidence[found.label != 0], _CONFIDENCE_EDGES)[0].tolist()
    quality = {person.annotator: person.accuracy for person in merged.annotators}
    return {
        "method": merged.method,
        "pairs": len(found),
        "confidence": float(found.confidence.mean()),
        "bars": list(zip(_CONFIDENCE_EDGES[:-1], _CONFIDENCE_EDGES[1:], counts, strict=True)),
        "gold": _share(sum(right), len(right)),
        "quality": {name: None if math.isnan(share) else share for name, share in quality.items()},
    }
