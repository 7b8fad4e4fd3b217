"""Shared fixtures: a plausible body, random poses, and a small mocap made from nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The tests run in two processes: more threads than that only wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch

from poseterior.geometry.skeletons import SKELETONS

#: Development mocap and cases, beside the checkout.
SHARED = Path(os.environ.get("POSETERIOR_SHARED", Path(__file__).resolve().parents[1] / "../shared"))

STANDING = {
    "pelvis": (0.0, 0.0, 0.0), "right_hip": (-0.1, 0.0, 0.0), "right_knee": (-0.11, 0.43, -0.02),
    "right_ankle": (-0.12, 0.85, 0.02), "left_hip": (0.1, 0.0, 0.0), "left_knee": (0.11, 0.43, -0.02),
    "left_ankle": (0.12, 0.85, 0.02), "spine": (0.0, -0.23, 0.02), "thorax": (0.0, -0.48, 0.0),
    "neck_nose": (0.0, -0.58, -0.04), "head_top": (0.0, -0.7, 0.0), "left_shoulder": (0.17, -0.43, 0.0),
    "left_elbow": (0.25, -0.16, 0.03), "left_wrist": (0.27, 0.07, -0.05), "right_shoulder": (-0.17, -0.43, 0.0),
    "right_elbow": (-0.25, -0.16, 0.03), "right_wrist": (-0.27, 0.07, -0.05),
}  # fmt: skip


#: Changes to the recipe "mdn" that make a run of seconds.
SMALL = [
    "lifter.width=16", "lifter.blocks=1", "lifter.kernels=2", "lifter.rank=1", "schedule.batch=16",
    "schedule.log_every=1", "schedule.save_every=4", "schedule.validate_every=5", "schedule.warmup=3", "calibrate=null",
]  # fmt: skip


@pytest.fixture
def standing() -> torch.Tensor:
    """A standing person seen from the front: h36m17, metres, camera axes, (17, 3)."""
    return torch.tensor([STANDING[joint] for joint in SKELETONS["h36m17"].joints])


@pytest.fixture
def people(standing: torch.Tensor) -> torch.Tensor:
    """32 people: the standing one, disturbed (32, 17, 3)."""
    noise = 0.08 * torch.randn(32, 17, 3, generator=torch.Generator().manual_seed(3))
    poses = standing + noise
    return poses - poses[:, :1]


def made_up_mocap(frames: int = 400, clips: int = 8, seed: int = 0):
    """Mocap in the store's layout: a standing body with limbs swinging, h36m17 and smpl22 rotations."""
    import roma

    from poseterior.data.store import Mocap

    generator = torch.Generator().manual_seed(seed)
    pose = torch.tensor([STANDING[joint] for joint in SKELETONS["h36m17"].joints])
    pose = pose * torch.tensor([1.0, -1.0, -1.0])  # world axes: y up
    swing = 0.06 * torch.randn(frames, 17, 3, generator=generator)
    swing[:, 0] = 0
    yaw = torch.zeros(frames, 3)
    yaw[:, 1] = 6.28 * torch.rand(frames, generator=generator)
    turn = roma.rotvec_to_rotmat(yaw)
    world = (pose + swing) @ turn.transpose(-1, -2) + torch.tensor([0.0, 0.9, 0.0])
    rotations = np.zeros((frames, 22, 4), np.float32)
    rotations[..., 3] = 1.0
    rotations[:, 0] = roma.rotvec_to_unitquat(yaw).numpy()
    clip = np.arange(frames) * clips // frames
    return Mocap(
        positions=np.zeros((frames, 22, 3), np.float32),
        rotations=rotations,
        h36m17=world.numpy().astype(np.float32),
        clip=clip,
        frame=np.arange(frames),
        clip_names=tuple(f"clip{i}" for i in range(clips)),
        subject=tuple("somebody" for _ in range(clips)),
        action=tuple(("walk", "jump")[i % 2] for i in range(clips)),
        source_names=tuple("made-up" for _ in range(clips)),
        fps=np.full(clips, 30.0, np.float32),
    )


def made_up_store(folder: Path) -> Path:
    """`made_up_mocap` as a pose store in a new folder."""
    from poseterior.data.store import PoseStore

    mocap = made_up_mocap()
    with PoseStore.create(folder) as writer:
        for c, name in enumerate(mocap.clip_names):
            rows = mocap.clip == c
            writer.add(name, mocap.positions[rows], mocap.rotations[rows], mocap.h36m17[rows], fps=30.0, source="x")
    return folder


def losses(run: Path) -> list[list[str]]:
    """The rows of a training run's ``losses.csv``."""
    with (run / "losses.csv").open() as file:
        return list(csv.reader(file))


CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS, headless=True)
        yield browser
        browser.close()
