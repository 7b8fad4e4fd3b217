"""What is said to be unknown of joint rotations is what their samples leave open."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from poseterior.geometry.skeletons import SKELETONS
from poseterior.metrics.untold import _bone, untold

SMPL = SKELETONS["smpl22"]
HEAD, KNEE = SMPL.index("head"), SMPL.index("left_knee")


def samples(degrees: dict[int, torch.Tensor], poses: int = 5, count: int = 400) -> torch.Tensor:
    """Samples of random mean poses: small rotations everywhere, and of some joints those vectors times a normal."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    mean = roma.random_rotmat(poses * 22).reshape(poses, 1, 22, 3, 3).double()
    vectors = 0.02 * torch.randn(poses, count, 22, 3, generator=generator, dtype=torch.float64)
    for joint, scale in degrees.items():
        drawn = torch.randn(poses, count, len(scale), generator=generator, dtype=torch.float64)
        vectors[:, :, joint] += drawn @ torch.deg2rad(scale)
    return mean @ roma.rotvec_to_rotmat(vectors)


def test_the_turn_of_a_head_is_not_told_though_everything_else_is():
    turn = 35.0 * _bone(HEAD)[None]
    found = untold(samples({HEAD: turn}))
    assert [j for j, what in enumerate(found) if what is not None] == [HEAD]
    assert found[HEAD].way == "turn"
    # half of the 90 % interval of a normal variable is 1.645 standard deviations
    assert math.degrees(found[HEAD].half) == pytest.approx(1.645 * 35, rel=0.06)
    assert str(found[HEAD]) == f"turn (±{math.degrees(found[HEAD].half):.0f}°)"


def test_tilts_and_directions_are_told_apart():
    bone = _bone(KNEE)
    across = torch.linalg.cross(bone, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    across = 35.0 * across / across.norm()
    assert untold(samples({KNEE: across[None]}))[KNEE].way == "tilt"
    both = torch.stack([across, 40.0 * bone])
    assert untold(samples({KNEE: both}))[KNEE].way == "direction"


def test_what_agrees_or_cannot_be_judged_is_not_named():
    narrow = samples({HEAD: 15.0 * _bone(HEAD)[None]})
    assert untold(narrow) == [None] * 22
    assert untold(narrow, wide=math.radians(20))[HEAD].way == "turn"
    assert untold(narrow[:, :1]) == [None] * 22
