"""Names of bones as programs spell them: prefix, side, part of the body.

``mixamorig:LeftUpLeg``, ``Bip01 L Thigh``, ``DEF-thigh.L``, ``lThighBend``, ``thigh_l`` and ``left_hip`` are all the
left thigh. What a part is, only its place in the tree can say (a ``shoulder`` is a collar bone where an ``arm``
follows, else the upper arm): `roles` gives every meaning a name may have, the likeliest first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = [
    "LIMBS",
    "is_helper",
    "roles",
    "split_side",
    "strip_prefixes",
]

#: Parts of a limb from the trunk outwards.
LIMBS: dict[str, tuple[str, ...]] = {
    "leg": ("thigh", "shin", "foot", "toe"),
    "arm": ("collar", "upper_arm", "forearm", "hand"),
}

_SIDES = {"l": "left", "left": "left", "lft": "left", "lf": "left", "r": "right", "right": "right", "rgt": "right",
          "rt": "right"}  # fmt: skip

#: Spelling -> what it may be, the likeliest first.
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("upleg", "upperleg", "thigh", "thighbend", "femur", "uleg", "legupper", "hip", "upperlegs"),
                    ("thigh",)),
    **dict.fromkeys(("lowerleg", "lowleg", "knee", "shin", "calf", "tibia", "shank", "crus", "leglower", "lowerlegs"),
                    ("shin",)),
    "hipjoint": ("hip bone", "thigh"),  # CMU's, from the pelvis to the hip
    "leg": ("shin", "thigh"),
    "ankle": ("foot",),
    "foot": ("foot", "toe"),
    **dict.fromkeys(("toe", "toes", "toebase", "ball", "forefoot", "footindex", "football", "footmod"), ("toe",)),
    **dict.fromkeys(("collar", "clavicle", "clav", "scapula", "shoulderblade"), ("collar",)),
    "shoulder": ("collar", "upper_arm"),
    **dict.fromkeys(("upperarm", "uparm", "humerus", "shldr", "shldrbend", "armupper", "uarm", "upperarmbend"),
                    ("upper_arm",)),
    "arm": ("upper_arm", "forearm"),
    **dict.fromkeys(("forearm", "lowerarm", "lowarm", "elbow", "radius", "forearmbend", "armlower", "ulna", "lowarms"),
                    ("forearm",)),
    **dict.fromkeys(("hand", "wrist"), ("hand",)),
}  # fmt: skip

_MIDDLE: dict[str, str] = {
    **dict.fromkeys(("head", "skull", "face"), "head"),
    **dict.fromkeys(("neck", "necklower", "neckupper", "lowerneck", "upperneck", "necktwist"), "neck"),
    **dict.fromkeys(("hips", "hip", "pelvis", "root"), "pelvis"),
    **dict.fromkeys(
        ("spine", "chest", "back", "abdomen", "abdomenlower", "abdomenupper", "chestlower", "chestupper", "torso",
         "waist", "lowerback", "upperback", "thorax", "upperchest", "lowerchest", "ribcage", "lumbar", "lspine",
         "spinelower", "spineupper", "l", "t", "lumbarspine", "ribs"), "trunk"),
    **dict.fromkeys(("tail", "tailbase", "muzzle", "snout", "hoof", "paw", "wing", "mane"), "animal"),
}  # fmt: skip

#: Bones that follow or steer others: no joint of a body is one of them.
_HELPER = re.compile(
    r"twist|share|roll|helper|\bik\b|pole|ctrl|control|target|offset|null|corrective|leaf|prop|pocket|jiggle|breast"
    r"|muscle|mch|tweak|heel|nub|dummy|ghost|effector|marker|finger|thumb|index(?!mod)|middle|ring|pinky|mid\d|carpal"
    r"|bigtoe|pinkytoe|ringtoe|midtoe|eye|jaw|tongue|teeth|hair|lid|brow|cheek|lip|ear\b|nose|pectoral|butt|glute"
)

#: Words that say what program wrote the file, not which bone this is.
_NOISE = frozenset(
    {"bip", "biped", "bone", "bones", "joint", "jnt", "jt", "bind", "bnd", "def", "org", "base", "cc", "character",
     "sk", "skin", "skel", "skeleton", "valve", "valvebiped", "b", "j", "c", "m", "f", "avg", "rig", "mixamorig",
     "armature", "g", "env", "bn", "rp", "genesis", "female", "male", "hik", "reference", "main", "actor", "grp", "geo"}
)  # fmt: skip


def _tokens(name: str) -> list[str]:
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)


def strip_prefixes(names: Sequence[str]) -> list[str]:
    """The names without what is before the last ``:`` or ``|``, and without what all of them begin with.

    What is common ends at a separator: ``CC_Base_Hip`` and ``CC_Base_Pelvis`` are ``Hip`` and ``Pelvis``, whereas
    ``LeftArm`` and ``LeftLeg`` stay whole.
    """
    bare = [re.split(r"[:|]", name)[-1].strip() or name for name in names]
    begun = [name for name in bare if len(_tokens(name)) > 1]
    if len(begun) > 3:
        first, last = min(begun), max(begun)  # all begin as these two do
        same = [a == b for a, b in zip(first, last, strict=False)]
        common = first[: same.index(False) if False in same else len(same)]
        cut = max(common.rfind(mark) for mark in "_- .") + 1
        if cut and not any(token.lower() in _SIDES for token in _tokens(common[:cut])):
            return [name[cut:] if name.startswith(common[:cut]) and len(name) > cut else name for name in bare]
    return bare


def split_side(name: str) -> tuple[str, str]:
    """``("left" | "right" | "", part)``: the side a name says, and the rest of it in small letters without marks.

    >>> [split_side(n) for n in ("LeftUpLeg", "thigh.L", "lfemur", "lowerback", "Bip01 R Toe0")]
    [('left', 'upleg'), ('left', 'thigh'), ('left', 'femur'), ('', 'lowerback'), ('right', 'toe')]
    """
    words = [token.lower() for token in _tokens(name) if not token.isdigit()]
    sides = [i for i, word in enumerate(words) if word in _SIDES]
    if len(sides) == 1:
        side = _SIDES[words[sides[0]]]
        return side, _part([*words[: sides[0]], *words[sides[0] + 1 :]])
    part = _part(words)
    if part not in _PARTS and part not in _MIDDLE:
        for begin, side in (("left", "left"), ("right", "right"), ("l", "left"), ("r", "right")):
            for rest in (part.removeprefix(begin), part.removesuffix(begin)):
                if rest != part and (rest in _PARTS):
                    return side, rest
    return "", part


def _part(words: Sequence[str]) -> str:
    whole = "".join(words)
    if whole in _PARTS or whole in _MIDDLE:
        return whole
    return "".join(word for word in words if word not in _NOISE)


def is_helper(name: str) -> bool:
    """Whether the name is that of a bone which no joint of the body is: twist and face bones, fingers, controls."""
    return bool(_HELPER.search(" ".join(_tokens(name)).lower()) or _HELPER.search("".join(_tokens(name)).lower()))


def roles(name: str) -> tuple[str, tuple[str, ...]]:
    """The side of a bone and what it may be: parts of `LIMBS`, or head, neck, pelvis, trunk, animal; () if unknown."""
    side, part = split_side(name)
    if side:
        return side, () if is_helper(name) else _PARTS.get(part, ())
    middle = _MIDDLE.get(part)
    return "", (middle,) if middle else ()
