"""The keypoint file that is made by clicking on joints."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files.errors import InputError
from ..files.writing import atomic_write
from ..geometry.skeletons import Skeleton
from ..keypoints.reading import read_keypoints

__all__ = ["ClickTarget"]

Points = dict[str, tuple[float, float] | None]


@dataclass(frozen=True)
class ClickTarget:
    """A photograph, and the file its joints go to.

    Attributes:
        photo: the photograph.
        size: its width and height, px.
        skeleton: the joints to click.
        out: keypoint file in the plain format.
    """

    photo: Path
    size: tuple[int, int]
    skeleton: Skeleton
    out: Path

    def load(self) -> Points:
        """The joints clicked so far: those of the file if it exists.

        Raises:
            InputError: the file exists and is not the plain file of one person.
        """
        if not self.out.exists():
            return {}
        keypoints = read_keypoints(self.out, "plain", self.skeleton, keep_unseen=True)
        if len(keypoints) != 1:
            raise InputError(f"{self.out}: holds {len(keypoints)} people; give another file as --out")
        xy, visible = keypoints.xy[0].tolist(), keypoints.visible[0].tolist()
        return {
            joint: (x, y) if seen else None
            for joint, (x, y), seen in zip(self.skeleton.joints, xy, visible, strict=True)
        }

    def save(self, points: Mapping[str, tuple[float, float] | None]) -> None:
        """Write the file.

        Args:
            points: joint -> ``(x, y)`` px, None where it cannot be seen; all joints of the skeleton.

        Raises:
            InputError: a joint is missing or unknown, or a point is not inside the photograph.
        """
        for joint in points:
            if joint not in self.skeleton.joints:
                raise InputError(f"points: {self.skeleton.name} has no joint {joint!r}")
        for joint in self.skeleton.joints:
            if joint not in points:
                raise InputError(f"points: {joint} is missing; give [x, y], or null where it cannot be seen")
            point = points[joint]
            if point is not None and not self._inside(point):
                raise InputError(
                    f"points: {joint} at {list(point)} is outside the photograph of {self.size[0]} x {self.size[1]} px"
                )
        if not any(points.values()):
            raise InputError("points: no joint was clicked, so there is nothing to save")
        places = [points[joint] for joint in self.skeleton.joints]
        entry = {
            "image": self.photo.name,
            "image_size": self.size,
            "skeleton": self.skeleton.name,
            "joints": self.skeleton.joints,
            "keypoints": [None if place is None else [round(v, 2) for v in place] for place in places],
        }
        lines = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items())
        with atomic_write(self.out) as file:
            file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())

    def _inside(self, point: tuple[float, float]) -> bool:
        return all(math.isfinite(v) and 0 <= v <= extent for v, extent in zip(point, self.size, strict=True))

    @property
    def next_command(self) -> str:
        """How to lift the file."""
        return f"poseterior lift {shlex.quote(str(self.out))}"
