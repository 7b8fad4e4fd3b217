"""Normalizing flows on SO(3)^N for human pose (Dünkel et al. 2024, "HuProSO3").

Recipe ``so3-published``: prior ``rotations-published``, objective of the same name. Ours is
`poseterior.lifters.rotations`.
"""

from . import objective, prior

__all__ = ["objective", "prior"]
