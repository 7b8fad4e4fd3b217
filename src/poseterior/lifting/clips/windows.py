"""Clips of any length: lifted in windows that overlap, in memory that hardly grows with their number of frames.

What all frames of a clip share (the person's size and body, how lively each joint is, the error that no averaging
removes) is told by stretches of it, evenly spread, as many as memory is for. The windows are then lifted one after the
other, given that. Every frame has random numbers of its own, so that in the overlap of two windows their motions are
the same ones but for what the windows do not see; it is forgotten within seconds, and where they are joined, in the
middle of the overlap, one is faded over into the other.

Of each frame about a kilobyte is kept: its keypoints.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.clip_errors import ClipErrors
from ...distributions.regions import Region
from ...files.checks import counted
from ...geometry.kinematics import bones_to_pose, pose_to_bones
from ...geometry.skeletons import Skeleton
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...noise import Noise, mixed
from ..draws import Draws, Placed
from ..processes import in_order
from .correlations import correlation_roots
from .filtering import filtered
from .frame_noise import FrameNoise
from .frames import FEWEST_JOINTS, Frames, frames_of, rate_of, times_of
from .gaussian import PASSES, SETTLED, Known, setting_of, shared_of, weighed_gaussian
from .lift import MAX_GAP, clip_keypoints, clip_words
from .motion import density_evidence, likeliest_densities
from .posterior import ClipPosterior
from .surprises import weights_of
from .switches import check_roots

__all__ = ["AT_ONCE", "LONG", "STRETCH", "STRETCHES", "LongClip", "in_windows", "pieces_of", "windows_of"]

#: Frames of a clip from which on it is lifted in windows.
LONG = 3_000
#: Frames of a window without what it shares with others.
_CORE = 800
#: Seconds of the overlap to either side of a join, and how many times the slow errors last; seconds of the fading.
_OVERLAP, _LASTING, _FADE = 3.0, 3.0, 1.0
#: Frames of a stretch that tells of the whole clip, and how many there are at most.
STRETCH, STRETCHES = 300, 8
#: Motions of a window drawn at a time.
AT_ONCE = 20
#: Frames to either side that tell whether somebody jumps towards the camera.
_AROUND = 6


@dataclass(frozen=True, eq=False, kw_only=True)
class _Window(ClipPosterior):
    """A stretch of a long clip, whose motions are those of the clip there."""

    clip: LongClip

    @property
    def _block(self) -> int:
        return AT_ONCE

    def _noise(self, seed: int, start: int, part: int = 0) -> Noise:
        size = self.gaussian.mean.shape[1]
        whole, each = (0, (3, 6)) if part else (1 + size, (3 * size,))
        return FrameNoise(seed, mixed(self.clip.key + part, start), torch.from_numpy(self.frame), whole, each)

    def _logs(
        self, motions: Float[Tensor, "samples T joints 3"], seed: int, start: int, paired: bool
    ) -> Float[Tensor, "samples joints"]:
        return self.clip.body_logs(len(motions), seed, start, paired)

    def own_logs(self, samples: int, seed: int, start: int, paired: bool) -> Float[Tensor, "samples joints"]:
        """`_logs` of this stretch alone."""
        motions, _ = self._loose(samples, seed, start, paired)
        return super()._logs(motions, seed, start, paired)


def in_windows(keypoints: Keypoints2D) -> bool:
    """Whether a clip of these frames is so long that it is lifted in windows: somebody is seen in each of them."""
    if len(keypoints) < LONG:
        return False
    seen = (keypoints.visible.sum(-1) >= FEWEST_JOINTS).cpu()
    return bool(torch.stack([part.any() for part in seen.split(STRETCH)]).all())


def windows_of(clip: Keypoints2D, fps: float, errors: ClipErrors | None) -> list[tuple[slice, slice]]:
    """Rows of each window of a long clip, and those of them that are its own: up to the middle of the overlaps.

    Args:
        clip: with a row for every frame.
        fps: frames per second.
        errors: how the errors of the frames hang together; None where they were not measured.
    """
    errors = errors or ClipErrors()
    lasting = max(errors.across.seconds, errors.depth.seconds)
    overlap = max(2, round((_OVERLAP + _LASTING * lasting) * _rate(clip, fps)))
    core = max(_CORE, overlap)
    count = max(1, round(len(clip) / core))
    ends = np.linspace(0, len(clip), count + 1).round().astype(int).tolist()
    return [
        (slice(max(0, start - overlap), min(len(clip), stop + overlap)), slice(start, stop))
        for start, stop in pairwise(ends)
    ]


def pieces_of(clip: Keypoints2D, fps: float, errors: ClipErrors | None) -> list[slice]:
    """Rows that are told as soon as each window was lifted: up to where it is faded into the next; as `windows_of`."""
    half = _half_fade(clip, fps)
    ends = [own.stop - half for _, own in windows_of(clip, fps, errors)[:-1]]
    return [slice(start, stop) for start, stop in pairwise([0, *ends, len(clip)])]


def _rate(clip: Keypoints2D, fps: float) -> float:
    """Rows a second."""
    return rate_of(times_of(clip[: min(STRETCH, len(clip))], fps))


def _half_fade(clip: Keypoints2D, fps: float) -> int:
    return max(1, round(0.5 * _FADE * _rate(clip, fps)))


@dataclass(eq=False)
class LongClip:
    """The posterior of a long clip's motion, window after window; see `poseterior.lifting.clips.lift_clip`.

    Attributes:
        lifter: that lifts the frames.
        keypoints: one pose per frame, as they are used.
        fps: frames per second.
        errors: how the errors of the frames hang together; None where they were not measured.
        notes: what was found of the keypoints, in words.
        weight: ``(T,)`` how much each frame counted; 1 until its window was lifted.
        known: of the clip.
    """

    lifter: Lifter
    keypoints: Keypoints2D
    fps: float
    errors: ClipErrors | None
    notes: dict[str, str]
    weight: Float[NDArray[np.float64], " T"] = field(init=False)
    known: Known = field(init=False)
    _stretches: list[_Window] = field(init=False, repr=False)
    _bodies: dict[tuple[int, int, int, bool], Tensor] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        lifter: Lifter,
        keypoints: Keypoints2D,
        fps: float | None = None,
        *,
        max_gap: float = MAX_GAP,
        device: torch.device | str = "cpu",
    ) -> LongClip:
        """Prepare a clip; arguments and what is refused as of `poseterior.lifting.clips.lift_clip`."""
        clip, rate, notes = clip_keypoints(lifter, keypoints, fps, max_gap=max_gap, device=device)
        return cls(lifter, clip, rate, lifter.clips, notes)

    def __post_init__(self) -> None:
        self.weight = np.ones(len(self))
        self._check_roots()
        frames = [self._frames(start, stop) for start, stop in self._spread()]
        self.known = _known(frames, self._errors, len(self) // 2, [start for start, _ in self._spread()])
        self._stretches = [self._window(part) for part in frames]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.keypoints)

    @property
    def _errors(self) -> ClipErrors:
        return self.errors or ClipErrors()

    @property
    def skeleton(self) -> Skeleton:
        return self.keypoints.skeleton

    @property
    def key(self) -> int:
        """Tells the clip from others."""
        keys = self.keypoints.keys.cpu().numpy().tobytes()
        return int.from_bytes(hashlib.blake2b(keys, digest_size=7).digest(), "big")

    def _frames(self, start: int, stop: int) -> Frames:
        rows = self.keypoints[start:stop]
        return replace(frames_of(self.lifter, rows, self.fps), keypoints=rows)  # with the height that is told

    def _window(self, frames: Frames) -> _Window:
        gaussian, weight = weighed_gaussian(frames, self._errors, self.known)
        return _Window(frames, weight, gaussian, self._errors, self.lifter, clip=self)

    def _spread(self) -> list[tuple[int, int]]:
        """First rows and ends of the stretches that tell of the whole clip."""
        count = min(STRETCHES, -(-len(self) // STRETCH))
        starts = np.linspace(0, len(self), count + 1).round().astype(int)[:-1].tolist()
        length = min(STRETCH, -(-len(self) // count))
        return [(start, min(start + length, len(self))) for start in starts]

    def _check_roots(self) -> None:
        """Refuse a person who jumps, before anything is written."""
        if not bool(self.keypoints.intrinsics.isfinite().all()):
            return
        for start in range(0, len(self), _CORE):
            rows = self.keypoints[max(0, start - _AROUND) : start + _CORE + _AROUND]
            present = rows.visible.sum(-1) >= FEWEST_JOINTS
            poses = torch.cat([self.lifter(rows[part]).mean.cpu() for part in _pieces(len(rows))])
            times = np.array([identity.frame for identity in rows.ids]) / self.fps
            check_roots(rows, poses, present, times)

    def body_logs(self, samples: int, seed: int, start: int, paired: bool) -> Float[Tensor, "samples joints"]:
        """The shape of the body of each motion, which all of its frames have."""
        key = (samples, seed, start, paired)
        if key not in self._bodies:
            counts = [len(part) for part in self._stretches]
            logs = [part.own_logs(*key) * len(part) / sum(counts) for part in self._stretches]
            self._bodies[key] = torch.stack(logs).sum(0)
        return self._bodies[key]

    def windows(self) -> list[tuple[slice, slice]]:
        """`windows_of` this clip."""
        return windows_of(self.keypoints, self.fps, self.errors)

    def pieces(self) -> list[slice]:
        """`pieces_of` this clip."""
        return pieces_of(self.keypoints, self.fps, self.errors)

    @torch.no_grad()
    def drawn(
        self, rows: slice, own: slice, samples: int, seed: int, level: float
    ) -> tuple[Draws, Float[NDArray[np.float64], " T"]]:
        """Draws of a window, and how much each frame that is its own counts; the same whoever was lifted before."""
        window = self._window(self._frames(rows.start, rows.stop))
        return window.draws(samples, seed, level), window.weight[own.start - rows.start : own.stop - rows.start]

    @torch.no_grad()
    def draws(
        self,
        samples: int = 200,
        seed: int = 0,
        level: float = 0.9,
        first: int = 0,
        end: int | None = None,
        workers: int = 1,
    ) -> Iterator[tuple[slice, Draws]]:
        """`ClipPosterior.draws` of one stretch after the other: rows of `keypoints`, and their draws.

        Args:
            samples, seed, level: as there.
            first, end: of the `pieces`; the window before the first is lifted too, which is faded into it.
            workers: processes that lift windows.
        """
        windows, pieces = self.windows(), self.pieces()
        numbers = range(max(first - 1, 0), len(windows) if end is None else end)
        half, told = _half_fade(self.keypoints, self.fps), slice(pieces[first].start, pieces[numbers[-1]].stop)
        before: Draws | None = None
        drawn = self._each([windows[number] for number in numbers], (samples, seed, level), workers)
        for number in numbers:
            found, weight = next(drawn)
            rows, own = windows[number]
            mine = slice(max(own.start, told.start), min(own.stop, told.stop))
            self.weight[mine] = weight[mine.start - own.start : mine.stop - own.start]
            piece, last = pieces[number], number == len(windows) - 1
            if number >= first:
                parts, start = [], piece.start
                if before is not None:
                    zone = slice(start, start + 2 * half)
                    share = 0.5 - 0.5 * torch.cos(torch.pi * (torch.arange(2 * half) + 0.5) / (2 * half))
                    parts.append(_faded(before, _cut(found, zone, rows.start), share, self.skeleton))
                    start = zone.stop
                parts.append(_cut(found, slice(start, piece.stop), rows.start))
            before = None if last else _cut(found, slice(piece.stop, piece.stop + 2 * half), rows.start)
            del found
            if number >= first:
                yield piece, _joined(parts)

    def _each(
        self, windows: list[tuple[slice, slice]], how: tuple[int, int, float], workers: int
    ) -> Iterator[tuple[Draws, Float[NDArray[np.float64], " T"]]]:
        """`drawn` of one window after the other."""
        if workers == 1:
            return (self.drawn(rows, own, *how) for rows, own in windows)
        # As bytes: tensors would go through shared memory, of which containers have little.
        jobs = ((*window, *how) for window in windows)
        return map(pickle.loads, in_order(_drawn, jobs, workers, _begin, (pickle.dumps(self),)))

    @property
    def settings(self) -> dict[str, str]:
        """What is said of it, when all windows were lifted."""
        present = (self.keypoints.visible.sum(-1) >= FEWEST_JOINTS).cpu().numpy()
        told = self._stretches[0].frames.told
        alone = None
        if told is not None:
            frames = [replace(part.frames, told=None) for part in self._stretches]
            alone = shared_of(frames, self._errors).size
        said = clip_words(self.keypoints, present, self.weight, self.errors, told, alone)
        count = counted(len(self.windows()), "window")
        return self.notes | said | {"windows": f"lifted in {count} that overlap and are faded into each other"}


def _pieces(count: int, size: int = 128) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def _known(stretches: list[Frames], errors: ClipErrors, middle: int, starts: list[int]) -> Known:
    """What stretches of a clip tell of all of it, each frame weighed as it fits its neighbours."""
    shared = shared_of(stretches, errors)
    settings = [setting_of(frames, errors, shared) for frames in stretches]
    weights = [np.ones(len(frames)) for frames in stretches]
    for _ in range(PASSES):
        seen = [setting.weighed(weight).seen for setting, weight in zip(settings, weights, strict=True)]
        density = likeliest_densities(sum((density_evidence(one) for one in seen[1:]), density_evidence(seen[0])))
        fresh = [
            weights_of(filtered(one, density), setting.seen.white, weight)
            for one, setting, weight in zip(seen, settings, weights, strict=True)
        ]
        if all(np.allclose(new, old, atol=SETTLED) for new, old in zip(fresh, weights, strict=True)):
            break
        weights = fresh
    # The correlations nearest to the middle of the clip.
    gaps = [
        max(start - middle, middle - (start + len(part) - 1), 0) for start, part in zip(starts, stretches, strict=True)
    ]
    nearest = int(np.argmin(gaps))
    row = min(max(middle - starts[nearest], 0), len(stretches[nearest]) - 1)
    return Known(shared, density, correlation_roots(stretches[nearest])[row])


# -- several processes -------------------------------------------------------------------------------------

#: What a process of the pool works with.
_own: list[LongClip] = []


def _begin(clip: bytes) -> None:
    torch.set_num_threads(1)
    _own[:] = [pickle.loads(clip)]


def _drawn(job: tuple[slice, slice, int, int, float]) -> bytes:
    return pickle.dumps(_own[0].drawn(*job))


# -- joining -----------------------------------------------------------------------------------------------


def _cut(draws: Draws, rows: slice, start: int) -> Draws:
    """Some frames of a window that begins there."""
    at = slice(rows.start - start, rows.stop - start)
    region, placed = draws.region, draws.placed
    return Draws(
        draws.samples[:, at].clone(),
        draws.mean[at].clone(),
        draws.covariance[at].clone(),
        draws.log_prob[:, at].clone(),
        Region(region.level, region.centre[at], region.radius[at], region.pose_radius[at], region.calibrated),
        placed=None
        if placed is None
        else Placed(placed.samples[:, at].clone(), placed.mean[at].clone(), placed.covariance[at].clone()),
    )


def _faded(first: Draws, second: Draws, share: Float[Tensor, " T"], skeleton: Skeleton) -> Draws:
    """The same frames of two windows: of the second one so much, the bones as long as in the first."""

    def mixed_(a: Tensor, b: Tensor, axis: int = 0) -> Tensor:
        return torch.lerp(a, b, share.to(a).reshape(-1, *[1] * (a.ndim - axis - 1)))

    lengths = pose_to_bones(first.samples, skeleton).norm(dim=-1, keepdim=True)
    bones = pose_to_bones(mixed_(first.samples, second.samples, 1), skeleton)
    samples = bones_to_pose(bones / bones.norm(dim=-1, keepdim=True).clamp(min=1e-9) * lengths, skeleton)
    a, b = first.region, second.region
    region = Region(
        a.level,
        mixed_(a.centre, b.centre),
        mixed_(a.radius, b.radius),
        mixed_(a.pose_radius, b.pose_radius),
        a.calibrated,
    )
    placed = None
    if first.placed is not None and second.placed is not None:
        p, q = first.placed, second.placed
        placed = Placed(mixed_(p.samples, q.samples, 1), mixed_(p.mean, q.mean), mixed_(p.covariance, q.covariance))
    return Draws(
        samples,
        mixed_(first.mean, second.mean),
        mixed_(first.covariance, second.covariance),
        first.log_prob,
        region,
        placed=placed,
    )


def _joined(parts: list[Draws]) -> Draws:
    """One after the other; they are taken out of the list, so that nobody holds on to them."""
    if len(parts) == 1:
        return parts.pop()
    parts, held = [*parts], parts
    held.clear()
    regions = [part.region for part in parts]
    region = Region(
        regions[0].level,
        torch.cat([one.centre for one in regions]),
        torch.cat([one.radius for one in regions]),
        torch.cat([one.pose_radius for one in regions]),
        regions[0].calibrated,
    )
    places = [part.placed for part in parts if part.placed is not None]
    return Draws(
        torch.cat([part.samples for part in parts], 1),
        torch.cat([part.mean for part in parts]),
        torch.cat([part.covariance for part in parts]),
        torch.cat([part.log_prob for part in parts], 1),
        region,
        placed=Placed(
            torch.cat([one.samples for one in places], 1),
            torch.cat([one.mean for one in places]),
            torch.cat([one.covariance for one in places]),
        )
        if places
        else None,
    )
