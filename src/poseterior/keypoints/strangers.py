"""What else a file may be that is passed as keypoints: how it begins, and what to tell who passes it."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["LONGEST_START", "stranger"]

#: So many bytes of a file are looked at.
LONGEST_START = 4096

_PHOTO = "is a photo: find the people in it first: poseterior lift {name} --keypoints {stem}.json"
_FILM = "is a film: find the people in it first: poseterior lift {name} --keypoints {stem}.json"
_MOTION = "is a motion, which has 3D poses already: {done}"
_PACKED = "is packed; unpack it and pass the keypoint file that is in it"
_FBX = (
    "is an FBX scene, not keypoints; to read its motion convert it to BVH, in Blender: File, Import, FBX, then File, "
    "Export, BVH; then: poseterior data import bvh {stem}.bvh --out store"
)
_PICKLE = "is a Python pickle, which is never loaded; save the keypoints as .npy, .npz or JSON"

#: How other files begin, and what to say; {name} and {stem} are those of the file.
STRANGERS: tuple[tuple[bytes, str], ...] = (
    (b"\x80", _PICKLE),
    (b"\xff\xd8\xff", _PHOTO),
    (b"\x89PNG", _PHOTO),
    (b"II*\x00", _PHOTO),
    (b"MM\x00*", _PHOTO),
    (b"GIF8", _FILM),
    (b"\x1aE\xdf\xa3", _FILM),  # Matroska and WebM
    (b"FLV\x01", _FILM),
    (b"\x00\x00\x01\xba", _FILM),  # MPEG
    (b"\x00\x00\x01\xb3", _FILM),
    (b"0&\xb2u\x8ef\xcf\x11", _FILM),  # WMV
    (b"Kaydara FBX Binary", _FBX),
    (b"; FBX", _FBX),
    (
        b"HIERARCHY",
        _MOTION.format(done="poseterior data import bvh {name} --out store, or poseterior prior score {name}"),
    ),
    (b":version", _MOTION.format(done="ASF and AMC are imported by poseterior data import asfamc")),
    (b"glTF", "is a glTF scene, not keypoints; convert its motion to BVH and import that: poseterior data import bvh"),
    (b"BLENDER", "is a Blender file, not keypoints; export its motion as BVH: poseterior data import bvh"),
    (b"%PDF", "is a PDF document, not keypoints"),
    (b"MATLAB 5.0 MAT-file", "is a MATLAB file; save the keypoints as CSV: writematrix(keypoints, '{stem}.csv')"),
    (b"SQLite format 3", "is an SQLite database; export its table of keypoints as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Office document; save its sheet of keypoints as CSV"),
    (b"\x1f\x8b", _PACKED),
    (b"BZh", _PACKED),
    (b"\xfd7zXZ", _PACKED),
    (b"7z\xbc\xaf", _PACKED),
    (b"Rar!", _PACKED),
    (b"(\xb5/\xfd", _PACKED),  # zstd
    (b"\x7fELF", "is a program, not keypoints"),
)
#: Boxes that a QuickTime or MP4 file begins with, after the four bytes of their length.
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
#: Kinds of ``ftyp`` that are photos.
_PHOTO_BRANDS = (b"heic", b"heix", b"mif1", b"avif", b"msf1")
_RIFF = {b"AVI ": _FILM, b"WEBP": _PHOTO, b"WAVE": "is a sound, not keypoints"}


def stranger(start: bytes, path: Path) -> str | None:
    """What to say of a file of another kind; None where it may hold keypoints.

    Args:
        start: its first `LONGEST_START` bytes.
        path: of the file.
    """
    found = _said(start, path)
    return None if found is None else found.format(name=path.name, stem=path.stem)


def _said(start: bytes, path: Path) -> str | None:
    if start[4:8] in _BOXES:
        return _PHOTO if start[8:12] in _PHOTO_BRANDS else _FILM
    if start.startswith(b"BM") and start[6:10] == b"\0\0\0\0":  # BMP
        return _PHOTO
    if start.startswith(b"RIFF"):
        return _RIFF.get(start[8:12], "is a RIFF file, not keypoints")
    if start.startswith(b"G") and start[188:189] == b"G" == start[376:377]:  # MPEG transport stream
        return _FILM
    if start[1:2] == b"P" and path.suffix.lower() == ".c3d":
        return "holds 3D markers (C3D), not 2D keypoints; solve for the rotations instead: poseterior ik {name}"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _said_of_archive(path)
    for magic, message in STRANGERS:
        if start.startswith(magic):
            return message
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:14].lower() == b"<!doctype html" or text[:5].lower() == b"<html":
        return "is a web page (HTML), not keypoints; was it downloaded whole, with a login where one is asked for?"
    if text.startswith(b"HIERARCHY"):
        return dict(STRANGERS)[b"HIERARCHY"]
    return None


def _said_of_archive(path: Path) -> str | None:
    """A ZIP archive that is no npz: the others are told by what they hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return None  # whoever reads npz says what is wrong
    if not names or any(name.endswith(".npy") for name in names):
        return None
    if any(name.startswith("xl/") for name in names):
        return "is an Excel workbook; save its sheet of keypoints as CSV"
    if any(name.endswith("data.pkl") for name in names):
        return "is a PyTorch file (a pickle), which is never loaded; save the keypoints as .npy, .npz or JSON"
    return "is a ZIP archive; unpack it and pass the keypoint file or the folder that is in it"
