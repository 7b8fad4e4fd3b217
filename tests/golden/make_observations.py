"""Write observations_0.2.json: a few rows of every protocol of 0.2, on the made-up store (run with that version)."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conftest import made_up_store
from poseterior.data.simulation.protocols import PROTOCOLS, simulate

ROWS = (0, 17, 90)


def rows_of(store: Path, name: str) -> dict[str, list]:
    """Numbers of a protocol: keypoints and covariances in pixels, poses in metres."""
    seen = simulate(store, name).observations
    rows = list(ROWS)
    return {
        "xy": [[round(v, 3) for v in row] for row in seen.keypoints.xy[rows].flatten(1).tolist()],
        "variance": [[round(v, 3) for v in row] for row in seen.keypoints.covariance[rows][..., 0, 0].tolist()],
        "visible": seen.keypoints.visible[rows].int().tolist(),
        "pose": [[round(v, 4) for v in row] for row in seen.pose[rows].flatten(1).tolist()],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        store = made_up_store(Path(folder) / "store")
        found = {name: rows_of(store, name) for name in PROTOCOLS}
    path = Path(__file__).with_name("observations_0.2.json")
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
