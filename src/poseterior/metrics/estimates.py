"""One pose from many: single estimates of samples ``(samples, *batch, joints, 3)`` in metres, relative to the root.

`medoid`, `weighted_mean` and `aggregate_by_reprojection` use nothing but the samples and the keypoints that they
explain. `best_of`, and aggregation with the true root, look at the truth: they are **oracles**, a measure of what the
samples contain and not of any pose that a user could get.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..keypoints import Keypoints2D
from ..keypoints.view import reprojection_energy, solve_root
from .accuracy import mpjpe

__all__ = [
    "aggregate_by_reprojection",
    "best_of",
    "medoid",
    "reprojection_log_weights",
    "weighted_mean",
]

#: Poses whose distances between all pairs of samples are held at once: 22 MB at 200 samples of 17 joints.
_POSES_AT_ONCE = 8


def _take_joints(
    samples: Float[Tensor, "samples *batch joints 3"], index: Int[Tensor, "*batch joints"]
) -> Float[Tensor, "*batch joints 3"]:
    """Each joint from the sample of that index."""
    return samples.gather(0, index[None, ..., None].expand(1, *samples.shape[1:])).squeeze(0)


def _take_poses(
    samples: Float[Tensor, "samples *batch joints 3"], index: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch joints 3"]:
    """Each pose from the sample of that index."""
    return _take_joints(samples, index.unsqueeze(-1))


def medoid(
    samples: Float[Tensor, "samples *batch joints 3"], valid: Bool[Tensor, "*batch joints"] | None = None
) -> Float[Tensor, "*batch joints 3"]:
    """The sample nearest to all the others: with the smallest sum of MPJPEs to them.

    Unlike the mean it is one of the hypotheses, with their bone lengths. Of equally near ones the first.

    Args:
        samples: metres.
        valid: joints that count in the distance; default all.
    """
    batch, (joints, axes) = samples.shape[1:-2], samples.shape[-2:]
    counted = samples if valid is None else torch.where(valid.unsqueeze(-1), samples, 0.0)
    points = counted.reshape(len(samples), -1, joints, axes).permute(1, 2, 0, 3)  # (poses, joints, samples, 3)
    # The other mode of cdist subtracts squares, which loses the small distances.
    nearest = [
        torch.cdist(some, some, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 3)).argmin(-1)
        for some in points.split(_POSES_AT_ONCE)
    ]
    return _take_poses(samples, torch.cat(nearest).reshape(batch))


def weighted_mean(
    samples: Float[Tensor, "samples *batch joints 3"], log_weights: Float[Tensor, "samples *batch"]
) -> Float[Tensor, "*batch joints 3"]:
    """Mean over the samples with weights proportional to ``exp(log_weights)``; the plain mean where all are zero."""
    none = (log_weights == -torch.inf).all(0)
    weights = torch.where(none, 0.0, log_weights).softmax(0)
    return (weights[..., None, None] * samples).sum(0)


def reprojection_log_weights(
    samples: Float[Tensor, "samples *batch joints 3"], keypoints: Keypoints2D
) -> Float[Tensor, "samples *batch"]:
    """Log-likelihood of the keypoints under each sample, up to a constant: minus half the reprojection energy.

    The root is solved from the sample itself (`solve_root`). Samples of a posterior have used the keypoints once
    already, so that weighting by them again is an estimate that trusts the keypoints more, not a better posterior.
    With detectors good to a few millimetres, the weight of 200 samples is usually with two or three of them.
    """
    return -0.5 * reprojection_energy(samples, solve_root(samples, keypoints), keypoints).sum(-1)


def aggregate_by_reprojection(
    samples: Float[Tensor, "samples *batch joints 3"],
    keypoints: Keypoints2D,
    root: Float[Tensor, "*#samples_and_batch 3"] | None = None,
) -> Float[Tensor, "*batch joints 3"]:
    """Each joint from the sample in which it is seen nearest to its keypoint (JPMA, Shan et al. 2023).

    The distance is that of `reprojection_energy`; for keypoints as uncertain in x as in y it picks what the
    published distance in pixels picks. A joint that is not visible, or that no sample puts in front of the camera,
    and all joints where fewer than two are visible, take the mean over the samples.

    Args:
        samples: metres, camera axes.
        keypoints: the evidence ``(*batch)``, in the skeleton of the samples.
        root: where the person is. None, which anyone can compute, solves it from each sample by itself. With the
            true root ``(*batch, 3)`` this is the published "J-Agg", an **oracle**: the true root says how far away
            the person is, and so how large.
    """
    energy = reprojection_energy(samples, solve_root(samples, keypoints) if root is None else root, keypoints)
    told = (keypoints.visible & energy.amin(0).isfinite()).unsqueeze(-1)
    return torch.where(told, _take_joints(samples, energy.argmin(0)), samples.mean(0))


def best_of(
    samples: Float[Tensor, "samples *batch joints 3"],
    truth: Float[Tensor, "*batch joints 3"],
    valid: Bool[Tensor, "*batch joints"] | None = None,
) -> Float[Tensor, "*batch joints 3"]:
    """The sample with the smallest MPJPE: an **oracle**, which looks at the truth to choose."""
    return _take_poses(samples, mpjpe(samples, truth, valid).argmin(0))
