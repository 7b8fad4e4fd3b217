"""The published networks and lifters against what the original code computed with the same random weights."""

import numpy as np
import pytest
import torch
from golden_weights import (
    duenkel_weights,
    filled,
    golden,
    li_lee_weights,
    options_of,
    ronchi_weights,
    shapes,
    tensors,
    wehrbein_weights,
    yu_weights,
)

from poseterior.data.sets.h36m import _keypoints
from poseterior.data.sets.h36m_layout import DETECTED_JOINTS
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.keypoints.rays import METRES_PER_UNIT, turn_matrices, turned
from poseterior.nn.rotation_networks import BODY_JOINTS
from poseterior.objectives.image_prior import ImageCritic
from poseterior.published.duenkel_2024.network import PublishedRotationFlow
from poseterior.published.duenkel_2024.prior import PublishedRotationConfig, PublishedRotationPrior
from poseterior.published.li_lee_2019 import PublishedMixtureConfig, PublishedMixtureLifter
from poseterior.published.originals import duenkel_2024, li_lee_2019, ronchi_2018, wehrbein_2021, yu_2021
from poseterior.published.originals.tensors import to_ours, to_theirs
from poseterior.published.ronchi_2018 import PublishedRegressionConfig, PublishedRegressionLifter
from poseterior.published.wehrbein_2021.condition import published_condition, standardise_keypoints
from poseterior.published.wehrbein_2021.lifter import PublishedFlowLifter
from poseterior.published.wehrbein_2021.network import keypoint_condition, keypoints_to_vector, vector_to_pose
from poseterior.published.yu_2021 import PublishedUnsupervisedConfig, PublishedUnsupervisedLifter

BODY = SKELETONS["h36m17"]
COUNTERS = r".*num_batches_tracked"


def close(found: torch.Tensor, expected: np.ndarray, relative: float) -> None:
    """Within so much of the largest number."""
    wanted = torch.from_numpy(expected).to(found.dtype)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= relative * float(wanted.abs().max())


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


# -- Li & Lee 2019 -------------------------------------------------------------------------------------------


def li_lee() -> PublishedMixtureLifter:
    lifter = PublishedMixtureLifter(PublishedMixtureConfig(width=64)).eval()
    theirs = li_lee_weights(shapes(golden("li_lee")))
    ignored = r".*/Adam(_1)?|beta[12]_power|global_step|learning_rate"
    lifter.load_state_dict(to_ours(li_lee_2019.pairs(2), theirs, lifter.state_dict(), "li_lee", ignored))
    return lifter


def test_li_lee_network():
    found, lifter = golden("li_lee"), li_lee()
    mu, sigma, logits = lifter.network(*tensors(found["in_inputs"]))
    close(mu, found["out_mu"], 1e-6)
    close(sigma, found["out_sigma"], 1e-6)
    assert float((logits.softmax(-1) - torch.from_numpy(found["out_alpha"])).abs().max()) < 1e-5


def test_li_lee_lifter_from_pixels():
    """Pixels of the 16 detected joints in, five means and their weights out."""
    found, lifter = golden("li_lee"), li_lee()
    generator = torch.Generator().manual_seed(0)
    lifter.input_mean.copy_(500 + 100 * torch.randn(32, generator=generator))
    lifter.input_std.copy_(50 + 50 * torch.rand(32, generator=generator))
    lifter.output_std.copy_(0.1 + torch.rand(48, generator=generator))
    (inputs,) = tensors(found["in_inputs"])
    order = [joint for joint in range(17) if BODY.joints[joint] != "neck_nose"]
    xy = torch.zeros(len(inputs), 17, 2)
    xy[:, order] = (inputs * lifter.input_std + lifter.input_mean).unflatten(-1, (16, 2))
    posterior = lifter(Keypoints2D(xy))
    means = posterior.loc[..., -16:, :].flatten(-2) / lifter.output_std
    close(means.transpose(-1, -2), found["out_mu"], 1e-5)
    weights = posterior.log_weights.exp()
    assert float((weights - torch.from_numpy(found["out_alpha"])).abs().max()) < 1e-5


# -- Ronchi et al. 2018 --------------------------------------------------------------------------------------

RONCHI = {"rel": "h36m17", "weak_perspective": "h36m17", "sup": "h36m17", "lsp14": "lsp14", "sup16": "shg16"}


@pytest.mark.parametrize("name", list(RONCHI))
def test_ronchi_lifter_from_pixels(name):
    """Relative and supervised networks of 17, 16 and 14 joints: millimetres, the root where it is predicted."""
    found = golden(f"ronchi_{name}")
    options = options_of(found)
    standardised, scale = options["standardize_output_data"], options["predict_scale"]
    kind = {"scaled_orthographic": "orthographic", "weak_perspective": "perspective", "none": "none"}
    config = PublishedRegressionConfig(
        skeleton=RONCHI[name],
        width=64,
        output="standardised" if standardised else "free",
        scale=kind[options["reprojection"]],
    )
    lifter = PublishedRegressionLifter(config).eval()
    table = ronchi_2018.pairs(1, not standardised, scale)
    theirs = ronchi_weights(shapes(found))
    state = to_ours(table, theirs, lifter.state_dict(), name, r"mult|ws\..*")
    stats = {key: found[f"stat_{key}"].astype(np.float64) for key in ("2d_mean", "2d_std", "3d_mean", "3d_std")}
    state["input_mean"], state["input_std"] = tensors(
        stats["2d_mean"], np.where(stats["2d_std"] == 0, 1, stats["2d_std"])
    )
    if standardised:
        state["output_mean"], state["output_std"] = tensors(stats["3d_mean"] / 1000, stats["3d_std"] / 1000)
    lifter.load_state_dict(state)
    (pixels,) = tensors(found["in_pixels"])
    posterior = lifter(Keypoints2D(pixels.unflatten(-1, (-1, 2)), skeleton=RONCHI[name]))
    placed = 1000 * (posterior.mean + posterior.root_offset.unsqueeze(-2))
    assert float((placed.flatten(-2) - torch.from_numpy(found["out_pose_mm"])).abs().max()) < 1e-3
    if scale:
        close(posterior.image_scale / 1000, found["out_scale"][:, 0], 1e-6)


# -- Yu et al. 2021 ------------------------------------------------------------------------------------------

OURS = list(yu_2021._JOINTS)


def yu(name: str) -> tuple[dict, PublishedUnsupervisedLifter]:
    found = golden(name)
    config = PublishedUnsupervisedConfig(width=64, scale="published" if name == "yu_scale" else "none")
    lifter = PublishedUnsupervisedLifter(config).eval()
    table = yu_2021.pairs(64, 4, name == "yu_scale")
    lifter.load_state_dict(to_ours(table, yu_weights(shapes(found)), lifter.state_dict(), name, COUNTERS))
    lifter.unit.fill_(1.0 / 2000.0)
    return found, lifter


def yu_keypoints(found: dict) -> Keypoints2D:
    image = torch.from_numpy(found["in_joints_2d"])[:, OURS].clone()
    image[:, BODY.root] = 0.0  # 1e-5 there: where the loaders put it
    return Keypoints2D(500 + 2000 * image)


@pytest.mark.parametrize("name", ["yu_adv", "yu_scale"])
def test_yu_lifter_from_pixels(name):
    """Units of the pose (one is pelvis to head) within 1e-4, whatever is known of the camera."""
    found, lifter = yu(name)
    keypoints = yu_keypoints(found)
    pose = torch.from_numpy(found["out_pose"])[:, OURS]
    expected = METRES_PER_UNIT * (pose - pose[:, :1])
    for given in (keypoints, keypoints.with_camera((1145.0, 1145.0, 512.0, 512.0), image_size=(1000, 1000))):
        assert float((lifter(given).mean - expected).abs().max()) < 1e-5
    image, visible = lifter.image_of(keypoints)
    lifted = lifter.lift_image(lifter.rescaled(image, visible), visible)
    place = torch.tensor([0.0, 0.0, 10.0])
    close(lifted.pose + lifted.offset + place, found["out_pose"][:, OURS], 1e-6)


@pytest.mark.parametrize("name", ["yu_adv", "yu_scale"])
def test_yu_training_path(name):
    """Lift, turn, look, lift again, turn back: every stage of it."""
    found, lifter = yu(name)
    image, visible = lifter.image_of(yu_keypoints(found))
    first = lifter.lift_image(lifter.rescaled(image, visible), visible)
    rotation = turn_matrices(*torch.from_numpy(found["in_rotation_yxz"]).unbind(-1))
    place = torch.tensor([0.0, 0.0, 10.0])
    away = turned(first.pose, rotation)
    close(away + place, found["out_transformed"][:, OURS], 1e-6)
    view = lifter.seen(away)
    close(view, found["out_projected"][:, OURS], 1e-6)
    again = lifter.lift_image(view, visible)
    close(again.pose + again.offset + place, found["out_reconstructed"][:, OURS], 1e-6)
    back = turned(again.pose + again.offset, rotation.mT) + first.offset
    close(back + place, found["out_recovered_3d"][:, OURS], 1e-6)
    close(lifter.projected(back), found["out_recovered_2d"][:, OURS], 2e-6)


def test_yu_critic_sees_2d_poses_in_their_own_units():
    found = golden("yu_adv")
    critic = ImageCritic(64, 2).eval()
    columns = yu_2021._COORDINATES
    theirs = filled(shapes(found, "critic_"), 22)
    both = [*range(64), *(64 + column for column in columns)]
    state = {
        "enter.0.weight": theirs["pre.0.weight"][:, list(columns)],
        "enter.0.bias": theirs["pre.0.bias"],
        "score.weight": theirs["out.weight"],
        "score.bias": theirs["out.bias"],
    }
    for i in range(2):
        for layer in (0, 3):
            for part in ("weight", "bias"):
                state[f"blocks.{i}.main.{layer}.{part}"] = theirs[f"blocks.{i}.main.{layer}.{part}"]
        state[f"blocks.{i}.shortcut.weight"] = theirs[f"blocks.{i}.sc.weight"][:, both]
        state[f"blocks.{i}.shortcut.bias"] = theirs[f"blocks.{i}.sc.bias"]
    critic.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()})
    close(critic(torch.from_numpy(found["in_joints_2d"])[:, OURS]), found["out_discriminator"][:, 0], 1e-5)


# -- Wehrbein et al. 2021 ------------------------------------------------------------------------------------


def wehrbein() -> tuple[dict, PublishedFlowLifter]:
    found = golden("wehrbein")
    theirs = wehrbein_weights(shapes(found))
    lifter = PublishedFlowLifter().eval()
    table = wehrbein_2021.pairs(range(1, 17, 2))
    lifter.load_state_dict(to_ours(table, theirs, lifter.state_dict(), "wehrbein"))
    return found, lifter


def test_wehrbein_network():
    found, lifter = wehrbein()
    network = lifter.network
    for block, expected in zip(network.blocks, found["out_permutations"], strict=True):
        assert block.permutation.tolist() == expected.tolist()
    condition, x, xy, latent = tensors(*(found[f"in_{name}"] for name in ("condition", "x", "xy", "latent")))
    context = network.encode(condition.unflatten(-1, (13, 6)))
    close(context, found["out_context"], 1e-6)
    z, seen, log_det = network.forward_map(x, context)
    close(torch.cat([z, seen], -1), found["out_forward"], 1e-6)
    close(log_det, found["out_forward_logdet"], 1e-6)
    close(network.inverse_map(latent, xy, context), found["out_reverse"], 2e-6)
    pose = vector_to_pose(network.inverse_map(torch.zeros(5, 16), xy, context)) * torch.tensor([1000.0, -1000, -1000])
    assert float((pose.mT.flatten(-2) - torch.from_numpy(found["out_pose_z0_mm"])).abs().max()) < 0.01


def test_wehrbein_condition_from_the_fits_that_an_import_keeps():
    """Means of their own, negative sigmas and all: float32's rounding of the original's float64."""
    found, lifter = wehrbein()
    xy = found["in_raw_keypoints"].reshape(5, 2, 16).swapaxes(1, 2)
    keypoints = _keypoints(xy, found["in_raw_fits"], [PoseId("", i, 0) for i in range(5)])
    close(keypoint_condition(keypoints).double(), found["out_condition_from_fits"], 2e-7)
    close(keypoints_to_vector(keypoints).double(), found["out_keypoints_normalised"], 2e-7)
    condition, vector = tensors(found["out_condition_from_fits"], found["out_keypoints_normalised"])
    double = PublishedFlowLifter().double().eval()
    double.load_state_dict(lifter.state_dict())
    context = double.network.encode(condition)
    expected = vector_to_pose(double.network.inverse_map(torch.zeros(5, 16).double(), vector, context))
    # poses of 200 m, which random weights make
    close(lifter(keypoints).z0.double(), expected.detach().numpy(), 1e-6)


def test_wehrbein_chain_is_exact_but_for_single_precision():
    """Pixels and fits to the network's input, in float64 as the original has them: its numbers to the last digits.

    What is left of the whole chain is that keypoints are kept in float32, as the network computes: less than a
    millionth of the pose, which random weights make of 13 to 214 m (0.007 to 0.07 mm), and people of one. The original
    itself is off as far, because its network is float32 too.
    """
    found, lifter = wehrbein()
    xy, fits = tensors(found["in_raw_keypoints"].reshape(5, 2, 16).swapaxes(1, 2), found["in_raw_fits"])
    condition = published_condition(fits[..., 0], fits[..., 1:3], fits[..., 3], fits[..., 4], fits[..., 5])
    vector = standardise_keypoints(xy).mT.flatten(-2)
    close(condition, found["out_condition_from_fits"], 1e-14)
    close(vector, found["out_keypoints_normalised"], 1e-14)

    def z0(network, condition, vector):
        latent = torch.zeros(5, 16, dtype=vector.dtype)
        return vector_to_pose(network.inverse_map(latent, vector, network.encode(condition))).double()

    double = PublishedFlowLifter().double().eval()
    double.load_state_dict(lifter.state_dict())
    exact = z0(double.network, condition, vector)
    size = exact.abs().amax((1, 2))
    keypoints = _keypoints(xy.numpy(), found["in_raw_fits"], [PoseId("", i, 0) for i in range(5)])
    ours = (lifter(keypoints).z0.double() - exact).abs().amax((1, 2)) / size
    theirs = (z0(lifter.network, condition.float(), vector.float()) - exact).abs().amax((1, 2)) / size
    assert float(ours.max()) < 1e-6
    assert float(theirs.max()) > 1e-7  # so no copy of it can be nearer than that
    assert 13 < float(size.min()) < float(size.max()) < 214


def test_fits_that_say_nothing_leave_the_detection():
    """A pose without fits, or with one that is missing, is conditioned on the detection."""
    found, _ = wehrbein()
    xy = found["in_raw_keypoints"].reshape(5, 2, 16).swapaxes(1, 2)
    keypoints = _keypoints(xy, found["in_raw_fits"], [PoseId("", i, 0) for i in range(5)])
    bare = Keypoints2D(keypoints.xy, keypoints.covariance, keypoints.visible, amplitude=keypoints.amplitude)
    assert bare.fits is None
    without = keypoints.fits.clone()
    without[:, BODY.index(DETECTED_JOINTS[3])] = float("nan")
    partly = Keypoints2D(
        keypoints.xy, keypoints.covariance, keypoints.visible, amplitude=keypoints.amplitude, fits=without
    )
    assert torch.equal(keypoint_condition(partly), keypoint_condition(bare))
    assert not torch.allclose(keypoint_condition(keypoints), keypoint_condition(bare))


# -- Dünkel et al. 2024 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("prior_small", {"condition": 0, "segments": 8, "hidden": 16, "hidden_layers": 3}),
        ("ik_small", {"condition": 64, "segments": 8, "hidden": 12, "hidden_layers": 2}),
    ],
)
def test_duenkel_flow(name, sizes):
    """Densities to 1e-9 nats in float64, and draws, of which the original's bisection keeps four digits."""
    found = golden(f"duenkel_{name}")
    flow = PublishedRotationFlow(joints=4, **sizes)
    expected = {key: value.shape for key, value in duenkel_2024.flow_to_theirs(flow.state_dict()).items()}
    theirs = duenkel_weights(expected)
    flow.load_state_dict(duenkel_2024.flow_to_ours(theirs, flow.state_dict(), name))
    again = duenkel_2024.flow_to_theirs(flow.state_dict())
    assert list(again) == list(theirs)
    assert all(np.array_equal(again[key], theirs[key]) for key in theirs)
    flow = flow.double()
    rotations, start = tensors(found["in_rotations"], found["in_base"])
    condition = torch.from_numpy(found["out_features_f64"]) if name == "ik_small" else None
    base, density = flow.to_base(rotations, condition)
    close(base, found["out_base_f64"], 1e-10)
    assert float((density - torch.from_numpy(found["out_log_prob_f64"])).abs().max()) < 1e-9
    drawn, density = flow.from_base(start, condition)
    close(drawn, found["out_samples_exact_f64"], 1e-10)
    assert float((density + torch.from_numpy(found["out_samples_neg_log_prob_exact_f64"])).abs().max()) < 1e-9


def test_duenkel_prior_of_the_released_size():
    """19 joints of smpl22, 1.3 M parameters: log-densities of rotations."""
    found = golden("duenkel_prior_0900")
    prior = PublishedRotationPrior(PublishedRotationConfig(task="prior"))
    state = prior.state_dict()
    sizes = {key: value.shape for key, value in duenkel_2024.flow_to_theirs(state, "flow.").items()}
    prior.load_state_dict(duenkel_2024.flow_to_ours(duenkel_weights(sizes), state, "prior", "flow."))
    rotations = torch.eye(3).double().expand(4, 22, 3, 3).clone()
    rotations[:, list(BODY_JOINTS)] = torch.from_numpy(found["in_rotations"])
    density = prior.double().log_prob(rotations)
    assert float((density - torch.from_numpy(found["out_log_prob_f64"])).abs().max()) < 1e-9


# -- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "table", "weights"),
    [
        ("yu_scale", yu_2021.pairs(64, 4, True), yu_weights),
        ("ronchi_rel", ronchi_2018.pairs(1, True, True), ronchi_weights),
        ("wehrbein", wehrbein_2021.pairs(range(1, 17, 2)), wehrbein_weights),
    ],
)
def test_there_and_back_bit_for_bit(name, table, weights):
    theirs = weights(shapes(golden(name)))
    ours = {pair.ours: torch.from_numpy(pair.read(theirs[pair.theirs])) for pair in table}
    again = to_theirs(table, ours)
    assert all(np.array_equal(value, theirs[key]) for key, value in again.items())
    assert {key for key in theirs if "num_batches" not in key} == set(again)
