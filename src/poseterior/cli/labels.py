"""`poseterior labels import|export|merge|inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from ..data.labels.labels import DepthLabels
    from ..data.labels.merging import MergedLabels

_STORE = (".parquet",)
_FILES = (".csv", ".json")


@dataclass
class Import:
    """Read depth-order labels from CSV, or from the published JSON of Leeds Sports Pose.

    Example: poseterior labels import relative_depth_lsp_v1.json --split train --out labels.parquet
    --keypoints lsp.parquet
    """

    file: tyro.conf.Positional[Path]
    """.csv (columns image, joint_a, joint_b, label, confidence, annotator, and time in seconds since 1970-01-01 UTC) or
    .json (published)."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """The labels: Parquet file."""
    keypoints: Path | None = None
    """.json: also write the keypoints of the images, as observations without 3D poses: Parquet file."""
    split: Literal["train", "test"] | None = None
    """.json: take the images of this split (default all)."""
    skeleton: str | None = None
    """.csv: skeleton of the joint names, where the first line does not say "# skeleton: NAME"."""

    def run(self) -> None:
        from ..data.labels.files import read_csv, read_published, read_published_keypoints
        from ..data.labels.labels import save_labels
        from ..data.observations import save_observations
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ._common import check_extension

        check_extension(self.out, "--out", _STORE)
        check_extension(self.keypoints, "--keypoints", _STORE)
        check_outputs({"--out": self.out, "--keypoints": self.keypoints}, [self.file])
        if self.file.suffix.lower() not in _FILES:
            raise InputError(f"{self.file}: unknown extension {self.file.suffix!r}; use one of: {', '.join(_FILES)}")
        published = self.file.suffix.lower() == ".json"
        if published and self.skeleton is not None:
            raise InputError("--skeleton: is for .csv; the published JSON has the joints of lsp14")
        if not published:
            for option in ("keypoints", "split"):
                if getattr(self, option) is not None:
                    raise InputError(f"--{option}: is for .json; a .csv has none")
        labels = read_published(self.file, self.split) if published else read_csv(self.file, self.skeleton)
        observed = read_published_keypoints(self.file, self.split) if self.keypoints is not None else None
        save_labels(labels, self.out)
        images = len(set(labels.image.tolist()))
        print(f"wrote {self.out}: {len(labels)} labels of {images} images, joints of {labels.skeleton}")
        if observed is not None and self.keypoints is not None:
            save_observations(observed, self.keypoints)
            print(f"wrote {self.keypoints}: keypoints of {len(observed)} images, protocol {observed.protocol}")
        print(f"next: poseterior labels inspect {self.out}")


@dataclass
class Export:
    """Write depth-order labels as CSV, or in the published JSON layout (merged labels of lsp14 joints).

    Example: poseterior labels export labels.parquet --out labels.csv
    """

    labels: tyro.conf.Positional[Path]
    """Parquet file of labels."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """.csv or .json."""

    def run(self) -> None:
        from ..data.labels.files import write_csv, write_published
        from ..data.labels.labels import load_labels
        from ..files.writing import check_outputs
        from ._common import check_extension

        check_extension(self.out, "--out", _FILES)
        check_outputs({"--out": self.out}, [self.labels])
        labels = load_labels(self.labels)
        (write_csv if self.out.suffix.lower() == ".csv" else write_published)(labels, self.out)
        print(f"wrote {self.out}: {len(labels)} labels")


@dataclass
class Merge:
    """Merge the answers of several annotators into one label per pair, with the probability that it is right.

    Example: poseterior labels merge labels.parquet --out merged.parquet
    """

    labels: tyro.conf.Positional[Path]
    """Parquet file of answers."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Parquet file of the merged labels."""
    method: Literal["dawid-skene", "majority"] = "dawid-skene"
    """dawid-skene weighs annotators by how good they are; majority takes what most say."""
    gold: Path | None = None
    """Parquet file of known answers, by which the annotators are judged."""

    def run(self) -> None:
        from rich.console import Console

        from ..data.labels.labels import load_labels, save_labels
        from ..data.labels.merging import merge_labels
        from ..files.writing import check_outputs
        from ._common import check_extension

        check_extension(self.out, "--out", _STORE)
        check_outputs({"--out": self.out}, [self.labels, self.gold])
        gold = load_labels(self.gold) if self.gold is not None else None
        merged = merge_labels(load_labels(self.labels), self.method, gold)
        save_labels(merged.labels, self.out)
        console = Console()
        console.print(_annotator_table(merged))
        lines = [f"look at {person.annotator}: {flag}" for person in merged.annotators for flag in person.flags]
        lines.append(
            f"wrote {self.out}: {len(merged.labels)} pairs from {int(merged.answers.sum())} answers, "
            + _confidence_line(merged)
        )
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass
class Inspect:
    """Show what a file of labels holds: images, joints, answers, annotators."""

    labels: tyro.conf.Positional[Path]
    """Parquet file of labels."""

    def run(self) -> None:
        from rich.console import Console

        from ..data.labels.labels import load_labels

        console = Console()
        for table in _content_tables(load_labels(self.labels)):
            console.print(table)


def _percent(share: float) -> str:
    return "-" if share != share else f"{100 * share:.1f}"


def _annotator_table(merged: MergedLabels) -> Any:
    """One row per annotator, the one with most answers first."""
    from rich.table import Table

    from ..data.labels.merging import LEAST_JUDGED

    table = Table(
        title=f"annotators ({merged.method})",
        caption="right: estimated, where the first / second joint in the skeleton's order is nearer; "
        "agrees: with the merged labels of pairs that others answered too; "
        f"not known yet: fewer than {LEAST_JUDGED} answers to such pairs or to gold questions",
        caption_justify="left",
    )
    table.add_column("annotator", overflow="fold")
    judged = any(person.gold for person in merged.annotators)
    columns = ("answers", "cannot tell", "right %", "first %", "second %", "agrees %", *("gold", "gold %") * judged)
    for column in columns:
        table.add_column(column, justify="right")
    for person in merged.annotators:
        shares = (person.accuracy, person.right_first, person.right_second)
        quality = map(_percent, shares) if person.known else ("not known yet", "-", "-")
        table.add_row(
            person.annotator or "(no name)", str(person.answers), str(person.cannot_tell), *quality,
            _percent(person.agreement), *(str(person.gold), _percent(person.gold_agreement)) * judged,
        )  # fmt: skip
    return table


def _confidence_line(merged: MergedLabels) -> str:
    """How sure the labels are, or that nothing says so."""
    if not merged.known:
        return "confidence not known yet (that of a coin is written): no pair has two answers, no question is gold"
    agreement = f"; two answers to one pair agree in {merged.agreement:.1%}" if merged.agreement >= 0 else ""
    return f"mean confidence {merged.labels.confidence.mean():.3f}{agreement}"


def _content_tables(labels: DepthLabels) -> list[Any]:
    """A summary, and the answers of each annotator."""
    import numpy as np
    from rich.table import Table

    from ..data.labels.merging import in_skeleton_order

    ordered = in_skeleton_order(labels)
    pairs = set(zip(ordered.image.tolist(), ordered.joint_a.tolist(), ordered.joint_b.tolist(), strict=True))
    told = labels.confidence > 0
    summary = Table(title="labels", show_header=False)
    for name, value in {
        "rows": f"{len(labels)}",
        "images": f"{len(np.unique(labels.image))}",
        "pairs (image and two joints)": f"{len(pairs)}",
        "skeleton": labels.skeleton,
        "joint_a nearer (-1)": f"{int((told & (labels.label == -1)).sum())}",
        "joint_b nearer (+1)": f"{int((told & (labels.label == 1)).sum())}",
        "same depth (0)": f"{int((told & (labels.label == 0)).sum())}",
        "cannot tell (confidence 0)": f"{int((~told).sum())}",
        "mean confidence of the others": f"{labels.confidence[told].mean():.3f}" if told.any() else "-",
    }.items():
        summary.add_row(name, value)
    people = Table(title="annotators")
    people.add_column("annotator")
    people.add_column("rows", justify="right")
    names, counts = np.unique(labels.annotator, return_counts=True)
    for i in np.argsort(-counts, kind="stable"):
        people.add_row(str(names[i]) or "(no name)", str(counts[i]))
    return [summary, people]


@dataclass
class Labels:
    """Import, export, merge and inspect depth-order labels."""

    command: (
        Annotated[Import, tyro.conf.subcommand(name="import")]
        | Annotated[Export, tyro.conf.subcommand(name="export")]
        | Annotated[Merge, tyro.conf.subcommand(name="merge")]
        | Annotated[Inspect, tyro.conf.subcommand(name="inspect")]
    )

    def run(self) -> None:
        self.command.run()
