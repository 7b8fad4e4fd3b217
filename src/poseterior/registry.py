"""Names that are imported when they are first used: of classes, one per file in a package, and of whole rooms."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from .files.checks import quote
from .files.errors import InputError

__all__ = ["Registry", "lazy_module", "lazy_room"]

_T = TypeVar("_T")


class Registry(Generic[_T]):
    """Classes by name.

    Args:
        kind: what an entry is, for messages.
        packages: dotted names of the packages whose modules register their classes, imported on first need.
    """

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind, self.packages = kind, packages
        self._entries: dict[str, type[_T]] = {}

    def register(self, name: str) -> Callable[[type[Any]], type[Any]]:
        """Class decorator that makes a class known under ``name``, which it gets as its ``name`` attribute."""

        def decorate(cls: type[Any]) -> type[Any]:
            cls.name = name
            self._entries[name] = cls
            return cls

        return decorate

    def names(self) -> tuple[str, ...]:
        """All names."""
        for package in self.packages:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        return tuple(sorted(self._entries))

    def _find(self, name: str) -> None:
        """Import the module that registers this name, told from its text: all of them take seconds to import."""
        mark = re.compile(rf'^@register\w*\("{re.escape(name)}"\)', re.MULTILINE)
        for package in self.packages:
            root = importlib.import_module(package).__path__[0]
            for path in sorted(Path(root).rglob("*.py")):
                if mark.search(path.read_text(encoding="utf-8")):
                    parts = path.relative_to(root).with_suffix("").parts
                    importlib.import_module(".".join((package, *(part for part in parts if part != "__init__"))))
                    if name in self._entries:
                        return

    def __getitem__(self, name: str) -> type[_T]:
        if name not in self._entries:
            self._find(name)
        if name not in self._entries and name not in self.names():
            raise InputError(f"unknown {self.kind} {quote(name)}; known: {', '.join(self.names())}")
        return self._entries[name]


class _LazyModule:
    """Stands for a module until something of it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self._name), name)
        setattr(self, name, value)
        return value


def lazy_module(name: str) -> Any:
    """A module that is imported when something of it is first used: what takes long to import, and is needed seldom.

    >>> lazy_module("math").sqrt(4)
    2.0
    """
    return _LazyModule(name)


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
