import math

import numpy as np
import pytest
import torch

from poseterior.data.sets.h36m_layout import DETECTED_JOINTS
from poseterior.files.errors import InputError
from poseterior.geometry.skeletons import SKELETONS
from poseterior.keypoints.heatmaps import MINIMUM_SIGMA, HeatmapGaussians, box_transform, fit_gaussians
from poseterior.published.wehrbein_2021.condition import CONDITION_JOINTS, published_condition

CONDITIONED = [0, 1, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15]


def draw(amplitude, mean, sigma_x, theta, sigma_y, size=(64, 64)) -> torch.Tensor:
    """Heatmaps of the published parameters, written out as quadratic forms; theta runs from x towards y up."""
    amplitude, sigma_x, theta, sigma_y = (
        torch.as_tensor(v, dtype=torch.float64)[..., None, None] for v in (amplitude, sigma_x, theta, sigma_y)
    )
    mean = torch.as_tensor(mean, dtype=torch.float64)[..., None, None]
    x, y = torch.meshgrid(torch.arange(size[0]).double(), torch.arange(size[1]).double(), indexing="xy")
    right, up = x - mean[..., 0, :, :], mean[..., 1, :, :] - y
    along = (right * theta.cos() + up * theta.sin()) / sigma_x
    across = (up * theta.cos() - right * theta.sin()) / sigma_y
    return amplitude * (-(along.square() + across.square()) / 2).exp()


def parameters(count: int, seed: int = 0, low: float = 8.0, high: float = 55.0, ratio: float = 3.0):
    """amplitude, mean, sigma_x >= sigma_y, theta of random peaks."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(6, count, generator=generator, dtype=torch.float64)
    sigma_x = 1.5 + 5.5 * u[3]
    sigma_y = (sigma_x / (1.2 + (ratio - 1.2) * u[4])).clamp(min=0.8)
    mean = low + (high - low) * u[1:3].T
    return 0.3 + 0.7 * u[0], mean, sigma_x, math.pi * u[5], sigma_y


def angle_error(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Degrees between two axes."""
    return ((found - true + math.pi / 2) % math.pi - math.pi / 2).abs() * 180 / math.pi


# -- known parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_known_gaussians_are_recovered(dtype):
    amplitude, mean, sigma_x, theta, sigma_y = parameters(500)
    fit = fit_gaussians(draw(amplitude, mean, sigma_x, theta, sigma_y).to(dtype))
    assert fit.mean.dtype == dtype
    assert not fit.failed.any()
    found_x, angle, found_y = fit.axes
    torch.testing.assert_close(found_x.double(), sigma_x, rtol=1e-3, atol=0)
    torch.testing.assert_close(found_y.double(), sigma_y, rtol=1e-3, atol=0)
    torch.testing.assert_close(fit.amplitude.double(), amplitude, rtol=1e-3, atol=0)
    torch.testing.assert_close(fit.mean.double(), mean, rtol=0, atol=1e-3)
    assert angle_error(angle, theta).max() < 0.1
    assert fit.residual.max() < 1e-4


def test_the_sign_of_the_covariance_is_that_of_the_image():
    # From the upper left to the lower right: x and y, which runs down, grow together.
    falling = fit_gaussians(draw(1.0, [30.0, 30.0], 4.0, -math.pi / 4, 2.0))
    expected = torch.tensor([[10.0, 6.0], [6.0, 10.0]], dtype=torch.float64)
    torch.testing.assert_close(falling.covariance, expected, rtol=1e-3, atol=0)
    assert float(falling.axes[1]) == pytest.approx(3 * math.pi / 4, abs=1e-3)


def test_noise_and_thin_peaks():
    """With noise of 0.01, a thirtieth of the faintest peak, 95 % are within 5 % and 3 degrees."""
    amplitude, mean, sigma_x, theta, sigma_y = parameters(1000, seed=1, ratio=6.0)
    maps = draw(amplitude, mean, sigma_x, theta, sigma_y)
    maps += 0.01 * torch.randn(maps.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    fit = fit_gaussians(maps.float())
    assert not fit.failed.any()
    found_x, angle, found_y = fit.axes
    for found, true in ((found_x, sigma_x), (found_y, sigma_y)):
        assert (found / true - 1).abs().quantile(0.95) < 0.05
        assert abs((found / true - 1).median()) < 0.01  # no bias
    assert angle_error(angle, theta).quantile(0.95) < 3.0


def test_a_peak_that_is_cut_off_keeps_its_width():
    amplitude, mean, sigma_x, theta, sigma_y = parameters(400, seed=3)
    border = torch.arange(400) % 4
    mean[border == 0, 0], mean[border == 1, 0] = 0.0, 63.0
    mean[border == 2, 1], mean[border == 3, 1] = 0.4, 62.6
    fit = fit_gaussians(draw(amplitude, mean, sigma_x, theta, sigma_y).float())
    assert not fit.failed.any()
    found_x, angle, found_y = fit.axes
    torch.testing.assert_close(found_x.double(), sigma_x, rtol=0.01, atol=0)
    torch.testing.assert_close(found_y.double(), sigma_y, rtol=0.01, atol=0)
    torch.testing.assert_close(fit.mean.double(), mean, rtol=0, atol=0.02)
    assert angle_error(angle, theta).max() < 1.0


def test_the_centre_may_lie_a_little_outside():
    fit = fit_gaussians(draw(0.9, [-1.0, 20.0], 3.0, 0.5, 2.0).float())
    assert not fit.failed
    assert fit.mean.tolist() == pytest.approx([-1.0, 20.0], abs=0.02)
    assert float(fit.axes[0]) == pytest.approx(3.0, rel=0.01)


def test_of_two_peaks_the_higher_is_fitted_and_the_residual_shows_the_other():
    high = draw(0.9, [20.0, 22.0], 3.0, 0.7, 1.8)
    both = torch.maximum(high, draw(0.7, [44.0, 40.0], 2.5, 0.0, 2.5))
    one, two = fit_gaussians(torch.stack([high, both]).float()).covariance, fit_gaussians(both.float())
    torch.testing.assert_close(two.covariance, one[0], rtol=0.02, atol=0.0)
    assert two.mean.tolist() == pytest.approx([20.0, 22.0], abs=0.02)
    assert not two.failed
    # what is left is the second peak: its energy is pi sigma² amplitude²
    assert float(two.residual) == pytest.approx(math.sqrt(math.pi * 2.5**2 * 0.7**2) / 64, rel=0.02)
    assert fit_gaussians(high.float()).residual < 1e-4


@pytest.mark.parametrize("distance", [5.0, 6.0])
def test_a_second_peak_nearby_hardly_widens_the_first(distance):
    first = draw(0.9, [25.0, 30.0], 2.5, 0.0, 2.0)
    second = draw(0.7, [25.0 + 2.5 * distance, 30.0], 2.5, 0.0, 2.5)
    found_x, _, found_y = fit_gaussians((first + second).clamp(max=1.0).float()).axes
    assert float(found_x) == pytest.approx(2.5, rel=0.05)
    assert float(found_y) == pytest.approx(2.0, rel=0.05)


def test_values_are_clamped_as_published():
    clean = draw(0.8, [30.0, 30.0], 3.0, 0.3, 2.0)
    rippled = clean - 0.2 * draw(1.0, [50.0, 50.0], 2.0, 0.0, 2.0)
    torch.testing.assert_close(fit_gaussians(rippled).covariance, fit_gaussians(clean).covariance, rtol=1e-3, atol=1e-6)
    assert fit_gaussians(rippled).residual < 1e-3


# -- failures ----------------------------------------------------------------------------------------------


def hopeless(side: int = 64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.arange(side).expand(side, side).float()
    holed = draw(1.0, [30.0, 30.0], 2.0, 0.0, 2.0).float()
    holed[40, 40] = math.nan
    return {
        "zero": torch.zeros(side, side),
        "one": torch.ones(side, side),
        "flat": torch.full((side, side), 0.4) + 0.01 * torch.rand(side, side, generator=generator),
        "negative": torch.full((side, side), -1.0),
        "nan": torch.full((side, side), math.nan),
        "one nan": holed,
        "infinite": torch.full((side, side), math.inf),
        "noise": torch.rand(side, side, generator=generator),
        "normal noise": 0.2 * torch.randn(side, side, generator=generator),
        "ramp": x / side,
        "ridge": (-((x - 30) ** 2) / 8).exp(),
        "disc": (((x - 30) ** 2 + (x.T - 20) ** 2) < 64).float(),
    }


@pytest.mark.parametrize("kind", hopeless())
def test_a_heatmap_without_a_peak_has_failed(kind):
    fit = fit_gaussians(hopeless()[kind])
    assert fit.failed
    assert float(fit.amplitude) == 0.0
    assert fit.mean.tolist() == [31.5, 31.5]
    assert fit.covariance.tolist() == [[32.0**2, 0.0], [0.0, 32.0**2]]
    assert fit.residual.isnan() == (kind in ("nan", "one nan", "infinite"))


def test_a_failure_does_not_touch_its_neighbours():
    good = draw(*parameters(8)).float()
    maps = torch.stack([m for pair in zip(good, list(hopeless().values())[:8], strict=True) for m in pair])
    mixed, alone = fit_gaussians(maps), fit_gaussians(good)
    assert mixed.failed.tolist() == [False, True] * 8
    torch.testing.assert_close(mixed.covariance[::2], alone.covariance)
    torch.testing.assert_close(mixed.mean[::2], alone.mean)


def test_sigmas_are_positive_and_bounded_whatever_comes():
    generator = torch.Generator().manual_seed(5)
    rough = torch.rand(300, 40, 48, generator=generator) ** torch.logspace(0, 2, 300)[:, None, None]
    rough[:100] *= (torch.rand(100, 40, 48, generator=generator) > 0.99).float()
    spike = torch.zeros(1, 40, 48)
    spike[0, 7, 9] = 1.0
    fit = fit_gaussians(torch.cat([rough, 1e-30 * rough[:50], spike]))
    sigmas = torch.linalg.eigvalsh(fit.covariance.double()).sqrt()
    assert sigmas.min() >= MINIMUM_SIGMA * (1 - 1e-4)
    assert sigmas.max() <= 24.0 * (1 + 1e-4)
    assert fit.mean.isfinite().all()
    assert not fit.failed[-1]
    assert fit.mean[-1].tolist() == pytest.approx([9.0, 7.0], abs=0.05)


# -- shapes and bad input ----------------------------------------------------------------------------------


def test_batches_of_any_shape():
    maps = draw(*parameters(600)).float()
    flat, shaped = fit_gaussians(maps), fit_gaussians(maps.reshape(3, 20, 10, 64, 64))
    assert shaped.mean.shape == (3, 20, 10, 2)
    assert shaped.covariance.shape == (3, 20, 10, 2, 2)
    assert torch.equal(shaped.covariance.reshape(600, 2, 2), flat.covariance)
    torch.testing.assert_close(fit_gaussians(maps[7]).covariance, flat.covariance[7], rtol=1e-4, atol=1e-4)
    assert fit_gaussians(maps[:0]).mean.shape == (0, 2)
    assert HeatmapGaussians.cat([flat, flat]).mean.shape == (1200, 2)


def test_oblong_heatmaps_and_other_number_types():
    maps = draw(0.9, [40.0, 20.0], 3.0, 0.4, 2.0, size=(72, 48))
    fit = fit_gaussians(maps.half())
    assert fit.size == (72, 48)
    assert fit.mean.tolist() == pytest.approx([40.0, 20.0], abs=0.01)
    assert fit_gaussians(np.zeros((48, 72), np.uint8)).mean.tolist() == [35.5, 23.5]


@pytest.mark.parametrize(
    ("heatmaps", "message"),
    [
        (torch.zeros(64), r"heatmaps have shape \(64,\); expected \(\.\.\., height, width\), at least 4 x 4 pixels"),
        (torch.zeros(2, 3, 64), r"heatmaps have shape \(2, 3, 64\)"),
        (
            torch.stack([torch.zeros(8, 8), torch.full((8, 8), 255.0)])[None],
            r"heatmap \(0, 1\) reaches 255; expected scores from 0 to 1: divide by the detector's largest score",
        ),
        ([["a"]], "heatmaps: expected an array of numbers"),
    ],
)
def test_bad_heatmaps(heatmaps, message):
    with pytest.raises(InputError, match=message):
        fit_gaussians(heatmaps)


# -- the published condition -------------------------------------------------------------------------------


def golden_input() -> tuple[torch.Tensor, ...]:
    n = torch.arange(16, dtype=torch.float64)
    mean = torch.stack([20 + 2 * n.sin(), 30 + 3 * (2 * n).cos()], -1)
    return 0.2 + 0.1 * n, mean, 1.5 + 0.2 * n, 0.3 * n - 1, 2.05 + 0.05 * n


def test_golden_condition():
    condition = published_condition(*golden_input())
    assert condition.shape == (13, 6)
    golden = {
        0: [0.2, -0.134914, -1.645583, 0.009081, 0.002219, 0.007050],
        6: [1.1, 0.324669, -1.077375, 0.063270, -0.005929, 0.108130],
        12: [1.2, 0.590268, -0.230851, 0.187230, 0.040766, 0.093670],
    }
    for joint, values in golden.items():
        assert condition[joint].tolist() == pytest.approx(values, abs=1e-6)
    assert float(condition.sum()) == pytest.approx(15.459106, abs=1e-5)


def test_condition_joints_are_the_detected_ones_without_hips_and_pelvis():
    assert [DETECTED_JOINTS.index(joint) for joint in CONDITION_JOINTS] == CONDITIONED
    assert set(SKELETONS["h36m17"].joints) - set(DETECTED_JOINTS) == {"neck_nose"}
    shared = [joint for joint in SKELETONS["mpii16"].joints if joint not in ("thorax", "neck")]
    assert [joint for joint in DETECTED_JOINTS if joint not in ("spine", "thorax")] == shared


def test_condition_is_bounded_and_knows_turns_by_half_a_circle():
    amplitude, mean, sigma_x, theta, sigma_y = golden_input()
    turned = published_condition(amplitude, mean, sigma_x, theta + 3 * math.pi, sigma_y)
    torch.testing.assert_close(turned, published_condition(*golden_input()))
    negative = published_condition(amplitude, mean, sigma_x, theta, -sigma_y)
    torch.testing.assert_close(negative, published_condition(amplitude, mean, sigma_x, theta, 0.2 + 0 * sigma_y))
    wild = published_condition(amplitude * 10, mean, sigma_x * 100, theta, sigma_y / 100)
    assert wild[:, 0].max() == 1.2
    widths = torch.stack([wild[:, 3], wild[:, 4], wild[:, 4], wild[:, 5]], -1).unflatten(-1, (2, 2))
    torch.testing.assert_close(torch.linalg.eigvalsh(widths)[:, 0], torch.full((13,), 1e-4).double())
    torch.testing.assert_close(torch.linalg.eigvalsh(widths)[:, 1], torch.ones(13).double())


def condition_of(fit: HeatmapGaussians) -> torch.Tensor:
    return published_condition(fit.amplitude, fit.mean, *fit.axes)


def test_condition_of_fits_is_that_of_the_true_parameters():
    amplitude, mean, sigma_x, theta, sigma_y = (v.reshape(2, 16, *v.shape[1:]) for v in parameters(32, seed=4))
    fit = fit_gaussians(draw(amplitude, mean, sigma_x, theta, sigma_y))
    expected = published_condition(amplitude, mean, sigma_x, theta, sigma_y)
    torch.testing.assert_close(condition_of(fit), expected, rtol=1e-3, atol=1e-4)
    # y up: the covariance of the condition has the opposite sign of the image's
    sure = (fit.axes[0] <= 2.1)[:, CONDITIONED]
    off_diagonal = fit.covariance[:, CONDITIONED, 0, 1]
    torch.testing.assert_close(condition_of(fit)[..., 4][sure], -off_diagonal[sure] / 400)


def test_a_failed_joint_is_the_most_uncertain_one_in_the_condition():
    maps = draw(*parameters(16))
    maps[0] = 0.0
    condition = condition_of(fit_gaussians(maps))
    assert condition[0, [0, 3, 5]].tolist() == [0.0, 1.0, 1.0]
    assert condition.isfinite().all()


def test_bad_conditions():
    values = golden_input()
    with pytest.raises(InputError, match=r"amplitude \(15,\), mean \(15, 2\): .* 16 joints of the published detector"):
        published_condition(*(v[:15] for v in values))
    with pytest.raises(InputError, match=r"pose 1: all 16 joints are in one place .*leave the pose out"):
        condition_of(fit_gaussians(torch.stack([draw(*parameters(16)).float(), torch.zeros(16, 64, 64)])))


# -- keypoints ---------------------------------------------------------------------------------------------


@pytest.fixture
def fits() -> HeatmapGaussians:
    """Two people of 16 joints; the second one's ankle has failed and his knee is faint."""
    maps = draw(*parameters(32)).reshape(2, 16, 64, 64)
    maps[1, 0] = 0.4
    maps[1, 1] *= 0.05 / maps[1, 1].max()
    return fit_gaussians(maps.float())


def test_keypoints_in_image_pixels(fits):
    scale = torch.tensor([[4.0, 5.0], [6.0, 6.0]])
    keypoints = fits.keypoints("mpii16", scale, torch.tensor([10.0, 20.0]), (640, 480))
    seen = keypoints.visible
    assert (~seen).nonzero().tolist() == [[1, 0], [1, 1]]
    expected = scale[:, None] * fits.mean + torch.tensor([10.0, 20.0])
    torch.testing.assert_close(keypoints.xy[seen], expected[seen])
    stretch = torch.diag_embed(scale)[:, None]
    torch.testing.assert_close(keypoints.covariance[seen], (stretch @ fits.covariance @ stretch)[seen])
    assert keypoints.image_size.tolist() == [[640.0, 480.0]] * 2
    torch.testing.assert_close(fits.keypoints("mpii16").covariance[seen], fits.covariance[seen])
    torch.testing.assert_close(keypoints.amplitude[seen], fits.amplitude[seen])


def test_the_training_target_can_be_taken_off():
    maps = draw(0.9, torch.full((16, 2), 30.0).double(), torch.linspace(1.5, 6.0, 16).double(), 0.4, 2.5)
    keypoints = fit_gaussians(maps).keypoints("mpii16", target_sigma=2.0)
    sigmas = torch.linalg.eigvalsh(keypoints.covariance).sqrt()
    first = (torch.linspace(1.5, 6.0, 16).square() - 4).clamp(min=MINIMUM_SIGMA**2).sqrt()
    expected = torch.stack([first, torch.full((16,), 1.5)], -1).sort(-1).values
    torch.testing.assert_close(sigmas, expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skeleton": "coco17"}, r"xy has shape \(2, 16, 2\); skeleton 'coco17' needs \(\.\.\., 17, 2\)"),
        ({"scale": 0.0}, "scale: expected image pixels per heatmap pixel, above 0"),
        ({"scale": torch.ones(3, 2)}, r"scale has shape \(3, 2\); expected a number, \(2,\) or \(2, 2\)"),
        ({"offset": math.nan}, "offset: expected finite numbers"),
        ({"offset": "left"}, "offset has shape"),
        ({"target_sigma": -1.0}, "target_sigma: expected heatmap pixels, 0 or more, got -1.0"),
    ],
)
def test_bad_placement(fits, arguments, message):
    with pytest.raises(InputError, match=message):
        fits.keypoints(**({"skeleton": "mpii16"} | arguments))


def test_one_heatmap_is_no_person():
    with pytest.raises(InputError, match="one heatmap is not a person"):
        fit_gaussians(torch.zeros(8, 8)).keypoints("mpii16")


def test_boxes():
    scale, offset = box_transform([100, 200, 356, 456], (64, 64))
    assert scale.tolist() == [4.0, 4.0]
    assert offset.tolist() == [102.0, 202.0]  # half a heatmap pixel from the edge
    last = scale * 63 + offset
    assert last.tolist() == [354.0, 454.0]
    with pytest.raises(InputError, match=r"boxes: box 1: \[5.0, 0.0, 5.0, 9.0\]; expected left < right"):
        box_transform([[0, 0, 9, 9], [5, 0, 5, 9]], (64, 64))
    with pytest.raises(InputError, match=r"boxes has shape \(3,\); expected \(\.\.\., 4\)"):
        box_transform([1, 2, 3], (64, 64))
