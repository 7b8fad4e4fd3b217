"""Poses that a lifter makes of 2D clips, kept like motion capture: to learn a distribution from, without 3D labels.

A lifter along rays (`poseterior.lifters.rays`) gives one pose, and is lost where it does not see whole people. What it
makes of whole people is a set of poses all the same, in any store's form: the simulator turns them, hides their limbs
and adds a detector's noise, and a distribution that is trained on that knows what is behind. Errors of the lifter are
in it as well, seen from other sides, where they are spread and no longer depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..data.observations import load_observations
from ..data.simulation.clips import SteadySimulator
from ..data.simulation.simulator import SimulatorConfig
from ..data.store import Mocap, PoseStore
from ..files.errors import InputError
from ..geometry.fitted_body import fitted_body
from ..geometry.kinematics import ANKLE_HEIGHT
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..lifters.rays import RayLifter

__all__ = ["Clip", "filmed_clips", "own_poses", "seen_clips", "store_own_poses"]

#: What the store's column ``source`` says of such poses.
_SOURCE = "lifted from {}"


class Clip(NamedTuple):
    """What one or more cameras saw of a clip.

    Attributes:
        name: of the clip.
        views: 2D keypoints, one element a camera.
        fps: frames per second.
        source: where the clip is from.
    """

    name: str
    views: list[Keypoints2D]
    fps: float
    source: str


@torch.no_grad()
def own_poses(lifter: RayLifter, keypoints: Keypoints2D) -> Float[Tensor, "n 17 3"]:
    """Levelled poses of people of whom all joints are seen: metres, y up, the lowest joint at an ankle's height."""
    keypoints = keypoints.as_skeleton(lifter.skeleton)
    poses = lifter.levelled(keypoints) * torch.tensor([1.0, -1.0, -1.0])
    poses[..., 1] += ANKLE_HEIGHT - poses[..., 1].amin(-1, keepdim=True)
    return poses


def seen_clips(mocap: Mocap, config: SimulatorConfig, views: int, generator: Generator) -> Iterator[Clip]:
    """The 2D keypoints of every clip as ``views`` steady cameras see it, one after the other."""
    simulator = SteadySimulator(mocap, config)
    clip = torch.as_tensor(mocap.clip)
    for number in clip.unique().tolist():
        rows = (clip == number).nonzero().squeeze(-1)
        # Nothing but keypoints leaves the simulator.
        seen = [simulator(len(rows), generator, rows).keypoints for _ in range(views)]
        yield Clip(mocap.clip_names[number], seen, float(mocap.fps[number]), mocap.source_names[number])


def filmed_clips(path: Path, fps: float) -> Iterator[Clip]:
    """The same of a file of observations, of which nothing but the keypoints is read."""
    found = load_observations(path)
    keypoints = found.observations.keypoints
    rows: dict[str, list[tuple[int, int]]] = {}
    for row, pose in enumerate(keypoints.ids):
        rows.setdefault(pose.file, []).append((pose.frame, row))
    for name, frames in rows.items():
        ordered = torch.tensor([row for _, row in sorted(frames)])
        yield Clip(name, [keypoints[ordered]], fps, found.protocol)


def store_own_poses(
    lifter: Lifter,
    data: str | Path,
    out: str | Path,
    config: SimulatorConfig,
    *,
    views: int = 4,
    fps: float = 10.0,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Lift whole people of 2D clips and write the poses to a store, as if they had been recorded; returns how many.

    Args:
        lifter: along rays.
        data: a store, of which only 2D views count, or a file of observations, of which only the keypoints do.
        out: folder of the new store.
        config: cameras of the views (of a store).
        views: steady cameras a clip (of a store).
        fps: to which clips of a store are thinned; that of a file of observations.
        seed: of the cameras.
        overwrite: replace a store that is there.
        progress: called with the number of poses done.

    Raises:
        InputError: a lifter of another kind, or no pose of which all joints are seen.
    """
    if not isinstance(lifter, RayLifter):
        raise InputError(
            f"own poses: a lifter of method {lifter.name!r} gives no levelled poses; train one by the recipe "
            "'unsupervised' and pass its folder"
        )
    path, licence = Path(data), ""
    if path.is_dir():
        store = PoseStore(path)
        licence = store.metadata.get("licence", "")
        clips = seen_clips(store.load(fps=fps), config, views, torch.Generator().manual_seed(seed))
    else:
        clips = filmed_clips(path, fps)
    count = 0
    with PoseStore.create(out, overwrite=overwrite) as writer:
        for clip in clips:
            # The views stay together, so that a split by clips parts no motion from itself.
            poses = torch.cat([own_poses(lifter, view[view.visible.all(-1)]) for view in clip.views])
            if not len(poses):
                continue
            turns, joints = fitted_body(poses)
            arrays = (joints, roma.rotmat_to_unitquat(turns), poses)
            writer.add(
                clip.name,
                *(np.asarray(array, dtype=np.float32) for array in arrays),
                fps=clip.fps,
                source=_SOURCE.format(clip.source),
                licence=licence,
            )
            count += len(poses)
            if progress is not None:
                progress(count)
        if not count:
            raise InputError(f"{data}: no clip shows whole people, all of whose joints are seen; nothing to learn from")
    return count
