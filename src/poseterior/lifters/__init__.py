"""Lifters: what is predicted. One file a method; no losses, no critics, no optimisers."""

from .base import Lifter, LifterConfig, list_shipped, load, method, method_names, read_card, register

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
