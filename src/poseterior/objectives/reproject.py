"""Learning from nothing but 2D poses: lift, turn, look again.

A 2D pose is lifted, turned about its root to a random view, projected, lifted again and turned back. The second 3D
pose must be the turned first one, what it projects to in the first view must be the 2D pose given, and the 2D pose in
between must look like a real one. `Reproject` sums these and further terms by weight. All compare poses in the space
of the rescaled 2D poses, and every step turns by new rotations.

Sources: Chen et al., CVPR 2019 (cycle and discriminator); Yu et al., ICCV 2021 (scale, motion); Wandt et al., CVPR 2022
(ElePose: estimated elevation, deformation, frozen flow of 2D poses).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.simulation.clips import KeypointPairs
from ..data.simulation.simulator import SimulatorConfig
from ..files.errors import InputError
from ..files.settings import number
from ..geometry.kinematics import bone_lengths
from ..geometry.skeletons import SKELETONS
from ..keypoints import Keypoints2D
from ..keypoints.rays import (
    NOMINAL_SPREAD,
    apparent_size,
    sized,
    turn_matrices,
    turned,
)
from ..lifters import Lifter, Model
from ..lifters.rays import LiftedRays, RayLifter
from .base import Needs, Objective, ObjectiveSettings, register_objective
from .critics import Critic, critic_loss, least_squares_loss
from .depth_order import smooth_norm
from .drawn_rays import DrawnRays
from .image_prior import ImageCritic, ImageFlow

__all__ = [
    "Reproject",
    "ReprojectSettings",
    "gaussian_divergence",
    "length_variance",
    "motion_difference",
    "symmetry_loss",
]

_BODY = SKELETONS["h36m17"]
#: Bones of the right side and their twins, as places in `Skeleton.bones`.
_RIGHT = [i for i, (child, _) in enumerate(_BODY.bones) if _BODY.sides[child] == "right"]
_LEFT = [[child for child, _ in _BODY.bones].index(_BODY.mirror[_BODY.bones[i][0]]) for i in _RIGHT]

# -- terms ----------------------------------------------------------------------------------------------------


def motion_difference(
    first: Float[Tensor, "n joints 3"],
    second: Float[Tensor, "n joints 3"],
    again_first: Float[Tensor, "n joints 3"],
    again_second: Float[Tensor, "n joints 3"],
) -> Float[Tensor, ""]:
    """How much the difference of two poses changes when both are turned, looked at, lifted anew and turned back.

    For two moments of one clip this is consistency of motion, on every joint; for two people, of deformation.
    """
    return smooth_norm((first - second) - (again_first - again_second)).mean()


def length_variance(
    first: Float[Tensor, "n joints 3"], second: Float[Tensor, "n joints 3"], proportions: bool = False
) -> Float[Tensor, ""]:
    """Variance of the logarithm of bone lengths between two poses of one person.

    Zero however the person moves, positive when a bone stretches.

    Args:
        proportions: do not count a common factor of all bones.
    """
    one, two = (bone_lengths(pose, _BODY).clamp(min=1e-4).log() for pose in (first, second))
    difference = one - two
    if proportions:
        difference = difference - difference.mean(-1, keepdim=True)
    return 0.5 * difference.square().mean()


def symmetry_loss(pose: Float[Tensor, "n joints 3"]) -> Float[Tensor, ""]:
    """Mean squared difference of the logarithms of left and right bones."""
    lengths = bone_lengths(pose, _BODY).clamp(min=1e-4).log()
    return (lengths[..., _RIGHT] - lengths[..., _LEFT]).square().mean()


def gaussian_divergence(mean: Tensor, std: Tensor, prior_mean: Tensor, prior_std: Tensor) -> Tensor:
    """``KL(N(mean, std²) || N(prior_mean, prior_std²))``."""
    ratio = std / prior_std
    return -ratio.log() + 0.5 * (ratio.square() + ((mean - prior_mean) / prior_std).square() - 1.0)


# -- the objective --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ReprojectSettings(ObjectiveSettings):
    """Settings of `Reproject`.

    Attributes:
        consistency_3d: weight of the distance between the turned pose and the one lifted from its view.
        likelihood: for lifters with a density: minus its log-density (nats per dimension) of the turned pose instead.
            The lifter then learns its own posterior: what it could have seen, under the poses it makes up.
        consistency_2d: weight of the distance between the 2D pose and that of the pose turned back.
        realism: weight of how real the 2D poses of turned poses look.
        judge: who says so: ``"lsgan"`` (least squares, as published), ``"wgan"`` (Wasserstein with gradient
            penalty), or ``"flow"`` (log-density under a flow of real 2D poses, trained before and then frozen).
        judge_width, judge_blocks: of the critic of ``lsgan`` and ``wgan``.
        judge_every: steps between its updates (published: 3).
        judge_learning_rate: of its Adam (betas 0.5 and 0.9), or of the flow's.
        flow_steps: steps of training of the flow.
        views: ``"bounds"``: azimuth, elevation and roll uniform within the bounds below, whatever the camera;
            ``"levelled"``: the pose is levelled by the elevation that the lifter predicts, turned by any azimuth, and
            tilted by the elevation of another person of the batch.
        azimuth, elevation, roll: degrees (published: 140, 20, 10).
        image: weight of the distance between the 2D pose and that of the first 3D pose (distributions; zero by
            construction for lifters along rays).
        lengths: weight of `length_variance` between two moments of a clip; proportions alone where every 2D pose is
            brought to one size.
        symmetry: weight of `symmetry_loss`.
        temporal: weight of `motion_difference`.
        motion: ``"clip"`` between two moments of a clip under the same turn, ``"deformation"`` between people.
        hidden: weight of the distance between what is lifted with some joints hidden and with none.
        hide: largest share of the joints that are hidden for that.
        scale_every: every so many steps the scale head learns instead of the lifter (published: 5). 0: never.
        scale_prior: weight of the divergence of the rescaled sizes from a prior measured from the data: the mean
            logarithm of the apparent size, with the spread that it has within clips.
        scale_lengths: weight of `length_variance`, sizes included, in the scale head's steps.
    """

    section: ClassVar[str] = "objective 'reproject'"

    consistency_3d: float = 0.5
    likelihood: bool = False
    consistency_2d: float = 5.0
    realism: float = 1.0
    judge: str = "flow"
    judge_width: int = 1024
    judge_blocks: int = 2
    judge_every: int = 3
    judge_learning_rate: float = 1e-4
    flow_steps: int = 3000
    views: str = "levelled"
    azimuth: float = 180.0
    elevation: float = 20.0
    roll: float = 10.0
    image: float = 5.0
    lengths: float = 0.0
    symmetry: float = 0.0
    temporal: float = 0.0
    motion: str = "deformation"
    hidden: float = 0.5
    hide: float = 0.0
    scale_every: int = 0
    scale_prior: float = 0.01
    scale_lengths: float = 1.0

    def __post_init__(self) -> None:
        self._check_choice(
            judge=("lsgan", "wgan", "flow"), views=("bounds", "levelled"), motion=("clip", "deformation")
        )
        self._check_flag("likelihood")
        fields = dataclasses.fields(self)
        self._check_number(**{f.name: (0, None) for f in fields if f.type in (float, "float")})
        self._check_whole(judge_width=1, judge_blocks=1, judge_every=1, flow_steps=1, scale_every=0)
        number(*self._named("hide"), 0, 0.9, expected="at most 0.9")
        if self.scale_every == 1:
            raise InputError(f"{self.section}: scale_every: expected 0, or above 1: 1 leaves the lifter no step, got 1")


def _rival(c: ReprojectSettings) -> bool:
    return bool(c.realism) and c.judge != "flow"


_RIVAL = (_rival, "realism above 0 and judge: lsgan or wgan")
_BOUNDS = (lambda c: c.views == "bounds", "views: bounds")
_SCALE = (lambda c: c.scale_every > 0, "scale_every above 0")
_REAL = (lambda c: c.realism > 0, "realism above 0")


@register_objective("reproject")
class Reproject(Objective):
    """Self-consistency under rotation of what is seen in 2D.

    Args:
        settings: fields of `ReprojectSettings`.
    """

    keypoints_only = True
    needs: ClassVar[Needs] = {
        "likelihood": (lambda c: c.consistency_3d > 0, "consistency_3d above 0"),
        "judge": _REAL,
        "judge_width": _RIVAL,
        "judge_blocks": _RIVAL,
        "judge_every": _RIVAL,
        "judge_learning_rate": _REAL,
        "flow_steps": (lambda c: c.realism > 0 and c.judge == "flow", "realism above 0 and judge: flow"),
        "azimuth": _BOUNDS,
        "elevation": _BOUNDS,
        "roll": _BOUNDS,
        "motion": (lambda c: c.temporal > 0, "temporal above 0"),
        "hidden": (lambda c: c.hide > 0, "hide above 0"),
        "hide": (lambda c: c.hidden > 0, "hidden above 0"),
        "scale_prior": _SCALE,
        "scale_lengths": _SCALE,
    }  # fmt: skip
    steps: Tensor
    chances: Tensor
    size_mean: Tensor
    size_std: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = c = ReprojectSettings.from_dict(settings)
        self.critic: Critic | None = None
        if c.realism:
            network = ImageFlow() if c.judge == "flow" else _critic(c)
            self.critic = Critic(network, c.judge_learning_rate)
        # Numbers of steps and of the critic's chances to learn, in checkpoints.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("chances", torch.zeros((), dtype=torch.long))
        self.register_buffer("size_mean", torch.zeros(()))
        self.register_buffer("size_std", torch.ones(()))

    # -- terms ---------------------------------------------------------------------------------------------

    def forward(self, lifter: Model, observations: Any) -> dict[str, Tensor]:
        pairs = _pairs(observations)
        rays = self._rays(lifter)
        if self.settings.likelihood and rays is lifter:
            raise InputError(f"objective 'reproject': likelihood: lifter {lifter.name!r} has no density")
        if self.training and self.settings.scale_every:
            self.steps += 1
            if int(self.steps - 1) % self.settings.scale_every == 0:
                return self._scale_terms(rays, pairs)
        return self._cycle_terms(rays, pairs)

    def _lift(self, rays: RayLifter | DrawnRays, keypoints: Keypoints2D) -> tuple[LiftedRays, Tensor, Tensor]:
        """Lifted poses, and the rescaled 2D poses that they should project to where they are visible."""
        image, visible = rays.image_of(keypoints)
        # The scale head learns in steps of its own.
        image = image * rays.log_scale(image, visible).detach().exp()[:, None, None]
        return rays.lift_image(image, visible), image, visible

    def _without_some(self, rays: RayLifter | DrawnRays, image: Tensor, visible: Tensor) -> Tensor:
        """The poses lifted when a random share of the joints, but for the root, is hidden."""
        share = self.settings.hide * torch.rand(len(visible), 1, device=visible.device)
        shown = visible & (torch.rand(visible.shape, device=visible.device) >= share)
        shown[:, _BODY.root] = visible[:, _BODY.root]
        return rays.lift_image(image, shown).pose

    def _rotations(self, elevation: Tensor) -> Tensor:
        """New views of each person: ``(n, 3, 3)``."""
        n = len(elevation)

        def uniform(bound: float) -> Tensor:
            return math.radians(bound) * (2.0 * torch.rand(n, device=elevation.device) - 1.0)

        if self.settings.views == "bounds":
            return turn_matrices(
                uniform(self.settings.azimuth), uniform(self.settings.elevation), uniform(self.settings.roll)
            )
        zero = torch.zeros_like(elevation)
        level = turn_matrices(zero, -elevation, zero)
        # Others' elevations: the views that there are.
        tilt = elevation.detach()[torch.randperm(n, device=elevation.device)]
        return turn_matrices(uniform(self.settings.azimuth), tilt, zero) @ level

    def _cycle_terms(self, rays: RayLifter | DrawnRays, pairs: KeypointPairs) -> dict[str, Tensor]:
        first, image, visible = self._lift(rays, pairs.keypoints)
        rotation = self._rotations(first.elevation)
        away = turned(first.pose, rotation)
        view, factor = sized(rays.seen(away), rays.one_size)
        lifted = rays.lift_image(view, torch.ones_like(visible))
        again = (lifted.pose + lifted.offset) / factor
        back = turned(again, rotation.transpose(-1, -2))
        terms: dict[str, Tensor] = {}
        if self.settings.consistency_3d:
            if self.settings.likelihood:
                assert isinstance(rays, DrawnRays)
                terms["consistency_3d"] = -rays.log_density(factor * away)
            else:
                terms["consistency_3d"] = smooth_norm(away - again).mean()
        if self.settings.consistency_2d:
            terms["consistency_2d"] = _masked_mean(smooth_norm(rays.projected(back + first.offset) - image), visible)
        if self.settings.image and isinstance(rays, DrawnRays):
            terms["image"] = _masked_mean(smooth_norm(rays.projected(first.pose + first.offset) - image), visible)
        if self.settings.realism:
            terms["realism"] = self._unreal(view)
        if self.settings.hidden and self.settings.hide:
            guessed = self._without_some(rays, image, visible)
            terms["hidden"] = smooth_norm(guessed - first.pose.detach()).mean()
        if self.settings.symmetry:
            terms["symmetry"] = symmetry_loss(first.pose)
        if self.settings.lengths:
            apart, _, _ = self._lift(rays, pairs.apart)
            terms["lengths"] = length_variance(first.pose, apart.pose, rays.one_size)
        if self.settings.temporal and self.settings.motion == "deformation":
            terms["temporal"] = motion_difference(first.pose, first.pose.roll(1, 0), back, back.roll(1, 0))
        elif self.settings.temporal:
            later, _, _ = self._lift(rays, pairs.later)
            seen, factor = sized(rays.seen(turned(later.pose, rotation)), rays.one_size)
            lifted = rays.lift_image(seen, torch.ones_like(visible))
            later_again = turned((lifted.pose + lifted.offset) / factor, rotation.transpose(-1, -2))
            terms["temporal"] = motion_difference(first.pose, later.pose, back, later_again)
        return {name: getattr(self.settings, name) * value for name, value in terms.items()}

    # -- scale ---------------------------------------------------------------------------------------------

    def _scale_terms(self, rays: RayLifter | DrawnRays, pairs: KeypointPairs) -> dict[str, Tensor]:
        """What the scale head learns from; the lifter is frozen, its parameters get no gradient at all."""
        if not isinstance(rays, RayLifter) or rays.scaler is None:
            raise InputError("objective 'reproject': scale_every: the lifter has no scale head: set lifter.scale")
        parts = list(rays.depth_parameters())
        asked = [part.requires_grad for part in parts]
        for part in parts:
            part.requires_grad_(False)
        poses, sizes = [], []
        for keypoints in (pairs.keypoints, pairs.apart):
            image, visible = rays.image_of(keypoints)
            log_scale = rays.log_scale(image, visible)
            scaled = image * log_scale.exp()[:, None, None]
            poses.append(rays.lift_image(scaled, visible).pose)
            sizes.append(apparent_size(image).clamp(min=1e-4).log() + log_scale)
        for part, wanted in zip(parts, asked, strict=True):
            part.requires_grad_(wanted)
        size = torch.cat(sizes)
        divergence = gaussian_divergence(size.mean(), size.std().clamp(min=1e-4), self.size_mean, self.size_std)
        return {
            "scale_prior": self.settings.scale_prior * divergence,
            "scale_lengths": self.settings.scale_lengths * length_variance(poses[0], poses[1]),
        }

    # -- realism -------------------------------------------------------------------------------------------

    def _unreal(self, view: Tensor) -> Tensor:
        assert self.critic is not None
        score = self.critic(view)
        return (score - 1.0).square().mean() if self.settings.judge == "lsgan" else -score.mean()

    @torch.no_grad()
    def prepare(
        self,
        draw: Any,
        lifter: Model,
        seed: int,
        report: Callable[[str, int, int], None] = lambda what, done, total: None,
    ) -> None:
        """Measure the prior of sizes, and train the flow of real 2D poses, before the first step."""
        generator = torch.Generator().manual_seed(seed)
        pairs = _pairs(draw(4096, generator))
        rays = self._rays(lifter)
        sizes = [
            apparent_size(rays.image_of(keypoints)[0]).clamp(min=1e-4).log()
            for keypoints in (pairs.keypoints, pairs.apart)
        ]
        # Two poses of one clip differ by pose alone: the half of their squared difference is that variance.
        self.size_mean.copy_(torch.cat(sizes).mean())
        self.size_std.copy_((0.5 * (sizes[0] - sizes[1]).square().mean()).sqrt().clamp(min=1e-3))
        if self.critic is not None and isinstance(self.critic.network, ImageFlow):
            self._train_flow(self.critic.network, draw, rays, generator, report)

    @torch.enable_grad()
    def _train_flow(
        self,
        flow: ImageFlow,
        draw: Any,
        rays: RayLifter | DrawnRays,
        generator: torch.Generator,
        report: Callable[[str, int, int], None],
    ) -> None:
        what, steps = "fitting the judge of 2D poses", self.settings.flow_steps
        report(what, 0, steps)

        def real() -> Tensor:
            image, visible = rays.image_of(_pairs(draw(256, generator)).keypoints)
            return image[visible.all(-1)]

        with torch.no_grad():
            flow.fit_components(torch.cat([real() for _ in range(40)]))
        flow.requires_grad_(True)
        optimizer = torch.optim.Adam(flow.parameters(), lr=10.0 * self.settings.judge_learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.settings.flow_steps)
        for step in range(steps):
            with torch.no_grad():
                image = real()
            loss = -flow(image).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(flow.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            report(what, step + 1, steps)
        optimizer.zero_grad()
        flow.requires_grad_(False)

    def update_auxiliary(self, lifter: Model, observations: Any) -> dict[str, Tensor]:
        """Train the critic, every ``judge_every`` steps; returns its loss."""
        critic = self.critic
        if critic is None or self.settings.judge == "flow":
            return {}
        self.chances += 1
        if int(self.chances - 1) % self.settings.judge_every:
            return {}
        pairs = _pairs(observations)
        rays = self._rays(lifter)
        with torch.no_grad():
            first, image, visible = self._lift(rays, pairs.keypoints)
            turned_first = turned(first.pose, self._rotations(first.elevation))
            fake, _ = sized(rays.seen(turned_first), rays.one_size)
        whole = visible.all(-1)
        real, fake = image[whole], fake[whole]
        if not len(real):
            raise InputError("objective 'reproject': no 2D pose of the batch is whole; realism needs some")
        if self.settings.judge == "lsgan":
            return {"critic": critic.update(partial(least_squares_loss, critic, real, fake))}
        # The penalty is in units in which 2D poses are of size one.
        return {"critic": critic.update(partial(critic_loss, critic, real, fake, unit=NOMINAL_SPREAD))}

    def unseen(self, lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
        """2D poses have no size in metres."""
        return (*super().unseen(lifter, simulator), "height_known")

    def check_lifter(self, lifter: Model, given: Mapping[str, Any]) -> None:
        if "image" in given and isinstance(lifter, RayLifter):
            raise InputError(
                f"objective 'reproject': image: has no effect here: lifter {lifter.name!r} lifts along the rays of the "
                "2D pose; drop it"
            )
        if self.settings.scale_every and not (isinstance(lifter, RayLifter) and lifter.scaler is not None):
            raise InputError("objective 'reproject': scale_every: the lifter has no scale head: set lifter.scale")

    def _rays(self, model: Model) -> RayLifter | DrawnRays:
        """The lifter itself if it lifts 2D poses along rays, else `DrawnRays` of it."""
        lifter = self.expect(model, Lifter)
        return lifter if isinstance(lifter, RayLifter) else DrawnRays(lifter)


def _pairs(observations: Any) -> KeypointPairs:
    if not isinstance(observations, KeypointPairs):
        raise InputError(
            "objective 'reproject' learns from 2D keypoints alone: it takes poseterior.data.simulation.clips pairs"
        )
    return observations


def _critic(settings: ReprojectSettings) -> ImageCritic:
    """The published critic sees 2D poses in their own units; the Wasserstein one, which is ours, at size one."""
    unit = 1.0 if settings.judge == "lsgan" else NOMINAL_SPREAD
    return ImageCritic(settings.judge_width, settings.judge_blocks, unit=unit)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
