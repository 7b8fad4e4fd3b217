"""`poseterior lift`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


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
    """Result file: .parquet, .npz or .json."""
    json_samples: bool = False
    """Write samples and log-densities into .json too."""
    view: Path | None = None
    """Write an offline 3D page: .html."""
    photo: Path | None = None
    """Photograph, or folder of photographs, shown in the page; one photograph also gives an unknown image size."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import numpy as np
        import torch
        from rich.console import Console

        from ._common import camera_file, check_device, check_extension, photo_size, summary_table

        check_extension(self.out, "--out", (".parquet", ".npz", ".json"))
        check_extension(self.view, "--view", (".html",))
        from ..errors import InputError
        from ..export import save_result
        from ..keypoint_files import read_keypoints
        from ..lifters import load
        from ..pipeline import lift

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
        result = lift(lifter, keypoints, self.samples, self.seed, device=check_device(self.device))
        console = Console()
        console.print(summary_table(result))
        if self.out is not None:
            save_result(result, self.out, samples=True if self.json_samples else None)
            console.print(f"wrote {self.out}", highlight=False, soft_wrap=True)
        if self.view is not None:
            from ..view import write_html

            write_html(result, self.view, photos=self.photo)
            console.print(f"wrote {self.view}: open it in a browser", highlight=False, soft_wrap=True)
        if self.out is None and self.view is None:
            console.print(
                "nothing written: add --out poses.parquet or --view scene.html", highlight=False, soft_wrap=True
            )
