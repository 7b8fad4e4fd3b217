"""Mocap in, labelled observations out: importers, the pose store, the simulator."""

from typing import TYPE_CHECKING

from ..registry import lazy_room

if TYPE_CHECKING:
    from .mocap.importing import *
    from .observations import *
    from .simulation.protocols import *
    from .simulation.simulator import *
    from .store import *

__getattr__, __dir__ = lazy_room(
    __name__,
    ("observations", "store", "simulation.protocols", "simulation.simulator", "mocap.importing", "sets", "labels"),
)
