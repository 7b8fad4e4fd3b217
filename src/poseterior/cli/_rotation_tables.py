"""The tables of `poseterior bench --rotations`: what its JSON says, in words, with units, in groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["HIDDEN", "LEGEND", "PRIOR", "calibration_lines", "fit_table", "prior_table"]

#: Tasks in the order of the table, by their key in the JSON: what is hidden of the 25 points. Of the limbs, an "arm" is
#: all from the collar to the wrist, a "leg" all from the hip to the foot.
HIDDEN: dict[str, str] = {
    "ik": "nothing",
    "ik smpl22": "3 points beyond SMPL's",
    "ik random": "each point by chance",
    "ik shoulder + upper arm (R)": "right collar, shoulder",
    "ik arm + hand (L)": "left arm, collar seen",
    "ik legs (L)": "left leg, foot seen",
    "ik end effectors": "wrists, ankles, head",
    "ik arm chain (L)": "left arm",
    "ik arm chain (R)": "right arm",
    "ik both arms": "both arms",
    "ik leg chain (L)": "left leg",
    "ik leg chain (R)": "right leg",
    "ik both legs": "both legs",
    "lift": "all: lifted from 2D",
}
#: Rows of the table of the prior: words, key in the JSON, decimals.
PRIOR: tuple[tuple[str, str, int], ...] = (
    ("distance of the two sets (Wasserstein, rad)", "wasserstein", 2),
    ("from a draw to the nearest pose (rad)", "nearest precision", 2),
    ("from a pose to the nearest draw (rad)", "nearest recall", 2),
    ("draws that are near poses (precision, %)", "precision", 1),
    ("poses that are near draws (recall, %)", "recall", 1),
    ("poses with a draw nearby (coverage, %)", "coverage", 1),
    ("draws around a pose (density, 1 is right)", "density", 3),
)
_SHARES = ("precision", "recall", "coverage")
#: Errors of inverse kinematics and lifting: heading, key in the JSON.
_ERRORS = (
    ("one\nsample\nmm", "mpjpe one"),
    ("mean\nof 10\nmm", "mpjpe mean"),
    ("best\nof 10\nmm", "mpjpe best"),
    ("\ntold\n°", "angle observable"),
    ("not\ntold\n°", "angle none"),
)
#: Other points are hidden in every pose, so that no joint is told, or not told, in all.
_EACH_ITS_OWN = "ik random"
LEGEND = (
    "log-lik.: log-density of the truth, nats above that of uniform rotations, of 19 joints (in brackets without the "
    "collars); mm: over the points that move; best: oracle, looks at the truth; told, not told: angle of one sample, "
    "of joints whose rotation the points in sight (lifted: all) show, and of the others; rad: summed over 19 joints"
)


def _name(row: dict[str, Any]) -> str:
    return Path(row["lifter"]).parent.name if "/" in row["lifter"] else str(row["lifter"])


def _likelihood(found: Sequence[float] | None) -> str:
    """Of all joints, and in brackets of all without collars where the density is one by joint."""
    if found is None:
        return "–"
    every, without = found
    return f"{every:.1f}" if math.isnan(without) else f"{every:.1f} ({without:.1f})"


def _number(value: float | None, decimals: int = 1) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def prior_table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """Draws of each lifter's prior against recorded poses: a column a lifter."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"prior: 2,000 draws against {escape(title)}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("")
    for row in rows:
        table.add_column(escape(_name(row)), justify="right", no_wrap=True)
    table.add_row("parameters", *(f"{row['parameters']:,}" for row in rows))
    table.add_row("log-lik. of poses (nats)", *(_likelihood(row.get("prior LL")) for row in rows), end_section=True)
    for against, words in (("test", "poses to measure on"), ("train", "poses that it was trained on")):
        if not any(f"prior {against}" in row for row in rows):
            continue
        if any("prior train" in row for row in rows):
            table.add_row(f"[dim]{words}[/dim]", *("" for _ in rows))
        for label, key, decimals in PRIOR:
            found = [row.get(f"prior {against}", {}).get(key) for row in rows]
            scale = 100 if key in _SHARES else 1
            values = [None if value is None else scale * value for value in found]
            table.add_row(label, *(_number(value, decimals) for value in values), end_section=key == PRIOR[-1][1])
    return table


def fit_table(rows: Sequence[dict[str, Any]], title: str) -> Table | None:
    """Inverse kinematics by what is hidden, then lifting: a row a lifter; None where every row is a prior's."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    able = [row for row in rows if "ik" in row]
    if not able:
        return None
    table = Table(title=f"inverse kinematics, {escape(title)}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("hidden" if len(able) == 1 else "hidden,\nlifter")
    for heading in ("\nlog-lik.\nnats", *(heading for heading, _ in _ERRORS)):
        table.add_column(heading, justify="right", no_wrap=True)
    known = [key for key in HIDDEN if key in able[0]]
    # what a later version measures is not left out for want of words
    others = [key for key in able[0] if key.startswith("ik") and key not in HIDDEN]
    for key in (*known, *others):
        words = HIDDEN.get(key, key.removeprefix("ik "))
        if len(able) > 1:
            table.add_row(f"[dim]{words}[/dim]")
        for number, row in enumerate(able):
            found = row.get(key, {})
            left_out = ("angle observable", "angle none") if key == _EACH_ITS_OWN else ()
            errors = [_number(None if error in left_out else found.get(error)) for _, error in _ERRORS]
            first = words if len(able) == 1 else escape(_name(row))
            table.add_row(first, _likelihood(found.get("LL")), *errors, end_section=number == len(able) - 1 > 0)
    return table


def calibration_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Whether the ranks of the truth among samples of inverse kinematics are uniform, a line a lifter and kind."""
    lines = []
    for row in rows:
        for kind, p in row.get("ranks", {}).items():
            worst, fine = min(p, key=lambda joint: p[joint]), sum(value > 0.01 for value in p.values())
            lines.append(
                f"{_name(row)}, points uncertain {_KINDS.get(kind, kind)}: ranks of the truth among 100 samples are "
                f"uniform for {fine} of {len(p)} joints (Kolmogorov-Smirnov p above 0.01; least {p[worst]:.3f}, "
                f"{worst.replace('_', ' ')})"
            )
    return lines


#: Kinds of uncertainty of the points, by their key in the JSON.
_KINDS = {"alike in all directions": "alike in all directions", "a lifter's errors": "as a lifter's answers are"}
