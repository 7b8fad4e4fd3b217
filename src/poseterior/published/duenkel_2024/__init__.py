"""Normalizing flows on SO(3)^N for human pose (Dünkel et al. 2024, "HuProSO3")."""

from . import lifter, objective

__all__ = ["lifter", "objective"]
