"""Ctrl-C ends a run between two steps, with a checkpoint of where it is."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

__all__ = ["Interrupted", "StopsBetweenSteps"]


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, and has written where it was.

    Attributes:
        step: of the checkpoint.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"interrupted at step {step}")
        self.step = step


class StopsBetweenSteps(Callback):
    """Takes Ctrl-C (SIGINT) and SIGTERM while steps are taken: the step is ended, a checkpoint written, the run ends.

    A second Ctrl-C does not wait for that. Outside the main thread, which alone gets signals, nothing is changed.

    Args:
        checkpoint: file to write.
        keeping: also keeps the weights of the step.
    """

    def __init__(self, checkpoint: Path, keeping: Any) -> None:
        self.checkpoint, self.keeping = checkpoint, keeping
        self.asked = False
        self.step: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopsBetweenSteps:
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {n: signal.signal(n, self._ask) for n in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            trainer.save_checkpoint(self.checkpoint)
            self.keeping.keep(trainer, module)
            self.step = trainer.global_step
            raise KeyboardInterrupt
