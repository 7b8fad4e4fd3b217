"""What a detector tells of joints, of which a noise model makes covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

__all__ = ["Array", "Evidence"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Evidence:
    """What a detector tells of the joints of one person (or of many: any leading dimensions).

    Attributes:
        covariance: ``(*batch, joints, 2, 2)`` of the heat around each, picture axes, the square's side is 1.
        peak: ``(*batch, joints)`` the highest heat there, 0 to 1.
        visibility: ``(*batch, joints)`` 0 to 1.
        border: ``(*batch, joints)`` distance from the nearest edge that cuts the square, the square's side is 1; below
            0 outside of the picture, infinite where no edge cuts the square.
        side: ``(*batch,)`` of the square, px.
    """

    covariance: Array
    peak: Array
    visibility: Array
    border: Array
    side: Array
