"""The Lightning module that trains any lifter with any mixture of objectives on simulated observations.

Batch number ``step`` is drawn from a generator seeded by (seed, step, process), so a resumed run sees exactly
the batches that an unbroken one would have seen.
"""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ..data.observations import Observations
from ..data.simulation.clips import KeypointPairs
from ..files.errors import InputError
from ..lifters import Model
from ..objectives import Objective
from .recipes import Schedule

#: As torch's averaging gives them.
_Tensors = tuple[Tensor, ...] | list[Tensor]

__all__ = ["LiftingModule", "batch_generator", "learning_rate_factor"]


def _step_seed(seed: int, step: int, stream: int) -> int:
    """A seed of its own for each of 4096 streams of random numbers in each step of a run."""
    return ((seed * 1_000_003 + step) * 4096 + stream) % 2**63


def batch_generator(seed: int, step: int, process: int = 0) -> torch.Generator:
    """The generator of one training batch."""
    return torch.Generator().manual_seed(_step_seed(seed, step, process))


def learning_rate_factor(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then a cosine down to ``schedule.final``."""
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    progress = min(1.0, (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup))
    return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress))


class LiftingModule(L.LightningModule):
    """Trains ``lifter`` on the weighted sum of the objectives' terms.

    Args:
        lifter: the lifter, or the prior; its weights' moving average is `averaged`.
        objectives: (weight, objective) pairs.
        schedule: see `Schedule`.
    """

    def __init__(self, lifter: Model, objectives: list[tuple[float, Objective]], schedule: Schedule) -> None:
        super().__init__()
        self.lifter = lifter
        self.objectives = torch.nn.ModuleList(objective for _, objective in objectives)
        self.weights = [weight for weight, _ in objectives]
        self.schedule = schedule
        self.average: AveragedModel | None = None
        if schedule.average > 0:
            self.average = AveragedModel(lifter, multi_avg_fn=self._average_in, use_buffers=True)
            self.average.requires_grad_(False)

    @torch.no_grad()
    def _average_in(self, averages: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        """Moving average whose memory grows with the run, so that short runs do not keep their first weights."""
        if averages[0].is_floating_point():
            decay = min(self.schedule.average, (1.0 + int(count)) / (10.0 + int(count)))
            current = torch._foreach_lerp(current, averages, decay)
        torch._foreach_copy_(averages, current)

    @property
    def averaged(self) -> Model:
        """The lifter to save: the moving average if there is one."""
        return self.lifter if self.average is None else self.average.module  # type: ignore[return-value]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch.to(device) if isinstance(batch, Observations | KeypointPairs) else batch

    def terms(self, lifter: Model, observations: Observations) -> dict[str, Tensor]:
        """Weighted loss terms by name."""
        terms: dict[str, Tensor] = {}
        for weight, objective in zip(self.weights, self.objectives, strict=True):
            for name, value in objective(lifter, observations).items():
                terms[name] = terms.get(name, 0.0) + weight * value
        return terms

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        # Dropout and samples draw from torch's global generator: it is set by the step, so that runs resume exactly.
        # Batches have the first half of the streams.
        torch.manual_seed(_step_seed(self.schedule.seed, self.global_step, 2048 + self.global_rank))

    def training_step(self, batch: Observations, batch_index: int) -> Tensor:
        watched: dict[str, Tensor] = {}
        for objective in self.objectives:
            assert isinstance(objective, Objective)
            watched |= objective.update_auxiliary(self.lifter, batch)
        terms = self.terms(self.lifter, batch)
        loss = torch.stack(list(terms.values())).sum()
        if not self.trainer.strategy.reduce_boolean_decision(bool(loss.isfinite())):
            shown = ", ".join(f"{name} {float(value):g}" for name, value in terms.items())
            raise InputError(
                f"training stopped at step {self.global_step}: the loss is not finite ({shown}); lower "
                "schedule.learning_rate or schedule.clip, and check the data with `poseterior data inspect`"
            )
        self.log_dict({name: value.detach() for name, value in (terms | watched).items()})
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.average.update_parameters(self.lifter)

    def validation_step(self, batch: Observations, batch_index: int) -> None:
        lifter = self.averaged
        training = lifter.training
        lifter.eval()
        loss = torch.stack(list(self.terms(lifter, batch).values())).sum()
        lifter.train(training)
        self.log("validation", loss, batch_size=len(batch.keypoints), sync_dist=True)

    def configure_optimizers(self) -> Any:
        matrices = [p for p in self.lifter.parameters() if p.ndim > 1]
        vectors = [p for p in self.lifter.parameters() if p.ndim <= 1]
        # An objective's own networks learn beside the lifter, but for those that it trains itself: these are frozen.
        vectors += [p for p in self.objectives.parameters() if p.requires_grad]
        groups = [
            {"params": matrices, "weight_decay": self.schedule.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        betas = (self.schedule.beta1, self.schedule.beta2)
        # Lightning does not clip what a fused optimiser unscales by itself, as in mixed precision.
        fused = self.trainer.precision == "32-true"
        optimizer = torch.optim.AdamW(groups, lr=self.schedule.learning_rate, betas=betas, fused=fused)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, self.schedule))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
