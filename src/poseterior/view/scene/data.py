"""What a page shows of a result, as an object that JSON can hold: pure functions of the result and its pictures.

Lengths are metres and px. Mean poses and radii, whose digits a page shows, are as in the result; the rest is packed as
whole multiples of the step that each array tells (`packing`): 0.1 mm for poses, 0.1 px for keypoints, larger only where
the largest number would not fit. Poses are relative to the pelvis, in
the result's axes; `placing` says where people stand.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...files.errors import InputError
from ...files.numbered import usual_step
from ...results.poses import LiftResult
from ...results.times import pace_words
from ..axes import keypoints_of, world_axes
from ..photos import Photos, check_photos
from ..tracks import SceneOptions, Track, clip_rate, pauses, playback_rate, samples_word, steps_of, tracks_of
from .packing import exact, pack
from .pictures import pictures_of
from .placing import beside, seen_places, upright
from .representatives import representatives

if TYPE_CHECKING:
    from ..bodies import Bodies
    from .meshes import Meshes

__all__ = ["describe", "gaps_of", "title_of"]

#: Metres, px and shares.
_POSE, _PIXEL, _SHARE = 1e-4, 0.1, 1e-3
#: Bytes of a page, of which the program takes some; and the least that samples and pictures get of a large result.
_PAGE, _PROGRAM, _LEAST = 4_800_000, 100_000, 1_200_000
#: Samples of a clip at most: more are a fog that moves.
_MOVING = 60
#: What samples get of what means and regions leave, pictures the rest; if there are no pictures, a half.
_SAMPLES, _WITHOUT_PICTURES = 0.35, 0.5


def describe(
    result: LiftResult,
    options: SceneOptions,
    photos: Photos = None,
    fps: float | None = None,
    bodies: Bodies | None = None,
) -> dict[str, Any]:
    """The scene of a result.

    Args:
        result: what to show.
        options: what is shown, and how much of it at most.
        photos: see `poseterior.view.photos.read_photo`.
        fps: frames per second of the playback, by default those that the input told, else 10.
        bodies: surfaces of the same poses (`poseterior.view.bodies.bodies_of`).

    Raises:
        InputError: no poses, an unreadable photo, a rate that is none.
    """
    if not len(result):
        raise InputError("the result has no poses; nothing to show")
    rate = playback_rate(result, fps)
    if not rate > 0:
        raise InputError(f"fps: expected frames per second above 0, got {rate}")
    check_photos(photos, result.file.tolist())
    everyone = tracks_of(result)
    tracks = everyone[: options.max_tracks]
    frames = steps_of(tracks, options.max_steps)
    rows = [_poses_of(track, frames) for track in tracks]
    turn = upright(result)
    bare = [_poses(result, shown, track, options) for shown, track in zip(rows, tracks, strict=True)]
    meshes = _meshes(bodies, rows)
    room = max(_PAGE - _PROGRAM - _size(bare) - (0 if meshes is None else meshes.size), _LEAST)
    pictures = pictures_of(result, tracks, frames, photos, int((1 - _SAMPLES) * room))
    share = _SAMPLES if any(entry["images"] for entry in pictures) else _WITHOUT_PICTURES
    most = options.hypotheses if len(frames) == 1 else min(options.hypotheses, _MOVING)
    chosen = _chosen_samples(result, sum(map(len, rows)), most, int(share * room))
    for entry, track, shown, picture in zip(bare, tracks, rows, pictures, strict=True):
        entry["label"], entry["file"], entry["still"] = track.label, Path(track.file).name or "poses", track.still
        entry["person"] = int(result.person[shown[0]])
        entry["rows"] = _row_of_step(track, frames, shown)
        entry["samples"] = pack(result.samples[shown][:, chosen], _POSE)
        entry["picture"] = picture
    if meshes is not None:
        for entry, body in zip(bare, meshes.tracks, strict=True):
            entry["body"] = body
    known = set(range(len(tracks)))
    return {
        "title": title_of(result),
        "lifter": result.lifter,
        "level": result.level,
        "calibrated": result.calibrated,
        "regionLabel": result.region_label("region"),
        "joints": [name.replace("_", " ") for name in result.joint_names],
        "root": _root_joint(result),
        "bones": [list(bone) for bone in result.tree.bones],
        "sides": list(result.tree.sides),
        "frames": frames,
        "pauses": pauses(frames, rate) if len(frames) > 1 else [0.0],
        "gaps": gaps_of(tracks, frames),
        "rate": rate,
        "rateKnown": fps is not None or clip_rate(result) is not None,
        "pace": pace_words(_moving_frames(tracks), rate),
        "place": _placed(result, tracks, rows, turn),
        "turn": turn.tolist(),
        "world": world_axes(result),
        "keypointsOf": keypoints_of(result),
        "tracks": bare,
        "show": {"mean": options.mean, "regions": options.regions, "keypoints": options.keypoints,
                 "ellipsoids": options.ellipsoids, "samples": len(chosen) > 0},
        "facts": _facts(result, tracks, everyone, frames, len(chosen), pictures) + (meshes.facts if meshes else []),
        "rig": None if meshes is None else meshes.rig,
        "samples": {"shown": len(chosen), "of": int(result.samples.shape[1])},
        "samplesWord": samples_word(result),
        "people": {"shown": len(known), "of": len(everyone)},
    }  # fmt: skip


def _meshes(bodies: Bodies | None, rows: Sequence[Sequence[int]]) -> Meshes | None:
    if bodies is None:
        return None
    from .meshes import described  # needs what reads body models, which no other page does

    return described(bodies, rows)


def title_of(result: LiftResult) -> str:
    """The names of the files: one, or the first and how many more."""
    names = list(dict.fromkeys(Path(file).name or "poses" for file in result.file.tolist()))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def gaps_of(tracks: Sequence[Track], frames: Sequence[int]) -> list[int]:
    """Steps after which frames are missing that a clip of even steps would have.

    >>> clip = Track("walk", "walk.json", dict.fromkeys([0, 2, 4, 10, 12], 0), still=False)
    >>> gaps_of([clip], [0, 2, 4, 10, 12])
    [2]
    """
    known = _moving_frames(tracks)
    if len(known) < 2:
        return []
    usual = usual_step(known)
    after = [before for before, now in itertools.pairwise(known) if now - before > usual]
    steps = np.searchsorted(np.asarray(frames), after, side="right") - 1
    return sorted({int(step) for step in steps if 0 <= step < len(frames) - 1})


def _moving_frames(tracks: Sequence[Track]) -> list[int]:
    """The numbers of all frames of clips."""
    return sorted({frame for track in tracks if not track.still for frame in track.poses})


def _poses_of(track: Track, frames: Sequence[int]) -> list[int]:
    """Poses of the result that are shown of a track, in the order of the steps."""
    if track.still:
        return list(track.poses.values())[:1]
    return [track.poses[frame] for frame in frames if frame in track.poses]


def _row_of_step(track: Track, frames: Sequence[int], shown: Sequence[int]) -> list[int]:
    """For each step the place in ``shown``, -1 where the track is not there."""
    place = {pose: i for i, pose in enumerate(shown)}
    return [-1 if (pose := track.at(frame)) is None else place[pose] for frame in frames]


def _root_joint(result: LiftResult) -> int:
    return result.joint_names.index(result.origin) if result.origin in result.joint_names else -1


def _poses(result: LiftResult, shown: list[int], track: Track, options: SceneOptions) -> dict[str, Any]:
    """The arrays of a track but its samples: a row for each pose."""
    clusters = representatives(result.samples[shown], follow=not track.still) if options.hypotheses else None
    found = {
        "mean": exact(result.mean[shown]),
        "centre": pack(result.region_center[shown], _POSE),
        "radius": exact(result.region_radius[shown]),
        "seen": pack(result.visible[shown], 1.0),
        "keypoints": pack(np.where(result.visible[shown][..., None], result.keypoints[shown], np.nan), _PIXEL),
        "spread": pack(_factors(result.keypoint_covariance[shown]), _PIXEL),
        "clusters": None if clusters is None else pack(clusters[0], _POSE),
        "shares": None if clusters is None else pack(clusters[1], _SHARE),
        "ellipsoids": pack(_factors(result.covariance[shown]), _POSE) if options.ellipsoids else None,
    }
    return found


def _factors(covariance: np.ndarray) -> np.ndarray:
    """Lower triangles of square roots of covariances, row by row: an ellipse is their image of the unit circle."""
    size = covariance.shape[-1]
    known = np.isfinite(covariance).all((-1, -2))
    safe = np.where(known[..., None, None], covariance, np.eye(size)).astype(np.float64)
    values, axes = np.linalg.eigh(safe)
    # of the square root's QR decomposition R is the factor: this also holds where the covariance has no volume
    root = np.sqrt(np.clip(values, 0.0, None))[..., None] * axes.swapaxes(-1, -2)
    lower = np.linalg.qr(root).R.swapaxes(-1, -2)
    row, column = np.tril_indices(size)
    return np.where(known[..., None], lower[..., row, column], np.nan)


def _placed(
    result: LiftResult, tracks: Sequence[Track], rows: Sequence[Sequence[int]], turn: np.ndarray
) -> dict[str, Any]:
    """Places of the tracks, and the height of the floor, for each of the ways to place people."""
    apart = beside(result, tracks, turn)
    heights = [(result.mean[list(shown)] @ turn.T)[..., 1] for shown in rows]
    found: dict[str, Any] = {
        "beside": {"at": apart.round(4).tolist(), "floor": float(max(h.max() for h in heights))},
        "seen": None,
        "first": "beside",
    }
    seen = seen_places(result, tracks, rows, turn)
    if seen is None:
        return found
    places, camera = seen
    floor = max(float((h + at[:, None, 1]).max()) for h, at in zip(heights, places, strict=True))
    found["seen"] = {"at": [pack(at, 1e-3) for at in places], "floor": floor, "camera": np.round(camera, 3).tolist()}
    # a path of poses that were lifted one by one jumps to and fro in depth
    if result.root_samples is not None or (len(tracks) > 1 and all(track.still for track in tracks)):
        found["first"] = "seen"
    return found


def _size(tracks: Sequence[dict[str, Any]]) -> int:
    return sum(len(array["data"]) for track in tracks for array in track.values() if isinstance(array, dict))


def _chosen_samples(result: LiftResult, poses: int, most: int, budget: int) -> list[int]:
    """Evenly spaced samples, the same for all poses (those of a clip are motions), as many as fit into the budget."""
    drawn = int(result.samples.shape[1])
    each = 8 * len(result.joint_names) * max(poses, 1)  # 2 bytes a number, 4 letters for 3 bytes
    count = min(drawn, most, max(budget // each, 4))
    return np.unique(np.linspace(0, drawn - 1, count).round().astype(int)).tolist() if count else []


def _facts(
    result: LiftResult, tracks: Sequence[Track], everyone: Sequence[Track], frames: Sequence[int], samples: int,
    pictures: Sequence[dict[str, Any]],
) -> list[list[str]]:  # fmt: skip
    """What the page tells at its end: what was assumed, and what was left out."""
    drawn = int(result.samples.shape[1])
    number = len({frame for track in tracks if not track.still for frame in track.poses})
    images = max((len(entry["images"]) for entry in pictures), default=0)
    facts = [["lifter", result.lifter], ["axes", result.axes], ["origin", f"{result.origin} of each person"]]
    facts += [["seed", str(result.seed)]] if result.seed is not None else []
    facts += [[key, value] for key, value in result.notes.items()]
    facts.append([samples_word(result), f"{samples} of {drawn} shown"])
    if len(everyone) > len(tracks):
        facts.append(["people", f"{len(tracks)} of {len(everyone)} shown"])
    if number > 1:
        facts.append(["frames", f"{len(frames)} of {number} shown" + f", {images} with their picture" * (images > 1)])
    facts.append(["precision", "means and radii as in the result, samples to 0.1 mm, keypoints to 0.1 px"])
    facts.append(["written by", f"poseterior {result.version}"])
    return facts
