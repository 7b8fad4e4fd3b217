"""No command replaces what it reads: every input against every output of every command, by every kind of name."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import poseterior.cli as cli
from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.files.writing import check_outputs
from poseterior.lifters.saved import folder_of


@dataclasses.dataclass(frozen=True)
class Command:
    """How a command names what it reads and writes.

    Attributes:
        words: how it begins.
        inputs: fields that are read, with the words that name the path.
        outputs: fields that are written, with the words that name the path, and the file that is written, below the
            path where that is a folder.
        needs: the inputs without which there is no run.
        more: other words that it needs.
    """

    words: str
    inputs: dict[str, str]
    outputs: dict[str, tuple[str, str]]
    needs: tuple[str, ...] = ()
    more: str = ""


_LIFTER = {"lifter": "--lifter {}"}
_DETECTOR = {"model": "--model {}", "noise_model": "--noise-model {}"}
_TOKEN = {"token_file": "--token-file {}"}
_FOLDER = {"folder": "{}"}
_OBSERVED = {"out": ("--out {}", "x.parquet")}
_MOCAP = {"out": ("--out {}", "store")}

COMMANDS = {
    "Demo": Command("demo", _LIFTER, {"out": ("--out {}", "d/scene.html")}),
    "Lift": Command(
        "lift",
        {"files": "{}", "camera": "--camera {}", "photo": "--photo {}"} | _DETECTOR | _LIFTER,
        {
            "keypoints": ("--keypoints {}", "k.json"),
            "out": ("--out {}", "x.json"), "motion": ("--motion {}", "x.npz"), "view": ("--view {}", "x.html"),
            "picture": ("--picture {}", "x.png"), "video": ("--video {}", "x.gif"),
        },
        ("files",),
    ),
    "Fuse": Command(
        "fuse",
        {"files": "{}", "calibration": "--calibration {}"} | _DETECTOR | _LIFTER,
        {
            "out": ("--out {}", "x.json"), "motion": ("--motion {}", "x.npz"), "view": ("--view {}", "x.html"),
            "picture": ("--picture {}", "x.png"),
        },
        ("files", "calibration"),
    ),
    "detectors.List": Command("detectors list", {}, {}),
    "detectors.Fetch": Command("detectors fetch blazepose", {"package": "--package {}"}, {}),
    "detectors.Calibrate": Command(
        "detectors calibrate blazepose",
        {"data": "--data {}", "calibration": "--calibration {}", "model": "--model {}"},
        {"out": ("--out {}", "x.json")},
        ("data",),
    ),
    "Ik": Command(
        "ik",
        {"file": "{}", "mesh": "--mesh {}"} | _LIFTER,
        {"out": ("--out {}", "x.npz"), "view": ("--view {}", "x.html"), "picture": ("--picture {}", "x.png")},
        ("file",),
    ),
    "prior.Sample": Command(
        "prior sample",
        _LIFTER,
        {"out": ("--out {}", "x.npz"), "view": ("--view {}", "x.html"), "picture": ("--picture {}", "x.png")},
    ),
    "prior.Score": Command("prior score", {"file": "{}"} | _LIFTER, {"out": ("--out {}", "x.json")}, ("file",)),
    "View": Command(
        "view",
        {"result": "{}", "camera": "--camera {}", "photo": "--photo {}", "mesh": "--mesh {}"} | _TOKEN,
        {
            "html": ("--html {}", "x.html"), "png": ("--png {}", "x.png"), "overlay": ("--overlay {}", "x.pdf"),
            "picture": ("--picture {}", "x.png"),
        },
        ("result",),
    ),
    "Angles": Command(
        "angles", {"result": "{}"}, {"out": ("--out {}", "x.csv"), "plot": ("--plot {}", "x.png")}, ("result",)
    ),
    "Lifters": Command("lifters", {}, {}),
    "Formats": Command("formats", {}, {}),
    "Heatmaps": Command("heatmaps fit", {"file": "{}"}, {"out": ("--out {}", "x.npz")}, ("file",)),
    "Keypoints": Command("keypoints click", {"image": "{}"} | _TOKEN, {"out": ("--out {}", "x.json")}, ("image",)),
    "Annotate": Command(
        "annotate",
        {"images": "{}", "keypoints": "--keypoints {}", "gold": "--gold {}", "db": "--db {}"} | _TOKEN,
        {"export": ("--export {}", "x.parquet")},
        ("images",),
    ),
    "labels.Import": Command(
        "labels import",
        {"file": "{}"},
        {"out": ("--out {}", "x.parquet"), "keypoints": ("--keypoints {}", "y.parquet")},
        ("file", "out"),
    ),
    "labels.Export": Command("labels export", {"labels": "{}"}, {"out": ("--out {}", "x.csv")}, ("labels",)),
    "labels.Merge": Command(
        "labels merge", {"labels": "{}", "gold": "--gold {}"}, {"out": ("--out {}", "x.parquet")}, ("labels",)
    ),
    "labels.Inspect": Command("labels inspect", {"labels": "{}"}, {}),
    "data.Inspect": Command("data inspect", {"store": "{}"}, {"png": ("--png {}", "x.png")}, ("store",)),
    "data.Rigs": Command("data rigs", {"file": "{}"}, {"picture": ("--picture {}", "x.png")}, ("file",)),
    "data.Leaks": Command("data leaks", {"train": "{}", "test": "{}"}, {}, ("train", "test")),
    "data.Simulate": Command(
        "data simulate", {"store": "{}"}, {"out": ("--out {}", "x.parquet")}, ("store",), "--protocol cmu-test"
    ),
    "_imports.Bvh": Command("data import bvh", {"paths": "{}"}, _MOCAP, ("paths",)),
    "_imports.Gltf": Command("data import gltf", {"paths": "{}"}, _MOCAP, ("paths",)),
    "_imports.AsfAmc": Command("data import asfamc", {"paths": "{}"}, _MOCAP, ("paths",)),
    "_imports.Amass": Command(
        "data import amass", {"paths": "{}", "rest_skeleton": "--rest-skeleton {}"}, _MOCAP, ("paths",)
    ),
    "_imports.H36m": Command(
        "data import h36m", {"path": "{}", "detections": "--detections {}"}, _OBSERVED, ("path",), "--split test"
    ),
    "_imports.H36mH5": Command("data import h36m-h5", _FOLDER, _OBSERVED, ("folder",), "--split test"),
    "_imports.H36mNpz": Command("data import h36m-npz", _FOLDER, _OBSERVED, ("folder",), "--split test"),
    "_imports.MpiInf3dhp": Command("data import mpi-inf-3dhp", _FOLDER, _OBSERVED, ("folder",)),
    "_imports.ThreeDPW": Command("data import 3dpw", _FOLDER, _OBSERVED, ("folder",), "--split test"),
    "_imports.Lsp": Command("data import lsp", _FOLDER, _OBSERVED, ("folder",), "--split test"),
    "_imports.YuH5": Command("data import yu-h5", {"file": "{}"}, _OBSERVED, ("file",)),
    "Train": Command(
        "train mdn",
        {
            "data": "data={}", "data.observations": "data.observations={}",
            "data.labels": "data.labels={} data.observations=o.parquet", "lifter.init": "lifter.init={}",
        },
        {"out": ("--out {}", "run/losses.csv")},
    ),
    "Evaluate": Command(
        "evaluate mdn",
        {"data": "--data {}", "subset": "--subset {}", "novelty": "--novelty {}", "labels": "--labels {}"},
        {"out": ("--out {}", "x.json"), "figures": ("--figures {}", "f/spread.png")},
        ("data",),
    ),
    "Bench": Command(
        "bench",
        {
            "data": "--data {}", "cross": "--cross {}", "observations": "--observations {}",
            "results": "--results theirs={}", "strangers": "--strangers {}", "novelty": "--novelty {}",
            "labels": "--labels {}",
        },
        {"out": ("--out {}", "b/bench.json")},
    ),
    "Compare": Command(
        "compare", {"file": "{} mdn", "photo": "--photo {}"} | _DETECTOR, {"out": ("--out {}", "x.png")}, ("file",)
    ),
    "Calibrate": Command(
        "calibrate {weights}",
        {"data": "--data {}", "test": "--test other={}"},
        {"out": ("", "weights/calibration.json")},
        ("data",),
    ),
    "data.Lift": Command(
        "data lift", {"data": "{}", "lifter": "--lifter {}"}, _MOCAP, ("data", "lifter")
    ),
    "weights.Import": Command(
        "weights import ronchi_2018",
        {"files": "{}", "data": "--data {}", "card": "--card {}"},
        {"out": ("--out {}", "w")},
        ("files",),
    ),
    "weights.Export": Command("weights export ronchi_2018 {weights}", {}, {"out": ("--out {}", "e/x.pth.tar")}),
    "Export": Command("export onnx", {"lifter": "{}"}, {"out": ("--out {}", "x.onnx")}, ("lifter",)),
    "Playground": Command(
        "playground --no-open", {"runtime": "--runtime {}"} | _LIFTER, {"out": ("--out {}", "p/index.html")}
    ),
    "Experiments": Command(
        "experiments relative",
        {"data": "--data {}", "test": "--test {}", "labels": "--labels {}"},
        {"out": ("--out {}", "e/results.json")},
        ("data",),
    ),
}  # fmt: skip
#: What names neither an input nor an output.
OTHERS: dict[str, set[str]] = {}


def _leaves(hint: Any) -> Iterator[type]:
    """The commands of the command line, below those that only hold others."""
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for choice in typing.get_args(hint):
            yield from _leaves(choice)
        return
    holds = [field for field in ("command", "format") if field in getattr(hint, "__annotations__", {})]
    groups = [h for h in (typing.get_type_hints(hint, include_extras=True).get(f) for f in holds) if _is_group(h)]
    if not groups:
        yield hint
    for group in groups:
        yield from _leaves(group)


def _is_group(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and "SubcommandConfig" in repr(hint)


def _name(leaf: type) -> str:
    module = leaf.__module__.rpartition(".")[2]
    return leaf.__name__ if module == leaf.__name__.lower() else f"{module}.{leaf.__name__}"


def test_every_path_of_every_command_is_known_here():
    """A new command, or a new path of one, has to say here whether it is read or written, and is then tried."""
    leaves = {_name(leaf): leaf for leaf in _leaves(cli._Command)}
    assert set(leaves) == set(COMMANDS)
    for name, leaf in leaves.items():
        hints = typing.get_type_hints(leaf)
        paths = {field.name for field in dataclasses.fields(leaf) if "Path" in repr(hints[field.name])}
        known = set(COMMANDS[name].inputs) | set(COMMANDS[name].outputs) | OTHERS.get(name, set())
        assert paths <= known, f"{name}: are {paths - known} read or written?"


PAIRS = [
    pytest.param(command, i, o, id=f"{name}-{i}-{o}")
    for name, command in COMMANDS.items()
    for i in command.inputs
    for o in command.outputs
]


def _words(command: Command, i: str, o: str, read: Path, written: Path, folder: Path) -> list[str]:
    """The command line that reads ``read`` as its input ``i`` and writes ``written``, below the path of ``o``."""
    words = command.words.format(weights=folder / "weights").split()
    for field in command.needs:
        if field == i:
            continue
        if field in command.inputs:
            (folder / "another").write_text("x")
            words += command.inputs[field].format(folder / "another").split()
        elif field != o:
            words += command.outputs[field][0].format(folder / command.outputs[field][1]).split()
    words += command.inputs[i].format(read).split()
    tokens, file = command.outputs[o]
    return words + tokens.format(folder / Path(file).parts[0]).split() + command.more.split()


@pytest.mark.parametrize(("command", "i", "o"), PAIRS)
def test_an_input_is_never_replaced(command, i, o, tmp_path, capsys, monkeypatch):
    """The output is a link to the input, so that the extension is right; nothing is read before it is refused."""
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text("{}")
    (tmp_path / "photo").mkdir()
    read = tmp_path / "input.csv" if command.words == "labels import" else tmp_path / "input"
    written = tmp_path / command.outputs[o][1]
    if i == "lifter":  # a folder that is read; the output is in the place of a file in it
        read = tmp_path / "given"
        read.mkdir()
        (read / "config.json").write_text("precious")
        target = read / "config.json"
    else:
        read.write_text("precious")
        target = read
    written.parent.mkdir(parents=True, exist_ok=True)
    written.symlink_to(target)
    status = main(_words(command, i, o, read, written, tmp_path))
    told = capsys.readouterr().err
    assert status == 2, told
    assert str(read) in told
    assert str(written) in told
    assert re.search(r"is the input|is read, and would be replaced", told), told
    assert target.read_text() == "precious"
    assert written.is_symlink()


def names(folder: Path) -> dict[str, Path]:
    """Names of the file ``folder / "in.json"`` other than its own."""
    (folder / "below").mkdir()
    (folder / "soft.json").symlink_to(folder / "in.json")
    (folder / "softer.json").symlink_to("soft.json")
    os.link(folder / "in.json", folder / "hard.json")
    (folder / "there").symlink_to(folder)
    return {
        "itself": folder / "in.json",
        "another spelling": folder / "below" / ".." / "in.json",
        "relative": Path("in.json"),
        "symbolic link": folder / "soft.json",
        "link to a link": folder / "softer.json",
        "hard link": folder / "hard.json",
        "through a linked folder": folder / "there" / "in.json",
    }


@pytest.mark.parametrize(
    "name",
    ["itself", "another spelling", "relative", "symbolic link", "link to a link", "hard link",
     "through a linked folder"],
)  # fmt: skip
def test_lift_sees_through_names(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text("precious")
    out = names(tmp_path)[name]
    assert main(["lift", str(tmp_path / "in.json"), "--out", str(out)]) == 2
    assert f"--out {out}: is the input {tmp_path / 'in.json'}, which it would replace" in capsys.readouterr().err
    assert main(["lift", str(out), "--out", str(tmp_path / "in.json")]) == 2
    assert f"--out {tmp_path / 'in.json'}: is the input {out}, which" in capsys.readouterr().err
    assert (tmp_path / "in.json").read_text() == "precious"


def test_a_folder_that_is_read_keeps_its_files(tmp_path):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    (tmp_path / "photos" / "a.png").write_text("x")
    (tmp_path / "photos" / "more" / "b.png").write_text("x")
    (tmp_path / "outside.png").symlink_to(tmp_path / "photos" / "a.png")
    check_outputs({"--png": tmp_path / "photos" / "new.png"}, [tmp_path / "photos"])
    check_outputs({"--png": tmp_path / "other.png"}, [tmp_path / "photos", None])
    for name in ("photos/a.png", "photos/more/b.png", "outside.png"):
        with pytest.raises(InputError, match=rf"--png .*{name}: stands in the folder .*photos, which is read"):
            check_outputs({"--png": tmp_path / name}, [tmp_path / "photos"])
    with pytest.raises(InputError, match=r"--out .*photos: holds the input .*b\.png, which it would replace"):
        check_outputs({"--out": tmp_path / "photos"}, [tmp_path / "photos" / "more" / "b.png"])


def test_two_outputs_are_two_files(tmp_path, capsys):
    (tmp_path / "in.json").write_text("x")
    out = str(tmp_path / "x.npz")
    assert main(["lift", str(tmp_path / "in.json"), "--out", out, "--motion", f"{tmp_path}/./x.npz"]) == 2
    assert f"x.npz: is --out {out} too; give each a name of its own" in capsys.readouterr().err


def test_numbered_files_are_no_inputs_either(tmp_path, capsys):
    """``walk.bvh`` of three hypotheses is ``walk-1.bvh`` ..., which here is what they are made of."""
    lifter = tmp_path / "rotations"
    shutil.copytree(folder_of("rotations"), lifter, ignore=shutil.ignore_patterns("calibration.json"))
    points = np.random.default_rng(0).normal(0, 0.3, (2, 17, 3))
    np.savez(tmp_path / "walk-2.npz", points=points)
    before = (tmp_path / "walk-2.npz").read_bytes()
    words = ["ik", str(tmp_path / "walk-2.npz"), "--skeleton", "h36m17", "--samples", "4", "--lifter", str(lifter)]
    assert main([*words, "--count", "3", "--out", str(tmp_path / "walk.npz")]) == 2
    assert f"--out {tmp_path / 'walk-2.npz'}: is the input {tmp_path / 'walk-2.npz'}" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["rotations", "walk-2.npz"]
    assert (tmp_path / "walk-2.npz").read_bytes() == before


def test_a_folder_of_results_does_not_replace_photographs(tmp_path, capsys):
    """Results of a folder of photographs go by the photographs' names; a link does not hide that it is the same."""
    from PIL import Image

    from poseterior.geometry.skeletons import SKELETONS

    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 64)).save(photos / "a.png")
    np.save(photos / "a.npy", np.random.default_rng(0).uniform(10, 50, (1, len(SKELETONS["h36m17"].joints), 2)))
    before = (photos / "a.png").read_bytes()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").symlink_to(photos / "a.png")
    (tmp_path / "same").symlink_to(photos)
    words = ["lift", str(photos), "--skeleton", "h36m17", "--samples", "4", "--out"]
    assert main([*words, str(tmp_path / "out")]) == 2
    assert f"a.png: is the input {photos / 'a.png'}, which it would replace" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "same")]) == 2
    assert "is the folder of the photographs, whose files it would replace" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


@pytest.mark.parametrize("name", ["x.parquet.part", "x.parquet.part.log"])
def test_what_a_result_is_called_until_it_is_complete_is_no_input(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("{}")
    assert main(["lift", name, "--out", "x.parquet"]) == 2
    assert f"{name}: is the input {name}, which it would replace" in capsys.readouterr().err
    assert Path(name).read_text() == "{}"
