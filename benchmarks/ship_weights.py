"""Complete the card of trained weights with what was measured, and put them among the shipped ones.

    poseterior calibrate runs/mdn/weights --data TRAIN --evidence --out runs/mdn/calibrated
    poseterior data simulate STORE --protocol cmu-test --out cmu-test.parquet
    poseterior evaluate runs/mdn/calibrated --data cmu-test.parquet --mode-poses 500 --out cmu-test.json
    python benchmarks/ship_weights.py runs/mdn/calibrated mdn --results cmu-test.json ... \\
        --command "poseterior train mdn data=stores/cmu-train" --description "..." --licence "..."
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from poseterior.lifters import load

WEIGHTS = Path(__file__).resolve().parents[1] / "src" / "poseterior" / "weights"


def with_command(result: dict, name: str, mode_poses: int) -> dict:
    """The result with the commands that made it, without the lists that figures are drawn from."""
    result.pop("size", None)
    result.pop("worst", None)
    protocol = result["protocol"].split()[0]
    result["command"] = (
        f"poseterior evaluate {name} --data {protocol}.parquet --mode-poses {mode_poses} (made by: poseterior data "
        f"simulate STORE --protocol {protocol} --limit {result['poses']} --out {protocol}.parquet)"
    )
    return result


def in_short(measured: dict[str, dict]) -> dict[str, str]:
    short = {}
    for protocol, result in measured.items():
        estimates, calibration = result["estimates"], result["calibration"]["all"]
        mean, best = estimates["mean"], f"best of {result['samples']}"
        short[protocol] = (
            f"P-MPJPE {mean['P-MPJPE']:.1f} mm, MPJPE {mean['MPJPE']:.1f}, {best} "
            f"{estimates[best]['MPJPE']:.1f}, calibration error {calibration['mean']:.3f}"
        )
    return short


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("name")
    parser.add_argument("--results", type=Path, nargs="+", required=True, help="written by poseterior evaluate --out")
    parser.add_argument("--mode-poses", type=int, default=500, help="with which they were measured")
    parser.add_argument("--command", required=True, help="the command that trained them")
    parser.add_argument("--description", required=True)
    parser.add_argument("--licence", required=True)
    parser.add_argument("--commit", help="of the code that trained them, if the card's is not it")
    parser.add_argument("--rotations", type=Path, help="written by benchmarks/rotations.py --out, for rotation lifters")
    parser.add_argument("--data-licence", help="of the data, where its stores do not say all of it")
    parser.add_argument("--sources", nargs="+", help="of the data, likewise")
    parser.add_argument("--half", action="store_true", help="store the weights as 16-bit floats (half the size)")
    options = parser.parse_args()
    results = [json.loads(path.read_text()) for path in options.results]
    measured = {r["protocol"].split()[0]: with_command(r, options.name, options.mode_poses) for r in results}
    card = json.loads((options.weights / "card.json").read_text())
    card |= {"name": options.name, "description": options.description, "licence": options.licence}
    card |= {"command": options.command, "in short": in_short(measured), "metrics": measured}
    card["commit"] = options.commit or card["commit"]
    card["licence of the data"] = options.data_licence or card["licence of the data"]
    card["data"]["sources"] = options.sources or card["data"]["sources"]
    if options.rotations:
        measured_rotations = json.loads(options.rotations.read_text())[0]
        card["rotations"] = {"command": "python benchmarks/rotations.py STORE rotations --train STORE"}
        card["rotations"] |= {k: v for k, v in measured_rotations.items() if k != "lifter"}
        ik = measured_rotations["ik"]
        card["in short"]["rotations, cmu-test"] = (
            f"prior {measured_rotations['prior LL'][0]:.0f} nats above uniform, inverse kinematics {ik['LL'][0]:.0f}; "
            f"{ik['mpjpe one']:.1f} mm from exact keypoints, one sample"
        )
    target = WEIGHTS / options.name
    if target.exists():
        shutil.rmtree(target)
    lifter = load(options.weights)
    if options.half:  # a calibration is of weights to the bit; it is made anew for what is shipped
        lifter.recalibration = None
    lifter.save_pretrained(target, card)
    if options.half:
        # Loading widens them again; measure what was saved this way, not what it was made from.
        path = target / "model.safetensors"
        save_file({k: v.half() if v.dtype == torch.float32 else v for k, v in load_file(path).items()}, path)
        path.chmod(0o644)
    done = "" if lifter.recalibration else f"; next: poseterior calibrate {options.name} --data STORE --in-place"
    print(f"wrote {target}{done}")


if __name__ == "__main__":
    main()
