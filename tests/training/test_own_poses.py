"""Poses that a lifter makes of 2D clips become a store, and a distribution is trained on that."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from conftest import SMALL, made_up_mocap, made_up_store
from poseterior.cli import main
from poseterior.data.observations import ObservationSet, load_observations, save_observations
from poseterior.data.simulation.protocols import simulate
from poseterior.data.simulation.simulator import SimulatorConfig
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.kinematics import ANKLE_HEIGHT, body_height
from poseterior.keypoints.rays import turn_matrices, turned
from poseterior.lifters import load
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.lifters.unsupervised import UnsupervisedConfig, UnsupervisedLifter
from poseterior.training.own_poses import own_poses, seen_clips, store_own_poses
from poseterior.training.recipes import read_recipe
from poseterior.training.run import train

CAMERAS = read_recipe("unsupervised").simulator


@pytest.fixture(scope="module")
def lifter() -> UnsupervisedLifter:
    torch.manual_seed(0)
    return UnsupervisedLifter(UnsupervisedConfig(width=32, blocks=1)).eval()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made_up_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="module")
def own(lifter, store, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "own"
    assert store_own_poses(lifter, store, out, CAMERAS, views=2, fps=15.0) == 400
    return out


def observed(store, folder, **changes) -> ObservationSet:
    """A file's observations of the made-up clips, whole people."""
    found = simulate(store, "cmu-clean", 60)
    return dataclasses.replace(found, observations=dataclasses.replace(found.observations, **changes))


def test_the_store_holds_what_the_lifter_makes_of_the_views(lifter, store, own):
    mocap = PoseStore(own).load()
    assert len(mocap) == 400
    assert mocap.clip_names == PoseStore(store).load().clip_names
    assert set(mocap.source_names) == {"lifted from x"}
    assert (mocap.fps == 15.0).all()
    clips = seen_clips(PoseStore(store).load(fps=15.0), CAMERAS, 2, torch.Generator().manual_seed(0))
    wanted = torch.cat([own_poses(lifter, view) for clip in clips for view in clip.views])
    np.testing.assert_allclose(mocap.h36m17, wanted.numpy(), atol=1e-6)


def test_poses_stand_upright_on_the_floor_as_tall_as_assumed(own):
    poses = torch.from_numpy(PoseStore(own).load().h36m17)
    torch.testing.assert_close(poses[..., 1].amin(-1), torch.full((400,), ANKLE_HEIGHT), atol=1e-5, rtol=0)
    torch.testing.assert_close(body_height(poses), torch.full((400,), 1.7), atol=1e-4, rtol=0)


def test_levelled_poses_are_the_lifted_ones_turned_by_the_elevation(lifter, store):
    clip = next(seen_clips(PoseStore(store).load(), CAMERAS, 1, torch.Generator().manual_seed(0)))
    keypoints = clip.views[0]
    with torch.no_grad():
        image, visible = lifter.image_of(keypoints)
        lifted = lifter.lift_image(image, visible)
        zero = torch.zeros_like(lifted.elevation)
        level = turned(lifted.pose, turn_matrices(zero, -lifted.elevation, zero))
        found = lifter.levelled(keypoints)
    size = (found.square().sum((-2, -1)) / level.square().sum((-2, -1))).sqrt()[:, None, None]
    torch.testing.assert_close(found, size * level, atol=1e-5, rtol=1e-4)
    assert float(lifted.elevation.abs().max()) > 0


def test_nothing_but_keypoints_is_read_of_observations(lifter, store, tmp_path):
    seen = observed(store, tmp_path)
    save_observations(seen, tmp_path / "seen.parquet")
    other = torch.roll(seen.observations.pose, 1, 0) + 0.5
    save_observations(observed(store, tmp_path, pose=other), tmp_path / "other.parquet")
    assert not torch.equal(load_observations(tmp_path / "other.parquet").observations.pose, seen.observations.pose)
    stores = []
    for name in ("seen", "other"):
        assert store_own_poses(lifter, tmp_path / f"{name}.parquet", tmp_path / name, CAMERAS) == 60
        stores.append(PoseStore(tmp_path / name).load())
    np.testing.assert_array_equal(stores[0].h36m17, stores[1].h36m17)
    np.testing.assert_array_equal(stores[0].rotations, stores[1].rotations)


def test_people_who_are_not_whole_are_left_out(lifter, store, tmp_path):
    keypoints = observed(store, tmp_path).observations.keypoints
    visible = keypoints.visible.clone()
    visible[::3, 4] = False
    save_observations(observed(store, tmp_path, keypoints=keypoints._replace(visible=visible)), tmp_path / "a.parquet")
    assert store_own_poses(lifter, tmp_path / "a.parquet", tmp_path / "a", CAMERAS) == 40
    visible[:, 4] = False
    save_observations(observed(store, tmp_path, keypoints=keypoints._replace(visible=visible)), tmp_path / "b.parquet")
    with pytest.raises(InputError) as error:
        store_own_poses(lifter, tmp_path / "b.parquet", tmp_path / "b", CAMERAS)
    assert str(error.value) == (
        f"{tmp_path / 'b.parquet'}: no clip shows whole people, all of whose joints are seen; nothing to learn from"
    )
    assert not (tmp_path / "b").exists()


def test_lifters_without_a_level_are_refused(store, tmp_path):
    with pytest.raises(InputError) as error:
        store_own_poses(
            MixtureDensityLifter(MixtureConfig(kernels=1, rank=0, width=8, blocks=1)), store, tmp_path / "own", CAMERAS
        )
    assert str(error.value) == (
        "own poses: a lifter of method 'mdn' gives no levelled poses; train one by the recipe 'unsupervised' and pass "
        "its folder"
    )


def test_the_simulator_sees_them_from_elsewhere(own):
    from poseterior.data.simulation.simulator import Simulator

    config = SimulatorConfig(own_body=1.0, recombine=0.0, limb_jitter=0.0, mirror=0.0)
    mocap = PoseStore(own).load()
    seen = Simulator(mocap, config)(200, torch.Generator().manual_seed(0))
    assert bool(seen.observed.all())
    torch.testing.assert_close(body_height(seen.pose), torch.full((200,), 1.7), atol=1e-3, rtol=0)
    between = (torch.from_numpy(mocap.h36m17)[seen.index] - torch.from_numpy(mocap.h36m17)[seen.index][:, :1]).norm(
        dim=-1
    )
    torch.testing.assert_close(seen.pose.norm(dim=-1), between, atol=1e-4, rtol=0)


def test_a_distribution_is_trained_on_them_by_the_commands_of_the_docs(lifter, store, tmp_path, capsys):
    lifter.save_pretrained(tmp_path / "point")
    own = tmp_path / "own"
    main(["data", "lift", str(store), "--lifter", str(tmp_path / "point"), "--views", "1", "--out", str(own)])
    assert capsys.readouterr().out == (
        f"wrote {own}: 136 poses; train on it with `poseterior train unsupervised-posterior data={own}`\n"
    )
    recipe = read_recipe("unsupervised-posterior", [*SMALL, f"data={own}", "steps=3"])
    weights = train(recipe, tmp_path / "run", device="cpu", progress=False)
    trained = load(weights)
    clip = next(seen_clips(made_up_mocap(20, 1), CAMERAS, 1, torch.Generator().manual_seed(0)))
    keypoints = clip.views[0]
    legs = keypoints._replace(visible=keypoints.visible & (torch.arange(17) > 6))
    poses = trained(legs)
    assert poses.log_prob(poses.sample(seed=0)).isfinite().all()
    assert trained.card["data"]["sources"] == ["lifted from x"]
    assert math.isfinite(float(poses.covariance.sum()))
