"""One person before a camera, frame by frame as the frames come."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from ...distributions.balls import SAMPLES, SEED
from ...distributions.bodies import body_size
from ...distributions.clip_errors import ClipErrors
from ...files.errors import InputError
from ...keypoints import Keypoints2D
from ...lifters import Lifter
from ...results.times import ASSUMED_FPS, check_fps
from ..arguments import check_lifter
from ..clips.frames import FEWEST_JOINTS
from ..clips.lift import MAX_GAP
from .leaps import Place, Sides, Strays, distance, leap
from .motion import Lifted, LiveMotion
from .pose import LivePose

__all__ = ["NOTES", "LiveLifter"]

#: Hypotheses of each of the first frames that tell the shape of the size's distribution.
_HYPOTHESES = 96
#: Seconds by which times may be wrong.
_ROUNDING = 1e-6
#: Notes that are kept: the latest ones.
NOTES = 100


class LiveLifter:
    """The posterior of a person's pose now, given every frame up to now: `poseterior.lift_clip` for live use.

    Call it once for each frame, with the keypoints of one person or with None where nobody was found. **It waits for
    no later frame**: the answer is of the frame that it was called with. With ``lag=5`` the answer has, besides, what
    the smoother says of the frame 5 frames ago (`LivePose.lagged`), which is late by ``lag / fps`` seconds.

    It is the forward pass of the smoother of `poseterior.lift_clip`: the same model of motions and of a lifter's
    errors, with the part of them that all frames share kept apart, which no number of frames removes. Given the same
    strengths of motion, axes, size and average its state is that of `poseterior.lifting.clips.filtering.filtered`, to
    rounding. What `lift_clip` takes from the whole clip is here taken from the past alone:

    * how lively each joint is: chosen anew in every frame by a bank of filters, whose evidence forgets within some
      seconds (there: by the evidence of the whole clip);
    * the direction of the person, how joints go together, how large the lifter's errors usually are: averages that
      forget (there: windows around each frame, and the mean over the clip);
    * a frame that does not fit counts less by Student's t on its own innovation, once and for all (there: weighed anew
      when later frames are known). A frame that no person can have reached is left out, and where the next one is
      there too, it is another person: everything starts anew. So it does where most of 0.3 s does not fit;
    * left and right are compared with the three frames before (there: three to either side), and keypoints that jump
      away are left out for four frames, then believed (there: where they come back);
    * the person's size and the lengths of their bones are those of the frames so far. Early on they still change;
    * joints that nobody sees for long fall back to where they were on average so far (there: in the whole clip);
    * a detector's standard deviations are taken as they are (there: put right where residuals tell).

    The camera is taken to stand still.

    >>> import poseterior as pp
    >>> live = pp.LiveLifter(pp.load("mdn"), fps=30)
    >>> for frame in range(3):
    ...     now = live(pp.example_keypoints()[0])
    >>> now
    LivePose(frame=2, time=0.067, skeleton='h36m17')
    >>> now.mean.shape, now.sample(50).shape, now.region(0.9).radius.shape
    (torch.Size([17, 3]), torch.Size([50, 17, 3]), torch.Size([17]))

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        fps: frames per second, where calls name no times.
        lag: how many frames ago `LivePose.lagged` is; None: there is none.
        max_gap: seconds for which somebody who is not seen is forecast; after a longer absence everything starts anew.
        errors: how the errors of the lifter's frames hang together; None: its own (`Lifter.clips`), else typical ones,
            of which `notes` tells.
        density: how lively joints are, m²/s³ (spectral density of the acceleration, one number or one for each
            coordinate of the joints other than the root); None: as the frames say.
        samples: hypotheses that are kept from frame to frame; None: as many as regions need.
        seed: of the hypotheses.
        device: where to lift.

    Attributes:
        notes: what happened, in words, the latest `NOTES` of them.

    Raises:
        InputError: a rate, a gap, a lag, a density or a number of samples that is none.
    """

    def __init__(
        self,
        lifter: Lifter,
        fps: float = ASSUMED_FPS,
        *,
        lag: int | None = None,
        max_gap: float = MAX_GAP,
        errors: ClipErrors | None = None,
        density: float | Sequence[float] | NDArray[np.float64] | None = None,
        samples: int | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        check_lifter(lifter)
        self._fps = check_fps(fps)
        if not max_gap >= 0:
            raise InputError(f"max_gap: expected seconds from 0, got {max_gap}")
        if lag is not None and (isinstance(lag, bool) or not isinstance(lag, int) or not 1 <= lag <= 1000):
            raise InputError(f"lag: expected a number of frames from 1 to 1000, or None, got {lag!r}")
        known = errors or lifter.clips
        self._errors = known or ClipErrors()
        regions = self._errors.recalibration
        count = (SAMPLES if regions is None else regions.draws) if samples is None else samples
        if not isinstance(count, int) or isinstance(count, bool) or count < 2:
            raise InputError(f"samples: expected at least 2, got {count!r}")
        self._lifter, self._device, self._max_gap = lifter.to(device).eval(), device, max_gap
        self.skeleton = lifter.skeleton
        size = 3 * len(self.skeleton.nonroot)
        self._motion = LiveMotion(self._errors, self.skeleton, _checked(density, size), count, seed, lag)
        self.notes: deque[str] = deque(maxlen=NOTES)
        if known is None:
            self.notes.append("clip errors: typical ones: not measured for this lifter")
        self._frame, self._time = -1, -math.inf
        self._forget()

    def __repr__(self) -> str:
        return f"LiveLifter({type(self._lifter).__name__}, fps={self._fps:g}, frames={self._frame + 1})"

    def _forget(self) -> None:
        self._sides, self._strays = Sides(), Strays()
        self._place: Place | None = None
        self._stray: Place | None = None

    def reset(self) -> None:
        """Start anew: another person, or another camera. Frames are numbered on, and times go on."""
        self._forget()
        self._motion.restart(another=True)

    def __call__(self, keypoints: Keypoints2D | None, time: float | None = None) -> LivePose | None:
        """The next frame.

        Args:
            keypoints: one pose, in any skeleton; None, or one that shows fewer than 2 joints: nobody was found.
            time: seconds, from any start, of cameras whose frames are uneven; None: 1/fps after the frame before.

        Returns:
            The posterior of the pose now; None where nobody was seen yet, or not for more than ``max_gap`` seconds.

        Raises:
            InputError: more than one pose, or a time that is not after the frame before.
        """
        shown = self._checked(keypoints)
        time = self._next(time)
        self._frame, self._time = self._frame + 1, time
        if not self._motion.started and shown is None:
            return None
        away = time - self._motion.seen_at
        if self._motion.started and away > self._max_gap + (0.0 if shown is None else 1.0 / self._fps) + _ROUNDING:
            self._note(f"nobody was seen for {away:.2f} s: everything starts anew")
            self.reset()
            if shown is None:
                return None
        if shown is not None:
            shown = self._possible(shown)
        if shown is None:
            return self._motion.see(self._frame, time, None)
        shown, done = self._sides.see(time, shown)
        if done == "turned":
            self._note("left and right were exchanged: turned back")
        elif done == "kept":
            self._note("left and right stayed exchanged: taken as they are; the motion starts anew")
            self._motion.restart(another=False)
            self._strays = Strays()
        shown, names = self._strays.see(time, shown)
        if names:
            self._note(f"keypoints that jump away were not used ({', '.join(names)})")
        lifted = self._lifted(shown)
        assert self._place is not None
        self._place.measured_by(lifted.mean)
        found = self._motion.see(self._frame, time, lifted)
        if self._motion.lost:
            self._note("frames did not fit for some time: the motion starts anew")
            self._motion.restart(another=False)
            found = self._motion.see(self._frame, time, lifted)
        return found

    @torch.no_grad()
    def _lifted(self, keypoints: Keypoints2D) -> Lifted:
        # A height that is told to each frame would count as often as there are frames.
        height = float(keypoints.height[0])
        if math.isfinite(height):
            keypoints = keypoints._replace(height=torch.full_like(keypoints.height, torch.nan))
        poses = self._lifter(keypoints)
        mean, covariance = (moment[0].double().cpu() for moment in poses.joint_moments)
        sizes = None
        if self._motion.wants_sizes:
            sizes = body_size(poses.sample((_HYPOTHESES,), seed=SEED)[:, 0], self.skeleton).log().cpu()
        return Lifted(keypoints, mean, covariance, sizes, height if math.isfinite(height) else None)

    def _possible(self, keypoints: Keypoints2D) -> Keypoints2D | None:
        """These keypoints if a person can have moved so; None where they are left out."""
        here = Place(keypoints, self._time)
        last, stray = self._place, self._stray
        there = stray is not None and not leap(stray, here)
        said = "" if last is None else leap(last, here)
        if last is None or (not said and not (there and stray and distance(stray, here) < distance(last, here))):
            self._place, self._stray = here, None
            return keypoints
        if there:
            self._note("the frame before was no mistake: it is another person; everything starts anew")
            self.reset()
            self._place = here
            return keypoints
        self._note(f"{said}, as no person does: left out")
        self._stray = here.measured_as(last)
        return None

    def _note(self, text: str) -> None:
        self.notes.append(f"frame {self._frame} ({self._time:.2f} s): {text}")

    def _next(self, time: float | None) -> float:
        first = self._frame < 0
        if time is None:
            return 0.0 if first else self._time + 1.0 / self._fps
        try:
            value = float(time)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise InputError(f"time: expected seconds, got {time!r}")
        if value <= self._time:
            raise InputError(f"time: expected seconds after those of the frame before ({self._time:g}), got {value:g}")
        return value

    def _checked(self, keypoints: Keypoints2D | None) -> Keypoints2D | None:
        if keypoints is None:
            return None
        if not isinstance(keypoints, Keypoints2D):
            raise InputError(
                f"live: expected Keypoints2D or None, got {type(keypoints).__name__}; wrap an array as "
                "pp.Keypoints2D(xy, skeleton=...)"
            )
        if len(keypoints) != 1:
            raise InputError(
                f"live: expected the keypoints of one person in one frame, got {len(keypoints)} poses; give None where "
                "nobody is seen, and each person a LiveLifter of their own (LivePeople)"
            )
        whole = keypoints._map(lambda t: t.unsqueeze(0)) if not keypoints.batch_shape else keypoints.flatten()
        whole = whole.detach().as_skeleton(self.skeleton).to(self._device)
        return whole if int(whole.visible.sum()) >= FEWEST_JOINTS else None


def _checked(density: float | Sequence[float] | NDArray[np.float64] | None, size: int) -> Float[NDArray, " d"] | None:
    if density is None:
        return None
    try:
        found = np.broadcast_to(np.asarray(density, dtype=np.float64), (size,))
    except (TypeError, ValueError):
        found = np.full(size, np.nan)
    if not (np.isfinite(found).all() and (found > 0).all()):
        raise InputError(f"density: expected one number above 0, or {size} of them, got {density!r}")
    return found
