"""Rigs by name: one YAML file each, joint names only; everything else is computed from the file at hand.

A file holds ``name``, ``about``, ``joints`` (smpl22 joint -> joint of the rig) and, where they are known, ``unit``
(m, cm, mm, in, ft or metres in one unit), ``licence``, and ``sides``, two spellings that replace ``?`` in the names of
joints given for both sides as ``"*_knee"``. Motions are read by these names and written on them; for writing, a file
may hold ``prefix``, put before each name, and ``more`` joints, which a file that is read need not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from ....files.checks import quote
from ....files.errors import InputError
from ....geometry.skeletons import SKELETONS
from ..rig_names import strip_prefixes
from ..units import metres_in

__all__ = [
    "Rig",
    "load_rig",
    "matching_rig",
    "shipped_rigs",
]

_KEYS = {"name", "about", "joints", "unit", "licence", "sides", "prefix", "more"}
#: Short names.
_ALSO = {"cmu": "cmu-motionbuilder", "cc": "iclone", "bandai": "bandai-namco", "smpl22": "smpl"}
_LARGEST = 1_000_000
_SMPL = SKELETONS["smpl22"]


@dataclass(frozen=True)
class Rig:
    """The joint names of a rig.

    Attributes:
        name: short name.
        about: one line.
        joints: smpl22 joint -> the rig's joint.
        scale: metres in one unit, None where the rig has no usual one.
        licence: terms of the data that use it.
        written: smpl22 joint -> its name in full, in a motion written on the rig; joints that it lacks are left out.
    """

    name: str
    about: str
    joints: Mapping[str, str]
    scale: float | None = None
    licence: str = ""
    written: Mapping[str, str] = field(default_factory=dict)


def _parse(text: str, where: str) -> Rig:
    import yaml

    try:
        data: Any = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{where}: not YAML ({' '.join(str(error).split())[:200]})") from None
    if isinstance(data, dict) and data and {str(key).replace("*", "left") for key in data} <= set(_SMPL.joints):
        data = {"joints": data}  # nothing but names
    if not isinstance(data, dict) or not isinstance(data.get("joints"), dict):
        raise InputError(f"{where}: expected 'joints:' with a joint of the rig for each smpl22 joint")
    unknown = [key for key in data if key not in _KEYS]
    if unknown:
        raise InputError(f"{where}: unknown entry {quote(unknown[0])}; known: {', '.join(sorted(_KEYS))}")
    sides = data.get("sides", ["Left", "Right"])
    if not (isinstance(sides, list) and len(sides) == 2 and all(isinstance(side, str) for side in sides)):
        raise InputError(f"{where}: sides: expected two spellings, as in [Left, Right]")
    prefix, more = data.get("prefix", ""), data.get("more", {})
    if not isinstance(prefix, str):
        raise InputError(f"{where}: prefix: expected text, as in 'mixamorig:'")
    joints = _names(data["joints"], sides, f"{where}: joints")
    every = joints | _names(more if isinstance(more, dict) else {"": more}, sides, f"{where}: more")
    written = {joint: prefix + every[joint] for joint in _SMPL.joints if joint in every}
    unit = data.get("unit")
    try:
        scale = None if unit is None else metres_in(unit)
    except InputError as error:
        raise InputError(f"{where}: unit: {error}") from None
    about, licence = str(data.get("about", "")), str(data.get("licence", ""))
    return Rig(str(data.get("name", Path(where).stem)), about, joints, scale, licence, written)


def _names(entries: dict[Any, Any], sides: list[str], where: str) -> dict[str, str]:
    """smpl22 joint -> name, with those of both sides spelled out."""
    joints: dict[str, str] = {}
    for joint, name in entries.items():
        if not (isinstance(joint, str) and isinstance(name, (str, int))):
            raise InputError(f"{where}: {quote(joint)}: expected the name of a joint")
        both = joint.startswith("*_")
        for side, spelled in zip(("left", "right"), sides, strict=True) if both else (("", ""),):
            target = joint.replace("*", side)
            if target not in _SMPL.joints:
                raise InputError(f"{where}: unknown joint {quote(joint)}; known: {', '.join(_SMPL.joints)}")
            joints[target] = str(name).replace("?", spelled) if both else str(name)
    return joints


@lru_cache(maxsize=1)
def shipped_rigs() -> dict[str, Rig]:
    """The rigs that ship, by name."""
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    rigs = [_parse(file.read_text(encoding="utf-8"), file.name) for file in files if file.name.endswith(".yaml")]
    return {rig.name: rig for rig in rigs}


def load_rig(rig: str | Path) -> Rig:
    """A shipped rig by name, or a YAML file's.

    Raises:
        InputError: neither; the message lists the names.
    """
    name = _ALSO.get(str(rig), str(rig))
    if name in shipped_rigs():
        return shipped_rigs()[name]
    path = Path(rig)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise InputError(f"unknown rig {quote(str(rig))}; shipped: {', '.join(shipped_rigs())}; or name a .yaml file")
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path}: is larger than {_LARGEST} bytes; a rig is a short list of names")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text") from None
    return _parse(text, str(path))


def matching_rig(joints: Sequence[str]) -> Rig | None:
    """The shipped rig all of whose joints a skeleton has, prefixes and letter case aside; of several the fullest."""
    have = {name.lower() for spelled in (joints, strip_prefixes(joints)) for name in spelled}
    fits = []
    for rig in shipped_rigs().values():
        bare = strip_prefixes(list(rig.joints.values()))
        named = zip(rig.joints.values(), bare, strict=True)
        if all(name.lower() in have or short.lower() in have for name, short in named):
            fits.append(rig)
    return max(fits, key=lambda rig: len(rig.joints), default=None)
