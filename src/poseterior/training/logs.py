"""What a run writes as it goes: a table of losses; and what becomes of the logger's thread when the disk is full."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from ..files.errors import InputError
from ..files.writing import atomic_write

__all__ = ["LossTable", "quiet_log_threads", "write_failure"]


class LossTable(Callback):
    """Writes ``losses.csv`` (step and each term) so that runs can be compared; resumed runs go on exactly."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        kept = _rows_until(self.path, trainer.global_step) if trainer.global_step and self.path.exists() else []
        with atomic_write(self.path) as file:
            file.write("".join(kept).encode())

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = trainer.global_step
        if not trainer.is_global_zero or step % self.every:
            return
        terms = {k: float(v) for k, v in trainer.callback_metrics.items() if k != "validation"}
        fresh = self.path.stat().st_size == 0
        try:
            with self.path.open("a", newline="") as file:
                writer = csv.writer(file)
                if fresh:
                    writer.writerow(["step", *terms])
                writer.writerow([step, *(repr(value) for value in terms.values())])
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror or error}); the run stops, and goes on from its last "
                "checkpoint with --resume"
            ) from None


def _rows_until(table: Path, step: int) -> list[str]:
    """The lines of a table up to a step. A run that was killed may have left half a line, which is left out."""
    lines = table.read_bytes().decode().splitlines(keepends=True)
    head, *rows = [line for line in lines if line.endswith("\n")] or [""]
    return [head, *(row for row in rows if row.partition(",")[0].isdecimal() and int(row.partition(",")[0]) <= step)]


@contextmanager
def quiet_log_threads() -> Iterator[None]:
    """TensorBoard writes in a thread of its own, which would print a traceback when the disk is full.

    The error itself is not lost: TensorBoard raises it again at the next number that is logged.
    """
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        ours = type(args.thread).__module__.startswith("tensorboard")
        if not (ours and isinstance(args.exc_value, OSError)):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def write_failure(error: BaseException) -> OSError | None:
    """The `OSError` behind an error, where the loggers have wrapped it; None where there is none."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        if isinstance(link, OSError):
            return link
        if isinstance(link, InputError):  # says already what is wrong
            return None
        seen.append(link)
        link = link.__cause__ or link.__context__
    return None
