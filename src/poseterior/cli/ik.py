"""`poseterior ik`: 3D keypoints to rotations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from ..geometry.skeletons import Skeleton
    from ..metrics.untold import Untold
    from ..results.poses import LiftResult
    from ..results.rotations import RotationResult
from ._motion import How, check_motion, check_rig, frame_rate, write_motion, write_picture, write_sheet
from ._unused import check_shown

#: Frames of a clip by which what is not told is judged, at most.
_JUDGED = 300


@dataclass
class Ik:
    """Inverse kinematics: 3D keypoints, any subset of them, to joint rotations with their uncertainty.

    FILE holds 3D points of one person in time: an array (frames, joints, 3) as .npy; .npz with `points`, and where it
    knows them `joint_names` and `sigma`; .json, plain or {"joints": [names], "points": [frames]}; markers as .trc or
    .c3d; a table as .csv, .tsv or .parquet (`poseterior formats` shows an example of each). NaN (JSON: null) is a
    hidden joint. Or FILE is a result of `poseterior lift`, whose mean is taken, as uncertain as its covariance says.

    Example: poseterior ik walk.npy --skeleton h36m17 --unit mm --out walk.bvh
    """

    file: tyro.conf.Positional[Path]
    """3D keypoints: .npy, .npz, .json, .trc, .c3d, .csv, .tsv or .parquet; or a result file."""
    skeleton: str | None = None
    """Joint order of arrays that do not name their joints, e.g. h36m17 or smpl22."""
    axes: Literal["y-up", "z-up", "x-up", "camera"] | None = None
    """Axes of the keypoints (default: what the file says, else y-up); camera is x right, y down, z forward. Results are
    in camera axes. Where the person does not stand in them you are asked, unless you say them."""
    handedness: Literal["right", "left"] | None = None
    """Of the axes; left mirrors the points. Where the mirrored poses are far likelier you are asked, unless you say."""
    unit: Literal["m", "cm", "mm"] | None = None
    """Length unit of the keypoints (default: what the file says, else m)."""
    sigma: float | None = None
    """Standard deviation of the keypoints in mm (default: exact; results: by their covariance)."""
    hide: str | None = None
    """Joints not to use, separated by commas."""
    samples: int = 200
    """Hypotheses per frame."""
    how: How | None = None
    """What is written: mean, best, mode, path (the smoothest way through the samples; for clips the default),
    samples or clusters."""
    count: int = 1
    """Hypotheses written, one file each."""
    fps: float | None = None
    """Frames per second of the motion (default: what the file or the result tells, else 30, said aloud)."""
    max_gap: float = 0.5
    """Seconds without the person that the motion bridges by interpolation; longer ones split it."""
    rig: str | None = None
    """Whose names the joints of a .bvh get: mixamo, unreal, xsens ... (a name that is none lists them), or a .yaml file
    of joint names."""
    seed: int = 0
    """Seed of the samples."""
    lifter: str = "rotations"
    """A lifter with rotations: shipped, a folder with trained weights, or the folder of a run."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Motion file: .bvh, .glb, .usda, .usdz, .mot (OpenSim), or .npz (as AMASS, with means and samples)."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    level: float = 0.9
    """Probability of the balls in the page: the hypotheses' own, uncalibrated."""
    picture: Path | None = None
    """Write a contact sheet: .png."""
    mesh: Path | None = None
    """Body model of your own (SMPL, SMPL-H or SMPL-X; .npz or plain .pkl): the page and the contact sheet show its
    surface."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        from rich.console import Console

        from ..data.mocap.body_rig import read_body_model
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ..keypoints.points3d import read_points, visible_joints
        from ..lifters import load
        from ..lifting.ik import solve_ik, solve_ik_of_result
        from ..lifting.posture import check_handedness, check_standing
        from ..results.poses import load_result
        from ..results.rotations import MOTION_SUFFIXES
        from ._common import check_device, check_extension, check_level, check_mesh, lifter_folder, weights_of

        check_extension(self.out, "--out", MOTION_SUFFIXES)
        check_extension(self.view, "--view", (".html",))
        check_extension(self.picture, "--picture", (".png",))
        self.lifter = weights_of(self.lifter)
        inputs = [self.file, lifter_folder(self.lifter), self.mesh]
        check_outputs({"--out": self.out, "--view": self.view, "--picture": self.picture}, inputs)
        if self.mesh is not None and self.view is None and self.picture is None:
            raise InputError(f"--mesh {self.mesh}: is for pages and sheets; add --view x.html or --picture p.png")
        check_mesh(self.mesh)
        check_motion(self.fps, self.how, self.count, self.samples, self.max_gap)
        check_shown(self.how, self.count, self.out is not None, self.picture is not None)
        check_rig(self.rig, [] if self.out is None else [self.out])
        check_level(self.level)
        if self.sigma is not None and not 0 <= self.sigma <= 1e4:
            raise InputError(f"--sigma: expected 0 to 10000 mm, got {self.sigma:g}")
        sigma = None if self.sigma is None else self.sigma / 1000
        device = check_device(self.device)
        hidden = [name.strip() for name in (self.hide or "").split(",") if name.strip()]
        options: dict[str, Any] = {
            "samples": self.samples, "seed": self.seed, "device": device, "mode": self.how == "mode",
        }  # fmt: skip
        body = None if self.mesh is None else read_body_model(self.mesh)  # a wrong file is told before any work
        evidence = read_points(self.file, self.skeleton, self.axes, self.unit, self.handedness == "left")
        told = self.fps or (None if evidence is None else evidence.fps)
        result = None
        if evidence is not None:
            points, skeleton = evidence.points, evidence.skeleton
            seen = visible_joints(points, skeleton, hidden)
            axes: Any = "camera" if evidence.axes == "camera" else "y up"
            spread = evidence.sigma if sigma is None else sigma
            lifter = load(self.lifter)
            about = f"{self.file}: "
            check_standing(points, seen, skeleton, evidence.axes, self.axes is not None, about)
            if self.handedness is None:
                check_handedness(lifter.to(device), points, seen, skeleton, about)
            rotations = solve_ik(lifter, points, seen, spread, skeleton, axes=axes, file=self.file.name, **options)
        else:
            result = load_result(self.file)
            points, skeleton = result.mean, result.tree
            seen = visible_joints(points, skeleton, hidden)
            rotations = solve_ik_of_result(load(self.lifter), result, sigma=sigma, hide=hidden, **options)

        console = Console()
        console.print(_table(rotations, points, seen, skeleton))
        for line in _lines(rotations):
            console.print(line, highlight=False, soft_wrap=True)
        if self.out is not None:
            rate = frame_rate(told, rotations, console)
            write_motion(rotations, self.out, self.how, self.count, rate, console, inputs, self.max_gap, self.rig)
        bodies = None
        if body is not None:
            from ..view.bodies import bodies_of

            page = _page(rotations, result, points, seen, skeleton, self.level)
            bodies = bodies_of(page, body)
        if self.view is not None:
            from ..view import write_html

            rate = told or rotations.fps or 30.0
            page = _page(rotations, result, points, seen, skeleton, self.level)
            write_html(page, self.view, fps=rate, bodies=bodies)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.picture is not None and bodies is not None:
            write_sheet(page, self.picture, bodies)
            console.print(f"wrote {self.picture}", highlight=False, soft_wrap=True)
        elif self.picture is not None:
            write_picture(rotations, self.picture, self.how, console)
        if self.out is None and self.view is None and self.picture is None:
            console.print("nothing written: add --out clip.bvh or --view scene.html", highlight=False, soft_wrap=True)


def _table(rotations: RotationResult, points: Any, seen: Any, skeleton: Skeleton) -> Any:
    """By joint: how well the mean pose fits, how sure the rotation is, and what the keypoints tell of it."""
    import numpy as np
    from rich.table import Table

    from ..files.checks import counted
    from ..geometry.body import SMPL25
    from ..lifting.ik import fitted_error
    from ..metrics.rotations import observability

    errors = fitted_error(rotations, points, seen, skeleton)
    levels = observability(list(errors))
    spread = np.degrees(np.sqrt(np.square(rotations.spread.astype(np.float64)).mean(0)))
    others = len(set(rotations.file.tolist())) - 1
    name = f"{rotations.file[0]} and {others} more" if others else str(rotations.file[0])
    title = f"{name}: {counted(len(rotations), 'frame')}, {counted(rotations.rotations.shape[1], 'sample')}"
    table = Table("joint", title=title, title_justify="left", caption_justify="left")
    table.add_column("keypoint off by (mm)", justify="right")
    table.add_column("rotation ± (degrees)", justify="right")
    table.add_column("keypoints tell of it")
    words = {"full": "all", "swing": "swing, not twist", "none": "nothing"}
    open_ways = _untold(rotations)
    for number, joint in enumerate(SMPL25.joints):
        error = f"{1000 * errors[joint]:.1f}" if joint in errors else "-"
        if number >= len(levels):
            if joint in errors:
                table.add_row(joint, error, "", "")
        elif joint in rotations.modelled:
            table.add_row(joint, error, f"{spread[number]:.1f}", _told(words[levels[number]], open_ways.get(joint)))
        else:
            table.add_row(joint, error, "fixed", "")
    table.caption = "keypoint: of the mean pose, mean over the frames; ±: root mean square angle of the samples"
    return table


def _untold(rotations: RotationResult) -> dict[str, Untold]:
    """What the samples leave open, of the joints that the lifter models."""
    import numpy as np
    import roma
    import torch

    from ..metrics.untold import untold

    rows = np.unique(np.linspace(0, len(rotations) - 1, min(len(rotations), _JUDGED)).round().astype(int))
    matrices = roma.unitquat_to_rotmat(torch.from_numpy(rotations.rotations[rows]))
    names = zip(rotations.joint_names, untold(matrices), strict=True)
    return {name: what for name, what in names if what is not None and name in rotations.modelled}


def _told(could: str, left_open: Untold | None) -> str:
    """What keypoints tell of a rotation: what they could if they were exact, less what the samples leave open."""
    if left_open is None or could == "nothing" or (could == "swing, not twist" and left_open.way == "turn"):
        return could
    return "little" if left_open.way == "direction" or could != "all" else f"not its {left_open.way}"


def _lines(rotations: RotationResult) -> list[str]:
    import numpy as np

    density = rotations.log_prob.mean(1)
    density = density[np.isfinite(density)]  # motions of a clip have none
    lines = []
    if len(density):
        low, middle, high = np.quantile(density, [0.0, 0.5, 1.0])
        lines = [f"log-density of a frame's samples: {middle:.1f} nats above uniform ({low:.1f} to {high:.1f})"]
    left_open = [f"{what.way} of {name} (±{np.degrees(what.half):.0f}°)" for name, what in _untold(rotations).items()]
    if left_open:
        lines.append(f"not told by the keypoints (90 % intervals): {', '.join(left_open)}")
    return lines + [f"{name}: {text}" for name, text in rotations.notes.items()]


def _page(
    rotations: RotationResult, result: LiftResult | None, points: Any, seen: Any, skeleton: Skeleton, level: float
) -> LiftResult:
    """What the 3D page shows: hypotheses, and the keypoints that they rest on (2D ones of a result)."""
    import dataclasses

    import numpy as np
    import torch

    from ..geometry.body import points_from
    from ..results.motion import as_lift_result

    if result is not None:
        shown = as_lift_result(rotations, level=level)
        if result.joint_names != shown.joint_names:
            return shown
        names = ("keypoints", "keypoint_covariance", "visible", "image_size", "intrinsics")
        picture = {name: getattr(result, name) for name in names}
        return dataclasses.replace(shown, **picture, settings=rotations.settings)
    placed = torch.from_numpy(np.where(seen[..., None], points, np.nan)).float()
    return as_lift_result(rotations, points_from(placed, skeleton)[0], level=level)
