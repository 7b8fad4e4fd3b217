"""ASF skeletons and AMC motions (Acclaim), as the CMU Graphics Lab publishes them.

A bone turns about axes of its own: with the axis rotation ``A`` and the frame's rotation ``M``, both composed
in the order that the ``axis`` line names (first letter first, about fixed axes), a bone's orientation is its
parent's times ``A M A^-1`` and its vector is ``length * direction`` turned by that. Zero channels give the
skeleton's rest pose. Joint limits are ignored, as the published motions exceed them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from ...files.checks import quote
from ...files.errors import InputError
from ...files.reading import reader
from .motion import Motion, checked, euler_to_quaternion, forward_kinematics_quaternion

__all__ = [
    "AsfSkeleton",
    "find_asf",
    "read_amc",
    "read_asf",
]

_INCH = 0.0254
_AXES = {"x": 0, "y": 1, "z": 2}


@dataclass(frozen=True)
class _Bone:
    name: str
    parent: int
    offset: tuple[float, float, float]  # metres, global axes at rest
    axis: tuple[float, float, float]  # radians
    order: tuple[int, ...]  # composition order of axis and motion angles
    dof: tuple[str, ...]  # the AMC's columns, of tx ty tz rx ry rz l


@dataclass(frozen=True)
class AsfSkeleton:
    """A parsed ASF file.

    Attributes:
        name: stem of the file.
        bones: the root first, then parents before children.
        unit: metres in one length unit of the AMC files.
        degrees: whether angles are in degrees.
    """

    name: str
    bones: tuple[_Bone, ...]
    unit: float
    degrees: bool

    @property
    def joints(self) -> tuple[str, ...]:
        """``"root"``, then each bone's name: it stands for the bone's END."""
        return tuple(bone.name for bone in self.bones)


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    stripped = ((number, line.split("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [(number, line) for number, line in stripped if line]


def _numbers(words: list[str], count: int, where: str) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in words[:count])
    except ValueError:
        values = ()
    if len(values) != count or not np.isfinite(values).all():
        raise InputError(f"{where}: expected {count} finite number(s), found {quote(' '.join(words) or 'nothing')}")
    return values


def _order(word: str, where: str) -> tuple[int, ...]:
    if sorted(word.lower()) != ["x", "y", "z"]:
        raise InputError(f"{where}: rotation order {quote(word)}; expected a permutation of XYZ")
    return tuple(_AXES[letter] for letter in word.lower())


def _sections(path: Path) -> dict[str, list[tuple[int, str]]]:
    sections: dict[str, list[tuple[int, str]]] = {}
    current: list[tuple[int, str]] = []
    for number, line in _lines(path):
        if line.startswith(":"):
            head, _, rest = line[1:].partition(" ")
            current = sections.setdefault(head.lower(), [])
            if rest.strip():
                current.append((number, rest.strip()))
        else:
            current.append((number, line))
    for needed in ("root", "bonedata", "hierarchy"):
        if needed not in sections:
            raise InputError(f"{path}: no ':{needed}' section; not an ASF skeleton, or truncated")
    return sections


@reader()
def read_asf(path: str | Path) -> AsfSkeleton:
    """Read an ASF skeleton.

    ``:units length L`` means that one unit is ``1 / L`` inch.

    Raises:
        InputError: a section or a bone's field is missing or no number; names file, line and bone.
    """
    path = Path(path)
    sections = _sections(path)
    length, degrees = 1.0, True
    for number, line in sections.get("units", []):
        key, *words = line.split()
        if key.lower() == "length":
            (length,) = _numbers(words, 1, f"{path}, line {number}: units length")
            if length <= 0:
                raise InputError(f"{path}, line {number}: units length {length}; expected a positive number")
        elif key.lower() == "angle":
            degrees = not (words and words[0].lower().startswith("rad"))
    unit = _INCH / length
    to_radians = np.pi / 180 if degrees else 1.0

    root = {line.split()[0].lower(): (number, line.split()[1:]) for number, line in sections["root"]}
    number, words = root.get("order", (0, ["TX", "TY", "TZ", "RX", "RY", "RZ"]))
    dof = tuple(word.lower() for word in words)
    order = _order(root["axis"][1][0], f"{path}, root axis") if root.get("axis", (0, []))[1] else (0, 1, 2)
    position = _numbers(root.get("position", (0, ["0"] * 3))[1], 3, f"{path}, root position")
    turn = _numbers(root.get("orientation", (0, ["0"] * 3))[1], 3, f"{path}, root orientation")
    bones = {
        "root": _Bone(
            "root",
            -1,
            _triple(position, unit),
            _triple(turn, to_radians),
            order,
            _check_dof(dof, path, number, "root"),
        )
    }

    raw: dict[str, _Bone] = {}
    fields: dict[str, tuple[int, list[str]]] = {}
    for number, line in sections["bonedata"]:
        key, *words = line.split()
        key = key.lower()
        if key == "begin":
            fields = {}
        elif key == "end":
            bone = _bone(fields, number, path, unit, to_radians)
            if bone.name in raw:
                raise InputError(f"{path}, line {number}: bone {quote(bone.name)} appears twice")
            raw[bone.name] = bone
        elif not key.startswith("("):  # further lines of `limits`
            fields[key] = (number, words)

    for number, line in sections["hierarchy"]:
        parent, *children = line.split()
        if parent.lower() in ("begin", "end"):
            continue
        for child in children:
            if parent not in bones or child not in raw or child in bones:
                raise InputError(
                    f"{path}, line {number}: hierarchy {quote(line)}: each bone must be defined in ':bonedata' and "
                    "hang once below a bone that came before"
                )
            bone = raw[child]
            bones[child] = _Bone(child, list(bones).index(parent), bone.offset, bone.axis, bone.order, bone.dof)
    return AsfSkeleton(path.stem, tuple(bones.values()), unit, degrees)


def _triple(values: tuple[float, ...], scale: float) -> tuple[float, float, float]:
    x, y, z = values
    return x * scale, y * scale, z * scale


def _check_dof(dof: tuple[str, ...], path: Path, line: int, bone: str) -> tuple[str, ...]:
    unknown = [word for word in dof if word not in ("tx", "ty", "tz", "rx", "ry", "rz", "l")]
    if unknown:
        raise InputError(f"{path}, line {line}: bone {bone!r}: unknown degree of freedom {quote(unknown[0])}")
    return dof


def _bone(fields: dict[str, tuple[int, list[str]]], end: int, path: Path, unit: float, to_radians: float) -> _Bone:
    if not fields.get("name", (0, []))[1]:
        raise InputError(f"{path}, line {end}: a bone without a name")
    name = fields["name"][1][0]
    for needed in ("direction", "length", "axis"):
        if needed not in fields:
            raise InputError(f"{path}, line {end}: bone {name!r} has no {needed!r}")

    def numbers(key: str, count: int) -> tuple[float, ...]:
        line, words = fields[key]
        return _numbers(words, count, f"{path}, line {line}: bone {name!r}, {key}")

    direction = np.asarray(numbers("direction", 3))
    (length,) = numbers("length", 1)
    norm = float(np.linalg.norm(direction))
    offset = direction / norm * length if norm > 0 else direction
    line, words = fields["axis"]
    order = _order(words[3] if len(words) > 3 else "XYZ", f"{path}, line {line}: bone {name!r}, axis")
    line, words = fields.get("dof", (0, []))
    dof = _check_dof(tuple(word.lower() for word in words), path, line, name)
    return _Bone(name, -1, _triple(tuple(offset), unit), _triple(numbers("axis", 3), to_radians), order, dof)


def _read_frames(path: Path, skeleton: AsfSkeleton) -> dict[str, np.ndarray]:
    """Bone -> ``(frames, dof)`` values as in the file."""
    needed = {bone.name: len(bone.dof) for bone in skeleton.bones if bone.dof}
    values: dict[str, list[list[str]]] = {name: [] for name in needed}
    frames, expected = 0, None
    for number, line in _lines(path):
        if line.startswith(":"):
            continue
        name, *words = line.split()
        if not words and re.fullmatch(r"\d+", name):
            _complete(values, frames, path, expected)
            frames += 1
            expected = int(name)
            continue
        if name not in needed:
            raise InputError(
                f"{path}, line {number}: bone {quote(name)} has no degrees of freedom in skeleton {skeleton.name!r}; "
                "the AMC belongs to another ASF"
            )
        if len(words) != needed[name] or len(values[name]) != frames - 1:
            raise InputError(
                f"{path}, line {number}: bone {name!r} has {len(words)} value(s) in frame {expected}; "
                f"skeleton {skeleton.name!r} expects {needed[name]}, once per frame"
            )
        values[name].append(words)
    _complete(values, frames, path, expected)
    if frames == 0:
        raise InputError(f"{path}: no frames; not an AMC motion, or truncated")
    arrays = {}
    for name, rows in values.items():
        try:
            arrays[name] = np.array(rows, dtype=np.float64)
        except ValueError:
            raise InputError(f"{path}: bone {name!r} has a value that is no number") from None
        bad = ~np.isfinite(arrays[name]).all(1)
        if bad.any():
            raise InputError(f"{path}: bone {name!r}: value is not finite in frame {int(bad.argmax())} (from 0)")
    return arrays


def _complete(values: dict[str, list[list[str]]], frames: int, path: Path, label: int | None) -> None:
    short = [name for name, rows in values.items() if len(rows) != frames]
    if short:
        raise InputError(f"{path}: frame {label}: no values for bone {short[0]!r}; the file may be truncated")


@reader()
def read_amc(path: str | Path, skeleton: AsfSkeleton | str | Path, fps: float = 120.0) -> Motion:
    """Read an AMC motion and run its forward kinematics.

    Args:
        path: the AMC file.
        skeleton: its ASF skeleton, parsed or a path.
        fps: frames per second, which AMC does not say; CMU's are 120.

    Returns:
        The motion in metres. Joint ``b`` is the END of bone ``b`` and its orientation the bone's turn away from
        the rest pose (the identity at zero channels).

    Raises:
        InputError: a bone the skeleton lacks, a wrong number of values, a value that is no finite number.
    """
    path = Path(path)
    if not isinstance(skeleton, AsfSkeleton):
        skeleton = read_asf(skeleton)
    values = _read_frames(path, skeleton)
    frames = len(next(iter(values.values()))) if values else 0
    if frames == 0:
        raise InputError(f"{path}: skeleton {skeleton.name!r} has no degrees of freedom; nothing moves")
    to_radians = np.pi / 180 if skeleton.degrees else 1.0
    translations, rotations = [], []
    for bone in skeleton.bones:
        columns = torch.from_numpy(values.get(bone.name, np.zeros((frames, 0))))
        by_dof = {dof: columns[:, i] for i, dof in enumerate(bone.dof)}
        zero = torch.zeros(frames, dtype=torch.float64)
        angles = torch.stack([by_dof.get("r" + "xyz"[axis], zero) for axis in bone.order], 1) * to_radians
        # about fixed axes in the order named = about moving axes in the reverse order
        reverse = bone.order[::-1]
        turn = euler_to_quaternion(angles.flip(1), reverse)
        axis_angles = torch.tensor([[bone.axis[axis] for axis in reverse]], dtype=torch.float64)
        local = euler_to_quaternion(axis_angles, reverse).expand(frames, 4)
        offset = torch.tensor(bone.offset, dtype=torch.float64)
        if bone.parent < 0:
            rotations.append(roma.quat_product(local, turn))
            step = offset.repeat(frames, 1)
        else:
            rotations.append(roma.quat_product(roma.quat_product(local, turn), roma.quat_conjugation(local)))
            step = offset.repeat(frames, 1)
            if "l" in by_dof:  # stretch along the bone
                along = offset / offset.norm().clamp(min=1e-12)
                step = step + by_dof["l"][:, None] * skeleton.unit * along
        for i, dof in enumerate(("tx", "ty", "tz")):
            if dof in by_dof:
                step[:, i] += by_dof[dof] * skeleton.unit
        # a bone's own rotation turns its own vector: express the step in the parent's frame
        translations.append(step if bone.parent < 0 else roma.quat_action(rotations[-1], step))
    parents = tuple(bone.parent for bone in skeleton.bones)
    positions, orientations = forward_kinematics_quaternion(parents, translations, rotations)
    return checked(Motion(skeleton.joints, parents, positions, orientations, fps), path)


def find_asf(amc: str | Path) -> Path:
    """The skeleton of an AMC file: the ASF of the same folder whose name begins its name, or the only one.

    Raises:
        InputError: none, or several that fit equally.
    """
    amc = Path(amc)
    candidates = sorted(p for p in amc.parent.iterdir() if p.suffix.lower() == ".asf")
    named = [p for p in candidates if amc.stem == p.stem or amc.stem.startswith(p.stem + "_")]
    if len(named) == 1:
        return named[0]
    if len(candidates) == 1:
        return candidates[0]
    raise InputError(
        f"{amc}: {len(candidates)} ASF skeletons in its folder, {len(named)} of a fitting name; "
        f"put its skeleton beside it, named e.g. {amc.stem.split('_')[0]}.asf"
    )
