"""What a lifter says of each frame of a clip, in axes along and across the ray to the person."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from ...distributions.balls import SEED
from ...distributions.bodies import body_size
from ...files.checks import counted, of_file
from ...files.errors import InputError
from ...geometry.cameras import pixels_to_plane, turn_to_axis
from ...geometry.frames import RootedFrame
from ...keypoints import Keypoints2D, PoseId
from ...keypoints.view import camera_of
from ...lifters import Lifter
from .sizes import Sizes, regressed, shape_of

__all__ = ["FEWEST_JOINTS", "Frames", "frames_of", "rate_of", "times_of", "with_every_frame"]

#: Joints that a frame has to show: with fewer it counts as missing.
FEWEST_JOINTS = 2
#: Seconds over which the direction of the person is averaged.
_TURNING = 1.0
#: Frames, and hypotheses of each, behind the shape of the size's distribution.
_SHAPED, _HYPOTHESES = 12, 96


@dataclass(frozen=True)
class Frames:
    """A clip frame by frame.

    Attributes:
        keypoints: one pose per frame, in the lifter's skeleton, in order.
        fps: by which the numbers of frames are times.
        times: ``(T,)`` seconds.
        present: ``(T,)`` frames that show somebody.
        axes: ``(T, 3, 3)`` from the camera's axes to those of the ray: the third one points to the person.
        mean: ``(T, d)`` metres, in these axes, of the joints other than the root; 0 where nobody is shown.
        covariance: ``(T, d, d)`` m², likewise, of a body whose size is known; of the nearest frame that shows somebody
            elsewhere.
        sizes: what each frame says of the body's size.
        told: the person's height in metres where it was told: of the clip, not of each frame.
        notes: what was found of the keypoints, in words.
    """

    keypoints: Keypoints2D
    fps: float
    times: Float[NDArray[np.float64], " T"]
    present: Bool[Tensor, " T"]
    axes: Float[Tensor, "T 3 3"]
    mean: Float[Tensor, "T d"]
    covariance: Float[Tensor, "T d d"]
    sizes: Sizes
    told: float | None
    notes: dict[str, str]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def rate(self) -> float:
        """Rows per second."""
        return rate_of(self.times)

    @property
    def poses(self) -> Float[Tensor, "T joints 3"]:
        """The mean poses in the camera's axes, metres; 0 where nobody is shown."""
        return RootedFrame(self.keypoints.skeleton, self.axes).to_camera(self.mean.unflatten(-1, (-1, 3)))

    @property
    def seen(self) -> Bool[Tensor, "T joints"]:
        """Joints other than the root that each frame shows."""
        return self.keypoints.visible[:, self.keypoints.skeleton.nonroot]


def times_of(keypoints: Keypoints2D, fps: float) -> Float[NDArray[np.float64], " T"]:
    """Seconds of each frame, by its number."""
    return np.array([identity.frame for identity in keypoints.ids], dtype=np.float64) / fps


def with_every_frame(keypoints: Keypoints2D, fps: float, max_gap: float) -> Keypoints2D:
    """The frames of a clip in order, and those missing in gaps of at most ``max_gap`` seconds: they show nobody.

    Where most frames are two numbers apart, a gap is more than that, and is filled as sparsely.

    Raises:
        InputError: several files or people, no frame, or a frame that is there twice.
    """
    ids = keypoints.ids
    if not ids:
        raise InputError("clip: no frames to lift")
    clips = {(identity.file, identity.person) for identity in ids}
    if len(clips) > 1:
        one = f"{ids[0].file} person {ids[0].person}".strip()
        raise InputError(
            f"clip: {counted(len(clips), 'clip')} at once, e.g. {one}; give the frames of one person in one file"
        )
    numbers = [identity.frame for identity in ids]
    order = sorted(range(len(ids)), key=numbers.__getitem__)
    repeated = next((a for a, b in pairwise(order) if numbers[a] == numbers[b]), None)
    if repeated is not None:
        raise InputError(
            f"clip: {of_file(ids[repeated].file)}frame {numbers[repeated]} is there twice; give each frame once"
        )
    steps = [numbers[b] - numbers[a] for a, b in pairwise(order)]
    usual = max(set(steps), key=steps.count) if steps else 1
    rows: list[int] = []
    frames: list[int] = []
    for row in order:
        gap = range(frames[-1] + usual, numbers[row], usual) if frames else range(0)
        if len(gap) and numbers[row] - frames[-1] <= max_gap * fps:
            rows += [rows[-1]] * len(gap)
            frames += gap
        rows.append(row)
        frames.append(numbers[row])
    made = torch.tensor([number != numbers[row] for row, number in zip(rows, frames, strict=True)])
    full = keypoints[torch.tensor(rows)]
    visible = full.visible & ~made.to(full.visible.device).unsqueeze(-1)
    who = [PoseId(ids[0].file, number, ids[0].person) for number in frames]
    return full._replace(visible=visible, ids=who)


@torch.no_grad()
def frames_of(
    lifter: Lifter, keypoints: Keypoints2D, fps: float, notes: dict[str, str] | None = None, chunk: int = 128
) -> Frames:
    """Lift every frame.

    Args:
        lifter: in evaluation mode, where the keypoints are.
        keypoints: one clip, see `with_every_frame`, in the lifter's skeleton.
        fps: frames per second.
        notes: kept with them.
        chunk: frames at a time; how many changes no answer.

    Raises:
        InputError: no frame shows `FEWEST_JOINTS` joints.
    """
    present = keypoints.visible.sum(-1) >= FEWEST_JOINTS
    if not bool(present.any()):
        raise InputError(f"clip: {of_file(keypoints.ids[0].file)}nobody is seen in any of its frames")
    heights = keypoints.height[keypoints.height.isfinite()]
    told = float(heights.double().mean()) if len(heights) else None
    # Told to each frame, one piece of news would count as often as there are frames.
    keypoints = keypoints._replace(height=torch.full_like(keypoints.height, torch.nan))
    rows = present.nonzero().squeeze(-1)
    times = times_of(keypoints, fps)
    axes = _ray_axes(keypoints, present, rate_of(times)).cpu()
    nonroot = list(keypoints.skeleton.nonroot)
    means, covariances, sizes = [], [], []
    for part in rows.split(chunk):
        mean, covariance = (moment.double().cpu() for moment in lifter(keypoints[part]).joint_moments)
        mean, covariance = _turned(mean[:, nonroot], covariance, axes[part.cpu()])
        found, rest = regressed(mean, covariance, keypoints.skeleton)
        means.append(mean)
        covariances.append(rest)
        sizes.append(found)
    some = rows[torch.linspace(0, len(rows) - 1, min(len(rows), _SHAPED)).long()]
    hypotheses = lifter(keypoints[some]).sample((_HYPOTHESES,), seed=SEED)
    shape = shape_of(body_size(hypotheses, keypoints.skeleton).log())
    present, rows = present.cpu(), rows.cpu()
    mean = torch.zeros(len(present), 3 * len(nonroot), dtype=torch.float64)
    mean[rows] = torch.cat(means)
    place = torch.zeros(len(present), dtype=torch.long)
    place[rows] = torch.arange(len(rows))
    nearest = place[_nearest(present)]
    level, slope, variance = (
        torch.cat([getattr(one, name) for one in sizes]) for name in ("level", "slope", "variance")
    )
    return Frames(
        keypoints, fps, times, present, axes, mean, torch.cat(covariances)[nearest],
        Sizes(level, slope, variance, shape)[nearest], told, notes or {},
    )  # fmt: skip


def _turned(
    mean: Float[Tensor, "n joints 3"], covariance: Float[Tensor, "n d d"], axes: Float[Tensor, "n 3 3"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d d"]]:
    """Moments from the camera's axes in these, flattened."""
    blocks = covariance.unflatten(-1, (-1, 3)).unflatten(1, (-1, 3))  # (n, joints, 3, joints, 3)
    blocks = torch.einsum("tab,tibjc,tdc->tiajd", axes, blocks, axes)
    return (mean @ axes.mT).flatten(1), blocks.reshape(covariance.shape)


def rate_of(times: Float[NDArray[np.float64], " T"]) -> float:
    """Rows per second, as most of them are apart."""
    return float(1.0 / np.median(np.diff(times))) if len(times) > 1 else 1.0


def _nearest(present: Bool[Tensor, " T"]) -> Int[Tensor, " T"]:
    """Of each frame the nearest one that is present."""
    rows = present.nonzero().squeeze(-1)
    after = torch.searchsorted(rows, torch.arange(len(present))).clamp(max=len(rows) - 1)
    before = (after - 1).clamp(min=0)
    at = torch.arange(len(present))
    return torch.where((rows[after] - at).abs() <= (at - rows[before]).abs(), rows[after], rows[before])


def averaged(values: Float[Tensor, "T *event"], half: int) -> Float[Tensor, "T *event"]:
    """The mean over neighbouring frames, by Hann's window of ``half`` frames to either side; reflected at the ends."""
    half = min(half, len(values) - 1)
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=values.dtype)[1:-1]
    columns = values.reshape(len(values), 1, -1).permute(2, 1, 0)
    padded = torch.nn.functional.pad(columns, (half, half), mode="reflect") if half else columns
    mean = torch.nn.functional.conv1d(padded, (window / window.sum())[None, None])
    return mean.squeeze(1).T.reshape(values.shape)


def _ray_axes(keypoints: Keypoints2D, present: Bool[Tensor, " T"], rate: float) -> Float[Tensor, "T 3 3"]:
    """Rotations onto the ray to the middle of the person, averaged over `_TURNING` seconds: they turn as slowly."""
    intrinsics, _ = camera_of(keypoints)
    plane = pixels_to_plane(keypoints.xy.double(), intrinsics.double())
    shown = keypoints.visible.unsqueeze(-1)
    centre = torch.where(shown, plane, 0.0).sum(-2) / shown.sum(-2).clamp(min=1)
    centre = centre[_nearest(present.cpu()).to(centre.device)].cpu()
    centre = averaged(centre, max(1, round(0.5 * _TURNING * rate)))
    return turn_to_axis(torch.cat([centre, torch.ones_like(centre[:, :1])], -1))
