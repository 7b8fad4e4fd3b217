"""`poseterior evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from ._common import OnOff
from ._uncertain import explained, plus_minus

if TYPE_CHECKING:
    from ..data.observations import ObservationSet
    from ..lifters import Lifter


#: How the averages are called, and their names in the result.
_AVERAGES = {"mean over actions": "average", "mean over poses": "all poses"}


def _tables(result: dict[str, Any]) -> Any:
    from rich.console import Group
    from rich.table import Table

    scores = Table(title="proper scores, bodies, depth order", title_justify="left")
    scores.add_column("number")
    scores.add_column("value", justify="right")
    for name, value, digits in _single(result):
        scores.add_row(name, plus_minus(result, name.partition(" (")[0], value, digits))
    calibration = Table(title="calibration error (signed: positive is over-confident)", title_justify="left")
    for column in ("joints", "mean", "worst", "signed", "signed limbs", "90 % radius (mm)"):
        calibration.add_column(column, justify="left" if column == "joints" else "right")
    for name, row in result["calibration"].items():
        bar = result["sharpness"].get(name)
        values = ["" if row[k] is None else f"{row[k]:.3f}" for k in ("worst", "signed", "signed limbs")]
        mean = plus_minus(result, "calibration" if name == "all" else f"calibration, {name}", row["mean"], 3)
        calibration.add_row(name, mean, *values, "" if bar is None else f"{bar:.0f}")
    published = _published(result["published"], f"{result['samples']} hypotheses")
    if "clustered" in result["published"]:
        clustered = result["published"]["clustered"]
        published += _published(clustered, f"{clustered['clusters']} representatives of them")
    return Group(_estimates(result), scores, calibration, *published, _spread(result["published"]["spread"]))


def _estimates(result: dict[str, Any]) -> Any:
    """Single poses that stand for the hypotheses."""
    from rich.table import Table

    table = Table(title=f"{result['protocol']}, {result['poses']} poses, {result['samples']} samples: single poses")
    table.title_justify = "left"
    names = ("MPJPE", "N-MPJPE", "P-MPJPE", "PCK@150", "AUC", "CPS")
    for column in ("pose", *(f"{name} ({'%' if name in ('PCK@150', 'AUC') else 'mm'})" for name in names)):
        table.add_column(column, justify="left" if column == "pose" else "right")
    for estimate, row in result["estimates"].items():
        remark = " (oracle)" if estimate in result["oracles"] else f" ({row['poses']} poses)" if "poses" in row else ""
        key = {"mean": "", result["oracles"][0]: "best "}.get(estimate)
        values = [
            f"{row[name]:.1f}" if key is None else plus_minus(result, f"{key}{name}", row[name], 1) for name in names
        ]
        table.add_row(f"{estimate}{remark}", *values)
    return table


def _single(result: dict[str, Any]) -> list[tuple[str, float, int]]:
    """Numbers that stand alone: name and unit, value, digits."""
    scores, bodies, order = result["scores"], result["plausibility"], result["depth order"]
    rows = [(f"{n} (mm)", scores[n], 1) for n in ("energy score", "CRPS", "pose energy score")]
    rows += [("variogram score (mm)", scores["variogram score"], 2)]
    if "NLL" in scores:
        few = "" if scores["NLL poses"] == result["poses"] else f", {scores['NLL poses']} poses"
        rows += [(f"NLL (nats per dimension{few})", scores["NLL"], 3)]
    rows += [(f"{n} (mm)", bodies[n], 1) for n in ("bone spread", "bone error")]
    rows += [("joint limits (%)", bodies["joint limits"], 2), ("depth order (share)", order["accuracy"], 3)]
    rows += [("depth order over 100 mm (share)", order["accuracy over 100 mm"], 3)]
    return [*rows, ("depth order calibration error", order["calibration error"], 3)]


def _published(section: dict[str, Any], what: str) -> list[Any]:
    """A table per protocol: one row per action, and their averages. PCK has no alignment (P1), CPS has (P2)."""
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
    """Measure a lifter on fixed observations: accuracy, scores, calibration, and the published tables.

    Of observations without 3D poses (`poseterior data import lsp`): how well poses project to the keypoints and, with
    --labels, whether joints are in the order in depth that people saw.
    """

    weights: tyro.conf.Positional[str]
    """A shipped lifter, a folder with trained weights, or the folder of a run."""
    data: Path
    """Observations (`poseterior data simulate` or `poseterior data import` makes some), or a pose store."""
    protocol: str | None = None
    """How a pose store is observed, e.g. cmu-test."""
    poses: int | None = None
    """Measure at most so many poses, evenly spread (default: all)."""
    samples: int = 200
    """Hypotheses per pose (N of best-of-N)."""
    seed: int = 0
    """Seed of the samples."""
    evidence: OnOff = "on"
    """Give answers what the keypoints say exactly; off: as the network gives them, whose regions are not calibrated."""
    mode_poses: int = 60
    """Measure the mode on so many poses (mode finding is slow)."""
    clusters: int | None = None
    """Also measure so many representatives of the hypotheses, found by k-means."""
    novelty: Path | None = None
    """Pose store that the lifter was trained on: errors and radii by the distance to its nearest pose, too."""
    hard_sigma: float | None = None
    """Only poses of which some visible joint has a reported standard deviation above so many pixels."""
    subset: Path | None = None
    """Only poses in this list: one per line, a row number (from 0) or CLIP:FRAME."""
    labels: Path | None = None
    """Depth-order labels (`poseterior labels import`) of observations without 3D poses: Parquet file."""
    out: Path | None = None
    """Write everything, per action and per joint too, as JSON."""
    figures: Path | None = None
    """Folder for pictures: best-of-N curve, spread of the hypotheses, predicted against true size (made if need be)."""
    hypotheses: Literal["samples", "kernels"] = "samples"
    """Draws; or, of mixtures (mdn, relative), the means of their kernels as the network gives them, without evidence:
    --samples is then their number. Densities and calibration are of these few poses, and mean little."""
    checkpoint: str | None = None
    """Of the folder of a run: a step that it keeps, best (by validation) or last."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import json

        from rich.console import Console

        from ..evaluation.kernels import with_hypotheses
        from ..evaluation.measure import evaluate, observed
        from ..files.errors import InputError
        from ..files.writing import atomic_write, check_outputs
        from ..lifters import load
        from ..view.evaluation import evaluation_files, evaluation_folder, save_evaluation_figures
        from ._common import check_device, check_extension, lifter_folder, weights_of
        from .bench import novelty_sentences

        self.weights = weights_of(self.weights, self.checkpoint)
        check_extension(self.out, "--out", (".json",))
        figures = None if self.figures is None else evaluation_files(self.figures)
        inputs = [self.data, self.subset, self.novelty, self.labels, lifter_folder(self.weights)]
        check_outputs({"--out": self.out, "--figures": figures}, inputs)
        data, subset = self._selected(observed(self.data, self.protocol, self.poses))
        device = check_device(self.device)
        if self.hypotheses == "kernels" and self.samples != 200:
            raise InputError("--samples: does not go with --hypotheses kernels, which are as many as the mixture has")
        lifter, self.samples = with_hypotheses(
            load(self.weights, evidence=self.evidence == "on"), self.hypotheses, self.samples
        )
        if self._without_truth(data):
            self._run_without_truth(lifter, data, device)
            return
        if self.figures is not None:
            evaluation_folder(self.figures)
        result = evaluate(
            lifter,
            data,
            samples=self.samples,
            seed=self.seed,
            mode_poses=self.mode_poses,
            clusters=self.clusters,
            novelty=self.novelty,
            device=device,
        )
        if subset:
            result["subset"] = subset
            print(f"subset: {subset['poses']} of {subset['of']} poses")
        console = Console()
        # Where nobody looks at a screen, no column has to be cut.
        Console(width=console.width if console.is_terminal else 120).print(_tables(result))
        print(explained(result))
        for sentence in novelty_sentences([result]):
            print(sentence)
        for found in result["checks"]:
            print(f"{found['severity']}: {found['sentence']}")
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

    def _without_truth(self, data: ObservationSet) -> bool:
        """Whether there is no 3D pose to compare with; refuses options that need some, or none."""
        from ..evaluation.without_truth import has_truth
        from ..files.errors import InputError

        if has_truth(data):
            if self.labels is not None:
                raise InputError(f"--labels: {self.data} holds 3D poses, whose order is measured without labels")
            return False
        for name in ("novelty", "clusters", "figures"):
            if getattr(self, name) is not None:
                raise InputError(f"--{name}: {self.data} holds images without 3D poses, on which that is not measured")
        return True

    def _run_without_truth(self, lifter: Lifter, data: ObservationSet, device: str) -> None:
        import json

        from rich.console import Console

        from ..data.labels.labels import load_labels
        from ..evaluation.without_truth import measure_without_truth
        from ..files.writing import atomic_write
        from ._flat import flat_tables

        labels = None if self.labels is None else load_labels(self.labels)
        result = measure_without_truth(lifter, data, labels, samples=self.samples, seed=self.seed, device=device)
        console = Console()
        Console(width=console.width if console.is_terminal else 120).print(flat_tables({lifter.name: result}))
        if self.out is not None:
            with atomic_write(self.out) as file:
                file.write((json.dumps(result, indent=2) + "\n").encode())
            print(f"wrote {self.out}")
