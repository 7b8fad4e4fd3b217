"""What the joints of a list mean, told by each other: data sets use the same words for different places.

"head" is the crown where a list has a face or a thorax (Halpe, Human3.6M) and the middle of the head beside a crown or
in a body model (MPI-INF-3DHP, SMPL, Kinect); a foot is the ankle where no ankle is there. Words come from
`poseterior.geometry.joint_spelling.spell`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Meaning", "meanings"]

_SIDES = ("left", "right")
_PELVIS = ("spine_base", "hips", "hip", "root")
_SPINE = ("spine_mid", "belly", "torso", "abdomen")
_FACE = ("eye", "ear", "mouth", "eye_inner")
_TOES = ("big_toe", "small_toe", "heel", "foot_index")
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_KINECT = ("spine_base", "spine_mid", "spine_shoulder", "spine_navel", "spine_chest")
#: DeepLabCut's human model numbers its sides (MPII's order: the right one first).
_NUMBERED = {f"{part}_{number}": f"{side}_{part}" for part in _LIMBS for number, side in ((1, "right"), (2, "left"))}


@dataclass(frozen=True)
class Meaning:
    """What the words of one list mean.

    Attributes:
        joints: our joint for each word, None where it is none; words that we do not know are left as they are.
        doubt: a word of the list that may mean two joints, and is read as the joint here; None where none does.
    """

    joints: tuple[str | None, ...]
    doubt: tuple[str, str] | None = None


class _List:
    """Questions to the words of a list."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = frozenset(words)

    def any(self, *words: str) -> bool:
        return not self.words.isdisjoint(words)

    def all(self, *words: str) -> bool:
        return self.words.issuperset(words)

    def paired(self, *parts: str) -> bool:
        """Whether one of the parts is there, on either side."""
        return any(f"{side}_{part}" in self.words for part in parts for side in _SIDES)

    @property
    def pelvis(self) -> bool:
        return self.any("pelvis", *_PELVIS)

    @property
    def spine(self) -> bool:
        return self.any("spine", *_SPINE)

    @property
    def body_model(self) -> bool:
        """SMPL, Kinect, MPI-INF-3DHP's 28 joints: skeletons whose head is a joint inside it."""
        return (
            self.any("spine1", "spine2", "spine3", "spine4", *_KINECT)
            or self.paired("collar", "hand_tip")
            or (self.paired("foot") and self.paired("ankle"))
        )


def meanings(words: Sequence[str]) -> Meaning:
    """Our joints for the words of a whole list, see the module."""
    if {"ankle_1", "ankle_2", "knee_1", "knee_2", "chin", "forehead"} <= set(words):
        words = [_NUMBERED.get(word, word) for word in words]
    have = _List(words)
    head, doubt = _head(have) if have.any("head") else (None, False)
    table: dict[str, str | None] = {"head": head}
    rules: tuple[Callable[[_List, str | None], dict[str, str | None]], ...]
    rules = (_trunk, _neck, _face, _feet)
    for rule in rules:
        table |= rule(have, head)
    if have.paired("up_leg", "fore_arm"):
        table |= _rig(have)
    return Meaning(tuple(table.get(word, word) for word in words), ("head", "head") if doubt else None)


def _head(have: _List) -> tuple[str, bool]:
    """Which place "head" is, and whether that is in doubt."""
    if have.any("head_top") or have.body_model or have.paired("up_leg", "fore_arm"):
        return "head", False
    if have.any("neck_nose", "neck_base", "thorax", "upper_neck", "nose") or have.paired(*_FACE, *_TOES, "neck"):
        return "head_top", False  # Human3.6M, MPII; Halpe and Sports2D; MPII-TRB by the outline of its neck
    if have.any("neck", "head") and have.spine and not have.pelvis:
        return "head", False  # JHMDB
    if have.any("neck") and not have.pelvis and not have.spine and have.paired("ankle") and have.paired("wrist"):
        return "head_top", False  # LSP, AI Challenger, CrowdPose, OpenPose's MPI
    return "head", True


def _human36m_with_nose(have: _List, head: str | None) -> bool:
    """Human3.6M whose Neck/Nose is called a nose: a trunk with a spine, no face and no toes."""
    trunk = have.pelvis and have.spine and have.any("neck", "thorax")
    return trunk and _crowned(have, head) and have.any("nose") and not have.paired(*_FACE, *_TOES)


def _crowned(have: _List, head: str | None) -> bool:
    return head == "head_top" or have.any("head_top")


def _first(have: _List, ours: str, words: Sequence[str]) -> dict[str, str | None]:
    """The first of the words that is there means our joint, unless this is there itself; the others mean nothing."""
    present = [word for word in words if have.any(word)]
    table: dict[str, str | None] = dict.fromkeys(present)
    if present and not have.any(ours):
        table[present[0]] = ours
    return table


def _trunk(have: _List, head: str | None) -> dict[str, str | None]:
    table = _first(have, "pelvis", _PELVIS) | _first(have, "spine", _SPINE) | _first(have, "thorax", ["spine_shoulder"])
    if have.any("hip", "hips") and not have.paired("hip") and have.any("knee", "ankle", "wrist", "elbow"):
        table |= {"hip": None, "hips": None}  # limbs without a side: no pelvis either
    if have.any("neck", "thorax", "spine_shoulder"):
        mpi = have.all("head", "neck") and not have.pelvis and not have.spine
        table["chest"] = "spine" if mpi else None
    else:
        table["chest"] = "thorax"
    return table


def _neck(have: _List, head: str | None) -> dict[str, str | None]:
    if _human36m_with_nose(have, head):
        # "neck, nose, head" are Human3.6M's thorax, Neck/Nose and crown, unless the thorax has its own name.
        return {"nose": "neck_nose"} if have.any("thorax") else {"nose": "neck_nose", "neck": "thorax"}
    table: dict[str, str | None] = {}
    if have.any("spine_shoulder") and have.any("neck"):
        table["neck"] = "upper_neck"  # Kinect's is above the shoulders' middle
    if have.any("upper_neck") and have.any("thorax") and _crowned(have, head) and not have.any("neck"):
        table["upper_neck"] = "neck"  # mpii16's name of it
    if have.any("neck_base"):
        table["neck_base"] = "neck_nose" if have.any("thorax") else "neck"
        if have.any("neck", "neck_nose"):
            table["neck_base"] = None
    return table


def _face(have: _List, head: str | None) -> dict[str, str | None]:
    table: dict[str, str | None] = _first(have, "neck_nose", ("chin", "jaw"))
    if have.any("jaw") and have.body_model:
        table["jaw"] = None  # SMPL-X's hinge
    table["forehead"] = "head_top" if have.any("chin") and not have.any("head_top", "head") else None
    return table


def _feet(have: _List, head: str | None) -> dict[str, str | None]:
    return {} if have.paired("ankle") else {f"{side}_foot": f"{side}_ankle" for side in _SIDES}


def _rig(have: _List) -> dict[str, str | None]:
    """Rigs (Mixamo, Vicon) name a limb by the bone below its joint."""
    parts = {"up_leg": "hip", "leg": "knee", "foot": "ankle", "toe_base": "foot", "arm": "shoulder",
             "fore_arm": "elbow", "hand": "wrist"}  # fmt: skip
    if have.paired("arm"):
        parts["shoulder"] = "collar"
    parts = {word: ours for word, ours in parts.items() if word == "shoulder" or not have.paired(ours)
             or ours in ("foot", "shoulder")}  # fmt: skip
    table: dict[str, str | None] = {f"{s}_{word}": f"{s}_{ours}" for word, ours in parts.items() for s in _SIDES}
    if have.all("spine", "spine1", "spine2"):
        table |= {"spine": "spine1", "spine1": "spine2", "spine2": "spine3"}
    elif have.all("spine", "spine1"):
        table |= {"spine": None, "spine1": None}
    return table
