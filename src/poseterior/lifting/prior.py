"""What a body does when nothing is seen: samples of the prior, and how likely given poses are under it."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ..files.errors import InputError
from ..files.extras import need
from ..files.writing import atomic_write
from ..geometry.body import rest_offsets
from ..lifters import ArticulatedLifter, Model, Prior
from ..results.provenance import Array
from ..results.rotations import RotationResult, matrices
from .bodies import joined
from .draws import check_draws, lifter_name, summarise

if TYPE_CHECKING:
    from ..data.store import Mocap

__all__ = [
    "SCORE_SUFFIXES",
    "PriorScores",
    "sample_prior",
    "score_poses",
]

# -- the prior ---------------------------------------------------------------------------------------------


def _prior(model: Model) -> Prior:
    """The model, if it knows what bodies do when nothing is seen.

    Raises:
        InputError: it does not.
    """
    if not isinstance(model, Prior):
        raise InputError(f"lifter {lifter_name(model)!r} has no rotations; use the lifter 'rotations'")
    return model


def sample_prior(lifter: Model, count: int, seed: int = 0) -> RotationResult:
    """Poses of people of whom nothing is seen, one sample each; the pelvis as a camera sees them.

    Args:
        lifter: one with rotations, or a prior.
        count: how many.
        seed: of the samples.

    Returns:
        ``count`` poses of one clip (frames 0, 1 ...), the rest body, the root at the origin, camera axes
        (of a prior alone: y up, as it does not know how a pelvis is turned).

    Raises:
        InputError: a lifter without rotations, or fewer than one pose.
    """
    check_draws(count, seed)
    prior: Any = _prior(lifter).prior()
    rotations, log_prob = prior.sample_and_log_prob((1, count), seed=seed)
    return RotationResult(
        **joined([summarise(prior, rotations, log_prob)]),
        offsets=rest_offsets().repeat(count, 1, 1).numpy(),
        root=np.zeros((count, 3), np.float32),
        file=np.full(count, "prior"),
        frame=np.arange(count),
        person=np.zeros(count, np.int64),
        # a prior alone leaves the pelvis at the identity, which stands in axes whose y is up
        axes="camera" if isinstance(lifter, ArticulatedLifter) else "y up",
        lifter=lifter_name(lifter),
        seed=seed,
        settings={"evidence": "none"},
    )


@dataclass(frozen=True, eq=False)
class PriorScores:
    """How likely poses are a priori, whatever their orientation.

    Attributes:
        joints: the modelled joints other than the pelvis; one ``body`` where densities are not by joint.
        contributions: ``(poses, joints)`` nats above uniform: each joint's part of the log-density (given the joints
            before it, for the autoregressive structures).
        usual: ``(joints,)`` their means over the prior's own samples.
        typicality: ``(poses,)`` share of the prior's own samples that have a lower log-density.
    """

    joints: tuple[str, ...]
    contributions: Float[NDArray[np.float64], "poses joints"]
    usual: Float[NDArray[np.float64], "joints"]
    typicality: Float[NDArray[np.float64], "poses"]

    @property
    def log_density(self) -> Float[NDArray[np.float64], "poses"]:
        """Of each pose, nats above uniform, the pelvis left out."""
        return self.contributions.sum(-1)

    def reasons(self, pose: int, count: int = 3) -> list[tuple[str, float]]:
        """The joints that make a pose unlikely, with what they lose (nats) against the prior's own samples."""
        loss = self.contributions[pose] - self.usual
        return [(self.joints[j], float(loss[j])) for j in np.argsort(loss)[:count]]

    def least_typical(self, mocap: Mocap, count: int) -> list[int]:
        """The poses of lowest log-density, those of one clip at least half a second apart."""
        shown: list[int] = []
        for row in np.argsort(self.log_density).tolist():
            apart = mocap.fps[mocap.clip[row]] / 2
            if any(mocap.clip[row] == mocap.clip[s] and abs(row - s) < apart for s in shown):
                continue
            if len(shown) == count:
                break
            shown.append(row)
        return shown

    def save(self, path: str | os.PathLike[str], mocap: Mocap) -> None:
        """Write a table, a row per pose: clip, frame, log-density, typicality and a column per joint.

        Args:
            path: ``.json`` (with what the numbers mean), ``.csv`` or ``.parquet``; it appears only when complete.
            mocap: the motion that was scored.

        Raises:
            InputError: another extension, a motion of another length, or a path that cannot be written to.
        """
        suffix = Path(path).suffix.lower()
        if suffix not in SCORE_SUFFIXES:
            raise InputError(f"{path}: unknown extension {suffix!r}; use one of: {', '.join(SCORE_SUFFIXES)}")
        if len(mocap) != len(self.contributions):
            raise InputError(f"mocap: has {len(mocap)} poses; expected the {len(self.contributions)} that were scored")
        columns: dict[str, list[Any]] = {
            "clip": [mocap.clip_names[clip] for clip in mocap.clip],
            "frame": mocap.frame.tolist(),
            "log_density": self.log_density.tolist(),
            "typicality": self.typicality.tolist(),
        } | {joint: self.contributions[:, j].tolist() for j, joint in enumerate(self.joints)}
        with atomic_write(path) as file:
            _WRITERS[suffix](columns, dict(zip(self.joints, self.usual.tolist(), strict=True)), file)


_Columns = dict[str, list[Any]]


def _write_json(columns: _Columns, usual: dict[str, float], file: IO[bytes]) -> None:
    about = {"measure": "nats above uniform (normalised Haar measure), pelvis left out", "usual": usual}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    file.write((json.dumps(about | {"frames": rows}, indent=1) + "\n").encode())


def _write_csv(columns: _Columns, usual: dict[str, float], file: IO[bytes]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    file.write(text.getvalue().encode())


def _write_parquet(columns: _Columns, usual: dict[str, float], file: IO[bytes]) -> None:
    need("parquet", "pyarrow", "writing Parquet", " (or write .json or .csv)")
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), file, compression="zstd")


_WRITERS = {".json": _write_json, ".csv": _write_csv, ".parquet": _write_parquet}
#: What `PriorScores.save` writes.
SCORE_SUFFIXES = tuple(_WRITERS)


@torch.no_grad()
def score_poses(
    lifter: Model,
    rotations: Float[NDArray[np.float32], "poses 22 4"],
    samples: int = 2000,
    seed: int = 0,
    chunk: int = 1024,
) -> PriorScores:
    """Log-density of poses under the prior, by joint, and how typical that is.

    Args:
        lifter: one with rotations, or a prior.
        rotations: quaternions xyzw; the pelvis' does not matter.
        samples: of the prior, to compare with.
        seed: of those.
        chunk: poses at a time.

    Raises:
        InputError: a lifter without rotations, another shape, or a quaternion that is no rotation (names the joint).
    """
    check_draws(samples, seed)
    prior: Any = _prior(lifter).prior()
    by_joint = hasattr(prior, "joint_log_prob")
    if rotations.ndim != 3 or rotations.shape[1:] != (22, 4) or not len(rotations):
        raise InputError(f"rotations have shape {rotations.shape}; expected (poses, 22, 4)")

    def contributions(matrices: Tensor) -> Array:
        rows = [matrices[start : start + chunk] for start in range(0, len(matrices), chunk)]
        parts = [prior.joint_log_prob(some)[:, 1:] if by_joint else prior.log_prob(some)[:, None] for some in rows]
        return torch.cat(parts).double().cpu().numpy()

    device = next(lifter.parameters()).device
    own = contributions(prior.sample((samples,), seed=seed))
    scored = contributions(matrices(rotations.astype(np.float32)).to(device))
    rank = np.searchsorted(np.sort(own.sum(-1)), scored.sum(-1), side="left")
    return PriorScores(prior.modelled[1:] if by_joint else ("body",), scored, own.mean(0), rank / samples)
