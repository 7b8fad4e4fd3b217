"""What a command says when Ctrl-C stops it and a second run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["goes_on"]


@contextmanager
def goes_on(kept: Callable[[], bool], option: str = "") -> Iterator[None]:
    """Within, an interruption says (on standard error) which command goes on.

    Args:
        kept: whether anything is there that a second run need not do again.
        option: that the second run needs, where it needs one.
    """
    import sys

    try:
        yield
    except KeyboardInterrupt:
        again = "the same command" + (f" with {option}" if option and option not in sys.argv else "")
        print(
            f"\nstopped; what is finished is kept, and {again} goes on with the rest"
            if kept()
            else "\nstopped, and nothing is kept; the same command begins again",
            file=sys.stderr,
        )
        raise
