"""Numbers of where the pelvis of a clip goes."""

import pytest
import torch

import poseterior as pp
from conftest import made_up_store
from poseterior.data.simulation.protocols import simulate
from poseterior.data.store import PoseStore
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.evaluation.clip_places import place_numbers
from poseterior.evaluation.clips import clips_in, measure_clips
from poseterior.lifting.clips.method import Smoothing

H36M = pp.SKELETONS["h36m17"]


def test_people_walk_as_recorded(tmp_path):
    """Joints before the steady camera are the recorded ones, turned and moved by one turn and one step a clip."""
    store = made_up_store(tmp_path / "store")
    recorded = torch.from_numpy(PoseStore(store).load(fps=30.0).h36m17)
    data = simulate(store, "walks")
    for clip in clips_in(data):
        seen = clip.observations
        placed = seen.pose + seen.root[:, None]
        actual = recorded[seen.index]
        both = [points.flatten(0, 1) - points.flatten(0, 1).mean(0) for points in (placed, actual)]
        torch.testing.assert_close(torch.cdist(both[0], both[0]), torch.cdist(both[1], both[1]), atol=2e-3, rtol=1e-3)
        assert float(seen.root[:, 2].min()) > 1.99
        assert len(seen.keypoints.intrinsics.unique(dim=0)) == 1


def test_the_truth_has_no_error(tmp_path):
    seen = next(clips_in(simulate(made_up_store(tmp_path / "store"), "walks", 80))).observations
    count = len(seen.pose)
    axes = torch.eye(3).expand(count, 3, 3)
    paths = seen.root + 0.1 * torch.randn(200, count, 3, generator=torch.Generator().manual_seed(0))
    found = place_numbers(seen, seen.pose, seen.root, paths, axes, H36M, 30.0)
    assert float(found["root error"].max()) == 0
    assert float(found["root acceleration error"].max()) == 0
    torch.testing.assert_close(found["foot skate"], found["foot skate of the truth"])
    assert float(found["root held along"].mean()) == 1
    assert float(found["root width along"].mean()) == pytest.approx(329, rel=0.1)
    far = place_numbers(seen, seen.pose, seen.root + torch.tensor([0.0, 0.0, 0.5]), paths + 0.5, axes, H36M, 30.0)
    torch.testing.assert_close(far["root error"], torch.full_like(far["root error"], 500.0))
    assert float(far["root held along"].mean()) == 0


def test_measured_with_the_rest(tmp_path):
    data = simulate(made_up_store(tmp_path / "store"), "walks", 80)
    lifter = pp.load("mdn")
    numbers = measure_clips(Smoothing(contacts=True), lifter, data, samples=20, errors=ClipErrors(), clips=2)
    for name in ("root error", "root acceleration error", "root width along"):
        assert 0 < numbers["clip"][name] < 1.5 * numbers["frames"][name]
    for name in ("root held across", "root held along"):
        assert 0 <= numbers["clip"][name] <= 1
