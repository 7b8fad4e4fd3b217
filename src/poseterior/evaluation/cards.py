"""What a card says about a short benchmark, and whether the weights still do what their card says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "CARD_POSES",
    "CARD_PROTOCOLS",
    "CARD_SAMPLES",
    "card_numbers",
    "drift",
]

#: The short benchmark: five minutes for all shipped lifters.
CARD_PROTOCOLS = ("cmu-test", "cmu-occluded")
CARD_POSES = 200
CARD_SAMPLES = 100

#: Number -> (where it is in a unit, how far it may be off, whether that is a share of it). Weights are the same to the
#: bit, so what is left is the order of floating-point sums on another processor, and other random numbers if torch
#: ever draws them otherwise.
_NUMBERS: dict[str, tuple[tuple[str, ...], float, bool]] = {
    "MPJPE": (("estimates", "mean", "MPJPE"), 0.02, True),
    "P-MPJPE": (("estimates", "mean", "P-MPJPE"), 0.02, True),
    "energy score": (("scores", "energy score"), 0.02, True),
    "calibration": (("calibration", "all", "mean"), 0.015, False),
    "signed": (("calibration", "all", "signed"), 0.015, False),
    "region": (("region", "mean"), 0.015, False),
    "region, whole pose": (("region", "pose"), 0.03, False),
}


def card_numbers(unit: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a unit that go onto a card."""
    found = {}
    for name, (path, _, _) in _NUMBERS.items():
        value: Any = unit
        for key in path:
            value = value[key]
        found[name] = float(value)
    return found


def drift(card: Mapping[str, Any], unit: Mapping[str, Any], protocol: str) -> list[str]:
    """Where a unit of the short benchmark is not what the card says, in sentences; empty if it is.

    Args:
        card: of the lifter, with the section ``benchmark``.
        unit: of `measure`, on ``CARD_POSES`` poses with ``CARD_SAMPLES`` samples.
        protocol: one of `CARD_PROTOCOLS`.
    """
    said = card.get("benchmark", {}).get(protocol)
    if said is None:
        return [f"the card says nothing about {protocol}"]
    found, wrong = card_numbers(unit), []
    for name, (_, allowed, relative) in _NUMBERS.items():
        off = abs(found[name] - said[name])
        if off > allowed * (abs(said[name]) if relative else 1.0):
            wrong.append(f"{name} on {protocol} is {found[name]:g}, the card says {said[name]:g}")
    return wrong
