"""People drawn from the shipped prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poseterior.data.simulation.bodies import BodySimulator
from poseterior.data.simulation.protocols import PROTOCOLS
from poseterior.data.simulation.simulator import Simulator
from poseterior.experiments.drawn_people import drawn_people
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.kinematics import ANKLE_HEIGHT, bone_lengths
from poseterior.geometry.skeletons import SKELETONS


def test_same_seed_same_people() -> None:
    one, again, other = drawn_people(5, seed=3), drawn_people(5, seed=3), drawn_people(5, seed=4)
    assert np.array_equal(one.h36m17, again.h36m17)
    assert not np.allclose(one.h36m17, other.h36m17)


def test_they_are_the_rest_body_upright_on_the_floor() -> None:
    people = drawn_people(20, seed=1)
    pose = torch.from_numpy(people.h36m17)
    rest, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    for bone in ("left_knee", "right_ankle", "left_elbow", "right_wrist"):
        place = [SKELETONS["h36m17"].joints[child] for child, _ in SKELETONS["h36m17"].bones].index(bone)
        wanted = bone_lengths(rest[list(H36M_POINTS)], SKELETONS["h36m17"])[place]
        assert bone_lengths(pose, SKELETONS["h36m17"])[:, place] == pytest.approx(np.full(20, float(wanted)), abs=1e-4)
    lowest = np.minimum(people.positions[..., 1].min(1), people.h36m17[..., 1].min(1))
    assert lowest == pytest.approx(np.full(20, ANKLE_HEIGHT), abs=1e-5)
    # Nobody is turned: the right hip is at -x of the left, at the same height.
    hips = people.positions[:, SKELETONS["smpl22"].index("left_hip")]
    hips = hips - people.positions[:, SKELETONS["smpl22"].index("right_hip")]
    assert (hips[:, 0] > 0.05).all()
    assert np.abs(hips[:, 1:]).max() < 0.02
    assert people.rotations[:, 0] == pytest.approx(np.tile([0.0, 0.0, 0.0, 1.0], (20, 1)))


@pytest.mark.parametrize("kind", [Simulator, BodySimulator])
def test_simulators_take_them_like_motion_capture(kind: type[Simulator]) -> None:
    people = drawn_people(8, seed=2)
    seen = kind(people, PROTOCOLS["people"].simulator)(8, torch.Generator().manual_seed(0), torch.arange(8))
    assert seen.pose.shape == (8, 17, 3)
    assert bool(seen.pose.isfinite().all())
    assert bool(seen.observed.all())


def test_nobody_and_no_prior_are_refused() -> None:
    with pytest.raises(InputError, match="count: expected at least 1 person, got 0"):
        drawn_people(0)
    with pytest.raises(InputError, match="which is no prior; 'rotations' is one"):
        drawn_people(1, prior="mdn")
