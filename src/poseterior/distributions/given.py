"""A distribution that has been given what its keypoints say exactly."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.frames import RootedFrame
from ..keypoints import Keypoints2D
from ..noise import Noise
from .base import PoseDistribution
from .evidence import Evidence, EvidenceMap, evidence_map
from .mixture import MixturePoseDistribution
from .mixture_balls import pose_balls
from .told_height import DRAWS, height_map, then

__all__ = ["GivenEvidence", "given_evidence"]


class GivenEvidence(PoseDistribution):
    """A distribution that has been given its keypoints' exact likelihood: see `PoseDistribution.given_evidence`.

    Every sample is one of the base distribution's, moved by one affine map per pose. `rsample` has gradients through
    the base's samples; the map counts as constant.

    Attributes:
        base: the distribution before.
        evidence: how the keypoints were given.
    """

    has_evidence = True

    def __init__(self, base: PoseDistribution, keypoints: Keypoints2D, evidence: Evidence | None = None) -> None:
        super().__init__(base.batch_shape, base.skeleton, like=base._like)
        self.base, self.evidence = base, evidence or Evidence()
        self.has_density, self.has_rsample = base.has_density, base.has_rsample
        self.can_marginalise = isinstance(base, MixturePoseDistribution)
        self.keypoints = keypoints  # no recalibration: that of the base is of other samples
        self._given = keypoints  # what the map is made of, whatever ``keypoints`` is set to later
        if torch.is_grad_enabled():
            self._exact  # noqa: B018 - now, with the gradients of the base's moments

    @property
    def _exact(self) -> EvidenceMap:
        """The map in double precision: its inverse takes more digits than it has in single precision.

        Made when it is first asked for: a base that is asked for samples before that finds its moments on the way.
        """
        if "exact" not in self._cache:
            self._cache["exact"] = self._made(self._given)
        found: EvidenceMap = self._cache["exact"]
        return found

    @property
    def _map(self) -> EvidenceMap:
        if "map" not in self._cache:
            self._cache["map"] = EvidenceMap(*(part.to(self.dtype) for part in self._exact))
        found: EvidenceMap = self._cache["map"]
        return found

    def _made(self, keypoints: Keypoints2D) -> EvidenceMap:
        dims = 3 * len(self.skeleton.nonroot)
        batch = self.batch_shape
        if not batch.numel():
            empty = torch.zeros(*batch, dims, dtype=self.dtype, device=self.device)
            square = torch.zeros(*batch, dims, dims, dtype=self.dtype, device=self.device)
            return EvidenceMap(empty, empty, square, empty[..., 0])
        covariance = self._cache["base covariance"] = self.base._joint_moments()[1]
        mean, covariance = self.base.mean.detach().double(), covariance.detach().double()
        covariance = covariance.reshape(-1, dims, dims)
        seen = keypoints.flatten()
        flat = evidence_map(mean.reshape(-1, *self.event_shape), covariance, seen, self.evidence, self.dtype)
        if self.skeleton.name == "h36m17" and bool(seen.height.isfinite().any()):
            draws = self.base._draws_for_summary(DRAWS).detach().double().reshape(-1, len(seen), *self.event_shape)
            told = height_map(
                self._moved(draws, flat), flat.after, flat.forward @ covariance @ flat.forward.mT, seen.height.double()
            )
            flat = then(flat, told)
        return EvidenceMap(*(part.reshape((*batch, *part.shape[1:])) for part in flat))

    def _details(self) -> dict[str, Any]:
        return {"base": type(self.base).__name__}

    def _expanded(self, batch_shape: torch.Size) -> GivenEvidence:
        new = super()._expanded(batch_shape)
        new.base = self.base.expand(batch_shape)
        before = len(self.batch_shape)
        parts = (part.expand(*batch_shape, *part.shape[before:]) for part in self._exact)
        new._cache |= {"exact": EvidenceMap(*parts), "base covariance": self._cache.get("base covariance")}
        return new

    # -- the map -------------------------------------------------------------------------------------------

    def _flat(self, poses: Tensor) -> Tensor:
        return RootedFrame(self.skeleton).from_camera(poses).flatten(-2)

    def _unflat(self, flat: Tensor) -> Tensor:
        return RootedFrame(self.skeleton).to_camera(flat.unflatten(-1, (-1, 3)))

    def _moved(
        self, poses: Float[Tensor, "*samples_batch joints 3"], by: EvidenceMap | None = None
    ) -> Float[Tensor, "*samples_batch joints 3"]:
        """Poses of the base as they are with the evidence, all of it or what a map has of it."""
        by = self._map if by is None else by
        return self._unflat(_apply(by.forward, self._flat(poses) - by.before) + by.after)

    def _middle(self) -> Float[Tensor, "*batch joints 3"]:
        """Where the base's mean goes."""
        return self._moved(self.base.mean)

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        if isinstance(self.base, MixturePoseDistribution):
            return self.base.draw_moved(shape, noise, self._map.forward, self._middle(), False)[0]
        return self._moved(self.base._draw(shape, noise))

    def _draw_and_log_prob(self, shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        if isinstance(self.base, MixturePoseDistribution):
            drawn, density = self.base.draw_moved(shape, noise, self._map.forward, self._middle(), True)
            assert density is not None
            return drawn, density - self._map.log_det
        drawn, density = self.base._draw_and_log_prob(shape, noise)
        return self._moved(drawn), density - self._map.log_det

    def _log_prob(self, value: Tensor, observed: Tensor | None) -> Tensor:
        if observed is not None:
            return self._marginal(value, observed)
        if "backward" not in self._cache:
            self._cache["backward"] = torch.linalg.inv(self._exact.forward).to(self.dtype)
        before = _apply(self._cache["backward"], self._flat(value) - self._map.after) + self._map.before
        return self.base._log_prob(self._unflat(before), None) - self._map.log_det

    def _marginal(self, value: Tensor, observed: Tensor) -> Tensor:
        """Of a mixture: each component, moved, is a Gaussian whose joints are correlated in any way."""
        assert isinstance(self.base, MixturePoseDistribution)
        weights, loc, covariance = self.base.dense()
        forward = self._map.forward.unsqueeze(-3)
        loc = _apply(forward, loc - self._map.before.unsqueeze(-2)) + self._map.after.unsqueeze(-2)
        covariance = forward @ covariance @ forward.mT
        kept = observed[..., self.skeleton.nonroot].repeat_interleave(3, -1).unsqueeze(-2)
        both = kept.unsqueeze(-1) & kept.unsqueeze(-2)
        # A joint that is not observed becomes a standard normal at its own mean, which adds a known constant.
        covariance = torch.where(both, covariance, torch.eye(kept.shape[-1]).to(covariance))
        lower = torch.linalg.cholesky(covariance)
        gap = torch.where(kept, self._flat(value).unsqueeze(-2) - loc, 0.0)
        white = torch.linalg.solve_triangular(lower, gap.unsqueeze(-1), upper=False).squeeze(-1)
        log_det = lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = 0.5 * math.log(2 * math.pi) * kept.sum(-1).to(log_det.dtype)
        return (weights - 0.5 * white.square().sum(-1) - log_det - constant).logsumexp(-1)

    # -- summaries -----------------------------------------------------------------------------------------

    def _mean(self) -> Tensor:
        return self._unflat(self._map.after)

    def _joint_moments(self) -> tuple[Tensor, Tensor]:
        forward, covariance = self._map.forward, self._cache["base covariance"]
        return self._mean(), forward @ covariance @ forward.mT

    def _covariance(self) -> Tensor:
        return self._kept("covariance", lambda: self._blocks(self._joint_moments()[1]))

    def _closed_balls(self, level: float) -> tuple[Tensor, Tensor] | None:
        if not isinstance(self.base, MixturePoseDistribution):
            return None
        parts = self.base.components()
        forward = self._map.forward.reshape(-1, *self._map.forward.shape[-2:])
        moved = (parts.offsets.flatten(2) @ forward.mT).view(parts.offsets.shape)
        return pose_balls(parts._replace(offsets=moved), self._mean(), self._covariance(), self.skeleton, level)

    def _mode(self) -> Tensor:
        return self._moved(self.base.mode)

    def _hypotheses(self) -> tuple[Tensor, Tensor]:
        poses, weights = self.base._hypotheses()
        return self._moved(poses.movedim(-3, 0)).movedim(0, -3), weights

    def _draws_for_summary(self, count: int | None = None) -> Tensor:
        return self._moved(self.base._draws_for_summary(count))

    def _weighted_draw(self, samples: int, noise: Noise) -> tuple[Tensor, Tensor]:
        poses, weights = self.base._weighted_draw(samples, noise)
        return self._moved(poses), weights

    def __getattr__(self, name: str) -> Any:
        # The pose of the zero latent exists where the base has one.
        if name == "z0" and "base" in self.__dict__:
            return self._moved(self.base.z0)  # type: ignore[attr-defined]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def given_evidence(
    poses: PoseDistribution, keypoints: Keypoints2D | None = None, evidence: Evidence | None = None
) -> GivenEvidence:
    """See `PoseDistribution.given_evidence`."""
    if poses.has_evidence:
        raise InputError(
            "given_evidence: these poses have been given their keypoints already; twice would count them double. For "
            "the network's own answer: pp.load(..., evidence=False)"
        )
    keypoints = poses.keypoints if keypoints is None else keypoints
    if keypoints is None:
        raise InputError("given_evidence: no lifter made this distribution; name the keypoints that it was made of")
    if keypoints.batch_shape != poses.batch_shape:
        raise InputError(
            f"given_evidence: keypoints of batch shape {tuple(keypoints.batch_shape)} for poses of "
            f"{tuple(poses.batch_shape)}"
        )
    return GivenEvidence(poses, keypoints.as_skeleton(poses.skeleton), evidence)


def _apply(matrix: Float[Tensor, "*batch d d"], flat: Float[Tensor, "*samples_batch d"]) -> Tensor:
    """``matrix @ x`` for every sample: one product per element of the batch."""
    extra = flat.ndim - (matrix.ndim - 1)
    if extra <= 0:
        return (matrix @ flat.unsqueeze(-1)).squeeze(-1)
    rows = flat.flatten(0, extra - 1).movedim(0, -2)
    return (rows @ matrix.mT).movedim(-2, 0).unflatten(0, flat.shape[:extra])
