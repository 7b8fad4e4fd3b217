"""What killed runs leave behind is removed by the next run: ours only, and only when nobody is at it any more."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import injection
import pytest

import poseterior.files.writing as writing
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError
from poseterior.files.writing import atomic_folder, atomic_write, put_folder, remove_stale, temporary_folder


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _left(folder: Path, pid: int, host: str | None = None, kind: str = "tmp", name: str = "x.json") -> Path:
    path = folder / f".{name}.{host or writing._host()}-{pid}-0123abcd.poseterior-{kind}"
    path.write_text("half")
    return path


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def test_leftovers_of_dead_processes_are_removed(tmp_path):
    file = _left(tmp_path, _dead_pid())
    folder = tmp_path / file.name.replace("x.json", "store")
    folder.mkdir()
    (folder / "part-00000.parquet").write_text("half")
    assert sorted(remove_stale(tmp_path)) == sorted([file, folder])
    assert os.listdir(tmp_path) == []


def test_what_is_being_written_is_left_alone(tmp_path):
    _left(tmp_path, os.getppid())
    _left(tmp_path, 1, name="of init")
    with atomic_write(tmp_path / "mine.json"), atomic_folder(tmp_path / "store"):
        before = sorted(os.listdir(tmp_path))
        assert remove_stale(tmp_path) == []
        assert sorted(os.listdir(tmp_path)) == before


def test_a_process_of_the_same_number_before_us_is_dead(tmp_path):
    """In a container all runs may have the number 1."""
    left = _left(tmp_path, os.getpid())
    assert remove_stale(tmp_path) == [left]


def test_other_machines_have_a_day(tmp_path):
    left = _left(tmp_path, _dead_pid(), host="00000000")
    assert remove_stale(tmp_path) == []
    before = time.time() - 25 * 3600
    os.utime(left, (before, before))
    assert remove_stale(tmp_path) == [left]


def test_other_names_are_not_ours(tmp_path):
    pid = _dead_pid()
    names = [
        ".x.json.tmp", f".x.json.{pid}.tmp", f"x.json.{writing._host()}-{pid}-0123abcd.poseterior-tmp",
        f".x.json.{writing._host()}-{pid}-0123abcd.poseterior-tmp.bak", ".poseterior-tmp",
        f".{writing._host()}-{pid}-0123abcd.poseterior-tmp",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).write_text("precious")
    assert remove_stale(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_a_link_is_removed_and_not_what_it_links_to(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").write_text("x")
    name = f".x.{writing._host()}-{_dead_pid()}-0123abcd.poseterior-tmp"
    (tmp_path / name).symlink_to(tmp_path / "precious")
    assert remove_stale(tmp_path) == [tmp_path / name]
    assert (tmp_path / "precious" / "thesis").read_text() == "x"


def test_a_missing_folder_holds_nothing(tmp_path):
    assert remove_stale(tmp_path / "none") == []


def test_the_next_run_removes_them_even_with_another_name(tmp_path):
    def killed() -> None:
        with atomic_write(tmp_path / "a.json") as file:
            file.write(b"half")
            file.flush()
            injection.die()

    assert injection.in_child(killed) == "killed by signal 9"
    assert len(os.listdir(tmp_path)) == 1
    assert injection.in_child(lambda: _write(tmp_path / "b.json", "whole")) == "done"
    assert os.listdir(tmp_path) == ["b.json"]


@pytest.mark.parametrize("folders", [True, False])
def test_names_of_any_length_can_be_written(tmp_path, folders):
    name = "ö" * 100 + ".json" if not folders else "s" * 150
    if folders:
        for _ in range(2):
            with atomic_folder(tmp_path / name, replace=True) as folder:
                (folder / "a").write_text("x")
    else:
        _write(tmp_path / name, "whole")
    assert os.listdir(tmp_path) == [name]


def test_all_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    calls: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("rename"), replace(*names))[1])
    _write(tmp_path / "x.json", "whole")
    assert calls == ["sync", "rename", "sync"]


def test_an_error_that_a_library_hides_is_told(tmp_path):
    """What a library on top makes of the error of the disk does not matter."""

    def act() -> None:
        injection.no_file_above(10)
        with atomic_write(tmp_path / "x.npz") as file:
            try:
                file.write(b"x" * 100_000)
            except OSError:
                raise RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos") from None

    told = injection.in_child(act)
    assert told == f"InputError: {tmp_path / 'x.npz'}: cannot be written (File too large)"
    assert os.listdir(tmp_path) == []


def test_errors_that_are_not_of_the_disk_stay_what_they_are(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "x.json"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []


# -- folders -----------------------------------------------------------------------------------------------


def _folder(path: Path, text: str, replace: bool = True) -> None:
    with atomic_folder(path, replace=replace) as folder:
        (folder / "a").write_text(text)


@pytest.fixture(params=["in one step", "in two steps"])
def exchange(request, monkeypatch):
    """Folders are swapped in one step, or, where the system cannot, in two."""
    if request.param == "in two steps":
        monkeypatch.setattr(writing, "_exchange", lambda a, b: False)
    elif not sys.platform.startswith(("linux", "darwin")):
        pytest.skip("no such call on this system")
    return request.param


def test_a_folder_is_replaced(tmp_path, exchange):
    _folder(tmp_path / "f", "old")
    _folder(tmp_path / "f", "new")
    assert (tmp_path / "f" / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["f"]
    with pytest.raises(InputError, match="was made by another run meanwhile"):
        _folder(tmp_path / "f", "newer", replace=False)
    assert (tmp_path / "f" / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["f"]


def test_a_folder_that_another_run_has_changed_is_kept(tmp_path, exchange):
    _folder(tmp_path / "f", "old")

    def overtaken() -> None:
        with atomic_folder(tmp_path / "f", replace=True) as folder:
            (folder / "a").write_text("mine")
            _folder(tmp_path / "f", "theirs")

    with pytest.raises(InputError, match="f: was changed by another run meanwhile; start this one again"):
        overtaken()
    assert (tmp_path / "f" / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["f"]


def test_killed_between_the_two_steps(tmp_path):
    """The old folder has gone out of the way, the new one is not there: the next run puts the old one back."""
    _folder(tmp_path / "f", "old")

    def act() -> None:
        writing._exchange = lambda a, b: False  # type: ignore[assignment]
        rename = os.rename

        def renamed(source: Path, target: Path) -> None:
            rename(source, target)
            injection.die()

        os.rename = renamed  # type: ignore[assignment]
        _folder(tmp_path / "f", "new")

    assert injection.in_child(act) == "killed by signal 9"
    assert not (tmp_path / "f").exists()
    remove_stale(tmp_path)
    assert (tmp_path / "f" / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]


def test_a_failed_rename_leaves_what_was_there(tmp_path, monkeypatch):
    _folder(tmp_path / "f", "old")
    monkeypatch.setattr(writing, "_exchange", lambda a, b: False)
    new = temporary_folder(tmp_path / "f")
    expected = os.stat(tmp_path / "f")
    rename = os.rename

    def renamed(source: Path, target: Path) -> None:
        if Path(source) == new:
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", renamed)
    with pytest.raises(OSError, match="no"):
        put_folder(new, tmp_path / "f", expected)
    assert (tmp_path / "f" / "a").read_text() == "old"


def test_two_runs_that_grow_one_store_lose_no_clip(tmp_path):
    """The later one is refused, for its new store would lack what the other has added."""
    import numpy as np

    still = (np.zeros((3, 22, 3), np.float32), np.tile(np.float32([0, 0, 0, 1]), (3, 22, 1)))
    clip = (*still, np.zeros((3, 17, 3), np.float32))
    with PoseStore.create(tmp_path / "s") as writer:
        writer.add("first", *clip, fps=30)

    def overtaken() -> None:
        with PoseStore.create(tmp_path / "s", append=True) as late:
            late.add("late", *clip, fps=30)
            with PoseStore.create(tmp_path / "s", append=True) as quick:
                quick.add("quick", *clip, fps=30)

    with pytest.raises(InputError, match="s: was changed by another run meanwhile; start this one again"):
        overtaken()
    assert PoseStore(tmp_path / "s").load().clip_names == ("first", "quick")
    assert os.listdir(tmp_path) == ["s"]
