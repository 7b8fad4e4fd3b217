"""Fixed protocols: poses and observations saved once, so that every lifter sees the same input.

The main ones stand in order of what they tell: first other people (`people`, `strangers`), then detectors that are not
what they say (`noisy-sigma`, `ar1`), last the bodies and motions that lifters were trained on.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor

from ...files.errors import InputError
from ...geometry.cameras import ASSUMED_FIELD_OF_VIEW
from ...geometry.skeletons import SKELETONS
from ...keypoints import PoseId
from ..observations import Observations, ObservationSet
from ..store import Mocap, PoseStore
from .bodies import BodySimulator
from .clips import PeopleSimulator, SteadyPeopleSimulator, SteadySimulator
from .simulator import Simulator, SimulatorConfig

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "simulate",
]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A fixed way of turning a store into observations.

    Attributes:
        name: short name.
        description: one line.
        data: which data it is meant for.
        simulator: ranges.
        fps: frame rate to which clips are thinned.
        seed: of everything drawn.
        version: raised whenever the meaning changes.
        people: ``"recorded"`` joint positions, ``"steady"`` (recorded, one camera a clip, frames in a row),
            ``"walking"`` (as steady, and they go where they were recorded to go), ``"articulated"`` (the shipped body
            turned by the recorded rotations, which are kept as truth), ``"population"`` (recorded motions, one body of
            `poseterior.data.simulation.population` a clip) or ``"moving"`` (both steady and of a population).
        hide: joints that are not seen besides what the simulator hides: their names, or how many (drawn anew for
            each pose).
        reported: (low, high) of the factor by which the reported covariance is not the true one, one per clip
            (log-uniform); keypoints, hidden joints and truth stay what they are without it.
        correlation: of the detector's errors from frame to frame, of ``"steady"`` and ``"moving"`` people.
        gaps: share of the frames in which nobody is seen, in stretches of 3 to 12.
        each_subject: a limited number of frames is divided evenly among the subjects, not among the frames.
        group: sweep that it belongs to, or ``"main"``.
        label: what sets it apart in its sweep.
        value: the same as a number, if it is one.
    """

    name: str
    description: str
    data: str
    simulator: SimulatorConfig
    fps: float = 10.0
    seed: int = 2026
    version: int = 1
    people: Literal["recorded", "steady", "walking", "articulated", "population", "moving"] = "recorded"
    hide: int | tuple[str, ...] = 0
    reported: tuple[float, float] = (1.0, 1.0)
    correlation: float = 0.0
    gaps: float = 0.0
    each_subject: bool = False
    group: str = "main"
    label: str = ""
    value: float | None = None

    @property
    def in_a_row(self) -> bool:
        """Whether rows of a clip are frames of one steady camera, one after the other."""
        return self.people in ("steady", "walking", "moving")


#: A person as recorded, somewhere in the middle of the picture, by a camera whose intrinsics are given.
_PLAIN = SimulatorConfig(
    mirror=0.0, recombine=0.0, limb_jitter=0.0, own_body=1.0, pitch=(-5.0, 25.0), roll=(-5.0, 5.0),
    distance=(2.5, 7.0), field_of_view=(40.0, 70.0), placement=0.3, aspect=(1.0, 1.78), noise=(2.0, 25.0),
    noise_joint=(0.5, 2.0), missing={"scattered": 1.0}, scattered=(0.05, 0.05), truncate=0.0,
    camera_knowledge=(0.0, 0.0, 1.0), height_known=0.0,
)  # fmt: skip
#: The same with every joint in sight.
_WHOLE = dataclasses.replace(_PLAIN, missing={"none": 1.0})
_LEGS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in ("knee", "ankle"))


def _sweeps() -> list[Protocol]:
    """One thing changed at a time: joints in sight, the detector's noise, the camera's pitch and field of view."""
    any_store = "any store"
    hidden: dict[str, tuple[str, int | tuple[str, ...]]] = {
        f"masks-{count}": (f"{count} joints", count) for count in (0, 2, 4, 8)
    }
    hidden |= {
        "masks-arm": ("one arm", ("right_shoulder", "right_elbow", "right_wrist")),
        "masks-legs": ("legs", _LEGS),
        "masks-lower": ("lower body", (*_LEGS, "left_hip", "right_hip", "pelvis")),
    }
    protocols = [
        Protocol(
            name, f"as cmu-test, {label} missing", any_store, _WHOLE, hide=hide, group="masks", label=label,
            value=float(hide) if isinstance(hide, int) else None,
        )
        for name, (label, hide) in hidden.items()
    ]  # fmt: skip

    def swept(group: str, name: str, value: int, unit: str, what: str, **ranges: tuple[float, ...]) -> Protocol:
        simulator = dataclasses.replace(_WHOLE, **ranges)  # type: ignore[arg-type]
        text = f"nothing missing, {what} {value}{unit}"
        return Protocol(
            f"{name}-{value}", text, any_store, simulator, group=group, label=f"{value}{unit}", value=float(value)
        )

    for noise in (2, 5, 10, 20, 40):
        protocols.append(swept("noise", "noise", noise, " mm", "detector noise of every joint", noise=(noise, noise)))
    for pitch in (-15, 0, 15, 30, 60):
        protocols.append(swept("pitch", "pitch", pitch, "°", "the camera looks down by", pitch=(pitch, pitch)))
    # With the intrinsics known a field of view is no more than a scale of the picture: here the lifter has to assume.
    for view in (25, 40, 55, 70, 90):
        what = f"only the image size known ({ASSUMED_FIELD_OF_VIEW:g}° assumed), field of view"
        ranges = {"field_of_view": (view, view), "camera_knowledge": (0.0, 1.0, 0.0)}
        protocols.append(swept("field of view", "fov", view, "°", what, **ranges))
    # As cmu-test, which is the factor 1.
    for factor in (0.25, 0.5, 2.0, 4.0):
        text = f"as cmu-test, reported covariance {factor:g} times the true one"
        protocols.append(
            Protocol(
                f"sigma-{factor:g}", text, any_store, _PLAIN, reported=(factor, factor), group="sigma",
                label=f"×{factor:g}", value=factor,
            )
        )  # fmt: skip
    return protocols


#: Frames in a row, from and to, in which nobody is seen.
_STRETCH = (3, 12)
#: Frames in a row, at least, of a clip that is long enough: two seconds.
_LEAST = 60
#: As `_PLAIN` and `_WHOLE`, on bodies of a population, one a clip.
_PEOPLE = dataclasses.replace(_PLAIN, own_body=0.0, bodies="population", definition_spread=0.0)
_EXACT = {"missing": {"none": 1.0}, "noise": (2.0, 2.0), "noise_added": False}

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            "people",
            "as cmu-test, every clip on the body of a random person: men, women, children, the very tall",
            "any store",
            _PEOPLE,
            people="population",
        ),
        Protocol(
            "strangers",
            "as cmu-test, on subjects of whom no lifter saw anything",
            "subjects held out: CMU 35, 49 and 131, ReActIdle 004, 007 and 008, Bandai-Namco",
            _PLAIN,
            each_subject=True,
        ),
        Protocol(
            "people-exact",
            "as people, exact projections, nothing missing (2 mm reported)",
            "any store",
            dataclasses.replace(_PEOPLE, **_EXACT),  # type: ignore[arg-type]
            people="population",
        ),
        Protocol(
            "noisy-sigma",
            "as cmu-test, reported covariance 1/4 to 4 times the true one, a factor per clip",
            "any store",
            _PLAIN,
            reported=(0.25, 4.0),
        ),
        Protocol(
            "ar1",
            "as cmu-motion, the detector's errors correlated by 0.8 from frame to frame",
            "any store",
            _PLAIN,
            fps=30.0,
            people="steady",
            correlation=0.8,
        ),
        Protocol(
            "simulated",
            "everything that training draws: bodies, cameras known or not, noise 2-40 mm, joints and halves missing",
            "any store",
            SimulatorConfig(),
        ),
        Protocol(
            "bandai-cross",
            "as cmu-test, on other actors, proportions and joint definitions",
            "Bandai-Namco dataset-1 (non-commercial)",
            _PLAIN,
        ),
        Protocol(
            "strangers-motion",
            "as cmu-motion, on subjects of whom no lifter saw anything",
            "subjects held out: CMU 35, 49 and 131, ReActIdle 004, 007 and 008, Bandai-Namco",
            _PLAIN,
            fps=30.0,
            people="steady",
        ),
        Protocol(
            "bandai-motion",
            "as cmu-motion, on other actors, proportions and joint definitions",
            "Bandai-Namco dataset-1 (non-commercial)",
            _PLAIN,
            fps=30.0,
            people="steady",
        ),
        Protocol(
            "gaps",
            "as cmu-motion, a fifth of the frames missing in stretches of 3 to 12",
            "any store",
            _PLAIN,
            fps=30.0,
            people="steady",
            gaps=0.2,
        ),
        Protocol(
            "moving-body",
            "as cmu-motion, every clip on the body of a random person",
            "any store",
            _PEOPLE,
            fps=30.0,
            people="moving",
        ),
        Protocol(
            "walks",
            "as cmu-motion, people go where they were recorded to go, 4 to 8 m from the camera",
            "any store",
            dataclasses.replace(_PLAIN, distance=(4.0, 8.0)),
            fps=30.0,
            people="walking",
        ),
        Protocol("cmu-test", "detector noise 2-25 mm, 5 % of the joints missing", "CMU BVH test clips", _PLAIN),
        Protocol(
            "cmu-clean",
            "exact projections, nothing missing (2 mm reported)",
            "CMU BVH test clips",
            dataclasses.replace(_WHOLE, noise=(2.0, 2.0), noise_added=False),
        ),
        Protocol(
            "cmu-occluded",
            "as cmu-test, one whole limb or the lower body missing",
            "CMU BVH test clips",
            dataclasses.replace(_PLAIN, missing={"limb": 0.5, "lower": 0.5}),
        ),
        Protocol(
            "cmu-motion",
            "as cmu-test at 30 Hz, one steady camera a clip, frames in a row",
            "CMU BVH test clips",
            _PLAIN,
            fps=30.0,
            people="steady",
        ),
        Protocol(
            "cmu-bodies",
            "as cmu-test, the shipped body (bones within 3 %) turned by the recorded rotations",
            "CMU BVH test clips",
            _PLAIN,
            people="articulated",
        ),
        *_sweeps(),
    )
}


def simulate(store: str | Path | PoseStore, protocol: str | Protocol, limit: int | None = None) -> ObservationSet:
    """Observe every (thinned) frame of a store once, by a fixed protocol.

    Args:
        store: a `PoseStore` or its folder.
        protocol: name or `Protocol`.
        limit: take this many frames, evenly spread, instead of all.

    Raises:
        InputError: unknown protocol, or a folder that is no store.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit: expected at least 1, got {limit}")
    if isinstance(protocol, str):
        if protocol not in PROTOCOLS:
            raise InputError(f"unknown protocol {protocol!r}; known: {', '.join(PROTOCOLS)}")
        protocol = PROTOCOLS[protocol]
    mocap = (store if isinstance(store, PoseStore) else PoseStore(store)).load(fps=protocol.fps)
    index = _chosen(mocap, protocol, limit)
    generator = torch.Generator().manual_seed(protocol.seed)
    observations = _simulator(mocap, protocol)(len(index), generator, index)
    if protocol.hide:
        observations = _hidden(observations, protocol.hide, generator)
    clips = mocap.clip[index.numpy()]
    if protocol.gaps:
        observations = _interrupted(observations, torch.from_numpy(clips), protocol.gaps, generator)
    if protocol.reported != (1.0, 1.0):
        observations = _misreported(observations, torch.from_numpy(clips), protocol.reported, generator)
    ids = [PoseId(mocap.clip_names[c], int(f), 0) for c, f in zip(clips, mocap.frame[index.numpy()], strict=True)]
    keypoints = observations.keypoints._replace(ids=ids)
    return ObservationSet(
        dataclasses.replace(observations, keypoints=keypoints),
        tuple(mocap.action[c] for c in clips),
        tuple(mocap.subject[c] for c in clips),
        f"{protocol.name} v{protocol.version}",
        protocol.seed,
    )


def _simulator(mocap: Mocap, protocol: Protocol) -> Simulator:
    if protocol.in_a_row:
        if protocol.people == "moving":
            return SteadyPeopleSimulator(mocap, protocol.simulator, protocol.correlation)
        return SteadySimulator(mocap, protocol.simulator, protocol.correlation, walks=protocol.people == "walking")
    kinds = {"recorded": Simulator, "articulated": BodySimulator, "population": PeopleSimulator}
    return kinds[protocol.people](mocap, protocol.simulator)


def _chosen(mocap: Mocap, protocol: Protocol, limit: int | None) -> Int[Tensor, " frames"]:
    """The rows that are observed."""
    clip = torch.from_numpy(mocap.clip)
    if not protocol.each_subject or limit is None:
        return _frames(clip, limit, in_a_row=protocol.in_a_row)
    names = list(dict.fromkeys(mocap.subject))
    subject = torch.tensor([names.index(name) for name in mocap.subject])[clip]
    own = [(subject == number).nonzero().squeeze(-1) for number in range(len(names))]
    own = sorted((rows for rows in own if len(rows)), key=len)
    taken: list[Tensor] = []
    left = limit
    for number, rows in enumerate(own):
        # What small subjects leave goes to the larger ones.
        share = min(len(rows), left // (len(own) - number))
        left -= share
        taken.append(rows[torch.linspace(0, len(rows) - 1, share).long()])
    return torch.cat(taken).sort().values


def _misreported(
    observations: Observations, clips: Tensor, factors: tuple[float, float], generator: torch.Generator
) -> Observations:
    """The same with every clip's reported covariance times a factor of its own; nothing else changes."""
    present, row = clips.unique(return_inverse=True)
    low, high = (math.log(bound) for bound in factors)
    factor = (low + (high - low) * torch.rand(len(present), generator=generator)).exp()[row]
    keypoints = observations.keypoints
    covariance = keypoints.covariance * factor[:, None, None, None]
    return dataclasses.replace(observations, keypoints=keypoints._replace(covariance=covariance))


def _interrupted(observations: Observations, clips: Tensor, share: float, generator: torch.Generator) -> Observations:
    """The same with nobody seen in stretches of `_STRETCH` frames of each clip, rows one after the other."""
    low, high = _STRETCH
    between = 0.5 * (low + high) * (1.0 - share) / share  # mean number of frames from a stretch to the next one
    seen = torch.ones(len(clips), dtype=torch.bool)
    for number in clips.unique():
        own = (clips == number).nonzero().squeeze(-1)
        at = int(torch.randint(int(between) + 1, (), generator=generator))
        while at < len(own):
            end = at + int(torch.randint(low, high + 1, (), generator=generator))
            seen[own[at:end]] = False
            at = end + int(torch.randint(int(0.5 * between), int(1.5 * between) + 1, (), generator=generator))
    keypoints = observations.keypoints
    return dataclasses.replace(
        observations, keypoints=keypoints._replace(visible=keypoints.visible & seen.unsqueeze(-1))
    )


def _frames(clip: Int[Tensor, " rows"], limit: int | None, in_a_row: bool) -> Int[Tensor, " frames"]:
    """At most ``limit`` rows, evenly spread; or from the middle of clips, evenly spread, one after the other."""
    index = torch.arange(len(clip))
    if limit is None or limit >= len(index):
        return index
    if not in_a_row:
        return index[torch.linspace(0, len(index) - 1, limit).long()]
    clips = clip.unique()
    each = min(limit, max(_LEAST, limit // len(clips)))
    chosen = torch.linspace(0, len(clips) - 1, min(len(clips), max(1, limit // each))).round().long()
    rows = []
    for number in clips[chosen]:
        own = index[clip == number]
        start = max(0, (len(own) - each) // 2)
        rows.append(own[start : start + each])
    return torch.cat(rows)


def _hidden(observations: Observations, hide: int | tuple[str, ...], generator: torch.Generator) -> Observations:
    """The same with these joints, or so many drawn anew for each pose, not seen."""
    keypoints = observations.keypoints
    if isinstance(hide, int):
        order = torch.rand(keypoints.visible.shape, generator=generator).argsort(-1).argsort(-1)
        seen = order >= hide
    else:
        seen = torch.ones_like(keypoints.visible)
        seen[:, [SKELETONS["h36m17"].index(name) for name in hide]] = False
    return dataclasses.replace(observations, keypoints=keypoints._replace(visible=keypoints.visible & seen))
