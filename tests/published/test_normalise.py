import numpy as np
import pytest
import torch

from poseterior.published.wehrbein_2021.condition import standardise_keypoints


def test_golden_2d_norm():
    n = torch.arange(16, dtype=torch.float64)
    xy = torch.stack([100 + 10 * n.sin(), 120 + 30 * (0.5 * n).cos()], -1)
    normed = standardise_keypoints(xy)
    np.testing.assert_allclose(normed[:3, 0], [-0.076846, 0.457654, 0.500737], atol=1e-6)
    np.testing.assert_allclose(normed[:3, 1], [-1.606644, -1.373366, -0.730648], atol=1e-6)
    assert float(normed.square().sum()) == pytest.approx(32.0, abs=1e-9)
