"""What real 2D poses look like: a critic that learns beside the lifter, and a frozen flow.

Sources: Chen et al., CVPR 2019 (discriminator of 2D poses); Wandt et al., CVPR 2022 (ElePose: frozen flow of them).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..geometry.skeletons import SKELETONS
from ..nn.encoders import FedBlock

__all__ = ["ImageCritic", "ImageFlow"]

_BODY = SKELETONS["h36m17"]
_OTHERS = [j for j in range(len(_BODY)) if j != _BODY.root]


class ImageCritic(nn.Module):
    """Scores 2D poses: linear, ReLU, dropout, residual blocks that see the pose anew, linear.

    6.40 M parameters at the published width of 1024 and two blocks.

    Args:
        width, blocks, dropout: of the layers.
        unit: what counts as 1 of the 2D poses; published: 1, so that poses are some 0.07 large.
    """

    def __init__(self, width: int = 1024, blocks: int = 2, dropout: float = 0.25, unit: float = 1.0) -> None:
        super().__init__()
        self.unit = unit
        inputs = 2 * len(_BODY)
        self.enter = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout))
        self.blocks = nn.ModuleList(FedBlock(width, inputs, dropout, norm=False) for _ in range(blocks))
        self.score = nn.Linear(width, 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, image: Float[Tensor, "n joints 2"]) -> Float[Tensor, " n"]:
        flat = image.flatten(-2) / self.unit
        hidden = self.enter(flat)
        for block in self.blocks:
            hidden = block(hidden, flat)
        return self.score(hidden).squeeze(-1)


class ImageFlow(nn.Module):
    """A masked autoregressive flow over 2D poses, on their principal components.

    The components of least variance hold what keypoints derived from others repeat, and noise: they are left out.

    Args:
        components: principal components kept.
        hidden: width of the networks.
        transforms: number of autoregressive layers.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, components: int = 26, hidden: int = 256, transforms: int = 5) -> None:
        super().__init__()
        import zuko

        dims = 2 * len(_OTHERS)
        self.flow = zuko.flows.MAF(components, transforms=transforms, hidden_features=(hidden, hidden))
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("basis", torch.zeros(dims, components))

    def fit_components(self, images: Float[Tensor, "n joints 2"]) -> None:
        """Mean and whitened principal components of real 2D poses."""
        flat = images[:, _OTHERS].flatten(-2)
        self.mean.copy_(flat.mean(0))
        _, spread, directions = torch.linalg.svd((flat - self.mean) / math.sqrt(len(flat)), full_matrices=False)
        kept = self.basis.shape[1]
        self.basis.copy_(directions[:kept].T / spread[:kept].clamp(min=1e-6))

    def forward(self, image: Float[Tensor, "n joints 2"]) -> Float[Tensor, " n"]:
        """Log-density of the whitened components, in nats per dimension."""
        components = (image[:, _OTHERS].flatten(-2) - self.mean) @ self.basis
        # Far-out poses, which early lifters make, would otherwise set the size of all gradients.
        return self.flow().log_prob(components.clamp(-20.0, 20.0)) / self.basis.shape[1]
