"""Time of lifting one frame x 200 samples, beside an earlier build, on a machine that others use too.

    OMP_NUM_THREADS=1 python benchmarks/one_frame.py --before 3865e7e [--rounds 9] [--only flow mdn]

Both builds stay loaded, each in a process of its own, and take turns of 40 ms: what else the machine does falls on
both. Times are of the processor, the least of each turn and the median of the turns; ratios are of neighbouring turns.
``lift`` is `poseterior.lift` of one picture, ``sample`` the lifter's answer and its samples alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from earlier import ROOT, earlier_build

NAMES, SAMPLES, TURN = ("flow", "mdn"), 200, 0.04


def calls(names: list[str]) -> dict[str, Callable[[], object]]:
    import poseterior as pp

    one = pp.example_keypoints()[2:3]
    found: dict[str, Callable[[], object]] = {}
    for name in names:
        lifter = pp.load(name)
        found[f"{name}: sample"] = lambda lifter=lifter: lifter(one).sample((SAMPLES,), seed=0)
        found[f"{name}: lift"] = lambda lifter=lifter: pp.lift(lifter, one, samples=SAMPLES)
    return found


def child(names: list[str]) -> None:
    """Answers each line, the name of a call, by the least seconds of a turn."""
    known = calls(names)
    for line in sys.stdin:
        call, times, begun = known[line.strip()], [], time.process_time()
        while time.process_time() - begun < TURN or len(times) < 4:
            start = time.process_time()
            call()
            times.append(time.process_time() - start)
        print(min(times), flush=True)


def started(source: Path, names: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--child", "--only", *names]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def asked(process: subprocess.Popen[str], what: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    print(what, file=process.stdin, flush=True)
    return 1e3 * float(process.stdout.readline())


def compare(before: Path, names: list[str], rounds: int) -> None:
    with started(ROOT / "src", names) as now, started(before, names) as then:
        print(f"{'':16} {'now ms':>8} {'before ms':>10} {'ratio':>6}")
        for what in (f"{name}: {part}" for name in names for part in ("sample", "lift")):
            turns = [(asked(now, what), asked(then, what)) for _ in range(rounds + 1)][1:]
            new, old = (statistics.median(column) for column in zip(*turns, strict=True))
            ratio = statistics.median(after / ours for ours, after in turns)
            print(f"{what:16} {new:8.2f} {old:10.2f} {ratio:6.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="HEAD", help="the earlier commit")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=[*NAMES, "rotations"], help="lifters")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.only)
        return
    with earlier_build(options.before) as before:
        compare(before, options.only, options.rounds)


if __name__ == "__main__":
    main()
