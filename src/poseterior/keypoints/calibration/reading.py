"""Calibration files of several cameras, whatever wrote them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...files.checks import naming, reason
from ...files.errors import InputError
from ...files.texts import parse_json, read_text
from ...files.xml import read_xml
from .camera import Camera
from .formats import calibration_formats

__all__ = ["read_cameras"]

#: Bytes that a calibration may have.
_MOST = 5_000_000


def read_cameras(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], format: str = "auto"
) -> dict[str, Camera]:
    """Cameras by name, of a calibration file, or of several files that hold one camera each.

    Args:
        paths: Pose2Sim's ``Calib.toml`` (Anipose, Caliscope), Qualisys' ``.qca.txt`` or ``.xml``, Theia3D's, or what
            OpenCV's ``FileStorage`` writes (``.yml``, ``.xml``, ``.json``); see `calibration_formats`. A camera without
            a name has that of its file.
        format: a name of `calibration_formats`; by default told from the content.

    Raises:
        InputError: no such file, of no format that is known, fields that are missing or wrong, or two cameras of one
            name; the message names the file, the camera, the field and the remedy.
    """
    listed = [Path(paths)] if isinstance(paths, (str, os.PathLike)) else [Path(path) for path in paths]
    known = calibration_formats()
    if format != "auto" and format not in known:
        raise InputError(f"unknown format of calibrations {format!r}; known: auto, {', '.join(known)}")
    if not listed:
        raise InputError("no calibration file is given")
    cameras: dict[str, Camera] = {}
    for path in listed:
        with naming(str(path)):
            found = _read(path, format)
            for camera in found:
                own = camera if camera.name else replace(camera, name=path.name.split(".")[0])
                if own.name in cameras:
                    raise InputError(f"camera {own.name!r} is there twice; rename one of them")
                cameras[own.name] = own
    return cameras


def _read(path: Path, format: str) -> list[Camera]:
    data = _parsed(path)
    known = calibration_formats()
    if format == "auto":
        marks = {name: kind.recognises(data) for name, kind in known.items()}
        format = max(marks, key=marks.__getitem__)
        if not marks[format]:
            raise InputError(_what(data) + "; ".join(k.about for k in known.values()))
    elif not known[format].recognises(data):
        raise InputError(f"is not of the format {format!r}: {known[format].about}")
    found = known[format].read(data)
    if not found:
        raise InputError("holds no camera; calibrate again")
    return found


def _what(data: Any) -> str:
    """What a file is instead of a calibration, as far as that can be told."""
    first = data[0] if isinstance(data, list) and data else data
    marks = {"keypoints", "keypoints_2d", "people", "annotations", "instance_info", "pose_keypoints_2d"}
    if isinstance(first, dict) and marks & first.keys():
        return "holds keypoints, not cameras; expected a calibration: "
    return "of no format of calibrations that we know: "


def _parsed(path: Path) -> Any:
    """What a file holds, whatever it is called: its first characters tell XML, JSON, YAML and TOML apart."""
    text = read_text(path, _MOST)
    start = text.lstrip()
    if start.startswith("<"):
        return read_xml(path, _MOST)
    if start.startswith("{") or path.suffix.lower() == ".json":
        return parse_json(text)
    if start.startswith("%YAML") or path.suffix.lower() in (".yml", ".yaml"):
        return _yaml(text)
    return _toml(text)


def _toml(text: str) -> Any:
    try:
        import tomllib as toml
    except ModuleNotFoundError:  # Python 3.10
        import tomli as toml
    try:
        return toml.loads(text)
    except (toml.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"not readable as TOML ({reason(error)}); is it a calibration file?") from None


def _yaml(text: str) -> Any:
    """OpenCV's YAML: its first line is none, and matrices have a tag of their own."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows no tag but OpenCV's."""

    Loader.add_constructor(
        "tag:yaml.org,2002:opencv-matrix", lambda loader, node: loader.construct_mapping(node, deep=True)
    )
    lines = text.splitlines()
    body = "\n".join(lines[1:] if lines and lines[0].startswith("%YAML") else lines)
    try:
        return yaml.load(body, Loader)  # safe: a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"not readable as YAML ({reason(error)}); is it truncated?") from None
