"""Feet that stand still: told from the posterior of where they are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from .root import Contacts

__all__ = ["STILL_SPEED", "feet_of", "still_feet"]

#: Standard deviations of an ankle's velocity in each direction, m/s: of a standing foot, which rolls, and of others.
STILL_SPEED, _MOVING = 0.12, 1.2
#: Standard deviations of the velocity with which a standing foot holds the pelvis, m/s, across the ray and along it.
#: Steps are taken for too short, the more the more uncertain they are (means shrink), all of a clip alike: feet that
#: held more firmly would shorten the person's way, most of all along the ray.
ACROSS, ALONG = 0.15, 0.4
#: Probability from which on a foot is held; before anything is seen it stands as likely as not.
_HELD = 0.7


def feet_of(skeleton: Skeleton) -> tuple[int, ...]:
    """The ankles.

    Raises:
        InputError: a skeleton without.
    """
    feet = tuple(joint for joint, name in enumerate(skeleton.joints) if name.endswith("_ankle"))
    if len(feet) < 2:
        raise InputError(f"contacts: skeleton {skeleton.name!r} has no ankles; leave --contacts and --ground out")
    return feet


def still_feet(
    places: Float[Tensor, "samples T joints 3"], seconds: Float[NDArray[np.float64], " T_1"], feet: tuple[int, ...]
) -> Contacts:
    """How probably each foot stands still from each frame to the next.

    The velocity's posterior (Gaussian, by its moments over the paths) is as likely under a velocity about zero as of a
    foot that rolls, against one as of a foot that swings. Where nothing tells, nothing is held.

    Args:
        places: of all joints before the camera over paths, metres.
        seconds: between frames.
        feet: their joints.
    """
    speed = places[:, :, list(feet)].double().diff(dim=1).numpy() / seconds[:, None, None]
    mean = speed.mean(0)
    about = speed - mean
    covariance = np.einsum("ktfi,ktfj->tfij", about, about) / len(about)

    def told(size: float) -> NDArray[np.float64]:
        spread = covariance + size**2 * np.eye(3)
        away = np.einsum("tfi,tfij,tfj->tf", mean, np.linalg.inv(spread), mean)
        return -0.5 * (away + np.linalg.slogdet(spread)[1])

    ray = places[:, :-1].double().mean((0, 2)).numpy()
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    # The logistic function, of what may be a large number.
    probability = 0.5 * (1.0 + np.tanh(0.5 * (told(STILL_SPEED) - told(_MOVING))))
    return Contacts(np.where(probability >= _HELD, probability, 0.0), feet, ray, ACROSS, ALONG)
