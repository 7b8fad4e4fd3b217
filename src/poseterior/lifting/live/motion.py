"""The filter of a person's motion, from what a lifter says of each frame to a `LivePose`."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ..clips.sizes import regressed
from ..clips.surprises import FLAGGED
from . import kalman
from .causal import USUAL, Average, Direction, ErrorSizes, Hanging, turned
from .kalman import FrameSeen, State
from .lively import Liveliness
from .members import Members, mirrored
from .person import Body, Person, RunningSize
from .pose import LivePose, loose_poses
from .shots import Known, Shot, View, known_at

__all__ = ["Lifted", "LiveMotion"]

Array = NDArray[np.float64]

#: Degrees of freedom of Student's t, and the mean squared innovation, in variances, from which on a frame is
#: surprising: as `clips.surprises` has them.
_FREEDOM, _USUAL = 4.0, 5.0
#: Seconds of frames that do not fit after which the filter has lost the person.
_LOST = 0.3


class Lifted(NamedTuple):
    """What a lifter says of a frame.

    Attributes:
        keypoints: it was told, batch shape (1,), without the person's height.
        mean: ``(joints, 3)`` metres, camera axes.
        covariance: ``(d, d)`` m², of the joints other than the root.
        sizes: ``(samples,)`` logarithms of the sizes of hypotheses, where `LiveMotion.wants_sizes`.
        height: of the person as it was told, metres; None where it was not.
    """

    keypoints: Keypoints2D
    mean: Float[Tensor, "joints 3"]
    covariance: Float[Tensor, "d d"]
    sizes: Float[Tensor, " samples"] | None = None
    height: float | None = None


class LiveMotion:
    """All that is remembered of a person; see `LiveLifter`, whose arguments these are.

    Args:
        errors: of the lifter.
        skeleton: of its poses.
        density: ``(d,)``, or None: as the frames say.
        samples: hypotheses.
        seed: of them.
        lag: frames.

    Attributes:
        seen_at: seconds: when the person was last seen.
        lost: whether frames have not fitted for `_LOST` seconds.
        row: the last frame as the filter took it.
    """

    def __init__(
        self,
        errors: ClipErrors,
        skeleton: Skeleton,
        density: Float[Array, " d"] | None,
        samples: int,
        seed: int,
        lag: int | None,
    ) -> None:
        self._errors, self._skeleton, self._samples, self._lag = errors, skeleton, samples, lag
        self._fixed, self._size = density, 3 * len(skeleton.nonroot)
        self._members = Members(samples, self._size, seed)
        self._shots: deque[Shot] = deque(maxlen=1 + (lag or 0))
        self._afresh()

    def _afresh(self) -> None:
        joints = self._size // 3
        self._sizes, self._direction, self._hanging = ErrorSizes(self._errors, joints), Direction(), Hanging()
        self._liveliness = Liveliness(self._size, self._sizes.seconds, self._fixed)
        self._body, self._size_now = Body(self._skeleton), RunningSize(self._errors.size)
        self._state: State | None = None
        self._middle: Array | None = None
        self._usual = Average(USUAL)
        self.seen_at, self._fitted_at = 0.0, 0.0
        self.row: FrameSeen | None = None

    @property
    def started(self) -> bool:
        """Whether somebody was seen since the start."""
        return self._middle is not None

    @property
    def state(self) -> State | None:
        """Of the filter, about where joints are on average; None before the first frame."""
        return self._state

    @property
    def lost(self) -> bool:
        return self.started and self.seen_at - self._fitted_at > _LOST

    @property
    def wants_sizes(self) -> bool:
        """Whether the next frame should tell the sizes of hypotheses."""
        return self._size_now.wants_shape

    def restart(self, another: bool) -> None:
        """Forget where the person is and how they move; ``another``: it is another person, whose body is not known."""
        self._shots.clear()
        self._members.restart(another)
        if another:
            self._afresh()
        else:
            self._state = None
            self._liveliness.restart()
            self._fitted_at = self.seen_at

    def see(self, frame: int, time: float, lifted: Lifted | None) -> LivePose:
        """The next frame.

        Args:
            frame: its number.
            time: seconds.
            lifted: what the lifter says of it; None: the person is not seen.
        """
        first = self._state is None
        step = 0.0 if first else time - self._shots[-1].view.time
        before = kalman.start(self._size) if self._state is None else self._recentred(self._state)
        seconds = self._sizes.seconds
        moves = kalman.step_of(step, seconds)
        if lifted is None:
            row, view = None, self._unseen(frame, time)
        else:
            row, view = self._seen(frame, time, lifted)
            ahead = before if first else kalman.moved(before, moves, self._liveliness.density)
            weight = _weight(ahead, row)
            row, view = row._replace(white=row.white / weight), view._replace(weight=weight)
            self.seen_at = time
            self._fitted_at = time if weight >= FLAGGED else self._fitted_at
        self._liveliness.see(None if first else step, row, moves)
        density = self._liveliness.density
        self._members.root = view.root
        if not first:
            before = kalman.moved(before, moves, density)
            self._members.move(moves, density)
        self._state, self.row = before, row
        if row is not None:
            self._state, gain, _, _ = kalman.told(before, row)
            self._members.tell(row, gain)
        shot = Shot(view, self._state, self._members.now, self._members.forecast, step, density, seconds)
        self._shots.append(shot)
        known = known_at(shot)
        whole = len(self._shots) == self._shots.maxlen
        past = None if self._lag is None else tuple(self._shots) if whole else ()
        return LivePose(view, known, self._person(view, known), self._skeleton, self._errors, past)

    def _person(self, view: View, known: Known) -> Person:
        """As they are known with this frame."""
        shared = mirrored(self._members.shared, self._samples)
        if view.present:
            usual = loose_poses(view, known, shared, None, self._skeleton)
            self._body.see(usual, view.weight)
        size = self._size_now
        level = size.now.level - size.reference
        larger = level + size.now.draw(torch.from_numpy(mirrored(self._members.size, self._samples)))
        lengths = self._body.log_lengths(size.reference + larger)
        stretch = self._errors.height if size.told is None else 1.0
        return Person(shared, larger.numpy(), level, size.now.variance, lengths, size.now, stretch)

    def _seen(self, frame: int, time: float, lifted: Lifted) -> tuple[FrameSeen, View]:
        """What a frame shows, with the weight of one that fits."""
        since = time - self.seen_at
        axes = self._direction.see(since, lifted.keypoints)
        nonroot = list(self._skeleton.nonroot)
        mean, whole = turned(axes, lifted.mean.numpy()[nonroot], lifted.covariance.numpy())
        sizes, rest = regressed(torch.from_numpy(mean[None]), torch.from_numpy(whole[None]), self._skeleton)
        self._size_now.see(sizes, lifted.sizes, lifted.height)
        slope, covariance = sizes.slope[0].numpy(), rest[0].numpy()
        value = mean + sizes.resized(self._size_now.reference)[0].numpy()
        seen = np.repeat(lifted.keypoints.visible[0].cpu().numpy()[nonroot], 3)
        slow, white = self._sizes.see(since, np.diagonal(covariance), seen)
        self._hanging.see(since, covariance)
        self._usual.fade(since)
        self._usual.add(value)
        if self._middle is None:
            self._middle = value
        row = FrameSeen(value - self._middle, np.ones(self._size, dtype=bool), slow, white)
        root, constant = self._hanging.root, self._sizes.constant
        return row, View(frame, time, True, 1.0, lifted.keypoints, axes, root, constant, self._middle, slope)

    def _unseen(self, frame: int, time: float) -> View:
        last = self._shots[-1].view
        hidden = last.keypoints._replace(visible=torch.zeros_like(last.keypoints.visible))
        assert self._middle is not None
        return last._replace(frame=frame, time=time, present=False, weight=1.0, keypoints=hidden, middle=self._middle)

    def _recentred(self, state: State) -> State:
        """The state about where joints are on average, to which they fall back while nobody sees them."""
        assert self._middle is not None
        fresh = self._usual.value()
        by, self._middle = self._middle - fresh, fresh
        self._liveliness.shift(by)
        return kalman.shifted(state, by)


def _weight(ahead: State, row: FrameSeen) -> float:
    """How much a frame counts, by Student's t on its innovations: as `clips.surprises.weights_of`, of one frame."""
    _, _, surprise, _ = kalman.told(ahead, row)
    level = float(surprise.mean())
    return 1.0 if level <= _USUAL else (_FREEDOM + 1.0) / (_FREEDOM + level)
