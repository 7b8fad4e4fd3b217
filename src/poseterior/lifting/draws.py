"""The one stream of draws that every result is made of, in chunks: how poses are chunked changes no draw."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from ..distributions.balls import check_level
from ..distributions.base import PoseDistribution
from ..distributions.drawn import Drawn
from ..distributions.regions import Region, region_of
from ..distributions.rotations import ArticulatedPoseDistribution, RotationDistribution
from ..files.checks import counted
from ..files.errors import InputError
from ..files.memory import memory_limit
from ..geometry.body import log_group_ratios
from ..geometry.quaternions import angle_between, unit_quaternions
from ..keypoints import Keypoints2D
from ..lifters import ArticulatedLifter, Lifter, Model
from ..metrics.rotations import chordal_mean
from ..results.rotations import Array, quaternions

__all__ = [
    "CHUNK",
    "Draws",
    "Placed",
    "RotationDraws",
    "bytes_needed",
    "check_draws",
    "check_lift",
    "check_memory",
    "chunks",
    "draw",
    "lifter_name",
    "motion_bytes",
    "ready",
    "rotation_lifter",
    "summarise",
]

#: Poses at a time: more take memory and no less time. How many changes no answer but for the rounding of products.
CHUNK = 64


@dataclass(frozen=True)
class RotationDraws:
    """Drawn rotations of a few poses, as `poseterior.results.rotations.RotationResult` has them.

    Attributes:
        rotations, log_prob, mean, spread, modelled: as there.
        mode: as there; None where it was not asked for.
        log_lengths: ``(poses, groups)`` mean log-ratios of the drawn bodies' bone lengths to the rest body's; None
            where one body was given.
    """

    rotations: Float[NDArray[np.float32], "poses samples 22 4"]
    log_prob: Float[NDArray[np.float32], "poses samples"]
    mean: Float[NDArray[np.float32], "poses 22 4"]
    spread: Float[NDArray[np.float32], "poses 22"]
    modelled: tuple[str, ...]
    mode: Float[NDArray[np.float32], "poses 22 4"] | None = None
    log_lengths: Float[Tensor, "poses groups"] | None = None


@dataclass(frozen=True)
class Placed:
    """Where the pelvis of a clip goes before the camera, metres.

    Attributes:
        samples: of the samples of the poses.
        mean, covariance: of the distribution.
        ground: the floor, as `poseterior.results.ground` has it; None where it was not asked for.
    """

    samples: Float[Tensor, "samples poses 3"]
    mean: Float[Tensor, "poses 3"]
    covariance: Float[Tensor, "poses 3 3"]
    ground: Float[Tensor, " 4"] | None = None


@dataclass(frozen=True)
class Draws:
    """What a lifter says of a few poses, on the processor.

    Attributes:
        samples: metres, relative to the pelvis.
        mean, covariance: of the distribution.
        log_prob: of the samples; NaN where there is no density.
        region: of the level asked for.
        rotations: those that give the samples; None for a lifter without rotations.
        placed: of clips, where the pelvis goes; None where that is not known.
    """

    samples: Float[Tensor, "samples poses joints 3"]
    mean: Float[Tensor, "poses joints 3"]
    covariance: Float[Tensor, "poses joints 3 3"]
    log_prob: Float[Tensor, "samples poses"]
    region: Region
    rotations: RotationDraws | None = None
    placed: Placed | None = None


def lifter_name(lifter: Model) -> str:
    """What results call it."""
    return str(lifter.card.get("name") or lifter.name)


def rotation_lifter(lifter: Lifter) -> ArticulatedLifter:
    """The lifter, if its poses come of rotations.

    Raises:
        InputError: they do not.
    """
    if not isinstance(lifter, ArticulatedLifter):
        raise InputError(f"lifter {lifter_name(lifter)!r} has no rotations; use the lifter 'rotations'")
    return lifter


def check_memory(lifter: Lifter, poses: int, samples: int, growing: bool = False, besides: int = 0) -> None:
    """Refuse a result that this machine has no memory for, before any work is done.

    Args:
        lifter: that will lift.
        poses: that are in memory at once.
        samples: of each.
        growing: whether more poses take no more memory, because these are written before the next are lifted.
        besides: bytes that lifting takes besides `bytes_needed`.

    Raises:
        InputError: says how much it takes, and what takes less.
    """
    least, there = bytes_needed(lifter, poses, 0) + besides, memory_limit()
    wanted = bytes_needed(lifter, poses, samples) + besides
    if wanted <= there:
        return
    helps = [] if besides and least > there else ["ask for fewer (0 keeps the summary)"]
    if not helps or not (growing or poses == 1):
        aside = ", which takes no more for more poses: poseterior lift FILE --clip off --out poses.parquet"
        helps.append(f"{'or ' if helps else ''}write frame by frame{aside}")
    at_once = " at a time" if growing and poses > 1 else ""
    raise InputError(
        f"samples: {samples} samples of {counted(poses, 'pose')}{at_once} take {wanted / 1e9:,.0f} GB of memory, of "
        f"{there / 1e9:,.0f} GB that there are; {', '.join(helps)}"
    )


def check_draws(samples: int, seed: int, chunk: int = 1, fewest: int = 1) -> None:
    """Refuse what is no number of samples.

    Raises:
        InputError: no whole numbers, fewer than the fewest samples, less than a pose at a time, a seed out of range.
    """
    for name, value in (("seed", seed), ("samples", samples), ("chunk", chunk)):
        if not isinstance(value, SupportsIndex):
            raise InputError(f"{name}: expected a whole number, got {value!r}")
    if not 0 <= seed < 2**62:
        raise InputError(f"seed: expected 0 to below 2^62, got {seed}")
    for name, value, least in (("samples", samples, fewest), ("chunk", chunk, 1)):
        if value < least:
            raise InputError(f"{name}: expected at least {least}, got {value}")


def check_lift(lifter: Lifter, samples: int, seed: int, chunk: int, level: float) -> None:
    """Refuse what no `draw` takes, before any work is done.

    Raises:
        InputError: no samples of a lifter with rotations, whose summary they are; and as `check_draws`, `check_level`.
    """
    turns = isinstance(lifter, ArticulatedLifter)
    if turns and samples == 0:
        raise InputError("samples: rotations are told by their samples alone; expected at least 1, got 0")
    check_draws(samples, seed, chunk, fewest=int(turns))
    check_level(level)


def bytes_needed(lifter: Lifter, poses: int, samples: int) -> int:
    """What `poseterior.lift` holds at its fullest, bytes: the draws, the result that they are joined to, and its file.

    Samples, their densities and pelvises, once as they were drawn and once as they are joined; a field of the result
    while it is checked; rotations where there are some; and of each pose its keypoints, regions and covariances.
    """
    joints = len(lifter.skeleton)
    each = 4 * (3 * joints + 1)
    turned = 4 * (4 * 22 + 1) if isinstance(lifter, ArticulatedLifter) else 0
    summary = 4 * joints * (3 + 9 + 3 + 2 + 2 + 4) + 512
    return poses * (samples * (2 * (each + turned) + 4 * 3 * joints) + 3 * summary)


def motion_bytes(poses: int, samples: int) -> int:
    """What rotations solved for take besides, and the motion file made of them: as drawn, joined and turned."""
    return poses * samples * 3 * 4 * (4 * 22 + 1)


def chunks(poses: int, size: int) -> Iterator[slice]:
    """Rows of ``size`` poses at a time."""
    return (slice(start, start + size) for start in range(0, poses, size))


@torch.no_grad()
def draw(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = CHUNK,
    device: torch.device | str = "cpu",
    level: float = 0.9,
    mode: bool = False,
    turned: int | None = None,
) -> Iterator[Draws]:
    """The draws of `poseterior.lift`, ``chunk`` poses at a time.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        keypoints: in the lifter's skeleton, one batch dimension.
        samples, seed, chunk, device, level, mode: as for `poseterior.lift`.
        turned: of rotations, for who shows nothing else: so many of the first samples, of which means, covariances and
            regions are then made too, which no recalibration has made right; ``log_lengths`` are of all samples. By
            default all, with the regions of ``lifter(keypoints).region(level)``.

    Raises:
        InputError: as `poseterior.lift`.
    """
    check_lift(lifter, samples, seed, chunk, level)
    if len(keypoints) == 0:
        raise InputError("no poses to lift")
    check_memory(lifter, len(keypoints), samples)
    lifter = ready(lifter, device)
    for rows in chunks(len(keypoints), chunk):
        some = keypoints if len(keypoints) <= chunk else keypoints[rows]
        posterior = lifter(some.to(device))
        if isinstance(posterior, ArticulatedPoseDistribution):
            yield _draw_articulated(posterior, samples, seed, level, mode, turned)
        else:
            yield _draw_poses(posterior, samples, seed, level)


def ready(lifter: Lifter, device: torch.device | str) -> Lifter:
    """The lifter there, and in evaluation mode: torch's own way asks every parameter and module in turn to change."""
    wanted = torch.device(device)
    parts = list(_modules(lifter))
    tensors = (tensor for part in parts for tensor in (*part._parameters.values(), *part._buffers.values()))
    if any(tensor is not None and tensor.device != wanted for tensor in tensors):
        lifter = lifter.to(wanted)
    return lifter.eval() if any(part.training for part in parts) else lifter


def _modules(whole: nn.Module) -> Iterator[nn.Module]:
    """It and all its parts, without their names: many times as fast as ``whole.modules()``."""
    waiting: list[nn.Module | None] = [whole]
    while waiting:
        part = waiting.pop()
        if part is not None:
            yield part
            waiting.extend(part._modules.values())


def _draw_poses(posterior: PoseDistribution, samples: int, seed: int, level: float) -> Draws:
    if not samples:
        none = posterior.mean.new_empty(0, *posterior.mean.shape).cpu()
        return Draws(
            none, posterior.mean.cpu(), posterior.covariance.cpu(), none[..., 0, 0], _region(posterior, level)
        )  # fmt: skip
    if posterior.has_density:
        poses, density = posterior.sample_and_log_prob((samples,), seed=seed)
    else:
        poses = posterior.sample((samples,), seed=seed)
        density = poses.new_full(poses.shape[:-2], torch.nan)
    region = _region(posterior, level, Drawn(samples, seed, poses))
    return Draws(poses.cpu(), posterior.mean.cpu(), posterior.covariance.cpu(), density.cpu(), region)


def _draw_articulated(
    posterior: ArticulatedPoseDistribution, samples: int, seed: int, level: float, mode: bool, turned: int | None
) -> Draws:
    if turned is None:
        (poses, rotations, offsets, density), drawn = posterior.draw_together(samples, seed)
        region = _region(posterior, level, drawn)
    else:
        (poses, rotations, _, density), offsets = posterior.draw_turned(samples, turned, seed)
        region = region_of(poses.cpu(), posterior.skeleton, level)
    if turned is None and samples < posterior.summary_draws:
        mean, covariance = posterior.mean, posterior.covariance
    else:  # the lifter would draw as many again for its own mean
        mean = poses.mean(0)
        covariance = torch.einsum("s...i,s...j->...ij", poses - mean, poses - mean) / max(len(poses) - 1, 1)
    none = torch.full_like(density, torch.nan)
    summary = summarise(posterior.rotations, rotations, density, mode, log_group_ratios(offsets).mean(0).cpu())
    return Draws(poses.cpu(), mean.cpu(), covariance.cpu(), none.cpu(), region, summary)


def _region(posterior: PoseDistribution, level: float, drawn: Drawn | None = None) -> Region:
    region = posterior.region(level, drawn)
    balls = {name: getattr(region, name).cpu() for name in ("centre", "radius", "pose_radius")}
    return dataclasses.replace(region, **balls)


def summarise(
    posterior: RotationDistribution,
    rotations: Float[Tensor, "samples poses 22 3 3"],
    log_prob: Float[Tensor, "samples poses"],
    mode: bool = False,
    log_lengths: Float[Tensor, "poses groups"] | None = None,
) -> RotationDraws:
    """Drawn rotations as results have them.

    Raises:
        InputError: the mode of rotations that have no density.
    """
    if mode and not posterior.has_density:
        raise InputError(
            "mode: these rotations are those of another lifter's poses, which have no density, so no mode; use mean, "
            "path, samples or clusters"
        )
    mean = chordal_mean(rotations)
    drawn, middle = (unit_quaternions(part).float().cpu() for part in (rotations, mean))
    spread = angle_between(drawn, middle).square().mean(0).sqrt()
    highest: Array | None = quaternions(posterior.mode) if mode else None
    return RotationDraws(
        drawn.transpose(0, 1).numpy(),
        log_prob.transpose(0, 1).float().cpu().numpy(),
        middle.numpy(),
        spread.numpy(),
        posterior.modelled,
        highest,
        log_lengths,
    )
