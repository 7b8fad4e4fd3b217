"""The progress bar of a training run: steps, loss terms, observations per second, time left."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["StepProgress"]


class StepProgress(Callback):
    """One line on the terminal. Lightning's own bar counts epochs, of which a run here has one without end."""

    def __init__(self, steps: int, batch: int) -> None:
        self.steps, self.batch = steps, batch
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self._shown = 0.0
        self._start = (0.0, 0)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(bar_width=12), TimeRemainingColumn(compact=True))
        self.bar = Progress(*columns, TextColumn("{task.fields[terms]}"))
        self.task = self.bar.add_task("", total=self.steps, completed=trainer.global_step, terms="")
        self.bar.start()
        self._start = (time.perf_counter(), trainer.global_step)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        now, step = time.perf_counter(), trainer.global_step
        if self.bar is None or (now - self._shown < 0.5 and step < self.steps):
            return
        self._shown = now
        terms = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = (step - self._start[1]) * self.batch * trainer.world_size / max(now - self._start[0], 1e-9)
        text = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        self.bar.update(self.task, completed=step, terms=f"{text} {rate:,.0f} poses/s")

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._stop()
