"""One person before a camera, as the frames come: the causal side of `poseterior.lifting.clips`."""

from .lifter import LiveLifter
from .people import LivePeople
from .pose import LivePose

__all__ = ["LiveLifter", "LivePeople", "LivePose"]
