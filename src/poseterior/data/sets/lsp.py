"""Leeds Sports Pose: photographs with 14 joints marked by hand, and no 3D.

``joints.mat`` (Matlab) holds one array: LSP ``(3, 14, 2000)``, LSP extended ``(14, 3, 10000)``, of x, y and a flag. By
the data set's own word the flag is "visibility", but it means the opposite in the two: in LSP 1 marks a joint that is
*occluded* (its place was guessed, and is used here with half the confidence), in LSP extended a joint that is *visible*
(the others were not marked, and are missing here). Public loaders read both so. The photographs are
``images/im0001.jpg`` and so on; in LSP the first 1000 are for training, the last 1000 for testing.

Johnson and Everingham, *Clustered pose and nonlinear appearance models for human pose estimation*, BMVC 2010;
*Learning effective human pose estimation from inaccurate annotation*, CVPR 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from ...files.checks import naming
from ...files.errors import InputError
from ...files.extras import need
from ...files.images import image_size
from ...files.reading import reader
from ...geometry.skeletons import SKELETONS
from ...keypoints import Keypoints2D, PoseId
from ..observations import Observations, ObservationSet

__all__ = [
    "OCCLUDED_CONFIDENCE",
    "SPLITS",
    "observations_without_truth",
    "read_lsp",
]

_LSP = SKELETONS["lsp14"]

SPLITS = ("train", "test", "all")
#: Confidence of a keypoint that was marked although the joint cannot be seen.
OCCLUDED_CONFIDENCE = 0.5
#: LSP's images for training; LSP extended is all for training.
_TRAINING = 1000


@reader()
def read_lsp(folder: str | Path, split: str = "train") -> ObservationSet:
    """LSP or LSP extended as observations without 3D poses.

    Args:
        folder: holds ``joints.mat`` and ``images/``. The image size of a photograph that is not there is unknown.
        split: "train", "test" or "all". All of LSP extended is "train".

    Returns:
        Keypoints in h36m17 (whose spine and nose are synthesised), ids ``images/im0001.jpg``, frame 0, person 0;
        poses 0 and nowhere ``observed``.

    Raises:
        InputError: scipy is not installed, no such file, not Matlab's, an array of another shape, or an empty split.
    """
    if split not in SPLITS:
        raise InputError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    folder = Path(folder)
    path = folder / "joints.mat"
    joints, extended = _read_joints(path)
    numbers = np.arange(len(joints))
    if split != "all":
        for_training = (numbers < _TRAINING) | extended
        numbers = numbers[for_training if split == "train" else ~for_training]
    if not len(numbers):
        what = "LSP extended" if extended else f"{len(joints)} images, of which all are for training,"
        raise InputError(f"{path}: {what} has no split {split!r}; choose 'train' or 'all'")
    digits = max(4, len(str(len(joints))))
    names = [f"images/im{number + 1:0{digits}d}.jpg" for number in numbers]
    flag = joints[numbers, :, 2] != 0
    xy = joints[numbers, :, :2]
    confidence = flag.astype(float) if extended else np.where(flag, OCCLUDED_CONFIDENCE, 1.0)
    sizes = np.array([_image_size(folder / name) for name in names])
    name = "lspet" if extended else "lsp"
    with naming(str(path)):
        return observations_without_truth(xy, confidence, names, sizes, f"{name}-{split} v1", name)


def observations_without_truth(
    xy: Float[NDArray[np.float64], "n 14 2"],
    confidence: Float[NDArray[np.float64], "n 14"],
    names: Sequence[str],
    image_size: Float[NDArray[np.float64], "n 2"],
    protocol: str,
    subject: str,
) -> ObservationSet:
    """Keypoints of lsp14 as observations in h36m17 whose 3D pose is not known: 0, and nowhere ``observed``.

    Args:
        xy: px; NaN or confidence 0 where missing.
        confidence: see `Keypoints2D`.
        names: file of each photograph.
        image_size: px, NaN where unknown.
        protocol: name and version.
        subject: whose pictures these are, for all.
    """
    seen: Bool[NDArray[np.bool_], "n 14"] = np.isfinite(xy).all(-1) & (confidence > 0)
    keypoints = Keypoints2D(
        np.where(seen[..., None], xy, np.nan),
        confidence=np.where(seen, confidence, 0.0),
        image_size=image_size,
        skeleton=_LSP,
        ids=[PoseId(name, 0, 0) for name in names],
    ).as_skeleton("h36m17")
    n = len(names)
    observations = Observations(
        keypoints, torch.zeros(n, 17, 3), torch.zeros(n, 17, dtype=torch.bool), torch.zeros(n, 3), torch.arange(n)
    )
    return ObservationSet(observations, ("sports",) * n, (subject,) * n, protocol, seed=0)


def _read_joints(path: Path) -> tuple[NDArray[np.float64], bool]:
    """``(n, 14, 3)`` of x, y, flag, and whether it is LSP extended."""
    need("lsp", "scipy.io", f"{path}: reading Matlab files")
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder that holds joints.mat and images/")
    try:
        values = loadmat(path, variable_names=["joints"])
    except Exception as error:  # scipy raises whatever its parser stumbles over
        raise InputError(f"{path}: not a readable Matlab file ({error})") from None
    joints = values.get("joints")
    if joints is None:
        raise InputError(f"{path}: has no array 'joints'; give the folder of LSP or LSP extended")
    if joints.dtype.kind not in "fiu" or joints.ndim != 3 or joints.shape[:2] not in ((3, 14), (14, 3)):
        raise InputError(
            f"{path}: 'joints' is {joints.dtype} {joints.shape}; expected numbers (3, 14, images) as in LSP or "
            "(14, 3, images) as in LSP extended"
        )
    extended = joints.shape[0] == 14
    order = (2, 0, 1) if extended else (2, 1, 0)
    return joints.astype(np.float64).transpose(order), extended


def _image_size(path: Path) -> tuple[float, float]:
    """(width, height) px, NaN where the photograph is not there."""
    return image_size(path) if path.exists() else (float("nan"), float("nan"))
