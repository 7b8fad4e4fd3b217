"""Learning from depth order: one bit per image (Ronchi et al., BMVC 2018, arXiv 1805.06880).

Nothing here reads a 3D pose, but for the templates ``"measured"`` (a constant) and ``"per_sample"``. Four terms: which
of two joints is nearer the camera; the pose must project onto the keypoints; its root must be at the origin; its limbs
must have a template's proportions. Each is a pure function; `DepthOrder` sums them by weight, in expectation under the
distribution that the lifter returns, so that it trains point masses, mixtures and flows alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data.labels.simulated import LabelledObservations
from ..data.observations import Observations
from ..data.simulation.simulator import SimulatorConfig
from ..distributions.base import PoseDistribution
from ..distributions.mixture import MixturePoseDistribution
from ..files.errors import InputError
from ..files.settings import ABOVE_ZERO, number
from ..geometry.kinematics import ASSUMED_HEIGHT, bone_lengths
from ..geometry.skeletons import SKELETONS
from ..keypoints import Keypoints2D
from ..keypoints.view import canonical_view, image_offsets
from ..lifters import Lifter, Model
from ..metrics.depth_order import mixture_order_log_probability
from .base import Needs, Objective, ObjectiveSettings, register_objective
from .limbs import TEMPLATES, limb_energy, limb_loss, template_lengths

__all__ = [
    "DepthOrder",
    "DepthOrderSettings",
    "orthographic_residual",
    "perspective_residual",
    "ranking_loss",
    "root_loss",
    "smooth_norm",
    "solved_scale",
]

_BODY = SKELETONS["h36m17"]
#: A person of this apparent size (root mean square) in pixels is what the published weight of the reprojection suits.
_NOMINAL_PIXELS = 100.0
#: Standard deviations from which a keypoint's error counts linearly.
_LINEAR_FROM = 10.0
#: Metres within which two sampled joints count as level, for the order's probability under a flow.
_SOFTNESS = 0.01


# -- the terms ------------------------------------------------------------------------------------------------


def smooth_norm(vector: Float[Tensor, "*any d"], epsilon: float = 1e-8) -> Float[Tensor, "*any"]:
    """Euclidean norm with a gradient (of zero) at zero: ``sqrt(|v|² + epsilon)``."""
    return (vector.square().sum(-1) + epsilon).sqrt()


def ranking_loss(
    gap: Float[Tensor, "*any"],
    order: Float[Tensor, "*any"],
    confidence: Float[Tensor, "*any"] | None = None,
    normaliser: float | None = None,
    steepness: float = 2.5,
) -> Float[Tensor, ""]:
    """The published ranking loss of depth gaps ``z_a - z_b``.

    ``log(1 + exp(-steepness * order * d))`` where a label says which joint is farther, ``d²`` where it says that they
    are level, with ``d`` the gap over the mean absolute gap of all labels: free of scale. 0.0789 if every order is
    right and all gaps are equal. Where every gap is zero, ``d`` is zero and the loss finite.

    Args:
        gap: metres, or any unit.
        order: +1: a is farther, -1: a is nearer, 0: level.
        confidence: weight of each label; default 1. A label of weight 0 does not count in the mean gap either.
        normaliser: the gap (same unit) that counts as 1, instead of the mean; so samples do not depend on others.
        steepness: the published 2.5.
    """
    weight = torch.ones_like(gap) if confidence is None else confidence.expand_as(gap)
    total = weight.sum().clamp(min=1e-12)
    if normaliser is None:
        mean = (weight * gap.abs()).sum() / total
        scaled = gap / mean.clamp(min=1e-12)
    else:
        scaled = gap / normaliser
    apart = torch.nn.functional.softplus(-steepness * order * scaled)
    # Finite too for gaps whose square is not.
    level = scaled.clamp(-1e6, 1e6).square()
    return (weight * torch.where(order == 0, level, apart)).sum() / total


def root_loss(root: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """How far a network puts the root from the origin."""
    return smooth_norm(root)


def solved_scale(
    pose: Float[Tensor, "*any joints 2"], image: Float[Tensor, "*any joints 2"], visible: Bool[Tensor, "*any joints"]
) -> Float[Tensor, "*any"]:
    """The scale that puts x and y of a pose onto the image in least squares (both relative to the same joint)."""
    weight = visible.unsqueeze(-1).to(pose.dtype)
    return (weight * pose * image).sum((-2, -1)) / (weight * pose.square()).sum((-2, -1)).clamp(min=1e-9)


def _mean_distance(residual: Tensor, visible: Tensor) -> Tensor:
    return torch.where(visible, smooth_norm(residual), 0.0).sum(-1) / visible.sum(-1).clamp(min=1)


def orthographic_residual(
    pose: Float[Tensor, "*any joints 3"],
    image: Float[Tensor, "*any joints 2"],
    visible: Bool[Tensor, "*any joints"],
    scale: Float[Tensor, "*any"] | None = None,
) -> Float[Tensor, "*any"]:
    """Mean distance from the keypoints of a pose seen by a scaled orthographic camera. Depth has no gradient.

    Args:
        pose: relative to the joint that ``image`` is relative to.
        image: keypoints, values of hidden ones are ignored.
        visible: which keypoints count.
        scale: image units per metre; None: `solved_scale`, held fixed at that for the gradient.
    """
    if scale is None:
        # The best scale's own change does not matter at the optimum of squares; here it is near enough, and holding
        # it keeps a pose from shrinking instead of turning.
        scale = solved_scale(pose[..., :2], image, visible).detach()
    return _mean_distance(scale[..., None, None] * pose[..., :2] - image, visible)


def _root_position(pose: Tensor, rays: Tensor, visible: Tensor) -> Tensor:
    """Where in front of a camera of focal length 1 the pose explains the points best, by linear least squares."""
    weight = visible.to(pose.dtype)[..., None, None]
    identity = torch.eye(2, dtype=pose.dtype, device=pose.device).expand(*rays.shape, 2)
    rows = torch.cat([identity, -rays.unsqueeze(-1)], -1) * weight  # (..., joints, 2, 3)
    known = (rays * pose[..., 2:] - pose[..., :2]).unsqueeze(-1) * weight
    normal = (rows.transpose(-1, -2) @ rows).sum(-3)
    ridge = 1e-6 * torch.eye(3, dtype=pose.dtype, device=pose.device)
    return torch.linalg.solve(normal + ridge, (rows.transpose(-1, -2) @ known).sum(-3)).squeeze(-1)


def perspective_residuals(
    pose: Float[Tensor, "*any joints 3"],
    rays: Float[Tensor, "*any joints 2"],
    visible: Bool[Tensor, "*any joints"],
    root: Float[Tensor, "*any 3"] | None = None,
) -> Float[Tensor, "*any joints 2"]:
    """What a perspective camera sees less the keypoints, on the plane at unit distance; see `perspective_residual`."""
    position = _root_position(pose, rays, visible) if root is None else root
    absolute = pose + position.unsqueeze(-2)
    return absolute[..., :2] / absolute[..., 2:].clamp(min=0.1) - rays


def perspective_residual(
    pose: Float[Tensor, "*any joints 3"],
    rays: Float[Tensor, "*any joints 2"],
    visible: Bool[Tensor, "*any joints"],
    root: Float[Tensor, "*any 3"] | None = None,
) -> Float[Tensor, "*any"]:
    """Mean distance from the keypoints of a pose seen by a perspective camera of known focal length.

    Args:
        pose: metres, relative to the root.
        rays: keypoints on the plane at unit distance, (pixel - principal point) / focal length.
        visible: which keypoints count.
        root: metres, where the root is; None: solved in closed form.
    """
    return _mean_distance(perspective_residuals(pose, rays, visible, root), visible)


def image_energy(
    residuals: Float[Tensor, "*any joints 2"],
    covariance: Float[Tensor, "*any joints 2 2"],
    visible: Bool[Tensor, "*any joints"],
) -> Float[Tensor, "*any"]:
    """Minus the log-likelihood of keypoints with Gaussian errors, nats, up to a constant."""
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), residuals.unsqueeze(-1), upper=False
    ).squeeze(-1)
    # Far-out poses count as if 10 standard deviations off in the square, and linearly beyond.
    squared = 2.0 * _LINEAR_FROM**2 * ((1.0 + whitened.square().sum(-1) / _LINEAR_FROM**2).sqrt() - 1.0)
    return 0.5 * torch.where(visible, squared, 0.0).sum(-1)


# -- the objective --------------------------------------------------------------------------------------------


def _relative_to_seen(pose: Tensor, visible: Tensor, root: int) -> Tensor:
    """Poses relative to the root, or to the middle of the visible joints where the root is hidden."""
    weight = visible.unsqueeze(-1).to(pose.dtype)
    middle = (pose * weight).sum(-2) / weight.sum(-2).clamp(min=1.0)
    centre = torch.where(visible[..., root, None], pose[..., root, :], middle)
    return pose - centre.unsqueeze(-2)


def _depth_gaps(poses: Float[Tensor, "draws n joints 3"], pairs: Int[Tensor, "n m 2"]) -> Float[Tensor, "draws n m"]:
    """How much farther joint a of each pair is than joint b."""
    index = pairs.flatten(-2).expand(*poses.shape[:-2], -1)
    depth = poses[..., 2].gather(-1, index).unflatten(-1, (-1, 2))
    return depth[..., 0] - depth[..., 1]


@dataclasses.dataclass(frozen=True)
class DepthOrderSettings(ObjectiveSettings):
    """Settings of `DepthOrder`.

    Attributes:
        rank: weight of the depth order.
        order: ``"ranking"``: `ranking_loss` of drawn poses; ``"likelihood"``: minus the log-probability that the
            distribution gives to each label. The latter is proper: probabilities of order come out calibrated.
        normaliser: of the ranking loss: ``"batch"`` (published) or metres.
        tolerance: metres within which a label 0 says that joints are (``"likelihood"``).
        reprojection: weight.
        camera: ``"orthographic"``, ``"perspective"`` (focal length known or assumed, root solved) or ``"none"``.
        plane: ``"image"``: pixels (published); ``"view"``: the plane of a camera turned to the person, in
            percents of the apparent size, so that neither resolution nor distance matters.
        root: weight of `root_loss` per metre, published as 1 per millimetre (networks that place the root themselves).
        limbs: weight of `limb_loss`.
        template: a name of `TEMPLATES`, or ``"per_sample"`` (true lengths: this is 3D supervision).
        size: ``"free"``: proportions only (published); ``"height"``: limbs in metres, of a person of the given
            height, or 1.7 m.
        samples: poses drawn (of each component, for a mixture).
        posterior: for lifters with a density: instead of distances, the reprojection and the limbs are energies in
            nats (`image_energy` with the detector's covariance, `limb_energy`), and the distribution is fitted to
            the posterior that they make: it is as wide as keypoints and proportions allow, hidden joints included.
            Both weights and ``samples`` keep their meaning; everything is a mean over the pose's dimensions.
        limb_tolerance: for that, relative standard deviation of a limb's length around the template's.
    """

    section: ClassVar[str] = "objective 'depth_order'"

    rank: float = 1.0
    order: str = "ranking"
    normaliser: str | float = "batch"
    tolerance: float = 0.05
    reprojection: float = 0.1
    camera: str = "orthographic"
    plane: str = "image"
    root: float = 1000.0
    limbs: float = 1.0
    template: str = "person"
    size: str = "free"
    samples: int = 1
    posterior: bool = False
    limb_tolerance: float = 0.15

    def __post_init__(self) -> None:
        self._check_flag("posterior")
        if self.posterior and (self.plane, self.camera, self.size) != ("view", "perspective", "height"):
            raise InputError(f"{self.section}: posterior: needs plane: view, camera: perspective and size: height")
        number(*self._named("limb_tolerance"), ABOVE_ZERO, 1, expected="above 0 to 1")
        weight = (0, None)
        self._check_number(rank=weight, tolerance=weight, reprojection=weight, root=weight, limbs=weight)
        self._check_choice(
            order=("ranking", "likelihood"),
            camera=("orthographic", "perspective", "none"),
            plane=("image", "view"),
            template=(*TEMPLATES, "per_sample"),
            size=("free", "height"),
        )
        if self.normaliser != "batch":
            number(*self._named("normaliser"), ABOVE_ZERO, expected="'batch' or metres above 0")
        self._check_whole(samples=1)
        if self.size == "height" and self.template in TEMPLATES:
            template_lengths(self.template, torch.ones(()))

    @property
    def unit_gap(self) -> float | None:
        """The gap (metres) that counts as 1 in the ranking loss; None: the mean of the batch."""
        return None if self.normaliser == "batch" else float(self.normaliser)


@register_objective("depth_order")
class DepthOrder(Objective):
    """The published weak supervision, for any lifter.

    Args:
        settings: fields of `DepthOrderSettings`.
    """

    needs_labels = True
    needs: ClassVar[Needs] = {
        "order": (lambda c: c.rank > 0, "rank above 0"),
        "normaliser": (lambda c: c.rank > 0 and c.order == "ranking", "rank above 0 and order: ranking"),
        "tolerance": (lambda c: c.rank > 0 and c.order == "likelihood", "rank above 0 and order: likelihood"),
        "camera": (lambda c: c.reprojection > 0, "reprojection above 0"),
        "plane": (lambda c: c.reprojection > 0 and c.camera != "none", "reprojection above 0 and a camera"),
        "template": (lambda c: c.limbs > 0, "limbs above 0"),
        "size": (lambda c: c.limbs > 0, "limbs above 0"),
        "root": (lambda c: not c.posterior, "posterior: false"),
        "limb_tolerance": (lambda c: c.posterior and c.limbs > 0, "posterior: true and limbs above 0"),
        "reprojection": (lambda c: c.camera != "none", "a camera"),
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = DepthOrderSettings.from_dict(settings)

    @property
    def needs_poses(self) -> bool:
        """Only where limbs are compared with each pose's own; labels are there or not, whoever made them."""
        return self.settings.limbs > 0 and self.settings.template == "per_sample"

    def check_lifter(self, lifter: Model, given: Mapping[str, Any]) -> None:
        if "samples" in given and getattr(lifter.config, "spread", "") == "none":
            raise InputError(
                f"objective 'depth_order': samples: has no effect here: lifter {lifter.name!r} returns one pose; "
                "drop it"
            )
        if "root" in given and not lifter.places_root:
            raise InputError(
                f"objective 'depth_order': root: has no effect here: poses of lifter {lifter.name!r} have their root "
                "at the origin; drop it"
            )

    def unseen(self, lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
        """What the lifter does not read, but for heights of templates and what a camera or an energy is made of."""
        c = self.settings
        read = set(("noise", "noise_joint", "noise_ratio", "noise_by_height") if c.posterior else ())
        read |= {"height_known"} if c.limbs and c.size == "height" else set()
        read |= {"camera_knowledge"} if c.reprojection and (c.plane == "view" or c.camera == "perspective") else set()
        return tuple(name for name in super().unseen(lifter, simulator) if name not in read)

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        lifter, c = self.expect(lifter, Lifter), self.settings
        if not isinstance(observations, LabelledObservations):
            raise InputError("objective 'depth_order' needs labels: add a section 'labels' to the recipe")
        posterior = lifter(observations.keypoints)
        with torch.autocast(observations.pose.device.type, enabled=False):
            poses, weights = posterior.weighted_rsample(c.samples)
            terms: dict[str, Tensor] = {}
            if c.rank:
                terms["rank"] = c.rank * self._rank(posterior, poses, weights, observations)
            if c.posterior:
                return terms | self._energies(lifter, posterior, poses, weights, observations)
            if c.reprojection and c.camera != "none":
                seen = observations.keypoints
                distance = self._reprojection(posterior, poses, seen)
                some = seen.visible.any(-1).to(distance.dtype)
                terms["reprojection"] = c.reprojection * ((weights * distance).sum(0) * some).mean()
            if c.limbs:
                loss = limb_loss(bone_lengths(poses, _BODY), self._template(observations), c.size == "free")
                terms["limbs"] = c.limbs * (weights * loss).sum(0).mean()
            offset = getattr(posterior, "root_offset", None)
            if c.root and offset is not None:
                terms["root"] = c.root * root_loss(offset).mean()
        return terms

    def _energies(
        self, lifter: Lifter, posterior: PoseDistribution, poses: Tensor, weights: Tensor, observations: Observations
    ) -> dict[str, Tensor]:
        """Expected energies, and minus the entropy: together the divergence from the posterior that they make."""
        if not posterior.has_density:
            raise InputError(f"objective 'depth_order': posterior: lifter {lifter.name!r} has no density")
        view = canonical_view(observations.keypoints)
        turned = poses @ view.rotation.transpose(-1, -2)
        size = view.scale[..., None, None]
        residuals = perspective_residuals(turned, view.points * size, view.visible) / size
        energies = {
            "reprojection": self.settings.reprojection * image_energy(residuals, view.covariance, view.visible),
            "limbs": self.settings.limbs
            * limb_energy(bone_lengths(poses, _BODY), self._template(observations), self.settings.limb_tolerance),
            "negentropy": posterior.log_prob(poses),
        }
        dims = 3.0 * (len(_BODY) - 1)
        return {name: (weights * energy).sum(0).mean() / dims for name, energy in energies.items()}

    def _rank(
        self, posterior: PoseDistribution, poses: Tensor, weights: Tensor, observations: LabelledObservations
    ) -> Tensor:
        pairs, order, confidence = observations.pairs, observations.order, observations.confidence
        if self.settings.order == "likelihood":
            nll = -self._order_log_probability(posterior, poses, weights, pairs, order)
            return (confidence * nll).sum() / confidence.sum().clamp(min=1e-12)
        gap = _depth_gaps(poses, pairs)
        drawn = weights.unsqueeze(-1) * len(poses) * confidence
        return ranking_loss(gap, order.expand_as(gap), drawn, self.settings.unit_gap)

    def _order_log_probability(
        self, posterior: PoseDistribution, poses: Tensor, weights: Tensor, pairs: Int[Tensor, "n m 2"], order: Tensor
    ) -> Float[Tensor, "n m"]:
        """Log-probability of each label: exact for a mixture, else from softly counted samples."""
        if isinstance(posterior, MixturePoseDistribution):
            return mixture_order_log_probability(posterior, pairs, order, self.settings.tolerance)
        gap = _depth_gaps(poses, pairs)
        apart = torch.nn.functional.logsigmoid(order * gap / _SOFTNESS)
        level = torch.nn.functional.logsigmoid((self.settings.tolerance - gap.abs()) / _SOFTNESS)
        chosen = torch.where(order == 0, level, apart)
        return torch.logsumexp(weights.unsqueeze(-1).log() + chosen, 0)

    def _reprojection(self, posterior: PoseDistribution, poses: Tensor, keypoints: Keypoints2D) -> Tensor:
        """Distance from the keypoints of each drawn pose ``(draws, *batch)``: pixels, or percents of the size."""
        scale = getattr(posterior, "image_scale", None)
        visible, root = keypoints.visible, keypoints.skeleton.root
        if self.settings.plane == "view":
            view = canonical_view(keypoints)
            turned = poses @ view.rotation.transpose(-1, -2)
            if self.settings.camera == "perspective":
                # The view's points are relative to their middle, which the virtual camera looks at, but for noise.
                rays = view.points * view.scale[..., None, None]
                return _NOMINAL_PIXELS * perspective_residual(turned, rays, view.visible) / view.scale
            image = _relative_to_seen(view.points, view.visible, root)
            pose = _relative_to_seen(turned, view.visible, root)
            return _NOMINAL_PIXELS * orthographic_residual(pose, image, view.visible)
        if self.settings.camera == "orthographic":
            pose = _relative_to_seen(poses, visible, root)
            return orthographic_residual(pose, image_offsets(keypoints), visible, scale)
        focal = keypoints.intrinsics[..., None, :2]
        if not bool(focal.isfinite().all()):
            raise InputError(
                "objective 'depth_order': camera: perspective with plane: image needs intrinsics of every picture; "
                "use plane: view, or camera: orthographic"
            )
        if scale is None:
            rays = (keypoints.xy - keypoints.intrinsics[..., None, 2:]) / focal
            return focal.mean((-2, -1)) * perspective_residual(poses, rays, visible)
        # The published form: 1 / distance from the scale head, principal point at the root.
        distance = torch.stack([torch.zeros_like(scale), torch.zeros_like(scale), 1.0 / scale], -1)
        return focal.mean((-2, -1)) * perspective_residual(poses, image_offsets(keypoints) / focal, visible, distance)

    def _template(self, observations: Observations) -> Tensor:
        pose = observations.pose
        if self.settings.template == "per_sample":
            lengths = bone_lengths(pose, _BODY)
            known = observations.observed
            exist = torch.stack([known[..., child] & known[..., parent] for child, parent in _BODY.bones], -1)
            return torch.where(exist, lengths, math.nan)
        if self.settings.size == "free":
            return template_lengths(self.settings.template).to(pose)
        return template_lengths(self.settings.template, observations.keypoints.height.nan_to_num(ASSUMED_HEIGHT))
