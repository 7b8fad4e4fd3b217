"""Lifters: what is predicted. One file per method; no losses, no critics, no optimisers."""

from .base import (
    ArticulatedLifter,
    Lifter,
    LifterConfig,
    Model,
    Prior,
    load,
    load_model,
    load_prior,
    method,
    method_names,
    model_class,
    prior_names,
    register,
)
from .saved import list_shipped, read_card

__all__ = [
    "ArticulatedLifter",
    "Lifter",
    "LifterConfig",
    "Model",
    "Prior",
    "list_shipped",
    "load",
    "load_model",
    "load_prior",
    "method",
    "method_names",
    "model_class",
    "prior_names",
    "read_card",
    "register",
]
