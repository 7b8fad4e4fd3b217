"""Files of this machine and of storage elsewhere: found, read, and written whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from poseterior.files import places
from poseterior.files.errors import InputError
from poseterior.files.places import Place, expanded, is_address, place_of, stored_files

fsspec = pytest.importorskip("fsspec")
SUFFIXES = (".json", ".parquet")


@pytest.fixture
def memory():
    """A folder in memory, by its address."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("s3://bucket/a/x.json", "s3://bucket/a/x.json"),
        (Path("s3://bucket/a/x.json"), "s3://bucket/a/x.json"),  # of which pathlib leaves one slash
        (Path("GS://bucket/x"), "gs://bucket/x"),
        (Path("memory://folder"), "memory://folder"),
        (Path("file:///tmp/x.json"), "/tmp/x.json"),
        ("/tmp/x.json", "/tmp/x.json"),
    ],
)
def test_addresses_as_they_were_typed(typed, address):
    assert place_of(typed).address == address
    assert is_address(typed) == ("://" in address)


def test_a_path_that_every_process_finds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place_of("clips/x.json") == Place("clips/x.json", str(tmp_path / "clips" / "x.json"))
    assert not is_address("c:/clips/x.json")


def test_patterns_are_expanded_in_natural_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("w10.json", "w2.json", "w1.npy", "[odd].json"):
        Path(name).touch()
    assert expanded([Path("w*.json"), Path("x.json")]) == [Path("w2.json"), Path("w10.json"), Path("x.json")]
    assert expanded([Path("[odd].json")]) == [Path("[odd].json")]
    with pytest.raises(InputError, match=re.escape("none/*.json: no file matches this pattern")):
        expanded([Path("none/*.json")])


def test_files_of_folders_patterns_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clips", "deeper").mkdir(parents=True)
    for name in ("w10.json", "w2.parquet", "notes.md", ".hidden.json", "_parts.json"):
        Path("clips", name).write_text("x" * len(name))
    found = stored_files([Path("clips"), Path("clips/w*.json")], SUFFIXES)
    assert [file.name for file in found] == ["clips/w2.parquet", "clips/w10.json"]
    assert found[1].size == len("w10.json")
    os.utime("clips/w10.json", (1, 1))
    assert stored_files([Path("clips")], SUFFIXES)[1].version != found[1].version
    with pytest.raises(InputError, match=r"clips/deeper: no keypoint file in this folder; expected \.json"):
        stored_files([Path("clips/deeper")], SUFFIXES)
    with pytest.raises(InputError, match=r"clips/gone\.json: no such file"):
        stored_files([Path("clips/gone.json")], SUFFIXES)


def test_files_of_storage(memory, tmp_path):
    for name in ("/clips/w10.json", "/clips/w2.json", "/clips/deeper/w3.json", "/clips/notes.md"):
        memory.pipe_file(name, name.encode())
    found = stored_files([Path("memory://clips")], SUFFIXES)
    assert [file.address for file in found] == ["memory://clips/w2.json", "memory://clips/w10.json"]
    assert found[0].private
    assert found[0].size == len("/clips/w2.json")
    deep = stored_files([Path("memory://clips/**/*.json")], SUFFIXES)
    assert {file.name for file in deep} >= {"memory://clips/deeper/w3.json", "memory://clips/w2.json"}
    copy = found[1].fetch(tmp_path)
    assert (copy.name, copy.read_bytes()) == ("w10.json", b"/clips/w10.json")
    with pytest.raises(InputError, match=r"memory://clips/gone\.json: no such file"):
        stored_files([Path("memory://clips/gone.json")], SUFFIXES)
    with pytest.raises(InputError, match=re.escape("memory://clips/*.npy: no file matches this pattern")):
        stored_files([Path("memory://clips/*.npy")], SUFFIXES)


@pytest.mark.parametrize("kind", ["here", "elsewhere"])
def test_what_is_put_is_there_whole(kind, memory, tmp_path):
    folder = place_of(tmp_path / "out" if kind == "here" else "memory://out")
    assert folder.names() == set()
    folder.make()
    (tmp_path / "part").write_bytes(b"1")
    target = folder.within("a.parquet")
    assert target.read() is None
    target.put(tmp_path / "part")
    (tmp_path / "part").write_bytes(b"22")
    target.put(tmp_path / "part")
    assert target.read() == b"22"
    assert folder.names() == {"a.parquet"}
    target.remove()
    target.remove()
    assert folder.names() == set()


def test_storage_without_whole_writes_gets_a_move(tmp_path, monkeypatch):
    """A file has another name until it is complete."""
    seen = []
    system = fsspec.filesystem("file")

    class Watched:
        def __getattr__(self, name):
            return getattr(system, name)

        def put_file(self, source, target):
            seen.append(Path(target).name)
            system.put_file(source, target)

    monkeypatch.setattr(places, "_open", lambda address: (Watched(), str(tmp_path / "a.parquet"), "sftp"))
    (tmp_path / "part").write_bytes(b"1")
    Place("sftp://host/a.parquet", "sftp://host/a.parquet").put(tmp_path / "part")
    assert re.fullmatch(r"\.a\.parquet\.\d+\.poseterior-tmp", seen[0])
    assert {path.name for path in tmp_path.iterdir()} == {"a.parquet", "part"}


def test_pyarrow_opens_what_fsspec_lacks_a_package_for(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.json").write_text("here")

    def missing(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    place = Place("file://x", f"file://{tmp_path}/x.json")
    assert place.read() == b"here"
    with pytest.raises(InputError, match=r"dropbox://x: Install s3fs to access S3"):
        Place("dropbox://x", "dropbox://x").read()


def test_unknown_storage_is_refused():
    with pytest.raises(InputError, match=r"^nowhere://x/y: Protocol not known: nowhere"):
        stored_files([Path("nowhere://x/y")], SUFFIXES)


def test_what_this_machine_does_not_see(tmp_path):
    gone = place_of(tmp_path / "gone.json")
    with pytest.raises(InputError, match=r"gone\.json: no such file; all machines have to see it under this path"):
        gone.fetch(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file; give a folder"):
        place_of(tmp_path / "file").names()
