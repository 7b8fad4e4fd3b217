"""`poseterior export onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass
class Export:
    """Write a lifter as an ONNX file, which runs without this package and without torch.

    Keypoints and random numbers go in; means, covariances, samples and calibrated radii come out, the keypoints'
    evidence included. What the numbers mean stands in the file's metadata.

    Example: poseterior export onnx mdn --out mdn.onnx
    """

    target: tyro.conf.Positional[Literal["onnx"]]
    """What to write."""
    lifter: tyro.conf.Positional[str]
    """Name of shipped weights (all but 'rotations'), the folder of a lifter, or the folder of a run."""
    out: Path
    """The .onnx file."""
    level: float = 0.9
    """Probability of the balls whose radii come out."""

    def run(self) -> None:
        from ..files.writing import check_outputs
        from ._common import check_extension, check_level, lifter_folder, weights_of

        check_extension(self.out, "--out", (".onnx",))
        check_level(self.level)
        self.lifter = weights_of(self.lifter)
        check_outputs({"--out": self.out}, [lifter_folder(self.lifter)])

        from ..lifters import load
        from ..lifting.onnx_files import check_export, export_onnx

        check_export(self.out)
        lifter = load(self.lifter)
        lifter.to_module(self.level)  # refuses what cannot be exported
        print(f"tracing {self.lifter}, which takes half a minute", flush=True)
        told = export_onnx(lifter, self.out, self.level)
        print(f"wrote {self.out}: {told['lifter']}, {self.out.stat().st_size / 1e6:.1f} MB")
        print(f"  {told['skeleton']}, {told['units']} from the {told['origin']}, axes {told['axes']}")
        print(f"  noise: samples x poses x {told['noise_width']} standard normal numbers")
        kind = "calibrated for" if told["calibrated"] == "true" else "of the samples alone, not calibrated; best with"
        print(f"  radius: {100 * self.level:g} %, {kind} {told['region_samples']} samples")
        print(f"  licence of the weights: {told['licence']}")
