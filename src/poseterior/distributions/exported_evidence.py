"""The update of `poseterior.distributions.evidence`, by sums and products alone, so that it can be exported.

With ``S = H C H^T``, H the whitened slopes of the keypoints and C the covariance of the pose, the map of the samples is
``I - C H^T Z^2 (I + Z)^-1 H`` with ``Z = (I + S)^(-1/2)``: that of `evidence_map`, which takes torch's factors of
``I + S`` and of the equations of the root, where this has sums and products.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..geometry.cameras import linear_projection
from ..geometry.spd import inverse_2x2, inverse_3x3, inverse_square_root, inverse_within, transposed
from ..keypoints import Keypoints2D
from ..keypoints.view import camera_of
from .evidence import BLUR, FOCAL_SPREAD, Evidence, before_camera, missing_information, no_finer, whitening_share

__all__ = ["MomentMap", "moment_map"]

#: Share of their size that is added to sums of squares of what may have no size.
_LEAST = 1e-12


class MomentMap(NamedTuple):
    """``x' = after + forward (x - before)`` on the joints other than the root, flattened; float64.

    Attributes:
        before, after: ``(n, d)`` means, metres.
        forward: ``(n, d, d)``.
    """

    before: Tensor
    after: Tensor
    forward: Tensor

    def moved(self, flat: Float[Tensor, "samples n d"]) -> Float[Tensor, "samples n d"]:
        """Samples, in their own precision."""
        rows = (flat - self.before.to(flat)).transpose(0, 1)  # poses first: one product per pose, whatever the samples
        return (rows @ transposed(self.forward).to(flat)).transpose(0, 1) + self.after.to(flat)

    def covariance(self, before: Float[Tensor, "n d d"]) -> Float[Tensor, "n d d"]:
        """What a covariance becomes."""
        return self.forward @ before @ transposed(self.forward)


def moment_map(
    mean: Float[Tensor, "n joints 3"], covariance: Float[Tensor, "n d d"], keypoints: Keypoints2D, evidence: Evidence
) -> MomentMap:
    """The map of `poseterior.distributions.evidence.evidence_map`, equal up to rounding.

    Args:
        mean: metres, float64.
        covariance: m², of the joints other than the root, float64.
        keypoints: one batch dimension, in the skeleton of the poses.
        evidence: of the weights.
    """
    nonroot = list(keypoints.skeleton.nonroot)
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    covariance = covariance + BLUR**2 * identity
    before = mean[:, nonroot].flatten(1)
    seen = _Keypoints.of(keypoints, evidence.coarseness)
    after = before
    for _ in range(2):
        residual, slope = seen.about(after.unflatten(1, (-1, 3)))
        across = covariance @ transposed(slope)
        observed = slope @ across
        unit = torch.eye(observed.shape[-1], dtype=observed.dtype, device=observed.device)
        root = inverse_square_root(unit + observed)
        linear = residual.unsqueeze(-1) + slope @ (after - before).unsqueeze(-1)
        after = before + (across @ (root @ (root @ linear))).squeeze(-1)
    gain = across @ (root @ root @ inverse_within(unit + root))
    return MomentMap(before, after, identity - gain @ slope)


class _Keypoints(NamedTuple):
    """What of the keypoints does not depend on the pose.

    Attributes:
        xy: ``(n, joints, 2)`` px from the principal point.
        covariance: ``(n, joints, 2, 2)`` px².
        shown: ``(n, joints)`` 1 where visible.
        focal: ``(n, 2)`` px.
        coarseness: metres.
        zoom: ``(n,)`` standard deviation of the logarithm of the focal length.
        useful: ``(n,)`` whether there is evidence at all.
        camera: ``(n, joints, 2, 3)`` equations of the root.
        precision: ``(n, joints, 2, 2)`` of each, zero where hidden.
        place: ``(n, 3, 3)`` inverse of their normal matrix.
        nonroot: numbers of the joints other than the root.
    """

    xy: Tensor
    covariance: Tensor
    shown: Tensor
    focal: Tensor
    coarseness: float
    zoom: Tensor
    useful: Tensor
    camera: Tensor
    precision: Tensor
    place: Tensor
    nonroot: list[int]

    @classmethod
    def of(cls, keypoints: Keypoints2D, coarseness: float) -> _Keypoints:
        intrinsics, knowledge = camera_of(keypoints)
        intrinsics = intrinsics.double()
        useful = (keypoints.visible.sum(-1) >= 2) & (knowledge > 0)
        shown = keypoints.visible.to(intrinsics)
        focal = intrinsics[:, :2]
        xy = keypoints.xy.double() - intrinsics[:, None, 2:]
        covariance = no_finer(keypoints.covariance.double())
        wide = torch.diag_embed(focal).unsqueeze(1) + torch.zeros_like(xy).unsqueeze(-1)
        camera = torch.cat([wide, -xy.unsqueeze(-1)], -1)
        precision = inverse_2x2(covariance) * shown[..., None, None]
        normal = (transposed(camera) @ precision @ camera).sum(1)
        place = inverse_3x3(_safe(normal, useful))
        return cls(
            xy, covariance, shown, focal, coarseness, _focal_spread(knowledge), useful, camera, precision, place,
            list(keypoints.skeleton.nonroot),
        )  # fmt: skip

    def about(self, nonroot: Float[Tensor, "n nonroot 3"]) -> tuple[Tensor, Tensor]:
        """Residual ``(n, 2 joints)`` and slope ``(n, 2 joints, d)`` of the keypoints about a pose, whitened."""
        root = next((i for i, joint in enumerate(self.nonroot) if i != joint), len(self.nonroot))
        pose = torch.cat([nonroot[:, :root], torch.zeros_like(nonroot[:, :1]), nonroot[:, root:]], 1)
        right = transposed(self.camera) @ (self.precision @ (self.camera @ pose.unsqueeze(-1)))
        stands = -(self.place @ right.sum(1)).squeeze(-1)
        places = pose + stands.unsqueeze(1)
        useful = self.useful[:, None, None] & before_camera(places, self.shown[..., None, None])
        offset, slope = linear_projection(places, self.focal[:, None])
        scale = slope[..., :2].diagonal(dim1=-2, dim2=-1)  # px per metre
        information = missing_information(no_finer(self.covariance, scale), self.coarseness * scale)
        half = transposed(information) * self.shown[..., None, None]
        residual = (half @ (self.xy - offset).unsqueeze(-1)).flatten(1)
        slope = half @ slope
        zoomed = (half @ offset.unsqueeze(-1)).flatten(1)
        moved = slope.flatten(1, 2)
        joints, back = slope.shape[1], transposed(moved)
        own = torch.eye(joints, dtype=slope.dtype, device=slope.device)[:, self.nonroot]
        whole = (slope.unsqueeze(-2) * own[:, None, :, None]).flatten(1, 2).flatten(2)
        columns = torch.cat([whole, residual.unsqueeze(-1), zoomed.unsqueeze(-1)], -1)
        inside = inverse_3x3(_safe(back @ moved, self.useful))
        columns = columns - moved @ (inside @ (back @ columns))
        dims = whole.shape[-1]
        nuisance = columns[..., dims + 1 :] * self.zoom[:, None, None]
        residual, whole = _whitened(columns[..., dims : dims + 1], columns[..., :dims], nuisance)
        counts = useful.to(whole)
        return residual * counts.squeeze(-1), whole * counts


def _whitened(residual: Tensor, slope: Tensor, nuisance: Float[Tensor, "n d 1"]) -> tuple[Tensor, Tensor]:
    """Both as they are where the noise is ``I + g g^T``: multiplied by its inverse square root."""
    less = whitening_share(nuisance)

    def white(columns: Tensor) -> Tensor:
        return columns - less * nuisance * (nuisance * columns).sum(-2, keepdim=True)

    return white(residual).squeeze(-1), white(slope)


def _safe(normal: Float[Tensor, "n 3 3"], useful: Tensor) -> Float[Tensor, "n 3 3"]:
    """The identity where nothing is asked, and never quite singular."""
    identity = torch.eye(3, dtype=normal.dtype, device=normal.device)
    diagonal = torch.diag_embed(normal.diagonal(dim1=-2, dim2=-1))
    return torch.where(useful[:, None, None], normal + _LEAST * diagonal, identity)


def _focal_spread(knowledge: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return torch.where(knowledge == 1, FOCAL_SPREAD[1], 0.0).double()
