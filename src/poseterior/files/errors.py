"""The one exception type for input that the user can mend."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """Wrong input: the message names the file, field or joint, what was found and how to mend it.

    The command line prints the message without a traceback and exits with code 2.
    """
