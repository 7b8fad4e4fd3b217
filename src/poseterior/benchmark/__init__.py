"""One honest comparison of lifters: fixed protocols, metrics, checks, and a run that goes on where it stopped."""

from .evaluation import SIZES, best_of_counts, evaluate, hard_poses, listed_poses, select_poses

__all__ = ["SIZES", "best_of_counts", "evaluate", "hard_poses", "listed_poses", "select_poses"]
