"""Training: recipes, the Lightning module, runs that resume.

``from poseterior.training import train`` imports lightning, which takes seconds: when it is used, not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..files.extras import need

__all__ = ["train"]

if TYPE_CHECKING:
    from .run import train


def __getattr__(name: str) -> Any:
    if name == "train":
        for package in ("lightning", "tensorboard", "pyarrow"):
            need("train", package, "training")
        from .run import train

        return train
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
