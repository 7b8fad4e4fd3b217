"""Clips against frames: what the posterior of a motion is worth beside the same lifter's answers frame by frame.

``measure`` prints a table for each protocol; ``fit`` measures on simulated people how the errors of a lifter's frames
hang together, and writes ``clips.json`` beside its weights (`poseterior calibrate --clips` does so too, with the rest).

    python benchmarks/clips.py fit runs/flow/weights --data stores/cmu-train
    python benchmarks/clips.py measure flow --data cmu-motion=stores/cmu-test --data bandai-motion=stores/bandai
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch

from poseterior.data.observations import ObservationSet
from poseterior.data.simulation.protocols import PROTOCOLS, simulate
from poseterior.distributions.clip_errors import CLIPS_FILE, ClipErrors
from poseterior.evaluation.clip_errors import fit_clip_errors, simulated_clips
from poseterior.evaluation.clips import measure_clips
from poseterior.files.writing import atomic_write
from poseterior.geometry.kinematics import body_height
from poseterior.lifters import load
from poseterior.lifters.saved import folder_of
from poseterior.lifting.clips import SMOOTHING
from poseterior.lifting.clips.method import Smoothing


def fit(options: argparse.Namespace) -> None:
    """Write clips.json."""
    folder = folder_of(options.lifter)
    (folder / CLIPS_FILE).unlink(missing_ok=True)
    lifter = load(folder)
    clips = simulated_clips(options.data[0].rpartition("=")[2], options.clips, options.frames, options.seed)
    described = f"{len(clips)} clips of {options.frames} frames of a simulated population"
    found = fit_clip_errors(SMOOTHING, lifter, clips, described)
    with atomic_write(folder / CLIPS_FILE) as file:
        file.write(found.for_lifter(folder).to_json().encode())
    print(
        f"across {found.across}\ndepth  {found.depth}\n"
        f"hidden {found.hidden:.3f}, size {found.size:.3f}, height {found.height:.3f}"
    )
    print(f"wrote {folder / CLIPS_FILE}")


def told(data: ObservationSet, seed: int) -> ObservationSet:
    """The same where the height of each clip's person is told, right to 2 %; of bodies that are known in full."""
    observed = data.observations
    names = [identity.file for identity in observed.keypoints.ids]
    generator = torch.Generator().manual_seed(seed)
    error = {name: 1.0 + 0.02 * float(torch.randn((), generator=generator)) for name in dict.fromkeys(names)}
    height = body_height(observed.pose) * torch.tensor([error[name] for name in names])
    mean = {name: height[torch.tensor([other == name for other in names])].mean() for name in error}
    height = torch.where(observed.observed.all(-1), torch.stack([mean[name] for name in names]), torch.nan)
    keypoints = observed.keypoints.with_camera(height=height)
    return dataclasses.replace(data, observations=dataclasses.replace(observed, keypoints=keypoints))


def measure(options: argparse.Namespace) -> None:
    """Print a table for each protocol, and write all numbers."""
    lifter = load(options.lifter)
    everything = {}
    for text in options.data:
        name, _, path = text.partition("=")
        data = simulate(path, name, options.poses)
        data = told(data, options.seed) if options.height else data
        errors = ClipErrors() if lifter.clips is None else None
        found = measure_clips(
            Smoothing(options.contacts), lifter, data, PROTOCOLS[name].fps, samples=options.samples,
            seed=options.seed, errors=errors, raw=not options.quick, clips=options.clips,
        )  # fmt: skip
        everything[name] = found
        print(f"\n{name}: {options.lifter}, at most {options.poses} frames, {options.samples} samples", flush=True)
        print(f"{'':36s}" + "".join(f"{kind:>26s}" for kind in found))
        for number in dict.fromkeys(key for numbers in found.values() for key in numbers):
            cells = (f"{numbers[number]:26.3f}" if number in numbers else f"{'-':>26s}" for numbers in found.values())
            print(f"{number:36s}" + "".join(cells), flush=True)
    if options.out:
        with atomic_write(options.out) as file:
            file.write((json.dumps(everything, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "fit"))
    parser.add_argument("lifter")
    parser.add_argument("--data", action="append", required=True, help="PROTOCOL=STORE; a store to fit on")
    parser.add_argument("--poses", type=int, default=1000, help="frames of a protocol, from the middle of its clips")
    parser.add_argument("--clips", type=int, default=None, help="clips measured, evenly spread; to fit on: 120")
    parser.add_argument("--frames", type=int, default=36, help="of each clip that is fitted on")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--height", action="store_true", help="the height of each clip's person is told, right to 2 %%")
    parser.add_argument("--quick", action="store_true", help="not the frames without evidence")
    parser.add_argument("--contacts", action="store_true", help="feet that stand still hold the pelvis")
    parser.add_argument("--out", type=Path, default=None, help="JSON of all numbers")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.what == "fit":
        options.clips = options.clips or 120
        fit(options)
    else:
        measure(options)


if __name__ == "__main__":
    main()
