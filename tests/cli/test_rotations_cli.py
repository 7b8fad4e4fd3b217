"""`poseterior ik`, `poseterior prior` and motions of `poseterior lift`, with a tiny lifter that has learned nothing."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.figure import Figure
from PIL import Image

import poseterior as pp
from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.mocap.amass import read_amass
from poseterior.data.mocap.bvh import read_bvh
from poseterior.files import lifter_folders
from poseterior.files.errors import InputError
from poseterior.geometry.body import H36M_POINTS, body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS, canonical_joint_name
from poseterior.keypoints.points3d import Points3D, read_points
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.lifting.prior import sample_prior
from poseterior.results.poses import load_result
from poseterior.view.sheets import contact_sheet

TINY = RotationConfig(width=16, blocks=1, context=8, trunk=8, layers=1, segments=2, hidden=4)
H36M, SMPL = SKELETONS["h36m17"], SKELETONS["smpl22"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "weights"
    RotationLifter(TINY).save_pretrained(folder, {"name": "tiny"})
    return folder


@pytest.fixture
def shipped(weights, tmp_path, monkeypatch) -> None:
    """As if the tiny lifter shipped under the name that the commands take by default."""
    folder = tmp_path / "shipped"
    shutil.copytree(lifter_folders._WEIGHTS / "mdn", folder / "mdn")
    shutil.copytree(weights, folder / "rotations")
    monkeypatch.setattr(lifter_folders, "_WEIGHTS", folder)


@pytest.fixture
def walk(tmp_path) -> Path:
    """Five frames of smpl22, y up, metres: a body at rest that walks along x."""
    points, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    clip = points[:22].numpy() + np.linspace([0, 1, 0], [0.4, 1, 0], 5)[:, None]
    np.save(tmp_path / "walk.npy", clip)
    return tmp_path / "walk.npy"


@pytest.fixture
def person(tmp_path) -> Path:
    points, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    xy = points[list(H36M_POINTS), :2].numpy() * [150, -150] + [320, 240]
    document = {"joints": list(H36M.joints), "keypoints": xy.tolist(), "image_size": [640, 480]}
    (tmp_path / "person.json").write_text(json.dumps(document))
    return tmp_path / "person.json"


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys, *arguments: object) -> str:
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("poseterior: error: ")
    assert "Traceback" not in err
    return err.removeprefix("poseterior: error: ").strip()


@pytest.mark.parametrize("command", [["ik"], ["prior", "sample"], ["prior", "score"]])
def test_help_imports_nothing_heavy(command):
    code = (
        f"import sys\ntry:\n    from poseterior.cli import main; main({[*command, '--help']!r})\n"
        "except SystemExit: pass\nprint([m for m in ('torch', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


# -- ik --------------------------------------------------------------------------------------------------


def test_ik_writes_motion_page_and_picture(capsys, weights, walk, tmp_path):
    out, page, picture = tmp_path / "a.bvh", tmp_path / "a.html", tmp_path / "a.png"
    code, text, err = run(
        capsys, "ik", walk, "--lifter", weights, "--samples", 6, "--hide", "left_wrist, head", "--out", out,
        "--view", page, "--picture", picture, "--fps", 24,
    )  # fmt: skip
    assert (code, err) == (0, "")
    rows = {line.split("│")[1].strip(): line.split("│")[2:5] for line in text.splitlines() if line.startswith("│")}
    assert [part.strip() for part in rows["left_foot"][1:]] == ["fixed", ""]
    assert rows["left_wrist"][0].strip() == "-"
    assert rows["left_wrist"][2].strip() == "nothing"
    # the lifter has learned nothing: what the keypoints could tell is not told
    assert rows["right_elbow"][2].strip() == "little"
    assert "not told by the keypoints (90 % intervals): direction of pelvis (±" in text
    assert float(rows["right_elbow"][0]) > 0
    assert "nats above uniform" in text
    assert "body: lengths of the visible bones" in text
    motion = read_bvh(out)
    assert (len(motion), motion.fps) == (5, 24)
    assert page.read_text().startswith("<!")
    assert Image.open(picture).format == "PNG"


def test_ik_says_when_nothing_is_written(capsys, weights, walk):
    assert "nothing written: add --out clip.bvh" in run(capsys, "ik", walk, "--lifter", weights, "--samples", 2)[1]


def test_ik_takes_the_shipped_lifter_and_numbers_hypotheses(capsys, shipped, walk, tmp_path):
    code, text, _ = run(capsys, "ik", walk, "--samples", 4, "--count", 3, "--how", "samples", "-o", tmp_path / "a.glb")
    assert code == 0
    assert "wrote " in text
    assert sorted(p.name for p in tmp_path.glob("*.glb")) == ["a-1.glb", "a-2.glb", "a-3.glb"]


def test_same_seed_same_motion(capsys, weights, walk, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(capsys, "ik", walk, "--lifter", weights, "--samples", 3, "--seed", seed, "--out", tmp_path / f"{name}.npz")
    a, b, c = (np.load(tmp_path / f"{n}.npz")["sample_quaternions"] for n in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_ik_of_a_result(capsys, weights, person, tmp_path):
    for suffix in ("npz", "parquet", "json"):
        result, out = tmp_path / f"r.{suffix}", tmp_path / f"{suffix}.bvh"
        run(capsys, "lift", person, "--samples", 5, "--out", result)
        arguments = ("ik", result, "--lifter", weights, "--samples", 3, "--out", out, "--view", tmp_path / "a.html")
        code, text, err = run(capsys, *arguments)
        assert (code, err) == (0, "")
        assert "inverse kinematics of the mean poses of mdn by tiny" in text
        assert len(read_bvh(out)) == 1
    message = f"{tmp_path / 'r.npz'}: is a result; leave out --skeleton, --axes and --unit, which it knows"
    assert refused(capsys, "ik", tmp_path / "r.npz", "--unit", "mm", "--lifter", weights) == message


def points_of(path: Path, **options) -> Points3D:
    found = read_points(path, options.get("skeleton"), options.get("axes", "y-up"), options.get("unit", "m"))
    assert isinstance(found, Points3D)
    return found


def test_every_container_holds_the_same_points(walk, tmp_path):
    clip = np.load(walk)
    np.savez(tmp_path / "a.npz", points=1000 * clip, joint_names=np.array(SMPL.joints), sigma=np.full(22, 5.0))
    document = {"joints": [j.replace("left_", "L").title() for j in SMPL.joints], "points": clip.tolist()}
    document["joints"] = list(SMPL.joints)
    (tmp_path / "a.json").write_text(json.dumps(document))
    (tmp_path / "b.json").write_text(json.dumps(clip[0].tolist()))
    np.testing.assert_array_equal(points_of(walk).points, clip)
    packed = points_of(tmp_path / "a.npz", unit="mm")
    np.testing.assert_allclose(packed.points, clip)
    np.testing.assert_allclose(packed.sigma, 0.005)
    np.testing.assert_array_equal(points_of(tmp_path / "a.json").points, clip)
    np.testing.assert_array_equal(points_of(tmp_path / "b.json").points, clip[:1])


def test_named_joints_find_their_skeleton(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"joints": ["LKnee", "Thorax", "RHip"], "points": [[[1, 2, 3], None, [4, 5, None]]]}))
    found = points_of(path)
    assert found.skeleton.name == "h36m17"
    assert found.points[0, H36M.index("left_knee")].tolist() == [1, 2, 3]
    assert np.isnan(found.points[0, H36M.index("thorax")]).all()
    assert np.isfinite(found.points).all(-1).sum() == 1
    path.write_text(json.dumps({"joints": ["spine3", "left_collar"], "points": [[[1, 2, 3], [0, 0, 0]]]}))
    assert points_of(path).skeleton.name == "smpl22"
    path.write_text(json.dumps({"joints": ["hip_centre", "left_collar"], "points": [[[1, 2, 3], [0, 0, 0]]]}))
    assert points_of(path).skeleton.name == "smpl25"


def test_z_up_is_turned(walk, tmp_path):
    clip = np.load(walk)
    np.save(tmp_path / "z.npy", np.stack([clip[..., 0], -clip[..., 2], clip[..., 1]], -1))
    np.testing.assert_allclose(points_of(tmp_path / "z.npy", axes="z-up").points, clip)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((2, 22, 2)), "points have shape (2, 22, 2); expected (frames, joints, 3)"),
        (np.zeros((0, 22, 3)), "points have shape (0, 22, 3); expected (frames, joints, 3)"),
        (np.ones((1, 17, 3)), "17 joints may be h36m17 or coco17 or mpi17: pass --skeleton"),
        (np.ones((1, 5, 3)), "5 joints; expected as many as a skeleton has: h36m17 (17)"),
        (np.arange(66.0).reshape(1, 22, 3) * 10, "the person takes 1091 m; the length unit is wrong: pass --unit"),
        (np.array([["a"]]), "array: holds <U1; expected an array of numbers"),
        ({"points": [[[1, 2]]]}, "points have shape (1, 1, 2); expected (frames, joints, 3)"),
        ({"points": [[[1, 2, 3], [1, 2]]]}, "points: expected numbers in lists of equal length"),
        (
            [{"joints": ["nose"], "keypoints": [[1, 2]]}],
            "holds 2D keypoints, and inverse kinematics takes 3D points; lift it first "
            "(`poseterior lift FILE --out poses.npz`) and pass the result",
        ),
        ({"joints": ["nose"], "keypoints": [[1, 2]]}, "holds 2D keypoints, and inverse kinematics takes 3D points"),
        ({"poses": []}, 'expected nested lists (frames, joints, 3), or {"joints": [names], "points": [frames]}'),
        ({"joints": ["tail"], "points": [[[1, 2, 3]]]}, "joints: no skeleton has all of them, 'tail' for example"),
        ({"joints": ["LHip", "left_hip"], "points": [[[0, 0, 0]] * 2]}, "joints: 'left_hip' is there twice"),
        ({"joints": ["head"], "points": [[[0, 0, 0]] * 2]}, "joints: 1 names for 2 joints"),
        ({"joints": 3, "points": [[[0, 0, 0]]]}, "joints: expected a list of names"),
        (
            {"points": [[[0, 0, 0]]] * 2, "sigma": [1, 2, 3]},
            "sigma has shape (3,); expected one number, (1,) or (2, 1)",
        ),
        ("{", "not readable as JSON"),
    ],
)
def test_bad_points(capsys, weights, tmp_path, content, message):
    path = tmp_path / ("a.npy" if isinstance(content, np.ndarray) else "a.json")
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    out = tmp_path / "a.bvh"
    assert refused(capsys, "ik", path, "--lifter", weights, "--out", out).startswith(f"{path}: {message}")
    assert not out.exists()


def test_pickles_are_never_loaded(capsys, weights, tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "holds Python objects (a pickle), which are never loaded" in refused(
        capsys, "ik", tmp_path / "a.npy", "--lifter", weights
    )
    np.savez(tmp_path / "a.npz", points=np.zeros((1, 22, 3)), joint_names=np.array(["a", 1], dtype=object))
    assert "holds Python objects (a pickle)" in refused(capsys, "ik", tmp_path / "a.npz", "--lifter", weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hide", "tail"], "--hide: no joint 'tail'; smpl22 has: pelvis, left_hip"),
        (["--sigma", "-1"], "--sigma: expected 0 to 10000 mm, got -1"),
        (["--fps", "0"], "--fps: expected a positive number, got 0"),
        (["--count", "9", "--samples", "3"], "--count: expected 1 to 3 (--samples), got 9"),
        (["--count", "2", "--how", "mean"], "--count: there is one mean; use --how samples, clusters or path"),
        (["--samples", "0"], "samples: expected at least 1, got 0"),
        (["--out", "a.fbx"], "--out a.fbx: unknown extension '.fbx'; use one of: .bvh, .glb, .npz"),
        (["--picture", "a.jpg"], "--picture a.jpg: unknown extension '.jpg'; use one of: .png"),
        (["--out", "nowhere/a.bvh"], "nowhere/a.bvh: the folder nowhere does not exist; make it first"),
        (["--lifter", "mdn"], "lifter 'mdn' has no rotations; use the lifter 'rotations'"),
        (["--skeleton", "coco17"], "{walk}: 22 joints; expected as many as a skeleton has: coco17 (17)"),
    ],
)
def test_bad_options(capsys, weights, walk, options, message):
    given = options if "--lifter" in options else [*options, "--lifter", weights]
    assert refused(capsys, "ik", walk, *given).startswith(message.format(walk=walk))


def test_missing_and_strange_files(capsys, weights, tmp_path):
    path = tmp_path / "a.npy"
    assert refused(capsys, "ik", path, "--lifter", weights) == f"{path}: no such file"
    path = tmp_path / "a.txt"
    message = (
        f"{path}: unknown extension '.txt'; use .c3d, .csv, .json, .npy, .npz, .parquet, .trc, .tsv, or a result file"
    )
    assert refused(capsys, "ik", path, "--lifter", weights) == message


# -- prior -----------------------------------------------------------------------------------------------


def test_prior_sample_writes_everything(capsys, weights, tmp_path):
    code, text, _ = run(
        capsys, "prior", "sample", "-n", 5, "--lifter", weights, "--out", tmp_path / "a.npz",
        "--picture", tmp_path / "a.png", "--view", tmp_path / "a.html",
    )  # fmt: skip
    assert code == 0
    assert "5 poses of tiny, 20 joints: log-density" in text
    assert len(read_amass(tmp_path / "a.npz")) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.html", "a.npz", "a.png"]


def test_prior_sample_writes_a_file_a_pose_or_a_clip(capsys, weights, tmp_path):
    run(capsys, "prior", "sample", "-n", 3, "--lifter", weights, "--out", tmp_path / "a.bvh")
    run(capsys, "prior", "sample", "-n", 3, "--lifter", weights, "--out", tmp_path / "b.bvh", "--clip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-1.bvh", "a-2.bvh", "a-3.bvh", "b.bvh"]
    assert [len(read_bvh(path)) for path in sorted(tmp_path.iterdir())] == [1, 1, 1, 3]
    assert refused(capsys, "prior", "sample", "-n", 0, "--lifter", weights) == "-n: expected at least 1 pose, got 0"


def test_prior_score_writes_each_container(capsys, weights, tmp_path):
    run(capsys, "prior", "sample", "-n", 8, "--lifter", weights, "--out", tmp_path / "a.npz")
    score = ("prior", "score", tmp_path / "a.npz", "--lifter", weights, "--samples", 100)
    tables = {}
    for suffix in ("json", "csv", "parquet"):
        code, text, err = run(capsys, *score, "--out", tmp_path / f"s.{suffix}")
        assert (code, err) == (0, "")
        assert "8 frames, log-density" in text
        assert "least typical frames" in text
    tables["json"] = json.loads((tmp_path / "s.json").read_text())["frames"]
    with (tmp_path / "s.csv").open() as file:
        tables["csv"] = list(csv.DictReader(file))
    tables["parquet"] = pq.read_table(tmp_path / "s.parquet").to_pylist()
    joints = [j for j in SMPL.joints if j not in ("pelvis", "left_foot", "right_foot")]
    for rows in tables.values():
        assert len(rows) == 8
        assert list(rows[0]) == ["clip", "frame", "log_density", "typicality", *joints]
        for row in rows:
            assert float(row["log_density"]) == pytest.approx(sum(float(row[j]) for j in joints), abs=1e-5)
            assert 0 <= float(row["typicality"]) <= 1
    assert [float(r["log_density"]) for r in tables["csv"]] == [r["log_density"] for r in tables["json"]]


def test_prior_score_reads_bvh_and_stores(capsys, weights, tmp_path):
    run(capsys, "prior", "sample", "-n", 4, "--lifter", weights, "--out", tmp_path / "a.bvh", "--clip")
    code, text, _ = run(capsys, "prior", "score", tmp_path / "a.bvh", "--lifter", weights, "--samples", 50)
    assert code == 0
    assert "4 frames" in text
    store = made_up_store(tmp_path / "store")
    code, text, _ = run(capsys, "prior", "score", store, "--lifter", weights, "--samples", 50, "--fps", 10)
    assert code == 0
    assert f"{8 * 17} frames" in text  # of 50 at 30 Hz, every third


def test_prior_score_of_samples_is_their_density(capsys, weights, tmp_path):
    run(capsys, "prior", "sample", "-n", 6, "--lifter", weights, "--out", tmp_path / "a.npz")
    run(
        capsys, "prior", "score", tmp_path / "a.npz", "--lifter", weights, "--samples", 10, "--out", tmp_path / "a.json"
    )
    frames = json.loads((tmp_path / "a.json").read_text())["frames"]
    from poseterior.lifters import load
    from poseterior.lifting.prior import sample_prior, score_poses

    lifter = load(weights)
    direct = score_poses(lifter, sample_prior(lifter, 6).rotations[:, 0], samples=10)
    np.testing.assert_allclose([f["log_density"] for f in frames], direct.log_density, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.bvh"], "none.bvh: no such file"),
        (
            ["{walk}"],
            "{walk}: unknown extension '.npy'; use .bvh, .amc, .npz, .glb, .gltf, or the folder of a pose store",
        ),
        (["{folder}"], "{folder}: no Parquet file in it; not a pose store"),
        (["{walk}", "--samples", "0"], "--samples: expected at least 1, got 0"),
        (["{walk}", "--fps", "-1"], "--fps: expected a positive number, got -1"),
        (["{walk}", "--out", "a.txt"], "--out a.txt: unknown extension '.txt'; use one of: .json, .csv, .parquet"),
        (["{folder}", "--units", "m"], "{folder}: is a pose store, whose lengths are metres; leave the units out"),
    ],
)
def test_prior_score_refusals(capsys, weights, walk, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {"walk": walk, "folder": tmp_path / "empty"}
    given = [a.format(**places) for a in arguments]
    assert refused(capsys, "prior", "score", *given, "--lifter", weights) == message.format(**places)


# -- lift ------------------------------------------------------------------------------------------------


def test_lift_with_rotations_is_a_lift_like_others(capsys, weights, person, tmp_path):
    code, _, _ = run(
        capsys, "lift", person, "--lifter", weights, "--samples", 5, "--out", tmp_path / "a.npz",
        "--motion", tmp_path / "m.npz", "--picture", tmp_path / "a.png",
    )  # fmt: skip
    assert code == 0
    result = load_result(tmp_path / "a.npz")
    assert result.samples.shape == (1, 5, 17, 3)
    assert result.lifter == "tiny"
    with np.load(tmp_path / "m.npz") as motion:
        assert motion["sample_quaternions"].shape == (1, 5, 22, 4)
    code, _, _ = run(capsys, "lift", person, "--lifter", weights, "--samples", 5, "--out", tmp_path / "a.bvh")
    assert code == 0
    assert len(read_bvh(tmp_path / "a.bvh")) == 1


def test_lift_solves_ik_for_lifters_without_rotations(capsys, shipped, person, tmp_path):
    out = tmp_path / "a.bvh"
    code, text, _ = run(capsys, "lift", person, "--samples", 5, "--out", out, "--how", "clusters", "--count", 2)
    assert code == 0
    assert "mdn has no rotations: inverse kinematics of its mean poses by the lifter 'rotations'" in text
    assert sorted(p.name for p in tmp_path.glob("*.bvh")) == ["a-1.bvh", "a-2.bvh"]


def test_lift_draws_mean_poses_without_rotations(capsys, person, tmp_path):
    code, text, _ = run(capsys, "lift", person, "--samples", 3, "--picture", tmp_path / "a.png")
    assert code == 0
    assert "nothing written" not in text
    assert Image.open(tmp_path / "a.png").format == "PNG"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--motion", "a.fbx"],
            "--motion a.fbx: unknown extension '.fbx'; use one of: .bvh, .glb, .npz, .usda, .usdc, .usdz, .mot",
        ),
        (["--count", "2", "--how", "best"], "--count: there is one best; use --how samples, clusters or path"),
        (["--fps", "nan"], "--fps: expected a positive number, got nan"),
    ],
)
def test_lift_refuses_motion_options(capsys, person, options, message):
    assert refused(capsys, "lift", person, *options) == message


def rows_of(text: str) -> dict[str, list[str]]:
    return {line.split("│")[1].strip(): line.split("│")[2:5] for line in text.splitlines() if line.startswith("│")}


def test_ik_says_what_the_keypoints_do_not_tell(capsys, tmp_path, monkeypatch):
    """Top of the head and nose could tell how it turns; known to 15 cm they do not, and the rotation is wide."""
    monkeypatch.setenv("COLUMNS", "160")
    poses = sample_prior(pp.load("rotations"), 4, seed=3)
    clip = poses.points(poses.mean[:, None])[:, 0].numpy()[:, list(H36M_POINTS)]
    np.save(tmp_path / "a.npy", clip)
    told = {}
    for sigma in (1, 150):
        code, text, _ = run(
            capsys, "ik", tmp_path / "a.npy", "--skeleton", "h36m17", "--axes", "y-up", "--handedness", "right",
            "--samples", 24, "--sigma", sigma,
        )  # fmt: skip
        assert code == 0
        rows = rows_of(text)
        wide = [name for name, row in rows.items() if row[1].strip() not in ("", "fixed") and float(row[1]) > 60]
        for name in wide:
            assert rows[name][2].strip() != "all", name
        told[sigma] = rows["head"][2].strip(), "not told by the keypoints (90 % intervals): " in text, text
    assert told[150][0] in ("little", "not its turn", "not its tilt")
    assert told[150][1]
    assert " of head (±" in told[150][2]
    # what they do tell is not named, however exact the rest
    assert rows_of(told[1][2])["left_hip"][2].strip() == "all"
    assert rows_of(told[1][2])["left_elbow"][2].strip() == "swing, not twist"
    assert " of left_hip (±" not in told[1][2]


# -- contact sheets --------------------------------------------------------------------------------------


def test_contact_sheets_draw_as_many_figures_as_asked(tmp_path):
    clip = np.zeros((30, 17, 3)) + np.random.default_rng(0).normal(0, 0.4, (30, 17, 3))
    sizes = {}
    for frames in (1, 6, 12):
        contact_sheet(clip, "h36m17", tmp_path / "a.png", frames, labels=["$x$"] * 30, title="a_b")
        picture = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
        sizes[frames] = picture.shape
        assert (picture < 200).mean() > 1e-3
    assert sizes[12][0] - sizes[6][0] > 0.6 * sizes[6][0]
    assert sizes[6][1] > sizes[1][1]


def test_camera_axes_are_turned_upright(tmp_path):
    clip = np.random.default_rng(0).normal(0, 0.4, (2, 17, 3))
    contact_sheet(clip, "h36m17", tmp_path / "a.png")
    contact_sheet(clip * [1, -1, -1], "h36m17", tmp_path / "b.png", axes="camera")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_contact_sheets_show_uncertainty_and_cut_no_word(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 0.4, (8, 17, 3))
    mean[:, 0] = 0
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: (drawn.append(self), file.write(b"x")))
    radius = np.full((8, 17), 0.2)
    visible = np.ones((8, 17), bool)
    visible[:, 3] = False
    title = "a long name of a clip " * 9
    contact_sheet(
        mean, "h36m17", tmp_path / "a.png", 4, "camera", title=title, note="lifter mdn", regions=(mean, radius),
        hypotheses=mean[:, None] + 0.05 * rng.normal(size=(8, 5, 17, 3)), region_label="90 % radius (calibrated)",
        visible=visible,
    )  # fmt: skip
    (figure,) = drawn
    assert len(figure.axes) == 4
    for axes in figure.axes:
        outlines = next(a for a in axes.collections if isinstance(a, PolyCollection))
        balls = np.stack([path.vertices for path in outlines.get_paths()])
        np.testing.assert_allclose(np.ptp(balls, axis=1) / 2, 0.2, rtol=0.01)
        joints = next(a for a in axes.collections if isinstance(a, PathCollection))
        np.testing.assert_allclose(joints.get_facecolor()[3], 1.0)
        low, high = axes.get_xlim(), axes.get_ylim()
        assert low[0] <= balls[..., 0].min()
        assert balls[..., 0].max() <= low[1]
        assert high[0] <= balls[..., 1].min()
        assert balls[..., 1].max() <= high[1]
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.texts if text.get_text()]
    assert {"mean", "5 hypotheses", "shaded: 90 % radius (calibrated)", "not seen in the picture"} <= {
        text.get_text() for text in texts
    }
    for text in texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.width
        assert box.y1 <= figure.bbox.height


def test_bad_contact_sheets(tmp_path):
    clip = np.zeros((2, 17, 3))
    with pytest.raises(
        InputError, match=r"positions have shape \(2, 17, 3\); skeleton 'smpl22' needs \(frames, 22, 3\)"
    ):
        contact_sheet(clip, "smpl22", tmp_path / "a.png")
    with pytest.raises(InputError, match=r"unknown extension; a contact sheet is a \.png"):
        contact_sheet(clip, "h36m17", tmp_path / "a.jpg")
    with pytest.raises(InputError, match="labels: expected one for each of 2 frames, got 1"):
        contact_sheet(clip, "h36m17", tmp_path / "a.png", labels=["a"])
    clip[1, 3] = np.nan
    with pytest.raises(InputError, match="positions: frame 1, joint 'right_ankle' is not finite"):
        contact_sheet(clip, "h36m17", tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_ik_asks_for_axes_and_handedness(capsys, tmp_path):
    poses = sample_prior(pp.load("rotations"), 6, seed=3)
    upright = poses.mean.copy()
    upright[:, 0] = (0, 0, 0, 1)
    clip = poses.points(upright[:, None])[:, 0, :22].numpy()
    np.save(tmp_path / "camera.npy", clip * [1, -1, -1])
    np.save(tmp_path / "left.npy", clip * [-1, 1, 1])
    out = tmp_path / "a.bvh"
    said = refused(capsys, "ik", tmp_path / "camera.npy", "--samples", 2, "--out", out)
    assert said.startswith(f"{tmp_path / 'camera.npy'}: in ")
    assert said.endswith("stands with camera: pass --axes camera, or --axes y-up if it is so")
    said = refused(capsys, "ik", tmp_path / "left.npy", "--samples", 2, "--out", out)
    assert "the points look mirrored (left-handed axes, or left and right exchanged)" in said
    assert said.endswith("pass --handedness left, or --handedness right if they are right so")
    assert not out.exists()
    answers = [("camera", "--axes", "camera"), ("left", "--handedness", "left"), ("left", "--handedness", "right")]
    for name, *option in answers:
        code, _, err = run(capsys, "ik", tmp_path / f"{name}.npy", *option, "--samples", 2, "--out", out)
        assert (code, err) == (0, "")


def test_ik_keeps_the_frame_rate_of_the_file(capsys, weights, walk, tmp_path):
    names = ("LHip", "LKnee", "LAnkle", "RHip", "RKnee", "RAnkle", "Neck")
    joints = [SMPL.index(canonical_joint_name(name)) for name in names]
    cells = [
        "\t".join(map(str, (i, i / 120, *pose.reshape(-1).tolist()))) for i, pose in enumerate(np.load(walk)[:, joints])
    ]
    about = ["DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits", "120\t120\t5\t7\tm"]
    header = ["PathFileType\t4\t(X/Y/Z)\ta.trc", *about, "Frame#\tTime\t" + "\t\t\t".join(names), "\t\tX1\tY1\tZ1"]
    path = tmp_path / "a.trc"
    path.write_text("\n".join([*header, "", *cells]) + "\n")
    for options, fps in (((), 120), (("--fps", "24"), 24)):
        code, _, _ = run(capsys, "ik", path, "--lifter", weights, "--samples", 2, "--out", tmp_path / "a.bvh", *options)
        assert (code, read_bvh(tmp_path / "a.bvh").fps) == (0, fps)
