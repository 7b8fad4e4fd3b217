"""Lifters side by side on photographs."""

import numpy as np
import pytest
import torch
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
