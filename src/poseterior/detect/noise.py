"""Keypoints as wrong as a noise model says: the detector's own, or that its user has fitted (`detectors calibrate`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..files.checks import quote
from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from ..keypoints import Keypoints2D
from .base import Array, Detector, Person
from .boxes import box_of
from .covariance import USUAL_SPREAD, Evidence, NoiseModel, size_of_heat

__all__ = ["WithNoise", "evidence_of", "person_of"]

#: The square of a person whose detector has none, in sizes of the person: about as large as BlazePose's.
_SQUARE = 4.0
#: Pictures cut a person whose box is nearer to the border than this, of the square's side.
_CUT = 0.02


def person_of(
    xy: Array, evidence: Evidence, noise: NoiseModel, skeleton: Skeleton, picture: Array, score: float, place: object
) -> Person:
    """A person of whom a network told heat maps.

    Args:
        xy: ``(joints, 2)`` px.
        evidence: what the network tells of each joint.
        noise: how wrong it is then.
        skeleton: order of the joints.
        picture: ``(height, width, 3)``, in which the person is.
        score: how sure the detector is that somebody is there, 0 to 1.
        place: by which it finds the person in the next frame.
    """
    height, width = picture.shape[:2]
    visible = noise.visible(evidence)
    keypoints = Keypoints2D.trusted(
        torch.from_numpy(xy.astype(np.float32)),
        torch.from_numpy(noise.covariance(evidence, skeleton).astype(np.float32)),
        torch.from_numpy(visible),
        torch.tensor([float(width), float(height)]),
        skeleton,
        amplitude=torch.from_numpy(evidence.peak.astype(np.float32)),
        outliers=torch.from_numpy(noise.outlier_shares(skeleton).astype(np.float32)),
    )
    return Person(keypoints, box_of(xy, visible), score, place, evidence)


def evidence_of(person: Person) -> Evidence:
    """What a detector tells of each joint: its own words, or what its keypoints say.

    Of a detector that has no words of its own the covariance and the amplitude of its keypoints count for the heat and
    its peak; visibility, which is all or nothing, tells no more.
    """
    if person.evidence is not None:
        return person.evidence
    keypoints = person.keypoints
    side = max(_SQUARE * float(keypoints.size), 1.0)
    peak = keypoints.amplitude.numpy().astype(float)
    covariance = keypoints.covariance.numpy().astype(float) / side**2
    least = size_of_heat(covariance)[..., None, None] > 0
    return Evidence(
        np.where(least, covariance, USUAL_SPREAD**2 * np.eye(2)),
        np.where(np.isfinite(peak), peak, 1.0).clip(0.0, 1.0),
        np.ones(len(keypoints.skeleton)),
        _border(person, side),
        np.array(side),
    )


def _border(person: Person, side: float) -> Array:
    """``(joints,)`` distance from the picture's border where it may cut the person, else infinite."""
    keypoints = person.keypoints
    size, xy = keypoints.image_size.numpy().astype(float), keypoints.xy.numpy().astype(float)
    box = np.array(person.box)
    if not np.isfinite(size).all() or np.concatenate([box[:2], size - 1 - box[2:]]).min() > _CUT * side:
        return np.full(len(xy), np.inf)
    border: Array = np.concatenate([xy, size - 1 - xy], -1).min(-1) / side
    return border.clip(0.0)


class WithNoise:
    """A detector whose keypoints are as wrong as another noise model says.

    Args:
        detector: finds people.
        noise: fitted to this detector.

    Raises:
        InputError: it was fitted to another detector, or to another skeleton.
    """

    def __init__(self, detector: Detector, noise: NoiseModel) -> None:
        if noise.detector and noise.detector != detector.name:
            raise InputError(
                f"the noise model was fitted to the detector {quote(noise.detector)}, this is {quote(detector.name)}; "
                f"fit one: poseterior detectors calibrate {detector.name} --data FOLDER"
            )
        missing = [joint for joint in detector.skeleton.joints if not noise.knows(joint)]
        if missing:
            raise InputError(
                f"the noise model says nothing of {quote(missing[0])}, which {detector.name} finds; fit one to its "
                f"skeleton {detector.skeleton.name!r}"
            )
        self.detector, self.noise = detector, noise
        self.name, self.skeleton = detector.name, detector.skeleton

    def detect(self, image: Array) -> list[Person]:
        """As the detector."""
        return [self._told(person) for person in self.detector.detect(image)]

    def follow(self, image: Array, before: Sequence[Person]) -> list[Person]:
        """As the detector."""
        return [self._told(person) for person in self.detector.follow(image, before)]

    def _told(self, person: Person) -> Person:
        evidence, keypoints = evidence_of(person), person.keypoints
        moved = self.noise.unbiased(keypoints.xy.numpy().astype(float), keypoints.visible.numpy(), self.skeleton)
        changes = {
            "xy": torch.from_numpy(moved.astype(np.float32)),
            "covariance": torch.from_numpy(self.noise.covariance(evidence, self.skeleton).astype(np.float32)),
            "visible": keypoints.visible & torch.from_numpy(self.noise.visible(evidence)),
            "outliers": torch.from_numpy(self.noise.outlier_shares(self.skeleton).astype(np.float32)),
        }
        return replace(person, keypoints=keypoints._replace(**changes))
