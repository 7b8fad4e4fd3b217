"""Numbers of clip posteriors, and what they are fitted on."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import poseterior as pp
from conftest import STANDING, made_up_store
from poseterior.data.observations import Observations
from poseterior.data.simulation.protocols import simulate
from poseterior.distributions.clip_errors import ClipErrors
from poseterior.evaluation.clip_errors import FEWEST, fit_clip_errors, fit_parts, simulated_clips
from poseterior.evaluation.clips import clips_in, measure_clips
from poseterior.geometry.kinematics import body_height, bone_lengths
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips import SMOOTHING
from poseterior.lifting.clips.frames import Frames
from poseterior.lifting.clips.gaussian import motion_gaussian, setting_of
from poseterior.lifting.clips.sizes import Sizes

H36M = SKELETONS["h36m17"]
COUNT = 20


def made_up_frames(
    shares: tuple[float, float, float], scale: float, clips: int
) -> tuple[list[Frames], list[Observations]]:
    """Frames whose errors are of these constant, slow and white shares, ``scale`` times what they say (2 cm)."""
    generator = torch.Generator().manual_seed(0)
    standing = torch.tensor([STANDING[joint] for joint in H36M.joints], dtype=torch.float64)
    deviation = 0.02
    frames, truths = [], []
    fade = math.exp(-(1 / 30) / 0.1)
    for number in range(clips):
        sway = 0.1 * torch.sin(torch.arange(COUNT) / 9.0 + number)[:, None, None]
        truth = standing * (1 + sway * torch.rand(17, 3, generator=generator))
        normal = torch.randn(COUNT, 48, generator=generator, dtype=torch.float64)
        slow = [torch.randn(48, generator=generator, dtype=torch.float64)]
        for fresh in normal[1:]:
            slow.append(fade * slow[-1] + math.sqrt(1 - fade**2) * fresh)
        constant = torch.randn(48, generator=generator, dtype=torch.float64)
        white = torch.randn(COUNT, 48, generator=generator, dtype=torch.float64)
        parts = zip(shares, (constant.expand(COUNT, 48), torch.stack(slow), white), strict=True)
        error = scale * deviation * sum(math.sqrt(share) * part for share, part in parts)
        keypoints = Keypoints2D(
            torch.rand(COUNT, 17, 2, generator=generator), ids=[PoseId(str(number), i, 0) for i in range(COUNT)]
        )
        frames.append(
            Frames(
                keypoints, 30.0, np.arange(COUNT) / 30, torch.ones(COUNT, dtype=torch.bool),
                torch.eye(3, dtype=torch.float64).expand(COUNT, 3, 3), truth[:, 1:].flatten(1) + error,
                (deviation**2 * torch.eye(48, dtype=torch.float64)).expand(COUNT, 48, 48),
                Sizes.known(COUNT, 48), None, {},
            )
        )  # fmt: skip
        ones = torch.ones(COUNT, 17, dtype=torch.bool)
        truths.append(Observations(keypoints, truth.float(), ones, torch.zeros(COUNT, 3), torch.zeros(COUNT).long()))
    return frames, truths


@pytest.mark.parametrize(("constant", "scale"), [(0.6, 1.0), (0.2, 2.0)])
def test_smoothed_coordinates_are_as_sure_as_they_should_be(constant, scale):
    """Fitted on some clips, the errors of others are as large as said, to a quarter; frames' own are not."""
    frames, truths = made_up_frames((constant, 0.2, 0.8 - constant), scale, clips=16)
    found = fit_parts(SMOOTHING, frames[:8], truths[:8])
    standard = []
    for frame, truth in zip(frames[8:], truths[8:], strict=True):
        gaussian, _ = motion_gaussian(frame, setting_of(frame, found))
        standard.append((truth.pose[:, 1:].flatten(1) - gaussian.mean) / gaussian.stddev)
    assert float(torch.cat(standard).square().mean().sqrt()) == pytest.approx(1.0, abs=0.25)


def test_simulated_clips_have_one_body_and_one_camera(tmp_path):
    clips = simulated_clips(made_up_store(tmp_path / "store"), 4, 20, seed=1)
    assert [len(clip.pose) for clip in clips] == [20] * 4
    for clip in clips:
        assert len(clip.root.unique(dim=0)) == 1
        assert len(clip.keypoints.intrinsics.unique(dim=0)) == 1
        # those of the made-up recordings change too: what is drawn is a factor
    hidden = [(~clip.keypoints.visible).float().mean(0).amax() for clip in clips]
    assert min(hidden[2], hidden[3]) > 0.3  # of both halves that are fitted, by turns
    assert clips[0].keypoints.height.isnan().all()
    assert float(clips[2].keypoints.height[0]) == pytest.approx(float(body_height(clips[2].pose).mean()), rel=0.06)
    with pytest.raises(pp.InputError, match="holds no clip of 100 frames at 30 frames a second"):
        simulated_clips(tmp_path / "store", 4, 100)


def test_too_few_clips(tmp_path):
    clips = simulated_clips(made_up_store(tmp_path / "store"), 4, 10)
    with pytest.raises(pp.InputError, match=f"clips: 4 to fit on; at least {FEWEST} are needed"):
        fit_clip_errors(SMOOTHING, pp.load("mdn"), clips)


def test_fitted_beside_the_weights(tmp_path):
    store = made_up_store(tmp_path / "store")
    parts = [simulated_clips(store, 8, 19, seed) for seed in range(3)]
    lifter = pp.load("mdn")
    found = fit_clip_errors(SMOOTHING, lifter, [clip for part in parts for clip in part], "made up")
    assert found.recalibration.description == "made up"
    assert found.recalibration.poses == 228
    lifter.clips = found
    lifter.save_pretrained(tmp_path / "mine")
    back = pp.load(tmp_path / "mine").clips
    assert back.across.scale == pytest.approx(found.across.scale, abs=1e-4)
    assert back.recalibration.angles is not None


def test_measured_beside_frames(tmp_path):
    data = simulate(made_up_store(tmp_path / "store"), "gaps", 80)
    lifter = pp.load("mdn")
    numbers = measure_clips(SMOOTHING, lifter, data, samples=20, errors=ClipErrors(), clips=3)
    clip, frames = numbers["clip"], numbers["frames"]
    assert clip["bone change"] < 0.01 < frames["bone change"]
    named = {
        "MPJPE", "P-MPJPE", "MPJVE", "energy score", "path energy score", "calibration", "velocity calibration",
        "held", "knee held", "knee width", "height held", "milliseconds a frame",
    }  # fmt: skip
    assert named <= set(clip) & set(frames)
    for share in ("held", "knee held", "height held", "missing: held"):
        assert 0 <= clip[share] <= 1


def test_frames_are_numbered_in_order(tmp_path):
    data = simulate(made_up_store(tmp_path / "store"), "cmu-motion", 150)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    shuffled = dataclasses.replace(
        data, observations=data.observations[order], action=tuple(data.action[i] for i in order),
        subject=tuple(data.subject[i] for i in order),
    )  # fmt: skip
    for clip in clips_in(shuffled):
        assert [identity.frame for identity in clip.observations.keypoints.ids] == list(range(50))
    names = {clip.name: clip.observations.pose for clip in clips_in(data)}
    for clip in clips_in(shuffled):
        assert torch.equal(clip.observations.pose, names[clip.name])


def test_a_moving_body_keeps_its_bones(tmp_path):
    """The protocol puts one person's body into every frame of a clip: factors on the recorded bones do not change."""
    store = made_up_store(tmp_path / "store")
    data, recorded = (simulate(store, name).observations for name in ("moving-body", "cmu-motion"))
    legs = [i for i, (child, _) in enumerate(H36M.bones) if "knee" in H36M.joints[child]]
    lengths = bone_lengths(data.pose, H36M)[:, legs]
    # a segment of the population is as long as drawn, whatever was recorded
    clip = torch.tensor([hash(identity.file) for identity in data.keypoints.ids])
    for number in clip.unique():
        own = lengths[clip == number]
        assert float(own.std(0).max()) < 1e-2 * float(own.mean())
    assert float(lengths.mean(1).std()) > 0.01
    assert len(recorded.pose) == len(data.pose)
