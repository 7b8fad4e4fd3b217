"""`poseterior demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Demo:
    """Lift the shipped example keypoints and show what comes out."""

    out: Path = Path("demo")
    """Folder for poses.parquet (of a light install: poses.npz), scene.html and summary.png."""
    lifter: str = "mdn"
    """A shipped lifter (see `poseterior lifters`), a folder with trained weights, or the folder of a run."""
    samples: int = 200
    """Hypotheses per pose."""
    level: float = 0.9
    """Probability with which each joint is within its radius."""
    seed: int = 0
    """Seed of the samples."""

    def run(self) -> None:
        from importlib import resources

        from rich.console import Console

        from ..files.errors import InputError
        from ..files.extras import installed
        from ..files.writing import check_folder, check_outputs, make_folder
        from ..keypoints.reading import example_keypoints
        from ..lifters import load
        from ..lifting.poses import lift
        from ..view import save_summary, write_html
        from ._common import check_level, lifter_folder, summary_table, weights_of

        console = Console()
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"--out {self.out}: is a file; give a folder")
        check_level(self.level)
        results = self.out / ("poses.parquet" if installed("pyarrow") else "poses.npz")
        scene, summary = self.out / "scene.html", self.out / "summary.png"
        viewer = installed("viser") and installed("trimesh")
        self.lifter = weights_of(self.lifter)
        check_outputs({"--out": [results, scene, summary]}, [lifter_folder(self.lifter)])
        check_folder(self.out)
        result = lift(load(self.lifter), example_keypoints(), self.samples, self.seed, level=self.level)
        console.print(summary_table(result))
        make_folder(self.out)
        result.save(results)
        with resources.as_file(resources.files("poseterior") / "examples") as photos:
            write_html(result, scene, photos=photos)
            save_summary(result, summary, photos=photos)
        own = f"poseterior lift keypoints.json --out {results.name} --view scene.html"
        look = ("" if viewer else "pip install 'poseterior[view]', then ") + f"poseterior view {results}"
        console.print(
            f"\nwrote {results}: samples, means, covariances, log-densities, regions (one row per pose)"
            f"\nwrote {scene}: open it in a browser, turn it and point at joints"
            f"\nwrote {summary}: the same as a picture"
            f"\n\nnext, your own keypoints:  {own}"
            f"\nor look closer:            {look}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
