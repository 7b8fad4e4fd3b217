"""`poseterior lift ... --engine ray`: keypoint files by many machines, to a folder of parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._streaming import WHOLE, lifts_clips, work_bar

if TYPE_CHECKING:
    from rich.console import Console

    from ..files.places import Place, Stored
    from ..results.parts import Record
    from ._lift_options import LiftOptions

__all__ = ["lift_on_cluster"]

#: Files that could not be lifted that are named.
_NAMED = 5


def lift_on_cluster(command: LiftOptions) -> None:
    """Lift files on the machines of a Ray cluster, each block to a part of its own.

    Raises:
        InputError: an option that does not go with it; files that could not be lifted, when all others are.
    """
    from rich.console import Console
    from rich.progress import TextColumn

    from ..evaluation.kernels import with_hypotheses
    from ..files.checks import counted
    from ..files.errors import InputError
    from ..files.extras import need
    from ..files.places import place_of
    from ..lifters import load
    from ..lifting import stream
    from ..lifting.blocks import Job, Reading, blocks_to_do, outdated, record_of
    from ..lifting.cluster import Outcome, cluster, lift_by_ray
    from ..results.parts import RECORD
    from ._common import check_level
    from ._going_on import goes_on
    from ._motion import check_motion

    out = _check(command)
    for module in ("ray", "pyarrow"):
        need("cluster", module, "--engine ray:")
    check_motion(command.fps, command.how, command.count, command.samples, command.max_gap)
    command.check_unused()
    check_level(command.level)
    command.check_drawn(motions=False)
    command.check_camera()
    lifter, samples = with_hypotheses(
        load(command.lifter, evidence=command.evidence == "on"), command.hypotheses, command.samples
    )
    command.check_turns(lifter)
    if lifts_clips(command, lifter):
        raise InputError("--engine ray: clips are lifted as a whole, by one machine; add --clip off")
    place = place_of(out)
    files = _inputs(command, place)
    how = stream.How(samples, command.seed, _device(command.device), command.level, command.precision == "half")
    job = Job(place, how, Reading(**command.reading()), command.told())
    record = record_of(job, lifter, files)
    earlier, there = _earlier(place, record, command.resume), place.names()
    if earlier is not None:
        try:
            old = outdated(record, earlier, there)
        except InputError as error:
            raise InputError(f"--out {place.name}: {error}") from None
        for part in old:
            place.within(part).remove()
    blocks = list(blocks_to_do(record, files, earlier, there))
    place.make()
    _write_record(place.within(RECORD), record)
    console = Console()
    before = len(record.parts) - len(blocks)
    if before:
        console.print(f"goes on after {before} of {counted(len(record.parts), 'part')}", highlight=False)
    outcomes: list[Outcome] = []
    if blocks:
        many = TextColumn("parts, {task.fields[poses]:,} poses", markup=False)
        going_on = goes_on(lambda: True, "--resume")  # the record is there
        with going_on, cluster() as processors, work_bar(console, many) as shown:
            bar = shown.add_task("lifting", total=len(record.parts), completed=before, poses=0)

            def done(outcome: Outcome) -> None:
                outcomes.append(outcome)
                shown.update(bar, advance=1, poses=sum(one.poses for one in outcomes))

            lift_by_ray(lifter, job, blocks, command.workers or processors, done)
    _report(place, record, outcomes, console)


def _check(command: LiftOptions) -> Path:
    """Refuse options that do not go with a cluster; returns the folder of the result."""
    from ..files.errors import InputError

    for option in (*WHOLE, "json_samples"):
        if getattr(command, option):
            raise InputError(f"--{option.replace('_', '-')}: does not go with --engine ray; make it of the result")
    if command.shard:
        raise InputError("--shard: does not go with --engine ray, which shares the files out itself")
    if command.workers is not None and command.workers < 1:
        raise InputError(f"--workers: expected at least 1, got {command.workers}")
    if command.out is None or command.out.suffix:
        given = "nothing" if command.out is None else command.out
        raise InputError(f"--out: --engine ray writes a folder of Parquet files; give --out poses, not {given}")
    return command.out


def _device(device: str) -> str:
    """The device of the workers, which this machine need not have."""
    from ._common import check_device

    return device if device.startswith("cuda") else check_device(device)


def _inputs(command: LiftOptions, out: Place) -> list[Stored]:
    """The files, none of which is in the folder that is written."""
    from ..detect.sources import Sources
    from ..files.errors import InputError
    from ..files.films import is_film
    from ..files.images import PICTURE_SUFFIXES
    from ..files.places import stored_files
    from ..files.writing import check_outputs
    from ..keypoints.documents import SUFFIXES
    from ..keypoints.formats import formats

    files = stored_files(command.files, SUFFIXES)
    command.check_used(Sources(keypoints=tuple(Path(file.name) for file in files)))
    if out.local:
        check_outputs({"--out": out.address}, [file.address for file in files if file.local])
    for file in files:
        path = Path(file.name)
        if path.suffix.lower() in PICTURE_SUFFIXES or is_film(path):
            raise InputError(
                f"{file.name}: --engine ray lifts keypoint files; find the people first: poseterior lift {file.name} "
                "--keypoints people.jsonl"
            )
    for suffix in {known.frame_suffix for known in formats().values() if known.frame_suffix}:
        frames = [file.name for file in files if file.name.endswith(suffix)]
        if len(frames) > 1:
            raise InputError(
                f"{frames[0]}: holds a frame of a clip, as {len(frames) - 1} more do; write clips to a file each "
                "first: poseterior lift FOLDER --keypoints clip.jsonl"
            )
    return files


def _earlier(place: Place, record: Record, resume: bool) -> Record | None:
    """The record of the run that is gone on with; None where the folder is new.

    Raises:
        InputError: the folder is not new and nobody asked to go on; or that was another run.
    """
    import json

    from ..files.errors import InputError
    from ..files.row_groups import difference
    from ..results.parts import RECORD, Record

    written = place.within(RECORD)
    content = written.read()
    if content is None:
        if others := sorted(place.names()):
            raise InputError(f"--out {place.name}: holds other files ({others[0]}); give the name of a new folder")
        return None
    if not resume:
        raise InputError(
            f"--out {place.name}: holds the parts of an earlier run; go on with it by --resume, or give the name of a "
            "new folder"
        )
    try:
        earlier = Record.of(content)
    except InputError as error:
        raise InputError(f"{written.name}: {error}") from None
    if earlier.run != json.loads(json.dumps(record.run)):
        raise InputError(
            f"--out {place.name}: was begun by another run ({difference(earlier.run, dict(record.run))}); go on with "
            "what it was begun with, or give the name of a new folder"
        )
    return earlier


def _write_record(place: Place, record: Record) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "record"
        path.write_text(record.text())
        place.put(path)


def _report(place: Place, record: Record, outcomes: list[Any], console: Console) -> None:
    """Say what is there; raise for what is not."""
    from ..files.checks import counted
    from ..files.errors import InputError

    failed = [outcome for outcome in outcomes if outcome.failure]
    poses = sum(outcome.poses for outcome in outcomes)
    missing = set(record.parts) - place.names() - {outcome.part for outcome in failed}
    if missing:
        raise InputError(
            f"--out {place.name}: {len(missing)} of {counted(len(record.parts), 'part')} that workers wrote are not "
            f"there, {min(missing)} for one; give a folder that all machines see, or an address (s3://...)"
        )
    lifted = len(outcomes) - len(failed)
    console.print(f"lifted {counted(poses, 'pose')} to {counted(lifted, 'part')}", highlight=False)
    if failed:
        reasons = list(dict.fromkeys(outcome.failure for outcome in failed))
        more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        sources = len({outcome.source for outcome in failed})
        raise InputError(
            f"{counted(sources, 'file')} of {len(record.files)} could not be lifted, the others are in {place.name}: "
            f"{'; '.join(reasons[:_NAMED])}{more}; mend or leave out, and go on with --resume"
        )
    console.print(f"wrote {place.name}: {counted(len(record.parts), 'part')}", highlight=False, soft_wrap=True)
