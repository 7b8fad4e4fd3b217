"""Ctrl-C in commands that a second run goes on with: what is kept, and which command goes on, is said."""

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.cli._going_on import says_how_to_go_on
from poseterior.results.poses import load_result


@pytest.mark.parametrize(
    ("kept", "option", "given", "said"),
    [
        (True, "", [], "stopped; what is done is kept: the same command goes on"),
        (True, "--resume", [], "stopped; what is done is kept: the same command with --resume goes on"),
        (True, "--resume", ["--resume"], "stopped; what is done is kept: the same command goes on"),
        (False, "--resume", [], "stopped, and nothing is kept; begin again with the same command"),
    ],
)
def test_an_interruption_says_which_command_goes_on(monkeypatch, capsys, kept, option, given, said):
    monkeypatch.setattr("sys.argv", ["poseterior", "lift", *given])
    with pytest.raises(KeyboardInterrupt), says_how_to_go_on(lambda: kept, option):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == f"\n{said}\n"


def test_what_ends_otherwise_says_nothing(capsys):
    with says_how_to_go_on(lambda: True):
        pass
    with pytest.raises(ValueError, match="other"), says_how_to_go_on(lambda: True):
        raise ValueError("other")
    assert capsys.readouterr() == ("", "")


def _stop(*_, **__):
    raise KeyboardInterrupt


def test_experiments_say_it(tmp_path, monkeypatch, capsys):
    def begun(data, out, **_):
        out.mkdir()
        (out / "experiment.json").write_text("{}")
        raise KeyboardInterrupt

    command = ["experiments", "relative", "--data", str(tmp_path / "store"), "--out", str(tmp_path / "x")]
    monkeypatch.setattr("poseterior.experiments.relative.run_relative", _stop)
    assert main(command) == 130
    assert "nothing is kept; begin again with the same command" in capsys.readouterr().err
    monkeypatch.setattr("poseterior.experiments.relative.run_relative", begun)
    assert main(command) == 130
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "stopped; what is done is kept: the same command goes on",
        "poseterior: interrupted",
    ]


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
    assert "what is done is kept: the same command with --resume goes on" in capsys.readouterr().err
    monkeypatch.setattr(stream, "lift_rows", lift_rows)
    assert main([*words, "--out", str(out), "--resume"]) == 0
    assert "goes on after 16 of 40 poses" in capsys.readouterr().out
    assert len(load_result(out)) == 40
