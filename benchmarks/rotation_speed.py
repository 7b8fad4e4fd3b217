"""Speed of distributions over joint rotations, against the published sampler in the same run.

    OMP_NUM_THREADS=1 python benchmarks/rotation_speed.py [--lifter NAME|FOLDER ...] [--repeats 5]

One thread, inverse kinematics: from keypoints to the density of 256 poses, to 256 samples (one a pose) and to 1 sample.
The rows are `RotationLifter` of default sizes in two structures and the published network (Dünkel et al. 2024: 19
joints, 23 layers, a small network for each of the 437), all untrained unless ``--lifter`` names weights. The published
network is sampled by `PublishedRotationFlow.from_base`, and joint after joint as it was released (`LayerByLayer`);
both give the same rotations from the same draws, which is checked. Times are the median of the repeats in seconds of
the processor's time: on one thread they are those of the clock when nothing else runs. Operations of torch and host
reads (numbers that Python fetched from tensors; a GPU is waited for at each) are those of 256 samples. The released
code itself makes more of both, about 784,000 and 6,156: this one leaves out what does not change the result.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import roma
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from poseterior.geometry.body import body_points, rest_offsets
from poseterior.lifters import load_prior
from poseterior.lifters.rotations import RotationConfig, RotationLifter
from poseterior.nn.rotation_networks import BODY_JOINTS
from poseterior.nn.so3 import haar_quaternions
from poseterior.published.duenkel_2024.network import PublishedRotationFlow
from poseterior.published.duenkel_2024.prior import PublishedRotationPrior

POSES = 256


# -- the published sampler -------------------------------------------------------------------------------------


class SmallNetwork(nn.Module):
    """The network of one joint in one layer."""

    def __init__(self, enter: tuple[Tensor, Tensor], middle: list[tuple[Tensor, Tensor]], leave: tuple[Tensor, Tensor]):
        super().__init__()
        self.enter, self.leave = linear(*enter), linear(*leave)
        self.middle = nn.ModuleList(linear(*m) for m in middle)

    def forward(self, x: Tensor) -> Tensor:
        entered = inner = self.enter(x)
        for layer in self.middle:
            inner = layer(inner.relu())
        return self.leave((entered + inner).relu())


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer of given weight ``(inputs, outputs)`` and bias."""
    layer = nn.Linear(*weight.shape)
    layer.weight.data, layer.bias.data = weight.detach().T.contiguous(), bias.detach().clone()
    return layer


def mobius_inverse(matrix: Tensor, out: Tensor, segments: int, axis: int) -> tuple[Tensor, Tensor]:
    """Turn column ``axis - 1`` back about column ``axis`` by bisection: rotations, log-determinant of the forward map.

    Angles are measured from minus the turned column, so that it stands at pi and the one sought within a quarter turn.
    """
    first, third = (axis - 1) % 3, (axis + 1) % 3
    y = matrix[..., axis]
    reference = -matrix[..., first]
    across = torch.linalg.cross(y, reference)
    weights = nn.functional.softplus(out[..., :segments])
    weights = weights / weights.sum(-1, keepdim=True)
    centres = out[..., segments:].unflatten(-1, (segments, 3))
    centres = centres - (centres * y.unsqueeze(-2)).sum(-1, keepdim=True) * y.unsqueeze(-2)
    centres = 0.7 * centres / (1.0 + centres.norm(dim=-1, keepdim=True))
    u, v = (centres @ reference.unsqueeze(-1)).squeeze(-1), (centres @ across.unsqueeze(-1)).squeeze(-1)
    inside = 1.0 - u.square() - v.square()

    low = torch.full_like(u[..., 0], 0.5 * math.pi)
    high = 3.0 * low
    while True:
        t = 0.5 * (low + high)
        if (high - low).max() < 1e-4:
            break
        dx, dy = t.cos().unsqueeze(-1) - u, t.sin().unsqueeze(-1) - v
        scale = inside / (dx.square() + dy.square())
        moved = torch.atan2(scale * dy - v, scale * dx - u).remainder(2.0 * math.pi)
        short = (weights * moved).sum(-1) < math.pi
        low, high = torch.where(short, t, low), torch.where(short, high, t)

    cosine, sine = t.cos().unsqueeze(-1), t.sin().unsqueeze(-1)
    back = reference * cosine + across * sine
    other = torch.linalg.cross(back, y)
    columns = {first: back, axis: y, third: other / other.norm(dim=-1, keepdim=True)}
    slope = (weights * inside / ((cosine - u).square() + (sine - v).square())).sum(-1)
    return torch.stack([columns[c] for c in range(3)], -1), slope.log()


def affine_inverse(matrix: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
    """The quaternion through the inverse of W: rotations, and the log-determinant of the forward map."""
    q = roma.rotmat_to_unitquat(matrix).roll(1, -1)
    moved = (torch.linalg.inv(change) @ q.unsqueeze(-1)).squeeze(-1)
    length = moved.norm(dim=-1, keepdim=True)
    ladj = torch.linalg.det(change).abs().log() + 4.0 * length.squeeze(-1).log()
    return roma.unitquat_to_rotmat((moved / length).roll(-1, -1)), ladj


class LayerByLayer(nn.Module):
    """A `PublishedRotationFlow` sampled as it was released: 437 small networks called one after another."""

    def __init__(self, flow: PublishedRotationFlow) -> None:
        super().__init__()
        self.segments, self.joints = flow.segments, flow.joints
        self.orders = flow.permutations.tolist()
        layers = []
        for layer in range(len(self.orders)):
            packed: Any = (flow.affine if layer % 2 else flow.mobius)[layer // 2]
            networks = nn.ModuleList()
            for position in range(flow.joints):
                rows = packed._rows(position)
                parts = [packed.own[position], packed.before[rows.start : rows.stop], packed.condition[position]]
                middle = zip(packed.middle[:, position], packed.middle_bias[:, position], strict=True)
                leave = (packed.leave[position], packed.leave_bias[position])
                networks.append(SmallNetwork((torch.cat(parts), packed.enter_bias[position]), list(middle), leave))
            layers.append(networks)
        self.layers = nn.ModuleList(layers)

    def from_base(self, rotations: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(rotations[..., 0, 0, 0])
        eye = torch.eye(4)
        for layer in reversed(range(len(self.layers))):
            order, axis = self.orders[layer], (1 + layer // 2) % 3
            networks: Any = self.layers[layer]
            found: list[Tensor] = []
            for position in range(self.joints):
                matrix = rotations[..., order[position], :, :]
                features = [before[..., :2].flatten(-2) for before in found] + [condition]
                if layer % 2:
                    change = networks[position](torch.cat(features, -1)).unflatten(-1, (4, 4)) + eye
                    back, ladj = affine_inverse(matrix, change)
                else:
                    out = networks[position](torch.cat([matrix[..., axis], *features], -1))
                    back, ladj = mobius_inverse(matrix, out, self.segments, axis)
                found.append(back)
                total = total + ladj
            rotations = torch.stack([found[order.index(joint)] for joint in range(self.joints)], -3)
        return rotations, total


# -- measuring -------------------------------------------------------------------------------------------------


class Calls(TorchDispatchMode):
    """Counts tensor operations, and the numbers that Python reads from tensors."""

    operations = host_reads = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        self.host_reads += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """Median processor time."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def calls(work: Callable[[], Any]) -> Calls:
    with Calls() as counter:
        work()
    return counter


def same_rotations(flow: PublishedRotationFlow, slow: LayerByLayer, condition: Tensor) -> Tensor:
    """Angles (radians) between what the two samplers make of the same draws."""
    generator = torch.Generator().manual_seed(0)
    base = roma.unitquat_to_rotmat(haar_quaternions((len(condition), flow.joints), generator))
    one, other = flow.from_base(base, condition)[0], slow.from_base(base, condition)[0]
    return 2.0 * ((one - other).flatten(-2).norm(dim=-1) / math.sqrt(8.0)).clamp(max=1.0).asin()


@torch.no_grad()
def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lifter", nargs="*", default=[], help="weights of methods rotations, rotations-published")
    arguments.add_argument("--repeats", type=int, default=5)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    named = {name: load_prior(name) for name in options.lifter}
    ours: dict[str, RotationLifter] = {name: x for name, x in named.items() if isinstance(x, RotationLifter)}
    for structure in ("autoregressive", "coupling"):
        if not any(lifter.config.structure == structure for lifter in ours.values()):
            ours[f"ours, {structure}"] = RotationLifter(RotationConfig(structure=structure)).eval()
    trained = [x for x in named.values() if isinstance(x, PublishedRotationPrior) and x.config.task == "ik"]
    published = trained[0] if trained else PublishedRotationPrior().eval()
    slow = LayerByLayer(published.flow)

    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(POSES, 22, 3))
    rotations[:, 0] = torch.eye(3)
    points, _ = body_points(rotations, rest_offsets().expand(POSES, 25, 3))
    keypoints = points[:, :22]

    def by_layer(n: int) -> None:
        base = roma.unitquat_to_rotmat(haar_quaternions((n, len(BODY_JOINTS))))
        slow.from_base(base, published.encode(keypoints[:n]))

    rows: dict[str, list[Callable[[], Any] | None]] = {}
    for name, lifter in ours.items():
        rows[name] = [
            lambda x=lifter: x.ik(points).log_prob(rotations),
            lambda x=lifter: x.ik(points).sample(),
            lambda x=lifter: x.ik(points[:1]).sample(),
        ]
    rows["published, our code"] = [
        lambda: published.ik(keypoints).log_prob(rotations),
        lambda: published.ik(keypoints).sample(),
        lambda: published.ik(keypoints[:1]).sample(),
    ]
    rows["published, layer by layer"] = [None, lambda: by_layer(POSES), lambda: by_layer(1)]

    angle = torch.rad2deg(same_rotations(published.flow, slow, published.encode(keypoints)))
    console = Console(width=120)
    console.print(
        f"published network, same draws: the two samplers differ by {float(angle.median()):.3f}° (median), "
        f"{float(angle.quantile(0.99)):.3f}° (99 %)"
    )
    measured = {
        name: [None if work is None else seconds(work, options.repeats) for work in works]
        for name, works in rows.items()
    }
    table = Table(title="seconds of processor time, one thread (in brackets: times faster than layer by layer)")
    for column in ("", f"density of {POSES}", f"{POSES} samples", "1 sample", "operations", "host reads"):
        table.add_column(column, justify="left" if not column else "right")
    slowest = measured["published, layer by layer"]
    for name, times in measured.items():
        cells = []
        for mine, theirs in zip(times, slowest, strict=True):
            ratio = "" if mine is None or theirs is None else f" ({theirs / mine:.1f}x)"
            cells.append("-" if mine is None else f"{mine:.3f}{ratio}")
        draw = rows[name][1]
        assert draw is not None
        counted = calls(draw)
        table.add_row(name, *cells, f"{counted.operations:,}", f"{counted.host_reads:,}")
    console.print(table)


if __name__ == "__main__":
    main()
