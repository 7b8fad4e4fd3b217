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
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import poseterior as pp
from detector_noise import FILMS, FITTED, HALF, extracted, kept, report
from poseterior.detect import load_detector
from poseterior.detect.calibration.calibrate import held_out
from poseterior.detect.calibration.films import Group, groups_of, residuals_of, turned_to, watch, watch_cut
from poseterior.detect.calibration.fitting import fitted
from poseterior.detect.calibration.residuals import Residuals, joined
from poseterior.detect.calibration.said import Said, taken
from poseterior.detect.covariance import Evidence, NoiseModel
from poseterior.detect.detectors import blazepose
from poseterior.keypoints.calibration import Camera
from real_film import FILM, _downloaded

Array = NDArray[Any]
_SKELETON, _THEIRS = pp.SKELETONS["coco17"], pp.SKELETONS["mediapipe33"]
_SAME = np.array([_THEIRS.index(joint) for joint in _SKELETON.joints])
#: Somebody found is whom BlazePose sees where the median joint is nearer than this, of the square's side.
_NEAR = 0.15


def in_coco(said: Said) -> Said:
    """BlazePose's landmarks that MoveNet has too."""
    return Said(said.frame, said.xy[:, _SAME], said.size, taken(said.evidence, (slice(None), _SAME)))


def whom(said: Said, groups: list[Group], theirs: Said, view: int) -> Said:
    """Of MoveNet's people in one camera those whom BlazePose sees; numbered by their group."""
    rows, numbers = [], []
    for number, (frame, members) in enumerate(groups):
        own = np.flatnonzero(said.frame == frame)
        if members[view] is None or not len(own):
            continue
        gap = np.linalg.norm(said.xy[own] - theirs.xy[members[view]], axis=-1)
        far = np.nanmedian(np.where(np.isfinite(gap).any(-1, keepdims=True), gap, np.inf), -1)
        near = far < _NEAR * theirs.evidence.side[members[view], 0]
        rows += own[near].tolist()
        numbers += [number] * int(near.sum())
    return dataclasses.replace(said.take(np.array(rows, int)), frame=np.array(numbers, int))


def alone(found: Residuals, theirs: NoiseModel) -> Residuals:
    """What the other cameras' keypoints are uncertain by as a part that is known."""
    joints = [_SKELETON.joints[joint] for joint in found.joint]
    other = found.other_evidence
    spread = theirs.spread_of(Evidence(*(v.swapaxes(0, 1) for v in vars(other).values())), joints).T
    shape = other.covariance / np.sqrt(np.linalg.det(other.covariance))[..., None, None]
    own = (spread * other.side)[..., None, None] ** 2 * shape + theirs.picture_px**2 * np.eye(2)
    known = found.known + (found.gain @ own @ found.gain.swapaxes(-1, -2)).sum(1)
    none = Evidence(*(value[:, :0] for value in vars(other).values()))
    return dataclasses.replace(found, known=known, other_evidence=none, gain=found.gain[:, :0])


def of_film(
    said: dict[str, Said], theirs: dict[str, Said], groups: list[Group], cameras: dict[str, Camera], law: NoiseModel
) -> Residuals:
    """Residuals of MoveNet's people, each against its group's places; frames are those of the film."""
    numbered = [(number, members) for number, (_, members) in enumerate(groups)]
    instead = {name: whom(said[name], groups, theirs[name], view) for view, name in enumerate(cameras)}
    found = residuals_of(theirs, numbered, cameras, _SKELETON, instead)
    assert found is not None
    frames = np.array([frame for frame, _ in groups])
    return alone(dataclasses.replace(found, frame=frames[found.frame]), law)


def residual_sets(film: Path, work: Path) -> tuple[dict[str, Residuals], dict[str, Residuals]]:
    """What is fitted to, and what is measured on, by name."""
    blaze, move, law = load_detector("blazepose"), load_detector("movenet"), blazepose.noise_model()
    to_fit, held = {}, {}
    for name in FILMS:
        cameras, films = extracted(film, work, name)
        stem = name.split()[0]
        theirs, mine = (
            {
                camera: kept(work / f"{start}{stem}-{camera}.npz", partial(watch, detector, path))
                for camera, path in films.items()
            }
            for start, detector in (("", blaze), ("movenet-", move))
        )
        groups = groups_of(theirs, cameras, _THEIRS)
        cameras = turned_to(theirs, groups, cameras, _THEIRS, HALF).cameras
        groups = groups_of(theirs, cameras, _THEIRS)
        places = {camera: in_coco(said) for camera, said in theirs.items()}
        parts = {name: of_film(mine, places, groups, cameras, law)}
        if stem == "one":
            ones = [(frame, rows) for frame, rows in groups if None not in rows]
            cut = {}
            for view, (camera, path) in enumerate(films.items()):
                people = places[camera].take(np.array([rows[view] for _, rows in ones], int))
                cut[camera] = kept(work / f"movenet-cut-{camera}.npz", partial(watch_cut, move, path, people))
            parts[f"{name}, cut"] = of_film(cut, places, ones, cameras, law)
        for title, part in parts.items():
            to_fit[f"{title}, fitted to"], held[f"{title}, held out"] = held_out(part, FITTED, HALF)
    return to_fit, held


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
        to_fit, held = residual_sets(options.film or _downloaded(FILM, work), work)
    model = fitted(joined(list(to_fit.values())), _SKELETON, "movenet")
    more = {"against": "BlazePose in the other cameras", "made by": "benchmarks/movenet_noise.py"}
    report(model, {**to_fit, **held}, joined(list(held.values())), _SKELETON, more, options.out)


if __name__ == "__main__":
    main()
