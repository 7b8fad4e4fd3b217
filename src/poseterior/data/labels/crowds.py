"""One class a task from the answers of several people: the vote, and the EM algorithm of Dawid and Skene (1979).

Tasks, workers and classes are numbers from 0; the answers are three arrays of one length. A worker may answer one task
more than once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

__all__ = ["Answers", "Fit", "dawid_skene", "vote_shares"]

#: No answer is thought impossible.
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Answers:
    """Who answered what, and how many there are of each.

    Attributes:
        task, worker, answer: ``(answers,)``.
        tasks, workers, classes: counts; a task or worker may have no answer.
    """

    task: Int[NDArray[np.int64], " answers"]
    worker: Int[NDArray[np.int64], " answers"]
    answer: Int[NDArray[np.int64], " answers"]
    tasks: int
    workers: int
    classes: int


@dataclass(frozen=True, eq=False)
class Fit:
    """What `dawid_skene` found.

    Attributes:
        probability: ``(tasks, classes)`` of the truth.
        shares: ``(classes,)`` how frequent each class is.
        errors: ``(workers, classes, classes)``, probability of the answer (second axis) given the truth (third axis).
        log_likelihood: of the answers, nats, after each iteration; made-up ones and known truths are not in it.
    """

    probability: Float[NDArray[np.float64], "tasks classes"]
    shares: Float[NDArray[np.float64], " classes"]
    errors: Float[NDArray[np.float64], "workers classes classes"]
    log_likelihood: tuple[float, ...]


def vote_shares(answers: Answers) -> Float[NDArray[np.float64], "tasks classes"]:
    """Which share of a task's answers say each class; the same for all where there is no answer."""
    cells = answers.task * answers.classes + answers.answer
    votes = np.bincount(cells, minlength=answers.tasks * answers.classes).reshape(answers.tasks, answers.classes)
    total = votes.sum(1, keepdims=True)
    return np.where(total > 0, votes / np.maximum(total, 1), 1.0 / answers.classes)


def dawid_skene(
    answers: Answers,
    known: Int[NDArray[np.int64], "known 2"] | None = None,
    made_up: Float[NDArray[np.float64], "classes classes"] | None = None,
    *,
    iterations: int = 1000,
    tolerance: float = 1e-7,
) -> Fit:
    """Maximum likelihood of everybody's error rates and of the truth, begun at the vote.

    Dawid and Skene 1979, *Maximum likelihood estimation of observer error-rates using the EM algorithm*, equations 2.3
    to 2.5 and 3.1.

    Args:
        answers: who answered what.
        known: tasks and their class.
        made_up: answers (answer, truth) that every worker is taken to have given besides, to tasks of known class; may
            be fractions. The tasks count in the shares of the classes.
        iterations: at most.
        tolerance: nats per answer; less gain than this ends it.
    """
    known = np.zeros((0, 2), np.int64) if known is None else known
    made_up = np.zeros((answers.classes, answers.classes)) if made_up is None else made_up
    truth = np.eye(answers.classes)[known[:, 1]]
    probability = vote_shares(answers)
    probability[known[:, 0]] = truth
    answered = np.bincount(answers.task, minlength=answers.tasks) > 0
    answered[known[:, 0]] = True
    likelihood: list[float] = []
    while True:
        shares, errors = _rates(answers, probability, answered, made_up)
        logits = _logits(answers, shares, errors)
        top = logits.max(1, keepdims=True)
        sums = np.exp(logits - top).sum(1, keepdims=True)
        likelihood.append(float((top + np.log(sums))[answered].sum()))
        probability = np.exp(logits - top) / sums
        probability[known[:, 0]] = truth
        gain = np.inf if len(likelihood) < 2 else (likelihood[-1] - likelihood[-2]) / max(len(answers.task), 1)
        if abs(gain) < tolerance or len(likelihood) >= iterations:
            return Fit(probability, shares, errors, tuple(likelihood))


def _rates(
    answers: Answers, probability: np.ndarray, answered: np.ndarray, made_up: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the classes, and everybody's error rates, if the truth has these probabilities."""
    classes = answers.classes
    total = probability[answered].sum(0) + made_up.sum(0)
    shares = np.clip(total / max(total.sum(), _EPS), _EPS, None)
    cells = answers.worker * classes + answers.answer
    counts = [
        np.bincount(cells, probability[answers.task, c], answers.workers * classes).reshape(-1, classes)
        for c in range(classes)
    ]
    errors = np.clip(np.stack(counts, -1) + made_up, _EPS, None)
    return shares, errors / errors.sum(1, keepdims=True)


def _logits(answers: Answers, shares: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Log probability of a task's answers and of each class."""
    given = np.log(errors)[answers.worker, answers.answer]
    told = [np.bincount(answers.task, given[:, c], answers.tasks) for c in range(answers.classes)]
    return np.log(shares) + np.stack(told, -1)
