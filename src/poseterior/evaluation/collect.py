"""The one pass over the poses: lift, draw, and keep of each pose everything that any number is made of.

`poseterior.evaluation.measure` reads the benchmark's numbers and the published tables from what is collected here, and
`poseterior.evaluation.pose_scores` each pose's own scores; so whoever asks the same question gets the same number.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..data.observations import ObservationSet
from ..data.simulation.bodies import BodyObservations
from ..distributions.base import PoseDistribution
from ..distributions.clustering import cluster
from ..distributions.delta import DeltaPoseDistribution
from ..distributions.empirical import EmpiricalPoseDistribution
from ..distributions.regions import region_of
from ..distributions.rotations import ArticulatedPoseDistribution
from ..files.errors import InputError
from ..geometry.kinematics import ANKLE_HEIGHT, HEIGHT_LEGS, HEIGHT_TRUNK, body_height, bone_lengths, similarity_align
from ..geometry.skeletons import Skeleton
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..lifters.detector_noise import noise_factors
from ..metrics import accuracy, diagnostics, estimates, plausibility, scores
from ..metrics.calibration import coverage_ranks, published_inside
from ..metrics.depth_order import all_pairs, order_counts, order_labels, order_probability
from ..metrics.resampling import group_numbers
from ..metrics.rotations import mgeo
from .other_bodies import comparable

__all__ = [
    "CHUNK",
    "FEWEST_PEOPLE",
    "MODE_POSES",
    "NOT_IN_CPS",
    "NOT_IN_PCK",
    "REGION_LEVEL",
    "SAMPLES",
    "Collected",
    "best_of_counts",
    "check_evaluable",
    "collect",
    "collect_hypotheses",
    "groups_of",
]

#: Hypotheses per pose.
SAMPLES = 200
#: The mode (slow) is measured on so many poses, evenly spread.
MODE_POSES = 60
#: Poses at a time. Draws depend on it.
CHUNK = 128
#: Level of the credible regions that are reported.
REGION_LEVEL = 0.9
#: From so many people on, intervals are over people; with fewer over clips, and they say nothing of other people.
FEWEST_PEOPLE = 5
#: Joints left out of the published PCK (14 of 17 count) and of the published CPS (16 of 17 count).
NOT_IN_PCK = ("pelvis", "spine", "neck_nose")
NOT_IN_CPS = ("spine",)
#: Joints that a body's size is measured on: those of `body_height`.
_MEASURED_JOINTS = ("pelvis", *HEIGHT_TRUNK, "left_hip", "right_hip", *HEIGHT_LEGS)
#: Hypotheses kept of each pose, for checks and pictures.
_KEPT = 8
#: What observations call somebody whom nobody knows.
_NOBODY = ("", "unknown")


@dataclass
class Collected:
    """What one pass over the poses found.

    Attributes:
        data: the observations.
        skeleton: joint order.
        samples, seed, chunk, device: as given to `collect`.
        seconds: that lifting and drawing took.
        values: name -> one tensor per chunk, poses first.
    """

    data: ObservationSet
    skeleton: Skeleton
    samples: int
    seed: int
    chunk: int
    device: torch.device
    seconds: float = 0.0
    values: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, name: str, value: Tensor) -> None:
        """Keep the next chunk's values ``(poses, ...)``."""
        self.values.setdefault(name, []).append(value.detach().cpu())

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def __getitem__(self, name: str) -> Tensor:
        """The values of all poses ``(poses, ...)``."""
        return torch.cat(self.values[name])

    def starting(self, prefix: str) -> dict[str, Tensor]:
        """All values whose name starts so, by the rest of their name."""
        return {name.removeprefix(prefix): self[name] for name in self.values if name.startswith(prefix)}

    @property
    def joints(self) -> list[int]:
        """All joints but the root, which is exact by definition."""
        return [j for j in range(len(self.skeleton)) if j != self.skeleton.root]

    @cached_property
    def groups(self) -> tuple[Int[Tensor, " poses"], int, str]:
        """Clip or person of each pose, how many there are, and what they are: see `groups_of`."""
        ids = self.data.observations.keypoints.ids
        return groups_of([one.file for one in ids], self.data.subject)


def groups_of(clips: Sequence[str], people: Sequence[str]) -> tuple[Int[Tensor, " poses"], int, str]:
    """Which poses depend on each other: those of a person where at least `FEWEST_PEOPLE` are known, else of a clip.

    Returns:
        Group of each pose, number of groups, and ``"people"``, ``"clips"`` or, where no clip has a name, ``"poses"``.
    """
    if not any(name in _NOBODY for name in people) and len(set(people)) >= FEWEST_PEOPLE:
        return *group_numbers(people), "people"
    if any(clips):
        return *group_numbers(clips), "clips"
    return torch.arange(len(clips)), len(clips), "poses"


def best_of_counts(samples: int) -> list[int]:
    """The N at which best-of-N is reported: 1, 2, 5, 10, 20, 50, ... and the number of samples itself."""
    steps = (digit * 10**power for power in range(len(str(samples))) for digit in (1, 2, 5))
    return sorted({n for n in steps if n < samples} | {samples})


def check_evaluable(lifter: Lifter, data: ObservationSet, samples: int, seed: int) -> None:
    """Raises `InputError` for what cannot be measured: see `collect`."""
    if samples < 2:
        raise InputError(f"samples: expected at least 2, got {samples}")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed: expected 0 to below 2^63, got {seed}")
    if not len(data):
        raise InputError("no poses to evaluate")
    unknown = int((~data.observations.observed.any(-1)).sum())
    if unknown:
        raise InputError(
            f"{unknown} of {len(data)} poses have no 3D pose to compare with; leave them out with "
            "poseterior.evaluation.subsets.select_poses"
        )


@torch.no_grad()
def collect(
    lifter: Lifter,
    data: ObservationSet,
    samples: int = SAMPLES,
    seed: int = 0,
    *,
    chunk: int = CHUNK,
    mode_poses: int = MODE_POSES,
    clusters: int | None = None,
    device: torch.device | str = "cpu",
) -> Collected:
    """Lift every pose once and keep what numbers are made of.

    As in `poseterior.lift`, a lifter with evidence checks the detector's standard deviations first, clip by clip
    (`poseterior.lifters.detector_noise`); energies of hypotheses are those by the reported ones.

    Args:
        lifter: moved to ``device`` and put into evaluation mode.
        data: from `poseterior.data.simulation.protocols`.
        samples: hypotheses per pose.
        seed: of the samples and of every randomised rank.
        chunk: poses at a time.
        mode_poses: the mode (slow) is measured on so many poses, evenly spread.
        clusters: if given, the published numbers are also measured on so many representatives of the samples
            (`poseterior.distributions.clustering.cluster`).
        device: where to run.

    Raises:
        InputError: no poses, poses without truth, fewer than two samples, a seed out of range, a lifter of another
            skeleton, more clusters than samples; hypotheses that are not finite.
    """
    check_evaluable(lifter, data, samples, seed)
    lifter, data = comparable(lifter, data)
    if clusters is not None and not 1 <= clusters <= samples:
        raise InputError(f"clusters: expected 1 to {samples} (the number of samples), got {clusters}")
    device = torch.device(device)
    lifter = lifter.to(device).eval()
    found = Collected(data, lifter.skeleton, samples, seed, chunk, device)
    # Each has its own random numbers, so that what else is measured never changes the hypotheses.
    chance, by_density = (torch.Generator(device=device).manual_seed(seed) for _ in range(2))
    everything = data.observations
    clips = [one.file for one in everything.keypoints.ids]
    references = diagnostics.tarp_references(everything.pose.to(device), chance, clips if any(clips) else ())
    every = -(-len(data) // max(1, mode_poses))
    factor = noise_factors(lifter, everything.keypoints.to(device)).to(device)
    for start in range(0, len(data), chunk):
        part = everything[slice(start, start + chunk)].to(device)
        began = _now(device)
        told = part.keypoints.with_noise(factor[start : start + chunk])
        posterior = lifter(told)
        drawn, rotations = _draw(posterior, samples, seed)
        found.seconds += _now(device) - began
        if not bool(drawn.isfinite().all()):
            row = int((~drawn.isfinite()).flatten(2).any(-1).any(0).nonzero()[0]) + start
            raise InputError(f"{lifter.name}: hypotheses of pose {row} are not finite")
        mean, truth, valid = _mean(posterior, drawn), part.pose, part.observed
        found.add("truth", truth)
        found.add("valid", valid)
        found.add("visible", part.keypoints.visible)
        found.add("few samples", drawn[:_KEPT].transpose(0, 1))
        _collect_poses(found, drawn, mean, part.keypoints, part.root)
        collect_hypotheses(found, drawn, posterior, truth, valid)
        _collect_scores(found, drawn, mean, truth, valid)
        _collect_ranks(found, drawn, mean, truth, valid, references[start : start + chunk], chance)
        _collect_density(found, lifter, posterior, drawn, told, truth, valid, by_density)
        _collect_region(found, posterior, drawn, truth, valid)
        _collect_order(found, drawn, mean, truth, valid)
        _collect_bodies(found, drawn, mean, truth, valid)
        if clusters is not None:
            few = cluster(drawn, clusters, seed=seed)[0].movedim(-3, 0)
            _collect_errors(found, "clustered: ", few, similarity_align(few, truth, valid), truth, valid)
        if rotations is not None and isinstance(part, BodyObservations):
            found.add("MGEO", mgeo(posterior.rotations.mean, part.rotations))
            found.add("sample MGEO", mgeo(rotations, part.rotations).mean(0))
        given = isinstance(posterior, EmpiricalPoseDistribution)
        if given:
            found.add("root offset", posterior.root_offset.norm(dim=-1))
        picked = [i for i in range(len(truth)) if (start + i) % every == 0] if mode_poses and not given else []
        if picked:
            # Not every distribution has a mode that can be found.
            with contextlib.suppress(NotImplementedError):
                found.add("mode", lifter(told[torch.tensor(picked)]).mode)
                found.add("mode rows", torch.tensor(picked) + start)
    return found


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _draw(posterior: PoseDistribution, samples: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """Hypotheses ``(samples, poses, joints, 3)``, and the rotations behind them where there are any."""
    if isinstance(posterior, ArticulatedPoseDistribution):
        drawn = posterior.sample_with_rotations((samples,), seed=seed)
        return drawn.poses, drawn.rotations
    if isinstance(posterior, EmpiricalPoseDistribution):
        # Scores by neighbours, and the few that are kept, need exchangeable samples.
        return posterior.shuffled(samples, seed), None
    return posterior.sample((samples,), seed=seed), None


def _mean(posterior: PoseDistribution, drawn: Tensor) -> Tensor:
    """The mean pose that `poseterior.lift` returns with as many samples."""
    if isinstance(posterior, EmpiricalPoseDistribution):
        return drawn.mean(0)
    if isinstance(posterior, ArticulatedPoseDistribution) and len(drawn) >= posterior.summary_draws:
        return drawn.mean(0)
    return posterior.mean


# -- what is kept of each pose ---------------------------------------------------------------------------------


def _collect_poses(found: Collected, drawn: Tensor, mean: Tensor, keypoints: Keypoints2D, root: Tensor) -> None:
    """The single poses that stand for the hypotheses."""
    found.add("pose: mean", mean)
    found.add("pose: medoid", estimates.medoid(drawn))
    weights = estimates.reprojection_log_weights(drawn, keypoints)
    found.add("pose: weighted mean", estimates.weighted_mean(drawn, weights))
    found.add("pose: reprojection", estimates.aggregate_by_reprojection(drawn, keypoints))
    # The published aggregation takes the true place of the person.
    found.add("pose: J-Agg", estimates.aggregate_by_reprojection(drawn, keypoints, root=root))


def collect_hypotheses(
    found: Collected, drawn: Tensor, posterior: PoseDistribution, truth: Tensor, valid: Tensor
) -> None:
    """Errors (mm) over the hypotheses; the best is what somebody who knows the truth would pick, by each metric."""
    aligned = similarity_align(drawn, truth, valid)
    errors = _collect_errors(found, "published: ", drawn, aligned, truth, valid)
    counts = best_of_counts(len(drawn))
    for name, error in zip(("MPJPE", "P-MPJPE"), errors, strict=True):
        found.add(f"best {name}", error.amin(0))
        found.add(f"best of N {name}", accuracy.expected_best_of(error, counts).T)
    found.add("best N-MPJPE", 1000 * accuracy.n_mpjpe(drawn, truth, valid).amin(0))
    found.add("best PCK@150", 100 * accuracy.pck(drawn, truth, valid).amax(0))
    found.add("best AUC", 100 * accuracy.area_under_pck(drawn, truth, valid).amax(0))
    worst_joint = accuracy.joint_errors(aligned, truth, valid).amax(-1).amin(0)
    found.add("best CPS", accuracy.correct_pose_area(worst_joint))
    found.add("spread", 1000 * drawn.std(0))
    z0 = getattr(posterior, "z0", None)  # any distribution may have a hypothesis of zero latent
    if z0 is not None:
        found.add("published: P1 z0", 1000 * accuracy.mpjpe(z0, truth, valid))
        found.add("published: P2 z0", 1000 * accuracy.p_mpjpe(z0, truth, valid))
    if isinstance(posterior, DeltaPoseDistribution) and bool(posterior.root_offset.any()):
        # Ronchi et al. 2018 measure the poses as the network places them.
        placed = posterior.loc + posterior.root_offset.unsqueeze(-2)
        found.add("published: P1 root kept", 1000 * accuracy.mpjpe(placed, truth, valid))


def _collect_errors(
    found: Collected, prefix: str, poses: Tensor, aligned: Tensor, truth: Tensor, valid: Tensor
) -> tuple[Float[Tensor, "n poses"], Float[Tensor, "n poses"]]:
    """What papers print about hypotheses ``(n, poses, joints, 3)``; returns both protocols' errors in mm."""
    names = found.skeleton.joints
    in_pck = torch.tensor([name not in NOT_IN_PCK for name in names], device=valid.device)
    in_cps = torch.tensor([name not in NOT_IN_CPS for name in names], device=valid.device)
    p1, p2 = 1000 * accuracy.mpjpe(poses, truth, valid), 1000 * accuracy.mpjpe(aligned, truth, valid)
    for protocol, errors in (("P1", p1), ("P2", p2)):
        for name, value in accuracy.hypothesis_errors(errors).items():
            found.add(f"{prefix}{protocol} {name}", value)
    found.add(f"{prefix}PCK@150", 100 * accuracy.pck(poses, truth, valid & in_pck).amax(0))
    worst = accuracy.joint_errors(aligned, truth, valid & in_cps).amax(-1)
    found.add(f"{prefix}CPS", accuracy.correct_pose_area(worst.amin(0)))
    return p1, p2


def _collect_scores(found: Collected, drawn: Tensor, mean: Tensor, truth: Tensor, valid: Tensor) -> None:
    target = torch.where(valid.unsqueeze(-1), truth, mean)
    weight = valid.float() / valid.sum(-1, keepdim=True)
    found.add("CRPS", 1000 * (accuracy.crps(drawn, target).sum(-1) * weight).sum(-1))
    found.add("energy score", 1000 * (accuracy.energy_score(drawn, target) * weight).sum(-1))
    found.add("pose energy score", 1000 * scores.pose_energy_score(drawn, truth, valid))
    found.add("variogram score", 1000 * scores.variogram_score(drawn, truth, valid))


def _collect_ranks(
    found: Collected,
    drawn: Tensor,
    mean: Tensor,
    truth: Tensor,
    valid: Tensor,
    references: Tensor,
    generator: torch.Generator,
) -> None:
    """Where the truth stands among the hypotheses: joint by joint, from a reference pose, in scalar quantities."""
    target = torch.where(valid.unsqueeze(-1), truth, mean)
    found.add("ranks", coverage_ranks(drawn, target, generator))
    found.add("inside", published_inside(drawn, target).movedim(0, 1))
    centre = drawn.median(0).values
    found.add("radius", 1000 * (drawn - centre).norm(dim=-1).quantile(0.9, dim=0))
    found.add("from centre", 1000 * (target - centre).norm(dim=-1))
    found.add("TARP", diagnostics.tarp_ranks(drawn, truth, references, valid, generator))
    actual = diagnostics.sbc_quantities(torch.where(valid.unsqueeze(-1), truth, torch.nan))
    for name, values in diagnostics.sbc_quantities(drawn).items():
        found.add(f"SBC: {name}", diagnostics.sbc_ranks(values, actual[name], generator))


def _collect_density(
    found: Collected,
    lifter: Lifter,
    posterior: PoseDistribution,
    drawn: Tensor,
    keypoints: Keypoints2D,
    truth: Tensor,
    valid: Tensor,
    generator: torch.Generator,
) -> None:
    """NLL, and the rank of the truth by density, of the poses of which every joint is known; NaN of the others."""
    if not posterior.has_density:
        return
    found.add("NLL", _nll(lifter, posterior, keypoints, truth, valid))
    whole, ranks = valid.all(-1), truth.new_full((len(truth),), torch.nan)
    if bool(whole.any()):
        exact = posterior if bool(whole.all()) else lifter(keypoints[whole])
        inside, actual = exact.log_prob(drawn[:, whole]), exact.log_prob(truth[whole])
        ranks[whole] = diagnostics.density_ranks(inside, actual, generator)
    found.add("density ranks", ranks)


def _nll(
    lifter: Lifter,
    posterior: PoseDistribution,
    keypoints: Keypoints2D,
    truth: Tensor,
    valid: Bool[Tensor, "poses joints"],
) -> Float[Tensor, " poses"]:
    """Negative log-density, nats per dimension; NaN of poses that cannot be scored."""
    dims = 3 * (valid.sum(-1) - 1)
    whole = valid.all(-1)
    if bool(whole.all()) or posterior.can_marginalise:
        kwargs = {} if bool(whole.all()) else {"observed": valid}
        return -posterior.log_prob(truth, **kwargs) / dims
    found = truth.new_full((len(truth),), torch.nan)
    if bool(whole.any()):
        found[whole] = -lifter(keypoints[whole]).log_prob(truth[whole]) / dims[whole]
    return found


def _collect_region(found: Collected, posterior: PoseDistribution, drawn: Tensor, truth: Tensor, valid: Tensor) -> None:
    """Whether the credible regions hold the truth."""
    ours = posterior.recalibration
    if ours is None or 0 < ours.samples <= len(drawn):
        # The samples at hand are as good as those that `region` would draw anew.
        kept = drawn if ours is None else drawn[: ours.samples]
        region = region_of(kept, posterior.skeleton, REGION_LEVEL, ours, posterior.visible)
    else:
        region = posterior.region(REGION_LEVEL)
    found.add("region inside", region.contains(truth))
    found.add("region pose", region.contains_pose(truth, valid))
    found.add("region radius", 1000 * region.radius)
    found.add("region calibrated", torch.full((len(truth),), region.calibrated))


def _collect_order(found: Collected, drawn: Tensor, mean: Tensor, truth: Tensor, valid: Tensor) -> None:
    """Order of joints in depth: what the mean has right, and how probable the samples hold it."""
    pairs = all_pairs(truth.shape[-2]).to(truth.device)
    exist = valid[:, pairs].all(-1)
    found.add("order", torch.where(exist, order_labels(truth[..., 2], pairs), 0))
    found.add("order probability", order_probability(drawn, pairs))
    for name, least in (("order", 0.0), ("order over 100 mm", 0.1)):
        right, counted = order_counts(mean, truth, valid, pairs, least)
        found.add(f"{name} right", right)
        found.add(f"{name} counted", counted)


def _collect_bodies(found: Collected, drawn: Tensor, mean: Tensor, truth: Tensor, valid: Tensor) -> None:
    """Bones (mm) and sizes (metres); NaN sizes where the truth lacks a joint that they take."""
    skeleton = found.skeleton
    both = torch.stack([valid[:, child] & valid[:, parent] for child, parent in skeleton.bones], -1)
    target = torch.where(valid.unsqueeze(-1), truth, mean)
    gap = (bone_lengths(drawn, skeleton) - bone_lengths(target, skeleton)).abs().mean(0)
    found.add("bone error", 1000 * (gap * both).sum(-1) / both.sum(-1).clamp(min=1))
    found.add("bone spread", 1000 * plausibility.bone_spread(drawn, skeleton).mean(-1))
    found.add("MPSSE", 1000 * plausibility.mpsse(drawn, skeleton).mean(0))
    found.add("joint limits", 100 * plausibility.limits_violated(drawn).float().mean((0, -1)))
    known = valid[:, [skeleton.index(name) for name in _MEASURED_JOINTS]].all(-1, keepdim=True)
    sizes = torch.stack([body_height(mean), body_height(truth)], -1) - ANKLE_HEIGHT
    found.add("sizes", torch.where(known, sizes, torch.nan))
