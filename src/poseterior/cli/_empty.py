"""Empty names on the command line, of which `pathlib` makes the current folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

__all__ = ["refuse_empty"]


def refuse_empty(arguments: Sequence[str], commands: Mapping[str, Any]) -> None:
    """Refuse an argument without a character, as a script's ``"$file"`` is whose variable is not set.

    Args:
        arguments: of the command line, the command first.
        commands: class of each command, whose fields are its options.

    Raises:
        InputError: names the option, or FILE.
    """
    from ..files.errors import InputError

    for place, argument in enumerate(arguments):
        option, _, value = argument.partition("=")
        if not argument:
            option = _before(arguments, place, commands)
        elif value or not (option.startswith("--") and argument.endswith("=")):
            continue
        raise InputError(
            f"{option}: an empty name was given where a file is expected; a variable of the script may not be set"
        )


def _before(arguments: Sequence[str], place: int, commands: Mapping[str, Any]) -> str:
    """The option that an argument is the value of; FILE where it is of none."""
    before = arguments[place - 1] if place else ""
    if not before.startswith("-") or before == "--":
        return "FILE"
    command = commands.get(arguments[0])
    switches = {field.name for field in fields(command) if field.type == "bool"} if command else set()
    name = before.lstrip("-").replace("-", "_")
    return "FILE" if name in switches or name.removeprefix("no_") in switches else before
