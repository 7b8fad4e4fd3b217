import math

import numpy as np
import pytest
import roma
import torch

from poseterior.geometry.kinematics import (
    ANKLE_HEIGHT,
    body_height,
    bone_lengths,
    bones_to_pose,
    forward_kinematics,
    kinematic_chain_space,
    pose_to_bones,
    similarity_align,
)
from poseterior.geometry.skeletons import SKELETONS
from poseterior.published.wehrbein_2021.condition import centre_pose


def random_poses(n: int = 20, joints: int = 17, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(n, joints, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def align_by_loop(pose: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama's closed form, one pose at a time."""
    out = np.empty_like(pose)
    for i, (p, t) in enumerate(zip(pose, target, strict=True)):
        pc, tc = p - p.mean(0), t - t.mean(0)
        u, s, vt = np.linalg.svd(tc.T @ pc)
        sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        rotation = u @ sign @ vt
        scale = (s * np.diag(sign)).sum() / (pc**2).sum()
        out[i] = scale * pc @ rotation.T + t.mean(0)
    return out


def test_alignment_equals_an_svd_loop():
    pose, target = random_poses(seed=1), random_poses(seed=2)
    np.testing.assert_allclose(similarity_align(pose, target), align_by_loop(pose.numpy(), target.numpy()), atol=1e-10)


def test_alignment_undoes_a_similarity():
    target = random_poses()
    moved = 2.5 * target @ roma.random_rotmat(len(target), dtype=torch.float64) + 3.0
    assert (similarity_align(moved, target) - target).abs().max() < 1e-10


def test_alignment_refuses_reflections():
    target = random_poses()
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    assert (similarity_align(mirrored, target) - target).norm(dim=-1).mean() > 0.1


def test_alignment_minimises_the_squared_error():
    pose, target = random_poses(seed=5), random_poses(seed=6)
    aligned = similarity_align(pose, target)
    best = (aligned - target).square().sum()
    assert best <= (pose - target).square().sum()
    for k in range(5):
        turn = roma.rotvec_to_rotmat(0.05 * random_poses(len(pose), 1, seed=10 + k).squeeze(1))
        centre = aligned.mean(1, keepdim=True)
        assert ((aligned - centre) @ turn + centre - target).square().sum() >= best


def test_alignment_ignores_joints_that_do_not_count():
    pose, target = random_poses(), random_poses(seed=9)
    valid = torch.ones(len(pose), 17, dtype=torch.bool)
    valid[:, [3, 7]] = False
    wild = target.clone()
    wild[:, [3, 7]] = float("nan")
    kept = [j for j in range(17) if j not in (3, 7)]
    expected = similarity_align(pose[:, kept], target[:, kept])
    torch.testing.assert_close(similarity_align(pose, wild, valid)[:, kept], expected)


def test_alignment_has_finite_gradients_at_the_solution():
    target = random_poses(dtype=torch.float32)
    pose = target.clone().requires_grad_()
    similarity_align(pose, target).square().sum().backward()
    assert pose.grad.isfinite().all()


@pytest.mark.parametrize("name", ["h36m17", "smpl22"])
def test_bones_and_pose_are_inverse(name: str):
    skeleton = SKELETONS[name]
    pose = random_poses(joints=len(skeleton))
    root = pose[:, skeleton.root : skeleton.root + 1]
    torch.testing.assert_close(bones_to_pose(pose_to_bones(pose, skeleton), skeleton), pose - root)


def test_forward_kinematics_against_a_recursion():
    skeleton = SKELETONS["smpl22"]
    rotations = roma.random_rotmat((4, 22), dtype=torch.float64)
    offsets = random_poses(4, 22)
    positions, turned = forward_kinematics(rotations, offsets, skeleton)

    def world(n: int, joint: int) -> tuple[torch.Tensor, torch.Tensor]:
        parent = skeleton.parents[joint]
        if parent < 0:
            return offsets[n, joint], rotations[n, joint]
        place, turn = world(n, parent)
        return place + turn @ offsets[n, joint], turn @ rotations[n, joint]

    for n in range(4):
        for joint in range(22):
            place, turn = world(n, joint)
            torch.testing.assert_close(positions[n, joint], place)
            torch.testing.assert_close(turned[n, joint], turn)


def test_forward_kinematics_of_many_poses_is_that_of_each():
    """Also of one body for all, in any batch shape; and with gradients."""
    skeleton, generator = SKELETONS["smpl22"], torch.Generator().manual_seed(5)
    rotations = roma.special_gramschmidt(torch.randn(40, 30, 22, 3, 3, generator=generator, dtype=torch.float64))
    offsets = torch.randn(30, 22, 3, generator=generator, dtype=torch.float64)
    each = [forward_kinematics(part, offsets, skeleton) for part in rotations]
    for own in (offsets, offsets.expand(40, 30, 22, 3)):
        found = forward_kinematics(rotations, own, skeleton)
        for one, parts in zip(found, zip(*each, strict=True), strict=True):
            torch.testing.assert_close(one, torch.stack(parts), atol=1e-13, rtol=0)
    learning = offsets.clone().requires_grad_(True)
    placed, _ = forward_kinematics(rotations, learning, skeleton)
    assert torch.equal(placed, torch.stack([parts[0] for parts in each]))
    assert bool(torch.autograd.grad(placed.square().sum(), learning)[0].isfinite().all())


def test_forward_kinematics_keeps_bone_lengths():
    skeleton = SKELETONS["smpl22"]
    offsets = random_poses(1, 22)[0]
    positions, _ = forward_kinematics(roma.random_rotmat((10, 22), dtype=torch.float64), offsets, skeleton)
    expected = offsets[[child for child, _ in skeleton.bones]].norm(dim=-1).expand(10, -1)
    torch.testing.assert_close(bone_lengths(positions, skeleton), expected)


def test_height_does_not_depend_on_the_pose(standing: torch.Tensor):
    turns = roma.random_rotmat((5, 17))
    bones = pose_to_bones(standing, "h36m17")
    bent = bones_to_pose((turns @ bones.unsqueeze(-1)).squeeze(-1), "h36m17")
    torch.testing.assert_close(body_height(bent), body_height(standing).expand(5))
    assert 1.6 < float(body_height(standing)) < 1.75
    assert ANKLE_HEIGHT == 0.09


# Published columns of the bone matrix, in the 16-joint order of the reference (no pelvis).
_CHAIN = [
    (0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (7, 10), (10, 11), (11, 12), (7, 13), (13, 14),
    (14, 15), (0, 3), (0, 6), (3, 6),
]  # fmt: skip


def test_golden_3d_norm_and_chain_space():
    n = torch.arange(16, dtype=torch.float64)
    pose = torch.stack([100 * n.sin(), 300 * (0.5 * n).cos(), 50 * (2 * n).sin()], -1) / 1000
    normed = centre_pose(pose)
    golden = [[-0.012098, 0.072049, 0.078832], [-0.252936, -0.216211, -0.115027], [-0.000695, -0.046160, 0.037145]]
    np.testing.assert_allclose(normed[:3].T, golden, atol=1e-6)
    assert float(normed.square().sum()) == pytest.approx(0.812984, abs=1e-6)
    chain = kinematic_chain_space(normed, _CHAIN)
    assert float(chain.trace()) == pytest.approx(1.205920, abs=1e-6)
    assert float(chain.sum()) == pytest.approx(0.276101, abs=1e-6)
    assert float(chain[0, 1]) == pytest.approx(0.000499, abs=1e-6)
    assert float(chain[13, 14]) == pytest.approx(0.166411, abs=1e-6)


def test_chain_space_does_not_change_when_moved_or_turned():
    pose = random_poses()
    turn = roma.random_rotmat(dtype=torch.float64)
    pairs = SKELETONS["h36m17"].bones
    torch.testing.assert_close(kinematic_chain_space(pose @ turn.T + 1.0, pairs), kinematic_chain_space(pose, pairs))
    lengths = bone_lengths(pose, "h36m17")
    torch.testing.assert_close(kinematic_chain_space(pose, pairs).diagonal(dim1=-2, dim2=-1).sqrt(), lengths)
    assert math.isfinite(float(lengths.sum()))
