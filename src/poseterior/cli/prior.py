"""`poseterior prior sample|score`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from ..data.store import Mocap
    from ..lifting.prior import PriorScores


@dataclass
class Sample:
    """Draw poses from the prior: what bodies do when nothing is seen of them.

    Example: poseterior prior sample -n 16 --picture sheet.png --out poses.npz
    """

    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16
    """How many poses."""
    seed: int = 0
    """Seed of the samples."""
    lifter: str = "rotations"
    """A lifter with rotations: shipped, a folder with trained weights, or the folder of a run."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """.npz (one clip, as AMASS); .bvh or .glb (a file per pose, numbered)."""
    clip: bool = False
    """Write all poses as the frames of one .bvh or .glb."""
    fps: float = 30.0
    """Frames per second of a clip."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    picture: Path | None = None
    """Write a contact sheet: .png."""

    def run(self) -> None:
        from dataclasses import replace

        import numpy as np
        from rich.console import Console

        from ..files.checks import counted, naming
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ..lifters import load_prior
        from ..lifting.prior import sample_prior
        from ..results.motion import as_lift_result
        from ..results.rotations import MOTION_SUFFIXES
        from ._common import check_extension, lifter_folder, weights_of
        from ._motion import check_motion, write_motion, write_picture

        check_extension(self.out, "--out", MOTION_SUFFIXES)
        check_extension(self.view, "--view", (".html",))
        check_extension(self.picture, "--picture", (".png",))
        outputs = {"--out": self.out, "--view": self.view, "--picture": self.picture}
        self.lifter = weights_of(self.lifter)
        check_outputs(outputs, [lifter_folder(self.lifter)])
        check_motion(self.fps, None, 1, 1)
        if self.n < 1:
            raise InputError(f"-n: expected at least 1 pose, got {self.n}")
        lifter = load_prior(self.lifter)
        with naming(self.lifter):
            poses = sample_prior(lifter, self.n, self.seed)
        apart = replace(poses, person=np.arange(self.n), frame=np.zeros(self.n, int))
        console = Console()
        density = poses.log_prob[:, 0]
        low, middle, high = np.quantile(density, [0.0, 0.5, 1.0])
        console.print(
            f"{counted(self.n, 'pose')} of {poses.lifter}, {len(poses.modelled)} joints: "
            f"log-density {middle:.1f} nats above uniform ({low:.1f} to {high:.1f})",
            highlight=False,
            soft_wrap=True,
        )
        if self.out is not None:
            together = self.clip or self.out.suffix.lower() == ".npz"
            write_motion(poses if together else apart, self.out, "mean", 1, self.fps, console)
        if self.view is not None:
            from ..view import write_html
            from ..view.scene import SceneOptions

            # four at a time, side by side, one set a second
            number = np.arange(self.n)
            played = replace(poses, person=number % 4, frame=number // 4)
            options = SceneOptions(hypotheses=0, regions=False)
            write_html(as_lift_result(played), self.view, fps=1.0, options=options)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.picture is not None:
            write_picture(poses, self.picture, "mean", console, frames=min(self.n, 60))
        if self.out is None and self.view is None and self.picture is None:
            console.print("nothing written: add --out poses.npz, --view scene.html or --picture sheet.png")


@dataclass
class Score:
    """Score poses under the prior: how likely, how typical, and which joints make them untypical.

    FILE is .bvh, .glb or .gltf, .amc (its .asf beside it), an AMASS .npz, or the folder of a pose store. The
    log-density is in nats above uniform, the pelvis left out, so that a body's place and orientation do not matter.
    Typicality is the share of the prior's own samples that are less likely.

    Example: poseterior prior score walk.bvh --out scores.csv
    """

    file: tyro.conf.Positional[Path]
    """Motion file, or folder of a pose store."""
    lifter: str = "rotations"
    """A lifter with rotations: shipped, a folder with trained weights, or the folder of a run."""
    samples: int = 2000
    """Samples of the prior to compare with."""
    seed: int = 0
    """Seed of those."""
    fps: float | None = None
    """Thin the motion to at most so many frames per second."""
    units: str | None = None
    """Length unit of the file: m, cm, mm, in or ft (default: what the source is known to use)."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Scores of every frame: .json, .csv or .parquet."""
    worst: int = 10
    """Frames in the table, at least half a second apart."""

    def run(self) -> None:
        import numpy as np
        from rich.console import Console

        from ..data.mocap.reading import read_motion
        from ..files.checks import counted, naming
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ..lifters import load_prior
        from ..lifting.prior import SCORE_SUFFIXES, score_poses
        from ._common import check_extension, lifter_folder, weights_of

        check_extension(self.out, "--out", SCORE_SUFFIXES)
        self.lifter = weights_of(self.lifter)
        check_outputs({"--out": self.out}, [self.file, lifter_folder(self.lifter)])
        if self.samples < 1:
            raise InputError(f"--samples: expected at least 1, got {self.samples}")
        if self.fps is not None and not self.fps > 0:
            raise InputError(f"--fps: expected a positive number, got {self.fps:g}")
        lifter = load_prior(self.lifter)
        mocap = read_motion(self.file, self.fps, self.units)
        with naming(self.lifter):
            scores = score_poses(lifter, mocap.rotations, self.samples, self.seed)
        console = Console()
        rare = 100 * float(np.mean(scores.typicality < 0.01))
        density = scores.log_density
        console.print(
            f"{self.file}: {counted(len(mocap), 'frame')}, log-density {np.median(density):.1f} nats above uniform "
            f"({density.min():.1f} to {density.max():.1f}); {rare:.1f} % of the frames are less likely than 99 % of "
            f"the prior's samples",
            highlight=False,
            soft_wrap=True,
        )
        console.print(_least_typical(mocap, scores, self.worst))
        if self.out is not None:
            scores.save(self.out, mocap)
            console.print(f"wrote {self.out}", highlight=False, soft_wrap=True)


@dataclass
class Prior:
    """The prior over poses: draw from it, or score poses with it."""

    command: (
        Annotated[Sample, tyro.conf.subcommand(name="sample")] | Annotated[Score, tyro.conf.subcommand(name="score")]
    )

    def run(self) -> None:
        self.command.run()


def _least_typical(mocap: Mocap, scores: PriorScores, count: int) -> Any:
    from rich.table import Table

    table = Table("clip", title="least typical frames", title_justify="left", caption_justify="left")
    for column in ("frame", "log-density", "typicality"):
        table.add_column(column, justify="right")
    table.add_column("joints that make it so (nats lost)")
    table.caption = "nats lost: against the mean of the prior's own samples"
    for row in scores.least_typical(mocap, count):
        reasons = ", ".join(f"{joint} {-loss:.1f}" for joint, loss in scores.reasons(row) if loss < 0)
        table.add_row(
            mocap.clip_names[mocap.clip[row]],
            str(mocap.frame[row]),
            f"{scores.log_density[row]:.1f}",
            f"{scores.typicality[row]:.3f}",
            reasons or "-",
        )
    return table
