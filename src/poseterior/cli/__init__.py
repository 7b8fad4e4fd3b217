"""The command line: one file a command, thin. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, get_args

import tyro

from ._empty import refuse_empty
from ._help import readable_help
from .angles import Angles
from .annotate import Annotate
from .bench import Bench
from .calibrate import Calibrate
from .compare import Compare
from .data import Data
from .demo import Demo
from .detectors import Detectors
from .evaluate import Evaluate
from .experiments import Experiments
from .export import Export
from .formats import Formats
from .fuse import Fuse
from .heatmaps import Heatmaps
from .ik import Ik
from .keypoints import Keypoints
from .labels import Labels
from .lift import Lift
from .lifters import Lifters
from .playground import Playground
from .prior import Prior
from .train import Train
from .view import View
from .weights import Weights

__all__ = ["main", "parse"]

_Command = (
    Annotated[Demo, tyro.conf.subcommand(name="demo")]
    | Annotated[Lift, tyro.conf.subcommand(name="lift")]
    | Annotated[Fuse, tyro.conf.subcommand(name="fuse")]
    | Annotated[Formats, tyro.conf.subcommand(name="formats")]
    | Annotated[Detectors, tyro.conf.subcommand(name="detectors")]
    | Annotated[Ik, tyro.conf.subcommand(name="ik")]
    | Annotated[Prior, tyro.conf.subcommand(name="prior")]
    | Annotated[View, tyro.conf.subcommand(name="view")]
    | Annotated[Angles, tyro.conf.subcommand(name="angles")]
    | Annotated[Lifters, tyro.conf.subcommand(name="lifters")]
    | Annotated[Heatmaps, tyro.conf.subcommand(name="heatmaps")]
    | Annotated[Keypoints, tyro.conf.subcommand(name="keypoints")]
    | Annotated[Annotate, tyro.conf.subcommand(name="annotate")]
    | Annotated[Labels, tyro.conf.subcommand(name="labels")]
    | Annotated[Data, tyro.conf.subcommand(name="data")]
    | Annotated[Train, tyro.conf.subcommand(name="train")]
    | Annotated[Evaluate, tyro.conf.subcommand(name="evaluate")]
    | Annotated[Bench, tyro.conf.subcommand(name="bench")]
    | Annotated[Calibrate, tyro.conf.subcommand(name="calibrate")]
    | Annotated[Compare, tyro.conf.subcommand(name="compare")]
    | Annotated[Experiments, tyro.conf.subcommand(name="experiments")]
    | Annotated[Export, tyro.conf.subcommand(name="export")]
    | Annotated[Playground, tyro.conf.subcommand(name="playground")]
    | Annotated[Weights, tyro.conf.subcommand(name="weights")]
)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

_DESCRIPTION = """Lift 2D human keypoints to a probability distribution over 3D poses.

Start with `poseterior demo`. Lengths are metres, camera axes are x right, y down, z forward."""


def _error(message: str) -> int:
    print(f"poseterior: error: {message}", file=sys.stderr)
    return 2


@contextlib.contextmanager
def _sigterm_ends_tidily() -> Iterator[None]:
    """A killed command ends like an interrupted one, so that unfinished files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _warned_once() -> Iterator[None]:
    """Within, a warning that is printed twice, because a file is read twice, is printed once."""
    said: set[str] = set()
    printer = logging.lastResort

    def new(record: logging.LogRecord) -> bool:
        text = record.getMessage()
        known = text in said
        said.add(text)
        return not known

    if printer is None:
        yield
        return
    printer.addFilter(new)
    try:
        yield
    finally:
        printer.removeFilter(new)


def _commands() -> dict[str, Any]:
    """Class of each command."""
    found = (get_args(one) for one in get_args(_Command))
    return {about.name: command for command, about in found}


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments ask for, with its options; nothing is run.

    Raises:
        SystemExit: help was asked for (code 0), or the arguments are wrong (code 2, with a message).
    """
    with readable_help():
        return tyro.cli(
            _Command,
            args=list(arguments),
            prog="poseterior",
            description=_DESCRIPTION,
            config=(
                tyro.conf.OmitArgPrefixes,
                tyro.conf.OmitSubcommandPrefixes,
                tyro.conf.HelptextFromCommentsOff,
            ),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 2 for input that the user can mend, with its message on standard error."""
    from .._version import __version__

    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"poseterior {__version__}")
        return 0
    from ..files.errors import InputError

    try:
        with _sigterm_ends_tidily(), _warned_once():
            refuse_empty(given, _commands())
            parse(given or ["--help"]).run()
            sys.stdout.flush()  # what goes to a file may meet a full disk only now
    except InputError as error:
        return _error(str(error))
    except BrokenPipeError:
        # The reader (head, less) has gone: end quietly, and keep Python from flushing into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # files say their names; what has none and no room is what we print to
        name = error.filename or ("standard output" if error.errno in _NO_ROOM else "")
        return _error(f"{name}: {error.strerror or error}".lstrip(": "))
    except KeyboardInterrupt:
        print("poseterior: interrupted", file=sys.stderr)
        return 130
    return 0
