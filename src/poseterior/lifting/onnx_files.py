"""A lifter as an ONNX file: what runs it needs neither this package nor torch."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .._version import __version__
from ..distributions.base import PoseDistribution
from ..files.checks import cut
from ..files.extras import need
from ..files.writing import atomic_write, check_writable
from ..keypoints import Keypoints2D
from ..lifters import Lifter
from ..lifters.tensors import Lifted, TensorLifter, refusal
from .draws import lifter_name

__all__ = ["OPSET", "check_export", "export_onnx"]

#: Operators of ONNX 1.13.
OPSET = 18
#: Poses and samples that the module is traced with: two numbers that nothing else in it has.
_POSES, _SAMPLES = 3, 5


def check_export(path: str | os.PathLike[str]) -> None:
    """Make sure that a file can be written, before a lifter is traced.

    Raises:
        InputError: a package of the extra ``export`` is missing, or the file cannot be written.
    """
    for module in ("onnx", "onnxscript"):
        need("export", module, f"{os.fspath(path)}: writing ONNX")
    check_writable(path)


def export_onnx(lifter: Lifter, path: str | os.PathLike[str], level: float = 0.9) -> dict[str, str]:
    """Write a lifter, its evidence and its radii's recalibration included, as an ONNX file.

    Inputs and outputs are those of `TensorLifter`, any number of poses and samples; the network's weights are in the
    file. What its numbers mean stands in the file's metadata.

    Args:
        lifter: from `poseterior.load`, on the processor.
        path: of the file.
        level: probability of the radii.

    Returns:
        The metadata.

    Raises:
        InputError: a package of the extra ``export`` is missing, the lifter has no such form, a level without a
            guarantee, or the file cannot be written.
    """
    check_export(path)
    tensors = lifter.to_module(level).eval()
    program = _traced(tensors)
    metadata = _metadata(tensors)
    _name(program.model, tensors)
    program.model.metadata_props.update(metadata)
    proto = program.model_proto
    with atomic_write(path) as file:
        file.write(proto.SerializeToString())
    return metadata


def _traced(tensors: TensorLifter) -> Any:
    """The module as torch's ONNX program."""
    skeleton = tensors.lifter.skeleton
    generator = torch.Generator().manual_seed(0)
    xy = 100.0 + 500.0 * torch.rand(_POSES, len(skeleton), 2, generator=generator)
    people = Keypoints2D(xy, 4.0, image_size=(640, 480), skeleton=skeleton, intrinsics=(600.0, 600.0, 320.0, 240.0))
    noise = torch.randn(_SAMPLES, _POSES, tensors.noise_width, generator=generator)
    inputs = (*tensors.inputs(people), noise)
    poses, samples = torch.export.Dim("poses"), torch.export.Dim("samples")
    shapes = ({0: poses},) * (len(inputs) - 1) + ({0: samples, 1: poses},)
    with torch.no_grad(), _quiet():
        try:
            return torch.onnx.export(
                tensors,
                inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(tensors.INPUTS),
                dynamic_shapes=shapes,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            causes = [error, error.__cause__ or error]
            reason = cut(str(causes[-1]).strip().splitlines()[0])
            raise refusal(lifter_name(tensors.lifter), f"torch does not know how ({reason})") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's hints, which are about itself."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _name(model: Any, tensors: TensorLifter) -> None:
    """Names for what goes in and out; others for what is between, which may be called the same.

    Where in the source a node came from is left out: it holds the paths of this machine.
    """
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for number, node in enumerate(model.graph):
        node.name = f"n{number}"
        node.metadata_props.clear()
        for place, value in enumerate(node.outputs):
            value.name = f"v{number}_{place}"
    for name, value in zip(Lifted._fields, model.graph.outputs, strict=True):
        value.name = name
    model.producer_name, model.producer_version = "poseterior", __version__
    model.graph.name = lifter_name(tensors.lifter)


def _metadata(tensors: TensorLifter) -> dict[str, str]:
    """What the numbers of the file mean."""
    lifter = tensors.lifter
    skeleton = lifter.skeleton
    return {
        "format": "poseterior-onnx-1",
        "version": __version__,
        "lifter": lifter_name(lifter),
        "method": lifter.name,
        "licence": str(lifter.card.get("licence", "not known")),
        "skeleton": skeleton.name,
        "joints": json.dumps(list(skeleton.joints)),
        "parents": json.dumps(list(skeleton.parents)),
        "origin": skeleton.joints[skeleton.root],
        "units": PoseDistribution.units,
        "axes": PoseDistribution.axes,
        "inputs": json.dumps(tensors.INPUTS),
        "wrong_keypoints": "not looked for: every keypoint counts as its covariance says",
        "noise_width": str(tensors.noise_width),
        "evidence": "included" if lifter.evidence is not None else "none",
        "level": f"{tensors.level:g}",
        "calibrated": "true" if tensors.calibrated else "false",
        "region_samples": str(tensors.region_samples),
    }
