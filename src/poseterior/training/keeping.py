"""What is kept of a run besides its end: weights of steps along the way, and the best by validation."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from ..lifters import Model
from .module import LiftingModule
from .steps import BEST, STEPS

__all__ = ["KeptWeights"]


class KeptWeights(Callback):
    """Writes ``steps/STEP`` every so many steps, and ``best`` whenever validation was never better.

    Args:
        run: folder of the run.
        every: steps between the ones that are kept.
        card: of the weights of a step.
    """

    def __init__(self, run: Path, every: int, card: Callable[[int], dict[str, Any]]) -> None:
        self.run, self.every, self.card = run, every, card
        self.best = math.inf

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.global_step:  # a resumed run: the best so far, unless it is of steps that are done anew
            try:
                card = json.loads((self.run / BEST / "card.json").read_text())["training"]
                self.best = float(card["validation"]) if card["step"] <= trainer.global_step else math.inf
            except (OSError, ValueError, KeyError, TypeError):
                self.best = math.inf

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self.keep(trainer, module)

    def keep(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write the weights of this step."""
        self._write(trainer, module, self.run / STEPS / str(trainer.global_step), {})

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        value = float(trainer.callback_metrics.get("validation", math.nan))
        if value < self.best:
            self.best = value
            self._write(trainer, module, self.run / BEST, {"validation": value})

    def _write(self, trainer: L.Trainer, module: L.LightningModule, folder: Path, more: dict[str, Any]) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(module, LiftingModule)
        lifter: Model = module.averaged
        card = self.card(trainer.global_step)
        card["training"] |= more
        folder.parent.mkdir(parents=True, exist_ok=True)
        lifter.save_pretrained(folder, card)
