"""The page: what it begins with, its program, the runtime and the network, in one HTML file.

Nothing is asked for: a policy in the page forbids every request, and every program and style but those whose hashes it
names. Runtime and network are packed (gzip, base64) in elements that browsers do not run.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import os
from importlib import resources
from typing import Any

import numpy as np
import torch

from ..._version import __version__
from ...files.writing import atomic_write
from ...keypoints.keypoints import MINIMUM_SPREAD_PX
from ...lifters import Lifter
from ...lifters.tensors import TensorLifter
from ...lifting.poses import lift
from ..offline import colours, json_text, own, render, static, whole_program
from ..scene.data import describe
from ..scene.packing import exact, pack
from ..scene.page import SHARED
from ..tracks import SceneOptions
from .network import network_of
from .runtime import SOURCE, Runtime
from .starts import Start, start_poses

__all__ = ["Playground", "playground_html", "write_playground"]

#: Of this page alone, in this order, after what all pages with bodies share.
_PROGRAM = ("keypoints.js", "board.js", "table.js", "network.js", "page.js")
#: Samples that are drawn, of those that are computed: more are no clearer.
_DRAWN = 60
#: Seed of the noise, which stays the same while keypoints are dragged: nothing flickers.
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Playground:
    """What a page is made of.

    Attributes:
        lifter: whose network it is.
        level: probability of the regions.
        network: ONNX.
        told: what the network tells of itself.
        noise: ``(samples, noise_width)`` standard normal numbers, of which the page makes its samples.
        starts: the poses to begin with.
    """

    lifter: Lifter
    level: float
    network: bytes
    told: dict[str, str]
    noise: np.ndarray
    starts: list[Start]

    @classmethod
    def of(cls, lifter: Lifter, level: float = 0.9) -> Playground:
        """Trace a lifter, from `poseterior.load`.

        Raises:
            InputError: a package of the extra ``playground`` is missing; a lifter that cannot be exported; a level
                without a guarantee.
        """
        network, told = network_of(lifter, level)
        shape = int(told["region_samples"]), int(told["noise_width"])
        noise = np.random.default_rng(_SEED).standard_normal(shape, np.float32)
        return cls(lifter, level, network, told, noise, start_poses(lifter.skeleton))


def write_playground(playground: Playground, runtime: Runtime, path: str | os.PathLike[str]) -> None:
    """Write the page, which appears only when it is complete.

    Args:
        playground: from `Playground.of`.
        runtime: from `poseterior.view.playground.runtime.load_runtime`.
        path: the HTML file.

    Raises:
        InputError: a path that cannot be written to.
    """
    page = playground_html(playground, runtime)
    with atomic_write(path) as file:
        file.write(page.encode())


def playground_html(playground: Playground, runtime: Runtime) -> str:
    """The page as text; see `write_playground`."""
    scene = _scene(playground)
    style = colours() + static("poseterior.view.scene", "page.css") + static(__package__, "playground.css")
    shared = [static("poseterior.view.scene", name) for name in SHARED]
    program = whole_program([*shared, *(static(__package__, name) for name in _PROGRAM)])
    return render(
        static(__package__, "page.html"),
        title=f"Play with {playground.told['lifter']}",
        data=json_text(scene),
        style=own(style),
        program=own(program),
        runtime=own(runtime.program),
        wasm=_packed(runtime.wasm),
        network=_packed(playground.network),
        runtime_name=f"{SOURCE.name} {SOURCE.version}",
    )


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def _scene(playground: Playground) -> dict[str, Any]:
    """The first pose as the offline page shows results, and what this page needs beside it."""
    first = playground.starts[0].keypoints
    result = lift(playground.lifter, first, len(playground.noise), level=playground.level)
    module = TensorLifter(playground.lifter, playground.level).eval()
    with torch.no_grad():
        lifted = module(*module.inputs(first), torch.from_numpy(playground.noise)[:, None])
    result = dataclasses.replace(
        result,
        mean=lifted.mean.numpy(),
        covariance=lifted.joint_covariance.numpy(),
        samples=lifted.samples.movedim(0, 1).numpy(),
        region_center=lifted.centre.numpy(),
        region_radius=lifted.radius.numpy(),
    )
    scene = describe(result, SceneOptions(hypotheses=_DRAWN))
    drawn = np.unique(np.linspace(0, len(playground.noise) - 1, scene["samples"]["shown"]).round().astype(int))
    scene["place"] |= {"seen": None, "first": "beside"}
    scene["play"] = {
        "starts": [_start(start) for start in playground.starts],
        "noise": exact(playground.noise),
        "drawn": drawn.tolist(),
        "names": json.loads(playground.told["joints"]),
        "skeleton": playground.told["skeleton"],
        "facts": _facts(playground),
        "leastSigma": MINIMUM_SPREAD_PX,
    }
    return scene


def _start(start: Start) -> dict[str, Any]:
    keypoints = start.keypoints
    visible = keypoints.visible[0].numpy()
    # a circle of the same area: what one slider can say
    sigma = torch.linalg.det(keypoints.covariance[0].double()).clamp(min=0.0).pow(0.25).numpy()
    xy = np.where(visible[:, None], keypoints.xy[0].numpy(), np.nan)
    return {
        "name": start.name,
        "note": start.note,
        "size": keypoints.image_size[0].tolist(),
        "xy": pack(xy, 0.01),
        "sigma": exact(np.where(visible, sigma, np.median(sigma[visible]))),
        "visible": visible.astype(int).tolist(),
        "photo": None if start.photo is None else _photo(start.photo),
    }


def _photo(name: str) -> str:
    content = resources.files("poseterior").joinpath("examples").joinpath(name).read_bytes()
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def _facts(playground: Playground) -> list[list[str]]:
    """What the page tells at its end."""
    told, samples = playground.told, len(playground.noise)
    regions = f"balls that hold each joint with {100 * playground.level:g} %"
    return [
        ["lifter", f"{told['lifter']}, weights under {told['licence']}"],
        ["places", f"{told['units']} from the {told['origin']}, {told['axes']}"],
        ["regions", regions + (", calibrated" if told["calibrated"] == "true" else ", not calibrated")],
        [
            "noise",
            f"{samples} hypotheses of the same random numbers (seed {_SEED}) all the time: nothing flickers",
        ],
        ["camera", "not known: the lifter assumes a usual one for the picture's size"],
        ["keypoints", "each counts as its σ says; none is taken for simply wrong"],
        ["runs in", f"{SOURCE.name} {SOURCE.version} ({SOURCE.licence}), in this page; nothing is asked for or sent"],
        ["photograph", "of the astronaut: Eileen Collins, NASA, public domain"],
        ["written by", f"poseterior {__version__}"],
    ]
