"""Is something wrong with these poses? Common mistakes, found by comparing with the truth, said in plain sentences.

An **error** is a mistake of format that makes every other number meaningless: units, axes, the order of joints, answers
that belong to other inputs. A **warning** is a true property that a reader of the numbers has to know. A **note**
explains a number.

Everything here looks at the mean pose, after its size and position are set aside, so that several mistakes at once are
told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..geometry.skeletons import SKELETONS
from ..metrics.depth_order import order_accuracy
from .orientations import (
    Orientation,
    best_orientation,
    centred,
    extent,
    in_order,
    joint_assignment,
    mean_error,
    size_factor,
)

__all__ = [
    "Check",
    "bar_factor",
    "check",
    "check_absolute",
    "check_bars",
    "check_constant",
    "check_format",
    "check_identical",
    "check_missing_spread",
    "check_oracle",
    "check_quantities",
    "check_size",
    "check_units",
    "check_unrelated",
    "check_whole_pose",
]

_BODY = SKELETONS["h36m17"]
#: Ends of the names of joints whose place no other joint tells.
_ENDS = ("knee", "ankle", "elbow", "wrist")
_AXES = ("x", "y", "z")
#: Names of units by how many of them make a metre.
_UNITS = {1000.0: "millimetres", 100.0: "centimetres", 1000.0 / 25.4: "inches"}
#: A body larger or smaller than the true one by more than this factor is no body.
_NO_BODY = 2.0
#: Of a mean signed calibration error beyond this (0.5 at most), bars are wrong by 15 % or more.
_BARS_WRONG = 0.1
#: Whole poses are called wrong from this mean coverage error on, if chance does not explain it.
_POSE_WRONG = 0.05
#: So many quantities are named in a sentence.
_NAMED = 4
#: A correction counts if it takes the mean error down to this share at most.
_IMPROVES = 0.9


class Check(NamedTuple):
    """Something that a reader has to know.

    Attributes:
        kind: short name.
        severity: ``"error"``, ``"warning"`` or ``"note"``.
        sentence: plain English: what was found, with numbers, and the remedy.
    """

    kind: str
    severity: str
    sentence: str


def check(
    mean: Float[Tensor, "poses 17 3"],
    truth: Float[Tensor, "poses 17 3"],
    valid: Bool[Tensor, "poses 17"],
    samples: Float[Tensor, "samples poses 17 3"] | None = None,
    visible: Bool[Tensor, "poses 17"] | None = None,
    measured: Mapping[str, Any] | None = None,
    root_offset: float = 0.0,
) -> list[Check]:
    """All checks of one lifter on one set of observations, errors first.

    Args:
        mean, truth: relative to the pelvis, camera axes; the truth in metres.
        valid: joints that exist in the truth; values of the others are ignored.
        samples: a few hypotheses per pose (eight are enough).
        visible: keypoints that were there.
        measured: the benchmark's numbers about the same poses. It reads ``calibration`` (``signed`` of ``visible`` and
            ``missing``), ``bars`` (`bar_factor` of the same two), ``density coverage``, ``TARP``, ``SBC``,
            ``estimates`` and ``oracles``; what is absent is not checked.
        root_offset: how far from zero the poses' roots were before they were moved there, metres.

    Returns:
        What was found; empty if nothing. After an error only errors are listed: the rest would follow from it.
    """
    measured = measured or {}
    truth = torch.where(valid.unsqueeze(-1), truth, 0.0)
    errors = check_constant(mean, truth, valid)
    if not errors:
        errors = check_units(size_factor(mean, truth, valid)) + check_format(mean, truth, valid)
    seen = valid if visible is None else valid & visible
    errors = errors or check_unrelated(mean, truth, seen)
    if errors:
        return errors
    found = check_absolute(root_offset) + check_size(mean, truth, valid)
    identical = [] if samples is None else check_identical(samples)
    found += identical
    # Without any spread there are no bars to judge.
    if not identical:
        found += check_bars(measured) + check_whole_pose(measured) + check_quantities(measured)
        # Depth may be so uncertain that a joint in the picture is hardly more certain: bars that hold are right.
        signed = measured.get("calibration", {}).get("missing", {}).get("signed")
        if samples is not None and visible is not None and (signed is None or signed >= _BARS_WRONG):
            found += check_missing_spread(samples, valid, visible)
    return found + check_oracle(measured)


def _mm(metres: float) -> str:
    return f"{1000 * metres:.0f} mm"


# -- errors ----------------------------------------------------------------------------------------------


def check_constant(mean: Tensor, truth: Tensor, valid: Tensor) -> list[Check]:
    """The answer does not change with the input: less than 5 % of how much the truth changes."""
    if len(mean) < 2:
        return []
    answer, actual = centred(mean, valid), centred(truth, valid)
    changes = float(answer.std(0).norm()) / max(float(extent(mean, valid).mean()), 1e-9)
    should = float(actual.std(0).norm()) / max(float(extent(truth, valid).mean()), 1e-9)
    if changes >= 0.05 * should:
        return []
    sentence = (
        f"All {len(mean)} inputs get the same answer (it changes by {100 * changes / should:.0f} % of what the true "
        "poses do). Check that the method reads the keypoints that it is given."
    )
    return [Check("constant", "error", sentence)]


def check_units(factor: float) -> list[Check]:
    """Bodies that are no bodies: another unit than metres. ``factor`` is from `size_factor`."""
    if 1 / _NO_BODY <= factor <= _NO_BODY:
        return []
    large = factor > 1
    times = factor if large else 1 / factor
    nearest = min(_UNITS, key=lambda unit: abs(torch.tensor(unit / times).log()))
    known = max(nearest / times, times / nearest) < 1.5
    looks = f", as {_UNITS[nearest]} taken for metres would be" if known and large else ""
    sentence = (
        f"The bodies are {times:.{0 if times >= 10 else 1}f} times too {'large' if large else 'small'}{looks}. Metres "
        f"are expected: {'divide' if large else 'multiply'} the samples by {nearest if known else times:.4g}."
    )
    return [Check("unit", "error", sentence)]


def check_format(mean: Tensor, truth: Tensor, valid: Tensor) -> list[Check]:
    """Wrong axes, exchanged sides, joints in another order, or two of these at once.

    Each way of mending the poses is tried; the simplest one counts whose mean error no other takes down to
    `_IMPROVES` of its own.
    """
    size = size_factor(mean, truth, valid)
    pose, goal = centred(mean, valid) / size, centred(truth, valid)
    as_given = tuple(range(len(_BODY)))

    def error(poses: Tensor) -> float:
        return mean_error(centred(poses, valid), goal, valid)

    before = error(pose)
    turned = best_orientation(pose, goal, valid)
    assigned = joint_assignment(pose, goal, valid)
    ordered = in_order(pose, assigned)
    turned_too = best_orientation(ordered, goal, valid)
    ways = [(Orientation(), as_given, before), (turned, as_given, error(turned.read(pose)))]
    ways += [(Orientation(), assigned, error(ordered)), (turned_too, assigned, error(turned_too.read(ordered)))]
    best = ways[0]
    for other in ways[1:]:
        if other[2] < _IMPROVES * best[2]:
            best = other
    way, joints, after = best
    found = [] if joints == as_given else [_joints_check(joints, before, after)]
    if way != Orientation():
        in_place = pose if joints == as_given else ordered
        found.append(_orientation_check(way, in_place, goal, valid, error(in_place), after))
    return found


def _joints_check(assigned: tuple[int, ...], before: float, after: float) -> Check:
    known = _known_order(assigned)
    if known:
        sentence = (
            f"The joints come in the order of {known}, not of h36m17. Reorder them, and derive the joints that are not "
            "in both (poseterior.geometry.skeletons.skeleton_map says how)."
        )
        return Check("joints", "error", sentence)
    wrong = [joint for joint, true in enumerate(assigned) if joint != true]
    listed = [f"your {_BODY.joints[j]} lies where the {_BODY.joints[assigned[j]]} is" for j in wrong[:4]]
    more = f", and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    sentence = (
        f"{len(wrong)} of {len(_BODY)} joints are in the place of others: {'; '.join(listed)}{more}. In the right "
        f"order the mean error falls from {_mm(before)} to {_mm(after)}. Return the joints as "
        "poseterior.SKELETONS['h36m17'].joints lists them."
    )
    return Check("joints", "error", sentence)


def _known_order(assigned: tuple[int, ...]) -> str:
    """Name of the skeleton of 17 joints whose order it is; joints that h36m17 lacks may be anywhere."""
    for skeleton in SKELETONS.values():
        common = [joint for joint in skeleton.joints if joint in _BODY.joints]
        if skeleton == _BODY or len(skeleton) != len(_BODY) or len(common) < 10:
            continue
        if all(assigned[skeleton.index(joint)] == _BODY.index(joint) for joint in common):
            return skeleton.name
    return ""


#: What it means that these axes are negated, and nothing else.
_NEGATED = {
    "x": ("x mirrored", "x is mirrored: it grows to the left of the picture, not to the right"),
    "y": ("y up", "y points up; here it points down, as in the picture"),
    "z": ("depth mirrored", "Depth is mirrored: z grows towards the camera, not away from it"),
    "yz": ("y up, depth mirrored", "y points up and z towards the camera, as in OpenGL; here y points down and z away"),
    "xz": ("turned around", "The poses are turned around by 180 degrees: x and z point the wrong way"),
    "xy": ("upside down", "The poses stand upside down: x and y point the wrong way"),
    "xyz": ("negated", "All coordinates have the wrong sign"),
}


def _orientation_check(
    way: Orientation, pose: Tensor, truth: Tensor, valid: Tensor, before: float, after: float
) -> Check:
    negated = "".join(axis for axis, sign in zip(_AXES, way.signs, strict=True) if sign < 0)
    kind, sentence, remedy = "", "", ""
    if way.axes != (0, 1, 2):
        read = ", ".join(f"{'-' if s < 0 else ''}{_AXES[a]}" for a, s in zip(way.axes, way.signs, strict=True))
        kind, sentence = "axes", f"The axes are exchanged: what should be (x, y, z) is your ({read})"
        remedy = f"return samples[..., {list(way.axes)}] * {list(way.signs)}"
    elif negated:
        kind, sentence = _NEGATED[negated]
        remedy = f"return samples * {list(way.signs)}"
    if "z" in negated and way.axes == (0, 1, 2) and not way.swapped:
        sentence += f" (only {100 * float(order_accuracy(pose, truth, valid)):.0f} % of the depth orders are right)"
    if way.swapped:
        swap = "Left and right are exchanged: your left joints lie where the person's right ones are"
        kind, sentence = f"{kind}, left and right" if kind else "left and right", f"{sentence}. {swap}".strip(". ")
        remedy = f"{remedy}, and exchange the sides" if remedy else "exchange the two sides' joints"
    remedy = remedy[0].upper() + remedy[1:]
    return Check(kind, "error", f"{sentence}. {remedy}: the mean error falls from {_mm(before)} to {_mm(after)}.")


def check_unrelated(mean: Tensor, truth: Tensor, valid: Tensor) -> list[Check]:
    """Answers that fit the truth of other inputs as well as their own; needs 20 poses.

    Read on joints that were seen: a poor method may know nothing of the others.
    """
    if len(mean) < 20:
        return []
    pose = centred(mean, valid) / size_factor(mean, truth, valid)
    goal, others = centred(truth, valid), len(mean) // 2
    # The same joints for both, so that one is not the harder for its joints.
    both = valid & valid.roll(others, 0)
    own, other = mean_error(pose, goal, both), mean_error(pose, goal.roll(others, 0), both)
    if own < 0.9 * other:
        return []
    sentence = (
        f"The answers do not belong to their inputs: they are {_mm(own)} from their own truth and {_mm(other)} from "
        "that of another pose. Check that rows are in the order of the keypoints, and that samples and poses are not "
        "exchanged."
    )
    return [Check("unrelated", "error", sentence)]


# -- warnings and notes ------------------------------------------------------------------------------------


def check_absolute(root_offset: float) -> list[Check]:
    """Poses that were not relative to the pelvis, by 50 mm or more. ``root_offset`` in metres."""
    if root_offset < 0.05:
        return []
    sentence = (
        f"The poses were not relative to the pelvis, which was {root_offset:.2f} m from zero on average. They were "
        "moved there before anything was measured; return samples - samples[..., :1, :] to do it yourself."
    )
    return [Check("absolute", "warning", sentence)]


def check_size(mean: Tensor, truth: Tensor, valid: Tensor) -> list[Check]:
    """Bodies of the wrong size on average: one factor for all poses takes the error down by 10 % at least.

    The factor is the least-squares one of x and y, which keypoints pin down. A right distribution's mean has the
    factor 1, however blurred it is.
    """
    kept = valid.unsqueeze(-1)
    p, t = (torch.where(kept, poses, 0.0)[..., :2] for poses in (mean, truth))
    factor = float((p * t).sum() / p.square().sum().clamp(min=1e-12))
    before, after = (mean_error(f * mean, truth, valid) for f in (1.0, factor))
    if abs(factor - 1) < 0.05 or after > 0.9 * before:
        return []
    size = 100 * abs(1 / factor - 1)
    sentence = (
        f"The bodies are {size:.0f} % too {'small' if factor > 1 else 'large'} on average: with all poses multiplied "
        f"by {factor:.2f}, MPJPE falls from {_mm(before)} to {_mm(after)}. N-MPJPE and P-MPJPE do not see this."
    )
    return [Check("size", "warning", sentence)]


def check_identical(samples: Float[Tensor, "samples poses 17 3"]) -> list[Check]:
    """Hypotheses that do not differ."""
    spread = float((samples - samples[:1]).abs().max())
    if spread > 1e-6 * max(float(samples.abs().max()), 1e-9):
        return []
    sentence = (
        "All hypotheses of a pose are the same: this is one answer, not a distribution. Calibration says only that it "
        "has no error bars, and best of N is its one error."
    )
    return [Check("identical", "warning", sentence)]


def bar_factor(
    distance: Float[Tensor, "*any"], radius: Float[Tensor, "*any"], counted: Bool[Tensor, "*any"], level: float = 0.9
) -> float:
    """How many times as long the error bars have to be so that a share ``level`` of the truths is inside.

    Args:
        distance: of the truth from the middle of the samples.
        radius: that holds a share ``level`` of the samples.
        counted: which of these count; at least one.
        level: 0 to 1.
    """
    ratio = distance[counted] / radius[counted].clamp(min=1e-6)
    return float(ratio.kthvalue(max(1, round(level * len(ratio)))).values)


def check_bars(measured: Mapping[str, Any]) -> list[Check]:
    """Error bars that are too short or too long, of visible and of missing joints."""
    found = []
    for name in ("visible", "missing"):
        signed = measured.get("calibration", {}).get(name, {}).get("signed")
        if signed is None or abs(signed) < _BARS_WRONG:
            continue
        factor = measured.get("bars", {}).get(name)
        over = signed > 0
        should = f" 90 % bars hold 90 % of the truths once multiplied by {factor:.2g}." if factor else ""
        # Recalibration corrects regions; the samples that this is about stay as they are.
        calibrated = measured.get("region", {}).get("calibrated", False)
        regions = "`poses.region` corrects its radii for this" if calibrated else "`poseterior calibrate` makes regions"
        regions += " (the samples stay as they are)" if calibrated else " that correct for it"
        sentence = (
            f"Error bars of {name} joints are too {'short' if over else 'long'} (signed calibration {signed:+.2f}; 0 "
            f"is right, {'' if over else '-'}0.5 the worst).{should} {regions}; a "
            f"method of your own has to spread its hypotheses {'more' if over else 'less'}."
        )
        found.append(Check("over-confident" if over else "under-confident", "warning", sentence))
    return found


def check_whole_pose(measured: Mapping[str, Any]) -> list[Check]:
    """Regions of the whole pose that do not hold what they say, beyond chance and by `_POSE_WRONG` on average.

    Of a distribution with a density its regions of highest density; of another balls around poses of other clips.
    """
    density = measured.get("density coverage", {})
    if density:
        if not _is_off(density):
            return []
        level, share = _worst_level(density)
        sentence = (
            f"The density of the whole pose is wrong: regions of highest density that claim {level} % hold {share} % "
            f"of the truths (coverage error {density['error']:.2f}). Do not read `log_prob` as the probability of a "
            "whole pose; joints one by one are judged apart."
        )
        return [Check("whole pose", "warning", sentence)]
    tarp = measured.get("TARP", {})
    if not tarp or not _is_off(tarp):
        return []
    level, share = _worst_level(tarp)
    sentence = (
        f"The hypotheses of the whole pose are wrong together: balls around poses of other clips that should hold "
        f"{level} % of the truths hold {share} % (coverage error {tarp['error']:.2f}). Joints one by one are judged "
        "apart; how they go together is not right."
    )
    return [Check("whole pose", "warning", sentence)]


def _is_off(curve: Mapping[str, Any]) -> bool:
    return not curve["inside"] and curve["error"] >= _POSE_WRONG


def _worst_level(curve: Mapping[str, Any]) -> tuple[int, int]:
    """Level and share (%) where the curve is farthest from the diagonal."""
    rows = zip(curve["levels"], curve["coverage"], strict=True)
    level, share = max(rows, key=lambda row: abs(row[0] - row[1]))
    return round(100 * level), round(100 * share)


def check_quantities(measured: Mapping[str, Any]) -> list[Check]:
    """Quantities with a name, such as the size of the body, that the hypotheses get wrong beyond chance (SBC)."""
    sbc = measured.get("SBC", {})
    wrong = []
    for name, p in sorted(sbc.get("p values", {}).items(), key=lambda item: item[1]):
        how = _how_ranks_lie(sbc["histograms"][name]) if p < sbc["level"] else ""
        if how:
            wrong.append(f"{name} ({how}; p {'< 1e-9' if p < 1e-9 else f'= {p:.1g}'})")
    if not wrong:
        return []
    few = f"{len(wrong)} of {len(sbc['p values'])} quantities"
    more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
    sentence = f"What the hypotheses say of {few} is wrong beyond chance: {'; '.join(wrong[:_NAMED])}{more}."
    return [Check("quantities", "warning", sentence)]


def _how_ranks_lie(histogram: Sequence[int]) -> str:
    """What ranks of the truth among the hypotheses say; empty if they are as good as uniform."""
    total, bins = max(1, sum(histogram)), len(histogram)
    share = [count / total for count in histogram]
    middle = [(i + 0.5) / bins for i in range(bins)]
    gaps = [sum(share[: i + 1]) - (i + 1) / bins for i in range(bins)]
    if max(map(abs, gaps)) < _POSE_WRONG:
        return ""
    mean = sum(s * m for s, m in zip(share, middle, strict=True))
    variance = sum(s * (m - mean) ** 2 for s, m in zip(share, middle, strict=True))
    # In units of what a uniform rank has of each: a shift of the mean, or too many at the ends or in the middle.
    if abs(mean - 0.5) * 12**0.5 >= abs(12 * variance - 1):
        times = 100 * max(mean, 1 - mean)
        return f"the truth is {'larger' if mean > 0.5 else 'smaller'} than {times:.0f} % of them on average"
    return "they are too sure of it" if 12 * variance > 1 else "they are too unsure of it"


def check_missing_spread(samples: Tensor, valid: Tensor, visible: Tensor) -> list[Check]:
    """Hypotheses that know of no missing joints: each is hardly spread more where it is missing, 1.1 times at most.

    Read on the limbs: where a missing joint of the trunk is, its neighbours tell.
    """
    spread = samples.std(0).norm(dim=-1)
    ratios = []
    for joint in (j for j, name in enumerate(_BODY.joints) if name.endswith(_ENDS)):
        seen, missing = visible[:, joint], valid[:, joint] & ~visible[:, joint]
        if int(seen.sum()) >= 10 and int(missing.sum()) >= 10:
            ratios.append(spread[missing, joint].median() / spread[seen, joint].median().clamp(min=1e-9))
    if len(ratios) < 2 or (ratio := float(torch.stack(ratios).median())) > 1.1:
        return []
    sentence = (
        f"Missing joints are spread hardly more than the same joints where they are seen ({ratio:.2f} times as far), "
        "though nothing in the picture says where they are. Check that the method reads keypoints.visible: the "
        "coordinates of missing joints are 0 and mean nothing."
    )
    return [Check("missing joints", "warning", sentence)]


def check_oracle(measured: Mapping[str, Any]) -> list[Check]:
    """What best of N owes to looking at the truth."""
    estimates, oracles = measured.get("estimates", {}), measured.get("oracles", ())
    best = {name: row["MPJPE"] for name, row in estimates.items() if name in oracles and name.startswith("best of")}
    # The mode is measured on fewer poses.
    honest = {n: row["MPJPE"] for n, row in estimates.items() if n not in oracles and "poses" not in row}
    if not best or not honest or min(best.values()) >= min(honest.values()):
        return []
    name, reached = min(best, key=lambda n: best[n]), min(honest, key=lambda n: honest[n])
    sentence = (
        f"The {name} is {best[name]:.0f} mm from the truth, but picking it takes the truth: none of the rules tried "
        f"here that do not look gets below {honest[reached]:.0f} mm ({reached})."
    )
    return [Check("oracle", "note", sentence)]
