import json
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from conftest import made_up_mocap
from poseterior.data.simulation.bodies import BodyObservations, BodySimulator
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.data.store import Mocap, PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import Lifter, load, load_prior, method, method_names, model_class, prior_names
from poseterior.lifters.base import load_model
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.metrics.rotations import geodesic_angle
from poseterior.nn.rotation_networks import BODY_JOINTS
from poseterior.objectives import make_objective
from poseterior.objectives.likelihood import Likelihood
from poseterior.published.pavlakos_2019 import VaeConfig, VaeObjective, VaePrior

SMPL = SKELETONS["smpl22"]
JOINTS = list(BODY_JOINTS)
STILL = [j for j in range(22) if j not in BODY_JOINTS]
SMALL = VaeConfig(latent=8, width=64)


def waving_mocap(frames: int = 400) -> Mocap:
    """Made-up mocap whose joints turn by two hidden numbers, so that a code of a few numbers suffices."""
    mocap = made_up_mocap(frames)
    generator = torch.Generator().manual_seed(5)
    phase = torch.randn(frames, 2, generator=generator)
    axes = 0.5 * torch.randn(2, 22 * 3, generator=generator)
    turn = roma.rotvec_to_unitquat((phase @ axes).unflatten(-1, (22, 3))).numpy()
    turn[:, 0] = mocap.rotations[:, 0]
    return Mocap(**{**vars(mocap), "rotations": turn.astype(np.float32)})


def observations(n: int, seed: int = 0) -> BodyObservations:
    simulator = BodySimulator(waving_mocap(), SimulatorConfig(recombine=0.0, limb_jitter=0.0, mirror=0.0))
    return simulator(n, torch.Generator().manual_seed(seed))


def haar(*batch: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(1)
    return roma.random_rotmat((*batch, 22), dtype=dtype)


@pytest.fixture
def lifter() -> VaePrior:
    torch.manual_seed(0)
    return VaePrior(SMALL).eval()


# -- the network -----------------------------------------------------------------------------------------------


def test_joints_are_those_of_the_published_prior():
    assert "vae" in prior_names()
    assert model_class("vae") is VaePrior
    assert [SMPL.joints[j] for j in STILL] == ["pelvis", "left_foot", "right_foot"]
    assert VaePrior().prior().modelled == tuple(SMPL.joints[j] for j in JOINTS)
    assert len(JOINTS) == 19


def test_published_sizes():
    """19 matrices, batch norm before each of two layers of 512, a code of 32 numbers, and back to pairs of columns."""
    encoder = 2 * (171 + 512) + (171 * 512 + 512) + (512 * 512 + 512) + (512 * 64 + 64)
    decoder = (32 * 512 + 512) + (512 * 512 + 512) + (512 * 114 + 114)
    assert sum(p.numel() for p in VaePrior().parameters()) == encoder + decoder


@pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3)])
def test_shapes(lifter, batch):
    code = lifter.encode(haar(*batch))
    assert code.batch_shape == (*batch, 8)
    assert lifter.decode(code.mean).shape == (*batch, 22, 3, 3)
    prior = lifter.prior(batch)
    assert (prior.batch_shape, prior.event_shape) == (torch.Size(batch), (22, 3, 3))
    assert prior.sample().shape == (*batch, 22, 3, 3)
    assert prior.sample((7, 2)).shape == (7, 2, *batch, 22, 3, 3)


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_samples_are_rotations(lifter, scale):
    with torch.no_grad():
        for layer in lifter.decoder[::2]:
            layer.weight.mul_(scale)
    drawn = lifter.prior().sample((3000,), seed=0)
    error = drawn.transpose(-1, -2) @ drawn - torch.eye(3)
    assert float(error.abs().max()) < 1e-6
    assert float((torch.linalg.det(drawn) - 1).abs().max()) < 1e-6
    assert torch.equal(drawn[:, STILL], torch.eye(3).expand(3000, 3, 3, 3))


def test_nearly_parallel_columns_give_rotations(lifter):
    """One pass of Gram-Schmidt leaves these askew by 1e-4."""
    with torch.no_grad():
        lifter.decoder[-1].weight.zero_()
        columns = torch.tensor([[1.0, 1.0], [2.0, 2.001], [3.0, 3.0]])
        lifter.decoder[-1].bias.copy_(columns.flatten().repeat(19))
    turned = lifter.decode(torch.zeros(8))
    assert float((turned.transpose(-1, -2) @ turned - torch.eye(3)).abs().max()) < 1e-6


def test_same_seed_same_rotations(lifter):
    prior = lifter.prior((2,))
    assert torch.equal(prior.sample((3,), seed=4), prior.sample((3,), seed=4))
    assert not torch.equal(prior.sample((3,), seed=4), prior.sample((3,), seed=5))
    generator = torch.Generator().manual_seed(4)
    first, second = prior.sample((3,), generator=generator), prior.sample((3,), generator=generator)
    assert torch.equal(first, prior.sample((3,), generator=generator.manual_seed(4)))
    assert not torch.equal(first, second)


def test_double_precision(lifter):
    lifter = lifter.double()
    drawn = lifter.prior().sample((50,), seed=0)
    assert drawn.dtype == torch.float64
    assert float((drawn.transpose(-1, -2) @ drawn - torch.eye(3)).abs().max()) < 1e-12


def test_pelvis_and_toes_do_not_matter(lifter):
    rotations = haar(4)
    other = rotations.clone()
    other[:, STILL] = haar(4).transpose(-1, -2)[:, STILL]
    assert not torch.equal(rotations, other)
    assert torch.equal(lifter.encode(rotations).mean, lifter.encode(other).mean)


# -- learning --------------------------------------------------------------------------------------------------


def mean_angle(lifter: VaePrior, rotations: torch.Tensor) -> float:
    with torch.no_grad():
        rebuilt = lifter.decode(lifter.encode(rotations).mean)
    return float(geodesic_angle(rebuilt, rotations)[:, JOINTS].mean())


def test_learns_to_reconstruct_and_to_sample(lifter):
    lifter.train()
    objective, held = VaeObjective(), observations(200, seed=1).rotations
    optimiser = torch.optim.Adam(lifter.parameters(), lr=2e-3)
    batch = observations(2000)
    torch.manual_seed(0)
    # Random weights are far from anything; the fair start is the same pose whatever the code.
    constant = roma.special_procrustes(batch.rotations.mean(0)).expand_as(held)
    start = float(geodesic_angle(constant, held)[:, JOINTS].mean())
    for _ in range(200):
        terms = objective(lifter, batch[torch.randint(2000, (128,))])
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
    assert mean_angle(lifter, held) < 0.5 * start
    # Samples move as the mocap does: the spread of every joint about its mean is within a factor of 2.
    drawn = lifter.prior().sample((1000,), seed=0)
    spread = [r.flatten(-2)[:, JOINTS].var(0).sum(-1).sqrt() for r in (drawn, held)]
    ratio = spread[0] / spread[1]
    assert float(ratio.min()) > 0.5
    assert float(ratio.max()) < 2.0


def test_terms(lifter):
    """The reconstruction is a mean angle over 19 joints; the divergence is the closed form of two normals."""
    batch = observations(16)
    torch.manual_seed(3)
    terms = VaeObjective(kl=0.5)(lifter, batch)
    code = lifter.encode(batch.rotations)
    torch.manual_seed(3)
    rebuilt = lifter.decode(code.rsample())
    # Clamped short of half a turn; without that 0.001 to 0.0015 off.
    angle = geodesic_angle(rebuilt, batch.rotations)[:, JOINTS].clamp(max=2 * np.arcsin(0.999)).mean()
    torch.testing.assert_close(terms["reconstruction"], angle, rtol=1e-4, atol=0)
    closed = 0.5 * (code.mean.square() + code.variance - code.variance.log() - 1).sum(-1).mean()
    torch.testing.assert_close(terms["kl"], 0.5 * closed)
    assert list(terms) == ["reconstruction", "kl"]


def test_no_gradient_is_infinite_at_a_perfect_or_opposite_reconstruction(lifter):
    with torch.no_grad():
        lifter.decoder[-1].weight.zero_()
        lifter.decoder[-1].bias.copy_(torch.eye(3)[:, :2].flatten().repeat(19))
    batch = observations(4)
    batch.rotations[:2] = torch.eye(3)
    batch.rotations[2:] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    terms = VaeObjective()(lifter, batch)
    sum(terms.values()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in lifter.parameters())


# -- runs and files --------------------------------------------------------------------------------------------


def test_trains_by_its_recipe_and_loads_again(tmp_path: Path):
    from poseterior.training import train

    mocap = waving_mocap()
    with PoseStore.create(tmp_path / "store") as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            writer.add(name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows], fps=30.0, source="x")
    changes = [f"data={tmp_path / 'store'}", "steps=4", "schedule.batch=16", "schedule.validate_every=2",
               "schedule.save_every=2", "schedule.log_every=1", "lifter.width=32"]  # fmt: skip
    weights = train("so3-vae", tmp_path / "run", changes=changes, device="cpu", progress=False)
    header = (tmp_path / "run" / "losses.csv").read_text().splitlines()[0]
    assert header == "step,reconstruction,kl"
    loaded = load_prior(weights)
    assert isinstance(loaded, VaePrior)
    assert loaded.config == VaeConfig(width=32)
    assert loaded.card["name"] == "so3-vae"
    loaded.save_pretrained(tmp_path / "again")
    again = VaePrior.from_pretrained(tmp_path / "again")
    assert torch.equal(loaded.prior().sample((5,), seed=0), again.prior().sample((5,), seed=0))
    assert json.loads((tmp_path / "again" / "config.json").read_text())["method"] == "vae"


# -- bad input -------------------------------------------------------------------------------------------------


def test_is_no_lifter(lifter, tmp_path):
    """Nobody is offered it for pictures: neither by name, nor by its folder, nor by an objective that lifts."""
    assert not isinstance(lifter, Lifter)
    assert "vae" not in method_names()
    with pytest.raises(InputError, match=r"^method 'vae' is a prior: it sees no keypoints; these lift: flow, "):
        method("vae")
    lifter.save_pretrained(tmp_path / "weights")
    with pytest.raises(InputError, match=r"weights: holds the prior 'vae', which sees no keypoints; lift with method "):
        load(tmp_path / "weights")
    assert isinstance(load_model(tmp_path / "weights"), VaePrior)
    seen = Simulator(made_up_mocap())(2, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"^objective 'likelihood' trains lifters; 'vae' is a prior$"):
        Likelihood()(lifter, seen)


def test_a_lifter_may_be_a_prior_and_others_are_none():
    assert set(prior_names()) == {"rotations", "rotations-published", "vae"}
    assert load_prior("rotations").prior((2,)).sample(seed=0).shape == (2, 22, 3, 3)
    with pytest.raises(InputError, match=r"^mdn: holds a 'mdn' lifter, which is no prior; 'rotations' is one$"):
        load_prior("mdn")


def test_has_no_density(lifter):
    with pytest.raises(NotImplementedError, match=r"^method 'vae' has samples but no density over rotations"):
        lifter.prior().log_prob(haar())


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "wide"])
@pytest.mark.parametrize("name", ["latent", "width"])
def test_bad_sizes(name, value):
    with pytest.raises(InputError, match=f"^lifter.{name}: expected a whole number, at least 1, got {value!r}$"):
        VaeConfig(**{name: value})


def test_bad_rotations(lifter):
    with pytest.raises(InputError, match=r"^rotations: expected \(..., 22, 3, 3\) matrices of smpl22, got \(19,"):
        lifter.encode(torch.eye(3).expand(19, 3, 3))
    rotations = haar(2)
    rotations[1, SMPL.index("left_knee")] *= 1.1
    with pytest.raises(InputError, match=r"^rotations: joint 'left_knee' of \(1,\) is no rotation matrix"):
        lifter.encode(rotations)


def test_bad_latent(lifter):
    with pytest.raises(InputError, match=r"^latent: expected \(..., 8\), got \(3, 32\)$"):
        lifter.decode(torch.zeros(3, 32))


@pytest.mark.parametrize("kl", [-0.1, float("nan"), float("inf"), "much", True])
def test_bad_weight(kl):
    with pytest.raises(InputError, match=r"^objective 'vae': kl: expected a finite number from 0, got "):
        make_objective("vae", {"kl": kl})


def test_objective_of_another_lifter_or_without_rotations(lifter):
    with pytest.raises(InputError, match=r"^objective 'vae' trains method 'vae', not 'mdn'$"):
        VaeObjective()(MixtureDensityLifter(MixtureConfig(width=16, blocks=1)), observations(2))
    plain = Simulator(made_up_mocap())(2, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=r"^objective 'vae' needs rotations: pass data=STORE$"):
        VaeObjective()(lifter, plain)
