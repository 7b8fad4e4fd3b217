"""What several commands share. Heavy imports stay inside the functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ..results.poses import LiftResult

__all__ = [
    "OnOff", "camera_file", "check_device", "check_extension", "check_level", "check_mesh", "check_samples",
    "lifter_folder", "of_option", "options_named", "quiet_lightning", "summary_table", "weights_of",
]  # fmt: skip

#: Samples from which on the ends of an interval are told by them: those of fewer lie too far inside.
_FEWEST_OF_AN_INTERVAL = 100

OnOff = Literal["on", "off"]
#: Extra and module by which files of an extension are written.
_NEEDS = {
    ".parquet": ("parquet", "pyarrow"), ".glb": ("gltf", "pygltflib"),
    ".usda": ("usd", "pxr"), ".usdc": ("usd", "pxr"), ".usdz": ("usd", "pxr"), ".c3d": ("c3d", "ezc3d"),
}  # fmt: skip


def check_extension(path: Path | None, option: str, allowed: tuple[str, ...]) -> None:
    """Refuse a file that could not be written, before any work is done."""
    from ..files.errors import InputError
    from ..files.extras import need
    from ..files.writing import check_writable

    if path is None:
        return
    if path.suffix.lower() not in allowed:
        raise InputError(f"{option} {path}: unknown extension {path.suffix!r}; use one of: {', '.join(allowed)}")
    if path.suffix.lower() in _NEEDS:
        need(*_NEEDS[path.suffix.lower()], f"{option} {path}:")
    check_writable(path)


def lifter_folder(lifter: str) -> Path | None:
    """The folder that a lifter is read from, None for a shipped one: an input, which no output may replace."""
    folder = Path(lifter)
    return folder if (folder / "config.json").is_file() else None


def weights_of(lifter: str, checkpoint: str | None = None) -> str:
    """A shipped lifter's name or a folder of weights: of a run's folder those of a step, see `run_weights`."""
    from ..training.steps import run_weights

    return run_weights(lifter, checkpoint)


def check_device(device: str) -> str:
    """The torch device of that name, or a clear error."""
    import torch

    from ..files.errors import InputError

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "meta":
        raise InputError("--device meta: holds no numbers; use --device cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"--device {device}: not usable here ({reason}); use --device cpu") from None
    return device


def check_mesh(path: Path | None) -> None:
    """Refuse a body model that is not there, before the result that it is for is opened."""
    from ..files.checks import absent
    from ..files.errors import InputError

    if path is None:
        return
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the file of a model (SMPL, SMPL-H or SMPL-X: .npz or .pkl)")
    if not path.exists():
        raise InputError(f"{path}: {absent(path)}")


@contextmanager
def of_option(option: str) -> Iterator[None]:
    """Within, an error begins with this option, in place of the argument's name where it begins with that."""
    from ..files.errors import InputError

    try:
        yield
    except InputError as error:
        said = str(error).removeprefix(f"{option.removeprefix('--').replace('-', '_')}: ")
        raise InputError(f"{option}: {said}") from None


@contextmanager
def options_named(*names: str) -> Iterator[None]:
    """Within, an error that begins with the name of an argument begins with that of the option."""
    from ..files.errors import InputError

    try:
        yield
    except InputError as error:
        said = str(error)
        if said.partition(":")[0] not in names:
            raise
        raise InputError(f"--{said.partition(':')[0].replace('_', '-')}:{said.partition(':')[2]}") from None


def camera_file(path: Path) -> list[float]:
    """Intrinsics from a JSON file, see `poseterior.keypoints.intrinsics.read_intrinsics`."""
    from ..keypoints.intrinsics import read_intrinsics

    return read_intrinsics(path, "--camera")


def check_samples(samples: int, seed: int, fewest: int = 0, why: str = "") -> None:
    """Refuse so many samples as cannot be drawn, before any work is done; ``why`` says what to do instead."""
    from ..files.errors import InputError

    if samples < fewest:
        raise InputError(f"--samples: expected at least {fewest}, got {samples}{why}")
    if not 0 <= seed < 2**62:
        raise InputError(f"--seed: expected 0 to below 2^62, got {seed}")


def check_level(level: float) -> None:
    """Refuse a probability that is none, before any work is done."""
    from ..files.errors import InputError

    if not 0 < level < 1:
        raise InputError(f"--level: expected a probability above 0 and below 1, e.g. 0.9, got {level:g}")


def _measure_words(measured: list[float], level: float, samples: int) -> str:
    """A length and its interval, unless that is told by so few samples that it would look surer than it is."""
    mean, low, high = measured
    if samples < _FEWEST_OF_AN_INTERVAL:
        return f"{mean:.2f} m (its {100 * level:g} % interval takes {_FEWEST_OF_AN_INTERVAL} samples or more)"
    return f"{mean:.2f} m ({100 * level:g} %: {low:.2f} to {high:.2f} m)"


def summary_table(result: LiftResult, poses: int = 3, total: int | None = None) -> Any:
    """A rich group: for the first poses, mean position and radius of each joint's region; hidden joints are marked.

    ``total`` is how many poses there are, where the result is the first few of them.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from ..files.checks import counted

    total = len(result) if total is None else total
    radius = 1000 * result.region_radius[:poses]
    tall = result[:poses].heights(result.level) if result.skeleton == "h36m17" else None
    heading = result.region_label("radius, mm").replace(" (", "\n(")
    parts: list[Any] = [
        Text(
            f"{counted(total, 'pose')} x {counted(result.samples.shape[1], 'sample')}, "
            f"lifter {result.lifter}, {len(result.joint_names)} joints ({result.skeleton}); "
            f"{result.units} from the {result.origin}, axes {result.axes}",
        )
    ]
    for i in range(min(poses, len(result.mean))):
        unseen = [j for j, seen in zip(result.joint_names, result.visible[i], strict=True) if not seen]
        title = f"{result.file[i]}, frame {result.frame[i]}, person {result.person[i]}: mean position"
        table = Table(caption_justify="left")
        table.caption = f"not seen: {', '.join(unseen) or 'none'}"
        if tall is not None:
            table.caption += f"\nheight {_measure_words(tall[i].tolist(), result.level, result.samples.shape[1])}"
        table.add_column("joint", no_wrap=True)
        table.add_column("seen")
        for axis in ("x", "y", "z"):
            table.add_column(f"{axis} (m)", justify="right")
        table.add_column(heading, justify="right", no_wrap=True)
        for j, joint in enumerate(result.joint_names):
            if joint == result.origin:
                continue
            seen = result.visible[i, j]
            table.add_row(
                joint,
                "yes" if seen else "no",
                *(f"{v:+.3f}" for v in result.mean[i, j]),
                f"{radius[i, j]:.0f}",
                style=None if seen else "yellow",
            )
        parts += [Text(title, style="bold", no_wrap=True, overflow="ellipsis"), table]
    if total > poses:
        parts.append(Text(f"... and {total - poses} more poses"))
    for name, text in result.notes.items():
        parts.append(Text(f"{name}: {text}"))
    return Group(*parts)


def quiet_lightning() -> None:
    """Silence Lightning's hints (tips, litlogger, worker counts): they are about its own settings, not the user's."""
    import logging
    import warnings

    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
