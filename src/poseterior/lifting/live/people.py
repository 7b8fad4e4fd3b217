"""Several people before a camera: one `LiveLifter` each."""

from __future__ import annotations

from typing import Any

from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...results.times import ASSUMED_FPS, check_fps
from ..arguments import check_keypoints, check_lifter
from .lifter import LiveLifter
from .pose import LivePose

__all__ = ["LivePeople"]


class LivePeople:
    """A `LiveLifter` for each person that a tracker tells apart.

    Who is who is the tracker's to say: ``PoseId.person`` of the keypoints' ids. People who are not seen for more than
    ``max_gap`` are forgotten.

    Args:
        lifter, fps: as of `LiveLifter`.
        options: the rest of its arguments.

    Attributes:
        live: person to `LiveLifter`, of those who are known now.
    """

    def __init__(self, lifter: Lifter, fps: float = ASSUMED_FPS, **options: Any) -> None:
        self._lifter, self._fps, self._options = check_lifter(lifter), check_fps(fps), options
        self._time: float | None = None
        self.live: dict[int, LiveLifter] = {}

    def __call__(self, keypoints: Keypoints2D | None, time: float | None = None) -> dict[int, LivePose]:
        """The next frame: the posterior of each person now.

        Args:
            keypoints: of everybody who is seen, each once; None: nobody.
            time: as of `LiveLifter`.

        Raises:
            InputError: a person who is there twice; else as `LiveLifter`.
        """
        shown = {} if keypoints is None else self._by_person(keypoints)
        if time is None:
            time = 0.0 if self._time is None else self._time + 1.0 / self._fps
        found = {}
        for person in [*self.live, *(one for one in shown if one not in self.live)]:
            if person not in self.live:
                self.live[person] = LiveLifter(self._lifter, self._fps, **self._options)
            pose = self.live[person](shown.get(person), time)
            if pose is None:
                del self.live[person]
            else:
                found[person] = pose
        self._time = time
        return found

    @staticmethod
    def _by_person(keypoints: Keypoints2D) -> dict[int, Keypoints2D]:
        flat = check_keypoints(keypoints).flatten()
        shown: dict[int, Keypoints2D] = {}
        for row, identity in enumerate(flat.ids):
            if identity.person in shown:
                raise InputError(
                    f"live: person {identity.person} is there twice in a frame; number people by `ids` of Keypoints2D"
                )
            shown[identity.person] = flat[row]
        return shown
