"""Regions that hold a pose with a given probability: a ball per joint.

Their centres are the medians of samples, their radii those of the samples (`poseterior.distributions.balls`) or, where
there is one, those that a recalibration makes right (`poseterior.distributions.recalibration`). Mixtures know both
without samples (`poseterior.distributions.mixture_balls`).
"""

from __future__ import annotations

import dataclasses

from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from .balls import balls, centre_and_shape, check_level
from .recalibration import Recalibration

__all__ = ["Region", "calibrated_region", "region_of"]

#: Metres by which a joint may be outside: rounding must not push the root out of its ball of radius zero.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Region:
    """Where a pose is with a given probability: a ball per joint.

    Of one pose, the balls of a larger level are never smaller.

    Attributes:
        level: the probability.
        centre: ``(*batch, joints, 3)`` metres, relative to the root, camera axes.
        radius: ``(*batch, joints)`` metres: each ball alone holds its joint with probability ``level``.
        pose_radius: ``(*batch, joints)`` metres: all balls together hold the pose with probability ``level``.
        calibrated: whether a recalibration made the radii right; otherwise they are the samples' own.
    """

    level: float
    centre: Float[Tensor, "*batch joints 3"]
    radius: Float[Tensor, "*batch joints"]
    pose_radius: Float[Tensor, "*batch joints"]
    calibrated: bool

    def _inside(self, pose: Tensor, radius: Tensor) -> Tensor:
        return (pose - self.centre).norm(dim=-1) <= radius + _ROUNDING

    def contains(self, pose: Float[Tensor, "*samples_batch joints 3"]) -> Bool[Tensor, "*samples_batch joints"]:
        """Whether each joint of a pose (metres, relative to the root) is in its ball; False for NaN."""
        return self._inside(pose, self.radius)

    def contains_pose(
        self, pose: Float[Tensor, "*samples_batch joints 3"], observed: Bool[Tensor, "*batch joints"] | None = None
    ) -> Bool[Tensor, "*samples_batch"]:
        """Whether all joints, or all ``observed`` ones, are in the balls that hold the whole pose."""
        inside = self._inside(pose, self.pose_radius)
        return (inside if observed is None else inside | ~observed).all(-1)


def region_of(
    samples: Float[Tensor, "samples *batch joints 3"],
    skeleton: Skeleton,
    level: float = 0.9,
    recalibration: Recalibration | None = None,
    visible: Bool[Tensor, "*batch joints"] | None = None,
) -> Region:
    """The region of drawn samples; `PoseDistribution.region` draws them itself.

    Args:
        samples: metres, relative to the root; with a recalibration as many as it was fitted with.
        skeleton: their joints.
        level: probability.
        recalibration: makes the radii right; needs ``visible``.
        visible: joints that the lifter saw.

    Raises:
        InputError: a level outside (0, 1) or above what the recalibration was fitted for, a recalibration of other
            joints or without ``visible``.
    """
    check_level(level)
    if recalibration is None:
        plain = balls(samples, [level], skeleton.root)
        return Region(level, plain.centre, plain.radius[0], plain.pose_scale[0].unsqueeze(-1) * plain.shape, False)
    return calibrated_region(*centre_and_shape(samples, skeleton.root), skeleton, level, recalibration, visible)


def calibrated_region(
    centre: Float[Tensor, "*batch joints 3"],
    shape: Float[Tensor, "*batch joints"],
    skeleton: Skeleton,
    level: float,
    recalibration: Recalibration,
    visible: Bool[Tensor, "*batch joints"] | None,
) -> Region:
    """The region around a centre.

    Args:
        centre: metres, relative to the root.
        shape: plain radii at `poseterior.distributions.balls.SPREAD_LEVEL`, metres.
        skeleton: their joints.
        level: probability.
        recalibration: makes the radii right.
        visible: joints that the lifter saw.

    Raises:
        InputError: as `region_of`.
    """
    if recalibration.joints != skeleton.joints:
        raise InputError(f"the recalibration is for other joints than those of {skeleton.name}")
    if visible is None:
        raise InputError("visible: needed for a recalibrated region, whose radii depend on what was seen")
    return Region(level, centre, *recalibration.radii(level, visible, shape), True)
