"""One way to spell a joint, whatever the file's: sides in front or behind, camel case, dots, letters.

Nothing is decided here about what a word means in a data set: "left_foot" stays a foot, "hip" a hip.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["PAIRED", "canonical_joint_name", "spell"]

_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
#: Words that say only that it is a joint.
_EMPTY = frozenset({"joint", "keypoint", "landmark", "marker"})


def _table(text: str) -> dict[str, str]:
    """``"shoulder: sho shldr, ..."`` as every spelling (without separators) -> ours."""
    found = {}
    for entry in text.split(","):
        ours, _, others = entry.strip().partition(":")
        found[ours.replace("_", "")] = ours
        found |= dict.fromkeys(others.split(), ours)
    return found


#: Parts that have a side; rigs' names of the limbs too.
PAIRED = _table(
    "eye, eye_inner: innereye, eye_outer: outereye, ear, mouth: mouthcorner, shoulder: sho shldr shoulders,"
    "elbow: elb elbo, wrist: wri wrst, hip: hips, knee: kne knees, ankle: ank ankl, heel: heels,"
    "big_toe: toebig bigtoes, small_toe: toesmall littletoe, foot_index: toeindex, foot: feet, toe: toes,"
    "hand, hand_tip: tiphand, thumb, index, pinky, collar: clavicle clav, up_leg: upperleg thigh, leg: lowerleg shin,"
    "arm: upperarm, fore_arm: lowerarm, toe_base"
)
_MIDDLE = _table(
    "nose, neck, head: centerhead headcenter midhead,"
    "head_top: tophead headtip topofhead topofthehead headtopend headvertex crown vertex,"
    "upper_neck: neckupper headbottom bottomhead, neck_base: baseneck, neck_nose, jaw, chin, forehead,"
    "thorax: midshoulder midshoulders shouldermid centershoulder, chest,"
    " spine: middlespine, torso, belly, abdomen: abdomenlower,"
    "pelvis: midhip midhips hipmid hipcenter hipcentre hipscenter centerhip centerofhip chip midpelvis pelviscenter"
    " bodycenter,"
    "hip, hips, root, spine_base, spine_mid: midspine, spine_shoulder: shouldercenter shouldercentre,"
    "spine_navel, spine_chest, spine1, spine2, spine3, spine4"
)
#: Parts that a side may be glued to: "rwrist", "kneel" is no knee on the left.
_GLUED = {word: part for word, part in PAIRED.items() if word not in ("arm", "leg", "index", "thigh", "shin")}


@lru_cache(maxsize=4096)
def spell(name: str) -> str:
    """``side_part`` or ``part`` in our words; unknown words as they are, in lower case with ``_`` between.

    >>> [spell(n) for n in ("RAnkle", "shoulder.L", "ShoulderLeft", "rwrist", "LEFT_FOOT_INDEX", "RFoot")]
    ['right_ankle', 'left_shoulder', 'left_shoulder', 'right_wrist', 'left_foot_index', 'right_foot']
    """
    words = [word.lower() for word in _WORDS.findall(name.strip().rpartition(":")[2])]
    words = [word for word in words if word not in _EMPTY] or words
    places = [i for i, word in enumerate(words) if word in _SIDES]
    if len(places) == 1 and len(words) > 1:
        rest = words[: places[0]] + words[places[0] + 1 :]
        return f"{_SIDES[words[places[0]]]}_{PAIRED.get(''.join(rest)) or '_'.join(rest)}"
    if len(places) != 1:
        joined = "".join(words)
        middle = _MIDDLE.get(joined)
        if middle is not None:
            return middle
        glued = None if joined in PAIRED else _unglued(joined)
        if glued is not None:
            return glued
        if joined in PAIRED and not places:
            return PAIRED[joined]
    return "_".join(words) or name.strip()


def _unglued(word: str) -> str | None:
    """A word that is a side and a part: "rwrist", "leftknee", "wristr"."""
    for side in ("left", "right", "l", "r"):
        if word.startswith(side) and word[len(side) :] in _GLUED:
            return f"{_SIDES[side]}_{_GLUED[word[len(side) :]]}"
        if word.endswith(side) and word[: -len(side)] in _GLUED:
            return f"{_SIDES[side]}_{_GLUED[word[: -len(side)]]}"
    return None


_ALONE = {
    "hip": "pelvis", "root": "pelvis", "hips": "pelvis", "spine_base": "pelvis", "spine_mid": "spine",
    "chest": "thorax", "spine_shoulder": "thorax", "torso": "spine", "belly": "spine", "abdomen": "spine",
    "chin": "neck_nose",
}  # fmt: skip


def canonical_joint_name(name: str) -> str:
    """Our name of a joint that stands alone: ``"RAnkle"``, ``"ankle.R"`` and ``"r_ankle"`` are ``"right_ankle"``.

    Names in a list are told better by their company, see `poseterior.keypoints.joint_names.resolve_names`.

    >>> [canonical_joint_name(n) for n in ("RAnkle", "LHip", "HeadTop", "left-wrist", "MidHip", "RFoot")]
    ['right_ankle', 'left_hip', 'head_top', 'left_wrist', 'pelvis', 'right_ankle']
    """
    found = spell(name)
    # Human3.6M's RFoot is the ankle; a written-out right_foot is the ball of the foot (SMPL).
    if re.fullmatch(r"\s*[lr][\s_.\-]*foot\s*", name, re.IGNORECASE):
        return found.replace("_foot", "_ankle")
    return _ALONE.get(found, found)
