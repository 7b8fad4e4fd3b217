"""Where training batches come from: a simulator, or observations that were stored once.

Both are a function ``draw(n, generator) -> Observations``; a run sees nothing else of its data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset

from ..data.observations import Observations, ObservationSet
from ..data.simulation.clips import KeypointPairs
from ..data.simulation.missing import hidden_joints
from ..data.simulation.simulator import SimulatorConfig
from ..keypoints import Keypoints2D
from .module import batch_generator
from .recipes import Schedule

__all__ = ["Batches", "Draw", "HidingJoints", "StoredObservations", "split_observations"]

#: ``draw(n, generator)``: ``n`` observations (`Observations`, or `KeypointPairs`); a `Simulator` is one.
Draw = Callable[[int, torch.Generator], Any]


class StoredObservations:
    """Draws random rows (with replacement) of stored observations. Same generator state, same rows."""

    def __init__(self, observations: Observations) -> None:
        self.observations = observations

    def __call__(self, n: int, generator: torch.Generator) -> Observations:
        rows = torch.randint(len(self.observations.keypoints), (n,), generator=generator)
        return self.observations[rows]


class HidingJoints:
    """Draws what another function draws, with further joints hidden, anew each time.

    Args:
        draw: what is drawn from; `Observations` or `KeypointPairs`, in whose moments other joints are hidden.
        config: ``missing`` and ``scattered`` say how many, see `poseterior.data.simulation.missing`.
    """

    def __init__(self, draw: Draw, config: SimulatorConfig) -> None:
        self.draw, self.config = draw, config

    def __call__(self, n: int, generator: torch.Generator) -> Observations | KeypointPairs:
        drawn = self.draw(n, generator)
        names = (
            [f.name for f in dataclasses.fields(KeypointPairs)] if isinstance(drawn, KeypointPairs) else ["keypoints"]
        )
        return dataclasses.replace(drawn, **{name: self._hidden(getattr(drawn, name), generator) for name in names})

    def _hidden(self, keypoints: Keypoints2D, generator: torch.Generator) -> Keypoints2D:
        hidden = hidden_joints(self.config.missing, self.config.scattered, len(keypoints), generator)
        return keypoints._replace(visible=keypoints.visible & ~hidden)


def split_observations(data: ObservationSet, share: float, seed: int = 0) -> tuple[Observations, Observations | None]:
    """Hold out a share of the recordings, at least one.

    A recording is all that one subject did under one action, so that neither a neighbouring frame nor another
    camera's view of the same moment leaks; where that is only one, it is a clip. Nothing is held out of one clip.
    """
    recordings = np.array([f"{s}\n{a}" for s, a in zip(data.subject, data.action, strict=True)])
    if len(np.unique(recordings)) < 2:
        recordings = np.array([i.file for i in data.observations.keypoints.ids])
    names = np.unique(recordings)
    if share == 0 or len(names) < 2:
        return data.observations, None
    held = min(max(1, round(share * len(names))), len(names) - 1)
    out = np.isin(recordings, np.random.default_rng(seed).permutation(names)[:held])
    kept, left = (torch.from_numpy(np.flatnonzero(mask)) for mask in (~out, out))
    return data.observations[kept], data.observations[left]


class Batches(IterableDataset):
    """Batches ``start, start + 1, ... steps - 1`` of a run."""

    def __init__(self, draw: Draw, schedule: Schedule, start: int = 0, process: int = 0) -> None:
        self.draw, self.schedule, self.start, self.process = draw, schedule, start, process

    def __iter__(self) -> Iterator[Observations]:
        for step in range(self.start, self.schedule.last):
            generator = batch_generator(self.schedule.seed, step, self.process)
            yield self.draw(self.schedule.batch, generator)
