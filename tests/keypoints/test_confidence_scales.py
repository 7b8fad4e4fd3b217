"""Scales of scores: rules that keep the order of joints, and how a scale is told from a distribution."""

from __future__ import annotations

import numpy as np
import pytest

from poseterior.keypoints.scores import SCALES, confidence_of, judge_scale


@pytest.mark.parametrize("scale", SCALES)
def test_rules_keep_the_order_and_stay_between_0_and_1(scale: str) -> None:
    scores = {"percent": np.linspace(0, 100, 50), "logit": np.linspace(-8, 12, 50)}.get(scale, np.linspace(0, 1, 50))
    confidence = confidence_of(scores, scale)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert (np.diff(confidence) >= 0).all()
    assert np.isnan(confidence_of(np.array([np.nan]), scale)).all()


def test_known_values() -> None:
    assert confidence_of(np.array([0.3, 0.075, 0.003]), "peak") == pytest.approx([1, 0.5, 0.1])
    assert confidence_of(np.array([87.0]), "percent") == pytest.approx([0.87])
    assert confidence_of(np.array([0.0, np.log(3), -800.0]), "logit") == pytest.approx([0.5, 0.75, 0])
    assert confidence_of(np.array([0.0, np.log(4)]), "sum") == pytest.approx([0, 0.75])
    scores = np.array([0.2, 1.3])
    assert confidence_of(scores, "probability") is scores


@pytest.mark.parametrize("people", [1, 3, 200])
def test_scales_are_told_from_the_distribution(people: int) -> None:
    generator = np.random.default_rng(people)
    beta = generator.beta(8, 2, (people, 17))
    assert judge_scale(beta) == "probability"
    assert judge_scale(generator.uniform(0.1, 0.5, (people, 17))) == "probability"
    assert judge_scale(beta * 1.1) == "probability"  # maps that were learnt by regression
    assert judge_scale(generator.choice([0.0, 1.0], (people, 17))) == "probability"
    assert judge_scale(np.full((people, 17), 0.05)) == "probability"
    assert judge_scale(beta * np.where(generator.random((people, 17)) < 0.4, 0.02, 1)) == "probability"
    assert judge_scale(generator.uniform(0.04, 0.3, (people, 17)) ** 1.5 + 0.03) == "peak"
    assert judge_scale(beta * 100) == "percent"
    assert judge_scale(generator.normal(3, 3, (people, 17))) == "logit"
    assert judge_scale(generator.uniform(3, 12, (people, 17))) == "logit"
    assert judge_scale(beta * 6) == "sum"
    assert judge_scale(generator.choice([0.0, 1.0, 2.0], (people, 17))) == "label"
    assert judge_scale(beta * 255) == "unknown"


def test_few_scores_tell_nothing_and_marks_are_no_logits() -> None:
    assert judge_scale(np.array([0.05, 0.1, 0.2])) == "probability"
    assert judge_scale(np.array([])) == "probability"
    assert judge_scale(np.array([0.9, 0.8, -1.0, -1.0, -1.0, 0.7, 0.6, 0.5, 0.4, -1.0, 0.3])) == "probability"
