"""Measure the shipped rest skeleton (src/poseterior/body.json) from a pose store.

    python benchmarks/rest_skeleton.py STORE --out src/poseterior/body.json

Offsets are averaged over bodies (sets of clips with equal bones), each counted once, with left and right made
symmetric; bones of length zero (which a source lacks) do not count.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import roma
import torch

from poseterior.data.mocap.bvh import rest_offsets
from poseterior.data.store import Mocap, PoseStore
from poseterior.geometry.body import SMPL25
from poseterior.geometry.kinematics import forward_kinematics
from poseterior.geometry.skeletons import SKELETONS

_SMPL, _H36M = SKELETONS["smpl22"], SKELETONS["h36m17"]


def _fixed_points(mocap: Mocap) -> np.ndarray:
    """Mean of h36m17's pelvis, neck_nose and head_top in the frames of pelvis, head and head: (3, 3)."""
    rotations = roma.unitquat_to_rotmat(torch.from_numpy(mocap.rotations))
    _, turned = forward_kinematics(rotations, torch.zeros(22, 3), _SMPL)
    found = []
    for name, frame in (("pelvis", "pelvis"), ("neck_nose", "head"), ("head_top", "head")):
        base = _SMPL.index(frame)
        away = torch.from_numpy(mocap.h36m17[:, _H36M.index(name)] - mocap.positions[:, base])
        local = (turned[:, base].transpose(-1, -2) @ away.unsqueeze(-1)).squeeze(-1)
        found.append(np.nanmean(local.numpy(), axis=0))
    return np.stack(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    mocap = PoseStore(arguments.store).load(fps=30)
    bodies: dict[tuple[float, ...], np.ndarray] = {}
    for clip in np.unique(mocap.clip):
        rows = mocap.select(mocap.clip == clip)
        offsets = np.concatenate([rest_offsets(rows.positions, rows.rotations)[0], _fixed_points(rows)])
        bodies.setdefault(tuple(np.linalg.norm(offsets[:22], axis=-1).round(3)), offsets)
    stack = np.stack(list(bodies.values()))
    there = np.linalg.norm(stack, axis=-1) > 1e-3
    mean = (stack * there[..., None]).sum(0) / np.maximum(there.sum(0), 1)[:, None]
    swapped = mean[list(SMPL25.mirror)] * np.array([-1.0, 1.0, 1.0])
    mean = (mean + swapped) / 2
    content = {
        "about": "Rest body of poseterior: T-pose facing +z, y up, left at +x; each point in its parent's frame.",
        "units": "metres",
        "source": f"mean of {len(bodies)} bodies of the CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu)",
        "parents": {j: None if p < 0 else SMPL25.joints[p] for j, p in zip(SMPL25.joints, SMPL25.parents, strict=True)},
        "offsets": {j: [round(float(v), 5) + 0.0 for v in o] for j, o in zip(SMPL25.joints, mean, strict=True)},
    }
    with open(arguments.out, "w") as file:
        file.write(json.dumps(content, indent=1).replace("[\n   ", "[").replace(",\n   ", ", ").replace("\n  ]", "]"))
        file.write("\n")
    print(f"{len(bodies)} bodies; wrote {arguments.out}")


if __name__ == "__main__":
    main()
