"""Speed of fitting Gaussians to heatmaps, against one scipy.optimize.curve_fit a heatmap in the same run.

    OMP_NUM_THREADS=1 python benchmarks/heatmaps.py [--count 8192]

Both start from the highest pixel; curve_fit from standard deviations of 2 px and without bounds, on the whole
heatmap, as published (Wehrbein et al. 2021).
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings

import numpy as np
import torch
from scipy.optimize import OptimizeWarning, curve_fit

from poseterior.keypoints.heatmaps import fit_gaussians

SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE].astype(float)


def gaussian(
    _: object, amplitude: float, x: float, y: float, sigma_x: float, theta: float, sigma_y: float
) -> np.ndarray:
    """The published parameters' Gaussian, flattened; theta runs from x towards y up."""
    dx, dy = X - x, y - Y
    along, across = dx * math.cos(theta) + dy * math.sin(theta), dy * math.cos(theta) - dx * math.sin(theta)
    return (amplitude * np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))).ravel()


def draw(count: int, noise: float) -> tuple[torch.Tensor, np.ndarray]:
    """Heatmaps of one peak each and their longer standard deviations."""
    rng = np.random.default_rng(0)
    long = rng.uniform(1.5, 5.0, count)
    truth = np.stack([
        rng.uniform(0.3, 1.0, count), rng.uniform(8, 55, count), rng.uniform(8, 55, count),
        long, rng.uniform(0, math.pi, count), long / rng.uniform(1.0, 2.5, count),
    ], -1)  # fmt: skip
    maps = np.stack([gaussian(None, *row) for row in truth]).reshape(-1, SIDE, SIDE)
    maps += noise * rng.standard_normal(maps.shape)
    return torch.from_numpy(maps.astype(np.float32)), long


def scipy_sigma(heatmap: np.ndarray) -> float:
    """Longer standard deviation by curve_fit, NaN where it gives up."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    try:
        found, _ = curve_fit(gaussian, None, heatmap.clip(0, 1).ravel(), (heatmap.max(), x, y, 2.0, 0.0, 2.0))
    except RuntimeError:
        return math.nan
    return float(np.abs(found[[3, 5]]).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=8192)
    parser.add_argument("--scipy-count", type=int, default=100)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", OptimizeWarning)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, {SIDE} x {SIDE} heatmaps")
    for noise in (0.0, 0.02):
        maps, long = draw(arguments.count, noise)
        fit_gaussians(maps[:512])
        times = []
        for _ in range(3):
            start = time.perf_counter()
            fits = fit_gaussians(maps)
            times.append(time.perf_counter() - start)
        rate = len(maps) / statistics.median(times)
        ours = np.abs(fits.axes[0].numpy() / long - 1)

        some = maps[: arguments.scipy_count].numpy()
        start = time.perf_counter()
        theirs = np.abs(np.array([scipy_sigma(heatmap) for heatmap in some]) / long[: len(some)] - 1)
        baseline = len(some) / (time.perf_counter() - start)
        print(
            f"noise {noise:g}: {rate:,.0f} heatmaps/s, curve_fit {baseline:,.0f}/s:"
            f" {rate / baseline:.0f} x; median error of the longer sigma {100 * np.median(ours):.2f} %"
            f" and {100 * np.nanmedian(theirs):.2f} %,"
            f" failed {int(fits.failed.sum())} of {len(maps)}"
        )


if __name__ == "__main__":
    main()
