"""Names for classes that live one per file in a package: a new file is found by its place."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .files.checks import quote
from .files.errors import InputError

__all__ = ["Registry"]

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

    def __getitem__(self, name: str) -> type[_T]:
        if name not in self.names():
            raise InputError(f"unknown {self.kind} {quote(name)}; known: {', '.join(self.names())}")
        return self._entries[name]
