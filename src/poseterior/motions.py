"""Rotations of joints from 2D or 3D keypoints, chosen hypotheses of them, and motion files that animators load.

`lift_rotations` (2D keypoints) and `solve_ik` (3D keypoints) return a `RotationResult`: samples of the rotations of
every pose with their log-densities, and one body a clip. `choose` picks what is to be shown of it, `save_motion`
writes that as BVH, glTF or AMASS-style npz. `sample_prior` and `score_poses` ask what a body does when nothing is seen.

Quaternions are xyzw, of the smpl22 joints, relative to the parent; the pelvis' is in the result's axes. Log-densities
are nats above uniform (normalised Haar measure of each modelled joint).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from .body import (
    H36M_POINTS,
    SMPL25,
    body_points,
    check_points,
    estimate_offsets,
    group_factors,
    log_group_ratios,
    median_offsets,
    points_from,
    rest_offsets,
)
from .cameras import assumed_intrinsics, fit_root
from .clustering import cluster
from .errors import InputError
from .export.results import LiftResult, atomic_write, check_writable
from .keypoints import Keypoints2D
from .lifters import Lifter
from .metrics.rotations import chordal_mean, geodesic_angle
from .pipeline import Draws, draw, result_of
from .skeletons import SKELETONS, Skeleton, get_skeleton

if TYPE_CHECKING:
    from .export.animation import Animation
    from .lifters.rotations import RotationLifter

__all__ = [
    "CHOICES",
    "MOTION_FORMATS",
    "PriorScores",
    "RotationResult",
    "as_lift_result",
    "choose",
    "clips_of",
    "fitted_error",
    "has_rotations",
    "lift_rotations",
    "lift_with_rotations",
    "representatives",
    "sample_prior",
    "save_motion",
    "score_poses",
    "solve_ik",
    "solve_ik_of_result",
    "to_animation",
]

_SMPL = SKELETONS["smpl22"]
Array = NDArray[Any]
Axes = Literal["y up", "camera"]

#: What `choose` knows.
CHOICES = ("mean", "best", "mode", "path", "samples", "clusters")
#: What `save_motion` writes.
MOTION_FORMATS = (".bvh", ".glb", ".npz")
#: `choose`'s path: a joint that turns by this angle (radians) from one frame to the next costs half a nat.
_USUAL_TURN = 0.1
#: Frames over which the depth of a filmed person is averaged.
_DEPTH_FRAMES = 31
#: Samples of a frame that a path is searched among.
_PATH_SAMPLES = 64
#: Nearer than this (metres) no camera sees a whole pelvis.
_NEAREST = 0.1
#: An exact keypoint counts as if it were known to this (metres) where the body is placed among keypoints.
_SHARPEST = 1e-3
#: Pixels a metre of the frontal view that stands for a picture in `as_lift_result`.
_FRONTAL_SCALE = 250.0


@dataclass(frozen=True, eq=False)
class RotationResult:
    """Rotations as a lifter gave them: samples a pose, and one body for all poses of a clip.

    Attributes:
        rotations: ``(poses, samples, 22, 4)`` float32, unit quaternions xyzw relative to the parent; the pelvis' in
            ``axes``.
        log_prob: ``(poses, samples)`` of the samples, nats above uniform.
        mean: ``(poses, 22, 4)`` the chordal mean of each joint's samples.
        spread: ``(poses, 22)`` radians: root mean square angle of the samples from that mean.
        offsets: ``(poses, 25, 3)`` metres: rest body (`poseterior.body.SMPL25`), the same for all poses of a clip.
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
        """The `poseterior.body.SMPL25` points of hypotheses of each pose, metres in ``axes``, at the root's place."""
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


# -- the three tasks ---------------------------------------------------------------------------------------


def has_rotations(lifter: Lifter) -> bool:
    """Whether a lifter is one that `lift_rotations`, `solve_ik` and `sample_prior` take."""
    return all(hasattr(lifter, task) for task in ("rotations", "ik", "prior"))


def _rotation_lifter(lifter: Lifter) -> RotationLifter:
    if not has_rotations(lifter):
        raise InputError(
            f"lifter {lifter.card.get('name') or lifter.name!r} has no rotations; use the lifter 'rotations'"
        )
    return lifter  # type: ignore[return-value]


def _check_draws(samples: int, seed: int) -> None:
    if not 0 <= seed < 2**62:
        raise InputError(f"seed: expected 0 to below 2^62, got {seed}")
    if samples < 1:
        raise InputError(f"samples: expected at least 1, got {samples}")


def _summary(
    rotations: Float[Tensor, "samples poses 22 3 3"], log_prob: Float[Tensor, "samples poses"]
) -> dict[str, Any]:
    """The arrays of a `RotationResult` that samples give."""
    mean = chordal_mean(rotations)
    return {
        "rotations": _quaternions(rotations.transpose(0, 1)),
        "log_prob": log_prob.transpose(0, 1).float().cpu().numpy(),
        "mean": _quaternions(mean),
        "spread": geodesic_angle(rotations, mean).square().mean(0).sqrt().float().cpu().numpy(),
    }


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def lift_with_rotations(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> tuple[LiftResult, RotationResult]:
    """Lift 2D keypoints once, to poses (as `poseterior.lift`) and to the rotations that give them.

    In the poses the lengths of the bones differ from hypothesis to hypothesis, as far as the picture leaves them
    open. The rotations have one body a clip: the median over its frames of the mean log-lengths.

    Args:
        lifter: one with rotations.
        keypoints: any skeleton, any batch shape (flattened to poses); see `clips_of` for what is one clip.
        samples: hypotheses a pose.
        seed: of the samples.
        chunk: poses at a time; each chunk draws from its own seed.
        device: where to run.
        mode: also climb to the rotations of highest density (slow).

    Returns:
        The poses, and the rotations in camera axes. The root is where the mean pose reprojects best through the
        camera, given or assumed; zeros where neither it nor the image size is known. Frames that show less than
        two joints get a root between their neighbours'.

    Raises:
        InputError: a lifter without rotations; or as `poseterior.lift`.
    """
    _rotation_lifter(lifter)
    used = keypoints.as_skeleton(lifter.skeleton).flatten()
    parts: list[dict[str, Any]] = []
    draws: list[Draws] = []
    lengths: list[Tensor] = []
    for part in draw(lifter, used, samples, seed, chunk, device):
        assert part.rotations is not None
        assert part.offsets is not None
        assert part.rotation_log_prob is not None
        parts.append(_summary(part.rotations, part.rotation_log_prob))
        if mode:
            parts[-1]["mode"] = _quaternions(part.posterior.rotations.mode)
        modelled = part.posterior.rotations.modelled
        lengths.append(log_group_ratios(part.offsets).mean(0))
        draws.append(replace(part, posterior=None, rotations=None, offsets=None))
    poses = result_of(lifter, used, draws, seed)
    clips = clips_of(poses.file, poses.frame, poses.person)
    usual = torch.cat(lengths)
    offsets = rest_offsets().repeat(len(poses), 1, 1)
    for rows in clips:
        offsets[rows] = rest_offsets() * group_factors(usual[rows].median(0).values)
    result = RotationResult(
        **_joined(parts),
        offsets=offsets.numpy(),
        root=np.zeros((len(poses), 3), np.float32),
        file=poses.file,
        frame=poses.frame,
        person=poses.person,
        axes="camera",
        modelled=modelled,
        lifter=poses.lifter,
        seed=seed,
        settings=poses.settings | {"body": f"one for each of {len(clips)} clips: the median over its frames"},
    )
    shown = result.points(result.mean[:, None])[:, 0, list(H36M_POINTS)].numpy()
    return poses, replace(result, root=_camera_root(shown, poses, used.intrinsics.cpu(), clips))


def lift_rotations(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = 256,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> RotationResult:
    """The rotations of `lift_with_rotations`."""
    return lift_with_rotations(lifter, keypoints, samples, seed, chunk, device, mode)[1]


def _camera_root(shown: Array, poses: LiftResult, intrinsics: Tensor | None, clips: list[Array]) -> Array:
    """Where each pose (``(poses, 17, 3)``, any place) must be moved to explain the keypoints; zeros if unknown."""
    cameras = assumed_intrinsics(_tensor(poses.image_size)).numpy()
    if intrinsics is not None:
        cameras = np.where(np.isfinite(intrinsics.numpy()).all(-1, keepdims=True), intrinsics.numpy(), cameras)
    root = np.full((len(poses), 3), np.nan)
    for row, camera in enumerate(cameras):
        if np.isfinite(camera).all():
            covariance = poses.keypoint_covariance[row]
            root[row] = fit_root(shown[row, None], poses.keypoints[row], covariance, poses.visible[row], camera)[0]
    # A pose that explains its keypoints from behind the camera explains nothing.
    root[~(root[:, 2] > _NEAREST)] = np.nan
    for rows in clips:
        known = np.isfinite(root[rows]).all(-1)
        if known.any():
            frames = poses.frame[rows]
            for axis in range(3):
                root[rows, axis] = np.interp(frames, frames[known], root[rows[known], axis])
            root[rows] = _steadied(root[rows])
    return np.nan_to_num(root, nan=0.0).astype(np.float32)


def _steadied(root: Array) -> Array:
    """Places of a clip with their depth averaged over neighbouring frames, moved along the ray.

    One frame tells the depth from the person's apparent size alone, to some per cent; a person does not jump to and
    fro by as much between frames. Where the picture shows them stays as it is.
    """
    half = min(_DEPTH_FRAMES // 2, len(root) - 1)
    window = np.hanning(2 * half + 3)[1:-1]
    # Reflected about its ends, so that a steady walk stays as it is.
    padded = np.pad(root[:, 2], half, mode="reflect", reflect_type="odd")
    depth = np.convolve(padded, window / window.sum(), mode="valid")
    return root * (depth / root[:, 2])[:, None]


def solve_ik(
    lifter: Lifter,
    points: Any,
    seen: Any = None,
    sigma: Any = 0.0,
    skeleton: str | Skeleton = "smpl22",
    offsets: Float[Tensor, "25 3"] | None = None,
    samples: int = 200,
    seed: int = 0,
    axes: Axes = "y up",
    file: str = "",
    chunk: int = 64,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> RotationResult:
    """Inverse kinematics of a clip: rotations given 3D keypoints of one person, any subset of them.

    Args:
        lifter: one with rotations.
        points: ``(frames, joints, 3)`` metres, any place; ``(joints, 3)`` for one frame. NaN is a hidden joint.
        seen: ``(frames, joints)`` or ``(joints,)`` which points count; by default those that are finite.
        sigma: standard deviations of the points, metres: one, ``(joints,)`` or ``(frames, joints)``; 0 is exact.
        skeleton: joint order of the points; joints that the body does not have are not used.
        offsets: rest offsets of the body, metres; by default estimated: the median over the frames.
        samples: hypotheses a frame.
        seed: of the samples.
        axes: of the points, ``"y up"`` or ``"camera"``.
        file: name of the clip.
        chunk: frames at a time; each chunk draws from its own seed.
        device: where to run.
        mode: also climb to the rotations of highest density (slow).

    Returns:
        Rotations and one body; the root is where the mean pose fits the visible points best (zeros where none is).

    Raises:
        InputError: a lifter without rotations; wrong shapes, a visible point that is not finite, a negative sigma
            (naming frame and joint); a skeleton that shares no joint with the body.
    """
    _check_draws(samples, seed)
    network = _rotation_lifter(lifter).to(device).eval()
    body, shown, spread = _body_evidence(points, seen, sigma, get_skeleton(skeleton))
    if not len(body):
        raise InputError("points: no frames")
    if offsets is None:
        offsets = _median_body(body, shown)
        how = "the rest body: no bone is visible" if offsets is None else "lengths of the visible bones"
    else:
        how = "given"
    parts: list[dict[str, Any]] = []
    with torch.no_grad():
        for number, start in enumerate(range(0, len(body), chunk)):
            rows = slice(start, start + chunk)
            some, there, deviation = (part[rows].to(device) for part in (body, shown, spread))
            posterior = network.ik(some, there, deviation, None if offsets is None else offsets.to(device))
            generator = torch.Generator(device=device).manual_seed(seed + 1_000_003 * number)
            parts.append(_summary(*posterior.sample_and_log_prob((samples,), generator=generator)))
            if mode:
                parts[-1]["mode"] = _quaternions(posterior.mode)
    taken = rest_offsets() if offsets is None else offsets.float()
    result = RotationResult(
        **_joined(parts),
        offsets=taken.cpu().repeat(len(body), 1, 1).numpy(),
        root=np.zeros((len(body), 3), np.float32),
        file=np.full(len(body), file),
        frame=np.arange(len(body)),
        person=np.zeros(len(body), np.int64),
        axes=axes,
        modelled=posterior.modelled,
        lifter=str(lifter.card.get("name") or lifter.name),
        seed=seed,
        settings={"body": how},
    )
    fitted = result.points(result.mean[:, None])[:, 0]
    weight = (shown / (spread.square() + _SHARPEST**2)).unsqueeze(-1)
    moved = ((body - fitted) * weight).sum(1) / weight.sum(1).clamp(min=1e-12)
    return replace(result, root=moved.numpy())


def _tensor(value: Any) -> Tensor:
    # A copy: arrays of files may not be written to, which torch warns of.
    return torch.as_tensor(np.array(value) if isinstance(value, np.ndarray) else value, dtype=torch.float32)


def _body_evidence(
    points: Any, seen: Any, sigma: Any, skeleton: Skeleton
) -> tuple[Float[Tensor, "frames 25 3"], Bool[Tensor, "frames 25"], Float[Tensor, "frames 25"]]:
    """Points of any skeleton, their visibility and spread as points of the body; hidden ones hold zeros."""
    try:
        points, sigma = _tensor(points), _tensor(sigma)
        seen = points.isfinite().all(-1) if seen is None else _tensor(seen).bool()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"points, seen, sigma: expected arrays of numbers ({error})") from None
    points = points[None] if points.ndim == 2 else points
    joints = len(skeleton)
    if points.ndim != 3 or points.shape[1:] != (joints, 3):
        raise InputError(
            f"points have shape {tuple(points.shape)}; skeleton {skeleton.name!r} needs (frames, {joints}, 3)"
        )
    try:
        seen, sigma = (value.expand(points.shape[:2]) for value in (seen, sigma))
    except RuntimeError:
        raise InputError(
            f"seen, sigma: expected one a joint or (frames, joints) = {tuple(points.shape[:2])}, got "
            f"{tuple(seen.shape)} and {tuple(sigma.shape)}"
        ) from None
    bad = seen & ~points.isfinite().all(-1)
    bad_spread = seen & ~(sigma.isfinite() & (sigma >= 0))
    for wrong, what in (
        (bad, "is visible but not finite; hide it or mend it"),
        (bad_spread, "its sigma must be finite and at least 0 metres"),
    ):
        if bool(wrong.any()):
            frame, joint = wrong.nonzero()[0].tolist()
            raise InputError(f"points: frame {frame}, joint {skeleton.joints[joint]!r}: {what}")
    sources = torch.stack([seen.float(), torch.where(seen, sigma, 0.0), torch.zeros_like(sigma)], -1)
    body, there = points_from(torch.where(seen.unsqueeze(-1), points, 0.0), skeleton)
    about, _ = points_from(sources, skeleton)
    shown = there & (about[..., 0] > 0.5)
    return check_points(body, shown, about[..., 1].nan_to_num(0.0))


def _median_body(points: Tensor, seen: Tensor) -> Tensor | None:
    """One body for all frames by the bones they show, None where they show none."""
    offsets, known = estimate_offsets(points, seen)
    return median_offsets(offsets[known]) if bool(known.any()) else None


def solve_ik_of_result(
    lifter: Lifter,
    result: LiftResult,
    intrinsics: Tensor | None = None,
    sigma: float | None = None,
    hide: Sequence[str] = (),
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
    mode: bool = False,
) -> RotationResult:
    """Rotations for the poses of a lifter that has none: inverse kinematics of their means.

    Each joint's standard deviation is that of its covariance. The body of a clip has the bone lengths of the samples
    (the mean pose of uncertain limbs is too short), or of the means where the result has no samples.

    Args:
        lifter: one with rotations.
        result: of `poseterior.lift`.
        intrinsics: ``(poses, 4)`` px, NaN where unknown; else the field of view is assumed.
        sigma: standard deviation of all joints (metres) instead.
        hide: joints not to use.
        samples, seed, device, mode: as for `solve_ik`.

    Returns:
        Rotations in camera axes, with the root where the mean pose reprojects best, as for `lift_rotations`.

    Raises:
        InputError: an unknown joint; or as `solve_ik`.
    """
    if not len(result):
        raise InputError("the result has no poses")
    skeleton = result.tree
    seen = np.ones(len(skeleton), bool)
    for joint in hide:
        seen[_joint(skeleton, joint, "hide")] = False
    spread = np.sqrt(np.clip(np.trace(result.covariance, axis1=-2, axis2=-1) / 3, 0.0, None))
    spread = spread if sigma is None else np.full_like(spread, sigma)
    clips = clips_of(result.file, result.frame, result.person)
    parts: list[RotationResult] = []
    for number, rows in enumerate(clips):
        poses = result.samples[rows].reshape(-1, len(skeleton), 3)
        body, shown, _ = _body_evidence(poses if len(poses) else result.mean[rows], seen, 0.0, skeleton)
        part = solve_ik(
            lifter, result.mean[rows], seen, spread[rows], skeleton, _median_body(body, shown), samples, seed + number,
            "camera", device=device, mode=mode,
        )  # fmt: skip
        parts.append(part)
    order = np.argsort(np.concatenate(clips))
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])[order] for name in _PER_POSE
    }
    modes = [part.mode for part in parts if part.mode is not None]
    # The pose's own root is its origin; the camera sees that root at some place.
    arrays["root"] = arrays["root"] + _camera_root(result.mean, result, intrinsics, clips)
    arrays |= {name: getattr(result, name) for name in ("file", "frame", "person")}
    solver = f"inverse kinematics of the mean poses of {result.lifter or 'a result'} by {parts[0].lifter}"
    return RotationResult(
        **arrays,
        axes="camera",
        modelled=parts[0].modelled,
        lifter=parts[0].lifter,
        seed=seed,
        settings=result.settings | {"rotations": solver},
        mode=np.concatenate(modes)[order] if modes else None,
    )


def _joint(skeleton: Skeleton, joint: str, option: str) -> int:
    if joint not in skeleton.joints:
        raise InputError(f"{option}: no joint {joint!r}; {skeleton.name} has: {', '.join(skeleton.joints)}")
    return skeleton.index(joint)


def fitted_error(
    result: RotationResult, points: Any, seen: Any = None, skeleton: str | Skeleton = "smpl22"
) -> dict[str, float]:
    """How far the mean pose's points are from the keypoints it was solved for, moved onto them: metres.

    Args:
        result: of `solve_ik`.
        points, seen, skeleton: as passed to `solve_ik`.

    Returns:
        Point of the body -> mean distance over the frames that show it, in the body's order.
    """
    body, shown, _ = _body_evidence(points, seen, 0.0, get_skeleton(skeleton))
    gap = torch.where(shown.unsqueeze(-1), result.points(result.mean[:, None])[:, 0] - body, 0.0)
    moved = gap.sum(1, keepdim=True) / shown.sum(1).clamp(min=1)[:, None, None]
    distance = (gap - moved).norm(dim=-1)
    return {
        name: float(distance[shown[:, point], point].mean())
        for point, name in enumerate(SMPL25.joints)
        if bool(shown[:, point].any())
    }


# -- hypotheses --------------------------------------------------------------------------------------------


def choose(result: RotationResult, how: str, count: int = 1) -> Float[NDArray[np.float32], "poses count 22 4"]:
    """Hypotheses to show.

    ========  ========================================================================================================
    how       what is taken
    ========  ========================================================================================================
    mean      each joint's chordal mean; joints that trade rotation with others make it less likely than a sample
    best      the sample of highest log-density
    mode      the rotations of highest density, if the result has them
    path      the smoothest way through the samples of each clip: dynamic programming (Viterbi 1967) over at most 64
              samples a frame, with the cost ``sum over joints of (turn / 0.1 rad)^2 / 2``, divided by the frames
              passed, less the samples' log-densities. It decides between the explanations of a frame; within one,
              the samples' own noise is then averaged out (mean shift to the centre of the nearest third of them).
              Of ``count`` ways, each goes through samples of its own
    samples   the first samples
    clusters  `representatives`
    ========  ========================================================================================================

    Raises:
        InputError: another ``how``; more hypotheses than there are; a mode that was not asked for.
    """
    if how not in CHOICES:
        raise InputError(f"how: expected one of {', '.join(CHOICES)}, got {how!r}")
    samples = result.rotations.shape[1]
    if how in ("mean", "best", "mode") and count != 1:
        raise InputError(f"count: there is one {how}, not {count}; use samples, clusters or path")
    if not 1 <= count <= max(samples, 1):
        raise InputError(f"count: expected 1 to {samples} (the number of samples), got {count}")
    if how == "mean":
        return result.mean[:, None]
    if how == "best":
        return np.take_along_axis(result.rotations, result.log_prob.argmax(1)[:, None, None, None], 1)
    if how == "mode":
        if result.mode is None:
            raise InputError("how: the mode was not computed; ask for it (mode=True) when lifting")
        return result.mode[:, None]
    if how == "samples":
        return result.rotations[:, :count]
    if how == "clusters":
        return representatives(result, count)[0]
    chosen = np.zeros((len(result), count, len(_SMPL), 4), np.float32)
    for rows in result.clips():
        for way in range(count):
            among = np.arange(way, samples, count)[:_PATH_SAMPLES]
            part = result.rotations[np.ix_(rows, among)]
            passed = _smoothest(part, result.log_prob[np.ix_(rows, among)], result.frame[rows])
            chosen[rows, way] = _settled(part, part[np.arange(len(rows)), passed])
    return chosen


def _settled(quaternions: Array, start: Array) -> Array:
    """The centres of the samples ``(frames, samples, 22, 4)`` near some of them ``(frames, 22, 4)``: mean shift."""
    samples, centre = quaternions.astype(np.float64), start.astype(np.float64)
    near = max(1, samples.shape[1] // 3)
    for _ in range(5):
        inner = np.einsum("fsjq,fjq->fsj", samples, centre)
        distance = (1.0 - np.abs(inner)).sum(-1)
        nearest = np.argsort(distance, axis=1, kind="stable")[:, :near]
        # q and -q are one rotation: on the centre's side they can be averaged.
        facing = samples * np.where(inner < 0, -1.0, 1.0)[..., None]
        centre = np.take_along_axis(facing, nearest[:, :, None, None], 1).mean(1)
        centre /= np.linalg.norm(centre, axis=-1, keepdims=True)
    return centre.astype(np.float32)


def _smoothest(quaternions: Array, log_prob: Array, frame: Array) -> Array:
    """The cheapest way through samples ``(frames, samples, 22, 4)``: the index of a sample for each frame."""
    turned = quaternions.astype(np.float64)
    turned /= np.linalg.norm(turned, axis=-1, keepdims=True)
    cost, came_from = -log_prob[0].astype(np.float64), []
    for now in range(1, len(turned)):
        before, after = turned[now - 1].transpose(1, 0, 2), turned[now].transpose(1, 2, 0)
        # q and -q are one rotation; the chord between the nearer two is 2 sin(angle / 4).
        half_chord = np.sqrt(np.clip(1.0 - np.abs(before @ after), 0.0, None) / 2)
        angle = 4.0 * np.arcsin(np.minimum(half_chord, 1.0))
        passed = max(int(frame[now] - frame[now - 1]), 1)
        total = cost[:, None] + ((angle / _USUAL_TURN) ** 2).sum(0) / (2 * passed)
        came_from.append(total.argmin(0))
        cost = total.min(0) - log_prob[now]
    way = [int(cost.argmin())]
    for previous in reversed(came_from):
        way.append(int(previous[way[-1]]))
    return np.asarray(way[::-1])


def representatives(
    result: RotationResult, count: int, seed: int = 0
) -> tuple[Float[NDArray[np.float32], "poses count 22 4"], Float[NDArray[np.float32], "poses count"]]:
    """A few samples that stand for all: those nearest to the centres of k-means over the points' positions.

    Args:
        result: with at least ``count`` samples a pose.
        count: how many.
        seed: of k-means' start.

    Returns:
        Quaternions, the likeliest first, and their probabilities (shares of the samples), which sum to 1.
    """
    chosen, weights = [], []
    for start in range(0, len(result), 64):
        part = result[slice(start, start + 64)]
        points = part.points(part.rotations)
        centres, weight = cluster(points.transpose(0, 1), count, seed=seed)
        nearest = torch.cdist(centres.flatten(2), points.flatten(2)).argmin(-1).numpy()
        chosen.append(np.take_along_axis(part.rotations, nearest[:, :, None, None], 1))
        weights.append(weight.numpy())
    return np.concatenate(chosen), np.concatenate(weights)


# -- files and pictures ------------------------------------------------------------------------------------


def to_animation(
    result: RotationResult, quaternions: Float[NDArray[np.float32], "frames 22 4"], fps: float = 30.0, name: str = ""
) -> Animation:
    """One hypothesis of one clip as a motion, y up.

    Args:
        result: the clip, for example ``result[rows]`` with rows of `RotationResult.clips`.
        quaternions: of each frame, from `choose`.
        fps: frames a second.
        name: of the clip.

    Raises:
        InputError: the poses have different bodies; or as `poseterior.export.animation.Animation`.
    """
    from .export.animation import Animation

    if not (result.offsets == result.offsets[:1]).all():
        raise InputError("the poses have different bodies; make one animation a clip: result[rows] for its clips()")
    return Animation(
        quaternions.astype(np.float64), result.offsets[0, :22], result.root, fps, result.axes, name or "poseterior"
    ).upright()


def save_motion(
    result: RotationResult,
    path: str | os.PathLike[str],
    how: str | None = None,
    count: int = 1,
    fps: float = 30.0,
) -> list[Path]:
    """Write hypotheses as motion files that other programs play.

    Args:
        result: of `lift_rotations` or `solve_ik`.
        path: ``.bvh``, ``.glb`` or ``.npz`` (as AMASS; besides, in axes with y up: ``mean_quaternions``,
            ``sample_quaternions``, ``log_prob``, ``spread_radians``, ``frame``).
        how: see `choose`; by default path for clips and mean for single poses (clusters for several of them).
        count: hypotheses of each clip, one file each.
        fps: frames a second.

    Returns:
        The files written: ``path`` itself for one; numbered ``x-1.bvh`` ... for several clips or hypotheses, and
        ``x-1-1.bvh`` ... for several hypotheses of several clips.

    Raises:
        InputError: an unknown extension or choice, a path that cannot be written to; before anything is written.
    """
    from .export.animation import numbered_paths

    suffix = Path(path).suffix.lower()
    if suffix not in MOTION_FORMATS:
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: {', '.join(MOTION_FORMATS)}")
    result = result.in_axes("y up")
    clips = result.clips()
    jobs: list[tuple[Path, Array, Animation]] = []
    for rows, base in zip(clips, numbered_paths(path, len(clips)), strict=True):
        clip = result[rows]
        default = "path" if len(rows) > 1 else "mean" if count == 1 else "clusters"
        chosen = choose(clip, how or default, count)
        for number, target in enumerate(numbered_paths(base, count)):
            check_writable(target)
            jobs.append((target, rows, to_animation(clip, chosen[:, number], fps, target.stem)))
    for target, rows, animation in jobs:
        _write(animation, result[rows], target)
    return [target for target, _, _ in jobs]


def _write(animation: Animation, clip: RotationResult, path: Path) -> None:
    import tempfile

    from .export.animation import save_animation

    if path.suffix.lower() != ".npz":
        save_animation(animation, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_animation(animation, Path(folder) / "motion.npz")
        with np.load(Path(folder) / "motion.npz", allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    arrays |= {
        "mean_quaternions": clip.mean,
        "sample_quaternions": clip.rotations,
        "log_prob": clip.log_prob,
        "spread_radians": clip.spread,
        "frame": clip.frame,
    }
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def as_lift_result(
    result: RotationResult, points: Float[Tensor, "poses 25 3"] | None = None, samples: int = 50
) -> LiftResult:
    """The poses as a `LiftResult` for `poseterior.view`, relative to the middle of the hips.

    Args:
        result: any.
        points: the 3D keypoints it was solved for, NaN where hidden, in the result's axes; a frontal view of them
            stands for the picture. Default: of the mean pose.
        samples: hypotheses kept.
    """
    result = result.in_axes("camera") if points is None else result
    shown = result.points(result.mean[:, None])[:, 0] if points is None else points
    flip = torch.tensor([1.0, 1.0, 1.0] if result.axes == "camera" else [1.0, -1.0, -1.0])
    index = list(H36M_POINTS)
    poses = result.points(result.rotations[:, :samples])[:, :, index] * flip
    centre = poses[:, :, :1].mean(1)
    frontal = shown[:, index] * flip - centre
    poses = poses - poses[:, :, :1]
    mean = poses.mean(1)
    offset = poses - mean[:, None]
    hidden = ~frontal.isfinite().all(-1).numpy()
    keypoints = _FRONTAL_SCALE * frontal[..., :2].numpy()
    spread = np.broadcast_to(np.eye(2, dtype=np.float32), (*keypoints.shape[:2], 2, 2)).copy()
    keypoints[hidden], spread[hidden] = np.nan, np.nan
    return LiftResult(
        samples=poses.numpy(),
        mean=mean.numpy(),
        covariance=(torch.einsum("pski,pskj->pkij", offset, offset) / max(poses.shape[1] - 1, 1)).numpy(),
        log_prob=np.full(poses.shape[:2], np.nan),
        keypoints=keypoints,
        keypoint_covariance=spread,
        visible=~hidden,
        image_size=np.full((len(result), 2), np.nan),
        file=result.file,
        frame=result.frame,
        person=result.person,
        joint_names=SKELETONS["h36m17"].joints,
        lifter=result.lifter,
        seed=result.seed,
        settings=result.settings,
    )


# -- the prior ---------------------------------------------------------------------------------------------


def sample_prior(lifter: Lifter, count: int, seed: int = 0) -> RotationResult:
    """Poses of people of whom nothing is seen, one sample each; the pelvis as a camera sees them.

    Args:
        lifter: one with rotations.
        count: how many.
        seed: of the samples.

    Returns:
        ``count`` poses of one clip (frames 0, 1 ...), the rest body, the root at the origin, camera axes.

    Raises:
        InputError: a lifter without rotations, or fewer than one pose.
    """
    _check_draws(count, seed)
    network = _rotation_lifter(lifter)
    prior = network.prior()
    rotations, log_prob = prior.sample_and_log_prob((1, count), seed=seed)
    return RotationResult(
        **_summary(rotations, log_prob),
        offsets=rest_offsets().repeat(count, 1, 1).numpy(),
        root=np.zeros((count, 3), np.float32),
        file=np.full(count, "prior"),
        frame=np.arange(count),
        person=np.zeros(count, np.int64),
        axes="camera",
        modelled=prior.modelled,
        lifter=str(lifter.card.get("name") or lifter.name),
        seed=seed,
        settings={"evidence": "none"},
    )


@dataclass(frozen=True, eq=False)
class PriorScores:
    """How likely poses are a priori, whatever their orientation.

    Attributes:
        joints: the modelled joints other than the pelvis.
        contributions: ``(poses, joints)`` nats above uniform: each joint's part of the log-density (given the joints
            before it, for the autoregressive structures).
        usual: ``(joints,)`` their means over the prior's own samples.
        typicality: ``(poses,)`` share of the prior's own samples that have a lower log-density.
    """

    joints: tuple[str, ...]
    contributions: Float[NDArray[np.float64], "poses joints"]
    usual: Float[NDArray[np.float64], "joints"]
    typicality: Float[NDArray[np.float64], "poses"]

    @property
    def log_density(self) -> Float[NDArray[np.float64], "poses"]:
        """Of each pose, nats above uniform, the pelvis left out."""
        return self.contributions.sum(-1)

    def reasons(self, pose: int, count: int = 3) -> list[tuple[str, float]]:
        """The joints that make a pose unlikely, with what they lose (nats) against the prior's own samples."""
        loss = self.contributions[pose] - self.usual
        return [(self.joints[j], float(loss[j])) for j in np.argsort(loss)[:count]]


@torch.no_grad()
def score_poses(
    lifter: Lifter,
    rotations: Float[NDArray[np.float32], "poses 22 4"],
    samples: int = 2000,
    seed: int = 0,
    chunk: int = 1024,
) -> PriorScores:
    """Log-density of poses under the prior, by joint, and how typical that is.

    Args:
        lifter: one with rotations.
        rotations: quaternions xyzw; the pelvis' does not matter.
        samples: of the prior, to compare with.
        seed: of those.
        chunk: poses at a time.

    Raises:
        InputError: a lifter without rotations, another shape, or a quaternion that is no rotation (names the joint).
    """
    _check_draws(samples, seed)
    prior = _rotation_lifter(lifter).prior()
    if rotations.ndim != 3 or rotations.shape[1:] != (22, 4) or not len(rotations):
        raise InputError(f"rotations have shape {rotations.shape}; expected (poses, 22, 4)")

    def contributions(matrices: Tensor) -> Array:
        parts = [prior.joint_log_prob(matrices[start : start + chunk]) for start in range(0, len(matrices), chunk)]
        return torch.cat(parts)[:, 1:].double().cpu().numpy()

    device = prior.evidence.points.device
    own = contributions(prior.sample((samples,), seed=seed))
    scored = contributions(_matrices(rotations.astype(np.float32)).to(device))
    rank = np.searchsorted(np.sort(own.sum(-1)), scored.sum(-1), side="left")
    return PriorScores(prior.modelled[1:], scored, own.mean(0), rank / samples)
