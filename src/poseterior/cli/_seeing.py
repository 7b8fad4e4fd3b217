"""What commands share that find people in photographs and films themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from ..detect import Detector
    from ..detect.seen import Seen
    from ..detect.sources import Sources
    from ..files.errors import InputError
    from ..keypoints import Keypoints2D

__all__ = ["SeeingOptions", "bar", "bar_when_needed"]


def bar(console: Console) -> Progress:
    """A progress bar with the number of frames, or of files."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)


@contextmanager
def bar_when_needed(console: Console) -> Iterator[Progress]:
    """A progress bar that is shown from its first task on: who adds one calls ``start``."""
    shown = bar(console)
    try:
        yield shown
    finally:
        if shown.live.is_started:
            shown.stop()


def _none_of(errors: Sequence[InputError]) -> InputError:
    """What is said where no file could be read."""
    from ..files.errors import InputError

    return InputError(f"none of {len(errors)} photographs and films can be read; {errors[0]}")


@dataclass(kw_only=True)
class SeeingOptions:
    """How people are found in photographs and films."""

    detector: str = "blazepose"
    """Of photographs, films and cameras: what finds people in them (`poseterior detectors` lists them)."""
    model: tuple[Path, ...] = ()
    """Files of the detector's model, where it was not fetched."""
    noise_model: Path | None = None
    """How wrong the detector's keypoints are, where you have fitted it: the file that `poseterior detectors calibrate`
    wrote."""
    every: int = 1
    """Of films: look at every n-th frame."""
    start: float = 0.0
    """Of films: seconds from which on."""
    end: float | None = None
    """Of films and cameras: seconds until which."""

    def check_seeing(self) -> None:
        """Refuse what no film could be read with, before any work is done."""
        import math

        from ..files.errors import InputError

        if self.every < 1:
            raise InputError(f"--every: expected a whole number from 1, got {self.every}")
        if not (math.isfinite(self.start) and self.start >= 0):
            raise InputError(f"--start: expected seconds from 0, got {self.start:g}")
        if self.end is not None and not (math.isfinite(self.end) and self.end > self.start):
            raise InputError(f"--end: expected seconds after --start ({self.start:g}), got {self.end:g}")

    def check_used(self, sources: Sources) -> None:
        """Refuse options of films where there is none, and say which of the detector there is no picture for."""
        from ..files.errors import InputError

        moving = bool(sources.films) or sources.camera is not None
        options = [("--every", self.every != 1, bool(sources.films)), ("--start", self.start != 0, bool(sources.films))]
        for option, given, used in (*options, ("--end", self.end is not None, moving)):
            if given and not used:
                raise InputError(f"{option}: is of films, and there is none here; leave it out")
        if sources.seen or sources.camera is not None:
            return
        given_anyhow = {
            "--detector": self.detector != SeeingOptions.detector, "--model": bool(self.model),
            "--noise-model": self.noise_model is not None,
        }  # fmt: skip
        if unused := [option for option, given in given_anyhow.items() if given]:
            print(f"{', '.join(unused)}: not used: there is no photograph or film here")

    def load(self) -> Detector:
        """The detector that was asked for."""
        from ..detect import load_detector

        return load_detector(self.detector, self.model, noise=self.noise_model)

    def look(self, paths: Sequence[Path], console: Console, every_one: bool = False) -> dict[Path, Keypoints2D]:
        """The people in each of some photographs and films; what is to be said is printed. Where nobody is, nothing is.

        What cannot be read is left out, and that is said.

        Args:
            paths: photographs and films.
            console: where it is said.
            every_one: nothing may be left out.

        Raises:
            InputError: no file can be read, or one of which ``every_one`` is needed; the detector is not there.
        """
        from ..files.errors import InputError
        from ..files.films import is_film

        if not paths:
            return {}
        detector = self.load()
        seen, left_out = {}, []
        with bar_when_needed(console) as shown:
            find = self._looking(detector, shown, sum(not is_film(path) for path in paths))
            for path in paths:
                try:
                    seen[path] = find(path)
                except InputError as error:
                    left_out.append(error)
                    if every_one or len(left_out) == len(paths):
                        raise (error if every_one or len(paths) == 1 else _none_of(left_out)) from None
        if left_out:
            console.print("left out:", highlight=False)
        for said in (*(f"  {error}" for error in left_out), *(note for one in seen.values() for note in one.notes)):
            console.print(said, highlight=False, soft_wrap=True, markup=False)
        return {path: one.keypoints for path, one in seen.items() if one.keypoints is not None}

    def _looking(self, detector: Detector, shown: Progress, pictures: int) -> Callable[[Path], Seen]:
        """Finds the people in one photograph or film, and counts: photographs on one bar, the frames of each film."""
        from ..detect.films import frames_to_read, people_in_film
        from ..detect.pictures import people_in_picture
        from ..files.films import is_film, read_film

        album: list[TaskID] = []

        def look_at(path: Path) -> Seen:
            shown.start()
            if is_film(path):
                total = frames_to_read(read_film(path), self.start, self.end, self.every)
                task = shown.add_task(path.name, total=total)
                return people_in_film(
                    path, detector, self.start, self.end, self.every, advance=lambda: shown.advance(task)
                )  # fmt: skip
            if not album:
                album.append(shown.add_task("photographs", total=pictures))
            try:
                return people_in_picture(path, detector)
            finally:
                shown.advance(album[0])

        return look_at

    def finder(self, shown: Progress) -> tuple[Callable[[Path], Keypoints2D], Callable[[list[Path]], object]]:
        """Finds people in photographs and films of a folder; the detector is loaded when it is first needed.

        Beside it, who wants to be told before which photographs and films they will be.
        """
        from ..files.errors import InputError
        from ..files.films import is_film

        pictures: list[int] = []
        loaded: list[Callable[[Path], Seen]] = []

        def find(path: Path) -> Keypoints2D:
            if not loaded:
                loaded.append(self._looking(self.load(), shown, sum(pictures)))
            seen = loaded[0](path)
            if seen.keypoints is None:
                raise InputError(seen.notes[0])
            return seen.keypoints

        return find, lambda paths: pictures.append(sum(not is_film(path) for path in paths))
