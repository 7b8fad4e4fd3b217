"""How like each other two stores are: which motions both hold, how far a pose is from the nearest.

A body's size, proportions and place do not count: every bone is given the length of the shipped rest body, and poses
are looked at relative to the pelvis, mirrored ones too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...files.errors import InputError
from ...geometry.body import H36M_POINTS, body_points, rest_offsets
from ...geometry.kinematics import bone_lengths, bones_to_pose, pose_to_bones
from ...geometry.skeletons import SKELETONS
from ..store import Mocap

__all__ = [
    "RATE",
    "SAME_MOTION",
    "STILL",
    "WINDOW",
    "Match",
    "nearest_motions",
    "nearest_poses",
    "same_body",
    "same_people",
]

#: Poses per second at which motions are compared, and poses of a sequence (one second).
RATE, WINDOW = 10.0, 10
#: Two sequences are of one motion if they differ by less than this share of how much they move. Measured on CMU: a
#: clip in two conversions, on two bodies, differs from itself by .026 to .051; two walks of one person by .084 and
#: more, those of two people by .10 and more. The threshold is the geometric mean of .051 and .084.
SAME_MOTION = 0.065
#: Sequences that move less than this, millimetres, are all alike and tell nothing.
STILL = 20.0
#: Seconds between the sequences of a clip that are looked for, and the steps in time at which each of them is tried.
_EVERY, _STEPS = 1.0, 10
#: Principal axes on which the nearest sequence is looked for, before the distance to it is measured exactly.
_AXES = 96
_CHUNK = 1024
#: Joints whose bone is one bone of the body: spine and shoulders have several.
_RIGID = ("hip", "knee", "ankle", "elbow", "wrist")

_BODY = SKELETONS["h36m17"]
_J = {name: _BODY.index(name) for name in _BODY.joints}
_MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@lru_cache(maxsize=1)
def _lengths() -> tuple[float, ...]:
    """Length of each joint's bone of the rest body, metres, 0 for the pelvis."""
    points, _ = body_points(torch.eye(3).expand(22, 3, 3), rest_offsets())
    size = pose_to_bones(points[list(H36M_POINTS)], _BODY).norm(dim=-1).tolist()
    return tuple(0.0 if j == _BODY.root else size[j] for j in range(len(_BODY)))


def same_body(pose: Float[Tensor, "*batch 17 3"]) -> Float[Tensor, "*batch 17 3"]:
    """h36m17 poses with the rest body's bones, pelvis at the origin.

    What is NaN stays NaN, and so does what hangs on it; a bone without length keeps its joint on its parent.
    """
    bones = pose_to_bones(pose, _BODY)
    size = bones.norm(dim=-1, keepdim=True)
    unit = torch.where(size > 1e-6, bones / size.clamp(min=1e-6), 0.0)
    absent = bones.isnan().any(-1, keepdim=True)
    absent[..., _BODY.root, :] = False
    new = bones_to_pose(unit * unit.new_tensor(_lengths()).unsqueeze(-1), _BODY)
    hanging = bones_to_pose(absent.to(pose.dtype).expand_as(bones), _BODY) > 0
    return torch.where(hanging, float("nan"), new)


def _present(mocap: Mocap) -> Bool[Tensor, "17"]:
    """Joints that every frame has, but the pelvis."""
    present = torch.from_numpy(~np.isnan(mocap.h36m17).any((0, 2)))
    present[_BODY.root] = False
    return present


# -- motions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Match:
    """The sequence of a clip that is most like one of another store's.

    Attributes:
        clip, other: names of the clips.
        start, other_start: seconds from the beginning of either.
        mirrored: left and right of one of them are exchanged.
        distance: root mean square difference of the joints' movement, millimetres.
        motion: how much the sequence moves: the same about its mean pose.
    """

    clip: str
    other: str
    start: float
    other_start: float
    mirrored: bool
    distance: float
    motion: float

    @property
    def ratio(self) -> float:
        """Difference over movement: 0 for the same motion, about 1 for any two."""
        return self.distance / self.motion


@dataclass(frozen=True)
class _Sequences:
    """Sequences of poses: values ``(n, WINDOW * joints * 3)``, clip, start in seconds, movement in millimetres."""

    values: Tensor
    clip: Tensor
    start: Tensor
    motion: Tensor


def _resampled(pose: Tensor, times: Tensor, fps: float) -> Tensor:
    """Poses of a clip at these seconds, by straight lines between its frames."""
    place = (times * fps).clamp(0, len(pose) - 1)
    before = place.long().clamp(max=len(pose) - 2)
    return torch.lerp(pose[before], pose[before + 1], (place - before).to(pose.dtype)[..., None, None])


def _headed(windows: Tensor) -> Tensor:
    """The same turned about the vertical so that the person's left is at +x in the middle of each sequence."""
    middle = windows[:, windows.shape[1] // 2]
    across = middle[:, _J["left_hip"]] - middle[:, _J["right_hip"]]
    across = across + middle[:, _J["left_shoulder"]] - middle[:, _J["right_shoulder"]]
    flat = across[:, [0, 2]]
    cos, sin = (flat / flat.norm(dim=-1, keepdim=True).clamp(min=1e-6))[:, :, None, None].unbind(1)
    x, y, z = windows.unbind(-1)
    return torch.stack([x * cos + z * sin, y, z * cos - x * sin], -1)


def _sequences(mocap: Mocap, joints: Tensor, steps: Tensor, every: float) -> _Sequences:
    """Sequences that begin at every so many seconds of each clip, plus each of ``steps``."""
    pose = torch.from_numpy(mocap.h36m17)
    pose = same_body(pose - pose[:, :1])
    span = torch.arange(WINDOW) / RATE
    values, clips, starts, motions = [], [], [], []
    for clip in np.unique(mocap.clip).tolist():
        fps = float(mocap.fps[clip])
        # A clip's first frame is often a pose that its exporter put there.
        own = pose[torch.from_numpy(np.flatnonzero(mocap.clip == clip))][1:]
        last = (len(own) - 1) / fps - float(span[-1]) + 1e-6
        if last < 0 or len(own) < 2:
            continue
        start = (torch.arange(0.0, last + 1e-9, every).unsqueeze(-1) + steps).flatten()
        start = start[start <= last]
        windows = _headed(_resampled(own, start.unsqueeze(-1) + span, fps))[:, :, joints]
        # Where a data set puts its joints shifts them throughout: movements about the mean pose are compared.
        moved = windows - windows.mean(1, keepdim=True)
        values.append(moved.flatten(1))
        motions.append(1000 * moved.square().sum(-1).mean((1, 2)).sqrt())
        clips.append(torch.full((len(start),), clip))
        starts.append(start + 1 / fps)
    if not values:
        return _Sequences(torch.zeros(0, WINDOW * len(joints) * 3), *(torch.zeros(0) for _ in range(3)))
    return _Sequences(torch.cat(values), torch.cat(clips), torch.cat(starts), torch.cat(motions))


def _mirrored(values: Tensor, joints: Tensor) -> Tensor:
    """Sequences with left and right exchanged (both sides of a pair of joints are there, or neither)."""
    order = joints.tolist()
    swapped = [order.index(_BODY.mirror[joint]) for joint in order]
    windows = values.unflatten(1, (WINDOW, len(order), 3))[:, :, swapped]
    return (windows * _MIRROR).flatten(1)


def _nearest(wanted: Tensor, among: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance and row of the nearest, looked for on a few axes (where no distance is longer than in full)."""
    low = among @ axes
    size = low.square().sum(-1)
    rows = []
    for part in (wanted @ axes).split(_CHUNK):
        # Less the part's own size, which is the same for all.
        rows.append(torch.addmm(size, part, low.T, alpha=-2).argmin(1))
    row = torch.cat(rows)
    return (wanted - among[row]).square().sum(-1), row


def nearest_motions(train: Mocap, test: Mocap) -> list[Match]:
    """For every clip of ``test`` its sequence that is most like one of ``train``'s, the most alike first.

    Sequences of one second, ten poses a second, are compared after every pose was given the rest body's bones and the
    sequence was turned to face one way, by how the joints move about their mean, so that one motion on two bodies, in
    two files of different rates, or mirrored, is found. Clips shorter than a second, and those that hardly move
    (`STILL`), say nothing and are left out.

    Args:
        train, test: motions, at 20 frames a second or more.

    Raises:
        InputError: either holds no sequence of a second, or they have not ten joints in common.
    """
    common = _present(train) & _present(test)
    common &= common[list(_BODY.mirror)]
    joints = common.nonzero().squeeze(-1)
    if len(joints) < 10:
        raise InputError(f"the stores have {len(joints)} h36m17 joints in common; expected at least 10 to compare them")
    among = _sequences(train, joints, torch.zeros(1), 1 / RATE)
    wanted = _sequences(test, joints, torch.arange(_STEPS) / (_STEPS * RATE), _EVERY)
    for name, found in (("training", among), ("test", wanted)):
        if not len(found.values):
            raise InputError(f"no clip of the {name} store is as long as a second: nothing to compare")
    moving = wanted.motion > STILL
    wanted = _Sequences(wanted.values[moving], wanted.clip[moving], wanted.start[moving], wanted.motion[moving])
    among_values = among.values
    axes = torch.linalg.eigh(among_values.T @ among_values).eigenvectors[:, -_AXES:]
    plain = _nearest(wanted.values, among_values, axes)
    mirrored = _nearest(_mirrored(wanted.values, joints), among_values, axes)
    turned = mirrored[0] < plain[0]
    square = torch.where(turned, mirrored[0], plain[0])
    row = torch.where(turned, mirrored[1], plain[1])
    distance = 1000 * (square / (WINDOW * len(joints))).sqrt()
    ratio = distance / wanted.motion
    matches = []
    for clip in wanted.clip.unique().tolist():
        own = (wanted.clip == clip).nonzero().squeeze(-1)
        i = own[ratio[own].argmin()]
        j = row[i]
        matches.append(
            Match(
                test.clip_names[clip],
                train.clip_names[int(among.clip[j])],
                round(float(wanted.start[i]), 3),
                round(float(among.start[j]), 3),
                bool(turned[i]),
                float(distance[i]),
                float(wanted.motion[i]),
            )
        )
    return sorted(matches, key=lambda match: match.ratio)


def same_people(train: Mocap, test: Mocap, within: float = 0.002) -> list[tuple[str, str]]:
    """Subjects of both, as (of train, of test): of one name, or with bones that agree within so many metres."""
    found = []
    lengths = [_bones_of(mocap) for mocap in (train, test)]
    for first, bones in lengths[0].items():
        for second, others in lengths[1].items():
            named = first == second and first not in ("", "unknown")
            both = bones.isfinite() & others.isfinite()
            alike = bool(both.any()) and bool(((bones - others).abs()[both] < within).all())
            if named or alike:
                found.append((first, second))
    return found


def _bones_of(mocap: Mocap) -> dict[str, Tensor]:
    """Median lengths of the bones that no pose changes (hips and limbs) of each subject, metres."""
    rigid = [place for place, (child, _) in enumerate(_BODY.bones) if _BODY.joints[child].endswith(_RIGID)]
    lengths = bone_lengths(torch.from_numpy(mocap.h36m17), _BODY)[:, rigid]
    subject = np.array(mocap.subject)[mocap.clip]
    return {str(name): lengths[torch.from_numpy(subject == name)].nanmedian(0).values for name in np.unique(subject)}


# -- poses -----------------------------------------------------------------------------------------------------


def _body_frame(pose: Tensor) -> Tensor:
    """Poses on the rest body in the axes of the person's own trunk: where the person faces or lies does not count."""
    pose = same_body(pose)
    up = torch.nn.functional.normalize(pose[..., _J["thorax"], :], dim=-1)
    across = pose[..., _J["left_hip"], :] - pose[..., _J["right_hip"], :]
    across = torch.nn.functional.normalize(across - (across * up).sum(-1, keepdim=True) * up, dim=-1)
    axes = torch.stack([across, up, torch.linalg.cross(across, up)], -2)
    return (axes.unsqueeze(-3) @ pose.unsqueeze(-1)).squeeze(-1)


def nearest_poses(
    pose: Float[Tensor, "n 17 3"], reference: Float[Tensor, "m 17 3"]
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """How far each pose is from the nearest of the reference poses, and which that is.

    Mean distance over the joints that both have, millimetres, on one body in the trunk's own axes; the mirrored
    reference counts as well. Poses without hips or thorax are NaN, as is everything with an empty reference.
    """
    wanted = _body_frame(pose)
    among = _body_frame(reference)
    among = among[among[:, [_J["left_hip"], _J["right_hip"], _J["thorax"]]].isfinite().flatten(1).all(-1)]
    count = len(among)
    if not count or not len(pose):
        return pose.new_full((len(pose),), float("nan")), torch.zeros(len(pose), dtype=torch.long)
    among = torch.cat([among, among[:, list(_BODY.mirror)] * _MIRROR])
    joints = [j for j in range(len(_BODY)) if j != _BODY.root]
    there = among.isfinite().all(-1)
    filled = torch.where(there.unsqueeze(-1), among, 0.0)
    best, rows = [], []
    for part in wanted.split(128):
        here = part.isfinite().all(-1)
        total = part.new_zeros(len(part), len(among))
        counted = torch.zeros_like(total)
        for j in joints:
            both = here[:, j, None] & there[None, :, j]
            apart = torch.cdist(torch.where(here[:, j, None], part[:, j], 0.0), filled[:, j])
            total += torch.where(both, apart, 0.0)
            counted += both
        least = (total / counted.clamp(min=1)).masked_fill(counted == 0, float("inf")).min(1)
        known = here[:, [_J["left_hip"], _J["right_hip"], _J["thorax"]]].all(-1)
        best.append(torch.where(known, 1000 * least.values, float("nan")))
        rows.append(least.indices % count)
    return torch.cat(best), torch.cat(rows)
