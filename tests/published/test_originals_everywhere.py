"""Imported weights of the originals, random ones in their own containers, through every command."""

import dataclasses
import json

import pytest
import torch

from conftest import made_up_mocap
from poseterior.cli import main
from poseterior.data.observations import ObservationSet, load_observations, save_observations
from poseterior.data.simulation.simulator import Simulator
from poseterior.data.store import PoseStore
from poseterior.keypoints import PoseId
from poseterior.lifters.base import build_model, load, load_model
from poseterior.published.originals.exporting import export_weights

#: Name -> system, method, and a small configuration of it.
LIFTERS = {
    "wehrbein": ("wehrbein_2021", "flow-published", {}),
    "yu": ("yu_2021", "unsupervised-published", {"width": 16, "scale": "published"}),
    "yu-adv": ("yu_2021", "unsupervised-published", {"width": 16}),
    "ronchi": ("ronchi_2018", "regression-published", {"width": 16}),
    "ronchi16": (
        "ronchi_2018", "regression-published",
        {"width": 16, "skeleton": "shg16", "output": "standardised", "scale": "none"},
    ),
    "ronchi14": ("ronchi_2018", "regression-published", {"width": 16, "skeleton": "lsp14"}),
    "li-lee": ("li_lee_2019", "mdn-published", {"width": 16}),
}  # fmt: skip
PRIORS = {
    task: ("duenkel_2024", "rotations-published", {"task": task, "segments": 2, "hidden": 4, "hidden_layers": 1})
    for task in ("prior", "ik", "lift")
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store and observations of 420 poses in 14 clips."""
    folder = tmp_path_factory.mktemp("data")
    mocap = made_up_mocap(420, 14)
    with PoseStore.create(folder / "store") as writer:
        for i, name in enumerate(mocap.clip_names):
            rows = mocap.clip == i
            writer.add(
                name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows], fps=30.0,
                subject=f"S{i}", action="walk", source="made up", licence="none",
            )  # fmt: skip
    found = Simulator(mocap)(420, torch.Generator().manual_seed(0), torch.arange(420))
    clips = [mocap.clip_names[i] for i in mocap.clip[found.index.numpy()]]
    ids = [PoseId(clip, i, 0) for i, clip in enumerate(clips)]
    found = dataclasses.replace(found, keypoints=found.keypoints._replace(ids=ids))
    for name, some in {"observations": found, "few": found[slice(0, 5)]}.items():
        n = len(some.pose)
        made = ObservationSet(some, ("Walking",) * n, tuple(clips[:n]), "made-up v1", 0)
        save_observations(made, folder / f"{name}.parquet")
    return folder


def imported(name, data, tmp_path):
    """Weights exported to the original's container and imported by the command."""
    system, method, config = (LIFTERS | PRIORS)[name]
    torch.manual_seed(0)
    names = export_weights(system, build_model(method, config), tmp_path / "theirs")
    files = [str(tmp_path / "theirs" / file) for file in names if file != "checkpoint" and ".data-" not in file]
    told = ["--data", str(data / "observations.parquet")] if system in ("yu_2021", "li_lee_2019") else []
    assert main(["weights", "import", system, *files, "--out", str(tmp_path / name), *told]) == 0
    return tmp_path / name


@pytest.mark.parametrize("name", list(LIFTERS))
def test_a_lifter_lifts_is_measured_and_calibrated(name, data, tmp_path, capsys):
    weights, observations = imported(name, data, tmp_path), str(data / "observations.parquet")
    assert main(["lift", str(data / "few.parquet"), "--lifter", str(weights), "--samples", "4", "--clip", "off",
                 "--out", str(tmp_path / "lifted.npz")]) == 0  # fmt: skip
    out = tmp_path / "measured.json"
    few = ["--samples", "20", "--poses", "20", "--mode-poses", "1"]
    assert main(["evaluate", str(weights), "--data", observations, *few, "--out", str(out)]) == 0
    measured = json.loads(out.read_text())
    assert measured["lifter"] == (LIFTERS[name][1])
    assert measured["estimates"]["mean"]["P-MPJPE"] > 0
    assert main(["bench", str(weights), "--observations", observations, *few, "--out", str(tmp_path / "bench")]) == 0
    assert main(["calibrate", str(weights), "--data", observations, "--samples", "20"]) == 0
    assert load(weights).recalibration is not None
    capsys.readouterr()


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("wehrbein", "flow-published"), ("yu", "unsupervised-scale"), ("ronchi", "relative-published"),
        ("li-lee", "mdn-published"), ("ik", "so3-published"), ("prior", "so3-published"),
    ],
)  # fmt: skip
def test_training_goes_on_from_them(name, recipe, data, tmp_path):
    weights = imported(name, data, tmp_path)
    changes = ["schedule.steps=1", "schedule.batch=8", "schedule.validate_every=0"]
    if name == "wehrbein":
        changes.append("schedule.batch=4")
    run = tmp_path / "run"
    words = ["train", recipe, f"init={weights}", f"data={data / 'store'}", *changes, "--out", str(run), "--quiet"]
    assert main([*words, "--device", "cpu"]) == 0
    before, after = load_model(weights), load_model(run / "weights")
    assert after.config == before.config
    for constant in ("input_mean", "output_std", "unit"):
        if hasattr(before, constant):
            assert torch.equal(getattr(before, constant), getattr(after, constant)), constant


def test_the_prior_draws_and_scores(data, tmp_path, capsys):
    weights = imported("prior", data, tmp_path)
    assert main(["prior", "sample", "--lifter", str(weights), "-n", "3", "--out", str(tmp_path / "drawn.npz")]) == 0
    out = tmp_path / "scores.json"
    assert main(["prior", "score", str(data / "store"), "--lifter", str(weights), "--samples", "8", "--fps", "1",
                 "--out", str(out)]) == 0  # fmt: skip
    first = json.loads(out.read_text())["frames"][0]
    assert first["body"] == first["log_density"]
    assert "19 joints" in capsys.readouterr().out


def test_networks_of_other_tasks_draw_no_prior(data, tmp_path, capsys):
    weights = imported("ik", data, tmp_path)
    assert main(["prior", "sample", "--lifter", str(weights)]) == 2
    assert "lifter.task is 'ik', not 'prior'" in capsys.readouterr().err


def test_joints_that_a_lifter_lacks_are_not_measured(data, tmp_path):
    """Of 14 joints the neck is the thorax; spine and nose, which are made of others, count nowhere."""
    from poseterior.evaluation.other_bodies import comparable

    lifter = load(imported("ronchi14", data, tmp_path))
    observations = load_observations(data / "observations.parquet")
    inside, shown = comparable(lifter, observations)
    names = inside.skeleton.joints
    counted = {names[j] for j in range(17) if bool(shown.observations.observed[:, j].any())}
    assert counted == set(names) - {"spine", "neck_nose"}
    few = shown.observations.keypoints[:3]
    theirs, ours = lifter(few).mean, inside(few).mean
    hips = (theirs[:, lifter.skeleton.index("left_hip")] + theirs[:, lifter.skeleton.index("right_hip")]) / 2
    wrist = theirs[:, lifter.skeleton.index("left_wrist")] - hips
    torch.testing.assert_close(ours[:, names.index("left_wrist")], wrist)
