"""Cameras that are calibrated together, and the files that tell of them."""

from .camera import Camera
from .reading import read_cameras

__all__ = ["Camera", "read_cameras"]
