"""Folders that 0.1 saved, where `network` said which of two lifters a method was, are still read."""

import dataclasses
import json

import pytest
import torch

from poseterior import example_keypoints
from poseterior.files.errors import InputError
from poseterior.lifters import list_shipped, load, model_class
from poseterior.lifters.flow import FlowConfig
from poseterior.lifters.mdn import MixtureConfig
from poseterior.lifters.regression import RegressionConfig
from poseterior.lifters.saved import since_0_1
from poseterior.lifters.unsupervised import UnsupervisedConfig
from poseterior.published.li_lee_2019 import PublishedMixtureConfig
from poseterior.published.ronchi_2018 import PublishedRegressionConfig
from poseterior.published.wehrbein_2021.lifter import PublishedFlowConfig
from poseterior.published.yu_2021 import PublishedUnsupervisedConfig

#: (method, fields of 0.1's configuration, as it wrote them), and what that is now.
SAVED = [
    (
        "mdn",
        {"network": "ours", "kernels": 2, "rank": 1, "width": 16, "blocks": 1, "dropout": 0.0, "minimum_scale": 0.002,
         "temperature": 0.9},
        MixtureConfig(kernels=2, rank=1, width=16, blocks=1, temperature=0.9),
    ),
    (
        "mdn",
        {"network": "published", "kernels": 3, "rank": 0, "width": 16, "blocks": 1, "dropout": 0.5,
         "minimum_scale": 0.002, "temperature": 1.0},
        PublishedMixtureConfig(kernels=3, width=16, blocks=1),
    ),
    (
        "flow",
        {"network": "ours", "coupling": "spline", "layers": 2, "hidden": 8, "context": 8, "rank": 1, "width": 16,
         "blocks": 1, "dropout": 0.0, "bins": 4, "reach": 6.0, "minimum_scale": 0.002, "temperature": 1.0},
        FlowConfig(coupling="spline", layers=2, hidden=8, context=8, rank=1, width=16, blocks=1, bins=4),
    ),
    (
        "flow",
        {"network": "published", "coupling": "affine", "layers": 16, "hidden": 192, "context": 192, "rank": 8,
         "width": 512, "blocks": 3, "dropout": 0.0, "bins": 8, "reach": 6.0, "minimum_scale": 0.002,
         "temperature": 1.0},
        PublishedFlowConfig(),
    ),
    (
        "regression",
        {"network": "ours", "width": 16, "blocks": 1, "dropout": 0.0, "output": "free", "scale": "none",
         "spread": "laplace"},
        RegressionConfig(width=16, blocks=1, spread="laplace"),
    ),
    (
        "regression",
        {"network": "published", "width": 16, "blocks": 1, "dropout": 0.5, "output": "standardised", "scale": "none",
         "spread": "none"},
        dataclasses.replace(PublishedRegressionConfig.supervised(), width=16),
    ),
    (
        "unsupervised",
        {"network": "ours", "width": 16, "blocks": 1, "dropout": 0.0, "distance": 10.0, "normalise": "pose",
         "scale": "bounded", "scale_range": 2.0, "size": "height", "elevation": True, "spread": "none"},
        UnsupervisedConfig(width=16, blocks=1, scale="bounded", scale_range=2.0),
    ),
    (
        "unsupervised",
        {"network": "published", "width": 16, "blocks": 1, "dropout": 0.25, "distance": 10.0, "normalise": "split",
         "scale": "published", "scale_range": 2.5, "size": "free", "elevation": False, "spread": "none"},
        PublishedUnsupervisedConfig(width=16, blocks=1, scale="published"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "fields", "config"), SAVED, ids=[f"{m}-{f['network']}" for m, f, _ in SAVED])
def test_a_folder_of_0_1_is_read(tmp_path, method, fields, config):
    now = f"{method}-published" if fields["network"] == "published" else method
    torch.manual_seed(0)
    lifter = model_class(now)(config).eval()
    lifter.save_pretrained(tmp_path / "saved")
    written = {"method": method, "config": {"skeleton": "h36m17", **fields}}
    (tmp_path / "saved" / "config.json").write_text(json.dumps(written))
    loaded = load(tmp_path / "saved")
    assert (type(loaded), loaded.config) == (type(lifter), config)
    keypoints = example_keypoints()
    assert torch.equal(loaded(keypoints).sample((2,), seed=0), lifter(keypoints).sample((2,), seed=0))


def test_what_0_1_could_not_have_written_is_refused(tmp_path):
    assert since_0_1("mdn", {"network": "huge"}) == ("mdn", {"network": "huge"})
    assert since_0_1("mine", {"network": "ours"}) == ("mine", {"network": "ours"})
    lifter = model_class("mdn")(MixtureConfig(kernels=2, rank=1, width=16, blocks=1))
    lifter.save_pretrained(tmp_path / "saved")
    for config, message in (
        ({"network": "huge"}, "lifter: unknown setting 'network' for MixtureConfig; known: skeleton, kernels"),
        ({"network": "published", "hats": 1}, "lifter: unknown setting 'hats' for PublishedMixtureConfig"),
    ):
        (tmp_path / "saved" / "config.json").write_text(json.dumps({"method": "mdn", "config": config}))
        with pytest.raises(InputError, match=rf"config\.json: {message}"):
            load(tmp_path / "saved")


@pytest.mark.parametrize("name", list(list_shipped()))
def test_shipped_folders_are_of_today(name):
    config = json.loads((list_shipped()[name] / "config.json").read_text())
    assert "network" not in config["config"]
    assert set(config["config"]) == {f.name for f in dataclasses.fields(model_class(config["method"]).config_class)}
