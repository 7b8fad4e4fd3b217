"""The law of a detector's covariances, and the moments of heat maps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from poseterior.detect.covariance import Evidence, NoiseModel, heat_moments, read_noise
from poseterior.detect.detectors.blazepose import noise_model
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton

SKELETON = get_skeleton("mediapipe33")
ROUND = np.broadcast_to(0.02**2 * np.eye(2), (33, 2, 2))


def evidence(**changes: object) -> Evidence:
    plain = Evidence(ROUND, np.full(33, 0.9), np.ones(33), np.full(33, np.inf), np.array(500.0))
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def deviations(model: NoiseModel, said: Evidence) -> np.ndarray:
    return np.sqrt(np.linalg.eigvalsh(model.covariance(said, SKELETON)))


def test_moments_of_a_gaussian() -> None:
    rows, columns = np.mgrid[:64, :64]
    dx, dy = columns - 30.2, rows - 22.7
    covariance = np.array([[4.0, 1.0], [1.0, 2.0]])
    heat = 0.8 * np.exp(
        -0.5 * np.einsum("ijk,kl,ijl->ij", np.stack([dx, dy], -1), np.linalg.inv(covariance), np.stack([dx, dy], -1))
    )
    found, peak = heat_moments(np.stack([heat, np.zeros((64, 64))]), np.array([[30.2, 22.7], [5.0, 5.0]]))
    # without its foot, a twentieth of the peak, a Gaussian is narrower, alike in all directions
    ratio = found[0] * 64**2 / covariance
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=0.05)
    assert 0.7 < ratio.mean() < 0.8
    assert peak[0] == pytest.approx(0.8, abs=0.04)
    assert peak[1] == 0.0
    # no heat at all: as wide as the window
    assert found[1, 0, 0] * 64**2 == pytest.approx(np.mean(np.arange(-6, 7) ** 2) + 1 / 12)
    outside, _ = heat_moments(heat[None], np.array([[-400.0, np.nan]]))
    assert np.isfinite(outside).all()


def test_less_sure_is_wider() -> None:
    model = noise_model()
    sure = deviations(model, evidence())
    assert (deviations(model, evidence(visibility=np.full(33, 0.5))) > sure).all()
    assert (deviations(model, evidence(peak=np.full(33, 0.5))) > 3 * sure).all()
    near = deviations(model, evidence(border=np.zeros(33)))
    assert (near > 2 * sure).all()
    assert (deviations(model, evidence(border=np.full(33, 0.05))) < near).all()


def test_a_person_twice_as_large_is_twice_as_uncertain() -> None:
    model = dataclasses.replace(noise_model(), picture_px=0.0)
    ratio = deviations(model, evidence(side=np.array(1000.0))) / deviations(model, evidence())
    np.testing.assert_allclose(ratio, 2.0)


def test_what_is_not_in_the_picture_is_not_visible() -> None:
    border, visibility = np.full(33, 0.2), np.ones(33)
    border[3], visibility[4] = -0.01, 0.1
    seen = noise_model().visible(evidence(border=border, visibility=visibility))
    assert np.flatnonzero(~seen).tolist() == [3, 4]


def test_the_shape_of_the_heat_is_kept() -> None:
    model = dataclasses.replace(noise_model(), picture_px=0.0)
    long = np.broadcast_to(0.02**2 * np.diag([4.0, 0.25]), (33, 2, 2))
    found = model.covariance(evidence(covariance=long), SKELETON)
    np.testing.assert_allclose(found[:, 0, 0] / found[:, 1, 1], 16.0)
    np.testing.assert_allclose(np.linalg.det(found), np.linalg.det(model.covariance(evidence(), SKELETON)))


def test_the_law_is_written_and_read(tmp_path: Path) -> None:
    noise_model().save(tmp_path / "law.json")
    assert read_noise(tmp_path / "law.json") == noise_model()
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json: is no noise model of a detector"):
        read_noise(tmp_path / "bad.json")


def test_the_card_holds_what_was_asked_for() -> None:
    """On cameras and frames that were held out, in the film of one person."""
    held = noise_model().card["residuals"]["one person, held out"]
    assert 0.9 <= held["rms z"] <= 1.1
    assert held["below 2.6"] >= 0.95
