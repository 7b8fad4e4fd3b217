"""A run learns from something: data, labels and objectives go together, or the run is refused before it begins."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from label_store import to_label_store

from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.labels.labels import save_labels
from poseterior.data.labels.simulated import LabelConfig, label_observations
from poseterior.data.observations import save_observations
from poseterior.data.simulation.protocols import Protocol, simulate
from poseterior.data.simulation.simulator import SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.objectives import make_objective
from poseterior.training.matching import check_seen, check_truth, simulator_for
from poseterior.training.recipes import read_recipe, shipped_recipes
from poseterior.training.run import _objective, build_lifter

SMALL = {
    "mdn": ["lifter.width=16", "lifter.blocks=1"],
    "supervised": ["lifter.width=16", "lifter.blocks=1"],
    "flow": ["lifter.width=16", "lifter.blocks=1", "lifter.hidden=16", "lifter.context=16", "lifter.layers=2"],
    "mdn-published": ["lifter.width=16"],
    "supervised-published": ["lifter.width=16"],
    "flow-published": [],
    "relative": ["lifter.width=16", "lifter.blocks=1"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store, observations with 3D poses, the same without, some of each, and labels of them."""
    folder = tmp_path_factory.mktemp("data")
    made_up_store(folder / "store")
    config = SimulatorConfig(missing={"none": 1.0}, noise_added=False)
    known = simulate(folder / "store", Protocol("made up", "", "", config, fps=30.0))
    save_observations(known, folder / "known.parquet")
    found = known.observations
    flat = dataclasses.replace(found, observed=torch.zeros_like(found.observed), pose=torch.zeros_like(found.pose))
    save_observations(dataclasses.replace(known, observations=flat), folder / "flat.parquet")
    labelled = label_observations(found, LabelConfig(pairs=3), torch.Generator().manual_seed(0))
    save_labels(to_label_store(labelled), folder / "labels.parquet")
    return SimpleNamespace(folder=folder, known=known, flat=flat)


def refused(capsys, *words):
    """What ``train`` says in one line, and what it said before that."""
    capsys.readouterr()
    assert main(["train", *map(str, words), "--device", "cpu"]) == 2
    said = capsys.readouterr()
    return said.err.removeprefix("poseterior: error: ").strip(), said.out


@pytest.mark.parametrize("recipe", [name for name in SMALL if name != "relative"])
def test_nothing_is_learnt_from_observations_without_3d_poses(recipe, data, tmp_path, capsys):
    file = data.folder / "flat.parquet"
    words = [recipe, *SMALL[recipe], f"data.observations={file}", "--out", tmp_path / "run"]
    name = read_recipe(recipe).objectives[0]["name"]
    assert refused(capsys, *words)[0] == (
        f"{file}: holds no 3D poses, from which objective {name!r} learns; train on 2D alone (recipe unsupervised), on "
        "depth-order labels (recipe relative-finetune, with data.labels=FILE), or on other observations"
    )
    assert not (tmp_path / "run").exists()


def test_labels_are_not_made_of_3d_poses_that_are_not_there(data, tmp_path, capsys):
    file = data.folder / "flat.parquet"
    words = ["relative", *SMALL["relative"], f"data.observations={file}", "--out", tmp_path / "run"]
    assert refused(capsys, *words)[0] == (
        f"{file}: holds no 3D poses, of which the section 'labels' makes depth-order labels; pass data.labels=FILE and "
        "labels=null"
    )


def objectives_of(recipe):
    return [_objective(settings) for settings in recipe.objectives]


@pytest.mark.parametrize("recipe", ["unsupervised", "unsupervised-adv", "relative-finetune"])
def test_2d_alone_is_enough_where_no_3d_pose_is_learnt_from(recipe, data):
    asked = read_recipe(recipe, [f"data.observations={data.folder / 'flat.parquet'}"])
    check_truth(asked, objectives_of(asked), data.flat, "")


def test_each_part_of_the_observations_must_have_3d_poses(data):
    """Of those held out too: calibration and validation would see nothing."""
    asked = read_recipe("mdn", ["data.observations=some.parquet"])
    with pytest.raises(InputError, match=r"^some\.parquet: holds no 3D poses \(those held out by data\.validation\), "):
        check_truth(asked, objectives_of(asked), data.flat, "those held out by data.validation")
    some = dataclasses.replace(data.known.observations, observed=data.known.observations.observed.clone())
    some.observed[1:] = False
    check_truth(asked, objectives_of(asked), some, "")


def test_limbs_of_each_pose_s_own_lengths_need_3d_poses():
    assert make_objective("depth_order", {"template": "per_sample", "limbs": 1.0}).needs_poses
    assert not make_objective("depth_order", {}).needs_poses
    assert not make_objective("withheld").needs_poses


LABELLED = ("relative", "relative-finetune", "relative-finish", "relative-point", "relative-published")


@pytest.mark.parametrize("recipe", sorted(shipped_recipes()))
@pytest.mark.parametrize("change", ["labels.pairs=3", "labels.noise=crowd", "labels={}"])
def test_labels_are_refused_where_nothing_learns_from_them(recipe, change):
    name, _, value = change.partition("=")
    whole = change if "." not in name else f"labels={{{name.partition('.')[2]}: {value}}}"
    asked = read_recipe(recipe, [whole])
    if recipe in LABELLED:
        simulator_for(asked, objectives_of(asked))
        return
    learnt = " and ".join(f"objective {o['name']!r}" for o in asked.objectives)
    with pytest.raises(InputError) as caught:
        simulator_for(asked, objectives_of(asked))
    assert str(caught.value) in (
        f"{name}: has no effect on {learnt}, which learns from no depth-order labels; drop it",
        "labels: not together with an objective that learns from rotations, or from 2D alone",
    )


@pytest.mark.parametrize("recipe", ["mdn", "supervised", "flow"])
def test_a_file_of_labels_is_refused_where_nothing_learns_from_it(recipe, data, tmp_path, capsys):
    files = [f"data.observations={data.folder / 'known.parquet'}", f"data.labels={data.folder / 'labels.parquet'}"]
    name = read_recipe(recipe).objectives[0]["name"]
    assert refused(capsys, recipe, *SMALL[recipe], *files, "--out", tmp_path / "run")[0] == (
        f"data.labels: has no effect on objective {name!r}, which learns from no depth-order labels; drop it"
    )


def test_labels_that_a_shipped_recipe_has_and_nobody_set_are_let_pass():
    asked = read_recipe("relative", ["objectives=[{name: regression}]"])
    assert asked.labels is not None
    simulator_for(asked, objectives_of(asked))


def test_nothing_is_set_for_a_calibration_that_there_is_not():
    asked = read_recipe("mdn-published", ["calibrate={noise: [1, 2]}", "lifter.width=16"])
    with pytest.raises(InputError) as caught:
        check_seen(asked, build_lifter(asked.lifter), objectives_of(asked))
    assert str(caught.value) == (
        "calibrate.noise: has no effect on lifter 'mdn-published', which has nothing to fit after the last step; "
        "drop it"
    )
    fine = read_recipe("mdn", ["calibrate.noise=[1, 2]", *SMALL["mdn"]])
    check_seen(fine, build_lifter(fine.lifter), objectives_of(fine))


# -- what is said, and when --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data={}/nope"], "{}/nope: a pose store is a folder, but this does not exist; "),
        (["data=[{}/store, {}/nope]"], "{}/nope: a pose store is a folder, but this does not exist; "),
        (["data.observations={}/nope"], "{}/nope: no such file"),
        (["data.observations={}"], "{}: is a folder; expected a Parquet file"),
        ([], "no training data: pass data=STORE (made by `poseterior data import`) or data.observations=FILE"),
    ],
)
def test_reading_is_not_announced_of_what_is_not_there(changes, message, data, tmp_path, capsys):
    changes = [change.replace("{}", str(data.folder)) for change in changes]
    error, said = refused(capsys, "mdn", *SMALL["mdn"], *changes, "--out", tmp_path / "run")
    assert error.startswith(message.replace("{}", str(data.folder)))
    assert said == ""


def test_reading_is_not_announced_before_the_labels_are_there(data, tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("image,joint_a,joint_b,label\n")
    files = [f"data.observations={data.folder / 'flat.parquet'}", f"data.labels={tmp_path / 'labels.csv'}"]
    error, said = refused(capsys, "relative-finetune", *files, "--out", tmp_path / "run")
    assert error.startswith(f"{tmp_path / 'labels.csv'}: not a readable Parquet file")
    assert error.endswith("import .csv and .json with `poseterior labels import`")
    assert said == ""


def test_a_file_in_the_place_of_the_run_is_told_before_anything_is_read(data, tmp_path, capsys):
    (tmp_path / "run").write_text("mine")
    words = ["mdn", *SMALL["mdn"], f"data={data.folder / 'store'}", "--out", tmp_path / "run"]
    assert refused(capsys, *words) == (
        f"{tmp_path / 'run'}: cannot be written ({tmp_path / 'run'}: is a file); choose another path", "",
    )  # fmt: skip
    assert (tmp_path / "run").read_text() == "mine"


def test_constants_that_cannot_be_measured_name_the_data(data, tmp_path, capsys):
    found = data.known.observations
    lacking = dataclasses.replace(found, observed=found.observed.clone())
    lacking.observed[:, 7] = False
    save_observations(dataclasses.replace(data.known, observations=lacking), tmp_path / "some.parquet")
    words = ["mdn-published", "lifter.width=16", f"data.observations={tmp_path / 'some.parquet'}"]
    assert refused(capsys, *words, "--out", tmp_path / "run")[0] == (
        f"{tmp_path / 'some.parquet'}: no 3D pose shows spine, of which means and deviations are taken; give "
        "observations with every joint"
    )
