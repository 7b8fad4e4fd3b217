"""Result files: one documented schema in three containers (npz, Parquet, JSON).

Fields, with their shapes; every length is in metres unless px is named:

======================  =============================  =====================================================
name                    shape                          meaning
======================  =============================  =====================================================
``samples``             (poses, samples, joints, 3)    drawn 3D poses, float32
``mean``                (poses, joints, 3)             mean pose, float32
``covariance``          (poses, joints, 3, 3)          covariance of each joint, m², float32
``log_prob``            (poses, samples)               log density of each sample; NaN where none exists
``keypoints``           (poses, joints, 2)             px as used, x right, y down; NaN where hidden
``keypoint_covariance`` (poses, joints, 2, 2)          px²; NaN where hidden
``visible``             (poses, joints)                bool
``image_size``          (poses, 2)                     width, height in px; NaN where unknown
``file``                (poses,)                       name of the input file
``frame``, ``person``   (poses,)                       0-based integers
======================  =============================  =====================================================

Constants of the whole file: ``joint_names``, ``skeleton``, ``units`` ("metres"), ``axes``
("x right, y down, z forward (camera)"), ``origin`` ("pelvis"), ``lifter``, ``seed`` (null if none),
``version`` (of the package that wrote it), ``settings`` (strings, e.g. the camera assumption) and ``schema``.

**npz**: one array a name; strings are fixed-width unicode arrays, ``seed`` is an empty array if there is
none, ``settings`` is an (n, 2) array of keys and values. Nothing is pickled.

**Parquet**: one row a pose; arrays are fixed-size lists, flattened row-major (C order); ``samples`` and
``log_prob`` are left out if there are none. The schema metadata has one key, ``poseterior``: a JSON object
of the constants and ``shapes``, the shape of one row of each list column, for example
``{"mean": [17, 3]}``. In pandas::

    table = pandas.read_parquet("poses.parquet")
    mean = numpy.stack(table["mean"]).reshape(-1, 17, 3)
    about = json.loads(pyarrow.parquet.read_schema("poses.parquet").metadata[b"poseterior"])

and in polars ``polars.read_parquet("poses.parquet")["mean"].to_numpy().reshape(-1, 17, 3)``.

**JSON**: one object, the same names; NaN is null; ``samples`` and ``log_prob`` only when asked for.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from .._version import __version__
from ..files.errors import InputError
from ..files.writing import atomic_write
from ..geometry.skeletons import SKELETONS, Skeleton, get_skeleton

__all__ = [
    "AXES",
    "ORIGIN",
    "SCHEMA",
    "UNITS",
    "LiftResult",
    "load_result",
    "save_result",
]

#: Name and version of the layout; the number grows when a reader of the old layout would go wrong.
SCHEMA = "poseterior.result/1"
UNITS = "metres"
AXES = "x right, y down, z forward (camera)"
ORIGIN = "pelvis"

#: Row shape of each array in terms of p(oses), s(amples), j(oints); and its dtype.
_ARRAYS: dict[str, tuple[tuple[str | int, ...], type]] = {
    "samples": (("p", "s", "j", 3), np.float32),
    "mean": (("p", "j", 3), np.float32),
    "covariance": (("p", "j", 3, 3), np.float32),
    "log_prob": (("p", "s"), np.float32),
    "keypoints": (("p", "j", 2), np.float32),
    "keypoint_covariance": (("p", "j", 2, 2), np.float32),
    "visible": (("p", "j"), np.bool_),
    "image_size": (("p", 2), np.float32),
    "frame": (("p",), np.int64),
    "person": (("p",), np.int64),
}
_MAY_BE_MISSING = ("log_prob", "keypoints", "keypoint_covariance", "image_size")
_PER_SAMPLE = ("samples", "log_prob")
_CONSTANTS = (
    "joint_names", "skeleton", "units", "axes", "origin", "lifter", "seed", "version", "settings", "schema",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LiftResult:
    """3D poses as a lifter gave them, with the 2D evidence that they rest on.

    The module's docstring lists the shapes and units. Arrays are converted to the documented dtypes.

    Attributes:
        settings: free strings that say what was assumed, e.g. ``{"camera": "field of view 50 degrees"}``.
        seed: the seed of the sampler, None if there was none.

    Raises:
        InputError: a wrong shape or an infinite or missing number; names the field, pose and joint.
    """

    samples: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    log_prob: np.ndarray
    keypoints: np.ndarray
    keypoint_covariance: np.ndarray
    visible: np.ndarray
    image_size: np.ndarray
    file: np.ndarray
    frame: np.ndarray
    person: np.ndarray
    joint_names: tuple[str, ...]
    skeleton: str = "h36m17"
    lifter: str = ""
    seed: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    version: str = __version__
    units: str = UNITS
    axes: str = AXES
    origin: str = ORIGIN
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        put = object.__setattr__
        if isinstance(self.joint_names, str) or not np.iterable(self.joint_names):
            raise InputError(f"joint_names: expected a list of names, got {self.joint_names!r}")
        if not isinstance(self.settings, Mapping):
            raise InputError(f"settings: expected pairs of names and values, got {self.settings!r}")
        if self.seed is not None and (not isinstance(self.seed, (int, np.integer)) or self.seed < 0):
            raise InputError(f"seed: expected a whole number from 0, or none; got {self.seed!r}")
        put(self, "joint_names", tuple(str(name) for name in self.joint_names))
        put(self, "settings", {str(key): str(value) for key, value in self.settings.items()})
        put(self, "seed", None if self.seed is None else int(self.seed))
        for name in ("skeleton", "lifter", "version"):
            put(self, name, str(getattr(self, name)))
        put(self, "file", _strings(self.file))
        for name, (_, dtype) in _ARRAYS.items():
            put(self, name, _array(getattr(self, name), name, dtype))
        self._check_constants()
        self._check_shapes()
        self._check_numbers()

    def _check_constants(self) -> None:
        fixed = {"schema": SCHEMA, "units": UNITS, "axes": AXES, "origin": ORIGIN}
        for name, expected in fixed.items():
            if getattr(self, name) != expected:
                raise InputError(f"{name}: expected {expected!r}, got {getattr(self, name)!r}")
        if self.skeleton in SKELETONS and self.joint_names != SKELETONS[self.skeleton].joints:
            expected_names = ", ".join(SKELETONS[self.skeleton].joints)
            raise InputError(f"joint_names: skeleton {self.skeleton!r} has the joints {expected_names}")

    def _check_shapes(self) -> None:
        if self.samples.ndim != 4:
            raise InputError(f"samples has shape {self.samples.shape}; expected (poses, samples, joints, 3)")
        sizes = {"p": len(self.file), "s": self.samples.shape[1], "j": len(self.joint_names)}
        for name, (pattern, _) in _ARRAYS.items():
            expected = tuple(sizes[part] if isinstance(part, str) else part for part in pattern)
            found = getattr(self, name).shape
            if found != expected:
                raise InputError(
                    f"{name} has shape {found}; expected {expected} for {sizes['p']} poses (entries of"
                    f" 'file'), {sizes['s']} samples and {sizes['j']} joints (entries of 'joint_names')"
                )

    def _check_numbers(self) -> None:
        for name, (_, dtype) in _ARRAYS.items():
            if dtype is not np.float32:
                continue
            values = getattr(self, name)
            # one pass over the (large) samples; the exact place is looked up only if something is wrong
            with np.errstate(invalid="ignore", over="ignore"):
                total = float(np.abs(values).max(initial=0.0))
            if np.isfinite(total):
                continue
            bad = np.isinf(values) if name in _MAY_BE_MISSING else ~np.isfinite(values)
            if bad.any():
                self._refuse(name, values, bad, "a finite number")
        hidden = np.isnan(self.keypoints).any(-1) & self.visible
        if hidden.any():
            self._refuse("keypoints", self.keypoints, hidden[..., None], "numbers, or visible=False")

    def _refuse(self, name: str, values: np.ndarray, bad: np.ndarray, expected: str) -> None:
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"pose {place[0]}"
        pattern = _ARRAYS[name][0]
        if "s" in pattern:
            where += f", sample {place[pattern.index('s')]}"
        if "j" in pattern:
            where += f", joint {self.joint_names[place[pattern.index('j')]]!r}"
        raise InputError(f"{name}: {where} has {values[place]}; expected {expected}")

    def __len__(self) -> int:
        """Number of poses."""
        return len(self.file)

    def __repr__(self) -> str:
        poses, drawn = self.samples.shape[:2]
        counts = f"{poses} pose{'s' * (poses != 1)}, {drawn} sample{'s' * (drawn != 1)}"
        return f"LiftResult({counts}, {self.skeleton}, lifter={self.lifter!r})"

    def __getitem__(self, index: slice | np.ndarray | list[int]) -> LiftResult:
        """Some of the poses, by slice, mask or indices."""
        parts = {name: getattr(self, name)[index] for name in (*_ARRAYS, "file")}
        return LiftResult(**parts, **{name: getattr(self, name) for name in _CONSTANTS})

    @property
    def tree(self) -> Skeleton:
        """The `Skeleton`; joints without bones if the name is not one of ours."""
        if self.skeleton in SKELETONS:
            return get_skeleton(self.skeleton)
        return Skeleton(self.skeleton, self.joint_names, (-1,) * len(self.joint_names))

    def radius(self, level: float = 0.9) -> np.ndarray:
        """Radius of the ball around the samples' coordinate-wise median that holds ``level`` of a joint's samples.

        Of a normal distribution with the stored covariance, around its mean, where there are no samples (JSON
        files usually carry none).

        Args:
            level: share of the samples, between 0 and 1.

        Returns:
            (poses, joints), metres.
        """
        if not 0 < level < 1:
            raise InputError(f"level: expected a share between 0 and 1, got {level}")
        if self.samples.shape[1]:
            centre = np.median(self.samples, axis=1, keepdims=True)
            distance = np.linalg.norm(self.samples - centre, axis=-1)
            return np.quantile(distance, level, axis=1).astype(np.float32)
        variances = np.clip(np.linalg.eigvalsh(self.covariance), 0.0, None)
        draws = np.random.default_rng(0).standard_normal((4096, 3)) ** 2
        radii = [np.quantile(np.sqrt(draws @ pose.T), level, axis=0) for pose in variances]
        return np.asarray(radii, np.float32).reshape(self.mean.shape[:2])


def _array(value: Any, name: str, dtype: type) -> np.ndarray:
    try:
        array = np.asarray(value)
        if dtype is not np.float32 and array.size and array.dtype.kind not in "biu":
            raise ValueError(f"found {array.dtype}")
        return np.ascontiguousarray(array, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: expected an array of {np.dtype(dtype).name} ({error})") from None


def _strings(value: Any) -> np.ndarray:
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise InputError("file: expected a list of strings, one a pose")
    return np.asarray(names, dtype=np.str_)


def save_result(result: LiftResult, path: str | os.PathLike[str], *, samples: bool | None = None) -> None:
    """Write a result file; the extension chooses the container.

    Args:
        result: what to write.
        path: ``.npz``, ``.parquet`` or ``.json``. The file is replaced only when the new one is complete.
        samples: keep ``samples`` and ``log_prob``; by default all formats but JSON do.

    Raises:
        InputError: another extension, or a folder that does not exist or cannot be written to.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: unknown extension {suffix!r}; use one of: {', '.join(_FORMATS)}")
    keep = suffix != ".json" if samples is None else samples
    if not keep and result.samples.shape[1]:
        parts = {name: getattr(result, name)[:, :0] for name in _PER_SAMPLE}
        rest = {name: getattr(result, name) for name in (*_ARRAYS, "file", *_CONSTANTS) if name not in parts}
        result = LiftResult(**parts, **rest)
    with atomic_write(path) as file:
        _FORMATS[suffix][0](result, file)


def _constants(result: LiftResult) -> dict[str, Any]:
    return {name: getattr(result, name) for name in _CONSTANTS}


def _save_npz(result: LiftResult, file: IO[bytes]) -> None:
    arrays = {name: getattr(result, name) for name in (*_ARRAYS, "file")}
    constants: dict[str, Any] = _constants(result)
    constants["seed"] = np.asarray([] if result.seed is None else [result.seed], np.int64)
    settings = np.asarray(list(result.settings.items()), np.str_).reshape(-1, 2)
    # Not np.savez, whose own argument `file` leaves no room for an array of that name; and not compressed:
    # float noise shrinks by a tenth and takes a hundred times as long.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, value in (arrays | constants | {"settings": settings}).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(value), allow_pickle=False)


def _save_parquet(result: LiftResult, file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"file": pa.array(result.file.tolist(), pa.string())}
    shapes: dict[str, list[int]] = {}
    for name in ("frame", "person", *(n for n in _ARRAYS if n not in ("frame", "person"))):
        values = getattr(result, name)
        if values.ndim == 1:
            columns[name] = pa.array(values)
        elif row := int(np.prod(values.shape[1:])):
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), row)
            shapes[name] = list(values.shape[1:])
    about = json.dumps(_constants(result) | {"shapes": shapes}, ensure_ascii=False)
    table = pa.table(columns).replace_schema_metadata({"poseterior": about})
    floats = [f"{n}.list.element" for n in shapes if _ARRAYS[n][1] is np.float32]
    pq.write_table(
        table, file, compression="zstd", use_dictionary=["file"], use_byte_stream_split=floats,
        row_group_size=1024,
    )  # fmt: skip


def _nulls(values: np.ndarray) -> Any:
    """Nested lists with None for NaN, which JSON does not know."""
    hidden = np.isnan(values) if values.dtype.kind == "f" else np.zeros(0, bool)
    if hidden.any():
        values = values.astype(object)
        values[hidden] = None
    return values.tolist()


def _save_json(result: LiftResult, file: IO[bytes]) -> None:
    names = [n for n in ("file", *_ARRAYS) if n not in _PER_SAMPLE or result.samples.shape[1]]
    document = _constants(result) | {name: _nulls(getattr(result, name)) for name in names}
    # one field a line: small enough to read, and a diff shows what changed
    lines = (f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False, allow_nan=False)}" for k, v in document.items())
    file.write(("{\n" + ",\n".join(lines) + "\n}\n").encode())


# -- reading -------------------------------------------------------------------------------------------


def load_result(path: str | os.PathLike[str]) -> LiftResult:
    """Read a result file that `save_result` wrote; the extension names the container.

    Raises:
        InputError: the file does not exist, is truncated, was not written by poseterior, or has another
            schema version; the message names the file and the field.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: unknown extension {suffix!r}; result files are: {', '.join(_FORMATS)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    try:
        return _build(_FORMATS[suffix][1](path))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


_NOT_OURS = "not a poseterior result ({}); make one with `poseterior lift ... --out FILE`"


def _build(fields: Mapping[str, Any]) -> LiftResult:
    schema = fields.get("schema")
    if not isinstance(schema, str) or not schema.startswith("poseterior.result/"):
        raise InputError(_NOT_OURS.format("no field 'schema' that says so"))
    if schema != SCHEMA:
        raise InputError(
            f"has the layout {schema!r}, this version of poseterior ({__version__}) reads {SCHEMA!r};"
            f" it was written by version {fields.get('version')}: use that version, or lift again"
        )
    names = {"file", *_ARRAYS, *_CONSTANTS}
    missing = sorted(names - set(fields))
    if missing:
        raise InputError(f"the field {missing[0]!r} is missing; the file is damaged, lift again")
    return LiftResult(**{name: fields[name] for name in names})


def _load_npz(path: Path) -> dict[str, Any]:
    try:
        _check_npz_sizes(path)
        with np.load(path, allow_pickle=False) as archive:
            fields: dict[str, Any] = {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"not an npz file, or truncated ({error})") from None
    except InputError:
        raise
    except (ValueError, KeyError, NotImplementedError, MemoryError) as error:
        raise InputError(f"damaged npz file ({error})") from None
    for name in _CONSTANTS:
        if name in fields and fields[name].ndim == 0:
            fields[name] = fields[name].item()
    if "seed" in fields:
        seed = np.asarray(fields["seed"])
        if seed.dtype.kind not in "iu" or seed.size > 1:
            raise InputError(f"seed: expected one whole number or none, got {seed.tolist()}")
        fields["seed"] = int(seed.reshape(-1)[0]) if seed.size else None
    if "settings" in fields:
        pairs = np.asarray(fields["settings"])
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise InputError(f"settings: expected an (n, 2) array of strings, got shape {pairs.shape}")
        fields["settings"] = dict(pairs.tolist())
    return fields


def _check_npz_sizes(path: Path) -> None:
    """Refuse an array whose header claims more bytes than the file has, before anything is allocated."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                reader = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = reader(member)
                name = info.filename.removesuffix(".npy")
                if dtype.hasobject:
                    raise InputError(f"{name}: holds pickled Python objects, which are never loaded")
                claimed = dtype.itemsize
                for size in shape:
                    claimed *= int(size)
                if claimed != info.file_size - member.tell():
                    raise InputError(
                        f"{name}: the header claims {claimed:,} bytes (shape {shape}), the file has"
                        f" {info.file_size - member.tell():,}; the file is damaged, lift again"
                    )


def _load_parquet(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
        if b"poseterior" not in metadata:
            raise InputError(_NOT_OURS.format("no 'poseterior' in the schema metadata"))
        fields = json.loads(metadata[b"poseterior"])
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise InputError(f"not a Parquet file, or truncated ({error})") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"damaged schema metadata ({error})") from None
    shapes = fields.pop("shapes", None) if isinstance(fields, dict) else None
    if not isinstance(shapes, dict):
        raise InputError("damaged schema metadata (no 'shapes')")
    for name in table.column_names:
        column = table[name].combine_chunks()
        if column.null_count:
            raise InputError(f"{name}: has empty cells; the file is damaged, lift again")
        if name not in shapes:
            fields[name] = np.asarray(column.to_pylist()) if name == "file" else column.to_numpy()
            continue
        values = column.flatten().to_numpy(zero_copy_only=False)
        try:
            fields[name] = values.reshape(table.num_rows, *shapes[name])
        except (ValueError, TypeError):
            raise InputError(
                f"{name}: {len(values)} numbers do not make {table.num_rows} rows of shape {shapes[name]}"
            ) from None
    return _without_samples(fields, table.num_rows)


def _load_json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"not a text file in UTF-8 ({error.reason} at byte {error.start})") from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"not JSON, or truncated ({error})") from None
    if not isinstance(fields, dict):
        raise InputError(_NOT_OURS.format(f"found a {type(fields).__name__}, not an object"))
    poses = len(fields["file"]) if isinstance(fields.get("file"), list) else 0
    joints = len(fields["joint_names"]) if isinstance(fields.get("joint_names"), list) else 0
    if poses == 0:  # an empty list cannot tell its inner shape
        sizes = {"p": 0, "s": 0, "j": joints}
        for name, (pattern, dtype) in _ARRAYS.items():
            if fields.get(name) == []:
                fields[name] = np.empty([sizes[i] if isinstance(i, str) else i for i in pattern], dtype)
    return _without_samples(fields, poses)


def _without_samples(fields: dict[str, Any], poses: int) -> dict[str, Any]:
    """The fields with empty ``samples`` and ``log_prob`` where the file left them out."""
    joints = len(fields["joint_names"]) if isinstance(fields.get("joint_names"), list) else 0
    empty = {"samples": np.empty((poses, 0, joints, 3)), "log_prob": np.empty((poses, 0))}
    return empty | fields


_Writer = Callable[[LiftResult, IO[bytes]], None]
_Reader = Callable[[Path], dict[str, Any]]
_FORMATS: dict[str, tuple[_Writer, _Reader]] = {
    ".npz": (_save_npz, _load_npz),
    ".parquet": (_save_parquet, _load_parquet),
    ".json": (_save_json, _load_json),
}
