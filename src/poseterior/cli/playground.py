"""`poseterior playground`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass
class Playground:
    """Write a page to play with: a lifter runs in the browser and answers while you drag the keypoints.

    The page is one file that opens by double click: no server, and nothing is asked for. What runs the network in it,
    onnxruntime-web, is downloaded once with --fetch (33 MB, from npm; 14 MB are kept), or given with --runtime.

    Example: poseterior playground --fetch
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("playground")
    """Folder for index.html."""
    lifter: str = "mdn"
    """Name of shipped weights (all but 'rotations'), the folder of a lifter, or the folder of a run."""
    level: float = 0.9
    """Probability with which each joint is within its region."""
    fetch: bool = False
    """First download the runtime, checked by its SHA-256, and keep it in the user's cache (POSETERIOR_CACHE where
    set), unless it is there."""
    runtime: tuple[Path, ...] = ()
    """A copy of the runtime, for machines without network: the npm package (.tgz), or the two files in it."""
    open: bool = True
    """Open the page in the browser."""

    def run(self) -> None:
        from ..files.errors import InputError
        from ..files.writing import check_folder, check_outputs, make_folder
        from ._common import check_level, lifter_folder, weights_of

        page = self.out / "index.html"
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"--out {self.out}: is a file; give a folder")
        if self.fetch and self.runtime:
            raise InputError("--fetch downloads the runtime, --runtime gives a copy of it: choose one of them")
        check_level(self.level)
        self.lifter = weights_of(self.lifter)
        check_outputs({"--out": page}, [lifter_folder(self.lifter), *self.runtime])
        check_folder(self.out)

        from ..view.playground.runtime import SOURCE, fetch_runtime, load_runtime, need_packages

        need_packages()

        from ..lifters import load
        from ..view.playground.page import Playground as Played
        from ..view.playground.page import write_playground

        runtime = None if self.fetch else load_runtime(self.runtime)
        lifter = load(self.lifter)
        lifter.to_module(self.level)  # refuses what cannot be exported
        if self.fetch:
            print(f"{SOURCE.requirement} (licence {SOURCE.licence}), {SOURCE.megabytes} MB to download", flush=True)
            for path in fetch_runtime():
                print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 as it should be", flush=True)
        runtime = runtime or load_runtime()
        print(f"tracing {self.lifter}, which takes half a minute", flush=True)
        played = Played.of(lifter, self.level)
        make_folder(self.out)
        write_playground(played, runtime, page)
        print(f"wrote {page}: {page.stat().st_size / 1e6:.1f} MB; open it in a browser, drag joints and hide them")
        if self.open:
            import webbrowser

            webbrowser.open(page.resolve().as_uri())
