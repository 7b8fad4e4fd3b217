"""How large an installation is and how long it takes, beside an earlier build's, in the same run.

    python benchmarks/install_size.py                 # against e067248, when everything was always installed
    python benchmarks/install_size.py --extras "" view train

Makes an empty environment for each, installs the last commit with the pins of its own constraints.txt, and adds up the
files of site-packages by distribution. What torch is and brings is counted apart, and so are pip and setuptools: they
are the same in all. Needs 2 GB of disk for each, and package indexes (or pip's cache: a second run is quicker).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Run by the new environment's interpreter: bytes on disk per distribution, and what torch brings.
MEASURE = """
import importlib.metadata as m, json, os, re
from pip._vendor.packaging.requirements import Requirement
name = lambda text: re.sub(r"[-_.]+", "-", text).lower()
found = {name(d.metadata["Name"]): d for d in m.distributions()}
size = lambda path: os.stat(path).st_blocks * 512 if os.path.isfile(path) else 0
sizes = {key: sum(size(d.locate_file(f)) for f in d.files or []) for key, d in found.items()}
torch, todo = set(), ["torch"]
while todo:
    key = todo.pop()
    if key in torch or key not in found:
        continue
    torch.add(key)
    wanted = map(Requirement, found[key].requires or [])
    todo += [name(r.name) for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
print(json.dumps([sizes, sorted(torch)]))
"""


def check_out(commit: str, folder: Path) -> Path:
    """The files of a commit, where pip's leavings are in nobody's way."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    folder.mkdir()
    subprocess.run(["tar", "x"], cwd=folder, input=archive, check=True)
    return folder


def install(source: Path, extra: str, environment: Path) -> tuple[float, dict[str, int], set[str]]:
    """Seconds of pip, bytes per distribution, and those that are torch's."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    wanted = f"{source}[{extra}]" if extra else str(source)
    command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    begun = time.perf_counter()
    subprocess.run([*command, "-c", source / "constraints.txt", wanted], check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    told = subprocess.run([python, "-c", MEASURE], check=True, stdout=subprocess.PIPE, text=True, env=alone).stdout
    sizes, torch = json.loads(told)
    return seconds, sizes, set(torch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="e067248", help="the earlier commit")
    parser.add_argument("--extras", nargs="*", default=["", "view"], help="of the last commit; an empty one is none")
    arguments = parser.parse_args()
    first = None
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs = [(arguments.before, check_out(arguments.before, folder / "before"), "")]
        now = check_out("HEAD", folder / "now")
        runs += [(f"HEAD[{extra}]" if extra else "HEAD", now, extra) for extra in arguments.extras]
        for number, (name, source, extra) in enumerate(runs):
            environment = folder / f"environment{number}"
            seconds, sizes, torch = install(source, extra, environment)
            others = {
                key: size for key, size in sizes.items() if key not in torch | {"pip", "setuptools", "poseterior"}
            }
            total = sum(others.values())
            first = first or total
            largest = sorted(others, key=lambda key: -others[key])[:6]
            print(
                f"{name}: dependencies without torch and what it brings {total / 1e6:.0f} MB ({total / first:.0%}) in"
                f" {len(others)} packages ({', '.join(f'{key} {others[key] / 1e6:.0f}' for key in largest)}); torch and"
                f" what it brings {sum(sizes[key] for key in torch) / 1e6:.0f} MB; poseterior"
                f" {sizes['poseterior'] / 1e6:.0f} MB; installed in {seconds:.0f} s",
                flush=True,
            )
            subprocess.run(["rm", "-r", environment], check=True)


if __name__ == "__main__":
    main()
