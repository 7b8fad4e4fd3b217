"""`poseterior lift webcam:0`: poses as they happen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from ..detect import Detector
    from ..keypoints import Keypoints2D
    from ..lifters import Lifter
    from ..lifting.live import LivePose

__all__ = ["check_live", "lift_live"]

#: Seconds without a picture after which a camera is given up.
_PATIENCE = 15.0
#: Seconds over which the rate is told.
_TELL_EVERY = 5.0


def check_live(out: Path | None) -> None:
    """Refuse a file that no stream is written to, before the camera is opened."""
    from ..files.errors import InputError
    from ..files.writing import check_writable

    if out is None:
        return
    if out.suffix.lower() not in (".csv", ".jsonl"):
        raise InputError(f"--out {out}: of a camera, poses are written as .jsonl or .csv, a line each")
    check_writable(out)


class _Newest:
    """The newest picture of a camera, whose pictures are read aside: those that come too fast are left out."""

    def __init__(self, pictures: Iterator[np.ndarray]) -> None:
        self._pictures = pictures
        self._ready = Condition()
        self._newest: tuple[float, np.ndarray] | None = None
        self._over: BaseException | bool = False
        self.dropped = 0
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        over: BaseException | bool = True
        try:
            for picture in self._pictures:
                with self._ready:
                    if self._over:
                        break
                    self.dropped += self._newest is not None
                    self._newest = (time.monotonic(), picture)
                    self._ready.notify()
        except BaseException as error:  # told where it is waited for
            over = error
        with self._ready:
            self._over = over
            self._ready.notify()

    def take(self) -> tuple[float, np.ndarray] | None:
        """The time of the newest picture, and the picture; None where there will be no more."""
        from ..files.errors import InputError

        with self._ready:
            self._ready.wait_for(lambda: self._newest is not None or self._over, timeout=_PATIENCE)
            found, self._newest = self._newest, None
            if found is not None:
                return found
            if isinstance(self._over, BaseException):
                raise self._over
            if not self._over:
                raise InputError(f"webcam: no picture for {_PATIENCE:g} s; is it still connected?")
            return None

    def close(self) -> None:
        """No more pictures are wanted: the reader ends with its next one."""
        with self._ready:
            self._over = True


def lift_live(
    detector: Detector,
    lifter: Lifter,
    pictures: Iterator[np.ndarray],
    out: Path | None = None,
    *,
    level: float = 0.9,
    seconds: float | None = None,
    device: str = "cpu",
    told: Callable[[Keypoints2D], Keypoints2D] = lambda keypoints: keypoints,
    say: Callable[[str], object] = lambda text: print(text, file=sys.stderr),
) -> int:
    """Lift what a camera sees until it ends, ``seconds`` are over, or Ctrl-C.

    A line for each person in each picture: JSON with the time (seconds from the first picture), the person, the mean
    pose and the radius of each joint's region; or, as ``.csv``, a line for each joint.

    Args:
        detector: finds people.
        lifter: lifts them.
        pictures: of the camera, as they come.
        out: ``.jsonl`` or ``.csv``, there when it is over; None: JSON on standard output.
        level: of the regions.
        seconds: how long at most.
        device: where to lift.
        told: adds what is known of camera and height.
        say: gets words about how it goes.

    Returns:
        Number of pictures that were lifted.

    Raises:
        InputError: the camera gives nothing, or the file cannot be written.
    """
    import torch

    from ..detect.seen import batch
    from ..detect.tracking import Follower
    from ..files.checks import counted
    from ..files.writing import atomic_write
    from ..keypoints import PoseId
    from ..lifting.live import LivePeople

    torch.set_num_threads(1)  # small matrices: more threads only wait for each other
    people, follow = LivePeople(lifter, device=device), Follower(detector, "webcam")
    newest = _Newest(pictures)
    count, first, last, last_count = 0, None, time.monotonic(), 0
    with ExitStack() as stack:
        stack.enter_context(closing(newest))
        put: Callable[[str], object] = sys.stdout.write
        if out is not None:
            file = stack.enter_context(atomic_write(out))
            put = lambda text: file.write(text.encode())  # noqa: E731
        lines = _csv if out is not None and out.suffix.lower() == ".csv" else _json
        put(_head(lines is _csv, lifter, level))
        try:
            while (taken := newest.take()) is not None:
                at, picture = taken
                first = at if first is None else first
                if seconds is not None and at - first > seconds:
                    break
                found = follow(count, picture)
                keypoints = None
                if found:
                    ids = [PoseId("webcam", count, who) for who, _ in found]
                    keypoints = told(batch([person for _, person in found], ids))
                for person, pose in people(keypoints, at - first).items():
                    put(lines(pose, count, person, level))
                if out is None:
                    sys.stdout.flush()
                count += 1
                now = time.monotonic()
                if now - last > _TELL_EVERY:
                    rate = (count - last_count) / (now - last)
                    who = counted(len(people.live), "person", "people")
                    say(f"{at - first:.0f} s: {rate:.1f} pictures a second, {who}")
                    last, last_count = now, count
        except KeyboardInterrupt:
            pass  # how it is stopped
    say(f"{counted(count, 'picture')} lifted, {newest.dropped} left out because newer ones were there")
    return count


def _head(table: bool, lifter: Lifter, level: float) -> str:
    """What stands before the poses: the columns, or an object that says what the rest means."""
    if table:
        return "time,frame,person,present,joint,x,y,z,radius\n"
    skeleton = lifter.skeleton
    about = {
        "skeleton": skeleton.name, "joints": list(skeleton.joints), "level": level, "units": "metres",
        "axes": "x right, y down, z forward (camera)", "origin": skeleton.joints[skeleton.root],
    }  # fmt: skip
    return json.dumps(about) + "\n"


def _json(pose: LivePose, frame: int, person: int, level: float) -> str:
    region = pose.region(level)
    row = {
        "time": round(pose.time, 4), "frame": frame, "person": person, "present": pose.present,
        "mean": [[round(value, 4) for value in joint] for joint in pose.mean.tolist()],
        "radius": [round(value, 4) for value in region.radius.tolist()],
    }  # fmt: skip
    return json.dumps(row, separators=(",", ":")) + "\n"


def _csv(pose: LivePose, frame: int, person: int, level: float) -> str:
    rows = zip(pose.skeleton.joints, pose.mean.tolist(), pose.region(level).radius.tolist(), strict=True)
    start = f"{pose.time:.4f},{frame},{person},{int(pose.present)}"
    return "".join(f"{start},{joint},{x:.4f},{y:.4f},{z:.4f},{radius:.4f}\n" for joint, (x, y, z), radius in rows)
