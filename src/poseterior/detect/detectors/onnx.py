"""Networks of the user's own in ONNX files: RTMPose and whoever answers with SimCC or heat maps, RTMO.

A network that sees one person (SimCC, heat maps) needs somebody who says where people are: a network that answers with
boxes, given with ``--model``, else BlazePose. What the numbers of its picture are is a matter of convention: as MMPose
has it, RGB less ImageNet's mean, by its standard deviation, for networks of one person, and BGR from 0 to 255 for those
of the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...files.errors import InputError
from ...files.extras import need
from ...geometry.skeletons import Skeleton, body_of, get_skeleton
from ...keypoints import MINIMUM_CONFIDENCE, Keypoints2D, confidence_to_spread, person_size
from ..base import Array, Person, checked_picture
from ..boxes import box_of
from ..network_outputs import Joints, kind_of, people_boxes, read_heatmaps, read_people, read_simcc
from ..squares import Square, crop

__all__ = ["ABOUT", "ARGUMENT", "LICENCE", "NAME", "NEEDS", "OnnxDetector", "load"]

NAME = "onnx"
ABOUT = "a network of yours: RTMPose (SimCC), heat maps, RTMO; boxes from a second one (--model) or from blazepose"
NEEDS = ("onnx", ("onnxruntime",))
LICENCE = "the network's own"
ARGUMENT = "FILE.onnx"

#: Joints of networks that do not say their skeleton (metadata "skeleton"), by their number.
_SKELETONS = {17: "coco17", 26: "halpe26", 33: "mediapipe33", 16: "mpii16", 14: "lsp14", 133: "wholebody133"}
#: Mean and standard deviation of ImageNet's colours, RGB 0 to 255.
_MEAN, _DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
#: What is around a picture that does not fill the network's.
_GREY = 114
#: Scores of people below this count for nothing; a box is so much larger than the person.
_LEAST, _LARGER = 0.3, 1.25


def load(argument: str, models: Sequence[Path]) -> OnnxDetector:
    """The detector.

    Args:
        argument: the network's file.
        models: a network that answers with boxes of people, for networks of one person; else BlazePose does.

    Raises:
        InputError: onnxruntime or a file is missing; a network that is none of these.
    """
    need("onnx", "onnxruntime", f"detector 'onnx:{argument}'")
    if len(models) > 1:
        raise InputError(f"--model: expected one network that answers with boxes, got {len(models)} files")
    network = Network(Path(argument))
    finder: Any = None
    if network.kind == "boxes":
        raise InputError(f"{argument}: answers with boxes alone; give it as --model, and a network for keypoints here")
    if network.kind != "people":
        if models:
            finder = Network(models[0])
            if finder.kind not in ("boxes", "people"):
                raise InputError(f"{models[0]}: answers with {finder.kind}; expected boxes of people, (1, n, 5)")
        else:
            from .blazepose import load as load_blazepose

            finder = load_blazepose("", ())
    return OnnxDetector(network, finder)


class Network:
    """An ONNX file, one thread.

    Attributes:
        size: width and height of the pictures that it takes, px.
        kind: what it answers with, see `poseterior.detect.network_outputs.kind_of`.
        skeleton: that it says it has, in its metadata; None where it does not.
        joints: how many it finds; 0 for boxes.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; expected an ONNX network")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no base class of its own for them
            raise InputError(f"{path}: cannot be read as an ONNX network ({str(error).splitlines()[0]})") from None
        given = self._session.get_inputs()
        shape = given[0].shape
        if len(given) != 1 or len(shape) != 4 or shape[1] != 3 or not all(type(side) is int for side in shape[2:]):
            raise InputError(f"{path}: takes {[i.shape for i in given]}; expected one picture (1, 3, height, width)")
        self.size = (shape[3], shape[2])
        self._name = given[0].name
        outputs = self.run(np.zeros((shape[2], shape[3], 3), np.float32))
        try:
            self.kind = kind_of(outputs)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        self.skeleton = self._session.get_modelmeta().custom_metadata_map.get("skeleton")
        shapes = [output.shape for output in outputs]
        self.joints: int = 0 if self.kind == "boxes" else shapes[1][2] if self.kind == "people" else shapes[0][1]

    def run(self, picture: Array) -> list[Array]:
        """Its answers for a picture ``(height, width, 3)`` of its size."""
        tensor = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)
        return list(self._session.run(None, {self._name: tensor}))


class OnnxDetector:
    """A network of keypoints, and who says where people are.

    Args:
        network: for keypoints.
        finder: a `Network` that answers with boxes, or a detector; None where the network finds people itself.
    """

    name = NAME

    def __init__(self, network: Network, finder: Any = None) -> None:
        self.network, self.finder = network, finder
        self._own = _skeleton_of(network)
        self.skeleton = body_of(self._own)

    def detect(self, image: Array) -> list[Person]:
        """The people in a picture ``(height, width, 3)``, uint8 RGB, the surest first; empty for nobody.

        Raises:
            InputError: not such a picture.
        """
        picture = checked_picture(image)
        if self.network.kind == "people":
            return self._at_once(picture)
        return self._people(picture, self._boxes(picture))

    def follow(self, image: Array, before: Sequence[Person]) -> list[Person]:
        """As `detect`: who is new is found, who has gone is gone.

        Raises:
            InputError: not a picture.
        """
        return self.detect(image)

    def _boxes(self, picture: Array) -> list[Array]:
        """Where people are: left, top, right, bottom, px."""
        if not isinstance(self.finder, Network):
            return [np.array(person.box) for person in self.finder.detect(picture)]
        shown, scale = _fitted(picture, self.finder.size)
        outputs = self.finder.run(shown)
        labels = outputs[1][0] if self.finder.kind == "boxes" and len(outputs) > 1 else None
        return list(people_boxes(outputs[0][0], labels, _LEAST) / scale)

    def _people(self, picture: Array, boxes: Sequence[Array]) -> list[Person]:
        people = []
        for box in boxes:
            place = _around(box, self.network.size)
            shown = (crop(picture, place, *self.network.size, beyond="black") - _MEAN) / _DEVIATION
            outputs = self.network.run(shown)
            if self.network.kind == "simcc":
                joints = read_simcc(outputs[0][0], outputs[1][0], self.network.size)
            else:
                joints = read_heatmaps(outputs[0][0], self.network.size)
            scale = place.side / self.network.size[0]
            corner = np.array([place.x, place.y]) - scale * np.array(self.network.size) / 2
            covariance = None if joints.covariance is None else scale**2 * joints.covariance
            found = Joints(corner + scale * joints.xy, covariance, joints.confidence)
            if (found.confidence >= MINIMUM_CONFIDENCE).any():
                people.append(self._person(found, picture, float(found.confidence.mean())))
        return sorted(people, key=lambda person: -person.score)

    def _at_once(self, picture: Array) -> list[Person]:
        shown, scale = _fitted(picture, self.network.size)
        boxes, keypoints = self.network.run(shown)[:2]
        found = read_people(boxes[0], keypoints[0], _LEAST)
        people = [self._person(joints._replace(xy=joints.xy / scale), picture, score) for joints, _, score in found]
        return sorted(people, key=lambda person: -person.score)

    def _person(self, joints: Joints, picture: Array, score: float) -> Person:
        height, width = picture.shape[:2]
        xy = torch.from_numpy(joints.xy.astype(np.float32))
        inside = (joints.xy >= 0).all(-1) & (joints.xy <= [width - 1, height - 1]).all(-1)
        visible = inside & (joints.confidence >= MINIMUM_CONFIDENCE)
        shown = torch.from_numpy(visible)
        if joints.covariance is None:
            confidence = torch.from_numpy(joints.confidence.astype(np.float32))
            spread = confidence_to_spread(confidence, person_size(xy, shown))
            covariance = spread.square()[:, None, None] * torch.eye(2)
        else:
            covariance = torch.from_numpy(joints.covariance.astype(np.float32))
        size = torch.tensor([float(width), float(height)])
        peak = torch.from_numpy(joints.confidence.astype(np.float32))
        keypoints = Keypoints2D.trusted(xy, covariance, shown, size, self._own, amplitude=peak)
        return Person(keypoints.as_skeleton(self.skeleton), box_of(joints.xy, visible), min(1.0, score))


def _skeleton_of(network: Network) -> Skeleton:
    name = network.skeleton or _SKELETONS.get(network.joints)
    if name is None:
        known = ", ".join(f"{count} ({skeleton})" for count, skeleton in sorted(_SKELETONS.items()))
        raise InputError(
            f"{network.path}: finds {network.joints} joints of no skeleton that we know by their number ({known}); "
            'say it in the file\'s metadata: "skeleton"'
        )
    skeleton = get_skeleton(name)
    if len(skeleton) != network.joints:
        raise InputError(
            f"{network.path}: says it has skeleton {name!r}, of {len(skeleton)}, and finds {network.joints}"
        )
    return skeleton


def _around(box: Array, size: tuple[int, int]) -> Square:
    """The part of a picture of the shape of the network's around a box: as wide as the square that is returned."""
    width, height = _LARGER * np.maximum(box[2:] - box[:2], 1.0)
    x, y = (box[:2] + box[2:]) / 2
    return Square(float(x), float(y), float(max(width, height * size[0] / size[1])), 0.0)


def _fitted(picture: Array, size: tuple[int, int]) -> tuple[Array, float]:
    """BGR from 0 to 255 of the whole picture in the upper left corner of the network's, grey beside it; and how much
    smaller it is."""
    from PIL import Image

    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(picture).resize(shape, Image.Resampling.BILINEAR))
    shown = np.full((size[1], size[0], 3), _GREY, np.float32)
    shown[: shape[1], : shape[0]] = small[..., ::-1]
    return shown, scale
