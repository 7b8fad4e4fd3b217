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

    from ..data.store import PoseStore
    from ..experiments.rotations import prior_lifter, rotation_tasks
    from ..files.errors import InputError
    from ..files.writing import atomic_write, check_folder, make_folder

    if store is None:
        raise InputError("--rotations: pass the pose store to measure on as --data STORE")
    check_folder(out)
    names = lifters or ("rotations",)
    for given in filter(None, (store, train)):
        PoseStore(given)
    for name in names:
        prior_lifter(name)  # what cannot be measured is told before the others are
    path, rows = out / "rotations.json", []
    console = Console()
    for name in names:
        begun = time.time()
        row = rotation_tasks(name, store, train, poses)
        rows.append(row | {"seconds": round(time.time() - begun, 1)})
        make_folder(out)
        with atomic_write(path) as file:
            file.write((json.dumps(rows, indent=1) + "\n").encode())
    wide = Console(width=console.width if console.is_terminal else 150)
    _print(wide, rows, f"{poses} poses of {store.resolve().name}")
    print(f"wrote {path}")


def _print(console: Console, rows: Sequence[dict[str, Any]], title: str) -> None:
    from ._rotation_tables import LEGEND, calibration_lines, fit_table, prior_table

    console.print(prior_table(rows, title))
    if (fits := fit_table(rows, title)) is not None:
        console.print(fits)
    for line in calibration_lines(rows):
        console.print(line, highlight=False, markup=False)
    console.print(LEGEND, style="dim", highlight=False, markup=False)
