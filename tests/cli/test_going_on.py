"""Ctrl-C in lifts that a second run goes on with: what is kept, and which command goes on, is said."""

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.cli._going_on import goes_on
from poseterior.results.poses import load_result


@pytest.mark.parametrize(
    ("kept", "given", "said"),
    [
        (True, [], "stopped; what is finished is kept, and the same command with --resume goes on with the rest"),
        (True, ["--resume"], "stopped; what is finished is kept, and the same command goes on with the rest"),
        (False, [], "stopped, and nothing is kept; the same command begins again"),
    ],
)
def test_an_interruption_says_which_command_goes_on(monkeypatch, capsys, kept, given, said):
    monkeypatch.setattr("sys.argv", ["poseterior", "lift", *given])
    with pytest.raises(KeyboardInterrupt), goes_on(lambda: kept, "--resume"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == f"\n{said}\n"


def test_what_ends_otherwise_says_nothing(capsys):
    with goes_on(lambda: True, "--resume"):
        pass
    with pytest.raises(ValueError, match="other"), goes_on(lambda: True, "--resume"):
        raise ValueError("other")
    assert capsys.readouterr() == ("", "")


def test_a_lift_that_is_stopped_says_it_and_goes_on(tmp_path, monkeypatch, capsys):
    import poseterior.lifting.stream as stream

    rng = np.random.default_rng(0)
    points = rng.uniform(100, 500, (40, 17, 2))
    np.save(tmp_path / "a.npy", points)
    words = ["lift", str(tmp_path / "a.npy"), "--lifter", "supervised", "--clip", "off", "--samples", "2"]
    words += ["--skeleton", "h36m17", "--image-size", "600", "600"]
    out = tmp_path / "a.parquet"
    lift_rows, done = stream.lift_rows, []

    def once(*given):
        if done:
            raise KeyboardInterrupt
        done.append(given)
        return lift_rows(*given)

    monkeypatch.setattr(stream, "rows_of_groups", lambda *_: 16)
    monkeypatch.setattr(stream, "lift_rows", once)
    monkeypatch.setattr("sys.argv", ["poseterior", *words, "--out", str(out)])
    assert main([*words, "--out", str(out)]) == 130
    assert "what is finished is kept, and the same command with --resume goes on" in capsys.readouterr().err
    monkeypatch.setattr(stream, "lift_rows", lift_rows)
    assert not out.exists()
    assert main([*words, "--out", str(out), "--resume"]) == 0
    assert "goes on after 16 of 40 poses" in capsys.readouterr().out
    assert len(load_result(out)) == 40


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_a_stopped_lift_to_a_file_that_cannot_be_gone_on_with_says_so(tmp_path, monkeypatch, capsys, suffix):
    import poseterior.lifting.stream as stream

    def stop(*_):
        raise KeyboardInterrupt

    np.save(tmp_path / "a.npy", np.random.default_rng(0).uniform(100, 500, (40, 17, 2)))
    monkeypatch.setattr(stream, "lift_rows", stop)
    words = ["lift", str(tmp_path / "a.npy"), "--lifter", "supervised", "--clip", "off", "--samples", "2"]
    words += ["--skeleton", "h36m17", "--image-size", "600", "600"]
    assert main([*words, "--out", str(tmp_path / f"a{suffix}")]) == 130
    assert "stopped, and nothing is kept; the same command begins again" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
