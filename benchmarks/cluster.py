"""Lifting by a Ray cluster on this machine: two workers against one, and against the same files without Ray.

    OMP_NUM_THREADS=1 python benchmarks/cluster.py [--files 8] [--frames 2000] [--samples 50] [--lifter mdn]

Processor seconds of the workers are what counts where the machine has other work too: the speed-up is those of one
worker over those of the busier of two. Wall seconds are from the first block to the last, without Ray's start. The
parts have to be the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import poseterior as pp
from poseterior.files.places import Place, place_of, stored_files
from poseterior.keypoints.told import Told
from poseterior.keypoints.writing import write_keypoints
from poseterior.lifting.blocks import Block, BlockLifter, Job, Reading, blocks_to_do, record_of
from poseterior.lifting.cluster import RayLifter, cluster, lift_by_ray
from poseterior.lifting.stream import How


@dataclass(frozen=True)
class Args:
    files: int
    frames: int
    samples: int
    lifter: str


class Timed(RayLifter):
    """Notes the processor seconds and the time of each block beside the parts."""

    def lift(self, block: Block) -> dict[str, Any]:
        wall, used = time.time(), time.process_time()
        row = super().lift(block)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        note = {"pid": os.getpid(), "cpu": time.process_time() - used, "from": wall, "to": time.time(), "GB": peak}
        folder = self._lift._job.out.address + ".notes"
        Path(folder, block.part).write_text(json.dumps(note))
        return row


def clips(folder: Path, files: int, frames: int) -> None:
    """Files of somebody who drifts through the picture."""
    one = pp.example_keypoints().as_skeleton("h36m17")[2]
    for number in range(files):
        rng = np.random.default_rng(number)
        drift = np.cumsum(rng.normal(0, 0.3, (frames, 1, 2)), 0) + rng.normal(0, 1, (frames, 17, 2))
        ids = [(f"walk{number}.jsonl", frame, 0) for frame in range(frames)]
        found = pp.Keypoints2D(one.xy.numpy() + drift, image_size=(640, 480), ids=ids)
        write_keypoints(found, folder / f"walk{number}.jsonl")


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--lifter", default="mdn")
    args = Args(**vars(parser.parse_args()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clips").mkdir()
        clips(folder / "clips", args.files, args.frames)
        files = stored_files([folder / "clips"], (".jsonl",))
        lifter = pp.load(args.lifter)
        job = Job(place_of(folder / "alone"), How(args.samples), Reading(), Told())
        record = record_of(job, lifter, files)
        blocks = list(blocks_to_do(record, files, None, ()))
        poses = args.files * args.frames
        print(f"{args.lifter}: {poses:,} frames x {args.samples} samples in {len(blocks)} blocks")
        Path(job.out.address).mkdir()
        begun, used = time.time(), time.process_time()
        lift = BlockLifter(lifter, job)
        for block in blocks:
            lift(block)
        lift.close()
        print(f"without Ray     {time.process_time() - used:7.1f} CPU s   {time.time() - begun:7.1f} s")
        alone = parts(folder / "alone")
        busiest = {}
        with cluster():
            for workers in (1, 2):
                out = folder / f"workers{workers}"
                out.mkdir()
                notes = Path(f"{out}.notes")
                notes.mkdir()
                lift_by_ray(lifter, replace(job, out=Place(str(out), str(out))), blocks, workers, actor=Timed)
                found = [json.loads(path.read_text()) for path in notes.iterdir()]
                wall = max(one["to"] for one in found) - min(one["from"] for one in found)
                each: dict[int, float] = {}
                for one in found:
                    each[one["pid"]] = each.get(one["pid"], 0.0) + one["cpu"]
                busiest[workers] = max(each.values())
                spent = ", ".join(f"{seconds:.1f}" for seconds in each.values())
                same = "the same bytes" if parts(out) == alone else "OTHER BYTES"
                peak = max(one["GB"] for one in found)
                print(f"workers: {workers}     {spent:>11} CPU s   {wall:7.1f} s   {peak:.2f} GB each   {same}")
        print(f"two workers: {busiest[1] / busiest[2]:.2f} x one, by the processor seconds of the busier")


if __name__ == "__main__":
    main()
