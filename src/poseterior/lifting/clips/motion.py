"""How lively each joint of a clip is, as the clip itself says."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from .filtering import Seen, filtered

__all__ = ["DENSITIES", "density_evidence", "likeliest_densities", "motion_densities"]

#: Spectral densities of the acceleration that are tried, m²/s³: from hips that hardly move in the pelvis to a wrist
#: that throws.
DENSITIES = np.logspace(-3.0, 3.0, 13)


def motion_densities(seen: Seen) -> Float[NDArray[np.float64], " d"]:
    """The density of each joint's acceleration, the same in all of its three coordinates.

    The geometric mean over `DENSITIES`, each weighted by how probable it makes what is seen.

    Args:
        seen: coordinates x, y, z of one joint after the other.
    """
    return likeliest_densities(density_evidence(seen))


def density_evidence(seen: Seen) -> Float[NDArray[np.float64], "densities joints"]:
    """How probable each of `DENSITIES` makes what is seen of each joint, nats; of stretches of a clip it adds up."""
    size = seen.value.shape[1]
    found = filtered(seen, np.broadcast_to(DENSITIES[:, None], (len(DENSITIES), size)), keep=False)
    evidence: NDArray[np.float64] = found.log_evidence.reshape(len(DENSITIES), -1, 3).sum(-1)
    return evidence


def likeliest_densities(evidence: Float[NDArray[np.float64], "densities joints"]) -> Float[NDArray[np.float64], " d"]:
    """`motion_densities` of `density_evidence`."""
    weight = np.exp(evidence - evidence.max(0))
    density = np.exp((weight * np.log(DENSITIES)[:, None]).sum(0) / weight.sum(0))
    return np.repeat(density, 3)
