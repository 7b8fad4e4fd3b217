"""Long clips, lifted in windows: the motions of the whole, without seams, and files that grow."""

import math

import numpy as np
import pytest
import torch

import poseterior as pp
from poseterior.geometry.cameras import project
from poseterior.geometry.kinematics import bone_lengths
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips import lift_parts, parts_of, windows
from poseterior.lifting.clips.frame_noise import FrameNoise
from poseterior.lifting.clips.growing import ClipRun, lift_clips_to_file, why_not_growing
from poseterior.lifting.clips.windows import LongClip, in_windows
from poseterior.lifting.stream import How
from poseterior.results.growing import GrowingCsv, GrowingNpz, GrowingResult
from poseterior.results.poses import load_result

pytest.importorskip("pyarrow")
COUNT, FPS = 600, 30.0


@pytest.fixture(scope="module")
def mdn():
    return pp.load("mdn")


def walking(standing: torch.Tensor, count: int = COUNT, person: int = 0, away: float = 4.0) -> Keypoints2D:
    """Somebody who swings legs and arms, now faster, now slower; keypoints with 3 px of noise."""
    time = torch.arange(count) / FPS
    phase = 2 * math.pi * (time + 0.3 * (0.7 * time).sin())
    poses = standing.expand(count, 17, 3).clone()
    for name, reach in (("knee", 0.12), ("ankle", 0.25), ("elbow", 0.08), ("wrist", 0.2)):
        for side, sign in (("left", 1.0), ("right", -1.0)):
            sign = -sign if name in ("elbow", "wrist") else sign
            poses[:, pp.SKELETONS["h36m17"].index(f"{side}_{name}"), 2] += sign * reach * phase.sin()
    turn = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    intrinsics = torch.tensor([1200.0, 1200.0, 640.0, 480.0]).expand(count, 4)
    xy = project(poses @ turn.T + torch.tensor([0.2, 0.1, away]), intrinsics)
    xy = xy + 3.0 * torch.randn(xy.shape, generator=torch.Generator().manual_seed(person))
    ids = [PoseId("walk.json", row, person) for row in range(count)]
    covariance = (9.0 * torch.eye(2)).expand(count, 17, 2, 2)
    found = Keypoints2D(xy, covariance, intrinsics=intrinsics, image_size=(1280, 960), ids=ids)
    found.rates = {"walk.json": FPS}
    return found


@pytest.fixture
def short(monkeypatch):
    """Clips are long, and windows short."""
    monkeypatch.setattr(windows, "LONG", 200)
    monkeypatch.setattr(windows, "_CORE", 200)


def joined(clip: LongClip, samples: int):
    parts = list(clip.draws(samples, seed=1))
    assert [rows.start for rows, _ in parts[1:]] == [rows.stop for rows, _ in parts[:-1]]
    assert parts[0][0].start == 0
    assert parts[-1][0].stop == len(clip)
    return windows._joined([draws for _, draws in parts])


def acceleration(motions):
    return torch.diff(motions, n=2, dim=-3).norm(dim=-1).mean(-1)


def test_windows_are_the_whole_and_have_no_seams(mdn, standing, monkeypatch, short):
    keypoints = walking(standing)
    whole = pp.lift_clip(mdn, keypoints, FPS)
    clip = LongClip.of(mdn, keypoints, FPS)
    assert len(clip.windows()) == 3
    found = joined(clip, 40)
    monkeypatch.setattr(windows, "_CORE", COUNT)
    at_once = joined(clip, 40)  # one window, the same random numbers

    def apart(a, b):
        return 1000 * float((a - b).norm(dim=-1).median())

    assert apart(found.mean, at_once.mean) < 0.05
    assert apart(found.samples, at_once.samples) < 0.2
    assert apart(found.placed.samples, at_once.placed.samples) < 3.0
    assert apart(found.mean, whole.mean) < 1.5  # other random numbers behind the mean over bodies
    assert 1000 * float((found.region.radius - at_once.region.radius).abs().median()) < 0.5
    deviation = found.covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    other = whole.covariance.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt()
    assert 1000 * float((deviation - other).abs().median()) < 1.0

    at_seam = torch.zeros(COUNT - 2, dtype=torch.bool)
    for join in (200, 400):
        at_seam[join - 17 : join + 15] = True
    for ours, one in ((found.mean, at_once.mean), (found.samples, at_once.samples)):
        ours, one = (acceleration(motions).reshape(-1, COUNT - 2).mean(0) for motions in (ours, one))
        assert float(ours[at_seam].mean() / one[at_seam].mean()) < 1.03
        assert float((ours[at_seam] / one[at_seam]).max()) < 1.3
    path = torch.diff(found.placed.samples, n=2, dim=-2).norm(dim=-1).mean(0)
    assert float(path[at_seam].mean() / path[~at_seam].mean()) < 1.3

    lengths = bone_lengths(found.samples, "h36m17")
    assert float((lengths.amax(1) - lengths.amin(1)).max()) < 2e-6  # one body throughout
    assert float(lengths[:, 0].std(0).min()) > 1e-4
    monkeypatch.setattr(windows, "_CORE", 200)
    assert clip.settings["windows"] == "lifted in 3 windows that overlap and are faded into each other"
    assert clip.settings["clip errors"] == "of the lifter"


def test_results_that_grow_are_those_that_are_held_whole(mdn, standing, tmp_path, short):
    keypoints = Keypoints2D.cat([walking(standing, 420), walking(standing, 230, person=1, away=5.0)])
    keypoints.rates = {"walk.json": FPS}
    parts = parts_of(mdn, keypoints)
    assert not why_not_growing(keypoints, parts)
    whole = lift_parts(mdn, keypoints, parts, 4, seed=3)
    makers = {
        ".parquet": lambda path: GrowingResult(path, {}),
        ".npz": GrowingNpz,
        ".csv": lambda path: GrowingCsv(path, FPS),
    }
    for suffix, make in makers.items():
        path, expected = tmp_path / f"grown{suffix}", tmp_path / f"whole{suffix}"
        counts: list[tuple[int, int]] = []
        about = lift_clips_to_file(
            mdn, keypoints, parts, lambda make=make, path=path: make(path), ClipRun(How(4, 3)),
            lambda *poses, counts=counts: counts.append(poses),
        )  # fmt: skip
        assert counts[0] == (0, 650)
        assert counts[-1] == (650, 650) == (len(whole), len(whole))
        assert len(counts) == 4
        assert about.settings == whole.settings
        whole.save(expected)
        if suffix == ".csv":
            assert path.read_bytes() == expected.read_bytes()
            continue
        found, kept = load_result(path), load_result(expected)
        for name in ("samples", "mean", "region_radius", "root_samples", "frame", "person", "visible"):
            np.testing.assert_array_equal(getattr(found, name), getattr(kept, name))
        assert found.settings == kept.settings
        assert found.angle_calibration == kept.angle_calibration
        assert all(found.whole(rows) for rows in found.clips())


def test_only_long_clips_of_whom_somebody_is_seen_throughout(standing):
    keypoints = walking(standing, windows.LONG)
    assert in_windows(keypoints)
    assert not in_windows(keypoints[: windows.LONG - 1])
    visible = keypoints.visible.clone()
    visible[600:900] = False
    assert not in_windows(keypoints._replace(visible=visible))


def test_frames_have_random_numbers_of_their_own():
    key, frames = torch.tensor(7), torch.arange(10)
    whole = FrameNoise(1, key, frames, 2, (3, 4)).normal((5, 72), 1, torch.zeros(1))
    part = FrameNoise(1, key, frames[4:8], 2, (3, 4)).normal((5, 30), 1, torch.zeros(1))
    assert torch.equal(part[:, :2], whole[:, :2])
    assert torch.equal(part[:, 2:14], whole[:, 2:32].reshape(5, 10, 3)[:, 4:8].flatten(1))
    assert torch.equal(part[:, 14:], whole[:, 32:].reshape(5, 10, 4)[:, 4:8].flatten(1))
    with pytest.raises(ValueError, match="4 frames have other numbers"):
        FrameNoise(1, key, frames[4:8], 2, (3, 4)).normal((5, 31), 1, torch.zeros(1))
