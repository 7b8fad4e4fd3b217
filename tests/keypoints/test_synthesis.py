"""Joints that are made of others: of those that are seen in each pose, never of joints that were made themselves."""

from __future__ import annotations

import itertools

import pytest
import torch

from poseterior.geometry.skeletons import Skeleton, get_skeleton, skeleton_map
from poseterior.keypoints import Keypoints2D

HALPE, H36M = get_skeleton("halpe26"), get_skeleton("h36m17")


def halpe(*hidden: str, poses: int = 3, seed: int = 0) -> Keypoints2D:
    generator = torch.Generator().manual_seed(seed)
    visible = torch.tensor([joint not in hidden for joint in HALPE.joints])
    xy = 400 * torch.rand(poses, 26, 2, generator=generator)
    return Keypoints2D(xy, visible=visible, confidence=0.5, amplitude=0.25, skeleton=HALPE)


def at(keypoints: Keypoints2D, joint: str) -> torch.Tensor:
    return keypoints.xy[..., keypoints.skeleton.index(joint), :]


def middle(keypoints: Keypoints2D, *joints: str) -> torch.Tensor:
    return sum(at(keypoints, joint) for joint in joints) / len(joints)


def test_people_without_neck_and_hip_keep_their_trunk() -> None:
    source = halpe("neck", "pelvis")
    target = source.as_skeleton("h36m17")
    assert target.visible.all()
    hips, shoulders = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
    torch.testing.assert_close(at(target, "pelvis"), middle(source, *hips))
    torch.testing.assert_close(at(target, "thorax"), middle(source, *shoulders))
    torch.testing.assert_close(at(target, "spine"), middle(source, *hips, *shoulders))
    jaw = 0.45 * at(source, "head_top") + 0.55 * middle(source, *shoulders)
    torch.testing.assert_close(at(target, "neck_nose"), jaw)
    coco = get_skeleton("coco17")  # as COCO's, which has neither: the same sums, widened as much
    same = Keypoints2D(
        source.xy[:, :17], source.covariance[:, :17], skeleton=Skeleton("file", HALPE.joints[:17], coco.parents)
    )
    expected = skeleton_map("coco17", "h36m17")
    for joint in ("pelvis", "thorax", "spine"):
        row = H36M.index(joint)
        extra = target.covariance[:, row, 0, 0] - torch.einsum(
            "s,ns->n", torch.as_tensor(expected.weights[row]).float().square(), same.covariance[..., 0, 0]
        )
        spread = expected.spread[row] * source.size
        torch.testing.assert_close(extra.sqrt(), spread.float(), rtol=1e-3, atol=0)


def test_every_pose_by_what_is_seen_in_it() -> None:
    """A batch of different people is the people one by one; what is seen in full is as the first map says."""
    hidden = [(), ("neck",), ("pelvis",), ("head_top", "neck"), ("left_hip",), ("pelvis", "right_hip"), HALPE.joints]
    people = [halpe(*joints, poses=1, seed=i) for i, joints in enumerate(hidden)]
    together = Keypoints2D.cat(people).as_skeleton("h36m17")
    for i, person in enumerate(people):
        alone = person[0].as_skeleton("h36m17")
        assert alone.batch_shape == ()
        for name in ("xy", "covariance", "visible", "amplitude", "synthesised"):
            torch.testing.assert_close(getattr(alone, name), getattr(together[i], name), equal_nan=True)
    gone = [{j for j, v in zip(H36M.joints, p, strict=True) if not v} for p in together.visible]
    assert gone == [set(), set(), set(), {"head_top"}, {"left_hip"}, {"right_hip", "pelvis", "spine"}, set(H36M.joints)]
    plan = skeleton_map("halpe26", "h36m17")
    weights = torch.as_tensor(plan.weights, dtype=torch.float32)
    assert torch.equal(together.xy[0], torch.einsum("ts,sc->tc", weights, people[0].xy[0]))


def test_hidden_values_play_no_part() -> None:
    first, second = (halpe(seed=seed) for seed in (0, 0))
    second.xy[:, HALPE.index("neck")] += 1000
    second.amplitude[:, HALPE.index("neck")] = 7
    found = []
    for keypoints in (first, second):
        visible = keypoints.visible.clone()
        visible[:, HALPE.index("neck")] = False
        hidden = Keypoints2D(keypoints.xy, keypoints.covariance, visible, skeleton=HALPE, amplitude=keypoints.amplitude)
        found.append(hidden.as_skeleton("h36m17"))
    for name in ("xy", "covariance", "amplitude", "visible"):
        assert torch.equal(getattr(found[0], name), getattr(found[1], name))


@pytest.mark.parametrize(
    ("source", "between"),
    [("coco17", "body25"), ("coco17", "halpe26"), ("coco17", "mpii16"), ("mediapipe33", "body25"), ("lsp14", "mpi17")],
)
def test_a_joint_made_of_others_makes_no_third(source: str, between: str) -> None:
    """By way of another skeleton nothing changes but what that has no room for."""
    joints = len(get_skeleton(source))
    generator = torch.Generator().manual_seed(4)
    visible = torch.rand(40, joints, generator=generator) > 0.15
    keypoints = Keypoints2D(300 * torch.rand(40, joints, 2, generator=generator), visible=visible, skeleton=source)
    way = keypoints.as_skeleton(between)
    made = [j for j in way.skeleton.joints if j not in keypoints.skeleton.joints and way.visible.any()]
    rows = [way.skeleton.index(joint) for joint in made]
    assert (way.synthesised[:, rows] == way.visible[:, rows]).all()
    for i, joint in enumerate(way.skeleton.joints):
        if joint not in made:
            hidden = ~visible[:, keypoints.skeleton.index(joint)]
            assert torch.equal(way.synthesised[:, i], way.visible[:, i] & hidden)
    direct, indirect = keypoints.as_skeleton("h36m17"), way.as_skeleton("h36m17")
    assert (direct.visible | ~indirect.visible).all()
    both = indirect.visible
    torch.testing.assert_close(indirect.xy[both], direct.xy[both])
    measured = both & ~indirect.synthesised
    torch.testing.assert_close(indirect.covariance[measured], direct.covariance[measured])
    for joint in ("pelvis", "thorax", "spine"):
        row = H36M.index(joint)
        assert torch.equal(both[:, row], direct.visible[:, row])


def test_sixteen_joints_have_no_jaw_on_the_thorax() -> None:
    joints = tuple(joint for joint in H36M.joints if joint != "neck_nose")
    xy = 100 * torch.rand(2, 16, 2, generator=torch.Generator().manual_seed(0))
    target = Keypoints2D(xy, skeleton=Skeleton("file", joints, (-1,) * 16)).as_skeleton("h36m17")
    torch.testing.assert_close(at(target, "neck_nose"), middle(target, "head_top", "thorax"))
    assert target.synthesised.sum(-1).tolist() == [1, 1]


def test_a_jaw_of_ears_or_eyes_where_the_nose_is_not_seen() -> None:
    coco = get_skeleton("coco17")
    xy = 100 * torch.rand(1, 17, 2, generator=torch.Generator().manual_seed(0))
    for hidden, seen in ((["nose"], "ear"), (["nose", "left_ear"], "eye")):
        visible = torch.tensor([joint not in hidden for joint in coco.joints])
        keypoints = Keypoints2D(xy, visible=visible, skeleton=coco)
        share = {"ear": 0.6, "eye": 0.55}[seen]
        jaw = share * middle(keypoints, f"left_{seen}", f"right_{seen}")
        jaw = jaw + (1 - share) * middle(keypoints, "left_shoulder", "right_shoulder")
        torch.testing.assert_close(at(keypoints.as_skeleton("h36m17"), "neck_nose"), jaw)


def test_a_joint_hidden_on_purpose_stays_hidden_in_another_order() -> None:
    turned = Skeleton("file", H36M.joints[::-1], (-1,) * 17)
    visible = torch.tensor([joint != "pelvis" for joint in turned.joints])
    target = Keypoints2D(torch.rand(17, 2), visible=visible, skeleton=turned).as_skeleton(H36M)
    assert target.visible.tolist() == [joint != "pelvis" for joint in H36M.joints]
    assert not target.synthesised.any()


def test_copies_keep_what_was_made() -> None:
    target = halpe("neck").as_skeleton("h36m17")
    made = target.synthesised[0]
    assert {j for j, m in zip(H36M.joints, made, strict=True) if m} == {"spine", "thorax", "neck_nose"}
    for copy in (target[1:], Keypoints2D.cat([target, target]), target.flatten(), target.to("cpu")):
        assert (copy.synthesised == made).all()
    for shape, count in itertools.product([(0,), (2, 3)], [26]):
        empty = Keypoints2D(torch.rand(*shape, count, 2), skeleton=HALPE).as_skeleton("h36m17")
        assert empty.batch_shape == shape


def test_gradients_reach_the_joints_that_others_are_made_of() -> None:
    source = halpe("neck", "pelvis")
    xy = source.xy.clone().requires_grad_()
    target = source._replace(xy=xy).as_skeleton("h36m17")
    (gradient,) = torch.autograd.grad(at(target, "thorax").sum(), xy)
    assert {j for j, g in zip(HALPE.joints, gradient[0], strict=True) if g.any()} == {"left_shoulder", "right_shoulder"}


def test_many_poses_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any batch shape, with all that is known of joints, and the parts make no difference."""
    source = Keypoints2D.cat([halpe("neck", poses=3), halpe("pelvis", "left_hip", poses=4, seed=1)])
    source.outliers = torch.where(source.visible, 0.1, 0.0)
    whole = source.as_skeleton("h36m17")
    monkeypatch.setattr("poseterior.keypoints.synthesis._CHUNK", 2)
    pair = source._map(lambda values: torch.stack([values, values]))
    parts = pair.as_skeleton("h36m17")
    assert parts.batch_shape == (2, 7)
    for name in ("xy", "covariance", "visible", "amplitude", "synthesised", "outliers"):
        for part in getattr(parts, name):
            torch.testing.assert_close(part, getattr(whole, name), rtol=1e-6, atol=0, equal_nan=True)
