"""Pictures of results: a summary figure (matplotlib), an offline 3D page, and a live viewer (viser)."""

from __future__ import annotations

from .angles import angles_figure, save_angles
from .evaluation import best_of_figure, save_evaluation_figures, spread_figure
from .photograph import photo_figure, save_photo_figure
from .plots import hypotheses_figure, save_hypotheses, save_summary, summary_figure
from .scene import write_html
from .server import serve

__all__ = [
    "angles_figure",
    "best_of_figure",
    "hypotheses_figure",
    "photo_figure",
    "save_angles",
    "save_evaluation_figures",
    "save_hypotheses",
    "save_photo_figure",
    "save_summary",
    "serve",
    "spread_figure",
    "summary_figure",
    "write_html",
]
