"""The law of `poseterior.detect.covariance`, fitted to residuals: its numbers, and how often keypoints are wrong.

The likeliest law, where residuals of more than 6 standard deviations pull linearly. Then one number multiplies all
standard deviations, so that as many residuals are below 2.6 as should be, and the law is not one of its few worst. What
is left beyond is the share of outliers: the weight of the second part of a contaminated normal
(`poseterior.distributions.contamination`), joint by joint, by expectation maximisation; a joint of few residuals has
about the share of all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...distributions.contamination import OUTLIER_SPREAD
from ...geometry.skeletons import Skeleton
from ..base import Array
from ..covariance import USUAL_SPREAD, Evidence, NoiseModel, sideless, size_of_heat
from .residuals import Residuals

__all__ = ["covariances", "distances", "fitted", "outlier_shares"]

#: Residuals of more standard deviations pull no more than linearly.
_OUTLIER = 6.0
#: So many of the residuals that are fitted to are below so many standard deviations.
_SHARE, _BELOW = 0.955, 2.6
#: Standard deviations of the prior: of a joint's log from all joints' mean, and of the law's other numbers; and how
#: many residuals it counts as.
_JOINT, _OTHER, _PRIOR = 0.5, (2.0, 2.0, 2.0, 0.2), 10.0
#: Means of the law's other numbers (heat, hidden, weak, border). Near a border detectors are wrong with confidence, and
#: few data tell how much: where they do not, standard deviations are e times as large at it.
_MEANS = (0.0, 0.0, 0.0, 1.0)
#: What pixels cannot tell, and visibility below which a joint is not visible.
_PICTURE_PX, _LEAST_VISIBLE = 0.5, 0.3
#: Reaches of a border that are tried, of the square's side.
_REACHES = (0.02, 0.05, 0.1, 0.2)
#: Residuals that all joints' share of outliers counts as in that of one joint, and what is never less.
_SHARED, _LEAST_SHARE = 100.0, 1e-3


def fitted(found: Residuals, skeleton: Skeleton, detector: str) -> NoiseModel:
    """The likeliest law.

    Args:
        found: residuals of joints that are visible.
        skeleton: of their numbers.
        detector: its name, which the law keeps.
    """
    reaches = _REACHES if bool(np.isfinite(found.evidence.border).any()) else _REACHES[-1:]
    models = [_likeliest(found, reach, skeleton, detector) for reach in reaches]
    model = max(models, key=lambda pair: pair[1])[0]
    factor = math.log(float(np.quantile(distances(model, found, skeleton), _SHARE)) / _BELOW)
    model = replace(model, joints={joint: round(log + factor, 3) for joint, log in model.joints.items()})
    return replace(model, outliers=outlier_shares(model, found, skeleton))


def _kinds(skeleton: Skeleton) -> list[str]:
    return list(dict.fromkeys(sideless(joint) for joint in skeleton.joints))


def _likeliest(found: Residuals, reach: float, skeleton: Skeleton, detector: str) -> tuple[NoiseModel, float]:
    """The law at a reach of the border, and how likely the residuals are with it (log, per residual)."""
    kinds = _kinds(skeleton)
    kind = torch.tensor([kinds.index(sideless(joint)) for joint in skeleton.joints])[torch.from_numpy(found.joint)]
    gap = torch.from_numpy(found.gap).double()
    own, others, fixed = (torch.from_numpy(part) for part in _bases(found))
    of_own, of_others = _features(found.evidence, reach), _features(found.other_evidence, reach)
    numbers = torch.cat([torch.full((len(kinds),), math.log(0.01)), torch.zeros(4)]).double().requires_grad_()
    optimiser = torch.optim.LBFGS([numbers], max_iter=200, line_search_fn="strong_wolfe")

    def variance(kind: Tensor, values: Tensor) -> Tensor:
        return (2 * (numbers[kind] + values @ numbers[len(kinds) :])).exp()[..., None, None]

    def loss(prior: bool = True) -> Tensor:
        covariance = fixed + variance(kind, of_own) * own
        covariance = covariance + (variance(kind[:, None], of_others) * others).sum(1)
        distance = (gap * torch.linalg.solve(covariance, gap)).sum(-1).clamp(min=1e-12).sqrt()
        pull = torch.where(distance < _OUTLIER, distance**2 / 2, _OUTLIER * distance - _OUTLIER**2 / 2)
        total = (pull + torch.linalg.slogdet(covariance)[1] / 2).mean()
        joints, rest = numbers[: len(kinds)], numbers[len(kinds) :]
        cost = ((joints - joints.mean()) / _JOINT).square().sum() / 2
        cost = cost + ((rest - torch.tensor(_MEANS)) / torch.tensor(_OTHER)).square().sum() / 2
        return total + cost / len(gap) * _PRIOR if prior else total

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(closure)
    with torch.no_grad():
        likely = -float(loss(prior=False))
    values = [round(float(number), 3) for number in numbers.detach()]
    joints = dict(zip(kinds, values, strict=False))
    heat, hidden, weak, border = values[len(kinds) :]
    card: dict[str, Any] = {}
    model = NoiseModel(
        joints, heat, hidden, weak, border, reach, _PICTURE_PX, _LEAST_VISIBLE, card,
        detector=detector, skeleton=skeleton.name,
    )  # fmt: skip
    return model, likely


def _features(evidence: Evidence, reach: float) -> Tensor:
    """``(*n, 4)`` what the law's numbers multiply."""
    near = np.exp(-np.maximum(evidence.border, 0.0) / reach)
    log = np.log(size_of_heat(evidence.covariance) / USUAL_SPREAD)
    return torch.from_numpy(np.stack([log, 1 - evidence.visibility, 1 - evidence.peak, near], -1)).double()


def _bases(found: Residuals) -> tuple[Array, Array, Array]:
    """Covariances of the residuals: ``(n, 2, 2)`` times the keypoint's own ``g²``, ``(n, m, 2, 2)`` times the others',
    and ``(n, 2, 2)`` whatever they are."""

    def shaped(evidence: Evidence) -> Array:
        size = size_of_heat(evidence.covariance)[..., None, None]
        return evidence.covariance / size**2 * evidence.side[..., None, None] ** 2

    turned = found.gain.swapaxes(-1, -2)
    fixed = found.known + _PICTURE_PX**2 * (np.eye(2) + (found.gain @ turned).sum(1))
    return shaped(found.evidence), found.gain @ shaped(found.other_evidence) @ turned, fixed


def covariances(model: NoiseModel, found: Residuals, skeleton: Skeleton) -> Array:
    """``(n, 2, 2)`` px² of the residuals."""
    own, others, fixed = _bases(found)
    joints = [skeleton.joints[joint] for joint in found.joint]
    mine = model.spread_of(found.evidence, joints) ** 2
    rest = model.spread_of(Evidence(*(v.swapaxes(0, 1) for v in vars(found.other_evidence).values())), joints).T ** 2
    total: Array = fixed + mine[:, None, None] * own + (rest[..., None, None] * others).sum(1)
    return total


def distances(model: NoiseModel, found: Residuals, skeleton: Skeleton) -> Array:
    """``(n,)`` residuals in standard deviations (Mahalanobis, of two dimensions)."""
    return _mahalanobis(found.gap, covariances(model, found, skeleton))


def _mahalanobis(gap: Array, covariance: Array) -> Array:
    found: Array = np.sqrt((gap * np.linalg.solve(covariance, gap[..., None])[..., 0]).sum(-1))
    return found


def outlier_shares(model: NoiseModel, found: Residuals, skeleton: Skeleton) -> dict[str, float]:
    """How often each joint is wrong."""
    right = covariances(model, found, skeleton)
    wrong = right + (OUTLIER_SPREAD * found.size[:, None, None]) ** 2 * np.eye(2)
    near, far = (_mahalanobis(found.gap, covariance) ** 2 for covariance in (right, wrong))
    logs = 0.5 * near - 2 * np.log1p(far / 2) + 0.5 * (np.linalg.slogdet(right)[1] - np.linalg.slogdet(wrong)[1])
    odds = np.exp(np.clip(logs, -700, 700))
    kinds = _kinds(skeleton)
    kind = np.array([kinds.index(sideless(joint)) for joint in skeleton.joints])[found.joint]
    overall = _weight(odds, [])
    shares = {name: _weight(odds[kind == number], [overall, _SHARED]) for number, name in enumerate(kinds)}
    return {name: round(max(share, _LEAST_SHARE), 4) for name, share in shares.items()}


def _weight(odds: Array, prior: Sequence[float]) -> float:
    """Weight of a part whose density is so many times the other's; ``prior``: a share and how much it counts."""
    share, count = prior or (0.0, 0.0)
    found = 0.02
    for _ in range(200):
        belongs = found * odds / (found * odds + 1 - found)
        found = (float(belongs.sum()) + share * count) / max(len(odds) + count, 1.0)
    return found
