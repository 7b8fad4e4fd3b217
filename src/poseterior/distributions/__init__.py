"""Distributions over 3D poses, and over the rotations that make them."""

from typing import TYPE_CHECKING

from .._lazy import lazy_room

if TYPE_CHECKING:
    from .base import *
    from .clustering import *
    from .delta import *
    from .empirical import *
    from .flow import *
    from .independent import *
    from .mixture import *
    from .regions import *
    from .rotations import *

__getattr__, __dir__ = lazy_room(
    __name__,
    ("base", "regions", "mixture", "flow", "delta", "independent", "empirical", "rotations", "clustering"),
)
