"""A calibrated camera: where it stands, which way it looks, and what its lens does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import quote
from ...files.errors import InputError
from ...geometry.cameras import pixels_to_plane
from ...geometry.lenses import MOST_COEFFICIENTS, undistort
from ..keypoints import Keypoints2D

__all__ = ["Camera", "rotation_of_vector"]

#: How far a matrix may be from a rotation.
_ROTATION = 1e-3


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera of several that are calibrated together.

    A point ``X`` of the world is at ``rotation @ X + translation`` in the camera's axes: x right, y down, z forward.

    >>> import numpy as np
    >>> Camera("left", (1000.0, 1000.0, 640.0, 360.0), np.eye(3), [1.0, 2.0, 3.0]).place.tolist()
    [-1.0, -2.0, -3.0]

    Attributes:
        name: by which files of keypoints are told apart.
        intrinsics: ``(fx, fy, cx, cy)`` px; the middle of the first pixel is where the calibration has it.
        rotation: ``(3, 3)`` from the world's axes to the camera's.
        translation: ``(3,)`` metres: the world's origin in the camera's axes.
        distortion: coefficients of the lens, see `poseterior.geometry.lenses`.
        fisheye: which of the two lens models they are of.
        image_size: ``(width, height)`` px; None where the calibration does not tell.

    Raises:
        InputError: a number that no camera has; names the camera and the field.
    """

    name: str
    intrinsics: tuple[float, float, float, float]
    rotation: Float[NDArray[np.float64], "3 3"]
    translation: Float[NDArray[np.float64], " 3"]
    distortion: tuple[float, ...] = ()
    fisheye: bool = False
    image_size: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name, shape, unit in (
            ("intrinsics", (4,), "(fx, fy, cx, cy) px"),
            ("rotation", (3, 3), "a 3x3 matrix"),
            ("translation", (3,), "3 numbers, metres"),
        ):
            put(self, name, self._numbers(name, getattr(self, name), shape, unit))
        put(self, "intrinsics", tuple(np.asarray(self.intrinsics).tolist()))
        if min(self.intrinsics[:2]) <= 0:
            raise self._wrong("intrinsics", "focal lengths above 0 px", self.intrinsics[:2])
        gap = np.abs(self.rotation @ self.rotation.T - np.eye(3)).max()
        if gap > _ROTATION or np.linalg.det(self.rotation) < 0:
            raise self._wrong("rotation", "a rotation matrix (orthonormal, determinant 1)", self.rotation.tolist())
        left, _, right = np.linalg.svd(self.rotation)
        put(self, "rotation", left @ right)
        most = MOST_COEFFICIENTS["fisheye" if self.fisheye else "brown"]
        given = np.asarray(self.distortion, dtype=np.float64).reshape(-1)
        if len(given) > most and not given[most:].any():
            given = given[:most]
        if len(given) > most or not np.isfinite(given).all():
            raise self._wrong("distortion", f"at most {most} numbers", given.tolist())
        put(self, "distortion", tuple(given.tolist()))
        if self.image_size is not None:
            size = self._numbers("image_size", self.image_size, (2,), "(width, height) px")
            if size.min() <= 0:
                raise self._wrong("image_size", "(width, height) above 0 px", size.tolist())
            put(self, "image_size", tuple(size.tolist()))

    def _wrong(self, field: str, expected: str, found: Any) -> InputError:
        return InputError(f"camera {self.name!r}: {field}: expected {expected}, got {quote(found)}")

    def _numbers(self, field: str, value: Any, shape: tuple[int, ...], expected: str) -> NDArray[np.float64]:
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise self._wrong(field, expected, value) from None
        if array.shape != shape or not np.isfinite(array).all():
            raise self._wrong(field, expected, array.tolist())
        return array

    def __repr__(self) -> str:
        x, y, z = self.place
        return f"Camera({self.name!r}, at ({x:.2f}, {y:.2f}, {z:.2f}) m)"

    @property
    def place(self) -> Float[NDArray[np.float64], " 3"]:
        """Where the camera is in the world, metres."""
        return -self.rotation.T @ self.translation

    def undistorted(self, keypoints: Keypoints2D) -> Keypoints2D:
        """The keypoints as this camera would see them without its lens's distortion, with its intrinsics.

        Covariances are carried along to first order. Keypoints where the lens model has no inverse (far outside of the
        picture) are missing in what is returned.
        """
        intrinsics = torch.tensor(self.intrinsics, dtype=torch.float64, device=keypoints.device)
        focal = intrinsics[:2]
        plane = undistort(pixels_to_plane(keypoints.xy.double(), intrinsics), self.distortion, self.fisheye)
        xy = plane.points * focal + intrinsics[2:]
        slope = plane.jacobian * focal.unsqueeze(-1) / focal
        covariance = slope @ keypoints.covariance.double() @ slope.mT
        told = keypoints.with_camera(intrinsics=self.intrinsics, image_size=self._size(keypoints))
        return told._replace(
            xy=xy.float(), covariance=covariance.float(), visible=keypoints.visible & plane.found & _near(xy)
        )

    def _size(self, keypoints: Keypoints2D) -> Any:
        known = bool(keypoints.image_size.isfinite().all())
        return None if known or self.image_size is None else self.image_size


def _near(xy: Tensor) -> Tensor:
    """Undistorted pixels that are within what keypoints may be."""
    return (xy.abs() < 1e6).all(-1)


def rotation_of_vector(vector: Float[NDArray[np.float64], " 3"]) -> Float[NDArray[np.float64], "3 3"]:
    """The rotation about a vector by its length in radians (Rodrigues)."""
    import roma

    return roma.rotvec_to_rotmat(torch.from_numpy(np.array(vector, dtype=np.float64))).numpy()
