"""Speed of the simulator, against one observation at a time in the same run.

OMP_NUM_THREADS=2 python benchmarks/simulator.py STORE
"""

from __future__ import annotations

import sys
import time

import torch

from poseterior.data.simulation.simulator import Simulator
from poseterior.data.store import PoseStore


def rate(simulator: Simulator, batch: int, batches: int) -> float:
    generator = torch.Generator().manual_seed(0)
    simulator(batch, generator)
    start = time.perf_counter()
    for _ in range(batches):
        simulator(batch, generator)
    return batch * batches / (time.perf_counter() - start)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/simulator.py STORE")
    simulator = Simulator(PoseStore(sys.argv[1]).load(fps=30))
    single, batched = rate(simulator, 1, 100), rate(simulator, 2048, 20)
    print(f"{torch.get_num_threads()} threads; one at a time: {single:,.0f} observations/s")
    print(f"batches of 2,048: {batched:,.0f} observations/s (bar 20,000): {batched / single:.0f} x")


if __name__ == "__main__":
    main()
