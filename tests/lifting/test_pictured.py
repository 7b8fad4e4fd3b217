"""Keypoints of fused results: one camera's, and where it would see what only others see."""

from __future__ import annotations

import numpy as np
import torch

from poseterior.geometry.cameras import project
from poseterior.keypoints import Keypoints2D
from poseterior.keypoints.calibration import Camera
from poseterior.lifting.views.pictured import in_one_picture


def test_a_joint_that_only_others_see_is_where_the_camera_would_see_it() -> None:
    lens = (1000.0, 1100.0, 640.0, 480.0)
    turn = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    camera = Camera("side", lens, turn, [0.0, 0.0, 4.0], image_size=(1280, 960))
    generator = torch.Generator().manual_seed(0)
    places = 0.4 * torch.randn(1, 17, 3, generator=generator, dtype=torch.float64)
    places[0, 5] = torch.tensor([-9.0, 0.0, 0.0])  # behind the camera
    root = torch.randn(51, 51, generator=generator, dtype=torch.float64)
    covariance = 1e-6 * (root @ root.T)[None]
    visible = torch.ones(1, 17, dtype=torch.bool)
    visible[0, [3, 5]] = False
    view = Keypoints2D(torch.full((1, 17, 2), 7.0), visible=visible)
    told = in_one_picture(view, camera, places, covariance, torch.ones(1, 17, dtype=torch.bool))

    assert told.visible[0].tolist() == [joint != 5 for joint in range(17)]
    kept = visible[0]
    torch.testing.assert_close(told.xy[0, kept], view.xy[0, kept])

    def seen(place: torch.Tensor) -> torch.Tensor:
        before = place @ torch.from_numpy(turn).T + torch.tensor([0.0, 0.0, 4.0])
        return project(before[None], torch.tensor(lens).double())[0]

    torch.testing.assert_close(told.xy[0, 3], seen(places[0, 3]).float(), rtol=1e-6, atol=1e-4)
    slope = torch.autograd.functional.jacobian(seen, places[0, 3])
    expected = slope @ covariance[0, 9:12, 9:12] @ slope.T + 0.25 * torch.eye(2)
    torch.testing.assert_close(told.covariance[0, 3], expected.float(), rtol=1e-4, atol=1e-4)
