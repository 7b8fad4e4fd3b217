"""A variational autoencoder of body poses, of VPoser's form (Pavlakos et al., CVPR 2019, arXiv 1904.05866).

A baseline for pose priors (recipe ``so3-vae``): latent codes are normal, a decoder turns them into the rotations of 19
joints. It is no lifter, for it sees no keypoints, and no density: it has samples only.
"""

from __future__ import annotations

import dataclasses

import roma
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal, constraints, kl_divergence

from ..data.observations import Observations
from ..data.simulation.bodies import BodyObservations
from ..data.simulation.simulator import SimulatorConfig
from ..distributions.rotations import check_rotations
from ..distributions.seeded import SeededDistribution
from ..files.errors import InputError
from ..files.settings import number
from ..geometry.skeletons import SKELETONS
from ..lifters.base import LifterConfig, Model, Prior, register
from ..nn.rotation_networks import BODY_JOINTS
from ..noise import Noise
from ..objectives.base import Objective, register_objective
from ..objectives.rotations import BODIES, UNSEEN_ROTATIONS

__all__ = [
    "VaeConfig",
    "VaeObjective",
    "VaePoseDistribution",
    "VaePrior",
]

_SMPL = SKELETONS["smpl22"]


@dataclasses.dataclass(frozen=True)
class VaeConfig(LifterConfig):
    """Configuration of a variational autoencoder of poses; the defaults are VPoser's.

    Attributes:
        latent: numbers in a latent code.
        width: features of the two hidden layers of the encoder and of the decoder.
    """

    latent: int = 32
    width: int = 512

    def __post_init__(self) -> None:
        self._check_whole(latent=1, width=1)


@register("vae")
class VaePrior(Prior):
    """Latent codes to joint rotations and back.

    Args:
        config: `VaeConfig`; None for the defaults.
    """

    config: VaeConfig
    config_class = VaeConfig

    def __init__(self, config: VaeConfig | None = None) -> None:
        super().__init__(config or VaeConfig())
        latent, width = self.config.latent, self.config.width
        self.encoder = nn.Sequential(
            nn.BatchNorm1d(9 * len(BODY_JOINTS)), nn.Linear(9 * len(BODY_JOINTS), width), nn.LeakyReLU(),
            nn.BatchNorm1d(width), nn.Linear(width, width), nn.LeakyReLU(),
            nn.Linear(width, 2 * latent),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent, width), nn.LeakyReLU(),
            nn.Linear(width, width), nn.LeakyReLU(),
            nn.Linear(width, 6 * len(BODY_JOINTS)),
        )  # fmt: skip

    def prior(self, batch: torch.Size | tuple[int, ...] = ()) -> VaePoseDistribution:
        """Rotations of people of whom nothing is seen."""
        return VaePoseDistribution(self, torch.Size(batch))

    def encode(self, rotations: Float[Tensor, "*batch 22 3 3"]) -> Normal:
        """The encoder's normal distribution over the latent code of a pose, batch shape ``(*batch, latent)``.

        Args:
            rotations: of smpl22's joints, relative to the parent; those of the pelvis and the toes do not matter.

        Raises:
            InputError: wrong shape, or a matrix that is no rotation; names the joint.
        """
        check_rotations(rotations)
        entries = rotations[..., list(BODY_JOINTS), :, :].flatten(-3)
        code = self.encoder(entries.reshape(-1, entries.shape[-1]))  # batch norm takes one batch dimension
        mean, log_variance = code.reshape(*entries.shape[:-1], 2 * self.config.latent).chunk(2, -1)
        return Normal(mean, (0.5 * log_variance).exp(), validate_args=False)

    def decode(self, latent: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch 22 3 3"]:
        """The rotations of a latent code; the pelvis and the toes stay at the identity.

        Two columns of each matrix come from the network, Gram-Schmidt makes a rotation of them (Zhou et al. 2019).

        Raises:
            InputError: the last dimension is not the latent code's.
        """
        if latent.ndim < 1 or latent.shape[-1] != self.config.latent:
            raise InputError(f"latent: expected (..., {self.config.latent}), got {tuple(latent.shape)}")
        columns = self.decoder(latent).unflatten(-1, (len(BODY_JOINTS), 3, 2))
        # A second pass, because one leaves float32 matrices askew where the two columns are nearly parallel.
        turned = roma.special_gramschmidt(roma.special_gramschmidt(columns))
        eye = torch.eye(3, dtype=turned.dtype, device=turned.device)
        rotations = eye.expand(*turned.shape[:-3], len(_SMPL), 3, 3).clone()
        rotations[..., list(BODY_JOINTS), :, :] = turned
        return rotations


class VaePoseDistribution(SeededDistribution):
    """What a `VaePrior` draws: rotations of smpl22's joints, event ``(22, 3, 3)``. It has no density.

    Attributes:
        skeleton: smpl22.
        modelled: names of the joints that turn; the pelvis and the toes are at the identity in every sample.

    Args:
        lifter: the autoencoder.
        batch_shape: of the distribution; its elements are alike.
    """

    support = constraints.independent(constraints.real, 3)
    axes = "relative to the parent; pelvis: identity"

    def __init__(self, lifter: VaePrior, batch_shape: torch.Size | tuple[int, ...] = ()) -> None:
        super().__init__(batch_shape, (len(_SMPL), 3, 3), _SMPL, like=next(lifter.parameters()))
        self.lifter = lifter

    @property
    def modelled(self) -> tuple[str, ...]:
        return tuple(_SMPL.joints[j] for j in BODY_JOINTS)

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self.lifter.decode(self._normal(noise, *shape, *self.batch_shape, self.lifter.config.latent))

    def log_prob(self, value: Tensor) -> Tensor:
        """Raises `NotImplementedError`: there is none that could be computed."""
        raise NotImplementedError(
            "method 'vae' has samples but no density over rotations (its evidence lower bound is not one); "
            "score poses with method 'rotations'"
        )


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
        self.kl = float(number(kl, "objective 'vae': kl", 0))

    def unseen(self, lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
        """It sees rotations of joints, and nothing else."""
        return (*UNSEEN_ROTATIONS, *BODIES)

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        vae = self.expect(lifter, VaePrior)
        if not isinstance(observations, BodyObservations):
            raise InputError("objective 'vae' needs rotations: pass data=STORE")
        with torch.autocast(observations.rotations.device.type, enabled=False):
            code = vae.encode(observations.rotations)
            joints = list(BODY_JOINTS)
            rebuilt = vae.decode(code.rsample())[:, joints]
            # Clamped short of half a turn, where the angle's gradient is infinite.
            angle = roma.rotmat_geodesic_distance(rebuilt, observations.rotations[:, joints], clamping=0.999)
            divergence = kl_divergence(code, Normal(torch.zeros_like(code.loc), 1.0)).sum(-1)
        return {"reconstruction": angle.mean(), "kl": self.kl * divergence.mean()}
