"""What `weights import` refuses, and with which words; what it writes is what it was given."""

import dataclasses
import json
import struct
import zipfile
from importlib import resources

import numpy as np
import pytest
import torch
import yaml
from golden_weights import golden, li_lee_weights, shapes
from test_importing_originals import SYSTEMS, Seen, checkpoint, seen

from poseterior.cli import main
from poseterior.data.observations import Observations, ObservationSet, save_observations
from poseterior.files import tensorflow
from poseterior.files.errors import InputError
from poseterior.files.tensorflow import names_in_bundle, read_bundle, write_bundle
from poseterior.files.torch_files import read_torch
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import PoseId
from poseterior.lifters.base import build_model, load_model
from poseterior.nn.standardise import mean_and_deviation
from poseterior.published.originals.exporting import METHODS, RECIPES, export_weights
from poseterior.published.originals.importing import import_weights
from poseterior.published.originals.recognising import system_of

BODY = SKELETONS["h36m17"]


def observations(path, **changes):
    """A file of the observations of `Seen`, some fields changed."""
    made = Seen()
    n = len(made.pose)
    ids = [PoseId(f"{i}.jpg", 0, 0) for i in range(n)]
    found = Observations(made.keypoints._replace(ids=ids), made.pose, made.observed, torch.zeros(n, 3), torch.arange(n))
    found = dataclasses.replace(found, **changes)
    save_observations(ObservationSet(found, ("walk",) * n, ("S1",) * n, "made-up v1", 0), path)
    return path


def refused(capsys, *words):
    """The one line of an error of ``weights import``."""
    capsys.readouterr()
    assert main(["weights", "import", *map(str, words)]) == 2
    return capsys.readouterr().err.removeprefix("poseterior: error: ").strip()


# -- constants that are measured ---------------------------------------------------------------------------


def test_constants_are_not_taken_of_observations_without_3d_poses(tmp_path, capsys):
    """They would be 0 and 1e-6."""
    flat = observations(tmp_path / "flat.parquet", observed=torch.zeros(20, 17, dtype=torch.bool))
    (file,) = checkpoint("li_lee_2019", tmp_path)
    assert refused(capsys, "li_lee_2019", file, "--data", flat, "--out", tmp_path / "w") == (
        f"{flat}: holds no 3D poses, of which means and deviations are taken; give observations with 3D poses"
    )
    assert not (tmp_path / "w").exists()


def test_a_joint_that_no_pose_shows_is_named(tmp_path, capsys):
    observed = torch.ones(20, 17, dtype=torch.bool)
    observed[:, [BODY.index("spine"), BODY.index("head_top")]] = False
    some = observations(tmp_path / "some.parquet", observed=observed)
    (file,) = checkpoint("li_lee_2019", tmp_path)
    assert refused(capsys, "li_lee_2019", file, "--data", some, "--out", tmp_path / "w") == (
        f"{some}: no 3D pose shows spine, head_top, of which means and deviations are taken; give observations with "
        "every joint"
    )


def never_seen(joint, path):
    """A file of observations in which no picture shows that joint."""
    visible = torch.ones(20, 17, dtype=torch.bool)
    visible[:, BODY.index(joint)] = False
    keypoints = Seen().keypoints._replace(visible=visible, ids=[PoseId(f"{i}.jpg", 0, 0) for i in range(20)])
    return observations(path, keypoints=keypoints)


def test_a_joint_that_no_picture_shows_is_named(tmp_path, capsys):
    some = never_seen("left_wrist", tmp_path / "some.parquet")
    (file,) = checkpoint("li_lee_2019", tmp_path)
    assert refused(capsys, "li_lee_2019", file, "--data", some, "--out", tmp_path / "w") == (
        f"{some}: no keypoints show left_wrist, of which the network's input has mean and deviation; give the "
        "observations that it was trained on"
    )


def test_yu_is_told_of_which_file_nothing_could_be_measured(tmp_path, capsys):
    some = never_seen("head_top", tmp_path / "some.parquet")
    (file,) = checkpoint("yu_2021", tmp_path)
    assert refused(capsys, "yu_2021", file, "--data", some, "--out", tmp_path / "w") == (
        f"{some}: lifter.normalise: split: no training keypoints show both pelvis and head_top"
    )


@pytest.mark.parametrize("method", ["mdn-published", "regression-published"])
@pytest.mark.parametrize("absent", [0.0, float("nan"), 1e6])
def test_constants_are_of_joints_that_are_known(method, absent):
    """Whatever stands where nothing is known."""
    config = {"width": 8} | ({"output": "standardised"} if method == "regression-published" else {})
    lifter, whole = build_model(method, config), Seen()
    some = Seen()
    some.observed[3:9, BODY.index("left_knee")] = False
    some.observed[12] = False
    some.pose[~some.observed] = absent
    lifter.fit_constants(some)
    joints = list(range(17)) if method == "regression-published" else lifter.others
    place = joints.index(BODY.index("left_knee"))
    own = whole.pose[some.observed[:, BODY.index("left_knee")], BODY.index("left_knee")]
    torch.testing.assert_close(lifter.output_mean[3 * place : 3 * place + 3], own.mean(0))
    torch.testing.assert_close(lifter.output_std[3 * place : 3 * place + 3], own.std(0, unbiased=False))
    assert bool(lifter.output_std.isfinite().all())


def test_whole_observations_give_the_same_constants_as_ever():
    lifter, whole = build_model("mdn-published", {"width": 8}), Seen()
    lifter.fit_constants(whole)
    mean, deviation = mean_and_deviation(whole.pose[:, lifter.others].flatten(-2))
    assert torch.equal(lifter.output_mean, mean)
    assert torch.equal(lifter.output_std, deviation.clamp(min=1e-6))


@pytest.mark.parametrize("system", ["wehrbein_2021", "ronchi_2018", "duenkel_2024"])
def test_data_is_refused_where_nothing_is_measured(system, tmp_path, capsys):
    files = checkpoint(system, tmp_path)
    data = observations(tmp_path / "o.parquet")
    assert refused(capsys, system, *files, "--data", data, "--out", tmp_path / "w") == (
        f"--data: does not go with {system}, whose checkpoints hold every constant; drop it"
    )


# -- what is written ---------------------------------------------------------------------------------------


def test_a_lifter_that_stands_there_stays(tmp_path, capsys):
    """Replacing it would take its calibration away too."""
    files = checkpoint("ronchi_2018", tmp_path)
    build_model("mdn", {"width": 16, "blocks": 1}).save_pretrained(tmp_path / "w")
    (tmp_path / "w" / "calibration.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()}
    assert refused(capsys, "ronchi_2018", *files, "--out", tmp_path / "w") == (
        f"{tmp_path / 'w'}: exists already; choose a new folder"
    )
    assert {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()} == before


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"licence": "MIT", "imported": 3}, "'imported' is what the import itself says of the weights; leave it out"),
        ({"protocols": 7}, "'protocols' is what the import itself says of the weights; leave it out"),
        ({"licence": 7}, "'licence': expected text, found 7"),
        ({"citation": ["a"]}, "'citation': expected text, found a list of 1"),
    ],
)
def test_a_card_does_not_replace_where_the_weights_come_from(card, message, tmp_path, capsys):
    files = checkpoint("ronchi_2018", tmp_path)
    (tmp_path / "c.json").write_text(json.dumps(card))
    words = ["ronchi_2018", *files, "--card", tmp_path / "c.json", "--out", tmp_path / "w"]
    assert refused(capsys, *words) == f"{tmp_path / 'c.json'}: {message}"
    assert not (tmp_path / "w").exists()


def test_what_a_card_says_is_kept_and_said(tmp_path, capsys):
    files = checkpoint("ronchi_2018", tmp_path)
    (tmp_path / "c.json").write_text(json.dumps({"licence": "MIT", "trained by": "somebody"}))
    words = ["ronchi_2018", *files, "--card", tmp_path / "c.json", "--out", tmp_path / "w"]
    assert main(["weights", "import", *map(str, words)]) == 0
    assert capsys.readouterr().out.strip().endswith("parameters, licence MIT")
    card = load_model(tmp_path / "w").card
    assert card["licence"] == "MIT"
    assert card["trained by"] == "somebody"
    assert card["imported"] == {"system": "ronchi_2018", "files": ["test_ckpt_last.pth.tar"]}


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_same_weights_give_the_same_bytes(system, tmp_path):
    model = import_weights(system, checkpoint(system, tmp_path), seen(system))
    kept = []
    for name in ("one", "two"):
        kept.append(torch.empty(1000))  # so that what comes next lies elsewhere
        export_weights(system, model, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_old_container_is_what_pytorch_reads(tmp_path):
    model = import_weights("ronchi_2018", checkpoint("ronchi_2018", tmp_path))
    export_weights("ronchi_2018", model, tmp_path / "e")
    path = tmp_path / "e" / "test_ckpt_last.pth.tar"
    theirs, ours = torch.load(path, weights_only=True), read_torch(path)
    assert list(theirs) == list(ours) == ["opt", "stat_2d", "stat_3d", "state_dict"]
    assert theirs["opt"] == ours["opt"]
    assert list(theirs["state_dict"]) == list(ours["state_dict"])
    for name, value in theirs["state_dict"].items():
        assert value.dtype == torch.float32
        assert np.array_equal(value.numpy(), ours["state_dict"][name].numpy()), name
    again = tmp_path / "again.pth.tar"
    torch.save(theirs, again, _use_new_zipfile_serialization=False)
    assert abs(again.stat().st_size - path.stat().st_size) < 200 * len(theirs["state_dict"])  # names of storages


# -- files that are damaged, or of something else ----------------------------------------------------------


def test_a_flipped_byte_of_a_tensorflow_checkpoint_is_noticed(tmp_path):
    weights = li_lee_weights(shapes(golden("li_lee")))
    write_bundle(tmp_path / "c", weights)
    data = tmp_path / "c.data-00000-of-00001"
    raw = bytearray(data.read_bytes())
    raw[len(raw) // 2] ^= 1
    data.write_bytes(bytes(raw))
    with pytest.raises(InputError) as caught:
        read_bundle(tmp_path / "c.index")
    message = str(caught.value)
    assert message.startswith(f"{data}: the checksum of 'linear_model/")
    assert message.endswith(" is wrong: its numbers are not those that were written; get the file anew")
    assert list(names_in_bundle(tmp_path / "c")) == sorted(weights)  # for which no numbers are read


@pytest.mark.parametrize("old", [True, False])
def test_bytes_behind_the_end_of_a_file_of_pytorch_are_refused(old, tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"net": {"a": torch.arange(6.0)}}, path, _use_new_zipfile_serialization=not old)
    whole = path.read_bytes()
    assert list(read_torch(path)["net"]) == ["a"]
    path.write_bytes(whole + b"abc" * 10)
    with pytest.raises(InputError) as caught:
        read_torch(path)
    assert str(caught.value) == (
        f"{path}: goes on for 30 bytes where a file of PyTorch's ends; is it damaged? Get it anew"
    )
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=str(path)):
        read_torch(path)


def test_bytes_behind_the_end_of_tensorflow_s_numbers_are_refused(tmp_path):
    write_bundle(tmp_path / "c", {"a": np.arange(6, dtype=np.float32)})
    data = tmp_path / "c.data-00000-of-00001"
    data.write_bytes(data.read_bytes() + b"abc" * 10)
    with pytest.raises(InputError) as caught:
        read_bundle(tmp_path / "c.index")
    assert str(caught.value) == (
        f"{data}: holds 54 bytes, more than the 24 of the variables of c.index; get the file anew"
    )


def sharded(prefix, weights, shards=2, claimed=None):
    """A checkpoint in several data files, as graphs on several devices write one: variables in turn."""
    names = sorted(weights)
    entries, data = [(b"", tensorflow._number(1, claimed or shards))], [b""] * shards
    for i, name in enumerate(names):
        raw, shard = np.ascontiguousarray(weights[name]).tobytes(), i % shards
        sizes = b"".join(tensorflow._bytes(2, tensorflow._number(1, size)) for size in np.shape(weights[name]))
        kind = tensorflow._NUMBER_OF[weights[name].dtype]
        entry = tensorflow._number(1, kind) + tensorflow._bytes(2, sizes) + tensorflow._number(3, shard)
        entry += tensorflow._number(4, len(data[shard])) + tensorflow._number(5, len(raw))
        entries.append((name.encode(), entry + b"\x35" + struct.pack("<I", tensorflow.checksum(raw))))
        data[shard] += raw
    table, handle = tensorflow._placed(tensorflow._as_block(entries), 0)
    top, top_handle = tensorflow._placed(tensorflow._as_block([(entries[-1][0], handle)]), len(table))
    footer = (handle + top_handle).ljust(40, b"\0") + struct.pack("<Q", tensorflow._MAGIC)
    prefix.with_suffix(".index").write_bytes(table + top + footer)
    for i, raw in enumerate(data):
        prefix.with_suffix(f".data-{i:05d}-of-{shards:05d}").write_bytes(raw)


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_tensorflow_checkpoint_in_several_data_files(shards, tmp_path):
    weights = li_lee_weights(shapes(golden("li_lee")))
    sharded(tmp_path / "checkpoint-7", weights, shards)
    again = read_bundle(tmp_path / f"checkpoint-7.data-00000-of-0000{shards}")
    assert list(again) == sorted(weights)
    assert all(np.array_equal(again[name], weights[name]) for name in weights)
    for files in ([tmp_path], [tmp_path / "checkpoint-7"], sorted(tmp_path.iterdir())):
        model = import_weights("li_lee_2019", files, Seen())
        assert np.array_equal(model.network.alpha.weight.numpy(), weights["linear_model/w6"].T)


def test_what_is_wrong_with_several_data_files(tmp_path):
    weights = li_lee_weights(shapes(golden("li_lee")))
    sharded(tmp_path / "c", weights)
    first, second = (tmp_path / f"c.data-0000{i}-of-00002" for i in range(2))
    raw = second.read_bytes()
    second.write_bytes(raw + b"abc")
    with pytest.raises(InputError, match=rf"^{second}: holds {len(raw) + 3} bytes, more than the {len(raw)} of"):
        read_bundle(tmp_path / "c.index")
    second.unlink()
    with pytest.raises(InputError) as caught:
        read_bundle(first)
    missing = "a TensorFlow checkpoint is an index and its data, and 'c.data-00001-of-00002' is not there"
    assert str(caught.value) == f"{first}: {missing}"
    sharded(tmp_path / "c", weights, claimed=1)
    with pytest.raises(InputError, match=r"\(a variable is in a data file that it does not have\)"):
        read_bundle(tmp_path / "c.index")
    sharded(tmp_path / "c", weights, claimed=2**40)
    with pytest.raises(InputError, match=r"\(it has an impossible number of data files\)"):
        read_bundle(tmp_path / "c.index")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("other", SYSTEMS)
def test_a_checkpoint_of_another_system_is_called_so(system, other, tmp_path):
    file = checkpoint(other, tmp_path)[0]
    assert system_of(file) == other
    if other == system:
        return
    with pytest.raises(InputError) as caught:
        import_weights(system, [file], seen(system))
    assert str(caught.value) == f"{file}: is a checkpoint of {other}, not of {system}; name {other}"


def test_a_zip_file_that_is_like_pytorch_s_is_refused_in_words(tmp_path, capsys):
    path = tmp_path / "notes.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", "hello")
        archive.writestr("archive/version", "3")
    assert refused(capsys, "wehrbein_2021", path, "--out", tmp_path / "w") == (
        f"{path}: not a whole PyTorch file (its instructions are no pickle's); was it copied or downloaded to its end?"
    )


@pytest.mark.parametrize("system", METHODS)
def test_lifters_of_another_method_are_not_exported_and_a_recipe_of_the_right_one_is_named(system, tmp_path, capsys):
    assert main(["weights", "export", system, "mdn", "--out", str(tmp_path / "w")]) == 2
    assert capsys.readouterr().err == (
        f"poseterior: error: {system}: its code reads networks of the method {METHODS[system]!r}, not 'mdn'; train one "
        f"with the recipe {RECIPES[system]!r}\n"
    )
    recipe = resources.files("poseterior.recipes").joinpath(f"{RECIPES[system]}.yaml").read_text()
    assert yaml.safe_load(recipe)["lifter"]["method"] == METHODS[system]


def test_what_is_nobody_s_is_not_called_anything(tmp_path):
    torch.save({"net": {"a": torch.arange(6.0)}}, tmp_path / "m.pt")
    (tmp_path / "text").write_text("nothing of the kind, and long enough for a footer ...........")
    assert system_of(tmp_path / "m.pt") is None
    assert system_of(tmp_path / "text") is None
    options = dict.fromkeys(("unnorm_op", "standardize_output_data", "predict_scale"), False)
    torch.save({"state_dict": {"a": torch.arange(6.0)}, "opt": options}, tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"not the published network: 'w1\.weight' is missing"):
        import_weights("ronchi_2018", [tmp_path / "m.pt"])


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "li_lee_2019"])
def test_a_folder_is_no_checkpoint(system, tmp_path):
    with pytest.raises(InputError) as caught:
        import_weights(system, [tmp_path], seen(system))
    assert str(caught.value) == f"{tmp_path}: is a folder; name the checkpoint in it"


def test_the_folder_of_one_tensorflow_checkpoint_is_enough(tmp_path):
    model = import_weights("li_lee_2019", checkpoint("li_lee_2019", tmp_path), Seen())
    export_weights("li_lee_2019", model, tmp_path / "e")
    for named in ([tmp_path / "e"], [tmp_path / "e" / "checkpoint"], sorted((tmp_path / "e").iterdir())):
        again = import_weights("li_lee_2019", named, Seen())
        assert all(
            torch.equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values(), strict=True)
        )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ((), "holds no checkpoint (.index)"),
        (("a.index", "b.index"), "holds 2 checkpoints; name one of them: a.index, b.index"),
    ],
)
def test_folders_without_one_tensorflow_checkpoint(files, said, tmp_path):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError) as caught:
        import_weights("li_lee_2019", [tmp_path], Seen())
    assert str(caught.value) == f"{tmp_path}: {said}"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "a"\n')
    with pytest.raises(InputError) as caught:
        import_weights("li_lee_2019", [tmp_path / "checkpoint"], Seen())
    beside = said.replace("holds", "is TensorFlow's list of checkpoints; its folder holds", 1)
    assert str(caught.value) == f"{tmp_path / 'checkpoint'}: {beside}"


def test_files_of_two_models_are_not_mixed(tmp_path):
    density, orders = checkpoint("duenkel_2024", tmp_path)
    for second, what in ((density, "a density"), (orders, "the orders of joints")):
        copy = tmp_path / f"second-{second.name}"
        copy.write_bytes(second.read_bytes())
        with pytest.raises(InputError) as caught:
            import_weights("duenkel_2024", [density, orders, copy])
        assert str(caught.value) == f"{copy}: holds {what} too; name the files of one model"
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    files = [*checkpoint("ronchi_2018", tmp_path), tmp_path / "a.json", tmp_path / "b.json"]
    with pytest.raises(InputError) as caught:
        import_weights("ronchi_2018", files)
    assert str(caught.value) == f"{tmp_path / 'b.json'}: is a second option file; name the files of one model"


def test_every_system_is_known_to_the_export():
    assert set(METHODS) == set(SYSTEMS)
