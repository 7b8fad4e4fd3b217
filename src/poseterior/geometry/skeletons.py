"""Skeletons (joint names, parents, sides) and the maps between them.

A map is built by joint *name*: a target joint is copied from the source joint of the same name, else
synthesised by the first rule of :data:`RULES` whose source joints exist, else it is missing. Nothing here
depends on the order in which a skeleton lists its joints.

All indices are 0-based, "left" and "right" are the person's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from ..files.checks import quote
from ..files.errors import InputError

__all__ = [
    "RULES",
    "SKELETONS",
    "Rule",
    "Skeleton",
    "SkeletonMap",
    "canonical_joint_name",
    "get_skeleton",
    "skeleton_map",
]


@dataclass(frozen=True)
class Skeleton:
    """A named list of joints and the tree that ties them.

    Attributes:
        name: short name, e.g. ``"h36m17"``.
        joints: joint names in storage order.
        parents: index of each joint's parent, ``-1`` for the root. A parent may stand later in the order.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.joints) != len(self.parents):
            raise ValueError(f"skeleton {self.name!r}: {len(self.joints)} joints but {len(self.parents)} parents")
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"skeleton {self.name!r}: joint names repeat")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of ``joint`` in the order.

        Raises:
            ValueError: no such joint; the message lists those there are.
        """
        try:
            return self.joints.index(joint)
        except ValueError:
            raise ValueError(
                f"skeleton {self.name!r} has no joint {joint!r}; it has: {', '.join(self.joints)}"
            ) from None

    @cached_property
    def root(self) -> int:
        """Index of the (first) root joint."""
        return self.parents.index(-1)

    @cached_property
    def nonroot(self) -> tuple[int, ...]:
        """Indices of all joints but the root, in joint order: those that have a density."""
        return tuple(joint for joint in range(len(self)) if joint != self.root)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) pairs, one for each joint but the roots, in joint order."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent >= 0)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """``"left"``, ``"right"`` or ``"middle"`` for each joint, read from its name."""
        return tuple(
            "left" if joint.startswith("left_") else "right" if joint.startswith("right_") else "middle"
            for joint in self.joints
        )

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """Permutation that exchanges left and right: ``mirrored[i] = pose[mirror[i]]`` (with x negated)."""
        swap = {"left": "right", "right": "left"}
        return tuple(
            i if side == "middle" else self.index(swap[side] + joint.removeprefix(side))
            for i, (joint, side) in enumerate(zip(self.joints, self.sides, strict=True))
        )

    @cached_property
    def topological_order(self) -> tuple[int, ...]:
        """Joint indices ordered so that every parent comes before its children."""
        order: list[int] = []
        remaining = list(range(len(self)))
        while remaining:
            ready = [j for j in remaining if self.parents[j] < 0 or self.parents[j] in order]
            if not ready:
                raise ValueError(f"skeleton {self.name!r}: parents form a cycle")
            order += ready
            remaining = [j for j in remaining if j not in ready]
        return tuple(order)

    @property
    def limbs(self) -> dict[str, tuple[int, ...]]:
        """Joint indices of the four limbs without their base (hip and shoulder stay with the trunk)."""
        legs = ("knee", "ankle", "heel", "toe", "foot")
        arms = ("elbow", "wrist", "hand", "thumb", "pinky", "index")

        def limb_of(joint: str) -> str | None:
            side, _, part = joint.partition("_")
            if side not in ("left", "right"):
                return None
            # The leg first: MediaPipe's foot_index is a toe.
            kind = "leg" if part.startswith(legs) or part.endswith("toe") else "arm" if part.startswith(arms) else ""
            return f"{side}_{kind}" if kind else None

        names = [f"{side}_{kind}" for kind in ("leg", "arm") for side in ("left", "right")]
        return {n: tuple(i for i, joint in enumerate(self.joints) if limb_of(joint) == n) for n in names}


def _tree(name: str, *pairs: str) -> Skeleton:
    """Skeleton from ``"joint<parent"`` strings in storage order (no ``<`` marks a root)."""
    names = [pair.split("<")[0] for pair in pairs]
    parents = [names.index(pair.split("<")[1]) if "<" in pair else -1 for pair in pairs]
    return Skeleton(name, tuple(names), tuple(parents))


SKELETONS: dict[str, Skeleton] = {
    s.name: s
    for s in (
        # Human3.6M, the usual 17 of its 32 joints (VideoPose3D's order). "neck_nose" is the joint that H36M
        # calls Neck/Nose (about jaw height, no anatomical nose); "head_top" is H36M's Head.
        _tree(
            "h36m17",
            "pelvis", "right_hip<pelvis", "right_knee<right_hip", "right_ankle<right_knee",
            "left_hip<pelvis", "left_knee<left_hip", "left_ankle<left_knee",
            "spine<pelvis", "thorax<spine", "neck_nose<thorax", "head_top<neck_nose",
            "left_shoulder<thorax", "left_elbow<left_shoulder", "left_wrist<left_elbow",
            "right_shoulder<thorax", "right_elbow<right_shoulder", "right_wrist<right_elbow",
        ),
        # SMPL body joints 0-21 (kinematic tree of Loper et al. 2015).
        _tree(
            "smpl22",
            "pelvis", "left_hip<pelvis", "right_hip<pelvis", "spine1<pelvis", "left_knee<left_hip",
            "right_knee<right_hip", "spine2<spine1", "left_ankle<left_knee", "right_ankle<right_knee",
            "spine3<spine2", "left_foot<left_ankle", "right_foot<right_ankle", "neck<spine3",
            "left_collar<spine3", "right_collar<spine3", "head<neck", "left_shoulder<left_collar",
            "right_shoulder<right_collar", "left_elbow<left_shoulder", "right_elbow<right_shoulder",
            "left_wrist<left_elbow", "right_wrist<right_elbow",
        ),
        # Leeds Sports Pose.
        _tree(
            "lsp14",
            "right_ankle<right_knee", "right_knee<right_hip", "right_hip<neck", "left_hip<neck",
            "left_knee<left_hip", "left_ankle<left_knee", "right_wrist<right_elbow",
            "right_elbow<right_shoulder", "right_shoulder<neck", "left_shoulder<neck",
            "left_elbow<left_shoulder", "left_wrist<left_elbow", "neck", "head_top<neck",
        ),
        _tree(
            "coco17",
            "nose", "left_eye<nose", "right_eye<nose", "left_ear<left_eye", "right_ear<right_eye",
            "left_shoulder<nose", "right_shoulder<nose", "left_elbow<left_shoulder",
            "right_elbow<right_shoulder", "left_wrist<left_elbow", "right_wrist<right_elbow",
            "left_hip<left_shoulder", "right_hip<right_shoulder", "left_knee<left_hip",
            "right_knee<right_hip", "left_ankle<left_knee", "right_ankle<right_knee",
        ),
        # OpenPose BODY_25; its MidHip is our pelvis.
        _tree(
            "body25",
            "nose<neck", "neck<pelvis", "right_shoulder<neck", "right_elbow<right_shoulder",
            "right_wrist<right_elbow", "left_shoulder<neck", "left_elbow<left_shoulder",
            "left_wrist<left_elbow", "pelvis", "right_hip<pelvis", "right_knee<right_hip",
            "right_ankle<right_knee", "left_hip<pelvis", "left_knee<left_hip", "left_ankle<left_knee",
            "right_eye<nose", "left_eye<nose", "right_ear<right_eye", "left_ear<left_eye",
            "left_big_toe<left_ankle", "left_small_toe<left_ankle", "left_heel<left_ankle",
            "right_big_toe<right_ankle", "right_small_toe<right_ankle", "right_heel<right_ankle",
        ),
        # Halpe-26 (AlphaPose, RTMPose body26): COCO's 17, then head top, neck, hip centre and the feet.
        _tree(
            "halpe26",
            "nose<neck", "left_eye<nose", "right_eye<nose", "left_ear<left_eye", "right_ear<right_eye",
            "left_shoulder<neck", "right_shoulder<neck", "left_elbow<left_shoulder",
            "right_elbow<right_shoulder", "left_wrist<left_elbow", "right_wrist<right_elbow",
            "left_hip<pelvis", "right_hip<pelvis", "left_knee<left_hip", "right_knee<right_hip",
            "left_ankle<left_knee", "right_ankle<right_knee", "head_top<neck", "neck<pelvis", "pelvis",
            "left_big_toe<left_ankle", "right_big_toe<right_ankle", "left_small_toe<left_ankle",
            "right_small_toe<right_ankle", "left_heel<left_ankle", "right_heel<right_ankle",
        ),
        # MediaPipe / BlazePose landmarks.
        _tree(
            "mediapipe33",
            "nose", "left_eye_inner<nose", "left_eye<left_eye_inner", "left_eye_outer<left_eye",
            "right_eye_inner<nose", "right_eye<right_eye_inner", "right_eye_outer<right_eye",
            "left_ear<left_eye_outer", "right_ear<right_eye_outer", "left_mouth<nose", "right_mouth<nose",
            "left_shoulder<nose", "right_shoulder<nose", "left_elbow<left_shoulder",
            "right_elbow<right_shoulder", "left_wrist<left_elbow", "right_wrist<right_elbow",
            "left_pinky<left_wrist", "right_pinky<right_wrist", "left_index<left_wrist",
            "right_index<right_wrist", "left_thumb<left_wrist", "right_thumb<right_wrist",
            "left_hip<left_shoulder", "right_hip<right_shoulder", "left_knee<left_hip",
            "right_knee<right_hip", "left_ankle<left_knee", "right_ankle<right_knee",
            "left_heel<left_ankle", "right_heel<right_ankle", "left_foot_index<left_heel",
            "right_foot_index<right_heel",
        ),
        # MPI-INF-3DHP test set.
        _tree(
            "mpi17",
            "head_top<head", "neck<spine", "right_shoulder<neck", "right_elbow<right_shoulder",
            "right_wrist<right_elbow", "left_shoulder<neck", "left_elbow<left_shoulder",
            "left_wrist<left_elbow", "right_hip<pelvis", "right_knee<right_hip", "right_ankle<right_knee",
            "left_hip<pelvis", "left_knee<left_hip", "left_ankle<left_knee", "pelvis", "spine<pelvis",
            "head<neck",
        ),
        # MPII / stacked hourglass.
        _tree(
            "mpii16",
            "right_ankle<right_knee", "right_knee<right_hip", "right_hip<pelvis", "left_hip<pelvis",
            "left_knee<left_hip", "left_ankle<left_knee", "pelvis", "thorax<pelvis", "neck<thorax",
            "head_top<neck", "right_wrist<right_elbow", "right_elbow<right_shoulder",
            "right_shoulder<thorax", "left_shoulder<thorax", "left_elbow<left_shoulder",
            "left_wrist<left_elbow",
        ),
        # CMU ASF/AMC: the joint at the END of each of the 30 bones, after the root.
        _tree(
            "cmu31",
            "root", "lhipjoint<root", "lfemur<lhipjoint", "ltibia<lfemur", "lfoot<ltibia", "ltoes<lfoot",
            "rhipjoint<root", "rfemur<rhipjoint", "rtibia<rfemur", "rfoot<rtibia", "rtoes<rfoot",
            "lowerback<root", "upperback<lowerback", "thorax<upperback", "lowerneck<thorax",
            "upperneck<lowerneck", "head<upperneck", "lclavicle<thorax", "lhumerus<lclavicle",
            "lradius<lhumerus", "lwrist<lradius", "lhand<lwrist", "lfingers<lhand", "lthumb<lwrist",
            "rclavicle<thorax", "rhumerus<rclavicle", "rradius<rhumerus", "rwrist<rradius", "rhand<rwrist",
            "rfingers<rhand", "rthumb<rwrist",
        ),
    )
}  # fmt: skip


def get_skeleton(skeleton: str | Skeleton) -> Skeleton:
    """The skeleton of that name (a `Skeleton` passes through).

    Raises:
        InputError: (a ValueError) unknown name; the message lists the known ones.
    """
    if isinstance(skeleton, Skeleton):
        return skeleton
    try:
        return SKELETONS[skeleton]
    except (KeyError, TypeError):
        raise InputError(f"unknown skeleton {quote(skeleton)}; known: {', '.join(SKELETONS)}") from None


@dataclass(frozen=True)
class Rule:
    """How to synthesise a joint: a weighted sum of source joints.

    Attributes:
        joint: the target joint.
        weights: source joint -> weight; the weights sum to 1.
        spread: standard deviation of the mismatch between this sum and the joint it stands for, as a
            fraction of the person's size (root-mean-square distance of the keypoints from their centre,
            about 0.45 m for a standing adult). It is added to the keypoint's covariance.
        requires: further joints that the source must have for the rule to apply.
    """

    joint: str
    weights: dict[str, float]
    spread: float
    requires: tuple[str, ...] = ()


#: Tried in order for each target joint that the source skeleton lacks. A rule may use joints that other rules
#: synthesise. Spreads are anatomical judgement, rounded up: H36M's thorax sits a little above the middle of
#: the shoulders, its spine a little behind the straight line.
RULES: tuple[Rule, ...] = (
    Rule("pelvis", {"left_hip": 0.5, "right_hip": 0.5}, 0.04),
    Rule("thorax", {"neck": 1.0}, 0.03),
    Rule("thorax", {"left_shoulder": 0.5, "right_shoulder": 0.5}, 0.07),
    Rule("neck", {"thorax": 1.0}, 0.03),
    Rule("spine", {"spine2": 1.0}, 0.04),
    Rule("spine", {"pelvis": 0.5, "thorax": 0.5}, 0.07),
    Rule("neck_nose", {"neck": 1.0}, 0.05, requires=("thorax",)),
    Rule("neck_nose", {"head_top": 0.5, "neck": 0.5}, 0.06),
    Rule("neck_nose", {"head": 1.0}, 0.06),
    Rule("neck_nose", {"thorax": 0.35, "nose": 0.65}, 0.10),
    Rule("head", {"neck_nose": 0.5, "head_top": 0.5}, 0.06),
)


@dataclass(frozen=True)
class SkeletonMap:
    """A linear map between skeletons.

    Attributes:
        source, target: the skeletons.
        weights: (target joints, source joints); a missing target joint has a row of zeros.
        spread: (target joints,) definition mismatch as a fraction of the person's size, see `Rule`.
        available: (target joints,) False where the source cannot say anything about the joint.
    """

    source: Skeleton
    target: Skeleton
    weights: np.ndarray
    spread: np.ndarray
    available: np.ndarray

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the target joints that cannot be synthesised."""
        return tuple(j for j, ok in zip(self.target.joints, self.available, strict=True) if not ok)


@lru_cache(maxsize=256)
def skeleton_map(source: str | Skeleton, target: str | Skeleton) -> SkeletonMap:
    """The map from ``source`` to ``target`` joints, by name and by :data:`RULES`.

    >>> skeleton_map("coco17", "h36m17").missing
    ('head_top',)
    """
    source, target = get_skeleton(source), get_skeleton(target)

    def resolve(joint: str, seen: frozenset[str]) -> tuple[np.ndarray, float] | None:
        if joint in source.joints:
            row = np.zeros(len(source))
            row[source.index(joint)] = 1.0
            return row, 0.0
        if joint in seen:
            return None
        for rule in RULES:
            if rule.joint != joint or not all(j in source.joints for j in rule.requires):
                continue
            parts = [(w, resolve(name, seen | {joint})) for name, w in rule.weights.items()]
            if all(part is not None for _, part in parts):
                row = np.sum([w * part[0] for w, part in parts if part is not None], axis=0)
                spread = rule.spread**2 + sum((w * part[1]) ** 2 for w, part in parts if part is not None)
                return row, float(spread) ** 0.5
        return None

    weights = np.zeros((len(target), len(source)))
    spread = np.zeros(len(target))
    available = np.zeros(len(target), dtype=bool)
    for i, joint in enumerate(target.joints):
        found = resolve(joint, frozenset())
        if found is not None:
            weights[i], spread[i] = found
            available[i] = True
    return SkeletonMap(source, target, weights, spread, available)


_ALIASES = {
    "hip": "pelvis", "mid_hip": "pelvis", "root": "pelvis", "hips": "pelvis", "hip_center": "pelvis",
    "head_tip": "head_top", "top_head": "head_top", "upper_neck": "neck", "chest": "thorax",
    "torso": "spine", "belly": "spine", "chin": "neck_nose", "neck/nose": "neck_nose",
}  # fmt: skip


def canonical_joint_name(name: str) -> str:
    """Our spelling of a joint name: ``"RAnkle"``, ``"right ankle"`` and ``"r_ankle"`` are ``"right_ankle"``.

    >>> [canonical_joint_name(n) for n in ("RAnkle", "LHip", "HeadTop", "left-wrist", "MidHip", "RFoot")]
    ['right_ankle', 'left_hip', 'head_top', 'left_wrist', 'pelvis', 'right_ankle']
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=^[LR])(?=[A-Z][a-z])", "_", name.strip())
    snake = re.sub(r"[\s\-.]+", "_", words).lower()
    # Human3.6M's RFoot is the ankle; a written-out right_foot is the ball of the foot (SMPL).
    snake = re.sub(r"^([lr])_foot$", r"\1_ankle", snake)
    snake = re.sub(r"^r_", "right_", re.sub(r"^l_", "left_", snake))
    snake = re.sub(r"^(left|right)(?=[a-z])", r"\1_", snake)
    short = {
        "sho": "shoulder",
        "elb": "elbow",
        "wri": "wrist",
        "kne": "knee",
        "ank": "ankle",
    }
    side, _, part = snake.partition("_")
    if side in ("left", "right") and part in short:
        snake = f"{side}_{short[part]}"
    return _ALIASES.get(snake, snake)
