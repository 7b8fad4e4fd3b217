"""Inverse kinematics of points that are more uncertain in one direction than in another."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from safetensors.torch import load_file, save_file

from poseterior.files.errors import InputError
from poseterior.geometry.body import SMPL25, body_points, rest_offsets
from poseterior.lifters import load
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.lifting.ik import solve_ik, solve_ik_of_result
from poseterior.nn.body_evidence import as_six, evidence_from_points
from poseterior.nn.body_state import TARGETS

_TINY = {"width": 16, "blocks": 1, "context": 8, "trunk": 8, "layers": 2, "segments": 3, "hidden": 4, "turns": 3}
F64 = torch.float64


def rough(structure: str = "autoregressive") -> RotationLifter:
    """A small lifter in float64 whose weights are all random."""
    torch.manual_seed(0)
    lifter = RotationLifter(RotationConfig(structure=structure, **_TINY)).double().eval()  # type: ignore[arg-type]
    for parameter in lifter.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return lifter.requires_grad_(False)


def bodies(n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points, rotations and covariances of random bodies."""
    generator = torch.Generator().manual_seed(1)
    rotations = roma.rotvec_to_rotmat(0.5 * torch.randn(n, 22, 3, dtype=F64, generator=generator))
    points, _ = body_points(rotations, rest_offsets(F64).expand(n, 25, 3))
    factor = 0.02 * torch.randn(n, 25, 3, 3, dtype=F64, generator=generator)
    return points, rotations, factor @ factor.mT + 1e-6 * torch.eye(3, dtype=F64)


def offsets(n: int) -> torch.Tensor:
    return rest_offsets(F64).expand(n, 25, 3)


@pytest.mark.parametrize("structure", ["autoregressive", "coupling"])
def test_a_ball_is_what_sigma_says(structure):
    lifter = rough(structure)
    points, rotations, _ = bodies(3)
    ball = 0.013**2 * torch.eye(3, dtype=F64).expand(3, 25, 3, 3)
    told = lifter.ik(points, sigma=0.013, offsets=offsets(3)).log_prob(rotations)
    torch.testing.assert_close(lifter.ik(points, offsets=offsets(3), covariance=ball).log_prob(rotations), told)


def test_directions_matter():
    lifter = rough()
    points, rotations, covariance = bodies(3)
    size = torch.linalg.det(covariance) ** (1 / 3)
    ball = size[..., None, None] * torch.eye(3, dtype=F64)
    one, other = (lifter.ik(points, offsets=offsets(3), covariance=c).log_prob(rotations) for c in (covariance, ball))
    assert float((one - other).abs().min()) > 1e-3


def test_covariances_turn_with_the_points():
    """In other axes, at another place: the same network axes, so the same features."""
    points, _, covariance = bodies(4)
    turn = roma.random_rotmat(4).double()
    seen = torch.ones(4, 25, dtype=torch.bool)
    sigma = torch.zeros(4, 25, dtype=F64)
    first = evidence_from_points(points, seen, sigma, offsets(4), None, covariance)
    moved = points @ turn.mT + torch.tensor([1.0, 2.0, -3.0], dtype=F64)
    turned = turn.unsqueeze(1) @ covariance @ turn.unsqueeze(1).mT
    second = evidence_from_points(moved, seen, sigma, offsets(4), None, turned)
    torch.testing.assert_close(second.spread, first.spread)
    # The frame is fixed by the trunk up to a weight of 1e-4 m² on the caller's axes.
    torch.testing.assert_close(second.directions, first.directions, atol=0.03, rtol=0)
    trace = first.directions.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, torch.zeros_like(trace), atol=1e-9, rtol=0)


def test_half_the_logarithm_of_a_covariance():
    deviations = torch.tensor([0.01, 0.02, 0.04], dtype=F64)
    covariance = torch.diag(deviations.square()).expand(1, 25, 3, 3)
    points, _, _ = bodies(1)
    evidence = evidence_from_points(
        points, torch.ones(1, 25, dtype=torch.bool), torch.zeros(1, 25, dtype=F64), offsets(1), None, covariance
    )
    torch.testing.assert_close(evidence.spread, (deviations / 0.01).log().mean().expand(1, 25))
    found = torch.linalg.eigvalsh(evidence.directions)
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 1.0], dtype=F64).mul(np.log(2)).expand(1, 25, 3))
    torch.testing.assert_close(as_six(covariance)[0, 0], torch.tensor([1e-4, 4e-4, 16e-4, 0, 0, 0], dtype=F64))


def test_covariances_of_hidden_points_change_nothing():
    lifter = rough()
    points, rotations, covariance = bodies(2)
    seen = torch.ones(2, 25, dtype=torch.bool)
    seen[:, 5:9] = False
    answers = []
    for junk in (0.0, -1.0, float("nan")):
        stored = torch.where(seen[..., None, None], covariance, junk)
        answers.append(lifter.ik(points, seen, offsets=offsets(2), covariance=stored).log_prob(rotations))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


@pytest.mark.parametrize(
    "broken",
    [
        torch.diag(torch.tensor([1.0, 1.0, -1.0])),
        torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        torch.full((3, 3), float("inf")),
    ],
    ids=["negative", "not symmetric", "not finite"],
)
def test_bad_covariances_are_refused(broken):
    lifter = rough()
    points, _, covariance = bodies(2)
    covariance[1, 7] = broken
    with pytest.raises(InputError) as raised:
        lifter.ik(points, covariance=covariance)
    assert str(raised.value) == (
        "points[1]: joint 'left_ankle': its covariance must be finite, symmetric and at least 0 in every direction (m²)"
    )
    with pytest.raises(InputError, match=r"^covariance: expected \(2, 25, 3, 3\), m² of each point, got \(2, 25, 3\)$"):
        lifter.ik(points, covariance=covariance[..., 0])


# -- weights from before -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["autoregressive", "coupling", "independent"])
def test_weights_that_knew_no_directions_are_read(tmp_path, structure):
    """They answer as before, and not at all otherwise where a point is uncertain in one direction."""
    torch.manual_seed(0)
    lifter = RotationLifter(RotationConfig(structure=structure, **_TINY)).eval().requires_grad_(False)  # type: ignore[arg-type]
    for parameter in lifter.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    for name, (dimension, more) in RotationLifter.grown.items():
        tensor = lifter.state_dict().get(name)
        if tensor is not None and tensor.shape[dimension]:
            tensor.narrow(dimension, tensor.shape[dimension] - more, more).zero_()
    lifter.save_pretrained(tmp_path / "new")
    lifter.save_pretrained(tmp_path / "old")
    path = tmp_path / "old" / "model.safetensors"
    tensors = load_file(path)
    for name, (dimension, more) in RotationLifter.grown.items():
        if name in tensors and tensors[name].shape[dimension]:
            kept = tensors[name].shape[dimension] - more
            tensors[name] = tensors[name].narrow(dimension, 0, kept).contiguous()
    save_file(tensors, path)
    points, rotations, covariance = (value.float() for value in bodies(2))
    new, old = (load(tmp_path / name).ik(points, covariance=covariance).log_prob(rotations) for name in ("new", "old"))
    assert torch.equal(new, old)
    broken = {k: v[..., :-1, :].contiguous() if k == "network.see_local" else v for k, v in tensors.items()}
    if tensors.get("network.see_local", torch.zeros(0)).numel():
        save_file(broken, path)
        with pytest.raises(InputError, match=r"tensor 'network.see_local' has shape .*, expected "):
            load(tmp_path / "old")


def test_what_grew_are_the_directions():
    lifter = rough()
    assert lifter.network.solid[0].enter.in_features - 6 * len(SMPL25) == 5 * len(SMPL25) + 12
    assert lifter.network.see_local.shape[1] - 6 * TARGETS == 6 * TARGETS + 4


# -- clips ----------------------------------------------------------------------------------------------------------


def test_a_clip_is_solved_with_covariances():
    lifter = rough().float()
    points, _, covariance = (value.float().numpy() for value in bodies(3))
    joints = slice(0, 22)
    told = solve_ik(lifter, points[:, joints], covariance=covariance[:, joints], samples=4)
    ball = np.broadcast_to(1e-4 * np.eye(3, dtype=np.float32), (22, 3, 3))
    alike = solve_ik(lifter, points[:, joints], covariance=ball, samples=4)
    sigma = solve_ik(lifter, points[:, joints], sigma=0.01, samples=4)
    np.testing.assert_allclose(alike.rotations, sigma.rotations, atol=1e-5)
    np.testing.assert_allclose(alike.root, sigma.root, atol=1e-5)
    assert np.abs(told.rotations - sigma.rotations).max() > 1e-3
    for changes, message in (
        ({"sigma": 0.01, "covariance": ball}, "sigma, covariance: give one of them"),
        ({"covariance": ball[:, 0]}, "covariance: expected (joints, 3, 3) or (frames, joints, 3, 3) = (3, 22, 3, 3)"),
        ({"covariance": -ball}, "points[0]: joint 'pelvis': its covariance must be finite, symmetric and at least 0"),
    ):
        with pytest.raises(InputError) as raised:
            solve_ik(lifter, points[:, joints], samples=4, **changes)
        assert str(raised.value).startswith(message)


def test_results_pass_their_covariances(monkeypatch):
    import poseterior as pp

    result = pp.lift(load("mdn"), pp.example_keypoints(), samples=4)
    lifter = rough().float()
    asked: list[torch.Tensor | None] = []
    original = type(lifter).ik

    def ik(self, points, seen=None, sigma=0.0, given=None, covariance=None):
        asked.append(covariance)
        return original(self, points, seen, sigma, given, covariance)

    monkeypatch.setattr(type(lifter), "ik", ik)
    solve_ik_of_result(lifter, result, samples=2)
    knee = SMPL25.index("right_knee")
    found = torch.cat([part[:, knee] for part in asked])
    np.testing.assert_allclose(np.sort(found[:, 2, 2]), np.sort(result.covariance[:, 2, 2, 2]), rtol=1e-4)
    asked.clear()
    solve_ik_of_result(lifter, result, sigma=0.02, samples=2)
    assert asked[0] is None
