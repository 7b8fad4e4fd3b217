"""npy and npz arrays of keypoints. Every header is checked against the bytes that are there before use."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ...files.checks import Array
from ...files.errors import InputError
from ...files.npz import NPY_MAGIC, check_header, load_entry, open_npz
from ...geometry.skeletons import SKELETONS, Skeleton, get_skeleton
from ..keypoints import PoseId
from .common import RESULT, Detections, Options, UnknownContent, is_result_schema, skeleton_remedy

#: Arrays that we read from an npz, and the kinds of number (NumPy's dtype.kind) they may hold.
NPZ_FIELDS = {
    "keypoints": "fiu",
    "confidence": "fiu",
    "covariance": "fiu",
    "visible": "biu",
    "image_size": "fiu",
    "intrinsics": "fiu",
    "height": "fiu",
    "amplitude": "fiu",
}


def read_arrays(path: Path, options: Options) -> list[Detections]:
    """Keypoints from an npy or npz file.

    The array (npz: ``keypoints``, or the only one) is (frames, joints*2), (frames, joints, 2|3) or
    (joints, 2|3), the third number a confidence; NaN is a missing joint. An npz may also hold ``confidence``,
    ``visible``, ``amplitude`` (frames, joints), ``covariance`` (frames, joints) px or (frames, joints, 2, 2) px²,
    ``image_size``, ``intrinsics`` and ``height``, each for all frames or for one. Without a skeleton the
    number of joints must belong to one named skeleton only.

    Raises:
        InputError: a wrong shape or type, a header that claims more than the file holds, an archive that
            unpacks out of all proportion.
    """
    with path.open("rb") as stream:
        start = stream.read(6)
    arrays = {"keypoints": _load_npy(path)} if start == NPY_MAGIC else _load_npz(path)
    xy, confidence, skeleton = _poses(arrays["keypoints"], options)
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
        )
    ]


# -- shapes --------------------------------------------------------------------------------------------


def _poses(array: Array, options: Options) -> tuple[Array, Array, Skeleton]:
    """xy (frames, joints, 2), confidence (frames, joints) and the joint order of an array."""
    shape = array.shape
    if array.ndim == 2 and shape[1] in (2, 3):
        array = array[None]
    elif array.ndim == 2 and shape[1] % 2 == 0 and shape[1] > 0:
        array = array.reshape(shape[0], shape[1] // 2, 2)
    if array.ndim != 3 or array.shape[2] not in (2, 3):
        raise InputError(
            f"array of shape {shape}; expected (frames, joints*2), (frames, joints, 2 or 3) or (joints, 2 or 3)"
        )
    skeleton = skeleton_of(array.shape[1], shape, options)
    values = array.astype(np.float64)
    confidence = values[..., 2] if values.shape[2] == 3 else np.ones(values.shape[:2])
    return values[..., :2], confidence, skeleton


def skeleton_of(joints: int, shape: tuple[int, ...], options: Options) -> Skeleton:
    """The skeleton asked for, else the only one with as many joints, for an array of this shape."""
    skeleton = options.skeleton
    if skeleton is not None:
        if len(skeleton) != joints:
            raise InputError(
                f"array of shape {shape} has {joints} joints; skeleton {skeleton.name!r} has {len(skeleton)}"
                f"{skeleton_remedy(options)}"
            )
        return skeleton
    fitting = [s.name for s in SKELETONS.values() if len(s) == joints]
    if len(fitting) == 1:
        return get_skeleton(fitting[0])
    if fitting:
        raise InputError(f"{joints} joints may be {' or '.join(fitting)}: pass --skeleton (skeleton=... in Python)")
    known = ", ".join(f"{s.name} ({len(s)})" for s in SKELETONS.values())
    raise InputError(f"array of shape {shape} has {joints} joints; no skeleton has as many: {known}")


def _load_npy(path: Path) -> Array:
    with path.open("rb") as stream:
        check_header(stream, path.stat().st_size, NPZ_FIELDS["keypoints"], "array")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"array: cannot be read ({error})") from None


def _load_npz(path: Path) -> dict[str, Array]:
    with open_npz(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "schema" in entries and _is_result(archive, entries["schema"]):
            raise UnknownContent(RESULT)
        if "keypoints" not in entries:
            others = [name for name in entries if name not in NPZ_FIELDS]
            if len(others) != 1:
                listed = ", ".join(repr(name)[:40] for name in list(entries)[:10]) or "nothing"
                raise InputError(f"npz: no array named 'keypoints'; it holds {listed}")
            entries["keypoints"] = entries[others[0]]
        return {
            name: load_entry(archive, entries[name], kinds) for name, kinds in NPZ_FIELDS.items() if name in entries
        }


def _is_result(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether this is the ``schema`` of one of our results; an array of that name may hold anything."""
    if info.file_size > 4096:
        return False
    try:
        array = load_entry(archive, info, "U")
    except InputError:
        return False
    return array.ndim == 0 and is_result_schema(array.item())
