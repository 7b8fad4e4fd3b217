"""Draws with the poses last: the rotations that the network draws of the same numbers one joint after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from poseterior.geometry.body import SMPL25, body_points, estimate_offsets, points_from, rest_offsets
from poseterior.geometry.quaternions import rotation_matrices
from poseterior.nn.body_evidence import BodyEvidence, evidence_from_points
from poseterior.nn.rotation_networks import NetworkSizes, RotationNetwork, modelled_joints, rotation_network
from poseterior.noise import DrawnNoise, as_noise

F64 = torch.float64
_TINY = NetworkSizes(width=16, blocks=1, context=8, trunk=8, layers=3, segments=3, hidden=4)
_ROWS = 70


def bent_network(structure: str, toes: bool, sizes: NetworkSizes = _TINY) -> RotationNetwork:
    torch.manual_seed(0)
    network = rotation_network(structure, modelled_joints(toes), sizes).double()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    network.usual += 0.01 * torch.randn_like(network.usual)  # as saved in half precision: no exact rotations
    return network.requires_grad_(False)


def people() -> Tensor:
    """Points of bodies that stand in many ways, (rows, 25, 3)."""
    generator = torch.Generator().manual_seed(1)
    q = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=F64) + 0.3 * torch.randn(_ROWS, 22, 4, generator=generator, dtype=F64)
    rest = rest_offsets(F64).expand(_ROWS, 25, 3)
    return body_points(rotation_matrices(q / q.norm(dim=-1, keepdim=True)), rest)[0]


def evidence_of(there: Tensor) -> BodyEvidence:
    points = torch.where(there.unsqueeze(-1), people(), 0.0)
    seen = there.expand(_ROWS, 25)
    own, known = estimate_offsets(points, seen)
    return evidence_from_points(points, seen, points.new_full((_ROWS, 25), 0.005), own, known).to(F64)


def both_ways(network: RotationNetwork, there: Tensor) -> tuple[Tensor, Tensor]:
    evidence = evidence_of(there)
    generator = torch.Generator().manual_seed(2)
    numbers = [torch.randn(_ROWS, 4, generator=generator, dtype=F64) for _ in network.joints]
    with torch.no_grad():
        found = network.draw_alike(evidence, there, DrawnNoise(numbers))
        expected, _ = network.draw(torch.Size(), evidence, DrawnNoise(numbers), density=False)
    return found, expected


def seen(which: str) -> Tensor:
    if which == "h36m17":
        return points_from(torch.zeros(17, 3), which)[1]
    there = torch.ones(len(SMPL25), dtype=torch.bool)
    if which == "few":
        there[:] = False
        there[[SMPL25.index(name) for name in ("left_hip", "left_knee", "neck", "left_elbow", "left_wrist")]] = True
    return there


@pytest.mark.parametrize("which", ["h36m17", "all", "few"])
@pytest.mark.parametrize(("structure", "toes"), [("autoregressive", False), ("autoregressive", True)])
def test_rotations_are_those_of_one_joint_after_the_other(structure: str, toes: bool, which: str) -> None:
    found, expected = both_ways(bent_network(structure, toes), seen(which))
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=0)
    assert (found - torch.eye(3, dtype=F64)).abs().amax() > 0.5
    assert not found.is_inference()


def test_products_by_the_other_library_are_the_same_products() -> None:
    """Of sizes at which products of float32 go to oneDNN, against double precision: to its rounding."""
    network = bent_network("autoregressive", False, NetworkSizes())
    for parameter in network.parameters():
        parameter.data *= 0.2
    there = seen("h36m17")
    _, expected = both_ways(network, there)
    rows = evidence_of(there).to(torch.float32)
    generator = torch.Generator().manual_seed(2)
    numbers = [torch.randn(_ROWS, 4, generator=generator, dtype=F64).float() for _ in network.joints]
    with torch.no_grad():
        single = network.float().draw_alike(rows, there, DrawnNoise(numbers))
    assert (single.double() - expected).abs().median() < 1e-5
    assert (single.double() - expected).abs().quantile(0.99) < 1e-3


@pytest.mark.parametrize("structure", ["independent", "acg", "coupling"])
def test_other_structures_draw_as_ever(structure: str) -> None:
    network, there = bent_network(structure, False), seen("h36m17")
    generators = [torch.Generator().manual_seed(3) for _ in range(2)]
    evidence = evidence_of(there)
    with torch.no_grad():
        found = network.draw_alike(evidence, there, as_noise(generators[0]))
        expected, _ = network.draw(torch.Size(), evidence, generators[1], density=False)
    assert torch.equal(found, expected)
