"""Live against the rest: one call a frame, what it costs, and what it is worth beside frames alone and whole clips.

    OMP_NUM_THREADS=1 python benchmarks/live.py mdn flow --data cmu-motion=stores/cmu-test

Milliseconds are of processor time, of one call on one core: the filtered posterior with its mean and regions of level
0.9, and the same with the smoother's answer of 5 frames ago, its mean and its regions. Accuracy is as of
`benchmarks/clips.py`: frame by frame, live, 5 frames late, and whole clips, of the same weights in the same run. With
``--data gaps=STORE`` nobody is seen in a fifth of the frames.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from poseterior.data.observations import ObservationSet
from poseterior.data.simulation.protocols import PROTOCOLS, simulate
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.distributions.regions import Region
from poseterior.evaluation.clips import clips_in, measure_clips
from poseterior.files.writing import atomic_write
from poseterior.lifters import Lifter, load
from poseterior.lifting.clips import SMOOTHING
from poseterior.lifting.clips.frames import Frames
from poseterior.lifting.clips.method import Smoothing
from poseterior.lifting.live import LiveLifter, LivePose

LAG = 5
NUMBERS = (
    "MPJPE", "P-MPJPE", "MPJVE", "acceleration error", "energy score", "calibration", "calibration, signed", "held",
    "radius", "velocity calibration", "bone change", "knee error", "knee held", "height held", "height error",
    "missing: MPJPE", "missing: energy score", "missing: held",
)  # fmt: skip


class Answers:
    """What was said of the frames of a clip one by one, as a distribution over motions."""

    def __init__(self, poses: list[LivePose], errors: ClipErrors) -> None:
        self.poses, self.errors = poses, errors
        self.mean = torch.stack([pose.mean for pose in poses])

    def sample(self, samples: int = 200, *, seed: int = 0) -> torch.Tensor:
        del seed  # the k-th hypotheses of all frames are one, and were drawn by the live lifter's own seed
        return torch.stack([pose.sample(samples) for pose in self.poses], 1)

    def region(self, level: float = 0.9) -> Region:
        found = [pose.region(level) for pose in self.poses]
        parts = {name: torch.stack([getattr(one, name) for one in found]) for name in ("centre", "radius")}
        whole = torch.stack([one.pose_radius for one in found])
        return Region(level=level, pose_radius=whole, calibrated=found[0].calibrated, **parts)

    def height(self, level: float = 0.9) -> tuple[float, float, float]:
        """As it is known at the end."""
        return self.poses[-1].height(level)


class Live(Smoothing):
    """Live answers as a method that `poseterior.evaluation.clips` measures; ``lag`` frames late, if any."""

    places = False

    def __init__(self, lag: int | None = None, **options: Any) -> None:
        self.lag, self.options = lag, options

    def motions(self, lifter: Lifter, frames: Frames, errors: ClipErrors | None) -> Any:
        """Answers of every frame; of those before somebody is seen, what is said of the first one that shows them."""
        used = errors or lifter.clips or ClipErrors()
        live = LiveLifter(lifter, frames.fps, lag=self.lag, errors=used, max_gap=math.inf, **self.options)
        keypoints = frames.keypoints
        if frames.told is not None:
            keypoints = keypoints._replace(height=torch.full_like(keypoints.height, frames.told))
        said = [live(keypoints[number]) for number in range(len(frames))]
        if self.lag is not None:
            # Nothing is known after the end: the last frames are what the smoother says then.
            said = [*said[self.lag :], *(live(None) for _ in range(self.lag))]
            said = [pose and pose.lagged for pose in said]
        first = next(pose for pose in said if pose is not None)
        return Answers([pose or first for pose in said], used)


def time_of_calls(lifter: Lifter, data: ObservationSet, frames: int) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of milliseconds of processor time a call."""
    keypoints = next(clips_in(data)).observations.keypoints
    rows = [keypoints[number % len(keypoints)] for number in range(frames + 10)]
    found = {}
    for name, lag in (("live", None), (f"live and {LAG} frames late", LAG)):
        live, spent = LiveLifter(lifter, PROTOCOLS["cmu-motion"].fps, lag=lag), []
        for row in rows:
            started = time.process_time()
            now = live(row)
            if now is not None:
                _ = now.mean, now.covariance, now.velocity, now.region(0.9)
                if lag is not None and now.lagged is not None:
                    _ = now.lagged.mean, now.lagged.region(0.9)
            spent.append(1000 * (time.process_time() - started))
        found[name] = (float(np.median(spent[10:])), float(np.percentile(spent[10:], 95)))
    return found


def accuracy(lifter: Lifter, data: ObservationSet, fps: float, options: argparse.Namespace) -> dict[str, dict]:
    """By way to lift."""
    errors = ClipErrors() if lifter.clips is None else None
    ways = {"clip": SMOOTHING, "live": Live(), f"{LAG} frames late": Live(LAG)}
    found: dict[str, dict] = {}
    for name, method in ways.items():
        numbers = measure_clips(
            method, lifter, data, fps, samples=options.samples, errors=errors, raw=False, clips=options.clips
        )
        found.setdefault("frames", numbers["frames"])
        found[name] = numbers["clip"]
    return {name: found[name] for name in ("frames", "live", f"{LAG} frames late", "clip")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lifters", nargs="+")
    parser.add_argument("--data", action="append", required=True, help="PROTOCOL=STORE")
    parser.add_argument("--poses", type=int, default=1000, help="frames of a protocol, from the middle of its clips")
    parser.add_argument("--clips", type=int, default=None, help="clips measured, evenly spread")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--calls", type=int, default=200, help="calls that are timed")
    parser.add_argument("--out", type=Path, default=None, help="JSON of all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    everything: dict[str, Any] = {}
    for path in options.lifters:
        lifter, own = load(path), everything.setdefault(path, {})
        for text in options.data:
            protocol, _, store = text.partition("=")
            data = simulate(store, protocol, options.poses)
            if "milliseconds" not in own:
                own["milliseconds"] = time_of_calls(lifter, data, options.calls)
                for name, (median, most) in own["milliseconds"].items():
                    print(f"{path}: {name}: {median:.1f} ms a call, 95th percentile {most:.1f} ms", flush=True)
            found = own[protocol] = accuracy(lifter, data, PROTOCOLS[protocol].fps, options)
            print(f"\n{protocol}: {path}, at most {options.poses} frames, {options.samples} samples")
            print(f"{'':24s}" + "".join(f"{name:>18s}" for name in found))
            for number in NUMBERS:
                if any(number in numbers for numbers in found.values()):
                    cells = (f"{numbers.get(number, math.nan):18.3f}" for numbers in found.values())
                    print(f"{number:24s}" + "".join(cells), flush=True)
    if options.out:
        with atomic_write(options.out) as file:
            file.write((json.dumps(everything, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
