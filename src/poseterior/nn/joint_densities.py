"""Densities over the rotations of many joints, each given features of its own: the heads of `rotation_networks`.

All are with respect to normalised Haar measure, of unit quaternions xyzw, and are evaluated for all joints at once or
for one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..noise import Noise
from .dense import plainly
from .rotation_rows import drawn_rotations
from .so3 import RotationFlow, affine_parameters, haar_quaternions, quaternion_product

__all__ = ["AngularCentralGaussians", "JointDensity", "JointFlow"]


class JointDensity(nn.Module):
    """A density per joint. Subclasses implement `log_density` and `draw`."""

    def log_density(
        self, q: Float[Tensor, "*any joints 4"], features: Float[Tensor, "*any joints features"]
    ) -> Float[Tensor, "*any joints"]:
        """Of all joints at once."""
        raise NotImplementedError

    def draw(
        self, features: Float[Tensor, "*any features"], joint: int, noise: Noise, density: bool = True
    ) -> tuple[Float[Tensor, "*any 4"], Float[Tensor, "*any"]]:
        """Rotations of one joint, and their log-density (which may be NaN where ``density`` is not asked for)."""
        raise NotImplementedError


class JointFlow(RotationFlow, JointDensity):
    """`RotationFlow` with Haar measure as its base."""

    def log_density(
        self, q: Float[Tensor, "*any joints 4"], features: Float[Tensor, "*any joints features"]
    ) -> Float[Tensor, "*any joints"]:
        return self.to_base(q, self.parameters_of(features))[1]

    def draw(
        self, features: Float[Tensor, "*any features"], joint: int, noise: Noise, density: bool = True
    ) -> tuple[Float[Tensor, "*any 4"], Float[Tensor, "*any"]]:
        batch = features.shape[:-1]
        base = haar_quaternions(batch, noise, features)
        if plainly():
            return self.from_base(base, self.parameters_of(features, joint), joint)
        rows = features.reshape(-1, features.shape[-1])
        q, total = drawn_rotations(self, base.reshape(-1, 4), rows, joint, density)
        return q.reshape(base.shape), total.reshape(batch)


class _Mixture(NamedTuple):
    """Parameters of a mixture of angular central Gaussians of ``k`` components.

    Attributes:
        log_weights: ``(..., k)``.
        left, right: ``(..., k, 4)`` the two quaternions of each component's 4D rotation.
        stretch: ``(..., k, 4)`` logarithms, of sum 0.
    """

    log_weights: Tensor
    left: Tensor
    right: Tensor
    stretch: Tensor


class AngularCentralGaussians(JointDensity):
    """A mixture of angular central Gaussians per joint.

    Args:
        joints: number of joints.
        context: features per joint.
        components: of each mixture.
    """

    bound = 3.0

    def __init__(self, joints: int, context: int, components: int = 16) -> None:
        super().__init__()
        self.components = components
        self.project = nn.Parameter(0.3 * torch.randn(joints, context, 13 * components) / math.sqrt(context))
        self.offset = nn.Parameter(0.3 * torch.randn(joints, 13 * components))

    def _parameters_of(self, features: Tensor, joint: int | None = None) -> _Mixture:
        if joint is None:
            raw = torch.einsum("...jc,jcp->...jp", features, self.project) + self.offset
        else:
            raw = features @ self.project[joint] + self.offset[joint]
        raw = raw.unflatten(-1, (self.components, 13))
        empty = torch.zeros_like(raw[..., :8])
        a, b, _, _, stretch = affine_parameters(torch.cat([raw[..., 1:9], empty, raw[..., 9:]], -1), self.bound)
        return _Mixture(raw[..., 0].log_softmax(-1), a, b, stretch)

    @staticmethod
    def _log_density(q: Float[Tensor, "*any 4"], mixture: _Mixture) -> Float[Tensor, "*any"]:
        conjugate = q.new_tensor([-1.0, -1.0, -1.0, 1.0])
        inner = quaternion_product(mixture.left * conjugate, q.unsqueeze(-2))
        inner = quaternion_product(inner, mixture.right * conjugate)
        length = (inner * (-mixture.stretch).exp()).norm(dim=-1)
        return (mixture.log_weights - 4.0 * length.log()).logsumexp(-1)

    def log_density(
        self, q: Float[Tensor, "*any joints 4"], features: Float[Tensor, "*any joints features"]
    ) -> Float[Tensor, "*any joints"]:
        return self._log_density(q, self._parameters_of(features))

    def draw(
        self, features: Float[Tensor, "*any features"], joint: int, noise: Noise, density: bool = True
    ) -> tuple[Float[Tensor, "*any 4"], Float[Tensor, "*any"]]:
        mixture = self._parameters_of(features, joint)
        weights, stretch = mixture.log_weights.exp(), mixture.stretch
        chosen = noise.choose(weights).unsqueeze(-1)

        def pick(value: Tensor) -> Tensor:
            return value.gather(-2, chosen.expand(*chosen.shape[:-1], 4)).squeeze(-2)

        base = noise.normal((*stretch.shape[:-2], 4), 1, stretch)
        q = quaternion_product(quaternion_product(pick(mixture.left), base * pick(stretch).exp()), pick(mixture.right))
        q = q / q.norm(dim=-1, keepdim=True)
        return q, self._log_density(q, mixture)
