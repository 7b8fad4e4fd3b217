"""Compare distributions over joint rotations on held-out mocap: `poseterior bench --rotations` under its old name.

    python benchmarks/rotations.py STORE LIFTER [LIFTER ...] [--train STORE] [--poses 1000] [--out FOLDER]

STORE is a pose store that no lifter has seen; LIFTER a shipped name or a folder of weights (methods rotations and
vae). See `poseterior.experiments.rotations`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from poseterior.cli._rotations import run_rotations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("lifters", nargs="+")
    parser.add_argument("--train", type=Path, help="store that the lifters learnt from, for the prior and the ranks")
    parser.add_argument("--poses", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("bench"), help="folder of rotations.json")
    arguments = parser.parse_args()
    run_rotations(arguments.lifters, arguments.store, arguments.train, arguments.poses, arguments.out)


if __name__ == "__main__":
    main()
