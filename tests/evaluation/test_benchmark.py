"""Evaluation on observations whose posterior is known."""

import dataclasses
import json

import pytest
import torch

from conftest import made_up_store
from poseterior.cli import main
from poseterior.data.observations import Observations, ObservationSet, save_observations
from poseterior.data.simulation.protocols import simulate
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.evaluation import evaluate
from poseterior.evaluation.collect import best_of_counts, collect
from poseterior.evaluation.measure import measure, numbers
from poseterior.evaluation.subsets import hard_poses, listed_poses, select_poses
from poseterior.files.errors import InputError
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.lifters import Lifter, LifterConfig, load
from poseterior.metrics.accuracy import correct_pose_score, mpjpe, p_mpjpe, pck

N, J = 600, 16


class Known(Lifter):
    """Returns a fixed Gaussian around 0.01 times the keypoints' pixels, whatever the joint."""

    def __init__(self, sigma: float) -> None:
        super().__init__(LifterConfig())
        self.sigma = sigma

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        loc = torch.zeros(*keypoints.batch_shape, 1, J, 3)
        loc[..., :2] = 0.01 * keypoints.xy[..., None, 1:, :]
        scale = self.sigma * torch.eye(3).expand(*keypoints.batch_shape, 1, J, 3, 3)
        return MixturePoseDistribution(torch.zeros(*keypoints.batch_shape, 1), loc, scale)


@pytest.fixture(scope="module")
def data() -> ObservationSet:
    generator = torch.Generator().manual_seed(0)
    xy = 100 * torch.rand(N, 17, 2, generator=generator)
    visible = torch.rand(N, 17, generator=generator) < 0.8
    keypoints = Keypoints2D(xy, visible=visible, image_size=(100, 100))
    pose = Known(0.1)(keypoints).sample(seed=1)
    ones = torch.ones(N, 17, dtype=torch.bool)
    observations = Observations(keypoints, pose, ones, torch.zeros(N, 3), torch.arange(N))
    return ObservationSet(observations, ("walk",) * 300 + ("jump",) * 300, ("x",) * N, "made-up v1", 0)


def test_the_right_posterior_is_calibrated(data):
    result = evaluate(Known(0.1), data, samples=100)
    for split in ("all", "visible", "missing"):
        assert result["calibration"][split]["mean"] < 0.05  # 0.018 ± 0.006
        assert abs(result["calibration"][split]["signed"]) < 0.02
    # Entropy a dimension of a Gaussian with sigma 0.1, and its 90 % radius (chi with 3 degrees: 2.500 sigma).
    assert result["scores"]["NLL"] == pytest.approx(0.5 * 2.8378770664 - 2.302585093, abs=0.02)
    assert result["sharpness"]["visible"] == pytest.approx(250.0, rel=0.03)
    assert set(result["published"]["P1"]["per action"]) == {"walk", "jump"}


@pytest.mark.parametrize(("sigma", "sign"), [(0.03, 1), (0.3, -1)])
def test_wrong_posteriors_are_found_out(data, sigma, sign):
    result = evaluate(Known(sigma), data, samples=100)
    assert sign * result["calibration"]["all"]["signed"] > 0.2
    right = evaluate(Known(0.1), data, samples=100)["scores"]
    for score in ("CRPS", "energy score", "NLL"):
        assert result["scores"][score] > right[score]


def numbers_of(result):
    """The result without what the machine has to do with."""
    return {name: part for name, part in result.items() if name not in ("cost", "seconds")}


def test_same_seed_same_result(data):
    assert numbers_of(evaluate(Known(0.1), data, samples=20)) == numbers_of(evaluate(Known(0.1), data, samples=20))


def test_joints_that_the_source_lacks_do_not_count(data):
    observed = torch.ones(N, 17, dtype=torch.bool)
    observed[:, 10] = False
    results = []
    for junk in (0.0, float("nan")):
        pose = data.observations.pose.clone()
        pose[:, 10] = junk
        changed = dataclasses.replace(data.observations, pose=pose, observed=observed)
        results.append(evaluate(Known(0.1), dataclasses.replace(data, observations=changed), samples=20))
    assert numbers_of(results[0]) == numbers_of(results[1])
    assert "head_top" not in results[0]["per joint"]


def test_two_clips_that_miss_different_joints(data):
    """Nothing says by how much clips differ in what is missing; all else is measured."""
    keypoints, n = data.observations.keypoints, 40
    visible = torch.ones(N, 17, dtype=torch.bool)
    visible[0, 3] = visible[1, 6] = False
    ids = [PoseId(f"clip {i % 2}", i, 0) for i in range(N)]
    seen = Keypoints2D(keypoints.xy, visible=visible, image_size=(100, 100), ids=ids)
    observations = dataclasses.replace(data.observations, keypoints=seen)[slice(0, n)]
    few = ObservationSet(observations, ("walk",) * n, ("x",) * n, "made-up v1", 0)
    calibration = evaluate(Known(0.1), few, samples=20)["calibration"]
    assert calibration["missing"]["observations"] == 2
    assert "independent" not in calibration["missing"]
    assert calibration["visible"]["independent"] > 1


# -- the published tables ----------------------------------------------------------------------------------


class WithZero(MixturePoseDistribution):
    """A mixture that calls its first component's mean the hypothesis of zero latent."""

    @property
    def z0(self) -> torch.Tensor:
        return self.hypotheses[0][..., 0, :, :]


class WithoutMarginals(MixturePoseDistribution):
    can_marginalise = False

    def log_prob(self, value, observed=None):
        assert observed is None
        assert value.isfinite().all()
        return super().log_prob(value)


class WithoutDensity(MixturePoseDistribution):
    has_density = False

    def log_prob(self, value, observed=None):
        raise self.no_density()

    @property
    def mode(self) -> torch.Tensor:
        raise NotImplementedError


class Returning(Known):
    """`Known`, but its distribution is of another class."""

    def __init__(self, kind: type[MixturePoseDistribution]) -> None:
        super().__init__(0.1)
        self.kind = kind

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        known = super().distribution(keypoints)
        return self.kind(known.log_weights, known.loc, known.scale_tril)


def test_published_numbers_are_those_of_the_drawn_hypotheses(data):
    few = select_poses(data, torch.arange(N) >= N - 340)  # 40 walk, 300 jump
    found = collect(Returning(WithZero), few, samples=31, seed=5, chunk=1000, mode_poses=0)
    result = numbers(found)
    drawn = Known(0.1)(few.observations.keypoints).sample((31,), seed=5)
    truth = few.observations.pose
    errors = 1000 * mpjpe(drawn, truth)
    aligned = 1000 * p_mpjpe(drawn, truth)
    walk = torch.tensor([a == "walk" for a in few.action])
    pose = Known(0.1)(few.observations.keypoints).mean
    expected = {
        "P1": (1000 * mpjpe(pose, truth), errors.amin(0), errors.sort(0).values[15], errors.mean(0), errors.amax(0)),
        "P2": (1000 * p_mpjpe(pose, truth), aligned.amin(0), aligned.sort(0).values[15], aligned.mean(0),
               aligned.amax(0)),
    }  # fmt: skip
    for protocol, values in expected.items():
        rows = result["published"][protocol]
        for name, value in zip(("z0", "best", "median", "mean", "worst"), values, strict=True):
            by_action = {"walk": float(value[walk].mean()), "jump": float(value[~walk].mean())}
            for action, mean in by_action.items():
                assert rows["per action"][action][name] == pytest.approx(mean, abs=0.011)
            assert rows["average"][name] == pytest.approx(sum(by_action.values()) / 2, abs=0.011)
            assert rows["all poses"][name] == pytest.approx(float(value.mean()), abs=0.011)
        assert list(rows["average"]) == ["z0", "best", "median", "mean", "worst"]
    best = result["estimates"]["best of 31"]
    assert result["published"]["P1"]["all poses"]["best"] == best["MPJPE"]
    assert result["published"]["P2"]["all poses"]["best"] == best["P-MPJPE"]
    best = result["published"]["best hypothesis"]["all poses"]
    fourteen = torch.zeros(17, dtype=torch.bool)
    fourteen[[*range(1, 7), 8, *range(10, 17)]] = True
    assert best["PCK@150"] == pytest.approx(float(100 * pck(drawn, truth, fourteen).amax(0).mean()), abs=0.011)
    sixteen = [j for j in range(17) if j != 7]
    assert best["CPS"] == pytest.approx(float(correct_pose_score(drawn, truth, sixteen).mean()), abs=0.011)


def test_best_of_n_runs_from_the_mean_to_the_best_hypothesis(data):
    result = evaluate(Known(0.1), data, samples=30, mode_poses=0)
    curve = result["published"]["best of N"]
    assert curve["N"] == [1, 2, 5, 10, 20, 30]
    for protocol in ("P1", "P2"):
        average = result["published"][protocol]["average"]
        assert curve[protocol][0] == pytest.approx(average["mean"], abs=0.011)
        assert curve[protocol][-1] == pytest.approx(average["best"], abs=0.011)
        assert curve[protocol] == sorted(curve[protocol], reverse=True)
        assert "z0" not in average


@pytest.mark.parametrize(
    ("samples", "counts"), [(2, [1, 2]), (10, [1, 2, 5, 10]), (200, [1, 2, 5, 10, 20, 50, 100, 200])]
)
def test_counts_of_best_of_n(samples, counts):
    assert best_of_counts(samples) == counts


def test_spread_is_the_known_one(data):
    spread = evaluate(Known(0.1), data, samples=100, mode_poses=0)["published"]["spread"]
    assert spread["per joint"]["pelvis"] == {"x": 0.0, "y": 0.0, "z": 0.0}
    for joint in ("left_wrist", "spine"):
        assert list(spread["per joint"][joint].values()) == pytest.approx([100.0] * 3, rel=0.02)  # 99.7 ± 0.4
    assert spread["mean"]["x"] == pytest.approx(100 * 16 / 17, rel=0.01)


def test_clusters_are_measured_beside_the_hypotheses(data):
    few = select_poses(data, torch.arange(N) % 10 == 0)
    plain = evaluate(Known(0.1), few, samples=40, mode_poses=0)
    result = evaluate(Known(0.1), few, samples=40, mode_poses=0, clusters=5)
    clustered = result["published"].pop("clustered")
    assert numbers_of(result) == numbers_of(plain)
    assert clustered["clusters"] == 5
    best = clustered["P1"]["average"]["best"]
    # means of many samples lie nearer to the middle: the worst is better, the average too
    for name in ("mean", "worst"):
        assert clustered["P1"]["average"][name] < result["published"]["P1"]["average"][name]
    assert best <= clustered["P1"]["average"]["median"] <= clustered["P1"]["average"]["worst"]
    one = evaluate(Known(0.1), few, samples=40, mode_poses=0, clusters=1)["published"]["clustered"]
    one = one["P1"]["average"]
    assert one["best"] == one["worst"]


# -- distributions that cannot do everything ---------------------------------------------------------------


def without_heads(data: ObservationSet, poses: torch.Tensor) -> ObservationSet:
    observed = torch.ones(N, 17, dtype=torch.bool)
    observed[poses, 10] = False
    pose = torch.where(observed.unsqueeze(-1), data.observations.pose, float("nan"))
    return dataclasses.replace(data, observations=dataclasses.replace(data.observations, pose=pose, observed=observed))


def test_no_marginals_no_scores_for_poses_with_missing_joints(data):
    half = torch.arange(N) % 2 == 0
    result = evaluate(Returning(WithoutMarginals), without_heads(data, half), samples=5, mode_poses=0)
    assert result["scores"]["NLL poses"] == N // 2
    whole = evaluate(Known(0.1), select_poses(data, ~half), samples=5, mode_poses=0)
    assert result["scores"]["NLL"] == pytest.approx(whole["scores"]["NLL"], abs=2e-4)
    assert whole["scores"]["NLL poses"] == N // 2
    none = evaluate(Returning(WithoutMarginals), without_heads(data, half | True), samples=5, mode_poses=0)
    assert "NLL" not in none["scores"]
    known = evaluate(Known(0.1), without_heads(data, half), samples=5, mode_poses=0)
    assert known["scores"]["NLL poses"] == N


def test_no_density_and_no_mode_are_left_out(data):
    result = evaluate(Returning(WithoutDensity), data, samples=5, mode_poses=10)
    plain = evaluate(Known(0.1), data, samples=5, mode_poses=10)
    assert set(plain["scores"]) - set(result["scores"]) == {"NLL", "NLL poses"}
    assert {name: plain["scores"][name] for name in result["scores"]} == result["scores"]
    assert set(plain["estimates"]) - set(result["estimates"]) == {"mode"}
    assert "density coverage" in plain
    assert "density coverage" not in result
    assert result["published"] == plain["published"]


# -- one pass, whoever asks --------------------------------------------------------------------------------


def test_evaluate_takes_observations_a_file_or_a_store(data, tmp_path):
    store = made_up_store(tmp_path / "store")
    seen = simulate(store, "cmu-test", 30)
    save_observations(seen, tmp_path / "seen.parquet")
    arguments = {"samples": 10, "mode_poses": 0}
    results = [
        evaluate("supervised", seen, **arguments),
        evaluate(load("supervised"), tmp_path / "seen.parquet", **arguments),
        evaluate("supervised", store, "cmu-test", poses=30, **arguments),
    ]
    assert numbers_of(results[0]) == numbers_of(results[1]) == numbers_of(results[2])
    assert (results[0]["protocol"], results[0]["lifter"], results[0]["poses"]) == ("cmu-test v1", "regression", 30)
    assert evaluate("supervised", tmp_path / "seen.parquet", poses=7, **arguments)["poses"] == 7


def test_data_that_do_not_say_what_is_measured(data, tmp_path):
    store = made_up_store(tmp_path / "store")
    with pytest.raises(
        InputError, match=r"store: a pose store is observed by a protocol; pass --protocol .*: people, "
    ):
        evaluate(Known(0.1), store)
    with pytest.raises(InputError, match="protocol 'cmu-test': only a pose store is observed by a protocol; these are"):
        evaluate(Known(0.1), data, "cmu-test")
    with pytest.raises(InputError, match="poses: expected at least 1, got 0"):
        evaluate(Known(0.1), data, poses=0)
    with pytest.raises(InputError, match=r"none\.parquet: no such file"):
        evaluate(Known(0.1), tmp_path / "none.parquet")


def test_evaluate_is_measure_with_the_sizes_of_the_poses(data):
    few = select_poses(data, torch.arange(N) % 20 == 0)
    result = evaluate(Known(0.1), few, samples=20)
    unit = measure(Known(0.1), few, samples=20)
    assert numbers_of(result) == numbers_of(unit) | {n: result[n] for n in ("lifter", "protocol", "seed", "size")}


# -- subsets -----------------------------------------------------------------------------------------------


@pytest.fixture
def named(data) -> ObservationSet:
    """`data` with 1 px on every joint but, in the first poses, one wide or one wide and hidden one."""
    keypoints = data.observations.keypoints
    covariance = torch.eye(2).repeat(N, 17, 1, 1)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    covariance[[0, 1], 3] = turn @ torch.diag(torch.tensor([36.0, 1.0])) @ turn.T  # 6 px along a slanted axis
    covariance[2, 3] = torch.diag(torch.tensor([16.0, 16.0]))
    visible = torch.ones(N, 17, dtype=torch.bool)
    visible[1, 3] = False
    ids = [PoseId(f"S9/Walking:{i % 4}", i, 0) for i in range(N)]
    changed = Keypoints2D(keypoints.xy, covariance, visible, (100, 100), ids=ids)
    return dataclasses.replace(data, observations=dataclasses.replace(data.observations, keypoints=changed))


def test_hard_poses_have_a_visible_joint_beyond_the_threshold(named):
    assert hard_poses(named, 5.0).nonzero().flatten().tolist() == [0]
    assert hard_poses(named, 3.9).nonzero().flatten().tolist() == [0, 2]
    assert hard_poses(named, 0.9).all()
    for sigma in (0.0, float("nan")):
        with pytest.raises(InputError, match="hard sigma: expected a number of pixels above 0, got"):
            hard_poses(named, sigma)


def test_listed_poses_by_row_and_by_name(named, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("# hard ones\n\n7\nS9/Walking:1:5 \nS9/Walking:0:5\nelsewhere:3\n7\n")
    assert listed_poses(named, path).nonzero().flatten().tolist() == [5, 7]
    path.write_bytes(b"\xef\xbb\xbf3\r\n")  # as an editor on Windows writes it
    assert listed_poses(named, path).nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("some pose", ", line 2: expected a row number or CLIP:FRAME, got 'some pose'"),
        (":5", ", line 2: expected a row number or CLIP:FRAME, got ':5'"),
        ("clip:-5", ", line 2: expected a row number or CLIP:FRAME, got 'clip:-5'"),
        ("600", ", line 2: row 600 is beyond the last of 600 poses (from 0)"),
    ],
)
def test_bad_lists_are_named(named, tmp_path, line, message):
    path = tmp_path / "list.txt"
    path.write_text(f"0\n{line}\n")
    with pytest.raises(InputError) as caught:
        listed_poses(named, path)
    assert str(caught.value) == f"{path}{message}"


def test_list_that_is_no_text(named, tmp_path):
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        listed_poses(named, tmp_path / "none.txt")
    (tmp_path / "list.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"list\.bin: not a readable text file"):
        listed_poses(named, tmp_path / "list.bin")


def test_selected_poses_keep_everything_that_belongs_to_them(named):
    keep = torch.zeros(N, dtype=torch.bool)
    keep[[4, 299, 300]] = True
    part = select_poses(named, keep)
    assert len(part) == 3
    assert part.action == ("walk", "walk", "jump")
    assert part.subject == ("x",) * 3
    assert [i.frame for i in part.observations.keypoints.ids] == [4, 299, 300]
    assert part.observations.index.tolist() == [4, 299, 300]
    torch.testing.assert_close(part.observations.pose, named.observations.pose[keep])
    with pytest.raises(InputError) as caught:
        select_poses(named, keep & False)
    assert str(caught.value) == "none of the 600 poses is in the subset; loosen the threshold or check the list"


def test_too_many_clusters_are_refused_before_work(data):
    with pytest.raises(InputError, match=r"clusters: expected 1 to 5 \(the number of samples\), got 6"):
        evaluate(Known(0.1), data, samples=5, clusters=6)


# -- command line ------------------------------------------------------------------------------------------


def test_command_prints_tables_and_writes_figures_of_a_subset(named, tmp_path, capsys):
    save_observations(select_poses(named, torch.arange(N) % 30 == 0), tmp_path / "few.parquet")
    (tmp_path / "list.txt").write_text("".join(f"{row}\n" for row in range(10)))
    arguments = ["evaluate", "mdn", "--data", tmp_path / "few.parquet", "--samples", 12, "--mode-poses", 0]
    subset = ["--subset", tmp_path / "list.txt", "--hard-sigma", 0.5]
    outputs = ["--out", tmp_path / "result.json", "--figures", tmp_path / "new" / "figures"]
    assert main([str(a) for a in (*arguments, *subset, *outputs, "--clusters", 3)]) == 0
    text = capsys.readouterr().out
    assert "subset: 10 of 20 poses" in text
    assert "±: half of the 95 % interval, by the bootstrap over 2 clips" in text
    assert "P1 = MPJPE (mm) of 12 hypotheses" in text
    assert "P2 = P-MPJPE (mm) of 3 representatives of them" in text
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["poses"] == 10
    assert result["subset"] == {
        "hard sigma (px)": 0.5, "list": str(tmp_path / "list.txt"), "poses": 10, "of": 20,
    }  # fmt: skip
    figures = sorted(p.name for p in (tmp_path / "new" / "figures").iterdir())
    assert figures == ["best-of-n.png", "size.png", "spread.png"]
    assert main([str(a) for a in (*arguments, "--hard-sigma", 50)]) == 2
    assert "none of the 20 poses is in the subset" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([str(a) for a in (*arguments, "--figures", tmp_path / "file")]) == 2
    assert "cannot be used as a folder" in capsys.readouterr().err
