"""From the keypoints of a clip to the posterior of its motion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ...files.checks import of_file
from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...lifters.detector_noise import noise_factors, noise_words
from ...results.times import ASSUMED_FPS, check_fps
from ..arguments import check_keypoints, check_lifter
from .frames import Frames, frames_of, times_of, with_every_frame
from .gaussian import weighed_gaussian
from .jitter import least_noise, most_noise
from .posterior import ClipPosterior
from .root import check_camera
from .sizes import ClipSize
from .surprises import FLAGGED, exchanged, frame_list, hidden, strays, turned_back
from .switches import check_roots, somebody_else

__all__ = ["MAX_GAP", "clip_keypoints", "clip_posterior", "clip_words", "every_frame", "lift_clip", "lift_frames"]

#: Seconds without the person that are filled.
MAX_GAP = 0.5
#: Told heights this far apart (metres) are two.
_SAME = 1e-3
#: Probability of the interval of heights beyond which a height that is told is doubted.
_SURE = 0.98
#: From which factor on jumps raise standard deviations.
_RAISED = 1.5
#: Joints that are named.
_NAMED = 4


@torch.no_grad()
def lift_clip(
    lifter: Lifter,
    keypoints: Keypoints2D,
    fps: float | None = None,
    *,
    max_gap: float = MAX_GAP,
    errors: ClipErrors | None = None,
    contacts: bool = False,
    device: torch.device | str = "cpu",
) -> ClipPosterior:
    """Lift a clip of one person as a whole: the posterior of the motion.

    Every frame is lifted by itself. The frames' answers are then joined: people move smoothly, each joint as livelily
    as the clip says, and a lifter's errors have a part that is new in every frame, one that stays for some frames, and
    one that all frames share, which no averaging removes (`poseterior.distributions.clip_errors`). The camera is taken
    to stand still. Frames that do not fit their neighbours count less; where left and right are exchanged they are
    turned back first. Both are told of in ``settings``.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        keypoints: the frames of one person in one file, in any order; their numbers are those of ``keypoints.ids``.
        fps: frames per second; None: what the file told, else 30.
        max_gap: frames that are missing are filled in gaps of at most so many seconds.
        errors: how the errors of the lifter's frames hang together; None: its own (`Lifter.clips`), else typical ones,
            of which ``settings`` tells.
        contacts: feet that stand still do not slide: they hold the pelvis (needs the camera's intrinsics).
        device: where to lift.

    Raises:
        InputError: no frame that shows anybody, several people, files or heights, a frame that is there twice, a rate
            or a gap that is none; a person who jumps as nobody does, and stays there
            (`poseterior.lifting.clips.switches`).
    """
    frames = lift_frames(lifter, keypoints, fps, max_gap=max_gap, device=device)
    return clip_posterior(lifter, frames, errors, contacts)


@torch.no_grad()
def lift_frames(
    lifter: Lifter,
    keypoints: Keypoints2D,
    fps: float | None = None,
    *,
    max_gap: float = MAX_GAP,
    device: torch.device | str = "cpu",
) -> Frames:
    """What the lifter says of each frame of a clip; arguments and what is refused as `lift_clip`."""
    clip, rate, notes = clip_keypoints(lifter, keypoints, fps, max_gap=max_gap, device=device)
    frames = replace(frames_of(lifter, clip, rate, notes), keypoints=clip)  # with the height that is told
    check_roots(frames.keypoints, frames.poses, frames.present, frames.times)
    return frames


@torch.no_grad()
def clip_keypoints(
    lifter: Lifter,
    keypoints: Keypoints2D,
    fps: float | None = None,
    *,
    max_gap: float = MAX_GAP,
    device: torch.device | str = "cpu",
) -> tuple[Keypoints2D, float, dict[str, str]]:
    """The keypoints of a clip as they are used, frames per second, and what was found of them, in words.

    Arguments and what is refused as `lift_clip`; the lifter is moved and put into evaluation mode.
    """
    filled, rate = every_frame(lifter, keypoints, fps, max_gap)
    clip = filled.to(device)
    _check_height(clip)
    elsewhere = somebody_else(clip, times_of(clip, rate))
    if bool(elsewhere.any()):
        clip = clip._replace(visible=clip.visible & ~elsewhere.to(clip.device).unsqueeze(-1))
    lifter = lifter.to(device).eval()
    wrong = exchanged(clip)
    clip = turned_back(clip, wrong) if bool(wrong.any()) else clip
    stray = strays(clip, rate)
    clip = hidden(clip, stray) if bool(stray.any()) else clip
    # Residuals may be the network's own; how keypoints jump is not. Noise that hangs together jumps less than it is.
    most, least = most_noise(clip), least_noise(clip, rate)
    factor = noise_factors(lifter, clip).clamp(1.0, max(1.0, most))
    factor = factor.clamp(min=least) if least > _RAISED else factor
    notes = {"noise": said} if (said := noise_words(factor)) else {}
    if bool(wrong.any()):
        notes["exchanged"] = f"left and right were exchanged{_where(clip, wrong)}"
    if bool(stray.any()):
        notes["strays"] = f"keypoints that jump away and back were not used{_where(clip, stray)}"
    if bool(elsewhere.any()):
        numbers = [clip.ids[row].frame for row in elsewhere.nonzero().squeeze(-1).tolist()]
        count = "counts" if len(numbers) == 1 else "count"
        notes["jumps"] = f"{frame_list(numbers)} showed somebody elsewhere, and {count} as missing"
    return clip.with_noise(factor.to(clip.device)), rate, notes


def every_frame(
    lifter: Lifter, keypoints: Keypoints2D, fps: float | None, max_gap: float
) -> tuple[Keypoints2D, float]:  # fmt: skip
    """`with_every_frame` in the lifter's skeleton, and frames per second; arguments as of `lift_clip`."""
    check_lifter(lifter)
    ids = check_keypoints(keypoints).ids
    told = keypoints.rates.get(ids[0].file) if ids else None
    rate = check_fps((told or ASSUMED_FPS) if fps is None else fps)
    if not max_gap >= 0:
        raise InputError(f"max_gap: expected seconds from 0, got {max_gap}")
    return with_every_frame(keypoints.as_skeleton(lifter.skeleton).flatten(), rate, max_gap), rate


def _check_height(keypoints: Keypoints2D) -> None:
    """Refuse frames of one person that tell several heights."""
    told = keypoints.height[keypoints.height.isfinite()]
    if len(told) and float(told.max() - told.min()) > _SAME:
        raise InputError(
            f"height: {of_file(keypoints.ids[0].file)}its frames tell {float(told.min()):g} m and "
            f"{float(told.max()):g} m of one person; tell one height"
        )


def _where(clip: Keypoints2D, joints: Bool[Tensor, "T joints"]) -> str:
    """Which joints in which frames, in words."""
    numbers = [identity.frame for identity, some in zip(clip.ids, joints.any(-1).tolist(), strict=True) if some]
    names = [name for name, some in zip(clip.skeleton.joints, joints.any(0).tolist(), strict=True) if some]
    shown = f" ({', '.join(names)})" if len(names) <= _NAMED else ""
    return f" in {frame_list(numbers)}{shown}"


@torch.no_grad()
def clip_posterior(
    lifter: Lifter, frames: Frames, errors: ClipErrors | None = None, contacts: bool = False
) -> ClipPosterior:
    """The posterior of the motion, of what the lifter said of each frame; arguments as `lift_clip`."""
    known = errors or lifter.clips
    used = known or ClipErrors()
    gaussian, weight = weighed_gaussian(frames, used)
    size = None if frames.told is None else frames.sizes.common(frames.present, used.size)
    settings = frames.notes | clip_words(frames.keypoints, frames.present.numpy(), weight, known, frames.told, size)
    if contacts:
        check_camera(frames.keypoints)
        settings["contacts"] = "feet that stand still hold the pelvis"
    return ClipPosterior(frames, weight, gaussian, used, lifter, settings, contacts)


def clip_words(
    keypoints: Keypoints2D,
    present: NDArray[np.bool_],
    weight: Float[NDArray[np.float64], " T"],
    errors: ClipErrors | None,
    told: float | None,
    size: ClipSize | None,
) -> dict[str, str]:
    """What is said of a clip.

    Args:
        keypoints: of every frame.
        present: ``(T,)`` frames that show somebody.
        weight: ``(T,)`` how much each frame counted.
        errors: of the lifter's frames; None where they were not measured.
        told: height in metres; None where it was not told.
        size: of the person, as the clip shows it by itself; None without a height.
    """
    said = {
        "clip": "one body and a steady camera are assumed; each hypothesis is a whole motion",
        "clip errors": "of the lifter" if errors else "typical ones: not measured for this lifter",
    }
    if told is not None and size is not None:
        used = errors or ClipErrors()
        _, low, high = size.interval(_SURE, used.height)
        if not low <= told <= high:
            said["height"] = (
                f"the height told, {told:g} m, is unlike what the clip shows ({low:.2f} to {high:.2f} m): is it right?"
            )
    if not present.all():
        numbers = [keypoints.ids[row].frame for row in np.flatnonzero(~present)]
        said["filled"] = f"{frame_list(numbers)} in which nobody was seen"
    if (weight < FLAGGED).any():
        numbers = [keypoints.ids[row].frame for row in np.flatnonzero(weight < FLAGGED)]
        said["outliers"] = f"{frame_list(numbers)} did not fit their neighbours"
    return said
