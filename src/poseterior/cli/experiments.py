"""`poseterior experiments`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro


def _table(results: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title=f"{results['views']} views to learn from; errors in mm", title_justify="left")
    columns = ("P-MPJPE", "N-MPJPE", "order accuracy")
    for name in ("group", "run", "MB of labels", *columns):
        table.add_column(name, justify="left" if name in ("group", "run") else "right")
    for name, row in results["baselines"].items():
        table.add_row("baseline", name, "", *_numbers(row))
    for name, row in results["runs"].items():
        table.add_row(row["group"], name, f"{row['megabytes']:.4g}", *_numbers(row))
    return table


def _numbers(row: dict[str, Any]) -> list[str]:
    return [f"{row['P-MPJPE']:.1f}", f"{row['N-MPJPE']:.1f}", f"{row['order accuracy']:.3f}"]


@dataclass
class Experiments:
    """Repeat published experiments on your own motion capture.

    relative (Ronchi et al. 2018): what is one bit per image worth? Supervised against relative at budgets of
    supervision, noise of labels and of keypoints, ablations; one JSON file and the figures. Interrupted experiments go
    on where they stopped.

    Example: poseterior experiments relative --data stores/cmu --quick --out experiments
    """

    experiment: tyro.conf.Positional[Literal["relative"]]
    """Which experiments."""
    data: Path
    """Pose store to learn from, or observations with 3D poses (`poseterior data import h36m` ...; .parquet)."""
    out: Path = Path("experiments/relative")
    """Folder of observations, runs, results.json and figures."""
    test: Path | None = None
    """Pose store, or observations with 3D poses, to measure on (default: a quarter of the clips of --data)."""
    labels: Path | None = None
    """A crowd's labels of the pictures in --data, which must be observations (`poseterior labels`): how often it is
    right by difference of depths (figures 2 and 3; left out where no labelled joints have known depths), and what going
    on from them is worth (figure 5)."""
    quick: bool = False
    """Small networks and short runs: minutes instead of hours, to see that everything works."""
    groups: tuple[str, ...] = ("budget", "labelnoise", "ablation", "noise2d", "joints", "crowd")
    """Which groups of runs: budget, labelnoise, ablation, noise2d, joints (table 2), crowd (with --labels)."""
    seed: int = 0
    """Seed of cameras, labels and training."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        from rich.console import Console

        from ..experiments.crowd import crowd_finding
        from ..experiments.figures import save_relative_figures
        from ..experiments.relative import WRITTEN, against_flat_depth, run_relative
        from ..files.writing import check_outputs
        from ._common import quiet_lightning
        from ._going_on import goes_on

        check_outputs({"--out": [self.out / name for name in WRITTEN]}, [self.data, self.test, self.labels])

        quiet_lightning()
        with goes_on(lambda: any((self.out / "results").glob("*"))):
            results = run_relative(
                self.data,
                self.out,
                test=self.test,
                labels=self.labels,
                size="quick" if self.quick else "full",
                groups=self.groups,
                seed=self.seed,
                device=self.device,
            )
        Console().print(_table(results))
        print(against_flat_depth(results))
        for line in crowd_finding(results["crowd"]) if "crowd" in results else ():
            print(line)
        print(f"wrote {self.out / 'results.json'}")
        for path in save_relative_figures(results, self.out / "figures"):
            print(f"wrote {path}")
