"""Somebody else in the track: jumps that no human makes.

Nobody runs faster than 12.4 m/s (Bolt, 2009); in recordings of people (CMU, Bandai-Namco, ReActIdle: 140,000 frames)
the pelvis moves at up to 5.2 m/s, and from one frame to the next at 30 a second the joints by at most 0.26 of the
person's apparent size, 0.70 at 10 a second. A larger step is somebody else whom the tracker took for the person.
Where it is undone after a frame or two, these frames are left out; where the track stays there, the clip is refused:
one posterior would be of two people.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import of_file
from ...files.errors import InputError
from ...geometry.cameras import explaining_root, root_covariance
from ...keypoints import Keypoints2D
from ...keypoints.keypoints import person_size

__all__ = ["FASTEST", "TrackSwitch", "check_roots", "somebody_else"]

Array = NDArray[np.float64]

#: Metres a second: nobody is faster.
FASTEST = 12.5
#: Least size of a person (root mean square distance of the joints from their middle), metres: crouching.
_CROUCHING = 0.3
#: Sizes by which a detector may be off, beside what people move: what ends a track in `poseterior.keypoints.tracks`.
_SLACK = 1.0
#: Frames that are somebody else's by mistake; more of them are a track.
_FEW = 2
#: Joints in common below which nothing is said.
_COMMON = 3
#: Standard deviations by which a distance may be off, and its least standard deviation, a share of it: the lifter's.
_DOUBT, _SHARE = 6.0, 0.04


class TrackSwitch(InputError):
    """A clip that shows one person after another."""


def somebody_else(keypoints: Keypoints2D, times: Float[Array, " T"]) -> Bool[Tensor, " T"]:
    """Frames, one or two in a row, in which somebody else was taken for the person.

    Args:
        keypoints: of a clip, every frame in order; frames that show nobody count for nothing.
        times: seconds.

    Raises:
        TrackSwitch: the person jumps farther than anybody moves, and stays there; names file, person and frames.
    """
    xy, seen = keypoints.xy.double().cpu().numpy(), keypoints.visible.cpu().numpy()
    size = person_size(keypoints.xy, keypoints.visible).double().cpu().numpy().clip(1.0)
    rows = np.flatnonzero(seen.sum(-1) >= _COMMON)

    def jump(before: int, after: int) -> float:
        """Sizes, less what people move and detectors are off: above 0 nobody does it."""
        both = seen[before] & seen[after]
        if both.sum() < _COMMON:
            return -np.inf
        moved = float(np.median(np.linalg.norm(xy[after] - xy[before], axis=-1)[both]))
        return moved / float(np.sqrt(size[before] * size[after])) - _most(times[after] - times[before])

    runs = _runs(rows, jump)
    lasting = [run for run in runs if len(run) > _FEW] or runs
    for one, next_one in itertools.pairwise(lasting):
        after = int(next_one[0])
        before = int(one[one < after][-1])
        if (over := jump(before, after)) > 0:
            most = _most(times[after] - times[before])
            raise TrackSwitch(
                f"{_frames(keypoints, before, after)} the person jumps by {over + most:.1f} times their size; nobody "
                f"moves by more than {most:.1f}. {_REMEDY}"
            )
    found = torch.zeros(len(keypoints), dtype=torch.bool)
    for run in runs:
        if not any(run is kept for kept in lasting):
            found[torch.from_numpy(run)] = True
    return found


def _most(seconds: float) -> float:
    """Sizes by which a person may move in this time."""
    return _SLACK + FASTEST / _CROUCHING * seconds


def _runs(rows: Int[NDArray[np.int64], " n"], jump: Callable[[int, int], float]) -> list[Int[NDArray[np.int64], " m"]]:
    """Rows one after the other without a jump; a run goes on behind a few rows that are not part of it."""
    runs: list[list[int]] = []
    numbers = {row: number for number, row in enumerate(rows.tolist())}
    for row, row_number in numbers.items():
        # Who was seen last comes first; who was there before a few frames of somebody else has come back.
        recent = sorted((run for run in runs if row_number - numbers[run[-1]] <= _FEW + 1), key=lambda run: -run[-1])
        home = next((run for run in recent if jump(run[-1], row) <= 0), None)
        if home is None:
            runs.append([row])
        else:
            home.append(row)
    return [np.array(run) for run in runs]


_REMEDY = (
    "Split the clip there, link people anew with --tracks auto where the file has no track ids of its own, lift "
    "somebody else with --person, or every frame by itself with --clip off"
)


def _frames(keypoints: Keypoints2D, before: int, after: int) -> str:
    first, second = keypoints.ids[before], keypoints.ids[after]
    return f"clip: {of_file(first.file)}person {first.person}: from frame {first.frame} to {second.frame}"


def check_roots(
    keypoints: Keypoints2D, poses: Float[Tensor, "T joints 3"], present: Bool[Tensor, " T"], times: Float[Array, " T"]
) -> None:
    """Refuse a person who jumps towards the camera or away from it, where its intrinsics are known.

    Args:
        keypoints: as of `somebody_else`.
        poses: mean poses of the frames, metres, camera axes.
        present: frames that have one.
        times: seconds.

    Raises:
        TrackSwitch: as `somebody_else`: the median place over three frames moves faster than anybody.
    """
    if not bool(keypoints.intrinsics.isfinite().all()):
        return
    seen = keypoints.to("cpu")
    evidence = (seen.xy, seen.covariance, seen.visible, seen.intrinsics)
    found = explaining_root(poses, *evidence)
    spread = root_covariance(found, *evidence)[:, 2, 2].sqrt().numpy()
    place = found.numpy()
    rows = np.flatnonzero(present.cpu().numpy() & np.isfinite(place).all(-1) & (place[:, 2] > 0.1))
    # The middle of three frames before, and of three after: one that is off says nothing.
    for at in range(3, len(rows) - 2):
        before, after = rows[at - 3 : at], rows[at : at + 3]
        gap = np.median(place[after], 0) - np.median(place[before], 0)
        seconds = times[after[1]] - times[before[1]]
        depth = max(place[before[1], 2], place[after[1], 2])
        doubt = _DOUBT * float(np.hypot(_SHARE * depth, np.median(spread[np.concatenate([before, after])])))
        if (moved := float(np.linalg.norm(gap))) > FASTEST * seconds + doubt:
            raise TrackSwitch(
                f"{_frames(keypoints, int(before[-1]), int(after[0]))} the person is {moved:.1f} m from where they "
                f"were; nobody moves by more than {FASTEST * seconds:.1f} m in this time. {_REMEDY}"
            )
