"""Metrics of pixels equal independent implementations, and the traps of the lineage are where they should be."""

import numpy as np
import pytest
import torch
from animatex_training.evaluation.metrics import pixels
from animatex_training.evaluation.metrics.opencv_resize import resize_linear
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

RANDOM = np.random.default_rng(0)
SIZES = [(96, 64), (32, 48), (11, 11)]


def pair(height=96, width=64, noise=30):
    truth = RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)
    made = np.clip(truth + RANDOM.integers(-noise, noise + 1, truth.shape), 0, 255).astype(np.uint8)
    return made, truth


@pytest.mark.parametrize("size", SIZES)
def test_psnr_is_that_of_scikit_image(size):
    made, truth = pair(*size)
    assert pixels.psnr(made, truth) == pytest.approx(peak_signal_noise_ratio(truth, made), abs=1e-9)
    assert pixels.psnr_disco(made, truth) == pixels.psnr(made, truth)


def test_identical_frames_have_100_decibels_and_nothing_has_more():
    _, truth = pair(768, 512)
    assert pixels.psnr(truth, truth) == pixels.psnr_disco(truth, truth) == 100
    almost = truth.copy()
    almost[0, 0, 0] ^= 1
    assert pixels.psnr_disco(almost, truth) > 100  # as DisCo's does
    assert pixels.psnr(almost, truth) == 100


def test_the_old_psnr_wraps_around():
    # a difference of 16 squares to 256, which is 0 in 8 bits: a visible error counts as none
    truth = np.full((8, 8, 3), 100, np.uint8)
    made = truth + np.uint8(16)
    assert pixels.psnr_overflow(made, truth) == 100
    assert pixels.psnr_disco(made, truth) == pytest.approx(20 * np.log10(255 / 16))
    # black against white: a difference of 255 becomes 1
    black, white = np.zeros_like(truth), np.full_like(truth, 255)
    assert pixels.psnr_overflow(white, black) == pytest.approx(20 * np.log10(255))
    assert pixels.psnr_disco(white, black) == pixels.psnr(white, black) == 0


def test_black_frames():
    black = np.zeros((16, 16, 3), np.uint8)
    assert (pixels.psnr(black, black), pixels.mae(black, black), pixels.l1_disco(black, black)) == (100, 0, 0)
    assert pixels.ssim(black, black) == pixels.ssim_disco(black, black) == 1


@pytest.mark.parametrize(("height", "width"), [(256, 256), (512, 768)])
def test_l1_of_disco_falls_with_the_resolution_and_mae_does_not(height, width):
    truth = np.full((height, width, 3), 100, np.uint8)
    made = truth + np.uint8(26)
    assert pixels.mae(made, truth) == pytest.approx(26 / 255)
    assert pixels.l1_disco(made, truth) == pytest.approx(26 / (height * width))


def test_quoted_values_of_l1_come_out():
    # 26.7 of 255 at 256x256 and 22.4 at 576x1024, as reported for other methods of the lineage
    assert 26.7 / (256 * 256) == pytest.approx(4.07e-4, rel=2e-3)
    one = np.zeros((256, 256, 3), np.uint8)
    assert pixels.l1_disco(one + np.uint8(27), one) == pytest.approx(4.12e-4, rel=2e-3)


@pytest.mark.parametrize("size", SIZES)
def test_ssim_is_that_of_torchmetrics(size):
    made, truth = pair(*size)
    planar = [torch.from_numpy(x).permute(2, 0, 1)[None].double() for x in (made, truth)]
    _, picture = structural_similarity_index_measure(*planar, data_range=255.0, return_full_image=True)
    # its own mean takes in the 5 pixels at each edge whose windows it fills with mirrored pixels
    assert pixels.ssim(made, truth) == pytest.approx(float(picture[..., 5:-5, 5:-5].mean()), abs=1e-6)


def test_ssim_of_disco_is_computed_on_grey_with_a_uniform_window():
    made, truth = pair(noise=200)
    weights = np.array([0.299, 0.587, 0.114])
    greys = [np.rint(x @ weights).astype(np.uint8) for x in (made, truth)]
    exact = structural_similarity(*greys, win_size=7, data_range=255, use_sample_covariance=True)
    assert pixels.ssim_disco(made, truth) == pytest.approx(exact, abs=1e-3)  # grey may be rounded the other way
    assert abs(pixels.ssim_disco(made, truth) - pixels.ssim(made, truth)) > 0.005


def test_grey_is_rounded_as_opencv_does():
    picture, _ = pair()
    exact = picture @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels.grey(picture) - exact).max() < 0.51
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: its rounding is not compared")
    assert np.array_equal(pixels.grey(picture), cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize(("width", "height"), [(64, 96), (32, 48), (100, 151), (17, 5)])
def test_resizing_is_bilinear_without_smoothing(width, height):
    picture, _ = pair()
    got = resize_linear(picture, width, height).astype(int)
    planar = torch.from_numpy(picture).permute(2, 0, 1)[None].double()
    exact = torch.nn.functional.interpolate(planar, (height, width), mode="bilinear", align_corners=False)
    assert np.abs(got - exact[0].permute(1, 2, 0).numpy()).max() <= 1
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: its rounding is not compared")
    difference = np.abs(got - cv2.resize(picture, (width, height)))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-2


def test_mean_absolute_error_is_numpys():
    made, truth = pair()
    assert pixels.mae(made, truth) == pytest.approx(np.abs(made.astype(int) - truth.astype(int)).mean() / 255)
    assert mean_squared_error(made, truth) > 0
