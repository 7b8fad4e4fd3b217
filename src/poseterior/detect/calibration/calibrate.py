"""A detector's noise model: fitted to one part of the data, measured on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...files.errors import InputError
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ...keypoints.calibration import Camera
from ..base import Array, Detector
from ..covariance import NoiseModel, sideless
from .films import groups_of, residuals_of, turned_to, watch, watch_cut
from .fitting import distances, fitted
from .pictures import bias_of, residuals_of_pictures
from .residuals import Residuals, joined
from .said import Said

__all__ = ["beyond_by_joint", "calibrated_on_films", "calibrated_on_pictures", "held_out", "of_films", "told"]

#: Residuals below which nothing is fitted.
_FEWEST = 100
#: Cameras that are needed.
_CAMERAS = 3
_ADVANCE: Callable[[], object] = lambda: None  # noqa: E731


def told(model: NoiseModel, found: Residuals, skeleton: Skeleton) -> dict[str, float]:
    """Root mean square of a residual's two coordinates in standard deviations, and shares of residuals."""
    if not len(found):
        return {"residuals": 0}
    far = distances(model, found, skeleton)
    return {
        "residuals": len(far),
        "rms z": round(float(np.sqrt((far**2).mean() / 2)), 3),
        "median z": round(float(np.median(far) / np.sqrt(2 * np.log(2))), 3),
        "below 2.6": round(float((far < 2.6).mean()), 3),
        "beyond 5": round(float((far > 5).mean()), 4),
        "median px": round(float(np.median(np.linalg.norm(found.gap, axis=-1))), 1),
    }


def beyond_by_joint(model: NoiseModel, found: Residuals, skeleton: Skeleton) -> dict[str, float]:
    """By joint, the share of residuals beyond 5 standard deviations, where there are any."""
    far = distances(model, found, skeleton) > 5
    kinds = np.array([sideless(joint) for joint in skeleton.joints])[found.joint]
    shares = {kind: round(float(far[kinds == kind].mean()), 4) for kind in dict.fromkeys(kinds.tolist())}
    return {kind: share for kind, share in shares.items() if share > 0}


# -- films ---------------------------------------------------------------------------------------------------------


def of_films(
    said: Mapping[str, Said],
    cut: Mapping[str, Said] | Callable[[dict[str, Said]], Mapping[str, Said]] | None,
    cameras: Mapping[str, Camera],
    skeleton: Skeleton,
    half: int,
    turn: bool = True,
) -> tuple[dict[str, Residuals], str]:
    """Residuals of one film in whole pictures and in cut ones, and what was done to the cameras.

    Args:
        said: of everybody, by camera.
        cut: of cut pictures; or what makes it of those that are cut, one person in each picture; None: none.
        cameras: calibrated; turned to the film before frame ``half`` where ``turn``.
        skeleton: of what is said.
        half: frame.
        turn: whether cameras are turned.
    """
    groups = groups_of(said, cameras, skeleton)
    note = ""
    if turn and groups:
        made = turned_to(said, groups, cameras, skeleton, half)
        cameras, note = made.cameras, str(made)
        groups = groups_of(said, cameras, skeleton)
    whole = residuals_of(said, groups, cameras, skeleton)
    found = {} if whole is None else {"whole": whole}
    ones = {frame: rows for frame, rows in groups if None not in rows}
    if cut is not None and ones:
        if callable(cut):
            rows = {n: np.array([r[v] for r in ones.values()], int) for v, n in enumerate(cameras)}
            cut = cut({name: said[name].take(own) for name, own in rows.items()})
        of_cut = residuals_of(said, list(ones.items()), cameras, skeleton, cut)
        found |= {} if of_cut is None else {"cut": of_cut}
    return found, note


def held_out(found: Residuals, fitted_cameras: Sequence[int], half: int) -> tuple[Residuals, Residuals]:
    """What is fitted to (some cameras, before a frame), and what is held out (the others, from it on)."""
    first, own = found.frame < half, np.isin(found.camera, fitted_cameras)
    return found.take(first & own), found.take(~first & ~own)


def calibrated_on_films(
    detector: Detector,
    films: Mapping[str, Path],
    cameras: Mapping[str, Camera],
    turn: bool = True,
    advance: Callable[[], object] = _ADVANCE,
) -> tuple[NoiseModel, list[str]]:
    """The noise model of a detector by synchronised films of one scene, and what is to be said of it.

    Fitted to half of the cameras in the first half of the film, measured on the others in the second.

    Args:
        detector: finds people.
        films: by camera.
        cameras: calibrated, of these names.
        turn: turn cameras a little, to what the first half's keypoints agree on.
        advance: called after each frame.

    Raises:
        InputError: fewer than three cameras; too few residuals.
    """
    if len(films) < _CAMERAS:
        raise InputError(
            f"--data: films of {len(films)} cameras; the place of a joint needs at least {_CAMERAS}, as each camera is "
            "held against the others"
        )
    cameras = {name: cameras[name] for name in films}
    said = {name: watch(detector, path, advance) for name, path in films.items()}
    frames = max((int(one.frame.max()) + 1 for one in said.values() if len(one)), default=0)
    half = frames // 2

    def cut(people: dict[str, Said]) -> dict[str, Said]:
        return {name: watch_cut(detector, films[name], one) for name, one in people.items()}

    parts, note = of_films(said, cut, cameras, detector.skeleton, half, turn)
    mine = list(range((len(films) + 1) // 2))
    to_fit, apart = {}, {}
    for name, part in parts.items():
        to_fit[f"{name} pictures, fitted to"], apart[f"{name} pictures, held out"] = held_out(part, mine, half)
    names = list(films)
    card = {
        "fitted on": f"{', '.join(str(films[names[n]].name) for n in mine)}, frames before {half}",
        "held out": f"the other cameras, frames from {half}",
    }
    model = _fit(to_fit, apart, detector, card)
    return model, [note] if note else []


# -- pictures --------------------------------------------------------------------------------------------------------


def calibrated_on_pictures(
    detector: Detector,
    known: Sequence[tuple[Path, Keypoints2D]],
    advance: Callable[[], object] = _ADVANCE,
) -> NoiseModel:
    """The noise model of a detector by pictures with known keypoints.

    Fitted to every second picture, measured on the others. Joints that the detector puts elsewhere for certain are
    moved (`NoiseModel.bias`), and residuals are of what is left.

    Args:
        detector: finds people.
        known: pictures, and the people in them with the covariances of their keypoints.
        advance: called after each picture.

    Raises:
        InputError: too few residuals.
    """
    found, axes = residuals_of_pictures(detector, known, advance)
    if found is None:
        raise InputError(f"--data: {detector.name} found nobody of the known people again, in {len(known)} pictures")
    even = found.frame % 2 == 0
    bias = bias_of(found.take(even), axes[even], detector.skeleton)
    found = _unbiased(found, axes, bias, detector.skeleton)
    card = {
        "fitted on": f"every second of {len(known)} pictures with known keypoints, from {known[0][0].name}",
        "held out": "the others",
    }
    model = _fit({"fitted to": found.take(even)}, {"held out": found.take(~even)}, detector, card)
    return replace(model, bias=bias)


def _unbiased(found: Residuals, axes: Array, bias: Mapping[str, tuple[float, float]], skeleton: Skeleton) -> Residuals:
    shift = np.array([bias.get(sideless(skeleton.joints[joint]), (0.0, 0.0)) for joint in found.joint])
    return replace(found, gap=found.gap - np.einsum("nk,nkc->nc", shift.reshape(-1, 2), np.nan_to_num(axes)))


def _fit(
    to_fit: Mapping[str, Residuals], apart: Mapping[str, Residuals], detector: Detector, card: dict[str, Any]
) -> NoiseModel:
    """The law of some residuals, with its card."""
    together = joined(list(to_fit.values())) if to_fit else None
    count = 0 if together is None else len(together)
    if together is None or count < _FEWEST:
        raise InputError(
            f"--data: {count} keypoints can be held against where they should be; expected at least {_FEWEST}: give "
            "more pictures or longer films, and see that the calibration is of these films"
        )
    model = fitted(together, detector.skeleton, detector.name)
    sets = {**to_fit, **apart}
    card["residuals"] = {name: told(model, part, detector.skeleton) for name, part in sets.items()}
    rest = [part for part in apart.values() if len(part)]
    if rest:
        card["beyond 5 by joint, held out"] = beyond_by_joint(model, joined(rest), detector.skeleton)
    return replace(model, card=card)
