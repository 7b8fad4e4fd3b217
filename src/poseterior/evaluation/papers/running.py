"""Which paper's evaluation, on what, of which models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...data.observations import ObservationSet, load_observations
from ...data.store import PoseStore
from ...files.checks import quote
from ...files.errors import InputError
from ...files.parquet import open_parquet
from ...files.reading import reading
from ...lifters import Lifter, load, load_model
from ..subsets import spread_poses
from . import duenkel_2024, li_lee_2019, ronchi_2018, wehrbein_2021, yu_2021
from .tables import PaperTable

__all__ = ["PAPERS", "evaluate_paper", "named"]

_OBSERVED: dict[str, Callable[..., list[PaperTable]]] = {
    "wehrbein_2021": wehrbein_2021.evaluate,
    "ronchi_2018": ronchi_2018.evaluate,
    "yu_2021": yu_2021.evaluate,
    "li_lee_2019": li_lee_2019.evaluate,
}
#: The papers' names.
PAPERS = (*_OBSERVED, "duenkel_2024")


def named(lifters: Sequence[str]) -> dict[str, str]:
    """What each is called in tables: its folder's name (that of the run, for ``RUN/weights``).

    Raises:
        InputError: one that is named twice, or two of one name.
    """
    names: dict[str, str] = {}
    for lifter in lifters:
        path = Path(lifter)
        short = path.resolve().parent.name if path.name == "weights" else path.name
        if short in names and _place(names[short]) == _place(lifter):
            raise InputError(f"{lifter}: named twice; name it once")
        if short in names:
            raise InputError(f"{lifter}: two lifters are called {short!r}; rename one of the folders")
        names[short] = lifter
    return names


def _place(lifter: str) -> Path:
    """Where a lifter is, the same for ``RUN`` and ``RUN/weights``."""
    path = Path(lifter).resolve()
    return path.parent if path.name == "weights" else path


def evaluate_paper(
    paper: str,
    lifters: Sequence[str],
    observations: Sequence[str | Path] = (),
    store: str | Path | None = None,
    *,
    poses: int | None = None,
    samples: int = 200,
    seed: int = 0,
    device: str = "cpu",
    progress: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Measure lifters as a paper does.

    Args:
        paper: one of `PAPERS`.
        lifters: shipped names or folders, of ``duenkel_2024`` those of its networks.
        observations: files of observations, each with tables of its own.
        store: for ``duenkel_2024``, a pose store.
        poses: at most so many of each, evenly spread (default: all as published, 10,000 of a store).
        samples: hypotheses, where the paper draws any.
        seed: of all that is drawn.
        device: where to run.
        progress: called with what is measured next.

    Returns:
        ``paper``, ``samples``, ``seed`` and ``tables``, by file (`PaperTable.as_dict`).

    Raises:
        InputError: an unknown paper, no data or those of another kind, a lifter that cannot be measured so.
    """
    if paper not in PAPERS:
        raise InputError(f"unknown paper {quote(paper)}; known: {', '.join(PAPERS)}")
    if not lifters:
        raise InputError(f"--published {paper}: name the lifters to measure, shipped ones or folders")
    if poses is not None and poses < 1:
        raise InputError(f"poses: expected at least 1, got {poses}")
    tell = progress or (lambda _: None)
    names = named(lifters)
    tables: dict[str, list[PaperTable]] = {}
    if paper == "duenkel_2024":
        if store is None or observations:
            raise InputError("--published duenkel_2024: is on the rotations of a pose store; pass it as --data STORE")
        opened = PoseStore(store)
        models = {name: load_model(lifter, device) for name, lifter in names.items()}
        tell(str(store))
        tables[Path(store).resolve().name] = duenkel_2024.evaluate(
            models, opened, poses or 10_000, samples, seed, device
        )
    else:
        if store is not None or not observations:
            raise InputError(
                f"--published {paper}: is on observations; pass files of `poseterior data import` as --observations"
            )
        files = _by_name(observations)
        loaded = {name: _lifter(lifter, device, paper) for name, lifter in names.items()}
        for name, path in files.items():
            data = _with_poses(path)
            data = data if poses is None else spread_poses(data, poses)
            tell(str(path))
            tables[name] = _OBSERVED[paper](loaded, data, samples, seed, device)
    found = {name: [table.as_dict() for table in those] for name, those in tables.items()}
    return {"paper": paper, "samples": samples, "seed": seed, "tables": found}


def _lifter(name: str, device: str, paper: str) -> Lifter:
    model = load_model(name, device)
    if not isinstance(model, Lifter):
        raise InputError(
            f"{name}: holds the prior {model.name!r}, which sees no picture; its evaluation is --published duenkel_2024"
        )
    return load(name, device)


def _by_name(observations: Sequence[str | Path]) -> dict[str, str | Path]:
    """Files by the names of their tables; what is wrong with one is told before another one is measured."""
    files: dict[str, str | Path] = {}
    for path in observations:
        with reading(path), open_parquet(path):
            pass
        name = Path(path).stem
        if name in files:
            raise InputError(f"{path}: two files are called {name!r}; rename one")
        files[name] = path
    return files


def _with_poses(path: str | Path) -> ObservationSet:
    data = load_observations(path)
    if not len(data):
        raise InputError(f"{path}: holds no poses")
    if not bool(data.observations.observed.any(-1).all()):
        raise InputError(
            f"{path}: holds images without 3D poses; `poseterior evaluate` measures what can be measured on them"
        )
    return data
