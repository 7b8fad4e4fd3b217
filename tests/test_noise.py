"""Sources of random numbers: what they depend on, and that they are what they say."""

import pytest
import torch

from poseterior.noise import DrawnNoise, Noise, PoseNoise, SharedNoise, StreamNoise, keys_of, mixed

LIKE = torch.zeros((), dtype=torch.float64)


def test_a_stream_is_torchs_own():
    size = (4, 3, 5)
    drawn = StreamNoise(torch.Generator().manual_seed(2)).normal(size, 1, LIKE)
    assert torch.equal(drawn, torch.randn(size, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    uniform = StreamNoise(torch.Generator().manual_seed(2)).uniform(size, 1, LIKE)
    assert torch.equal(uniform, torch.rand(size, generator=torch.Generator().manual_seed(2), dtype=torch.float64))


@pytest.mark.parametrize("batch", [(), (6,), (2, 3), (0,), (2, 0, 3)])
def test_numbers_of_a_pose_depend_on_its_key_alone(batch):
    keys = torch.randint(2**62, batch, generator=torch.Generator().manual_seed(1))
    noise, size = PoseNoise(5, keys), (4, *batch, 3, 2)
    first, second = noise.normal(size, 2, LIKE), noise.uniform(size, 2, LIKE)
    assert first.shape == second.shape == size
    for place in torch.cartesian_prod(*(torch.arange(n) for n in batch)).reshape(-1, len(batch)) if batch else [()]:
        index = tuple(int(i) for i in place)
        alone = PoseNoise(5, keys[index])
        assert torch.equal(alone.normal((4, 3, 2), 2, LIKE), first[(slice(None), *index)])
        assert torch.equal(alone.uniform((4, 3, 2), 2, LIKE), second[(slice(None), *index)])


def test_the_batch_may_be_flattened():
    keys = torch.arange(6).reshape(2, 3)
    flat = PoseNoise(0, keys).normal((4, 6, 5), 1, LIKE)
    assert torch.equal(flat.reshape(4, 2, 3, 5), PoseNoise(0, keys).normal((4, 2, 3, 5), 1, LIKE))
    with pytest.raises(ValueError, match=r"has no batch of \(2, 3\)"):
        PoseNoise(0, keys).normal((4, 5, 5), 1, LIKE)


def test_shared_numbers_are_the_same_for_every_pose():
    drawn = SharedNoise(3, (2, 3)).normal((4, 2, 3, 5), 1, LIKE)
    assert torch.equal(drawn, drawn[:, :1, :1].expand_as(drawn))
    assert torch.equal(drawn[:, 0, 0], SharedNoise(3, ()).normal((4, 5), 1, LIKE))


def test_numbers_are_normal_and_independent():
    drawn = PoseNoise(0, torch.arange(400)).normal((200, 400), 0, LIKE)
    assert abs(float(drawn.mean())) < 4 / 80_000**0.5
    assert abs(float(drawn.std()) - 1) < 4 / (2 * 80_000) ** 0.5
    # 400 x 400 correlations of 200 numbers each: standard deviation 1 / sqrt(200), so the largest is about 4.5 of these
    correlation = torch.corrcoef(drawn.T).fill_diagonal_(0.0).abs().max()
    assert float(correlation) < 6 / 200**0.5


@pytest.mark.parametrize("noise", [PoseNoise(0, torch.arange(2)), SharedNoise(0, (2,)), StreamNoise(None)])
def test_choices_are_in_proportion(noise: Noise):
    weights = torch.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    torch.manual_seed(0)
    chosen = noise.choose(weights, 40_000)
    share = torch.nn.functional.one_hot(chosen, 3).double().mean(1)
    torch.testing.assert_close(share, (weights / weights.sum(-1, keepdim=True)).double(), rtol=0, atol=0.011)  # 4 sd
    assert share[0, 1] == share[1, 0] == 0.0


def test_mixing_changes_with_every_bit():
    start = mixed(7, torch.arange(1000))
    assert len(set(start.tolist())) == 1000
    for bit in (0, 1, 31, 32, 62):
        other = mixed(7 ^ (1 << bit), torch.arange(1000))
        # half of the lower 32 bits, which alone seed torch's generator on the processor, are others
        changed = sum(bin((a ^ b) & 0xFFFFFFFF).count("1") for a, b in zip(start.tolist(), other.tolist(), strict=True))
        assert changed / 32_000 == pytest.approx(0.5, abs=0.012)


def test_keys_tell_poses_apart_and_nothing_else():
    points = torch.randn(1000, 17, 2, generator=torch.Generator().manual_seed(0))
    seen = torch.rand(1000, 17, generator=torch.Generator().manual_seed(1)) > 0.3
    keys = keys_of(points, seen)
    assert len(set(keys.tolist())) == 1000
    other = torch.where(seen.unsqueeze(-1), points, torch.nan)
    assert torch.equal(keys_of(other, seen), keys)
    assert torch.equal(keys_of(points[5:6], seen[5:6]), keys[5:6])
    assert torch.equal(keys_of(torch.zeros(1, 17, 2), seen[:1]), keys_of(-torch.zeros(1, 17, 2), seen[:1]))
    moved = points.clone()
    moved[..., 0, 0] += 1e-3
    assert bool(((keys_of(moved, seen) != keys) == seen[:, 0]).all())


def test_numbers_drawn_ahead_come_in_their_order_and_size():
    like = torch.zeros(())
    numbers = [torch.randn(4, 3, 2), torch.randn(4, 3)]
    ahead = DrawnNoise(part[1:3] for part in numbers)
    assert torch.equal(ahead.normal((2, 3, 2), 1, like), numbers[0][1:3])
    with pytest.raises(ValueError, match=r"numbers of \(2, 3\) were drawn, \(4, 3\) are asked for"):
        ahead.normal((4, 3), 0, like)
