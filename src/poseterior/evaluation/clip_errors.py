"""How the errors of a lifter's frames hang together, measured on simulated people: the numbers of its `ClipErrors`.

Clips are drawn of a population (one body, one steady camera and one detector each, a limb hidden for a while in every
other one, a height told in every third). On half of them the numbers are those with which the smoothed coordinates, and
their changes from frame to frame, have the least continuous ranked probability score (CRPS: Gneiting & Raftery 2007),
in the frames' own standard deviations: a proper score of what comes out, so that no error model has to be true for it.
On the other half the regions and the intervals of angles are made to hold the truth as often as they say.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..data.observations import Observations
from ..data.simulation.clips import SteadyPeopleSimulator
from ..data.simulation.protocols import PROTOCOLS
from ..data.store import PoseStore
from ..distributions.balls import SAMPLES, SEED, balls
from ..distributions.bodies import body_size
from ..distributions.clip_errors import ClipErrors, Parts
from ..distributions.recalibration import LEVELS
from ..distributions.told_height import TOLD
from ..files.errors import InputError
from ..geometry.skeletons import SKELETONS
from ..keypoints import PoseId
from .angles import AngleErrors, angle_errors
from .calibrate import fit_distances
from .clip_method import Answers, ClipMethod
from .conformal import conformal_quantile
from .distances import Distances

if TYPE_CHECKING:
    from ..lifters import Lifter

__all__ = ["FEWEST", "fit_clip_errors", "fit_parts", "motion_covariance", "simulated_clips"]

#: Fewest clips.
FEWEST = 20
#: Frames per second of the simulation.
_FPS = 30.0
#: Correlation of the detector's errors from frame to frame: those of films hang together.
_LASTING = (0.0, 0.8, 0.95)
#: Rounds of choosing how lively joints are and then the numbers, and steps of each.
_ROUNDS, _STEPS = 2, 16
#: What a number's distance from where the search began costs, squared, in hundredths of the score.
_PULL = 0.03
#: Coordinates that are scored, at most, evenly spread.
_COORDINATES = 1200
#: Joints that are hidden together for a while.
_LIMBS = tuple(
    tuple(SKELETONS["h36m17"].index(f"{side}_{joint}") for joint in limb)
    for side in ("left", "right")
    for limb in (("knee", "ankle"), ("elbow", "wrist"))
)
#: How much the score of changes from frame to frame counts beside that of places: they are smaller by so much.
_CHANGES = 3.0


def simulated_clips(store: str | Path | PoseStore, clips: int, frames: int, seed: int = 0) -> list[Observations]:
    """Clips of people of a population, 30 frames a second: one body and one steady camera each.

    As the protocol ``moving-body``, by detectors whose errors hang together from frame to frame more or less, with a
    limb hidden for a third to two thirds of every other clip, and the person's height told, right to 2 %, in every
    third one.

    Args:
        store: of poses.
        clips: how many; where the store has fewer that are long enough, they are seen again: another part of them, on
            another body, by another camera.
        frames: of each.
        seed: of everything drawn.

    Raises:
        InputError: the store has no clip of so many frames.
    """
    mocap = (store if isinstance(store, PoseStore) else PoseStore(store)).load(fps=_FPS)
    generator = torch.Generator().manual_seed(seed)
    number = torch.as_tensor(mocap.clip).long()
    long_enough = [clip for clip in number.unique().tolist() if int((number == clip).sum()) >= frames]
    if not long_enough:
        raise InputError(f"{store}: holds no clip of {frames} frames at {_FPS:g} frames a second")
    simulators = [SteadyPeopleSimulator(mocap, PROTOCOLS["moving-body"].simulator, lasting) for lasting in _LASTING]
    found = []
    rounds = [torch.randperm(len(long_enough), generator=generator) for _ in range(-(-clips // len(long_enough)))]
    for place, pick in enumerate(torch.cat(rounds)[:clips].tolist()):
        own = (number == long_enough[pick]).nonzero().squeeze(-1)
        start = int(torch.randint(len(own) - frames + 1, (), generator=generator))
        observations = simulators[place // 4 % len(_LASTING)](frames, generator, own[start : start + frames])
        visible = observations.keypoints.visible.clone()
        if place // 2 % 2:  # so that both halves of what is fitted have such clips
            limb = _LIMBS[int(torch.randint(len(_LIMBS), (), generator=generator))]
            length = int(torch.randint(frames // 3, 2 * frames // 3 + 1, (), generator=generator))
            first = int(torch.randint(frames - length + 1, (), generator=generator))
            visible[first : first + length, list(limb)] = False
        ids = [PoseId(f"clip {place}", frame, 0) for frame in range(frames)]
        keypoints = observations.keypoints._replace(visible=visible, ids=ids)
        if place % 3 == 2 and bool(observations.observed.all()):
            error = 1.0 + TOLD * float(torch.randn((), generator=generator))
            keypoints = keypoints.with_camera(
                height=error * float(body_size(observations.pose, keypoints.skeleton).mean())
            )
        found.append(dataclasses.replace(observations, keypoints=keypoints))
    return found


# -- the numbers -------------------------------------------------------------------------------------------------


def motion_covariance(
    times: Float[Tensor, " T"], density: Float[Tensor, "*batch"], place: float, speed: float, rate: float
) -> Float[Tensor, "*batch T T"]:
    """Covariance of a path that is pushed by white noise and falls back, with these standard deviations at the start.

    Args:
        times: seconds.
        density: spectral density of the acceleration, m²/s³.
        place, speed: metres, metres a second.
        rate: at which it falls back, per second.
    """
    since = times - times[0]
    apart = rate * (since[:, None] - since).abs()
    density = density[..., None, None]
    settled = 0.25 * density / rate**3  # variance of what has gone on for ever; rate² times that of its velocity
    fade = torch.exp(-rate * since)
    still, moving = fade * (1.0 + rate * since), fade * since
    start = (place**2 - settled) * still[:, None] * still
    start = start + (speed**2 - rate**2 * settled) * moving[:, None] * moving
    return settled * (1.0 + apart) * torch.exp(-apart) + start


def _true_size(
    frames: Answers, observed: Observations, truth: Float[Tensor, "T d"], exists: Bool[Tensor, " d"]
) -> float:
    """Expected logarithm of the person's size; of a pose that is known in part, the one that explains it best."""
    if bool(observed.observed.all()):
        return float(body_size(observed.pose.double(), frames.keypoints.skeleton).log().mean())
    slope, gap = frames.sizes.slope[:, exists], (truth - frames.mean)[:, exists]
    return float((frames.sizes.level + (slope * gap).sum(-1) / slope.square().sum(-1).clamp(min=1e-9)).mean())


class _Clips:
    """Clips as coordinates: ``n`` of them in ``T`` frames.

    Attributes:
        value, truth: ``(n, T)`` metres, of a body of the true size, less the mean of the frames.
        variance: ``(n, T)`` m², of the frames, likewise.
        seen: ``(n, T)``.
        depth: ``(n,)`` whether the coordinate is along the ray.
        valid: ``(n,)`` coordinates that the truth has.
        rows: ``(n,)`` which of all coordinates of all clips they are.
    """

    def __init__(self, frames: Sequence[Answers], observations: Sequence[Observations]) -> None:
        values, truths, variances, seen, valid = [], [], [], [], []
        for frame, observed in zip(frames, observations, strict=True):
            nonroot = list(frame.keypoints.skeleton.nonroot)
            turned = (observed.pose.double() @ frame.axes.mT)[:, nonroot].flatten(1)
            exists = observed.observed[:, nonroot].all(0).repeat_interleave(3)
            value = frame.mean + frame.sizes.resized(_true_size(frame, observed, turned, exists))
            middle = value.mean(0)
            values.append((value - middle).T)
            truths.append((turned - middle).T)
            variances.append(frame.covariance.diagonal(dim1=-2, dim2=-1).T)
            seen.append(frame.seen.repeat_interleave(3, -1).T)
            valid.append(exists)
        everything = [torch.cat(part) for part in (values, truths, variances, seen, valid)]
        count = len(everything[0])
        self.rows = torch.linspace(0, count - 1, min(count, _COORDINATES)).long()
        self.value, self.truth, self.variance, self.seen, self.valid = (part[self.rows] for part in everything)
        self.depth = self.rows % 3 == 2
        self.times = torch.from_numpy(frames[0].times)

    def score(self, numbers: Float[Tensor, " 9"], density: Float[Tensor, " n"], method: ClipMethod) -> Tensor:
        """The mean CRPS of the smoothed coordinates and of their changes, in standard deviations of the frames."""
        kinds = [_shares(numbers[:4]), _shares(numbers[4:8])]
        scale, constant, slow, white, seconds = (
            torch.where(self.depth, deep, flat).unsqueeze(-1) for flat, deep in zip(*kinds, strict=True)
        )
        variance = self.variance * scale.square()
        variance = torch.where(self.seen, variance, variance * (2.0 * numbers[8]).exp())
        told = torch.where(self.seen.any(-1, keepdim=True), self.seen, True)
        typical = torch.where(told, variance, 0.0).sum(-1, keepdim=True) / told.sum(-1, keepdim=True)
        shared = constant * typical
        lasting = torch.maximum(slow * variance, (constant + slow) * variance - shared)
        amplitude = torch.where(self.seen, slow * variance, lasting).sqrt()
        apart = (self.times[:, None] - self.times).abs()
        fading = torch.exp(-apart / seconds.unsqueeze(-1))
        error = amplitude.unsqueeze(-1) * amplitude.unsqueeze(-2) * fading + torch.diag_embed(white * variance)
        motion = motion_covariance(self.times, density, method.place, method.speed, method.rate)
        lower = torch.linalg.cholesky(motion + error)
        gain = torch.cholesky_solve(motion, lower)
        mean = (gain.mT @ self.value.unsqueeze(-1)).squeeze(-1)
        left = motion - motion @ gain
        own = left.diagonal(dim1=-2, dim2=-1)
        size = self.variance.mean(-1, keepdim=True).sqrt()
        places = _scores(self.truth - mean, own + shared) / size
        next_to = left.diagonal(offset=1, dim1=-2, dim2=-1)
        changes = _scores((self.truth - mean).diff(dim=-1), own[:, 1:] + own[:, :-1] - 2.0 * next_to) / size
        return places[self.valid].mean() + _CHANGES * changes[self.valid].mean()


def _shares(numbers: Float[Tensor, " 4"]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Scale, constant, slow and white shares, seconds, of four numbers without bounds."""
    shares = torch.softmax(torch.cat([numbers[1:3], numbers.new_zeros(1)]), 0)
    return numbers[0].exp(), shares[0], shares[1], shares[2], numbers[3].exp()


def _scores(gap: Tensor, variance: Tensor) -> Tensor:
    """CRPS of normal distributions, of which the truth is ``gap`` away (Gneiting & Raftery 2007, eq. 5)."""
    deviation = variance.clamp(min=1e-12).sqrt()
    standard = gap / deviation
    density = torch.exp(-0.5 * standard.square()) / math.sqrt(2 * math.pi)
    crps = standard * torch.erf(standard / math.sqrt(2)) + 2.0 * density - 1.0 / math.sqrt(math.pi)
    return deviation * crps


def _errors_of(numbers: Tensor) -> ClipErrors:
    kinds = []
    for own in (numbers[:4], numbers[4:8]):
        scale, constant, slow, white, seconds = (float(number) for number in _shares(own))
        least = 2e-3  # of white noise, for the filter's sake
        shrunk = min(1.0, (1.0 - least) / max(constant + slow, 1e-9)) if white < least else 1.0
        kinds.append(
            Parts(min(max(scale, 0.05), 20.0), constant * shrunk, slow * shrunk, min(max(seconds, 0.01), 20.0))
        )
    return ClipErrors(kinds[0], kinds[1], hidden=min(max(math.exp(float(numbers[8])), 0.2), 5.0))


def fit_parts(
    method: ClipMethod,
    frames: Sequence[Answers],
    observations: Sequence[Observations],
    start: ClipErrors | None = None,
) -> ClipErrors:
    """The numbers with which the smoothed coordinates score best.

    Args:
        method: `poseterior.lifting.clips.SMOOTHING`.
        frames: of each clip, all of them as long, none missing.
        observations: what they should have been.
        start: from where the search begins.
    """
    clips, errors = _Clips(frames, observations), start or ClipErrors()
    begin = []
    for kind in (errors.across, errors.depth):
        begin += [math.log(kind.scale), math.log(kind.constant / kind.white), math.log(kind.slow / kind.white)]
        begin.append(math.log(kind.seconds))
    origin = torch.tensor([*begin, math.log(errors.hidden)], dtype=torch.float64)
    numbers = origin.clone().requires_grad_(True)
    for _ in range(_ROUNDS):
        lively = [method.densities(frame, errors) for frame in frames]
        density = torch.from_numpy(np.concatenate(lively))
        search = torch.optim.LBFGS([numbers], max_iter=_STEPS, line_search_fn="strong_wolfe")

        def closure(search: torch.optim.LBFGS = search, density: Tensor = density) -> Tensor:
            search.zero_grad()
            # The weak pull keeps numbers of which the clips say nothing. In hundredths, for the search's first step.
            score = (
                100.0 * clips.score(numbers, density[clips.rows], method) + _PULL * (numbers - origin).square().sum()
            )
            score.backward()
            return score

        with torch.enable_grad():
            search.step(closure)
        errors = _errors_of(numbers.detach())
    return errors


# -- how often it holds ------------------------------------------------------------------------------------------


@torch.no_grad()
def fit_clip_errors(
    method: ClipMethod,
    lifter: Lifter,
    clips: Sequence[Observations],
    description: str = "",
    progress: Callable[[int], object] | None = None,
) -> ClipErrors:
    """How the errors of a lifter hang together; set it as ``lifter.clips`` to use it, save the lifter to keep it.

    Args:
        method: `poseterior.lifting.clips.SMOOTHING`.
        lifter: in evaluation mode, with the evidence that it will be used with.
        clips: with known poses, see `simulated_clips`.
        description: of the clips, kept with the result.
        progress: called with the number of frames done.

    Raises:
        InputError: fewer than `FEWEST` clips.
    """
    if len(clips) < FEWEST:
        raise InputError(f"clips: {len(clips)} to fit on; at least {FEWEST} are needed")
    frames, done = [], 0
    for clip in clips:
        frames.append(method.frames(lifter, clip.keypoints, _FPS, 0.0))
        done += len(clip.pose)
        if progress is not None:
            progress(done)
    errors = fit_parts(method, frames[::2], clips[::2])
    rest = list(zip(frames[1::2], clips[1::2], strict=True))
    size, height = _size_spread(frames, clips)
    errors = dataclasses.replace(errors, size=size, height=height)
    return dataclasses.replace(
        errors, recalibration=fit_distances(_distances(method, lifter, errors, rest), description)
    )


def _size_spread(frames: Sequence[Answers], clips: Sequence[Observations]) -> tuple[float, float]:
    """By what the spread of sizes is multiplied, and that of the interval of heights besides.

    The first has the least CRPS, as the errors of coordinates do; the second makes nine tenths of all intervals hold.
    """
    away, points = [], []
    for frame, observed in zip(frames, clips, strict=True):
        if bool(observed.observed.all()):
            size = frame.sizes.common(frame.present, 1.0)
            away.append(body_size(observed.pose.double(), frame.keypoints.skeleton).log().mean() - size.level)
            points.append(size.points)
    if len(away) < FEWEST // 2:
        return 1.0, 1.0
    gap, about = torch.stack(away), torch.stack(points)
    trials = torch.logspace(-1.0, 1.0, 201, dtype=torch.float64)
    apart = (about.unsqueeze(-1) - about.unsqueeze(-2)).abs().mean((-2, -1))
    scores = [(scale * about - gap.unsqueeze(-1)).abs().mean(-1) - 0.5 * scale * apart for scale in trials]
    scale = float(trials[torch.stack(scores).mean(-1).argmin()])
    low, high = (scale * about.quantile(level, dim=-1) for level in (0.05, 0.95))
    found = float(conformal_quantile(torch.where(gap > 0, gap / high, gap / low), 0.9))
    return round(scale, 3), round(min(max(found, 0.05), 20.0), 3) if math.isfinite(found) else 1.0


def _distances(
    method: ClipMethod, lifter: Lifter, errors: ClipErrors, clips: Sequence[tuple[Answers, Observations]]
) -> Distances:
    """How far the truth is from clip posteriors, as `poseterior.evaluation.distances.measure` has it of frames."""
    skeleton = lifter.skeleton
    parts: list[tuple[Tensor, ...]] = []
    turned: list[AngleErrors] = []
    for frames, observations in clips:
        drawn = method.motions(lifter, frames, errors).sample(SAMPLES, seed=SEED)
        plain = balls(drawn, LEVELS, skeleton.root)
        observed = _without_root(observations.observed, skeleton.root)
        error = torch.where(observed, (observations.pose - plain.centre).norm(dim=-1), 0.0)
        visible = frames.keypoints.visible.cpu()
        parts.append(
            (error, plain.radius.movedim(0, 1), plain.pose_scale.movedim(0, 1), plain.shape, visible, observed)
        )
        turned.append(angle_errors(drawn, observations.pose, visible, observations.observed, skeleton))
    error, radius, scale, shape, visible, observed = (torch.cat(column) for column in zip(*parts, strict=True))
    return Distances(
        skeleton, LEVELS, error, radius.movedim(1, 0), shape, scale.movedim(1, 0), visible, observed, SAMPLES, SEED,
        AngleErrors.joined(turned),
    )  # fmt: skip


def _without_root(observed: Bool[Tensor, "T joints"], root: int) -> Bool[Tensor, "T joints"]:
    observed = observed.clone()
    observed[:, root] = False
    return observed
