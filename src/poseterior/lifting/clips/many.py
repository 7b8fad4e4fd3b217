"""Several clips at once, as one result; photographs among them are lifted by themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray

from ...distributions.intervals import AngleRecalibration
from ...files.checks import counted
from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...lifters import ArticulatedLifter, Lifter
from ...lifters.detector_noise import noise_factors, noise_words
from ...results.poses import LiftResult
from ...results.provenance import SINGLE, clips_of
from ...results.roots import root_of_samples, roots
from ...results.times import ASSUMED_FPS, pace_words
from ..arguments import check_keypoints, check_lifter
from ..draws import Draws, check_draws, draw, ready
from ..poses import lift
from .lift import MAX_GAP, lift_clip
from .memory import check_clip_memory
from .posterior import ClipPosterior
from .results import clip_result
from .switches import TrackSwitch
from .telling import not_one_motion
from .windows import LONG, LongClip, in_windows

__all__ = [
    "FEWEST_FRAMES",
    "NOT_WHOLE",
    "Clips",
    "Part",
    "as_named",
    "as_one_file",
    "clip_lines",
    "clip_of",
    "clip_rows",
    "lift_clips",
    "lift_parts",
    "parts_of",
    "suits_clips",
]

#: Whether clips are lifted as a whole: where it is known how, wherever there are clips, or not at all.
Clips = Literal["auto", "on", "off"]
#: Frames of one person that make a clip.
FEWEST_FRAMES = 5
#: In the settings: clips that were lifted frame by frame after all, and why.
NOT_WHOLE = "no clip"
#: How reasons begin that name file and person themselves: those of `TrackSwitch`.
_TOLD = "clip: "
#: Clips that are named one by one.
_NAMED = 6


@dataclass(frozen=True)
class Part:
    """Poses that are lifted together.

    Attributes:
        rows: of the keypoints, in order of the frames.
        whole: they are lifted as one clip; otherwise frame by frame.
        why_not: why frames that look like a clip are none, in words.
        insisted: what turns out to be no clip is refused, rather than lifted frame by frame.
    """

    rows: Int[NDArray[np.int64], " n"]
    whole: bool
    why_not: str = ""
    insisted: bool = False


def clip_rows(keypoints: Keypoints2D) -> list[np.ndarray]:
    """Rows of each clip: one person through one file, or through files numbered evenly."""
    ids = keypoints.ids
    file, frame, person = (np.array([getattr(one, name) for one in ids]) for name in ("file", "frame", "person"))
    return clips_of(file, frame, person)


def parts_of(lifter: Lifter, keypoints: Keypoints2D, clips: Clips = "auto", fps: float | None = None) -> list[Part]:
    """What is lifted as a clip, and what frame by frame.

    With ``"auto"``: clips are at least `FEWEST_FRAMES` frames of one person, which move as one person does, of a lifter
    of which it was measured how its errors hang together. With ``"on"`` any lifter's, of two frames on.

    Args:
        lifter: whose answers they will be.
        keypoints: one batch dimension.
        clips: see `Clips`.
        fps: frames per second; by default what the files told, else 30.

    Raises:
        InputError: ``"on"``, and frames of what should be a clip are not one person's motion; or a lifter of which
            there are no clips.
    """
    rows_of_all = np.arange(len(keypoints.ids))
    if clips == "on" and isinstance(lifter.reader, ArticulatedLifter):
        raise InputError("clip: this lifter's rotations are not made of another lifter's poses; use 'flow' or 'mdn'")
    if clips == "off" or (clips == "auto" and lifter.reader.clips is None):
        return [Part(rows_of_all, False)]
    found = []
    for rows in clip_rows(keypoints):
        if len(rows) < (FEWEST_FRAMES if clips == "auto" else 2):
            found.append(Part(rows, False))
            continue
        own = keypoints[torch.from_numpy(rows)]
        rate = fps or own.rates.get(own.ids[0].file) or ASSUMED_FPS
        why_not = not_one_motion(own, rate)
        if why_not and clips == "on":
            if why_not.startswith(_TOLD):  # it names file and person itself, and what to do
                raise TrackSwitch(why_not)
            raise InputError(f"clip: {_named(own)}: {why_not}; lift its parts one by one, or frame by frame: clip off")
        found.append(Part(rows, not why_not, why_not, clips == "on"))
    if isinstance(lifter, ArticulatedLifter) and not all(part.whole for part in found):
        # One result has rotations throughout, or nowhere.
        if clips == "on" and any(part.whole for part in found):
            raise InputError(
                "clip: a lifter with rotations takes clips or single poses, not both at once; lift them apart"
            )
        return [Part(rows_of_all, False, next((part.why_not for part in found if part.why_not), ""))]
    return found


def suits_clips(lifter: Lifter, keypoints: Keypoints2D) -> bool:
    """Whether these are clips, all of them, and it was measured how this lifter's errors hang together."""
    return all(part.whole for part in parts_of(lifter, keypoints))


def clip_lines(keypoints: Keypoints2D, parts: list[Part], fps: float | None = None) -> list[str]:
    """What is to be said of how the input is lifted; nothing where every frame is, and none looks like a clip."""
    whole = [part for part in parts if part.whole]
    lines = []
    for part in whole[:_NAMED]:
        own = keypoints[torch.from_numpy(part.rows)]
        told = fps or own.rates.get(own.ids[0].file)
        pace = pace_words([identity.frame for identity in own.ids], told or ASSUMED_FPS)
        rate = pace + ("" if told else ", which is assumed")
        lines.append(f"lifted as one clip: {_named(own)}: {counted(len(own), 'frame')} at {rate}")
    if len(whole) > _NAMED:
        lines.append(f"lifted as one clip each: {len(whole) - _NAMED} more")
    singles = sum(len(part.rows) for part in parts if not part.whole and not part.why_not)
    if whole and singles:
        lines.append(f"lifted frame by frame: {counted(singles, 'other pose')}")
    for part in parts:
        if part.why_not:
            named = part.why_not.startswith(_TOLD)
            who = "" if named else f"{_named(keypoints[torch.from_numpy(part.rows)])}: "
            lines.append(f"lifted frame by frame: {who}{part.why_not.removeprefix(_TOLD)}")
    return lines


def _named(clip: Keypoints2D) -> str:
    """File or files, person and frames of one clip."""
    files = list(dict.fromkeys(identity.file for identity in clip.ids))
    name = files[0] if len(files) == 1 else f"{len(files)} files, {files[0]} to {files[-1]}"
    first, last = clip.ids[0], clip.ids[-1]
    return (
        (f"{name}, " if name else "")
        + f"person {first.person}"
        + (f", frames {first.frame} to {last.frame}" if len(files) == 1 else "")
    )


def lift_clips(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
    level: float = 0.9,
    fps: float | None = None,
    max_gap: float = MAX_GAP,
    contacts: bool = False,
    ground: bool = False,
) -> LiftResult:
    """Lift clips, each as a whole (`lift_clip`), to one result: the k-th hypotheses of a clip's frames are one motion.

    Frames that are missing in gaps of at most ``max_gap`` seconds are in the result, and show no joint.

    Args:
        lifter, samples, seed, device, level: as for `poseterior.lift`.
        keypoints: of one or more people, in any skeleton.
        fps, max_gap, contacts: as for `lift_clip`.
        ground: find the floor of each clip: `ClipPosterior.on_ground`.

    Of several clips, those that show one person after another are left out, and told of in ``settings["left out"]``.

    Raises:
        InputError: as `lift_clip` and `poseterior.lift`.
    """
    check_lifter(lifter)
    whole = check_keypoints(keypoints).flatten()
    parts = [Part(rows, True, insisted=True) for rows in clip_rows(whole)]
    return lift_parts(
        lifter, whole, parts, samples, seed, device, level, fps, max_gap, contacts=contacts, ground=ground
    )


def lift_parts(
    lifter: Lifter,
    keypoints: Keypoints2D,
    parts: list[Part],
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
    level: float = 0.9,
    fps: float | None = None,
    max_gap: float = MAX_GAP,
    mode: bool = False,
    contacts: bool = False,
    ground: bool = False,
) -> LiftResult:
    """Lift each part its own way, to one result: `LiftResult.whole` tells which frames belong together.

    Args:
        lifter, samples, seed, device, level, mode: as for `poseterior.lift`. Clips of a lifter with rotations are those
            of the lifter whose poses it goes through; their rotations are left to `LiftResult.motion`.
        keypoints: one batch dimension, in any skeleton.
        parts: from `parts_of`.
        fps, max_gap, contacts: as for `lift_clip`.
        ground: find the floor of each clip: `ClipPosterior.on_ground`.

    A clip that turns out to show one person after another is lifted frame by frame, and ``settings["no clip"]`` says
    so; where clips are insisted on it is refused, or of several left out (``settings["left out"]``).

    Raises:
        InputError: as `lift_clip` and `poseterior.lift`.
    """
    if not any(part.whole for part in parts):
        return lift(lifter, keypoints, samples, seed, device=device, level=level, mode=mode)
    check_draws(samples, seed, fewest=0)
    most = len(keypoints) if contacts or ground else LONG  # others are lifted in windows
    longest = max(min(len(part.rows), most) for part in parts if part.whole)
    check_clip_memory(lifter.reader, longest, len(keypoints), samples)
    own_lifter, lifter = lifter, lifter.reader
    everything = keypoints.as_skeleton(lifter.skeleton).flatten()
    used: list[Keypoints2D] = []
    draws: list[Draws] = []
    notes: dict[str, list[str]] = {}
    single: list[list[str | int]] = []
    for part in parts:
        own = everything[torch.from_numpy(part.rows)]
        said: dict[str, str] = {}
        lifted: ClipPosterior | LongClip | None = None
        if part.whole:
            try:
                lifted = clip_of(lifter, own, fps, max_gap, contacts, ground, device)
            except TrackSwitch as refused:
                if part.insisted and len(parts) == 1:
                    raise
                notes.setdefault("left out" if part.insisted else NOT_WHOLE, []).append(str(refused))
                if part.insisted:
                    continue
        if lifted is not None:
            used.append(as_named(lifted.keypoints, own))
            if isinstance(lifted, LongClip):
                draws += [found for _, found in lifted.draws(samples, seed, level)]
            else:
                draws.append(lifted.draws(samples, seed, level))
            said = lifted.settings
        else:
            factor = noise_factors(ready(lifter, device), own.to(device))
            own = own.with_noise(factor.to(own.device))
            said = {"noise": words} if (words := noise_words(factor)) else {}
            used.append(own)
            draws += draw(lifter, own, samples, seed, device=device, level=level)
            single += [[file, person] for file, person in dict.fromkeys((i.file, i.person) for i in own.ids)]
        for name, words in said.items():
            notes.setdefault(name, []).append(words)
    if not used:
        raise InputError("; ".join(notes["left out"]))
    if "clip errors" not in notes:  # none was a clip after all
        result = lift(own_lifter, keypoints, samples, seed, device=device, level=level, mode=mode)
        return replace(result, settings=result.settings | {NOT_WHOLE: "; ".join(notes[NOT_WHOLE])})
    joined = Keypoints2D.cat(used)
    joined.rates = everything.rates if fps is None else dict.fromkeys((one.file for one in joined.ids), fps)
    settings = {name: "; ".join(dict.fromkeys(said)) for name, said in notes.items()}
    if not single:
        return clip_result(lifter, joined, draws, lifter.clips, settings, seed)
    result = clip_result(lifter, joined, draws, lifter.clips, settings | {SINGLE: json.dumps(single)}, seed)
    return _with_own_roots(replace(result, angle_calibration=_of_both(lifter)))


def _with_own_roots(result: LiftResult) -> LiftResult:
    """The same where single poses beside clips stand where their own samples put them, as poses of any result do."""
    if result.root_samples is None:
        return result
    rows = np.flatnonzero(~np.isfinite(result.root_samples).all((1, 2)))
    apart = replace(result[rows], root_samples=None, ground=None)
    samples, mean, covariance = result.root_samples.copy(), result.root.copy(), result.root_covariance.copy()
    samples[rows] = root_of_samples(apart)
    mean[rows], covariance[rows] = roots(apart)
    return replace(result, root_samples=samples, root=mean, root_covariance=covariance)


def clip_of(
    lifter: Lifter,
    own: Keypoints2D,
    fps: float | None,
    max_gap: float,
    contacts: bool,
    ground: bool,
    device: torch.device | str,
) -> ClipPosterior | LongClip:
    """The posterior of one clip; files that hold a frame each are one clip, whatever each of them is called.

    Long ones are lifted in windows, where neither contacts nor the ground is asked for, which are told by all of a
    clip. Arguments as of `lift_clips`.

    Raises:
        TrackSwitch: the clip shows one person after another.
    """
    together = as_one_file(own)
    if in_windows(together) and not (contacts or ground):
        return LongClip.of(lifter, together, fps, max_gap=max_gap, device=device)
    clip = lift_clip(lifter, together, fps, max_gap=max_gap, contacts=contacts, device=device)
    return clip.on_ground() if ground else clip


def as_one_file(own: Keypoints2D) -> Keypoints2D:
    """The keypoints of a clip, as if all of them came from the file of the first."""
    name = own.ids[0].file
    return own._replace(ids=[identity._replace(file=name) for identity in own.ids])


def as_named(keypoints: Keypoints2D, own: Keypoints2D) -> Keypoints2D:
    """The keypoints of a clip as they were used, with the files' own names."""
    named = {identity.frame: identity.file for identity in own.ids}
    ids, last = [], own.ids[0].file
    for identity in keypoints.ids:
        last = named.get(identity.frame, last)
        ids.append(identity._replace(file=last))
    return keypoints.to("cpu")._replace(ids=ids)


def _of_both(lifter: Lifter) -> str:
    """What calibrates angles of clips and of frames in one result: the wider of the two, nothing where one is none."""
    of_clips = None if lifter.clips is None else lifter.clips.recalibration
    first, second = (None if one is None else one.angles for one in (lifter.recalibration, of_clips))
    if first is None or second is None:
        return ""
    wider: AngleRecalibration | None = first.wider(second)
    return "" if wider is None else wider.to_json()
