"""Joint angles of results: medians, intervals, their table and figure, the command."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from test_results import make_result

from conftest import STANDING
from poseterior.cli import main
from poseterior.distributions.intervals import AngleRecalibration, spread_of_angles, wrapped
from poseterior.files.errors import InputError
from poseterior.geometry.angles import POINT_ANGLES
from poseterior.geometry.skeletons import SKELETONS
from poseterior.results.poses import load_result
from poseterior.view.angles import angles_figure, save_angles

H36M = SKELETONS["h36m17"]


def bending(frames: int = 6, samples: int = 60, noise: float = 0.004, **changes):
    """A person whose left knee bends from 10 to 60 degrees, drawn with some noise."""
    rng = np.random.default_rng(3)
    pose = np.array([STANDING[joint] for joint in H36M.joints])
    hip, knee, ankle = (H36M.index(f"left_{joint}") for joint in ("hip", "knee", "ankle"))
    poses = np.tile(pose, (frames, 1, 1))
    thigh = pose[knee] - pose[hip]
    across = np.cross(thigh, [1.0, 0.0, 0.0])
    along, back = thigh / np.linalg.norm(thigh), across / np.linalg.norm(across)
    angles = np.deg2rad(np.linspace(10, 60, frames))[:, None]
    poses[:, ankle] = poses[:, knee] + 0.42 * (np.cos(angles) * along + np.sin(angles) * back)
    drawn = poses[:, None] + noise * rng.standard_normal((frames, samples, 17, 3)) * (np.arange(17) > 0)[:, None]
    values = {
        "samples": drawn, "mean": poses, "file": ["knee.mp4"] * frames, "frame": np.arange(frames), "level": 0.9,
        "visible": np.ones((frames, 17), bool), "keypoints": np.full((frames, 17, 2), 100.0),
        "keypoint_covariance": np.tile(np.eye(2), (frames, 17, 1, 1)),
    }  # fmt: skip
    return make_result(frames, samples, **(values | changes))


def table(factor: float) -> str:
    rows = tuple((factor,) * 2 for _ in POINT_ANGLES)
    return AngleRecalibration(POINT_ANGLES, (0.5, 0.95), rows, rows).to_json()


@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_a_known_knee_bend_comes_out(noise: float) -> None:
    found = bending(noise=noise).angles()
    knee = found.degrees[:, found.index("left_knee_flexion")]
    np.testing.assert_allclose(knee, np.linspace(10, 60, 6), atol=1e-4 if noise == 0 else 1.0)


def test_intervals_are_the_samples_own_without_a_calibration() -> None:
    result = bending(samples=2000)
    found = result.angles(0.8)
    assert (found.level, found.calibrated) == (0.8, False)
    column = found.index("left_knee_flexion")
    hip, knee, ankle = (result.samples[..., H36M.index(f"left_{j}"), :] for j in ("hip", "knee", "ankle"))
    one, two = knee - hip, ankle - knee
    cosine = (one * two).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(two, axis=-1)
    angles = np.rad2deg(np.arccos(cosine))
    np.testing.assert_allclose(found.degrees[:, column], np.median(angles, 1), atol=0.01)
    np.testing.assert_allclose(found.lower[:, column], np.quantile(angles, 0.1, axis=1), atol=0.02)
    np.testing.assert_allclose(found.upper[:, column], np.quantile(angles, 0.9, axis=1), atol=0.02)


def test_a_calibration_widens_them_and_is_kept_in_every_file(tmp_path: Path) -> None:
    plain = bending().angles()
    result = bending(angle_calibration=table(2.0))
    found = result.angles()
    assert found.calibrated
    assert found.label("intervals") == "90 % intervals (calibrated)"
    column = found.index("left_hip_flexion")
    np.testing.assert_allclose(found.degrees, plain.degrees)
    wide, narrow = ((f.upper - f.lower)[:, column] for f in (found, plain))
    np.testing.assert_allclose(wide, 2 * narrow, rtol=1e-6)
    for suffix in ("npz", "parquet", "json"):
        result.save(tmp_path / f"r.{suffix}", samples=True)
        again = load_result(tmp_path / f"r.{suffix}").angles()
        np.testing.assert_array_equal(again.upper, found.upper)
        assert again.calibrated


def test_few_samples_are_not_called_calibrated() -> None:
    assert not bending(samples=20, angle_calibration=table(2.0)).angles().calibrated


def test_levels_beyond_the_calibration_are_refused() -> None:
    with pytest.raises(InputError, match=r"level 0.99: the angles of this lifter are calibrated for levels up to 0.95"):
        bending(angle_calibration=table(1.0)).angles(0.99)


def test_without_samples_angles_have_no_interval(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        found = bending(samples=0).angles()
    assert [record.message for record in caplog.records] == [
        "knee.mp4: holds no samples, so that its angles have no intervals; lift again to .parquet or .npz, with "
        "--samples above 0"
    ]
    np.testing.assert_allclose(found.degrees[:, found.index("left_knee_flexion")], np.linspace(10, 60, 6), atol=1e-4)
    assert np.isnan(found.lower).all()
    assert found.label("intervals") == "no intervals (there are no samples)"
    assert found.only(["left_knee_flexion"]).label("interval") == "no interval (there are no samples)"
    caplog.clear()
    bending(samples=0, file=["a.jsonl"] * 2 + ["b.jsonl"] * 3 + ["c.jsonl"]).angles()
    assert [record.message for record in caplog.records] == [
        "a.jsonl and 2 more: hold no samples, so that their angles have no intervals; lift again to .parquet or .npz, "
        "with --samples above 0"
    ]


def test_an_angle_is_seen_where_all_its_joints_are() -> None:
    visible = np.ones((6, 17), bool)
    visible[2, H36M.index("left_ankle")] = False
    result = bending(visible=visible, keypoints=np.where(visible[..., None], [100.0, 100.0], np.nan))
    found = result.angles()
    assert found.seen[:, found.index("left_knee_flexion")].tolist() == [True, True, False, True, True, True]
    assert found.seen[:, found.index("right_knee_flexion")].all()


def test_angles_that_go_round_have_a_middle() -> None:
    samples = torch.tensor([170.0, 175.0, 180.0, -175.0, -170.0] * 20).reshape(-1, 1, 1)
    spread = spread_of_angles(samples)
    assert abs(float(wrapped(spread.centre - 180.0))) < 1e-3
    assert float(spread.below) == pytest.approx(10.0, abs=0.1)


def test_how_many_samples_there_are_does_not_widen_intervals() -> None:
    """Of uniform angles, a further one is between the bounds nine times in ten, whether of 40 samples or of 1000."""
    generator = torch.Generator().manual_seed(0)
    for count in (40, 200, 1000):
        drawn = 100.0 * torch.rand(count + 1, 4000, 1, generator=generator)
        centre, below, above = spread_of_angles(drawn[1:])
        inside = (drawn[0] >= centre - below) & (drawn[0] <= centre + above)
        assert float(inside.double().mean()) == pytest.approx(0.9, abs=0.015)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace('"levels":[0.5,0.95]', '"levels":[0.95,0.5]'), "field 'levels': expected rising numbers"),
        (lambda t: t.replace("2.0", "-2.0", 1), "field 'visible.pelvis_tilt': expected numbers above 0"),
        (lambda t: t.replace('"missing"', '"lost"'), "field 'missing': expected a row for each angle"),
        (lambda t: "{}", "field 'angles': expected names"),
        (lambda t: t[:40], "expected the text of a JSON object, or none; got"),
    ],
)
def test_damaged_calibrations_are_named(change, message: str) -> None:
    with pytest.raises(InputError, match=rf"angle_calibration: {message}"):
        bending(angle_calibration=change(table(2.0))).angles()


# -- tables and figures --------------------------------------------------------------------------------------------


def test_the_table_is_tidy(tmp_path: Path) -> None:
    found = bending().angles().only(["left_knee_flexion", "right_hip_rotation"])
    found.save(tmp_path / "a.csv", fps=10)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    row = rows[4]
    assert (row["file"], row["frame"], row["time"], row["angle"]) == ("knee.mp4", "2", "0.2", "left_knee_flexion")
    assert (row["level"], row["calibrated"], row["seen"]) == ("0.9", "false", "true")
    assert float(row["lower"]) < float(row["degrees"]) < float(row["upper"])
    assert float(row["degrees"]) == pytest.approx(30, abs=1.0)


def test_figures_show_both_sides_and_say_whether_they_are_calibrated(tmp_path: Path) -> None:
    found = bending(angle_calibration=table(1.0)).angles()
    figure = angles_figure(found, fps=10)
    assert figure.get_suptitle() == "lifter mdn, 6 poses; median and 90 % interval (calibrated)"
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    knee = panels["knee flexion"]
    assert len(knee.lines) == 2
    line = knee.lines[1]
    np.testing.assert_allclose(line.get_xdata(), np.arange(6) / 10)
    np.testing.assert_allclose(line.get_ydata(), found.degrees[:, found.index("left_knee_flexion")])
    assert save_angles(found, tmp_path / "a.png") == [tmp_path / "a.png"]
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_lines_end_where_nobody_was_seen_for_long() -> None:
    found = bending(frame=[0, 1, 3, 30, 31, 90]).angles().only(["left_knee_flexion"])
    (panel, *_) = angles_figure(found, fps=10).axes
    assert [line.get_xdata().tolist() for line in panel.lines] == [[0.0, 0.1, 0.3], [3.0, 3.1], [9.0]]
    assert len(panel.collections) == 3
    assert panel.lines[2].get_marker() == "."  # a line of one frame is a point


def test_photographs_share_a_figure(tmp_path: Path) -> None:
    found = bending(file=[f"photo {name}.jpg" for name in "abcdef"]).angles()
    assert save_angles(found, tmp_path / "a.png") == [tmp_path / "a.png"]


# -- the command ---------------------------------------------------------------------------------------------------


def test_the_command_writes_table_and_figure(tmp_path: Path, capsys) -> None:
    bending(angle_calibration=table(1.0)).save(tmp_path / "r.npz")
    out, plot = tmp_path / "a.csv", tmp_path / "a.png"
    assert main(["angles", str(tmp_path / "r.npz"), "--out", str(out), "--plot", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "90 % intervals (calibrated)" in printed
    assert "times: 30 frames a second is assumed: pass --fps" in printed
    assert len(out.read_text().splitlines()) == 1 + 6 * len(POINT_ANGLES)
    assert plot.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "left_knee"], "angle 'left_knee': expected one of pelvis_tilt"),
        (["--out", "a.txt"], "--out a.txt: unknown extension '.txt'; use one of: .csv"),
        (["--plot", "a.gif"], "--plot a.gif: unknown extension '.gif'"),
        (["--level", "1"], "--level: expected a probability above 0 and below 1"),
        (["--fps", "0"], "fps: expected a positive number, got 0"),
        (["--level", "0.99"], "level 0.99: the angles of this lifter are calibrated for levels up to 0.95"),
    ],
)
def test_the_command_refuses(tmp_path: Path, capsys, options: list[str], message: str) -> None:
    bending(angle_calibration=table(1.0)).save(tmp_path / "r.npz")
    assert main(["angles", str(tmp_path / "r.npz"), *options]) == 2
    assert message in capsys.readouterr().err


def test_the_command_does_not_replace_its_input(tmp_path: Path, capsys) -> None:
    (tmp_path / "r.csv").write_text("x")
    assert main(["angles", str(tmp_path / "r.csv"), "--out", str(tmp_path / "r.csv")]) == 2
    assert "is the input" in capsys.readouterr().err
    assert (tmp_path / "r.csv").read_text() == "x"
