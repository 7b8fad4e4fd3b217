"""Measure trained weights on the fixed protocols, complete their card, and put them among the shipped ones.

    python benchmarks/ship_weights.py runs/mdn/weights mdn --cmu-test stores/cmu-test --bandai stores/bandai-1 \\
        --command "poseterior train mdn data=stores/cmu-train" --description "..." --licence "..."
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from poseterior.benchmark import evaluate
from poseterior.data.protocols import simulate
from poseterior.lifters import load

WEIGHTS = Path(__file__).resolve().parents[1] / "src" / "poseterior" / "weights"


def measure(weights: Path, name: str, stores: dict[str, Path]) -> dict[str, dict]:
    lifter = load(weights)
    measured = {}
    for protocol, store in stores.items():
        result = evaluate(lifter, simulate(store, protocol))
        result["command"] = (
            f"poseterior evaluate {name} --data {protocol}.parquet "
            f"(made by: poseterior data simulate STORE --protocol {protocol} --out {protocol}.parquet)"
        )
        measured[protocol] = result
        print(protocol, json.dumps({k: result[k] for k in ("metrics", "calibration", "error bar")}, indent=1))
    return measured


def in_short(measured: dict[str, dict]) -> dict[str, str]:
    short = {}
    for protocol, result in measured.items():
        metrics, calibration = result["metrics"], result["calibration"]["all"]
        short[protocol] = (
            f"P-MPJPE {metrics['mean P-MPJPE']:.1f} mm, MPJPE {metrics['mean MPJPE']:.1f}, best of "
            f"{result['samples']} {metrics['best MPJPE']:.1f}, calibration error {calibration['mean']:.3f}"
        )
    return short


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("name")
    parser.add_argument("--cmu-test", type=Path, required=True)
    parser.add_argument("--bandai", type=Path, required=True)
    parser.add_argument("--command", required=True, help="the command that trained them")
    parser.add_argument("--description", required=True)
    parser.add_argument("--licence", required=True)
    parser.add_argument("--commit", help="of the code that trained them, if the card's is not it")
    options = parser.parse_args()
    stores = dict.fromkeys(("cmu-test", "cmu-clean", "cmu-occluded"), options.cmu_test)
    measured = measure(options.weights, options.name, stores | {"bandai-cross": options.bandai})
    card = json.loads((options.weights / "card.json").read_text())
    card |= {"name": options.name, "description": options.description, "licence": options.licence}
    card |= {"command": options.command, "in short": in_short(measured), "metrics": measured}
    card["commit"] = options.commit or card["commit"]
    target = WEIGHTS / options.name
    if target.exists():
        shutil.rmtree(target)
    load(options.weights).save_pretrained(target, card)
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
