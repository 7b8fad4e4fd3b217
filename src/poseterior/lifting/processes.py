"""Work that several processes share, in its order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

__all__ = ["AHEAD", "in_order"]

Job = TypeVar("Job")
Done = TypeVar("Done")

#: Jobs that are begun before the first of them is wanted, for each process.
AHEAD = 2


def in_order(
    work: Callable[[Job], Done], jobs: Iterable[Job], workers: int, begin: Callable[..., None], given: tuple[Any, ...]
) -> Iterator[Done]:
    """What is made of one job after the other, by processes of which each has a few to do at any time.

    Args:
        work: a function of a module.
        jobs: as they are wanted.
        workers: number of processes.
        begin, given: is called with these in each process, first of all.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, begin, given) as pool:
        waiting: deque[Future[Done]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(work, job))
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
