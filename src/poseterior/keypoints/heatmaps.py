"""Detector heatmaps as evidence: a rotated, anisotropic Gaussian for each joint's heatmap.

A heatmap says more than where its peak is: how sure the detector is, and in which direction it is not.
`fit_gaussians` measures that, `HeatmapGaussians.keypoints` hands it to any lifter, and
`HeatmapGaussians.condition` to the published one. Heatmap pixels: x right, y down, the centre of the first pixel
is (0, 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..files.errors import InputError
from ..geometry.arrays import tensor_of
from ..geometry.linalg import ellipse_axes, ellipse_covariance
from ..geometry.skeletons import Skeleton
from .keypoints import MINIMUM_CONFIDENCE, Keypoints2D

__all__ = [
    "MAXIMUM_VALUE",
    "MINIMUM_SIGMA",
    "HeatmapGaussians",
    "box_transform",
    "fit_gaussians",
    "off_scale",
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
        long, angle, short = ellipse_axes(self.covariance)
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
            raise InputError("scale: expected image pixels per heatmap pixel, above 0")
        if not (math.isfinite(target_sigma) and target_sigma >= 0):
            raise InputError(f"target_sigma: expected heatmap pixels, 0 or more, got {target_sigma}")
        covariance = self.covariance
        if target_sigma > 0:
            long, angle, short = ellipse_axes(covariance)
            long, short = (
                (sigma.square() - target_sigma**2).clamp(min=MINIMUM_SIGMA**2).sqrt() for sigma in (long, short)
            )
            covariance = ellipse_covariance(long, angle, short)
        return Keypoints2D(
            scale * self.mean + offset,
            scale[..., :, None] * covariance * scale[..., None, :],
            ~self.failed & (self.amplitude >= MINIMUM_CONFIDENCE),
            image_size,
            skeleton,
            amplitude=self.amplitude,
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
    corners = tensor_of(boxes, "boxes")
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
    maps = tensor_of(heatmaps, "heatmaps", double=True)
    if maps.ndim < 2 or min(maps.shape[-2:]) < 4:
        raise InputError(
            f"heatmaps have shape {tuple(maps.shape)}; expected (..., height, width), at least 4 x 4 pixels"
        )
    wrong = off_scale(maps)
    if wrong is not None:
        raise InputError(f"heatmaps: heatmap {wrong[0]} {wrong[1]}")
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


def off_scale(maps: Float[Tensor, "*batch height width"]) -> tuple[tuple[int, ...], str] | None:
    """Index of the first finite heatmap beyond `MAXIMUM_VALUE` and what to do about it; None if there is none."""
    top = maps.amax((-2, -1))
    found = (top.isfinite() & (top > MAXIMUM_VALUE)).nonzero()
    if not len(found):
        return None
    index = tuple(found[0].tolist())
    return index, f"reaches {float(top[index]):g}; expected scores from 0 to 1: divide by the detector's largest score"


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
    long, angle, short = ellipse_axes(covariance)
    covariance = ellipse_covariance(long.clamp(min=MINIMUM_SIGMA), angle, short.clamp(min=MINIMUM_SIGMA))

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
