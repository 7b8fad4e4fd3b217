"""Packages that only some users need: they come with an extra, and what misses one says the line to type."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .errors import InputError

__all__ = ["installed", "later", "need"]

#: What is installed under another name than it is imported by.
_INSTALLED_AS = {"imageio_ffmpeg": "imageio-ffmpeg", "ot": "POT", "pxr": "usd-core"}


def installed(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


def need(extra: str, module: str, what: str, instead: str = "") -> None:
    """Make sure that a package of an extra is installed; nothing is imported.

    Args:
        extra: as in ``pip install 'poseterior[extra]'``.
        module: what will be imported, e.g. ``lightning``.
        what: who needs it, the beginning of the message: a file's name, what was about to be done.
        instead: what works without it, for the end of the message.

    Raises:
        InputError: it is missing; the message holds the line that installs it.

    >>> need("view", "a_package_that_nobody_has", "the page", " (or write a .png)")
    Traceback (most recent call last):
    ...
    poseterior.files.errors.InputError: the page needs a_package_that_nobody_has: \
pip install 'poseterior[view]' (or write a .png)
    """
    top = module.split(".")[0]
    if not installed(module):
        raise InputError(f"{what} needs {_INSTALLED_AS.get(top, top)}: pip install 'poseterior[{extra}]'{instead}")


class _Later(ModuleType):
    """Stands for a module until something in it is asked for."""

    def __init__(self, extra: str, module: str, what: str) -> None:
        super().__init__(module)
        self.__dict__.update(_extra=extra, _what=what)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what tools ask every object for is no use of it
            raise AttributeError(name)
        need(self._extra, self.__name__, self._what)
        return getattr(importlib.import_module(self.__name__), name)


def later(extra: str, module: str, what: str) -> Any:
    """A module of an extra that is imported when it is first used, so that the rest works without it.

    Args:
        extra, module, what: see `need`, which is asked then.
    """
    return _Later(extra, module, what)
