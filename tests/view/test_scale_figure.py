"""Predicted against true body size: the numbers, the picture, and what an evaluation says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import STANDING
from poseterior.data.observations import Observations, ObservationSet
from poseterior.distributions.mixture import MixturePoseDistribution
from poseterior.evaluation import evaluate
from poseterior.evaluation.measure import SIZES, _evenly
from poseterior.files.errors import InputError
from poseterior.geometry.kinematics import ANKLE_HEIGHT, body_height
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import Lifter, LifterConfig
from poseterior.view.evaluation import save_evaluation_figures, size_figure
from poseterior.view.photos import read_photo
from poseterior.view.scale_figure import scale_figure

BODY = SKELETONS["h36m17"]
TRUE = np.exp(np.random.default_rng(0).normal(np.log(1.7), 0.08, 200))


# -- the figure --------------------------------------------------------------------------------------------


def test_title_has_correlation_and_spread() -> None:
    (axes,) = scale_figure(2.0 * TRUE, TRUE, "twice $v1$").axes
    assert axes.get_title(loc="left") == "twice \\$v1\\$\ncorrelation 1.00, spread of the log ratio 0.000"
    noise = np.random.default_rng(1).normal(0, 0.06, 200)
    (axes,) = scale_figure(TRUE * np.exp(noise), TRUE, "noisy").axes
    correlation = np.corrcoef(np.log(TRUE), np.log(TRUE) + noise)[0, 1]
    expected = f"noisy\ncorrelation {correlation:.2f}, spread of the log ratio {noise.std():.3f}"
    assert axes.get_title(loc="left") == expected


def test_spread_does_not_depend_on_the_unit() -> None:
    sizes = TRUE**0.5
    titles = [scale_figure(unit * sizes, TRUE, "x").axes[0].get_title(loc="left") for unit in (1.0, 1.3, 40.0)]
    assert titles[0] == titles[1] == titles[2]


def test_points_lie_on_log_axes_with_the_line_of_equality() -> None:
    figure = scale_figure(1.1 * TRUE, TRUE, "tenth larger")
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(axes.collections[0].get_offsets(), np.stack([TRUE, 1.1 * TRUE], -1))
    assert axes.get_xlim() == axes.get_ylim()
    low, high = axes.get_xlim()
    assert low < TRUE.min()
    assert high > 1.1 * TRUE.max()
    equal, ratio = axes.lines
    np.testing.assert_allclose(equal.get_xdata(), equal.get_ydata())
    np.testing.assert_allclose(ratio.get_ydata(), 1.1 * np.asarray(ratio.get_xdata()))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "predicted = true", "predicted = 1.10 × true (median)",
    ]  # fmt: skip
    assert len(scale_figure(TRUE, TRUE, "equal").axes[0].lines) == 1
    assert 3 <= len(axes.get_xticks()) <= 10


def test_ticks_are_round_over_decades_too() -> None:
    (axes,) = scale_figure(10 * TRUE**3, TRUE, "other unit").axes
    assert axes.get_xticks().tolist() == [2, 5, 10, 20, 50]


def test_people_of_one_size_have_no_correlation() -> None:
    (axes,) = scale_figure([1.7, 1.71, 1.69], [1.7] * 3, "one person").axes
    assert axes.get_title(loc="left") == "one person\nno correlation (one size), spread of the log ratio 0.005"
    assert len(axes.get_xticks()) >= 3


@pytest.mark.parametrize(
    ("predicted", "true", "message"),
    [
        ([1.7], [1.7], "sizes: expected as many predicted as true ones, at least 2; got shapes (1,) and (1,)"),
        (
            [1.7] * 3,
            [1.7] * 2,
            "sizes: expected as many predicted as true ones, at least 2; got shapes (3,) and (2,)",
        ),
        ([1.7, 0.0], [1.7] * 2, "predicted sizes: expected metres above 0; number 1 is 0.0"),
        ([1.7] * 2, [float("nan"), 1.7], "true sizes: expected metres above 0; number 0 is nan"),
    ],
)
def test_sizes_that_cannot_be_drawn(predicted: list[float], true: list[float], message: str) -> None:
    with pytest.raises(InputError) as caught:
        scale_figure(predicted, true, "x")
    assert str(caught.value) == message


# -- evaluations -------------------------------------------------------------------------------------------


class Standing(Lifter):
    """Answers with one standing person, whatever the keypoints."""

    def __init__(self) -> None:
        super().__init__(LifterConfig())

    def distribution(self, keypoints: Keypoints2D) -> MixturePoseDistribution:
        n = len(keypoints)
        loc = torch.tensor([STANDING[joint] for joint in BODY.joints])[1:].expand(n, 1, 16, 3)
        return MixturePoseDistribution(torch.zeros(n, 1), loc, 0.01 * torch.eye(3).expand(n, 1, 16, 3, 3))


def people(factors: torch.Tensor) -> ObservationSet:
    """Standing people of different sizes."""
    pose = factors[:, None, None] * torch.tensor([STANDING[joint] for joint in BODY.joints])
    n = len(factors)
    keypoints = Keypoints2D(400 + 200 * pose[..., :2])
    ones = torch.ones(n, 17, dtype=torch.bool)
    return ObservationSet(
        Observations(keypoints, pose, ones, torch.zeros(n, 3), torch.arange(n)), ("a",) * n, ("s",) * n, "made-up v1", 0
    )


def test_evaluation_has_the_sizes_of_the_poses() -> None:
    factors = torch.linspace(0.8, 1.2, 60)
    data = people(factors)
    size = evaluate(Standing(), data, samples=4, mode_poses=0)["size"]
    one = float(body_height(torch.tensor([STANDING[joint] for joint in BODY.joints]))) - ANKLE_HEIGHT
    assert size["true"] == pytest.approx((one * factors).tolist(), abs=1e-4)  # as large as the pose
    assert size["predicted"] == pytest.approx([one] * 60, abs=1e-4)


def test_poses_whose_size_is_not_known_are_left_out(tmp_path: Path) -> None:
    data = people(torch.linspace(0.8, 1.2, 6))
    observed = data.observations.observed
    observed[0, BODY.index("left_wrist")] = False  # of no account
    observed[1, BODY.index("left_knee")] = False
    observed[2, BODY.index("head_top")] = False
    data.observations.pose[~observed] = float("nan")
    result = evaluate(Standing(), data, samples=4, mode_poses=0)
    expected = body_height(data.observations.pose)[[0, 3, 4, 5]] - ANKLE_HEIGHT
    assert result["size"]["true"] == pytest.approx(expected.tolist(), abs=1e-4)
    observed[:, BODY.index("head_top")] = False
    result = evaluate(Standing(), data, samples=4, mode_poses=0)
    assert result["size"] == {"predicted": [], "true": []}
    assert [path.name for path in save_evaluation_figures(result, tmp_path)] == ["best-of-n.png", "spread.png"]


def test_many_sizes_are_thinned_evenly() -> None:
    kept = _evenly(2 * SIZES + 1, SIZES).tolist()
    assert len(kept) == SIZES
    assert (kept[0], kept[-1]) == (0, 2 * SIZES)
    assert set(np.diff(kept)) <= {2, 3}
    assert _evenly(SIZES, SIZES).tolist() == list(range(SIZES))


def test_picture_is_written_with_the_others(tmp_path: Path) -> None:
    result: dict[str, Any] = evaluate(Standing(), people(torch.linspace(0.8, 1.2, 60)), samples=4, mode_poses=0)
    title = size_figure(result).axes[0].get_title(loc="left")
    start = "size of the mean pose against the truth\nmade-up v1, 60 poses\nno correlation (one size), spread"
    assert title.startswith(start)
    paths = save_evaluation_figures(result, tmp_path)
    assert [path.name for path in paths] == ["best-of-n.png", "spread.png", "size.png"]
    pixels = read_photo(paths[-1])
    assert pixels is not None
    assert min(pixels.shape[:2]) > 500
    del result["size"]
    with pytest.raises(InputError, match="the evaluation has no 'size'; make it anew with `poseterior evaluate`"):
        size_figure(result)
