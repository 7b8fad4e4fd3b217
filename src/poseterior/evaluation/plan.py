"""What the benchmark compares, and on what: lifters of every kind, protocols by name or by sweep."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.observations import ObservationSet, load_observations
from ..data.simulation.protocols import PROTOCOLS, Protocol, simulate
from ..data.store import PoseStore
from ..files.checks import absent
from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..lifters import Lifter, list_shipped, load
from .peers import SavedResults, content_hash, load_peer, load_results
from .subsets import select_poses, spread_poses

__all__ = [
    "CROSS",
    "GROUPS",
    "STRANGERS",
    "Entry",
    "Task",
    "entries",
    "tasks",
]

#: The protocols that are meant for another store than the others.
CROSS, STRANGERS = "bandai-cross", "strangers"
_OTHER_STORES = {
    CROSS: ("--cross", "cross"), STRANGERS: ("--strangers", "strangers"), "bandai-motion": ("--cross", "cross"),
    "strangers-motion": ("--strangers", "strangers"),
}  # fmt: skip
#: What `--protocol` also takes: every protocol of a sweep, or of ``main``.
GROUPS = tuple(dict.fromkeys(protocol.group for protocol in PROTOCOLS.values()))


@dataclass(frozen=True)
class Entry:
    """A lifter in the comparison.

    Attributes:
        name: as it is called in tables.
        kind: ``shipped``, ``weights`` (a folder), ``peer`` (somebody's function) or ``results`` (files).
        lifter: itself; of results files, what finds those of a protocol.
        hash: of everything that its answers depend on.
        description, licence, megabytes: from its card and files, where there are any.
    """

    name: str
    kind: str
    lifter: Lifter | SavedResults
    hash: str
    description: str = ""
    licence: str = ""
    megabytes: float | None = None

    def on(self, protocol: str, keypoints: Keypoints2D) -> Lifter:
        """The lifter for this protocol's poses. Raises `InputError` where there are no results of it."""
        if isinstance(self.lifter, SavedResults):
            return self.lifter.for_protocol(protocol, keypoints)
        return self.lifter

    def hash_on(self, protocol: str) -> str:
        """Of everything that the answers on this protocol depend on: of results, the protocol's file alone."""
        if isinstance(self.lifter, SavedResults) and protocol in self.lifter.files:
            return hashlib.sha256(self.lifter.files[protocol].read_bytes()).hexdigest()
        return self.hash


@dataclass(frozen=True)
class Task:
    """A protocol in the comparison: what it is called, and its observations when asked for.

    ``fps``: rows per second where they are frames in a row before a steady camera, else None.
    """

    name: str
    observe: Callable[[int], ObservationSet]
    description: str
    data: str
    group: str = "main"
    label: str = ""
    value: float | None = None
    fps: float | None = None


def entries(
    names: Sequence[str] = (),
    peers: Sequence[str] = (),
    results: Sequence[str] = (),
    samples: int = 200,
    device: str = "cpu",
    evidence: bool = True,
) -> list[Entry]:
    """The lifters to compare: shipped ones or folders, functions, files of results.

    Args:
        names: shipped names or folders of weights; with nothing named at all, every shipped lifter.
        peers: ``module:function``, see `load_peer`.
        results: ``NAME=PATH``, see `load_results`.
        samples: hypotheses per pose that a function is asked for.
        device: for weights.
        evidence: False: weights answer as their networks do, see `poseterior.load`.

    Raises:
        InputError: two of the same name, ``NAME=`` left out, or what does not load.
    """
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: named twice; name it once")
    found = [
        _from_weights(name, device, evidence) for name in names or (() if peers or results else tuple(list_shipped()))
    ]
    for peer in peers:
        lifter = load_peer(peer, samples)
        found.append(Entry(peer, "peer", lifter, content_hash(lifter), str(lifter.card["description"])))
    for given in results:
        name, equals, path = given.partition("=")
        if not equals or not name or not path:
            raise InputError(f"--results {given}: expected NAME=PATH, e.g. --results mine=results_folder")
        files = load_results(name, path)
        found.append(Entry(name, "results", files, content_hash(files), f"results from {Path(path).name}"))
    taken = [entry.name for entry in found]
    for name in taken:
        if taken.count(name) > 1:
            raise InputError(f"{name}: named twice; rename one of the folders, or NAME of --results NAME=PATH")
    return found


def _from_weights(name: str, device: str, evidence: bool) -> Entry:
    lifter = load(name, device, evidence=evidence)
    shipped = list_shipped()
    folder = shipped.get(name, Path(name))
    # Weights lie in runs/NAME/weights.
    short = name if name in shipped else folder.resolve().name
    if short == "weights":
        short = folder.resolve().parent.name
    return Entry(
        short,
        "shipped" if name in shipped else "weights",
        lifter,
        content_hash(name) + ("" if evidence else " without evidence"),
        str(lifter.card.get("description", "")),
        str(lifter.card.get("licence", "")),
        round((folder / "model.safetensors").stat().st_size / 1e6, 2),
    )


def tasks(
    protocols: Sequence[str] = (),
    data: Path | None = None,
    cross: Path | None = None,
    observations: Sequence[Path] = (),
    strangers: Path | None = None,
) -> list[Task]:
    """The protocols to run.

    Args:
        protocols: names of `PROTOCOLS` or of `GROUPS`; with none, all for which there is data.
        data: the pose store.
        cross: the store of other people, for `CROSS` and bandai-motion.
        observations: files of observations, e.g. of a data set; each is a protocol of its file's name.
        strangers: the store of subjects that no lifter saw, for `STRANGERS` and strangers-motion.

    Raises:
        InputError: an unknown protocol, a protocol without its data, no data at all, two of the same name.
    """
    protocols = (protocols,) if isinstance(protocols, str) else protocols
    unknown = [name for name in protocols if name not in PROTOCOLS and name not in GROUPS]
    if unknown:
        raise InputError(
            f"unknown protocol {unknown[0]!r}; known: {', '.join(PROTOCOLS)}; or a group: {', '.join(GROUPS)}"
        )
    if data is None and cross is None and strangers is None and not observations:
        raise InputError(
            "nothing to measure on: pass --data STORE (`poseterior data import` makes one from motion capture) or "
            "--observations FILE"
        )
    given = {"cross": cross, "strangers": strangers}
    own = {name: (option, given[store]) for name, (option, store) in _OTHER_STORES.items()}
    stores = {name: own.get(name, ("", data))[1] for name in PROTOCOLS}
    if protocols:
        wanted = [n for n, p in PROTOCOLS.items() if n in protocols or p.group in protocols]
        for name in protocols:
            named = [n for n, p in PROTOCOLS.items() if name in (n, p.group)]
            if all(stores[n] is None for n in named):
                raise InputError(f"--protocol {name}: needs {own.get(name, ('--data', None))[0]} STORE")
    else:
        wanted = list(PROTOCOLS)
    found = [_simulated(PROTOCOLS[name], Path(stores[name])) for name in wanted if stores[name] is not None]  # type: ignore[arg-type]
    found += [_stored(Path(path)) for path in observations]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two protocols are called {name!r}; rename the file")
    return found


def _simulated(protocol: Protocol, store: Path) -> Task:
    opened = PoseStore(store)
    return Task(
        protocol.name,
        lambda poses: simulate(opened, protocol, poses),
        protocol.description,
        store.resolve().name,
        protocol.group,
        protocol.label or protocol.name,
        protocol.value,
        protocol.fps if protocol.in_a_row else None,
    )


def _stored(path: Path) -> Task:
    if not path.is_file():
        raise InputError(f"--observations {path}: {absent(path)}")

    def observe(poses: int) -> ObservationSet:
        data = load_observations(path)
        known = data.observations.observed.any(-1)
        if not bool(known.any()):
            raise InputError(f"{path}: holds no 3D poses to compare with")
        return spread_poses(select_poses(data, known), poses)

    return Task(path.stem, observe, f"observations of {path.name}", path.name)


def described(task: Task, data: ObservationSet) -> dict[str, Any]:
    """The protocol's entry in the result."""
    return {
        "group": task.group,
        "label": task.label or task.name,
        "value": task.value,
        "description": task.description,
        "poses": len(data),
        "data": task.data,
        "version": data.protocol,
    }
