"""Metrics of two pictures from their pixels alone. All take uint8 RGB [H, W, 3] of one size."""

from __future__ import annotations

import numpy as np

from .extras import needs

PSNR_CAP = 100.0
"""Decibels of identical pictures, in DisCo and here."""

# OpenCV's 15-bit weights of red, green and blue
_GREY = np.array([9798, 19235, 3735], np.int64)


def psnr_disco(made: np.ndarray, truth: np.ndarray) -> float:
    """PSNR* of DisCo after its fix of 2024-04-10: in float64, range 255, identical pictures 100 dB. Not capped."""
    return _decibels(_square_error(made, truth))


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio, range 255, at most 100 dB, so that no difference beats identity."""
    return min(psnr_disco(made, truth), PSNR_CAP)


def psnr_overflow(made: np.ndarray, truth: np.ndarray) -> float:
    """What DisCo printed as PSNR before its fix: differences and squares wrap around at 256.

    Only to check rows that older papers quote: a large difference can count as none.
    """
    wrapped = (made - truth) ** 2
    return _decibels(float(np.mean(wrapped)))


def mae(made: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error over pixels and channels, in 0..1."""
    return _absolute_error(made, truth) / 255.0


def l1_disco(made: np.ndarray, truth: np.ndarray) -> float:
    """L1 of DisCo: mean absolute error in 0..255, divided by height times width once more.

    So it falls with the square of the resolution: only values of one size can be compared.
    """
    height, width = truth.shape[:2]
    return _absolute_error(made, truth) / (height * width)


def ssim_disco(made: np.ndarray, truth: np.ndarray) -> float:
    """SSIM of DisCo: scikit-image's defaults on OpenCV's grey: 7x7 uniform window, sample covariance, range 255."""
    return float(needs("skimage.metrics").structural_similarity(grey(made), grey(truth)))


def ssim(made: np.ndarray, truth: np.ndarray) -> float:
    """SSIM of Wang et al. 2004: Gaussian window of deviation 1.5 (11x11), range 255; mean over the RGB channels."""
    return float(
        needs("skimage.metrics").structural_similarity(
            made,
            truth,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
    )


def grey(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB -> uint8 [H, W], rounded as OpenCV's cvtColor does."""
    return ((picture.astype(np.int64) @ _GREY + (1 << 14)) >> 15).astype(np.uint8)


def _square_error(made: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean((made.astype(np.float64) - truth.astype(np.float64)) ** 2))


def _absolute_error(made: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(np.abs(made.astype(np.float64) - truth.astype(np.float64))))


def _decibels(square_error: float) -> float:
    if square_error == 0:
        return PSNR_CAP
    return float(20 * np.log10(255.0 / np.sqrt(square_error)))
