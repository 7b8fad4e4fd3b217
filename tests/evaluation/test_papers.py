"""The papers' evaluations, end to end on made-up files in the data sets' layouts."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from h36m_files import release, write_pickle

from conftest import STANDING
from poseterior.cli import main
from poseterior.data.observations import load_observations
from poseterior.data.store import PoseStore
from poseterior.evaluation.papers import li_lee_2019, yu_2021
from poseterior.evaluation.papers.duenkel_2024 import people_of
from poseterior.evaluation.papers.ronchi_2018 import scaled_error
from poseterior.evaluation.papers.tables import action_table
from poseterior.evaluation.papers.wehrbein_2021 import every_64th
from poseterior.files.errors import InputError
from poseterior.keypoints import PoseId
from poseterior.lifters.base import build_model, load, load_prior
from poseterior.metrics import accuracy


def saved(tmp_path, name, method, **config):
    torch.manual_seed(0)
    build_model(method, config).eval().save_pretrained(tmp_path / name)
    return tmp_path / name


@pytest.fixture(scope="module")
def h36m(tmp_path_factory):
    """Test and hard subset, imported from the published pickles' layout."""
    folder = tmp_path_factory.mktemp("h36m")
    pickled = release("test")
    for subject in pickled.values():
        for action in subject.values():
            for take in action.values():
                for recording in take.values():
                    if recording:
                        recording["gaussfit"][0, 3] = 6.0  # the detector is unsure of one joint of the first frame
    write_pickle(folder / "detections.pickle", pickled)
    for split in ("test", "test-hard"):
        words = ["data", "import", "h36m", str(folder / "detections.pickle"), "--split", split]
        assert main([*words, "--out", str(folder / f"{split}.parquet")]) == 0
    return folder


def tables(out) -> dict:
    found = json.loads((out / "published.json").read_text())["tables"]
    return {file: {table["title"]: table for table in those} for file, those in found.items()}


def test_wehrbein_per_action_and_on_the_hard_subset(h36m, tmp_path, capsys):
    weights = saved(tmp_path, "flow", "flow-published")
    out = tmp_path / "out"
    words = ["bench", str(weights), "--published", "wehrbein_2021", "--samples", "3", "--out", str(out)]
    assert main([*words, "--observations", str(h36m / "test.parquet"), str(h36m / "test-hard.parquet")]) == 0
    found = tables(out)
    first = found["test"]["protocol 1: MPJPE (mm)"]
    assert first["columns"][:3] == ["Direct.", "Disc.", "Eat"]
    assert first["columns"][-1] == "Avg."
    assert list(first["rows"]) == [f"flow {kind}" for kind in ("z0", "best", "median", "mean", "worst")]
    data = every_64th(load_observations(h36m / "test.parquet"))
    walking = [i for i, action in enumerate(data.action) if action == "Walking"]
    some = data.observations[torch.tensor(walking)]
    z0 = load(weights)(some.keypoints).z0
    expected = 1000 * float(accuracy.mpjpe(z0, some.pose).mean())
    assert first["rows"]["flow z0"][-2] == pytest.approx(expected, abs=0.01)
    assert first["rows"]["flow z0"][-1] == pytest.approx(np.mean(first["rows"]["flow z0"][:-1]), abs=0.01)
    hard = found["test-hard"]["hard subset, best hypothesis"]
    assert hard["columns"] == ["PCK@150 (%)", "CPS (mm)"]
    assert "hard subset, protocol 2: P-MPJPE (mm)" in found["test-hard"]
    assert "Direct." in capsys.readouterr().out


def test_every_64th_frame_of_each_clip(h36m):
    data = load_observations(h36m / "test.parquet")
    ids = [PoseId("a" if i < 40 else "b", 4 * (i % 40 + 1), 0) for i in range(80)]
    some = data.observations[torch.arange(80)]
    some = dataclasses.replace(some, keypoints=some.keypoints._replace(ids=ids))
    kept = every_64th(dataclasses.replace(data, observations=some, action=("x",) * 80, subject=("y",) * 80))
    assert [(i.file, i.frame) for i in kept.observations.keypoints.ids] == [
        ("a", 4), ("a", 68), ("a", 132), ("b", 4), ("b", 68), ("b", 132),
    ]  # fmt: skip


def test_ronchi_in_the_joints_of_each_lifter(h36m, tmp_path):
    lifters = {
        "seventeen": {}, "fourteen": {"skeleton": "lsp14"},
        "sixteen": {"skeleton": "shg16", "output": "standardised", "scale": "none"},
    }  # fmt: skip
    folders = [str(saved(tmp_path, name, "regression-published", width=8, **c)) for name, c in lifters.items()]
    words = ["bench", *folders, "--published", "ronchi_2018", "--out", str(tmp_path / "out")]
    assert main([*words, "--observations", str(h36m / "test.parquet")]) == 0
    found = tables(tmp_path / "out")["test"]
    errors = found["3D error (mm), mean over poses"]["rows"]
    assert list(errors) == list(lifters)
    assert found["3D error (mm), mean over poses"]["notes"][0].endswith("seventeen 17, fourteen 14, sixteen 16")
    data = load_observations(h36m / "test.parquet").observations
    posterior = load(folders[0])(data.keypoints)
    placed = posterior.loc + posterior.root_offset.unsqueeze(-2)
    assert errors["seventeen"][0] == pytest.approx(1000 * float(accuracy.mpjpe(placed, data.pose).mean()), rel=1e-4)
    p2 = 1000 * accuracy.p_mpjpe(posterior.loc, data.pose).mean()
    assert errors["seventeen"][2] == pytest.approx(float(p2), rel=1e-4)


def test_scaled_error_is_that_of_the_alignments_scale(people):
    turned = people @ torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    known = torch.ones(people.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(scaled_error(0.2 * people, people, known), torch.zeros(len(people)), atol=0.01, rtol=0)
    assert (scaled_error(turned, people, known) > 10).all()  # a turn is not undone


@pytest.mark.parametrize("scale", ["none", "published"])
def test_yu_with_true_sizes_on_both_kinds_of_keypoints(tmp_path, scale):
    h5py = pytest.importorskip("h5py")
    from poseterior.data.sets.yu_h5 import JOINTS

    rng = np.random.default_rng(0)
    points = np.array([STANDING[joint] for joint in JOINTS]) + rng.normal(0, 0.05, (6, 17, 3)) + [0, 0, 5.0]
    xy = 1145 * points[..., :2] / points[..., 2:] + [512, 515]
    with h5py.File(tmp_path / "h36m_valid_pred3.h5", "w") as file:
        names = [f"S9/Walking 1/54138969/{i + 1:06d}.jpg" for i in range(6)]
        for name, value in {"joint_3d_gt": points, "joint_2d_gt": xy, "joint_2d_pre": xy + 3.0}.items():
            file[name] = value
        file["imagename"] = np.array(names, "S")
    files = []
    for kind in ("gt", "pre"):
        files.append(str(tmp_path / f"{kind}.parquet"))
        words = ["data", "import", "yu-h5", str(tmp_path / "h36m_valid_pred3.h5"), "--detections", kind]
        assert main([*words, "--out", files[-1]]) == 0
    weights = saved(tmp_path, "yu", "unsupervised-published", width=8, scale=scale)
    words = ["bench", str(weights), "--published", "yu_2021", "--observations", *files, "--out", str(tmp_path / "out")]
    assert main(words) == 0
    found = tables(tmp_path / "out")
    assert list(found["pre"]) == ["detections"]
    table = found["gt"]["true keypoints"]
    # the same by hand: published units, each true pose's own distance from pelvis to head
    lifter = load(weights)
    observations = load_observations(files[0]).observations
    lifter.fit_constants(observations)
    with torch.no_grad():
        image, visible = lifter.image_of(observations.keypoints)
        pose = lifter.lift_image(lifter.rescaled(image, visible), visible).pose
    factor = observations.pose[:, lifter.skeleton.index("head_top")].norm(dim=-1)
    mean = (pose * factor[:, None, None] - observations.pose).norm(dim=-1).mean()
    assert table["rows"]["yu"][0] == pytest.approx(1000 * float(mean), rel=1e-4)


def test_lifters_that_know_sizes_keep_theirs(people):
    lifter = load("supervised")
    assert yu_2021.of_true_size(people, 2 * people, lifter) is people


def test_li_lee_with_joints_missing(h36m, tmp_path):
    weights = saved(tmp_path, "mdn", "mdn-published", width=8)
    words = ["bench", str(weights), "--published", "li_lee_2019", "--out", str(tmp_path / "out")]
    assert main([*words, "--observations", str(h36m / "test.parquet")]) == 0
    found = tables(tmp_path / "out")["test"]
    first = found["protocol 1: MPJPE of the best hypothesis (mm)"]
    assert list(first["rows"]) == [f"mdn {count} missing" for count in (0, 1, 2)]
    assert first["notes"][0].endswith("best of 5 (mdn): oracle")
    data = load_observations(h36m / "test.parquet")
    loc = load(weights)(data.observations.keypoints).hypotheses[0]
    best = 1000 * accuracy.mpjpe(loc.movedim(-3, 0), data.observations.pose).amin(0)
    expected = action_table("", {"x": best}, data.action).rows["x"]
    assert first["rows"]["mdn 0 missing"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_so_many_limb_joints_are_hidden(h36m, count):
    observations = load_observations(h36m / "test.parquet").observations
    shown = li_lee_2019.hidden(observations, count, 3)
    gone = observations.keypoints.visible & ~shown.keypoints.visible
    assert (gone.sum(-1) == count).all()
    assert set(gone.any(0).nonzero().flatten().tolist()) <= set(li_lee_2019.LIMBS)
    names = [shown.keypoints.skeleton.joints[j] for j in li_lee_2019.LIMBS]
    assert {name.split("_")[1] for name in names} == {"knee", "ankle", "elbow", "wrist"}


@pytest.fixture(scope="module")
def amass(tmp_path_factory):
    folder = tmp_path_factory.mktemp("amass")
    rng = np.random.default_rng(0)
    np.savez(folder / "walk.npz", poses=rng.normal(0, 0.2, (12, 156)), trans=np.zeros((12, 3)), mocap_framerate=30.0)
    assert main(["data", "import", "amass", str(folder / "walk.npz"), "--out", str(folder / "store")]) == 0
    return folder / "store"


def test_bodies_of_a_store_are_what_positions_and_rotations_leave(amass):
    mocap = PoseStore(amass).load()
    people = people_of(mocap)
    torch.testing.assert_close(people.placed(people.rotations), people.points, atol=1e-5, rtol=0)
    length = people.offsets.norm(dim=-1)
    torch.testing.assert_close(length, length[:1].expand_as(length), atol=1e-5, rtol=0)
    torch.testing.assert_close(people.offsets, people.offsets[:1].expand_as(people.offsets), atol=1e-4, rtol=0)


def test_duenkel_likelihoods_and_masks(amass, tmp_path, capsys):
    size = {"segments": 2, "hidden": 4, "hidden_layers": 1}
    folders = [str(saved(tmp_path, task, "rotations-published", task=task, **size)) for task in ("prior", "ik", "lift")]
    words = ["bench", *folders, "--published", "duenkel_2024", "--data", str(amass), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    found = tables(tmp_path / "out")["store"]
    likelihood = found["log-likelihood (nats above uniform)"]["rows"]
    assert list(likelihood) == [
        "prior", "ik, all keypoints", "ik, random masks", "ik, without legs (L)", "ik, without arm + hand (L)",
        "ik, without shoulder + upper arm (R)", "ik, without end effectors", "lift, all keypoints",
    ]  # fmt: skip
    people = people_of(PoseStore(amass).load())
    with torch.no_grad():
        density = load_prior(folders[1]).ik(people.points).log_prob(people.rotations).mean()
    assert likelihood["ik, all keypoints"][0] == pytest.approx(float(density), abs=1e-3)
    (fits,) = [table for title, table in found.items() if title.startswith("keypoints")]
    one, _, best_joints, best_pose, *_ = fits["rows"]["ik, all keypoints"]
    assert best_joints <= best_pose <= one
    assert "random masks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--published ronchi_2018", "--published ronchi_2018: name the lifters to measure"),
        ("supervised --published ronchi_2018", "is on observations; pass files of `poseterior data import`"),
        ("rotations --published duenkel_2024", "is on the rotations of a pose store; pass it as --data STORE"),
        ("rotations --published duenkel_2024 --data {store}", "is of method 'rotations'; the evaluation of"),
        ("mdn --published li_lee_2019 --protocol people", "--protocol: does not go with --published"),
        ("mdn --rotations", "--rotations: pass the pose store to measure on as --data STORE"),
    ],
)
def test_what_cannot_be_measured_is_told(words, message, amass, tmp_path, capsys):
    assert main(["bench", *words.format(store=amass).split(), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_two_lifters_of_one_name(tmp_path):
    from poseterior.evaluation.papers.running import named

    assert named(["mdn", "runs/a/weights", "b"]) == {"mdn": "mdn", "a": "runs/a/weights", "b": "b"}
    with pytest.raises(InputError, match=r"x/a: two lifters are called 'a'; rename one of the folders"):
        named(["a", "x/a"])
    for twice in ("mdn", "./mdn", "mdn/weights"):
        with pytest.raises(InputError, match=rf"^{twice}: named twice; name it once$"):
            named(["mdn", "flow", twice])


def refused(capsys, *words):
    """What ``bench`` says in one line; nothing was printed before that."""
    capsys.readouterr()
    assert main(["bench", *map(str, words)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err.removeprefix("poseterior: error: ").strip()


@pytest.mark.parametrize("name", ["nope.parquet", "d"])
def test_measuring_is_not_announced_of_what_is_not_there(name, h36m, tmp_path, monkeypatch, capsys):
    """Not even after the files before it were measured."""
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path)
    problem = "is a folder; expected a Parquet file" if name == "d" else "no such file"
    for paper in ("ronchi_2018", "li_lee_2019"):
        words = ["supervised", "--published", paper, "--observations", h36m / "test.parquet", name, "--out", "out"]
        assert refused(capsys, *words) == f"{name}: {problem}"
    assert not (tmp_path / "out").exists()


def test_a_store_that_is_not_there_is_not_announced(tmp_path, capsys):
    words = ["rotations", "--published", "duenkel_2024", "--data", tmp_path / "nope", "--out", tmp_path / "out"]
    assert refused(capsys, *words).startswith(f"{tmp_path / 'nope'}: a pose store is a folder, but this does not exist")


@pytest.mark.parametrize(
    "words",
    [
        "supervised --published ronchi_2018 --observations {h36m}/test.parquet",
        "rotations --rotations --data {store}",
        "supervised --observations {h36m}/test.parquet",
        "supervised --data {store} --protocol masks",
    ],
)
def test_a_file_in_the_place_of_the_folder_is_told_before_anything_is_measured(words, h36m, amass, tmp_path, capsys):
    out = tmp_path / "out"
    out.write_text("mine")
    assert refused(capsys, *words.format(h36m=h36m, store=amass).split(), "--out", out) == (
        f"{out}: cannot be written ({out}: is a file); choose another path"
    )
    below = out / "below"
    assert refused(capsys, *words.format(h36m=h36m, store=amass).split(), "--out", below) == (
        f"{below}: cannot be written ({out}: is a file); choose another path"
    )
    assert out.read_text() == "mine"


def test_networks_without_a_prior_are_measured_elsewhere(amass, tmp_path, capsys):
    """Whichever stands last; and nothing is left behind."""
    size = {"segments": 2, "hidden": 4, "hidden_layers": 1}
    ik = saved(tmp_path, "ik", "rotations-published", task="ik", **size)
    out = tmp_path / "out"
    assert refused(capsys, "rotations", ik, "--rotations", "--data", amass, "--out", out) == (
        f"{ik}: has no prior to measure (lifter.task is 'ik', not 'prior': the published model has one network per "
        "task; train one with `poseterior train so3-published lifter.task=prior`); what it answers to points is "
        "measured by `poseterior bench --published duenkel_2024`"
    )
    for words in (
        ["rotations", "--data", tmp_path / "nope"],
        ["mdn", "--data", amass],
        ["rotations", "--data", amass, "--poses", "5"],
        ["rotations", "--data", amass, "--novelty", tmp_path / "nope"],
    ):
        refused(capsys, *words, "--rotations", "--out", out)
        assert not out.exists()


@pytest.mark.parametrize("command", ["sample", "score {store}"])
def test_the_prior_commands_name_the_network_that_has_none(command, amass, tmp_path, capsys):
    ik = saved(tmp_path, "ik", "rotations-published", task="ik", segments=2, hidden=4, hidden_layers=1)
    assert main(["prior", *command.format(store=amass).split(), "--lifter", str(ik)]) == 2
    assert capsys.readouterr().err.startswith(f"poseterior: error: {ik}: lifter.task is 'ik', not 'prior': ")
