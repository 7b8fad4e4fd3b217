"""The radius that a person reads, wherever they read it, is the calibrated one of `poses.region(level)`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import pytest

import poseterior as pp
from poseterior.cli import main
from poseterior.cli._motion import How
from poseterior.lifters import list_shipped
from poseterior.results.hypotheses import CHOICES
from poseterior.results.poses import LiftResult
from poseterior.view import summary_figure
from poseterior.view.photograph import photo_figure
from poseterior.view.server import radius_table


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped example keypoints as a file, so that the command line reads what Python does."""
    from importlib import resources

    with resources.as_file(resources.files("poseterior") / "examples") as folder:
        return next(path for path in sorted(Path(folder).iterdir()) if path.suffix == ".json")


def printed(text: str) -> list[list[int]]:
    """The last column of each of the terminal's tables."""
    tables: list[list[int]] = []
    for line in text.splitlines():
        if line.startswith("┏"):
            tables.append([])
        elif line.startswith("│"):
            tables[-1].append(int(line.rstrip("│ ").split("│")[-1]))
    return tables


def shown(axes: object) -> list[int]:
    """The numbers beside the bars of a figure's radii."""
    return [int(re.match(r"\d+", text.get_text()).group()) for text in axes.texts]  # type: ignore[attr-defined,union-attr]


@pytest.mark.parametrize("level", [0.9, 0.5])
@pytest.mark.parametrize("name", list_shipped())
def test_printed_drawn_and_written_radii_are_the_regions(
    name: str, level: float, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "120")
    keypoints = pp.read_keypoints(examples)
    region = pp.load(name)(keypoints).region(level)
    assert region.calibrated
    expected = [[round(float(r)) for r in row] for row in 1000 * region.radius[:, 1:].double().numpy()]
    label = f"{100 * level:g} % radius, mm (calibrated)"

    out = tmp_path / "poses.parquet"
    options = ["--lifter", name, "--level", str(level), "--samples", "7", "--out", str(out)]
    assert main(["lift", str(examples), *options]) == 0
    text = capsys.readouterr().out
    assert f"{100 * level:g} % radius, mm" in text
    assert "(calibrated)" in text
    assert printed(text) == expected[:3]

    radius = np.stack(list(pq.read_table(out)["region_radius"].to_numpy()))
    # other numbers of draws round otherwise in products, which the flows of `rotations` stretch
    near = {"rtol": 1e-6, "atol": 1e-5 if name == "rotations" else 1e-6}
    np.testing.assert_allclose(radius, region.radius.numpy(), **near)
    assert [[round(1000 * float(r)) for r in row[1:]] for row in radius] == expected
    result = pp.load_result(out)
    assert (result.level, result.calibrated) == (level, True)
    np.testing.assert_allclose(result.region_center, region.centre.numpy(), **near)
    np.testing.assert_allclose(result.pose_radius, region.pose_radius.numpy(), **near)

    for figure, columns in ((summary_figure(result, 2), 5), (photo_figure(result, 2), 4)):
        drawn = figure.axes[columns - 1 :: columns]
        assert [axes.get_xlabel() for axes in drawn] == [label] * 2
        assert [shown(axes) for axes in drawn] == [expected[0], expected[-1]]
        words = [text.get_text() for text in figure.texts]
        assert f"shaded in 3D: {100 * level:g} % radius (calibrated)" in words
        assert f"shaded in the picture: {100 * level:g} % ellipses" in words

    lines = radius_table(result, 1).splitlines()
    assert label in lines[0]
    assert [int(line.split("|")[2]) for line in lines[2:]] == expected[1]


def test_without_a_recalibration_everything_says_so(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lifter = pp.load("mdn")
    lifter.recalibration = None
    lifter.save_pretrained(tmp_path / "bare")
    assert main(["lift", str(examples), "--lifter", str(tmp_path / "bare"), "-o", str(tmp_path / "a.npz")]) == 0
    assert "(uncalibrated)" in capsys.readouterr().out
    result = pp.load_result(tmp_path / "a.npz")
    assert not result.calibrated
    region = lifter(pp.read_keypoints(examples)).region(0.9)
    np.testing.assert_allclose(result.region_radius, region.radius.numpy(), rtol=1e-6, atol=1e-6)
    assert photo_figure(result, 1).axes[3].get_xlabel() == "90 % radius, mm (uncalibrated)"


def test_another_level_of_a_file_is_uncalibrated(
    examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[LiftResult] = []
    monkeypatch.setattr("poseterior.view.save_summary", lambda result, *_, **__: seen.append(result))
    out = tmp_path / "a.parquet"
    main(["lift", str(examples), "--samples", "50", "-o", str(out)])
    for options in ([], ["--level", "0.9"], ["--level", "0.5"]):
        assert main(["view", str(out), "--png", str(tmp_path / "a.png"), *options]) == 0
    assert [result.region_label() for result in seen] == [
        "90 % radius (calibrated)", "90 % radius (calibrated)", "50 % radius (uncalibrated)",
    ]  # fmt: skip
    np.testing.assert_array_equal(seen[2].region_radius, seen[0].sample_radius(0.5))
    np.testing.assert_array_equal(replace(seen[2]).region_radius, seen[2].region_radius)


@pytest.mark.parametrize("command", [["lift", "{examples}"], ["demo"], ["view", "a.npz"], ["ik", "a.npy"]])
@pytest.mark.parametrize("level", ["0", "1", "90", "nan"])
def test_levels_are_checked_before_any_work(
    command: list[str], level: str, examples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([part.format(examples=examples) for part in [*command, "--level", level]]) == 2
    message = f"poseterior: error: --level: expected a probability above 0 and below 1, e.g. 0.9, got {float(level):g}"
    assert capsys.readouterr().err.strip() == message
    assert not list(tmp_path.iterdir())


def test_the_command_line_knows_all_choices() -> None:
    assert get_args(How) == CHOICES
