"""Is the whole joint distribution right? Expected coverage, TARP and simulation-based calibration.

`poseterior.metrics.calibration` looks at one joint at a time; a distribution can be right in each joint and wrong in
how joints go together. The three tests here look at whole poses, each through one number per pose:

* expected coverage: the density of the pose (needs ``log_prob``);
* TARP: the distance of the pose to a reference pose (needs samples only);
* SBC: quantities with a name, such as the depth of a wrist (needs samples only, and says what is wrong).

All three rank the truth's number among the samples'. If the distribution is right, truth and samples are
exchangeable and the ranks are exactly uniform on (0, 1), at any number of samples (Talts et al. 2018). Ranks of
chunks of poses may be concatenated. Frames of a clip are not independent poses: where ``group`` says which poses are
of one clip, p-values and bands count them for what they are worth (`poseterior.metrics.resampling.effective_number`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..files.errors import InputError
from ..geometry.skeletons import SKELETONS
from .calibration import LEVELS
from .resampling import effective_number, uniform_band
from .rotations import uniformity_p_value

__all__ = [
    "SBC",
    "Coverage",
    "Tarp",
    "density_ranks",
    "expected_coverage",
    "sbc",
    "sbc_quantities",
    "sbc_ranks",
    "tarp",
    "tarp_ranks",
    "tarp_references",
]

_H36M = SKELETONS["h36m17"]
#: `uniformity_p_value` is good from so many ranks on.
FEWEST_RANKS = 5


def sbc_ranks(
    samples: Float[Tensor, "samples *batch"],
    truth: Float[Tensor, "*batch"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch"]:
    """Randomised rank in (0, 1) of the truth among the samples: simulation-based calibration (Talts et al. 2018).

    ``(number of samples below + u (number of ties + 1)) / (samples + 1)`` with u uniform on (0, 1). NaN where the
    truth is NaN. Ranks at both ends too often: over-confident; at one end: biased.
    """
    below, ties = (samples < truth).sum(0), (samples == truth).sum(0)
    random = torch.rand(truth.shape, generator=generator, device=truth.device, dtype=truth.dtype)
    return torch.where(truth.isnan(), torch.nan, (below + random * (ties + 1)) / (len(samples) + 1))


@dataclass(frozen=True)
class Coverage:
    """How often the truth is in the region that should hold it with probability q.

    Attributes:
        levels: ``(levels,)`` the q: `poseterior.metrics.calibration.LEVELS`.
        coverage: ``(levels,)`` share of the truths inside.
        error: mean over levels of ``|coverage - q|``.
        signed: mean over levels of ``q - coverage``: positive is over-confident.
        low, high: ``(levels,)`` ends of the 95 % band: where all shares of a right distribution lie.
        inside: whether the curve is within the band at all levels.
    """

    levels: Tensor
    coverage: Tensor
    error: float
    signed: float
    low: Tensor
    high: Tensor
    inside: bool


class _Curve(NamedTuple):
    levels: Float[Tensor, "levels"]
    coverage: Float[Tensor, "levels"]
    low: Float[Tensor, "levels"]
    high: Float[Tensor, "levels"]

    @property
    def inside(self) -> bool:
        return bool(((self.coverage >= self.low - 1e-6) & (self.coverage <= self.high + 1e-6)).all())


def _curve(ranks: Tensor, name: str, group: Tensor | None) -> _Curve:
    """Levels, share of the ranks at or below each, and the 95 % band; NaN ranks do not count."""
    known = ranks[~ranks.isnan()]
    if len(known) == 0:
        raise InputError(f"{name}: ranks: none is a number; at least one pose must be measurable")
    levels = torch.tensor(LEVELS, dtype=known.dtype, device=known.device)
    count = len(known) if group is None else effective_number(ranks, group)
    low, high = (end.to(known) for end in uniform_band(max(1, round(count))))
    return _Curve(levels, (known <= levels.unsqueeze(-1)).to(known.dtype).mean(-1), low, high)


def density_ranks(
    log_prob_samples: Float[Tensor, "samples *batch"],
    log_prob_truth: Float[Tensor, "*batch"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch"]:
    """Probability of the smallest highest-density region that holds the truth (Hyndman 1996; Hermans et al. 2022).

    The share of samples with a higher log-density than the truth's, randomised as in `sbc_ranks`. A truth without
    a density (-inf or NaN) is outermost; so are such samples. Leave out truths that the distribution cannot score,
    as those with joints missing, rather than pass NaN.
    """
    samples, truth = (torch.where(value.isnan(), -torch.inf, value) for value in (log_prob_samples, log_prob_truth))
    return sbc_ranks(-samples, -truth, generator)


def expected_coverage(ranks: Float[Tensor, "*batch"], group: Int[Tensor, "*batch"] | None = None) -> Coverage:
    """Coverage of highest-density regions from `density_ranks`: the share of ranks up to q should be q.

    Over-confident: ranks near 1 too often, the curve below the diagonal, ``signed`` positive (Hermans et al. 2022).
    The band is `poseterior.metrics.resampling.uniform_band`.

    Args:
        ranks: of poses.
        group: clip of each pose (`poseterior.metrics.resampling.group_numbers`); default: all are independent.

    Raises:
        InputError: no rank is a number; all are of one clip.
    """
    curve = _curve(ranks, "expected coverage", group)
    gap = curve.levels - curve.coverage
    return Coverage(*curve[:2], float(gap.abs().mean()), float(gap.mean()), *curve[2:], curve.inside)


# -- TARP --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tarp(Coverage):
    """Expected coverage of balls around reference poses; see `tarp`.

    Attributes:
        signed: mean of ``q - coverage`` over the levels above 1/2: positive is over-confident (if not biased).
    """


def tarp_references(
    truth: Float[Tensor, "poses joints 3"], generator: torch.Generator | None = None, groups: Sequence[str] = ()
) -> Float[Tensor, "poses joints 3"]:
    """A reference for each pose: one of the other poses, in a random order.

    A reference must not depend on the truth that it serves, given the keypoints: anything else may be one. Poses of
    the same clip share a body and a moment, so that they are no references for each other.

    Args:
        groups: the clip of each pose; references are then of other clips. NaN for all if one clip has more than half
            of the poses, or there is only one pose.
    """
    order = torch.randperm(len(truth), generator=generator, device=truth.device)
    shift = 1
    if groups:
        names = {name: number for number, name in enumerate(dict.fromkeys(groups))}
        group = torch.tensor([names[name] for name in groups], device=truth.device)
        # Clip by clip, shifted by the largest clip: nobody meets their own.
        order = order[group[order].argsort(stable=True)]
        shift = int(group.bincount().max())
    if 2 * shift > len(truth):
        return torch.full_like(truth, torch.nan)
    references = torch.empty_like(truth)
    references[order] = truth[order.roll(-shift)]
    return references


def tarp_ranks(
    samples: Float[Tensor, "samples *batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    references: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch"]:
    """Randomised rank of the truth's distance to the reference among the samples' distances (Lemos et al. 2023).

    The distance is that of whole poses, ``sqrt(sum over joints of squared distances)``, over the joints that are
    valid in the truth and finite in the reference. NaN where there is none.

    Args:
        references: of each pose, from `tarp_references`.
        valid: joints that exist in the truth; default all. Values of the others are ignored.
    """
    used = references.isfinite().all(-1)
    if valid is not None:
        used = used & valid
    centre = torch.where(used.unsqueeze(-1), references, 0.0)

    def distance(pose: Tensor) -> Tensor:
        # where, not a product: NaN times 0 is NaN.
        return (torch.where(used.unsqueeze(-1), pose, 0.0) - centre).flatten(-2).norm(dim=-1)

    actual = torch.where(used.any(-1), distance(truth), torch.nan)
    return sbc_ranks(distance(samples), actual, generator)


def tarp(ranks: Float[Tensor, "*batch"], group: Int[Tensor, "*batch"] | None = None) -> Tarp:
    """Tests of accuracy with random points (TARP, Lemos et al. 2023) from `tarp_ranks`.

    The ball around the reference that reaches to the q-quantile of the samples' distances should hold the truth
    with probability q. If the distribution is right the curve is the diagonal, whatever the references.

    How a wrong one shows depends on where the references are. Far from the samples (a sharp distribution):
    over-confident gives ranks at both ends, the curve is above the diagonal below 1/2 and below it above 1/2;
    under-confident the reverse. Among the samples (a distribution about as wide as all poses): over-confident gives
    ranks near 1, the curve is below the diagonal everywhere; under-confident above it. In both cases the outer half
    is below the diagonal if over-confident, which is what ``signed`` reads. A bias shows less: samples beside the
    truth are farther from most references, so the curve is mostly above the diagonal, and ``signed`` says
    nothing of the spread.

    The band is `poseterior.metrics.resampling.uniform_band`; a right distribution leaves it once in twenty times. Of
    poses in groups it is that of their effective number.

    Args:
        ranks: of poses.
        group: clip of each pose (`poseterior.metrics.resampling.group_numbers`); default: all are independent.

    Raises:
        InputError: no rank is a number; all are of one clip.
    """
    curve = _curve(ranks, "TARP", group)
    gap = curve.levels - curve.coverage
    outer = float(gap[len(LEVELS) // 2 + 1 :].mean())
    return Tarp(*curve[:2], float(gap.abs().mean()), outer, *curve[2:], curve.inside)


# -- simulation-based calibration --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SBC:
    """Which quantities of a pose are ranked uniformly; see `sbc`.

    Attributes:
        p_values: of each quantity's ranks being uniform (Kolmogorov-Smirnov).
        smallest: of the p-values.
        level: what the smallest must not be below: 0.01 over the number of quantities (Bonferroni).
        uniform: whether it is not: no evidence against the distribution.
        effective: as how many independent poses each quantity's ranks count.
    """

    p_values: dict[str, float]
    smallest: float
    level: float
    uniform: bool
    effective: dict[str, float]


def _joint(poses: Tensor, name: str) -> Float[Tensor, "*batch 3"]:
    return poses[..., _H36M.index(name), :]


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between vectors in [0, pi]; by atan2, as acos loses digits near straight limbs."""
    return torch.atan2(torch.linalg.cross(a, b, dim=-1).norm(dim=-1), (a * b).sum(-1))


def _bend(poses: Tensor, upper: str, middle: str, lower: str) -> Tensor:
    """Angle at the middle joint: pi if straight."""
    centre = _joint(poses, middle)
    return _angle(_joint(poses, upper) - centre, _joint(poses, lower) - centre)


def sbc_quantities(poses: Float[Tensor, "*batch 17 3"]) -> dict[str, Float[Tensor, "*batch"]]:
    """Twelve numbers of an h36m17 pose that one photo leaves uncertain, for `sbc_ranks` of samples and truth.

    Depths (metres, larger is farther) of wrists, ankles and head relative to the pelvis, how far the left hip and
    shoulder are behind the right ones, angles of knees and elbows (radians, pi if straight), and the summed length
    of all bones (metres). A quantity is NaN if a joint that it needs is NaN: put NaN where the truth has no joint.

    Args:
        poses: relative to the pelvis or not; camera axes.

    Raises:
        InputError: not 17 joints.
    """
    if poses.shape[-2] != len(_H36M):
        raise InputError(f"SBC: poses: expected the 17 joints of h36m17, got {poses.shape[-2]}")
    depth = {name: poses[..., _H36M.index(name), 2] for name in _H36M.joints}
    quantities = {
        f"depth of {name.replace('_', ' ')}": depth[name] - depth["pelvis"]
        for name in ("left_wrist", "right_wrist", "left_ankle", "right_ankle", "head_top")
    }
    for part in ("hip", "shoulder"):
        quantities[f"depth of left over right {part}"] = depth[f"left_{part}"] - depth[f"right_{part}"]
    for side in ("left", "right"):
        quantities[f"angle of {side} knee"] = _bend(poses, f"{side}_hip", f"{side}_knee", f"{side}_ankle")
        quantities[f"angle of {side} elbow"] = _bend(poses, f"{side}_shoulder", f"{side}_elbow", f"{side}_wrist")
    bones = [(child, parent) for child, parent in enumerate(_H36M.parents) if parent >= 0]
    children, parents = (list(ends) for ends in zip(*bones, strict=True))
    quantities["size of the body"] = (poses[..., children, :] - poses[..., parents, :]).norm(dim=-1).sum(-1)
    return quantities


def sbc(ranks: dict[str, Float[Tensor, "*batch"]], group: Int[Tensor, "*batch"] | None = None) -> SBC:
    """Test that each quantity's ranks (`sbc_ranks`) are uniform, with Bonferroni's correction for their number.

    NaN ranks do not count; a quantity with fewer than 5 ranks, or with ranks of one clip only, is left out.

    Args:
        ranks: of each quantity.
        group: clip of each pose (`poseterior.metrics.resampling.group_numbers`); default: all are independent.

    Raises:
        InputError: no quantity has 5 ranks (of two clips).
    """
    p_values, effective = {}, {}
    for name, values in ranks.items():
        known = ~values.isnan()
        clips = None if group is None else group[known].unique()
        if int(known.sum()) < FEWEST_RANKS or (clips is not None and len(clips) < 2):
            continue
        count = float(known.sum()) if group is None else effective_number(values[known], group[known])
        p_values[name] = float(uniformity_p_value(values[known].double(), count))
        effective[name] = count
    if not p_values:
        raise InputError(f"SBC: ranks: no quantity has {FEWEST_RANKS} ranks; measure more poses")
    smallest, level = min(p_values.values()), 0.01 / len(p_values)
    return SBC(p_values, smallest, level, smallest >= level, effective)
