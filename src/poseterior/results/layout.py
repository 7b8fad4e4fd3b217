"""The layout of result files: which fields there are, which may be absent, and what a reader makes of those it finds.

`poseterior.results.poses` says what the fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._version import __version__
from ..files.checks import quote
from ..files.errors import InputError
from .arrays import ARRAYS
from .containers import NOT_OURS

__all__ = [
    "CONSTANTS",
    "OF_CLIPS",
    "PER_SAMPLE",
    "REGION",
    "ROOT",
    "SCHEMA",
    "SMOOTH_ROOT",
    "arguments_of",
]

#: Name and version of the layout; the number grows when a reader of the old layout would go wrong.
SCHEMA = "poseterior.result/2"
#: The layout before regions, still read.
_SCHEMA_1 = "poseterior.result/1"
#: In the settings of results whose root is a smoothed path, however their samples are kept.
SMOOTH_ROOT = "root"

#: Arrays with an entry a sample.
PER_SAMPLE = ("samples", "log_prob", "root_samples")
#: Regions: all of them, or none.
REGION = ("region_center", "region_radius", "pose_radius")
#: Of the whole file.
CONSTANTS = (
    "level", "calibrated", "joint_names", "skeleton", "units", "axes", "origin", "lifter", "seed", "version",
    "settings", "schema",
)  # fmt: skip
#: What files may lack.
ROOT = ("root", "root_covariance")
#: What clips have that were lifted as a whole.
OF_CLIPS = ("root_samples", "ground")
#: What files of layout 1 lack.
_NEW_IN_2 = (*REGION, "intrinsics", "level", "calibrated")


def arguments_of(fields: dict[str, Any]) -> dict[str, Any]:
    """What `poseterior.results.poses.LiftResult` is made of, from the fields of a file.

    Raises:
        InputError: another layout, or a field that is missing.
    """
    schema = fields.get("schema")
    if not isinstance(schema, str) or not schema.startswith("poseterior.result/"):
        raise InputError(NOT_OURS.format("no field 'schema' that says so"))
    if schema not in (SCHEMA, _SCHEMA_1):
        raise InputError(
            f"has the layout {quote(schema)}, this version of poseterior ({__version__}) reads {_SCHEMA_1!r} and "
            f"{SCHEMA!r};"
            f" it was written by version {quote(fields.get('version'))}: use that version, or lift again"
        )
    names = {"file", *ARRAYS, *CONSTANTS} - (set(_NEW_IN_2) if schema == _SCHEMA_1 else set())
    names -= {name for name in (*ROOT, *OF_CLIPS) if name not in fields}
    settings = fields.get("settings")
    if isinstance(settings, Mapping) and SMOOTH_ROOT in settings:  # of a clip, whose samples the container left out
        names.add("root_samples")
    fields = _with_empty_arrays(fields, names)
    missing = sorted(names - set(fields))
    if missing:
        raise InputError(f"the field {missing[0]!r} is missing; the file is damaged, lift again")
    calibration = fields.get("angle_calibration", "")
    return {name: fields[name] for name in names} | {"schema": SCHEMA, "angle_calibration": calibration}


def _with_empty_arrays(fields: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The fields with the arrays that a container leaves out, or cannot tell the shape of, because they are empty."""
    sizes = {"p": _count(fields.get("file")), "s": 0, "j": _count(fields.get("joint_names"))}
    found = dict(fields)
    for name in names & set(ARRAYS):
        pattern, dtype = ARRAYS[name]
        left_out = name in PER_SAMPLE and name not in fields
        shapeless = sizes["p"] == 0 and isinstance(fields.get(name), list) and fields[name] == []
        if left_out or shapeless:
            found[name] = np.empty([sizes[i] if isinstance(i, str) else i for i in pattern], dtype)
    return found


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim) else 0
