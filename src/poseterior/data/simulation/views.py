"""People before several calibrated cameras: what a multi-view posterior can be tested on exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from ...files.errors import InputError
from ...geometry.cameras import project
from ...keypoints import Keypoints2D, PoseId
from ...keypoints.calibration import Camera
from ..store import Mocap
from .clips import SteadyPeopleSimulator
from .protocols import PROTOCOLS

__all__ = ["ViewedClip", "simulated_views"]

#: Focal length and picture, px.
_FOCAL, _SIZE = (900.0, 1600.0), (1920.0, 1080.0)
#: Metres from the cameras to the person, degrees by which cameras look down and are off from even angles.
_DISTANCE, _PITCH, _OFF = (3.0, 6.0), (-5.0, 25.0), 15.0
#: Factor on the noise of each joint in each camera.
_JOINT = (0.5, 2.0)


@dataclass(frozen=True)
class ViewedClip:
    """A clip of one person, seen by several cameras.

    Attributes:
        keypoints: by camera, one row per frame.
        cameras: by name; the world's y points down.
        places: ``(T, joints, 3)`` metres, of all joints in the world.
        observed: ``(T, joints)`` joints that the truth has.
    """

    keypoints: dict[str, Keypoints2D]
    cameras: dict[str, Camera]
    places: Float[Tensor, "T joints 3"]
    observed: Bool[Tensor, "T joints"]


def simulated_views(
    mocap: Mocap,
    clips: int,
    frames: int,
    views: int = 4,
    seed: int = 0,
    *,
    noise: tuple[float, float] = (2.0, 25.0),
    missing: float = 0.05,
    correlation: float = 0.0,
) -> list[ViewedClip]:
    """Clips of people of a population (as the protocol ``moving-body``), with cameras around them.

    Args:
        mocap: motions, whose rows are evenly apart; clips of fewer frames are left out.
        clips: how many; fewer where there are no more that are long enough.
        frames: of each.
        views: cameras.
        seed: of everything drawn.
        noise: millimetres at the person, standard deviation of the detector, one per clip (log-uniform).
        missing: share of the keypoints.
        correlation: of a keypoint's error from frame to frame.

    Raises:
        InputError: no clip of so many frames.
    """
    generator = torch.Generator().manual_seed(seed)
    number = torch.as_tensor(mocap.clip).long()
    long_enough = [clip for clip in number.unique().tolist() if int((number == clip).sum()) >= frames]
    if not long_enough:
        raise InputError(f"views: there is no clip of {frames} frames")
    simulator = SteadyPeopleSimulator(mocap, PROTOCOLS["moving-body"].simulator)
    found = []
    for place, pick in enumerate(torch.randperm(len(long_enough), generator=generator)[:clips].tolist()):
        own = (number == long_enough[pick]).nonzero().squeeze(-1)
        start = int(torch.randint(len(own) - frames + 1, (), generator=generator))
        rows = own[start : start + frames]
        observations = simulator(frames, generator, rows)
        pelvis = torch.from_numpy(np.array(mocap.h36m17[rows.numpy(), 0])).double()
        path = (pelvis - pelvis.mean(0)).nan_to_num(0.0) * torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
        places = observations.pose.double() + path.unsqueeze(1)
        cameras = _cameras(views, generator)
        size = float(torch.empty(()).uniform_(*map(math.log, noise), generator=generator).exp())
        keypoints = {
            name: _seen(places, observations.observed, camera, size, missing, correlation, generator, place)
            for name, camera in cameras.items()
        }
        found.append(ViewedClip(keypoints, cameras, places, observations.observed))
    return found


def _cameras(count: int, generator: Generator) -> dict[str, Camera]:
    """Cameras evenly around the origin, more or less, which they look at."""

    def drawn(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    first = drawn(0.0, 360.0)
    cameras = {}
    for number in range(count):
        yaw = math.radians(first + 360.0 * number / count + drawn(-_OFF, _OFF))
        pitch, far = math.radians(drawn(*_PITCH)), drawn(*_DISTANCE)
        forward = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
        right = np.array([math.cos(yaw), 0.0, -math.sin(yaw)])
        rotation = np.stack([right, np.cross(forward, right), forward])
        focal = drawn(*_FOCAL)
        cameras[f"cam{number + 1}"] = Camera(
            f"cam{number + 1}", (focal, focal, _SIZE[0] / 2, _SIZE[1] / 2), rotation,
            np.array([drawn(-0.3, 0.3), drawn(-0.2, 0.2), far]), image_size=_SIZE,
        )  # fmt: skip
    return cameras


def _seen(
    places: Float[Tensor, "T joints 3"],
    observed: Bool[Tensor, "T joints"],
    camera: Camera,
    noise: float,
    missing: float,
    correlation: float,
    generator: Generator,
    number: int,
) -> Keypoints2D:
    turned = places @ torch.from_numpy(camera.rotation).mT + torch.from_numpy(camera.translation)
    intrinsics = torch.tensor(camera.intrinsics, dtype=torch.float64)
    count, joints = places.shape[:2]
    factor = torch.empty(joints).uniform_(*map(math.log, _JOINT), generator=generator).exp()
    sigma = 1e-3 * noise * factor * camera.intrinsics[0] / turned[..., 2].mean()
    error = torch.randn(count, joints, 2, generator=generator)
    for frame in range(1, count):
        error[frame] = correlation * error[frame - 1] + math.sqrt(1.0 - correlation**2) * error[frame]
    shown = torch.rand(count, joints, generator=generator) >= missing
    xy = project(turned, intrinsics).float() + sigma.float()[:, None] * error
    return Keypoints2D(
        xy, sigma.float().expand(count, joints), shown & observed, camera.image_size,
        ids=[PoseId(f"clip {number}", frame, 0) for frame in range(count)],
    )  # fmt: skip
