"""What no person does from one frame to the next, told from the keypoints: sides exchanged, another person's track."""

from __future__ import annotations

import math
from collections import deque

import torch
from jaxtyping import Float
from torch import Tensor

from ...keypoints import Keypoints2D
from ..clips.surprises import exchanged, hidden, turned_back

__all__ = ["Place", "Sides", "Strays", "distance", "leap"]

#: Metres a second that people reach, and metres by which keypoints may be wrong besides.
_FASTEST, _BLUR = 12.0, 0.75
#: By how much the logarithm of a person's size in the picture may change at once, and in a second.
_ONCE, _GROWING = 0.5, 3.0
#: Joints that two frames have to share so that places, and so that sizes, are compared.
_FEW, _MANY = 4, 6
#: Frames in a row in which sides are turned back; longer, and it was the frames before that were wrong.
_LONGEST = 3
#: A keypoint strays that is so far from where it was going, in shares of the person's size and in reported standard
#: deviations, and farther than so fast an acceleration takes it (sizes of the person a second squared); in so many
#: frames in a row at most. As `clips.surprises.strays`, which sees what comes after, too.
_JUMP, _SIGMAS, _ACCELERATION, _STRAYS = 0.4, 6.0, 100.0, 4
#: Share of a person's size within which a joint is where it was.
_NEAR = 0.1
#: Seconds over which frames tell the sides.
_SIDES = 0.35


class Place:
    """Where a person was seen.

    Args:
        keypoints: one pose, batch shape (1,).
        time: seconds.

    Attributes:
        metres: of a pixel at the person.
    """

    def __init__(self, keypoints: Keypoints2D, time: float) -> None:
        self.time = time
        self.seen, self.xy = keypoints.visible[0].cpu(), keypoints.xy[0].cpu()
        self.size = _spread(self.xy[self.seen])
        self.metres = 0.0

    def measured_by(self, pose: Float[Tensor, "joints 3"]) -> Place:
        """The same, told how large pixels are by the pose as it was lifted, metres."""
        self.metres = _spread(pose[self.seen.to(pose.device), :2].float()) / max(self.size, 1e-6)
        return self

    def measured_as(self, other: Place) -> Place:
        """The same, taken for as large as another person."""
        self.metres = other.metres * other.size / max(self.size, 1e-6)
        return self


def _spread(points: Float[Tensor, "n 2"]) -> float:
    """Root-mean-square distance from the middle."""
    return float((points - points.mean(0)).square().sum(-1).mean().sqrt())


def distance(before: Place, now: Place) -> float:
    """Metres: the median over the joints that both show, so that some wrong joints make no leap; 0 of a few joints."""
    both = before.seen & now.seen
    if int(both.sum()) < _FEW:
        return 0.0
    return float((now.xy - before.xy)[both].norm(dim=-1).median()) * before.metres


def leap(before: Place, now: Place) -> str:
    """What no person can have done, in words; empty where it is possible."""
    both = before.seen & now.seen
    count, step, metres = int(both.sum()), now.time - before.time, distance(before, now)
    if metres > _FASTEST * step + _BLUR:
        return f"moved {metres:.1f} m in {step:.2f} s"
    if count < _MANY:
        return ""
    old, new = (max(_spread(place.xy[both]), 1e-6) for place in (before, now))
    if abs(math.log(new / old)) > _ONCE + _GROWING * step:
        factor = max(old, new) / min(old, new)
        return f"became {factor:.1f} times as {'large' if new > old else 'small'} in {step:.2f} s"
    return ""


def _elsewhere(before: Keypoints2D, now: Keypoints2D) -> bool:
    """Whether any joint is not where it was: else the sides are, too, and need no longer look."""
    both = before.visible & now.visible
    gap = (now.xy - before.xy).norm(dim=-1)
    return bool((both & (gap > _NEAR * now.size.unsqueeze(-1))).any())


class Sides:
    """Left and right, as the frames before have them: the causal counterpart of `clips.surprises.exchanged`."""

    def __init__(self) -> None:
        self._before: deque[tuple[float, Keypoints2D]] = deque(maxlen=_LONGEST)
        self._turned = 0

    def see(self, time: float, keypoints: Keypoints2D) -> tuple[Keypoints2D, str]:
        """Keypoints with the sides right, and what was done: ``""``, ``"turned"`` or ``"kept"``.

        ``"kept"``: they have been the other way round for so long that it was not this frame that was wrong.

        Args:
            time: seconds.
            keypoints: one pose, batch shape (1,).
        """
        past = [one for then, one in self._before if time - then <= _SIDES]
        done = ""
        wrong = torch.zeros_like(keypoints.visible)
        if past and _elsewhere(past[-1], keypoints):
            wrong = exchanged(Keypoints2D.cat([*past, keypoints]))[-1:]
        if bool(wrong.any()):
            self._turned += 1
            done = "turned" if self._turned <= _LONGEST else "kept"
        if done == "turned":
            keypoints = turned_back(keypoints, wrong)
        else:
            self._turned = 0
        if done == "kept":
            self._before.clear()
        self._before.append((time, keypoints))
        return keypoints, done


class Strays:
    """Keypoints that jump away from where they were going: the causal counterpart of `clips.surprises.strays`.

    Of what comes after nothing is known: one that stays away for longer than `_STRAYS` frames is believed.
    """

    def __init__(self) -> None:
        self._places: deque[tuple[float, Tensor, Tensor]] = deque(maxlen=2)
        self._count = torch.zeros(0)

    def see(self, time: float, keypoints: Keypoints2D) -> tuple[Keypoints2D, list[str]]:
        """Keypoints without those that stray, and which joints these are.

        Args:
            time: seconds.
            keypoints: one pose, batch shape (1,).
        """
        xy, seen = keypoints.xy[0].cpu(), keypoints.visible[0].cpu()
        stray = torch.zeros_like(seen)
        if len(self._places) == 2 and time - self._places[0][0] <= _SIDES:
            (first, before, was), (last, here, is_known) = self._places
            step = time - last
            going = here + (here - before) * (step / (last - first))
            noise = _SIGMAS * keypoints.covariance[0].cpu().diagonal(dim1=-2, dim2=-1).amax(-1).sqrt()
            allowed = (_JUMP + 0.5 * _ACCELERATION * step**2) * float(keypoints.size[0])
            off = torch.minimum((xy - going).norm(dim=-1), (xy - here).norm(dim=-1))
            stray = seen & was & is_known & (off > noise.clamp(min=allowed)) & (self._count < _STRAYS)
            if int(stray.sum()) > 0.5 * int(seen.sum()):  # then it is the frame, see `leap`, or the frames before
                stray = torch.zeros_like(seen)
            # Where a joint strays it is thought to be where it was going.
            xy = torch.where((stray & seen).unsqueeze(-1), going, xy)
        self._count = torch.where(stray, self._count + 1, 0) if len(self._count) else torch.zeros(len(seen))
        self._places.append((time, xy, seen))
        names = [name for name, one in zip(keypoints.skeleton.joints, stray.tolist(), strict=True) if one]
        return (hidden(keypoints, stray.unsqueeze(0)) if names else keypoints), names
