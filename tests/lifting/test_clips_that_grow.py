"""Clips that are lifted as a whole, to a file that grows: gone on with after a kill, and shared out."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_clip_windows import FPS, walking

import poseterior as pp
from conftest import STANDING
from killing import ONE_THREAD, killed_after_a_piece
from poseterior.cli import main
from poseterior.files.errors import InputError
from poseterior.files.row_groups import part_paths
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.writing import write_keypoints
from poseterior.lifting import draws
from poseterior.lifting.clips import memory, parts_of, windows
from poseterior.lifting.clips.growing import ClipRun, clip_marks, lift_clips_to_file
from poseterior.lifting.clips.memory import check_window_memory
from poseterior.lifting.stream import How
from poseterior.results.growing import GrowingResult
from poseterior.results.poses import load_result

pytest.importorskip("pyarrow")

#: A process in which clips are long and windows short.
SHORT = (
    "import sys; from poseterior.lifting.clips import windows; windows.LONG = windows._CORE = 200; "
    "from poseterior.cli import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture(scope="module")
def mdn():
    return pp.load("mdn")


@pytest.fixture(scope="module")
def clips():
    """A long clip of two windows, a short one, and a long one of two."""
    standing = torch.tensor([STANDING[joint] for joint in pp.SKELETONS["h36m17"].joints])
    parts = [(400, 4.0), (40, 4.5), (300, 5.0)]
    found = Keypoints2D.cat([walking(standing, count, who, away) for who, (count, away) in enumerate(parts)])
    found.rates = {"walk.json": FPS}
    # Frames that do not fit their neighbours are told of in the end, by whoever lifted them.
    xy = found.xy.clone()
    for frame in (100, 350):
        wrong = 20.0 * torch.randn(6, 17, 2, generator=torch.Generator().manual_seed(frame))
        xy[frame : frame + 6] += wrong
    return found._replace(xy=xy)


@pytest.fixture(scope="module")
def short():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "LONG", 200)
        patch.setattr(windows, "_CORE", 200)
        yield


def grown(mdn, clips, path, resume=False, done=lambda poses, total: None, **more):
    run = ClipRun(How(3, seed=5), **more)
    parts = parts_of(mdn, clips)
    return lift_clips_to_file(
        mdn, clips, parts, lambda: GrowingResult(path, clip_marks(mdn, clips, run), resume), run, done
    )


@pytest.fixture(scope="module")
def unbroken(mdn, clips, short, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.parquet"
    grown(mdn, clips, path)
    return path


@pytest.mark.parametrize("pieces", [1, pytest.param(3, marks=pytest.mark.slow), 5])
def test_goes_on_at_the_next_window(mdn, clips, short, unbroken, tmp_path, pieces):
    path, counts = tmp_path / "x.parquet", []

    def fail(poses, total):
        counts.append(poses)
        if len(counts) > pieces:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grown(mdn, clips, path, done=fail)
    seen = []
    about = grown(mdn, clips, path, resume=True, done=lambda *poses: seen.append(poses))
    assert [poses for poses, _ in seen] == sorted({counts[-1], *(n for n, _ in seen)})
    assert seen[0] == (counts[-1], 740)
    assert path.read_bytes() == unbroken.read_bytes()
    assert about.frame.tolist() == [0, 1, 2]
    assert "did not fit their neighbours" in about.settings["outliers"]


@pytest.mark.parametrize("shards", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_shards_joined_are_the_whole(mdn, clips, short, unbroken, tmp_path, shards):
    for i in range(1, shards + 1):
        grown(mdn, clips, tmp_path / f"{i}.parquet", shard=(i, shards))
    parts = [load_result(tmp_path / f"{i}.parquet").fields() for i in range(1, shards + 1)]
    for name, value in load_result(unbroken).fields().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), value)
    assert all("intrinsics given for 740 of 740 poses" in part["settings"]["camera"] for part in parts)


def test_a_shard_goes_on(mdn, clips, short, tmp_path):
    for name in ("whole", "x"):
        path, counts = tmp_path / f"{name}.parquet", []

        def fail(poses, total, counts=counts):
            counts.append(poses)
            if len(counts) == 2:
                raise KeyboardInterrupt

        if name == "x":
            with pytest.raises(KeyboardInterrupt):
                grown(mdn, clips, path, done=fail, shard=(2, 2))
        grown(mdn, clips, path, resume=name == "x", shard=(2, 2))
    assert (tmp_path / "x.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_more_shards_than_there_are_pieces(mdn, clips, short, tmp_path):
    few = r"^shard: 7 shards of 5 windows of long clips and short clips; ask for at most 5$"
    with pytest.raises(InputError, match=few):
        grown(mdn, clips, tmp_path / "x.parquet", shard=(1, 7))
    assert not list(tmp_path.iterdir())


def test_workers_share_windows_alone(mdn, clips, short, tmp_path):
    with pytest.raises(InputError, match=r"^workers: share the windows of clips of 3000 frames or more, and there is"):
        grown(mdn, clips[400:440], tmp_path / "x.parquet", workers=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_workers_write_the_same_bytes(mdn, clips, short, unbroken, tmp_path):
    grown(mdn, clips, tmp_path / "x.parquet", workers=2)
    assert (tmp_path / "x.parquet").read_bytes() == unbroken.read_bytes()


def test_does_not_go_on_with_another_run(mdn, clips, short, tmp_path):
    path = tmp_path / "x.parquet"
    GrowingResult(path, clip_marks(mdn, clips, ClipRun(How(3, seed=5)))).close()
    focal = clips.intrinsics.clone()
    focal[:, :2] *= 1.1
    for other, what in (
        ({"clips": clips._replace(intrinsics=focal)}, "keypoints "),
        ({"max_gap": 0.2}, "max gap 0.5, not 0.2"),
        ({"fps": 25.0}, "fps None, not 25.0"),
    ):
        with pytest.raises(InputError, match=rf"was begun by another run \({what}"):
            grown(mdn, **{"clips": clips, "path": path, "resume": True, **other})


@pytest.fixture
def walk(clips, tmp_path):
    path = tmp_path / "walk.jsonl"
    write_keypoints(clips[:400], path)
    return path


def refused(capsys, *words) -> str:
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err.removeprefix("poseterior: error: ").strip()


# -- memory --------------------------------------------------------------------------------------------------


def test_windows_that_do_not_fit_are_refused_before_work(mdn, clips, short, tmp_path, monkeypatch):
    for module in (draws, memory):
        monkeypatch.setattr(module, "memory_limit", lambda: 10**9)
    check_window_memory(mdn, 1_060, 100_000, 200, windows=True)
    said = r"^samples: 2000 samples of 1060 poses at a time take 2 GB of memory, of 1 GB that there are; ask for fewer"
    with pytest.raises(InputError, match=said + r" \(0 keeps the summary\)$"):
        check_window_memory(mdn, 1_060, 100_000, 2000, windows=True)
    with pytest.raises(InputError, match=r"^workers: 2 processes with 1060 frames each take 3 GB of mem"):
        check_window_memory(mdn, 1_060, 100_000, 200, windows=True, workers=2)
    alone = r" take \d GB of memory, of 1 GB that there are; write frame by frame, .* --clip off --out poses.parquet$"
    with pytest.raises(InputError, match=r"^samples: 0 samples of 9000 poses at a time" + alone):  # 250 frames a second
        check_window_memory(mdn, 9_000, 100_000, 0, windows=True)
    monkeypatch.setattr(draws, "memory_limit", lambda: 10**8)
    with pytest.raises(InputError, match=r"^samples: 3 samples of \d+ poses at a time take 0 GB"):
        grown(mdn, clips, tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


def test_motions_that_do_not_fit_are_refused_before_work(walk, tmp_path, monkeypatch, capsys):
    """Rotations are as many as samples, and take more than these."""
    monkeypatch.setattr(draws, "memory_limit", lambda: 10**8)
    said = refused(capsys, "lift", walk, "--clip", "off", "--out", tmp_path / "x.bvh")
    assert said.startswith("--samples: 200 samples of 400 poses take 0 GB of memory, of 0 GB that there are; ask for")
    assert not list(tmp_path.glob("x.*"))


# -- the command ---------------------------------------------------------------------------------------------


def test_a_killed_command_goes_on(walk, tmp_path):
    out, whole = tmp_path / "x.parquet", tmp_path / "whole.parquet"
    command = [sys.executable, "-c", SHORT, "lift", str(walk), "--samples", "2", "--out"]
    part, log = part_paths(out)
    killed_after_a_piece([*command, str(out)], log)
    assert part.exists()
    assert not out.exists()
    again = [*command, str(out), "--resume"]
    said = subprocess.run(again, env=ONE_THREAD, capture_output=True, text=True, check=True).stdout
    assert re.search(r"goes on after 185 of 400 poses", said)
    assert "400 poses x 2 samples" in said
    subprocess.run([*command, str(whole)], env=ONE_THREAD, capture_output=True, check=True)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["walk.jsonl", "whole.parquet", "x.parquet"]


def test_what_cannot_be_gone_on_with_is_refused(clips, short, walk, tmp_path, capsys):
    out, mixed, jump = tmp_path / "x.parquet", tmp_path / "mixed.jsonl", tmp_path / "jump.jsonl"
    few = clips[torch.cat([torch.arange(20), torch.arange(400, 403)])]  # three frames of somebody are no clip
    write_keypoints(few, mixed)
    xy = clips.xy[:40].clone()
    xy[20:] += 600.0
    write_keypoints(clips[:40]._replace(xy=xy), jump)
    said = refused(capsys, "lift", mixed, "--resume", "--out", out)
    assert said == (
        "--resume: some of these poses are lifted frame by frame and some as clips, to one result that is held in "
        "memory; lift every frame by itself: --clip off"
    )
    said = refused(capsys, "lift", walk, "--shard", "1/2", "--view", tmp_path / "x.html", "--out", out)
    assert said == "--shard: --view needs all poses at once"
    said = refused(capsys, "lift", walk, "--shard", "1/3", "--out", out)
    assert said == "--shard: 3 shards of 2 windows of long clips and short clips; ask for at most 2"
    said = refused(capsys, "lift", jump, "--resume", "--out", out)
    assert said.startswith("--resume: ")
    assert said.endswith("lift every frame by itself: --clip off")
    assert not list(tmp_path.glob("x.*"))
