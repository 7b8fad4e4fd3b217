"""Several synchronised views of one person become one posterior, in the axes of the calibration's world."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ...distributions.recalibration import Recalibration
from ...files.checks import cut
from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera, read_cameras
from ...lifters import Lifter
from ...results.times import ASSUMED_FPS, check_fps
from ..clips.many import FEWEST_FRAMES
from ..clips.surprises import exchanged, frame_list, turned_back
from .gaussian import FEWEST_JOINTS, Fused, View, fused, surprise
from .level import Up, level_axes
from .moments import aligned, matched_cameras
from .persistence import with_persistence
from .pictured import in_one_picture
from .posterior import FusedPosterior
from .sides import exchanged_sides, with_sides

__all__ = ["MAX_GAP", "fuse"]

#: Seconds that no camera shows and that are filled.
MAX_GAP = 0.5
#: Times that keypoints are weighed anew.
_PASSES = 6
#: Moments at a time.
_CHUNK = 128
#: Squared distances from which on a keypoint is surprising at all: the 99 % quantile in two dimensions.
_USUAL = 9.21
#: Keypoints that count less than this are told of; weights that change by less are left as they are.
_FLAGGED, _SAME = 0.25, 0.05
#: Views are not of one scene where they need such a factor on standard deviations, or where such a share of keypoints
#: hardly counts, or both of the smaller ones: a detector that is merely too sure is consistent with itself.
_CONTRADICT, _CONTRADICTED, _BOTH = 5.0, 0.1, (3.0, 0.03)
#: Least that a keypoint counts.
_LEAST = 1e-6
#: Moments and keypoints below which nothing is said of the detector's noise, factors between which it is looked for,
#: and logarithm of one that is not distinguished from 1.
_MOMENTS, _KEYPOINTS, _FACTORS, _NEAR = 8, 100, (0.25, 8.0), 0.25
#: Median of a squared distance in two dimensions where the covariance is right: 2 ln 2.
_MEDIAN = 2.0 * math.log(2.0)


@torch.no_grad()
def fuse(
    lifter: Lifter,
    keypoints_by_camera: Mapping[str, Keypoints2D],
    cameras: Mapping[str, Camera] | str | os.PathLike[str],
    fps: float | None = None,
    *,
    clip: Literal["auto", "on", "off"] = "auto",
    up: Up = "auto",
    max_gap: float = MAX_GAP,
    errors: ClipErrors | None = None,
    recalibration: Recalibration | None = None,
    noise: Literal["auto", "as told"] = "auto",
    device: torch.device | str = "cpu",
) -> FusedPosterior:
    """Fuse several synchronised, calibrated views of one person: the posterior of poses and places in the world.

    Every camera's keypoints are lifted. What the lifter knows beforehand is counted once, every keypoint exactly, and
    body and place are common to all views (`poseterior.lifting.views.gaussian`): with two views or more the place is
    triangulated. A joint or a moment that a camera does not show carries nothing. Keypoints that the other views
    contradict count less, the lifter is asked anew with them as uncertain as they prove, and ``settings`` names them.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        keypoints_by_camera: name of each camera -> one person's keypoints, whose frames' numbers are the same at the
            same moment in all cameras; pixels as the camera shows them: the lens's distortion is undone here.
        cameras: by name, or a calibration file (`read_cameras`).
        fps: frames per second; None: what a file told, else 30.
        clip: join the moments to a motion, as `poseterior.lift_clip` does for one view; "auto" where there are 5 or
            more.
        up: the axis of the world that points up, ``"x"`` to ``"-z"``; "auto": of all axes the nearest to what is above
            in the pictures.
        max_gap: moments that no camera shows are filled in gaps of at most so many seconds.
        errors: how the errors of fused poses hang together over time; None: as the views' residuals show, but no less
            than the lifter's own do across the ray.
        recalibration: of fused poses, where one was fitted; None: regions are the samples' own, and say so.
        noise: "auto" puts the keypoints' standard deviations right where the views of a clip show them to be wrong.
        device: where to lift.

    Raises:
        InputError: no keypoints, a camera that is not calibrated, several people in one camera, a frame that is there
            twice, a rate or a gap that is none; the message names the camera.

    >>> import poseterior as pp  # doctest: +SKIP
    >>> views = {name: pp.read_keypoints(f"{name}.json") for name in ("cam1", "cam2")}  # doctest: +SKIP
    >>> pose = pp.fuse(pp.load("flow"), views, "Calib.toml", fps=60)  # doctest: +SKIP
    >>> pose.places.shape, pose.region(0.9).radius.mean()  # doctest: +SKIP
    """
    if clip not in ("auto", "on", "off") or noise not in ("auto", "as told"):
        raise InputError(f"fuse: clip: expected auto, on or off; noise: auto or as told; got {clip!r} and {noise!r}")
    known = cameras if isinstance(cameras, Mapping) else read_cameras(cameras)
    chosen = matched_cameras(keypoints_by_camera, known)
    rates = [rate for kept in keypoints_by_camera.values() for rate in getattr(kept, "rates", {}).values()]
    rate = check_fps((rates[0] if rates else ASSUMED_FPS) if fps is None else fps)
    if not max_gap >= 0:
        raise InputError(f"max_gap: expected seconds from 0, got {max_gap}")
    lifter = lifter.to(device).eval()
    seen = aligned(keypoints_by_camera, chosen, lifter.skeleton, rate, max_gap)
    notes: dict[str, str] = {"views": _views_words(chosen)}
    as_clip = clip == "on" or (clip == "auto" and len(seen[0]) >= FEWEST_FRAMES)
    seen = [view.to(device) for view in _straightened(seen, chosen, notes)]
    found, views, weight, factor = _settled(lifter, seen, chosen, noise == "auto")
    if factor != 1.0:
        size = f"{factor:.1f} times too small" if factor > 1 else f"{1 / factor:.1f} times too large"
        notes["noise"] = f"the views show your detector's sigma to be about {size}: it was put right"
    if _contradict(factor, _contradicted(weight, seen)):
        notes["contradiction"] = (
            "the views contradict each other: check the calibration, which camera is which, and that frames of one "
            "number are of one moment; the intervals are not to be trusted"
        )
    if (said := _outlier_words(weight, seen, chosen)) is not None:
        notes["outliers"] = said
    shown = torch.stack([view.visible for view in views]).any(0)
    whole = in_one_picture(seen[0].to("cpu"), chosen[0], found.mean.cpu(), found.covariance.cpu(), shown.cpu())
    whole = whole._replace(ids=[identity._replace(file=_common_name(chosen), person=0) for identity in seen[0].ids])
    notes["keypoints"] = f"those of {chosen[0].name}; of joints that only other cameras show, where it would see them"
    posterior = FusedPosterior(
        keypoints=whole,
        cameras=tuple(chosen),
        mean_places=found.mean,
        covariance_places=found.covariance,
        present=torch.stack([view.visible.sum(-1) for view in views]).amax(0) >= FEWEST_JOINTS,
        weight=weight,
        fps=rate,
        level=torch.from_numpy(level_axes(chosen, up)),
        lifter=lifter,
        noise=factor,
        recalibration=recalibration,
        settings=notes,
    )
    if not as_clip:
        return posterior
    if errors is None and len(views) > 1:
        counted = (weight >= _FLAGGED) & torch.stack([view.visible & ~view.synthesised for view in seen]).cpu()
        usual = lifter.clips or ClipErrors()
        errors = with_persistence(usual, found, views, counted, _step(posterior.frame) / rate)
    return posterior.smoothed(errors)


def _step(frames: NDArray[np.int64]) -> float:
    """Frames from one moment to the next, as most of them are apart."""
    return float(np.median(np.diff(frames)))


def _views_words(cameras: list[Camera]) -> str:
    names = ", ".join(camera.name for camera in cameras)
    return f"{len(cameras)} ({names}); the cameras are taken to be calibrated exactly, and synchronised"


def _common_name(cameras: list[Camera]) -> str:
    return cut("+".join(camera.name for camera in cameras), 80)


def _straightened(seen: list[Keypoints2D], cameras: list[Camera], notes: dict[str, str]) -> list[Keypoints2D]:
    """Views in which left and right were exchanged for some frames, put right; and says so."""
    said, straight = [], []
    groups, wrong = exchanged_sides(seen, cameras)
    for number, (view, camera) in enumerate(zip(seen, cameras, strict=True)):
        if len(seen) == 1 and len(view) >= FEWEST_FRAMES:
            joints = exchanged(view)
            view = turned_back(view, joints) if bool(joints.any()) else view
            any_wrong = joints.any(-1)
        else:
            for group, own in zip(groups, wrong[:, number], strict=True):
                view = with_sides(view, group, own) if bool(own.any()) else view
            any_wrong = wrong[:, number].any(0)
        if bool(any_wrong.any()):
            numbers = [identity.frame for identity, bad in zip(view.ids, any_wrong.tolist(), strict=True) if bad]
            said.append(f"{camera.name}: {frame_list(numbers)}")
        straight.append(view)
    if said:
        notes["exchanged"] = f"left and right (of arms or legs) were exchanged in {'; '.join(said)}"
    return straight


def _lifted(lifter: Lifter, keypoints: Keypoints2D, camera: Camera) -> View:
    parts = [lifter(keypoints[rows]).joint_moments for rows in torch.arange(len(keypoints)).split(_CHUNK)]
    mean, covariance = (torch.cat(part).double().cpu() for part in zip(*parts, strict=True))
    return View(
        mean,
        covariance,
        keypoints.xy.double().cpu(),
        keypoints.covariance.double().cpu(),
        keypoints.visible.cpu(),
        *(torch.tensor(np.array(part)) for part in (camera.intrinsics, camera.rotation, camera.translation)),
    )


def _settled(
    lifter: Lifter, seen: list[Keypoints2D], cameras: list[Camera], judge: bool
) -> tuple[Fused, list[View], Float[Tensor, "views n joints"], float]:
    """The posterior with every keypoint as certain as the views agree that it is.

    Returns:
        It, the views, how much each keypoint counted (1: as it was told), and by what all standard deviations were
        multiplied.
    """
    seen = _guesses_once(seen)
    told = torch.stack([view.covariance.double().cpu() for view in seen])
    measured = ~torch.stack([view.synthesised for view in seen]).cpu()
    weight = torch.ones(told.shape[:3], dtype=torch.float64)
    factor = 1.0
    views = [_lifted(lifter, view, camera) for view, camera in zip(seen, cameras, strict=True)]
    found = _fused(views, lifter.skeleton.root)
    if len(views) < 2:
        return found, views, weight, factor
    for _ in range(_PASSES):
        distance, known = surprise(found, views, told * factor**2)
        fresh = factor
        # Of two views one tells the depth of the other: what is left over between them is one number in four.
        # Guesses are no measurements.
        many = known & (known.sum(0) >= 3) & measured
        if judge and len(told[0]) >= _MOMENTS and int(many.sum()) >= _KEYPOINTS:
            fresh = _judged(factor, float(distance[many].median()))
            distance = distance * (factor / fresh) ** 2
        # The pull of what is far off has to vanish (Geman and McClure 1985), which that of Student's t does not.
        new = torch.where(known, (_USUAL / distance.clamp(min=_USUAL)).square(), 1.0).clamp(min=_LEAST)
        changed = (new - weight).abs() > _SAME
        if not bool(changed.any()) and abs(math.log(fresh / factor)) < _SAME:
            break
        asked = [bool(own.any()) or fresh != factor for own in changed]
        weight, factor = torch.where(changed, new, weight), fresh
        noise = told * factor**2 / weight[..., None, None]
        for number, camera in enumerate(cameras):
            if asked[number]:
                widened = seen[number]._replace(covariance=noise[number].float().to(seen[number].device))
                views[number] = _lifted(lifter, widened, camera)._replace(noise=noise[number])
        found = _fused(views, lifter.skeleton.root)
    return found, views, weight, factor


def _guesses_once(seen: list[Keypoints2D]) -> list[Keypoints2D]:
    """Joints that were made of others are the same guess in every view: all views of one count as one."""
    made = torch.stack([view.synthesised for view in seen])
    number = made.sum(0).clamp(min=1)
    return [
        view._replace(covariance=torch.where(own[..., None, None], number[..., None, None], 1) * view.covariance)
        for view, own in zip(seen, made, strict=True)
    ]


def _judged(factor: float, median: float) -> float:
    """A better factor, of the median squared distance that there is with this one."""
    better = factor * math.sqrt(max(median, 1e-6) / _MEDIAN)
    better = min(max(better, _FACTORS[0]), _FACTORS[1])
    return 1.0 if abs(math.log(better)) < _NEAR and factor == 1.0 else better


def _fused(views: list[View], root: int) -> Fused:
    count = len(views[0].mean)
    chunks = torch.arange(count).split(_CHUNK)
    parts = [fused([_rows(view, rows) for view in views], root) for rows in chunks]
    mean, covariance = (torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "covariance"))
    residual, slope = (torch.cat([getattr(part, name) for part in parts], 1) for name in ("residual", "slope"))
    return Fused(mean, covariance, residual, slope)


def _rows(view: View, rows: Tensor) -> View:
    return view._replace(
        **{name: getattr(view, name)[rows] for name in ("mean", "covariance", "xy", "noise", "visible")}
    )


def _contradict(factor: float, share: float) -> bool:
    """Whether views that need this factor, and of which this share of keypoints hardly counts, are of one scene."""
    return factor > _CONTRADICT or share > _CONTRADICTED or (factor > _BOTH[0] and share > _BOTH[1])


def _contradicted(weight: Float[Tensor, "views n joints"], seen: list[Keypoints2D]) -> float:
    """Share of keypoints that hardly count."""
    shown = torch.stack([view.visible for view in seen]).cpu()
    return float((weight < _FLAGGED)[shown].double().mean()) if bool(shown.any()) else 0.0


def _outlier_words(
    weight: Float[Tensor, "views n joints"], seen: list[Keypoints2D], cameras: list[Camera]
) -> str | None:
    """Which keypoints the other views contradict."""
    said = []
    for view, camera, own in zip(seen, cameras, weight, strict=True):
        wrong = (own < _FLAGGED) & view.visible.cpu()
        for joint in wrong.any(0).nonzero().flatten().tolist():
            numbers = [view.ids[row].frame for row in wrong[:, joint].nonzero().flatten().tolist()]
            said.append((len(numbers), f"{camera.name} {view.skeleton.joints[joint]} in {frame_list(numbers)}"))
    if not said:
        return None
    said.sort(key=lambda one: -one[0])
    more = f"; and {len(said) - 12} more" if len(said) > 12 else ""
    return "other views contradict " + "; ".join(text for _, text in said[:12]) + more
