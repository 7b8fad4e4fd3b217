"""What keypoints are told from others by: whoever goes on with a file must have the same."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .keypoints import Keypoints2D

__all__ = ["absorb"]


class _Digest(Protocol):
    def update(self, content: bytes, /) -> None: ...


def absorb(digest: _Digest, keypoints: Keypoints2D) -> None:
    """Everything that an answer depends on: the keypoints, what was told with them, and whose they are."""
    told = ("keys", "covariance", "visible", "image_size", "intrinsics", "height")
    for name in told:
        digest.update(getattr(keypoints, name).cpu().numpy().tobytes())
    ids = keypoints.ids
    digest.update(np.array([(one.frame, one.person) for one in ids], np.int64).tobytes())
    digest.update(repr([*dict.fromkeys(one.file for one in ids)]).encode())
    digest.update(repr(sorted(keypoints.rates.items())).encode())
