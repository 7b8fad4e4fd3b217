"""Maps of rotations: exact Jacobians, round trips, normalisation, closed forms, known targets."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import roma
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from poseterior.nn import so3
from poseterior.nn.so3 import (
    MAXIMUM_CENTRE,
    RotationFlow,
    affine_parameters,
    haar_quaternions,
    mobius,
    mobius_inverse,
    quaternion_affine,
    quaternion_affine_inverse,
    quaternion_product,
)

F64 = torch.float64
SCALES = [0.1, 1.0, 5.0]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=F64).to(dtype)


def haar(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    return haar_quaternions(shape, seeded(seed), like=torch.zeros((), dtype=F64)).to(dtype)


def hard_points() -> Tensor:
    """Rotations by 0, almost 0, almost a half turn and a half turn, about the axes and others: (n, 4)."""
    axes = torch.cat([torch.eye(3, dtype=F64), nn.functional.normalize(normal(5, 3, seed=7), dim=-1)])
    angles = torch.tensor([0.0, 1e-7, 1.0, math.pi - 1e-7, math.pi], dtype=F64)
    half = 0.5 * angles[:, None, None]
    return torch.cat([axes * half.sin(), half.cos().expand(-1, len(axes), 1)], -1).flatten(0, 1)


def chordal(p: Tensor, q: Tensor) -> Tensor:
    """Angles between rotations, radians."""
    difference = (roma.unitquat_to_rotmat(p) - roma.unitquat_to_rotmat(q)).flatten(-2).norm(dim=-1)
    return 2.0 * torch.asin((difference / math.sqrt(8.0)).clamp(max=1.0))


def exact_ladj(function: Callable[[Tensor], Tensor], q: Tensor) -> Tensor:
    """log |det| of quaternions (n, joints, 4) to rotations, in the left-trivialised tangent spaces: (n,)."""
    n, joints, _ = q.shape
    d = torch.zeros(n, joints, 3, dtype=q.dtype, requires_grad=True)
    turn = nn.functional.normalize(torch.cat([0.5 * d, torch.ones_like(d[..., :1])], -1), dim=-1)
    z = roma.unitquat_to_rotmat(function(quaternion_product(q, turn)))
    moved = z.detach().transpose(-1, -2) @ z
    vee = torch.stack([moved[..., 2, 1], moved[..., 0, 2], moved[..., 1, 0]], -1).flatten(1)
    rows = [torch.autograd.grad(vee[:, i].sum(), d, retain_graph=True)[0].flatten(1) for i in range(3 * joints)]
    return torch.linalg.slogdet(torch.stack(rows, 1)).logabsdet


def conditioner(scale: float, segments: int = 8, seed: int = 0) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A random network from a column to the parameters of a mixture."""
    enter, leave = normal(3, 16, seed=seed), scale * normal(16, 4 * segments, seed=seed + 1) / 4.0

    def network(column: Tensor) -> tuple[Tensor, Tensor]:
        out = (column @ enter).tanh() @ leave
        return out[..., :segments], out[..., segments:].unflatten(-1, (segments, 3))

    return network


class OnMatrices:
    """A map of quaternions as one of matrices ``(n, 3, 3)``, there and back, each with the forward log-determinant."""

    def __init__(self, kind: str, axis: int, raw: Tensor) -> None:
        self.kind, self.axis, self.network = kind, axis, conditioner(1.0)
        self.parameters = affine_parameters(raw)

    def _moved(self, matrices: Tensor, mobius_map: Callable, affine_map: Callable) -> tuple[Tensor, Tensor]:
        q = roma.rotmat_to_unitquat(matrices)
        if self.kind == "mobius":
            moved, ladj = mobius_map(q, *self.network(matrices[..., self.axis]), self.axis)
        else:
            moved, ladj = affine_map(q, self.parameters)
        return roma.unitquat_to_rotmat(moved), ladj

    def there(self, matrices: Tensor) -> tuple[Tensor, Tensor]:
        return self._moved(matrices, mobius, quaternion_affine)

    def back(self, matrices: Tensor) -> tuple[Tensor, Tensor]:
        return self._moved(matrices, mobius_inverse, quaternion_affine_inverse)


def random_flow(
    joints: int, context: int = 5, layers: int = 3, scale: float = 1.0, segments: int = 8, dtype: torch.dtype = F64
) -> RotationFlow:
    """A flow far from the identity; ``scale`` is of what the affine maps get (mixtures get 1)."""
    flow = RotationFlow(joints, context, layers, segments, hidden=16)
    generator = seeded(0)
    for parameter in flow.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=F64)
    flow.project.data /= math.sqrt(context)
    flow.leave.data /= math.sqrt(flow.hidden)
    for affine in (flow.project, flow.offset):
        affine.data[..., : flow.sizes[0]] *= scale
    return flow.to(dtype)


class Chain(nn.Module):
    """Each joint's flow sees the rotations of the joints before it."""

    def __init__(self, joints: int, layers: int = 2, scale: float = 1.0, segments: int = 8) -> None:
        super().__init__()
        self.flow = random_flow(joints, 9 * joints, layers, scale, segments)
        self.joints = joints

    def context(self, q: Tensor) -> Tensor:
        features = roma.unitquat_to_rotmat(q).flatten(-2)
        earlier = torch.ones(self.joints, self.joints, dtype=q.dtype).tril(-1)
        return (earlier.unsqueeze(-1) * features.unsqueeze(-3)).flatten(-2)

    def to_base(self, q: Tensor) -> tuple[Tensor, Tensor]:
        base, ladj = self.flow.to_base(q, self.flow.parameters_of(self.context(q)))
        return base, ladj.sum(-1)


# -- quaternions -----------------------------------------------------------------------------------------------


def test_product_and_matrix_agree() -> None:
    p, q = haar(100), haar(100, seed=1)
    product = roma.unitquat_to_rotmat(p) @ roma.unitquat_to_rotmat(q)
    torch.testing.assert_close(roma.unitquat_to_rotmat(quaternion_product(p, q)), product, rtol=0, atol=1e-14)
    quarter = torch.tensor([0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5)], dtype=F64)  # about z: x to y
    x, y = torch.eye(3, dtype=F64)[:2]
    torch.testing.assert_close(roma.unitquat_to_rotmat(quarter) @ x, y)


def test_haar_has_the_moments_of_the_uniform_distribution() -> None:
    matrices = roma.unitquat_to_rotmat(haar(100_000)).flatten(1)
    error = 4.0 / math.sqrt(100_000)
    assert matrices.mean(0).abs().max() < error
    torch.testing.assert_close(matrices.T @ matrices / 100_000, torch.eye(9, dtype=F64) / 3.0, rtol=0, atol=error)


def test_products_after_inference_mode_have_gradients() -> None:
    so3.quaternion_tables.cache_clear()
    with torch.inference_mode():
        quaternion_product(haar(2), haar(2))
    q = haar(2).requires_grad_()
    quaternion_product(q, haar(2)).sum().backward()
    assert q.grad.isfinite().all()


def test_haar_repeats_with_the_seed() -> None:
    assert torch.equal(haar(5, seed=3), haar(5, seed=3))
    assert not torch.equal(haar(5, seed=3), haar(5, seed=4))


# -- log-determinants ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mobius_determinant_is_exact(axis: int, scale: float) -> None:
    q, network = torch.cat([hard_points(), haar(50)]).unsqueeze(1), conditioner(scale)

    def forward(q: Tensor) -> tuple[Tensor, Tensor]:
        return mobius(q, *network(roma.unitquat_to_rotmat(q)[..., axis]), axis)

    error = exact_ladj(lambda q: forward(q)[0], q) - forward(q)[1].squeeze(-1)
    assert error.abs().max() < 1e-10


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_inverse_mobius_determinant_is_exact(axis: int, scale: float) -> None:
    z, network = torch.cat([hard_points(), haar(50)]).unsqueeze(1), conditioner(scale)

    def inverse(z: Tensor) -> tuple[Tensor, Tensor]:
        return mobius_inverse(z, *network(roma.unitquat_to_rotmat(z)[..., axis]), axis)

    assert (exact_ladj(lambda z: inverse(z)[0], z) + inverse(z)[1].squeeze(-1)).abs().max() < 1e-10


@pytest.mark.parametrize("scale", SCALES)
def test_affine_determinant_is_exact_and_bounded(scale: float) -> None:
    q = torch.cat([hard_points(), haar(50)]).unsqueeze(1)
    parameters = affine_parameters(scale * normal(len(q), 1, 20))
    ladj = quaternion_affine(q, parameters)[1].squeeze(-1)
    assert (exact_ladj(lambda q: quaternion_affine(q, parameters)[0], q) - ladj).abs().max() < 1e-10
    back = quaternion_affine_inverse(q, parameters)[1].squeeze(-1)
    assert (exact_ladj(lambda q: quaternion_affine_inverse(q, parameters)[0], q) + back).abs().max() < 1e-10
    assert (ladj.abs() <= 4.0 * parameters[-1].abs().amax(-1).squeeze(-1) + 1e-12).all()


@pytest.mark.parametrize("scale", SCALES)
def test_stack_of_three_joints_has_an_exact_determinant(scale: float) -> None:
    chain = Chain(3, layers=3, scale=scale)
    q = torch.cat([hard_points(), haar(50)])
    q = torch.stack([q, q.roll(7, 0), q.roll(19, 0)], 1)
    error = exact_ladj(lambda q: chain.to_base(q)[0], q) - chain.to_base(q)[1]
    assert error.abs().max() < 1e-9  # rounding alone: up to 6e-11 over seeds


def test_joints_see_only_their_own_context() -> None:
    """Without context from others the Jacobian is block-diagonal, exactly."""
    flow, q = random_flow(3), haar(4, 3).requires_grad_()
    base = flow.to_base(q, flow.parameters_of(normal(3, 5)))[0]
    for joint in range(3):
        (gradient,) = torch.autograd.grad(base[:, joint].sum(), q, retain_graph=True)
        others = [other for other in range(3) if other != joint]
        assert torch.equal(gradient[:, others], torch.zeros(4, 2, 4, dtype=F64))
        assert gradient[:, joint].abs().amax() > 0


# -- normalisation ---------------------------------------------------------------------------------------------


def standard_errors_from_one(chain: Chain) -> float:
    """How far the mean density of uniform rotations is from 1, in standard errors."""
    with torch.no_grad():
        draws = haar(200_000, chain.joints, seed=5).split(10_000)
        density = torch.cat([chain.to_base(q)[1] for q in draws]).exp()
    return float((density.mean() - 1.0).abs() / (density.std() / math.sqrt(len(density))))


@pytest.mark.parametrize("joints", [1, 2])
@pytest.mark.parametrize("scale", [0.05, 0.1])
def test_density_integrates_to_one(joints: int, scale: float) -> None:
    assert standard_errors_from_one(Chain(joints, scale=scale)) < 4.0


@pytest.mark.parametrize("map_", ["mobius", "_apply"])
def test_a_clamped_determinant_would_be_found(monkeypatch, map_: str) -> None:
    exact, chain = getattr(so3, map_), Chain(1, scale=0.1, segments=1)
    assert standard_errors_from_one(chain) < 4.0

    def clamped(*arguments):
        moved, ladj = exact(*arguments)
        return moved, ladj.clamp(-0.1, 0.1)

    monkeypatch.setattr(so3, map_, clamped)
    assert standard_errors_from_one(chain) > 10.0


# -- round trips -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", range(1, 8))
@pytest.mark.parametrize("joints", [1, 2, 19])
def test_round_trips(joints: int, layers: int) -> None:
    for dtype, angle, nats in ((F64, 1e-10, 1e-9), (torch.float32, 5e-5, 1e-3)):
        flow = random_flow(joints, layers=layers, scale=0.1, dtype=dtype)
        for batch in (0, 1, 257):
            q = haar(batch, joints, seed=2, dtype=dtype)
            with torch.no_grad():
                parameters = flow.parameters_of(normal(batch, joints, 5, seed=3, dtype=dtype))
                base, there = flow.to_base(q, parameters)
                back, again = flow.from_base(base, parameters)
                data, here = flow.from_base(q, parameters)
                forth, hence = flow.to_base(data, parameters)
            assert back.shape == forth.shape == q.shape
            assert there.shape == (batch, joints)
            if batch:
                assert torch.quantile(torch.cat([chordal(back, q), chordal(forth, q)]), 0.99) < angle
                worst = torch.cat([(there - again).abs(), (here - hence).abs()])
                assert torch.quantile(worst, 0.99) < nats
                assert dtype is torch.float32 or worst.max() < nats


@pytest.mark.parametrize("scale", SCALES)
def test_round_trips_of_each_map_at_hard_points(scale: float) -> None:
    q = torch.cat([hard_points(), haar(50)])
    parameters = affine_parameters(scale * normal(len(q), 20))
    z, there = quaternion_affine(q, parameters)
    back, again = quaternion_affine_inverse(z, parameters)
    assert chordal(back, q).max() < 1e-10
    assert (there - again).abs().max() < 1e-9
    for axis in range(3):
        mixture = conditioner(scale)(roma.unitquat_to_rotmat(q)[..., axis])
        z, there = mobius(q, *mixture, axis)
        assert torch.equal(
            roma.unitquat_to_rotmat(z)[..., axis].isclose(roma.unitquat_to_rotmat(q)[..., axis], rtol=0, atol=1e-14),
            torch.ones(len(q), 3, dtype=torch.bool),
        )
        back, again = mobius_inverse(z, *mixture, axis)
        assert chordal(back, q).max() < 1e-10
        assert (there - again).abs().max() < 1e-9


def test_one_joint_alone_gives_what_all_at_once_give() -> None:
    flow, context, q = random_flow(4), normal(6, 4, 5), haar(6, 4)
    base, density = flow.to_base(q, flow.parameters_of(context))
    data, other = flow.from_base(q, flow.parameters_of(context))
    for joint in range(4):
        parameters = flow.parameters_of(context[:, joint], joint)
        alone, own = flow.to_base(q[:, joint], parameters, joint)
        torch.testing.assert_close((alone, own), (base[:, joint], density[:, joint]), rtol=0, atol=1e-11)
        alone, own = flow.from_base(q[:, joint], parameters, joint)
        torch.testing.assert_close((alone, own), (data[:, joint], other[:, joint]), rtol=0, atol=1e-11)


def test_a_context_shared_by_samples_broadcasts() -> None:
    flow, context, q = random_flow(2), normal(3, 2, 5), haar(7, 3, 2)
    shared = flow.from_base(q, flow.parameters_of(context))
    repeated = flow.from_base(q, flow.parameters_of(context.expand(7, 3, 2, 5)))
    torch.testing.assert_close(shared, repeated, rtol=0, atol=1e-12)


# -- validity, sign, continuity --------------------------------------------------------------------------------


def rotation_error(matrix: Tensor) -> float:
    square = matrix.transpose(-1, -2) @ matrix - torch.eye(3, dtype=matrix.dtype)
    return float(torch.maximum(square.abs().max(), (torch.linalg.det(matrix) - 1.0).abs().max()))


def test_samples_are_rotations_in_single_precision() -> None:
    flow = random_flow(19, layers=7, dtype=torch.float32)
    with torch.no_grad():
        parameters = flow.parameters_of(normal(100, 19, 5, dtype=torch.float32))
        q = flow.from_base(haar(100, 19, dtype=torch.float32), parameters)[0]
    assert rotation_error(roma.unitquat_to_rotmat(q)) < 2e-6  # 4.8e-7 to 7.2e-7 over seeds


def test_a_thousand_layers_keep_rotations() -> None:
    q, raw = haar(64, dtype=torch.float32), 0.3 * normal(20, dtype=torch.float32)
    mixture = conditioner(1.0)(torch.ones(3, dtype=F64))
    mixture = tuple(part.float() for part in mixture)
    for layer in range(500):
        q, _ = mobius(q, *mixture, layer % 3)
        q, _ = quaternion_affine(q, affine_parameters(raw))
    assert rotation_error(roma.unitquat_to_rotmat(q)) < 2e-6  # 2.4e-7 to 6.0e-7 over seeds


def test_the_sign_of_a_quaternion_says_nothing() -> None:
    flow, q = random_flow(3), torch.cat([hard_points(), haar(51)]).unflatten(0, (-1, 1)).expand(-1, 3, -1)
    parameters = flow.parameters_of(normal(3, 5))
    for direction in (flow.to_base, flow.from_base):
        (one, density), (other, same) = direction(q, parameters), direction(-q, parameters)
        assert (density - same).abs().max() < 1e-12
        assert chordal(one, other).max() < 1e-12


@pytest.mark.parametrize("kind", ["mobius", "affine"])
def test_maps_are_continuous_through_a_half_turn(kind: str) -> None:
    """Also at the half turn, where the conversion to a quaternion jumps from one sign to the other."""
    transform = OnMatrices(kind, 1, 0.5 * normal(20))
    step = 1e-5
    angles = math.pi + step * torch.arange(-50, 51, dtype=F64)
    for axis in nn.functional.normalize(torch.cat([torch.eye(3, dtype=F64), normal(5, 3)]), dim=-1):
        half = 0.5 * angles.unsqueeze(-1)
        path = roma.unitquat_to_rotmat(torch.cat([axis * half.sin(), half.cos()], -1))
        moved, ladj = transform.there(path)
        assert (ladj.diff() / step).abs().max() < 50.0
        assert (moved.diff(dim=0) / step).abs().max() < 50.0


@pytest.mark.parametrize("kind", ["mobius", "affine"])
def test_maps_of_matrices_invert(kind: str) -> None:
    transform = OnMatrices(kind, 2, normal(20))
    rotations = roma.unitquat_to_rotmat(torch.cat([hard_points(), haar(50)]))
    moved, ladj = transform.there(rotations)
    again, same = transform.back(moved)
    torch.testing.assert_close(again, rotations, rtol=0, atol=1e-10)
    torch.testing.assert_close(same, ladj)
    assert rotation_error(moved) < 1e-12


# -- the root finder -------------------------------------------------------------------------------------------


def sharp_mixtures(n: int, segments: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Centres of a mixture close together and near the bound: the steepest maps."""
    logits = 10.0 * normal(n, segments, seed=1, dtype=dtype)
    centres = 50.0 * normal(n, 1, 3, seed=2, dtype=dtype) + 2.5 * normal(n, segments, 3, seed=3, dtype=dtype)
    return haar(n, dtype=dtype), logits, centres


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-14), (torch.float32, 3e-6)])
def test_roots_are_found_to_the_last_digits(monkeypatch, dtype: torch.dtype, tolerance: float) -> None:
    q, logits, centres = sharp_mixtures(100_000, 8, dtype)
    weights = so3._weights(logits)
    u, v = so3._centres_in_frame(q, centres, 0)
    arctangent, calls, displacement = torch.atan2, [], so3._displacement
    with monkeypatch.context() as counted:
        counted.setattr(torch, "atan2", lambda *parts: calls.append(1) or arctangent(*parts))  # once a step
        t = so3.solve_angle(weights, u, v)
    assert 3 <= len(calls) < so3._STEPS // 2
    sine, cosine = t.sin().unsqueeze(-1), t.cos().unsqueeze(-1)
    value = t + displacement(weights, u * cosine + v * sine, v * cosine - u * sine)
    assert value.abs().max() < tolerance
    assert t.abs().max() > 1.45  # the mixtures are as sharp as they can be
    bound = 2.0 * math.asin(MAXIMUM_CENTRE)
    assert max(t.abs().max(), displacement(weights, u, v).abs().max()) < bound < 0.5 * math.pi


def test_slopes_stay_within_the_published_bounds() -> None:
    q, logits, centres = sharp_mixtures(10_000, 3, F64)
    _, ladj = mobius(q, logits, centres, 0)
    assert 1.0 < ladj.abs().max() < math.log(1.7 / 0.3)


def test_gradients_of_the_inverse_are_exact() -> None:
    q, (logits, centres) = haar(3), conditioner(2.0, 4)(haar(3, seed=1)[:, :3])
    column = [q.requires_grad_(), logits.requires_grad_(), centres.requires_grad_()]

    def inverse(q: Tensor, logits: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        return mobius_inverse(nn.functional.normalize(q, dim=-1), logits, centres, 1)

    assert torch.autograd.gradcheck(inverse, column)
    assert torch.autograd.gradgradcheck(inverse, column)


def test_gradients_of_the_flow_are_finite_at_hard_points() -> None:
    flow = random_flow(1)
    q = hard_points().unsqueeze(1).requires_grad_()
    for direction in (flow.to_base, flow.from_base):
        direction(q, flow.parameters_of(normal(1, 5)))[1].sum().backward()
        for tensor in (q, *flow.parameters()):
            assert tensor.grad.isfinite().all()


# -- closed forms ----------------------------------------------------------------------------------------------


def test_one_component_is_the_mobius_map_and_has_a_closed_inverse() -> None:
    q, centre = haar(100), normal(100, 1, 3, seed=1)
    matrix = roma.unitquat_to_rotmat(q)
    x, y = matrix[..., 0], matrix[..., 1]
    across = centre[:, 0] - (centre[:, 0] * y).sum(-1, keepdim=True) * y
    w = 0.7 * across / (1.0 + across.norm(dim=-1, keepdim=True))

    def h(x: Tensor, w: Tensor) -> Tensor:
        away = x - w
        return (1.0 - w.square().sum(-1, keepdim=True)) / away.square().sum(-1, keepdim=True) * away - w

    logits = torch.zeros(100, 1, dtype=F64)
    moved = roma.unitquat_to_rotmat(mobius(q, logits, centre, 1)[0])
    torch.testing.assert_close(moved[..., 0], h(x, w), rtol=0, atol=1e-13)
    torch.testing.assert_close(moved[..., 1], y, rtol=0, atol=1e-14)
    back = roma.unitquat_to_rotmat(mobius_inverse(q, logits, centre, 1)[0])
    torch.testing.assert_close(back[..., 0], h(x, -w), rtol=0, atol=1e-13)


def test_affine_of_uniform_is_the_angular_central_gaussian() -> None:
    parameters, q = affine_parameters(0.5 * normal(20)), haar(100)
    columns, ladj = quaternion_affine(torch.eye(4, dtype=F64), parameters)
    w = (columns * (-0.25 * ladj).exp().unsqueeze(-1)).T
    assert float(torch.linalg.det(w)) == pytest.approx(1.0, abs=1e-12)
    inverse = w.T @ w  # of the Gaussian's covariance
    expected = 0.5 * torch.logdet(inverse) - 2.0 * torch.einsum("ni,ij,nj->n", q, inverse, q).log()
    torch.testing.assert_close(quaternion_affine(q, parameters)[1], expected, rtol=0, atol=1e-12)


def test_moments_of_the_angular_central_gaussian() -> None:
    s, n = 0.8, 200_000
    raw = torch.zeros(20, dtype=F64)
    raw[16:] = torch.atanh(torch.tensor([s, s, -s, -s], dtype=F64) / so3.MAXIMUM_STRETCH)
    squares = quaternion_affine_inverse(haar(n), affine_parameters(raw))[0].square()
    a, b = math.exp(-2 * s), math.exp(2 * s)  # the Gaussian's variances along x, y and along z, w
    share = a / (a - b) * (1.0 - b / (a - b) * math.log(a / b))
    pair = squares[:, 0] + squares[:, 1]
    assert abs(float(pair.mean()) - share) < 4.0 * float(pair.std()) / math.sqrt(n)
    assert abs(float(squares[:, 0].mean()) - share / 2) < 4.0 * float(squares[:, 0].std()) / math.sqrt(n)


def test_zero_outputs_are_the_identity() -> None:
    q = torch.cat([hard_points(), haar(50)])
    zero = torch.zeros(len(q), 20, dtype=F64)
    moved, ladj = quaternion_affine(q, affine_parameters(zero))
    assert chordal(moved, q).max() < 1e-14
    assert ladj.abs().max() < 1e-14
    moved, ladj = mobius(q, zero[:, :5], zero[:, :15].unflatten(-1, (5, 3)), 2)
    assert torch.equal(moved, q)
    assert ladj.abs().max() < 1e-15


def test_a_new_flow_is_close_to_uniform() -> None:
    torch.manual_seed(0)
    flow = RotationFlow(3, 5)
    density = flow.to_base(haar(100, 3, dtype=torch.float32), flow.parameters_of(torch.randn(3, 5)))[1]
    assert density.abs().max() < 0.1


def test_components_do_not_stay_equal() -> None:
    """Equal components get equal gradients: they must start apart."""
    torch.manual_seed(0)
    flow = RotationFlow(1, 1, layers=2, segments=4)
    optimiser = torch.optim.Adam(flow.parameters(), 1e-2)
    target = angular_central_gaussian(64, torch.tensor([0.2, 0.2, 0.2, 1.0])).unsqueeze(1)
    for _ in range(20):
        train_step(flow, optimiser, target, torch.ones(64, 1, 1))
    centres = flow.leave.detach()[..., 4:].unflatten(-1, (4, 3))
    assert centres.std(-2).max() > 0.01


# -- files -----------------------------------------------------------------------------------------------------


def test_state_dict_round_trip_and_counts() -> None:
    flow = random_flow(3)
    again = RotationFlow(3, 5, 3, 8, 16).double()
    count = 3 * (5 + 1) * (20 * 4 + 16 * 3) + 3 * 3 * (3 * 16 + 16 * 32 + 32)
    assert sum(p.numel() for p in flow.parameters()) == sum(p.numel() for p in again.parameters()) == count
    again.load_state_dict(load(save(flow.state_dict())))
    q, context = haar(10, 3), normal(3, 5)
    assert torch.equal(
        flow.to_base(q, flow.parameters_of(context))[1], again.to_base(q, again.parameters_of(context))[1]
    )


# -- known targets ---------------------------------------------------------------------------------------------


def angular_central_gaussian(n: int, spread: Tensor, seed: int = 0) -> Tensor:
    """Draws whose Gaussian has standard deviations ``spread`` along x, y, z and the real part."""
    return nn.functional.normalize(spread * torch.randn(n, 4, generator=seeded(seed)), dim=-1)


def acg_density(q: Tensor, spread: Tensor) -> Tensor:
    return -spread.log().sum() - 2.0 * (q / spread).square().sum(-1).log()


def undone(p: Tensor, q: Tensor) -> Tensor:
    """``p`` inverse, then times ``q``."""
    return quaternion_product(p * p.new_tensor([-1.0, -1.0, -1.0, 1.0]), q)


def train_step(flow: RotationFlow, optimiser: torch.optim.Optimizer, q: Tensor, context: Tensor) -> None:
    loss = -flow.to_base(q, flow.parameters_of(context))[1].sum(-1).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def gap_after_training(
    flow: RotationFlow,
    draw: Callable[[int, int], tuple[Tensor, Tensor]],
    density: Callable[[Tensor], Tensor],
    steps: int,
    batch: int = 512,
    rate: float = 2e-2,
) -> float:
    """Nats by which new rotations are less likely than under the truth: the Kullback-Leibler divergence."""
    optimiser = torch.optim.Adam(flow.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for step in range(steps):
        train_step(flow, optimiser, *draw(batch, step))
        schedule.step()
    q, context = draw(20_000, 10**6)
    with torch.no_grad():
        found = flow.to_base(q, flow.parameters_of(context))[1].sum(-1)
    return float((density(q) - found).mean())


SPREAD = torch.tensor([0.1, 0.2, 0.4, 1.0])


def one_mode(n: int, seed: int) -> tuple[Tensor, Tensor]:
    return angular_central_gaussian(n, SPREAD, seed).unsqueeze(1), torch.ones(n, 1, 1)


def test_learns_one_mode_quickly() -> None:
    torch.manual_seed(0)
    gap = gap_after_training(
        RotationFlow(1, 1, layers=2, segments=4), one_mode, lambda q: acg_density(q, SPREAD)[:, 0], 100, 256, 5e-2
    )
    assert -0.01 < gap < 0.02


@pytest.mark.slow
def test_learns_two_modes_of_two_joints() -> None:
    torch.manual_seed(0)
    modes = haar(2, 2, seed=4, dtype=torch.float32)  # (mode, joint, 4)
    spread = torch.tensor([0.15, 0.15, 0.3, 1.0])

    def draw(n: int, seed: int) -> tuple[Tensor, Tensor]:
        around = angular_central_gaussian(2 * n, spread, seed).unflatten(0, (n, 2))
        which = torch.randint(2, (n, 2), generator=seeded(seed))
        return quaternion_product(modes[which, torch.arange(2)], around), torch.ones(n, 2, 1)

    def density(q: Tensor) -> Tensor:
        each = [acg_density(undone(mode.expand_as(q), q), spread) for mode in modes]
        return (torch.stack(each).logsumexp(0) - math.log(2.0)).sum(-1)

    assert -0.01 < gap_after_training(RotationFlow(2, 1, layers=8, segments=8), draw, density, 1000) < 0.02


@pytest.mark.slow
def test_learns_the_mutual_information_of_two_joints() -> None:
    """R2 = R1 Q with R1 uniform: R2 alone is uniform too, and what R1 says of it is the negative entropy of Q."""
    torch.manual_seed(0)
    spread = torch.tensor([0.2, 0.2, 0.4, 1.0])

    def draw(n: int, seed: int) -> tuple[Tensor, Tensor]:
        first = haar(n, seed=seed + 1, dtype=torch.float32)
        first = first * first[:, 3:].sign()
        second = quaternion_product(first, angular_central_gaussian(n, spread, seed))
        seen = torch.stack([torch.zeros_like(first), first], 1)
        return torch.stack([first, second], 1), torch.cat([seen, torch.ones(n, 2, 1)], -1)

    def density(q: Tensor) -> Tensor:
        return acg_density(undone(q[:, 0], q[:, 1]), spread)

    information = float(density(draw(100_000, 5)[0]).mean())
    assert 1.0 < information < 3.0
    assert -0.01 < gap_after_training(RotationFlow(2, 5, layers=4, segments=8), draw, density, 1000) < 0.02


# -- tables of products ----------------------------------------------------------------------------------------


def test_rotation_matrices_are_those_of_roma() -> None:
    q = haar(1000)
    torch.testing.assert_close(so3.rotation_matrix(q), roma.unitquat_to_rotmat(q), atol=1e-15, rtol=0)
    torch.testing.assert_close(so3.rotation_matrix(q.float()), roma.unitquat_to_rotmat(q).float(), atol=5e-7, rtol=0)


def test_products_are_those_of_roma() -> None:
    p, q = haar(1000), haar(1000, seed=1)
    torch.testing.assert_close(quaternion_product(p, q), roma.quat_product(p, q), atol=1e-15, rtol=0)
