"""`poseterior bench --rotations`: distributions over joint rotations, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run_rotations"]


def run_rotations(lifters: Sequence[str], store: Path | None, train: Path | None, poses: int, out: Path) -> None:
    """Measure each lifter's tasks, print them, and write ``OUT/rotations.json`` after each.

    Raises:
        InputError: no store, or as `poseterior.experiments.rotations.rotation_tasks`.
    """
    import json
    import time

    from rich.console import Console

    from ..experiments.rotations import rotation_tasks
    from ..files.errors import InputError
    from ..files.writing import atomic_write, make_folder

    if store is None:
        raise InputError("--rotations: pass the pose store to measure on as --data STORE")
    make_folder(out)
    path, rows = out / "rotations.json", []
    console = Console()
    for name in lifters or ("rotations",):
        begun = time.time()
        row = rotation_tasks(name, store, train, poses)
        rows.append(row | {"seconds": round(time.time() - begun, 1)})
        with atomic_write(path) as file:
            file.write((json.dumps(rows, indent=1) + "\n").encode())
    wide = Console(width=console.width if console.is_terminal else 150)
    _print(wide, rows, f"{poses} poses of {store.resolve().name}")
    print(f"wrote {path}")


def _print(console: Console, rows: Sequence[dict[str, Any]], title: str) -> None:
    from rich.table import Table

    table = Table(title=title)
    names = [Path(row["lifter"]).parent.name if "/" in row["lifter"] else row["lifter"] for row in rows]
    for heading in ("", *names):
        table.add_column(heading, justify="left" if not heading else "right")

    def line(title: str, values: list[str]) -> None:
        table.add_row(title, *values)

    line("parameters", [f"{row['parameters']:,}" for row in rows])
    line("prior LL", ["{:.1f} ({:.1f})".format(*row["prior LL"]) if "prior LL" in row else "none" for row in rows])
    for against in ("test", "train"):
        for key in ("precision", "recall", "density", "coverage", "nearest precision", "nearest recall", "wasserstein"):
            if f"prior {against}" in rows[0]:
                line(f"prior, {against}: {key}", [f"{row[f'prior {against}'][key]:.3f}" for row in rows])
    for key in next((r for r in rows if "ik" in r), {}):
        if not isinstance(key, str) or not (key.startswith("ik") or key == "lift"):
            continue
        for metric in ("LL", "mpjpe one", "mpjpe mean", "mpjpe best", "angle observable", "angle none"):
            values = []
            for row in rows:
                found = row.get(key, {}).get(metric)
                values.append(
                    "" if found is None else "{:.1f} ({:.1f})".format(*found) if metric == "LL" else f"{found:.1f}"
                )
            line(f"{key}: {metric}", values)
    for row in rows:
        for title, p in row.get("ranks", {}).items():
            worst, fine = min(p, key=lambda joint: p[joint]), sum(value > 0.01 for value in p.values())
            console.print(
                f"{row['lifter']}, {title}: KS p of IK ranks above .01 for {fine} of {len(p)} joints, "
                f"least {p[worst]:.3f} ({worst})"
            )
    console.print(table)
