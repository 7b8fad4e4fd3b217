"""npy and npz arrays of keypoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...files.checks import Array
from ...files.errors import InputError
from ...geometry.skeletons import Skeleton, get_skeleton
from ..depths import IK, pairs_look_flat, refuse_depths
from ..detections import Detections, Options
from ..documents import ArrayFile
from ..joint_names import skeleton_of
from ..keypoints import PoseId
from ..rates import rate_of
from .mediapipe import refuse_world

NAME = "numpy"
ABOUT = "npy or npz of shape (frames, joints*2), (frames, joints, 2|3) or (joints, 2|3); MediaPipe's (frames, 33*4)"
EXAMPLE = "numpy.save('keypoints.npy', xy)  # xy: (frames, joints, 2), or 3 with a confidence; px, NaN: missing"
#: Made of an `ArrayFile`, not of JSON.
KIND = "arrays"

#: Numbers of a frame of MediaPipe's landmarks x, y, z, visibility as people flatten them: the 33 of the body, then
#: nothing, both hands, the face, or the face and both hands.
_LANDMARKS = frozenset(33 * 4 + 3 * more for more in (0, 2 * 21, 468, 478, 468 + 2 * 21, 478 + 2 * 21))

#: Arrays that we read from an npz, and the kinds of number they may hold.
_FIELDS = {
    "keypoints": "fiu",
    "confidence": "fiu",
    "covariance": "fiu",
    "visible": "biu",
    "image_size": "fiu",
    "intrinsics": "fiu",
    "height": "fiu",
    "amplitude": "fiu",
    "fps": "fiu",
}


def recognises(data: Any) -> int:
    """Any npy or npz file."""
    return int(isinstance(data, ArrayFile))


def read(data: ArrayFile, options: Options) -> list[Detections]:
    """Keypoints from an npy or npz file.

    The array (npz: ``keypoints``, or the only one) is (frames, joints*2), (frames, joints, 2|3) or
    (joints, 2|3), the third number a confidence; NaN is a missing joint. MediaPipe's landmarks are (frames, 33, 4) or
    flat (frames, 132 and more): x, y, z, visibility, of which z is not used, and points of hands and face follow. An
    npz may also hold ``confidence``, ``visible``, ``amplitude`` (frames, joints), ``covariance`` (frames, joints) px or
    (frames, joints, 2, 2) px², ``image_size``, ``intrinsics`` and ``height``, each for all frames or for one. Without
    a skeleton the number of joints must belong to one named skeleton only.

    Raises:
        InputError: 3D points, a wrong shape or type, a header that claims more than the file holds, an archive that
            unpacks out of all proportion.
    """
    arrays = _load(data)
    marks = _landmarks(arrays["keypoints"], options.skeleton)
    xy, confidence, skeleton = _poses(arrays["keypoints"], options) if marks is None else marks
    count, joints = xy.shape[:2]

    def field(name: str, *shapes: tuple[int, ...]) -> Array | None:
        array = arrays.get(name)
        if array is None:
            return None
        for shape in shapes:
            if array.shape == shape:
                return array
            if array.shape == shape[1:]:
                return np.broadcast_to(array, shape).copy()
        expected = " or ".join(map(str, shapes))
        raise InputError(f"{name}: array of shape {array.shape}; expected {expected}")

    visible = field("visible", (count, joints))
    given = field("confidence", (count, joints))
    size = field("image_size", (count, 2))
    if size is None and options.image_size is not None:
        size = np.tile(options.image_size, (count, 1))
    return [
        Detections(
            skeleton,
            [PoseId(options.file, i, 0) for i in range(count)],
            xy,
            confidence if given is None else given.astype(np.float64),
            covariance=field("covariance", (count, joints, 2, 2), (count, joints)),
            visible=None if visible is None else visible.astype(bool),
            image_size=size,
            intrinsics=field("intrinsics", (count, 4)),
            height=field("height", (count,)),
            amplitude=field("amplitude", (count, joints)),
            tracked=[True] * count,
            fps=rate_of(arrays["fps"].item()) if "fps" in arrays and arrays["fps"].size == 1 else None,
            normalised=None if marks is None else "unit",
        )
    ]


# -- shapes --------------------------------------------------------------------------------------------


def _landmarks(array: Array, skeleton: Skeleton | None) -> tuple[Array, Array, Skeleton] | None:
    """As `_poses`, of MediaPipe's landmarks (frames, 33, 4) or flat; None of other arrays."""
    order, shape = get_skeleton("mediapipe33"), array.shape
    flat = len(shape) in (1, 2) and shape[-1] in _LANDMARKS
    if not (flat or (len(shape) in (2, 3) and shape[-2:] == (33, 4))) or skeleton not in (None, order):
        return None
    values = (array[..., : 33 * 4] if flat else array).astype(np.float64).reshape(-1, 33, 4)
    refuse_world(values[..., :2])
    return values[..., :2], values[..., 3], order


def _poses(array: Array, options: Options) -> tuple[Array, Array, Skeleton]:
    """xy (frames, joints, 2), confidence (frames, joints) and the joint order of an array."""
    shape = array.shape
    if array.ndim == 2 and shape[1] in (2, 3):
        array = array[None]
    elif array.ndim == 2 and shape[1] % 2 == 0 and shape[1] > 0:
        _refuse_flat_triples(array, options.skeleton)
        array = array.reshape(shape[0], shape[1] // 2, 2)
    if array.ndim != 3 or array.shape[2] not in (2, 3):
        triples = ""
        if shape[-1:] and shape[-1] > 3 and shape[-1] % 3 == 0:
            triples = f"; x, y and score as (frames, {shape[-1] // 3}, 3); {IK}"
        raise InputError(
            f"array of shape {shape}; expected (frames, joints*2), (frames, joints, 2 or 3) or (joints, 2 or 3)"
            f"{triples}"
        )
    values = array.astype(np.float64)
    if values.shape[2] == 3 and options.confidence_scale is None:
        refuse_depths(values[..., :2], values[..., 2])
    skeleton = skeleton_of(array.shape[1], shape, options.skeleton, values[..., :2])
    confidence = values[..., 2] if values.shape[2] == 3 else np.ones(values.shape[:2])
    return values[..., :2], confidence, skeleton


def _refuse_flat_triples(array: Array, skeleton: Skeleton | None) -> None:
    """Refuse ``(frames, joints*3)`` numbers that are no places in a picture, where they may be pairs, too."""
    columns = array.shape[1]
    if columns % 3 or (skeleton is not None and 2 * len(skeleton) == columns):
        return
    if (skeleton is not None and 3 * len(skeleton) == columns) or not pairs_look_flat(array.astype(np.float64)):
        raise InputError(
            f"array of shape {array.shape}: {columns // 3} joints of x, y, z rather than {columns // 2} of x, y; {IK} "
            f"as (frames, {columns // 3}, 3)"
        )


def _load(file: ArrayFile) -> dict[str, Array]:
    if "keypoints" in file.names:
        return file.load(_FIELDS)
    others = [name for name in file.names if name not in _FIELDS]
    if len(others) != 1:
        listed = ", ".join(repr(name)[:40] for name in file.names[:10]) or "nothing"
        raise InputError(f"npz: no array named 'keypoints'; it holds {listed}")
    arrays = file.load({others[0]: _FIELDS["keypoints"], **_FIELDS})
    return {"keypoints": arrays.pop(others[0]), **arrays}
