"""Lifting learnt from relative depth (Ronchi et al., BMVC 2018, arXiv 1805.06880): recipe ``relative-published``.

The residual network of Martinez et al. (ICCV 2017, arXiv 1705.03098) with two heads: a pose, and a positive number
that says how large the person appears. Pixels relative to the root, standardised by constants of the training set;
poses of free size, or (``output: standardised``) in units of the training poses' spread. It learns by the objective
``depth_order``; its supervised twin (recipe ``supervised-published``) by ``regression``. Ours is
`poseterior.lifters.regression`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..keypoints import Keypoints2D
from ..keypoints.view import image_offsets
from ..lifters.base import register
from ..lifters.regression import RegressionConfig, SinglePoseLifter
from ..nn.standardise import mean_and_deviation, pose_mean_and_deviation

__all__ = [
    "PublishedRegressionConfig",
    "PublishedRegressionLifter",
    "PublishedRegressionNetwork",
]

#: The network's free outputs are millimetres; its learnt factors start at 100 and hardly move.
_MILLIMETRE, _FACTOR = 1e-3, 100.0
#: Largest value of the scale head: pixels per metre (0 to 1 per millimetre), or 1 / metres to the person
#: (0 to 0.001 per millimetre, so that nobody is nearer than a metre).
_LARGEST_SCALE = {"orthographic": 1000.0, "perspective": 1.0}


class PublishedRegressionNetwork(nn.Module):
    """Linear, batch norm, ReLU, dropout; residual blocks of two such layers; linear heads.

    ``(n, inputs)`` to ``(n, outputs)`` and, with ``scale_head``, to one number in (0, 1) each. 2,194,535 parameters
    with 34 inputs, 51 outputs, one block, the learnt factors and the scale head.

    Args:
        inputs, outputs: number of features in and out.
        width, blocks, dropout: see `PublishedRegressionConfig`.
        factor: start of the learnt factors of the outputs; None for no factors.
        scale_head: whether there is one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 1024,
        blocks: int = 1,
        dropout: float = 0.5,
        factor: float | None = None,
        scale_head: bool = False,
    ) -> None:
        super().__init__()

        def layer(size: int) -> nn.Sequential:
            return nn.Sequential(nn.Linear(size, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout))

        self.enter = layer(inputs)
        self.blocks = nn.ModuleList(nn.Sequential(layer(width), layer(width)) for _ in range(blocks))
        self.pose = nn.Linear(width, outputs)
        self.factor = None if factor is None else nn.Parameter(torch.full((outputs,), factor))
        self.scale = nn.Linear(width, 1) if scale_head else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, features: Float[Tensor, "n inputs"]) -> tuple[Tensor, Tensor | None]:
        hidden = self.enter(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        pose = self.pose(hidden)
        if self.factor is not None:
            pose = pose * self.factor
        return pose, None if self.scale is None else self.scale(hidden).sigmoid().squeeze(-1)


@dataclasses.dataclass(frozen=True)
class PublishedRegressionConfig(RegressionConfig):
    """Configuration of the published regression; the defaults are the weakly supervised network's.

    Attributes:
        width: features of the hidden layers.
        blocks: residual blocks (Ronchi et al.: 1, Martinez et al.: 2).
        dropout: probability of dropping a feature.
        output: ``"free"`` multiplies the output by learnt factors that start at 100 mm, ``"standardised"`` by the
            training poses' standard deviation, and adds their mean.
        scale: what the scale head means, ``"orthographic"`` (pixels per metre), ``"perspective"`` (1 / metres to the
            person) or ``"none"``.
        spread: ``"none"`` for a point mass, ``"gaussian"`` or ``"laplace"`` for errors fitted by `calibrate`.
    """

    width: int = 1024
    blocks: int = 1
    dropout: float = 0.5
    output: str = "free"
    scale: str = "orthographic"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_choice(output=("free", "standardised"), scale=("none", *_LARGEST_SCALE))

    @classmethod
    def supervised(cls) -> PublishedRegressionConfig:
        """The supervised twin: standardised output, no scale head."""
        return cls(output="standardised", scale="none")


@register("regression-published")
class PublishedRegressionLifter(SinglePoseLifter):
    """2D keypoints (pixels from the root) to one 3D pose and the scale of its picture.

    Args:
        config: `PublishedRegressionConfig`; None for the published constants.
    """

    unread = ("covariance", "height", "camera")
    places_root = True
    config: PublishedRegressionConfig
    config_class = PublishedRegressionConfig
    input_mean: Tensor
    input_std: Tensor
    output_mean: Tensor
    output_std: Tensor

    def __init__(self, config: PublishedRegressionConfig | None = None) -> None:
        super().__init__(config or PublishedRegressionConfig())
        c = self.config
        joints = len(self.skeleton)
        self.network = PublishedRegressionNetwork(
            2 * joints,
            3 * joints,
            c.width,
            c.blocks,
            c.dropout,
            factor=_FACTOR if c.output == "free" else None,
            scale_head=c.scale != "none",
        )
        for name, size in (("input", 2 * joints), ("output", 3 * joints)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    def fit_constants(self, observations: Any) -> None:
        """Mean and standard deviation of the training coordinates that are seen or known, kept with the weights.

        Raises:
            InputError: standardised outputs, and a joint whose 3D place no pose shows.
        """
        keypoints = observations.keypoints
        visible = keypoints.visible.repeat_interleave(2, -1)
        mean, spread = mean_and_deviation(image_offsets(keypoints).flatten(-2), visible)
        self.input_mean.copy_(mean)
        # The root is always at 0: a spread of 1 keeps it there.
        self.input_std.copy_(torch.where(spread > 1e-6, spread, 1.0))
        if self.config.output == "standardised":
            every = range(len(self.skeleton))
            mean, spread = pose_mean_and_deviation(observations.pose, observations.observed, self.skeleton, every)
            self.output_mean.copy_(mean)
            self.output_std.copy_(torch.where(spread > 1e-6, spread, 1.0))

    def pose(self, keypoints: Keypoints2D) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch"] | None]:
        batch, joints = keypoints.batch_shape, len(self.skeleton)
        scored = (image_offsets(keypoints).flatten(-2) - self.input_mean) / self.input_std
        scored = torch.where(keypoints.visible.repeat_interleave(2, -1), scored, 0.0)
        raw, scale = self.network(scored.reshape(batch.numel(), 2 * joints))
        raw = raw.float()
        standardised = self.config.output == "standardised"
        raw = self.output_mean + self.output_std * raw if standardised else _MILLIMETRE * raw
        if scale is not None:
            scale = (_LARGEST_SCALE[self.config.scale] * scale.float()).reshape(batch)
        return raw.reshape(*batch, joints, 3), scale
