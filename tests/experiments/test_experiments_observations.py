"""The relative-depth experiments on stored observations, with a crowd's labels."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.labels.labels import DepthLabels, image_id, save_labels
from poseterior.data.labels.simulated import CROWD_SLOPE
from poseterior.data.observations import load_observations, save_observations
from poseterior.data.simulation.protocols import simulate
from poseterior.experiments import relative
from poseterior.experiments.crowd import crowd_by_gap
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Observations, and labels of a crowd that is as often right as the published one."""
    folder = tmp_path_factory.mktemp("observed")
    data = simulate(made_up_store(folder / "store"), "cmu-clean")
    save_observations(data, folder / "train.parquet")
    generator = np.random.default_rng(0)
    rows = np.repeat(np.arange(len(data)), 40)
    pairs = np.stack([generator.permutation(17)[:2] for _ in rows])
    depth = data.observations.pose[..., 2].numpy()
    gap = depth[rows, pairs[:, 0]] - depth[rows, pairs[:, 1]]
    right = generator.random(len(rows)) < np.minimum(0.5 + CROWD_SLOPE * np.abs(gap), 1.0)
    names = np.array([image_id(i) for i in data.observations.keypoints.ids])
    joints = np.array(SKELETONS["h36m17"].joints)
    labels = DepthLabels(
        image=names[rows], joint_a=joints[pairs[:, 0]], joint_b=joints[pairs[:, 1]],
        label=(np.where(right, 1, -1) * np.sign(gap)).astype(np.int8), confidence=np.ones(len(rows), np.float32),
        annotator=np.full(len(rows), "x"), time=np.zeros(len(rows)), skeleton="h36m17",
    )  # fmt: skip
    save_labels(labels, folder / "labels.parquet")
    return folder, data, labels


def test_the_crowd_is_as_often_right_as_it_was_made(stored):
    _, data, labels = stored
    table = crowd_by_gap(data.observations, labels)
    assert table is not None
    assert table["labels"] > 0.95 * len(labels)
    assert sum(row["labels"] for row in table["by gap"]) == table["labels"]
    for row in table["by gap"]:
        assert row["accuracy"] == pytest.approx(row["published"], abs=4 * row["error"] + 0.01)
    shares = [row["accuracy"] for row in table["by gap"] if row["labels"] > 200]
    assert shares[-1] > shares[0] + 0.1
    assert set(table["per joint"]) == set(SKELETONS["h36m17"].joints)


def test_experiments_on_observations_with_table_2_and_figure_5(stored, tmp_path, capsys, monkeypatch):
    folder, _, _ = stored
    tiny = relative.ExperimentSize(views=60, test_views=20, width=16, steps=3, batch=8)
    monkeypatch.setattr(relative, "SIZES", {"quick": tiny, "full": tiny})
    command = [
        "experiments",
        "relative",
        "--data",
        str(folder / "train.parquet"),
        "--quick",
        "--out",
        str(tmp_path / "x"),
    ]
    assert main([*command, "--labels", str(folder / "labels.parquet"), "--groups", "joints", "crowd"]) == 0, (
        capsys.readouterr()
    )
    printed = capsys.readouterr().out
    assert "P-MPJPE" in printed
    assert "mm without depth" in printed
    assert "labels with a known answer" in printed
    results = json.loads((tmp_path / "x" / "results.json").read_text())
    joints = {name for name, row in results["runs"].items() if row["group"] == "joints"}
    assert joints == {
        f"{m}-{j}-{s}" for m in ("supervised", "relative") for j in (16, 17) for s in ("exact", "detected")
    }
    hidden = load_observations(tmp_path / "x" / "train-without-neck_nose.parquet").observations.keypoints.visible
    neck = SKELETONS["h36m17"].index("neck_nose")
    assert not hidden[:, neck].any()
    assert hidden[:, [j for j in range(17) if j != neck]].all()
    assert {"crowd-0.1", "crowd-0.5", "crowd-1"} <= set(results["runs"])
    assert "crowd" in results
    other = folder / "other.parquet"
    other.write_bytes((folder / "train.parquet").read_bytes())
    again = [word.replace("train.parquet", "other.parquet") for word in command]
    assert main([*again, "--labels", str(folder / "labels.parquet"), "--seed", "1"]) == 2
    assert capsys.readouterr().err == (
        f"poseterior: error: {tmp_path / 'x'}: holds experiments of other settings (data: train.parquet instead of "
        "other.parquet, seed: 0 instead of 1); choose another --out\n"
    )


def test_what_does_not_go_together_is_refused(stored, tmp_path):
    folder, _, _ = stored
    with pytest.raises(InputError, match="--labels: labels are of pictures: give their observations"):
        relative.run_relative(folder / "store", tmp_path / "x", labels=folder / "labels.parquet")
    with pytest.raises(InputError, match="--test: --data is a pose store"):
        relative.run_relative(folder / "store", tmp_path / "y", test=folder / "train.parquet")
    with pytest.raises(InputError, match=r"^groups: crowd: needs the crowd's labels; pass them as --labels FILE$"):
        relative.run_relative(folder / "train.parquet", tmp_path / "z", groups=("crowd",))
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize(("error", "words"), [(50.0, "relative depth helps"), (95.0, "too small to show")])
def test_it_says_whether_relative_depth_helped(error, words):
    results = {"baselines": {"flat depth": {"P-MPJPE": 90.0}}, "runs": {"relative": {"P-MPJPE": error}}}
    assert words in relative.against_flat_depth(results)


def _poseless(data, rows):
    """The same pictures, of which those of a mask have no 3D pose."""
    o = data.observations
    pose, observed = torch.where(rows[:, None, None], 0.0, o.pose), o.observed & ~rows[:, None]
    return dataclasses.replace(data, observations=dataclasses.replace(o, pose=pose, observed=observed))


def test_observations_without_poses_are_refused_before_anything_is_written(stored, tmp_path, capsys):
    folder, data, _ = stored
    flat = tmp_path / "flat.parquet"
    save_observations(_poseless(data, torch.ones(len(data), dtype=torch.bool)), flat)
    out = tmp_path / "x"
    command = ["experiments", "relative", "--quick", "--groups", "crowd", "--out", str(out)]
    labels = ["--labels", str(folder / "labels.parquet")]
    assert main([*command, *labels, "--data", str(flat)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"--data {flat}: has no 3D poses, which all runs learn from or start from; give observations with 3D poses "
        "(`poseterior data import h36m` ...) or a pose store; to learn from labels of it: poseterior train "
        f"relative-finetune init=relative data.observations={flat} data.labels=LABELS.parquet"
    ) in said
    assert main([*command, *labels, "--data", str(folder / "train.parquet"), "--test", str(flat)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith(
        f"--test {flat}: has no 3D poses, which all runs are measured on; give observations with 3D poses (`poseterior "
        "data import h36m` ...)"
    )
    assert not out.exists()


def test_figures_2_and_3_are_left_out_where_no_labelled_picture_has_a_pose(stored, tmp_path, capsys, monkeypatch):
    _, data, labels = stored
    tiny = relative.ExperimentSize(views=10_000, test_views=20, width=16, steps=3, batch=8)
    monkeypatch.setattr(relative, "SIZES", {"quick": tiny})
    rows = torch.arange(len(data)) % 2 == 0
    names = np.array([image_id(i) for i in data.observations.keypoints.ids])[rows.numpy()]
    chosen = np.flatnonzero(np.isin(labels.image, names))
    save_observations(_poseless(data, rows), tmp_path / "some.parquet")
    save_labels(labels.select(chosen), tmp_path / "labels.parquet")
    assert main([
        "experiments", "relative", "--quick", "--groups", "crowd", "--out", str(tmp_path / "x"),
        "--data", str(tmp_path / "some.parquet"), "--labels", str(tmp_path / "labels.parquet"),
    ]) == 0, capsys.readouterr()  # fmt: skip
    printed = capsys.readouterr().out
    line = "figures 2 and 3 are left out: no label is of two joints whose true depths differ in --data"
    assert printed.count(line) == 1
    results = json.loads((tmp_path / "x" / "results.json").read_text())
    assert "crowd" not in results
    assert {"crowd-0.1", "crowd-0.5", "crowd-1"} <= set(results["runs"])
    assert all(np.isfinite(run["P-MPJPE"]) for run in results["runs"].values())
    assert (tmp_path / "x" / "figures" / "fine-tuning.png").is_file()
    assert not (tmp_path / "x" / "figures" / "crowd.png").exists()
