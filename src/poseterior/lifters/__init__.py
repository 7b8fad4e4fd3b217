"""Lifters: what is predicted. One file a method; no losses, no critics, no optimisers."""

from .base import Lifter, LifterConfig, load, method, method_names, register
from .saved import list_shipped, read_card

__all__ = [
    "Lifter",
    "LifterConfig",
    "list_shipped",
    "load",
    "method",
    "method_names",
    "read_card",
    "register",
]
