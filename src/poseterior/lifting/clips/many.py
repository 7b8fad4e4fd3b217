"""Several clips at once, as one result."""

from __future__ import annotations

import numpy as np
import torch

from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...lifters import ArticulatedLifter, Lifter
from ...results.poses import LiftResult
from ...results.provenance import clips_of
from ..draws import Draws, check_draws
from .lift import MAX_GAP, lift_clip
from .results import clip_result
from .switches import TrackSwitch

__all__ = ["FEWEST_FRAMES", "clip_rows", "lift_clips", "suits_clips"]

#: Frames of one person that make a clip.
FEWEST_FRAMES = 5


def clip_rows(keypoints: Keypoints2D) -> list[np.ndarray]:
    """Rows of each clip: one person through one file, or through files numbered evenly."""
    ids = keypoints.ids
    file, frame, person = (np.array([getattr(one, name) for one in ids]) for name in ("file", "frame", "person"))
    return clips_of(file, frame, person)


def suits_clips(lifter: Lifter, keypoints: Keypoints2D) -> bool:
    """Whether these are clips, all of them, and it was measured how this lifter's errors hang together."""
    measured = lifter.clips is not None and not isinstance(lifter, ArticulatedLifter)
    return measured and all(len(rows) >= FEWEST_FRAMES for rows in clip_rows(keypoints))


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
    check_draws(samples, seed)
    whole = keypoints.as_skeleton(lifter.skeleton).flatten()
    parts: list[Keypoints2D] = []
    draws: list[Draws] = []
    notes: dict[str, list[str]] = {}
    clips = clip_rows(whole)
    for rows in clips:
        part = whole[torch.from_numpy(rows)]
        names = [identity.file for identity in part.ids]
        # Files that hold a frame each are one clip, whatever each of them is called.
        together = part._replace(ids=[identity._replace(file=names[0]) for identity in part.ids])
        try:
            clip = lift_clip(lifter, together, fps, max_gap=max_gap, contacts=contacts, device=device)
        except TrackSwitch as refused:
            if len(clips) == 1:
                raise
            notes.setdefault("left out", []).append(str(refused))
            continue
        clip = clip.on_ground() if ground else clip
        draws.append(clip.draws(samples, seed, level))
        named = {identity.frame: name for identity, name in zip(part.ids, names, strict=True)}
        ids, last = [], names[0]
        for identity in clip.keypoints.ids:
            last = named.get(identity.frame, last)
            ids.append(identity._replace(file=last))
        parts.append(clip.keypoints.to("cpu")._replace(ids=ids))
        for name, said in clip.settings.items():
            notes.setdefault(name, []).append(said)
    if not parts:
        raise InputError("; ".join(notes["left out"]))
    used = Keypoints2D.cat(parts)
    used.rates = whole.rates if fps is None else dict.fromkeys((one.file for one in used.ids), fps)
    settings = {name: "; ".join(dict.fromkeys(said)) for name, said in notes.items()}
    return clip_result(lifter, used, draws, lifter.clips, settings, seed)
