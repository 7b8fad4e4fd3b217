"""What a rotation network sees of a person: 2D keypoints, 3D keypoints or nothing, in one form.

Everything is in *network axes*: x right, y up, z towards the viewer (2D), or those in which the visible trunk
stands as at rest (3D). A hidden point holds zeros, whatever was stored; with nothing visible all is zero, so that
the network's answer is its prior.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.body import GROUPS, H36M_POINTS, SMPL25, log_group_ratios, rest_offsets
from ..geometry.nearest_rotations import procrustes
from ..keypoints import Keypoints2D
from ..keypoints.view import canonical_view
from .encoders import TYPICAL_SIZE, evidence_features, evidence_width

__all__ = [
    "FLAT_WIDTH",
    "SOLID_WIDTH",
    "BodyEvidence",
    "as_six",
    "evidence_from_keypoints",
    "evidence_from_points",
    "no_evidence",
]

_POINTS = len(SMPL25)
#: Standard deviation (metres) of an exact keypoint, and the one that enters as zero.
SHARPEST, _TYPICAL_SPREAD = 5e-4, 0.01

_BODY_WIDTH = len(GROUPS) + 2
#: Number of features of 2D keypoints, and of 3D keypoints.
FLAT_WIDTH = evidence_width(len(H36M_POINTS)) + _BODY_WIDTH
#: The last six of each point, about directions, came later: weights from before have none for them.
SOLID_WIDTH = 5 * _POINTS + _BODY_WIDTH + 6 * _POINTS

_TRUNK = (
    "pelvis",
    "left_hip",
    "right_hip",
    "hip_centre",
    "spine2",
    "spine3",
    "neck",
    "left_shoulder",
    "right_shoulder",
)
#: From camera axes (x right, y down, z forward) to network axes.
_UPRIGHT = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))


@dataclass(frozen=True)
class BodyEvidence:
    """Evidence of ``batch`` people.

    Attributes:
        flat: ``(*batch, FLAT_WIDTH)``, 2D keypoints as features.
        tokens: ``(*batch, SOLID_WIDTH)``, 3D keypoints as features.
        points: ``(*batch, 25, 3)`` metres in network axes: 3D keypoints, or 2D ones with z = 0 at about life size.
        seen: ``(*batch, 25)``.
        spread: ``(*batch, 25)`` logarithm of the points' standard deviation over 1 cm (of that of a ball as large as
            their ellipsoid); 0 where hidden.
        directions: ``(*batch, 25, 3, 3)`` in which directions 3D points are more uncertain, and in which less: half
            the logarithm of their covariance less `spread`, network axes, of trace 0; 0 where they are alike.
        solid: ``(*batch, 1)`` whether the points are 3D.
        some: ``(*batch, 1)`` whether anything is seen.
        frame: ``(*batch, 3, 3)`` from the caller's axes to network axes.
        offsets: ``(*batch, 25, 3)`` rest offsets taken for forward kinematics.
        picture: ``(*batch, 17, 2)`` 2D h36m17 points of the canonical view, y up; 0 where hidden.
    """

    flat: Tensor
    tokens: Tensor
    points: Tensor
    seen: Tensor
    spread: Tensor
    directions: Tensor
    solid: Tensor
    some: Tensor
    frame: Tensor
    offsets: Tensor
    picture: Tensor

    def __getitem__(self, index: Tensor | slice | int) -> BodyEvidence:
        return BodyEvidence(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def batch_shape(self) -> torch.Size:
        return self.some.shape[:-1]

    def expand(self, batch_shape: torch.Size) -> BodyEvidence:
        """The same evidence for each element of a larger batch."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        batch = len(self.batch_shape)
        return BodyEvidence(**{name: part.expand(*batch_shape, *part.shape[batch:]) for name, part in parts.items()})

    def to(self, dtype: torch.dtype) -> BodyEvidence:
        """With floating-point parts of that precision."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        parts = {name: part.to(dtype) if part.is_floating_point() else part for name, part in parts.items()}
        # The frame must stay a rotation to the precision of the densities: one Newton-Schulz step.
        turn = parts["frame"]
        parts["frame"] = 1.5 * turn - 0.5 * turn @ turn.transpose(-1, -2) @ turn
        return BodyEvidence(**parts)

    @staticmethod
    def cat(parts: list[BodyEvidence]) -> BodyEvidence:
        """Join along the first batch dimension."""
        return BodyEvidence(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(BodyEvidence)})


def _batch(value: Tensor, batch: torch.Size) -> Tensor:
    return value.expand(*batch, *value.shape)


def no_evidence(batch: torch.Size | tuple[int, ...] = (), device: torch.device | str = "cpu") -> BodyEvidence:
    """Nothing seen: the prior. The pelvis' rotation is in camera axes."""
    batch = torch.Size(batch)
    zeros = torch.zeros(*batch, _POINTS, device=device)
    return BodyEvidence(
        flat=torch.zeros(*batch, FLAT_WIDTH, device=device),
        tokens=torch.zeros(*batch, SOLID_WIDTH, device=device),
        points=torch.zeros(*batch, _POINTS, 3, device=device),
        seen=zeros.bool(),
        spread=zeros,
        directions=torch.zeros(*batch, _POINTS, 3, 3, device=device),
        solid=torch.zeros(*batch, 1, dtype=torch.bool, device=device),
        some=torch.zeros(*batch, 1, dtype=torch.bool, device=device),
        frame=_batch(torch.tensor(_UPRIGHT, device=device), batch),
        offsets=_batch(rest_offsets().to(device), batch),
        picture=torch.zeros(*batch, len(H36M_POINTS), 2, device=device),
    )


def evidence_from_keypoints(
    keypoints: Keypoints2D, offsets: Float[Tensor, "*batch 25 3"] | None = None
) -> BodyEvidence:
    """2D keypoints (skeleton h36m17), seen by a turned camera that looks straight at the person.

    Args:
        keypoints: the evidence.
        offsets: rest offsets of the body where they are known (metres); they enter as features.
    """
    view = canonical_view(keypoints)
    batch, device = view.visible.shape[:-1], view.points.device
    some = view.visible.any(-1, keepdim=True)
    flipped = view.points * view.points.new_tensor([1.0, -1.0])
    points = torch.zeros(*batch, _POINTS, 3, device=device)
    seen = torch.zeros(*batch, _POINTS, dtype=torch.bool, device=device)
    spread = torch.zeros(*batch, _POINTS, device=device)
    index = list(H36M_POINTS)
    points[..., index, :2] = TYPICAL_SIZE * flipped
    seen[..., index] = view.visible
    sigma = TYPICAL_SIZE * (0.5 * view.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)).clamp(min=1e-12).sqrt()
    spread[..., index] = torch.where(view.visible, _log_spread(sigma), 0.0)
    upright = torch.tensor(_UPRIGHT, device=device)
    features = torch.cat([evidence_features(view), _body_features(offsets, some)], -1)
    return BodyEvidence(
        flat=torch.where(some, features, 0.0),
        tokens=torch.zeros(*batch, SOLID_WIDTH, device=device),
        points=points,
        seen=seen,
        spread=spread,
        directions=torch.zeros(*batch, _POINTS, 3, 3, device=device),
        solid=torch.zeros_like(some),
        some=some,
        frame=upright @ view.rotation,
        offsets=_offsets_or_rest(offsets, batch, device),
        picture=flipped,
    )


def evidence_from_points(
    points: Float[Tensor, "*batch 25 3"],
    seen: Bool[Tensor, "*batch 25"],
    sigma: Float[Tensor, "*batch 25"],
    offsets: Float[Tensor, "*batch 25 3"],
    lengths_known: Bool[Tensor, "*batch"] | None = None,
    covariance: Float[Tensor, "*batch 25 3 3"] | None = None,
) -> BodyEvidence:
    """3D keypoints of `poseterior.geometry.body.SMPL25`, in any place and orientation.

    Args:
        points: metres, any axes.
        seen: which of them count; the others may hold anything, NaN included.
        sigma: standard deviations, metres (0: exact); they do not matter where there is a covariance.
        offsets: rest offsets of the body, metres (`poseterior.geometry.body.rest_offsets`).
        lengths_known: False where ``offsets`` are a guess (default: known).
        covariance: m², in the points' axes; None: alike in all directions.
    """
    batch, device = points.shape[:-2], points.device
    some = seen.any(-1, keepdim=True)
    # Poses last: operations on rows of three numbers take many times as long.
    shown = seen.movedim(-1, 0).unsqueeze(1)
    placed = torch.where(shown, points.movedim((-2, -1), (0, 1)).contiguous(), 0.0)
    centred = torch.where(shown, placed - placed.sum(0) / shown.sum(0).clamp(min=1), 0.0)
    frame = _trunk_frame(centred, shown.to(points.dtype), offsets)
    turned = _frame_axes(frame, centred)
    if covariance is None:
        spread = torch.where(seen, _log_spread(sigma), 0.0)
        directions = spread.new_zeros(()).expand(*spread.shape, 3, 3)
        six = spread.new_zeros(()).expand(*spread.shape, 6)
    else:
        spread, directions = _log_covariance(torch.where(seen[..., None, None], covariance, torch.eye(3).to(points)))
        directions = frame.unsqueeze(-3) @ directions @ frame.unsqueeze(-3).transpose(-1, -2)
        spread = torch.where(seen, spread, 0.0)
        directions = torch.where(seen[..., None, None], directions, 0.0)
        six = as_six(0.5 * directions)
    nothing = torch.zeros((), device=device)
    each = (turned / TYPICAL_SIZE, shown.to(points.dtype), 0.5 * spread.movedim(-1, 0).unsqueeze(1))
    tokens = torch.cat(each, 1).flatten(0, 1).movedim(0, -1)
    known = torch.ones(batch, dtype=torch.bool, device=device) if lengths_known is None else lengths_known
    return BodyEvidence(
        flat=nothing.expand(*batch, FLAT_WIDTH),
        tokens=torch.cat([tokens, _body_features(offsets, some, known), six.flatten(-2)], -1),
        points=turned.movedim((0, 1), (-2, -1)),
        seen=seen,
        spread=spread,
        directions=directions,
        solid=some,
        some=some,
        frame=frame,
        offsets=_offsets_or_rest(offsets, batch, device),
        picture=nothing.expand(*batch, len(H36M_POINTS), 2),
    )


def _log_spread(sigma: Tensor) -> Tensor:
    return (sigma.clamp(min=SHARPEST) / _TYPICAL_SPREAD).log().clamp(-4.0, 4.0)


def _log_covariance(covariance: Float[Tensor, "*any 3 3"]) -> tuple[Float[Tensor, "*any"], Float[Tensor, "*any 3 3"]]:
    """A covariance (m²) as `BodyEvidence.spread` and `BodyEvidence.directions`."""
    variance, axes = torch.linalg.eigh(covariance)
    logs = _log_spread(variance.clamp(min=0.0).sqrt())
    middle = logs.mean(-1)
    return middle, (axes * (logs - middle.unsqueeze(-1)).unsqueeze(-2)) @ axes.transpose(-1, -2)


def as_six(symmetric: Float[Tensor, "*any 3 3"]) -> Float[Tensor, "*any 6"]:
    """The numbers of a symmetric matrix: its diagonal, then xy, xz and yz."""
    flat = symmetric.flatten(-2)
    return flat[..., [0, 4, 8, 1, 2, 5]]


def _offsets_or_rest(offsets: Tensor | None, batch: torch.Size, device: torch.device | str) -> Tensor:
    return _batch(rest_offsets().to(device), batch) if offsets is None else offsets.expand(*batch, _POINTS, 3)


def _body_features(offsets: Tensor | None, some: Tensor, known: Tensor | None = None) -> Tensor:
    """Bone lengths as features ``(*batch, groups + 2)``: log-ratios, whether they are known, whether given at all."""
    batch = some.shape[:-1]
    if offsets is None:
        return torch.zeros(*batch, len(GROUPS) + 2, device=some.device)
    ratios = log_group_ratios(offsets.expand(*batch, _POINTS, 3))
    known = torch.ones_like(some) if known is None else known.unsqueeze(-1)
    features = torch.cat([5.0 * ratios, known.to(ratios.dtype), torch.ones_like(some, dtype=ratios.dtype)], -1)
    return torch.where(some, features, 0.0)


def _frame_axes(
    frame: Float[Tensor, "*batch 3 3"], vectors: Float[Tensor, "points 3 *batch"]
) -> Float[Tensor, "points 3 *batch"]:
    """Vectors in the axes of a frame."""
    (a, b, c), (x, y, z) = frame.movedim((-1, -2), (0, 1)).contiguous(), vectors.unsqueeze(2).unbind(1)
    return x * a + y * b + z * c


def _at_rest(offsets: Float[Tensor, "25 3 *batch"]) -> Float[Tensor, "25 3 *batch"]:
    """The points of a body at rest, from its pelvis."""
    placed: list[Tensor] = []
    for offset, parent in zip(offsets, SMPL25.parents, strict=True):
        placed.append(torch.zeros_like(offset) if parent < 0 else placed[parent] + offset)
    return torch.stack(placed)


def _trunk_frame(
    centred: Float[Tensor, "25 3 *batch"], shown: Float[Tensor, "25 1 *batch"], offsets: Float[Tensor, "*batch 25 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The rotation that takes the visible trunk onto the resting one; limbs decide only where the trunk does not."""
    share = torch.full((_POINTS,), 0.01, dtype=centred.dtype, device=centred.device)
    share[[SMPL25.index(name) for name in _TRUNK]] = 1.0
    weight = share.reshape(-1, *[1] * (shown.ndim - 1)) * shown
    total = weight.sum(0).clamp(min=1e-6)
    rest = _at_rest(offsets.expand(*centred.shape[2:], _POINTS, 3).movedim((-2, -1), (0, 1)))
    rest = (rest - (rest * weight).sum(0) / total) * weight
    body = centred - (centred * weight).sum(0) / total
    cross = torch.stack([(row.unsqueeze(1) * body).sum(0) for row in rest.unbind(1)])
    # Where the points do not fix the frame: as a person who faces the camera.
    upright = torch.tensor(_UPRIGHT, dtype=centred.dtype, device=centred.device)
    return procrustes(cross.movedim((0, 1), (-2, -1)) + 1e-4 * upright)
