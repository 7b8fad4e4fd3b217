"""`poseterior bench --published`: a paper's evaluation, printed as the paper prints it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["run_paper"]


def _rich(table: dict[str, Any]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=table["title"], title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    shown.add_column("", no_wrap=True)
    for column in table["columns"]:
        shown.add_column(column, justify="right")
    digits = table["digits"]
    for name, row in table["rows"].items():
        shown.add_row(name, *("-" if value is None else f"{value:.{digits}f}" for value in row))
    return Group(shown, *(Text(note, style="dim") for note in table["notes"]))


def run_paper(
    paper: str, lifters: tuple[str, ...], observations: tuple[Path, ...], store: Path | None, out: Path, **options: Any
) -> None:
    """Measure, print, and write ``OUT/published.json``; options as `poseterior.evaluation.papers.evaluate_paper`."""
    import json

    from rich.console import Console

    from ..evaluation.papers import evaluate_paper
    from ..files.writing import atomic_write, check_folder, make_folder

    check_folder(out)
    console = Console()
    wide = Console(width=console.width if console.is_terminal else 160)
    result = evaluate_paper(
        paper, lifters, observations, store, progress=lambda what: wide.print(f"measuring on {what}"), **options
    )
    for name, tables in result["tables"].items():
        wide.print(f"{paper}: {name}", style="bold")
        for table in tables:
            wide.print(_rich(table))
    make_folder(out)
    path = out / "published.json"
    with atomic_write(path) as file:
        file.write((json.dumps(result, indent=2) + "\n").encode())
    print(f"wrote {path}")
