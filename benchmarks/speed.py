"""Inner speed of lifters, beside an earlier build in turns and beside what the machine multiplies.

    OMP_NUM_THREADS=1 python benchmarks/speed.py --before HEAD~8 [--only flow mdn] [--rounds 3]

The earlier commit is checked out into a temporary folder. Both builds run the same rows by turns, each time in a new
process, so that what else the machine does falls on both. Times are of the processor (which on one thread are those of
the clock when nothing else runs), the least of the repeats in a process and the median of the rounds. The last column
is the share of the fastest product of float32 matrices in the same process that a flow's own products would need;
flops of a row are those of its networks alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from earlier import ROOT, earlier_build

NAMES = ("flow", "mdn", "rotations")
POSES, SAMPLES = 64, 200


def least_seconds(call: Callable[[], object], repeats: int = 7) -> float:
    """Of the processor, after a call that does not count."""
    call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def multiplying() -> float:
    """Operations a second of products of float32 matrices: the faster of torch's two libraries."""
    import torch

    rows, weight = torch.randn(2048, 192), torch.randn(192, 192)
    ways: list[Callable[[], object]] = [lambda: torch.nn.functional.linear(rows, weight)]
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if operator is not None:
        ways.append(lambda: operator(rows, weight, None, "none", [], ""))
    return 2.0 * 2048 * 192**2 / min(least_seconds(way, 30) for way in ways)


def measured(names: list[str]) -> Iterator[tuple[str, float, float]]:
    """Rows of this build: what, seconds, and operations that its networks' products need (0: not counted)."""
    import torch

    with torch.no_grad():
        for name in names:
            yield from _of_lifter(name)


def _of_lifter(name: str) -> Iterator[tuple[str, float, float]]:
    import poseterior as pp

    lifter = pp.load(name)
    one = pp.example_keypoints()[2:3]
    many = pp.Keypoints2D.cat([one] * POSES)
    flops = 0.0
    if name == "flow":
        networks: Any = lifter.couplings.nets
        flops = 2.0 * sum(p.numel() for n, p in networks.named_parameters() if "shared" not in n)
    points = 96 + SAMPLES  # the evidence needs the images of 96 latents

    def sample(keypoints: Any) -> Any:
        return lifter(keypoints).sample((SAMPLES,), seed=0)

    yield f"{name}: one frame x {SAMPLES}", least_seconds(lambda: sample(one)), flops * points
    if name == "rotations":
        yield f"{name}: 16 frames x {SAMPLES}", least_seconds(lambda: sample(many[:16]), 3), 0.0
        return
    yield f"{name}: {POSES} x {SAMPLES}", least_seconds(lambda: sample(many)), flops * POSES * points
    posterior: Any = lifter(many)
    poses = posterior.sample((SAMPLES,), seed=0)

    def density() -> Any:
        posterior.base._cache.pop("whitening", None)
        return posterior.log_prob(poses)

    yield f"{name}: log-density of {POSES} x {SAMPLES}", least_seconds(density), flops * POSES * SAMPLES
    if name == "flow":
        # how many steps a frame takes is its own matter: the mean of five
        several = [pp.example_keypoints()[row : row + 1] for row in range(5)]
        yield f"{name}: mode of one frame", least_seconds(lambda: [lifter(a).mode for a in several], 3) / 5, 0.0
        yield f"{name}: mode, a frame of 16", least_seconds(lambda: lifter(many[:16]).mode, 2) / 16, 0.0


def child(names: list[str]) -> None:
    limit = multiplying()
    print(json.dumps({"limit": limit, "rows": list(measured(names))}))


def run(source: Path, names: list[str]) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, __file__, "--child", "--only", *names]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(answer.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def compare(source: Path, before: Path, names: list[str], rounds: int) -> None:
    runs = [(run(source, names), run(before, names)) for _ in range(rounds)]
    limit = statistics.median(now["limit"] for now, _ in runs)
    print(f"float32 products: {limit / 1e9:.0f} thousand million operations a second")
    print(f"{'':36} {'now ms':>9} {'before ms':>9} {'ratio':>6} {'a second':>9} {'of limit':>8}")
    for at, (what, _, flops) in enumerate(runs[0][0]["rows"]):
        now, then = (statistics.median(pair[side]["rows"][at][1] for pair in runs) for side in (0, 1))
        ratio = statistics.median(b["rows"][at][1] / a["rows"][at][1] for a, b in runs)
        share = statistics.median(flops / a["limit"] / a["rows"][at][1] for a, _ in runs)
        hypotheses = SAMPLES * (POSES if f"{POSES} x" in what else 16 if "16 frames" in what else 1) / now
        count = "" if "mode" in what else f"{hypotheses:,.0f}"
        print(
            f"{what:36} {1e3 * now:9.2f} {1e3 * then:9.2f} {ratio:6.2f} {count:>9} {f'{share:.0%}' if flops else '':>8}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="HEAD", help="the earlier commit")
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=NAMES, help="lifters")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.only)
        return
    with earlier_build(options.before) as before:
        compare(ROOT / "src", before, options.only, options.rounds)


if __name__ == "__main__":
    main()
