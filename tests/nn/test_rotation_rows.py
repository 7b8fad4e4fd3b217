"""Draws with the rows last: the same as with them first, angles to the last digits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from poseterior.nn import rotation_rows, so3
from poseterior.nn.rotation_rows import CircleMixture, drawn_rotations, solved_angles
from poseterior.nn.so3 import RotationFlow, haar_quaternions

F64 = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bent_flow(dtype: torch.dtype) -> RotationFlow:
    """A flow of three joints that is far from the identity."""
    torch.manual_seed(0)
    flow = RotationFlow(3, 5, layers=4, segments=6, hidden=8).to(dtype)
    with torch.no_grad():
        for parameter, size in ((flow.project, 0.4), (flow.offset, 0.3), (flow.leave, 1.0), (flow.bias, 1.0)):
            parameter.copy_(size * torch.randn(parameter.shape, generator=seeded(1), dtype=F64))
    return flow


def both_ways(dtype: torch.dtype, joint: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Quaternions and log-densities: rows last, and rows first."""
    flow = bent_flow(dtype)
    base = haar_quaternions((400,), seeded(2), torch.zeros((), dtype=F64)).to(dtype)
    features = torch.randn(400, 5, generator=seeded(3), dtype=F64).to(dtype)
    with torch.no_grad():
        found = drawn_rotations(flow, base, features, joint)
        expected = flow.from_base(base, flow.parameters_of(features, joint), joint)
    return *found, *expected


@pytest.mark.parametrize("joint", [0, 2])
def test_draws_and_densities_are_those_of_the_flow(joint: int) -> None:
    q, density, expected, density_expected = both_ways(F64, joint)
    assert torch.equal((q * expected).sum(-1).sign(), torch.ones(400))  # not even the sign is another
    torch.testing.assert_close(q, expected, atol=1e-11, rtol=0)
    torch.testing.assert_close(density, density_expected, atol=1e-10, rtol=0)
    assert density.std() > 0.5


def test_single_precision_is_as_right_as_that_of_the_flow() -> None:
    exact, density_exact, _, _ = both_ways(F64, 1)
    q, density, plain, density_plain = both_ways(torch.float32, 1)
    for ours, theirs, right in ((q, plain, exact), (density, density_plain, density_exact)):
        error, usual = ((part.double() - right).abs() for part in (ours, theirs))
        assert error.max() < max(3.0 * float(usual.max()), 3e-5)
    torch.testing.assert_close(q.norm(dim=-1), torch.ones(400))


def test_where_no_density_is_asked_for_the_draws_are_the_same() -> None:
    flow = bent_flow(torch.float32)
    base, features = haar_quaternions((50,), seeded(4)), torch.randn(50, 5, generator=seeded(5))
    with torch.no_grad():
        q, none = drawn_rotations(flow, base, features, 0, density=False)
        torch.testing.assert_close(q, drawn_rotations(flow, base, features, 0)[0], atol=1e-5, rtol=0)
    assert none.shape == (50,)
    assert bool(none.isnan().all())


def test_no_rows() -> None:
    with torch.no_grad():
        q, density = drawn_rotations(bent_flow(torch.float32), torch.zeros(0, 4), torch.zeros(0, 5), 0)
    assert q.shape == (0, 4)
    assert density.shape == (0,)


# -- angles ----------------------------------------------------------------------------------------------------


def mixtures(rows: int, dtype: torch.dtype, sharp: bool) -> CircleMixture:
    """Centres anywhere in the disc, or (sharp) close together at its rim: the steepest maps."""
    logits = torch.randn(8, rows, generator=seeded(1), dtype=F64)
    places = torch.randn(2, 8, rows, generator=seeded(2), dtype=F64)
    if sharp:
        logits, places = 10.0 * logits, 50.0 * places[:, :1] + 2.5 * places
    shrunk = so3.MAXIMUM_CENTRE * places / (1.0 + places.norm(dim=0))
    return CircleMixture.of(torch.nn.functional.softplus(logits).to(dtype), shrunk.to(dtype))


def residual(mixture: CircleMixture, t: Tensor) -> Tensor:
    """Where the map takes the angles, radians."""
    along, imaginary = mixture.turned(t)
    return t + 2.0 * (mixture.weights * torch.atan2(imaginary, 1.0 - along)).sum(0) / mixture.total


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 2e-14), (torch.float32, 3e-6)])
def test_angles_are_found_to_the_last_digits(dtype: torch.dtype, tolerance: float, sharp: bool) -> None:
    mixture = mixtures(50_000, dtype, sharp)
    t = solved_angles(mixture)
    assert residual(mixture, t).abs().max() < tolerance
    assert t.abs().max() > (1.4 if sharp else 0.5)


def test_of_one_component_the_first_guess_is_the_answer() -> None:
    mixture = mixtures(1000, F64, True)
    alone = CircleMixture.of(mixture.weights[:1], mixture.centres[:, :1])
    first = 2.0 * torch.atan2(alone.middle[1], alone.middle[0] + alone.total)
    assert residual(alone, first).abs().max() < 1e-14
    torch.testing.assert_close(solved_angles(alone), first, atol=1e-14, rtol=0)


def test_rows_that_do_not_arrive_are_solved_inside_a_bracket(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = mixtures(20_000, F64, True)
    monkeypatch.setattr(rotation_rows, "_TOGETHER", 1)
    bracketed, inside = [], so3.solve_angle
    monkeypatch.setattr(so3, "solve_angle", lambda w, u, v: bracketed.append(len(w)) or inside(w, u, v))
    t = solved_angles(mixture)
    assert len(bracketed) == 1
    assert 0 < bracketed[0] < 20_000
    assert residual(mixture, t).abs().max() < 2e-14


def test_slopes_are_derivatives() -> None:
    mixture = mixtures(500, F64, False)
    t = torch.randn(500, generator=seeded(9), dtype=F64)
    step = 1e-6
    expected = (residual(mixture, t + step) - residual(mixture, t - step)) / (2 * step)
    torch.testing.assert_close(mixture.slope(t), expected, atol=1e-8, rtol=1e-8)
