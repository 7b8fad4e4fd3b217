"""Runs cases: each must end in finite numbers or in an `InputError` that names the file, in time and in little memory.

As a program it runs many cases, in processes of their own so that one that dies tells which: ``python fuzz_harness.py
--cases 10000 --first 0``.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent), str(here.parent / "data")]

from fuzz_mutations import MUTATIONS, change_bytes
from fuzz_targets import Target, all_targets

from poseterior.files.errors import InputError

__all__ = ["Bench", "Outcome", "plan", "run_in_processes"]

#: A case that takes longer hangs (seconds); the machine may be busy with other things.
SECONDS = 20.0
#: What a case may add to the memory that is in use, and to the address space.
RESIDENT, ADDRESSES = 500 * 1024**2, 6 * 1024**3
#: The longest message.
LONGEST = 1200


#: What stops at the boundary, but tells of a reader that did not look at what it read.
_OURS = (AttributeError, TypeError, KeyError, IndexError, NameError, AssertionError, ZeroDivisionError)


class HangError(BaseException):
    """A case took too long; no reader catches this."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a case ended: ``fine`` (numbers), ``refused`` (an InputError), or what is wrong."""

    target: str
    seed: int
    kind: str
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.kind in ("fine", "refused")


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises `HangError` in whatever Python code runs after so many seconds."""

    def stop(*_: Any) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def address_limit(more: int) -> Iterator[None]:
    """Makes allocations fail that go beyond what is in use now by so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def not_finite(value: Any, may_be_nan: tuple[str, ...], name: str = "", depth: int = 0) -> str:
    """Name of a field that holds infinity, or NaN where that says nothing; empty if there is none."""
    if depth > 12:
        return ""
    if isinstance(value, torch.Tensor):
        value = value.detach().double().numpy() if value.is_floating_point() else np.zeros(0)
    if isinstance(value, np.ndarray | float | np.floating):
        array = np.asarray(value)
        if array.dtype.kind not in "fc":
            return ""
        bad = np.isinf(array).any() if name in may_be_nan else not np.isfinite(array).all()
        return (name or "value") if bad else ""
    items: Any = ()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    elif type(value).__name__ == "Keypoints2D":
        names = ("xy", "covariance", "image_size", "intrinsics", "height", "amplitude")
        items = [(n, getattr(value, n)) for n in names]
    elif isinstance(value, Mapping):
        items = [(str(k), v) for k, v in value.items()]
    elif isinstance(value, list | tuple):
        items = [(name, v) for v in value]
    return next((found for n, v in items if (found := not_finite(v, may_be_nan, n, depth + 1))), "")


class _First(Random):
    """Always chooses the first, which is what nobody need ask for."""

    def choice(self, seq: Any) -> Any:
        return seq[0]


class Bench:
    """Targets with their valid files in a folder, made when first needed."""

    def __init__(self, folder: Path, targets: Mapping[str, Target] | None = None) -> None:
        self.folder = folder
        self.targets = all_targets() if targets is None else targets
        self._made: dict[str, tuple[Path, list[tuple[Path, str, bytes]]]] = {}

    def _ready(self, name: str) -> tuple[Path, list[tuple[Path, str, bytes]]]:
        """Where the target reads, and its files: path, kind of mutation, content."""
        if name not in self._made:
            target = self.targets[name]
            folder = self.folder / "".join(c if c.isalnum() else "_" for c in name)
            folder.mkdir(parents=True)
            path = target.make(folder)
            files = [
                (file, kind, file.read_bytes())
                for pattern, kind in target.files.items()
                for file in sorted(folder.glob(pattern))
                if file.is_file()
            ]
            assert files, f"{name}: no file for {list(target.files)}"
            self._made[name] = path, files
        return self._made[name]

    def valid(self, name: str) -> Any:
        """What the target reads from its valid files."""
        path, _ = self._ready(name)
        return self.targets[name].read(path, _First())

    def mutated(self, name: str, seed: int) -> tuple[Path, bytes, bytes, Random]:
        """The file that a case changes, what it held and what it holds; and what goes on choosing."""
        _, files = self._ready(name)
        random = Random(f"{name}:{seed}")
        file, kind, content = random.choice(files)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                changed = MUTATIONS[kind](content, random)
            except Exception:  # what it did first may leave nothing that it can do next
                changed = change_bytes(content, random)
        return file, content, changed, random

    def run(self, name: str, seed: int, limits: bool = True) -> Outcome:
        """One case."""
        path, _ = self._ready(name)
        target = self.targets[name]
        file, content, changed, random = self.mutated(name, seed)
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        file.write_bytes(changed)
        try:
            with warnings.catch_warnings(), contextlib.ExitStack() as stack:
                warnings.simplefilter("ignore")
                if limits:
                    stack.enter_context(address_limit(ADDRESSES))
                stack.enter_context(time_limit(SECONDS))
                found = target.read(path, random)
            field = not_finite(found, target.may_be_nan)
            outcome = Outcome(name, seed, "not finite", field) if field else Outcome(name, seed, "fine")
        except InputError as error:
            outcome = self._refused(name, seed, error, file)
        except HangError:
            outcome = Outcome(name, seed, "hang", _where(sys.exc_info()[2]))
        except Exception as error:
            outcome = Outcome(
                name, seed, "traceback", f"{type(error).__name__} {_where(error.__traceback__)}: {error}"[:300]
            )
        finally:
            file.write_bytes(content)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident) * 1024
        if outcome.good and grown > RESIDENT:
            return Outcome(name, seed, "memory", f"{grown / 1024**2:.0f} MiB")
        return outcome

    def _refused(self, name: str, seed: int, error: InputError, file: Path) -> Outcome:
        message, cause = str(error), error
        while cause is not None:
            if isinstance(cause, _OURS):
                detail = f"{type(cause).__name__} {_where(cause.__traceback__)}: {cause}"[:300]
                return Outcome(name, seed, "masked", detail)
            if isinstance(cause, MemoryError):
                return Outcome(name, seed, "memory", message[:300])
            cause = cause.__cause__  # type: ignore[assignment]
        if len(message.replace(str(self.folder), "")) > LONGEST:
            return Outcome(name, seed, "long message", f"{len(message)} characters: {message[:200]}")
        parents = [file.name, file.stem, *(p.name for p in file.parents if self.folder in p.parents)]
        told = name.startswith("command")  # of which the user knows what it was given
        if not told and not any(part in message for part in parents):
            return Outcome(name, seed, "file not named", message[:300])
        return Outcome(name, seed, "refused", message[:300])


def _where(trace: Any) -> str:
    """The last place in our own code, and the last of all."""
    frames = traceback.extract_tb(trace)
    ours = [f for f in frames if "/poseterior/" in f.filename]
    last = frames[-1] if frames else None
    parts = [ours[-1]] if ours else []
    parts += [last] if last is not None and last not in parts else []
    return " <- ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in parts)


def plan(cases: int, first: int = 0, names: list[str] | None = None) -> list[tuple[str, int]]:
    """(target, seed) of so many cases, spread over the targets by their weight."""
    targets = all_targets()
    names = sorted(targets) if names is None else names
    total = sum(targets[name].weight for name in names)
    planned: list[tuple[str, int]] = []
    for name in names:
        planned += [(name, first + i) for i in range(max(1, round(cases * targets[name].weight / total)))]
    return planned


# -- many cases, in processes of their own -------------------------------------------------------------------


def run_in_processes(planned: list[tuple[str, int]], batch: int = 400) -> list[Outcome]:
    """Runs cases in forked processes, one after the other; a process that dies costs one case."""
    outcomes: list[Outcome] = []
    left = list(planned)
    while left:
        now, left = left[:batch], left[batch:]
        found, died = _run_batch(now)
        outcomes += found
        if len(found) < len(now):
            name, seed = now[len(found)]
            outcomes.append(Outcome(name, seed, "died" if died != -signal.SIGKILL else "hang", f"signal {-died}"))
            left = now[len(found) + 1 :] + left
    return outcomes


def _run_batch(cases: list[tuple[str, int]]) -> tuple[list[Outcome], int]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        code = 1
        try:
            os.environ["TMPDIR"] = str(folder)
            tempfile.tempdir = str(folder)
            bench = Bench(folder / "bench")
            with os.fdopen(write, "w") as pipe, open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
                for name, seed in cases:
                    outcome = bench.run(name, seed)
                    pipe.write(json.dumps(dataclasses.astuple(outcome)) + "\n")
                    pipe.flush()
            code = 0
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(code)
    os.close(write)
    import select

    outcomes, buffer = [], b""
    while True:
        ready, _, _ = select.select([read], [], [], 3 * SECONDS + 60)
        if not ready:
            os.kill(child, signal.SIGKILL)
            break
        chunk = os.read(read, 65536)
        if not chunk:
            break
        buffer += chunk
        *lines, buffer = buffer.split(b"\n")
        outcomes += [Outcome(*json.loads(line)) for line in lines]
    os.close(read)
    _, status = os.waitpid(child, 0)
    return outcomes, -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def report(outcomes: list[Outcome], seconds: float) -> None:
    counts = collections.Counter(o.kind for o in outcomes)
    print(f"{len(outcomes)} cases in {seconds:.0f} s:", ", ".join(f"{n} {kind}" for kind, n in counts.most_common()))
    groups: dict[tuple[str, str], list[Outcome]] = collections.defaultdict(list)
    for o in outcomes:
        if not o.good:
            groups[o.kind, o.detail.split(": ")[0][:160]].append(o)
    for (kind, detail), members in sorted(groups.items(), key=lambda g: -len(g[1])):
        names = dict(collections.Counter(o.target for o in members).most_common(6))
        first = members[0]
        print(f"{len(members):5d} {kind} | {detail}")
        print(f"      e.g. {first.target!r} {first.seed}: {first.detail[:260]}\n      {names}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--one", nargs=2, metavar=("TARGET", "SEED"))
    parser.add_argument("--refusals", action="store_true", help="print some of the messages too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder) / "bench")
            name, seed = options.one[0], int(options.one[1])
            path, _ = bench._ready(name)
            file, content, changed, random = bench.mutated(name, seed)
            print(file.name, len(content), "->", len(changed))
            file.write_bytes(changed)
            print(all_targets()[name].read(path, random))
        return
    names = [name for name in sorted(all_targets()) if options.only in name]
    started = time.perf_counter()
    outcomes = run_in_processes(plan(options.cases, options.first, names))
    report(outcomes, time.perf_counter() - started)
    if options.refusals:
        for o in Random(0).sample([o for o in outcomes if o.kind == "refused"], 60):
            print(f"  {o.target}: {o.detail[-240:]}")
    sys.exit(not all(o.good for o in outcomes))


if __name__ == "__main__":
    main()
