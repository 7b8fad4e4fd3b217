"""The face: what `import poseterior as pp` offers, lazily; the verbs; the names of 0.1."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import poseterior as pp
from conftest import SMALL, made_up_store

FACE = {
    "InputError", "Keypoints2D", "LiftResult", "Lifter", "LiveLifter", "PoseDistribution", "SKELETONS", "__version__",
    "calibrate", "data", "distributions", "evaluate", "example_keypoints", "fit_gaussians", "fuse", "lift", "lift_clip",
    "list_shipped", "load", "load_result", "metrics", "read_keypoints", "skeletons", "solve_ik", "train", "view",
}  # fmt: skip
OLD = [
    "FlowPoseDistribution", "MixturePoseDistribution", "PoseId", "Recalibration", "Region", "RotationPoseDistribution",
    "RotationResult", "Skeleton", "lift_rotations", "save_motion", "save_result",
]  # fmt: skip


def test_the_face_is_what_it_says() -> None:
    assert set(pp.__all__) == set(dir(pp)) == FACE
    for name in FACE:
        assert getattr(pp, name) is getattr(pp, name)


def test_nothing_of_0_1_is_gone() -> None:
    """All names of 0.1 are here: on the face, or with a warning."""
    of_0_1 = {
        "SKELETONS", "FlowPoseDistribution", "InputError", "Keypoints2D", "LiftResult", "Lifter",
        "MixturePoseDistribution", "PoseDistribution", "PoseId", "Recalibration", "Region", "RotationPoseDistribution",
        "RotationResult", "Skeleton", "__version__", "example_keypoints", "fit_gaussians", "lift", "lift_rotations",
        "list_shipped", "load", "load_result", "read_keypoints", "save_motion", "save_result", "solve_ik",
    }  # fmt: skip
    assert of_0_1 == (of_0_1 & FACE) | set(OLD)


@pytest.mark.parametrize("name", OLD)
def test_old_names_work_and_name_what_to_write_instead(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"poseterior.{name} will go in the release after this one; use ") as w:
        value = getattr(pp, name)
    assert w[0].filename == __file__
    instead = str(w[0].message).split("; use ")[1]
    if "(" not in instead:  # a new place; else a way to write it
        module, _, attribute = instead.replace("pp.", "poseterior.", 1).rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is value
    else:
        assert callable(value)


def test_the_face_itself_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        code = "import poseterior as pp; [getattr(pp, name) for name in pp.__all__]"
        subprocess.run([sys.executable, "-W", "error::DeprecationWarning:poseterior", "-c", code], check=True)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'poseterior' has no attribute 'nothing'"):
        pp.nothing  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'poseterior.metrics' has no attribute 'nothing'"):
        pp.metrics.nothing  # noqa: B018
    assert not hasattr(pp.data, "_private")


@pytest.mark.parametrize(
    ("room", "names"),
    [
        ("metrics", ["mpjpe", "p_mpjpe", "calibration_error", "pose_energy_score", "accuracy", "rotations"]),
        ("distributions", ["PoseDistribution", "MixturePoseDistribution", "Region", "cluster"]),
        ("data", ["PoseStore", "Simulator", "load_observations", "simulate", "import_mocap", "sets", "labels"]),
        ("view", ["save_summary", "write_html", "serve"]),
    ],
)
def test_rooms_offer_their_names(room: str, names: list[str]) -> None:
    place = getattr(pp, room)
    assert place is importlib.import_module(f"poseterior.{room}")
    for name in names:
        assert getattr(place, name) is not None
        assert name in dir(place)


@pytest.mark.parametrize("room", ["metrics", "distributions", "data"])
def test_no_name_of_a_room_stands_twice(room: str) -> None:
    """Else which one is meant would depend on the order of the modules; a name may pass a definition on."""
    place = getattr(pp, room)
    seen: dict[str, object] = {}
    for name in dir(place):
        module = sys.modules.get(f"poseterior.{room}.{name}")
        for public in getattr(module, "__all__", ()):
            value = getattr(module, public)
            assert seen.setdefault(public, value) is value, (public, name)


def test_type_checkers_and_editors_see_the_same_names() -> None:
    """The imports for type checkers name what the lazy table names."""
    import ast

    tree = ast.parse(Path(pp.__file__).read_text())
    guarded = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imports = [n for n in guarded.body if isinstance(n, ast.ImportFrom) and n.level]
    assert {a.asname or a.name for n in imports for a in n.names} == FACE - {"__version__"}
    for node in imports:
        if node.module:
            for alias in node.names:
                assert getattr(importlib.import_module(f"poseterior.{node.module}"), alias.name) is getattr(
                    pp, alias.name
                )


def loaded(code: str) -> str:
    names = ("torch", "numpy", "matplotlib", "yaml", "lightning", "typing")
    code += f"; import sys; print([m for m in {names} if m in sys.modules])"
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path}; {code}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_it_loads_nothing() -> None:
    assert loaded("import poseterior as pp; dir(pp); pp.__version__") == "[]"
    assert "torch" in loaded("import poseterior as pp; pp.load")
    assert "lightning" not in loaded("import poseterior as pp; pp.load; pp.lift; pp.metrics.mpjpe; pp.evaluate")


# -- the verbs -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("mocap") / "people")


def test_lift_save_and_load(tmp_path: Path) -> None:
    keypoints, rotations = pp.example_keypoints(), pp.load("rotations")
    result = pp.lift(pp.load("mdn"), keypoints, samples=5)
    result.save(tmp_path / "poses.parquet")
    again = pp.load_result(tmp_path / "poses.parquet")
    assert (again.samples == result.samples).all()
    assert (again.region_radius == result.region_radius).all()
    for motion in (
        pp.lift(rotations, keypoints, samples=5)[:1].motion(),
        pp.solve_ik(rotations, result[:1], samples=5),
    ):
        (path,) = motion.save(tmp_path / "clip.bvh", how="mean")
        assert path.read_text().startswith("HIERARCHY")


def test_train_evaluate_calibrate(store: Path, tmp_path: Path) -> None:
    """The three verbs one after another: weights of a small run are loaded, measured and calibrated."""
    weights = pp.train("mdn", out=tmp_path / "run", changes=[f"data={store}", *SMALL, "schedule.steps=6"])
    assert weights == tmp_path / "run" / "weights"
    lifter = pp.load(weights)
    assert lifter.recalibration is None
    seen = pp.data.simulate(store, "cmu-clean", limit=40)
    numbers = pp.evaluate(lifter, seen, samples=10)
    assert numbers
    same = pp.calibrate(lifter, store, poses=250, samples=20)
    assert same is lifter
    assert lifter.recalibration is not None
    assert lifter.recalibration.poses == 250
    assert "250 poses of the store people" in lifter.recalibration.description
    lifter.save_pretrained(tmp_path / "mine")
    keypoints = seen.observations.keypoints
    kept = pp.load(tmp_path / "mine")(keypoints).region(0.9)
    assert kept.calibrated
    assert torch.equal(kept.radius, lifter(keypoints).region(0.9).radius)


def test_calibrate_takes_what_the_command_takes(store: Path, tmp_path: Path, capsys) -> None:
    """A store, with the same result as the command's; a file; observations; the name of a lifter."""
    from poseterior.cli import main

    out = tmp_path / "copy"
    assert main(["calibrate", "mdn", "--data", str(store), "--poses", "250", "--samples", "20", "--out", str(out)]) == 0
    by_name = pp.calibrate("mdn", store, poses=250, samples=20)
    stored = pp.load(out).recalibration
    assert stored is not None
    assert by_name.recalibration is not None
    assert by_name.recalibration.factor == stored.factor
    assert by_name.recalibration.pose_factor == stored.pose_factor
    assert by_name.recalibration.description == stored.description

    from poseterior.evaluation.calibrate import simulated

    observations = simulated(store, 500, 0)[:250]
    given = pp.calibrate("mdn", observations, samples=20)
    assert given.recalibration is not None
    assert given.recalibration.factor == stored.factor
    with pytest.raises(pp.InputError, match="at least 200 are needed"):
        pp.calibrate("mdn", observations[:100], samples=20)
    with pytest.raises(pp.InputError, match="no such file"):
        pp.calibrate("mdn", tmp_path / "nothing.parquet")
