"""Mistakes made on purpose, and the sentences that they get."""

from __future__ import annotations

import pytest
import torch
from crowd import crowd
from torch import Tensor

from poseterior.evaluation.checks import (
    Check,
    bar_factor,
    check,
    check_bars,
    check_oracle,
    check_quantities,
    check_whole_pose,
)
from poseterior.evaluation.orientations import Orientation, best_orientation, joint_assignment, size_factor
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import load

BODY = SKELETONS["h36m17"]


@pytest.fixture(scope="module")
def lifted() -> tuple[Tensor, Tensor, Tensor]:
    """Means, truths, and eight hypotheses a pose."""
    keypoints, truth = crowd()
    posterior = load("mdn")(keypoints)
    return posterior.mean, truth, posterior.sample((8,), seed=0)


@pytest.fixture(scope="module")
def everywhere() -> Tensor:
    return torch.ones(len(crowd()[1]), 17, dtype=torch.bool)


def only(found: list[Check]) -> Check:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("name", ["mdn", "relative", "supervised", "unsupervised"])
def test_right_formats_raise_no_alarm(name: str, everywhere: Tensor) -> None:
    keypoints, truth = crowd()
    posterior = load(name)(keypoints)
    found = check(posterior.mean, truth, everywhere, posterior.sample((8,), seed=0), keypoints.visible)
    assert [one for one in found if one.severity == "error" or one.kind in ("absolute", "identical")] == []


@pytest.mark.parametrize(
    ("factor", "said", "remedy"),
    [
        (1000.0, "times too large, as millimetres taken for metres would be", "divide the samples by 1000"),
        (100.0, "times too large, as centimetres taken for metres would be", "divide the samples by 100"),
        (1 / 0.0254, "times too large, as inches taken for metres would be", "divide the samples by 39.37"),
        (1e-3, "times too small", "multiply the samples by 1000"),
        (1e-2, "times too small", "multiply the samples by 100"),
        (4.0, "The bodies are 3.9 times too large. Metres", "divide the samples by 3.9"),
    ],
)
def test_units(lifted, everywhere, factor: float, said: str, remedy: str) -> None:
    mean, truth, _ = lifted
    found = only(check(factor * mean, truth, everywhere))
    assert found[:2] == ("unit", "error")
    assert said in found.sentence
    assert remedy in found.sentence


@pytest.mark.parametrize(
    ("signs", "kind", "said"),
    [
        ((1, 1, -1), "depth mirrored", "Depth is mirrored: z grows towards the camera, not away from it (only "),
        ((1, -1, 1), "y up", "y points up; here it points down, as in the picture"),
        ((-1, 1, 1), "x mirrored", "x is mirrored: it grows to the left of the picture, not to the right"),
        ((1, -1, -1), "y up, depth mirrored", "y points up and z towards the camera, as in OpenGL"),
        ((-1, 1, -1), "turned around", "The poses are turned around by 180 degrees"),
        ((-1, -1, 1), "upside down", "The poses stand upside down"),
        ((-1, -1, -1), "negated", "All coordinates have the wrong sign"),
    ],
)
def test_negated_axes(lifted, everywhere, signs: tuple[int, ...], kind: str, said: str) -> None:
    mean, truth, _ = lifted
    found = only(check(mean * torch.tensor(signs), truth, everywhere))
    assert found[:2] == (kind, "error")
    assert found.sentence.startswith(said)
    assert f"Return samples * {list(signs)}: the mean error falls from" in found.sentence


def test_the_sentence_about_mirrored_depth_has_the_right_numbers(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    sentence = only(check(mean * torch.tensor([1, 1, -1]), truth, everywhere)).sentence
    wrong = torch.combinations(torch.arange(17), 2)
    gaps = [z[:, wrong[:, 0]] - z[:, wrong[:, 1]] for z in (-mean[..., 2], truth[..., 2])]
    share = 100 * float((gaps[0].sign() == gaps[1].sign()).float().mean())
    assert f"(only {share:.0f} % of the depth orders are right)" in sentence


def test_axes_of_a_world_with_z_up(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    found = only(check(mean[..., [0, 2, 1]] * torch.tensor([1.0, 1.0, -1.0]), truth, everywhere))
    assert found[:2] == ("axes", "error")
    assert "what should be (x, y, z) is your (x, -z, y). Return samples[..., [0, 2, 1]] * [1, -1, 1]" in found.sentence


def test_left_and_right(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    swapped = mean[:, list(BODY.mirror)]
    found = only(check(swapped, truth, everywhere))
    assert found[:2] == ("left and right", "error")
    assert "Exchange the two sides' joints" in found.sentence
    both = only(check(swapped * torch.tensor([1, 1, -1]), truth, everywhere))
    assert both.kind == "depth mirrored, left and right"


def test_shuffled_joints(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    order = torch.randperm(17, generator=torch.Generator().manual_seed(3))
    shuffled = mean[:, order]
    found = only(check(shuffled - shuffled[:, :1], truth, everywhere))
    assert found[:2] == ("joints", "error")
    for joint, true in [(j, int(t)) for j, t in enumerate(order) if j != t][:4]:
        assert f"your {BODY.joints[joint]} lies where the {BODY.joints[true]} is" in found.sentence
    assert "and 10 more" in found.sentence


def test_two_joints_exchanged(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    order = list(range(17))
    knee, ankle = BODY.index("left_knee"), BODY.index("right_ankle")
    order[knee], order[ankle] = ankle, knee
    sentence = only(check(mean[:, order], truth, everywhere)).sentence
    assert sentence.startswith("2 of 17 joints are in the place of others: your right_ankle lies where the left_knee")
    assert "your left_knee lies where the right_ankle is" in sentence


@pytest.mark.parametrize("name", ["coco17", "mpi17"])
def test_the_order_of_another_skeleton_is_known_by_name(lifted, everywhere, name: str) -> None:
    mean, truth, _ = lifted
    rows = [BODY.index(j) if j in BODY.joints else BODY.index("neck_nose") for j in SKELETONS[name].joints]
    other = mean[:, rows] + 0.02 * torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    found = only(check(other - other[:, :1], truth, everywhere))
    assert found[:2] == ("joints", "error")
    assert found.sentence.startswith(f"The joints come in the order of {name}, not of h36m17")


def test_several_mistakes_at_once_are_all_named(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    order = torch.randperm(17, generator=torch.Generator().manual_seed(4))
    wrong = 1000 * (mean[:, order] - mean[:, order[:1]]) * torch.tensor([1, 1, -1])
    assert [one.kind for one in check(wrong, truth, everywhere)] == ["unit", "joints", "depth mirrored"]


def test_a_joint_that_the_truth_lacks_changes_nothing(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    valid, holed = everywhere.clone(), truth.clone()
    valid[:, BODY.index("head_top")] = False
    holed[:, BODY.index("head_top")] = float("nan")
    assert check(mean, holed, valid) == []
    assert [one.kind for one in check(1000 * mean * torch.tensor([1, 1, -1]), holed, valid)] == [
        "unit",
        "depth mirrored",
    ]


def test_the_same_answer_for_every_input(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    for answer in (mean[:1].expand_as(mean), torch.zeros_like(mean)):
        found = only(check(answer, truth, everywhere))
        assert found[:2] == ("constant", "error")
        assert found.sentence.startswith("All 200 inputs get the same answer")


def test_answers_of_other_inputs(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    found = only(check(mean.roll(7, 0), truth, everywhere))
    assert found[:2] == ("unrelated", "error")
    assert "Check that rows are in the order of the keypoints" in found.sentence


def test_a_method_that_knows_nothing_of_hidden_joints_is_only_poor(lifted, everywhere) -> None:
    """Its answers do belong to their inputs: the joints that it saw say so."""
    mean, truth, _ = lifted
    hidden = [j for j in range(1, 17) if BODY.joints[j] not in ("left_elbow", "left_wrist", "head_top")]
    visible = everywhere.clone()
    visible[:, hidden] = False
    poor = mean.clone()
    noise = 0.4 * torch.randn(len(mean), len(hidden), 3, generator=torch.Generator().manual_seed(0))
    poor[:, hidden] = mean.roll(7, 0)[:, hidden] + noise
    assert [one.kind for one in check(poor, truth, everywhere) if one.severity == "error"] == ["unrelated"]
    assert [one.kind for one in check(poor, truth, everywhere, visible=visible) if one.severity == "error"] == []


def test_absolute_poses(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    assert only(check(mean, truth, everywhere, root_offset=4.1))[:2] == ("absolute", "warning")
    assert check(mean, truth, everywhere, root_offset=0.01) == []


@pytest.mark.parametrize(("factor", "said"), [(0.85, "too small on average"), (1.2, "too large on average")])
def test_bodies_of_the_wrong_size(lifted, everywhere, factor: float, said: str) -> None:
    mean, truth, _ = lifted
    found = only(check(factor * mean, truth, everywhere))
    assert found[:2] == ("size", "warning")
    assert said in found.sentence
    assert size_factor(factor * mean, truth, everywhere) == pytest.approx(factor * size_factor(mean, truth, everywhere))


def test_a_blurred_but_right_mean_is_not_called_small(everywhere) -> None:
    # The truth is the mean plus noise that nobody could know: the mean is the smaller of the two.
    _, mean = crowd()
    truth = mean + 0.15 * torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    assert size_factor(mean, truth, everywhere) < 0.95
    assert check(mean, truth, everywhere) == []


def test_identical_hypotheses_have_no_bars_to_judge(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    measured = {"calibration": {"visible": {"signed": 0.5}}, "bars": {"visible": 1e5}}
    found = only(check(mean, truth, everywhere, mean.expand(8, -1, -1, -1), measured=measured))
    assert found[:2] == ("identical", "warning")


def test_missing_joints_as_certain_as_seen_ones(lifted, everywhere) -> None:
    mean, truth, samples = lifted
    visible = crowd()[0].visible
    assert check(mean, truth, everywhere, samples, visible) == []
    same = mean + 0.05 * torch.randn(samples.shape, generator=torch.Generator().manual_seed(0))
    found = only(check(mean, truth, everywhere, same - same[..., :1, :], visible))
    assert found[:2] == ("missing joints", "warning")
    assert "Check that the method reads keypoints.visible" in found.sentence
    right = {"calibration": {"missing": {"signed": 0.02}}}
    assert check(mean, truth, everywhere, same - same[..., :1, :], visible, right) == []


def test_bars_too_short_and_too_long() -> None:
    measured = {
        "calibration": {"visible": {"signed": 0.21}, "missing": {"signed": -0.15}},
        "bars": {"visible": 1.83, "missing": 0.7},
    }
    short, long = check_bars(measured)
    assert short[:2] == ("over-confident", "warning")
    assert "Error bars of visible joints are too short (signed calibration +0.21; 0 is right, 0.5" in short.sentence
    assert "once multiplied by 1.8." in short.sentence
    assert long[:2] == ("under-confident", "warning")
    assert "Error bars of missing joints are too long" in long.sentence
    assert check_bars({"calibration": {"visible": {"signed": 0.05}, "missing": {}}}) == []
    assert check_bars({}) == []


def test_the_factor_of_bars_is_how_much_too_short_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(2000, 400, 3, generator=generator)
    truth = 1.5 * torch.randn(400, 3, generator=generator)
    centre = samples.median(0).values
    radius = (samples - centre).norm(dim=-1).quantile(0.9, dim=0)
    distance = (truth - centre).norm(dim=-1)
    counted = torch.ones(400, dtype=torch.bool)
    factor = bar_factor(distance, radius, counted)
    assert factor == pytest.approx(1.5, rel=0.06)
    assert float((distance <= factor * radius).float().mean()) == pytest.approx(0.9, abs=0.003)


def test_oracles_are_put_in_their_place() -> None:
    estimates = {"mean": {"MPJPE": 52.0}, "medoid": {"MPJPE": 50.4}, "best of 200": {"MPJPE": 21.0}}
    found = only(check_oracle({"estimates": estimates, "oracles": ["best of 200", "J-Agg"]}))
    assert found == Check(
        "oracle",
        "note",
        "The best of 200 is 21 mm from the truth, but picking it takes the truth: none of the rules tried here that "
        "do not look gets below 50 mm (medoid).",
    )
    assert check_oracle({"estimates": {"mean": {"MPJPE": 52.0}}, "oracles": []}) == []


def test_every_orientation_is_found_and_undone(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    given = Orientation((2, 0, 1), (1, -1, -1), True)
    found = best_orientation(given.read(mean), truth, everywhere)
    assert torch.allclose(found.read(given.read(mean)), mean)
    assert best_orientation(mean, truth, everywhere) == Orientation()


def test_joints_are_assigned_to_where_they_are(lifted, everywhere) -> None:
    mean, truth, _ = lifted
    order = torch.randperm(17, generator=torch.Generator().manual_seed(5))
    assert joint_assignment(mean[:, order], truth, everywhere) == tuple(order.tolist())


# -- the pose as a whole ---------------------------------------------------------------------------------------

LEVELS = [round(0.05 * i, 2) for i in range(21)]


def curve(exponent: float, inside: bool) -> dict:
    coverage = [round(level**exponent, 4) for level in LEVELS]
    error = sum(abs(a - b) for a, b in zip(LEVELS, coverage, strict=True)) / 21
    return {"levels": LEVELS, "coverage": coverage, "error": error, "inside": inside}


def test_a_density_that_is_wrong_for_the_whole_pose() -> None:
    found = only(check_whole_pose({"density coverage": curve(0.5, False)}))
    assert found[:2] == ("whole pose", "warning")
    assert "regions of highest density that claim 25 % hold 50 % of the truths (coverage error 0.16)" in found.sentence
    assert "Do not read `log_prob` as the probability of a whole pose" in found.sentence


def test_without_a_density_balls_around_other_poses_tell() -> None:
    found = only(check_whole_pose({"TARP": curve(2.0, False)}))
    assert found.kind == "whole pose"
    assert "that should hold 50 % of the truths hold 25 % (coverage error 0.16)" in found.sentence


def test_what_chance_or_a_trifle_explains_is_not_said() -> None:
    assert check_whole_pose({"density coverage": curve(0.5, True)}) == []
    assert check_whole_pose({"density coverage": curve(0.95, False)}) == []
    # the density speaks for itself, whatever balls around other poses say
    assert check_whole_pose({"density coverage": curve(1.0, True), "TARP": curve(2.0, False)}) == []
    assert check_whole_pose({}) == []


def test_wrong_quantities_are_named_with_how() -> None:
    flat, ends = [10] * 20, [40, 20, *[5] * 16, 20, 40]
    histograms = {
        "size of the body": [0] * 10 + [20] * 10,
        "depth of head": [*range(20, 0, -1)],
        "angle of left knee": ends,
        "angle of right knee": [1, 2, 4, 8, 12, 16, 18, 18, 18, 18, 18, 18, 18, 18, 16, 12, 8, 4, 2, 1],
        "depth of left wrist": flat,
    }
    p_values = dict.fromkeys(histograms, 1e-6) | {"size of the body": 0.0, "depth of left wrist": 0.3}
    found = only(check_quantities({"SBC": {"p values": p_values, "level": 0.002, "histograms": histograms}}))
    assert found[:2] == ("quantities", "warning")
    assert found.sentence == (
        "What the hypotheses say of 4 of 5 quantities is wrong beyond chance: size of the body (the truth is larger "
        "than 75 % of them on average; p < 1e-9); depth of head (the truth is smaller than 66 % of them on average; "
        "p = 1e-06); angle of left knee (they are too sure of it; p = 1e-06); angle of right knee (they are too unsure "
        "of it; p = 1e-06)."
    )
    # as good as uniform, however sure that it is not quite
    nearly = {"p values": {"a": 1e-9}, "level": 0.01, "histograms": {"a": [101, 99] * 10}}
    assert check_quantities({"SBC": nearly}) == []
    assert check_quantities({}) == []


def test_many_wrong_quantities_are_counted() -> None:
    names = [f"quantity {i}" for i in range(7)]
    sbc = {"p values": dict.fromkeys(names, 1e-5), "level": 0.001, "histograms": {n: [9, 1] * 10 for n in names}}
    sbc["histograms"] = {name: [0] * 10 + [20] * 10 for name in names}
    assert only(check_quantities({"SBC": sbc})).sentence.endswith("; and 3 more.")


def test_the_whole_pose_is_judged_with_the_rest(lifted, everywhere) -> None:
    mean, truth, samples = lifted
    measured = {"density coverage": curve(0.5, False)}
    assert [one.kind for one in check(mean, truth, everywhere, samples, measured=measured)] == ["whole pose"]
