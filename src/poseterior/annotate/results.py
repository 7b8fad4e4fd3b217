"""The state of a study: progress, agreement, gold questions, and what merging makes of the answers."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.labels.labels import DepthLabels
from ..data.labels.merging import FASTEST_SECONDS, merge_labels
from .database import Annotator, standing_answers

if TYPE_CHECKING:
    from .study import Study

__all__ = ["agreement", "summarise"]

#: Between these lie the bars of the merged labels' confidence.
_CONFIDENCE_EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
#: Answers sooner than `FASTEST_SECONDS` are flagged above this share, of so many at least.
_FAST_SHARE, _FAST_LEAST = 0.1, 10
#: Which joint is shown first is a fair coin; standard deviations from even that one in a thousand exceeds, and the
#: answers from which on they are counted.
_ONE_SIDED, _ONE_SIDED_LEAST = 3.29, 12


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


def summarise(study: Study, owner: bool = True) -> dict[str, Any]:
    """What the page of results shows, ready for JSON; shares are None where there is nothing to count.

    Args:
        study: the study.
        owner: show names, qualities and the place of the database too.
    """
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
    sums = {
        "images": len(study.photos),
        "people": len(table),
        "answers": given_count,
        "wanted": wanted,
        "gold_answers": sum(row.gold is not None for row in rows),
        "agreement": _share(same, twos),
        "twos": twos,
        "gold": _share(sum(row.label == row.gold for row in gold), len(gold)),
        "cannot_tell": _share(len(rows) - len(told), len(rows)),
        "merged": {name: value for name, value in merged.items() if name != "quality"},
    }
    if not owner:
        return sums
    return sums | {
        "annotators": sorted(table, key=lambda row: -row["answers"]),
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
        "flags": _flags(seconds, sum(row.chose_first for row in told), len(told)),
    }


def _flags(seconds: Sequence[float], first: int, told: int) -> list[str]:
    """What makes one look at an annotator's answers before believing them."""
    found = []
    fast = sum(value < FASTEST_SECONDS for value in seconds)
    if len(seconds) >= _FAST_LEAST and fast > _FAST_SHARE * len(seconds):
        found.append(f"{fast} answers faster than a person can look ({FASTEST_SECONDS:g} s)")
    if told >= _ONE_SIDED_LEAST and abs(first - told / 2) > _ONE_SIDED * math.sqrt(told) / 2:
        found.append(
            f"chose the {'first' if first > told / 2 else 'second'} joint {max(first, told - first)} of {told} times"
        )
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _merge(labels: DepthLabels, gold: dict[tuple[str, str, str], int]) -> dict[str, Any]:
    """What merging makes of the answers; empty where there is nothing to merge.

    The gold questions judge the annotators; how often the labels are right on them is told without their help.
    """
    if not (labels.confidence > 0).any():
        return {}
    merged = merge_labels(labels)
    judged = merge_labels(labels, gold=_as_labels(gold, labels.skeleton)) if gold else merged
    found = merged.labels
    keys = zip(found.image.tolist(), found.joint_a.tolist(), found.joint_b.tolist(), strict=True)
    known = [gold.get(key) for key in keys]
    right = [label == answer for label, answer in zip(found.label.tolist(), known, strict=True) if answer is not None]
    told = found.confidence[found.label != 0].clip(_CONFIDENCE_EDGES[0], 1.0)  # of three classes a coin has a third
    counts = np.histogram(told, _CONFIDENCE_EDGES)[0].tolist()
    quality = {person.annotator: person.accuracy if person.known else math.nan for person in judged.annotators}
    return {
        "method": merged.method,
        "pairs": len(found),
        "confidence": float(found.confidence.mean()) if merged.known else None,
        "bars": list(zip(_CONFIDENCE_EDGES[:-1], _CONFIDENCE_EDGES[1:], counts, strict=True)),
        "gold": _share(sum(right), len(right)),
        "quality": {name: None if math.isnan(share) else share for name, share in quality.items()},
    }


def _as_labels(gold: dict[tuple[str, str, str], int], skeleton: str) -> DepthLabels:
    image, a, b = (np.array(column) for column in zip(*gold, strict=True))
    count = len(gold)
    return DepthLabels(
        image, a, b, np.array(list(gold.values())), np.ones(count), np.full(count, ""), np.full(count, np.nan), skeleton
    )
