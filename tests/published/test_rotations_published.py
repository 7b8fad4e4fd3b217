"""The published rotation model as a lifter: sizes, densities, masks, learning, files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import roma
import torch
from test_bodies import turned_mocap

from poseterior.data.simulation.bodies import BodyObservations, BodySimulator
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.body import body_points
from poseterior.geometry.skeletons import SKELETONS
from poseterior.lifters import Lifter, load, load_prior, method_names, model_class, prior_names
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.metrics.rotations import random_visibility
from poseterior.objectives import make_objective
from poseterior.published.duenkel_2024.network import PublishedRotationFlow
from poseterior.published.duenkel_2024.objective import PublishedRotationLikelihood, points_in_pelvis_axes
from poseterior.published.duenkel_2024.prior import PublishedRotationConfig, PublishedRotationPrior
from poseterior.training.recipes import read_recipe, shipped_recipes

SMPL = SKELETONS["smpl22"]
STILL = [SMPL.index(name) for name in ("pelvis", "left_foot", "right_foot")]
TURNING = [j for j in range(22) if j not in STILL]
SMALL = {"segments": 3, "hidden": 4, "hidden_layers": 1}
TASKS = ("prior", "ik", "lift")


def small(task: str = "ik", seed: int = 0) -> PublishedRotationPrior:
    torch.manual_seed(seed)
    return PublishedRotationPrior(PublishedRotationConfig(task=task, **SMALL)).double().eval()


def haar(*batch: int, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return roma.random_rotmat((*batch, 22), dtype=torch.float64)


def keypoints(*batch: int, task: str = "ik") -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    points = 0.5 * torch.randn(*batch, 22, 3 if task == "ik" else 2, generator=generator, dtype=torch.float64)
    points[..., 0, :] = 0.0
    return points


def observations(n: int, seed: int = 0) -> BodyObservations:
    simulator = BodySimulator(turned_mocap(), SimulatorConfig(recombine=0.0, limb_jitter=0.0, mirror=0.0))
    return simulator(n, torch.Generator().manual_seed(seed))


def posterior_of(lifter: PublishedRotationPrior, *batch: int):
    task = lifter.config.task
    if task == "prior":
        return lifter.prior(batch)
    return (lifter.ik if task == "ik" else lifter.lift2d)(keypoints(*batch, task=task))


# -- sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [
        ({"task": "prior"}, 1_293_104),
        ({"task": "ik"}, 2_972_656),
        ({"task": "lift"}, 2_971_248),
        ({"task": "ik", "segments": 16, "hidden": 16, "hidden_layers": 3}, 1_517_104),
    ],
)
def test_golden_numbers_of_parameters(settings, parameters):
    lifter = PublishedRotationPrior(PublishedRotationConfig(**settings))
    assert sum(p.numel() for p in lifter.parameters()) == parameters


def test_sizes_as_released_are_written_out():
    """A saved configuration does not depend on what 0 stands for."""
    assert dataclasses.asdict(PublishedRotationConfig(task="prior")) == {
        "skeleton": "h36m17", "task": "prior", "segments": 32, "hidden": 16, "hidden_layers": 3,
    }  # fmt: skip
    assert PublishedRotationConfig() == PublishedRotationConfig(task="ik", segments=32, hidden=32, hidden_layers=2)
    assert PublishedRotationConfig(hidden=8).segments == 32


# -- distributions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [(), (0,), (2,), (2, 1)])
@pytest.mark.parametrize("task", TASKS)
def test_shapes(task, batch):
    posterior = posterior_of(small(task), *batch)
    assert (posterior.batch_shape, posterior.event_shape) == (torch.Size(batch), (22, 3, 3))
    drawn = posterior.sample((3,))
    assert drawn.shape == (3, *batch, 22, 3, 3)
    assert posterior.log_prob(drawn).shape == (3, *batch)
    assert posterior.sample().shape == (*batch, 22, 3, 3)
    assert posterior.modelled == tuple(SMPL.joints[j] for j in TURNING)
    assert len(posterior.modelled) == 19


@pytest.mark.parametrize("task", TASKS)
def test_draws_know_their_density(task):
    posterior = posterior_of(small(task), 3)
    drawn, density = posterior.sample_and_log_prob((4,), seed=0)
    # The published affine map is not kept from near-singular ones, where a draw loses digits.
    assert float((posterior.log_prob(drawn) - density).detach().abs().median()) < 1e-8
    assert torch.equal(drawn[..., STILL, :, :], torch.eye(3, dtype=torch.float64).expand(4, 3, 3, 3, 3))
    square = drawn.transpose(-1, -2) @ drawn
    assert float((square - torch.eye(3)).abs().max()) < 1e-12


def test_same_seed_same_rotations():
    prior = small("prior").prior((2,))
    assert torch.equal(prior.sample((2,), seed=4), prior.sample((2,), seed=4))
    assert not torch.equal(prior.sample((2,), seed=4), prior.sample((2,), seed=5))
    assert torch.equal(*(prior.sample((2,), generator=torch.Generator().manual_seed(4)) for _ in range(2)))


def test_density_is_the_flows_of_19_joints():
    lifter, rotations = small(), haar(4)
    given = lifter.encode(keypoints(4))
    direct = lifter.flow.log_prob(rotations[:, TURNING], given)
    assert torch.equal(lifter.log_prob(rotations, given), direct)
    assert torch.equal(lifter.ik(keypoints(4)).log_prob(rotations), direct)
    # One pose under many conditions, and many poses under one.
    torch.testing.assert_close(lifter.log_prob(rotations[:1], given)[0], direct[0])
    torch.testing.assert_close(lifter.ik(keypoints(4)[0]).log_prob(rotations)[0], direct[0])


@pytest.mark.parametrize("task", TASKS)
def test_pelvis_and_toes_do_not_matter(task):
    posterior, rotations = posterior_of(small(task), 4), haar(4)
    other = rotations.clone()
    other[:, STILL] = haar(4, seed=7)[:, STILL]
    assert torch.equal(posterior.log_prob(rotations), posterior.log_prob(other))


@pytest.mark.parametrize("task", ["ik", "lift"])
def test_hidden_keypoints_are_zeros(task):
    """As published: whatever they hold, and the same as a keypoint seen at zero; the caller's tensor stays."""
    lifter, points = small(task), keypoints(4, task=task)
    seen = torch.ones(4, 22, dtype=torch.bool)
    seen[:, 4:9] = False
    broken = torch.where(seen.unsqueeze(-1), points, torch.nan)
    before = broken.clone()
    expected = lifter.encode(torch.where(seen.unsqueeze(-1), points, 0.0))
    assert torch.equal(lifter.encode(broken, seen), expected)
    assert torch.equal(lifter.encode(broken, seen[0]), expected)
    torch.testing.assert_close(broken, before, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(lifter.encode(points), expected)


# -- learning --------------------------------------------------------------------------------------------------


def test_keypoints_are_the_bodies_in_the_pelvis_axes():
    seen = observations(8)
    points = points_in_pelvis_axes(seen)
    turned = points @ seen.rotations[:, 0].transpose(-1, -2)
    torch.testing.assert_close(turned, body_points(seen.rotations, seen.offsets)[0][:, :22], atol=1e-5, rtol=0)
    # In rest axes: up is y, left is x.
    assert float(points[:, SMPL.index("head"), 1].min()) > 0
    assert float(points[:, SMPL.index("left_hip"), 0].min()) > 0


def test_random_masks_hide_a_share_of_each_person():
    torch.manual_seed(0)
    seen = random_visibility(20_000, 22).double()
    assert float(seen.mean()) == pytest.approx(0.5, abs=0.01)
    # A share that is uniform from one person to the next, not one coin for all: Var = 1/12 + E[p (1 - p)] / 22.
    assert float(seen.mean(-1).var()) == pytest.approx(1 / 12 + 1 / 6 / 22, abs=0.003)


@pytest.mark.parametrize(("task", "mask"), [("prior", "none"), ("ik", "none"), ("ik", "random"), ("lift", "random")])
def test_loss_is_the_mean_negative_log_density_and_edits_nothing(task, mask):
    lifter, seen = small(task).float(), observations(8)
    before = [seen.rotations.clone(), seen.log_lengths.clone(), seen.pose.clone()]
    torch.manual_seed(3)
    terms = PublishedRotationLikelihood(mask)(lifter, seen)
    assert list(terms) == ["nll"]
    torch.manual_seed(3)
    points = points_in_pelvis_axes(seen)
    kept = random_visibility(8, 22) if mask == "random" else None
    posterior = {
        "prior": lambda: lifter.prior((8,)),
        "ik": lambda: lifter.ik(points, kept),
        "lift": lambda: lifter.lift2d(points[..., :2], kept),
    }[task]()
    torch.testing.assert_close(terms["nll"], -posterior.log_prob(seen.rotations).mean())
    for one, other in zip(before, [seen.rotations, seen.log_lengths, seen.pose], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("task", TASKS)
def test_learns(task):
    lifter = small(task).float().train()
    objective, held, batch = PublishedRotationLikelihood(), observations(100, seed=1), observations(1000)

    def above_uniform() -> float:
        with torch.no_grad():
            return -float(objective(lifter, held)["nll"])

    start = above_uniform()
    optimiser = torch.optim.Adam(lifter.parameters(), lr=1e-2)
    torch.manual_seed(0)
    for _ in range(12):
        optimiser.zero_grad()
        objective(lifter, batch[torch.randint(1000, (32,))])["nll"].backward()
        optimiser.step()
    # The first flow is far from the identity, as published: -62 ± 10 (prior), -49 ± 10, -45 ± 9 over 7 runs; that is 0.
    assert start < -5.0
    assert above_uniform() > 5.0  # 41 ± 8 (prior), 53 ± 1, 53 ± 1


# -- runs and files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [[], ["objectives=[{name: rotations-published, mask: random}]"]])
def test_trains_by_its_recipe_and_loads_again(tmp_path: Path, changes: list[str]):
    from poseterior.training import train

    mocap = turned_mocap()
    with PoseStore.create(tmp_path / "store") as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            writer.add(name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows], fps=30.0, source="x")
    tiny = [f"data={tmp_path / 'store'}", "steps=3", "schedule.batch=8", "schedule.validate_every=2",
            "schedule.save_every=2", "schedule.log_every=1"]  # fmt: skip
    sizes = [f"lifter.{name}={value}" for name, value in SMALL.items()]
    changes = [*tiny, *sizes, *changes]
    weights = train("so3-published", tmp_path / "run", changes=changes, device="cpu", progress=False)
    assert (tmp_path / "run" / "losses.csv").read_text().splitlines()[0] == "step,nll"
    loaded = load_prior(weights)
    assert isinstance(loaded, PublishedRotationPrior)
    assert loaded.config == PublishedRotationConfig(**SMALL)
    assert loaded.card["name"] == "so3-published"


def test_recipe_is_the_published_network_for_any_task():
    assert shipped_recipes()["so3-published"].startswith("Dünkel et al. 2024: ")
    for task in TASKS:
        settings = dict(read_recipe("so3-published", [f"lifter.task={task}"]).lifter)
        config = model_class(settings.pop("method")).config_class.from_dict(settings)
        assert config == PublishedRotationConfig(task=task)


@pytest.mark.parametrize("task", TASKS)
def test_files_hold_the_orders_too(tmp_path: Path, task: str):
    lifter = small(task).float()
    lifter.flow.permutations.copy_(PublishedRotationFlow(seed=3).permutations)
    lifter.save_pretrained(tmp_path / "weights")
    again = PublishedRotationPrior.from_pretrained(tmp_path / "weights")
    assert json.loads((tmp_path / "weights" / "config.json").read_text())["method"] == "rotations-published"
    rotations = haar(3).float()
    for name, value in lifter.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    given = None if task == "prior" else lifter.encode(keypoints(3, task=task).float())
    assert torch.equal(again.log_prob(rotations, given), lifter.log_prob(rotations, given))


# -- bad input -------------------------------------------------------------------------------------------------


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(InputError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_is_a_prior_and_no_lifter(tmp_path: Path):
    """It takes no camera, so that nobody is offered it for pictures."""
    assert not isinstance(small(), Lifter)
    assert "rotations-published" in prior_names()
    assert "rotations-published" not in method_names()
    small().float().save_pretrained(tmp_path / "weights")
    assert refused(load, tmp_path / "weights") == (
        f"{tmp_path / 'weights'}: holds the prior 'rotations-published', which sees no keypoints; lift with method "
        "'rotations', 'mdn' or 'flow' (`poseterior lifters` lists the weights), or draw poses with "
        "poseterior.lifters.load_prior(...).prior().sample()"
    )


def test_bad_settings():
    assert refused(PublishedRotationConfig, task="2D") == "lifter.task: expected one of prior, ik, lift, got '2D'"
    for value in (-1, 2.0, True, "wide"):
        for name in SMALL:
            message = f"lifter.{name}: expected a whole number from 0 (0: as released), got {value!r}"
            assert refused(PublishedRotationConfig, **{name: value}) == message
    message = "objective 'rotations-published': mask: expected one of none, random, got 'legs'"
    assert refused(make_objective, "rotations-published", {"mask": "legs"}) == message


def test_another_task():
    remedy = "the published model has one network per task; train one with `poseterior train so3-published lifter.task="
    assert refused(small("lift").ik, keypoints(2)) == f"lifter.task is 'lift', not 'ik': {remedy}ik`"
    assert refused(small("prior").lift2d, keypoints(2)) == f"lifter.task is 'prior', not 'lift': {remedy}lift`"
    assert refused(small("ik").prior) == f"lifter.task is 'ik', not 'prior': {remedy}prior`"
    assert refused(small("prior").encode, keypoints(2)) == (
        "lifter.task 'prior' sees no keypoints: use prior(), or train one of task 'ik' or 'lift'"
    )


def test_bad_keypoints():
    lifter, points = small(), keypoints(3)
    for shape in ((3, 25, 3), (3, 22, 2), (22,)):
        message = f"points: expected (..., 22, 3) of smpl22, got {shape}"
        assert refused(lifter.ik, torch.zeros(shape, dtype=torch.float64)) == message
    assert refused(small("lift").lift2d, points) == "points: expected (..., 22, 2) of smpl22, got (3, 22, 3)"
    broken = points.clone()
    broken[1, SMPL.index("left_knee"), 2] = torch.inf
    assert refused(lifter.ik, broken) == (
        "points[1]: joint 'left_knee': is visible but not finite; hide it (seen=False) or mend it"
    )
    assert refused(lifter.ik, points + 1.5) == (
        "points: joint 'pelvis': expected 0, found 1.5 m; subtract it from all points"
    )


def test_bad_rotations_and_conditions():
    lifter, rotations = small(), haar(2)
    assert refused(lifter.log_prob, rotations) == "condition: expected 64 features, got none"
    given = lifter.encode(keypoints(2))
    rotations[1, SMPL.index("left_knee")] *= 1.1
    assert refused(lifter.log_prob, rotations, given).startswith("rotations: joint 'left_knee' of (1,) is no rotation")


def test_objective_of_another_lifter_or_without_rotations():
    objective, other = PublishedRotationLikelihood(), MixtureDensityLifter(MixtureConfig(width=16, blocks=1))
    assert refused(objective, other, observations(2)) == (
        "objective 'rotations-published' trains method 'rotations-published', not 'mdn'"
    )
    plain = Simulator(turned_mocap())(2, torch.Generator().manual_seed(0))
    assert refused(objective, small(), plain) == "objective 'rotations-published' needs rotations: pass data=STORE"
    assert refused(PublishedRotationLikelihood("random"), small("prior").float(), observations(2)) == (
        "objective 'rotations-published': mask: task 'prior' sees no keypoints to hide, got 'random'"
    )
