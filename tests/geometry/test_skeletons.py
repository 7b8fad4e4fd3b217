"""Skeletons: their orders against the published lists, and the maps between them."""

from __future__ import annotations

import dataclasses
import itertools
import pickle

import numpy as np
import pytest

from poseterior.geometry.skeletons import (
    RULES,
    SKELETONS,
    Skeleton,
    body_of,
    canonical_joint_name,
    get_skeleton,
    skeleton_map,
    skeleton_maps,
    skeleton_names,
)

every = pytest.mark.parametrize("name", list(SKELETONS))
symmetric = pytest.mark.parametrize("name", [n for n in SKELETONS if n != "cmu31"])

#: (index, joint) as published: COCO, OpenPose's BODY_25 output, Halpe's README, MediaPipe's pose landmarks,
#: VideoPose3D's reduced Human3.6M, SMPL's kinematic tree, LSP, MPII.
PUBLISHED = {
    "coco17": {0: "nose", 1: "left_eye", 4: "right_ear", 5: "left_shoulder", 10: "right_wrist",
               16: "right_ankle"},
    "body25": {1: "neck", 2: "right_shoulder", 4: "right_wrist", 7: "left_wrist", 8: "pelvis", 9: "right_hip",
               11: "right_ankle", 14: "left_ankle", 15: "right_eye", 18: "left_ear", 19: "left_big_toe",
               21: "left_heel", 22: "right_big_toe", 24: "right_heel"},
    "halpe26": {0: "nose", 16: "right_ankle", 17: "head_top", 18: "neck", 19: "pelvis", 20: "left_big_toe",
                21: "right_big_toe", 22: "left_small_toe", 23: "right_small_toe", 24: "left_heel",
                25: "right_heel"},
    "mediapipe33": {0: "nose", 2: "left_eye", 5: "right_eye", 7: "left_ear", 9: "left_mouth",
                    11: "left_shoulder", 12: "right_shoulder", 15: "left_wrist", 17: "left_pinky",
                    19: "left_index", 21: "left_thumb", 23: "left_hip", 24: "right_hip", 25: "left_knee",
                    28: "right_ankle", 29: "left_heel", 31: "left_foot_index", 32: "right_foot_index"},
    "h36m17": {0: "pelvis", 1: "right_hip", 3: "right_ankle", 4: "left_hip", 7: "spine", 8: "thorax",
               10: "head_top", 11: "left_shoulder", 14: "right_shoulder", 16: "right_wrist"},
    "smpl22": {0: "pelvis", 1: "left_hip", 3: "spine1", 10: "left_foot", 12: "neck", 13: "left_collar",
               15: "head", 16: "left_shoulder", 21: "right_wrist"},
    "lsp14": {0: "right_ankle", 5: "left_ankle", 6: "right_wrist", 12: "neck", 13: "head_top"},
    "mpii16": {0: "right_ankle", 6: "pelvis", 7: "thorax", 9: "head_top", 15: "left_wrist"},
    "h36m16": {0: "pelvis", 3: "right_ankle", 8: "thorax", 9: "head_top", 10: "left_shoulder", 15: "right_wrist"},
    "crowdpose14": {0: "left_shoulder", 1: "right_shoulder", 5: "right_wrist", 6: "left_hip", 11: "right_ankle",
                    12: "head_top", 13: "neck"},
    "aic14": {0: "right_shoulder", 2: "right_wrist", 3: "left_shoulder", 6: "right_hip", 11: "left_ankle",
              12: "head_top", 13: "neck"},
    "jhmdb15": {0: "neck", 1: "spine", 2: "head", 3: "right_shoulder", 6: "left_hip", 7: "right_elbow", 9: "right_knee",
                11: "right_wrist", 14: "left_ankle"},
    "mpi15": {0: "head_top", 1: "neck", 4: "right_wrist", 5: "left_shoulder", 10: "right_ankle", 13: "left_ankle",
              14: "spine"},
    "panoptic19": {0: "neck", 1: "nose", 2: "pelvis", 3: "left_shoulder", 6: "left_hip", 9: "right_shoulder",
                   14: "right_ankle", 15: "left_eye", 16: "left_ear", 17: "right_eye"},
    "posetrack17": {0: "nose", 1: "upper_neck", 2: "head_top", 3: "left_ear", 5: "left_shoulder", 16: "right_ankle"},
    "coco18": {1: "neck", 2: "right_shoulder", 8: "right_hip", 13: "left_ankle", 14: "right_eye", 17: "left_ear"},
    "body25b": {0: "nose", 5: "left_shoulder", 16: "right_ankle", 17: "upper_neck", 18: "head_top",
                19: "left_big_toe", 21: "left_heel", 22: "right_big_toe"},
    "kinect20": {0: "pelvis", 2: "thorax", 3: "head", 4: "left_shoulder", 7: "left_hand", 11: "right_hand",
                 15: "left_foot", 19: "right_foot"},
    "kinect25": {0: "pelvis", 1: "spine", 2: "upper_neck", 3: "head", 4: "left_shoulder", 12: "left_hip",
                 15: "left_foot", 20: "thorax", 21: "left_hand_tip", 24: "right_thumb"},
    "azure32": {0: "pelvis", 3: "neck", 4: "left_collar", 5: "left_shoulder", 10: "left_thumb", 18: "left_hip",
                25: "right_foot", 26: "head", 27: "nose", 31: "right_ear"},
    "smpl24": {10: "left_foot", 15: "head", 21: "right_wrist", 22: "left_hand", 23: "right_hand"},
    "mpi28": {0: "spine3", 3: "spine", 4: "pelvis", 7: "head_top", 9: "left_shoulder", 13: "right_collar",
              18: "left_hip", 22: "left_toe", 27: "right_toe"},
    "wholebody133": {16: "right_ankle", 17: "left_big_toe", 19: "left_heel", 23: "face_0", 91: "left_hand_0",
                     112: "right_hand_0"},
    "halpe136": {17: "head_top", 25: "right_heel", 26: "face_0", 94: "left_hand_0", 115: "right_hand_0"},
    "body135": {18: "head_top", 25: "left_hand_1", 45: "right_hand_1", 65: "face_0"},
    "openpose137": {8: "pelvis", 24: "right_heel"},
    "trb40": {0: "left_shoulder", 12: "head_top", 13: "neck"},
}  # fmt: skip


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_orders_are_the_published_ones(name: str) -> None:
    skeleton = get_skeleton(name)
    assert {i: skeleton.joints[i] for i in PUBLISHED[name]} == PUBLISHED[name]


@pytest.mark.parametrize("name", skeleton_names())
def test_names_tell_the_number_of_joints(name: str) -> None:
    digits = "".join(c for c in name if c.isdigit())
    count = int(digits[-2:]) if int(digits) > 200 or name == "body25b" else int(digits)
    assert len(get_skeleton(name)) == count


@pytest.mark.parametrize("name", sorted(set(skeleton_names()) - set(SKELETONS)))
def test_orders_of_other_data_sets_are_trees_that_mirror(name: str) -> None:
    skeleton = body_of(get_skeleton(name))
    mirror = skeleton.mirror
    assert [mirror[mirror[i]] for i in range(len(skeleton))] == list(range(len(skeleton)))
    assert sorted(skeleton.topological_order) == list(range(len(skeleton)))
    assert skeleton.parents.count(-1) == 1
    for child, parent in skeleton.bones:
        if skeleton.sides[child] != "middle":
            assert mirror[parent] == skeleton.parents[mirror[child]]


def test_orders_of_whole_bodies_begin_with_a_body() -> None:
    bodies = {name: body_of(get_skeleton(name)).name for name in ("wholebody133", "halpe136", "body135", "trb40")}
    assert bodies == {"wholebody133": "coco17", "halpe136": "halpe26", "body135": "body25b", "trb40": "crowdpose14"}
    assert body_of(get_skeleton("openpose137")) == get_skeleton("body_25") == body_of(get_skeleton("body25"))


@symmetric
def test_mirror_is_an_involution_that_swaps_sides(name: str) -> None:
    skeleton = get_skeleton(name)
    mirror = skeleton.mirror
    assert [mirror[mirror[i]] for i in range(len(skeleton))] == list(range(len(skeleton)))
    other = {"left": "right", "right": "left", "middle": "middle"}
    assert [skeleton.sides[mirror[i]] for i in range(len(skeleton))] == [other[s] for s in skeleton.sides]
    parents = skeleton.parents
    for child, parent in skeleton.bones:
        if parents[mirror[child]] >= 0 and skeleton.sides[child] != "middle":
            assert mirror[parent] == parents[mirror[child]]


@every
def test_parents_form_a_tree(name: str) -> None:
    skeleton = get_skeleton(name)
    order = skeleton.topological_order
    assert sorted(order) == list(range(len(skeleton)))
    place = {joint: i for i, joint in enumerate(order)}
    assert all(place[parent] < place[child] for child, parent in skeleton.bones)
    assert len(skeleton.bones) == len(skeleton) - skeleton.parents.count(-1)
    assert skeleton.parents[skeleton.root] == -1
    assert sorted((skeleton.root, *skeleton.nonroot)) == list(range(len(skeleton)))
    assert list(skeleton.nonroot) == sorted(skeleton.nonroot)


def test_what_is_remembered_changes_no_skeleton() -> None:
    """Worked out once; equality, hashes, copies and pickles are of the fields alone."""
    used, fresh = (Skeleton("pair", ("left_hip", "pelvis", "right_hip"), (1, -1, 1)) for _ in range(2))
    properties = ("root", "nonroot", "bones", "sides", "mirror", "topological_order")
    before = {name: getattr(used, name) for name in properties}
    assert all(getattr(used, name) is value for name, value in before.items())
    assert used == fresh
    assert hash(used) == hash(fresh)
    assert repr(used) == repr(fresh)
    again = pickle.loads(pickle.dumps(used))
    assert again == fresh
    assert {name: getattr(again, name) for name in properties} == before
    turned = dataclasses.replace(used, parents=(-1, 0, 0))
    assert (turned.root, turned.nonroot) == (0, (1, 2))


@symmetric
def test_limbs_are_disjoint_and_mirror_each_other(name: str) -> None:
    skeleton = get_skeleton(name)
    limbs = skeleton.limbs
    assert set(limbs) == {"left_leg", "right_leg", "left_arm", "right_arm"}
    assert all(not set(a) & set(b) for a, b in itertools.combinations(limbs.values(), 2))
    for limb in ("leg", "arm"):
        assert {skeleton.mirror[i] for i in limbs[f"left_{limb}"]} == set(limbs[f"right_{limb}"])
        assert len(limbs[f"left_{limb}"]) >= 2


@pytest.mark.parametrize(("source", "target"), list(itertools.product(SKELETONS, SKELETONS)))
def test_maps_are_affine(source: str, target: str) -> None:
    plan = skeleton_map(source, target)
    assert plan.weights.shape == (len(plan.target), len(plan.source))
    np.testing.assert_allclose(plan.weights.sum(1), plan.available.astype(float), atol=1e-12)
    assert (plan.weights >= 0).all()
    assert (plan.spread >= 0).all()
    assert (plan.spread[~plan.available] == 0).all()
    for i, joint in enumerate(plan.target.joints):
        if joint in plan.source.joints:
            row = np.zeros(len(plan.source))
            row[plan.source.index(joint)] = 1
            np.testing.assert_array_equal(plan.weights[i], row)
            assert plan.spread[i] == 0
    assert (skeleton_map(source, source).weights == np.eye(len(plan.source))).all()


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("coco17", ("head_top",)),
        ("body25", ("head_top",)),
        ("mediapipe33", ("head_top",)),
        ("halpe26", ()),
        ("lsp14", ()),
        ("mpi17", ()),
        ("mpii16", ()),
    ],
)
def test_what_h36m_joints_a_detector_leaves_open(source: str, missing: tuple[str, ...]) -> None:
    assert skeleton_map(source, "h36m17").missing == missing


def test_pelvis_and_spine_are_midpoints() -> None:
    plan = skeleton_map("coco17", "h36m17")
    coco = plan.source
    pelvis, spine = (plan.weights[plan.target.index(j)] for j in ("pelvis", "spine"))
    assert pelvis[coco.index("left_hip")] == pelvis[coco.index("right_hip")] == 0.5
    assert [spine[coco.index(j)] for j in ("left_hip", "right_hip", "left_shoulder", "right_shoulder")] == [0.25] * 4


def test_mirroring_commutes_with_the_maps() -> None:
    for source, target in itertools.product([n for n in SKELETONS if n != "cmu31"], repeat=2):
        plan = skeleton_map(source, target)
        swapped = plan.weights[list(plan.target.mirror)][:, list(plan.source.mirror)]
        np.testing.assert_array_equal(swapped, plan.weights)


@pytest.mark.parametrize("name", [n for n in skeleton_names() if n not in ("cmu31", "openpose137", "body135")])
def test_the_jaw_is_never_where_the_thorax_is(name: str) -> None:
    source = body_of(get_skeleton(name))
    for plan in skeleton_maps(source, "h36m17"):
        jaw, thorax = (plan.weights[plan.target.index(joint)] for joint in ("neck_nose", "thorax"))
        assert not jaw.any() or not np.array_equal(jaw, thorax)


def test_what_is_tried_when_joints_are_not_seen() -> None:
    """Halpe's thorax is its neck, else the middle of the shoulders; its spine between the best there is."""
    plans = skeleton_maps("halpe26", "h36m17")

    def ways(joint: str) -> list[set[str]]:
        rows = [plan.weights[plan.target.index(joint)] for plan in plans]
        return [{plan.source.joints[i] for i in row.nonzero()[0]} for plan, row in zip(plans, rows, strict=True)]

    hips, shoulders = {"left_hip", "right_hip"}, {"left_shoulder", "right_shoulder"}
    assert ways("pelvis")[:3] == [{"pelvis"}, hips, set()]
    assert ways("thorax")[:3] == [{"neck"}, shoulders, set()]
    assert ways("spine")[:4] == [{"pelvis", "neck"}, {"pelvis"} | shoulders, hips | {"neck"}, hips | shoulders]
    assert ways("neck_nose")[:3] == [{"head_top", "neck"}, {"head_top"} | shoulders, {"nose", "neck"}]
    assert ways("left_wrist")[:2] == [{"left_wrist"}, set()]


def test_the_neck_of_mpii_stands_for_no_thorax() -> None:
    """It is the top of the neck: without the thorax, that is the middle of the shoulders."""
    plans = skeleton_maps("mpii16", "h36m17")
    neck = plans[0].source.index("neck")
    assert not any(plan.weights[plan.target.index(joint), neck] for plan in plans for joint in ("thorax", "spine"))


def test_the_same_joints_in_another_order_are_only_reordered() -> None:
    h36m = get_skeleton("h36m17")
    assert len(skeleton_maps(Skeleton("file", h36m.joints[::-1], (-1,) * 17), h36m)) == 1


def test_rules_are_weighted_means() -> None:
    assert all(abs(sum(rule.weights.values()) - 1) < 1e-12 and rule.spread > 0 for rule in RULES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RAnkle", "right_ankle"),
        ("left shoulder", "left_shoulder"),
        ("r_wrist", "right_wrist"),
        ("LBigToe", "left_big_toe"),
        ("leftHip", "left_hip"),
        ("MidHip", "pelvis"),
        ("Head_Top", "head_top"),
        ("nose", "nose"),
        ("Root", "pelvis"),
    ],
)
def test_joint_names_in_other_spellings(name: str, expected: str) -> None:
    assert canonical_joint_name(name) == expected


@symmetric
def test_our_own_names_are_canonical(name: str) -> None:
    # SMPL's foot joint is the exception: elsewhere "foot" is the ankle (readers of names look for both).
    joints = [j for j in get_skeleton(name).joints if not j.endswith("_foot")]
    assert [canonical_joint_name(j) for j in joints] == joints


def test_wrong_names_say_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"unknown skeleton 'h36m'; known: h36m17, smpl22"):
        get_skeleton("h36m")
    with pytest.raises(ValueError, match=r"skeleton 'lsp14' has no joint 'nose'; it has: right_ankle"):
        get_skeleton("lsp14").index("nose")


def test_impossible_skeletons_are_refused() -> None:
    with pytest.raises(ValueError, match="2 joints but 1 parents"):
        Skeleton("x", ("a", "b"), (-1,))
    with pytest.raises(ValueError, match="joint names repeat"):
        Skeleton("x", ("a", "a"), (-1, 0))
    with pytest.raises(ValueError, match="form a cycle"):
        _ = Skeleton("x", ("a", "b"), (1, 0)).topological_order
