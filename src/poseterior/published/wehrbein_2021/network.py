"""The published conditional flow (Wehrbein, Rudolph, Rosenhahn, Wandt, ICCV 2021, arXiv 2107.13788).

An invertible map between a 3D pose (48 numbers) and a latent (16) beside 2D keypoints (32), given what the
detector's heatmaps say of each joint. Poses are drawn by running it backwards from random latents. It is trained
by losses on samples (`poseterior.published.wehrbein_2021.objective`), so there is no density to ask for.

The 48 numbers are x of 16 joints, then y, then z: metres from the joints' centroid, y up, z towards the viewer.
The 32 are x of 16 joints, then y: in standard deviations of the pose's own coordinates, y up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...data.sets.h36m_layout import DETECTED_JOINTS
from ...distributions.sampled import SampledPoseDistribution
from ...files.errors import InputError
from ...geometry.linalg import ellipse_axes
from ...geometry.skeletons import SKELETONS, Skeleton, get_skeleton
from ...keypoints import Keypoints2D
from ...noise import Noise
from .condition import CONDITION_JOINTS, CONDITION_SIDE, centre_pose, published_condition, standardise_keypoints

__all__ = [
    "POSE_JOINTS",
    "PublishedFlow",
    "PublishedFlowPoses",
    "keypoint_condition",
    "keypoints_to_vector",
    "pose_to_vector",
    "soft_clamp",
    "vector_to_pose",
]

_BODY = SKELETONS["h36m17"]
#: The 16 joints of the network's 3D poses: all but the root.
POSE_JOINTS = tuple(joint for joint in _BODY.joints if joint != "pelvis")

_POSE = [_BODY.index(joint) for joint in POSE_JOINTS]
_KEYPOINT = [_BODY.index(joint) for joint in DETECTED_JOINTS]
_HIPS = [POSE_JOINTS.index("right_hip"), POSE_JOINTS.index("left_hip")]
_LATENT, _XY = 16, 2 * len(DETECTED_JOINTS)
_SIZE, _HALF = 48, 24
_CONTEXT, _HIDDEN, _CONDITION_HIDDEN = 56, 1028, 256
_BLOCKS = 8
_CLAMP = 2.0
#: A heatmap pixel is 5 mm at the person, whose coordinates have a standard deviation of about 0.32 m.
_PIXELS_PER_DEVIATION = 64.0
_WIDEST = 10.0
#: Below this (px) the joints seen coincide: the pose has no shape to standardise.
_NO_SHAPE = 1e-3


# -- the network's numbers ------------------------------------------------------------------------------------


def pose_to_vector(pose: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 48"]:
    """The network's 48 numbers of an h36m17 pose (metres, camera axes)."""
    return centre_pose(pose[..., _POSE, :]).transpose(-1, -2).flatten(-2)


def vector_to_pose(vector: Float[Tensor, "*batch 48"]) -> Float[Tensor, "*batch 17 3"]:
    """The h36m17 pose (metres, camera axes) of the network's 48 numbers; the root is the middle of the hips."""
    joints = vector.unflatten(-1, (3, len(POSE_JOINTS))).transpose(-1, -2)
    joints = joints * joints.new_tensor([1.0, -1.0, -1.0])
    root = joints[..., _HIPS, :].mean(-2, keepdim=True)
    return torch.cat([torch.zeros_like(root), joints - root], -2)


def _centred(keypoints: Keypoints2D) -> tuple[Tensor, Tensor, Tensor]:
    """The 16 joints in px from the centroid of those seen (hidden: 0), which are seen, and the deviation of those."""
    visible = keypoints.visible[..., _KEYPOINT]
    # As published in float64: the network makes metres of the seventh digit.
    xy = keypoints.xy[..., _KEYPOINT, :].double()
    weight = visible.unsqueeze(-1).to(xy.dtype)
    count = weight.sum(-2, keepdim=True).clamp(min=1.0)
    centred = (xy - (xy * weight).sum(-2, keepdim=True) / count) * weight
    deviation = (centred.square().sum((-2, -1)) / (2.0 * count[..., 0, 0])).sqrt()
    return centred, visible, deviation


def _standardised(centred: Tensor, deviation: Tensor) -> Tensor:
    """`standardise_keypoints`, and 0 where the pose has no shape."""
    return torch.where(deviation[..., None, None] > _NO_SHAPE, standardise_keypoints(centred), 0.0)


def keypoints_to_vector(keypoints: Keypoints2D) -> Float[Tensor, "*batch 32"]:
    """The network's 32 numbers of h36m17 keypoints; a hidden joint is put at the centroid of those seen."""
    centred, _, deviation = _centred(keypoints)
    return _standardised(centred, deviation).transpose(-1, -2).flatten(-2).to(keypoints.xy.dtype)


def keypoint_condition(keypoints: Keypoints2D) -> Float[Tensor, "*batch 13 6"]:
    """What the published heatmaps say of h36m17 keypoints: their fits where all are kept, else what they would say."""
    assumed = _assumed_condition(keypoints)
    if keypoints.fits is None:
        return assumed
    fits = keypoints.fits[..., _KEYPOINT, :].double()
    mean = fits[..., 1:3].clamp(0.0, CONDITION_SIDE - 1.0)
    known = fits.isfinite().all(-1).all(-1) & (mean != mean[..., :1, :]).any(-1).any(-1)
    # Any fits will do where the poses' own are not taken.
    stand_in = torch.arange(float(len(_KEYPOINT)), dtype=fits.dtype, device=fits.device)[:, None].expand(-1, 6)
    fits = torch.where(known[..., None, None], fits, stand_in)
    said = published_condition(fits[..., 0], fits[..., 1:3], fits[..., 3], fits[..., 4], fits[..., 5])
    return torch.where(known[..., None, None], said.to(assumed.dtype), assumed)


def _assumed_condition(keypoints: Keypoints2D) -> Float[Tensor, "*batch 13 6"]:
    """What the published heatmaps would say of h36m17 keypoints.

    Six numbers for each of `poseterior.published.wehrbein_2021.condition.CONDITION_JOINTS`: amplitude (1 if unknown, 0
    if hidden), mean in
    standardised coordinates, and variance x, covariance, variance y in (20 heatmap pixels)², y up. A heatmap pixel
    is 5 mm at a person whose coordinates have a standard deviation of 0.32 m. A hidden joint is at the centroid of
    those seen, as uncertain as the published range allows: nothing says that it may be anywhere.
    """
    centred, visible, deviation = _centred(keypoints)
    long, angle, short = ellipse_axes(keypoints.covariance[..., _KEYPOINT, :, :].double())
    shapeless = (deviation <= _NO_SHAPE).unsqueeze(-1)
    scale = _PIXELS_PER_DEVIATION / torch.where(shapeless, 1.0, deviation.unsqueeze(-1))
    along = torch.where(visible, long * scale, _WIDEST)
    across = torch.where(visible, short * scale, _WIDEST)
    # Means are standardised again there: any scale will do that keeps them (at most sqrt(32)) inside the heatmap.
    mean = 31.5 + 5.5 * _standardised(centred, deviation) * centred.new_tensor([1.0, -1.0])
    # One place for all joints has no standardised coordinates: any others stand in, and are then set to 0.
    anywhere = torch.arange(len(_KEYPOINT), dtype=mean.dtype, device=mean.device).unsqueeze(-1)
    mean = torch.where(shapeless.unsqueeze(-1), anywhere, mean)
    amplitude = torch.where(visible, keypoints.amplitude[..., _KEYPOINT].nan_to_num(1.0).double(), 0.0)
    made = published_condition(amplitude, mean, along, -angle, across)  # y up
    place = torch.where(shapeless.unsqueeze(-1), 0.0, made[..., 1:3])
    return torch.cat([made[..., :1], place, made[..., 3:]], -1).to(keypoints.xy.dtype)


# -- the network ----------------------------------------------------------------------------------------------


def soft_clamp(scale: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch n"]:
    """``1.272 atan(scale / 2)``: the log-scale of a coupling, within ±2."""
    return _CLAMP * 0.636 * torch.atan(scale / _CLAMP)


class _Subnet(nn.Module):
    """One half (24) and the context (56) to the log-scale and shift (24 each) of the other half."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(_HALF + _CONTEXT, _HIDDEN)
        self.leave = nn.Linear(_HIDDEN, 2 * _HALF)

    def forward(self, half: Float[Tensor, "*any 24"], context: Float[Tensor, "*batch 56"]) -> tuple[Tensor, Tensor]:
        # The context's share of the layer is the same for all samples of a pose: it is computed once and added.
        given = nn.functional.linear(context, self.enter.weight[:, _HALF:], self.enter.bias)
        hidden = nn.functional.linear(half, self.enter.weight[:, :_HALF]).add_(given).relu_()
        scale, shift = self.leave(hidden).chunk(2, -1)
        return soft_clamp(scale), shift


class _Block(nn.Module):
    """Two affine couplings, each half changed given the other, then a fixed permutation of the 48 channels."""

    permutation: Tensor

    def __init__(self, number: int) -> None:
        super().__init__()
        self.first = _Subnet()  # changes the second half, given the first
        self.second = _Subnet()  # changes the first half, given the second
        # numpy keeps the stream of its legacy generator fixed, so that these are the published permutations.
        permutation = np.random.RandomState(number).permutation(_SIZE)
        self.register_buffer("permutation", torch.from_numpy(permutation))

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.chunk(2, -1)
        scale_a, shift = self.second(b, context)
        a = scale_a.exp() * a + shift
        scale_b, shift = self.first(a, context)
        b = scale_b.exp() * b + shift
        return torch.cat([a, b], -1)[..., self.permutation], (scale_a + scale_b).sum(-1)

    def inverse(self, y: Tensor, context: Tensor) -> Tensor:
        a, b = y[..., self.permutation.argsort()].chunk(2, -1)
        scale, shift = self.first(a, context)
        b = (b - shift) * (-scale).exp()
        scale, shift = self.second(b, context)
        a = (a - shift) * (-scale).exp()
        return torch.cat([a, b], -1)


class PublishedFlow(nn.Module):
    """Eight two-sided affine couplings given a context of 56 numbers: 2,157,176 parameters.

    Samples go in front of the batch in ``x``, ``latent`` and ``xy``; the context has none and is broadcast.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_Block(number) for number in range(_BLOCKS))
        for parameter in self.blocks.parameters():
            nn.init.normal_(parameter, std=0.05)
        self.condition_net = nn.Sequential(
            nn.Linear(6 * len(CONDITION_JOINTS), _CONDITION_HIDDEN),
            nn.ReLU(),
            nn.Linear(_CONDITION_HIDDEN, _CONTEXT),
        )

    def encode(self, condition: Float[Tensor, "*batch 13 6"]) -> Float[Tensor, "*batch 56"]:
        """The context of a condition (see `keypoint_condition`)."""
        return self.condition_net(condition.flatten(-2))

    def forward_map(
        self, x: Float[Tensor, "*samples_batch 48"], context: Float[Tensor, "*batch 56"]
    ) -> tuple[Float[Tensor, "*samples_batch 16"], Float[Tensor, "*samples_batch 32"], Float[Tensor, "*samples_batch"]]:
        """Latent, 2D keypoints and log |determinant of the Jacobian| of a pose's 48 numbers."""
        log_det = x.new_zeros(x.shape[:-1])
        for block in self.blocks:
            x, change = block(x, context)
            log_det = log_det + change
        return x[..., :_LATENT], x[..., _LATENT:], log_det

    def inverse_map(
        self,
        latent: Float[Tensor, "*samples_batch 16"],
        xy: Float[Tensor, "*batch 32"],
        context: Float[Tensor, "*batch 56"],
    ) -> Float[Tensor, "*samples_batch 48"]:
        """The pose's 48 numbers: inverse of `forward_map`."""
        x = torch.cat([latent, xy.expand(*latent.shape[:-1], _XY)], -1)
        for block in reversed(self.blocks):
            x = block.inverse(x, context)  # type: ignore[operator]
        return x

    def distribution(self, keypoints: Keypoints2D, skeleton: str | Skeleton = "h36m17") -> PublishedFlowPoses:
        """The distribution for h36m17 keypoints.

        Raises:
            InputError: another skeleton.
        """
        for given in (keypoints.skeleton, get_skeleton(skeleton)):
            if given != _BODY:
                raise InputError(f"lifter.skeleton: the published flow knows h36m17 only, got {given.name!r}")
        # Mixed precision is for training the network alone: geometry needs full precision.
        with torch.autocast(keypoints.device.type, enabled=False):
            xy = keypoints_to_vector(keypoints)
            condition = keypoint_condition(keypoints)
        return PublishedFlowPoses(self, xy, self.encode(condition).to(xy.dtype))


class PublishedFlowPoses(SampledPoseDistribution):
    """Poses that the published flow draws for some keypoints. No density, and no mode: a zero latent is none.

    Args:
        network: the flow.
        xy: ``(*batch, 32)``, see `keypoints_to_vector`.
        context: ``(*batch, 56)``, see `PublishedFlow.encode`.

    The mean and the covariance are those of fixed draws, without gradients.
    """

    has_rsample = True
    batched = ("xy", "context")

    def __init__(
        self, network: PublishedFlow, xy: Float[Tensor, "*batch 32"], context: Float[Tensor, "*batch 56"]
    ) -> None:
        super().__init__(xy.shape[:-1], _BODY, like=xy)
        self.network, self.xy, self.context = network, xy, context

    def _vectors(self, latent: Tensor) -> Tensor:
        with torch.autocast(latent.device.type, enabled=False):
            return self.network.inverse_map(latent, self.xy, self.context)

    def rsample_vectors(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None, seed: int | None = None
    ) -> Float[Tensor, "*samples_batch 48"]:
        """`rsample` in the network's 48 numbers."""
        return self._draw_vectors(*self._checked(sample_shape, generator, seed))

    def _draw_vectors(self, shape: torch.Size, noise: Noise) -> Tensor:
        return self._vectors(self._normal(noise, *shape, *self.batch_shape, _LATENT))

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        return vector_to_pose(self._draw_vectors(shape, noise))

    @property
    @torch.no_grad()
    def z0(self) -> Float[Tensor, "*batch joints 3"]:
        """The pose of the zero latent, which the publication reports as its single guess. It is not a mode."""
        return vector_to_pose(self._vectors(self.xy.new_zeros(*self.batch_shape, _LATENT)))
