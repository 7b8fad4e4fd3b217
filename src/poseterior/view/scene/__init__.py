"""The offline 3D page of a result: `data` describes it, `page` writes it, ``static/`` draws it in the browser."""

from __future__ import annotations

from ..tracks import SceneOptions, Track, tracks_of
from .page import PAGE_OPTIONS, scene_html, write_html

__all__ = ["PAGE_OPTIONS", "SceneOptions", "Track", "scene_html", "tracks_of", "write_html"]
