"""How wrong a detector's keypoints are: its noise model fitted, and measured on cameras and frames that were held out.

    poseterior detectors fetch blazepose
    python benchmarks/detector_noise.py --out src/poseterior/detect/detectors/blazepose.json

What `poseterior detectors calibrate` does with one film, done with two: the demonstrations of PyPI's ``pose2sim`` wheel
(Pagnon et al. 2022; BSD-3), four calibrated cameras before one person, and before two, 100 frames each. The wheel is
downloaded by pip unless it is given. The pictures of the film of one person are cut, too.

The numbers are fitted to two cameras in the first halves of both films, and measured on the other two cameras in the
second halves. What is shipped is the fit whose numbers are in its card. ``--law FILE`` keeps the law's numbers of a
noise model, and fits the shares of outliers alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from poseterior.detect import load_detector
from poseterior.detect.base import Detector
from poseterior.detect.calibration.calibrate import beyond_by_joint, held_out, of_films, told
from poseterior.detect.calibration.films import watch, watch_cut
from poseterior.detect.calibration.fitting import fitted, outlier_shares
from poseterior.detect.calibration.residuals import Residuals, joined
from poseterior.detect.calibration.said import Said
from poseterior.detect.covariance import NoiseModel, read_noise
from poseterior.geometry.skeletons import Skeleton
from poseterior.keypoints.calibration import Camera, read_cameras
from real_film import FILM, _downloaded

#: Folders of the films in the wheel.
FILMS = {"one person": "Pose2Sim/Demo_SinglePerson/", "two people": "Pose2Sim/Demo_MultiPerson/"}
#: Cameras that are fitted to (by number), and the frame before which.
FITTED, HALF = (0, 1), 50
_NEAR = 0.1


def kept(path: Path, make: Callable[[], Said]) -> Said:
    """What the detector says, from the working folder where it is there."""
    if not path.exists():
        make().save(path)
    return Said.load(path)


def extracted(film: Path, work: Path, name: str) -> tuple[dict[str, Camera], dict[str, Path]]:
    """Cameras and films of one of `FILMS`, taken out of the wheel."""
    place = FILMS[name]
    with zipfile.ZipFile(film) as archive:
        wanted = [n for n in archive.namelist() if n.startswith(place)]
        archive.extractall(work, [n for n in wanted if "calibration" in n or n.endswith(".mp4")])
    cameras = {c.name: c for c in read_cameras(work / place / "calibration" / "Calib.qca.txt").values()}
    return cameras, {camera: work / place / "videos" / f"{camera}.mp4" for camera in cameras}


def residual_sets(detector: Detector, film: Path, work: Path) -> tuple[dict[str, Residuals], dict[str, Residuals]]:
    """What is fitted to, and what is measured on, by name."""
    to_fit, held = {}, {}
    for name in FILMS:
        cameras, films = extracted(film, work, name)
        stem = name.split()[0]
        said = {
            camera: kept(work / f"{stem}-{camera}.npz", partial(watch, detector, path))
            for camera, path in films.items()
        }

        def cut(people: dict[str, Said], films: dict[str, Path] = films) -> dict[str, Said]:
            return {
                camera: kept(work / f"cut-{camera}.npz", partial(watch_cut, detector, films[camera], one))
                for camera, one in people.items()
            }

        parts, note = of_films(said, cut if stem == "one" else None, cameras, detector.skeleton, HALF)
        print(f"{name}: {note}")
        for kind, part in parts.items():
            title = name if kind == "whole" else f"{name}, {kind}"
            to_fit[f"{title}, fitted to"], held[f"{title}, held out"] = held_out(part, FITTED, HALF)
    near = held["one person, cut, held out"]
    held["one person, cut, held out, within a tenth"] = near.take(near.evidence.border < _NEAR)
    held["all whole pictures, held out"] = joined([held["one person, held out"], held["two people, held out"]])
    return to_fit, held


def report(
    model: NoiseModel,
    parts: dict[str, Residuals],
    beyond: Residuals,
    skeleton: Skeleton,
    more: dict[str, str],
    out: Path | None,
) -> None:
    """Print how well a model holds, and write it with these numbers in its card.

    Args:
        model: fitted.
        parts: what is measured, by name.
        beyond: of which the card says joint by joint how many are beyond five standard deviations.
        skeleton: of the detector.
        more: of the card.
        out: the file; None: none is written.
    """
    numbers = {name: told(model, part, skeleton) for name, part in parts.items()}
    for name, values in numbers.items():
        print(f"{name:44s}" + "".join(f"  {key} {value}" for key, value in values.items()))
    card = {
        "fitted on": f"{FILM}: cam01 and cam02, frames before {HALF}",
        "held out": f"the other cameras, frames from {HALF}",
        "residuals": numbers,
        "beyond 5 by joint, held out": beyond_by_joint(model, beyond, skeleton),
        **more,
    }
    model = dataclasses.replace(model, card=card)
    print(model)
    if out:
        model.save(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path, default=None, help=f"wheel of {FILM}, else downloaded")
    parser.add_argument("--work", type=Path, default=None, help="folder that keeps what was made; else a temporary one")
    parser.add_argument("--detector", default="blazepose")
    parser.add_argument(
        "--law", type=Path, default=None, help="noise model whose law is kept: only outliers are fitted"
    )
    parser.add_argument("--out", type=Path, default=None, help="JSON of the noise model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_detector(options.detector)
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        to_fit, held = residual_sets(detector, options.film or _downloaded(FILM, work), work)
    together = joined(list(to_fit.values()))
    if options.law is None:
        model = fitted(together, detector.skeleton, detector.name)
    else:
        model = read_noise(options.law)
        shares = outlier_shares(model, together, detector.skeleton)
        model = dataclasses.replace(model, outliers=shares, detector=detector.name, skeleton=detector.skeleton.name)
    whole = held["all whole pictures, held out"]
    report(
        model, {**to_fit, **held}, whole, detector.skeleton, {"made by": "benchmarks/detector_noise.py"}, options.out
    )


if __name__ == "__main__":
    main()
