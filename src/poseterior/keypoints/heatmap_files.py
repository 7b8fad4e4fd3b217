"""Files of detector heatmaps, and of the keypoints that are fitted to them."""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..files.checks import Array, absent, naming
from ..files.errors import InputError
from ..files.npz import check_entry, check_header, load_entry, open_npz
from ..files.reading import reader, reading
from ..files.writing import atomic_write
from ..geometry.skeletons import Skeleton, get_skeleton
from .heatmaps import HeatmapGaussians, box_transform, off_scale
from .joint_names import covering_skeleton, refuse_unknown, resolve_names, skeleton_of, temporary_skeleton
from .keypoints import Keypoints2D

__all__ = [
    "HeatmapFile",
    "read_heatmaps",
    "save_keypoints",
]

#: Arrays beside ``heatmaps``, and the kinds (NumPy's dtype.kind) that they may hold.
_FIELDS = {"joint_names": "U", "boxes": "fiu", "scale": "fiu", "offset": "fiu", "image_size": "fiu"}
#: Pixels that are read at once; no pose's heatmaps have as many.
_BLOCK_PIXELS = 2**24


@dataclass(frozen=True)
class HeatmapFile:
    """An npz file of heatmaps, whose `blocks` are read one after the other: it may be larger than the memory.

    Attributes:
        path: the file.
        shape: poses, joints, height, width.
        joints: skeleton with the file's joint order.
        target: skeleton that the keypoints are to be put into, by joint name.
        scale, offset: from heatmap to image px, ``(2,)`` or ``(poses, 2)``; 1 and 0 where the file does not tell.
        placed: whether the file tells.
        image_size: ``(2,)`` or ``(poses, 2)`` px, None where the file does not tell.
    """

    path: Path
    shape: tuple[int, int, int, int]
    joints: Skeleton
    target: Skeleton
    scale: Any
    offset: Any
    placed: bool
    image_size: Array | None

    def blocks(self) -> Iterator[Float[Tensor, "poses joints height width"]]:
        """The heatmaps in float32, some poses at a time.

        Raises:
            InputError: the file is damaged, or a heatmap's values have another scale.
        """
        with reading(self.path), open_npz(self.path) as archive, archive.open("heatmaps.npy") as stream:
            _, _, dtype = _read_header(stream)
            row = math.prod(self.shape[1:]) * dtype.itemsize
            poses = max(1, _BLOCK_PIXELS // math.prod(self.shape[1:]))
            for first in range(0, self.shape[0], poses):
                count = min(poses, self.shape[0] - first)
                values = np.frombuffer(_read_exactly(stream, count * row), dtype)
                block = torch.from_numpy(values.astype(np.float32).reshape(count, *self.shape[1:]))
                wrong = off_scale(block)
                if wrong is not None:
                    (pose, joint), remedy = wrong
                    raise InputError(f"heatmaps: pose {first + pose}, joint {self.joints.joints[joint]!r} {remedy}")
                yield block

    def keypoints(self, gaussians: HeatmapGaussians, target_sigma: float = 0.0) -> Keypoints2D:
        """The fits as keypoints in image px, in the target skeleton; see `HeatmapGaussians.keypoints`.

        Raises:
            InputError: a scale, an offset or an image size that cannot be.
        """
        with reading(self.path):
            found = gaussians.keypoints(
                self.joints, self.scale, self.offset, self.image_size, target_sigma=target_sigma
            )
            return found.as_skeleton(self.target)


@reader()
def read_heatmaps(path: str | os.PathLike[str], skeleton: str | Skeleton | None = None) -> HeatmapFile:
    """Open an npz file of heatmaps.

    It holds ``heatmaps`` (poses, joints, height, width), scores from 0 to 1; where they lie in the image, as
    ``boxes`` (4,) or (poses, 4) (left, top, right, bottom of the crop, px) or as ``scale`` and ``offset``, each a
    number, (2,) or (poses, 2) (see `HeatmapGaussians.keypoints`); ``image_size`` (2,) or (poses, 2); and
    ``joint_names`` (joints,). All but the first are optional. Compressed files are read too.

    Args:
        path: the file.
        skeleton: joint order where the file has no ``joint_names``, else the skeleton to put the keypoints into;
            by default told from the names, or from the number of joints where only one skeleton has as many.

    Raises:
        InputError: a file that is missing, damaged or no npz; a missing, misshapen or pickled array; an unknown
            joint name.
    """
    path = Path(path)
    with naming(str(path)):
        if not path.is_file():
            raise InputError(absent(path))
        with open_npz(path) as archive:
            shape = _heatmap_shape(archive)
            fields = {
                name: load_entry(archive, archive.getinfo(f"{name}.npy"), kinds)
                for name, kinds in _FIELDS.items()
                if f"{name}.npy" in archive.namelist()
            }
        order = None if skeleton is None else get_skeleton(skeleton)
        joints, target = _joint_order(path, shape, fields.get("joint_names"), order)
        return HeatmapFile(path, shape, joints, target, *_placement(shape, fields), fields.get("image_size"))


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _read_exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise InputError("heatmaps: the array ends early; is the file truncated?")
    return content


def _heatmap_shape(archive: zipfile.ZipFile) -> tuple[int, int, int, int]:
    if "heatmaps.npy" not in archive.namelist():
        held = ", ".join(repr(name.removesuffix(".npy"))[:40] for name in archive.namelist()[:10]) or "nothing"
        raise InputError(
            f"no array named 'heatmaps'; the file holds {held}. Save it as numpy.savez(FILE, heatmaps=...)"
        )
    info = archive.getinfo("heatmaps.npy")
    check_entry(info, "heatmaps")
    with archive.open(info) as stream:
        check_header(stream, info.file_size, "fiu", "heatmaps")
    with archive.open(info) as stream:
        shape, fortran, _ = _read_header(stream)
    if len(shape) != 4 or 0 in shape[:2] or min(shape[2:]) < 4:
        raise InputError(f"heatmaps: array of shape {shape}; expected (poses, joints, height, width), 4 x 4 px or more")
    if math.prod(shape[1:]) > _BLOCK_PIXELS:
        raise InputError(
            f"heatmaps: {shape[1]} of {shape[2]} x {shape[3]} px per pose; at most {_BLOCK_PIXELS} px in all"
        )
    if fortran:
        raise InputError("heatmaps: stored in Fortran order; save numpy.ascontiguousarray(heatmaps) instead")
    poses, joints, height, width = shape
    return poses, joints, height, width


def _joint_order(
    path: Path, shape: tuple[int, ...], names: Array | None, skeleton: Skeleton | None
) -> tuple[Skeleton, Skeleton]:
    """Skeletons of the heatmaps and of the keypoints to be."""
    if names is None:
        joints = skeleton_of(shape[1], shape, skeleton)
        return joints, joints
    if names.shape != (shape[1],):
        raise InputError(f"joint_names: array of shape {names.shape}; expected ({shape[1]},), one per heatmap")
    listed = names.tolist()
    found = refuse_unknown(listed, resolve_names(listed, "joint_names", skeleton), "joint_names")
    target = covering_skeleton(found, skeleton)
    return (target if target.joints == tuple(found) else temporary_skeleton(found)), target


def _placement(shape: tuple[int, int, int, int], fields: dict[str, Array]) -> tuple[Any, Any, bool]:
    """Scale, offset, and whether the file tells them."""
    given = [name for name in ("boxes", "scale", "offset") if name in fields]
    if "boxes" in given and len(given) > 1:
        raise InputError(f"boxes and {given[1]}: give boxes, or scale and offset, not both")
    if "boxes" not in given:
        return fields.get("scale", 1.0), fields.get("offset", 0.0), bool(given)
    boxes = fields["boxes"]
    if boxes.shape not in ((4,), (shape[0], 4)):
        raise InputError(f"boxes: array of shape {boxes.shape}; expected (4,) or ({shape[0]}, 4)")
    return *box_transform(boxes.astype(np.float32), (shape[3], shape[2])), True


def save_keypoints(
    path: str | os.PathLike[str], keypoints: Keypoints2D, gaussians: HeatmapGaussians, joints: Skeleton
) -> None:
    """Write keypoints so that `read_keypoints`, and with it ``poseterior lift``, takes them with their covariance.

    Args:
        path: ``.npz`` or ``.json``. The npz (format ``numpy``) also holds the fits in heatmap px: ``joint_names``
            (heatmaps,), ``gaussian_amplitude``, ``_mean``, ``_covariance``, ``_residual`` and ``_failed``, each
            (poses, heatmaps, ...). The JSON (format ``plain``) names its skeleton, so that lifting it needs
            no ``--skeleton``.
        keypoints: batch ``(poses,)``. A joint that is not visible is NaN in the npz and null in the JSON.
        gaussians: what they were made from, batch ``(poses, heatmaps)``.
        joints: skeleton of the heatmaps.

    Raises:
        InputError: another extension, or a file that cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".npz", ".json"):
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: .npz, .json")
    visible = keypoints.visible.cpu().numpy()
    arrays: dict[str, Any] = {
        "keypoints": np.where(visible[..., None], keypoints.xy.cpu().numpy(), np.nan),
        "covariance": np.where(visible[..., None, None], keypoints.covariance.cpu().numpy(), np.nan),
        "amplitude": keypoints.amplitude.cpu().numpy(),
        "image_size": keypoints.image_size.cpu().numpy(),
    }
    with atomic_write(path) as file:
        if suffix == ".json":
            file.write(_plain_json(keypoints.skeleton, **arrays))
            return
        names = ("amplitude", "mean", "covariance", "residual", "failed")
        fits: dict[str, Any] = {f"gaussian_{name}": getattr(gaussians, name).cpu().numpy() for name in names}
        np.savez(file, **arrays, **fits, visible=visible, joint_names=np.asarray(joints.joints))


def _plain_json(skeleton: Skeleton, keypoints: Array, covariance: Array, amplitude: Array, image_size: Array) -> bytes:
    """One entry per pose in the ``plain`` format."""
    unknown = np.eye(2).tolist()  # the format has no null there; a joint that is null is not read
    entries = []
    rows = zip(keypoints.tolist(), covariance.tolist(), amplitude.tolist(), image_size.tolist(), strict=True)
    for pose, (points, spreads, heights, extent) in enumerate(rows):
        hidden = [math.isnan(point[0]) for point in points]
        entry: dict[str, Any] = {"frame": pose, "skeleton": skeleton.name}
        if all(map(math.isfinite, extent)):
            entry["image_size"] = extent
        entry["keypoints"] = [None if h else point for h, point in zip(hidden, points, strict=True)]
        entry["covariance"] = [unknown if h else spread for h, spread in zip(hidden, spreads, strict=True)]
        entry["amplitude"] = [None if math.isnan(height) else height for height in heights]
        entries.append(json.dumps(entry))
    return ("[\n" + ",\n".join(entries) + "\n]\n").encode()
