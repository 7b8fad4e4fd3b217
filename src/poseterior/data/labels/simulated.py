"""Observations with depth-order labels: which of two joints is nearer, simulated from 3D or read from a label store."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from ...files.errors import InputError
from ...files.settings import check_settings
from ...geometry.skeletons import SKELETONS, skeleton_map
from ..observations import Observations
from ..simulation.simulator import Simulator, SimulatorConfig
from ..store import Mocap

if TYPE_CHECKING:
    from .labels import DepthLabels


__all__ = [
    "CROWD_SLOPE",
    "LabelConfig",
    "LabelledObservations",
    "LabelledSimulator",
    "attach_labels",
    "crowd_accuracy",
    "label_observations",
    "level_depth_axis",
    "order_of_pairs",
]

_BODY = SKELETONS["h36m17"]
#: Extensions of photographs and of the keypoint files that are named after them.
_NAMED = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".json", ".npy", ".npz")
#: How much likelier a crowd is right a metre of depth between two joints (Ronchi et al. 2018: 1.25 % a cm from 50 %).
CROWD_SLOPE = 1.25


@dataclass(frozen=True)
class LabelConfig:
    """How depth-order labels are made from 3D poses.

    Attributes:
        pairs: pairs of joints labelled per pose, drawn without repetition, or ``"all"``.
        tolerance: metres; joints whose depths differ by no more are labelled 0 (same depth).
        noise: ``"none"``; ``"flip"``: each label is turned round with probability ``flip``; ``"crowd"``: each is
            right with probability `crowd_accuracy` of its gap.
        flip: see ``noise``.
        frame: ``"camera"``: depth along the optical axis; ``"level"``: along the horizontal direction that the
            camera points to, because people judge depth as if the camera were level (Ronchi et al. 2018).
    """

    pairs: int | str = 1
    tolerance: float = 0.0
    noise: str = "none"
    flip: float = 0.0
    frame: str = "camera"

    def __post_init__(self) -> None:
        most = len(_BODY) * (len(_BODY) - 1) // 2
        whole = isinstance(self.pairs, int) and not isinstance(self.pairs, bool) and 1 <= self.pairs <= most
        if self.pairs != "all" and not whole:
            raise InputError(f"labels.pairs: expected 1 to {most} or 'all', got {self.pairs!r}")
        for name, known in (("noise", ("none", "flip", "crowd")), ("frame", ("camera", "level"))):
            if getattr(self, name) not in known:
                raise InputError(f"labels.{name}: expected one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name, high in (("tolerance", math.inf), ("flip", 1.0)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= high:
                raise InputError(f"labels.{name}: expected a number from 0 to {high:g}, got {value!r}")
        if self.flip and self.noise != "flip":
            raise InputError("labels.flip: only with noise: flip")
        if self.tolerance and self.noise != "none":
            raise InputError("labels.tolerance: labels of equal depth and label noise do not go together; set one to 0")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LabelConfig:
        """From a recipe's ``labels`` section.

        Raises:
            InputError: a name that is no field, or a value out of range.
        """
        check_settings("labels", values, [f.name for f in dataclasses.fields(cls)])
        return cls(**values)


@dataclass(frozen=True)
class LabelledObservations(Observations):
    """`Observations` with labels. Poses with fewer labels than others are padded with confidence 0.

    Attributes:
        pairs: ``(n, m, 2)`` joints a and b of each label.
        order: ``(n, m)`` -1: a is nearer, +1: b is nearer (a is farther), 0: same depth.
        confidence: ``(n, m)`` 0 to 1, how much each label counts.
    """

    pairs: Tensor
    order: Tensor
    confidence: Tensor


def level_depth_axis(up: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The horizontal direction nearest to the optical axis, camera axes; ``up`` is the world's, camera axes.

    Where the camera looks straight up or down it is the optical axis itself.
    """
    forward = torch.tensor([0.0, 0.0, 1.0], dtype=up.dtype, device=up.device).expand_as(up)
    level = forward - up * up[..., 2:]
    size = level.norm(dim=-1, keepdim=True)
    return torch.where(size > 1e-3, level / size.clamp(min=1e-3), forward)


def crowd_accuracy(gap: Tensor) -> Tensor:
    """Probability that a crowd orders two joints rightly whose depths differ by ``gap`` metres: 0.5 to 1 at 0.4 m."""
    return (0.5 + CROWD_SLOPE * gap.abs()).clamp(max=1.0)


def order_of_pairs(
    depth: Float[Tensor, "n joints"], pairs: Int[Tensor, "n m 2"], config: LabelConfig, generator: Generator
) -> Float[Tensor, "n m"]:
    """Labels of pairs from the depths of the joints (metres, larger is farther), with the noise of ``config``."""
    chosen = depth.gather(-1, pairs.flatten(-2)).unflatten(-1, (-1, 2))
    gap = chosen[..., 0] - chosen[..., 1]
    order = torch.where(gap.abs() <= config.tolerance, 0.0, gap.sign())
    if config.noise == "none":
        return order
    wrong = 1.0 - crowd_accuracy(gap) if config.noise == "crowd" else torch.full_like(gap, config.flip)
    return torch.where(torch.rand(gap.shape, generator=generator) < wrong, -order, order)


def _random_pairs(observed: Tensor, count: int | str, generator: Generator) -> tuple[Tensor, Tensor]:
    """Distinct pairs of existing joints in random order ``(n, m, 2)``, and which of them exist ``(n, m)``."""
    n, joints = observed.shape
    every = torch.combinations(torch.arange(joints), 2)
    possible = observed[:, every].all(-1)
    rank = torch.rand(n, len(every), generator=generator) + possible
    m = len(every) if count == "all" else int(count)
    chosen = rank.topk(m, dim=-1).indices
    pairs = every[chosen]
    # Either joint may come first: annotators favour the first one shown.
    swap = torch.rand(n, m, 1, generator=generator) < 0.5
    return torch.where(swap, pairs.flip(-1), pairs), possible.gather(-1, chosen)


def label_observations(
    observations: Observations, config: LabelConfig, generator: Generator, axis: Float[Tensor, "n 3"] | None = None
) -> LabelledObservations:
    """Label random pairs of joints of observations whose 3D poses are known.

    Args:
        axis: direction of depth, camera axes; None for the optical axis.

    Raises:
        InputError: ``config.frame`` is ``"level"`` and no axis is given.
    """
    if axis is None and config.frame == "level":
        raise InputError("labels.frame: level: stored observations do not say where up is; use frame: camera")
    pairs, exist = _random_pairs(observations.observed, config.pairs, generator)
    depth = observations.pose[..., 2] if axis is None else (observations.pose * axis.unsqueeze(-2)).sum(-1)
    order = order_of_pairs(depth, pairs, config, generator)
    parts = {f.name: getattr(observations, f.name) for f in dataclasses.fields(Observations)}
    return LabelledObservations(**parts, pairs=pairs, order=order, confidence=exist.to(order.dtype))


class LabelledSimulator(Simulator):
    """A `Simulator` that labels what it draws.

    Args:
        mocap, config: as the `Simulator`'s.
        labels: how labels are made.
    """

    def __init__(self, mocap: Mocap, config: SimulatorConfig | None = None, labels: LabelConfig | None = None) -> None:
        super().__init__(mocap, config)
        self.labels = labels or LabelConfig()

    def __call__(self, n: int, generator: Generator, index: Tensor | None = None) -> LabelledObservations:
        """Draw ``n`` labelled observations. Same generator state, same result."""
        base = torch.randint(len(self), (n,), generator=generator) if index is None else index
        world, observed = self.people(base, generator)
        observations, rotation = self._observe(world, observed, base, generator)
        axis = None
        if self.labels.frame == "level":
            axis = level_depth_axis(rotation[..., :, 1])  # the image of the world's y axis, which is up
        return label_observations(observations, self.labels, generator, axis)


def _joint_numbers(skeleton: str) -> dict[str, int]:
    """Joint names of a skeleton -> the h36m17 joint that is the same one."""
    source, weights = SKELETONS[skeleton].joints, skeleton_map(skeleton, _BODY).weights
    same: dict[str, list[int]] = {}
    for joint, row in enumerate(weights):
        if (row > 0).sum() == 1 and row.max() == 1.0:
            same.setdefault(source[int(row.argmax())], []).append(joint)
    # A joint of the same name goes before one that is only put at the same place.
    return {name: next((j for j in joints if _BODY.joints[j] == name), joints[0]) for name, joints in same.items()}


def _stem(image: str) -> str:
    """An image id without folder and extension: keypoint files and photographs share it."""
    file, *rest = image.split("#", 1)
    name = PurePath(PurePath(file).name.lower())
    return "#".join((name.stem.removesuffix("_keypoints") if name.suffix in _NAMED else name.name, *rest))


class _Rows:
    """Rows of observations by image id, or else by what keypoint files and photographs share, where that is one row."""

    def __init__(self, images: Sequence[str]) -> None:
        self.exact = {image: row for row, image in enumerate(images)}
        self._images = images
        self._alike: dict[str, list[int]] = {}
        for row, image in enumerate(images):
            self._alike.setdefault(_stem(image), []).append(row)

    def of(self, image: str) -> int | None:
        """The row of a label's image; None for none."""
        if image in self.exact:
            return self.exact[image]
        alike = self._alike.get(_stem(image), [])
        if len(alike) != 1:
            return None
        folders = {str(PurePath(name.split("#", 1)[0]).parent) for name in (image, self._images[alike[0]])} - {"."}
        return alike[0] if len(folders) < 2 else None


def attach_labels(observations: Observations, labels: DepthLabels) -> LabelledObservations:
    """Observations of the images that have labels, with these.

    Labels of joints that h36m17 does not have are left out. A label names the photograph; observations from a keypoint
    file that does not are taken to be of the photograph of its name (``im1_keypoints.json``: ``im1.jpg``).

    Raises:
        InputError: no label is of any of these images and joints.
    """
    from .labels import image_id

    rows_by_image = _Rows([image_id(i) for i in observations.keypoints.ids])
    number = _joint_numbers(labels.skeleton)
    found: dict[int, list[tuple[int, int, float, float]]] = {}
    columns = (labels.image, labels.joint_a, labels.joint_b, labels.label, labels.confidence)
    for image, a, b, label, confidence in zip(*columns, strict=True):
        row = rows_by_image.of(str(image))
        if row is not None and a in number and b in number:
            entry = (number[a], number[b], float(label), float(confidence))
            found.setdefault(row, []).append(entry)
    if not found:
        shown = next(iter(rows_by_image.exact), "none")
        asked = str(labels.image[0]) if len(labels) else "none"
        raise InputError(
            f"data.labels: no label is of an image in data.observations (the labels name {asked!r}, the observations "
            f"{shown!r}): import both from the same files"
        )
    rows = sorted(found)
    most = max(len(found[row]) for row in rows)
    table = torch.zeros(len(rows), most, 4)
    for i, row in enumerate(rows):
        table[i, : len(found[row])] = torch.tensor(found[row])
    kept = observations[torch.tensor(rows)]
    parts = {f.name: getattr(kept, f.name) for f in dataclasses.fields(Observations)}
    return LabelledObservations(**parts, pairs=table[..., :2].long(), order=table[..., 2], confidence=table[..., 3])
