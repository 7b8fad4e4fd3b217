"""Pictures of the relative-depth experiments, of made-up results."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from poseterior.experiments import figures as relative_figures
from poseterior.experiments.crowd_figures import crowd_figure, finetuning_figure
from poseterior.experiments.figures import (
    ablation_figure,
    cumulative_figure,
    joint_figure,
    keypoint_noise_figure,
    label_noise_figure,
    order_figure,
    save_relative_figures,
    supervision_figure,
)
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.view.photos import read_photo

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
FILES = [
    "supervision.png", "joints.png", "cumulative.png", "keypoint-noise.png", "label-noise.png", "ablations.png",
    "depth-order.png", "crowd.png", "fine-tuning.png",
]  # fmt: skip


def measures(error: float, order: float) -> dict[str, Any]:
    gaps = [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, None]
    near, far = 2 * order - 1, 1.0
    accuracy = [0.5 + 0.5 * (near + (far - near) * i / 5) * min(1.0, 0.25 + 0.2 * i) for i in range(6)]
    rows = [
        {"from": low, "to": high, "accuracy": a, "pairs": 1000 * (i + 1)}
        for i, (low, high, a) in enumerate(zip(gaps[:-1], gaps[1:], accuracy, strict=True))
    ]
    joints = {
        name: {"mean": error * (0.5 + 0.06 * i), "std": 0.3 * error * (0.5 + 0.06 * i)}
        for i, name in enumerate(get_skeleton("h36m17").joints)
    }
    cumulative = error * np.exp(0.45 * np.sqrt(2) * np.linspace(-1.6, 2.0, 200))
    return {
        "P-MPJPE": error, "N-MPJPE": 1.3 * error, "MPJPE": 1.4 * error, "order accuracy": order, "order by gap": rows,
        "per joint": joints, "cumulative": cumulative.tolist(),
    }  # fmt: skip


def run(group: str, method: str, label: str, error: float, order: float = 0.88, **more: Any) -> dict[str, Any]:
    rest = {"megabytes": None, "noise": None, "flip": None, **more}
    return {"group": group, "method": method, "label": label, **rest, **measures(error, order)}


def made_up() -> dict[str, Any]:
    runs = {"supervised": run("budget", "supervised", "100 %", 32.3, 0.925, megabytes=79.5)}
    for percent, error in ((0.0625, 61.0), (0.125, 55.0), (0.25, 50.0), (5, 38.0), (25, 34.0)):
        name = f"{percent:g} %"
        runs[f"supervised {name}"] = run("budget", "supervised", name, error, 0.9, megabytes=0.795 * percent)
    runs["relative"] = run("budget", "relative", "100 %, 1 pair", 52.3, megabytes=0.195)
    for label, megabytes, error in (
        ("25 %, 1 pair", 0.049, 58.8),
        ("50 %, 1 pair", 0.097, 55.0),
        ("100 %, 17 pairs", 3.3, 47.0),
        ("100 %, all pairs", 26.5, 45.1),
    ):
        runs[f"relative {label}"] = run("budget", "relative", label, error, megabytes=megabytes)
    runs["mixture"] = run("budget", "mixture", "mixture, 1 pair", 50.0, 0.9, megabytes=0.195)
    for label, error in (
        ("template: generic person", 52.3),
        ("template: measured", 50.4),
        ("template: per sample", 48.9),
        ("limb weight 0", 54.2),
        ("tolerance 100 mm", 53.0),
        ("all pairs", 45.1),
        ("perspective camera", 51.2),
    ):
        runs[f"ablation {label}"] = run("ablation", "relative", label, error)
    for method, error in (("supervised", 32.3), ("relative", 52.3)):
        for px in (5.0, 10.0, 15.0, 20.0):
            for train in (0.0, px):
                worse = error + px * (1.1 if train == 0 else 0.6)
                name = f"noise {method} {train:g} {px:g}"
                runs[name] = run("noise2d", method, name, worse, noise={"train": train, "test": px})
    for flip, error in ((1.0, 134.0), (0.5, 180.0), ("crowd", 62.6), (0.25, 70.0), (0.75, 150.0)):
        runs[f"flip {flip}"] = run("labelnoise", "relative", f"flip {flip}", error, flip=flip)
    for share, error in ((0.1, 51.0), (0.5, 49.0), (1.0, 47.5)):
        runs[f"crowd-{share:g}"] = run("crowd", "relative", f"crowd, {share:.0%} of the labels", error, 0.9)
    flat, mean = measures(76.9, 0.5), measures(143.0, 0.748)
    for row in flat["order by gap"]:
        row["accuracy"] = 0.0
    baselines = {"flat depth": flat, "mean pose": mean}
    return {"runs": runs, "baselines": baselines, "size": "full", "crowd": answers_of_a_crowd()}


def answers_of_a_crowd() -> dict[str, Any]:
    """A crowd that is right at the published rate in the middle of each gap but the last, where it is always right."""
    rows = []
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, None)):
        share = 1.0 if high is None else 0.5 + 1.25 * (low + high) / 2
        rows.append({"from": low, "to": high, "labels": 400, "accuracy": share, "error": 0.01, "published": share})
    joints = get_skeleton("h36m17").joints
    return {"labels": 1200, "by gap": rows, "per joint": {name: 0.6 + 0.02 * i for i, name in enumerate(joints)}}


def only(**kept: Any) -> dict[str, Any]:
    """The made-up results with the runs that have these fields, and no baselines."""
    results = made_up()
    runs = {name: r for name, r in results["runs"].items() if all(r[key] == value for key, value in kept.items())}
    return {"runs": runs, "size": "quick"}


def curves(axes: Any) -> dict[str, list[list[float]]]:
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines if line.get_label()[0] != "_"}


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


# -- each figure -------------------------------------------------------------------------------------------


def test_supervision_is_drawn_by_size_with_direct_labels() -> None:
    (axes,) = supervision_figure(made_up()).axes
    assert axes.get_xscale() == "log"
    lines = curves(axes)
    assert list(lines) == ["supervised", "relative", "mixture"]
    assert lines["supervised"][0] == pytest.approx([0.0496875, 61.0])
    assert lines["relative"] == [[0.049, 58.8], [0.097, 55.0], [0.195, 52.3], [3.3, 47.0], [26.5, 45.1]]
    assert all(line == sorted(line) for line in lines.values())
    shown = texts(axes)
    assert {
        "supervised",
        "relative",
        "100\N{NO-BREAK SPACE}%, 17\npairs",
        "0.0625\N{NO-BREAK SPACE}%",
        "flat depth",
    } <= set(shown)
    assert axes.get_ylim()[0] == 0
    assert axes.get_legend() is None
    assert {to_hex(line.get_color()) for line in axes.lines} >= {BLUE, ORANGE, GREEN}


def test_points_that_stand_close_together_are_labelled_above_and_beneath() -> None:
    errors = {"lowest": 50.0, "highest": 52.0, "between": 51.0, "equal": 52.0}
    runs = {label: run("budget", "relative", label, error, megabytes=0.2) for label, error in errors.items()}
    runs["elsewhere"] = run("budget", "relative", "elsewhere", 50.0, megabytes=9.0)
    (axes,) = supervision_figure({"runs": runs}).axes
    above = {text.get_text(): text.get_va() == "bottom" for text in axes.texts}
    assert above == {"lowest": False, "equal": True, "elsewhere": True, "relative": False}


def test_sides_of_the_body_are_pooled() -> None:
    results = only(group="budget")
    results["runs"]["relative"]["per joint"] = {
        "left_hip": {"mean": 10.0, "std": 3.0},
        "right_hip": {"mean": 20.0, "std": 4.0},
        "pelvis": {"mean": 5.0, "std": 1.0},
    }
    del results["runs"]["supervised"], results["runs"]["mixture"]
    results["runs"] = {"relative": results["runs"]["relative"]}
    (axes,) = joint_figure(results).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hip", "pelvis"]
    (bars,) = [c for c in axes.containers if hasattr(c, "patches")]
    assert [bar.get_width() for bar in bars] == [15.0, 5.0]
    # one cloud of two: mean variance (9 + 16) / 2 plus the means' own, 25
    whisker = bars.errorbar.lines[2][0].get_segments()[0]
    assert whisker[1][0] - 15.0 == pytest.approx(np.sqrt(37.5))


def test_joints_of_the_main_runs_stand_side_by_side() -> None:
    figure = joint_figure(made_up())
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["pelvis", "hip", "knee", "ankle", "spine", "thorax", "neck nose", "head top", "shoulder",
                     "elbow", "wrist"]  # fmt: skip
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["supervised", "relative", "mixture"]


def test_cumulative_curve_has_the_percentiles() -> None:
    results = only(group="budget")
    results["runs"]["supervised"]["cumulative"] = np.linspace(0.0, 100.0, 200).tolist()
    (axes,) = cumulative_figure(results).axes
    assert list(curves(axes)) == ["supervised", "relative", "mixture"]
    marks = axes.lines[1].get_xydata()
    np.testing.assert_allclose(marks, [[25, 25], [50, 50], [68.3, 68.3], [95.4, 95.4]])
    cells = {place: cell.get_text().get_text() for place, cell in axes.tables[0].get_celld().items()}
    assert [cells[0, i] for i in range(5)] == ["share of poses", "25 %", "50 %", "68.3 %", "95.4 %"]
    assert [cells[1, i] for i in range(5)] == ["supervised (mm)", "25", "50", "68", "95"]


def test_keypoint_noise_has_a_panel_for_each_protocol() -> None:
    alone, both = keypoint_noise_figure(made_up()).axes
    assert (alone.get_title(), both.get_title()) == ("noise at test only", "the same noise at training and test")
    # noise 0 is the main run's
    expected = [[0, 32.3], [5, 37.8], [10, 43.3], [15, 48.8], [20, 54.3]]
    np.testing.assert_allclose(curves(alone)["supervised"], expected)
    np.testing.assert_allclose(curves(both)["relative"], [[0, 52.3], [5, 55.3], [10, 58.3], [15, 61.3], [20, 64.3]])
    own = only(group="noise2d", method="relative")
    own["runs"]["zero"] = run("noise2d", "relative", "", 50.0, noise={"train": 0.0, "test": 0.0})
    own["runs"]["other"] = run("noise2d", "relative", "", 99.0, noise={"train": 5.0, "test": 20.0})
    alone, both = keypoint_noise_figure(own).axes
    assert curves(alone)["relative"][0] == curves(both)["relative"][0] == [0.0, 50.0]
    assert 99.0 not in [y for line in (*curves(alone).values(), *curves(both).values()) for _, y in line]
    (axes,) = keypoint_noise_figure(
        {"runs": {"x": run("noise2d", "mixture", "", 60.0, noise={"train": 5.0, "test": 5.0})}}
    ).axes
    assert axes.get_title() == "the same noise at training and test"


def test_label_noise_stands_in_the_published_order() -> None:
    (axes,) = label_noise_figure(made_up()).axes
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["0", "0.25", "like a crowd", "0.5", "0.75", "1"]
    assert [bar.get_height() for bar in axes.containers[0]] == [52.3, 70.0, 62.6, 180.0, 150.0, 134.0]
    assert {"52", "70", "63", "180", "150", "134", "flat depth"} == set(texts(axes))
    assert axes.get_title(loc="left") == "Error against the noise of the labels: relative"


def test_ablations_stand_beside_the_main_runs() -> None:
    (axes,) = ablation_figure(made_up()).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:4] == [
        "supervised: 100 %",
        "relative: 100 %, 1 pair",
        "mixture: mixture, 1 pair",
        "template: generic person",
    ]
    assert len(names) == 10
    assert [bars[0].get_width() for bars in axes.containers][-2:] == [45.1, 51.2]


def test_order_is_drawn_by_gap() -> None:
    results = made_up()
    results["runs"]["relative"]["order by gap"][0]["accuracy"] = None
    (axes,) = order_figure(results).axes
    lines = curves(axes)
    assert list(lines) == ["supervised", "relative", "mixture", "mean pose"]
    assert [x for x, _ in lines["relative"]] == [1, 2, 3, 4, 5]
    assert lines["supervised"][-1] == [5, pytest.approx(100.0)]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[0] == "0–20\n5 % of pairs"
    assert names[-1] == "above 400\n29 % of pairs"


def test_a_crowd_is_drawn_beside_the_published_one() -> None:
    left, right = crowd_figure(made_up()).axes
    lines = curves(left)
    gap, share = np.asarray(lines["published crowd"]).T
    assert np.interp([0.0, 200.0], gap, share) == pytest.approx([50.0, 75.0])
    assert share[gap >= 400.0] == pytest.approx(100.0)
    (drawn,) = left.containers
    points = drawn.lines[0].get_xydata()
    assert points.tolist() == [pytest.approx(p) for p in ([50.0, 56.25], [200.0, 75.0], [350.0, 100.0])]
    # Where a crowd is as good as the published one it lies on its line.
    assert np.interp(points[:2, 0], gap, share) == pytest.approx(points[:2, 1], abs=0.05)
    names = [label.get_text() for label in right.get_yticklabels()]
    widths = [bar.get_width() for bar in right.patches]
    assert widths == sorted(widths, reverse=True)
    knees = [60 + 2 * get_skeleton("h36m17").index(f"{side}_knee") for side in ("left", "right")]
    assert widths[names.index("knee")] == pytest.approx(np.mean(knees))
    assert len(names) == 11


def test_going_on_from_a_crowd_is_drawn_after_the_run_before() -> None:
    figure = finetuning_figure(made_up())
    error, order = figure.axes
    assert [bar.get_width() for bar in error.patches] == [52.3, 51.0, 49.0, 47.5]
    assert [bar.get_width() for bar in order.patches] == pytest.approx([88.0, 90.0, 90.0, 90.0])
    assert [bar.get_alpha() for bar in error.patches] == [0.45, 1.0, 1.0, 1.0]
    names = [label.get_text() for label in error.get_yticklabels()]
    assert names == ["before", *(f"crowd, {share} of the labels" for share in ("10%", "50%", "100%"))]
    assert finetuning_figure(only(group="budget")) is None
    assert crowd_figure(only(group="budget")) is None


# -- what is missing ---------------------------------------------------------------------------------------


def test_main_run_is_the_one_named_as_its_method_else_the_largest() -> None:
    results = made_up()
    (axes,) = cumulative_figure(results).axes
    assert curves(axes)["relative"][0][0] == results["runs"]["relative"]["cumulative"][0]
    del results["runs"]["relative"]
    (axes,) = cumulative_figure(results).axes
    assert curves(axes)["relative"][0][0] == results["runs"]["relative 100 %, all pairs"]["cumulative"][0]


@pytest.mark.parametrize(
    ("group", "files"),
    [
        ("budget", ["supervision.png", "joints.png", "cumulative.png", "depth-order.png"]),
        ("noise2d", ["keypoint-noise.png"]),
        ("labelnoise", ["label-noise.png"]),
        ("ablation", ["ablations.png"]),
        ("crowd", ["fine-tuning.png"]),
    ],
)
def test_one_group_makes_its_own_figures(group: str, files: list[str], tmp_path: Path) -> None:
    assert [path.name for path in save_relative_figures(only(group=group), tmp_path)] == files


def test_any_missing_run_or_measure_breaks_nothing() -> None:
    complete = made_up()
    names = list(complete["runs"])
    for kept in (names[::2], names[1::2]):
        results = {**complete, "runs": {name: complete["runs"][name] for name in kept}}
        assert len([draw for draw in relative_figures._FIGURES.values() if draw(results)]) == len(FILES)
    for measure in ("P-MPJPE", "per joint", "cumulative", "order by gap", "megabytes", "noise", "flip"):
        for nothing in (float("nan"), "left out"):
            results = copy.deepcopy(complete)
            for row in [*results["runs"].values(), *results["baselines"].values()]:
                if nothing == "left out":
                    row.pop(measure, None)
                else:
                    row[measure] = nothing
            for draw in relative_figures._FIGURES.values():
                draw(results)


def test_nothing_makes_no_figure(tmp_path: Path) -> None:
    assert save_relative_figures({"runs": {}}, tmp_path / "empty") == []
    assert list((tmp_path / "empty").iterdir()) == []


def test_results_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        save_relative_figures({}, tmp_path)
    assert str(caught.value) == "the results have no 'runs'; make them with `poseterior experiments relative`"
    with pytest.raises(InputError) as caught:
        save_relative_figures({"runs": {"a": {"group": "budget", "method": "magic"}}}, tmp_path)
    assert str(caught.value) == "run 'a': method: expected one of supervised, relative, mixture, got 'magic'"


# -- files -------------------------------------------------------------------------------------------------


def test_figures_are_written_from_json(tmp_path: Path) -> None:
    results = json.loads(json.dumps(made_up()))
    paths = save_relative_figures(results, tmp_path / "a" / "b")
    assert [path.name for path in paths] == FILES
    for path in paths:
        pixels = read_photo(path)
        assert pixels is not None
        assert min(pixels.shape[:2]) > 500


def test_quick_results_say_so() -> None:
    results = {**made_up(), "size": "quick"}
    for draw in relative_figures._FIGURES.values():
        figure = draw(results)
        titles = [axes.get_title(loc="left") for axes in figure.axes] + [figure.get_suptitle()]
        assert any("(quick runs)" in title for title in titles)


def test_labels_are_taken_literally() -> None:
    results = made_up()
    for each in results["runs"].values():
        each["label"] = "costs $5, not $10_2"
    for draw in (supervision_figure, ablation_figure):
        draw(results).savefig("/dev/null", format="png", dpi=30)
