"""Run a recipe: data in, weights with their card out. Runs resume from their last checkpoint."""

from __future__ import annotations

import dataclasses
import os
import platform
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from .._version import __version__
from ..data.labels.labels import load_labels
from ..data.labels.simulated import LabelledSimulator, attach_labels, label_observations
from ..data.observations import Observations, load_observations
from ..data.simulation.clips import ClipSimulator, StoredKeypoints
from ..data.simulation.simulator import Simulator, SimulatorConfig
from ..data.store import Mocap, PoseStore
from ..files.checks import naming
from ..files.errors import InputError
from ..files.settings import check_settings, whole
from ..files.writing import atomic_write, check_folder, check_outputs, make_folder
from ..lifters import Model, load_model, model_class
from ..lifters.base import build_model
from ..nn.dense import full_width
from ..objectives import Objective, make_objective
from .batches import Batches, Draw, HidingJoints, StoredObservations, split_observations
from .checkpoints import WholeCheckpoints, newest_checkpoint, read_step
from .interrupts import Interrupted, StopsBetweenSteps
from .keeping import KeptWeights
from .logs import LossTable, quiet_log_threads, write_failure
from .matching import NO_DATA, check_seen, check_there, check_truth, simulator_for
from .module import LiftingModule, batch_generator
from .phases import Phases
from .progress import StepProgress
from .recipes import Recipe, Schedule, read_recipe
from .resuming import check_same_run
from .steps import BEST, WEIGHTS, WRITTEN, finished
from .unused import changed_from, refuse_unused_by_lifter

__all__ = ["TrainingOptions", "build_lifter", "load_mocap", "split_clips", "train"]


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How to run, as opposed to what to train.

    Attributes:
        out: folder of the run: checkpoints, logs, and ``weights/`` at the end.
        resume: go on from the last checkpoint in ``out``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...
        devices: number of devices or processes.
        precision: Lightning's, e.g. ``"32-true"``, ``"bf16-mixed"``.
        strategy: Lightning's, e.g. ``"ddp"``.
        workers: processes that simulate observations beside the training (0: in the training process).
        progress: show a progress bar.

    Raises:
        InputError: an option that is none of those known.
    """

    out: Path
    resume: bool = False
    device: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    strategy: str = "auto"
    workers: int = 0
    progress: bool = True

    def __post_init__(self) -> None:
        for name, value, known in (
            ("--precision", self.precision, ("32-true", "bf16-mixed", "16-mixed")),
            ("--strategy", self.strategy, ("auto", "ddp")),
            ("--workers", self.workers, (0, 1)),
        ):
            if value not in known:
                raise InputError(f"{name}: expected one of {', '.join(map(str, known))}, got {value!r}")
        whole(self.devices, "--devices", 1, expected="at least 1")


def load_mocap(stores: tuple[str, ...], fps: float) -> Mocap:
    """All frames of some stores, thinned to about ``fps``.

    Raises:
        InputError: no store named, or a folder that is none.
    """
    if not stores:
        raise InputError(NO_DATA)
    return Mocap.cat([PoseStore(store).load(fps=fps) for store in stores])


def split_clips(mocap: Mocap, share: float, seed: int = 0) -> tuple[Mocap, Mocap | None]:
    """Hold out a share of the clips, at least one (whole clips, so that no neighbouring frame leaks)."""
    clips = np.unique(mocap.clip)
    if share == 0 or len(clips) < 2:
        return mocap, None
    held = min(max(1, round(share * len(clips))), len(clips) - 1)
    out = np.random.default_rng(seed).permutation(clips)[:held]
    mask = np.isin(mocap.clip, out)
    return mocap.select(~mask), mocap.select(mask)


@dataclasses.dataclass(frozen=True)
class _TrainingData:
    """What a run learns from.

    Attributes:
        training, held: observations to learn from, and of the held-out share (None: nothing is held out).
        natural: held-out observations for `Lifter.calibrate`, where the recipe asks for it.
        card: what the card says of the data.
        licences: of the data.
    """

    training: Draw
    held: Draw | None
    natural: Draw | None
    card: dict[str, Any]
    licences: str


def _simulated(recipe: Recipe, mocap: Mocap, simulator: type[Simulator], config: SimulatorConfig) -> Draw:
    if recipe.labels is not None:
        return LabelledSimulator(mocap, config, recipe.labels)
    return simulator(mocap, config)


def _stored(recipe: Recipe, observations: Observations, keypoints_only: bool) -> Draw:
    draw: Draw = StoredKeypoints(observations) if keypoints_only else StoredObservations(observations)
    return HidingJoints(draw, recipe.simulator) if recipe.hides else draw


def _from_stores(recipe: Recipe, simulator: type[Simulator]) -> _TrainingData:
    mocap = load_mocap(recipe.stores, recipe.fps)
    kept, left = split_clips(mocap, recipe.validation, recipe.schedule.seed)
    training = _simulated(recipe, kept, simulator, recipe.simulator)
    if recipe.views:
        training = StoredObservations(training(recipe.views, batch_generator(recipe.schedule.seed, 40_000_000)))
    held = None if left is None else _simulated(recipe, left, simulator, recipe.simulator)
    natural: Draw | None = None
    if left is not None and recipe.calibrate is not None:
        natural = simulator(left, recipe.calibrate)
    card = {
        "clips": len(np.unique(mocap.clip)),
        "frames": len(mocap.clip),
        "sources": sorted({str(s) for s in mocap.source_names}),
    }
    return _TrainingData(training, held, natural, card, _licences(recipe.stores))


def _from_observations(recipe: Recipe, keypoints_only: bool, objectives: Sequence[Objective]) -> _TrainingData:
    assert recipe.observations is not None
    data = load_observations(recipe.observations)
    files = {i.file for i in data.observations.keypoints.ids}
    check_truth(recipe, objectives, data.observations, "")
    stored, apart = split_observations(data, recipe.validation, recipe.schedule.seed)
    check_truth(recipe, objectives, stored, "those to learn from")
    if apart is not None:
        check_truth(recipe, objectives, apart, "those held out by data.validation")
    if recipe.label_file is not None:
        labels = load_labels(recipe.label_file)
        stored, apart = attach_labels(stored, labels), None if apart is None else attach_labels(apart, labels)
    elif recipe.labels is not None:
        generator = batch_generator(recipe.schedule.seed, 40_000_000)
        stored = label_observations(stored, recipe.labels, generator)
        apart = None if apart is None else label_observations(apart, recipe.labels, generator)
    held = None if apart is None else _stored(recipe, apart, keypoints_only)
    if recipe.views:
        generator = batch_generator(recipe.schedule.seed, 50_000_000)
        stored = stored[torch.randperm(len(stored.pose), generator=generator)[: recipe.views]]
    card = {"clips": len(files), "frames": len(data), "sources": [data.protocol]}
    natural = None if recipe.calibrate is None else held
    return _TrainingData(_stored(recipe, stored, keypoints_only), held, natural, card, "not stated by the data")


def _training_data(
    recipe: Recipe, simulator: type[Simulator] = Simulator, objectives: Sequence[Objective] = ()
) -> _TrainingData:
    if recipe.observations is not None:
        data = _from_observations(recipe, simulator is ClipSimulator, objectives)
    else:
        data = _from_stores(recipe, simulator)
    if recipe.calibrate is not None and data.held is None:
        raise InputError(
            "calibrate: needs held-out clips: import at least two, with data.validation above 0, or pass calibrate=null"
        )
    return data


def build_lifter(settings: dict[str, Any], given: frozenset[str] = frozenset()) -> Model:
    """The untrained lifter (or prior) of a recipe's ``lifter`` section; ``init: NAME|FOLDER`` starts from weights.

    Args:
        settings: the section.
        given: names that the user set (``lifter.width``): refused where the weights to start from say otherwise, or
            where they have no effect.
    """
    values = dict(settings)
    start = values.pop("init", None)
    cls = model_class(values.pop("method"))
    if start is None:
        new = build_model(cls.name, values)
        refuse_unused_by_lifter(given, new.name, new.config)
        return new
    loaded = load_model(start)
    model = cls.started_from(loaded, values)
    if model is None:
        raise InputError(f"lifter.init: {start} holds a {loaded.name!r} lifter, the recipe names {cls.name!r}")
    check_settings("lifter", values, [f.name for f in dataclasses.fields(model.config)], f" for {cls.name!r}")
    changed_from(given, values, model.config, str(start))
    model.requires_grad_(True).train()
    model.recalibration = model.evidence = None  # they were of the weights as they are before training
    return model


def _commit() -> str:
    """The commit of this checkout, or "unknown" (installed as a package, or no git)."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return "unknown"
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return answer.stdout.strip() or "unknown"


def _licences(stores: tuple[str, ...]) -> str:
    found = {PoseStore(store).metadata.get("licence", "") for store in stores}
    return "; ".join(sorted(text for text in found if text)) or "not stated by the data"


def _process(devices: int) -> int:
    """Number of this process among all that train together (Lightning starts the others with these variables)."""
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return int(node) * devices + int(os.environ.get("LOCAL_RANK", "0"))


def _accelerator(device: str) -> str:
    known = ("auto", "cpu", "cuda", "gpu", "mps")
    if device not in known:
        raise InputError(f"--device: expected one of {', '.join(known)}, got {device!r}")
    if device in ("cuda", "gpu") and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "gpu" if device == "cuda" else device


def train(
    recipe: Recipe | str | Path,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    resume: bool = False,
    device: str = "auto",
    devices: int = 1,
    precision: str = "32-true",
    strategy: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Train by a recipe and return the folder of the weights.

    Args:
        recipe: a recipe, the name of a shipped one, or a YAML file.
        out: folder of the run: checkpoints, logs, and ``weights/`` at the end.
        changes: ``key=value`` changes to the recipe, see `poseterior.training.recipes.read_recipe`.
        resume: go on from the last checkpoint in ``out``.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` ...
        devices: number of devices or processes.
        precision: Lightning's, e.g. ``"32-true"``, ``"bf16-mixed"``.
        strategy: Lightning's, e.g. ``"ddp"``.
        workers: 0, or 1 to simulate observations in a process beside the training.
        progress: show a progress bar.

    Raises:
        InputError: no data, a broken recipe or option, nothing to resume, an existing run without ``resume``, or a
            loss that is not finite.
    """
    if not isinstance(recipe, Recipe):
        recipe = read_recipe(recipe, changes)
    elif changes:
        raise InputError(
            "changes: a recipe that is read already takes none; pass its name, or make them in read_recipe"
        )
    options = TrainingOptions(Path(out), resume, device, devices, precision, strategy, workers, progress)
    accelerator, process = _accelerator(options.device), _process(options.devices)
    if not options.resume:
        inputs = [*recipe.stores, recipe.observations, recipe.label_file, recipe.lifter.get("init")]
        check_outputs({"--out": [options.out / name for name in WRITTEN]}, inputs)
    if options.resume and process == 0 and (done := finished(options.out, recipe.for_card())) is not None:
        return done
    check_folder(options.out)
    checkpoint = _resumed(recipe, options, process)
    phases = Phases(options.progress and process == 0)
    L.seed_everything(recipe.schedule.seed, verbose=False)
    lifter = build_lifter(recipe.lifter, recipe.given)
    if lifter.skeleton.name != "h36m17":
        raise InputError(
            f"lifter.skeleton: poses to learn from are h36m17, not {lifter.skeleton.name}; lifters of other joints can "
            "be used, measured and calibrated, but not trained"
        )
    objectives = [(float(o.get("weight", 1.0)), _objective(o)) for o in recipe.objectives]
    check_seen(recipe, lifter, [objective for _, objective in objectives])
    simulator = simulator_for(recipe, [objective for _, objective in objectives])
    check_there(recipe)
    phases.say(f"reading {', '.join([*recipe.stores, *filter(None, [recipe.observations])]) or 'the data'}")
    data = _training_data(recipe, simulator, [objective for _, objective in objectives])
    if data.held is None and "schedule.validate_every" in recipe.given and recipe.schedule.validate_every:
        raise InputError(
            "schedule.validate_every: has no effect here: nothing is held out; set data.validation above 0 (of more "
            "than one clip), or drop it"
        )
    if "init" not in recipe.lifter:
        phases.say("measuring what inputs and outputs are divided by, on 20,000 poses")
        with naming(recipe.observations or ", ".join(recipe.stores)):
            lifter.fit_constants(data.training(20_000, batch_generator(recipe.schedule.seed, 10_000_000)))
    module = LiftingModule(lifter, objectives, recipe.schedule)
    start = 0 if checkpoint is None else read_step(checkpoint)
    if checkpoint is None:
        with phases.counted() as report:
            for _, objective in objectives:
                objective.prepare(data.training, lifter, recipe.schedule.seed, report)
    else:
        phases.say(f"going on at step {start} from {checkpoint}")
    if process == 0:
        make_folder(options.out)
        with atomic_write(options.out / "recipe.yaml") as file:
            file.write(yaml.safe_dump(recipe.as_dict(), sort_keys=False).encode())
    begun, commit = time.time(), _commit()
    validation = _validation(recipe.schedule, data)

    def card(step: int) -> dict[str, Any]:
        return _card(recipe, data, commit, time.time() - begun, start, step)

    keeping = KeptWeights(options.out, recipe.schedule.kept, card)
    trainer = _trainer(recipe.schedule, options, accelerator, validation is not None, keeping)
    batches = DataLoader(
        Batches(data.training, recipe.schedule, start, process),
        batch_size=None,
        num_workers=options.workers,
        worker_init_fn=_leave_interrupts_to_the_run if options.workers else None,
    )
    _fit(trainer, module, batches, validation, checkpoint, options.out, keeping)
    weights = options.out / WEIGHTS
    if trainer.is_global_zero:
        averaged = module.averaged.cpu().eval()
        if recipe.calibrate is not None:
            phases.say("fitting error bars on held-out clips")
            _calibrate_best(options.out / BEST, recipe, data)
            averaged.calibrate(_natural(recipe, data))
        averaged.save_pretrained(weights, card(trainer.global_step))
    return weights


def _natural(recipe: Recipe, data: _TrainingData) -> Any:
    assert data.natural is not None
    return data.natural(8192, batch_generator(recipe.schedule.seed, 30_000_000))


def _calibrate_best(folder: Path, recipe: Recipe, data: _TrainingData) -> None:
    """Fit what is left to fit of the weights of the best validation, too."""
    if (folder / "config.json").is_file():
        best = load_model(folder)
        best.calibrate(_natural(recipe, data))
        best.save_pretrained(folder)


def _leave_interrupts_to_the_run(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal; the run itself ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _resumed(recipe: Recipe, options: TrainingOptions, process: int) -> Path | None:
    """The checkpoint to go on from, if any; refuses what cannot be gone on with, and to overwrite a run."""
    if not options.resume:
        if process == 0 and (options.out / "recipe.yaml").exists():
            raise InputError(f"{options.out}: holds a run already; go on with --resume, or choose another --out")
        return None
    check_same_run(recipe, options.out)
    # A run that ended before its first checkpoint goes on from the start: its batches are the same by design.
    return newest_checkpoint(options.out / "checkpoints", quiet=process != 0)


def _objective(settings: dict[str, Any]) -> Objective:
    """One entry of a recipe's ``objectives``."""
    return make_objective(settings["name"], {k: v for k, v in settings.items() if k not in ("name", "weight")})


def _validation(schedule: Schedule, data: _TrainingData) -> DataLoader[Any] | None:
    """The same held-out observations each time, or None where the run does not validate."""
    if data.held is None or not schedule.validate_every:
        return None
    fixed = data.held(2048, batch_generator(schedule.seed, 20_000_000))
    return DataLoader([fixed], batch_size=None)  # type: ignore[arg-type]


def _trainer(
    schedule: Schedule, options: TrainingOptions, accelerator: str, validates: bool, keeping: KeptWeights
) -> L.Trainer:
    checkpoints = ModelCheckpoint(
        dirpath=options.out / "checkpoints",
        every_n_train_steps=schedule.save_every,
        save_last=True,
        save_top_k=1,
        filename="step",
        enable_version_counter=False,
    )
    callbacks: list[Callback] = [checkpoints, LossTable(options.out / "losses.csv", schedule.log_every), keeping]
    if options.progress:
        callbacks.append(StepProgress(schedule.last, schedule.batch))
    return L.Trainer(
        accelerator=accelerator,
        devices=options.devices,
        strategy=options.strategy,
        precision=options.precision,  # type: ignore[arg-type]
        max_steps=schedule.last,
        max_epochs=-1,
        gradient_clip_val=schedule.clip,
        logger=TensorBoardLogger(str(options.out), name="", version="tensorboard"),
        log_every_n_steps=schedule.log_every,
        val_check_interval=schedule.validate_every if validates else None,
        check_val_every_n_epoch=None,
        limit_val_batches=1 if validates else 0,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _fit(
    trainer: L.Trainer,
    module: LiftingModule,
    batches: DataLoader[Any],
    validation: DataLoader[Any] | None,
    checkpoint: Path | None,
    out: Path,
    keeping: KeptWeights,
) -> None:
    """Run the steps; an interruption leaves as `Interrupted`, or `KeyboardInterrupt`, a full disk as `InputError`."""
    stops = StopsBetweenSteps(out / "checkpoints" / "last.ckpt", keeping)
    trainer.callbacks.append(stops)  # type: ignore[attr-defined]
    try:
        with quiet_log_threads(), full_width(), stops:
            trainer.fit(
                module,
                train_dataloaders=batches,
                val_dataloaders=validation,
                ckpt_path=str(checkpoint) if checkpoint else None,
                weights_only=True,
            )
    except SystemExit as stop:
        # Lightning leaves on Ctrl-C and SIGTERM by itself, the latter with an exit code that says success.
        raise (KeyboardInterrupt() if stops.step is None else Interrupted(stops.step)) from stop
    except Exception as error:
        failure = write_failure(error)
        if failure is None:
            raise
        raise InputError(
            f"{failure.filename or out}: cannot be written ({failure.strerror or failure}); the run stops, and goes on "
            "from its last checkpoint with --resume"
        ) from None
    if trainer.interrupted:
        raise KeyboardInterrupt


def _card(recipe: Recipe, data: _TrainingData, commit: str, seconds: float, start: int, step: int) -> dict[str, Any]:
    """What the weights' card says of the run that made them."""
    return {
        "name": recipe.name,
        "version": __version__,
        "commit": commit,
        "recipe": recipe.for_card(),
        "data": data.card,
        "licence of the data": data.licences,
        "licence": "see the licence of the data",
        "training": {
            "step": step,
            "seconds": round(seconds, 1),
            "resumed_at_step": start,
            "torch": torch.__version__,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        },
        "metrics": {},
    }
