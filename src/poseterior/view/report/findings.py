"""What a benchmark says in sentences: facts about the run, checks, and who stands where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .figures import Measure, Unit, number
from .html import with_code
from .results import (
    BAD_CALIBRATION,
    Bench,
    Results,
    at,
    best_of,
    best_of_name,
    calibration_error,
    is_bad,
    leaders,
    listing,
)

__all__ = ["SEVERITIES", "checks", "facts", "glance", "standing_sentence"]

SEVERITIES = {"error": "Error", "warning": "Warning", "note": "Note"}
#: Times within so many times the shortest one are alike: they change from run to run.
ALIKE_TIMES = 1.2


def facts(bench: Bench) -> list[tuple[str, str]]:
    """Of the run: name and text."""
    results, machine = bench.results, bench.results.get("machine", {})
    count = len(results["units"])
    computer = f"{machine.get('processor', 'unknown processor')}, {machine.get('cores', '?')} cores"
    computer += f" ({machine.get('threads', '?')} used), torch {machine.get('torch', '?')}"
    computer += f" on {machine.get('device', '?')}"
    return [
        ("compared", f"{len(bench.lifters)} lifters on {len(bench.protocols)} protocols: {count} measurements"),
        ("made", f"{results.get('created', '?')} by poseterior {results.get('version', '?')}"),
        ("hypotheses", f"{results.get('samples', '?')} per pose, seed {results.get('seed', '?')}"),
        ("poses", f"at most {results.get('poses', '?')} per main protocol"),
        ("machine", computer),
    ]


# -- checks ----------------------------------------------------------------------------------------------------


def checks(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    """By severity: what was found, once per lifter, with the protocols where it was.

    Sentences that differ in their numbers only, or in what they list, are one finding.
    """
    found: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] = {severity: {} for severity in SEVERITIES}
    for protocol, units in bench.units.items():
        for lifter, unit in units.items():
            for check in unit.get("checks", ()):
                severity = check["severity"] if check["severity"] in SEVERITIES else "warning"
                alike = re.sub(r"[-+]?\d[\d.]*", "#", check["sentence"])
                alike = alike if check["kind"] != "quantities" else check["kind"]
                found[severity].setdefault((lifter, alike), []).append((protocol, check["sentence"]))
    order = list(bench.lifters)
    return {
        severity: [
            {
                "lifter": lifter,
                "sentence": with_code(rows[0][1]),
                "first": rows[0][0],
                "where": where(bench, [protocol for protocol, _ in rows]),
                "all": []
                if len({sentence for _, sentence in rows}) == 1
                else [(protocol, with_code(sentence)) for protocol, sentence in rows],
            }
            for (lifter, _), rows in sorted(findings.items(), key=lambda finding: order.index(finding[0][0]))
        ]
        for severity, findings in found.items()
    }


def where(bench: Bench, protocols: Sequence[str]) -> str:
    """Names of main protocols; of sweeps the group and how many of it, where there are more than two."""
    words = [name for name in bench.main if name in protocols]
    for group in dict.fromkeys(protocol["group"] for protocol in bench.protocols.values()):
        among = [name for name in bench.group(group) if name not in bench.main]
        hit = [name for name in among if name in protocols]
        if hit and len(hit) == len(among):
            words.append(f"{group} (all)")
        else:
            words += hit if len(hit) <= 2 else [f"{group} ({len(hit)} of {len(among)})"]
    return listing(words)


# -- who stands where ------------------------------------------------------------------------------------------


def glance(bench: Bench) -> list[str]:
    """Sentences about the first main protocol that need no table; none of a single lifter."""
    protocol = bench.main[0]
    units = bench.units[protocol]
    if len(units) < 2:
        return []
    sentences = [standing_sentence(bench.results, protocol, units)]
    mean = _stand(bench.results, protocol, units, at("estimates", "mean", "MPJPE"), "MPJPE")
    if mean:
        first = mean[0]
        oracle, name = best_of(units[first]), best_of_name(units[first])
        tail = f" Its {name} is {oracle:.1f} mm, but only with the truth in hand." if oracle else ""
        said = _values(units, mean, at("estimates", "mean", "MPJPE"), "MPJPE", 1, " mm")
        sentences.append(
            f"{first} has the most accurate mean ({said}).{tail}"
            if len(mean) == 1
            else f"The means of {listing(mean)} are equally accurate ({said})."
        )
    honest = _stand(bench.results, protocol, units, calibration_error, "calibration")
    if honest:
        said = _values(units, honest, calibration_error, "calibration", 3, "")
        sentences.append(
            f"{honest[0]} has the most honest error bars per joint (calibration error {said})."
            if len(honest) == 1
            else f"The error bars per joint of {listing(honest)} are equally honest (calibration error {said})."
        )
    bad = [lifter for lifter, unit in units.items() if is_bad(unit)]
    if bad:
        sentences.append(f"The error bars of {listing(bad)} mislead (calibration error above {BAD_CALIBRATION:g}).")
    whole = [name for name, unit in units.items() if any(c["kind"] == "whole pose" for c in unit.get("checks", ()))]
    if whole:
        verb = "says" if len(whole) == 1 else "say"
        sentences.append(f"As a whole the pose is not what {listing(whole)} {verb}: see the checks.")
    speed = at("cost", "milliseconds per pose")
    times = {name: time for name, unit in units.items() if (time := speed(unit)) is not None}
    if times:
        fast = [name for name, ms in times.items() if ms <= ALIKE_TIMES * min(times.values())]
        verb = "is the fastest" if len(fast) == 1 else "are the fastest"
        sentences.append(f"{listing(fast)} {verb} ({min(times.values()):.2g} ms per pose).")
    return [sentence for sentence in sentences if sentence]


def standing_sentence(results: Results, protocol: str, units: Mapping[str, Unit]) -> str:
    """Who has the best energy score, or which ones cannot be told apart; empty of a single lifter."""
    measure = at("scores", "energy score")
    first = _stand(results, protocol, units, measure, "energy score")
    if not first:
        return ""
    said = _values(units, first, measure, "energy score", 1, " mm")
    if len(first) == 1:
        return f"{first[0]} has the best energy score ({said}), beyond chance."
    found = units[first[0]].get("uncertainty", {})
    count = f"{found['groups']} {found['of']}" if found else "these poses"
    return f"{listing(first)} are level in energy score ({said}): {count} do not tell them apart."


def _stand(
    results: Results, protocol: str, units: Mapping[str, Unit], measure: Measure, statistic: str
) -> tuple[str, ...]:
    """The leaders by a measure of which less is better, in order."""
    values = {lifter: value for lifter, unit in units.items() if (value := measure(unit)) is not None}
    rows = results.get("comparisons", {}).get(protocol, {}).get(statistic, ())
    found = leaders(rows, values)
    return tuple(sorted(found, key=lambda lifter: values[lifter]))


def _values(
    units: Mapping[str, Unit], lifters: Sequence[str], measure: Measure, statistic: str, digits: int, unit_name: str
) -> str:
    """The lifters' values with what they may be off by."""
    parts = []
    for lifter in lifters:
        half = number(units[lifter], "uncertainty", "half width", statistic)
        value = f"{measure(units[lifter]):.{digits}f}"
        parts.append(value if half is None else f"{value} ±{half:.{digits}f}")
    return listing(parts) + unit_name
