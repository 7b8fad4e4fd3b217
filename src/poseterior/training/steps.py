"""The folder of a run: which weights it keeps, of which steps.

``weights/`` are those of the last step, ``best/`` those of the best validation, ``steps/STEP/`` those along the way and
of where a run was interrupted. Each is a lifter's folder. Nothing heavy is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..files.errors import InputError

__all__ = ["BEST", "STEPS", "WEIGHTS", "WRITTEN", "finished", "kept_steps", "run_weights", "step_of"]

STEPS, BEST, WEIGHTS = "steps", "best", "weights"
#: What a run writes into its folder.
WRITTEN = ("recipe.yaml", "losses.csv", "checkpoints", "tensorboard", STEPS, BEST, WEIGHTS)


def _is_lifter(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def kept_steps(run: Path) -> dict[int, Path]:
    """Folders of the weights that a run keeps, by step, the earliest first."""
    found = {}
    for folder in (run / STEPS).glob("*") if (run / STEPS).is_dir() else ():
        if folder.name.isdecimal() and _is_lifter(folder):
            found[int(folder.name)] = folder
    last = step_of(run / WEIGHTS) if _is_lifter(run / WEIGHTS) else None
    if last is not None:
        found[last] = run / WEIGHTS
    return dict(sorted(found.items()))


def step_of(folder: Path) -> int | None:
    """The step that weights are of, as their card says; None where it does not."""
    try:
        step = json.loads((folder / "card.json").read_text())["training"]["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) else None


def run_weights(name: str, checkpoint: str | None = None) -> str:
    """The folder of a run's weights; a shipped lifter's name and a lifter's own folder stay what they are.

    Args:
        name: a shipped lifter, a folder of weights, or the folder of a run (`poseterior train`).
        checkpoint: of a run: ``"last"`` (also None), ``"best"`` (by validation), or a step.

    Raises:
        InputError: a checkpoint of what is no run, or one that the run does not keep; says which ones it does.
    """
    run = Path(name)
    if not (run / "recipe.yaml").is_file() or _is_lifter(run):
        if checkpoint is not None:
            raise InputError(f"--checkpoint {checkpoint}: {name} is no folder of a run (`poseterior train ... --out`)")
        return name
    if checkpoint == BEST:
        if not _is_lifter(run / BEST):
            raise InputError(
                f"--checkpoint best: {name} has none: it has not validated yet, or never does "
                "(schedule.validate_every, data.validation)"
            )
        return str(run / BEST)
    kept = kept_steps(run)
    if checkpoint in (None, "last"):
        if _is_lifter(run / WEIGHTS):
            return str(run / WEIGHTS)
        if not kept:
            raise InputError(f"{name}: a run that keeps no weights yet (schedule.keep_every); go on with --resume")
        return str(kept[max(kept)])
    if not checkpoint.isdecimal():
        raise InputError(f"--checkpoint: expected a step, best or last, got {checkpoint!r}")
    if int(checkpoint) not in kept:
        listed = ", ".join(map(str, kept)) or "none"
        raise InputError(
            f"--checkpoint {checkpoint}: {name} keeps no weights of that step; it has {listed} (schedule.keep_every)"
        )
    return str(kept[int(checkpoint)])


def finished(run: Path, asked: dict[str, Any]) -> Path | None:
    """The weights of a run that has been to its end by exactly this recipe; None where there is something to do.

    Args:
        run: its folder.
        asked: the recipe as cards say it, see `poseterior.training.recipes.Recipe.for_card`.
    """
    try:
        card = json.loads((run / WEIGHTS / "card.json").read_text())
    except (OSError, ValueError):
        return None
    same = isinstance(card, dict) and card.get("recipe") == json.loads(json.dumps(asked))
    return run / WEIGHTS if same and _is_lifter(run / WEIGHTS) else None
