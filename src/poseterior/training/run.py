"""Run a recipe: data in, weights with their card out. Runs resume from their last checkpoint."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from .. import __version__
from ..data.simulator import Simulator
from ..data.store import Mocap, PoseStore
from ..errors import InputError
from ..lifters import Lifter, load, method
from ..objectives import make_objective
from .module import LiftingModule, SimulatedBatches, batch_generator
from .recipes import Recipe

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
    """

    out: Path
    resume: bool = False
    device: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    strategy: str = "auto"
    workers: int = 0
    progress: bool = True


def load_mocap(stores: tuple[str, ...], fps: float) -> Mocap:
    """All frames of some stores, thinned to about ``fps``.

    Raises:
        InputError: no store named, or a folder that is none.
    """
    if not stores:
        raise InputError("no training data: pass data=STORE (made by `poseterior data import`)")
    return Mocap.cat([PoseStore(store).load(fps=fps) for store in stores])


def split_clips(mocap: Mocap, share: float, seed: int = 0) -> tuple[Mocap, Mocap | None]:
    """Hold out a share of the clips (whole clips, so that no neighbouring frame leaks)."""
    clips = np.unique(mocap.clip)
    held = round(share * len(clips))
    if held == 0 or held >= len(clips):
        return mocap, None
    out = np.random.default_rng(seed).permutation(clips)[:held]
    mask = np.isin(mocap.clip, out)
    return mocap.select(~mask), mocap.select(mask)


def build_lifter(settings: dict[str, Any]) -> Lifter:
    """The untrained lifter of a recipe's ``lifter`` section; ``init: NAME|FOLDER`` starts from trained weights."""
    values = dict(settings)
    start = values.pop("init", None)
    cls = method(values.pop("method"))
    if start is not None:
        return load(start).train()
    return cls(cls.config_class.from_dict(values))


class _LossTable(Callback):
    """Writes ``losses.csv`` (step and each term) so that runs can be compared; resumed runs go on exactly."""

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        kept: list[list[str]] = []
        if self.path.exists():
            with self.path.open() as file:
                rows = list(csv.reader(file))
            kept = rows[:1] + [row for row in rows[1:] if row and int(row[0]) <= trainer.global_step]
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows(kept if trainer.global_step else [])

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        step = trainer.global_step
        if not trainer.is_global_zero or step % self.every:
            return
        skip = ("poses/s", "validation")
        terms = {k: float(v) for k, v in trainer.callback_metrics.items() if k not in skip}
        fresh = self.path.stat().st_size == 0
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", *terms])
            writer.writerow([step, *(repr(value) for value in terms.values())])


def _commit() -> str:
    here = Path(__file__).resolve().parent
    answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def _last_checkpoint(folder: Path) -> Path:
    path = folder / "checkpoints" / "last.ckpt"
    if not path.is_file():
        raise InputError(f"{folder}: nothing to resume: {path} does not exist")
    return path


def _process(devices: int) -> int:
    """Number of this process among all that train together (Lightning starts the others with these variables)."""
    return int(os.environ.get("NODE_RANK", "0")) * devices + int(os.environ.get("LOCAL_RANK", "0"))


def _accelerator(device: str) -> str:
    known = ("auto", "cpu", "cuda", "gpu", "mps")
    if device not in known:
        raise InputError(f"--device: expected one of {', '.join(known)}, got {device!r}")
    if device in ("cuda", "gpu") and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; use --device cpu")
    return "gpu" if device == "cuda" else device


def train(recipe: Recipe, options: TrainingOptions) -> Path:
    """Train by a recipe and return the folder of the weights.

    Raises:
        InputError: no data, a broken recipe, nothing to resume, an existing run without ``resume``, or a loss
            that is not finite.
    """
    schedule = recipe.schedule
    out = Path(options.out)
    process = _process(options.devices)
    if process == 0 and (out / "recipe.yaml").exists() and not options.resume:
        raise InputError(f"{out}: holds a run already; go on with --resume, or choose another --out")
    checkpoint = _last_checkpoint(out) if options.resume else None
    mocap = load_mocap(recipe.stores, recipe.fps)
    training, held = split_clips(mocap, recipe.validation, schedule.seed)
    L.seed_everything(schedule.seed, verbose=False)
    lifter = build_lifter(recipe.lifter)
    objectives = [
        (
            float(o.get("weight", 1.0)),
            make_objective(o["name"], {k: v for k, v in o.items() if k not in ("name", "weight")}),
        )
        for o in recipe.objectives
    ]
    simulator = Simulator(training, recipe.simulator)
    lifter.fit_constants(simulator(20_000, batch_generator(schedule.seed, 10_000_000)))
    module = LiftingModule(lifter, objectives, schedule)

    start = 0
    if checkpoint is not None:
        start = int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
    if process == 0:
        out.mkdir(parents=True, exist_ok=True)
        (out / "recipe.yaml").write_text(yaml.safe_dump(recipe.as_dict(), sort_keys=False))
    batches = SimulatedBatches(simulator, schedule, start, process)
    validation: DataLoader[Any] | None = None
    if held is not None and schedule.validate_every:
        fixed = Simulator(held, recipe.simulator)(2048, batch_generator(schedule.seed, 20_000_000))
        validation = DataLoader([fixed], batch_size=None)  # type: ignore[arg-type]
    callbacks: list[Callback] = [
        ModelCheckpoint(
            dirpath=out / "checkpoints",
            every_n_train_steps=schedule.save_every,
            save_last=True,
            save_top_k=1,
            filename="step",
            enable_version_counter=False,
        ),
        _LossTable(out / "losses.csv", schedule.log_every),
    ]
    if options.progress:
        callbacks.append(RichProgressBar())
    trainer = L.Trainer(
        accelerator=_accelerator(options.device),
        devices=options.devices,
        strategy=options.strategy,
        precision=options.precision,  # type: ignore[arg-type]
        max_steps=schedule.steps,
        max_epochs=-1,
        gradient_clip_val=schedule.clip,
        logger=TensorBoardLogger(str(out), name="", version="tensorboard"),
        log_every_n_steps=schedule.log_every,
        val_check_interval=schedule.validate_every if validation is not None else None,
        check_val_every_n_epoch=None,
        limit_val_batches=1 if validation is not None else 0,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        enable_progress_bar=options.progress,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    begun, commit = time.time(), _commit()
    trainer.fit(
        module,
        train_dataloaders=DataLoader(batches, batch_size=None, num_workers=min(options.workers, 1)),
        val_dataloaders=validation,
        ckpt_path=str(checkpoint) if checkpoint else None,
        weights_only=True,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt
    weights = out / "weights"
    if trainer.is_global_zero:
        averaged = module.averaged.cpu().eval()
        if recipe.calibrate is not None:
            if held is None:
                raise InputError("calibrate: needs held-out clips; raise data.validation")
            natural = Simulator(held, recipe.calibrate)(8192, batch_generator(schedule.seed, 30_000_000))
            averaged.calibrate(natural)
        card = {
            "name": recipe.name,
            "version": __version__,
            "commit": commit,
            "recipe": recipe.as_dict() | {"data": recipe.as_dict()["data"] | {"stores": _names(recipe.stores)}},
            "data": {
                "clips": len(np.unique(mocap.clip)),
                "frames": len(mocap.clip),
                "sources": sorted({str(s) for s in mocap.source_names}),
            },
            "licence": "",
            "training": {
                "seconds": round(time.time() - begun, 1),
                "resumed_at_step": start,
                "torch": torch.__version__,
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            },
            "metrics": {},
        }
        averaged.save_pretrained(weights, card)
        (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    return weights


def _names(stores: tuple[str, ...]) -> list[str]:
    return [Path(store).name for store in stores]
