"""A few poses that stand for a pose's samples, the same ones from frame to frame."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

__all__ = ["representatives"]

#: Fewer samples are not worth clusters; so many clusters; poses at a time.
_LEAST, _COUNT, _CHUNK = 12, 3, 64


def representatives(
    samples: Float[NDArray[np.float32], "poses samples joints 3"], follow: bool
) -> tuple[Float[NDArray[np.float64], "poses k joints 3"], Float[NDArray[np.float64], "poses k"]] | None:
    """Three clusters of each pose's samples (`poseterior.distributions.clustering.cluster`) and their shares.

    Args:
        samples: metres.
        follow: the poses follow each other in time: a cluster keeps its number from one to the next, so that it moves
            instead of jumping. Otherwise the likeliest comes first.

    Returns:
        None where there are fewer than 12 samples.
    """
    if samples.shape[1] < _LEAST or not len(samples):
        return None
    import torch

    from ...distributions.clustering import cluster

    parts = [
        cluster(torch.from_numpy(np.array(samples[start : start + _CHUNK].swapaxes(0, 1))), _COUNT)
        for start in range(0, len(samples), _CHUNK)
    ]
    poses, shares = (np.concatenate([part[i].double().numpy() for part in parts]) for i in (0, 1))
    if follow:
        orders = [list(order) for order in itertools.permutations(range(_COUNT))]
        for before, now in itertools.pairwise(range(len(poses))):
            moved = [float(np.square(poses[now, order] - poses[before]).sum()) for order in orders]
            best = orders[int(np.argmin(moved))]
            poses[now], shares[now] = poses[now, best], shares[now, best]
    return poses, shares
