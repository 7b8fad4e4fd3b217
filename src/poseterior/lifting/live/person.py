"""What does not change from frame to frame: how large the person is, and how long their bones are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...geometry.skeletons import Skeleton
from ..clips.bodies import mean_logs, of_size
from ..clips.sizes import ClipSize, Sizes, normal_shape, shape_of

__all__ = ["SHAPED", "Body", "Person", "RunningSize"]

Array = NDArray[np.float64]

#: Frames that tell the shape of the size's distribution, the first ones.
SHAPED = 12
#: Where a height is told, the size is worked out anew each time that the frames are more by this factor.
_MORE = 1.1


class RunningSize:
    """The person's size, of the frames so far: as `poseterior.lifting.clips.sizes.Sizes.common` of a clip.

    Args:
        scale: by which the frames' own spread is multiplied.

    Attributes:
        reference: logarithm of the size for which the filter is run: that of the first frame.
        now: the size as it is known now.
    """

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self.told: float | None = None
        self._shapes: list[Tensor] = []
        self._shape = normal_shape()
        self._precision, self._level, self._count, self._done = 0.0, 0.0, 0, 0.0
        self.reference = 0.0
        self.now = ClipSize(0.0, torch.zeros_like(self._shape))

    @property
    def wants_shape(self) -> bool:
        """Whether hypotheses' sizes are still to be given."""
        return len(self._shapes) < SHAPED

    def see(self, sizes: Sizes, drawn: Float[Tensor, " samples"] | None, told: float | None) -> None:
        """A frame.

        Args:
            sizes: what it says, one row.
            drawn: logarithms of the sizes of hypotheses, where `wants_shape`.
            told: the person's height in metres.
        """
        level, variance = float(sizes.level[0]), float(sizes.variance[0])
        self.reference = self.reference if self._count else level
        self._precision, self._level = self._precision + 1.0 / variance, self._level + level / variance
        self._count += 1
        if drawn is not None:
            self._shapes.append(shape_of(drawn.unsqueeze(-1)))
            self._shape = torch.stack(self._shapes).mean(0)
        fresh = told is not None and told != self.told
        self.told = told if fresh else self.told
        if self.told is not None and not fresh and self._count < _MORE * self._done:
            return
        self._done = self._count
        common = Sizes(
            torch.tensor([self._level / self._precision], dtype=torch.float64),
            sizes.slope,
            torch.tensor([self._count / self._precision], dtype=torch.float64),
            self._shape,
        )
        self.now = common.common(torch.ones(1, dtype=torch.bool), self._scale, self.told)


class Body:
    """The lengths of the bones of each hypothesis, averaged over the frames so far.

    Args:
        skeleton: of the poses.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton, self._weight = skeleton, 0.0
        self._sum = torch.zeros(())

    def see(self, poses: Float[Tensor, "samples joints 3"], weight: float) -> None:
        """A frame.

        Args:
            poses: hypotheses whose bones may have any lengths, metres.
            weight: how much the frame counts.
        """
        self._sum = self._sum + weight * mean_logs(poses.unsqueeze(1), self._skeleton)
        self._weight += weight

    def log_lengths(self, log_size: Float[Tensor, " samples"]) -> Float[Tensor, "samples joints"]:
        """Logarithm of the length of each joint's bone, metres, of bodies of these sizes (logarithms)."""
        return of_size(self._sum / self._weight, log_size, self._skeleton)


class Person(NamedTuple):
    """A person as they are known at a moment, hypothesis by hypothesis.

    Attributes:
        shared: ``(samples, d)`` standard normal: each one's share in the error that all frames have.
        larger: ``(samples,)`` logarithm of each one's size over the reference's.
        level, variance: mean of that logarithm, and its variance.
        log_lengths: ``(samples, joints)`` of each one's bones.
        size: the body's size as a distribution.
        stretch: by which intervals of it are stretched.
    """

    shared: Float[Array, "samples d"]
    larger: Float[Array, " samples"]
    level: float
    variance: float
    log_lengths: Float[Tensor, "samples joints"]
    size: ClipSize
    stretch: float
