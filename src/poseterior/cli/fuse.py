"""`poseterior fuse`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ._common import OnOff
from ._motion import How, check_motion, check_rig, frame_rate, write_motion, write_sheet
from ._reading import FileOptions
from ._seeing import SeeingOptions
from ._unused import check_shown

if TYPE_CHECKING:
    from rich.console import Console

    from ..keypoints import Keypoints2D
    from ..results.poses import LiftResult
    from ..results.rotations import RotationResult

#: Files that a result is written as for other programs (`poseterior.results.exports`).
_EXPORTS = (".csv", ".trc", ".c3d", ".mot")


@dataclass
class Fuse(SeeingOptions, FileOptions):
    """Fuse synchronised views of several calibrated cameras: 3D poses in the calibration's world, with error bars.

    One film, or one file or folder of keypoints, for each camera (of OpenPose's a folder of a JSON file a frame, as
    Pose2Sim has it), whose name holds the camera's name in the calibration. Frames of the same number are of the same
    moment. People in films are found by the detector, as `poseterior lift` does.

    Example: poseterior fuse cam1.mp4 cam2.mp4 --calibration Calib.toml --out clip.bvh
    """

    files: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")]]
    """A film, or a file or folder of keypoints, for each camera."""
    calibration: tuple[Path, ...]
    """Calibration: Pose2Sim's Calib.toml, Qualisys' .qca.txt or .xml, Theia3D's, or OpenCV's .yml, .xml or .json (which
    may be a file for each camera)."""
    calibration_format: str = "auto"
    """Its format, where its content does not tell; a name that is none lists those that are."""
    up: Literal["auto", "x", "-x", "y", "-y", "z", "-z"] = "auto"
    """Axis of the calibration's world that points up; auto: the nearest to what is above in the pictures."""
    lifter: str = "mdn"
    """A shipped lifter (see `poseterior lifters`), a folder with trained weights, or the folder of a run."""
    samples: int = 200
    """Hypotheses per pose."""
    person: int | None = None
    """Where cameras show several people: the track's number, the same in every camera (of films, 0 is whom the film
    shows most)."""
    clip: Literal["auto", "on", "off"] = "auto"
    """Join moments to a motion of one body; auto: where there are 5 or more."""
    noise: OnOff = "on"
    """Put the keypoints' standard deviations right where the views show them to be wrong."""
    level: float = 0.9
    """Probability with which each joint is within the radius that is printed and written."""
    seed: int = 0
    """Seed of the samples."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Result file: .parquet, .npz or .json; table: .csv; for other programs: .trc, .c3d, .mot (OpenSim); or motion
    file: .bvh, .glb, .usda or .usdz."""
    motion: Path | None = None
    """Motion file beside the result: .bvh, .glb, .usda, .usdz, .mot or .npz."""
    rig: str | None = None
    """Whose names the joints of a .bvh get: mixamo, unreal, xsens ... or a .yaml file of joint names."""
    how: How | None = None
    """What the motion shows: mean, best, mode, path (for clips the default), samples or clusters."""
    count: int = 1
    """Hypotheses in the motion files, one file each."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    picture: Path | None = None
    """Write a contact sheet: .png."""
    fps: float | None = None
    """Frames per second (default: what the files tell, else 30, said aloud)."""
    max_gap: float = 0.5
    """Seconds that no camera shows and that are bridged."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        from rich.console import Console

        from ..detect.sources import sorted_out
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ..results.poses import RESULT_SUFFIXES
        from ..results.rotations import MOTION_SUFFIXES
        from ..results.usd import USD_SUFFIXES
        from ._common import (
            check_device,
            check_extension,
            check_level,
            check_samples,
            lifter_folder,
            summary_table,
            weights_of,
        )  # fmt: skip

        check_extension(self.out, "--out", (*RESULT_SUFFIXES, *_EXPORTS, ".bvh", ".glb", *USD_SUFFIXES))
        check_extension(self.motion, "--motion", MOTION_SUFFIXES)
        check_extension(self.view, "--view", (".html",))
        check_extension(self.picture, "--picture", (".png",))
        self.lifter = weights_of(self.lifter)
        inputs = [*self.files, *self.calibration, *self.model, self.noise_model, lifter_folder(self.lifter)]
        outputs = {"--out": self.out, "--motion": self.motion, "--view": self.view, "--picture": self.picture}
        check_outputs(outputs, inputs)
        if not self.files:
            raise InputError("fuse: name a film, or a file or folder of keypoints, for each camera")
        self.check_seeing()
        self.check_used(sorted_out(self.files))
        check_samples(self.samples, self.seed, 1)
        check_motion(self.fps, self.how, self.count, self.samples, self.max_gap)
        check_level(self.level)
        check_shown(self.how, self.count, bool(self._motions()))
        check_rig(self.rig, self._motions())
        from ..keypoints.calibration import read_cameras
        from ..lifters import load
        from ..lifting.views import fuse
        from ..results.times import ASSUMED_FPS

        console = Console()
        if len(self.files) == 1:
            console.print(
                f"{self.files[0]} alone: one camera leaves open how far away, and so how large, somebody is; give two "
                "or more",
                highlight=False, soft_wrap=True, markup=False,
            )  # fmt: skip
        cameras = read_cameras(self.calibration, self.calibration_format)
        views = self._views(list(cameras), console)
        if self.fps is None and not any(view.rates for view in views.values()):
            console.print(f"{ASSUMED_FPS:g} frames a second is assumed: pass --fps", highlight=False, soft_wrap=True)
        found = fuse(
            load(self.lifter), views, cameras, self.fps, clip=self.clip, up=self.up, max_gap=self.max_gap,
            noise="auto" if self.noise == "on" else "as told", device=check_device(self.device),
        )  # fmt: skip
        result = found.result(self.samples, self.seed, self.level)
        console.print(summary_table(result))
        fps = frame_rate(self.fps, result, console)
        if self.out is not None and self.out not in self._motions():
            check_outputs({"--out": result.files(self.out)}, inputs)
            for path in result.save(self.out, fps=fps, max_gap=self.max_gap):
                console.print(f"wrote {path}", highlight=False, soft_wrap=True)
        if self._motions():
            rotations = self._rotations(result, console)
            for path in self._motions():
                rig = self.rig if path.suffix.lower() == ".bvh" else None
                write_motion(rotations, path, self.how, self.count, fps, console, inputs, self.max_gap, rig)
        if self.view is not None:
            from ..view import write_html

            write_html(result, self.view, fps=self.fps)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.picture is not None:
            write_sheet(result, self.picture)
            console.print(f"wrote {self.picture}", highlight=False, soft_wrap=True)
        if not any((self.out, self.motion, self.view, self.picture)):
            console.print(
                "nothing written: add --out poses.parquet, --out clip.bvh or --view scene.html",
                highlight=False,
                soft_wrap=True,
            )

    def _motions(self) -> list[Path]:
        """The motion files asked for."""
        from ..results.poses import RESULT_SUFFIXES

        result = (*RESULT_SUFFIXES, *_EXPORTS)
        out = [] if self.out is None or self.out.suffix.lower() in result else [self.out]
        return out + ([] if self.motion is None else [self.motion])

    def _rotations(self, result: LiftResult, console: Console) -> RotationResult:
        from ..lifters import load
        from ..lifting.ik import solve_ik_of_result

        said = "inverse kinematics of the mean poses by the lifter 'rotations'"
        console.print(said, highlight=False, soft_wrap=True)
        return solve_ik_of_result(
            load("rotations"), result, samples=self.samples, seed=self.seed, mode=self.how == "mode"
        )

    def _views(self, cameras: list[str], console: Console) -> dict[str, Keypoints2D]:
        """The keypoints of each camera."""
        from ..files.errors import InputError
        from ..files.films import FILM_SUFFIXES
        from ..files.images import PICTURE_SUFFIXES
        from ..keypoints.calibration.matching import cameras_of_paths
        from ..keypoints.reading import read_keypoints
        from ..keypoints.tracks import of_person

        names, guessed = cameras_of_paths(list(self.files), cameras)
        if guessed:
            pairs = ", ".join(f"{path.name} is {name}" for path, name in zip(self.files, names, strict=True))
            console.print(f"no name of a camera in names of files: by their order, {pairs}", highlight=False)
        films = [path for path in self.files if path.suffix.lower() in (*FILM_SUFFIXES, *PICTURE_SUFFIXES)]
        options: dict[str, Any] = {**self.reading(), "person": self.person}
        read = {path: read_keypoints(path, **options) for path in self.files if path not in films}
        for path, found in self.look(films, console, every_one=True).items():
            read[path] = found if self.person is None else of_person(found, self.person)
        unseen = [str(path) for path in self.files if path not in read]
        if unseen:
            raise InputError(f"{unseen[0]}: nobody was found in it; leave this camera out")
        return {name: read[path] for path, name in zip(self.files, names, strict=True)}
