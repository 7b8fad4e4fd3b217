"""A body model in SMPL's layout that is nobody's: capsules around our rest skeleton, shapes and corrections invented.

No model of the SMPL family may be shipped; what reads and draws them is tested on this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from poseterior.data.mocap.amass import REST_OFFSETS
from poseterior.geometry.skeletons import SKELETONS

SMPL = SKELETONS["smpl22"]
#: SMPL's two hands follow the wrists.
PARENTS = (*SMPL.parents, 20, 21)
NAMES = (*SMPL.joints, "left_hand", "right_hand")
_RADII = {
    "pelvis": 0.13, "spine1": 0.125, "spine2": 0.13, "spine3": 0.12, "neck": 0.06, "head": 0.095, "hip": 0.085,
    "knee": 0.058, "ankle": 0.045, "foot": 0.038, "collar": 0.07, "shoulder": 0.055, "elbow": 0.042, "wrist": 0.036,
    "hand": 0.03,
}  # fmt: skip
#: Where capsules end whose joint has no child, metres from it.
_ENDS = {"head": (0, 0.16, 0.03), "foot": (0, -0.01, 0.07), "hand": (0.09, 0, 0)}


def rest_joints() -> np.ndarray:
    """(24, 3) metres: the joints of our AMASS skeleton in SMPL's rest pose, and two hands."""
    joints = np.zeros((24, 3))
    for joint in range(22):
        parent = SMPL.parents[joint]
        joints[joint] = REST_OFFSETS[joint] + (0 if parent < 0 else joints[parent])
    joints[22], joints[23] = joints[20] + [0.08, 0, 0], joints[21] - [0.08, 0, 0]
    return joints


def made_up_body(around: int = 16, along: int = 14, shapes: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a model: 24 closed capsules of so many vertices around and along.

    The first shape makes the body larger, the second its legs longer; the others are waves.
    """
    joints, generator = rest_joints(), np.random.default_rng(seed)
    parts = [_capsule(joint, joints, around, along) for joint in range(24)]
    vertices = np.concatenate([part[0] for part in parts])
    count = len(parts[0][0])
    faces = np.concatenate([part[1] + number * count for number, part in enumerate(parts)])
    weights = np.concatenate([part[2] for part in parts])
    regressor = np.zeros((24, len(vertices)))
    for joint in range(24):
        ring = joint * count + 1 + (along // 3) * around + np.arange(around)
        regressor[joint, ring] = 1 / around  # a ring around the joint
    legs = np.zeros_like(vertices)
    legs[:, 1] = np.minimum(vertices[:, 1] - joints[0, 1], 0)
    waves = [
        0.004 * np.sin(vertices @ generator.normal(0, 4, (3, 3)) + generator.normal(0, 1, 3)) for _ in range(shapes)
    ]
    ways = np.stack([0.06 * (vertices - joints[0]), 0.05 * legs, *waves], -1)[..., :shapes]
    bumps = np.sin(vertices @ generator.normal(0, 3, (3, 12)))
    parents = np.where(np.asarray(PARENTS) < 0, 2**32 - 1, np.asarray(PARENTS)).astype(np.uint32)
    return {
        "v_template": vertices, "shapedirs": ways, "J_regressor": regressor,
        "kintree_table": np.stack([parents, np.arange(24, dtype=np.uint32)]),
        "posedirs": 0.0007 * np.einsum("vk,kif->vif", bumps, generator.normal(0, 1, (12, 3, 207))),
        "weights": weights, "f": faces.astype(np.uint32),
    }  # fmt: skip


def write_made_up_body(path: Path, **changes: Any) -> Path:
    """Write the model as .npz; arrays that are None are left out."""
    options = {name: changes.pop(name) for name in ("around", "along", "seed") if name in changes}
    arrays = made_up_body(**options) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def as_smplx(model: dict[str, np.ndarray], joints: int = 55) -> dict[str, np.ndarray]:
    """The same body with jaw, eyes and fingers, or as many joints as SMPL-H has (52): its hands move with these."""
    extra = joints - 22
    parents = np.concatenate([model["kintree_table"][0][:22], 20 + np.arange(extra, dtype=np.uint32) % 2])
    parents[-2:] = 20, 21
    vertices = len(model["v_template"])
    corrections = np.random.default_rng(1).normal(0, 0.01, (vertices, 3, 9 * (joints - 1)))
    corrections[..., :189] = model["posedirs"][..., :189]
    weights, regressor = np.zeros((vertices, joints)), np.zeros((joints, vertices))
    weights[:, :22], regressor[:22] = model["weights"][:, :22], model["J_regressor"][:22]
    weights[:, joints - 2 :] = model["weights"][:, 22:]
    regressor[22:] = model["J_regressor"][[22 + int(parent) % 20 for parent in parents[22:]]]
    return model | {
        "kintree_table": np.stack([parents, np.arange(joints, dtype=np.uint32)]), "posedirs": corrections,
        "weights": weights, "J_regressor": regressor,
    }  # fmt: skip


def _capsule(joint: int, joints: np.ndarray, around: int, along: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and weights of one limb, from its joint to its child."""
    name, start = NAMES[joint], joints[joint]
    kind = name.removeprefix("left_").removeprefix("right_")
    children = [child for child, parent in enumerate(PARENTS) if parent == joint]
    own = next((c for c in children if NAMES[c].startswith(("spine", "neck"))), children[0] if children else None)
    side = -1.0 if name.startswith("right") else 1.0
    end = start + np.asarray(_ENDS[kind]) * [side, 1, 1] if own is None else joints[own]
    axis = (end - start) / np.linalg.norm(end - start)
    across = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    other = np.cross(axis, across)
    radius, length = _RADII[kind], float(np.linalg.norm(end - start))
    low = along // 3  # the ring through the joint
    steps = [(-radius * np.cos(t), radius * np.sin(t)) for t in np.linspace(0, np.pi / 2, low + 2)[1:-1]]
    middle = [(length * t, radius) for t in np.linspace(0, 1, along - 2 * low)]
    rings = [*steps, *middle, *[(length - s, r) for s, r in steps[::-1]]]
    angles = np.linspace(0, 2 * np.pi, around, endpoint=False)
    circle = np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * other
    points = [start - radius * axis, *(start + s * axis + r * c for s, r in rings for c in circle), end + radius * axis]
    vertices = np.asarray(points)
    faces = []
    last = len(vertices) - 1
    for i in range(around):
        k = (i + 1) % around
        faces += [(0, 1 + k, 1 + i), (last, last - around + i, last - around + k)]
        for ring in range(len(rings) - 1):
            a, b = 1 + ring * around, 1 + (ring + 1) * around
            faces += [(a + i, a + k, b + i), (a + k, b + k, b + i)]
    weights = np.zeros((len(vertices), 24))
    way = np.clip(((vertices - start) @ axis) / radius / 2 + 0.5, 0.0, 1.0)  # near the joint half the parent's
    parent = max(PARENTS[joint], 0)
    weights[:, joint] += way
    weights[:, parent] += 1 - way
    return vertices, np.asarray(faces), weights
