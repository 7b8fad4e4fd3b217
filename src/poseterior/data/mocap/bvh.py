"""BVH motion files: a reader for what is found in the wild, and a writer for poses of our own.

The reader takes any channel order and number, position channels on any joint (they replace the components of
its offset), end sites, several roots, CR LF, tabs, any letter case and frames wrapped over several lines. The
numbers are parsed in one go and the kinematics run over all frames at once.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ...files.checks import quote
from ...files.errors import InputError
from ...files.number_tables import read_number_table
from ...files.reading import reader
from ...files.writing import atomic_write, make_folder
from ...geometry.quaternions import acted, product, zxy_angles
from ...geometry.skeletons import SKELETONS
from .motion import Array, Motion, chained, checked, snap_rate, turned

__all__ = [
    "END_SITES",
    "continuous_angles",
    "read_bvh",
    "rest_offsets",
    "write_bvh",
]

_log = logging.getLogger(__name__)

_AXES = {"x": 0, "y": 1, "z": 2}

#: Frames that are text at a time.
_WRITTEN = 512
#: Joints that move in their parent's frame by more than this (metres) are written with position channels.
RIGID_TOLERANCE = 2e-4


@dataclass
class _Node:
    name: str
    parent: int
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    channels: list[tuple[str, int]] = field(default_factory=list)  # ("position" | "rotation", axis)


class _Tokens:
    """The words of a hierarchy with their line numbers, for messages."""

    def __init__(self, text: str, path: Path) -> None:
        self.words = [
            (match.group(), line)
            for line, content in enumerate(text.splitlines(), start=1)
            for match in re.finditer(r"[{}]|[^\s{}]+", content)
        ]
        self.path = path
        self.at = 0

    def fail(self, message: str) -> InputError:
        line = self.words[min(self.at, len(self.words) - 1)][1] if self.words else 1
        return InputError(f"{self.path}, line {line}: {message}")

    def peek(self) -> str:
        return self.words[self.at][0] if self.at < len(self.words) else ""

    def next(self) -> str:
        word = self.peek()
        if not word:
            raise self.fail("the hierarchy ends early; the file may be truncated")
        self.at += 1
        return word

    def expect(self, word: str) -> None:
        if self.peek().lower() != word:
            raise self.fail(f"expected {word!r}, found {quote(self.peek())}")
        self.at += 1

    def number(self, what: str) -> float:
        try:
            value = float(self.peek())
        except ValueError:
            raise self.fail(f"{what}: expected a number, found {quote(self.peek())}") from None
        if not np.isfinite(value):
            raise self.fail(f"{what}: expected a finite number, found {quote(self.peek())}")
        self.at += 1
        return value


def _parse_hierarchy(text: str, path: Path) -> list[_Node]:
    tokens = _Tokens(text, path)
    tokens.expect("hierarchy")
    nodes: list[_Node] = []
    open_nodes: list[int] = []
    while tokens.peek():
        word = tokens.next().lower()
        if word in ("root", "joint", "end"):
            if word == "joint" and not open_nodes:
                raise tokens.fail("a JOINT outside any ROOT")
            parent = open_nodes[-1] if open_nodes else -1
            words = []
            while tokens.peek() != "{":
                words.append(tokens.next())
            tokens.expect("{")
            # a joint name may hold spaces; an end site has no name of its own
            name = " ".join(words) if word != "end" else _end_name(nodes, parent)
            if any(node.name == name for node in nodes):
                raise tokens.fail(f"joint {quote(name)} appears twice; joints need distinct names")
            nodes.append(_Node(name, parent))
            open_nodes.append(len(nodes) - 1)
        elif not open_nodes:
            raise tokens.fail(f"expected ROOT or MOTION, found {quote(word)}")
        elif word == "}":
            open_nodes.pop()
        elif word == "offset":
            node = nodes[open_nodes[-1]]
            node.offset = tuple(tokens.number(f"offset of {node.name!r}") for _ in range(3))
        elif word == "channels":
            node = nodes[open_nodes[-1]]
            count = int(tokens.number(f"channel count of {node.name!r}"))
            node.channels = [_channel(tokens, node.name) for _ in range(count)]
        else:
            raise tokens.fail(f"unknown word {quote(word)} in the hierarchy")
    if open_nodes:
        raise tokens.fail(f"joint {nodes[open_nodes[-1]].name!r} has no closing brace; the file may be truncated")
    if not nodes:
        raise tokens.fail("no ROOT in the hierarchy")
    return nodes


def _end_name(nodes: list[_Node], parent: int) -> str:
    base = f"{nodes[parent].name}_end" if parent >= 0 else "end"
    taken = sum(node.name == base or node.name.startswith(base + "_") for node in nodes)
    return base if not taken else f"{base}_{taken + 1}"


def _channel(tokens: _Tokens, joint: str) -> tuple[str, int]:
    match = re.fullmatch(r"([xyz])(position|rotation)", tokens.peek().lower())
    if match is None:
        raise tokens.fail(
            f"channels of {quote(joint)}: "
            f"found {quote(tokens.peek())}; expected Xposition … Zposition, Xrotation … Zrotation"
        )
    tokens.at += 1
    return match.group(2), _AXES[match.group(1)]


def _parse_motion(
    text: str, first_line: int, columns: int, path: Path, told: float | None = None
) -> tuple[Array, float]:
    """The ``(frames, columns)`` channel values and the frame time in seconds, ``told`` instead of the file's."""
    frames_match = re.search(r"^[^\S\n]*frames[^\S\n]*:[^\S\n]*(\S+)", text, re.IGNORECASE | re.MULTILINE)
    time_match = re.search(
        r"^[^\S\n]*frame[^\S\n]+time[^\S\n]*:[^\S\n]*(\S+)[^\S\n]*", text, re.IGNORECASE | re.MULTILINE
    )
    if frames_match is None or time_match is None:
        missing = "Frames:" if frames_match is None else "Frame Time:"
        raise InputError(f"{path}: no {missing!r} after MOTION; the file may be truncated")
    try:
        frames, frame_time = int(frames_match.group(1)), told or float(time_match.group(1))
    except ValueError:
        found = f"{quote(frames_match.group(1))}, {quote(time_match.group(1))}"
        raise InputError(f"{path}: 'Frames:' and 'Frame Time:' need numbers, found {found}") from None
    if not (np.isfinite(frame_time) and frame_time > 0):
        raise InputError(f"{path}: frame time {frame_time} s; expected a positive number; pass --fps")
    if told is None and frame_time > 1:
        _log.warning("%s: a frame each %g s, as few clips have; pass --fps if that is wrong", path.name, frame_time)
    start = max(frames_match.end(), time_match.end())
    body = text[start:]
    values = read_number_table(body, columns)
    if values is None:
        values = _numbers(body, first_line + text.count("\n", 0, start), path)
    if frames < 1 or values.size == 0:
        raise InputError(f"{path}: no frames ('Frames: {frames}'); nothing to import")
    rows = values.size // columns
    if values.size == rows * columns and abs(rows - frames) == 1:
        _log.warning("%s: 'Frames: %d' but %d rows of numbers; all %d are read", path.name, frames, rows, rows)
        frames = rows
    if values.size != frames * columns:
        raise InputError(
            f"{path}: 'Frames: {frames}' with {columns} channels needs {frames * columns} values, found {values.size} "
            f"({values.size / columns:.2f} frames); the file is truncated or its CHANNELS are wrong"
        )
    return values.reshape(frames, columns), frame_time


def _numbers(body: str, line: int, path: Path) -> Array:
    """All numbers of a text, wherever its lines are broken."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # numpy's way to say that a word is no number
        try:
            return np.fromstring(body, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            _refuse_word(body, line, path)
            raise InputError(f"{path}: the motion block holds something that is no number") from None


def _refuse_word(body: str, line: int, path: Path) -> None:
    for number, content in enumerate(body.split("\n"), start=line):
        for word in content.split():
            try:
                float(word)
            except ValueError:
                raise InputError(f"{path}, line {number}: expected a number, found {word[:40]!r}") from None


@reader()
def read_bvh(path: str | Path, fps: float | None = None) -> Motion:
    """Read a BVH file and run its forward kinematics.

    Args:
        path: the file.
        fps: frames per second, instead of what the file says.

    Returns:
        The motion in the file's own joints and length unit; end sites are joints named ``"<parent>_end"``.

    Raises:
        InputError: not a BVH file, truncated, a value that is no finite number, a repeated joint; names the
            file, line or joint.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not text.lstrip()[:9].upper() == "HIERARCHY":
        raise InputError(f"{path}: not a BVH file (it does not begin with HIERARCHY)")
    split = re.search(r"^[^\S\n]*motion\b", text, re.IGNORECASE | re.MULTILINE)
    if split is None:
        raise InputError(f"{path}: no MOTION section; the file may be truncated")
    nodes = _parse_hierarchy(text[: split.start()], path)
    columns = sum(len(node.channels) for node in nodes)
    if columns == 0:
        raise InputError(f"{path}: no joint has CHANNELS; nothing moves")
    first_line = text.count("\n", 0, split.end()) + 1
    values, frame_time = _parse_motion(
        text[split.end() :], first_line, columns, path, None if fps is None else 1.0 / fps
    )

    owner = [node for node in nodes for _ in node.channels]
    if not np.isfinite(values).all():
        frame, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{path}: frame {frame}, joint {owner[column].name!r}: channel value is not finite")
    if not any(kind == "rotation" for node in nodes for kind, _ in node.channels):
        raise InputError(f"{path}: no joint has rotation channels; rotations cannot be imported")

    positions, orientations = _kinematics(nodes, values)
    rate = snap_rate(frame_time) if fps is None else float(fps)
    parents = tuple(node.parent for node in nodes)
    return checked(Motion(tuple(node.name for node in nodes), parents, positions, orientations, rate), path)


def _kinematics(nodes: list[_Node], values: Array) -> tuple[Array, Array]:
    """Positions ``(frames, joints, 3)`` and orientations ``(frames, joints, 4)`` of the ``(frames, columns)`` channels.

    Each channel is a row here, so that all that is done to it is done to neighbours in memory.
    """
    channels = torch.from_numpy(np.ascontiguousarray(values.T))
    half = torch.deg2rad(channels) / 2
    cosines, sines = half.cos(), half.sin()
    translations: list[Sequence[torch.Tensor]] = []
    rotations: list[Sequence[torch.Tensor] | None] = []
    column = 0
    for node in nodes:
        translation = list(torch.tensor(node.offset, dtype=torch.float64))
        turns: list[int] = []
        for kind, axis in node.channels:
            if kind == "position":
                translation[axis] = channels[column]
            else:
                turns.append(column)
            column += 1
        axes = [axis for kind, axis in node.channels if kind == "rotation"]
        translations.append(translation)
        own = turned([cosines[i] for i in turns], [sines[i] for i in turns], axes, len(values)) if turns else None
        rotations.append(own)
    return chained([node.parent for node in nodes], translations, rotations, len(values))


# -- writing ---------------------------------------------------------------------------------------------

#: End sites of the written file, metres in the joint's own frame: purely for the eye.
END_SITES: dict[str, tuple[float, float, float]] = {
    "left_foot": (0.0, 0.0, 0.06), "right_foot": (0.0, 0.0, 0.06), "head": (0.0, 0.18, 0.0),
    "left_wrist": (0.09, 0.0, 0.0), "right_wrist": (-0.09, 0.0, 0.0),
}  # fmt: skip


def _local_translations(positions: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Each smpl22 joint's position in its parent's frame ``(frames, 22, 3)``; the root's is its position."""
    skeleton = SKELETONS["smpl22"]
    turned: dict[int, torch.Tensor] = {}
    local = positions.clone()
    for joint in skeleton.topological_order:
        parent = skeleton.parents[joint]
        if parent < 0:
            turned[joint] = rotations[:, joint]
            continue
        turned[joint] = product(turned[parent], rotations[:, joint])
        back = turned[parent] * turned[parent].new_tensor([-1.0, -1.0, -1.0, 1.0])
        local[:, joint] = acted(back, positions[:, joint] - positions[:, parent])
    return local


def rest_offsets(positions: ArrayLike, rotations: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The T-pose of a clip: each smpl22 joint's mean position in its parent's frame.

    Args:
        positions: ``(frames, 22, 3)`` metres.
        rotations: ``(frames, 22, 4)`` unit quaternions xyzw, relative to the parent.

    Returns:
        ``(22, 3)`` offsets in metres (zero for the pelvis), and ``(22,)`` the largest distance in metres of
        any frame from that offset: zero where the joint is rigid in its parent's frame, so that forward
        kinematics of the rotations reproduces the positions.
    """
    p = torch.as_tensor(np.asarray(positions, dtype=np.float64))
    q = torch.as_tensor(np.asarray(rotations, dtype=np.float64))
    local = _local_translations(p, q)
    local[:, SKELETONS["smpl22"].root] = 0.0
    mean = local.mean(0)
    return mean.numpy(), (local - mean).norm(dim=-1).amax(0).numpy()


def continuous_angles(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """ZXY angles of a clip ``(frames, joints, 3)`` in degrees, each frame's as near to the last one's as they go.

    (z, x, y) and (z + 180, 180 - x, y + 180) are one rotation, and so is each angle plus 360: programs that
    interpolate the angles must not see them jump.
    """
    result = angles.copy()
    for frame in range(1, len(angles)):
        before, own = result[frame - 1], angles[frame]
        turned = np.stack([own[:, 0] + 180.0, 180.0 - own[:, 1], own[:, 2] + 180.0], -1)
        near, far = (a - 360.0 * np.round((a - before) / 360.0) for a in (own, turned))
        swap = np.abs(far - before).sum(-1) < np.abs(near - before).sum(-1)
        result[frame] = np.where(swap[:, None], far, near)
    return result


def write_bvh(path: str | Path, positions: ArrayLike, rotations: ArrayLike, fps: float) -> None:
    """Write smpl22 poses as BVH: centimetres, y up, joints named as in smpl22, T-pose at zero channels.

    A joint that is not rigid in its parent's frame (to 0.2 mm) gets position channels, so that the file holds
    the given positions whatever they are; `read_bvh` gives them back.

    Args:
        path: the file; it is replaced in one step.
        positions: ``(frames, 22, 3)`` metres, absolute, y up.
        rotations: ``(frames, 22, 4)`` unit quaternions xyzw relative to the parent, the pelvis' global.
        fps: frames per second.

    Raises:
        InputError: wrong shapes, values that are not finite, a rate that is not positive.
    """
    p = np.asarray(positions, dtype=np.float64)
    q = np.asarray(rotations, dtype=np.float64)
    if p.ndim != 3 or p.shape[1:] != (22, 3) or q.shape != (*p.shape[:2], 4) or not len(p):
        raise InputError(
            f"write_bvh: positions {p.shape} and rotations {q.shape}; expected (frames, 22, 3) and (frames, 22, 4)"
        )
    if not (np.isfinite(p).all() and np.isfinite(q).all()):
        raise InputError("write_bvh: positions or rotations are not finite; drop those frames first")
    if not (np.isfinite(fps) and fps > 0):
        raise InputError(f"write_bvh: fps is {fps}; expected a positive number")
    skeleton = SKELETONS["smpl22"]
    offsets, slack = rest_offsets(p, q)
    local = _local_translations(torch.as_tensor(p), torch.as_tensor(q)).numpy() * 100.0
    angles = continuous_angles(zxy_angles(torch.as_tensor(q)).numpy())

    lines = ["HIERARCHY"]
    columns: list[NDArray[np.float64]] = []

    def emit(joint: int, depth: int) -> None:
        pad = "  " * depth
        name = skeleton.joints[joint]
        moving = depth == 0 or slack[joint] > RIGID_TOLERANCE
        lines.append(f"{pad}{'ROOT' if depth == 0 else 'JOINT'} {name}")
        lines.append(f"{pad}{{")
        lines.append(f"{pad}  OFFSET " + " ".join(f"{v:.6f}" for v in (offsets[joint] * 100.0).tolist()))
        places = "Xposition Yposition Zposition " if moving else ""
        lines.append(f"{pad}  CHANNELS {6 if moving else 3} {places}Zrotation Xrotation Yrotation")
        if moving:
            columns.append(local[:, joint])
        columns.append(angles[:, joint])
        for child, parent in enumerate(skeleton.parents):
            if parent == joint:
                emit(child, depth + 1)
        if name in END_SITES:
            site = " ".join(f"{v * 100.0:.6f}" for v in END_SITES[name])
            lines.extend((f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {site}", f"{pad}  }}"))
        lines.append(f"{pad}}}")

    emit(skeleton.root, 0)
    lines += ["MOTION", f"Frames: {len(p)}", f"Frame Time: {1.0 / fps:.9f}"]
    make_folder(Path(path).parent, path)
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
        for start in range(0, len(p), _WRITTEN):
            table = np.concatenate([values[start : start + _WRITTEN] for values in columns], axis=1)
            row = " ".join(["%.6f"] * table.shape[1]) + "\n"
            file.write((row * len(table) % tuple(table.ravel().tolist())).encode())
