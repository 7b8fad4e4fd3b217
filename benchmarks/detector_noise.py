"""How wrong a detector's keypoints are: its noise model fitted, and measured on cameras and frames that were held out.

    poseterior detectors fetch blazepose
    python benchmarks/detector_noise.py --out src/poseterior/detect/detectors/blazepose.json

The films are the demonstrations of PyPI's ``pose2sim`` wheel (Pagnon et al. 2022; BSD-3): four calibrated cameras
before one person, and before two, 100 frames each. The wheel is downloaded by pip unless it is given.

**Residuals.** A keypoint of one camera against the place that the *other* cameras' keypoints have by triangulation
(robust: rays are weighted by Cauchy's weights, 5 px), where these agree to 20 px. Its covariance is the detector's own
at that keypoint and what the triangulation is uncertain by, with the detector's covariances in the other cameras.
What the detector gets wrong alike in all views (where a hip is) shows nowhere. The cameras' orientations are refined on
the first half of each film, see `real_film.refined`.

**Borders.** The same pictures, cut: at the hips, the knees, the chest, and through the body from either side. What the
detector then says is held against the same places.

**Held out.** The numbers are fitted to two cameras in the first halves of both films, and measured on the other two
cameras in the second halves. After the fit, which is of the likeliest law where residuals of more than 6 standard
deviations pull linearly, one number multiplies all standard deviations so that 95.5 % of the residuals that were fitted
to are below 2.6 standard deviations. What is shipped is the fit whose numbers are in its card.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pickle
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import poseterior as pp
from detector_residuals import (
    Geometry,
    Recorder,
    Residuals,
    Saying,
    gathered,
    matched,
    residuals_of,
    undistorted,
    watch,
    watch_cut,
)
from poseterior.detect.covariance import USUAL_SPREAD, Evidence, NoiseModel, _sideless, _size
from poseterior.keypoints import PoseId
from poseterior.keypoints.calibration import Camera, read_cameras
from real_film import FILM, _downloaded, refined

Array = NDArray[Any]
#: Folders of the films in the wheel.
_ONE, _TWO = "Pose2Sim/Demo_SinglePerson/", "Pose2Sim/Demo_MultiPerson/"
#: Cameras that are fitted to, and the frame before which the film of one person is.
FITTED, HALF = ("cam01", "cam02"), 50
_SKELETON = pp.SKELETONS["mediapipe33"]
_KINDS = list(dict.fromkeys(_sideless(joint) for joint in _SKELETON.joints))
#: Residuals of more standard deviations pull no more than linearly.
_OUTLIER = 6.0
#: So many of the residuals that are fitted to are below so many standard deviations.
_SHARE, _BELOW = 0.955, 2.6
#: Standard deviations of the prior: of a joint's log from all joints' mean, and of the law's other numbers.
_JOINT, _OTHER = 0.5, 2.0
#: What pixels cannot tell, and visibility below which a joint is not visible.
_PICTURE_PX, _LEAST_VISIBLE = 0.5, 0.3
_REACHES = (0.02, 0.05, 0.1, 0.2)
_NEAR = 0.1


# -- films -------------------------------------------------------------------------------------------------------------


def watched(folder: Path, cameras: Mapping[str, Camera], film: str, kept: Path) -> dict[str, list[list[Saying]]]:
    """By camera everybody in each frame of a film; kept in the working folder."""
    if not kept.exists():
        found = {name: watch(Recorder(), folder / film / "videos" / f"{name}.mp4") for name in cameras}
        kept.write_bytes(pickle.dumps(found))
    return pickle.loads(kept.read_bytes())


def people_of(
    said: Mapping[str, list[list[Saying]]], cameras: Mapping[str, Camera]
) -> list[tuple[int, list[Saying | None]]]:
    """Frame, and one person's saying in each camera, for everybody that several cameras see."""
    geometry, found = Geometry.of(cameras), []
    for frame in range(min(len(frames) for frames in said.values())):
        views = [[undistorted(cameras[name], one.xy) for one in said[name][frame]] for name in cameras]
        for chosen in matched(views, geometry):
            person = [
                None if number is None else said[name][frame][number]
                for name, number in zip(cameras, chosen, strict=True)
            ]
            found.append((frame, person))
    return found


def turned_right(cameras: dict[str, Camera], people: list[tuple[int, list[Saying | None]]]) -> dict[str, Camera]:
    """The cameras, refined on the first half of a film."""
    firsts = {frame: person for frame, person in reversed(people) if frame < HALF and None not in person}
    rows = list(firsts.values())
    views = {}
    for number, name in enumerate(cameras):
        xy = torch.from_numpy(np.stack([row[number].xy for row in rows])).float()
        shown = torch.from_numpy(np.stack([row[number].evidence.visibility for row in rows]) >= 0.5)
        ids = [PoseId(name, frame, 0) for frame in range(len(rows))]
        views[name] = pp.Keypoints2D(xy, torch.ones(xy.shape[:-1]), shown, None, _SKELETON, ids=ids)
    return refined(cameras, views, slice(None))


# -- the fit -----------------------------------------------------------------------------------------------------------


def features(evidence: Evidence, reach: float) -> Tensor:
    """``(*n, 4)`` what the law's numbers multiply."""
    values = [
        np.log(_size(evidence.covariance) / USUAL_SPREAD),
        1 - evidence.visibility,
        1 - evidence.peak,
        np.exp(-np.maximum(evidence.border, 0.0) / reach),
    ]
    return torch.from_numpy(np.stack(values, -1))


def bases(found: Residuals) -> tuple[Tensor, Tensor, Tensor]:
    """Covariances of the residuals: ``(n, 2, 2)`` times the camera's own ``g²``, ``(n, 3, 2, 2)`` times the others',
    and ``(n, 2, 2)`` whatever they are."""
    weight = found.other_weights[..., None, None]
    normal = (weight * found.other_slopes.swapaxes(-1, -2) @ found.other_slopes).sum(1)
    gain = found.slope[:, None] @ np.linalg.solve(normal[:, None], weight * found.other_slopes.swapaxes(-1, -2))

    def shaped(evidence: Evidence) -> Array:
        size = _size(evidence.covariance)[..., None, None]
        return evidence.covariance / size**2 * evidence.side[..., None, None] ** 2

    own, others = shaped(found.evidence), gain @ shaped(found.other_evidence) @ gain.swapaxes(-1, -2)
    fixed = _PICTURE_PX**2 * (np.eye(2) + (gain @ gain.swapaxes(-1, -2)).sum(1))
    return torch.from_numpy(own), torch.from_numpy(others), torch.from_numpy(fixed)


def _spread(numbers: Tensor, kinds: Tensor, values: Tensor) -> Tensor:
    """Squares of ``g``."""
    return (2 * (numbers[kinds] + values @ numbers[len(_KINDS) :])).exp()


def kinds_of(found: Residuals) -> Tensor:
    own = np.array([_KINDS.index(_sideless(joint)) for joint in _SKELETON.joints])
    return torch.from_numpy(own[found.joint])


def fit(found: Residuals, reach: float) -> tuple[Tensor, float]:
    """The law's numbers at a reach of the border, and how likely the residuals are with them (log, per residual)."""
    own, others, fixed = bases(found)
    kinds, gap = kinds_of(found), torch.from_numpy(found.gap)
    of_own, of_others = features(found.evidence, reach), features(found.other_evidence, reach)
    numbers = torch.cat([torch.full((len(_KINDS),), np.log(0.01)), torch.zeros(4)]).double().requires_grad_()
    optimiser = torch.optim.LBFGS([numbers], max_iter=200, line_search_fn="strong_wolfe")

    def loss(prior: bool = True) -> Tensor:
        covariance = fixed + _spread(numbers, kinds, of_own)[:, None, None] * own
        covariance = covariance + (_spread(numbers, kinds[:, None], of_others)[..., None, None] * others).sum(1)
        distance = (gap * torch.linalg.solve(covariance, gap)).sum(-1).clamp(min=1e-12).sqrt()
        pull = torch.where(distance < _OUTLIER, distance**2 / 2, _OUTLIER * distance - _OUTLIER**2 / 2)
        total = (pull + torch.linalg.slogdet(covariance)[1] / 2).mean()
        joints, rest = numbers[: len(_KINDS)], numbers[len(_KINDS) :]
        cost = ((joints - joints.mean()) / _JOINT).square().sum() / 2 + (rest / _OTHER).square().sum() / 2
        return total + cost / len(gap) * 10 if prior else total

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    with torch.no_grad():
        return numbers.detach(), -float(loss(prior=False))


def usable(found: Residuals) -> Residuals:
    """Without joints that are not visible to the model."""
    e = found.evidence
    return found.take((e.border >= 0) & (e.visibility >= _LEAST_VISIBLE))


def model_of(numbers: Tensor, reach: float, card: dict[str, Any]) -> NoiseModel:
    heat, hidden, weak, border = (round(float(v), 3) for v in numbers[len(_KINDS) :])
    joints = {kind: round(float(v), 3) for kind, v in zip(_KINDS, numbers, strict=False)}
    return NoiseModel(joints, heat, hidden, weak, border, reach, _PICTURE_PX, _LEAST_VISIBLE, card)


def fitted(found: Residuals, card: dict[str, Any]) -> NoiseModel:
    """The likeliest law."""
    tried = {reach: fit(found, reach) for reach in _REACHES}
    for reach, (numbers, likely) in tried.items():
        print(f"  reach {reach}: log likelihood {likely:.4f}, {[round(float(v), 2) for v in numbers[len(_KINDS) :]]}")
    reach = max(tried, key=lambda reach: tried[reach][1])
    model = model_of(tried[reach][0], reach, card)
    factor = math.log(float(np.quantile(distances(model, found), _SHARE)) / _BELOW)
    print(f"  standard deviations times {math.exp(factor):.3f}")
    return dataclasses.replace(model, joints={joint: round(log + factor, 3) for joint, log in model.joints.items()})


# -- how well it holds -------------------------------------------------------------------------------------------------


def distances(model: NoiseModel, found: Residuals) -> Array:
    """``(n,)`` residuals in standard deviations (Mahalanobis, of two dimensions)."""
    own, others, fixed = (part.numpy() for part in bases(found))
    joints = [_SKELETON.joints[joint] for joint in found.joint]
    one = _Joints(joints)
    mine = model.spread(found.evidence, one) ** 2
    rest = model.spread(_transposed(found.other_evidence), one).T ** 2
    covariance = fixed + mine[:, None, None] * own + (rest[..., None, None] * others).sum(1)
    return np.sqrt((found.gap * np.linalg.solve(covariance, found.gap[..., None])[..., 0]).sum(-1))


class _Joints:
    """Any joints in any order, for `NoiseModel.spread`."""

    def __init__(self, joints: list[str]) -> None:
        self.joints = joints


def _transposed(evidence: Evidence) -> Evidence:
    parts = (evidence.covariance, evidence.peak, evidence.visibility, evidence.border, evidence.side)
    swapped = [part.swapaxes(0, 1) for part in parts]
    return Evidence(*swapped)


def told(model: NoiseModel, found: Residuals) -> dict[str, float]:
    """Root mean square of a residual's two coordinates in standard deviations, and shares of residuals."""
    d = distances(model, found)
    if not len(d):
        return {"residuals": 0}
    return {
        "residuals": len(d),
        "rms z": round(float(np.sqrt((d**2).mean() / 2)), 3),
        "median z": round(float(np.median(d) / np.sqrt(2 * np.log(2))), 3),
        "below 2.6": round(float((d < 2.6).mean()), 3),
        "beyond 5": round(float((d > 5).mean()), 4),
        "median px": round(float(np.median(np.linalg.norm(found.gap, axis=-1))), 1),
    }


def report(model: NoiseModel, sets: Mapping[str, Residuals]) -> dict[str, dict[str, float]]:
    numbers = {name: told(model, found) for name, found in sets.items()}
    for name, values in numbers.items():
        print(f"{name:44s}" + "".join(f"  {key} {value}" for key, value in values.items()))
    return numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path, default=None, help=f"wheel of {FILM}, else downloaded")
    parser.add_argument("--work", type=Path, default=None, help="folder that keeps what was made; else a temporary one")
    parser.add_argument("--out", type=Path, default=None, help="JSON of the noise model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        sets = residual_sets(options.film or _downloaded(FILM, work), work)
    print("fitted:")
    model = fitted(sets.pop("fit"), {})
    print(json.dumps({k: v for k, v in vars(model).items() if k != "card"}, indent=1))
    numbers = report(model, sets)
    if options.out:
        card = {
            "fitted on": f"{FILM}: {' and '.join(FITTED)}, frames before {HALF}",
            "held out": f"the other cameras, frames from {HALF}",
            "residuals": numbers,
            "made by": "benchmarks/detector_noise.py",
        }
        NoiseModel(**{**vars(model), "card": card}).save(options.out)


def residual_sets(film: Path, work: Path) -> dict[str, Residuals]:
    """What is fitted to, and what is measured on, by name."""
    with zipfile.ZipFile(film) as archive:
        archive.extractall(work, [n for n in archive.namelist() if n.startswith((_ONE, _TWO)) and "calibration" in n])
        archive.extractall(work, [n for n in archive.namelist() if n.startswith((_ONE, _TWO)) and n.endswith(".mp4")])
    found: dict[str, Residuals] = {}
    for film_name, part in ((_ONE, "one person"), (_TWO, "two people")):
        given = {c.name: c for c in read_cameras(work / film_name / "calibration" / "Calib.qca.txt").values()}
        people = people_of(watched(work, given, film_name, work / f"{part.split()[0]}.pkl"), given)
        cameras = turned_right(given, people)
        people = people_of(watched(work, given, film_name, work / f"{part.split()[0]}.pkl"), cameras)
        print(f"{film_name}: {len(people)} people in frames")
        geometry = Geometry.of(cameras)
        rows = [row for frame, person in people for row in residuals_of(person, geometry, cameras, frame)]
        found[part] = usable(gathered(rows))
        if film_name == _ONE:
            found["one person, cut"] = usable(gathered(_cut_rows(work, film_name, people, cameras)))
    names = list(cameras)
    mine = [names.index(name) for name in FITTED]
    to_fit, held = {}, {}
    for name, part in found.items():
        first, own = part.frame < HALF, np.isin(part.camera, mine)
        to_fit[f"{name}, fitted to"] = part.take(first & own)
        held[f"{name}, held out"] = part.take(~first & ~own)
    near = held["one person, cut, held out"]
    held["one person, cut, held out, within a tenth"] = near.take(near.evidence.border < _NEAR)
    held["all whole pictures, held out"] = gathered_together(
        [held["one person, held out"], held["two people, held out"]]
    )
    return {"fit": gathered_together(list(to_fit.values())), **to_fit, **held}


def gathered_together(parts: list[Residuals]) -> Residuals:
    def joined(values: list[Any]) -> Any:
        if isinstance(values[0], Evidence):
            names = ("covariance", "peak", "visibility", "border", "side")
            return Evidence(*(np.concatenate([getattr(v, name) for v in values]) for name in names))
        return np.concatenate(values)

    return Residuals(*(joined([getattr(part, name) for part in parts]) for name in Residuals.__dataclass_fields__))


def _cut_rows(
    work: Path, film: str, people: list[tuple[int, list[Saying | None]]], cameras: Mapping[str, Camera]
) -> list[dict[str, Any]]:
    kept = work / "cut.pkl"
    whole = {frame: person for frame, person in people if None not in person}
    if not kept.exists():
        detector = Recorder()
        seen = {}
        for view, name in enumerate(cameras):
            path = work / film / "videos" / f"{name}.mp4"
            seen[name] = watch_cut(detector, path, {f: person[view] for f, person in whole.items()})
        kept.write_bytes(pickle.dumps(seen))
    seen = pickle.loads(kept.read_bytes())
    geometry = Geometry.of(cameras)
    return [
        row
        for view, name in enumerate(cameras)
        for frame, said in seen[name]
        if frame in whole
        for row in residuals_of(whole[frame], geometry, cameras, frame, (view, said))
    ]


if __name__ == "__main__":
    main()
