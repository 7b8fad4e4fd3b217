"""Learning joint rotations by maximum likelihood, with what is known of a person withheld at random.

Each row of a batch is one of three tasks: nothing seen (the pose prior), 3D keypoints seen (inverse kinematics) or
2D keypoints seen (lifting), so that one network learns all three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ..data.observations import Observations
from ..data.simulation.bodies import BodyObservations
from ..data.simulation.point_noise import lifted_errors
from ..data.simulation.simulator import SimulatorConfig
from ..files.errors import InputError
from ..files.settings import is_number, number
from ..geometry.body import (
    CHAINS,
    GROUPS,
    H36M_POINTS,
    SMPL25,
    body_points,
    estimate_offsets,
    group_factors,
    rest_offsets,
)
from ..lifters import Model
from ..lifters.rotations import RotationLifter
from ..nn.body_evidence import BodyEvidence, evidence_from_keypoints, evidence_from_points, no_evidence
from .base import Needs, Objective, register_objective

__all__ = ["BODIES", "TASKS", "UNSEEN_ROTATIONS", "RotationLikelihood", "hide_points", "observe_points"]

TASKS = ("prior", "ik", "lift")

#: Settings of the simulator that do nothing for bodies of rotations, are about the detector, or about where people are.
UNSEEN_BODIES = ("definition_spread", "own_size")
DETECTOR = (
    "noise", "noise_joint", "noise_ratio", "noise_by_height", "noise_added", "missing", "scattered", "truncate",
    "camera_knowledge", "height_known", "image",
)  # fmt: skip
PLACE = ("distance", "field_of_view", "placement", "aspect")
#: What does nothing where only rotations of joints in the pelvis' axes are seen; and where no body is seen either.
UNSEEN_ROTATIONS = (
    *UNSEEN_BODIES, *DETECTOR, *PLACE, "yaw", "pitch", "roll", "steep", "steep_pitch", "tilted", "tilt",
)  # fmt: skip
BODIES = ("own_body", "body_spread", "body_height", "bodies", "marker_sets")

#: Points that vanish together.
_TOGETHER = (*CHAINS.values(), ("neck", "head", "neck_nose", "head_top"))
_CHAINS = torch.tensor([[joint in members for joint in SMPL25.joints] for members in _TOGETHER])
_FORMATS = torch.tensor(
    [[True] * len(SMPL25), [j < 22 for j in range(len(SMPL25))], [j in H36M_POINTS for j in range(len(SMPL25))]]
)


def hide_points(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Which points of `SMPL25` are seen ``(n, 25)``: one of three joint sets, of which none, a random share, or whole
    chains are hidden."""
    if not n:
        return torch.zeros(0, len(SMPL25), dtype=torch.bool)
    form = torch.multinomial(torch.tensor([0.4, 0.35, 0.25]), n, replacement=True, generator=generator)
    seen = _FORMATS[form]
    way = torch.multinomial(torch.tensor([0.45, 0.3, 0.25]), n, replacement=True, generator=generator).unsqueeze(-1)
    share = torch.rand(n, 1, generator=generator)
    scattered = torch.rand(n, len(SMPL25), generator=generator) < share
    chains = torch.rand(n, len(_CHAINS), generator=generator) < 0.35
    gone = (chains.float() @ _CHAINS.float()) > 0
    return seen & ~torch.where(way == 1, scattered, (way == 2) & gone)


def observe_points(
    observations: BodyObservations,
    seen: Tensor,
    noise: tuple[float, float],
    exact: float,
    lifted: float = 0.0,
    estimated: float = 0.0,
) -> BodyEvidence:
    """3D keypoints of some bodies as evidence: noisy by a random known amount, bone lengths known or nearly.

    Args:
        observations: the bodies.
        seen: ``(n, 25)`` points that are seen.
        noise: metres, range of the standard deviation (log-uniform, one per body), alike in all directions.
        exact: share of bodies whose points are exact, or of them that are not lifted.
        lifted: share whose points have a lifter's errors (`poseterior.data.simulation.point_noise`).
        estimated: share whose bone lengths are those of the points, as where nobody knows them.
    """
    n = len(seen)
    points, _ = body_points(observations.rotations, observations.offsets)
    low, high = (math.log(v) for v in noise)
    sigma = (low + (high - low) * torch.rand(n, 1)).exp() * (torch.rand(n, 1) >= exact)
    error = sigma.unsqueeze(-1) * torch.randn_like(points)
    covariance: Tensor | None = None
    if lifted > 0:
        chosen = (torch.rand(n, 1) < lifted).unsqueeze(-1)
        theirs, covariance = lifted_errors(points, observations.root)
        error = torch.where(chosen, theirs, error)
        alike = sigma.square()[..., None, None] * torch.eye(3)
        covariance = torch.where(chosen.unsqueeze(-1), covariance, alike.expand_as(covariance))
        sigma = torch.where(chosen.squeeze(-1), 1.0, sigma)
    points = points + error
    # Bone lengths are measured, or guessed: only the person's size is then right.
    guessed = torch.rand(n, 1) < 0.15
    lengths = observations.log_lengths
    size = lengths.mean(-1, keepdim=True) + 0.05 * torch.randn(n, 1)
    wrong = 0.01 * (torch.rand(n, 1) < 0.5) * (sigma > 0) * torch.randn_like(lengths)
    taken = torch.where(guessed, size.expand_as(lengths), lengths + wrong)
    offsets, known = rest_offsets() * group_factors(taken), ~guessed.squeeze(-1)
    if estimated > 0:
        own, some = estimate_offsets(torch.where(seen.unsqueeze(-1), points, 0.0), seen)
        chosen = torch.rand(n) < estimated
        offsets = torch.where(chosen[:, None, None], own, offsets)
        known = torch.where(chosen, some, known)
    spread = sigma.expand(n, len(SMPL25))
    return evidence_from_points(points, seen, spread, offsets, known, covariance)


def _by_task(what: str, values: Mapping[str, float]) -> dict[str, float]:
    fine = isinstance(values, Mapping) and not set(values) - set(TASKS)
    if not fine or not all(is_number(v) and v >= 0 for v in values.values()):
        raise InputError(
            f"objective 'rotations': {what}: expected numbers from 0 for {', '.join(TASKS)}, got {values!r}"
        )
    return {name: float(value) for name, value in values.items()}


@register_objective("rotations")
class RotationLikelihood(Objective):
    """Negative log-likelihood of rotations (normalised Haar measure), and of bone lengths where they are not given.

    In nats per dimension (three per joint; one per group of bones).

    Args:
        tasks: weight of each of `TASKS` among the rows of a batch.
        weights: factor on each task's likelihood (default 1). Exact 3D keypoints give densities so sharp that their
            gradients drown those of lifting.
        noise: (low, high) metres, standard deviation of 3D keypoints.
        exact: share of inverse kinematics with exact keypoints, or of that whose keypoints are not lifted.
        lifted: share of it whose keypoints have a lifter's errors, see `observe_points`.
        estimated: share of it whose bone lengths are those of the keypoints.
        lengths: weight of the bone lengths' likelihood in lifting.
    """

    needs_rotations = True
    needs: ClassVar[Needs] = {
        **dict.fromkeys(("noise", "exact", "lifted", "estimated"), (lambda c: c.share[1] > 0, "tasks: ik above 0")),
        "lengths": (lambda c: c.share[2] > 0, "tasks: lift above 0"),
    }

    def __init__(
        self,
        tasks: Mapping[str, float] | None = None,
        weights: Mapping[str, float] | None = None,
        noise: tuple[float, float] = (0.001, 0.04),
        exact: float = 0.35,
        lengths: float = 1.0,
        lifted: float = 0.0,
        estimated: float = 0.0,
    ) -> None:
        super().__init__()
        tasks = _by_task("tasks", {"prior": 0.15, "ik": 0.25, "lift": 0.6} if tasks is None else tasks)
        if not sum(tasks.values()) > 0:
            raise InputError(f"objective 'rotations': tasks: expected a sum above 0, got {tasks}")
        self.factors = dict.fromkeys(TASKS, 1.0) | _by_task("weights", {} if weights is None else weights)
        if len(noise) != 2 or not all(map(is_number, noise)) or not 0 < noise[0] <= noise[1]:
            raise InputError(f"objective 'rotations': noise: expected (low, high) metres above 0, got {noise}")
        for name, share in (("exact", exact), ("lifted", lifted), ("estimated", estimated)):
            number(share, f"objective 'rotations': {name}", 0, 1, expected="0 to 1")
        self.share = [tasks.get(name, 0.0) / sum(tasks.values()) for name in TASKS]
        self.seen = dict.fromkeys(TASKS, 0.0)
        self.noise, self.exact, self.lengths = (float(noise[0]), float(noise[1])), exact, lengths
        self.lifted, self.estimated = lifted, estimated

    def unseen(self, lifter: Model, simulator: SimulatorConfig) -> tuple[str, ...]:
        """Without 2D keypoints the detector, without a lifter's errors the place, without any keypoints bodies."""
        _, ik, lift = self.share
        unseen = [*UNSEEN_BODIES]
        if lift == 0:
            unseen += DETECTOR if ik > 0 and self.lifted > 0 else (*DETECTOR, *PLACE)
        return (*unseen, *(BODIES if lift == ik == 0 else ()))

    def _observed(self, people: BodyObservations) -> BodyEvidence:
        """3D keypoints of some bodies."""
        seen = hide_points(len(people.rotations))
        return observe_points(people, seen, self.noise, self.exact, self.lifted, self.estimated)

    def update_auxiliary(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        """Nothing to train; logs each task's negative log-likelihood (nats per pose) of the step before."""
        return {f"nll of {name}": torch.tensor(value) for name, value in self.seen.items()}

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        lifter = self.expect(lifter, RotationLifter)
        if not isinstance(observations, BodyObservations):
            raise InputError("objective 'rotations' needs rotations: pass data=STORE")
        network = lifter.network
        n = len(observations.rotations)
        ends = [round(n * sum(self.share[: i + 1])) for i in range(len(TASKS))]
        ends[-1] = n
        prior, ik, lift = slice(0, ends[0]), slice(ends[0], ends[1]), slice(ends[1], n)
        evidence = BodyEvidence.cat(
            [
                no_evidence((ends[0],)),
                self._observed(observations[ik]),
                evidence_from_keypoints(observations.keypoints[lift]),
            ]
        )
        turned = evidence.frame @ observations.rotations[:, 0]
        rotations = torch.cat([turned.unsqueeze(1), observations.rotations[:, 1:]], 1)
        with torch.autocast(rotations.device.type, enabled=False):
            context = network.encode(evidence)
            parts = network.log_density(rotations, evidence, context)
        total = parts.sum(-1)
        rows = {"prior": prior, "ik": ik, "lift": lift}
        summed = torch.stack([self.factors[name] * total[at].sum() for name, at in rows.items()]).sum()
        terms = {"nll": -summed / (n * 3 * len(network.joints))}
        self.seen |= {name: -float(total[at].detach().mean()) for name, at in rows.items() if len(total[at])}
        if self.lengths and n > ends[1]:
            density = lifter.lengths_log_prob(
                observations.log_lengths[lift], rotations[lift], evidence[lift], context[lift]
            )
            terms["lengths"] = -self.lengths * density.mean() / len(GROUPS)
        return terms
