"""From keypoints and a lifter to a `LiftResult`: what the command line does, for use in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
import torch

from ..files.checks import counted
from ..geometry.cameras import ASSUMED_FIELD_OF_VIEW
from ..keypoints import Keypoints2D
from ..lifters import ArticulatedLifter, Lifter
from ..lifters.detector_noise import noise_factors, noise_words
from ..results import poses
from ..results.poses import LiftResult
from ..results.provenance import rates_in_words
from .arguments import check_keypoints, check_lifter
from .bodies import rotations_of
from .draws import CHUNK, Draws, Placed, draw, lifter_name, ready
from .ik import shipped_solution

__all__ = ["Known", "lift", "lift_for_motion", "load_result", "result_of", "settings_of"]


@dataclass(frozen=True)
class Known:
    """Of how many poses it is known what tells places and sizes, to be added up.

    Attributes:
        poses: all of them.
        intrinsics: with a known camera.
        sized: with a picture of known size, but no known camera.
        tall: with a height.
    """

    poses: int = 0
    intrinsics: int = 0
    sized: int = 0
    tall: int = 0

    @classmethod
    def of(cls, keypoints: Keypoints2D) -> Known:
        intrinsics = keypoints.intrinsics.isfinite().all(-1)
        sized = keypoints.image_size.isfinite().all(-1) & ~intrinsics
        return cls(len(keypoints), int(intrinsics.sum()), int(sized.sum()), int(keypoints.height.isfinite().sum()))

    def __add__(self, other: Known) -> Known:
        return Known(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def words(self) -> dict[str, str]:
        """What was known and what was assumed."""
        count = self.poses
        unknown = count - self.intrinsics - self.sized
        parts = []
        if self.intrinsics:
            parts.append(f"intrinsics given for {self.intrinsics} of {counted(count, 'pose')}")
        if self.sized:
            parts.append(
                f"field of view of {ASSUMED_FIELD_OF_VIEW:g} degrees assumed across the longer image side for "
                f"{counted(self.sized, 'pose')}"
            )
        if unknown:
            parts.append(f"neither camera nor image size known for {counted(unknown, 'pose')}: taken as distant")
        scale = (
            f"height given for {self.tall} of {counted(count, 'pose')}"
            if self.tall
            else "height unknown: part of the uncertainty"
        )
        return {"camera": "; ".join(parts), "scale": scale}


def settings_of(lifter: Lifter, known: Known, rates: Mapping[str, float], files: Sequence[str]) -> dict[str, str]:
    """What results say of how they were made.

    Args:
        lifter: that makes them.
        known: of their keypoints.
        rates: file -> frames per second, of those that told.
        files: of the poses; each may stand there once or often.
    """
    evidence = lifter.reader.evidence
    exact = {} if evidence is None else {"evidence": f"keypoints given to {1000 * evidence.coarseness:.1f} mm"}
    return known.words() | rates_in_words(rates, files) | exact


def _angle_calibration(lifter: Lifter) -> str:
    recalibration = lifter.recalibration
    return "" if recalibration is None or recalibration.angles is None else recalibration.angles.text


def _places(draws: list[Draws]) -> dict[str, Any]:
    """Where the draws of clips put the pelvis; nothing where none of them does."""
    if all(part.placed is None for part in draws):
        return {}
    found: dict[str, list[np.ndarray]] = {"root_samples": [], "root": [], "root_covariance": [], "ground": []}
    for part in draws:
        samples, poses = part.samples.shape[:2]
        unknown = torch.full((samples, poses, 3), torch.nan)
        placed = part.placed or Placed(unknown, unknown[0], unknown[0, :, :, None].expand(-1, -1, 3))
        ground = torch.full((4,), torch.nan) if placed.ground is None else placed.ground
        rows = (placed.samples.transpose(0, 1), placed.mean, placed.covariance, ground.expand(poses, 4))
        for values, row in zip(found.values(), rows, strict=True):
            values.append(row.numpy())
    if all(part.placed is None or part.placed.ground is None for part in draws):
        del found["ground"]
    return {name: np.concatenate(values) for name, values in found.items()}


def result_of(
    lifter: Lifter, keypoints: Keypoints2D, draws: list[Draws], seed: int, settings: dict[str, str] | None = None
) -> LiftResult:
    """`draw`'s output on these keypoints as a result, with the rotations where the draws have them.

    ``settings`` is what is said of it; by default `settings_of` these keypoints.
    """
    hidden = ~keypoints.visible.cpu().numpy()
    xy, spread = keypoints.xy.cpu().numpy().copy(), keypoints.covariance.cpu().numpy().copy()
    xy[hidden], spread[hidden] = np.nan, np.nan

    regions = [part.region for part in draws]
    result = LiftResult(
        samples=np.concatenate([part.samples.transpose(0, 1).numpy() for part in draws]),
        mean=np.concatenate([part.mean.numpy() for part in draws]),
        covariance=np.concatenate([part.covariance.numpy() for part in draws]),
        log_prob=np.concatenate([part.log_prob.transpose(0, 1).numpy() for part in draws]),
        region_center=np.concatenate([region.centre.numpy() for region in regions]),
        region_radius=np.concatenate([region.radius.numpy() for region in regions]),
        pose_radius=np.concatenate([region.pose_radius.numpy() for region in regions]),
        level=regions[0].level,
        calibrated=all(region.calibrated for region in regions),
        keypoints=xy,
        keypoint_covariance=spread,
        visible=~hidden,
        image_size=keypoints.image_size.cpu().numpy(),
        intrinsics=keypoints.intrinsics.cpu().numpy(),
        file=np.array([i.file for i in keypoints.ids]),
        frame=np.array([i.frame for i in keypoints.ids]),
        person=np.array([i.person for i in keypoints.ids]),
        joint_names=lifter.skeleton.joints,
        skeleton=lifter.skeleton.name,
        lifter=lifter_name(lifter),
        seed=seed,
        settings=settings_of(lifter, Known.of(keypoints), keypoints.rates, [i.file for i in keypoints.ids])
        if settings is None
        else settings,
        angle_calibration=_angle_calibration(lifter),
        solver=shipped_solution,
        **_places(draws),
    )
    rotations = [part.rotations for part in draws if part.rotations is not None]
    return replace(result, rotations=rotations_of(result, rotations)) if rotations else result


def lift(
    lifter: Lifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    chunk: int = CHUNK,
    device: torch.device | str = "cpu",
    level: float = 0.9,
    mode: bool = False,
) -> LiftResult:
    """Lift keypoints: draw samples, and say where each joint is with a given probability.

    Args:
        lifter: from `poseterior.load`; moved to ``device`` and put into evaluation mode.
        keypoints: any skeleton, any batch shape (flattened to poses).
        samples: hypotheses per pose; 0 keeps the summary alone: means, covariances and regions, as of any number.
        seed: of the samples; the same seed gives the same result on the same machine.
        chunk: poses at a time; how many changes no answer.
        device: where to run.
        level: probability of the regions, those of ``lifter(keypoints).region(level)``.
        mode: of a lifter with rotations: also climb to the rotations of highest density (slow).

    A lifter that comes with `Evidence` checks the detector's standard deviations first, clip by clip: see
    `poseterior.lifters.detector_noise`. Where they are clearly wrong they are put right, and ``settings["noise"]`` says
    so.

    Returns:
        A `LiftResult` (metres, camera axes, relative to the pelvis). Of a lifter with rotations it holds these too,
        see `LiftResult.motion`. In its poses the lengths of the bones differ from hypothesis to hypothesis, as far as
        the picture leaves them open; its rotations have one body per clip.

    Raises:
        InputError: no poses, fewer samples than none (than one, of a lifter with rotations), more than fit in memory,
            a seed or a level out of range.
    """
    used, said = _read(lifter, keypoints, device)
    return _with_noise(
        result_of(lifter, used, list(draw(lifter, used, samples, seed, chunk, device, level, mode)), seed), said
    )


def lift_for_motion(
    lifter: ArticulatedLifter,
    keypoints: Keypoints2D,
    samples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
    level: float = 0.9,
    mode: bool = False,
    shown: int = 3,
    turned: int | None = None,
) -> tuple[LiftResult, LiftResult]:
    """As `lift`, for whoever writes rotations alone.

    Arguments and errors are those of `lift`; and

    Args:
        shown: poses that are told of as `lift` does.
        turned: of how many of the first samples rotations are needed (`poseterior.results.hypotheses.looked_at`). A
            camera puts the mean of these into the picture: of 64 in place of 200, people stand 4 mm (at most 14) away.

    Returns:
        All poses, with the samples that are turned and regions of these, which no recalibration has made right; bodies
        are those of all samples. And the first ``shown`` poses as `lift` gives them, without a mode.
    """
    used, said = _read(lifter, keypoints, device)
    count = samples if turned is None else min(turned, samples)
    draws = list(draw(lifter, used, samples, seed, CHUNK, device, level, mode, turned=count))
    result = _with_noise(result_of(lifter, used, draws, seed), said)
    few = used[:shown]
    first = result_of(lifter, few, list(draw(lifter, few, samples, seed, CHUNK, device, level)), seed, result.settings)
    return result, first


def _read(lifter: Lifter, keypoints: Keypoints2D, device: torch.device | str) -> tuple[Keypoints2D, str]:
    """Keypoints as they are lifted, and what is said of their noise."""
    check_lifter(lifter)
    used = check_keypoints(keypoints).detach().as_skeleton(lifter.skeleton).flatten()
    factor = noise_factors(ready(lifter, device), used.to(device))
    return used.with_noise(factor.to(used.device)), noise_words(factor)


def _with_noise(result: LiftResult, said: str) -> LiftResult:
    return replace(result, settings=result.settings | {"noise": said}) if said else result


def load_result(path: str | os.PathLike[str]) -> LiftResult:
    """Read a result file that `LiftResult.save` wrote; the extension names the container.

    The result can make motions of its poses, see `LiftResult.motion`.

    Raises:
        InputError: the file does not exist, is truncated, was not written by poseterior, or has another
            schema version; the message names the file and the field.
    """
    return replace(poses.load_result(path), solver=shipped_solution)
