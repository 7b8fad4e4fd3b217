"""What does not go with a cluster is refused before one is started."""

from __future__ import annotations

from pathlib import Path

import pytest

import poseterior as pp
from poseterior.cli import main
from poseterior.keypoints.writing import write_keypoints
from poseterior.lifting import cluster

pytest.importorskip("ray.data")
pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    def start():
        raise AssertionError("a cluster was started")

    monkeypatch.setattr(cluster, "cluster", start)
    monkeypatch.chdir(tmp_path)
    write_keypoints(pp.example_keypoints(), "a.json")
    for folder in ("empty", "film", "frames", "taken"):
        Path(folder).mkdir()
    Path("film/a.mp4").touch()
    Path("taken/notes.txt").touch()
    for number in range(2):
        Path(f"frames/walk_00{number}_keypoints.json").write_text("{}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a.json", "--out: --engine ray writes a folder of Parquet files; give --out poses, not nothing"),
        ("a.json --out x.parquet", "writes a folder of Parquet files; give --out poses, not x.parquet"),
        ("a.json --out poses --view x.html", "--view: does not go with --engine ray; make it of the result"),
        ("a.json --out poses --json-samples", "--json-samples: does not go with --engine ray"),
        ("a.json --out poses --shard 1/2", "--shard: does not go with --engine ray, which shares the files out itself"),
        ("a.json --out poses --workers 0", "--workers: expected at least 1, got 0"),
        ("a.json --out poses --clip on", "clips are lifted as a whole, by one machine; add --clip off"),
        ("a.json --out poses", "clips are lifted as a whole, by one machine; add --clip off"),
        ("a.json --out poses --samples -1 --clip off", "--samples: expected at least 0, got -1"),
        ("a.json --out poses --lifter rotations --samples 0 --clip off", "rotations are told by their samples alone"),
        ("a.json --out poses --height 9 --clip off", "--height: expected 0.3 to 3 metres, got 9"),
        ("gone.json --out poses --clip off", "gone.json: no such file"),
        ("empty --out poses --clip off", "empty: no keypoint file in this folder"),
        ("film/a.mp4 --out poses --clip off", "film/a.mp4: --engine ray lifts keypoint files; find the people first"),
        ("frames --out poses --clip off", "frames/walk_000_keypoints.json: holds a frame of a clip, as 1 more do"),
        ("a.json --out taken --clip off", "--out taken: holds other files (notes.txt); give the name of a new folder"),
        ("nowhere://a.json --out poses --clip off", "nowhere://a.json: Protocol not known: nowhere"),
    ],
)
def test_refused(words, message, capsys):
    assert main(["lift", "--engine", "ray", *words.split()]) != 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("poses").exists()


def test_the_folder_of_the_inputs_is_no_place_for_the_result(capsys):
    Path("clips").mkdir()
    Path("a.json").rename("clips/a.json")
    assert main(["lift", "clips", "--engine", "ray", "--clip", "off", "--out", "clips"]) != 0
    assert "--out" in (said := capsys.readouterr().err)
    assert "holds the input" in said
