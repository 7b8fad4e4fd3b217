"""`poseterior lift FOLDER --out FOLDER`: every photograph and clip of a folder by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ._motion import check_motion, write_sheet
from ._seeing import bar, bar_when_needed

if TYPE_CHECKING:
    from ._lift_options import LiftOptions

__all__ = ["lift_folder"]


def lift_folder(command: LiftOptions, folder: Path, out: Path) -> None:
    """Every photograph and clip of a folder on its own: a result, a picture, and where asked a film."""
    from rich.console import Console

    from ..files.errors import InputError
    from ..files.extras import need
    from ..files.films import is_film
    from ..files.writing import check_outputs, make_folder
    from ..keypoints.folders import LeftOut, find_tasks
    from ..lifters import load
    from ..lifting.clips import lift_parts, parts_of
    from ..results.times import ASSUMED_FPS
    from ..view.film import check_video, save_film
    from ..view.photograph import save_photo_figure
    from ..view.photos import read_photo
    from ._common import check_device, check_level

    film = _film_suffix(command, folder, out)
    if command.contacts or command.ground:
        raise InputError("--contacts, --ground: do not go with a folder as --out; lift a clip to a file")
    need("parquet", "pyarrow", f"--out {out}: writing the results as Parquet", "; or lift file by file to .npz")
    check_motion(command.fps, None, 1, command.samples, command.max_gap)
    check_level(command.level)
    command.check_unused()
    command.check_drawn(motions=False)
    command.check_camera()
    lifter = load(command.lifter, evidence=command.evidence == "on")
    command.check_turns(lifter)
    device = check_device(command.device)
    console = Console()
    with bar_when_needed(console) as shown:
        find, expect = command.finder(shown)
        tasks, left_out = find_tasks(folder, **command.reading(), find=find, expect=expect)
    make_folder(out)
    sources = [path for task in tasks for path in (task.photo, task.source) if path and not path.is_dir()]
    kinds = (".parquet", ".png") if film is None else (".parquet", ".png", film)
    check_outputs(
        {"--out": [out / f"{task.name}{kind}" for task in tasks for kind in kinds]}, [*sources, command.camera]
    )
    if film is not None:
        check_video(out / f"clip{film}", command.fps or ASSUMED_FPS)
    lifted, wholes, rates = 0, 0, []
    with bar(console) as shown:
        for task in shown.track(tasks, description=f"lifting {folder.name}"):
            try:
                photo = None if task.photo is None else read_photo(task.photo)
                seen = command.as_told(task.keypoints)
                parts = parts_of(lifter, seen, command.clip if task.clip else "off", command.fps)
                result = lift_parts(
                    lifter,
                    seen,
                    parts,
                    command.samples,
                    command.seed,
                    device,
                    command.level,
                    command.fps,
                    command.max_gap,
                )
                wholes += any(part.whole for part in parts)
            except InputError as error:
                left_out.append(LeftOut((task.photo or task.source).name, str(error)))
                continue
            result.save(out / f"{task.name}.parquet")
            picture = out / f"{task.name}.png"
            if task.clip and task.photo is None:
                write_sheet(result, picture)
            else:
                save_photo_figure(result, picture, photos=photo)
            if task.clip and film is not None:
                rates.append(command.fps or result.fps)
                behind = {str(task.source): task.source} if is_film(task.source) else photo
                save_film(
                    result, out / f"{task.name}{film}", fps=rates[-1] or ASSUMED_FPS, photos=behind,
                    max_gap=command.max_gap, progress=shown,
                )  # fmt: skip
            lifted += 1
    if not lifted:
        raise InputError(f"{folder}: nothing could be lifted; {left_out[0].file}: {left_out[0].reason}")
    clips = sum(task.clip for task in tasks)
    each = "a result (.parquet) and a picture (.png) each" + (f", films ({film}) of clips" if film and clips else "")
    total = lifted + len(left_out)
    console.print(f"lifted {lifted} of {total}: {each}, in {out}", highlight=False, soft_wrap=True)
    if wholes:
        console.print(f"{wholes} of the clips lifted as a whole (--clip {command.clip})", highlight=False)
    if None in rates:
        console.print(f"films: {ASSUMED_FPS:g} frames a second is assumed: pass --fps", highlight=False)
    if left_out:
        console.print("left out:", highlight=False)
    for left in left_out:
        console.print(f"  {left.file}: {left.reason}", highlight=False, soft_wrap=True, markup=False)


def _film_suffix(command: LiftOptions, folder: Path, out: Path) -> str | None:
    """Refuse what does not go with a whole folder; returns the extension of the films, None for none."""
    from ..detect.sources import Sources
    from ..files.errors import InputError
    from ..files.films import is_film
    from ..files.images import PICTURE_SUFFIXES
    from ..keypoints.folders import files_in

    for option in ("motion", "view", "picture", "photo", "keypoints"):
        if getattr(command, option) is not None:
            raise InputError(f"--{option}: does not go with a folder as --out; leave it out, or name a file as --out")
    if (asked := command.asks_for_parts()) or command.precision == "half":
        raise InputError(
            f"{asked or '--precision half'}: does not go with a folder as --out; lift one file to --out poses.parquet"
        )
    files = files_in(folder)
    pictures = tuple(path for path in files if path.suffix.lower() in PICTURE_SUFFIXES)
    command.check_used(Sources(pictures, tuple(path for path in files if is_film(path))))
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; give a folder, or a file name with an extension")
    if out.exists() and out.samefile(folder):
        raise InputError(f"--out {out}: is the folder of the photographs, whose files it would replace; give another")
    if command.video is None:
        return None
    suffix = "." + str(command.video).lower().removeprefix(".")
    if suffix not in (".mp4", ".gif"):
        raise InputError(f"--video {command.video}: with a folder as --out give mp4 or gif; each clip gets a film")
    return suffix
