"""Learning a variational autoencoder of poses (Kingma & Welling 2014), with VPoser's terms (Pavlakos et al. 2019)."""

from __future__ import annotations

import math

import roma
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from ..data.bodies import BodyObservations
from ..data.simulator import Observations
from ..errors import InputError
from ..lifters import Lifter
from ..lifters.vae import VaeLifter
from ..nn.rotation_networks import BODY_JOINTS
from .base import Objective, register_objective

__all__ = ["VaeObjective"]


@register_objective("vae")
class VaeObjective(Objective):
    """Mean angle (radians) between joints and their reconstruction, and the codes' divergence from the prior.

    Args:
        kl: weight of the Kullback-Leibler divergence (nats, summed over the latent code). 0.005 is VPoser's, beside
            a reconstruction loss of another scale: smaller values rebuild poses closer.
    """

    needs_rotations = True

    def __init__(self, kl: float = 0.005) -> None:
        super().__init__()
        if not isinstance(kl, int | float) or isinstance(kl, bool) or not 0 <= kl < math.inf:
            raise InputError(f"objective 'vae': kl: expected a finite number from 0, got {kl!r}")
        self.kl = float(kl)

    def forward(self, lifter: Lifter, observations: Observations) -> dict[str, Tensor]:
        if not isinstance(lifter, VaeLifter):
            raise InputError(f"objective 'vae' trains method 'vae', not {lifter.name!r}")
        if not isinstance(observations, BodyObservations):
            raise InputError("objective 'vae' needs rotations: pass data=STORE")
        with torch.autocast(observations.rotations.device.type, enabled=False):
            code = lifter.encode(observations.rotations)
            joints = list(BODY_JOINTS)
            rebuilt = lifter.decode(code.rsample())[:, joints]
            # Clamped short of half a turn, where the angle's gradient is infinite.
            angle = roma.rotmat_geodesic_distance(rebuilt, observations.rotations[:, joints], clamping=0.999)
            divergence = kl_divergence(code, Normal(torch.zeros_like(code.loc), 1.0)).sum(-1)
        return {"reconstruction": angle.mean(), "kl": self.kl * divergence.mean()}
