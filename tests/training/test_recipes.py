"""Recipes: what they inherit, and that all that ship say what they said in 0.1."""

import json
from importlib import resources
from pathlib import Path

import pytest

from poseterior.files.errors import InputError
from poseterior.lifters import model_class
from poseterior.lifters.saved import since_0_1
from poseterior.training.recipes import read_recipe, shipped_recipes

GOLDEN = json.loads((Path(__file__).resolve().parents[1] / "golden" / "recipes_0.1.json").read_text())
#: Settings that 0.1's recipes left to its defaults, where the defaults of a method of its own are others.
DEFAULTS_0_1 = {"regression": {"output": "free", "scale": "none"}}
#: Recipes whose lifter is the published one: what 0.1 called it, and what it is now.
PUBLISHED = {
    "flow-published": "flow", "flow-published-h36m": "flow", "mdn-published": "mdn",
    "relative-published": "regression", "supervised-published": "regression", "unsupervised-adv": "unsupervised",
    "unsupervised-adv-detections": "unsupervised", "unsupervised-scale": "unsupervised",
    "unsupervised-scale-detections": "unsupervised",
}  # fmt: skip


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


#: Recipes that came later.
SINCE_0_1 = {
    "flow-broad",
    "flow-people",
    "flow-people-finish",
    "flow-shallow",
    "mdn-people",
    "relative-finish",
    "rotations-points",
    "so3-published-reduced",
    "supervised-people",
    "unsupervised-posterior",
    "unsupervised-scale-reduced",
}  # fmt: skip


# -- what ships ------------------------------------------------------------------------------------------------


def test_the_same_recipes_ship():
    assert set(shipped_recipes()) == set(GOLDEN) | SINCE_0_1
    assert all(about and not about.startswith("extends") for about in shipped_recipes().values())


@pytest.mark.parametrize("name", list(GOLDEN))
def test_shipped_recipes_are_unchanged(name):
    """All but the lifter's section to the letter; of that the method's name, and the configuration that it makes."""
    now, before = json.loads(json.dumps(read_recipe(name).as_dict())), dict(GOLDEN[name])
    lifter, old = now.pop("lifter"), before.pop("lifter")
    assert now == before
    assert (lifter["method"], old["method"], old.get("network", "ours")) == (
        (f"{PUBLISHED[name]}-published", PUBLISHED[name], "published")
        if name in PUBLISHED
        else (old["method"], old["method"], "ours")
    )
    assert lifter.get("init") == old.get("init")
    old = {"network": "ours"} | DEFAULTS_0_1.get(old["method"], {}) | {k: v for k, v in old.items() if k != "init"}
    if old["method"] not in ("mdn", "flow", "regression", "unsupervised"):
        del old["network"]  # one network only
    method, config = since_0_1(old.pop("method"), old)
    assert method == lifter["method"]
    make = model_class(method).config_class.from_dict
    assert make({k: v for k, v in lifter.items() if k not in ("method", "init")}) == make(config)


def test_shipped_recipes_are_short():
    files = [item for item in resources.files("poseterior.recipes").iterdir() if item.name.endswith(".yaml")]
    assert sum(len(item.read_text().splitlines()) for item in files) <= 20 * len(files)


# -- inheritance -----------------------------------------------------------------------------------------------


def test_a_file_extends_a_shipped_recipe(tmp_path):
    path = write(tmp_path, "mine.yaml", "extends: mdn\nlifter:\n  kernels: 3\nschedule:\n  steps: 7\n")
    mine, base = read_recipe(path).as_dict(), read_recipe("mdn").as_dict()
    assert mine["name"] == "mine"
    assert mine["lifter"] == base["lifter"] | {"kernels": 3}
    assert mine["schedule"] == base["schedule"] | {"steps": 7}
    for section in ("objectives", "data", "simulator", "calibrate", "labels"):
        assert mine[section] == base[section]


def test_lists_replace_and_null_takes_out(tmp_path):
    path = write(
        tmp_path,
        "mine.yaml",
        "extends: relative\nobjectives:\n  - name: likelihood\nlabels: null\nsimulator:\n  noise: [1.0, 2.0]\n",
    )
    mine = read_recipe(path)
    assert mine.objectives == [{"name": "likelihood"}]
    assert mine.labels is None
    assert mine.simulator.noise == (1.0, 2.0)
    assert mine.simulator.recombine == read_recipe("relative").simulator.recombine


def test_a_lifter_of_another_method_starts_anew(tmp_path):
    path = write(tmp_path, "mine.yaml", "extends: mdn\nlifter:\n  method: flow\n  layers: 4\n")
    assert read_recipe(path).lifter == {"method": "flow", "layers": 4}
    same = write(tmp_path, "same.yaml", "extends: mdn\nlifter:\n  method: mdn\n  kernels: 4\n")
    assert read_recipe(same).lifter == {**read_recipe("mdn").lifter, "kernels": 4}


def test_paths_are_taken_from_the_file_that_names_them(tmp_path, monkeypatch):
    write(tmp_path, "base.yaml", "name: base\nextends: mdn\nschedule:\n  steps: 3\n")
    write(tmp_path, "deep/middle.yaml", "extends: ../base.yaml\nschedule:\n  batch: 4\n")
    path = write(tmp_path, "deep/er/top.yaml", f"extends: {tmp_path / 'deep' / 'middle.yaml'}\n")
    monkeypatch.chdir(tmp_path / "deep")
    for place in (path, "er/top.yaml"):
        top = read_recipe(place, ["schedule.warmup=2"])
        assert (top.name, top.schedule.steps, top.schedule.batch, top.schedule.warmup) == ("top", 3, 4, 2)


def test_unknown_bases(tmp_path):
    path = write(tmp_path, "mine.yaml", "extends: nothing\n")
    with pytest.raises(InputError) as error:
        read_recipe(path)
    known = ", ".join(shipped_recipes())
    assert str(error.value) == f"{path}: extends: nothing: neither a file nor a shipped recipe; shipped: {known}"
    path = write(tmp_path, "list.yaml", "extends: [mdn, flow]\n")
    with pytest.raises(InputError) as error:
        read_recipe(path)
    message = f"{path}: extends: expected the name or the path of one recipe, got ['mdn', 'flow']"
    assert str(error.value) == message
    path = write(tmp_path, "bad.yaml", "extends: broken.yaml\n")
    write(tmp_path, "broken.yaml", "lifter: [\n")
    with pytest.raises(InputError, match=r"broken\.yaml: not YAML"):
        read_recipe(path)


def test_circles_are_refused(tmp_path):
    one = write(tmp_path, "one.yaml", "extends: two.yaml\n")
    write(tmp_path, "two.yaml", "extends: deep/three.yaml\n")
    write(tmp_path, "deep/three.yaml", "extends: ../one.yaml\n")
    with pytest.raises(InputError) as error:
        read_recipe(one)
    assert str(error.value) == (
        f"{one}: extends: the recipes extend each other in a circle: {one} -> two.yaml -> deep/three.yaml -> "
        "../one.yaml"
    )
    own = write(tmp_path, "own.yaml", "extends: own.yaml\n")
    with pytest.raises(InputError, match=r"in a circle: .*own\.yaml -> own\.yaml$"):
        read_recipe(own)


def test_parts_are_no_recipes(tmp_path):
    assert not any(name.startswith("_") for name in shipped_recipes())
    with pytest.raises(InputError, match="_studio: neither a file nor a shipped recipe"):
        read_recipe("_studio")
    text = "extends: _studio\nlifter:\n  method: mdn\nobjectives:\n  - name: likelihood\n"
    assert read_recipe(write(tmp_path, "mine.yaml", text)).simulator == read_recipe("relative-published").simulator


# -- what 0.1 wrote --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["ours", "published"])
def test_network_names_the_method_to_write(tmp_path, network):
    text = f"lifter:\n  method: mdn\n  network: {network}\nobjectives:\n  - name: likelihood\n"
    path = write(tmp_path, "old.yaml", text)
    with pytest.raises(InputError) as error:
        read_recipe(path)
    assert str(error.value) == (
        f"{path}: lifter.network: ours and the published network are two methods: write method: mdn or method: "
        "mdn-published, without network"
    )
    with pytest.raises(InputError, match=r"write method: flow or method: flow-published, without network"):
        read_recipe("flow-published", [f"lifter.network={network}"])
