"""Rotations as a lifter gave them: samples per pose, one body per clip.

Quaternions are xyzw, of the smpl22 joints, relative to the parent; the pelvis' is in the result's axes. Log-densities
are nats above uniform (normalised Haar measure of each modelled joint).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import roma
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..files.errors import InputError
from ..geometry.body import (
    SMPL25,
    body_points,
)
from ..geometry.skeletons import SKELETONS

if TYPE_CHECKING:
    pass


__all__ = [
    "RotationResult",
    "clips_of",
]

_SMPL = SKELETONS["smpl22"]
Array = NDArray[Any]
Axes = Literal["y up", "camera"]


@dataclass(frozen=True, eq=False)
class RotationResult:
    """Rotations as a lifter gave them: samples a pose, and one body for all poses of a clip.

    Attributes:
        rotations: ``(poses, samples, 22, 4)`` float32, unit quaternions xyzw relative to the parent; the pelvis' in
            ``axes``.
        log_prob: ``(poses, samples)`` of the samples, nats above uniform.
        mean: ``(poses, 22, 4)`` the chordal mean of each joint's samples.
        spread: ``(poses, 22)`` radians: root mean square angle of the samples from that mean.
        offsets: ``(poses, 25, 3)`` metres: rest body (`poseterior.geometry.body.SMPL25`), the same for all poses of a
        clip.
        root: ``(poses, 3)`` metres: place of the pelvis in ``axes``; zeros where unknown.
        file, frame, person: ``(poses,)`` where each pose comes from.
        axes: ``"camera"`` (x right, y down, z forward) or ``"y up"``.
        modelled: names of the joints that have a density; the others are at the identity.
        lifter, seed, settings: how the result was made.
        mode: ``(poses, 22, 4)`` rotations of highest density, where they were asked for.
        joint_names: smpl22's.

    Raises:
        InputError: an array of another shape, or unknown axes.
    """

    rotations: Array
    log_prob: Array
    mean: Array
    spread: Array
    offsets: Array
    root: Array
    file: Array
    frame: Array
    person: Array
    axes: Axes
    modelled: tuple[str, ...]
    lifter: str = ""
    seed: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    mode: Array | None = None
    joint_names: tuple[str, ...] = _SMPL.joints

    def __post_init__(self) -> None:
        poses, samples = self.rotations.shape[:2]
        shapes = {
            "rotations": (poses, samples, 22, 4), "log_prob": (poses, samples), "mean": (poses, 22, 4),
            "spread": (poses, 22), "offsets": (poses, len(SMPL25), 3), "root": (poses, 3), "file": (poses,),
            "frame": (poses,), "person": (poses,),
        }  # fmt: skip
        for name, expected in shapes.items():
            if getattr(self, name).shape != expected:
                raise InputError(f"{name} has shape {getattr(self, name).shape}; expected {expected}")
        if self.mode is not None and self.mode.shape != self.mean.shape:
            raise InputError(f"mode has shape {self.mode.shape}; expected {self.mean.shape}")
        if self.axes not in ("y up", "camera"):
            raise InputError(f"axes is {self.axes!r}; expected 'y up' or 'camera'")

    def __len__(self) -> int:
        """Number of poses."""
        return len(self.rotations)

    def __getitem__(self, rows: Array | slice) -> RotationResult:
        """Some of the poses, by indices, mask or slice."""
        parts: dict[str, Any] = {name: getattr(self, name)[rows] for name in _PER_POSE}
        return replace(self, mode=None if self.mode is None else self.mode[rows], **parts)

    def clips(self) -> list[Array]:
        """Rows of each clip, its frames in order; see `clips_of`."""
        return clips_of(self.file, self.frame, self.person)

    def in_axes(self, axes: Axes) -> RotationResult:
        """The same with the pelvis in other axes: camera axes and y up differ by half a turn about x."""
        if axes == self.axes:
            return self
        turned: dict[str, Any] = {name: _half_turn(getattr(self, name)) for name in ("rotations", "mean")}
        mode = None if self.mode is None else _half_turn(self.mode)
        return replace(self, axes=axes, root=self.root * np.array([1, -1, -1], np.float32), mode=mode, **turned)

    def points(self, quaternions: Float[NDArray[np.float32], "poses k 22 4"]) -> Float[Tensor, "poses k 25 3"]:
        """The SMPL25 points of hypotheses of each pose, metres in ``axes``, at the root's place."""
        offsets = torch.from_numpy(self.offsets)[:, None]
        points, _ = body_points(_matrices(quaternions), offsets.expand(*quaternions.shape[:2], -1, -1))
        return points + torch.from_numpy(self.root)[:, None, None]


_PER_POSE = ("rotations", "log_prob", "mean", "spread", "offsets", "root", "file", "frame", "person")


def _quaternions(rotations: Tensor) -> Array:
    return roma.rotmat_to_unitquat(rotations).float().cpu().numpy()


def _matrices(quaternions: Array) -> Tensor:
    return roma.unitquat_to_rotmat(torch.from_numpy(np.ascontiguousarray(quaternions)))


def _half_turn(quaternions: Array) -> Array:
    """The pelvis (joint 0) seen in axes turned by 180 degrees about x: the product (1, 0, 0, 0) * (x, y, z, w)."""
    turned = quaternions.copy()
    x, y, z, w = np.moveaxis(quaternions[..., 0, :], -1, 0)
    turned[..., 0, :] = np.stack([w, -z, y, -x], -1)
    return turned


# -- clips -------------------------------------------------------------------------------------------------


def clips_of(file: Array, frame: Array, person: Array) -> list[Array]:
    """The rows of each clip: one person through the frames of one file, in order of the frames.

    Files that hold a frame each are frames of one clip if their names differ in numbers only and these rise evenly
    with the frames (``walk_0001.jpg``, ``walk_0002.jpg`` ...); other such files are photographs of strangers. A frame
    that a person has twice begins another clip.
    """
    names = [str(name) for name in file]
    label = "" if _is_sequence(names, frame) else None
    found: dict[tuple[str, int, int], list[int]] = {}
    seen: dict[tuple[str, int, int], int] = {}
    for row, (name, number, who) in enumerate(zip(names, frame.tolist(), person.tolist(), strict=True)):
        name = name if label is None else label
        repeat = seen.get((name, number, who), 0)
        seen[name, number, who] = repeat + 1
        found.setdefault((name, who, repeat), []).append(row)
    return [np.asarray(sorted(rows, key=lambda row: int(frame[row]))) for rows in found.values()]


def _is_sequence(names: list[str], frame: Array) -> bool:
    """Whether each file is a frame of one and the same clip, to judge by their names."""
    frames = dict(zip(names, frame.tolist(), strict=True))
    single = all(frames[name] == number for name, number in zip(names, frame.tolist(), strict=True))
    if len(frames) < 3 or not single or len({re.sub(r"\d+", "#", name) for name in frames}) > 1:
        return False
    ordered = sorted(frames, key=lambda name: frames[name])
    numbers = np.array([[int(n) for n in re.findall(r"\d+", name)] for name in ordered])
    moving = (numbers != numbers[0]).any(0)
    if moving.sum() != 1:
        return False
    gaps = np.diff(numbers[:, moving][:, 0])
    return bool(gaps.min() > 0 and np.median(gaps) == gaps.min())
