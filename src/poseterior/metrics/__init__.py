"""Accuracy, calibration and plausibility: pure functions of tensors, metres in, millimetres out where named so."""

from typing import TYPE_CHECKING

from ..registry import lazy_room

if TYPE_CHECKING:
    from .accuracy import *
    from .calibration import *
    from .depth_order import *
    from .diagnostics import *
    from .estimates import *
    from .plausibility import *
    from .resampling import *
    from .rotations import *
    from .scores import *

__getattr__, __dir__ = lazy_room(
    __name__,
    (
        "accuracy",
        "calibration",
        "scores",
        "resampling",
        "diagnostics",
        "estimates",
        "plausibility",
        "depth_order",
        "rotations",
    ),
)
