"""How far poses are from the truth. Poses ``(*batch, joints, 3)`` in metres, results in metres.

``valid (*batch, joints)`` marks joints that exist in the truth; values of the others are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.kinematics import similarity_align

__all__ = [
    "area_under_pck",
    "correct_pose_area",
    "correct_pose_score",
    "crps",
    "energy_score",
    "expected_best_of",
    "hypothesis_errors",
    "joint_errors",
    "mpjpe",
    "mpjve",
    "n_mpjpe",
    "p_mpjpe",
    "pck",
]


def _valid(pose: Tensor, truth: Tensor, valid: Tensor | None) -> Tensor:
    shape = torch.broadcast_shapes(pose.shape, truth.shape)[:-1]
    return torch.ones(shape, dtype=torch.bool, device=pose.device) if valid is None else valid.expand(shape)


def joint_errors(
    pose: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch joints"]:
    """Euclidean distance per joint, 0 where not valid."""
    return torch.where(_valid(pose, truth, valid), (pose - truth).norm(dim=-1), 0.0)


def mpjpe(
    pose: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean per-joint position error (protocol 1); both poses relative to the root already."""
    mask = _valid(pose, truth, valid)
    return joint_errors(pose, truth, valid).sum(-1) / mask.sum(-1).clamp(min=1)


def n_mpjpe(
    pose: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """MPJPE after the best scaling of the pose (Rhodin et al. 2018)."""
    mask = _valid(pose, truth, valid).unsqueeze(-1)
    p, t = torch.where(mask, pose, 0.0), torch.where(mask, truth, 0.0)
    size = (p * t).sum((-2, -1)) / p.square().sum((-2, -1)).clamp(min=1e-12)
    return mpjpe(size[..., None, None] * pose, truth, valid)


def p_mpjpe(
    pose: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """MPJPE after similarity alignment (protocol 2); reflections are refused."""
    return mpjpe(similarity_align(pose, truth, valid), truth, valid)


def mpjve(
    pose: Float[Tensor, "*batch frames joints 3"],
    truth: Float[Tensor, "*batch frames joints 3"],
    valid: Bool[Tensor, "*batch frames joints"] | None = None,
) -> Float[Tensor, "*batch frames-1"]:
    """Mean per-joint velocity error, metres per frame: MPJPE of the differences between frames (Pavllo et al. 2019).

    A joint counts where it is valid in both frames; 0 where no joint is.
    """
    both = None if valid is None else valid[..., 1:, :] & valid[..., :-1, :]
    return mpjpe(pose.diff(dim=-3), truth.diff(dim=-3), both)


def pck(
    pose: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
    threshold: float = 0.150,
) -> Float[Tensor, "*batch"]:
    """Share of joints nearer to the truth than ``threshold`` metres."""
    mask = _valid(pose, truth, valid)
    near = (joint_errors(pose, truth, valid) < threshold) & mask
    return near.sum(-1) / mask.sum(-1).clamp(min=1)


def area_under_pck(
    pose: Float[Tensor, "*batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean PCK over the thresholds 0, 5, ..., 150 mm (Mehta et al. 2017)."""
    mask = _valid(pose, truth, valid)
    error = joint_errors(pose, truth, valid)
    near = torch.zeros_like(error)
    for step in range(31):
        near += (error < 0.005 * step) & mask
    return near.sum(-1) / (31 * mask.sum(-1).clamp(min=1))


def correct_pose_score(
    hypotheses: Float[Tensor, "samples *batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    joints: list[int] | None = None,
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch"]:
    """CPS (Wandt et al. 2021) in mm: the area over thresholds 1..300 mm under "some hypothesis is correct".

    A hypothesis is correct at t if all ``joints`` (default all) are within t after similarity alignment, for
    which all valid joints are used.
    """
    error = joint_errors(similarity_align(hypotheses, truth, valid), truth, valid)
    if joints is not None:
        error = error[..., joints]
    return correct_pose_area(error.amax(-1).amin(0))


def correct_pose_area(worst: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """CPS in mm from each pose's worst joint error in metres, after alignment, under the best hypothesis.

    The trapezoid sum over t = 1..300 mm of "e < t" in closed form: ``#{t : e < t} - [e < 1] / 2 - [e < 300] / 2``,
    so 299 at most.
    """
    e = 1000.0 * worst
    steps = torch.arange(1, 301, device=e.device)
    return (e.unsqueeze(-1) < steps).sum(-1) - 0.5 * (e < 1).float() - 0.5 * (e < 300).float()


def hypothesis_errors(errors: Float[Tensor, "samples *batch"]) -> dict[str, Float[Tensor, "*batch"]]:
    """The published summary of each pose's errors over its hypotheses: ``best, median, mean, worst``.

    The median of an even number of hypotheses is the lower one of the two in the middle.
    """
    return {"best": errors.amin(0), "median": errors.median(0).values, "mean": errors.mean(0), "worst": errors.amax(0)}


def expected_best_of(errors: Float[Tensor, "samples *batch"], counts: Sequence[int]) -> Float[Tensor, "counts *batch"]:
    """Expected error of the best of m hypotheses, for each m in ``counts``.

    The expectation is over all subsets of m of the n samples, in closed form: the i-th smallest error is the
    subset's best with probability ``C(n - i, m - 1) / C(n, m)``. So it does not depend on the samples' order
    and never grows with m. It is the mean error at m = 1 and the smallest at m = n.

    Raises:
        InputError: a count below 1 or above the number of samples.
    """
    n = len(errors)
    for m in counts:
        if not 1 <= m <= n:
            raise InputError(f"counts: expected 1 to {n} (the number of samples), got {m}")
    above = torch.arange(n - 1, dtype=torch.float64, device=errors.device)  # i - 1 of the i-th smallest
    rows = []
    for m in counts:
        # Ratio of each weight to the one before; binomial coefficients themselves overflow.
        ratio = (n - m - above).clamp(min=0.0) / (n - 1 - above)
        rows.append(m / n * torch.cat([ratio.new_ones(1), ratio.cumprod(0)]))
    ordered = errors.sort(0).values
    return torch.tensordot(torch.stack(rows).to(errors.dtype), ordered, dims=1)


def crps(samples: Float[Tensor, "samples *batch"], truth: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Continuous ranked probability score of one coordinate, unbiased in the number of samples.

    ``E|X - y| - E|X - X'| / 2`` (Gneiting & Raftery 2007, eq. 21), pairs from order statistics.
    """
    n = len(samples)
    ordered = samples.sort(0).values
    rank = torch.arange(1, n + 1, device=samples.device, dtype=samples.dtype)
    rank = (2 * rank - n - 1).reshape(n, *[1] * (samples.ndim - 1))
    spread = 2.0 * (rank * ordered).sum(0) / (n * (n - 1))
    return (samples - truth).abs().mean(0) - 0.5 * spread


def energy_score(
    samples: Float[Tensor, "samples *batch joints 3"], truth: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints"]:
    """Energy score of each joint's position: ``E||X - y|| - E||X - X'|| / 2`` (Gneiting & Raftery 2007).

    The second term uses each sample's distance to the next ones in the (exchangeable) list.
    """
    distance = (samples - truth).norm(dim=-1).mean(0)
    shifts = [s for s in (1, 2, 3, 5, 8) if s < len(samples)]
    spread = torch.stack([(samples - samples.roll(s, 0)).norm(dim=-1).mean(0) for s in shifts]).mean(0)
    return distance - 0.5 * spread
