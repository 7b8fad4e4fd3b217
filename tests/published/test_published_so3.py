"""The published flow on SO(3)^19: sizes, orders, exactness in both directions."""

from __future__ import annotations

import pytest
import roma
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from poseterior.files.errors import InputError
from poseterior.nn.so3 import haar_quaternions, mobius, quaternion_product
from poseterior.published.duenkel_2024.network import PublishedCondition, PublishedRotationFlow

F64 = torch.float64
PRIOR = {}
OCCLUSION = {"condition": 64, "segments": 16, "hidden": 16, "hidden_layers": 3}
KINEMATICS = {"condition": 64, "segments": 32, "hidden": 32, "hidden_layers": 2}


def haar(*shape: int, seed: int = 0) -> Tensor:
    return haar_quaternions(shape, torch.Generator().manual_seed(seed), like=torch.zeros((), dtype=F64))


def flow_of(joints: int, condition: int = 0, seed: int = 0) -> PublishedRotationFlow:
    torch.manual_seed(seed)
    return PublishedRotationFlow(joints, condition, segments=4, hidden=8, hidden_layers=2).double()


def condition_of(flow: PublishedRotationFlow, *batch: int) -> Tensor | None:
    size = flow.condition
    return torch.randn(*batch, size, generator=torch.Generator().manual_seed(9), dtype=F64) if size else None


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


# -- as published ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "inputs", "flow", "total"),
    [
        (PRIOR, 0, 1_293_104, 1_293_104),
        (OCCLUSION, 66, 1_504_496, 1_517_104),
        (KINEMATICS, 66, 2_960_048, 2_972_656),
        (KINEMATICS, 44, 2_960_048, 2_971_248),
    ],
)
def test_golden_numbers_of_parameters(sizes: dict, inputs: int, flow: int, total: int) -> None:
    for _ in range(2):  # a second construction builds the same network
        network = PublishedRotationFlow(**sizes)
        assert count(network) == flow
        assert count(network, *([PublishedCondition(inputs)] if inputs else [])) == total


def test_golden_orders_of_joints() -> None:
    orders = PublishedRotationFlow().state_dict()["permutations"]
    assert orders.shape == (23, 19)
    assert orders.sort(-1).values.equal(torch.arange(19).expand(23, 19))
    assert orders[0].tolist() == [3, 7, 17, 5, 6, 2, 10, 13, 8, 14, 16, 18, 12, 11, 1, 0, 15, 4, 9]
    assert orders[22].tolist() == [4, 14, 13, 10, 15, 7, 18, 12, 11, 16, 9, 3, 0, 8, 5, 1, 6, 2, 17]


def test_networks_start_as_linear_layers_do() -> None:
    networks = PublishedRotationFlow(**KINEMATICS).mobius[3]
    for k in (0, 5, 18):
        rows, bound = networks._rows(k), (3 + 6 * k + 64) ** -0.5
        seen = torch.cat([networks.own[k], networks.before[rows.start : rows.stop], networks.condition[k]])
        assert len(seen) == 3 + 6 * k + 64
        assert 0.98 * bound < seen.abs().max() <= bound
        assert networks.enter_bias[k].abs().max() <= bound
    assert networks.middle.abs().max() <= 32**-0.5


def test_networks_of_all_positions_equal_plain_ones() -> None:
    """Against linear layers one by one: features of the joints before, then ReLU with a skip."""
    networks, features = flow_of(4, condition=3).mobius[0], torch.randn(5, 18, dtype=F64)
    own, condition = torch.randn(5, 4, 3, dtype=F64), torch.randn(5, 3, dtype=F64)
    out = networks(own, features, condition)
    given = networks.given(condition)
    for k in range(4):
        rows = networks._rows(k)
        weight = torch.cat([networks.own[k], networks.before[rows.start : rows.stop], networks.condition[k]])
        entered = torch.cat([own[:, k], features[:, : 6 * k], condition], -1) @ weight + networks.enter_bias[k]
        inner = entered
        for layer in range(2):
            inner = inner.relu() @ networks.middle[layer, k] + networks.middle_bias[layer, k]
        expected = (entered + inner).relu() @ networks.leave[k] + networks.leave_bias[k]
        torch.testing.assert_close(out[:, k], expected)
        torch.testing.assert_close(networks.one(k, own[:, k], features[:, : 6 * k], given), expected)


def test_mobius_columns_turn_as_published(monkeypatch) -> None:
    """Columns (0, 1, 2), (1, 2, 0), (2, 0, 1): the middle one stays, first column 1."""
    axes = []
    monkeypatch.setattr(
        "poseterior.published.duenkel_2024.network.mobius",
        lambda q, w, c, axis: axes.append(axis) or mobius(q, w, c, axis),
    )
    flow = flow_of(2)
    flow.log_prob(roma.unitquat_to_rotmat(haar(1, 2)))
    assert axes == [1, 2, 0] * 4


def test_condition_network_is_residual() -> None:
    network, keypoints = PublishedCondition(), torch.randn(5, 66)
    entered = network.enter(keypoints)
    activation = nn.LeakyReLU()
    expected = network.leave(activation(entered + network.middle(activation(entered))))
    assert torch.equal(network(keypoints), expected)
    assert expected.shape == (5, 64)


# -- exactness -------------------------------------------------------------------------------------------------


def jacobian(flow: PublishedRotationFlow, q: Tensor, condition: Tensor | None) -> Tensor:
    """Of quaternions (n, joints, 4) to the base, in left-trivialised tangent spaces: (n, 3 joints, 3 joints)."""
    d = torch.zeros(*q.shape[:-1], 3, dtype=q.dtype, requires_grad=True)
    turn = nn.functional.normalize(torch.cat([0.5 * d, torch.ones_like(d[..., :1])], -1), dim=-1)
    z = flow.to_base(roma.unitquat_to_rotmat(quaternion_product(q, turn)), condition)[0]
    moved = z.detach().transpose(-1, -2) @ z
    vee = torch.stack([moved[..., 2, 1], moved[..., 0, 2], moved[..., 1, 0]], -1).flatten(1)
    rows = [torch.autograd.grad(vee[:, i].sum(), d, retain_graph=True)[0].flatten(1) for i in range(vee.shape[1])]
    return torch.stack(rows, 1)


@pytest.mark.parametrize("condition", [0, 5])
@pytest.mark.parametrize("joints", [1, 2, 3])
def test_log_determinant_is_exact(joints: int, condition: int) -> None:
    flow, q = flow_of(joints, condition), haar(20, joints)
    given = condition_of(flow, 20)
    exact = torch.linalg.slogdet(jacobian(flow, q, given)).logabsdet
    # Rounding alone: up to 1e-10 over seeds.
    assert (exact - flow.log_prob(roma.unitquat_to_rotmat(q), given)).abs().max() < 1e-8


def test_no_joint_sees_a_later_one() -> None:
    """With one order for all layers the whole map is triangular: exactly 0 above."""
    flow, q = flow_of(4), haar(5, 4)
    order = torch.tensor([2, 0, 3, 1])
    flow.permutations[:] = order
    blocks = jacobian(flow, q, None).unflatten(1, (4, 3)).unflatten(3, (4, 3)).transpose(2, 3)
    blocks = blocks[:, order][:, :, order]
    for position in range(4):
        later = blocks[:, position, position + 1 :]
        assert torch.equal(later, torch.zeros_like(later))
        assert (blocks[:, position, : position + 1].abs().amax((-1, -2)) > 0).all()


@pytest.mark.parametrize("condition", [0, 5])
@pytest.mark.parametrize("joints", [1, 3])
def test_round_trips(joints: int, condition: int) -> None:
    flow, rotations = flow_of(joints, condition), roma.unitquat_to_rotmat(haar(50, joints))
    given = condition_of(flow, 50)
    with torch.no_grad():
        base, there = flow.to_base(rotations, given)
        back, again = flow.from_base(base, given)
        data, here = flow.from_base(rotations, given)
        forth, hence = flow.to_base(data, given)
    # Nothing keeps the affine matrices from singular ones, so the worst of a few thousand maps loses digits.
    for found in (back, forth):
        error = (found - rotations).flatten(-2).norm(dim=-1)
        assert error.quantile(0.9) < 1e-10
        assert error.max() < 1e-6
    for one, other in ((there, again), (here, hence)):
        assert (one - other).abs().quantile(0.9) < 1e-9


def test_round_trip_of_the_published_prior() -> None:
    torch.manual_seed(0)
    flow = PublishedRotationFlow().double()
    base = roma.unitquat_to_rotmat(haar(3, 19))
    with torch.no_grad():
        data, density = flow.from_base(base)
        back, again = flow.to_base(data)
    assert (back - base).abs().max() < 1e-6
    torch.testing.assert_close(density, again, rtol=0, atol=1e-6)
    square = data.transpose(-1, -2) @ data
    assert (square - torch.eye(3, dtype=F64)).abs().max() < 1e-12


def test_density_integrates_to_one() -> None:
    """A prior of one joint whose networks say little: its mean density over uniform rotations."""
    flow = flow_of(1)
    with torch.no_grad():
        flow.free.data = torch.eye(4, dtype=F64) + 0.1 * torch.randn(flow.free.shape, dtype=F64)
        draws = roma.unitquat_to_rotmat(haar(50_000, 1, seed=5)).split(5_000)
        density = torch.cat([flow.log_prob(rotations) for rotations in draws]).exp()
    assert abs(float(density.mean()) - 1.0) < 4.0 * float(density.std()) / len(density) ** 0.5
    assert density.std() > 0.5


def test_weights_round_trip_with_their_orders() -> None:
    flow, other = flow_of(3, 5), flow_of(3, 5, seed=1)
    other.permutations[:] = torch.arange(3)
    other.load_state_dict(load(save(flow.state_dict())))
    rotations, given = roma.unitquat_to_rotmat(haar(10, 3)), condition_of(flow, 10)
    assert torch.equal(flow.permutations, other.permutations)
    assert torch.equal(flow.log_prob(rotations, given), other.log_prob(rotations, given))


# -- use -------------------------------------------------------------------------------------------------------


def test_samples_repeat_and_have_shapes() -> None:
    flow = flow_of(3, 5)
    given = condition_of(flow, 2)
    first = flow.sample(4, given, torch.Generator().manual_seed(1))
    assert first.shape == (4, 2, 3, 3, 3)
    assert torch.equal(first, flow.sample(4, given, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, flow.sample(4, given, torch.Generator().manual_seed(2)))
    torch.testing.assert_close(flow.log_prob(first, given), flow.log_prob(first, given.expand(4, 2, 5)))
    assert flow_of(3).sample(4).shape == (4, 3, 3, 3)
    assert flow_of(3).sample(0).shape == (0, 3, 3, 3)
    assert flow_of(3).log_prob(torch.zeros(0, 3, 3, 3, dtype=F64)).shape == (0,)


def test_a_condition_matters_and_gradients_reach_all_weights() -> None:
    flow, rotations = flow_of(3, 5), roma.unitquat_to_rotmat(haar(10, 3))
    given = condition_of(flow, 10).requires_grad_()
    flow.log_prob(rotations, given).sum().backward()
    assert given.grad.abs().min() > 0
    for parameter in flow.parameters():
        assert parameter.numel() == 0 or parameter.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("condition", "shape", "features", "message"),
    [
        (0, (2, 4, 3, 3), None, r"rotations: expected (..., 3, 3, 3), got (2, 4, 3, 3)"),
        (0, (2, 3, 3, 3), 5, "condition: expected no features, got 5"),
        (5, (2, 3, 3, 3), None, "condition: expected 5 features, got none"),
        (5, (2, 3, 3, 3), 4, "condition: expected 5 features, got 4"),
    ],
)
def test_refuses_other_shapes(condition: int, shape: tuple, features: int | None, message: str) -> None:
    given = None if features is None else torch.zeros(2, features, dtype=F64)
    for direction in (flow_of(3, condition).to_base, flow_of(3, condition).from_base):
        with pytest.raises(InputError) as refused:
            direction(torch.zeros(shape, dtype=F64), given)
        assert str(refused.value) == message
