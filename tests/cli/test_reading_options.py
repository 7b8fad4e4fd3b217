"""The options of commands that read keypoint files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from poseterior.cli import main, parse
from poseterior.cli._reading import FileOptions, ReadingOptions
from poseterior.geometry.skeletons import get_skeleton
from poseterior.results.poses import load_result

XY = np.array([[100.0 + 13 * (i % 4) + i / 7, 50.0 + 9 * i] for i in range(17)])


def clip(path: Path, scores: np.ndarray, gone: int | None = None) -> Path:
    frames = np.stack([np.concatenate([XY + i, scores[:, None]], -1) for i in range(3)])
    if gone is not None:
        frames[gone] = np.nan
    np.save(path, frames)
    return path


def test_commands_share_them() -> None:
    lift = parse(["lift", "a.npy", "--image-size", "6", "8", "--confidence-scale", "peak", "--keep-unseen"])
    assert isinstance(lift, ReadingOptions)
    assert lift.reading() == {
        "format": "auto", "skeleton": None, "image_size": (6, 8), "confidence_scale": "peak", "min_confidence": None,
        "keep_unseen": True, "tracks": "auto", "person": None,
    }  # fmt: skip
    assert isinstance(parse(["annotate", "photos", "--min-confidence", "0.3"]), FileOptions)


def test_scores_on_the_command_line(tmp_path: Path) -> None:
    file = clip(tmp_path / "a.npy", np.linspace(0.02, 0.98, 17))
    joints = get_skeleton("h36m17").joints
    for least in ("0.5", "0.0"):
        out = tmp_path / f"{least}.npz"
        options = ["--skeleton", "h36m17", "--min-confidence", least, "--samples", "3", "--out", str(out)]
        assert main(["lift", str(file), *options]) == 0
        seen = load_result(out).visible[0]
        assert [j for j, s in zip(joints, seen, strict=True) if s] == list(joints[8 if least == "0.5" else 0 :])


def test_nobody_is_left_out_unless_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = clip(tmp_path / "a.npy", np.full(17, 0.9), gone=1)
    out = tmp_path / "r.npz"
    options = ["--skeleton", "h36m17", "--samples", "3", "--out", str(out)]
    assert main(["lift", str(file), *options]) == 0
    assert load_result(out).frame.tolist() == [0, 2]
    assert main(["lift", str(file), *options, "--keep-unseen"]) == 0
    assert load_result(out).frame.tolist() == [0, 1, 2]


def test_a_photo_gives_the_size_that_normalised_coordinates_need(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (200, 400)).save(tmp_path / "photo.png")
    np.save(tmp_path / "a.npy", XY[None] / [200, 400])
    options = ["--skeleton", "h36m17", "--samples", "3", "--out", str(tmp_path / "r.npz")]
    assert main(["lift", str(tmp_path / "a.npy"), *options]) == 2
    assert main(["lift", str(tmp_path / "a.npy"), *options, "--photo", str(tmp_path / "photo.png")]) == 0
    assert load_result(tmp_path / "r.npz").keypoints[0] == pytest.approx(XY, abs=1e-3)
