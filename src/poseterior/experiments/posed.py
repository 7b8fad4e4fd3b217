"""Observations of an experiment, which nothing can be learnt from or measured on unless some have a 3D pose."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..data.observations import ObservationSet, load_observations
from ..files.errors import InputError

__all__ = ["observed_poses"]

_GIVE = "give observations with 3D poses (`poseterior data import h36m` ...)"


def observed_poses(path: Path, option: Literal["--data", "--test"]) -> ObservationSet:
    """Stored observations of which some have a 3D pose.

    Args:
        path: the file.
        option: by which it was given: to learn from, or to measure on.

    Raises:
        InputError: none has one; says what to do instead.
    """
    data = load_observations(path)
    if bool(data.observations.observed.any()):
        return data
    if option == "--test":
        raise InputError(f"--test {path}: has no 3D poses, which all runs are measured on; {_GIVE}")
    # Not even a crowd's labels alone will do: that run goes on from one on labels made of true depths.
    raise InputError(
        f"--data {path}: has no 3D poses, which all runs learn from or start from; {_GIVE} or a pose store; to learn "
        f"from labels of it: poseterior train relative-finetune init=relative data.observations={path} "
        "data.labels=LABELS.parquet"
    )
