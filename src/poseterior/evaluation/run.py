"""The comparison itself: every lifter on every protocol, each pair measured once and kept by its content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.observations import ObservationSet, save_observations
from ..files.errors import InputError
from ..files.writing import atomic_write, check_folder, make_folder
from ..geometry.skeletons import SKELETONS
from ..lifters import Lifter
from .clip_method import ClipMethod
from .clip_units import clip_unit
from .collect import MODE_POSES, SAMPLES, collect
from .measure import VERSION, numbers
from .novelty import NAME, Reference
from .plan import Entry, Task, described
from .pose_scores import PoseScores, load_pose_scores, pose_scores, save_pose_scores
from .uncertainty import compare

__all__ = [
    "FORMAT",
    "Settings",
    "run_benchmark",
]

#: Of ``bench.json``.
FORMAT = "poseterior-bench-2"
#: Grows when clips are lifted or measured otherwise.
_CLIPS = 1


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every unit has in common.

    Attributes:
        samples: hypotheses per pose.
        poses: of a main protocol, at most.
        sweep_poses: of each protocol of a sweep, at most.
        mode_poses: on so many the mode is measured.
        seed: of samples and ranks.
        device: where to run.
    """

    samples: int = SAMPLES
    poses: int = 1000
    sweep_poses: int = 200
    mode_poses: int = MODE_POSES
    seed: int = 0
    device: str = "cpu"

    def check(self) -> None:
        """Raises `InputError` for numbers out of range."""
        for name, least in (("samples", 20), ("poses", 20), ("sweep_poses", 20), ("mode_poses", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"--{name.replace('_', '-')}: expected at least {least}, got {value}")

    def at_most(self, task: Task) -> int:
        """Poses of this protocol."""
        return self.poses if task.group == "main" else self.sweep_poses


def observation_hash(data: ObservationSet) -> str:
    """SHA-256 of everything that a lifter or a metric reads of the observations."""
    digest = hashlib.sha256(data.protocol.encode())
    keypoints = data.observations.keypoints
    parts = [getattr(keypoints, n) for n in ("xy", "covariance", "visible", "image_size", "intrinsics", "height")]
    for part in (*parts, data.observations.pose, data.observations.observed, data.observations.root):
        digest.update(part.contiguous().numpy().tobytes())
    digest.update(json.dumps([[i.file, i.frame, i.person] for i in keypoints.ids]).encode())
    return digest.hexdigest()


def run_benchmark(
    lifters: Sequence[Entry],
    protocols: Sequence[Task],
    out: str | Path,
    settings: Settings | None = None,
    command: str = "",
    report: Callable[[str, int, int], None] | None = None,
    novelty: Reference | None = None,
    clips: ClipMethod | None = None,
) -> dict[str, Any]:
    """Measure every lifter on every protocol.

    A unit is one lifter on one protocol. Its numbers and its poses' scores are kept in ``OUT/units`` under a hash of
    the lifter's content, the observations and the settings: a second run measures only what is new. The observations
    are written to ``OUT/observations``, for tools that answer elsewhere, and the scores of all poses to
    ``OUT/poses.parquet`` (`poseterior.evaluation.pose_scores`).

    Args:
        lifters: from `entries`.
        protocols: from `tasks`.
        out: folder; made if need be.
        settings: see `Settings`.
        command: what the result says it was made by.
        report: called before each unit with what it is, the number of units done, and of all.
        clips: how clips are lifted as a whole: lifters of which it was measured how their errors hang together are also
            measured so, on protocols whose rows are frames in a row.
        novelty: poses that the lifters were trained on: errors and radii are reported by the distance from them.

    Returns:
        The result (docs/benchmark.md), also written to ``OUT/bench.json``. A unit that could not be measured is
        listed under ``skipped`` with the reason.

    Raises:
        InputError: settings out of range, a folder that cannot be written, or nothing could be measured.
    """
    settings = settings or Settings()
    settings.check()
    if not lifters or not protocols:
        raise InputError("nothing to compare: name at least one lifter and one protocol")
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {out}: is a file; expected a folder")
    check_folder(folder / "units")
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": _version(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "samples": settings.samples,
        "seed": settings.seed,
        "poses": settings.poses,
        "machine": _machine(settings.device),
        "skeleton": _skeleton(),
        **({} if novelty is None else {"novelty": novelty.name}),
        "lifters": {},
        "protocols": {},
        "units": [],
        "comparisons": {},
        "skipped": [],
    }
    all_scores: dict[tuple[str, str], PoseScores] = {}
    done, total = 0, len(lifters) * len(protocols)
    for task in protocols:
        try:
            data = task.observe(settings.at_most(task))
        except InputError as error:
            skipped = {"protocol": task.name, "reason": str(error)}
            result["skipped"] += [{"lifter": one.name} | skipped for one in lifters]
            done += len(lifters)
            continue
        result["protocols"][task.name] = described(task, data)
        save_observations(data, folder / "observations" / f"{task.name}.parquet")
        seen = observation_hash(data)
        distances = None
        if novelty is not None:
            distances, seen = novelty.distances(data), f"{seen} {novelty.hash}"
        scores: dict[str, PoseScores] = {}
        for entry in lifters:
            if report is not None:
                report(f"{entry.name} on {task.name}", done, total)
            done += 1
            key = _key(entry, seen, task, settings, _clips_of(entry, task, clips))
            path = folder / "units" / f"{_safe(entry.name)}--{task.name}--{key[:16]}.json"
            try:
                unit, scores[entry.name] = _read(path) or _measured(entry, task, data, settings, path, distances, clips)
            except InputError as error:
                result["skipped"].append({"lifter": entry.name, "protocol": task.name, "reason": str(error)})
                continue
            result["units"].append({"lifter": entry.name, "protocol": task.name} | unit)
        if len(scores) > 1:
            result["comparisons"][task.name] = compare(scores)
        all_scores |= {(name, task.name): one for name, one in scores.items()}
    if report is not None:
        report("", total, total)
    if not result["units"]:
        raise InputError(result["skipped"][0]["reason"])
    result["lifters"] = {one.name: _about(one, result["units"]) for one in lifters}
    save_pose_scores(all_scores, folder / "poses.parquet")
    with atomic_write(folder / "bench.json") as file:
        file.write((json.dumps(result) + "\n").encode())
    return result


def _measured(
    entry: Entry,
    task: Task,
    data: ObservationSet,
    settings: Settings,
    path: Path,
    distances: Tensor | None,
    clips: ClipMethod | None,
) -> tuple[dict[str, Any], PoseScores]:
    """A unit's numbers and its poses' scores; both are kept, the numbers last."""
    main = task.group == "main"
    started = time.perf_counter()
    found = collect(
        entry.on(task.name, data.observations.keypoints),
        data,
        settings.samples,
        settings.seed,
        mode_poses=settings.mode_poses if main else 0,
        device=settings.device,
    )
    if distances is not None:
        found.add(NAME, distances)
    unit, scores = numbers(found, worst=12 if main else 0), pose_scores(found)
    if _clips_of(entry, task, clips) and isinstance(entry.lifter, Lifter) and task.fps and clips is not None:
        unit["clips"] = clip_unit(clips, entry.lifter, data, task.fps, settings.samples, settings.seed, main)
    unit["seconds"] = round(time.perf_counter() - started, 2)
    make_folder(path.parent)
    save_pose_scores({(entry.name, task.name): scores}, path.with_suffix(".parquet"))
    with atomic_write(path) as file:
        file.write(json.dumps(unit).encode())
    return unit, scores


def _clips_of(entry: Entry, task: Task, clips: ClipMethod | None) -> str:
    """What clips are lifted by, as text: how the lifter's errors hang together; empty where they are not measured."""
    lifter = entry.lifter
    if clips is None or task.fps is None or not isinstance(lifter, Lifter) or lifter.clips is None:
        return ""
    return lifter.clips.to_json()


def _key(entry: Entry, observations: str, task: Task, settings: Settings, clips: str) -> str:
    """What a unit's result depends on, in one hash."""
    parts = [VERSION, entry.hash_on(task.name), observations, task.group == "main"]
    parts += [settings.samples, settings.seed, settings.mode_poses, settings.device]
    parts += [clips, _CLIPS] if clips else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], PoseScores] | None:
    """A unit measured before, and its poses' scores; None if there is none, or it cannot be read."""
    try:
        unit = json.loads(path.read_text())
        (scores,) = load_pose_scores(path.with_suffix(".parquet")).values()
    except (OSError, ValueError, RecursionError):  # InputError is one
        return None
    return (unit, scores) if isinstance(unit, dict) else None


def _safe(name: str) -> str:
    """The name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _about(entry: Entry, units: list[dict[str, Any]]) -> dict[str, Any]:
    own = [unit for unit in units if unit["lifter"] == entry.name]
    about = {
        "kind": entry.kind,
        "description": entry.description,
        "licence": entry.licence,
        "megabytes": entry.megabytes,
        "hash": entry.hash[:16],
        "has_density": any("NLL" in unit["scores"] for unit in own),
        "recalibrated": any(unit.get("region", {}).get("calibrated", False) for unit in own),
    }
    return {name: value for name, value in about.items() if value not in (None, "")}


def _version() -> str:
    from .._version import __version__

    return __version__


def _machine(device: str) -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": device,
    }


def _processor() -> str:
    """The processor's name, as Linux tells it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _skeleton() -> dict[str, Any]:
    body = SKELETONS["h36m17"]
    return {
        "name": body.name,
        "joints": list(body.joints),
        "bones": [list(bone) for bone in body.bones],
        "root": body.root,
    }
