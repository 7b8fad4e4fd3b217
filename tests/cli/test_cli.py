import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mocap_files import random_cmu_bvh

from conftest import SMALL
from poseterior.cli import main
from poseterior.results.poses import load_result

PLAIN = {
    "joints": ["RAnkle", "RKnee", "RHip", "LHip", "LKnee", "LAnkle", "RWrist", "RElbow", "RShoulder", "LShoulder",
               "LElbow", "LWrist", "Neck", "HeadTop"],
    "keypoints": [[66, 140], [64, 111], [55, 86], [40, 87], [35, 112], [37, 142], [50, 46], [65, 53], [55, 38],
                  [28, 42], [18, 60], [29, 40], [41, 40], [36, 19]],
    "image_size": [120, 160],
}  # fmt: skip


@pytest.fixture
def plain(tmp_path) -> Path:
    path = tmp_path / "person.json"
    path.write_text(json.dumps(PLAIN))
    return path


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys, *arguments: object) -> str:
    """Run a command that must fail: exit code 2, one message, no traceback."""
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("poseterior: error: ")
    assert "Traceback" not in err
    return err.removeprefix("poseterior: error: ").strip()


# -- lightness ---------------------------------------------------------------------------------------------


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_import_is_light():
    code = (
        "import sys, poseterior; print([m for m in ('torch', 'lightning', 'viser', 'matplotlib') if m in sys.modules])"
    )
    assert python(code) == "[]"


def test_lifting_needs_neither_trainer_nor_viewer():
    code = (
        "import sys, poseterior as pp; pp.load('mdn')(pp.example_keypoints()).sample((2,)); "
        "print([m for m in ('lightning', 'viser', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    assert python(code) == "[]"


def test_help_imports_no_torch():
    code = (
        "import sys\ntry:\n    from poseterior.cli import main; main(['lift', '--help'])\nexcept SystemExit: pass\n"
        "print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert python(code).splitlines()[-1] == "False False"


def test_version(capsys):
    assert run(capsys, "--version")[1].startswith("poseterior 0.")


def test_every_public_name_exists():
    import poseterior as pp

    for name in pp.__all__:
        assert getattr(pp, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pp.nothing


# -- lift --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["npz", "parquet", "json"])
def test_lift_writes_each_container(capsys, plain, tmp_path, extension):
    out = tmp_path / f"poses.{extension}"
    code, text, _ = run(capsys, "lift", plain, "--samples", 7, "--out", out)
    assert code == 0
    assert "90 % radius, mm" in text
    assert "(calibrated)" in text
    assert "metres from the pelvis" in text
    result = load_result(out)
    assert result.mean.shape == (1, 17, 3)
    assert result.lifter == "mdn"
    assert result.units == "metres"
    if extension != "json":
        assert result.samples.shape == (1, 7, 17, 3)
        assert np.isfinite(result.log_prob).all()
    assert result.visible.sum() == 17
    assert "55 degrees assumed" in result.settings["camera"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["person.json", out.name] or extension == "json"


def test_json_with_samples_when_asked(capsys, plain, tmp_path):
    run(capsys, "lift", plain, "--samples", 5, "--out", tmp_path / "a.json", "--json-samples")
    assert np.asarray(json.loads((tmp_path / "a.json").read_text())["samples"]).shape == (1, 5, 17, 3)


def test_same_seed_same_file(capsys, plain, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(capsys, "lift", plain, "--samples", 5, "--seed", seed, "--out", tmp_path / f"{name}.npz")
    a, b, c = (load_result(tmp_path / f"{n}.npz").samples for n in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_height_fixes_the_scale(capsys, plain, tmp_path):
    import torch

    from poseterior.geometry.kinematics import body_height

    heights = {}
    for tall in (1.55, 1.95):
        run(capsys, "lift", plain, "--height", tall, "--out", tmp_path / "a.npz")
        result = load_result(tmp_path / "a.npz")
        assert "height given for 1 of 1" in result.settings["scale"]
        heights[tall] = body_height(torch.from_numpy(result.samples[0])).median()
    assert heights[1.95] > 1.12 * heights[1.55]


@pytest.mark.parametrize("option", ["focal", "camera", "K"])
def test_cameras(capsys, plain, tmp_path, option):
    camera = tmp_path / "camera.json"
    if option == "K":
        camera.write_text(json.dumps({"K": [[150, 0, 60], [0, 150, 80], [0, 0, 1]]}))
    else:
        camera.write_text(json.dumps({"fx": 150, "fy": 150, "cx": 60, "cy": 80}))
    given = ["--focal", 150] if option == "focal" else ["--camera", camera]
    run(capsys, "lift", plain, *given, "--samples", 5, "--out", tmp_path / "a.npz")
    assert load_result(tmp_path / "a.npz").settings["camera"] == "intrinsics given for 1 of 1 pose"


def test_several_files_and_frames(capsys, plain, tmp_path):
    np.save(tmp_path / "clip.npy", 100 * np.random.default_rng(0).random((6, 34)))
    code, text, _ = run(
        capsys, "lift", plain, tmp_path / "clip.npy", "--skeleton", "h36m17", "--samples", 3,
        "--out", tmp_path / "r.parquet",
    )  # fmt: skip
    assert code == 0
    assert "... and 4 more poses" in text
    result = load_result(tmp_path / "r.parquet")
    assert len(result.mean) == 7
    assert result.frame.tolist() == [0, 0, 1, 2, 3, 4, 5]


def test_thousand_people(capsys, tmp_path):
    xy = 400 + 100 * np.random.default_rng(0).random((1000, 17, 2))
    np.save(tmp_path / "crowd.npy", xy)
    start = time.perf_counter()
    code, _, _ = run(
        capsys, "lift", tmp_path / "crowd.npy", "--skeleton", "coco17", "--out", tmp_path / "crowd.npz"
    )  # fmt: skip
    assert code == 0
    assert load_result(tmp_path / "crowd.npz").samples.shape == (1000, 200, 17, 3)
    assert time.perf_counter() - start < 120


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--lifter", "best"],
            "best: is neither a folder nor a shipped lifter; shipped lifters: flow, mdn, relative, "
            "rotations, supervised, unsupervised",
        ),
        (["--samples", "-1"], "--samples: expected at least 0, got -1"),
        (["--out", "poses.xlsx"], "--out poses.xlsx: unknown extension '.xlsx'; use one of: .npz, .parquet, .json"),
        (["--view", "poses.png"], "--view poses.png: unknown extension '.png'; use one of: .html"),
        (["--camera", "none.json"], "--camera none.json: no such file"),
        (["--focal", "100", "--camera", "c.json"], "--focal and --camera: give one of the two"),
        (["--height", "9"], "--height: expected 0.3 to 3 metres, got 9"),
        (["--device", "warp"], "--device warp: not usable here"),
        (["--format", "xml"], "--format: unknown format 'xml'; known: auto"),
        (["--skeleton", "cat"], "--skeleton: unknown skeleton 'cat'; known: h36m17"),
        (["--out", "a.bvh", "--rig", "cat"], "--rig: unknown rig 'cat'; shipped: asf"),
    ],
)
def test_refusals(capsys, plain, arguments, message):
    assert refused(capsys, "lift", plain, *arguments).startswith(message)


def test_focal_without_image_size(capsys, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((1, 34)) * 100)
    text = refused(capsys, "lift", tmp_path / "a.npy", "--skeleton", "h36m17", "--focal", 100)
    assert text == "--focal: the image size is not known; pass --image-size WIDTH HEIGHT too"


def test_nothing_half_written(capsys, plain, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    refused(capsys, "lift", tmp_path / "none.json", "--out", folder / "a.npz", "--view", folder / "a.html")
    refused(capsys, "lift", plain, "--samples", 2, "--out", tmp_path / "no" / "such" / "folder" / "a.npz")
    assert list(folder.iterdir()) == []


# -- the rest ------------------------------------------------------------------------------------------------


def test_demo(capsys, tmp_path):
    code, text, _ = run(capsys, "demo", "--out", tmp_path / "demo", "--samples", 20)
    assert code == 0
    names = sorted(p.name for p in (tmp_path / "demo").iterdir())
    assert names == ["poses.parquet", "scene.html", "summary.png"]
    assert "not seen: " in text
    assert "poseterior lift keypoints.json" in text
    assert (tmp_path / "demo" / "summary.png").read_bytes().startswith(b"\x89PNG")
    assert len(load_result(tmp_path / "demo" / "poses.parquet").mean) >= 3


def test_view_writes_page_and_picture(capsys, plain, tmp_path):
    run(capsys, "lift", plain, "--samples", 5, "--out", tmp_path / "a.npz")
    code, text, _ = run(capsys, "view", tmp_path / "a.npz", "--html", tmp_path / "a.html", "--png", tmp_path / "a.png")
    assert code == 0
    assert "<html" in (tmp_path / "a.html").read_text()[:2000].lower()
    assert (tmp_path / "a.png").exists()
    assert "not ours" not in text
    assert "no such file" in refused(capsys, "view", tmp_path / "b.npz").lower()


def test_lifters_are_listed(capsys):
    code, text, _ = run(capsys, "lifters")
    assert code == 0
    assert "mdn" in text


def test_data_train_and_evaluate(capsys, tmp_path):
    """A stranger's path on files of their own: BVH -> store -> observations; train; evaluate."""
    (tmp_path / "mocap").mkdir()
    for seed, name in enumerate(("walk_1", "jump_1")):
        (tmp_path / "mocap" / f"{name}.bvh").write_text(random_cmu_bvh(40, seed)[0])
    store = tmp_path / "store"
    code, text, _ = run(capsys, "data", "import", "bvh", tmp_path / "mocap", "--out", store)
    assert code == 0, text
    code, text, _ = run(capsys, "data", "inspect", store, "--png", tmp_path / "store.png")
    assert code == 0
    assert "hours" in text.lower()
    assert (tmp_path / "store.png").exists()
    observations = tmp_path / "o.parquet"
    code, _, _ = run(capsys, "data", "simulate", store, "--protocol", "cmu-test", "--out", observations)
    assert code == 0
    code, text, _ = run(
        capsys, "train", "mdn", *SMALL, f"data={store}", "steps=3", "data.validation=0.5",
        "--out", tmp_path / "run", "--quiet", "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    weights = tmp_path / "run" / "weights"
    code, text, _ = run(
        capsys, "evaluate", weights, "--data", observations, "--samples", 10, "--mode-poses", 3, "--out",
        tmp_path / "metrics.json",
    )  # fmt: skip
    assert code == 0
    assert "calibration error" in text
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["estimates"]["mean"]["P-MPJPE"] <= metrics["estimates"]["mean"]["MPJPE"]
    assert set(metrics["published"]["P1"]["per action"]) == {"walk", "jump"}
    assert 0 <= metrics["calibration"]["visible"]["mean"] <= 0.5
    assert "already" in refused(capsys, "data", "import", "bvh", tmp_path / "mocap", "--out", store).lower()
    assert "unknown protocol" in refused(capsys, "data", "simulate", store, "--protocol", "moon", "--out", observations)
    assert "no such file" in refused(capsys, "evaluate", "mdn", "--data", tmp_path / "none.parquet")


def test_a_closed_pipe_is_no_error(plain):
    command = f"{sys.executable} -m poseterior lift {plain} --samples 2 | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_help_into_a_closed_pipe_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-u", "-m", "poseterior", "lift", "--help"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert "Traceback" not in done.stderr
