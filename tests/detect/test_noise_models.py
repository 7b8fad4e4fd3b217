"""Noise models that users fit: to residuals, to pictures, to films of calibrated cameras; and their use."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from poseterior.cli import main
from poseterior.detect import Person, load_detector
from poseterior.detect.base import Array
from poseterior.detect.calibration import calibrated_on_films, calibrated_on_pictures
from poseterior.detect.calibration.calibrate import of_films, told
from poseterior.detect.calibration.fitting import distances, fitted
from poseterior.detect.calibration.geometry import Geometry, matched
from poseterior.detect.calibration.residuals import Residuals
from poseterior.detect.calibration.said import Said
from poseterior.detect.covariance import Evidence, NoiseModel, read_noise
from poseterior.detect.detectors import NOISE_FILE, blazepose
from poseterior.detect.noise import WithNoise, evidence_of
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import get_skeleton
from poseterior.keypoints import Keypoints2D, PoseId
from poseterior.keypoints.calibration import Camera
from poseterior.keypoints.writing import write_keypoints

COCO = get_skeleton("coco17")
STANDING = np.array(
    [
        [0, 10], [4, 6], [-4, 6], [9, 9], [-9, 9], [20, 35], [-20, 35], [28, 68], [-28, 68], [31, 98], [-31, 98],
        [13, 95], [-13, 95], [14, 140], [-14, 140], [15, 182], [-15, 182],
    ],
    dtype=float,
)  # fmt: skip


def law(**changes: object) -> NoiseModel:
    kinds = list(dict.fromkeys(joint.split("_")[-1] for joint in COCO.joints))
    plain = NoiseModel(dict.fromkeys(kinds, -4.5), 1.0, 0.0, 2.0, 0.0, 0.2, 0.5, 0.3, {}, detector="fake")
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def evidence(count: int, generator: np.random.Generator) -> Evidence:
    spread = 0.02 * np.exp(0.3 * generator.standard_normal(count))
    return Evidence(
        spread[:, None, None] ** 2 * np.eye(2),
        generator.uniform(0.5, 1, count),
        np.ones(count),
        np.full(count, np.inf),
        np.full(count, 500.0),
    )


def residuals(model: NoiseModel, count: int, wrong: float, seed: int = 0) -> Residuals:
    """Of joints without other cameras, as a law says; a share of them somewhere on the person."""
    generator = np.random.default_rng(seed)
    said, joint = evidence(count, generator), generator.integers(0, 17, count)
    sigma = 500.0 * model.spread_of(said, [COCO.joints[j] for j in joint])
    gap = np.sqrt(sigma**2 + 0.25)[:, None] * generator.standard_normal((count, 2))
    off = generator.random(count) < wrong
    gap[off] += 60.0 * generator.standard_normal((int(off.sum()), 2))
    none = Evidence(*(np.zeros((count, 0, *value.shape[1:])) for value in vars(said).values()))
    where = np.zeros(count, int)
    return Residuals(
        gap, np.full(count, 120.0), said, none, np.zeros((count, 0, 2, 2)), np.zeros((count, 2, 2)),
        joint, where, np.arange(count), np.zeros(count, bool),
    )  # fmt: skip


def test_a_law_is_found_again_in_residuals_that_it_drew() -> None:
    truth = law()
    right = fitted(residuals(truth, 6000, 0.0), COCO, "fake")
    assert right.heat == pytest.approx(truth.heat, abs=0.1)
    assert right.weak == pytest.approx(truth.weak, abs=0.3)
    assert right.outliers["wrist"] < 0.004
    model = fitted(residuals(truth, 6000, 0.03), COCO, "fake")
    fresh = residuals(truth, 3000, 0.0, seed=1)
    assert told(right, fresh, COCO)["rms z"] == pytest.approx(1.0, abs=0.08)
    assert (distances(right, fresh, COCO) < 2.6).mean() == pytest.approx(0.955, abs=0.015)
    assert np.mean(list(model.outliers.values())) == pytest.approx(0.03, abs=0.01)


class Fake:
    """A detector that sees one person where it is told, with errors, in pictures whose first pixel is their number."""

    name, skeleton = "fake", COCO

    def __init__(self, places: Array, sigma: float, shift: Array | None = None) -> None:
        generator = np.random.default_rng(0)
        self.places = places + sigma * generator.standard_normal(places.shape)
        if shift is not None:
            self.places = self.places + shift
        self.sigma = sigma

    def detect(self, image: Array) -> list[Person]:
        xy = torch.from_numpy(self.places[int(image[0, 0, 0])]).float()
        seen = torch.ones(17, dtype=torch.bool)
        size = torch.tensor([float(image.shape[1]), float(image.shape[0])])
        keypoints = Keypoints2D.trusted(xy, 4.0 * torch.eye(2).expand(17, 2, 2), seen, size, COCO)
        low, high = xy.amin(0).tolist(), xy.amax(0).tolist()
        return [Person(keypoints, (*low, *high), 0.9)]

    def follow(self, image: Array, before: Sequence[Person]) -> list[Person]:
        return self.detect(image)


def pictures(folder: Path, count: int) -> tuple[list[tuple[Path, Keypoints2D]], Array]:
    from PIL import Image

    places = np.stack([2.0 * STANDING + [150.0 + n % 7, 20.0] for n in range(count)])
    known = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((420, 320, 3), number, np.uint8)).save(path)
        known.append((path, Keypoints2D(places[number : number + 1], torch.full((1, 17), 0.5), skeleton="coco17")))
    return known, places


def test_pictures_with_known_keypoints(tmp_path: Path) -> None:
    known, places = pictures(tmp_path, 60)
    noise = calibrated_on_pictures(Fake(places, 6.0), known)
    assert noise.detector == "fake"
    assert noise.card["residuals"]["held out"]["rms z"] == pytest.approx(1.0, abs=0.1)
    person = WithNoise(Fake(places, 6.0), noise).detect(np.zeros((420, 320, 3), np.uint8))[0]
    deviation = person.keypoints.covariance.diagonal(dim1=-2, dim2=-1).mean().sqrt()
    assert float(deviation) == pytest.approx(6.0, rel=0.2)
    assert person.keypoints.outliers is not None


def test_a_joint_that_is_meant_elsewhere_is_moved_back(tmp_path: Path) -> None:
    """Hips 10 px too low, both wrists 8 px outwards."""
    known, places = pictures(tmp_path, 80)
    shift = np.zeros((17, 2))
    shift[[11, 12], 1] = 10.0
    shift[9, 0], shift[10, 0] = 8.0, -8.0
    detector = Fake(places, 3.0, shift)
    noise = calibrated_on_pictures(detector, known)
    size = float(known[0][1].size)
    assert set(noise.bias) >= {"hip", "wrist"}
    assert noise.bias["hip"][1] * size == pytest.approx(10.0, abs=2.0)
    assert "knee" not in noise.bias
    told_here = WithNoise(detector, noise)
    gaps = [
        told_here.detect(np.full((420, 320, 3), n, np.uint8))[0].keypoints.xy.numpy() - places[n] for n in range(80)
    ]
    mean = np.mean(gaps, 0)
    assert np.abs(mean[[9, 10, 11, 12]]).max() < 2.0


def test_too_few_pictures_are_said_to_be(tmp_path: Path) -> None:
    known, places = pictures(tmp_path, 4)
    with pytest.raises(InputError, match=r"--data: 34 keypoints can be held against.*at least 100"):
        calibrated_on_pictures(Fake(places, 3.0), known)
    with pytest.raises(InputError, match="found nobody of the known people again, in 4 pictures"):
        calibrated_on_pictures(Fake(places + 5000.0, 3.0), known)


def camera(name: str, angle: float) -> Camera:
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], dtype=np.float64
    )
    return Camera(name, (1000.0, 1000.0, 500.0, 500.0), turn, np.array([0.0, 0.0, 4.0]), image_size=(1000.0, 1000.0))


CAMERAS = {f"c{n}": camera(f"c{n}", angle) for n, angle in enumerate((-0.8, -0.2, 0.4, 1.0))}


def film(noise: float, frames: int = 40) -> tuple[dict[str, Said], Array]:
    """What a detector says in four cameras of somebody who moves, and where the joints are."""
    generator = np.random.default_rng(2)
    depth = 0.1 * np.sin(np.arange(17))
    body = np.concatenate([STANDING / 100 - [0, 0.9], depth[:, None]], -1)
    points = body + 0.2 * np.sin(0.3 * np.arange(frames))[:, None, None] * np.array([1.0, 0.0, 0.5])
    said = {}
    for view, name in enumerate(CAMERAS):
        pixels = Geometry.of(CAMERAS).project(points.reshape(-1, 3))[0][view].reshape(frames, 17, 2)
        xy = pixels + noise * generator.standard_normal(pixels.shape)
        plain = Evidence(
            np.broadcast_to(0.02**2 * np.eye(2), (frames, 17, 2, 2)), np.ones((frames, 17)), np.ones((frames, 17)),
            np.full((frames, 17), np.inf), np.full((frames, 17), 400.0),
        )  # fmt: skip
        said[name] = Said(np.arange(frames), xy, np.full(frames, 130.0), plain)
    return said, points


def test_places_and_people_of_several_cameras() -> None:
    said, points = film(0.0, 3)
    geometry = Geometry.of(CAMERAS)
    xy = np.stack([one.xy[0] for one in said.values()])
    found, _ = geometry.triangulate(xy, np.ones(xy.shape[:2], bool))
    np.testing.assert_allclose(found, points[0], atol=1e-6)
    assert matched([one.xy[[2, 0]] if n else one.xy[[0, 2]] for n, one in enumerate(said.values())], geometry) in (
        [[0, 1, 1, 1], [1, 0, 0, 0]],
        [[1, 0, 0, 0], [0, 1, 1, 1]],
    )
    assert matched([one.xy[[0]] for one in said.values()][:2], geometry) == []


def test_films_tell_the_noise_that_is_in_them() -> None:
    """The place of the other cameras is uncertain too, by the same law."""
    said, _ = film(4.0)
    parts, note = of_films(said, None, CAMERAS, COCO, 20, turn=False)
    assert note == ""
    whole = parts["whole"]
    assert len(whole) > 0.99 * 4 * 40 * 17
    model = fitted(whole, COCO, "fake")
    assert told(model, whole, COCO)["rms z"] == pytest.approx(1.03, abs=0.08)
    sigma = 400.0 * np.exp(np.mean(list(model.joints.values())))
    assert sigma == pytest.approx(4.0, rel=0.15)


def test_what_is_said_is_kept_in_a_file(tmp_path: Path) -> None:
    said = film(1.0, 3)[0]["c0"]
    said.save(tmp_path / "said.npz")
    again = Said.load(tmp_path / "said.npz")
    np.testing.assert_array_equal(again.xy, said.xy)
    np.testing.assert_array_equal(again.evidence.covariance, said.evidence.covariance)
    assert len(Said.of([], COCO)) == 0


def test_two_cameras_are_too_few(tmp_path: Path) -> None:
    films = {name: tmp_path / f"{name}.mp4" for name in ("c0", "c1")}
    with pytest.raises(InputError, match="films of 2 cameras; the place of a joint needs at least 3"):
        calibrated_on_films(Fake(np.zeros((1, 17, 2)), 1.0), films, CAMERAS)


def test_models_are_written_read_and_refused(tmp_path: Path) -> None:
    model = law(outliers={"wrist": 0.02}, bias={"hip": (0.0, 0.1)})
    model.save(tmp_path / NOISE_FILE)
    found = read_noise(tmp_path / NOISE_FILE)
    assert found.outliers == model.outliers
    assert tuple(found.bias["hip"]) == (0.0, 0.1)
    data = json.loads(model.to_json())
    for field, value, said in (
        ("heat", "much", "field 'heat': expected a number, got 'much'"),
        ("outliers", {"wrist": 1.5}, "field 'outliers', joint 'wrist': expected a number from 0 to 0.9"),
        ("bias", {"hip": 0.1}, "field 'bias', joint 'hip': expected 2 numbers from -1 to 1"),
    ):
        path = tmp_path / "bad.json"
        path.write_text(json.dumps({**data, field: value}))
        with pytest.raises(InputError, match=said):
            read_noise(path)
    other = Fake(np.zeros((1, 17, 2)), 1.0)
    other.name = "other"
    with pytest.raises(InputError, match="was fitted to the detector 'fake', this is 'other'"):
        WithNoise(other, model)
    with pytest.raises(InputError, match="says nothing of 'nose', which fake finds"):
        WithNoise(Fake(np.zeros((1, 17, 2)), 1.0), law(joints={"hip": -4.0}))


def test_a_detector_without_words_of_its_own_tells_by_its_keypoints() -> None:
    person = Fake(2.0 * STANDING[None] + 100.0, 0.0).detect(np.zeros((500, 400, 3), np.uint8))[0]
    found = evidence_of(person)
    assert float(found.side) == pytest.approx(4 * float(person.keypoints.size))
    assert np.isinf(found.border).all()
    np.testing.assert_allclose(found.covariance * float(found.side) ** 2, np.broadcast_to(4 * np.eye(2), (17, 2, 2)))
    near = Fake(2.0 * STANDING[None] + [100.0, -15.0], 0.0).detect(np.zeros((500, 400, 3), np.uint8))[0]
    assert np.isfinite(evidence_of(near).border).all()


def test_the_shipped_model_says_how_often_joints_are_wrong() -> None:
    model = blazepose.noise_model()
    shares = model.outlier_shares(get_skeleton(model.skeleton))
    assert model.detector == "blazepose"
    assert (shares > 0).all()
    assert shares.max() < 0.1


def test_the_command_fits_and_its_file_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known, places = pictures(tmp_path, 30)
    for path, keypoints in known:
        write_keypoints(keypoints._replace(ids=[PoseId(path.name, 0, 0)]), path.with_suffix(".json"))
    monkeypatch.setattr(blazepose, "load", lambda argument, models: Fake(places, 6.0))
    data = ["--data", str(tmp_path)]
    assert main(["detectors", "calibrate", "blazepose", *data, "--out", str(tmp_path / "model")]) == 0
    said = capsys.readouterr().out
    assert "held out: residuals 255" in said
    assert "simply wrong: nose" in said
    assert read_noise(tmp_path / "model" / NOISE_FILE).detector == "fake"
    detector = load_detector("blazepose", noise=tmp_path / "model")
    assert isinstance(detector, WithNoise)
    gone = tmp_path / "none" / "noise.json"
    assert main(["detectors", "calibrate", "blazepose", *data, "--out", str(gone)]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detectors", "calibrate", "openpose", "--data", str(tmp_path)]) == 2
    assert "unknown detector 'openpose'" in capsys.readouterr().err
