"""On which poses to calibrate: coverage of region(0.9) after fitting on one store, on that and on other data.

    python benchmarks/coverage.py mdn flow --fit train=stores/cmu-train test=stores/cmu-test --on bandai=bandai.parquet

Each store is seen by the simulator's default ranges. Half of its clips fit a recalibration, the others measure; so a
store whose clips a lifter learnt from can be compared with one that it never saw. Files of observations only measure.
Prints one row a lifter, what it was fitted on and what it was measured on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

import poseterior as pp
from poseterior.data.observations import load_observations
from poseterior.distributions.regions import Recalibration
from poseterior.evaluation.calibrate import Distances, coverage_of, fit_distances, halves, measure, simulated


def named_path(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    return name, Path(path)


def row(distances: Distances, recalibration: Recalibration | None) -> list[str]:
    found = coverage_of(distances, 0.9, recalibration)
    shares = [found["visible"].get("mean"), found["missing"].get("mean"), found["worst"], found["pose"]]
    return [*("-" if share is None else f"{share:.3f}" for share in shares), f"{found['radius']:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lifters", nargs="+", help="shipped lifters or folders with weights")
    parser.add_argument("--fit", type=named_path, nargs="+", required=True, metavar="NAME=STORE")
    parser.add_argument("--on", type=named_path, nargs="*", default=[], metavar="NAME=FILE")
    parser.add_argument("--poses", type=int, default=10_000, help="of each store, both halves together")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    table = Table(box=MARKDOWN)
    for column in ("lifter", "fitted on", "measured on", "poses", "visible", "missing", "worst joint", "whole pose"):
        table.add_column(column)
    table.add_column("radius (mm)")
    for name in options.lifters:
        lifter = pp.load(name)
        fitted: dict[str, Recalibration | None] = {"-": None}
        measured: dict[str, Distances] = {}
        for label, store in options.fit:
            drawn = simulated(store, options.poses, options.seed)
            first, second = halves([pose.file for pose in drawn.keypoints.ids])
            everything = measure(lifter, drawn, options.samples, options.seed)
            fitted[label] = fit_distances(everything[first])
            measured[f"{label}, other clips"] = everything[second]
        for label, path in options.on:
            measured[label] = measure(lifter, load_observations(path).observations, options.samples, options.seed)
        for on, distances in measured.items():
            for label, recalibration in fitted.items():
                table.add_row(name, label, on, str(len(distances)), *row(distances, recalibration))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
