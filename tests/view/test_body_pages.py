"""Surfaces of bodies: from the reader's own model to the page, where the browser poses them, and the contact sheet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import chromium, outside, watched
from scipy.spatial.transform import Rotation
from test_view import standing_result

from made_up_body import as_smplx, made_up_body, write_made_up_body
from poseterior.cli import main
from poseterior.data.mocap.body_rig import body_rig, coarse_mesh, fitted_betas, read_body_model
from poseterior.data.mocap.smplx import read_smpl_body
from poseterior.files.errors import InputError
from poseterior.geometry.body import SMPL25, body_points, rest_offsets
from poseterior.geometry.skeletons import SKELETONS
from poseterior.results.motion import as_lift_result
from poseterior.results.motion_files import read_motion
from poseterior.results.rotations import RotationResult, matrices
from poseterior.view.bodies import bodies_of, posed_bodies, rigs_of, smpl_quaternions, surfaces
from poseterior.view.live_bodies import parts_of
from poseterior.view.scene import write_html
from poseterior.view.scene.meshes import described
from poseterior.view.scene.packing import pack_bytes, unpack
from poseterior.view.server import Viewer, serve
from poseterior.view.sheets import contact_sheet

pytest.importorskip("smplx")


def turning(frames: int = 6, samples: int = 5, size: float = 1.0) -> RotationResult:
    """One person who turns and bends, with samples about the mean."""
    rng = np.random.default_rng(0)
    mean = np.linspace(0, 0.5, frames)[:, None, None] * rng.normal(0, 1, (22, 3)) + [0.0, 0.1, 0.0]
    drawn = mean[:, None] + rng.normal(0, 0.15, (1, samples, 22, 3))

    def xyzw(vectors: np.ndarray) -> np.ndarray:
        return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_quat().reshape(*vectors.shape[:-1], 4).astype(np.float32)

    return RotationResult(
        rotations=xyzw(drawn),
        log_prob=np.zeros((frames, samples), np.float32),
        mean=xyzw(mean),
        spread=np.full((frames, 22), 0.15, np.float32),
        offsets=np.repeat(size * rest_offsets().numpy()[None], frames, 0),
        root=np.zeros((frames, 3), np.float32),
        axes="y up",
        modelled=SKELETONS["smpl22"].joints,
        file=np.full(frames, "turning"),
        frame=np.arange(frames),
        person=np.zeros(frames, np.int64),
        lifter="test",
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_made_up_body(tmp_path_factory.mktemp("model") / "body.npz", around=10, along=11)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


# -- from rotations to surfaces ------------------------------------------------------------------------


def test_hips_of_the_surface_are_where_the_poses_have_them(model: Path) -> None:
    """The ring around a joint that only follows that joint's parent stays around the pose's joint."""
    shown = as_lift_result(turning().in_axes("camera"))
    made = surfaces(bodies_of(shown, model, hypotheses=3), [0, 5])
    assert made.vertices.shape == (2, 4, 24 * 112, 3)
    arrays = made_up_body(10, 11)
    joints = np.einsum("jv,rkvc->rkjc", arrays["J_regressor"], made.vertices)
    hips = joints[:, :, [1, 2]].mean(2)
    np.testing.assert_allclose(hips, 0.0, atol=0.03)  # corrections move a ring's middle by millimetres
    # all joints: where our kinematics have those of the model's body
    turns = turning().in_axes("camera").mean[[0, 5]]
    offsets = read_smpl_body(model, bodies_of(shown, model).betas[0]).expand(2, -1, -1)
    points = body_points(matrices(turns), offsets)[0].numpy()
    points -= points[:, SMPL25.index("hip_centre"), None]
    np.testing.assert_allclose(joints[:, 0, :22], points[:, :22], atol=0.03)


def test_a_body_of_the_model_gets_its_bones_back(model: Path) -> None:
    """Lengths within 2 %: coefficients themselves are pulled to zero by the model's prior."""
    wanted = read_smpl_body(model, [1.0, -1.0]).numpy()
    found = read_smpl_body(model, fitted_betas(read_body_model(model), wanted).tolist()).numpy()
    mean = read_smpl_body(model).numpy()
    for name in ("left_knee", "right_ankle", "left_elbow", "right_wrist"):
        lengths = [np.linalg.norm(offsets[SMPL25.index(name)]) for offsets in (wanted, found, mean)]
        assert abs(lengths[1] / lengths[0] - 1) < 0.02
    assert abs(np.linalg.norm(mean[SMPL25.index("left_elbow")]) / np.linalg.norm(wanted[18]) - 1) > 0.04


def test_taller_people_get_a_larger_shape(model: Path) -> None:
    small, usual, tall = (bodies_of(as_lift_result(turning(size=size)), model).betas[0] for size in (0.93, 1.0, 1.07))
    assert small[0] < usual[0] < tall[0]


def test_the_shape_that_a_motion_file_tells_is_taken(model: Path) -> None:
    shown = as_lift_result(turning())
    told = replace(shown, settings=shown.settings | {"betas": json.dumps([1.5, -0.5, *[0.0] * 14])})
    assert bodies_of(told, model).betas == [[1.5, -0.5, *[0.0] * 8]]


def test_smplh_and_smplx_bodies_are_the_same_surface(model: Path, tmp_path: Path) -> None:
    """Hands and faces that do not turn follow the body: the rig of 22 joints is exact."""
    shown = as_lift_result(turning())
    expected = surfaces(bodies_of(shown, model, 2), [3]).vertices
    for joints in (52, 55):
        path = tmp_path / f"{joints}.npz"
        np.savez(path, **as_smplx(made_up_body(10, 11), joints))
        np.testing.assert_allclose(surfaces(bodies_of(shown, path, 2), [3]).vertices, expected, atol=1e-6)


def test_a_coarser_surface_is_made_of_its_vertices_and_keeps_its_outside(model: Path) -> None:
    rig = body_rig(read_body_model(model))
    chosen, faces = coarse_mesh(rig, 900)
    assert len(chosen) == 900
    assert len(np.unique(chosen)) == 900
    assert len(faces) > 1200
    corners = rig.vertices[chosen][faces]
    volume = np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    whole = rig.vertices[rig.faces]
    full = np.einsum("fi,fi->f", whole[:, 0], np.cross(whole[:, 1], whole[:, 2])).sum() / 6
    assert 0.75 * full < volume < 1.02 * full  # the same orientation, little smaller
    np.testing.assert_array_equal(coarse_mesh(rig, 10**6)[0], np.arange(len(rig.vertices)))


def test_bytes_come_back_within_half_a_step() -> None:
    values = np.random.default_rng(0).normal(0, 0.02, (40, 3, 7))
    packed = pack_bytes(values)
    np.testing.assert_allclose(unpack(packed), values, atol=packed["step"] / 2 + 1e-12)
    np.testing.assert_array_equal(unpack(pack_bytes(np.zeros((2, 3)))), np.zeros((2, 3)))


# -- the page ------------------------------------------------------------------------------------------


def test_the_browser_poses_bodies_as_the_library_does(model: Path, tmp_path: Path, browser: Any) -> None:
    """Through the page's own program, with all of the model's vertices: within the rounding of what it holds."""
    result = as_lift_result(turning())
    bodies = bodies_of(result, model, hypotheses=3)
    told = described(bodies, [list(range(len(result)))])
    chosen, _ = coarse_mesh(body_rig(bodies.model), len(unpack(told.tracks[0]["vertices"])))
    expected = surfaces(bodies, [4]).vertices[0][:, chosen]
    write_html(result, tmp_path / "scene.html", bodies=bodies)
    text = (tmp_path / "scene.html").read_text()
    program = re.findall(r"<script>(.*?)</script>", text, re.S)[-1]
    # the same program, with a window to look through
    opened = program.replace("\n})();", "\nwindow.posed = (row, k) => Array.from(bodyAt(tracks[0], row, k));\n})();")
    (tmp_path / "open.html").write_text(
        re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", text.replace(program, opened), count=1)
    )
    page, asked, wrong = watched(browser)
    page.goto((tmp_path / "open.html").as_uri())
    for k in range(expected.shape[0]):
        posed = np.asarray(page.evaluate(f"posed(4, {k})")).reshape(-1, 3)
        assert np.abs(posed - expected[k]).max() < 2e-3
        assert np.abs(posed - expected[k]).mean() < 4e-4
    assert not outside(asked)
    assert not wrong
    page.close()


@pytest.mark.parametrize(("width", "theme"), [(375, "dark"), (1440, "light")])
def test_bodies_are_drawn_and_can_be_put_away(
    model: Path, tmp_path: Path, browser: Any, width: int, theme: str
) -> None:
    result = as_lift_result(turning())
    write_html(result, tmp_path / "scene.html", bodies=bodies_of(result, model))
    page, asked, wrong = watched(browser, width, 900, theme)
    page.goto((tmp_path / "scene.html").as_uri())
    page.wait_for_timeout(300)
    assert page.locator('[data-mode="bodies"]').get_attribute("aria-pressed") == "true"
    assert "transparent: 5 samples" in page.locator("#legend").inner_text()
    solid = page.locator("#stage").screenshot()
    page.locator('[data-mode="mean"]').click()
    page.wait_for_timeout(300)
    assert page.locator("#stage").screenshot() != solid
    assert "transparent" not in page.locator("#legend").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not outside(asked)
    assert not wrong
    page.close()


def test_pages_without_a_model_have_no_bodies(tmp_path: Path, browser: Any) -> None:
    write_html(standing_result(1), tmp_path / "scene.html")
    page, _, wrong = watched(browser)
    page.goto((tmp_path / "scene.html").as_uri())
    assert not page.locator('[data-mode="bodies"]').is_visible()
    assert not wrong
    page.close()


def test_ten_seconds_fit_into_five_megabytes(tmp_path: Path) -> None:
    big = write_made_up_body(tmp_path / "big.npz", around=20, along=15)
    result = as_lift_result(turning(300, 40), samples=40)
    write_html(result, tmp_path / "scene.html", bodies=bodies_of(result, big))
    assert (tmp_path / "scene.html").stat().st_size < 5_000_000


# -- the command ---------------------------------------------------------------------------------------


def test_view_draws_a_motion_file_with_its_samples(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turning().save(tmp_path / "turning.npz", how="mean", fps=25.0)
    back = read_motion(tmp_path / "turning.npz")
    np.testing.assert_allclose(back.rotations, turning().rotations, atol=1e-6)
    np.testing.assert_allclose(back.offsets[0, :22], turning().offsets[0, :22], atol=1e-6)
    np.testing.assert_allclose(back.offsets[0], turning().offsets[0], atol=0.02)
    assert back.fps == 25.0
    main([
        "view", str(tmp_path / "turning.npz"), "--mesh", str(model), "--html", str(tmp_path / "x.html"),
        "--picture", str(tmp_path / "x.png"),
    ])  # fmt: skip
    assert "wrote" in capsys.readouterr().out
    assert '"rig":{' in (tmp_path / "x.html").read_text()
    from PIL import Image

    plain = tmp_path / "plain.png"
    main(["view", str(tmp_path / "turning.npz"), "--picture", str(plain)])
    with_body, bones = (np.asarray(Image.open(path).convert("L"), float) for path in (tmp_path / "x.png", plain))
    assert (with_body < 200).sum() > 1.5 * (bones < 200).sum()  # a surface covers more than bones


def test_a_sheet_refuses_nothing_that_bones_do_not(model: Path, tmp_path: Path) -> None:
    result = as_lift_result(turning(2))
    contact_sheet(
        result.mean, "h36m17", tmp_path / "x.png", axes="camera", surfaces=surfaces(bodies_of(result, model), [0, 1])
    )
    assert (tmp_path / "x.png").stat().st_size > 5000


def test_mesh_of_a_picture_that_shows_none_is_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turning().save(tmp_path / "turning.npz", how="mean", fps=25.0)
    arguments = ["view", str(tmp_path / "turning.npz"), "--mesh", str(model), "--png", str(tmp_path / "x.png")]
    assert main(arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "is for the viewer, pages and sheets; add --html scene.html or --picture p.png" in said
    assert not (tmp_path / "x.png").exists()


# -- the live viewer -----------------------------------------------------------------------------------


def test_bodies_posed_without_the_package_are_those_of_the_package(model: Path) -> None:
    """Of the result's root in the middle of the hips, and of one at the pelvis."""
    shown = as_lift_result(turning(size=1.05).in_axes("camera"))
    for bodies in (bodies_of(shown, model, 3), replace(bodies_of(shown, model, 3), at_pelvis=True)):
        [rig] = rigs_of(bodies, [0], 10**6)
        for row in (0, 5):
            expected = surfaces(bodies, [row]).vertices[0]
            np.testing.assert_allclose(posed_bodies(bodies, rig, row), expected, atol=1e-6)


def test_parts_of_a_body_hold_each_triangle_once(model: Path) -> None:
    rig = body_rig(read_body_model(model))
    parts = parts_of(rig)
    assert list(parts) == ["left", "right", "middle"]
    found = np.concatenate([vertices[faces] for vertices, faces in parts.values()])
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(rig.faces, axis=0))
    assert len(found) == len(rig.faces)
    # the model's left is at positive x
    assert rig.vertices[parts["left"][0], 0].mean() > 0.1
    assert rig.vertices[parts["right"][0], 0].mean() < -0.1


def test_the_live_viewer_shows_bodies_and_follows_its_controls(model: Path) -> None:
    pytest.importorskip("viser")
    shown = as_lift_result(turning().in_axes("camera"))
    bodies = bodies_of(shown, model, 4)
    with serve(shown, port=0, bodies=bodies) as viewer:
        body = viewer.scene.views[0].body
        assert body is not None
        for step in (0, 5):
            viewer.step.value = step
            placed = posed_bodies(bodies, body.rig, step)
            for k, handles in enumerate(body.handles):
                for handle, (vertices, _) in zip(handles, body.parts.values(), strict=True):
                    np.testing.assert_allclose(handle.vertices, placed[k, vertices], atol=1e-6)

        def visible() -> list[bool]:
            return [all(handle.visible for handle in handles) for handles in body.handles]

        assert visible() == [True] * 5
        viewer.hypotheses.value = 2
        assert visible() == [True, True, True, False, False]
        viewer.mean.value = False
        assert visible() == [False, True, True, False, False]
        viewer.bodies.value = False
        assert visible() == [False] * 5


def test_the_command_takes_bodies_to_the_viewer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("viser")
    monkeypatch.setattr(Viewer, "wait", lambda self: bodies.append(self.scene.views[0].body) or self.stop())
    bodies: list[Any] = []
    turning().save(tmp_path / "turning.npz", how="mean", fps=25.0)
    assert not main(["view", str(tmp_path / "turning.npz"), "--mesh", str(model), "--port", "0"])
    assert "viewer at http://127.0.0.1" in capsys.readouterr().out
    assert len(bodies[0].handles) == 6


def test_results_without_rotations_and_other_families_are_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no rotations; solve for them by inverse kinematics"):
        bodies_of(standing_result(1), model)
    hand = {"J_regressor": np.zeros((16, 778)), "v_template": np.zeros((778, 3)), "shapedirs": np.zeros((778, 3, 10)),
            "kintree_table": np.zeros((2, 16)), "posedirs": np.zeros((778, 3, 135)), "weights": np.zeros((778, 16)),
            "f": np.zeros((4, 3))}  # fmt: skip
    np.savez(tmp_path / "MANO_LEFT.npz", **hand)
    with pytest.raises(InputError, match=r"MANO_LEFT.npz: .*16 joints: a hand \(MANO\); expected at least 22 joints"):
        bodies_of(as_lift_result(turning()), tmp_path / "MANO_LEFT.npz")
    star = made_up_body(6, 9)
    star["posedirs"] = star["posedirs"][..., :93]
    np.savez(tmp_path / "star.npz", **star)
    with pytest.raises(InputError, match="this is STAR, whose surface follows quaternions; use an SMPL"):
        bodies_of(as_lift_result(turning()), tmp_path / "star.npz")
    del star["posedirs"]
    np.savez(tmp_path / "bare.npz", **star)
    with pytest.raises(InputError, match="no array 'posedirs'; not an SMPL, SMPL-H or SMPL-X model file"):
        bodies_of(as_lift_result(turning()), tmp_path / "bare.npz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_quaternions": np.zeros((6, 2, 22, 3))}, r"'sample_quaternions' has shape \(6, 2, 22, 3\); expected"),
        ({"mean_quaternions": np.zeros((6, 22, 4))}, "'mean_quaternions' of frame 0, joint 'pelvis' is no unit"),
        ({"log_prob": np.zeros((5, 5))}, r"'log_prob' has shape \(5, 5\); expected \(6, 5\) for 6 frames"),
        ({"betas": np.full(16, 1e9)}, "'betas' holds numbers beyond 20"),
        ({"log_prob": np.full((6, 5), np.inf)}, "'log_prob' of frame 0 is not finite; write the motion again"),
        ({"spread_radians": np.full((6, 22), np.nan)}, "'spread_radians' of frame 0 is not finite"),
    ],
)
def test_broken_motions_are_named(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    turning().save(tmp_path / "a.npz", how="mean", fps=25.0)
    np.savez(tmp_path / "b.npz", **dict(np.load(tmp_path / "a.npz")) | changes)
    with pytest.raises(InputError, match=message):
        read_motion(tmp_path / "b.npz")


def test_motions_of_amass_have_one_sample_and_their_shape(tmp_path: Path) -> None:
    vectors = np.random.default_rng(2).normal(0, 0.3, (4, 156))
    betas = np.linspace(-1, 1, 16)
    np.savez(tmp_path / "a.npz", poses=vectors, trans=np.zeros((4, 3)), mocap_framerate=120.0, betas=betas)
    found = read_motion(tmp_path / "a.npz")
    assert found.rotations.shape == (4, 1, 22, 4)
    np.testing.assert_allclose(json.loads(found.settings["betas"]), betas)
    theirs = Rotation.from_rotvec(vectors[:, 3:66].reshape(-1, 3)).as_matrix().reshape(4, 21, 3, 3)
    own = Rotation.from_quat(smpl_quaternions(found.mean)[:, 1:].reshape(-1, 4)).as_matrix().reshape(4, 21, 3, 3)
    np.testing.assert_allclose(own, theirs, atol=1e-5)
    assert torch.isfinite(found.points(found.mean[:, None])).all()


@pytest.mark.parametrize("command", ["view {here} --html {folder}/x.html", "ik {here} --picture {folder}/x.png"])
def test_a_body_model_that_is_not_there_is_refused_at_once(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, gone = tmp_path / "no_result.npz", tmp_path / "nix.npz"
    here.write_text("not even opened")
    assert main([*command.format(here=here, folder=tmp_path).split(), "--mesh", str(gone)]) == 2
    assert capsys.readouterr().err.strip() == f"poseterior: error: {gone}: no such file"


@pytest.mark.parametrize("command", ["view {here} --html {folder}/x.html", "ik {here} --picture {folder}/x.png"])
def test_a_folder_is_no_body_model(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = tmp_path / "no_result.npz"
    here.write_text("not even opened")
    assert main([*command.format(here=here, folder=tmp_path).split(), "--mesh", str(tmp_path)]) == 2
    assert capsys.readouterr().err.strip() == (
        f"poseterior: error: {tmp_path}: is a folder; name the file of a model (SMPL, SMPL-H or SMPL-X: .npz or .pkl)"
    )


@pytest.mark.parametrize("command", ["view {here} --html {folder}/x.html", "ik {here} --picture {folder}/x.png"])
def test_no_work_is_announced_for_a_file_that_is_no_body_model(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, wrong = tmp_path / "standing.npz", tmp_path / "wrong.npz"
    standing_result(1).save(here)
    np.savez(wrong, a=np.zeros(3))
    assert main([*command.format(here=here, folder=tmp_path).split(), "--mesh", str(wrong)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"poseterior: error: {wrong}: no array ")
