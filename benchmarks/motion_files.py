"""BVH files read and written: time of this checkout beside pybvh's, in one process; memory of writing long ones.

    OMP_NUM_THREADS=1 python benchmarks/motion_files.py [--frames 28000] [--rounds 5]
    OMP_NUM_THREADS=1 python benchmarks/motion_files.py --frames 3000 --samples 200

A file of 22 joints and the frames asked for (28,000 are 21 MB) is written, and read by both, in turns: hierarchy,
numbers, and the places of all joints by forward kinematics. Of the times of the processor the best of each counts. Both
must put the joints at the same places, to a nanometre. With ``--samples`` the smoothest way through so many
hypotheses of each frame is written instead, and what that takes in memory.
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
from poseterior.results.rotations import RotationResult


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


def hypotheses(frames: int, samples: int) -> RotationResult:
    """Rotations that scatter about a pose."""
    draw = np.random.default_rng(0)
    about = draw.normal(size=(22, 4))
    turns = np.empty((frames, samples, 22, 4), np.float32)
    for frame in range(frames):  # little at a time: what counts is what saving takes
        turns[frame] = about + 0.2 * draw.normal(size=(samples, 22, 4))
        turns[frame] /= np.linalg.norm(turns[frame], axis=-1, keepdims=True)
    return RotationResult(
        rotations=turns, log_prob=draw.normal(size=(frames, samples)).astype(np.float32), mean=turns[:, 0].copy(),
        spread=np.zeros((frames, 22), np.float32), offsets=rest_offsets().repeat(frames, 1, 1).numpy(),
        root=np.zeros((frames, 3), np.float32), axes="camera", modelled=(), file=np.full(frames, "walk"),
        frame=np.arange(frames), person=np.zeros(frames, np.int64), settings={"fps": "30.0"},
    )  # fmt: skip


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=28_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int)
    arguments = parser.parse_args()
    if arguments.samples:
        with tempfile.TemporaryDirectory() as folder:
            found, before = hypotheses(arguments.frames, arguments.samples), peak()
            seconds, _ = timed(lambda: found.save(Path(folder) / "motion.bvh"))
        print(
            f"{arguments.frames} x {arguments.samples}: {seconds:.1f} s, {peak() - before:.0f} MiB above {before:.0f}"
        )
        return
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
