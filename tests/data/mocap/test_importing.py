from __future__ import annotations

import os
import re

import numpy as np
import pytest
import rig_files
from mocap_files import amc, asf, cmu_bvh, random_cmu_bvh
from scipy.spatial.transform import Rotation

from conftest import SHARED
from poseterior.data.mocap.asfamc import read_asf
from poseterior.data.mocap.bvh import read_bvh, write_bvh
from poseterior.data.mocap.importing import find_files, import_mocap
from poseterior.data.mocap.inspection import inspect_store, save_figure, summarise_store
from poseterior.data.mocap.joint_tables import TABLES, JointTable, TPose, to_body
from poseterior.data.mocap.trunk import THORAX, lacks_thorax, mend_trunk
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS


@pytest.fixture
def folder(tmp_path):
    """Three BVH clips in folders, and something else."""
    root = tmp_path / "mocap"
    (root / "more").mkdir(parents=True)
    (root / "walking_10.bvh").write_text(random_cmu_bvh(30, 1)[0])
    (root / "walking_2.BVH").write_text(random_cmu_bvh(20, 2)[0])
    (root / "more/jump_high_1.bvh").write_text(random_cmu_bvh(10, 3)[0])
    (root / "notes.txt").write_text("not mocap")
    return root


def test_import_walks_folders_and_labels_clips(folder, tmp_path):
    report = import_mocap(folder, tmp_path / "store", "bvh")
    assert (report.clips, report.frames, report.skipped) == (3, 60, [])
    clips = report.store.clips.to_pydict()
    assert clips["clip"] == ["more/jump_high_1", "walking_2", "walking_10"]
    assert clips["frames"] == [10, 20, 30]
    assert clips["action"] == ["jump_high", "walking", "walking"]
    assert len(set(clips["subject"])) == 1, "one body, one subject"
    assert set(clips["source"]) == {"cmu-bvh"}
    assert "mocap.cs.cmu.edu" in report.store.metadata["licence"]
    assert "60 frames" in str(report)


def test_store_to_bvh_returns_the_positions_within_a_millimetre(folder, tmp_path):
    """BVH -> store -> BVH."""
    mocap = import_mocap(folder, tmp_path / "store", "bvh").store.load()
    for clip, name in enumerate(mocap.clip_names):
        rows = mocap.clip == clip
        write_bvh(tmp_path / "out.bvh", mocap.positions[rows], mocap.rotations[rows], float(mocap.fps[clip]))
        source = next(p for p in folder.rglob("*") if p.stem == name.split("/")[-1])
        expected, _, _ = to_body(mend_trunk(read_bvh(source)), TABLES["cmu-bvh"])
        found, _, _ = to_body(read_bvh(tmp_path / "out.bvh"), TABLES["smpl22-bvh"])
        assert np.linalg.norm(found - expected, axis=-1).max() < 1e-3
    report = import_mocap(tmp_path / "out.bvh", tmp_path / "again", "bvh")
    assert report.store.clips["source"].to_pylist() == ["smpl22-bvh"]


def test_asfamc_and_append(folder, tmp_path):
    other = tmp_path / "asf/07"
    other.mkdir(parents=True)
    (other / "07.asf").write_text(asf())
    (other / "07_01.amc").write_text(amc([{}, {"ltibia": [40.0]}]))
    import_mocap(folder, tmp_path / "store", "bvh")
    report = import_mocap([other], tmp_path / "store", "asfamc", append=True, fps=60)
    assert (report.clips, report.frames) == (1, 2)
    last = report.store.clips.to_pylist()[-1]
    assert last == {
        "clip": "07_01",
        "frames": 2,
        "subject": "07",
        "action": "unknown",
        "source": "cmu-asfamc",
        "fps": 60.0,
    }
    assert len(report.store) == 62


def test_the_bad_file_is_named_and_nothing_is_written(folder, tmp_path):
    (folder / "broken.bvh").write_text(cmu_bvh(frames=2)[:-100])
    with pytest.raises(InputError, match=r"broken\.bvh: 'Frames: 2' with 78 channels needs 156 values"):
        import_mocap(folder, tmp_path / "store", "bvh")
    assert sorted(os.listdir(tmp_path)) == ["mocap"]
    report = import_mocap(folder, tmp_path / "store", "bvh", skip_bad=True)
    assert report.clips == 3
    assert [path.name for path, _ in report.skipped] == ["broken.bvh"]
    assert "Frames: 2" in report.skipped[0][1]
    assert "broken.bvh: 'Frames: 2'" in str(report).split("skipped ")[1]
    with pytest.raises(InputError, match=r"none of 1 file\(s\) could be read; the first: .*broken\.bvh"):
        import_mocap(folder / "broken.bvh", tmp_path / "other", "bvh", skip_bad=True)


def test_wrong_units_are_noticed(folder, tmp_path):
    with pytest.raises(
        InputError, match=r"the left leg is 83\.\d+ m long .*--units cm makes it 0\.83\d m; --units takes m, cm, mm"
    ):
        import_mocap(folder, tmp_path / "store", "bvh", units="m")
    with pytest.raises(InputError, match="unknown length unit 'furlong'; known: m, cm, mm, in, ft"):
        import_mocap(folder, tmp_path / "store", "bvh", units="furlong")
    a = import_mocap(folder, tmp_path / "a", "bvh").store.load()
    b = import_mocap(folder, tmp_path / "b", "bvh", units=0.012).store.load()
    np.testing.assert_allclose(b.positions, a.positions * 1.2, rtol=1e-5)


def test_z_up_worlds_are_turned(folder, tmp_path):
    """A file whose world has z up gives the pose of its y-up twin."""
    text, angles, root = random_cmu_bvh(6, 4)
    turn = Rotation.from_euler("x", 90, degrees=True)  # y up -> z up
    hips = Rotation.from_euler("ZYX", angles["Hips"], degrees=True)
    turned = dict(angles, Hips=(turn * hips).as_euler("ZYX", degrees=True))
    (tmp_path / "y.bvh").write_text(text)
    (tmp_path / "z.bvh").write_text(cmu_bvh(turned, turn.apply(root), 6))
    y = import_mocap(tmp_path / "y.bvh", tmp_path / "sy", "bvh").store.load()
    z = import_mocap(tmp_path / "z.bvh", tmp_path / "sz", "bvh", up="z").store.load()
    np.testing.assert_allclose(z.positions, y.positions, atol=1e-5)
    np.testing.assert_allclose(np.abs((z.rotations * y.rotations).sum(-1)), 1, atol=1e-5)


def test_a_table_of_ones_own(tmp_path):
    """A skeleton that is not known: the user hands a joint table."""
    (tmp_path / "a.bvh").write_text(cmu_bvh(frames=2).replace("LeftHand", "Paw"))
    with pytest.raises(
        InputError, match=r"a\.bvh: no joint table for this skeleton: no left hand among its joints\. It has: Hips, "
    ):
        import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh")
    known = TABLES["cmu-bvh"]
    table = JointTable(
        "dog",
        {**known.positions, "left_wrist": {"Paw": 1.0}},
        {**known.frames, "left_wrist": ("Paw", TPose())},
        {**known.h36m17, "left_wrist": {"Paw": 1.0}},
        scale=0.01,
    )
    store = import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh", table=table, subject="Rex").store
    assert store.clips["source"].to_pylist() == ["dog"]
    assert store.clips["subject"].to_pylist() == ["Rex"]


def test_tables_are_checked():
    known = TABLES["cmu-bvh"]
    with pytest.raises(InputError, match="joint table 'x': the weights of 'pelvis' do not sum to 1"):
        JointTable("x", {**known.positions, "pelvis": {"Hips": 0.5}}, known.frames, known.h36m17)
    with pytest.raises(InputError, match="joint table 'x': smpl22 has no joint 'tail'"):
        JointTable("x", {**known.positions, "tail": {"Hips": 1.0}}, known.frames, known.h36m17)
    with pytest.raises(InputError, match="joint table 'x': no rule for smpl22 joint 'pelvis'"):
        JointTable("x", {}, known.frames, known.h36m17)
    for table in TABLES.values():
        for _, pose in table.frames.values():
            matrix = pose.matrix()
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(matrix) == pytest.approx(1)


def test_bad_arguments(folder, tmp_path):
    with pytest.raises(
        InputError,
        match="unknown mocap format 'fbx'; known: bvh, asfamc, amass, gltf; turn it into glTF with Blender: blender -b",
    ):
        import_mocap(folder, tmp_path / "s", "fbx")
    with pytest.raises(InputError, match="nowhere: does not exist"):
        import_mocap(folder / "nowhere", tmp_path / "s", "bvh")
    with pytest.raises(InputError, match=r"no \*\.amc file found"):
        import_mocap(folder, tmp_path / "s", "asfamc")
    with pytest.raises(InputError, match="fps is 60; give a positive rate, and not for amass"):
        import_mocap(folder, tmp_path / "s", "amass", fps=60)
    with pytest.raises(InputError, match="rig is 'mixamo'; give it for bvh and gltf only"):
        import_mocap(folder, tmp_path / "s", "amass", rig="mixamo")
    with pytest.raises(InputError, match="trunk is 'new'; expected mended or as-is"):
        import_mocap(folder, tmp_path / "s", "bvh", trunk="new")
    with pytest.raises(InputError, match="up is 'w'; expected y, z, x, -y, -z, -x"):
        import_mocap(folder, tmp_path / "s", "bvh", up="w")
    with pytest.raises(InputError, match="no path given"):
        find_files([], "bvh")


def test_progress_shows_throughput(folder, tmp_path, capsys):
    import_mocap(folder, tmp_path / "s", "bvh", progress=True)
    shown = capsys.readouterr().out
    assert "import bvh" in shown
    assert "frames/s" in shown


def test_progress_fits_eighty_columns_and_vanishes_before_an_error(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    import_mocap(folder, tmp_path / "s", "bvh", progress=True)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "import bvh" in line]
    assert len(line) <= 80
    assert re.search(r"import bvh ━+ \d+\.\d/\d+\.\d kB \d.* frames/s \d:\d\d:\d\d", line), "nothing is cut or wrapped"
    (folder / "broken.bvh").write_text(cmu_bvh(frames=2)[:-100])
    with pytest.raises(InputError, match=r"broken\.bvh"):
        import_mocap(folder / "broken.bvh", tmp_path / "t", "bvh", progress=True)
    assert "import" not in capsys.readouterr().out


def test_an_existing_store_names_both_ways(folder, tmp_path):
    import_mocap(folder, tmp_path / "s", "bvh")
    message = (
        f"{tmp_path / 's'}: exists already; pass --overwrite or --append (overwrite=True or append=True in Python), "
        "or choose another folder"
    )
    with pytest.raises(InputError) as caught:
        import_mocap(folder, tmp_path / "s", "bvh")
    assert str(caught.value) == message


def test_amass_folders_skip_files_without_motion(tmp_path):
    folder = tmp_path / "CMU/01"
    folder.mkdir(parents=True)
    np.savez(folder / "shape.npz", betas=np.zeros(16))
    np.savez(folder / "01_01_poses.npz", poses=np.zeros((3, 156)), trans=np.zeros((3, 3)), mocap_framerate=120.0)
    store = import_mocap(tmp_path / "CMU", tmp_path / "s", "amass").store
    assert store.clips.to_pylist() == [
        {
            "clip": "01/01_01_poses",
            "frames": 3,
            "subject": "01",
            "action": "01_01_poses",
            "source": "amass",
            "fps": 120.0,
        }
    ]


def test_inspection(folder, tmp_path):
    import_mocap(folder, tmp_path / "store", "bvh")
    summary = summarise_store(PoseStore(tmp_path / "store"))
    assert (summary.clips, summary.frames, summary.missing) == (3, 60, ())
    assert summary.hours == pytest.approx(60 / 60 / 3600)
    assert summary.actions == {"jump_high": (1, 10), "walking": (2, 50)}
    (bones,) = summary.bones.values()
    np.testing.assert_allclose(bones[:8, 0], bones[:8, 1], atol=1e-5)  # rigid: mean = min = max
    np.testing.assert_allclose(bones[4], 0.275, atol=1e-5)  # the left upper arm

    tables, figure = inspect_store(tmp_path / "store", poses=5, seed=2)
    from rich.console import Console

    console = Console(width=140, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for table in tables:
        console.print(table)
    text = console.export_text()
    for word in ("clips", "60", "walking", "left upper arm", "275.0", "mocap.cs.cmu.edu"):
        assert word in text
    assert len(figure.axes) == 5
    path = save_figure(figure, tmp_path / "poses.png")
    assert path.read_bytes()[:4] == b"\x89PNG"
    for poses in (0, 61):
        with pytest.raises(InputError, match=rf"poses is {poses}; expected 1 to 60, which is what a picture can show"):
            inspect_store(tmp_path / "store", poses=poses)
    with pytest.raises(InputError, match=r"store: is a folder; give the name of a file"):
        save_figure(figure, tmp_path / "store")
    with pytest.raises(InputError, match=r"poses\.png/b\.png: cannot be written"):
        save_figure(figure, tmp_path / "poses.png/b.png")


@pytest.mark.parametrize("poses", [1, 7, 12])
def test_titles_of_the_picture_overlap_nothing(folder, tmp_path, poses):
    """Panels, their titles and the heading stand apart, and the people fill their panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for file in [path for path in folder.rglob("*") if path.suffix.lower() == ".bvh"]:
        file.rename(folder / f"a_very_long_name_of_a_clip_that_is_wider_than_its_panel_{file.stem}.bvh")
    mocap = import_mocap(folder, tmp_path / "wide", "bvh").store.load()
    with PoseStore.create(tmp_path / "store") as writer:  # people as narrow as those who stand
        for clip, name in enumerate(mocap.clip_names):
            rows = mocap.clip == clip
            narrow = (mocap.positions[rows] * [0.3, 1.0, 0.3]).astype(np.float32)
            writer.add(name, narrow, mocap.rotations[rows], mocap.h36m17[rows], fps=60.0)
    _, figure = inspect_store(tmp_path / "store", poses=poses)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    boxes += [axes.title.get_window_extent() for axes in figure.axes] + [figure._suptitle.get_window_extent()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1
    heights = [np.ptp(np.concatenate([line.get_ydata() for line in axes.get_lines()])) for axes in figure.axes]
    assert max(heights) > 0.75 * np.ptp(figure.axes[0].get_ylim())


def test_sides_have_the_palettes_colours(folder, tmp_path):
    import_mocap(folder, tmp_path / "store", "bvh")
    _, figure = inspect_store(tmp_path / "store", poses=1)
    skeleton = SKELETONS["smpl22"]
    colours = [line.get_color() for line in figure.axes[0].get_lines()]
    sides = [skeleton.sides[child] for child, _ in skeleton.bones]
    assert dict(zip(sides, colours, strict=True)) == {"left": "#0072B2", "right": "#D55E00", "middle": "#4A5568"}


# -- what people bring ---------------------------------------------------------------------------------------


def test_units_are_found_by_the_leg_and_said(tmp_path, caplog):
    """CMU's usual release is in 1/0.45 inch; an explicit wrong unit is refused with the number that fits."""
    text = random_cmu_bvh(6, 4)[0]
    rows = text.split("\n")
    inches = 0.01 / (0.0254 / 0.45)
    scaled = [
        "OFFSET " + " ".join(f"{float(v) * inches:.7f}" for v in line.split()[1:]) if "OFFSET" in line else line
        for line in rows
    ]
    path = tmp_path / "a.bvh"
    path.write_text("\n".join(scaled))
    store = import_mocap(path, tmp_path / "s", "bvh").store.load()
    legs = np.linalg.norm(store.positions[0, [1, 4]] - store.positions[0, [4, 7]], axis=-1).sum()
    assert legs == pytest.approx(0.834, abs=2e-3)
    assert [r.getMessage() for r in caplog.records] == [
        "a.bvh: its unit is taken as 0.0564444 m (1/0.45 inch, the usual CMU release), which makes the leg 0.834 m; "
        "pass --units if it is another"
    ]
    with pytest.raises(InputError) as caught:
        import_mocap(path, tmp_path / "t", "bvh", units="in")
    assert str(caught.value) == (
        f"{path}: the left leg is 0.375 m long (hip, knee, ankle; a body's is 0.65 to 1.05); the unit is wrong: "
        "--units 0.0564444 (1/0.45 inch, the usual CMU release) makes it 0.834 m; --units takes m, cm, mm, in, ft or "
        "metres in one unit; or --any-size if this body is that small or large"
    )
    import_mocap(path, tmp_path / "t", "bvh", units="in", any_size=True)
    import_mocap(path, tmp_path / "u", "bvh", units="0.056444")


def test_a_unit_that_nothing_tells_is_made_to_fit_and_said(tmp_path, caplog):
    rig = rig_files.kinds()["xsens-segments"]
    path = tmp_path / "odd.bvh"
    path.write_text(rig.text(rig_files.body_motion(8), unit=26.0))
    store = import_mocap(path, tmp_path / "s", "bvh").store.load()
    assert np.linalg.norm(store.positions[0, [1, 4]] - store.positions[0, [4, 7]], axis=-1).sum() == pytest.approx(0.85)
    (said,) = [r.getMessage() for r in caplog.records]
    assert said.startswith("odd.bvh: no usual unit makes its leg (21.7 units) a body's; taken as 0.0392 m a unit")
    caplog.clear()
    path.write_text(rig.text(rig_files.body_motion(8), unit=60.0))  # a child of 0.5 m legs in centimetres
    with pytest.raises(InputError, match=r"the left leg is 0\.501 m long .*--any-size"):
        import_mocap(path, tmp_path / "t", "bvh")
    child = import_mocap(path, tmp_path / "t", "bvh", units="cm", any_size=True).store.load()
    assert np.linalg.norm(child.positions[0, 1] - child.positions[0, 4]) == pytest.approx(0.412 * 0.6, abs=2e-3)


def test_links_are_followed(folder, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    (links / "walk_1.bvh").symlink_to(folder / "walking_2.BVH")
    (links / "far").symlink_to(folder / "more")
    (links / "round").symlink_to(links)
    report = import_mocap(links, tmp_path / "s", "bvh")
    assert report.store.clips["clip"].to_pylist() == ["far/jump_high_1", "walk_1"]


def test_fbx_says_how_to_convert(tmp_path):
    (tmp_path / "dance.fbx").write_bytes(b"Kaydara FBX Binary  ")
    for given in (tmp_path / "dance.fbx", tmp_path):
        with pytest.raises(InputError, match=r"not read; turn it into glTF with Blender: blender -b --python-expr"):
            import_mocap(given, tmp_path / "s", "bvh")


def test_a_rate_that_blender_writes_is_questioned(folder, tmp_path, caplog):
    (tmp_path / "a.bvh").write_text(cmu_bvh(frames=5, frame_time=0.041667))
    assert import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh").store.clips["fps"].to_pylist() == [24.0]
    (said,) = [r.getMessage() for r in caplog.records]
    assert said.startswith(
        "a.bvh: 24 frames a second, which Blender writes whatever the clip was recorded at; pass --fps"
    )
    caplog.clear()
    report = import_mocap(tmp_path / "a.bvh", tmp_path / "t", "bvh", fps=60)
    assert report.store.clips["fps"].to_pylist() == [60.0]
    assert not caplog.records


@pytest.mark.parametrize("seconds", [0, 30])  # some write the rate, or milliseconds, as the frame time
def test_a_frame_time_that_is_none_can_be_told(seconds, tmp_path, caplog):
    (tmp_path / "a.bvh").write_text(cmu_bvh(frames=5, frame_time=seconds))
    if seconds:
        import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh")
        (said,) = [r.getMessage() for r in caplog.records]
        assert said == "a.bvh: a frame each 30 s, as few clips have; pass --fps if that is wrong"
        caplog.clear()
    else:
        with pytest.raises(InputError, match=r"a.bvh: frame time 0.0 s; expected a positive number; pass --fps"):
            import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh")
    report = import_mocap(tmp_path / "a.bvh", tmp_path / "t", "bvh", fps=29.99)
    np.testing.assert_allclose(report.store.clips["fps"].to_numpy(), 29.99, rtol=1e-6)
    assert not caplog.records


def test_people_who_lie_are_questioned(tmp_path, caplog):
    """AMASS' layout with y up lies down; --up mends it."""
    poses = np.zeros((5, 156))
    np.savez(tmp_path / "a.npz", poses=poses, trans=np.zeros((5, 3)), mocap_framerate=30.0)
    lying = import_mocap(tmp_path / "a.npz", tmp_path / "s", "amass").store.load()
    assert lying.positions[0, 15, 1] == pytest.approx(lying.positions[0, 0, 1], abs=0.2)
    (said,) = [r.getMessage() for r in caplog.records]
    assert said == "s: most people lie: they would stand with y up; pass --up y if that is up in the files"
    caplog.clear()
    standing = import_mocap(tmp_path / "a.npz", tmp_path / "t", "amass", up="y").store.load()
    assert standing.positions[0, 15, 1] > standing.positions[0, 0, 1] + 0.4
    np.testing.assert_allclose(np.abs(standing.rotations[:, 0] @ [0, 0, 0, 1]), 1, atol=1e-6)
    assert not caplog.records


def test_lying_bvh_is_questioned(folder, tmp_path, caplog):
    _, angles, root = random_cmu_bvh(8, 4)
    lie = Rotation.from_euler("x", 90, degrees=True)
    turned = dict(
        angles, Hips=(lie * Rotation.from_euler("ZYX", angles["Hips"], degrees=True)).as_euler("ZYX", degrees=True)
    )
    (tmp_path / "a.bvh").write_text(cmu_bvh(turned, root, 8))
    import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh")
    assert [r.getMessage() for r in caplog.records] == [
        "s: most people lie: they would stand with z up; pass --up z if that is up in the files"
    ]


# -- CMU's trunk ---------------------------------------------------------------------------------------------


def test_the_bone_that_cmu_lacks_is_put_back(tmp_path):
    """The same motion with and without its thorax: put back, everything above is where it was."""
    text = random_cmu_bvh(10, 3)[0]
    (tmp_path / "lacks.bvh").write_text(text)
    bone = THORAX * np.linalg.norm(np.array([0, 11.7, -0.3]))
    whole = text.splitlines()
    for joint in ("Neck", "LeftShoulder", "RightShoulder"):
        where = next(i for i, line in enumerate(whole) if line.split()[-1:] == [joint])
        assert np.array(whole[where + 2].split()[1:], dtype=float).tolist() == [0.0, 0.0, 0.0]
        whole[where + 2] = "OFFSET " + " ".join(f"{v:.9f}" for v in bone)
    (tmp_path / "whole.bvh").write_text("\n".join(whole))
    right, lacking = read_bvh(tmp_path / "whole.bvh"), read_bvh(tmp_path / "lacks.bvh")
    assert lacks_thorax(lacking)
    assert not lacks_thorax(right)
    np.testing.assert_allclose(mend_trunk(lacking).positions, right.positions, atol=1e-6)
    assert mend_trunk(right) is right
    as_is = import_mocap(tmp_path / "lacks.bvh", tmp_path / "s", "bvh", trunk="as-is").store.load()
    mended = import_mocap(tmp_path / "lacks.bvh", tmp_path / "t", "bvh").store.load()
    np.testing.assert_array_equal(as_is.rotations, mended.rotations)
    above = [j for j, name in enumerate(SKELETONS["smpl22"].joints) if name.split("_")[-1] in
             ("neck", "head", "collar", "shoulder", "elbow", "wrist")]  # fmt: skip
    moved = np.linalg.norm(mended.positions - as_is.positions, axis=-1)
    np.testing.assert_allclose(moved[:, above], 0.1172, atol=1e-3)
    assert moved[:, [j for j in range(22) if j not in above]].max() == 0.0


def test_a_first_frame_at_rest_is_dropped_and_said(tmp_path, caplog):
    generator = np.random.default_rng(0)
    angles = {"LeftArm": np.r_[np.zeros((1, 3)), generator.normal([-70.0, 0, 0], 1, (9, 3))],
              "RightArm": np.r_[np.zeros((1, 3)), generator.normal([70.0, 0, 0], 1, (9, 3))]}  # fmt: skip
    (tmp_path / "a.bvh").write_text(cmu_bvh(angles, frames=10))
    kept = import_mocap(tmp_path / "a.bvh", tmp_path / "s", "bvh", first_frame="keep").store
    dropped = import_mocap(tmp_path / "a.bvh", tmp_path / "t", "bvh").store
    assert (len(kept), len(dropped)) == (10, 9)
    np.testing.assert_array_equal(kept.load().positions[1:], dropped.load().positions)
    assert [r.getMessage() for r in caplog.records] == [
        "a.bvh: the first frame is a T-pose far from the second, and left out"
    ]
    (tmp_path / "b.bvh").write_text(cmu_bvh({j: a[1:] for j, a in angles.items()}, frames=9))
    assert len(import_mocap(tmp_path / "b.bvh", tmp_path / "u", "bvh").store) == 9


@pytest.mark.skipif(
    not (SHARED / "data/mocap/cmu").is_dir(), reason="development mocap (shared/data/mocap) is not here"
)
def test_the_thorax_of_other_bodies_is_predicted():
    """In every ASF skeleton at hand the thorax is what `THORAX` says to 2 mm along the trunk, 7 mm across."""
    for name in ("asfamc/01/01.asf", "asfamc/03/03.asf", "people/35/35.asf", "people/49/49.asf"):
        bones = {bone.name: np.array(bone.offset) for bone in read_asf(SHARED / "data/mocap/cmu" / name).bones}
        predicted = THORAX * np.linalg.norm(bones["upperback"])
        difference = np.abs(predicted - bones["thorax"])
        assert difference[1] < 0.002
        assert difference.max() < 0.007
