"""Lifters that answer in other joints than h36m17's, measured on the joints that they have."""

from __future__ import annotations

import dataclasses

import torch

from ..data.observations import ObservationSet
from ..distributions.base import PoseDistribution
from ..distributions.delta import DeltaPoseDistribution
from ..distributions.empirical import EmpiricalPoseDistribution
from ..files.errors import InputError
from ..geometry.skeletons import SKELETONS, skeleton_map
from ..keypoints import Keypoints2D
from ..lifters import Lifter, LifterConfig

__all__ = ["InBody", "comparable"]

_BODY = SKELETONS["h36m17"]
#: Most hypotheses that are drawn of a distribution that has no closed form in other joints.
_DRAWN = 1000


class InBody(Lifter):
    """A lifter of another skeleton that answers in h36m17, root at the pelvis.

    A joint that it lacks is made of those that it has; `own` says which are its own.

    Attributes:
        own: ``(17,)`` joints that the lifter has, under this name or (thorax and neck) another; the pelvis too.

    Args:
        lifter: of any skeleton of which a pelvis can be made.

    Raises:
        InputError: a skeleton without a pelvis and hips.
    """

    name = "in-body"

    def __init__(self, lifter: Lifter) -> None:
        super().__init__(LifterConfig())
        plan = skeleton_map(lifter.skeleton, _BODY)
        if not plan.available[_BODY.root]:
            raise InputError(f"the observations are h36m17 poses; {lifter.skeleton.name} has neither pelvis nor hips")
        self.lifter, self.card, self.name = lifter, lifter.card, lifter.name  # type: ignore[misc]
        self.register_buffer("weights", torch.as_tensor(plan.weights, dtype=torch.float32), persistent=False)
        self.weights: torch.Tensor
        own = torch.as_tensor((plan.weights == 1.0).any(-1))
        own[_BODY.root] = True
        self.own = own

    def distribution(self, keypoints: Keypoints2D) -> PoseDistribution:
        posterior = self.lifter(keypoints)
        if isinstance(posterior, DeltaPoseDistribution):
            placed = posterior.loc + posterior.root_offset.unsqueeze(-2)
            return DeltaPoseDistribution(self.weights @ placed, posterior.image_scale)
        return EmpiricalPoseDistribution(self.weights @ posterior.sample((_DRAWN,), seed=0))


def comparable(lifter: Lifter, data: ObservationSet) -> tuple[Lifter, ObservationSet]:
    """Lifter and observations in h36m17: only joints that the lifter has are there to compare with."""
    if lifter.skeleton.name == _BODY.name:
        return lifter, data
    inside = InBody(lifter)
    observations = data.observations
    known = dataclasses.replace(observations, observed=observations.observed & inside.own)
    return inside, dataclasses.replace(data, observations=known)
