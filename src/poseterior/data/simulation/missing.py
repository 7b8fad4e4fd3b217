"""Joints that a detector does not report: by weighted patterns, or exact numbers of joints of the limbs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Generator, Tensor

from ...files.errors import InputError
from ...files.settings import is_number, whole
from ...geometry.skeletons import SKELETONS

__all__ = ["COUNT", "LIMB_JOINTS", "MISSING_PATTERNS", "check_missing", "hidden_joints"]

_BODY = SKELETONS["h36m17"]

#: Ways in which joints go missing.
MISSING_PATTERNS = ("none", "scattered", "limb", "lower", "upper", "side", "few", "all")
#: The setting that says how many, instead of weights of patterns.
COUNT = "count"
#: The joints of which so many go missing: knees, ankles, elbows, wrists (Li & Lee, CVPR 2019).
LIMB_JOINTS = tuple(j for j, name in enumerate(_BODY.joints) if name.endswith(("knee", "ankle", "elbow", "wrist")))


def check_missing(missing: Any, name: str = "simulator.missing") -> None:
    """Refuse what says neither weights of `MISSING_PATTERNS` nor ``count: [fewest, most]``.

    Raises:
        InputError: names the setting.
    """
    if not isinstance(missing, Mapping):
        raise InputError(f"{name}: expected pattern: weight pairs, got {missing!r}")
    if COUNT in missing:
        others = sorted(set(missing) - {COUNT})
        if others:
            raise InputError(f"{name}: give count, or weights of patterns ({', '.join(others)}), not both")
        _check_count(missing[COUNT], f"{name}.{COUNT}")
        return
    unknown = set(missing) - set(MISSING_PATTERNS)
    if unknown:
        raise InputError(f"{name}: unknown pattern {sorted(unknown)}; known: {(*MISSING_PATTERNS, COUNT)}")
    weights = list(missing.values())
    for weight in weights:
        if not is_number(weight):
            raise InputError(f"{name}: expected {len(weights)} finite numbers, got {weights}")
    if min(weights, default=0) < 0 or not sum(weights) > 0:
        weights = [float(weight) for weight in weights]
        raise InputError(f"{name}: expected weights from 0 with a sum above 0, got {tuple(weights)}")


def _check_count(count: Any, name: str) -> None:
    expected = f"[fewest, most], whole numbers from 0 to {len(LIMB_JOINTS)}"
    if not isinstance(count, list | tuple) or len(count) != 2:
        raise InputError(f"{name}: expected {expected}, got {count!r}")
    low, high = (whole(number, name, 0, expected=expected) for number in count)
    if not low <= high <= len(LIMB_JOINTS):
        raise InputError(f"{name}: expected {expected}, got {list(count)}")


def hidden_joints(
    missing: Mapping[str, Any], scattered: tuple[float, float], n: int, generator: Generator
) -> Bool[Tensor, "n 17"]:
    """Joints of h36m17 that are not reported, of ``n`` poses.

    Args:
        missing: weights of `MISSING_PATTERNS`; or ``{"count": (fewest, most)}``: of every pose exactly so many of
            `LIMB_JOINTS`, every number as likely as another.
        scattered: (low, high) share of the joints missing under the pattern "scattered".
        n: how many poses.
        generator: of all that is drawn.
    """
    if COUNT in missing:
        low, high = missing[COUNT]
        count = torch.randint(int(low), int(high) + 1, (n, 1), generator=generator)
        place = torch.rand(n, len(LIMB_JOINTS), generator=generator).argsort(-1).argsort(-1)
        hidden = torch.zeros(n, len(_BODY), dtype=torch.bool)
        hidden[:, list(LIMB_JOINTS)] = place < count
        return hidden
    masks = _patterns(scattered, n, generator)
    weights = torch.tensor([float(missing.get(name, 0.0)) for name in MISSING_PATTERNS])
    chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
    return torch.stack([masks[name] for name in MISSING_PATTERNS])[chosen, torch.arange(n)]


def _patterns(scattered: tuple[float, float], n: int, generator: Generator) -> dict[str, Tensor]:
    joints = len(_BODY)
    limbs = torch.zeros(4, joints, dtype=torch.bool)
    for row, members in zip(limbs, _BODY.limbs.values(), strict=True):
        row[list(members)] = True
    is_leg = torch.tensor([any(w in name for w in ("knee", "ankle")) for name in _BODY.joints])
    is_hip = torch.tensor([name.endswith(("hip", "pelvis")) for name in _BODY.joints])
    low, high = scattered
    share = low + (high - low) * torch.rand((n, 1), generator=generator)
    order = torch.rand(n, joints, generator=generator)
    side = torch.tensor([[s == "left" for s in _BODY.sides], [s == "right" for s in _BODY.sides]])
    with_hips = torch.rand(n, 1, generator=generator) < 0.5
    upper = torch.tensor([not (leg or hip) for leg, hip in zip(is_leg, is_hip, strict=True)])
    return {
        "none": torch.zeros(n, joints, dtype=torch.bool),
        "scattered": order < share,
        "limb": limbs[torch.randint(4, (n,), generator=generator)],
        "lower": is_leg | (is_hip & with_hips),
        "upper": upper.expand(n, joints),
        "side": side[torch.randint(2, (n,), generator=generator)],
        "few": order.argsort(-1).argsort(-1) >= 3,
        "all": torch.ones(n, joints, dtype=torch.bool),
    }
