"""The options of every command that reads 2D keypoint files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["FileOptions", "ReadingOptions"]


@dataclass(kw_only=True)
class FileOptions:
    """How keypoint files are read, where they do not tell or tell wrong: a command that reads some inherits these."""

    format: str = "auto"
    """Format of the files, where their content does not tell; a name that is none lists those that are."""
    skeleton: str | None = None
    """Joint order of arrays that do not name their joints, e.g. h36m17 or coco17."""
    image_size: tuple[int, int] | None = None
    """Width and height in pixels, where the files do not tell."""
    confidence_scale: Literal["probability", "peak", "percent", "logit", "sum"] | None = None
    """What the scores are: probabilities, peaks of heat maps, percentages, logits, or sums of scores (default: what the
    format says, else told from the scores)."""
    min_confidence: float | None = None
    """Joints with less confidence, 0 to 1, are missing (default 0.1)."""
    keep_unseen: bool = False
    """Keep people without a visible joint, whose poses are the prior; by default they are left out."""

    def reading(self) -> dict[str, Any]:
        """The arguments of `poseterior.keypoints.reading.read_keypoints`.

        Raises:
            InputError: as `check_reading`.
        """
        self.check_reading()
        return {
            "format": self.format,
            "skeleton": self.skeleton,
            "image_size": self.image_size,
            "confidence_scale": self.confidence_scale,
            "min_confidence": self.min_confidence,
            "keep_unseen": self.keep_unseen,
        }

    def check_reading(self) -> None:
        """Refuse values that no file could be read with, before any is.

        Raises:
            InputError: names the option.
        """
        from ..geometry.skeletons import get_skeleton
        from ..keypoints.detections import size_pair
        from ..keypoints.reading import check_format, check_scores
        from ._common import of_option

        with of_option("--format"):
            check_format(self.format)
        with of_option("--skeleton"):
            if self.skeleton is not None:
                get_skeleton(self.skeleton)
        with of_option("--image-size"):
            if self.image_size is not None:
                size_pair(list(self.image_size), "image_size")
        with of_option("--min-confidence"):
            check_scores(None, self.min_confidence)


@dataclass(kw_only=True)
class ReadingOptions(FileOptions):
    """These, and the camera that saw the keypoints: for a command that lifts them."""

    camera: Path | None = None
    """JSON file with intrinsics: fx, fy, cx, cy in pixels, or a 3x3 K."""
    height: float | None = None
    """The person's height in metres: fixes the scale, which is part of the uncertainty otherwise."""
