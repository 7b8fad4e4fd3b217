import subprocess
import sys

import numpy as np
import pytest
import tyro

from poseterior.cli import main
from poseterior.cli.heatmaps import Heatmaps
from poseterior.files.errors import InputError
from poseterior.results.poses import load_result


def heatmaps(*arguments: object) -> None:
    """Parse and run ``poseterior heatmaps ...``."""
    tyro.cli(Heatmaps, args=[*map(str, arguments)]).run()


@pytest.fixture
def maps() -> np.ndarray:
    """Heatmaps of two standing people, h36m17: round peaks, a wide one at a wrist, and an ankle without any."""
    person = np.array(
        [[32, 32], [28, 32], [28, 42], [27, 54], [36, 32], [37, 43], [37, 54], [32, 26], [32, 20], [32, 16],
         [32, 11], [38, 20], [41, 27], [42, 34], [26, 20], [23, 27], [22, 34]],
        dtype=float,
    )  # fmt: skip
    y, x = np.mgrid[:64, :64]
    squared = (x - person[:, 0, None, None]) ** 2 + (y - person[:, 1, None, None]) ** 2
    sigma = np.where(np.arange(17) == 16, 4.0, 2.0)[:, None, None]
    one = 0.9 * np.exp(-squared / sigma**2 / 2)
    two = one.copy()
    two[3] = 0.0
    return np.stack([one, two]).astype(np.float32)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_heatmaps_to_poses(capsys, tmp_path, maps, suffix):
    source, out, poses = tmp_path / "maps.npz", tmp_path / f"keypoints{suffix}", tmp_path / "poses.npz"
    np.savez(source, heatmaps=maps, boxes=np.array([100, 50, 356, 306]), image_size=np.array([640, 480]))
    heatmaps("fit", source, "--skeleton", "h36m17", "--out", out)
    said = capsys.readouterr().out
    assert "34 heatmaps of 2 poses, 1 failed" in said
    assert "heatmaps per second" in said
    failures = [line.split("│")[1:3] for line in said.splitlines() if "right_ankle" in line]
    assert [[cell.strip() for cell in row] for row in failures] == [["right_ankle", "1"]]
    following = [line for line in said.splitlines() if line.startswith("next: poseterior ")]
    arguments = following[0].removeprefix("next: poseterior ").split()
    assert (arguments[-2:] == ["--skeleton", "h36m17"]) == (suffix == ".npz")

    assert main([*arguments, "--samples", "4", "--out", str(poses)]) == 0
    result = load_result(poses)
    assert result.visible.all(1).tolist() == [True, False]
    assert result.image_size.tolist() == [[640.0, 480.0]] * 2
    # the box is 4 px a heatmap pixel: standard deviations of 8 and 16 px
    np.testing.assert_allclose(result.keypoint_covariance[0, 0], 64 * np.eye(2), atol=0.1)
    np.testing.assert_allclose(result.keypoint_covariance[0, 16], 256 * np.eye(2), atol=0.4)
    np.testing.assert_allclose(result.keypoints[0, 0], [100 + 4 * 32.5, 50 + 4 * 32.5], atol=0.05)


def test_joint_names_tell_the_order(capsys, tmp_path, maps):
    names = ["Hip", "RHip", "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "Spine", "Thorax", "neck_nose", "HeadTop",
             "LSho", "LElb", "LWri", "RSho", "RElb", "RWri"]  # fmt: skip
    np.savez(tmp_path / "maps.npz", heatmaps=maps, joint_names=np.array(names))
    heatmaps("fit", tmp_path / "maps.npz", "--out", tmp_path / "out.json", "--target-sigma", "2")
    said = capsys.readouterr().out
    assert "keypoints are in heatmap pixels" in said
    assert main(["lift", str(tmp_path / "out.json"), "--samples", "4"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "out.csv"], "--out .*out.csv: unknown extension '.csv'; use one of: .json, .npz"),
        (["--out", "out.json"], "maps.npz: 17 joints may be h36m17 or coco17 or mpi17: pass --skeleton"),
        (["--out", "out.json", "--skeleton", "man"], "unknown skeleton 'man'; known: h36m17"),
        (["--out", "out.json", "--skeleton", "mpii16"], "has 17 joints; skeleton 'mpii16' has 16"),
        (
            ["--out", "out.json", "--skeleton", "coco17", "--target-sigma", "-1"],
            "target_sigma: expected heatmap pixels, 0 or more, got -1.0",
        ),
    ],
)
def test_bad_input_leaves_no_file(tmp_path, monkeypatch, maps, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "maps.npz", heatmaps=maps)
    with pytest.raises(InputError, match=message):
        heatmaps("fit", "maps.npz", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["maps.npz"]


def test_the_command_is_light():
    code = "import sys, poseterior.cli.heatmaps; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
