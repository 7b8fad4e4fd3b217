"""Conditional normalizing flow (Wehrbein et al., ICCV 2021, arXiv 2107.13788).

Recipes ``flow-published`` and ``flow-published-h36m``: lifter ``flow-published``, objective ``samples``. Ours is
`poseterior.lifters.flow`.
"""

from . import lifter, objective

__all__ = ["lifter", "objective"]
