"""Result files: exact round trips, readable by others, clear refusals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from poseterior.files.errors import InputError
from poseterior.files.writing import check_writable
from poseterior.geometry.skeletons import get_skeleton
from poseterior.results.poses import LiftResult, load_result, save_result

FORMATS = ("npz", "parquet", "json")
ARRAYS = (
    "samples", "mean", "covariance", "log_prob", "region_center", "region_radius", "pose_radius", "keypoints",
    "keypoint_covariance", "visible", "image_size", "intrinsics", "root", "root_covariance", "file", "frame", "person",
)  # fmt: skip
CONSTANTS = (
    "level", "calibrated", "joint_names", "skeleton", "units", "axes", "origin", "lifter", "seed", "version",
    "settings", "schema",
)  # fmt: skip


def make_result(poses: int = 3, drawn: int = 5, **changes: object) -> LiftResult:
    rng = np.random.default_rng(7)
    joints = 17
    visible = rng.random((poses, joints)) > 0.2
    keypoints = rng.normal(300, 80, (poses, joints, 2))
    keypoints[~visible] = np.nan
    keypoint_covariance = np.tile(np.eye(2) * 4, (poses, joints, 1, 1))
    keypoint_covariance[~visible] = np.nan
    image_size = np.full((poses, 2), np.nan)
    image_size[:1] = (640, 480)
    samples = rng.normal(0, 0.3, (poses, drawn, joints, 3)).astype(np.float32)
    values: dict[str, object] = {
        "samples": samples,
        "mean": rng.normal(0, 0.3, (poses, joints, 3)),
        "covariance": np.tile(np.diag([1e-4, 2e-4, 9e-4]), (poses, joints, 1, 1)),
        "log_prob": np.full((poses, drawn), np.nan),
        "region_center": rng.normal(0, 0.3, (poses, joints, 3)),
        "region_radius": rng.uniform(0.02, 0.3, (poses, joints)),
        "pose_radius": rng.uniform(0.3, 0.6, (poses, joints)),
        "level": 0.8,
        "calibrated": True,
        "intrinsics": np.where(np.arange(poses)[:, None] == 0, np.nan, 500.0 + np.arange(4)),
        "keypoints": keypoints,
        "keypoint_covariance": keypoint_covariance,
        "visible": visible,
        "image_size": image_size,
        "file": [f"données/b ild {i}.json" for i in range(poses)],
        "frame": np.arange(poses),
        "person": np.zeros(poses, int),
        "joint_names": get_skeleton("h36m17").joints,
        "lifter": "mdn",
        "seed": 3,
        "settings": {"camera": "field of view 50° assumed", "height": "unknown"},
    }
    return LiftResult(**(values | changes))  # type: ignore[arg-type]


def assert_same(one: LiftResult, two: LiftResult) -> None:
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(two, name)
        assert a.dtype.kind == b.dtype.kind
        np.testing.assert_array_equal(a, b, err_msg=name)
    for name in CONSTANTS:
        assert getattr(one, name) == getattr(two, name), name


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    "changes",
    [
        {}, {"seed": None, "settings": {}}, {"level": 0.95, "calibrated": False}, {"poses": 1, "drawn": 1},
        {"poses": 0, "drawn": 0}, {"drawn": 0},
    ],
)  # fmt: skip
def test_round_trip_is_exact(tmp_path: Path, suffix: str, changes: dict) -> None:
    result = make_result(**changes)
    save_result(result, tmp_path / f"r.{suffix}", samples=True)
    assert_same(load_result(tmp_path / f"r.{suffix}"), result)
    assert os.listdir(tmp_path) == [f"r.{suffix}"]


def test_json_leaves_samples_out_unless_asked(tmp_path: Path) -> None:
    result = make_result()
    save_result(result, tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    assert "samples" not in document
    assert "log_prob" not in document
    assert document["axes"] == "x right, y down, z forward (camera)"
    assert document["origin"] == "pelvis"
    loaded = load_result(tmp_path / "r.json")
    assert loaded.samples.shape == (3, 0, 17, 3)
    np.testing.assert_array_equal(loaded.mean, result.mean)


def test_parquet_is_readable_by_pandas_and_polars(tmp_path: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    import pyarrow.parquet as pq

    path = tmp_path / "r.parquet"
    result = make_result()
    save_result(result, path)
    about = json.loads(pq.read_schema(path).metadata[b"poseterior"])
    assert about["joint_names"] == list(result.joint_names)
    assert about["settings"] == result.settings
    for table in (pandas.read_parquet(path), polars.read_parquet(path)):
        assert len(table) == 3
        for name in ("samples", "mean", "covariance", "keypoints", "visible", "image_size"):
            rows = np.stack([np.asarray(row) for row in table[name]])
            values = rows.reshape(-1, *about["shapes"][name])
            np.testing.assert_array_equal(values, getattr(result, name))
        assert list(table["file"]) == result.file.tolist()
    mean = polars.read_parquet(path)["mean"].to_numpy().reshape(-1, 17, 3)
    np.testing.assert_array_equal(mean, result.mean)


def test_npz_holds_plain_arrays(tmp_path: Path) -> None:
    save_result(make_result(), tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz", allow_pickle=False) as archive:
        assert archive["joint_names"].dtype.kind == "U"
        assert archive["joint_names"][0] == "pelvis"
        assert archive["units"].item() == "metres"
        assert archive["samples"].dtype == np.float32


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_thousand_poses_are_written_and_read_in_seconds(tmp_path: Path, suffix: str) -> None:
    result = make_result(1000, 200)
    start = time.perf_counter()
    save_result(result, tmp_path / f"r.{suffix}")
    loaded = load_result(tmp_path / f"r.{suffix}")
    assert time.perf_counter() - start < 20
    np.testing.assert_array_equal(loaded.samples, result.samples)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"r.{suffix}"
    save_result(make_result(), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"empty|truncated|damaged|Parquet") as caught:
        load_result(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", FORMATS)
def test_another_programs_file_is_refused(tmp_path: Path, suffix: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / f"r.{suffix}"
    if suffix == "npz":
        np.savez(path, samples=np.zeros(3))
    elif suffix == "json":
        path.write_text('{"samples": []}')
    else:
        pq.write_table(pa.table({"samples": [1, 2]}), path)
    with pytest.raises(InputError, match="not a poseterior result"):
        load_result(path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    save_result(make_result(), path)
    path.write_text(path.read_text().replace("poseterior.result/2", "poseterior.result/9"))
    with pytest.raises(InputError, match=r"layout 'poseterior.result/9'.*reads '.*result/1' and '.*result/2'"):
        load_result(path)


def test_damaged_json_fields_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    save_result(make_result(), path)
    good = json.loads(path.read_text())
    for name in good:
        for value in (None, 5, "x", [1, "a"], [[1], [2, 3]], {}):
            path.write_text(json.dumps(good | {name: value}))
            free_text = name in ("lifter", "version", "skeleton", "settings", "seed")
            with contextlib.suppress(InputError) if free_text else pytest.raises(InputError, match=str(path)):
                load_result(path)
        path.write_text(json.dumps({k: v for k, v in good.items() if k != name}))
        if name == "angle_calibration":  # earlier files lack it
            assert load_result(path).angle_calibration == ""
            continue
        with pytest.raises(InputError, match=name):
            load_result(path)


def rewrite_npz(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in (members | {f"{name}.npy": content}).items():
            archive.writestr(member, data)


def test_huge_claim_in_a_header_is_refused_before_allocation(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    save_result(make_result(), path)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12, 17, 3)})
    rewrite_npz(path, "mean", header.getvalue() + b"\0" * 100)
    with pytest.raises(InputError, match=r"mean: the header claims 204,000,000,000,000 bytes.*file has 100"):
        load_result(path)


def test_pickle_in_npz_is_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "r.npz"
    save_result(make_result(), path)
    pickled = io.BytesIO()
    np.save(pickled, np.asarray([{"a": 1}], dtype=object), allow_pickle=True)
    rewrite_npz(path, "settings", pickled.getvalue())
    with pytest.raises(InputError, match="settings: holds pickled Python objects"):
        load_result(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": np.zeros((3, 16, 3))}, r"mean has shape \(3, 16, 3\); expected \(3, 17, 3\)"),
        ({"samples": np.zeros((3, 17, 3))}, r"samples has shape .* expected \(poses, samples, joints, 3\)"),
        (
            {"mean": np.full((3, 17, 3), np.nan)},
            "mean: pose 0, joint 'pelvis' has nan; expected a finite number",
        ),
        ({"log_prob": np.full((3, 5), np.inf)}, "log_prob: pose 0, sample 0 has inf"),
        ({"visible": np.ones((3, 17), bool)}, "keypoints: pose 0, joint '.*' has nan; expected numbers, or"),
        ({"joint_names": ["a"] * 17}, "joint_names: skeleton 'h36m17' has the joints pelvis, right_hip"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"frame": [0.5, 1, 2]}, "frame: expected an array of int64"),
        ({"level": 1.0}, "level: expected a probability above 0 and below 1, e.g. 0.9, got 1.0"),
        ({"calibrated": 1}, "calibrated: expected true or false, got 1"),
        ({"region_radius": np.zeros((3, 16))}, r"region_radius has shape \(3, 16\); expected \(3, 17\)"),
        ({"pose_radius": np.full((3, 17), np.nan)}, "pose_radius: pose 0, joint 'pelvis' has nan; expected a finite"),
    ],
)
def test_wrong_fields_are_named(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_result(**changes)


def test_wrong_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown extension '.txt'; use one of: .npz, .parquet, .json"):
        save_result(make_result(), tmp_path / "r.txt")
    with pytest.raises(InputError, match=r"no/r\.npz: the folder .*no does not exist; make it first"):
        save_result(make_result(), tmp_path / "no" / "r.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=r"folder\.npz: is a folder; give the name of a file"):
        save_result(make_result(), tmp_path / "folder.npz")
    with pytest.raises(InputError, match="no such file"):
        load_result(tmp_path / "r.npz")


def test_check_writable_refuses_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable("new.npz")
    (tmp_path / "old.npz").write_text("kept")
    check_writable("old.npz")
    assert os.listdir(tmp_path) == ["old.npz"]
    assert (tmp_path / "old.npz").read_text() == "kept"
    for path, message in {
        "out/none/x.npz": "out/none/x.npz: the folder out/none does not exist; make it first",
        "old.npz/x.npz": "old.npz/x.npz: old.npz is a file, not a folder; choose another path",
        ".": ".: is a folder; give the name of a file",
        os.devnull: f"{os.devnull}: is not a plain file; choose another name",
    }.items():
        with pytest.raises(InputError) as caught:
            check_writable(path)
        assert str(caught.value) == message
    with pytest.raises(InputError, match=r"x+\.npz: cannot be written \(File name too long\)"):
        check_writable("x" * 300 + ".npz")
    monkeypatch.setattr(os, "access", lambda *_: False)  # also where the tests run as root
    with pytest.raises(InputError, match=r"new\.npz: no permission to write in the folder \.; choose another one"):
        check_writable("new.npz")


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r.npz"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(KeyboardInterrupt):
        save_result(make_result(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["r.npz"]


# -- regions -------------------------------------------------------------------------------------------


def without_region(poses: int = 3, drawn: int = 5, **changes: object) -> LiftResult:
    """As `make_result`, of a maker that gives no regions."""
    result = make_result(poses, drawn, **changes)
    missing = {"region_center", "region_radius", "pose_radius", "calibrated"}
    return LiftResult(**{name: getattr(result, name) for name in (*ARRAYS, *CONSTANTS) if name not in missing})


def test_regions_that_are_not_given_are_the_samples_own() -> None:
    import torch

    from poseterior.distributions.regions import region_of

    result = without_region(40, 50, level=0.7)
    samples = torch.from_numpy(result.samples).transpose(0, 1)
    expected = region_of(samples, get_skeleton("h36m17"), 0.7)
    assert not result.calibrated
    np.testing.assert_array_equal(result.region_center, expected.centre)
    np.testing.assert_array_equal(result.region_radius, expected.radius)
    np.testing.assert_array_equal(result.pose_radius, expected.pose_radius)
    assert without_region(0, 0).region_center.shape == (0, 17, 3)


def test_half_a_region_is_refused() -> None:
    fields = {name: getattr(make_result(), name) for name in (*ARRAYS, *CONSTANTS) if name != "pose_radius"}
    with pytest.raises(InputError, match="pose_radius: is missing; give region_center, region_radius, pose_radius, or"):
        LiftResult(**fields)
    del fields["region_center"], fields["region_radius"]
    with pytest.raises(InputError, match="calibrated: without region_center, region_radius, pose_radius regions are"):
        LiftResult(**fields)


def test_radius_of_a_normal_distribution() -> None:
    """Isotropic: chi with 3 degrees of freedom, 90 % quantile 2.5003. Bounds: 4 standard errors of a quantile."""
    rng = np.random.default_rng(0)
    drawn, covariance = 0.02 * rng.standard_normal((2, 4000, 17, 3)), np.tile(np.eye(3) * 0.02**2, (2, 17, 1, 1))
    of_samples = without_region(2, 4000, samples=drawn, mean=np.zeros((2, 17, 3)), covariance=covariance)
    of_covariance = without_region(2, 0, mean=of_samples.mean, covariance=covariance)
    for result in (of_samples, of_covariance):
        np.testing.assert_allclose(result.sample_radius(0.9)[:, 1:], 0.02 * 2.5003, rtol=0.035)
        np.testing.assert_array_equal(result.sample_radius(0.9), result.at_level(0.9).region_radius)
    np.testing.assert_allclose(of_covariance.region_center, of_covariance.mean, atol=2e-3)


@pytest.mark.parametrize("drawn", [1, 9, 200])
def test_sample_radius_is_that_of_the_ball_around_the_samples_median(drawn: int) -> None:
    """Whatever the stored mean, covariance and regions are."""
    rng = np.random.default_rng(0)
    samples = 0.05 * rng.exponential(size=(2, drawn, 17, 3)).astype(np.float32)
    result = make_result(2, drawn, samples=samples, mean=np.full((2, 17, 3), 5.0))
    median = np.sort(samples, axis=1)[:, (drawn - 1) // 2][:, None]
    distance = np.maximum(np.linalg.norm(samples - median, axis=-1), 1e-3)[..., 1:]
    for level in (0.5, 0.9):
        np.testing.assert_allclose(
            result.sample_radius(level)[:, 1:], np.quantile(distance, level, axis=1), rtol=1e-5
        )  # fmt: skip
    if drawn == 200:
        assert ((distance <= result.sample_radius(0.9)[:, None, 1:]).sum(1) == 180).all()
    with pytest.raises(InputError, match="level: expected a probability above 0 and below 1"):
        result.sample_radius(2.0)


def test_the_old_radius_warns_and_is_the_samples() -> None:
    result = make_result()
    with pytest.warns(DeprecationWarning, match="LiftResult.radius is not calibrated: use region_radius"):
        old = result.radius(0.5)
    np.testing.assert_array_equal(old, result.sample_radius(0.5))


def test_labels_say_the_level_and_whether_it_is_calibrated() -> None:
    result = make_result()
    assert result.region_label() == "80 % radius (calibrated)"
    assert result.at_level(0.8) is result
    assert result.at_level(0.995).region_label("radius, mm") == "99.5 % radius, mm (uncalibrated)"
    assert make_result(level=0.29).region_label("balls") == "29 % balls (calibrated)"


# -- layout 1 ------------------------------------------------------------------------------------------


def as_layout_1(path: Path) -> None:
    """Turn a file of layout 2 into one as version 0.1.0 wrote it."""
    import pyarrow.parquet as pq

    new = ("region_center", "region_radius", "pose_radius", "intrinsics", "level", "calibrated")
    if path.suffix == ".npz":
        with np.load(path) as archive:
            fields = {name: archive[name] for name in archive.files if name not in new}
        fields["schema"] = np.asarray("poseterior.result/1")
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in fields.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, value)
    elif path.suffix == ".json":
        fields = {name: value for name, value in json.loads(path.read_text()).items() if name not in new}
        path.write_text(json.dumps(fields | {"schema": "poseterior.result/1"}))
    else:
        table = pq.read_table(path).drop_columns(list(new[:4]))
        about = json.loads(table.schema.metadata[b"poseterior"])
        about = {name: value for name, value in about.items() if name not in new} | {"schema": "poseterior.result/1"}
        about["shapes"] = {name: shape for name, shape in about["shapes"].items() if name not in new}
        pq.write_table(table.replace_schema_metadata({"poseterior": json.dumps(about)}), path)


def test_a_name_without_an_extension_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/nofolder: no such file$"):
        load_result(tmp_path / "nofolder")


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_of_layout_1_are_read_and_their_regions_are_uncalibrated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"r.{suffix}"
    result = make_result()
    result.save(path, samples=True)
    as_layout_1(path)
    loaded = load_result(path)
    assert loaded.schema == "poseterior.result/2"
    assert loaded.region_label() == "90 % radius (uncalibrated)"
    np.testing.assert_array_equal(loaded.samples, result.samples)
    np.testing.assert_array_equal(loaded.region_radius, result.sample_radius(0.9))
    assert np.isnan(loaded.intrinsics).all()
    loaded.save(path)
    assert not load_result(path).calibrated


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_real_file_of_version_0_1_is_read(suffix: str) -> None:
    """Written by the code before regions: two poses, three samples (JSON: none)."""
    loaded = load_result(Path(__file__).parents[1] / "golden" / f"result_1.{suffix}")
    assert (len(loaded), loaded.samples.shape[1]) == (2, 0 if suffix == "json" else 3)
    assert loaded.version == "0.1.0"
    assert loaded.lifter == "mdn"
    assert not loaded.calibrated
    assert (loaded.region_radius[:, 1:] > 0.003).all()


def test_repr_is_short() -> None:
    assert repr(make_result(5, 200)) == "LiftResult(5 poses, 200 samples, h36m17, lifter='mdn')"
    assert repr(make_result(1, 1, lifter="")) == "LiftResult(1 pose, 1 sample, h36m17, lifter='')"


def test_results_save_themselves(tmp_path: Path) -> None:
    result = make_result()
    result.save(tmp_path / "a.json")
    save_result(result, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_selection_of_poses() -> None:
    result = make_result()
    np.testing.assert_array_equal(result[[2, 0]].region_radius, result.region_radius[[2, 0]])
    assert result[1:].calibrated
    assert [rows.tolist() for rows in result.clips()] == [[0, 1, 2]]
    part = result[1:]
    assert len(part) == 2
    assert part.file.tolist() == result.file[1:].tolist()
    np.testing.assert_array_equal(result[[2]].mean[0], result.mean[2])
