"""People whom nobody photographed: poses of a lifter before cameras of every kind, keypoints with noise and gaps."""

from __future__ import annotations

import torch
from torch import Tensor

import poseterior as pp


def invented_people(count: int, seed: int = 0) -> pp.Keypoints2D:
    """Keypoints in h36m17 of ``count`` poses, always the same.

    Of five, three have a known camera, one a known size of the picture, one neither; of three, one has a known height.
    Correlated noise of 1 to 8 px; up to four fifths of the joints hidden.
    """
    generator = torch.Generator().manual_seed(seed)

    def uniform(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator)

    shown = pp.example_keypoints()
    draws = -(-count // len(shown))
    poses = pp.load("mdn")(shown).sample((draws,), seed=seed).reshape(-1, 17, 3)[:count]
    root = torch.cat([2.0 * uniform(count, 2) - 1.0, 3.0 + 5.0 * uniform(count, 1)], -1)
    focal = 800.0 + 800.0 * uniform(count, 1)
    centre = torch.tensor([900.0, 500.0]) + 100.0 * uniform(count, 2)
    camera = torch.cat([focal, focal * (0.98 + 0.04 * uniform(count, 1)), centre], -1)
    places = poses + root.unsqueeze(1)
    xy = places[..., :2] / places[..., 2:] * camera[:, None, :2] + camera[:, None, 2:]
    shape = torch.eye(2) + 0.3 * torch.randn(count, 17, 2, 2, generator=generator)
    sigma = 1.0 + 7.0 * uniform(count, 17, 1, 1)
    covariance = (shape @ shape.mT + 0.05 * torch.eye(2)) * sigma.square()
    noise = torch.linalg.cholesky(covariance) @ torch.randn(count, 17, 2, 1, generator=generator)
    gaps = torch.where(uniform(count, 1) < 0.3, 0.0, 0.8 * uniform(count, 1))
    visible = uniform(count, 17) >= gaps
    number = torch.arange(count)
    nothing = torch.tensor(float("nan"))
    return pp.Keypoints2D(
        xy + noise.squeeze(-1),
        covariance,
        visible,
        torch.where((number % 5 < 4).unsqueeze(-1), torch.tensor([1920.0, 1080.0]), nothing),
        intrinsics=torch.where((number % 5 < 3).unsqueeze(-1), camera, nothing),
        height=torch.where(number % 3 == 0, 1.5 + 0.5 * uniform(count), nothing),
    )
