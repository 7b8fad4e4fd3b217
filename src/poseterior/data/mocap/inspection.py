"""A look at a pose store: what is in it, as tables, and what the poses look like, as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...files.errors import InputError
from ...files.writing import atomic_write, make_folder
from ...geometry.skeletons import SKELETONS
from ..store import PoseStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table


__all__ = [
    "BONES",
    "StoreSummary",
    "inspect_store",
    "save_figure",
    "summarise_store",
]

#: Bones reported, by name: smpl22 joints at their ends.
BONES: dict[str, tuple[str, str]] = {
    "left thigh": ("left_hip", "left_knee"), "right thigh": ("right_hip", "right_knee"),
    "left shank": ("left_knee", "left_ankle"), "right shank": ("right_knee", "right_ankle"),
    "left upper arm": ("left_shoulder", "left_elbow"), "right upper arm": ("right_shoulder", "right_elbow"),
    "left forearm": ("left_elbow", "left_wrist"), "right forearm": ("right_elbow", "right_wrist"),
    "hips": ("left_hip", "right_hip"), "shoulders": ("left_shoulder", "right_shoulder"),
    "pelvis to neck": ("pelvis", "neck"),
}  # fmt: skip

#: Poses in the picture: more are too small to see, and take long to draw.
MOST_POSES = 60

#: `poseterior.view.palette`, which this room may not import.
_COLOURS = {"left": "#0072B2", "right": "#D55E00", "middle": "#4A5568"}


@dataclass(frozen=True)
class StoreSummary:
    """The numbers of `inspect_store`.

    Attributes:
        clips, frames: how many; ``hours`` of motion at the stored rates.
        actions, sources: label -> (clips, frames).
        subjects: subject -> (clips, frames, hours).
        bones: subject -> ``(bones, 3)`` mean, smallest and largest length in metres, in the order of `BONES`.
        missing: h36m17 joints that no frame, or not every frame has.
        metadata: the store's own description.
    """

    clips: int
    frames: int
    hours: float
    actions: dict[str, tuple[int, int]]
    sources: dict[str, tuple[int, int]]
    subjects: dict[str, tuple[int, int, float]]
    bones: dict[str, NDArray[np.float64]]
    missing: tuple[str, ...]
    metadata: dict[str, str]


def summarise_store(store: PoseStore) -> StoreSummary:
    """Count a store and measure its bones, a batch of rows at a time."""
    rows = store.clips.to_pylist()
    actions: dict[str, tuple[int, int]] = {}
    sources: dict[str, tuple[int, int]] = {}
    subjects: dict[str, tuple[int, int, float]] = {}
    for row in rows:
        for found, key in ((actions, row["action"]), (sources, row["source"])):
            clips, frames = found.get(key, (0, 0))
            found[key] = (clips + 1, frames + row["frames"])
        clips, frames, hours = subjects.get(row["subject"], (0, 0, 0.0))
        duration = row["frames"] / row["fps"] / 3600
        subjects[row["subject"]] = (clips + 1, frames + row["frames"], hours + duration)

    index = SKELETONS["smpl22"].index
    heads = [index(head) for head, _ in BONES.values()]
    tails = [index(tail) for _, tail in BONES.values()]
    bones = {
        s: np.stack([np.zeros(len(BONES)), np.full(len(BONES), np.inf), np.zeros(len(BONES))], 1) for s in subjects
    }
    absent = np.zeros(17, dtype=bool)
    for batch in store.batches(["subject", "positions", "h36m17"]):
        positions = batch.column("positions").flatten().to_numpy().reshape(-1, 22, 3)
        h36m17 = batch.column("h36m17").flatten().to_numpy().reshape(-1, 17, 3)
        absent |= np.isnan(h36m17).any((0, 2))
        lengths = np.linalg.norm(positions[:, heads].astype(np.float64) - positions[:, tails], axis=-1)
        encoded = batch.column("subject").dictionary_encode()
        codes = encoded.indices.to_numpy()
        for code, subject in enumerate(encoded.dictionary.to_pylist()):
            own = lengths[codes == code]
            table = bones[subject]
            table[:, 0] += own.sum(0)
            table[:, 1] = np.minimum(table[:, 1], own.min(0))
            table[:, 2] = np.maximum(table[:, 2], own.max(0))
    for subject, table in bones.items():
        table[:, 0] /= subjects[subject][1]
    return StoreSummary(
        len(rows),
        sum(row["frames"] for row in rows),
        sum(hours for _, _, hours in subjects.values()),
        dict(sorted(actions.items())),
        dict(sorted(sources.items())),
        dict(sorted(subjects.items())),
        dict(sorted(bones.items())),
        tuple(joint for joint, gone in zip(SKELETONS["h36m17"].joints, absent, strict=True) if gone),
        store.metadata,
    )


def _tables(store: PoseStore, summary: StoreSummary) -> list[Table]:
    from rich.table import Table

    overview = Table(title=str(store.path), show_header=False)
    rows = {
        "clips": f"{summary.clips:,}",
        "frames": f"{summary.frames:,}",
        "hours": f"{summary.hours:.2f}",
        "sources": ", ".join(f"{name} ({clips} clips)" for name, (clips, _) in summary.sources.items()),
        "units, axes": f"{summary.metadata.get('units', '')}; {summary.metadata.get('axes', '')}",
        "h36m17 joints missing": ", ".join(summary.missing) or "none",
        "licence": summary.metadata.get("licence") or "not stated",
    }
    for name, value in rows.items():
        overview.add_row(name, value)

    subjects = Table("subject", "clips", "frames", "hours", title="subjects")
    for name, (clips, frames, hours) in summary.subjects.items():
        subjects.add_row(name or "(unknown)", f"{clips:,}", f"{frames:,}", f"{hours:.2f}")

    actions = Table("action", "clips", "frames", title="actions")
    for name, (clips, frames) in summary.actions.items():
        actions.add_row(name or "(unknown)", f"{clips:,}", f"{frames:,}")

    bones = Table("subject", "bone", "mean mm", "min mm", "max mm", title="bone lengths")
    for name, lengths in summary.bones.items():
        for bone, values in zip(BONES, lengths * 1000, strict=True):
            bones.add_row(name or "(unknown)", bone, *(f"{value:.1f}" for value in values))
    return [overview, subjects, actions, bones]


def _picture(store: PoseStore, summary: StoreSummary, poses: int, seed: int) -> Figure:
    from matplotlib.figure import Figure

    chosen = np.sort(np.random.default_rng(seed).choice(summary.frames, min(poses, summary.frames), replace=False))
    picked: list[dict[str, Any]] = []
    start = 0
    for batch in store.batches(["clip", "frame", "positions"]):
        inside = chosen[(chosen >= start) & (chosen < start + batch.num_rows)] - start
        picked += batch.take(inside.tolist()).to_pylist()
        start += batch.num_rows

    skeleton = SKELETONS["smpl22"]
    columns = min(6, len(picked))
    lines = -(-len(picked) // columns)
    drawn = [_seen(np.asarray(row["positions"], dtype=np.float64).reshape(22, 3), skeleton.root) for row in picked]
    # one box for all, as tight as the widest and the tallest allow: sizes can be compared
    low, high = np.min([pose.min(0) for pose in drawn], 0) - 0.06, np.max([pose.max(0) for pose in drawn], 0) + 0.06
    lacking = max(0.6 * (high - low)[1] - (high - low)[0], 0.0)  # a title needs some width
    low[0], high[0] = low[0] - lacking / 2, high[0] + lacking / 2
    height = 2.6
    width = height * min((high - low)[0] / (high - low)[1], 1.4)
    letters = int(width / 0.078)
    size = (max(width * columns, 3.6), (height + 0.45) * lines + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    for number, (row, pose) in enumerate(zip(picked, drawn, strict=True)):
        axes: Any = figure.add_subplot(lines, columns, number + 1, aspect="equal")
        for child, parent in skeleton.bones:
            axes.plot(*pose[[parent, child]].T, color=_COLOURS[skeleton.sides[child]], linewidth=2)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
        axes.spines[:].set_color("0.85")
        axes.set_title(f"{_short(row['clip'], letters)}\nframe {row['frame']}", fontsize=8)
    figure.suptitle(f"{store.path.name}: random poses\nthe person's left blue, right vermillion", fontsize=9)
    return figure


def _seen(pose: NDArray[np.float64], root: int) -> NDArray[np.float64]:
    """``(joints, 2)`` right and up in metres from the root, seen from the world's front, 20 degrees to the side."""
    yaw, pitch = np.radians(20), np.radians(10)
    x, y, z = (pose - pose[root]).T
    right, depth = x * np.cos(yaw) - z * np.sin(yaw), x * np.sin(yaw) + z * np.cos(yaw)
    return np.stack([right, y * np.cos(pitch) - depth * np.sin(pitch)], -1)


def _short(name: str, limit: int) -> str:
    """The end of a clip's name, where it differs from its neighbours'; no mathematics."""
    return (name if len(name) <= limit else f"…{name[1 - limit :]}").replace("$", r"\$")


def inspect_store(path: str | Path | PoseStore, poses: int = 12, seed: int = 0) -> tuple[list[Table], Figure]:
    """What a store holds.

    Args:
        path: a store or its folder.
        poses: how many random poses to draw, 1 to 60.
        seed: which.

    Returns:
        rich tables (overview, subjects, actions, bone lengths per subject) and a matplotlib figure of random
        poses seen from the world's front; save it with `save_figure`.

    Raises:
        InputError: a folder that is no store, or too few or too many poses asked for.
    """
    if not 1 <= poses <= MOST_POSES:
        raise InputError(f"poses is {poses}; expected 1 to {MOST_POSES}, which is what a picture can show")
    store = path if isinstance(path, PoseStore) else PoseStore(path)
    summary = summarise_store(store)
    return _tables(store, summary), _picture(store, summary, poses, seed)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, in one step, and its folder where there is none; returns the path.

    Raises:
        InputError: the path is a folder, or cannot be written to.
    """
    target = Path(path)
    make_folder(target.parent, target)
    with atomic_write(target) as file:
        figure.savefig(file, dpi=120, format="png")
    return target
