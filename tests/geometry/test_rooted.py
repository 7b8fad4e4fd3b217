"""Joints without the root and with it again, and turns of many samples at once."""

from __future__ import annotations

import pytest
import torch

from poseterior.geometry.frames import RootedFrame, with_root, without_root
from poseterior.geometry.skeletons import Skeleton

CHAIN = ("hip", "knee", "ankle")


@pytest.mark.parametrize("root", [0, 1, 2])
def test_there_and_back(root: int) -> None:
    values = torch.arange(24.0).reshape(2, 4, 3)
    kept = [joint for joint in range(4) if joint != root]
    assert torch.equal(without_root(values, root, 1), values[:, kept])
    back = with_root(without_root(values, root, 1), root, 1)
    assert torch.equal(back[:, kept], values[:, kept])
    assert not back[:, root].any()


@pytest.mark.parametrize(("samples", "turns"), [((), (5,)), ((7,), (5,)), ((7,), (1,)), ((2, 3), (5,)), ((7,), (2, 5))])
def test_samples_are_turned_as_each_is_alone(samples: tuple[int, ...], turns: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = (5,) if turns == (1,) else turns
    turn = torch.linalg.qr(torch.randn(*turns, 3, 3, generator=generator, dtype=torch.float64)).Q
    poses = torch.randn(*samples, *batch, 2, 3, generator=generator, dtype=torch.float64)
    frame = RootedFrame(Skeleton("leg", CHAIN, (-1, 0, 1)), turn)
    turned = frame.to_camera(poses)
    expected = torch.einsum("...ji,...ik->...jk", poses, turn.expand(*batch, 3, 3))
    torch.testing.assert_close(turned[..., 1:, :], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(frame.from_camera(turned), poses, rtol=0, atol=1e-12)
