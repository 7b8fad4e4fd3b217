"""A made-up test set in the layout of MPI-INF-3DHP."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from conftest import STANDING
from poseterior.geometry.skeletons import SKELETONS

MPI = SKELETONS["mpi17"]
SEQUENCES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
FRAMES = 8
#: Every third frame is not valid, and holds nothing.
VALID = np.arange(FRAMES) % 3 != 2
#: fx, fy, cx, cy of the cameras indoors and outdoors, px.
INDOORS, OUTDOORS = (1500.2, 1500.8, 1017.3, 1043.1), (1683.98, 1672.4, 939.9, 560.1)


def intrinsics(name: str) -> np.ndarray:
    return np.array(OUTDOORS if name in ("TS5", "TS6") else INDOORS)


def poses(name: str) -> np.ndarray:
    """``(frames, 17, 3)`` metres, camera axes, joints of mpi17."""
    random = np.random.default_rng(sum(map(ord, name)))
    ours = {"neck": "thorax", "head": "neck_nose"}
    standing = np.array([STANDING[ours.get(joint, joint)] for joint in MPI.joints])
    place = random.uniform((-0.8, -0.3, 4.0), (0.8, 0.3, 6.0), (FRAMES, 3))
    return standing + random.normal(0, 0.05, (FRAMES, 17, 3)) + place[:, None]


def project(name: str, points: np.ndarray) -> np.ndarray:
    lens = intrinsics(name)
    return points[..., :2] / points[..., 2:] * lens[:2] + lens[2:]


def activity(name: str) -> np.ndarray:
    return (np.arange(FRAMES) + int(name[2:])) % 7 + 1


def write_test_set(folder: Path) -> Path:
    """``TS1/annot_data.mat`` and so on: HDF5 with a Matlab header, as version 7.3 writes them."""
    import h5py

    for name in SEQUENCES:
        path = folder / name / "annot_data.mat"
        path.parent.mkdir(parents=True)
        points = np.where(VALID[:, None, None], poses(name), np.nan)
        with h5py.File(path, "w", userblock_size=512) as file:
            file["annot2"] = project(name, points)[:, None]
            file["annot3"] = 1000 * points[:, None]
            file["univ_annot3"] = 920 * points[:, None]
            file["valid_frame"] = VALID[:, None].astype(float)
            file["activity_annotation"] = activity(name)[:, None].astype(float)
            file["bb_crop"] = np.zeros((4, FRAMES))
        with open(path, "r+b") as raw:
            raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return folder
