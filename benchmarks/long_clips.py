"""`poseterior lift` of one long clip, as a whole (the default): time and memory of each number of frames.

    OMP_NUM_THREADS=1 python benchmarks/long_clips.py [STORE] [--frames 2000 5000 20000] [--lifter mdn] [--samples 200]
    OMP_NUM_THREADS=1 python benchmarks/long_clips.py [STORE] --clip off --suffix .bvh

The longest clip of a store (without one, a person who swings arms and legs) goes to and fro before a camera that
stands still, and is seen with 3 px of noise. Each number of frames is lifted to Parquet, or another file,
in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from poseterior import example_keypoints, load
from poseterior.data.store import PoseStore
from poseterior.geometry.cameras import project
from poseterior.geometry.skeletons import SKELETONS

JOINTS = list(SKELETONS["h36m17"].joints)
INTRINSICS = [1000.0, 1000.0, 640.0, 480.0]


def of_store(folder: str) -> torch.Tensor:
    """The longest clip at 30 frames a second, on the spot: (frames, 17, 3) metres, y up."""
    poses = PoseStore(folder).load(fps=30)
    numbers, counts = np.unique(poses.clip, return_counts=True)
    world = torch.from_numpy(poses.select(poses.clip == numbers[counts.argmax()]).h36m17).double()
    return world - world[:, :1] * torch.tensor([0.8, 0.0, 0.8], dtype=world.dtype)


def swinging(frames: int = 600) -> torch.Tensor:
    """A standing person whose limbs swing, likewise."""
    standing = load("mdn")(example_keypoints()[:1]).mean[0].double() * torch.tensor([1.0, -1.0, -1.0])
    poses = standing.expand(frames, 17, 3).clone()
    phase = 2 * math.pi * torch.arange(frames) / 30.0
    for name, reach in (("knee", 0.12), ("ankle", 0.25), ("elbow", 0.08), ("wrist", 0.2)):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            poses[:, JOINTS.index(f"{side}_{name}"), 2] += sign * reach * phase.sin()
    return poses


def write(path: Path, world: torch.Tensor, frames: int) -> None:
    """Keypoints, a frame a line."""
    there_and_back = torch.cat([world, world.flip(0)])
    poses = there_and_back.repeat(-(-frames // len(there_and_back)), 1, 1)[:frames]
    camera = (poses - poses[:, 0].mean(0)) * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, 4.5])
    xy = project(camera, torch.tensor(INTRINSICS, dtype=camera.dtype))
    xy = xy + 3.0 * torch.randn(xy.shape, generator=torch.Generator().manual_seed(0), dtype=xy.dtype)
    about = {"joints": JOINTS, "intrinsics": INTRINSICS, "image_size": [1280, 960], "fps": 30}
    about["covariance"] = [[[9.0, 0.0], [0.0, 9.0]]] * 17
    with path.open("w") as file:
        for frame in xy.tolist():
            points = [[round(value, 2) for value in point] for point in frame]
            file.write(json.dumps({**about, "keypoints": points}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", nargs="?")
    parser.add_argument("--frames", type=int, nargs="+", default=[2_000, 5_000, 20_000])
    parser.add_argument("--lifter", default="mdn")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--clip", default="auto")
    parser.add_argument("--suffix", default=".parquet")
    arguments = parser.parse_args()
    world = swinging() if arguments.store is None else of_store(arguments.store)
    with tempfile.TemporaryDirectory() as folder:
        for frames in sorted(arguments.frames):  # the peak is of the largest process so far
            path = Path(folder) / f"{frames}.jsonl"
            write(path, world, frames)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            out = path.with_suffix(arguments.suffix)
            command = ["lift", str(path), "--out", str(out), "--lifter", arguments.lifter, "--clip", arguments.clip]
            subprocess.run(
                [sys.executable, "-m", "poseterior", *command, "--samples", str(arguments.samples)],
                check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
            each = 1000 * seconds / frames
            peak = used.ru_maxrss / 1024
            print(f"{frames} frames: {seconds:.1f} s of the processor ({each:.1f} ms each), peak {peak:.0f} MiB")


if __name__ == "__main__":
    main()
