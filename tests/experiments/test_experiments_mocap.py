"""What the relative-depth experiments find on real mocap (half an hour: slow)."""

import pytest

from conftest import SHARED
from poseterior.data.mocap.importing import import_mocap
from poseterior.experiments.relative import run_relative

MOCAP = SHARED / "data/mocap"


@pytest.mark.slow
def test_one_bit_an_image_is_worth_something(tmp_path):
    """The order of Ronchi et al. 2018: 3D poses, one pair per view, a crowd's; flipped labels mirror depth."""
    if not MOCAP.is_dir():
        pytest.skip(f"{MOCAP} is not there: the development mocap is not part of the project")
    for name in ("train", "test"):
        import_mocap(MOCAP / "cmu/bvh" / name, tmp_path / name, "bvh")
    results = run_relative(
        tmp_path / "train", tmp_path / "out", test=tmp_path / "test", groups=["labelnoise"], report=lambda line: None
    )
    runs = results["runs"]
    error = {name: run["P-MPJPE"] for name, run in runs.items()}
    order = {name: run["order accuracy"] for name, run in runs.items()}
    assert error["supervised"] < error["relative"] < error["labels-crowd"]
    assert error["relative"] < 0.75 * results["baselines"]["flat depth"]["P-MPJPE"]
    assert order["labels-1.0"] < 0.25
    assert order["labels-0.5"] == pytest.approx(0.5, abs=0.1)
    assert order["mixture"] >= order["relative"]
