"""A look at a pose store: what is in it, as tables, and what the poses look like, as a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..skeletons import SKELETONS
from .store import PoseStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

__all__ = ["BONES", "StoreSummary", "inspect_store", "save_figure", "summarise_store"]

#: Bones reported, by name: smpl22 joints at their ends.
BONES: dict[str, tuple[str, str]] = {
    "left thigh": ("left_hip", "left_knee"), "right thigh": ("right_hip", "right_knee"),
    "left shank": ("left_knee", "left_ankle"), "right shank": ("right_knee", "right_ankle"),
    "left upper arm": ("left_shoulder", "left_elbow"), "right upper arm": ("right_shoulder", "right_elbow"),
    "left forearm": ("left_elbow", "left_wrist"), "right forearm": ("right_elbow", "right_wrist"),
    "hips": ("left_hip", "right_hip"), "shoulders": ("left_shoulder", "right_shoulder"),
    "pelvis to neck": ("pelvis", "neck"),
}  # fmt: skip

_COLOURS = {"left": "tab:blue", "right": "tab:red", "middle": "dimgrey"}


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
    figure = Figure(figsize=(2.6 * columns, 3.0 * lines), layout="constrained")
    for number, row in enumerate(picked):
        pose = np.asarray(row["positions"], dtype=np.float64).reshape(22, 3)
        pose = pose - pose[skeleton.root]
        axes: Any = figure.add_subplot(lines, columns, number + 1, projection="3d")
        for child, parent in skeleton.bones:
            # matplotlib's vertical axis is z: (x, y, z) with y up is shown as (x, -z, y)
            x, y, z = pose[[parent, child]].T
            axes.plot(x, -z, y, color=_COLOURS[skeleton.sides[child]], linewidth=2)
        axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-1.0, 1.0), xticks=[], yticks=[], zticks=[])
        axes.set_box_aspect((1.6, 1.6, 2.0), zoom=1.35)
        axes.view_init(elev=10, azim=-70)
        axes.set_title(f"{row['clip']}\nframe {row['frame']}", fontsize=7)
    figure.suptitle(f"{store.path.name}: random poses, the person's left blue, right red", fontsize=9)
    return figure


def inspect_store(path: str | Path | PoseStore, poses: int = 12, seed: int = 0) -> tuple[list[Table], Figure]:
    """What a store holds.

    Args:
        path: a store or its folder.
        poses: how many random poses to draw.
        seed: which.

    Returns:
        rich tables (overview, subjects, actions, bone lengths per subject) and a matplotlib figure of random
        poses seen from the world's front; save it with `save_figure`.

    Raises:
        InputError: a folder that is no store, or no pose asked for.
    """
    if poses < 1:
        raise InputError(f"poses is {poses}; expected at least 1")
    store = path if isinstance(path, PoseStore) else PoseStore(path)
    summary = summarise_store(store)
    return _tables(store, summary), _picture(store, summary, poses, seed)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, in one step; returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        figure.savefig(partial, dpi=120, format="png")
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target
