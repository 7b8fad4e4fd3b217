"""The simulator: stored poses in, labelled observations out.

It is the generative model that lifters invert: a pose is drawn (recombined, mirrored), given a body, turned in
front of a random camera, seen by a noisy detector that reports its uncertainty, and some joints are hidden.
Because every step is known, the calibration of a lifter can be tested exactly. Every effect has a range in
`SimulatorConfig`, i.e. in the recipe; everything is batched in torch and drawn from one generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ...files.errors import InputError
from ...files.settings import check_settings
from ...geometry.body import H36M_POINTS, body_points, rest_offsets
from ...geometry.cameras import project
from ...geometry.kinematics import ANKLE_HEIGHT, body_height, bones_to_pose, pose_to_bones
from ...geometry.skeletons import SKELETONS
from ...keypoints import Keypoints2D
from ..observations import Observations
from ..store import Mocap
from .missing import MISSING_PATTERNS, check_missing, hidden_joints
from .motions import broad_rotations, tilts
from .population import Bodies, draw_bodies, segment_factors
from .proportions import definition_offsets, length_factors, marker_factors
from .ranges import log_uniform, uniform

__all__ = [
    "BODIES",
    "MISSING_PATTERNS",
    "Simulator",
    "SimulatorConfig",
]

_BODY = SKELETONS["h36m17"]
_SMPL = SKELETONS["smpl22"]
_J = {name: _BODY.index(name) for name in _BODY.joints}

#: Joints whose bone is expressed in the pelvis' frame; the others' are in the chest's (smpl22 spine3).
_PELVIS_FRAME = [j for name, j in _J.items() if any(w in name for w in ("pelvis", "hip", "knee", "ankle"))] + [
    _J["spine"]
]

#: Parts that recombination may take from another frame: (joints, probability). Legs move together or singly.
_PARTS: tuple[tuple[tuple[str, ...], float], ...] = (
    (("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"), 0.4),
    (("right_hip", "right_knee", "right_ankle"), 0.15),
    (("left_hip", "left_knee", "left_ankle"), 0.15),
    (("right_shoulder", "right_elbow", "right_wrist"), 0.5),
    (("left_shoulder", "left_elbow", "left_wrist"), 0.5),
    (("neck_nose", "head_top"), 0.5),
)

#: Bone lengths in metres that count for a person's height where the source lacks the joint.
_NOMINAL_LENGTHS = torch.tensor(
    [{"spine": 0.23, "thorax": 0.25, "neck_nose": 0.12, "head_top": 0.115}.get(name, 0.0) for name in _BODY.joints]
)

#: Metres, of the person at whom `SimulatorConfig.noise` is what it says where it goes by height.
_NOISE_HEIGHT = 1.7

#: Where bodies that are not the recorded ones come from.
BODIES = ("ranges", "population")

_RANGES = (
    "body_height", "yaw", "pitch", "roll", "distance", "field_of_view", "aspect", "noise", "noise_joint",
    "noise_ratio", "scattered", "tilt", "steep_pitch",
)  # fmt: skip
_SHARES = (
    "mirror", "recombine", "own_body", "own_size", "body_spread", "truncate", "height_known", "marker_sets", "broad",
    "tilted", "steep",
)  # fmt: skip
#: Settings that recipes need not name: `SimulatorConfig.as_dict` leaves them out where nothing was asked for.
_OPTIONS = ("noise_by_height", "own_size", "bodies", "marker_sets", "broad", "tilted", "tilt", "steep", "steep_pitch")


def _numbers(name: str, values: Any, count: int) -> tuple[float, ...]:
    """``count`` finite numbers from a recipe."""
    listed = list(values) if isinstance(values, list | tuple) else [values]
    fine = all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in listed)
    if len(listed) != count or not fine:
        wanted = "a finite number" if count == 1 else f"{count} finite numbers"
        raise InputError(f"simulator.{name}: expected {wanted}, got {values if count > 1 else listed[0]!r}")
    return tuple(float(v) for v in listed)


@dataclass(frozen=True)
class SimulatorConfig:
    """Ranges of everything the simulator draws. Pairs are (low, high); probabilities are shares of observations.

    Attributes:
        mirror: probability that left and right are exchanged.
        recombine: probability that limbs come from other frames, through rotations relative to the trunk.
        limb_jitter: standard deviation in degrees of a random extra rotation at each limb joint.
        own_body: probability that the recorded body is kept as it is.
        own_size: probability that a recorded body that is kept keeps its size too, and not only its proportions.
        body_spread: 0 to 1, how far bone proportions may leave the recorded ones.
        definition_spread: scale of the differences between data sets in where a joint is put.
        body_height: metres, of bodies that are not kept.
        bodies: what they are: ``"ranges"`` (recorded bones times factors of their own, `body_height` drawn evenly) or
            ``"population"`` (heights and proportions of men, women and children, see
            `poseterior.data.simulation.population`; ``body_spread`` scales the spread at a given height, and
            ``body_height`` has no meaning).
        marker_sets: share of a population's bodies whose joints are where another marker set or rig has them: trunk,
            neck, head, shoulders, hips and wrists by factors of their own, and the whole by -15 to +12 %.
        broad: share of people of whom all or some joints are turned anywhere within anatomical limits: raised arms,
            kicks, crouches (`poseterior.data.simulation.motions.broad_rotations`).
        tilted: share of people whose whole body is turned about a horizontal axis: lying, upside down.
        tilt: degrees by which they are; 90 lies, 180 stands on the head.
        steep: share of cameras that look from anywhere between far below and above, by ``steep_pitch``.
        steep_pitch: degrees, as ``pitch``.
        yaw, pitch, roll: degrees; the camera looks down for positive pitch. Yaw turns the person.
        distance: metres from the camera to the pelvis (log-uniform).
        field_of_view: degrees across the longer image side.
        placement: how far from the image centre the pelvis may be, as a fraction of half the image.
        aspect: image width / height (log-uniform).
        noise: millimetres at the person, standard deviation of the detector per joint (log-uniform).
        noise_joint: a factor per joint, (low, high) log-uniform, on the observation's noise.
        noise_ratio: long over short axis of the noise ellipse (log-uniform).
        noise_by_height: the noise is that at a person of 1.7 m, and in proportion smaller at a child. Detectors err by
            a share of what they see; where errors are in millimetres whoever is seen, the reported covariance gives
            away how large the person is, and a lifter learns to read it there.
        noise_added: False leaves the projections exact while the reported uncertainty stays.
        missing: weight of each of `MISSING_PATTERNS`; or ``count: [fewest, most]``: of every pose exactly so many
            knees, ankles, elbows and wrists, every number as likely as another (Li & Lee 2019: ``[1, 2]``).
        scattered: (low, high) share of joints missing under the pattern "scattered".
        truncate: probability that joints outside the image are hidden.
        camera_knowledge: weights of knowing (nothing, the image size, the intrinsics).
        height_known: probability that the person's height is given.
        image: longer side in pixels.
    """

    mirror: float = 0.5
    recombine: float = 0.5
    limb_jitter: float = 5.0
    own_body: float = 0.35
    own_size: float = 1.0
    body_spread: float = 1.0
    definition_spread: float = 1.0
    body_height: tuple[float, float] = (1.4, 2.05)
    yaw: tuple[float, float] = (-180.0, 180.0)
    pitch: tuple[float, float] = (-15.0, 35.0)
    roll: tuple[float, float] = (-12.0, 12.0)
    distance: tuple[float, float] = (2.0, 10.0)
    field_of_view: tuple[float, float] = (30.0, 85.0)
    placement: float = 0.7
    aspect: tuple[float, float] = (0.56, 1.78)
    noise: tuple[float, float] = (2.0, 40.0)
    noise_joint: tuple[float, float] = (0.5, 2.0)
    noise_ratio: tuple[float, float] = (1.0, 3.0)
    noise_by_height: bool = False
    noise_added: bool = True
    missing: Mapping[str, Any] = field(
        default_factory=lambda: {
            "none": 0.3, "scattered": 0.38, "limb": 0.12, "lower": 0.06, "upper": 0.03, "side": 0.03,
            "few": 0.05, "all": 0.03,
        }
    )  # fmt: skip
    scattered: tuple[float, float] = (0.02, 0.4)
    truncate: float = 0.7
    camera_knowledge: tuple[float, float, float] = (0.15, 0.4, 0.45)
    height_known: float = 0.3
    image: float = 1000.0
    bodies: str = "ranges"
    marker_sets: float = 0.0
    broad: float = 0.0
    tilted: float = 0.0
    tilt: tuple[float, float] = (45.0, 180.0)
    steep: float = 0.0
    steep_pitch: tuple[float, float] = (-45.0, 85.0)

    def __post_init__(self) -> None:
        for f in fields(self):
            if isinstance(f.default, tuple):
                object.__setattr__(self, f.name, _numbers(f.name, getattr(self, f.name), len(f.default)))
            elif isinstance(f.default, float):
                object.__setattr__(self, f.name, _numbers(f.name, [getattr(self, f.name)], 1)[0])
        for name in _RANGES:
            low, high = getattr(self, name)
            if not low <= high:
                raise InputError(f"simulator.{name}: expected (low, high) with low <= high, got {(low, high)}")
        for name in ("distance", "aspect", "noise", "noise_joint", "noise_ratio", "field_of_view", "body_height"):
            if not getattr(self, name)[0] > 0:
                raise InputError(f"simulator.{name}: expected values above 0, got {getattr(self, name)}")
        if not self.field_of_view[1] < 180:
            raise InputError(f"simulator.field_of_view: expected less than 180 degrees, got {self.field_of_view}")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"simulator.{name}: expected 0 to 1, got {getattr(self, name)}")
        if self.bodies not in BODIES:
            raise InputError(f"simulator.bodies: expected one of {', '.join(BODIES)}, got {self.bodies!r}")
        check_missing(self.missing)
        knowledge = self.camera_knowledge
        if min(knowledge) < 0 or not sum(knowledge) > 0:
            raise InputError(f"simulator.camera_knowledge: expected weights from 0 with a sum above 0, got {knowledge}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SimulatorConfig:
        """From a recipe's ``simulator`` section.

        Raises:
            InputError: a name that is no field; lists those that are.
        """
        check_settings("simulator", values, [f.name for f in fields(cls)])
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for a recipe's ``simulator`` section; options that were not asked for are left out."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        usual = {f.name: f.default for f in fields(self)}
        kept = {k: v for k, v in values.items() if k not in _OPTIONS or v != usual[k]}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in kept.items()}
        missing = {k: list(v) if isinstance(v, tuple) else v for k, v in self.missing.items()}
        return plain | {"missing": missing}


def _axis_rotation(degrees: Tensor, axis: int) -> Tensor:
    """Rotation about one axis (0 x, 1 y, 2 z) by angles ``(n,)`` in degrees: ``(n, 3, 3)``."""
    angle = torch.deg2rad(degrees)
    matrix = torch.zeros(*angle.shape, 3, 3)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix[..., axis, axis] = 1.0
    matrix[..., i, i] = matrix[..., j, j] = angle.cos()
    matrix[..., j, i] = angle.sin()
    matrix[..., i, j] = -angle.sin()
    return matrix


def _with_lengths(bones: Tensor, like: Tensor) -> Tensor:
    """``bones`` with the lengths of ``like`` (unchanged where either has none)."""
    own, wanted = bones.norm(dim=-1, keepdim=True), like.norm(dim=-1, keepdim=True)
    return torch.where((own > 1e-6) & (wanted > 1e-6), bones * wanted / own.clamp(min=1e-6), bones)


def _fill_missing_joints(pose: Tensor) -> Tensor:
    """Put joints that a source lacks (NaN) onto their parents, so that their descendants' bones stay right."""
    filled = pose.clone()
    for joint in _BODY.topological_order:
        parent = _BODY.parents[joint]
        if parent >= 0:
            filled[:, joint] = torch.where(filled[:, joint].isnan(), filled[:, parent], filled[:, joint])
    return filled


class Simulator:
    """Draws labelled observations from stored poses.

    Args:
        mocap: poses of a `PoseStore` (h36m17 positions and smpl22 rotations).
        config: ranges of every effect.
    """

    def __init__(self, mocap: Mocap, config: SimulatorConfig | None = None) -> None:
        import roma

        self.config = config or SimulatorConfig()
        pose = torch.from_numpy(np.asarray(mocap.h36m17, dtype=np.float32))
        if len(pose) == 0:
            raise InputError("simulator: the mocap holds no frame")
        local = roma.unitquat_to_rotmat(torch.from_numpy(np.asarray(mocap.rotations, dtype=np.float32)))
        pelvis = local[:, 0]
        chest = pelvis
        for joint in ("spine1", "spine2", "spine3"):
            chest = chest @ local[:, _SMPL.index(joint)]
        self._rotations = mocap.rotations
        self.observed = ~pose.isnan().any(-1)
        filled = _fill_missing_joints(pose)
        bones = pose_to_bones(filled, _BODY)
        frames = torch.stack([pelvis if j in _PELVIS_FRAME else chest for j in range(len(_BODY))], 1)
        #: bone vectors in the trunk's frames (n, 17, 3); the trunk's global and inner rotation (n, 3, 3)
        self.local_bones = (frames.transpose(-1, -2) @ bones.unsqueeze(-1)).squeeze(-1)
        self.pelvis = pelvis
        self.chest_in_pelvis = pelvis.transpose(-1, -2) @ chest

    def __len__(self) -> int:
        return len(self.local_bones)

    # -- the person ----------------------------------------------------------------------------------------

    def _recombined(self, base: Tensor, generator: Generator) -> Tensor:
        """Frame from which each joint's bone is taken: ``(n, 17)``."""
        n = len(base)
        source = base.unsqueeze(-1).repeat(1, len(_BODY))
        mixed = torch.rand(n, generator=generator) < self.config.recombine
        for names, probability in _PARTS:
            donor = torch.randint(len(self), (n,), generator=generator)
            take = mixed & (torch.rand(n, generator=generator) < probability)
            for name in names:
                source[:, _J[name]] = torch.where(take, donor, source[:, _J[name]])
        return source

    def _bodies(self, bones: Tensor, base: Tensor, generator: Generator) -> Tensor:
        """Give each person (of the share that does not keep the recorded one) a body: bones in local frames."""
        n = len(bones)
        changed = torch.rand(n, generator=generator) >= self.config.own_body
        absent = torch.where(self.observed[base], 0.0, _NOMINAL_LENGTHS)
        bodies = self._drawn_bodies(base, generator) if self.config.bodies == "population" else None
        if bodies is None:
            factor = length_factors(self.config.body_spread, n, generator)
        else:
            factor = segment_factors(bodies.lengths, bones.norm(dim=-1), absent)
        new = bones * factor.unsqueeze(-1) + definition_offsets(self.config.definition_spread, n, generator)
        height = uniform(*self.config.body_height, (n,), generator) if bodies is None else bodies.stature
        current = body_height(bones_to_pose(new, _BODY)) + absent.sum(-1)
        # The ankle's height over the floor does not scale with the bones.
        new = new * ((height - ANKLE_HEIGHT) / (current - ANKLE_HEIGHT))[:, None, None]
        if bodies is not None and self.config.marker_sets > 0:
            new = new * self._marker_factors(base, generator).unsqueeze(-1)
        if self.config.own_size < 1:
            own = body_height(bones_to_pose(bones, _BODY)) + absent.sum(-1)
            resized = (torch.rand(n, generator=generator) >= self.config.own_size).unsqueeze(-1).unsqueeze(-1)
            size = ((height - ANKLE_HEIGHT) / (own - ANKLE_HEIGHT))[:, None, None]
            bones = torch.where(resized, bones * size, bones)
        return torch.where(changed[:, None, None], new, bones)

    def _marker_factors(self, base: Tensor, generator: Generator) -> Tensor:
        """What the bones of these people are multiplied by, a share of whom other marker sets measure: ``(n, 17)``."""
        n = len(base)
        factor = marker_factors(n, generator)
        chosen = torch.rand(n, 1, generator=generator) < self.config.marker_sets
        return torch.where(chosen, factor, 1.0)

    def _drawn_bodies(self, base: Tensor, generator: Generator) -> Bodies:
        """Bodies of a population for these frames."""
        return draw_bodies(len(base), generator, self.config.body_spread)

    def _jittered(self, bones: Tensor, generator: Generator) -> Tensor:
        """Turn each limb segment, with all below it, by a small random rotation."""
        import roma

        if self.config.limb_jitter == 0:
            return bones
        n = len(bones)
        angle = math.radians(self.config.limb_jitter) * torch.randn(n, len(_BODY), 3, generator=generator)
        turn = roma.rotvec_to_rotmat(angle)
        turned: dict[int, Tensor] = {}
        out = bones.clone()
        for joint in _BODY.topological_order:
            name, parent = _BODY.joints[joint], _BODY.parents[joint]
            if name.endswith(("knee", "ankle", "elbow", "wrist", "neck_nose")):
                turned[joint] = turned[parent] @ turn[:, joint] if parent in turned else turn[:, joint]
                out[:, joint] = (turned[joint] @ bones[:, joint, :, None]).squeeze(-1)
        return out

    def people(self, base: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Poses in world axes (y up), pelvis at the origin ``(n, 17, 3)`` metres; joints that exist ``(n, 17)``."""
        source = self._recombined(base, generator)
        bones = self.local_bones[source, torch.arange(len(_BODY))]
        bones = self._jittered(_with_lengths(bones, self.local_bones[base]), generator)
        pelvis, chest_in_pelvis = self.pelvis[base], self.chest_in_pelvis[base]
        if self.config.broad > 0:
            bones, chest_in_pelvis = self._broadened(bones, chest_in_pelvis, base, generator)
        if self.config.tilted > 0:
            pelvis = self._tilted(pelvis, generator)
        bones = self._bodies(bones, base, generator)
        chest = pelvis @ chest_in_pelvis
        in_pelvis = torch.tensor([j in _PELVIS_FRAME for j in range(len(_BODY))])
        bones = torch.where(in_pelvis[:, None], bones @ pelvis.transpose(-1, -2), bones @ chest.transpose(-1, -2))
        mirrored = bones[:, _BODY.mirror] * torch.tensor([-1.0, 1.0, 1.0])
        flip = torch.rand(len(base), generator=generator) < self.config.mirror
        observed = self.observed[source, torch.arange(len(_BODY))] & self.observed[base]
        observed = torch.where(flip[:, None], observed[:, _BODY.mirror], observed)
        return bones_to_pose(torch.where(flip[:, None, None], mirrored, bones), _BODY), observed

    def _broadened(
        self, bones: Tensor, chest_in_pelvis: Tensor, base: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """The same with a share of poses drawn within anatomical limits: bones in local frames, chests' rotations."""
        import roma

        rows = (torch.rand(len(base), generator=generator) < self.config.broad).nonzero().squeeze(-1)
        recorded = torch.from_numpy(np.asarray(self._rotations[base[rows].numpy()], dtype=np.float32))
        rotations = broad_rotations(roma.unitquat_to_rotmat(recorded), generator)
        rotations[:, 0] = torch.eye(3)
        points, turned = body_points(rotations, rest_offsets().expand(len(rows), -1, -1))
        chest = turned[:, _SMPL.index("spine3")]
        new = pose_to_bones(points[:, H36M_POINTS], _BODY)
        in_chest = (chest.transpose(-1, -2).unsqueeze(1) @ new.unsqueeze(-1)).squeeze(-1)
        in_pelvis = torch.tensor([j in _PELVIS_FRAME for j in range(len(_BODY))])
        new = torch.where(in_pelvis[:, None], new, in_chest)
        bones, chest_in_pelvis = bones.clone(), chest_in_pelvis.clone()
        bones[rows] = _with_lengths(new, bones[rows])
        chest_in_pelvis[rows] = chest
        return bones, chest_in_pelvis

    def _tilted(self, pelvis: Tensor, generator: Generator) -> Tensor:
        """Pelvis rotations, a share of them with the whole person lying or upside down."""
        chosen = torch.rand(len(pelvis), 1, 1, generator=generator) < self.config.tilted
        return torch.where(chosen, tilts(len(pelvis), self.config.tilt, generator) @ pelvis, pelvis)

    # -- the camera ----------------------------------------------------------------------------------------

    def _cameras(self, base: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """World-to-camera rotations, pelvis positions, intrinsics, image sizes for these frames."""
        c, n = self.config, len(base)
        turn = _axis_rotation(uniform(*c.yaw, (n,), generator), 1)
        tilt = _axis_rotation(self._pitch(n, generator), 0)
        roll = _axis_rotation(uniform(*c.roll, (n,), generator), 2)
        # World y up, a person at yaw 0 faces the camera: y and z change sign (a turn about x by 180 degrees).
        rotation = roll @ tilt @ torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ turn
        aspect = log_uniform(*c.aspect, (n,), generator)
        image_size = c.image * torch.stack([aspect.clamp(max=1.0), (1 / aspect).clamp(max=1.0)], -1)
        image_size = image_size.round()
        view = torch.deg2rad(uniform(*c.field_of_view, (n,), generator))
        focal = 0.5 * image_size.amax(-1) / (view / 2).tan()
        intrinsics = torch.cat([focal[:, None], focal[:, None], image_size / 2], -1)
        pixel = image_size / 2 * (1 + c.placement * uniform(-1, 1, (n, 2), generator))
        ray = torch.cat([(pixel - image_size / 2) / focal[:, None], torch.ones(n, 1)], -1)
        distance = log_uniform(*c.distance, (n, 1), generator)
        return rotation, ray / ray.norm(dim=-1, keepdim=True) * distance, intrinsics, image_size

    def _pitch(self, n: int, generator: Generator) -> Tensor:
        """Degrees by which cameras look down ``(n,)``."""
        c = self.config
        pitch = uniform(*c.pitch, (n,), generator)
        if c.steep == 0:
            return pitch
        steep = torch.rand(n, generator=generator) < c.steep
        return torch.where(steep, uniform(*c.steep_pitch, (n,), generator), pitch)

    # -- the detector --------------------------------------------------------------------------------------

    def _detector_covariance(self, n: int, generator: Generator) -> Tensor:
        """Covariance of the detector in metres² at the person: ``(n, 17, 2, 2)``."""
        c, joints = self.config, len(_BODY)
        sigma = log_uniform(*c.noise, (n, 1), generator) * 1e-3
        sigma = sigma * log_uniform(*c.noise_joint, (n, joints), generator)
        sigma = sigma.clamp(c.noise[0] * 1e-3, c.noise[1] * 1e-3)
        ratio = log_uniform(*c.noise_ratio, (n, joints), generator).sqrt()
        angle = uniform(0, math.pi, (n, joints), generator)
        axis = torch.stack([angle.cos(), angle.sin()], -1)
        low, high = (1e-3 * bound for bound in c.noise)
        along, across = (sigma * ratio).clamp(max=high).square(), (sigma / ratio).clamp(min=low).square()
        outer = axis.unsqueeze(-1) * axis.unsqueeze(-2)
        return across[..., None, None] * torch.eye(2) + (along - across)[..., None, None] * outer

    def _noise(self, base: Tensor, generator: Generator) -> Tensor:
        """Standard normal errors of the detector ``(n, 17, 2)``."""
        return torch.randn(len(base), len(_BODY), 2, generator=generator)

    def _hidden(self, n: int, generator: Generator) -> Tensor:
        """Joints that the detector does not report, by `MISSING_PATTERNS`: ``(n, 17)``."""
        return hidden_joints(self.config.missing, self.config.scattered, n, generator)

    # -- all of it -----------------------------------------------------------------------------------------

    def __call__(self, n: int, generator: Generator, index: Tensor | None = None) -> Observations:
        """Draw ``n`` observations, of random frames or of the given ones. Same generator state, same result."""
        base = torch.randint(len(self), (n,), generator=generator) if index is None else index
        world, observed = self.people(base, generator)
        return self._observe(world, observed, base, generator)[0]

    def _observe(
        self, world: Tensor, observed: Tensor, base: Tensor, generator: Generator
    ) -> tuple[Observations, Tensor]:
        """Put people in front of a camera and a detector: observations, and world-to-camera rotations ``(n, 3, 3)``."""
        c, n = self.config, len(world)
        rotation, root, intrinsics, image_size = self._cameras(base, generator)
        pose = world @ rotation.transpose(-1, -2)
        # Nobody is photographed from inside: keep the nearest joint at least 0.3 m in front of the camera.
        near = (pose[..., 2] + root[:, None, 2]).amin(-1)
        root = root + (0.3 - near).clamp(min=0.0).unsqueeze(-1) * root / root[:, 2:]
        absolute = pose + root.unsqueeze(1)
        exact = project(absolute, intrinsics)

        metric = self._detector_covariance(n, generator)
        if c.noise_by_height:
            metric = metric * (body_height(pose) / _NOISE_HEIGHT).square()[:, None, None, None]
        # The person's distance, not each joint's: the reported uncertainty must not give the depth away.
        pixels_per_metre = intrinsics[:, :1] / root[:, 2:]
        covariance = metric * pixels_per_metre.square()[..., None, None]
        noise = self._noise(base, generator)
        moved = (torch.linalg.cholesky(covariance) @ noise.unsqueeze(-1)).squeeze(-1)
        xy = exact + moved if c.noise_added else exact

        outside = ((xy < 0) | (xy > image_size.unsqueeze(1))).any(-1)
        cut = torch.rand(n, 1, generator=generator) < c.truncate
        visible = observed & ~self._hidden(n, generator) & ~(outside & cut)

        weights = torch.tensor(c.camera_knowledge, dtype=torch.float32)
        knowledge = torch.multinomial(weights, n, replacement=True, generator=generator).unsqueeze(-1)
        unknown = torch.tensor(float("nan"))
        tall = body_height(pose) * (1 + 0.01 * torch.randn(n, generator=generator))
        told = (torch.rand(n, generator=generator) < c.height_known) & observed.all(-1)
        keypoints = Keypoints2D.trusted(
            xy,
            covariance,
            visible,
            torch.where(knowledge >= 1, image_size, unknown),
            intrinsics=torch.where(knowledge >= 2, intrinsics, unknown),
            height=torch.where(told & (tall > 0.3) & (tall < 3.0), tall, unknown),
        )
        return Observations(keypoints, pose, observed, root, base), rotation
