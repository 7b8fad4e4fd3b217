"""The vote and Dawid-Skene: the data of the paper, numbers of another program, and EM written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from poseterior.data.labels.crowds import Answers, dawid_skene, vote_shares

#: Dawid and Skene 1979, table 1: how fit 45 patients are for anaesthesia (1 to 4). One row per patient: three
#: assessments of observer 1, then one each of observers 2 to 5.
PAPER = (
    "1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 "
    "1111111 2223212 1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 "
    "1111111 1111111 2322222 1111111 1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343 "
    "2212232 2323233 3333432 1111111 1111111 1212111 2322222 1211111 2222222 "
)
OBSERVER = np.array([0, 0, 0, 1, 2, 3, 4])

#: (task, worker, answer), and what crowd-kit 1.4.2 makes of them, which ends after four iterations.
ROWS = [
    (0, 0, 0), (0, 1, 2), (0, 2, 2), (0, 3, 2), (1, 0, 2), (1, 1, 1), (1, 3, 1), (2, 0, 2), (2, 1, 2), (2, 2, 2),
    (2, 3, 2), (3, 0, 2), (3, 1, 2), (3, 2, 2), (3, 3, 1), (4, 0, 1), (4, 2, 2), (4, 3, 1), (5, 0, 2), (5, 2, 2),
    (5, 3, 2), (6, 0, 2), (6, 2, 1), (6, 3, 2), (7, 0, 0), (7, 1, 0), (7, 2, 0), (7, 3, 2), (8, 0, 0), (8, 2, 0),
    (9, 2, 0), (9, 3, 0), (10, 0, 0), (10, 2, 0), (10, 3, 0), (11, 0, 2), (11, 2, 2), (11, 3, 0),
]  # fmt: skip

GOLDEN = [
    [0.0, 0.0, 1.0],
    [0.0, 0.9977158, 0.0022842],
    [0.0, 0.0013124, 0.9986876],
    [0.0, 0.4093506, 0.5906494],
    [0.0, 0.9995639, 0.0004361],
    [0.0, 0.0052763, 0.9947237],
    [0.0, 4.26e-05, 0.9999574],
    [1.0, 0.0, 0.0],
    [0.9999805, 0.0, 1.95e-05],
    [0.9999708, 0.0, 2.92e-05],
    [0.9999949, 0.0, 5.1e-06],
    [0.0, 0.0, 1.0],
]
GOLDEN_SHARES = [0.3333289, 0.2011051, 0.465566]


def of_rows(rows: list[tuple[int, int, int]]) -> Answers:
    task, worker, answer = np.array(rows).T
    return Answers(task, worker, answer, task.max() + 1, worker.max() + 1, answer.max() + 1)


def paper() -> Answers:
    rows = [
        (patient, int(OBSERVER[i]), int(digit) - 1)
        for patient, line in enumerate(PAPER.split())
        for i, digit in enumerate(line)
    ]
    return of_rows(rows)


def by_hand(answers: Answers, iterations: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equations 2.3 to 2.5 of the paper, one number at a time: truth, shares, errors (worker, truth, answer)."""
    n, k, j = answers.tasks, answers.workers, answers.classes
    count = np.zeros((n, k, j))
    for row in zip(answers.task, answers.worker, answers.answer, strict=True):
        count[row] += 1
    truth = count.sum(1) / count.sum((1, 2))[:, None]
    for _ in range(iterations):
        shares = truth.mean(0)
        errors = np.zeros((k, j, j))
        for worker in range(k):
            for c in range(j):
                total = truth[:, c] @ count[:, worker]
                errors[worker, c] = total / total.sum()
        truth = np.array([
            [shares[c] * np.prod(errors[:, c] ** count[task]) for c in range(j)] for task in range(n)
        ])  # fmt: skip
        truth /= truth.sum(1, keepdims=True)
    return truth, shares, errors


def test_the_papers_patients() -> None:
    fit = dawid_skene(paper(), tolerance=0.0, iterations=300)
    # table 2: the shares of the four classes
    assert fit.shares.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    truth, shares, errors = by_hand(paper(), 300)
    np.testing.assert_allclose(fit.probability, truth, atol=1e-9)
    np.testing.assert_allclose(fit.shares, shares, atol=1e-9)
    np.testing.assert_allclose(fit.errors.transpose(0, 2, 1), errors, atol=1e-9)
    assert (np.diff(fit.log_likelihood) > -1e-9).all(), "EM never loses"


def test_numbers_of_another_program() -> None:
    fit = dawid_skene(of_rows(ROWS), tolerance=0.0, iterations=4)
    np.testing.assert_allclose(fit.probability, GOLDEN, atol=1e-6)
    np.testing.assert_allclose(fit.probability.mean(0), GOLDEN_SHARES, atol=1e-6)
    shares = vote_shares(of_rows(ROWS))
    np.testing.assert_allclose(shares[:2], [[0.25, 0, 0.75], [0, 2 / 3, 1 / 3]])


def test_vote_shares_of_nothing_are_even() -> None:
    empty = np.zeros(0, int)
    assert vote_shares(Answers(empty, empty, empty, 2, 1, 4)).tolist() == [[0.25] * 4] * 2


def test_made_up_answers_are_those_of_tasks_with_a_known_truth() -> None:
    """The prior by counts is the same as answers written out."""
    extra = [(12 + 4 * c + i, w, c if i else (c + 1) % 3) for c in range(3) for i in range(4) for w in range(4)]
    known = np.array([(12 + 4 * c + i, c) for c in range(3) for i in range(4)])
    written = dawid_skene(of_rows(ROWS + extra), known)
    made_up = np.array([[3.0, 0.0, 1.0], [1.0, 3.0, 0.0], [0.0, 1.0, 3.0]])
    counted = dawid_skene(of_rows(ROWS), made_up=made_up, iterations=len(written.log_likelihood), tolerance=0.0)
    np.testing.assert_allclose(counted.probability, written.probability[:12], atol=1e-9)
    np.testing.assert_allclose(counted.shares, written.shares, atol=1e-9)
    np.testing.assert_allclose(counted.errors, written.errors, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_names_of_workers_and_order_of_answers_do_not_matter(seed: int) -> None:
    random = np.random.default_rng(seed)
    one = dawid_skene(of_rows(ROWS))
    mixed = [ROWS[i] for i in random.permutation(len(ROWS))]
    other = dawid_skene(of_rows([(t, 3 - w, a) for t, w, a in mixed]))
    np.testing.assert_allclose(other.probability, one.probability, atol=1e-9)
    np.testing.assert_allclose(other.errors[::-1], one.errors, atol=1e-9)
