"""What the modules beside `poseterior lift` use of its options, so that none imports its caller."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..detect.sources import Sources
    from ..keypoints import Keypoints2D
    from ..keypoints.told import Told
    from ..lifters import Lifter
    from ._common import OnOff
    from ._motion import How

__all__ = ["LiftOptions"]


class LiftOptions(Protocol):
    """`poseterior lift`, as it was called."""

    files: tuple[Path, ...]
    out: Path | None
    lifter: str
    hypotheses: Literal["samples", "kernels"]
    samples: int
    seed: int
    level: float
    evidence: OnOff
    precision: Literal["full", "half"]
    device: str

    clip: Literal["auto", "on", "off"]
    tracks: Literal["auto", "off"]
    person: int | None
    fps: float | None
    max_gap: float
    contacts: bool
    ground: bool
    camera: Path | None

    format: str
    skeleton: str | None
    image_size: tuple[int, int] | None
    confidence_scale: Literal["probability", "peak", "percent", "logit", "sum"] | None
    min_confidence: float | None
    keep_unseen: bool

    video: Path | None
    rig: str | None
    how: How | None
    count: int

    resume: bool
    shard: str
    workers: int | None

    def reading(self) -> dict[str, Any]: ...
    def told(self) -> Told: ...
    def finder(self, shown: Progress) -> tuple[Callable[[Path], Keypoints2D], Callable[[list[Path]], object]]: ...
    def as_told(self, keypoints: Keypoints2D) -> Keypoints2D: ...
    def asks_for_parts(self) -> str: ...
    def check_stream(self, out: Path | None) -> tuple[int, int]: ...
    def check_used(self, sources: Sources) -> None: ...
    def check_drawn(self, motions: bool) -> None: ...
    def check_unused(self) -> None: ...
    def check_turns(self, lifter: Lifter) -> None: ...
    def check_camera(self) -> None: ...
