"""Blocks lifted by the machines of a Ray cluster.

Ray Data hands the blocks to actors, each of which holds the lifter. An actor that dies is started again and its block
given to another: blocks are lifted whole or not at all, so that nothing is lost or there twice.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files.checks import reason
from ..files.errors import InputError
from ..files.extras import later, need
from ..files.places import Place
from ..lifters import Lifter
from .blocks import Block, BlockLifter, Job

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ray
    import ray.data as ray_data
else:  # an extra: imported when a cluster is asked for
    ray, ray_data = (later("cluster", name, "--engine ray:") for name in ("ray", "ray.data"))

__all__ = ["ATTEMPTS", "Outcome", "RayLifter", "cluster", "lift_by_ray"]

#: How often a block is begun: one that ends its worker every time (no memory for it) is given up.
ATTEMPTS = 4


@dataclass(frozen=True)
class Outcome:
    """What came of a block.

    Attributes:
        part: its name.
        source: name of the file.
        poses: in the part.
        failure: why there is no part; empty where there is one.
    """

    part: str
    source: str
    poses: int
    failure: str = ""


class _Attempts:
    """Counts how often each block was begun; an actor of its own, which outlives the workers."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, part: str) -> int:
        self._begun[part] = self._begun.get(part, 0) + 1
        return self._begun[part]


class RayLifter:
    """An actor of Ray Data: rows with a block each in, rows with what came of it out.

    Args:
        lifter: where Ray keeps the lifter.
        job: what to do.
        attempts: actor that counts them.
    """

    def __init__(self, lifter: Any, job: Job, attempts: Any) -> None:
        self._lift, self._attempts = BlockLifter(ray.get(lifter), job), attempts

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        found = [self.lift(block) for block in rows["block"]]
        return {name: [one[name] for one in found] for name in found[0]}

    def lift(self, block: Block) -> dict[str, Any]:
        row: dict[str, Any] = {
            "part": block.part, "source": block.source.name, "poses": 0, "failure": "", "content": b"",
        }  # fmt: skip
        begun = ray.get(self._attempts.begin.remote(block.part))
        if begun > ATTEMPTS:
            return row | {
                "failure": f"{block.source.name}: its worker ended {ATTEMPTS} times while it was lifted (for want of "
                "memory?); give workers more, or ask for fewer samples"
            }
        try:
            lifted = self._lift(block)
        except InputError as error:
            return row | {"failure": str(error)}
        return row | {"poses": lifted.poses, "content": lifted.content or b""}


@contextmanager
def cluster() -> Iterator[int]:
    """Join the cluster that is there (``RAY_ADDRESS``, or the one of this machine), else start one on this machine.

    Yields:
        number of its processors.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    need("cluster", "ray", "--engine ray:")
    # nothing is sent anywhere that nobody asked for; errors that concern the user come as exceptions
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    own = not ray.is_initialized()
    try:
        if own:
            try:
                ray.init(logging_level=logging.ERROR, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
                where = os.environ.get("RAY_ADDRESS", "")
                said = f"RAY_ADDRESS {where}: no cluster answers" if where else "a cluster cannot be started here"
                raise InputError(f"--engine ray: {said} ({reason(error)})") from error
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if own:
            ray.shutdown()


def lift_by_ray(
    lifter: Lifter,
    job: Job,
    blocks: Sequence[Block],
    workers: int,
    done: Callable[[Outcome], object] = lambda outcome: None,
    actor: type[RayLifter] = RayLifter,
) -> list[Outcome]:
    """Lift blocks within `cluster`.

    Args:
        lifter: that lifts.
        job: what to do.
        blocks: that are to be done.
        workers: actors, at most; each takes a processor, and a GPU where the job is for ``cuda``.
        done: is told of each block that is through.
        actor: what holds the lifter.

    Returns:
        what came of each block; those that failed say why.
    """
    if not blocks:
        return []
    context = ray_data.DataContext.get_current()
    context.enable_progress_bars = False
    for name in ("ray.data", "ray.data._internal"):
        logging.getLogger(name).setLevel(logging.ERROR)
    counted = ray.remote(num_cpus=0)(_Attempts).remote()
    rows = [{"block": _carried(block)} for block in blocks]
    through = ray_data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        actor,
        fn_constructor_args=(ray.put(lifter.to("cpu")), job, counted),
        batch_size=1,
        compute=ray_data.ActorPoolStrategy(size=min(workers, len(blocks))),
        num_cpus=1,
        num_gpus=1 if job.how.device.startswith("cuda") else None,
    )
    found = []
    for row in through.iter_rows():
        if row["content"]:
            _put(job.out.within(row["part"]), row["content"])
        outcome = Outcome(row["part"], row["source"], int(row["poses"]), row["failure"])
        found.append(outcome)
        done(outcome)
    return found


def _carried(block: Block) -> Block:
    """A block with its file in it, where the workers could not open that."""
    if not block.source.private:
        return block
    return replace(block, content=block.source.read())


def _put(place: Place, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part"
        path.write_bytes(content)
        place.put(path)
