"""Quaternions and matrices: as roma has them, the sign of each quaternion included."""

from __future__ import annotations

import pytest
import roma
import torch
from torch import Tensor

from poseterior.geometry.quaternions import (
    acted,
    angle_between,
    product,
    rotation_matrices,
    unit_quaternions,
    zxy_angles,
)
from poseterior.metrics.rotations import geodesic_angle

F64 = torch.float64


def turns(count: int = 20_000) -> Tensor:
    """Unit quaternions everywhere, half turns and the identity among them."""
    q = torch.randn(count, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    q[:4] = torch.eye(4, dtype=F64)
    q[4:6] = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=F64)
    return q / q.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-15), (torch.float32, 4e-7)])
def test_matrices_and_quaternions_are_romas(dtype: torch.dtype, tolerance: float) -> None:
    matrices = roma.unitquat_to_rotmat(turns().to(dtype))
    found = unit_quaternions(matrices)
    torch.testing.assert_close(found, roma.rotmat_to_unitquat(matrices), atol=tolerance, rtol=0)
    assert torch.equal(rotation_matrices(found), roma.unitquat_to_rotmat(found))


def test_of_matrices_that_are_not_quite_rotations_quaternions_are_of_unit_length() -> None:
    matrices = roma.unitquat_to_rotmat(turns(100).float()) * 1.0005
    torch.testing.assert_close(unit_quaternions(matrices).norm(dim=-1), torch.ones(100))


def test_any_batch_shape() -> None:
    matrices = roma.unitquat_to_rotmat(turns(24)).view(2, 3, 4, 3, 3)
    assert torch.equal(unit_quaternions(matrices.transpose(0, 1)), unit_quaternions(matrices).transpose(0, 1))
    assert unit_quaternions(torch.zeros(0, 22, 3, 3)).shape == (0, 22, 4)
    assert unit_quaternions(torch.eye(3)).tolist() == [0.0, 0.0, 0.0, 1.0]


def test_products_and_turned_vectors_are_romas() -> None:
    p, q = turns(), turns().flip(0)
    torch.testing.assert_close(product(p, q), roma.quat_product(p, q), atol=1e-15, rtol=0)
    vectors = torch.randn(len(q), 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    torch.testing.assert_close(acted(q, vectors), roma.quat_action(q, vectors, is_normalized=True), atol=1e-14, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-12), (torch.float32, 2e-6)])
def test_the_angle_between_quaternions_is_that_between_matrices(dtype: torch.dtype, tolerance: float) -> None:
    """Anywhere, hardly apart, half a turn apart, and of q and -q."""
    p = turns()
    axis = torch.nn.functional.normalize(torch.randn(len(p), 3, generator=torch.Generator().manual_seed(2), dtype=F64))
    angle = torch.linspace(0, torch.pi, len(p), dtype=F64)
    angle[:10] = torch.tensor([1e-9, 1e-6, 1e-4, 1e-3, 0.01, 3.14, 3.1415, 3.14159, torch.pi, 0.0], dtype=F64)
    apart = roma.quat_product(p, roma.rotvec_to_unitquat(angle.unsqueeze(-1) * axis))
    apart[::2] *= -1.0
    found = angle_between(p.to(dtype), apart.to(dtype))
    torch.testing.assert_close(found.double(), angle, atol=tolerance, rtol=0)
    torch.testing.assert_close(angle_between(p, turns().flip(0)), geodesic_angle(
        rotation_matrices(p), rotation_matrices(turns().flip(0))
    ), atol=1e-12, rtol=0)  # fmt: skip
    assert angle_between(p[:6].view(2, 3, 4), p[0]).shape == (2, 3)


def test_angles_are_romas_and_where_two_axes_coincide_too() -> None:
    free = turns()[6:]
    free = free[rotation_matrices(free)[:, 2, 1].abs() < 0.999]
    torch.testing.assert_close(zxy_angles(free), roma.unitquat_to_euler("ZXY", free, degrees=True), atol=1e-9, rtol=0)
    locked = roma.euler_to_unitquat("ZXY", torch.tensor([[30.0, 90.0, 10.0], [5.0, 6.0, 7.0]], dtype=F64), degrees=True)
    again = roma.euler_to_unitquat("ZXY", zxy_angles(locked), degrees=True)
    torch.testing.assert_close((again * locked).sum(-1).abs(), torch.ones(2, dtype=F64), atol=1e-12, rtol=0)
