"""Hypotheses a second on a GPU, beside the CPU and beside FMPose3D's network on the same devices, in one run.

    python benchmarks/devices.py [--devices cuda cpu] [--lifters mdn flow rotations] [--poses 64 1024] [--samples 200]

For FMPose3D (flow matching, 3 Euler steps a hypothesis; random weights, which cost what trained ones do) put it beside
poseterior into an environment with a PyTorch that it takes (before 2.11):

    pip install fmpose3d==0.0.10

It is left out where it is not installed. Times are those of the clock after the device has finished, the median of the
repeats; on the CPU as many threads as OMP_NUM_THREADS says. `float32` products on a GPU are as torch is set
(`--tf32` allows rounding to TensorFloat-32); densities and evidence stay in float32 and float64 either way.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace

import torch

import poseterior as pp

#: The published network's size.
PEER = SimpleNamespace(
    channel=512, d_hid=1024, token_dim=256, layers=5, n_joints=17, out_joints=17, in_channels=2, out_channels=3,
    frames=1, dataset="h36m",
)  # fmt: skip
STEPS = 3


def seconds(call: Callable[[], object], device: str, repeats: int) -> float:
    """Of the clock, the median of the repeats after two that do not count."""
    times = []
    for turn in range(repeats + 2):
        start = time.perf_counter()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        if turn >= 2:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def peer(device: str, poses: int, samples: int) -> Callable[[], object] | None:
    """FMPose3D's draws for so many poses; None where it is not installed."""
    try:
        from fmpose3d.models.fmpose3d.model_GAMLP import Model
    except ImportError:
        return None
    model = Model(PEER).to(device).eval()
    rows = min(poses * samples, 4096)
    points = torch.randn(rows, 1, PEER.n_joints, 2, device=device)

    def draw() -> None:
        for _ in range(0, poses * samples, rows):
            place = torch.randn(rows, 1, PEER.n_joints, 3, device=device)
            for step in range(STEPS):
                time_now = torch.full((rows, 1, 1, 1), step / STEPS, device=device)
                place = place + model(points, place, time_now) / STEPS

    return draw


def main() -> None:
    """Print a row for each lifter, number of poses and device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", default=known)
    parser.add_argument("--lifters", nargs="+", default=["mdn", "flow", "rotations"])
    parser.add_argument("--poses", nargs="+", type=int, default=[64, 1024])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-share", type=float, default=1.0, help="share of the hypotheses that the peer draws")
    parser.add_argument("--tf32", action="store_true")
    told = parser.parse_args()
    if told.tf32:
        torch.set_float32_matmul_precision("high")
    for device in told.devices:
        name = torch.cuda.get_device_name() if device.startswith("cuda") else f"{torch.get_num_threads()} threads"
        print(f"{device}: {name}, torch {torch.__version__}")
    print(f"{'':12} {'poses':>6} {'device':>7} {'ms':>10} {'hypotheses/s':>13} {'x cpu':>7} {'x FMPose3D':>11}")
    one = pp.example_keypoints()[2:3]
    with torch.no_grad():
        for poses in told.poses:
            rates: dict[tuple[str, str], float] = {}
            for device in told.devices:
                for name in ["FMPose3D", *told.lifters]:
                    count = max(1, round(poses * told.peer_share)) if name == "FMPose3D" else poses
                    if name == "FMPose3D":
                        call = peer(device, count, told.samples)
                        if call is None:
                            continue
                    else:
                        lifter = pp.load(name).to(device)
                        keypoints = pp.Keypoints2D.cat([one] * poses).to(device)

                        def call(lifter=lifter, keypoints=keypoints) -> object:  # type: ignore[no-untyped-def]
                            return lifter(keypoints).sample((told.samples,), seed=0)

                    taken = seconds(call, device, told.repeats)
                    rates[device, name] = count * told.samples / taken
                    told_rate = rates[device, name]
                    ratios = [
                        f"{told_rate / rates[key]:{width}.1f}" if key in rates else f"{'':{width}}"
                        for key, width in ((("cpu", name), 7), ((device, "FMPose3D"), 11))
                    ]
                    print(f"{name:12} {count:6} {device:>7} {1e3 * taken:10.1f} {told_rate:13,.0f} {' '.join(ratios)}")


if __name__ == "__main__":
    main()
