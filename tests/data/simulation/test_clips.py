import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import made_up_mocap
from poseterior.data.simulation.clips import ClipSimulator, KeypointPairs, StoredKeypoints, neighbours
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D, PoseId

PLAIN = SimulatorConfig(
    recombine=0.0, limb_jitter=0.0, own_body=1.0, noise_added=False, missing={"none": 1.0}, truncate=0
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    step=st.integers(1, 8),
    least=st.integers(1, 12),
    seed=st.integers(0, 10_000),
)
def test_neighbours_never_leave_their_clip(lengths, step, least, seed):
    clip = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    index = torch.arange(len(clip))
    later, apart = neighbours(clip, index, step, least, generator(seed))
    assert torch.equal(clip[later], clip)
    assert torch.equal(clip[apart], clip)
    long = torch.tensor(lengths)[clip] > 2 * step
    assert ((later - index).abs()[long] == step).all()
    first = torch.cat([torch.zeros(1, dtype=torch.long), torch.tensor(lengths).cumsum(0)])[clip]
    last = first + torch.tensor(lengths)[clip] - 1
    possible = (index - first >= least) | (last - index >= least)
    assert ((apart - index).abs()[possible] >= least).all()


def test_the_random_neighbour_is_anywhere_allowed():
    clip = torch.zeros(40, dtype=torch.long)
    index = torch.full((20_000,), 15)
    _, apart = neighbours(clip, index, 5, 10, generator())
    counts = torch.bincount(apart, minlength=40)
    allowed = torch.tensor([i <= 5 or i >= 25 for i in range(40)])
    assert (counts[~allowed] == 0).all()
    expected = 20_000 / int(allowed.sum())
    assert ((counts[allowed] - expected).abs() < 5 * expected**0.5).all()


def test_two_clips_of_one_name_apart_in_the_rows_are_two_runs():
    clip = torch.tensor([0, 0, 1, 0, 0])
    later, _ = neighbours(clip, torch.arange(5), 1, 1, generator())
    assert later.tolist() == [1, 0, 2, 4, 3]


def test_nothing_but_2d():
    pairs = ClipSimulator(made_up_mocap(100, 2), PLAIN)(20, generator())
    assert [f.name for f in dataclasses.fields(pairs)] == ["keypoints", "later", "apart"]
    for f in dataclasses.fields(pairs):
        part = getattr(pairs, f.name)
        assert isinstance(part, Keypoints2D)
        tensors = {name: value for name, value in vars(part).items() if isinstance(value, torch.Tensor)}
        assert all(value.shape[-1] != 3 for value in tensors.values()), {k: v.shape for k, v in tensors.items()}
    assert len(pairs[:7]) == 7


def test_the_same_person_and_camera():
    simulator = ClipSimulator(made_up_mocap(100, 2), PLAIN, step=0)
    pairs = simulator(20, generator())
    torch.testing.assert_close(pairs.later.xy, pairs.keypoints.xy)
    assert torch.equal(pairs.apart.intrinsics.nan_to_num(), pairs.keypoints.intrinsics.nan_to_num())
    assert not torch.allclose(pairs.apart.xy, pairs.keypoints.xy)


def test_same_generator_same_pairs():
    simulator = ClipSimulator(made_up_mocap(100, 2), PLAIN)
    assert torch.equal(simulator(20, generator(3)).apart.xy, simulator(20, generator(3)).apart.xy)


def test_recombined_clips_are_refused():
    with pytest.raises(InputError, match="clips are observed as they are: expected 0"):
        ClipSimulator(made_up_mocap(100, 2), SimulatorConfig())


def test_stored_keypoints_go_by_their_files():
    observations = Simulator(made_up_mocap(100, 2), PLAIN)(60, generator())
    ids = [PoseId(f"clip{i // 20}", i % 20, 0) for i in range(60)]
    observations = dataclasses.replace(observations, keypoints=observations.keypoints._replace(ids=ids))
    order = torch.randperm(60, generator=generator())
    for rows in (observations, observations[order]):  # in whatever order a table has them
        pairs = StoredKeypoints(rows, step=2, least=5)(200, generator())
        assert isinstance(pairs, KeypointPairs)
        for one, later, apart in zip(pairs.keypoints.ids, pairs.later.ids, pairs.apart.ids, strict=True):
            assert one.file == later.file == apart.file
            assert abs(one.frame - later.frame) == 2
            assert abs(one.frame - apart.frame) >= 5
