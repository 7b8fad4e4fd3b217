"""Conditional normalizing flow (after Wehrbein et al., ICCV 2021, arXiv 2107.13788).

A proper density: affine or rational-quadratic couplings over coordinates in which the 2D evidence is a fact (offsets
along and across each joint's viewing ray, standardised by a predicted mean and scale). Any camera, any joint missing,
detector covariance in. The published network, which has samples but no density, is
`poseterior.published.wehrbein_2021`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..distributions.flow import FlowPoseDistribution
from ..geometry.frames import without_root
from ..keypoints import Keypoints2D
from ..nn.coupling import COUPLINGS, ConditionalCouplings, EvidenceTransform, StandardisedCouplings
from ..nn.encoders import (
    ResidualMLP,
    body_size,
    evidence_width,
    lateral_evidence,
    lower_triangles,
    view_and_features,
)
from .base import Lifter, LifterConfig, Model, register
from .temperature import best_temperature

__all__ = ["FlowConfig", "FlowLifter"]


@dataclasses.dataclass(frozen=True)
class FlowConfig(LifterConfig):
    """Configuration of a conditional flow.

    Attributes:
        coupling: ``"affine"`` or ``"spline"``.
        layers: number of couplings, each of which changes one half of the coordinates.
        hidden: width of the couplings' two hidden layers.
        context: features of the evidence that the couplings see.
        rank: directions that tie the joints of the Gaussian that the couplings bend.
        width: features of the encoder's hidden layers.
        blocks: residual blocks of the encoder.
        dropout: probability of dropping a feature in the encoder.
        bins: of a spline.
        reach: largest standardised coordinate that the couplings' networks see (see `ConditionalCouplings`).
        minimum_scale: metres, smallest standard deviation of a joint given all others, before the couplings.
        temperature: standard deviation of the latents, fitted after training by `calibrate`.
    """

    coupling: str = "affine"
    layers: int = 16
    hidden: int = 192
    context: int = 192
    rank: int = 8
    width: int = 512
    blocks: int = 3
    dropout: float = 0.0
    bins: int = 8
    reach: float = 6.0
    minimum_scale: float = 0.002
    temperature: float = 1.0

    def __post_init__(self) -> None:
        self._check_choice(coupling=COUPLINGS)
        self._check_whole(layers=1, hidden=1, context=1, rank=0, width=1, blocks=1, bins=2)
        self._check_number(
            dropout=(0.0, 0.99), reach=(1.0, 1e9), minimum_scale=(1e-6, 1.0), temperature=(1e-3, 1e3)
        )  # fmt: skip


@register("flow")
class FlowLifter(Lifter):
    """2D keypoints to a normalizing flow over 3D poses.

    Args:
        config: `FlowConfig`; None for default sizes.
    """

    config: FlowConfig
    learnt_noise = True
    config_class = FlowConfig

    def __init__(self, config: FlowConfig | None = None) -> None:
        super().__init__(config or FlowConfig())
        c = self.config
        joints = len(self.skeleton)
        self.others = [j for j in range(joints) if j != self.skeleton.root]
        n = len(self.others)
        self.network = ResidualMLP(evidence_width(joints), c.width, c.blocks, c.dropout)
        self.sizes = {"size": 2, "offset": 3 * n, "tril": 6 * n, "tie": 3 * n * c.rank}
        self.head = nn.Linear(c.width, sum(self.sizes.values()))
        with torch.no_grad():
            self.head.weight.mul_(0.1)
        self.condition = nn.Linear(c.width, c.context)
        self.couplings = ConditionalCouplings(
            3 * n, c.context, c.layers, (c.hidden, c.hidden), c.coupling, c.bins, reach=c.reach
        )

    @classmethod
    def started_from(cls, model: Model, settings: Mapping[str, Any]) -> Model | None:
        """A flow, or the part of one with more couplings that is nearest to the poses: the first ``layers`` of them."""
        started = super().started_from(model, settings)
        layers = settings.get("layers")
        if not isinstance(started, FlowLifter) or not isinstance(layers, int) or layers >= started.config.layers:
            return started
        shallow = cls(dataclasses.replace(started.config, layers=layers))
        kept = {name: value for name, value in started.state_dict().items() if name in shallow.state_dict()}
        shallow.load_state_dict(kept | {"couplings.orders": started.couplings.orders[:layers]})
        shallow.card = started.card
        return shallow

    def encode(self, keypoints: Keypoints2D) -> tuple[EvidenceTransform, Tensor, Tensor]:
        """What the evidence says, computed once per pose.

        Returns:
            The standardising map, the couplings' context ``(*batch, context)``, and the rotation ``(*batch, 3, 3)``
            from camera axes to the canonical frame.
        """
        view, features = view_and_features(keypoints)
        dtype = self.head.weight.dtype  # float64 where someone checks densities
        hidden = self.network(features.to(dtype))
        context = nn.functional.silu(self.condition(hidden)).to(dtype)
        parts = self.head(hidden).to(dtype).split(list(self.sizes.values()), -1)
        raw = dict(zip(self.sizes, parts, strict=True))
        joints = len(self.others)
        evidence = lateral_evidence(view, self.skeleton.root)
        loc = body_size(raw["size"][..., :1]).unsqueeze(-1) * (evidence + raw["offset"].unflatten(-1, (joints, 3)))
        # Where nothing is known of the camera the picture is taken as distant: rays are parallel.
        root = self.skeleton.root
        tangent = without_root(view.points, root) * view.scale[..., None, None]
        near = (view.knowledge > 0)[..., None, None] & without_root(view.visible, root, -1).unsqueeze(-1)
        slope = torch.where(near, tangent, 0.0)
        scale_tril = lower_triangles(raw["tril"].unflatten(-1, (joints, 6)), self.config.minimum_scale)
        tie = raw["tie"].unflatten(-1, (3 * joints, self.config.rank))
        factor = torch.cat([tie, _size_direction(evidence, raw["size"], scale_tril)], -1)
        turn = view.rotation
        if dtype is not turn.dtype:
            # Keypoints are float32: one Newton-Schulz step makes the turn a rotation to the precision of the densities.
            turn = turn.to(dtype)
            turn = 1.5 * turn - 0.5 * turn @ turn.transpose(-1, -2) @ turn
        with torch.autocast(keypoints.device.type, enabled=False):
            return EvidenceTransform(loc, slope, scale_tril, factor), context, turn

    def distribution(self, keypoints: Keypoints2D) -> FlowPoseDistribution:
        standardise, context, turn = self.encode(keypoints)
        with torch.autocast(keypoints.device.type, enabled=False):
            transform = StandardisedCouplings(standardise, self.couplings(context))
        return FlowPoseDistribution(
            transform, keypoints.batch_shape, self.config.temperature, turn, self.skeleton, like=standardise.loc
        )

    @torch.no_grad()
    def calibrate(self, observations: Any) -> None:
        """Fit the temperature: that of least negative log-likelihood on held-out observations with every joint."""
        complete = observations.observed.all(-1)
        if not bool(complete.any()):
            return
        self.config = base = dataclasses.replace(self.config, temperature=1.0)
        posterior = self.distribution(observations.keypoints[complete])
        pose = observations.pose[complete]

        def loss(temperature: float) -> float:
            posterior.latent_scale = temperature
            return -float(posterior.log_prob(pose).mean())

        self.config = dataclasses.replace(base, temperature=best_temperature(loss))


def _size_direction(evidence: Tensor, raw_size: Tensor, scale_tril: Tensor) -> Tensor:
    """The direction in which all joints move when the person is larger and farther: ``(*batch, 3 joints, 1)``."""
    diagonal = scale_tril.diagonal(dim1=-2, dim2=-1)
    direction = (evidence / diagonal).flatten(-2)
    direction = direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    return (direction * nn.functional.softplus(raw_size[..., 1:] + 1.0).sqrt()).unsqueeze(-1)
