"""Human3.6M's CDF files and the published detections: reading, refusing, training, evaluating per action."""

import contextlib
import json
import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from h36m_files import (
    BODY,
    absolute_poses,
    release,
    write_cdf,
    write_cdf_folder,
    write_pickle,
)

from conftest import SMALL
from poseterior.cli import main
from poseterior.data.observations import load_observations, save_observations
from poseterior.data.sets.h36m import (
    ACTIONS,
    Recording,
    cdf_file,
    fitted_covariance,
    hard_frames,
    read_h36m,
    read_positions,
    recordings,
)
from poseterior.data.sets.h36m_layout import DETECTED_JOINTS
from poseterior.files.errors import InputError
from poseterior.files.pickles import read_pickle
from poseterior.lifters import method_names
from poseterior.objectives.base import objective_names
from poseterior.training.batches import StoredObservations, split_observations

DETECTED = [BODY.index(joint) for joint in DETECTED_JOINTS]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """train.pickle and test.pickle with 3D poses, bare.pickle (test) without, cdf/ (test)."""
    folder = tmp_path_factory.mktemp("h36m")
    for split in ("train", "test"):
        write_pickle(folder / f"{split}.pickle", release(split))
    write_pickle(folder / "bare.pickle", release("test", with_poses=False))
    write_cdf_folder(folder / "cdf", "test")
    return folder


@pytest.fixture(scope="module")
def test_set(files):
    return read_h36m(files / "test.pickle", split="test")


# -- pickles as plain data -----------------------------------------------------------------------------------

PLAIN = {
    "numbers": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
    "big-endian": np.arange(3, dtype=">f4"),
    "bools": np.array([True, False]),
    "texts": np.array(["/S9/a.jpg", "b"]),
    "empty": np.zeros((0, 5)),
    "scalar": np.float64(2.5),
    "rest": [1, (2, None), {"a": b"bytes"}, "ünï"],
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back(tmp_path, protocol):
    back = read_pickle(write_pickle(tmp_path / "a.pickle", {k: v for k, v in PLAIN.items() if k != "rest"}, protocol))
    for name, value in back.items():
        assert np.array_equal(value, PLAIN[name])
        assert np.shape(value) == np.shape(PLAIN[name])
    assert read_pickle(write_pickle(tmp_path / "b.pickle", PLAIN["rest"], max(protocol, 3))) == PLAIN["rest"]


def test_names_of_the_older_numpy_are_known(tmp_path):
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps(np.arange(4.0), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert np.array_equal(read_pickle(path), np.arange(4.0))


class Runs:
    """Unpickled as anything usual would, it runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class Instance:
    pass


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_pickle(path)
    return str(error.value)


def test_commands_are_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    path = write_pickle(tmp_path / "evil.pickle", {"S1": [Runs(f"touch {trace}")]})
    assert refused(path) == (
        f"{path}: refused, it names {os.system.__module__}.system; only numpy arrays and builtin containers are read "
        "from a pickle, and nothing in it was run: get the file anew from where it was published"
    )
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # the same bytes are dangerous
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (pickle.dumps(Instance()), "it names test_h36m.Instance"),
        (pickle.dumps(torch.zeros(2)), "it names torch._utils._rebuild_tensor_v2"),
        (pickle.dumps(np.array([{}, None], dtype=object)), "it holds an array of type 'O8', not of plain numbers"),
        (pickle.dumps(np.zeros(2, dtype=[("a", "f4")])), "it holds an array of type 'V4', not of plain numbers"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "it names builtins.eval"),
        (b"cnumpy\nload\n(S'x'\ntR.", "it names numpy.load"),
        (b"cnumpy\nndarray\n(tR.", "it calls numpy.ndarray"),
        (b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.", "it holds bytes written as 'rot13'"),
        (b"cnumpy\ndtype\n(N}S'__call__'\nI1\nstb.", "it changes a function"),
    ],
)
def test_all_but_plain_data_is_refused(tmp_path, content, named):
    path = tmp_path / "a.pickle"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: refused, {named}")


class ForgedType:
    def __reduce__(self):
        return np.dtype, ("f8", False, True), (3, "<", None, ("a",), {"a": (np.dtype("f8"), 0)}, 8, 1, 0)


def test_a_forged_data_type_is_refused(tmp_path):
    """References hidden in a type that claims to hold none would be taken for addresses."""
    message = refused(write_pickle(tmp_path / "a.pickle", ForgedType()))
    assert "refused, it holds an array of a compound type, not of plain numbers or text" in message


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_state_of_another_size_is_an_error(tmp_path):
    content = pickle.dumps(np.zeros(2), 2).replace(b"K\x02\x85", b"K\x63\x85")
    assert "not a whole pickle file (cannot reshape array of size 2" in refused(_bytes(tmp_path / "a", content))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\x80\x02]r" + (2**26).to_bytes(4, "little") + b".", "it numbers an object 67108864 after 2 instructions"),
        (b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.", "it holds tuples nested more than 10 deep"),
        (b"\x80\x02}K\x01" + b"2\x86" * 40 + b"K\x01s.", "it holds tuples nested more than 10 deep"),
        (b"cbuiltins\nset\n(tR.", "it names builtins.set"),
    ],
    ids=["memo", "nested", "doubled", "sets"],
)
def test_what_exhausts_the_machine_is_refused(tmp_path, content, named):
    """A gigabyte for nothing, a stack that overflows, a hash that takes years, copies of one list."""
    assert f"refused, {named}" in refused(_bytes(tmp_path / "a.pickle", content))


def test_contents_are_made_once(tmp_path):
    """A long text that is remembered and made into bytes again and again."""
    text = b"X" + (100_000).to_bytes(4, "little") + b"a" * 100_000
    encoding = b"X" + (6).to_bytes(4, "little") + b"latin1"
    start = b"\x80\x02](c_codecs\nencode\nq\x00" + text + b"q\x01" + encoding + b"q\x02\x86R"
    twice = start + b"h\x00h\x01h\x02\x86R" + b"e."
    assert read_pickle(_bytes(tmp_path / "a.pickle", twice)) == [b"a" * 100_000] * 2
    often = start + 1000 * b"h\x00h\x01h\x02\x86R" + b"e."
    assert "refused, it unpacks to more than it holds" in refused(_bytes(tmp_path / "a.pickle", often))


def test_truncated_and_missing_files(tmp_path):
    whole = pickle.dumps(release("test", frames=1)["S9"]["Photo"])
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        path = _bytes(tmp_path / "cut.pickle", whole[:length])
        message = refused(path)
        assert message.startswith(f"{path}: not a whole pickle file (")
        assert message.endswith("was it copied or downloaded to its end?")
    assert (
        refused(tmp_path / "none.pickle") == f"{tmp_path / 'none.pickle'}: cannot be read (No such file or directory)"
    )


def test_random_bytes_never_escape(tmp_path):
    random = np.random.default_rng(0)
    whole = pickle.dumps({"a": np.arange(5.0), "b": ["x", 1]})
    for _ in range(300):
        content = bytearray(whole)
        for at in random.integers(0, len(whole), 3):
            content[at] = random.integers(256)
        with contextlib.suppress(InputError):
            read_pickle(_bytes(tmp_path / "a", bytes(content)))


# -- the 3D poses --------------------------------------------------------------------------------------------


def test_cdf_file_round_trip(tmp_path):
    absolute = absolute_poses(Recording("S9", "Eating", "0", "54138969"), 7)
    back = read_positions(write_cdf(tmp_path / "Eating.54138969.cdf", absolute))
    assert back.shape == (7, 17, 3)
    np.testing.assert_allclose(back, absolute, atol=1e-12)


def test_recordings_are_the_published_ones():
    assert len(list(recordings("train"))) == 5 * 15 * 2 * 4 - 1
    assert len(list(recordings("test"))) == 2 * 15 * 2 * 4 - 1
    assert Recording("S11", "Directions", "0", "54138969") not in set(recordings("test"))
    with pytest.raises(InputError, match="unknown split 'all'; known: train, test, test-hard"):
        list(recordings("all"))


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        (("S1", "Walking", "0", "54138969"), "Walking.54138969.cdf"),
        (("S1", "Walking", "1", "54138969"), "Walking 1.54138969.cdf"),
        (("S1", "Eating", "1", "55011271"), "Eating 2.55011271.cdf"),
        (("S5", "Discussion", "0", "58860488"), "Discussion 3.58860488.cdf"),
        (("S5", "Discussion", "1", "58860488"), "Discussion 2.58860488.cdf"),
        (("S6", "Waiting", "1", "60457274"), "Waiting 3.60457274.cdf"),
        (("S8", "WalkTogether", "0", "60457274"), "WalkTogether 2.60457274.cdf"),
        (("S8", "WalkTogether", "1", "60457274"), "WalkTogether 1.60457274.cdf"),
        (("S1", "Photo", "1", "54138969"), "TakingPhoto 1.54138969.cdf"),
        (("S7", "WalkDog", "0", "54138969"), "WalkingDog.54138969.cdf"),
    ],
)
def test_takes_are_found_under_their_names(tmp_path, recording, name):
    path = tmp_path / recording[0] / "MyPoseFeatures" / "D3_Positions_mono" / name
    path.parent.mkdir(parents=True)
    path.touch()
    assert cdf_file(tmp_path, Recording(*recording)) == path


def test_without_cdflib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cdflib", None)
    with pytest.raises(InputError, match=r"reading CDF files needs cdflib: pip install 'poseterior\[h36m\]'"):
        read_positions(tmp_path / "a.cdf")


def test_bad_cdf_files(tmp_path):
    path = tmp_path / "a.cdf"
    whole = write_cdf(path, np.zeros((3, 17, 3))).read_bytes()
    for content in (b"", b"nonsense" * 100, whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.cdf: not a readable CDF file \("):
            read_positions(path)
    broken = np.ones((3, 17, 3))
    broken[2, 9] = np.nan
    with pytest.raises(InputError, match=r"b\.cdf: joint 'neck_nose' of pose 2 is not finite"):
        read_positions(write_cdf(tmp_path / "b.cdf", broken))
    from cdflib.cdfwrite import CDF

    file = CDF(tmp_path / "c.cdf", cdf_spec={"Compressed": 0})
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": [4, 78]}
    file.write_var(spec, var_data=np.zeros((1, 4, 78)))
    file.close()
    with pytest.raises(InputError, match=r"shape \(4, 78\); expected \(frames, 96\): 32 joints, x, y, z in mm"):
        read_positions(tmp_path / "c.cdf")


# -- detections ----------------------------------------------------------------------------------------------


def test_the_covariance_is_that_of_the_fitted_function():
    """The published function, evaluated on a grid, has this covariance: the angle counts against image axes."""
    sigma_x, theta, sigma_y = 2.0, 0.5, 4.0
    y, x = np.mgrid[-30:31:0.25, -30:31:0.25]
    a = np.cos(theta) ** 2 / (2 * sigma_x**2) + np.sin(theta) ** 2 / (2 * sigma_y**2)
    b = np.sin(2 * theta) * (1 / (4 * sigma_y**2) - 1 / (4 * sigma_x**2))
    c = np.sin(theta) ** 2 / (2 * sigma_x**2) + np.cos(theta) ** 2 / (2 * sigma_y**2)
    weight = np.exp(-(a * x**2 + 2 * b * x * y + c * y**2))
    moments = np.array([[(weight * u * v).sum() for u in (x, y)] for v in (x, y)]) / weight.sum()
    for signs in ((1, 1), (-1, 1)):
        fit = np.array([0.9, 10, 20, signs[0] * sigma_x, theta, signs[1] * sigma_y, 0.01])
        np.testing.assert_allclose(fitted_covariance(fit, np.array(1.0)), moments, rtol=1e-6)
        np.testing.assert_allclose(fitted_covariance(fit, np.array(3.0)), 9 * moments, rtol=1e-6)
    wild = np.array([0.9, 10, 20, 1e9, 0.0, 1e-9, 0.01])
    np.testing.assert_allclose(fitted_covariance(wild, np.array(1.0)), np.diag([100.0, 0.04]))


def test_hard_frames_have_a_sigma_above_five():
    fits = np.full((4, 16, 7), 2.0)
    fits[1, 3, 3] = 5.1
    fits[2, 15, 5] = 5.1
    fits[3, 0, 3] = -9.0
    assert hard_frames(fits).tolist() == [False, True, True, False]


def test_observations_hold_what_the_pickle_holds(test_set, files):
    assert len(test_set) == 2 * 239
    assert test_set.protocol == "h36m-test v1"
    assert set(test_set.subject) == {"S9", "S11"}
    assert tuple(dict.fromkeys(test_set.action)) == ACTIONS
    o = test_set.observations
    i = 2 * list(recordings("test")).index(Recording("S11", "Phoning", "1", "58860488")) + 1
    assert o.keypoints.ids[i] == ("S11/Phoning/1/58860488", 8, 0)
    values = release("test")["S11"]["Phoning"]["1"]["58860488"]
    absolute = values["3d_gt"][1].reshape(3, 17).T / 1000
    np.testing.assert_allclose(o.pose[i] + o.root[i], absolute, atol=1e-5)
    assert (o.pose[:, 0] == 0).all()
    np.testing.assert_allclose(o.keypoints.xy[i, DETECTED], values["2d_hrnet"][1].reshape(2, 16).T, rtol=1e-6)
    assert o.keypoints.visible[i].tolist() == [joint != "neck_nose" for joint in BODY.joints]
    assert o.keypoints.image_size.isnan().all()
    assert o.keypoints.intrinsics.isnan().all()
    fits = values["gaussfit"][1].reshape(16, 7)
    spread = (o.keypoints.xy[i, DETECTED] - o.keypoints.xy[i, DETECTED].mean(0)).square().mean().sqrt()
    expected = fitted_covariance(fits, np.full(16, float(spread) / 64))
    np.testing.assert_allclose(o.keypoints.covariance[i, DETECTED], expected, rtol=1e-4, atol=1e-4)


def test_cdf_folder_and_merged_pickle_agree(test_set, files):
    joined = read_h36m(files / "bare.pickle", files / "cdf", "test")
    for name in ("pose", "root"):
        assert torch.equal(getattr(joined.observations, name), getattr(test_set.observations, name))
    assert torch.equal(joined.observations.keypoints.covariance, test_set.observations.keypoints.covariance)
    assert joined.observations.keypoints.ids == test_set.observations.keypoints.ids


def test_the_published_condition_is_recovered(test_set):
    """What the published flow makes of the keypoints has the variances that its own preprocessing makes of the fits."""
    flow = pytest.importorskip("poseterior.published.wehrbein_2021.network")
    from poseterior.published.wehrbein_2021.condition import published_condition

    cameras = release("test")["S9"]["Photo"]["0"].values()
    fits = np.concatenate([recording["gaussfit"].reshape(-1, 16, 7) for recording in cameras])
    fits = torch.from_numpy(fits).float()
    wanted = published_condition(fits[..., 0], fits[..., 1:3], fits[..., 3], fits[..., 4], fits[..., 5])
    rows = [i.file.startswith("S9/Photo/0/") for i in test_set.observations.keypoints.ids]
    found = flow.keypoint_condition(test_set.observations.keypoints[torch.tensor(rows)])
    torch.testing.assert_close(found[..., 0], wanted[..., 0])
    torch.testing.assert_close(found[..., 3:], wanted[..., 3:], rtol=1e-3, atol=1e-4)


def test_file_round_trip(test_set, tmp_path):
    save_observations(test_set, tmp_path / "a.parquet")
    back = load_observations(tmp_path / "a.parquet")
    assert torch.equal(back.observations.pose, test_set.observations.pose)
    assert torch.equal(back.observations.keypoints.covariance, test_set.observations.keypoints.covariance)
    for found, wanted in zip(*(d.observations.keypoints.amplitude for d in (back, test_set)), strict=True):
        torch.testing.assert_close(found, wanted, equal_nan=True)
    assert back.action == test_set.action


def test_hard_split_keeps_the_unsure_frames(tmp_path):
    dataset = release("test")
    dataset["S9"]["Sitting"]["1"]["60457274"]["gaussfit"][1, 7 * 4 + 5] = 6.0
    data = read_h36m(write_pickle(tmp_path / "a.pickle", dataset), split="test-hard")
    assert [i.file for i in data.observations.keypoints.ids] == ["S9/Sitting/1/60457274"]
    assert data.observations.keypoints.ids[0].frame == 8
    assert data.protocol == "h36m-test-hard v1"


def test_what_is_not_finite_is_hidden(tmp_path):
    dataset = release("test")
    values = dataset["S9"]["Directions"]["0"]["54138969"]
    values["2d_hrnet"][0, 2] = np.nan
    values["gaussfit"][1, 7 * 5 + 3] = np.inf
    values["gaussfit"][1, 7 * 6] = np.nan  # the amplitude is not used
    data = read_h36m(write_pickle(tmp_path / "a.pickle", dataset), split="test")
    hidden = [
        [j for j, v in zip(BODY.joints, row, strict=True) if not v] for row in data.observations.keypoints.visible
    ]
    assert hidden[:3] == [["right_hip", "neck_nose"], ["left_ankle", "neck_nose"], ["neck_nose"]]


def test_a_recording_without_frames_counts_for_nothing(tmp_path):
    dataset = release("test")
    dataset["S9"]["Directions"]["0"]["54138969"] = {"imgpath": []}
    data = read_h36m(write_pickle(tmp_path / "a.pickle", dataset), split="test")
    assert len(data) == 2 * 238


def test_frames_are_paired_by_their_numbers(files, tmp_path):
    """The detections name their frames: a recording that begins later gets the later poses."""
    dataset = release("test", with_poses=False)
    dataset["S9"]["Directions"]["0"]["54138969"]["imgpath"] = ["/S9/Directions.54138969/8.jpg", "/a/3.jpg"]
    data = read_h36m(write_pickle(tmp_path / "a.pickle", dataset), files / "cdf", "test")
    absolute = absolute_poses(Recording("S9", "Directions", "0", "54138969"), 9)
    np.testing.assert_allclose(data.observations.root[:2], absolute[[7, 2], 0], atol=1e-6)
    assert [i.frame for i in data.observations.keypoints.ids[:2]] == [8, 3]


def _changed(change) -> dict:
    dataset = release("test", frames=1)
    change(dataset)
    return dataset


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["S9"].pop("Waiting"), "{path}: S9: the action 'Waiting' is missing; it holds: Directions, "),
        (
            lambda d: d["S11"]["Eating"].pop("1"),
            "{path}: S11/Eating: the take '1' is missing; it holds: 0",
        ),
        (
            lambda d: d["S11"]["Eating"]["0"].pop("58860488"),
            "{path}: S11/Eating/0: the camera '58860488' is missing; it holds: 54138969, 55011271, 60457274",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"].pop("2d_hrnet"),
            "{path}: S9/Photo/0/54138969: '2d_hrnet' is missing; expected (1, 32): x of 16 joints, then y",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"].pop("imgpath"),
            "{path}: S9/Photo/0/54138969: 'imgpath' is missing or no list of text; expected one path per frame",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"].update(imgpath=["/S9/a.jpg"]),
            "{path}: S9/Photo/0/54138969: 'imgpath' '/S9/a.jpg' does not end in a frame number",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"].update(gaussfit=np.zeros((1, 96))),
            "{path}: S9/Photo/0/54138969: 'gaussfit' is float64 (1, 96); expected numbers (1, 112): amplitude, mean, "
            "sigma_x, theta, sigma_y and residual of 16 joints",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"].update({"2d_hrnet": [1, 2]}),
            "{path}: S9/Photo/0/54138969: '2d_hrnet' is list; expected numbers (1, 32): x of 16 joints, then y",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"].pop("3d_gt"),
            "{path}: S9/Photo/0/54138969: '3d_gt' is missing: these detections are without 3D poses; give the folder "
            "of Human3.6M's CDF files, and this file as --detections",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"]["3d_gt"].__setitem__((0, 4), np.nan),
            "{path}: S9/Photo/0/54138969: joint 'left_hip' of pose 0 is not finite",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"]["2d_hrnet"].__setitem__((0, 9), 1e12),
            "{path}: S9/Photo/0/54138969: xy: pose 0, joint 'head_top' has [",
        ),
        (
            lambda d: d["S9"]["Photo"]["0"]["54138969"]["gaussfit"].__setitem__((0, 0), np.inf),
            "{path}: S9/Photo/0/54138969: amplitude: pose 0, joint 'right_ankle' has inf; expected a finite number",
        ),
        (lambda d: d["S9"].update(Photo=[1]), "{path}: S9/Photo is no dictionary by take but list"),
        (
            lambda d: (d.pop("S9"), d.pop("S11"), d.update(S1={})),
            "{path}: holds S1; the split 'test' needs S9, S11: choose another --split",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, change, message):
    path = write_pickle(tmp_path / "a.pickle", _changed(change))
    with pytest.raises(InputError) as error:
        read_h36m(path, split="test")
    assert str(error.value).startswith(message.format(path=path))


def test_no_dictionary_at_all(tmp_path):
    path = write_pickle(tmp_path / "a.pickle", [1, 2])
    with pytest.raises(InputError) as error:
        read_h36m(path, split="test")
    assert str(error.value) == f"{path}: the top is no dictionary by subject but list"


def test_missing_and_short_cdf_files_are_named(files, tmp_path):
    with pytest.raises(InputError) as error:
        read_h36m(files / "bare.pickle", tmp_path, "test")
    place = tmp_path / "S9" / "MyPoseFeatures" / "D3_Positions_mono"
    assert str(error.value).startswith(f"{place}: no file 'Directions.54138969.cdf' for S9/Directions/0/54138969; ")
    write_cdf(place / "Directions.54138969.cdf", np.ones((7, 17, 3)))
    with pytest.raises(InputError, match="has 7 frames, but the detections go up to frame 8"):
        read_h36m(files / "bare.pickle", tmp_path, "test")


# -- batches -------------------------------------------------------------------------------------------------


def test_batches_are_drawn_by_their_generator(test_set):
    draw = StoredObservations(test_set.observations)
    a, b, c = (draw(32, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(a.pose, b.pose)
    assert a.keypoints.ids == b.keypoints.ids
    assert not torch.equal(a.pose, c.pose)
    assert torch.equal(a.pose, test_set.observations.pose[a.index])


def test_held_out_recordings_are_whole(test_set):
    kept, held = split_observations(test_set, 0.1, seed=1)
    assert held is not None
    assert len(kept.pose) + len(held.pose) == len(test_set)
    taken, left = ({i.file.rsplit("/", 2)[0] for i in part.keypoints.ids} for part in (held, kept))
    assert len(taken) == 3  # of 2 subjects x 15 actions
    assert not taken & left
    everything, nothing = split_observations(test_set, 0.0)
    assert nothing is None
    assert len(everything.pose) == len(test_set)


# -- the whole path ------------------------------------------------------------------------------------------


def run(capsys, *arguments: object) -> str:
    code = main([str(a) for a in arguments])
    out = capsys.readouterr()
    assert code == 0, out.err
    return out.out


@pytest.fixture(scope="module")
def imported(files, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    assert main(["data", "import", "h36m", str(files / "train.pickle"), "--split", "train",
                 "--out", str(folder / "train.parquet")]) == 0  # fmt: skip
    assert main(["data", "import", "h36m", str(files / "cdf"), "--detections", str(files / "bare.pickle"), "--split",
                 "test", "--out", str(folder / "test.parquet")]) == 0  # fmt: skip
    return folder


def path_ends_in_errors_per_action(capsys, imported: Path, out: Path, recipe: str, *changes: str) -> None:
    data = f"data.observations={imported / 'train.parquet'}"
    run(capsys, "train", recipe, *changes, data, "--out", out, "--quiet", "--device", "cpu")
    card = json.loads((out / "weights" / "card.json").read_text())
    assert card["data"] == {"clips": 599, "frames": 2 * 599, "sources": ["h36m-train v1"]}
    assert card["recipe"]["data"]["observations"] == "train.parquet"
    run(capsys, "evaluate", out / "weights", "--data", imported / "test.parquet", "--samples", 5, "--mode-poses", 2,
        "--out", out / "metrics.json")  # fmt: skip
    result = json.loads((out / "metrics.json").read_text())
    assert result["protocol"] == "h36m-test v1"
    rows = result["published"]["P1"]["per action"]
    assert set(rows) == set(ACTIONS)
    assert all(np.isfinite(row["best"]) for row in rows.values())


def test_create_train_evaluate(capsys, imported, tmp_path):
    path_ends_in_errors_per_action(capsys, imported, tmp_path / "run", "mdn", *SMALL, "steps=4")


@pytest.mark.skipif(
    "flow" not in method_names() or "samples" not in objective_names(), reason="needs the published flow"
)
def test_create_train_evaluate_the_published_flow(capsys, imported, tmp_path):
    small = "objectives=[{name: samples, hypotheses: 4, best: 2, critic_steps: 1}]"
    path_ends_in_errors_per_action(
        capsys, imported, tmp_path / "run", "flow-published-h36m", small, "steps=2", "schedule.batch=4",
        "schedule.save_every=2", "schedule.log_every=1",
    )  # fmt: skip
    rows = (tmp_path / "run" / "losses.csv").read_text().splitlines()
    assert len(rows) == 3


def test_resumed_run_on_observations_has_the_same_losses(capsys, imported, tmp_path):
    data = f"data.observations={imported / 'train.parquet'}"
    common = ("train", "mdn", *SMALL, "steps=6", data, "--quiet", "--device", "cpu", "--out")
    run(capsys, *common, tmp_path / "whole")
    run(capsys, *common, tmp_path / "again")
    (tmp_path / "again" / "checkpoints" / "last.ckpt").unlink()
    run(capsys, *common, tmp_path / "again", "--resume")
    assert (tmp_path / "whole" / "losses.csv").read_text() == (tmp_path / "again" / "losses.csv").read_text()


def test_calibration_on_held_out_observations(capsys, imported, tmp_path):
    data = f"data.observations={imported / 'train.parquet'}"
    changes = [*SMALL, "steps=2", "calibrate={}", "data.validation=0.05"]
    run(capsys, "train", "mdn", *changes, data, "--quiet", "--device", "cpu", "--out", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "weights" / "config.json").read_text())
    assert config["config"]["temperature"] != 1.0


# -- bad commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["h36m", "{f}/cdf", "--split", "test"], "{f}/cdf: the CDF files hold no 2D keypoints; pass the pickle"),
        (
            ["h36m", "{f}/test.pickle", "--detections", "{f}/bare.pickle", "--split", "test"],
            "{f}/test.pickle: with --detections, name the folder of the CDF files that holds S1, S5 ...",
        ),
        (
            ["h36m", "{f}/test.pickle", "--split", "train"],
            "{f}/test.pickle: holds S9, S11; the split 'train' needs S1, S5, S6, S7, S8: choose another --split",
        ),
    ],
)
def test_bad_commands(capsys, files, tmp_path, arguments, message):
    code = main(["data", "import", *(a.format(f=files) for a in arguments), "--out", str(tmp_path / "a.parquet")])
    error = capsys.readouterr().err
    assert code == 2
    assert "Traceback" not in error
    assert message.format(f=files) in " ".join(error.split())


def test_existing_file_is_kept(capsys, files, tmp_path):
    out = tmp_path / "a.parquet"
    out.write_text("mine")
    command = ["data", "import", "h36m", str(files / "test.pickle"), "--split", "test", "--out", str(out)]
    assert main(command) == 2
    assert "exists already; pass --overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert main([*command, "--overwrite"]) == 0
    assert len(load_observations(out)) == 478


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.observations=[a, b]"], "data.observations: expected the path of one file, got ['a', 'b']"),
        (["data.observations=a", "data=b"], "data: give stores to simulate from or observations as they are, not both"),
    ],
)
def test_bad_recipes(changes, message):
    from poseterior.training.recipes import read_recipe

    with pytest.raises(InputError) as error:
        read_recipe("mdn", changes)
    assert str(error.value) == message


def test_the_recipe_has_the_published_schedule():
    from poseterior.training.module import learning_rate_factor
    from poseterior.training.recipes import read_recipe

    recipe = read_recipe("flow-published-h36m")
    assert recipe.schedule.steps == 155 * 482
    assert recipe.schedule.batch == 64
    assert {learning_rate_factor(s, recipe.schedule) for s in (0, 5, 40_000, 74_709)} == {1.0}
    assert recipe.lifter == {"method": "flow-published"}
