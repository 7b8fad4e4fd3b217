"""Fused views as a result."""

from __future__ import annotations

from dataclasses import replace

import torch

from ...results.poses import WORLD_AXES, LiftResult
from ..draws import Draws, Placed, check_draws
from ..poses import result_of
from .fields import FusedFields
from .level import level_words

__all__ = ["fused_result"]


def fused_result(fused: FusedFields, samples: int, seed: int, level: float) -> LiftResult:
    """See `poseterior.lifting.views.FusedPosterior.result`.

    The keypoints of a result are of one picture; those of several cameras are left out, and so are intrinsics. What
    was seen stays.
    """
    check_draws(samples, seed)
    turn = fused.level.float()
    root = fused.skeleton.root
    places = fused.sample_places(samples, seed=seed) @ turn.mT
    drawn = places - places[:, :, root : root + 1]
    placed = Placed(
        places[:, :, root], fused.places[:, root] @ turn.mT, turn @ fused.place_covariance[:, root] @ turn.mT
    )
    region = fused.region(level)
    region = replace(region, centre=region.centre @ turn.mT)
    mean, covariance = fused.mean @ turn.mT, turn @ fused.covariance @ turn.mT
    nothing = drawn.new_full(drawn.shape[:2], torch.nan)
    keypoints = fused.keypoints.to("cpu")
    nowhere = torch.full_like(keypoints.intrinsics, torch.nan)
    bare = keypoints._replace(intrinsics=nowhere, image_size=torch.full_like(keypoints.image_size, torch.nan))
    bare.rates = dict.fromkeys((identity.file for identity in keypoints.ids), fused.fps)
    result = result_of(fused.lifter, bare, [Draws(drawn, mean, covariance, nothing, region, placed=placed)], seed)
    angles = (
        ""
        if fused.recalibration is None or fused.recalibration.angles is None
        else (fused.recalibration.angles.to_json())
    )
    world = {"camera": fused.settings.get("views", ""), "world": level_words(fused.level.numpy())}
    kept = {name: text for name, text in result.settings.items() if name != "camera"}
    return replace(
        result,
        axes=WORLD_AXES,
        angle_calibration=angles,
        settings=kept | {n: t for n, t in fused.settings.items() if n != "views"} | world,
    )
