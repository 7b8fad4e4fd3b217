"""What a user tells of all keypoints at once: the camera, the height, the frame rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..files.errors import InputError
from .keypoints import Keypoints2D

__all__ = ["Told"]


@dataclass(frozen=True)
class Told:
    """Told of every picture; None where it is not.

    Attributes:
        intrinsics: fx, fy, cx, cy in pixels.
        focal: focal length in pixels, of cameras whose principal point is the image centre; not beside intrinsics.
        height: of the person, metres.
        fps: frames per second.
    """

    intrinsics: tuple[float, ...] | None = None
    focal: float | None = None
    height: float | None = None
    fps: float | None = None

    def __call__(self, keypoints: Keypoints2D) -> Keypoints2D:
        """The keypoints with all this, which results keep.

        Raises:
            InputError: a focal length, but pictures of unknown size.
        """
        intrinsics: object = None if self.intrinsics is None else list(self.intrinsics)
        if self.focal is not None:
            sizes = keypoints.image_size.numpy()
            if not np.isfinite(sizes).all():
                raise InputError("--focal: the image size is not known; pass --image-size WIDTH HEIGHT too")
            focal = np.full((len(sizes), 1), self.focal)
            intrinsics = np.concatenate([focal, focal, sizes / 2], -1)
        found = keypoints.with_camera(intrinsics=intrinsics, height=self.height)
        if self.fps is not None:
            found.rates = dict.fromkeys((identity.file for identity in found.ids), self.fps)
        return found
