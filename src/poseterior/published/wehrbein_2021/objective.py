"""Learning from samples: the published losses of the conditional flow (Wehrbein et al., ICCV 2021, arXiv 2107.13788).

Each loss is a pure function. `Samples` sums them by weight and owns the critic that tells drawn poses from true ones.
Poses are given as the network's 48 numbers where a loss is defined on these, see
`poseterior.published.wehrbein_2021.network`.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...data.observations import Observations
from ...distributions.base import PoseDistribution
from ...files.errors import InputError
from ...files.settings import number
from ...geometry.kinematics import kinematic_chain_space
from ...lifters import Lifter, Model
from ...objectives.base import Needs, Objective, ObjectiveSettings, register_objective
from ...objectives.critics import Critic, critic_loss
from .condition import CONDITION_JOINTS
from .network import POSE_JOINTS, PublishedFlowPoses, keypoint_condition, pose_to_vector, vector_to_pose

__all__ = [
    "CHAIN",
    "KinematicCritic",
    "Samples",
    "SamplesSettings",
    "heatmap_covariance_loss",
    "mean_absolute_error",
    "mean_of_best_loss",
    "mmd",
]

_TERMS = ("keypoints", "mmd", "deterministic", "mean_of_best", "covariance", "adversarial")
_WIDTHS = (0.05, 0.2, 0.9)
_JOINT = {joint: number for number, joint in enumerate(POSE_JOINTS)}
_HIPS = [_JOINT["right_hip"], _JOINT["left_hip"]]
_CONDITIONED = [_JOINT[joint] for joint in CONDITION_JOINTS]
#: Metres at the person that a heatmap pixel stands for.
_PIXEL = 0.005
#: Metres² of one unit of a condition's covariance, whose sigmas are in 20 heatmap pixels.
_CONDITION_AREA = (20 * _PIXEL) ** 2
#: The detector is unsure of a joint above this variance (m²): from 2.1 pixels on the condition doubles sigma.
_UNSURE = (2.1 * _PIXEL) ** 2

#: The 16 bones of the critic's kinematic chain space (first joint minus second).
CHAIN = tuple(
    (_JOINT[first], _JOINT[second])
    for first, second in (
        ("right_hip", "right_knee"), ("right_knee", "right_ankle"), ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"), ("spine", "thorax"), ("thorax", "neck_nose"), ("neck_nose", "head_top"),
        ("thorax", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("thorax", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("right_hip", "left_hip"), ("right_hip", "spine"), ("left_hip", "spine"),
    )
)  # fmt: skip


# -- losses ---------------------------------------------------------------------------------------------------


def mean_absolute_error(predicted: Float[Tensor, "*any n"], target: Float[Tensor, "*any n"]) -> Float[Tensor, ""]:
    """Mean over the batch and the dimensions."""
    return (predicted - target).abs().mean()


def mmd(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Squared maximum mean discrepancy under inverse multiquadric kernels of three widths, biased (V-statistic)."""

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        # From differences: the expansion by dot products loses small distances to cancellation.
        squared = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()
        return torch.stack([width**2 / (width**2 + squared) for width in _WIDTHS]).sum(0).mean()

    return kernel(x, x) + kernel(y, y) - 2.0 * kernel(x, y)


def mean_of_best_loss(
    hypotheses: Float[Tensor, "samples n joints 3"], target: Float[Tensor, "n joints 3"], best: int
) -> Float[Tensor, ""]:
    """L1 distance (m) from the target to the mean of its ``best`` nearest hypotheses by MPJPE.

    The ranking has no gradient; the hypotheses chosen do.
    """
    error = (hypotheses.detach() - target).norm(dim=-1).mean(-1)
    nearest = error.topk(best, dim=0, largest=False).indices
    chosen = hypotheses[nearest, torch.arange(len(target), device=target.device)]
    return mean_absolute_error(chosen.mean(0), target)


def heatmap_covariance_loss(
    vectors: Float[Tensor, "samples n 48"], condition: Float[Tensor, "n 13 6"]
) -> Float[Tensor, ""]:
    """How far hypotheses fall short of the heatmaps' spread in the image plane, m².

    Only joints of which the detector is unsure count. Of each, the covariance of x and y over the hypotheses is
    compared with the heatmap's (5 mm a pixel); a variance counts only where it is too small.

    Args:
        vectors: at least two hypotheses per pose.
        condition: see `poseterior.published.wehrbein_2021.network.keypoint_condition`.
    """
    plane = vectors.unflatten(-1, (3, len(POSE_JOINTS)))[..., :2, :]
    plane = (plane - plane[..., _HIPS].mean(-1, keepdim=True))[..., _CONDITIONED]
    offset = plane - plane.mean(0)
    variance = offset.square().sum(0) / (len(vectors) - 1)
    covariance = offset.prod(-2).sum(0) / (len(vectors) - 1)
    target = condition[..., 3:] * _CONDITION_AREA
    short = torch.stack([target[..., 0], target[..., 2]], -2) - variance
    gap = torch.cat([short.clamp(min=0.0), (target[..., 1] - covariance).unsqueeze(-2)], -2)
    # vector_norm, unlike sqrt of a sum, has a gradient (of zero) where nothing falls short.
    distance = torch.linalg.vector_norm(gap, dim=-2)
    unsure = (target[..., 0] > _UNSURE) | (target[..., 2] > _UNSURE)
    return torch.where(unsure, distance, 0.0).mean()


class KinematicCritic(nn.Module):
    """Wasserstein critic of poses: one path sees the coordinates, one the inner products of the bones.

    2,404,401 parameters; ``(*batch, 48)`` to one score each. It does not see the 2D keypoints.
    """

    def __init__(self) -> None:
        super().__init__()
        size, bones = 3 * len(POSE_JOINTS), len(CHAIN) ** 2
        self.pose = nn.ModuleList([nn.Linear(size, 100)] + [nn.Linear(100, 100) for _ in range(3)])
        self.chain = nn.ModuleList([nn.Linear(bones, 1000)] + [nn.Linear(1000, 1000) for _ in range(2)])
        self.score = nn.Sequential(nn.Linear(1100, 100), nn.LeakyReLU(), nn.Linear(100, 1))

    def forward(self, vectors: Float[Tensor, "*batch 48"]) -> Float[Tensor, "*batch"]:
        rectify = nn.functional.leaky_relu
        first = rectify(self.pose[0](vectors))
        hidden = rectify(first + self.pose[2](rectify(self.pose[1](first))))
        pose = self.pose[3](hidden)
        joints = vectors.unflatten(-1, (3, len(POSE_JOINTS))).transpose(-1, -2)
        bones = rectify(self.chain[0](kinematic_chain_space(joints, CHAIN).flatten(-2)))
        chain = bones + self.chain[2](rectify(self.chain[1](bones)))
        return self.score(torch.cat([pose, chain], -1)).squeeze(-1)


# -- the objective --------------------------------------------------------------------------------------------


def _complete(observations: Observations) -> Observations:
    """The observations whose truth has every joint."""
    whole = observations.observed.all(-1)
    if bool(whole.all()):
        return observations
    if not bool(whole.any()):
        raise InputError(
            "objective 'samples' needs poses with every joint: none of this batch has; "
            "leave stores that lack joints out of data.stores"
        )
    return observations[whole]


@dataclasses.dataclass(frozen=True)
class SamplesSettings(ObjectiveSettings):
    """Settings of `Samples`; a weight of 0 turns a loss off. The defaults are the published ones.

    Attributes:
        keypoints: weight of the L1 distance between predicted and given 2D keypoints (published flow only).
        mmd: of the discrepancy between the latents of true poses and Gaussian ones (published flow only).
        deterministic: of the L1 distance from a true pose to its reconstruction through its own latent and the
            given 2D keypoints (published flow only).
        mean_of_best: of the L1 distance from a true pose to the mean of the nearest hypotheses.
        covariance: of `heatmap_covariance_loss`.
        adversarial: of minus the critic's score of a drawn pose.
        hypotheses: drawn for each pose.
        best: how many of them `mean_of_best_loss` averages.
        critic_steps: updates of the critic before each step of the lifter.
        critic_learning_rate: of its Adam (betas 0.5 and 0.9).
    """

    section: ClassVar[str] = "objective 'samples'"

    keypoints: float = 1.0
    mmd: float = 10.0
    deterministic: float = 4.0
    mean_of_best: float = 4.0
    covariance: float = 750.0
    adversarial: float = 1.0
    hypotheses: int = 200
    best: int = 5
    critic_steps: int = 5
    critic_learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        self._check_number(**dict.fromkeys((*_TERMS, "critic_learning_rate"), (0, None)))
        if not any(getattr(self, term) for term in _TERMS):
            raise InputError(f"{self.section}: all weights are 0; give at least one loss a weight")
        self._check_whole(hypotheses=2, best=1, critic_steps=1)
        number(*self._named("best"), 1, self.hypotheses, expected=f"at most hypotheses ({self.hypotheses})")


@register_objective("samples")
class Samples(Objective):
    """The published losses on samples, by weight.

    Poses whose truth lacks a joint are left out. The last three losses train any lifter whose distribution has
    ``rsample``. The publication feeds each update of the critic two batches of its own; here all updates of a
    step take the step's batch: its poses, in a new order, as the real ones, and new draws for its keypoints.

    Args:
        settings: fields of `SamplesSettings`.
    """

    needs: ClassVar[Needs] = {
        "hypotheses": (lambda c: c.mean_of_best > 0 or c.covariance > 0, "mean_of_best or covariance above 0"),
        "best": (lambda c: c.mean_of_best > 0, "mean_of_best above 0"),
        "critic_steps": (lambda c: c.adversarial > 0, "adversarial above 0"),
        "critic_learning_rate": (lambda c: c.adversarial > 0, "adversarial above 0"),
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = c = SamplesSettings.from_dict(settings)
        self.critic = Critic(KinematicCritic(), c.critic_learning_rate) if c.adversarial else None

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        observations = _complete(observations)
        posterior = self._posterior(lifter, observations)
        with torch.autocast(observations.pose.device.type, enabled=False):
            terms = self._flow_terms(posterior, observations) if isinstance(posterior, PublishedFlowPoses) else {}
            terms |= self._sample_terms(posterior, observations)
        return {name: getattr(self.settings, name) * value for name, value in terms.items()}

    def _posterior(self, lifter: Model, observations: Observations) -> PoseDistribution:
        posterior = self.expect(lifter, Lifter)(observations.keypoints)
        if not posterior.has_rsample:
            raise InputError(
                f"objective 'samples' needs samples with gradients (rsample); lifter {lifter.name!r} has none"
            )
        asked = [name for name in ("keypoints", "mmd", "deterministic") if getattr(self.settings, name)]
        if asked and not isinstance(posterior, PublishedFlowPoses):
            raise InputError(
                f"objective 'samples': {', '.join(asked)}: only for the published flow (method "
                f"'flow-published'); set to 0 for this lifter ({lifter.name!r})"
            )
        return posterior

    def _flow_terms(self, posterior: PublishedFlowPoses, observations: Observations) -> dict[str, Tensor]:
        """The losses on the latents and 2D keypoints of true poses."""
        weights = self.settings
        if not (weights.keypoints or weights.mmd or weights.deterministic):
            return {}
        network, given, context = posterior.network, posterior.xy, posterior.context
        truth = pose_to_vector(observations.pose)
        latent, xy, _ = network.forward_map(truth, context)
        terms: dict[str, Tensor] = {}
        if weights.keypoints:
            terms["keypoints"] = mean_absolute_error(xy, given)
        if weights.mmd:
            drawn = torch.cat([torch.randn_like(latent), given], -1)
            terms["mmd"] = mmd(torch.cat([latent, xy.detach()], -1), drawn)
        if weights.deterministic:
            terms["deterministic"] = mean_absolute_error(network.inverse_map(latent.detach(), given, context), truth)
        return terms

    def _sample_terms(self, posterior: PoseDistribution, observations: Observations) -> dict[str, Tensor]:
        """The losses on drawn poses."""
        weights = self.settings
        if not (weights.mean_of_best or weights.covariance or weights.adversarial):
            return {}
        only_one = not (weights.mean_of_best or weights.covariance)
        poses, vectors = _draw(posterior, 1 if only_one else weights.hypotheses)
        terms: dict[str, Tensor] = {}
        if weights.mean_of_best:
            terms["mean_of_best"] = mean_of_best_loss(poses, observations.pose, weights.best)
        if weights.covariance:
            terms["covariance"] = heatmap_covariance_loss(vectors, keypoint_condition(observations.keypoints))
        if self.critic is not None:
            terms["adversarial"] = -self.critic(vectors[0]).mean()
        return terms

    # -- the critic ----------------------------------------------------------------------------------------

    def update_auxiliary(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        """Train the critic for ``critic_steps``; returns its last loss."""
        critic = self.critic
        if critic is None:
            return {}
        observations = _complete(observations)
        with torch.no_grad():
            posterior = self._posterior(lifter, observations)
            with torch.autocast(observations.pose.device.type, enabled=False):
                fakes = _draw(posterior, self.settings.critic_steps)[1]
        truth = pose_to_vector(observations.pose)
        with torch.autocast(truth.device.type, enabled=False):
            for fake in fakes:
                real = truth[torch.randperm(len(truth), device=truth.device)]
                loss = critic.update(partial(critic_loss, critic, real, fake))
        return {"critic": loss}


def _draw(posterior: PoseDistribution, count: int) -> tuple[Tensor, Tensor]:
    """Poses ``(count, n, 17, 3)`` and their 48 numbers."""
    if isinstance(posterior, PublishedFlowPoses):
        vectors = posterior.rsample_vectors((count,))
        return vector_to_pose(vectors), vectors
    poses = posterior.rsample((count,))
    return poses, pose_to_vector(poses)
