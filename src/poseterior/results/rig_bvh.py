"""BVH on a named rig (`poseterior.results.rigs`): centimetres, y up, the T-pose at zero channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..data.mocap.bvh import END_SITES, continuous_angles
from ..files.writing import atomic_write
from ..registry import lazy_module
from .provenance import Array
from .rigs import Placed

#: Imported when it is first used: it loads the whole of PyTorch's compiler.
roma = lazy_module("roma")

__all__ = ["write_rig_bvh"]


def write_rig_bvh(path: Path, placed: Placed, root: Array, fps: float) -> None:
    """Write a motion.

    Args:
        path: the file.
        placed: from `poseterior.results.rigs.on_rig`.
        root: ``(frames, 3)`` metres.
        fps: frames per second.
    """
    angles = continuous_angles(roma.unitquat_to_euler("ZXY", torch.from_numpy(placed.rotations), degrees=True).numpy())
    lines, columns = ["HIERARCHY"], [100.0 * root]

    def emit(joint: int, depth: int) -> None:
        pad, first = "  " * depth, depth == 0
        lines.extend((f"{pad}{'ROOT' if first else 'JOINT'} {placed.names[joint]}", f"{pad}{{"))
        lines.append(f"{pad}  OFFSET {_numbers(100.0 * placed.offsets[joint])}")
        places = "Xposition Yposition Zposition " if first else ""
        lines.append(f"{pad}  CHANNELS {6 if first else 3} {places}Zrotation Xrotation Yrotation")
        columns.append(angles[:, joint])
        children = [child for child, parent in enumerate(placed.parents) if parent == joint]
        for child in children:
            emit(child, depth + 1)
        if not children:
            site = _numbers(100.0 * np.array(END_SITES.get(placed.joints[joint], (0.0, 0.05, 0.0))))
            lines.extend((f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {site}", f"{pad}  }}"))
        lines.append(f"{pad}}}")

    emit(placed.parents.index(-1), 0)
    lines += ["MOTION", f"Frames: {len(root)}", f"Frame Time: {1.0 / fps:.9f}"]
    lines += [_numbers(row) for row in np.concatenate(columns, axis=1)]
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())


def _numbers(values: Array) -> str:
    return " ".join(f"{value:.6f}" for value in values.tolist())
