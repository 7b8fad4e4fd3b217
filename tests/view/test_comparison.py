"""Lifters side by side on photographs."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.offsetbox import DrawingArea
from PIL import Image

import poseterior as pp
from poseterior.cli import main
from poseterior.data.observations import Observations, ObservationSet, save_observations
from poseterior.files.errors import InputError
from poseterior.keypoints import PoseId
from poseterior.lifters.base import build_model
from poseterior.view.comparison import comparison_figure


@pytest.fixture
def keypoints(standing):
    xy = 300 + 150 * standing[:, :2].expand(3, 17, 2) + torch.arange(3)[:, None, None]
    ids = [PoseId(f"im{i}.jpg", 0, 0) for i in range(3)]
    return pp.Keypoints2D(xy, image_size=(600, 600), ids=ids)


def lifted(keypoints, name="supervised", **config):
    lifter = pp.load(name) if not config else build_model(name, config).eval()
    return pp.lift(lifter, keypoints, samples=4)


def test_a_row_a_pose_and_a_column_a_lifter_in_one_scale(keypoints):
    results = {"supervised": lifted(keypoints), "relative $x$": lifted(keypoints, "relative")}
    figure = comparison_figure(results, max_poses=2)
    panels = np.reshape(figure.axes, (2, 3))
    assert [panel.get_title() for panel in panels[0]] == ["", *results]
    spans = [np.ptp(panel.get_xlim()) for panel in panels[:, 1:].flat]
    assert spans == pytest.approx([spans[0]] * 4)
    said = ["person's left", "person's right", "middle", "thick: mean", "thin: 4 hypotheses"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == said
    assert "one scale" in figure._suptitle.get_text()
    assert "brought to one size" not in figure._suptitle.get_text()
    figure.canvas.draw()


def test_lifters_that_learn_no_size_are_brought_to_one(keypoints):
    torch.manual_seed(0)
    free = lifted(keypoints, "regression-published", width=8, skeleton="lsp14")
    figure = comparison_figure({"supervised": lifted(keypoints), "free": free})
    assert "bodies brought to one size" in figure._suptitle.get_text()


def length_drawn(panel):
    """Of all bones of the mean, in the picture."""
    ends = np.stack(panel.collections[-1].get_segments())
    return np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1).sum()


def test_bodies_are_of_one_size_in_every_row_however_wrong_an_answer_is(keypoints):
    right = lifted(keypoints)
    # what a lifter that has learnt nothing answers: twice as large, a dot, and right
    factors = np.array([2.0, 0.05, 1.0])
    wrong = dataclasses.replace(
        right, mean=right.mean * factors[:, None, None], samples=right.samples * factors[:, None, None, None]
    )
    figure = comparison_figure({"right": right, "wrong": wrong})
    panels = np.reshape(figure.axes, (3, 3))
    for row in range(3):
        drawn = [length_drawn(panels[row, column]) for column in (1, 2)]
        assert drawn[1] == pytest.approx(drawn[0], rel=1e-4)
        said = [float(panels[row, column].get_xlabel().removeprefix("× ")) for column in (1, 2)]
        assert said[1] == pytest.approx(said[0] / factors[row], rel=0.06)
    assert np.ptp(panels[0, 1].get_xlim()) < 2.5
    # the right one alone: nothing is changed, nothing is said
    assert comparison_figure({"right": right}).axes[1].get_xlabel() == ""


def test_the_legend_tells_the_mean_from_the_middle_and_nothing_is_crowded(keypoints):
    figure = comparison_figure({"supervised": lifted(keypoints), "relative": lifted(keypoints, "relative")})
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    (legend,) = figure.legends
    swatches = {
        text.get_text(): {to_hex(line.get_color()) for line in handle.get_children() if isinstance(line, Line2D)}
        for text, handle in zip(legend.get_texts(), legend.findobj(DrawingArea), strict=True)
    }
    assert swatches["thick: mean"] == swatches["person's left"] | swatches["person's right"] | swatches["middle"]
    assert len(swatches["thick: mean"]) == 3
    title = figure._suptitle.get_window_extent(renderer)
    heads = [axes.title.get_window_extent(renderer) for axes in figure.axes if axes.get_title()]
    assert title.y0 - max(head.y1 for head in heads) > 0.3 * heads[0].height


def test_the_command_takes_observations_and_photographs(keypoints, tmp_path, capsys):
    n = len(keypoints)
    flat = Observations(
        keypoints, torch.zeros(n, 17, 3), torch.zeros(n, 17, dtype=torch.bool), torch.zeros(n, 3), torch.arange(n)
    )
    save_observations(ObservationSet(flat, ("sports",) * n, ("lsp",) * n, "lsp-test v1", 0), tmp_path / "o.parquet")
    (tmp_path / "photos").mkdir()
    for i in range(n):
        Image.new("RGB", (600, 600), (40 * i, 90, 90)).save(tmp_path / "photos" / f"im{i}.jpg")
    out = tmp_path / "compared.png"
    words = ["compare", str(tmp_path / "o.parquet"), "supervised", "relative", "--photo", str(tmp_path / "photos")]
    assert main([*words, "--pose", "2", "0", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.width > 900
    assert "wrote" in capsys.readouterr().out
    assert main([*words, "--pose", "3", "--out", str(out)]) == 2
    assert f"--pose 3: {tmp_path / 'o.parquet'} has 3 poses, numbered from 0" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "x.gif")]) == 2
    capsys.readouterr()
    assert main([*words[:4], "relative", *words[4:], "--out", str(out)]) == 2
    assert "relative: named twice; name it once" in capsys.readouterr().err


def test_results_of_other_poses_are_refused(keypoints):
    one = lifted(keypoints)
    with pytest.raises(InputError, match="the lifters answered different poses"):
        comparison_figure({"a": one, "b": one[:2]})
    with pytest.raises(InputError, match="name at least one lifter"):
        comparison_figure({})
