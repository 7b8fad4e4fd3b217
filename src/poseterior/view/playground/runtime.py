"""ONNX Runtime for browsers: which files of which package, how they come to this machine, and as what a page has them.

Nothing is downloaded but by `fetch_runtime`, which the user asks for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ...files.errors import InputError
from ...files.extras import need
from ...files.fetched import CACHE_VARIABLE, Asked, fetch, file_bytes, packed_bytes
from ...files.packages import ModelFile, NpmPackage

__all__ = ["SOURCE", "Runtime", "fetch_runtime", "load_runtime", "need_packages"]

#: The smallest build of the package that computes on the processor: a program, and what it runs.
SOURCE = NpmPackage(
    "onnxruntime-web",
    "1.30.0",
    megabytes=33,
    licence="MIT",
    files=(
        ModelFile(
            "ort.wasm.bundle.min.mjs",
            "package/dist/ort.wasm.bundle.min.mjs",
            "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
        ),
        ModelFile(
            "ort-wasm-simd-threaded.wasm",
            "package/dist/ort-wasm-simd-threaded.wasm",
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        ),
    ),
    option="--runtime FILE",
)
_ASKED = Asked(
    f"the page's runtime, {SOURCE.requirement} ({SOURCE.licence}, {SOURCE.megabytes} MB to download),",
    "the playground",
    "poseterior playground --fetch",
    "--runtime",
)
#: What a module offers, at its end; a map of its source may follow.
_OFFERED = re.compile(r"export\s*\{([^{}]*)\};?\s*(?://#[^\n]*\s*)?\Z")


class Runtime(NamedTuple):
    """What a page runs a network with.

    Attributes:
        program: JavaScript; it leaves a global ``ort``.
        wasm: what it runs.
    """

    program: str
    wasm: bytes


def need_packages() -> None:
    """Make sure that what traces and simplifies a network is installed.

    Raises:
        InputError: a package of the extra ``playground`` is missing; the message holds the line that installs it.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        need("playground", module, "the playground")


def fetch_runtime() -> list[Path]:
    """Download the runtime into the user's cache, unless it is there and whole; where its files are.

    Raises:
        InputError: it could not be downloaded, and why; platformdirs is missing.
    """
    _need_cache()
    return fetch(SOURCE)


def load_runtime(given: Sequence[Path] = ()) -> Runtime:
    """The runtime of the cache, or of the user's copies.

    Args:
        given: the two files under any names, or the package that holds them (``.tgz``).

    Raises:
        InputError: it is not there, or another version; the message holds the line that gets it.
    """
    if not given:
        _need_cache()
    packages = [path for path in given if path.suffix.lower() in (".tgz", ".gz")]
    if packages and len(given) > 1:
        raise InputError(f"--runtime: give {packages[0].name} alone, or the two files that are in it")
    program, wasm = packed_bytes(packages[0], SOURCE) if packages else file_bytes(SOURCE, _ASKED, given)
    return Runtime(as_global(program.decode()), wasm)


def _need_cache() -> None:
    if not os.environ.get(CACHE_VARIABLE):
        need("playground", "platformdirs", "the runtime's cache", f" (or set {CACHE_VARIABLE} to a folder)")


def as_global(module: str) -> str:
    """A module whose exports are properties of a global ``ort`` instead.

    Pages that are opened from a disk may import no file; a module in the page itself may run, but nobody can import it.

    Raises:
        InputError: it offers nothing at its end.

    >>> as_global("let a = 1, b = 2; export{a as one, b};")
    'let a = 1, b = 2; globalThis.ort={one:a,b:b};\\n'
    """
    found = _OFFERED.search(module)
    if found is None:
        raise InputError("the page's runtime is no module: it ends without an export")
    names = [name.split(" as ") for name in (part.strip() for part in found[1].split(",")) if name]
    offered = ",".join(f"{name[-1].strip()}:{name[0].strip()}" for name in names)
    return f"{module[: found.start()]}globalThis.ort={{{offered}}};\n"
