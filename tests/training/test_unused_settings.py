"""No setting is ignored: whatever a user sets changes the run, or is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from conftest import made_up_mocap, made_up_store
from poseterior.data.labels.simulated import LabelConfig, LabelledSimulator
from poseterior.data.observations import save_observations
from poseterior.data.simulation.protocols import Protocol, simulate
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.objectives import make_objective
from poseterior.training.batches import Batches
from poseterior.training.matching import simulator_for
from poseterior.training.module import batch_generator
from poseterior.training.recipes import Schedule, read_recipe
from poseterior.training.run import _training_data, build_lifter, train
from poseterior.training.unused import refuse_unseen

#: A value of every setting of the simulator that no recipe here has.
OTHER = {
    "mirror": 0.9, "recombine": 0.77, "limb_jitter": 7.0, "own_body": 0.15, "own_size": 0.3, "body_spread": 0.4,
    "definition_spread": 0.3, "body_height": [1.5, 1.6], "yaw": [-20, 30], "pitch": [1, 3], "roll": [3, 8],
    "distance": [3, 3.5], "field_of_view": [33, 36], "placement": 0.25, "aspect": [1.2, 1.3], "noise": [11, 23],
    "noise_joint": [0.9, 1.1], "noise_ratio": [1, 1.2], "noise_by_height": True, "noise_added": None,
    "missing": {"scattered": 1.0}, "scattered": [0.5, 0.6], "truncate": 0.33, "camera_knowledge": [0.3, 0.3, 0.4],
    "height_known": 0.66, "image": 640.0, "bodies": "population", "marker_sets": 0.5, "broad": 0.5, "tilted": 0.5,
    "tilt": [60, 70], "steep": 0.5, "steep_pitch": [60, 70],
}  # fmt: skip
BOUNDS = ("objectives=[{name: reproject, realism: 0.0, views: bounds}]",)
#: Recipes, made small, and what makes the settings of the simulator that they do not use matter.
RECIPES = {
    "mdn": ("lifter.width=16", "lifter.blocks=1"),
    "flow": ("lifter.width=16", "lifter.blocks=1", "lifter.hidden=16", "lifter.context=16", "lifter.layers=2"),
    "mdn-published": ("lifter.width=16",),
    "flow-published": (),
    "relative": ("lifter.width=16", "lifter.blocks=1"),
    # so near that joints are outside the picture
    "relative-published": ("lifter.width=16", "simulator.distance=[1.2, 1.5]"),
    "supervised-published": ("lifter.width=16", "simulator.distance=[1.2, 1.5]"),
    "unsupervised": ("lifter.width=16", "objectives=[{name: reproject, realism: 0.0, hide: 0.6, lengths: 1.0}]"),
    "unsupervised-adv": ("lifter.width=16", "simulator.distance=[1.2, 1.5]", *BOUNDS),
    "rotations": (),
    "so3-prior": (),
    "so3-ik": (),
    "so3-published": ("lifter.segments=4", "lifter.hidden=4"),
    "so3-published task=prior": ("lifter.segments=4", "lifter.hidden=4", "lifter.task=prior"),
    "so3-vae": ("lifter.width=16",),
}


@pytest.fixture(scope="module")
def mocap():
    generator = np.random.default_rng(0)
    made = made_up_mocap(frames=120)
    rotations = made.rotations.copy()
    turns = 0.3 * generator.standard_normal((120, 21, 3)).astype(np.float32)
    rotations[:, 1:, :3] = turns
    rotations[:, 1:, 3] = np.sqrt(np.clip(1 - (turns**2).sum(-1), 0.1, 1))
    rotations[:, 1:] /= np.linalg.norm(rotations[:, 1:], axis=-1, keepdims=True)
    return dataclasses.replace(made, rotations=rotations)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made_up_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="module")
def stored(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "train.parquet"
    simulator = SimulatorConfig(missing={"none": 1.0}, truncate=0.0)
    save_observations(simulate(store, Protocol("x", "x", "x", simulator)), path)
    return path


def loss_of(recipe, mocap) -> float:
    """What a run's first batch would cost, after everything that a run refuses."""
    torch.manual_seed(0)
    lifter = build_lifter(recipe.lifter, recipe.given).eval()
    objectives = [make_objective(o["name"], {k: v for k, v in o.items() if k != "name"}) for o in recipe.objectives]
    kind = simulator_for(recipe, objectives)
    refuse_unseen(recipe.given, set.intersection(*(set(o.unseen(lifter, recipe.simulator)) for o in objectives)), "it")
    config = recipe.simulator
    draw = LabelledSimulator(mocap, config, recipe.labels) if recipe.labels else kind(mocap, config)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    batch = draw(64, generator)
    lifter.fit_constants(kind(mocap, SimulatorConfig(recombine=0.0))(64, torch.Generator().manual_seed(1)))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in lifter.parameters():
            # the published flow would end up anywhere
            parameter.add_((0.0 if lifter.name == "flow-published" else 0.05) * torch.randn_like(parameter))
    torch.manual_seed(1)
    # Sums over the batch, so that the change of a single pose shows.
    return sum(float(v) for o in objectives for v in o.eval()(lifter, batch).values())


REFUSED = "refused"


def refused_or(call, setting: str):
    """What it returns; `REFUSED` where it refuses, and names the setting."""
    try:
        return call()
    except InputError as error:
        message = str(error)
    assert setting in message
    return REFUSED


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_setting_of_the_simulator_changes_what_is_learnt_or_is_refused(name, mocap):
    recipe_name, changes = name.partition(" ")[0], RECIPES[name]
    usual = read_recipe(recipe_name, changes)
    before = loss_of(usual, mocap)
    ignored = []
    assert set(OTHER) == {f.name for f in dataclasses.fields(SimulatorConfig)}
    for setting, value in OTHER.items():
        if value is None:
            value = not usual.simulator.noise_added
        change = f"simulator.{setting}={value}"
        after = refused_or(lambda change=change: loss_of(read_recipe(recipe_name, [*changes, change]), mocap), setting)
        if after == before:
            ignored.append(setting)
    assert not ignored


# -- stored observations ---------------------------------------------------------------------------------------


def batches_of(recipe) -> list[torch.Tensor]:
    """What a run on stored observations would see: training, held-out and calibration batches."""
    data = _training_data(recipe, Simulator)
    drawn = [data.training(32, batch_generator(0, step)) for step in range(2)]
    drawn += [draw(32, batch_generator(0, 9)) for draw in (data.held, data.natural) if draw is not None]
    return [torch.cat([d.keypoints.xy.flatten(1), d.keypoints.visible.float(), d.pose.flatten(1)], -1) for d in drawn]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return len(one) == len(two) and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_every_setting_changes_a_run_on_stored_observations_or_is_refused(stored):
    base = (f"data.observations={stored}", "data.validation=0.25")
    before = batches_of(read_recipe("mdn", base))
    changes = {f"simulator.{name}": value for name, value in OTHER.items() if value is not None}
    changes |= {f"calibrate.{name}": value for name, value in OTHER.items() if value is not None}
    changes |= {"simulator.noise_added": False, "calibrate.noise_added": False}
    changes |= {"data.fps": 10, "data.views": 20, "data.validation": 0.5, "calibrate": "null"}
    refused = set()
    for name, value in changes.items():
        change = f"{name}={value}"
        after = refused_or(lambda change=change: batches_of(read_recipe("mdn", [*base, change])), name)
        if after == REFUSED:
            refused.add(name)
        else:
            assert not same(before, after), name
    assert {name for name in changes if name not in refused} == {
        "simulator.missing", "data.views", "data.validation", "calibrate",
    }  # fmt: skip


@pytest.mark.parametrize("count", [(1, 2), (0, 0), (2, 2), (8, 8), (0, 3)])
def test_exactly_so_many_joints_of_the_limbs_are_missing(stored, store, count):
    low, high = count
    names = SKELETONS["h36m17"].joints
    limbs = [j for j, name in enumerate(names) if name.endswith(("knee", "ankle", "elbow", "wrist"))]
    sources = [f"data.observations={stored}"], [f"data={store}", "simulator.truncate=0"]
    for source in sources:
        recipe = read_recipe("mdn", [*source, f"simulator.missing.count=[{low}, {high}]", "data.validation=0.2"])
        data = _training_data(recipe)
        for draw in (data.training, data.held):
            hidden = ~draw(400, torch.Generator().manual_seed(3)).keypoints.visible
            assert set(hidden.sum(-1).tolist()) == set(range(low, high + 1))
            assert set(hidden.any(0).nonzero().squeeze(-1).tolist()) <= set(limbs)
            if high:
                share = hidden[:, limbs].float().mean(0)
                expected = 0.5 * (low + high) / 8
                assert share.sub(expected).abs().max() < 4 * (expected * (1 - expected) / 400) ** 0.5 + 1e-6
                means = hidden.sum(-1).float().mean()
                assert means == pytest.approx(0.5 * (low + high), abs=0.2)


def test_recipes_of_runs_say_what_they_did_and_are_read_again(stored, tmp_path):
    import yaml

    usual = read_recipe("mdn", [f"data.observations={stored}"])
    hiding = read_recipe("mdn", [f"data.observations={stored}", "simulator.missing.count=[1, 2]"])
    assert usual.as_dict()["simulator"] == {}
    assert hiding.as_dict()["simulator"] == {"missing": {"count": [1, 2]}}
    for number, recipe in enumerate((usual, hiding, read_recipe("unsupervised", ["data=x"]), read_recipe("mdn"))):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(recipe.as_dict()))
        again = read_recipe(path)
        assert again.as_dict() == recipe.as_dict()
        assert again.hides == recipe.hides


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["simulator.missing.count=[2, 1]"], "simulator.missing.count: expected [fewest, most], whole numbers from"),
        (["simulator.missing.count=2"], "simulator.missing.count: expected [fewest, most], whole numbers from 0 to 8"),
        (["simulator.missing.count=[1, 9]"], "simulator.missing.count: expected [fewest, most], whole numbers from 0"),
        (["simulator.missing={count: [1, 2], none: 1}"], "give count, or weights of patterns (none), not both"),
        (["simulator.tilt=[60, 70]"], "simulator.tilt: has no effect here: it needs simulator.tilted above 0; drop it"),
        (["labels={noise: flip}"], "labels.noise: has no effect here: it needs labels.flip above 0; drop it"),
        (["data.observations=f", "data.labels=l", "labels.pairs=3"], "labels.pairs: has no effect: data.labels=l"),
        (["data.observations=f", "simulator.noise=[1, 2]"], "simulator.noise: has no effect on data.observations"),
    ],
)  # fmt: skip
def test_refusals_name_the_setting_and_the_remedy(changes, message):
    with pytest.raises(InputError) as error:
        read_recipe("mdn", changes)
    assert message in str(error.value)


def test_settings_of_own_files_count_as_given(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: mdn\nsimulator: {noise: [1.0, 2.0]}\n")
    with pytest.raises(InputError, match=r"simulator\.noise: has no effect on data\.observations"):
        read_recipe(tmp_path / "mine.yaml", ["data.observations=f"])
    assert read_recipe(tmp_path / "mine.yaml", ["data=s"]).simulator.noise == (1.0, 2.0)
    assert read_recipe("mdn", ["data.observations=f"]).hides is False


def test_settings_of_another_lifter_than_the_one_to_start_from_are_refused(tmp_path):
    small = read_recipe("mdn", ["lifter.width=16", "lifter.blocks=1"])
    build_lifter(small.lifter).save_pretrained(tmp_path / "weights")
    start = f"init={tmp_path / 'weights'}"
    for change, message in (
        ("lifter.width=32", "lifter.width: is 16 in"),
        ("lifter.kernels=3", "lifter.kernels: is 8 in"),
    ):
        asked = read_recipe("mdn", [start, change])
        with pytest.raises(InputError, match=message):
            build_lifter(asked.lifter, asked.given)
    same_width = read_recipe("mdn", [start, "lifter.width=16"])
    assert build_lifter(same_width.lifter, same_width.given).config.width == 16


#: A value of every setting of lifters that no recipe here has; the first that a method knows.
OTHER_LIFTER = {
    "kernels": (3,), "rank": (2,), "width": (24,), "blocks": (2, 1), "dropout": (0.3,), "minimum_scale": (0.05,),
    "temperature": (2.0,), "coupling": ("spline",), "layers": (3,), "hidden": (12,), "context": (24,), "bins": (5,),
    "reach": (1.0,), "joint_spread": (0.1,), "size_spread": (0.2,), "spread": ("laplace",), "output": ("standardised",),
    "scale": ("none", "published", "bounded", "perspective"), "structure": ("acg",), "toes": (True,), "trunk": (32,),
    "segments": (3,), "turns": (3,), "components": (3,), "through": ("flow",), "misfit": (0.05,), "task": ("prior",),
    "hidden_layers": (1,), "distance": (5.0,), "normalise": ("split", "pose"), "size": ("free", "height"),
    "scale_range": (1.5,), "elevation": (False,), "bound": (0.01,), "latent": (5,), "skeleton": ("lsp14",),
}  # fmt: skip


def answers_of(recipe, mocap) -> tuple:
    """Sizes of all tensors, losses as they are learnt and measured, and the answers."""
    torch.manual_seed(0)
    lifter = build_lifter(recipe.lifter, recipe.given)
    if lifter.skeleton.name != "h36m17":
        raise InputError("lifter.skeleton")  # as `train` does
    objectives = [make_objective(o["name"], {k: v for k, v in o.items() if k != "name"}) for o in recipe.objectives]
    kind = simulator_for(recipe, objectives)
    draw = LabelledSimulator(mocap, recipe.simulator, recipe.labels) if recipe.labels else kind(mocap, recipe.simulator)
    batch = draw(16, torch.Generator().manual_seed(0))
    lifter.fit_constants(kind(mocap, SimulatorConfig(recombine=0.0))(64, torch.Generator().manual_seed(1)))
    found: list = [(name, tuple(value.shape)) for name, value in lifter.state_dict().items()]
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in lifter.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        for learning in (True, False):
            lifter.train(learning)
            torch.manual_seed(1)
            found += [float(v) for o in objectives for v in o.train(learning)(lifter, batch).values()]
        if not lifter.name.startswith(("vae", "rotations")):
            found.append(float(lifter(batch.keypoints).mean.sum()))
    return tuple(found)


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_setting_of_a_lifter_changes_what_it_does_or_is_refused(name, mocap):
    recipe_name, changes = name.partition(" ")[0], RECIPES[name]
    usual = read_recipe(recipe_name, changes)
    config = build_lifter(usual.lifter).config
    before, ignored = answers_of(usual, mocap), []
    for field in dataclasses.fields(config):
        values = [value for value in OTHER_LIFTER[field.name] if value != getattr(config, field.name)]
        asked = [read_recipe(recipe_name, [*changes, f"lifter.{field.name}={value}"]) for value in values]
        after = [refused_or(lambda one=one: answers_of(one, mocap), field.name) for one in asked]
        if before in after:
            ignored.append(field.name)
    # views of turned poses are not as large here; what is fitted by `calibrate`; what `lift` goes through
    assert set(ignored) <= {"bound", "spread", "through"}


def test_lifters_of_other_joints_are_refused_before_data_are_read(store, tmp_path, capsys):
    with pytest.raises(InputError, match=r"^lifter\.skeleton: poses to learn from are h36m17, not lsp14; lifters of"):
        train("mdn", tmp_path / "run", changes=[f"data={store}", "lifter.skeleton=lsp14"])
    assert "reading" not in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "change", "needs"),
    [
        ("flow", "bins=5", "lifter.coupling=spline"),
        ("rotations", "turns=2", "lifter.structure=coupling"),
        ("rotations", "components=3", "lifter.structure=acg"),
        ("rotations", "misfit=0.1", "a lifter in lifter.through"),
        ("unsupervised", "scale_range=1.5", "lifter.scale=bounded"),
    ],
)
def test_settings_that_need_another_say_which(name, change, needs):
    setting = change.partition("=")[0]
    asked = read_recipe(name, [f"lifter.{change}"])
    with pytest.raises(InputError) as caught:
        build_lifter(asked.lifter, asked.given)
    assert str(caught.value) == f"lifter.{setting}: has no effect here: it needs {needs}; drop it"
    if needs.startswith("lifter."):
        asked = read_recipe(name, [f"lifter.{change}", needs])
        config = build_lifter(asked.lifter, asked.given).config
        assert getattr(config, setting) != getattr(build_lifter(read_recipe(name).lifter).config, setting)
    usual = read_recipe(name, [f"lifter.{setting}={getattr(build_lifter(read_recipe(name).lifter).config, setting)}"])
    build_lifter(usual.lifter, usual.given)  # what everybody has may be said


# -- labels, objectives, the schedule --------------------------------------------------------------------------


def test_every_setting_of_labels_changes_the_labels_or_is_refused(mocap):
    base = ("lifter.width=16", "lifter.blocks=1")
    before = loss_of(read_recipe("relative", base), mocap)
    values = {"pairs": 3, "tolerance": 0.2, "noise": "crowd", "flip": 0.4, "frame": "level"}
    assert set(values) == {f.name for f in dataclasses.fields(LabelConfig)}
    for name, value in [*values.items(), ("noise", "flip")]:
        change = f"labels.{name}={value}"
        assert (
            refused_or(lambda change=change: loss_of(read_recipe("relative", [*base, change]), mocap), name) != before
        )


def other_value(field: dataclasses.Field, value):
    words = {"judge": ("wgan", "lsgan"), "views": ("bounds", "levelled"), "motion": ("clip", "deformation"),
             "order": ("ranking", "likelihood"), "normaliser": (0.3,), "camera": ("orthographic", "perspective"),
             "plane": ("image", "view"), "template": ("cmu",), "size": ("free", "height")}  # fmt: skip
    if field.name in words:
        return next(word for word in words[field.name] if word != value)
    if isinstance(value, bool):
        return not value
    return value + 3 if isinstance(value, int) else value + 0.25


OBJECTIVES = {
    "unsupervised": {"name": "reproject", "flow_steps": 1},
    "unsupervised-adv": {"name": "reproject", "judge": "lsgan", "views": "bounds"},
    "relative": {"name": "depth_order"},
    "relative-published": {"name": "depth_order"},
    "flow-published": {"name": "samples", "hypotheses": 8},
}
#: What matters to what a run does over several steps, and not to its first loss.
LATER = {"judge_width", "judge_blocks", "judge_every", "judge_learning_rate", "flow_steps", "critic_steps",
         "critic_learning_rate", "scale_every"}  # fmt: skip


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_every_setting_of_an_objective_changes_its_loss_or_is_refused(name, mocap):
    base = OBJECTIVES[name]
    small = RECIPES[name][:1] if RECIPES[name] else ()

    def asked(**more):
        settings = ", ".join(
            f"{k}: {v}".lower() if isinstance(v, bool) else f"{k}: {v}" for k, v in (base | more).items()
        )
        recipe = read_recipe(name, [*small, f"objectives=[{{{settings}}}]"])
        lifter = build_lifter(recipe.lifter)
        objective = make_objective(base["name"], {k: v for k, v in recipe.objectives[0].items() if k != "name"})
        objective.check_lifter(lifter, recipe.objectives[0])
        return loss_of(recipe, mocap)

    settings = make_objective(base["name"], {k: v for k, v in base.items() if k != "name"}).settings
    before = asked()
    ignored = []
    for field in dataclasses.fields(settings):
        value = other_value(field, getattr(settings, field.name))
        after = refused_or(lambda name=field.name, value=value: asked(**{name: value}), field.name)
        if after == before and field.name not in LATER:
            ignored.append(field.name)
    assert not ignored


def test_every_setting_of_the_schedule_reaches_the_run():
    """Each is read by the code of a run, by its name: what these do has tests of its own."""
    import inspect

    from poseterior.training import module, run

    text = (
        inspect.getsource(module)
        + inspect.getsource(run)
        + inspect.getsource(Batches)
        + inspect.getsource(Schedule.last.fget).replace("self.", "schedule.")
        + inspect.getsource(Schedule.kept.fget).replace("self.", "schedule.")
    )
    for field in dataclasses.fields(Schedule):
        assert f"schedule.{field.name}" in text, field.name


def test_nothing_is_validated_where_nothing_is_held_out(store, tmp_path):
    changes = [f"data={store}", "data.validation=0", "schedule.validate_every=5", "calibrate=null"]
    with pytest.raises(InputError, match=r"schedule\.validate_every: has no effect here: nothing is held out"):
        train("mdn", tmp_path / "run", changes=changes, progress=False)
    assert not (tmp_path / "run").exists()


def test_unknown_settings_are_refused_in_every_section():
    for change in ("schedule.x=1", "simulator.x=1", "calibrate={x: 1}", "labels.x=1", "data.x=1", "x=1", "x.y=1"):
        with pytest.raises(InputError, match="unknown"):
            read_recipe("relative", [change])
    with pytest.raises(InputError, match="lifter: unknown setting 'x'"):
        build_lifter(read_recipe("mdn", ["lifter.x=1"]).lifter)
    with pytest.raises(InputError, match="unknown setting 'x'"):
        make_objective("reproject", {"x": 1})
