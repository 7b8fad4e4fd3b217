"""How wrong MoveNet's keypoints are: its noise model, fitted to where BlazePose says in other cameras that they are.

    poseterior detectors fetch blazepose
    poseterior detectors fetch movenet
    python benchmarks/movenet_noise.py --out src/poseterior/detect/detectors/movenet.json

The films, the cameras, and what is held out are those of `detector_noise.py`. A keypoint of MoveNet in one camera is
held against the place that BlazePose's landmarks in the three *other* cameras give the joint by triangulation, where
these agree to 20 px; what that place is uncertain by, with BlazePose's covariances, is part of the residual's
covariance. So what the two networks mean differently by a hip or an ear counts as MoveNet's error, and so do left and
right exchanged. Pictures of one person are cut too, as there, which tells of borders.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pickle
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import poseterior as pp
from detector_noise import FITTED, HALF, people_of, turned_right, watched
from detector_residuals import _AGREE, _EVERY, Geometry, Saying, cuts, undistorted
from poseterior.detect.covariance import USUAL_SPREAD, Evidence, NoiseModel, _sideless, _size
from poseterior.detect.detectors import blazepose, movenet
from poseterior.keypoints.calibration import Camera, read_cameras
from real_film import FILM, _downloaded, frames_of

Array = NDArray[Any]
_ONE, _TWO = "Pose2Sim/Demo_SinglePerson/", "Pose2Sim/Demo_MultiPerson/"
_SKELETON, _THEIRS = pp.SKELETONS["coco17"], pp.SKELETONS["mediapipe33"]
_SAME = [_THEIRS.index(joint) for joint in _SKELETON.joints]
_KINDS = list(dict.fromkeys(_sideless(joint) for joint in _SKELETON.joints))
#: As in `detector_noise`: outliers pull linearly, the share that is below so many standard deviations, the prior.
_OUTLIER, _SHARE, _BELOW, _JOINT, _OTHER = 6.0, 0.955, 2.6, 0.5, 2.0
_PICTURE_PX, _LEAST_VISIBLE = 0.5, 0.3
_REACHES = (0.02, 0.05, 0.1, 0.2)
#: Somebody found is whom BlazePose sees where the median joint is nearer than this, of the square's side.
_NEAR = 0.15


class Recorder(movenet.MoveNet):
    """The detector, which keeps the evidence."""

    def __init__(self) -> None:
        made = movenet.load("", ())
        super().__init__(made.network, made.noise)
        self.said: dict[Any, Saying] = {}

    def _person(self, seen: Any, picture: Array) -> Any:
        person = super()._person(seen, picture)
        size = (picture.shape[1], picture.shape[0])
        self.said[person.place] = Saying(seen.xy, movenet.evidence_of(seen, size))
        return person

    def sayings(self, people: Sequence[Any]) -> list[Saying]:
        return [self.said[person.place] for person in people]


@dataclass(frozen=True)
class Residuals:
    """Keypoints against where the other cameras have them; one row each.

    Attributes:
        gap: ``(n, 2)`` px; fixed: ``(n, 2, 2)`` px², what is uncertain besides.
        evidence: of the keypoint; joint, camera, frame, part: ``(n,)``.
    """

    gap: Array
    fixed: Array
    evidence: Evidence
    joint: Array
    camera: Array
    frame: Array
    part: Array

    def take(self, rows: Array) -> Residuals:
        evidence = Evidence(*(getattr(self.evidence, f.name)[rows] for f in dataclasses.fields(Evidence)))
        rest = (self.joint, self.camera, self.frame, self.part)
        return Residuals(self.gap[rows], self.fixed[rows], evidence, *(value[rows] for value in rest))


def looked_at(path: Path, people: Mapping[int, list[Array]], cut: bool) -> Iterator[tuple[int, int, Saying]]:
    """Frame, number of the person, and what MoveNet says of them in a film, or in cut pictures of it.

    Args:
        people: by frame, the landmarks of everybody in px of this camera.
    """
    detector, before = Recorder(), []
    for number, picture in enumerate(frames_of(path)):
        if cut and (number % _EVERY or number not in people):
            continue
        size = (picture.shape[1], picture.shape[0])
        parts = cuts(people[number][0], size) if cut else [(0, 0, *size)]
        for left, top, right, bottom in parts:
            part = np.ascontiguousarray(picture[top:bottom, left:right])
            if min(part.shape[:2]) < 50:
                continue
            before = detector.detect(part) if cut or number % 25 == 0 else detector.follow(part, before)
            said = [dataclasses.replace(s, xy=s.xy + np.array([left, top])) for s in detector.sayings(before)]
            for who, landmarks in enumerate(people.get(number, [])):
                inside = (landmarks[_SAME] >= [left, top]).all(-1) & (landmarks[_SAME] < [right, bottom]).all(-1)
                if not said or inside.sum() < 3:
                    continue
                far = [float(np.median(np.linalg.norm(s.xy - landmarks[_SAME], axis=-1)[inside])) for s in said]
                best = int(np.argmin(far))
                if far[best] < _NEAR * said[best].evidence.side:
                    yield number, who, said[best]


def rows_of(
    said: Saying, person: Sequence[Saying | None], view: int, cameras: Mapping[str, Camera], geometry: Geometry
) -> Iterator[tuple[Any, ...]]:
    """Joint, gap, and covariance besides, of MoveNet's keypoints of one person in one camera."""
    values = list(cameras.values())
    others = [v for v in range(len(person)) if v != view]
    if any(person[v] is None for v in others):
        return
    straight = np.stack(
        [np.zeros((33, 2)) if one is None else undistorted(values[v], one.xy) for v, one in enumerate(person)]
    )
    use = np.zeros(straight.shape[:2], bool)
    use[others] = np.isfinite(straight[others]).all(-1)
    points, weights = geometry.triangulate(np.nan_to_num(straight), use)
    pixels, slopes = geometry.project(points)
    agree = (np.linalg.norm(straight - pixels, axis=-1)[others] < _AGREE).all(0)
    at = np.full((33, 2), np.nan)
    at[_SAME] = said.xy
    at = undistorted(values[view], np.nan_to_num(at))
    noise = [blazepose.noise_model().covariance(person[v].evidence, _THEIRS) for v in others]
    for joint, theirs in enumerate(_SAME):
        if not (agree[theirs] and np.isfinite(at[theirs]).all()):
            continue
        of_others, weight = slopes[others, theirs], weights[others, theirs][:, None, None]
        normal = (weight * of_others.swapaxes(-1, -2) @ of_others).sum(0)
        gain = slopes[view, theirs] @ np.linalg.solve(normal, weight * of_others.swapaxes(-1, -2))
        besides = sum(g @ n[theirs] @ g.T for g, n in zip(gain, noise, strict=True))
        yield joint, at[theirs] - pixels[view, theirs], besides + _PICTURE_PX**2 * np.eye(2)


def gathered(film: Path, work: Path) -> Residuals:
    with zipfile.ZipFile(film) as archive:
        names = [n for n in archive.namelist() if n.startswith((_ONE, _TWO))]
        archive.extractall(work, [n for n in names if "calibration" in n or n.endswith(".mp4")])
    rows: list[tuple[Any, ...]] = []
    for folder, parts in ((_ONE, ("one person", "one person, cut")), (_TWO, ("two people",))):
        given = {c.name: c for c in read_cameras(work / folder / "calibration" / "Calib.qca.txt").values()}
        kept = work / f"{parts[0].split()[0]}.pkl"
        cameras = turned_right(given, people_of(watched(work, given, folder, kept), given))
        people = people_of(watched(work, given, folder, kept), cameras)
        geometry = Geometry.of(cameras)
        for view, name in enumerate(cameras):
            there = {}  # frame -> people whom this camera sees
            for frame, person in people:
                if person[view] is not None:
                    there.setdefault(frame, []).append(person)
            seen = {frame: [person[view].xy for person in some] for frame, some in there.items()}
            for part in parts:
                for frame, who, said in looked_at(work / folder / "videos" / f"{name}.mp4", seen, part.endswith("cut")):
                    side = np.full(len(_SKELETON), said.evidence.side)
                    own = dataclasses.replace(said.evidence, side=side)
                    for joint, gap, fixed in rows_of(said, there[frame][who], view, cameras, geometry):
                        evidence = [getattr(own, f.name)[joint] for f in dataclasses.fields(Evidence)]
                        rows.append((gap, fixed, evidence, joint, view, frame, part))
    columns = list(zip(*rows, strict=True))
    evidence = Evidence(*(np.stack(values) for values in zip(*columns[2], strict=True)))
    found = Residuals(np.stack(columns[0]), np.stack(columns[1]), evidence, *map(np.array, columns[3:]))
    return found


def usable(found: Residuals) -> Residuals:
    """Without joints that are not visible to the model."""
    return found.take((found.evidence.border >= 0) & (found.evidence.visibility >= _LEAST_VISIBLE))


def covariance(numbers: Tensor, found: Residuals, reach: float) -> Tensor:
    """``(n, 2, 2)`` of the residuals."""
    e = found.evidence
    size = _size(e.covariance)
    features = np.stack(
        [np.log(size / USUAL_SPREAD), 1 - e.visibility, 1 - e.peak, np.exp(-np.maximum(e.border, 0) / reach)], -1
    )
    kinds = torch.tensor([_KINDS.index(_sideless(_SKELETON.joints[joint])) for joint in found.joint])
    log = numbers[kinds] + torch.from_numpy(features) @ numbers[len(_KINDS) :]
    shape = torch.from_numpy(e.covariance / size[:, None, None] ** 2 * e.side[:, None, None] ** 2)
    return torch.from_numpy(found.fixed) + (2 * log).exp()[:, None, None] * shape


def distances(numbers: Tensor, found: Residuals, reach: float) -> Tensor:
    """``(n,)`` residuals in standard deviations, of two dimensions."""
    gap = torch.from_numpy(found.gap)
    return (gap * torch.linalg.solve(covariance(numbers, found, reach), gap)).sum(-1).clamp(min=1e-12).sqrt()


def fit(found: Residuals, reach: float) -> tuple[Tensor, float]:
    """The law's numbers, and how likely the residuals are (log, per residual)."""
    numbers = torch.cat([torch.full((len(_KINDS),), math.log(0.02)), torch.zeros(4)]).double().requires_grad_()
    optimiser = torch.optim.LBFGS([numbers], max_iter=200, line_search_fn="strong_wolfe")

    def loss(prior: bool = True) -> Tensor:
        distance = distances(numbers, found, reach)
        pull = torch.where(distance < _OUTLIER, distance**2 / 2, _OUTLIER * distance - _OUTLIER**2 / 2)
        total = (pull + torch.linalg.slogdet(covariance(numbers, found, reach))[1] / 2).mean()
        joints, rest = numbers[: len(_KINDS)], numbers[len(_KINDS) :]
        cost = ((joints - joints.mean()) / _JOINT).square().sum() / 2 + (rest / _OTHER).square().sum() / 2
        return total + cost / len(found.gap) * 10 if prior else total

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value

    optimiser.step(closure)
    with torch.no_grad():
        return numbers.detach(), -float(loss(prior=False))


def told(numbers: Tensor, found: Residuals, reach: float) -> dict[str, float]:
    d = distances(numbers, found, reach).numpy()
    return {
        "residuals": len(d),
        "rms z": round(float(np.sqrt((d**2).mean() / 2)), 3),
        "median z": round(float(np.median(d) / np.sqrt(2 * np.log(2))), 3),
        "below 2.6": round(float((d < 2.6).mean()), 3),
        "beyond 5": round(float((d > 5).mean()), 4),
        "median px": round(float(np.median(np.linalg.norm(found.gap, axis=-1))), 1),
    }


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
        kept = work / "movenet.pkl"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(gathered(options.film or _downloaded(FILM, work), work)))
        found = usable(pickle.loads(kept.read_bytes()))
    mine = np.isin(found.camera, [int(name[-2:]) - 1 for name in FITTED])
    first = found.frame < HALF
    to_fit = found.take(first & mine)
    tried = {reach: fit(to_fit, reach) for reach in _REACHES}
    reach = max(tried, key=lambda reach: tried[reach][1])
    numbers = tried[reach][0].clone()
    factor = math.log(float(np.quantile(distances(numbers, to_fit, reach).numpy(), _SHARE)) / _BELOW)
    numbers[: len(_KINDS)] += factor
    print(f"reach {reach}: {numbers[len(_KINDS) :].tolist()}, standard deviations times {math.exp(factor):.3f}")
    report = {}
    for part in np.unique(found.part):
        for name, rows in (("fitted to", first & mine), ("held out", ~first & ~mine)):
            report[f"{part}, {name}"] = told(numbers, found.take(rows & (found.part == part)), reach)
            print(f"{part}, {name}", report[f"{part}, {name}"])
    if options.out:
        heat, hidden, weak, border = (round(float(v), 3) for v in numbers[len(_KINDS) :])
        card = {
            "fitted on": f"{FILM}: {' and '.join(FITTED)}, frames before {HALF}",
            "against": "BlazePose in the other cameras",
            "held out": f"the other cameras, frames from {HALF}",
            "residuals": report,
            "made by": "benchmarks/movenet_noise.py",
        }
        joints = {kind: round(float(v), 3) for kind, v in zip(_KINDS, numbers, strict=False)}
        model = NoiseModel(joints, heat, hidden, weak, border, reach, _PICTURE_PX, _LEAST_VISIBLE, card)
        model.save(options.out)
        print(json.dumps({k: v for k, v in vars(model).items() if k != "card"}))


if __name__ == "__main__":
    main()
