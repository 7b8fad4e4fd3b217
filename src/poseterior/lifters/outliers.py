"""Which keypoints of a pose are wrong: told by a lifter's own answers to the other keypoints.

Of detectors that say how often they are wrong (`Keypoints2D.outliers`). A keypoint is held against where the network
sees its joint that is told all keypoints but this one: the predictive distribution, of some draws, with the root that
explains the others. `poseterior.distributions.contamination` makes probabilities of it. As one wrong keypoint spoils
the predictions of others, they are found one after the other, the least probable first, and each is asked again when
all are known.

Networks cost too much to ask for each joint of each pose. Who fits is not asked: only keypoints that the answer to
*all* keypoints misses (`_SUSPECT`), the worst `_ASKED` of a pose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..distributions.base import PoseDistribution
from ..distributions.contamination import inlier_log_odds, moments_of, widened
from ..geometry.cameras import project
from ..keypoints import Keypoints2D
from ..keypoints.view import camera_of, solve_root

__all__ = ["keypoints_that_count"]

#: Draws behind a prediction, and behind that of a keypoint that seems to be wrong: a log odds below `_DOUBTFUL`.
_DRAWS, _MANY, _DOUBTFUL = 16, 128, 1.0
#: Metres at the person by which networks blur keypoints.
_BLUR = 0.006
#: Squared residual, in variances of its own, from which on a keypoint is asked about; so many of a pose at most.
_SUSPECT, _ASKED = 4.0, 5
#: Joints that have to be left, and keypoints of a pose that can be wrong.
_FEWEST, _MOST = 6, 4
#: Poses whose networks are asked at once.
_CHUNK = 512


#: A network: keypoints to its own answer.
Answer = Callable[[Keypoints2D], PoseDistribution]


class _Expected(NamedTuple):
    """Where the joints of draws are seen.

    Attributes:
        places: ``(draws, *n, 2)`` px.
        blur: ``(*n, 2, 2)`` px² that networks add to the keypoints' covariances.
    """

    places: Tensor
    blur: Tensor


@torch.no_grad()
def keypoints_that_count(answer: Answer, posterior: PoseDistribution, keypoints: Keypoints2D) -> Keypoints2D:
    """The keypoints with the covariances of those that are probably wrong widened; the same object where none is.

    Args:
        answer: of the network, which is asked again about parts of them.
        posterior: its answer to all of them.
        keypoints: in its skeleton, of any batch shape.
    """
    if keypoints.outliers is None or not bool((keypoints.outliers > 0).any()):
        return keypoints
    seen = keypoints.flatten()
    draws = posterior._draws_for_summary(_DRAWS).reshape(_DRAWS, *seen.visible.shape, 3)
    asked = _suspects(draws, seen, seen.visible)
    rows = asked.any(-1).nonzero().squeeze(-1)
    right = torch.ones(seen.visible.shape, dtype=torch.float64, device=seen.device)
    for part in rows.split(_CHUNK):
        right[part] = _search(answer, seen[part], asked[part])
    if bool((right == 1.0).all()):
        return keypoints
    return widened(keypoints, right.reshape(keypoints.visible.shape))


def _expected(
    draws: Float[Tensor, "draws n joints 3"], keypoints: Keypoints2D, joint: Int[Tensor, " n"] | None = None
) -> _Expected:
    """Where the joints of drawn poses are seen that stand where these keypoints say; of one joint each, or of all."""
    root = solve_root(draws, keypoints)
    intrinsics, _ = camera_of(keypoints)
    if joint is not None:
        draws = draws.gather(-2, joint[None, :, None, None].expand(len(draws), -1, 1, 3))
    places = project(draws + root.unsqueeze(-2), intrinsics).double()
    scale = intrinsics[:, 0].double() / root[..., 2].double().mean(0).clamp(min=0.1)
    blur = (_BLUR * scale).square()[:, None, None, None] * torch.eye(2, dtype=torch.float64, device=draws.device)
    if joint is not None:
        return _Expected(places.squeeze(2), blur.squeeze(1))
    return _Expected(places, blur.expand(-1, places.shape[2], -1, -1))


def _suspects(
    draws: Float[Tensor, "draws n joints 3"], keypoints: Keypoints2D, kept: Bool[Tensor, "n joints"]
) -> Bool[Tensor, "n joints"]:
    """Keypoints that an answer to all that are kept misses, the worst of each pose."""
    expected = _expected(draws, keypoints._replace(visible=kept))
    intrinsics, _ = camera_of(keypoints)
    assert keypoints.outliers is not None
    possible = kept & (keypoints.outliers > 0) & intrinsics.isfinite().all(-1, keepdim=True)
    possible &= kept.sum(-1, keepdim=True) > _FEWEST
    own, (middle, spread) = keypoints.covariance.double(), moments_of(expected.places)
    # How far it would be off were it not told: what follows a keypoint hides how wrong it is.
    white = torch.linalg.solve(own + expected.blur, (keypoints.xy.double() - middle).unsqueeze(-1))
    square = (white.mT @ (own + expected.blur + spread) @ white).squeeze(-1).squeeze(-1)
    square = torch.where(possible & square.isfinite(), square, 0.0)
    worst = torch.zeros_like(possible).scatter(-1, square.topk(min(_ASKED, square.shape[-1])).indices, True)
    return worst & (square > _SUSPECT)


def _search(answer: Answer, keypoints: Keypoints2D, asked: Bool[Tensor, "n joints"]) -> Float[Tensor, "n joints"]:
    """How probably each keypoint is right; 1 for those that are not asked about."""
    odds = torch.full(asked.shape, torch.inf, dtype=torch.float64, device=asked.device)
    wrong = torch.zeros_like(asked)
    rows = torch.arange(len(asked), device=asked.device)
    for _ in range(_MOST):
        _ask(answer, keypoints, wrong, asked, odds)
        least, joint = torch.where(wrong, torch.inf, odds).min(-1)
        rows = rows[(least < 0)[rows]]
        if not len(rows):
            break
        wrong[rows, joint[rows]] = True
        kept = (keypoints.visible & ~keypoints.synthesised & ~wrong)[rows]
        draws = _draws(answer, keypoints[rows], kept)
        more = torch.zeros_like(asked)
        more[rows] = (asked[rows] | _suspects(draws, keypoints[rows], kept)) & ~wrong[rows]
        asked = more
    several = wrong.sum(-1, keepdim=True) > 1
    _ask(answer, keypoints, wrong, wrong & several, odds)
    return odds.sigmoid()


def _ask(
    answer: Answer,
    keypoints: Keypoints2D,
    wrong: Bool[Tensor, "n joints"],
    asked: Bool[Tensor, "n joints"],
    odds: Float[Tensor, "n joints"],
) -> None:
    """Put in place the log odds of those that are asked about, from what the others say that are not wrong."""
    for count in (_DRAWS, _MANY):
        rows, joints = asked.nonzero(as_tuple=True)
        if not len(rows):
            return
        for row, joint in zip(rows.split(_CHUNK), joints.split(_CHUNK), strict=True):
            odds[row, joint] = _log_odds(answer, keypoints[row], ~wrong[row], joint, count)
        asked = asked & (odds < _DOUBTFUL)


def _log_odds(
    answer: Answer, keypoints: Keypoints2D, right: Bool[Tensor, "n joints"], joint: Int[Tensor, " n"], count: int
) -> Float[Tensor, " n"]:
    """The log odds of one joint of each pose, from ``count`` draws of what the others say."""
    at = torch.arange(len(joint), device=joint.device)
    kept = keypoints.visible & ~keypoints.synthesised & right
    kept[at, joint] = False
    expected = _expected(_draws(answer, keypoints, kept, count), keypoints._replace(visible=kept), joint)
    own = keypoints.covariance[at, joint].double() + expected.blur
    assert keypoints.outliers is not None
    found = inlier_log_odds(
        keypoints.xy[at, joint].double(), expected.places, own, keypoints.size, keypoints.outliers[at, joint]
    )
    return torch.where(found.isnan() | (kept.sum(-1) < _FEWEST), torch.inf, found)


def _draws(
    answer: Answer, keypoints: Keypoints2D, kept: Bool[Tensor, "n joints"], count: int = _DRAWS
) -> Float[Tensor, "draws n joints 3"]:
    """Poses of the network that is told these keypoints alone."""
    return answer(keypoints._replace(visible=kept))._draws_for_summary(count)
