import math

import torch

from poseterior.geometry.linalg import ellipse_axes, ellipse_covariance


def test_ellipses_come_back():
    u = torch.rand(3, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    long, angle = 1 + 5 * u[0], math.pi * (u[1] - 0.5)
    short = long * (0.01 + 0.9 * u[2])
    covariance = ellipse_covariance(long, angle, short)
    for found, given in zip(ellipse_axes(covariance), (long, angle, short), strict=True):
        torch.testing.assert_close(found, given)
    along = torch.stack([angle.cos(), angle.sin()], -1)
    torch.testing.assert_close((covariance @ along.unsqueeze(-1)).squeeze(-1), long.square().unsqueeze(-1) * along)


def test_a_thin_ellipse_and_a_circle():
    thin = ellipse_covariance(torch.tensor(100.0), torch.tensor(0.0), torch.tensor(0.01))
    assert torch.stack(ellipse_axes(thin)).tolist() == [100.0, 0.0, 0.009999999776482582]
    assert torch.stack(ellipse_axes(4 * torch.eye(2))).tolist() == [2.0, 0.0, 2.0]
    assert torch.stack(ellipse_axes(torch.ones(2, 2))).isfinite().all()
