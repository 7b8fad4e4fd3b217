"""A real film: one person before four calibrated cameras, lifted from one view, as a clip, and from 2 to 4 views.

The film and its calibration are the single-person demonstration in PyPI's ``pose2sim`` wheel (Pagnon et al. 2022;
BSD-3), which pip downloads unless it is given; the keypoints are those of the package's detector, BlazePose.

    pip install -e '.[images,video]'
    poseterior detectors fetch blazepose
    python benchmarks/real_film.py --lifter flow
    python benchmarks/real_film.py --lifter flow --work /tmp/film --film pose2sim-....whl

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
"""

from __future__ import annotations

import argparse
import dataclasses
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
from poseterior.detect import Detector, Person, load_detector
from poseterior.distributions.intervals import wrapped
from poseterior.geometry.angles import POINT_ANGLES, angles_of_points
from poseterior.keypoints import PoseId
from poseterior.keypoints.calibration import Camera, read_cameras
from poseterior.keypoints.calibration.camera import rotation_of_vector
from poseterior.lifting.clips import lift_clip
from poseterior.lifting.views import fuse
from poseterior.lifting.views.sides import exchanged_sides, with_sides
from poseterior.metrics import accuracy

#: The version that the numbers in the documentation are of.
FILM = "pose2sim==0.10.49"
_DEMO = "Pose2Sim/Demo_SinglePerson/"
#: Pixels and cameras that agree on a joint of the reference, and metres by which its bone may be off.
_PIXELS, _CAMERAS, _BONE = 10.0, 3, 0.03
#: Limbs, by which cameras are refined; degrees by which cameras may have turned; px from which on a miss counts less.
_LIMBS = [
    pp.SKELETONS["h36m17"].index(f"{s}_{j}")
    for s in ("left", "right")
    for j in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
]
_TURN, _LOSS = 1.0, 5.0
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
_PARTS = ("xy", "covariance", "visible", "image_size")
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


def detections(options: argparse.Namespace, work: Path) -> tuple[dict[str, Camera], dict[str, pp.Keypoints2D]]:
    """Cameras, and the keypoints of the person in each frame of each film; kept in the working folder."""
    film = options.film or _downloaded(FILM, work)
    with zipfile.ZipFile(film) as archive:
        for name in archive.namelist():
            if name.startswith(_DEMO) and name.endswith((".mp4", ".qca.txt")):
                archive.extract(name, work)
    cameras = read_cameras(work / _DEMO / "calibration" / "Calib.qca.txt")
    detector, found = load_detector(), {}
    for name in cameras:
        kept = work / f"{name}.npz"
        if not kept.exists():
            seen = list(followed(detector, frames_of(work / _DEMO / "videos" / f"{name}.mp4")))
            np.savez(kept, **{part: np.stack([getattr(k, part).numpy() for k in seen]) for part in _PARTS})
        with np.load(kept) as arrays:
            ids = [PoseId(name, frame, 0) for frame in range(len(arrays["xy"]))]
            found[name] = pp.Keypoints2D(*(arrays[part] for part in _PARTS), detector.skeleton, ids=ids)
    return cameras, found


def followed(detector: Detector, pictures: Iterable[Array]) -> Iterator[pp.Keypoints2D]:
    """The keypoints of one person in a film: of the largest in the first frame, then of whoever is nearest."""
    people: list[Person] = []
    last: Array | None = None
    for picture in pictures:
        people = detector.follow(picture, people) if people else detector.detect(picture)
        if not people:
            size = (picture.shape[1], picture.shape[0])
            nobody = np.full((len(detector.skeleton), 2), np.nan)
            yield pp.Keypoints2D(nobody, None, None, size, detector.skeleton)
            continue
        boxes = np.array([person.box for person in people])
        cost = -np.prod(boxes[:, 2:] - boxes[:, :2], -1) if last is None else np.abs(boxes - last).sum(-1)
        last = boxes[cost.argmin()]
        yield people[cost.argmin()].keypoints


# -- the cameras ----


def sided(keypoints: Mapping[str, pp.Keypoints2D], cameras: Mapping[str, Camera]) -> dict[str, pp.Keypoints2D]:
    """Undistorted keypoints in which left and right are those that the other views see."""
    views = [cameras[name].undistorted(seen).as_skeleton("h36m17") for name, seen in keypoints.items()]
    groups, wrong = exchanged_sides(views, [cameras[name] for name in keypoints])
    for group, own in zip(groups, wrong, strict=True):
        views = [with_sides(view, group, bad) for view, bad in zip(views, own, strict=True)]
    return dict(zip(keypoints, views, strict=True))


def refined(cameras: Mapping[str, Camera], keypoints: Mapping[str, pp.Keypoints2D], rows: slice) -> dict[str, Camera]:
    """Cameras turned a little, so that limbs are nearest to the epipolar lines of the other views.

    Least squares of the distances in pixels with Cauchy's loss; a turn costs as much as in a normal prior of
    `_TURN` degrees, which also says that the cameras together do not turn.
    """
    from scipy.optimize import least_squares

    rays, seen_by = {}, {}
    for name, straight in sided(keypoints, cameras).items():
        camera = cameras[name]
        plane = (straight.xy.double().numpy() - camera.intrinsics[2:]) / camera.intrinsics[:2]
        rays[name] = np.concatenate([plane, np.ones_like(plane[..., :1])], -1)[rows][:, _LIMBS]
        seen_by[name] = (straight.visible & ~straight.synthesised).numpy()[rows][:, _LIMBS]

    def turned(turns: Array) -> dict[str, Camera]:
        by = (rotation_of_vector(turn) for turn in turns.reshape(-1, 3))
        return {
            name: dataclasses.replace(c, rotation=turn @ c.rotation, translation=turn @ c.translation)
            for (name, c), turn in zip(cameras.items(), by, strict=True)
        }

    def misses(turns: Array) -> Array:
        now = turned(turns)
        found = [np.degrees(turns) / _TURN * _LOSS]
        for one, other in itertools.combinations(now.values(), 2):
            turn = other.rotation @ one.rotation.T
            x, y, z = other.translation - turn @ one.translation
            essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ turn
            line, back = rays[one.name] @ essential.T, rays[other.name] @ essential
            slope = np.sqrt((line[..., :2] ** 2).sum(-1) + (back[..., :2] ** 2).sum(-1))
            gap = (line * rays[other.name]).sum(-1) / slope * one.intrinsics[0]
            found.append(gap[seen_by[one.name] & seen_by[other.name]])
        return np.concatenate(found)

    best = least_squares(misses, np.zeros(3 * len(cameras)), loss="cauchy", f_scale=_LOSS)
    before, after = (np.median(np.abs(misses(turns)[3 * len(cameras) :])) for turns in (0.0 * best.x, best.x))
    angles = np.degrees(np.linalg.norm(best.x.reshape(-1, 3), axis=-1))
    said = ", ".join(f"{name} {angle:.2f}" for name, angle in zip(cameras, angles, strict=True))
    print(f"cameras turned by (degrees): {said}; median distance from epipolar lines {before:.1f} -> {after:.1f} px")
    return turned(best.x)


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
    straight = sided(keypoints, cameras)
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

    def add(self, mean: Tensor, samples: Tensor, held: Tensor, truth: Tensor, valid: Tensor) -> None:
        """Of frames: poses relative to the root, in the axes of the truth."""
        joints = valid.clone()
        joints[:, 0] = False
        some = joints.sum(-1) >= 6
        rows = torch.nonzero(some).squeeze(-1)
        skeleton = pp.SKELETONS["h36m17"]
        self._keep("MPJPE", 1000 * (mean - truth).norm(dim=-1)[rows][joints[rows]])
        self._keep("P-MPJPE", 1000 * accuracy.p_mpjpe(mean[rows], truth[rows], valid[rows]))
        self._keep("region", held[rows][joints[rows]].double())
        legs = [[skeleton.index(f"{s}_{j}") for j in ("hip", "knee", "ankle")] for s in ("left", "right")]
        told = torch.stack([valid[:, leg].all(-1) for leg in legs], -1)
        actual = angles_of_points(truth, skeleton)[:, _KNEES]
        drawn = angles_of_points(samples, skeleton)[..., _KNEES].sort(0).values
        count = len(drawn)
        low, middle, high = (drawn[round(share * (count - 1))] for share in (0.05, 0.5, 0.95))
        point = angles_of_points(mean, skeleton)[:, _KNEES]
        self._keep("knee", wrapped(point - actual).abs()[told])
        self._keep("knee of median", wrapped(middle - actual).abs()[told])
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
) -> dict[str, dict[str, float]]:
    """Numbers by the way to lift."""
    truth = (reference.places - reference.places[:, :1]).float()
    valid = reference.valid
    tallies: dict[str, Tally] = {}
    right = sided(keypoints, cameras)

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
        sets = [list(chosen) for size in (2, 3, 4) for chosen in itertools.combinations(names, size)]
        for chosen in sets:
            views = {name: keypoints[name] for name in chosen}
            for how in ("off", "on"):
                pose = fuse(lifter, views, cameras, fps, clip=how)
                kind = f"{len(chosen)} views, {'clip' if how == 'on' else 'frames'}"
                add(kind, pose.mean, pose.sample(200), pose.region(0.9).contains(truth), identity)
            print(f"  {'+'.join(chosen)}: {pose.settings if len(chosen) == len(names) else ''}", flush=True)
    return {kind: tally.numbers() for kind, tally in tallies.items()}


def _single(tallies: Mapping[str, Tally], kind: str) -> dict[str, float]:
    parts = tallies[f"1 view, {kind}"].parts
    return {name: round(float(values[-1].mean()), 2) for name, values in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lifter", default="flow", help="a shipped name or a folder")
    parser.add_argument("--film", type=Path, default=None, help=f"wheel of {FILM}, else downloaded")
    parser.add_argument("--work", type=Path, default=None, help="folder that keeps what was made; else a temporary one")
    parser.add_argument("--measure", choices=("half", "all"), default="half", help="frames that are measured")
    parser.add_argument("--cameras", choices=("refined", "as-given"), default="refined")
    parser.add_argument("--scale", default="1", help="of the detector's standard deviations: a number, or fit")
    parser.add_argument("--out", type=Path, default=None, help="JSON of all numbers")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        cameras, keypoints = detections(options, work)
        frames = len(next(iter(keypoints.values())))
        if options.cameras == "refined":
            cameras = refined(cameras, keypoints, slice(0, frames // 2))
        reference = triangulated(keypoints, cameras)
        first, rest = slice(0, frames // 2), slice(frames // 2 if options.measure == "half" else 0, frames)
        lifter = pp.load(options.lifter)
        fit = options.scale == "fit"
        scale = fitted_scale(lifter, keypoints, cameras, first) if fit else float(options.scale)
        share = float(reference.valid[rest][:, _LIMBS].double().mean())
        print(f"{frames} frames; {100 * share:.0f} % of the joints measured have a reference; sigmas x {scale:.2f}")
        keypoints = {name: seen.with_noise(torch.full((frames,), scale)) for name, seen in keypoints.items()}
        numbers = measured(lifter, keypoints, cameras, reference, rest, 60.0)
    columns = list(next(iter(numbers.values())))
    print(f"{'':20s}" + "".join(f"{name:>16s}" for name in columns))
    for kind, found in numbers.items():
        print(f"{kind:20s}" + "".join(f"{found[name]:16.3f}" for name in columns))
    if options.out:
        options.out.write_text(json.dumps({"scale": scale, "reference": share, "numbers": numbers}, indent=1) + "\n")


if __name__ == "__main__":
    main()
