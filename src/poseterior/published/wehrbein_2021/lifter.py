"""The published conditional flow as a lifter: samples, but no density to ask for."""

from __future__ import annotations

import dataclasses

from ...keypoints import Keypoints2D
from ...lifters.base import Lifter, LifterConfig, register
from .network import PublishedFlow, PublishedFlowPoses

__all__ = ["PublishedFlowConfig", "PublishedFlowLifter"]


@dataclasses.dataclass(frozen=True)
class PublishedFlowConfig(LifterConfig):
    """Configuration of the published flow: its sizes are fixed, and so is its skeleton."""


@register("flow-published")
class PublishedFlowLifter(Lifter):
    """2D keypoints to the poses that the published flow draws for them.

    Args:
    config: `PublishedFlowConfig`; None for the default.
    """

    unread = ("height", "camera")
    config: PublishedFlowConfig
    config_class = PublishedFlowConfig

    def __init__(self, config: PublishedFlowConfig | None = None) -> None:
        super().__init__(config or PublishedFlowConfig())
        self.network = PublishedFlow()

    def distribution(self, keypoints: Keypoints2D) -> PublishedFlowPoses:
        """Raises `InputError` for a skeleton other than h36m17."""
        return self.network.distribution(keypoints)
