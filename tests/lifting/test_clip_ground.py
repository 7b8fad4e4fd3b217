"""The floor under a clip, and files that stand on it."""

import numpy as np
import pytest
import torch
from test_clip_root import path_of, walk
from test_lift_clip import COUNT, walker

import poseterior as pp
from poseterior.cli import main
from poseterior.geometry.kinematics import ANKLE_HEIGHT, ASSUMED_HEIGHT, body_height
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifting.clips.ground import ground_of

H36M = pp.SKELETONS["h36m17"]
FEET = [H36M.index("left_ankle"), H36M.index("right_ankle")]
PITCH = np.radians(-15.0)
#: From level axes (x right, y down, z ahead) to those of a camera that looks down by 15 degrees.
DOWN = torch.tensor([[1.0, 0, 0], [0, np.cos(PITCH), np.sin(PITCH)], [0, -np.sin(PITCH), np.cos(PITCH)]]).float()
UP = DOWN @ torch.tensor([0.0, -1.0, 0.0])


@pytest.fixture(scope="module")
def mdn():
    lifter = pp.load("mdn")
    lifter.clips = None
    return lifter


def strides(standing: torch.Tensor, steps: int = 6) -> torch.Tensor:
    """Somebody who walks on a level floor around a square, in a level camera's axes: (frames, 17, 3) metres.

    Each foot stands for ten frames in turn while the other swings half a metre; the camera is 1.5 m above the floor.
    """
    turns = torch.tensor([[0.05, 0.0, 0.0], [0.0, 0.0, 0.05], [-0.05, 0.0, 0.0]]).float()
    frames, feet = [], standing[FEET].clone()
    pelvis = torch.zeros(3)
    for step in range(steps):
        way = turns[step % 3]
        for _ in range(10):
            feet[step % 2] += way
            pelvis = pelvis + 0.5 * way
            pose = standing + pelvis
            pose[FEET] = feet
            frames.append(pose)
    poses = torch.stack(frames)
    lowest = standing[FEET[0], 1]
    return (
        poses
        + torch.tensor([0.0, 1.5 - ANKLE_HEIGHT * float(body_height(standing)) / ASSUMED_HEIGHT, 5.0])
        - (torch.tensor([0.0, 1.0, 0.0]) * lowest)
    )


def keypoints_of(count: int, **told) -> Keypoints2D:
    return Keypoints2D(torch.zeros(count, 17, 2), ids=[PoseId("walk.json", i, 0) for i in range(count)], **told)


def draws(placed: torch.Tensor, noise: float = 0.004) -> torch.Tensor:
    """Paths about these places, with an offset and a size of their own."""
    generator = torch.Generator().manual_seed(0)
    size = 1 + 0.01 * torch.randn(64, 1, 1, 1, generator=generator)
    return size * placed + noise * torch.randn(64, 1, 1, 3, generator=generator)


def test_the_plane_under_the_feet(standing):
    placed = draws(strides(standing) @ DOWN.T)
    found = ground_of(keypoints_of(60), placed, np.arange(60) / 30)
    angle = np.degrees(np.arccos(float(found.normal @ UP)))
    assert angle < 3.0
    assert found.tilt < 5.0
    assert found.height == pytest.approx(1.5, abs=0.12)
    assert found.pitch == pytest.approx(15.0, abs=3.0)
    assert found.misfit < 0.02
    assert found.frames == 60
    assert str(found).startswith(f"the camera is {found.height:.2f} m (± ")
    assert "looks down by" in str(found)


def test_a_foot_on_a_step_counts_less(standing):
    places = strides(standing)
    places[40:50, FEET] += torch.tensor([0.0, -0.3, 0.0])
    found = ground_of(keypoints_of(60), draws(places @ DOWN.T), np.arange(60) / 30)
    plain = ground_of(keypoints_of(60), draws(strides(standing) @ DOWN.T), np.arange(60) / 30)
    assert found.height == pytest.approx(plain.height, abs=0.1)


def test_what_has_no_floor_is_refused(standing):
    placed = draws(strides(standing) @ DOWN.T)
    times = np.arange(60) / 30
    visible = torch.ones(60, 17, dtype=torch.bool)
    visible[:, FEET] = False
    with pytest.raises(pp.InputError) as error:
        ground_of(keypoints_of(60, visible=visible), placed, times)
    assert str(error.value) == "ground: walk.json: the feet are never seen; leave --ground out, or show them"
    flying = placed + 0.2 * torch.arange(60.0)[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    with pytest.raises(pp.InputError) as error:
        ground_of(keypoints_of(60), flying, times)
    assert str(error.value) == (
        "ground: walk.json: the person never stands on a foot that is seen; leave --ground out, or give a part of the "
        "clip where they do"
    )
    lying = placed @ torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    with pytest.raises(pp.InputError, match="does not stand upright in the picture; turn the picture if the camera"):
        ground_of(keypoints_of(60), lying, times)


def test_files_stand_on_the_floor(mdn, standing, tmp_path):
    """With a camera that looks down, markers have y up from the floor: feet at ankle height, heads above."""
    places = strides(standing) @ DOWN.T
    poses = places - places[:, :1]
    clip = pp.lift_clip(mdn, walk(poses, places[:, 0]), fps=30).on_ground()
    assert clip.settings["ground"] == str(clip.floor)
    result = clip.result(samples=30)
    assert result.ground.shape == (60, 4)
    np.testing.assert_allclose(result.ground[0], clip.floor.plane.numpy())
    for name in ("clip.npz", "clip.json"):
        result.save(tmp_path / name)
        np.testing.assert_allclose(pp.load_result(tmp_path / name).ground, result.ground, atol=1e-6)
    result.save(tmp_path / "clip.trc")
    lines = (tmp_path / "clip.trc").read_text().splitlines()
    values = np.array([[float(cell) for cell in line.split("\t")[2:]] for line in lines[6:]]).reshape(60, 17, 3)
    ankles = values[:, FEET, 1]
    assert 0.0 < np.median(ankles) < 0.2
    assert (values[:, H36M.index("head_top"), 1] > 1.0).all()
    # nothing but axes: distances between joints are those of the poses
    camera = result.mean + result.root[:, None]
    np.testing.assert_allclose(
        np.linalg.norm(values[10] - values[40], axis=-1), np.linalg.norm(camera[10] - camera[40], axis=-1), atol=1e-5
    )
    motion = result.motion()
    assert motion.axes == "y up"
    pelvis = values[:, 0]
    # smpl22's pelvis is some centimetres above the middle of the hips
    np.testing.assert_allclose(motion.root[:, 1], pelvis[:, 1] + 0.06, atol=0.1)
    head = motion.points(motion.mean[:, None])[:, 0]
    assert float((head[..., 1].amax(-1) - head[..., 1].amin(-1)).median()) > 1.0


def test_without_a_clip_they_are_refused(tmp_path, capsys):
    import json

    xy = [[100 + 10 * i, 100 + 20 * i] for i in range(17)]
    (tmp_path / "pose.json").write_text(
        json.dumps({"joints": list(H36M.joints), "keypoints": xy, "image_size": [640, 480]})
    )
    for name in ("contacts", "ground"):
        assert main(["lift", str(tmp_path / "pose.json"), f"--{name}", "--clip", "off"]) != 0
        said = " ".join(capsys.readouterr().err.split())
        assert f"--{name}: is for clips that are lifted as a whole; add --clip on" in said


def test_on_the_command_line(standing, tmp_path, capsys):
    import json

    places = walker(standing) + path_of(COUNT)[:, None] + torch.tensor([0.0, 0.0, 1.0])
    intrinsics = torch.tensor([1200.0, 1200.0, 640.0, 480.0])
    xy = places[..., :2] / places[..., 2:] * intrinsics[:2] + intrinsics[2:]
    (tmp_path / "walk.json").write_text(
        json.dumps({"joints": list(H36M.joints), "keypoints": xy.tolist(), "image_size": [1280, 960], "fps": 30})
    )
    out = tmp_path / "walk.trc"
    told = ["lift", str(tmp_path / "walk.json"), "--clip", "on", "--samples", "20", "--out", str(out)]
    assert main([*told, "--focal", "1200", "--contacts", "--ground"]) == 0
    assert "ground: the camera is" in " ".join(capsys.readouterr().out.split())
    assert out.exists()
    assert main([*told, "--ground"]) != 0
    assert "the intrinsics of the camera are not known" in " ".join(capsys.readouterr().err.split())
