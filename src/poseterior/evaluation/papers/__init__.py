"""The evaluations of the five papers, as their code did them and laid out as they print them: one file a paper."""

from .running import PAPERS, evaluate_paper
from .tables import PaperTable

__all__ = ["PAPERS", "PaperTable", "evaluate_paper"]
