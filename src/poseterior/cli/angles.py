"""`poseterior angles`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from ..results.angles import Angles as Found


@dataclass
class Angles:
    """Joint angles of a result in degrees, each with its calibrated interval: a table, a figure.

    Knees, hips, shoulders, elbows, the trunk and the pelvis, by conventions as of the International Society of
    Biomechanics. With --rotations also ankles and hands: the angles of joint rotations, by inverse kinematics.

    Example: poseterior angles poses.parquet --out angles.csv --plot angles.png
    """

    result: tyro.conf.Positional[Path]
    """File written by `poseterior lift`: .parquet, .npz, or .json with samples."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Table: .csv, a row per pose and angle."""
    plot: Path | None = None
    """Figure: .png, .pdf or .svg; several clips give numbered files."""
    level: float = 0.9
    """Probability of the intervals."""
    only: tuple[str, ...] = ()
    """Names of the angles wanted, e.g. left_knee_flexion; by default all. A name that is none lists them."""
    fps: float | None = None
    """Frames per second, for times; 30 is assumed, and said, where it is not given."""
    rotations: bool = False
    """Angles of the joint rotations that inverse kinematics finds, uncalibrated, instead of those of the points."""

    def run(self) -> None:
        from rich.console import Console

        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ._common import check_extension, check_level

        check_extension(self.out, "--out", (".csv",))
        check_extension(self.plot, "--plot", (".png", ".pdf", ".svg"))
        check_outputs({"--out": self.out, "--plot": self.plot}, [self.result])
        check_level(self.level)
        from ..results.times import ASSUMED_FPS, check_fps

        if self.fps is not None:
            check_fps(self.fps)
        from ..lifting.poses import load_result

        result = load_result(self.result)
        if not len(result):
            raise InputError(f"{self.result}: has no poses")
        told = result.fps if self.fps is None else self.fps
        fps = told or ASSUMED_FPS
        try:
            angles = result.motion().angles(self.level) if self.rotations else result.angles(self.level)
        except InputError as error:
            raise InputError(f"{self.result}: {error}") from None
        angles = angles.only(self.only) if self.only else angles
        console = Console()
        console.print(_table(angles))
        if told is None and (self.out or self.plot):
            console.print("times: 30 frames a second is assumed: pass --fps", highlight=False)
        if self.out is not None:
            angles.save(self.out, fps)
            console.print(f"wrote {self.out}", highlight=False, soft_wrap=True)
        if self.plot is not None:
            from ..view.angles import plot_paths, save_angles

            check_outputs({"--plot": plot_paths(angles, self.plot), "--out": self.out}, [self.result])
            for path in save_angles(angles, self.plot, fps):
                console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _table(angles: Found) -> Any:
    """Of each angle its middle and range over the poses, and the usual half width of its interval."""
    import numpy as np
    from rich.table import Table

    from ..files.checks import counted

    table = Table(caption_justify="left", caption=f"{counted(len(angles), 'pose')}; {angles.label('intervals')}")
    table.add_column("angle", no_wrap=True)
    for name in ("median, °", "from", "to", "± (median)", "seen"):
        table.add_column(name, justify="right", no_wrap=True)
    for column, name in enumerate(angles.names):
        degrees = angles.degrees[:, column]
        degrees = degrees[np.isfinite(degrees)]
        if not len(degrees):
            table.add_row(name.replace("_", " "), *["–"] * 5)
            continue
        half = (angles.upper[:, column] - angles.lower[:, column]) / 2
        half = half[np.isfinite(half)]
        table.add_row(
            name.replace("_", " "),
            f"{np.median(degrees):.0f}", f"{degrees.min():.0f}", f"{degrees.max():.0f}",
            f"{np.median(half):.0f}" if len(half) else "–",
            f"{100 * angles.seen[:, column].mean():.0f} %",
        )  # fmt: skip
    return table
