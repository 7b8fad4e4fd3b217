import dataclasses
import math

import numpy as np
import pytest
import torch
from label_store import to_label_store

from conftest import made_up_mocap
from poseterior.data.labels.labels import DepthLabels, load_labels, save_labels
from poseterior.data.labels.simulated import (
    LabelConfig,
    LabelledSimulator,
    attach_labels,
    crowd_accuracy,
    label_observations,
    level_depth_axis,
    order_of_pairs,
)
from poseterior.data.simulation.simulator import Simulator, SimulatorConfig
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D, PoseId

BODY = SKELETONS["h36m17"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def simulator(**labels) -> LabelledSimulator:
    return LabelledSimulator(made_up_mocap(100, 2), SimulatorConfig(), LabelConfig(**labels))


def test_labels_follow_the_depth():
    seen = simulator(pairs=5)(200, generator())
    a, b = (seen.pose[..., 2].gather(1, seen.pairs[..., i]) for i in (0, 1))
    assert torch.equal(seen.order, (a - b).sign())
    assert (seen.confidence == 1).all()
    assert (seen.pairs[..., 0] != seen.pairs[..., 1]).all()
    # Five different pairs each, in either order.
    sorted_pairs = seen.pairs.sort(-1).values
    codes = sorted_pairs[..., 0] * 17 + sorted_pairs[..., 1]
    assert all(len(set(row.tolist())) == 5 for row in codes)
    first_is_lower = (seen.pairs[..., 0] < seen.pairs[..., 1]).double().mean()
    assert float(first_is_lower) == pytest.approx(0.5, abs=0.05)


def test_the_same_generator_gives_the_same_labels_and_the_observations_of_the_plain_simulator():
    one, two = simulator()(50, generator(4)), simulator()(50, generator(4))
    for f in dataclasses.fields(one):
        if f.name != "keypoints":
            assert torch.equal(getattr(one, f.name), getattr(two, f.name))
    plain = Simulator(made_up_mocap(100, 2))(50, generator(4))
    assert torch.equal(plain.keypoints.xy, one.keypoints.xy)
    picked = one[torch.tensor([3, 1])]
    assert torch.equal(picked.pairs, one.pairs[[3, 1]])


def test_all_pairs():
    seen = simulator(pairs="all")(10, generator())
    assert seen.pairs.shape == (10, 136, 2)
    assert (seen.confidence == 1).all()


def test_joints_that_the_source_lacks_are_not_labelled():
    observations = Simulator(made_up_mocap(100, 2))(100, generator())
    observed = torch.ones(100, 17, dtype=torch.bool)
    observed[:50, 10] = False
    seen = label_observations(
        dataclasses.replace(observations, observed=observed), LabelConfig(pairs="all"), generator()
    )
    names_missing = (seen.pairs == 10).any(-1)
    assert (seen.confidence[:50][names_missing[:50]] == 0).all()
    assert (seen.confidence[:50].sum(-1) == 120).all()
    one = label_observations(dataclasses.replace(observations, observed=observed), LabelConfig(pairs=1), generator())
    assert (one.confidence == 1).all()
    assert not (one.pairs[:50] == 10).any()


@pytest.mark.parametrize(("gap", "expected"), [(0.1001, 1), (0.0999, 0), (-0.0999, 0), (-0.1001, -1)])
def test_tolerance(gap, expected):
    depth = torch.zeros(1, 17)
    depth[0, 4] = gap
    pairs = torch.tensor([[[4, 7]]])
    assert float(order_of_pairs(depth, pairs, LabelConfig(tolerance=0.1), generator())) == expected


def test_crowd_is_at_chance_for_level_joints_and_right_from_40_cm():
    n = 40_000
    pairs = torch.tensor([[[4, 7]]]).expand(n, 1, 2)
    for gap, wrong in ((1e-6, 0.5), (0.2, 0.25), (0.4, 0.0), (0.9, 0.0)):
        depth = torch.zeros(n, 17)
        depth[:, 4] = gap
        order = order_of_pairs(depth, pairs, LabelConfig(noise="crowd"), generator())
        assert float((order < 0).double().mean()) == pytest.approx(wrong, abs=0.01)
    torch.testing.assert_close(crowd_accuracy(torch.tensor([-0.2, 0.0, 1.0])), torch.tensor([0.75, 0.5, 1.0]))


@pytest.mark.parametrize("flip", [0.0, 0.3, 1.0])
def test_flips(flip):
    exact, turned = (
        simulator(pairs=20)(500, generator(1)),
        simulator(pairs=20, noise="flip", flip=flip)(500, generator(1)),
    )
    assert torch.equal(exact.pairs, turned.pairs)
    assert float((exact.order != turned.order).double().mean()) == pytest.approx(flip, abs=0.015)


def test_level_axis():
    up = torch.tensor([0.0, -1.0, 0.0])
    torch.testing.assert_close(level_depth_axis(up), torch.tensor([0.0, 0.0, 1.0]))
    tilt = math.radians(30)
    up = torch.tensor([0.0, -math.cos(tilt), -math.sin(tilt)])  # the camera looks down
    axis = level_depth_axis(up)
    torch.testing.assert_close(axis, torch.tensor([0.0, -math.sin(tilt), math.cos(tilt)]))
    assert float(axis @ up) == pytest.approx(0.0, abs=1e-6)
    torch.testing.assert_close(level_depth_axis(torch.tensor([0.0, 0.0, -1.0])), torch.tensor([0.0, 0.0, 1.0]))


def test_level_frame_differs_only_where_the_camera_is_tilted():
    for pitch, roll, share in ((0.0, 0.0, 0.0), (35.0, 0.0, 0.04)):
        config = SimulatorConfig(pitch=(pitch, pitch), roll=(roll, roll))
        camera = LabelledSimulator(made_up_mocap(100, 2), config, LabelConfig(pairs=30))(300, generator(2))
        level = LabelledSimulator(made_up_mocap(100, 2), config, LabelConfig(pairs=30, frame="level"))(
            300, generator(2)
        )
        assert torch.equal(camera.pairs, level.pairs)
        changed = float((camera.order != level.order).double().mean())
        assert changed >= share if share else changed == 0.0


def test_levelled_head_and_feet_of_a_standing_person_are_level(standing):
    """Seen from above, the head is nearer along the optical axis; judged as if the camera were level, it is not."""
    tilt = torch.tensor(math.radians(30.0))
    turn = torch.tensor([[1, 0, 0], [0, tilt.cos(), -tilt.sin()], [0, tilt.sin(), tilt.cos()]])
    pose = (standing @ turn.T).unsqueeze(0)
    up = turn @ torch.tensor([0.0, -1.0, 0.0])
    head, ankle = BODY.index("head_top"), BODY.index("left_ankle")
    assert float((pose[0, head, 2] - pose[0, ankle, 2]).abs()) > 0.5
    depth = (pose * level_depth_axis(up)).sum(-1)
    assert float((depth[0, head] - depth[0, ankle]).abs()) < 0.03


def test_stored_labels_come_back(tmp_path):
    seen = simulator(pairs=2)(40, generator())
    ids = [PoseId(f"clip{i % 4}", i, 0) for i in range(40)]
    seen = dataclasses.replace(seen, keypoints=seen.keypoints._replace(ids=ids))
    save_labels(to_label_store(seen), tmp_path / "labels.parquet")
    back = attach_labels(seen, load_labels(tmp_path / "labels.parquet"))
    assert torch.equal(back.pairs, seen.pairs)
    assert torch.equal(back.order, seen.order)
    assert torch.equal(back.confidence, seen.confidence)


def made_labels(rows, skeleton: str) -> DepthLabels:
    image, a, b, label, confidence = (np.array(column) for column in zip(*rows, strict=True))
    n = len(rows)
    return DepthLabels(
        image, a, b, label.astype(np.int8), confidence.astype(np.float32), np.full(n, ""), np.full(n, np.nan), skeleton
    )


def test_labels_name_the_photograph_of_a_keypoint_file():
    files = ["in/im0_keypoints.json", "im1.json", "a/im2.json", "b/im2.json", "clip.v2"]
    keypoints = Keypoints2D(torch.rand(5, 17, 2) * 100, ids=[PoseId(file, 0, 0) for file in files])
    observations = dataclasses.replace(Simulator(made_up_mocap(100, 2))(5, generator()), keypoints=keypoints)
    names = ["im0.jpg", "im1.PNG", "im2.jpg", "a/im2.json", "c/im0.jpg", "clip.jpg", "im1.jpg#0#1"]
    labels = made_labels([(name, "neck", "head_top", 1, 1.0) for name in names], "lsp14")
    joined = attach_labels(observations, labels)
    # two keypoint files of one name are told apart by their folder only; another folder, frame or person is another
    assert [i.file for i in joined.keypoints.ids] == files[:3]
    assert joined.confidence.shape == (3, 1)


def test_labels_of_another_skeleton_are_joined_by_joint():
    keypoints = Keypoints2D(torch.rand(3, 17, 2) * 100, ids=[PoseId(f"im{i}.jpg", 0, 0) for i in range(3)])
    observations = Simulator(made_up_mocap(100, 2))(3, generator())
    observations = dataclasses.replace(observations, keypoints=keypoints)
    labels = made_labels(
        [
            ("im2.jpg", "neck", "head_top", 1, 0.9),
            ("im0.jpg", "left_knee", "right_wrist", -1, 0.7),
            ("im2.jpg", "left_hip", "right_hip", 0, 0.0),
            ("im9.jpg", "left_hip", "right_hip", 1, 1.0),
        ],
        "lsp14",
    )
    joined = attach_labels(observations, labels)
    assert [i.file for i in joined.keypoints.ids] == ["im0.jpg", "im2.jpg"]
    at = BODY.index
    assert joined.pairs[0, 0].tolist() == [at("left_knee"), at("right_wrist")]
    assert joined.pairs[1].tolist() == [[at("thorax"), at("head_top")], [at("left_hip"), at("right_hip")]]
    assert joined.order.tolist() == [[-1, 0], [1, 0]]
    torch.testing.assert_close(joined.confidence, torch.tensor([[0.7, 0.0], [0.9, 0.0]]))
    with pytest.raises(InputError, match="no label is of an image in") as error:
        attach_labels(observations, labels.select(np.array([False, False, False, True])))
    assert "the labels name 'im9.jpg', the observations 'im0.jpg'" in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pairs": 0}, "labels.pairs: expected 1 to 136 or 'all', got 0"),
        ({"pairs": "some"}, "labels.pairs: expected 1 to 136 or 'all', got 'some'"),
        ({"noise": "loud"}, "labels.noise: expected one of none, flip, crowd, got 'loud'"),
        ({"flip": 0.2}, "labels.flip: only with noise: flip"),
        ({"noise": "flip", "flip": 1.2}, "labels.flip: expected a number from 0 to 1, got 1.2"),
        ({"noise": "crowd", "tolerance": 0.1}, "labels.tolerance: labels of equal depth and label noise"),
        ({"hats": 1}, "labels: unknown setting 'hats'; known: pairs, tolerance, noise, flip, frame"),
    ],
)
def test_wrong_settings(values, message):
    with pytest.raises(InputError) as error:
        LabelConfig.from_dict(values)
    assert message in str(error.value)


def test_stored_observations_know_no_level():
    observations = Simulator(made_up_mocap(100, 2))(3, generator())
    with pytest.raises(InputError, match="stored observations do not say where up is"):
        label_observations(observations, LabelConfig(frame="level"), generator())
