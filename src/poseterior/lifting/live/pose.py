"""What is known of a person at a moment."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.balls import SAMPLES, check_level
from ...distributions.clip_errors import ClipErrors
from ...distributions.regions import Region, region_of
from ...files.errors import InputError
from ...geometry.frames import RootedFrame
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ..clips.bodies import with_body
from .members import mirrored
from .person import Person
from .shots import Known, Shot, View, looked_back

__all__ = ["LivePose", "loose_poses", "with_root"]

Array = NDArray[np.float64]


def _deviation(known: Known, view: View) -> Float[Array, " d"]:
    """Standard deviation of each coordinate on a body of known size, metres."""
    return np.sqrt(known.covariance[:, 0, 0] + view.constant**2)


def with_root(flat: Float[Array, "*any d"], skeleton: Skeleton) -> Float[Tensor, "*any joints 3"]:
    """Coordinates of the joints other than the root as poses."""
    return RootedFrame(skeleton).to_camera(torch.from_numpy(flat).unflatten(-1, (-1, 3)))


def loose_poses(
    view: View,
    known: Known,
    shared: Float[Array, "samples d"],
    larger: Float[Array, " samples"] | None,
    skeleton: Skeleton,
) -> Float[Tensor, "samples joints 3"]:
    """Hypotheses whose bones may have any lengths, in the axes of the ray: draws of the Gaussian behind a `LivePose`.

    As `clips.gaussian.MotionGaussian` draws motions: what is new in a frame, and what all frames share, goes together
    as the lifter says; what they share is added unshrunken; each is of a size.

    Args:
        view, known: of the frame.
        shared, larger: see `Person`; None: all of the reference's size.
        skeleton: of the poses.
    """
    about = mirrored(known.deviations, len(shared)) + view.constant * (shared @ view.root.T)
    poses = known.mean[:, 0] + view.middle + about
    if larger is not None:
        poses = poses + larger[:, None] * view.slope
    return with_root(poses, skeleton).float()


class LivePose:
    """The posterior of a pose at a moment: of now, given all frames so far, or of a moment ago.

    Poses are as everywhere: metres, relative to the root joint, camera axes. What it holds does not change when later
    frames come. It is computed when it is asked for.

    Attributes:
        frame: number of the call that it is of, from 0.
        time: seconds.
        present: whether that frame shows the person; else it is a forecast, and wide.
        weight: how much the frame counted: 1, or less where it did not fit what was known.
        keypoints: as they were used, batch shape (1,).
        skeleton: of the poses.
    """

    def __init__(
        self,
        view: View,
        known: Known,
        person: Person,
        skeleton: Skeleton,
        errors: ClipErrors,
        past: tuple[Shot, ...] | None = None,
    ) -> None:
        """As `LiveLifter` makes it.

        Args:
            view: how the frame was seen.
            known: the state.
            person: as they are known.
            skeleton, errors: of the lifter.
            past: the frames since the one that `lagged` is of; none where they are not so many yet.
        """
        self.skeleton = skeleton
        self._view, self._known, self._person, self._past = view, known, person, past
        self._errors = errors

    def __repr__(self) -> str:
        seen = "" if self.present else ", present=False"
        return f"LivePose(frame={self.frame}, time={self.time:.3f}{seen}, skeleton={self.skeleton.name!r})"

    @property
    def frame(self) -> int:
        return self._view.frame

    @property
    def time(self) -> float:
        return self._view.time

    @property
    def present(self) -> bool:
        return self._view.present

    @property
    def weight(self) -> float:
        return self._view.weight

    @property
    def keypoints(self) -> Keypoints2D:
        return self._view.keypoints

    # -- poses ---------------------------------------------------------------------------------------------

    @cached_property
    def _stddev(self) -> Float[Array, " d"]:
        return _deviation(self._known, self._view)

    @cached_property
    def _axes(self) -> Float[Tensor, "3 3"]:
        return torch.from_numpy(self._view.axes)

    @cached_property
    def _hypotheses(self) -> Float[Tensor, "samples joints 3"]:
        person = self._person
        loose = loose_poses(self._view, self._known, person.shared, person.larger, self.skeleton).unsqueeze(1)
        mobility = with_root(np.square(self._stddev), self.skeleton).float().unsqueeze(0)
        found = with_body(loose, person.log_lengths, mobility, self.skeleton).squeeze(1)
        return found @ self._axes.float()

    def sample(self, samples: int | None = None) -> Float[Tensor, "samples joints 3"]:
        """Hypotheses: draws of the posterior, each of them a body whose bones are as long as is known so far.

        The k-th hypothesis is the same one in every frame, and moves as smoothly as the person may have moved.

        Args:
            samples: so many of them; None: all that the `LiveLifter` keeps.

        Raises:
            InputError: fewer than one, or more than are kept.
        """
        kept = len(self._hypotheses)
        count = kept if samples is None else samples
        if not 1 <= count <= kept:
            raise InputError(
                f"samples: expected 1 to {kept}, as many as are kept from frame to frame, got {samples}; "
                "for more: LiveLifter(..., samples=...)"
            )
        return self._hypotheses[:count]

    @cached_property
    def mean(self) -> Float[Tensor, "joints 3"]:
        """Mean pose over the hypotheses, metres."""
        return self._hypotheses.mean(0)

    @cached_property
    def covariance(self) -> Float[Tensor, "joints 3 3"]:
        """Covariance of each joint, m² (zero for the root)."""
        half = self._stddev[:, None] * self._view.root
        joints = half.reshape(-1, 3, len(half))
        slope = self._view.slope.reshape(-1, 3, 1)
        of_size = self._person.variance * slope @ slope.swapaxes(-1, -2)
        return self._in_camera(joints @ joints.swapaxes(-1, -2) + of_size)

    def _in_camera(self, blocks: Float[Array, "nonroot 3 3"]) -> Float[Tensor, "joints 3 3"]:
        turned = self._axes.mT @ torch.from_numpy(blocks) @ self._axes
        found = turned.new_zeros(len(self.skeleton), 3, 3)
        found[list(self.skeleton.nonroot)] = turned
        return found.float()

    @cached_property
    def velocity(self) -> Float[Tensor, "joints 3"]:
        """Mean velocity of each joint, beside the root's own, metres a second."""
        return (with_root(self._known.mean[:, 1], self.skeleton) @ self._axes).float()

    @cached_property
    def velocity_covariance(self) -> Float[Tensor, "joints 3 3"]:
        """Covariance of each joint's velocity, m²/s² (zero for the root)."""
        variance = self._known.covariance[:, 1, 1].reshape(-1, 3)
        return self._in_camera(variance[:, :, None] * np.eye(3))

    def region(self, level: float = 0.9) -> Region:
        """Balls that hold each joint, and balls that hold the whole pose, with that probability.

        As of any lifter's poses: see `poseterior.distributions.regions`. Their radii are made right by the
        recalibration of the lifter's clips (`ClipErrors`), where it has one: that was fitted on whole clips, and how
        often it holds on live poses is measured in the documentation, not guaranteed.

        Raises:
            InputError: as `poseterior.distributions.base.PoseDistribution.region`.
        """
        check_level(level)
        ours = self._errors.recalibration
        count = min(len(self._hypotheses), SAMPLES if ours is None else ours.draws)
        return region_of(self._hypotheses[:count], self.skeleton, level, ours, self.keypoints.visible[0].cpu())

    def height(self, level: float = 0.9) -> tuple[float, float, float]:
        """The person's height in metres, as far as it is known now: median, and the interval of that probability.

        Raises:
            InputError: a level that is not between 0 and 1, or a skeleton other than h36m17.
        """
        check_level(level)
        if self.skeleton.name != "h36m17":
            raise InputError(f"height: is known for h36m17 alone, not for {self.skeleton.name}")
        return self._person.size.interval(level, self._person.stretch)

    @cached_property
    def lagged(self) -> LivePose | None:
        """The pose of ``lag`` frames ago, given all frames up to this one; None before there are so many.

        It is what the smoother says of that frame: smoother and nearer to the truth than what was said then.

        Raises:
            InputError: the `LiveLifter` keeps no lag.
        """
        if self._past is None:
            raise InputError("lagged: nothing is kept for it; make it by LiveLifter(..., lag=5)")
        if not self._past:
            return None
        known = looked_back(self._past)
        return LivePose(self._past[0].view, known, self._person, self.skeleton, self._errors, ())
