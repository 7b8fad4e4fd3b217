"""How a detector's errors hang together over time, told from how the views' residuals do.

Of three rays to a joint any two tell where the third should be: what is off there is the detector's error, and whether
it is still there in the next frame, or in all frames, is seen from the residuals' correlations over time. A joint that
is put to one side in all frames is not put right by averaging them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors, Parts
from .gaussian import Fused, View, joint_blocks

__all__ = ["MOMENTS", "correlations", "fitted_parts", "with_persistence"]

#: Moments, and pairs of residuals at a lag, below which nothing is said.
MOMENTS, _PAIRS = 20, 200
#: Longest lag, as a share of the clip, and in seconds.
_SHARE, _SECONDS = 0.5, 2.0
#: Times after which slow errors have faded that are tried, seconds.
_FADING = np.geomspace(0.02, 4.0, 24)
#: Most of the variance that is not white.
_MOST = 0.98


def correlations(
    found: Fused, views: list[View], counted: Bool[Tensor, "views T joints"]
) -> Float[NDArray[np.float64], " lags"]:
    """Correlation of the keypoints' residuals over 0, 1, 2 ... moments; fewer lags where there are too few pairs.

    Args:
        found: of the views.
        views: one row per moment, evenly apart.
        counted: keypoints that count.
    """
    own = found.slope @ joint_blocks(found.covariance) @ found.slope.mT
    used = torch.stack([view.noise for view in views])
    left = (used - own).diagonal(dim1=-2, dim2=-1)
    # Where a keypoint decides by itself nothing is left over.
    told = counted.unsqueeze(-1) & (left > 0.05 * used.diagonal(dim1=-2, dim2=-1))
    scaled = torch.where(told, found.residual / left.clamp(min=1e-12).sqrt(), 0.0)
    variance = scaled.square().sum() / told.sum().clamp(min=1)
    level = []
    for lag in range(1 + int(_SHARE * scaled.shape[1])):
        both = told[:, lag:] & told[:, : told.shape[1] - lag]
        if int(both.sum()) < _PAIRS:
            break
        product = (scaled[:, lag:] * scaled[:, : told.shape[1] - lag])[both]
        level.append(float(product.mean() / variance))
    return np.array(level)


def fitted_parts(level: Float[NDArray[np.float64], " lags"], step: float, scale: float = 1.0) -> Parts:
    """Constant, slow and white shares whose correlations are nearest (least squares) to those at lags of 1 and more.

    Args:
        level: from `correlations`.
        step: seconds from one moment to the next.
        scale: of the parts.
    """
    after = step * np.arange(1, len(level))
    best, parts = np.inf, Parts(scale, 0.0, 0.0, 0.1)
    for seconds in _FADING:
        design = np.stack([np.ones_like(after), np.exp(-after / seconds)], -1)
        for columns in ([0, 1], [0], [1]):
            share = np.zeros(2)
            share[columns] = np.linalg.lstsq(design[:, columns], level[1:], rcond=None)[0]
            share = share.clip(0.0, None) / max(1.0, share.clip(0.0, None).sum() / _MOST)
            miss = float(((design @ share - level[1:]) ** 2).sum())
            if miss < best:
                best, parts = miss, Parts(scale, float(share[0]), float(share[1]), float(seconds))
    return parts


def with_persistence(
    errors: ClipErrors, found: Fused, views: list[View], counted: Bool[Tensor, "views T joints"], step: float
) -> ClipErrors | None:
    """These errors, in all directions alike, with what the residuals show to stay.

    None where there are too few residuals. Nothing stays less than in ``errors``: what views share they do not show.
    """
    if counted.shape[1] < MOMENTS:
        return None
    level = correlations(found, views, counted)[: 1 + int(_SECONDS / step)]
    if len(level) < 4:
        return None
    usual = errors.across
    parts = fitted_parts(level, step, usual.scale)
    constant = max(parts.constant, usual.constant)
    slow, seconds = max((parts.slow, parts.seconds), (usual.slow, usual.seconds))
    parts = Parts(usual.scale, constant, min(slow, _MOST - constant), seconds)
    return replace(errors, across=parts, depth=parts, recalibration=None)
