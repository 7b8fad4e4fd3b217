"""One pass that measures everything: `evaluate` for one lifter, the benchmark for many."""

from .measure import evaluate

__all__ = ["evaluate"]
