"""One label a pair from the answers of several annotators, how sure it is, and how good each annotator is.

A pair is the same whichever joint is named first: answers are turned to the skeleton's order of the joints before they
are merged. An annotator who leans to the joint shown first is then as often wrong one way as the other, provided that
the order shown is random, as the annotation page has it.

Methods:

* ``dawid-skene``: every annotator has a probability of each answer given the truth, found by expectation maximisation
  (Dawid and Skene 1979, see `poseterior.data.labels.crowds`). As it stands it is worse than a vote where annotators
  have some 50 answers each, and over-confident, because it believes the few answers by which it judges them. Here
  every annotator also starts with `PRIOR_ANSWERS` made-up answers a class, as good as those of the whole crowd, whose
  quality is read off how often two answers to one pair agree, and off the gold questions; it begins at that of a coin,
  where it stays as long as nobody answered a pair twice and there are no gold questions.
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

  One-coin Dawid-Skene, MACE and KOS (crowd-kit 1.4) are about as good as the last row, GLAD is in between (0.919 with
  2,000 pairs). Where people's shares differ by the joint *shown* first instead, this reaches 0.927 with 10,000 pairs.
* ``majority``: what most say; the confidence is the share that says so, which is no probability. An answer that stands
  alone has nobody to agree with: its confidence is that of a coin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from ...files.errors import InputError
from ...geometry.skeletons import SKELETONS
from .crowds import Answers, dawid_skene, vote_shares
from .labels import DepthLabels

__all__ = [
    "FASTEST_SECONDS",
    "LEAST_JUDGED",
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
#: Made-up pairs of answers that agree as often as coins do: what is taken of a crowd before anything is known of it.
#: Few answers that agree by chance shall not make it look good.
_PRIOR_COUPLES = 12.0
#: By fewer answers than this nobody's quality is told: what would be shown is the crowd's.
LEAST_JUDGED = 10
#: Nobody finds two joints in a picture, compares them and presses a button sooner: two looks and a movement.
FASTEST_SECONDS = 0.7
#: Answers sooner than that are flagged above this share, of so many at least.
_FAST_SHARE, _FAST_LEAST = 0.1, 10
#: The same answer is flagged above this share, of so many at least.
_ONE_SIDED_SHARE, _ONE_SIDED_LEAST = 0.95, 20
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
            joint in the skeleton's order is nearer (as a specificity and a sensitivity); NaN where unknown: nobody else
            answered any of the annotator's pairs, and none is a gold question.
        agreement: share of the answers that are as merged, of those to pairs that others answered too; NaN for none.
        gold: how many gold questions were answered.
        gold_agreement: share of those that are right; NaN for none.
        judged: how many answers were to pairs that others answered too, or to gold questions: what the estimate rests
            on, besides what the crowd is like.
        flags: what makes one look at the answers before believing them, in words.
    """

    annotator: str
    answers: int
    cannot_tell: int
    right_first: float
    right_second: float
    agreement: float
    gold: int
    gold_agreement: float
    judged: int = 0
    flags: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether enough answers were judged to tell a quality."""
        return self.judged >= LEAST_JUDGED

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
            votes), and that of a coin where nothing is known of who answered; a tie is label 0 with confidence 0.
            annotator "", time NaN.
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

    @property
    def known(self) -> bool:
        """Whether the answers say anything of how sure the labels are: some pair has two, or is a gold question."""
        return any(person.judged for person in self.annotators)


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
        InputError: an unknown method, nothing to merge, or gold labels that contradict each other or have another
            skeleton.
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

    classes, probability, votes, errors = _aggregate(task, worker, answers.label.astype(int), truth, method)
    # where the people are as good as coins, still most of them say something
    decided = np.where(_is_tied(probability)[:, None], votes, probability)
    tied = _is_tied(decided)
    confidence = probability[np.arange(len(decided)), decided.argmax(1)]
    label = np.where(tied, 0, classes[decided.argmax(1)])
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
    judged = (count[task] > 1) | is_gold
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
            judged=int((own & judged).sum()),
            flags=_flags(answers.label[own], answers.time[own]) if name else (),
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


def _is_tied(probability: np.ndarray) -> np.ndarray:
    top = np.sort(probability, 1)
    return np.asarray(top[:, -1] - top[:, -2] < _TIE)


def _flags(label: np.ndarray, time: np.ndarray) -> tuple[str, ...]:
    """What is strange in one annotator's answers, to pairs in the skeleton's order."""
    found = []
    pauses = np.diff(np.sort(time[np.isfinite(time)]))
    pauses = pauses[pauses > 0]  # equal times are those of a file, not of a person
    if len(pauses) >= _FAST_LEAST:
        fast = float((pauses < FASTEST_SECONDS).mean())
        if fast > _FAST_SHARE:
            found.append(f"{fast:.0%} of the answers came faster than a person can look ({FASTEST_SECONDS:g} s)")
    told = label[label != 0]
    if len(told) >= _ONE_SIDED_LEAST:
        same = float(max((told < 0).mean(), (told > 0).mean()))
        if same > _ONE_SIDED_SHARE:
            found.append(f"{same:.0%} of the answers are the same")
    return tuple(found)


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
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Classes, their probability and the votes ``(tasks, classes)``, and ``P(answer | truth)``.

    The last is ``(workers, answer, truth)``, NaN of those of whom nothing is known.
    """
    classes = np.array([-1, 0, 1] if 0 in {*label.tolist(), *truth.values()} else [-1, 1])
    known = np.array([[t, np.searchsorted(classes, value)] for t, value in truth.items()], int).reshape(-1, 2)
    given = Answers(
        task, worker, np.searchsorted(classes, label), int(task.max()) + 1, int(worker.max()) + 1, len(classes)
    )
    # An answer that nobody else gave, to a pair of which nothing is known, says nothing of its annotator.
    judged = np.bincount(task)[task] > 1
    judged |= np.isin(task, known[:, 0])
    votes = vote_shares(given)
    merge = _by_majority if method == "majority" else _by_dawid_skene
    probability, errors = merge(given, judged, votes, known)
    probability[known[:, 0]] = np.eye(len(classes))[known[:, 1]]
    errors[np.bincount(worker, judged, given.workers) == 0] = np.nan
    return classes, probability, votes, errors


def _by_majority(
    given: Answers, judged: np.ndarray, votes: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    probability = votes.copy()
    alone = np.bincount(given.task, minlength=given.tasks) < 2
    probability[alone] = 1.0 / given.classes
    said = votes.copy()
    said[known[:, 0]] = np.eye(given.classes)[known[:, 1]]
    decided = np.isclose(said, said.max(1, keepdims=True))
    decided &= decided.sum(1, keepdims=True) == 1
    counts = np.zeros((given.workers, given.classes, given.classes))
    np.add.at(counts, (given.worker[judged], given.answer[judged]), decided[given.task[judged]])
    with np.errstate(invalid="ignore"):
        return probability, counts / counts.sum(1, keepdims=True)


def _by_dawid_skene(
    given: Answers, judged: np.ndarray, votes: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    comparable = Answers(
        given.task[judged], given.worker[judged], given.answer[judged], given.tasks, given.workers, given.classes
    )
    fit = dawid_skene(comparable, known, _made_up_answers(_crowd_accuracy(given, known), given.classes))
    # The last step once more, for the answers that stand alone too.
    logits = np.tile(np.log(fit.shares), (given.tasks, 1))
    np.add.at(logits, given.task, np.log(fit.errors[given.worker, given.answer]))
    probability = np.exp(logits - logits.max(1, keepdims=True))
    return probability / probability.sum(1, keepdims=True), fit.errors


def _crowd_accuracy(given: Answers, known: np.ndarray) -> float:
    """How often a crowd is right whose answers agree as often as these, if its mistakes spread evenly.

    Gold questions say it directly; the two are weighed by how many answers, or couples of them, there are.
    """
    classes = given.classes
    agreeing, couples = _couples(given.task, given.answer)
    couples += _PRIOR_COUPLES
    share = (agreeing + _PRIOR_COUPLES / classes) / couples
    # share = p^2 + (1 - p)^2 / (classes - 1), solved for p
    accuracy = (1 + max(0.0, 1 - classes * (1 - share * (classes - 1))) ** 0.5) / classes
    truth = np.full(given.tasks, -1)
    truth[known[:, 0]] = known[:, 1]
    truth = truth[given.task]
    gold = int((truth >= 0).sum())
    return float((accuracy * couples + (given.answer == truth).sum()) / (couples + gold))


def _made_up_answers(accuracy: float, classes: int) -> np.ndarray:
    """`PRIOR_ANSWERS` answers per class of that accuracy, (answer, truth); one is wrong at least, and no class is
    answered less often where it is the truth than by a coin."""
    right = float(np.clip(accuracy, 1.0 / classes, 1.0 - 1.0 / PRIOR_ANSWERS))
    wrong = (1.0 - right) / (classes - 1)
    return PRIOR_ANSWERS * np.where(np.eye(classes, dtype=bool), right, wrong)
