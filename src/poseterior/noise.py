"""Sources of random numbers for many poses at once.

An answer about one pose must not depend on which other poses are asked about in the same call. So where a seed is
given, every pose has a stream of its own (`PoseNoise`), derived from the seed and from a key of the pose, and summary
statistics take the same numbers for all poses (`SharedNoise`). Where a generator is given, or nothing, numbers come one
after the other, as torch's own samplers take them (`StreamNoise`).

All numbers are drawn on the processor, so that a seed means the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["DrawnNoise", "Noise", "PoseNoise", "SharedNoise", "StreamNoise", "as_noise", "keys_of", "mixed"]

#: The finaliser of splitmix64 (Steele et al. 2014), as two's complement.
_MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
_GAMMA = 0x9E3779B97F4A7C15 - 2**64


#: Many int64, or one as Python has it: a few steps on one number take torch ten times as long.
_Whole = Tensor | int


def _shifted(value: _Whole, bits: int) -> _Whole:
    """Logical shift to the right of int64."""
    return (value >> bits) & (2 ** (64 - bits) - 1)


def _wrapped(value: _Whole) -> _Whole:
    """What int64 makes of a number that it cannot hold."""
    return value if isinstance(value, Tensor) else (value + 2**63) % 2**64 - 2**63


def _stirred(state: _Whole) -> _Whole:
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        state = _wrapped((state ^ _shifted(state, shift)) * multiplier)
    return state ^ _shifted(state, 31)


def mixed(*values: Int[Tensor, "*shape"] | int) -> Int[Tensor, "*shape"]:
    """One int64 that looks random and changes with every bit of every value (int64, broadcast; order matters)."""
    state: _Whole = 0
    for value in values:
        state = _wrapped(state + _GAMMA)
        one = isinstance(value, int) and isinstance(state, int)
        state = _stirred(state ^ (value if one else torch.as_tensor(value, dtype=torch.int64).cpu()))
    return torch.as_tensor(state, dtype=torch.int64)


@lru_cache
def _multipliers(count: int) -> Int[Tensor, " count"]:
    """Odd numbers of 64 bits, always the same ones."""
    generator = torch.Generator().manual_seed(20)
    return torch.randint(-(2**62), 2**62, (count,), generator=generator) * 2 + 1


def keys_of(points: Float[Tensor, "*batch joints n"], seen: Bool[Tensor, "*batch joints"]) -> Int[Tensor, "*batch"]:
    """A hash of each pose: the bits of its seen points, multiplied and summed (multilinear hashing).

    What points that are not seen hold does not matter.
    """
    known = torch.where(seen.unsqueeze(-1), points.float(), 0.0) + 0.0  # + 0.0: one zero, not two
    bits = torch.cat([known.contiguous().view(torch.int32).long().flatten(-2), seen.long()], -1)
    return (bits * _multipliers(bits.shape[-1]).to(points.device)).sum(-1)


class Noise:
    """Random numbers for a batch of poses.

    Sizes are ``(*any, *batch, *event)``, with ``event`` dimensions after the batch's, which may be flattened to one.
    """

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        """Standard normal numbers, with the dtype and on the device of ``like``."""
        raise NotImplementedError

    def uniform(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        """Uniform numbers from 0 to below 1, likewise."""
        raise NotImplementedError

    def choose(self, weights: Float[Tensor, "*any_batch k"], count: int = 1) -> Int[Tensor, "*any_batch count"]:
        """Indices for each row of weights, with probability in proportion to them."""
        total = weights.cumsum(-1).contiguous()
        drawn = self.uniform((*weights.shape[:-1], count), 1, weights) * total[..., -1:]
        return torch.searchsorted(total, drawn, right=True).clamp(max=weights.shape[-1] - 1)


class StreamNoise(Noise):
    """Numbers one after the other, of a generator; None: torch's global one, on the device of the numbers."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        self.generator = generator

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return torch.randn(tuple(size), generator=self.generator, dtype=like.dtype, device=like.device)

    def uniform(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return torch.rand(tuple(size), generator=self.generator, dtype=like.dtype, device=like.device)

    def choose(self, weights: Float[Tensor, "*any_batch k"], count: int = 1) -> Int[Tensor, "*any_batch count"]:
        flat = weights.reshape(-1, weights.shape[-1])
        chosen = torch.multinomial(flat, count, replacement=True, generator=self.generator)
        return chosen.reshape(*weights.shape[:-1], count)


def _place(size: tuple[int, ...], batch: torch.Size, event: int) -> tuple[int, int]:
    """First dimension of the batch and the one after it."""
    end = len(size) - event
    start = end - len(batch)
    if start >= 0 and size[start:end] == tuple(batch):
        return start, end
    if size[end - 1 : end] == (batch.numel(),):
        return end - 1, end
    raise ValueError(f"size {size} with {event} dimensions of the event has no batch of {tuple(batch)}")


class PoseNoise(Noise):
    """A stream of its own for each pose of a batch.

    Args:
        seed: any whole number.
        keys: ``(*batch)`` int64, what tells the poses apart; poses with one key get the same numbers.
    """

    def __init__(self, seed: int, keys: Int[Tensor, "*batch"]) -> None:
        self.batch = keys.shape
        # Torch's generator on the processor looks at the lower 32 bits of a seed alone; `mixed` fills all of them.
        seeds = mixed(seed % 2**63, keys).reshape(-1).tolist()
        self._generators = [torch.Generator().manual_seed(number) for number in seeds]

    def _each(self, draw: Callable[..., Tensor], size: Sequence[int], event: int, like: Tensor) -> Tensor:
        size = tuple(size)
        start, end = _place(size, self.batch, event)
        each = size[:start] + size[end:]
        numbers = torch.empty(len(self._generators), *each, dtype=like.dtype)
        for row, generator in zip(numbers, self._generators, strict=True):
            draw(each, generator=generator, out=row)
        return numbers.movedim(0, start).contiguous().reshape(size).to(like.device)

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return self._each(torch.randn, size, event, like)

    def uniform(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return self._each(torch.rand, size, event, like)


class SharedNoise(Noise):
    """The same numbers for every pose (common random numbers), one set after the other.

    Args:
        seed: any whole number.
        batch: shape of the batch.
    """

    def __init__(self, seed: int, batch: Sequence[int]) -> None:
        self.batch = torch.Size(batch)
        self._one = PoseNoise(seed, torch.zeros((), dtype=torch.int64))

    def _shared(self, draw: Callable[..., Tensor], size: Sequence[int], event: int, like: Tensor) -> Tensor:
        size = tuple(size)
        start, end = _place(size, self.batch, event)
        once = draw(size[:start] + size[end:], event, like)
        return once.reshape(size[:start] + (1,) * (end - start) + size[end:]).expand(size)

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return self._shared(self._one.normal, size, event, like)

    def uniform(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        return self._shared(self._one.uniform, size, event, like)


class DrawnNoise(Noise):
    """Normal numbers that were drawn already, for whoever asks for the same sizes in the same order.

    So many poses can be worked on in parts with the numbers that they would get together.

    Args:
        numbers: one tensor for each time that somebody will ask.
    """

    def __init__(self, numbers: Iterable[Tensor]) -> None:
        self._numbers = iter(numbers)

    def normal(self, size: Sequence[int], event: int, like: Tensor) -> Tensor:
        numbers = next(self._numbers)
        if numbers.shape != tuple(size):
            raise ValueError(f"numbers of {tuple(numbers.shape)} were drawn, {tuple(size)} are asked for")
        return numbers


def as_noise(source: Noise | torch.Generator | None) -> Noise:
    """A generator (or None, torch's global one) as a source of numbers."""
    return source if isinstance(source, Noise) else StreamNoise(source)
