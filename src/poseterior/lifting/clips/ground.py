"""The floor of a clip: a plane under the feet that stand still, and with it the direction of gravity.

An ankle that stands is above the floor by `poseterior.geometry.kinematics.ANKLE_HEIGHT`, times the person's size. Feet
that stand in one place tell no direction: there, and along the ray, gravity is what the bodies of people who stand
say, from the middle of the ankles to the thorax, which over a clip is upright to some degrees. Feet that stand still
above the plane (on a step, a leg held up) count less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.bodies import heights
from ...files.checks import counted
from ...files.errors import InputError
from ...geometry.kinematics import ANKLE_HEIGHT, ASSUMED_HEIGHT
from ...keypoints import Keypoints2D
from .contacts import feet_of, still_feet

__all__ = ["Ground", "ground_of"]

Array = NDArray[np.float64]

#: Standard deviation of a clip's mean direction of the body from gravity, radians: over recorded clips the median is 2
#: degrees, and it is 12 in those of runners, who lean.
_LEANING = np.radians(6.0)
#: Standard deviation of a standing ankle's height, metres, beside its posterior; and seconds for which it stays so.
_ANKLE, _STANDING = 0.02, 0.4
#: Metres above the plane from which on a still foot counts less; below it all count.
_ABOVE = 0.04
#: A person stands whose pelvis is above the ankles by this share of the legs, and whose trunk is in line with them to
#: this angle; and cameras are turned from upright by less than this. Radians.
_LEGS, _TRUNK, _TURNED = 0.6, np.radians(50.0), np.radians(60.0)
_PASSES = 20


@dataclass(frozen=True)
class Ground:
    """The floor before a steady camera.

    Attributes:
        normal: upward, of length one, camera axes.
        height: of the camera above it, metres.
        tilt: standard deviation of the normal's direction, degrees, root mean square over all directions.
        spread: standard deviation of the height, metres.
        frames: with a foot that stands on it.
        misfit: root mean square distance of standing ankles from where they should be, metres: large where the floor
            is none, or not level.
    """

    normal: Float[Tensor, " 3"]
    height: float
    tilt: float
    spread: float
    frames: int
    misfit: float

    @property
    def plane(self) -> Float[Tensor, " 4"]:
        """Normal and height, as `poseterior.results.ground` has floors."""
        return torch.cat([self.normal, torch.tensor([self.height])]).float()

    @property
    def pitch(self) -> float:
        """Degrees by which the camera looks down."""
        return float(np.degrees(np.arcsin(np.clip(-float(self.normal[2]), -1, 1))))

    def __str__(self) -> str:
        down = f"looks {'down' if self.pitch >= 0 else 'up'} by {abs(self.pitch):.0f} degrees"
        return (
            f"the camera is {self.height:.2f} m (± {self.spread:.2f}) above the floor and {down} (± {self.tilt:.0f}), "
            f"by feet that stand in {counted(self.frames, 'frame')} to {1000 * self.misfit:.0f} mm; ankles are taken "
            f"to be {1000 * ANKLE_HEIGHT:.0f} mm above it, of a person of {ASSUMED_HEIGHT:g} m"
        )


def ground_of(keypoints: Keypoints2D, placed: Float[Tensor, "samples T joints 3"], times: Float[Array, " T"]) -> Ground:
    """The floor under a clip.

    Args:
        keypoints: of every frame, h36m17.
        placed: joints before the camera over paths, metres.
        times: seconds.

    Raises:
        InputError: no foot is seen, nobody stands, or what stands is no upright person before an upright camera.
    """
    name, skeleton = keypoints.ids[0].file, keypoints.skeleton
    feet = feet_of(skeleton)
    seen = keypoints.visible[:, list(feet)].cpu().numpy()
    if not seen.any():
        raise InputError(f"ground: {name}: the feet are never seen; leave --ground out, or show them")
    still = still_feet(placed, np.diff(times), feet).probability
    stands = np.zeros(seen.shape)
    stands[:-1], stands[1:] = still, np.maximum(stands[1:], still)
    stands *= seen & _upright(placed.double().mean(0), skeleton.joints)[:, None]
    if not stands.any():
        raise InputError(
            f"ground: {name}: the person never stands on a foot that is seen; leave --ground out, or give a part of "
            "the clip where they do"
        )
    frame, foot = np.nonzero(stands)
    points = placed[:, frame, torch.tensor(feet)[foot]].double().numpy()
    ankle = ANKLE_HEIGHT * heights(placed[:, :1].float(), skeleton).draws[:, 0].double().numpy()
    ankle /= ASSUMED_HEIGHT
    up = _body_up(placed.double()[:, np.unique(frame)], skeleton.joints)
    if up.mean(0)[1] > -np.cos(_TURNED) * np.linalg.norm(up.mean(0)):
        raise InputError(
            f"ground: {name}: the person does not stand upright in the picture; turn the picture if the camera was "
            "turned, or leave --ground out"
        )
    rate = 1.0 / float(np.median(np.diff(times)))
    weight = stands[frame, foot] / (_ANKLE**2 * max(1.0, _STANDING * rate))
    fits = np.ones(len(frame))
    for _ in range(_PASSES):
        normal, height, _ = _planes(points.mean(0)[None], ankle.mean(0)[None], up.mean(0)[None], weight * fits)
        away = (points.mean(0) @ normal[0]) + height[0] - ankle.mean()
        fits = np.where(away > 0, 1.0 / (1.0 + (away / _ABOVE) ** 2), 1.0)
    normals, many, covariance = _planes(points, ankle, up, weight * fits)
    about = normals - normal[0]
    tilt = np.degrees(np.sqrt(0.5 * ((about**2).sum(-1).mean() + np.trace(covariance[:2, :2]))))
    spread = float(np.sqrt(many.var() + covariance[2, 2]))
    misfit = float(np.sqrt((fits * away**2).sum() / fits.sum()))
    return Ground(
        torch.from_numpy(normal[0]).float(), float(height[0]), float(tilt), spread, len(np.unique(frame)), misfit
    )


def _body_up(placed: Float[Tensor, "samples T joints 3"], joints: tuple[str, ...]) -> Float[Array, "samples 3"]:
    """From the ankles' middle to the thorax, the mean of the directions over the frames."""
    ankles = 0.5 * (placed[..., joints.index("left_ankle"), :] + placed[..., joints.index("right_ankle"), :])
    way = placed[..., joints.index("thorax"), :] - ankles
    mean = (way / way.norm(dim=-1, keepdim=True)).mean(1)
    return (mean / mean.norm(dim=-1, keepdim=True)).numpy()


def _upright(placed: Float[Tensor, "T joints 3"], joints: tuple[str, ...]) -> NDArray[np.bool_]:
    """Frames in which legs and trunk are in line, and the legs stretched: of somebody who stands or lies."""

    def at(name: str) -> Tensor:
        return placed[:, joints.index(name)]

    trunk = at("thorax") - at("pelvis")
    legs = [at("pelvis") - at(f"{side}_ankle") for side in ("left", "right")]
    length = sum(
        (at(f"{side}_{a}") - at(f"{side}_{b}")).norm(dim=-1)
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    )
    straight = torch.stack([leg.norm(dim=-1) for leg in legs]).amax(0) > _LEGS * 0.5 * length
    leg = legs[0] + legs[1]
    line = torch.nn.functional.cosine_similarity(trunk, leg, dim=-1) > np.cos(_TRUNK)
    return (straight & line).numpy()


def _planes(
    points: Float[Array, "samples n 3"],
    ankle: Float[Array, " samples"],
    up: Float[Array, "samples 3"],
    weight: Float[Array, " n"],
) -> tuple[Float[Array, "samples 3"], Float[Array, " samples"], Float[Array, "3 3"]]:
    """The likeliest plane of each sample: normals and heights, and what is open of each (two turns, and the height).

    Args:
        points: ankles that stand.
        ankle: how high they are above the floor.
        up: the body's direction, which is gravity's to `_LEANING`.
        weight: of the points, m⁻².
    """
    normal, height = up.copy(), np.zeros(len(up))
    side = np.cross(up, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    tangent = np.stack([side, np.cross(up, side)], 1)
    turn = np.zeros((len(up), 2))
    normal_matrix = np.eye(3)[None]
    for _ in range(3):  # Gauss-Newton: a direction is nearly linear in two turns
        slope = np.concatenate([points @ tangent.swapaxes(-1, -2), np.ones((*points.shape[:2], 1))], -1)
        gap = ankle[:, None] - (points @ normal[..., None])[..., 0] - height[:, None]
        weighed = slope * weight[:, None]
        prior = np.diag([_LEANING**-2, _LEANING**-2, 1e-9])
        normal_matrix = weighed.swapaxes(-1, -2) @ slope + prior
        right = (weighed.swapaxes(-1, -2) @ gap[..., None])[..., 0]
        right[:, :2] -= turn * _LEANING**-2
        step = np.linalg.solve(normal_matrix, right[..., None])[..., 0]
        turn, height = turn + step[:, :2], height + step[:, 2]
        normal = up + (tangent.swapaxes(-1, -2) @ turn[..., None])[..., 0]
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return normal, height, np.linalg.inv(normal_matrix).mean(0)
