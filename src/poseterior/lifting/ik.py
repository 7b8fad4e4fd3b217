"""Inverse kinematics: rotations of joints, as a distribution, from 3D keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.arrays import tensor_of
from ..geometry.body import (
    SMPL25,
    check_covariance,
    check_points,
    estimate_offsets,
    median_offsets,
    points_from,
    rest_offsets,
)
from ..geometry.skeletons import Skeleton, get_skeleton
from ..lifters import Lifter, load
from ..results.poses import LiftResult
from ..results.rotations import Axes, RotationResult
from .bodies import camera_root, joined
from .draws import RotationDraws, check_draws, chunks, lifter_name, rotation_lifter, summarise
from .motion_ik import MOTIONS, rotations_of_motions

__all__ = [
    "fitted_error",
    "shipped_solution",
    "solve_ik",
    "solve_ik_of_result",
]

#: An exact keypoint counts as if it were known to this (metres) where the body is placed among keypoints.
_SHARPEST = 1e-3


def solve_ik(
    lifter: Lifter,
    points: Any,
    seen: Any = None,
    sigma: Any = None,
    skeleton: str | Skeleton = "smpl22",
    offsets: Float[Tensor, "25 3"] | None = None,
    samples: int = 200,
    seed: int = 0,
    axes: Axes = "y up",
    file: str = "",
    chunk: int = 64,
    device: torch.device | str = "cpu",
    mode: bool = False,
    covariance: Any = None,
) -> RotationResult:
    """Inverse kinematics of a clip: rotations given 3D keypoints of one person, any subset of them.

    Args:
        lifter: one with rotations.
        points: ``(frames, joints, 3)`` metres, any place; ``(joints, 3)`` for one frame. NaN is a hidden joint. Or a
            `LiftResult`: its mean poses, see `solve_ik_of_result`, which has further options.
        seen: ``(frames, joints)`` or ``(joints,)`` which points count; by default those that are finite.
        sigma: standard deviations of the points, metres: one, ``(joints,)`` or ``(frames, joints)``; 0 is exact, and
            the default of points; of a result, in place of its covariances.
        skeleton: joint order of the points; joints that the body does not have are not used.
        offsets: rest offsets of the body, metres; by default estimated: the median over the frames.
        samples: hypotheses per frame.
        seed: of the samples.
        axes: of the points, ``"y up"`` or ``"camera"``.
        file: name of the clip.
        chunk: frames at a time; how many changes no answer.
        device: where to run.
        mode: also climb to the rotations of highest density (slow).
        covariance: in place of ``sigma``: ``(joints, 3, 3)`` or ``(frames, joints, 3, 3)`` m², in the points' axes.

    Returns:
        Rotations and one body; the root is where the mean pose fits the visible points best (zeros where none is).

    Raises:
        InputError: a lifter without rotations; wrong shapes, a visible point that is not finite, a negative sigma or a
            covariance that is none (naming frame and joint); both of these; a skeleton that shares no joint with the
            body.
    """
    if isinstance(points, LiftResult):
        if seen is not None or offsets is not None or covariance is not None:
            raise InputError("seen, offsets, covariance: do not go with a result; hide joints with solve_ik_of_result")
        return solve_ik_of_result(
            lifter, points, sigma=sigma, samples=samples, seed=seed, device=device, mode=mode, chunk=chunk
        )
    check_draws(samples, seed, chunk)
    network = rotation_lifter(lifter).to(device).eval()
    if sigma is not None and covariance is not None:
        raise InputError("sigma, covariance: give one of them")
    tree = get_skeleton(skeleton)
    body, shown, spread = _body_evidence(points, seen, 0.0 if sigma is None else sigma, tree)
    shape = None if covariance is None else _body_covariance(covariance, shown, tree)
    if shape is not None:
        spread = (shape.diagonal(dim1=-2, dim2=-1).mean(-1)).sqrt()
    if not len(body):
        raise InputError("points: no frames")
    if offsets is None:
        offsets = _median_body(body, shown)
        how = "the rest body: no bone is visible" if offsets is None else "lengths of the visible bones"
    else:
        how = "given"
    draws: list[RotationDraws] = []
    with torch.no_grad():
        for rows in chunks(len(body), chunk):
            some, there, deviation = (part[rows].to(device) for part in (body, shown, spread))
            directed = None if shape is None else shape[rows].to(device)
            known = None if offsets is None else offsets.to(device)
            posterior = network.ik(some, there, deviation, known, directed)
            drawn = posterior.sample_and_log_prob((samples,), seed=seed)
            draws.append(summarise(posterior, *drawn, mode))
    taken = rest_offsets() if offsets is None else offsets.float()
    result = RotationResult(
        **joined(draws),
        offsets=taken.cpu().repeat(len(body), 1, 1).numpy(),
        root=np.zeros((len(body), 3), np.float32),
        file=np.full(len(body), file),
        frame=np.arange(len(body)),
        person=np.zeros(len(body), np.int64),
        axes=axes,
        lifter=lifter_name(lifter),
        seed=seed,
        settings={"body": how},
    )
    fitted = result.points(result.mean[:, None])[:, 0]
    weight = (shown / (spread.square() + _SHARPEST**2)).unsqueeze(-1)
    moved = ((body - fitted) * weight).sum(1) / weight.sum(1).clamp(min=1e-12)
    return replace(result, root=moved.numpy())


def _body_evidence(
    points: Any, seen: Any, sigma: Any, skeleton: Skeleton
) -> tuple[Float[Tensor, "frames 25 3"], Bool[Tensor, "frames 25"], Float[Tensor, "frames 25"]]:
    """Points of any skeleton, their visibility and spread as points of the body; hidden ones hold zeros."""
    points, sigma = tensor_of(points, "points"), tensor_of(sigma, "sigma")
    seen = points.isfinite().all(-1) if seen is None else tensor_of(seen, "seen").bool()
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
            f"seen, sigma: expected one per joint or (frames, joints) = {tuple(points.shape[:2])}, got "
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


def _body_covariance(
    covariance: Any, shown: Bool[Tensor, "frames 25"], skeleton: Skeleton
) -> Float[Tensor, "frames 25 3 3"]:
    """Covariances of the joints of any skeleton as those of the points of the body.

    Raises:
        InputError: another shape, or (naming frame and joint) one that is none.
    """
    frames, joints = len(shown), len(skeleton)
    given = tensor_of(covariance, "covariance")
    try:
        given = given.expand(frames, joints, 3, 3)
    except RuntimeError:
        raise InputError(
            f"covariance: expected (joints, 3, 3) or (frames, joints, 3, 3) = {(frames, joints, 3, 3)} numbers, m²"
        ) from None
    rows = [points_from(given[..., axis], skeleton)[0] for axis in range(3)]
    return check_covariance(torch.stack(rows, -1), shown)


def _median_body(points: Tensor, seen: Tensor) -> Tensor | None:
    """One body for all frames by the bones they show, None where they show none."""
    offsets, known = estimate_offsets(points, seen)
    return median_offsets(offsets[known]) if bool(known.any()) else None


def solve_ik_of_result(
    lifter: Lifter,
    result: LiftResult,
    intrinsics: Float[Tensor, "poses 4"] | None = None,
    sigma: float | None = None,
    hide: Sequence[str] = (),
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
    mode: bool = False,
    chunk: int = 64,
) -> RotationResult:
    """Rotations for the poses of a lifter that has none: inverse kinematics of their means.

    Of a clip that was lifted as a whole, of its motions instead, of 32 at most: hypothesis k is the body of motion k
    through time (`poseterior.lifting.motion_ik`), and the mean is theirs.

    Each joint is as uncertain as its covariance says, direction by direction. The body of a clip has the bone lengths
    of the samples (the mean pose of uncertain limbs is too short), or of the means where the result has no samples.

    Args:
        lifter: one with rotations.
        result: of `poseterior.lift`.
        intrinsics: px, NaN where unknown, instead of the result's own; where neither knows them, the field of view is
            assumed.
        sigma: standard deviation of all joints (metres), in all directions, instead.
        hide: joints not to use.
        samples, seed, device, mode, chunk: as for `solve_ik`.

    Returns:
        Rotations in camera axes, with the root where the mean pose reprojects best, as for `lift_rotations`; of clips
        on their smoothed path, and where their floor is known with y up from the floor.

    Raises:
        InputError: an unknown joint; or as `solve_ik`.
    """
    if not len(result):
        raise InputError("the result has no poses")
    skeleton = result.tree
    seen = np.ones(len(skeleton), bool)
    for joint in hide:
        seen[_joint(skeleton, joint, "hide")] = False
    clips = result.clips()
    parts: list[RotationResult] = []
    for number, rows in enumerate(clips):
        poses = result.samples[rows].reshape(-1, len(skeleton), 3)
        body, shown, _ = _body_evidence(poses if len(poses) else result.mean[rows], seen, 0.0, skeleton)
        usual = _median_body(body, shown)
        if result.whole(rows) and result.samples.shape[1] > 1:
            part = _solve_motions(lifter, result, rows, seen, sigma or 0.0, usual, samples, seed + number, device)
            parts.append(part)
            continue
        part = solve_ik(
            lifter, result.mean[rows], seen, sigma, skeleton, usual, samples, seed + number, "camera", chunk=chunk,
            device=device, mode=mode, covariance=result.covariance[rows] if sigma is None else None,
        )  # fmt: skip
        parts.append(part)
    order = np.argsort(np.concatenate(clips))
    values = {name: [getattr(part, name) for part in parts] for name in RotationResult.PER_POSE}
    fewest = min(part.rotations.shape[1] for part in parts)  # motions are fewer than samples of single poses
    for name in ("rotations", "log_prob"):
        values[name] = [value[:, :fewest] for value in values[name]]
    arrays: dict[str, Any] = {
        name: None if any(one is None for one in value) else np.concatenate(value)[order]
        for name, value in values.items()
    }
    # The pose's own root is its origin; the camera sees that root at some place.
    given = None if intrinsics is None else intrinsics.cpu().numpy()
    arrays["root"] = arrays["root"] + camera_root(result.mean, result, given)
    arrays |= {name: getattr(result, name) for name in ("file", "frame", "person")}
    whole = any(result.whole(rows) for rows in clips)
    what = "motions" if whole else "mean poses"
    solver = f"inverse kinematics of the {what} of {result.lifter or 'a result'} by {parts[0].lifter}"
    found = replace(parts[0], **arrays, seed=seed, settings=result.settings | {"rotations": solver})
    return found if result.ground is None else found.on_ground(result.ground)


def _solve_motions(
    lifter: Lifter,
    result: LiftResult,
    rows: Any,
    seen: Any,
    sigma: float,
    offsets: Tensor | None,
    samples: int,
    seed: int,
    device: torch.device | str,
) -> RotationResult:
    """The rotations of the motions of one clip; the root is the pelvis of the mean pose, which is the origin."""
    check_draws(samples, seed)
    network = rotation_lifter(lifter).to(device).eval()
    motions = result.samples[rows][:, : min(samples, MOTIONS)].swapaxes(0, 1)
    flat, shown, _ = _body_evidence(motions.reshape(-1, *motions.shape[2:]), seen, 0.0, result.tree)
    points = flat.unflatten(0, motions.shape[:2])
    middle, _, _ = _body_evidence(result.mean[rows], seen, 0.0, result.tree)
    drawn = rotations_of_motions(network, points, middle, shown[0], sigma, seed, device)
    taken = rest_offsets() if offsets is None else offsets.float()
    found = RotationResult(
        **joined([drawn]),
        offsets=taken.cpu().repeat(len(rows), 1, 1).numpy(),
        root=np.zeros((len(rows), 3), np.float32),
        file=result.file[rows],
        frame=result.frame[rows],
        person=result.person[rows],
        axes="camera",
        lifter=lifter_name(lifter),
        seed=seed,
        settings={"body": "lengths of the bones of the motions"},
    )
    fitted = found.points(found.mean[:, None])[:, 0]
    there = shown[0].float().unsqueeze(-1)
    moved = ((middle - fitted) * there).sum(1) / there.sum().clamp(min=1)
    return replace(found, root=moved.numpy())


def _joint(skeleton: Skeleton, joint: str, option: str) -> int:
    if joint not in skeleton.joints:
        raise InputError(f"{option}: no joint {joint!r}; {skeleton.name} has: {', '.join(skeleton.joints)}")
    return skeleton.index(joint)


def shipped_solution(result: LiftResult) -> RotationResult:
    """The rotations of a result's mean poses, by the shipped lifter ``rotations``: what `LiftResult.motion` asks."""
    return solve_ik_of_result(load("rotations"), result, seed=result.seed or 0)


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
