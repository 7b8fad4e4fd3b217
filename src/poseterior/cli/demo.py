"""`poseterior demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Demo:
    """Lift the shipped example keypoints and show what comes out."""

    out: Path = Path("demo")
    """Folder for poses.parquet, scene.html and summary.png."""
    lifter: str = "mdn"
    """A shipped lifter (see `poseterior lifters`) or a folder with trained weights."""
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
        from ..files.writing import check_outputs, make_folder
        from ..keypoints.reading import example_keypoints
        from ..lifters import load
        from ..lifting.poses import lift
        from ..view import save_summary, write_html
        from ._common import check_level, lifter_folder, summary_table

        console = Console()
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"--out {self.out}: is a file; give a folder")
        check_level(self.level)
        results, scene, summary = (self.out / name for name in ("poses.parquet", "scene.html", "summary.png"))
        check_outputs({"--out": [results, scene, summary]}, [lifter_folder(self.lifter)])
        result = lift(load(self.lifter), example_keypoints(), self.samples, self.seed, level=self.level)
        console.print(summary_table(result))
        make_folder(self.out)
        result.save(results)
        with resources.as_file(resources.files("poseterior") / "examples") as photos:
            write_html(result, scene, photos=photos)
            save_summary(result, summary, photos=photos)
        console.print(
            f"\nwrote {results}: samples, means, covariances, log-densities, regions (one row per pose)"
            f"\nwrote {scene}: open it in a browser, turn and zoom with the mouse"
            f"\nwrote {summary}: the same as a picture"
            "\n\nnext, your own keypoints:  poseterior lift keypoints.json --out poses.parquet --view scene.html"
            f"\nor look closer:            poseterior view {results}",
            highlight=False,
            soft_wrap=True,
        )
