"""`poseterior data import|inspect|rigs|simulate|lift|leaks`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ._imports import Importer


@dataclass
class Import:
    """Import motion capture into a pose store (a folder of Parquet files); data sets with pictures into observations.

    Each format has its own options: poseterior data import FORMAT --help
    """

    format: Importer

    def run(self) -> None:
        self.format.run()


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

        from ..data.mocap.inspection import inspect_store, save_figure
        from ..files.writing import check_outputs

        png = self.png or self.store.with_name(f"{self.store.name}.png")
        check_outputs({"--png": png}, [self.store])
        tables, figure = inspect_store(self.store, poses=self.poses, seed=self.seed)
        console = Console()
        for table in tables:
            console.print(table)
        save_figure(figure, png)
        print(f"wrote {png}")


@dataclass
class Rigs:
    """Show which joint of a motion file is which joint of the body, and how sure that is; alone: the shipped rigs.

    What is printed after the checks is a file for --rig of `poseterior data import`: correct the names in it.
    """

    file: tyro.conf.Positional[Path | None] = None
    """A BVH or glTF file."""
    rig: str | None = None
    """A shipped rig's name, or a YAML file of joint names (default: guessed)."""
    picture: Path | None = None
    """PNG of the skeleton at rest, with the joints that were recognised."""

    def run(self) -> None:
        from ..data.mocap.rig_report import rig_picture, rig_report, rigs_list
        from ..files.writing import check_outputs

        if self.file is None:
            print(rigs_list())
            return
        check_outputs({"--picture": self.picture}, [self.file])
        report = rig_report(self.file, self.rig)
        print(report.text)
        if self.picture is not None:
            from ..data.mocap.inspection import save_figure

            print(f"wrote {save_figure(rig_picture(report), self.picture)}")
        report.refuse_unsure()


@dataclass
class Simulate:
    """Turn a store into fixed observations, saved so that every lifter sees the same input.

    Protocols: people, strangers, people-exact, noisy-sigma, ar1, simulated, bandai-cross, strangers-motion,
    bandai-motion, gaps, moving-body, cmu-test, cmu-clean, cmu-occluded, cmu-motion, cmu-bodies, and the sweeps of
    `poseterior bench`: masks-*, noise-*, pitch-*, fov-*, sigma-*.
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
        from ..data.observations import save_observations
        from ..data.simulation.protocols import simulate
        from ..files.writing import check_outputs
        from ._common import check_extension

        check_extension(self.out, "--out", (".parquet",))
        check_outputs({"--out": self.out}, [self.store])
        data = simulate(self.store, self.protocol, self.limit)
        save_observations(data, self.out)
        print(f"wrote {self.out}: {len(data)} poses, protocol {data.protocol}, seed {data.seed}")


@dataclass
class Lift:
    """Lift whole people of 2D clips, and store the poses as if they had been recorded: no 3D label is read.

    What learns from 2D alone gives one pose. A distribution can be trained on such a store like on motion capture.

    Example: poseterior data lift stores/cmu-train --lifter runs/unsupervised-finish/weights --out stores/own
    """

    data: tyro.conf.Positional[Path]
    """A pose store, of which only 2D views count, or a file of observations, of which only the keypoints do."""
    lifter: str
    """Folder of weights of the method `unsupervised`, or of its run."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of the new store."""
    recipe: str = "unsupervised"
    """Recipe whose simulator has the cameras of the views (of a store)."""
    views: int = 4
    """Steady cameras that see each clip (of a store)."""
    fps: float = 10.0
    """Frames per second to which clips of a store are thinned; those of a file of observations."""
    seed: int = 0
    """Seed of the cameras."""
    overwrite: bool = False
    """Replace a store that is there."""

    def run(self) -> None:
        from ..files.extras import need
        from ..files.settings import ABOVE_ZERO, number, whole
        from ..files.writing import check_outputs
        from ..lifters import load
        from ..training.own_poses import store_own_poses
        from ..training.recipes import read_recipe
        from ._common import weights_of

        need("parquet", "pyarrow", f"--out {self.out}:")
        whole(self.views, "--views", 1, expected="at least 1")
        number(self.fps, "--fps", ABOVE_ZERO, expected="a number above 0")
        self.lifter = weights_of(self.lifter)
        check_outputs({"--out": self.out}, [self.data, self.lifter])
        count = store_own_poses(
            load(self.lifter, recalibrated=False, evidence=False),
            self.data,
            self.out,
            read_recipe(self.recipe).simulator,
            views=self.views,
            fps=self.fps,
            seed=self.seed,
            overwrite=self.overwrite,
        )
        command = f"poseterior train unsupervised-posterior data={self.out}"
        print(f"wrote {self.out}: {count} poses; train on it with `{command}`")


@dataclass
class Leaks:
    """Check that two stores share no motion: the nearest sequences of poses, exit 2 if any are of one motion.

    Sequences of a second are compared on one body, facing one way, mirrored too, by how the joints move: a motion is
    found again on another body, at another frame rate, or cut out of its clip. Differences are shares of the movement;
    that of a motion from itself is 0.
    """

    train: tyro.conf.Positional[Path]
    """Folder of the store that lifters are trained on."""
    test: tyro.conf.Positional[Path]
    """Folder of the store that they are measured on."""
    people: bool = False
    """Refuse people of both, too: the same name, or bones of the same lengths."""
    show: int = 10
    """Pairs to print."""

    def run(self) -> None:
        from ._leaks import check_leaks

        check_leaks(self.train, self.test, self.people, self.show)


@dataclass
class Data:
    """Import, inspect, observe, make and compare poses."""

    command: (
        Annotated[Import, tyro.conf.subcommand(name="import")]
        | Annotated[Inspect, tyro.conf.subcommand(name="inspect")]
        | Annotated[Rigs, tyro.conf.subcommand(name="rigs")]
        | Annotated[Simulate, tyro.conf.subcommand(name="simulate")]
        | Annotated[Lift, tyro.conf.subcommand(name="lift")]
        | Annotated[Leaks, tyro.conf.subcommand(name="leaks")]
    )

    def run(self) -> None:
        self.command.run()
