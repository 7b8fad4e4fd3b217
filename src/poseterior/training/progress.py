"""The progress bar of a training run: steps, time left, loss, its terms, observations per second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["StepProgress", "fitting"]

#: Cells of the bar itself.
_BAR = 12
#: Seconds between lines where no bar can be drawn.
_SECONDS = 60.0


def fitting(loss: float, terms: Mapping[str, float], rate: float, width: int) -> str:
    """The loss, and as much else as fits into so many cells: validation, terms, observations per second.

    Args:
        loss: the sum of the terms; NaN where there is none yet.
        terms: by name.
        rate: observations per second.
        width: cells.
    """
    parts = [f"loss {loss:.3f}"]
    if "validation" in terms:
        parts.append(f"validation {terms['validation']:.3f}")
    shown = {name: value for name, value in terms.items() if name != "validation"}
    parts += [f"{rate:,.0f} poses/s"]
    parts += [f"{name} {value:.3f}" for name, value in shown.items()] if len(shown) > 1 else []
    text = parts[0]
    for part in parts[1:]:
        if len(text) + 1 + len(part) <= width:
            text += f" {part}"
    return text


class StepProgress(Callback):
    """One line on the terminal. Lightning's own bar counts epochs, of which a run here has one without end.

    Where the output is no terminal, a line a minute instead.
    """

    def __init__(self, steps: int, batch: int, console: Console | None = None) -> None:
        self.steps, self.batch = steps, batch
        self.console = console or Console()
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self._shown = 0.0
        self._start = (0.0, 0)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._start = (time.perf_counter(), trainer.global_step)
        self._shown = self._start[0] if not self.console.is_terminal else 0.0
        if not trainer.is_global_zero or not self.console.is_terminal:
            return
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=_BAR),
            TimeRemainingColumn(compact=True),
        )
        self.bar = Progress(*columns, TextColumn("{task.fields[terms]}", markup=False), console=self.console)
        self.task = self.bar.add_task("", total=self.steps, completed=trainer.global_step, terms="")
        self.bar.start()

    @property
    def room(self) -> int:
        """Cells that are left for the loss: of the line without its steps, bar, time and the spaces between."""
        return self.console.width - len("step ") - (2 * len(str(self.steps)) + 2) - (_BAR + 1) - len("00:00:00 ")

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        now, step = time.perf_counter(), trainer.global_step
        every = 0.5 if self.bar is not None else _SECONDS
        if not trainer.is_global_zero or (now - self._shown < every and step < self.steps):
            return
        self._shown = now
        terms = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = (step - self._start[1]) * self.batch * trainer.world_size / max(now - self._start[0], 1e-9)
        loss = float(outputs["loss"]) if isinstance(outputs, dict) and "loss" in outputs else float("nan")
        if self.bar is not None:
            self.bar.update(self.task, completed=step, terms=fitting(loss, terms, rate, self.room))
        else:
            text = fitting(loss, terms, rate, 200)
            self.console.print(f"step {step}/{self.steps} {text}", highlight=False, markup=False, soft_wrap=True)

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_train_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self._stop()
