"""What every distribution of this package shares, whatever its event: seeds, batch shapes, `expand`, `repr`."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar, final

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.distributions import Distribution

from ..files.errors import InputError
from ..geometry.skeletons import Skeleton
from ..noise import Noise, PoseNoise, StreamNoise

__all__ = ["SeededDistribution"]

_Self = TypeVar("_Self", bound="SeededDistribution")


class SeededDistribution(Distribution):
    """A distribution of torch's whose samplers take a generator or a seed, over the joints of a skeleton.

    The public samplers stand here once: they check what they are given, and return empty tensors for empty batches
    and for no samples, so that no hook ever sees those. A subclass implements `_draw`; `_draw_and_log_prob` where
    draws and their density together are cheaper than one after the other; `_expanded` where naming `batched` is not
    enough; `_details` for its `repr`.

    Attributes:
        skeleton: joint order of the event.
        dtype, device: of the samples.
        batched: names of the attributes that have the batch shape in front (or are None): `expand` expands them.
        has_rsample: whether `rsample` exists.
        has_density: whether `log_prob` exists.

    Args:
        batch_shape: of the distribution.
        event_shape: of one draw.
        skeleton: joint order.
        like: a tensor whose dtype and device the samples have.
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 - torch.distributions' own protocol
    has_density = False
    batched: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, batch_shape: Sequence[int], event_shape: Sequence[int], skeleton: Skeleton, like: Tensor
    ) -> None:
        self.skeleton = skeleton
        self.dtype, self.device = like.dtype, like.device
        self._like = torch.empty(0, dtype=like.dtype, device=like.device)
        #: what is computed once per distribution; a copy with another batch shape starts anew
        self._cache: dict[str, Any] = {}
        super().__init__(torch.Size(batch_shape), torch.Size(event_shape), validate_args=False)

    # -- hooks ---------------------------------------------------------------------------------------------

    def _draw(self, shape: torch.Size, noise: Noise) -> Tensor:
        """Draws ``(*shape, *batch, *event)``, at least one; with gradients if `has_rsample`."""
        raise NotImplementedError(f"{type(self).__name__} must implement _draw")

    def _draw_and_log_prob(self, shape: torch.Size, noise: Noise) -> tuple[Tensor, Tensor]:
        """Draws as `_draw`, and their log-density ``(*shape, *batch)``."""
        drawn = self._draw(shape, noise)
        return drawn, self.log_prob(drawn)

    def _expanded(self: _Self, batch_shape: torch.Size) -> _Self:
        """The same distribution for each element of a larger batch."""
        new = copy.copy(self)
        new._batch_shape, new._cache = batch_shape, {}
        for name in self.batched:
            value = getattr(self, name)
            if value is not None:
                setattr(new, name, value.expand(*batch_shape, *value.shape[len(self.batch_shape) :]))
        return new

    def _details(self) -> dict[str, Any]:
        """What `repr` says beside the batch shape and the skeleton."""
        return {}

    def _kept(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """A part that is asked for more than once; made anew where gradients count, which what is kept has none of."""
        if torch.is_grad_enabled():
            return make()
        if name not in self._cache:
            self._cache[name] = make()
        found: Tensor = self._cache[name]
        return found

    # -- randomness ----------------------------------------------------------------------------------------

    def _normal(self, noise: Noise, *size: int, event: int = 1) -> Tensor:
        """Standard normal numbers ``(*any, *batch, *event)``; ``event``: how many dimensions follow the batch's."""
        return noise.normal(size, event, self._like)

    def _uniform(self, noise: Noise, *size: int, event: int = 1) -> Tensor:
        """Uniform numbers from 0 to below 1, likewise."""
        return noise.uniform(size, event, self._like)

    def _keys(self) -> Int[Tensor, "*batch"]:
        """What tells the elements of the batch apart for `PoseNoise`: here their places."""
        return torch.arange(self.batch_shape.numel()).reshape(self.batch_shape)

    # -- samplers ------------------------------------------------------------------------------------------

    @final
    @torch.no_grad()
    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None, seed: int | None = None
    ) -> Tensor:
        """Draw ``(*sample_shape, *batch, *event)``, without gradients. The same seed gives the same draws.

        Args:
            sample_shape: of the draws of each element of the batch.
            generator: source of randomness, on the distribution's device; its numbers go round the whole batch, so
                that an element's draws depend on the others.
            seed: in place of a generator: each element has random numbers of its own, derived from the seed and, for
                poses of keypoints, from `Keypoints2D.keys`, else from its place. So a pose's draws are the same alone
                and in any company. With neither, torch's global generator is used.

        Raises:
            InputError: a sample shape that is none, a seed that is no whole number, a generator of another device, or
                both a generator and a seed.
        """
        return self._draw_any(*self._checked(sample_shape, generator, seed))

    @final
    def rsample(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None, seed: int | None = None
    ) -> Tensor:
        """As `sample`, with gradients to the distribution's parameters.

        Raises:
            NotImplementedError: the distribution has none (`has_rsample`).
            InputError: as `sample`.
        """
        if not self.has_rsample:
            raise NotImplementedError(f"{type(self).__name__} has no samples with gradients: use sample")
        return self._draw_any(*self._checked(sample_shape, generator, seed))

    @final
    @torch.no_grad()
    def sample_and_log_prob(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None, seed: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draws as `sample`, and their log-density ``(*sample_shape, *batch)`` in nats: often cheaper than apart.

        Raises:
            NotImplementedError: the distribution has no density.
            InputError: as `sample`.
        """
        if not self.has_density:
            raise self.no_density()
        shape, source = self._checked(sample_shape, generator, seed)
        if (shape + self.batch_shape).numel():
            return self._draw_and_log_prob(shape, source)
        drawn = self._draw_any(shape, source)
        return drawn, drawn.new_zeros(shape + self.batch_shape)

    def _draw_any(self, shape: torch.Size, noise: Noise) -> Tensor:
        """`_draw`, and nothing where there is nothing to draw."""
        if (shape + self.batch_shape).numel():
            return self._draw(shape, noise)
        return torch.zeros(shape + self.batch_shape + self.event_shape, dtype=self.dtype, device=self.device)

    def _checked(
        self, sample_shape: Sequence[int], generator: torch.Generator | None, seed: int | None
    ) -> tuple[torch.Size, Noise]:
        """What the hooks get for the arguments of `sample`. Raises `InputError` as that says."""
        shape = _sizes(sample_shape)
        if generator is None:
            number = _whole(seed)
            return shape, StreamNoise() if number is None else PoseNoise(number, self._keys())
        if seed is not None:
            raise InputError("give a generator or a seed, not both")
        if generator.device.type != self.device.type:
            raise InputError(
                f"generator: is on {generator.device}, the distribution on {self.device}; "
                f"make it by torch.Generator(device={str(self.device)!r})"
            )
        return shape, StreamNoise(generator)

    def _as_draws(self, value: Tensor) -> Tensor:
        """What `log_prob` is asked for, in the distribution's precision, its batch shape broadcast with its own.

        Raises:
            InputError: the shapes do not fit.
        """
        before = len(value.shape) - len(self.event_shape)
        try:
            if value.shape[max(before, 0) :] != self.event_shape:
                raise ValueError
            batch = np.broadcast_shapes(value.shape[:before], self.batch_shape)  # torch's loads all of sympy
        except ValueError:
            expected = ", ".join(["*samples", *map(str, self.batch_shape + self.event_shape)])
            raise InputError(
                f"value has shape {tuple(value.shape)}; expected ({expected}) of {self.skeleton.name}"
            ) from None
        return value.to(self.dtype).expand(*batch, *self.event_shape)

    # -- the rest ------------------------------------------------------------------------------------------

    def expand(self: _Self, batch_shape: Sequence[int], _instance: Any = None) -> _Self:
        """The same distribution for each element of a larger batch, whose draws are independent of one another.

        Args:
            batch_shape: the present one must broadcast to it.

        Raises:
            InputError: it does not.
        """
        shape = torch.Size(batch_shape)
        if not _broadcasts(self.batch_shape, shape):
            raise InputError(f"expand: batch shape {tuple(self.batch_shape)} does not broadcast to {tuple(shape)}")
        return self._expanded(shape)

    def no_density(self) -> NotImplementedError:
        """The error that `log_prob` raises where a density does not exist."""
        return NotImplementedError(
            f"{type(self).__name__} has no density: log_prob is not defined for it; use samples instead"
        )

    def __repr__(self) -> str:
        parts = {"batch_shape": tuple(self.batch_shape), "skeleton": self.skeleton.name} | self._details()
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in parts.items())})"


def _sizes(shape: Any) -> torch.Size:
    try:
        sizes = [operator.index(size) for size in shape]
    except TypeError:
        sizes = [-1]
    if any(size < 0 for size in sizes):
        raise InputError(f"sample_shape: expected a tuple of whole numbers, e.g. (200,), got {shape!r}")
    return torch.Size(sizes)


def _whole(seed: Any) -> int | None:
    if seed is None:
        return None
    try:
        return operator.index(seed)
    except TypeError:
        raise InputError(f"seed: expected a whole number, got {seed!r}") from None


def _broadcasts(small: Sequence[int], large: Sequence[int]) -> bool:
    """Whether a tensor of the first shape can be expanded to the second."""
    if len(small) > len(large):
        return False
    return all(a in (1, b) for a, b in zip(reversed(small), reversed(large), strict=False))
