"""What Qualisys Track Manager exports (.qca.txt, .xml), and Theia3D writes in nearly the same words.

Lengths of the lens are in 64ths of a pixel, places in millimetres. QTM's camera axes are x right, y up, z backward,
and ``transform`` is the camera's place and, column by column, its axes in the world. In Theia's files, which bear no
version of QTM, ``transform`` takes points of the world into a camera with axes x right, y down, z forward, and the
lens's lengths are pixels (https://docs.theiamarkerless.com, Data formats: calibration files).
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ....files.checks import quote
from ....files.errors import InputError
from ..camera import Camera

NAME = "qualisys"
ABOUT = "Qualisys' .qca.txt or .xml, and Theia3D's: <calibration> of <camera>s with <transform> and <intrinsic>"

#: Attributes of the outermost element that QTM writes and Theia does not.
_QTM = ("qtm-version", "source", "wandLength", "created")
_HALF_TURN = np.diag([1.0, -1.0, -1.0])
#: Parts of a pixel that QTM counts in.
_PARTS = 64.0


def _calibration(data: Any) -> Element | None:
    if not isinstance(data, Element):
        return None
    return data if data.tag == "calibration" else data.find("calibration")


def recognises(data: Any) -> int:
    """``<calibration>`` with cameras that have both elements."""
    found = _calibration(data)
    cameras = [] if found is None else list(found.iter("camera"))
    return int(any(c.find("transform") is not None and c.find("intrinsic") is not None for c in cameras))


def read(data: Any) -> list[Camera]:
    """Cameras that are active, by their serial numbers."""
    found = _calibration(data)
    assert found is not None
    theia = not any(name in found.attrib for name in _QTM)
    cameras = []
    for number, element in enumerate(found.iter("camera")):
        name = element.get("serial") or f"camera {number + 1}"
        lens, place = element.find("intrinsic"), element.find("transform")
        if element.get("active", "1") == "0" or (lens is None and place is None):
            continue
        if lens is None or place is None:
            missing = "intrinsic" if lens is None else "transform"
            raise InputError(f"camera {name!r}: <{missing}> is missing; export the calibration again")
        cameras.append(_camera(name, element, lens, place, theia))
    return cameras


def _camera(name: str, element: Element, lens: Element, place: Element, theia: bool) -> Camera:
    def number(of: Element, field: str, default: float | None = None) -> float:
        text = of.get(field)
        if text is None and default is not None:
            return default
        try:
            value = float(text or "")
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise InputError(f"camera {name!r}: {of.tag} {field}: expected a number, got {quote(text)}")
        return value

    unit = 1.0 if theia else _PARTS
    video = element.find("fov_video")
    left, top = (0.0, 0.0) if video is None else (number(video, "left", 0.0), number(video, "top", 0.0))
    if video is not None:
        size = (number(video, "right") - left + 1.0, number(video, "bottom") - top + 1.0)
    else:
        size = (
            (number(lens, "sensorMaxU") - number(lens, "sensorMinU", 0.0)) / unit,
            (number(lens, "sensorMaxV") - number(lens, "sensorMinV", 0.0)) / unit,
        )
    intrinsics = (
        number(lens, "focalLengthU") / unit,
        number(lens, "focalLengthV") / unit,
        number(lens, "centerPointU") / unit - left,
        number(lens, "centerPointV") / unit - top,
    )
    k1, k2, k3 = (number(lens, f"radialDistortion{i}", 0.0) for i in (1, 2, 3))
    p1, p2 = (number(lens, f"tangentalDistortion{i}", number(lens, f"tangentialDistortion{i}", 0.0)) for i in (1, 2))
    matrix = np.array([[number(place, f"r{i}{j}") for j in (1, 2, 3)] for i in (1, 2, 3)])
    where = np.array([number(place, axis) for axis in "xyz"]) / 1000.0
    if theia:
        return Camera(name, intrinsics, matrix, where, (k1, k2, p1, p2, k3), image_size=size)
    rotation = _HALF_TURN @ matrix
    return Camera(name, intrinsics, rotation, -rotation @ where, (k1, k2, p1, p2, k3), image_size=size)
