"""How large a network may become while it is built: a configuration of a few words can ask for any size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from ..files.errors import InputError

__all__ = ["MOST_NUMBERS", "MOST_TENSORS", "allowance"]

#: Numbers and tensors in the largest network that is trained here (1 GB; the shipped ones have some millions).
MOST_NUMBERS, MOST_TENSORS = 2**28, 20_000


class _Counted(TorchDispatchMode):
    """Counts the numbers that are asked for, and refuses before they are there."""

    def __init__(self, numbers: int, tensors: int, refusal: str) -> None:
        super().__init__()
        self.numbers, self.tensors, self.refusal = numbers, tensors, refusal

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Who builds a network compiles nothing: torch need not load its compiler, which takes as long as all else.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        size = _asked_for(func, args)
        self.numbers -= size
        self.tensors -= size > 0
        if self.numbers < 0 or self.tensors < 0:
            raise InputError(self.refusal)
        return func(*args, **(kwargs or {}))


def _asked_for(func: Any, args: Any) -> int:
    """Numbers in the tensor that a function of torch makes from sizes alone; 0 for other functions."""
    arguments = func._schema.arguments
    if arguments and arguments[0].name == "size" and args:
        return math.prod(max(int(n), 0) for n in args[0])
    name = func._schema.name.removeprefix("aten::")
    if name == "eye" and args:
        return int(args[0]) * int(args[1] if len(args) > 1 and isinstance(args[1], int) else args[0])
    if name in ("arange", "randperm", "linspace", "logspace") and args:
        return int(max((abs(n) for n in args if isinstance(n, int | float)), default=0))
    return 0


@contextmanager
def allowance(numbers: int, tensors: int, refusal: str) -> Iterator[None]:
    """Refuses to build a network of more than so many tensors with so many numbers in all.

    Args:
        numbers: that the tensors made from sizes may have together.
        tensors: how many may be made.
        refusal: the message.

    Raises:
        InputError: with that message, before the memory is reserved.
    """
    with _Counted(numbers, tensors, refusal):
        yield
