"""What a lift says when Ctrl-C stops it and a second run, with ``--resume``, goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["resumes"]


@contextmanager
def resumes(kept: Callable[[], bool]) -> Iterator[None]:
    """Within, an interruption says (on standard error) which command goes on.

    Args:
        kept: whether anything is there that a second run need not do again.
    """
    import sys

    try:
        yield
    except KeyboardInterrupt:
        again = "the same command" + ("" if "--resume" in sys.argv else " with --resume")
        print(
            f"\nstopped; what is finished is kept, and {again} goes on with the rest"
            if kept()
            else "\nstopped, and nothing is kept; the same command begins again",
            file=sys.stderr,
        )
        raise
