"""AMASS as it is downloaded: motions in an archive, which is not unpacked."""

import gzip
import io
import re
import tarfile

import numpy as np
import pytest

from poseterior.cli import main
from poseterior.data.mocap.archives import is_archive, packed_files
from poseterior.data.mocap.importing import import_mocap
from poseterior.data.store import PoseStore
from poseterior.files.errors import InputError


def motion(seed: int = 0, **changes) -> bytes:
    """A file in AMASS' layout."""
    arrays = {
        "poses": np.random.default_rng(seed).normal(0, 0.2, (4, 156)), "trans": np.zeros((4, 3)),
        "mocap_framerate": np.array(60.0),
    } | changes  # fmt: skip
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def archive(path, files, mode="w:bz2", kind=tarfile.REGTYPE):
    with tarfile.open(path, mode) as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            if kind != tarfile.REGTYPE:
                entry.linkname = "/etc/passwd"
            opened.addfile(entry, io.BytesIO(content))
    return path


FILES = {
    "CMU/01/01_01_poses.npz": motion(1), "CMU/01/shape.npz": b"no motion", "CMU/02/02_01_poses.npz": motion(2),
    "CMU/LICENSE.txt": b"terms",
}  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), [("CMU.tar.bz2", "w:bz2"), ("CMU.tar.gz", "w:gz"), ("CMU.tar", "w")])
def test_an_archive_is_imported_as_its_folder_is(tmp_path, name, mode):
    archive(tmp_path / name, FILES, mode)
    assert main(["data", "import", "amass", str(tmp_path / name), "--out", str(tmp_path / "packed")]) == 0
    for file, content in FILES.items():
        (tmp_path / "plain" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / file).write_bytes(content)
    import_mocap(tmp_path / "plain", tmp_path / "unpacked", "amass")
    packed, unpacked = (PoseStore(tmp_path / which).load() for which in ("packed", "unpacked"))
    assert packed.clip_names == unpacked.clip_names == ("CMU/01/01_01_poses", "CMU/02/02_01_poses")
    assert packed.subject == unpacked.subject == ("01", "02")
    np.testing.assert_array_equal(packed.rotations, unpacked.rotations)
    np.testing.assert_array_equal(packed.positions, unpacked.positions)


def test_archives_of_a_folder_are_found(tmp_path):
    (tmp_path / "amass").mkdir()
    archive(tmp_path / "amass" / "CMU.tar.bz2", FILES)
    report = import_mocap(tmp_path / "amass", tmp_path / "store", "amass")
    assert report.clips == 2


def test_one_file_at_a_time_and_none_stays(tmp_path):
    path = archive(tmp_path / "CMU.tar.bz2", FILES)
    assert is_archive(path)
    assert not is_archive(tmp_path)
    seen = []
    for packed in packed_files(path, (".npz",)):
        assert packed.path.read_bytes() == FILES[str(packed.name)]
        assert all(not other.exists() for other in seen)
        seen.append(packed.path)
    assert len(seen) == 3
    assert not any(other.exists() for other in seen)


@pytest.mark.parametrize(
    "name", ["../evil.npz", "/tmp/evil.npz", "CMU/../../evil.npz", "CMU\\..\\evil.npz", "c:evil.npz"]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    path = archive(tmp_path / "x.tar.bz2", {name: motion()})
    with pytest.raises(InputError, match=r"x\.tar\.bz2: .*evil\.npz.* leads out of the archive; refused"):
        import_mocap(path, tmp_path / "store", "amass")
    assert not (tmp_path / "store").exists()
    assert not list(tmp_path.glob("**/evil.npz"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = archive(tmp_path / "x.tar.bz2", {"CMU/a_poses.npz": b""}, kind=kind)
    with pytest.raises(InputError, match=r"'CMU/a_poses\.npz' is a link or a device, not a file; refused"):
        import_mocap(path, tmp_path / "store", "amass")


def test_pickled_objects_are_never_read(tmp_path):
    content = motion(poses=np.array([object()]))
    path = archive(tmp_path / "x.tar.bz2", {"CMU/01/a_poses.npz": content})
    with pytest.raises(InputError, match=r"x\.tar\.bz2: CMU/01/a_poses\.npz: an array holds pickled objects"):
        import_mocap(path, tmp_path / "store", "amass")


def test_bad_files_of_an_archive_are_left_out_by_name(tmp_path):
    path = archive(tmp_path / "x.tar.bz2", FILES | {"CMU/03/broken_poses.npz": b"PK"})
    report = import_mocap(path, tmp_path / "store", "amass", skip_bad=True)
    assert report.clips == 2
    assert "x.tar.bz2: CMU/03/broken_poses.npz" in str(report)


def test_damaged_archives(tmp_path):
    whole = archive(tmp_path / "CMU.tar.bz2", FILES).read_bytes()
    half = len(whole) // 2
    plain = archive(tmp_path / "plain.tar", FILES, "w").read_bytes()
    broken = {
        "half.tar.bz2": (whole[:half], rf"is cut off: in its {half:,} bytes not one file is whole"),
        "packed.tar.gz": (gzip.compress(plain)[:-40], "is cut off after"),
        "plain-cut.tar": (plain[: plain.index(b"PK", 9000) + 100], "is cut off after"),
        "none.tar.bz2": (b"no archive at all" * 40, r"not a readable archive, or cut off \("),
        "empty.tar.bz2": (b"", "is empty"),
    }
    for name, (content, said) in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{re.escape(name)}: {said}.*; get it anew"):
            import_mocap(tmp_path / name, tmp_path / "store", "amass")
    assert not (tmp_path / "store").exists()
    path = archive(tmp_path / "none.tar", {"LICENSE.txt": b"x"}, "w")
    with pytest.raises(InputError, match=r"none\.tar: holds no \.npz motion"):
        import_mocap(path, tmp_path / "store", "amass")


@pytest.mark.parametrize("name", ["broken.npz", "CMU.tar.bz2", "link.tar.bz2", "sub/broken.npz"])
def test_messages_say_paths_as_they_were_given(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for file in ("broken.npz", "sub/broken.npz", "CMU.tar.bz2"):
        (tmp_path / file).write_bytes(b"PK")
    (tmp_path / "link.tar.bz2").symlink_to(tmp_path / "CMU.tar.bz2")
    with pytest.raises(InputError) as refused:
        import_mocap(name, "store", "amass")
    assert str(refused.value).startswith(f"{name}: ")
    assert str(tmp_path) not in str(refused.value)
    if name.startswith("sub"):
        with pytest.raises(InputError, match=r"^sub/broken\.npz: "):
            import_mocap("sub", "store", "amass")
