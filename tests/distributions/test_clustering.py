"""k-means over hypotheses."""

import pytest
import torch

from poseterior.distributions.clustering import cluster
from poseterior.files.errors import InputError


def blobs(counts: tuple[int, ...], joints: int = 17, batch: tuple[int, ...] = (3,)) -> torch.Tensor:
    """Tight groups of samples in random order; group g lies around g metres in every coordinate."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.cat([torch.full((n,), float(g)) for g, n in enumerate(counts)])
    centre = centre[torch.randperm(len(centre), generator=generator)]
    noise = 0.01 * torch.randn(len(centre), *batch, joints, 3, generator=generator)
    return centre.reshape(-1, *[1] * len(batch), 1, 1) + noise


def test_separate_groups_are_found_with_their_shares_likeliest_first():
    representatives, weights = cluster(blobs((20, 50, 30)), 3)
    assert representatives.shape == (3, 3, 17, 3)
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.3, 0.2]).expand(3, 3))
    expected = torch.tensor([1.0, 2.0, 0.0])[:, None, None].expand(3, 3, 17, 3)
    # The smallest group's means are good to 0.0022.
    torch.testing.assert_close(representatives, expected, atol=0.015, rtol=0)


def test_result_is_a_fixed_point_of_lloyd():
    samples = torch.randn(200, 4, 5, 3, generator=torch.Generator().manual_seed(1))
    representatives, weights = cluster(samples, 10)
    flat, centres = samples.transpose(0, 1).flatten(2), representatives.flatten(2)
    owner = torch.cdist(flat, centres).argmin(-1)
    for pose in range(4):
        for j in range(10):
            mine = flat[pose][owner[pose] == j]
            assert len(mine) / 200 == pytest.approx(float(weights[pose, j]))
            torch.testing.assert_close(mine.mean(0), centres[pose, j], atol=1e-5, rtol=0)


def test_one_cluster_is_the_mean_and_n_clusters_are_the_samples():
    samples = torch.randn(7, 2, 17, 3, generator=torch.Generator().manual_seed(2))
    mean, weight = cluster(samples, 1)
    torch.testing.assert_close(mean[:, 0], samples.mean(0))
    assert weight.tolist() == [[1.0], [1.0]]
    every, weights = cluster(samples, 7)
    torch.testing.assert_close(weights, torch.full((2, 7), 1 / 7))
    gap = torch.cdist(every.flatten(2), samples.transpose(0, 1).flatten(2)).amin(-1)
    assert float(gap.max()) < 1e-6


def test_more_clusters_fit_closer():
    samples = torch.randn(100, 17, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def inertia(k: int) -> float:
        return float(torch.cdist(samples.flatten(1), cluster(samples, k)[0].flatten(1)).amin(-1).square().sum())

    assert inertia(1) > inertia(5) > inertia(25) > inertia(100)
    assert inertia(100) == pytest.approx(0.0, abs=1e-9)


def test_seed_decides_and_the_global_generator_is_left_alone():
    samples = torch.randn(50, 3, 17, 3, generator=torch.Generator().manual_seed(4))
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    first, again = cluster(samples, 5, seed=7), cluster(samples, 5, seed=7)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    drawn, same = (cluster(samples, 5, generator=torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(same[0], drawn[0])
    assert not torch.equal(first[0], cluster(samples, 5, seed=8)[0])


def test_identical_samples_leave_empty_clusters_with_weight_zero():
    samples = torch.ones(10, 2, 17, 3)
    samples[7:] = 2.0
    representatives, weights = cluster(samples, 4)
    torch.testing.assert_close(weights, torch.tensor([0.7, 0.3, 0.0, 0.0]).expand(2, 4))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2))
    assert representatives.isfinite().all()
    assert set(representatives.unique().tolist()) <= {1.0, 2.0}


def test_batch_shapes_and_float64():
    samples = torch.randn(20, 2, 0, 17, 3, dtype=torch.float64)
    representatives, weights = cluster(samples, 3)
    assert representatives.shape == (2, 0, 3, 17, 3)
    assert weights.shape == (2, 0, 3)
    alone, weight = cluster(torch.randn(20, 17, 3, dtype=torch.float64), 3)
    assert alone.shape == (3, 17, 3)
    assert weight.shape == (3,)
    assert alone.dtype == torch.float64


def test_bad_input_is_named():
    samples = torch.zeros(5, 17, 3)
    for k in (0, 6):
        with pytest.raises(InputError) as caught:
            cluster(samples, k)
        assert str(caught.value) == f"k: expected 1 to 5 (the number of samples), got {k}"
    with pytest.raises(InputError, match=r"samples has shape \(5, 3\); expected \(samples, \*batch, joints, 3\)"):
        cluster(torch.zeros(5, 3), 1)
    samples[2, 3] = float("nan")
    with pytest.raises(InputError, match="samples: expected finite numbers only"):
        cluster(samples, 2)
