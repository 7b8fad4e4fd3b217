"""`Keypoints2D`: everything that a lifter may know about the people in some images.

Pixels, x right, y down. A joint that is not visible carries no information: its stored values are
overwritten here, so that nothing downstream can depend on them.

Values are validated once, at the door: by the constructor. Copies (of some poses, on another device, in another
skeleton) and what the house makes itself (`Keypoints2D.trusted`) are right by construction, and nothing of them is
checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.arrays import tensor_of
from ..geometry.skeletons import Skeleton, get_skeleton
from ..noise import keys_of
from .synthesis import Measured, synthesised

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


#: Attributes of `Keypoints2D` that have one entry per pose.
_PER_POSE = ("xy", "covariance", "visible", "image_size", "intrinsics", "height", "amplitude", "synthesised", "keys")
#: Those of them that hold nothing at a joint that is not visible.
_PER_JOINT = {"xy", "covariance", "visible", "amplitude", "synthesised"}
#: Numbers of a Gaussian fitted to a heatmap.
_FIT = 6


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
        fits: ``(*batch, joints, 6)`` what a fit to the detector's heatmap (64 x 64 px) said, beside the detection:
            amplitude, mean x and y, sigma_x, theta, sigma_y as `published_condition` takes them. The published flow
            alone reads it; unknown where None or NaN.
        outliers: ``(*batch, joints)`` how often such a keypoint is simply wrong, 0 to below 1, whatever its
            covariance says; 0 where None or NaN. Lifters with evidence find out which are.
        ids: a `PoseId` for each pose, in row-major batch order.
        device: where to keep the tensors; by default where ``xy`` is.

    Attributes:
        xy, covariance, visible: as above, where a joint is not visible replaced by 0 and the identity.
        amplitude: ``(*batch, joints)``, NaN where unknown or not visible.
        fits: ``(*batch, joints, 6)``, NaN where unknown or not visible; None where there are none.
        outliers: ``(*batch, joints)``, 0 where unknown or not visible; None where there are none.
        synthesised: ``(*batch, joints)`` bool, joints that `as_skeleton` made of others.
        image_size, intrinsics, height: ``(*batch, 2)``, ``(*batch, 4)``, ``(*batch,)``, NaN where unknown.
        keys: ``(*batch,)`` int64: what a pose's own random numbers are derived from, besides the seed. A hash of its
            visible coordinates as they came in, which copies keep: so a pose's answer depends on the pose and the seed
            alone, not on its place or on its company.
        rates: file of an id -> frames per second, of files that tell.

    Raises:
        InputError: (a ValueError) wrong shape, a visible joint that is not finite, a negative confidence,
            a covariance that is not positive definite, an unknown skeleton; names the joint.

    >>> import torch
    >>> keypoints = Keypoints2D(torch.rand(5, 17, 2) * 100, image_size=(640, 480))
    >>> keypoints.batch_shape, keypoints.skeleton.name
    (torch.Size([5]), 'h36m17')
    """

    rates: Mapping[str, float] = MappingProxyType({})
    fits: Tensor | None = None
    outliers: Tensor | None = None

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
        fits: Any = None,
        outliers: Any = None,
        ids: Sequence[PoseId] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.skeleton = get_skeleton(skeleton)
        xy = tensor_of(xy, "xy", device)
        joints = len(self.skeleton)
        if xy.ndim < 2 or xy.shape[-2:] != (joints, 2):
            raise InputError(
                f"xy has shape {tuple(xy.shape)}; skeleton {self.skeleton.name!r} needs (..., {joints}, 2)"
            )
        batch, device = xy.shape[:-2], xy.device
        if confidence is not None:
            confidence = self._shaped(tensor_of(confidence, "confidence", device), (*batch, joints), "confidence")
        self.visible: Tensor = self._checked_visible(visible, xy, confidence)
        self._refuse(self.visible & ~xy.isfinite().all(-1), xy, "xy", "finite pixel coordinates, or visible=False")
        self._refuse(
            self.visible & (xy.abs() > MAXIMUM_COORDINATE).any(-1),
            xy,
            "xy",
            f"pixel coordinates within ±{MAXIMUM_COORDINATE:.0e}",
        )
        self.xy: Tensor = xy
        self.covariance: Tensor = (
            self._covariance_of(confidence) if covariance is None else self._checked_covariance(covariance)
        )
        self.image_size = self._checked_size(image_size)
        self.intrinsics = self._checked_intrinsics(intrinsics)
        self.height = self._checked_height(height)
        self.amplitude = self._constant(amplitude, (joints,), "amplitude")
        infinite = self.visible & self.amplitude.isinf()
        self._refuse(infinite, self.amplitude, "amplitude", "a finite number, or NaN where unknown")
        if fits is not None:
            self.fits = self._constant(fits, (joints, _FIT), "fits")
            infinite = self.visible & self.fits.isinf().any(-1)
            self._refuse(infinite, self.fits, "fits", "finite numbers, or NaN where unknown")
        if outliers is not None:
            self.outliers = self._checked_outliers(outliers)
        if ids is not None and len(ids) != batch.numel():
            raise InputError(f"ids has {len(ids)} entries; there are {batch.numel()} poses")
        self.synthesised: Tensor = torch.zeros_like(self.visible)
        self._ids = None if ids is None else tuple(PoseId(*i) for i in ids)
        self._rows: Tensor | None = None
        self._overwrite_hidden()
        self.keys: Tensor = keys_of(self.xy, self.visible)

    @classmethod
    def trusted(
        cls,
        xy: Float[Tensor, "*batch joints 2"],
        covariance: Float[Tensor, "*batch joints 2 2"],
        visible: Bool[Tensor, "*batch joints"],
        image_size: Tensor | None = None,
        skeleton: str | Skeleton = "h36m17",
        *,
        intrinsics: Tensor | None = None,
        height: Tensor | None = None,
        amplitude: Float[Tensor, "*batch joints"] | None = None,
        outliers: Float[Tensor, "*batch joints"] | None = None,
    ) -> Keypoints2D:
        """Keypoints that are right by construction, of which nothing is checked: for who computes them.

        The arguments are the constructor's, as float32 tensors (``visible``: bool) on one device; ``covariance`` and
        ``visible`` have their full shape. What hidden joints hold is overwritten here too.
        """
        made = object.__new__(cls)
        made.skeleton = get_skeleton(skeleton)
        made.xy, made.covariance, made.visible = xy, covariance, visible
        made.image_size = made._constant(image_size, (2,), "image_size")
        made.intrinsics = made._constant(intrinsics, (4,), "intrinsics")
        made.height = made._constant(height, (), "height")
        made.amplitude = made._constant(amplitude, (len(made.skeleton),), "amplitude")
        made.outliers = outliers
        made.synthesised = torch.zeros_like(visible)
        made._ids = made._rows = None
        made._overwrite_hidden()
        made.keys = keys_of(made.xy, made.visible)
        return made

    def _overwrite_hidden(self) -> None:
        """Put 0, the identity and NaN where a joint is not visible."""
        seen = self.visible.unsqueeze(-1)
        self.xy = torch.where(seen, self.xy, 0.0)
        self.covariance = torch.where(seen.unsqueeze(-1), self.covariance, torch.eye(2, device=self.device))
        self.amplitude = torch.where(self.visible, self.amplitude, float("nan"))
        self.synthesised = self.synthesised & self.visible
        if self.fits is not None:
            self.fits = torch.where(seen, self.fits, float("nan"))
        if self.outliers is not None:
            self.outliers = torch.where(self.visible, self.outliers, 0.0)

    @property
    def ids(self) -> tuple[PoseId, ...]:
        """Where each pose came from, in row-major batch order; by default numbered as frames of no file."""
        if self._rows is not None:  # copies of some poses look their ids up when they are asked for
            rows = self._rows.tolist()
            every = self._ids
            self._ids = tuple(PoseId("", i, 0) for i in rows) if every is None else tuple(every[i] for i in rows)
            self._rows = None
        elif self._ids is None:
            self._ids = tuple(PoseId("", i, 0) for i in range(len(self)))
        return self._ids

    # -- validation ------------------------------------------------------------------------------------

    def _shaped(self, value: Tensor, shape: tuple[int, ...], name: str) -> Tensor:
        try:
            return value.expand(shape)
        except RuntimeError:
            raise InputError(f"{name} has shape {tuple(value.shape)}; expected {tuple(shape)}") from None

    def _constant(self, value: Any, event: tuple[int, ...], name: str) -> Tensor:
        """One value for all poses or one for each, as one for each; NaN where it is not given."""
        if value is None:
            return torch.full((*self.batch_shape, *event), float("nan"), device=self.device)
        return self._shaped(tensor_of(value, name, self.device), (*self.batch_shape, *event), name)

    def _checked_visible(self, given: Any, xy: Tensor, confidence: Tensor | None) -> Tensor:
        visible = ~xy.isnan().any(-1)
        if given is not None:
            told = self._shaped(tensor_of(given, "visible", xy.device), tuple(visible.shape), "visible")
            self._refuse(told != told.round(), told, "visible", "true or false; scores are given as confidence=")
            visible = told.bool()
        if confidence is None:
            return visible
        bad = visible & (~(confidence >= 0) | confidence.isinf())
        self._refuse(bad, confidence, "confidence", "a finite number, not negative")
        return visible if given is not None else visible & (confidence >= MINIMUM_CONFIDENCE)

    def _covariance_of(self, confidence: Tensor | None) -> Tensor:
        """What detectors' scores stand for, see `confidence_to_spread`."""
        scores = torch.ones_like(self.xy[..., 0]) if confidence is None else confidence
        shown = torch.where(self.visible.unsqueeze(-1), self.xy, 0.0)
        spread = confidence_to_spread(scores, person_size(shown, self.visible))
        return spread.square()[..., None, None] * torch.eye(2, device=self.device)

    def _checked_covariance(self, given: Any) -> Tensor:
        covariance, per_joint = tensor_of(given, "covariance", self.device), tuple(self.visible.shape)
        if covariance.shape == per_joint or covariance.ndim == 0:
            covariance = self._shaped(covariance, per_joint, "covariance")
            bad = self.visible & ~(covariance > 0)
            self._refuse(bad, covariance, "covariance", "a standard deviation above 0 px")
            covariance = covariance.square()[..., None, None] * torch.eye(2, device=self.device)
        covariance = self._shaped(covariance, (*per_joint, 2, 2), "covariance")
        determinant = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] * covariance[..., 1, 0]
        positive = (covariance[..., 0, 0] > 0) & (determinant > 0) & covariance.isfinite().all(-1).all(-1)
        asymmetry = (covariance[..., 0, 1] - covariance[..., 1, 0]).abs()
        positive &= asymmetry <= 1e-3 * covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
        self._refuse(self.visible & ~positive, covariance, "covariance", "a symmetric positive definite 2x2 matrix")
        return covariance

    def _checked_size(self, given: Any) -> Tensor:
        size = self._constant(given, (2,), "image_size")
        self._refuse_constant((size <= 0) | size.isinf(), size, "image_size", "(width, height) above 0")
        beyond = f"(width, height) of a picture, at most {MAXIMUM_COORDINATE:.0e} px"
        self._refuse_constant(size > MAXIMUM_COORDINATE, size, "image_size", beyond)
        return size

    def _checked_outliers(self, given: Any) -> Tensor:
        shares = self._constant(given, (len(self.skeleton),), "outliers").nan_to_num(0.0)
        bad = self.visible & ~((shares >= 0) & (shares < 1))
        self._refuse(bad, shares, "outliers", "a share from 0 to below 1, or NaN where unknown")
        return shares

    def _checked_intrinsics(self, given: Any) -> Tensor:
        camera = self._constant(given, (4,), "intrinsics")
        expected = "(fx, fy, cx, cy) with fx, fy above 0"
        impossible = camera.isinf()
        impossible[..., :2] |= camera[..., :2] <= 0
        self._refuse_constant(impossible, camera, "intrinsics", expected)
        return camera

    def _checked_height(self, given: Any) -> Tensor:
        height = self._constant(given, (), "height")
        self._refuse_constant((height < 0.3) | (height > 3.0), height, "height", "metres between 0.3 and 3")
        return height

    def _refuse(self, bad: Tensor, value: Tensor, name: str, expected: str) -> None:
        if not bad.any():
            return
        *pose, joint = bad.nonzero()[0].tolist()
        where = f"pose {pose[0] if len(pose) == 1 else tuple(pose)}, " if pose else ""
        found = value[tuple(bad.nonzero()[0].tolist())].tolist()
        raise InputError(f"{name}: {where}joint {self.skeleton.joints[joint]!r} has {found}; expected {expected}")

    def _refuse_constant(self, bad: Tensor, value: Tensor, name: str, expected: str) -> None:
        if bad.any():
            where = bad.nonzero()[0].tolist()[: len(self.batch_shape)]
            raise InputError(f"{name}: expected {expected}, got {value[tuple(where)].tolist()}")

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
        """A copy with some attributes changed, unchecked: for changes that cannot be wrong."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        if "ids" in changes:
            copy._ids, copy._rows = tuple(changes.pop("ids")), None
        copy.__dict__.update(changes)
        if _PER_JOINT & changes.keys():
            copy._overwrite_hidden()
        return copy

    def _map(self, change: Callable[[Tensor], Tensor]) -> Keypoints2D:
        """A copy with the same change to every tensor, which hides no joint and shows none."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, **{name: change(getattr(self, name)) for name in _PER_POSE})
        copy.fits = None if self.fits is None else change(self.fits)
        copy.outliers = None if self.outliers is None else change(self.outliers)
        return copy

    def flatten(self) -> Keypoints2D:
        """The same poses with one batch dimension."""
        batch, count = len(self.batch_shape), len(self)
        return self if batch == 1 else self._map(lambda t: t.reshape(count, *t.shape[batch:]))

    def __getitem__(self, index: Any) -> Keypoints2D:
        """Poses by index, slice or mask over the batch dimensions."""
        if not self.batch_shape:
            raise IndexError("these keypoints have no batch dimension")
        batch, count = len(self.batch_shape), len(self)
        index = index.cpu() if isinstance(index, Tensor) else index
        picked = torch.arange(count).reshape(self.batch_shape)[index]
        copy = self._map(lambda t: t.reshape(count, *t.shape[batch:])[picked.to(t.device)])
        rows = picked.reshape(-1)
        copy._rows = rows if self._rows is None else self._rows[rows]
        return copy

    def to(self, device: torch.device | str) -> Keypoints2D:
        """The same keypoints on another device."""
        return self._map(lambda t: t.to(device))

    def detach(self) -> Keypoints2D:
        """The same keypoints, cut off from what they were computed of: no gradient flows through them."""
        tensors = [getattr(self, name) for name in _PER_POSE] + [self.fits, self.outliers]
        if not any(tensor is not None and tensor.requires_grad for tensor in tensors):
            return self
        return self._map(lambda t: t.detach())

    def with_camera(self, intrinsics: Any = None, height: Any = None, image_size: Any = None) -> Keypoints2D:
        """The same keypoints with the given knowledge added (None keeps what there is).

        Raises:
            InputError: as the constructor, of what is given.
        """
        given = {"intrinsics": intrinsics, "height": height, "image_size": image_size}
        checks = {
            "intrinsics": self._checked_intrinsics,
            "height": self._checked_height,
            "image_size": self._checked_size,
        }
        return self._replace(**{name: checks[name](value) for name, value in given.items() if value is not None})

    def with_noise(self, factor: Float[Tensor, "*batch"]) -> Keypoints2D:
        """The same keypoints, their standard deviations multiplied by a factor above 0, one for each pose."""
        return self._replace(covariance=self.covariance * factor.square()[..., None, None, None])

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
        ids = tuple(chain.from_iterable(part.ids for part in flat))
        rates = {file: rate for part in flat for file, rate in part.rates.items()}
        joined: dict[str, Tensor | None] = {
            name: torch.cat([getattr(part, name) for part in flat]) for name in _PER_POSE
        }
        fits = [torch.full((*p.visible.shape, _FIT), float("nan")) if p.fits is None else p.fits for p in flat]
        joined["fits"] = None if all(part.fits is None for part in flat) else torch.cat(fits)
        shares = [torch.zeros_like(p.visible, dtype=p.xy.dtype) if p.outliers is None else p.outliers for p in flat]
        joined["outliers"] = None if all(part.outliers is None for part in flat) else torch.cat(shares)
        return flat[0]._replace(ids=ids, rates=rates, **joined)

    # -- skeletons -------------------------------------------------------------------------------------

    def as_skeleton(self, target: str | Skeleton) -> Keypoints2D:
        """These keypoints in another skeleton's joints.

        A joint that the source lacks, or that is missing in a pose, is a weighted sum of measured joints that are
        visible in that pose: the first of `poseterior.geometry.skeletons.RULES` that has them, its covariance
        propagated and widened by the rule's spread. It is missing where there is none. A joint made here makes no
        other in later maps (see ``synthesised``). A skeleton that has all of the target's joints is only reordered.
        """
        target = get_skeleton(target)
        if target == self.skeleton:
            return self
        known = Measured(*(getattr(self, name) for name in Measured._fields))
        size = person_size(self.xy, self.visible & ~self.synthesised)
        made = synthesised(known, size, self.skeleton, target)
        fits = None if self.fits is None else _copied(self.fits, self.skeleton, target)
        return self._replace(**made._asdict(), skeleton=target, fits=fits)


def _copied(
    fits: Float[Tensor, "*batch source n"], source: Skeleton, target: Skeleton
) -> Float[Tensor, "*batch target n"]:
    """What is known of single joints, for those that both skeletons have; NaN for others."""
    made = fits.new_full((*fits.shape[:-2], len(target), fits.shape[-1]), float("nan"))
    for joint, name in enumerate(target.joints):
        if name in source.joints:
            made[..., joint, :] = fits[..., source.index(name), :]
    return made
