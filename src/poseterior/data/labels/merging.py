"""One label a pair from the answers of several annotators, how sure it is, and how good each annotator is.

A pair is the same whichever joint is named first: answers are turned to the skeleton's order of the joints before they
are merged. An annotator who leans to the joint shown first is then as often wrong one way as the other, provided that
the order shown is random, as the annotation page has it.

Methods, by crowd-kit:

* ``dawid-skene``: every annotator has a probability of each answer given the truth, found by expectation maximisation
  (Dawid and Skene 1979, *Maximum likelihood estimation of observer error-rates using the EM algorithm*). As it
  stands it is worse than a vote where annotators have some 50 answers each, and over-confident, because it believes
  the few answers by which it judges them. Here every annotator also starts with `PRIOR_ANSWERS` made-up answers a
  class, as good as those of the whole crowd, whose quality is read off how often two answers to one pair agree.
  200 simulated annotators who are right with 60 to 95 %, another share for either class, 5 answers per pair, mean of 12
  seeds; the last column is the calibration error of the confidence with 2,000 pairs:

  ====================================  ===========  ============  =====
  accuracy                              2,000 pairs  10,000 pairs  error
  ====================================  ===========  ============  =====
  annotators' true quality known        0.932        0.930         0.014
  as here                               0.924        0.928         0.016
  majority                              0.922        0.921         0.128
  Dawid-Skene without made-up answers   0.917        0.928         0.035
  ====================================  ===========  ============  =====

  crowd-kit's one-coin Dawid-Skene, MACE and KOS are about as good as the last row, GLAD is in between (0.919 with
  2,000 pairs). Where people's shares differ by the joint *shown* first instead, this reaches 0.927 with 10,000 pairs.
* ``majority``: what most say; the confidence is the share that says so, which is no probability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from ...files.errors import InputError
from ...geometry.skeletons import SKELETONS
from .labels import DepthLabels

__all__ = [
    "METHODS",
    "PRIOR_ANSWERS",
    "AnnotatorQuality",
    "MergedLabels",
    "in_skeleton_order",
    "merge_labels",
]

METHODS = ("dawid-skene", "majority")
#: Made-up answers per class that every annotator starts with: as strong as the spread of the simulated annotators'
#: qualities implies (16), and 16 to 24 measure the same.
PRIOR_ANSWERS = 20
#: Made-up pairs of answers, of which three in four agree: what is taken of a crowd that answered no pair twice.
_PRIOR_AGREEMENT = (3.0, 4.0)
#: Two classes whose probabilities differ by less than this are tied.
_TIE = 1e-9


@dataclass(frozen=True)
class AnnotatorQuality:
    """How one annotator answers.

    Attributes:
        annotator: name.
        answers: how many were merged.
        cannot_tell: how many were left out because they said so (confidence 0).
        right_first, right_second: estimated probability of the right answer where in truth the first, or the second,
            joint in the skeleton's order is nearer (as a specificity and a sensitivity); NaN where unknown.
        agreement: share of the answers that are as merged, of those to pairs that others answered too; NaN for none.
        gold: how many gold questions were answered.
        gold_agreement: share of those that are right; NaN for none.
    """

    annotator: str
    answers: int
    cannot_tell: int
    right_first: float
    right_second: float
    agreement: float
    gold: int
    gold_agreement: float

    @property
    def accuracy(self) -> float:
        """Mean of ``right_first`` and ``right_second`` (of the one that is known)."""
        known = [share for share in (self.right_first, self.right_second) if not np.isnan(share)]
        return float(np.mean(known)) if known else float("nan")


@dataclass(frozen=True, eq=False)
class MergedLabels:
    """What `merge_labels` returns.

    Attributes:
        labels: one row per pair that somebody could tell, in the order of their first answers; joint_a stands before
            joint_b in the skeleton; confidence is the probability that the label is right (majority: the share of
            votes); a tie is label 0 with confidence 0. annotator "", time NaN.
        answers: ``(pairs,)`` how many answers each label rests on.
        agreement: share of the pairs of answers to the same question that agree, NaN where there are none.
        annotators: one each, the one with most answers first.
        method: one of `METHODS`.
    """

    labels: DepthLabels
    answers: Int[NDArray[np.int64], " pairs"]
    agreement: float
    annotators: tuple[AnnotatorQuality, ...]
    method: str


def in_skeleton_order(labels: DepthLabels) -> DepthLabels:
    """The same labels with the two joints of each pair in the skeleton's order; where they change places, so does
    the sign of the label."""
    joints = SKELETONS[labels.skeleton].joints
    place = {joint: i for i, joint in enumerate(joints)}
    a, b = (np.array([place[joint] for joint in names], int) for names in (labels.joint_a, labels.joint_b))
    swap = a > b
    return DepthLabels(
        labels.image,
        np.where(swap, labels.joint_b, labels.joint_a),
        np.where(swap, labels.joint_a, labels.joint_b),
        np.where(swap, -labels.label, labels.label),
        labels.confidence,
        labels.annotator,
        labels.time,
        labels.skeleton,
    )


def merge_labels(labels: DepthLabels, method: str = "dawid-skene", gold: DepthLabels | None = None) -> MergedLabels:
    """Merge the answers to each pair of joints of each image.

    "Cannot tell" (confidence 0) is left out; other confidences are not used. Of several answers of one annotator to
    one pair the latest counts; answers without a name are taken as those of different people of one quality.

    Args:
        labels: answers.
        method: see the module.
        gold: known answers, in the same skeleton: the merged label of such a pair is the known one, and the
            annotators are judged by it.

    Raises:
        InputError: crowd-kit is not installed, an unknown method, nothing to merge, or gold labels that contradict
            each other or have another skeleton.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    known = _known_answers(gold, labels.skeleton)
    told = labels.confidence > 0
    if not told.any():
        raise InputError("depth labels: no answer to merge: there is none with a confidence above 0")
    answers = _latest(in_skeleton_order(labels.select(told)))
    keys = list(zip(answers.image, answers.joint_a, answers.joint_b, strict=True))
    names: dict[Any, int] = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    task = np.array([names[key] for key in keys])
    people, worker = np.unique(answers.annotator, return_inverse=True)
    truth = {names[key]: label for key, label in known.items() if key in names}

    classes, probability, errors = _aggregate(task, worker, answers.label.astype(int), truth, method)
    best = probability.argmax(1)
    confidence = probability.max(1)
    runner_up = np.sort(probability, 1)[:, -2]
    tied = confidence - runner_up < _TIE
    label = np.where(tied, 0, classes[best])
    count = np.bincount(task)
    first = np.unique(task, return_index=True)[1]
    merged = DepthLabels(
        answers.image[first],
        answers.joint_a[first],
        answers.joint_b[first],
        label,
        np.where(tied, 0.0, confidence.clip(0.0, 1.0)),
        np.full(len(first), ""),
        np.full(len(first), np.nan),
        labels.skeleton,
    )
    right = answers.label == label[task]
    # a tie is nobody's fault, and an answer that stands alone agrees with itself
    comparable = (count[task] > 1) & ~tied[task]
    is_gold = np.isin(task, list(truth))
    first_class, last_class = 0, len(classes) - 1  # -1 and +1
    quality = [
        AnnotatorQuality(
            str(name),
            answers=int(own.sum()),
            cannot_tell=int((~told & (labels.annotator == name)).sum()),
            right_first=float(errors[i, first_class, first_class]),
            right_second=float(errors[i, last_class, last_class]),
            agreement=_share(right[own & comparable]),
            gold=int((own & is_gold).sum()),
            gold_agreement=_share(right[own & is_gold]),
        )
        for i, name in enumerate(people)
        for own in [worker == i]
    ]
    silent = sorted(set(labels.annotator[~told].tolist()) - set(people.tolist()))
    nan = float("nan")
    quality += [
        AnnotatorQuality(name, 0, int((labels.annotator == name).sum()), nan, nan, nan, 0, nan) for name in silent
    ]
    quality.sort(key=lambda person: (-person.answers, person.annotator))
    agreeing, couples = _couples(task, answers.label)
    return MergedLabels(merged, count, agreeing / couples if couples else nan, tuple(quality), method)


def _known_answers(gold: DepthLabels | None, skeleton: str) -> dict[Any, int]:
    """(image, joint_a, joint_b) in the skeleton's order -> label."""
    if gold is None:
        return {}
    if gold.skeleton != skeleton:
        raise InputError(
            f"gold labels: have the skeleton {gold.skeleton}, the answers {skeleton}; they must be the same"
        )
    gold = in_skeleton_order(gold.select(gold.confidence > 0))
    known: dict[Any, int] = {}
    for *key, label in zip(gold.image, gold.joint_a, gold.joint_b, gold.label.tolist(), strict=True):
        if known.setdefault(tuple(key), label) != label:
            image, a, b = key
            raise InputError(f"gold labels: {image}: the pair {a}, {b} has two different labels; keep the right one")
    return known


def _latest(answers: DepthLabels) -> DepthLabels:
    """One answer of each named annotator to each pair: the latest, or the last row where times are not known."""
    order = np.argsort(np.nan_to_num(answers.time, nan=-np.inf), kind="stable")
    last: dict[Any, int] = {}
    for row in order.tolist():
        name = answers.annotator[row]
        key = (answers.image[row], answers.joint_a[row], answers.joint_b[row], name) if name else row
        last[key] = row
    return answers.select(np.sort(np.fromiter(last.values(), int)))


def _share(right: np.ndarray) -> float:
    return float(right.mean()) if len(right) else float("nan")


def _couples(task: np.ndarray, answer: np.ndarray) -> tuple[float, float]:
    """How many of all pairs of answers to the same question agree, and how many such pairs there are."""
    count = np.bincount(task).astype(float)
    votes = [np.bincount(task, answer == value, len(count)) for value in np.unique(answer)]
    agreeing = sum(float((n * (n - 1)).sum() / 2) for n in votes)
    return agreeing, float((count * (count - 1)).sum() / 2)


def _aggregate(
    task: np.ndarray, worker: np.ndarray, label: np.ndarray, truth: dict[int, int], method: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, their probability ``(tasks, classes)``, and ``P(answer | truth)`` ``(workers, answer, truth)``."""
    classes = np.array([-1, 0, 1] if 0 in {*label.tolist(), *truth.values()} else [-1, 1])
    answer = np.searchsorted(classes, label)
    known = np.array([[t, np.searchsorted(classes, value)] for t, value in truth.items()], int).reshape(-1, 2)
    merge = _majority if method == "majority" else _dawid_skene
    try:
        probability, errors = merge(task, worker, answer, known, len(classes))
    except ImportError:
        raise InputError("merging answers needs crowd-kit: pip install 'poseterior[annotate]'") from None
    return classes, probability, errors


def _majority(
    task: np.ndarray, worker: np.ndarray, answer: np.ndarray, known: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd
    from crowdkit.aggregation import MajorityVote

    data = pd.DataFrame({"task": task, "worker": worker, "label": answer})
    votes = MajorityVote().fit_predict_proba(data)
    probability = votes.reindex(index=range(task.max() + 1), columns=range(classes), fill_value=0.0).to_numpy(copy=True)
    probability[known[:, 0]] = np.eye(classes)[known[:, 1]]
    decided = np.isclose(probability, probability.max(1, keepdims=True))
    decided &= decided.sum(1, keepdims=True) == 1
    counts = np.zeros((worker.max() + 1, classes, classes))
    np.add.at(counts, (worker, answer), decided[task])
    with np.errstate(invalid="ignore"):
        return probability, counts / counts.sum(1, keepdims=True)


def _dawid_skene(
    task: np.ndarray, worker: np.ndarray, answer: np.ndarray, known: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    tasks, workers = task.max() + 1, worker.max() + 1
    # An answer that nobody else gave, to a pair of which nothing is known, says nothing of its annotator.
    comparable = np.bincount(task)[task] > 1
    comparable |= np.isin(task, known[:, 0])
    made_up = _made_up_answers(_crowd_accuracy(task, answer, classes), classes)
    extra = len(made_up)
    columns = {
        "task": np.concatenate([task[comparable], np.tile(tasks + np.arange(extra), workers)]),
        "worker": np.concatenate([worker[comparable], np.repeat(np.arange(workers), extra)]),
        "label": np.concatenate([answer[comparable], np.tile(made_up[:, 1], workers)]),
    }
    truth = pd.Series(
        np.concatenate([known[:, 1], made_up[:, 0]]), index=np.concatenate([known[:, 0], tasks + np.arange(extra)])
    )
    model = DawidSkene(n_iter=200).fit(pd.DataFrame(columns), truth)
    assert model.errors_ is not None
    assert model.priors_ is not None
    pairs = pd.MultiIndex.from_product([range(workers), range(classes)])
    errors = model.errors_.reindex(index=pairs, columns=range(classes)).to_numpy().reshape(workers, classes, classes)
    # The last step once more, for the answers that stand alone too.
    logits = np.tile(np.log(model.priors_.reindex(range(classes)).to_numpy()), (tasks, 1))
    np.add.at(logits, task, np.log(errors[worker, answer].clip(1e-12)))
    probability = np.exp(logits - logits.max(1, keepdims=True))
    probability /= probability.sum(1, keepdims=True)
    probability[known[:, 0]] = np.eye(classes)[known[:, 1]]
    return probability, errors


def _crowd_accuracy(task: np.ndarray, answer: np.ndarray, classes: int) -> float:
    """How often a crowd is right whose answers agree as often as these, if its mistakes spread evenly."""
    agreeing, couples = _couples(task, answer)
    share = (agreeing + _PRIOR_AGREEMENT[0]) / (couples + _PRIOR_AGREEMENT[1])
    # share = p^2 + (1 - p)^2 / (classes - 1), solved for p
    return (1 + max(0.0, 1 - classes * (1 - share * (classes - 1))) ** 0.5) / classes


def _made_up_answers(accuracy: float, classes: int) -> np.ndarray:
    """`PRIOR_ANSWERS` answers per class of that accuracy, (truth, answer); at least one is wrong, fewer than half."""
    wrong = int(np.clip(round(PRIOR_ANSWERS * (1 - accuracy)), 1, PRIOR_ANSWERS // 2 - 1))
    rows = [
        (truth, (truth + 1 + i % (classes - 1)) % classes if i < wrong else truth)
        for truth in range(classes)
        for i in range(PRIOR_ANSWERS)
    ]
    return np.array(rows)
