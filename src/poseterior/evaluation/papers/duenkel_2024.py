"""The evaluation of Dünkel et al. (2024): log-likelihoods, inverse kinematics, masked keypoints, 2D to 3D.

On the rotations of a pose store as they were recorded, in the bodies that it holds (import AMASS with the published
rest skeleton for the published ones). Log-likelihoods are nats above uniform over 19 joints. Keypoint errors are over
22 keypoints, four of which no rotation moves, as published; MGEO is the mean angle over the 19 joints, radians.

Of 10 samples: the mean is that of the chordal mean rotations; ``min`` takes the best sample for each joint by itself
(as published: better than any pose), ``best pose`` one sample a pose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import roma
import torch
from torch import Tensor

from ...data.store import Mocap, PoseStore
from ...files.errors import InputError
from ...geometry.kinematics import forward_kinematics
from ...geometry.skeletons import SKELETONS
from ...lifters import Model
from ...metrics.rotations import OCCLUSIONS, chordal_mean, geodesic_angle, random_visibility
from ...nn.rotation_networks import BODY_JOINTS
from .tables import PaperTable

__all__ = ["People", "evaluate", "people_of"]

_SMPL = SKELETONS["smpl22"]
#: Method of the published networks: priors with ``ik`` and ``lift2d`` beside ``prior``.
_METHOD = "rotations-published"
#: The sets of masked keypoints that were published, beside random ones.
_MASKS = ("legs (L)", "arm + hand (L)", "shoulder + upper arm (R)", "end effectors")
_SAMPLES, _CHUNK = 10, 500
_COLUMNS = ("MPJPE of 1", "mean of 10", "min of 10", "best pose", "MGEO of 1", "mean of 10", "min of 10")


@dataclass(frozen=True)
class People:
    """Recorded people without their orientation.

    Attributes:
        rotations: ``(n, 22, 3, 3)`` relative to the parent, the pelvis' at the identity.
        points: ``(n, 22, 3)`` metres, relative to the pelvis and in its own axes.
        offsets: ``(n, 22, 3)`` of each joint from its parent at rest, metres.
    """

    rotations: Tensor
    points: Tensor
    offsets: Tensor

    def placed(self, rotations: Tensor) -> Tensor:
        """Keypoints of other rotations ``(samples, n, 22, 3, 3)`` of the same bodies."""
        return forward_kinematics(rotations, self.offsets, _SMPL)[0]


def people_of(mocap: Mocap) -> People:
    """The people of a store: their bodies are what positions and rotations leave."""
    rotations = roma.unitquat_to_rotmat(torch.from_numpy(mocap.rotations).double())
    positions = torch.from_numpy(mocap.positions).double()
    root = _SMPL.root
    points = (positions - positions[:, root : root + 1]) @ rotations[:, root]
    rotations = rotations.clone()
    rotations[:, root] = torch.eye(3, dtype=rotations.dtype)
    _, turned = forward_kinematics(rotations, torch.zeros_like(points), _SMPL)
    offsets = torch.zeros_like(points)
    for child, parent in _SMPL.bones:
        offsets[:, child] = (turned[:, parent].mT @ (points[:, child] - points[:, parent]).unsqueeze(-1)).squeeze(-1)
    return People(rotations.float(), points.float(), offsets.float())


def evaluate(
    models: Mapping[str, Model], store: PoseStore, poses: int, samples: int, seed: int, device: str
) -> list[PaperTable]:
    """The tables; each model answers the tasks that it was trained for.

    Args:
        models: priors of method ``rotations-published`` by name.
        store: of poses that they were not trained on.
        poses: at most so many of its frames, evenly spread.
        samples: not needed, 10 are drawn as published.
        seed: of samples and random masks.
        device: where to run.

    Raises:
        InputError: a model of another method.
    """
    for name, model in models.items():
        if model.name != _METHOD:
            raise InputError(
                f"{name}: is of method {model.name!r}; the evaluation of duenkel_2024 is of 'rotations-published' "
                "(`poseterior bench --rotations` measures ours on the same tasks)"
            )
    mocap = store.load()
    rows = torch.linspace(0, len(mocap) - 1, min(poses, len(mocap))).long()
    people = people_of(mocap.select(rows.numpy()))
    likelihood: dict[str, tuple[float, ...]] = {}
    fits: dict[str, tuple[float, ...]] = {}
    for name, model in models.items():
        model.to(device).eval()
        for label, seen in _masks(model, len(people.points), seed).items():
            row = f"{name}, {label}" if label else name
            one = _measured(model, people, seen, seed, device)
            likelihood[row] = (one[0],)
            if len(one) > 1:
                fits[row] = one[1:]
    notes: tuple[str, ...] = (f"{len(people.points)} poses",)
    tables = [PaperTable("log-likelihood (nats above uniform)", ("LL",), likelihood, 2, notes)]
    if fits:
        unit = "MPJPE over 22 keypoints (mm), MGEO over 19 joints (rad)"
        notes = (*notes, f"{_SAMPLES} samples; min: best sample joint by joint, as published; best pose: oracle")
        columns = (*_COLUMNS, "2D MPJPE of 1")
        tables.append(PaperTable(f"keypoints: {unit}", columns, fits, 3, notes))
    return tables


def _masks(model: Any, poses: int, seed: int) -> dict[str, Tensor | None]:
    """Which keypoints are seen ``(poses, 22)``, by label; None for all."""
    if model.config.task == "prior":
        return {"": None}
    masks: dict[str, Tensor | None] = {"all keypoints": None}
    if model.config.task == "ik":
        generator = torch.Generator().manual_seed(seed)
        random = random_visibility(poses, len(_SMPL), generator)
        random[:, _SMPL.root] = True  # it is at 0 whether it is masked or not
        masks["random masks"] = random
        for name in _MASKS:
            seen = torch.ones(poses, len(_SMPL), dtype=torch.bool)
            seen[:, [_SMPL.index(joint) for joint in OCCLUSIONS[name]]] = False
            masks[f"without {name}"] = seen
    return masks


def _posterior(model: Any, points: Tensor, seen: Tensor | None) -> Any:
    if model.config.task == "prior":
        return model.prior((len(points),))
    return model.ik(points, seen) if model.config.task == "ik" else model.lift2d(points[..., :2], seen)


@torch.no_grad()
def _measured(model: Any, people: People, seen: Tensor | None, seed: int, device: str) -> tuple[float, ...]:
    """Log-likelihood and, of models that see keypoints, the errors in `_COLUMNS` and that in 2D."""
    parts = []
    for start in range(0, len(people.points), _CHUNK):
        rows = slice(start, start + _CHUNK)
        some = People(*(value[rows].to(device) for value in (people.rotations, people.points, people.offsets)))
        posterior = _posterior(model, some.points, None if seen is None else seen[rows].to(device))
        density = posterior.log_prob(some.rotations)
        columns = [density]
        if model.config.task != "prior":
            columns += _errors(posterior.sample((_SAMPLES,), seed=seed), some)
        parts.append(torch.stack(columns, -1).cpu())
    return tuple(torch.cat(parts).double().mean(0).tolist())


def _errors(drawn: Tensor, people: People) -> list[Tensor]:
    """Of samples ``(samples, n, 22, 3, 3)``: see `_COLUMNS`, and the error of one in 2D; each ``(n,)``."""
    joints, mean = list(BODY_JOINTS), chordal_mean(drawn)
    apart = 1000 * (people.placed(drawn) - people.points).norm(dim=-1)
    middle = 1000 * (people.placed(mean) - people.points).norm(dim=-1)
    angle = geodesic_angle(drawn, people.rotations)[..., joints]
    middle_angle = geodesic_angle(mean, people.rotations)[..., joints]
    flat = 1000 * (people.placed(drawn[0]) - people.points)[..., :2].norm(dim=-1)
    return [
        apart[0].mean(-1), middle.mean(-1), apart.amin(0).mean(-1), apart.mean(-1).amin(0),
        angle[0].mean(-1), middle_angle.mean(-1), angle.amin(0).mean(-1), flat.mean(-1),
    ]  # fmt: skip
