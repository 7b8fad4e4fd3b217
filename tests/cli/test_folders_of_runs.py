"""Every command that takes a lifter takes the folder of a run, and reads its weights."""

import re
import shutil
from importlib import resources

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.files.lifter_folders import list_shipped
from poseterior.lifters import load


class _Reached(Exception):
    """Somebody wants to load these weights."""


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "mdn"
    shutil.copytree(list_shipped()["mdn"], folder / "weights")
    (folder / "recipe.yaml").write_text("name: mdn\n")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "calibrate {run} --data {points}",
        "compare {keypoints} {run} --out {there}/x.png",
        "data lift {there} --lifter {run} --out {there}/own",
        "demo --lifter {run} --out {there}/demo",
        "export onnx {run} --out {there}/x.onnx",
        "fuse {keypoints} --calibration {keypoints} --lifter {run}",
        "ik {points} --skeleton h36m17 --lifter {run}",
        "playground --lifter {run} --out {there}/page --no-open",
        "prior sample --lifter {run}",
        "prior score {there} --lifter {run}",
        "weights export wehrbein_2021 {run} --out {there}/original",
    ],
)
def test_the_weights_of_a_run_are_loaded(run, tmp_path, monkeypatch, command):
    asked = []

    def reached(folder, *args, **options):
        asked.append(str(folder))
        raise _Reached

    for name in ("lifters.load", "lifters.load_prior", "lifters.base.load_model"):
        monkeypatch.setattr(f"poseterior.{name}", reached)
    # What these commands read before they load a lifter is not what is tried here.
    monkeypatch.setattr("poseterior.keypoints.calibration.read_cameras", lambda *_: {})
    monkeypatch.setattr("poseterior.cli.fuse.Fuse._views", lambda *_: {})
    monkeypatch.setattr("poseterior.view.playground.runtime.need_packages", lambda: None)
    monkeypatch.setattr("poseterior.view.playground.runtime.load_runtime", lambda _: None)
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(0, 0.3, size=(1, 17, 3)))
    with resources.as_file(resources.files("poseterior") / "examples" / "demo.json") as keypoints:
        words = {"run": run, "there": tmp_path, "keypoints": keypoints, "points": tmp_path / "points.npy"}
        with pytest.raises(_Reached):
            main([word.format(**words) for word in command.split()])
    assert asked == [str(run / "weights")]


def test_in_python_it_is_said_where_the_weights_are(run):
    with pytest.raises(InputError, match=re.escape(f"{run}: is the folder of a run; its weights are in {run}/weights")):
        load(run)
