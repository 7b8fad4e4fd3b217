"""The one exception type for input that the user can mend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = [
    "InputError",
    "check_settings",
]


class InputError(ValueError):
    """Wrong input: the message names the file, field or joint, what was found and how to mend it.

    The command line prints the message without a traceback and exits with code 2.
    """


def check_settings(section: str, given: Iterable[str], known: Sequence[str], owner: str = "") -> None:
    """Refuse the first name of ``given`` that is not known; the message lists the known ones."""
    for name in given:
        if name not in known:
            raise InputError(f"{section}: unknown setting {name!r}{owner}; known: {', '.join(known)}")
