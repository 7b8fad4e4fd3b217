"""`poseterior compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from ._common import OnOff
from ._seeing import SeeingOptions

if TYPE_CHECKING:
    from ..detect.sources import Sources
    from ..keypoints import Keypoints2D


@dataclass
class Compare(SeeingOptions):
    """Draw lifters side by side: the photograph with its keypoints, then each lifter's 3D poses, all in one scale.

    People in a photograph or film are found by the detector, as `poseterior lift` does.

    Example: poseterior compare lsp.parquet supervised relative runs/finetuned/weights --photo lsp --out compared.png
    """

    file: tyro.conf.Positional[Path]
    """Photograph, film, keypoint file, or observations (`poseterior data import lsp`)."""
    lifters: tyro.conf.Positional[tuple[str, ...]]
    """Shipped lifters, folders with trained weights, or folders of runs."""
    out: Path
    """The picture: .png."""
    photo: Path | None = None
    """Photograph, or folder of photographs, that the keypoints come from."""
    pose: tuple[int, ...] = ()
    """Rows to draw (from 0; default: evenly spread)."""
    poses: int = 6
    """Rows at most."""
    samples: int = 8
    """Hypotheses drawn of each, thin."""
    seed: int = 0
    """Seed of the samples."""
    evidence: OnOff = "on"
    """Give answers what the keypoints say exactly; off: as the network gives them."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import torch

        from ..detect.sources import sorted_out
        from ..evaluation.papers.running import named
        from ..files.errors import InputError
        from ..files.films import is_film
        from ..files.writing import check_outputs
        from ..lifters import load
        from ..lifting.poses import lift
        from ..view.comparison import save_comparison
        from ._common import check_device, check_extension, lifter_folder, weights_of

        self.check_seeing()
        check_extension(self.out, "--out", (".png",))
        lifters = {name: weights_of(lifter) for name, lifter in named(self.lifters).items()}
        check_outputs(
            {"--out": self.out},
            [self.file, self.photo, *self.model, self.noise_model, *map(lifter_folder, lifters.values())],
        )
        if not self.lifters:
            raise InputError("compare: name the lifters to draw, shipped ones or folders")
        if self.poses < 1 or self.samples < 1:
            raise InputError("--poses, --samples: expected at least 1")
        if self.photo is not None and is_film(self.photo):
            raise InputError(
                f"--photo {self.photo}: is a film, and a comparison shows photographs: give one, or their folder"
            )
        device = check_device(self.device)
        sources = sorted_out([self.file])
        self.check_used(sources)
        keypoints = self._keypoints(sources)
        rows = self.pose or sorted(set(torch.linspace(0, len(keypoints) - 1, self.poses).round().long().tolist()))
        beyond = [row for row in rows if not 0 <= row < len(keypoints)]
        if beyond:
            raise InputError(f"--pose {beyond[0]}: {self.file} has {len(keypoints)} poses, numbered from 0")
        some = keypoints[torch.tensor(rows)]
        results = {
            name: lift(
                load(folder, evidence=self.evidence == "on"), some, samples=self.samples, seed=self.seed, device=device
            )
            for name, folder in lifters.items()
        }
        photos = self.photo or {str(path): path for path in sources.pictures} or None
        save_comparison(results, self.out, max_poses=len(rows), photos=photos, hypotheses=self.samples)
        print(f"wrote {self.out}: {len(rows)} poses, {', '.join(results)}")

    def _keypoints(self, sources: Sources) -> Keypoints2D:
        from rich.console import Console

        from ..data.observations import is_observations, load_observations
        from ..detect.seen import joined
        from ..files.errors import InputError
        from ..files.images import image_size
        from ..keypoints.reading import read_keypoints

        if sources.camera is not None:
            raise InputError("webcam: is lifted as it is seen; compare lifters on a photograph or film of it")
        if sources.seen:
            found = list(self.look(sources.seen, Console()).values())
            if not found:
                raise InputError(f"nobody was found in {self.file}: there is nothing to lift")
            return joined(found)
        if is_observations(self.file):
            return load_observations(self.file).observations.keypoints
        size = image_size(self.photo) if self.photo is not None and self.photo.is_file() else None
        return read_keypoints(self.file, image_size=size)
