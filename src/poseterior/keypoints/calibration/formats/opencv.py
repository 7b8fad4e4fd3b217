"""What OpenCV's ``FileStorage`` writes (YAML, XML or JSON): one camera for a file, or one for each mapping in it.

Fields by the names that OpenCV's own samples, ROS and users of ``calibrateCamera`` and ``solvePnP`` give them.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ....files.errors import InputError
from ..camera import Camera, rotation_of_vector
from ..fields import camera_matrix, numbers_of, size_of

NAME = "opencv"
ABOUT = "OpenCV's FileStorage (yml, xml, json): camera_matrix, distortion_coefficients, rvec or R, tvec (metres)"

_MATRIX = ("camera_matrix", "cameramatrix", "k", "m", "mtx", "intrinsic_matrix", "intrinsics")
_LENS = ("distortion_coefficients", "dist_coeffs", "distcoeffs", "distortion", "dist", "d")
_VECTOR = ("rvec", "rvecs", "rotation_vector")
_ROTATION = ("r", "rotation", "rotation_matrix", "rmat")
_PLACE = ("t", "tvec", "tvecs", "translation", "translation_vector")
_WIDTH, _HEIGHT, _SIZE = ("image_width", "width"), ("image_height", "height"), ("image_size", "imagesize", "size")


def recognises(data: Any) -> int:
    """A camera matrix at the top, or one level below."""
    if isinstance(data, Element):
        return int(data.tag == "opencv_storage")
    return 2 * int(any(_found(part, _MATRIX) is not None for part in _parts(data)))


def _parts(data: Any) -> list[dict[str, Any]]:
    """The mapping itself, and those in it."""
    if not isinstance(data, dict):
        return []
    entries = [value for value in data.values() if isinstance(value, dict) and "data" not in value]
    listed = [e for value in data.values() if isinstance(value, list) for e in value if isinstance(e, dict)]
    return [data, *entries, *listed]


def _found(table: dict[str, Any], names: tuple[str, ...]) -> Any:
    lower = {str(key).lower(): value for key, value in table.items()}
    return next((lower[name] for name in names if name in lower), None)


def read(data: Any) -> list[Camera]:
    """``R`` or ``rvec`` (radians) and ``t`` take points of the world into the camera."""
    data = _plain(data) if isinstance(data, Element) else data
    if _found(data, _MATRIX) is not None:
        return [_camera(data, str(data.get("camera_name", data.get("name", ""))))]
    cameras = []
    for key, value in data.items():
        entries = value if isinstance(value, list) else [value]
        for number, entry in enumerate(entries):
            if isinstance(entry, dict) and _found(entry, _MATRIX) is not None:
                own = f"{key}{number}" if isinstance(value, list) else str(key)
                cameras.append(_camera(entry, str(entry.get("camera_name", entry.get("name", own)))))
    return cameras


def _camera(table: dict[str, Any], name: str) -> Camera:
    vector, matrix, place = (_found(table, names) for names in (_VECTOR, _ROTATION, _PLACE))
    if place is None or (vector is None and matrix is None):
        missing = "T (or tvec)" if place is None else "R (or rvec)"
        raise InputError(
            f"camera {name!r}: field {missing} is missing: the file tells the lens but not where the camera stands; "
            "write the result of solvePnP into it"
        )
    rotation = _matrix(matrix if vector is None else vector, name, "R" if vector is None else "rvec")
    if rotation.size not in (3, 9):
        raise InputError(f"camera {name!r}: R: expected 3 (radians) or 3x3 numbers, got {rotation.size}")
    size = _found(table, _SIZE)
    if size is None and _found(table, _WIDTH) is not None and _found(table, _HEIGHT) is not None:
        size = [_found(table, _WIDTH), _found(table, _HEIGHT)]
    lens = _found(table, _LENS)
    model = str(_found(table, ("distortion_model", "camera_model", "model")) or "").lower()
    return Camera(
        name,
        camera_matrix(_matrix(_found(table, _MATRIX), name, "camera_matrix"), name, "camera_matrix"),
        rotation.reshape(3, 3) if rotation.size == 9 else rotation_of_vector(rotation.reshape(3)),
        _matrix(place, name, "T").reshape(-1),
        () if lens is None else tuple(_matrix(lens, name, "distortion_coefficients").reshape(-1)),
        bool(_found(table, ("fisheye",)) or "fisheye" in model or "equidistant" in model),
        size_of(size if size is None else _matrix(size, name, "image_size"), name, "image_size"),
    )


def _matrix(value: Any, name: str, field: str) -> np.ndarray:
    """A matrix as ``FileStorage`` writes it, or as plain lists."""
    if isinstance(value, dict):
        rows, cols = value.get("rows"), value.get("cols")
        numbers = numbers_of(value.get("data"), name, field).reshape(-1)
        if not isinstance(rows, int) or not isinstance(cols, int) or rows * cols != numbers.size:
            raise InputError(
                f"camera {name!r}: {field}: has {numbers.size} numbers; expected rows {rows} x cols {cols}"
            )
        return numbers.reshape(rows, cols)
    return numbers_of(value, name, field)


def _plain(element: Element) -> Any:
    """What JSON would say instead."""
    children = list(element)
    if not children:
        text = (element.text or "").strip()
        return _number(text)
    if element.get("type_id") == "opencv-matrix":
        words = (element.findtext("data") or "").split()
        return {
            "rows": _number((element.findtext("rows") or "").strip()),
            "cols": _number((element.findtext("cols") or "").strip()),
            "data": [_number(word) for word in words],
        }
    if all(child.tag == "_" for child in children):
        return [_plain(child) for child in children]
    return {child.tag: _plain(child) for child in children}


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    parts = text.split()
    try:
        return [float(part) for part in parts] if len(parts) > 1 else text
    except ValueError:
        return text
