"""The README's league table from a benchmark's result.

poseterior bench --data stores/cmu-test --cross stores/bandai --protocol main --out bench
python benchmarks/league_table.py bench/bench.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = (
    "lifter", "energy score", "MPJPE", "P-MPJPE", "*best of 200*", "NLL", "calibration seen / missing", "signed",
    "region 0.9: joints / pose", "order", "ms a pose",
)  # fmt: skip


def row(unit: dict[str, Any]) -> list[str]:
    mean, scores, calibration = unit["estimates"]["mean"], unit["scores"], unit["calibration"]
    missing = calibration.get("missing", {}).get("mean")
    return [
        f"`{unit['lifter']}`",
        f"{scores['energy score']:.1f}",
        f"{mean['MPJPE']:.1f}",
        f"{mean['P-MPJPE']:.1f}",
        f"*{unit['estimates'][unit['oracles'][0]]['MPJPE']:.1f}*",
        f"{scores['NLL']:.{2 if scores['NLL'] < 10 else 0}f}".replace("-", "−") if "NLL" in scores else "–",
        f"{calibration['visible']['mean']:.3f} / {'–' if missing is None else f'{missing:.3f}'}",
        f"{calibration['all']['signed']:+.3f}".replace("-", "−"),
        f"{unit['region']['mean']:.3f} / {unit['region']['pose']:.3f}",
        f"{100 * unit['depth order']['accuracy']:.0f} %",
        f"{unit['cost']['milliseconds a pose']:.1f}",
    ]


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text())
    print(f"| protocol | {' | '.join(COLUMNS)} |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for name in sys.argv[2:] or [n for n, protocol in result["protocols"].items() if protocol["group"] == "main"]:
        units = [unit for unit in result["units"] if unit["protocol"] == name]
        for unit in sorted(units, key=lambda unit: unit["scores"]["energy score"]):
            print(f"| `{name}` | {' | '.join(row(unit))} |")


if __name__ == "__main__":
    main()
