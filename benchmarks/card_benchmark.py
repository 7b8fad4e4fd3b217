"""Write a short benchmark's numbers onto the cards of the shipped weights; the slow tests hold the weights to them.

poseterior bench --data STORE --protocol cmu-test cmu-occluded --poses 200 --samples 100 --out cards
python benchmarks/card_benchmark.py cards/bench.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from poseterior.evaluation.cards import CARD_POSES, CARD_PROTOCOLS, CARD_SAMPLES, card_numbers
from poseterior.lifters import list_shipped

COMMAND = (
    f"poseterior bench --data STORE --protocol {' '.join(CARD_PROTOCOLS)} --poses {CARD_POSES} "
    f"--samples {CARD_SAMPLES} --out cards (STORE: the CMU BVH test clips)"
)


def main() -> None:
    result = json.loads(Path(sys.argv[1]).read_text())
    if (result["poses"], result["samples"]) != (CARD_POSES, CARD_SAMPLES):
        raise SystemExit(f"expected a run with --poses {CARD_POSES} --samples {CARD_SAMPLES}")
    for name, folder in list_shipped().items():
        units = {u["protocol"]: card_numbers(u) for u in result["units"] if u["lifter"] == name}
        path = folder / "card.json"
        card = json.loads(path.read_text())
        card["benchmark"] = {"command": COMMAND} | {protocol: units[protocol] for protocol in CARD_PROTOCOLS}
        path.write_text(json.dumps(card, indent=2) + "\n")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
