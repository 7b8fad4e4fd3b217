"""Names for classes that live one a file in a package: a new file is found by its place."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .errors import InputError

__all__ = ["Registry"]

_T = TypeVar("_T")


class Registry(Generic[_T]):
    """Classes by name.

    Args:
        package: dotted name of the package whose modules register their classes, imported on first need.
        kind: what an entry is, for messages.
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package, self.kind = package, kind
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
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        return tuple(sorted(self._entries))

    def __getitem__(self, name: str) -> type[_T]:
        if name not in self.names():
            raise InputError(f"unknown {self.kind} {name!r}; known: {', '.join(self.names())}")
        return self._entries[name]
