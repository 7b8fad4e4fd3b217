"""Checkpoints in the original containers: imported, compared with the original's numbers, exported, imported again."""

import random
import re

import numpy as np
import pytest
import torch
from golden_weights import (
    duenkel_weights,
    golden,
    li_lee_weights,
    options_of,
    ronchi_weights,
    shapes,
    wehrbein_weights,
    yu_weights,
)

from poseterior.files.errors import InputError
from poseterior.files.tensorflow import read_bundle, write_bundle
from poseterior.files.torch_files import read_torch
from poseterior.keypoints import Keypoints2D
from poseterior.published.duenkel_2024.network import PublishedRotationFlow
from poseterior.published.originals import duenkel_2024
from poseterior.published.originals.exporting import export_weights
from poseterior.published.originals.importing import FITTED, import_weights


class Seen:
    """Observations enough to fit constants to."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.keypoints = Keypoints2D(500 + 100 * torch.randn(20, 17, 2, generator=generator))
        self.pose = torch.randn(20, 17, 3, generator=generator)
        self.observed = torch.ones(20, 17, dtype=torch.bool)


def seen(system):
    """Observations for the systems that take some."""
    return Seen() if system in FITTED else None


def saved(path, content, old=False):
    def tensors(value):
        if isinstance(value, dict):
            return {name: tensors(part) for name, part in value.items()}
        return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), path, _use_new_zipfile_serialization=not old)
    return path


def checkpoint(system, folder):
    """Files of a system, from seeded weights."""
    if system == "wehrbein_2021":
        return [saved(folder / "model.pt", {"net": wehrbein_weights(shapes(golden("wehrbein")))})]
    if system == "yu_2021":
        weights = {f"module.{name}": value for name, value in yu_weights(shapes(golden("yu_scale"))).items()}
        content = {"p1_mpjpe": np.float32(80.0), "pose_model_state_dict": weights}
        return [saved(folder / "tmc.pth.tar", content, old=True)]
    if system == "ronchi_2018":
        found = golden("ronchi_rel")
        stats = {f"stat_{n}": {p: found[f"stat_{n}_{p}"] for p in ("mean", "std")} for n in ("2d", "3d")}
        content = {"state_dict": ronchi_weights(shapes(found)), "opt": options_of(found), **stats}
        return [saved(folder / "test_ckpt_last.pth.tar", content, old=True)]
    if system == "li_lee_2019":
        write_bundle(folder / "checkpoint-7", li_lee_weights(shapes(golden("li_lee"))))
        return [folder / "checkpoint-7.index"]
    flow = PublishedRotationFlow(19, 0, 8, 8, 1)
    sizes = {name: value.shape for name, value in duenkel_2024.flow_to_theirs(flow.state_dict()).items()}
    orders = np.stack([np.random.RandomState(i).permutation(19) for i in range(23)])
    np.savetxt(folder / "permute_dims.pt", orders)
    return [saved(folder / "pdf.pt", duenkel_weights(sizes)), folder / "permute_dims.pt"]


SYSTEMS = ("wehrbein_2021", "yu_2021", "ronchi_2018", "li_lee_2019", "duenkel_2024")


@pytest.mark.parametrize("system", SYSTEMS)
def test_import_export_import(system, tmp_path):
    model = import_weights(system, checkpoint(system, tmp_path), seen(system))
    assert model.card["licence"] == "as the original"
    assert model.card["imported"]["system"] == system
    names = export_weights(system, model, tmp_path / "theirs")
    files = [tmp_path / "theirs" / name for name in names if name != "checkpoint" and ".data-" not in name]
    again = import_weights(system, files, seen(system))
    assert again.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_every_tensor_of_the_file_comes_back(tmp_path):
    """Counters of batch norms too, and whether or not the file was saved from several graphics cards."""
    file = checkpoint("yu_2021", tmp_path)[0]
    theirs = {name.removeprefix("module."): value for name, value in read_torch(file)["pose_model_state_dict"].items()}
    export_weights("yu_2021", import_weights("yu_2021", [file], Seen()), tmp_path / "theirs")
    again = read_torch(tmp_path / "theirs" / "model_best.pth.tar")["pose_model_state_dict"]
    assert set(again) == set(theirs)
    for name, value in theirs.items():
        found, wanted = again[name].numpy(), value.numpy()
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        assert np.array_equal(found, wanted), name
    assert again["lifter_before.pre.1.num_batches_tracked"].numpy() == 12345


def test_files_without_counters_are_read(tmp_path):
    weights = yu_weights(shapes(golden("yu_scale")))
    bare = {name: value for name, value in weights.items() if "num_batches" not in name}
    model = import_weights("yu_2021", [saved(tmp_path / "y.pth.tar", {"pose_model_state_dict": bare})], Seen())
    assert model.network.enter[1].num_batches_tracked == 0
    weights["lifter_before.pre.1.num_batches_tracked"] = np.array(0.5, np.float32)
    file = saved(tmp_path / "y.pth.tar", {"pose_model_state_dict": weights})
    with pytest.raises(InputError, match=r"num_batches_tracked' holds float32; expected whole numbers"):
        import_weights("yu_2021", [file], Seen())


def test_numbers_are_those_of_the_file(tmp_path):
    found = golden("ronchi_rel")
    lifter = import_weights("ronchi_2018", checkpoint("ronchi_2018", tmp_path))
    posterior = lifter(Keypoints2D(torch.from_numpy(found["in_pixels"]).unflatten(-1, (17, 2))))
    placed = 1000 * (posterior.mean + posterior.root_offset.unsqueeze(-2)).flatten(-2)
    assert float((placed - torch.from_numpy(found["out_pose_mm"])).abs().max()) < 1e-3


def test_bundle_is_the_one_that_tensorflow_wrote(tmp_path):
    """CRC-32C of the test vector, and variables bit for bit."""
    from poseterior.files.tensorflow import _crc

    assert _crc(b"123456789") == 0xE3069283
    weights = li_lee_weights(shapes(golden("li_lee")))
    write_bundle(tmp_path / "c", weights)
    again = read_bundle(tmp_path / "c.index")
    assert list(again) == sorted(weights)
    assert all(np.array_equal(again[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("cond_net.0.bias"), "'cond_net.0.bias' is missing"),
        (lambda w: w.update(extra=np.zeros(3, np.float32)), "'extra' is surplus"),
        (lambda w: w.update({"cond_net.0.bias": np.zeros(3, np.float32)}), r"has shape \(3,\); expected \(256,\)"),
        (lambda w: w["cond_net.0.bias"].fill(np.nan), "holds values that are not finite"),
        (
            lambda w: w.update({"inn.module_list.1.subnet1.0.weight": np.zeros(3, np.float32)}),
            "is of FrEIA 0.2 or later",
        ),
        (lambda w: w.update({"inn.module_list.2.w_perm": np.eye(3, dtype=np.float32)}), "is of FrEIA 0.2 or later"),
    ],
)
def test_other_networks_are_refused(tmp_path, change, message):
    weights = wehrbein_weights(shapes(golden("wehrbein")))
    change(weights)
    with pytest.raises(InputError, match=message):
        import_weights("wehrbein_2021", [saved(tmp_path / "model.pt", {"net": weights})])


@pytest.mark.parametrize("system", ["yu_2021", "li_lee_2019"])
def test_constants_that_are_not_in_the_file_are_asked_for(tmp_path, system):
    with pytest.raises(InputError, match=r"not in (the file|a checkpoint).*--data"):
        import_weights(system, checkpoint(system, tmp_path))


class _Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("old", [True, False])
def test_what_would_run_is_refused_and_not_run(tmp_path, old):
    torch.save({"net": {}, "harm": _Harm(tmp_path / "ran")}, tmp_path / "m.pt", _use_new_zipfile_serialization=not old)
    with pytest.raises(InputError, match=r"refused, it names (io|_io|builtins|__builtin__)\.open"):
        read_torch(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_mutated_containers_are_refused_or_read_and_never_run(tmp_path):
    """200 files with bytes changed, cut off or doubled: InputError or an answer, nothing else."""
    draw = random.Random(0)
    originals = []
    for system in ("yu_2021", "ronchi_2018", "li_lee_2019"):
        (tmp_path / system).mkdir()
        originals.append((system, checkpoint(system, tmp_path / system)[0]))
    small = saved(tmp_path / "small.pt", {"net": {"a": np.arange(6, dtype=np.float32)}})
    originals.append(("wehrbein_2021", small))
    for i in range(200):
        system, path = originals[i % len(originals)]
        raw = bytearray(path.read_bytes())
        head = min(len(raw), 4000)
        for _ in range(draw.randint(1, 8)):
            raw[draw.randrange(head)] = draw.randrange(256)
        if i % 5 == 0:
            raw = raw[: draw.randrange(len(raw))]
        broken = (
            path.with_name(f"broken{path.suffix}") if system != "li_lee_2019" else path.with_name("checkpoint-8.index")
        )
        broken.write_bytes(bytes(raw))
        if system == "li_lee_2019":
            data = path.with_name("checkpoint-7.data-00000-of-00001")
            broken.with_name("checkpoint-8.data-00000-of-00001").write_bytes(data.read_bytes())
        try:
            import_weights(system, [broken], seen(system))
        except InputError:
            continue


@pytest.mark.parametrize(("joints", "named"), [(4, "a flow of 4 joints"), (20, "a flow of 20 joints")])
def test_flows_of_other_joints_are_refused_with_the_reason(joints, named, tmp_path):
    """No file of theirs names joints: a flow of four could be of any four."""
    flow = PublishedRotationFlow(joints, 0, 8, 8, 1)
    sizes = {name: value.shape for name, value in duenkel_2024.flow_to_theirs(flow.state_dict()).items()}
    np.savetxt(tmp_path / "permute_dims.pt", np.tile(np.arange(joints), (23, 1)))
    files = [saved(tmp_path / "pdf.pt", duenkel_weights(sizes)), tmp_path / "permute_dims.pt"]
    expected = (
        f"{tmp_path / 'pdf.pt'}: {named}, and no file of theirs says which of a body's these are, so that it draws"
    )
    with pytest.raises(InputError, match=re.escape(expected)):
        import_weights("duenkel_2024", files, None)


def test_orders_of_other_joints_are_refused(tmp_path):
    files = checkpoint("duenkel_2024", tmp_path)
    np.savetxt(files[1], np.tile(np.arange(4), (23, 1)))
    with pytest.raises(InputError, match=r"permute_dims.pt: expected 23 orders of 19 joints, found \(23, 4\)"):
        import_weights("duenkel_2024", files, None)
