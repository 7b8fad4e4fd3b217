"""League tables from a benchmark's result, each number with what it may be off by: the README's, and the page's.

poseterior bench --data stores/cmu-test --strangers stores/strangers --cross stores/bandai --protocol main --out bench
python benchmarks/league_table.py bench/bench.json              # six rows: README.md
python benchmarks/league_table.py bench/bench.json --all        # every main protocol: docs/results.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Unit = dict[str, Any]

#: What each shipped lifter learnt from.
LEARNT_FROM = {
    "flow": "3D poses", "mdn": "3D poses", "supervised": "3D poses", "rotations": "joint rotations",
    "unsupervised": "2D poses alone", "relative": "which joint is nearer",
}  # fmt: skip
#: Protocols in the order in which they are told: other people first, home last; those that are not named come between.
LEADING, LAST = ("people", "strangers"), ("cmu-test", "cmu-clean", "cmu-occluded", "cmu-motion", "cmu-bodies")


def signed(text: str) -> str:
    """With the minus sign of typography."""
    return text.replace("-", "−")


def number(unit: Unit, *keys: str) -> float | None:
    """The number at ``unit[key][key]...``; None where it was not measured."""
    value: Any = unit
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int | float) else None


def measured(unit: Unit, keys: Sequence[str], digits: int, statistic: str = "", factor: float = 1.0) -> str:
    """A number of a unit as it is printed, with half of its 95 % interval if ``statistic`` names one."""
    value = number(unit, *keys)
    if value is None:
        return "–"
    digits = digits if abs(value) < 100 else min(digits, 1) if abs(value) < 1000 else 0
    half = number(unit, "uncertainty", "half width", statistic) if statistic else None
    tail = "" if half is None else f" ± {factor * half:.{digits}f}"
    return signed(f"{factor * value:.{digits}f}{tail}")


def best_of(unit: Unit) -> str:
    return str(unit["oracles"][0])


#: Name -> text of a unit; the names are those of docs/numbers.json.
NUMBERS: dict[str, Callable[[Unit], str]] = {
    "energy score": lambda u: measured(u, ("scores", "energy score"), 1, "energy score"),
    "MPJPE": lambda u: measured(u, ("estimates", "mean", "MPJPE"), 1, "MPJPE"),
    "N-MPJPE": lambda u: measured(u, ("estimates", "mean", "N-MPJPE"), 1, "N-MPJPE"),
    "P-MPJPE": lambda u: measured(u, ("estimates", "mean", "P-MPJPE"), 1, "P-MPJPE"),
    "best of N": lambda u: measured(u, ("estimates", best_of(u), "MPJPE"), 1, "best MPJPE"),
    "NLL": lambda u: measured(u, ("scores", "NLL"), 2, "NLL"),
    "calibration": lambda u: measured(u, ("calibration", "all", "mean"), 3, "calibration"),
    "calibration, seen": lambda u: measured(u, ("calibration", "visible", "mean"), 3, "calibration, visible"),
    "calibration, missing": lambda u: measured(u, ("calibration", "missing", "mean"), 3, "calibration, missing"),
    "signed": lambda u: signed(f"{u['calibration']['all']['signed']:+.3f}"),
    "density coverage": lambda u: measured(u, ("density coverage", "error"), 3, "density coverage"),
    "region": lambda u: measured(u, ("region", "mean"), 1, "region", 100) + " %",
    "region, whole pose": lambda u: measured(u, ("region", "pose"), 1, "region, whole pose", 100) + " %",
    "region radius": lambda u: measured(u, ("region", "radius"), 0, "region radius"),
    "depth order": lambda u: measured(u, ("depth order", "accuracy"), 1, "depth order", 100) + " %",
    "bone error": lambda u: measured(u, ("plausibility", "bone error"), 1),
    "ms per pose": lambda u: measured(u, ("cost", "milliseconds per pose"), 1),
}

#: Columns: title, and the names of the numbers in it.
SHORT = (
    ("energy score", ("energy score",)), ("MPJPE", ("MPJPE",)), ("P-MPJPE", ("P-MPJPE",)),
    ("calibration error seen / missing", ("calibration, seen", "calibration, missing")),
    ("truths in the 90 % region", ("region",)), ("ms per pose", ("ms per pose",)),
)  # fmt: skip
LONG = (
    ("energy score", ("energy score",)), ("MPJPE", ("MPJPE",)), ("P-MPJPE", ("P-MPJPE",)),
    ("*best of N*", ("best of N",)), ("NLL", ("NLL",)),
    ("calibration error seen / missing", ("calibration, seen", "calibration, missing")), ("signed", ("signed",)),
    ("whole pose: density", ("density coverage",)),
    ("region 0.9: joints / pose", ("region", "region, whole pose")), ("order", ("depth order",)),
    ("ms per pose", ("ms per pose",)),
)  # fmt: skip


def units_of(result: dict[str, Any], protocol: str) -> list[Unit]:
    """The protocol's units, the best energy score first."""
    units = [unit for unit in result["units"] if unit["protocol"] == protocol]
    return sorted(units, key=lambda unit: unit["scores"]["energy score"])


def _place(protocol: str) -> tuple[int, int]:
    if protocol in LEADING:
        return 0, LEADING.index(protocol)
    return (2, LAST.index(protocol)) if protocol in LAST else (1, 0)


def _cell(unit: Unit, names: Sequence[str], title: str) -> str:
    text = " / ".join(NUMBERS[name](unit) for name in names)
    return f"*{text}*" if title.startswith("*") else text


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" if line[0] != "---" else f"|{'|'.join(line)}|" for line in lines)


def short_table(result: dict[str, Any]) -> str:
    """One row per lifter, on the leading protocol."""
    rows = [
        [f"`{u['lifter']}`", LEARNT_FROM.get(u["lifter"], "–"), *(_cell(u, names, title) for title, names in SHORT)]
        for u in units_of(result, leading_protocol(result))
    ]
    return _lines(["lifter", "learnt from", *(title for title, _ in SHORT)], rows)


def main_protocols(result: dict[str, Any]) -> list[str]:
    """Main protocols, other people first, home last."""
    return sorted((name for name, one in result["protocols"].items() if one["group"] == "main"), key=_place)


def leading_protocol(result: dict[str, Any]) -> str:
    """The protocol of the README's table: the first on other people that was measured, else at home."""
    found = main_protocols(result)
    return next((name for name in (*LEADING, *LAST) if name in found), found[0])


def long_table(result: dict[str, Any]) -> str:
    """One row per main protocol and lifter."""
    rows = [
        [f"`{name}`", f"`{u['lifter']}`", *(_cell(u, names, title) for title, names in LONG)]
        for name in main_protocols(result)
        for u in units_of(result, name)
    ]
    return _lines(["protocol", "lifter", *(title for title, _ in LONG)], rows)


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text())
    print(long_table(result) if "--all" in sys.argv[2:] else short_table(result))


if __name__ == "__main__":
    main()
