"""Any lifter as one of 2D poses along rays, so that `poseterior.objectives.reproject` trains distributions too."""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributions.base import PoseDistribution
from ..files.errors import InputError
from ..geometry.skeletons import SKELETONS
from ..keypoints import Keypoints2D
from ..keypoints.rays import METRES_PER_UNIT, project_at, root_relative_image
from ..lifters import Lifter
from ..lifters.rays import LiftedRays

__all__ = ["DrawnRays"]

#: Pixels of the virtual camera's focal length, and of its keypoints' uncertainty at the nominal distance.
_FOCAL, _SIGMA = 1000.0, 0.5
#: Units from the virtual camera to the root, for lifters that have no distance of their own.
_DISTANCE = 10.0


class DrawnRays:
    """A lifter of keypoints seen as one of 2D poses: one pose is drawn from the distribution that it returns.

    Args:
        lifter: any whose distribution has samples with gradients (`PoseDistribution.weighted_rsample`).
    """

    distance = _DISTANCE
    one_size = True

    def __init__(self, lifter: Lifter) -> None:
        self.lifter = lifter
        self.last: PoseDistribution | None = None

    def image_of(self, keypoints: Keypoints2D) -> tuple[Tensor, Tensor]:
        return root_relative_image(keypoints)

    def log_scale(self, image: Tensor, visible: Tensor) -> Tensor:
        return image.new_zeros(len(image))

    def projected(self, pose: Tensor) -> Tensor:
        return project_at(pose, self.distance)

    seen = projected

    def lift_image(self, image: Tensor, visible: Tensor) -> LiftedRays:
        covariance = (_SIGMA**2 * torch.eye(2, device=image.device)).expand(*image.shape, 2)
        camera = image.new_tensor([_FOCAL, _FOCAL, 0.0, 0.0])
        posterior = self.lifter(Keypoints2D.trusted(_FOCAL * image, covariance, visible, intrinsics=camera))
        self.last = posterior
        poses, weights = posterior.weighted_rsample(1)
        chosen = torch.multinomial(weights.detach().T, 1).squeeze(-1)
        pose = poses[chosen, torch.arange(len(image), device=image.device)] / METRES_PER_UNIT
        return LiftedRays(pose, image.new_zeros(len(image)))

    def log_density(self, pose: Tensor) -> Tensor:
        """Of a pose under the last distribution, mean over the batch, nats per dimension."""
        assert self.last is not None
        if not self.last.has_density:
            raise InputError(f"objective 'reproject': likelihood: lifter {self.lifter.name!r} has no density")
        return self.last.log_prob(METRES_PER_UNIT * pose).mean() / (3.0 * (len(SKELETONS["h36m17"]) - 1))
