"""poseterior: 2D human keypoints in, a probability distribution over 3D poses out."""

from __future__ import annotations

__version__ = "0.1.0"
