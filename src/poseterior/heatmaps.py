"""Detector heatmaps as evidence: a rotated, anisotropic Gaussian for each joint's heatmap.

A heatmap says more than where its peak is: how sure the detector is, and in which direction it is not.
`fit_gaussians` measures that, `HeatmapGaussians.keypoints` hands it to any lifter, and
`HeatmapGaussians.condition` to the published one. Heatmap pixels: x right, y down, the centre of the first pixel
is (0, 0).
"""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .errors import InputError
from .export.results import atomic_write
from .keypoint_files._common import (
    Array,
    Options,
    covering_skeleton,
    naming,
    refuse_unknown,
    resolve_names,
    temporary_skeleton,
)
from .keypoint_files.arrays import _check_header, _load_entry, _skeleton_of
from .keypoints import MINIMUM_CONFIDENCE, Keypoints2D
from .nn.normalise import standardise_keypoints
from .skeletons import Skeleton, get_skeleton

__all__ = [
    "CONDITION_JOINTS",
    "MAXIMUM_VALUE",
    "MINIMUM_SIGMA",
    "HeatmapFile",
    "HeatmapGaussians",
    "box_transform",
    "fit_gaussians",
    "published_condition",
    "read_heatmaps",
    "save_keypoints",
]

#: No peak is narrower than this (heatmap px): less is more than the pixels can tell.
MINIMUM_SIGMA = 0.2
#: Scores run from 0 to 1, a little beyond where a network overshoots; larger values have another scale.
MAXIMUM_VALUE = 2.0

#: A fit uses the pixels within so many standard deviations of the peak, and at least within so many pixels ...
_WINDOW_SIGMAS = 2.5
_WINDOW_PIXELS = 2.5
#: ... on a grid of at most (2 * 8 + 1)² of them: of a wide peak, which is smooth, every second or third.
_GRID = 8
#: Bounds of the amplitude relative to the highest pixel; a peak may lie between pixels or beyond the border ...
_AMPLITUDE = (0.5, 2.0)
#: ... by at most this fraction of the heatmap's side: farther out it is a guess.
_OVERHANG = 0.1
#: A fit has failed where the root-mean-square residual in its window exceeds this part of the highest pixel, or
#: where it explains less than this part of the heatmap's sum of squares. Noise does; a second peak does not.
_MAXIMUM_MISFIT = 0.15
_MINIMUM_EXPLAINED = 0.05
_ITERATIONS = 50
#: Heatmaps fitted at once: what stays in a processor's cache.
_CHUNK = 256

#: Joints of the published condition among MPII's 16 (``mpii16``): all but the hips and the pelvis.
CONDITION_JOINTS = (0, 1, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15)
# Its other constants, in pixels of 64 x 64 heatmaps; they define the numbers that its networks have learnt from.
_CONDITION_SIDE = 64
_CONDITION_AMPLITUDE = 1.2
_CONDITION_SIGMA = (0.2, 10.0)
#: A peak wider than the detector's training target (2 px) means doubt, which is emphasised twofold.
_CONDITION_UNSURE = 2.1
_CONDITION_SCALE = 20.0


# -- ellipses ------------------------------------------------------------------------------------------


def _principal_axes(covariance: Float[Tensor, "*batch 2 2"]) -> tuple[Tensor, Tensor, Tensor]:
    """Standard deviation along the long axis, the angle of that axis from x towards y, and the short one."""
    xx, xy, yy = covariance[..., 0, 0], covariance[..., 0, 1], covariance[..., 1, 1]
    half = (xx - yy) / 2
    long = (xx + yy) / 2 + torch.hypot(half, xy)
    # not the difference of the two terms, which cancels for a thin ellipse
    short = (xx * yy - xy.square()) / long
    return long.sqrt(), torch.atan2(xy, half) / 2, short.sqrt()


def _ellipse(
    first: Float[Tensor, "*batch"], angle: Float[Tensor, "*batch"], second: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 2 2"]:
    """Covariance with these standard deviations along and across the axis at this angle from x towards y."""
    cos, sin = angle.cos(), angle.sin()
    xy = cos * sin * (first.square() - second.square())
    xx = (cos * first).square() + (sin * second).square()
    yy = (sin * first).square() + (cos * second).square()
    return torch.stack([xx, xy, xy, yy], -1).unflatten(-1, (2, 2))


# -- the result ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HeatmapGaussians:
    """``amplitude * exp(-d^T covariance^-1 d / 2)`` with ``d = pixel - mean``, for each heatmap; heatmap pixels.

    Attributes:
        amplitude: ``(*batch,)`` height of the peak: the detector's confidence.
        mean: ``(*batch, 2)`` px, x right, y down.
        covariance: ``(*batch, 2, 2)`` px², always positive definite.
        residual: ``(*batch,)`` root-mean-square difference from the *whole* heatmap clamped to [0, 1], so that
            a second peak shows; NaN where the heatmap is not finite.
        failed: ``(*batch,)`` bool: no Gaussian describes the heatmap. There the amplitude is 0, the mean the
            heatmap's centre and the covariance wide: standard deviations of half the width and half the height.
        size: width and height of the heatmaps, px.
    """

    amplitude: Float[Tensor, "*batch"]
    mean: Float[Tensor, "*batch 2"]
    covariance: Float[Tensor, "*batch 2 2"]
    residual: Float[Tensor, "*batch"]
    failed: Bool[Tensor, "*batch"]
    size: tuple[int, int]

    @property
    def axes(self) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """The covariance as the published ``sigma_x, theta, sigma_y``, each ``(*batch,)``.

        ``sigma_x`` (px) is the longer axis, at ``theta`` radians in [0, pi) from x towards y *up*: the published
        angle runs against the image's y axis.
        """
        long, angle, short = _principal_axes(self.covariance)
        return long, (-angle) % math.pi, short

    def keypoints(
        self,
        skeleton: str | Skeleton,
        scale: Any = 1.0,
        offset: Any = 0.0,
        image_size: Any = None,
        *,
        target_sigma: float = 0.0,
    ) -> Keypoints2D:
        """Keypoints in image pixels with the fitted covariances; the last batch dimension is the joints.

        A joint is visible where the fit has not failed and its amplitude is at least `MINIMUM_CONFIDENCE`, as
        for any detector's confidence. A failed joint, wide as its covariance is here, is one that is not
        visible: it carries no information.

        Args:
            skeleton: name or `Skeleton` that gives the joint order.
            scale, offset: ``image = scale * heatmap + offset``, px: a number, ``(2,)`` or ``(*batch, 2)``;
                `box_transform` makes them from boxes. By default keypoints stay in heatmap pixels.
            image_size: ``(width, height)`` px, one for all or ``(*batch, 2)``; unknown where None.
            target_sigma: standard deviation (heatmap px) of the Gaussian targets that the detector was trained
                with. Regression to such targets answers with the detector's uncertainty blurred by the target,
                so that this much is taken off, down to `MINIMUM_SIGMA`. By default nothing is taken off.

        Raises:
            InputError: the number of joints is not the skeleton's; a scale that is not above 0; as `Keypoints2D`.
        """
        if self.amplitude.ndim < 1:
            raise InputError("one heatmap is not a person: fit heatmaps of shape (..., joints, height, width)")
        scale, offset = self._per_joint(scale, "scale"), self._per_joint(offset, "offset")
        if not (scale > 0).all():
            raise InputError("scale: expected image pixels a heatmap pixel, above 0")
        if not (math.isfinite(target_sigma) and target_sigma >= 0):
            raise InputError(f"target_sigma: expected heatmap pixels, 0 or more, got {target_sigma}")
        covariance = self.covariance
        if target_sigma > 0:
            long, angle, short = _principal_axes(covariance)
            long, short = (
                (sigma.square() - target_sigma**2).clamp(min=MINIMUM_SIGMA**2).sqrt() for sigma in (long, short)
            )
            covariance = _ellipse(long, angle, short)
        return Keypoints2D(
            scale * self.mean + offset,
            scale[..., :, None] * covariance * scale[..., None, :],
            ~self.failed & (self.amplitude >= MINIMUM_CONFIDENCE),
            image_size,
            skeleton,
        )

    def _per_joint(self, value: Any, name: str) -> Tensor:
        """A number, ``(2,)`` or ``(*batch, 2)`` as ``(*batch, joints, 2)``."""
        try:
            tensor = torch.as_tensor(value, dtype=self.mean.dtype, device=self.mean.device)
            per_pose = tensor.expand(*self.mean.shape[:-2], 2)
        except (TypeError, ValueError, RuntimeError):
            shape = tuple(np.shape(value))
            poses = tuple(self.mean.shape[:-2])
            raise InputError(f"{name} has shape {shape}; expected a number, (2,) or {(*poses, 2)}") from None
        if not per_pose.isfinite().all():
            raise InputError(f"{name}: expected finite numbers")
        return per_pose.unsqueeze(-2).expand(self.mean.shape)

    def condition(self) -> Float[Tensor, "*poses 13 6"]:
        """What the published lifter is told about the joints, see `published_condition`.

        The last batch dimension is the 16 joints of ``mpii16``. A failed joint has amplitude 0 and the largest
        variance there is.

        Raises:
            InputError: other heatmaps than 64 x 64, for which the published constants are made; as
                `published_condition`.
        """
        if self.size != (_CONDITION_SIDE, _CONDITION_SIDE):
            raise InputError(
                f"heatmaps of {self.size[0]} x {self.size[1]}: the published condition is made for"
                f" {_CONDITION_SIDE} x {_CONDITION_SIDE}; resize the heatmaps"
            )
        return published_condition(self.amplitude, self.mean, *self.axes)

    @staticmethod
    def cat(parts: Sequence[HeatmapGaussians]) -> HeatmapGaussians:
        """Join fits of heatmaps of one size along the first batch dimension."""
        names = ("amplitude", "mean", "covariance", "residual", "failed")
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        return HeatmapGaussians(**joined, size=parts[0].size)


def box_transform(boxes: Any, size: tuple[int, int]) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """``scale`` and ``offset`` from heatmap to image pixels, where the heatmaps cover these boxes.

    Args:
        boxes: ``(*batch, 4)`` left, top, right, bottom in image px, the edges of the crop that the detector saw.
        size: width and height of the heatmaps.

    Raises:
        InputError: another shape, numbers that are not finite, an empty box.
    """
    corners = torch.as_tensor(boxes, dtype=torch.float32)
    if corners.ndim == 0 or corners.shape[-1] != 4:
        raise InputError(f"boxes has shape {tuple(corners.shape)}; expected (..., 4): left, top, right, bottom")
    extent = corners[..., 2:] - corners[..., :2]
    bad = ~((extent > 0) & extent.isfinite()).all(-1)
    if bad.any():
        index = tuple(bad.nonzero()[0].tolist())
        place = f"box {', '.join(map(str, index))}: " if index else ""
        raise InputError(f"boxes: {place}{corners[index].tolist()}; expected left < right and top < bottom")
    scale = extent / extent.new_tensor(size)
    # An edge is half a heatmap pixel before the centre of the first one.
    return scale, corners[..., :2] + scale / 2


# -- fitting -------------------------------------------------------------------------------------------


@torch.no_grad()
def fit_gaussians(heatmaps: Any) -> HeatmapGaussians:
    """Fit a rotated, anisotropic Gaussian to the highest peak of every heatmap.

    Least squares on the pixels around the peak, bounded: standard deviations lie between `MINIMUM_SIGMA` and
    half the heatmap's longer side, always. As published (Wehrbein et al. 2021) values are clamped to [0, 1] first
    and there is no background term. Of several peaks the highest is fitted, the others stay outside of the window
    if they are some 5 standard deviations away; ``residual``, over the whole heatmap, shows them. Pixels beyond
    the border do not count, so that a peak that is cut off keeps its width.

    A fit has failed, see `HeatmapGaussians`, where the heatmap is not finite, flat or zero, where its peak is
    wider than half of it, or where what was found is not a Gaussian peak (noise, a solid blob).

    Args:
        heatmaps: ``(*batch, height, width)`` scores, 0 to 1, at least 4 x 4 pixels; floats of any precision
            (fitted in float32, or in float64 where they are).

    Raises:
        InputError: another shape, values above `MAXIMUM_VALUE`, which have another scale.

    >>> import torch
    >>> x, y = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="xy")
    >>> fit = fit_gaussians(torch.exp(-((x - 20) / 3) ** 2 / 2 - ((y - 40) / 2) ** 2 / 2))
    >>> fit.mean.round().tolist(), fit.covariance.diagonal().round().tolist()
    ([20.0, 40.0], [9.0, 4.0])
    """
    try:
        maps = torch.as_tensor(heatmaps)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"heatmaps: expected an array of numbers ({error})") from None
    if maps.ndim < 2 or min(maps.shape[-2:]) < 4:
        raise InputError(
            f"heatmaps have shape {tuple(maps.shape)}; expected (..., height, width), at least 4 x 4 pixels"
        )
    if maps.dtype != torch.float64:
        maps = maps.float()
    large = _too_large(maps)
    if large is not None:
        raise InputError(f"heatmaps: heatmap {large} {_scale_remedy(maps[large])}")
    batch, (height, width) = maps.shape[:-2], maps.shape[-2:]
    chunks = maps.reshape(-1, height, width).split(_CHUNK)
    fitted = HeatmapGaussians.cat([_fit_chunk(chunk) for chunk in chunks])

    def unflatten(column: Tensor) -> Tensor:
        return column.reshape(batch + column.shape[1:])

    return HeatmapGaussians(
        amplitude=unflatten(fitted.amplitude),
        mean=unflatten(fitted.mean),
        covariance=unflatten(fitted.covariance),
        residual=unflatten(fitted.residual),
        failed=unflatten(fitted.failed),
        size=(width, height),
    )


def _too_large(maps: Float[Tensor, "*batch height width"]) -> tuple[int, ...] | None:
    """Index of the first finite heatmap beyond `MAXIMUM_VALUE`, None if there is none."""
    top = maps.amax((-2, -1))
    found = (top.isfinite() & (top > MAXIMUM_VALUE)).nonzero()
    return tuple(found[0].tolist()) if len(found) else None


def _scale_remedy(heatmap: Float[Tensor, "height width"]) -> str:
    return f"reaches {float(heatmap.amax()):g}; expected scores from 0 to 1: divide by the detector's largest score"


def _fit_chunk(maps: Float[Tensor, "maps height width"]) -> HeatmapGaussians:
    height, width = maps.shape[-2:]
    finite = maps.isfinite().all(-1).all(-1)
    values = torch.where(finite[:, None, None], maps, 0.0).clamp(0.0, 1.0)
    top, index = values.flatten(1).max(-1)
    peak = torch.stack([index % width, index // width], -1)
    unit = torch.where(top > 0, top, 1.0)
    scaled = values / unit[:, None, None]

    precision, falls = _half_height_precision(scaled, peak)
    offsets, near, use = _window(scaled, peak, precision)
    use = use * falls[:, None]  # nothing to iterate over where there is no peak
    amplitude, shift, covariance, loss = _least_squares(precision, peak, (width, height), offsets, near, use)
    mean = peak + shift
    amplitude = amplitude * unit
    long, angle, short = _principal_axes(covariance)
    covariance = _ellipse(long.clamp(min=MINIMUM_SIGMA), angle, short.clamp(min=MINIMUM_SIGMA))

    misfit = (loss / use.sum(-1).clamp(min=1.0)).sqrt()
    residual = (values - _render(amplitude, mean, covariance, (width, height))).square().mean((-2, -1))
    power = values.square().mean((-2, -1))
    good = finite & falls & (misfit <= _MAXIMUM_MISFIT) & (long <= max(width, height) / 2)
    good &= power - residual >= _MINIMUM_EXPLAINED * power

    sides = values.new_tensor([width, height])
    amplitude = torch.where(good, amplitude, 0.0)
    mean = torch.where(good[:, None], mean, (sides - 1) / 2)
    covariance = torch.where(good[:, None, None], covariance, torch.diag((sides / 2).square()))
    residual = torch.where(finite, torch.where(good, residual, power).sqrt(), math.nan)
    return HeatmapGaussians(amplitude, mean, covariance, residual, ~good, (width, height))


def _render(
    amplitude: Float[Tensor, "maps"],
    mean: Float[Tensor, "maps 2"],
    covariance: Float[Tensor, "maps 2 2"],
    size: tuple[int, int],
) -> Float[Tensor, "maps height width"]:
    """The Gaussians' values at every pixel."""
    width, height = size
    dx = torch.arange(width, device=mean.device) - mean[:, :1]
    dy = torch.arange(height, device=mean.device) - mean[:, 1:]
    xx, xy, yy = covariance[:, 0, 0, None], covariance[:, 0, 1, None], covariance[:, 1, 1, None]
    determinant = xx * yy - xy.square()
    along = (yy / determinant * dx.square())[:, None, :] + (xx / determinant * dy.square())[:, :, None]
    cross = (xy / determinant * dx)[:, None, :] * dy[:, :, None]
    # the bound: far from the peak the exponential is denormal, on which processors are slow
    return amplitude[:, None, None] * (cross - along / 2).clamp(min=-60.0).exp()


def _half_height_precision(
    values: Float[Tensor, "maps height width"], peak: Int[Tensor, "maps 2"]
) -> tuple[Float[Tensor, "maps 3"], Bool[Tensor, "maps"]]:
    """Precisions xx, xy, yy from where each peak has fallen to half its height; and whether it does so anywhere.

    Looked for along the rows, the columns and both diagonals; a Gaussian with precision P has fallen to half at
    ``t`` along the unit vector ``e`` where ``t² e^T P e = 2 ln 2``. Only the peak's own slope is seen, so that
    other peaks do not matter, and of two opposite sides the steeper one counts: the other may be cut off, or
    lead to another peak.
    """
    _, height, width = values.shape
    directions = peak.new_tensor([[1, 0], [0, 1], [1, 1], [1, -1], [-1, 0], [0, -1], [-1, -1], [-1, 1]])
    steps = torch.arange(max(height, width), device=values.device)
    x, y = (peak[:, None, None, :] + directions[:, None, :] * steps[:, None]).unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    profile = values.flatten(1).gather(1, flat.flatten(1)).view(flat.shape)
    half = profile[..., :1] / 2
    profile = torch.where(inside, profile, math.inf)
    last = ((profile < half).cumsum(-1) == 0).sum(-1, keepdim=True) - 1  # the last step above half
    crossed = (last < len(steps) - 1).squeeze(-1)
    above = profile.gather(-1, last)
    below = profile.gather(-1, (last + 1).clamp(max=len(steps) - 1))
    distance = (last + ((above - half) / (above - below)).nan_to_num(0.0)).squeeze(-1)
    distance = distance * directions.to(values.dtype).norm(dim=-1)
    curvature = torch.where(crossed, 2 * math.log(2) / distance.square(), 0.0)
    xx, yy, diagonal, other = torch.maximum(curvature[:, :4], curvature[:, 4:]).unbind(-1)
    floor = 1 / max(height, width) ** 2
    xx, yy = xx.clamp(min=floor), yy.clamp(min=floor)
    limit = 0.95 * (xx * yy).sqrt()
    xy = ((diagonal - other) / 2).clamp(-limit, limit)
    return torch.stack([xx, xy, yy], -1), crossed.any(-1)


def _window(
    values: Float[Tensor, "maps height width"], peak: Int[Tensor, "maps 2"], precision: Float[Tensor, "maps 3"]
) -> tuple[Float[Tensor, "maps 2 points"], Float[Tensor, "maps points"], Float[Tensor, "maps points"]]:
    """Pixels around the peaks: x and y from the peak, the values, and 1 where a pixel is used, else 0.

    The window is the ellipse of the half-height precision: other peaks and the empty rest stay outside. Pixels
    beyond the border are not used, instead of counting as zeros: a peak that is cut off keeps its width.
    """
    _, height, width = values.shape
    xx, xy, yy = precision.unbind(-1)
    determinant = xx * yy - xy.square()
    spread = torch.stack([yy / determinant, xx / determinant], -1).sqrt()
    reach = (_WINDOW_SIGMAS * spread).clamp(min=_WINDOW_PIXELS)
    stride = (reach / _GRID).ceil().long().clamp(min=1)
    steps = torch.arange(-_GRID, _GRID + 1, device=values.device)
    offsets = stride[:, :, None] * torch.cartesian_prod(steps, steps).T
    x, y = (peak[:, :, None] + offsets).unbind(1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    flat = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    dx, dy = offsets.to(values.dtype).unbind(1)
    distance = xx[:, None] * dx.square() + 2 * xy[:, None] * dx * dy + yy[:, None] * dy.square()
    near = (distance <= _WINDOW_SIGMAS**2) | (dx.square() + dy.square() <= _WINDOW_PIXELS**2)
    return offsets.to(values.dtype), values.flatten(1).gather(1, flat), (inside & near).to(values.dtype)


def _gaussian(
    parameters: Float[Tensor, "maps 6"], offsets: Float[Tensor, "maps 2 points"]
) -> tuple[Float[Tensor, "maps points"], Float[Tensor, "maps 6 points"]]:
    """Values of the Gaussians, and their derivatives by the parameters.

    These are the amplitude, the mean x and y, and a, b, c of the precision's Cholesky factor
    ``[[exp a, 0], [b, exp c]]``: any numbers give a positive definite matrix, and a round peak is no singularity
    as it is for an angle.
    """
    amplitude, mean_x, mean_y, a, b, c = parameters[:, :, None].unbind(1)
    p, q = a.exp(), c.exp()
    dx, dy = offsets[:, 0] - mean_x, offsets[:, 1] - mean_y
    u, v = p * dx + b * dy, q * dy
    shape = (-0.5 * (u.square() + v.square())).exp()
    value = amplitude * shape
    slope = -value * u
    return value, torch.stack(
        [shape, -p * slope, -b * slope + q * v * value, p * dx * slope, dy * slope, -v.square() * value], 1
    )


def _least_squares(
    precision: Float[Tensor, "maps 3"],
    peak: Int[Tensor, "maps 2"],
    size: tuple[int, int],
    offsets: Float[Tensor, "maps 2 points"],
    values: Float[Tensor, "maps points"],
    use: Float[Tensor, "maps points"],
) -> tuple[Float[Tensor, "maps"], Float[Tensor, "maps 2"], Float[Tensor, "maps 2 2"], Float[Tensor, "maps"]]:
    """Amplitude, mean from the peak, covariance, and the sum of squares that is left; the peak's pixel is 1."""
    xx, xy, yy = precision.unbind(-1)
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    b = xy / xx.sqrt()
    start = torch.stack([one, zero, zero, xx.log() / 2, b, (yy - b.square()).log() / 2], -1)

    sides = precision.new_tensor(size)
    lower, upper = torch.empty_like(start), torch.empty_like(start)
    lower[:, 0], upper[:, 0] = _AMPLITUDE
    lower[:, 1:3] = -peak - _OVERHANG * sides
    upper[:, 1:3] = sides - 1 - peak + _OVERHANG * sides
    lower[:, 3:] = precision.new_tensor([-math.log(max(size)), -1 / MINIMUM_SIGMA, -math.log(max(size))])
    upper[:, 3:] = precision.new_tensor([-math.log(MINIMUM_SIGMA), 1 / MINIMUM_SIGMA, -math.log(MINIMUM_SIGMA)])
    start = start.clamp(lower, upper)

    parameters, loss = _levenberg_marquardt(start, lower, upper, offsets, values, use)
    a, b, c = parameters[:, 3:].unbind(-1)
    p, q = a.exp(), c.exp()
    # the inverse of the factor L^T, whose square is the covariance
    root = torch.stack([1 / p, zero, -b / (p * q), 1 / q], -1).unflatten(-1, (2, 2))
    return parameters[:, 0], parameters[:, 1:3], root.mT @ root, loss


def _levenberg_marquardt(
    start: Float[Tensor, "maps 6"],
    lower: Float[Tensor, "maps 6"],
    upper: Float[Tensor, "maps 6"],
    offsets: Float[Tensor, "maps 2 points"],
    values: Float[Tensor, "maps points"],
    use: Float[Tensor, "maps points"],
) -> tuple[Float[Tensor, "maps 6"], Float[Tensor, "maps"]]:
    """Parameters of the least sum of squares within the bounds, and that sum.

    Damped Gauss-Newton steps, clipped to the bounds and taken where they lower the sum. A fit that no longer
    moves drops out, so that a few hard ones cost little.
    """

    def evaluate(parameters: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        value, slopes = _gaussian(parameters, offsets[rows])
        misfit = (values[rows] - value) * use[rows]
        slopes = slopes * use[rows, None]
        return misfit.square().sum(-1), slopes @ slopes.mT, (slopes @ misfit[..., None]).squeeze(-1)

    rows = torch.arange(len(start), device=start.device)
    current = start
    cost, normal, gradient = evaluate(current, rows)
    damping = torch.full_like(cost, 1e-2)
    best, loss = current.clone(), cost.clone()
    for _ in range(_ITERATIONS):
        diagonal = normal.diagonal(dim1=-2, dim2=-1)
        # the last term: a parameter that the pixels say nothing about has a zero on the diagonal
        lift = damping[:, None] * diagonal + 1e-9 * diagonal.amax(-1, keepdim=True) + 1e-30
        factor, _ = torch.linalg.cholesky_ex(normal + torch.diag_embed(lift))
        step = torch.cholesky_solve(gradient[..., None], factor).squeeze(-1).nan_to_num(0.0, 0.0, 0.0)
        trial = (current + step).clamp(lower[rows], upper[rows])
        trial_cost, trial_normal, trial_gradient = evaluate(trial, rows)
        better = trial_cost < cost
        moving = (cost - trial_cost).abs() > 1e-6 * cost + 1e-10
        current = torch.where(better[:, None], trial, current)
        normal = torch.where(better[:, None, None], trial_normal, normal)
        gradient = torch.where(better[:, None], trial_gradient, gradient)
        cost = torch.where(better, trial_cost, cost)
        damping = (damping * torch.where(better, 0.1, 10.0)).clamp(1e-7, 1e7)
        best[rows], loss[rows] = current, cost
        if not moving.any():
            break
        rows, current, normal, gradient, cost, damping = (
            tensor[moving] for tensor in (rows, current, normal, gradient, cost, damping)
        )
    return best, loss


# -- the published condition ---------------------------------------------------------------------------


def published_condition(
    amplitude: Float[Tensor, "*batch 16"],
    mean: Float[Tensor, "*batch 16 2"],
    sigma_x: Float[Tensor, "*batch 16"],
    theta: Float[Tensor, "*batch 16"],
    sigma_y: Float[Tensor, "*batch 16"],
) -> Float[Tensor, "*batch 13 6"]:
    """The condition of the published flow (Wehrbein et al. 2021) from Gaussians fitted to 64 x 64 heatmaps.

    The amplitude is clipped to [0, 1.2]; means are clipped to the heatmap, then centred, turned y up and scaled by
    `standardise_keypoints` over all 16 joints; standard deviations are clipped to [0.2, 10] px, doubled above
    2.1 px and divided by 20. The hips and the pelvis are left out.

    Args:
        amplitude: height of the peak; joints in the order of ``mpii16``.
        mean: heatmap px, x right, y down.
        sigma_x, sigma_y: standard deviations (px) along and across the axis at ``theta``.
        theta: radians from x towards y *up*, see `HeatmapGaussians.axes`.

    Returns:
        For each of `CONDITION_JOINTS`: amplitude, mean x and y, variance of x, covariance, variance of y; y up.

    Raises:
        InputError: another number of joints; means that all coincide, which cannot be scaled.
    """
    if amplitude.ndim < 1 or amplitude.shape[-1] != 16 or mean.shape != (*amplitude.shape, 2):
        raise InputError(
            f"amplitude {tuple(amplitude.shape)}, mean {tuple(mean.shape)}: the published condition needs"
            " the 16 joints of mpii16, (..., 16) and (..., 16, 2)"
        )
    place = mean.clamp(0.0, _CONDITION_SIDE - 1.0)
    coincide = (place == place[..., :1, :]).all(-1).all(-1)
    if coincide.any():
        pose = ", ".join(map(str, coincide.nonzero()[0].tolist()))
        raise InputError(
            f"mean: {f'pose {pose}: ' if pose else ''}all 16 joints are in one place (is no joint found?), so the"
            " published condition is undefined; leave the pose out"
        )
    sigmas = torch.stack([sigma_x, sigma_y]).clamp(*_CONDITION_SIGMA)
    along, across = torch.where(sigmas > _CONDITION_UNSURE, 2 * sigmas, sigmas) / _CONDITION_SCALE
    covariance = _ellipse(along, theta, across)
    parameters = [
        amplitude.clamp(0.0, _CONDITION_AMPLITUDE),
        *standardise_keypoints(place).unbind(-1),
        covariance[..., 0, 0],
        covariance[..., 0, 1],
        covariance[..., 1, 1],
    ]
    return torch.stack(parameters, -1)[..., CONDITION_JOINTS, :]


# -- files ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HeatmapFile:
    """An npz file of heatmaps, whose `blocks` are read one after the other: it may be larger than the memory.

    Attributes:
        path: the file.
        shape: poses, joints, height, width.
        joints: skeleton with the file's joint order.
        target: skeleton that the keypoints are to be put into, by joint name.
        scale, offset: from heatmap to image px, ``(2,)`` or ``(poses, 2)``; 1 and 0 where the file does not tell.
        placed: whether the file tells.
        image_size: ``(2,)`` or ``(poses, 2)`` px, None where the file does not tell.
    """

    path: Path
    shape: tuple[int, int, int, int]
    joints: Skeleton
    target: Skeleton
    scale: Any
    offset: Any
    placed: bool
    image_size: Array | None

    def blocks(self) -> Iterator[Float[Tensor, "poses joints height width"]]:
        """The heatmaps in float32, some poses at a time.

        Raises:
            InputError: the file is damaged, or a heatmap's values have another scale.
        """
        with naming(str(self.path)), _archive(self.path) as archive, archive.open("heatmaps.npy") as stream:
            _, _, dtype = _read_header(stream)
            row = math.prod(self.shape[1:]) * dtype.itemsize
            poses = max(1, _BLOCK_PIXELS // math.prod(self.shape[1:]))
            for first in range(0, self.shape[0], poses):
                count = min(poses, self.shape[0] - first)
                values = np.frombuffer(_read_exactly(stream, count * row), dtype)
                block = torch.from_numpy(values.astype(np.float32).reshape(count, *self.shape[1:]))
                large = _too_large(block)
                if large is not None:
                    joint = self.joints.joints[large[1]]
                    raise InputError(
                        f"heatmaps: pose {first + large[0]}, joint {joint!r} {_scale_remedy(block[large])}"
                    )
                yield block

    def keypoints(self, gaussians: HeatmapGaussians, target_sigma: float = 0.0) -> Keypoints2D:
        """The fits as keypoints in image px, in the target skeleton; see `HeatmapGaussians.keypoints`.

        Raises:
            InputError: a scale, an offset or an image size that cannot be.
        """
        with naming(str(self.path)):
            found = gaussians.keypoints(
                self.joints, self.scale, self.offset, self.image_size, target_sigma=target_sigma
            )
            return found.as_skeleton(self.target)


def read_heatmaps(path: str | os.PathLike[str], skeleton: str | Skeleton | None = None) -> HeatmapFile:
    """Open an npz file of heatmaps.

    It holds ``heatmaps`` (poses, joints, height, width), scores from 0 to 1; where they lie in the image, as
    ``boxes`` (4,) or (poses, 4) (left, top, right, bottom of the crop, px) or as ``scale`` and ``offset``, each a
    number, (2,) or (poses, 2) (see `HeatmapGaussians.keypoints`); ``image_size`` (2,) or (poses, 2); and
    ``joint_names`` (joints,). All but the first are optional. Compressed files are read too.

    Args:
        path: the file.
        skeleton: joint order where the file has no ``joint_names``, else the skeleton to put the keypoints into;
            by default told from the names, or from the number of joints where only one skeleton has as many.

    Raises:
        InputError: a file that is missing, damaged or no npz; a missing, misshapen or pickled array; an unknown
            joint name.
    """
    path = Path(path)
    with naming(str(path)):
        if not path.is_file():
            raise InputError("no such file")
        with _archive(path) as archive:
            shape = _heatmap_shape(archive)
            fields = {
                name: _load_entry(archive, archive.getinfo(f"{name}.npy"), kinds)
                for name, kinds in _FIELDS.items()
                if f"{name}.npy" in archive.namelist()
            }
        order = None if skeleton is None else get_skeleton(skeleton)
        joints, target = _joint_order(path, shape, fields.get("joint_names"), order)
        return HeatmapFile(path, shape, joints, target, *_placement(shape, fields), fields.get("image_size"))


#: Arrays beside ``heatmaps``, and the kinds (NumPy's dtype.kind) that they may hold.
_FIELDS = {"joint_names": "U", "boxes": "fiu", "scale": "fiu", "offset": "fiu", "image_size": "fiu"}
#: Pixels that are read at once; no pose's heatmaps have as many.
_BLOCK_PIXELS = 2**24


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The open npz file; what goes wrong while it is read becomes an `InputError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise InputError(f"not a readable npz file ({error}); is it truncated?") from None


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _read_exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise InputError("heatmaps: the array ends early; is the file truncated?")
    return content


def _heatmap_shape(archive: zipfile.ZipFile) -> tuple[int, int, int, int]:
    if "heatmaps.npy" not in archive.namelist():
        held = ", ".join(repr(name.removesuffix(".npy"))[:40] for name in archive.namelist()[:10]) or "nothing"
        raise InputError(
            f"no array named 'heatmaps'; the file holds {held}. Save it as numpy.savez(FILE, heatmaps=...)"
        )
    info = archive.getinfo("heatmaps.npy")
    with archive.open(info) as stream:
        _check_header(stream, info.file_size, "fiu", "heatmaps")
    with archive.open(info) as stream:
        shape, fortran, _ = _read_header(stream)
    if len(shape) != 4 or 0 in shape[:2] or min(shape[2:]) < 4:
        raise InputError(f"heatmaps: array of shape {shape}; expected (poses, joints, height, width), 4 x 4 px or more")
    if math.prod(shape[1:]) > _BLOCK_PIXELS:
        raise InputError(
            f"heatmaps: {shape[1]} of {shape[2]} x {shape[3]} px a pose; at most {_BLOCK_PIXELS} px in all"
        )
    if fortran:
        raise InputError("heatmaps: stored in Fortran order; save numpy.ascontiguousarray(heatmaps) instead")
    poses, joints, height, width = shape
    return poses, joints, height, width


def _joint_order(
    path: Path, shape: tuple[int, ...], names: Array | None, skeleton: Skeleton | None
) -> tuple[Skeleton, Skeleton]:
    """Skeletons of the heatmaps and of the keypoints to be."""
    if names is None:
        joints = _skeleton_of(shape[1], shape, Options(str(path), skeleton))
        return joints, joints
    if names.shape != (shape[1],):
        raise InputError(f"joint_names: array of shape {names.shape}; expected ({shape[1]},), one a heatmap")
    listed = names.tolist()
    found = refuse_unknown(listed, resolve_names(listed, "joint_names", skeleton), "joint_names")
    target = covering_skeleton(found, skeleton)
    return (target if target.joints == tuple(found) else temporary_skeleton(found)), target


def _placement(shape: tuple[int, int, int, int], fields: dict[str, Array]) -> tuple[Any, Any, bool]:
    """Scale, offset, and whether the file tells them."""
    given = [name for name in ("boxes", "scale", "offset") if name in fields]
    if "boxes" in given and len(given) > 1:
        raise InputError(f"boxes and {given[1]}: give boxes, or scale and offset, not both")
    if "boxes" not in given:
        return fields.get("scale", 1.0), fields.get("offset", 0.0), bool(given)
    boxes = fields["boxes"]
    if boxes.shape not in ((4,), (shape[0], 4)):
        raise InputError(f"boxes: array of shape {boxes.shape}; expected (4,) or ({shape[0]}, 4)")
    return *box_transform(boxes.astype(np.float32), (shape[3], shape[2])), True


def save_keypoints(
    path: str | os.PathLike[str], keypoints: Keypoints2D, gaussians: HeatmapGaussians, joints: Skeleton
) -> None:
    """Write keypoints so that `read_keypoints`, and with it ``poseterior lift``, takes them with their covariance.

    Args:
        path: ``.npz`` or ``.json``. The npz (format ``numpy``) also holds the fits in heatmap px: ``joint_names``
            (heatmaps,), ``amplitude``, ``mean``, ``gaussian_covariance``, ``residual`` and ``failed``, each
            (poses, heatmaps, ...). The JSON (format ``plain``) names its skeleton, so that lifting it needs
            no ``--skeleton``.
        keypoints: batch ``(poses,)``. A joint that is not visible is NaN in the npz and null in the JSON.
        gaussians: what they were made from, batch ``(poses, heatmaps)``.
        joints: skeleton of the heatmaps.

    Raises:
        InputError: another extension, or a file that cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".npz", ".json"):
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: .npz, .json")
    visible = keypoints.visible.cpu().numpy()
    xy = np.where(visible[..., None], keypoints.xy.cpu().numpy(), np.nan)
    covariance = np.where(visible[..., None, None], keypoints.covariance.cpu().numpy(), np.nan)
    size = keypoints.image_size.cpu().numpy()
    with atomic_write(path) as file:
        if suffix == ".json":
            file.write(_plain_json(keypoints.skeleton, xy, covariance, size))
            return
        np.savez(
            file, keypoints=xy, covariance=covariance, visible=visible, image_size=size,
            joint_names=np.asarray(joints.joints), amplitude=gaussians.amplitude.cpu().numpy(),
            mean=gaussians.mean.cpu().numpy(), gaussian_covariance=gaussians.covariance.cpu().numpy(),
            residual=gaussians.residual.cpu().numpy(), failed=gaussians.failed.cpu().numpy(),
        )  # fmt: skip


def _plain_json(skeleton: Skeleton, xy: Array, covariance: Array, size: Array) -> bytes:
    """One entry a pose in the ``plain`` format."""
    unknown = np.eye(2).tolist()  # the format has no null there; a joint that is null is not read
    entries = []
    for pose, (points, spreads, extent) in enumerate(zip(xy.tolist(), covariance.tolist(), size.tolist(), strict=True)):
        hidden = [math.isnan(point[0]) for point in points]
        entry: dict[str, Any] = {"frame": pose, "skeleton": skeleton.name}
        if all(map(math.isfinite, extent)):
            entry["image_size"] = extent
        entry["keypoints"] = [None if h else point for h, point in zip(hidden, points, strict=True)]
        entry["covariance"] = [unknown if h else spread for h, spread in zip(hidden, spreads, strict=True)]
        entries.append(json.dumps(entry))
    return ("[\n" + ",\n".join(entries) + "\n]\n").encode()
