"""From a `CanonicalView` to the numbers a network eats."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..geometry.frames import without_root
from ..keypoints import Keypoints2D
from ..keypoints.view import CAMERA_KNOWLEDGE, CanonicalView, canonical_view
from .dense import dense, plainly

__all__ = [
    "TYPICAL_SIZE",
    "FedBlock",
    "ResidualMLP",
    "body_size",
    "evidence_features",
    "evidence_width",
    "lateral_evidence",
    "lower_triangles",
    "view_and_features",
]

#: A person of this size (metres, root mean square) has apparent size 1 in the canonical view.
TYPICAL_SIZE = 0.45

_PER_JOINT = 6
_GLOBAL = 1 + len(CAMERA_KNOWLEDGE) + 2
#: Typical apparent size (tangent units) and height (metres), to centre the logarithms.
_TYPICAL_SCALE, _TYPICAL_HEIGHT = 0.1, 1.7
_TYPICAL_SPREAD = 0.03


def evidence_width(joints: int) -> int:
    """Number of features that `evidence_features` makes."""
    return _PER_JOINT * joints + _GLOBAL


def evidence_features(view: CanonicalView) -> Float[Tensor, "*batch features"]:
    """Visibility, position and uncertainty per joint; apparent size, camera knowledge and height per person.

    A hidden joint contributes zeros, whatever it holds. The apparent size is withheld where not even the image
    size is known. Positions are in units of the person's apparent size; uncertainty enters as the logarithm of
    the standard deviations and the correlation.
    """
    shown = view.visible.unsqueeze(-1)
    variance = view.covariance.diagonal(dim1=-2, dim2=-1).clamp(min=1e-12)
    correlation = view.covariance[..., 0, 1] * variance.prod(-1).rsqrt()
    half_log_sigma = (0.25 * (variance / _TYPICAL_SPREAD**2).log()).clamp(-2.0, 2.0)
    joint = torch.cat([view.points, half_log_sigma, correlation.unsqueeze(-1)], -1)
    joint = torch.cat([shown.to(joint.dtype), torch.where(shown, joint, 0.0)], -1).flatten(-2)
    kinds = torch.arange(len(CAMERA_KNOWLEDGE), device=joint.device)
    knowledge = view.knowledge.unsqueeze(-1) == kinds
    log_scale = (view.scale / _TYPICAL_SCALE).clamp(1e-3, 1e3).log()
    log_scale = torch.where(view.knowledge > 0, log_scale, 0.0)
    log_height = (5.0 * (view.height / _TYPICAL_HEIGHT).log()).nan_to_num(0.0)
    told = (~view.height.isnan()).to(joint.dtype)
    person = torch.stack([log_scale, told, log_height], -1)
    return torch.cat([joint, person, knowledge.to(joint.dtype)], -1)


def view_and_features(keypoints: Keypoints2D) -> tuple[CanonicalView, Float[Tensor, "*batch features"]]:
    """The canonical view of a person, and what a network sees of it (`evidence_features`).

    Mixed precision is for networks alone: geometry and densities need full precision, so it is off in here.
    """
    with torch.autocast(keypoints.device.type, enabled=False):
        view = canonical_view(keypoints)
        return view, evidence_features(view)


def body_size(raw: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Unconstrained numbers to metres for one unit of the canonical view: `TYPICAL_SIZE` at 0, 20 times up or down."""
    return TYPICAL_SIZE * raw.clamp(-3.0, 3.0).exp()


def lateral_evidence(view: CanonicalView, root: int) -> Float[Tensor, "*batch nonroot 3"]:
    """Where the picture puts each joint beside the root, in units of the apparent size; depth 0.

    Zero where the joint or the root is hidden.
    """
    seen = without_root(view.visible, root, -1) & view.visible[..., root : root + 1]
    offset = without_root(view.points, root) - view.points[..., root : root + 1, :]
    return nn.functional.pad(torch.where(seen.unsqueeze(-1), offset, 0.0), (0, 1))


def lower_triangles(raw: Float[Tensor, "*batch 6"], minimum: float) -> Float[Tensor, "*batch 3 3"]:
    """Unconstrained numbers to 3x3 lower triangles (metres) whose diagonals exceed ``minimum``."""
    a, b, c = (minimum + 0.1 * nn.functional.softplus(raw[..., :3] - 1.0)).unbind(-1)
    ba, ca, cb = (0.05 * raw[..., 3:]).unbind(-1)
    zero = torch.zeros_like(a)
    return torch.stack([a, zero, zero, ba, b, zero, ca, cb, c], -1).unflatten(-1, (3, 3))


class ResidualMLP(nn.Module):
    """Linear, then pre-normalised residual blocks of two linear layers each.

    Args:
        inputs: number of input features.
        width: number of features inside and out.
        blocks: number of residual blocks.
        dropout: probability of dropping a feature inside a block.
    """

    def __init__(self, inputs: int, width: int, blocks: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
            )
            for _ in range(blocks)
        )
        self.leave = nn.LayerNorm(width)
        for block in self.blocks:
            last = block[-1]  # type: ignore[index]
            nn.init.normal_(last.weight, std=1.0 / math.sqrt(width * 2 * blocks))
            nn.init.zeros_(last.bias)

    def forward(self, features: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch width"]:
        if plainly() or self.training:
            hidden = self.enter(features)
            for block in self.blocks:
                hidden = hidden + block(hidden)
            return nn.functional.silu(self.leave(hidden))
        hidden = dense(self.enter, features)
        for block in self.blocks:
            norm, first, second = (block[at] for at in (0, 1, 4))  # type: ignore[index]
            hidden = hidden + dense(second, nn.functional.silu(dense(first, norm(hidden)), inplace=True))
        return nn.functional.silu(self.leave(hidden), inplace=True)


class FedBlock(nn.Module):
    """Two layers beside a linear shortcut that sees the raw 2D pose again; nothing after the sum."""

    def __init__(self, width: int, inputs: int, dropout: float, norm: bool = True) -> None:
        super().__init__()

        def layer() -> list[nn.Module]:
            normalised: list[nn.Module] = [nn.BatchNorm1d(width)] if norm else []
            return [nn.Linear(width, width), *normalised, nn.ReLU(), nn.Dropout(dropout)]

        self.main = nn.Sequential(*layer(), *layer())
        self.shortcut = nn.Linear(width + inputs, width)

    def forward(self, hidden: Tensor, pose: Tensor) -> Tensor:
        return self.main(hidden) + self.shortcut(torch.cat([hidden, pose], -1))
