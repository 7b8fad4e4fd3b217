"""Observations without 3D poses: reprojection, order in depth, and what reads such files."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from crowd import crowd
from label_store import to_label_store

from poseterior.cli import main
from poseterior.data.labels.labels import save_labels
from poseterior.data.labels.simulated import LabelConfig, label_observations
from poseterior.data.observations import Observations, ObservationSet, load_observations, save_observations
from poseterior.evaluation.without_truth import has_truth, measure_without_truth
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import load
from poseterior.lifters.base import build_model

BODY = SKELETONS["h36m17"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Forty people with and without their poses, and all labels of the order of their joints."""
    folder = tmp_path_factory.mktemp("flat")
    keypoints, poses = crowd(40)
    n = len(poses)
    known = Observations(
        keypoints, poses, torch.ones(n, 17, dtype=torch.bool), torch.tensor([[0.1, 0.0, 4.0]]).expand(n, 3),
        torch.arange(n),
    )  # fmt: skip
    labelled = label_observations(known, LabelConfig(pairs=30), torch.Generator().manual_seed(0))
    save_labels(to_label_store(labelled), folder / "labels.parquet")
    hidden = dataclasses.replace(
        known, pose=torch.zeros_like(poses), observed=torch.zeros(n, 17, dtype=torch.bool), root=torch.zeros(n, 3)
    )
    for name, some in {"known": known, "flat": hidden}.items():
        data = ObservationSet(some, ("sports",) * n, ("lsp",) * n, f"{name} v1", 0)
        save_observations(data, folder / f"{name}.parquet")
    return folder


def test_order_is_that_of_the_labels(files):
    """The shares are those that the true poses give."""
    from poseterior.data.labels.labels import load_labels

    data, labels = load_observations(files / "flat.parquet"), load_labels(files / "labels.parquet")
    assert not has_truth(data)
    lifter = load("supervised")
    result = measure_without_truth(lifter, data, labels, samples=50)
    known = load_observations(files / "known.parquet").observations
    rows = {(i.file, i.frame): row for row, i in enumerate(known.keypoints.ids)}
    with torch.no_grad():
        mean = lifter(known.keypoints).mean
    right = total = 0
    for image, a, b, label in zip(labels.image, labels.joint_a, labels.joint_b, labels.label, strict=True):
        file, _, frame = str(image).partition("#")
        row = rows[file, int(frame or 0)]
        gap = float(mean[row, BODY.index(str(a)), 2] - mean[row, BODY.index(str(b)), 2])
        total += int(label != 0)
        right += int(label != 0 and np.sign(gap) == label)
    order = result["depth order"]
    assert order["labels"] == total
    assert order["accuracy"] == pytest.approx(right / total, abs=1e-4)
    assert sum(row["labels"] for row in order["by predicted gap"]) == total
    assert sum(row["labels"] for row in order["reliability"]) == total
    assert 0 <= order["calibration error"] < 0.3
    assert result["reprojection"]["mean"]["pixels"] < 30


def test_poses_that_explain_the_keypoints_reproject(files):
    """Exact keypoints and their own poses: nothing is left."""
    from poseterior.evaluation.without_truth import _pixels

    known = load_observations(files / "known.parquet").observations
    assert float(_pixels(known.pose, known.keypoints).max()) < 0.05


def test_the_commands_print_and_write_it(files, tmp_path, capsys):
    flat, labels = str(files / "flat.parquet"), str(files / "labels.parquet")
    out = tmp_path / "flat.json"
    words = ["evaluate", "supervised", "--data", flat, "--samples", "20"]
    assert main([*words, "--labels", labels, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "40 poses without 3D" in told
    assert "share of labels in order" in told
    one = json.loads(out.read_text())
    assert main(words) == 0
    assert "order of joints in depth: pass --labels" in capsys.readouterr().out
    bench = ["bench", "supervised", "relative", "--observations", flat, "--labels", labels, "--samples", "20"]
    assert main([*bench, "--out", str(tmp_path / "bench")]) == 0
    found = json.loads((tmp_path / "bench" / "without_truth.json").read_text())["flat"]
    assert list(found) == ["supervised", "relative"]
    assert found["supervised"] == one
    assert not (tmp_path / "bench" / "bench.json").exists()


def test_lift_reads_observations(files, tmp_path, capsys):
    import poseterior as pp

    out = tmp_path / "lifted.npz"
    words = ["lift", str(files / "flat.parquet"), "--lifter", "supervised", "--samples", "4", "--clip", "off"]
    assert main([*words, "--out", str(out)]) == 0
    result = pp.load_result(out)
    keypoints = load_observations(files / "flat.parquet").observations.keypoints
    expected = pp.lift(load("supervised"), keypoints, samples=4)
    np.testing.assert_allclose(result.mean, expected.mean, atol=1e-5)
    assert main([*words, "--skeleton", "coco17"]) == 2
    assert "--skeleton: does not go with" in capsys.readouterr().err


def test_lifters_of_other_joints_are_measured_too(files):
    torch.manual_seed(0)
    lifter = build_model("regression-published", {"width": 8, "skeleton": "lsp14"}).eval()
    result = measure_without_truth(lifter, load_observations(files / "flat.parquet"), samples=3)
    assert result["reprojection"]["mean"]["pixels"] > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate supervised --data {known} --labels {labels}", "holds 3D poses, whose order is measured without"),
        ("evaluate supervised --data {flat} --clusters 3", "--clusters: {flat} holds images without 3D poses"),
        ("bench supervised --observations {known} --labels {labels}", "--labels: is for observations without 3D"),
        ("bench supervised --observations {flat} --published ronchi_2018", "holds images without 3D poses"),
    ],
)
def test_options_that_need_poses_or_none(words, message, files, tmp_path, capsys):
    paths = {name: files / f"{name}.parquet" for name in ("known", "flat", "labels")}
    words = words.format(**paths)
    if words.startswith("bench"):
        words += f" --out {tmp_path / 'bench'}"
    assert main(words.split()) == 2
    assert message.format(**paths) in capsys.readouterr().err


def test_labels_of_other_pictures(files):
    from poseterior.data.labels.labels import load_labels

    labels = load_labels(files / "labels.parquet")
    other = dataclasses.replace(labels, image=np.full(len(labels), "elsewhere.jpg"))
    with pytest.raises(InputError, match="no label is of an image"):
        measure_without_truth(load("supervised"), load_observations(files / "flat.parquet"), other, samples=3)
