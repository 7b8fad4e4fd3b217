"""Intervals of joint angles: right after calibration, whatever the lifter; the shipped ones hold what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from poseterior.distributions.recalibration import Recalibration
from poseterior.evaluation.angles import AngleErrors, angle_coverage, angle_errors, fit_angles
from poseterior.evaluation.distances import measure
from poseterior.files.errors import InputError
from poseterior.geometry.angles import POINT_ANGLES, joints_of
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import list_shipped, load

BODY = SKELETONS["h36m17"]


def made_up(standing: torch.Tensor, count: int, seed: int, honest: float = 1.0) -> AngleErrors:
    """Poses whose truth is drawn around the middle of the samples, which are narrower than it by ``honest``."""
    generator = torch.Generator().manual_seed(seed)
    usual = standing + 0.05 * torch.randn(count, 17, 3, generator=generator)
    truth = usual + 0.02 * torch.randn(count, 17, 3, generator=generator)
    samples = usual + honest * 0.02 * torch.randn(100, count, 17, 3, generator=generator)
    visible = torch.rand(count, 17, generator=generator) > 0.05
    return angle_errors(samples, truth, visible, torch.ones(count, 17, dtype=torch.bool), BODY)


@pytest.mark.parametrize("honest", [0.5, 1.0, 2.0])
def test_calibrated_intervals_hold_what_they_say(standing: torch.Tensor, honest: float) -> None:
    table = fit_angles(made_up(standing, 2500, 0, honest))
    new = made_up(standing, 2500, 1, honest)
    plain = angle_coverage(new)
    assert plain["mean"] == pytest.approx({0.5: 0.6, 1.0: 0.9, 2.0: 0.99}[honest], abs=0.03)
    for level in (0.5, 0.8, 0.9, 0.95, 0.87):
        found = angle_coverage(new, level, table)
        assert found["mean"] == pytest.approx(level, abs=0.01), level
    assert all(share == pytest.approx(0.9, abs=0.03) for share in angle_coverage(new, 0.9, table)["per angle"].values())


def test_rare_angles_take_what_all_have(standing: torch.Tensor) -> None:
    errors = made_up(standing, 250, 0)
    table = fit_angles(dataclasses.replace(errors, seen=torch.ones_like(errors.seen)))
    assert len(set(table.missing)) == 1  # nothing is missing: one row for all
    assert table.levels == (0.5, 0.8, 0.9, 0.95, 0.99)
    few = fit_angles(errors[:80])
    assert len(set(few.visible)) == 1


def test_intervals_are_nested(standing: torch.Tensor) -> None:
    table = fit_angles(made_up(standing, 500, 0))
    seen = torch.ones(1, len(POINT_ANGLES), dtype=torch.bool)
    before = torch.zeros(1, len(POINT_ANGLES), dtype=torch.float64)
    for percent in range(5, 100, 2):
        factors = table.factors(percent / 100, seen, POINT_ANGLES)
        assert (factors >= before).all()
        before = factors
    with pytest.raises(
        InputError, match=r"level 0.995: the angles of this lifter are calibrated for levels up to 0.99"
    ):
        table.factors(0.995, seen, POINT_ANGLES)
    with pytest.raises(InputError, match="angles: 'tail_flexion' was not calibrated; known: pelvis_tilt"):
        table.factors(0.9, seen, ("tail_flexion",))


def test_angles_without_their_joints_are_not_counted(standing: torch.Tensor) -> None:
    poses = standing.repeat(3, 1, 1)
    observed = torch.ones(3, 17, dtype=torch.bool)
    observed[:, BODY.index("left_wrist")] = False
    errors = angle_errors(poses.repeat(50, 1, 1, 1), poses, observed, observed, BODY)
    unknown = [name for name, known in zip(POINT_ANGLES, errors.known[0].tolist(), strict=True) if not known]
    assert unknown == [name for name in POINT_ANGLES if "left_wrist" in joints_of(name)]


def test_calibration_files_keep_them() -> None:
    shipped = load("mdn").recalibration
    again = Recalibration.from_json(shipped.to_json())
    assert again == shipped
    assert again.angles is not None
    without = dataclasses.replace(shipped, angles=None)
    assert '"angles"' not in without.to_json()
    assert Recalibration.from_json(without.to_json()).angles is None
    with pytest.raises(InputError, match=r"calibration.json: angles: field 'levels': expected rising numbers"):
        Recalibration.from_json(shipped.to_json().replace("[0.5,0.8,0.9,0.95,0.99]", "[0.8,0.5]"))


def test_measuring_angles_changes_no_distance(standing: torch.Tensor) -> None:
    from conftest import made_up_mocap
    from poseterior.data.simulation.simulator import Simulator

    drawn = Simulator(made_up_mocap())(40, torch.Generator().manual_seed(0))
    plain, more = (measure(load("mdn"), drawn, 20, angles=angles) for angles in (False, True))
    assert plain.angles is None
    torch.testing.assert_close(plain.error, more.error)
    assert more[:7].angles.score.shape == (7, len(POINT_ANGLES))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(list_shipped()))
def test_shipped_intervals_hold_what_they_say(name: str, training_store: Path) -> None:
    """The intervals of 90 % hold 0.90 in simulations that nothing was fitted on (one standard error is 0.007)."""
    from poseterior.evaluation.calibrate import simulated

    lifter = load(name)
    poses = simulated(training_store, 2000 if name != "rotations" else 1000, seed=5)
    errors = measure(lifter, poses, 200, seed=1, levels=(0.9,), angles=True).angles
    found = angle_coverage(errors, 0.9, lifter.recalibration.angles)
    assert found["mean"] == pytest.approx(0.9, abs=0.02)
    assert found["visible"] == pytest.approx(0.9, abs=0.02)
    assert found["missing"] == pytest.approx(0.9, abs=0.02)
    assert all(share == pytest.approx(0.9, abs=0.04) for share in found["per angle"].values())


@pytest.fixture(scope="module")
def training_store(tmp_path_factory) -> Path:
    """The mocap that the shipped intervals are calibrated on; skips where that is not."""
    from conftest import SHARED
    from poseterior.data.mocap.importing import import_mocap

    folder = SHARED / "data" / "mocap" / "cmu"
    if not folder.is_dir():
        pytest.skip(f"the development mocap is not here: {folder}")
    store = tmp_path_factory.mktemp("mocap") / "train"
    import_mocap(folder / "bvh" / "train", store, "bvh")
    import_mocap(folder / "asfamc", store, "asfamc", append=True)
    return store
