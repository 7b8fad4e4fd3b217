"""Skeletons (joint names, parents, sides) and the maps between them.

A map is built by joint *name*: a target joint is copied from the source joint of the same name, else
synthesised by the first rule of :data:`RULES` whose source joints exist, else it is missing. Joints that exist may
not be seen: `skeleton_maps` lists what to try next. Nothing here depends on the order in which a skeleton lists its
joints.

All indices are 0-based, "left" and "right" are the person's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

import numpy as np

from ..files.checks import quote
from ..files.errors import InputError
from .joint_orders import OTHER_NAMES, TREES, WHOLE_BODIES
from .joint_spelling import canonical_joint_name

__all__ = [
    "RULES",
    "SKELETONS",
    "Rule",
    "Skeleton",
    "SkeletonMap",
    "body_of",
    "canonical_joint_name",
    "get_skeleton",
    "skeleton_map",
    "skeleton_maps",
    "skeleton_names",
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
        # What detectors fine-tuned to Human3.6M find: its joints without the nose, in MPII's order. Where mpii16 has
        # thorax and neck, these are Human3.6M's spine and thorax.
        _tree(
            "shg16",
            "right_ankle<right_knee", "right_knee<right_hip", "right_hip<pelvis", "left_hip<pelvis",
            "left_knee<left_hip", "left_ankle<left_knee", "pelvis", "spine<pelvis", "thorax<spine",
            "head_top<thorax", "right_wrist<right_elbow", "right_elbow<right_shoulder", "right_shoulder<thorax",
            "left_shoulder<thorax", "left_elbow<left_shoulder", "left_wrist<left_elbow",
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


@cache
def _others() -> dict[str, Skeleton]:
    """The joint orders of other data sets; those of whole bodies have no bones beyond the body."""
    found = {name: _tree(name, *pairs) for name, pairs in TREES.items()}
    for name, (first, further) in WHOLE_BODIES.items():
        body = SKELETONS.get(first) or found[first]
        found[name] = Skeleton(name, body.joints + further, body.parents + (-1,) * len(further))
    return found


def skeleton_names() -> tuple[str, ...]:
    """Every name that `get_skeleton` knows: those of `SKELETONS`, then the joint orders of other data sets."""
    return (*SKELETONS, *_others())


def get_skeleton(skeleton: str | Skeleton) -> Skeleton:
    """The skeleton of that name (a `Skeleton` passes through): one of `SKELETONS`, or the order of another data set.

    >>> len(get_skeleton("crowdpose14")), len(get_skeleton("halpe136"))
    (14, 136)

    Raises:
        InputError: (a ValueError) unknown name; the message lists the known ones.
    """
    if isinstance(skeleton, Skeleton):
        return skeleton
    name = OTHER_NAMES.get(skeleton, skeleton) if isinstance(skeleton, str) else ""
    found = SKELETONS.get(name) or _others().get(name)
    if found is None:
        raise InputError(f"unknown skeleton {quote(skeleton)}; known: {', '.join(skeleton_names())}")
    return found


def body_of(skeleton: Skeleton) -> Skeleton:
    """The skeleton whose joints come first in an order of hands and face too; any other skeleton is its own body.

    >>> body_of(get_skeleton("wholebody133")).name
    'coco17'
    """
    if skeleton.name in WHOLE_BODIES and skeleton == _others()[skeleton.name]:
        return get_skeleton(WHOLE_BODIES[skeleton.name][0])
    return skeleton


@dataclass(frozen=True)
class Rule:
    """How to synthesise a joint: a weighted sum of measured joints.

    Attributes:
        joint: the target joint.
        weights: source joint -> weight; the weights sum to 1.
        spread: standard deviation of the mismatch between this sum and the joint it stands for, as a
            fraction of the person's size (root-mean-square distance of the keypoints from their centre,
            about 0.45 m for a standing adult). It is added to the keypoint's covariance.
        requires: further joints that the source must list for the rule to apply.
        unless: joints that the source must not list.
    """

    joint: str
    weights: dict[str, float]
    spread: float
    requires: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


_HIPS = {"left_hip": 0.5, "right_hip": 0.5}
_SHOULDERS = {"left_shoulder": 0.5, "right_shoulder": 0.5}
_EARS = {"left_ear": 0.5, "right_ear": 0.5}
_EYES = {"left_eye": 0.5, "right_eye": 0.5}

#: What stands for a place of the trunk, the best first: weights, spread, and whose presence forbids it.
_Place = tuple[dict[str, float], float, tuple[str, ...]]
_PELVIS: tuple[_Place, ...] = (({"pelvis": 1.0}, 0.0, ()), (_HIPS, 0.04, ()))
#: Where a source lists the thorax, its "neck" is the top of the neck (MPII).
_NECK_BASE: tuple[_Place, ...] = (
    ({"thorax": 1.0}, 0.0, ()),
    ({"neck": 1.0}, 0.03, ("thorax",)),
    (_SHOULDERS, 0.07, ()),
)


def _mixed(joint: str, spread: float, *parts: tuple[float, _Place]) -> Rule:
    """A joint between places, whose spreads add up."""
    weights: dict[str, float] = {}
    unless: tuple[str, ...] = ()
    squared = spread**2
    for share, (place, mismatch, forbidding) in parts:
        for name, weight in place.items():
            weights[name] = weights.get(name, 0.0) + share * weight
        squared += (share * mismatch) ** 2
        unless += forbidding
    return Rule(joint, weights, squared**0.5, unless=unless)


def _exact(weights: dict[str, float]) -> _Place:
    return weights, 0.0, ()


#: Tried in order for each target joint that the source skeleton lacks, or does not see. All are sums of *measured*
#: joints: the spine lies between the middles of the hips and of the shoulders, not between a pelvis and a thorax that
#: were made of them, and no jaw is put on a neck that was a thorax before. Spreads are anatomical judgement, rounded
#: up: H36M's thorax sits a little above the middle of the shoulders, its spine a little behind the straight line.
RULES: tuple[Rule, ...] = (
    Rule("pelvis", _HIPS, 0.04),
    *(_mixed("thorax", 0.0, (1.0, place)) for place in _NECK_BASE[1:]),
    *(_mixed("neck", 0.03, (1.0, place)) for place in (_NECK_BASE[0], _NECK_BASE[2])),
    Rule("spine", {"spine2": 1.0}, 0.04),
    *(_mixed("spine", 0.07, (0.5, low), (0.5, high)) for low in _PELVIS for high in _NECK_BASE),
    Rule("neck_nose", {"neck": 1.0}, 0.05, requires=("thorax",)),
    Rule("neck_nose", {"upper_neck": 0.5, "head": 0.5}, 0.05),
    Rule("neck_nose", {"upper_neck": 1.0}, 0.05),
    # A measured neck and a measured thorax are the same place here.
    Rule("neck_nose", {"head_top": 0.5, "neck": 0.5}, 0.06, unless=("thorax",)),
    Rule("neck_nose", {"head_top": 0.5, "thorax": 0.5}, 0.06),
    # The middle of the shoulders is above the thorax in some data sets and below it in others.
    _mixed("neck_nose", 0.06, (0.45, _exact({"head_top": 1.0})), (0.55, _NECK_BASE[2])),
    Rule("neck_nose", {"head": 1.0}, 0.06),
    *(_mixed("neck_nose", 0.10, (0.65, _exact({"nose": 1.0})), (0.35, place)) for place in _NECK_BASE),
    *(_mixed("neck_nose", 0.11, (0.6, _exact(_EARS)), (0.4, place)) for place in _NECK_BASE),
    *(_mixed("neck_nose", 0.11, (0.55, _exact(_EYES)), (0.45, place)) for place in _NECK_BASE),
    Rule("head", {"neck_nose": 0.5, "head_top": 0.5}, 0.06),
    Rule("head", {"neck": 0.5, "head_top": 0.5}, 0.065, requires=("thorax",)),
    Rule("head", {"upper_neck": 0.5, "head_top": 0.5}, 0.065),
    Rule("head", {"neck": 0.25, "head_top": 0.75}, 0.0671, unless=("thorax",)),
    Rule("head", {"thorax": 0.25, "head_top": 0.75}, 0.0671),
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

    @cached_property
    def copied(self) -> np.ndarray:
        """(target joints,) True where the joint is the source's of the same name."""
        names = zip(self.target.joints, self.weights, strict=True)
        return np.array([j in self.source.joints and row[self.source.index(j)] == 1.0 for j, row in names])

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the target joints that cannot be synthesised."""
        return tuple(j for j, ok in zip(self.target.joints, self.available, strict=True) if not ok)


def skeleton_map(source: str | Skeleton, target: str | Skeleton) -> SkeletonMap:
    """The map from ``source`` to ``target`` joints for people of whom all is seen, by name and by :data:`RULES`.

    >>> skeleton_map("coco17", "h36m17").missing
    ('head_top',)
    """
    return skeleton_maps(source, target)[0]


@lru_cache(maxsize=256)
def skeleton_maps(source: str | Skeleton, target: str | Skeleton) -> tuple[SkeletonMap, ...]:
    """What to try in turn for each target joint, until all that it is made of is seen: at least one map.

    The first copies the joints that both skeletons have. Where the source has all of the target's, nothing else is
    tried: it is the same skeleton in another order, and who hides a joint of it means that.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    listed = frozenset(source.joints)
    complete = listed >= frozenset(target.joints)
    ways: list[list[tuple[dict[str, float], float]]] = []
    for joint in target.joints:
        found = [({joint: 1.0}, 0.0)] if joint in listed else []
        ways.append(found if complete else found + [(r.weights, r.spread) for r in RULES if _applies(r, joint, listed)])
    return tuple(_nth_map(source, target, ways, n) for n in range(max(1, *map(len, ways))))


def _applies(rule: Rule, joint: str, listed: frozenset[str]) -> bool:
    needed = {*rule.weights, *rule.requires}
    return rule.joint == joint and needed <= listed and not listed.intersection(rule.unless)


def _nth_map(
    source: Skeleton, target: Skeleton, ways: list[list[tuple[dict[str, float], float]]], n: int
) -> SkeletonMap:
    weights = np.zeros((len(target), len(source)))
    spread = np.zeros(len(target))
    available = np.zeros(len(target), dtype=bool)
    for i, way in enumerate(ways):
        if n < len(way):
            for name, weight in way[n][0].items():
                weights[i, source.index(name)] = weight
            spread[i], available[i] = way[n][1], True
    return SkeletonMap(source, target, weights, spread, available)
