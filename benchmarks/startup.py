"""How long `poseterior --help` and `import poseterior` take, beside an earlier build on the same machine.

    python benchmarks/startup.py                  # against e067248, the build before the rooms were rebuilt
    python benchmarks/startup.py --before HEAD~1 --repeats 21

Checks the earlier commit out into a temporary folder and runs both by turns, so that what else the machine does falls
on both. Prints the median of the runs in seconds of the processor, and the ratio; the bare interpreter's start is part
of each. What the earlier build has no command for is left open. Modules are compiled once, in the run that does not
count, as they are where a package was installed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from earlier import ROOT, earlier_build

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import poseterior": ["-c", "import poseterior"],
    "poseterior --help": ["-m", "poseterior", "--help"],
    "poseterior lift --help": ["-m", "poseterior", "lift", "--help"],
    "poseterior lifters": ["-m", "poseterior", "lifters"],
    "poseterior formats": ["-m", "poseterior", "formats"],
    "import torch": ["-c", "import torch"],
    "lift one frame": ["-m", "poseterior", "lift", "ONE.json", "--out", "ONE.npz"],
    "the same to Parquet": ["-m", "poseterior", "lift", "ONE.json", "--out", "ONE.parquet"],
}
#: Keypoints of one person in one frame, px.
ONE = {
    "skeleton": "h36m17", "image_size": [640, 480],
    "keypoints": [
        [320, 240], [300, 240], [298, 310], [296, 380], [340, 240], [342, 310], [344, 380], [320, 200], [320, 160],
        [320, 135], [320, 115], [345, 165], [352, 205], [355, 240], [295, 165], [288, 205], [285, 240],
    ],
}  # fmt: skip


def seconds(source: Path, arguments: list[str], compiled: str) -> float:
    """Of the processor, of one run with that source tree; NaN where it ends badly."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return math.nan
    return ended.ru_utime - begun.ru_utime + ended.ru_stime - begun.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="e067248", help="the earlier commit")
    parser.add_argument("--repeats", type=int, default=11, help="runs of each, after one that does not count")
    options = parser.parse_args()
    with earlier_build(options.before) as before, tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.json"
        one.write_text(json.dumps(ONE))
        names = ("ONE.json", "ONE.npz", "ONE.parquet")
        places = {name: str(one.with_suffix(Path(name).suffix)) for name in names}
        print(f"median of {options.repeats} runs, seconds of the processor; before: {options.before}")
        print(f"{'':24} {'now':>7} {'before':>7} {'ratio':>7}")
        for name, words in COMMANDS.items():
            arguments = [places.get(word, word) for word in words]
            trees = (ROOT / "src", before)
            runs = [
                [seconds(tree, arguments, f"{folder}/compiled") for tree in trees] for _ in range(options.repeats + 1)
            ][1:]
            now, then = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{name:24} {now:7.3f} {then:7.3f} {now / then:7.2f}")


if __name__ == "__main__":
    main()
