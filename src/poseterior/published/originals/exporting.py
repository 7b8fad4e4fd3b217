"""Weights of ours as the original code's checkpoints: what `importing` reads, written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...files.checks import quote
from ...files.errors import InputError
from ...files.tensorflow import write_bundle
from ...files.writing import atomic_folder
from ...lifters.base import Model
from . import duenkel_2024, li_lee_2019, ronchi_2018, wehrbein_2021, yu_2021
from .old_container import save_old
from .tensors import to_theirs, with_counters

__all__ = ["METHODS", "RECIPES", "export_weights"]

#: System -> the method of ours that computes the same.
METHODS = {
    "wehrbein_2021": "flow-published",
    "duenkel_2024": "rotations-published",
    "ronchi_2018": "regression-published",
    "yu_2021": "unsupervised-published",
    "li_lee_2019": "mdn-published",
}
#: System -> a recipe that trains such a network.
RECIPES = {
    "wehrbein_2021": "flow-published",
    "duenkel_2024": "so3-published",
    "ronchi_2018": "relative-published",
    "yu_2021": "unsupervised-adv",
    "li_lee_2019": "mdn-published",
}


def export_weights(system: str, model: Model, folder: str | Path) -> list[str]:
    """Write a checkpoint in the original's container; returns the names of its files.

    Args:
        system: see `METHODS`.
        model: of that system's method.
        folder: a new one; it appears whole or not at all.

    Raises:
        InputError: an unknown system, or a model of another method.
    """
    if system not in METHODS:
        raise InputError(f"unknown system {quote(system)}; known: {', '.join(METHODS)}")
    if model.name != METHODS[system]:
        raise InputError(
            f"{system}: its code reads networks of the method {METHODS[system]!r}, not {model.name!r}; train one with "
            f"the recipe {RECIPES[system]!r}"
        )
    if Path(folder).exists():
        raise InputError(f"{folder}: exists already; choose a new folder")
    with atomic_folder(Path(folder).resolve()) as place:
        _WRITERS[system](model, Path(place))
        return sorted(file.name for file in Path(place).iterdir())


def _tensors(arrays: Mapping[str, NDArray[Any]]) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((name, torch.from_numpy(np.array(value))) for name, value in arrays.items())


def _wehrbein(model: Any, folder: Path) -> None:
    state = to_theirs(wehrbein_2021.pairs(range(1, 17, 2)), model.state_dict())
    torch.save({"net": _tensors(state)}, folder / "model.pt")


def _yu(model: Any, folder: Path) -> None:
    config, ours = model.config, model.state_dict()
    state = to_theirs(with_counters(yu_2021.pairs(config.width, config.blocks, config.scale != "none")), ours)
    torch.save({"epoch": 0, "pose_model_state_dict": _tensors(state)}, folder / "model_best.pth.tar")


def _ronchi(model: Any, folder: Path) -> None:
    config, ours = model.config, model.state_dict()
    free, scaled = config.output == "free", config.scale != "none"
    state = to_theirs(ronchi_2018.pairs(config.blocks, free, scaled), ours)
    outputs = 3 * len(model.skeleton)
    if not free:
        state = {"mult": np.ones(outputs, np.float32)} | state
    if not scaled:
        state |= {"ws.weight": np.zeros((1, config.width), np.float32), "ws.bias": np.zeros(1, np.float32)}
    root = model.skeleton.root
    spread = ours["input_std"].numpy().copy()
    spread[2 * root : 2 * root + 2] = 0.0  # where ours has 1, so that 0 stays 0
    kinds = {
        "none": ("none", -1),
        "orthographic": ("scaled_orthographic", 1.0),
        "perspective": ("weak_perspective", 1e-3),
    }
    kind, scale_range = kinds[config.scale]
    joints = {"h36m17": "human36_17k", "lsp14": "lsp_14k", "shg16": "shg_16k"}
    content = {
        "opt": {
            "unnorm_op": free, "standardize_output_data": not free, "predict_scale": scaled, "reprojection": kind,
            "scale_range": scale_range, "dataset_type": joints.get(config.skeleton, config.skeleton),
            "linear_size": config.width, "num_stage": config.blocks,
        },
        "stat_2d": {"mean": torch.from_numpy(ours["input_mean"].numpy().copy()), "std": torch.from_numpy(spread)},
        "stat_3d": {
            part: (1000.0 * ours[f"output_{part}"].double()).float() for part in ("mean", "std")
        },
        "state_dict": _tensors(state),
    }  # fmt: skip
    save_old(content, folder / "test_ckpt_last.pth.tar")


def _li_lee(model: Any, folder: Path) -> None:
    learnt = to_theirs(li_lee_2019.pairs(model.config.blocks), model.state_dict())
    variables = dict(learnt)
    for name, value in learnt.items():
        if not name.endswith(("moving_mean", "moving_variance")):
            variables |= {f"{name}/{slot}": np.zeros_like(value) for slot in ("Adam", "Adam_1")}
    # The graph restores its optimiser too: as it is before the first step.
    constants = {"beta1_power": 0.9, "beta2_power": 0.999, "learning_rate": 0.001}
    variables |= {name: np.array(value, np.float32) for name, value in constants.items()}
    variables["global_step"] = np.array(0, np.int32)
    write_bundle(folder / "checkpoint-0", variables)
    named = 'model_checkpoint_path: "checkpoint-0"\nall_model_checkpoint_paths: "checkpoint-0"\n'
    (folder / "checkpoint").write_text(named)


def _duenkel(model: Any, folder: Path) -> None:
    ours = model.state_dict()
    torch.save(_tensors(duenkel_2024.flow_to_theirs(ours, "flow.")), folder / "model_ckpt_pdf_estimator.pt")
    if model.keypoints is not None:
        extractor = _tensors(to_theirs(duenkel_2024.extractor(), ours))
        torch.save(extractor, folder / "model_ckpt_feature_extractor.pt")
    np.savetxt(folder / "permute_dims.pt", ours["flow.permutations"].numpy())


_WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "wehrbein_2021": _wehrbein,
    "duenkel_2024": _duenkel,
    "ronchi_2018": _ronchi,
    "yu_2021": _yu,
    "li_lee_2019": _li_lee,
}
