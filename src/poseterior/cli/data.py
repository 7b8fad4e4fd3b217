"""`poseterior data import|inspect|simulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass
class Import:
    """Import motion capture into a pose store (a folder of Parquet files).

    Example: poseterior data import bvh mocap/walks --out stores/walks
    """

    format: tyro.conf.Positional[Literal["bvh", "asfamc", "amass"]]
    """Format of the files."""
    paths: tyro.conf.Positional[tuple[Path, ...]]
    """Files, or folders that are searched below."""
    out: Path
    """Folder of the store."""
    units: str | None = None
    """Length unit of the files: m, cm, mm, in or ft (default: what the source is known to use)."""
    up: Literal["y", "z"] | None = None
    """World axis that points up in the files."""
    fps: float | None = None
    """Frame rate of AMC files, which do not say it (default 120)."""
    subject: str | None = None
    """Name of the person, for all clips."""
    overwrite: bool = False
    """Replace an existing store."""
    append: bool = False
    """Add to an existing store."""
    skip_bad: bool = False
    """Leave out files that cannot be read, and list them at the end."""

    def run(self) -> None:
        from ..data.importing import import_mocap

        report = import_mocap(
            self.paths, self.out, self.format, units=self.units, up=self.up, fps=self.fps, subject=self.subject,
            overwrite=self.overwrite, append=self.append, skip_bad=self.skip_bad, progress=True,
        )  # fmt: skip
        print(report)
        print(f"next: poseterior data inspect {self.out}")


@dataclass
class Inspect:
    """Show what a pose store holds: clips, frames, subjects, hours, bone lengths, and a picture of poses."""

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    png: Path | None = None
    """Where the picture of random poses goes (default STORE.png beside the store)."""
    poses: int = 12
    """Poses in the picture."""
    seed: int = 0
    """Seed of the choice."""

    def run(self) -> None:
        from rich.console import Console

        from ..data.inspection import inspect_store, save_figure

        tables, figure = inspect_store(self.store, poses=self.poses, seed=self.seed)
        console = Console()
        for table in tables:
            console.print(table)
        png = self.png or self.store.with_name(f"{self.store.name}.png")
        save_figure(figure, png)
        print(f"wrote {png}")


@dataclass
class Simulate:
    """Turn a store into fixed observations, saved so that every lifter sees the same input.

    Protocols: cmu-test, cmu-clean, cmu-occluded, bandai-cross.
    """

    store: tyro.conf.Positional[Path]
    """Folder of the store."""
    protocol: str
    """Name of the protocol."""
    out: Path
    """Parquet file."""
    limit: int | None = None
    """Take this many frames, evenly spread, instead of all."""

    def run(self) -> None:
        from ..data.protocols import save_observations, simulate
        from ._common import check_extension

        check_extension(self.out, "--out", (".parquet",))
        data = simulate(self.store, self.protocol, self.limit)
        save_observations(data, self.out)
        print(f"wrote {self.out}: {len(data)} poses, protocol {data.protocol}, seed {data.seed}")


@dataclass
class Data:
    """Import, inspect and observe motion capture."""

    command: (
        Annotated[Import, tyro.conf.subcommand(name="import")]
        | Annotated[Inspect, tyro.conf.subcommand(name="inspect")]
        | Annotated[Simulate, tyro.conf.subcommand(name="simulate")]
    )

    def run(self) -> None:
        self.command.run()
