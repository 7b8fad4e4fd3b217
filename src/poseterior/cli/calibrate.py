"""`poseterior calibrate`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..data.observations import Observations
    from ..distributions.clip_errors import ClipErrors
    from ..distributions.evidence import Evidence
    from ..distributions.recalibration import Recalibration
    from ..evaluation.distances import Distances
    from ..lifters import Lifter

#: Levels of the regions whose coverage is printed.
_LEVELS = (0.5, 0.9, 0.95, 0.99)
#: Added to the seed where coverage is measured, so that samples are others than those of the fit.
_OTHER_SAMPLES = 1_000_000
#: Frames of each simulated clip.
_CLIP_FRAMES = 36
#: Poses that evidence is fitted on.
_EVIDENCE_POSES = 1500


def _table(name: str, distances: Distances, recalibration: Recalibration) -> Any:
    """Coverage and size of the regions as the samples have them and as they are recalibrated."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ..evaluation.coverage import coverage_of

    title = f"{name}: {len(distances)} poses; how many truths the regions hold"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True, min_width=10)
    for column in ("level", "visible", "missing", "worst joint", "whole pose", "radius (mm)", "pose radius"):
        table.add_column(column, justify="right")
    for stage, used in {"as it is": None, "calibrated": recalibration}.items():
        for i, level in enumerate(level for level in _LEVELS if level <= recalibration.highest):
            found = coverage_of(distances, level, used)
            shares = [found["visible"].get("mean"), found["missing"].get("mean"), found["worst"], found["pose"]]
            table.add_row(
                "" if i else stage,
                f"{level:g}",
                *("-" if share is None else f"{share:.3f}" for share in shares),
                f"{found['mean radius']:.0f}",
                f"{found['pose radius']:.0f}",
            )
        table.add_section()
    return table


@dataclass
class Calibrate:
    """Make the regions of a lifter hold the truth as often as they say.

    Fits radii to poses that are known, measures coverage on other poses, and writes calibration.json beside the
    weights; `poses.region(0.9)` then uses it. The regions are right for poses, cameras and detectors like those of the
    data, for levels up to 0.999 if each joint is seen and is missing in 1,250 poses or more.

    Example: poseterior calibrate runs/mdn/weights --data stores/cmu --test other=stores/other
    """

    lifter: tyro.conf.Positional[str]
    """A folder with trained weights, the folder of a run, or a shipped lifter."""
    data: Path
    """A pose store, seen by the simulator, or a file of observations, of which half the clips only measure."""
    test: tyro.conf.UseAppendAction[Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=PATH")]] = ()
    """Another store or file of observations on which coverage is measured, e.g. of people that were not learnt from."""
    protocol: str | None = None
    """See stores by this protocol (as `poseterior data simulate`) instead of the simulator's other people."""
    poses: int = 20_000
    """Poses of a store to fit on; as many others, at most 5000, measure coverage."""
    samples: int | None = None
    """Hypotheses per pose, here and in each region later (default: 200; regions of mixtures need none)."""
    seed: int = 0
    """Seed of the simulation and of the samples."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """New folder for a copy of the lifter with its calibration, instead of a file beside the weights."""
    evidence: bool = False
    """Before that, measure how roughly the network reads its keypoints, and write evidence.json: from then on the
    answers of these weights are given what the keypoints say exactly."""
    clips: int = 0
    """Then measure on so many simulated clips (100 or more; --data is a store) how the errors of frames hang together,
    and write clips.json: `pp.lift_clip` uses it. The rest is done anew, too."""
    in_place: bool = False
    """Write beside the weights of a shipped lifter, i.e. into the installed package."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from ..distributions.recalibration import CALIBRATION_FILE
        from ..evaluation.angles import angle_coverage
        from ..evaluation.calibrate import fit_distances, two_sets
        from ..files.checks import naming
        from ..files.errors import InputError
        from ..files.writing import check_outputs
        from ..lifters import list_shipped, load
        from ..lifters.saved import folder_of
        from ._common import check_device, weights_of

        folder = folder_of(weights_of(self.lifter))
        self._check(shipped=folder in list_shipped().values())
        device, test_paths = check_device(self.device), self._tests()
        check_outputs({"--out": self.out or folder / CALIBRATION_FILE}, [self.data, *test_paths.values()])
        lifter = load(folder, recalibrated=False)  # whatever stands there is replaced
        fitting, held_out, description = two_sets(self.data, self.poses, self.seed, self.protocol)
        tests = {name: self._test_observations(path) for name, path in test_paths.items()}
        for path, some in [(self.data, fitting), *zip(test_paths.values(), tests.values(), strict=True)]:
            if not bool(some.observed.any()):
                raise InputError(f"{path}: holds no 3D poses, from which errors are measured; give others")
        console = Console()
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
            if self.evidence:
                lifter.evidence = self._evidence(lifter, fitting, device, bar)
            measured = self._measurer(lifter, device, bar)
            with naming(str(self.data)):
                recalibration = fit_distances(measured("fit", fitting, self.seed), description)
            others = {"held-out poses": held_out} | tests
            distances = {name: measured(name, data, self.seed + _OTHER_SAMPLES) for name, data in others.items()}
            if self.clips:
                lifter.clips = self._clips(lifter.to(device).eval(), bar)
        for name, found in distances.items():
            console.print(_table(name, found, recalibration))
            if found.angles is not None:
                held = angle_coverage(found.angles, 0.9, recalibration.angles)
                console.print(
                    f"{name}: intervals of joint angles at level 0.9 hold {held['mean']:.3f}", highlight=False
                )
        if lifter.evidence is not None:
            console.print(
                f"keypoints are given as exactly as {1000 * lifter.evidence.coarseness:.1f} mm of blur leave open",
                highlight=False,
            )
        highest, count = recalibration.highest, recalibration.poses
        console.print(f"fitted on {count} poses, for levels up to {highest:g}", highlight=False)
        target = self._save(recalibration, lifter, folder)
        console.print(f"wrote {target}", highlight=False, soft_wrap=True)

    def _check(self, shipped: bool) -> None:
        """Refuse what would fail after minutes of work."""
        from ..distributions.balls import MOST_SAMPLES
        from ..evaluation.calibrate import ENOUGH
        from ..evaluation.clip_errors import FEWEST
        from ..files.errors import InputError

        if self.poses < ENOUGH:
            raise InputError(f"--poses {self.poses}: at least {ENOUGH} are needed, thousands are better")
        if self.clips and self.clips < FEWEST:
            raise InputError(f"--clips {self.clips}: at least {FEWEST} are needed, a hundred are better")
        if self.clips and not self.data.is_dir():
            raise InputError(f"--clips: {self.data} is a file of observations; clips are simulated of a pose store")
        if self.samples is not None and not 2 <= self.samples <= MOST_SAMPLES:
            raise InputError(f"--samples {self.samples}: expected 2 to {MOST_SAMPLES}")
        if not 0 <= self.seed < 2**62:
            raise InputError(f"--seed {self.seed}: expected 0 to below 2^62")
        if self.in_place and self.out is not None:
            raise InputError("--in-place and --out: choose one of them")
        if shipped and self.out is None and not self.in_place:
            raise InputError(
                f"{self.lifter}: a shipped lifter is calibrated already; "
                "pass --out DIR for a copy with another calibration, or --in-place to change the installed one"
            )
        if self.out is not None and self.out.exists():
            raise InputError(f"--out {self.out}: exists already; choose a new folder")
        if self.out is not None and not self.out.absolute().parent.is_dir():
            raise InputError(f"--out {self.out}: the folder {self.out.parent} does not exist; make it first")

    def _tests(self) -> dict[str, Path]:
        from ..files.errors import InputError

        found: dict[str, Path] = {}
        for text in self.test:
            name, equals, path = text.partition("=")
            if not (name and equals and path):
                raise InputError(f"--test {text}: expected NAME=PATH, e.g. other=stores/other")
            if name in found:
                raise InputError(f"--test {text}: the name {name!r} is used twice")
            found[name] = Path(path)
        return found

    def _test_observations(self, path: Path) -> Observations:
        from ..data.observations import load_observations
        from ..data.simulation.protocols import simulate
        from ..evaluation.calibrate import MEASURED, simulated

        if not path.is_dir():
            return load_observations(path).observations
        if self.protocol is not None:
            return simulate(path, self.protocol, min(self.poses, MEASURED)).observations
        return simulated(path, min(self.poses, MEASURED), self.seed + 1)

    def _measurer(self, lifter: Lifter, device: str, bar: Progress) -> Callable[[str, Observations, int], Distances]:
        """`poseterior.evaluation.distances.measure` of named observations, with a seed, on the progress bar."""
        from ..evaluation.distances import measure

        def measured(name: str, observations: Observations, seed: int) -> Distances:
            task = bar.add_task(name, total=len(observations.pose))
            return measure(
                lifter, observations, self.samples, seed, device=device,
                progress=lambda done: bar.update(task, completed=done), angles=True,
            )  # fmt: skip

        return measured

    def _evidence(self, lifter: Lifter, observations: Observations, device: str, bar: Progress) -> Evidence:
        """`poseterior.evaluation.evidence.fit_evidence` of some of the poses, on the progress bar."""
        from ..evaluation.evidence import fit_evidence

        some = observations[slice(0, _EVIDENCE_POSES)].to(device)
        task = bar.add_task("evidence", total=len(some.pose))
        found = fit_evidence(
            lifter.to(device).eval(), some, seed=self.seed, progress=lambda done: bar.update(task, completed=done)
        )
        bar.update(task, completed=len(some.pose))
        return found

    def _clips(self, lifter: Lifter, bar: Progress) -> ClipErrors:
        """`poseterior.evaluation.clip_errors.fit_clip_errors` of simulated clips, on the progress bar."""
        from ..evaluation.clip_errors import fit_clip_errors, simulated_clips
        from ..lifting.clips import SMOOTHING

        clips = simulated_clips(self.data, self.clips, _CLIP_FRAMES, self.seed)
        task = bar.add_task("clips", total=sum(len(clip.pose) for clip in clips))
        described = (
            f"{len(clips)} clips of {_CLIP_FRAMES} frames of a simulated population, moving as in {self.data.name}"
        )
        return fit_clip_errors(SMOOTHING, lifter, clips, described, lambda done: bar.update(task, completed=done))

    def _save(self, recalibration: Recalibration, lifter: Lifter, folder: Path) -> Path:
        """Write the files beside the weights, or a copy of the lifter with them."""
        import shutil

        from ..distributions.clip_errors import CLIPS_FILE
        from ..distributions.evidence import EVIDENCE_FILE
        from ..distributions.recalibration import CALIBRATION_FILE
        from ..files.writing import atomic_folder, atomic_write

        if self.out is None:
            if lifter.evidence is not None:
                with atomic_write(folder / EVIDENCE_FILE) as file:
                    file.write(lifter.evidence.to_json().encode())
            with atomic_write(folder / CALIBRATION_FILE) as file:
                file.write(recalibration.for_lifter(folder).to_json().encode())
            if lifter.clips is not None:
                with atomic_write(folder / CLIPS_FILE) as file:
                    file.write(lifter.clips.for_lifter(folder).to_json().encode())
            return folder / CALIBRATION_FILE
        with atomic_folder(self.out) as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            if lifter.evidence is not None:
                (copy / EVIDENCE_FILE).write_bytes(lifter.evidence.to_json().encode())
            (copy / CALIBRATION_FILE).write_bytes(recalibration.for_lifter(copy).to_json().encode())
            (copy / CLIPS_FILE).unlink(missing_ok=True)
            if lifter.clips is not None:
                (copy / CLIPS_FILE).write_bytes(lifter.clips.for_lifter(copy).to_json().encode())
        return self.out
