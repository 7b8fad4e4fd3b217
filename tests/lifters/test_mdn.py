import dataclasses

import pytest
import torch

from poseterior.files.errors import InputError
from poseterior.geometry.cameras import project
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import load, method, method_names, read_card
from poseterior.lifters.mdn import MixtureConfig, MixtureDensityLifter
from poseterior.published.li_lee_2019 import PublishedMixtureConfig, PublishedMixtureLifter

SMALL = MixtureConfig(kernels=3, rank=2, width=32, blocks=1)
INTRINSICS = torch.tensor([1000.0, 1000.0, 500.0, 500.0])


@pytest.fixture
def keypoints(people) -> Keypoints2D:
    return Keypoints2D(project(people + torch.tensor([0.2, 0.1, 4.0]), INTRINSICS), intrinsics=INTRINSICS)


@pytest.fixture(params=["ours", "published"])
def lifter(request) -> MixtureDensityLifter | PublishedMixtureLifter:
    torch.manual_seed(0)
    if request.param == "ours":
        return MixtureDensityLifter(SMALL).eval()
    return PublishedMixtureLifter(PublishedMixtureConfig(width=32)).eval()


# -- what holds for both --------------------------------------------------------------------------------------


def test_distribution_shapes(lifter, keypoints):
    poses = lifter(keypoints)
    assert poses.batch_shape == (32,)
    assert poses.sample((4,)).shape == (4, 32, 17, 3)
    assert poses.log_prob(poses.mean).isfinite().all()
    single = lifter(keypoints[0])
    assert single.batch_shape == ()
    torch.testing.assert_close(single.mean, poses.mean[0], atol=1e-5, rtol=1e-4)


def test_hidden_values_change_nothing_bit_for_bit(lifter, keypoints):
    mask = torch.rand(32, 17, generator=torch.Generator().manual_seed(0)) < 0.6
    results = []
    for junk in (0.0, 1e30, float("nan"), float("inf")):
        xy = torch.where(mask.unsqueeze(-1), keypoints.xy, junk)
        covariance = torch.where(mask[..., None, None], keypoints.covariance, junk)
        poses = lifter(Keypoints2D(xy, covariance, mask, intrinsics=INTRINSICS))
        results.append((poses.sample((3,), seed=0), poses.log_prob(poses.mean)))
    for samples, density in results[1:]:
        assert torch.equal(samples, results[0][0])
        assert torch.equal(density, results[0][1])


@pytest.mark.parametrize("joint", range(17))
def test_each_joint_may_be_missing(lifter, keypoints, joint):
    mask = torch.ones(32, 17, dtype=torch.bool)
    mask[:, joint] = False
    poses = lifter(Keypoints2D(keypoints.xy, visible=mask))
    assert poses.sample((2,)).isfinite().all()


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_hardly_anything_visible(lifter, keypoints, kept):
    mask = torch.zeros(32, 17, dtype=torch.bool)
    mask[:, torch.tensor([4, 11, 16])[:kept]] = True
    poses = lifter(Keypoints2D(keypoints.xy, visible=mask, image_size=(1000, 1000)))
    assert poses.sample((2,)).isfinite().all()
    assert poses.stddev.isfinite().all()


def test_odd_people(lifter, keypoints):
    tiny = Keypoints2D(keypoints.xy * 1e-3 + 300)
    outside = Keypoints2D(keypoints.xy - 700, image_size=(640, 480))
    same = Keypoints2D(torch.full((1, 17, 2), 5.0), image_size=(640, 480))
    for odd in (tiny, outside, same):
        poses = lifter(odd)
        assert poses.sample((2,)).isfinite().all()
        assert poses.log_prob(poses.mean).isfinite().all()


def test_uncertainty_is_an_input(keypoints):
    torch.manual_seed(0)
    lifter = MixtureDensityLifter(SMALL).eval()
    sharp = Keypoints2D(keypoints.xy, covariance=torch.full((32, 17), 1.0), intrinsics=INTRINSICS)
    vague = Keypoints2D(keypoints.xy, covariance=torch.full((32, 17), 9.0), intrinsics=INTRINSICS)
    assert not torch.allclose(lifter(sharp).mean, lifter(vague).mean)


@pytest.mark.parametrize("skeleton", sorted(set(SKELETONS) - {"cmu31"}))  # cmu31 is a mocap tree, no keypoint format
def test_every_skeleton_is_lifted(skeleton):
    torch.manual_seed(0)
    lifter = MixtureDensityLifter(SMALL).eval()
    joints = len(SKELETONS[skeleton])
    xy = 100 + 200 * torch.rand(2, joints, 2, generator=torch.Generator().manual_seed(0))
    poses = lifter(Keypoints2D(xy, skeleton=skeleton, image_size=(400, 400)))
    assert poses.mean.isfinite().all()


def test_keypoints_are_required(lifter):
    with pytest.raises(InputError, match=r"takes Keypoints2D, got Tensor; wrap a tensor as pp.Keypoints2D\(xy\)"):
        lifter(torch.zeros(17, 2))


def test_result_follows_the_camera(people):
    """Ours: a person moved around the camera on a sphere turns with it (the view is canonical)."""
    import roma

    torch.manual_seed(0)
    lifter = MixtureDensityLifter(SMALL).eval()
    root = torch.tensor([0.0, 0.0, 4.0])
    # Turning about the viewing axis is not undone by the canonical view, so turn about x only.
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, 0.0, 0.0]))
    sharp = torch.full((32, 17), 1.0)
    here = lifter(Keypoints2D(project(people + root, INTRINSICS), sharp, intrinsics=INTRINSICS)).mean
    there = lifter(Keypoints2D(project(people @ turn.T + turn @ root, INTRINSICS), sharp, intrinsics=INTRINSICS)).mean
    assert (there - here @ turn.T).norm(dim=-1).mean() < 0.02 * here.norm(dim=-1).mean()


# -- files ---------------------------------------------------------------------------------------------------


def test_save_and_load(lifter, keypoints, tmp_path):
    lifter.save_pretrained(tmp_path / "mine", {"name": "mine"})
    loaded = load(tmp_path / "mine")
    assert torch.equal(loaded(keypoints).mean, lifter(keypoints).mean)
    assert loaded.config == lifter.config
    assert loaded.card == {"name": "mine"} == read_card(tmp_path / "mine")
    assert not loaded.training
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]
    assert type(lifter).from_pretrained(tmp_path / "mine").config == lifter.config


def test_registry():
    assert "mdn" in method_names()
    assert method("mdn") is MixtureDensityLifter
    with pytest.raises(InputError, match=r"unknown lifter method 'nothing'; known: .*mdn"):
        method("nothing")


def test_broken_weights_are_refused(tmp_path):
    lifter = MixtureDensityLifter(SMALL)
    lifter.save_pretrained(tmp_path / "w")
    with pytest.raises(InputError, match=r"nowhere: is neither a folder nor a shipped lifter; shipped lifters: "):
        load("nowhere")
    path = tmp_path / "w" / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load(tmp_path / "w")
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "w")
    path.write_bytes(whole)
    config = tmp_path / "w" / "config.json"
    config.write_text(config.read_text().replace('"width": 32', '"width": 16'))
    with pytest.raises(InputError, match=r"has shape .* expected"):
        load(tmp_path / "w")
    config.write_text("{")
    with pytest.raises(InputError, match="not readable as JSON"):
        load(tmp_path / "w")
    config.write_text('{"method": "mdn", "config": {"colour": 1}}')
    with pytest.raises(InputError, match="unknown setting 'colour'"):
        load(tmp_path / "w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernels": 0}, "lifter.kernels: expected a whole number, at least 1, got 0"),
        ({"kernels": "abc"}, "lifter.kernels: expected a whole number, at least 1, got 'abc'"),
        ({"width": 1.5}, "lifter.width: expected a whole number"),
        ({"rank": -1}, "lifter.rank: expected a whole number, at least 0"),
        ({"dropout": 2}, "lifter.dropout: expected a number from 0.0 to 0.99, got 2"),
        ({"skeleton": "cat"}, "unknown skeleton 'cat'; known: h36m17"),
    ],
)
def test_bad_configurations(change, message):
    with pytest.raises(InputError, match=message):
        MixtureDensityLifter(MixtureConfig(**change))


def test_saving_never_deletes_other_files(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and holds other files; choose a new folder"):
        MixtureDensityLifter(SMALL).save_pretrained(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_loaded_lifters_need_no_detach(lifter, keypoints, tmp_path):
    lifter.save_pretrained(tmp_path / "w")
    assert load(tmp_path / "w")(keypoints).mean.numpy().shape == (32, 17, 3)


def test_empty_batch(lifter):
    poses = lifter(Keypoints2D(torch.zeros(0, 17, 2)))
    assert poses.sample((3,)).shape == (3, 0, 17, 3)
    assert poses.mode.shape == poses.mean.shape == (0, 17, 3)


def test_temperature_scales_the_error_bars(keypoints):
    torch.manual_seed(0)
    lifter = MixtureDensityLifter(dataclasses.replace(SMALL, kernels=1)).eval()
    before = lifter(keypoints).stddev.detach()
    lifter.config = dataclasses.replace(lifter.config, temperature=0.5)
    torch.testing.assert_close(lifter(keypoints).stddev.detach(), 0.5 * before)
