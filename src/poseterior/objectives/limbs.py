"""Proportions of limbs: templates of their lengths, and how far a pose's are from one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from ..files.errors import InputError
from ..geometry.kinematics import ANKLE_HEIGHT
from ..geometry.skeletons import SKELETONS

__all__ = ["TEMPLATES", "limb_energy", "limb_loss", "template_lengths"]

_BODY = SKELETONS["h36m17"]
_BONES = [_BODY.joints[child] for child, _ in _BODY.bones]
#: The limb whose length is the unit of the published ratios: the right shin.
_UNIT = _BONES.index("right_ankle")


def _both_sides(**middle_and_sides: float) -> dict[str, float]:
    lengths = {}
    for name, value in middle_and_sides.items():
        for joint in [name] if name in _BODY.joints else [f"right_{name}", f"left_{name}"]:
            lengths[joint] = value
    return lengths


#: Limb lengths by the limb's outer joint, in arbitrary units.
TEMPLATES: Mapping[str, Mapping[str, float]] = {
    # A generic person, drawn from no measured 3D pose (Ronchi et al. 2018, 17 joints, "avg_person").
    "person": _both_sides(
        hip=7.0, knee=19.0, ankle=20.0, spine=11.5, thorax=12.5, neck_nose=3.5, head_top=3.5,
        shoulder=9.0, elbow=15.0, wrist=14.0,
    ),
    # Mean over the CMU training clips at 10 frames per second, mm, left and right pooled (`poseterior data inspect`
    # shows them): this is 3D knowledge.
    "cmu": _both_sides(
        hip=84.5, knee=418.1, ankle=417.8, spine=216.5, thorax=180.8, neck_nose=140.1, head_top=142.8,
        shoulder=201.1, elbow=285.8, wrist=192.1,
    ),
    # Mean over Human3.6M's training poses, mm (Ronchi et al. 2018, 14 joints; half the pelvis and half the shoulder
    # girdle here; the trunk is not in that set).
    "human36m": _both_sides(hip=134.05, knee=449.2, ankle=445.6, shoulder=148.8, elbow=279.8, wrist=249.5),
}  # fmt: skip


def template_lengths(template: str, height: Float[Tensor, "*batch"] | None = None) -> Float[Tensor, "*batch bones"]:
    """Lengths of the bones of h36m17 (order of `Skeleton.bones`) by a named template; NaN for bones it lacks.

    Args:
        template: a name of `TEMPLATES`.
        height: metres; the template is scaled to a person so tall. None: the template's own units.

    Raises:
        InputError: a height asked for of a template that lacks bones of the trunk.
    """
    known = TEMPLATES[template]
    lengths = torch.tensor([known.get(name, math.nan) for name in _BONES])
    if height is None:
        return lengths
    chain = {"spine": 1.0, "thorax": 1.0, "neck_nose": 1.0, "head_top": 1.0, "right_knee": 1.0, "right_ankle": 1.0}
    tall = (lengths * torch.tensor([chain.get(name, math.nan) for name in _BONES])).nansum()
    if any(name not in known for name in chain):
        raise InputError(f"objective 'depth_order': template {template!r} lacks trunk bones: use limbs: ratio")
    return lengths.to(height) * ((height - ANKLE_HEIGHT) / tall.to(height)).unsqueeze(-1)


def limb_loss(
    lengths: Float[Tensor, "*batch bones"], template: Float[Tensor, "*batch bones"], ratio: bool = True
) -> Float[Tensor, "*batch"]:
    """Mean absolute difference of limb lengths from a template's, in units of its right shin.

    Args:
        lengths: of a pose.
        template: NaN for limbs that do not count.
        ratio: the pose's own right shin is its unit (published: size does not matter); False: both are metres.
    """
    unit = template[..., _UNIT : _UNIT + 1]
    counted = template.isfinite() & lengths.isfinite()
    own = lengths / (lengths[..., _UNIT : _UNIT + 1] + 1e-8) if ratio else lengths / unit
    difference = torch.where(counted, (own - (template / unit).nan_to_num(0.0)).abs(), 0.0)
    return difference.sum(-1) / counted.sum(-1).clamp(min=1)


def limb_energy(
    lengths: Float[Tensor, "*any bones"], template: Float[Tensor, "*any bones"], tolerance: float
) -> Float[Tensor, "*any"]:
    """Minus the log-density of log-normal limb lengths around a template's, nats, up to a constant."""
    ratio = (lengths.clamp(min=1e-3) / template.nan_to_num(1.0)).log() / tolerance
    return 0.5 * torch.where(template.isfinite(), ratio.square(), 0.0).sum(-1)
