"""Mocap in, labelled observations out: importers, the pose store, the simulator."""

from typing import TYPE_CHECKING

from .._lazy import lazy_room

if TYPE_CHECKING:
    from .observations import *
    from .store import *
    from .simulation.protocols import *
    from .simulation.simulator import *
    from .mocap.importing import *

__getattr__, __dir__ = lazy_room(
    __name__,
    ("observations", "store", "simulation.protocols", "simulation.simulator", "mocap.importing", "sets", "labels"),
)
