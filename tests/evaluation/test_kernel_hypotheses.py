"""`--hypotheses kernels`: a mixture's own means instead of draws."""

import numpy as np
import pytest
import torch

import poseterior as pp
from poseterior.cli import main
from poseterior.evaluation.kernels import KernelLifter, with_hypotheses
from poseterior.files.errors import InputError
from poseterior.results.poses import load_result


def test_kernels_are_the_means_of_the_mixture_likeliest_first():
    lifter, keypoints = pp.load("mdn", evidence=False), pp.example_keypoints()
    kernels, count = with_hypotheses(lifter, "kernels", 200)
    with torch.no_grad():
        drawn = kernels(keypoints).sample((count,), seed=0)
        mixture = lifter(keypoints)
    assert count == lifter.config.kernels == len(drawn)
    weights = mixture.log_weights.exp().sort(-1, descending=True)
    means, _ = mixture.component_moments()
    expected = means.gather(-3, weights.indices[..., None, None].expand(means.shape)).movedim(-3, 0)
    torch.testing.assert_close(drawn, expected, atol=1e-6, rtol=0)
    assert with_hypotheses(lifter, "samples", 7) == (lifter, 7)


@pytest.mark.parametrize("name", ["flow", "supervised", "rotations"])
def test_what_is_no_mixture_is_refused(name):
    with pytest.raises(InputError, match=r"--hypotheses kernels: lifter .* is no mixture and has no kernels"):
        KernelLifter(pp.load(name))


def test_the_commands_take_them(tmp_path, capsys, standing):
    xy = (standing[:, :2] * 200 + 500).tolist()
    xy = np.asarray(xy)[None]
    np.savez(tmp_path / "seen.npz", keypoints=xy, skeleton="h36m17", image_size=[1000, 1000])
    out = tmp_path / "lifted.npz"
    command = ["lift", str(tmp_path / "seen.npz"), "--skeleton", "h36m17", "--lifter", "mdn", "--out", str(out)]
    assert main([*command, "--hypotheses", "kernels"]) == 0, capsys.readouterr().err
    assert load_result(out).settings["hypotheses"] == "means of the mixture's kernels, likeliest first"
    assert main(["view", str(out), "--html", str(tmp_path / "x.html")]) == 0
    assert '"samplesWord":"kernels"' in (tmp_path / "x.html").read_text()
    assert load_result(out).samples.shape[1] == 8
    assert main([*command, "--hypotheses", "kernels", "--samples", "5"]) == 2
    assert "--samples: does not go with --hypotheses kernels" in capsys.readouterr().err
    assert (
        main(
            ["lift", str(tmp_path / "seen.npz"), "--skeleton", "h36m17", "--lifter", "flow", "--hypotheses", "kernels"]
        )
        == 2
    )
    assert "is no mixture and has no kernels" in capsys.readouterr().err
