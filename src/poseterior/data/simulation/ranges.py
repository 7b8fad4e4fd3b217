"""Numbers drawn within the ranges of a recipe."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

__all__ = ["log_uniform", "uniform"]


def uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def log_uniform(low: float, high: float, shape: tuple[int, ...], generator: Generator) -> Tensor:
    return uniform(math.log(low), math.log(high), shape, generator).exp()
