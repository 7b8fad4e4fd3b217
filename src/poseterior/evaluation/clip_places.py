"""Where the pelvis of a clip goes before the camera, and whether feet slide, beside the truth."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..data.observations import Observations
from ..geometry.skeletons import Skeleton

__all__ = ["place_numbers"]

#: Metres a second below which a true ankle stands.
_STILL = 0.2


def place_numbers(
    seen: Observations,
    poses: Float[Tensor, "T joints 3"],
    mean: Float[Tensor, "T 3"],
    paths: Float[Tensor, "samples T 3"],
    axes: Float[Tensor, "T 3 3"],
    skeleton: Skeleton,
    fps: float,
) -> dict[str, Tensor]:
    """Errors of a clip's root, one number a frame.

    Args:
        seen: the frames, with the truth.
        poses: mean poses, metres relative to the pelvis.
        mean, paths: of the pelvis, metres, camera axes.
        axes: from the camera's to those of the ray, which is the third.
        skeleton: of the poses.
        fps: frames a second.

    Returns:
        ``root error`` (mm), ``root acceleration error`` (mm per frame²), whether the middle 90 % of the paths hold the
        truth across the ray and along it (``root held across``, ``root held along``), ``root width along`` (mm), and
        how far ankles go in a frame whose true ones stand (``foot skate``, of the truth itself too; mm).
    """
    truth, shown = seen.root, seen.keypoints.visible.sum(-1) >= 2
    found: dict[str, Tensor] = {}
    away = ((paths - truth).unsqueeze(-2) @ axes.to(paths).mT).squeeze(-2)
    low, high = away.quantile(0.05, 0), away.quantile(0.95, 0)
    held = ((low <= 0) & (high >= 0)).double()
    for name, rows in (("", shown), ("missing: ", ~shown)):
        found[f"{name}root error"] = 1000 * (mean - truth)[rows].norm(dim=-1)
        found[f"{name}root held across"] = held[rows, :2].flatten()
        found[f"{name}root held along"] = held[rows, 2]
        found[f"{name}root width along"] = 1000 * (high - low)[rows, 2]
    three = shown[2:] & shown[1:-1] & shown[:-2]
    found["root acceleration error"] = 1000 * (mean - truth).diff(n=2, dim=0)[three].norm(dim=-1)
    feet = [skeleton.index(f"{side}_ankle") for side in ("left", "right")]
    known = seen.observed[:, feet] & shown.unsqueeze(-1)
    actual = (seen.pose[:, feet] + truth.unsqueeze(-2)).diff(dim=0).norm(dim=-1)
    stands = (actual < _STILL / fps) & known[1:] & known[:-1]
    slides = (poses[:, feet] + mean.unsqueeze(-2)).diff(dim=0).norm(dim=-1)
    return found | {"foot skate": 1000 * slides[stands], "foot skate of the truth": 1000 * actual[stands]}
