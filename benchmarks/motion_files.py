"""BVH files read and written: time of this checkout beside pybvh's, in one process; memory of writing long ones.

    OMP_NUM_THREADS=1 python benchmarks/motion_files.py [--frames 28000] [--rounds 5]

A file of 22 joints and the frames asked for (28,000 are 21 MB) is written, and read by both, in turns: hierarchy,
numbers, and the places of all joints by forward kinematics. Of the times of the processor the best of each counts. Both
must put the joints at the same places, to a nanometre.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pybvh
import roma
import torch

from poseterior.data.mocap.bvh import read_bvh
from poseterior.geometry.body import rest_offsets
from poseterior.results.animation import Animation, save_animation


def motion(frames: int) -> Animation:
    """Somebody whose joints wander."""
    draw = np.random.default_rng(0)
    turns = np.cumsum(draw.normal(0, 0.02, (frames, 22, 3)), 0)
    rotations = roma.rotvec_to_unitquat(torch.from_numpy(turns)).numpy()
    offsets = np.asarray(rest_offsets(), dtype=np.float64)[:22]
    return Animation(rotations, offsets, np.cumsum(draw.normal(0, 0.01, (frames, 3)), 0), 30.0)


def read_by_pybvh(path: Path) -> Any:
    return np.asarray(pybvh.read_bvh_file(path, world_up="+y").node_positions())


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=28_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    clip = motion(arguments.frames)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "motion.bvh"
        save_animation(clip, path)
        writing, _ = timed(lambda: save_animation(clip, path))
        size = path.stat().st_size / 1e6
        print(f"{arguments.frames} frames, {size:.1f} MB: written in {writing:.2f} s; peak {peak():.0f} MiB")
        read_bvh(path)  # what is imported, and filled, once
        theirs, ours = [], []
        for _ in range(arguments.rounds):
            seconds, places = timed(lambda: read_by_pybvh(path))
            theirs.append(seconds)
            seconds, found = timed(lambda: read_bvh(path))
            ours.append(seconds)
            if np.abs(places - found.positions).max() > 1e-7:  # centimetres
                raise SystemExit("they do not read the same")
    print(f"pybvh {min(theirs):.3f} s, this {min(ours):.3f} s: {min(theirs) / min(ours):.2f} x pybvh")


if __name__ == "__main__":
    main()
