"""Merging the answers of several annotators."""

import math
import subprocess
import sys

import numpy as np
import pytest

from poseterior.cli.labels import Merge
from poseterior.data.labels.labels import DepthLabels, load_labels, save_labels
from poseterior.data.labels.merging import METHODS, in_skeleton_order, merge_labels
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS

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


@pytest.mark.parametrize("method", METHODS)
def test_single_answers_are_no_more_certain_than_a_coin(method):
    rows = [(f"{i}", "pelvis", "spine", 1 if i % 3 else -1, "me") for i in range(300)]
    merged = merge_labels(answers(*rows), method)
    np.testing.assert_array_equal(merged.labels.label, [row[3] for row in rows])
    np.testing.assert_array_equal(merged.labels.confidence, 0.5)
    assert math.isnan(merged.agreement)
    assert not merged.known
    (me,) = merged.annotators
    assert (me.answers, me.gold, me.judged, me.known) == (300, 0, 0, False)
    assert math.isnan(me.agreement)
    assert math.isnan(me.accuracy)
    # one class only, one answer only
    single = merge_labels(one_pair(1), method)
    assert (single.labels.label.tolist(), single.labels.confidence.tolist()) == ([1], [0.5])
    three = merge_labels(answers(("x", "pelvis", "spine", 0, "me"), ("y", "pelvis", "spine", 1, "me")), method)
    assert three.labels.label.tolist() == [0, 1]
    np.testing.assert_allclose(three.labels.confidence, 1 / 3, rtol=1e-6)


def test_people_who_click_at_random_are_found_out():
    """Mean of 20 couples of random clickers: what is written is what coins deserve; one alone is not judged at all."""
    written = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        rows = [(f"{i}", "pelvis", "spine", int(random.choice([-1, 1])), who) for i in range(200) for who in "ab"]
        merged = merge_labels(answers(*rows))
        assert merged.known
        written.append(merged.labels.confidence[merged.labels.label != 0].mean())
        assert max(person.accuracy for person in merged.annotators) < 0.75
    assert np.mean(written) < 0.65


def test_gold_questions_judge_somebody_who_is_alone():
    random = np.random.default_rng(0)
    truth = random.choice([-1, 1], 400)
    rows = [(f"{i}", "pelvis", "spine", int(t), "") for i, t in enumerate(truth)]
    gold = answers(*rows[:40])
    for skill, low, high in ((0.95, 0.85, 0.97), (0.5, 0.4, 0.62)):
        said = np.where(random.random(400) < skill, truth, -truth)
        merged = merge_labels(
            answers(*((f"{i}", "pelvis", "spine", int(said[i]), "me") for i in range(400))), gold=gold
        )
        (me,) = merged.annotators
        assert (me.judged, me.known) == (40, True)
        assert low < me.accuracy < high
        assert low < merged.labels.confidence[40:].mean() < high


def test_quality_of_few_answers_is_not_told():
    rows = [(f"{i}", "pelvis", "spine", 1, "many") for i in range(50)]
    rows += [(f"{i}", "pelvis", "spine", 1, "few") for i in range(9)]
    found = {person.annotator: person for person in merge_labels(answers(*rows)).annotators}
    assert [(name, found[name].judged, found[name].known) for name in ("many", "few")] == [
        ("many", 9, False), ("few", 9, False),
    ]  # fmt: skip
    rows += [("9", "pelvis", "spine", 1, "few")]
    assert all(person.known for person in merge_labels(answers(*rows)).annotators)


def test_fast_and_one_sided_answers_are_flagged():
    random = np.random.default_rng(1)

    def of(who: str, pause: float, sides: list[int]) -> list[tuple]:
        return [(f"{i}", "pelvis", "spine", int(random.choice(sides)), who, 1.0, 1.7e9 + i * pause) for i in range(60)]

    rows = of("honest", 3.0, [-1, 1]) + of("hasty", 0.3, [-1, 1]) + of("lopsided", 3.0, [1])
    rows += of("imported", 0.0, [-1, 1]) + of("undated", math.nan, [-1, 1])
    flags = {person.annotator: person.flags for person in merge_labels(answers(*rows)).annotators}
    assert flags == {
        "honest": (), "imported": (), "undated": (),
        "hasty": ("100% of the answers came faster than a person can look (0.7 s)",),
        "lopsided": ("100% of the answers are the same",),
    }  # fmt: skip


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


def test_unknown_method():
    with pytest.raises(InputError, match="unknown method 'mean'; known: dawid-skene, majority"):
        merge_labels(one_pair(1), "mean")


def test_merging_needs_no_other_package():
    code = (
        "import sys; from poseterior.data.labels import merging; "
        "print([m for m in ('crowdkit', 'pandas', 'transformers', 'sklearn') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("method", METHODS)
def test_command_line_says_what_is_not_known(tmp_path, capsys, method):
    rows = [(f"{i}", "pelvis", "spine", 1 if i % 3 else -1, "me", 1.0, 1.7e9 + 0.3 * i) for i in range(40)]
    save_labels(answers(*rows), tmp_path / "labels.parquet")
    Merge(tmp_path / "labels.parquet", tmp_path / "merged.parquet", method).run()
    output = capsys.readouterr().out
    assert "not known yet" in output
    assert "look at me: 100% of the answers came faster than a person can look (0.7 s)" in output
    assert "40 pairs from 40 answers, confidence not known yet (that of a coin is written)" in output
    assert "85.0" not in output
    assert "0.85" not in output
    assert load_labels(tmp_path / "merged.parquet").confidence.max() == 0.5


def test_command_line(tmp_path, capsys):
    labels, *_ = simulate(1, 200, people=10)
    save_labels(labels, tmp_path / "labels.parquet")
    save_labels(labels.select(slice(0, 1)), tmp_path / "gold.parquet")
    Merge(tmp_path / "labels.parquet", tmp_path / "merged.parquet", gold=tmp_path / "gold.parquet").run()
    output = capsys.readouterr().out
    assert "200 pairs from 1000 answers" in output
    assert "w3" in output
    assert len(load_labels(tmp_path / "merged.parquet")) == 200
