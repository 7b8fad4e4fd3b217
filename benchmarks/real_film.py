"""A real film: one person before four calibrated cameras, lifted from one view, as a clip, and from 2 to 4 views.

The film and its calibration are the single-person demonstration in PyPI's ``pose2sim`` wheel (Pagnon et al. 2022;
BSD-3), which pip downloads unless it is given; the keypoints are those of the package's detector, BlazePose.

    pip install -e '.[images,video]'
    poseterior detectors fetch blazepose
    python benchmarks/real_film.py                      # every shipped lifter, and the detector's own 3D
    python benchmarks/real_film.py flow --work /tmp/film --film pose2sim-....whl

**Reference.** Robust triangulation of all four views' keypoints; a joint counts in a frame where three cameras or more
agree with it to 10 px, and its bone is within 30 mm of the bone's median over the film. Only joints count that the
detector measures: hips, knees, ankles, shoulders, elbows and wrists, relative to the middle of the hips; a spine that
is guessed of them in every picture has no place that could be triangulated. The reference is of the same detector's
keypoints: what all views get wrong alike (where a hip is) is in it too.

**Cameras.** With the calibration in the wheel limbs miss the epipolar lines of the other views by 8 px (median, first
half of the film), the third camera's by some 10 px in one direction in most joints. Why is not known: the calibration,
the lens, the cut of the pictures (two films are 1080 px wide, the calibration says 1088), or habits of the detector.
``--cameras refined`` turns the cameras, by a degree or so each, to what the first half's keypoints agree on (`refined`;
places and lenses stay), for the reference and for fusing alike. That helps views and reference to agree with each
other, not only with the truth; ``--cameras as-given`` leaves them, and fewer joints have a reference then.

**Covariances of keypoints.** Those of the detector's noise model, which was fitted to two of these cameras in the first
half of the film (`benchmarks/detector_noise.py`); everything is measured on the second half (`--measure all`: on all
frames). ``--scale fit`` multiplies the standard deviations by what each view's residuals to the others in the first
half say, ``--scale NUMBER`` by a number. In the row "sides right" the other views have told left from right.

**The detector's own 3D** are BlazePose's world landmarks, in frames alone; it says nothing of how wrong they are.

``--work`` keeps the keypoints (for each noise model of the detector anew) and the numbers of each lifter: what is there
is not measured again (``--anew``: it is).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import poseterior as pp
from poseterior.detect import Detector, Person
from poseterior.detect.blaze import BlazeNetworks
from poseterior.detect.calibration.cameras import put_right, turned
from poseterior.detect.covariance import read_noise
from poseterior.detect.detectors import blazepose
from poseterior.detect.models import model_bytes
from poseterior.detect.noise import WithNoise
from poseterior.distributions.intervals import wrapped
from poseterior.geometry.angles import POINT_ANGLES, angles_of_points
from poseterior.geometry.skeletons import skeleton_maps
from poseterior.keypoints import PoseId
from poseterior.keypoints.calibration import Camera, read_cameras
from poseterior.lifting.clips import lift_clip
from poseterior.lifting.views import fuse
from poseterior.metrics import accuracy

#: The version that the numbers in the documentation are of.
FILM = "pose2sim==0.10.49"
_DEMO = "Pose2Sim/Demo_SinglePerson/"
#: Pixels and cameras that agree on a joint of the reference, and metres by which its bone may be off.
_PIXELS, _CAMERAS, _BONE = 10.0, 3, 0.03
#: Limbs, whose share with a reference is told.
_LIMBS = [
    pp.SKELETONS["h36m17"].index(f"{s}_{j}")
    for s in ("left", "right")
    for j in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
]
#: Bones between measured joints, and the widths of pelvis and shoulders.
_BONES = [
    tuple(pp.SKELETONS["h36m17"].index(joint) for joint in bone)
    for bone in (
        ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"),
        *((f"{s}_{a}", f"{s}_{b}") for s in ("left", "right")
          for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))),
    )
]  # fmt: skip
#: What is kept of keypoints.
_PARTS = ("xy", "covariance", "visible", "image_size", "outliers")
_COLUMNS = ("MPJPE", "P-MPJPE", "region", "knee", "knee of median", "knee width", "knee held")
_KNEES = [POINT_ANGLES.index(f"{side}_knee_flexion") for side in ("left", "right")]
Array = NDArray[Any]


# -- what is downloaded ------------------------------------------------------------------------------------------


def _downloaded(what: str, folder: Path) -> Path:
    """The wheel of a requirement, by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder), what], check=True)
    return next(folder.glob(what.split("==", maxsplit=1)[0] + "-*.whl"))


def frames_of(path: Path) -> Iterator[Array]:
    """Frames ``(height, width, 3)`` RGB of a film."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path), pix_fmt="rgb24")
    width, height = next(reader)["size"]
    for frame in reader:
        yield np.frombuffer(frame, np.uint8).reshape(height, width, 3)


class WorldNetworks(BlazeNetworks):
    """BlazePose's networks, which keep the world landmarks: metres from the middle of the hips, as the camera sees it.

    As MediaPipe does, they are turned in the picture's plane with the square that the network looked at.
    """

    def __init__(self) -> None:
        super().__init__(*model_bytes(blazepose.SOURCE, blazepose.NAME))
        self.world: dict[Any, Array] = {}

    def landmarks(self, picture: Array, square: Any) -> Any:
        seen = super().landmarks(picture, square)
        details = self._landmarker.get_output_details()
        numbers = next(d["index"] for d in details if tuple(d["shape"]) == (1, 117))
        points = self._landmarker.get_tensor(numbers).reshape(39, 3)[: len(seen.xy)].astype(float)
        points[:, :2] = points[:, :2] @ square.axes.T
        self.world[seen.following] = points
        return seen


def detections(
    options: argparse.Namespace, work: Path
) -> tuple[dict[str, Camera], dict[str, pp.Keypoints2D], dict[str, Tensor]]:
    """Cameras, the keypoints of the person in each frame of each film, and the detector's own 3D ``(T, 17, 3)``; kept
    in the working folder."""
    film = options.film or _downloaded(FILM, work)
    with zipfile.ZipFile(film) as archive:
        for name in archive.namelist():
            if name.startswith(_DEMO) and name.endswith((".mp4", ".qca.txt")):
                archive.extract(name, work)
    cameras = read_cameras(work / _DEMO / "calibration" / "Calib.qca.txt")
    noise = options.noise_model or Path(blazepose.__file__).with_suffix(".json")
    digest = hashlib.sha256(noise.read_bytes()).hexdigest()[:8]
    networks = WorldNetworks()
    detector = WithNoise(blazepose.BlazePose(networks, blazepose.noise_model()), read_noise(noise))
    found, worlds = {}, {}
    onto = torch.from_numpy(skeleton_maps(detector.skeleton, pp.SKELETONS["h36m17"])[0].weights).float()
    for name in cameras:
        kept = work / f"{name}-{digest}.npz"
        if not kept.exists():
            seen = list(followed(detector, networks, frames_of(work / _DEMO / "videos" / f"{name}.mp4")))
            parts = {part: np.stack([getattr(k, part).numpy() for k, _ in seen]) for part in _PARTS}
            np.savez(kept, **parts, world=np.stack([world for _, world in seen]))
        with np.load(kept) as arrays:
            ids = [PoseId(name, frame, 0) for frame in range(len(arrays["xy"]))]
            told = {part: arrays[part] for part in _PARTS}
            found[name] = pp.Keypoints2D(**told, skeleton=detector.skeleton, ids=ids)
            pose = onto @ torch.from_numpy(arrays["world"]).float()
            worlds[name] = pose - pose[:, :1]
    return cameras, found, worlds


def followed(
    detector: Detector, networks: WorldNetworks, pictures: Iterable[Array]
) -> Iterator[tuple[pp.Keypoints2D, Array]]:
    """The keypoints and world landmarks of one person in a film: of the largest in the first frame, then of whoever is
    nearest."""
    people: list[Person] = []
    last: Array | None = None
    for picture in pictures:
        networks.world.clear()
        people = detector.follow(picture, people) if people else detector.detect(picture)
        if not people:
            size = (picture.shape[1], picture.shape[0])
            nobody = np.full((len(detector.skeleton), 2), np.nan)
            blank = pp.Keypoints2D(nobody, None, None, size, detector.skeleton, outliers=0.0)
            yield blank, np.full((len(detector.skeleton), 3), np.nan)
            continue
        boxes = np.array([person.box for person in people])
        cost = -np.prod(boxes[:, 2:] - boxes[:, :2], -1) if last is None else np.abs(boxes - last).sum(-1)
        best = people[cost.argmin()]
        last = boxes[cost.argmin()]
        yield best.keypoints, networks.world[best.place]


# -- the reference -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reference:
    """Triangulated joints.

    Attributes:
        places: ``(T, 17, 3)`` metres, world.
        valid: ``(T, 17)``.
        residual: by camera ``(T, 17, 2)`` px.
    """

    places: Tensor
    valid: Tensor
    residual: dict[str, Tensor]


def triangulated(keypoints: Mapping[str, pp.Keypoints2D], cameras: Mapping[str, Camera]) -> Reference:
    """Robust triangulation: rays weighted anew by their distances (Cauchy's weights, 5 px)."""
    straight = put_right(keypoints, cameras)
    rows, right, shown = [], [], []
    for name, seen in straight.items():
        camera = cameras[name]
        fx, fy, cx, cy = camera.intrinsics
        rotation, translation = torch.from_numpy(camera.rotation), torch.from_numpy(camera.translation)
        plane = (seen.xy.double() - torch.tensor([cx, cy])) / torch.tensor([fx, fy])
        rows.append(plane.unsqueeze(-1) * rotation[2] - rotation[:2])
        right.append(translation[:2] - plane * translation[2])
        shown.append(seen.visible)
    matrix, target, seen_by = torch.stack(rows), torch.stack(right), torch.stack(shown)  # (V, T, 17, 2, 3), ...
    weight = seen_by.double()
    for _ in range(30):
        half = weight.sqrt()[..., None, None]
        normal = (half * matrix).mT @ (half * matrix)
        pull = (half * matrix).mT @ (half * target.unsqueeze(-1))
        places = (torch.linalg.pinv(normal.sum(0)) @ pull.sum(0)).squeeze(-1)
        residual = {}
        for number, (name, seen) in enumerate(straight.items()):
            camera = cameras[name]
            at = places @ torch.from_numpy(camera.rotation).mT + torch.from_numpy(camera.translation)
            shown_at = at[..., :2] / at[..., 2:] * torch.tensor(camera.intrinsics[:2]) + torch.tensor(
                camera.intrinsics[2:]
            )
            residual[name] = seen.xy.double() - shown_at
            square = residual[name].square().sum(-1)
            # A ray's equation counts by its depth.
            weight[number] = seen_by[number] / (1.0 + square / 25.0) / at[..., 2].clamp(min=0.5) ** 2
    agree = torch.stack(
        [(gap.norm(dim=-1) <= _PIXELS) & by for gap, by in zip(residual.values(), seen_by, strict=True)]
    )
    valid = agree.sum(0) >= _CAMERAS
    measured = torch.zeros(valid.shape[1], dtype=torch.bool)
    measured[[0, *_LIMBS]] = True
    steady = valid & measured
    for one, other in _BONES:
        length = (places[:, one] - places[:, other]).norm(dim=-1)
        both = valid[:, one] & valid[:, other]
        far = both & ((length - length[both].median()).abs() > _BONE)
        steady[:, other] &= ~far
    return Reference(places, steady & steady[:, :1], residual)


def fitted_scale(
    lifter: pp.Lifter, keypoints: Mapping[str, pp.Keypoints2D], cameras: Mapping[str, Camera], rows: slice
) -> float:
    """By what the detector's standard deviations are multiplied: what each view's residuals to the others show."""
    first = {name: seen[rows] for name, seen in keypoints.items()}
    return fuse(lifter, first, cameras, clip="off").noise


# -- what is measured --------------------------------------------------------------------------------------------


class Tally:
    """Errors of one way to lift, over the chosen frames."""

    def __init__(self) -> None:
        self.parts: dict[str, list[Tensor]] = {}

    def add(self, mean: Tensor, samples: Tensor, held: Tensor | None, truth: Tensor, valid: Tensor) -> None:
        """Of frames: poses relative to the root, in the axes of the truth; None: nothing says how wrong they are."""
        joints = valid.clone()
        joints[:, 0] = False
        some = joints.sum(-1) >= 6
        rows = torch.nonzero(some).squeeze(-1)
        skeleton = pp.SKELETONS["h36m17"]
        self._keep("MPJPE", 1000 * (mean - truth).norm(dim=-1)[rows][joints[rows]])
        self._keep("P-MPJPE", 1000 * accuracy.p_mpjpe(mean[rows], truth[rows], valid[rows]))
        nothing = torch.full(joints.shape, torch.nan)
        self._keep("region", (nothing if held is None else held.double())[rows][joints[rows]])
        legs = [[skeleton.index(f"{s}_{j}") for j in ("hip", "knee", "ankle")] for s in ("left", "right")]
        told = torch.stack([valid[:, leg].all(-1) for leg in legs], -1)
        actual = angles_of_points(truth, skeleton)[:, _KNEES]
        drawn = angles_of_points(samples, skeleton)[..., _KNEES].sort(0).values
        count = len(drawn)
        low, middle, high = (drawn[round(share * (count - 1))] for share in (0.05, 0.5, 0.95))
        point = angles_of_points(mean, skeleton)[:, _KNEES]
        self._keep("knee", wrapped(point - actual).abs()[told])
        self._keep("knee of median", wrapped(middle - actual).abs()[told])
        if held is not None:
            self._keep("knee width", (high - low)[told])
            self._keep("knee held", ((low <= actual) & (actual <= high))[told].double())

    def _keep(self, name: str, values: Tensor) -> None:
        self.parts.setdefault(name, []).append(values.double())

    def numbers(self) -> dict[str, float]:
        return {name: round(float(torch.cat(values).mean()), 3) for name, values in self.parts.items()}


def measured(
    lifter: pp.Lifter,
    keypoints: Mapping[str, pp.Keypoints2D],
    cameras: Mapping[str, Camera],
    reference: Reference,
    rows: slice,
    fps: float,
    singles: bool = False,
) -> dict[str, dict[str, float]]:
    """Numbers by the way to lift."""
    truth = (reference.places - reference.places[:, :1]).float()
    valid = reference.valid
    tallies: dict[str, Tally] = {}
    right = put_right(keypoints, cameras)

    def add(kind: str, mean: Tensor, samples: Tensor, held: Tensor, turn: Tensor) -> None:
        own = truth @ turn.mT
        chosen = tallies.setdefault(kind, Tally())
        chosen.add(mean[rows], samples[:, rows], held[rows], own[rows], valid[rows])

    with torch.no_grad():
        for name, seen in keypoints.items():
            turn = torch.from_numpy(cameras[name].rotation).float()
            straight = cameras[name].undistorted(seen).as_skeleton("h36m17")
            poses = lifter(straight)
            add(
                "1 view, frames",
                poses.mean,
                poses.sample((200,), seed=0),
                poses.region(0.9).contains(truth @ turn.mT),
                turn,
            )
            poses = lifter(right[name])
            held = poses.region(0.9).contains(truth @ turn.mT)
            add("1 view, sides right", poses.mean, poses.sample((200,), seed=0), held, turn)
            clip = lift_clip(lifter, straight, fps)
            held = clip.region(0.9).contains(truth @ turn.mT)
            add("1 view, clip", clip.mean, clip.sample(200), held, turn)
            print(f"  {name}: {json.dumps(_single(tallies, 'clip'))}", flush=True)
        names, identity = list(keypoints), torch.eye(3)
        sizes = () if singles else (2, 3, 4)
        sets = [list(chosen) for size in sizes for chosen in itertools.combinations(names, size)]
        for chosen in sets:
            views = {name: keypoints[name] for name in chosen}
            for how in ("off", "on"):
                pose = fuse(lifter, views, cameras, fps, clip=how)
                kind = f"{len(chosen)} views, {'clip' if how == 'on' else 'frames'}"
                add(kind, pose.mean, pose.sample(200), pose.region(0.9).contains(truth), identity)
            print(f"  {'+'.join(chosen)}: {pose.settings if len(chosen) == len(names) else ''}", flush=True)
    return {kind: tally.numbers() for kind, tally in tallies.items()}


def own_3d(
    worlds: Mapping[str, Tensor], cameras: Mapping[str, Camera], reference: Reference, rows: slice
) -> dict[str, dict[str, float]]:
    """Numbers of the detector's own 3D, of each view."""
    tally = Tally()
    truth = (reference.places - reference.places[:, :1]).float()
    for name, pose in worlds.items():
        own = truth @ torch.from_numpy(cameras[name].rotation).float().mT
        valid = reference.valid & pose.isfinite().all(-1)
        tally.add(pose[rows], pose[None, rows], None, own[rows], valid[rows])
    return {"1 view, frames": tally.numbers()}


def _single(tallies: Mapping[str, Tally], kind: str) -> dict[str, float]:
    parts = tallies[f"1 view, {kind}"].parts
    return {name: round(float(values[-1].mean()), 2) for name, values in parts.items()}


def _row(values: Mapping[str, float]) -> str:
    return "".join(f"{values.get(name, float('nan')):16.3f}" for name in _COLUMNS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lifters", nargs="*", help="shipped names or folders; none: all that are shipped")
    parser.add_argument("--film", type=Path, default=None, help=f"wheel of {FILM}, else downloaded")
    parser.add_argument("--work", type=Path, default=None, help="folder that keeps what was made; else a temporary one")
    parser.add_argument("--noise-model", type=Path, default=None, help="of the detector, in place of its own")
    parser.add_argument("--measure", choices=("half", "all"), default="half", help="frames that are measured")
    parser.add_argument("--cameras", choices=("refined", "as-given"), default="refined")
    parser.add_argument("--scale", default="1", help="of the detector's standard deviations: a number, or fit")
    parser.add_argument("--singles", action="store_true", help="single views alone")
    parser.add_argument("--anew", action="store_true", help="measure again what the working folder has numbers of")
    parser.add_argument("--out", type=Path, default=None, help="JSON of all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    every: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        cameras, keypoints, worlds = detections(options, work)
        frames = len(next(iter(keypoints.values())))
        first, rest = slice(0, frames // 2), slice(frames // 2 if options.measure == "half" else 0, frames)
        if options.cameras == "refined":
            found = turned(cameras, keypoints, first)
            print(found)
            cameras = found.cameras
        reference = triangulated(keypoints, cameras)
        share = float(reference.valid[rest][:, _LIMBS].double().mean())
        print(f"{frames} frames; {100 * share:.0f} % of the joints measured have a reference")
        every["the detector's own 3D"] = own_3d(worlds, cameras, reference, rest)
        for name in options.lifters or pp.list_shipped():
            settings = (options.measure, options.cameras, options.scale, options.singles, str(options.noise_model))
            key = hashlib.sha256(repr((name, *settings)).encode()).hexdigest()[:8]
            kept = work / f"numbers-{Path(name).name}-{key}.json"
            if options.anew or not kept.exists():
                lifter = pp.load(name)
                fit = options.scale == "fit"
                scale = fitted_scale(lifter, keypoints, cameras, first) if fit else float(options.scale)
                print(f"{name}: sigmas x {scale:.2f}", flush=True)
                told = {view: seen.with_noise(torch.full((frames,), scale)) for view, seen in keypoints.items()}
                numbers = measured(lifter, told, cameras, reference, rest, 60.0, singles=options.singles)
                kept.write_text(json.dumps(numbers, indent=1) + "\n")
            every[name] = json.loads(kept.read_text())
    print(f"{'':44s}" + "".join(f"{name:>16s}" for name in _COLUMNS))
    for name, numbers in every.items():
        for kind, values in numbers.items():
            print(f"{name + ', ' + kind:44s}{_row(values)}")
    if options.out:
        options.out.write_text(json.dumps({"reference": share, "numbers": every}, indent=1) + "\n")


if __name__ == "__main__":
    main()
