"""How the errors of one set of weights hang together from frame to frame: what a clip's posterior has to know.

A lifter answers every frame by itself. What all frames of a clip share (a body taken for too large, a habit of the
network) no average over frames can remove; what is new in every frame goes away. So the error of a frame's mean is
taken as that of its size (`ClipErrors.size`), which is one number per clip, and of the sum of three parts, each of them
independent in every coordinate of every joint:

* **constant**: the same through the clip, as large as the clip's frames say on average;
* **slow**: exponentially correlated over ``seconds``, as large as each frame says;
* **white**: new in every frame, as large as each frame says.

The shares of the variance differ between the depth (along the camera's ray to the person) and across it. All numbers
are fitted by `poseterior.evaluation.clip_errors` on simulated people whom no lifter saw.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ..files.checks import cut
from ..files.errors import InputError
from .recalibration import Recalibration

__all__ = ["CLIPS_FILE", "ClipErrors", "Parts", "PerCoordinate", "read_clip_errors"]

#: Name of the file beside the weights.
CLIPS_FILE = "clips.json"
_FORMAT = "poseterior-clips-1"
_NUMBERS = ("hidden", "size", "height")
_REMEDY = "make it anew with `poseterior calibrate --clips`"


def _number(value: Any, name: str, low: float, high: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"{name}: expected a number from {low:g} to {high:g}, got {cut(repr(value))}")
    return float(value)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the errors along one direction are made of.

    Attributes:
        scale: by which the frames' own standard deviations are multiplied.
        constant, slow: shares of the variance; what is left of 1 is white.
        seconds: after which the slow part's correlation has fallen to 1/e.
    """

    scale: float
    constant: float
    slow: float
    seconds: float

    def __post_init__(self) -> None:
        """Raises `InputError` for a number out of range."""
        for name, low, high in (("scale", 0.01, 100), ("constant", 0, 1), ("slow", 0, 1), ("seconds", 1e-3, 100)):
            object.__setattr__(self, name, _number(getattr(self, name), name, low, high))
        if self.constant + self.slow > 0.999:
            raise InputError(
                f"constant and slow: expected shares of together 0.999 at most, got {self.constant + self.slow:g}"
            )

    @property
    def white(self) -> float:
        return 1.0 - self.constant - self.slow


class PerCoordinate(NamedTuple):
    """`Parts` of ``d`` coordinates, x, y, z of one joint after the other."""

    scale: Float[NDArray[np.float64], " d"]
    constant: Float[NDArray[np.float64], " d"]
    slow: Float[NDArray[np.float64], " d"]
    white: Float[NDArray[np.float64], " d"]
    seconds: Float[NDArray[np.float64], " d"]

    def lasting(
        self, variance: Float[NDArray[np.float64], "*any d"], shared: Any, seen: Bool[NDArray[np.bool_], "*any d"]
    ) -> Float[NDArray[np.float64], "*any d"]:
        """Variance of the slow part: a hidden joint's error comes and goes with what hides it.

        What is more of it than of the others is slow.

        Args:
            variance: as frames say, m².
            shared: of what all frames share, m².
            seen: whether the joint is seen.
        """
        slow = self.slow * variance
        return np.where(seen, slow, np.maximum(slow, (self.constant + self.slow) * variance - shared))


@dataclasses.dataclass(frozen=True)
class ClipErrors:
    """How the errors of a lifter's frames hang together (see the module).

    Attributes:
        across: in the two directions across the ray to the person.
        depth: along it.
        hidden: by which the standard deviations of joints that are not seen are multiplied besides.
        size: by which the spread of the body's size is multiplied.
        height: by which the interval of a clip's height is stretched besides, so that it holds as often as it says.
        recalibration: what makes the regions and the angles of clip posteriors right; None where it was not fitted.
    """

    across: Parts = Parts(1.0, 0.2, 0.2, 0.16)
    depth: Parts = Parts(1.0, 0.35, 0.3, 0.16)
    hidden: float = 1.0
    size: float = 1.0
    height: float = 1.0
    recalibration: Recalibration | None = None

    def __post_init__(self) -> None:
        """Raises `InputError` for a number out of range."""
        object.__setattr__(self, "hidden", _number(self.hidden, "hidden", 0.1, 10))
        for name in ("size", "height"):
            object.__setattr__(self, name, _number(getattr(self, name), name, 0.01, 100))

    def per_coordinate(self, joints: int) -> PerCoordinate:
        """The parts of each coordinate of so many joints: across, across, along the ray."""
        kinds = [self.across, self.across, self.depth] * joints
        return PerCoordinate(*(np.array([getattr(kind, name) for kind in kinds]) for name in PerCoordinate._fields))

    def for_lifter(self, folder: Path) -> ClipErrors:
        """The same, for the lifter saved in that folder."""
        regions = self.recalibration
        return self if regions is None else dataclasses.replace(self, recalibration=regions.for_lifter(folder))

    def to_json(self) -> str:
        """One object: the attributes and ``format``."""
        numbers = {
            name: {key: round(value, 4) for key, value in dataclasses.asdict(getattr(self, name)).items()}
            for name in ("across", "depth")
        }
        saved: dict[str, Any] = {"format": _FORMAT} | numbers
        saved |= {name: round(getattr(self, name), 4) for name in _NUMBERS}
        if self.recalibration is not None:
            saved["recalibration"] = json.loads(self.recalibration.to_json())
        return json.dumps(saved, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = CLIPS_FILE) -> ClipErrors:
        """Read what `to_json` wrote.

        Raises:
            InputError: another format, or a field that is missing, surplus or wrong; names ``source`` and the field.
        """
        try:
            saved = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: not readable as JSON ({error}); {_REMEDY}") from None
        if not isinstance(saved, dict) or saved.pop("format", None) != _FORMAT:
            raise InputError(f"{source}: not a file of format {_FORMAT!r}; {_REMEDY}")
        regions = saved.pop("recalibration", None)
        if set(saved) != {"across", "depth", *_NUMBERS}:
            raise InputError(
                f"{source}: expected the fields 'across', 'depth', 'hidden', 'size' and 'height'; {_REMEDY}"
            )
        parts: dict[str, Any] = {name: saved[name] for name in _NUMBERS}
        for name in ("across", "depth"):
            fields = saved[name]
            if not isinstance(fields, dict) or set(fields) != {field.name for field in dataclasses.fields(Parts)}:
                raise InputError(
                    f"{source}: field {name!r}: expected 'scale', 'constant', 'slow' and 'seconds'; {_REMEDY}"
                )
            try:
                parts[name] = Parts(**fields)
            except InputError as error:
                raise InputError(f"{source}: field {name!r}: {error}; {_REMEDY}") from None
        recalibration = None
        if regions is not None:
            recalibration = Recalibration.from_json(json.dumps(regions), f"{source}: recalibration")
        try:
            return cls(**parts, recalibration=recalibration)
        except InputError as error:
            raise InputError(f"{source}: {error}; {_REMEDY}") from None


def read_clip_errors(folder: Path, joints: tuple[str, ...]) -> ClipErrors | None:
    """What stands in the folder of a saved lifter; None if there is none.

    Args:
        folder: of the lifter.
        joints: of its poses.

    Raises:
        InputError: a broken file, or one that was made for other weights; the message names it.
    """
    path = folder / CLIPS_FILE
    if not path.is_file():
        return None
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error}); {_REMEDY}") from None
    found = ClipErrors.from_json(text, str(path))
    regions = found.recalibration
    if regions is not None:
        for name, now in regions.for_lifter(folder).files.items():
            if regions.files.get(name) != now:
                raise InputError(f"{path}: belongs to another {name} than the one beside it; {_REMEDY}")
        if regions.joints != joints:
            raise InputError(f"{path}: field 'joints': expected {', '.join(joints)}; {_REMEDY}")
    return found
