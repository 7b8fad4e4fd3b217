"""What is measured of a way to lift clips: the methods that evaluation asks of it, whoever has them.

`poseterior.lifting.clips.SMOOTHING` is one.
"""

from __future__ import annotations

from typing import Any, Protocol

from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ..distributions.clip_errors import ClipErrors
from ..distributions.regions import Region
from ..keypoints import Keypoints2D
from ..lifters import Lifter

__all__ = ["Answers", "ClipMethod", "Motions"]


class Answers(Protocol):
    """What a lifter says of each frame of a clip: as `poseterior.lifting.clips.frames.Frames`."""

    @property
    def keypoints(self) -> Keypoints2D: ...
    @property
    def times(self) -> Float[NDArray[Any], " T"]: ...
    @property
    def axes(self) -> Float[Tensor, "T 3 3"]: ...
    @property
    def mean(self) -> Float[Tensor, "T d"]: ...
    @property
    def covariance(self) -> Float[Tensor, "T d d"]: ...
    @property
    def sizes(self) -> Any: ...
    @property
    def present(self) -> Bool[Tensor, " T"]: ...
    @property
    def seen(self) -> Bool[Tensor, "T joints"]: ...


class Path(Protocol):
    """Where the pelvis goes: as `poseterior.lifting.clips.root.RootPath`."""

    @property
    def mean(self) -> Float[Tensor, "T 3"]: ...


class Motions(Protocol):
    """A distribution over motions: as `poseterior.lifting.clips.ClipPosterior`."""

    @property
    def mean(self) -> Float[Tensor, "T joints 3"]: ...
    @property
    def errors(self) -> ClipErrors: ...
    @property
    def root(self) -> Path: ...
    def sample(self, samples: int = 200, *, seed: int = 0) -> Float[Tensor, "samples T joints 3"]: ...
    def sample_placed(
        self, samples: int = 200, *, seed: int = 0
    ) -> tuple[Float[Tensor, "samples T joints 3"], Float[Tensor, "samples T 3"]]: ...
    def region(self, level: float = 0.9) -> Region: ...
    def height(self, level: float = 0.9) -> tuple[float, float, float]: ...


class ClipMethod(Protocol):
    """A way from keypoints of a clip to motions.

    Attributes:
        place, speed: standard deviations of joints and of their speeds before anything is seen, metres (a second).
        rate: at which joints fall back to where they are on average, per second.
        places: whether motions say where the pelvis is before the camera.
    """

    @property
    def place(self) -> float: ...
    @property
    def speed(self) -> float: ...
    @property
    def rate(self) -> float: ...
    @property
    def places(self) -> bool: ...

    def frames(self, lifter: Lifter, keypoints: Keypoints2D, fps: float, max_gap: float) -> Answers:
        """What the lifter says of each frame."""

    def densities(self, frames: Any, errors: ClipErrors) -> Float[NDArray[Any], " d"]:
        """How lively each coordinate is: spectral density of its acceleration, m²/s³."""

    def motions(self, lifter: Lifter, frames: Any, errors: ClipErrors | None) -> Motions:
        """The distribution over motions."""
