"""What the keypoints say exactly, given to samples of a network that used them only roughly.

A network that reads 37 px of noise in the numbers it is given does not undo them to the pixel: its samples reproject
with several times the energy that the detector's covariance allows. It is taken to have behaved as if every keypoint
were uncertain by a further ``coarseness`` in metres at the person (one number per set of weights), that is as if the
noise were ``R + T`` where it is ``R``. What is missing is the information ``R^-1 - (R + T)^-1`` of each keypoint, and
that alone is added, as a Gaussian update of the distribution:

* keypoints are linear in the pose about its mean; where the person stands (the root) is not known beforehand, so that
  the part of the residual that a move of the root explains says nothing and is projected out; so does, with its
  uncertainty, the part that another focal length explains where the camera is assumed and not known;
* the gain comes from the distribution's own moments, and the linearisation is taken again at the moved mean (as in the
  iterated extended Kalman filter);
* samples move by the affine map that takes the old moments to the new ones, ``x' = mean' + A (x - mean)`` with
  ``A C A^T = C'`` (the ensemble square-root filter: Tippett et al. 2003; Bell and Cathey 1993 for the iteration).

The map depends on the pose's keypoints and the distribution's fixed moments alone. It is invertible, so that a density
survives by change of variables.

Before that, a detector's own idea of its noise is checked against the residuals, see `noise_evidence`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..files.checks import cut
from ..files.errors import InputError
from ..geometry.cameras import NEAREST, explaining_root_of, linear_projection
from ..geometry.frames import with_root, without_root
from ..geometry.square_roots import square_root_from_one
from ..keypoints import Keypoints2D
from ..keypoints.view import camera_of, reprojection_energy, solve_root

__all__ = [
    "EVIDENCE_FILE",
    "NOISE_FACTORS",
    "Evidence",
    "EvidenceMap",
    "before_camera",
    "energy_per_freedom",
    "evidence_map",
    "log_misfit",
    "missing_information",
    "no_finer",
    "noise_evidence",
    "read_evidence",
    "whitening_share",
]

#: Name of the file beside the weights.
EVIDENCE_FILE = "evidence.json"
_FORMAT = "poseterior-evidence-1"
#: Standard deviation of the logarithm of the focal length, by what is known of the camera. Where nothing is known, not
#: even where the picture's centre is, a person seen from the side looks like one that is turned: no evidence is used.
FOCAL_SPREAD = (math.nan, 0.35, 0.0)
#: Factors on standard deviations between which wrong ones are told.
NOISE_FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_HALF, _TWICE = NOISE_FACTORS.index(0.5), NOISE_FACTORS.index(2.0)
#: How much the logarithm of the energy has to fall with that of the factor, so that it tells the factor; 2 would be the
#: fall of residuals that do not depend on what is reported.
_STEEP = 1.0
#: Finest standard deviation of a keypoint, metres at the person: finer ones count as that. And in pixels, for where the
#: person stands.
_FINEST, _FINEST_PIXELS = 1e-5, 1e-4
#: Metres by which the moments are blurred, so that they can be inverted.
BLUR = 1e-3


@dataclasses.dataclass(frozen=True)
class Evidence:
    """How exact keypoints are given to the answers of one set of weights.

    Attributes:
        coarseness: metres at the person by which the network blurs keypoints, standard deviation per axis.
        residuals: logarithm of the energy of the residuals of the network's mean, per degree of freedom, where reported
            standard deviations are `NOISE_FACTORS` times the right ones: never rising, see `noise_evidence`.
    """

    coarseness: float = 0.006
    residuals: tuple[float, ...] = (2.0, 1.1, 0.1, -0.9, -1.8)

    def __post_init__(self) -> None:
        """Raises `InputError` for a field that is no number, or absurd."""
        if not _is_number(self.coarseness) or not 0 < self.coarseness <= 1:
            said = cut(repr(self.coarseness))
            raise InputError(f"coarseness: expected metres above 0, at most 1, got {said}")
        values = self.residuals
        good = isinstance(values, list | tuple) and all(_is_number(v) and abs(v) < 100 for v in values)
        if not good or len(values) != len(NOISE_FACTORS) or any(a < b for a, b in pairwise(values)):
            count = len(NOISE_FACTORS)
            raise InputError(f"residuals: expected {count} numbers that never rise, got {cut(repr(values))}")
        object.__setattr__(self, "residuals", tuple(values))

    @property
    def tells_noise(self) -> bool:
        """Whether residuals say by how much reported standard deviations are wrong.

        A network that takes many bodies and motions to be possible explains nearly any keypoints: then its residuals
        change more from person to person than with the detector's noise.
        """
        change = math.log(NOISE_FACTORS[_TWICE] / NOISE_FACTORS[_HALF])
        return self.residuals[_HALF] - self.residuals[_TWICE] >= _STEEP * change

    def to_json(self) -> str:
        return json.dumps({"format": _FORMAT} | dataclasses.asdict(self)) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Evidence:
        """Read what `to_json` wrote.

        Raises:
            InputError: another format, or a field that is missing, surplus or wrong.
        """
        try:
            saved = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not readable as JSON ({error})") from None
        if not isinstance(saved, dict) or saved.pop("format", None) != _FORMAT:
            raise InputError(f"not a file of format {_FORMAT!r}")
        if set(saved) != {field.name for field in dataclasses.fields(cls)}:
            raise InputError("expected the fields 'coarseness' and 'residuals'")
        return cls(**saved)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def read_evidence(folder: Path) -> Evidence | None:
    """What stands in the folder of a saved lifter; None if there is none.

    Raises:
        InputError: a broken file; the message names it.
    """
    path = folder / EVIDENCE_FILE
    if not path.is_file():
        return None
    try:
        return Evidence.from_json(path.read_text())
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; get the folder anew") from None


# -- the model of what is seen ---------------------------------------------------------------------------------


def missing_information(
    covariance: Float[Tensor, "n joints 2 2"], blur: Float[Tensor, "n joints 2"]
) -> Float[Tensor, "n joints 2 2"]:
    """A lower triangle L with ``L L^T = R^-1 - (R + T)^-1``."""
    # R^-1 - (R + T)^-1 = (R + R T^-1 R)^-1, which does not cancel
    total = covariance + (covariance / blur.square().unsqueeze(-2)) @ covariance
    first, mixed, _, last = total.flatten(-2).unbind(-1)
    # The factor of the inverse of ((first, mixed), (mixed, last)), whose last pivot is 1 / last.
    low = last.rsqrt()
    along = mixed * low
    top = (first - along.square()).rsqrt()
    return torch.stack([top, torch.zeros_like(top), -along * low * top, low], -1).unflatten(-1, (2, 2))


def no_finer(
    covariance: Float[Tensor, "n joints 2 2"], scale: Float[Tensor, "n joints 2"] | None = None
) -> Float[Tensor, "n joints 2 2"]:
    """Keypoints' covariances, px², with variances that double precision tells from those of a pose.

    Args:
        covariance: px².
        scale: pixels per metre at the person; None: where that is not known yet.
    """
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    least = _FINEST_PIXELS**2 if scale is None else (_FINEST * scale).square()
    return covariance + torch.diag_embed((least - variance).clamp(min=0.0))


def before_camera(places: Float[Tensor, "n joints 3"], shown: Float[Tensor, "n joints 1 1"]) -> Bool[Tensor, "n 1 1"]:
    """Whether all joints that are shown stand before the camera: else the pose explains its keypoints from behind."""
    return ((places[..., 2:, None] > NEAREST) | (shown == 0)).all(1)


def whitening_share(nuisance: Float[Tensor, "n d 1"]) -> Float[Tensor, "n 1 1"]:
    """The share s with which ``I - s g g^T`` whitens the noise ``I + g g^T``: it is the inverse square root."""
    square = nuisance.square().sum((-2, -1), keepdim=True) + 1.0
    return (square + square.sqrt()).reciprocal()  # (1 - 1 / r) / (r^2 - 1) = 1 / (r^2 + r)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _places(joints: int, root: int, device: torch.device) -> Int[Tensor, " numbers"]:
    """Where the slopes of a pose's joints stand in the rows of `_Keypoints.about`: of each by x and y, by x, y, z."""
    columns = 3 * (joints - 1) + 1
    joint = torch.tensor([at for at in range(joints) if at != root])[:, None, None]
    row = 2 * joint + torch.arange(2)[:, None]
    column = 3 * torch.arange(joints - 1)[:, None, None] + torch.arange(3)
    return (row * columns + column).flatten().to(device)


class _Keypoints(NamedTuple):
    """What of the keypoints does not depend on the pose; float64.

    Attributes:
        xy: ``(n, joints, 2)`` px from the principal point.
        covariance: ``(n, joints, 2, 2)`` px².
        shown: ``(n, joints, 1, 1)`` 1 where visible.
        focal: ``(n, 1, 2)`` px.
        coarseness: metres.
        stands: ``(n, 3 joints, 3)`` where the root stands, as a linear function of the pose.
        zoom: ``(n, 1, 1)`` standard deviation of the logarithm of the focal length.
        useful: ``(n, 1, 1)`` whether there is evidence at all.
        root: number of the root.
    """

    xy: Tensor
    covariance: Tensor
    shown: Tensor
    focal: Tensor
    coarseness: float
    stands: Tensor
    zoom: Tensor
    useful: Tensor
    root: int

    @classmethod
    def of(cls, keypoints: Keypoints2D, coarseness: float) -> _Keypoints:
        intrinsics, knowledge = camera_of(keypoints)
        intrinsics, visible = intrinsics.double(), keypoints.visible
        useful = (visible.sum(-1) >= 2) & (knowledge > 0)
        covariance = no_finer(keypoints.covariance.double())
        return cls(
            keypoints.xy.double() - intrinsics[:, None, 2:],
            covariance,
            visible.double()[..., None, None],
            intrinsics[:, None, :2],
            coarseness,
            explaining_root_of(keypoints.xy, covariance, visible, intrinsics).mT,
            focal_spread(knowledge)[:, None, None],
            useful[:, None, None],
            keypoints.skeleton.root,
        )

    def about(self, pose: Float[Tensor, "n nonroot 3"]) -> tuple[Tensor, Tensor]:
        """Keypoints as a linear function of the pose about some pose, whitened by the information that is missing.

        Returns:
            Residual ``(n, 2 joints)``, and slope ``(n, 2 joints, 3 nonroot joints)`` of the prediction.
        """
        whole = with_root(pose, self.root)
        count, joints = whole.shape[:2]
        stands = whole.flatten(1).unsqueeze(1) @ self.stands
        # 1 m before the camera where nobody knows
        places = whole + torch.where(self.useful, stands, 1.0)
        useful = self.useful & before_camera(places, self.shown)
        offset, slope = linear_projection(places, self.focal)
        scale = slope[..., :2].diagonal(dim1=-2, dim2=-1)  # pixels per metre
        half = missing_information(no_finer(self.covariance, scale), self.coarseness * scale).mT * self.shown
        seen = half @ torch.cat([slope, (self.xy - offset).unsqueeze(-1), offset.unsqueeze(-1)], -1)
        moved, residual, zoomed = seen.flatten(1, 2).split([3, 1, 1], -1)  # the root moves all joints together
        # One column more than there are coordinates: the residual.
        columns = pose.new_zeros(count, 2 * joints, 3 * (joints - 1) + 1)
        columns[..., -1:] = residual
        own = without_root(seen[..., :3], self.root, 1).flatten(1)
        columns.view(count, -1).index_copy_(1, _places(joints, self.root, pose.device), own)
        explained = torch.linalg.qr(moved).Q
        nuisance = (zoomed - explained @ (explained.mT @ zoomed)) * self.zoom
        known = torch.cat([explained, nuisance], -1)
        share = torch.cat([explained, whitening_share(nuisance) * nuisance], -1)
        columns = torch.where(useful, torch.baddbmm(columns, known, share.mT @ columns, alpha=-1.0), 0.0)
        return columns[..., -1], columns[..., :-1]


def focal_spread(knowledge: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Standard deviation of the logarithm of the focal length, where anything is known of the camera; else 0."""
    return FOCAL_SPREAD[1] * (knowledge == 1).double() + FOCAL_SPREAD[2] * (knowledge == 2).double()


# -- the update ------------------------------------------------------------------------------------------------


class EvidenceMap(NamedTuple):
    """``x' = after + forward (x - before)`` on the joints other than the root, flattened; float64, flat batch."""

    before: Tensor
    after: Tensor
    forward: Tensor
    log_det: Tensor

    @property
    def backward(self) -> Tensor:
        """The inverse of ``forward``."""
        return torch.linalg.inv(self.forward)


#: Largest eigenvalue of A, see `evidence_map`, up to which its root in single precision is right to some roundings.
_SHARP = 100.0


def evidence_map(
    mean: Float[Tensor, "n joints 3"],
    covariance: Float[Tensor, "n d d"],
    keypoints: Keypoints2D,
    evidence: Evidence,
    precision: torch.dtype = torch.float64,
) -> EvidenceMap:
    """The map that adds to a Gaussian with these moments what the network left out.

    With H the slopes of the keypoints, C the covariance and ``A = I + H C H^T`` the mean moves by ``C H^T A^-1`` times
    the residual, and the map is ``I - C H^T (A + A^(1/2))^-1 H``: that of the symmetric root in the coordinates in
    which C is the identity.

    Args:
        mean, covariance: metres, float64; the covariance of the joints other than the root.
        keypoints: one batch dimension, in the skeleton of the poses.
        evidence: of the weights.
        precision: in which the map is asked for; the mean, and all that it comes of, is always found in float64.
    """
    # as symmetric as exact keypoints need it: what they say may weigh ten thousand million times as much
    covariance = 0.5 * (covariance + covariance.mT)
    covariance.diagonal(dim1=-2, dim2=-1).add_(BLUR**2)
    before = without_root(mean, keypoints.skeleton.root).flatten(1)
    seen = _Keypoints.of(keypoints, evidence.coarseness)
    after = before
    for nth in range(2):
        residual, slope = seen.about(after.unflatten(1, (-1, 3)))
        across = slope @ covariance
        observed = across @ slope.mT
        observed.diagonal(dim1=-2, dim2=-1).add_(1.0)
        lower = torch.linalg.cholesky(observed)
        linear = residual.unsqueeze(-1)
        if nth:
            linear = linear + slope @ (after - before).unsqueeze(-1)
        after = before + (across.mT @ torch.cholesky_solve(linear, lower)).squeeze(-1)
    log_det = -lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    forward = torch.empty_like(covariance)
    sharp = observed.abs().sum(-1).amax(-1) > (_SHARP if precision is not torch.float64 else 0.0)
    for some, kind in ((sharp, torch.float64), (~sharp, precision)):
        if bool(some.all()):
            forward = _map_matrix(*(part.to(kind) for part in (slope, across, observed))).double()
        elif bool(some.any()):
            forward[some] = _map_matrix(*(part[some].to(kind) for part in (slope, across, observed))).double()
    return EvidenceMap(before, after, forward, log_det)


def _map_matrix(
    slope: Float[Tensor, "n r d"], across: Float[Tensor, "n r d"], observed: Float[Tensor, "n r r"]
) -> Float[Tensor, "n d d"]:
    """``I - across^T (A + A^(1/2))^-1 slope``."""
    inner = torch.cholesky_inverse(torch.linalg.cholesky(observed + square_root_from_one(observed)))
    return torch.baddbmm(torch.eye(slope.shape[-1]).to(slope), across.mT, inner @ slope, alpha=-1.0)


# -- the detector's own idea of its noise --------------------------------------------------------------------------


def energy_per_freedom(
    poses: Float[Tensor, "*samples_batch joints 3"], keypoints: Keypoints2D
) -> Float[Tensor, "*samples_batch"]:
    """Reprojection energy where each pose explains the keypoints best, per degree of freedom.

    There are two for each visible joint, less the root's three.
    """
    energy = reprojection_energy(poses, solve_root(poses, keypoints), keypoints).sum(-1)
    return energy / (2 * keypoints.visible.sum(-1) - 3).clamp(min=1)


def log_misfit(mean: Float[Tensor, "*batch joints 3"], keypoints: Keypoints2D) -> Float[Tensor, "*batch"]:
    """Logarithm of `energy_per_freedom`; NaN for fewer than three visible joints, or where no camera is known."""
    energy = energy_per_freedom(mean, keypoints)
    known = (keypoints.visible.sum(-1) >= 3) & (camera_of(keypoints)[1] > 0) & energy.isfinite() & (energy > 0)
    return torch.where(known, energy.log(), math.nan)


@torch.no_grad()
def noise_evidence(
    mean: Float[Tensor, "*batch joints 3"], keypoints: Keypoints2D, evidence: Evidence
) -> Float[Tensor, "*batch"]:
    """The logarithm of what a pose's reported standard deviations should be multiplied by, as its residuals say.

    The energy of the residuals of a network's mean pose, per degree of freedom, falls as reported standard deviations
    grow; ``evidence.residuals`` says how, on a straight line between its factors. One pose says little (the estimate's
    spread is about 0.5): its residuals may be the network's own. Many poses of one detector say it well.

    Args:
        mean: of the network's answer to these keypoints, metres (`PoseDistribution.rough_mean`).
        keypoints: in the same skeleton.
        evidence: of the network.

    Returns:
        Between the logarithms of 1/4 and 4; NaN where fewer than three joints are visible, or nothing is known of the
        camera.
    """
    level = log_misfit(mean, keypoints)
    heights = torch.tensor(evidence.residuals, dtype=torch.float64, device=mean.device)
    logs = -torch.tensor(NOISE_FACTORS, dtype=torch.float64, device=mean.device).log()
    found = _interpolated(level.double(), heights.flip(0), logs.flip(0))
    return torch.where(level.isnan(), level, found.to(mean.dtype))


def _interpolated(at: Tensor, places: Float[Tensor, " k"], values: Float[Tensor, " k"]) -> Tensor:
    """A piecewise linear function of rising places, constant outside."""
    above = torch.searchsorted(places, at.contiguous()).clamp(1, len(places) - 1)
    low, high = places[above - 1], places[above]
    share = ((at - low) / (high - low).clamp(min=1e-9)).clamp(0.0, 1.0)
    return torch.lerp(values[above - 1], values[above], share)
