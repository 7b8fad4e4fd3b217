"""`poseterior bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from ._common import OnOff
from ._uncertain import explained, plus_minus

if TYPE_CHECKING:
    from ..data.observations import ObservationSet

#: Columns of the league table on the terminal: title, path into a unit, name of its uncertainty, digits.
_COLUMNS: tuple[tuple[str, tuple[str, ...], str, int], ...] = (
    ("energy", ("scores", "energy score"), "energy score", 1),
    ("MPJPE", ("estimates", "mean", "MPJPE"), "MPJPE", 1),
    ("P-MPJPE", ("estimates", "mean", "P-MPJPE"), "P-MPJPE", 1),
    ("calib.", ("calibration", "all", "mean"), "calibration", 3),
    ("signed", ("calibration", "all", "signed"), "", 3),
    ("region", ("region", "mean"), "region", 3),
    ("ms", ("cost", "milliseconds per pose"), "", 1),
)
_LEGEND = (
    "energy: energy score, mm, the smaller the better; calib.: calibration error, 0 to 0.5; signed: positive is "
    "over-confident; region: share of truths in the 90 % region; ms: per pose; best: oracle, looks at the truth"
)


def _value(unit: dict[str, Any], path: tuple[str, ...], name: str, digits: int) -> str:
    from ..view.report.figures import number

    return plus_minus(unit, name, number(unit, *path), digits)


def _tables(result: dict[str, Any]) -> Any:
    """A league table for each main protocol, the best energy score first, and what the checks found."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[Any] = []
    for name, protocol in result["protocols"].items():
        units = [unit for unit in result["units"] if unit["protocol"] == name]
        if protocol["group"] != "main" or not units:
            continue
        best = next(iter(key for key in units[0]["estimates"] if key.startswith("best of")))
        title = f"{name}: {protocol['description']} ({protocol['poses']} poses)"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("lifter", no_wrap=True)
        for heading, *_ in _COLUMNS:
            table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
        table.add_column("best", justify="right", style="dim italic", no_wrap=True, min_width=5)
        for unit in sorted(units, key=lambda unit: unit["scores"]["energy score"]):
            row = [_value(unit, path, half, digits) for _, path, half, digits in _COLUMNS]
            table.add_row(unit["lifter"], *row, _value(unit, ("estimates", best, "MPJPE"), "best MPJPE", 1))
        parts += [table, Text(explained(units[0]))]
        parts += [Text(sentence) for sentence in standing(result, name)]
        parts += [Text(sentence) for sentence in novelty_sentences(units)]
    parts += [Text(_LEGEND)]
    sweeps = [name for name, protocol in result["protocols"].items() if protocol["group"] != "main"]
    if sweeps:
        parts.append(Text(f"and {len(sweeps)} protocols of sweeps: see the report"))
    parts += [Text(f"{kind}: {sentence}", style="red") for kind, sentence in _errors(result)]
    parts += [Text(f"not measured: {s['lifter']} on {s['protocol']}: {s['reason']}") for s in result["skipped"]]
    return Group(*parts)


def standing(result: dict[str, Any], protocol: str) -> list[str]:
    """Which lifter has the best energy score for certain, or which ones cannot be told apart."""
    from ..view.report.findings import standing_sentence

    units = {unit["lifter"]: unit for unit in result["units"] if unit["protocol"] == protocol}
    sentence = standing_sentence(result, protocol, units)
    return [sentence] if sentence else []


def novelty_sentences(units: list[dict[str, Any]]) -> list[str]:
    """How error over radius goes with novelty, one sentence per lifter that was measured so."""
    from ..evaluation.novelty import flatness

    found = []
    for unit in units:
        if rows := unit.get("by novelty"):
            ratios = ", ".join(f"{row['ratio']:.2f}" for row in rows)
            far = f"{rows[0]['distance']:.0f} to {rows[-1]['distance']:.0f} mm"
            found.append(
                f"{unit['lifter']}: error over 90 % radius {ratios} from the most familiar poses to the newest ({far} "
                f"from the nearest training pose; within {100 * flatness(rows):.0f} % of its mean)"
            )
    return found


def _errors(result: dict[str, Any]) -> list[tuple[str, str]]:
    """What a lifter gets plainly wrong, once per lifter and kind."""
    found: dict[tuple[str, str], str] = {}
    for unit in result["units"]:
        for check in unit["checks"]:
            if check["severity"] == "error":
                found.setdefault((unit["lifter"], check["kind"]), check["sentence"])
    return [(lifter, sentence) for (lifter, _), sentence in found.items()]


@dataclass
class Bench:
    """Compare lifters on the same inputs: accuracy, calibration, sharpness, plausibility and cost side by side.

    Runs every lifter on every protocol, writes OUT/bench.json, OUT/poses.parquet (the scores of every pose) and
    OUT/report.html, and goes on where it stopped. ± is half of a 95 % interval over clips; lifters are compared two by
    two.
    Protocols, those on other people first: people, strangers, people-exact, noisy-sigma, ar1, simulated, bandai-cross,
    strangers-motion, bandai-motion, gaps, moving-body, cmu-test, cmu-clean, cmu-occluded, cmu-motion, cmu-bodies, and
    the sweeps masks-*, noise-*, pitch-*, fov-*, sigma-*;
    the groups main, masks, noise, pitch, "field of view" and sigma name them together.

    --published measures as the code of a paper does: poseterior bench runs/wehrbein --published wehrbein_2021
    --observations test.parquet test-hard.parquet

    Example: poseterior bench flow mdn --data stores/cmu-test --protocol people masks --out bench
    """

    lifters: tyro.conf.Positional[tuple[str, ...]] = ()
    """Shipped lifters or folders with trained weights (default: all shipped ones)."""
    published: Literal["wehrbein_2021", "ronchi_2018", "yu_2021", "li_lee_2019", "duenkel_2024"] | None = None
    """Measure as this paper's code does, on --observations (duenkel_2024: on --data STORE), and print its tables; they
    go into OUT/published.json."""
    rotations: bool = False
    """Measure distributions over joint rotations (prior, inverse kinematics, occlusion, lifting) on --data STORE, with
    the store that they learnt from as --novelty; the numbers go into OUT/rotations.json."""
    data: Path | None = None
    """Pose store to simulate observations from."""
    cross: Path | None = None
    """Pose store of other people, for the protocols bandai-cross and bandai-motion."""
    strangers: Path | None = None
    """Pose store of subjects that no lifter was trained on, for the protocols strangers and strangers-motion."""
    novelty: Path | None = None
    """Pose store that the lifters were trained on: errors and radii by the distance to its nearest pose, too."""
    observations: tuple[Path, ...] = ()
    """Files of observations (`poseterior data import`), each a protocol of its own; of those without 3D poses what can
    be measured goes into OUT/without_truth.json."""
    labels: Path | None = None
    """Depth-order labels (`poseterior labels import`) of observations without 3D poses: Parquet file."""
    protocol: tuple[str, ...] = ()
    """Protocols or groups of them (default: all for which there is data)."""
    peer: tuple[str, ...] = ()
    """Functions (keypoints, n) -> samples to compare too, as module:function."""
    results: tuple[str, ...] = ()
    """Answers made elsewhere, as NAME=FOLDER of PROTOCOL.npz, or NAME=FILE."""
    out: Path = Path("bench")
    """Folder of the result, the report, and what is kept between runs."""
    samples: int = 200
    """Hypotheses per pose."""
    poses: int | None = None
    """Poses of a main protocol, at most (default: 1000; of --published all as the paper has them)."""
    sweep_poses: int = 200
    """Poses of each protocol of a sweep, at most."""
    mode_poses: int = 60
    """Measure the mode on so many poses (mode finding is slow)."""
    seed: int = 0
    """Seed of the samples."""
    evidence: OnOff = "on"
    """Give answers what the keypoints say exactly; off: as the network gives them, whose regions are not calibrated."""
    checkpoint: str | None = None
    """Of lifters that are folders of runs: a step that they keep, best (by validation) or last."""
    device: str = "cpu"
    """cpu, cuda or auto."""

    def run(self) -> None:
        import sys

        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from ..evaluation.novelty import reference
        from ..evaluation.plan import entries, tasks
        from ..evaluation.run import Settings, run_benchmark
        from ..files.errors import InputError
        from ..files.writing import check_folder, check_outputs
        from ..lifting.clips import SMOOTHING
        from ..view.report.page import save_report
        from ._common import check_device, lifter_folder, weights_of
        from ._going_on import goes_on

        if self.checkpoint is not None and not self.lifters:
            raise InputError("--checkpoint: name the folders of runs to compare")
        self.lifters = tuple(weights_of(lifter, self.checkpoint) for lifter in self.lifters)
        inputs = [
            self.data,
            self.cross,
            self.strangers,
            self.novelty,
            self.labels,
            *self.observations,
            *map(lifter_folder, self.lifters),
        ]
        inputs += [Path(given.partition("=")[2]) for given in self.results if "=" in given]
        written = (
            "bench.json",
            "poses.parquet",
            "report.html",
            "units",
            "observations",
            "published.json",
            "without_truth.json",
            "rotations.json",
        )
        check_outputs({"--out": [self.out / name for name in written]}, inputs)
        check_folder(self.out)
        device = check_device(self.device)
        if self.rotations:
            from ._rotations import run_rotations

            self._only_for("--rotations", "observations", "labels", "published")
            run_rotations(self.lifters, self.data, self.novelty, self.poses or 1000, self.out)
            return
        if self.published is not None:
            from ._papers import run_paper

            self._only_for("--published", "novelty", "labels")
            run_paper(
                self.published, self.lifters, self.observations, self.data, self.out,
                poses=self.poses, samples=self.samples, seed=self.seed, device=device,
            )  # fmt: skip
            return
        settings = Settings(
            self.samples,
            1000 if self.poses is None else self.poses,
            self.sweep_poses,
            self.mode_poses,
            self.seed,
            device,
        )
        settings.check()
        flat, known = self._by_truth()
        if flat:
            self._run_flat(flat, device)
            if not (known or self.data or self.cross or self.strangers):
                return
        protocols = tasks(self.protocol, self.data, self.cross, known, self.strangers)
        lifters = entries(self.lifters, self.peer, self.results, self.samples, device, self.evidence == "on")
        trained_on = None if self.novelty is None else reference(self.novelty)
        columns = (
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        errors = Console(stderr=True)
        bar = Progress(*columns, console=errors, disable=not errors.is_terminal)
        with goes_on(lambda: any((self.out / "units").glob("*"))), bar:
            task = bar.add_task("", total=None)

            def report(what: str, done: int, total: int) -> None:
                bar.update(task, description=what, completed=done, total=total)

            command = " ".join(["poseterior", *sys.argv[1:]])
            result = run_benchmark(lifters, protocols, self.out, settings, command, report, trained_on, SMOOTHING)
        console = Console()
        # Where nobody looks at a screen, no column has to be cut.
        Console(width=console.width if console.is_terminal else 120).print(_tables(result))
        page = self.out / "report.html"
        save_report(result, page)
        print(f"wrote {self.out / 'bench.json'}")
        print(f"wrote {self.out / 'poses.parquet'}")
        print(f"wrote {page}")

    def _by_truth(self) -> tuple[dict[str, ObservationSet], tuple[Path, ...]]:
        """Observations without 3D poses, by name, and the files of those with some."""
        from ..data.observations import load_observations
        from ..evaluation.without_truth import has_truth
        from ..files.errors import InputError

        flat: dict[str, ObservationSet] = {}
        for path in self.observations:
            data = load_observations(path)
            if has_truth(data):
                continue
            if path.stem in flat:
                raise InputError(f"two protocols are called {path.stem!r}; rename the file")
            flat[path.stem] = data
        if self.labels is not None and not flat:
            raise InputError("--labels: is for observations without 3D poses; pass some as --observations FILE")
        return flat, tuple(path for path in self.observations if path.stem not in flat)

    def _run_flat(self, observations: dict[str, ObservationSet], device: str) -> None:
        import json

        from rich.console import Console

        from ..data.labels.labels import load_labels
        from ..evaluation.papers.running import named
        from ..evaluation.subsets import spread_poses
        from ..evaluation.without_truth import measure_without_truth
        from ..files.writing import atomic_write, make_folder
        from ..lifters import list_shipped, load
        from ._flat import flat_tables

        lifters = {
            name: load(folder, evidence=self.evidence == "on")
            for name, folder in named(self.lifters or tuple(list_shipped())).items()
        }
        labels = None if self.labels is None else load_labels(self.labels)
        console, found = Console(), {}
        for protocol, data in observations.items():
            some = spread_poses(data, self.poses or 1000)
            found[protocol] = {
                name: measure_without_truth(lifter, some, labels, samples=self.samples, seed=self.seed, device=device)
                for name, lifter in lifters.items()
            }
            Console(width=console.width if console.is_terminal else 120).print(flat_tables(found[protocol]))
        make_folder(self.out)
        path = self.out / "without_truth.json"
        with atomic_write(path) as file:
            file.write((json.dumps(found, indent=2) + "\n").encode())
        print(f"wrote {path}")

    def _only_for(self, option: str, *others: str) -> None:
        """Refuse what an evaluation with a protocol of its own does not have."""
        from ..files.errors import InputError

        for name in ("cross", "strangers", "protocol", "peer", "results", *others):
            if getattr(self, name):
                raise InputError(f"--{name}: does not go with {option}, which has its own protocol")
        if self.evidence == "off":
            raise InputError(f"--evidence off: does not go with {option}")
