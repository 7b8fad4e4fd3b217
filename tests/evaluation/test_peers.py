"""Functions and files from elsewhere as lifters: what they answer, and what is said about wrong answers."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from crowd import crowd

import poseterior as pp
from poseterior.distributions.empirical import EmpiricalPoseDistribution
from poseterior.evaluation.checks import check
from poseterior.evaluation.peers import PeerLifter, content_hash, load_peer, load_results
from poseterior.files.errors import InputError
from poseterior.lifters import list_shipped
from poseterior.metrics.accuracy import mpjpe

_NUMBER = itertools.count()
PASSES_MDN_ON = """
import poseterior as pp
import torch
def lift(keypoints, n):
    samples = pp.load("mdn")(keypoints).sample((n,), seed=0)
    return {changed}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module into the current directory and gives its name, never the same twice."""
    monkeypatch.chdir(tmp_path)

    def written(code: str) -> str:
        name = f"peer_{next(_NUMBER)}"
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return written


@pytest.fixture(scope="module")
def few() -> pp.Keypoints2D:
    return crowd()[0][:6]


def lift_of(answer: str) -> str:
    return f"import numpy as np\nimport torch\ndef lift(keypoints, n):\n    return {answer}\n"


# -- the distribution ----------------------------------------------------------------------------------


def test_given_samples_are_all_that_is_known() -> None:
    given = torch.randn(12, 5, 17, 3, generator=torch.Generator().manual_seed(0))
    poses = EmpiricalPoseDistribution(given)
    centred = given - given[:, :, :1]
    assert torch.equal(poses.sample((12,)), centred)
    assert torch.equal(poses.sample((4,), seed=3), centred[:4])
    assert torch.equal(poses.sample((2, 3)), centred[:6].reshape(2, 3, 5, 17, 3))
    assert torch.equal(poses.sample(), centred[0])
    assert torch.equal(poses.root_offset, given[:, :, 0].mean(0))
    assert torch.allclose(poses.mean, centred.mean(0))
    assert torch.equal(poses.median, centred.median(0).values)
    assert torch.allclose(poses.covariance[2, 7], torch.cov(centred[:, 2, 7].T), atol=1e-6)
    assert poses.batch_shape == (5,)
    assert not poses.has_density
    with pytest.raises(NotImplementedError, match="has no density"):
        poses.log_prob(centred)
    with pytest.raises(NotImplementedError):
        _ = poses.mode
    with pytest.raises(InputError, match=r"^samples: 13 hypotheses per pose are asked for, 12 are given; ask for 12 "):
        poses.sample((13,))


def test_a_single_sample_has_no_spread_and_a_region() -> None:
    poses = EmpiricalPoseDistribution(torch.zeros(1, 2, 17, 3))
    assert poses.covariance.abs().max() == 0
    region = poses.region(0.9)
    assert not region.calibrated
    assert bool(region.contains(torch.zeros(2, 17, 3)).all())


# -- functions -----------------------------------------------------------------------------------------


def test_a_peer_answers_as_the_lifter_that_it_asks(write, few) -> None:
    peer = load_peer(f"{write(PASSES_MDN_ON.format(changed='samples'))}:lift", samples=7)
    expected = pp.load("mdn")(few).sample((7,), seed=0)
    assert torch.equal(peer(few).sample((7,)), expected)
    assert peer.root_offset == 0
    assert peer(few[2:3]).sample((7,)).shape == (7, 1, 17, 3)


@pytest.mark.parametrize("changed", ["samples.numpy()", "samples.double()", "samples.half()", "samples.tolist()"])
def test_arrays_and_tensors_of_any_precision(write, few, changed: str) -> None:
    peer = load_peer(f"{write(PASSES_MDN_ON.format(changed=changed))}:lift", samples=3)
    expected = pp.load("mdn")(few).sample((3,), seed=0)
    assert torch.allclose(peer(few).sample((3,)), expected, atol=1e-3)


def test_any_batch_shape_and_skeleton(write) -> None:
    peer = load_peer(f"{write(lift_of('torch.ones(n, len(keypoints), 17, 3)'))}:lift", samples=2)
    assert peer(pp.Keypoints2D(torch.rand(2, 3, 17, 2))).sample((2,)).shape == (2, 2, 3, 17, 3)
    assert peer(pp.Keypoints2D(torch.rand(17, 2), skeleton="coco17")).sample((2,)).shape == (2, 17, 3)


def test_poses_elsewhere_are_moved_and_that_is_remembered(write, few) -> None:
    changed = "samples + torch.tensor([0.0, 3.0, 4.0])"
    peer = load_peer(f"{write(PASSES_MDN_ON.format(changed=changed))}:lift", samples=3)
    poses = peer(few)
    assert torch.allclose(poses.mean, pp.load("mdn")(few).sample((3,), seed=0).mean(0), atol=1e-5)
    assert peer.root_offset == pytest.approx(5.0, abs=1e-4)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("np.zeros((len(keypoints), n, 17, 3))", "samples come first: return samples.swapaxes(0, 1)"),
        ("np.zeros((len(keypoints), 17, 3))", "return np.repeat(pose[None], n, axis=0)"),
        ("np.zeros((n, len(keypoints), 16, 3))", "return the 17 joints of h36m17"),
        ("np.zeros((1, len(keypoints), 17, 3))", "expected (4, 6, 17, 3): (n, poses, joints, 3)"),
        (
            "np.zeros((n, len(keypoints), 17, 3), int)",
            "returned numbers of type int64; expected floating-point numbers",
        ),
        ("torch.zeros(n, len(keypoints), 17, 3, dtype=int)", "returned numbers of type int64; expected floating-point"),
        ("None", "returned numbers of type object; expected floating-point numbers in metres"),
        ("[[1.0], [1.0, 2.0]]", "returned no array of numbers"),
    ],
)
def test_wrong_answers(write, few, answer: str, said: str) -> None:
    peer = load_peer(f"{write(lift_of(answer))}:lift", samples=4)
    with pytest.raises(InputError, match=rf"^peer {peer.peer}: returned ") as caught:
        peer(few)
    assert said in str(caught.value)


def test_a_number_that_is_none_is_placed(write, few) -> None:
    code = PASSES_MDN_ON.format(changed="torch.where(torch.arange(samples.numel()).reshape(samples.shape) == "
                                        "((2 * 6 + 3) * 17 + 5) * 3 + 1, torch.nan, samples)")  # fmt: skip
    peer = load_peer(f"{write(code)}:lift", samples=4)
    with pytest.raises(InputError) as caught:
        peer(few)
    where = (
        "for pose 3 ('clip3', frame 0), sample 2, joint 'left_knee'; expected finite numbers, for missing joints too"
    )
    assert str(caught.value).endswith(where)


def test_an_error_in_the_function_names_its_line(write, few) -> None:
    code = "def broken(xy):\n    return xy / {}['scale']\n\ndef lift(keypoints, n):\n    return broken(keypoints.xy)\n"
    name = write(code)
    with pytest.raises(InputError) as caught:
        load_peer(f"{name}:lift")(few)
    assert str(caught.value) == (
        f"peer {name}:lift: the function failed with KeyError: 'scale' ({name}.py, line 2: return xy / {{}}['scale']); "
        "it is called with (keypoints, n)"
    )
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_function_of_other_arguments(write, few) -> None:
    name = write("def lift(keypoints):\n    return keypoints.xy\n")
    with pytest.raises(InputError, match=r"TypeError: .* takes 1 positional argument but 2 were given; it is called"):
        load_peer(f"{name}:lift")(few)


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        ("lift", "peer 'lift': expected MODULE:FUNCTION, for example my_method:lift"),
        (":lift", "peer ':lift': expected MODULE:FUNCTION"),
        ("mine.py:lift", "expected the name of a module, not a file: mine:lift, from its folder"),
        ("somewhere/mine.py:lift", "expected the name of a module, not a file: mine:lift, from its folder"),
        ("nowhere_at_all:lift", "peer nowhere_at_all:lift: no module 'nowhere_at_all' in "),
        ("nowhere_at_all.inside:lift", "run in the folder of nowhere_at_all.py"),
        ("sys:intern", "peer sys:intern: 'intern' is in no file"),
    ],
)
def test_peers_that_are_not_there(peer: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        load_peer(peer)


def test_a_function_that_is_not_there(write) -> None:
    name = write("LIFT = 3\ndef lift_all(keypoints, n): ...\ndef _hidden(): ...\n")
    with pytest.raises(InputError, match=rf"module '{name}' has no function 'lift'; it has: lift_all$"):
        load_peer(f"{name}:lift")
    with pytest.raises(InputError, match="has no function 'LIFT'"):
        load_peer(f"{name}:LIFT")
    with pytest.raises(InputError, match="samples: expected at least 1, got 0"):
        load_peer(f"{name}:lift_all", samples=0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\nimport not_installed_anywhere\n", "ModuleNotFoundError: No module named 'not_installed_anywhere' ("),
        ("import sys\nsys.exit(2)\n", "SystemExit: 2 ("),
        ("def lift(:\n", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported(write, code: str, said: str) -> None:
    name = write(code)
    before = list(sys.path)
    with pytest.raises(InputError) as caught:
        load_peer(f"{name}:lift")
    assert f"peer {name}:lift: importing {name} failed with {said}" in str(caught.value)
    assert sys.path == before


def test_the_hash_is_of_the_function_and_its_file(write) -> None:
    name = write("def lift(keypoints, n): ...\ndef other(keypoints, n): ...\n")
    first = content_hash(load_peer(f"{name}:lift"))
    assert first == content_hash(load_peer(f"{name}:lift", samples=3))
    assert first != content_hash(load_peer(f"{name}:other"))
    Path(f"{name}.py").write_text("def lift(keypoints, n): return 1\n")
    assert first != content_hash(load_peer(f"{name}:lift"))


def test_the_hash_of_weights_is_of_their_files(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    pp.load("supervised").save_pretrained(saved)
    first = content_hash(saved)
    assert first == content_hash(str(saved))
    assert content_hash("supervised") == content_hash(list_shipped()["supervised"])
    (saved / "card.json").write_text("{}")
    assert content_hash(saved) == first
    (saved / "calibration.json").write_text("{}")
    assert content_hash(saved) != first
    with pytest.raises(InputError, match="is neither a folder nor a shipped lifter"):
        content_hash("no_such_lifter")


# -- known answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "kinds", "said"),
    [
        ("samples", [], ""),
        ("samples * torch.tensor([1, 1, -1])", ["depth mirrored"], "Depth is mirrored: z grows towards the camera"),
        ("1000 * samples", ["unit"], "millimetres taken for metres would be. Metres are expected: divide"),
        (
            "samples[..., torch.randperm(17, generator=torch.Generator().manual_seed(1)), :]",
            ["joints"],
            "17 joints are",
        ),
        ("samples.roll(1, -2)", ["joints"], "your right_hip lies where the pelvis is"),
        ("samples + torch.tensor([0.1, 0.0, 4.0])", ["absolute"], "the pelvis, which was 4.00 m from zero on"),
        ("samples[:1].expand_as(samples)", ["identical"], "All hypotheses of a pose are the same"),
    ],
)
def test_mistakes_of_peers_are_visible(write, changed: str, kinds: list[str], said: str) -> None:
    keypoints, truth = crowd()
    peer = load_peer(f"{write(PASSES_MDN_ON.format(changed=changed))}:lift", samples=10)
    poses = peer(keypoints)
    valid = torch.ones(truth.shape[:-1], dtype=torch.bool)
    found = check(poses.mean, truth, valid, poses.sample((8,)), keypoints.visible, root_offset=peer.root_offset)
    assert [one.kind for one in found] == kinds
    assert said in " ".join(one.sentence for one in found)


def test_the_documented_example_works(write) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "peers.md").read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    keypoints, truth = crowd()
    peer = load_peer(f"{write(code)}:lift", samples=20)
    poses = peer(keypoints)
    valid = torch.ones(truth.shape[:-1], dtype=torch.bool)
    found = check(poses.mean, truth, valid, poses.sample((8,)), keypoints.visible, root_offset=peer.root_offset)
    assert [one for one in found if one.severity == "error"] == []
    assert 1000 * float(mpjpe(poses.mean, truth, valid).mean()) < 250
    assert peer.card["description"] == "The person's picture, scaled to the size of a body, with random depths."


# -- files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answers() -> np.ndarray:
    """(poses, n, 17, 3) relative to the pelvis."""
    return pp.load("mdn")(crowd()[0]).sample((5,), seed=0).transpose(0, 1).numpy()


def names(keypoints: pp.Keypoints2D) -> dict[str, np.ndarray]:
    return {"clip": np.array([i.file for i in keypoints.ids]), "frame": np.array([i.frame for i in keypoints.ids])}


def test_rows_are_found_by_name_in_any_order_and_any_chunk(tmp_path: Path, answers: np.ndarray) -> None:
    keypoints, _ = crowd()
    order = np.random.default_rng(0).permutation(len(answers))
    arrays = {"samples": answers, **names(keypoints)}
    np.savez(tmp_path / "cmu-test.npz", **{name: value[order] for name, value in arrays.items()})
    some = keypoints[20:]
    lifter = load_results("mine", tmp_path).for_protocol("cmu-test", some)
    assert torch.equal(lifter(some[3:9]).sample((5,)), torch.from_numpy(answers[23:29]).transpose(0, 1))
    with pytest.raises(InputError, match=r"cmu-test\.npz: no row for 'clip0', frame 0$"):
        lifter(keypoints[:3])


def test_rows_without_names_are_in_the_protocols_order(tmp_path: Path, answers: np.ndarray) -> None:
    keypoints, _ = crowd()
    np.savez(tmp_path / "masks-4.npz", samples=answers.astype(np.float16))
    results = load_results("mine", tmp_path / "masks-4.npz")
    assert results.files == {"masks-4": tmp_path / "masks-4.npz"}
    lifter = results.for_protocol("masks-4", keypoints)
    picked = lifter(keypoints[torch.tensor([7, 3])]).sample((2,))
    assert torch.allclose(picked, torch.from_numpy(answers[[7, 3], :2]).transpose(0, 1), atol=2e-3)
    with pytest.raises(InputError) as caught:
        results.for_protocol("masks-4", keypoints[:50])
    assert str(caught.value).endswith(
        "samples has 200 rows, the protocol 'masks-4' has 50 poses; give one row per pose in the protocol's order, or "
        "the arrays 'clip' and 'frame' that say which is which"
    )


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_result_files_of_poseterior_are_results(tmp_path: Path, few: pp.Keypoints2D, suffix: str) -> None:
    result = pp.lift(pp.load("mdn"), few, samples=4)
    pp.save_result(result, tmp_path / f"cmu-test{suffix}")
    lifter = load_results("mine", tmp_path).for_protocol("cmu-test", few)
    assert np.allclose(lifter(few).sample((4,)).transpose(0, 1).numpy(), result.samples, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": np.zeros((5, 200, 17, 3))}, "poses come first: save samples.swapaxes(0, 1)"),
        ({"samples": np.zeros((200, 17, 3))}, "of a single answer per pose save pose[:, None]"),
        ({"samples": np.zeros((200, 5, 16, 3))}, "expected (poses, n, 17, 3), h36m17 joints"),
        ({"samples": np.zeros((200, 5, 17, 3), int)}, "samples: found numbers of type int64"),
        ({"samples": np.full((200, 5, 17, 3), np.inf)}, "for pose 0 ('clip0', frame 0), sample 0, joint 'pelvis'"),
        ({"clip": np.array(["clip0"] * 200)}, "holds 'clip0', frame 0 twice"),
        ({"clip": np.array(["other"] * 200), "frame": np.arange(200)}, "no row for 'clip0', frame 0; 200 of the prot"),
        ({"frame": np.arange(200.0)}, "frame is float64 of shape (200,); expected 200 whole numbers, one per pose"),
        ({"clip": np.array(["a"] * 3)}, "clip is <U1 of shape (3,); expected 200 strings, one per pose"),
        ({"clip": np.array(["a"] * 200, object)}, "pickled Python objects, which are never loaded; save names as"),
        ({"joint_names": np.array(["nose"] * 17)}, "joint_names: expected the joints of h36m17: pelvis, right_hip"),
    ],
)
def test_wrong_files(tmp_path: Path, answers: np.ndarray, changed: dict[str, np.ndarray], said: str) -> None:
    keypoints, _ = crowd()
    path = tmp_path / "cmu-test.npz"
    np.savez(path, **{"samples": answers, **names(keypoints), **changed})
    with pytest.raises(InputError) as caught:
        load_results("mine", path).for_protocol("cmu-test", keypoints)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_broken_and_absent_files(tmp_path: Path, few: pp.Keypoints2D) -> None:
    path = tmp_path / "cmu-test.npz"
    with pytest.raises(InputError, match=r"cmu-test.npz: no such file or folder; give PROTOCOL.npz"):
        load_results("mine", path)
    with pytest.raises(InputError, match="holds no results; name each file after its protocol, for example"):
        load_results("mine", tmp_path)
    (tmp_path / "cmu-test.json").write_text("{}")
    with pytest.raises(InputError, match=r"unknown extension '\.json'; results files are: \.npz, \.parquet"):
        load_results("mine", tmp_path / "cmu-test.json")
    np.savez(path, poses=np.zeros(3))
    good = path.read_bytes()
    with pytest.raises(InputError, match="the array 'samples' is missing"):
        load_results("mine", path).for_protocol("cmu-test", few)
    for content in (b"", b"nonsense", good[: len(good) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"cmu-test\.npz: not an npz file"):
            load_results("mine", path).for_protocol("cmu-test", few)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    path.with_suffix(".npy").replace(path)
    with pytest.raises(InputError, match=r"cmu-test\.npz: not an npz file"):
        load_results("mine", path).for_protocol("cmu-test", few)
    with pytest.raises(InputError, match="results mine: no file for the protocol 'masks-8'; there are: cmu-test"):
        load_results("mine", path).for_protocol("masks-8", few)


def test_names_come_in_pairs(tmp_path: Path, answers: np.ndarray) -> None:
    path = tmp_path / "cmu-test.npz"
    np.savez(path, samples=answers, frame=np.arange(200))
    with pytest.raises(InputError, match="the array 'clip' is missing; give both 'clip' and 'frame', or neither"):
        load_results("mine", path).for_protocol("cmu-test", crowd()[0])


def test_observations_of_the_same_name_cannot_be_told_apart(tmp_path: Path, answers: np.ndarray) -> None:
    path = tmp_path / "cmu-test.npz"
    np.savez(path, samples=answers[:2])
    keypoints = crowd()[0][torch.tensor([4, 4])]
    with pytest.raises(InputError, match="cannot be matched with the observations: these hold 'clip0', frame 1 twice"):
        load_results("mine", path).for_protocol("cmu-test", keypoints)


def test_the_hash_of_results_is_of_their_files(tmp_path: Path, answers: np.ndarray) -> None:
    np.savez(tmp_path / "cmu-test.npz", samples=answers)
    results = load_results("mine", tmp_path)
    whole, one = content_hash(results), content_hash(results.for_protocol("cmu-test", crowd()[0]))
    assert one == content_hash(load_results("other", tmp_path / "cmu-test.npz"))
    np.savez(tmp_path / "masks-4.npz", samples=answers + 1)
    assert content_hash(load_results("mine", tmp_path)) != whole


def test_an_empty_batch(write, tmp_path: Path, few: pp.Keypoints2D, answers: np.ndarray) -> None:
    peer = PeerLifter(lambda keypoints, n: np.zeros((n, len(keypoints), 17, 3)), 3, "lambda")
    assert peer(few[:0]).sample((3,)).shape == (3, 0, 17, 3)
    np.savez(tmp_path / "cmu-test.npz", samples=answers[:6])
    lifter = load_results("mine", tmp_path).for_protocol("cmu-test", few)
    assert lifter(few[:0]).sample((5,)).shape == (5, 0, 17, 3)
