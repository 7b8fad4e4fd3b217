"""The evidence: 2D keypoints of people, the files they come in, and the view in which a lifter sees them."""

from .keypoints import (
    FULL_CONFIDENCE_SPREAD,
    MAXIMUM_COORDINATE,
    MINIMUM_CONFIDENCE,
    MINIMUM_SPREAD_PX,
    Keypoints2D,
    PoseId,
    confidence_to_spread,
    person_size,
)

__all__ = [
    "FULL_CONFIDENCE_SPREAD",
    "MAXIMUM_COORDINATE",
    "MINIMUM_CONFIDENCE",
    "MINIMUM_SPREAD_PX",
    "Keypoints2D",
    "PoseId",
    "confidence_to_spread",
    "person_size",
]
