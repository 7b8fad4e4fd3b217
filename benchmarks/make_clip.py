"""Film ten seconds of a stored clip with a fixed camera and a noisy detector: a keypoint file to lift.

python benchmarks/make_clip.py STORE --clip 0 --out clip.json
poseterior lift clip.json --lifter rotations --out clip.bvh --picture sheet.png
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch

from poseterior.data.store import PoseStore
from poseterior.geometry.cameras import project
from poseterior.geometry.skeletons import SKELETONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--clip", type=int, default=0, help="number of the clip")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--noise", type=float, default=3.0, help="standard deviation in pixels")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    mocap = PoseStore(options.store).load(fps=30)
    numbers = np.unique(mocap.clip)
    if not 0 <= options.clip < len(numbers):
        parser.error(f"--clip: {options.store} has the clips 0 to {len(numbers) - 1}, got {options.clip}")
    rows = mocap.select(mocap.clip == numbers[options.clip])
    world = torch.from_numpy(rows.h36m17[: int(options.seconds * 30)])
    middle = world[:, 0].mean(0)
    # A camera at the height of the pelvis, 4.5 m in front of the middle of the path; y and z turn over.
    camera = (world - middle) * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, 4.5])
    intrinsics = torch.tensor([1000.0, 1000.0, 640.0, 480.0])
    noise = options.noise * torch.randn(*camera.shape[:2], 2, generator=torch.Generator().manual_seed(0))
    xy = project(camera, intrinsics) + noise
    frames = [
        {
            "joints": list(SKELETONS["h36m17"].joints),
            "keypoints": [[round(float(v), 2) for v in point] for point in frame],
            "covariance": [[[options.noise**2, 0.0], [0.0, options.noise**2]]] * 17,
            "intrinsics": [1000.0, 1000.0, 640.0, 480.0],
            "image_size": [1280, 960],
        }
        for frame in xy
    ]
    with open(options.out, "w") as file:
        json.dump(frames, file)
    print(f"wrote {options.out}: {len(frames)} frames of {rows.clip_names[rows.clip[0]]!r}")


if __name__ == "__main__":
    main()
