"""How long a step of training takes, beside an earlier build, and where the time goes.

    OMP_NUM_THREADS=1 python benchmarks/training.py STORE --before 9e5f1c0 --recipes mdn flow --steps 60

Each recipe trains that many steps on a store of motions with both builds by turns, in processes of their own; what is
told is the processor's time between the first step and the last, per step, and observations per second. `--parts`
also prints the operations that take most of it. `--workers 1` draws observations in a process beside.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from earlier import ROOT, earlier_build

CHILD = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import torch
from lightning.pytorch.trainer.trainer import Trainer
from poseterior.training.run import train
recipe, store, out, steps, workers, parts = sys.argv[1:7]
steps, times, fit = int(steps), [], Trainer.fit
from poseterior.training.module import LiftingModule
on_start = LiftingModule.on_train_batch_start
def started(self, batch, index):
    times.append((time.process_time(), time.perf_counter()))
    size.append(self.schedule.batch)
    return on_start(self, batch, index)
size = []
LiftingModule.on_train_batch_start = started
if parts == "1":
    def profiled(self, *a, **k):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            fit(self, *a, **k)
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=40),
              file=sys.stderr)
    Trainer.fit = profiled
changes = [f"data={store}", f"schedule.steps={steps}", "schedule.validate_every=0", "schedule.save_every=1000000"]
train(recipe, out, changes=changes, device="cpu", progress=False, workers=int(workers))
first = 5
n = len(times) - 1 - first
cpu, wall = ((times[-1][i] - times[first][i]) / n for i in (0, 1))
print(json.dumps([1000 * cpu, 1000 * wall, size[0]]))
"""


def step(source: Path, recipe: str, told: argparse.Namespace, parts: bool = False) -> tuple[float, float, int]:
    """Milliseconds per step of the processor and of the clock, and observations per step."""
    with tempfile.TemporaryDirectory() as folder:
        words = [recipe, str(told.store), f"{folder}/run", str(told.steps), str(told.workers), "1" if parts else "0"]
        environment = os.environ | {"PYTHONPATH": str(source)}
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *words], capture_output=True, text=True, env=environment, check=False
        )
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    if parts:
        print(done.stderr[done.stderr.find("---") :])
    cpu, wall, size = json.loads(done.stdout.splitlines()[-1])
    return cpu, wall, size


def main() -> None:
    """Print a line for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="motions, of `poseterior data import`")
    parser.add_argument("--before", default="a9bd206", help="commit of the build beside")
    parser.add_argument("--recipes", nargs="+", default=["mdn", "flow", "rotations", "relative"])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, choices=(0, 1))
    parser.add_argument("--parts", action="store_true", help="also which operations take the time, of this build")
    told = parser.parse_args()
    told.store = told.store.resolve()
    print(f"{'recipe':24} {'now, ms':>9} {'before, ms':>11} {'ratio':>6} {'observations/s':>15}")
    with earlier_build(told.before) as before:
        for recipe in told.recipes:
            found: dict[str, list[tuple[float, float, int]]] = {"now": [], "before": []}
            for _ in range(told.rounds):
                for name, source in (("now", ROOT / "src"), ("before", before)):
                    found[name].append(step(source, recipe, told))
            now, then = (statistics.median(cpu for cpu, _, _ in found[name]) for name in ("now", "before"))
            print(f"{recipe:24} {now:9.1f} {then:11.1f} {then / now:6.2f} {1000 * found['now'][0][2] / now:15,.0f}")
            if told.parts:
                step(ROOT / "src", recipe, told, parts=True)


if __name__ == "__main__":
    main()
