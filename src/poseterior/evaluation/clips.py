"""Every number of clip posteriors on a protocol of steady cameras, beside the same lifter's answers frame by frame.

Lengths in the result are millimetres, shares 0 to 1, angles degrees. Frames in which nobody is seen count where the
clip posterior fills them; what is said of all frames is of those that show somebody, with and without it.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..data.observations import Observations, ObservationSet
from ..distributions.balls import quantiles
from ..distributions.clip_errors import ClipErrors
from ..distributions.intervals import AngleRecalibration, spread_of_angles, wrapped
from ..distributions.regions import Region
from ..files.errors import InputError
from ..geometry.angles import POINT_ANGLES, angles_of_points
from ..geometry.kinematics import body_height, bone_lengths
from ..geometry.skeletons import Skeleton
from ..keypoints import PoseId
from ..keypoints.view import solve_root
from ..lifters import Lifter
from ..metrics import accuracy
from ..metrics.calibration import calibration_error, coverage_ranks
from ..metrics.scores import pose_energy_score
from .clip_method import ClipMethod
from .clip_places import place_numbers

__all__ = ["Clip", "Tally", "clips_in", "measure_clips", "tally_clips"]

#: Level of regions and intervals.
_LEVEL = 0.9
_KNEES = ("left_knee_flexion", "right_knee_flexion")
_BALLS = ("centre", "radius", "pose_radius")
#: Poses at a time where frames are lifted alone.
_CHUNK = 128
#: Motions whose distances are in memory at once for a path's energy score.
_PATHS = 60


class Clip:
    """The frames of one person in one file, in order, numbered from 0.

    Attributes:
        observations: of the frames.
        name: of the file.
    """

    def __init__(self, observations: Observations, name: str) -> None:
        ids = [PoseId(name, number, 0) for number in range(len(observations.pose))]
        self.observations = dataclasses.replace(observations, keypoints=observations.keypoints._replace(ids=ids))
        self.name = name


def clips_in(data: ObservationSet) -> Iterator[Clip]:
    """The clips of observations whose frames are evenly apart."""
    rows: dict[tuple[str, int], list[int]] = {}
    ids = data.observations.keypoints.ids
    for row, identity in enumerate(ids):
        rows.setdefault((identity.file, identity.person), []).append(row)
    for (name, _), own in rows.items():
        yield Clip(data.observations[torch.tensor(sorted(own, key=lambda row: ids[row].frame))], name)


class Tally:
    """Numbers of all clips of one way to lift them."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.knees = [POINT_ANGLES.index(name) for name in _KNEES]
        self.parts: dict[str, list[Tensor]] = {}
        self.seconds = 0.0
        self.frames = 0
        self.clips = 0

    def keep(self, name: str, values: Tensor) -> None:
        self.parts.setdefault(name, []).append(values.cpu())

    def add(
        self,
        clip: Clip,
        mean: Float[Tensor, "T joints 3"],
        samples: Float[Tensor, "samples T joints 3"],
        region: Region,
        angles: AngleRecalibration | None,
        seconds: float,
        height: tuple[float, float, float] | None = None,
    ) -> None:
        """Compare a clip's answers with the truth; ``height``: its median and interval, of the whole clip."""
        truth, exists, keypoints = clip.observations.pose, clip.observations.observed, clip.observations.keypoints
        shown = keypoints.visible.sum(-1) >= 2
        self.seconds, self.frames, self.clips = self.seconds + seconds, self.frames + len(truth), self.clips + 1
        generator = torch.Generator().manual_seed(0)
        nonroot = list(self.skeleton.nonroot)
        some = exists[:, nonroot].any(-1)
        for name, chosen in (("", shown & some), ("missing: ", ~shown & some)):
            valid = exists[chosen]
            self.keep(f"{name}MPJPE", 1000 * accuracy.mpjpe(mean[chosen], truth[chosen], valid))
            self.keep(f"{name}P-MPJPE", 1000 * accuracy.p_mpjpe(mean[chosen], truth[chosen], valid))
            score = 1000 * accuracy.energy_score(samples[:, chosen], truth[chosen])
            self.keep(f"{name}energy score", score[:, nonroot][valid[:, nonroot]])
            self.keep(f"{name}ranks", coverage_ranks(samples[:, chosen], truth[chosen], generator))
            self.keep(f"{name}valid", valid)
            self.keep(f"{name}held", region.contains(truth)[chosen][:, nonroot][valid[:, nonroot]].double())
            self.keep(f"{name}radius", 1000 * region.radius[chosen][:, nonroot][valid[:, nonroot]])
        self._changes(mean, samples, truth, exists & shown.unsqueeze(-1), generator)
        paths, path = samples[:_PATHS, shown].flatten(1, 2), truth[shown].flatten(0, 1)
        self.keep("path energy score", 1000 * pose_energy_score(paths, path, exists[shown].flatten()).reshape(1))
        self._knees(samples, truth, exists & shown.unsqueeze(-1), angles)
        lengths = bone_lengths(samples, self.skeleton)
        self.keep("bone change", 1000 * (lengths - lengths.mean(1, keepdim=True)).abs().amax().reshape(1))
        if bool(exists.all()):
            actual = body_height(truth).mean()
            said = quantiles(body_height(samples), [0.5, 0.05, 0.95]) if height is None else torch.tensor([height]).T
            middle, low, high = said
            self.keep("height held", ((low <= actual) & (actual <= high)).double())
            self.keep("height error", 1000 * (middle - actual).abs())
            self.keep("height width", 1000 * (high - low))

    def _changes(
        self, mean: Tensor, samples: Tensor, truth: Tensor, known: Bool[Tensor, "T joints"], generator: torch.Generator
    ) -> None:
        """Velocities and accelerations, per frame."""
        nonroot = list(self.skeleton.nonroot)

        def change(poses: Tensor, order: int) -> Tensor:
            return torch.diff(poses, n=order, dim=-3)

        both = (known[1:] & known[:-1])[:, nonroot]
        three = (known[2:] & known[1:-1] & known[:-2])[:, nonroot]
        error = 1000 * (change(mean, 1) - change(truth, 1)).norm(dim=-1)[:, nonroot]
        self.keep("MPJVE", error[both])
        error = 1000 * (change(mean, 2) - change(truth, 2)).norm(dim=-1)[:, nonroot]
        self.keep("acceleration error", error[three])
        self.keep("velocity ranks", coverage_ranks(change(samples, 1), change(truth, 1), generator))
        self.keep("velocity valid", known[1:] & known[:-1])

    def place(self, seen: Observations, poses: Tensor, root: Tensor, paths: Tensor, axes: Tensor, fps: float) -> None:
        """Compare the pelvis' places with the truth: see `place_numbers`."""
        for name, values in place_numbers(seen, poses, root, paths, axes, self.skeleton, fps).items():
            self.keep(name, values[values.isfinite()])

    def _knees(self, samples: Tensor, truth: Tensor, known: Tensor, angles: AngleRecalibration | None) -> None:
        legs = [[self.skeleton.index(f"{side}_{j}") for j in ("hip", "knee", "ankle")] for side in ("left", "right")]
        told = torch.stack([known[:, leg].all(-1) for leg in legs], -1)
        actual = angles_of_points(truth, self.skeleton)[:, self.knees]
        drawn = angles_of_points(samples, self.skeleton)[..., self.knees]
        spread, factor = spread_of_angles(drawn), torch.ones(len(truth), 2, dtype=torch.float64)
        if angles is not None:
            factor = angles.factors(_LEVEL, told, _KNEES)
        away = wrapped(actual - spread.centre)
        held = torch.where(away > 0, away <= spread.above * factor, -away <= spread.below * factor)
        self.keep("knee held", held[told].double())
        self.keep("knee width", ((spread.above + spread.below) * factor)[told])
        self.keep("knee error", away.abs()[told])

    def sums(self, name: str) -> tuple[Float[Tensor, " clips"], Float[Tensor, " clips"]] | None:
        """Of a number that is a mean: sum and count in each clip; None where it is not known of every clip."""
        found = self.parts.get(name, [])
        if len(found) != self.clips or name.endswith(("ranks", "valid")):
            return None
        return (
            torch.stack([part.double().sum() for part in found]),
            torch.tensor([float(part.numel()) for part in found], dtype=torch.float64),
        )

    def numbers(self) -> dict[str, float]:
        """What it comes to."""
        parts = {name: torch.cat(found) for name, found in self.parts.items()}
        joints = list(self.skeleton.nonroot)
        found = {name: float(part.double().mean()) for name, part in parts.items() if len(part)}
        for name, ranks, valid in (
            ("calibration", "ranks", "valid"),
            ("velocity calibration", "velocity ranks", "velocity valid"),
            ("missing: calibration", "missing: ranks", "missing: valid"),
        ):
            if len(parts[ranks]):
                calibration = calibration_error(parts[ranks], parts[valid])
                found[name], found[f"{name}, signed"] = calibration.mean(joints), calibration.mean_signed(joints)
        if len(parts["bone change"]):
            found["bone change"] = float(parts["bone change"].max())
        found["milliseconds a frame"] = 1000 * self.seconds / max(self.frames, 1)
        inner = ("ranks", "valid")
        return {
            name: round(value, 4) for name, value in found.items() if not name.endswith(inner) and math.isfinite(value)
        }


@torch.no_grad()
def measure_clips(
    method: ClipMethod,
    lifter: Lifter,
    data: ObservationSet,
    fps: float = 30.0,
    *,
    samples: int = 100,
    seed: int = 0,
    errors: ClipErrors | None = None,
    raw: bool = True,
    clips: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, dict[str, float]]:
    """Measure clip posteriors, and the same weights frame by frame: the numbers of `tally_clips`.

    Returns:
        By ``"frames without evidence"``, ``"frames"`` and ``"clip"``: MPJPE, P-MPJPE, MPJVE, acceleration error (per
        frame²), energy scores (per joint; of whole paths over the root of their joints), calibration errors of joints,
        velocities, share of truths in regions of level 0.9 and of knee angles in their intervals, the largest change of
        a bone over any motion, heights, what `place_numbers` says of the pelvis where cameras are known, and
        milliseconds of processor time a frame (of clips: beside the lifter's own). Numbers whose name begins with
        ``missing`` are of frames in which nobody was seen.

    Raises:
        InputError: as `tally_clips`.
    """
    found = tally_clips(
        method, lifter, data, fps, samples=samples, seed=seed, errors=errors, raw=raw, clips=clips, progress=progress
    )
    return {kind: tally.numbers() for kind, tally in found.items()}


@torch.no_grad()
def tally_clips(
    method: ClipMethod,
    lifter: Lifter,
    data: ObservationSet,
    fps: float = 30.0,
    *,
    samples: int = 100,
    seed: int = 0,
    errors: ClipErrors | None = None,
    raw: bool = True,
    clips: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> dict[str, Tally]:
    """Compare clip posteriors, and the same weights frame by frame, with the truth, clip by clip.

    Args:
        method: `poseterior.lifting.clips.SMOOTHING`.
        lifter: in evaluation mode.
        data: of a protocol whose rows are frames in a row (`Protocol.in_a_row`), evenly apart.
        fps: rows per second.
        samples: motions, and hypotheses per frame.
        seed: of both.
        errors: instead of the lifter's own.
        raw: also measure frames without evidence.
        clips: so many at most, evenly spread.
        progress: called with the number of frames done.

    Returns:
        By ``"frames without evidence"``, ``"frames"`` and ``"clip"``.

    Raises:
        InputError: no clips, or clips of fewer than three frames.
    """
    kinds = [*(["frames without evidence"] if raw and lifter.evidence is not None else []), "frames", "clip"]
    tallies = {kind: Tally(lifter.skeleton) for kind in kinds}
    done, every = 0, list(clips_in(data))
    if clips is not None:
        every = [every[round(at)] for at in np.linspace(0, len(every) - 1, min(clips, len(every)))]
    for clip in every:
        if len(clip.observations.pose) < 3:
            raise InputError(f"clips: {clip.name}: has fewer than three frames in a row")
        frames = method.frames(lifter, clip.observations.keypoints, fps, math.inf)
        _alone(lifter, clip, tallies, samples, seed, frames.axes, fps)
        started = time.process_time()
        found = method.motions(lifter, frames, errors)
        motions, mean = found.sample(samples, seed=seed), found.mean
        spent = time.process_time() - started
        if method.places and _camera_known(clip):
            roots = found.sample_placed(samples, seed=seed)[1]
            seen = clip.observations
            tallies["clip"].place(seen, mean, found.root.mean, roots, frames.axes, fps)
        regions = found.errors.recalibration
        angles = None if regions is None else regions.angles
        tallies["clip"].add(clip, mean, motions, found.region(_LEVEL), angles, spent, found.height(_LEVEL))
        done += len(clip.observations.pose)
        if progress is not None:
            progress(done)
    if not done:
        raise InputError("clips: no frames to measure on")
    return tallies


def _camera_known(clip: Clip) -> bool:
    return bool(clip.observations.keypoints.intrinsics.isfinite().all())


def _alone(
    lifter: Lifter,
    clip: Clip,
    tallies: dict[str, Tally],
    samples: int,
    seed: int,
    axes: Float[Tensor, "T 3 3"],
    fps: float,
) -> None:
    """The same frames one by one, as the lifter answers, and without its evidence."""
    for kind in [kind for kind in tallies if kind != "clip"]:
        started = time.process_time()
        means, drawn, regions = [], [], []
        for rows in torch.arange(len(clip.observations.pose)).split(_CHUNK):
            keypoints = clip.observations.keypoints[rows].as_skeleton(lifter.skeleton)
            if kind == "frames":
                poses = lifter(keypoints)
            else:  # its recalibration is of its answers with the evidence
                poses = lifter.distribution(keypoints)
                poses.keypoints = keypoints
            means.append(poses.mean)
            drawn.append(poses.sample((samples,), seed=seed))
            regions.append(poses.region(_LEVEL))
        spent = time.process_time() - started
        balls = {name: torch.cat([getattr(part, name) for part in regions]) for name in _BALLS}
        region = Region(level=_LEVEL, calibrated=regions[0].calibrated, **balls)
        ours = lifter.recalibration if kind == "frames" else None
        angles = None if ours is None else ours.angles
        mean, hypotheses = torch.cat(means), torch.cat(drawn, 1)
        tallies[kind].add(clip, mean, hypotheses, region, angles, spent)
        if _camera_known(clip):
            roots = solve_root(hypotheses, clip.observations.keypoints.as_skeleton(lifter.skeleton))
            tallies[kind].place(clip.observations, mean, roots.mean(0), roots, axes, fps)
