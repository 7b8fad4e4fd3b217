"""`poseterior evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from ..data.observations import ObservationSet


#: How the averages are called, and their names in the result.
_AVERAGES = {"mean over actions": "average", "mean over poses": "all poses"}


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
    order = result["depth order"]
    for name in ("accuracy", "accuracy over 100 mm", "calibration error"):
        metrics.add_row(f"depth order {name}", f"{order[name]:.3f}")
    calibration = Table(title="calibration error (signed: positive is over-confident)", title_justify="left")
    for column in ("joints", "mean", "worst", "signed", "signed limbs", "90 % radius (mm)"):
        calibration.add_column(column, justify="left" if column == "joints" else "right")
    for name, row in result["calibration"].items():
        if row:
            bar = result["error bar"].get(name)
            values = ["" if row[k] is None else f"{row[k]:.3f}" for k in ("mean", "worst", "signed", "signed limbs")]
            calibration.add_row(name, *values, "" if bar is None else f"{bar:.0f}")
    published = _published(result["published"], f"{result['samples']} hypotheses")
    if "clustered" in result:
        published += _published(result["clustered"], f"{result['clustered']['clusters']} representatives of them")
    return Group(metrics, calibration, *published, _spread(result["published"]["spread"]))


def _published(section: dict[str, Any], what: str) -> list[Any]:
    """A table a protocol: one row an action, and their averages. PCK has no alignment (P1), CPS has (P2)."""
    tables = []
    for protocol, title, score in (("P1", "P1 = MPJPE (mm)", "PCK@150"), ("P2", "P2 = P-MPJPE (mm)", "CPS")):
        errors, scores = section[protocol], section["best hypothesis"]

        def row(values: dict[str, float], best: dict[str, float], score: str = score) -> list[float]:
            return [*values.values(), best[score]]

        rows = {action: row(values, scores["per action"][action]) for action, values in errors["per action"].items()}
        means = {label: row(errors[key], scores[key]) for label, key in _AVERAGES.items()}
        columns = ["action", *errors["average"], f"best {score}"]
        tables.append(_plain_table(f"{title} of {what}", columns, rows, means))
    return tables


def _spread(spread: dict[str, Any]) -> Any:
    rows = {joint: [row[axis] for axis in "xyz"] for joint, row in spread["per joint"].items()}
    mean = {"mean": [spread["mean"][axis] for axis in "xyz"]}
    return _plain_table("standard deviation over the hypotheses (mm)", ["joint", *"xyz"], rows, mean)


def _plain_table(title: str, columns: list[str], rows: dict[str, list[float]], last: dict[str, list[float]]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        first = column == columns[0]
        table.add_column(column, justify="left" if first else "right", min_width=18 if first else 5)
    for part in (rows, last):
        for label, values in part.items():
            table.add_row(label, *(f"{value:.1f}" for value in values))
        table.add_section()
    return table


@dataclass
class Evaluate:
    """Measure a lifter on fixed observations: accuracy, scores, calibration, and the published tables."""

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
    clusters: int | None = None
    """Also measure so many representatives of the hypotheses, found by k-means."""
    hard_sigma: float | None = None
    """Only poses of which some visible joint has a reported standard deviation above so many pixels."""
    subset: Path | None = None
    """Only poses in this list: one a line, a row number (from 0) or CLIP:FRAME."""
    out: Path | None = None
    """Write everything, per action and per joint too, as JSON."""
    figures: Path | None = None
    """Folder for pictures: best-of-N curve, spread of the hypotheses, predicted against true size (made if need be)."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import json

        from rich.console import Console

        from ..data.observations import load_observations
        from ..evaluation.evaluate import evaluate
        from ..files.writing import atomic_write
        from ..lifters import load
        from ..view.evaluation import evaluation_folder, save_evaluation_figures
        from ._common import check_device, check_extension

        check_extension(self.out, "--out", (".json",))
        data, subset = self._selected(load_observations(self.data))
        device = check_device(self.device)
        lifter = load(self.weights)
        if self.figures is not None:
            evaluation_folder(self.figures)
        result = evaluate(
            lifter, data, self.samples, self.seed, mode_poses=self.mode_poses, device=device, clusters=self.clusters
        )
        if subset:
            result["subset"] = subset
            print(f"subset: {subset['poses']} of {subset['of']} poses")
        Console().print(_tables(result))
        if self.out is not None:
            with atomic_write(self.out) as file:
                file.write((json.dumps(result, indent=2) + "\n").encode())
            print(f"wrote {self.out}")
        if self.figures is not None:
            for path in save_evaluation_figures(result, self.figures):
                print(f"wrote {path}")

    def _selected(self, data: ObservationSet) -> tuple[ObservationSet, dict[str, Any]]:
        """The poses asked for, and what to say about them (nothing if all)."""
        from ..evaluation.subsets import hard_poses, listed_poses, select_poses

        asked: dict[str, Any] = {}
        keep = data.observations.observed.new_ones(len(data))
        if self.hard_sigma is not None:
            keep &= hard_poses(data, self.hard_sigma)
            asked["hard sigma (px)"] = self.hard_sigma
        if self.subset is not None:
            keep &= listed_poses(data, self.subset)
            asked["list"] = str(self.subset)
        if not asked:
            return data, {}
        return select_poses(data, keep), asked | {"poses": int(keep.sum()), "of": len(data)}
