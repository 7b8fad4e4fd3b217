"""Learning the published rotation model by maximum likelihood (Dünkel, Salzmann, Pfaff 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

from ...data.observations import Observations
from ...data.simulation.bodies import BodyObservations
from ...data.simulation.simulator import SimulatorConfig
from ...files.errors import InputError
from ...files.settings import choice
from ...geometry.body import body_points
from ...geometry.skeletons import SKELETONS
from ...lifters import Model
from ...metrics.rotations import random_visibility
from ...objectives.base import Objective, register_objective
from ...objectives.rotations import BODIES, UNSEEN_ROTATIONS
from .prior import PublishedRotationPrior

__all__ = [
    "MASKS",
    "PublishedRotationLikelihood",
    "points_in_pelvis_axes",
]

_SMPL = SKELETONS["smpl22"]

MASKS = ("none", "random")


def points_in_pelvis_axes(observations: BodyObservations) -> Tensor:
    """Keypoints of each person relative to the pelvis and in its own axes: smpl22 ``(n, 22, 3)``, metres."""
    still = observations.rotations.clone()
    still[:, _SMPL.root] = torch.eye(3, dtype=still.dtype, device=still.device)
    return body_points(still, observations.offsets)[0][:, : len(_SMPL)]


@register_objective("rotations-published")
class PublishedRotationLikelihood(Objective):
    """Negative log-likelihood of the 19 rotations in nats per pose (normalised Haar measure), exact keypoints given.

    Args:
        mask: ``"none"``, or ``"random"`` to hide keypoints (`random_visibility`).
    """

    needs_rotations = True

    def __init__(self, mask: str = "none") -> None:
        super().__init__()
        self.mask = choice(mask, "objective 'rotations-published': mask", MASKS, quoted=False)

    def unseen(self, lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
        """It sees neither camera nor detector, and of the pelvis no rotation; a prior sees no bodies either."""
        keypoints = isinstance(lifter, PublishedRotationPrior) and lifter.config.task != "prior"
        return UNSEEN_ROTATIONS if keypoints else (*UNSEEN_ROTATIONS, *BODIES)

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        prior = self.expect(lifter, PublishedRotationPrior)
        if not isinstance(observations, BodyObservations):
            raise InputError("objective 'rotations-published' needs rotations: pass data=STORE")
        task, rotations = prior.config.task, observations.rotations
        if task == "prior" and self.mask != "none":
            raise InputError(
                f"objective 'rotations-published': mask: task 'prior' sees no keypoints to hide, got {self.mask!r}"
            )
        with torch.autocast(rotations.device.type, enabled=False):
            condition = None
            if task != "prior":
                points = points_in_pelvis_axes(observations)
                seen = (
                    random_visibility(len(points), len(_SMPL), device=points.device) if self.mask == "random" else None
                )
                condition = prior.encode(points[..., :2] if task == "lift" else points, seen)
            return {"nll": -prior.log_prob(rotations, condition).mean()}
