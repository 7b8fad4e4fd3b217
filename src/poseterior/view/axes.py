"""What the axes of a result are, in words: a camera's, or those of a world that several cameras stand in."""

from __future__ import annotations

import re

from ..results.poses import LiftResult

__all__ = ["VIEWS", "View", "keypoints_of", "picture_title", "stage_title", "views_of", "world_axes"]

#: Title of a projection, column of each plot axis in the pose, labels of the axes.
View = tuple[str, tuple[int, int], str, str]

#: The three projections of poses in a camera's axes.
VIEWS: tuple[View, View, View] = (
    ("from the camera", (0, 1), "x, right (m)", "y, down (m)"),
    ("from the side", (2, 1), "z, away from the camera (m)", "y, down (m)"),
    ("from above", (0, 2), "x, right (m)", "z, away from the camera (m)"),
)


def world_axes(result: LiftResult) -> tuple[str, str, str] | None:
    """Which axes of the world are right, down and forward, e.g. ``("x", "-z", "y")``; None of poses before a camera."""
    if not result.in_world:
        return None
    found = re.search(r"right is its (\S+), down its (\S+), forward its (\S+)", result.settings.get("world", ""))
    return ("right", "down", "forward") if found is None else (found[1], found[2], found[3])


def views_of(result: LiftResult) -> tuple[View, View, View]:
    """The three projections of a result's poses: no camera looks along the axes of a world."""
    names = world_axes(result)
    if names is None:
        return VIEWS
    right, down, forward = names if names[0] != "right" else ("axis", "axis", "axis")
    x, y, z = f"right, the world's {right} (m)", f"down, the world's {down} (m)", f"forward, the world's {forward} (m)"
    along = [name.removeprefix("-") for name in (forward, right)]
    return (
        (f"along the world's {along[0]}", (0, 1), x, y),
        (f"along the world's {along[1]}", (2, 1), z, y),
        ("from above", (0, 2), x, z),
    )


def keypoints_of(result: LiftResult) -> str | None:
    """The camera whose keypoints a result of several views holds; None for one camera, or where it is not told."""
    found = re.match(r"those of (.+?)(;|$)", result.settings.get("keypoints", "")) if result.in_world else None
    return None if found is None else found[1]


def picture_title(result: LiftResult) -> str:
    """What a panel of keypoints is called."""
    if not result.in_world:
        return "in the picture"
    camera = keypoints_of(result)
    return "keypoints of one camera" if camera is None else f"keypoints of {camera}"


def stage_title(result: LiftResult, azimuth: float) -> str:
    """What a panel of a person in 3D is called, seen from that many degrees to the right."""
    names = world_axes(result)
    if names is None:
        return f"in 3D, from {azimuth:g}° to the right"
    return f"in 3D, {azimuth:g}° to the right of the world's {names[2].removeprefix('-')}"
