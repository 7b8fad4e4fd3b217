"""The product of what several calibrated views say of a pose and its place in the world: exact for Gaussians.

A lifter's answer to one view is a prior over poses times the likelihood of that view's keypoints, with the place of the
root integrated out. The answers ``q_v`` to ``V`` views are pooled geometrically with weights that sum to one, which
counts the prior once; of each view's likelihood that is a share ``w_v``, so that the rest is added::

    prior * L_1 * ... * L_V  =  prod_v q_v^(w_v)  *  prod_v L_v^(1 - w_v)

and with it the part of ``L_v`` that says where the root is given the pose, which ``q_v`` integrated out, as a whole.
Where lifters' answers are Gaussian and keypoints are linear, this is the joint posterior whatever the weights; with one
view it is the lifter's answer itself. Keypoints are linear in places about some place; the linearisation is taken again
at the mean until it stays (the iterated extended Kalman filter: Bell and Cathey 1993).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...geometry.cameras import linear_projection

__all__ = ["FEWEST_JOINTS", "Fused", "View", "fused", "joint_blocks", "surprise"]

#: Joints that a view has to show so that its lifter's answer counts.
FEWEST_JOINTS = 2
#: Most linearisations, and the move in metres below which there is no further one.
_STEPS, _STILL = 12, 1e-7
#: Metres by which lifters' answers are blurred, so that they can be inverted.
_BLUR = 1e-3


class View(NamedTuple):
    """What one camera saw of ``n`` moments, and what its lifter makes of it.

    Attributes:
        mean: ``(n, joints, 3)`` metres relative to the root, in the camera's axes.
        covariance: ``(n, d, d)`` m², of the joints other than the root; with the keypoints given exactly.
        xy, noise: ``(n, joints, 2)`` px and ``(n, joints, 2, 2)`` px² of the keypoints, of an undistorted picture.
        visible: ``(n, joints)``.
        intrinsics: ``(4,)`` px.
        rotation, translation: ``(3, 3)`` and ``(3,)`` metres, from the world into the camera.
    """

    mean: Tensor
    covariance: Tensor
    xy: Tensor
    noise: Tensor
    visible: Tensor
    intrinsics: Tensor
    rotation: Tensor
    translation: Tensor


class Fused(NamedTuple):
    """A Gaussian over the places of all joints in the world.

    Attributes:
        mean: ``(n, joints, 3)`` metres.
        covariance: ``(n, 3 joints, 3 joints)`` m².
        residual: ``(views, n, joints, 2)`` px of each keypoint from the mean; 0 where it is not visible.
        slope: ``(views, n, joints, 2, 3)`` px per metre, of what each keypoint would be.
    """

    mean: Tensor
    covariance: Tensor
    residual: Tensor
    slope: Tensor


class _Pool(NamedTuple):
    """The lifters' answers together: information about the pose relative to the root, in the world's axes."""

    mean: Tensor
    information: Tensor
    share: Tensor


def _shares(views: list[View]) -> Float[Tensor, "views n"]:
    """How much each view's lifter counts: as many joints as it saw; all alike where none saw enough."""
    seen = torch.stack([view.visible.sum(-1) for view in views]).double()
    seen = torch.where(seen >= FEWEST_JOINTS, seen, 0.0)
    total = seen.sum(0)
    return torch.where(total > 0, seen / total.clamp(min=1.0), 1.0 / len(views))


def _pooled(views: list[View], nonroot: list[int]) -> _Pool:
    share = _shares(views)
    count, d = len(views[0].mean), 3 * len(nonroot)
    information = torch.zeros(count, d, d, dtype=torch.float64)
    pull = torch.zeros(count, d, dtype=torch.float64)
    blur = _BLUR**2 * torch.eye(d, dtype=torch.float64)
    for view, weight in zip(views, share, strict=True):
        turn = torch.kron(torch.eye(len(nonroot), dtype=torch.float64), view.rotation.mT.contiguous())
        own = turn @ torch.linalg.inv(view.covariance + blur) @ turn.mT * weight[:, None, None]
        information = information + own
        mean = (view.mean[:, nonroot] @ view.rotation).flatten(1)
        pull = pull + (own @ mean.unsqueeze(-1)).squeeze(-1)
    return _Pool(torch.linalg.solve(information, pull), 0.5 * (information + information.mT), share)


def _start(views: list[View], pose: Float[Tensor, "n joints 3"]) -> Float[Tensor, "n 3"]:
    """Where in the world a pose explains all views best, by equations that are linear in its place."""
    normal = torch.zeros(len(pose), 3, 3, dtype=torch.float64)
    right = torch.zeros(len(pose), 3, 1, dtype=torch.float64)
    for view in views:
        focal = torch.diag_embed(view.intrinsics[:2]).expand(*view.xy.shape, 2)
        rows = torch.cat([focal, (view.intrinsics[2:] - view.xy).unsqueeze(-1)], -1) @ view.rotation
        weight = torch.where(view.visible[..., None, None], torch.linalg.inv(view.noise), 0.0)
        own = rows.mT @ weight @ rows
        normal = normal + own.sum(1)
        offset = pose + view.rotation.mT @ view.translation
        right = right - (own @ offset.unsqueeze(-1)).sum(1)
    return (torch.linalg.pinv(normal, hermitian=True) @ right).squeeze(-1)


def _linear(view: View, place: Float[Tensor, "n joints 3"]) -> tuple[Tensor, Tensor]:
    """Residuals of the keypoints at some places, and how predictions change with them; 0 where not visible."""
    offset, slope = linear_projection(place @ view.rotation.mT + view.translation, view.intrinsics[:2])
    shown = view.visible.unsqueeze(-1)
    residual = torch.where(shown, view.xy - offset - view.intrinsics[2:], 0.0)
    return residual, torch.where(shown.unsqueeze(-1), slope @ view.rotation, 0.0)


def _information(
    view: View, residual: Tensor, slope: Tensor, share: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "n D D"], Float[Tensor, "n D"]]:
    """What a view's keypoints add to its lifter's answer: information, and its pull on the places."""
    count, joints = view.visible.shape
    half = torch.linalg.inv(torch.linalg.cholesky(view.noise))  # half.T half = noise^-1
    white = (half @ residual.unsqueeze(-1)).flatten(1)
    each = half @ slope  # (n, joints, 2, 3)
    whole = torch.diag_embed(each.permute(0, 2, 3, 1)).permute(0, 3, 1, 4, 2).reshape(count, 2 * joints, 3 * joints)
    # Of the part that a move of the root explains the lifter's answer has nothing, of the rest its share. With fewer
    # joints than that it has no share.
    root = torch.linalg.qr(each.flatten(1, 2)).Q
    share = share[:, None, None]
    weighed = (1.0 - share) * whole + share * root @ (root.mT @ whole)
    return whole.mT @ weighed, (weighed.mT @ white.unsqueeze(-1)).squeeze(-1)


def fused(views: list[View], root: int) -> Fused:
    """The posterior of the places of all joints.

    Args:
        views: of the same moments, float64, in the same skeleton.
        root: its root joint.

    Where no view shows anything the root is not known: its information is that of a standard deviation of 100 m.
    """
    joints = views[0].mean.shape[1]
    nonroot = [joint for joint in range(joints) if joint != root]
    pool = _pooled(views, nonroot)
    count = len(pool.mean)
    relative = torch.zeros(count, joints, 3, dtype=torch.float64)
    relative[:, nonroot] = pool.mean.unflatten(1, (-1, 3))
    # From places to the pose relative to the root.
    identity = torch.eye(3, dtype=torch.float64)
    minus = torch.zeros(len(nonroot), joints, dtype=torch.float64)
    minus[torch.arange(len(nonroot)), nonroot] = 1.0
    minus[:, root] = -1.0
    minus = torch.kron(minus, identity)
    place = relative + _start(views, relative).unsqueeze(-2)
    # A place far off is none: keypoints of a frame that shows next to nothing.
    place = torch.where(place.abs().amax((-2, -1), keepdim=True) < 1e3, place, relative)
    base = minus.mT @ pool.information @ minus
    base = base + 1e-4 * torch.kron(_one_hot(root, joints), identity)
    for _ in range(_STEPS):
        flat = place.flatten(1)
        information = base
        pull = -(minus.mT @ pool.information @ (flat @ minus.mT - pool.mean).unsqueeze(-1)).squeeze(-1)
        for view, share in zip(views, pool.share, strict=True):
            own, force = _information(view, *_linear(view, place), share)
            information, pull = information + own, pull + force
        lower = torch.linalg.cholesky(0.5 * (information + information.mT))
        step = torch.cholesky_solve(pull.unsqueeze(-1), lower).squeeze(-1)
        place = place + step.unflatten(1, (-1, 3))
        if bool((step.abs() < _STILL).all()):
            break
    linear = [_linear(view, place) for view in views]
    return Fused(place, torch.cholesky_inverse(lower), *(torch.stack(part) for part in zip(*linear, strict=True)))


def _one_hot(joint: int, joints: int) -> Tensor:
    found = torch.zeros(joints, joints, dtype=torch.float64)
    found[joint, joint] = 1.0
    return found


def surprise(
    found: Fused, views: list[View], noise: Float[Tensor, "views n joints 2 2"]
) -> tuple[Float[Tensor, "views n joints"], Bool[Tensor, "views n joints"]]:
    """How far each keypoint is from where all others expect it: squared, in variances (2 are usual).

    A keypoint's residual, with what it had itself to say taken out again: exact where keypoints are linear.

    Args:
        found: of the views.
        views: with the noise that was used.
        noise: what the detector says that it is, px².

    Returns:
        The distances, and of which keypoints: those that another view shows too. 0 elsewhere.
    """
    blocks = joint_blocks(found.covariance)
    seen = torch.stack([view.visible for view in views])
    told = seen & (seen.sum(0) >= 2)
    used = torch.stack([view.noise for view in views])
    own = found.slope @ blocks @ found.slope.mT
    identity = torch.eye(2, dtype=torch.float64)
    # Of a keypoint that decides alone nothing is left over; the least eigenvalue keeps that from being divided by.
    left = torch.where(told[..., None, None], used - own, identity) + 1e-6 * used
    gain = used @ torch.linalg.inv(left)
    gap = (gain @ found.residual.unsqueeze(-1)).squeeze(-1)
    expected = torch.where(told[..., None, None], noise + gain @ own, identity)
    expected = 0.5 * (expected + expected.mT)
    distance = (gap * torch.linalg.solve(expected, gap)).sum(-1)
    return torch.where(told, distance.clamp(min=0.0), 0.0), told


def joint_blocks(covariance: Float[Tensor, "n D D"]) -> Float[Tensor, "n joints 3 3"]:
    """Covariance of each joint."""
    parts = covariance.unflatten(-1, (-1, 3)).unflatten(1, (-1, 3))
    return parts.diagonal(dim1=1, dim2=3).movedim(-1, 1)
