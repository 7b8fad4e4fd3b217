"""The printed tables of `poseterior bench --rotations`: every task in words, with units, and nothing raw."""

import io
import math

import pytest
from rich.console import Console

from conftest import made_up_store
from poseterior.cli._rotation_tables import HIDDEN, calibration_lines
from poseterior.cli._rotations import _print
from poseterior.experiments.rotations import rotation_tasks
from poseterior.metrics.rotations import OCCLUSIONS


def errors(scale=1.0):
    keys = ("mpjpe one", "mpjpe mean", "mpjpe best", "angle observable", "angle none", "angle mean of 10")
    return {"LL": [200.0 * scale, 190.0 * scale]} | {key: scale * (n + 1) for n, key in enumerate(keys)}


def of_prior():
    keys = ("precision", "recall", "density", "coverage", "nearest precision", "nearest recall", "wasserstein")
    return {key: 0.1 * (n + 1) for n, key in enumerate(keys)}


def row(name="rotations", **more):
    tasks = {key: errors() for key in HIDDEN}
    return {"lifter": name, "parameters": 2681957, "prior test": of_prior(), "prior LL": [12.0, 7.0]} | tasks | more


def printed(rows, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    _print(console, rows, "100 poses of store")
    return console.export_text()


def test_every_task_has_words():
    assert set(HIDDEN) == {"ik", "ik smpl22", "ik random", "lift", *(f"ik {name}" for name in OCCLUSIONS)}


def test_one_lifter_has_a_line_a_task_with_units_and_a_legend():
    text = printed([row()])
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "left leg 200.0 (190.0) 1.0 2.0 3.0 4.0 5.0" in lines
    assert "each point by chance 200.0 (190.0) 1.0 2.0 3.0 – –" in lines  # other joints are told in every pose
    assert "poses with a draw nearby (coverage, %) 40.0" in lines
    assert "distance of the two sets (Wasserstein, rad) 0.70" in lines
    assert "log-lik. of poses (nats) 12.0 (7.0)" in lines
    assert "in brackets without the collars" in " ".join(lines)
    assert sum(line.strip() != "" for line in lines) < 40
    # no key of the JSON, nothing cut off
    assert not [raw for raw in ("ik ", "mpjpe", "chain (L)", "angle none", "LL", "…") if raw in text]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("width", [80, 150])
def test_lifters_stand_below_each_other_in_groups(width):
    prior_alone = {key: value for key, value in row("runs/vae/weights").items() if key not in HIDDEN}
    del prior_alone["prior LL"]
    coupled = row("runs/coupling/weights", ik=errors() | {"LL": [158.0, math.nan]}) | {"prior train": of_prior()}
    text = printed([row(), coupled, prior_alone], width)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    at = lines.index("nothing")
    assert lines[at + 1 : at + 3] == [
        "rotations 200.0 (190.0) 1.0 2.0 3.0 4.0 5.0",
        "coupling 158.0 1.0 2.0 3.0 4.0 5.0",
    ]
    assert "log-lik. of poses (nats) 12.0 (7.0) 12.0 (7.0) –" in lines
    assert "poses that it was trained on" in lines
    assert "…" not in text
    assert "nan" not in text


def test_calibration_is_said_in_words():
    ranks = {"alike in all directions": {"head": 0.4, "left_elbow": 0.002}}
    assert calibration_lines([row(ranks=ranks)]) == [
        "rotations, points uncertain alike in all directions: ranks of the truth among 100 samples are uniform for 1 "
        "of 2 joints (Kolmogorov-Smirnov p above 0.01; least 0.002, left elbow)"
    ]


@pytest.mark.slow
def test_what_is_measured_is_what_is_printed(tmp_path):
    measured = rotation_tasks("rotations", made_up_store(tmp_path / "store"), None, 10)
    assert {key for key in measured if key.startswith("ik")} | {"lift"} == set(HIDDEN)
    text = printed([measured])
    assert all(words in text for words in HIDDEN.values())
    assert f"{measured['ik']['mpjpe best']:.1f}" in text
