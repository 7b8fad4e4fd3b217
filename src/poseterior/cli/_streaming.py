"""`poseterior lift` of more poses than memory holds: its options, and when they are lifted so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, TaskID

    from ..detect.sources import Sources
    from ..keypoints import Keypoints2D
    from ..lifters import Lifter
    from ..lifting.stream import How
    from ..results.poses import LiftResult
    from ._lift_options import LiftOptions

__all__ = [
    "WHOLE",
    "StreamOptions",
    "lift_long_clips",
    "lift_stream",
    "lifts_clips",
    "part_files",
    "read_in_parts",
    "why_not_in_parts",
    "work_bar",
]

#: Outputs besides the result, and what else needs all poses at once.
WHOLE = ("motion", "view", "picture", "video", "keypoints", "photo", "contacts", "ground")
#: Extensions of the files that grow: `poseterior.results.growing.GROWING`, without importing it.
_GROWING = (".parquet", ".npz", ".csv")

#: Of the numbers of a shard.
_SHARD_DIGITS = 6


@dataclass(kw_only=True)
class StreamOptions:
    """How very many poses are lifted: frame by frame, to a file that grows."""

    precision: Literal["full", "half"] = "full"
    """Of the samples in .parquet and .npz: half keeps two bytes a number (0.25 mm within 1 m of the pelvis, 0.5 mm
    within 2 m); means and regions stay exact."""
    resume: bool = False
    """Go on with a .parquet whose run was killed: at the next poses, window of a long clip, or clip."""
    shard: str = ""
    """Lift the i-th of n parts alone, e.g. 2/8: for several machines, to a .parquet each, which joined are the
    whole. Of clips that are lifted as a whole, parts are windows of long clips, and short clips."""
    workers: int | None = None
    """Processes that lift, for .parquet written frame by frame or in windows (default 1), or actors of --engine ray
    (default: the processors of the cluster); the answers are the same."""
    engine: Literal["local", "ray"] = "local"
    """local: this machine. ray: the machines of a Ray cluster, from keypoint files, folders, patterns and addresses
    (s3://...) to a folder of .parquet parts, frame by frame; goes on with --resume."""

    def asks_for_parts(self) -> str:
        """The option that only files that grow have; empty where none is given."""
        asked = {"--resume": self.resume, "--shard": self.shard, "--workers": self.workers not in (None, 1)}
        return next((option for option, given in asked.items() if given), "")

    def check_stream(self, out: Path | None) -> tuple[int, int]:
        """The shard, 1 of 1 where none is asked for; refuse what no file could be written with.

        Raises:
            InputError: names the option.
        """
        from ..files.errors import InputError

        found = re.fullmatch(r"(\d+)/(\d+)", self.shard or "1/1", re.ASCII)
        if found is not None and max(map(len, found.groups())) > _SHARD_DIGITS:
            raise InputError(
                f"--shard {self.shard}: has more than {_SHARD_DIGITS} digits; there are at most 999999 shards"
            )
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"--shard {self.shard}: expected i/n with i from 1 to n, e.g. 2/8")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers: expected at least 1, got {self.workers}")
        suffix = "" if out is None else out.suffix.lower()
        if (asked := self.asks_for_parts()) and suffix != ".parquet":
            raise InputError(f"{asked}: is for a result that grows; add --out poses.parquet")
        if self.precision == "half" and suffix not in (".parquet", ".npz"):
            raise InputError("--precision half: is for the samples of a .parquet or .npz; add --out poses.parquet")
        return int(found[1]), int(found[2])


def part_files(out: Path | None) -> list[Path]:
    """What is written beside a Parquet file until it is complete."""
    if out is None or out.suffix.lower() != ".parquet":
        return []
    from ..files.row_groups import part_paths

    return list(part_paths(out))


def why_not_in_parts(command: LiftOptions, lifter: Lifter, sources: Sources) -> str:
    """Why a result is not written as its keypoints are read, in words; empty where it can be, if no clip is whole."""
    from ..keypoints.parts import can_be_parts

    if why := _why_not_growing(command):
        return why
    if sources.seen or not sources.keypoints:
        return (
            "people in photographs and films are found first: write them with --keypoints people.jsonl, and lift that "
            "file, with --clip off"
        )
    if not lifts_clips(command, lifter) and not can_be_parts(list(sources.keypoints)):
        return (
            "these files are read whole: give one Parquet, npy or .jsonl file, a long JSON list, MMPose's JSON or an "
            "OpenPose folder"
        )
    return ""


def lifts_clips(command: LiftOptions, lifter: Lifter) -> bool:
    """Whether clips are lifted as a whole, if there are any."""
    return command.clip == "on" or (command.clip == "auto" and lifter.reader.clips is not None)


def _why_not_growing(command: LiftOptions) -> str:
    """Which output needs all poses at once, in words; empty where none does."""
    if command.out is None or command.out.suffix.lower() not in _GROWING:
        return f"only {', '.join(_GROWING)} grow"
    for option in WHOLE:
        if getattr(command, option):
            return f"--{option.replace('_', '-')} needs all poses at once"
    return ""


@contextmanager
def work_bar(console: Console, *told: ProgressColumn) -> Iterator[Progress]:
    """A bar with how many are done of how many, what else is told, and the time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=16), MofNCompleteColumn(), *told)
    with Progress(*columns, TimeRemainingColumn(), console=console) as shown:
        yield shown


def _speed() -> ProgressColumn:
    """Poses a second."""
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} poses/s")

    return Speed()


@dataclass
class _Writing:
    """A result that grows, and what is said of it meanwhile."""

    command: LiftOptions
    out: Path
    how: How
    console: Console
    shown: Progress
    task: TaskID | None = None
    total: int = 0

    def line(self, words: str) -> None:
        self.console.print(words, highlight=False, soft_wrap=True, markup=False)

    def done(self, poses: int, total: int) -> None:
        """So many poses are in the file, of so many."""
        if self.task is None:
            self.task = self.shown.add_task("lifting", total=total)
            if poses:
                self.line(f"goes on after {poses} of {total} poses")
        self.total = total
        self.shown.update(self.task, completed=poses, total=total)

    def maker(self, fps: float | None, run: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
        """Opens the file, which ``run`` is told from others by."""
        from ..results.growing import GrowingCsv, GrowingNpz, GrowingResult
        from ..results.times import ASSUMED_FPS

        def opened() -> Any:
            if self.out.suffix.lower() == ".npz":
                return GrowingNpz(self.out, self.how.half)
            if self.out.suffix.lower() == ".csv":
                return GrowingCsv(self.out, fps or ASSUMED_FPS)
            file = GrowingResult(self.out, run(), self.command.resume, self.how.half)
            if file.anew:
                self.line(file.anew)
            return file

        return opened

    def told(self, about: LiftResult) -> None:
        """What is said in the end."""
        from ._common import summary_table

        self.console.print(summary_table(about, total=self.total))
        self.line(f"wrote {self.out}")


@contextmanager
def _writing(command: LiftOptions, device: str, console: Console) -> Iterator[_Writing]:
    from ..lifting.stream import How
    from ._going_on import goes_on

    assert command.out is not None
    parts = part_files(command.out)
    kept = goes_on(lambda: any(part.exists() for part in parts), "--resume")
    how = How(command.samples, command.seed, device, command.level, command.precision == "half")
    with kept, work_bar(console, _speed()) as shown:
        yield _Writing(command, command.out, how, console, shown)


def lift_stream(command: LiftOptions, lifter: Lifter, path: Path, device: str, console: Console) -> bool:
    """Lift a file in parts, and say what is to be said; False where it has to be read whole after all.

    Raises:
        InputError: as `poseterior.lifting.stream.lift_to_file`.
    """
    from ..files.errors import InputError
    from ..keypoints.detections import Options
    from ..keypoints.judging import NotInParts
    from ..keypoints.parts import KeypointParts
    from ..lifting.stream import fingerprint, lift_to_file, prepared
    from ._common import options_named

    shard = command.check_stream(command.out)
    options = Options.said(
        str(path), command.skeleton, command.image_size, command.confidence_scale, command.min_confidence,
        command.keep_unseen,
    )  # fmt: skip
    read = KeypointParts(path, options, command.format, command.tracks == "auto", command.person)
    with _writing(command, device, console) as writing:
        reading = writing.shown.add_task(f"reading {path.name}", total=None)
        parts = (command.as_told(part) for part in read)
        seen: Callable[[int], object] = lambda poses: writing.shown.update(reading, completed=poses)  # noqa: E731
        try:
            with prepared(lifter, parts, writing.out, device, seen) as ready:
                writing.shown.update(reading, total=ready.poses, completed=ready.poses)
                clip, fps = _clip_line(read, path), command.fps or ready.spool.rates.get(str(path))
                if clip:
                    writing.line(clip)
                make = writing.maker(fps, lambda: fingerprint(lifter, ready, writing.how, shard=command.shard))
                with options_named("samples", "shard"):
                    about = lift_to_file(
                        lifter, ready, writing.how, make, shard=shard, workers=command.workers or 1,
                        source=(command.lifter, command.evidence == "on"), done=writing.done,
                    )  # fmt: skip
        except NotInParts as reason:
            if asked := command.asks_for_parts():
                raise InputError(f"{asked}: {path} has to be read whole: {reason}") from None
            return False
    writing.told(about)
    return True


def read_in_parts(asked: dict[str, Any], files: Sequence[Path]) -> Keypoints2D | None:
    """A long JSON file with few of its objects in memory; None for other files: `read_keypoints` reads them.

    Args:
        asked: the arguments of `poseterior.keypoints.reading.read_keypoints`.
        files: to read.
    """
    from ..keypoints.detections import Options
    from ..keypoints.parts import read_long_json

    least = asked["min_confidence"]
    if len(files) != 1 or (least is not None and not 0 <= least <= 1):
        return None
    options = Options.said(
        str(files[0]), asked["skeleton"], asked["image_size"], asked["confidence_scale"], least, asked["keep_unseen"]
    )
    return read_long_json(files[0], options, asked["format"], asked["tracks"] == "auto", asked["person"])


def lift_long_clips(
    command: LiftOptions, lifter: Lifter, keypoints: Keypoints2D, device: str, console: Console
) -> bool:
    """Lift many frames of clips to a file that grows; False where their result is to be held in memory.

    Raises:
        InputError: as `poseterior.lifting.clips.growing.lift_clips_to_file`; what is asked for needs a file that grows,
            and this cannot.
    """
    from ..files.errors import InputError
    from ..lifting.clips import clip_lines, parts_of
    from ..lifting.clips.growing import ClipRun, clip_marks, lift_clips_to_file, why_not_growing
    from ..lifting.clips.switches import TrackSwitch
    from ..lifting.clips.windows import LONG
    from ..results.times import ASSUMED_FPS
    from ._common import options_named

    asked = command.asks_for_parts()
    if not lifts_clips(command, lifter) or (len(keypoints) < LONG and not asked) or _why_not_growing(command):
        return False
    rates = {command.fps or keypoints.rates.get(identity.file) for identity in keypoints.ids}
    table = command.out is not None and command.out.suffix.lower() == ".csv"
    if table and len(rates) > 1:
        return False
    parts = parts_of(lifter, keypoints, command.clip, command.fps)
    if why := why_not_growing(keypoints, parts):
        if asked:
            raise InputError(f"{asked}: {why}; lift every frame by itself: --clip off")
        return False
    with _writing(command, device, console) as writing:
        for line in clip_lines(keypoints, parts, command.fps):
            writing.line(line)
        if table and rates == {None}:
            writing.line(f"{ASSUMED_FPS:g} frames a second is assumed: pass --fps")
        shard = command.check_stream(command.out)
        run = ClipRun(writing.how, command.fps, command.max_gap, shard, command.workers or 1)
        make = writing.maker(next(iter(rates)), lambda: clip_marks(lifter, keypoints, run))
        try:
            with options_named("samples", "shard", "workers"):
                about = lift_clips_to_file(lifter, keypoints, parts, make, run, writing.done)
        except TrackSwitch as switch:  # two people, one after the other: who holds all of it knows what to do
            for path in part_files(command.out):
                path.unlink(missing_ok=True)
            if asked:
                raise InputError(f"{asked}: {switch}") from None
            return False
    if said := about.settings.get("jumps"):
        writing.line(f"jumps: {said}")
    writing.told(about)
    return True


def _clip_line(read: Any, path: Path) -> str:
    """What `poseterior.keypoints.tracks.clip_summary` says of a clip; nothing of a single frame."""
    from ..keypoints.tracks import clip_words

    links = read.links
    if links.frames < 2:
        return ""
    tracks = links.tracks if read.person is None else {read.person: links.tracks[read.person]}
    return clip_words(str(path), links.frames, links.first, links.last, tracks)
