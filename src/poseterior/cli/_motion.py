"""What the commands that write motions share: checks of their options, motion files, pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ._common import of_option

if TYPE_CHECKING:
    from rich.console import Console

    from ..keypoints import Keypoints2D
    from ..lifters import Lifter
    from ..results.poses import LiftResult
    from ..results.provenance import Provenance
    from ..results.rotations import RotationResult
    from ..view.bodies import Bodies

__all__ = [
    "How", "check_motion", "check_motion_memory", "check_rig", "frame_rate", "turned_samples", "write_motion",
    "write_picture", "write_sheet",
]  # fmt: skip

#: `poseterior.results.hypotheses.CHOICES`, without importing it.
How = Literal["mean", "best", "mode", "path", "samples", "clusters"]
#: Hypotheses behind each figure of a sheet, and figures.
_FAINT, _FIGURES = 20, 12


def check_motion(fps: float | None, how: str | None, count: int, samples: int, max_gap: float = 0.5) -> None:
    """Refuse options that no motion could be written with, before any work is done."""
    import math

    from ..files.errors import InputError

    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise InputError(f"--fps: expected a positive number, got {fps:g}")
    if not (math.isfinite(max_gap) and max_gap >= 0):
        raise InputError(f"--max-gap: expected seconds, 0 or more, got {max_gap:g}")
    if not 1 <= count <= max(samples, 1):
        raise InputError(f"--count: expected 1 to {samples} (--samples), got {count}")
    if how in ("mean", "best", "mode") and count > 1:
        raise InputError(f"--count: there is one {how}; use --how samples, clusters or path")


def check_motion_memory(lifter: Lifter, poses: int, samples: int, whole: bool) -> None:
    """Refuse motion files of more poses than there is memory for; of ``whole`` clips few motions become rotations."""
    from ..lifting.draws import check_memory, motion_bytes
    from ..lifting.motion_ik import MOTIONS

    solved = min(samples, MOTIONS) if whole else samples
    check_memory(lifter.reader, poses, samples, besides=motion_bytes(poses, solved))


def turned_samples(
    keypoints: Keypoints2D, outputs: Iterable[Path | None], how: str | None, count: int, samples: int
) -> int:
    """Of how many of the first samples rotations are needed for these files: all, but for motions of clips alone."""
    import numpy as np

    from ..results.hypotheses import looked_at
    from ..results.provenance import clips_of

    suffixes = {path.suffix.lower() for path in outputs if path is not None}
    ids = keypoints.ids
    clips = clips_of(*(np.array([getattr(i, name) for i in ids]) for name in ("file", "frame", "person")))
    if not suffixes or suffixes & {".npz", ".png"} or (how is None and any(len(rows) == 1 for rows in clips)):
        return samples
    return looked_at(how or "path", count, samples)


def frame_rate(fps: float | None, result: Provenance, console: Console) -> float | None:
    """The frames per second asked for, else None where files of the input tell theirs; else 30, and says so."""
    from ..results.times import ASSUMED_FPS

    if fps is not None or any(result.rate(file) is not None for file in set(result.file.tolist())):
        return fps
    if len(result.clips()) < len(result):
        console.print(f"{ASSUMED_FPS:g} frames a second is assumed: pass --fps", highlight=False, soft_wrap=True)
    return ASSUMED_FPS


def check_rig(rig: str | None, motions: Iterable[Path]) -> None:
    """Refuse a rig that is none, or that no file is written on, before any work is done."""
    from ..files.errors import InputError
    from ..results.rigs import get_rig

    if rig is None:
        return
    if not any(path.suffix.lower() == ".bvh" for path in motions):
        raise InputError(f"--rig {rig}: is for .bvh files; add --out clip.bvh")
    with of_option("--rig"):
        get_rig(rig)


def write_motion(
    rotations: RotationResult,
    path: Path,
    how: str | None,
    count: int,
    fps: float | None,
    console: Console,
    inputs: Iterable[Path | None] = (),
    max_gap: float = 0.5,
    rig: str | None = None,
) -> None:
    """Write motion files, and say which. Several are numbered: those names are no inputs either."""
    from ..files.writing import check_outputs

    check_outputs({"--out": rotations.files(path, count, fps, max_gap)}, inputs)
    written = rotations.save(path, how, count, fps, max_gap, rig)
    names = ", ".join(map(str, written[:4])) + (f" ... {written[-1]}" if len(written) > 4 else "")
    console.print(f"wrote {names}", highlight=False, soft_wrap=True)
    if path.suffix.lower() == ".bvh":
        console.print("in Blender: File > Import > Motion Capture, scale 0.01, forward -Z, up Y", highlight=False)


def write_picture(
    rotations: RotationResult, path: Path, how: str | None, console: Console, frames: int = _FIGURES
) -> None:
    """Write a contact sheet of the first hypothesis that a motion would show, as bones."""
    from ..geometry.body import SMPL25
    from ..view.drawing import pose_labels
    from ..view.sheets import contact_sheet, picked_frames

    how = how or ("path" if len(rotations.clips()) < len(rotations) else "mean")
    chosen = rotations.choose(how)
    points = rotations.points(chosen)[:, 0].numpy()
    rows = picked_frames(len(rotations), frames)
    shown, labels = rotations[rows], pose_labels(rotations)
    contact_sheet(
        points[rows], SMPL25, path, frames, rotations.axes, [labels[row] for row in rows],
        ", ".join(dict.fromkeys(Path(file).name for file in rotations.file.tolist())), 
        note=f"lifter {rotations.lifter}", drawn="mean" if how == "mean" else f"pose (--how {how})",
        hypotheses=shown.points(shown.rotations[:, :_FAINT]).numpy() if rotations.rotations.shape[1] > 1 else None,
    )  # fmt: skip
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def write_sheet(result: LiftResult, path: Path, bodies: Bodies | None = None) -> None:
    """Write a contact sheet of mean poses with their hypotheses and regions, as bones or as surfaces."""
    from ..view.drawing import pose_labels, title_of
    from ..view.sheets import contact_sheet, picked_frames

    if bodies is not None:
        from ..view.bodies import surfaces
    rows = picked_frames(len(result), _FIGURES)
    shown, labels = result[rows], pose_labels(result)
    title, _ = title_of(result)
    note = (f"lifter {result.lifter}, " if result.lifter else "") + f"{len(rows)} of {len(result)} poses"
    contact_sheet(
        shown.mean, result.tree, path, _FIGURES, "camera", [labels[row] for row in rows], title, note=note,
        hypotheses=shown.samples[:, :_FAINT] if shown.samples.shape[1] else None,
        regions=(shown.region_center, shown.region_radius), region_label=result.region_label("radius"),
        visible=shown.visible, surfaces=None if bodies is None else surfaces(bodies, rows),
    )  # fmt: skip
