"""The body that rotations turn: rest offsets (T-pose), extra points on it, proportions, forward kinematics.

The rest skeleton is a plain JSON of our own (``body.json``: mean bone lengths of the CMU recordings, in the
T-pose of `poseterior.data.store`: facing +z, y up, left at +x); no SMPL file is needed. Its tree is `SMPL25`:
the 22 joints of smpl22, then three points that are fixed to a joint (``hip_centre``, ``neck_nose``,
``head_top``), so that every h36m17 joint is a point of the body (`H36M_POINTS`).

Lengths are metres. A rotation of a joint is relative to its parent; the pelvis' is the global orientation.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..files.errors import InputError
from .kinematics import forward_kinematics
from .skeletons import SKELETONS, Skeleton, get_skeleton

__all__ = [
    "CHAINS",
    "GROUPS",
    "H36M_POINTS",
    "SMPL25",
    "body_points",
    "check_covariance",
    "check_points",
    "estimate_offsets",
    "group_factors",
    "log_group_ratios",
    "median_offsets",
    "points_from",
    "rest_offsets",
]

_SMPL = SKELETONS["smpl22"]
_HEAD = _SMPL.index("head")

#: smpl22 and three points fixed to one of its joints.
SMPL25 = Skeleton(
    "smpl25", (*_SMPL.joints, "hip_centre", "neck_nose", "head_top"), (*_SMPL.parents, _SMPL.root, _HEAD, _HEAD)
)

_H36M_NAMES = {"pelvis": "hip_centre", "spine": "spine2", "thorax": "neck"}
#: The point of `SMPL25` that each joint of h36m17 is.
H36M_POINTS = tuple(SMPL25.index(_H36M_NAMES.get(joint, joint)) for joint in SKELETONS["h36m17"].joints)

#: Skeletons whose pelvis is SMPL's own.
_WITH_PELVIS = ("smpl22", "smpl24")

#: Bones whose lengths vary together between people (named by their child joint).
GROUPS: dict[str, tuple[str, ...]] = {
    "hips": ("left_hip", "right_hip", "hip_centre"),
    "thighs": ("left_knee", "right_knee"),
    "shins": ("left_ankle", "right_ankle"),
    "feet": ("left_foot", "right_foot"),
    "trunk": ("spine1", "spine2", "spine3"),
    "neck": ("neck", "left_collar", "right_collar"),
    "head": ("head", "neck_nose", "head_top"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "upper arms": ("left_elbow", "right_elbow"),
    "forearms": ("left_wrist", "right_wrist"),
}


#: Points of whole limbs: hip to toe, collar to wrist.
CHAINS: dict[str, tuple[str, ...]] = {
    **{f"{s} leg": tuple(f"{s}_{j}" for j in ("hip", "knee", "ankle", "foot")) for s in ("left", "right")},
    **{f"{s} arm": tuple(f"{s}_{j}" for j in ("collar", "shoulder", "elbow", "wrist")) for s in ("left", "right")},
}


@lru_cache(maxsize=1)
def _membership() -> tuple[tuple[float, ...], ...]:
    """Row g marks the joints of group g."""
    return tuple(tuple(float(joint in members) for joint in SMPL25.joints) for members in GROUPS.values())


@lru_cache(maxsize=1)
def _shipped() -> tuple[tuple[float, ...], ...]:
    text = resources.files(__package__).joinpath("body.json").read_text()
    offsets = json.loads(text)["offsets"]
    return tuple(tuple(offsets[joint]) for joint in SMPL25.joints)


def rest_offsets(dtype: torch.dtype = torch.float32) -> Float[Tensor, "25 3"]:
    """Each point of the shipped rest body in its parent's frame, metres; zero for the pelvis."""
    return torch.tensor(_shipped(), dtype=dtype)


def group_factors(log_ratios: Float[Tensor, "*batch groups"]) -> Float[Tensor, "*batch 25 1"]:
    """The factor on every point's rest offset, from the logarithm of each group's length over its rest length."""
    membership = torch.tensor(_membership(), dtype=log_ratios.dtype, device=log_ratios.device)
    return (log_ratios @ membership).exp().unsqueeze(-1)


def log_group_ratios(
    offsets: Float[Tensor, "*batch 25 3"], rest: Float[Tensor, "25 3"] | None = None
) -> Float[Tensor, "*batch groups"]:
    """Logarithm of each group's length over its length in ``rest`` (default: as shipped); 0 for a group without."""
    rest = rest_offsets(offsets.dtype).to(offsets.device) if rest is None else rest
    membership = torch.tensor(_membership(), dtype=offsets.dtype, device=offsets.device)
    own, usual = offsets.norm(dim=-1) @ membership.T, rest.norm(dim=-1) @ membership.T
    # A source may lack a bone (length zero): that is not a short bone of which to take the logarithm.
    return torch.where((own > 1e-6) & (usual > 1e-6), (own.clamp(min=1e-6) / usual.clamp(min=1e-6)).log(), 0.0)


def body_points(
    rotations: Float[Tensor, "*batch 22 3 3"], offsets: Float[Tensor, "*batch 25 3"]
) -> tuple[Float[Tensor, "*batch 25 3"], Float[Tensor, "*batch 22 3 3"]]:
    """Forward kinematics.

    Args:
        rotations: of the smpl22 joints, relative to the parent.
        offsets: rest offsets of the `SMPL25` points.

    Returns:
        The points (the pelvis at its offset, zero as a rule) and the joints' global rotations.
    """
    eye = torch.eye(3, dtype=rotations.dtype, device=rotations.device).expand(*rotations.shape[:-3], 3, 3, 3)
    points, turned = forward_kinematics(torch.cat([rotations, eye], -3), offsets, SMPL25)
    return points, turned[..., : len(_SMPL), :, :]


# -- 3D keypoints on the body -------------------------------------------------------------------------------

#: Pairs of points whose distance does not change with the pose, by group (every rotation centre lies at an end).
_SPANS: dict[str, tuple[tuple[str, str], ...]] = {
    "hips": (("left_hip", "right_hip"), ("pelvis", "left_hip"), ("pelvis", "right_hip")),
    "thighs": (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    "shins": (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
    "feet": (("left_ankle", "left_foot"), ("right_ankle", "right_foot")),
    "trunk": (("spine1", "spine2"), ("pelvis", "spine2"), ("spine2", "spine3")),
    "neck": (("spine3", "neck"),),
    "head": (("neck", "head"), ("head", "head_top")),
    "shoulders": (("left_collar", "left_shoulder"), ("right_collar", "right_shoulder")),
    "upper arms": (("left_shoulder", "left_elbow"), ("right_shoulder", "right_elbow")),
    "forearms": (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist")),
}
#: The same for groups of which no such pair is seen, as of h36m17: pairs whose distance hardly changes with the pose.
_NEARLY_RIGID: dict[str, tuple[tuple[str, str], ...]] = {
    "trunk": (("hip_centre", "spine2"),),
    "neck": (("spine2", "neck"),),
    "head": (("neck_nose", "head_top"),),
    "shoulders": (("neck", "left_shoulder"), ("neck", "right_shoulder")),
}


def points_from(
    positions: Float[Tensor, "*batch joints 3"], skeleton: str | Skeleton
) -> tuple[Float[Tensor, "*batch 25 3"], Bool[Tensor, "25"]]:
    """3D joints of a named skeleton as points of the body, and which of those it has.

    Joints are matched by name; h36m17's pelvis is the body's ``hip_centre``, its spine and thorax ``spine2`` and
    ``neck``. Raises `InputError` where no joint of the skeleton is a point of the body.
    """
    skeleton = get_skeleton(skeleton)
    if skeleton.name == "h36m17":
        sources = {point: joint for joint, point in enumerate(H36M_POINTS)}
    else:
        shared = [j for j in SMPL25.joints if j in skeleton.joints]
        # A pelvis is SMPL's rotation centre in SMPL only; elsewhere it is the middle of the hips.
        names = {j: "hip_centre" if j == "pelvis" and skeleton.name not in _WITH_PELVIS else j for j in shared}
        sources = {SMPL25.index(names[j]): skeleton.index(j) for j in shared}
    if not sources:
        raise InputError(f"skeleton {skeleton.name!r}: none of its joints is one of: {', '.join(SMPL25.joints)}")
    points = positions.new_full((*positions.shape[:-2], len(SMPL25), 3), float("nan"))
    points[..., list(sources), :] = positions[..., list(sources.values()), :]
    seen = torch.zeros(len(SMPL25), dtype=torch.bool, device=positions.device)
    seen[list(sources)] = True
    return points, seen


def check_points(
    points: Tensor, seen: Tensor | None, sigma: Tensor | float
) -> tuple[Float[Tensor, "*batch 25 3"], Bool[Tensor, "*batch 25"], Float[Tensor, "*batch 25"]]:
    """3D keypoints in full: points, visibility and standard deviations; hidden ones hold zeros.

    Raises:
        InputError: wrong shapes, a visible point that is not finite, a sigma that is negative or not finite.
    """
    if points.ndim < 2 or points.shape[-2:] != (len(SMPL25), 3):
        raise InputError(
            f"points: expected (..., {len(SMPL25)}, 3) of {SMPL25.name}, got {tuple(points.shape)}; "
            "poseterior.geometry.body.points_from makes them from other skeletons"
        )
    finite = points.isfinite().all(-1)
    seen = finite if seen is None else seen.expand(finite.shape)
    spread = torch.as_tensor(sigma, dtype=points.dtype, device=points.device).expand(finite.shape)
    for wrong, what in (
        (seen & ~finite, "is visible but not finite; hide it (seen=False) or mend it"),
        (seen & ~(spread.isfinite() & (spread >= 0)), "sigma must be finite and at least 0 metres"),
    ):
        if bool(wrong.any()):
            *where, joint = wrong.nonzero()[0].tolist()
            raise InputError(f"points{where or ''}: joint {SMPL25.joints[joint]!r}: {what}")
    return torch.where(seen.unsqueeze(-1), points, 0.0), seen, torch.where(seen, spread, 0.0)


def check_covariance(
    covariance: Float[Tensor, "*batch 25 3 3"], seen: Bool[Tensor, "*batch 25"]
) -> Float[Tensor, "*batch 25 3 3"]:
    """Covariances of 3D keypoints, symmetric; hidden ones hold the identity, whatever was stored.

    Raises:
        InputError: another shape, or one of a visible point that is not finite, symmetric and at least 0.
    """
    if covariance.shape != (*seen.shape, 3, 3):
        raise InputError(f"covariance: expected {(*seen.shape, 3, 3)}, m² of each point, got {tuple(covariance.shape)}")
    eye = torch.eye(3, dtype=covariance.dtype, device=covariance.device)
    shown = torch.where(seen[..., None, None], covariance, eye)
    kept = torch.where(shown.isfinite(), shown, 0.0)
    size = kept.abs().amax((-2, -1)).clamp(min=1e-12)
    skew = (kept - kept.transpose(-1, -2)).abs().amax((-2, -1)) > 1e-3 * size
    kept = 0.5 * (kept + kept.transpose(-1, -2))
    negative = torch.linalg.eigvalsh(kept)[..., 0] < -1e-4 * size
    wrong = ~shown.isfinite().all(-1).all(-1) | skew | negative
    if bool(wrong.any()):
        *where, joint = wrong.nonzero()[0].tolist()
        raise InputError(
            f"points{where or ''}: joint {SMPL25.joints[joint]!r}: its covariance must be finite, symmetric and at "
            "least 0 in every direction (m²)"
        )
    return kept


def estimate_offsets(
    points: Float[Tensor, "*batch 25 3"], seen: Bool[Tensor, "*batch 25"], rest: Float[Tensor, "25 3"] | None = None
) -> tuple[Float[Tensor, "*batch 25 3"], Bool[Tensor, "*batch"]]:
    """Rest offsets of a body from its visible bones, and whether any bone was visible.

    Each group of `GROUPS` is stretched to the mean ratio of its visible bones, or of distances that hardly change with
    the pose; a group of which none is visible gets the mean ratio of the others. For a clip of one person pass the
    median over its frames instead of each frame's own (`median_offsets`).
    """
    rest = rest_offsets(points.dtype).to(points.device) if rest is None else rest
    standing = _standing(rest)
    # Poses last: operations on rows of three numbers take ten times as long.
    places, shown = points.movedim((-2, -1), (0, 1)).contiguous(), seen.expand(points.shape[:-1]).movedim(-1, 0)
    ratios, there = [], []
    for group, pairs in _SPANS.items():
        ratio, both = _stretched(places, shown, standing, pairs)
        if group in _NEARLY_RIGID:
            nearly, some = _stretched(places, shown, standing, _NEARLY_RIGID[group])
            ratio, both = torch.where(both, ratio, nearly), both | some
        ratios.append(ratio)
        there.append(both)
    ratio, known = torch.stack(ratios, -1), torch.stack(there, -1)
    mean = (ratio * known).sum(-1, keepdim=True) / known.sum(-1, keepdim=True).clamp(min=1)
    return rest * group_factors(torch.where(known, ratio, mean)), known.any(-1)


def _stretched(
    places: Float[Tensor, "25 3 *batch"],
    seen: Bool[Tensor, "25 *batch"],
    standing: Float[Tensor, "25 3"],
    pairs: tuple[tuple[str, str], ...],
) -> tuple[Float[Tensor, "*batch"], Bool[Tensor, "*batch"]]:
    """Mean log-ratio of the distances of pairs of points to those at rest, and whether any pair is seen."""
    first, second = ([SMPL25.index(p[i]) for p in pairs] for i in (0, 1))
    usual = (standing[first] - standing[second]).norm(dim=-1).reshape(-1, *[1] * (seen.ndim - 1))
    both = seen[first] & seen[second] & (usual > 1e-3)
    # At least a tenth of a millimetre: nothing has a gradient of length zero.
    length = (places[first] - places[second]).square().sum(1).clamp(min=1e-8).sqrt()
    ratio = torch.where(both, (length / usual.clamp(min=1e-3)).clamp(0.3, 3.0).log(), 0.0)
    return ratio.sum(0) / both.sum(0).clamp(min=1), both.any(0)


def median_offsets(offsets: Float[Tensor, "frames 25 3"]) -> Float[Tensor, "25 3"]:
    """One body for a clip: the median over its frames of each group's length."""
    rest = rest_offsets(offsets.dtype).to(offsets.device)
    return rest * group_factors(log_group_ratios(offsets).median(0).values)


def _standing(rest: Tensor) -> Tensor:
    eye = torch.eye(3, dtype=rest.dtype, device=rest.device)
    return body_points(eye.expand(len(_SMPL), 3, 3), rest)[0]
