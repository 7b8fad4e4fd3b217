"""Methods from elsewhere in the benchmark: a function of the user's own, or samples that it saved in files.

A peer is a function ``(keypoints, n) -> samples``; a results file holds the same samples, one file per protocol. Both
become a `Lifter` whose distribution is nothing but the samples, so that everything that can be measured on samples is
measured as for any other lifter. ``docs/peers.md`` has a complete example.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..distributions.empirical import EmpiricalPoseDistribution
from ..files.errors import InputError
from ..files.npz import read_arrays
from ..geometry.skeletons import Skeleton, get_skeleton
from ..keypoints import Keypoints2D, PoseId
from ..lifters import Lifter, LifterConfig
from ..lifters.saved import FILES, folder_of
from ..results.parts import are_parts, part_files
from ..results.poses import load_result

__all__ = [
    "PeerLifter",
    "ResultsLifter",
    "SavedResults",
    "content_hash",
    "load_peer",
    "load_results",
]

#: Lines of these folders are never the user's own.
_LIBRARIES = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    | {str(Path(__file__).resolve().parents[1])}
)
#: Of what a lifter's folder holds, what changes its answers: all but what is said about it.
_DECISIVE = tuple(name for name in FILES if name != "card.json")
#: What results files may call the clip: `numpy.savez` cannot save an array named ``file``, `save_result` does.
_CLIP = ("clip", "file", "file_name")
#: Kinds of results files, in the order in which they are looked for.
_SUFFIXES = (".npz", ".parquet")


class _SampleLifter(Lifter):
    """What functions and files have in common: `h36m17` samples, and where their roots were.

    Attributes:
        root_offset: how far from zero the roots were, mean over the poses lifted so far; metres, if the samples are.
    """

    def __init__(self) -> None:
        super().__init__(LifterConfig())
        self.root_offset, self._lifted = 0.0, 0

    def _given(
        self, samples: Float[Tensor, "samples poses joints 3"], keypoints: Keypoints2D
    ) -> EmpiricalPoseDistribution:
        shape = (len(samples), *keypoints.batch_shape, len(self.skeleton), 3)
        posterior = EmpiricalPoseDistribution(samples.to(keypoints.device).reshape(shape), self.skeleton)
        total = self.root_offset * self._lifted + float(posterior.root_offset.norm(dim=-1).sum())
        self._lifted += len(keypoints)
        self.root_offset = total / max(1, self._lifted)
        return posterior


# -- functions -----------------------------------------------------------------------------------------


class PeerLifter(_SampleLifter):
    """A lifter made of a function ``(keypoints, n) -> samples``.

    Args:
        function: takes `Keypoints2D` with one batch dimension (``h36m17`` joints) and the number of samples; returns
            ``(n, poses, 17, 3)`` floating-point numbers, an array or a tensor: metres, camera axes (x right, y down, z
            away from the camera), relative to the pelvis. Poses elsewhere are moved, see `EmpiricalPoseDistribution`.
        samples: how many samples to ask for.
        peer: what messages call it.
        sources: files whose content says whether it is still the same function.
    """

    name = "peer"

    def __init__(
        self, function: Callable[[Keypoints2D, int], Any], samples: int, peer: str, sources: tuple[Path, ...] = ()
    ) -> None:
        super().__init__()
        self.function, self.samples, self.peer, self.sources = function, samples, peer, sources
        first_line = (inspect.getdoc(function) or "").split("\n")[0] if inspect.isroutine(function) else ""
        self.card = {"name": peer, "description": first_line}

    def distribution(self, keypoints: Keypoints2D) -> EmpiricalPoseDistribution:
        """Asks the function for all samples at once.

        Raises:
            InputError: the function fails, or returns something else than it should; names the peer, the fault and the
                remedy.
        """
        flat = keypoints.flatten()
        try:
            answer = self.function(_copied(flat), self.samples)
        except Exception as error:
            raise InputError(
                f"peer {self.peer}: the function failed with {_named(error)}; it is called with (keypoints, n)"
            ) from error
        samples = _floating(answer, f"peer {self.peer}: returned")
        self._check_shape(tuple(samples.shape), len(flat))
        _refuse_not_finite(samples, flat.ids, self.skeleton, f"peer {self.peer}: returned")
        return self._given(samples, keypoints)

    def _check_shape(self, found: tuple[int, ...], poses: int) -> None:
        joints = len(self.skeleton)
        expected = (self.samples, poses, joints, 3)
        if found == expected:
            return
        hint = ""
        if found == (poses, self.samples, joints, 3):
            hint = "; samples come first: return samples.swapaxes(0, 1)"
        elif found == expected[1:]:
            hint = "; repeat a single answer for every sample: return np.repeat(pose[None], n, axis=0)"
        elif found[:2] == expected[:2] and len(found) == 4:
            hint = "; return the 17 joints of h36m17"
        raise InputError(
            f"peer {self.peer}: returned an array of shape {found}; expected {expected}: (n, poses, joints, 3){hint}"
        )


def _copied(keypoints: Keypoints2D) -> Keypoints2D:
    """Keypoints that a function may write into without changing what it is measured on."""
    return keypoints._replace(
        xy=keypoints.xy.clone(), covariance=keypoints.covariance.clone(), visible=keypoints.visible.clone()
    )


def load_peer(peer: str, samples: int = 200) -> PeerLifter:
    """The lifter behind ``"module:function"``. The module is imported, so only name code that you trust.

    Args:
        peer: a module of the current directory or an installed one, a colon, and the name of a function in it, see
            `PeerLifter`.
        samples: how many samples to ask it for.

    Raises:
        InputError: no such module or function, or the import fails; names the line.
    """
    module_name, colon, function_name = peer.partition(":")
    if not (module_name and colon and function_name):
        raise InputError(f"peer {peer!r}: expected MODULE:FUNCTION, for example my_method:lift")
    if module_name.endswith(".py") or "/" in module_name:
        name = Path(module_name).stem
        raise InputError(
            f"peer {peer!r}: expected the name of a module, not a file: {name}:{function_name}, from its folder"
        )
    if samples < 1:
        raise InputError(f"samples: expected at least 1, got {samples}")
    module = _import(module_name, peer)
    function = getattr(module, function_name, None)
    if not callable(function):
        known = [name for name, value in vars(module).items() if inspect.isfunction(value) and name[0] != "_"]
        raise InputError(
            f"peer {peer}: module {module_name!r} has no function {function_name!r}; "
            f"it has: {', '.join(known) or 'none'}"
        )
    # A package may only pass on a function that lives in another of its files.
    code = getattr(inspect.unwrap(function), "__code__", None)
    files = {
        file for file in (getattr(module, "__file__", None), code and code.co_filename) if file and Path(file).is_file()
    }
    if not files:
        raise InputError(f"peer {peer}: {function_name!r} is in no file; put a function of your own into a module")
    return PeerLifter(function, samples, peer, tuple(Path(file) for file in sorted(files)))


def _import(name: str, peer: str) -> ModuleType:
    folder = str(Path.cwd())
    try:
        with _importable_from(folder):
            return importlib.import_module(name)
    # A script without `if __name__ == "__main__"` may well leave by sys.exit.
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise InputError(
                f"peer {peer}: no module {error.name!r} in {folder} or among the installed ones; run in the folder of "
                f"{error.name.split('.')[0]}.py"
            ) from None
        raise InputError(f"peer {peer}: importing {name} failed with {_named(error)}") from error


@contextlib.contextmanager
def _importable_from(folder: str) -> Iterator[None]:
    """Modules of that folder can be imported; installed scripts do not look in the current directory themselves."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


def _named(error: BaseException) -> str:
    """The error and the last line of the user's own code that led to it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})" if own else ""
    return f"{type(error).__name__}: {error}{where}"


def _floating(values: Any, what: str) -> Tensor:
    """A float32 tensor of an array or tensor of floating-point numbers."""
    if isinstance(values, Tensor):
        kind, floating = str(values.dtype).removeprefix("torch."), values.is_floating_point()
    else:
        try:
            values = np.asarray(values)
        except (ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"{what} no array of numbers ({error})") from None
        kind, floating = str(values.dtype), values.dtype.kind == "f"
    if not floating:
        raise InputError(f"{what} numbers of type {kind}; expected floating-point numbers in metres")
    if isinstance(values, Tensor):
        return values.detach().to(torch.float32)
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _refuse_not_finite(
    samples: Float[Tensor, "samples poses joints 3"], ids: Sequence[PoseId], skeleton: Skeleton, what: str
) -> None:
    bad = ~samples.isfinite().all(-1)
    if not bool(bad.any()):
        return
    pose, sample, joint = bad.transpose(0, 1).nonzero()[0].tolist()
    raise InputError(
        f"{what} {samples[sample, pose, joint].tolist()} for pose {pose} ({ids[pose].file!r}, frame {ids[pose].frame}),"
        f" sample {sample}, joint {skeleton.joints[joint]!r}; expected finite numbers, for missing joints too"
    )


# -- files ---------------------------------------------------------------------------------------------


class ResultsLifter(_SampleLifter):
    """Looks up the samples of each pose by where the pose came from.

    Args:
        samples: ``(poses, samples, 17, 3)`` metres, camera axes; moved to the root as `EmpiricalPoseDistribution` says.
        ids: of the poses, each once.
        source: the file that they are from.
    """

    name = "results"

    def __init__(self, samples: Float[Tensor, "poses samples joints 3"], ids: Sequence[PoseId], source: Path) -> None:
        super().__init__()
        self.samples, self.sources = samples, (source,)
        self.rows = {identity: row for row, identity in enumerate(ids)}
        self.card = {"name": source.stem, "description": f"samples read from {source.name}"}

    def distribution(self, keypoints: Keypoints2D) -> EmpiricalPoseDistribution:
        """The samples of these keypoints' poses.

        Raises:
            InputError: there are none for a pose.
        """
        absent = [identity for identity in keypoints.ids if identity not in self.rows]
        if absent:
            raise InputError(f"{self.sources[0]}: no row for {_called(absent[0])}")
        picked = self.samples[[self.rows[identity] for identity in keypoints.ids]]
        return self._given(picked.transpose(0, 1), keypoints)


@dataclass(frozen=True)
class SavedResults:
    """Results files of one method, one per protocol.

    Attributes:
        name: of the method.
        files: protocol -> file.
    """

    name: str
    files: dict[str, Path]

    def for_protocol(self, protocol: str, keypoints: Keypoints2D) -> ResultsLifter:
        """The lifter that answers with the samples saved for a protocol.

        Args:
            protocol: name.
            keypoints: all poses of the protocol, in its order. Rows are matched with them by ``clip`` and ``frame``
                (and ``person``) where the file has these arrays, else one by one.

        Raises:
            InputError: no file for the protocol, a broken file, a wrong shape, rows that do not match.
        """
        if protocol not in self.files:
            raise InputError(
                f"results {self.name}: no file for the protocol {protocol!r}; there are: {', '.join(self.files)}"
            )
        path = self.files[protocol]
        fields = _read_results(path)
        skeleton = get_skeleton("h36m17")
        names = tuple(str(name) for name in fields.get("joint_names", skeleton.joints))
        if names != skeleton.joints:
            raise InputError(f"{path}: joint_names: expected the joints of h36m17: {', '.join(skeleton.joints)}")
        samples = _floating(fields["samples"], f"{path}: samples: found")
        _check_rows(tuple(samples.shape), len(keypoints), path)
        ids = keypoints.flatten().ids
        _refuse_repeated(ids, f"{path}: cannot be matched with the observations: these hold")
        keys = _keys(fields, len(samples), path)
        if keys is not None:
            samples = samples[_match(keys, ids, path)]
        elif len(samples) != len(ids):
            raise InputError(
                f"{path}: samples has {len(samples)} rows, the protocol {protocol!r} has {len(ids)} poses; give one "
                "row per pose in the protocol's order, or the arrays 'clip' and 'frame' that say which is which"
            )
        _refuse_not_finite(samples.transpose(0, 1), ids, skeleton, f"{path}: samples: found")
        return ResultsLifter(samples, ids, path)


def load_results(name: str, path: str | Path) -> SavedResults:
    """Samples that a method saved elsewhere.

    Args:
        name: of the method.
        path: a file ``PROTOCOL.npz``, or a folder of such. Each holds ``samples (poses, n, 17, 3)``: metres, camera
            axes, h36m17 joints; and, to say which row is which pose, ``clip (poses,)`` and ``frame (poses,)``. Result
            files that poseterior wrote (``.npz``, ``.parquet``; they call the clip ``file``) are of this kind, and
            folders of parts called after the protocol.

    Raises:
        InputError: no such file, or a folder without any.
    """
    path = Path(path)
    if path.is_file():
        if path.suffix.lower() not in _SUFFIXES:
            raise InputError(f"{path}: unknown extension {path.suffix!r}; results files are: {', '.join(_SUFFIXES)}")
        return SavedResults(name, {path.stem: path})
    if are_parts(path):
        return SavedResults(name, {path.name: path})
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder; give PROTOCOL.npz, or a folder of such files")
    files: dict[str, Path] = {}
    for suffix in _SUFFIXES:
        for file in sorted(path.glob(f"*{suffix}")):
            files.setdefault(file.stem, file)
    if not files:
        raise InputError(f"{path}: holds no results; name each file after its protocol, for example cmu-test.npz")
    return SavedResults(name, files)


def _read_results(path: Path) -> dict[str, Any]:
    """``samples`` and what says which row is which."""
    wanted = ("samples", *_CLIP, "frame", "person", "joint_names")
    if path.suffix.lower() == ".parquet" or are_parts(path):
        result = load_result(path)
        return {name: getattr(result, name) for name in wanted if name not in ("clip", "file_name")}
    try:
        fields: dict[str, Any] = dict(read_arrays(path, dict.fromkeys(wanted, "biufcU")))
    except InputError as error:
        if "Python objects" in str(error):
            raise InputError(
                f"{path}: not an npz file, or one with pickled Python objects, which are never loaded; save names as "
                "np.array(names, dtype=str)"
            ) from None
        raise InputError(f"{path}: not an npz file, or damaged ({error})") from None
    if "samples" not in fields:
        raise InputError(f"{path}: the array 'samples' is missing; expected (poses, n, 17, 3) metres")
    return fields


def _check_rows(found: tuple[int, ...], poses: int, path: Path) -> None:
    if len(found) == 4 and found[1] > 0 and found[2:] == (17, 3):
        if found[0] != poses and found[1] == poses:
            raise InputError(
                f"{path}: samples has shape {found}; expected (poses, n, 17, 3) with {poses} poses; poses come first: "
                "save samples.swapaxes(0, 1)"
            )
        return
    hint = "; of a single answer per pose save pose[:, None]" if found[1:] == (17, 3) else ""
    raise InputError(f"{path}: samples has shape {found}; expected (poses, n, 17, 3), h36m17 joints{hint}")


def _keys(fields: dict[str, Any], rows: int, path: Path) -> list[tuple[Any, ...]] | None:
    """``(clip, frame)`` of each row, with the person where the file says it; None where it says nothing."""
    clip = next((name for name in _CLIP if name in fields), None)
    if clip is None and "frame" not in fields:
        return None
    if clip is None or "frame" not in fields:
        raise InputError(
            f"{path}: the array {'clip' if clip is None else 'frame'!r} is missing; give both 'clip' and 'frame', or "
            "neither"
        )
    columns = [
        _column(fields[clip], clip, "U", "strings", rows, path),
        _column(fields["frame"], "frame", "iu", "whole numbers", rows, path),
    ]
    if "person" in fields:
        columns.append(_column(fields["person"], "person", "iu", "whole numbers", rows, path))
    return list(zip(*columns, strict=True))


def _column(values: np.ndarray, name: str, kinds: str, expected: str, rows: int, path: Path) -> list[Any]:
    if values.shape != (rows,) or values.dtype.kind not in kinds:
        raise InputError(
            f"{path}: {name} is {values.dtype} of shape {values.shape}; expected {rows} {expected}, one per pose"
        )
    return values.tolist()


def _match(keys: list[tuple[Any, ...]], ids: Sequence[PoseId], path: Path) -> list[int]:
    """The row of each of the poses."""
    _refuse_repeated(keys, f"{path}: holds")
    row_of = {key: row for row, key in enumerate(keys)}
    parts = len(keys[0]) if keys else 2
    absent = [identity for identity in ids if tuple(identity)[:parts] not in row_of]
    if absent:
        raise InputError(
            f"{path}: no row for {_called(absent[0])}; {len(absent)} of the protocol's {len(ids)} poses have none"
        )
    return [row_of[tuple(identity)[:parts]] for identity in ids]


def _refuse_repeated(keys: Sequence[tuple[Any, ...]], what: str) -> None:
    seen: set[tuple[Any, ...]] = set()
    for key in keys:
        if key in seen:
            raise InputError(f"{what} {_called(key)} twice")
        seen.add(key)


def _called(key: tuple[Any, ...]) -> str:
    person = f", person {key[2]}" if len(key) > 2 and key[2] else ""
    return f"{key[0]!r}, frame {key[1]}{person}"


# -- what a cached measurement belongs to ----------------------------------------------------------------


def content_hash(lifter: str | Path | PeerLifter | SavedResults | ResultsLifter) -> str:
    """SHA-256 of what a lifter's answers come from: the same hash, the same answers.

    Of a shipped lifter's name or a folder: its configuration, weights and calibration. Of a peer: its function's name
    and its source file, not what that imports or loads. Of saved results: all files, or the one of a protocol.

    Raises:
        InputError: no such lifter.
    """
    digest = hashlib.sha256()
    label = ""
    files: tuple[Path, ...]
    if isinstance(lifter, PeerLifter):
        label, files = lifter.peer.partition(":")[2], lifter.sources
    elif isinstance(lifter, ResultsLifter):
        files = lifter.sources
    elif isinstance(lifter, SavedResults):
        files = tuple(lifter.files.values())
    else:
        folder = folder_of(lifter)
        files = tuple(folder / name for name in _DECISIVE if (folder / name).is_file())
    digest.update(label.encode())
    for file in (part for path in files for part in (part_files(path) if path.is_dir() else [path])):
        content = file.read_bytes()
        digest.update(f"\n{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
