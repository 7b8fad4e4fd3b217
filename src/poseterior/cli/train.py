"""`poseterior train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass
class Train:
    """Train a lifter by a recipe.

    Example: poseterior train mdn data=stores/cmu schedule.steps=2000 --out runs/mine
    """

    recipe: tyro.conf.Positional[str]
    """A shipped recipe (mdn, flow, rotations, mdn-published ...) or a YAML file, which may extend another."""
    changes: tyro.conf.Positional[tuple[str, ...]] = ()
    """key=value changes, right after the recipe, e.g. data=STORE schedule.batch=256 simulator.recombine=0."""
    out: Path | None = None
    """Folder of the run (default runs/RECIPE): checkpoints, logs, weights/."""
    resume: bool = False
    """Go on from the last checkpoint in the folder."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    devices: int = 1
    """Number of devices or processes."""
    strategy: str = "auto"
    """How several processes work together: auto or ddp."""
    precision: str = "32-true"
    """32-true, bf16-mixed or 16-mixed (mixed precision pays on GPUs only)."""
    workers: int = 0
    """0, or 1 to simulate observations in a process beside the training."""
    quiet: bool = False
    """No progress bar."""

    def run(self) -> None:
        from ..training.recipes import read_recipe

        recipe = read_recipe(self.recipe, self.changes)
        from ..training import train
        from ._common import quiet_lightning

        quiet_lightning()
        weights = train(
            recipe,
            self.out or Path("runs") / recipe.name,
            resume=self.resume,
            device=self.device,
            devices=self.devices,
            precision=self.precision,
            strategy=self.strategy,
            workers=self.workers,
            progress=not self.quiet,
        )
        print(f"wrote {weights}: use it with `poseterior lift FILE --lifter {weights}`")
