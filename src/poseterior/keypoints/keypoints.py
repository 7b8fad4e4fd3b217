"""`Keypoints2D`: everything that a lifter may know about the people in some images.

Pixels, x right, y down. A joint that is not visible carries no information: its stored values are
overwritten here, once, so that nothing downstream can depend on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton, get_skeleton, skeleton_map

__all__ = [
    "FULL_CONFIDENCE_SPREAD",
    "MINIMUM_CONFIDENCE",
    "MINIMUM_SPREAD_PX",
    "Keypoints2D",
    "PoseId",
    "confidence_to_spread",
    "person_size",
]

#: A keypoint with less confidence than this counts as missing.
MINIMUM_CONFIDENCE = 0.1
#: Standard deviation of a keypoint of confidence 1, as a fraction of the person's size (about 7 mm).
FULL_CONFIDENCE_SPREAD = 0.015
#: Coordinates beyond this (px) are no photograph's; their squares would leave float32's precision behind.
MAXIMUM_COORDINATE = 1e7
#: No detector or click is better than half a pixel.
MINIMUM_SPREAD_PX = 0.5


#: Attributes of `Keypoints2D` that have one entry a pose.
_PER_POSE = ("xy", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude")


class PoseId(NamedTuple):
    """Where a pose came from."""

    file: str
    frame: int
    person: int


def person_size(
    xy: Float[Tensor, "*batch joints 2"], visible: Bool[Tensor, "*batch joints"]
) -> Float[Tensor, "*batch"]:
    """Root-mean-square distance of the visible keypoints from their centre, px (0 for fewer than two)."""
    weight = visible.to(xy.dtype).unsqueeze(-1)
    count = weight.sum(-2).clamp(min=1.0)
    centre = (xy * weight).sum(-2) / count
    squared = ((xy - centre.unsqueeze(-2)) ** 2 * weight).sum((-2, -1)) / count.squeeze(-1)
    return squared.sqrt()


def confidence_to_spread(
    confidence: Float[Tensor, "*batch joints"], size: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch joints"]:
    """Standard deviation in pixels that a detector's confidence stands for.

    The rule: ``sigma = max(0.5 px, 0.015 * size / confidence)`` with the confidence clipped to
    [`MINIMUM_CONFIDENCE`, 1] and ``size`` from `person_size`: confidence 1 is about 7 mm at the person,
    0.5 twice that. Detectors that know their uncertainty should pass ``covariance`` instead.
    """
    clipped = confidence.clamp(MINIMUM_CONFIDENCE, 1.0)
    return (FULL_CONFIDENCE_SPREAD * size.unsqueeze(-1) / clipped).clamp(min=MINIMUM_SPREAD_PX)


def _tensor(value: Any, name: str, device: torch.device | str | None) -> Tensor:
    try:
        return torch.as_tensor(value, dtype=torch.float32, device=device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(f"{name}: expected an array of numbers ({error})") from None


class Keypoints2D:
    """2D keypoints of any number of people: the evidence that a lifter conditions on.

    Args:
        xy: ``(*batch, joints, 2)`` pixels, x right, y down.
        covariance: ``(*batch, joints, 2, 2)`` px², or ``(*batch, joints)`` standard deviations in px;
            by default made from ``confidence`` by `confidence_to_spread`.
        visible: ``(*batch, joints)`` bool; by default a joint is visible where its coordinates are not NaN
            and its confidence is at least 0.1.
        image_size: ``(width, height)`` px, one for all or ``(*batch, 2)``; unknown where None or NaN.
        skeleton: name or `Skeleton` that gives the joint order.
        confidence: ``(*batch, joints)`` detector scores; scores above 1 count as 1; default 1.
        intrinsics: ``(fx, fy, cx, cy)`` px, one for all or ``(*batch, 4)``; unknown where None or NaN.
        height: the person's height in metres, one for all or ``(*batch,)``; unknown where None or NaN.
        amplitude: ``(*batch, joints)`` height of the peak in the detector's heatmap; unknown where None or NaN.
        ids: a `PoseId` for each pose, in row-major batch order.

    Attributes:
        xy, covariance, visible: as above, where a joint is not visible replaced by 0 and the identity.
        amplitude: ``(*batch, joints)``, NaN where unknown or not visible.
        image_size, intrinsics, height: ``(*batch, 2)``, ``(*batch, 4)``, ``(*batch,)``, NaN where unknown.

    Raises:
        InputError: (a ValueError) wrong shape, a visible joint that is not finite, a negative confidence,
            a covariance that is not positive definite, an unknown skeleton; names the joint.

    >>> import torch
    >>> keypoints = Keypoints2D(torch.rand(5, 17, 2) * 100, image_size=(640, 480))
    >>> keypoints.batch_shape, keypoints.skeleton.name
    (torch.Size([5]), 'h36m17')
    """

    def __init__(
        self,
        xy: Any,
        covariance: Any = None,
        visible: Any = None,
        image_size: Any = None,
        skeleton: str | Skeleton = "h36m17",
        *,
        confidence: Any = None,
        intrinsics: Any = None,
        height: Any = None,
        amplitude: Any = None,
        ids: Sequence[PoseId] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.skeleton = get_skeleton(skeleton)
        xy = _tensor(xy, "xy", device)
        joints = len(self.skeleton)
        if xy.ndim < 2 or xy.shape[-2:] != (joints, 2):
            raise InputError(
                f"xy has shape {tuple(xy.shape)}; skeleton {self.skeleton.name!r} needs (..., {joints}, 2)"
            )
        batch = xy.shape[:-2]
        device = xy.device
        given = visible is not None

        if confidence is not None:
            confidence = self._shaped(_tensor(confidence, "confidence", device), (*batch, joints), "confidence")
        if visible is None:
            visible = ~xy.isnan().any(-1)
        else:
            visible = self._shaped(_tensor(visible, "visible", device).bool(), (*batch, joints), "visible")
        if confidence is not None:
            bad = visible & (~(confidence >= 0) | confidence.isinf())
            self._refuse(bad, confidence, "confidence", "a finite number, not negative")
            if not given:
                visible = visible & (confidence >= MINIMUM_CONFIDENCE)
        self.visible: Tensor = visible
        self._refuse(visible & ~xy.isfinite().all(-1), xy, "xy", "finite pixel coordinates, or visible=False")
        self._refuse(
            visible & (xy.abs() > MAXIMUM_COORDINATE).any(-1),
            xy,
            "xy",
            f"pixel coordinates within ±{MAXIMUM_COORDINATE:.0e}",
        )
        self.xy: Tensor = torch.where(visible.unsqueeze(-1), xy, 0.0)

        if covariance is None:
            scores = torch.ones_like(self.xy[..., 0]) if confidence is None else confidence
            spread = confidence_to_spread(scores, person_size(self.xy, visible))
            covariance = spread.square()[..., None, None] * torch.eye(2, device=device)
        else:
            covariance = _tensor(covariance, "covariance", device)
            if covariance.shape == (*batch, joints) or covariance.ndim == 0:
                covariance = self._shaped(covariance, (*batch, joints), "covariance")
                self._refuse(visible & ~(covariance > 0), covariance, "covariance", "a standard deviation above 0 px")
                covariance = covariance.square()[..., None, None] * torch.eye(2, device=device)
            covariance = self._shaped(covariance, (*batch, joints, 2, 2), "covariance")
            determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] * covariance[..., 1, 0]
            positive = (covariance[..., 0, 0] > 0) & (determinant > 0) & covariance.isfinite().all(-1).all(-1)
            asymmetry = (covariance[..., 0, 1] - covariance[..., 1, 0]).abs()
            positive &= asymmetry <= 1e-3 * covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
            self._refuse(visible & ~positive, covariance, "covariance", "a symmetric positive definite 2x2 matrix")
        self.covariance: Tensor = torch.where(visible[..., None, None], covariance, torch.eye(2, device=device))

        self.image_size = self._constant(image_size, batch, (2,), "image_size", device)
        self.intrinsics = self._constant(intrinsics, batch, (4,), "intrinsics", device)
        self.height = self._constant(height, batch, (), "height", device)
        amplitude = self._constant(amplitude, batch, (joints,), "amplitude", device)
        self._refuse(visible & amplitude.isinf(), amplitude, "amplitude", "a finite number, or NaN where unknown")
        self.amplitude = torch.where(visible, amplitude, float("nan"))
        self._refuse_constant((self.image_size <= 0) | self.image_size.isinf(), "image_size", "(width, height) above 0")
        self._refuse_constant(self.intrinsics[..., :2] <= 0, "intrinsics", "(fx, fy, cx, cy) with fx, fy above 0")
        self._refuse_constant((self.height < 0.3) | (self.height > 3.0), "height", "metres between 0.3 and 3")
        if ids is not None and len(ids) != batch.numel():
            raise InputError(f"ids has {len(ids)} entries; there are {batch.numel()} poses")
        self.ids: tuple[PoseId, ...] = (
            tuple(PoseId("", i, 0) for i in range(batch.numel())) if ids is None else tuple(PoseId(*i) for i in ids)
        )

    # -- validation ------------------------------------------------------------------------------------

    def _shaped(self, value: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        try:
            return value.expand(shape)
        except RuntimeError:
            raise InputError(f"{name} has shape {tuple(value.shape)}; expected {tuple(shape)}") from None

    def _constant(self, value: Any, batch: torch.Size, event: tuple[int, ...], name: str, device: Any) -> Tensor:
        if value is None:
            return torch.full((*batch, *event), float("nan"), device=device)
        return self._shaped(_tensor(value, name, device), (*batch, *event), name)

    def _refuse(self, bad: Tensor, value: Tensor, name: str, expected: str) -> None:
        if not bad.any():
            return
        *pose, joint = bad.nonzero()[0].tolist()
        where = f"pose {pose[0] if len(pose) == 1 else tuple(pose)}, " if pose else ""
        found = value[tuple(bad.nonzero()[0].tolist())].tolist()
        raise InputError(f"{name}: {where}joint {self.skeleton.joints[joint]!r} has {found}; expected {expected}")

    def _refuse_constant(self, bad: Tensor, name: str, expected: str) -> None:
        if bad.any():
            where = bad.nonzero()[0].tolist()[: len(self.batch_shape)]
            raise InputError(f"{name}: expected {expected}, got {getattr(self, name)[tuple(where)].tolist()}")

    # -- shape -----------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch of poses."""
        return self.xy.shape[:-2]

    @property
    def device(self) -> torch.device:
        return self.xy.device

    def __len__(self) -> int:
        """Number of poses (product of the batch shape)."""
        return self.batch_shape.numel()

    def __repr__(self) -> str:
        missing = int((~self.visible).sum())
        shape = tuple(self.batch_shape)
        return f"Keypoints2D(batch_shape={shape}, skeleton={self.skeleton.name!r}, missing={missing})"

    @property
    def size(self) -> Float[Tensor, "*batch"]:
        """`person_size` of each pose, px."""
        return person_size(self.xy, self.visible)

    def _replace(self, **changes: Any) -> Keypoints2D:
        values: dict[str, Any] = {
            "xy": self.xy,
            "covariance": self.covariance,
            "visible": self.visible,
            "image_size": self.image_size,
            "skeleton": self.skeleton,
            "intrinsics": self.intrinsics,
            "height": self.height,
            "amplitude": self.amplitude,
            "ids": self.ids,
        }
        return Keypoints2D(**(values | changes))

    def _map(self, change: Any, ids: Sequence[PoseId]) -> Keypoints2D:
        return self._replace(ids=ids, **{name: change(getattr(self, name)) for name in _PER_POSE})

    def flatten(self) -> Keypoints2D:
        """The same poses with one batch dimension."""
        batch = len(self.batch_shape)
        return self._map(lambda t: t.reshape(len(self), *t.shape[batch:]), self.ids)

    def __getitem__(self, index: Any) -> Keypoints2D:
        """Poses by index, slice or mask over the batch dimensions."""
        if not self.batch_shape:
            raise IndexError("these keypoints have no batch dimension")
        batch = len(self.batch_shape)
        index = index.cpu() if isinstance(index, Tensor) else index
        picked = torch.arange(len(self)).reshape(self.batch_shape)[index]
        return self._map(
            lambda t: t.reshape(len(self), *t.shape[batch:])[picked.to(t.device)],
            [self.ids[i] for i in picked.reshape(-1).tolist()],
        )

    def to(self, device: torch.device | str) -> Keypoints2D:
        """The same keypoints on another device."""
        return self._map(lambda t: t.to(device), self.ids)

    def with_camera(self, intrinsics: Any = None, height: Any = None, image_size: Any = None) -> Keypoints2D:
        """The same keypoints with the given knowledge added (None keeps what there is)."""
        given = {"intrinsics": intrinsics, "height": height, "image_size": image_size}
        return self._replace(**{name: value for name, value in given.items() if value is not None})

    @staticmethod
    def cat(parts: Sequence[Keypoints2D]) -> Keypoints2D:
        """Join keypoints of one skeleton into one flat batch.

        Raises:
            InputError: nothing to join, or different skeletons.
        """
        if not parts:
            raise InputError("no keypoints to join")
        skeletons = {part.skeleton.name for part in parts}
        if len(skeletons) > 1:
            raise InputError(f"cannot join keypoints of different skeletons: {', '.join(sorted(skeletons))}")
        flat = [part.flatten() for part in parts]
        joined: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in flat]) for name in _PER_POSE}
        return Keypoints2D(**joined, skeleton=flat[0].skeleton, ids=[i for part in flat for i in part.ids])

    # -- skeletons -------------------------------------------------------------------------------------

    def as_skeleton(self, target: str | Skeleton) -> Keypoints2D:
        """These keypoints in another skeleton's joints.

        A joint that the source lacks is a weighted sum of others (see `poseterior.geometry.skeletons.RULES`), its
        covariance propagated and widened by the rule's spread; it is missing where the source cannot say
        anything, or where one of the joints it needs is missing in that pose.
        """
        target = get_skeleton(target)
        if target == self.skeleton:
            return self
        plan = skeleton_map(self.skeleton, target)
        weights = torch.as_tensor(plan.weights, dtype=self.xy.dtype, device=self.device)
        needed = (weights != 0).to(self.xy.dtype)
        hidden_parts = torch.einsum("ts,...s->...t", needed, (~self.visible).to(self.xy.dtype))
        visible = torch.as_tensor(plan.available, device=self.device) & (hidden_parts == 0)
        xy = torch.einsum("ts,...sc->...tc", weights, self.xy)
        covariance = torch.einsum("ts,...scd->...tcd", weights.square(), self.covariance)
        spread = torch.as_tensor(plan.spread, dtype=self.xy.dtype, device=self.device) * self.size.unsqueeze(-1)
        covariance = covariance + spread.square()[..., None, None] * torch.eye(2, device=self.device)
        unknown = torch.einsum("ts,...s->...t", needed, self.amplitude.isnan().to(self.xy.dtype)) > 0
        amplitude = torch.einsum("ts,...s->...t", weights, self.amplitude.nan_to_num(0.0))
        amplitude = torch.where(unknown, float("nan"), amplitude)
        return self._replace(xy=xy, covariance=covariance, visible=visible, amplitude=amplitude, skeleton=target)
