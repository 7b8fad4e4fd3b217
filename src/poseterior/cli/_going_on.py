"""What a command says when Ctrl-C stops it and a second run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["says_how_to_go_on"]


@contextmanager
def says_how_to_go_on(kept: Callable[[], bool], option: str = "") -> Iterator[None]:
    """On an interruption, say on standard error what a second run does; the interruption itself goes on.

    Args:
        kept: whether anything is there that a second run need not do again.
        option: that has to be added to the command for it to go on, e.g. ``--resume``; none: the same command does.
    """
    import sys

    try:
        yield
    except KeyboardInterrupt:
        if not kept():
            said = "stopped, and nothing is kept; begin again with the same command"
        elif option and option not in sys.argv:
            said = f"stopped; what is done is kept: the same command with {option} goes on"
        else:
            said = "stopped; what is done is kept: the same command goes on"
        print(f"\n{said}", file=sys.stderr)
        raise
