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
        from ..training.steps import finished

        recipe = read_recipe(self.recipe, self.changes)
        out = self.out or Path("runs") / recipe.name
        if self.resume and (done := finished(out, recipe.for_card())) is not None:
            print(f"{out}: has been to its end; {done} are its weights")
            return
        from ..training import train
        from ._common import quiet_lightning

        quiet_lightning()
        try:
            weights = train(
                recipe,
                out,
                resume=self.resume,
                device=self.device,
                devices=self.devices,
                precision=self.precision,
                strategy=self.strategy,
                workers=self.workers,
                progress=not self.quiet,
            )
        except KeyboardInterrupt as interruption:
            self._say_how_to_go_on(out, getattr(interruption, "step", None))
            raise
        print(f"wrote {weights}: use it with `poseterior lift FILE --lifter {weights}`")

    def _say_how_to_go_on(self, out: Path, step: int | None) -> None:
        """On standard error: where the run is, and the command that goes on."""
        import sys

        begun = (out / "recipe.yaml").is_file()
        if step is not None:
            print(f"\nstopped at step {step}, whose checkpoint is written; go on with", file=sys.stderr)
        elif begun:
            print("\nstopped; go on from the last checkpoint with", file=sys.stderr)
        else:
            print("\nstopped before the first step, nothing is written; begin again with", file=sys.stderr)
        print(self.command(out, resume=begun), file=sys.stderr)

    def command(self, out: Path, resume: bool) -> str:
        """The command line of this run."""
        import dataclasses
        import shlex

        words = ["poseterior", "train", self.recipe, *self.changes, "--out", str(out)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("recipe", "changes", "out", "resume") or value == field.default:
                continue
            words += [f"--{field.name}"] if value is True else [f"--{field.name}", str(value)]
        return shlex.join([*words, "--resume"] if resume else words)
