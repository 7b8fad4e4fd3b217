"""One pass that measures everything: `evaluate` for one lifter, the benchmark for many."""

from typing import TYPE_CHECKING

from ..registry import lazy_room

if TYPE_CHECKING:
    from .measure import evaluate as evaluate

__getattr__, __dir__ = lazy_room(__name__, ("measure",))
