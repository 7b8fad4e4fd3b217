"""`poseterior lift`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from .ik import MOTION_SUFFIXES, How, check_motion, write_motion, write_picture

if TYPE_CHECKING:
    from rich.console import Console

    from ..export import LiftResult
    from ..keypoints import Keypoints2D
    from ..lifters import Lifter
    from ..motions import RotationResult

_RESULTS = (".parquet", ".npz", ".json")


@dataclass
class Lift:
    """Lift keypoint files to 3D poses with error bars.

    Formats are told from the content: COCO results and annotations, OpenPose BODY_25 folders,
    AlphaPose/Halpe-26, MMPose, MediaPipe, plain JSON, npy and npz.
    """

    files: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE [FILE ...]")]]
    """Keypoint files or folders."""
    lifter: str = "mdn"
    """A shipped lifter (see `poseterior lifters`) or a folder with trained weights."""
    samples: int = 200
    """Hypotheses a pose."""
    format: str = "auto"
    """Format of the files: auto, coco-results, coco-annotations, openpose, alphapose, mmpose, mediapipe, plain,
    numpy."""
    skeleton: str | None = None
    """Joint order of arrays that do not name their joints, e.g. h36m17 or coco17."""
    image_size: tuple[int, int] | None = None
    """Width and height in pixels, where the files do not tell."""
    focal: float | None = None
    """Focal length in pixels; the principal point is the image centre (needs the image size)."""
    camera: Path | None = None
    """JSON file with intrinsics: fx, fy, cx, cy in pixels, or a 3x3 K."""
    height: float | None = None
    """The person's height in metres: fixes the scale, which is part of the uncertainty otherwise."""
    seed: int = 0
    """Seed of the samples."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Result file: .parquet, .npz or .json; or motion file: .bvh or .glb."""
    motion: Path | None = None
    """Motion file beside the result: .bvh, .glb, or .npz (as AMASS, with means and samples)."""
    how: How | None = None
    """What the motion shows: mean, best, mode, path (the smoothest way through the samples; for clips the default),
    samples or clusters."""
    count: int = 1
    """Hypotheses in the motion files, a file each."""
    fps: float = 30.0
    """Frames a second of the motion."""
    json_samples: bool = False
    """Write samples and log-densities into .json too."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    picture: Path | None = None
    """Write a contact sheet: .png."""
    photo: Path | None = None
    """Photograph, or folder of photographs, shown in the page; one photograph also gives an unknown image size."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import numpy as np
        import torch
        from rich.console import Console

        from ._common import camera_file, check_device, check_extension, photo_size, summary_table

        check_extension(self.out, "--out", (*_RESULTS, ".bvh", ".glb"))
        check_extension(self.motion, "--motion", MOTION_SUFFIXES)
        check_extension(self.view, "--view", (".html",))
        check_extension(self.picture, "--picture", (".png",))
        check_motion(self.fps, self.how, self.count, self.samples)
        from ..errors import InputError
        from ..export import save_result
        from ..keypoint_files import read_keypoints
        from ..lifters import load

        for name, value in (("--focal", self.focal), ("--height", self.height)):
            if value is not None and not np.isfinite(value):
                raise InputError(f"{name}: expected a finite number, got {value}")
        if self.focal is not None and not 1.0 <= self.focal <= 1e7:
            raise InputError(f"--focal: expected 1 to 1e7 pixels, got {self.focal:g}")
        if self.focal is not None and self.camera is not None:
            raise InputError("--focal and --camera: give one of the two")
        lifter = load(self.lifter)
        keypoints = read_keypoints(self.files, self.format, self.skeleton, self.image_size)
        size = self.image_size or (None if self.photo is None else photo_size(self.photo))
        if size is not None:
            known = keypoints.image_size.isfinite()
            keypoints = keypoints.with_camera(image_size=torch.where(known, keypoints.image_size, torch.tensor(size)))
        intrinsics: object = None
        if self.camera is not None:
            intrinsics = camera_file(self.camera)
        elif self.focal is not None:
            sizes = keypoints.image_size.numpy()
            if not np.isfinite(sizes).all():
                raise InputError("--focal: the image size is not known; pass --image-size WIDTH HEIGHT too")
            focal = np.full((len(sizes), 1), self.focal)
            intrinsics = np.concatenate([focal, focal, sizes / 2], -1)
        keypoints = keypoints.with_camera(intrinsics=intrinsics, height=self.height)
        console = Console()
        result, rotations = self._lifted(lifter, keypoints, check_device(self.device), console)
        console.print(summary_table(result))
        if self.out is not None and self.out.suffix.lower() in _RESULTS:
            save_result(result, self.out, samples=True if self.json_samples else None)
            console.print(f"wrote {self.out}", highlight=False, soft_wrap=True)
        if rotations is not None:
            for path in self._motions():
                write_motion(rotations, path, self.how, self.count, self.fps, console)
        if self.view is not None:
            from ..view import write_html

            write_html(result, self.view, photos=self.photo)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.picture is not None:
            self._draw(result, rotations, self.picture, console)
        if self.out is None and self.motion is None and self.view is None and self.picture is None:
            console.print(
                "nothing written: add --out poses.parquet, --out clip.bvh or --view scene.html",
                highlight=False,
                soft_wrap=True,
            )

    def _motions(self) -> list[Path]:
        """The motion files asked for."""
        out = [] if self.out is None or self.out.suffix.lower() in _RESULTS else [self.out]
        return out + ([] if self.motion is None else [self.motion])

    def _lifted(
        self, lifter: Lifter, keypoints: Keypoints2D, device: str, console: Console
    ) -> tuple[LiftResult, RotationResult | None]:
        """Poses, and their rotations where a motion is asked for or they come for nothing."""
        from ..lifters import load
        from ..motions import has_rotations, lift_with_rotations, solve_ik_of_result
        from ..pipeline import lift

        mode = self.how == "mode"
        if has_rotations(lifter):
            return lift_with_rotations(lifter, keypoints, self.samples, self.seed, device=device, mode=mode)
        if not self._motions():
            return lift(lifter, keypoints, self.samples, self.seed, device=device), None
        solver = load("rotations")
        result = lift(lifter, keypoints, self.samples, self.seed, device=device)
        console.print(
            f"{result.lifter} has no rotations: inverse kinematics of its mean poses by the lifter 'rotations'",
            highlight=False,
            soft_wrap=True,
        )
        rotations = solve_ik_of_result(
            solver, result, keypoints.flatten().intrinsics, samples=self.samples, seed=self.seed, device=device,
            mode=mode,
        )  # fmt: skip
        return result, rotations

    def _draw(self, result: LiftResult, rotations: RotationResult | None, path: Path, console: Console) -> None:
        from ..view.sheets import contact_sheet

        if rotations is not None:
            write_picture(rotations, path, self.how, console)
            return
        labels = [str(frame) for frame in result.frame]
        title = f"mean poses of {result.lifter}: left blue, right red"
        contact_sheet(result.mean, result.tree, path, axes="camera", labels=labels, title=title)
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
