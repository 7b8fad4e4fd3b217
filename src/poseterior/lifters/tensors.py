"""A lifter as a module of tensors: numbers in, numbers out, and the noise of the samples one of the inputs.

What `torch.export` and ONNX cannot say stays outside: `Keypoints2D`'s checks, seeds, decompositions of matrices. What
is computed is what the lifter computes, by its own network and its own distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..distributions.balls import FLOOR, SAMPLES, SPREAD_LEVEL, check_level
from ..distributions.base import PoseDistribution
from ..distributions.bodies import size_weights
from ..distributions.exported_evidence import MomentMap, moment_map
from ..distributions.flow import FlowPoseDistribution, cubature_points
from ..distributions.independent import IndependentPoseDistribution
from ..distributions.mixture import MixturePoseDistribution
from ..distributions.told_height import DRAWS, height_step
from ..files.errors import InputError
from ..geometry.frames import RootedFrame
from ..geometry.kinematics import ANKLE_HEIGHT
from ..geometry.skeletons import get_skeleton
from ..geometry.spd import block_diagonal, transposed
from ..keypoints import Keypoints2D
from ..noise import Noise, PoseNoise
from .outliers import keypoints_that_count
from .reach import within_reach_of_all

__all__ = ["GivenNoise", "Lifted", "TensorLifter"]

_EXPORTED = (MixturePoseDistribution, IndependentPoseDistribution, FlowPoseDistribution)


class Lifted(NamedTuple):
    """What a `TensorLifter` returns; metres, camera axes, relative to the root.

    Attributes:
        mean: ``(n, joints, 3)`` of the distribution.
        joint_covariance: ``(n, joints, 3, 3)`` m² of each joint.
        samples: ``(samples, n, joints, 3)``.
        centre: ``(n, joints, 3)`` of the regions.
        radius: ``(n, joints)`` of the balls that hold each joint with the probability asked for.
    """

    mean: Tensor
    joint_covariance: Tensor
    samples: Tensor
    centre: Tensor
    radius: Tensor


class GivenNoise(Noise):
    """Random numbers that are made of given standard normal ones, column by column.

    Args:
        normals: ``(samples, n, columns)`` standard normal.

    Attributes:
        used: columns that have been taken.
    """

    def __init__(self, normals: Float[Tensor, "samples n columns"]) -> None:
        self.normals, self.used = normals, 0

    def _take(self, count: int) -> Tensor:
        self.used += count
        return self.normals[..., self.used - count : self.used]

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return self._take(math.prod(size[2:])).to(like).reshape(tuple(size))

    def choose_samples(self, weights: Float[Tensor, "n k"]) -> Int[Tensor, "samples n"]:
        """Indices with probability in proportion to weights that sum to 1, one for each sample."""
        below = 0.5 * (1.0 + torch.erf(self._take(1) / math.sqrt(2.0)))  # the share of normal numbers below
        return (below >= weights.cumsum(-1)[..., :-1]).long().sum(-1)


def keypoints_of(
    lifter: Any,
    xy: Tensor,
    covariance: Tensor,
    visible: Tensor,
    intrinsics: Tensor,
    image_size: Tensor,
    height: Tensor,
) -> Keypoints2D:
    """Keypoints of tensors, unchecked, without keys: their random numbers are given."""
    made = object.__new__(Keypoints2D)
    made.skeleton = lifter.skeleton
    made.xy, made.covariance, made.visible = xy, covariance, visible
    made.intrinsics, made.image_size, made.height = intrinsics, image_size, height
    made.amplitude = torch.zeros_like(xy[..., 0])
    made.synthesised = torch.zeros_like(visible)
    made._overwrite_hidden()
    return made


# -- draws and moments of the distributions ------------------------------------------------------------------------


def _draw(posterior: PoseDistribution, noise: GivenNoise) -> Float[Tensor, "samples n joints 3"]:
    """Samples of given noise, without evidence."""
    if isinstance(posterior, MixturePoseDistribution):
        return _draw_mixture(posterior, noise)
    samples = noise.normals.shape[0]
    dims = 3 * len(posterior.skeleton.nonroot)
    if isinstance(posterior, FlowPoseDistribution):
        return posterior.from_latent(noise.normal((samples, noise.normals.shape[1], dims), 1, posterior._like))
    assert isinstance(posterior, IndependentPoseDistribution)
    scale = posterior.scale
    if posterior.family == "gaussian":
        error = noise.normal((samples, *scale.shape), 2, scale)
    else:  # the determinant of four normal variables: exact, and without the logarithm of a rounded tail
        a, b, c, d = (noise.normal((samples, *scale.shape), 2, scale) for _ in range(4))
        error = a * d - b * c
    return posterior.loc + posterior.frame.to_camera(scale * error)


def _draw_mixture(posterior: MixturePoseDistribution, noise: GivenNoise) -> Float[Tensor, "samples n joints 3"]:
    chosen = noise.choose_samples(posterior.log_weights.exp())
    samples, poses = noise.normals.shape[:2]
    kernels, joints = posterior.loc.shape[-3:-1]
    error = noise.normal((samples, poses, 3 * joints), 1, posterior.loc)
    row = chosen + kernels * torch.arange(poses, device=chosen.device)
    factor = posterior.factor
    if factor is not None:
        rank = factor.shape[-1]
        tied = noise.normal((samples, poses, rank), 1, posterior.loc)
        if factor.shape[-3] == 1:
            error = error + (tied.transpose(0, 1) @ factor[:, 0].mT).transpose(0, 1)
        else:
            own = factor.flatten(0, 1)[row]
            error = error + (own @ tied.unsqueeze(-1)).squeeze(-1)
    lower = posterior.scale_tril.flatten(0, 1)[row]  # (samples, poses, joints, 3, 3)
    moved = (lower * error.unflatten(-1, (joints, 1, 3))).sum(-1)
    return posterior.frame.to_camera(posterior.loc.flatten(0, 1)[row] + moved)


def _summary_noise(posterior: PoseDistribution) -> Float[Tensor, "draws 1 columns"]:
    """The noise of which `_draw` makes the fixed draws behind summaries: `PoseDistribution._draws_for_summary`."""
    one, like = PoseNoise(0, torch.zeros((), dtype=torch.int64)), torch.zeros(())
    dims = 3 * len(posterior.skeleton.nonroot)

    if isinstance(posterior, FlowPoseDistribution):
        half = one.normal((DRAWS // 2, dims), 1, like)
        columns = [torch.cat([half, -half])]
    elif isinstance(posterior, MixturePoseDistribution):
        share = one.uniform((DRAWS,), 1, like).double()
        columns = [math.sqrt(2.0) * torch.erfinv(2.0 * share - 1.0).unsqueeze(-1), one.normal((DRAWS, dims), 1, like)]
        if posterior.factor is not None:
            columns.append(one.normal((DRAWS, posterior.factor.shape[-1]), 1, like))
    elif isinstance(posterior, IndependentPoseDistribution) and posterior.family == "laplace":
        logs = one.uniform((2, DRAWS, dims), 3, like).clamp(min=torch.finfo(like.dtype).tiny).log()
        error = logs[1] - logs[0]
        columns = [error, torch.zeros_like(error), torch.zeros_like(error), torch.ones_like(error)]
    else:
        columns = [one.normal((DRAWS, dims), 1, like)]
    return torch.cat(columns, -1).float().unsqueeze(1)


def _moments(posterior: PoseDistribution) -> tuple[Float[Tensor, "n joints 3"], Float[Tensor, "n d d"]]:
    """Mean, and covariance of the joints other than the root, float64: as `PoseDistribution.joint_moments`."""
    if isinstance(posterior, MixturePoseDistribution):
        return _mixture_moments(posterior)
    if isinstance(posterior, FlowPoseDistribution):
        points = cubature_points(posterior._dims).to(posterior._like)
        count = posterior.rotation.shape[0] if posterior.rotation is not None else 1
        poses = posterior.from_latent(points.unsqueeze(1).expand(-1, count, -1))
        mean, covariance = posterior._moments_of(poses, len(points))
        return mean.double(), covariance.double()
    blocks = posterior._covariance()[..., list(posterior.skeleton.nonroot), :, :]
    return posterior._mean().double(), block_diagonal(blocks.double())


def _mixture_moments(posterior: MixturePoseDistribution) -> tuple[Tensor, Tensor]:
    share = posterior.log_weights.exp()[..., None, None]
    mean = (share * posterior.loc).sum(-3)
    lower = posterior.scale_tril
    blocks = (share.unsqueeze(-1) * (lower @ lower.mT)).sum(-4)
    columns = [(share.sqrt() * (posterior.loc - mean.unsqueeze(-3))).flatten(-2).unsqueeze(-1)]
    if posterior.factor is not None:
        tied = lower @ posterior.factor.unflatten(-2, (-1, 3))  # (n, k, joints, 3, rank)
        columns.append(share.sqrt() * tied.flatten(-3, -2))
    joined = torch.cat(columns, -1).movedim(-3, -2).flatten(-2)  # (n, d, k (1 + rank))
    turn = posterior.rotation
    if turn is not None:
        blocks = turn.mT.unsqueeze(-3) @ blocks @ turn.unsqueeze(-3)
        joined = (turn.mT.unsqueeze(-3) @ joined.unflatten(-2, (-1, 3))).flatten(-3, -2)
    joined = joined.double()
    return posterior.frame.to_camera(mean).double(), block_diagonal(blocks.double()) + joined @ transposed(joined)


# -- a told height -------------------------------------------------------------------------------------------------


@lru_cache
def _bones() -> tuple[Float[Tensor, "bones nonroot"], Float[Tensor, " bones"]]:
    """Bones as sums of the joints other than the root, and how often each counts for the height; float64."""
    skeleton = get_skeleton("h36m17")
    joints = torch.eye(len(skeleton), dtype=torch.float64)
    parents = [list(skeleton.parents)[joint] for joint in skeleton.nonroot]
    bones = (joints[list(skeleton.nonroot)] - joints[parents])[:, list(skeleton.nonroot)]
    return bones, size_weights(skeleton)[list(skeleton.nonroot)]


def _given_height(
    by: MomentMap, fixed: Float[Tensor, "draws n d"], covariance: Float[Tensor, "n d d"], told: Float[Tensor, " n"]
) -> tuple[MomentMap, Float[Tensor, "n d d"]]:
    """A map and the covariance after it with a told height: `poseterior.distributions.told_height.height_map`."""
    bones, weights = (part.to(covariance.device) for part in _bones())
    vectors = bones @ by.moved(fixed).unflatten(-1, (-1, 3)).to(covariance)  # (draws, n, bones, 3)
    lengths = vectors.norm(dim=-1)
    heights = (lengths * weights).sum(-1) + ANKLE_HEIGHT
    pull = (vectors * (weights / lengths.clamp(min=1e-6)).unsqueeze(-1)).mean(0)
    slope = (transposed(bones) @ pull).flatten(-2)
    step = height_step(heights, slope, covariance, told.to(covariance))
    along, factor = step.along.unsqueeze(-1), step.factor[:, None, None]
    forward = by.forward - factor * along * (slope.unsqueeze(-2) @ by.forward)
    linear = (slope * step.along).sum(-1)[:, None, None]
    narrower = covariance - (2.0 * factor - factor.square() * linear) * along * step.along.unsqueeze(-2)
    return MomentMap(by.before, by.after + step.step, forward), narrower


# -- the module ----------------------------------------------------------------------------------------------------


class TensorLifter(nn.Module):
    """A lifter from tensors to tensors: what it says of poses, and samples of given noise.

    It computes what ``lifter(keypoints)`` says, the keypoints' evidence included, up to rounding. Every keypoint counts
    as its covariance says: shares of wrong ones (`Keypoints2D.outliers`) are no input, see `inputs`. Samples are those
    of the noise: as many as it has rows. The radii are made of the samples, and are calibrated for as many of them as
    the lifter's recalibration was fitted with (`region_samples`); of fewer they are too small.

    Args:
        lifter: with a mixture, a flow of affine couplings, or a pose with error bars.
        level: probability of the radii.

    Attributes:
        noise_width: columns of the noise.
        level: as given.
        calibrated: whether radii are recalibrated.
        region_samples: number of samples that radii are calibrated for.

    Raises:
        InputError: another lifter, or a level without a guarantee.
    """

    #: Names of the inputs of `forward` in order, and what each is.
    INPUTS: ClassVar[dict[str, str]] = {
        "xy": "poses x joints x 2, pixels, x right, y down",
        "covariance": "poses x joints x 2 x 2, square pixels, of the keypoints",
        "visible": "poses x joints, bool; what the others hold where it is false does not matter",
        "intrinsics": "poses x 4: fx, fy, cx, cy in pixels; NaN where the camera is not known",
        "image_size": "poses x 2: width and height in pixels; NaN where it is not known",
        "height": "poses: the person's height in metres; NaN where it is not known",
        "noise": "samples x poses x noise_width, standard normal numbers",
    }

    height_noise: Tensor | None

    def __init__(self, lifter: Any, level: float = 0.9) -> None:
        super().__init__()
        check_level(level)
        self.lifter, self.level = lifter, level
        ours = lifter.recalibration
        self.calibrated = ours is not None
        self.region_samples = SAMPLES if ours is None else ours.draws
        name = lifter.card.get("name") or lifter.name
        if lifter.reader is not lifter:
            raise refusal(name, "its poses are those of another lifter")
        joints = len(lifter.skeleton)
        device = next(lifter.parameters()).device
        probe = Keypoints2D(torch.arange(2.0 * joints).reshape(1, joints, 2), 1.0, skeleton=lifter.skeleton).to(device)
        with torch.no_grad():
            posterior = lifter.distribution(probe)
            if not isinstance(posterior, _EXPORTED):
                raise refusal(name, f"its distribution is a {type(posterior).__name__}")
            if getattr(lifter.config, "coupling", "affine") != "affine":
                raise refusal(name, "its couplings are splines")
            if ours is not None:  # refuses a level without a guarantee
                ours.radii(level, probe.visible, torch.ones(1, joints, device=device))
            noise = GivenNoise(torch.zeros(1, 1, 10 * 3 * joints, device=device))
            _draw(posterior, noise)
        self.noise_width = noise.used
        # a told height is given to skeletons on which heights are measured, as `GivenEvidence` does
        measured = lifter.evidence is not None and lifter.skeleton.name == "h36m17"
        told = _summary_noise(posterior).to(device) if measured else None
        self.register_buffer("height_noise", told, persistent=False)
        with torch.no_grad():  # what is kept for all calls is made before one of them is traced
            self(*self.inputs(probe), torch.zeros(2, 1, self.noise_width, device=device))

    def inputs(self, keypoints: Keypoints2D) -> tuple[Tensor, ...]:
        """The inputs of `forward` but the noise, of keypoints of any skeleton and one batch dimension.

        The module knows nothing of keypoints that are simply wrong (`Keypoints2D.outliers`): which are is found here,
        as the lifter finds it, and told by their covariances.
        """
        lifter = self.lifter
        keypoints = keypoints.as_skeleton(lifter.skeleton).flatten()
        if lifter.evidence is not None and keypoints.outliers is not None:
            keypoints = keypoints_that_count(lifter._answer, lifter._answer(keypoints), keypoints)
        return tuple(getattr(keypoints, name) for name in self.INPUTS if name != "noise")

    def forward(
        self,
        xy: Float[Tensor, "n joints 2"],
        covariance: Float[Tensor, "n joints 2 2"],
        visible: Bool[Tensor, "n joints"],
        intrinsics: Float[Tensor, "n 4"],
        image_size: Float[Tensor, "n 2"],
        height: Float[Tensor, " n"],
        noise: Float[Tensor, "samples n noise_width"],
    ) -> Lifted:
        lifter = self.lifter
        keypoints = keypoints_of(lifter, xy, covariance, visible, intrinsics, image_size, height)
        posterior = lifter.distribution(within_reach_of_all(keypoints) if lifter.learnt_noise else keypoints)
        assert isinstance(posterior, _EXPORTED)
        fixed = 0 if self.height_noise is None else DRAWS
        if self.height_noise is not None:  # the fixed draws go first
            noise = torch.cat([self.height_noise.expand(-1, xy.shape[0], -1), noise])
        samples = _draw(posterior, GivenNoise(noise))
        mean, spread = _moments(posterior)
        if lifter.evidence is not None:
            frame = RootedFrame(lifter.skeleton)
            by = moment_map(mean, spread, keypoints, lifter.evidence)
            flat, spread = frame.from_camera(samples).flatten(-2), by.covariance(spread)
            if fixed:
                by, spread = _given_height(by, flat[:fixed], spread, height)
            samples = frame.to_camera(by.moved(flat[fixed:]).unflatten(-1, (-1, 3)))
            mean = frame.to_camera(by.after.unflatten(-1, (-1, 3)))
        blocks = _blocks(spread, lifter.skeleton.root)
        centre, radius = self._region(samples, visible)
        return Lifted(mean.to(samples.dtype), blocks.to(samples.dtype), samples, centre, radius)

    def _region(self, samples: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """`poseterior.distributions.regions.region_of`, of as many samples as there are."""
        root = self.lifter.skeleton.root
        centre = samples.sort(0).values[(samples.shape[0] - 1) // 2]
        distance = (samples - centre).norm(dim=-1).clamp(min=FLOOR)
        ours = self.lifter.recalibration
        radius = _quantile(distance, self.level if ours is None else SPREAD_LEVEL)
        other = torch.arange(radius.shape[-1], device=radius.device) != root
        radius = torch.where(other, radius, 0.0)
        return centre, radius if ours is None else ours.radii(self.level, visible, radius)[0]


def _quantile(values: Float[Tensor, "samples *shape"], level: float) -> Float[Tensor, "*shape"]:
    """`poseterior.distributions.balls.quantiles` of a number of samples that is not known beforehand."""
    ordered = values.sort(0).values
    last = torch.ones_like(values.flatten(1)[:, :1], dtype=torch.float64).sum() - 1.0
    at = level * last
    below = at.floor()
    above = torch.minimum(below + 1.0, last)
    ends = ordered.index_select(0, torch.stack([below, above]).long())
    return torch.lerp(ends[0], ends[1], (at - below).to(values))


def _blocks(covariance: Float[Tensor, "n d d"], root: int) -> Float[Tensor, "n joints 3 3"]:
    """Covariance of each joint by itself; zero for the root."""
    count = covariance.shape[-1] // 3
    own = torch.eye(count, dtype=covariance.dtype, device=covariance.device)[:, None, :, None]
    blocks = (covariance.unflatten(-1, (count, 3)).unflatten(-3, (count, 3)) * own).sum(-2)
    return torch.cat([blocks[:, :root], torch.zeros_like(blocks[:, :1]), blocks[:, root:]], 1)


def refusal(name: str, why: str) -> InputError:
    """Of a lifter that has no module of tensors."""
    return InputError(
        f"lifter {name!r} cannot be exported: {why}; mixtures, affine flows and regressions with error bars can: "
        "'mdn', 'flow', 'supervised', 'relative', 'unsupervised'"
    )
