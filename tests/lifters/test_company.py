"""What a lifter says of a pose does not depend on which other poses it is asked about in the same call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import poseterior as pp
from poseterior.keypoints import Keypoints2D
from poseterior.lifters import Lifter

#: Metres. Products of matrices of other shapes round otherwise in the last digits.
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=sorted(pp.list_shipped()))
def lifter(request: pytest.FixtureRequest) -> Lifter:
    loaded = pp.load(request.param)
    # The flows of rotations stretch the rounding of single precision from joint to joint, in rare samples to a
    # centimetre; in double precision nothing is left of it.
    return loaded.double() if request.param == "rotations" else loaded


def crowd() -> Keypoints2D:
    """20 people: the example's, disturbed, with other joints hidden; one is not seen at all."""
    people = pp.example_keypoints()
    generator = torch.Generator().manual_seed(0)
    xy = people.xy.repeat(4, 1, 1)
    xy = xy + 0.05 * people.size.repeat(4)[:, None, None] * torch.randn(xy.shape, generator=generator)
    visible = people.visible.repeat(4, 1) & (torch.rand(xy.shape[:2], generator=generator) > 0.2)
    visible[7] = False
    return Keypoints2D(xy, visible=visible, image_size=people.image_size.repeat(4, 1), skeleton=people.skeleton)


def again(keypoints: Keypoints2D, rows: torch.Tensor) -> Keypoints2D:
    """Some of the people, made anew: nothing but the numbers is the same."""
    return Keypoints2D(
        keypoints.xy[rows],
        keypoints.covariance[rows],
        keypoints.visible[rows],
        keypoints.image_size[rows],
        keypoints.skeleton,
    )


def answers(lifter: Lifter, keypoints: Keypoints2D) -> dict[str, torch.Tensor]:
    """All that is said of each pose, poses first."""
    posterior = lifter(keypoints)
    region = posterior.region(0.9)
    centres, weights = posterior.cluster(3, samples=50)
    return {
        "mean": posterior.mean,
        "stddev": posterior.stddev,
        "covariance": posterior.covariance,
        "median": posterior.median,
        "region's centre": region.centre,
        "region's radius": region.radius,
        "pose radius": region.pose_radius,
        "samples": posterior.sample((50,), seed=3).transpose(0, 1),
        "representatives": centres,
        "weights": weights,
    }


PERMUTED = torch.randperm(20, generator=torch.Generator().manual_seed(1))
SUBSETS: dict[str, torch.Tensor] = {
    "permuted": PERMUTED,
    "halved": torch.arange(10),
    "alone": torch.tensor([3]),
    "alone, not seen": torch.tensor([7]),
    "repeated": torch.arange(20).repeat(3),
}


@pytest.mark.parametrize("how", SUBSETS)
@pytest.mark.parametrize("made", [lambda k, rows: k[rows], again], ids=["picked", "made anew"])
def test_answers_do_not_depend_on_company(
    lifter: Lifter, how: str, made: Callable[[Keypoints2D, torch.Tensor], Keypoints2D]
) -> None:
    people, rows = crowd(), SUBSETS[how]
    together, apart = answers(lifter, people), answers(lifter, made(people, rows))
    for name, value in together.items():
        torch.testing.assert_close(
            apart[name],
            value[rows],
            rtol=0,
            atol=TOLERANCE,
            msg=lambda m, n=name: f"{n}: {m}",
        )


def test_answers_do_not_depend_on_threads(lifter: Lifter) -> None:
    people, before = crowd(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = answers(lifter, people)
        torch.set_num_threads(2)
        two = answers(lifter, people)
    finally:
        torch.set_num_threads(before)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=TOLERANCE, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_results_do_not_depend_on_chunks(lifter: Lifter, chunk: int) -> None:
    whole = pp.lift(lifter, crowd(), samples=20)
    parts = pp.lift(lifter, crowd(), samples=20, chunk=chunk)
    for name in ("samples", "mean", "covariance", "region_center", "region_radius", "pose_radius"):
        torch.testing.assert_close(
            torch.from_numpy(getattr(parts, name)),
            torch.from_numpy(getattr(whole, name)),
            rtol=0,
            atol=TOLERANCE,
        )


def test_other_seeds_and_other_poses_give_other_samples(lifter: Lifter) -> None:
    posterior = lifter(crowd())
    one, other = posterior.sample((20,), seed=0), posterior.sample((20,), seed=1)
    if float(posterior.stddev.max()) > 0:
        assert float((one - other).abs().max()) > 0.01
        # Poses have numbers of their own: how far a joint is off is not told by how far another pose's is.
        offset = ((one - one.mean(0)) / one.std(0).clamp(min=1e-6))[:, :, 1:].flatten(2)
        product = (offset[:, 0] * offset[:, 1]).mean()
        assert abs(float(product)) < 0.35
