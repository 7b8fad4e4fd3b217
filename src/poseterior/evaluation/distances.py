"""How far the truth is from what a lifter answers, beside how far its own samples say that it may be.

What recalibrations are fitted to (`poseterior.evaluation.calibrate`) and coverage is read from
(`poseterior.evaluation.coverage`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.observations import observations_in
from ..distributions.balls import MOST_SAMPLES, SAMPLES, SEED, SPREAD_LEVEL, balls, check_level
from ..distributions.recalibration import LEVELS
from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from .angles import AngleErrors, angle_errors

if TYPE_CHECKING:
    from ..data.observations import Observations
    from ..lifters import Lifter

__all__ = ["Distances", "measure"]


@dataclasses.dataclass(frozen=True)
class Distances:
    """How far the truth is from a lifter's answers, beside the plain radii of these answers, for ``n`` poses.

    Attributes:
        skeleton: joint order.
        levels: of the radii.
        error: ``(n, joints)`` metres from the centre to the truth (0 where the truth has no such joint).
        radius: ``(levels, n, joints)`` plain radii, metres.
        shape: ``(n, joints)`` plain radii at `poseterior.distributions.balls.SPREAD_LEVEL`, metres.
        pose_scale: ``(levels, n)`` the multiple of the shape that holds that share of the samples whole.
        visible: ``(n, joints)`` joints that the lifter saw.
        observed: ``(n, joints)`` joints that the truth has; never the root, which is known.
        samples: that centre and shape are made of; 0: none, they are those of `PoseDistribution.closed_balls`.
        seed: with which the answers were drawn.
        angles: the same of joint angles; None where they were not asked for.
    """

    skeleton: Skeleton
    levels: tuple[float, ...]
    error: Tensor
    radius: Tensor
    shape: Tensor
    pose_scale: Tensor
    visible: Tensor
    observed: Tensor
    samples: int
    seed: int
    angles: AngleErrors | None = None

    def __len__(self) -> int:
        return len(self.error)

    def __getitem__(self, rows: Tensor | slice) -> Distances:
        """Some of the poses: rows, a slice or a mask."""
        return dataclasses.replace(
            self,
            error=self.error[rows], radius=self.radius[:, rows], shape=self.shape[rows],
            pose_scale=self.pose_scale[:, rows], visible=self.visible[rows], observed=self.observed[rows],
            angles=None if self.angles is None else self.angles[rows],
        )  # fmt: skip


@torch.no_grad()
def measure(
    lifter: Lifter,
    observations: Observations,
    samples: int | None = None,
    seed: int = SEED,
    chunk: int = 256,
    levels: Sequence[float] = LEVELS,
    device: torch.device | str = "cpu",
    progress: Callable[[int], object] | None = None,
    angles: bool = False,
) -> Distances:
    """Lift observations and compare the answers with the truth, without any recalibration.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        observations: poses with their keypoints, of any skeleton that has the lifter's root.
        samples: drawn per pose, and that regions are made of. None: 200, and of distributions that know their balls
            without samples (`PoseDistribution.closed_balls`) centre and shape are these.
        seed: of the samples.
        chunk: poses at a time.
        levels: at which radii are taken.
        device: where to run.
        progress: called with the number of poses done, after each chunk.
        angles: compare joint angles too, of lifters that answer in h36m17.

    Raises:
        InputError: no poses, too few or too many samples, a seed out of range, a level outside (0, 1), a lifter of
            another skeleton.
    """
    if samples is not None and not 2 <= samples <= MOST_SAMPLES:
        raise InputError(f"samples: expected 2 to {MOST_SAMPLES}, got {samples}")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: expected 0 to below 2^63, got {seed}")
    if chunk < 1:
        raise InputError(f"chunk: expected at least 1, got {chunk}")
    for level in levels:
        check_level(level)
    observations = observations_in(observations, lifter.skeleton)
    count = len(observations.pose)
    if not count:
        raise InputError("no poses to calibrate on")
    lifter = lifter.to(device).eval()
    root = lifter.skeleton.root
    parts: list[tuple[Tensor, ...]] = []
    turned: list[AngleErrors] = []
    for start in range(0, count, chunk):
        part = observations[start : start + chunk].to(device)
        posterior = lifter(part.keypoints)
        drawn = posterior.sample((samples or SAMPLES,), seed=seed)
        plain = balls(drawn, levels, root)
        known = posterior.closed_balls(SPREAD_LEVEL) if samples is None else None
        if known is not None:
            plain = plain._replace(centre=known[0], shape=known[1])
        observed = part.observed.clone()
        observed[:, root] = False
        error = torch.where(observed, (part.pose - plain.centre).norm(dim=-1), 0.0)
        poses_first = plain.radius.movedim(0, 1), plain.pose_scale.movedim(0, 1)
        found = (error, *poses_first, plain.shape, part.keypoints.visible, observed)
        parts.append(tuple(value.cpu() for value in found))
        if angles and lifter.skeleton.name == "h36m17":
            visible = part.keypoints.visible
            turned.append(angle_errors(drawn, part.pose, visible, part.observed, lifter.skeleton))
        if progress is not None:
            progress(min(start + chunk, count))
    error, radius, scale, shape, visible, observed = (torch.cat(column) for column in zip(*parts, strict=True))
    return Distances(
        lifter.skeleton, tuple(levels), error, radius.movedim(1, 0), shape, scale.movedim(1, 0), visible, observed,
        (samples or SAMPLES) if known is None else 0, seed, AngleErrors.joined(turned) if turned else None,
    )  # fmt: skip
