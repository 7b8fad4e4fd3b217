"""Learning where hidden joints are from keypoints alone: some that are there are kept from the lifter.

The keypoints of whole people say where limbs are that other pictures hide. A share of the visible joints is hidden
from the lifter, a limb or half the body at a time, and its distribution must make them likely where they were seen.
No 3D pose is read. What this leaves open, depth above all, other objectives have to say.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..data.observations import Observations
from ..distributions.mixture import MixturePoseDistribution
from ..files.errors import InputError
from ..files.settings import number
from ..geometry.cameras import explaining_root, linear_projection
from ..geometry.skeletons import Skeleton
from ..keypoints import Keypoints2D
from ..keypoints.view import camera_of
from ..lifters import Lifter, Model
from .base import Objective, register_objective

__all__ = ["Withheld", "keypoint_log_probability", "withheld_joints"]

#: Standard deviations from which a keypoint's distance counts linearly: a network that never saw this is far too sure.
_LINEAR_FROM = 5.0
#: Fewest joints that are left to the lifter of a pose that counts.
_FEWEST = 4


def withheld_joints(visible: Bool[Tensor, "n joints"], skeleton: Skeleton, share: float) -> Bool[Tensor, "n joints"]:
    """Visible joints to keep from the lifter: of half the poses a limb, both legs, both arms or a side, else any.

    Args:
        visible: of the poses.
        skeleton: joint order.
        share: largest share of the joints of the other half, each pose's own being anything up to that.
    """
    n, joints = visible.shape
    limbs = torch.zeros(4, joints, dtype=torch.bool, device=visible.device)
    for row, members in zip(limbs, skeleton.limbs.values(), strict=True):
        row[list(members)] = True
    arms = torch.tensor(["arm" in name for name in skeleton.limbs], device=visible.device)
    left = torch.tensor(["left" in name for name in skeleton.limbs], device=visible.device)
    pairs = torch.stack([limbs[chosen].any(0) for chosen in (arms, ~arms, left, ~left)])
    parts = torch.cat([limbs, limbs, pairs])[torch.randint(12, (n,), device=visible.device)]
    scattered = torch.rand(n, joints, device=visible.device) < share * torch.rand(n, 1, device=visible.device)
    scattered[:, skeleton.root] = False
    whole = torch.rand(n, 1, device=visible.device) < 0.5
    return torch.where(whole, parts, scattered) & visible


def keypoint_log_probability(
    posterior: MixturePoseDistribution, seen: Keypoints2D, withheld: Keypoints2D
) -> Float[Tensor, "n joints"]:
    """Log-density of each withheld keypoint, to first order about every component, in units of the person's size.

    Args:
        posterior: from ``seen``; its skeleton.
        seen: keypoints that say where each component stands, at least two of a pose.
        withheld: the keypoints to score where they are visible, pixels and the detector's covariance.
    """
    intrinsics, _ = camera_of(seen)
    means, covariance = posterior.component_moments()  # (n, k, joints, 3) and (n, k, joints, 3, 3)
    root = explaining_root(means.movedim(-3, 0), seen.xy, seen.covariance, seen.visible, intrinsics).nan_to_num(1.0)
    place = means + root.to(means).movedim(0, -2).unsqueeze(-2)
    offset, slope = linear_projection(place, intrinsics[:, None, None, :2].to(means))
    size = seen.size.to(means)[:, None, None].clamp(min=1e-3)
    spread = slope @ covariance @ slope.mT + withheld.covariance.to(means).unsqueeze(1)
    gap = (withheld.xy.to(means).unsqueeze(1) - offset - intrinsics[:, None, None, 2:].to(means)) / size.unsqueeze(-1)
    gap = torch.where(withheld.visible[:, None, :, None], gap, 0.0)
    spread = spread / size[..., None, None].square()
    # A keypoint that is not withheld becomes a standard normal at its mean.
    spread = torch.where(withheld.visible[:, None, :, None, None], spread, torch.eye(2).to(spread))
    xx, xy, yy = spread[..., 0, 0], spread[..., 0, 1], spread[..., 1, 1]
    determinant = xx * yy - xy.square()
    x, y = gap.unbind(-1)
    squared = (yy * x.square() - 2.0 * xy * x * y + xx * y.square()) / determinant
    # Far-out keypoints count as if `_LINEAR_FROM` standard deviations off in the square, and linearly beyond.
    squared = 2.0 * _LINEAR_FROM**2 * ((1.0 + squared / _LINEAR_FROM**2).sqrt() - 1.0)
    density = -0.5 * (squared + determinant.log()) - math.log(2 * math.pi)
    return (posterior.log_weights.unsqueeze(-1) + density).logsumexp(1)


@register_objective("withheld")
class Withheld(Objective):
    """Negative log-likelihood of keypoints that the lifter was not shown, nats per withheld keypoint.

    Args:
        share: largest share of joints that are withheld where they are single ones.
    """

    def __init__(self, share: float = 0.6) -> None:
        super().__init__()
        self.share = number(share, "objective 'withheld': share", 0, 0.9, expected="0 to 0.9")

    @property
    def needs_poses(self) -> bool:
        """Never: it learns from keypoints, and goes with objectives that see more."""
        return False

    def forward(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        lifter = self.expect(lifter, Lifter)
        keypoints = observations.keypoints.as_skeleton(lifter.skeleton).flatten()
        hidden = withheld_joints(keypoints.visible, lifter.skeleton, self.share)
        shown = keypoints.visible & ~hidden
        useful = (shown.sum(-1) >= _FEWEST) & hidden.any(-1) & (camera_of(keypoints)[1] > 0)
        hidden = hidden & useful.unsqueeze(-1)
        seen = keypoints._replace(visible=shown)
        posterior = lifter(seen)
        if not isinstance(posterior, MixturePoseDistribution):
            raise InputError(f"objective 'withheld' needs a mixture; lifter {lifter.name!r} returns none")
        with torch.autocast(keypoints.device.type, enabled=False):
            log_probability = keypoint_log_probability(posterior, seen, keypoints._replace(visible=hidden))
        log_probability = torch.where(hidden, log_probability, 0.0)
        return {"withheld": -log_probability.sum() / hidden.sum().clamp(min=1)}
