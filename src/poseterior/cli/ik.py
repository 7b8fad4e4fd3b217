"""`poseterior ik`; and what the commands that write motions share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from ..export import LiftResult
    from ..motions import RotationResult
    from ..skeletons import Skeleton

MOTION_SUFFIXES = (".bvh", ".glb", ".npz")
How = Literal["mean", "best", "mode", "path", "samples", "clusters"]

_METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: A person with arms and legs stretched fits into a box of this diagonal (metres).
_LARGEST = 4.5


@dataclass
class Ik:
    """Inverse kinematics: 3D keypoints, any subset of them, to joint rotations with their uncertainty.

    FILE holds an array (frames, joints, 3) of one person: .npy; .npz with `points`, and where it knows them
    `joint_names` and `sigma`; .json, plain or {"joints": [names], "points": [frames]}. NaN (JSON: null) is a hidden
    joint. Or FILE is a result of `poseterior lift`, whose mean is taken, as uncertain as its covariance says.

    Example: poseterior ik walk.npy --skeleton h36m17 --unit mm --out walk.bvh
    """

    file: tyro.conf.Positional[Path]
    """3D keypoints: .npy, .npz or .json; or a result file."""
    skeleton: str | None = None
    """Joint order of arrays that do not name their joints, e.g. h36m17 or smpl22."""
    axes: Literal["y-up", "z-up", "camera"] = "y-up"
    """Axes of the keypoints; camera is x right, y down, z forward. Results are in camera axes."""
    unit: Literal["m", "cm", "mm"] = "m"
    """Length unit of the keypoints."""
    sigma: float | None = None
    """Standard deviation of the keypoints in mm (default: exact; results: by their covariance)."""
    hide: str | None = None
    """Joints not to use, separated by commas."""
    samples: int = 200
    """Hypotheses a frame."""
    how: How | None = None
    """What is written: mean, best, mode, path (the smoothest way through the samples; for clips the default),
    samples or clusters."""
    count: int = 1
    """Hypotheses written, a file each."""
    fps: float = 30.0
    """Frames a second of the motion."""
    seed: int = 0
    """Seed of the samples."""
    lifter: str = "rotations"
    """A lifter with rotations: shipped, or a folder with trained weights."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Motion file: .bvh, .glb, or .npz (as AMASS, with means and samples)."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    picture: Path | None = None
    """Write a contact sheet: .png."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        from rich.console import Console

        from ..errors import InputError
        from ..export import LiftResult
        from ..lifters import load
        from ..motions import solve_ik, solve_ik_of_result
        from ._common import check_device, check_extension

        check_extension(self.out, "--out", MOTION_SUFFIXES)
        check_extension(self.view, "--view", (".html",))
        check_extension(self.picture, "--picture", (".png",))
        check_motion(self.fps, self.how, self.count, self.samples)
        if self.sigma is not None and not 0 <= self.sigma <= 1e4:
            raise InputError(f"--sigma: expected 0 to 10000 mm, got {self.sigma:g}")
        sigma = None if self.sigma is None else self.sigma / 1000
        device = check_device(self.device)
        evidence = read_points(self.file, self.skeleton, self.axes, self.unit)
        hidden = [name.strip() for name in (self.hide or "").split(",") if name.strip()]
        seen = visible_joints(evidence, hidden)
        lifter = load(self.lifter)
        options: dict[str, Any] = {
            "samples": self.samples, "seed": self.seed, "device": device, "mode": self.how == "mode",
        }  # fmt: skip
        if isinstance(evidence, LiftResult):
            rotations = solve_ik_of_result(lifter, evidence, sigma=sigma, hide=hidden, **options)
            points, skeleton = evidence.mean, evidence.tree
        else:
            points, skeleton = evidence.points, evidence.skeleton
            axes: Any = "camera" if self.axes == "camera" else "y up"
            spread = evidence.sigma if sigma is None else sigma
            rotations = solve_ik(lifter, points, seen, spread, skeleton, axes=axes, file=self.file.name, **options)

        console = Console()
        console.print(_table(rotations, points, seen, skeleton))
        for line in _lines(rotations):
            console.print(line, highlight=False, soft_wrap=True)
        if self.out is not None:
            write_motion(rotations, self.out, self.how, self.count, self.fps, console)
        if self.view is not None:
            from ..view import write_html

            write_html(_page(rotations, evidence, points, seen, skeleton), self.view, fps=self.fps)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.picture is not None:
            write_picture(rotations, self.picture, self.how, console)
        if self.out is None and self.view is None and self.picture is None:
            console.print("nothing written: add --out clip.bvh or --view scene.html", highlight=False, soft_wrap=True)


# -- reading -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Points3D:
    """3D keypoints of a file: ``points`` (frames, joints, 3) and ``sigma`` (any shape that fits) in metres."""

    points: Any
    skeleton: Skeleton
    sigma: Any


def read_points(path: Path, skeleton: str | None, axes: str, unit: str) -> Points3D | LiftResult:
    """3D keypoints from an array file, with y up unless they are in camera axes; or a result.

    Raises:
        InputError: no such file, none of these formats, another shape, joints that are not known, lengths that no
            person has; names the file, the field and the remedy.
    """
    import numpy as np

    from ..errors import InputError

    if path.suffix.lower() not in (".npy", ".npz", ".json", ".parquet"):
        raise InputError(f"{path}: unknown extension {path.suffix!r}; use .npy, .npz or .json, or a result file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    fields = _fields(path)
    if fields is None:
        from ..export import load_result

        if skeleton is not None or axes != "y-up" or unit != "m":
            raise InputError(f"{path}: is a result; leave out --skeleton, --axes and --unit, which it knows")
        return load_result(path)
    points = fields["points"]
    points = points[None] if points.ndim == 2 else points
    if points.ndim != 3 or points.shape[2] != 3 or not points.size:
        raise InputError(f"{path}: points have shape {points.shape}; expected (frames, joints, 3)")
    try:
        order, points, sigma = _order(points, fields.get("joint_names"), fields.get("sigma", 0.0), skeleton)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    points = points * _METRES[unit]
    if axes == "z-up":
        points = points[..., [0, 2, 1]] * [1.0, 1.0, -1.0]
    with np.errstate(invalid="ignore"):
        box = np.nanmax(points, 1, initial=-np.inf) - np.nanmin(points, 1, initial=np.inf)
    size = np.linalg.norm(box[np.isfinite(box).all(-1)], axis=-1)
    if len(size) and np.median(size) > _LARGEST:
        raise InputError(
            f"{path}: the person takes {np.median(size):.4g} m; the length unit is wrong: pass --unit, one of m, cm, mm"
        )
    return Points3D(points, order, sigma * _METRES[unit])


def _fields(path: Path) -> dict[str, Any] | None:
    """``points`` and, where the file has them, ``joint_names`` and ``sigma``; None for a result of ours."""
    from ..errors import InputError

    read = {".npy": _from_npy, ".npz": _from_npz, ".json": _from_json}.get(path.suffix.lower())
    try:
        return None if read is None else read(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def _from_npy(path: Path) -> dict[str, Any]:
    import numpy as np

    from ..errors import InputError
    from ..keypoint_files.arrays import check_header

    with path.open("rb") as stream:
        check_header(stream, path.stat().st_size, "fiu", "array")
    try:
        return {"points": np.load(path, allow_pickle=False).astype(np.float64)}
    except (ValueError, EOFError) as error:
        raise InputError(f"array: cannot be read ({error})") from None


def _from_npz(path: Path) -> dict[str, Any] | None:
    from ..errors import InputError
    from ..keypoint_files.arrays import load_entry, open_npz

    with open_npz(path) as archive:
        entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "schema" in entries:
            return None
        name = "points" if "points" in entries else next(iter(entries), "") if len(entries) == 1 else None
        if name is None or not entries:
            raise InputError(f"npz: no array named 'points'; it holds {', '.join(map(repr, entries)) or 'nothing'}")
        fields: dict[str, Any] = {"points": load_entry(archive, entries[name], "fiu").astype("float64")}
        if "sigma" in entries:
            fields["sigma"] = load_entry(archive, entries["sigma"], "fiu").astype("float64")
        if "joint_names" in entries:
            fields["joint_names"] = load_entry(archive, entries["joint_names"], "U").reshape(-1).tolist()
    return fields


def _from_json(path: Path) -> dict[str, Any] | None:
    import json

    import numpy as np

    from ..errors import InputError

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not readable as JSON ({error})") from None
    if isinstance(content, dict) and "schema" in content:
        return None
    found = content if isinstance(content, dict) else {"points": content}
    if "points" not in found:
        raise InputError('expected nested lists (frames, joints, 3), or {"joints": [names], "points": [frames]}')
    fields: dict[str, Any] = {}
    for name in ("points", "sigma"):
        if name in found:
            try:
                fields[name] = np.array(_filled(found[name]), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise InputError(f"{name}: expected numbers in lists of equal length ({error})") from None
    names = found.get("joints")
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError("joints: expected a list of names")
        fields["joint_names"] = names
    return fields


def _filled(value: Any) -> Any:
    """A joint that is null as a whole becomes three missing numbers."""
    if isinstance(value, list) and any(isinstance(part, list) for part in value):
        return [[None] * 3 if part is None else _filled(part) for part in value]
    return value


def _order(points: Any, names: list[str] | None, sigma: Any, skeleton: str | None) -> tuple[Skeleton, Any, Any]:
    """The skeleton of an array, and the array in its order; joints that the file does not have are NaN."""
    import numpy as np

    from ..body import SMPL25
    from ..errors import InputError
    from ..skeletons import SKELETONS, canonical_joint_name, get_skeleton

    joints = points.shape[1]
    sigma = np.asarray(sigma, np.float64)
    if sigma.ndim and sigma.shape not in ((joints,), points.shape[:2]):
        raise InputError(f"sigma has shape {sigma.shape}; expected one number, ({joints},) or {points.shape[:2]}")
    known = (*(s for s in SKELETONS.values()), SMPL25)
    if names is None:
        asked = [SMPL25 if skeleton == SMPL25.name else get_skeleton(skeleton)] if skeleton is not None else known
        fitting = [s for s in asked if len(s) == joints]
        if len(fitting) == 1:
            return fitting[0], points, sigma
        if fitting:
            raise InputError(f"{joints} joints may be {' or '.join(s.name for s in fitting)}: pass --skeleton")
        sizes = ", ".join(f"{s.name} ({len(s)})" for s in asked)
        raise InputError(f"{joints} joints; expected as many as a skeleton has: {sizes}, or a file that names them")
    if skeleton is not None:
        raise InputError("the file names its joints; leave out --skeleton")
    if len(names) != joints:
        raise InputError(f"joints: {len(names)} names for {joints} joints")
    ours = [canonical_joint_name(name) for name in names]
    if len(set(ours)) < len(ours):
        raise InputError(f"joints: {next(n for n in ours if ours.count(n) > 1)!r} is there twice")
    target = next((s for s in known if set(ours) <= set(s.joints)), None)
    if target is None:
        usual = (known[0], SKELETONS["smpl22"])
        unknown = next((n for n in ours if all(n not in s.joints for s in usual)), ours[0])
        listed = "; ".join(f"{s.name}: {', '.join(s.joints)}" for s in usual)
        raise InputError(f"joints: no skeleton has all of them, {unknown!r} for example; known: {listed}")
    where = [target.index(name) for name in ours]
    placed = np.full((len(points), len(target), 3), np.nan)
    placed[:, where] = points
    if not sigma.ndim:
        return target, placed, sigma
    spread = np.zeros((*sigma.shape[:-1], len(target)))
    spread[..., where] = sigma
    return target, placed, spread


def visible_joints(evidence: Points3D | LiftResult, hidden: Sequence[str]) -> Any:
    """``(frames, joints)`` bool: finite, and not hidden on demand.

    Raises:
        InputError: a hidden joint that is none of the skeleton's.
    """
    import numpy as np

    from ..errors import InputError

    points, skeleton = (
        (evidence.points, evidence.skeleton) if isinstance(evidence, Points3D) else (evidence.mean, evidence.tree)
    )
    seen = np.isfinite(points).all(-1)
    for joint in hidden:
        if joint not in skeleton.joints:
            raise InputError(f"--hide: no joint {joint!r}; {skeleton.name} has: {', '.join(skeleton.joints)}")
        seen[:, skeleton.index(joint)] = False
    return seen


# -- what motions share ------------------------------------------------------------------------------------


def check_motion(fps: float, how: str | None, count: int, samples: int) -> None:
    """Refuse options that no motion could be written with, before any work is done."""
    import math

    from ..errors import InputError

    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"--fps: expected a positive number, got {fps:g}")
    if not 1 <= count <= max(samples, 1):
        raise InputError(f"--count: expected 1 to {samples} (--samples), got {count}")
    if how in ("mean", "best", "mode") and count > 1:
        raise InputError(f"--count: there is one {how}; use --how samples, clusters or path")


def write_motion(
    rotations: RotationResult, path: Path, how: str | None, count: int, fps: float, console: Console
) -> None:
    """Write motion files, and say which."""
    from ..motions import save_motion

    written = save_motion(rotations, path, how, count, fps)
    names = ", ".join(map(str, written[:4])) + (f" ... {written[-1]}" if len(written) > 4 else "")
    console.print(f"wrote {names}", highlight=False, soft_wrap=True)
    if path.suffix.lower() == ".bvh":
        console.print("in Blender: File > Import > Motion Capture, scale 0.01, forward -Z, up Y", highlight=False)


def write_picture(rotations: RotationResult, path: Path, how: str | None, console: Console, frames: int = 12) -> None:
    """Write a contact sheet of the first hypothesis that a motion would show."""
    from ..body import SMPL25
    from ..motions import choose
    from ..view.sheets import contact_sheet

    clips = rotations.clips()
    chosen = choose(rotations, how or ("path" if len(clips) < len(rotations) else "mean"))
    points = rotations.points(chosen)[:, 0].numpy()
    labels = [str(number) for number in rotations.frame]
    contact_sheet(points, SMPL25, path, frames, rotations.axes, labels, f"{rotations.lifter}: left blue, right red")
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _table(rotations: RotationResult, points: Any, seen: Any, skeleton: Skeleton) -> Any:
    """By joint: how well the mean pose fits, how sure the rotation is, and what the keypoints tell of it."""
    import numpy as np
    from rich.table import Table

    from ..body import SMPL25
    from ..metrics.rotations import observability
    from ..motions import fitted_error

    errors = fitted_error(rotations, points, seen, skeleton)
    levels = observability(list(errors))
    spread = np.degrees(np.sqrt(np.square(rotations.spread.astype(np.float64)).mean(0)))
    others = len(set(rotations.file.tolist())) - 1
    name = f"{rotations.file[0]} and {others} more" if others else str(rotations.file[0])
    title = f"{name}: {len(rotations)} frames, {rotations.rotations.shape[1]} samples"
    table = Table("joint", title=title, title_justify="left", caption_justify="left")
    table.add_column("keypoint off by (mm)", justify="right")
    table.add_column("rotation ± (degrees)", justify="right")
    table.add_column("keypoints tell of it")
    words = {"full": "all", "swing": "swing, not twist", "none": "nothing"}
    for number, joint in enumerate(SMPL25.joints):
        error = f"{1000 * errors[joint]:.1f}" if joint in errors else "-"
        if number >= len(levels):
            if joint in errors:
                table.add_row(joint, error, "", "")
        elif joint in rotations.modelled:
            table.add_row(joint, error, f"{spread[number]:.1f}", words[levels[number]])
        else:
            table.add_row(joint, error, "fixed", "")
    table.caption = "keypoint: of the mean pose, mean over the frames; ±: root mean square angle of the samples"
    return table


def _lines(rotations: RotationResult) -> list[str]:
    import numpy as np

    density = rotations.log_prob.mean(1)
    low, middle, high = np.quantile(density, [0.0, 0.5, 1.0])
    lines = [f"log-density of a frame's samples: {middle:.1f} nats above uniform ({low:.1f} to {high:.1f})"]
    return lines + [f"{name}: {text}" for name, text in rotations.settings.items()]


def _page(
    rotations: RotationResult, evidence: Points3D | LiftResult, points: Any, seen: Any, skeleton: Skeleton
) -> LiftResult:
    """What the 3D page shows: hypotheses, and the keypoints that they rest on."""
    import dataclasses

    import numpy as np
    import torch

    from ..body import points_from
    from ..motions import as_lift_result

    if not isinstance(evidence, Points3D):
        shown = as_lift_result(rotations)
        if evidence.joint_names != shown.joint_names:
            return shown
        picture = {
            name: getattr(evidence, name) for name in ("keypoints", "keypoint_covariance", "visible", "image_size")
        }
        return dataclasses.replace(shown, **picture)
    placed = torch.from_numpy(np.where(seen[..., None], points, np.nan)).float()
    return as_lift_result(rotations, points_from(placed, skeleton)[0])
