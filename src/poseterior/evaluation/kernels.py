"""A mixture's own hypotheses: the means of its kernels, likeliest first, instead of draws (Li & Lee, CVPR 2019)."""

from __future__ import annotations

from typing import Literal

from ..distributions.empirical import EmpiricalPoseDistribution
from ..distributions.mixture import MixturePoseDistribution
from ..files.errors import InputError
from ..keypoints import Keypoints2D
from ..lifters import Lifter, LifterConfig

__all__ = ["Hypotheses", "KernelLifter", "with_hypotheses"]

#: Where hypotheses come from: draws, or the means of a mixture's kernels.
Hypotheses = Literal["samples", "kernels"]


class KernelLifter(Lifter):
    """A mixture lifter whose distribution is nothing but the means of its kernels.

    Args:
        lifter: whose distribution is a mixture, as its network gives it.
    """

    def __init__(self, lifter: Lifter) -> None:
        super().__init__(LifterConfig(lifter.skeleton.name))
        self.lifter = lifter
        self.name = lifter.name  # type: ignore[misc]
        self.card = lifter.card
        kernels = getattr(lifter.config, "kernels", None)
        if not isinstance(kernels, int):
            raise InputError(
                f"--hypotheses kernels: lifter {lifter.name!r} is no mixture and has no kernels; "
                "use --hypotheses samples"
            )
        self.kernels = kernels

    def distribution(self, keypoints: Keypoints2D) -> EmpiricalPoseDistribution:
        posterior = self.lifter.distribution(keypoints)
        if not isinstance(posterior, MixturePoseDistribution):
            raise InputError(f"--hypotheses kernels: lifter {self.name!r} returns no mixture; use --hypotheses samples")
        means, _ = posterior.hypotheses
        return EmpiricalPoseDistribution(means.movedim(-3, 0), self.skeleton)


def with_hypotheses(lifter: Lifter, hypotheses: Hypotheses, samples: int) -> tuple[Lifter, int]:
    """The lifter, and how many hypotheses to ask it for: as many as it has kernels where these are asked for.

    Raises:
        InputError: kernels of what is no mixture.
    """
    if hypotheses == "samples":
        return lifter, samples
    kernels = KernelLifter(lifter)
    return kernels, kernels.kernels
