"""Time and peak memory of lifting many poses to a file, beside an earlier build in the same run.

    python benchmarks/streaming.py                                # the figures of the table, against HEAD~1
    python benchmarks/streaming.py --before 241db4f --only mdn20
    python benchmarks/streaming.py --scale 0.1                    # a tenth of the poses

Keypoints of walking stick figures in a Parquet table, a row per frame. Each figure is a process of its own on one core
(``OMP_NUM_THREADS=1``; ``summary2`` on two, by ``--workers 2``): seconds on the clock from its start to its end, CPU
seconds, and the most memory that it, or any of its processes, had. ``lifter alone`` is the same poses lifted without
any file: what streaming cannot go below. Options that the earlier build does not know are left out of its command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from earlier import ROOT, earlier_build

JOINTS = (
    "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
    "neck", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
#: Of a person who stands before the camera, px.
STANDING = np.array(
    [
        [320, 240], [300, 240], [298, 310], [296, 380], [340, 240], [342, 310], [344, 380], [320, 200], [320, 160],
        [320, 135], [320, 115], [345, 165], [352, 205], [355, 240], [295, 165], [288, 205], [285, 240],
    ],
    np.float64,
)  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One row of the table: a lifter, its samples, how many frames, and options that only this build has."""

    about: str
    lifter: str
    samples: int
    frames: int
    more: tuple[str, ...] = ()
    before: bool = True


FIGURES = {
    "mdn20": Figure("mdn x 20", "mdn", 20, 100_000),
    "mdn200": Figure("mdn x 200", "mdn", 200, 10_000),
    "flow200": Figure("flow x 200", "flow", 200, 1_000),
    "summary1": Figure("mdn, summary", "mdn", 0, 100_000, before=False),
    "summary10": Figure("mdn, summary", "mdn", 0, 1_000_000, before=False),
    "summary2": Figure("mdn, summary, 2 workers", "mdn", 0, 1_000_000, ("--workers", "2"), before=False),
}  # fmt: skip


def write_keypoints(path: Path, frames: int, seed: int = 0) -> None:
    """A person who walks through the picture, swings arms and legs, and is seen with noise of 2 px."""
    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, frames, 10_000):
        number = np.arange(start, min(start + 10_000, frames))
        swing = np.sin(2 * np.pi * number / 30.0)[:, None]
        xy = STANDING + np.zeros((len(number), 1, 1))
        xy[:, [2, 3, 12, 13], 0] += 25 * swing
        xy[:, [5, 6, 15, 16], 0] -= 25 * swing
        xy += [[[100 * np.sin(n / 500), 10 * np.cos(n / 700)]] for n in number.tolist()]
        xy += rng.normal(0, 2, xy.shape)
        columns = {"frame": number, "person": np.zeros(len(number), np.int64)}
        for joint, name in enumerate(JOINTS):
            columns |= {f"{name}_x": xy[:, joint, 0], f"{name}_y": xy[:, joint, 1]}
            columns[f"{name}_score"] = rng.uniform(0.7, 1.0, len(number))
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


_MEASURED = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([code.returncode, time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss,
                  code.stderr[-300:]]))
"""


def measured(source: Path, arguments: Sequence[str]) -> tuple[float, float, float] | str:
    """Seconds, CPU seconds and gigabytes of one command with that source tree; why it failed, where it did."""
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _MEASURED, sys.executable, *arguments]
    found = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    code, wall, cpu, kilobytes, said = found
    return (wall, cpu, kilobytes / 1e6) if code == 0 else f"refused: {said.strip().splitlines()[-1][:80]}"


_ALONE = """
import sys, torch
import poseterior as pp
from poseterior.lifting.draws import draw
torch.set_num_threads(1)
lifter, keypoints = pp.load(sys.argv[1]), pp.read_keypoints(sys.argv[2], image_size=(640, 480))
for _ in draw(lifter, keypoints, int(sys.argv[3])):
    pass
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="HEAD~1", help="the earlier commit")
    parser.add_argument("--only", nargs="*", default=list(FIGURES), choices=list(FIGURES), help="figures")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the frames")
    options = parser.parse_args()
    with earlier_build(options.before) as before, tempfile.TemporaryDirectory() as folder:
        print(f"one core unless said; before: {options.before}")
        print(f"{'':26}{'frames':>10}{'':14}{'s':>8}{'CPU s':>8}{'ms/frame':>10}{'frames/s':>10}{'GB':>7}")
        for name in options.only:
            _row(FIGURES[name], Path(folder), before, options.scale)


def _row(figure: Figure, folder: Path, before: Path, scale: float) -> None:
    frames = max(int(figure.frames * scale), 1)
    table, out = folder / f"{frames}.parquet", folder / "out.parquet"
    if not table.exists():
        write_keypoints(table, frames)
    lift = ["-m", "poseterior", "lift", str(table), "--image-size", "640", "480", "--lifter", figure.lifter]
    lift += ["--samples", str(figure.samples), "--clip", "off", "--out", str(out)]
    runs: list[tuple[str, Path, list[str]]] = [("now", ROOT / "src", [*lift, *figure.more])]
    if figure.before:
        runs.append(("before", before, lift))
    if frames <= 100_000:
        runs.append(("lifter alone", ROOT / "src", ["-c", _ALONE, figure.lifter, str(table), str(figure.samples)]))
    for label, source, arguments in runs:
        found = measured(source, arguments)
        head = f"{figure.about:26}{frames:>10,}  {label:12}"
        if isinstance(found, str):
            print(f"{head}{found}", flush=True)
            continue
        wall, cpu, memory = found
        print(f"{head}{wall:8.1f}{cpu:8.1f}{1000 * wall / frames:10.3f}{frames / wall:10,.0f}{memory:7.2f}", flush=True)
        out.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
