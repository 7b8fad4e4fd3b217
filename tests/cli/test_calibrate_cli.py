"""`poseterior calibrate` as a user meets it."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.observations import save_observations
from poseterior.data.simulation.protocols import PROTOCOLS, simulate
from poseterior.distributions.evidence import EVIDENCE_FILE, Evidence
from poseterior.distributions.given import GivenEvidence
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import list_shipped, load, method


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = main(["calibrate", *(str(a) for a in arguments)])
    out = capsys.readouterr()
    return code, " ".join(out.out.split()), out.err


def refused(capsys, *arguments: object) -> str:
    """Run a calibration that must fail: exit code 2, one message, no traceback."""
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "Traceback" not in err
    return err.removeprefix("poseterior: error: ").strip()


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return made_up_store(tmp_path_factory.mktemp("mocap") / "people")


@pytest.fixture(scope="module")
def seen(store) -> Path:
    """All frames of the store, 50 in each of 8 clips, seen by a protocol."""
    path = store.parent / "seen.parquet"
    save_observations(simulate(store, dataclasses.replace(PROTOCOLS["cmu-occluded"], fps=30.0)), path)
    return path


@pytest.fixture
def weights(tmp_path) -> Path:
    cls = method("mdn")
    torch.manual_seed(0)
    cls(cls.config_class(width=16, blocks=1, kernels=2, rank=1)).save_pretrained(
        tmp_path / "weights", {"name": "small"}
    )
    return tmp_path / "weights"


SMALL = ("--poses", 400, "--samples", 20)


def test_beside_the_weights(capsys, store, weights):
    code, out, _ = run(capsys, weights, "--data", store, *SMALL)
    assert code == 0
    assert "held-out poses: 400 poses; how many truths the regions hold" in out
    assert "as it is" in out
    assert "fitted on 400 poses, for levels up to 0.99" in out
    assert out.endswith(f"wrote {weights}/calibration.json")
    found = load(weights).recalibration
    assert (found.poses, found.samples, found.seed) == (400, 20, 0)
    assert found.description == "400 poses of the store people seen by the simulator on other people, seed 0"
    assert load(weights)(Keypoints2D(torch.rand(17, 2))).region().calibrated
    # Once more: the file is replaced, not refused.
    assert run(capsys, weights, "--data", store, *SMALL, "--seed", 1)[0] == 0
    assert load(weights).recalibration.seed == 1


def test_coverage_is_near_the_level(capsys, store, weights):
    _, out, _ = run(capsys, weights, "--data", store, "--poses", 1500, "--samples", 20)
    table = [float(number) for number in out.split("calibrated ")[1].split()[:28]]
    rows = [table[i : i + 7] for i in range(0, 28, 7)]
    assert [row[0] for row in rows] == [0.5, 0.9, 0.95, 0.99]
    for level, visible, missing, _, pose, radius, pose_radius in rows:
        # One standard error of a pose's coverage, of fitting and of measuring together: 0.019 at 0.5, 0.004 at 0.99.
        slack = 4 * (level * (1 - level) * (1 / 1200 + 1 / 1500)) ** 0.5
        for share in (visible, missing, pose):
            assert share == pytest.approx(level, abs=slack)
        assert radius <= pose_radius
    assert [row[5] for row in rows] == sorted(row[5] for row in rows)


def test_a_copy_of_a_shipped_lifter(capsys, store, seen, tmp_path):
    shipped = list_shipped()["supervised"]
    before = (shipped / "calibration.json").read_bytes()
    target = tmp_path / "mine"
    arguments = ("supervised", "--data", store, *SMALL, "--out", target)
    code, out, _ = run(capsys, *arguments, "--test", f"again={store}", "--test", f"occluded={seen}")
    assert code == 0
    assert "again: 400 poses" in out
    assert "occluded: 400 poses" in out
    assert out.endswith(f"wrote {target}")
    assert (target / "model.safetensors").read_bytes() == (shipped / "model.safetensors").read_bytes()
    assert (target / "card.json").read_bytes() == (shipped / "card.json").read_bytes()
    assert load(target).recalibration.poses == 400
    assert (shipped / "calibration.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]


def test_with_the_evidence(capsys, store, tmp_path):
    target = tmp_path / "mine"
    code, out, _ = run(capsys, "mdn", "--data", store, *SMALL, "--evidence", "--out", target)
    assert code == 0
    assert "keypoints are given as exactly as" in out
    lifter, plain = load(target), load(target, evidence=False)
    assert 0.001 < lifter.evidence.coarseness < 0.05
    keypoints = Keypoints2D(torch.rand(3, 17, 2) * 100 + 100, image_size=(400, 400))
    assert isinstance(lifter(keypoints), GivenEvidence)
    assert lifter(keypoints).region().calibrated
    # the regions were fitted with the evidence: without it they are not right
    assert plain.evidence is plain.recalibration is None
    assert not plain(keypoints).region().calibrated
    # a changed evidence is other weights, as it were
    (target / EVIDENCE_FILE).write_text(Evidence().to_json())
    with pytest.raises(InputError, match=r"belongs to another evidence\.json than the one beside it"):
        load(target)
    # and a lifter that is saved keeps it
    lifter.save_pretrained(tmp_path / "again")
    assert load(tmp_path / "again").evidence == lifter.evidence


def test_nothing_is_fitted_to_or_measured_on_2d_alone(capsys, store, weights, tmp_path):
    data = simulate(store, dataclasses.replace(PROTOCOLS["cmu-test"], fps=30.0))
    found = dataclasses.replace(data.observations, observed=torch.zeros_like(data.observations.observed))
    save_observations(dataclasses.replace(data, observations=found), tmp_path / "flat.parquet")
    expected = f"{tmp_path / 'flat.parquet'}: holds no 3D poses, from which errors are measured; give others"
    assert refused(capsys, weights, "--data", tmp_path / "flat.parquet", *SMALL) == expected
    assert refused(capsys, weights, "--data", store, "--test", f"a={tmp_path / 'flat.parquet'}", *SMALL) == expected


def test_stores_seen_by_a_protocol(capsys, store, weights):
    message = refused(capsys, weights, "--data", store, *SMALL, "--protocol", "cmu-test")
    assert message == f"{store}: 68 poses with known joints to calibrate on; at least 200 are needed"
    assert not (weights / "calibration.json").exists()
    assert "unknown protocol 'nothing'" in refused(capsys, weights, "--data", store, *SMALL, "--protocol", "nothing")


def test_observations_are_halved_by_clip(capsys, seen, weights):
    assert run(capsys, weights, "--data", seen, *SMALL)[0] == 0
    assert load(weights).recalibration.description == "200 poses of seen.parquet, protocol cmu-occluded v1, seed 2026"


def test_same_seed_same_file(capsys, store, weights):
    files = []
    for _ in range(2):
        run(capsys, weights, "--data", store, *SMALL)
        files.append((weights / "calibration.json").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--poses", 10), "--poses 10: at least 200 are needed, thousands are better"),
        (("--samples", 1), "--samples 1: expected 2 to 10000"),
        (("--seed", -1), "--seed -1: expected 0 to below 2^62"),
        (("--test", "store"), "--test store: expected NAME=PATH, e.g. other=stores/other"),
        (("--test", "a=b", "--test", "a=c"), "--test a=c: the name 'a' is used twice"),
        (("--in-place", "--out", "x"), "--in-place and --out: choose one of them"),
        (("--out", "."), "--out .: exists already; choose a new folder"),
        (("--out", "no/such/place"), "--out no/such/place: the folder no/such does not exist; make it first"),
        (("--device", "meta"), "--device meta: holds no numbers; use --device cpu"),
    ],
)
def test_wrong_options(capsys, weights, store, arguments, message):
    assert refused(capsys, weights, "--data", store, *arguments) == message
    assert not (weights / "calibration.json").exists()


def test_wrong_data(capsys, weights, tmp_path):
    assert refused(capsys, weights, "--data", tmp_path / "gone") == f"{tmp_path / 'gone'}: no such file"
    assert "not a pose store" in refused(capsys, weights, "--data", weights)
    (tmp_path / "text.parquet").write_text("no")
    assert "not a readable Parquet file" in refused(capsys, weights, "--data", tmp_path / "text.parquet")


def test_wrong_lifters(capsys, store, tmp_path, weights):
    assert refused(capsys, "mdn", "--data", store) == (
        "mdn: a shipped lifter is calibrated already; pass --out DIR for a copy with another calibration, "
        "or --in-place to change the installed one"
    )
    assert "is neither a folder nor a shipped lifter" in refused(capsys, tmp_path / "gone", "--data", store)


@pytest.mark.parametrize("content", ["{}", json.dumps({"format": "poseterior-calibration-1"})])
def test_what_cannot_be_read_is_replaced(capsys, store, weights, content):
    """What `load` refuses says: make it anew with this command."""
    (weights / "calibration.json").write_text(content)
    assert run(capsys, weights, "--data", store, *SMALL)[0] == 0
    assert load(weights).recalibration.poses == 400


def test_an_interrupted_copy_leaves_nothing(capsys, store, weights, tmp_path, monkeypatch):
    def stop(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", stop)
    assert "No space left on device" in refused(capsys, weights, "--data", store, *SMALL, "--out", tmp_path / "copy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["weights"]
