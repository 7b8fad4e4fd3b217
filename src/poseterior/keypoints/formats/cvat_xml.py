"""CVAT's own exports, "CVAT for images" and "CVAT for video": XML with skeletons or points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from ...files.checks import as_index, describe
from ...files.errors import InputError
from ..detections import Detections, FrameNumbers, Options, Person, size_pair
from ..joint_names import skeleton_remedy, unnamed_layout
from ..named_people import NamedPerson, stack_named

NAME = "cvat-xml"
ABOUT = "CVAT for images or video 1.1 (XML): skeletons of named points, or points in COCO's order"
KIND = "xml"
SCORES = "probability"
EXAMPLE = (
    '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
    '<image id="0" name="frame_000000.png" width="640" height="480"><skeleton label="person" source="manual" '
    'z_order="0">'
    + "".join(
        f'<points label="{name}" outside="0" occluded="0" points="{320 + 2 * i}.50,{90 + 20 * i}.00"/>'
        for i, name in enumerate(("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip", "left_ankle"))
    )
    + "</skeleton></image></annotations>\n"
)

#: Confidence of a joint that is marked as hidden from view, as COCO's v = 1.
_OCCLUDED = 0.5


def recognises(data: Any) -> int:
    """An element ``annotations`` with images or tracks."""
    if not isinstance(data, Element) or data.tag != "annotations":
        return 0
    return 1 + any(data.find(tag) is not None for tag in ("image", "track", "version"))


def read(data: Element, options: Options) -> list[Detections]:
    """Images, or tracks of a film, with ``skeleton`` elements of named points, or ``points`` of a whole body.

    A joint with ``outside="1"`` is missing, one with ``occluded="1"`` has confidence 0.5. Points that stand alone are
    joints of one person where their labels are joints: of each ``group_id``, or of the picture.
    """
    named: list[NamedPerson] = []
    bodies: list[tuple[Person, str]] = []
    frames = FrameNumbers()
    for image in data.iterfind("image"):
        name = image.get("name") or image.get("id") or ""
        what = f"image {name!r}"
        size = _size(image.get("width"), image.get("height"), what)
        alone: dict[str, list[Element]] = {}
        for shape in image:
            if shape.tag == "skeleton":
                frame, person = frames.place(name, what)
                named.append(NamedPerson(frame, person, _joints(shape, what), name, size))
            elif shape.tag == "points" and ";" in (shape.get("points") or ""):
                frame, person = frames.place(name, what)
                bodies.append((_body(shape, frame, person, what, name, size), what))
            elif shape.tag == "points":
                alone.setdefault(shape.get("group_id") or "", []).append(shape)
        for group in alone.values():
            frame, person = frames.place(name, what)
            named.append(NamedPerson(frame, person, _joints(group, what), name, size))
    size = _film_size(data)
    for i, track in enumerate(data.iterfind("track")):
        identity = as_index(_whole(track.get("id")), i)
        for shape in track:
            frame = as_index(_whole(shape.get("frame")), -1)
            what = f"track {identity}, frame {frame}"
            if frame < 0 or shape.get("outside") == "1":
                continue
            if shape.tag == "skeleton":
                named.append(NamedPerson(frame, identity, _joints(shape, what), None, size))
            elif shape.tag == "points" and ";" in (shape.get("points") or ""):
                bodies.append((_body(shape, frame, identity, what, None, size), what))
    return [*stack_named(named, "points", options), *_stack_bodies(bodies, options)]


def _joints(points: Element | list[Element], what: str) -> dict[str, tuple[float, float, float]]:
    joints: dict[str, tuple[float, float, float]] = {}
    for point in points:
        if point.tag != "points":
            continue
        name = point.get("label") or ""
        where = f"{what}, {name!r}"
        if name in joints:
            raise InputError(f"{where} is there twice; make a skeleton of each person, or give each a group")
        xy = _coordinates(point, where)
        if len(xy) != 1:
            raise InputError(f"{where}: {len(xy)} points; expected 1")
        seen = 0.0 if point.get("outside") == "1" else _OCCLUDED if point.get("occluded") == "1" else 1.0
        joints[name] = (float(xy[0, 0]), float(xy[0, 1]), seen)
    return joints


def _body(
    shape: Element, frame: int, person: int, what: str, file: str | None, size: tuple[float, float] | None
) -> Person:
    xy = _coordinates(shape, what)
    seen = _OCCLUDED if shape.get("occluded") == "1" else 1.0
    return Person(frame, person, xy, np.full(len(xy), seen), file, image_size=size)


def _stack_bodies(bodies: list[tuple[Person, str]], options: Options) -> Iterator[Detections]:
    layout = unnamed_layout(options.skeleton)
    groups: dict[int, list[Person]] = {}
    for person, what in bodies:
        if len(person.xy) not in layout:
            remedy = skeleton_remedy(options.skeleton, "; name other joint orders with --skeleton")
            counts = " or ".join(map(str, layout))
            raise InputError(f"{what}: {len(person.xy)} points; expected {counts}{remedy}")
        joints = len(layout[len(person.xy)])
        groups.setdefault(len(person.xy), []).append(person)
        person.source = options.file
        person.xy, person.confidence = person.xy[:joints], person.confidence[:joints]
    for count, people in groups.items():
        yield Detections.from_people(people, layout[count], options)


def _coordinates(shape: Element, what: str) -> np.ndarray:
    """(points, 2) px from ``x,y;x,y``."""
    text = shape.get("points") or ""
    try:
        found = np.array([[float(part) for part in pair.split(",")] for pair in text.split(";")])
    except ValueError:
        found = np.empty(0)
    if found.ndim != 2 or found.shape[1] != 2:
        raise InputError(f"{what}: expected points as x,y;x,y, found {describe(text)}")
    return found


def _size(width: str | None, height: str | None, what: str) -> tuple[float, float] | None:
    if not width or not height:
        return None
    try:
        pair = [float(width), float(height)]
    except ValueError:
        raise InputError(f"{what}: width and height are {describe(width)} and {describe(height)}") from None
    return size_pair(pair, f"{what}: width, height")


def _film_size(data: Element) -> tuple[float, float] | None:
    found = next(data.iter("original_size"), None)
    return None if found is None else _size(found.findtext("width"), found.findtext("height"), "original_size")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 19 else None
