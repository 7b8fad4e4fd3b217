"""Names that are imported when they are first used, so that ``import poseterior`` and the help stay fast."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["lazy_room"]


def lazy_room(room: str, modules: Sequence[str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose names stand in its modules.

    ``pp.metrics.mpjpe`` is looked for in the ``__all__`` of the modules, in their order; ``pp.metrics.accuracy`` is
    the module. Nothing is imported before one of them is asked for.

    Args:
        room: the package's ``__name__``.
        modules: dotted names below it, those that are quick to import first.
    """
    heads = {module.split(".")[0] for module in modules}

    def find(name: str) -> Any:
        if name in heads:
            return importlib.import_module(f"{room}.{name}")
        if not name.startswith("_"):
            for module in modules:
                place = importlib.import_module(f"{room}.{module}")
                if name in getattr(place, "__all__", ()):
                    return getattr(place, name)
        raise AttributeError(f"module {room!r} has no attribute {name!r}")

    def names() -> list[str]:
        places = (importlib.import_module(f"{room}.{module}") for module in modules)
        return sorted(heads.union(*(getattr(place, "__all__", ()) for place in places)))

    return find, names
