"""Pictures of results: a summary figure (matplotlib), an offline 3D page and a live viewer (viser)."""

from __future__ import annotations

from .plots import save_summary, summary_figure
from .scene import write_html
from .server import serve

__all__ = ["save_summary", "serve", "summary_figure", "write_html"]
