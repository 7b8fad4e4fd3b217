"""The path of the pelvis before a steady camera."""

import numpy as np
import pytest
import torch
from test_lift_clip import COUNT, seen, walker

import poseterior as pp
from poseterior.geometry.cameras import project
from poseterior.geometry.kinematics import body_height
from poseterior.geometry.skeletons import Skeleton
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.keypoints.view import solve_root
from poseterior.lifting.clips import lift_clips
from poseterior.lifting.clips.chain import Chain, Steps
from poseterior.lifting.clips.contacts import feet_of, still_feet
from poseterior.lifting.clips.root import root_path, with_contacts

H36M = pp.SKELETONS["h36m17"]
FEET = (H36M.index("left_ankle"), H36M.index("right_ankle"))


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def path_of(count: int) -> torch.Tensor:
    """From one side to the other and away, 1 m/s and more, with the sway of steps: (count, 3) metres."""
    t = torch.arange(count) / 30.0
    return torch.stack([t - 0.4, 0.1 + 0.02 * (9 * t).sin(), 4.0 + 0.8 * t], -1)


def walk(poses: torch.Tensor, root: torch.Tensor, hidden: tuple[int, ...] = (), **told) -> Keypoints2D:
    """Keypoints with 3 px of noise."""
    intrinsics = torch.tensor([1200.0, 1200.0, 640.0, 480.0]).expand(len(poses), 4)
    xy = project(poses + root[:, None], intrinsics)
    xy = xy + 3.0 * torch.randn(xy.shape, generator=torch.Generator().manual_seed(1))
    visible = torch.ones(len(poses), 17, dtype=torch.bool)
    visible[list(hidden)] = False
    ids = [PoseId("walk.json", row, 0) for row in range(len(poses))]
    camera = {"intrinsics": intrinsics, "image_size": (1280, 960)} | told
    return Keypoints2D(xy, (9.0 * torch.eye(2)).expand(len(poses), 17, 2, 2), visible, ids=ids, **camera)


def dense(diagonal: np.ndarray, below: np.ndarray) -> np.ndarray:
    count, n = diagonal.shape[:2]
    whole = np.zeros((count, n, count, n))
    for t in range(count):
        whole[t, :, t] = diagonal[t]
        if t:
            whole[t, :, t - 1], whole[t - 1, :, t] = below[t - 1], below[t - 1].T
    return whole.reshape(count * n, count * n)


def test_a_chain_is_the_dense_gaussian():
    rng = np.random.default_rng(0)
    blocks = rng.standard_normal((5, 4, 9))
    diagonal = blocks @ blocks.swapaxes(-1, -2) + 5 * np.eye(4)
    below = rng.standard_normal((4, 4, 4))
    right = rng.standard_normal((5, 4, 3))
    whole, chain = dense(diagonal, below), Chain(diagonal, below)
    np.testing.assert_allclose(chain.log_determinant, np.linalg.slogdet(whole)[1], rtol=1e-12)
    expected = np.linalg.solve(whole, right.reshape(20, 3)).reshape(5, 4, 3)
    np.testing.assert_allclose(chain.solved(right), expected, rtol=1e-9, atol=1e-12)
    norm = (right * expected).sum()
    np.testing.assert_allclose(np.square(chain.whitened(right)).sum(), norm, rtol=1e-9)


def test_steps_are_an_integrated_wiener_process():
    """The covariance by recursion (Särkkä 2013, example 4.3), for uneven frames; draws have it too."""
    steps = Steps(np.array([0.1, 0.3, 0.05]), np.array(2.0))
    state = np.diag([20.0**2, 2.0**2])
    covariance = [state]
    for dt in steps.seconds:
        step = np.array([[1, dt], [0, 1]])
        state = step @ state @ step.T + 2.0 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        covariance.append(state)
    found = np.linalg.inv(dense(*steps.blocks)).reshape(4, 2, 3, 4, 2, 3)
    for t in range(4):
        for axis in range(3):
            np.testing.assert_allclose(found[t, :, axis, t, :, axis], covariance[t], rtol=1e-6, atol=1e-6)
    assert np.abs(found[:, :, 0, :, :, 1]).max() < 1e-6
    normal = np.random.default_rng(0).standard_normal((4, 3, 2, 40000))
    right = steps.draw(normal).reshape(24, -1)
    precision = dense(*steps.blocks)
    size = np.sqrt(np.diagonal(precision))
    np.testing.assert_allclose(
        right @ right.T / 40000 / np.outer(size, size), precision / np.outer(size, size), atol=0.03
    )


def test_smoother_and_nearer_than_frames(mdn, standing):
    poses, root = walker(standing), path_of(COUNT)
    keypoints = walk(poses, root)
    clip = pp.lift_clip(mdn, keypoints, fps=30)
    frames = solve_root(mdn(keypoints).mean, keypoints)

    def shaken(path):
        return float((path - root).diff(n=2, dim=0).norm(dim=-1).mean())

    assert shaken(clip.root.mean) < 0.15 * shaken(frames)
    assert (clip.root.mean - root).norm(dim=-1).mean() < 1.05 * (frames - root).norm(dim=-1).mean()
    _, paths = clip.sample_placed(200, seed=1)
    spread = torch.einsum("kti,ktj->tij", paths - paths.mean(0), paths - paths.mean(0)) / 200
    ratio = spread.diagonal(dim1=1, dim2=2).sum(-1) / clip.root.covariance.diagonal(dim1=1, dim2=2).sum(-1)
    assert 0.5 < float(ratio.mean()) < 2.0
    torch.testing.assert_close(paths.mean(0), clip.root.mean, atol=0.1, rtol=0)


def test_intervals_hold_what_they_say(standing):
    """Motions whose size is off by 3 %, and by 1 % more for a while, one of them the truth: 40 clips."""
    count, generator = 60, torch.Generator().manual_seed(5)
    poses, root = standing.expand(count, 17, 3), path_of(count)
    held = []
    for _ in range(40):
        size = 1 + 0.03 * torch.randn(101, 1, generator=generator)
        slow = torch.randn(101, count, generator=generator)
        for frame in range(1, count):
            slow[:, frame] = 0.8 * slow[:, frame - 1] + 0.6 * slow[:, frame]
        motions = (size + 0.01 * slow)[..., None, None] * poses
        truth, motions = motions[0], motions[1:]
        keypoints = walk(truth, root)
        noise = torch.randn(keypoints.xy.shape, generator=generator)
        keypoints = keypoints._replace(xy=project(truth + root[:, None], keypoints.intrinsics) + 3 * noise)
        path = root_path(
            keypoints, np.arange(count) / 30, np.ones(count), motions,
            lambda path: torch.randn(100, path.numbers, generator=generator),
        )  # fmt: skip
        drawn = path.of(motions, torch.randn(100, path.numbers, generator=generator))
        low, high = drawn.quantile(0.05, 0), drawn.quantile(0.95, 0)
        held.append(((low <= root) & (root <= high)).float().mean(0))
        assert 0.05 < path.density < 30
    # across the ray, which the keypoints tell, and along it, which the size does
    share = torch.stack(held).mean(0)
    assert float(share[1]) == pytest.approx(0.9, abs=0.04)
    assert float(share[2]) == pytest.approx(0.88, abs=0.06)


def test_a_path_belongs_to_its_motion(mdn, standing):
    """A larger body goes farther away, through the whole clip; in the picture all are where the keypoints are."""
    poses, root = walker(standing), path_of(COUNT)
    keypoints = walk(poses, root)
    clip = pp.lift_clip(mdn, keypoints, fps=30)
    motions, paths = clip.sample_placed(100, seed=3)
    assert torch.equal(motions, clip.sample(100, seed=3))
    tall, far = body_height(motions).mean(1), paths[..., 2]
    for frame in (0, COUNT - 1):
        assert float(torch.corrcoef(torch.stack([tall, far[:, frame]]))[0, 1]) > 0.6
    pixels = project(motions + paths.unsqueeze(-2), keypoints.intrinsics)
    gap = (pixels - keypoints.xy).mean(-2).norm(dim=-1)
    assert float(gap.mean()) < 4.0
    again = clip.sample_placed(30, seed=3)
    assert torch.equal(again[1], paths[:30])
    assert not torch.equal(clip.sample_placed(30, seed=4)[1], again[1])


def test_missing_frames_get_wide(mdn, standing):
    hidden = tuple(range(6, 18))
    clip = pp.lift_clip(mdn, walk(walker(standing), path_of(COUNT), hidden), fps=30)
    up = clip.root.covariance[:, 1, 1]
    whole = pp.lift_clip(mdn, walk(walker(standing), path_of(COUNT)), fps=30).root.covariance[:, 1, 1]
    assert float(up[11]) > 1.2 * float(whole[11])
    assert float(up[2]) < 1.5 * float(whole[2])
    assert bool(clip.root.mean.isfinite().all())
    alone = pp.lift_clip(mdn, walk(walker(standing), path_of(COUNT))[4:5], fps=30)
    assert alone.root.mean.shape == (1, 3)
    assert alone.sample_placed(3)[1].shape == (3, 1, 3)


def test_without_a_camera_it_is_refused(mdn, standing):
    unknown = torch.full((COUNT, 4), torch.nan)
    clip = pp.lift_clip(mdn, walk(walker(standing), path_of(COUNT), intrinsics=unknown), fps=30)
    with pytest.raises(pp.InputError) as error:
        clip.sample_placed(3)
    assert str(error.value) == (
        "root: walk.json: the intrinsics of the camera are not known, so that nobody can say where the person is; give "
        "them with keypoints.with_camera(intrinsics=...), or --camera or --focal"
    )
    result = clip.result(samples=5)
    assert np.isnan(result.root).all()
    assert result.root_samples is None
    assert "root" not in result.settings
    with pytest.raises(pp.InputError, match=r"^root: walk\.json: the intrinsics of the camera are not known"):
        pp.lift_clip(mdn, walk(walker(standing), path_of(COUNT), intrinsics=unknown), fps=30, contacts=True)


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".json"])
def test_results_keep_the_path(mdn, standing, tmp_path, suffix):
    clip = pp.lift_clip(mdn, walk(walker(standing), path_of(COUNT)), fps=30)
    result = clip.result(samples=40, seed=2)
    motions, paths = clip.sample_placed(40, seed=2)
    np.testing.assert_allclose(result.root, clip.root.mean.numpy(), atol=1e-6)
    everywhere = (motions + paths.unsqueeze(-2)).transpose(0, 1).numpy()
    np.testing.assert_allclose(result.absolute_samples(), everywhere, atol=1e-5)
    mean, covariance = result.absolute()
    np.testing.assert_allclose(mean, everywhere.mean(1), atol=1e-5)
    np.testing.assert_allclose(covariance[3, 5], np.cov(everywhere[3, :, 5].T), rtol=1e-3)
    result.save(tmp_path / f"clip{suffix}")
    back = pp.load_result(tmp_path / f"clip{suffix}")
    np.testing.assert_allclose(back.root, result.root, atol=1e-6)
    assert back.settings["root"] == "a smoothed path before a camera that stands still"
    # what is written of what was read is on the path too
    back.save(tmp_path / "back.trc")
    result.save(tmp_path / "clip.trc")
    rows = [(tmp_path / name).read_text().splitlines()[6:] for name in ("back.trc", "clip.trc")]
    assert rows[0] == rows[1]
    pelvis = np.array([[float(cell) for cell in row.split("\t")[2:5]] for row in rows[0]])
    np.testing.assert_allclose(pelvis, result.root[:, [2, 1, 0]] * [1, -1, 1], atol=1e-5)
    part = back[np.arange(4)]
    assert part.root_samples.shape[0] == 4


def test_several_clips_with_and_without_a_camera(mdn, standing):
    unknown = torch.full((COUNT, 4), torch.nan)
    first = walk(walker(standing), path_of(COUNT))
    second = walk(walker(standing), path_of(COUNT), intrinsics=unknown)
    second = second._replace(ids=[PoseId("other.json", row, 0) for row in range(COUNT)])
    result = lift_clips(mdn, Keypoints2D.cat([first, second]), samples=10, fps=30.0)
    assert np.isfinite(result.root[:COUNT]).all()
    assert np.isnan(result.root[COUNT:]).all()
    assert result.ground is None
    absolute = result.absolute()[0]
    assert np.isfinite(absolute[:COUNT]).all()


def test_a_place_that_does_not_fit_counts_less(mdn, standing):
    poses, root = walker(standing), path_of(COUNT)
    right = pp.lift_clip(mdn, walk(poses, root), fps=30)
    keypoints = walk(poses, root)
    xy = keypoints.xy.clone()
    xy[10] += 60.0  # the whole person, by 20 cm
    clip = pp.lift_clip(mdn, keypoints._replace(xy=xy), fps=30)
    assert clip.root.weight.argmin() == 10
    assert clip.root.weight[10] < 0.2
    assert float((clip.root.mean - right.root.mean)[10, :2].norm()) < 0.05


def test_still_feet_are_found(standing):
    generator = torch.Generator().manual_seed(0)
    time = torch.arange(30) / 30.0
    places = standing.expand(64, 30, 17, 3) + torch.tensor([0.0, 0.0, 4.0])
    places = places + 0.05 * torch.randn(64, 1, 1, 3, generator=generator)
    places = places + 0.001 * torch.randn(places.shape, generator=generator)
    moving = places.clone()
    moving[:, :, FEET[1], 0] += 1.5 * time
    found = still_feet(moving, np.full(29, 1 / 30), FEET)
    assert found.probability[:, 0].min() > 0.9
    assert found.probability[:, 1].max() == 0


def test_standing_feet_hold_the_pelvis(standing):
    """Who stands on both feet and sways does not slide, though keypoints 12 px off tell little of the pelvis."""
    count, generator = 60, torch.Generator().manual_seed(2)
    sway = torch.stack([0.1 * (2 * torch.arange(count) / 30).sin(), torch.zeros(count), torch.zeros(count)], -1)
    poses = standing.expand(count, 17, 3).clone()
    poses[:, list(FEET)] -= sway[:, None]
    root = torch.tensor([0.0, 0.1, 4.0]) + sway
    keypoints = walk(poses, root)
    xy = keypoints.xy + 12.0 * torch.randn(keypoints.xy.shape, generator=generator)
    keypoints = keypoints._replace(xy=xy, covariance=17.0 * keypoints.covariance)
    motions = (1 + 0.02 * torch.randn(64, 1, 1, 1, generator=generator)) * poses

    def normal(path):
        return torch.randn(64, path.numbers, generator=generator)

    free = root_path(keypoints, np.arange(count) / 30, np.ones(count), motions, normal)
    still = still_feet(motions + free.of(motions, normal(free)).unsqueeze(-2), np.full(count - 1, 1 / 30), FEET)
    held = with_contacts(free, still, motions, normal)
    assert still.probability.mean() > 0.5
    assert held.numbers == count * 9 + (count - 1) * 6
    skate = [float((poses[:, FEET[0]] + path.mean).diff(dim=0)[:, :2].norm(dim=-1).mean()) for path in (free, held)]
    assert skate[1] < 0.85 * skate[0]
    away = [float((path.mean - root)[:, :2].norm(dim=-1).mean()) for path in (free, held)]
    assert away[1] < 1.1 * away[0]
    assert held.covariance[:, 0, 0].mean() < free.covariance[:, 0, 0].mean()


def test_other_skeletons_have_no_contacts():
    with pytest.raises(
        pp.InputError, match=r"^contacts: skeleton 'stick' has no ankles; leave --contacts and --ground"
    ):
        feet_of(Skeleton("stick", ("pelvis", "head"), (-1, 0)))


def test_steady_person_of_the_other_tests(mdn, standing):
    """Somebody who walks on the spot stays there."""
    clip = pp.lift_clip(mdn, seen(walker(standing)), fps=30)
    assert clip.root.density < 0.01
    assert float(clip.root.mean.std(0)[:2].norm()) < 0.02
