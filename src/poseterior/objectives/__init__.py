"""Objectives: what a lifter learns from. One file per way of learning; an objective owns its auxiliary networks."""

from .base import Objective, make_objective, objective_names, register_objective

__all__ = ["Objective", "make_objective", "objective_names", "register_objective"]
