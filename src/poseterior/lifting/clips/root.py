"""Where the pelvis goes before a steady camera: paths that belong to whole motions.

A motion and the keypoints that it explains tell where it stands in every frame
(`poseterior.geometry.cameras.explaining_root`), to what the keypoints' noise leaves open. The pelvis moves with white
noise as its acceleration, of a strength that the clip says. So the path of a motion is a Gaussian one; its precision
is block tridiagonal, frame after frame of place and velocity, and is factored once for all motions.

**What all frames of a motion share stays shared**: a body taken for 3 % too large stands 3 % too far away throughout.
It is left out of the errors that the smoother takes as new, and comes with the motions. What changes about it from
frame to frame is an error of the places, by its spread over the motions; as such errors last for some frames, they
count as the white noise that averages to the same. Each drawn path is smoothed from its own motion's places, so that
path and motion go together (conditioning by draws: Papandreou and Yuille 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from ...files.checks import of_file
from ...files.errors import InputError
from ...geometry.cameras import explaining_root, root_covariance
from ...keypoints import Keypoints2D
from .chain import Chain, Steps
from .frames import averaged
from .motion import DENSITIES

__all__ = ["Contacts", "RootPath", "check_camera", "root_path", "with_contacts"]

Array = NDArray[np.float64]

#: Seconds over which the spread of places over motions is averaged.
_SPREAD = 1.0
#: Most that an error's correlation from frame to frame counts.
_LASTING = 0.98
#: Degrees of freedom of Student's t, and mean squared residual (in variances) from which on a place is surprising.
_FREEDOM, _USUAL = 4.0, 5.0
#: Times that places are weighed anew.
_PASSES = 4
#: Least variance of a place, m²: exact keypoints of an exact pose are not met to rounding.
_LEAST = 1e-8


@dataclass(frozen=True)
class Contacts:
    """Feet that stand still from a frame to the next.

    Attributes:
        probability: ``(T - 1, feet)``: 0 counts for nothing.
        feet: joints.
        ray: ``(T - 1, 3)`` unit vectors from the camera to the person.
        across, along: standard deviations of a still foot's velocity across the ray and along it, m/s.
    """

    probability: Float[Array, "T_1 feet"]
    feet: tuple[int, ...]
    ray: Float[Array, "T_1 3"]
    across: float
    along: float

    def half(self, seconds: Float[Array, " T_1"]) -> Float[Array, "T_1 feet 3 3"]:
        """Symmetric square roots of the precision of the way that a foot goes, m⁻¹."""
        outer = self.ray[:, :, None] * self.ray[:, None, :]
        each = np.eye(3) / self.across + (1.0 / self.along - 1.0 / self.across) * outer
        return (np.sqrt(self.probability) / seconds[:, None])[..., None, None] * each[:, None]


@dataclass(frozen=True)
class RootPath:
    """A distribution over the pelvis' path before a steady camera, metres, camera axes.

    Attributes:
        mean: in every frame.
        covariance: in every frame, m²: over motions, and what is open of each.
        density: of the acceleration, m²/s³, as the clip says.
        weight: ``(T,)`` how much each frame's place counts: less where it does not fit its neighbours.
        contacts: None where feet were not looked at.
    """

    mean: Float[Tensor, "T 3"]
    covariance: Float[Tensor, "T 3 3"]
    density: float
    weight: Float[Array, " T"]
    contacts: Contacts | None
    seen: _Places
    chain: Chain

    def of(
        self, motions: Float[Tensor, "samples T joints 3"], normal: Float[Tensor, "samples d"] | None = None
    ) -> Float[Tensor, "samples T 3"]:
        """A path of each motion; drawn, if there are standard normal numbers (`numbers` of them)."""
        return torch.from_numpy(_solved(self, motions, normal)).float()

    @property
    def numbers(self) -> int:
        """Standard normal numbers behind a drawn path."""
        return _numbers(len(self.mean), self.contacts)


@dataclass(frozen=True)
class _Places:
    """Where each frame's keypoints put a pose.

    Attributes:
        keypoints: in float64 on the processor.
        steps: from frame to frame, of the density that was found.
        known: frames that tell a place.
        noise: ``(T, 3, 3)`` m², of the keypoints, where the pose is known.
        precision: ``(T, 3, 3)`` m⁻², with which places count; 0 where nothing is known.
    """

    keypoints: Keypoints2D
    steps: Steps
    known: Bool[NDArray[np.bool_], " T"]
    noise: Float[Array, "T 3 3"]
    precision: Float[Array, "T 3 3"]

    def of(self, poses: Float[Tensor, "*samples T joints 3"]) -> Float[Array, "*samples T 3"]:
        """Of poses; 0 where nothing is known."""
        return _places(poses, self.keypoints, self.known)


def _places(poses: Tensor, keypoints: Keypoints2D, known: NDArray[np.bool_]) -> Array:
    place = explaining_root(
        poses, keypoints.xy, keypoints.covariance, keypoints.visible, keypoints.intrinsics
    ).numpy()  # fmt: skip
    return np.where(known[:, None], place, 0.0)


def check_camera(keypoints: Keypoints2D) -> None:
    """Raises `InputError` where the intrinsics of a clip's camera are not known."""
    if not bool(keypoints.intrinsics.isfinite().all()):
        raise InputError(
            f"root: {of_file(keypoints.ids[0].file)}the intrinsics of the camera are not known, so that nobody can say "
            "where the person is; give them with keypoints.with_camera(intrinsics=...), or --camera or --focal"
        )


def root_path(
    keypoints: Keypoints2D,
    times: Float[Array, " T"],
    weight: Float[Array, " T"],
    motions: Float[Tensor, "samples T joints 3"],
    normal: Callable[[RootPath], Float[Tensor, "samples d"]],
) -> RootPath:
    """The path of the pelvis of a clip.

    Args:
        keypoints: of every frame, with intrinsics.
        times: seconds.
        weight: how much each frame's keypoints count.
        motions: of the clip's posterior, 32 or more, metres relative to the pelvis.
        normal: gives standard normal numbers, `RootPath.numbers` for each motion.

    Raises:
        InputError: the intrinsics are not known.
    """
    check_camera(keypoints)
    rows = torch.from_numpy(weight)
    keypoints = keypoints.to("cpu")
    with torch.no_grad():
        middle = motions.double().mean(0)
        rough = explaining_root(middle, keypoints.xy, keypoints.covariance, keypoints.visible, keypoints.intrinsics)
        known = ((rough[:, 2] > 0.1) & (rows > 0)).numpy()
        if not known.any():
            raise InputError(
                f"root: {of_file(keypoints.ids[0].file)}no frame shows two joints; nobody can say where it is"
            )
        every = _places(motions, keypoints, known)
        noise = root_covariance(
            rough, keypoints.xy, keypoints.covariance, keypoints.visible, keypoints.intrinsics
        ).numpy()
    place = every.mean(0)
    noise = np.where(known[:, None, None], noise, np.eye(3))
    spread, lasting = _changing(every, place, known, times)
    seconds = np.diff(times)
    error = noise + spread + _LEAST * np.eye(3)
    white = np.linalg.inv(noise + lasting * spread + _LEAST * np.eye(3)) * (known * weight)[:, None, None]
    doubt = np.ones(len(times))
    for _ in range(_PASSES):
        before, precision = doubt, white * doubt[:, None, None]
        density, chain = _liveliest(place, precision, seconds)
        path = chain.solved(np.pad(precision @ place[..., None], ((0, 0), (0, 3), (0, 0))))[:, :3, 0]
        gap = place - path
        surprise = np.einsum("ti,tij,tj->t", gap, np.linalg.inv(error), gap) / 3.0
        doubt = np.where(surprise > _USUAL, (_FREEDOM + 1.0) / (_FREEDOM + surprise), 1.0)
        if np.allclose(doubt, before, atol=1e-2):
            break
    seen = _Places(keypoints, Steps(seconds, np.array(density)), known, noise, precision)
    nothing = torch.zeros(len(times), 3)
    found = RootPath(nothing, torch.zeros(len(times), 3, 3), density, doubt * weight * known, None, seen, chain)
    return _summarised(found, motions, normal)


def _summarised(path: RootPath, motions: Tensor, normal: Callable[[RootPath], Tensor]) -> RootPath:
    """With the mean and the covariance of these motions' paths."""
    mean = _solved(path, motions, None).mean(0)
    about = _solved(path, motions, normal(path)) - mean
    covariance = np.einsum("kti,ktj->tij", about, about) / len(about)
    return replace(path, mean=torch.from_numpy(mean).float(), covariance=torch.from_numpy(covariance).float())


def with_contacts(
    path: RootPath, contacts: Contacts, motions: Tensor, normal: Callable[[RootPath], Tensor]
) -> RootPath:
    """The same where feet that stand still do not slide; arguments as of `root_path`."""
    seconds = path.seen.steps.seconds
    diagonal, below = path.seen.steps.blocks
    diagonal[:, :3, :3] += path.seen.precision
    half = contacts.half(seconds)
    pinned = (half @ half).sum(1)
    diagonal[1:, :3, :3] += pinned
    diagonal[:-1, :3, :3] += pinned
    below[:, :3, :3] -= pinned
    return _summarised(replace(path, contacts=contacts, chain=Chain(diagonal, below)), motions, normal)


def _numbers(count: int, contacts: Contacts | None) -> int:
    return count * 9 + (0 if contacts is None else (count - 1) * 3 * len(contacts.feet))


def _solved(path: RootPath, motions: Tensor, normal: Tensor | None) -> Float[Array, "samples T 3"]:
    """Places and velocities that fit a motion's places, its still feet, and the way that people move."""
    seen, count = path.seen, len(path.weight)
    place = seen.of(motions)  # (samples, T, 3)
    drawn = None if normal is None else normal.double().numpy()
    if drawn is not None:
        shaken = drawn[:, : 3 * count].reshape(len(drawn), count, 3, 1)
        place = place + (np.linalg.cholesky(seen.noise) @ shaken)[..., 0]
    right = np.zeros((count, 6, len(place)))
    right[:, :3] = (seen.precision @ place[..., None])[..., 0].transpose(1, 2, 0)
    if path.contacts is not None:
        feet = motions[:, :, list(path.contacts.feet)].double().numpy()
        step = -np.diff(feet, axis=1)  # of the pelvis while the foot stands: (samples, T - 1, feet, 3)
        half = path.contacts.half(seen.steps.seconds)
        pull = (half @ step[..., None])[..., 0]
        if drawn is not None:
            pull = pull + drawn[:, 9 * count :].reshape(step.shape)
        pull = (half @ pull[..., None])[..., 0].sum(2).transpose(1, 2, 0)
        right[1:, :3] += pull
        right[:-1, :3] -= pull
    if drawn is not None:
        states = drawn[:, 3 * count : 9 * count].reshape(len(drawn), count, 3, 2).transpose(1, 2, 3, 0)
        right += seen.steps.draw(states)
    return path.chain.solved(right)[:, :3].transpose(2, 0, 1)


def _changing(
    every: Float[Array, "samples T 3"], place: Float[Array, "T 3"], known: NDArray[np.bool_], times: Float[Array, " T"]
) -> tuple[Float[Array, "T 3 3"], float]:
    """Covariance of the places over motions without what all frames of a motion share, and how long it lasts.

    The second number is by how much variances have to be multiplied, so that errors that hang together from frame to
    frame count as white noise that averages to the same.
    """
    size = every[:, known, 2].mean(1) / place[known, 2].mean()
    about = np.where(known[:, None], every - size[:, None, None] * place, 0.0)
    spread = np.einsum("kti,ktj->tij", about, about) / len(about)
    rate = 1.0 / np.median(np.diff(times)) if len(times) > 1 else 1.0
    half = max(1, round(0.5 * _SPREAD * rate))
    counted = averaged(torch.from_numpy(known.astype(np.float64)), half).numpy().clip(1e-6)
    spread = averaged(torch.from_numpy(spread), half).numpy() / counted[:, None, None]
    along = about[..., 2]
    together, alone = (along[:, 1:] * along[:, :-1]).sum(), (along**2).sum()
    share = float(np.clip(together / max(alone, 1e-30), 0.0, _LASTING))
    return spread, (1.0 + share) / (1.0 - share)


def _liveliest(
    place: Float[Array, "T 3"], precision: Float[Array, "T 3 3"], seconds: Float[Array, " T_1"]
) -> tuple[float, Chain]:
    """The acceleration's density, as `poseterior.lifting.clips.motion.motion_densities`, and the path's precision."""
    steps = Steps(seconds, DENSITIES)
    diagonal, below = steps.blocks
    diagonal[..., :3, :3] += precision
    chain = Chain(diagonal, below)
    right = np.pad(precision @ place[..., None], ((0, 0), (0, 3), (0, 0)))
    told = 0.5 * np.square(chain.whitened(right)).sum((-1, -2, -3)) - 0.5 * chain.log_determinant
    # The precision of the steps alone has the determinant of the steps' covariances.
    told -= 3.0 * len(seconds) * np.log(DENSITIES)
    weight = np.exp(told - told.max())
    density = float(np.exp((weight * np.log(DENSITIES)).sum() / weight.sum()))
    diagonal, below = Steps(seconds, np.array(density)).blocks
    diagonal[:, :3, :3] += precision
    return density, Chain(diagonal, below)
