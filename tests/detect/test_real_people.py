"""The whole way with BlazePose, where its model is: a photograph that a camera pans over, and several people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from blobs import film
from conftest import SHARED
from detect.detector_models import needs_blazepose
from poseterior.cli import main
from poseterior.detect import load_detector
from poseterior.detect.films import people_in_film
from poseterior.keypoints.reading import read_keypoints
from poseterior.results.poses import load_result

PHOTO = SHARED / "data" / "photos" / "baseball.jpg"
pytestmark = [needs_blazepose, pytest.mark.skipif(not PHOTO.exists(), reason="no photographs at hand")]
#: Pixels by which the camera moves to the right from frame to frame.
STEP = 4


@pytest.fixture(scope="module")
def panned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with Image.open(PHOTO) as image:
        whole = np.asarray(image.convert("RGB"))
    height, width = whole.shape[0] // 2 * 2, (whole.shape[1] - 11 * STEP) // 2 * 2
    views = [np.ascontiguousarray(whole[:height, STEP * k : STEP * k + width]) for k in range(12)]
    return film(tmp_path_factory.mktemp("films") / "panned.mkv", views, "30")


def test_a_person_over_whom_a_camera_pans_is_followed(panned: Path) -> None:
    """Person 0 is in every frame, where the camera's motion puts them, as exactly as landmarks are."""
    found = people_in_film(panned, load_detector("blazepose")).keypoints
    own = found[[row for row, one in enumerate(found.ids) if one.person == 0]]
    assert [one.frame for one in own.ids] == list(range(12))
    both = own.visible & own.visible[:1]
    expected = own.xy[:1] - torch.tensor([float(STEP), 0.0]) * torch.arange(12.0)[:, None, None]
    distance = (own.xy - expected).norm(dim=-1)[both]
    assert distance.median() < 0.04 * own.size.median()


def test_a_photograph_and_its_keypoints_are_lifted_alike(tmp_path: Path, capsys) -> None:
    command = ["lift", str(PHOTO), "--samples", "5", "--out", str(tmp_path / "a.npz")]
    assert main([*command, "--keypoints", str(tmp_path / "kp.json")]) == 0, capsys.readouterr().err
    keypoints = read_keypoints(tmp_path / "kp.json")
    sizes = keypoints.size.tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert main(["lift", str(tmp_path / "kp.json"), "--samples", "5", "--out", str(tmp_path / "b.npz")]) == 0
    a, b = load_result(tmp_path / "a.npz"), load_result(tmp_path / "b.npz")
    assert np.array_equal(a.samples, b.samples)
    assert a.file.tolist() == b.file.tolist() == [str(PHOTO)] * len(a)
