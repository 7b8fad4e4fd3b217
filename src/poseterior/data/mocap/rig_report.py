"""What was understood of a rig: a text for the terminal, and a picture of the skeleton at rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.errors import InputError
from ...geometry.skeletons import SKELETONS
from .axes import find_up, turn_up
from .importing import FBX_REMEDY, FORMATS, read_source
from .inspection import _COLOURS
from .motion import Motion
from .rig_frames import joint_points
from .rigging import RigGuess, guess_rig, refuse_unsure, rig_table_text
from .rigs import shipped_rigs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "RigReport",
    "rig_picture",
    "rig_report",
    "rigs_list",
]

_SMPL = SKELETONS["smpl22"]


@dataclass(frozen=True)
class RigReport:
    """What `rig_report` found.

    Attributes:
        file: the motion file.
        motion: as read.
        guess: what its joints are.
        text: for the terminal, the table for ``--rig`` last.
        told: whether the rig was named.
    """

    file: Path
    motion: Motion
    guess: RigGuess
    text: str
    told: bool

    def refuse_unsure(self) -> None:
        """Raise what importing the file would raise."""
        refuse_unsure(self.guess, self.file, self.told)


def rigs_list() -> str:
    """The shipped rigs by name, one per line."""
    rigs = shipped_rigs()
    width = max(map(len, rigs))
    return "\n".join(f"{name:{width}}  {rig.about}" for name, rig in sorted(rigs.items()))


def _format(file: Path) -> str:
    suffix = file.suffix.lower()
    if suffix == ".fbx":
        raise InputError(f"{file}: an FBX file, which is not read; {FBX_REMEDY}")
    for format in ("bvh", "gltf"):
        if suffix in FORMATS[format][0]:
            return format
    raise InputError(f"{file}: unknown extension {file.suffix!r}; rigs are looked at in .bvh, .glb and .gltf files")


def rig_report(file: str | Path, rig: str | Path | None = None) -> RigReport:
    """Look at the skeleton of a motion file.

    Args:
        file: BVH or glTF.
        rig: a shipped rig's name or a YAML file; guessed by default.

    Raises:
        InputError: as the readers, and `guess_rig`.
    """
    file = Path(file)
    format = _format(file)
    if not file.exists():
        raise InputError(f"{file}: no such file")
    motion, guess = guess_rig(read_source(file, format, None), file, rig, FORMATS[format][1])
    up, _ = find_up(motion, guess.found, guess.rest)
    rest = "its frames' own axes" if guess.rest is None else f"its {guess.rest.source} (arms: {guess.rest.arms})"
    lines = [
        f"{file.name}: {len(motion.joints)} joints, {len(motion)} frames at {motion.fps:g} a second",
        f"rig: {guess.rig}; up: {up}; rest frames from {rest}",
        f"confidence {guess.confidence:.2f}, {'sure' if guess.sure else 'NOT SURE'}",
    ]
    lines += [f"  {'ok ' if check.passed else 'NO '} {check.name}: {check.told}" for check in guess.checks]
    return RigReport(file, motion, guess, "\n".join([*lines, "", rig_table_text(motion, guess)]), rig is not None)


def rig_picture(report: RigReport) -> Figure:
    """The skeleton at rest (or in its first frame), grey; the joints recognised named, left blue, right
    vermillion."""
    from matplotlib.figure import Figure

    guess, motion = report.guess, report.motion
    if guess.rest is not None:
        places = guess.rest.positions @ guess.rest.axes.T
    else:
        up, _ = find_up(motion, guess.found, None)
        places = turn_up(motion, up).positions[0]
    points = joint_points(places, motion, guess.found)
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes: Any = figure.add_subplot(aspect="equal")
    for number, parent in enumerate(motion.parents):
        if parent >= 0:
            axes.plot(*places[[parent, number], :2].T, color="0.8", linewidth=1, zorder=1)
    for tail, head in _SMPL.bones:
        pair = np.stack([points[_SMPL.joints[head]], points[_SMPL.joints[tail]]])
        axes.plot(*pair[:, :2].T, color=_COLOURS[_SMPL.sides[tail]], linewidth=2, zorder=2)
    for index, joint in enumerate(_SMPL.joints):
        x, y = points[joint][:2]
        axes.plot(x, y, "o", color=_COLOURS[_SMPL.sides[index]], markersize=4, zorder=3)
        axes.annotate(joint, (x, y), fontsize=6, xytext=(3, 2), textcoords="offset points")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("0.85")
    state = "sure" if guess.sure else "NOT SURE"
    axes.set_title(
        f"{report.file.name}: {guess.rig}, confidence {guess.confidence:.2f}, {state}".replace("$", r"\$"), fontsize=9
    )
    return figure
