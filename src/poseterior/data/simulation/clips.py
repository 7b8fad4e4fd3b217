"""People at several moments of a clip: what unsupervised learning sees (2D, no 3D anywhere), and steady cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor
from typing_extensions import Self

from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ..observations import Observations
from ..store import Mocap
from .population import Bodies, draw_bodies
from .simulator import Simulator, SimulatorConfig

__all__ = [
    "ClipSimulator",
    "KeypointPairs",
    "PeopleSimulator",
    "SteadyPeopleSimulator",
    "SteadySimulator",
    "StoredKeypoints",
    "neighbours",
]


@dataclass(frozen=True)
class KeypointPairs:
    """2D keypoints, and others of the same person and camera: nothing else, by construction.

    Attributes:
        keypoints: ``n`` poses.
        later: ``n`` poses of the same people a moment later.
        apart: ``n`` poses of the same people anywhere else in their clips.
    """

    keypoints: Keypoints2D
    later: Keypoints2D
    apart: Keypoints2D

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def to(self, device: torch.device | str) -> Self:
        return type(self)(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def neighbours(clip: Tensor, index: Tensor, step: int, least: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Rows a step later, and random rows at least ``least`` away, of the same clips; clips are runs of rows.

    At the end of a clip the step goes back. A clip too short for either gives what is farthest in it.

    Args:
        clip: ``(rows,)`` clip of each row.
        index: ``(n,)`` rows.
        step: rows from a pose to the later one.
        least: smallest distance in rows of the random one.
        generator: of the random rows.
    """
    changed = torch.ones(len(clip), dtype=torch.bool)
    changed[1:] = clip[1:] != clip[:-1]
    run = changed.cumsum(0) - 1
    start = changed.nonzero().squeeze(-1)
    end = torch.cat([start[1:], torch.tensor([len(clip)])])
    first, last = start[run[index]], end[run[index]] - 1
    later = torch.where(index + step <= last, index + step, index - step)
    later = torch.minimum(torch.maximum(later, first), last)
    # All rows but those within ``least`` of the pose, counted from the first.
    low, high = (index - least - first + 1).clamp(min=0), (last - index - least + 1).clamp(min=0)
    draw = (torch.rand(len(index), generator=generator) * (low + high)).long()
    apart = torch.where(draw < low, first + draw, index + least + draw - low)
    farthest = torch.where(index - first > last - index, first, last)
    return later, torch.where(low + high > 0, apart, farthest)


class ClipSimulator(Simulator):
    """Draws `KeypointPairs` from stored poses: same body and same camera, other frames of the clip.

    Args:
        mocap, config: as the `Simulator`'s; limbs are not recombined between clips.
        step: frames from a pose to the later one.
        least: smallest distance in frames to the pose elsewhere in the clip.
    """

    def __init__(self, mocap: Mocap, config: SimulatorConfig | None = None, step: int = 5, least: int = 10) -> None:
        super().__init__(mocap, config)
        if self.config.recombine > 0:
            raise InputError("simulator.recombine: clips are observed as they are: expected 0 for learning from 2D")
        if self.config.broad > 0:
            raise InputError("simulator.broad: clips are observed as they are: expected 0 for learning from 2D")
        self.clip = torch.as_tensor(mocap.clip).long()
        self.step, self.least = step, least

    def __call__(self, n: int, generator: Generator, index: Tensor | None = None) -> KeypointPairs:  # type: ignore[override]
        """Draw ``n`` pairs. Same generator state, same result."""
        base = torch.randint(len(self), (n,), generator=generator) if index is None else index
        later, apart = neighbours(self.clip, base, self.step, self.least, generator)
        state = generator.get_state()
        seen = []
        for rows in (base, later, apart):
            # The same draws give the same body and camera; only the frame differs.
            generator.set_state(state)
            seen.append(super().__call__(n, generator, rows).keypoints)
        return KeypointPairs(*seen)


class StoredKeypoints:
    """Draws `KeypointPairs` from stored observations, of which it keeps the 2D only.

    Args:
        observations: rows of one clip are those whose ids name the same file, in any order.
        step, least: as for `ClipSimulator`, in rows of a clip in order of its frames.
    """

    def __init__(self, observations: Observations, step: int = 5, least: int = 10) -> None:
        self.keypoints = observations.keypoints
        numbers: dict[str, int] = {}
        self.clip = torch.tensor([numbers.setdefault(i.file, len(numbers)) for i in self.keypoints.ids])
        places = list(zip(self.clip.tolist(), (i.frame for i in self.keypoints.ids), strict=True))
        order = sorted(range(len(places)), key=places.__getitem__)
        if order != list(range(len(places))):
            self.keypoints, self.clip = self.keypoints[order], self.clip[order]
        self.step, self.least = step, least

    def __call__(self, n: int, generator: Generator) -> KeypointPairs:
        rows = torch.randint(len(self.keypoints), (n,), generator=generator)
        later, apart = neighbours(self.clip, rows, self.step, self.least, generator)
        return KeypointPairs(self.keypoints[rows], self.keypoints[later], self.keypoints[apart])


class PeopleSimulator(Simulator):
    """A `Simulator` in which everybody of a clip who does not keep the recorded body has one of a population."""

    def __init__(self, mocap: Mocap, config: SimulatorConfig | None = None) -> None:
        super().__init__(mocap, config)
        self.clip = torch.as_tensor(mocap.clip).long()

    def _drawn_bodies(self, base: Tensor, generator: Generator) -> Bodies:
        clips, row = self.clip[base].unique(return_inverse=True)
        return draw_bodies(len(clips), generator, self.config.body_spread)[row]


#: Metres before the camera that the pelvis of somebody who walks does not come nearer than.
_NEAREST = 2.0


class SteadySimulator(Simulator):
    """A `Simulator` whose camera stands still, with the person in one place of the picture, throughout a clip.

    Args:
        mocap, config: as the `Simulator`'s.
        correlation: of the detector's errors from each row to the next one of its clip (an autoregressive process of
            first order: after k rows ``correlation**k``); each row's own errors keep the reported covariance.
        walks: people go where they were recorded to go, about the place that is drawn, instead of staying there.
    """

    def __init__(
        self, mocap: Mocap, config: SimulatorConfig | None = None, correlation: float = 0.0, walks: bool = False
    ) -> None:
        super().__init__(mocap, config)
        if not -1 < correlation < 1:
            raise InputError(f"correlation: expected more than -1 and less than 1, got {correlation}")
        self.clip = torch.as_tensor(mocap.clip).long()
        self.correlation = correlation
        self.place = torch.from_numpy(mocap.positions[:, 0]).float() if walks else None

    def _cameras(self, base: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        clips, row = self.clip[base].unique(return_inverse=True)
        rotation, root, intrinsics, image_size = (part[row] for part in super()._cameras(clips, generator))
        if self.place is not None:
            path = self.place[base]
            count = torch.bincount(row).unsqueeze(-1)
            middle = torch.zeros(len(clips), 3).index_add_(0, row, path) / count
            path = ((path - middle[row]).unsqueeze(-2) @ rotation.mT).squeeze(-2)
            # The whole clip is moved away, not some of its frames: nobody walks through the camera.
            depth = (root + path)[:, 2]
            nearest = torch.stack([depth[row == clip].amin() for clip in range(len(clips))])
            root = root * (1 + (_NEAREST - nearest).clamp(min=0)[row] / root[:, 2]).unsqueeze(-1) + path
        return rotation, root, intrinsics, image_size

    def _noise(self, base: Tensor, generator: Generator) -> Tensor:
        noise = super()._noise(base, generator)
        if self.correlation == 0:
            return noise
        fresh = math.sqrt(1 - self.correlation**2)
        for row in range(1, len(base)):
            if self.clip[base[row]] == self.clip[base[row - 1]]:
                noise[row] = self.correlation * noise[row - 1] + fresh * noise[row]
        return noise


class SteadyPeopleSimulator(PeopleSimulator, SteadySimulator):
    """A `SteadySimulator` of a population: one camera and one body through a clip, joint definitions included.

    Args:
        mocap, config: as the `Simulator`'s.
        correlation: as the `SteadySimulator`'s.
    """

    def __init__(self, mocap: Mocap, config: SimulatorConfig | None = None, correlation: float = 0.0) -> None:
        SteadySimulator.__init__(self, mocap, config, correlation)

    def _marker_factors(self, base: Tensor, generator: Generator) -> Tensor:
        clips, row = self.clip[base].unique(return_inverse=True)
        return super()._marker_factors(clips, generator)[row]
