"""`poseterior evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro


def _tables(result: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.table import Table

    metrics = Table(title=f"{result['protocol']}, {result['poses']} poses, {result['samples']} samples")
    metrics.title_justify = "left"
    metrics.add_column("metric")
    metrics.add_column("value", justify="right")
    units = {"PCK": "%", "AUC": "%", "NLL": "nats a dimension"}
    for name, value in result["metrics"].items():
        unit = next((u for key, u in units.items() if key in name), "mm")
        metrics.add_row(f"{name} ({unit})", f"{value:.3f}" if "NLL" in name else f"{value:.1f}")
    calibration = Table(title="calibration error (signed: positive is over-confident)", title_justify="left")
    for column in ("joints", "mean", "worst", "signed", "signed limbs", "90 % radius (mm)"):
        calibration.add_column(column, justify="left" if column == "joints" else "right")
    for name, row in result["calibration"].items():
        if row:
            bar = result["error bar"].get(name)
            values = ["" if row[k] is None else f"{row[k]:.3f}" for k in ("mean", "worst", "signed", "signed limbs")]
            calibration.add_row(name, *values, "" if bar is None else f"{bar:.0f}")
    return Group(metrics, calibration)


@dataclass
class Evaluate:
    """Measure a lifter on fixed observations: accuracy, scores, calibration."""

    weights: tyro.conf.Positional[str]
    """A shipped lifter or a folder with trained weights."""
    data: Path
    """Observations made by `poseterior data simulate`."""
    samples: int = 200
    """Hypotheses a pose (N of best-of-N)."""
    seed: int = 0
    """Seed of the samples."""
    mode_poses: int = 500
    """Measure the mode on so many poses (mode finding is slow)."""
    out: Path | None = None
    """Write everything, per action and per joint too, as JSON."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import json

        from rich.console import Console

        from ..benchmark import evaluate
        from ..data.protocols import load_observations
        from ..export.results import atomic_write
        from ..lifters import load
        from ._common import check_device, check_extension

        check_extension(self.out, "--out", (".json",))
        data = load_observations(self.data)
        device = check_device(self.device)
        result = evaluate(load(self.weights), data, self.samples, self.seed, mode_poses=self.mode_poses, device=device)
        Console().print(_tables(result))
        if self.out is not None:
            with atomic_write(self.out) as file:
                file.write((json.dumps(result, indent=2) + "\n").encode())
            print(f"wrote {self.out}")
