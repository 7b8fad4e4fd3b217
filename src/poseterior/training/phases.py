"""What a run says while it does something else than steps: every phase a line, and a bar where it can count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Phases"]

#: Seconds between lines where no bar can be drawn.
_SECONDS = 30.0


class Phases:
    """Lines and bars on the terminal; nothing where ``shown`` is False."""

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown
        self.console = Console()

    def say(self, text: str) -> None:
        """One line, shown at once."""
        if self.shown:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def counted(self) -> Iterator[Callable[[str, int, int], None]]:
        """A function ``report(what, done, total)`` that draws a bar, or writes a line now and then."""
        if not self.shown:
            yield lambda what, done, total: None
            return
        if not self.console.is_terminal:
            yield self._lines()
            return
        columns = (MofNCompleteColumn(), BarColumn(bar_width=12), TimeRemainingColumn(compact=True))
        with Progress(TextColumn("{task.description}"), *columns, console=self.console) as bar:
            tasks = {}

            def report(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, total=total)
                bar.update(tasks[what], completed=done)

            yield report

    def _lines(self) -> Callable[[str, int, int], None]:
        said: dict[str, float] = {}

        def report(what: str, done: int, total: int) -> None:
            now = time.perf_counter()
            if what not in said or now - said[what] > _SECONDS or done == total:
                said[what] = now
                self.say(f"{what}: {done:,} of {total:,}")

        return report
