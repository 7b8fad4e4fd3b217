"""How often regions hold the truth, at which size, at home and elsewhere.

    python benchmarks/coverage.py mdn flow --on new=stores/cmu-train test=stores/cmu-test bandai=stores/bandai
    python benchmarks/coverage.py mdn flow --fit train=stores/cmu-train test=stores/cmu-test --on bandai=bandai.parquet

Stores are seen by the simulator's default ranges. Without ``--fit`` the lifters' own recalibrations are measured. With
it, half of the clips of each of its stores fit a recalibration and the others measure; so a store whose clips a lifter
learnt from can be compared with one that it never saw. Stores and files of observations of ``--on`` only measure.

Prints one row for each lifter, recalibration, set of poses and level: the share of truths inside, of visible and of
missing joints, of the joint whose share is farthest from the level, where the lifter's own radius is in the smallest
and in the largest third of a joint's radii, of whole poses, and of whole poses with none, few and many joints missing;
the mean radii.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import poseterior as pp
from poseterior.data.observations import Observations, load_observations
from poseterior.distributions.recalibration import Recalibration
from poseterior.evaluation.calibrate import fit_distances, halves, simulated
from poseterior.evaluation.coverage import coverage_of
from poseterior.evaluation.distances import Distances, measure

#: Added to the seed, so that neither poses nor samples are those of a calibration with the same seed.
_OTHER = 1_000_000
_COLUMNS = (
    "lifter", "fitted on", "measured on", "poses", "level", "visible", "missing", "worst joint", "thirds visible",
    "thirds missing", "whole pose", "by missing", "radius", "pose radius (mm)",
)  # fmt: skip


def named_path(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    return name, Path(path)


def seen(path: Path, poses: int, seed: int) -> Observations:
    return simulated(path, poses, seed) if path.is_dir() else load_observations(path).observations


def row(distances: Distances, level: float, recalibration: Recalibration | None) -> list[str]:
    found = coverage_of(distances, level, recalibration)
    visible, missing = found["visible"], found["missing"]

    def shares(values: list[float]) -> str:
        return " / ".join(f"{value:.3f}" for value in values)

    return [
        f"{level:g}",
        *("-" if not part else f"{part['mean']:.3f}" for part in (visible, missing)),
        f"{found['worst']:.3f}",
        *("-" if not part else shares([part["thirds"][0], part["thirds"][-1]]) for part in (visible, missing)),
        f"{found['pose']:.3f}",
        shares(list(found["pose by missing"].values())),
        " / ".join(f"{part['mean radius']:.0f}" for part in (visible, missing) if part),
        f"{found['pose radius']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lifters", nargs="+", help="shipped lifters or folders with weights")
    parser.add_argument("--fit", type=named_path, nargs="*", default=[], metavar="NAME=STORE")
    parser.add_argument("--on", type=named_path, nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--levels", type=float, nargs="+", default=[0.5, 0.9, 0.95, 0.99])
    parser.add_argument("--plain", action="store_true", help="also the regions without recalibration, fitted on: -")
    parser.add_argument("--poses", type=int, default=10_000, help="of each store; of --fit both halves together")
    parser.add_argument("--samples", type=int, help="default: as many as the lifter's own recalibration has, else 200")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = Table(*_COLUMNS, box=MARKDOWN)
    for name in options.lifters:
        lifter = pp.load(name)
        own = lifter.recalibration
        samples = options.samples or (200 if own is None else own.samples)
        fitted: dict[str, Recalibration | None] = {"-": None} if options.plain or (own is None) else {}
        if not options.fit and own is not None:
            fitted["its own"] = own
        measured: dict[str, Distances] = {}
        for label, store in options.fit:
            drawn = simulated(store, options.poses, options.seed)
            first, second = halves([pose.file for pose in drawn.keypoints.ids])
            everything = measure(lifter, drawn, samples, options.seed)
            fitted[label] = fit_distances(everything[first])
            measured[f"{label}, other clips"] = everything[second]
        for label, path in options.on:
            observations = seen(path, options.poses, options.seed + _OTHER)
            measured[label] = measure(lifter, observations, samples, options.seed + _OTHER)
        for on, distances in measured.items():
            for label, recalibration in fitted.items():
                for level in options.levels:
                    rows = row(distances, level, recalibration)
                    table.add_row(name, label, on, str(len(distances)), *rows)
    Console(width=240).print(table)


if __name__ == "__main__":
    main()
