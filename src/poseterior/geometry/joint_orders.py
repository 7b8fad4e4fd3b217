"""Joint orders of data sets and detectors that are read but not lifted in, beside `SKELETONS`.

Trees are lists of ``"joint<parent"`` in storage order (no ``<`` marks a root), spelt as our joints are. A joint that
means another place than the usual one has a name of its own: "upper_neck" is the top of the neck (MPII, PoseTrack,
Kinect), "head" the middle of the head, "head_top" the crown.

Sources: the files of the data sets; the ``configs/_base_/datasets`` of MMPose (Apache 2), which copies their lists;
OpenPose's ``doc/02_output.md`` and ``poseParametersRender``; the enumerations ``JointType`` of the Kinect SDKs.
"""

from __future__ import annotations

__all__ = ["OTHER_NAMES", "TREES", "WHOLE_BODIES"]

_SIDES = ("left", "right")


def _limbs(pattern: str, *sides: str) -> tuple[str, ...]:
    """The joints of a pattern, ``"{s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow"``, for each side in turn."""
    return tuple(joint for side in sides for joint in pattern.format(s=side).split())


def _pairs(pattern: str, *sides: str) -> tuple[str, ...]:
    """The same joint by joint: both elbows, both wrists."""
    return tuple(joint.format(s=side) for joint in pattern.split() for side in sides)


_LEG = "{s}_hip<pelvis {s}_knee<{s}_hip {s}_ankle<{s}_knee"
_ARM = "{s}_shoulder<thorax {s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow"
_NECK_ARM = "{s}_shoulder<neck {s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow"
_NECK_LEG = "{s}_hip<neck {s}_knee<{s}_hip {s}_ankle<{s}_knee"
_COCO_LIMBS = "{s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow {s}_hip<{s}_shoulder {s}_knee<{s}_hip {s}_ankle<{s}_knee"
_KINECT_ARM = "{s}_shoulder<thorax {s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow {s}_hand<{s}_wrist"
_KINECT_LEG = _LEG + " {s}_foot<{s}_ankle"
_AZURE_ARM = (
    "{s}_collar<spine_chest {s}_shoulder<{s}_collar {s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow {s}_hand<{s}_wrist "
    "{s}_hand_tip<{s}_hand {s}_thumb<{s}_wrist"
)
_TOES = "{s}_big_toe<{s}_ankle {s}_small_toe<{s}_ankle {s}_heel<{s}_ankle"

TREES: dict[str, tuple[str, ...]] = {
    # Human3.6M without Neck/Nose.
    "h36m16": (
        "pelvis", *_limbs(_LEG, "right", "left"), "spine<pelvis", "thorax<spine", "head_top<thorax",
        *_limbs(_ARM, "left", "right"),
    ),
    # CrowdPose; the first 14 of MPII-TRB.
    "crowdpose14": (*_pairs(_NECK_ARM, *_SIDES), *_pairs(_NECK_LEG, *_SIDES), "head_top<neck", "neck"),
    # AI Challenger.
    "aic14": (*_limbs(_NECK_ARM, "right", "left"), *_limbs(_NECK_LEG, "right", "left"), "head_top<neck", "neck"),
    # JHMDB: "head" is the middle of the face, "belly" our spine.
    "jhmdb15": (
        "neck<spine", "spine", "head<neck", "right_shoulder<neck", "left_shoulder<neck", "right_hip<spine",
        "left_hip<spine", *_pairs(
            "{s}_elbow<{s}_shoulder {s}_knee<{s}_hip {s}_wrist<{s}_elbow {s}_ankle<{s}_knee", "right", "left"
        ),
    ),
    # OpenPose's MPI model without the background; its "chest" is the middle of the trunk.
    "mpi15": (
        "head_top<neck", "neck", *_limbs(_NECK_ARM, "right", "left"), *_limbs(_NECK_LEG, "right", "left"),
        "spine<neck",
    ),
    # CMU Panoptic, of which the first 15 are often stored.
    "panoptic15": (
        "neck", "nose<neck", "pelvis<neck", *_limbs(_NECK_ARM, "left"), *_limbs(_LEG, "left"),
        *_limbs(_NECK_ARM, "right"), *_limbs(_LEG, "right"),
    ),
    "panoptic19": (
        "neck", "nose<neck", "pelvis<neck", *_limbs(_NECK_ARM, "left"), *_limbs(_LEG, "left"),
        *_limbs(_NECK_ARM, "right"), *_limbs(_LEG, "right"), *_limbs("{s}_eye<nose {s}_ear<{s}_eye", *_SIDES),
    ),
    # PoseTrack 2018; its head_bottom is the top of the neck.
    "posetrack17": (
        "nose<upper_neck", "upper_neck", "head_top<nose", *_pairs("{s}_ear<nose {s}_shoulder<upper_neck", *_SIDES),
        *_pairs(_COCO_LIMBS, *_SIDES),
    ),
    # OpenPose's COCO model: BODY_25 without the mid-hip and the feet.
    "coco18": (
        "nose<neck", "neck", *_limbs(_NECK_ARM, "right", "left"), *_limbs(_NECK_LEG, "right", "left"),
        "right_eye<nose", "left_eye<nose", "right_ear<right_eye", "left_ear<left_eye",
    ),
    # OpenPose's BODY_25B, with which its BODY_135 begins.
    "body25b": (
        "nose<upper_neck", *_pairs("{s}_eye<nose {s}_ear<{s}_eye {s}_shoulder<upper_neck", *_SIDES),
        *_pairs(_COCO_LIMBS, *_SIDES), "upper_neck", "head_top<nose", *_limbs(_TOES, *_SIDES),
    ),
    # Kinect v1 and v2 (NTU RGB+D): "foot" is the toes, "head" the middle of the head.
    "kinect20": (
        "pelvis", "spine<pelvis", "thorax<spine", "head<thorax", *_limbs(_KINECT_ARM, *_SIDES),
        *_limbs(_KINECT_LEG, *_SIDES),
    ),
    "kinect25": (
        "pelvis", "spine<pelvis", "upper_neck<thorax", "head<upper_neck", *_limbs(_KINECT_ARM, *_SIDES),
        *_limbs(_KINECT_LEG, *_SIDES), "thorax<spine", *_limbs("{s}_hand_tip<{s}_hand {s}_thumb<{s}_hand", *_SIDES),
    ),
    # Azure Kinect.
    "azure32": (
        "pelvis", "spine_navel<pelvis", "spine_chest<spine_navel", "neck<spine_chest", *_limbs(_AZURE_ARM, *_SIDES),
        *_limbs(_KINECT_LEG, *_SIDES), "head<neck", "nose<head", *_limbs("{s}_eye<head {s}_ear<head", *_SIDES),
    ),
    # SMPL with the hands: 3DPW's jointPositions.
    "smpl24": (
        "pelvis", *_pairs("{s}_hip<pelvis", *_SIDES), "spine1<pelvis", *_pairs("{s}_knee<{s}_hip", *_SIDES),
        "spine2<spine1", *_pairs("{s}_ankle<{s}_knee", *_SIDES), "spine3<spine2",
        *_pairs("{s}_foot<{s}_ankle", *_SIDES), "neck<spine3", *_pairs("{s}_collar<spine3", *_SIDES), "head<neck",
        *_pairs("{s}_shoulder<{s}_collar {s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow {s}_hand<{s}_wrist", *_SIDES),
    ),
    # All joints of MPI-INF-3DHP's training set, of which the test set has 17 (mpi17).
    "mpi28": (
        "spine3<spine2", "spine4<spine3", "spine2<spine", "spine<pelvis", "pelvis", "neck<spine4", "head<neck",
        "head_top<head", *_limbs(
            "{s}_collar<spine4 {s}_shoulder<{s}_collar {s}_elbow<{s}_shoulder {s}_wrist<{s}_elbow {s}_hand<{s}_wrist",
            *_SIDES,
        ),
        *_limbs(_KINECT_LEG + " {s}_toe<{s}_foot", *_SIDES),
    ),
}  # fmt: skip

_FACE, _HAND = tuple(f"face_{i}" for i in range(68)), tuple(f"hand_{i}" for i in range(21))
_HANDS = tuple(f"{side}_{point}" for side in _SIDES for point in _HAND)

#: Orders of hands and face too -> the skeleton whose joints come first, and the points after it, which are not used.
WHOLE_BODIES: dict[str, tuple[str, tuple[str, ...]]] = {
    # COCO-WholeBody: the feet, 68 points of the face, 21 of each hand.
    "wholebody133": (
        "coco17",
        (*_limbs("{s}_big_toe {s}_small_toe {s}_heel", *_SIDES), *_FACE, *_HANDS),
    ),
    "halpe136": ("halpe26", (*_FACE, *_HANDS)),
    # OpenPose: BODY_135 has one wrist point less per hand; 137 points are BODY_25 and its face and hands, in any order.
    "body135": (
        "body25b",
        (*(f"{side}_{point}" for side in _SIDES for point in _HAND[1:]), *(f"face_{i}" for i in range(70))),
    ),
    "openpose137": ("body25", tuple(f"face_or_hand_{i}" for i in range(112))),
    # MPII-TRB: 26 points of the body's outline.
    "trb40": ("crowdpose14", tuple(f"outline_{i}" for i in range(26))),
}

#: What else people call an order.
OTHER_NAMES = {
    "body_25": "body25", "openpose25": "body25", "openpose18": "coco18", "body_25b": "body25b", "body_135": "body135",
    "halpe_26": "halpe26", "posetrack18": "posetrack17", "ochuman17": "coco17", "coco133": "wholebody133",
    "blazepose33": "mediapipe33", "3dhp17": "mpi17", "3dhp28": "mpi28", "3dpw24": "smpl24", "ntu25": "kinect25",
}  # fmt: skip
