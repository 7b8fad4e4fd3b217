"""Commands on a disk that is really full: one line that names the path, no traceback, nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import SMALL, made_up_store
from poseterior.lifters.saved import folder_of

#: Runs commands one after the other on a disk with so many free kB, and prints what became of each.
_ON_A_FULL_DISK = r"""
import contextlib, io, json, os, shutil, subprocess, sys, traceback
disk, cases = sys.argv[1], json.loads(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
from poseterior.cli import main
for name, (free, words) in cases.items():
    for left in os.listdir(disk):
        path = os.path.join(disk, left)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    with contextlib.suppress(OSError), open(os.path.join(disk, "fill"), "wb") as fill:
        fill.write(b"x" * (2 * 1024 - free) * 1024)
    read, write = os.pipe()
    if os.fork() == 0:
        os.dup2(write, 1), os.dup2(write, 2)
        os.close(read)
        with open(os.devnull, "w") as quiet:
            os.dup2(quiet.fileno(), 1)
            try:
                status = main(words)
            except BaseException:
                traceback.print_exc()
                status = 1
            sys.stderr.flush()
            os._exit(status)
    os.close(write)
    told = os.fdopen(read).read()
    status = os.waitstatus_to_exitcode(os.wait()[1])
    there = sorted(os.path.relpath(os.path.join(at, file), disk) for at, _, files in os.walk(disk) for file in files)
    print(json.dumps([name, status, told, there]), flush=True)
"""


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/tmp"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, Path]:
    """Small inputs of every kind, on another disk."""
    import poseterior as pp

    folder = tmp_path_factory.mktemp("inputs")
    rotations = folder / "rotations"
    shutil.copytree(folder_of("rotations"), rotations, ignore=shutil.ignore_patterns("calibration.json"))
    labels = "# skeleton: lsp14\nimage,joint_a,joint_b,label,confidence,annotator,time\n"
    rows = np.random.default_rng(0).integers(0, 2, 3000)
    labels += "".join(f"im{i:05d},left_knee,right_knee,{2 * row - 1},1,a{i % 7},\n" for i, row in enumerate(rows))
    (folder / "labels.csv").write_text(labels)
    grid = np.arange(32.0)
    blob = np.exp(-((grid[:, None] - 8) ** 2 + (grid - 7) ** 2) / 8)
    np.savez(folder / "heatmaps.npz", heatmaps=np.broadcast_to(blob, (60, 16, 32, 32)).astype(np.float32))
    pp.lift(pp.load(str(rotations)), pp.example_keypoints()[:1], 4, 0).motion().save(folder / "still.bvh")
    made = {name: folder / name for name in ("labels.csv", "heatmaps.npz", "still.bvh", "rotations")}
    made["keypoints"] = folder_of("mdn").parents[1] / "examples" / "demo.json"
    made["store"] = made_up_store(folder / "store")
    made["labels"] = folder / "labels.parquet"
    made["obs"] = folder / "obs.parquet"
    made["result"] = folder / "result.npz"
    pp.lift(pp.load("mdn"), pp.example_keypoints(), 8, 0).save(made["result"])
    from poseterior.cli import main

    assert main(["labels", "import", str(folder / "labels.csv"), "--out", str(made["labels"])]) == 0
    assert main(["data", "simulate", str(made["store"]), "--protocol", "cmu-test", "--out", str(made["obs"])]) == 0
    return made


#: Free kB, and the command; DISK is the full disk, the other names in capitals are inputs. The last word is the path
#: that has to be named.
CASES: dict[str, tuple[int, str]] = {
    "lift to parquet": (4, "lift KEYPOINTS --samples 20 --out DISK/x.parquet"),
    "lift to npz": (4, "lift KEYPOINTS --samples 20 --out DISK/x.npz"),
    "lift to json": (4, "lift KEYPOINTS --samples 20 --json-samples --out DISK/x.json"),
    "lift to html": (64, "lift KEYPOINTS --samples 20 --view DISK/x.html"),
    "lift to png": (4, "lift KEYPOINTS --samples 20 --picture DISK/x.png"),
    "lift to bvh": (0, "lift KEYPOINTS --samples 4 --lifter ROTATIONS --out DISK/x.bvh"),
    "ik to npz": (0, "ik RESULT --samples 4 --lifter ROTATIONS --out DISK/x.npz"),
    "prior sample": (0, "prior sample --lifter ROTATIONS --out DISK/x.npz"),
    "view to html": (64, "view RESULT --html DISK/x.html"),
    "view to png": (4, "view RESULT --png DISK/x.png"),
    "view to svg": (4, "view RESULT --overlay DISK/x.svg"),
    "heatmaps": (4, "heatmaps fit HEATMAPS.NPZ --skeleton mpii16 --out DISK/x.npz"),
    "labels import": (4, "labels import LABELS.CSV --out DISK/x.parquet"),
    "labels export": (4, "labels export LABELS --out DISK/x.csv"),
    "labels merge": (4, "labels merge LABELS --method majority --out DISK/x.parquet"),
    "data import": (0, "data import bvh STILL.BVH --out DISK/x"),
    "data inspect": (4, "data inspect STORE --png DISK/x.png"),
    "data simulate": (4, "data simulate STORE --protocol cmu-test --out DISK/x.parquet"),
    "evaluate": (0, "evaluate mdn --data OBS --poses 40 --samples 20 --mode-poses 1 --out DISK/x.json"),
    "demo": (4, "demo --samples 20 --out DISK/x"),
    "bench": (40, "bench mdn --observations OBS --poses 40 --samples 20 --mode-poses 1 --out DISK/x"),
    "train, no room at all": (0, "train mdn SMALL data=STORE steps=8 --quiet --device cpu --out DISK/x"),
    "train, no room for checkpoints": (40, "train mdn SMALL data=STORE steps=8 --quiet --device cpu --out DISK/x"),
    "train, no room for logs": (
        16, "train mdn SMALL data=STORE steps=900 schedule.save_every=9000 --quiet --device cpu --out DISK/x"
    ),
}  # fmt: skip
#: What stays of a command that writes several files: those that were whole before the disk was full.
WHOLE = {"demo": set(), "bench": {"x/observations/obs.parquet"}}


#: Those that the ordinary suite tries.
ORDINARY = ("lift to parquet", "labels merge", "train, no room for checkpoints", "train, no room for logs")
SLOW = [name for name in CASES if name not in ORDINARY]


@pytest.fixture(scope="module")
def became(inputs, tmp_path_factory) -> Callable[[str], tuple[int, str, list[str]]]:
    """Status, standard error and remaining files of a case; all that are asked for alike run in one process."""
    if not _can_mount():
        pytest.skip("no disk may be mounted here")
    disk = tmp_path_factory.mktemp("disk")
    places: dict[str, Any] = {name.upper(): path for name, path in inputs.items()}
    found: dict[str, tuple[int, str, list[str]]] = {}

    def words(text: str) -> list[str]:
        out: list[str] = []
        for word in text.split():
            option, equals, place = word.partition("=")
            if word == "SMALL":
                out += SMALL
            elif equals and place in places:
                out.append(f"{option}={places[place]}")
            else:
                out.append(str(places.get(word, word.replace("DISK", str(disk)))))
        return out

    def case(name: str) -> tuple[int, str, list[str]]:
        if name not in found:
            group = ORDINARY if name in ORDINARY else SLOW
            cases = {one: (CASES[one][0], words(CASES[one][1])) for one in group}
            command = ["unshare", "-rm", sys.executable, "-c", _ON_A_FULL_DISK, str(disk), json.dumps(cases)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            assert len(lines) == len(cases), done.stderr
            found.update({one: (status, told.replace(str(disk), "DISK"), left) for one, status, told, left in lines})
        return found[name]

    return case


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ORDINARY else pytest.mark.slow) for name in CASES]
)
def test_a_full_disk_is_one_line(became, name):
    status, told, there = became(name)
    errors = [line for line in told.splitlines() if "error" in line.lower() or "Traceback" in line]
    assert status == 2, told
    assert len(errors) == 1, told
    assert errors[0].startswith("poseterior: error: DISK/x"), told
    assert "No space left on device" in errors[0] or "the encoder failed" in errors[0], told
    left = set(there) - {"fill"}
    if name.startswith("train"):
        assert not [file for file in left if file.endswith(("-tmp", "-old"))]
    else:
        assert left == WHOLE.get(name, set())


def test_a_full_disk_below_standard_output(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "poseterior", "lifters"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "poseterior: error: standard output: No space left on device\n"
