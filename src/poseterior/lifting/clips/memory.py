"""What lifting clips holds in memory, besides its result."""

from __future__ import annotations

from ...files.checks import counted
from ...files.errors import InputError
from ...files.memory import memory_limit
from ...lifters import Lifter
from ..draws import bytes_needed, check_memory
from ..processes import AHEAD
from .posterior import motions_at_once
from .windows import AT_ONCE, STRETCH, STRETCHES

__all__ = ["check_clip_memory", "check_window_memory"]

#: Bytes of a random number of a motion while it is drawn: as it is made, as it is correlated, as it is filtered.
_NUMBER = 40
#: Copies of a frame's covariance while it is lifted and its correlations are averaged; and in a stretch that stays.
_LIFTED, _KEPT = 6, 2
#: Bytes of a frame's keypoints, as they were read, filled and named.
_KEYPOINTS = 4096
#: Bytes of a process that has loaded a lifter.
_PROCESS = 300 * 2**20


def check_clip_memory(lifter: Lifter, longest: int, poses: int, samples: int) -> None:
    """Refuse clips that are lifted to a result that is held in memory.

    Args:
        lifter: that will lift.
        longest: frames of the longest clip that is lifted at once.
        poses: of all clips.
        samples: of each pose.

    Raises:
        InputError: as `poseterior.lifting.draws.check_memory`.
    """
    besides = longest * _frame(lifter, motions_at_once(longest)) + poses * _KEYPOINTS
    check_memory(lifter, poses, samples, besides=besides)


def check_window_memory(
    lifter: Lifter, longest: int, poses: int, samples: int, windows: bool, workers: int = 1
) -> None:  # fmt: skip
    """Refuse clips that are written as they are lifted, likewise.

    Args:
        lifter, samples: as above.
        longest: frames of the longest window, or clip that is lifted at once.
        poses: of all clips, whose keypoints are held.
        windows: whether that is a window.
        workers: processes that lift windows.

    Raises:
        InputError: as `poseterior.lifting.draws.check_memory`; or fewer workers take less.
    """
    each = longest * _frame(lifter, AT_ONCE if windows else motions_at_once(longest))
    if windows:
        each += STRETCH * STRETCHES * _KEPT * _numbers(lifter) ** 2 * 8
    besides = each + poses * _KEYPOINTS
    check_memory(lifter, longest, samples, growing=True, besides=besides)
    drawn, there = bytes_needed(lifter, longest, samples), memory_limit()
    # Each process has a window, and windows that are done wait for their turn.
    wanted = besides - each + drawn + workers * (_PROCESS + each + (1 + AHEAD) * drawn)
    if workers > 1 and wanted > there:
        raise InputError(
            f"workers: {workers} processes with {counted(longest, 'frame')} each take {wanted / 1e9:,.0f} GB of "
            f"memory, of {there / 1e9:,.0f} GB that there are; ask for fewer"
        )


def _numbers(lifter: Lifter) -> int:
    """Coordinates of a pose."""
    return 3 * (len(lifter.skeleton) - 1)


def _frame(lifter: Lifter, motions: int) -> int:
    """Bytes that a frame takes while it is lifted, and so many motions are drawn at a time."""
    numbers = _numbers(lifter)
    return motions * 3 * numbers * _NUMBER + _LIFTED * numbers**2 * 8
