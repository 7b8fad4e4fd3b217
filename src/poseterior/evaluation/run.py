"""The comparison itself: every lifter on every protocol, each pair measured once and kept by its content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from ..data.observations import ObservationSet, save_observations
from ..files.errors import InputError
from ..files.writing import atomic_write
from ..geometry.skeletons import SKELETONS
from .measure import VERSION, measure
from .plan import Contender, Planned, described

__all__ = [
    "FORMAT",
    "Settings",
    "run_benchmark",
]

FORMAT = "poseterior-bench-1"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What every unit has in common.

    Attributes:
        samples: hypotheses a pose.
        poses: of a main protocol, at most.
        sweep_poses: of each protocol of a sweep, at most.
        mode_poses: on so many the mode is measured.
        seed: of samples and ranks.
        device: where to run.
    """

    samples: int = 200
    poses: int = 1000
    sweep_poses: int = 200
    mode_poses: int = 60
    seed: int = 0
    device: str = "cpu"

    def check(self) -> None:
        """Raises `InputError` for numbers out of range."""
        for name, least in (("samples", 20), ("poses", 20), ("sweep_poses", 20), ("mode_poses", 0), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"--{name.replace('_', '-')}: expected at least {least}, got {value}")

    def at_most(self, planned: Planned) -> int:
        return self.poses if planned.group == "main" else self.sweep_poses


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
    lifters: Sequence[Contender],
    protocols: Sequence[Planned],
    out: str | Path,
    settings: Settings | None = None,
    command: str = "",
    report: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure every lifter on every protocol.

    A unit is one lifter on one protocol. Its result is kept in ``OUT/units`` under a hash of the lifter's content,
    the observations and the settings: a second run measures only what is new. The observations are written to
    ``OUT/observations``, for tools that answer elsewhere.

    Args:
        lifters: from `contenders`.
        protocols: from `plan`.
        out: folder; made if need be.
        settings: see `Settings`.
        command: what the result says it was made by.
        report: called before each unit with what it is, the number of units done, and of all.

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
    (folder / "units").mkdir(parents=True, exist_ok=True)
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
        "lifters": {},
        "protocols": {},
        "units": [],
        "skipped": [],
    }
    done, total = 0, len(lifters) * len(protocols)
    for planned in protocols:
        try:
            data = planned.observe(settings.at_most(planned))
        except InputError as error:
            skipped = {"protocol": planned.name, "reason": str(error)}
            result["skipped"] += [{"lifter": one.name} | skipped for one in lifters]
            done += len(lifters)
            continue
        result["protocols"][planned.name] = described(planned, data)
        save_observations(data, folder / "observations" / f"{planned.name}.parquet")
        seen = observation_hash(data)
        for contender in lifters:
            if report is not None:
                report(f"{contender.name} on {planned.name}", done, total)
            done += 1
            key = _key(contender, seen, planned, settings)
            path = folder / "units" / f"{_safe(contender.name)}--{planned.name}--{key[:16]}.json"
            unit = _read(path)
            if unit is None:
                try:
                    unit = _measured(contender, planned, data, settings)
                except InputError as error:
                    result["skipped"].append({"lifter": contender.name, "protocol": planned.name, "reason": str(error)})
                    continue
                with atomic_write(path) as file:
                    file.write(json.dumps(unit).encode())
            result["units"].append({"lifter": contender.name, "protocol": planned.name} | unit)
    if report is not None:
        report("", total, total)
    if not result["units"]:
        raise InputError(result["skipped"][0]["reason"])
    result["lifters"] = {one.name: _about(one, result["units"]) for one in lifters}
    with atomic_write(folder / "bench.json") as file:
        file.write((json.dumps(result) + "\n").encode())
    return result


def _measured(contender: Contender, planned: Planned, data: ObservationSet, settings: Settings) -> dict[str, Any]:
    main = planned.group == "main"
    return measure(
        contender.on(planned.name, data.observations.keypoints),
        data,
        settings.samples,
        settings.seed,
        mode_poses=settings.mode_poses if main else 0,
        worst=12 if main else 0,
        in_a_row=planned.in_a_row,
        device=settings.device,
    )


def _key(contender: Contender, observations: str, planned: Planned, settings: Settings) -> str:
    """What a unit's result depends on, in one hash."""
    parts = [VERSION, contender.hash_on(planned.name), observations, planned.group == "main", planned.in_a_row]
    parts += [settings.samples, settings.seed, settings.mode_poses, settings.device]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """A unit measured before; None if there is none, or it cannot be read."""
    try:
        unit = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return unit if isinstance(unit, dict) else None


def _safe(name: str) -> str:
    """The name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _about(contender: Contender, units: list[dict[str, Any]]) -> dict[str, Any]:
    own = [unit for unit in units if unit["lifter"] == contender.name]
    about = {
        "kind": contender.kind,
        "description": contender.description,
        "licence": contender.licence,
        "megabytes": contender.megabytes,
        "hash": contender.hash[:16],
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
