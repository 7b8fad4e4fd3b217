"""`poseterior heatmaps fit`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from ..keypoints.heatmaps import HeatmapGaussians


def _table(fits: HeatmapGaussians, joints: tuple[str, ...]) -> Any:
    """For each joint how many fits have failed or are faint, and how wide and how good the others are."""
    from rich.table import Table

    from ..keypoints import MINIMUM_CONFIDENCE

    table = Table("joint", title="fits by joint", title_justify="left")
    for column in ("failed", "faint", "sigma (px)", "residual"):
        table.add_column(column, justify="right")
    table.caption = f"faint: amplitude below {MINIMUM_CONFIDENCE:g}; not visible, as failed"
    table.caption_justify = "left"
    faint = ~fits.failed & (fits.amplitude < MINIMUM_CONFIDENCE)
    long, _, short = fits.axes
    for j, joint in enumerate(joints):
        good = ~fits.failed[:, j] & ~faint[:, j]
        numbers = ("", "")
        if good.any():
            sigmas = [float(sigma[good, j].median()) for sigma in (long, short)]
            numbers = (f"{sigmas[0]:.2f} x {sigmas[1]:.2f}", f"{float(fits.residual[good, j].median()):.4f}")
        failures = int(fits.failed[:, j].sum())
        style = "yellow" if failures else None
        table.add_row(joint, f"{failures:,}", f"{int(faint[:, j].sum()):,}", *numbers, style=style)
    return table


@dataclass
class Heatmaps:
    """Fit a rotated Gaussian to every joint's heatmap: keypoints with the detector's own covariance.

    FILE.npz holds heatmaps (poses, joints, height, width) with scores from 0 to 1, and may hold joint_names
    (joints,); boxes (poses, 4), the left, top, right and bottom of the crops in the image, or scale and offset
    (image = scale * heatmap + offset); and image_size (poses, 2).

    Example: poseterior heatmaps fit heatmaps.npz --skeleton mpii16 --out keypoints.json
    """

    action: tyro.conf.Positional[Literal["fit"]]
    """What to do with them."""
    file: tyro.conf.Positional[Path]
    """Heatmaps of a detector: .npz."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Keypoints for `poseterior lift`: .json or .npz. The npz also holds the fits."""
    skeleton: str | None = None
    """Joint order, where the file has no joint_names, e.g. mpii16 or coco17."""
    target_sigma: float = 0.0
    """Standard deviation (heatmap pixels) of the targets that the detector was trained with: taken off the widths."""

    def run(self) -> None:
        import time

        from rich.console import Console

        from ..files.writing import check_outputs
        from ..keypoints.heatmap_files import read_heatmaps, save_keypoints
        from ..keypoints.heatmaps import HeatmapGaussians, fit_gaussians
        from ._common import check_extension

        check_extension(self.out, "--out", (".json", ".npz"))
        check_outputs({"--out": self.out}, [self.file])
        heatmaps = read_heatmaps(self.file, self.skeleton)
        parts, seconds = [], 0.0
        for block in heatmaps.blocks():
            start = time.perf_counter()
            parts.append(fit_gaussians(block))
            seconds += time.perf_counter() - start
        fits = HeatmapGaussians.cat(parts)
        keypoints = heatmaps.keypoints(fits, self.target_sigma)
        save_keypoints(self.out, keypoints, fits, heatmaps.joints)

        console = Console()
        console.print(_table(fits, heatmaps.joints.joints))
        count, failures = fits.failed.numel(), int(fits.failed.sum())
        total = f"{count:,} heatmaps of {heatmaps.shape[0]:,} poses, {failures:,} failed"
        console.print(f"{total}, {count / seconds:,.0f} heatmaps per second", highlight=False)
        if not heatmaps.placed:
            console.print("the file has no boxes, nor scale and offset: keypoints are in heatmap pixels")
        named = "" if self.out.suffix.lower() == ".json" else f" --skeleton {heatmaps.target.name}"
        for line in (f"wrote {self.out}", f"next: poseterior lift {shlex.quote(str(self.out))}{named}"):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
