"""How wrong a detector's keypoints are, fitted: to calibrated films, or to pictures with known keypoints."""

from __future__ import annotations

from .calibrate import calibrated_on_films, calibrated_on_pictures

__all__ = ["calibrated_on_films", "calibrated_on_pictures"]
