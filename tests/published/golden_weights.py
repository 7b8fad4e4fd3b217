"""Seeded weights of the original networks' sizes, and what the original code computed with them.

``tests/golden/originals/*.npz`` hold inputs and outputs of the original code (random weights: nobody trained them) with
the names and shapes of its tensors; the weights are made again here, one stream of numpy's legacy generator a tensor.
"""

import json
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parents[1] / "golden" / "originals"


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def shapes(found: dict[str, np.ndarray], prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Of the original's tensors, by its names and in its order."""
    return {
        str(name): tuple(int(n) for n in str(shape).split(",") if n)
        for name, shape in zip(found[f"{prefix}names"], found[f"{prefix}shapes"], strict=True)
    }


def normal(seed: int, index: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(100_000 * seed + index).standard_normal(shape)


def filled(sizes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """The usual start: moderate weights, batch norms that do something."""
    found = {}
    for i, (name, shape) in enumerate(sizes.items()):
        if name.endswith("num_batches_tracked"):
            found[name] = np.array(12345)
            continue
        z = normal(seed, i, shape)
        if name.endswith("running_mean"):
            z = 0.2 * z
        elif name.endswith("running_var"):
            z = np.exp(0.3 * z)
        elif len(shape) >= 2:
            z = z * np.sqrt(1.5 / shape[-1])
        else:
            z = 1.0 + 0.2 * z if name.endswith("weight") else 0.1 * z
        found[name] = z.astype(np.float32)
    return found


def yu_weights(sizes: dict[str, tuple[int, ...]], seed: int = 21) -> dict[str, np.ndarray]:
    found = filled(sizes, seed)
    found["lifter_after.out.weight"] *= np.float32(0.5)
    if "scaler.out.bias" in found:
        i = list(sizes).index("scaler.out.weight")
        weight, bias = (normal(seed, i + j, sizes[f"scaler.out.{n}"]) for j, n in enumerate(("weight", "bias")))
        found["scaler.out.weight"] = (0.1 * weight * np.sqrt(1.5 / weight.shape[-1])).astype(np.float32)
        found["scaler.out.bias"] = (0.72 + 0.0 * bias).astype(np.float32)
    return found


def ronchi_weights(sizes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Made with counters in the batch norms, which files of PyTorch 0.3 do not have."""
    counted = {}
    for name, shape in sizes.items():
        counted[name] = shape
        if name.endswith("running_var"):
            counted[name.replace("running_var", "num_batches_tracked")] = ()
    found = filled(counted, 5)
    found["mult"] = (100.0 + 3.0 * normal(5, 0, sizes["mult"])).astype(np.float32)
    return {name: found[name] for name in sizes}


def wehrbein_weights(sizes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    found = filled(sizes, 1)
    couplings = [(i, name) for i, name in enumerate(sizes) if name.startswith("inn.")]
    return found | {name: (0.05 * normal(1, i, sizes[name])).astype(np.float32) for i, name in couplings}


def li_lee_weights(sizes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """All variables of the graph, the optimiser's too."""
    found = {}
    for i, (name, shape) in enumerate(sizes.items()):
        z, last = normal(9, i, shape), name.split("/")[-1]
        if last.startswith("Adam"):
            z = 0.0 * z
        elif last == "gamma":
            z = 1.0 + 0.2 * z
        elif last == "moving_mean":
            z = 0.01 * z
        elif last == "moving_variance":
            z = 1e-3 * np.exp(0.3 * z)
        else:
            z = z * np.sqrt(2.0 / shape[0]) if len(shape) == 2 else 0.1 * z
        found[name] = z.astype(np.float32)
    constants = {"beta1_power": 0.9, "beta2_power": 0.999, "learning_rate": 0.001}
    found |= {name: np.array(value, np.float32) for name, value in constants.items()}
    return found | {"global_step": np.array(0, np.int32)}


def duenkel_weights(sizes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    found = {}
    for i, (name, shape) in enumerate(sizes.items()):
        z = normal(3, i, shape)
        z = z * np.sqrt(0.49 / shape[-1]) if len(shape) == 2 else 0.15 * z
        if name.endswith(".mat"):
            z = np.random.RandomState(10 + len(name)).standard_normal(shape).astype(np.float32)
            z = np.eye(4, dtype=np.float32) + np.float32(0.3) * z
        found[name] = z.astype(np.float32)
    return found


def options_of(found: dict[str, np.ndarray]) -> dict:
    return json.loads(str(found["options"]))


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays]
