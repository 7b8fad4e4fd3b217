"""Bodies of real populations: how tall people are, and how long their limbs are for it.

Lengths are between joint centres, metres, left and right alike. A body is a stature (`draw_statures`) and the length of
each of `SEGMENTS`, so scaled that `poseterior.geometry.kinematics.body_height` of the body is its stature.

Sources. *Stature*: men 1756 mm, standard deviation 69, and women 1629, 64, of ANSUR II (Gordon et al. 2014, 2012
Anthropometric Survey of U.S. Army Personnel, NATICK/TR-15/007); children of 4 to 17 years by the medians of the CDC
growth charts (Kuczmarski et al. 2002, boys and girls averaged), standard deviation 4.5 % at any age. *Segments*, as
shares of stature: Drillis & Contini (1966) as in Winter (2009) for thigh .245, shin .246 and the heights of hip and
shoulder, .530 and .818; de Leva (1996) for what lies between joint centres in the arm, upper arm .162 of a man and .159
of a woman, forearm .154 and .152 (Drillis & Contini: .146); half the distance of the hip joints, about 88 mm
(Harrington et al. 2007), and of the shoulder joints, ANSUR II's biacromial breadth (.237 and .224 of stature) less a
tenth on either side. *Growth*: a child's head is large and its legs are short, so each segment grows with its own power
of stature (`Segment.growth`), which meets head and neck of .22 of stature at four years and .165 at full size.
*Spread*: standard deviations of segments at a given stature of 3 to 7 %, rounded: of the size of the residuals about
the regressions on stature in ANSUR surveys (Cheverud et al. 1990). Long legs go with long arms, broad hips with broad
shoulders (`Segment.shared`); that long legs go with a short trunk follows from the stature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ...geometry.kinematics import ANKLE_HEIGHT
from ...geometry.skeletons import SKELETONS

__all__ = [
    "SEGMENTS",
    "SHARES",
    "STATURES",
    "STATURE_LIMITS",
    "Bodies",
    "Segment",
    "draw_bodies",
    "draw_statures",
    "segment_factors",
]

_H36M = SKELETONS["h36m17"]


class Segment(NamedTuple):
    """A length of the body that varies between people.

    Attributes:
        joints: h36m17 joints at the far end of its bones. Bones of both sides each have the length; those of a chain
            have it together, divided as they are where they come from.
        share: of stature, a man's and a woman's.
        growth: exponent of stature with which it grows.
        spread: standard deviation of its logarithm at a given stature, of its own.
        shared: the same of what limbs (``"limbs"``) or breadths (``"breadth"``) have in common.
        common: which of them it shares.
    """

    joints: tuple[str, ...]
    share: tuple[float, float]
    growth: float
    spread: float
    shared: float = 0.0
    common: str = ""

    @property
    def is_chain(self) -> bool:
        return self.joints[0] in ("spine", "neck_nose")


#: Every segment; see the module for the sources.
SEGMENTS: dict[str, Segment] = {
    "hips": Segment(("right_hip", "left_hip"), (0.050, 0.053), 0.95, 0.05, 0.04, "breadth"),
    "thighs": Segment(("right_knee", "left_knee"), (0.245, 0.242), 1.12, 0.025, 0.025, "limbs"),
    "shins": Segment(("right_ankle", "left_ankle"), (0.246, 0.244), 1.12, 0.025, 0.025, "limbs"),
    "trunk": Segment(("spine", "thorax"), (0.288, 0.290), 0.95, 0.035),
    "head": Segment(("neck_nose", "head_top"), (0.165, 0.168), 0.45, 0.05),
    "shoulders": Segment(("right_shoulder", "left_shoulder"), (0.110, 0.105), 0.90, 0.04, 0.04, "breadth"),
    "upper arms": Segment(("right_elbow", "left_elbow"), (0.162, 0.159), 1.05, 0.025, 0.025, "limbs"),
    "forearms": Segment(("right_wrist", "left_wrist"), (0.150, 0.148), 1.05, 0.030, 0.025, "limbs"),
}
#: Segments that make up the height.
_CHAIN = ("thighs", "shins", "trunk", "head")
#: Adults' stature: mean and standard deviation, metres.
STATURES = {"men": (1.756, 0.069), "women": (1.629, 0.064)}
#: Who is drawn how often. ``anybody`` is of any stature within the limits, so that the very tall and the very short
#: are not left to the tails.
SHARES = {"men": 0.42, "women": 0.42, "children": 0.11, "anybody": 0.05}
#: Nobody is shorter or taller, metres.
STATURE_LIMITS = (0.95, 2.15)
#: Median stature at 4, 5, ... 17 years, metres.
_CHILDREN = (1.02, 1.085, 1.15, 1.22, 1.28, 1.335, 1.385, 1.44, 1.50, 1.565, 1.62, 1.66, 1.68, 1.69)
_CHILDREN_SPREAD = 0.045
#: Stature at which segments have their stated shares.
_GROWN = 1.70


@dataclass(frozen=True)
class Bodies:
    """Drawn bodies.

    Attributes:
        stature: ``(n,)`` metres.
        lengths: ``(n, segments)`` metres, in the order of `SEGMENTS`.
    """

    stature: Tensor
    lengths: Tensor

    def __getitem__(self, rows: Tensor) -> Bodies:
        return Bodies(self.stature[rows], self.lengths[rows])


def draw_statures(n: int, generator: Generator) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Statures of people in metres, and how much each is built like a woman (0 or 1; between for children)."""
    kind = torch.multinomial(torch.tensor(list(SHARES.values())), n, replacement=True, generator=generator)
    normal = torch.randn(n, generator=generator)
    uniform = torch.rand(n, generator=generator)
    other = torch.rand(n, generator=generator)
    (man, man_spread), (woman, woman_spread) = STATURES["men"], STATURES["women"]
    median = torch.tensor(_CHILDREN)
    age = uniform * (len(_CHILDREN) - 1)
    year = age.long().clamp(max=len(_CHILDREN) - 2)
    child = median[year] + (age - year) * (median[year + 1] - median[year])
    low, high = STATURE_LIMITS
    by_kind = torch.stack(
        [
            man + man_spread * normal,
            woman + woman_spread * normal,
            child * (1 + _CHILDREN_SPREAD * normal),
            low + (high - low) * uniform,
        ]
    )
    build = torch.stack([torch.zeros(n), torch.ones(n), torch.full((n,), 0.5), other])
    rows = torch.arange(n)
    return by_kind[kind, rows].clamp(low, high), build[kind, rows]


def draw_bodies(n: int, generator: Generator, spread: float = 1.0) -> Bodies:
    """Bodies of ``n`` people; ``spread`` scales how much proportions vary at a given stature."""
    stature, build = draw_statures(n, generator)
    own = torch.randn(n, len(SEGMENTS), generator=generator)
    common = dict(zip(("limbs", "breadth"), torch.randn(2, n, generator=generator), strict=True))
    logs = []
    for column, segment in enumerate(SEGMENTS.values()):
        man, woman = segment.share
        share = man + (woman - man) * build
        varied = segment.spread * own[:, column]
        if segment.common:
            varied = varied + segment.shared * common[segment.common]
        logs.append(share.log() + (segment.growth - 1) * (stature / _GROWN).log() + spread * varied)
    shares = torch.stack(logs, -1).exp()
    whole = shares[:, [list(SEGMENTS).index(name) for name in _CHAIN]].sum(-1)
    return Bodies(stature, shares * ((stature - ANKLE_HEIGHT) / whole).unsqueeze(-1))


def segment_factors(
    lengths: Float[Tensor, "n segments"], bones: Float[Tensor, "n 17"], absent: Float[Tensor, "n 17"] | None = None
) -> Float[Tensor, "n 17"]:
    """The factor on each h36m17 bone, named by its far joint, that gives a body these segments.

    Args:
        lengths: wanted, metres.
        bones: lengths as they are, metres; a bone of length zero stays so.
        absent: metres that count for a chain's bone where the source has none.
    """
    factors = torch.ones_like(bones)
    present = bones if absent is None else bones + absent
    for wanted, segment in zip(lengths.unbind(-1), SEGMENTS.values(), strict=True):
        columns = [_H36M.index(joint) for joint in segment.joints]
        now = present[:, columns].sum(-1, keepdim=True) if segment.is_chain else bones[:, columns]
        factors[:, columns] = torch.where(now > 1e-6, wanted.unsqueeze(-1) / now.clamp(min=1e-6), 1.0)
    return factors
