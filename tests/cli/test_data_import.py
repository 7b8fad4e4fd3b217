"""`poseterior data import FORMAT`: a subcommand per format, each with its own options only."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from poseterior.cli import main
from poseterior.cli._imports import Importer
from poseterior.data.mocap import importing

#: Subcommand -> options, beside --out and --overwrite, which all have.
OPTIONS = {
    "bvh": {
        "append",
        "skip-bad",
        "subject",
        "licence",
        "units",
        "up",
        "any-size",
        "rig",
        "fps",
        "trunk",
        "first-frame",
    },
    "gltf": {"append", "skip-bad", "subject", "licence", "units", "up", "any-size", "rig", "fps"},
    "asfamc": {"append", "skip-bad", "subject", "licence", "units", "up", "any-size", "fps"},
    "amass": {"append", "skip-bad", "subject", "licence", "rest-skeleton", "units", "up", "any-size"},
    "h36m": {"split", "detections"},
    "h36m-h5": {"split", "detections", "every"},
    "h36m-npz": {"split", "detections", "every"},
    "mpi-inf-3dhp": {"every"},
    "3dpw": {"split", "detections", "every"},
    "lsp": {"split"},
    "yu-h5": {"detections"},
}


def importers() -> dict[str, type]:
    """Subcommand -> its class."""
    return {config.name: cls for cls, config in (get_args(part) for part in get_args(Importer))}


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and what was printed, without boxes and line breaks."""
    with pytest.raises(SystemExit) as stop:
        main(["data", "import", *arguments])
    out = capsys.readouterr()
    return int(stop.value.code or 0), " ".join(re.sub("[│╭╮╰╯─]", " ", out.out + out.err).split())


@pytest.mark.parametrize("name", OPTIONS)
def test_each_format_has_its_own_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = told(capsys, name, "--help")
    assert code == 0
    shown = set(re.findall(r"(?<![\w-])--(?!no-)([a-z][a-z-]*)", text.split(" options ", 1)[1]))
    assert shown == OPTIONS[name] | {"help", "out", "overwrite"}
    assert f"Example: poseterior data import {name} " in text


def test_every_reader_has_a_subcommand() -> None:
    assert set(importers()) == set(OPTIONS)
    assert set(importing.FORMATS) == {name for name, options in OPTIONS.items() if "append" in options}


def test_every_format_has_its_row_in_the_docs() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text()
    tables = page.split("| format | what it is |")[1:]
    rows = [row.split("|")[1].strip() for table in tables for row in table.split("\n\n")[0].splitlines()[2:]]
    assert {row.strip("`") for row in rows} == set(OPTIONS)


@pytest.mark.parametrize(
    ("name", "module", "option", "constant"),
    [
        ("h36m", "h36m", "split", "SPLITS"),
        ("h36m-h5", "h36m_layout", "split", "SPLITS"),
        ("h36m-h5", "h36m_h5", "detections", "DETECTIONS"),
        ("h36m-npz", "h36m_layout", "split", "SPLITS"),
        ("3dpw", "three_dpw", "split", "SPLITS"),
        ("3dpw", "three_dpw", "detections", "DETECTIONS"),
        ("lsp", "lsp", "split", "SPLITS"),
        ("yu-h5", "yu_h5", "detections", "DETECTIONS"),
    ],
)
def test_the_choices_are_those_of_the_reader(name: str, module: str, option: str, constant: str) -> None:
    known = getattr(importlib.import_module(f"poseterior.data.sets.{module}"), constant)
    assert get_args(get_type_hints(importers()[name])[option]) == tuple(known)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["h36m", "a.pickle"], "Missing from poseterior data import h36m: --split {train,test,test-hard}"),
        (["3dpw", "a", "--split", "test-hard"], "Expected one of ('train', 'validation', 'test')"),
        (["h36m", "a.pickle", "--split", "test", "--units", "mm"], "--units (applied to poseterior data import h36m)"),
        (["h36m", "a.pickle", "b", "--split", "test"], "Unrecognized options: b"),
        (["mpi-inf-3dhp", "a", "--split", "test"], "--split (applied to poseterior data import mpi-inf-3dhp)"),
        (["bvh", "a", "--every", "2"], "--every (applied to poseterior data import bvh)"),
        (["amass", "a", "--rig", "smpl"], "--rig (applied to poseterior data import amass)"),
        (["fbx", "a"], "fbx"),
    ],
)
def test_options_of_other_formats_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, *arguments, "--out", "a.parquet")
    assert code == 2
    assert message in text


def test_the_importers_share_no_state() -> None:
    for cls in importers().values():
        assert dataclasses.is_dataclass(cls)
        assert {f.name for f in dataclasses.fields(cls)} >= {"out", "overwrite"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lsp", "nowhere", "--split", "train", "--out", "{t}/a.csv"], "--out {t}/a.csv: unknown extension '.csv'"),
        (["lsp", "nowhere", "--split", "train", "--out", "{t}/a.parquet"], "nowhere/joints.mat: no such file"),
        (["mpi-inf-3dhp", "{t}", "--every", "0", "--out", "{t}/a.parquet"], "every: expected at least 1, got 0"),
        (["bvh", "--out", "{t}/s"], "no path given; name mocap files or folders"),
        (["bvh", "{t}", "--out", "{t}/s"], "no *.bvh file found"),
        (["asfamc", "{t}", "--fps", "0", "--out", "{t}/s"], "fps is 0.0; give a positive rate"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], message: str, tmp_path, capsys) -> None:
    assert main(["data", "import", *(part.format(t=tmp_path) for part in arguments)]) == 2
    assert message.format(t=tmp_path) in " ".join(capsys.readouterr().err.split())
