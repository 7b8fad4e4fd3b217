"""Whether 3D keypoints stand on their feet, and are not mirrored: asked before rotations are solved for."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from ..files.checks import Array
from ..files.errors import InputError
from ..geometry.body import SMPL25, points_from
from ..geometry.skeletons import Skeleton
from ..keypoints.points3d import AXES
from ..lifters import Lifter
from .ik import solve_ik
from .prior import score_poses

__all__ = ["check_handedness", "check_standing", "mirror_gain", "upright"]

_LOG = logging.getLogger(__name__)

#: A body stands where its axis is within 60 degrees of up.
_STANDING = 0.5
#: Most frames: what has to stand for no question, and under other axes for a question.
_MOST, _NEARLY_ALL = 0.5, 0.8
#: Points of the body, from the top down; the first that are seen at either end span its axis.
_TOP = (("head_top",), ("neck_nose",), ("head",), ("neck",), ("left_shoulder", "right_shoulder"))
_BOTTOM = (
    ("left_ankle", "right_ankle"), ("left_knee", "right_knee"), ("left_hip", "right_hip"), ("hip_centre",), ("pelvis",),
)  # fmt: skip
#: Nats per pose by which mirrored points have to be likelier to ask; frames that are looked at, samples of each.
#: Measured on 42 clips of motion capture (CMU, Bandai-Namco), as smpl22 and as h36m17: each is likelier as it is than
#: mirrored, by 10 to 86 nats (median 52); waving hands tell least.
_GAIN, _FRAMES, _SAMPLES = 8.0, 16, 8
#: Fewer points of the body do not tell.
_FEWEST = 10


def upright(points: Any, seen: Any, skeleton: Skeleton) -> Array:
    """Unit vectors from the feet (or what is seen lowest) to the head of each frame; NaN where too little is seen.

    Args:
        points: (frames, joints, 3).
        seen: (frames, joints) bool.
        skeleton: of the joints.

    Returns:
        (frames, 3).
    """
    body, there = _body(points, seen, skeleton)
    ends = [_first_seen(body, there, choices) for choices in (_TOP, _BOTTOM)]
    axis = ends[0] - ends[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        return axis / np.linalg.norm(axis, axis=-1, keepdims=True)


def _body(points: Any, seen: Any, skeleton: Skeleton) -> tuple[Array, Array]:
    hidden = np.where(np.asarray(seen)[..., None], points, np.nan)
    body, _ = points_from(torch.from_numpy(hidden), skeleton)
    array = body.numpy()
    return array, np.isfinite(array).all(-1)


def _first_seen(body: Array, there: Array, choices: tuple[tuple[str, ...], ...]) -> Array:
    found = np.full((len(body), 3), np.nan)
    for names in reversed(choices):
        places = [SMPL25.index(name) for name in names]
        whole = there[:, places].all(-1)
        found[whole] = body[whole][:, places].mean(1)
    return found


def check_standing(points: Any, seen: Any, skeleton: Skeleton, axes: str, told: bool, about: str = "") -> None:
    """Ask for the axes where most frames lie or hang, and would stand in others.

    Args:
        points: (frames, joints, 3) with y up, or in camera axes.
        seen: (frames, joints) bool.
        skeleton: of the joints.
        axes: of the file, as `poseterior.keypoints.points3d.AXES` calls them: what the points were turned by.
        told: the caller named the axes: then it is said and not asked.
        about: begin of the message: the file.

    Raises:
        InputError: names the axes that fit.
    """
    direction = upright(points, seen, skeleton)
    direction = direction[np.isfinite(direction).all(-1)]
    if not len(direction):
        return
    raw = direction @ np.array(AXES[axes])  # as in the file: the inverse of the turn
    ups = {name: np.array(turn)[1] * (-1.0 if name == "camera" else 1.0) for name, turn in AXES.items()}
    standing = {name: float((raw @ up > _STANDING).mean()) for name, up in ups.items()}
    if standing[axes] >= _MOST:
        return
    best = max(standing, key=lambda name: standing[name])
    share = f"in {100 * (1 - standing[axes]):.0f} % of the frames the person lies or hangs upside down with axes {axes}"
    if standing[best] < _NEARLY_ALL or told:
        _LOG.warning("%s%s", about, share)
        return
    raise InputError(f"{about}{share}, and stands with {best}: pass --axes {best}, or --axes {axes} if it is so")


def check_handedness(lifter: Lifter, points: Any, seen: Any, skeleton: Skeleton, about: str = "") -> None:
    """Ask for the handedness where the mirrored points make far likelier poses: then knees and elbows bend backwards.

    Args:
        lifter: one with rotations, whose prior judges.
        points: (frames, joints, 3) metres.
        seen: (frames, joints) bool.
        skeleton: of the joints.
        about: begin of the message: the file.

    Raises:
        InputError: names the option that mends it.
    """
    gain = mirror_gain(lifter, points, seen, skeleton)
    if gain > _GAIN:
        raise InputError(
            f"{about}the points look mirrored (left-handed axes, or left and right exchanged): the mirrored poses are "
            f"{gain:.0f} nats likelier each; pass --handedness left, or --handedness right if they are right so"
        )


def mirror_gain(lifter: Lifter, points: Any, seen: Any, skeleton: Skeleton) -> float:
    """Median over some frames of the mirrored pose's log-density less the pose's, nats.

    0 where little is seen, or where it is no pose of a person either way (less likely than a uniform one).

    Args:
        lifter, points, seen, skeleton: as for `check_handedness`.
    """
    _, there = _body(points, seen, skeleton)
    enough = np.nonzero(there.sum(-1) >= min(_FEWEST, len(there[0])))[0]
    if not len(enough) or there[enough].sum(-1).max() < _FEWEST:
        return 0.0
    rows = enough[np.unique(np.linspace(0, len(enough) - 1, _FRAMES).round().astype(int))]
    scores = []
    for sign in (1.0, -1.0):
        some = points[rows] * np.array([sign, 1.0, 1.0])
        found = solve_ik(lifter, some, seen[rows], 0.0, skeleton, samples=_SAMPLES, seed=0)
        scores.append(score_poses(lifter, found.mean.astype(np.float32), samples=1).log_density)
    own, mirrored = (float(np.median(score)) for score in scores)
    if max(own, mirrored) < 0:  # no pose of a person either way
        return 0.0
    return float(np.median(scores[1] - scores[0]))
