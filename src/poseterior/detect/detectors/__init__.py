"""Detectors: one module each, found by its place in this package.

A detector is a module that has

* ``NAME``: what ``--detector`` calls it;
* ``ABOUT``: one line that says what it is;
* ``LICENCE``: of its model;
* ``NEEDS``: the extra, and the modules that it brings and the detector imports;
* ``load(argument, models) -> Detector``: ``argument`` is what stands behind the name and a colon (``onnx:PATH``),
  empty where nothing does; ``models`` are the user's own copies of its files. Nothing is downloaded; where a file or a
  package is missing, an `InputError` says the line to type.

and may have

* ``ARGUMENT``: what is to stand behind its name, for lists and messages;
* ``SOURCE``: where its model is fetched from, a `poseterior.files.packages.Package`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from ...files.checks import quote
from ...files.errors import InputError
from ..base import Detector
from ..covariance import NoiseModel, read_noise
from ..noise import WithNoise

__all__ = ["NOISE_FILE", "detector_module", "detector_modules", "detector_names", "load_detector"]

#: Name of a noise model's file where a folder is given.
NOISE_FILE = "noise.json"


@cache
def detector_modules() -> dict[str, ModuleType]:
    """Every detector's module by name: those of this package."""
    found = [importlib.import_module(f"{__name__}.{place.name}") for place in pkgutil.iter_modules(__path__)]
    return {module.NAME: module for module in sorted(found, key=lambda module: str(module.NAME))}


def detector_names() -> tuple[str, ...]:
    """What `load_detector` knows."""
    return tuple(detector_modules())


def detector_module(name: str) -> ModuleType:
    """The module of one detector.

    Raises:
        InputError: there is none of that name.
    """
    try:
        return detector_modules()[name]
    except KeyError:
        raise InputError(f"unknown detector {quote(name)}; known: {', '.join(detector_names())}") from None


def load_detector(
    name: str = "blazepose", model: Sequence[str | Path] = (), *, noise: str | Path | NoiseModel | None = None
) -> Detector:
    """A detector, ready to see pictures; nothing is downloaded.

    Args:
        name: one of `detector_names`; ``onnx:PATH`` for a model of the user's own.
        model: files of the model where they are not in the cache (``poseterior detectors fetch NAME`` puts them there).
        noise: how wrong its keypoints are, where it was fitted anew (``poseterior detectors calibrate``): its file, or
            a folder with one; None: as the detector itself says.

    Raises:
        InputError: an unknown name; a model or a package that is missing, with the line that gets it; a noise model
            that is none, or of another detector.
    """
    kind, _, argument = name.partition(":")
    module = detector_module(kind)
    wanted = getattr(module, "ARGUMENT", "")
    if bool(wanted) != bool(argument):
        expected = f"{kind}:{wanted}" if wanted else kind
        raise InputError(f"detector {quote(name)}: expected {expected}")
    detector: Detector = module.load(argument, [Path(path) for path in model])
    if noise is None:
        return detector
    if isinstance(noise, NoiseModel):
        return WithNoise(detector, noise)
    path = Path(noise) / NOISE_FILE if Path(noise).is_dir() else Path(noise)
    try:
        return WithNoise(detector, read_noise(path))
    except InputError as error:
        raise InputError(str(error) if str(path) in str(error) else f"{path}: {error}") from None
