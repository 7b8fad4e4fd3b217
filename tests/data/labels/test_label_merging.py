"""Merging the answers of several annotators."""

import math
import sys

import numpy as np
import pytest

from poseterior.cli.labels import Merge
from poseterior.data.labels.labels import DepthLabels, load_labels, save_labels
from poseterior.data.labels.merging import METHODS, in_skeleton_order, merge_labels
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

pytest.importorskip("crowdkit")

JOINTS = np.array(SKELETONS["h36m17"].joints)


def simulate(seed: int, pairs: int, people: int = 200, answers: int = 5) -> tuple[DepthLabels, np.ndarray, np.ndarray]:
    """A crowd that is right with 60 to 95 %, another share for either class; the truth; the shares (people, 2)."""
    random = np.random.default_rng(seed)
    skill = random.uniform(0.6, 0.95, (people, 2))
    truth = random.integers(0, 2, pairs)
    who = np.concatenate([random.permutation(people).reshape(-1, answers) for _ in range(pairs * answers // people)])
    right = random.random((pairs, answers)) < skill[who, truth[:, None]]
    label = np.where(right, 2 * truth[:, None] - 1, 1 - 2 * truth[:, None]).reshape(-1)
    n = pairs * answers
    image = np.array([f"{i}.jpg" for i in range(pairs)]).repeat(answers)
    first = np.sort(np.argsort(random.random((pairs, 17)), 1)[:, :2], 1).repeat(answers, 0)
    turned = random.random(n) < 0.5  # either joint may be named first
    a, b = np.where(turned[:, None], first[:, ::-1], first).T
    labels = DepthLabels(
        image, JOINTS[a], JOINTS[b], np.where(turned, -label, label), np.ones(n),
        np.char.add("w", who.reshape(-1).astype(str)), np.full(n, np.nan), "h36m17",
    )  # fmt: skip
    return labels, 2 * truth - 1, skill


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean gap between confidence and share right, over ten bins from 0.5 to 1."""
    bins = np.minimum(((confidence - 0.5) * 20).astype(int), 9)
    gaps = [abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    return float(np.sum(gaps))


def answers(*rows: tuple, skeleton: str = "h36m17") -> DepthLabels:
    """(image, joint_a, joint_b, label, annotator[, confidence[, time]])"""
    full = [(*row, *(1.0, math.nan)[len(row) - 5 :]) for row in rows]
    image, a, b, label, annotator, confidence, time = (list(column) for column in zip(*full, strict=True))
    return DepthLabels(
        np.array(image), np.array(a), np.array(b), np.array(label), np.array(confidence), np.array(annotator),
        np.array(time, float), skeleton,
    )  # fmt: skip


def one_pair(*labels: int) -> DepthLabels:
    return answers(*(("x", "pelvis", "spine", label, f"w{i}") for i, label in enumerate(labels)))


def test_a_crowd_beats_its_majority_and_knows_how_sure_it_is():
    """2,000 pairs, 50 answers a person, mean of 8 crowds: the true qualities would gain 1 %, these some 0.15 %."""
    share: dict[str, list[float]] = {method: [] for method in METHODS}
    for seed in range(8):
        labels, truth, skill = simulate(seed, 2000)
        for method in METHODS:
            merged = merge_labels(labels, method)
            assert merged.labels.image.tolist() == [f"{i}.jpg" for i in range(2000)]
            right = merged.labels.label == truth
            share[method].append(right.mean())
            if method == "dawid-skene":
                assert calibration_error(merged.labels.confidence, right) < 0.035
                quality = {person.annotator: person for person in merged.annotators}
                found = np.array([[quality[f"w{i}"].right_first, quality[f"w{i}"].right_second] for i in range(200)])
                assert np.corrcoef(found.ravel(), skill.ravel())[0, 1] > 0.6
    gain = np.array(share["dawid-skene"]) - np.array(share["majority"])
    assert gain.mean() > 0.0005
    assert gain.min() > -0.005


def test_with_many_answers_a_person_the_crowd_beats_its_majority_clearly():
    """As many pairs as the published set: 10,000, 250 answers a person."""
    labels, truth, skill = simulate(0, 10_000)
    found = {method: merge_labels(labels, method) for method in METHODS}
    accuracy = {method: (merged.labels.label == truth).mean() for method, merged in found.items()}
    assert accuracy["dawid-skene"] > accuracy["majority"] + 0.002
    merged = found["dawid-skene"]
    assert calibration_error(merged.labels.confidence, merged.labels.label == truth) < 0.015
    assert np.mean([person.accuracy for person in merged.annotators]) == pytest.approx(skill.mean(), abs=0.01)


def test_order_of_the_joints_does_not_matter():
    labels, *_ = simulate(3, 400, people=20)
    swapped = DepthLabels(
        labels.image, labels.joint_b, labels.joint_a, -labels.label, labels.confidence, labels.annotator, labels.time,
        "h36m17",
    )  # fmt: skip
    for method in METHODS:
        one, other = merge_labels(labels, method), merge_labels(swapped, method)
        np.testing.assert_array_equal(one.labels.label, other.labels.label)
        np.testing.assert_array_equal(one.labels.confidence, other.labels.confidence)


def test_in_skeleton_order_turns_the_sign():
    labels = in_skeleton_order(answers(("x", "spine", "pelvis", 1, ""), ("x", "pelvis", "spine", 1, "")))
    assert labels.joint_a.tolist() == ["pelvis", "pelvis"]
    assert labels.label.tolist() == [-1, 1]


def test_majority():
    merged = merge_labels(one_pair(1, 1, -1), "majority")
    assert (merged.labels.label.tolist(), merged.answers.tolist()) == ([1], [3])
    assert merged.labels.confidence[0] == pytest.approx(2 / 3)
    assert merged.labels.annotator.tolist() == [""]
    assert merged.agreement == pytest.approx(1 / 3)
    assert {p.annotator: p.agreement for p in merged.annotators} == {"w0": 1.0, "w1": 1.0, "w2": 0.0}


@pytest.mark.parametrize("method", METHODS)
def test_a_tie_says_nothing(method):
    merged = merge_labels(one_pair(1, -1), method)
    assert (merged.labels.label.tolist(), merged.labels.confidence.tolist()) == ([0], [0.0])
    assert all(math.isnan(person.agreement) for person in merged.annotators)


def test_single_answers_are_no_more_certain_than_a_crowd_of_unknown_quality():
    rows = [(f"{i}", "pelvis", "spine", 1 if i % 3 else -1, "me") for i in range(300)]
    merged = merge_labels(answers(*rows))
    np.testing.assert_array_equal(merged.labels.label, [row[3] for row in rows])
    np.testing.assert_allclose(merged.labels.confidence, 0.85, atol=0.01)
    assert math.isnan(merged.agreement)
    (me,) = merged.annotators
    assert (me.answers, me.gold) == (300, 0)
    assert math.isnan(me.agreement)
    # one class only, one answer only
    single = merge_labels(one_pair(1))
    assert single.labels.label.tolist() == [1]
    assert 0.75 < single.labels.confidence[0] < 0.95


def test_agreement_makes_certain():
    confidence = [merge_labels(one_pair(*[1] * n)).labels.confidence[0] for n in (1, 2, 3, 5)]
    assert all(np.diff(confidence) > 0)
    assert confidence[-1] > 0.99


def test_a_contrarian_counts_against_what_it_says():
    random = np.random.default_rng(0)
    truth = random.choice([-1, 1], 200)
    rows = [(f"{i}", "pelvis", "spine", int(t), who) for i, t in enumerate(truth) for who in ("a", "b", "c")]
    rows += [(f"{i}", "pelvis", "spine", int(-t), "contrary") for i, t in enumerate(truth)]
    rows += [("new", "pelvis", "spine", 1, "contrary")]
    merged = merge_labels(answers(*rows))
    assert merged.labels.label[-1] == -1
    worst = min(merged.annotators, key=lambda person: person.accuracy)
    assert (worst.annotator, worst.agreement) == ("contrary", 0.0)


def test_cannot_tell_is_left_out_and_counted():
    labels = answers(
        ("x", "pelvis", "spine", 1, "ann"),
        ("x", "pelvis", "spine", 0, "bob", 0.0),
        ("y", "pelvis", "spine", 0, "ann", 0.0),
        ("y", "pelvis", "spine", 0, "eve", 0.0),
    )
    merged = merge_labels(labels)
    assert merged.labels.image.tolist() == ["x"]
    assert [(p.annotator, p.answers, p.cannot_tell) for p in merged.annotators] == [
        ("ann", 1, 1), ("bob", 0, 1), ("eve", 0, 1),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no answer to merge: there is none with a confidence above 0"):
        merge_labels(labels.select([1, 2]))


def test_same_depth_is_a_third_answer():
    labels = one_pair(0, 0, 0, 1)
    for method in METHODS:
        merged = merge_labels(labels, method)
        assert merged.labels.label.tolist() == [0]
        assert merged.labels.confidence[0] > 0.7


def test_the_latest_answer_of_a_person_counts_and_the_nameless_are_many():
    again = answers(
        ("x", "pelvis", "spine", -1, "ann", 1.0, 20.0),
        ("x", "spine", "pelvis", -1, "ann", 1.0, 10.0),
        ("y", "pelvis", "spine", 1, ""),
        ("y", "pelvis", "spine", 1, ""),
    )
    merged = merge_labels(again, "majority")
    assert merged.labels.label.tolist() == [-1, 1]
    assert merged.answers.tolist() == [1, 2]


@pytest.mark.parametrize("method", METHODS)
def test_gold(method):
    gold = answers(
        ("0", "spine", "pelvis", -1, ""), ("1", "pelvis", "spine", 1, ""), ("other", "pelvis", "spine", 1, "")
    )
    rows = [(f"{i}", "pelvis", "spine", -1, who) for i in range(3) for who in ("a", "b")]
    rows += [(f"{i}", "pelvis", "spine", 1, "right") for i in range(3)]
    merged = merge_labels(answers(*rows), method, gold)
    assert merged.labels.label[:2].tolist() == [1, 1]
    assert merged.labels.confidence[:2].tolist() == [1.0, 1.0]
    quality = {person.annotator: person for person in merged.annotators}
    assert (quality["right"].gold, quality["right"].gold_agreement) == (2, 1.0)
    assert (quality["a"].gold, quality["a"].gold_agreement) == (2, 0.0)
    if method == "dawid-skene":  # who is wrong where the truth is known is believed less elsewhere
        assert quality["a"].accuracy < quality["right"].accuracy


def test_gold_that_does_not_fit_is_refused():
    labels = one_pair(1, 1)
    with pytest.raises(InputError, match="gold labels: have the skeleton lsp14, the answers h36m17"):
        merge_labels(labels, gold=answers(("x", "neck", "head_top", 1, ""), skeleton="lsp14"))
    contrary = answers(("x", "pelvis", "spine", 1, ""), ("x", "spine", "pelvis", 1, ""))
    with pytest.raises(InputError, match="gold labels: x: the pair pelvis, spine has two different labels"):
        merge_labels(labels, gold=contrary)


def test_unknown_method_and_missing_package(monkeypatch):
    with pytest.raises(InputError, match="unknown method 'mean'; known: dawid-skene, majority"):
        merge_labels(one_pair(1), "mean")
    monkeypatch.setitem(sys.modules, "crowdkit.aggregation", None)
    with pytest.raises(InputError, match=r"merging answers needs crowd-kit: pip install 'poseterior\[annotate\]'"):
        merge_labels(one_pair(1))


def test_command_line(tmp_path, capsys):
    labels, *_ = simulate(1, 200, people=10)
    save_labels(labels, tmp_path / "labels.parquet")
    save_labels(labels.select(slice(0, 1)), tmp_path / "gold.parquet")
    Merge(tmp_path / "labels.parquet", tmp_path / "merged.parquet", gold=tmp_path / "gold.parquet").run()
    output = capsys.readouterr().out
    assert "200 pairs from 1000 answers" in output
    assert "w3" in output
    assert len(load_labels(tmp_path / "merged.parquet")) == 200
