"""One honest comparison of lifters: fixed protocols, metrics, checks, and a run that goes on where it stopped."""

from .evaluation import SIZES, best_of_counts, evaluate, hard_poses, listed_poses, select_poses, spread_poses
from .measure import measure
from .plan import Contender, Planned, contenders, plan
from .run import Settings, run_benchmark

__all__ = [
    "SIZES",
    "Contender",
    "Planned",
    "Settings",
    "best_of_counts",
    "contenders",
    "evaluate",
    "hard_poses",
    "listed_poses",
    "measure",
    "plan",
    "run_benchmark",
    "select_poses",
    "spread_poses",
]
