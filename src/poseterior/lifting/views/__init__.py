"""One person seen by several cameras at once: the posterior of the pose in the world."""

from .fuse import fuse
from .posterior import FusedPosterior

__all__ = ["FusedPosterior", "fuse"]
